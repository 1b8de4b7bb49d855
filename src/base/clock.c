/* SPDX-License-Identifier: Apache-2.0
 * Clocks, and randomness for jitter and names (not for secrets). Any thread. */
#include "base/clock.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * ORB_S + (uint64_t)now.tv_nsec;
}

uint64_t orb_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t orb_realtime_ns(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME);
}

uint64_t orb_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t orb_random_u64(void)
{
    /* splitmix64, seeded for each thread and again after a fork: two processes must not invent the same
     * temporary names. */
    static _Thread_local uint64_t state;
    static _Thread_local pid_t owner;

    pid_t self = getpid();
    if (owner != self) {
        uint64_t seed = 0;
        if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
            seed = orb_now_ns() ^ (uint64_t)orb_realtime_ns() << 1 ^ (uint64_t)self << 40 ^ (uint64_t)(uintptr_t)&state;
        state = seed;
        owner = self;
    }
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
