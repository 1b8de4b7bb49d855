/* SPDX-License-Identifier: Apache-2.0
 * The policy of hedges. A range lags when it would take three times as long to go on as to be asked for anew, or when
 * nothing comes for three times as long as nine of ten requests need to their first byte; twice, where the consumer
 * waits for just this range. All relative: a link that is slow for everybody, or a consumer that is, makes nobody lag.
 *
 * What it may cost: a twentieth of the stream or 16 MiB, whichever is more, of bytes that come twice; a quarter of the
 * ranges at the same time; nothing while the store asks for fewer requests. */
#include "engine/hedge.h"

#include "base/clock.h"
#include "base/least.h"
#include "engine/flow.h"

enum { LOOK_MS = 50, HEDGES_MAX = 4, FACTOR = 3, FACTOR_URGENT = 2, ENOUGH_HERE = 4, ENOUGH_THERE = 8 };

#define CAP_LEAST   ((uint64_t)16 << 20)
#define DROP_MOST   ((uint64_t)4 << 20)   /* one hedge: it is not faster then */
#define ON_THE_WAY  ((uint64_t)64 << 10)  /* what a read that is cancelled may have had in the network */
#define SAMPLE_FROM ((uint64_t)256 << 10) /* fewer bytes tell of buffers, not of the way */
#define WORTH_BYTES ((uint64_t)256 << 10) /* a stream that is shorter is not looked at */
#define SLACK_NS    (20 * ORB_MS)         /* below this all first bytes are alike */
#define LEAST_NS    (50 * ORB_MS)         /* nobody lags before */
#define QUIET_NS    (150 * ORB_MS)        /* a pause in a body that is nothing unusual */
#define WINDOW_NS   (100 * ORB_MS)        /* what a pace is measured over, at least … */
#define WINDOW_LONG (500 * ORB_MS)        /* … and at most */
#define WORTH_NS    (100 * ORB_MS)        /* what a hedge must save */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- what is usual --------------------------------------------------------------------------------------- */

/* Of all streams from this store; NULL when memory is out. */
static struct orb_tail *tail_of(const struct orb_hedger *hedger)
{
    struct orb_flow *flow = orb_flow_of(hedger->backend);
    return flow ? orb_flow_tail(flow) : NULL;
}

static void learn_first(struct orb_hedger *hedger, struct orb_race_leg *leg)
{
    uint64_t first_ns = atomic_load_explicit(&leg->first_ns, memory_order_relaxed);
    if (leg->timed || !first_ns || first_ns < leg->call.attempt_ns)
        return;
    leg->timed = true;
    struct orb_tail *tail = tail_of(hedger);
    orb_tail_add(&hedger->tail.first, first_ns - leg->call.attempt_ns);
    if (tail)
        orb_tail_add(&tail->first, first_ns - leg->call.attempt_ns);
}

/* The pace of an attempt so far; 0 when that is too little to tell. */
static uint64_t pace_of(const struct orb_race_leg *leg, uint64_t at, uint64_t now_ns, uint64_t least)
{
    uint64_t first_ns = atomic_load_explicit(&leg->first_ns, memory_order_relaxed);
    if (!first_ns || now_ns <= first_ns || at < leg->from + least)
        return 0;
    return orb_tail_pace(at - leg->from, now_ns - first_ns);
}

/* Nine of ten requests had their first byte after this long; 0: not known. */
static uint64_t usual_first(const struct orb_hedger *hedger)
{
    const struct orb_tail *there = tail_of(hedger);
    if (hedger->tail.first.total >= ENOUGH_HERE)
        return orb_tail_quantile(&hedger->tail.first, 90);
    if (there && there->first.total >= ENOUGH_THERE)
        return orb_tail_quantile(&there->first, 90);
    return 0;
}

/* Of the ranges that are over and of those in flight; 0: not known. */
static uint64_t usual_pace(const struct orb_hedger *hedger, uint64_t now_ns)
{
    const struct orb_tail *there = tail_of(hedger);
    bool enough = hedger->tail.pace.total >= ENOUGH_HERE;
    struct orb_tail_values values =
        enough || !there || there->pace.total < ENOUGH_THERE ? hedger->tail.pace : there->pace;
    for (struct orb_race *race = hedger->races; race; race = race->next) {
        uint64_t pace = race->held_up ? 0 : pace_of(orb_race_lead(race), orb_race_at(race), now_ns, ON_THE_WAY);
        if (pace)
            orb_tail_add(&values, pace);
    }
    return values.total < 2 ? 0 : orb_tail_quantile(&values, 50);
}

/* ---- who lags ------------------------------------------------------------------------------------------ */

static bool in_attempt(const struct orb_race_leg *leg)
{
    return !orb_call_idle(&leg->call) && !leg->call.waiting && !leg->call.queued && !leg->call.cancelled;
}

static void mark(struct orb_race *race, uint64_t at, uint64_t now_ns)
{
    race->mark_ns = race->moved_ns = now_ns;
    race->mark_at = race->moved_at = at;
}

static uint64_t missing_of(struct orb_race *race)
{
    uint64_t end = orb_race_lead(race)->end, at = orb_race_at(race);
    return end == UINT64_MAX || end <= at ? 0 : end - at;
}

/* Takes note of how far it is; false: nothing can be said about its pace now. */
static bool observe(struct orb_race *race, uint64_t now_ns)
{
    struct orb_race_leg *lead = orb_race_lead(race);
    uint64_t at = orb_race_at(race);
    if (race->attempt_ns != lead->call.attempt_ns) {
        race->attempt_ns = lead->call.attempt_ns;
        mark(race, at, now_ns);
    }
    if (race->kind->held_up && race->kind->held_up(race)) {
        race->held_up = true;
        mark(race, at, now_ns);
        return false;
    }
    if (at != race->moved_at) {
        if (race->moved_at == lead->from) /* its first bytes: the pace is that of what follows */
            mark(race, at, now_ns);
        race->moved_at = at;
        race->moved_ns = now_ns;
    }
    return true;
}

/* How much sooner it would be there if it were asked for anew; 0: it does not lag. */
static uint64_t lags_by(struct orb_race *race, uint64_t first, uint64_t pace, uint64_t now_ns)
{
    struct orb_race_leg *lead = orb_race_lead(race);
    uint64_t factor = race->kind->urgent && race->kind->urgent(race) ? FACTOR_URGENT : FACTOR;
    if (!atomic_load_explicit(&lead->first_ns, memory_order_relaxed)) {
        uint64_t waited = now_ns - lead->call.attempt_ns;
        return waited > LEAST_NS && waited > factor * first + SLACK_NS ? UINT64_MAX : 0;
    }
    if (now_ns - race->moved_ns > factor * first + QUIET_NS)
        return UINT64_MAX;
    uint64_t measured = now_ns - race->mark_ns;
    if (!pace || measured < WINDOW_NS || race->moved_ns == race->mark_ns)
        return 0;
    uint64_t missing = missing_of(race);
    uint64_t stay = orb_tail_time(missing, orb_tail_pace(race->moved_at - race->mark_at, measured));
    uint64_t anew = add(first, orb_tail_time(missing, pace));
    if (measured > WINDOW_LONG) {
        race->mark_ns = now_ns;
        race->mark_at = race->moved_at;
    }
    return stay / factor > anew && stay - anew > WORTH_NS ? stay - anew : 0;
}

/* A hedge that does not get ahead soon was as unlucky as what it is to replace: another one may follow. */
static void look_at_hedge(struct orb_race *race, uint64_t first, uint64_t now_ns)
{
    struct orb_race_leg *lead = orb_race_lead(race), *hedge = &race->legs[lead == &race->legs[0]];
    if (!in_attempt(hedge))
        return;
    uint64_t first_ns = atomic_load_explicit(&hedge->first_ns, memory_order_relaxed);
    if (atomic_load(&hedge->waits) && now_ns - race->moved_ns > QUIET_NS)
        orb_race_give_up(race);
    else if (first_ns ? now_ns > first_ns + first + QUIET_NS
                      : now_ns > hedge->call.attempt_ns + FACTOR * first + QUIET_NS)
        orb_race_withdraw(race);
}

/* ---- what it may cost ------------------------------------------------------------------------------------ */

static void hedge(struct orb_hedger *hedger, struct orb_race *race)
{
    uint64_t cap = hedger->total / 20 > CAP_LEAST ? hedger->total / 20 : CAP_LEAST;
    uint64_t used = hedger->spent + hedger->reserved;
    uint64_t missing = missing_of(race), on_the_way = orb_smaller(missing, ON_THE_WAY);
    if (!missing || used + on_the_way >= cap)
        return;
    uint64_t may_drop = orb_smaller(orb_smaller(missing, DROP_MOST), cap - used - on_the_way);
    hedger->spent += on_the_way;
    hedger->reserved += may_drop;
    hedger->flying++;
    race->reserved = may_drop;
    race->hedging = true;
    race->hedges++;
    ORB_TALLY_ADD(orb_host_tally(hedger->backend->host, race->tally), hedges, 1);
    orb_log(&hedger->backend->host->log, ORBIT_LOG_DEBUG, "a range of %llu bytes lags: asked for again",
            (unsigned long long)missing);
    orb_race_hedge(race, may_drop);
}

static bool slowed_down(const struct orb_hedger *hedger)
{
    const struct orb_flow *flow = orb_flow_of(hedger->backend);
    return flow && orb_flow_rate(flow) > 0;
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

static void look(void *ctx);

static void look_again(struct orb_hedger *hedger)
{
    if (!hedger->timer && hedger->races && !hedger->off)
        hedger->timer = orb_timer_start(hedger->backend->host->loop, LOOK_MS, look, hedger);
}

static void look(void *ctx)
{
    struct orb_hedger *hedger = ctx;
    hedger->timer = NULL;
    uint64_t now_ns = orb_now_ns(), worst_by = 0;
    for (struct orb_race *race = hedger->races; race; race = race->next) {
        learn_first(hedger, &race->legs[0]);
        learn_first(hedger, &race->legs[1]);
    }
    uint64_t first = usual_first(hedger), pace = usual_pace(hedger, now_ns);
    struct orb_race *worst = NULL;
    for (struct orb_race *race = hedger->races; race; race = race->next) {
        if (race->cancelled || race->ended || !in_attempt(orb_race_lead(race)) || !observe(race, now_ns) || !first)
            continue;
        if (orb_race_hedged(race)) {
            look_at_hedge(race, first, now_ns);
            continue;
        }
        if (race->hedges >= HEDGES_MAX || atomic_load(&race->message_out))
            continue;
        uint64_t by = lags_by(race, first, pace, now_ns);
        if (by > worst_by || (by && by == worst_by && race->kind->urgent && race->kind->urgent(race))) {
            worst = race;
            worst_by = by;
        }
    }
    if (worst && hedger->flying <= hedger->running / 4 && !slowed_down(hedger))
        hedge(hedger, worst);
    look_again(hedger);
}

/* ---- for the stream and the race --------------------------------------------------------------------------- */

void orb_hedger_init(struct orb_hedger *hedger, struct orb_backend *backend, bool off)
{
    hedger->backend = backend;
    hedger->off = off || backend->caps.no_retry || backend->caps.random_access || !backend->caps.ranged_read;
}

void orb_hedger_watch(struct orb_hedger *hedger, struct orb_race *race)
{
    if (hedger->off || race->hedger || hedger->total < WORTH_BYTES)
        return;
    race->hedger = hedger;
    race->attempt_ns = 0;
    race->next = hedger->races;
    race->link = &hedger->races;
    if (race->next)
        race->next->link = &race->next;
    hedger->races = race;
    hedger->running++;
    look_again(hedger);
}

void orb_hedger_stop(struct orb_hedger *hedger)
{
    hedger->off = true;
    orb_timer_cancel(hedger->timer);
    hedger->timer = NULL;
}

void orb_hedge_leg_over(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_hedger *hedger = race->hedger;
    if (!hedger)
        return;
    learn_first(hedger, leg);
    uint64_t dropped = atomic_exchange(&leg->dropped, 0);
    hedger->spent += dropped;
    ORB_TALLY_ADD(orb_host_tally(hedger->backend->host, race->tally), hedge_bytes, dropped);
    if (!race->hedging)
        return;
    race->hedging = false;
    hedger->reserved -= race->reserved;
    hedger->flying--;
}

void orb_hedge_over(struct orb_race *race)
{
    struct orb_hedger *hedger = race->hedger;
    if (!hedger)
        return;
    struct orb_race_leg *lead = orb_race_lead(race);
    uint64_t pace = race->held_up || race->status < 0 ? 0 : pace_of(lead, orb_race_at(race), orb_now_ns(), SAMPLE_FROM);
    struct orb_tail *tail = pace ? tail_of(hedger) : NULL;
    if (pace)
        orb_tail_add(&hedger->tail.pace, pace);
    if (tail)
        orb_tail_add(&tail->pace, pace);
    *race->link = race->next;
    if (race->next)
        race->next->link = race->link;
    race->next = NULL;
    race->link = NULL;
    race->hedger = NULL;
    hedger->running--;
    if (!hedger->races) {
        orb_timer_cancel(hedger->timer);
        hedger->timer = NULL;
    }
}
