/* SPDX-License-Identifier: Apache-2.0
 * What is told of a node and what can be changed without its bytes: metadata, symlinks, extended attributes.
 * Loop thread. */
#include <stdio.h>
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"

#define ATTRIBUTE_NAME_MAX  255
#define ATTRIBUTE_VALUE_MAX ((size_t)64 << 10)
#define ATTRIBUTES_MAX      ((size_t)256 << 10) /* of one node, names and values */

/* ---- describing ------------------------------------------------------------------------------------- */

void mem_etag(const struct mem_content *content, char etag[MEM_ETAG_ROOM])
{
    int length = snprintf(etag, MEM_ETAG_ROOM, "%016llx", (unsigned long long)content->crc);
    if (content->parts)
        snprintf(etag + length, MEM_ETAG_ROOM - (size_t)length, "-%u", content->parts);
}

static void describe_object(const struct mem_node *node, orbit_metadata *metadata, char etag[MEM_ETAG_ROOM])
{
    if (node->extra) {
        *metadata = *node->extra;
        metadata->storage = NULL; /* borrowed */
    }
    metadata->fields = ORBIT_HAS_SIZE | ORBIT_HAS_MTIME;
    metadata->mtime_ns = node->mtime_ns;
    metadata->part_count = node->content->parts;
    metadata->checksum = orb_checksum_crc64nvme(node->content->crc);
    mem_etag(node->content, etag);
    metadata->etag = etag;
}

static void describe_file(const struct mem_node *node, orbit_metadata *metadata)
{
    metadata->fields = ORBIT_HAS_SIZE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME | ORBIT_HAS_MODE | ORBIT_HAS_OWNER |
                       ORBIT_HAS_INODE | ORBIT_HAS_BLOCKS;
    metadata->mtime_ns = node->mtime_ns;
    metadata->atime_ns = node->atime_ns;
    metadata->mode = node->mode;
    metadata->uid = node->uid;
    metadata->gid = node->gid;
    metadata->device = 1;
    metadata->inode = node->generation;
    metadata->link_target = node->target;
    metadata->size = node->target ? strlen(node->target) : 0;
    for (size_t i = 0; node->content && i < node->content->count; i++)
        metadata->disk_bytes += node->content->segments[i].room;
}

void mem_describe(const struct mem_backend *backend, const struct mem_node *node, orbit_metadata *metadata,
                  char etag[MEM_ETAG_ROOM])
{
    memset(metadata, 0, sizeof(*metadata));
    if (mem_is_object(backend) && node->content)
        describe_object(node, metadata, etag);
    else if (!mem_is_object(backend))
        describe_file(node, metadata);
    metadata->kind = node->kind;
    if (node->content)
        metadata->size = node->content->size;
}

orbit_status mem_describe_copy(const struct mem_backend *backend, const struct mem_node *node, orbit_metadata *metadata,
                               orbit_error *error)
{
    orbit_metadata borrowed;
    char etag[MEM_ETAG_ROOM];
    mem_describe(backend, node, &borrowed, etag);
    return orbit_metadata_copy(metadata, &borrowed) == ORBIT_OK ? ORBIT_OK : orb_fail_memory(error);
}

/* ---- changing --------------------------------------------------------------------------------------- */

static orbit_status set_user(struct mem_node *node, const orbit_metadata *wanted, orbit_error *error)
{
    static const orbit_metadata nothing = ORBIT_METADATA_INIT;
    orbit_metadata borrowed = node->extra ? *node->extra : nothing, made;
    borrowed.storage = NULL;
    borrowed.user = wanted->user;
    borrowed.user_count = wanted->user_count;
    if (orbit_metadata_copy(&made, &borrowed) != ORBIT_OK)
        return orb_fail_memory(error);
    if (!node->extra)
        node->extra = orb_calloc(1, sizeof(*node->extra));
    if (!node->extra) {
        orbit_metadata_release(&made);
        return orb_fail_memory(error);
    }
    orbit_metadata_release(node->extra);
    *node->extra = made;
    return ORBIT_OK;
}

static orbit_status set_fields(struct mem_backend *backend, struct mem_node *node, const orbit_metadata *wanted,
                               orbit_error *error)
{
    const uint32_t settable = ORBIT_HAS_MODE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME | ORBIT_HAS_OWNER;
    uint32_t fields = wanted->fields;
    if ((fields & ~settable) || (mem_is_object(backend) && fields))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "%s cannot change such metadata", backend->url);
    if (wanted->user_count && !mem_is_object(backend))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "%s has no user metadata", backend->url);
    if (wanted->user_count) {
        orbit_status status = set_user(node, wanted, error);
        if (status < 0)
            return status;
    }
    if (fields & ORBIT_HAS_MODE)
        node->mode = wanted->mode & 07777;
    if (fields & ORBIT_HAS_MTIME)
        node->mtime_ns = wanted->mtime_ns;
    if (fields & ORBIT_HAS_ATIME)
        node->atime_ns = wanted->atime_ns;
    if (fields & ORBIT_HAS_OWNER) {
        node->uid = wanted->uid;
        node->gid = wanted->gid;
    }
    return ORBIT_OK;
}

void mem_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request)
{
    struct mem_backend *backend = self;
    struct mem_node *node = NULL;
    orbit_error error;
    orbit_status status;
    if (!mem_enter(backend, op))
        return;
    if (mem_is_object(backend)) {
        status = mem_find_file(backend, request->path, &node, &error);
    } else {
        struct mem_place place;
        status = mem_walk_existing(backend, request->path, true, &place, &error);
        node = place.node;
    }
    if (status == ORBIT_OK)
        status = set_fields(backend, node, request->metadata, &error);
    mem_done(op, status, &error);
}

/* ---- symlinks --------------------------------------------------------------------------------------- */

static orbit_status fail_unsupported(struct mem_backend *backend, const char *what, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "%s has no %s", backend->url, what);
}

void mem_symlink(void *self, orbit_op *op, const orbit_link_request *request)
{
    struct mem_backend *backend = self;
    struct mem_place place;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_is_object(backend) ? fail_unsupported(backend, "symbolic links", &error)
                                                 : mem_walk(backend, request->path, false, false, &place, &error);
    if (status == ORBIT_OK && (place.node || !place.parent))
        status = orb_fail(&error, ORBIT_E_EXISTS, 0, "'%s' exists in %s already", request->path, backend->url);
    if (status == ORBIT_OK && (!*request->target || place.must_be_directory))
        status =
            orb_fail(&error, ORBIT_E_PATH, 0, "'%s' cannot be a symbolic link to '%s'", request->path, request->target);
    if (status == ORBIT_OK) {
        struct mem_node *node = mem_node_new(backend->store, ORBIT_KIND_SYMLINK, place.name, place.name_length);
        if (node)
            node->target = orb_strdup(request->target);
        if (node && node->target) {
            mem_link(backend->store, place.parent, node);
        } else {
            if (node)
                mem_node_free(backend->store, node);
            status = orb_fail_memory(&error);
        }
    }
    mem_done(op, status, &error);
}

/* Gives `length` bytes to a request that receives bytes. */
static orbit_status give_bytes(const orbit_bytes_request *request, const void *bytes, size_t length, orbit_error *error)
{
    if (request->length)
        *request->length = length;
    if (length > request->room)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "%zu bytes of '%s' do not fit into %zu", length, request->path,
                        request->room);
    if (length)
        memcpy(request->buffer, bytes, length);
    return ORBIT_OK;
}

void mem_readlink(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    struct mem_backend *backend = self;
    struct mem_place place;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_is_object(backend) ? fail_unsupported(backend, "symbolic links", &error)
                                                 : mem_walk_existing(backend, request->path, false, &place, &error);
    if (status == ORBIT_OK && !place.node->target)
        status = orb_fail(&error, ORBIT_E_PATH, 0, "'%s' in %s is not a symbolic link", request->path, backend->url);
    if (status == ORBIT_OK)
        status = give_bytes(request, place.node->target, strlen(place.node->target), &error);
    mem_done(op, status, &error);
}

/* ---- extended attributes ---------------------------------------------------------------------------- */

static orbit_status attribute_node(struct mem_backend *backend, const char *path, struct mem_node **node,
                                   orbit_error *error)
{
    if (mem_is_object(backend))
        return fail_unsupported(backend, "extended attributes", error);
    struct mem_place place;
    orbit_status status = mem_walk_existing(backend, path, true, &place, error);
    *node = place.node;
    return status;
}

/* The pointer that leads to the attribute of that name, or to NULL. */
static struct mem_attribute **find_attribute(struct mem_node *node, const char *name)
{
    struct mem_attribute **link = &node->attributes;
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static orbit_status fail_no_attribute(const char *path, const char *name, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_NOT_FOUND, 0, "'%s' has no attribute '%s'", path, name);
}

void mem_xattr_get(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    struct mem_node *node;
    orbit_error error;
    if (!mem_enter(self, op))
        return;
    orbit_status status = attribute_node(self, request->path, &node, &error);
    if (status == ORBIT_OK) {
        const struct mem_attribute *found = *find_attribute(node, request->name);
        status = found ? give_bytes(request, found->value, found->length, &error)
                       : fail_no_attribute(request->path, request->name, &error);
    }
    mem_done(op, status, &error);
}

void mem_xattr_list(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    struct mem_node *node;
    orbit_error error;
    if (!mem_enter(self, op))
        return;
    orbit_status status = attribute_node(self, request->path, &node, &error);
    if (status == ORBIT_OK) {
        struct orb_buf names;
        orb_buf_init(&names, ATTRIBUTES_MAX);
        for (const struct mem_attribute *at = node->attributes; at; at = at->next)
            orb_buf_append(&names, at->name, strlen(at->name) + 1);
        status =
            names.failed ? orb_fail_memory(&error) : give_bytes(request, orb_buf_string(&names), names.length, &error);
        orb_buf_release(&names);
    }
    mem_done(op, status, &error);
}

static orbit_status set_attribute(struct mem_node *node, const orbit_xattr_set_request *request, orbit_error *error)
{
    size_t name_length = strlen(request->name), total = name_length + request->length;
    if (!name_length || name_length > ATTRIBUTE_NAME_MAX || request->length > ATTRIBUTE_VALUE_MAX)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "the attribute '%.64s' of '%s' is too long", request->name,
                        request->path);
    for (const struct mem_attribute *at = node->attributes; at; at = at->next)
        total += strlen(at->name) + 1 + at->length;
    if (total > ATTRIBUTES_MAX)
        return orb_fail(error, ORBIT_E_NO_SPACE, 0, "'%s' has no room for more attributes", request->path);
    struct mem_attribute *made = orb_malloc(sizeof(*made) + name_length + 1);
    char *value = made ? orb_malloc(request->length) : NULL;
    if (!value) {
        orb_free(made);
        return orb_fail_memory(error);
    }
    memcpy(value, request->value, request->length);
    memcpy(made->name, request->name, name_length + 1);
    made->value = value;
    made->length = request->length;
    struct mem_attribute **link = find_attribute(node, request->name), *old = *link;
    made->next = old ? old->next : NULL;
    *link = made;
    if (old) {
        orb_free(old->value);
        orb_free(old);
    }
    return ORBIT_OK;
}

void mem_xattr_set(void *self, orbit_op *op, const orbit_xattr_set_request *request)
{
    struct mem_node *node;
    orbit_error error;
    if (!mem_enter(self, op))
        return;
    orbit_status status = attribute_node(self, request->path, &node, &error);
    if (status == ORBIT_OK && request->value) {
        status = set_attribute(node, request, &error);
    } else if (status == ORBIT_OK) {
        struct mem_attribute **link = find_attribute(node, request->name), *old = *link;
        if (old) {
            *link = old->next;
            orb_free(old->value);
            orb_free(old);
        } else {
            status = fail_no_attribute(request->path, request->name, &error);
        }
    }
    mem_done(op, status, &error);
}
