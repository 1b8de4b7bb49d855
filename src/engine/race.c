/* SPDX-License-Identifier: Apache-2.0
 * Who fills the sink. One word says how far the range has come, which leg leads, and whether that leg holds room
 * between acquire and commit. A leg enters by changing this word atomically: the one that leads when nobody else took
 * over, the other exactly when it is as far as the first and that holds no room, which is the takeover. So each has
 * the target for itself while it is inside, in the common case of one leg at the price of two atomic steps. */
#include "engine/race.h"

#include <assert.h>

#include "base/clock.h"
#include "base/least.h"
#include "engine/hedge.h"

#define INSIDE     1u
#define LEAD_SHIFT 1u
#define AT_SHIFT   2u

static unsigned lead_of(uint64_t state)
{
    return (unsigned)(state >> LEAD_SHIFT & 1);
}

static uint64_t at_of(uint64_t state)
{
    return state >> AT_SHIFT;
}

static uint64_t state_of(uint64_t at, unsigned lead, unsigned inside)
{
    return at << AT_SHIFT | (uint64_t)lead << LEAD_SHIFT | inside;
}

static unsigned index_of(const struct orb_race_leg *leg)
{
    return leg == &leg->race->legs[1];
}

static struct orb_race_leg *other_of(struct orb_race_leg *leg)
{
    return &leg->race->legs[!index_of(leg)];
}

static struct orb_race_leg *leg_of_sink(orbit_sink *sink)
{
    return (struct orb_race_leg *)sink;
}

static struct orb_race_leg *leg_of_call(struct orb_call *call)
{
    return call->ctx;
}

struct orb_race_leg *orb_race_lead(struct orb_race *race)
{
    return &race->legs[lead_of(atomic_load(&race->state))];
}

uint64_t orb_race_at(const struct orb_race *race)
{
    return at_of(atomic_load(&race->state));
}

/* ---- the sink's side: delivering threads ---------------------------------------------------------------- */

enum place { LEADS, BEHIND, WAITS, REFUSED };

static void enter(struct orb_race_leg *leg)
{
    struct orb_race *race = leg->race;
    if (leg->entered)
        return;
    leg->entered = true;
    if (race->kind->enter)
        race->kind->enter(race, leg);
}

static void took_over(struct orb_race_leg *leg)
{
    struct orb_race *race = leg->race;
    leg->led = true;
    atomic_store(&race->message_out, 1);
    enter(leg);
    orb_loop_post(race->backend->host->loop, &race->message);
}

/* Where the leg stands; LEADS: it is inside, and leave() follows. */
static enum place place_of(struct orb_race_leg *leg, uint64_t *behind)
{
    struct orb_race *race = leg->race;
    const unsigned me = index_of(leg);
    uint64_t state = atomic_load(&race->state);
    for (;;) {
        uint64_t at = at_of(state);
        bool leads = lead_of(state) == me;
        if (!leads && (leg->led || leg->at >= leg->end || leg->at > at))
            return REFUSED;
        if (leg->at < at) {
            *behind = at - leg->at;
            bool enough = atomic_load_explicit(&leg->dropped, memory_order_relaxed) > leg->may_drop;
            return enough && !leads ? REFUSED : BEHIND;
        }
        if (leads) {
            if (!atomic_compare_exchange_strong(&race->state, &state, state_of(at, me, INSIDE)))
                continue;
            leg->led = true;
            enter(leg);
            return LEADS;
        }
        if (state & INSIDE) {
            if (atomic_exchange(&leg->waits, true))
                return WAITS;
            state = atomic_load(&race->state); /* it may have gone out before it could see that */
            continue;
        }
        if (atomic_compare_exchange_strong(&race->state, &state, state_of(at, me, INSIDE))) {
            took_over(leg);
            return LEADS;
        }
    }
}

static void wake_other(struct orb_race_leg *leg)
{
    struct orb_race_leg *other = other_of(leg);
    if (!atomic_load(&other->waits))
        return;
    pthread_mutex_lock(&leg->race->waking);
    orbit_op *op = &other->call.op.op;
    if (atomic_exchange(&other->waits, false) && op->resume)
        op->resume(op);
    pthread_mutex_unlock(&leg->race->waking);
}

static void leave(struct orb_race_leg *leg, uint64_t bytes)
{
    struct orb_race *race = leg->race;
    leg->at += bytes;
    atomic_store(&race->state, state_of(leg->at, index_of(leg), 0));
    if (bytes)
        orb_call_progressed(&leg->call, bytes);
    wake_other(leg);
}

static void drop(struct orb_race_leg *leg, uint64_t bytes)
{
    leg->at += bytes;
    atomic_fetch_add_explicit(&leg->dropped, bytes, memory_order_relaxed);
}

static void note_first(struct orb_race_leg *leg)
{
    if (!atomic_load_explicit(&leg->first_ns, memory_order_relaxed))
        atomic_store_explicit(&leg->first_ns, orb_now_ns(), memory_order_relaxed);
}

static void *sink_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct orb_race_leg *leg = leg_of_sink(sink);
    uint64_t behind = 0;
    leg->lent = ORB_RACE_SCRATCH;
    *room = sizeof leg->scratch;
    switch (place_of(leg, &behind)) {
    case LEADS: {
        orbit_sink *target = leg->race->target;
        void *memory = target->acquire(target, want, room);
        leg->lent = memory ? ORB_RACE_ROOM : ORB_RACE_NOTHING;
        if (!memory)
            leave(leg, 0);
        return memory;
    }
    case BEHIND:
        if (behind < *room)
            *room = (size_t)behind;
        return leg->scratch;
    case WAITS:
        leg->lent = ORB_RACE_NOTHING;
        return NULL;
    default:
        leg->lent = ORB_RACE_REFUSED;
        return leg->scratch;
    }
}

static orbit_status sink_commit(orbit_sink *sink, size_t length)
{
    struct orb_race_leg *leg = leg_of_sink(sink);
    enum orb_race_lent lent = leg->lent;
    leg->lent = ORB_RACE_NOTHING;
    if (length)
        note_first(leg);
    if (lent == ORB_RACE_ROOM) {
        bool cancelled = length && orbit_op_cancelled(&leg->call.op.op);
        orbit_sink *target = leg->race->target;
        orbit_status status = target->commit(target, cancelled ? 0 : length);
        leave(leg, cancelled || status < 0 ? 0 : length);
        return cancelled && status >= 0 ? ORBIT_E_CANCELLED : status;
    }
    if (lent == ORB_RACE_SCRATCH) {
        drop(leg, length);
        return ORBIT_OK;
    }
    atomic_fetch_add_explicit(&leg->dropped, length, memory_order_relaxed);
    return length ? ORBIT_E_CANCELLED : ORBIT_OK;
}

static bool sink_take(orbit_sink *sink, const void *bytes, size_t length)
{
    struct orb_race_leg *leg = leg_of_sink(sink);
    orbit_sink *target = leg->race->target;
    uint64_t behind = 0;
    switch (target->take ? place_of(leg, &behind) : WAITS) {
    case LEADS: {
        note_first(leg);
        bool taken = target->take(target, bytes, length);
        leave(leg, taken ? length : 0);
        return taken;
    }
    case BEHIND:
        if (behind < length)
            return false;
        note_first(leg);
        drop(leg, length);
        return true;
    default:
        return false;
    }
}

/* ---- one leg: the loop ------------------------------------------------------------------------------------ */

static bool in_flight(const struct orb_race_leg *leg)
{
    return !orb_call_idle(&leg->call);
}

static bool leads(const struct orb_race_leg *leg)
{
    return lead_of(atomic_load(&leg->race->state)) == index_of(leg);
}

static void tell_head(struct orb_race_leg *leg)
{
    leg->head_kept = false;
    if (!leg->race->kind->head || leg->race->cancelled)
        return;
    leg->heard = true;
    leg->race->kind->head(leg->race, leg);
}

static void leg_head(struct orb_op *op)
{
    struct orb_race_leg *leg = leg_of_call((struct orb_call *)((char *)op - offsetof(struct orb_call, op)));
    orb_call_asks(&leg->call, orb_smaller(leg->request.length, leg->reply.length));
    if (leads(leg))
        tell_head(leg);
    else
        leg->head_kept = true;
}

/* No resume of this attempt comes any more from here. */
static void stop_waiting(struct orb_race_leg *leg)
{
    pthread_mutex_lock(&leg->race->waking);
    atomic_store(&leg->waits, false);
    pthread_mutex_unlock(&leg->race->waking);
}

static void leg_start(struct orb_call *call)
{
    struct orb_race_leg *leg = leg_of_call(call);
    struct orb_race *race = leg->race;
    leg->from = leg->at = orb_race_at(race);
    leg->entered = leg->heard = leg->head_kept = leg->timed = false;
    leg->lent = ORB_RACE_NOTHING;
    atomic_store(&leg->first_ns, 0);
    orbit_metadata_release(&leg->reply.metadata);
    leg->reply = (orbit_read_reply){0};
    race->kind->ask(race, leg);
    uint64_t length = leg->request.length;
    leg->end = length >= UINT64_MAX - leg->from ? UINT64_MAX : leg->from + length;
    orb_call_asks(call, length);
    call->op.on_head = leg_head;
    orb_call_names(call, ORBIT_REQUEST_READ, leg->request.path);
    race->backend->ops->read(race->backend->self, &call->op.op, &leg->request, &leg->sink, &leg->reply);
}

/* The attempt is over: what it held it holds no more, whether it gave it back or not. */
static void leg_quiet(struct orb_race_leg *leg)
{
    struct orb_race *race = leg->race;
    stop_waiting(leg);
    uint64_t state = atomic_load(&race->state);
    if ((state & INSIDE) && lead_of(state) == index_of(leg) && leg->lent == ORB_RACE_ROOM) {
        leg->lent = ORB_RACE_NOTHING;
        race->target->commit(race->target, 0);
        leave(leg, 0);
    }
    if (race->kind->attempt_over)
        race->kind->attempt_over(race, leg);
}

static orbit_status leg_judge(struct orb_call *call, orbit_status status, orbit_error *error)
{
    struct orb_race_leg *leg = leg_of_call(call);
    leg_quiet(leg);
    if (!leads(leg) || !leg->race->kind->judge)
        return status;
    return leg->race->kind->judge(leg->race, leg, status, error);
}

static bool leg_again(struct orb_call *call, const orbit_error *error)
{
    struct orb_race_leg *leg = leg_of_call(call);
    leg_quiet(leg);
    return leads(leg) && !leg->race->cancelled && leg->race->kind->again(leg->race, leg, error);
}

static void finish(struct orb_race *race)
{
    if (!race->ended || race->over || in_flight(&race->legs[0]) || in_flight(&race->legs[1]) ||
        atomic_load(&race->message_out))
        return;
    race->over = true;
    struct orb_race_leg *lead = orb_race_lead(race);
    orb_hedge_over(race);
    orbit_error error = race->error;
    race->kind->done(race, lead, race->status, race->status < 0 ? &error : NULL);
}

/* The leg that led has failed for good, the other one may still bring the rest. */
static bool hand_over(struct orb_race_leg *leg, const orbit_error *error)
{
    struct orb_race *race = leg->race;
    struct orb_race_leg *other = other_of(leg);
    bool may = (error->flags & ORBIT_ERROR_RETRIABLE) || error->status == ORBIT_E_CANCELLED;
    if (race->cancelled || !may || !in_flight(other) || other->call.cancelled)
        return false;
    uint64_t state = atomic_load(&race->state);
    while (lead_of(state) == index_of(leg) && /* or it has just taken over by itself */
           !atomic_compare_exchange_strong(&race->state, &state, state_of(at_of(state), index_of(other), 0)))
        ;
    if (other->head_kept)
        tell_head(other);
    wake_other(leg);
    return true;
}

static void leg_done(struct orb_call *call, orbit_status status, const orbit_error *error);

static void begin(struct orb_race_leg *leg, bool hedge)
{
    memset(&leg->call, 0, sizeof leg->call);
    leg->hedge = hedge;
    leg->led = false;
    leg->lent = ORB_RACE_NOTHING;
    atomic_store(&leg->dropped, 0);
    leg->call.judge = leg_judge;
    leg->call.again = leg_again;
    leg->call.need = hedge ? ORB_FLOW_FREE : leg->race->need; /* the stream waits for this one */
    leg->call.turn = hedge ? NULL : leg->race->turn;
    leg->call.tally = leg->race->tally;
    leg->call.eager = !hedge && leg->race->eager;
    orb_call_start(&leg->call, leg->race->backend, leg_start, leg_done, leg);
}

/* It was cancelled, but not by the owner: withdrawn at the moment it took over, given up for a hedge that then
 * failed, or refused before the lead was handed to it. Nobody else is left: what it had brought whole is taken for
 * that, the rest is asked for anew. */
static bool was_wronged(const struct orb_race_leg *leg, orbit_status status)
{
    return status == ORBIT_E_CANCELLED && !leg->race->cancelled;
}

static orbit_status judge_whole(struct orb_race_leg *leg, orbit_error *error)
{
    *error = (orbit_error){0};
    return leg->race->kind->judge ? leg->race->kind->judge(leg->race, leg, ORBIT_OK, error) : ORBIT_OK;
}

static void end(struct orb_race_leg *leg, orbit_status status, const orbit_error *error)
{
    struct orb_race *race = leg->race;
    race->ended = true;
    race->status = status;
    if (error)
        race->error = *error;
    orb_call_cancel(&other_of(leg)->call);
}

static void leg_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_race_leg *leg = leg_of_call(call);
    struct orb_race *race = leg->race;
    orbit_error own;
    leg_quiet(leg);
    orb_hedge_leg_over(race, leg);
    if (leads(leg) && !race->ended) {
        if (was_wronged(leg, status) && orb_race_at(race) == leg->end) {
            status = judge_whole(leg, &own);
            error = status < 0 ? &own : NULL;
        }
        if (status < 0 && hand_over(leg, error))
            return;
        if (was_wronged(leg, status) && race->kind->again(race, leg, error)) {
            begin(leg, false);
            return;
        }
        end(leg, status, error);
    }
    finish(race);
}

static void taken(struct orb_message *message)
{
    struct orb_race *race = (struct orb_race *)((char *)message - offsetof(struct orb_race, message));
    struct orb_race_leg *lead = orb_race_lead(race);
    atomic_store(&race->message_out, 0);
    orb_call_cancel(&other_of(lead)->call);
    if (lead->head_kept && in_flight(lead))
        tell_head(lead);
    finish(race);
}

/* ---- for the owner ------------------------------------------------------------------------------------- */

orbit_status orb_race_open(struct orb_race *race, orbit_error *error)
{
    int number = pthread_mutex_init(&race->waking, NULL);
    if (number)
        return orb_fail_errno(error, number, "cannot make a mutex");
    race->made = true;
    race->over = true;
    race->message.deliver = taken;
    for (int i = 0; i < 2; i++) {
        race->legs[i].race = race;
        race->legs[i].sink = (orbit_sink){sink_acquire, sink_commit, sink_take};
    }
    return ORBIT_OK;
}

void orb_race_close(struct orb_race *race)
{
    if (!race->made)
        return;
    assert(orb_race_idle(race));
    for (int i = 0; i < 2; i++)
        orbit_metadata_release(&race->legs[i].reply.metadata);
    pthread_mutex_destroy(&race->waking);
    race->made = false;
}

void orb_race_arm(struct orb_race *race)
{
    assert(orb_race_idle(race));
    atomic_store(&race->state, 0);
    race->hedges = 0;
    race->held_up = false;
}

void orb_race_rewind(struct orb_race *race)
{
    assert(!orb_race_hedged(race));
    atomic_store(&race->state, state_of(0, lead_of(atomic_load(&race->state)), 0));
}

void orb_race_start(struct orb_race *race)
{
    assert(orb_race_idle(race));
    race->cancelled = race->ended = race->over = false;
    race->status = ORBIT_OK;
    begin(orb_race_lead(race), false);
}

void orb_race_cancel(struct orb_race *race)
{
    if (race->over)
        return;
    race->cancelled = true;
    orb_call_cancel(&race->legs[0].call);
    orb_call_cancel(&race->legs[1].call);
}

bool orb_race_idle(const struct orb_race *race)
{
    return race->over;
}

void orb_race_hedge(struct orb_race *race, uint64_t may_drop)
{
    struct orb_race_leg *leg = other_of(orb_race_lead(race));
    assert(!in_flight(leg) && !race->ended && !race->cancelled);
    atomic_store(&leg->may_drop, may_drop);
    begin(leg, true);
}

bool orb_race_hedged(const struct orb_race *race)
{
    return in_flight(&race->legs[0]) && in_flight(&race->legs[1]);
}

void orb_race_withdraw(struct orb_race *race)
{
    if (orb_race_hedged(race))
        orb_call_cancel(&other_of(orb_race_lead(race))->call);
}

void orb_race_give_up(struct orb_race *race)
{
    if (orb_race_hedged(race) && !atomic_load(&race->message_out))
        orb_call_cancel(&orb_race_lead(race)->call);
}
