/* SPDX-License-Identifier: Apache-2.0
 * Which bytes of a file are there: disjoint extents in order, each with the CRCs that are known of it. Extents that
 * touch become one when both know the same CRCs; one of which nothing is known stays by itself, so that a part on its
 * way grows, and gets its CRC when it is whole. Bounded: where there would be too many, CRCs are forgotten, then
 * extents: less is claimed than is there, never more. One thread at a time. */
#ifndef ORB_BASE_EXTENTS_H
#define ORB_BASE_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include <orbit/error.h>

struct orb_ledger;

#define ORB_EXTENTS_MAX   1024
#define ORB_EXTENT_CRC64  1u
#define ORB_EXTENT_CRC32C 2u

struct orb_extent {
    uint64_t offset, length;
    uint64_t crc64;
    uint32_t crc32c;
    unsigned crcs; /* ORB_EXTENT_CRC… that are known */
};

struct orb_extents {
    struct orb_extent *at; /* NULL while empty */
    size_t count, room;
};

void orb_extents_release(struct orb_extents *extents);
/* The bytes of `extent` (length > 0, no overflow) are there, too. False when memory is out: unchanged. */
bool orb_extents_add(struct orb_extents *extents, const struct orb_extent *extent);
/* `to` becomes a copy; false when memory is out, `to` is empty then. */
bool orb_extents_copy(struct orb_extents *to, const struct orb_extents *from);
/* Forgets what lies at and after `end`. */
void orb_extents_trim(struct orb_extents *extents, uint64_t end);
uint64_t orb_extents_bytes(const struct orb_extents *extents);

/* ---- in a ledger: extents_record.c --------------------------------------------------------------------- */

/* Appends `count` of them, as many records of `type` as they need. */
orbit_status orb_extents_append(struct orb_ledger *ledger, uint16_t type, const struct orb_extent *extents,
                                size_t count, orbit_error *error);
/* Adds what such a record says. From the first that is damaged, or reaches beyond `size`, it says nothing. False:
 * memory is out. */
bool orb_extents_read(struct orb_extents *extents, const void *payload, size_t length, uint64_t size);

#endif
