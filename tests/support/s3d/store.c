/* SPDX-License-Identifier: Apache-2.0
 * Buckets, objects and uploads in memory. Objects and blobs are counted references, so that a reply can go on
 * while the object is replaced. What is marked so needs store.lock. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store store = {.lock = PTHREAD_RWLOCK_INITIALIZER};

struct blob *blob_new(const void *bytes, size_t length)
{
    uint64_t limit = (uint64_t)atomic_load(&settings.keep_bytes);
    if (atomic_fetch_add(&store.kept_bytes, length) + length > limit) {
        atomic_fetch_sub(&store.kept_bytes, length);
        return NULL;
    }
    struct blob *blob = need(malloc(sizeof(*blob) + length));
    atomic_init(&blob->refs, 1);
    blob->length = length;
    if (bytes != NULL && length > 0)
        memcpy(blob->bytes, bytes, length);
    return blob;
}

void blob_drop(struct blob *blob)
{
    if (blob != NULL && atomic_fetch_sub(&blob->refs, 1) == 1) {
        atomic_fetch_sub(&store.kept_bytes, blob->length);
        free(blob);
    }
}

void segments_copy(struct segment **to, size_t *to_count, const struct segment *from, size_t from_count)
{
    *to = need(realloc(*to, (*to_count + from_count + 1) * sizeof(**to)));
    for (size_t i = 0; i < from_count; i++) {
        if (from[i].blob != NULL)
            atomic_fetch_add(&from[i].blob->refs, 1);
        (*to)[(*to_count)++] = from[i];
    }
}

void segments_free(struct segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_drop(segments[i].blob);
    free(segments);
}

struct object *object_new(const char *key, size_t key_length)
{
    struct object *object = need(calloc(1, sizeof(*object)));
    atomic_init(&object->refs, 1);
    object->key = need(malloc(key_length + 1));
    memcpy(object->key, key, key_length);
    object->key[key_length] = '\0';
    object->key_length = key_length;
    object->mtime_ms = now_ms();
    return object;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add(&object->refs, 1);
    return object;
}

static void object_free(struct object *object)
{
    for (size_t i = 0; i < object->header_count; i++) {
        free(object->headers[i].name);
        free(object->headers[i].value);
    }
    segments_free(object->segments, object->segment_count);
    free(object->tagging);
    free(object->part_sums);
    free(object->key);
    free(object);
}

void object_drop(struct object *object)
{
    while (object != NULL && atomic_fetch_sub(&object->refs, 1) == 1) {
        struct object *older = object->older;
        object_free(object);
        object = older;
    }
}

const char *object_version(const struct object *object)
{
    return object->version[0] != '\0' ? object->version : "null";
}

void object_header(struct object *object, const char *name, const char *value)
{
    if (object->header_count == COUNT_OF(object->headers))
        return;
    object->headers[object->header_count++] = (struct pair){need(strdup(name)), need(strdup(value))};
}

void object_drop_unnamed(struct object *object)
{
    size_t kept = 0;
    for (size_t i = 0; i < object->header_count; i++) {
        if (object->headers[i].name[0] != '\0') {
            object->headers[kept++] = object->headers[i];
        } else {
            free(object->headers[i].name);
            free(object->headers[i].value);
        }
    }
    object->header_count = kept;
}

const char *object_get_header(const struct object *object, const char *name)
{
    for (size_t i = 0; i < object->header_count; i++)
        if (strcmp(object->headers[i].name, name) == 0)
            return object->headers[i].value;
    return NULL;
}

struct bucket *store_bucket(const char *name)
{
    struct bucket *bucket = store.buckets;
    while (bucket != NULL && strcmp(bucket->name, name) != 0)
        bucket = bucket->next;
    return bucket;
}

struct bucket *store_make_bucket(const char *name)
{
    struct bucket *bucket = need(calloc(1, sizeof(*bucket)));
    struct bucket **place = &store.buckets;
    bucket->name = need(strdup(name));
    bucket->made_ms = now_ms();
    while (*place != NULL && strcmp((*place)->name, name) < 0)
        place = &(*place)->next;
    bucket->next = *place;
    *place = bucket;
    return bucket;
}

static int compare_keys(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0 || a_length == b_length)
        return order;
    return a_length < b_length ? -1 : 1;
}

size_t bucket_lower_bound(const struct bucket *bucket, const char *key, size_t length)
{
    size_t low = 0, high = bucket->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct object *object = bucket->objects[middle];
        if (compare_keys(object->key, object->key_length, key, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool bucket_is_at(const struct bucket *bucket, size_t at, const char *key, size_t length)
{
    return at < bucket->count && bucket->objects[at]->key_length == length &&
           memcmp(bucket->objects[at]->key, key, length) == 0;
}

struct object *bucket_find(const struct bucket *bucket, const char *key, size_t length)
{
    size_t at = bucket_lower_bound(bucket, key, length);
    bool there = bucket_is_at(bucket, at, key, length) && !bucket->objects[at]->marker;
    return there ? bucket->objects[at] : NULL;
}

struct object *bucket_find_version(const struct bucket *bucket, const char *key, size_t length, const char *id)
{
    if (id == NULL)
        return bucket_find(bucket, key, length);
    size_t at = bucket_lower_bound(bucket, key, length);
    struct object *object = bucket_is_at(bucket, at, key, length) ? bucket->objects[at] : NULL;
    while (object != NULL && strcmp(object_version(object), id) != 0)
        object = object->older;
    return object;
}

/* Checksums of one kind are compared, else sizes alone: a single put and one in parts have other ETags. */
static bool other_contents(const struct object *before, const struct object *now)
{
    bool one_kind = before->sum != 0 && before->sum == now->sum && before->composite == now->composite;
    return before->size != now->size || (one_kind && strcmp(before->sum_text, now->sum_text) != 0);
}

/* Takes one version out of those of a key. */
static bool unlink_version(struct bucket *bucket, size_t at, const char *id)
{
    struct object **place = &bucket->objects[at];
    while (*place != NULL && strcmp(object_version(*place), id) != 0)
        place = &(*place)->older;
    struct object *gone = *place;
    if (gone == NULL)
        return false;
    bool marker = gone->marker;
    *place = gone->older;
    gone->older = NULL;
    object_drop(gone);
    if (bucket->objects[at] == NULL) {
        bucket->count--;
        store.object_count--;
        memmove(bucket->objects + at, bucket->objects + at + 1, (bucket->count - at) * sizeof(*bucket->objects));
    }
    return marker;
}

bool bucket_remove_version(struct bucket *bucket, const char *key, size_t length, const char *id)
{
    size_t at = bucket_lower_bound(bucket, key, length);
    return bucket_is_at(bucket, at, key, length) && unlink_version(bucket, at, id);
}

/* Over what is there, which stays where versions are kept. True: it has its place. */
static bool put_over(struct bucket *bucket, struct object *object)
{
    size_t at = bucket_lower_bound(bucket, object->key, object->key_length);
    if (!bucket_is_at(bucket, at, object->key, object->key_length))
        return false;
    store.rewritten += !object->marker && other_contents(bucket->objects[at], object);
    if (bucket->versioning == VERSIONS_KEPT) {
        object->older = bucket->objects[at];
        bucket->objects[at] = object;
        return true;
    }
    if (bucket->versioning == VERSIONS_NEVER) {
        object_drop(bucket->objects[at]);
        bucket->objects[at] = object;
        return true;
    }
    (void)unlink_version(bucket, at, "null");
    if (!bucket_is_at(bucket, at, object->key, object->key_length))
        return false;
    object->older = bucket->objects[at];
    bucket->objects[at] = object;
    return true;
}

void bucket_put(struct bucket *bucket, struct object *object)
{
    if (bucket->versioning == VERSIONS_KEPT)
        snprintf(object->version, sizeof(object->version), "v%llx", (unsigned long long)++store.id_counter);
    else if (bucket->versioning == VERSIONS_SUSPENDED)
        snprintf(object->version, sizeof(object->version), "null");
    if (put_over(bucket, object))
        return;
    size_t at = bucket_lower_bound(bucket, object->key, object->key_length);
    int64_t most = atomic_load(&settings.store) ? atomic_load(&settings.objects_max) : 1024;
    if (store.object_count >= (uint64_t)most) {
        object_drop(object); /* a store that stores nothing may forget */
        return;
    }
    if (bucket->count == bucket->room) {
        bucket->room = bucket->room == 0 ? 64 : bucket->room * 2;
        bucket->objects = need(realloc(bucket->objects, bucket->room * sizeof(*bucket->objects)));
    }
    memmove(bucket->objects + at + 1, bucket->objects + at, (bucket->count - at) * sizeof(*bucket->objects));
    bucket->objects[at] = object;
    bucket->count++;
    store.object_count++;
}

void bucket_remove(struct bucket *bucket, const char *key, size_t length, char marker[24])
{
    marker[0] = '\0';
    if (bucket->versioning == VERSIONS_NEVER) {
        (void)bucket_remove_version(bucket, key, length, "null");
        return;
    }
    struct object *object = object_ref(object_new(key, length));
    object->marker = true;
    bucket_put(bucket, object);
    memcpy(marker, object->version, sizeof(object->version));
    object_drop(object);
}

/* ---- uploads ------------------------------------------------------------------------------------------ */

struct upload *upload_find(const char *bucket, const char *key, const char *id)
{
    for (struct upload *upload = store.uploads; upload != NULL; upload = upload->next)
        if (strcmp(upload->id, id) == 0 && strcmp(upload->bucket, bucket) == 0 && strcmp(upload->key, key) == 0)
            return upload;
    return NULL;
}

static void upload_free(struct upload *upload)
{
    for (size_t i = 0; i < upload->part_count; i++)
        segments_free(upload->parts[i].segments, upload->parts[i].segment_count);
    free(upload->parts);
    object_drop(upload->meta);
    free(upload->bucket);
    free(upload->key);
    free(upload);
}

void upload_unlink(struct upload *upload)
{
    struct upload **place = &store.uploads;
    while (*place != NULL && *place != upload)
        place = &(*place)->next;
    if (*place == upload)
        *place = upload->next;
    upload->gone = true;
    if (upload->users == 0)
        upload_free(upload);
}

void upload_leave(struct upload *upload)
{
    upload->users--;
    if (upload->gone && upload->users == 0)
        upload_free(upload);
}

struct part *upload_part(struct upload *upload, uint32_t number, bool make)
{
    size_t low = 0, high = upload->part_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (upload->parts[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < upload->part_count && upload->parts[low].number == number)
        return &upload->parts[low];
    if (!make)
        return NULL;
    if (upload->part_count == upload->part_room) {
        upload->part_room = upload->part_room == 0 ? 16 : upload->part_room * 2;
        upload->parts = need(realloc(upload->parts, upload->part_room * sizeof(*upload->parts)));
    }
    memmove(upload->parts + low + 1, upload->parts + low, (upload->part_count - low) * sizeof(*upload->parts));
    memset(&upload->parts[low], 0, sizeof(upload->parts[low]));
    upload->parts[low].number = number;
    upload->part_count++;
    return &upload->parts[low];
}

void store_clear(void)
{
    pthread_rwlock_wrlock(&store.lock);
    while (store.uploads != NULL)
        upload_unlink(store.uploads);
    store.rewritten = 0;
    for (struct bucket *bucket = store.buckets; bucket != NULL; bucket = bucket->next) {
        for (size_t i = 0; i < bucket->count; i++)
            object_drop(bucket->objects[i]);
        store.object_count -= bucket->count;
        bucket->count = 0;
        bucket->versioning = VERSIONS_NEVER;
    }
    pthread_rwlock_unlock(&store.lock);
}

/* ---- looking up ----------------------------------------------------------------------------------------- */

static bool is_generated_bucket(const char *name)
{
    struct keyspace space;
    return strcmp(name, "bucket") == 0 || strcmp(name, "bench") == 0 || keyspace_generated(&space, name);
}

bool bucket_exists(const char *name)
{
    pthread_rwlock_rdlock(&store.lock);
    bool found = store_bucket(name) != NULL;
    pthread_rwlock_unlock(&store.lock);
    if (found || !is_generated_bucket(name))
        return found;
    pthread_rwlock_wrlock(&store.lock);
    if (store_bucket(name) == NULL)
        store_make_bucket(name);
    pthread_rwlock_unlock(&store.lock);
    return true;
}

/* An object nobody stored: its size is in its name, or a generated listing has it. */
static struct object *generate(const char *bucket, const char *key, size_t key_length)
{
    struct keyspace space;
    struct listed listed;
    uint64_t size, at;
    struct object *object = NULL;
    if (pattern_size(key, &size)) {
        object = object_new(key, key_length);
        object->mtime_ms = 1790000000000;
        object->seed = pattern_seed(key);
        snprintf(object->etag, sizeof(object->etag), "%016llx%016llx", (unsigned long long)object->seed,
                 (unsigned long long)size);
        object->sum = atomic_load(&settings.gen_checksum) ? SUM_CRC64 : 0;
    } else if (keyspace_generated(&space, bucket) && (at = keyspace_find(&space, key, key_length)) < space.count) {
        space.about(&space, at, &listed);
        object = object_new(key, key_length);
        size = listed.size;
        object->mtime_ms = listed.mtime_ms;
        snprintf(object->etag, sizeof(object->etag), "%s", listed.etag);
    }
    if (object != NULL) {
        object->size = size;
        object->seed = object->seed != 0 ? object->seed : pattern_seed(key);
        object_header(object, "content-type", "application/octet-stream");
    }
    return object;
}

struct object *store_get(const char *bucket, const char *key, size_t key_length, const char *version, bool *generated,
                         const char **code)
{
    struct object *object = NULL;
    *generated = false;
    *code = "NoSuchBucket";
    if (!bucket_exists(bucket))
        return NULL;
    *code = version == NULL ? "NoSuchKey" : "NoSuchVersion";
    pthread_rwlock_rdlock(&store.lock);
    struct bucket *place = store_bucket(bucket);
    if (place != NULL)
        object = bucket_find_version(place, key, key_length, version);
    if (object != NULL)
        object_ref(object);
    pthread_rwlock_unlock(&store.lock);
    if (object == NULL && (version == NULL || strcmp(version, "null") == 0)) {
        object = generate(bucket, key, key_length);
        *generated = object != NULL;
    }
    return object;
}

void store_setup(void)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store.lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}
