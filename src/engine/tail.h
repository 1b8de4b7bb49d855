/* SPDX-License-Identifier: Apache-2.0
 * What is usual: how long requests take to their first byte, and how long a byte takes after it. Two small histograms
 * of fixed size with buckets a quarter of an octave wide, in which old values fade. A single thread at a time. */
#ifndef ORB_ENGINE_TAIL_H
#define ORB_ENGINE_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#define ORB_TAIL_BUCKETS 128u

struct orb_tail_values {
    uint16_t counts[ORB_TAIL_BUCKETS];
    uint32_t total;
};

struct orb_tail {
    struct orb_tail_values first; /* nanoseconds from the request to its first byte */
    struct orb_tail_values pace;  /* nanoseconds a MiB, from the first byte on */
};

void orb_tail_add(struct orb_tail_values *values, uint64_t value);
/* A value that `percent` of those added are not above, within a fifth; 0 when there are none. */
uint64_t orb_tail_quantile(const struct orb_tail_values *values, unsigned percent);
/* The pace of `bytes` in `ns`; never 0, and UINT64_MAX where nothing came. */
uint64_t orb_tail_pace(uint64_t bytes, uint64_t ns);
/* How long `bytes` take at that pace. */
uint64_t orb_tail_time(uint64_t bytes, uint64_t pace);

#endif
