/* SPDX-License-Identifier: Apache-2.0
 * How long a silence is usual. What an endpoint's requests were silent for, each kind by itself, tells which of those
 * in flight are silent for much longer: others get their places, and where that can do no harm they are asked again
 * early: soon where requests that were made later have been answered, later where nothing tells. All relative, and
 * bounded: never more than one in so many. Arithmetic on what it is told; owns no clock. */
#ifndef ORB_ENGINE_PATIENCE_H
#define ORB_ENGINE_PATIENCE_H

#include <orbit/trace.h>

#include "engine/tail.h"

#define ORB_PATIENCE_LATEST 8u

struct orb_patience {
    struct orb_tail_values silences[ORBIT_REQUEST_KINDS]; /* of those that were answered */
    /* When those that were answered last had begun: those that only ask, and those that change something. */
    uint64_t latest[2][ORB_PATIENCE_LATEST];
    unsigned next[2];
    double answers, hurries; /* of the latest requests, the older ones counting half */
};

/* One that began at `attempt_ns` was answered; it had been silent for `silence_ns` at most at a time. */
void orb_patience_answered(struct orb_patience *patience, orbit_request request, uint64_t attempt_ns,
                           uint64_t silence_ns);
/* One that is silent for longer needs no place for now. */
uint64_t orb_patience_place_ns(const struct orb_patience *patience, orbit_request request);
/* It is time to ask again: for the `attempt`th time it is silent, since `since_ns`. Then orb_patience_hurried(). */
bool orb_patience_is_over(const struct orb_patience *patience, orbit_request request, uint32_t attempt,
                          uint64_t since_ns, uint64_t now_ns);
void orb_patience_hurried(struct orb_patience *patience);

#endif
