/* SPDX-License-Identifier: Apache-2.0
 * What is counted of requests, for a client and for each of its streams and tasks. Counted on the loop, read from
 * any thread, one number at a time: what is read is not one moment's. */
#ifndef ORB_BASE_TALLY_H
#define ORB_BASE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include <orbit/trace.h>

struct orb_tally {
    struct orb_tally
        *whole; /* that this is a part of: a stream's of its client's. NULL: none; not changed while it counts */
    _Atomic uint64_t operations, retries, throttled, attempts[ORBIT_REQUEST_ROOM];
    _Atomic uint64_t hedges, hedge_bytes, hurries;
    _Atomic uint64_t bytes; /* of contents; counted by who moves them, in this one alone */
    _Atomic uint32_t in_flight, in_flight_most;
};

/* Counts in a tally and in all that it is a part of. */
#define ORB_TALLY_ADD(tally, counter, count)                                            \
    do {                                                                                \
        for (struct orb_tally *tally_ = (tally); tally_; tally_ = tally_->whole)        \
            atomic_fetch_add_explicit(&tally_->counter, (count), memory_order_relaxed); \
    } while (0)

/* One thread at a time. */
static inline void orb_tally_begun(struct orb_tally *tally)
{
    ORB_TALLY_ADD(tally, operations, 1);
    for (; tally; tally = tally->whole) {
        uint32_t now = atomic_fetch_add_explicit(&tally->in_flight, 1, memory_order_relaxed) + 1;
        if (now > atomic_load_explicit(&tally->in_flight_most, memory_order_relaxed))
            atomic_store_explicit(&tally->in_flight_most, now, memory_order_relaxed);
    }
}

static inline void orb_tally_ended(struct orb_tally *tally)
{
    for (; tally; tally = tally->whole)
        atomic_fetch_sub_explicit(&tally->in_flight, 1, memory_order_relaxed);
}

#endif
