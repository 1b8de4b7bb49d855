/* SPDX-License-Identifier: Apache-2.0
 * What is counted of requests, for a client and for each of its streams and tasks. Counted on the loop, read from
 * any thread, one number at a time: what is read is not one moment's. */
#ifndef ORB_BASE_TALLY_H
#define ORB_BASE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include <orbit/trace.h>

struct orb_tally {
    _Atomic uint64_t operations, retries, throttled, attempts[ORBIT_REQUEST_ROOM];
    _Atomic uint64_t hedges, hedge_bytes, hurries;
    _Atomic uint64_t bytes; /* of contents; counted by who moves them */
    _Atomic uint32_t in_flight, in_flight_most;
};

static inline void orb_tally_add(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

/* One thread at a time. */
static inline void orb_tally_begun(struct orb_tally *tally)
{
    orb_tally_add(&tally->operations, 1);
    uint32_t now = atomic_fetch_add_explicit(&tally->in_flight, 1, memory_order_relaxed) + 1;
    if (now > atomic_load_explicit(&tally->in_flight_most, memory_order_relaxed))
        atomic_store_explicit(&tally->in_flight_most, now, memory_order_relaxed);
}

static inline void orb_tally_ended(struct orb_tally *tally)
{
    atomic_fetch_sub_explicit(&tally->in_flight, 1, memory_order_relaxed);
}

#endif
