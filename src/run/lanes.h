/* SPDX-License-Identifier: Apache-2.0
 * Lanes: the loops on which the wire runs, so that one core's worth of network is not the limit. A lane's
 * thread starts with its first use; idle lanes cost nothing. With 0 lanes the wire runs on the main loop. */
#ifndef ORB_RUN_LANES_H
#define ORB_RUN_LANES_H

#include "run/loop.h"

struct orb_lanes;

orbit_status orb_lanes_new(struct orb_lanes **made, unsigned count, struct orb_loop *main_loop, orbit_error *error);
void orb_lanes_free(struct orb_lanes *lanes);
unsigned orb_lanes_count(const struct orb_lanes *lanes); /* at least 1 (the main loop, when there are 0 lanes) */
/* The loop of lane `index`, started. NULL with `error` filled when its thread cannot start. Loop thread only. */
struct orb_loop *orb_lanes_loop(struct orb_lanes *lanes, unsigned index, orbit_error *error);

#endif
