/* SPDX-License-Identifier: Apache-2.0
 * orbit_reader: what a user holds of a read window. Order, waiting, options; ranges are engine/window's. The user's
 * calls run on the user's thread under the stream's gate, the rest on the loop. */
#include "stream/reader.h"

#include <orbit/read.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/options.h"
#include "engine/expect.h"
#include "engine/window.h"
#include "stream/stream.h"

#define OFFSET_MAX  ((uint64_t)INT64_MAX)
#define PROGRESS_MS 100u

struct orbit_reader {
    struct orb_stream stream;
    struct orb_window *window; /* gate: NULL once it is gone */
    char *path, *version_id, *if_match;
    uint8_t sse_customer_key[32];
    orbit_metadata metadata; /* a copy for the user, made when first asked for */
    bool has_metadata;
    bool digesting;            /* user: the stored checksum needs all bytes in order, and so far they were */
    struct orb_digest *digest; /* user */
    orbit_checksum expected;   /* user: what it is compared with */
    bool has_key;              /* SSE-C */
    size_t lent;               /* bytes the user holds until its next call */
    orbit_status ended;        /* what the user was told last, for good */
    orbit_error error;

    orbit_progress progress;
    struct orb_timer *progress_timer; /* loop */
    uint64_t progress_told;           /* loop */
    bool progress_over;               /* loop: the last one was told */
    struct orb_message end_message;
    bool end_posted; /* user */

    void (*joined_ready)(void *ctx); /* gate: a writer on the loop instead of the user */
    void *joined_ctx;
    struct orb_message joined_message;
    bool joined_posted; /* gate */
};

static struct orbit_reader *reader_of(struct orb_stream *stream)
{
    return (struct orbit_reader *)stream;
}

/* ---- progress: loop ------------------------------------------------------------------------------ */

static void tell_progress(struct orbit_reader *reader, bool last)
{
    uint64_t done = 0, total = ORBIT_SIZE_UNKNOWN;
    if (reader->progress_over || !reader->progress.function || !reader->window)
        return;
    orb_window_progress(reader->window, &done, &total);
    reader->progress_over = last;
    if (!last && done == reader->progress_told)
        return;
    reader->progress_told = done;
    reader->progress.function(reader->progress.ctx, done, total);
}

static void progress_due(void *ctx)
{
    struct orbit_reader *reader = ctx;
    reader->progress_timer = NULL;
    tell_progress(reader, false);
    if (!reader->progress_over && !reader->stream.shutting)
        reader->progress_timer = orb_timer_start(reader->stream.client->loop, PROGRESS_MS, progress_due, reader);
}

static void end_delivered(struct orb_message *message)
{
    struct orbit_reader *reader =
        (struct orbit_reader *)(void *)((char *)message - offsetof(struct orbit_reader, end_message));
    if (orb_stream_arrived(&reader->stream) && !reader->stream.shutting)
        tell_progress(reader, true);
}

/* ---- the stream's kind: loop --------------------------------------------------------------------- */

static void reader_start(struct orb_stream *stream)
{
    struct orbit_reader *reader = reader_of(stream);
    if (reader->progress.function)
        reader->progress_timer = orb_timer_start(stream->client->loop, PROGRESS_MS, progress_due, reader);
    orb_window_open(reader->window);
}

static void reader_stop(struct orb_stream *stream, orbit_status status, const orbit_error *error)
{
    orb_window_stop(reader_of(stream)->window, status, error);
}

static void reader_shut(struct orb_stream *stream)
{
    struct orbit_reader *reader = reader_of(stream);
    orb_timer_cancel(reader->progress_timer);
    reader->progress_timer = NULL;
    orb_window_close(reader->window);
}

static void window_closed(void *ctx)
{
    struct orbit_reader *reader = ctx;
    orb_gate_lock(&reader->stream.gate);
    reader->window = NULL;
    reader->lent = 0;
    orb_gate_unlock(&reader->stream.gate);
    orb_stream_gone(&reader->stream);
}

static void reader_release(struct orb_stream *stream)
{
    struct orbit_reader *reader = reader_of(stream);
    orbit_metadata_release(&reader->metadata);
    explicit_bzero(reader->sse_customer_key, sizeof reader->sse_customer_key);
    orb_digest_free(reader->digest);
    orb_free(reader->path);
    orb_free(reader->version_id);
    orb_free(reader->if_match);
    orb_free(reader);
}

static const struct orb_stream_kind reader_kind = {reader_start, reader_stop, reader_shut, reader_release};

static void joined_delivered(struct orb_message *message)
{
    struct orbit_reader *reader =
        (struct orbit_reader *)(void *)((char *)message - offsetof(struct orbit_reader, joined_message));
    if (!orb_stream_arrived(&reader->stream))
        return;
    orb_gate_lock(&reader->stream.gate);
    void (*ready)(void *) = reader->joined_ready;
    void *ctx = reader->joined_ctx;
    reader->joined_ready = NULL;
    reader->joined_posted = false;
    orb_gate_unlock(&reader->stream.gate);
    if (ready)
        ready(ctx);
}

/* Any thread. */
static void window_notified(void *ctx)
{
    struct orbit_reader *reader = ctx;
    orb_gate_lock(&reader->stream.gate);
    if (reader->joined_ready && !reader->joined_posted)
        reader->joined_posted = orb_stream_post_locked(&reader->stream, &reader->joined_message);
    orb_gate_unlock(&reader->stream.gate);
    orb_stream_notify(&reader->stream);
}

/* ---- opening ------------------------------------------------------------------------------------- */

void orbit_read_options_init(orbit_read_options *options)
{
    if (options)
        *options = (orbit_read_options)ORBIT_READ_OPTIONS_INIT;
}

static orbit_status keep_options(struct orbit_reader *reader, const char *path, const orbit_read_options *options,
                                 orbit_error *error)
{
    reader->path = orb_strdup(path);
    reader->version_id = orb_strdup(options->version_id);
    reader->if_match = orb_strdup(options->if_match);
    if (!reader->path || (options->version_id && !reader->version_id) || (options->if_match && !reader->if_match))
        return orb_fail_memory(error);
    reader->has_key = options->sse_customer_key != NULL;
    if (reader->has_key)
        memcpy(reader->sse_customer_key, options->sse_customer_key, sizeof reader->sse_customer_key);
    reader->digesting = options->verify == ORBIT_VERIFY_FULL && options->offset == 0 &&
                        (options->length == 0 || options->length == ORBIT_TO_END);
    reader->progress = options->progress;
    reader->end_message.deliver = end_delivered;
    reader->joined_message.deliver = joined_delivered;
    reader->stream.timeout_ms = options->timeout_ms;
    reader->stream.cancel = options->cancel;
    reader->stream.ready = options->ready;
    reader->stream.ready_ctx = options->ready_ctx;
    return ORBIT_OK;
}

static orbit_status make_window(struct orbit_reader *reader, const orbit_read_options *options, orbit_error *error)
{
    struct orbit_backend *backend = reader->stream.backend;
    uint64_t offset = options->offset < OFFSET_MAX ? options->offset : OFFSET_MAX;
    struct orb_window_config config = {
        .backend = &backend->core,
        .path = reader->path,
        .version_id = reader->version_id,
        .if_match = reader->if_match,
        .sse_customer_key = reader->has_key ? reader->sse_customer_key : NULL,
        .offset = offset,
        .length = options->length ? options->length : ORBIT_TO_END,
        .chunk_bytes = options->chunk_size,
        .parallel = options->parallel_operations,
        .verify = options->verify != ORBIT_VERIFY_OFF,
        .look = reader->digesting, /* with ORBIT_VERIFY_FULL, of all bytes */
        .no_hedge = options->no_hedge,
        .count = &backend->client->bytes_read,
        .tally = &reader->stream.tally,
        .notify = window_notified,
        .closed = window_closed,
        .ctx = reader,
    };
    return orb_window_new(&reader->window, &config, error);
}

static orbit_status wait_opened(struct orbit_reader *reader, orbit_error *error)
{
    orbit_status status = ORBIT_AGAIN;
    orb_gate_lock(&reader->stream.gate);
    while (reader->window && (status = orb_window_opened(reader->window, error)) == ORBIT_AGAIN)
        orb_gate_wait(&reader->stream.gate);
    if (!reader->window)
        status =
            orb_fail(error, ORBIT_E_CANCELLED, 0, "the backend was closed while '%s' was being opened", reader->path);
    orb_gate_unlock(&reader->stream.gate);
    return status;
}

orbit_status orbit_read(orbit_reader **made, orbit_backend *backend, const char *path, const orbit_read_options *given,
                        orbit_error *error)
{
    if (made)
        *made = NULL;
    if (!made || !backend || !path)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_read() without a place for the reader, a backend or a path");
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_status status = orb_options_take(&options, sizeof options, given, "orbit_read_options", error);
    if (status >= 0)
        status = orb_client_check(backend->client, "orbit_read", !options.ready, error);
    if (status < 0)
        return status;
    if (options.verify > ORBIT_VERIFY_FULL)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_read_options.verify is %u, which means nothing",
                        options.verify);
    if (!backend->core.ops->read)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "read is not supported by '%s'", backend->core.ops->name);
    struct orbit_reader *reader = orb_calloc(1, sizeof *reader);
    if (!reader)
        return orb_fail_memory(error);
    orb_stream_init(&reader->stream, &reader_kind, backend);
    status = keep_options(reader, path, &options, error);
    if (status >= 0)
        status = make_window(reader, &options, error);
    if (status < 0) {
        orb_gate_release(&reader->stream.gate);
        reader_release(&reader->stream);
        return status;
    }
    orb_stream_launch(&reader->stream);
    if (!options.ready)
        status = wait_opened(reader, error);
    if (status < 0)
        orb_stream_close(&reader->stream);
    else
        *made = reader;
    return status;
}

/* ---- the user's calls ---------------------------------------------------------------------------- */

static orbit_status remember_locked(struct orbit_reader *reader, orbit_status status, const orbit_error *error)
{
    if (status < 0 && reader->ended >= 0) {
        reader->ended = status;
        reader->error = *error;
    }
    if ((status < 0 || status == ORBIT_END) && !reader->end_posted)
        reader->end_posted = orb_stream_post_locked(&reader->stream, &reader->end_message);
    return status;
}

/* ---- a checksum of all bytes in order: on the user's thread, as they are handed out ---------------- */

static bool digest_ready(struct orbit_reader *reader)
{
    const orbit_metadata *metadata = reader->digesting && !reader->digest ? orbit_reader_metadata(reader) : NULL;
    if (metadata) {
        reader->expected = orb_expect(&reader->stream.backend->core, metadata, reader->has_key, true);
        uint32_t algorithm = reader->expected.algorithm;
        bool windows = algorithm == ORBIT_CHECKSUM_CRC64NVME || algorithm == ORBIT_CHECKSUM_CRC32C;
        reader->digest = windows ? NULL : orb_digest_new(algorithm); /* those it compares by itself */
        reader->digesting = reader->digest != NULL;
    }
    return reader->digesting && reader->digest;
}

static void digest_add(struct orbit_reader *reader, const void *bytes, size_t length)
{
    if (digest_ready(reader) && !orb_digest_update(reader->digest, bytes, length))
        reader->digesting = false;
}

/* The end: what a checksum that does not match makes of it. */
static orbit_status digest_end(struct orbit_reader *reader, orbit_error *error)
{
    if (!digest_ready(reader))
        return ORBIT_END;
    reader->digesting = false;
    if (orb_digest_matches(reader->digest, &reader->expected))
        return ORBIT_END;
    orb_gate_lock(&reader->stream.gate);
    reader->ended =
        orb_fail(&reader->error, ORBIT_E_CHECKSUM, 0, "the bytes read from '%s' are not those whose %s the store keeps",
                 reader->path, orb_digest_name(reader->expected.algorithm));
    orb_gate_unlock(&reader->stream.gate);
    orb_error_copy(error, &reader->error);
    return ORBIT_E_CHECKSUM;
}

/* What the user was lent is over; then the next bytes, waiting for them or not. */
static orbit_status next_locked(struct orbit_reader *reader, const void **bytes, size_t *length, bool wait,
                                orbit_error *error)
{
    orbit_error own;
    orbit_status status = ORBIT_AGAIN;
    *bytes = NULL;
    *length = 0;
    if (reader->window)
        orb_window_consume(reader->window, reader->lent);
    reader->lent = 0;
    while (reader->ended >= 0 && reader->window) {
        status = orb_window_peek(reader->window, bytes, length, &own);
        if (status != ORBIT_AGAIN || !wait)
            break;
        orb_gate_wait(&reader->stream.gate);
    }
    if (reader->ended < 0) {
        status = reader->ended;
    } else if (!reader->window) {
        orb_fail(&own, ORBIT_E_CANCELLED, 0, "the backend was closed while '%s' was being read", reader->path);
        status = remember_locked(reader, ORBIT_E_CANCELLED, &own);
    } else {
        remember_locked(reader, status, &own);
    }
    if (status < 0)
        orb_error_copy(error, &reader->error);
    return status;
}

static orbit_status next(struct orbit_reader *reader, const char *what, const void **bytes, size_t *length, bool wait,
                         orbit_error *error)
{
    if (!reader || !bytes || !length)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a reader or a place for the bytes", what);
    orbit_status status = orb_stream_check(&reader->stream, what, wait, error);
    if (status < 0)
        return status;
    orb_gate_lock(&reader->stream.gate);
    status = next_locked(reader, bytes, length, wait, error);
    if (status == ORBIT_OK)
        reader->lent = *length;
    reader->stream.ready_wanted = status == ORBIT_AGAIN;
    orb_gate_unlock(&reader->stream.gate);
    if (status == ORBIT_OK)
        digest_add(reader, *bytes, *length);
    return status == ORBIT_END ? digest_end(reader, error) : status;
}

orbit_status orbit_reader_next(orbit_reader *reader, const void **bytes, size_t *length, orbit_error *error)
{
    return next(reader, "orbit_reader_next", bytes, length, true, error);
}

orbit_status orbit_reader_try_next(orbit_reader *reader, const void **bytes, size_t *length, orbit_error *error)
{
    return next(reader, "orbit_reader_try_next", bytes, length, false, error);
}

orbit_status orbit_reader_read(orbit_reader *reader, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    if (length)
        *length = 0;
    if (!reader || !length || (!buffer && room))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_reader_read() without a reader or a buffer");
    orbit_status status = orb_stream_check(&reader->stream, "orbit_reader_read", true, error);
    if (status < 0)
        return status;
    while (*length < room) {
        const void *bytes;
        size_t have;
        orb_gate_lock(&reader->stream.gate);
        status = next_locked(reader, &bytes, &have, true, error);
        if (status == ORBIT_OK) {
            if (have > room - *length)
                have = room - *length;
            reader->lent = have; /* given back by the next round, when it has been copied */
        }
        orb_gate_unlock(&reader->stream.gate);
        if (status == ORBIT_END)
            status = digest_end(reader, error);
        if (status != ORBIT_OK)
            break;
        digest_add(reader, bytes, have);
        memcpy((char *)buffer + *length, bytes, have);
        *length += have;
    }
    /* What was copied already is the caller's; the end or the error is told by the next call, again. */
    return *length ? ORBIT_OK : status;
}

struct seek {
    struct orbit_reader *reader;
    uint64_t offset;
};

static void seek_on_loop(void *ctx)
{
    struct seek *seek = ctx;
    if (seek->reader->window && !seek->reader->stream.shutting)
        orb_window_restart(seek->reader->window, seek->offset);
}

orbit_status orbit_reader_seek(orbit_reader *reader, uint64_t offset, orbit_error *error)
{
    if (!reader)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_reader_seek() without a reader");
    orbit_status status = orb_stream_check(&reader->stream, "orbit_reader_seek", false, error);
    if (status < 0)
        return status;
    reader->digesting = false;
    struct seek seek = {reader, offset < OFFSET_MAX ? offset : OFFSET_MAX};
    bool there = false;
    orb_gate_lock(&reader->stream.gate);
    status = reader->ended;
    if (status < 0) {
        orb_error_copy(error, &reader->error);
    } else if (!reader->window) {
        status =
            orb_fail(error, ORBIT_E_CANCELLED, 0, "the backend was closed while '%s' was being read", reader->path);
    } else {
        orb_window_consume(reader->window, reader->lent);
        reader->lent = 0;
        there = orb_window_skip(reader->window, seek.offset);
    }
    orb_gate_unlock(&reader->stream.gate);
    if (status >= 0 && !there)
        orb_client_on_loop(reader->stream.client, seek_on_loop, &seek);
    return status < 0 ? status : ORBIT_OK;
}

orbit_status orbit_reader_get_stats(orbit_reader *reader, orbit_stream_stats *stats)
{
    return reader ? orb_tally_tell(&reader->stream.tally, atomic_load(&reader->stream.tally.bytes), stats)
                  : ORBIT_E_MISUSE;
}

const orbit_metadata *orbit_reader_metadata(orbit_reader *reader)
{
    if (!reader)
        return NULL;
    orb_gate_lock(&reader->stream.gate);
    if (!reader->has_metadata && reader->window) {
        const orbit_metadata *metadata = orb_window_metadata(reader->window);
        reader->has_metadata = metadata && orbit_metadata_copy(&reader->metadata, metadata) >= 0;
    }
    bool known = reader->has_metadata;
    orb_gate_unlock(&reader->stream.gate);
    return known ? &reader->metadata : NULL;
}

void orbit_reader_close(orbit_reader *reader)
{
    if (reader)
        orb_stream_close(&reader->stream);
}

/* ---- for a writer on the loop -------------------------------------------------------------------- */

orbit_status orb_reader_peek(orbit_reader *reader, const void **bytes, size_t *length, void (*ready)(void *ctx),
                             void *ctx, orbit_error *error)
{
    reader->digesting = false; /* the loop is no place for it */
    orb_gate_lock(&reader->stream.gate);
    orbit_status status = next_locked(reader, bytes, length, false, error);
    if (status == ORBIT_AGAIN) {
        reader->joined_ready = ready;
        reader->joined_ctx = ctx;
    }
    orb_gate_unlock(&reader->stream.gate);
    return status;
}

void orb_reader_consume(orbit_reader *reader, size_t length)
{
    orb_gate_lock(&reader->stream.gate);
    if (reader->window)
        orb_window_consume(reader->window, length);
    orb_gate_unlock(&reader->stream.gate);
}

void orb_reader_forget(orbit_reader *reader)
{
    orb_gate_lock(&reader->stream.gate);
    reader->joined_ready = NULL;
    orb_gate_unlock(&reader->stream.gate);
}

uint64_t orb_reader_left(orbit_reader *reader)
{
    uint64_t left = ORBIT_SIZE_UNKNOWN;
    orb_gate_lock(&reader->stream.gate);
    if (reader->window)
        left = orb_window_left(reader->window);
    orb_gate_unlock(&reader->stream.gate);
    return left;
}

struct orbit_backend *orb_reader_backend(const orbit_reader *reader)
{
    return reader->stream.backend;
}
