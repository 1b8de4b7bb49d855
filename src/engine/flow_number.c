/* SPDX-License-Identifier: Apache-2.0
 * How many requests an endpoint gets at once: raised while the places are taken and more of them bring more
 * (climb.c), cut when complaints and time-outs are more than chance, and when the first bytes come later and later
 * without more of them coming. Loop thread only. */
#include <stdlib.h>

#include "base/clock.h"
#include "engine/call.h"
#include "engine/flow_inside.h"

#define CUT            0.7 /* what is left after complaints */
#define CUT_LATE       0.8 /* after latency that rose */
#define EPOCH_NS       (400 * ORB_MS)
#define EPOCH_CALLS    6u
#define EPOCH_SCARCE   2u /* of calls that take long */
#define EPOCH_LONG_NS  (2 * ORB_S)
#define FULL_PERCENT   75u
#define REQUEST_YIELD  65536.0 /* a request without bytes counts as much */
#define LATE_TIMES     3.0     /* as long as it used to be, and … */
#define LATE_NS        (50 * ORB_MS)
#define LATE_OF        128.0 /* replies among which … */
#define LATE_ONE_IN    7.0   /* … so many time-outs are more than chance */
#define LATENCIES_LESS 8u    /* say nothing */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median of this epoch against what is usual: a few that take long change neither. */
static bool latency_rose(struct orb_flow *flow)
{
    uint32_t count = flow->latency_count < ORB_FLOW_LATENCIES ? flow->latency_count : ORB_FLOW_LATENCIES;
    if (count < LATENCIES_LESS)
        return false;
    qsort(flow->latencies, count, sizeof(flow->latencies[0]), by_size);
    uint32_t middle = count / 2;
    double median = (double)flow->latencies[middle], usual = flow->usual_latency;
    if (usual <= 0 || median < usual)
        flow->usual_latency = median;
    else
        flow->usual_latency += (median - usual) / 64; /* the way may have become another one */
    return usual > 0 && median > usual * LATE_TIMES && median > usual + (double)LATE_NS;
}

static void begin_epoch(struct orb_flow *flow, uint64_t now_ns)
{
    flow->epoch_ns = now_ns;
    flow->epoch_moved = atomic_load_explicit(&flow->moved, memory_order_relaxed);
    flow->epoch_calls = flow->epoch_full = flow->latency_count = 0;
}

static void new_limit(struct orb_flow *flow, uint64_t now_ns)
{
    flow->epoch_ns = 0;
    flow->settled_ns = now_ns + (uint64_t)flow->usual_latency;
    orb_log(flow->log, ORBIT_LOG_DEBUG, "flow: %s: %u requests at once", flow->endpoint ? flow->endpoint : "a store",
            (unsigned)flow->limit.value);
}

static void end_epoch(struct orb_flow *flow, uint64_t now_ns)
{
    double ns = (double)(now_ns - flow->epoch_ns);
    uint64_t moved = atomic_load_explicit(&flow->moved, memory_order_relaxed) - flow->epoch_moved;
    double yield = ((double)moved + REQUEST_YIELD * flow->epoch_calls) * (double)ORB_S / ns;
    bool full = flow->epoch_full * 100 >= flow->epoch_calls * FULL_PERCENT, changed = false;
    double before = flow->limit.value;
    if (latency_rose(flow) && !flow->limit.trying && before > flow->first_limit) {
        double less = before * CUT_LATE;
        orb_climb_cut(&flow->limit, less > flow->first_limit ? less : flow->first_limit, now_ns);
        changed = true;
    } else if (full) {
        changed = orb_climb_yield(&flow->limit, yield, now_ns);
    }
    if (changed)
        new_limit(flow, now_ns);
    else
        begin_epoch(flow, now_ns);
}

void orb_flow_measure(struct orb_flow *flow, const struct orb_call *call, bool full, uint64_t now_ns)
{
    if (call->kind == ORB_FLOW_FREE || flow->pace.limiting) {
        flow->epoch_ns = 0;
        return;
    }
    if (!flow->epoch_ns) {
        if (full && now_ns >= flow->settled_ns)
            begin_epoch(flow, now_ns);
        return;
    }
    uint64_t first_ns = atomic_load_explicit(&call->first_ns, memory_order_relaxed);
    if (first_ns > call->attempt_ns && call->kind == ORB_FLOW_BULK)
        flow->latencies[flow->latency_count++ % ORB_FLOW_LATENCIES] = first_ns - call->attempt_ns;
    flow->epoch_calls++;
    flow->epoch_full += full;
    uint64_t ns = now_ns - flow->epoch_ns;
    if ((ns >= EPOCH_NS && flow->epoch_calls >= EPOCH_CALLS) ||
        (ns >= EPOCH_LONG_NS && flow->epoch_calls >= EPOCH_SCARCE))
        end_epoch(flow, now_ns);
}

/* Time-outs are told all at once, long after the answers of their time: they are counted against replies, not
 * moments, or the few requests in a hundred that hang would look like a store that answers nothing. */
static bool late_by_chance(struct orb_flow *flow, enum orb_flow_result result)
{
    flow->answers += result == ORB_FLOW_ANSWERED;
    flow->lates += result == ORB_FLOW_LATE;
    if (flow->answers + flow->lates > LATE_OF) {
        flow->answers /= 2;
        flow->lates /= 2;
    }
    return result == ORB_FLOW_LATE && flow->lates * LATE_ONE_IN <= flow->answers + flow->lates;
}

void orb_flow_feel(struct orb_flow *flow, const struct orb_call *call, enum orb_flow_result result, uint64_t now_ns)
{
    bool good = result == ORB_FLOW_ANSWERED;
    if (late_by_chance(flow, result) || result == ORB_FLOW_THROTTLED)
        return;
    if (call->attempt_ns < flow->cut_ns) /* says nothing about the number that is in flight now */
        return;
    orb_health_note(&flow->health, good, now_ns);
    if (good || !orb_health_is_bad(&flow->health, 0))
        return;
    orb_climb_cut(&flow->limit, flow->limit.value * CUT, now_ns);
    flow->health = (struct orb_health){0};
    flow->cut_ns = now_ns;
    new_limit(flow, now_ns);
}

/* Refusals are the pace's to judge: the number is lowered whenever the rate is, to see whether either helps, and comes
 * back when neither did. */
void orb_flow_hear(struct orb_flow *flow, const struct orb_call *call, enum orb_flow_result result, uint64_t now_ns)
{
    uint32_t lowered = flow->pace.lowerings, in_vain = flow->pace.in_vain;
    if (result == ORB_FLOW_ANSWERED)
        orb_pace_answered(&flow->pace, call->attempt_ns, now_ns);
    else if (result == ORB_FLOW_THROTTLED)
        orb_pace_throttled(&flow->pace, call->attempt_ns, now_ns);
    if (flow->pace.in_vain != in_vain && flow->uncut > flow->limit.value) {
        flow->limit.value = flow->uncut;
        new_limit(flow, now_ns);
    }
    if (!flow->pace.lowered)
        flow->uncut = 0;
    if (flow->pace.lowerings == lowered)
        return;
    if (flow->uncut < flow->limit.value)
        flow->uncut = flow->limit.value;
    orb_climb_cut(&flow->limit, flow->limit.value * CUT, now_ns);
    new_limit(flow, now_ns);
}
