/* SPDX-License-Identifier: Apache-2.0
 * Key spaces for listings: any number of generated keys in byte order, made from their index alone, or the stored
 * keys of a bucket. Pure functions, but for stored ones, which need store.lock. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static size_t digits(char *to, uint64_t number, size_t width)
{
    for (size_t i = width; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
    return width;
}

static size_t hex(char *to, uint64_t number, size_t width)
{
    for (size_t i = width; i-- > 0; number >>= 4)
        to[i] = "0123456789abcdef"[number & 15];
    return width;
}

static size_t padded_key(const struct keyspace *space, uint64_t index, char *key)
{
    (void)space;
    memcpy(key, "obj-", 4);
    return 4 + digits(key + 4, index, 10);
}

/* The index-th of the numbers 0 … count - 1 in the order of their decimal spelling. */
static size_t number_key(const struct keyspace *space, uint64_t index, char *key)
{
    uint64_t n = space->number;
    if (index == 0) {
        key[0] = '0';
        return 1;
    }
    uint64_t at = 1; /* the smallest spelling after "0" */
    for (index--; index > 0;) {
        /* How many numbers below n begin with the digits of `at`. */
        uint64_t below = 0, first = at, last = at;
        while (first < n) {
            below += (last < n ? last : n - 1) - first + 1;
            first *= 10;
            last = last * 10 + 9;
        }
        if (index >= below) {
            index -= below;
            at++;
        } else {
            index--;
            at *= 10;
        }
    }
    size_t width = 1;
    for (uint64_t rest = at; rest >= 10; rest /= 10)
        width++;
    return digits(key, at, width);
}

/* dNNN/dNNN/kNNNNNNNNNN: a thousand keys a directory, a thousand directories a directory. */
static size_t tree_key(const struct keyspace *space, uint64_t index, char *key)
{
    (void)space;
    key[0] = 'd';
    digits(key + 1, index / 1000000, 4);
    memcpy(key + 5, "/d", 2);
    digits(key + 7, index / 1000 % 1000, 3);
    memcpy(key + 10, "/k", 2);
    return 12 + digits(key + 12, index, 10);
}

static size_t uuid_key(const struct keyspace *space, uint64_t index, char *key)
{
    uint64_t width = UINT64_MAX / space->number, rest = mix(index);
    uint64_t top = index * width + mix(~index) % width;
    size_t at = hex(key, top >> 32, 8);
    key[at++] = '-';
    at += hex(key + at, top >> 16, 4);
    key[at++] = '-';
    at += hex(key + at, top, 4);
    key[at++] = '-';
    at += hex(key + at, rest >> 48, 4);
    key[at++] = '-';
    return at + hex(key + at, rest, 12);
}

/* year=NNNN/month=NN/day=NN/part-NNNNN.parquet */
static size_t hive_key(const struct keyspace *space, uint64_t index, char *key)
{
    uint64_t each = space->number / 3360 + 1, day = index / each;
    int length =
        snprintf(key, KEY_MAX + 1, "year=%04u/month=%02u/day=%02u/part-%07u.parquet", (unsigned)(2015 + day / 336),
                 (unsigned)(1 + day / 28 % 12), (unsigned)(1 + day % 28), (unsigned)(index % each));
    return (size_t)length;
}

static void generated_about(const struct keyspace *space, uint64_t index, struct listed *listed)
{
    uint64_t value = mix(index + 77);
    (void)space;
    listed->size = value % 1000000;
    listed->mtime_ms = 1780000000000 + (int64_t)(value >> 40) * 1000;
    hex(listed->etag_room, value, 16);
    hex(listed->etag_room + 16, ~value, 16);
    listed->etag_room[32] = '\0';
    listed->etag = listed->etag_room;
    listed->storage_class = "STANDARD";
    listed->sum = 0;
}

bool keyspace_generated(struct keyspace *space, const char *bucket)
{
    static const struct {
        const char *shape;
        size_t (*key)(const struct keyspace *, uint64_t, char *);
    } shapes[] = {{"", padded_key},    {"-padded", padded_key}, {"-numbers", number_key},
                  {"-tree", tree_key}, {"-uuid", uuid_key},     {"-hive", hive_key}};
    char number[24];
    int64_t count;
    if (strncmp(bucket, "keys-", 5) != 0)
        return false;
    size_t length = strcspn(bucket + 5, "-");
    if (length == 0 || length >= sizeof(number))
        return false;
    memcpy(number, bucket + 5, length);
    number[length] = '\0';
    for (char *c = number; *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A'); /* bucket names have no capitals */
    if (!parse_size(number, &count) || count < 0 || count > INT64_C(4000000000))
        return false;
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        if (strcmp(shapes[i].shape, bucket + 5 + length) == 0) {
            *space = (struct keyspace){(uint64_t)count, shapes[i].key, generated_about, NULL, (uint64_t)count};
            return true;
        }
    return false;
}

static size_t stored_key(const struct keyspace *space, uint64_t index, char *key)
{
    const struct object *object = space->bucket->objects[index];
    memcpy(key, object->key, object->key_length);
    return object->key_length;
}

static void stored_about(const struct keyspace *space, uint64_t index, struct listed *listed)
{
    const struct object *object = space->bucket->objects[index];
    const char *class = object_get_header(object, "x-amz-storage-class");
    listed->size = object->size;
    listed->mtime_ms = object->mtime_ms;
    listed->etag = object->etag;
    listed->storage_class = class == NULL ? "STANDARD" : class;
    listed->sum = object->sum;
}

void keyspace_stored(struct keyspace *space, const struct bucket *bucket)
{
    *space = (struct keyspace){bucket->count, stored_key, stored_about, bucket, 0};
}

uint64_t keyspace_bound(const struct keyspace *space, const char *bound, size_t length, bool after)
{
    char key[KEY_MAX + 1];
    uint64_t low = 0, high = space->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        size_t have = space->key(space, middle, key);
        int order = memcmp(key, bound, have < length ? have : length);
        if (order == 0)
            order = have < length ? -1 : have > length;
        if (order < 0 || (after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t keyspace_find(const struct keyspace *space, const char *key, size_t length)
{
    char found[KEY_MAX + 1];
    uint64_t at = keyspace_bound(space, key, length, false);
    if (at < space->count && space->key(space, at, found) == length && memcmp(found, key, length) == 0)
        return at;
    return space->count;
}
