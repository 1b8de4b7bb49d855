/* SPDX-License-Identifier: Apache-2.0
 * Pacing. A store that says "slow down" tells with its successes of the last second how much it takes: requests
 * start at that rate from then on, and the rate grows with every answer until the store complains again or has
 * not complained for a while. Retries have an allowance a backend: a thousand calls that fail together must not
 * turn into a thousand retries a second. Nothing fails here, things only start later. Loop thread only. */
#include "engine/pace.h"

#include "base/clock.h"
#include "base/mem.h"

#define SLOTS           10u /* of SLOT_NS: the last second */
#define SLOT_NS         (100 * ORB_MS)
#define RATE_LEAST      1.0
#define GROWTH          0.1 /* requests a second more for each answer: 10 % a second */
#define GROWTH_UNKNOWN  0.5 /* while it is not known what the store takes */
#define CALM_NS         (30 * ORB_S)
#define RETRY_ALLOWANCE 500.0
#define RETRY_COST      5.0
#define RETRY_REFILL    10.0 /* a second; and 1 for every answer */
#define RETRY_DEBT      200.0

struct orb_pace {
    struct orb_loop *loop;
    bool answered;

    uint32_t slots[SLOTS]; /* answers by time of arrival, a ring */
    uint64_t slot;         /* absolute number of the newest slot */

    bool limiting, unknown;
    double rate, tokens;
    uint64_t filled_ns, cut_ns;

    struct orb_call *first, **last;
    struct orb_timer *timer;
    void (*go)(struct orb_call *call);

    double allowance;
    uint64_t allowance_ns;
};

struct orb_pace *orb_pace_of(struct orb_backend *backend)
{
    struct orb_pace *pace = backend->pace;
    if (pace || !(pace = orb_calloc(1, sizeof(*pace))))
        return pace;
    pace->loop = backend->host->loop;
    pace->last = &pace->first;
    pace->allowance = RETRY_ALLOWANCE;
    pace->allowance_ns = orb_now_ns();
    backend->pace = pace;
    return pace;
}

void orb_call_release_pace(struct orb_backend *backend)
{
    struct orb_pace *pace = backend->pace;
    if (!pace)
        return;
    orb_timer_cancel(pace->timer);
    orb_free(pace);
    backend->pace = NULL;
}

/* ---- what the store takes ------------------------------------------------------------------------ */

static void slots_turn(struct orb_pace *pace, uint64_t now_ns)
{
    uint64_t slot = now_ns / SLOT_NS;
    if (slot - pace->slot > SLOTS)
        pace->slot = slot - SLOTS;
    while (pace->slot < slot)
        pace->slots[++pace->slot % SLOTS] = 0;
}

static double answers_a_second(struct orb_pace *pace, uint64_t now_ns)
{
    slots_turn(pace, now_ns);
    uint32_t sum = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        sum += pace->slots[i];
    return sum;
}

/* ---- the token bucket ---------------------------------------------------------------------------- */

static void fill(struct orb_pace *pace, uint64_t now_ns)
{
    double burst = pace->rate / 4 > 1 ? pace->rate / 4 : 1;
    pace->tokens += pace->rate * (double)(now_ns - pace->filled_ns) / (double)ORB_S;
    if (pace->tokens > burst)
        pace->tokens = burst;
    pace->filled_ns = now_ns;
}

static void release(void *ctx);

static void arm(struct orb_pace *pace)
{
    if (pace->timer || !pace->first)
        return;
    double wait_ms = (1 - pace->tokens) / pace->rate * 1000;
    pace->timer = orb_timer_start(pace->loop, wait_ms < 1 ? 1 : (uint64_t)wait_ms + 1, release, pace);
    if (!pace->timer) /* no memory for patience: go on without */
        pace->limiting = false;
}

static struct orb_call *pop(struct orb_pace *pace)
{
    struct orb_call *call = pace->first;
    pace->first = call->next;
    if (!pace->first)
        pace->last = &pace->first;
    call->next = NULL;
    call->queued = false;
    return call;
}

/* What starts may end, and more may be queued meanwhile: only what is due goes. */
static void release(void *ctx)
{
    struct orb_pace *pace = ctx;
    pace->timer = NULL;
    fill(pace, orb_now_ns());
    while (pace->first && (!pace->limiting || pace->tokens >= 1)) {
        pace->tokens -= 1;
        pace->go(pop(pace));
    }
    arm(pace);
    while (pace->first && !pace->limiting)
        pace->go(pop(pace));
}

bool orb_pace_enter(struct orb_pace *pace, struct orb_call *call, void (*go)(struct orb_call *call), uint64_t now_ns)
{
    if (!pace->limiting)
        return true;
    fill(pace, now_ns);
    if (!pace->first) {
        if (now_ns - pace->cut_ns > CALM_NS) {
            pace->limiting = false;
            return true;
        }
        if (pace->tokens >= 1) {
            pace->tokens -= 1;
            return true;
        }
    }
    pace->go = go;
    call->next = NULL;
    call->queued = true;
    *pace->last = call;
    pace->last = &call->next;
    arm(pace);
    if (pace->limiting)
        return false;
    orb_pace_withdraw(pace, call);
    return true;
}

void orb_pace_withdraw(struct orb_pace *pace, struct orb_call *call)
{
    if (!call->queued)
        return;
    struct orb_call **place = &pace->first;
    while (*place != call)
        place = &(*place)->next;
    *place = call->next;
    if (!*place)
        pace->last = place;
    call->next = NULL;
    call->queued = false;
}

/* ---- what the replies say ------------------------------------------------------------------------ */

void orb_pace_answered(struct orb_pace *pace, uint64_t now_ns)
{
    pace->answered = true;
    slots_turn(pace, now_ns);
    pace->slots[pace->slot % SLOTS]++;
    if (pace->limiting)
        pace->rate += pace->unknown ? GROWTH_UNKNOWN : GROWTH;
    if (pace->allowance < RETRY_ALLOWANCE)
        pace->allowance += 1;
}

bool orb_pace_has_answered(const struct orb_pace *pace)
{
    return pace->answered;
}

void orb_pace_throttled(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns)
{
    pace->answered = true;
    /* Replies to what started before the last cut say nothing about the new rate. */
    if (pace->limiting && attempt_ns < pace->cut_ns)
        return;
    double rate = answers_a_second(pace, now_ns);
    if (pace->limiting && rate > pace->rate)
        rate = pace->rate;
    if (!pace->limiting)
        pace->tokens = 0;
    pace->unknown = rate < RATE_LEAST;
    pace->rate = rate < RATE_LEAST ? RATE_LEAST : rate;
    pace->limiting = true;
    pace->cut_ns = now_ns;
    pace->filled_ns = now_ns;
}

uint64_t orb_pace_retry_ms(struct orb_pace *pace, uint64_t now_ns)
{
    pace->allowance += RETRY_REFILL * (double)(now_ns - pace->allowance_ns) / (double)ORB_S;
    pace->allowance_ns = now_ns;
    if (pace->allowance > RETRY_ALLOWANCE)
        pace->allowance = RETRY_ALLOWANCE;
    pace->allowance -= RETRY_COST;
    if (pace->allowance < -RETRY_DEBT)
        pace->allowance = -RETRY_DEBT;
    return pace->allowance >= 0 ? 0 : (uint64_t)(-pace->allowance / RETRY_REFILL * 1000);
}

double orb_pace_rate(const struct orb_pace *pace)
{
    return pace->limiting ? pace->rate : 0;
}
