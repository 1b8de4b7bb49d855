/* SPDX-License-Identifier: Apache-2.0
 * Writing a stream: pull (a source is read for you) and push (you hold a writer).
 *
 * Nothing is visible at `path` before the write has finished well; a failed, cancelled or dropped
 * write leaves nothing there. Memory is bounded by the client's budget, whatever the length. */
#ifndef ORBIT_WRITE_H
#define ORBIT_WRITE_H

#include <orbit/backend.h>
#include <orbit/client.h>
#include <orbit/metadata.h>
#include <orbit/trace.h>

ORBIT_BEGIN_DECLS

/* When written bytes are forced to the disk before the final name appears. */
typedef enum orbit_sync {
    ORBIT_SYNC_DEFAULT = 0, /* leave it to the operating system */
    ORBIT_SYNC_NEVER,
    ORBIT_SYNC_FILE,     /* fsync the file */
    ORBIT_SYNC_DIRECTORY /* and the directory that names it: survives a power cut */
} orbit_sync;

typedef struct orbit_write_options {
    size_t size;
    bool create_parents; /* true: missing directories are made */
    bool overwrite;      /* true; false: atomic, ORBIT_E_EXISTS when the name is taken */
    uint32_t set;        /* which of mode, mtime_ns, atime_ns, uid/gid apply: ORBIT_HAS_MODE … */
    uint32_t mode;
    uint32_t uid, gid;
    int64_t mtime_ns, atime_ns;
    uint32_t sync;                /* orbit_sync */
    uint64_t chunk_size;          /* bytes a part; 0: Orbit chooses. Raised where the size needs it */
    uint32_t parallel_operations; /* parts in flight; 0: Orbit chooses */
    /* orbit_checksum_algorithm; 0: the store's default. S3 keeps CRCs of the whole; of SHA-256 and SHA-1, in an upload
     * of parts, a hash of the parts' hashes; of MD5 (Content-MD5) none. The last three are known before the bytes go:
     * files and other stores' objects then go by way of memory, and have no journal (state_dir). */
    uint32_t checksum;
    const char *if_match; /* replace only this ETag; ORBIT_E_CHANGED otherwise */

    /* Object stores; ignored where a store has no such thing. Strings are copied by the call. */
    const char *content_type; /* NULL: by the name's extension */
    const char *content_encoding;
    const char *content_disposition;
    const char *content_language;
    const char *cache_control;
    const char *expires; /* an HTTP date */
    const char *storage_class;
    const char *acl;     /* canned ACL, such as "private" */
    const char *tagging; /* "k=v&k2=v2", URL-encoded */
    const char *sse;     /* "AES256", "aws:kms", "aws:kms:dsse" */
    const char *sse_kms_key_id;
    const char *sse_kms_context; /* base64 of the JSON context */
    bool sse_bucket_key;
    const uint8_t *sse_customer_key; /* 32 bytes, SSE-C */
    bool request_payer;
    const char *expected_bucket_owner;
    const orbit_pair *metadata; /* user metadata */
    size_t metadata_count;

    uint32_t timeout_ms;  /* for the whole call; 0: none beyond the retry limits */
    orbit_cancel *cancel; /* nullable */
    orbit_progress progress;
    void (*ready)(void *ctx); /* non-blocking writer: called once after each ORBIT_AGAIN, on the loop's thread */
    void *ready_ctx;

    /* A directory for journals: a *file*, or another store's object, that is written in parts to a store that keeps them
     * (S3, SFTP) can then be gone on with after a failure, a cancel or a crash, by the same call with the same source,
     * target and options. What was sent stays at the store until then (see <orbit/uploads.h>). Made when it is missing,
     * 0700. A source that has changed meanwhile (an object: another ETag or version, or where it has neither another
     * time; another size), or other options, abort the old upload and begin anew. NULL: no journal, all failures abort.
     * No effect on single puts, on pipes and memory, on objects whose checksum of the whole is another than CRC64NVME
     * (it could not be compared any more), and where the journal cannot be kept (the log says so). */
    const char *state_dir;
    /* With state_dir: go on with this upload, whatever options it was begun with, or fail: ORBIT_E_NOT_FOUND where
     * there is no journal of it or the store has it no more, ORBIT_E_CHANGED where the source is another one now. */
    const char *resume_upload;

    bool no_guess_content_type; /* object stores, without a content_type: "application/octet-stream" for any name */

    /* Object Lock, in a bucket that was made with it: the version cannot be removed before `object_lock_until` (an ISO
     * 8601 time, "2030-01-31T00:00:00Z"; mode and time go together), or while it is on legal hold. S3 then wants a
     * checksum or an MD5 with the bytes, and gets one. */
    const char *object_lock_mode; /* "GOVERNANCE" or "COMPLIANCE" */
    const char *object_lock_until;
    const char *object_lock_legal_hold; /* "ON" or "OFF" */
} orbit_write_options;

ORBIT_API void orbit_write_options_init(orbit_write_options *options);
#ifndef __cplusplus
#define ORBIT_WRITE_OPTIONS_INIT                                                       \
    {                                                                                  \
        .size = sizeof(orbit_write_options), .create_parents = true, .overwrite = true \
    }
#endif

typedef struct orbit_write_result {
    size_t size;
    uint64_t bytes;          /* written */
    uint32_t parts;          /* sent; 1 for a single put, 0 for a server-side copy */
    bool multipart;          /* assembled from parts by the store */
    orbit_metadata metadata; /* what the store said: etag, version_id, checksum */
    uint64_t bytes_resumed;  /* of `bytes`: an earlier attempt had written them */
} orbit_write_result;

#define ORBIT_WRITE_RESULT_INIT                                         \
    {                                                                   \
        sizeof(orbit_write_result), 0, 0, false, ORBIT_METADATA_INIT, 0 \
    }
ORBIT_API void orbit_write_result_release(orbit_write_result *result);

/* A source: bytes on demand. `read` puts 1 to `room` bytes into `buffer` and returns ORBIT_OK with
 * their number, ORBIT_END (or ORBIT_OK with 0) at the end, or a negative status with `error` filled.
 * It may block for as long as it likes: it is called on the thread that called orbit_write(), or on a
 * thread of its own for a task. `close` (nullable) is called exactly once, whatever happens. */
typedef struct orbit_source {
    orbit_status (*read)(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error);
    void (*close)(void *ctx);
    void *ctx;
    uint64_t length; /* bytes, or ORBIT_SIZE_UNKNOWN */
    uint32_t kind;   /* 0 for your own; the ready-made ones use others */
    int fd;
    const void *bytes;
} orbit_source;

ORBIT_API orbit_source orbit_source_function(orbit_status (*read)(void *, void *, size_t, size_t *, orbit_error *),
                                             void *ctx);
/* A local file, read at its offsets in small blocks: no part is held in memory. `path` is borrowed
 * until the call that takes the source returns. */
ORBIT_API orbit_source orbit_source_path(const char *path);
/* From the descriptor's position to its end; the descriptor stays the caller's. */
ORBIT_API orbit_source orbit_source_fd(int fd);
/* Borrowed until the write has ended. */
ORBIT_API orbit_source orbit_source_memory(const void *bytes, size_t length);
/* Another stream: joined inside the engine, the bytes never cross the caller's thread. The reader is
 * not closed. */
ORBIT_API orbit_source orbit_source_reader(orbit_reader *reader);

/* Writes everything `source` gives to `path`. `size_hint` is the length if known, ORBIT_SIZE_UNKNOWN
 * otherwise; a wrong hint costs speed, never data. `options` and `result` may be NULL.
 * Blocks; any thread but a callback's. */
ORBIT_API orbit_status orbit_write(orbit_backend *backend, const char *path, orbit_source source, uint64_t size_hint,
                                   const orbit_write_options *options, orbit_write_result *result, orbit_error *error);

/* Push. One thread at a time per writer. A writer that failed stays failed and repeats its status. */
typedef struct orbit_writer orbit_writer;
ORBIT_API orbit_status orbit_writer_open(orbit_writer **writer, orbit_backend *backend, const char *path,
                                         uint64_t size_hint, const orbit_write_options *options, orbit_error *error);
/* Takes all `length` bytes (they are copied), waiting for room when the store is slower. */
ORBIT_API orbit_status orbit_writer_write(orbit_writer *writer, const void *bytes, size_t length, orbit_error *error);
/* Takes what fits, `*taken` bytes. ORBIT_AGAIN when nothing does: `ready` will be called once. */
ORBIT_API orbit_status orbit_writer_try_write(orbit_writer *writer, const void *bytes, size_t length, size_t *taken,
                                              orbit_error *error);
/* Completes the object and waits until the store has it. Call orbit_writer_free() afterwards. */
ORBIT_API orbit_status orbit_writer_finish(orbit_writer *writer, orbit_write_result *result, orbit_error *error);
/* Gives up: what was sent is removed from the store. Waits for that. */
ORBIT_API orbit_status orbit_writer_abort(orbit_writer *writer, orbit_error *error);
/* What it asked so far; `bytes` are those the store has. Any thread, until it is freed. ORBIT_E_MISUSE: `stats` is NULL
 * or has no size. */
ORBIT_API orbit_status orbit_writer_get_stats(orbit_writer *writer, orbit_stream_stats *stats);
/* Frees; an unfinished writer is aborted first. NULL is fine. */
ORBIT_API void orbit_writer_free(orbit_writer *writer);

/* The longest stream of unknown length that part rules and the memory budget allow on this backend,
 * in bytes; ORBIT_SIZE_UNKNOWN when there is no such limit. */
ORBIT_API uint64_t orbit_writer_ceiling(orbit_backend *backend, const orbit_write_options *options);

ORBIT_END_DECLS

#endif
