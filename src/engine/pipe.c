/* SPDX-License-Identifier: Apache-2.0
 * The blocks between a read and a write. Positions are bytes of the range: byte p lives in block p / block, which
 * stands in slot (p / block) % BLOCKS, so what is free, full or still rewindable is arithmetic. One mutex, held for
 * a few instructions; op->resume() is called outside of it. */
#include "engine/pipe.h"

#include <assert.h>
#include <inttypes.h>

#include "base/hash.h"
#include "base/mem.h"

#define REFUSED 16 /* blocks that come by way of the source's own thread after one that could not be loaded */

static struct orb_pipe *pipe_of_sink(orbit_sink *sink)
{
    return (struct orb_pipe *)((char *)sink - offsetof(struct orb_pipe, sink));
}

static struct orb_pipe *pipe_of_body(orbit_body *body)
{
    return (struct orb_pipe *)((char *)body - offsetof(struct orb_pipe, body));
}

static struct orb_pipe *pipe_of_message(struct orb_message *message)
{
    return (struct orb_pipe *)((char *)message - offsetof(struct orb_pipe, message));
}

/* ---- under the mutex ------------------------------------------------------------------------------ */

/* Bytes the target may see: whole blocks, the last one only when all is well. */
static uint64_t visible(const struct orb_pipe *pipe)
{
    uint64_t bytes = pipe->locked.received;
    if (pipe->locked.complete)
        return bytes;
    if (bytes == pipe->locked.length && bytes > 0)
        bytes--;
    return bytes / pipe->block * pipe->block;
}

static bool full(const struct orb_pipe *pipe)
{
    return pipe->locked.received / pipe->block - pipe->locked.consumed / pipe->block >= ORB_PIPE_BLOCKS;
}

static bool has_something(const struct orb_pipe *pipe)
{
    return pipe->locked.status < 0 || pipe->locked.complete || visible(pipe) > pipe->locked.consumed;
}

static bool wants_ready(const struct orb_pipe *pipe)
{
    return !pipe->locked.told && pipe->locked.status >= 0 && pipe->locked.length != ORBIT_SIZE_UNKNOWN &&
           (pipe->locked.complete || visible(pipe) > 0);
}

static bool is_stuck(const struct orb_pipe *pipe)
{
    return pipe->locked.status >= 0 && pipe->locked.length == ORBIT_SIZE_UNKNOWN && full(pipe);
}

static void tell(struct orb_pipe *pipe)
{
    if (pipe->locked.message_out || (!wants_ready(pipe) && !is_stuck(pipe)))
        return;
    pipe->locked.message_out = true;
    orb_loop_post(pipe->host->loop, &pipe->message);
}

static void fail(struct orb_pipe *pipe, orbit_status status, const orbit_error *error)
{
    if (pipe->locked.status < 0)
        return;
    pipe->locked.status = status;
    pipe->locked.error = *error;
}

/* All bytes are here: are they the right ones? */
static void complete(struct orb_pipe *pipe)
{
    if (pipe->locked.hold || pipe->locked.complete || pipe->locked.status < 0)
        return;
    const orbit_checksum *expected = &pipe->locked.expected;
    bool wrong = false;
    if (pipe->locked.digest)
        wrong = !orb_digest_matches(pipe->locked.digest, expected);
    else if (expected->algorithm == ORBIT_CHECKSUM_CRC64NVME)
        wrong = orb_checksum_value(expected) != pipe->locked.crc64;
    else if (expected->algorithm == ORBIT_CHECKSUM_CRC32C)
        wrong = orb_checksum_value(expected) != pipe->locked.crc32c;
    else if (expected->algorithm == ORBIT_CHECKSUM_CRC32)
        wrong = orb_checksum_value(expected) != pipe->locked.crc32;
    if (!wrong) {
        pipe->locked.complete = true;
        return;
    }
    orbit_error error;
    orb_fail(&error, ORBIT_E_CHECKSUM, 0, "the bytes read are not those whose %s the store keeps",
             orb_digest_name(expected->algorithm));
    fail(pipe, ORBIT_E_CHECKSUM, &error);
}

/* Calls op->resume() with the mutex let go; detach waits for it. */
static void resume(struct orb_pipe *pipe, orbit_op *op)
{
    if (!op || !op->resume)
        return;
    pipe->locked.resuming++;
    pthread_mutex_unlock(&pipe->mutex);
    op->resume(op);
    pthread_mutex_lock(&pipe->mutex);
    if (--pipe->locked.resuming == 0)
        pthread_cond_broadcast(&pipe->quiet);
}

/* The target, which waits, stores these bytes on this thread, if it can, with the mutex let go: detach waits for it,
 * and a peek meanwhile finds nothing. */
static bool store(struct orb_pipe *pipe, const void *bytes, size_t length)
{
    orbit_op *op = pipe->locked.target;
    if (!pipe->locked.target_waits || !op || !op->store || pipe->locked.status < 0 || pipe->locked.deaf)
        return false;
    pipe->locked.resuming++;
    pipe->locked.storing = true;
    pthread_mutex_unlock(&pipe->mutex);
    bool stored = op->store(op, bytes, length);
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.storing = false;
    if (--pipe->locked.resuming == 0)
        pthread_cond_broadcast(&pipe->quiet);
    return stored;
}

static void wake_target(struct orb_pipe *pipe)
{
    if (!pipe->locked.target_waits || !has_something(pipe))
        return;
    pipe->locked.target_waits = false;
    resume(pipe, pipe->locked.target);
}

/* The source can fill the next block on this thread, which is the target's. */
static bool loads(const struct orb_pipe *pipe)
{
    const orbit_op *op = pipe->locked.source;
    return pipe->locked.source_waits && op && op->load && !pipe->locked.refused && !pipe->locked.deaf &&
           pipe->locked.status >= 0 && !full(pipe);
}

/* With the mutex let go: detach waits for it. Whole blocks, because that is what the target sees. */
static bool load(struct orb_pipe *pipe)
{
    bool loaded = true;
    while (loaded && visible(pipe) == pipe->locked.consumed && loads(pipe)) {
        orbit_op *op = pipe->locked.source;
        pipe->locked.resuming++;
        pthread_mutex_unlock(&pipe->mutex);
        loaded = op->load(op);
        pthread_mutex_lock(&pipe->mutex);
        if (--pipe->locked.resuming == 0)
            pthread_cond_broadcast(&pipe->quiet);
    }
    if (!loaded)
        pipe->locked.refused = REFUSED;
    return visible(pipe) > pipe->locked.consumed;
}

static void wake_source(struct orb_pipe *pipe)
{
    if (!pipe->locked.source_waits || full(pipe))
        return;
    pipe->locked.source_waits = false;
    resume(pipe, pipe->locked.source);
}

/* ---- the source's side ----------------------------------------------------------------------------- */

static void *spill(struct orb_pipe *pipe, size_t *room)
{
    pipe->spilling = true;
    *room = sizeof(pipe->spill);
    return pipe->spill;
}

static void *sink_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct orb_pipe *pipe = pipe_of_sink(sink);
    (void)want;
    void *memory = NULL;
    pipe->spilling = false;
    pthread_mutex_lock(&pipe->mutex);
    if (pipe->locked.status < 0 || pipe->locked.deaf || pipe->locked.received == pipe->locked.length) {
        memory = spill(pipe, room);
        goto out;
    }
    if (full(pipe)) {
        pipe->locked.source_waits = pipe->locked.held_up = true;
        tell(pipe);
        goto out;
    }
    uint64_t block = pipe->locked.received / pipe->block;
    size_t at = (size_t)(pipe->locked.received % pipe->block);
    uint8_t **slot = &pipe->locked.blocks[block % ORB_PIPE_BLOCKS];
    if (!*slot)
        *slot = orb_buffer_new(pipe->block);
    if (!*slot) {
        orbit_error error;
        fail(pipe, orb_fail_memory(&error), &error);
        memory = spill(pipe, room);
        goto out;
    }
    if (pipe->locked.lent <= block)
        pipe->locked.lent = block + 1;
    *room = pipe->block - at;
    if (pipe->locked.length - pipe->locked.received < *room)
        *room = (size_t)(pipe->locked.length - pipe->locked.received);
    memory = *slot + at;
out:
    pthread_mutex_unlock(&pipe->mutex);
    return memory;
}

/* The bytes just filled are still in the cache: here their checksum costs least. Only this thread writes
 * `received` and the checksums while a source is attached. */
static void add_checksums(struct orb_pipe *pipe, const uint8_t *bytes, size_t length)
{
    if (pipe->locked.crcs & ORB_PIPE_CRC64NVME)
        pipe->locked.crc64 = orb_crc64nvme(pipe->locked.crc64, bytes, length);
    if (pipe->locked.crcs & ORB_PIPE_CRC32C)
        pipe->locked.crc32c = orb_crc32c(pipe->locked.crc32c, bytes, length);
    if (pipe->locked.crcs & ORB_PIPE_CRC32)
        pipe->locked.crc32 = orb_crc32(pipe->locked.crc32, bytes, length);
    if (pipe->locked.digest)
        (void)orb_digest_update(pipe->locked.digest, bytes, length); /* what failed does not match */
}

static const uint8_t *received_end(const struct orb_pipe *pipe)
{
    uint64_t block = pipe->locked.received / pipe->block;
    return pipe->locked.blocks[block % ORB_PIPE_BLOCKS] + pipe->locked.received % pipe->block;
}

/* Past the pipe: straight to the target, when it waits for just these bytes. The last ones go through a block, so that
 * they are compared with the checksum before the target sees them. Little is gathered in a block as well, unless it is
 * the rest of a large piece: many come after it that would have to follow it there. */
static bool sink_take(orbit_sink *sink, const void *bytes, size_t length)
{
    struct orb_pipe *pipe = pipe_of_sink(sink);
    bool much = length >= ORB_PIPE_TAKE || bytes == pipe->taken_end;
    pthread_mutex_lock(&pipe->mutex);
    bool taken = much && pipe->locked.received == pipe->locked.consumed && pipe->locked.length != ORBIT_SIZE_UNKNOWN &&
                 length < pipe->locked.length - pipe->locked.received && store(pipe, bytes, length);
    if (taken) {
        add_checksums(pipe, bytes, length);
        pipe->locked.lent = ORB_PIPE_BLOCKS + 1; /* not here any more: no rewind */
        pipe->locked.received += length;
        pipe->locked.consumed += length;
    }
    pthread_mutex_unlock(&pipe->mutex);
    pipe->taken_end = taken ? (const uint8_t *)bytes + length : NULL;
    if (taken && pipe->passed)
        pipe->passed(pipe, length);
    return taken;
}

/* A block is full: the thread that filled it has it in its cache. */
static void store_blocks(struct orb_pipe *pipe)
{
    uint64_t end = visible(pipe), at = pipe->locked.consumed;
    if (at >= end || end - at > pipe->block)
        return;
    const uint8_t *bytes = pipe->locked.blocks[at / pipe->block % ORB_PIPE_BLOCKS] + at % pipe->block;
    if (store(pipe, bytes, (size_t)(end - at)))
        pipe->locked.consumed = end;
}

static orbit_status commit_spilled(struct orb_pipe *pipe, size_t length)
{
    pthread_mutex_lock(&pipe->mutex);
    if (length > 0 && pipe->locked.status >= 0 && !pipe->locked.deaf) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_PROTOCOL, 0, "more bytes came than the %" PRIu64 " that were asked for",
                 pipe->locked.length);
        fail(pipe, ORBIT_E_PROTOCOL, &error);
        wake_target(pipe);
    }
    orbit_status status = pipe->locked.status;
    if (status >= 0 && pipe->locked.deaf)
        status = ORBIT_E_CANCELLED;
    pthread_mutex_unlock(&pipe->mutex);
    return status;
}

static orbit_status sink_commit(orbit_sink *sink, size_t length)
{
    struct orb_pipe *pipe = pipe_of_sink(sink);
    if (pipe->spilling)
        return commit_spilled(pipe, length);
    if (length == 0)
        return ORBIT_OK;
    add_checksums(pipe, received_end(pipe), length);
    if (pipe->passed)
        pipe->passed(pipe, length);

    pthread_mutex_lock(&pipe->mutex);
    assert(length <= pipe->block - pipe->locked.received % pipe->block);
    orbit_status status = pipe->locked.deaf ? ORBIT_E_CANCELLED : pipe->locked.status;
    if (status >= 0) {
        pipe->locked.received += length;
        if (pipe->locked.received == pipe->locked.length)
            complete(pipe);
        tell(pipe);
        if (!pipe->locked.complete)
            store_blocks(pipe);
        wake_target(pipe);
        status = pipe->locked.status;
    }
    pthread_mutex_unlock(&pipe->mutex);
    return status;
}

/* ---- the target's side ----------------------------------------------------------------------------- */

static orbit_status body_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct orb_pipe *pipe = pipe_of_body(body);
    pthread_mutex_lock(&pipe->mutex);
    if (loads(pipe) && !load(pipe))
        wake_source(pipe);
    orbit_status status = pipe->locked.status;
    if (status < 0)
        goto out;
    if (pipe->locked.deaf || pipe->locked.storing) { /* the source is about to begin anew, or stores for the target */
        pipe->locked.target_waits = true;
        status = ORBIT_AGAIN;
        goto out;
    }
    uint64_t end = visible(pipe), at = pipe->locked.consumed;
    if (at < end) {
        size_t within = (size_t)(at % pipe->block);
        uint64_t rest = end - at;
        *length = pipe->block - within;
        if (rest < *length)
            *length = (size_t)rest;
        *bytes = pipe->locked.blocks[at / pipe->block % ORB_PIPE_BLOCKS] + within;
        status = ORBIT_OK;
    } else if (pipe->locked.complete) {
        status = ORBIT_END;
    } else {
        pipe->locked.target_waits = true;
        status = ORBIT_AGAIN;
    }
out:
    pthread_mutex_unlock(&pipe->mutex);
    return status;
}

static void body_consume(orbit_body *body, size_t length)
{
    struct orb_pipe *pipe = pipe_of_body(body);
    pthread_mutex_lock(&pipe->mutex);
    assert(length <= visible(pipe) - pipe->locked.consumed);
    uint64_t block = pipe->locked.consumed / pipe->block;
    pipe->locked.consumed += length;
    if (pipe->locked.refused && pipe->locked.consumed / pipe->block > block)
        pipe->locked.refused--;
    if (!loads(pipe))
        wake_source(pipe);
    pthread_mutex_unlock(&pipe->mutex);
}

static orbit_status body_rewind(orbit_body *body)
{
    return orb_pipe_rewind(pipe_of_body(body)) ? ORBIT_OK : ORBIT_E_UNSUPPORTED;
}

static orbit_checksum body_checksum(orbit_body *body, uint32_t algorithm)
{
    struct orb_pipe *pipe = pipe_of_body(body);
    orbit_checksum checksum = {0};
    pthread_mutex_lock(&pipe->mutex);
    if (algorithm == ORBIT_CHECKSUM_CRC64NVME && (pipe->locked.crcs & ORB_PIPE_CRC64NVME))
        checksum = orb_checksum_crc64nvme(pipe->locked.crc64);
    else if (algorithm == ORBIT_CHECKSUM_CRC32C && (pipe->locked.crcs & ORB_PIPE_CRC32C))
        checksum = orb_checksum_crc32c(pipe->locked.crc32c);
    pthread_mutex_unlock(&pipe->mutex);
    return checksum;
}

bool orb_pipe_rewind(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool here = pipe->locked.lent <= ORB_PIPE_BLOCKS && !pipe->locked.deaf && pipe->locked.status >= 0;
    if (here)
        pipe->locked.consumed = 0;
    pthread_mutex_unlock(&pipe->mutex);
    return here;
}

/* ---- the loop's side ------------------------------------------------------------------------------- */

static void deliver(struct orb_message *message)
{
    struct orb_pipe *pipe = pipe_of_message(message);
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.message_out = false;
    enum orb_pipe_news news = wants_ready(pipe) ? ORB_PIPE_READY : is_stuck(pipe) ? ORB_PIPE_STUCK : ORB_PIPE_NOTHING;
    if (news == ORB_PIPE_READY)
        pipe->locked.told = true;
    pthread_mutex_unlock(&pipe->mutex);
    pipe->news(pipe, news);
}

orbit_status orb_pipe_open(struct orb_pipe *pipe, struct orbit_host *host, orbit_error *error)
{
    int number = pthread_mutex_init(&pipe->mutex, NULL);
    if (number)
        return orb_fail_errno(error, number, "cannot make a mutex");
    number = pthread_cond_init(&pipe->quiet, NULL);
    if (number) {
        pthread_mutex_destroy(&pipe->mutex);
        return orb_fail_errno(error, number, "cannot make a condition");
    }
    pipe->sink = (orbit_sink){sink_acquire, sink_commit, sink_take};
    pipe->body = (orbit_body){body_peek, body_consume, body_rewind, 0, NULL, body_checksum};
    pipe->host = host;
    pipe->block = ORB_PIPE_BLOCK;
    pipe->message.deliver = deliver;
    pipe->open = true;
    return ORBIT_OK;
}

static void free_blocks(struct orb_pipe *pipe)
{
    for (size_t i = 0; i < ORB_PIPE_BLOCKS; i++) {
        orb_buffer_free(pipe->locked.blocks[i], pipe->block);
        pipe->locked.blocks[i] = NULL;
    }
}

void orb_pipe_set_block(struct orb_pipe *pipe, size_t block)
{
    assert(!pipe->locked.source && !pipe->locked.target);
    free_blocks(pipe);
    pipe->block = block;
}

void orb_pipe_close(struct orb_pipe *pipe)
{
    if (!pipe->open)
        return;
    assert(!pipe->locked.message_out && !pipe->locked.source && !pipe->locked.target);
    free_blocks(pipe);
    orb_digest_free(pipe->locked.digest);
    pipe->locked.digest = NULL;
    pthread_cond_destroy(&pipe->quiet);
    pthread_mutex_destroy(&pipe->mutex);
    pipe->open = false;
}

void orb_pipe_arm(struct orb_pipe *pipe, uint64_t length, unsigned crcs, bool hold)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.length = length;
    pipe->locked.received = pipe->locked.consumed = pipe->locked.lent = 0;
    pipe->locked.crc64 = 0;
    pipe->locked.crc32c = pipe->locked.crc32 = 0;
    pipe->locked.crcs = crcs;
    pipe->locked.expected = (orbit_checksum){0};
    orb_digest_free(pipe->locked.digest);
    pipe->locked.digest = NULL;
    pipe->locked.source_waits = pipe->locked.held_up = false;
    pipe->locked.refused = 0;
    pipe->locked.deaf = pipe->locked.told = pipe->locked.complete = false;
    pipe->locked.hold = hold;
    pipe->locked.status = ORBIT_OK;
    pipe->spilling = false;
    if (length == 0)
        complete(pipe);
    tell(pipe);
    pthread_mutex_unlock(&pipe->mutex);
}

orbit_status orb_pipe_set_length(struct orb_pipe *pipe, uint64_t length, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    pthread_mutex_lock(&pipe->mutex);
    if (pipe->locked.received > length) {
        status =
            orb_fail(error, ORBIT_E_PROTOCOL, 0, "more bytes came than the %" PRIu64 " that were announced", length);
    } else {
        pipe->locked.length = length;
        if (pipe->locked.received == length)
            complete(pipe);
        if (pipe->locked.status < 0) {
            status = pipe->locked.status;
            orb_error_copy(error, &pipe->locked.error);
        }
        tell(pipe);
    }
    pthread_mutex_unlock(&pipe->mutex);
    return status;
}

void orb_pipe_expect(struct orb_pipe *pipe, const orbit_checksum *checksum)
{
    struct orb_digest *digest = NULL;
    bool hash = orb_digest_knows(checksum->algorithm) && !orb_digest_combines(checksum->algorithm);
    if (hash)
        digest = orb_digest_new(checksum->algorithm);
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.expected = *checksum;
    if (digest) /* else it is NULL, and the source's thread may be looking at it */
        pipe->locked.digest = digest;
    if (hash && !digest) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_MEMORY, 0, "no memory, or the system's cryptography refuses %s",
                 orb_digest_name(checksum->algorithm));
        fail(pipe, ORBIT_E_MEMORY, &error);
    }
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_let_go(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.hold = false;
    if (pipe->locked.received == pipe->locked.length)
        complete(pipe);
    tell(pipe);
    wake_target(pipe);
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_attach_source(struct orb_pipe *pipe, orbit_op *op)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.source = op;
    pipe->locked.source_waits = false;
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_attach_target(struct orb_pipe *pipe, orbit_op *op)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.target = op;
    pipe->locked.target_waits = false;
    pipe->body.length = pipe->locked.length;
    bool whole = pipe->locked.complete && pipe->locked.length > 0 && pipe->locked.length <= pipe->block;
    pipe->body.whole = whole ? pipe->locked.blocks[0] : NULL;
    pthread_mutex_unlock(&pipe->mutex);
}

static void detach(struct orb_pipe *pipe, orbit_op **op, bool *waits)
{
    pthread_mutex_lock(&pipe->mutex);
    *op = NULL;
    *waits = false;
    while (pipe->locked.resuming > 0)
        pthread_cond_wait(&pipe->quiet, &pipe->mutex);
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_detach_source(struct orb_pipe *pipe)
{
    detach(pipe, &pipe->locked.source, &pipe->locked.source_waits);
}

void orb_pipe_detach_source_of(struct orb_pipe *pipe, const orbit_op *op)
{
    pthread_mutex_lock(&pipe->mutex);
    if (pipe->locked.source == op) {
        pipe->locked.source = NULL;
        pipe->locked.source_waits = false;
    }
    while (pipe->locked.resuming > 0)
        pthread_cond_wait(&pipe->quiet, &pipe->mutex);
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_detach_target(struct orb_pipe *pipe)
{
    detach(pipe, &pipe->locked.target, &pipe->locked.target_waits);
}

void orb_pipe_fail(struct orb_pipe *pipe, const orbit_error *error)
{
    pthread_mutex_lock(&pipe->mutex);
    fail(pipe, (orbit_status)error->status, error);
    wake_target(pipe);
    pthread_mutex_unlock(&pipe->mutex);
}

orbit_status orb_pipe_failure(struct orb_pipe *pipe, orbit_error *error)
{
    pthread_mutex_lock(&pipe->mutex);
    orbit_status status = pipe->locked.status;
    if (status < 0)
        orb_error_copy(error, &pipe->locked.error);
    pthread_mutex_unlock(&pipe->mutex);
    return status;
}

void orb_pipe_deafen(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.deaf = true;
    pthread_mutex_unlock(&pipe->mutex);
}

uint64_t orb_pipe_received(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    uint64_t received = pipe->locked.received;
    pthread_mutex_unlock(&pipe->mutex);
    return received;
}

bool orb_pipe_was_full(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool was = pipe->locked.held_up || pipe->locked.source_waits;
    pipe->locked.held_up = false;
    pthread_mutex_unlock(&pipe->mutex);
    return was;
}

bool orb_pipe_arrived(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool arrived = pipe->locked.received == pipe->locked.length;
    pthread_mutex_unlock(&pipe->mutex);
    return arrived;
}

uint64_t orb_pipe_crc64(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    uint64_t crc = pipe->locked.crc64;
    pthread_mutex_unlock(&pipe->mutex);
    return crc;
}

uint32_t orb_pipe_crc32c(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    uint32_t crc = pipe->locked.crc32c;
    pthread_mutex_unlock(&pipe->mutex);
    return crc;
}

uint32_t orb_pipe_crc32(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    uint32_t crc = pipe->locked.crc32;
    pthread_mutex_unlock(&pipe->mutex);
    return crc;
}

bool orb_pipe_quiet(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool quiet = !pipe->locked.message_out;
    pthread_mutex_unlock(&pipe->mutex);
    return quiet;
}
