/* SPDX-License-Identifier: Apache-2.0
 * An upload that was asked for and whose id was never heard, because the reply was lost or the process died in between:
 * looked for among those that are open, by the very same name, begun in the seconds in question and without a single
 * part, and given up.
 * Loop thread. */
#ifndef ORB_ENGINE_SWEEP_H
#define ORB_ENGINE_SWEEP_H

#include "engine/call.h"

enum { ORB_SWEEP_ID_MAX = 2048 };

struct orb_sweep {
    /* Set by the owner. */
    struct orb_backend *backend;
    const char *path;
    const orbit_write_options *options;
    int64_t begun_ns;                      /* when it was asked for, by our clock */
    void (*done)(struct orb_sweep *sweep); /* once, not from inside the start; what could not be done is logged */
    void *ctx;

    /* Private. */
    struct orb_call call;
    orbit_uploads_request uploads_request;
    orbit_parts_request parts_request;
    orbit_more_reply more_reply;
    orbit_begin_request begin_request;
    orbit_begin_reply begin_reply;
    bool has_parts;
    bool listed; /* the store told which uploads are open */
    char id[ORB_SWEEP_ID_MAX];
};

void orb_sweep_start(struct orb_sweep *sweep);
void orb_sweep_stop(struct orb_sweep *sweep);
bool orb_sweep_idle(const struct orb_sweep *sweep);

/* Of one that has ended: the store told what is open, and there was nothing such. */
bool orb_sweep_found_nothing(const struct orb_sweep *sweep);

#endif
