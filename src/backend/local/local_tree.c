/* SPDX-License-Identifier: Apache-2.0
 * Removing names and whole trees. A walk goes from directory to directory by descriptor and never follows a
 * symlink, so nothing outside of the tree is touched, whatever is swapped under it. However deep the tree is, a
 * bounded number of directories is open: those far above are closed and taken up again through "..", if they
 * are still the same. Errors do not stop it: the first is told, and how many there were. Worker threads. */
#include "backend/local/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    BUFFER = 8 << 10, /* of names, for each open directory */
    LEVELS_MAX = 1 << 20,
    PATH_BYTES_MAX = 64 << 20,
    PASSES_MAX = 16, /* over one directory that is not empty when it was read to its end */
    CANCEL_EVERY = 64
};

/* A directory on the way down. */
struct level {
    int fd;       /* -1: closed for now */
    char *buffer; /* with fd */
    size_t used, at;
    off_t position; /* after the entry that was taken last */
    struct statx identity;
    size_t name_at; /* of its own name in the path */
    bool kept;      /* something below could not be removed */
    bool removed;   /* something was, in this pass */
    unsigned pass;
};

struct walk {
    struct orb_local *self;
    orbit_op *op;
    struct level *levels;
    size_t depth, room;
    size_t open_from;    /* levels below this index are closed */
    struct orb_buf path; /* of the directory being read; for names and messages */
    uint64_t failures;
    orbit_status status; /* of the first failure */
    orbit_error error;
    unsigned steps;
};

/* ---- errors ------------------------------------------------------------------------------------- */

static void walk_failed(struct walk *walk, int number, const char *name)
{
    if (walk->failures++ > 0)
        return;
    size_t length = walk->path.length;
    orb_buf_char(&walk->path, '/');
    orb_buf_text(&walk->path, name);
    walk->status = orb_local_fail(&walk->error, number, "remove", orb_buf_string(&walk->path));
    walk->path.length = length;
    if (walk->path.bytes)
        walk->path.bytes[length] = '\0';
}

static orbit_status walk_result(struct walk *walk, orbit_error *error)
{
    if (walk->failures == 0)
        return ORBIT_OK;
    *error = walk->error;
    if (walk->failures > 1) {
        orbit_error first = walk->error;
        orb_fail(error, walk->status, first.native, "%s (and %llu more)", first.message,
                 (unsigned long long)walk->failures - 1);
        error->flags |= first.flags;
    }
    return walk->status;
}

/* ---- levels ------------------------------------------------------------------------------------- */

static void level_close(struct level *level)
{
    orb_local_close(level->fd);
    orb_free(level->buffer);
    level->fd = -1;
    level->buffer = NULL;
    level->used = level->at = 0;
}

static int walk_grow(struct walk *walk)
{
    if (walk->depth < walk->room)
        return 0;
    if (walk->room >= LEVELS_MAX)
        return -ENAMETOOLONG;
    size_t room = walk->room ? walk->room * 2 : 16;
    struct level *levels = orb_realloc(walk->levels, room * sizeof(*levels));
    if (!levels)
        return -ENOMEM;
    walk->levels = levels;
    walk->room = room;
    return 0;
}

/* Closes the uppermost open directory when there are as many as there may be. */
static void walk_close_far(struct walk *walk)
{
    while (walk->depth - walk->open_from >= walk->self->open_directories_max)
        level_close(&walk->levels[walk->open_from++]);
}

/* Enters `name` of the directory `parent`. `fd` is owned. */
static int walk_enter(struct walk *walk, int parent, const char *name, unsigned pass)
{
    int status = walk_grow(walk);
    if (status < 0)
        return status;
    struct level level = {.fd = -1, .pass = pass, .name_at = walk->path.length};
    level.fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (level.fd < 0)
        return -errno;
    status = orb_local_stat_fd(level.fd, &level.identity);
    level.buffer = status < 0 ? NULL : orb_malloc(BUFFER);
    if (status == 0 && !level.buffer)
        status = -ENOMEM;
    if (status == 0) {
        if (walk->depth > 0)
            orb_buf_char(&walk->path, '/');
        if (!orb_buf_text(&walk->path, name))
            status = -ENOMEM;
    }
    if (status != 0) {
        level_close(&level);
        return status;
    }
    walk_close_far(walk);
    walk->levels[walk->depth++] = level;
    return 0;
}

/* Takes up a directory that was closed, from its child. */
static int level_reopen(struct level *level, int child)
{
    struct statx stat;
    level->fd = openat(child, "..", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (level->fd < 0)
        return -errno;
    int status = orb_local_stat_fd(level->fd, &stat);
    if (status == 0 && !orb_local_same(&stat, &level->identity))
        status = -ESTALE;
    if (status == 0 && lseek(level->fd, level->position, SEEK_SET) < 0)
        status = -errno;
    if (status == 0 && !(level->buffer = orb_malloc(BUFFER)))
        status = -ENOMEM;
    if (status < 0)
        level_close(level);
    return status;
}

/* ---- entries ------------------------------------------------------------------------------------ */

static int level_refill(struct level *level)
{
    ssize_t got;
    do
        got = getdents64(level->fd, level->buffer, BUFFER);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == ENOENT)
        got = 0; /* somebody else removed it */
    if (got < 0)
        return -errno;
    level->at = 0;
    level->used = (size_t)got;
    return 0;
}

/* Removes one name of the directory on top, or enters it. A negative errno ends the walk. */
static int walk_entry(struct walk *walk, const char *name, unsigned char type)
{
    struct level *top = &walk->levels[walk->depth - 1];
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
        return 0;
    if (type != DT_DIR) {
        if (unlinkat(top->fd, name, 0) == 0) {
            top->removed = true;
            return 0;
        }
        if (errno == ENOENT)
            return 0;
        if (errno != EISDIR) {
            top->kept = true;
            walk_failed(walk, errno, name);
            return 0;
        }
    }
    int status = walk_enter(walk, top->fd, name, 1);
    if (status == 0 || status == -ENOENT)
        return 0;
    if (status == -ENOMEM)
        return status;
    /* No directory any more, or one that may not be read but may be empty. */
    top = &walk->levels[walk->depth - 1];
    if (unlinkat(top->fd, name, status == -ENOTDIR || status == -ELOOP ? 0 : AT_REMOVEDIR) == 0) {
        top->removed = true;
        return 0;
    }
    top->kept = true;
    walk_failed(walk, errno == ENOTEMPTY ? -status : errno, name);
    return 0;
}

/* The directory on top was read to its end: back to the one above, from which its name is removed. */
static int walk_leave(struct walk *walk, int top_parent)
{
    struct level *top = &walk->levels[walk->depth - 1];
    bool nested = walk->depth > 1;
    struct level *above = nested ? top - 1 : NULL;
    if (nested && above->fd < 0) {
        int status = level_reopen(above, top->fd);
        if (status < 0)
            return status;
        walk->open_from = walk->depth - 2;
    }
    level_close(top);
    struct level left = *top;
    walk->depth--;
    if (walk->open_from > walk->depth)
        walk->open_from = walk->depth;

    int parent = nested ? above->fd : top_parent;
    char name[NAME_MAX + 1];
    const char *text = orb_buf_string(&walk->path) + left.name_at + (nested ? 1 : 0);
    size_t length = walk->path.length - left.name_at - (nested ? 1 : 0);
    memcpy(name, text, length);
    name[length] = '\0';
    walk->path.length = left.name_at;
    walk->path.bytes[left.name_at] = '\0';

    if (left.kept) {
        if (nested)
            above->kept = true;
        return 0;
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        if (nested)
            above->removed = true;
        return 0;
    }
    int number = errno;
    /* Some file systems skip names while others are removed: read it once more. */
    if ((number == ENOTEMPTY || number == EEXIST) && left.removed && left.pass < PASSES_MAX)
        return walk_enter(walk, parent, name, left.pass + 1);
    if (nested)
        above->kept = true;
    walk_failed(walk, number, name);
    return 0;
}

/* One entry, or the way back. */
static int walk_step(struct walk *walk, int top_parent)
{
    struct level *top = &walk->levels[walk->depth - 1];
    if (top->at == top->used) {
        int status = level_refill(top);
        if (status < 0) {
            top->kept = true;
            walk_failed(walk, -status, ".");
        }
        if (status < 0 || top->used == 0)
            return walk_leave(walk, top_parent);
    }
    const struct dirent64 *dirent = (const void *)(top->buffer + top->at);
    /* Entering another directory may close this one, and its buffer with it. */
    char name[NAME_MAX + 1];
    unsigned char type = dirent->d_type;
    size_t length = strnlen(dirent->d_name, NAME_MAX);
    memcpy(name, dirent->d_name, length);
    name[length] = '\0';
    top->at += dirent->d_reclen;
    top->position = (off_t)dirent->d_off;
    return walk_entry(walk, name, type);
}

static orbit_status remove_tree(struct orb_local *self, orbit_op *op, const struct orb_local_place *place,
                                const char *path, orbit_error *error)
{
    struct walk walk = {.self = self, .op = op};
    orb_buf_init(&walk.path, PATH_BYTES_MAX);
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    orb_buf_append(&walk.path, path, length - strlen(place->name)); /* "dir/" of "dir/name" */
    orbit_status status = ORBIT_OK;
    int result = walk_enter(&walk, place->directory, place->name, 1);
    while (result == 0 && walk.depth > 0) {
        if (walk.steps++ % CANCEL_EVERY == 0 && orbit_op_cancelled(op))
            result = -ECANCELED;
        else
            result = walk_step(&walk, place->directory);
    }
    struct orb_local_shown shown;
    if (result == -ESTALE)
        status = orb_fail(error, ORBIT_E_CHANGED, 0, "cannot remove '%s': it was moved while it was being removed",
                          orb_local_show(&shown, path));
    else if (result < 0)
        status = orb_local_fail(error, -result, "remove", path);
    else
        status = walk_result(&walk, error);
    while (walk.depth > 0)
        level_close(&walk.levels[--walk.depth]);
    orb_free(walk.levels);
    orb_buf_release(&walk.path);
    return status;
}

/* ---- remove ------------------------------------------------------------------------------------- */

static int remove_one(const struct orb_local_place *place)
{
    if (!place->slash) {
        if (unlinkat(place->directory, place->name, 0) == 0)
            return 0;
        if (errno != EISDIR && errno != EPERM)
            return -errno;
    }
    int number = place->slash ? 0 : errno;
    struct stat stat;
    if (fstatat(place->directory, place->name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        return place->slash ? -ENOTDIR : -number;
    return unlinkat(place->directory, place->name, AT_REMOVEDIR) == 0 ? 0 : errno == EEXIST ? -ENOTEMPTY : -errno;
}

static orbit_status remove_path(struct orb_local *self, orbit_op *op, const orbit_remove_item *item,
                                const orbit_remove_request *request, orbit_error *error)
{
    struct orb_local_place place;
    if (orbit_op_cancelled(op))
        return orb_local_cancelled(error, "remove", item->path);
    orbit_status status = orb_local_no_version(item->version_id, NULL, item->path, error);
    if (status < 0)
        return status;
    /* Not QUICK for trees: an open directory cannot be swapped for another. */
    int result = orb_local_find(self, item->path, request->recursive ? 0 : ORB_LOCAL_QUICK, &place);
    if (result == 0 && place.is_self) {
        struct orb_local_shown shown;
        orb_local_leave(&place);
        return orb_fail(error, ORBIT_E_PATH, 0, "cannot remove '%s': a directory cannot be removed from within",
                        orb_local_show(&shown, item->path));
    }
    if (result == 0) {
        result = remove_one(&place);
        if (result == -ENOTEMPTY && request->recursive)
            status = remove_tree(self, op, &place, item->path, error);
        orb_local_leave(&place);
    }
    if (result == 0 || (result == -ENOTEMPTY && request->recursive))
        return status;
    /* A path through what is no directory is as missing as one through nothing. */
    if ((result == -ENOENT || (result == -ENOTDIR && !place.slash)) && request->missing_ok)
        return ORBIT_OK;
    return orb_local_fail(error, -result, "remove", item->path);
}

static void remove_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_remove_request *request = call->request;
    orbit_error error = {0};

    for (size_t i = 0; i < request->count; i++) {
        orbit_remove_item *item = &request->items[i];
        item->error = (orbit_error){0};
        item->status = remove_path(self, op, item, request, &item->error);
    }
    orbit_status status = ORBIT_OK;
    if (orbit_op_cancelled(op))
        status = orb_fail(&error, ORBIT_E_CANCELLED, ECANCELED, "removing was cancelled");
    orb_local_end(op, status, &error);
}

void orb_local_remove(void *self, orbit_op *op, const orbit_remove_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, remove_work);
}
