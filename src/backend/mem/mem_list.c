/* SPDX-License-Identifier: Apache-2.0
 * Listing, a page at a time. A flat store goes by keys: the cursor remembers the key to go on from, so whatever
 * comes and goes between pages does no harm. A directory goes by its children in the order they came; its cursor
 * stands on the next child and is moved when that goes (mem_cursor_leave). Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"

struct mem_cursor {
    struct mem_backend *backend;
    bool recursive, want_metadata, follow;
    uint32_t page_entries;
    /* Object profile. */
    struct orb_buf directory; /* root, path, '/': what entries are relative to */
    struct orb_buf prefix;    /* directory and the wanted prefix: what keys must begin with */
    struct orb_buf from;      /* the key to go on from */
    char *delimiter;
    /* Directories. */
    struct mem_node *node;           /* NULL: it was removed */
    struct mem_node *at;             /* next child; NULL: the end */
    struct mem_cursor *next, **link; /* store->cursors; link NULL while not there */
};

void mem_cursor_leave(struct mem_store *store, struct mem_node *child)
{
    for (struct mem_cursor *cursor = store->cursors; cursor; cursor = cursor->next)
        if (cursor->at == child)
            cursor->at = child->newer;
}

void mem_cursor_move(struct mem_store *store, struct mem_node *directory, struct mem_node *to)
{
    for (struct mem_cursor *cursor = store->cursors; cursor; cursor = cursor->next) {
        if (cursor->node != directory)
            continue;
        cursor->node = to;
        if (!to)
            cursor->at = NULL;
    }
}

static void cursor_free(struct mem_cursor *cursor)
{
    if (!cursor)
        return;
    if (cursor->link) {
        *cursor->link = cursor->next;
        if (cursor->next)
            cursor->next->link = cursor->link;
    }
    orb_buf_release(&cursor->directory);
    orb_buf_release(&cursor->prefix);
    orb_buf_release(&cursor->from);
    orb_free(cursor->delimiter);
    orb_free(cursor);
}

/* ---- begin ------------------------------------------------------------------------------------------ */

static orbit_status begin_keys(struct mem_cursor *cursor, const orbit_list_request *request, orbit_error *error)
{
    size_t length = strlen(request->path);
    if (length > MEM_KEY_MAX)
        return orb_fail(error, ORBIT_E_PATH, 0, "a prefix of %zu bytes is too long", length);
    cursor->delimiter = orb_strdup(request->delimiter && *request->delimiter ? request->delimiter : "/");
    orb_buf_text(&cursor->directory, cursor->backend->root);
    orb_buf_text(&cursor->directory, request->path);
    if (length && request->path[length - 1] != '/')
        orb_buf_char(&cursor->directory, '/');
    orb_buf_append(&cursor->prefix, orb_buf_string(&cursor->directory), cursor->directory.length);
    if (request->prefix)
        orb_buf_text(&cursor->prefix, request->prefix);
    if (request->start_after) {
        orb_buf_append(&cursor->from, orb_buf_string(&cursor->directory), cursor->directory.length);
        orb_buf_text(&cursor->from, request->start_after);
        orb_buf_append(&cursor->from, "", 1); /* the least key above it */
    }
    const char *from = orb_buf_string(&cursor->from), *prefix = orb_buf_string(&cursor->prefix);
    if (strcmp(from, prefix) < 0) {
        orb_buf_reset(&cursor->from);
        orb_buf_append(&cursor->from, prefix, cursor->prefix.length);
    }
    bool good = cursor->delimiter && !cursor->directory.failed && !cursor->prefix.failed && !cursor->from.failed;
    return good ? ORBIT_OK : orb_fail_memory(error);
}

static orbit_status begin_directory(struct mem_cursor *cursor, const orbit_list_request *request, orbit_error *error)
{
    struct mem_backend *backend = cursor->backend;
    struct mem_place place;
    orbit_status status = mem_walk_existing(backend, request->path, request->follow_symlinks, &place, error);
    if (status < 0)
        return status;
    if (!place.node->directory) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%s' in %s is not a directory", request->path, backend->url);
        error->flags |= ORBIT_ERROR_NOT_DIRECTORY;
        return ORBIT_E_PATH;
    }
    orb_buf_text(&cursor->directory, request->path); /* for following symlinks */
    if (cursor->directory.length)
        orb_buf_char(&cursor->directory, '/');
    if (cursor->directory.failed)
        return orb_fail_memory(error);
    cursor->node = place.node;
    cursor->at = place.node->directory->oldest;
    cursor->next = backend->store->cursors;
    cursor->link = &backend->store->cursors;
    if (cursor->next)
        cursor->next->link = &cursor->next;
    backend->store->cursors = cursor;
    return ORBIT_OK;
}

void mem_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **made)
{
    struct mem_backend *backend = self;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    struct mem_cursor *cursor = orb_calloc(1, sizeof(*cursor));
    if (!cursor) {
        mem_done(op, orb_fail_memory(&error), &error);
        return;
    }
    uint32_t most = backend->limits.page_entries;
    cursor->backend = backend;
    cursor->recursive = request->recursive;
    cursor->want_metadata = request->want_metadata;
    cursor->follow = request->follow_symlinks;
    cursor->page_entries = request->page_entries && request->page_entries < most ? request->page_entries : most;
    orb_buf_init(&cursor->directory, (size_t)1 << 20);
    orb_buf_init(&cursor->prefix, (size_t)1 << 20);
    orb_buf_init(&cursor->from, (size_t)1 << 20);
    orbit_status status =
        mem_is_object(backend) ? begin_keys(cursor, request, &error) : begin_directory(cursor, request, &error);
    if (status < 0) {
        cursor_free(cursor);
        cursor = NULL;
    }
    *made = cursor;
    mem_done(op, status, &error);
}

/* ---- pages ------------------------------------------------------------------------------------------ */

static bool is_full(const struct mem_cursor *cursor, const orbit_page *page)
{
    return orbit_page_count(page) >= cursor->page_entries;
}

static uint32_t depth_of(const char *path, size_t length)
{
    uint32_t depth = 1;
    for (size_t i = 0; i + 1 < length; i++) /* one at the end leads nowhere */
        depth += path[i] == '/';
    return depth;
}

/* Without the '/' at its end, unless the directory has no name: "a//" and "/" stay. */
static size_t trimmed(const char *path, size_t length)
{
    return length > 1 && path[length - 1] == '/' && path[length - 2] != '/' ? length - 1 : length;
}

/* Adds what the key of `node` stands for: itself, or the group up to the delimiter. `*group` is the length of
 * the key that all of the group begin with, 0 for a key alone. */
static orbit_status add_key(struct mem_cursor *cursor, const struct mem_node *node, orbit_page *page, size_t *group)
{
    const char *rest = mem_node_name(node) + cursor->directory.length;
    size_t length = node->name_length - cursor->directory.length;
    size_t delimiter_length = strlen(cursor->delimiter);
    const char *cut = cursor->recursive ? NULL : memmem(rest, length, cursor->delimiter, delimiter_length);
    orbit_entry entry = {.path = rest};
    char etag[MEM_ETAG_ROOM], path[2 * MEM_KEY_MAX + 1];
    *group = 0;
    if (cut) {
        size_t whole = (size_t)(cut - rest) + delimiter_length;
        *group = cursor->directory.length + whole;
        length = whole;
        entry.metadata.kind = ORBIT_KIND_DIRECTORY;
    } else {
        mem_describe(cursor->backend, node, &entry.metadata, etag);
        if (length && rest[length - 1] == '/') {
            entry.flags = ORBIT_ENTRY_MARKER;
            entry.metadata.kind = ORBIT_KIND_DIRECTORY;
        }
    }
    entry.path_length = entry.metadata.kind == ORBIT_KIND_DIRECTORY ? trimmed(rest, length) : length;
    if (entry.path_length < strlen(rest)) { /* an entry's path ends in NUL */
        memcpy(path, rest, entry.path_length);
        path[entry.path_length] = '\0';
        entry.path = path;
    }
    entry.depth = depth_of(entry.path, entry.path_length);
    return orbit_page_add(page, &entry, 0);
}

static bool stand_at(struct mem_cursor *cursor, const char *key, size_t length)
{
    orb_buf_reset(&cursor->from);
    return orb_buf_append(&cursor->from, key, length);
}

/* Stands behind all keys that begin with the first `length` bytes of `key`: at that prefix with its last byte
 * one higher (there is one: a delimiter of 0xFF bytes only is nobody's). */
static bool stand_behind_group(struct mem_cursor *cursor, const char *key, size_t length)
{
    while (length && (unsigned char)key[length - 1] == 0xff)
        length--;
    if (!stand_at(cursor, key, length))
        return false;
    if (length)
        cursor->from.bytes[length - 1]++;
    return true;
}

static orbit_status page_of_keys(struct mem_cursor *cursor, orbit_page *page, orbit_error *error)
{
    struct mem_directory *root = cursor->backend->store->root->directory;
    const char *prefix = orb_buf_string(&cursor->prefix);
    struct mem_node *node = mem_directory_seek(root, orb_buf_string(&cursor->from), cursor->from.length);
    for (;;) {
        if (!node || strncmp(mem_node_name(node), prefix, cursor->prefix.length) != 0)
            return ORBIT_OK;
        size_t group = 0;
        orbit_status status = ORBIT_OK;
        if (node->name_length > cursor->directory.length) /* else: the marker of the directory itself */
            status = is_full(cursor, page) ? ORBIT_END : add_key(cursor, node, page, &group);
        if (status < 0)
            return orb_fail_memory(error);
        if (status == ORBIT_END) {
            orbit_page_more(page, true);
            return stand_at(cursor, mem_node_name(node), node->name_length) ? ORBIT_OK : orb_fail_memory(error);
        }
        if (!group) {
            node = node->next[0];
        } else {
            if (!stand_behind_group(cursor, mem_node_name(node), group))
                return orb_fail_memory(error);
            node = mem_directory_seek(root, orb_buf_string(&cursor->from), cursor->from.length);
        }
    }
}

static orbit_status add_child(struct mem_cursor *cursor, const struct mem_node *child, orbit_page *page)
{
    const struct mem_node *shown = child;
    orbit_error error;
    uint64_t position = cursor->backend->limits.seekable_list ? child->serial : 0;
    orbit_entry entry = {.path = mem_node_name(child), .path_length = child->name_length, .depth = 1};
    char etag[MEM_ETAG_ROOM];
    if (cursor->follow && child->kind == ORBIT_KIND_SYMLINK) {
        size_t length = cursor->directory.length;
        struct mem_place place;
        if (!orb_buf_text(&cursor->directory, mem_node_name(child)))
            return ORBIT_E_MEMORY;
        orbit_status status =
            mem_walk(cursor->backend, orb_buf_string(&cursor->directory), true, false, &place, &error);
        cursor->directory.length = length;
        cursor->directory.bytes[length] = '\0';
        if (status < 0 && status != ORBIT_E_NOT_FOUND)
            return orbit_page_add_failed(page, entry.path, entry.path_length, &error, position);
        if (status == ORBIT_OK && place.node)
            shown = place.node; /* else it dangles and is shown as the link it is */
    }
    if (cursor->want_metadata)
        mem_describe(cursor->backend, shown, &entry.metadata, etag);
    else
        entry.metadata.kind = shown->kind;
    return orbit_page_add(page, &entry, position);
}

static orbit_status page_of_children(struct mem_cursor *cursor, orbit_page *page, orbit_error *error)
{
    while (cursor->at) {
        orbit_status status = is_full(cursor, page) ? ORBIT_END : add_child(cursor, cursor->at, page);
        if (status < 0)
            return orb_fail_memory(error);
        if (status == ORBIT_END)
            break;
        cursor->at = cursor->at->newer;
    }
    orbit_page_more(page, cursor->at != NULL);
    return ORBIT_OK;
}

void mem_list_page(void *self, orbit_op *op, void *handle, orbit_page *page)
{
    struct mem_cursor *cursor = handle;
    orbit_error error;
    if (!mem_enter(self, op))
        return;
    orbit_status status =
        mem_is_object(cursor->backend) ? page_of_keys(cursor, page, &error) : page_of_children(cursor, page, &error);
    mem_done(op, status, &error);
}

void mem_list_suspend(void *self, void *handle, uint64_t position)
{
    (void)self;
    struct mem_cursor *cursor = handle;
    if (!cursor->node)
        return;
    /* Back from the newest: what is asked for is mostly near where the cursor stands or behind it. */
    struct mem_node *child = cursor->at ? cursor->at : cursor->node->directory->newest;
    while (child && child->serial > position && child->older)
        child = child->older;
    while (child && child->serial <= position)
        child = child->newer;
    cursor->at = child;
}

void mem_list_end(void *self, void *cursor)
{
    (void)self;
    cursor_free(cursor);
}
