/* SPDX-License-Identifier: Apache-2.0
 * The consumer's side of the read window: what it is lent, when it is woken, where it is. The functions of the
 * consumer run on its thread, orb_window_arrived() on the backend's delivering threads, all under the mutex. */
#include "engine/window_range.h"

#include <assert.h>

#include "base/clock.h"
#include "base/least.h"

#define WAKE_BYTES (256u << 10) /* a waiting consumer is woken for this much at once, … */
#define WAKE_NS    (2 * ORB_MS) /* … or when it was not woken for this long */
#define WAKE_MS    2u

/* ---- waking it ----------------------------------------------------------------------------------- */

static size_t available_locked(const struct orb_range *range)
{
    size_t there = range->locked.filled < range->locked.length ? range->locked.filled : range->locked.length;
    return there > range->locked.taken ? there - range->locked.taken : 0;
}

static bool news_locked(const struct orb_window *window)
{
    const struct orb_range *range = window->locked.current;
    if (window->locked.stopped < 0)
        return true;
    if (!window->locked.opened)
        return false;
    if (!range)
        return window->locked.finished || window->locked.failing;
    return available_locked(range) || range->locked.taken >= range->locked.length;
}

static bool wake_locked(struct orb_window *window)
{
    bool wake = (window->locked.wanted && news_locked(window)) ||
                (window->locked.wanted_opened && (window->locked.opened || window->locked.stopped < 0));
    if (wake) {
        window->locked.wanted = window->locked.wanted_opened = false;
        window->locked.woken_ns = orb_now_ns();
    }
    return wake;
}

void orb_window_look(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    bool wake = wake_locked(window);
    pthread_mutex_unlock(&window->mutex);
    if (wake)
        window->config.notify(window->config.ctx);
}

/* Small pieces of the chunk that the consumer waits for are gathered for a moment, or every piece of 16 KiB would
 * cost a switch of threads. The loop's timer sees to it that none is held back for longer than that. */
void orb_window_arrived(struct orb_window *window, struct orb_range *range, size_t length)
{
    bool wake = false, nudge = false;
    atomic_fetch_add_explicit(&window->arrived, length, memory_order_relaxed);
    if (window->config.count)
        atomic_fetch_add_explicit(window->config.count, length, memory_order_relaxed);
    if (window->config.tally)
        atomic_fetch_add_explicit(&window->config.tally->bytes, length, memory_order_relaxed);
    pthread_mutex_lock(&window->mutex);
    range->locked.filled += length;
    if (window->locked.wanted && window->locked.current == range && window->locked.opened) {
        if (range->locked.filled >= range->locked.length || available_locked(range) >= WAKE_BYTES ||
            orb_now_ns() - window->locked.woken_ns >= WAKE_NS)
            wake = wake_locked(window);
        else if (!window->locked.nudge_posted)
            nudge = window->locked.nudge_posted = true;
    }
    pthread_mutex_unlock(&window->mutex);
    if (nudge)
        orb_loop_post(window->host->loop, &window->nudge_message);
    if (wake)
        window->config.notify(window->config.ctx);
}

static void nudged(void *ctx)
{
    struct orb_window *window = ctx;
    window->nudge_timer = NULL;
    pthread_mutex_lock(&window->mutex);
    window->locked.nudge_posted = false;
    pthread_mutex_unlock(&window->mutex);
    orb_window_look(window);
}

void orb_window_nudged(struct orb_message *message)
{
    struct orb_window *window = (struct orb_window *)((char *)message - offsetof(struct orb_window, nudge_message));
    if (window->closing)
        return;
    window->nudge_timer = orb_timer_start(window->host->loop, WAKE_MS, nudged, window);
    if (!window->nudge_timer)
        nudged(window);
}

/* ---- what it asks -------------------------------------------------------------------------------- */

bool orb_window_stopped(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    bool stopped = window->locked.stopped < 0;
    pthread_mutex_unlock(&window->mutex);
    return stopped;
}

orbit_status orb_window_opened(struct orb_window *window, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    pthread_mutex_lock(&window->mutex);
    if (window->locked.stopped < 0) {
        status = window->locked.stopped;
        orb_error_copy(error, &window->error);
    } else if (!window->locked.opened) {
        status = ORBIT_AGAIN;
        window->locked.wanted_opened = true;
    }
    pthread_mutex_unlock(&window->mutex);
    return status;
}

void orb_window_advance_locked(struct orb_window *window)
{
    if (window->locked.advance_posted)
        return;
    window->locked.advance_posted = true;
    orb_loop_post(window->host->loop, &window->advance_message);
}

static void pass_locked(struct orb_window *window)
{
    window->locked.current = window->locked.current->next;
    orb_window_advance_locked(window);
}

/* ORBIT_OK with bytes, or what there is instead of them. */
static orbit_status peek_locked(struct orb_window *window, const void **bytes, size_t *length)
{
    for (;;) {
        struct orb_range *range = window->locked.current;
        if (window->locked.stopped < 0)
            return window->locked.stopped;
        if (!window->locked.opened)
            return ORBIT_AGAIN;
        if (!range && window->locked.failing) {
            window->locked.stopped = (orbit_status)window->error.status;
            continue;
        }
        if (!range) {
            if (!window->locked.finished)
                return ORBIT_AGAIN;
            return window->locked.end_status < 0 ? window->locked.end_status : ORBIT_END;
        }
        size_t have = available_locked(range);
        if (have && window->locked.position < window->locked.discard_to) {
            size_t drop = (size_t)orb_smaller(have, window->locked.discard_to - window->locked.position);
            range->locked.taken += drop;
            window->locked.position += drop;
            continue;
        }
        if (have) {
            *bytes = range->buffer + range->locked.taken;
            *length = have;
            return ORBIT_OK;
        }
        if (range->locked.taken < range->locked.length)
            return ORBIT_AGAIN;
        pass_locked(window);
    }
}

orbit_status orb_window_peek(struct orb_window *window, const void **bytes, size_t *length, orbit_error *error)
{
    *bytes = NULL;
    *length = 0;
    pthread_mutex_lock(&window->mutex);
    orbit_status status = peek_locked(window, bytes, length);
    if (status == ORBIT_AGAIN)
        window->locked.wanted = true;
    else if (status < 0)
        orb_error_copy(error, &window->error);
    pthread_mutex_unlock(&window->mutex);
    return status;
}

void orb_window_consume(struct orb_window *window, size_t length)
{
    if (!length)
        return;
    pthread_mutex_lock(&window->mutex);
    struct orb_range *range = window->locked.current;
    assert(range && range->locked.taken + length <= range->locked.filled);
    range->locked.taken += length;
    window->locked.position += length;
    window->locked.moved_ns = orb_now_ns();
    if (range->locked.taken >= range->locked.length)
        pass_locked(window);
    pthread_mutex_unlock(&window->mutex);
}

bool orb_window_skip(struct orb_window *window, uint64_t offset)
{
    bool done = true;
    pthread_mutex_lock(&window->mutex);
    struct orb_range *range = window->locked.current;
    uint64_t position = window->locked.position;
    uint64_t queue_end = window->locked.tail ? window->locked.tail->offset + window->locked.tail->locked.length : 0;
    if (offset == position) {
        window->locked.discard_to = 0;
    } else if (!window->locked.opened || !range || offset < range->offset) {
        done = false;
    } else if (window->sequential && offset >= position) {
        atomic_store(&window->unverified, true);
        window->locked.discard_to = offset;
    } else if (offset < range->offset + range->locked.length) {
        window->locked.discard_to = 0;
        range->locked.taken = (size_t)(offset - range->offset);
        window->locked.position = offset;
    } else if (window->sequential || offset >= queue_end) {
        done = false;
    } else {
        window->locked.discard_to = 0;
        atomic_store(&window->unverified, true);
        while (offset >= window->locked.current->offset + window->locked.current->locked.length) {
            atomic_store(&window->locked.current->skipped, true);
            pass_locked(window);
        }
        range = window->locked.current;
        range->locked.taken = (size_t)(offset - range->offset);
        window->locked.position = offset;
    }
    pthread_mutex_unlock(&window->mutex);
    return done;
}

uint64_t orb_window_position(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    uint64_t position =
        window->locked.position > window->locked.discard_to ? window->locked.position : window->locked.discard_to;
    pthread_mutex_unlock(&window->mutex);
    return position;
}

uint64_t orb_window_left(struct orb_window *window)
{
    uint64_t position = orb_window_position(window), left = ORBIT_SIZE_UNKNOWN;
    pthread_mutex_lock(&window->mutex);
    if (window->locked.opened && window->locked.end != ORBIT_SIZE_UNKNOWN)
        left = window->locked.end > position ? window->locked.end - position : 0;
    pthread_mutex_unlock(&window->mutex);
    return left;
}

const orbit_metadata *orb_window_metadata(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    bool opened = window->locked.opened;
    pthread_mutex_unlock(&window->mutex);
    return opened ? &window->metadata : NULL;
}

bool orb_window_verified(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    bool verified = window->locked.verified;
    pthread_mutex_unlock(&window->mutex);
    return verified;
}

void orb_window_progress(struct orb_window *window, uint64_t *done, uint64_t *total)
{
    *done = atomic_load_explicit(&window->arrived, memory_order_relaxed);
    pthread_mutex_lock(&window->mutex);
    *total = window->locked.opened && window->locked.end != ORBIT_SIZE_UNKNOWN
                 ? window->locked.end - orb_smaller(window->config.offset, window->locked.end)
                 : ORBIT_SIZE_UNKNOWN;
    pthread_mutex_unlock(&window->mutex);
}
