/* SPDX-License-Identifier: Apache-2.0
 * The blocks between a read and a write. Positions are bytes of the range: byte p lives in block p / block, which
 * stands in slot (p / block) % BLOCKS, so what is free, full or still rewindable is arithmetic. One mutex, held for
 * a few instructions. Here is the loop's side; what source and target see is in pipe_windows.c. */
#include <assert.h>
#include <inttypes.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/pipe_parts.h"

static struct orb_pipe *pipe_of_message(struct orb_message *message)
{
    return (struct orb_pipe *)((char *)message - offsetof(struct orb_pipe, message));
}

/* ---- under the mutex ------------------------------------------------------------------------------- */

static bool wants_ready(const struct orb_pipe *pipe)
{
    return !pipe->locked.told && pipe->locked.status >= 0 && pipe->locked.length != ORBIT_SIZE_UNKNOWN &&
           (pipe->locked.complete || orb_pipe_visible(pipe) > 0);
}

static bool is_stuck(const struct orb_pipe *pipe)
{
    return pipe->locked.status >= 0 && pipe->locked.length == ORBIT_SIZE_UNKNOWN && orb_pipe_full(pipe);
}

void orb_pipe_tell(struct orb_pipe *pipe)
{
    if (pipe->locked.message_out || (!wants_ready(pipe) && !is_stuck(pipe)))
        return;
    pipe->locked.message_out = true;
    orb_loop_post(pipe->host->loop, &pipe->message);
}

void orb_pipe_failed(struct orb_pipe *pipe, orbit_status status, const orbit_error *error)
{
    if (pipe->locked.status < 0)
        return;
    pipe->locked.status = status;
    pipe->locked.error = *error;
}

void orb_pipe_complete(struct orb_pipe *pipe)
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
    orb_pipe_failed(pipe, ORBIT_E_CHECKSUM, &error);
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
    pipe->sink = orb_pipe_sink;
    pipe->body = orb_pipe_body;
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
        orb_pipe_complete(pipe);
    orb_pipe_tell(pipe);
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
            orb_pipe_complete(pipe);
        if (pipe->locked.status < 0) {
            status = pipe->locked.status;
            orb_error_copy(error, &pipe->locked.error);
        }
        orb_pipe_tell(pipe);
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
        orb_pipe_failed(pipe, ORBIT_E_MEMORY, &error);
    }
    pthread_mutex_unlock(&pipe->mutex);
}

void orb_pipe_let_go(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->locked.hold = false;
    if (pipe->locked.received == pipe->locked.length)
        orb_pipe_complete(pipe);
    orb_pipe_tell(pipe);
    orb_pipe_wake_target(pipe);
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
    orb_pipe_failed(pipe, (orbit_status)error->status, error);
    orb_pipe_wake_target(pipe);
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

bool orb_pipe_rewind(struct orb_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool here = pipe->locked.lent <= ORB_PIPE_BLOCKS && !pipe->locked.deaf && pipe->locked.status >= 0;
    if (here)
        pipe->locked.consumed = 0;
    pthread_mutex_unlock(&pipe->mutex);
    return here;
}
