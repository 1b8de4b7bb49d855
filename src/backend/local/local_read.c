/* SPDX-License-Identifier: Apache-2.0
 * Reading: from the file straight into the room that the sink lends. A read that finds no room returns the
 * worker and goes on with resume. Worker threads, one at a time per read.
 *
 * What has no length (FIFOs, devices, files of proc and sysfs) is delivered in order until it ends: then
 * reply.length is ORBIT_TO_END and the metadata has no ORBIT_HAS_SIZE; the bytes delivered are the length. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    BLOCK = 1 << 20,       /* asked of the sink at a time */
    READAHEAD = 256 << 10, /* a range from this on is worth a hint */
    WAIT_MS = 50,          /* between two looks at cancel */
    LEASE_WAIT_MS = 10,
    LOAD = 256 << 10 /* on a thread that has others to serve */
};

int orb_local_wait(const orbit_op *op, int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};
    while (!orbit_op_cancelled(op)) {
        int ready = poll(&poller, 1, WAIT_MS);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
    return -ECANCELED;
}

int orb_local_open_read(struct orb_local *self, const orbit_op *op, const char *path)
{
    for (;;) {
        int fd = orb_local_open(self, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd != -EAGAIN)
            return fd;
        /* Another process has a lease on the file and was told to give it up. */
        if (orbit_op_cancelled(op))
            return -ECANCELED;
        poll(NULL, 0, LEASE_WAIT_MS);
    }
}

bool orb_local_size_lies(int fd, const struct statx *stat)
{
    if (!S_ISREG(stat->stx_mode))
        return true;
    if (stat->stx_blocks > 0)
        return false;
    if (stat->stx_size == 0) {
        char byte;
        return pread(fd, &byte, 1, 0) > 0;
    }
    struct statfs fs; /* sysfs says 4096 of everything */
    if (fstatfs(fd, &fs) != 0)
        return false;
    switch ((unsigned long)fs.f_type) {
    case SYSFS_MAGIC:
    case PROC_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case SECURITYFS_MAGIC:
        return true;
    default:
        return false;
    }
}

/* Whether bytes can be had without waiting for a device. */
enum { CACHED_UNKNOWN = 0, CACHED_ALL, CACHED_ASK, CACHED_NEVER };

struct reading {
    const orbit_read_request *request;
    orbit_sink *sink;
    orbit_read_reply *reply;
    int fd;
    struct statx stat;
    uint64_t at, end; /* end ORBIT_TO_END: until the file says so */
    bool started;
    bool endless;  /* its length is not known */
    bool in_order; /* it has no offsets */
    int cached;    /* CACHED_… */
};

static orbit_status read_fail(const struct reading *reading, orbit_error *error, int number)
{
    return orb_local_fail(error, number, "read", reading->request->path);
}

/* The length of what is no regular file; false: it has none. */
static bool device_length(int fd, const struct statx *stat, uint64_t *length)
{
    return S_ISBLK(stat->stx_mode) && ioctl(fd, BLKGETSIZE64, length) == 0;
}

static orbit_status find_range(struct reading *reading, orbit_error *error)
{
    const orbit_read_request *request = reading->request;
    uint64_t size = reading->stat.stx_size;

    bool device = device_length(reading->fd, &reading->stat, &size);
    reading->endless = !device && orb_local_size_lies(reading->fd, &reading->stat);
    orb_local_fill(&reading->reply->metadata, &reading->stat);
    reading->at = request->offset;
    if (reading->endless) {
        reading->in_order = lseek(reading->fd, 0, SEEK_CUR) < 0;
        if (reading->in_order && request->offset > 0) {
            struct orb_local_shown shown;
            return orb_fail(error, ORBIT_E_UNSUPPORTED, ESPIPE,
                            "cannot read '%s' from byte %llu: it can only be read from its beginning",
                            orb_local_show(&shown, request->path), (unsigned long long)request->offset);
        }
        reading->reply->metadata.fields &= ~(uint32_t)ORBIT_HAS_SIZE;
        reading->reply->metadata.size = 0;
        reading->reply->length = ORBIT_TO_END;
        reading->end = ORBIT_TO_END;
        if (request->length < ORBIT_TO_END - request->offset)
            reading->end = request->offset + request->length;
        return ORBIT_OK;
    }
    reading->reply->metadata.fields |= ORBIT_HAS_SIZE;
    reading->reply->metadata.size = size;
    uint64_t left = request->offset < size ? size - request->offset : 0;
    reading->reply->length = request->length < left ? request->length : left;
    reading->end = request->offset + reading->reply->length;
    if (reading->reply->length >= READAHEAD)
        posix_fadvise(reading->fd, (off_t)request->offset, (off_t)reading->reply->length, POSIX_FADV_SEQUENTIAL);
    return ORBIT_OK;
}

static orbit_status open_file(struct orb_local *self, orbit_op *op, struct reading *reading, orbit_error *error)
{
    const orbit_read_request *request = reading->request;
    orbit_status status = orb_local_no_version(request->version_id, request->if_match, request->path, error);
    if (status < 0)
        return status;
    reading->fd = orb_local_open_read(self, op, request->path);
    if (reading->fd < 0)
        return read_fail(reading, error, -reading->fd);
    int result = orb_local_stat_fd(reading->fd, &reading->stat);
    if (result < 0)
        return read_fail(reading, error, -result);
    if (S_ISDIR(reading->stat.stx_mode))
        return read_fail(reading, error, EISDIR);
    status = orb_local_check_pin(&reading->stat, S_ISREG(reading->stat.stx_mode) ? request->pin : NULL, request->path,
                                 error);
    if (status < 0)
        return status;
    return find_range(reading, error);
}

/* Bytes read, 0 at the end, or a negative errno. */
static ssize_t read_block(const struct reading *reading, const orbit_op *op, void *room, size_t length)
{
    for (;;) {
        ssize_t got =
            reading->in_order ? read(reading->fd, room, length) : pread(reading->fd, room, length, (off_t)reading->at);
        if (got >= 0)
            return got;
        if (errno == EAGAIN) {
            int status = orb_local_wait(op, reading->fd, POLLIN);
            if (status < 0)
                return status;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

/* A FIFO without a writer reads as ended: wait for the first one. */
static orbit_status await_writer(const struct reading *reading, const orbit_op *op, orbit_error *error)
{
    if (!S_ISFIFO(reading->stat.stx_mode))
        return ORBIT_OK;
    int result = orb_local_wait(op, reading->fd, POLLIN);
    return result < 0 ? read_fail(reading, error, -result) : ORBIT_OK;
}

static orbit_status shrunk(const struct reading *reading, orbit_error *error)
{
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_CHANGED, 0,
                    "'%s' changed while it was being read: it ended at byte %llu, before %llu",
                    orb_local_show(&shown, reading->request->path), (unsigned long long)reading->at,
                    (unsigned long long)reading->end);
}

/* ORBIT_AGAIN: no room, the sink resumes. */
static orbit_status fill(struct reading *reading, orbit_op *op, orbit_error *error)
{
    orbit_sink *sink = reading->sink;
    while (reading->at < reading->end) {
        if (orbit_op_cancelled(op))
            return orb_local_cancelled(error, "read", reading->request->path);
        uint64_t left = reading->end - reading->at;
        size_t room = 0;
        void *to = sink->acquire(sink, left < BLOCK ? (size_t)left : BLOCK, &room);
        if (!to)
            return ORBIT_AGAIN;
        if (room > left)
            room = (size_t)left;
        ssize_t got = read_block(reading, op, to, room);
        orbit_status status = sink->commit(sink, got > 0 ? (size_t)got : 0);
        if (got < 0)
            return read_fail(reading, error, (int)-got);
        if (got == 0)
            return reading->endless ? ORBIT_OK : shrunk(reading, error);
        if (status < 0)
            return orb_fail(error, status, 0, "%s", orbit_status_text(status));
        reading->at += (uint64_t)got;
    }
    return ORBIT_OK;
}

/* What was read must be of one version: nobody wrote to the file meanwhile. */
static orbit_status check_intact(const struct reading *reading, orbit_error *error)
{
    struct statx now;
    if (reading->endless || !S_ISREG(reading->stat.stx_mode) || reading->reply->length == 0)
        return ORBIT_OK;
    int result = orb_local_stat_fd(reading->fd, &now);
    if (result < 0)
        return read_fail(reading, error, -result);
    if (orb_local_intact(&reading->stat, &now))
        return ORBIT_OK;
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' changed while it was being read: it was written to",
                    orb_local_show(&shown, reading->request->path));
}

static void read_work(void *self, orbit_op *op)
{
    struct reading *reading = op->state;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (orbit_op_cancelled(op))
        status = orb_local_cancelled(&error, "read", reading->request->path);
    if (status == ORBIT_OK && !reading->started) {
        reading->started = true;
        status = open_file(self, op, reading, &error);
        if (status == ORBIT_OK) {
            orbit_op_head(op);
            status = await_writer(reading, op, &error);
        }
    }
    if (status == ORBIT_OK)
        status = fill(reading, op, &error);
    if (status == ORBIT_AGAIN)
        return;
    if (status == ORBIT_OK)
        status = check_intact(reading, &error);
    orb_local_close(reading->fd);
    orb_local_end(op, status, &error);
}

/* ---- on the thread that sends the bytes on -------------------------------------------------------- */

/* What is in memory: the page cache says so (RWF_NOWAIT), and tmpfs is nothing else but does not know the question.
 * Bytes read, or a negative errno. */
static ssize_t read_cached(struct reading *reading, void *room, size_t length)
{
    const struct iovec into = {room, length};
    if (reading->cached == CACHED_UNKNOWN) {
        struct statfs fs;
        bool memory = fstatfs(reading->fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
        reading->cached = memory ? CACHED_ALL : CACHED_ASK;
    }
    if (reading->cached == CACHED_NEVER)
        return -EAGAIN;
    int flags = reading->cached == CACHED_ALL ? 0 : RWF_NOWAIT;
    ssize_t got = preadv2(reading->fd, &into, 1, (off_t)reading->at, flags);
    if (got < 0 && errno == EOPNOTSUPP)
        reading->cached = CACHED_NEVER;
    return got < 0 ? -errno : got;
}

/* Never the last of it: the end is the worker's, who looks whether it was one file all along, and so is every
 * failure. */
static bool load_block(struct reading *reading)
{
    uint64_t left = reading->end - reading->at;
    size_t room = 0;
    if (!reading->started || reading->endless || reading->in_order || left <= LOAD)
        return false;
    void *to = reading->sink->acquire(reading->sink, LOAD, &room);
    if (!to)
        return false;
    ssize_t got = read_cached(reading, to, room < LOAD ? room : LOAD);
    if (got > 0)
        reading->at += (uint64_t)got;
    return reading->sink->commit(reading->sink, got > 0 ? (size_t)got : 0) >= 0 && got > 0;
}

static bool load(orbit_op *op)
{
    if (!orbit_op_enter(op))
        return false;
    bool loaded = !orbit_op_cancelled(op) && load_block(op->state);
    orbit_op_leave(op);
    return loaded;
}

static void read_resume(orbit_op *op)
{
    orbit_op_run(op, read_work);
}

void orb_local_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                    orbit_read_reply *reply)
{
    (void)self;
    struct reading *reading = orb_calloc(1, sizeof(*reading));
    if (!reading) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    reading->request = request;
    reading->sink = sink;
    reading->reply = reply;
    reading->fd = -1;
    op->state = reading;
    op->resume = read_resume;
    op->load = load;
    orbit_op_run(op, read_work);
}
