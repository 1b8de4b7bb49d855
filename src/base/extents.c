/* SPDX-License-Identifier: Apache-2.0
 * Extents in a sorted array: few, so that moving them costs nothing that matters. */
#include "base/extents.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

static uint64_t end_of(const struct orb_extent *extent)
{
    return extent->offset + extent->length;
}

void orb_extents_release(struct orb_extents *extents)
{
    orb_free(extents->at);
    *extents = (struct orb_extents){0};
}

static bool reserve(struct orb_extents *extents, size_t count)
{
    if (count <= extents->room)
        return true;
    size_t room = extents->room ? extents->room * 2 : 16;
    struct orb_extent *at = orb_realloc(extents->at, room * sizeof(*at));
    if (!at)
        return false;
    extents->at = at;
    extents->room = room;
    return true;
}

static void take_out(struct orb_extents *extents, size_t first, size_t count)
{
    memmove(extents->at + first, extents->at + first + count, (extents->count - first - count) * sizeof(*extents->at));
    extents->count -= count;
}

/* `left` and `right` touch. */
static void join(struct orb_extent *left, const struct orb_extent *right, unsigned crcs)
{
    if (crcs & ORB_EXTENT_CRC64)
        left->crc64 = orb_crc64nvme_combine(left->crc64, right->crc64, right->length);
    if (crcs & ORB_EXTENT_CRC32C)
        left->crc32c = orb_crc32c_combine(left->crc32c, right->crc32c, right->length);
    left->crcs = crcs;
    left->length += right->length;
}

static bool touch(const struct orb_extents *extents, size_t i)
{
    return i + 1 < extents->count && end_of(&extents->at[i]) == extents->at[i + 1].offset;
}

static void join_at(struct orb_extents *extents, size_t i, unsigned crcs)
{
    join(&extents->at[i], &extents->at[i + 1], crcs);
    take_out(extents, i + 1, 1);
}

static void join_alike(struct orb_extents *extents, size_t i)
{
    if (touch(extents, i) && extents->at[i].crcs && extents->at[i].crcs == extents->at[i + 1].crcs)
        join_at(extents, i, extents->at[i].crcs);
}

/* One fewer, if two of them touch at all. */
static void make_room(struct orb_extents *extents)
{
    for (size_t i = 0; i + 1 < extents->count; i++) {
        if (touch(extents, i)) {
            join_at(extents, i, extents->at[i].crcs & extents->at[i + 1].crcs);
            return;
        }
    }
}

/* What overlaps makes one extent; CRCs stay when it is just one of the two. */
static void absorb(struct orb_extent *extent, const struct orb_extent *old)
{
    uint64_t offset = old->offset < extent->offset ? old->offset : extent->offset;
    uint64_t end = end_of(old) > end_of(extent) ? end_of(old) : end_of(extent);
    bool is_new = offset == extent->offset && end == end_of(extent);
    bool is_old = offset == old->offset && end == end_of(old);
    if (is_old && (!is_new || !extent->crcs))
        *extent = *old;
    else if (!is_new)
        *extent = (struct orb_extent){.offset = offset, .length = end - offset};
}

bool orb_extents_add(struct orb_extents *extents, const struct orb_extent *given)
{
    struct orb_extent extent = *given;
    if (!reserve(extents, extents->count + 1))
        return false;
    size_t first = 0;
    while (first < extents->count && end_of(&extents->at[first]) <= extent.offset)
        first++;
    size_t last = first;
    for (; last < extents->count && extents->at[last].offset < end_of(&extent); last++)
        absorb(&extent, &extents->at[last]);
    take_out(extents, first, last - first);
    if (extents->count == ORB_EXTENTS_MAX) {
        make_room(extents);
        if (extents->count == ORB_EXTENTS_MAX)
            return true; /* forgotten */
        first = 0;
        while (first < extents->count && end_of(&extents->at[first]) <= extent.offset)
            first++;
    }
    memmove(extents->at + first + 1, extents->at + first, (extents->count - first) * sizeof(*extents->at));
    extents->at[first] = extent;
    extents->count++;
    join_alike(extents, first);
    if (first > 0)
        join_alike(extents, first - 1);
    return true;
}

bool orb_extents_copy(struct orb_extents *to, const struct orb_extents *from)
{
    to->count = 0;
    if (from->count > to->room) {
        struct orb_extent *at = orb_realloc(to->at, from->room * sizeof(*at));
        if (!at)
            return false;
        to->at = at;
        to->room = from->room;
    }
    if (from->count)
        memcpy(to->at, from->at, from->count * sizeof(*to->at));
    to->count = from->count;
    return true;
}

void orb_extents_trim(struct orb_extents *extents, uint64_t end)
{
    while (extents->count && extents->at[extents->count - 1].offset >= end)
        extents->count--;
    struct orb_extent *last = extents->count ? &extents->at[extents->count - 1] : NULL;
    if (last && end_of(last) > end)
        *last = (struct orb_extent){.offset = last->offset, .length = end - last->offset};
}

uint64_t orb_extents_bytes(const struct orb_extents *extents)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < extents->count; i++)
        bytes += extents->at[i].length;
    return bytes;
}
