/* SPDX-License-Identifier: Apache-2.0
 * Who of the requests to an endpoint that wait is next: how many it gets at once is flow_number.c's.
 *
 * Bulk and small requests are counted apart against the same number: transfers that take seconds do not hold up a stat,
 * and a thousand stats do not hold up a transfer.
 *
 * A request that is silent for much longer than is usual (patience.c) does not hold up others either: they get its
 * place until it moves again or ends. At most half as many places as there are, and only while the store answers
 * others: one that is dead gets no more connections than one that lives. */
#include "engine/flow_inside.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/call.h"

#define STEP_FAST  1.5
#define LOOK_MS    100u           /* how often it is seen who is silent */
#define SILENCE_NS (200 * ORB_MS) /* shorter ones are all alike */

/* ---- one an endpoint ------------------------------------------------------------------------------- */

static struct orb_flow *flow_new(const struct orb_backend *backend)
{
    const char *endpoint = backend->caps.endpoint;
    struct orb_flow *flow = orb_calloc(1, sizeof(*flow));
    if (!flow || (endpoint && !(flow->endpoint = orb_strdup(endpoint)))) {
        orb_free(flow);
        return NULL;
    }
    const orbit_capabilities *caps = &backend->caps;
    uint32_t first = caps->requests_first     ? caps->requests_first
                     : caps->parallel_default ? caps->parallel_default
                                              : ORB_FLOW_FIRST;
    double most = first > ORB_FLOW_MOST ? first : ORB_FLOW_MOST;
    flow->ops = backend->ops;
    flow->loop = backend->host->loop;
    flow->log = &backend->host->log;
    flow->first_limit = first;
    flow->turns_last = &flow->turns;
    for (unsigned i = 0; i < ORB_FLOW_KINDS; i++)
        flow->waiting[i].last = &flow->waiting[i].first;
    orb_climb_init(&flow->limit, first, 1, most, STEP_FAST);
    orb_pace_init(&flow->pace, orb_now_ns());
    return flow;
}

struct orb_flow *orb_flow_of(struct orb_backend *backend)
{
    if (backend->flow || backend->caps.no_retry)
        return backend->flow;
    struct orbit_host *host = backend->host;
    struct orb_flow *flow = backend->caps.endpoint ? host->flows : NULL;
    while (flow &&
           (flow->ops != backend->ops || !flow->endpoint || !orb_str_equal(flow->endpoint, backend->caps.endpoint)))
        flow = flow->next;
    if (!flow) {
        if (!(flow = flow_new(backend)))
            return NULL;
        flow->next = host->flows;
        flow->link = &host->flows;
        if (flow->next)
            flow->next->link = &flow->next;
        host->flows = flow;
    }
    flow->users++;
    backend->flow = flow;
    return flow;
}

void orb_flow_release(struct orb_backend *backend)
{
    struct orb_flow *flow = backend->flow;
    backend->flow = NULL;
    if (!flow || --flow->users)
        return;
    *flow->link = flow->next;
    if (flow->next)
        flow->next->link = flow->link;
    orb_timer_cancel(flow->timer);
    orb_timer_cancel(flow->look_timer);
    orb_free(flow->endpoint);
    orb_free(flow);
}

/* ---- who waits ------------------------------------------------------------------------------------- */

static struct orb_turn *turn_of(struct orb_flow *flow, const struct orb_call *call)
{
    return call->turn ? call->turn : &flow->common;
}

static void append_turn(struct orb_flow *flow, struct orb_turn *turn)
{
    turn->next = NULL;
    *flow->turns_last = turn;
    flow->turns_last = &turn->next;
}

static void remove_turn(struct orb_flow *flow, const struct orb_turn *turn)
{
    struct orb_turn **place = &flow->turns;
    while (*place != turn)
        place = &(*place)->next;
    *place = turn->next;
    if (!*place)
        flow->turns_last = place;
}

static void append(struct orb_flow *flow, struct orb_call *call)
{
    struct orb_turn *turn = turn_of(flow, call);
    struct orb_call ***last = &flow->waiting[call->kind].last;
    call->next = NULL;
    call->queued = true;
    if (call->kind == ORB_FLOW_BULK) {
        if (!turn->first) {
            turn->last = &turn->first;
            append_turn(flow, turn);
        }
        last = &turn->last;
    }
    **last = call;
    *last = &call->next;
}

static void take_out(struct orb_flow *flow, struct orb_call *call)
{
    struct orb_turn *turn = turn_of(flow, call);
    bool bulk = call->kind == ORB_FLOW_BULK;
    struct orb_call **place = bulk ? &turn->first : &flow->waiting[call->kind].first;
    while (*place != call)
        place = &(*place)->next;
    *place = call->next;
    if (!*place)
        *(bulk ? &turn->last : &flow->waiting[call->kind].last) = place;
    if (bulk && !turn->first)
        remove_turn(flow, turn);
    call->next = NULL;
    call->queued = false;
}

static struct orb_call *first_of(const struct orb_flow *flow, unsigned kind)
{
    if (kind == ORB_FLOW_BULK)
        return flow->turns ? flow->turns->first : NULL;
    return flow->waiting[kind].first;
}

static bool has_room(const struct orb_flow *flow, unsigned kind)
{
    return kind == ORB_FLOW_FREE || flow->in_flight[kind] - flow->lent[kind] < (uint32_t)flow->limit.value;
}

/* The kinds take turns as well: when a pace is kept, none waits for all of another. */
static struct orb_call *next_due(const struct orb_flow *flow)
{
    for (unsigned i = 0; i < ORB_FLOW_KINDS; i++) {
        unsigned kind = (flow->next_kind + i) % ORB_FLOW_KINDS;
        if (first_of(flow, kind) && has_room(flow, kind))
            return first_of(flow, kind);
    }
    return NULL;
}

static void look(void *ctx);

static void take_off(struct orb_flow *flow, struct orb_call *call)
{
    flow->in_flight[call->kind]++;
    call->lent = false;
    call->silence_ns = 0;
    call->flying = flow->flying;
    call->flying_link = &flow->flying;
    if (call->flying)
        call->flying->flying_link = &call->flying;
    flow->flying = call;
    if (!flow->look_timer)
        flow->look_timer = orb_timer_start(flow->loop, LOOK_MS, look, flow);
}

/* The stream whose call starts goes behind the others. */
static void start_waiting(struct orb_flow *flow, struct orb_call *call)
{
    take_out(flow, call);
    flow->next_kind = call->kind + 1;
    if (call->kind == ORB_FLOW_BULK) {
        struct orb_turn *turn = turn_of(flow, call);
        if (turn->first) {
            remove_turn(flow, turn);
            append_turn(flow, turn);
        }
    }
    take_off(flow, call);
    flow->go(call);
}

static void due(void *ctx);

/* Looks again when the pace lets another one start. */
static void arm(struct orb_flow *flow, uint64_t now_ns)
{
    if (flow->timer || !next_due(flow))
        return;
    uint64_t wait_ms = orb_pace_wait_ms(&flow->pace, now_ns);
    flow->timer = orb_timer_start(flow->loop, wait_ms ? wait_ms : 1, due, flow);
    if (!flow->timer) /* no memory for patience: go on without */
        orb_pace_stop(&flow->pace);
}

/* What starts may end, and more may wait meanwhile: only what is due goes. */
static void pump(struct orb_flow *flow)
{
    uint64_t now_ns = orb_now_ns();
    struct orb_call *call;
    for (;;) {
        while ((call = next_due(flow)) && orb_pace_take(&flow->pace, now_ns))
            start_waiting(flow, call);
        if (!call)
            return;
        arm(flow, now_ns);
        if (flow->timer)
            return;
    }
}

static void due(void *ctx)
{
    struct orb_flow *flow = ctx;
    flow->timer = NULL;
    pump(flow);
}

bool orb_flow_enter(struct orb_flow *flow, struct orb_call *call, void (*go)(struct orb_call *call), uint64_t now_ns)
{
    flow->go = go;
    if (call->kind == ORB_FLOW_BULK && turn_of(flow, call)->calls++ == 0)
        flow->streams++;
    if (!first_of(flow, call->kind) && has_room(flow, call->kind) && orb_pace_take(&flow->pace, now_ns)) {
        take_off(flow, call);
        return true;
    }
    append(flow, call);
    arm(flow, now_ns);
    if (flow->timer || flow->in_flight[call->kind])
        return false; /* something will happen that lets it go */
    take_out(flow, call);
    take_off(flow, call);
    return true;
}

static void leave_turn(struct orb_flow *flow, const struct orb_call *call)
{
    if (call->kind != ORB_FLOW_BULK)
        return;
    struct orb_turn *turn = turn_of(flow, call);
    assert(turn->calls);
    if (--turn->calls == 0)
        flow->streams--;
}

void orb_flow_withdraw(struct orb_flow *flow, struct orb_call *call)
{
    if (!call->queued)
        return;
    take_out(flow, call);
    leave_turn(flow, call);
}

/* ---- who is silent --------------------------------------------------------------------------------- */

static void lend(struct orb_flow *flow, struct orb_call *call, bool lent)
{
    if (call->lent == lent)
        return;
    call->lent = lent;
    uint32_t *counts[] = {&flow->lent[call->kind], &turn_of(flow, call)->lent};
    for (unsigned i = 0; i < (call->kind == ORB_FLOW_BULK ? 2u : 1u); i++)
        *counts[i] += lent ? 1u : UINT32_MAX;
}

static bool may_lend(const struct orb_flow *flow, const struct orb_call *call)
{
    return call->lent || flow->lent[call->kind] * 2 < (uint32_t)flow->limit.value;
}

/* Not the last attempts: these have the usual patience, or a call would end that nobody has failed. */
static bool may_hurry(const struct orb_call *call)
{
    return call->eager && !call->hurried && !call->cancelled && !call->expired &&
           call->attempt + 1 < call->op.backend->options.retry_attempts;
}

static void look_at(struct orb_flow *flow, struct orb_call *call, uint64_t now_ns)
{
    uint64_t since_ns = atomic_load_explicit(&call->op.silent_ns, memory_order_relaxed);
    uint64_t silence_ns = since_ns && since_ns < now_ns ? now_ns - since_ns : 0;
    if (silence_ns > call->silence_ns)
        call->silence_ns = silence_ns;
    bool long_one = silence_ns > orb_patience_place_ns(&flow->patience, call->request) && flow->heard_ns > since_ns;
    lend(flow, call, long_one && call->kind != ORB_FLOW_FREE && may_lend(flow, call));
    if (silence_ns && may_hurry(call) &&
        orb_patience_is_over(&flow->patience, call->request, call->attempt, since_ns, now_ns)) {
        orb_patience_hurried(&flow->patience);
        orb_call_hurry(call);
    }
}

static void look(void *ctx)
{
    struct orb_flow *flow = ctx;
    uint64_t now_ns = orb_now_ns();
    flow->look_timer = NULL;
    for (struct orb_call *call = flow->flying; call; call = call->flying)
        look_at(flow, call, now_ns);
    if (flow->flying)
        flow->look_timer = orb_timer_start(flow->loop, LOOK_MS, look, flow);
    pump(flow);
}

static void land(struct orb_flow *flow, struct orb_call *call)
{
    lend(flow, call, false);
    flow->in_flight[call->kind]--;
    *call->flying_link = call->flying;
    if (call->flying)
        call->flying->flying_link = call->flying_link;
    call->flying = NULL;
    call->flying_link = NULL;
}

static void note_silence(struct orb_flow *flow, const struct orb_call *call, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - call->attempt_ns, least = took_ns < SILENCE_NS ? took_ns : SILENCE_NS;
    flow->heard_ns = now_ns;
    orb_patience_answered(&flow->patience, call->request, call->attempt_ns,
                          call->silence_ns > least ? call->silence_ns : least);
}

/* ---- the end of one -------------------------------------------------------------------------------- */

void orb_flow_left(struct orb_flow *flow, struct orb_call *call, enum orb_flow_result result, uint64_t now_ns)
{
    orb_flow_measure(flow, call, !has_room(flow, call->kind) || first_of(flow, call->kind), now_ns);
    land(flow, call);
    leave_turn(flow, call);
    if (result == ORB_FLOW_ANSWERED)
        note_silence(flow, call, now_ns);
    if (result != ORB_FLOW_SILENT)
        orb_flow_feel(flow, call, result, now_ns);
    orb_flow_hear(flow, call, result, now_ns);
    flow->answered |= result == ORB_FLOW_ANSWERED || result == ORB_FLOW_THROTTLED;
    pump(flow);
}

/* ---- for who uses it ------------------------------------------------------------------------------- */

bool orb_flow_has_answered(const struct orb_flow *flow)
{
    return flow->answered;
}

uint64_t orb_flow_retry_ms(struct orb_flow *flow, uint64_t now_ns)
{
    return orb_pace_retry_ms(&flow->pace, now_ns);
}

uint32_t orb_flow_most(const struct orb_backend *backend)
{
    uint32_t first = backend->options.parallel_operations, most = backend->caps.parallel_most;
    if (!most || most > ORB_FLOW_MOST)
        most = ORB_FLOW_MOST;
    if (backend->fixed_parallel || backend->caps.no_retry || backend->caps.random_access || first > most)
        return first;
    return most;
}

uint32_t orb_flow_share(struct orb_backend *backend, const struct orb_turn *turn, uint32_t most)
{
    const struct orb_flow *flow = backend->fixed_parallel ? NULL : orb_flow_of(backend);
    if (!flow)
        return most;
    uint32_t limit = (uint32_t)flow->limit.value, streams = flow->streams + (turn->calls ? 0 : 1);
    uint32_t share = (limit + streams - 1) / streams + turn->lent;
    return share < most ? share : most;
}

void orb_flow_moved(const struct orb_backend *backend, uint64_t bytes)
{
    struct orb_flow *flow = atomic_load_explicit(&backend->flow, memory_order_acquire);
    if (flow)
        atomic_fetch_add_explicit(&flow->moved, bytes, memory_order_relaxed);
}

uint32_t orb_flow_limit(const struct orb_flow *flow)
{
    return (uint32_t)flow->limit.value;
}

struct orb_tail *orb_flow_tail(struct orb_flow *flow)
{
    return &flow->tail;
}

double orb_flow_rate(const struct orb_flow *flow)
{
    return orb_pace_rate(&flow->pace);
}
