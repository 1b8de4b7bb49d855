/* SPDX-License-Identifier: Apache-2.0
 * Reading a stream in order, and downloading to a file.
 *
 * A reader keeps a window of ranges in flight and hands the bytes out in order. Every range is
 * pinned to the version of the first reply: an object that changes under the reader is
 * ORBIT_E_CHANGED, never a mix of versions. */
#ifndef ORBIT_READ_H
#define ORBIT_READ_H

#include <orbit/backend.h>
#include <orbit/client.h>
#include <orbit/metadata.h>
#include <orbit/trace.h>

ORBIT_BEGIN_DECLS

typedef enum orbit_verify {
    ORBIT_VERIFY_DEFAULT = 0, /* checksums the store keeps and that cost no second pass: CRC64NVME and CRC32C */
    ORBIT_VERIFY_OFF,
    /* Also a CRC32, SHA-256 or SHA-1 of the whole object, and where there is none of these its ETag, if that is the MD5 of
     * the bytes: 32 hexadecimal digits, not of parts ("-N"), not encrypted with SSE-KMS or SSE-C, not in a directory
     * bucket (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). A wrong one is ORBIT_E_CHECKSUM.
     *   An object store is asked for the object's checksums first (one more round trip).
     *   A reader compares when it is read from the object's first byte to its last without a seek, on the thread that
     * reads. A writer that a reader is joined to does not.
     *   In a download or copy a CRC32 is combined from the ranges; a hash is computed as the bytes pass, if they come in one
     * range, else a local file is read once more before it gets its name.
     * A hash of an object that goes in several ranges to another store, to a device or a FIFO is not compared.
     *   From CRCs of parts ("composite") that of the whole follows where the store tells them and how long the parts were;
     * hashes of part hashes are never compared. */
    ORBIT_VERIFY_FULL
} orbit_verify;

typedef struct orbit_read_options {
    size_t size;
    uint64_t offset;                 /* first byte; past the end reads nothing */
    uint64_t length;                 /* bytes; 0 or ORBIT_TO_END: to the end */
    const char *version_id;          /* NULL: the latest */
    const char *if_match;            /* read only this ETag, ORBIT_E_CHANGED otherwise */
    uint64_t chunk_size;             /* bytes a range; 0: Orbit chooses */
    uint32_t parallel_operations;    /* ranges in flight; 0: Orbit chooses */
    uint32_t verify;                 /* orbit_verify */
    const uint8_t *sse_customer_key; /* 32 bytes, SSE-C */
    uint32_t timeout_ms;             /* for the whole stream; 0: none beyond the retry limits */
    orbit_cancel *cancel;
    orbit_progress progress;
    void (*ready)(void *ctx); /* set: orbit_read() does not wait, use orbit_reader_try_next(); called
                                 once after each ORBIT_AGAIN, on the thread that drives the loop */
    void *ready_ctx;
    bool no_hedge; /* a range that lags far behind the others is not asked for again on another connection */
} orbit_read_options;

ORBIT_API void orbit_read_options_init(orbit_read_options *options);
#ifndef __cplusplus
#define ORBIT_READ_OPTIONS_INIT            \
    {                                      \
        .size = sizeof(orbit_read_options) \
    }
#endif

/* Opens `path` and waits for the store's first reply, so a missing object is told here. One thread at
 * a time per reader. */
ORBIT_API orbit_status orbit_read(orbit_reader **reader, orbit_backend *backend, const char *path,
                                  const orbit_read_options *options, orbit_error *error);
/* The next bytes, borrowed until the next call on this reader: no copy. ORBIT_END after the last. */
ORBIT_API orbit_status orbit_reader_next(orbit_reader *reader, const void **bytes, size_t *length, orbit_error *error);
/* The same without waiting: ORBIT_AGAIN, then `ready` is called once. */
ORBIT_API orbit_status orbit_reader_try_next(orbit_reader *reader, const void **bytes, size_t *length,
                                             orbit_error *error);
/* Copies up to `room` bytes; fewer only at the end. `*length` 0 with ORBIT_END at the end. */
ORBIT_API orbit_status orbit_reader_read(orbit_reader *reader, void *buffer, size_t room, size_t *length,
                                         orbit_error *error);
/* Continues at `offset` bytes from the start of the object (not of the range). */
ORBIT_API orbit_status orbit_reader_seek(orbit_reader *reader, uint64_t offset, orbit_error *error);
/* What the first reply said; borrowed until the reader is closed. NULL before it is known. */
ORBIT_API const orbit_metadata *orbit_reader_metadata(orbit_reader *reader);
/* What it asked so far; `bytes` are those that arrived, read ahead ones included. Any thread, until it is closed.
 * ORBIT_E_MISUSE: `stats` is NULL or has no size. */
ORBIT_API orbit_status orbit_reader_get_stats(orbit_reader *reader, orbit_stream_stats *stats);
/* Stops what is in flight and frees. NULL is fine. */
ORBIT_API void orbit_reader_close(orbit_reader *reader);

typedef struct orbit_download_options {
    size_t size;
    bool overwrite;      /* true */
    bool create_parents; /* true */
    bool preserve;       /* the file takes the object's modification time and mode where known */
    const char *version_id;
    const char *if_match;
    uint64_t chunk_size;
    uint32_t parallel_operations;
    uint32_t verify; /* orbit_verify */
    uint32_t sync;   /* orbit_sync */
    const uint8_t *sse_customer_key;
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    orbit_progress progress;
    bool no_hedge; /* as of orbit_read_options */
    bool resume;   /* true: see orbit_download() */
    /* So many of the first bytes of the file that stands at `file` are believed to be the object's, if they prove
     * right: see orbit_download(). ORBIT_TO_END: all it has. 0: none. Needs `resume`. */
    uint64_t resume_offset;
} orbit_download_options;

ORBIT_API void orbit_download_options_init(orbit_download_options *options);
#ifndef __cplusplus
#define ORBIT_DOWNLOAD_OPTIONS_INIT                                                                       \
    {                                                                                                     \
        .size = sizeof(orbit_download_options), .overwrite = true, .create_parents = true, .resume = true \
    }
#endif

typedef struct orbit_download_result {
    size_t size;
    uint64_t bytes;
    uint32_t ranges;
    bool verified;           /* a stored checksum was compared */
    orbit_metadata metadata; /* of the object that was read */
    uint64_t bytes_resumed;  /* of `bytes`: they were there from an earlier attempt and not fetched again */
    bool started_over; /* an earlier attempt had left something, or resume_offset bytes, but of another content: not
                                used */
} orbit_download_result;

#define ORBIT_DOWNLOAD_RESULT_INIT                                                \
    {                                                                             \
        sizeof(orbit_download_result), 0, 0, false, ORBIT_METADATA_INIT, 0, false \
    }
ORBIT_API void orbit_download_result_release(orbit_download_result *result);

/* Downloads to the local file `file` (a path of the operating system). Ranges are written at their
 * offsets as they arrive, in small blocks; the name appears when everything is there.
 *
 * With `resume`, what came of an object of 16 MiB and more survives whatever ends the call: a network error, a
 * cancel, kill -9, a power cut. It waits beside `file` in a temporary (".orbit-" and 16 digits) with a journal, and the
 * same call goes on from there, even inside a range; bytes_resumed says how much it did not fetch. It does so only for
 * the same version (version id or ETag, else size and time): another one starts over, and started_over says so.
 * At the end the whole is compared with the checksum that the store keeps; what was summed when it was written is not
 * read again, unless `verify` is ORBIT_VERIFY_FULL. Such a file is forced to the disk before its name appears, and the
 * name, too, unless `sync` says otherwise. What came is not kept when its checksum is wrong, when the object is gone
 * or has changed meanwhile, or when less than 64 KiB came. Without `resume` the temporary goes with the call, and what
 * an earlier one left is removed. ORBIT_E_BUSY: another call is writing `file`.
 *
 * With `resume_offset` it also goes on with a part of the object that another program left at `file` itself, without a
 * journal. The bytes are copied to the temporary (sharing their blocks where the file system can), the rest is fetched,
 * and all of it is compared, whatever `verify` says, with a checksum that the store keeps of the whole: that costs one
 * read of the file and not one more byte of the network. If it is another one, everything is fetched anew, once, and
 * started_over says so. What is longer than the object is cut. Where the store keeps no such checksum (see
 * ORBIT_VERIFY_FULL for those that count), and below 16 MiB, all is fetched. What an earlier call left in a journal
 * goes before. `file` stays as it is until the whole has proved right. */
ORBIT_API orbit_status orbit_download(orbit_backend *backend, const char *path, const char *file,
                                      const orbit_download_options *options, orbit_download_result *result,
                                      orbit_error *error);

ORBIT_END_DECLS

#endif
