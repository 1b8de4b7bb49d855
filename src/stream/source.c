/* SPDX-License-Identifier: Apache-2.0
 * Ready-made sources, and the look that tells a file from what must be read in order. Any thread. */
#include "stream/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define READ_MAX ((size_t)1 << 30)

orbit_source orbit_source_function(orbit_status (*read)(void *, void *, size_t, size_t *, orbit_error *), void *ctx)
{
    return (orbit_source){.read = read, .ctx = ctx, .length = ORBIT_SIZE_UNKNOWN, .fd = -1};
}

orbit_source orbit_source_path(const char *path)
{
    return (orbit_source){.length = ORBIT_SIZE_UNKNOWN, .kind = ORB_SOURCE_PATH, .fd = -1, .bytes = path};
}

orbit_source orbit_source_fd(int fd)
{
    return (orbit_source){.length = ORBIT_SIZE_UNKNOWN, .kind = ORB_SOURCE_FD, .fd = fd};
}

orbit_source orbit_source_memory(const void *bytes, size_t length)
{
    return (orbit_source){.length = length, .kind = ORB_SOURCE_MEMORY, .fd = -1, .bytes = bytes};
}

orbit_source orbit_source_reader(orbit_reader *reader)
{
    return (orbit_source){.ctx = reader, .length = ORBIT_SIZE_UNKNOWN, .kind = ORB_SOURCE_READER, .fd = -1};
}

void orb_source_close(orbit_source *source)
{
    void (*close_source)(void *) = source->close;
    source->close = NULL;
    if (close_source)
        close_source(source->ctx);
}

orbit_status orb_source_check(const orbit_source *source, orbit_error *error)
{
    const char *what = NULL;
    switch (source->kind) {
    case ORB_SOURCE_FUNCTION:
        what = source->read ? NULL : "a function";
        break;
    case ORB_SOURCE_PATH:
        what = source->bytes ? NULL : "a path";
        break;
    case ORB_SOURCE_FD:
        what = source->fd >= 0 ? NULL : "a descriptor";
        break;
    case ORB_SOURCE_MEMORY:
        what = source->bytes || source->length == 0 ? NULL : "its bytes";
        break;
    case ORB_SOURCE_READER:
        what = source->ctx ? NULL : "a reader";
        break;
    default:
        return orb_fail(error, ORBIT_E_MISUSE, 0, "an orbit_source of kind %u: it was not initialised", source->kind);
    }
    return what ? orb_fail(error, ORBIT_E_MISUSE, 0, "an orbit_source without %s", what) : ORBIT_OK;
}

/* ---- files ------------------------------------------------------------------------------------------ */

/* Files of /proc and the like say they are empty and are not: only what has a size is taken by its extents. */
static bool has_extents(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_size > 0;
}

static orbit_status look_at_path(struct orb_source_file *file, const char *path, orbit_error *error)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return orb_fail_errno(error, errno, "cannot read '%s'", path);
    if (has_extents(&st)) {
        file->path = orb_strdup(path);
        file->extents = true;
        return file->path ? ORBIT_OK : orb_fail_memory(error);
    }
    if (S_ISDIR(st.st_mode)) {
        orbit_status status = orb_fail(error, ORBIT_E_PATH, EISDIR, "cannot read '%s': it is a directory", path);
        if (error)
            error->flags |= ORBIT_ERROR_IS_DIRECTORY;
        return status;
    }
    do
        file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0)
        return orb_fail_errno(error, errno, "cannot open '%s'", path);
    file->own_fd = true;
    return ORBIT_OK;
}

/* The descriptor's file by another way in, so that its ranges can be read side by side. */
static bool reopens(const char *path, const struct stat *st)
{
    struct stat other;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool same = fd >= 0 && fstat(fd, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
    if (fd >= 0)
        close(fd);
    return same;
}

static orbit_status look_at_fd(struct orb_source_file *file, int fd, orbit_error *error)
{
    struct stat st;
    char path[32];
    if (fstat(fd, &st) != 0)
        return orb_fail_errno(error, errno, "cannot read from descriptor %d", fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY)
        return orb_fail_errno(error, EBADF, "cannot read from descriptor %d", fd);
    file->fd = fd;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (!has_extents(&st) || at < 0)
        return ORBIT_OK;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!reopens(path, &st))
        return ORBIT_OK;
    file->path = orb_strdup(path);
    file->offset = (uint64_t)at;
    file->extents = true;
    return file->path ? ORBIT_OK : orb_fail_memory(error);
}

orbit_status orb_source_look(struct orb_source_file *file, uint32_t kind, const char *path, int fd, orbit_error *error)
{
    *file = (struct orb_source_file){.fd = -1};
    return kind == ORB_SOURCE_PATH ? look_at_path(file, path, error) : look_at_fd(file, fd, error);
}

void orb_source_file_release(struct orb_source_file *file)
{
    if (file->own_fd && file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    file->own_fd = false;
    orb_free(file->path);
    file->path = NULL;
}

orbit_status orb_source_read_fd(int fd, int stop_fd, const char *name, void *buffer, size_t room, size_t *length,
                                orbit_error *error)
{
    *length = 0;
    for (;;) {
        struct pollfd wait[2] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return orb_fail_errno(error, errno, "cannot wait for %s", name);
        if (wait[1].revents)
            return orb_fail(error, ORBIT_E_CANCELLED, 0, "nothing more is wanted from %s", name);
        if (!wait[0].revents)
            continue;
        ssize_t got = read(fd, buffer, room < READ_MAX ? room : READ_MAX);
        if (got >= 0) {
            *length = (size_t)got;
            return got > 0 ? ORBIT_OK : ORBIT_END;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return orb_fail_errno(error, errno, "cannot read from %s", name);
    }
}
