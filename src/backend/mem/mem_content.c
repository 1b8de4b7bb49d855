/* SPDX-License-Identifier: Apache-2.0
 * The bytes of objects: segments that are filled once and then only shared. Owns the store's count of used
 * bytes. Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/hash.h"
#include "base/mem.h"

#define BLOCK_BYTES ((size_t)256 << 10)

struct mem_content *mem_content_new(struct mem_store *store)
{
    struct mem_content *content = orb_calloc(1, sizeof(*content));
    if (content) {
        content->store = store;
        content->refs = 1;
    }
    return content;
}

void mem_content_hold(struct mem_content *content)
{
    content->refs++;
}

void mem_content_drop(struct mem_content *content)
{
    if (!content || --content->refs)
        return;
    for (size_t i = 0; i < content->count; i++) {
        content->store->used -= content->segments[i].room;
        orb_buffer_free(content->segments[i].bytes, content->segments[i].room);
    }
    orb_free(content->segments);
    orb_free(content);
}

/* Room for `more` segments in the table. */
static bool grow_table(struct mem_content *content, size_t more)
{
    if (more <= content->room - content->count)
        return true;
    size_t room = content->room ? content->room * 2 : 1;
    while (room < content->count + more)
        room *= 2;
    struct mem_segment *segments = orb_realloc(content->segments, room * sizeof(*segments));
    if (!segments)
        return false;
    content->segments = segments;
    content->room = room;
    return true;
}

static orbit_status add_block(struct mem_content *content, uint64_t expected, orbit_error *error)
{
    struct mem_store *store = content->store;
    size_t room = expected < BLOCK_BYTES ? (size_t)expected : BLOCK_BYTES;
    if (store->capacity && room > store->capacity - store->used)
        return orb_fail(error, ORBIT_E_NO_SPACE, 0, "the memory store has no room for %zu more bytes of its %llu", room,
                        (unsigned long long)store->capacity);
    if (!grow_table(content, 1))
        return orb_fail_memory(error);
    char *bytes = orb_buffer_new(room);
    if (!bytes)
        return orb_fail_memory(error);
    store->used += room;
    content->segments[content->count++] = (struct mem_segment){bytes, content->size, 0, room};
    return ORBIT_OK;
}

orbit_status mem_content_append(struct mem_content *content, const void *bytes, size_t length, uint64_t expected,
                                orbit_error *error)
{
    const char *from = bytes;
    content->crc = orb_crc64nvme(content->crc, bytes, length);
    while (length) {
        struct mem_segment *last = content->count ? &content->segments[content->count - 1] : NULL;
        if (!last || last->length == last->room) {
            orbit_status status = add_block(content, expected < length ? length : expected, error);
            if (status < 0)
                return status;
            continue;
        }
        size_t take = last->room - last->length < length ? last->room - last->length : length;
        memcpy(last->bytes + last->length, from, take);
        last->length += take;
        content->size += take;
        from += take;
        length -= take;
        expected -= take < expected ? take : expected;
    }
    return ORBIT_OK;
}

/* The CRC of `length` zero bytes: 2^k of them from two halves. */
static uint64_t crc_of_zeroes(uint64_t length)
{
    static const char zero;
    uint64_t sum = 0, piece = orb_crc64nvme(0, &zero, 1), piece_length = 1;
    for (; length; length >>= 1, piece_length <<= 1) {
        if (length & 1)
            sum = orb_crc64nvme_combine(sum, piece, piece_length);
        piece = orb_crc64nvme_combine(piece, piece, piece_length);
    }
    return sum;
}

orbit_status mem_content_reserve(struct mem_content *content, size_t segments, orbit_error *error)
{
    return grow_table(content, segments) ? ORBIT_OK : orb_fail_memory(error);
}

orbit_status mem_content_extend(struct mem_content *content, uint64_t size, orbit_error *error)
{
    if (size <= content->size)
        return ORBIT_OK;
    if (!grow_table(content, 1))
        return orb_fail_memory(error);
    uint64_t gap = size - content->size;
    content->segments[content->count++] = (struct mem_segment){NULL, content->size, (size_t)gap, 0};
    content->crc = orb_crc64nvme_combine(content->crc, crc_of_zeroes(gap), gap);
    content->size = size;
    return ORBIT_OK;
}

orbit_status mem_content_join(struct mem_content *to, struct mem_content *from, uint64_t offset, orbit_error *error)
{
    orbit_status status = mem_content_extend(to, offset, error); /* where nobody wrote */
    if (status < 0)
        return status;
    if (!grow_table(to, from->count))
        return orb_fail_memory(error);
    for (size_t i = 0; i < from->count; i++) {
        struct mem_segment segment = from->segments[i];
        segment.start += offset;
        to->segments[to->count++] = segment;
    }
    to->crc = orb_crc64nvme_combine(to->crc, from->crc, from->size);
    to->size += from->size;
    from->count = 0;
    from->size = 0;
    return ORBIT_OK;
}

size_t mem_content_at(const struct mem_content *content, uint64_t offset, size_t want, const char **bytes)
{
    size_t low = 0, high = content->count; /* the segment is in [low, high) */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (content->segments[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    const struct mem_segment *segment = &content->segments[low];
    size_t inside = (size_t)(offset - segment->start);
    size_t rest = segment->length - inside;
    *bytes = segment->bytes ? segment->bytes + inside : NULL;
    return rest < want ? rest : want;
}
