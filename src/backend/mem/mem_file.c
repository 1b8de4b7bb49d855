/* SPDX-License-Identifier: Apache-2.0
 * Operations on names: stat, mkdir, rename, server-side copy, space, the container. Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"

/* ---- stat ------------------------------------------------------------------------------------------- */

/* A prefix that holds objects is a directory; the root always is one. */
static orbit_status stat_key(struct mem_backend *backend, const orbit_stat_request *request, orbit_metadata *reply,
                             orbit_error *error)
{
    struct orb_buf key;
    size_t length = strlen(request->path);
    orbit_status status = ORBIT_OK;
    if (!mem_key(backend, request->path, &key, error))
        return length > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY;
    struct mem_node *node = length ? mem_object(backend, &key) : NULL;
    bool slash = length && request->path[length - 1] == '/';
    if (node) {
        status = mem_describe_copy(backend, node, reply, error);
        if (status == ORBIT_OK && slash && !request->object_only)
            reply->kind = ORBIT_KIND_DIRECTORY; /* a marker */
    } else if (!length) {
        reply->kind = ORBIT_KIND_DIRECTORY;
    } else if (request->object_only) {
        status = mem_fail_missing(backend, request->path, error);
    } else if (!slash && !orb_buf_char(&key, '/')) {
        status = orb_fail_memory(error);
    } else {
        node = mem_directory_seek(backend->store->root->directory, orb_buf_string(&key), key.length);
        if (node && strncmp(mem_node_name(node), orb_buf_string(&key), key.length) == 0)
            reply->kind = ORBIT_KIND_DIRECTORY;
        else
            status = mem_fail_missing(backend, request->path, error);
    }
    orb_buf_release(&key);
    return status;
}

void mem_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    struct mem_backend *backend = self;
    orbit_error error;
    orbit_status status;
    if (!mem_enter(backend, op))
        return;
    *reply = (orbit_metadata)ORBIT_METADATA_INIT;
    if (mem_is_object(backend)) {
        status = stat_key(backend, request, reply, &error);
    } else {
        struct mem_place place;
        status = mem_walk_existing(backend, request->path, request->follow_symlinks, &place, &error);
        if (status == ORBIT_OK)
            status = mem_describe_copy(backend, place.node, reply, &error);
    }
    mem_done(op, status, &error);
}

/* ---- mkdir ------------------------------------------------------------------------------------------ */

/* A directory of a flat store is an empty object whose key ends in '/'. */
static orbit_status make_marker(struct mem_backend *backend, const orbit_mkdir_request *request, orbit_error *error)
{
    struct orb_buf key;
    size_t length = strlen(request->path);
    if (!length)
        return request->parents ? ORBIT_OK : orb_fail(error, ORBIT_E_EXISTS, 0, "the root of %s exists", backend->url);
    if (!mem_key(backend, request->path, &key, error))
        return length > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY;
    orbit_status status = ORBIT_OK;
    if (request->path[length - 1] != '/' && !orb_buf_char(&key, '/'))
        status = length == MEM_KEY_MAX ? orb_fail(error, ORBIT_E_PATH, 0, "a key of %zu bytes is too long", length + 1)
                                       : orb_fail_memory(error);
    if (status == ORBIT_OK) {
        const orbit_write_options options = {.size = sizeof(options), .overwrite = request->parents};
        struct mem_content *content = mem_content_new(backend->store);
        status = content ? mem_publish(backend, orb_buf_string(&key) + strlen(backend->root), &options, NULL, content,
                                       NULL, error)
                         : orb_fail_memory(error);
        mem_content_drop(content);
    }
    orb_buf_release(&key);
    return status;
}

static orbit_status make_directory(struct mem_backend *backend, const orbit_mkdir_request *request, orbit_error *error)
{
    struct mem_place place;
    orbit_status status = mem_walk(backend, request->path, request->parents, request->parents, &place, error);
    if (status < 0)
        return status;
    if (place.node) {
        bool fine = request->parents && place.node->directory;
        return fine ? ORBIT_OK
                    : orb_fail(error, ORBIT_E_EXISTS, 0, "'%s' exists in %s already", request->path, backend->url);
    }
    struct mem_node *node = mem_node_new(backend->store, ORBIT_KIND_DIRECTORY, place.name, place.name_length);
    if (!node)
        return orb_fail_memory(error);
    mem_link(backend->store, place.parent, node);
    return ORBIT_OK;
}

void mem_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request)
{
    struct mem_backend *backend = self;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status =
        mem_is_object(backend) ? make_marker(backend, request, &error) : make_directory(backend, request, &error);
    mem_done(op, status, &error);
}

/* ---- rename ----------------------------------------------------------------------------------------- */

static bool is_below(const struct mem_node *node, const struct mem_node *top)
{
    while (node && node != top)
        node = node->parent;
    return node == top;
}

/* What stands at the target, and whether `from` may take its place (rename(2)). */
static orbit_status check_replace(struct mem_backend *backend, const orbit_rename_request *request,
                                  const struct mem_node *from, const struct mem_node *to, orbit_error *error)
{
    if (!to)
        return ORBIT_OK;
    if (!request->overwrite)
        return orb_fail(error, ORBIT_E_EXISTS, 0, "'%s' exists in %s already", request->to, backend->url);
    if (to->directory && to->directory->count)
        return orb_fail(error, ORBIT_E_NOT_EMPTY, 0, "the directory '%s' in %s is not empty", request->to,
                        backend->url);
    if (!to->directory == !from->directory)
        return ORBIT_OK;
    orb_fail(error, ORBIT_E_PATH, 0, "'%s' and '%s' are not both directories or both files", request->from,
             request->to);
    error->flags |= to->directory ? ORBIT_ERROR_IS_DIRECTORY : ORBIT_ERROR_NOT_DIRECTORY;
    return ORBIT_E_PATH;
}

/* A node's name is part of its allocation: a renamed node is a new one with the insides of the old. */
static struct mem_node *renamed(struct mem_store *store, struct mem_node *from, const struct mem_place *to)
{
    struct mem_node *node = mem_node_new(store, ORBIT_KIND_FILE, to->name, to->name_length);
    if (!node)
        return NULL;
    node->kind = from->kind;
    node->generation = from->generation;
    node->mtime_ns = from->mtime_ns;
    node->atime_ns = from->atime_ns;
    node->mode = from->mode;
    node->uid = from->uid;
    node->gid = from->gid;
    node->content = from->content;
    node->directory = from->directory;
    node->target = from->target;
    node->extra = from->extra;
    node->attributes = from->attributes;
    if (node->directory)
        for (struct mem_node *child = node->directory->oldest; child; child = child->newer)
            child->parent = node;
    return node;
}

static void empty_node(struct mem_node *node)
{
    node->content = NULL;
    node->directory = NULL;
    node->target = NULL;
    node->extra = NULL;
    node->attributes = NULL;
}

static orbit_status rename_node(struct mem_backend *backend, const orbit_rename_request *request, orbit_error *error)
{
    struct mem_store *store = backend->store;
    struct mem_place from, to;
    orbit_status status = mem_walk_existing(backend, request->from, false, &from, error);
    if (status == ORBIT_OK)
        status = mem_walk(backend, request->to, false, request->create_parents, &to, error);
    if (status != ORBIT_OK)
        return status;
    if (!from.parent || !to.parent || (from.node->directory && is_below(to.parent, from.node)))
        return orb_fail(error, ORBIT_E_PATH, 0, "'%s' cannot be renamed to '%s'", request->from, request->to);
    if (from.node == to.node)
        return ORBIT_OK;
    if (to.must_be_directory && !from.node->directory)
        return orb_fail(error, ORBIT_E_PATH, 0, "'%s' is not a directory, as '%s' should be", request->from,
                        request->to);
    status = check_replace(backend, request, from.node, to.node, error);
    if (status < 0)
        return status;
    struct mem_node *node = renamed(store, from.node, &to);
    if (!node)
        return orb_fail_memory(error);
    mem_unlink(store, from.node);
    mem_cursor_move(store, from.node, node);
    empty_node(from.node);
    mem_node_free(store, from.node);
    if (to.node) {
        mem_unlink(store, to.node);
        mem_node_free(store, to.node);
    }
    mem_link(store, to.parent, node);
    return ORBIT_OK;
}

/* A real object store copies and removes; here a key can simply change. */
static orbit_status rename_key(struct mem_backend *backend, const orbit_rename_request *request, orbit_error *error)
{
    struct mem_store *store = backend->store;
    struct mem_node *from, *to, *node;
    struct orb_buf key;
    orbit_status status = mem_find_file(backend, request->from, &from, error);
    if (status < 0)
        return status;
    if (!*request->to)
        return orb_fail(error, ORBIT_E_PATH, 0, "an object in %s needs a key", backend->url);
    if (!mem_key(backend, request->to, &key, error))
        return strlen(request->to) > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY;
    to = mem_object(backend, &key);
    if (to && !request->overwrite)
        status = orb_fail(error, ORBIT_E_EXISTS, 0, "'%s' exists in %s already", request->to, backend->url);
    if (status == ORBIT_OK && to != from) {
        const struct mem_place place = {.name = orb_buf_string(&key), .name_length = key.length};
        node = renamed(store, from, &place);
        if (node) {
            mem_unlink(store, from);
            empty_node(from);
            mem_node_free(store, from);
            if (to) {
                mem_unlink(store, to);
                mem_node_free(store, to);
            }
            mem_link(store, store->root, node);
        } else {
            status = orb_fail_memory(error);
        }
    }
    orb_buf_release(&key);
    return status;
}

void mem_rename(void *self, orbit_op *op, const orbit_rename_request *request)
{
    struct mem_backend *backend = self;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status =
        mem_is_object(backend) ? rename_key(backend, request, &error) : rename_node(backend, request, &error);
    mem_done(op, status, &error);
}

/* ---- server-side copy ------------------------------------------------------------------------------- */

static bool same_as_pin(const struct mem_backend *backend, const struct mem_node *node, const orbit_metadata *pin)
{
    orbit_metadata now;
    char etag[MEM_ETAG_ROOM];
    mem_describe(backend, node, &now, etag);
    if (pin->etag && now.etag)
        return strcmp(pin->etag, now.etag) == 0;
    return (!(pin->fields & ORBIT_HAS_INODE) || pin->inode == now.inode) &&
           (!(pin->fields & ORBIT_HAS_SIZE) || pin->size == now.size);
}

orbit_status mem_copy_source(const orbit_copy_request *request, struct mem_node **node, orbit_error *error)
{
    struct mem_backend *source = request->from_self;
    orbit_status status = mem_find_file(source, request->from, node, error);
    if (status == ORBIT_OK && request->pin && !same_as_pin(source, *node, request->pin))
        status = orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' in %s was changed before it was copied", request->from,
                          source->url);
    return status;
}

/* Bytes are immutable: a copy shares them. */
void mem_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    struct mem_backend *backend = self;
    struct mem_backend *source = request->from_self;
    struct mem_node *node;
    orbit_metadata described;
    char etag[MEM_ETAG_ROOM];
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_copy_source(request, &node, &error);
    if (status == ORBIT_OK && backend->limits.copy_max && node->content->size > backend->limits.copy_max)
        status = orb_fail(&error, ORBIT_E_LIMIT, 0, "'%s' is larger than %s copies in one piece", request->from,
                          backend->url);
    if (status == ORBIT_OK) {
        struct mem_content *content = node->content;
        mem_describe(source, node, &described, etag);
        if (!request->preserve) /* an object keeps its own metadata in a copy, a file does not */
            described.fields = 0;
        mem_content_hold(content);
        status = mem_publish(backend, request->to, request->options,
                             request->preserve || mem_is_object(backend) ? &described : NULL, content, reply, &error);
        mem_content_drop(content);
        if (status == ORBIT_OK)
            orbit_op_progress(op, content->size);
    }
    mem_done(op, status, &error);
}

/* ---- the store -------------------------------------------------------------------------------------- */

void mem_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply)
{
    (void)path;
    const struct mem_store *store = ((struct mem_backend *)self)->store;
    if (!mem_enter(self, op))
        return;
    reply->total_bytes = store->capacity ? store->capacity : (uint64_t)1 << 62;
    reply->free_bytes = reply->total_bytes - store->used;
    mem_done(op, ORBIT_OK, NULL);
}

void mem_container_create(void *self, orbit_op *op)
{
    struct mem_backend *backend = self;
    orbit_error error;
    orbit_status status = ORBIT_OK;
    if (!backend->store->removed)
        status = orb_fail(&error, ORBIT_E_EXISTS, 0, "the container '%s' exists already", backend->url);
    backend->store->removed = false;
    mem_done(op, status, &error);
}

void mem_container_remove(void *self, orbit_op *op)
{
    struct mem_backend *backend = self;
    orbit_error error;
    orbit_status status = ORBIT_OK;
    if (!mem_enter(backend, op))
        return;
    if (backend->store->root->directory->count)
        status = orb_fail(&error, ORBIT_E_NOT_EMPTY, 0, "the container '%s' is not empty", backend->url);
    else
        backend->store->removed = true;
    mem_done(op, status, &error);
}
