/* SPDX-License-Identifier: Apache-2.0
 * The read window's queue and memory, what the first reply says, the stream's checksum. What one operation does is
 * in window_range.c and window_sequential.c, the consumer's side in window_take.c. Loop thread.
 *
 * Why the window always holds one buffer: an open stream never waits for another's memory. It reserves one when
 * it opens; further ones are taken only while an eighth of the budget stays free for streams that open later. */
#include "engine/window_range.h"

#include <assert.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/least.h"
#include "base/mem.h"

#define CHUNK_SMALLEST (64ull << 10) /* under pressure */
#define ROOM_UNIT      ORB_WINDOW_ROOM_UNIT

/* ---- memory -------------------------------------------------------------------------------------- */

static bool may_grow(const struct orb_window *window, uint64_t bytes)
{
    const struct orb_budget *budget = &window->host->budget;
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    return !orb_admission_pressed(window->host) && used + bytes <= budget->limit - budget->limit / 8;
}

static struct orb_range *range_new(struct orb_window *window, size_t room)
{
    struct orb_range *range = orb_calloc(1, sizeof *range);
    if (!range)
        return NULL;
    range->buffer = orb_buffer_new(room);
    if (!range->buffer) {
        orb_free(range);
        return NULL;
    }
    range->room = room;
    orbit_error error;
    if (orb_range_open(range, window, &error) < 0) {
        orb_buffer_free(range->buffer, room);
        orb_free(range);
        return NULL;
    }
    return range;
}

static void range_free(struct orb_window *window, struct orb_range *range)
{
    orb_range_close(range);
    orb_buffer_free(range->buffer, range->room);
    window->charged -= range->room;
    orb_budget_give(&window->host->budget, range->room);
    orb_free(range);
}

/* A new range whose room the budget grants, or NULL. */
static struct orb_range *range_charged(struct orb_window *window, uint64_t bytes)
{
    size_t room = ((size_t)bytes + ROOM_UNIT - 1) / ROOM_UNIT * ROOM_UNIT;
    if (!may_grow(window, room) || !orb_budget_take(&window->host->budget, room))
        return NULL;
    struct orb_range *range = range_new(window, room);
    if (!range) {
        orb_budget_give(&window->host->budget, room);
        return NULL;
    }
    window->charged += room;
    return range;
}

struct orb_range *orb_window_buffer(struct orb_window *window, uint64_t bytes, bool first)
{
    struct orb_range *idle = window->idle;
    if (idle) {
        window->idle = idle->next;
        idle->next = NULL;
        if (idle->room < bytes && window->charged - idle->room + bytes <= window->memory_bytes) {
            struct orb_range *larger = range_charged(window, bytes);
            if (larger) {
                range_free(window, idle);
                return larger;
            }
        }
        return idle;
    }
    if (!first && window->charged + bytes > window->memory_bytes)
        return NULL;
    struct orb_range *range = range_charged(window, bytes);
    while (!range && first && bytes > CHUNK_SMALLEST) {
        bytes = bytes / 2 > CHUNK_SMALLEST ? bytes / 2 : CHUNK_SMALLEST;
        range = range_charged(window, bytes);
    }
    return range;
}

void orb_window_idle(struct orb_window *window, struct orb_range *range)
{
    range->next = window->idle;
    window->idle = range;
}

/* Buffers that will not be needed again go back, but for the last one. */
void orb_window_give_back(struct orb_window *window)
{
    bool nothing_left = window->next_offset >= window->locked.end;
    while (window->idle && window->charged > window->idle->room &&
           (nothing_left || orb_admission_pressed(window->host))) {
        struct orb_range *range = window->idle;
        window->idle = range->next;
        range_free(window, range);
    }
}

/* ---- the queue ----------------------------------------------------------------------------------- */

void orb_window_append_locked(struct orb_window *window, struct orb_range *range)
{
    range->next = NULL;
    if (window->locked.tail)
        window->locked.tail->next = range;
    else
        window->locked.head = range;
    window->locked.tail = range;
    if (!window->locked.current)
        window->locked.current = range;
}

/* Takes `range` and what follows out of the queue: in flight it becomes an orphan, else idle. */
static void detach(struct orb_window *window, struct orb_range *range)
{
    while (range) {
        struct orb_range *next = range->next;
        range->next = NULL;
        if (range->running) {
            window->wanted_running--;
            range->orphan = true;
            range->next = window->orphans;
            window->orphans = range;
            orb_race_cancel(&range->race);
        } else {
            orb_window_idle(window, range);
        }
        range = next;
    }
}

/* Where the queue ends after `range` failed: there, or, if the consumer has passed it already, where that is. */
static struct orb_range *last_locked(const struct orb_window *window, struct orb_range *range)
{
    for (struct orb_range *behind = range->next; behind; behind = behind->next)
        if (behind == window->locked.current)
            return behind;
    return range;
}

void orb_window_fail(struct orb_window *window, struct orb_range *range, orbit_status status, const orbit_error *error)
{
    if (window->failed && status == ORBIT_E_CANCELLED) /* by the failure that is told already */
        return;
    struct orb_range *last = NULL;
    pthread_mutex_lock(&window->mutex);
    bool opened = window->locked.opened;
    struct orb_range *behind = NULL;
    if (opened) {
        window->error = *error;
        window->error.status = status;
        window->locked.failing = true;
        if (range) {
            last = last_locked(window, range);
            last->locked.length = last->locked.filled;
            behind = last->next;
            last->next = NULL;
            window->locked.tail = last;
        }
    }
    pthread_mutex_unlock(&window->mutex);
    window->failed = true;
    if (last && last != range && last->running)
        orb_race_cancel(&last->race);
    detach(window, behind);
    if (!opened)
        orb_window_stop(window, status, error);
}

/* Ranges that the consumer has passed are idle again; those in flight that it jumped over are cancelled. */
static void retire(struct orb_window *window)
{
    pthread_mutex_lock(&window->mutex);
    struct orb_range *current = window->locked.current, *passed = window->locked.head, *last = NULL;
    for (struct orb_range *range = passed; range && range != current && range->done; range = range->next)
        last = range;
    if (last) {
        window->locked.head = last->next;
        if (!last->next)
            window->locked.tail = NULL;
        last->next = NULL;
    }
    struct orb_range *left = window->locked.head;
    pthread_mutex_unlock(&window->mutex);

    if (last)
        detach(window, passed);
    for (; left && left != current; left = left->next)
        if (left->running && atomic_load(&left->skipped))
            orb_race_cancel(&left->race);
}

/* ---- what a reply says --------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return !a || !b || !strcmp(a, b);
}

static orbit_status check_pinned(const struct orb_window *window, const orbit_metadata *now, orbit_error *error)
{
    const orbit_metadata *pin = &window->metadata;
    if (((now->fields & pin->fields & ORBIT_HAS_SIZE) && now->size != pin->size) || !same_text(now->etag, pin->etag) ||
        !same_text(now->version_id, pin->version_id))
        return orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' changed while it was being read", window->config.path);
    return ORBIT_OK;
}

static int algorithm_of(const struct orb_window *window)
{
    const orbit_checksum *checksum = &window->metadata.checksum;
    bool whole = window->config.offset == 0 && (window->metadata.fields & ORBIT_HAS_SIZE) &&
                 window->wanted_end >= window->metadata.size;
    if (!window->config.verify || !whole || checksum->composite)
        return ORBIT_CHECKSUM_NONE;
    if (checksum->algorithm == ORBIT_CHECKSUM_CRC64NVME || checksum->algorithm == ORBIT_CHECKSUM_CRC32C)
        return checksum->algorithm;
    return ORBIT_CHECKSUM_NONE;
}

static orbit_status learn_first(struct orb_window *window, const orbit_metadata *metadata, orbit_error *error)
{
    if (orbit_metadata_copy(&window->metadata, metadata) < 0)
        return orb_fail_memory(error);
    orb_window_take_look(window);
    uint64_t end = window->wanted_end;
    window->open_ended = !(metadata->fields & ORBIT_HAS_SIZE);
    if (!window->open_ended)
        end = orb_smaller(end, metadata->size);
    window->hedger.total = end == ORBIT_TO_END ? 0 : end - orb_smaller(end, window->config.offset);
    atomic_store(&window->algorithm, algorithm_of(window));
    pthread_mutex_lock(&window->mutex);
    window->locked.end = end;
    pthread_mutex_unlock(&window->mutex);
    return ORBIT_OK;
}

orbit_status orb_window_learn(struct orb_window *window, const orbit_read_request *request,
                              const orbit_read_reply *reply, struct orb_range *range, size_t before, orbit_error *error)
{
    bool opened = window->locked.opened; /* written by the loop alone */
    const orbit_metadata *metadata = &reply->metadata;
    orbit_status status = opened ? check_pinned(window, metadata, error) : learn_first(window, metadata, error);
    if (status < 0)
        return status;

    uint64_t from = request->offset, asked = request->length;
    uint64_t promised = reply->length;
    if (window->open_ended) {
        promised = orb_smaller(promised, asked);
    } else {
        uint64_t end = orb_smaller(window->metadata.size, asked == ORBIT_TO_END ? ORBIT_TO_END : from + asked);
        uint64_t expected = end > from ? end - from : 0;
        if (promised != expected)
            return orb_fail(error, ORBIT_E_PROTOCOL, 0,
                            "the store promises %llu bytes of '%s' from offset %llu where %llu were expected",
                            (unsigned long long)promised, window->config.path, (unsigned long long)from,
                            (unsigned long long)expected);
    }
    pthread_mutex_lock(&window->mutex);
    if (!opened && range)
        range->locked.length = before + (size_t)promised;
    window->locked.opened = true;
    pthread_mutex_unlock(&window->mutex);
    return ORBIT_OK;
}

/* ---- the stream's checksum ----------------------------------------------------------------------- */

static bool comparing(const struct orb_window *window)
{
    return atomic_load(&window->algorithm) > ORBIT_CHECKSUM_NONE && !atomic_load(&window->unverified);
}

void orb_window_fold(struct orb_window *window)
{
    if (!comparing(window))
        return;
    pthread_mutex_lock(&window->mutex);
    for (struct orb_range *range = window->locked.head; range && range->done; range = range->next) {
        if (range->offset < window->verify_offset)
            continue;
        if (range->offset > window->verify_offset)
            break;
        size_t length = range->locked.filled;
        orb_range_crc(range, length);
        range->crc_before = window->crc;
        window->crc = atomic_load(&window->algorithm) == ORBIT_CHECKSUM_CRC64NVME
                          ? orb_crc64nvme_combine(window->crc, range->crc, length)
                          : orb_crc32c_combine((uint32_t)window->crc, (uint32_t)range->crc, length);
        window->verify_offset += length;
    }
    pthread_mutex_unlock(&window->mutex);
}

void orb_window_finish(struct orb_window *window)
{
    orb_window_fold(window);
    pthread_mutex_lock(&window->mutex);
    if (!window->locked.finished && comparing(window) && window->verify_offset == window->metadata.size) {
        window->locked.verified = window->crc == orb_checksum_value(&window->metadata.checksum);
        if (!window->locked.verified)
            window->locked.end_status =
                orb_fail(&window->error, ORBIT_E_CHECKSUM, 0,
                         "the bytes of '%s' do not match the checksum that the store keeps", window->config.path);
    }
    window->locked.finished = true;
    pthread_mutex_unlock(&window->mutex);
}

/* ---- going on ------------------------------------------------------------------------------------ */

static void start_next(struct orb_window *window, struct orb_range *range)
{
    uint64_t left = orb_smaller(window->locked.end, window->wanted_end) - window->next_offset;
    size_t length = (size_t)orb_smaller(orb_smaller(window->chunk_bytes, range->room), left);
    uint64_t offset = window->next_offset;
    window->next_offset += length;
    orb_range_start(range, offset, length);
}

static void fill(struct orb_window *window)
{
    while (window->next_offset < window->locked.end && !window->gave_up &&
           window->wanted_running < orb_window_limit(window)) {
        uint64_t left = window->locked.end - window->next_offset;
        struct orb_range *range = orb_window_buffer(window, orb_smaller(window->chunk_bytes, left), false);
        if (!range)
            break;
        start_next(window, range);
    }
    if (window->next_offset >= window->locked.end && !window->wanted_running)
        orb_window_finish(window);
}

/* ---- the first range ----------------------------------------------------------------------------- */

static void start_first(struct orb_window *window, struct orb_range *range)
{
    if (window->sequential)
        orb_sequence_start(window, range);
    else
        start_next(window, range);
}

static void out_of_memory(struct orb_window *window)
{
    orbit_error error;
    orb_window_stop(window, orb_fail_memory(&error), &error);
}

static void admitted(void *ctx)
{
    struct orb_window *window = ctx;
    size_t room = (size_t)window->admission.bytes;
    struct orb_range *range = range_new(window, room);
    if (!range) {
        orb_budget_give(&window->host->budget, room);
        out_of_memory(window);
        return;
    }
    window->charged += room;
    start_first(window, range);
}

void orb_window_first_range(struct orb_window *window)
{
    uint64_t left = window->wanted_end - window->next_offset;
    uint64_t want = orb_smaller(window->chunk_bytes, left ? left : 1);
    struct orb_range *range = orb_window_buffer(window, want, true);
    if (range) {
        start_first(window, range);
        return;
    }
    uint64_t least = (orb_smaller(want, CHUNK_SMALLEST) + ROOM_UNIT - 1) / ROOM_UNIT * ROOM_UNIT;
    if (orb_admission_ask(&window->admission, window->host, least, admitted, window))
        admitted(window);
}

void orb_window_go_on(struct orb_window *window)
{
    if (window->closing || orb_window_stopped(window))
        return;
    orb_window_fold(window);
    if (window->look.running) {
        /* nothing is asked for yet */
    } else if (window->sequential) {
        orb_sequence_go_on(window);
    } else {
        retire(window);
        if (window->locked.opened && !window->failed)
            fill(window);
        else if (!window->failed && !window->wanted_running && !window->admission.waiting)
            orb_window_first_range(window);
        orb_window_give_back(window);
    }
    orb_window_look(window);
}

static void advance_delivered(struct orb_message *message)
{
    struct orb_window *window = (struct orb_window *)((char *)message - offsetof(struct orb_window, advance_message));
    pthread_mutex_lock(&window->mutex);
    window->locked.advance_posted = false;
    pthread_mutex_unlock(&window->mutex);
    window->gave_up = false; /* it moves */
    orb_window_go_on(window);
}

/* ---- seeking, ending ------------------------------------------------------------------------------ */

void orb_window_open(struct orb_window *window)
{
    if (window->closing || orb_window_stopped(window))
        return;
    pthread_mutex_lock(&window->mutex);
    window->sequential = !window->backend->caps.ranged_read; /* what is learned of a store changes it */
    pthread_mutex_unlock(&window->mutex);
    orb_hedger_init(&window->hedger, window->backend, window->config.no_hedge);
    orb_window_choose_sizes(window);
    if (!window->sequential) /* else what was given up could not be had again */
        orb_admission_hold(&window->lender, window->host, orb_window_pressed, window);
    if (!orb_window_looks(window))
        orb_window_first_range(window);
}

void orb_window_stop(struct orb_window *window, orbit_status status, const orbit_error *error)
{
    pthread_mutex_lock(&window->mutex);
    bool first = window->locked.stopped >= 0;
    if (first) {
        window->locked.stopped = status;
        if (error)
            window->error = *error;
        else
            orb_fail(&window->error, status, 0, "reading '%s': %s", window->config.path, orbit_status_text(status));
        window->error.status = status;
    }
    struct orb_range *queue = first ? window->locked.head : NULL;
    pthread_mutex_unlock(&window->mutex);
    if (!first)
        return;
    orb_admission_withdraw(&window->admission);
    for (struct orb_range *range = window->sequential ? NULL : queue; range; range = range->next)
        if (range->running)
            orb_race_cancel(&range->race);
    if (window->sequence.source.running)
        orb_call_cancel(&window->sequence.source.call);
    if (window->look.running)
        orb_call_cancel(&window->look.call);
    orb_window_look(window);
}

void orb_window_restart(struct orb_window *window, uint64_t offset)
{
    if (window->closing || orb_window_stopped(window))
        return;
    atomic_store(&window->unverified, true);
    pthread_mutex_lock(&window->mutex);
    struct orb_range *queue = window->locked.head;
    window->locked.current = NULL;
    window->locked.position = offset;
    window->locked.discard_to = 0;
    window->locked.finished = window->locked.failing = false;
    window->locked.end_status = ORBIT_OK;
    if (window->sequential)
        window->sequence.abandoned = window->sequence.source.running;
    else
        window->locked.head = window->locked.tail = NULL;
    pthread_mutex_unlock(&window->mutex);
    window->failed = window->gave_up = false;
    window->next_offset = offset;
    if (window->sequential) {
        orb_sequence_restart(window);
        return;
    }
    detach(window, queue);
    orb_window_go_on(window);
}

bool orb_window_ended(struct orb_window *window)
{
    if (!window->closing)
        return false;
    if (!window->running && !window->close_posted) {
        window->close_posted = true;
        orb_loop_post(window->host->loop, &window->close_message);
    }
    return true;
}

static void free_ranges(struct orb_window *window, struct orb_range *range)
{
    while (range) {
        struct orb_range *next = range->next;
        range_free(window, range);
        range = next;
    }
}

/* Everything that was posted before has been delivered, and nothing else can be posted any more. */
static void close_delivered(struct orb_message *message)
{
    struct orb_window *window = (struct orb_window *)((char *)message - offsetof(struct orb_window, close_message));
    void (*closed)(void *) = window->config.closed;
    void *ctx = window->config.ctx;
    orb_timer_cancel(window->nudge_timer);
    orb_hedger_stop(&window->hedger);
    orb_admission_let_go(&window->lender);
    orb_sequence_release(window);
    free_ranges(window, window->locked.head);
    free_ranges(window, window->idle);
    assert(!window->orphans && !window->charged);
    orbit_metadata_release(&window->look.seen);
    orbit_metadata_release(&window->metadata);
    pthread_mutex_destroy(&window->mutex);
    orb_free(window);
    closed(ctx);
}

void orb_window_close(struct orb_window *window)
{
    if (window->closing)
        return;
    orb_window_stop(window, ORBIT_E_CANCELLED, NULL);
    window->closing = true;
    orb_window_ended(window);
}

/* ---- making one ---------------------------------------------------------------------------------- */

orbit_status orb_window_new(struct orb_window **out, const struct orb_window_config *config, orbit_error *error)
{
    *out = NULL;
    struct orb_window *window = orb_calloc(1, sizeof *window);
    if (!window)
        return orb_fail_memory(error);
    if (pthread_mutex_init(&window->mutex, NULL)) {
        orb_free(window);
        return orb_fail_memory(error);
    }
    window->config = *config;
    window->backend = config->backend;
    window->host = config->backend->host;
    window->next_offset = config->offset;
    window->wanted_end =
        config->length >= ORBIT_TO_END - config->offset ? ORBIT_TO_END : config->offset + config->length;
    window->locked.position = config->offset;
    window->locked.end = ORBIT_SIZE_UNKNOWN;
    window->locked.moved_ns = orb_now_ns();
    atomic_init(&window->algorithm, -1);
    window->advance_message.deliver = advance_delivered;
    window->nudge_message.deliver = orb_window_nudged;
    window->close_message.deliver = close_delivered;
    window->sequence.source.window = window;
    *out = window;
    return ORBIT_OK;
}
