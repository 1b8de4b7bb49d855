/* SPDX-License-Identifier: Apache-2.0
 * Raising and lowering a limit by what it yields. A raise must bring at least half of what it would bring if nothing
 * else were in the way. This is what tells a store that refuses because it is asked too often (more requests, the
 * same number of answers) from one that fails now and then whatever one does (more requests, more answers). */
#include "engine/climb.h"

#include "base/clock.h"

#define STEP          1.25
#define PATIENCE_NS   (2 * ORB_S)
#define PATIENCE_MOST (16 * ORB_S)
#define HALF_LIFE_NS  (500 * ORB_MS)
#define BAD_LEAST     2.5  /* three, one of them a moment old */
#define BAD_SHARE     0.15 /* of all */

void orb_climb_init(struct orb_climb *climb, double value, double least, double most, double fast_step)
{
    *climb = (struct orb_climb){
        .value = value, .least = least, .most = most, .fast = true, .fast_step = fast_step, .patience_ns = PATIENCE_NS};
}

static bool raise(struct orb_climb *climb, double yield)
{
    double step = climb->fast ? climb->fast_step : STEP;
    double value = climb->value * step < climb->value + 1 ? climb->value + 1 : climb->value * step;
    if (value > climb->most)
        value = climb->most;
    climb->trying = value > climb->value;
    climb->from = climb->value;
    climb->from_yield = yield;
    climb->value = value;
    return climb->trying;
}

static void stay(struct orb_climb *climb, uint64_t now_ns)
{
    climb->fast = false;
    climb->next_ns = now_ns + climb->patience_ns;
    if (climb->patience_ns < PATIENCE_MOST)
        climb->patience_ns *= 2;
}

bool orb_climb_yield(struct orb_climb *climb, double yield, uint64_t now_ns)
{
    if (!climb->trying)
        return now_ns >= climb->next_ns && raise(climb, yield);
    double hoped = climb->value / climb->from - 1;
    climb->trying = false;
    if (yield >= climb->from_yield * (1 + hoped / 2)) {
        climb->patience_ns = PATIENCE_NS;
        return raise(climb, yield);
    }
    climb->value = climb->from;
    stay(climb, now_ns);
    return true;
}

void orb_climb_cut(struct orb_climb *climb, double value, uint64_t now_ns)
{
    if (climb->trying) /* the raise was too much */
        stay(climb, now_ns);
    climb->trying = false;
    climb->value = value < climb->least ? climb->least : value;
}

void orb_health_note(struct orb_health *health, bool good, uint64_t now_ns)
{
    uint64_t halves = health->ns ? (now_ns - health->ns) / HALF_LIFE_NS : 0;
    if (halves > 32) {
        health->good = health->bad = 0;
        halves = 0;
        health->ns = now_ns;
    }
    for (; halves; halves--) {
        health->good /= 2;
        health->bad /= 2;
        health->ns += HALF_LIFE_NS;
    }
    if (!health->ns)
        health->ns = now_ns;
    if (good)
        health->good += 1;
    else
        health->bad += 1;
}

/* Without a root: bad - mean > 2 sigma, both sides squared. */
bool orb_health_is_bad(const struct orb_health *health, double usual)
{
    double all = health->bad + health->good, share = BAD_SHARE + usual;
    double beyond = health->bad - share * all;
    if (health->bad < BAD_LEAST || beyond <= 0)
        return false;
    return usual <= 0 || beyond * beyond > 4 * all * share * (1 - share);
}
