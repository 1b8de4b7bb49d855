/* SPDX-License-Identifier: Apache-2.0
 * Whole operations on an ophost: each packs its arguments, starts on the loop and waits. */
#include <stdlib.h>
#include <string.h>

#include "support/ophost.h"

/* What one blocking operation carries to the loop. */
struct args {
    const void *request;
    void *reply;
    void *handle; /* upload or cursor */
    const char *path;
    orbit_sink *sink;
    orbit_body *body;
};

static orbit_status run(struct orb_backend *backend, bool supported, struct ophost_call *call, struct args *args,
                        void (*start)(struct ophost_call *, void *, const orbit_backend_ops *, orbit_op *),
                        orbit_error *error)
{
    if (!supported)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "the backend '%s' has no such operation", backend->ops->name);
    call->start = start;
    call->ctx = args;
    ophost_start(call, backend);
    return ophost_wait(call, error);
}

/* The starting functions differ only in which member they call. */
#define STARTER(name, ...)                                                                                     \
    static void start_##name(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op) \
    {                                                                                                          \
        struct args *args = call->ctx;                                                                         \
        ops->name(self, op, __VA_ARGS__);                                                                      \
    }
STARTER(stat, args->request, args->reply)
STARTER(list_begin, args->request, args->reply)
STARTER(list_page, args->handle, args->reply)
STARTER(read, args->request, args->sink, args->reply)
STARTER(put, args->request, args->body, args->reply)
STARTER(begin, args->request, args->reply)
STARTER(suspend, args->handle)
STARTER(part, args->handle, args->request, args->body, args->reply)
STARTER(part_copy, args->handle, args->request, args->reply)
STARTER(finish, args->handle, args->request, args->reply)
STARTER(abort, args->handle)
STARTER(parts, args->request, args->reply)
STARTER(uploads, args->request, args->reply)
STARTER(remove, args->request)
STARTER(mkdir, args->request)
STARTER(rename, args->request)
STARTER(copy, args->request, args->reply)
STARTER(set_metadata, args->request)
STARTER(symlink, args->request)
STARTER(readlink, args->request)
STARTER(xattr_get, args->request)
STARTER(xattr_list, args->request)
STARTER(xattr_set, args->request)
STARTER(space, args->path, args->reply)

static void start_container_create(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    (void)call;
    ops->container_create(self, op);
}

static void start_container_remove(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    (void)call;
    ops->container_remove(self, op);
}

#define RUN(name, ...) \
    run(b, b->ops->name != NULL, &(struct ophost_call){0}, &(struct args){__VA_ARGS__}, start_##name, error)

static const orbit_write_options default_options = ORBIT_WRITE_OPTIONS_INIT;

orbit_status ophost_stat(struct orb_backend *b, const char *path, orbit_metadata *metadata, orbit_error *error)
{
    orbit_stat_request request = {.path = path};
    return RUN(stat, .request = &request, .reply = metadata);
}

orbit_status ophost_list_begin(struct orb_backend *b, const orbit_list_request *request, void **cursor,
                               orbit_error *error)
{
    *cursor = NULL;
    return RUN(list_begin, .request = request, .reply = cursor);
}

orbit_status ophost_list_page(struct orb_backend *b, void *cursor, orbit_page *page, orbit_error *error)
{
    return RUN(list_page, .handle = cursor, .reply = page);
}

struct cursor_call {
    struct orb_backend *backend;
    void *cursor;
    uint64_t position;
};

static void suspend_on_loop(void *ctx)
{
    struct cursor_call *call = ctx;
    call->backend->ops->list_suspend(call->backend->self, call->cursor, call->position);
}

static void end_on_loop(void *ctx)
{
    struct cursor_call *call = ctx;
    call->backend->ops->list_end(call->backend->self, call->cursor);
}

static struct ophost *host_of(struct orb_backend *backend)
{
    return (struct ophost *)(void *)((char *)backend->host - offsetof(struct ophost, host));
}

void ophost_list_suspend(struct orb_backend *b, void *cursor, uint64_t position)
{
    struct cursor_call call = {b, cursor, position};
    ophost_on_loop(host_of(b), suspend_on_loop, &call);
}

void ophost_list_end(struct orb_backend *b, void *cursor)
{
    struct cursor_call call = {b, cursor, 0};
    ophost_on_loop(host_of(b), end_on_loop, &call);
}

static void keep_entries(struct ophost_listing *listing, const orbit_page *page)
{
    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    while (orb_page_next(page, &at, &item)) {
        if ((listing->count & (listing->count + 1)) == 0) /* grow at every power of two less one */
            listing->entries = realloc(listing->entries, (listing->count + 1) * 2 * sizeof(*listing->entries));
        struct ophost_entry *entry = &listing->entries[listing->count++];
        *entry = (struct ophost_entry){.path = strndup(item.entry.path, item.entry.path_length),
                                       .flags = item.entry.flags,
                                       .position = item.position,
                                       .failed = item.failed};
        if (item.failed)
            entry->error = *item.error;
        else
            orbit_metadata_copy(&entry->metadata, &item.entry.metadata);
    }
}

orbit_status ophost_list(struct orb_backend *b, const char *path, const orbit_list_request *request,
                         struct ophost_listing *listing, orbit_error *error)
{
    orbit_list_request plain = {.path = path, .want_metadata = true, .page_entries = 1000};
    void *cursor = NULL;
    struct orbit_page page;

    *listing = (struct ophost_listing){0};
    if (!request)
        request = &plain;
    orbit_status status = ophost_list_begin(b, request, &cursor, error);
    if (status < 0)
        return status;
    orb_page_init(&page, &b->host->budget, request->page_entries, 1u << 20);
    do {
        orb_page_reset(&page);
        status = ophost_list_page(b, cursor, &page, error);
        listing->pages++;
        if (status >= 0)
            keep_entries(listing, &page);
    } while (status >= 0 && page.more);
    orb_page_release(&page);
    ophost_list_end(b, cursor);
    return status;
}

void ophost_listing_release(struct ophost_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->entries[i].path);
        orbit_metadata_release(&listing->entries[i].metadata);
    }
    free(listing->entries);
    *listing = (struct ophost_listing){0};
}

const struct ophost_entry *ophost_listing_find(const struct ophost_listing *listing, const char *path)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->entries[i].path, path) == 0)
            return &listing->entries[i];
    return NULL;
}

orbit_status ophost_read(struct orb_backend *b, const orbit_read_request *request, char **bytes, size_t *length,
                         orbit_read_reply *reply, orbit_error *error)
{
    orbit_read_reply own = {0};
    struct ophost_call call = {0};
    struct ophost_sink sink;

    if (reply)
        *reply = own;
    ophost_sink_init(&sink, &call);
    struct args args = {.request = request, .sink = &sink.sink, .reply = reply ? reply : &own};
    orbit_status status = run(b, b->ops->read != NULL, &call, &args, start_read, error);
    if (bytes) {
        *bytes = sink.bytes;
        sink.bytes = NULL;
    }
    if (length)
        *length = sink.length;
    orbit_metadata_release(&own.metadata);
    ophost_sink_release(&sink);
    return status;
}

orbit_status ophost_read_all(struct orb_backend *b, const char *path, char **bytes, size_t *length, orbit_error *error)
{
    orbit_read_request request = {.path = path, .length = ORBIT_TO_END};
    return ophost_read(b, &request, bytes, length, NULL, error);
}

orbit_status ophost_put(struct orb_backend *b, const char *path, const orbit_write_options *options, const void *bytes,
                        size_t length, orbit_metadata *reply, orbit_error *error)
{
    orbit_metadata own = ORBIT_METADATA_INIT;
    struct ophost_call call = {0};
    struct ophost_body body;
    orbit_put_request request = {.path = path, .options = options ? options : &default_options};

    ophost_body_init(&body, &call, bytes, length);
    struct args args = {.request = &request, .body = &body.body, .reply = reply ? reply : &own};
    orbit_status status = run(b, b->ops->put != NULL, &call, &args, start_put, error);
    orbit_metadata_release(&own);
    return status;
}

orbit_status ophost_begin(struct orb_backend *b, const char *path, const orbit_write_options *options,
                          uint64_t size_hint, uint64_t part_bytes, const char *resume_id, orbit_begin_reply *reply,
                          orbit_error *error)
{
    orbit_begin_request request = {.path = path,
                                   .options = options ? options : &default_options,
                                   .size_hint = size_hint,
                                   .part_bytes = part_bytes,
                                   .resume_id = resume_id};
    *reply = (orbit_begin_reply){0};
    return RUN(begin, .request = &request, .reply = reply);
}

orbit_status ophost_part(struct orb_backend *b, void *upload, uint32_t number, uint64_t offset, const void *bytes,
                         size_t length, orbit_part_reply *reply, orbit_error *error)
{
    orbit_part_reply own = {0};
    struct ophost_call call = {0};
    struct ophost_body body;
    orbit_part part = {number, offset, length};

    ophost_body_init(&body, &call, bytes, length);
    struct args args = {.request = &part, .handle = upload, .body = &body.body, .reply = reply ? reply : &own};
    return run(b, b->ops->part != NULL, &call, &args, start_part, error);
}

orbit_status ophost_part_copy(struct orb_backend *b, void *upload, const orbit_part_copy_request *request,
                              orbit_part_reply *reply, orbit_error *error)
{
    return RUN(part_copy, .request = request, .handle = upload, .reply = reply);
}

orbit_status ophost_finish(struct orb_backend *b, void *upload, uint64_t size, uint32_t parts, orbit_metadata *reply,
                           orbit_error *error)
{
    orbit_metadata own = ORBIT_METADATA_INIT;
    orbit_finish_request request = {.size = size, .part_count = parts};
    orbit_status status = RUN(finish, .request = &request, .handle = upload, .reply = reply ? reply : &own);
    orbit_metadata_release(&own);
    return status;
}

orbit_status ophost_abort(struct orb_backend *b, void *upload, orbit_error *error)
{
    return RUN(abort, .handle = upload);
}

orbit_status ophost_begin_kept(struct orb_backend *b, const char *path, const orbit_write_options *options,
                               const orbit_keep_request *keep, orbit_begin_reply *reply, orbit_error *error)
{
    orbit_begin_request request = {.path = path,
                                   .options = options ? options : &default_options,
                                   .size_hint = keep->size,
                                   .part_bytes = keep->size,
                                   .keep = keep};
    *reply = (orbit_begin_reply){0};
    return RUN(begin, .request = &request, .reply = reply);
}

orbit_status ophost_finish_compared(struct orb_backend *b, void *upload, uint64_t size, const orbit_checksum *expected,
                                    bool reread, orbit_error *error)
{
    orbit_metadata own = ORBIT_METADATA_INIT;
    orbit_finish_request request = {.size = size, .part_count = 1, .expected = expected, .reread = reread};
    orbit_status status = RUN(finish, .request = &request, .handle = upload, .reply = &own);
    orbit_metadata_release(&own);
    return status;
}

orbit_status ophost_suspend(struct orb_backend *b, void *upload, orbit_error *error)
{
    return RUN(suspend, .handle = upload);
}

static void release_on_loop(void *ctx)
{
    struct cursor_call *call = ctx;
    call->backend->ops->release(call->backend->self, call->cursor);
}

void ophost_release(struct orb_backend *b, void *upload)
{
    struct cursor_call call = {b, upload, 0};
    ophost_on_loop(host_of(b), release_on_loop, &call);
}

orbit_status ophost_parts(struct orb_backend *b, const orbit_parts_request *request, bool *more, orbit_error *error)
{
    orbit_more_reply reply = {0};
    orbit_status status = RUN(parts, .request = request, .reply = &reply);
    if (more)
        *more = reply.more;
    return status;
}

orbit_status ophost_uploads(struct orb_backend *b, const orbit_uploads_request *request, bool *more, orbit_error *error)
{
    orbit_more_reply reply = {0};
    orbit_status status = RUN(uploads, .request = request, .reply = &reply);
    if (more)
        *more = reply.more;
    return status;
}

orbit_status ophost_remove_many(struct orb_backend *b, const orbit_remove_request *request, orbit_error *error)
{
    return RUN(remove, .request = request);
}

orbit_status ophost_remove(struct orb_backend *b, const char *path, bool recursive, bool missing_ok, orbit_error *error)
{
    orbit_remove_item item = {.path = path};
    orbit_remove_request request = {&item, 1, recursive, missing_ok};
    orbit_status status = ophost_remove_many(b, &request, error);
    if (status >= 0 && item.status < 0) {
        orb_error_copy(error, &item.error);
        status = item.status;
    }
    return status;
}

orbit_status ophost_mkdir(struct orb_backend *b, const char *path, bool parents, orbit_error *error)
{
    orbit_mkdir_request request = {path, parents};
    return RUN(mkdir, .request = &request);
}

orbit_status ophost_rename(struct orb_backend *b, const char *from, const char *to, bool overwrite, orbit_error *error)
{
    orbit_rename_request request = {.from = from, .to = to, .overwrite = overwrite};
    return RUN(rename, .request = &request);
}

orbit_status ophost_copy(struct orb_backend *b, const orbit_copy_request *request, orbit_metadata *reply,
                         orbit_error *error)
{
    orbit_metadata own = ORBIT_METADATA_INIT;
    orbit_copy_request full = *request;
    if (!full.options)
        full.options = &default_options;
    if (!full.from_self)
        full.from_self = b->self;
    orbit_status status = RUN(copy, .request = &full, .reply = reply ? reply : &own);
    orbit_metadata_release(&own);
    return status;
}

orbit_status ophost_set_metadata(struct orb_backend *b, const char *path, const orbit_metadata *metadata,
                                 orbit_error *error)
{
    orbit_set_metadata_request request = {path, metadata};
    return RUN(set_metadata, .request = &request);
}

orbit_status ophost_symlink(struct orb_backend *b, const char *target, const char *path, orbit_error *error)
{
    orbit_link_request request = {target, path};
    return RUN(symlink, .request = &request);
}

orbit_status ophost_readlink(struct orb_backend *b, const char *path, char *target, size_t room, size_t *length,
                             orbit_error *error)
{
    orbit_bytes_request request = {path, NULL, target, room, length, NULL};
    return RUN(readlink, .request = &request);
}

orbit_status ophost_xattr_get(struct orb_backend *b, const char *path, const char *name, void *value, size_t room,
                              size_t *length, orbit_error *error)
{
    orbit_bytes_request request = {path, name, value, room, length, NULL};
    return RUN(xattr_get, .request = &request);
}

orbit_status ophost_xattr_list(struct orb_backend *b, const char *path, char *names, size_t room, size_t *length,
                               orbit_error *error)
{
    orbit_bytes_request request = {path, NULL, names, room, length, NULL};
    return RUN(xattr_list, .request = &request);
}

orbit_status ophost_xattr_set(struct orb_backend *b, const char *path, const char *name, const void *value,
                              size_t length, orbit_error *error)
{
    orbit_xattr_set_request request = {path, name, value, length};
    return RUN(xattr_set, .request = &request);
}

orbit_status ophost_space(struct orb_backend *b, const char *path, orbit_space_reply *reply, orbit_error *error)
{
    return RUN(space, .path = path, .reply = reply);
}

orbit_status ophost_container_create(struct orb_backend *b, orbit_error *error)
{
    return RUN(container_create, .path = NULL);
}

orbit_status ophost_container_remove(struct orb_backend *b, orbit_error *error)
{
    return RUN(container_remove, .path = NULL);
}
