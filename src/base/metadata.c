/* SPDX-License-Identifier: Apache-2.0
 * Metadata that owns its strings: a chain of bump chunks behind `storage`, at most 64 KiB in all. One thread at
 * a time per value. */
#include <orbit/metadata.h>

#include <assert.h>
#include <orbit/error.h>
#include <stdalign.h>
#include <string.h>

#include "base/mem.h"

#define STORAGE_MAX ((size_t)64 << 10)
#define CHUNK_MIN   ((size_t)256)

struct chunk {
    struct chunk *older;
    size_t used, room; /* of bytes[] */
    alignas(max_align_t) char bytes[];
};

/* What metadata->storage points to. */
struct storage {
    struct chunk *newest;
    size_t total;     /* bytes handed out */
    size_t user_room; /* pairs that metadata->user has room for; 0 while `user` is borrowed or NULL */
};

static void *storage_take(orbit_metadata *metadata, size_t bytes, size_t align)
{
    struct storage *storage = metadata->storage;
    if (bytes > STORAGE_MAX || (storage && bytes > STORAGE_MAX - storage->total))
        return NULL;
    if (!storage) {
        storage = orb_calloc(1, sizeof(*storage));
        if (!storage)
            return NULL;
        metadata->storage = storage;
    }
    struct chunk *chunk = storage->newest;
    size_t at = chunk ? (chunk->used + align - 1) & ~(align - 1) : 0;
    if (!chunk || at > chunk->room || bytes > chunk->room - at) {
        size_t room = chunk ? chunk->room * 2 : CHUNK_MIN;
        if (room > STORAGE_MAX / 4)
            room = STORAGE_MAX / 4;
        if (room < bytes)
            room = bytes;
        chunk = orb_malloc(sizeof(*chunk) + room);
        if (!chunk)
            return NULL;
        chunk->older = storage->newest;
        chunk->used = 0;
        chunk->room = room;
        storage->newest = chunk;
        at = 0;
    }
    chunk->used = at + bytes;
    storage->total += bytes;
    return chunk->bytes + at;
}

const char *orbit_metadata_keep(orbit_metadata *metadata, const char *bytes, size_t length)
{
    if (!bytes || length >= STORAGE_MAX)
        return NULL;
    char *kept = storage_take(metadata, length + 1, 1);
    if (!kept)
        return NULL;
    memcpy(kept, bytes, length);
    kept[length] = '\0';
    return kept;
}

/* Gives metadata->user room for one more pair. The array that is outgrown stays in its chunk: the sum of all
 * sizes is below twice the last, and all of it is below the cap. */
static bool user_grow(orbit_metadata *metadata)
{
    struct storage *storage = metadata->storage;
    if (storage && storage->user_room > metadata->user_count)
        return true;
    size_t room = metadata->user_count < 4 ? 4 : metadata->user_count * 2;
    if (room > STORAGE_MAX / sizeof(orbit_pair))
        return false;
    orbit_pair *pairs = storage_take(metadata, room * sizeof(orbit_pair), alignof(orbit_pair));
    if (!pairs)
        return false;
    if (metadata->user_count)
        memcpy(pairs, metadata->user, metadata->user_count * sizeof(orbit_pair));
    metadata->user = pairs;
    storage = metadata->storage;
    storage->user_room = room;
    return true;
}

int orbit_metadata_add_user(orbit_metadata *metadata, const char *name, const char *value)
{
    if (!name || !value)
        return ORBIT_E_MISUSE;
    if (!user_grow(metadata))
        return ORBIT_E_MEMORY;
    orbit_pair pair;
    pair.name = orbit_metadata_keep(metadata, name, strlen(name));
    pair.value = pair.name ? orbit_metadata_keep(metadata, value, strlen(value)) : NULL;
    if (!pair.value)
        return ORBIT_E_MEMORY;
    ((orbit_pair *)metadata->user)[metadata->user_count++] = pair; /* ours: user_grow() made it */
    return ORBIT_OK;
}

int orbit_metadata_copy(orbit_metadata *to, const orbit_metadata *from)
{
    orbit_metadata copy = *from;
    copy.storage = NULL;
    copy.user = NULL;
    copy.user_count = 0;

    const char **strings[] = {&copy.etag,
                              &copy.object_lock_mode,
                              &copy.object_lock_until,
                              &copy.object_lock_legal_hold,
                              &copy.version_id,
                              &copy.content_type,
                              &copy.content_encoding,
                              &copy.content_disposition,
                              &copy.content_language,
                              &copy.cache_control,
                              &copy.expires,
                              &copy.storage_class,
                              &copy.encryption,
                              &copy.link_target};
    bool good = true;
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        if (!*strings[i])
            continue;
        *strings[i] = good ? orbit_metadata_keep(&copy, *strings[i], strlen(*strings[i])) : NULL;
        good = good && *strings[i];
    }
    for (size_t i = 0; good && i < from->user_count; i++)
        good = orbit_metadata_add_user(&copy, from->user[i].name, from->user[i].value) == ORBIT_OK;
    if (!good) {
        orbit_metadata_release(&copy);
        memset(to, 0, sizeof(*to));
        return ORBIT_E_MEMORY;
    }
    *to = copy;
    return ORBIT_OK;
}

void orbit_metadata_release(orbit_metadata *metadata)
{
    if (!metadata)
        return;
    struct storage *storage = metadata->storage;
    if (storage) {
        struct chunk *chunk = storage->newest;
        while (chunk) {
            struct chunk *older = chunk->older;
            orb_free(chunk);
            chunk = older;
        }
        orb_free(storage);
    }
    memset(metadata, 0, sizeof(*metadata));
}
