/* SPDX-License-Identifier: Apache-2.0
 * Temporaries of local writes: their names, their locks, what is taken up of an earlier one and what is stale. A
 * killed process leaves one file of a name at most, which the next write of it finds: unlocked, it is stale and
 * removed (or taken up, where its journal speaks of the same bytes); locked, the name is being written. Worker
 * threads. */
#include "backend/local/local_temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/temporary.h"

enum { TRIES_MAX = 100 /* of a name that others take away meanwhile */ };

bool orb_local_is_temporary(const char *name)
{
    if (!orb_begins_as_temporary(name, strlen(name)))
        return false;
    const char *rest = name + ORB_TEMPORARY_LENGTH;
    return rest[0] == '\0' || strcmp(rest, ORB_LOCAL_JOURNAL) == 0 || strcmp(rest, ORB_LOCAL_JOURNAL ".new") == 0;
}

static void name_temporary(struct orb_local_target *target, uint64_t number)
{
    (void)snprintf(target->temporary, sizeof(target->temporary), ORB_TEMPORARY_FORMAT, (unsigned long long)number);
}

static bool has_proc(void)
{
    struct stat stat;
    return fstatat(AT_FDCWD, "/proc/self/fd", &stat, 0) == 0;
}

int orb_local_open_unnamed(struct orb_local_target *target)
{
    if (atomic_load_explicit(&target->self->no_tmpfile, memory_order_relaxed) || !has_proc())
        return -EOPNOTSUPP;
    int fd = openat(target->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -EOPNOTSUPP; /* whatever it was, the named one will say it better */
    target->temporary[0] = '\0';
    target->fd = fd;
    return 0;
}

bool orb_local_still_named(const struct orb_local_target *target, int fd)
{
    struct statx ours, named;
    return orb_local_stat_fd(fd, &ours) == 0 &&
           statx(target->directory, target->temporary, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, &named) == 0 &&
           orb_local_same(&ours, &named);
}

/* Nobody else's file: what another user made could be read or changed by them later. */
static bool is_ours(int fd)
{
    struct statx stat;
    return orb_local_stat_fd(fd, &stat) == 0 && S_ISREG(stat.stx_mode) && stat.stx_uid == geteuid() &&
           stat.stx_nlink == 1 && (stat.stx_mode & 077) == 0;
}

static bool no_locks_there(int number)
{
    return number == ENOLCK || number == ENOSYS || number == EOPNOTSUPP || number == EINVAL;
}

/* Locks what is at the temporary's name. The descriptor; -EAGAIN: try again (it went away meanwhile), -EBUSY:
 * somebody writes it, -EPERM: not ours to judge. */
static int lock_existing(const struct orb_local_target *target)
{
    int fd = openat(target->directory, target->temporary, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : -EPERM;
    int status = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK ? -EBUSY : -EPERM;
    else if (!orb_local_still_named(target, fd)) /* renamed to its final name while we waited for nothing: not ours */
        status = -EAGAIN;
    if (status < 0) {
        orb_local_close(fd);
        return status;
    }
    return fd;
}

/* The journal first: without it the temporary is stale, whereas it must not speak of another one. */
int orb_local_unlink_temporary(const struct orb_local_target *target)
{
    char journal[sizeof(target->temporary) + sizeof(ORB_LOCAL_JOURNAL)];
    (void)snprintf(journal, sizeof(journal), "%s%s", target->temporary, ORB_LOCAL_JOURNAL);
    unlinkat(target->directory, journal, 0);
    return unlinkat(target->directory, target->temporary, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

/* What a killed process left is removed rather than reused: somebody may have it open. */
static int remove_stale(const struct orb_local_target *target)
{
    int fd = lock_existing(target);
    if (fd < 0)
        return fd;
    int status = orb_local_unlink_temporary(target) == 0 ? 0 : -EPERM;
    orb_local_close(fd);
    return status;
}

static int create_named(struct orb_local_target *target)
{
    int fd = openat(target->directory, target->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int status = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && !no_locks_there(errno))
        status = errno == EWOULDBLOCK ? -EBUSY : -errno;
    else if (!orb_local_still_named(target, fd)) /* taken for stale between creation and lock */
        status = -EBUSY;
    if (status < 0) {
        orb_local_close(fd);
        return status;
    }
    target->fd = fd;
    return 0;
}

int orb_local_open_named(struct orb_local_target *target)
{
    name_temporary(target, orb_crc64nvme(0, target->name, strlen(target->name)));
    int status = -EAGAIN;
    for (int i = 0; i < TRIES_MAX && (status == -EAGAIN || status == -EEXIST); i++) {
        status = create_named(target);
        if (status != -EEXIST)
            break;
        status = remove_stale(target);
        if (status == 0)
            status = -EAGAIN;
    }
    /* The name is taken by something we may not touch: any other will do. */
    for (int i = 0; i < TRIES_MAX && (status == -EPERM || status == -EEXIST); i++) {
        name_temporary(target, orb_random_u64());
        status = create_named(target);
        if (status == -EPERM)
            break; /* it is the directory that does not permit it */
    }
    return status == -EAGAIN ? -EBUSY : status;
}

/* The journal of the temporary that was just opened. ORBIT_END: it speaks of other bytes. */
static orbit_status open_journal(struct orb_local_target *target, const orbit_keep_request *keep, bool fresh,
                                 orbit_error *error)
{
    const struct orb_local_journal_request request = {.directory = target->directory,
                                                      .fd = target->fd,
                                                      .temporary = target->temporary,
                                                      .keep = keep,
                                                      .fresh = fresh,
                                                      .flushes = target->sync != ORBIT_SYNC_NEVER};
    orbit_status status = orb_local_journal_open(&target->journal, target->self, &request, error);
    if (status == ORBIT_OK || status == ORBIT_END || status == ORBIT_E_MEMORY)
        return status;
    /* No room for a journal, or it cannot be had here: written without. One that is there may be followed by a new
     * one. */
    orb_log(&target->self->host->log, ORBIT_LOG_WARN,
            fresh ? "'%s' will not be resumable: %s" : "'%s' is written from its beginning, not gone on with: %s",
            target->name, error->message);
    return ORBIT_OK;
}

int orb_local_open_kept(struct orb_local_target *target, const orbit_keep_request *keep, orbit_error *error,
                        orbit_status *said)
{
    name_temporary(target, orb_crc64nvme(0, target->name, strlen(target->name)));
    for (int i = 0; i < TRIES_MAX; i++) {
        int status = create_named(target);
        if (status == 0) {
            *said = open_journal(target, keep, true, error);
            return 0;
        }
        if (status != -EEXIST)
            return status;
        int fd = lock_existing(target);
        if (fd == -EAGAIN)
            continue;
        if (fd == -EBUSY)
            return fd;
        if (fd >= 0 && is_ours(fd)) {
            target->fd = fd;
            *said = open_journal(target, keep, false, error);
            if (*said < 0 || target->journal)
                return 0;
            target->dropped = *said == ORBIT_END; /* else it was told why */
            target->fd = -1;
        }
        int removed = fd >= 0 ? orb_local_unlink_temporary(target) : -EPERM;
        orb_local_close(fd);
        if (removed < 0)
            return orb_local_open_named(target); /* whatever it is, it is in the way */
    }
    return -EBUSY;
}

int orb_local_open_resumed(struct orb_local_target *target, const char *id)
{
    if (!orb_local_is_temporary(id) || strlen(id) != ORB_TEMPORARY_LENGTH)
        return -EINVAL;
    memcpy(target->temporary, id, ORB_TEMPORARY_LENGTH + 1);
    int fd = lock_existing(target);
    if (fd < 0)
        return fd == -EAGAIN ? -ENOENT : fd;
    if (!is_ours(fd)) {
        orb_local_close(fd);
        return -EPERM;
    }
    target->fd = fd;
    target->resumed = true;
    return 0;
}

bool orb_local_kept(void *self_, const char *path)
{
    const struct orb_local *self = self_;
    char journal[PATH_MAX];
    const char *name = orb_path_base(path), *root = self->root ? self->root : "", *slash = self->root ? "/" : "";
    struct stat there;
    int length = snprintf(journal, sizeof(journal), "%s%s%s", root, slash, path);
    if (length > 0 && (size_t)length < sizeof(journal) && lstat(journal, &there) == 0 && !S_ISREG(there.st_mode))
        return true;
    length = snprintf(journal, sizeof(journal), "%s%s%.*s" ORB_TEMPORARY_FORMAT ORB_LOCAL_JOURNAL, root, slash,
                      (int)(name - path), path, (unsigned long long)orb_crc64nvme(0, name, strlen(name)));
    return *name && length > 0 && (size_t)length < sizeof(journal) && access(journal, F_OK) == 0;
}
