/* SPDX-License-Identifier: Apache-2.0
 * The histograms of what is usual. Pure arithmetic. */
#include "engine/tail.h"

#define LEAST_BITS 10u  /* values below 2^10 (a microsecond) are all alike */
#define FADES_AT   256u /* values; then each bucket counts half, so that the last few hundred are what is usual */
#define MIB        ((uint64_t)1 << 20)

static unsigned bucket_of(uint64_t value)
{
    if (value < (uint64_t)1 << LEAST_BITS)
        return 0;
    unsigned bits = 63u - (unsigned)__builtin_clzll(value);
    unsigned bucket = (bits - LEAST_BITS) * 4 + (unsigned)(value >> (bits - 2) & 3);
    return bucket < ORB_TAIL_BUCKETS ? bucket : ORB_TAIL_BUCKETS - 1;
}

/* The first value that is above the bucket's. */
static uint64_t end_of(unsigned bucket)
{
    unsigned bits = LEAST_BITS + bucket / 4;
    return ((uint64_t)4 + bucket % 4 + 1) << (bits - 2);
}

static void fade(struct orb_tail_values *values)
{
    values->total = 0;
    for (unsigned i = 0; i < ORB_TAIL_BUCKETS; i++) {
        values->counts[i] /= 2;
        values->total += values->counts[i];
    }
}

void orb_tail_add(struct orb_tail_values *values, uint64_t value)
{
    values->counts[bucket_of(value)]++;
    values->total++;
    if (values->total >= FADES_AT)
        fade(values);
}

uint64_t orb_tail_quantile(const struct orb_tail_values *values, unsigned percent)
{
    if (!values->total)
        return 0;
    uint32_t wanted = (values->total * percent + 99) / 100, seen = 0;
    unsigned bucket = 0;
    while (bucket < ORB_TAIL_BUCKETS - 1 && (seen += values->counts[bucket]) < (wanted ? wanted : 1))
        bucket++;
    return end_of(bucket);
}

uint64_t orb_tail_pace(uint64_t bytes, uint64_t ns)
{
    if (!bytes)
        return UINT64_MAX;
    double pace = (double)ns * (double)MIB / (double)bytes;
    return pace < 1 ? 1 : pace > (double)(UINT64_MAX / 2) ? UINT64_MAX : (uint64_t)pace;
}

uint64_t orb_tail_time(uint64_t bytes, uint64_t pace)
{
    double ns = (double)bytes * (double)pace / (double)MIB;
    return ns > (double)(UINT64_MAX / 2) ? UINT64_MAX : (uint64_t)ns;
}
