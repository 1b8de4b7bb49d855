/* SPDX-License-Identifier: Apache-2.0
 * How many ranges of a copy are in flight, and in what blocks. Many connections hide a long way and add up slow ones;
 * to a store that is near and fast they only cost: each its wake-ups, and together more memory than the processor's
 * cache. So a copy begins with a few (with one where the receiving thread stores the bytes itself), and takes all it
 * may have when the first reply takes long, or when, looked at now and then, the few do not bring much. Where they
 * bring much, twice as many are tried now and then, up to the lanes that other cores have to offer: trial.h.
 * Who asks for a number gets it at once. Loop thread only. */
#include "base/clock.h"
#include "engine/copy.h"

enum { FEW = 2, FAR_MS = 10 };

#define FAST_PER_S ((uint64_t)64 << 20) /* bytes: a range that brings more is limited by this machine */
#define EXTENT_MIN ((uint64_t)2 << 20)
#define WAY_SHARE  8 /* a request's way to the store and back is worth at least so many times its bytes' time */
#define WIDE_FROM  (ORB_PIPE_WIDE * 8) /* shorter ranges have few hand-overs anyway */
#define WIDE_EXTRA ((ORB_PIPE_WIDE - ORB_PIPE_BLOCK) * ORB_PIPE_BLOCKS)

void orb_copy_ramp_start(struct orb_copy *copy)
{
    bool asked_for = copy->options->parallel_operations != 0;
    uint32_t few = copy->to->caps.direct_store ? 1 : FEW;
    copy->allowed = asked_for || copy->parallel < few ? copy->parallel : few;
    orb_trial_start(&copy->trial);
}

void orb_copy_ramp_asks(struct orb_copy *copy)
{
    copy->asked_ns = orb_now_ns();
}

static uint64_t way_to(const struct orb_backend *to)
{
    return to->ops->way_ns ? to->ops->way_ns(to->self) : 0;
}

static bool is_far(uint64_t way_ns)
{
    return way_ns > FAR_MS * ORB_MS;
}

bool orb_copy_ramp_is_far(const struct orb_backend *to)
{
    return is_far(way_to(to));
}

void orb_copy_ramp_answered(struct orb_copy *copy, const struct orb_backend *by)
{
    uint64_t way_ns = way_to(by);
    copy->answered_ns = orb_now_ns();
    copy->way_ns = way_ns ? way_ns : copy->answered_ns - copy->asked_ns;
    if (is_far(copy->way_ns))
        copy->allowed = copy->parallel;
}

/* More ranges than lanes do not make a near store faster. */
static uint32_t most_near(const struct orb_copy *copy)
{
    uint32_t lanes = orb_lanes_count(copy->to->host->lanes);
    return lanes < copy->parallel ? lanes : copy->parallel;
}

/* Since the last look, with `bytes` in `ns`. */
static struct orb_trial_rate rate_of(const struct orb_copy *copy, uint64_t bytes, uint64_t ns)
{
    uint64_t ms = ns / ORB_MS, mib = bytes >> 20, cpu_ns = orb_cpu_ns() - copy->ramp_cpu_ns;
    return (struct orb_trial_rate){.per_s = bytes / (ms ? ms : 1) * 1000, .cost = mib ? cpu_ns / mib : 0};
}

static void look(void *ctx)
{
    struct orb_copy *copy = ctx;
    copy->ramp_timer = NULL;
    if (copy->stopping || copy->well || copy->finishing)
        return;
    uint64_t passed = atomic_load_explicit(&copy->passed, memory_order_relaxed), now_ns = orb_now_ns();
    uint64_t bytes = passed < copy->ramp_from ? passed : passed - copy->ramp_from; /* less: it began anew */
    uint64_t since =
        copy->ramp_ns > copy->answered_ns ? copy->ramp_ns : copy->answered_ns; /* no bytes before a reply */
    struct orb_trial_rate rate = rate_of(copy, bytes, now_ns - since);
    if (rate.per_s < FAST_PER_S * copy->ranges_busy) {
        copy->allowed = copy->allowed < copy->parallel / 2 ? copy->allowed * 2 : copy->parallel;
        orb_trial_forget(&copy->trial);
    } else if (copy->ranges_busy == copy->allowed) { /* and not one more, which ends soon */
        copy->allowed = orb_trial_look(&copy->trial, rate, copy->allowed, most_near(copy), now_ns);
    }
    orb_copy_pump(copy); /* which looks again where it wants more than is allowed */
}

/* What the endpoints give this copy of what they take. */
static uint32_t share(struct orb_copy *copy)
{
    uint32_t most = copy->parallel;
    if (copy->options->parallel_operations)
        return most;
    if (!copy->upload.sequential && !copy->upload.joined)
        most = orb_flow_share(copy->to, &copy->upload.turn, most);
    return orb_flow_share(copy->from, &copy->turn, most);
}

bool orb_copy_ramp_allows(struct orb_copy *copy)
{
    if (copy->ranges_busy > 0 && copy->ranges_busy >= share(copy))
        return false;
    if (copy->ranges_busy < copy->allowed)
        return true;
    if (copy->allowed < copy->parallel && !copy->ramp_timer) {
        copy->ramp_ns = orb_now_ns();
        copy->ramp_cpu_ns = orb_cpu_ns();
        copy->ramp_from = atomic_load_explicit(&copy->passed, memory_order_relaxed);
        copy->ramp_timer = orb_timer_start(copy->to->host->loop, orb_trial_wait_ms(&copy->trial), look, copy);
        if (!copy->ramp_timer) /* no memory to wait with */
            copy->allowed = copy->parallel;
    }
    return copy->ranges_busy < copy->allowed;
}

void orb_copy_ramp_widen(struct orb_copy *copy, struct orb_relay *range, uint64_t length)
{
    struct orbit_host *host = copy->to->host;
    bool direct = copy->to->caps.direct_store || copy->from->caps.direct_load; /* blocks stay in one core's cache */
    if (copy->allowed > FEW || direct || length < WIDE_FROM || range->pipe.block != ORB_PIPE_BLOCK)
        return;
    if (copy->charged + WIDE_EXTRA > host->budget.limit / 2 || orb_admission_pressed(host) ||
        !orb_budget_take(&host->budget, WIDE_EXTRA))
        return;
    copy->charged += WIDE_EXTRA;
    orb_pipe_set_block(&range->pipe, ORB_PIPE_WIDE);
}

uint64_t orb_copy_even(uint64_t total, uint64_t count)
{
    uint64_t each = (total + count - 1) / count;
    return (each + ORB_PARTS_ROUND - 1) / ORB_PARTS_ROUND * ORB_PARTS_ROUND;
}

/* Bytes below which a far store's connection would wait for its next request more than it carries. */
static uint64_t least(const struct orb_copy *copy)
{
    uint64_t passed = atomic_load_explicit(&copy->passed, memory_order_relaxed);
    passed = passed > copy->resumed ? passed - copy->resumed : 0;
    uint64_t ms = (orb_now_ns() - copy->answered_ns) / ORB_MS;
    if (!is_far(copy->way_ns) || !ms || !copy->ranges_busy)
        return EXTENT_MIN;
    uint64_t each_ms = passed / ms / copy->ranges_busy;
    uint64_t bytes = each_ms * (copy->way_ns / ORB_MS) * WAY_SHARE / ORB_PARTS_ROUND * ORB_PARTS_ROUND;
    return bytes > EXTENT_MIN ? bytes : EXTENT_MIN;
}

static bool takes_any_part(const struct orbit_capabilities *caps)
{
    return caps->random_access || (caps->part_min == 1 && !caps->part_count_max && !caps->equal_parts);
}

/* Ranges that end far apart leave connections idle at the end: where a part may be of any size, what is left is dealt
 * out in ever smaller ones. */
uint64_t orb_copy_ramp_length(const struct orb_copy *copy, uint64_t length)
{
    if (!takes_any_part(&copy->to->caps) || copy->allowed < 2)
        return length;
    uint64_t part = orb_copy_even(copy->total - copy->next_offset, 2ull * copy->ranges_busy);
    uint64_t floor = least(copy);
    if (part < floor)
        part = floor;
    return part < length ? part : length;
}
