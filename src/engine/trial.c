/* SPDX-License-Identifier: Apache-2.0
 * Trials of more ranges. No clock of its own, so that a test can play any machine. */
#include "engine/trial.h"

#include "base/clock.h"

enum {
    LOOK_MS = 40,
    PROVE_MS = 160,
    TRY_AGAIN_MS = 100,
    TRY_SELDOM_MS = 6400,
    GAIN_PERCENT = 120,
    STAY_PERCENT = 115, /* of what is kept: not to go to and fro */
    MEAN_OF = 4         /* looks, about */
};

void orb_trial_start(struct orb_trial *trial)
{
    *trial = (struct orb_trial){.patience_ms = TRY_AGAIN_MS};
}

void orb_trial_forget(struct orb_trial *trial)
{
    trial->state = ORB_TRIAL_RESTS;
    trial->few = (struct orb_trial_rate){0};
}

uint32_t orb_trial_wait_ms(const struct orb_trial *trial)
{
    return trial->state == ORB_TRIAL_PROVES ? PROVE_MS : LOOK_MS;
}

/* Faster by a fifth at least; and what each byte costs more must be clearly less than what is gained, or the time of
 * others on this machine is spent for little: on two cores with a server beside, two lanes of TLS are 1.2 times as fast
 * for 1.25 times the processor. */
static bool is_worth(struct orb_trial_rate more, struct orb_trial_rate few, uint64_t least_percent)
{
    uint64_t gain = more.per_s / (few.per_s / 100 + 1);
    uint64_t price = few.cost >= 100 ? more.cost / (few.cost / 100) : 0;
    return gain >= least_percent && (price <= 100 || (price - 100) * 3 <= (gain - 100) * 2);
}

static uint64_t blend(uint64_t mean, uint64_t late)
{
    return mean ? mean - mean / MEAN_OF + late / MEAN_OF : late;
}

static void add(struct orb_trial_rate *mean, struct orb_trial_rate late)
{
    mean->per_s = blend(mean->per_s, late.per_s);
    mean->cost = blend(mean->cost, late.cost);
}

static uint32_t fall_back(struct orb_trial *trial, uint64_t now_ns)
{
    trial->state = ORB_TRIAL_RESTS;
    trial->next_ns = now_ns + trial->patience_ms * ORB_MS;
    if (trial->patience_ms < TRY_SELDOM_MS)
        trial->patience_ms *= 2;
    return trial->before;
}

static uint32_t try_more(struct orb_trial *trial, uint32_t now)
{
    trial->before = now;
    trial->state = ORB_TRIAL_TRIES;
    return now * 2;
}

static uint32_t rest(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint32_t most, uint64_t now_ns)
{
    add(&trial->few, rate);
    return now_ns >= trial->next_ns && now <= most / 2 ? try_more(trial, now) : now;
}

static uint32_t try_or_prove(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint64_t now_ns)
{
    if (!is_worth(rate, trial->few, GAIN_PERCENT))
        return fall_back(trial, now_ns);
    if (trial->state == ORB_TRIAL_TRIES) {
        trial->state = ORB_TRIAL_PROVES;
        return now;
    }
    trial->state = ORB_TRIAL_KEEPS;
    trial->more = rate;
    trial->doubt_ns = now_ns + TRY_SELDOM_MS * ORB_MS;
    return now;
}

static uint32_t keep(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint32_t most, uint64_t now_ns)
{
    add(&trial->more, rate);
    if (!is_worth(trial->more, trial->few, STAY_PERCENT))
        return fall_back(trial, now_ns);
    if (now <= most / 2) {
        trial->few = trial->more;
        return try_more(trial, now);
    }
    if (now_ns < trial->doubt_ns)
        return now;
    orb_trial_forget(trial);
    trial->next_ns = now_ns;
    return trial->before;
}

uint32_t orb_trial_look(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint32_t most,
                        uint64_t now_ns)
{
    switch (trial->state) {
    case ORB_TRIAL_TRIES:
    case ORB_TRIAL_PROVES:
        return try_or_prove(trial, rate, now, now_ns);
    case ORB_TRIAL_KEEPS:
        return keep(trial, rate, now, most, now_ns);
    default:
        return rest(trial, rate, now, most, now_ns);
    }
}
