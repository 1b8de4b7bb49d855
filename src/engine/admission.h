/* SPDX-License-Identifier: Apache-2.0
 * Who waits for memory: first come, first served, on the loop. A stream reserves its minimum when it opens; an open
 * stream never waits for another's memory. One that holds what it could fetch again is asked for it. Loop thread only,
 * but for what budget->freed does. */
#ifndef ORB_ENGINE_ADMISSION_H
#define ORB_ENGINE_ADMISSION_H

#include "backend/backend.h"

/* Once a host, by who opens it, before any thread may use the budget; close when nobody uses it any more. */
orbit_status orb_admission_open(struct orbit_host *host, orbit_error *error);
void orb_admission_close(struct orbit_host *host);
/* Whether somebody waits for memory: an open stream does not grow then. Any thread. */
bool orb_admission_pressed(const struct orbit_host *host);

struct orb_admission {
    struct orb_admission *next, **link;
    struct orbit_host *host;
    uint64_t bytes;
    void (*admitted)(void *ctx); /* loop thread; `bytes` were taken from the budget for the waiter */
    void *ctx;
    bool waiting;
};

/* Takes `bytes` now and returns true, or queues and returns false: admitted() comes later. Bytes above half of
 * the budget are the caller's mistake. */
bool orb_admission_ask(struct orb_admission *admission, struct orbit_host *host, uint64_t bytes,
                       void (*admitted)(void *ctx), void *ctx);
/* Stops waiting; nothing when it does not wait. Bytes that were taken stay the caller's to give back. */
void orb_admission_withdraw(struct orb_admission *admission);

/* Who holds memory that it could do without. While somebody waits for memory, pressed() is called a few times a second:
 * it gives back what nobody is using, or nothing. Loop thread. */
struct orb_lender {
    struct orb_lender *next, **link;
    struct orbit_host *host;
    void (*pressed)(void *ctx);
    void *ctx;
};
void orb_admission_hold(struct orb_lender *lender, struct orbit_host *host, void (*pressed)(void *ctx), void *ctx);
/* Nothing when it does not hold. Not from inside pressed(). */
void orb_admission_let_go(struct orb_lender *lender);

#endif
