/* SPDX-License-Identifier: Apache-2.0
 * The backend contract: what a store must do so that Orbit can stream through it.
 *
 * Every built-in backend is written against this header, and so can yours be: fill an
 * orbit_backend_ops, pass it to orbit_register(). src/backend/mem/ is the reference.
 *
 * Law
 *  1. An operation *starts* when its function is called (on the loop thread) and returns at once: no
 *     blocking, no waiting. What blocks goes to a worker with orbit_op_run().
 *  2. It ends exactly once, by orbit_op_done(), which may be called from any thread, also from inside
 *     the starting call; the engine hears of it on the loop, never from inside the starting call.
 *  3. `request`, `reply`, sink, body and the strings they point to live from start until done. The
 *     backend fills `reply` before done; the engine does not look at it earlier (but see orbit_op_head).
 *  4. cancel() asks for a prompt end. The operation still ends exactly once; with ORBIT_E_CANCELLED unless
 *     it was over already.
 *  5. A backend tries once. Retries, parallelism, memory and order are the engine's. Whether trying again
 *     may help is said by ORBIT_ERROR_RETRIABLE in the error; whether the effect may have taken place
 *     although the reply was lost, by ORBIT_ERROR_MAYBE_DONE.
 *  6. Any number of operations may be under way on one backend at the same time, any number of parts of one
 *     upload too (unless capabilities say sequential_parts), but only one list_page per cursor.
 *  7. A NULL function means: not supported. `self` is what open() made.
 *  8. Paths are relative to the backend's root: bytes without NUL, "" is the root. */
#ifndef ORBIT_BACKEND_OPS_H
#define ORBIT_BACKEND_OPS_H

#include <orbit/backend.h>
#include <orbit/list.h>
#include <orbit/metadata.h>
#include <orbit/probe.h>
#include <orbit/write.h>

ORBIT_BEGIN_DECLS

/* What the engine gives a backend: its log, workers and network lanes. Opaque. */
typedef struct orbit_host orbit_host;

/* ---- one operation ------------------------------------------------------------------------------ */

typedef struct orbit_op orbit_op;
struct orbit_op {
    void *state;          /* the backend's own for this operation, NULL at the start */
    uint64_t deadline_ns; /* on CLOCK_MONOTONIC, UINT64_MAX: none. The engine enforces it by cancel() */
    /* Set by a backend whose read or part paused because acquire() or peek() had nothing for it: called
     * once, from any thread, when there is. It must not block and must not call acquire or peek itself if
     * it is not on the operation's thread: it sends itself a message. NULL: the backend does not pause and
     * takes "nothing now" as an error. Set it before the first acquire or peek. One that was on its way may
     * still come between orbit_op_done() and its delivery: orbit_op_run() ignores it then. */
    void (*resume)(orbit_op *op);
    /* Nullable, set with `resume`: a part or put that paused because peek() had nothing may be handed bytes where they
     * are, on the thread that received them, which spares a copy and a change of threads. Stores the next `length`
     * bytes of the body at their place and returns true, or returns false and has done nothing: they come through the
     * body then. It must be quick: no waiting for a lock, nothing that is known to be slow. The body counts them as
     * consumed. Called from any thread, never for one operation at the same time. */
    bool (*store)(orbit_op *op, const void *bytes, size_t length);
    /* Nullable, set with `resume`: a read that paused because acquire() had no room may be asked for bytes on the
     * thread that sends them on, which spares a change of threads and of caches. Fills what acquire() lends, once,
     * by commit(), and returns true; or returns false (also at its end), and resume comes. As quick as `store`: no
     * waiting for a device. Called from any thread, never for one operation at the same time. */
    bool (*load)(orbit_op *op);
};

/* Ends the operation. `error` is copied (NULL with a negative status: the status' own text). Any thread. */
ORBIT_API void orbit_op_done(orbit_op *op, orbit_status status, const orbit_error *error);
/* A read's reply is filled (size, identity, checksums) although its body is still coming: lets the engine
 * start the other ranges. Optional, at most once, before done; the reply's metadata is not touched after it. */
ORBIT_API void orbit_op_head(orbit_op *op);
/* Whether cancel() was asked for: long work in a worker looks now and then. Any thread. */
ORBIT_API bool orbit_op_cancelled(const orbit_op *op);
/* `bytes` more were moved (server-side or worker copies): feeds progress and counts as life. Any thread. */
ORBIT_API void orbit_op_progress(orbit_op *op, uint64_t bytes);
/* Optional, where the backend can tell: the store shows no sign of life of this operation since `since_ns`
 * (CLOCK_MONOTONIC), though it would be its turn; 0: it does, or it waits for us. Said again every few hundred
 * milliseconds. The engine lets others have the place of an operation that is silent for much longer than is usual, and
 * ends it to ask again where that can do no harm. Any thread. */
ORBIT_API void orbit_op_silent(orbit_op *op, uint64_t since_ns);
/* Runs work(self, op) on one of the client's workers. One at a time per operation: call it again from
 * `resume` only when the earlier run has returned or is about to (a run asked for while one is running
 * follows it). */
ORBIT_API void orbit_op_run(orbit_op *op, void (*work)(void *self, orbit_op *op));

/* Makes the calling thread the one that runs the operation, until orbit_op_leave(): for `store` and `load`. False: a
 * worker has it, or it is over. Runs that are asked for meanwhile follow. */
ORBIT_API bool orbit_op_enter(orbit_op *op);
ORBIT_API void orbit_op_leave(orbit_op *op);

ORBIT_API void orbit_host_log(orbit_host *host, orbit_log_level level, const char *format, ...) ORBIT_PRINTF(3, 4);

/* Fills `error` (nullable) and returns `status`; `native` is an errno or 0. */
ORBIT_API orbit_status orbit_error_set(orbit_error *error, orbit_status status, int native, const char *format, ...)
    ORBIT_PRINTF(4, 5);
/* The same for an errno: the status follows from it (ENOENT: not found, EACCES: permission, …), and the
 * errno's own text is appended to the message. */
ORBIT_API orbit_status orbit_error_errno(orbit_error *error, int number, const char *format, ...) ORBIT_PRINTF(3, 4);

/* ---- bytes across the contract: two small windows ------------------------------------------------ */

/* A read fills a sink. acquire() lends room in the bytes' final place: up to `want` bytes (a wish, 0: as
 * you like), `*room` of them; NULL: no room now, pause until op->resume. commit() says `length` of them are
 * filled; 0 gives the room back. Room and commit come in pairs, in order, from one thread at a time.
 * A commit that returns a negative status ends the read with that status (the reader went away). */
typedef struct orbit_sink orbit_sink;
struct orbit_sink {
    void *(*acquire)(orbit_sink *sink, size_t want, size_t *room);
    orbit_status (*commit)(orbit_sink *sink, size_t length);
    /* Nullable. Offers bytes where they lie, between a commit and the next acquire: true when all `length` of them were
     * taken (and are gone), false when none were: acquire() has room for them. Saves a copy where it can. */
    bool (*take)(orbit_sink *sink, const void *bytes, size_t length);
};

/* A put or part drains a body of `length` bytes. peek() lends the next bytes: ORBIT_OK with `*data` and
 * `*length` > 0, ORBIT_END after the last, ORBIT_AGAIN: nothing now, pause until op->resume, or a negative
 * status (the source failed: end with it). consume() says how many were used. rewind() starts over:
 * ORBIT_E_UNSUPPORTED where the bytes are gone (end with a retriable error, the engine begins anew). From one
 * thread at a time. `whole` is the body as one piece of memory when it is one, else NULL: lets a backend
 * compute a checksum before it sends. */
typedef struct orbit_body orbit_body;
struct orbit_body {
    orbit_status (*peek)(orbit_body *body, const void **data, size_t *length);
    void (*consume)(orbit_body *body, size_t length);
    orbit_status (*rewind)(orbit_body *body);
    uint64_t length;
    const void *whole;
    /* Nullable. The CRC of all bytes, once peek() has said ORBIT_END; algorithm NONE where it was not computed. */
    orbit_checksum (*checksum)(orbit_body *body, uint32_t algorithm);
};

/* ---- capabilities are data ----------------------------------------------------------------------- */

typedef struct orbit_capabilities {
    size_t size;
    uint64_t put_max;          /* largest body of put(); 0: no put */
    uint64_t part_min;         /* smallest part but the last; 1 where any will do; 0: no parts */
    uint64_t part_max;         /* largest part */
    uint32_t part_count_max;   /* 0: unlimited */
    uint32_t remove_batch;     /* paths in one remove(); at least 1 */
    uint64_t object_max;       /* largest object; 0: unlimited */
    uint64_t copy_max;         /* largest server-side copy in one request; 0: unlimited */
    uint64_t chunk_default;    /* part or range size that suits the store; 0: 8 MiB */
    uint32_t parallel_default; /* parts or ranges in flight to begin with; 0: 8. Then up to `parallel_most` */
    uint32_t page_entries;     /* most entries a page; 0: 1,000 */
    uint32_t open_cursors_max; /* listings that one walk may keep open; 0: 64 */
    bool equal_parts;          /* all parts but the last are of one size */
    bool sequential_parts;     /* part n + 1 starts after part n was done */
    bool random_access;        /* a read costs nothing to start, a part is written at its offset: small ones will do */
    bool ranged_read;          /* false: read() delivers from `offset` only when it is 0 */
    bool deep_list;            /* list_begin with recursive lists the whole subtree, files only */
    bool ordered_list;         /* in byte order of the full path */
    bool seekable_list;        /* a cursor can be suspended at an entry's position and taken up again */
    /* The list functions may be called on a worker, too, one at a time per cursor: all they wait for is inside
     * orbit_op_run(), and errors are not worth another try (no_retry). */
    bool worker_list;
    bool hierarchical;        /* real directories: mkdir, and remove of a non-empty one fails */
    bool remove_tree;         /* remove() knows `recursive` */
    bool atomic_no_overwrite; /* overwrite = false is decided by the store, not by a look before */
    bool atomic_rename;
    bool no_retry;     /* local: an error is an error */
    bool direct_store; /* puts and parts set op->store: one thread that receives and stores costs least */
    bool direct_load;  /* reads set op->load: likewise */
    uint32_t lacks;    /* 1u << orbit_operation, each: the function is there, but this store has no such thing */
    /* Nullable: the server behind it, "https://host:port", as long as the backend is open. How much a server is asked
     * at once is learned and shared by all backends of a client that were opened with the same ops and name the same
     * one; NULL: this backend alone. */
    const char *endpoint;
    bool keeps_extents; /* begin() takes `keep`, and there is suspend() */
    bool list_versions; /* list_begin takes `versions` */
    bool reads_twice; /* puts and parts read their body before they send it: it must rewind, whatever the options say */
    bool md5_etags;   /* an ETag of 32 hexadecimal digits is the MD5 of the bytes, unless `encryption` says otherwise */
    bool resolves_rename;   /* rename() takes `resolve`: one whose reply was lost is asked for again */
    uint32_t parallel_most; /* parts or ranges of one stream in flight, more bring nothing; 0: 64 */
    /* Another process goes on with an upload from any byte, not from whole parts: begin() takes `resumable`, and
     * there are written(), adopt() and parts() as they say for that. */
    bool resumes_bytes;
    uint32_t requests_first; /* in flight to begin with, of all streams together; 0: parallel_default */
    /* Of long streams, whose bytes are held until the store or the consumer has them, where nobody asked for other sizes
     * and numbers: many small parts and ranges in flight need less memory than few large ones, and cost no more where a
     * request is no more than its bytes. 0: as everything else. */
    uint64_t stream_chunk;
    uint32_t stream_parallel;
    bool resolves_writes;      /* put() and copy() take `since_ns`: one with a condition is asked for again, too */
    uint32_t attempts_default; /* of a request in all, where the options say nothing; 0: 10 */
} orbit_capabilities;

/* ---- requests and replies ------------------------------------------------------------------------ */

/* open() gets the URL taken apart, and the typed config where orbit_open_local() and the like were used. */
typedef struct orbit_open_request {
    const char *url;            /* for messages; holds no secret */
    const char *authority;      /* "bucket", "user@host:port"; may be "" */
    const char *path;           /* percent-decoded where the scheme says so; may be "" */
    const orbit_pair *settings; /* the URL's query, then the options' settings: the later wins */
    size_t setting_count;
    const orbit_open_options *options; /* never NULL */
    const void *config;                /* orbit_local_config, … or NULL */
    void *ctx;                         /* of orbit_register() */
    size_t url_setting_count;          /* so many of the settings, the first ones, are of the URL: written by anybody */
} orbit_open_request;

typedef struct orbit_stat_request {
    const char *path;
    const char *version_id;
    bool follow_symlinks;
    bool object_only;    /* object stores: the object, if only a marker; do not look for a prefix of that name */
    bool whole_checksum; /* a checksum of all bytes is worth more requests, where the store keeps one of the parts' */
    const uint8_t *sse_customer_key;
} orbit_stat_request;

typedef struct orbit_object_parts_request {
    const char *path, *version_id; /* version_id nullable */
    const uint8_t *sse_customer_key;
    uint32_t after;           /* part number; 0: from the first */
    orbit_object_part *parts; /* receives them */
    size_t room;
} orbit_object_parts_request;
typedef struct orbit_object_parts_reply {
    size_t count;
    bool more;
} orbit_object_parts_reply;

typedef struct orbit_list_request {
    const char *path;
    bool recursive; /* only where deep_list */
    bool want_metadata;
    bool follow_symlinks;    /* `path` itself may be a symlink to a directory, and children are stat'ed through */
    const char *prefix;      /* nullable: only names that begin so; a hint, the engine filters too */
    const char *start_after; /* nullable; only where ordered_list */
    const char *delimiter;
    uint32_t page_entries; /* most entries a page */
    bool keep_open;        /* a hint: the cursor will be a `parent`, also when its end was reached */
    /* Nullable, a hint: an open cursor of this backend on the directory that `path`'s last component is in. It may be
     * opened relative to it. No page of that cursor is under way, and it stays until list_begin is done. */
    void *parent;
    bool versions; /* every version of each object, the latest first; only where list_versions */
    /* A hint: what is listed is removed meanwhile. A cursor that has to begin again, because its connection was lost,
     * passes over nothing: what was listed may come again, if it is still there. */
    bool shrinks;
} orbit_list_request;

/* A page takes copies of entries. orbit_page_add(): `position` is what list_resume() would take to go on
 * *after* this entry (seekable_list), else 0. Returns ORBIT_OK, ORBIT_END when the page is full (the entry
 * was not taken: stop, say `more`), or ORBIT_E_MEMORY. The entry's path is relative to the listed directory.
 * orbit_page_add_failed() records an entry that could not be read. */
typedef struct orbit_page orbit_page;
ORBIT_API orbit_status orbit_page_add(orbit_page *page, const orbit_entry *entry, uint64_t position);
ORBIT_API orbit_status orbit_page_add_failed(orbit_page *page, const char *path, size_t length,
                                             const orbit_error *error, uint64_t position);
ORBIT_API void orbit_page_more(orbit_page *page, bool more); /* whether another page follows; false at the start */
ORBIT_API size_t orbit_page_count(const orbit_page *page);

typedef struct orbit_read_request {
    const char *path;
    const char *version_id;
    uint64_t offset;
    uint64_t length; /* ORBIT_TO_END: all of the rest */
    /* What an earlier reply of this stream said, NULL for the first: the object must still be the same
     * (If-Match; size, mtime and inode on disks), or ORBIT_E_CHANGED. presumed: no reply yet, but a listing did; what
     * counts is what stands at the path now, not a file that is still open from before. */
    const orbit_metadata *pin;
    bool presumed;
    const char *if_match;
    const uint8_t *sse_customer_key;
    bool want_checksum; /* stored checksums are wanted in the reply */
    /* Bytes of the whole object, as somebody said before; 0: nobody did. It may be wrong: what it is good for is to be
     * prepared for much. */
    uint64_t size_hint;
} orbit_read_request;

typedef struct orbit_read_reply {
    orbit_metadata metadata; /* of the whole object: size, etag, … The engine releases it */
    uint64_t length;         /* bytes that this read will deliver: 0 past the end or of an empty object */
    /* A part was asked for and the store sends the object whole; what lies before `offset` the backend passes over.
     * From then on the engine takes the backend's ranged_read for false. */
    bool whole;
} orbit_read_reply;

/* put: the whole object in one request. begin: a large one in parts. `options` is never NULL. */
typedef struct orbit_put_request {
    const char *path;
    const orbit_write_options *options;
    const orbit_metadata *preserve; /* nullable: metadata of the source to be carried over */
    /* 0, or when an earlier try began whose reply was lost (MAYBE_DONE), since 1970 by our clock. A condition of the
     * options that is not met by now may have met what that try wrote: where the backend resolves_writes, done OK if
     * just that is there. */
    int64_t since_ns;
} orbit_put_request;

/* Asks begin() to keep a record of which bytes are written, so that a later begin() for the same bytes goes on from
 * there, whatever ends this one: keeps_extents. The record must never name a byte that could not be there. */
typedef struct orbit_keep_request {
    const void *identity; /* of what is written: bytes kept under another one are dropped. At most 8 KiB */
    size_t identity_length;
    uint64_t size; /* of the whole */
    /* 0: none. So many of the first bytes of the file that stands at the path are probably those of this content,
     * too: they are taken over where the record knows of nothing, and become extents, but are not recorded. Who asks
     * for this has finish() compare `expected`; until then the file at the path stays as it is. */
    uint64_t prefix_bytes;
} orbit_keep_request;

typedef struct orbit_extent {
    uint64_t offset, length;
} orbit_extent;

typedef struct orbit_copy_request {
    const char *from, *to; /* both in this store (see same_store) */
    void *from_self;       /* the backend that `from` belongs to */
    const char *version_id;
    const orbit_metadata *pin; /* nullable */
    bool preserve;
    const orbit_write_options *options;
    const uint8_t *source_sse_customer_key;
    int64_t since_ns; /* as for a put */
} orbit_copy_request;

typedef struct orbit_begin_request {
    const char *path;
    const orbit_write_options *options;
    const orbit_metadata *preserve;
    uint64_t size_hint;
    uint64_t part_bytes;
    const char
        *resume_id; /* nullable: take up this upload instead of making one; no I/O where a store can do without */
    int64_t resume_begun_ns;        /* when that was begun, by our clock; 0: not known */
    const orbit_keep_request *keep; /* nullable */
    /* Nullable: all parts will be part_copy() of this source. What copy() carries over beside the bytes (metadata,
     * tags) is the upload's to carry over now. */
    const orbit_copy_request *copy;
    bool resumable; /* written() will be asked, by who keeps a journal of it; only where resumes_bytes */
} orbit_begin_request;

typedef struct orbit_begin_reply {
    void *upload;          /* the backend's handle; freed by release() */
    const char *upload_id; /* nullable; lives as long as the handle */
    /* With `keep`: whether a record is kept; what an earlier upload has written, in order and not overlapping (no
     * part is sent for that), living as long as the handle; and whether something was there but of other bytes. */
    bool keeps, dropped;
    bool reads_back; /* finish() can compare what was written with `expected`, whatever the algorithm */
    const orbit_extent *extents;
    size_t extent_count;
    uint64_t prefix_bytes; /* that were taken over from the file at the path */
    bool in_order;         /* this upload wants its parts as capabilities.sequential_parts says, the lowest first */
} orbit_begin_reply;

typedef struct orbit_part {
    uint32_t number; /* from 1 */
    uint64_t offset;
    uint64_t length;
} orbit_part;

typedef struct orbit_part_copy_request {
    const orbit_copy_request *copy; /* as begin() had it; its pin holds for every part */
    orbit_part part;                /* offset and length count in the source, too */
} orbit_part_copy_request;

typedef struct orbit_part_reply {
    const char *etag;        /* nullable; lives as long as the upload's handle */
    orbit_checksum checksum; /* of the part's bytes, when the backend computed one */
} orbit_part_reply;

typedef struct orbit_finish_request {
    uint64_t size;
    uint32_t part_count;
    /* Set after a finish whose reply was lost (MAYBE_DONE): find out whether the object is there before
     * trying again; done OK if it is the one these parts make. */
    bool resolve;
    /* Nullable; only where extents of an earlier upload were taken over, the store copied the parts by itself (a CRC
     * then), or begin said reads_back: the checksum of all bytes, which nobody but the backend has seen in order.
     * Where it is another one: ORBIT_E_CHECKSUM, and nothing of it becomes visible. reread: do not trust CRCs
     * computed earlier. */
    const orbit_checksum *expected;
    bool reread;
} orbit_finish_request;

/* One path of a remove. The backend fills status and error of each; done is OK when all were tried. */
typedef struct orbit_remove_item {
    const char *path;
    const char *version_id;
    orbit_status status;
    orbit_error error;
} orbit_remove_item;

typedef struct orbit_remove_request {
    orbit_remove_item *items;
    size_t count;
    bool recursive; /* only where remove_tree */
    bool missing_ok;
} orbit_remove_request;

typedef struct orbit_mkdir_request {
    const char *path;
    bool parents; /* and an existing directory is fine */
} orbit_mkdir_request;

typedef struct orbit_rename_request {
    const char *from, *to;
    bool overwrite;
    bool create_parents;
    /* Set after a rename whose reply was lost (MAYBE_DONE), where the backend resolves_rename: when nothing is at
     * `from` any more and something is at `to`, it was done: ORBIT_OK. */
    bool resolve;
} orbit_rename_request;

typedef struct orbit_set_metadata_request {
    const char *path;
    const orbit_metadata *metadata; /* fields says what to set */
} orbit_set_metadata_request;

typedef struct orbit_link_request {
    const char *target, *path;
} orbit_link_request;

/* A request that receives bytes: readlink, xattr_get, xattr_list, tags_get. */
typedef struct orbit_bytes_request {
    const char *path;
    const char *name; /* of the attribute */
    void *buffer;
    size_t room;
    size_t *length;         /* receives the whole length; ORBIT_E_LIMIT when it is more than room */
    const char *version_id; /* tags_get; nullable */
} orbit_bytes_request;

typedef struct orbit_tags_request {
    const char *path, *version_id; /* version_id nullable */
    const char *tagging;           /* "k=v&k2=v2", percent-encoded; "": none */
} orbit_tags_request;

typedef struct orbit_xattr_set_request {
    const char *path, *name;
    const void *value; /* NULL: remove the attribute */
    size_t length;
} orbit_xattr_set_request;

/* A URL that carries its own signature. No request is made. */
typedef struct orbit_presign_request {
    const char *path, *method;
    const char *version_id;                         /* nullable, as are the next two */
    const char *content_type, *content_disposition; /* of the reply to a GET or HEAD */
    uint32_t expires_s;                             /* 1 to 604,800 */
    char *url;                                      /* receives it, NUL-terminated */
    size_t room;                                    /* ORBIT_E_LIMIT when it is too little */
} orbit_presign_request;

typedef struct orbit_probe_request {
    const char *path;
    orbit_finding *findings; /* receives them, by orbit_probe_tell() */
    size_t room;
    size_t *count; /* 0 at the start */
} orbit_probe_request;
/* Adds a finding; where there is no room it is left out. `format` is one sentence, `advice` nullable. One thread at
 * a time. */
ORBIT_API void orbit_probe_tell(const orbit_probe_request *request, orbit_finding_level level, orbit_status status,
                                const char *what, const char *advice, const char *format, ...) ORBIT_PRINTF(6, 7);

typedef struct orbit_space_reply {
    uint64_t free_bytes, total_bytes;
} orbit_space_reply;

/* Parts of an upload that the store already has, and uploads that are open, a page at a time. */
typedef struct orbit_upload_entry {
    const char *path, *upload_id;
    int64_t started_ns;
} orbit_upload_entry;
typedef struct orbit_stored_part {
    orbit_part part; /* offset unknown: 0. Of one that resumes_bytes: offset and length, no number */
    orbit_part_reply reply;
} orbit_stored_part;
typedef struct orbit_parts_request {
    void *upload;
    uint32_t after;                                         /* part number; 0: from the first */
    void (*each)(void *ctx, const orbit_stored_part *part); /* any thread, before done */
    void *ctx;
} orbit_parts_request;
typedef struct orbit_uploads_request {
    const char *prefix;
    const char *after_path, *after_id;                        /* nullable */
    void (*each)(void *ctx, const orbit_upload_entry *entry); /* any thread, before done */
    void *ctx;
} orbit_uploads_request;
typedef struct orbit_more_reply {
    bool more;
} orbit_more_reply;

/* ---- the table ----------------------------------------------------------------------------------- */

struct orbit_backend_ops {
    size_t size;      /* sizeof(orbit_backend_ops): the table can grow */
    const char *name; /* "s3" */

    /* Checks the configuration, does no I/O, fills `capabilities` (zeroed, size set) and `*self`.
     * Runs on the caller's thread. */
    orbit_status (*open)(void **self, orbit_host *host, const orbit_open_request *request,
                         orbit_capabilities *capabilities, orbit_error *error);
    /* Ends connections and frees `self`; called when nothing else is under way. */
    void (*close)(void *self, orbit_op *op);
    /* Asks a running operation to end soon. Loop thread, between start and done. Never NULL unless every
     * operation ends in bounded time by itself. */
    void (*cancel)(void *self, orbit_op *op);
    /* Whether copy and rename can cross from `other` (opened with the same ops) to `self`. NULL: never. */
    bool (*same_store)(void *self, void *other);

    void (*stat)(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply);

    void (*list_begin)(void *self, orbit_op *op, const orbit_list_request *request, void **cursor);
    void (*list_page)(void *self, orbit_op *op, void *cursor, orbit_page *page);
    /* Gives up handles but not the place: the next list_page goes on after `position` (seekable_list), or
     * says ORBIT_E_CHANGED when the directory is another one now. Loop thread, no page under way, must not
     * block for long. */
    void (*list_suspend)(void *self, void *cursor, uint64_t position);
    /* Frees the cursor. Loop thread, no page under way. */
    void (*list_end)(void *self, void *cursor);

    void (*read)(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                 orbit_read_reply *reply);
    void (*put)(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply);

    /* A large object: begin, parts, then finish or abort, then release. finish and abort may be asked again
     * after they failed. release frees the handle and does no I/O. */
    void (*begin)(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply);
    void (*part)(void *self, orbit_op *op, void *upload, const orbit_part *part, orbit_body *body,
                 orbit_part_reply *reply);
    void (*finish)(void *self, orbit_op *op, void *upload, const orbit_finish_request *request, orbit_metadata *reply);
    void (*abort)(void *self, orbit_op *op, void *upload);
    void (*release)(void *self, void *upload);
    void (*parts)(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply);
    void (*uploads)(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply);

    void (*remove)(void *self, orbit_op *op, const orbit_remove_request *request);
    void (*mkdir)(void *self, orbit_op *op, const orbit_mkdir_request *request);
    void (*rename)(void *self, orbit_op *op, const orbit_rename_request *request);
    void (*copy)(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply);
    void (*set_metadata)(void *self, orbit_op *op, const orbit_set_metadata_request *request);
    void (*symlink)(void *self, orbit_op *op, const orbit_link_request *request);
    void (*readlink)(void *self, orbit_op *op, const orbit_bytes_request *request);
    void (*xattr_get)(void *self, orbit_op *op, const orbit_bytes_request *request);
    void (*xattr_list)(void *self, orbit_op *op, const orbit_bytes_request *request);
    void (*xattr_set)(void *self, orbit_op *op, const orbit_xattr_set_request *request);
    void (*space)(void *self, orbit_op *op, const char *path, orbit_space_reply *reply);
    void (*container_create)(void *self, orbit_op *op);
    void (*container_remove)(void *self, orbit_op *op);

    /* A part that the store has already, of an upload that was taken up (resume_id): from here on as if part() had
     * ended with this reply. Its number, size and ETag are as parts() told them, its checksum is the caller's. No I/O,
     * loop thread. NULL: an upload cannot be gone on with by another process. */
    orbit_status (*adopt)(void *self, void *upload, const orbit_stored_part *part, orbit_error *error);
    /* Where `path` is, in words that are the same for every handle on the same store and differ for others: `store` as
     * orbit_open() takes it, without secrets, `key` the name there. ORBIT_E_LIMIT when they do not fit. No I/O, any
     * thread. */
    orbit_status (*locate)(void *self, const char *path, char *store, size_t store_room, char *key, size_t key_room);
    /* Instead of abort, for an upload that was begun with `keep`: what was written stays for a later begin(). */
    void (*suspend)(void *self, orbit_op *op, void *upload);
    /* Whether an earlier upload seems to have left something at `path` that a begin with `keep` would take up, or what
     * stands there is no plain file: then the source is looked at before the target is begun. No more than a quick
     * look, for it is called on the thread that starts a copy; it may be wrong. */
    bool (*kept)(void *self, const char *path);
    void (*presign)(void *self, orbit_op *op, const orbit_presign_request *request);
    /* A part whose bytes the store takes from an object it has: copies of more than copy_max. ORBIT_E_CHANGED where the
     * source is not what `pin` says. */
    void (*part_copy)(void *self, orbit_op *op, void *upload, const orbit_part_copy_request *request,
                      orbit_part_reply *reply);
    /* All tags of an object, as orbit_tags_request has them; tags_set replaces them. */
    void (*tags_get)(void *self, orbit_op *op, const orbit_bytes_request *request);
    void (*tags_set)(void *self, orbit_op *op, const orbit_tags_request *request);
    /* Looks at the way to the store and tells what it finds; what is wrong with the store is a finding, not an
     * error. */
    void (*probe)(void *self, orbit_op *op, const orbit_probe_request *request);
    /* What an object was made of, in the order of its parts. */
    void (*object_parts)(void *self, orbit_op *op, const orbit_object_parts_request *request,
                         orbit_object_parts_reply *reply);
    /* Whether the container keeps versions: an orbit_versioning. */
    void (*versioning_get)(void *self, orbit_op *op, uint32_t *versioning);
    void (*versioning_set)(void *self, orbit_op *op, uint32_t versioning);
    /* What the store has acknowledged of an upload that is `resumable`: bytes not told before, `room` extents at
     * most, each with its CRC64NVME if that is known; their number. No I/O, loop thread. A later begin() with
     * `resume_id` hears by adopt() what was believed to be there: with a checksum, to be compared, or without, where
     * it was flushed; parts() then looks, and tells what of that is there, likewise. */
    size_t (*written)(void *self, void *upload, orbit_stored_part *parts, size_t room);
    /* Bytes acknowledged before it was asked reach the store's disk. ORBIT_E_UNSUPPORTED: nobody can tell. */
    void (*flush)(void *self, orbit_op *op, void *upload);
    /* How long the shortest request takes to the store and back, as it is known now; 0: it is not. No I/O, loop thread.
     * Without it the first request of a copy has to tell, which may have opened something before it was sent. */
    uint64_t (*way_ns)(void *self);
};

ORBIT_END_DECLS

#endif
