/* SPDX-License-Identifier: Apache-2.0
 * How a stream is cut into parts: pure arithmetic on what a store allows and what memory there is. No state but
 * the plan's own, no I/O, any thread.
 *
 * A length that is known gives parts of one size, large enough that the store's count suffices. One that is not
 * known begins small and grows late: each tenth of the store's part numbers doubles the size, up to `memory_max`.
 * A hint is believed for what it costs, never for what is correct: past its end the late growth takes over. */
#ifndef ORB_ENGINE_PARTS_H
#define ORB_ENGINE_PARTS_H

#include <orbit/backend_ops.h>

#define ORB_PARTS_ROUND ((uint64_t)1 << 20) /* sizes that were computed are multiples of this */
#define ORB_PARTS_CHUNK ((uint64_t)8 << 20) /* where neither store nor user say anything */

struct orb_parts_rule {
    uint64_t chunk;      /* preferred bytes a part */
    uint64_t part_min;   /* 1 or more */
    uint64_t part_max;   /* 0: unlimited */
    uint64_t object_max; /* 0: unlimited */
    uint64_t memory_max; /* most bytes of one part, because parts are held in memory; 0: they are not */
    uint32_t count_max;  /* 0: unlimited */
    bool equal;          /* all parts but the last are of one size */
};

struct orb_parts {
    struct orb_parts_rule rule;
    uint64_t size; /* known or hinted, else ORBIT_SIZE_UNKNOWN */
    bool exact;    /* `size` is the length, not a hint */
    uint64_t base; /* bytes of the first part */
};

/* The rule of a store; `chunk` 0: what suits it. */
struct orb_parts_rule orb_parts_rule_of(const orbit_capabilities *caps, uint64_t chunk, uint64_t memory_max);
/* Fills `parts`; ORBIT_E_LIMIT when no cut of `size` bytes is possible. `name` is for the message. */
orbit_status orb_parts_plan(struct orb_parts *parts, const struct orb_parts_rule *rule, uint64_t size, bool exact,
                            const char *name, orbit_error *error);
/* Bytes of part `number` (from 1) that begins at `offset`: the rest when that is less and the length is exact.
 * 0: the store takes no more. */
uint64_t orb_parts_next(const struct orb_parts *parts, uint32_t number, uint64_t offset);
/* The smallest that part may be made under pressure; what orb_parts_next() says where it may not. */
uint64_t orb_parts_least(const struct orb_parts *parts, uint32_t number, uint64_t offset);
/* The longest stream this plan can carry; ORBIT_SIZE_UNKNOWN: no limit. */
uint64_t orb_parts_ceiling(const struct orb_parts *parts);
/* Whether `number` is the first part beyond the first tier: the place to say what the ceiling is. */
bool orb_parts_leaves_first_tier(const struct orb_parts *parts, uint32_t number, uint64_t offset);

#endif
