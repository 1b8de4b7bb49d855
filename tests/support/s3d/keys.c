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

/* Numbers that lie unevenly far apart and still rise with the index: the digits of a key are cut off their top. */
static uint64_t scattered(const struct keyspace *space, uint64_t index)
{
    uint64_t width = UINT64_MAX / space->number;
    return index * width + mix(~index) % width;
}

/* The top digit of a fraction; what is left of it moves up. */
static unsigned take_digit(uint64_t *number, unsigned radix)
{
    uint64_t low = (*number & UINT32_MAX) * radix, high = (*number >> 32) * radix + (low >> 32);
    *number = high << 32 | (low & UINT32_MAX);
    return (unsigned)(high >> 32);
}

static size_t take_digits(uint64_t *number, unsigned radix, char *to, const char *const *digit, unsigned count)
{
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *text = digit[take_digit(number, radix)];
        size_t length = strlen(text);
        memcpy(to + at, text, length);
        at += length;
    }
    return at;
}

/* 99 of 100 keys lie under one long prefix. */
static size_t prefix_key(const struct keyspace *space, uint64_t index, char *key)
{
    static const char prefix[] = "data/archive/very/long/prefix/of/things/item-";
    uint64_t number = scattered(space, index), edge = space->number / 200;
    size_t length = sizeof(prefix) - 1;
    if (index < edge || index >= space->number - edge) {
        key[0] = index < edge ? 'b' : 'x';
        key[1] = '/';
        return 2 + digits(key + 2, index, 9);
    }
    memcpy(key, prefix, length);
    length += hex(key + length, number >> 16, 12);
    memcpy(key + length, ".bin", 4);
    return length + 4;
}

/* year/month/day/host/random */
static size_t dates_key(const struct keyspace *space, uint64_t index, char *key)
{
    uint64_t number = scattered(space, index);
    unsigned year = take_digit(&number, 7), month = take_digit(&number, 12), day = take_digit(&number, 28);
    static const char *const hosts[] = {"api-01",  "api-02",  "api-03", "batch",
                                        "cache-a", "cache-b", "db",     "edge-frankfurt"};
    int length = snprintf(key, KEY_MAX + 1, "%04u/%02u/%02u/%s/", 2018 + year, month + 1, day + 1,
                          hosts[take_digit(&number, COUNT_OF(hosts))]);
    return (size_t)length + hex(key + length, number >> 24, 10);
}

/* Capitals, small letters, digits and punctuation. */
static size_t mixed_key(const struct keyspace *space, uint64_t index, char *key)
{
    static const char letters[] = "!'()-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    uint64_t number = scattered(space, index);
    size_t length = 9;
    for (size_t i = 0; i < length; i++)
        key[i] = letters[take_digit(&number, sizeof(letters) - 1)];
    return length;
}

/* Words of syllables, more of them early in the alphabet, two to a name. */
static size_t words_key(const struct keyspace *space, uint64_t index, char *key)
{
    static const char *const syllables[] = {"al", "be", "con", "da", "el", "fo", "gra", "in", "ka",
                                            "lu", "mi", "no",  "or", "pe", "ro", "sta", "ti", "ver"};
    uint64_t number = scattered(space, index);
    number = (number >> 32) * (number >> 32);
    size_t length = take_digits(&number, COUNT_OF(syllables), key, syllables, 4);
    key[length++] = "-_"[take_digit(&number, 2)];
    length += take_digits(&number, COUNT_OF(syllables), key + length, syllables, 3);
    /* Early keys lie close together: the index keeps them apart. */
    key[length++] = '.';
    return length + digits(key + length, index, 10);
}

/* dt=YYYY-MM-DD/part=NN/NNNNN-random.parquet */
static size_t parts_key(const struct keyspace *space, uint64_t index, char *key)
{
    uint64_t number = scattered(space, index);
    unsigned year = take_digit(&number, 4), month = take_digit(&number, 12), day = take_digit(&number, 28);
    unsigned part = take_digit(&number, 16), file = take_digit(&number, 200);
    int length = snprintf(key, KEY_MAX + 1, "table/dt=%04u-%02u-%02u/part=%u%u/%05u-%010llx.parquet", 2021 + year,
                          month + 1, day + 1, part / 10, part % 10, file, (unsigned long long)number >> 24);
    return (size_t)length;
}

/* Several scripts, one to four bytes a character. */
static size_t utf8_key(const struct keyspace *space, uint64_t index, char *key)
{
    static const char *const letters[] = {"1", "a", "e",  "z",  "ß",  "é",  "ñ",  "ж",  "и",  "ф",  "ש", "ب",
                                          "अ", "ก", "あ", "カ", "写", "日", "本", "語", "국", "어", "🂡", "😀"};
    uint64_t number = scattered(space, index);
    size_t length = take_digits(&number, COUNT_OF(letters), key, letters, 6);
    key[length++] = '/';
    return length + take_digits(&number, COUNT_OF(letters), key + length, letters, 6);
}

/* Every tenth is the marker of a directory; below it names are empty ("//"), a slash, or short. */
static size_t markers_key(const struct keyspace *space, uint64_t index, char *key)
{
    static const char *const tails[] = {"", " c", "%41", "+", "//1", "//2", "/a", "a/", "b", "~"};
    (void)space;
    key[0] = 'd';
    size_t length = 1 + digits(key + 1, index / COUNT_OF(tails), 8);
    key[length++] = '/';
    const char *tail = tails[index % COUNT_OF(tails)];
    memcpy(key + length, tail, strlen(tail));
    return length + strlen(tail);
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
    } shapes[] = {{"", padded_key},         {"-padded", padded_key}, {"-numbers", number_key}, {"-tree", tree_key},
                  {"-uuid", uuid_key},      {"-hive", hive_key},     {"-prefix", prefix_key},  {"-dates", dates_key},
                  {"-mixed", mixed_key},    {"-words", words_key},   {"-parts", parts_key},    {"-utf8", utf8_key},
                  {"-markers", markers_key}};
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
