/* SPDX-License-Identifier: Apache-2.0
 * Drives single operations of a backend without an engine: a host with loop, pool and lanes, and calls that
 * start one operation on the loop and wait for its end.
 *
 *     struct ophost host;
 *     ophost_open(&host, 2);
 *     struct orb_backend *store = ophost_backend(&host, &orb_mem_ops, "", "", NULL, "profile=files", NULL, &error);
 *     status = ophost_put(store, "a", NULL, "hello", 5, NULL, &error);
 *     ophost_backend_close(store);
 *     ophost_close(&host);
 *
 * Blocking calls are for the test's own thread. An operation that does not end within a minute ends the test
 * program with a message: a hang is a failure with a name. Windows: a stream's sink and body may lend little
 * room at a time (`window`) and say "nothing now" on every n-th ask (`starve_every`), resuming soon after. */
#ifndef ORB_TESTS_OPHOST_H
#define ORB_TESTS_OPHOST_H

#include "backend/backend.h"

struct ophost {
    struct orbit_host host;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    char lines[64][256]; /* the log's last lines, all levels; by mutex */
    unsigned line_count;
};

void ophost_open(struct ophost *host, unsigned lanes); /* 3 workers */
void ophost_close(struct ophost *host);
/* Whether some log line so far holds `text`. */
bool ophost_logged(struct ophost *host, const char *text);

/* Opens a backend. `settings` is "name=value&name=value" (not decoded), `config` a typed config, both nullable.
 * NULL with `error` filled when open() fails. Close it with ophost_backend_close(). */
struct orb_backend *ophost_backend(struct ophost *host, const orbit_backend_ops *ops, const char *authority,
                                   const char *path, void *ctx, const char *settings, const void *config,
                                   orbit_error *error);
void ophost_backend_close(struct orb_backend *backend);

/* ---- one operation, by hand ------------------------------------------------------------------------
 * Fill `start` and `ctx`, call ophost_start(), perhaps ophost_cancel(), then ophost_wait(). */
struct ophost_call {
    struct orb_op op; /* op.op.state and so on are there to look at after the end */
    void (*start)(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op);
    void *ctx;
    struct ophost *host;
    unsigned done_count, head_count; /* by the host's mutex */
    unsigned resumes_pending;        /* by the host's mutex */
    struct orb_message start_message, cancel_message;
};
void ophost_start(struct ophost_call *call, struct orb_backend *backend);
void ophost_cancel(struct ophost_call *call);
bool ophost_is_done(struct ophost_call *call);
/* `error` nullable. The call may be started again afterwards. */
orbit_status ophost_wait(struct ophost_call *call, orbit_error *error);

/* Runs function(ctx) on the host's loop and waits for it. */
void ophost_on_loop(struct ophost *host, void (*function)(void *ctx), void *ctx);

/* ---- bytes -----------------------------------------------------------------------------------------
 * A sink into memory (grows as needed, up to `max`; 0: 256 MiB) and a body out of memory. Both belong to one
 * call: set `call` so that pauses can resume it. `fail_at`: commit or peek fails with ORBIT_E_IO once so many
 * bytes went through (SIZE_MAX: never; 0 means never, too). */
struct ophost_sink {
    orbit_sink sink;
    struct ophost_call *call;
    char *bytes; /* what was received; free with ophost_sink_release() */
    size_t length, room, max;
    size_t window;         /* most room lent at a time; 0: 64 KiB */
    unsigned starve_every; /* 0: never */
    size_t fail_at;
    unsigned asks;
    size_t lent;
    struct orb_message resume_message;
};
void ophost_sink_init(struct ophost_sink *sink, struct ophost_call *call);
void ophost_sink_release(struct ophost_sink *sink);

struct ophost_body {
    orbit_body body;
    struct ophost_call *call;
    const char *bytes;
    size_t at, length;
    size_t window;
    unsigned starve_every;
    size_t fail_at;
    bool no_rewind;
    unsigned asks;
    struct orb_message resume_message;
};
/* `body.whole` is set; NULL it for a body that is not one piece of memory. */
void ophost_body_init(struct ophost_body *body, struct ophost_call *call, const void *bytes, size_t length);

/* ---- whole operations, blocking; `error` nullable ---------------------------------------------------
 * An operation that the backend does not have (NULL) is ORBIT_E_UNSUPPORTED. `options` NULL: the defaults. */
struct ophost_entry {
    char *path;
    uint32_t flags;
    uint64_t position;
    orbit_metadata metadata; /* its own copy */
    bool failed;
    orbit_error error;
};
struct ophost_listing {
    struct ophost_entry *entries;
    size_t count, pages;
};

orbit_status ophost_stat(struct orb_backend *b, const char *path, orbit_metadata *metadata, orbit_error *error);
/* All pages. `request` NULL: the direct children of `path`, with metadata. */
orbit_status ophost_list(struct orb_backend *b, const char *path, const orbit_list_request *request,
                         struct ophost_listing *listing, orbit_error *error);
void ophost_listing_release(struct ophost_listing *listing);
const struct ophost_entry *ophost_listing_find(const struct ophost_listing *listing, const char *path);

/* The cursor by hand. */
orbit_status ophost_list_begin(struct orb_backend *b, const orbit_list_request *request, void **cursor,
                               orbit_error *error);
orbit_status ophost_list_page(struct orb_backend *b, void *cursor, orbit_page *page, orbit_error *error);
void ophost_list_suspend(struct orb_backend *b, void *cursor, uint64_t position);
void ophost_list_end(struct orb_backend *b, void *cursor);

/* Reads into `*bytes` (malloc'ed, NUL after the end; free() it) and `reply` (nullable, else released by the caller
 * with orbit_metadata_release(&reply->metadata)). */
orbit_status ophost_read(struct orb_backend *b, const orbit_read_request *request, char **bytes, size_t *length,
                         orbit_read_reply *reply, orbit_error *error);
orbit_status ophost_read_all(struct orb_backend *b, const char *path, char **bytes, size_t *length, orbit_error *error);
orbit_status ophost_put(struct orb_backend *b, const char *path, const orbit_write_options *options, const void *bytes,
                        size_t length, orbit_metadata *reply, orbit_error *error);
orbit_status ophost_begin(struct orb_backend *b, const char *path, const orbit_write_options *options,
                          uint64_t size_hint, uint64_t part_bytes, const char *resume_id, orbit_begin_reply *reply,
                          orbit_error *error);
orbit_status ophost_part(struct orb_backend *b, void *upload, uint32_t number, uint64_t offset, const void *bytes,
                         size_t length, orbit_part_reply *reply, orbit_error *error);
orbit_status ophost_part_copy(struct orb_backend *b, void *upload, const orbit_part_copy_request *request,
                              orbit_part_reply *reply, orbit_error *error);
orbit_status ophost_finish(struct orb_backend *b, void *upload, uint64_t size, uint32_t parts, orbit_metadata *reply,
                           orbit_error *error);
orbit_status ophost_abort(struct orb_backend *b, void *upload, orbit_error *error);
/* Uploads that are kept (keeps_extents): begun with an identity, compared at the end, suspended. */
orbit_status ophost_begin_kept(struct orb_backend *b, const char *path, const orbit_write_options *options,
                               const orbit_keep_request *keep, orbit_begin_reply *reply, orbit_error *error);
orbit_status ophost_finish_compared(struct orb_backend *b, void *upload, uint64_t size, const orbit_checksum *expected,
                                    bool reread, orbit_error *error);
orbit_status ophost_suspend(struct orb_backend *b, void *upload, orbit_error *error);
void ophost_release(struct orb_backend *b, void *upload);
orbit_status ophost_parts(struct orb_backend *b, const orbit_parts_request *request, bool *more, orbit_error *error);
orbit_status ophost_uploads(struct orb_backend *b, const orbit_uploads_request *request, bool *more,
                            orbit_error *error);
/* One path; the item's status and error are returned. */
orbit_status ophost_remove(struct orb_backend *b, const char *path, bool recursive, bool missing_ok,
                           orbit_error *error);
orbit_status ophost_remove_many(struct orb_backend *b, const orbit_remove_request *request, orbit_error *error);
orbit_status ophost_mkdir(struct orb_backend *b, const char *path, bool parents, orbit_error *error);
orbit_status ophost_rename(struct orb_backend *b, const char *from, const char *to, bool overwrite, orbit_error *error);
orbit_status ophost_copy(struct orb_backend *b, const orbit_copy_request *request, orbit_metadata *reply,
                         orbit_error *error);
orbit_status ophost_set_metadata(struct orb_backend *b, const char *path, const orbit_metadata *metadata,
                                 orbit_error *error);
orbit_status ophost_symlink(struct orb_backend *b, const char *target, const char *path, orbit_error *error);
orbit_status ophost_readlink(struct orb_backend *b, const char *path, char *target, size_t room, size_t *length,
                             orbit_error *error);
orbit_status ophost_xattr_get(struct orb_backend *b, const char *path, const char *name, void *value, size_t room,
                              size_t *length, orbit_error *error);
orbit_status ophost_xattr_list(struct orb_backend *b, const char *path, char *names, size_t room, size_t *length,
                               orbit_error *error);
orbit_status ophost_xattr_set(struct orb_backend *b, const char *path, const char *name, const void *value,
                              size_t length, orbit_error *error);
orbit_status ophost_space(struct orb_backend *b, const char *path, orbit_space_reply *reply, orbit_error *error);
orbit_status ophost_container_create(struct orb_backend *b, orbit_error *error);
orbit_status ophost_container_remove(struct orb_backend *b, orbit_error *error);

#endif
