/* SPDX-License-Identifier: Apache-2.0
 * The walk's spool: pages as they are in memory, behind a small head, in a file that has no name. Only this process
 * ever reads it. */
#include "stream/walk_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"

struct head {
    uint64_t used, count, at;
};

/* ---- on a worker --------------------------------------------------------------------------------- */

static int make_file(const char *dir)
{
    if (!dir)
        dir = getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/orbit-XXXXXX", dir);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int write_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const char *at = bytes;
    while (length) {
        ssize_t wrote = pwrite(fd, at, length, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno;
        at += wrote;
        length -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return 0;
}

static int read_all(int fd, void *bytes, size_t length, uint64_t offset)
{
    char *at = bytes;
    while (length) {
        ssize_t got = pread(fd, at, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EIO;
        at += got;
        length -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static orbit_status failed(struct orb_spool *spool, int number, const char *what)
{
    return orb_fail_errno(&spool->error, number, "cannot %s the temporary file of a deep listing in '%s'", what,
                          spool->dir ? spool->dir : "$TMPDIR or /tmp");
}

static orbit_status run_write(struct orb_spool *spool)
{
    const struct orbit_page *page = spool->page;
    if (spool->fd < 0)
        spool->fd = make_file(spool->dir);
    if (spool->fd < 0)
        return failed(spool, errno, "make");
    struct head head = {page->used, page->count, spool->at.at};
    int number = write_all(spool->fd, &head, sizeof head, spool->offset);
    if (!number && page->used)
        number = write_all(spool->fd, page->slab, page->used, spool->offset + sizeof head);
    if (number)
        return failed(spool, number, "write");
    spool->next = spool->offset + sizeof head + page->used;
    return ORBIT_OK;
}

static orbit_status run_read(struct orb_spool *spool)
{
    struct orbit_page *page = spool->page;
    struct head head;
    int number = read_all(spool->fd, &head, sizeof head, spool->offset);
    if (number)
        return failed(spool, number, "read");
    size_t used = (size_t)head.used; /* our own: it was a page in memory before */
    if (!orb_page_reserve(page, used))
        return orb_fail_memory(&spool->error);
    if (used)
        number = read_all(spool->fd, page->slab, used, spool->offset + sizeof head);
    if (number)
        return failed(spool, number, "read");
    page->used = used;
    page->count = (size_t)head.count;
    spool->at.at = (size_t)head.at;
    spool->next = spool->offset + sizeof head + used;
    return ORBIT_OK;
}

static void run(struct orb_job *job)
{
    struct orb_spool *spool = (struct orb_spool *)(void *)((char *)job - offsetof(struct orb_spool, job));
    spool->status = spool->writes ? run_write(spool) : run_read(spool);
    orb_loop_post(spool->host->loop, &spool->message);
}

/* ---- on the loop --------------------------------------------------------------------------------- */

static void finished(struct orb_message *message)
{
    struct orb_spool *spool = (struct orb_spool *)(void *)((char *)message - offsetof(struct orb_spool, message));
    if (spool->writes && spool->status >= 0)
        spool->end = spool->next;
    spool->done(spool->ctx, spool->status, &spool->error);
}

void orb_spool_init(struct orb_spool *spool, struct orbit_host *host, const char *dir)
{
    memset(spool, 0, sizeof *spool);
    spool->host = host;
    spool->dir = dir;
    spool->fd = -1;
    spool->job.run = run;
    spool->message.deliver = finished;
}

void orb_spool_close(struct orb_spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
}

static void start(struct orb_spool *spool, void (*done)(void *, orbit_status, const orbit_error *), void *ctx)
{
    spool->done = done;
    spool->ctx = ctx;
    orb_error_clear(&spool->error);
    orb_pool_submit(spool->host->pool, &spool->job);
}

void orb_spool_write(struct orb_spool *spool, struct orbit_page *page, struct orb_page_cursor at,
                     void (*done)(void *ctx, orbit_status status, const orbit_error *error), void *ctx)
{
    spool->writes = true;
    spool->page = page;
    spool->at = at;
    spool->offset = spool->end;
    start(spool, done, ctx);
}

void orb_spool_read(struct orb_spool *spool, uint64_t offset, struct orbit_page *page,
                    void (*done)(void *ctx, orbit_status status, const orbit_error *error), void *ctx)
{
    spool->writes = false;
    spool->page = page;
    spool->offset = offset;
    start(spool, done, ctx);
}
