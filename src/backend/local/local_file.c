/* SPDX-License-Identifier: Apache-2.0
 * Calls on one name: stat, metadata, directories, renames, links, space. What is known of a file becomes an
 * orbit_metadata here. Worker threads. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- what is known of a file -------------------------------------------------------------------- */

static int64_t to_ns(struct statx_timestamp time)
{
    int64_t ns;
    if (__builtin_mul_overflow(time.tv_sec, (int64_t)ORB_S, &ns) || __builtin_add_overflow(ns, time.tv_nsec, &ns))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

struct timespec orb_local_timespec(int64_t ns)
{
    int64_t seconds = ns / (int64_t)ORB_S;
    int64_t rest = ns % (int64_t)ORB_S;
    if (rest < 0) {
        rest += (int64_t)ORB_S;
        seconds--;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static uint32_t to_kind(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return ORBIT_KIND_FILE;
    case S_IFDIR:
        return ORBIT_KIND_DIRECTORY;
    case S_IFLNK:
        return ORBIT_KIND_SYMLINK;
    default:
        return ORBIT_KIND_OTHER;
    }
}

uint64_t orb_local_device(const struct statx *stat)
{
    return makedev(stat->stx_dev_major, stat->stx_dev_minor);
}

void orb_local_fill(orbit_metadata *metadata, const struct statx *stat)
{
    metadata->kind = to_kind(stat->stx_mode);
    metadata->fields =
        ORBIT_HAS_MTIME | ORBIT_HAS_ATIME | ORBIT_HAS_MODE | ORBIT_HAS_OWNER | ORBIT_HAS_INODE | ORBIT_HAS_BLOCKS;
    if (metadata->kind == ORBIT_KIND_FILE || metadata->kind == ORBIT_KIND_SYMLINK) {
        metadata->fields |= ORBIT_HAS_SIZE;
        metadata->size = stat->stx_size;
    }
    metadata->mtime_ns = to_ns(stat->stx_mtime);
    metadata->atime_ns = to_ns(stat->stx_atime);
    metadata->mode = stat->stx_mode & 07777u;
    metadata->uid = stat->stx_uid;
    metadata->gid = stat->stx_gid;
    metadata->device = orb_local_device(stat);
    metadata->inode = stat->stx_ino;
    metadata->disk_bytes = stat->stx_blocks * 512;
}

int orb_local_stat_fd(int fd, struct statx *stat)
{
    return statx(fd, "", AT_EMPTY_PATH, ORB_LOCAL_STATX, stat) == 0 ? 0 : -errno;
}

bool orb_local_same(const struct statx *a, const struct statx *b)
{
    return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor;
}

bool orb_local_intact(const struct statx *a, const struct statx *b)
{
    return orb_local_same(a, b) && a->stx_size == b->stx_size && a->stx_mtime.tv_sec == b->stx_mtime.tv_sec &&
           a->stx_mtime.tv_nsec == b->stx_mtime.tv_nsec;
}

orbit_status orb_local_check_pin(const struct statx *stat, const orbit_metadata *pin, const char *path,
                                 orbit_error *error)
{
    if (!pin)
        return ORBIT_OK;
    const char *what = NULL;
    if ((pin->fields & ORBIT_HAS_INODE) && (pin->inode != stat->stx_ino || pin->device != orb_local_device(stat)))
        what = "it is another file now";
    else if ((pin->fields & ORBIT_HAS_SIZE) && pin->size != stat->stx_size)
        what = "its size changed";
    else if ((pin->fields & ORBIT_HAS_MTIME) && pin->mtime_ns != to_ns(stat->stx_mtime))
        what = "it was modified";
    if (!what)
        return ORBIT_OK;
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' changed while it was being read: %s", orb_local_show(&shown, path),
                    what);
}

orbit_status orb_local_no_version(const char *version_id, const char *if_match, const char *path, orbit_error *error)
{
    if (!version_id && !if_match)
        return ORBIT_OK;
    struct orb_local_shown shown;
    return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "cannot pick %s of '%s': local files have no such thing",
                    version_id ? "a version" : "an ETag", orb_local_show(&shown, path));
}

/* ---- stat --------------------------------------------------------------------------------------- */

static int stat_followed(struct orb_local *self, const char *path, struct statx *stat)
{
    if (!self->root && *path && strlen(path) < PATH_MAX)
        return statx(AT_FDCWD, path, 0, ORB_LOCAL_STATX, stat) == 0 ? 0 : -errno;
    int fd = orb_local_open(self, path, O_PATH);
    if (fd < 0)
        return fd;
    int status = orb_local_stat_fd(fd, stat);
    orb_local_close(fd);
    return status;
}

static orbit_status keep_link(struct orb_local_place *place, const char *path, orbit_metadata *reply,
                              orbit_error *error)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(place->directory, place->name, target, sizeof(target));
    if (length < 0) /* it is something else by now; what stat said was true then */
        return errno == EINVAL ? ORBIT_OK : orb_local_fail(error, errno, "read the link", path);
    reply->link_target = orbit_metadata_keep(reply, target, (size_t)length);
    return reply->link_target ? ORBIT_OK : orb_fail_memory(error);
}

static orbit_status stat_path(struct orb_local *self, const orbit_stat_request *request, orbit_metadata *reply,
                              orbit_error *error)
{
    struct statx stat;
    orbit_status status = orb_local_no_version(request->version_id, NULL, request->path, error);
    if (status < 0)
        return status;
    size_t length = strlen(request->path);
    bool slash = length > 0 && request->path[length - 1] == '/';
    if (request->follow_symlinks || slash || length == 0) {
        int result = stat_followed(self, request->path, &stat);
        if (result < 0)
            return orb_local_fail(error, -result, "stat", request->path);
        orb_local_fill(reply, &stat);
        return ORBIT_OK;
    }
    struct orb_local_place place;
    int result = orb_local_find(self, request->path, ORB_LOCAL_QUICK, &place);
    if (result < 0)
        return orb_local_fail(error, -result, "stat", request->path);
    if (statx(place.directory, place.name, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, &stat) != 0) {
        status = orb_local_fail(error, errno, "stat", request->path);
    } else {
        orb_local_fill(reply, &stat);
        if (reply->kind == ORBIT_KIND_SYMLINK)
            status = keep_link(&place, request->path, reply, error);
    }
    orb_local_leave(&place);
    return status;
}

static void stat_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    orbit_error error = {0};
    orb_local_end(op, stat_path(self, call->request, call->reply, &error), &error);
}

void orb_local_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    (void)self;
    orb_local_start(op, request, reply, NULL, stat_work);
}

/* ---- mkdir -------------------------------------------------------------------------------------- */

static void mkdir_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_mkdir_request *request = call->request;
    orbit_error error = {0};
    struct orb_local_place place;
    int result;

    if (request->parents) {
        result = orb_local_make_directories(self, request->path, 0);
        if (result >= 0) {
            orb_local_close(result);
            result = 0;
        }
    } else {
        result = orb_local_find(self, request->path, ORB_LOCAL_QUICK, &place);
        if (result == 0) {
            if (mkdirat(place.directory, place.name, 0777) != 0)
                result = -errno;
            orb_local_leave(&place);
        }
    }
    orbit_status status = ORBIT_OK;
    if (result < 0)
        status = orb_local_fail(&error, -result, "make directory", request->path);
    orb_local_end(op, status, &error);
}

void orb_local_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, mkdir_work);
}

/* ---- rename ------------------------------------------------------------------------------------- */

/* Without RENAME_NOREPLACE (some network and FUSE file systems): a link refuses an existing name, and so does
 * mkdir; a directory may then be renamed over the empty one. */
static int rename_new_fallback(const struct orb_local_place *from, const struct orb_local_place *to)
{
    struct statx stat;
    if (statx(from->directory, from->name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) != 0)
        return -errno;
    if (S_ISDIR(stat.stx_mode)) {
        if (mkdirat(to->directory, to->name, 0700) != 0)
            return -errno;
        if (renameat(from->directory, from->name, to->directory, to->name) == 0)
            return 0;
        int status = -errno;
        unlinkat(to->directory, to->name, AT_REMOVEDIR);
        return status;
    }
    if (linkat(from->directory, from->name, to->directory, to->name, 0) != 0)
        return errno == EPERM ? -EOPNOTSUPP : -errno;
    return unlinkat(from->directory, from->name, 0) == 0 ? 0 : -errno;
}

/* rename() of one hard link over another of the same file does nothing and says 0: the old name must go. */
static void drop_twin(const struct orb_local_place *from, const struct orb_local_place *to)
{
    struct statx a, b, from_directory, to_directory;
    if (statx(from->directory, from->name, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, &a) != 0)
        return; /* the rule */
    if (statx(to->directory, to->name, AT_SYMLINK_NOFOLLOW, ORB_LOCAL_STATX, &b) != 0 || !orb_local_same(&a, &b) ||
        a.stx_nlink < 2 || S_ISDIR(a.stx_mode))
        return;
    if (orb_local_stat_fd(from->directory, &from_directory) < 0 || orb_local_stat_fd(to->directory, &to_directory) < 0)
        return;
    if (orb_local_same(&from_directory, &to_directory) && strcasecmp(from->name, to->name) == 0)
        return; /* one name, spelled in two ways */
    unlinkat(from->directory, from->name, 0);
}

static int rename_place(const struct orb_local_place *from, const struct orb_local_place *to, bool overwrite)
{
    if (from->is_self || to->is_self)
        return -EBUSY;
    if (from->slash || to->slash) {
        struct statx stat;
        if (statx(from->directory, from->name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) != 0)
            return -errno;
        if (!S_ISDIR(stat.stx_mode))
            return -ENOTDIR;
    }
    if (overwrite) {
        if (renameat(from->directory, from->name, to->directory, to->name) != 0)
            return -errno;
        drop_twin(from, to);
        return 0;
    }
    if (renameat2(from->directory, from->name, to->directory, to->name, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EINVAL || errno == ENOSYS ? rename_new_fallback(from, to) : -errno;
}

static orbit_status rename_fail(orbit_error *error, int number, const orbit_rename_request *request)
{
    struct orb_local_shown from, to;
    const char *from_text = orb_local_show(&from, request->from);
    const char *to_text = orb_local_show(&to, request->to);
    if (number == EXDEV)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, number,
                        "cannot rename '%s' to '%s': they are on different file systems (copy, then remove)", from_text,
                        to_text);
    if (number == EINVAL)
        return orb_fail(error, ORBIT_E_PATH, number,
                        "cannot rename '%s' to '%s': a directory cannot be moved into itself", from_text, to_text);
    return orb_fail_errno(error, number, "cannot rename '%s' to '%s'", from_text, to_text);
}

static void rename_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_rename_request *request = call->request;
    orbit_error error = {0};
    struct orb_local_place from, to;
    orbit_status status = ORBIT_OK;

    int result = orb_local_find(self, request->from, 0, &from);
    if (result < 0) {
        orb_local_end(op, orb_local_fail(&error, -result, "rename", request->from), &error);
        return;
    }
    struct statx stat;
    /* Directories are made for something that is there only. */
    if (statx(from.directory, from.name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) != 0)
        result = -errno;
    if (result < 0) {
        status = orb_local_fail(&error, -result, "rename", request->from);
    } else {
        result = orb_local_find(self, request->to, request->create_parents ? ORB_LOCAL_CREATE : 0, &to);
        if (result < 0) {
            status = orb_local_fail(&error, -result, "rename to", request->to);
        } else {
            result = rename_place(&from, &to, request->overwrite);
            if (result < 0)
                status = rename_fail(&error, -result, request);
            orb_local_leave(&to);
        }
    }
    orb_local_leave(&from);
    orb_local_end(op, status, &error);
}

void orb_local_rename(void *self, orbit_op *op, const orbit_rename_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, rename_work);
}

/* ---- metadata ----------------------------------------------------------------------------------- */

static int set_fields(int fd, const orbit_metadata *metadata)
{
    struct orb_local_proc proc;
    const char *path = orb_local_proc(&proc, fd, NULL);
    /* The owner first: changing it drops the set-user-id bit. */
    if ((metadata->fields & ORBIT_HAS_OWNER) && fchownat(fd, "", metadata->uid, metadata->gid, AT_EMPTY_PATH) != 0)
        return -errno;
    if ((metadata->fields & ORBIT_HAS_MODE) && chmod(path, metadata->mode & 07777u) != 0)
        return -errno;
    if (metadata->fields & (ORBIT_HAS_MTIME | ORBIT_HAS_ATIME)) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
        if (metadata->fields & ORBIT_HAS_ATIME)
            times[0] = orb_local_timespec(metadata->atime_ns);
        if (metadata->fields & ORBIT_HAS_MTIME)
            times[1] = orb_local_timespec(metadata->mtime_ns);
        if (utimensat(AT_FDCWD, path, times, 0) != 0)
            return -errno;
    }
    return 0;
}

static void set_metadata_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_set_metadata_request *request = call->request;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (request->metadata->user_count > 0) {
        struct orb_local_shown shown;
        status = orb_fail(&error, ORBIT_E_UNSUPPORTED, 0,
                          "cannot set user metadata of '%s': local files have extended attributes instead",
                          orb_local_show(&shown, request->path));
        orb_local_end(op, status, &error);
        return;
    }
    int fd = orb_local_open(self, request->path, O_PATH);
    int result = fd < 0 ? fd : set_fields(fd, request->metadata);
    if (result < 0)
        status = orb_local_fail(&error, -result, "set metadata of", request->path);
    orb_local_close(fd);
    orb_local_end(op, status, &error);
}

void orb_local_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, set_metadata_work);
}

/* ---- links -------------------------------------------------------------------------------------- */

static void symlink_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_link_request *request = call->request;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;
    struct orb_local_place place;

    int result = orb_local_find(self, request->path, ORB_LOCAL_QUICK, &place);
    if (result == 0) {
        if (place.slash)
            result = -EISDIR;
        else if (symlinkat(request->target, place.directory, place.name) != 0)
            result = -errno;
        orb_local_leave(&place);
    }
    if (result < 0)
        status = orb_local_fail(&error, -result, "make the symbolic link", request->path);
    orb_local_end(op, status, &error);
}

void orb_local_symlink(void *self, orbit_op *op, const orbit_link_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, symlink_work);
}

static orbit_status read_link(struct orb_local *self, const orbit_bytes_request *request, orbit_error *error)
{
    struct orb_local_place place;
    char target[PATH_MAX];
    int result = orb_local_find(self, request->path, ORB_LOCAL_QUICK, &place);
    if (result < 0)
        return orb_local_fail(error, -result, "read the link", request->path);
    ssize_t length = readlinkat(place.directory, place.name, target, sizeof(target));
    int number = errno;
    orb_local_leave(&place);
    struct orb_local_shown shown;
    if (length < 0 && number == EINVAL)
        return orb_fail(error, ORBIT_E_PATH, number, "cannot read the link '%s': it is no symbolic link",
                        orb_local_show(&shown, request->path));
    if (length < 0)
        return orb_local_fail(error, number, "read the link", request->path);
    *request->length = (size_t)length;
    if ((size_t)length > request->room || (size_t)length == sizeof(target))
        return orb_fail(error, ORBIT_E_LIMIT, 0, "the target of the link '%s' has %zd bytes, there is room for %zu",
                        orb_local_show(&shown, request->path), length, request->room);
    memcpy(request->buffer, target, (size_t)length);
    return ORBIT_OK;
}

static void readlink_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    orbit_error error = {0};
    orb_local_end(op, read_link(self, call->request, &error), &error);
}

void orb_local_readlink(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, readlink_work);
}

/* ---- space -------------------------------------------------------------------------------------- */

static void space_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const char *path = call->request;
    orbit_space_reply *reply = call->reply;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;
    struct statvfs space;

    int fd = orb_local_open(self, path, O_PATH);
    if (fd < 0 || fstatvfs(fd, &space) != 0) {
        status = orb_local_fail(&error, fd < 0 ? -fd : errno, "tell the space of", path);
    } else {
        reply->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        reply->total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    }
    orb_local_close(fd);
    orb_local_end(op, status, &error);
}

void orb_local_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply)
{
    (void)self;
    orb_local_start(op, path, reply, NULL, space_work);
}
