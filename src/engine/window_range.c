/* SPDX-License-Identifier: Apache-2.0
 * One range of the read window: its operation, the sink that receives its bytes, and what follows from a body
 * that was cut short, promised wrongly or never came. The sink runs on the backend's delivering thread. */
#include "engine/window_range.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

static struct orb_range *range_of_call(struct orb_call *call)
{
    return call->ctx;
}

static struct orb_range *range_of_sink(orbit_sink *sink)
{
    return (struct orb_range *)((char *)sink - offsetof(struct orb_range, sink));
}

/* ---- the sink ------------------------------------------------------------------------------------ */

/* A full buffer still lends a little: a store that delivers too much must be noticed, not waited for. */
static void *acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct orb_range *range = range_of_sink(sink);
    (void)want;
    size_t filled = range->locked.filled; /* written by this thread alone */
    range->lent_beyond = filled >= range->asked;
    if (range->lent_beyond) {
        *room = sizeof range->beyond;
        return range->beyond;
    }
    *room = range->asked - filled;
    return range->buffer + filled;
}

void orb_range_crc(struct orb_range *range, size_t filled)
{
    int algorithm = atomic_load_explicit(&range->window->algorithm, memory_order_acquire);
    if (algorithm <= ORBIT_CHECKSUM_NONE || filled <= range->crc_length)
        return;
    const uint8_t *bytes = range->buffer + range->crc_length;
    size_t length = filled - range->crc_length;
    range->crc = algorithm == ORBIT_CHECKSUM_CRC64NVME ? orb_crc64nvme(range->crc, bytes, length)
                                                       : orb_crc32c((uint32_t)range->crc, bytes, length);
    range->crc_length = filled;
}

static orbit_status commit(orbit_sink *sink, size_t length)
{
    struct orb_range *range = range_of_sink(sink);
    if (!length)
        return ORBIT_OK;
    if (range->lent_beyond) {
        range->overflowed = true;
        return ORBIT_E_PROTOCOL;
    }
    assert(range->locked.filled + length <= range->asked);
    if (orbit_op_cancelled(&range->call.op.op))
        return ORBIT_E_CANCELLED;
    orb_range_crc(range, range->locked.filled + length);
    orb_call_progressed(&range->call);
    orb_window_arrived(range->window, range, length);
    return ORBIT_OK;
}

/* ---- the operation ------------------------------------------------------------------------------- */

void orb_range_fresh_reply(struct orb_range *range)
{
    orbit_metadata_release(&range->reply.metadata);
    memset(&range->reply, 0, sizeof range->reply);
    range->head_seen = false;
    range->refused = ORBIT_OK;
}

static void head(struct orb_op *op)
{
    struct orb_range *range = range_of_call((struct orb_call *)((char *)op - offsetof(struct orb_call, op)));
    struct orb_window *window = range->window;
    if (range->orphan || window->closing || range->head_seen)
        return;
    range->refused = orb_window_learn(window, range, &range->refusal);
    if (range->refused < 0)
        orb_op_cancel(op);
    else
        orb_window_go_on(window);
}

static void attempt(struct orb_call *call)
{
    struct orb_range *range = range_of_call(call);
    struct orb_window *window = range->window;
    bool opened = window->locked.opened; /* written by the loop alone */
    orb_range_fresh_reply(range);
    range->overflowed = false;
    range->attempt_from = range->locked.filled;
    range->request = (orbit_read_request){
        .path = window->config.path,
        .version_id = window->config.version_id,
        .offset = range->offset + range->locked.filled,
        .length = range->asked - range->locked.filled,
        .pin = opened ? &window->metadata : NULL,
        .if_match = window->config.if_match,
        .sse_customer_key = window->config.sse_customer_key,
        .want_checksum = !opened && window->config.verify,
    };
    call->op.on_head = head;
    window->backend->ops->read(window->backend->self, &call->op.op, &range->request, &range->sink, &range->reply);
}

orbit_status orb_range_short(const struct orb_window *window, uint64_t got, uint64_t promised, orbit_error *error)
{
    orb_fail(error, ORBIT_E_NETWORK, 0, "the body of '%s' ended after %llu of %llu bytes", window->config.path,
             (unsigned long long)got, (unsigned long long)promised);
    error->flags |= ORBIT_ERROR_RETRIABLE;
    return ORBIT_E_NETWORK;
}

/* An attempt that ended well: was it what was asked for? */
static orbit_status judge(struct orb_call *call, orbit_status status, orbit_error *error)
{
    struct orb_range *range = range_of_call(call);
    struct orb_window *window = range->window;
    if (range->orphan || window->closing)
        return status;
    if (!range->head_seen && range->refused >= 0)
        range->refused = orb_window_learn(window, range, &range->refusal);
    if (range->refused < 0) {
        *error = range->refusal;
        return range->refused;
    }
    pthread_mutex_lock(&window->mutex);
    size_t filled = range->locked.filled;
    if (window->open_ended && filled < range->locked.length) {
        range->locked.length = filled;
        window->locked.end = range->offset + filled;
    }
    size_t length = range->locked.length;
    pthread_mutex_unlock(&window->mutex);
    if (filled > length)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store delivered %zu bytes of '%s' where it promised %zu",
                        filled, window->config.path, length);
    return filled < length ? orb_range_short(window, filled, length, error) : status;
}

/* Before another attempt: go on at the byte where the last one stopped. Without any reply there is nothing to pin
 * to, and nothing was handed out yet either: begin anew. */
static bool again(struct orb_call *call, const orbit_error *error)
{
    struct orb_range *range = range_of_call(call);
    struct orb_window *window = range->window;
    (void)error;
    if (range->orphan || window->closing || range->overflowed || range->refused < 0 || atomic_load(&range->skipped))
        return false;
    bool opened = window->locked.opened;
    pthread_mutex_lock(&window->mutex);
    if (!opened)
        range->locked.filled = 0;
    bool complete = opened && range->locked.filled >= range->locked.length;
    pthread_mutex_unlock(&window->mutex);
    if (!opened)
        range->crc = range->crc_length = 0;
    return !complete;
}

static void unlink_orphan(struct orb_window *window, struct orb_range *range)
{
    struct orb_range **link = &window->orphans;
    while (*link != range)
        link = &(*link)->next;
    *link = range->next;
    range->next = NULL;
    range->orphan = false;
    orb_window_idle(window, range);
}

/* Whether a failed range is good all the same: everything came, or nobody wants it. */
static bool good_enough(struct orb_range *range, const orbit_error *error)
{
    struct orb_window *window = range->window;
    if (atomic_load(&range->skipped))
        return true;
    if (range->refused < 0 || range->overflowed || !window->locked.opened)
        return false;
    return range->locked.filled == range->locked.length && (error->flags & ORBIT_ERROR_RETRIABLE);
}

static void done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_range *range = range_of_call(call);
    struct orb_window *window = range->window;
    range->running = false;
    window->running--;
    if (range->orphan) {
        orbit_metadata_release(&range->reply.metadata);
        unlink_orphan(window, range);
        if (!orb_window_ended(window))
            orb_window_go_on(window);
        return;
    }
    window->wanted_running--;
    range->done = true;
    if (orb_window_ended(window))
        return;
    if (status < 0 && !good_enough(range, error)) {
        orbit_error own;
        if (range->overflowed) {
            orb_fail(&own, ORBIT_E_PROTOCOL, 0, "the store delivered more than the %zu bytes of '%s' it was asked for",
                     range->asked, window->config.path);
            error = &own;
        } else if (range->refused < 0) {
            error = &range->refusal;
        }
        orb_window_fail(window, range, (orbit_status)error->status, error);
    }
    orbit_metadata_release(&range->reply.metadata);
    orb_window_go_on(window);
}

void orb_range_start(struct orb_range *range, uint64_t offset, size_t length)
{
    struct orb_window *window = range->window;
    range->offset = offset;
    range->asked = length;
    range->crc = range->crc_length = 0;
    range->done = range->orphan = false;
    atomic_store(&range->skipped, false);
    range->sink.acquire = acquire;
    range->sink.commit = commit;
    range->running = true;
    range->call.again = again;
    range->call.judge = judge;
    window->running++;
    window->wanted_running++;
    pthread_mutex_lock(&window->mutex);
    range->locked.length = length;
    range->locked.filled = range->locked.taken = 0;
    orb_window_append_locked(window, range);
    pthread_mutex_unlock(&window->mutex);
    orb_call_start(&range->call, window->backend, attempt, done, range);
}
