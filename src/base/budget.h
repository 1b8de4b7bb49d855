/* SPDX-License-Identifier: Apache-2.0
 * The memory budget of a client: an atomic, byte-accurate count. It never waits: who is refused shrinks or
 * waits in engine/admission. Any thread. */
#ifndef ORB_BASE_BUDGET_H
#define ORB_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ORB_BUDGET_DEFAULT (128ull << 20)
#define ORB_BUDGET_FLOOR   (16ull << 20)

struct orb_budget {
    uint64_t limit;
    _Atomic uint64_t used;
    _Atomic uint64_t peak;
    /* Called after every give-back, from the thread that gave back; wakes who waits. Nullable, set once. */
    void (*freed)(void *ctx);
    void *ctx;
};

void orb_budget_init(struct orb_budget *budget, uint64_t limit);
bool orb_budget_take(struct orb_budget *budget, uint64_t bytes); /* false: would exceed the limit */
void orb_budget_give(struct orb_budget *budget, uint64_t bytes);

#endif
