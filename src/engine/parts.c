/* SPDX-License-Identifier: Apache-2.0
 * The part-size schedule. Pure functions: no I/O, no memory, any thread. */
#include "engine/parts.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/least.h"

#define TIERS 10 /* the store's part numbers are cut into this many tiers */

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t round_up(uint64_t bytes)
{
    if (bytes > UINT64_MAX - ORB_PARTS_ROUND)
        return bytes;
    return divide_up(bytes, ORB_PARTS_ROUND) * ORB_PARTS_ROUND;
}

/* The largest part that store and memory allow. */
static uint64_t largest(const struct orb_parts_rule *rule)
{
    uint64_t most = rule->part_max ? rule->part_max : UINT64_MAX;
    return rule->memory_max ? orb_smaller(most, rule->memory_max) : most;
}

static uint64_t clamp(const struct orb_parts_rule *rule, uint64_t bytes)
{
    if (bytes < rule->part_min)
        bytes = rule->part_min;
    return orb_smaller(bytes, largest(rule));
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return b && a > (UINT64_MAX - 1) / b ? UINT64_MAX - 1 : a * b;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - 1 - b ? UINT64_MAX - 1 : a + b;
}

static uint32_t tier_parts(const struct orb_parts_rule *rule)
{
    uint32_t parts = rule->count_max / TIERS;
    return parts ? parts : 1;
}

static uint32_t tier_of(const struct orb_parts_rule *rule, uint32_t number)
{
    return (number - 1) / tier_parts(rule);
}

/* `base` doubled once a tier. */
static uint64_t tier_bytes(const struct orb_parts *parts, uint32_t tier)
{
    uint64_t most = largest(&parts->rule);
    if (tier >= 63 || parts->base > (most >> tier))
        return most;
    return clamp(&parts->rule, parts->base << tier);
}

struct orb_parts_rule orb_parts_rule_of(const orbit_capabilities *caps, uint64_t chunk, uint64_t memory_max)
{
    struct orb_parts_rule rule = {
        .chunk = chunk                 ? chunk
                 : caps->chunk_default ? caps->chunk_default
                                       : ORB_PARTS_CHUNK,
        .part_min = caps->part_min ? caps->part_min : 1,
        .part_max = caps->part_max,
        .object_max = caps->object_max,
        .memory_max = memory_max,
        .count_max = caps->part_count_max,
        .equal = caps->equal_parts,
    };
    return rule;
}

/* A hint leaves a tenth of the numbers for a stream that turns out to be longer, where that costs no refusal. */
static uint64_t base_for(const struct orb_parts_rule *rule, uint64_t size, bool exact)
{
    uint64_t chunk = clamp(rule, rule->chunk);
    if (size == ORBIT_SIZE_UNKNOWN || !rule->count_max)
        return chunk;
    uint64_t spare = exact || rule->equal ? 0 : rule->count_max / TIERS;
    uint64_t bytes = divide_up(size, rule->count_max - spare);
    if (bytes > largest(rule))
        bytes = divide_up(size, rule->count_max);
    if (bytes <= chunk)
        return chunk;
    uint64_t rounded = round_up(bytes);
    return rounded > largest(rule) ? bytes : rounded;
}

static orbit_status refuse(const struct orb_parts_rule *rule, uint64_t size, const char *name, orbit_error *error)
{
    uint64_t bytes = divide_up(size, rule->count_max);
    if (rule->part_max && bytes > rule->part_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0,
                        "cannot write '%s': %" PRIu64 " bytes are more than %" PRIu32 " parts of at most %" PRIu64
                        " bytes, which is what the store takes",
                        name, size, rule->count_max, rule->part_max);
    return orb_fail(error, ORBIT_E_LIMIT, 0,
                    "cannot write '%s': %" PRIu64 " bytes from a stream need parts of %" PRIu64
                    " MiB, and the memory budget allows %" PRIu64 " MiB: raise memory_bytes to %" PRIu64
                    " MiB, or write from a file",
                    name, size, divide_up(bytes, ORB_PARTS_ROUND), rule->memory_max / ORB_PARTS_ROUND,
                    4 * divide_up(bytes, ORB_PARTS_ROUND));
}

orbit_status orb_parts_plan(struct orb_parts *parts, const struct orb_parts_rule *rule, uint64_t size, bool exact,
                            const char *name, orbit_error *error)
{
    *parts = (struct orb_parts){.rule = *rule, .size = size, .exact = exact && size != ORBIT_SIZE_UNKNOWN};
    if (rule->part_max && rule->part_min > rule->part_max)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "cannot write '%s': the smallest part (%" PRIu64 " bytes) is larger than the largest (%" PRIu64
                        ")",
                        name, rule->part_min, rule->part_max);
    if (rule->memory_max && rule->part_min > rule->memory_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0,
                        "cannot write '%s': the store's parts are at least %" PRIu64
                        " MiB, and the memory budget allows %" PRIu64 " MiB",
                        name, divide_up(rule->part_min, ORB_PARTS_ROUND), rule->memory_max / ORB_PARTS_ROUND);
    parts->base = base_for(rule, size, exact);
    if (size == ORBIT_SIZE_UNKNOWN)
        return ORBIT_OK;
    if (rule->object_max && size > rule->object_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0,
                        "cannot write '%s': %" PRIu64 " bytes are more than the store's largest object (%" PRIu64
                        " bytes)",
                        name, size, rule->object_max);
    if (rule->count_max && size > multiply(largest(rule), rule->count_max))
        return refuse(rule, size, name, error);
    return ORBIT_OK;
}

/* Within the size that is known or hinted: one size, raised where the numbers left would not suffice (parts were
 * made small under pressure, or the first of them was shorter). */
static uint64_t known_bytes(const struct orb_parts *parts, uint32_t number, uint64_t offset)
{
    const struct orb_parts_rule *rule = &parts->rule;
    if (rule->equal || !rule->count_max)
        return parts->base;
    uint64_t bytes = parts->base;
    uint64_t need = divide_up(parts->size - offset, rule->count_max - number + 1);
    if (need > bytes)
        bytes = orb_smaller(round_up(need), largest(rule));
    return bytes;
}

uint64_t orb_parts_next(const struct orb_parts *parts, uint32_t number, uint64_t offset)
{
    const struct orb_parts_rule *rule = &parts->rule;
    if (rule->count_max && number > rule->count_max)
        return 0;
    if (rule->object_max && offset >= rule->object_max)
        return 0;
    uint64_t bytes = parts->base;
    if (parts->size != ORBIT_SIZE_UNKNOWN && offset < parts->size)
        bytes = known_bytes(parts, number, offset);
    else if (!rule->equal && rule->count_max)
        bytes = tier_bytes(parts, tier_of(rule, number));
    if (parts->exact)
        return orb_smaller(bytes, parts->size - orb_smaller(offset, parts->size));
    return rule->object_max ? orb_smaller(bytes, rule->object_max - offset) : bytes;
}

uint64_t orb_parts_least(const struct orb_parts *parts, uint32_t number, uint64_t offset)
{
    uint64_t bytes = orb_parts_next(parts, number, offset);
    if (parts->rule.equal)
        return bytes;
    uint64_t least = parts->rule.part_min;
    if (least < (256u << 10))
        least = 256u << 10;
    return orb_smaller(least, bytes);
}

uint64_t orb_parts_ceiling(const struct orb_parts *parts)
{
    const struct orb_parts_rule *rule = &parts->rule;
    uint64_t limit = rule->object_max ? rule->object_max : ORBIT_SIZE_UNKNOWN;
    if (!rule->count_max)
        return limit;
    if (rule->equal)
        return orb_smaller(limit, multiply(parts->base, rule->count_max));

    uint64_t bytes = 0;
    uint32_t number = 1;
    if (parts->size != ORBIT_SIZE_UNKNOWN) { /* what the hint covers comes in parts of one size */
        uint64_t count = divide_up(parts->size, parts->base);
        if (count >= rule->count_max)
            return orb_smaller(limit, multiply(parts->base, rule->count_max));
        number += (uint32_t)count;
        bytes = multiply(parts->base, count);
    }
    while (number <= rule->count_max) {
        uint32_t tier = tier_of(rule, number);
        uint64_t last = ((uint64_t)tier + 1) * tier_parts(rule);
        uint64_t count = orb_smaller(last, rule->count_max) - number + 1;
        bytes = add(bytes, multiply(tier_bytes(parts, tier), count));
        number += (uint32_t)count;
    }
    return orb_smaller(limit, bytes);
}

bool orb_parts_leaves_first_tier(const struct orb_parts *parts, uint32_t number, uint64_t offset)
{
    const struct orb_parts_rule *rule = &parts->rule;
    bool beyond = parts->size == ORBIT_SIZE_UNKNOWN || offset >= parts->size;
    return rule->count_max && beyond && number == tier_parts(rule) + 1;
}
