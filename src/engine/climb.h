/* SPDX-License-Identifier: Apache-2.0
 * Looks for the number (of requests in flight, of requests a second) beyond which a store brings no more: raises it for
 * a while, keeps the higher one only if what it yields grew with it, lowers it when the store complains. Arithmetic on
 * what it is told; owns no clock. */
#ifndef ORB_ENGINE_CLIMB_H
#define ORB_ENGINE_CLIMB_H

#include <stdbool.h>
#include <stdint.h>

struct orb_climb {
    double value;
    double least, most;
    double from, from_yield; /* what is tried to be better than */
    bool trying;
    bool fast; /* nothing was in the way yet: steps are long */
    double fast_step;
    uint64_t next_ns;     /* when it may be raised again */
    uint64_t patience_ns; /* how long it stays after the next raise that brings nothing */
};

void orb_climb_init(struct orb_climb *climb, double value, double least, double most, double fast_step);
/* For a while `value` was what limited, and `yield` (bytes, answers: of one kind always) came a second. True when the
 * value is another one now: what is measured next begins anew. */
bool orb_climb_yield(struct orb_climb *climb, double yield, uint64_t now_ns);
/* Down to `value`, and not up again at once. */
void orb_climb_cut(struct orb_climb *climb, double value, uint64_t now_ns);

/* How a store feels: replies and complaints, the older ones counting less and less. */
struct orb_health {
    double good, bad;
    uint64_t ns;
};
void orb_health_note(struct orb_health *health, bool good, uint64_t now_ns);
/* Complaints are more than what chance brings: several, and of all replies one in seven more than `usual`; where some
 * are usual, by more than they scatter. */
bool orb_health_is_bad(const struct orb_health *health, double usual);

#endif
