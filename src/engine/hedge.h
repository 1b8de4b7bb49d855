/* SPDX-License-Identifier: Apache-2.0
 * When to ask again: looks at the ranges in flight of one stream now and then, compares them with what is usual (of
 * this stream, or of its store while there is little of it yet), and lets a hedge race with a range that lags far
 * behind. How they race is race.c's. Loop thread only. */
#ifndef ORB_ENGINE_HEDGE_H
#define ORB_ENGINE_HEDGE_H

#include "engine/race.h"
#include "engine/tail.h"

struct orb_hedger {
    struct orb_backend *backend;
    bool off;
    uint64_t total; /* bytes of the stream, as far as they are known: set by the owner */

    /* Private. */
    struct orb_tail tail;
    struct orb_race *races; /* in flight */
    uint32_t running, flying;
    uint64_t spent, reserved; /* extra bytes; of those that race now, at most */
    struct orb_timer *timer;
};

/* `hedger` was zeroed. off, or a store where asking again brings nothing: it does nothing. */
void orb_hedger_init(struct orb_hedger *hedger, struct orb_backend *backend, bool off);
/* Once the race was started; it leaves by itself. */
void orb_hedger_watch(struct orb_hedger *hedger, struct orb_race *race);
/* No new hedges; races that are under way end by their owner. */
void orb_hedger_stop(struct orb_hedger *hedger);

/* Of race.c: a leg ended; all of it did. */
void orb_hedge_leg_over(struct orb_race *race, struct orb_race_leg *leg);
void orb_hedge_over(struct orb_race *race);

#endif
