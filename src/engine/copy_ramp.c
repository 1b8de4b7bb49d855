/* SPDX-License-Identifier: Apache-2.0
 * How many ranges of a copy are in flight, and in what blocks. Many connections hide a long way and add up slow ones;
 * to a store that is near and fast they only cost: each its wake-ups, and together more memory than the processor's
 * cache. So a copy begins with a few, and takes all it may have when the first reply takes long, or when, looked at
 * now and then, the few do not bring much. Who asks for a number gets it at once. Loop thread only. */
#include "base/clock.h"
#include "engine/copy.h"

enum { FEW = 2, FAR_MS = 10, LOOK_MS = 50 };

#define FAST_PER_S ((uint64_t)64 << 20) /* bytes: a range that brings more is limited by this machine */
#define WIDE_FROM  (ORB_PIPE_WIDE * 8)  /* shorter ranges have few hand-overs anyway */
#define WIDE_EXTRA ((ORB_PIPE_WIDE - ORB_PIPE_BLOCK) * ORB_PIPE_BLOCKS)

void orb_copy_ramp_start(struct orb_copy *copy)
{
    bool asked_for = copy->options->parallel_operations != 0;
    copy->allowed = asked_for || copy->parallel < FEW ? copy->parallel : FEW;
}

void orb_copy_ramp_asks(struct orb_copy *copy)
{
    copy->asked_ns = orb_now_ns();
}

void orb_copy_ramp_answered(struct orb_copy *copy)
{
    if (orb_now_ns() - copy->asked_ns > FAR_MS * ORB_MS)
        copy->allowed = copy->parallel;
}

static void look(void *ctx)
{
    struct orb_copy *copy = ctx;
    copy->ramp_timer = NULL;
    if (copy->stopping || copy->well || copy->finishing)
        return;
    uint64_t passed = atomic_load_explicit(&copy->passed, memory_order_relaxed);
    uint64_t bytes = passed < copy->ramp_from ? passed : passed - copy->ramp_from; /* less: it began anew */
    uint64_t ms = (orb_now_ns() - copy->ramp_ns) / ORB_MS;
    if (bytes < FAST_PER_S / 1000 * ms * copy->ranges_busy)
        copy->allowed = copy->allowed < copy->parallel / 2 ? copy->allowed * 2 : copy->parallel;
    orb_copy_pump(copy); /* which looks again where it wants more than is allowed */
}

bool orb_copy_ramp_allows(struct orb_copy *copy)
{
    if (copy->ranges_busy < copy->allowed)
        return true;
    if (copy->allowed < copy->parallel && !copy->ramp_timer) {
        copy->ramp_ns = orb_now_ns();
        copy->ramp_from = atomic_load_explicit(&copy->passed, memory_order_relaxed);
        copy->ramp_timer = orb_timer_start(copy->to->host->loop, LOOK_MS, look, copy);
        if (!copy->ramp_timer) /* no memory to wait with */
            copy->allowed = copy->parallel;
    }
    return copy->ranges_busy < copy->allowed;
}

void orb_copy_ramp_widen(struct orb_copy *copy, struct orb_relay *range, uint64_t length)
{
    struct orbit_host *host = copy->to->host;
    if (copy->allowed > FEW || length < WIDE_FROM || range->pipe.block != ORB_PIPE_BLOCK)
        return;
    if (copy->charged + WIDE_EXTRA > host->budget.limit / 2 || orb_admission_pressed(host) ||
        !orb_budget_take(&host->budget, WIDE_EXTRA))
        return;
    copy->charged += WIDE_EXTRA;
    orb_pipe_set_block(&range->pipe, ORB_PIPE_WIDE);
}
