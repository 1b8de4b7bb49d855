/* SPDX-License-Identifier: Apache-2.0
 * The network lanes: loops that start when first used. Loop thread only. */
#include "run/lanes.h"

#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"

struct orb_lanes {
    struct orb_loop *main_loop;
    unsigned count; /* 0: the main loop is the only lane */
    struct orb_loop *loops[];
};

orbit_status orb_lanes_new(struct orb_lanes **made, unsigned count, struct orb_loop *main_loop, orbit_error *error)
{
    struct orb_lanes *lanes = orb_calloc(1, sizeof(*lanes) + count * sizeof(struct orb_loop *));
    *made = lanes;
    if (!lanes)
        return orb_fail_memory(error);
    lanes->main_loop = main_loop;
    lanes->count = count;
    return ORBIT_OK;
}

void orb_lanes_free(struct orb_lanes *lanes)
{
    if (!lanes)
        return;
    for (unsigned i = 0; i < lanes->count; i++)
        orb_loop_free(lanes->loops[i]);
    orb_free(lanes);
}

unsigned orb_lanes_count(const struct orb_lanes *lanes)
{
    return lanes->count ? lanes->count : 1;
}

struct orb_loop *orb_lanes_loop(struct orb_lanes *lanes, unsigned index, orbit_error *error)
{
    if (!lanes->count)
        return lanes->main_loop;
    index %= lanes->count;
    struct orb_loop *loop = lanes->loops[index];
    if (loop)
        return loop;
    char name[16];
    snprintf(name, sizeof(name), "orbit-lane-%u", index % 1000);
    if (orb_loop_new(&loop, name, false, error) < 0)
        return NULL;
    if (orb_loop_start(loop, error) < 0) {
        orb_loop_free(loop);
        return NULL;
    }
    lanes->loops[index] = loop;
    return loop;
}
