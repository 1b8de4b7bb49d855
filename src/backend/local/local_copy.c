/* SPDX-License-Identifier: Apache-2.0
 * Copying a file to a file of this machine: by sharing its blocks where the file system can (FICLONE), else
 * inside the kernel (copy_file_range), else through a buffer. Holes stay holes. The target appears whole, as
 * with any write. Worker threads. */
#include "backend/local/local_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    KERNEL_STEP = 64 << 20, /* between two looks at cancel */
    BUFFER = 512 << 10
};

struct copying {
    orbit_op *op;
    const char *from, *to;
    int source;
    struct statx stat; /* of the source */
    struct orb_local_target *target;
    void *buffer;
    bool by_hand; /* copy_file_range cannot do these two files */
};

/* "cannot copy 'a' to 'b': …": the number may be of either side. */
static orbit_status copy_fail(const struct copying *copying, int number, orbit_error *error)
{
    struct orb_local_shown from, to;
    if (number == ECANCELED)
        return orb_local_cancelled(error, "copy", copying->from);
    return orb_fail_errno(error, number, "cannot copy '%s' to '%s'", orb_local_show(&from, copying->from),
                          orb_local_show(&to, copying->to));
}

static orbit_status changed(const struct copying *copying, orbit_error *error)
{
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' changed while it was being copied",
                    orb_local_show(&shown, copying->from));
}

/* ---- bytes -------------------------------------------------------------------------------------- */

/* What copy_file_range answers for pairs of files that it cannot do. */
static bool kernel_cannot(int number)
{
    return number == EXDEV || number == EINVAL || number == EOPNOTSUPP || number == ENOSYS || number == EPERM ||
           number == ETXTBSY || number == EBADF;
}

/* Through the buffer, until `end` or the end of the file. */
static int copy_by_hand(struct copying *copying, uint64_t *at, uint64_t end)
{
    if (!copying->buffer && !(copying->buffer = orb_buffer_new(BUFFER)))
        return -ENOMEM;
    while (*at < end) {
        if (orbit_op_cancelled(copying->op))
            return -ECANCELED;
        size_t want = end - *at < BUFFER ? (size_t)(end - *at) : BUFFER;
        ssize_t got = pread(copying->source, copying->buffer, want, (off_t)*at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? 0 : -errno;
        int status = orb_local_target_write(copying->target, copying->op, copying->buffer, (size_t)got, *at);
        if (status < 0)
            return status;
        *at += (uint64_t)got;
        orbit_op_progress(copying->op, (uint64_t)got);
    }
    return 0;
}

/* One piece of data. `*at` is how far it came: short of `end` when the source ended. */
static int copy_piece(struct copying *copying, uint64_t *at, uint64_t end)
{
    while (*at < end && !copying->by_hand) {
        if (orbit_op_cancelled(copying->op))
            return -ECANCELED;
        size_t want = end - *at < KERNEL_STEP ? (size_t)(end - *at) : KERNEL_STEP;
        off_t in = (off_t)*at;
        off_t out = in;
        ssize_t got = copy_file_range(copying->source, &in, copying->target->fd, &out, want, 0);
        if (got > 0) {
            *at += (uint64_t)got;
            orbit_op_progress(copying->op, (uint64_t)got);
        } else if (got == 0 || kernel_cannot(errno)) {
            copying->by_hand = true; /* 0: the end, or a file system that cannot tell; reading will */
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return copy_by_hand(copying, at, end);
}

/* The next data from `at`: false when there is none. File systems that know no holes are all data. */
static bool next_data(const struct copying *copying, uint64_t at, uint64_t size, uint64_t *begin, uint64_t *end)
{
    off_t data = lseek(copying->source, (off_t)at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        return false;
    off_t hole = data < 0 ? -1 : lseek(copying->source, data, SEEK_HOLE);
    *begin = data < 0 ? at : (uint64_t)data;
    *end = hole < 0 || (uint64_t)hole > size ? size : (uint64_t)hole;
    return *begin < size;
}

static bool is_sparse(const struct statx *stat)
{
    return stat->stx_blocks * 512 < stat->stx_size;
}

static int copy_data(struct copying *copying, bool *ended_early)
{
    uint64_t size = copying->stat.stx_size;
    uint64_t at = 0;
    int status;

    if (copying->target->in_place || orb_local_size_lies(copying->source, &copying->stat)) {
        copying->by_hand = true;
        return copy_by_hand(copying, &at, UINT64_MAX);
    }
    if (ioctl(copying->target->fd, FICLONE, copying->source) == 0) {
        orbit_op_progress(copying->op, size);
        return 0;
    }
    if (!is_sparse(&copying->stat)) {
        status = copy_piece(copying, &at, size);
        *ended_early = status == 0 && at < size;
        return status;
    }
    uint64_t begin, end;
    while (at < size && next_data(copying, at, size, &begin, &end)) {
        at = begin;
        status = copy_piece(copying, &at, end);
        if (status < 0)
            return status;
        if (at < end) {
            *ended_early = true;
            return 0;
        }
    }
    return ftruncate(copying->target->fd, (off_t)size) == 0 ? 0 : -errno;
}

/* ---- the operation ------------------------------------------------------------------------------- */

static orbit_status open_source(struct copying *copying, const orbit_copy_request *request, orbit_error *error)
{
    orbit_status status = orb_local_no_version(request->version_id, NULL, request->from, error);
    if (status < 0)
        return status;
    copying->source = orb_local_open_read(request->from_self, copying->op, request->from);
    if (copying->source < 0)
        return orb_local_fail(error, -copying->source, "copy", request->from);
    int result = orb_local_stat_fd(copying->source, &copying->stat);
    if (result == 0 && S_ISDIR(copying->stat.stx_mode))
        result = -EISDIR;
    if (result < 0)
        return orb_local_fail(error, -result, "copy", request->from);
    struct orb_local_shown shown;
    if (!S_ISREG(copying->stat.stx_mode))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                        "cannot copy '%s' as a whole: it is no regular file, only a stream",
                        orb_local_show(&shown, request->from));
    return orb_local_check_pin(&copying->stat, request->pin, request->from, error);
}

static orbit_status open_target(struct orb_local *self, struct copying *copying, const orbit_copy_request *request,
                                orbit_error *error)
{
    static const orbit_write_options defaults = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata preserve = ORBIT_METADATA_INIT;
    const struct orb_local_target_request target = {request->to,
                                                    request->options ? request->options : &defaults,
                                                    request->preserve ? &preserve : NULL,
                                                    NULL,
                                                    NULL,
                                                    &copying->stat};
    orb_local_fill(&preserve, &copying->stat);
    orbit_status status = orb_local_target_open(copying->target, self, copying->op, &target, error);
    if (status < 0)
        return status;
    if (!copying->target->replaces || !orb_local_same(&copying->target->old, &copying->stat))
        return ORBIT_OK;
    struct orb_local_shown from, to;
    return orb_fail(error, ORBIT_E_PATH, 0, "cannot copy '%s' to '%s': they are the same file",
                    orb_local_show(&from, request->from), orb_local_show(&to, request->to));
}

static orbit_status copy_file(struct orb_local *self, struct copying *copying, const orbit_copy_request *request,
                              orbit_metadata *reply, orbit_error *error)
{
    struct statx now;
    bool ended_early = false;
    orbit_status status = open_source(copying, request, error);
    if (status == ORBIT_OK)
        status = open_target(self, copying, request, error);
    if (status < 0)
        return status;
    if (copying->stat.stx_size > (256u << 10))
        posix_fadvise(copying->source, 0, 0, POSIX_FADV_SEQUENTIAL);
    int result = copy_data(copying, &ended_early);
    if (result == 0)
        result = orb_local_stat_fd(copying->source, &now);
    if (result < 0)
        return copy_fail(copying, -result, error);
    if (ended_early || (!orb_local_intact(&copying->stat, &now) && !orb_local_size_lies(copying->source, &now)))
        return changed(copying, error);
    if (orbit_op_cancelled(copying->op))
        return orb_local_cancelled(error, "copy", copying->from);
    return orb_local_target_publish(copying->target, copying->to, request->preserve ? copying->source : -1, reply,
                                    error);
}

static void copy_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_copy_request *request = call->request;
    orbit_error error = {0};
    orbit_status status;

    struct orb_local_target target = {.fd = -1, .directory = -1};
    struct copying copying = {.op = op, .from = request->from, .to = request->to, .source = -1, .target = &target};
    status = copy_file(self, &copying, request, call->reply, &error);
    if (status < 0)
        orb_local_target_discard(&target);
    else
        orb_local_target_close(&target);
    orb_local_close(copying.source);
    if (copying.buffer)
        orb_buffer_free(copying.buffer, BUFFER);
    orb_local_end(op, status, &error);
}

void orb_local_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    (void)self;
    orb_local_start(op, request, reply, NULL, copy_work);
}

/* ---- what stands at the name, for a write that goes on from it ------------------------------------- */

/* The gaps of [0, `end`) between what is known. `*end` comes down to where the file turned out to end. */
static int copy_gaps(struct copying *copying, uint64_t *end, const orbit_extent *known, size_t count)
{
    uint64_t at = 0;
    for (size_t i = 0; i <= count && at < *end; i++) {
        uint64_t until = i < count && known[i].offset < *end ? known[i].offset : *end;
        if (at < until) {
            int status = copy_piece(copying, &at, until);
            if (status < 0)
                return status;
            if (at < until)
                *end = at;
        }
        if (i < count && known[i].offset + known[i].length > at)
            at = known[i].offset + known[i].length;
    }
    return 0;
}

orbit_status orb_local_take_prefix(struct orb_local_target *target, orbit_op *op, const orbit_keep_request *keep,
                                   const char *path, uint64_t *taken, orbit_error *error)
{
    struct copying copying = {.op = op, .from = path, .to = path, .target = target};
    size_t count;
    uint64_t bytes;
    *taken = 0;
    copying.source = openat(target->directory, target->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (copying.source < 0 || orb_local_stat_fd(copying.source, &copying.stat) < 0 ||
        !orb_local_same(&copying.stat, &target->old)) {
        orb_local_close(copying.source); /* not to be read, or gone: so be it */
        return ORBIT_OK;
    }
    uint64_t end = copying.stat.stx_size < keep->prefix_bytes ? copying.stat.stx_size : keep->prefix_bytes;
    if (end > keep->size)
        end = keep->size;
    const orbit_extent *known = orb_local_journal_extents(target->journal, &count, &bytes);
    int result = copy_gaps(&copying, &end, known, count);
    orb_local_close(copying.source);
    if (copying.buffer)
        orb_buffer_free(copying.buffer, BUFFER);
    if (result < 0)
        return copy_fail(&copying, -result, error);
    *taken = end;
    return end > 0 ? orb_local_journal_give(target->journal, end, error) : ORBIT_OK;
}
