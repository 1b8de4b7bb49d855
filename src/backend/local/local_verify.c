/* SPDX-License-Identifier: Apache-2.0
 * What was written, read once more and compared with a checksum that needs all bytes in their order, before the name
 * appears. Costs a read of the file, which is often still in memory. Worker threads. */
#include "backend/local/local.h"

#include <errno.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"

enum { READ_BYTES = 256 << 10 };

/* 0, or a negative errno. */
static int digest_file(struct orb_digest *digest, int fd, uint64_t size, const orbit_op *op, uint8_t *buffer)
{
    for (uint64_t at = 0; at < size;) {
        size_t want = size - at < READ_BYTES ? (size_t)(size - at) : READ_BYTES;
        if (orbit_op_cancelled(op))
            return -ECANCELED;
        ssize_t n = pread(fd, buffer, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        if (!orb_digest_update(digest, buffer, (size_t)n))
            return -EIO;
        at += (uint64_t)n;
    }
    return 0;
}

orbit_status orb_local_verify(const struct orb_local_target *target, uint64_t size, const orbit_op *op,
                              const orbit_checksum *expected, const char *path, orbit_error *error)
{
    struct orb_local_shown shown;
    const char *name = orb_digest_name(expected->algorithm);
    uint8_t *buffer = orb_malloc(READ_BYTES);
    struct orb_digest *digest = orb_digest_new(expected->algorithm);
    orbit_status status = ORBIT_OK;
    if (!buffer || !digest) {
        status =
            orb_fail(error, ORBIT_E_MEMORY, 0, "cannot verify '%s': no memory, or the system's cryptography refuses %s",
                     orb_local_show(&shown, path), name);
        goto out;
    }
    int result = digest_file(digest, target->fd, size, op, buffer);
    if (result < 0)
        status = orb_local_fail(error, -result, "verify", path);
    else if (!orb_digest_matches(digest, expected))
        status =
            orb_fail(error, ORBIT_E_CHECKSUM, 0, "the bytes that came for '%s' are not those whose %s the store keeps",
                     orb_local_show(&shown, path), name);
out:
    orb_digest_free(digest);
    orb_free(buffer);
    return status;
}
