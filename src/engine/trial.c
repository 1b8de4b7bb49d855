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
    MEAN_OF = 4 /* looks, about */
};

void orb_trial_start(struct orb_trial *trial)
{
    *trial = (struct orb_trial){.patience_ms = TRY_AGAIN_MS};
}

void orb_trial_forget(struct orb_trial *trial)
{
    trial->state = ORB_TRIAL_RESTS;
    trial->before = 0;
    trial->few = (struct orb_trial_rate){0};
}

uint32_t orb_trial_wait_ms(const struct orb_trial *trial)
{
    return trial->state == ORB_TRIAL_PROVES ? PROVE_MS : LOOK_MS;
}

/* Faster by a fifth at least; and what each byte costs more must be clearly less than what is gained, or the time of
 * others on this machine is spent for little: on two cores with a server beside, two lanes of TLS are 1.2 times as fast
 * for 1.25 times the processor. */
static bool is_worth(struct orb_trial_rate more, struct orb_trial_rate few)
{
    uint64_t gain = more.per_s / (few.per_s / 100 + 1);
    uint64_t price = few.cost >= 100 ? more.cost / (few.cost / 100) : 0;
    return gain >= GAIN_PERCENT && (price <= 100 || (price - 100) * 3 <= (gain - 100) * 2);
}

static uint64_t blend(uint64_t mean, uint64_t late)
{
    return mean ? mean - mean / MEAN_OF + late / MEAN_OF : late;
}

static uint32_t fall_back(struct orb_trial *trial, uint64_t now_ns)
{
    trial->state = ORB_TRIAL_RESTS;
    trial->next_ns = now_ns + trial->patience_ms * ORB_MS;
    if (trial->patience_ms < TRY_SELDOM_MS)
        trial->patience_ms *= 2;
    return trial->before;
}

/* They are the ones to compare with from here on. */
static void keep(struct orb_trial *trial, struct orb_trial_rate rate, uint64_t now_ns)
{
    trial->state = ORB_TRIAL_RESTS;
    trial->few = rate;
    trial->next_ns = now_ns;
    trial->doubt_ns = now_ns + TRY_SELDOM_MS * ORB_MS;
}

static uint32_t rest(struct orb_trial *trial, uint32_t now, uint32_t most, uint64_t now_ns)
{
    if (now_ns >= trial->next_ns && now <= most / 2) {
        trial->before = now;
        trial->state = ORB_TRIAL_TRIES;
        return now * 2;
    }
    if (trial->before && trial->before < now && now_ns >= trial->doubt_ns) {
        trial->few = (struct orb_trial_rate){0};
        trial->next_ns = now_ns;
        return trial->before;
    }
    return now;
}

uint32_t orb_trial_look(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint32_t most,
                        uint64_t now_ns)
{
    if (trial->state != ORB_TRIAL_RESTS && !is_worth(rate, trial->few))
        return fall_back(trial, now_ns);
    if (trial->state == ORB_TRIAL_TRIES) {
        trial->state = ORB_TRIAL_PROVES;
        return now;
    }
    if (trial->state == ORB_TRIAL_PROVES) {
        keep(trial, rate, now_ns);
    } else {
        trial->few.per_s = blend(trial->few.per_s, rate.per_s);
        trial->few.cost = blend(trial->few.cost, rate.cost);
    }
    return rest(trial, now, most, now_ns);
}
