/* SPDX-License-Identifier: Apache-2.0
 * Jobs of names that are read, one by one, from memory, a file, a pipe or a function: whatever their number, one name
 * and one block are held. On the transfer's thread for its source; stop() may come from another. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "stream/source.h"
#include "transfer/jobs.h"

#define BLOCK ((size_t)64 << 10)

struct names {
    struct orb_jobs_roots roots;
    orbit_source source;
    char delimiter;
    int fd; /* what is read, -1: memory or a function */
    bool own_fd;
    int stop_fd; /* readable: stop */
    size_t from_memory;
    char *block;
    size_t at, have;
    bool over;
    struct orb_buf name; /* the part of one that came so far */
    uint64_t too_long;   /* bytes of a name that is skipped */
};

static orbit_status read_fd(struct names *names, orbit_error *error)
{
    for (;;) {
        struct pollfd fds[2] = {{names->fd, POLLIN, 0}, {names->stop_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return orb_fail_errno(error, errno, "cannot wait for names");
        if (fds[1].revents)
            return orb_fail(error, ORBIT_E_CANCELLED, 0, "reading names was cancelled");
        if (!fds[0].revents)
            continue;
        ssize_t got = read(names->fd, names->block, BLOCK);
        if (got >= 0) {
            names->have = (size_t)got;
            return got ? ORBIT_OK : ORBIT_END;
        }
        if (errno != EINTR && errno != EAGAIN)
            return orb_fail_errno(error, errno, "cannot read the names of what is to be transferred");
    }
}

static orbit_status fill(struct names *names, orbit_error *error)
{
    const orbit_source *source = &names->source;
    names->at = names->have = 0;
    if (names->fd >= 0)
        return read_fd(names, error);
    if (source->kind == ORB_SOURCE_MEMORY) {
        size_t left = (size_t)source->length - names->from_memory;
        names->have = left < BLOCK ? left : BLOCK;
        memcpy(names->block, (const char *)source->bytes + names->from_memory, names->have);
        names->from_memory += names->have;
        return names->have ? ORBIT_OK : ORBIT_END;
    }
    orbit_status status = source->read(source->ctx, names->block, BLOCK, &names->have, error);
    return status == ORBIT_OK && !names->have ? ORBIT_END : status;
}

/* The bytes up to the delimiter are in names->name. ORBIT_END: none are left. */
static orbit_status read_name(struct names *names, orbit_error *error)
{
    orb_buf_reset(&names->name);
    names->too_long = 0;
    for (;;) {
        if (names->at == names->have) {
            orbit_status status = names->over ? ORBIT_END : fill(names, error);
            names->over = status != ORBIT_OK;
            if (status == ORBIT_END && (names->name.length || names->too_long))
                return ORBIT_OK; /* the last one, without a delimiter */
            if (status != ORBIT_OK)
                return status;
        }
        const char *from = names->block + names->at;
        size_t left = names->have - names->at;
        const char *end = memchr(from, names->delimiter, left);
        size_t length = end ? (size_t)(end - from) : left;
        if (names->too_long || names->name.length + length > ORB_JOBS_NAME_MAX)
            names->too_long += length + (names->too_long ? 0 : names->name.length);
        else if (!orb_buf_append(&names->name, from, length))
            return orb_fail_memory(error);
        names->at += length + (end ? 1 : 0);
        if (end)
            return ORBIT_OK;
    }
}

static orbit_status names_next(void *ctx, orbit_job *job, orbit_error *error)
{
    struct names *names = ctx;
    for (;;) {
        orbit_status status = read_name(names, error);
        if (status != ORBIT_OK)
            return status;
        size_t length = names->name.length;
        if (!length && !names->too_long)
            continue;
        const char *name = orb_buf_string(&names->name);
        if (names->too_long) {
            (void)orb_jobs_below(&names->roots, name, length < 64 ? length : 64, false, job, error);
            orb_fail(error, ORBIT_E_PATH, 0, "a name of %llu bytes is too long for a path",
                     (unsigned long long)names->too_long);
            return ORBIT_ENTRY_FAILED;
        }
        status = orb_jobs_below(&names->roots, name, length, false, job, error);
        if (status == ORBIT_OK && memchr(name, '\0', length)) {
            orb_fail(error, ORBIT_E_PATH, 0, "'%.200s' goes on behind a NUL: no path can", name);
            return ORBIT_ENTRY_FAILED;
        }
        return status;
    }
}

static void names_stop(void *ctx)
{
    const struct names *names = ctx;
    uint64_t one = 1;
    ssize_t ignored = write(names->stop_fd, &one, sizeof(one));
    (void)ignored;
}

static void names_close(void *ctx)
{
    struct names *names = ctx;
    orb_source_close(&names->source);
    if (names->own_fd)
        close(names->fd);
    if (names->stop_fd >= 0)
        close(names->stop_fd);
    orb_buf_release(&names->name);
    orb_jobs_roots_release(&names->roots);
    orb_free(names->block);
    orb_free(names);
}

static orbit_status open_names(struct names *names, orbit_error *error)
{
    const orbit_source *source = &names->source;
    orbit_status status = orb_source_check(source, error);
    if (status < 0)
        return status;
    if (source->kind == ORB_SOURCE_READER)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "names cannot be read from an orbit_reader");
    if (source->kind == ORB_SOURCE_FD)
        names->fd = source->fd;
    if (source->kind == ORB_SOURCE_PATH) {
        const char *path = source->bytes;
        names->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (names->fd < 0)
            return orb_fail_errno(error, errno, "cannot open '%s'", path);
        names->own_fd = true;
    }
    names->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (names->stop_fd < 0)
        return orb_fail_errno(error, errno, "cannot make an event descriptor");
    names->block = orb_malloc(BLOCK);
    return names->block ? ORBIT_OK : orb_fail_memory(error);
}

orbit_status orbit_jobs_names(orbit_job_source *jobs, uint32_t operation, orbit_backend *from_backend, const char *from,
                              orbit_backend *to_backend, const char *to, orbit_source source, char delimiter,
                              orbit_error *error)
{
    struct names *names = jobs ? orb_calloc(1, sizeof(*names)) : NULL;
    if (!names) {
        orb_source_close(&source);
        return jobs ? orb_fail_memory(error)
                    : orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_jobs_names() without a place for the source");
    }
    *jobs = (orbit_job_source){0};
    names->source = source;
    names->delimiter = delimiter;
    names->fd = names->stop_fd = -1;
    orb_buf_init(&names->name, ORB_JOBS_NAME_MAX + 1);
    orbit_status status =
        orb_jobs_roots_init(&names->roots, operation, from_backend, from, to_backend, to, "orbit_jobs_names", error);
    if (status >= 0)
        status = open_names(names, error);
    if (status < 0) {
        names_close(names);
        return status;
    }
    *jobs = (orbit_job_source){.next = names_next, .stop = names_stop, .close = names_close, .ctx = names};
    return ORBIT_OK;
}
