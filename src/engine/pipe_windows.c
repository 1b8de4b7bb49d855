/* SPDX-License-Identifier: Apache-2.0
 * The two windows of a pipe: the sink that its source fills and the body that its target drains, each on its own
 * thread. op->resume(), store() and load() are called with the mutex let go; who detaches an operation waits for
 * them. */
#include <assert.h>
#include <inttypes.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/pipe_parts.h"

#define REFUSED 16 /* blocks that come by way of the source's own thread after one that could not be loaded */

static struct orb_pipe *pipe_of_sink(orbit_sink *sink)
{
    return (struct orb_pipe *)((char *)sink - offsetof(struct orb_pipe, sink));
}

static struct orb_pipe *pipe_of_body(orbit_body *body)
{
    return (struct orb_pipe *)((char *)body - offsetof(struct orb_pipe, body));
}

/* ---- under the mutex ------------------------------------------------------------------------------- */

static bool has_something(const struct orb_pipe *pipe)
{
    return pipe->locked.status < 0 || pipe->locked.complete || orb_pipe_visible(pipe) > pipe->locked.consumed;
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

void orb_pipe_wake_target(struct orb_pipe *pipe)
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
           pipe->locked.status >= 0 && !orb_pipe_full(pipe);
}

/* With the mutex let go: detach waits for it. Whole blocks, because that is what the target sees. */
static bool load(struct orb_pipe *pipe)
{
    bool loaded = true;
    while (loaded && orb_pipe_visible(pipe) == pipe->locked.consumed && loads(pipe)) {
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
    return orb_pipe_visible(pipe) > pipe->locked.consumed;
}

static void wake_source(struct orb_pipe *pipe)
{
    if (!pipe->locked.source_waits || orb_pipe_full(pipe))
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
    if (orb_pipe_full(pipe)) {
        pipe->locked.source_waits = pipe->locked.held_up = true;
        orb_pipe_tell(pipe);
        goto out;
    }
    uint64_t block = pipe->locked.received / pipe->block;
    size_t at = (size_t)(pipe->locked.received % pipe->block);
    uint8_t **slot = &pipe->locked.blocks[block % ORB_PIPE_BLOCKS];
    if (!*slot)
        *slot = orb_buffer_new(pipe->block);
    if (!*slot) {
        orbit_error error;
        orb_pipe_failed(pipe, orb_fail_memory(&error), &error);
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
    uint64_t end = orb_pipe_visible(pipe), at = pipe->locked.consumed;
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
        orb_pipe_failed(pipe, ORBIT_E_PROTOCOL, &error);
        orb_pipe_wake_target(pipe);
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
            orb_pipe_complete(pipe);
        orb_pipe_tell(pipe);
        if (!pipe->locked.complete)
            store_blocks(pipe);
        orb_pipe_wake_target(pipe);
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
    uint64_t end = orb_pipe_visible(pipe), at = pipe->locked.consumed;
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
    assert(length <= orb_pipe_visible(pipe) - pipe->locked.consumed);
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

const orbit_sink orb_pipe_sink = {sink_acquire, sink_commit, sink_take};
const orbit_body orb_pipe_body = {body_peek, body_consume, body_rewind, 0, NULL, body_checksum};
