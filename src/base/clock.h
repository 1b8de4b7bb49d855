/* SPDX-License-Identifier: Apache-2.0
 * Clocks and randomness. Any thread. */
#ifndef ORB_BASE_CLOCK_H
#define ORB_BASE_CLOCK_H

#include <stdint.h>

#define ORB_MS 1000000ull    /* nanoseconds in a millisecond */
#define ORB_S  1000000000ull /* nanoseconds in a second */

uint64_t orb_now_ns(void);     /* CLOCK_MONOTONIC */
int64_t orb_realtime_ns(void); /* since 1970 UTC */
uint64_t orb_cpu_ns(void);     /* that all threads of this process have spent on processors */
uint64_t orb_random_u64(void); /* for jitter and names; from getrandom, seeded per call site's thread */

#endif
