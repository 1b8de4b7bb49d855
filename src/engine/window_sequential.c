/* SPDX-License-Identifier: Apache-2.0
 * Reading from a store that delivers from the first byte only: one long read fills buffer after buffer and pauses
 * while the consumer is behind. Bytes before the wanted offset, and after a retry those that were kept already,
 * are dropped as they come. The sink runs on the backend's delivering thread. */
#include "engine/window_range.h"

#include <assert.h>

#include "base/least.h"
#include "base/mem.h"

static struct orb_window *window_of_sink(orbit_sink *sink)
{
    return (struct orb_window *)((char *)sink - offsetof(struct orb_window, sequence.source.sink));
}

static struct orb_window *window_of_call(struct orb_call *call)
{
    struct orb_source *source = call->ctx;
    return source->window;
}

/* ---- the sink ------------------------------------------------------------------------------------ */

/* The buffer being filled, or the next one; NULL: none, or nobody wants more. */
static struct orb_range *filling_locked(struct orb_window *window)
{
    struct orb_range *range = window->sequence.filling;
    if (window->sequence.abandoned || window->locked.stopped < 0)
        return NULL;
    if (range && range->locked.filled < range->room)
        return range;
    range = window->sequence.spare;
    if (!range)
        return NULL;
    window->sequence.spare = range->next;
    range->offset = window->sequence.received;
    range->asked = range->room;
    range->crc = range->crc_length = 0;
    range->done = false;
    range->locked.length = range->room;
    range->locked.filled = range->locked.taken = 0;
    atomic_store(&range->skipped, false);
    window->sequence.filling = range;
    orb_window_append_locked(window, range);
    return range;
}

static void *acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct orb_window *window = window_of_sink(sink);
    void *lent = NULL;
    (void)want;
    *room = 0;
    pthread_mutex_lock(&window->mutex);
    struct orb_range *range = filling_locked(window);
    if (range) {
        *room = range->room - range->locked.filled;
        lent = range->buffer + range->locked.filled;
    } else {
        window->sequence.paused = true;
        orb_window_advance_locked(window);
    }
    pthread_mutex_unlock(&window->mutex);
    return lent;
}

static orbit_status commit(orbit_sink *sink, size_t length)
{
    struct orb_window *window = window_of_sink(sink);
    struct orb_source *source = &window->sequence.source;
    if (!length)
        return ORBIT_OK;
    pthread_mutex_lock(&window->mutex);
    struct orb_range *range = window->sequence.filling;
    bool gone = window->sequence.abandoned || window->locked.stopped < 0;
    uint64_t end = window->locked.end;
    pthread_mutex_unlock(&window->mutex);
    if (gone || orbit_op_cancelled(&source->call.op.op))
        return ORBIT_E_CANCELLED;

    uint8_t *bytes = range->buffer + range->locked.filled;
    size_t drop = length;
    if (drop > window->sequence.skip)
        drop = (size_t)window->sequence.skip;
    if (drop) {
        window->sequence.skip -= drop;
        length -= drop;
        memmove(bytes, bytes + drop, length);
        orb_call_alive(&source->call);
    }
    if (!length)
        return ORBIT_OK;
    if (end != ORBIT_SIZE_UNKNOWN &&
        length > end - (window->sequence.received < end ? window->sequence.received : end)) {
        source->overflowed = true;
        return ORBIT_E_PROTOCOL;
    }
    orb_range_crc(range, range->locked.filled + length);
    window->sequence.received += length;
    orb_call_progressed(&source->call, length);
    orb_window_arrived(window, range, length);
    return ORBIT_OK;
}

/* ---- the operation ------------------------------------------------------------------------------- */

static orbit_status learn(struct orb_window *window, struct orb_source *source)
{
    orbit_status status = orb_window_learn(window, &source->request, &source->reply, NULL, 0, &source->refusal);
    source->head_seen = status >= 0;
    return status;
}

static void head(struct orb_op *op)
{
    struct orb_window *window = window_of_call((struct orb_call *)((char *)op - offsetof(struct orb_call, op)));
    struct orb_source *source = &window->sequence.source;
    orb_call_asks(&source->call, orb_smaller(source->request.length, source->reply.length));
    if (window->closing || window->sequence.abandoned || source->head_seen)
        return;
    source->refused = learn(window, source);
    if (source->refused < 0)
        orb_op_cancel(op);
    else
        orb_window_go_on(window);
}

static void attempt(struct orb_call *call)
{
    struct orb_window *window = window_of_call(call);
    struct orb_source *source = &window->sequence.source;
    bool opened = window->locked.opened; /* written by the loop alone */
    orbit_metadata_release(&source->reply.metadata);
    memset(&source->reply, 0, sizeof source->reply);
    source->head_seen = false;
    source->refused = ORBIT_OK;
    source->overflowed = false;
    window->sequence.skip = window->sequence.received;
    source->request = (orbit_read_request){
        .path = window->config.path,
        .version_id = window->config.version_id,
        .offset = 0,
        .length = window->wanted_end,
        .pin = opened ? &window->metadata : NULL,
        .if_match = window->config.if_match,
        .sse_customer_key = window->config.sse_customer_key,
        .want_checksum = !opened && window->config.verify,
    };
    orb_call_asks(call, source->request.length);
    call->op.on_head = head;
    orb_call_names(call, ORBIT_REQUEST_READ, window->config.path);
    window->backend->ops->read(window->backend->self, &call->op.op, &source->request, &source->sink, &source->reply);
}

static orbit_status judge(struct orb_call *call, orbit_status status, orbit_error *error)
{
    struct orb_window *window = window_of_call(call);
    struct orb_source *source = &window->sequence.source;
    if (window->closing || window->sequence.abandoned)
        return status;
    if (!source->head_seen && source->refused >= 0)
        source->refused = learn(window, source);
    if (source->refused < 0) {
        *error = source->refusal;
        return source->refused;
    }
    uint64_t received = window->sequence.received;
    if (window->open_ended)
        return status;
    uint64_t end = window->locked.end;
    if (received > end && received > window->config.offset)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store delivered more of '%s' than the %llu bytes it promised",
                        window->config.path, (unsigned long long)end);
    /* Bytes that were to be dropped and did not come are missing, too. */
    if (received < end || (window->sequence.skip && received <= end))
        return orb_range_short(window, received - window->sequence.skip, end, error);
    return status;
}

/* All of the queue is spare again: nothing of it may be with the consumer. */
static void drop_queue(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    struct orb_range *range = window->locked.head;
    window->locked.head = window->locked.tail = window->locked.current = NULL;
    window->sequence.filling = NULL;
    while (range) {
        struct orb_range *next = range->next;
        range->next = window->sequence.spare;
        window->sequence.spare = range;
        range = next;
    }
    pthread_mutex_unlock(&window->mutex);
}

static bool again(struct orb_call *call, const orbit_error *error)
{
    struct orb_window *window = window_of_call(call);
    struct orb_source *source = &window->sequence.source;
    (void)error;
    if (window->closing || window->sequence.abandoned || source->overflowed || source->refused < 0)
        return false;
    if (!window->locked.opened) { /* nothing was handed out, and there is no version to pin to */
        drop_queue(window);
        window->sequence.received = window->next_offset;
    }
    pthread_mutex_lock(&window->mutex);
    window->sequence.paused = false;
    pthread_mutex_unlock(&window->mutex);
    return true;
}

static void done(struct orb_call *call, orbit_status status, const orbit_error *error);

static void begin(struct orb_window *window)
{
    struct orb_source *source = &window->sequence.source;
    pthread_mutex_lock(&window->mutex);
    window->sequence.paused = window->sequence.abandoned = false;
    pthread_mutex_unlock(&window->mutex);
    if (window->locked.opened && window->next_offset >= window->locked.end) {
        orb_window_finish(window);
        orb_window_look(window);
        return;
    }
    window->sequence.received = window->next_offset;
    source->sink.acquire = acquire;
    source->sink.commit = commit;
    source->call.again = again;
    source->call.judge = judge;
    source->call.need = ORB_FLOW_FREE; /* it pauses while its consumer is behind */
    source->call.tally = window->config.tally;
    source->running = true;
    window->running++;
    orb_call_start(&source->call, window->backend, attempt, done, source);
}

static void seal_queue(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    if (window->sequence.filling)
        window->sequence.filling->locked.length = window->sequence.filling->locked.filled;
    for (struct orb_range *range = window->locked.head; range; range = range->next)
        range->done = true;
    if (window->open_ended)
        window->locked.end = window->sequence.received;
    pthread_mutex_unlock(&window->mutex);
}

static void done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_window *window = window_of_call(call);
    struct orb_source *source = &window->sequence.source;
    source->running = false;
    window->running--;
    orbit_metadata_release(&source->reply.metadata);
    if (orb_window_ended(window) || orb_window_stopped(window))
        return;
    if (window->sequence.abandoned) { /* written by the loop alone */
        drop_queue(window);
        begin(window);
        return;
    }
    seal_queue(window);
    if (status >= 0) {
        orb_window_finish(window);
    } else {
        orbit_error own;
        if (source->overflowed) {
            orb_fail(&own, ORBIT_E_PROTOCOL, 0, "the store delivered more of '%s' than it promised",
                     window->config.path);
            error = &own;
        } else if (source->refused < 0) {
            error = &source->refusal;
        }
        orb_window_fail(window, NULL, (orbit_status)error->status, error);
    }
    orb_window_go_on(window);
}

/* ---- for the window ------------------------------------------------------------------------------ */

void orb_sequence_start(struct orb_window *window, struct orb_range *first)
{
    pthread_mutex_lock(&window->mutex);
    first->next = window->sequence.spare;
    window->sequence.spare = first;
    pthread_mutex_unlock(&window->mutex);
    window->sequence.slots = 1;
    begin(window);
}

/* The only range there is has shown that the store has no others, before any of its bytes was seen. */
void orb_sequence_take_over(struct orb_window *window, struct orb_range *range)
{
    pthread_mutex_lock(&window->mutex);
    window->locked.head = window->locked.tail = window->locked.current = NULL;
    window->sequential = true;
    pthread_mutex_unlock(&window->mutex);
    orb_admission_let_go(&window->lender);
    window->near.few = 0;
    orb_window_choose_sizes(window);
    window->next_offset = range->offset;
    orb_sequence_start(window, range);
}

/* Buffers the consumer has passed are spare again. */
static void retire(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    for (struct orb_range *range = window->locked.head; range && range != window->locked.current; range = range->next)
        range->done = true;
    pthread_mutex_unlock(&window->mutex);
    orb_window_fold(window);
    pthread_mutex_lock(&window->mutex);
    while (window->locked.head && window->locked.head != window->locked.current && window->locked.head->done) {
        struct orb_range *range = window->locked.head;
        window->locked.head = range->next;
        if (!range->next)
            window->locked.tail = NULL;
        if (window->sequence.filling == range)
            window->sequence.filling = NULL;
        range->next = window->sequence.spare;
        window->sequence.spare = range;
    }
    pthread_mutex_unlock(&window->mutex);
}

void orb_sequence_go_on(struct orb_window *window)
{
    struct orb_source *source = &window->sequence.source;
    retire(window);
    pthread_mutex_lock(&window->mutex);
    bool hungry = window->sequence.paused && !window->sequence.spare && !window->sequence.abandoned;
    pthread_mutex_unlock(&window->mutex);
    if (hungry) {
        struct orb_range *more = orb_window_buffer(window, window->chunk_bytes, false);
        if (more) {
            window->sequence.slots++;
            pthread_mutex_lock(&window->mutex);
            more->next = window->sequence.spare;
            window->sequence.spare = more;
            pthread_mutex_unlock(&window->mutex);
        }
    }
    pthread_mutex_lock(&window->mutex);
    bool resume = window->sequence.paused && window->sequence.spare && !window->sequence.abandoned && source->running;
    if (resume)
        window->sequence.paused = false;
    pthread_mutex_unlock(&window->mutex);
    if (resume && source->call.op.op.resume)
        source->call.op.op.resume(&source->call.op.op);
}

void orb_sequence_restart(struct orb_window *window)
{
    struct orb_source *source = &window->sequence.source;
    if (source->running) {
        orb_call_cancel(&source->call);
        return;
    }
    if (!window->sequence.slots)
        return; /* still waits for memory */
    drop_queue(window);
    begin(window);
}

void orb_sequence_release(struct orb_window *window)
{
    while (window->sequence.spare) {
        struct orb_range *range = window->sequence.spare;
        window->sequence.spare = range->next;
        orb_window_idle(window, range);
    }
}
