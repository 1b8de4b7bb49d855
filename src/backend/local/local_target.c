/* SPDX-License-Identifier: Apache-2.0
 * Where a write goes: a temporary in the directory of its final name, which appears at once and whole. Decides
 * which temporary (local_temporary.c) by what stands there, and owns the moment of the name. Worker threads.
 *
 * A file that must not replace another has no name at all until then (O_TMPFILE, linkat). Otherwise its
 * temporary is ".orbit-<hash of the name>", so that a killed process leaves one such file at most, which the
 * next write of the same name finds: unlocked, it is stale and removed; locked, the name is being written and
 * the second writer hears ORBIT_E_BUSY. What is no regular file is written in place. */
#include "backend/local/local_temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { LINKS_MAX = 40, FIFO_WAIT_MS = 20 };

/* ---- what stands at the name --------------------------------------------------------------------- */

/* The text of the path that the symlink at `path` names. */
static int follow_link(const struct orb_local_place *place, const char *path, char **followed)
{
    char link[PATH_MAX];
    ssize_t length = readlinkat(place->directory, place->name, link, sizeof(link));
    if (length < 0)
        return -errno;
    if (length == 0 || length == (ssize_t)sizeof(link))
        return -ENAMETOOLONG;
    size_t kept = 0; /* of the path, up to the link's name */
    const char *slash = strrchr(path, '/');
    if (link[0] != '/' && slash)
        kept = (size_t)(slash + 1 - path);
    char *text = orb_malloc(kept + (size_t)length + 1);
    if (!text)
        return -ENOMEM;
    memcpy(text, path, kept);
    memcpy(text + kept, link, (size_t)length);
    text[kept + (size_t)length] = '\0';
    *followed = text;
    return 0;
}

/* 1: what `path` leads to is there and no regular file: written in place. */
static int is_special(struct orb_local *self, const char *path)
{
    struct statx stat;
    int fd = orb_local_open(self, path, O_PATH);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int status = orb_local_stat_fd(fd, &stat);
    orb_local_close(fd);
    if (status < 0)
        return status;
    return !S_ISREG(stat.stx_mode) && !S_ISDIR(stat.stx_mode);
}

/* Finds the name that is to be replaced: `path` itself, or what the symlinks there lead to. `stat` has mode 0
 * when there is nothing. 1: symlinks lead to what is no regular file (some, as /dev/stdout, only the kernel can
 * follow); `place` is left. */
static int find_final(struct orb_local *self, const char *path, int flags, bool follow, struct orb_local_place *place,
                      struct statx *stat)
{
    char *followed = NULL;
    int status = -ELOOP;
    for (int links = 0; links <= LINKS_MAX; links++) {
        const char *at = followed ? followed : path;
        status = orb_local_find(self, at, flags, place);
        if (status < 0)
            break;
        *stat = (struct statx){0};
        if (statx(place->directory, place->name, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, stat) != 0) {
            status = errno == ENOENT ? 0 : -errno;
            *stat = (struct statx){0};
            break;
        }
        if (!S_ISLNK(stat->stx_mode) || !follow)
            break;
        char *next = NULL;
        if (links == 0 && is_special(self, path) > 0)
            status = 1;
        else
            status = follow_link(place, at, &next);
        orb_local_leave(place);
        if (status != 0) {
            orb_free(followed);
            return status;
        }
        orb_free(followed);
        followed = next;
        status = -ELOOP;
    }
    if (status < 0)
        orb_local_leave(place);
    orb_free(followed);
    return status;
}

/* A device or FIFO, also behind symlinks that only the kernel can follow (/dev/stdout). */
static int open_in_place(struct orb_local_target *target, const orbit_op *op, const char *path)
{
    for (;;) {
        int fd = orb_local_open(target->self, path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0) {
            target->fd = fd;
            target->in_place = true;
            target->ordered = lseek(fd, 0, SEEK_CUR) < 0;
            return 0;
        }
        if (fd != -ENXIO) /* a FIFO that nobody reads yet */
            return fd;
        struct statx stat;
        int probe = orb_local_open(target->self, path, O_PATH);
        int status = probe < 0 ? probe : orb_local_stat_fd(probe, &stat);
        orb_local_close(probe);
        if (status < 0)
            return status;
        if (!S_ISFIFO(stat.stx_mode))
            return fd;
        if (orbit_op_cancelled(op))
            return -ECANCELED;
        poll(NULL, 0, FIFO_WAIT_MS);
    }
}

/* ---- opening ------------------------------------------------------------------------------------ */

static orbit_status target_refuse(orbit_error *error, const char *path, orbit_status status, uint32_t flags,
                                  const char *why)
{
    struct orb_local_shown shown;
    orb_fail(error, status, 0, "cannot write '%s': %s", orb_local_show(&shown, path), why);
    if (error)
        error->flags |= flags;
    return status;
}

static orbit_status open_temporary(struct orb_local_target *target, const struct orb_local_target_request *request,
                                   orbit_error *error)
{
    int status = -EOPNOTSUPP;
    orbit_status said = ORBIT_OK;
    if (request->resume_id)
        status = orb_local_open_resumed(target, request->resume_id);
    else if (request->keep)
        status = orb_local_open_kept(target, request->keep, error, &said);
    else if (!target->overwrite)
        status = orb_local_open_unnamed(target);
    if (status == -EOPNOTSUPP && !request->resume_id)
        status = orb_local_open_named(target);
    if (status == -EBUSY)
        return target_refuse(error, request->path, ORBIT_E_BUSY, 0, "it is in use: another write of it is under way");
    if (status == 0 && said < 0)
        return said;
    if (target->journal && target->sync == ORBIT_SYNC_DEFAULT)
        target->sync = ORBIT_SYNC_DIRECTORY; /* what was worth keeping through a crash is worth it to the end */
    return status < 0 ? orb_local_fail(error, -status, "write", request->path) : ORBIT_OK;
}

/* Decides by what stands at the name. */
static orbit_status open_at_place(struct orb_local_target *target, const orbit_op *op,
                                  const struct orb_local_target_request *request, struct orb_local_place *place,
                                  const struct statx *stat, orbit_error *error)
{
    const char *path = request->path;
    if (S_ISDIR(stat->stx_mode) || place->is_self)
        return orb_local_fail(error, EISDIR, "write", path);
    if (stat->stx_mode != 0 && !target->overwrite)
        return orb_local_fail(error, EEXIST, "write", path);
    if (place->slash)
        return target_refuse(error, path, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY,
                             "the path ends in '/', which names a directory");
    if (stat->stx_mode != 0 && !S_ISREG(stat->stx_mode)) {
        int status = open_in_place(target, op, path);
        return status < 0 ? orb_local_fail(error, -status, "write", path) : ORBIT_OK;
    }
    target->replaces = stat->stx_mode != 0;
    target->old = *stat;
    /* The place's name may point into a path that goes away. */
    size_t length = strlen(place->last);
    memcpy(target->name, place->last, length + 1);
    target->directory = place->directory;
    place->directory = AT_FDCWD;
    target->most = request->like ? request->like->stx_mode & 0777u : 0666u; /* a program stays one, as with cp(1) */
    orb_local_take_attributes(target, request->options, request->preserve);
    return open_temporary(target, request, error);
}

orbit_status orb_local_target_open(struct orb_local_target *target, struct orb_local *self, const orbit_op *op,
                                   const struct orb_local_target_request *request, orbit_error *error)
{
    const orbit_write_options *options = request->options;
    const char *path = request->path;
    *target = (struct orb_local_target){.self = self, .directory = -1, .fd = -1};
    target->overwrite = options->overwrite;
    target->sync = options->sync;

    orbit_status status = orb_local_no_version(NULL, options->if_match, path, error);
    if (status < 0)
        return status;
    int flags = options->create_parents ? ORB_LOCAL_CREATE : 0;
    if (options->sync == ORBIT_SYNC_DIRECTORY)
        flags |= ORB_LOCAL_DURABLE;
    /* A name that ends in '/' makes no directories. */
    size_t length = strlen(path);
    if (length > 0 && path[length - 1] == '/')
        flags = 0;

    struct orb_local_place place;
    struct statx stat;
    int result = find_final(self, path, flags, options->overwrite, &place, &stat);
    if (result == -ENOENT && flags == 0 && length > 0 && path[length - 1] == '/')
        return target_refuse(error, path, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY,
                             "the path ends in '/', which names a directory");
    if (result == 1) {
        result = open_in_place(target, op, path);
        return result < 0 ? orb_local_fail(error, -result, "write", path) : ORBIT_OK;
    }
    if (result < 0)
        return orb_local_fail(error, -result, "write", path);
    status = open_at_place(target, op, request, &place, &stat, error);
    orb_local_leave(&place);
    if (status < 0)
        orb_local_target_close(target);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* A FIFO or socket whose reader went away must not raise SIGPIPE, whoever's thread this is. */
static ssize_t write_quietly(int fd, const void *bytes, size_t length)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    sigpending(&pending);
    ssize_t put = write(fd, bytes, length);
    int number = errno;
    if (put < 0 && number == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec now = {0};
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return put;
}

int orb_local_target_write(struct orb_local_target *target, const orbit_op *op, const void *bytes, size_t length,
                           uint64_t at)
{
    const char *from = bytes;
    while (length > 0) {
        if (at > (uint64_t)INT64_MAX - length)
            return -EFBIG;
        ssize_t put =
            target->ordered ? write_quietly(target->fd, from, length) : pwrite(target->fd, from, length, (off_t)at);
        if (put == 0)
            return -EIO;
        if (put < 0) {
            int status = errno == EINTR ? 0 : -errno;
            if (status == -EAGAIN)
                status = orb_local_wait(op, target->fd, POLLOUT);
            if (status < 0)
                return status;
            continue;
        }
        from += put;
        length -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

/* ---- the final name ----------------------------------------------------------------------------- */

static int link_unnamed(const struct orb_local_target *target)
{
    struct orb_local_proc proc;
    if (linkat(AT_FDCWD, orb_local_proc(&proc, target->fd, NULL), target->directory, target->name, AT_SYMLINK_FOLLOW) ==
        0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    return linkat(target->fd, "", target->directory, target->name, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

static int name_it(const struct orb_local_target *target)
{
    int directory = target->directory;
    if (!target->temporary[0])
        return link_unnamed(target);
    if (!orb_local_still_named(target, target->fd))
        return -ESTALE;
    if (target->overwrite)
        return renameat(directory, target->temporary, directory, target->name) == 0 ? 0 : -errno;
    if (renameat2(directory, target->temporary, directory, target->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(directory, target->temporary, directory, target->name, 0) != 0)
        return errno == EPERM ? -EOPNOTSUPP : -errno;
    unlinkat(directory, target->temporary, 0);
    return 0;
}

/* Network file systems tell of a full disk when a file is closed: close a copy of the descriptor while the old
 * file still has the name. */
static int flush_as_close(const struct orb_local_target *target)
{
    int copy = fcntl(target->fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    return close(copy) == 0 || errno == EINTR ? 0 : -errno;
}

static int publish(struct orb_local_target *target, int source_fd)
{
    int status = orb_local_set_attributes(target, source_fd);
    if (status == 0 && target->sync >= ORBIT_SYNC_FILE && fsync(target->fd) != 0)
        status = -errno;
    if (status == 0)
        status = flush_as_close(target);
    if (status == 0)
        status = name_it(target);
    if (status < 0)
        return status;
    target->published = true;
    if (target->sync == ORBIT_SYNC_DIRECTORY)
        status = orb_local_flush_directory(target->directory);
    return status;
}

static orbit_status stat_published(const struct orb_local_target *target, const char *path, orbit_metadata *reply,
                                   orbit_error *error)
{
    struct statx stat;
    if (target->in_place || !reply)
        return ORBIT_OK;
    if (statx(target->directory, target->name, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, &stat) != 0)
        return orb_local_fail(error, errno, "write", path);
    orb_local_fill(reply, &stat);
    return ORBIT_OK;
}

orbit_status orb_local_target_publish(struct orb_local_target *target, const char *path, int source_fd,
                                      orbit_metadata *reply, orbit_error *error)
{
    struct statx stat;
    int status = 0;
    if (target->published && target->fd < 0) /* asked again */
        return stat_published(target, path, reply, error);
    if (target->in_place) {
        /* Not every device knows what flushing is. */
        if (target->sync >= ORBIT_SYNC_FILE && fsync(target->fd) != 0 && errno != EINVAL && errno != EROFS)
            status = -errno;
        target->published = status == 0;
    } else if (!target->published) {
        status = publish(target, source_fd);
    }
    if (status == -ESTALE)
        return target_refuse(error, path, ORBIT_E_CHANGED, 0, "somebody removed or replaced its temporary file");
    if (status == 0)
        status = orb_local_stat_fd(target->fd, &stat);
    if (status < 0)
        return orb_local_fail(error, -status, "write", path);
    if (reply)
        orb_local_fill(reply, &stat);
    return ORBIT_OK;
}

void orb_local_target_discard(struct orb_local_target *target)
{
    /* While it is locked it is ours; a name that stands for something else is left alone. */
    if (!target->in_place && !target->published && target->temporary[0] && target->fd >= 0 &&
        orb_local_still_named(target, target->fd)) {
        orb_local_journal_end(target->journal, true);
        target->journal = NULL;
        unlinkat(target->directory, target->temporary, 0);
    }
    orb_local_target_close(target);
}

void orb_local_target_suspend(struct orb_local_target *target)
{
    if (target->journal && orb_local_journal_end(target->journal, false)) {
        target->journal = NULL;
        orb_local_target_close(target);
    } else {
        target->journal = NULL;
        orb_local_target_discard(target);
    }
}

void orb_local_target_close(struct orb_local_target *target)
{
    orb_local_journal_end(target->journal, false);
    target->journal = NULL;
    orb_local_close(target->fd);
    orb_local_close(target->directory);
    target->fd = -1;
    target->directory = -1;
}
