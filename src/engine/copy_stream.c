/* SPDX-License-Identifier: Apache-2.0
 * A copy whose source has no ranges or no known size: one read fills part buffers in order (engine/upload_fill).
 * The read's sink runs on the source's thread; the mutex guards the hand-over of "there is room again". */
#include <inttypes.h>
#include <pthread.h>

#include "base/hash.h"
#include "base/least.h"
#include "base/mem.h"
#include "engine/copy.h"

struct orb_copy_stream {
    orbit_sink sink;
    struct orb_copy *copy;
    struct orb_fill fill;
    struct orb_admission admission;
    struct orb_call source;
    orbit_read_request request;
    orbit_read_reply reply;
    _Atomic uint64_t received;
    uint64_t skip;  /* bytes to drop before the next one to keep; the source's thread, the loop between reads */
    uint64_t crc64; /* the source's thread, until the source is over */
    uint32_t crc32c;
    uint8_t spill[64];
    uint8_t *lent;
    pthread_mutex_t mutex;
    pthread_cond_t quiet;
    struct {
        orbit_op *op; /* of the read that is under way */
        bool waits;
        unsigned resuming;
    } locked;
    bool source_used, source_over, fill_over, fill_open, stopping;
    struct orb_message message;
};

/* ---- the end ---------------------------------------------------------------------------------------- */

/* A message of the fill may still be on its way: it is delivered before this one. */
static void gone(struct orb_message *message)
{
    struct orb_copy_stream *stream =
        (struct orb_copy_stream *)((char *)message - offsetof(struct orb_copy_stream, message));
    struct orb_copy *copy = stream->copy;
    copy->bytes = stream->fill.upload.bytes;
    copy->parts = stream->fill.upload.parts;
    copy->multipart = stream->fill.upload.multipart;
    copy->target = stream->fill.upload.metadata;
    stream->fill.upload.metadata = (orbit_metadata){0};
    orb_fill_release(&stream->fill);
    orbit_metadata_release(&stream->reply.metadata);
    pthread_cond_destroy(&stream->quiet);
    pthread_mutex_destroy(&stream->mutex);
    copy->stream = NULL;
    bool well = !stream->stopping;
    orb_free(stream);
    if (well)
        orb_copy_succeed(copy);
    else
        orb_copy_settle(copy);
}

static void settle(struct orb_copy_stream *stream)
{
    if ((stream->source_used && !stream->source_over) || (stream->fill_open && !stream->fill_over) ||
        stream->message.deliver)
        return;
    stream->message.deliver = gone;
    orb_loop_post(stream->copy->to->host->loop, &stream->message);
}

static void detach(struct orb_copy_stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    stream->locked.op = NULL;
    stream->locked.waits = false;
    while (stream->locked.resuming > 0)
        pthread_cond_wait(&stream->quiet, &stream->mutex);
    pthread_mutex_unlock(&stream->mutex);
}

void orb_copy_stream_stop(struct orb_copy *copy, orbit_status status, const orbit_error *error)
{
    struct orb_copy_stream *stream = copy->stream;
    if (!stream || stream->stopping)
        return;
    stream->stopping = true;
    orb_admission_withdraw(&stream->admission);
    detach(stream);
    orb_call_cancel(&stream->source);
    if (stream->fill_open)
        orb_fill_stop(&stream->fill, status, error);
    settle(stream);
}

/* ---- the sink, on the source's thread ------------------------------------------------------------------ */

static void *sink_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct orb_copy_stream *stream = (struct orb_copy_stream *)sink;
    void *memory = NULL;
    (void)want;
    pthread_mutex_lock(&stream->mutex);
    stream->locked.waits = true;
    pthread_mutex_unlock(&stream->mutex);
    orbit_status status = orb_fill_lend(&stream->fill, &memory, room, NULL);
    if (status == ORBIT_AGAIN)
        return NULL;
    pthread_mutex_lock(&stream->mutex);
    stream->locked.waits = false;
    pthread_mutex_unlock(&stream->mutex);
    if (status < 0) { /* its commit will tell */
        *room = sizeof(stream->spill);
        memory = stream->spill;
    }
    stream->lent = memory;
    return memory;
}

/* What lies before the bytes that are wanted; how many are left. */
static size_t drop_skipped(struct orb_copy_stream *stream, size_t length)
{
    size_t drop = length < stream->skip ? length : (size_t)stream->skip;
    if (!drop || stream->lent == stream->spill)
        return length;
    stream->skip -= drop;
    memmove(stream->lent, stream->lent + drop, length - drop);
    orb_call_alive(&stream->source);
    return length - drop;
}

static orbit_status sink_commit(orbit_sink *sink, size_t length)
{
    struct orb_copy_stream *stream = (struct orb_copy_stream *)sink;
    orbit_status status = ORBIT_OK;
    length = drop_skipped(stream, length);
    if (stream->lent != stream->spill && length > 0) {
        if (stream->copy->verify) {
            stream->crc64 = orb_crc64nvme(stream->crc64, stream->lent, length);
            stream->crc32c = orb_crc32c(stream->crc32c, stream->lent, length);
        }
        atomic_fetch_add(&stream->received, length);
        atomic_fetch_add_explicit(&stream->copy->passed, length, memory_order_relaxed);
        orb_call_progressed(&stream->source, length);
        status = orb_fill_commit(&stream->fill, length, NULL);
    } else if (stream->lent == stream->spill) {
        status = orb_fill_failure(&stream->fill, NULL);
    }
    return status;
}

/* The fill has room again, or has failed: any thread. */
static void room_again(void *ctx)
{
    struct orb_copy_stream *stream = ctx;
    pthread_mutex_lock(&stream->mutex);
    orbit_op *op = stream->locked.waits ? stream->locked.op : NULL;
    stream->locked.waits = false;
    if (op && op->resume) {
        stream->locked.resuming++;
        pthread_mutex_unlock(&stream->mutex);
        op->resume(op);
        pthread_mutex_lock(&stream->mutex);
        if (--stream->locked.resuming == 0)
            pthread_cond_broadcast(&stream->quiet);
    }
    pthread_mutex_unlock(&stream->mutex);
}

/* ---- the read, on the loop ------------------------------------------------------------------------------ */

/* Whether what is wanted can be asked for from its first byte on. */
static bool has_ranges(const struct orb_copy *copy)
{
    return copy->from->caps.ranged_read && copy->source.kind != ORBIT_KIND_OTHER;
}

/* The version is known as soon as there is a reply: what was cut off goes on with just that one. */
static void source_head(struct orb_op *op)
{
    struct orb_call *call = (struct orb_call *)((char *)op - offsetof(struct orb_call, op));
    struct orb_copy_stream *stream = call->ctx;
    orbit_error error;
    orb_call_asks(call, orb_smaller(stream->request.length, stream->reply.length));
    if (stream->stopping || stream->copy->have_source)
        return;
    if (orb_copy_identify(stream->copy, &stream->reply.metadata, &error) < 0)
        orb_copy_fail(stream->copy, (orbit_status)error.status, &error);
}

static void start_source(struct orb_call *call)
{
    struct orb_copy_stream *stream = call->ctx;
    struct orb_copy *copy = stream->copy;
    uint64_t from = copy->offset + atomic_load(&stream->received);
    uint64_t end = copy->length >= ORBIT_TO_END - copy->offset ? ORBIT_TO_END : copy->offset + copy->length;
    stream->skip = has_ranges(copy) ? 0 : from;
    uint64_t offset = from - stream->skip;
    stream->request = (orbit_read_request){
        .path = copy->from_path,
        .version_id = copy->version_id,
        .offset = offset,
        .length = end == ORBIT_TO_END ? ORBIT_TO_END : end - offset,
        .pin = copy->have_source ? &copy->source : NULL,
        .if_match = copy->if_match,
        .sse_customer_key = copy->source_key,
        .want_checksum = copy->verify,
    };
    orbit_metadata_release(&stream->reply.metadata);
    stream->reply = (orbit_read_reply){0};
    pthread_mutex_lock(&stream->mutex);
    stream->locked.op = &call->op.op;
    stream->locked.waits = false;
    pthread_mutex_unlock(&stream->mutex);
    orb_call_asks(call, stream->request.length);
    call->op.on_head = source_head;
    orb_call_names(call, ORBIT_REQUEST_READ, copy->from_path);
    copy->from->ops->read(copy->from->self, &call->op.op, &stream->request, &stream->sink, &stream->reply);
}

/* What has gone by comes again where there are no ranges, and is dropped; a pipe has it no more. */
static bool source_again(struct orb_call *call, const orbit_error *error)
{
    struct orb_copy_stream *stream = call->ctx;
    (void)error;
    detach(stream);
    bool same = stream->copy->have_source && stream->copy->source.kind != ORBIT_KIND_OTHER;
    return !stream->stopping && (same || has_ranges(stream->copy) || atomic_load(&stream->received) == 0);
}

static orbit_status judge(struct orb_copy_stream *stream, orbit_error *error)
{
    struct orb_copy *copy = stream->copy;
    uint64_t received = atomic_load(&stream->received);
    orbit_status status = orb_copy_identify(copy, &stream->reply.metadata, error);
    if (status < 0)
        return status;
    orb_copy_expect(copy, received);
    orbit_checksum *expected = &copy->expected;
    if (expected->algorithm != ORBIT_CHECKSUM_CRC64NVME && expected->algorithm != ORBIT_CHECKSUM_CRC32C)
        *expected = (orbit_checksum){0}; /* nobody computed it: what has no ranges has none of these, either */
    uint64_t bits = expected->algorithm == ORBIT_CHECKSUM_CRC64NVME ? stream->crc64 : stream->crc32c;
    if (expected->algorithm && bits != orb_checksum_value(expected))
        return orb_fail(error, ORBIT_E_CHECKSUM, 0,
                        "the bytes read from '%s' are not those whose checksum the store keeps", copy->from_path);
    uint64_t wanted = orb_copy_bytes(copy);
    bool sized = wanted != ORBIT_SIZE_UNKNOWN && copy->source.kind != ORBIT_KIND_OTHER;
    if (sized && received != wanted)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "'%s' ended after %" PRIu64 " of %" PRIu64 " bytes",
                        copy->from_path, received, wanted);
    if (stream->skip && received) /* after a cut it came from its beginning, but not as far */
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "'%s' was longer when it was read before", copy->from_path);
    copy->verified = expected->algorithm != ORBIT_CHECKSUM_NONE;
    copy->total = received;
    return ORBIT_OK;
}

static void source_done(struct orb_call *call, orbit_status status, const orbit_error *given)
{
    struct orb_copy_stream *stream = call->ctx;
    orbit_error error;
    detach(stream);
    stream->source_over = true;
    if (stream->stopping) {
        settle(stream);
        return;
    }
    if (status < 0)
        error = *given;
    else
        status = judge(stream, &error);
    if (status >= 0) {
        orb_fill_finish(&stream->fill);
        return;
    }
    /* A read that ended because its sink had failed: the target's error is the reason. */
    orbit_error target;
    orbit_status failed = orb_fill_failure(&stream->fill, &target);
    orb_copy_fail(stream->copy, failed < 0 ? failed : status, failed < 0 ? &target : &error);
}

static void fill_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct orb_copy_stream *stream = ctx;
    stream->fill_over = true;
    if (status < 0)
        orb_copy_fail(stream->copy, status, error);
    settle(stream);
}

static void fill_moved(void *ctx, uint64_t bytes)
{
    struct orb_copy_stream *stream = ctx;
    (void)bytes;
    orb_copy_moved(stream->copy);
}

static void admitted(void *ctx)
{
    struct orb_copy_stream *stream = ctx;
    orb_fill_admit(&stream->fill);
    stream->source_used = true;
    stream->source.again = source_again;
    stream->source.need = ORB_FLOW_FREE; /* it pauses while parts are sent */
    stream->source.tally = stream->copy->tally;
    orb_call_start(&stream->source, stream->copy->from, start_source, source_done, stream);
}

void orb_copy_stream_start(struct orb_copy *copy)
{
    orbit_error error;
    struct orb_copy_stream *stream = orb_calloc(1, sizeof(*stream));
    if (!stream) {
        orb_copy_fail(copy, orb_fail_memory(&error), &error);
        return;
    }
    stream->copy = copy;
    stream->sink = (orbit_sink){sink_acquire, sink_commit, NULL};
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->quiet, NULL);
    stream->fill.wake = room_again;
    stream->fill.moved = fill_moved;
    stream->fill.ended = fill_ended;
    stream->fill.ctx = stream;
    stream->fill.upload.tally = copy->tally;
    copy->stream = stream;
    orbit_status status =
        orb_fill_init(&stream->fill, copy->to, copy->to_path, copy->options,
                      copy->preserve && copy->have_source ? &copy->source : NULL,
                      copy->total == ORBIT_SIZE_UNKNOWN ? orb_copy_length_hint(copy) : copy->total, &error);
    if (status < 0) {
        orb_copy_fail(copy, status, &error);
        return;
    }
    stream->fill_open = true;
    orb_copy_watch_progress(copy);
    if (orb_admission_ask(&stream->admission, copy->to->host, stream->fill.reserve, admitted, stream))
        admitted(stream);
}
