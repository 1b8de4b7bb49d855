/* SPDX-License-Identifier: Apache-2.0
 * Writing: draining bodies, and the one place where new bytes become visible (mem_publish). Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/clock.h"
#include "base/mem.h"

/* ---- draining --------------------------------------------------------------------------------------- */

static void drain_step(struct mem_transfer *transfer)
{
    struct mem_drain *drain = (struct mem_drain *)(void *)transfer;
    orbit_body *body = drain->body;
    orbit_error error;
    for (size_t moved = 0; moved < MEM_STEP_BYTES;) {
        const void *bytes;
        size_t length = 0;
        orbit_status status = body->peek(body, &bytes, &length);
        if (status == ORBIT_AGAIN)
            return; /* resume brings it back */
        if (status == ORBIT_END && drain->content->size == body->length) {
            drain->done(drain);
            return;
        }
        uint64_t left = body->length - drain->content->size;
        if (status == ORBIT_END || (status == ORBIT_OK && length > left))
            status = orb_fail(&error, ORBIT_E_MISUSE, 0, "a body of %llu bytes has %s bytes",
                              (unsigned long long)body->length, status == ORBIT_END ? "fewer" : "more");
        else if (status < 0)
            orb_fail(&error, status, 0, "the source of the bytes failed");
        else
            status = mem_content_append(drain->content, bytes, length, left, &error);
        if (status < 0) {
            mem_transfer_end(transfer, status, &error);
            return;
        }
        body->consume(body, length);
        moved += length;
    }
    mem_transfer_again(transfer);
}

void mem_drain_start(struct mem_drain *drain, struct mem_backend *backend, orbit_op *op, orbit_body *body,
                     void (*release)(struct mem_transfer *))
{
    drain->body = body;
    mem_transfer_start(&drain->transfer, backend, op, drain_step, release);
}

/* ---- publishing ------------------------------------------------------------------------------------- */

/* Where the file is to appear, and what is there now. */
struct target {
    struct mem_node *parent, *node;
    struct orb_buf key; /* object profile */
    const char *name;
    size_t name_length;
};

static orbit_status find_target(struct mem_backend *backend, const char *path, bool make, struct target *target,
                                orbit_error *error)
{
    *target = (struct target){0};
    if (mem_is_object(backend)) {
        if (!mem_key(backend, path, &target->key, error))
            return strlen(path) > MEM_KEY_MAX ? ORBIT_E_PATH : ORBIT_E_MEMORY;
        if (!*path) {
            orb_buf_release(&target->key);
            return orb_fail(error, ORBIT_E_PATH, 0, "an object in %s needs a key", backend->url);
        }
        target->node = mem_object(backend, &target->key);
        target->parent = backend->store->root;
        target->name = orb_buf_string(&target->key);
        target->name_length = target->key.length;
        return ORBIT_OK;
    }
    struct mem_place place;
    orbit_status status = mem_walk(backend, path, true, make, &place, error);
    if (status < 0)
        return status;
    if (!place.parent || place.must_be_directory || (place.node && place.node->directory)) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%s' in %s is a directory", path, backend->url);
        if (error)
            error->flags |= ORBIT_ERROR_IS_DIRECTORY;
        return ORBIT_E_PATH;
    }
    target->parent = place.parent;
    target->node = place.node;
    target->name = place.name;
    target->name_length = place.name_length;
    return ORBIT_OK;
}

static orbit_status check_options(struct mem_backend *backend, const char *path, const orbit_write_options *options,
                                  const struct mem_node *node, orbit_error *error)
{
    if (node && !options->overwrite)
        return orb_fail(error, ORBIT_E_EXISTS, 0, "'%s' exists in %s already", path, backend->url);
    if (!options->if_match)
        return ORBIT_OK;
    if (!mem_is_object(backend))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "%s has no etags to match", backend->url);
    if (!node)
        return mem_fail_missing(backend, path, error);
    char etag[MEM_ETAG_ROOM];
    mem_etag(node->content, etag);
    return strcmp(etag, options->if_match) == 0
               ? ORBIT_OK
               : orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' in %s is not the one that was to be replaced", path,
                          backend->url);
}

orbit_status mem_publish_check(struct mem_backend *backend, const char *path, const orbit_write_options *options,
                               orbit_error *error)
{
    struct target target;
    orbit_status status = find_target(backend, path, false, &target, error);
    if (status == ORBIT_E_NOT_FOUND && options->create_parents) {
        orb_error_clear(error);
        return ORBIT_OK; /* nothing there, not even its directory */
    }
    if (status == ORBIT_OK)
        status = check_options(backend, path, options, target.node, error);
    orb_buf_release(&target.key);
    return status;
}

/* One string of the metadata: the option's, else the source's. */
static bool keep(orbit_metadata *extra, const char **member, const char *option, const char *source)
{
    const char *from = option ? option : source;
    *member = from ? orbit_metadata_keep(extra, from, strlen(from)) : NULL;
    return !from || *member;
}

/* What is known of the object besides its bytes; *made NULL when there is nothing. */
static orbit_status make_extra(const orbit_write_options *o, const orbit_metadata *preserve, orbit_metadata **made,
                               orbit_error *error)
{
    static const orbit_metadata nothing = ORBIT_METADATA_INIT;
    const orbit_metadata *p = preserve ? preserve : &nothing;
    const orbit_pair *user = o->metadata_count ? o->metadata : p->user;
    size_t count = o->metadata_count ? o->metadata_count : p->user_count;
    *made = NULL;
    if (!o->content_type && !o->content_encoding && !o->content_disposition && !o->content_language &&
        !o->cache_control && !o->expires && !o->storage_class && !o->sse && !count && !preserve)
        return ORBIT_OK;
    orbit_metadata *extra = orb_calloc(1, sizeof(*extra));
    if (!extra)
        return orb_fail_memory(error);
    bool good = keep(extra, &extra->content_type, o->content_type, p->content_type) &&
                keep(extra, &extra->content_encoding, o->content_encoding, p->content_encoding) &&
                keep(extra, &extra->content_disposition, o->content_disposition, p->content_disposition) &&
                keep(extra, &extra->content_language, o->content_language, p->content_language) &&
                keep(extra, &extra->cache_control, o->cache_control, p->cache_control) &&
                keep(extra, &extra->expires, o->expires, p->expires) &&
                keep(extra, &extra->storage_class, o->storage_class, NULL) &&
                keep(extra, &extra->encryption, o->sse, NULL);
    for (size_t i = 0; good && i < count; i++)
        good = orbit_metadata_add_user(extra, user[i].name, user[i].value) == ORBIT_OK;
    if (!good) {
        orbit_metadata_release(extra);
        orb_free(extra);
        return orb_fail_memory(error);
    }
    *made = extra;
    return ORBIT_OK;
}

/* Mode, times and owner of a new or replaced file: what was asked for, else the source's, else as they are. */
static void apply_attributes(struct mem_node *node, const orbit_write_options *options, const orbit_metadata *preserve)
{
    uint32_t source = preserve ? preserve->fields : 0, set = options->set;
    if ((set | source) & ORBIT_HAS_MODE)
        node->mode = (set & ORBIT_HAS_MODE ? options->mode : preserve->mode) & 07777;
    if ((set | source) & ORBIT_HAS_MTIME)
        node->mtime_ns = set & ORBIT_HAS_MTIME ? options->mtime_ns : preserve->mtime_ns;
    if ((set | source) & ORBIT_HAS_ATIME)
        node->atime_ns = set & ORBIT_HAS_ATIME ? options->atime_ns : preserve->atime_ns;
    if ((set | source) & ORBIT_HAS_OWNER) {
        node->uid = set & ORBIT_HAS_OWNER ? options->uid : preserve->uid;
        node->gid = set & ORBIT_HAS_OWNER ? options->gid : preserve->gid;
    }
}

/* Everything that can fail is done with `fresh`, which nobody sees; then it is linked, or its insides go into
 * the node that is there. */
static void put_in_place(struct mem_backend *backend, struct target *target, struct mem_node *fresh)
{
    struct mem_node *node = target->node;
    if (!node) {
        mem_link(backend->store, target->parent, fresh);
        return;
    }
    struct mem_content *content = node->content;
    orbit_metadata *extra = node->extra;
    node->content = fresh->content;
    node->extra = fresh->extra;
    node->generation = fresh->generation;
    node->mtime_ns = fresh->mtime_ns;
    node->atime_ns = fresh->atime_ns;
    node->mode = fresh->mode;
    node->uid = fresh->uid;
    node->gid = fresh->gid;
    fresh->content = content;
    fresh->extra = extra;
    mem_node_free(backend->store, fresh);
}

orbit_status mem_publish(struct mem_backend *backend, const char *path, const orbit_write_options *options,
                         const orbit_metadata *preserve, struct mem_content *content, orbit_metadata *reply,
                         orbit_error *error)
{
    struct target target;
    struct mem_node *fresh = NULL;
    orbit_status status = find_target(backend, path, options->create_parents, &target, error);
    if (status < 0)
        return status;
    status = check_options(backend, path, options, target.node, error);
    if (status < 0)
        goto out;
    fresh = mem_node_new(backend->store, ORBIT_KIND_FILE, target.name, target.name_length);
    if (!fresh) {
        status = orb_fail_memory(error);
        goto out;
    }
    fresh->content = content;
    mem_content_hold(content);
    if (target.node) { /* a replaced file keeps its mode and owner */
        fresh->mode = target.node->mode;
        fresh->uid = target.node->uid;
        fresh->gid = target.node->gid;
    }
    if (!mem_is_object(backend))
        apply_attributes(fresh, options, preserve);
    status = make_extra(options, preserve, &fresh->extra, error);
    if (status == ORBIT_OK && reply)
        status = mem_describe_copy(backend, fresh, reply, error);
    if (status == ORBIT_OK) {
        put_in_place(backend, &target, fresh);
        fresh = NULL;
    }
out:
    if (fresh)
        mem_node_free(backend->store, fresh);
    orb_buf_release(&target.key);
    return status;
}

/* ---- put -------------------------------------------------------------------------------------------- */

struct put {
    struct mem_drain drain;
    const orbit_put_request *request;
    orbit_metadata *reply;
};

static void put_release(struct mem_transfer *transfer)
{
    mem_content_drop(((struct put *)(void *)transfer)->drain.content);
}

static void put_drained(struct mem_drain *drain)
{
    struct put *put = (struct put *)(void *)drain;
    struct mem_backend *backend = drain->transfer.backend;
    orbit_error error;
    orbit_status status = mem_publish(backend, put->request->path, put->request->options, put->request->preserve,
                                      drain->content, put->reply, &error);
    mem_transfer_end(&drain->transfer, status, &error);
}

void mem_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    struct mem_backend *backend = self;
    struct put *put = NULL;
    orbit_error error;
    orbit_status status;
    if (!mem_enter(backend, op))
        return;
    if (body->length > backend->limits.put_max)
        status = orb_fail(&error, ORBIT_E_LIMIT, 0, "%llu bytes are more than %s takes in one piece",
                          (unsigned long long)body->length, backend->url);
    else
        status = mem_publish_check(backend, request->path, request->options, &error);
    if (status == ORBIT_OK) {
        put = orb_calloc(1, sizeof(*put));
        if (put)
            put->drain.content = mem_content_new(backend->store);
        if (!put || !put->drain.content)
            status = orb_fail_memory(&error);
    }
    if (status < 0 || !put) {
        orb_free(put);
        mem_done(op, status, &error);
        return;
    }
    put->request = request;
    put->reply = reply;
    put->drain.done = put_drained;
    mem_drain_start(&put->drain, backend, op, body, put_release);
}
