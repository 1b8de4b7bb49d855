/* SPDX-License-Identifier: Apache-2.0
 * The memory budget: an atomic count with a high-water mark. Waiting is engine/admission's. Any thread. */
#include "base/budget.h"

#include <assert.h>
#include <stddef.h>

void orb_budget_init(struct orb_budget *budget, uint64_t limit)
{
    budget->limit = limit;
    atomic_init(&budget->used, 0);
    atomic_init(&budget->peak, 0);
    budget->freed = NULL;
    budget->ctx = NULL;
}

bool orb_budget_take(struct orb_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (bytes > budget->limit || used > budget->limit - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes, memory_order_acq_rel,
                                                    memory_order_relaxed));
    used += bytes;
    uint64_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
    while (peak < used && !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used, memory_order_relaxed,
                                                                 memory_order_relaxed))
        ;
    return true;
}

void orb_budget_give(struct orb_budget *budget, uint64_t bytes)
{
    if (!bytes)
        return;
    uint64_t was = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_acq_rel);
    assert(was >= bytes);
    (void)was;
    if (budget->freed)
        budget->freed(budget->ctx);
}
