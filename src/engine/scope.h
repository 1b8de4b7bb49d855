/* SPDX-License-Identifier: Apache-2.0
 * What ends a stream or call from outside: its time limit and its cancel token. Loop thread only. */
#ifndef ORB_ENGINE_SCOPE_H
#define ORB_ENGINE_SCOPE_H

#include "run/loop.h"

#include <orbit/client.h>

/* The inside of a cancel token. Firing writes an eventfd (async-signal-safe); each loop watches it once,
 * however many scopes there are. */
struct orb_scope {
    struct orb_loop *loop;
    struct orb_timer *timer;
    orbit_cancel *cancel;
    struct orb_scope *next, **link; /* among the scopes of one token on one loop */
    bool open, stopped;
    bool at_once; /* the token had fired before: the timer tells it */
    uint32_t timeout_ms;
    struct orb_watch *watch; /* of the token on this loop; NULL without a token */
    /* Called at most once, never from inside orb_scope_open(): status is ORBIT_E_CANCELLED or ORBIT_E_TIMEOUT. */
    void (*stop)(void *ctx, orbit_status status);
    void *ctx;
};

/* `timeout_ms` 0: none. `cancel` nullable. ORBIT_E_MEMORY, or what the system says. */
orbit_status orb_scope_open(struct orb_scope *scope, struct orb_loop *loop, uint32_t timeout_ms, orbit_cancel *cancel,
                            void (*stop)(void *ctx, orbit_status status), void *ctx, orbit_error *error);
/* stop is not called any more. Closing twice, or one that never opened, is fine when it was zeroed. */
void orb_scope_close(struct orb_scope *scope);

#endif
