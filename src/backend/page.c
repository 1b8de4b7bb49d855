/* SPDX-License-Identifier: Apache-2.0
 * Pages of a listing: how an entry is packed into the slab and read back. Owns the slab and its charge to the
 * budget. One thread at a time.
 *
 * An entry is a mask of what is there, its numbers as variable-length integers (seven bits a byte, least
 * significant first), then its strings, each with its NUL, so that a walk points straight into the slab. Zeroes
 * and missing strings take nothing: an S3 entry costs about 25 bytes beside its key, ETag and class. A failed
 * entry ends with a whole orbit_error, aligned. */
#include <stdalign.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

#define SLAB_FIRST    ((size_t)16 << 10)
#define ENTRY_MAX     ((size_t)1 << 20) /* of one entry: paths and metadata are far smaller */
#define VARINT_MAX    10
#define DEFAULT_COUNT 1000
#define DEFAULT_BYTES ((size_t)1 << 20)

/* Bits of the mask: numbers first, in the order of `numbers`, then strings, then the rest. */
enum { NUMBERS = 15, STRINGS = 11, HAS_CHECKSUM = 1 << 26, IS_FAILED = 1 << 27 };

/* The entry's numbers, zero where nothing is to be kept. */
struct numbers {
    uint64_t at[NUMBERS];
};

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static struct numbers numbers_of(const orbit_entry *entry, uint64_t position)
{
    const orbit_metadata *m = &entry->metadata;
    return (struct numbers){{entry->flags, entry->depth, position, m->fields, m->kind, m->size, zigzag(m->mtime_ns),
                             zigzag(m->atime_ns), m->mode, m->uid, m->gid, m->part_count, m->device, m->inode,
                             m->disk_bytes}};
}

static void numbers_into(const struct numbers *numbers, orbit_entry *entry, uint64_t *position)
{
    const uint64_t *at = numbers->at;
    orbit_metadata *m = &entry->metadata;
    entry->flags = (uint32_t)at[0];
    entry->depth = (uint32_t)at[1];
    *position = at[2];
    m->fields = (uint32_t)at[3];
    m->kind = (uint32_t)at[4];
    m->size = at[5];
    m->mtime_ns = unzigzag(at[6]);
    m->atime_ns = unzigzag(at[7]);
    m->mode = (uint32_t)at[8];
    m->uid = (uint32_t)at[9];
    m->gid = (uint32_t)at[10];
    m->part_count = (uint32_t)at[11];
    m->device = at[12];
    m->inode = at[13];
    m->disk_bytes = at[14];
}

/* Where the strings of a metadata are, in the order of the mask. */
static void strings_of(orbit_metadata *m, const char **strings[STRINGS])
{
    const char **all[STRINGS] = {&m->etag,          &m->storage_class,    &m->link_target,         &m->version_id,
                                 &m->content_type,  &m->content_encoding, &m->content_disposition, &m->content_language,
                                 &m->cache_control, &m->expires,          &m->encryption};
    memcpy(strings, all, sizeof(all));
}

static char *put_varint(char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (char)(value | 0x80);
    *at++ = (char)value;
    return at;
}

static const char *get_varint(const char *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint64_t byte = (unsigned char)*at++;
        *value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return at;
    }
}

/* ---- the slab -------------------------------------------------------------------------------------- */

void orb_page_init(struct orbit_page *page, struct orb_budget *budget, size_t max_count, size_t max_bytes)
{
    *page = (struct orbit_page){.budget = budget,
                                .max_count = max_count ? max_count : DEFAULT_COUNT,
                                .max_bytes = max_bytes ? max_bytes : DEFAULT_BYTES};
}

static void slab_drop(struct orbit_page *page)
{
    orb_buffer_free(page->slab, page->room);
    if (page->budget)
        orb_budget_give(page->budget, page->room);
    page->slab = NULL;
    page->room = 0;
}

void orb_page_release(struct orbit_page *page)
{
    if (!page)
        return;
    slab_drop(page);
    orb_page_init(page, page->budget, page->max_count, page->max_bytes);
}

void orb_page_reset(struct orbit_page *page)
{
    page->used = 0;
    page->count = 0;
    page->more = false;
    page->out_of_memory = false;
}

/* Moves the entries to a slab of `room` bytes. The new one is charged before the old one is given back. */
static bool slab_move(struct orbit_page *page, size_t room)
{
    if (page->budget && !orb_budget_take(page->budget, room))
        return false;
    char *slab = orb_buffer_new(room);
    if (!slab) {
        if (page->budget)
            orb_budget_give(page->budget, room);
        return false;
    }
    if (page->used)
        memcpy(slab, page->slab, page->used);
    slab_drop(page);
    page->slab = slab;
    page->room = room;
    return true;
}

void orb_page_trim(struct orbit_page *page)
{
    if (!page->used) {
        slab_drop(page);
        return;
    }
    size_t room = (page->used + 63) & ~(size_t)63;
    if (room < page->room - page->room / 8) /* below that the copy is not worth it */
        slab_move(page, room);              /* best effort */
}

bool orb_page_reserve(struct orbit_page *page, size_t bytes)
{
    return bytes <= page->room || slab_move(page, bytes);
}

/* Room for one more entry of at most `bytes`. */
static orbit_status make_room(struct orbit_page *page, size_t bytes)
{
    if (page->count >= page->max_count)
        return ORBIT_END;
    if (bytes > ENTRY_MAX)
        return ORBIT_E_LIMIT;
    size_t need = page->used + bytes;
    if (page->count && need > page->max_bytes)
        return ORBIT_END; /* an empty page takes any entry: a listing must get on */
    if (need <= page->room)
        return ORBIT_OK;
    size_t room = page->room ? page->room * 2 : SLAB_FIRST;
    while (room < need)
        room *= 2;
    if (room > page->max_bytes)
        room = page->max_bytes > need ? page->max_bytes : need;
    if (slab_move(page, room) || (room > need && slab_move(page, need)))
        return ORBIT_OK;
    if (page->count)
        return ORBIT_END; /* a short page, and what is in it moves on */
    page->out_of_memory = true;
    return ORBIT_E_MEMORY;
}

/* ---- packing --------------------------------------------------------------------------------------- */

static orbit_status add(struct orbit_page *page, const orbit_entry *entry, uint64_t position, const orbit_error *error)
{
    orbit_metadata metadata = entry->metadata;
    const char **strings[STRINGS];
    size_t lengths[STRINGS];
    struct numbers numbers = numbers_of(entry, position);
    uint32_t mask = 0;
    size_t bytes = 4 + VARINT_MAX + entry->path_length + 1;

    strings_of(&metadata, strings);
    for (unsigned i = 0; i < NUMBERS; i++) {
        if (numbers.at[i]) {
            mask |= 1u << i;
            bytes += VARINT_MAX;
        }
    }
    for (unsigned i = 0; i < STRINGS; i++) {
        if (*strings[i]) {
            mask |= 1u << (NUMBERS + i);
            lengths[i] = strlen(*strings[i]) + 1;
            bytes += lengths[i];
        }
    }
    if (metadata.checksum.algorithm) {
        mask |= HAS_CHECKSUM;
        bytes += sizeof(orbit_checksum);
    }
    if (error) {
        mask |= IS_FAILED;
        bytes += alignof(orbit_error) + sizeof(orbit_error);
    }
    orbit_status status = make_room(page, bytes);
    if (status != ORBIT_OK)
        return status;

    char *at = page->slab + page->used;
    memcpy(at, &mask, 4);
    at = put_varint(at + 4, entry->path_length);
    for (unsigned i = 0; i < NUMBERS; i++)
        if (numbers.at[i])
            at = put_varint(at, numbers.at[i]);
    memcpy(at, entry->path, entry->path_length);
    at += entry->path_length;
    *at++ = '\0';
    for (unsigned i = 0; i < STRINGS; i++) {
        if (*strings[i]) {
            memcpy(at, *strings[i], lengths[i]);
            at += lengths[i];
        }
    }
    if (mask & HAS_CHECKSUM) {
        memcpy(at, &metadata.checksum, sizeof(orbit_checksum));
        at += sizeof(orbit_checksum);
    }
    if (error) {
        while ((size_t)(at - page->slab) % alignof(orbit_error))
            *at++ = '\0';
        memcpy(at, error, sizeof(*error));
        at += sizeof(*error);
    }
    page->used = (size_t)(at - page->slab);
    page->count++;
    return ORBIT_OK;
}

orbit_status orbit_page_add(orbit_page *page, const orbit_entry *entry, uint64_t position)
{
    return add(page, entry, position, NULL);
}

orbit_status orbit_page_add_failed(orbit_page *page, const char *path, size_t length, const orbit_error *error,
                                   uint64_t position)
{
    static const orbit_error unknown = {.status = ORBIT_E_IO, .message = "this entry could not be read"};
    orbit_entry entry = {.path = path, .path_length = length};
    return add(page, &entry, position, error ? error : &unknown);
}

void orbit_page_more(orbit_page *page, bool more)
{
    page->more = more;
}

size_t orbit_page_count(const orbit_page *page)
{
    return page->count;
}

bool orb_page_next(const struct orbit_page *page, struct orb_page_cursor *cursor, struct orb_page_item *item)
{
    if (cursor->at >= page->used)
        return false;
    const char *at = page->slab + cursor->at;
    uint32_t mask;
    uint64_t length;
    struct numbers numbers = {{0}};
    const char **strings[STRINGS];

    *item = (struct orb_page_item){0};
    memcpy(&mask, at, 4);
    at = get_varint(at + 4, &length);
    for (unsigned i = 0; i < NUMBERS; i++)
        if (mask & 1u << i)
            at = get_varint(at, &numbers.at[i]);
    numbers_into(&numbers, &item->entry, &item->position);
    item->entry.path = at;
    item->entry.path_length = (size_t)length;
    at += length + 1;
    strings_of(&item->entry.metadata, strings);
    for (unsigned i = 0; i < STRINGS; i++) {
        if (mask & 1u << (NUMBERS + i)) {
            *strings[i] = at;
            at += strlen(at) + 1;
        }
    }
    if (mask & HAS_CHECKSUM) {
        memcpy(&item->entry.metadata.checksum, at, sizeof(orbit_checksum));
        at += sizeof(orbit_checksum);
    }
    if (mask & IS_FAILED) {
        size_t offset = (size_t)(at - page->slab);
        offset = (offset + alignof(orbit_error) - 1) / alignof(orbit_error) * alignof(orbit_error);
        item->failed = true;
        item->error = (const orbit_error *)(const void *)(page->slab + offset);
        at = page->slab + offset + sizeof(orbit_error);
    }
    cursor->at = (size_t)(at - page->slab);
    return true;
}
