/* SPDX-License-Identifier: Apache-2.0
 * Listing one directory: names are read from the kernel 32 KiB at a time and handed on, never collected. A
 * suspended cursor holds nothing but a place in the directory. Worker threads, one at a time per cursor;
 * suspend and end on the loop, with no page under way. */
#include "backend/local/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    BUFFER = 32 << 10,
    PATH_BYTES_MAX = 16 << 20,
    CANCEL_EVERY = 64 /* entries between two looks at cancel */
};

struct cursor {
    char *path;
    char *prefix; /* nullable */
    bool want_metadata;
    bool follow;
    bool keep_open;
    uint32_t page_entries;

    int fd;       /* -1: suspended */
    char *buffer; /* with fd */
    size_t used, at;
    bool ended;            /* the kernel has no more, and neither has the buffer once `at` is `used` */
    uint64_t position;     /* of the last entry that a page took */
    struct statx identity; /* of the directory */
};

static void cursor_close(struct cursor *cursor)
{
    orb_local_close(cursor->fd);
    orb_free(cursor->buffer);
    cursor->fd = -1;
    cursor->buffer = NULL;
    cursor->used = cursor->at = 0;
}

/* At its end it needs nothing any more, but for the descriptor if it is to be a parent. */
static void cursor_rest(struct cursor *cursor)
{
    if (!cursor->keep_open)
        cursor_close(cursor);
    orb_free(cursor->buffer);
    cursor->buffer = NULL;
    cursor->used = cursor->at = 0;
}

static void cursor_free(struct cursor *cursor)
{
    if (!cursor)
        return;
    cursor_close(cursor);
    orb_free(cursor->path);
    orb_free(cursor->prefix);
    orb_free(cursor);
}

static orbit_status list_fail(const struct cursor *cursor, int number, orbit_error *error)
{
    return orb_local_fail(error, number, "list", cursor->path);
}

/* ---- opening ------------------------------------------------------------------------------------ */

/* `parent` (nullable) is an open cursor on the directory above: the name is looked up there, which costs the same
 * however deep it is. Not where symlinks are followed: they might lead out of the root. */
static int open_directory(struct orb_local *self, struct cursor *cursor, const struct cursor *parent,
                          struct statx *stat)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | (cursor->follow ? 0 : O_NOFOLLOW);
    const char *name = orb_path_base(cursor->path);
    if (parent && parent->fd >= 0 && !cursor->follow && *name && strcmp(name, "..") != 0) {
        cursor->fd = openat(parent->fd, name, flags | O_CLOEXEC);
        if (cursor->fd < 0)
            return -errno;
    } else {
        cursor->fd = orb_local_open(self, cursor->path, flags);
    }
    if (cursor->fd < 0)
        return cursor->fd;
    cursor->buffer = orb_malloc(BUFFER);
    if (!cursor->buffer)
        return -ENOMEM;
    return orb_local_stat_fd(cursor->fd, stat);
}

/* Takes a suspended cursor up again, if it is the same directory still. */
static orbit_status cursor_reopen(struct orb_local *self, struct cursor *cursor, orbit_error *error)
{
    struct statx stat;
    int result = open_directory(self, cursor, NULL, &stat);
    if (result < 0) {
        cursor_close(cursor);
        return list_fail(cursor, -result, error);
    }
    if (!orb_local_same(&stat, &cursor->identity)) {
        struct orb_local_shown shown;
        cursor_close(cursor);
        return orb_fail(error, ORBIT_E_CHANGED, 0,
                        "'%s' changed while it was being listed: it is another directory now",
                        orb_local_show(&shown, cursor->path));
    }
    if (cursor->position > 0 && lseek(cursor->fd, (off_t)cursor->position, SEEK_SET) < 0) {
        int number = errno;
        cursor_close(cursor);
        return list_fail(cursor, number, error);
    }
    return ORBIT_OK;
}

static struct cursor *cursor_new(const orbit_list_request *request)
{
    struct cursor *cursor = orb_calloc(1, sizeof(*cursor));
    if (!cursor)
        return NULL;
    cursor->fd = -1;
    cursor->want_metadata = request->want_metadata;
    cursor->follow = request->follow_symlinks;
    cursor->keep_open = request->keep_open;
    cursor->page_entries = request->page_entries;
    cursor->path = orb_strdup(request->path);
    cursor->prefix = request->prefix && *request->prefix ? orb_strdup(request->prefix) : NULL;
    if (!cursor->path || (request->prefix && *request->prefix && !cursor->prefix)) {
        cursor_free(cursor);
        return NULL;
    }
    return cursor;
}

static void begin_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_list_request *request = call->request;
    void **reply = call->reply;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;
    struct cursor *cursor = cursor_new(request);

    if (!cursor) {
        status = orb_fail_memory(&error);
    } else if (request->recursive || request->start_after) {
        status = orb_fail(&error, ORBIT_E_UNSUPPORTED, 0, "local directories are listed one at a time and in no order");
    } else {
        int result = open_directory(self, cursor, request->parent, &cursor->identity);
        /* A symlink that is not to be followed is no directory, whatever it leads to. */
        if (result == -ELOOP && !cursor->follow)
            result = -ENOTDIR;
        if (result < 0)
            status = list_fail(cursor, -result, &error);
    }
    if (status < 0)
        cursor_free(cursor);
    else
        *reply = cursor;
    orb_local_end(op, status, &error);
}

void orb_local_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **cursor)
{
    (void)self;
    orb_local_start(op, request, cursor, NULL, begin_work);
}

/* ---- entries ------------------------------------------------------------------------------------ */

static uint32_t kind_of(unsigned char type)
{
    switch (type) {
    case DT_REG:
        return ORBIT_KIND_FILE;
    case DT_DIR:
        return ORBIT_KIND_DIRECTORY;
    case DT_LNK:
        return ORBIT_KIND_SYMLINK;
    default:
        return ORBIT_KIND_OTHER;
    }
}

static bool is_wanted(const struct cursor *cursor, const char *name)
{
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0') || orb_local_is_temporary(name)))
        return false;
    return !cursor->prefix || orb_str_prefix(name, cursor->prefix);
}

/* What a symlink leads to, within the root. A negative errno where it leads nowhere. */
static int stat_through(struct orb_local *self, const struct cursor *cursor, const char *name, struct statx *stat)
{
    if (!self->root)
        return statx(cursor->fd, name, AT_STATX_DONT_SYNC, ORB_LOCAL_STATX, stat) == 0 ? 0 : -errno;
    struct orb_buf path;
    orb_buf_init(&path, PATH_BYTES_MAX);
    if (*cursor->path) {
        orb_buf_text(&path, cursor->path);
        orb_buf_char(&path, '/');
    }
    int fd = orb_buf_text(&path, name) ? orb_local_open(self, path.bytes, O_PATH) : -ENOMEM;
    orb_buf_release(&path);
    if (fd < 0)
        return fd;
    int status = orb_local_stat_fd(fd, stat);
    orb_local_close(fd);
    return status;
}

/* Fills the entry's metadata. 1: it vanished, leave it out. `target` (PATH_MAX) is for a symlink's text. */
static int stat_entry(struct orb_local *self, const struct cursor *cursor, const struct dirent64 *dirent,
                      orbit_metadata *metadata, char *target)
{
    struct statx stat;
    bool through = cursor->follow && (dirent->d_type == DT_LNK || dirent->d_type == DT_UNKNOWN);
    int result = through ? stat_through(self, cursor, dirent->d_name, &stat) : -ENOENT;
    if (result == -ENOMEM)
        return result;
    if (result < 0) { /* not followed, or it leads nowhere: then it is the link that is listed */
        result = statx(cursor->fd, dirent->d_name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, ORB_LOCAL_STATX, &stat);
        if (result != 0)
            return errno == ENOENT ? 1 : -errno;
    }
    orb_local_fill(metadata, &stat);
    if (metadata->kind == ORBIT_KIND_SYMLINK && cursor->want_metadata) {
        ssize_t length = readlinkat(cursor->fd, dirent->d_name, target, PATH_MAX - 1);
        if (length >= 0) {
            target[length] = '\0';
            metadata->link_target = target;
        }
    }
    return 0;
}

/* ORBIT_END: the page is full and did not take it. */
static orbit_status add_entry(struct orb_local *self, struct cursor *cursor, orbit_page *page,
                              const struct dirent64 *dirent, char *target, orbit_error *error)
{
    const char *name = dirent->d_name;
    if (!is_wanted(cursor, name))
        return ORBIT_OK;
    if (cursor->page_entries > 0 && orbit_page_count(page) >= cursor->page_entries)
        return ORBIT_END;

    uint64_t position = (uint64_t)dirent->d_off;
    orbit_entry entry = {.path = name, .path_length = strlen(name), .depth = 1};
    orbit_status status;
    bool stat_it = cursor->want_metadata || dirent->d_type == DT_UNKNOWN ||
                   (cursor->follow && (dirent->d_type == DT_LNK || dirent->d_type == DT_DIR));
    int result = 0;
    if (stat_it)
        result = stat_entry(self, cursor, dirent, &entry.metadata, target);
    else
        entry.metadata.kind = kind_of(dirent->d_type);
    if (result == 1)
        return ORBIT_OK;
    if (result < 0) {
        orbit_error failed = {0};
        struct orb_local_shown shown, directory;
        orb_fail_errno(&failed, -result, "cannot stat '%s' in '%s'", orb_local_show(&shown, name),
                       orb_local_show(&directory, cursor->path));
        status = orbit_page_add_failed(page, name, entry.path_length, &failed, position);
    } else {
        status = orbit_page_add(page, &entry, position);
    }
    if (status == ORBIT_OK)
        cursor->position = position;
    else if (status < 0)
        orb_fail_memory(error);
    return status;
}

/* ---- pages -------------------------------------------------------------------------------------- */

static int refill(struct cursor *cursor)
{
    ssize_t got;
    do
        got = getdents64(cursor->fd, cursor->buffer, BUFFER);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    cursor->at = 0;
    cursor->used = (size_t)got;
    cursor->ended = got == 0;
    return 0;
}

static orbit_status fill_page(struct orb_local *self, orbit_op *op, struct cursor *cursor, orbit_page *page,
                              orbit_error *error)
{
    char target[PATH_MAX];
    unsigned count = 0;
    for (;;) {
        if (cursor->at == cursor->used) {
            int result = cursor->ended ? 0 : refill(cursor);
            if (result < 0)
                return list_fail(cursor, -result, error);
            if (cursor->ended)
                return ORBIT_OK;
        }
        if (count++ % CANCEL_EVERY == 0 && orbit_op_cancelled(op))
            return orb_local_cancelled(error, "list", cursor->path);
        /* The kernel aligns entries to 8 bytes, and so is the buffer. */
        const struct dirent64 *dirent = (const void *)(cursor->buffer + cursor->at);
        orbit_status status = add_entry(self, cursor, page, dirent, target, error);
        if (status != ORBIT_OK)
            return status;
        cursor->at += dirent->d_reclen;
    }
}

/* After a full page: whether anything follows, so that the last page says so and nothing is opened for an empty
 * one. */
static orbit_status look_ahead(struct cursor *cursor, orbit_page *page, orbit_error *error)
{
    while (!cursor->ended) {
        while (cursor->at < cursor->used) {
            const struct dirent64 *dirent = (const void *)(cursor->buffer + cursor->at);
            if (is_wanted(cursor, dirent->d_name)) {
                orbit_page_more(page, true);
                return ORBIT_OK;
            }
            cursor->at += dirent->d_reclen;
        }
        int result = refill(cursor);
        if (result < 0)
            return list_fail(cursor, -result, error);
    }
    return ORBIT_OK;
}

static void page_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    struct cursor *cursor = call->extra;
    orbit_page *page = call->reply;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (cursor->fd < 0 && !cursor->ended)
        status = cursor_reopen(self, cursor, &error);
    if (status == ORBIT_OK && !cursor->ended)
        status = fill_page(self, op, cursor, page, &error);
    if (status == ORBIT_END)
        status = look_ahead(cursor, page, &error);
    if (cursor->ended)
        cursor_rest(cursor);
    orb_local_end(op, status, &error);
}

void orb_local_list_page(void *self, orbit_op *op, void *cursor, orbit_page *page)
{
    (void)self;
    orb_local_start(op, NULL, page, cursor, page_work);
}

void orb_local_list_suspend(void *self, void *cursor_, uint64_t position)
{
    (void)self;
    struct cursor *cursor = cursor_;
    /* What was read beyond the place is read again. */
    if (position != cursor->position)
        cursor->ended = false;
    cursor->position = position;
    cursor_close(cursor);
}

void orb_local_list_end(void *self, void *cursor)
{
    (void)self;
    cursor_free(cursor);
}
