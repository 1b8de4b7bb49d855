/* SPDX-License-Identifier: Apache-2.0
 * One range of the read window: its operation, the sink that receives its bytes, and what follows from a body
 * that was cut short, promised wrongly or never came. The sink runs on the backend's delivering thread. */
#include "engine/window_range.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

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
    orb_range_crc(range, range->locked.filled + length);
    orb_flow_moved(range->window->backend, length);
    orb_window_arrived(range->window, range, length);
    return ORBIT_OK;
}

/* ---- the operation ------------------------------------------------------------------------------- */

/* The first reply is the whole object where this range of it was asked for, and more than the range is wanted: to
 * ask for the others would bring it as often. */
static bool wants_order(struct orb_range *range, const struct orb_race_leg *leg)
{
    struct orb_window *window = range->window;
    const orbit_metadata *metadata = &leg->reply.metadata;
    if (!leg->reply.whole)
        return false;
    orb_backend_in_order(window->backend);
    window->hedger.off = true;
    uint64_t size = metadata->fields & ORBIT_HAS_SIZE ? metadata->size : ORBIT_TO_END;
    return !window->locked.opened && window->next_offset < (size < window->wanted_end ? size : window->wanted_end);
}

static orbit_status learn(struct orb_range *range, struct orb_race_leg *leg)
{
    if (wants_order(range, leg)) {
        range->in_order = true;
        return orb_fail(&range->refusal, ORBIT_E_CANCELLED, 0, "'%s' is read in order", range->window->config.path);
    }
    bool first = !range->window->locked.opened; /* written by the loop alone */
    orbit_status status =
        orb_window_learn(range->window, &leg->request, &leg->reply, range, (size_t)leg->from, &range->refusal);
    if (first && status >= 0)
        orb_window_answered(range->window, leg->call.attempt_ns);
    return status;
}

static void head(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    if (range->orphan || window->closing || range->refused < 0)
        return;
    range->refused = learn(range, leg);
    if (range->refused < 0) {
        orb_race_cancel(race);
        return;
    }
    leg->end = range->locked.length;         /* written by the loop alone while there is only one */
    orb_hedger_watch(&window->hedger, race); /* where it was the first one */
    orb_window_go_on(window);
}

static void ask(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    bool opened = window->locked.opened; /* written by the loop alone */
    if (!leg->hedge) {
        range->refused = ORBIT_OK;
        range->overflowed = false;
    }
    leg->request = (orbit_read_request){
        .path = window->config.path,
        .version_id = window->config.version_id,
        .offset = range->offset + leg->from,
        .length = range->asked - leg->from,
        .pin = opened ? &window->metadata : NULL,
        .if_match = window->config.if_match,
        .sse_customer_key = window->config.sse_customer_key,
        .want_checksum = !opened && window->config.verify,
    };
}

orbit_status orb_range_short(const struct orb_window *window, uint64_t got, uint64_t promised, orbit_error *error)
{
    orb_fail(error, ORBIT_E_NETWORK, 0, "the body of '%s' ended after %llu of %llu bytes", window->config.path,
             (unsigned long long)got, (unsigned long long)promised);
    error->flags |= ORBIT_ERROR_RETRIABLE;
    return ORBIT_E_NETWORK;
}

/* An attempt that ended well: was it what was asked for? */
static orbit_status judge(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, orbit_error *error)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    if (range->orphan || window->closing)
        return status;
    if (!leg->heard && range->refused >= 0)
        range->refused = learn(range, leg);
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
static bool again(struct orb_race *race, struct orb_race_leg *leg, const orbit_error *error)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    (void)leg;
    (void)error;
    if (range->orphan || window->closing || range->overflowed || range->refused < 0 || atomic_load(&range->skipped))
        return false;
    bool opened = window->locked.opened;
    pthread_mutex_lock(&window->mutex);
    if (!opened)
        range->locked.filled = 0;
    bool complete = opened && range->locked.filled >= range->locked.length;
    pthread_mutex_unlock(&window->mutex);
    if (!opened) {
        range->crc = range->crc_length = 0;
        orb_race_rewind(race);
    }
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

static void done(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, const orbit_error *error)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    range->running = false;
    window->running--;
    orbit_metadata_release(&leg->reply.metadata);
    if (range->orphan) {
        unlink_orphan(window, range);
        if (!orb_window_ended(window))
            orb_window_go_on(window);
        return;
    }
    window->wanted_running--;
    range->done = true;
    if (status >= 0)
        orb_window_measured(window, range->locked.filled - (size_t)leg->from, leg->call.attempt_ns);
    if (orb_window_ended(window))
        return;
    if (range->in_order && !orb_window_stopped(window)) {
        orb_sequence_take_over(window, range);
        return;
    }
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
    orb_window_go_on(window);
}

/* Whether the consumer stands in just this range, and has nothing of it left. */
static bool urgent(struct orb_race *race)
{
    struct orb_range *range = race->ctx;
    struct orb_window *window = range->window;
    pthread_mutex_lock(&window->mutex);
    bool waited_for = window->locked.current == range && window->locked.wanted;
    pthread_mutex_unlock(&window->mutex);
    return waited_for;
}

static const struct orb_race_kind race_kind = {
    .ask = ask,
    .head = head,
    .judge = judge,
    .again = again,
    .urgent = urgent,
    .done = done,
};

orbit_status orb_range_open(struct orb_range *range, struct orb_window *window, orbit_error *error)
{
    range->window = window;
    range->sink = (orbit_sink){acquire, commit, NULL};
    range->race.kind = &race_kind;
    range->race.target = &range->sink;
    range->race.backend = window->backend;
    range->race.ctx = range;
    return orb_race_open(&range->race, error);
}

void orb_range_close(struct orb_range *range)
{
    orb_race_close(&range->race);
}

void orb_range_start(struct orb_range *range, uint64_t offset, size_t length)
{
    struct orb_window *window = range->window;
    range->offset = offset;
    range->asked = length;
    range->crc = range->crc_length = 0;
    range->done = range->orphan = range->in_order = false;
    atomic_store(&range->skipped, false);
    range->running = true;
    range->refused = ORBIT_OK;
    range->race.need = window->config.parallel ? ORB_FLOW_FREE : ORB_FLOW_BULK;
    range->race.turn = &window->turn;
    range->race.tally = window->config.tally;
    range->race.eager = !window->config.no_hedge;
    window->running++;
    window->wanted_running++;
    pthread_mutex_lock(&window->mutex);
    range->locked.length = length;
    range->locked.filled = range->locked.taken = 0;
    orb_window_append_locked(window, range);
    pthread_mutex_unlock(&window->mutex);
    orb_race_arm(&range->race);
    orb_race_start(&range->race);
    if (window->locked.opened)
        orb_hedger_watch(&window->hedger, &range->race);
}
