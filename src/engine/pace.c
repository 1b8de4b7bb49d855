/* SPDX-License-Identifier: Apache-2.0
 * Pacing. A store that says "slow down" more often than now and then tells with its successes of the last second how
 * much it takes: requests start at that rate from then on, if there are fewer complaints then. Whether it takes more is
 * tried (climb.c): a higher rate is kept only if more is answered. So a store with a limit is asked just as often as it
 * answers, and one that fails at random is not slowed down for that: a share of refusals that a lower rate does not
 * change is what is usual there, and only more than it counts. Retries have an allowance: a thousand calls that fail
 * together must not turn into a thousand retries a second. */
#include "engine/pace.h"

#include "base/clock.h"

#define SLOT_NS         (100 * ORB_MS)
#define SECOND          (ORB_PACE_SLOTS * SLOT_NS)
#define BUSY_LEAST_NS   (250 * ORB_MS) /* what came in less says little about a second */
#define RATE_LEAST      1.0
#define RATE_MOST       1e6
#define BURST_NS        (40 * ORB_MS) /* of the rate that may start at once */
#define RATE_STEP       2.0           /* while nothing is known of what it takes */
#define EPOCH_NS        (300 * ORB_MS)
#define EPOCH_REPLIES   12u
#define EPOCH_BAD       24u /* enough of them to know */
#define EPOCH_BAD_TRIED 10u /* of a higher rate: each one is a request too many */
#define EPOCH_SCARCE_NS (1500 * ORB_MS)
#define TRIAL_BAD       4.0         /* as many complaints as these would have come: enough to see whether fewer do */
#define TRIAL_NS        (3 * ORB_S) /* at most */
#define RANDOM_MOST     0.35        /* a store that refuses more than these is not just unreliable */
#define BETTER          0.6         /* the share of complaints, times this, is an effect */
#define WORSE           1.5
#define BAD_NOISE       0.1
#define CALM_NS         (30 * ORB_S)
#define RETRY_ALLOWANCE 500.0
#define RETRY_COST      5.0
#define RETRY_REFILL    10.0 /* a second; and 1 for every answer */
#define RETRY_DEBT      200.0

void orb_pace_init(struct orb_pace *pace, uint64_t now_ns)
{
    *pace = (struct orb_pace){.allowance = RETRY_ALLOWANCE, .allowance_ns = now_ns};
}

/* ---- what the store takes ------------------------------------------------------------------------ */

static void slots_turn(struct orb_pace *pace, uint64_t now_ns)
{
    uint64_t slot = now_ns / SLOT_NS;
    if (slot - pace->slot > ORB_PACE_SLOTS)
        pace->slot = slot - ORB_PACE_SLOTS;
    while (pace->slot < slot)
        pace->slots[++pace->slot % ORB_PACE_SLOTS] = 0;
    if (now_ns - pace->heard_ns > SECOND)
        pace->busy_ns = now_ns;
    pace->heard_ns = now_ns;
}

static double answers_a_second(const struct orb_pace *pace, uint64_t now_ns)
{
    uint64_t busy_ns = now_ns - pace->busy_ns;
    uint32_t sum = 0;
    for (unsigned i = 0; i < ORB_PACE_SLOTS; i++)
        sum += pace->slots[i];
    if (busy_ns < BUSY_LEAST_NS)
        busy_ns = BUSY_LEAST_NS;
    if (busy_ns > SECOND)
        busy_ns = SECOND;
    return (double)sum * (double)ORB_S / (double)busy_ns;
}

/* ---- the token bucket ---------------------------------------------------------------------------- */

static void fill(struct orb_pace *pace, uint64_t now_ns)
{
    double rate = pace->climb.value;
    double burst = rate * (double)BURST_NS / (double)ORB_S > 1 ? rate * (double)BURST_NS / (double)ORB_S : 1;
    pace->tokens += rate * (double)(now_ns - pace->filled_ns) / (double)ORB_S;
    if (pace->tokens > burst)
        pace->tokens = burst;
    pace->filled_ns = now_ns;
}

bool orb_pace_take(struct orb_pace *pace, uint64_t now_ns)
{
    if (pace->limiting && now_ns - pace->cut_ns > CALM_NS && now_ns - pace->bound_ns > CALM_NS)
        pace->limiting = false;
    if (!pace->limiting)
        return true;
    fill(pace, now_ns);
    if (pace->tokens < 1) {
        pace->bound_ns = now_ns;
        return false;
    }
    pace->tokens -= 1;
    return true;
}

uint64_t orb_pace_wait_ms(struct orb_pace *pace, uint64_t now_ns)
{
    if (!pace->limiting)
        return 0;
    fill(pace, now_ns);
    return pace->tokens >= 1 ? 0 : (uint64_t)((1 - pace->tokens) / pace->climb.value * 1000) + 1;
}

void orb_pace_stop(struct orb_pace *pace)
{
    pace->limiting = false;
}

/* ---- what the replies say ------------------------------------------------------------------------ */

static void new_rate(struct orb_pace *pace, uint64_t now_ns)
{
    pace->epoch_ns = now_ns;
    pace->counted_ns = 0;
    pace->counted_good = pace->counted_bad = 0;
    pace->health = (struct orb_health){0};
}

static void lower(struct orb_pace *pace, double rate, double bad_share, uint64_t now_ns)
{
    pace->lowered = true;
    pace->lowerings++;
    pace->before = pace->climb.value;
    pace->bad_before = bad_share;
    orb_climb_cut(&pace->climb, rate < pace->climb.value ? rate : pace->climb.value, now_ns);
    pace->cut_ns = pace->filled_ns = now_ns;
    new_rate(pace, now_ns);
}

/* A lower rate was tried: fewer complaints, and it stays; more, and it was not low enough. As many as before, and it is
 * not the rate that this store complains about: then it costs answers and changes nothing. */
static void judge_lower(struct orb_pace *pace, double yield, double bad_share, uint64_t now_ns)
{
    pace->lowered = false;
    if (bad_share > pace->bad_before * WORSE + BAD_NOISE) {
        lower(pace, yield, bad_share, now_ns);
    } else if (bad_share > pace->bad_before * BETTER) {
        pace->climb.value = pace->before;
        pace->usual_bad = (bad_share + pace->bad_before) / 2;
        pace->usual_ns = now_ns;
        pace->in_vain++;
        new_rate(pace, now_ns);
        if (pace->usual_bad <= RANDOM_MOST)
            pace->limiting = false;
    } else {
        pace->usual_bad = 0;
        new_rate(pace, now_ns);
    }
}

/* Replies to what started at this rate, from the first of them on: how many answers a second? */
static void count(struct orb_pace *pace, bool good, uint64_t attempt_ns, uint64_t now_ns)
{
    if (attempt_ns < pace->epoch_ns)
        return;
    if (!pace->counted_ns) {
        pace->counted_ns = now_ns;
        return;
    }
    uint64_t ns = now_ns - pace->counted_ns;
    if (good)
        pace->counted_good++;
    else
        pace->counted_bad++;
    uint32_t all = pace->counted_good + pace->counted_bad;
    uint32_t bad_enough = pace->climb.trying && !pace->lowered ? EPOCH_BAD_TRIED : EPOCH_BAD;
    bool scarce = pace->lowered ? all * pace->bad_before < TRIAL_BAD && ns < TRIAL_NS
                                : all < EPOCH_REPLIES && ns < EPOCH_SCARCE_NS;
    if (pace->counted_bad < bad_enough && (ns < EPOCH_NS || scarce))
        return;
    double yield = (double)pace->counted_good * (double)ORB_S / (double)(ns ? ns : 1);
    double bad_share = (double)pace->counted_bad / (double)all;
    if (pace->lowered) {
        judge_lower(pace, yield, bad_share, now_ns);
        return;
    }
    if (pace->bound_ns >= pace->counted_ns) /* else it is not the rate that limits */
        (void)orb_climb_yield(&pace->climb, yield, now_ns);
    new_rate(pace, now_ns);
}

void orb_pace_answered(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns)
{
    slots_turn(pace, now_ns);
    pace->slots[pace->slot % ORB_PACE_SLOTS]++;
    orb_health_note(&pace->health, true, now_ns);
    if (pace->limiting)
        count(pace, true, attempt_ns, now_ns);
    if (pace->allowance < RETRY_ALLOWANCE)
        pace->allowance += 1;
}

void orb_pace_throttled(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns)
{
    slots_turn(pace, now_ns);
    /* Replies to what started before the last cut say nothing about the new rate. */
    if (pace->limiting && attempt_ns < pace->cut_ns)
        return;
    orb_health_note(&pace->health, false, now_ns);
    if (pace->limiting) {
        bool trying = pace->lowered || pace->climb.trying;
        count(pace, false, attempt_ns, now_ns);
        if (trying) /* which is judged when it has lasted long enough */
            return;
    }
    if (now_ns - pace->usual_ns > CALM_NS)
        pace->usual_bad = 0;
    if (!orb_health_is_bad(&pace->health, pace->usual_bad))
        return;
    double bad_share = pace->health.bad / (pace->health.bad + pace->health.good);
    double rate = answers_a_second(pace, now_ns);
    if (!pace->limiting) {
        double sent = bad_share < 1 ? rate / (1 - bad_share) : RATE_LEAST;
        orb_climb_init(&pace->climb, sent > RATE_LEAST ? sent : RATE_LEAST, RATE_LEAST, RATE_MOST, RATE_STEP);
        pace->tokens = 0;
        pace->limiting = true;
    }
    lower(pace, rate, bad_share, now_ns);
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
    return pace->limiting ? pace->climb.value : 0;
}
