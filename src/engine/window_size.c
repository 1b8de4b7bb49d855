/* SPDX-License-Identifier: Apache-2.0
 * How much of an object is under way for a reader. A far store needs many long ranges. To one that is near and fast
 * they only cost: what is in flight and what waits for the consumer no longer fit the processor's cache (measured
 * for 1 GiB to a pipe: 0.5 CPU seconds with two ranges of 2 MiB, 0.7 with eight of 8 MiB). So a window begins with
 * few short ones, and goes over to what suits a far store when the first reply takes long, or when ranges bring
 * little: each has its buffer, so that is the store's doing, not the consumer's.
 *
 * What suits a far one is many crumbs where a request costs no more than its bytes (stream_chunk): all of what is held
 * is on its way then, not the half of it. Not of what is short, which is not worth as many requests, nor the channels
 * that they would open. Loop thread. */
#include "base/clock.h"
#include "base/least.h"
#include "engine/upload_fill.h"
#include "engine/window_range.h"

enum { FEW = 2, FAR_MS = 10, SLOW_RANGES = 4 };

#define CHUNK_DEFAULT (8ull << 20)
#define CHUNK_RANDOM  (1ull << 20) /* where a read costs nothing to start */
#define ROOM_UNIT     ORB_WINDOW_ROOM_UNIT
#define NEAR_CHUNK    ((uint64_t)2 << 20)
#define FAST_PER_S    ((uint64_t)64 << 20) /* bytes: a range that brings more is limited by this machine */
#define CRUMBS_FROM   ((uint64_t)32 << 20)

/* ---- at the beginning ------------------------------------------------------------------------------ */

static void near_start(struct orb_window *window, bool asked_for)
{
    const struct orb_backend *backend = window->backend;
    if (asked_for || window->config.parallel || backend->fixed_parallel || backend->caps.random_access ||
        window->sequential || window->chunk_bytes <= NEAR_CHUNK)
        return;
    window->near.few = FEW;
    window->near.far_chunk = window->chunk_bytes;
    window->chunk_bytes = NEAR_CHUNK;
}

static void allow_ahead(struct orb_window *window, uint32_t parallel)
{
    const uint64_t share = window->host->budget.limit / 2;
    bool few = window->backend->caps.random_access || window->sequential;
    uint64_t ranges = few ? parallel + 2 : window->crumbs ? parallel + parallel / 4 : 2ull * parallel;
    uint64_t room = (window->chunk_bytes + ROOM_UNIT - 1) / ROOM_UNIT * ROOM_UNIT;
    window->ahead = parallel;
    window->memory_bytes = orb_smaller(share / room, ranges) * room;
}

static uint32_t choose_parallel(const struct orb_backend *backend, const struct orb_window_config *config)
{
    if (config->parallel)
        return config->parallel;
    uint32_t parallel =
        backend->options.parallel_operations ? backend->options.parallel_operations : backend->caps.parallel_default;
    if (!parallel)
        parallel = 8;
    return backend->caps.random_access && parallel > 4 ? 4 : parallel;
}

/* What is in flight fits a stream's share of the budget: fewer ranges, then smaller ones. */
void orb_window_choose_sizes(struct orb_window *window)
{
    const struct orb_backend *backend = window->backend;
    const uint64_t share = window->host->budget.limit / 2;
    bool given = window->config.chunk_bytes != 0;
    uint64_t chunk = given ? window->config.chunk_bytes : backend->options.chunk_size;
    if (!chunk)
        chunk = backend->caps.chunk_default ? backend->caps.chunk_default : CHUNK_DEFAULT;
    if (!given && (backend->caps.random_access || window->sequential))
        chunk = orb_smaller(chunk, CHUNK_RANDOM);
    uint32_t usual = choose_parallel(backend, &window->config), most = orb_flow_most(backend);
    window->parallel = window->config.parallel || window->sequential || most < usual ? usual : most;
    while (!given && chunk > CHUNK_RANDOM && chunk * orb_smaller(usual, 4) > share)
        chunk /= 2;
    window->chunk_bytes = orb_smaller(chunk, share / 2);
    near_start(window, given || backend->fixed_chunk);
    allow_ahead(window, window->near.few ? window->near.few : usual);
}

/* ---- as it goes ------------------------------------------------------------------------------------- */

/* As many again may wait for the consumer. */
uint32_t orb_window_limit(struct orb_window *window)
{
    uint32_t now = window->parallel;
    if (window->open_ended)
        return 1;
    if (window->near.few)
        now = window->near.few < now ? window->near.few : now;
    else if (!window->config.parallel)
        now = orb_flow_share(window->backend, &window->turn, now);
    if (now > window->ahead)
        allow_ahead(window, now);
    return now;
}

static bool in_crumbs(const struct orb_window *window)
{
    uint64_t end = orb_smaller(window->locked.end, window->wanted_end); /* the loop writes it */
    return !window->config.parallel && end > window->next_offset && end - window->next_offset >= CRUMBS_FROM &&
           orb_backend_in_crumbs(window->backend, NULL);
}

static void leave_near(struct orb_window *window)
{
    window->near.few = 0;
    window->chunk_bytes = window->near.far_chunk;
    window->crumbs = in_crumbs(window);
    if (!window->crumbs)
        return;
    window->chunk_bytes = window->backend->caps.stream_chunk;
    window->parallel = window->backend->caps.stream_parallel;
    window->ahead = 0; /* as much as that is, and no more */
}

void orb_window_answered(struct orb_window *window, uint64_t asked_ns)
{
    if (window->near.few && orb_now_ns() - asked_ns > FAR_MS * ORB_MS)
        leave_near(window);
}

void orb_window_measured(struct orb_window *window, uint64_t bytes, uint64_t asked_ns)
{
    uint64_t us = (orb_now_ns() - asked_ns) / 1000;
    if (!window->near.few || bytes < NEAR_CHUNK)
        return;
    window->near.slow = bytes * 1000000 / (us + 1) < FAST_PER_S ? window->near.slow + 1 : 0;
    if (window->near.slow >= SLOW_RANGES)
        leave_near(window);
}
