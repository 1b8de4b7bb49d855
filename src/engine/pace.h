/* SPDX-License-Identifier: Apache-2.0
 * The pace of one endpoint: after it asked for fewer requests they start from a token bucket, and retries of all its
 * calls draw on one allowance that delays them when it is used up. Nothing fails here, things only start later. Knows
 * no clock and no queue. */
#ifndef ORB_ENGINE_PACE_H
#define ORB_ENGINE_PACE_H

#include "engine/climb.h"

#define ORB_PACE_SLOTS 10u

struct orb_pace {
    uint32_t slots[ORB_PACE_SLOTS]; /* answers by time of arrival, a ring */
    uint64_t slot;                  /* absolute number of the newest slot */
    uint64_t busy_ns;               /* since when replies come without a pause */
    uint64_t heard_ns;              /* the latest reply */
    struct orb_health health;

    bool limiting;
    struct orb_climb climb; /* requests a second */
    double tokens;
    uint64_t filled_ns, cut_ns, bound_ns;
    uint64_t epoch_ns, counted_ns; /* since when this rate is used; when the first reply to it came */
    uint32_t counted_good, counted_bad;
    bool lowered;              /* it is tried whether that helps */
    double before, bad_before; /* the rate before that, and the share of complaints */
    uint32_t lowerings;        /* how often that began, … */
    uint32_t in_vain;          /* … and was found to change nothing */
    double usual_bad;          /* the share that a lower rate does not change, … */
    uint64_t usual_ns;         /* … and when that was found */

    double allowance;
    uint64_t allowance_ns;
};

void orb_pace_init(struct orb_pace *pace, uint64_t now_ns);
/* One request may start now: true, and it is counted. False: not before orb_pace_wait_ms(). */
bool orb_pace_take(struct orb_pace *pace, uint64_t now_ns);
uint64_t orb_pace_wait_ms(struct orb_pace *pace, uint64_t now_ns);
/* As many as are asked for may start. */
void orb_pace_stop(struct orb_pace *pace);

/* The store answered (also "not found") a request that started at `attempt_ns`. */
void orb_pace_answered(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns);
/* It asked for fewer requests. */
void orb_pace_throttled(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns);
/* Pays for one retry; returns how long it must wait at least. */
uint64_t orb_pace_retry_ms(struct orb_pace *pace, uint64_t now_ns);
/* Requests a second that start now; 0: as many as are asked for. */
double orb_pace_rate(const struct orb_pace *pace);

#endif
