/* SPDX-License-Identifier: Apache-2.0
 * Standard input and other descriptors as sources. The reading happens on a thread of the library's. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orbit/backend_ops.h>

#include "interrupt.h"

static orbit_status read_descriptor(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    const struct input *input = ctx;
    struct pollfd fds[2] = {{input->fd, POLLIN, 0}, {interrupt_fd(), POLLIN, 0}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (interrupt_signal())
            return orbit_error_set(error, ORBIT_E_CANCELLED, 0, "interrupted");
        if (!fds[0].revents)
            continue;
        ssize_t got = read(input->fd, buffer, room);
        if (got >= 0) {
            *length = (size_t)got;
            return got ? ORBIT_OK : ORBIT_END;
        }
        if (errno != EINTR && errno != EAGAIN)
            break;
    }
    return orbit_error_errno(error, errno, "cannot read %s", input->name);
}

orbit_source input_source(struct input *input, uint64_t *length)
{
    struct stat status;

    *length = ORBIT_SIZE_UNKNOWN;
    if (fstat(input->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        off_t at = lseek(input->fd, 0, SEEK_CUR);
        if (at >= 0 && at < status.st_size)
            *length = (uint64_t)(status.st_size - at);
        return orbit_source_fd(input->fd);
    }
    (void)fcntl(input->fd, F_SETPIPE_SZ, 1 << 20); /* fewer, larger reads of a pipe; refused is fine */
    return orbit_source_function(read_descriptor, input);
}
