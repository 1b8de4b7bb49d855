/* SPDX-License-Identifier: Apache-2.0
 * Listings: ListObjects V1 and V2, versions, buckets. A page is made from a key space by index, so a page of a
 * hundred million keys costs what one of a thousand does. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct request *request;
    struct keyspace space;
    const char *prefix, *delimiter;
    size_t prefix_length, delimiter_length;
    int64_t max_keys;
    bool url, owner, versions;
    uint64_t at;
    size_t depth;           /* of the versions of the key at `at`: that many were given, or come before the page */
    char skip[KEY_MAX + 1]; /* a common prefix that was given out before: its keys are not again */
    size_t skip_length;
    char last[KEY_MAX + 1]; /* the last key or common prefix of the page */
    size_t last_length;
    bool last_prefix;
    char last_version[24];
    int64_t given;
    bool more;
    struct text prefixes;
};

static void add_name(struct text *out, const struct listing *list, const char *name, size_t length)
{
    if (list->url)
        text_url(out, name, length, true);
    else
        text_xml(out, name, length);
}

/* The time of the latest entry is kept as text: entries of one page are often of the same second. */
static void add_time(struct text *out, int64_t ms)
{
    static _Thread_local int64_t last = -1;
    static _Thread_local char line[32];
    if (ms != last) {
        struct text text = {0};
        text_time(&text, ms);
        snprintf(line, sizeof(line), "%s", text.bytes);
        text_free(&text);
        last = ms;
    }
    text_add(out, line, 24);
}

static void add_entry(struct text *out, const struct listing *list, const char *key, size_t length)
{
    struct listed listed;
    list->space.about(&list->space, list->at, &listed);
    text_str(out, list->versions ? "<Version><Key>" : "<Contents><Key>");
    add_name(out, list, key, length);
    if (list->versions)
        text_str(out, "</Key><VersionId>null</VersionId><IsLatest>true</IsLatest><LastModified>");
    else
        text_str(out, "</Key><LastModified>");
    add_time(out, listed.mtime_ms);
    text_str(out, "</LastModified><ETag>&quot;");
    text_str(out, listed.etag);
    text_str(out, "&quot;</ETag><Size>");
    if (atomic_load(&settings.sizes))
        text_number(out, listed.size);
    if (listed.sum != 0)
        text_format(out, "</Size><ChecksumAlgorithm>%s</ChecksumAlgorithm><StorageClass>", sum_name(listed.sum, true));
    else
        text_str(out, "</Size><StorageClass>");
    text_str(out, listed.storage_class);
    if (list->owner)
        text_str(out, "</StorageClass><Owner><ID>s3d</ID><DisplayName>s3d</DisplayName></Owner></Contents>");
    else
        text_str(out, list->versions ? "</StorageClass></Version>" : "</StorageClass></Contents>");
}

/* The version of the key at `at` that comes next; NULL: a generated key, which has one. */
static struct object *next_version(const struct listing *list)
{
    struct object *object = list->space.bucket == NULL ? NULL : list->space.bucket->objects[list->at];
    for (size_t i = 0; object != NULL && i < list->depth; i++)
        object = object->older;
    return object;
}

static void add_version(struct text *out, const struct listing *list, const struct object *object)
{
    const char *class = object_get_header(object, "x-amz-storage-class");
    text_str(out, object->marker ? "<DeleteMarker><Key>" : "<Version><Key>");
    add_name(out, list, object->key, object->key_length);
    text_format(out, "</Key><VersionId>%s</VersionId><IsLatest>%s</IsLatest><LastModified>", object_version(object),
                list->depth == 0 ? "true" : "false");
    add_time(out, object->mtime_ms);
    if (object->marker) {
        text_str(out, "</LastModified></DeleteMarker>");
        return;
    }
    text_format(out,
                "</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size><StorageClass>%s</StorageClass></Version>",
                object->etag, (unsigned long long)object->size, class == NULL ? "STANDARD" : class);
}

/* What stands at `at`, all of it or its next version. */
static void give(struct listing *list, struct text *out, const char *key, size_t length)
{
    struct object *object = list->versions ? next_version(list) : NULL;
    if (object == NULL) {
        add_entry(out, list, key, length);
        list->at++;
        return;
    }
    add_version(out, list, object);
    snprintf(list->last_version, sizeof(list->last_version), "%s", object_version(object));
    list->depth++;
    if (object->older == NULL) {
        list->at++;
        list->depth = 0;
    }
}

/* A key whose latest version is the marker of its removal is in no listing but that of versions. */
static bool hidden(const struct listing *list)
{
    return !list->versions && list->space.bucket != NULL && list->space.bucket->objects[list->at]->marker;
}

/* The length of the common prefix that `key` belongs to, 0: none. */
static size_t common_prefix(const struct listing *list, const char *key, size_t length)
{
    if (list->delimiter_length == 0 || length < list->prefix_length)
        return 0;
    const char *found =
        memmem(key + list->prefix_length, length - list->prefix_length, list->delimiter, list->delimiter_length);
    return found == NULL ? 0 : (size_t)(found - key) + list->delimiter_length;
}

/* The index behind the last key that begins with these bytes. */
static uint64_t behind(const struct keyspace *space, const char *prefix, size_t length)
{
    char end[KEY_MAX + 1];
    memcpy(end, prefix, length);
    while (length > 0 && (unsigned char)end[length - 1] == 0xff)
        length--;
    if (length == 0)
        return space->count;
    end[length - 1] = (char)((unsigned char)end[length - 1] + 1);
    return keyspace_bound(space, end, length, false);
}

/* Turns the order of two halves of a page around, as a store without order might. */
static void rotate(struct text *out, size_t start, size_t middle)
{
    size_t head = middle - start, tail = out->length - middle;
    char *copy = need(malloc(head + tail + 1));
    memcpy(copy, out->bytes + middle, tail);
    memcpy(copy + tail, out->bytes + start, head);
    memcpy(out->bytes + start, copy, head + tail);
    free(copy);
}

static void make_page(struct listing *list, struct text *out)
{
    char key[KEY_MAX + 1];
    while (list->at < list->space.count) {
        size_t length = list->space.key(&list->space, list->at, key);
        if (length < list->prefix_length || memcmp(key, list->prefix, list->prefix_length) != 0)
            return;
        if (hidden(list)) {
            list->at++;
            continue;
        }
        size_t common = common_prefix(list, key, length);
        if (common > 0 && common == list->skip_length && memcmp(list->skip, key, common) == 0) {
            list->at = behind(&list->space, key, common);
            continue;
        }
        if (list->given == list->max_keys) {
            list->more = true;
            return;
        }
        if (common > 0) {
            text_str(&list->prefixes, "<CommonPrefixes><Prefix>");
            add_name(&list->prefixes, list, key, common);
            text_str(&list->prefixes, "</Prefix></CommonPrefixes>");
            length = common;
            list->at = behind(&list->space, key, common);
        } else {
            give(list, out, key, length);
        }
        memcpy(list->last, key, length);
        list->last_length = length;
        list->last_prefix = common > 0;
        list->given++;
    }
}

static void start_after(struct listing *list, const char *key, size_t length, bool common)
{
    uint64_t at = common ? behind(&list->space, key, length) : keyspace_bound(&list->space, key, length, true);
    if (at > list->at)
        list->at = at;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A token is "k" or "p" and the key or prefix in hexadecimal: opaque to a client, safe in XML and in a URL. */
static bool use_token(struct listing *list, const char *token)
{
    char key[KEY_MAX + 1];
    size_t length = 0;
    if (*token != 'k' && *token != 'p')
        return false;
    for (const char *at = token + 1; *at != '\0' && *at != '.'; at += 2) {
        int high = digit(at[0]), low = high < 0 ? -1 : digit(at[1]);
        if (low < 0 || length == KEY_MAX)
            return false;
        key[length++] = (char)(high * 16 + low);
    }
    start_after(list, key, length, *token == 'p');
    return true;
}

/* What makes each token a new one, whatever it stands for. */
static void add_salt(struct text *out)
{
    static atomic_uint_fast64_t tokens;
    if (atomic_load(&settings.token_salt) > 0)
        text_format(out, ".%llu", (unsigned long long)atomic_fetch_add(&tokens, 1));
}

static void add_token(struct text *out, const struct listing *list)
{
    char hex[2 * KEY_MAX + 1];
    sum_hex((const uint8_t *)list->last, list->last_length, hex);
    text_format(out, "%c%s", list->last_prefix ? 'p' : 'k', hex);
}

static void add_echo(struct text *out, const struct listing *list, const char *tag, const char *value)
{
    text_format(out, "<%s>", tag);
    add_name(out, list, value, strlen(value));
    text_format(out, "</%s>", tag);
}

/* What V1, V2 and the versions have in common. False when it replied already. */
static bool read_listing(struct request *request, struct listing *list)
{
    const char *encoding = query_value(request, "encoding-type"), *owner = query_value(request, "fetch-owner");
    list->request = request;
    list->prefix = query_has(request, "prefix") ? query_value(request, "prefix") : "";
    list->delimiter = query_has(request, "delimiter") ? query_value(request, "delimiter") : "";
    list->prefix_length = strlen(list->prefix);
    list->delimiter_length = strlen(list->delimiter);
    list->max_keys = query_number(request, "max-keys", 1000);
    list->url = encoding != NULL && strcmp(encoding, "url") == 0;
    bool unknown = encoding != NULL && !list->url;
    list->url &= atomic_load(&settings.encoding) != 0;
    list->owner = owner != NULL && strcmp(owner, "true") == 0;
    if (list->max_keys < 0 || unknown) {
        reply_error(request, 400, "InvalidArgument", "max-keys or encoding-type is wrong");
        return false;
    }
    if (list->max_keys > atomic_load(&settings.page_max))
        list->max_keys = atomic_load(&settings.page_max);
    if (list->prefix_length > KEY_MAX) {
        reply_error(request, 400, "KeyTooLongError", "the prefix is too long");
        return false;
    }
    if (!bucket_exists(request->bucket)) {
        reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
        return false;
    }
    return true;
}

/* With the read lock held where keys are stored; returns whether it is. */
static bool open_space(struct listing *list)
{
    if (!keyspace_generated(&list->space, list->request->bucket)) {
        pthread_rwlock_rdlock(&store.lock);
        const struct bucket *bucket = store_bucket(list->request->bucket);
        static const struct bucket none;
        keyspace_stored(&list->space, bucket == NULL ? &none : bucket);
        list->at = keyspace_bound(&list->space, list->prefix, list->prefix_length, false);
        return true;
    }
    list->at = keyspace_bound(&list->space, list->prefix, list->prefix_length, false);
    return false;
}

static bool place_v1(struct listing *list, const char *name)
{
    const char *marker = query_value(list->request, name);
    if (marker != NULL && *marker != '\0') {
        size_t length = strlen(marker);
        if (length > KEY_MAX)
            return false;
        start_after(list, marker, length, false);
        size_t common = common_prefix(list, marker, length);
        if (common == length) {
            memcpy(list->skip, marker, length);
            list->skip_length = length;
        }
    }
    return true;
}

/* Behind a version, or behind all of a key. */
static bool place_version(struct listing *list)
{
    const char *key = query_value(list->request, "key-marker"), *id = query_value(list->request, "version-id-marker");
    if (!place_v1(list, "key-marker"))
        return false;
    if (key == NULL || id == NULL || *id == '\0' || list->space.bucket == NULL)
        return true;
    struct object *object = bucket_find_version(list->space.bucket, key, strlen(key), id);
    uint64_t at = keyspace_bound(&list->space, key, strlen(key), false);
    if (object == NULL || object->older == NULL)
        return true;
    list->at = at;
    list->depth = 1;
    for (const struct object *one = list->space.bucket->objects[at]; one != object; one = one->older)
        list->depth++;
    return true;
}

static bool place_v2(struct listing *list)
{
    const char *token = query_value(list->request, "continuation-token");
    const char *after = query_value(list->request, "start-after");
    if (token != NULL)
        return use_token(list, token);
    if (after != NULL && *after != '\0' && atomic_load(&settings.start_after) != 0) {
        if (strlen(after) > KEY_MAX || atomic_load(&settings.start_after) < 0)
            return false;
        start_after(list, after, strlen(after), false);
    }
    return true;
}

static bool goes_round(void)
{
    static _Atomic int64_t pages;
    int64_t circle = atomic_load(&settings.token_circle);
    return circle > 0 && atomic_fetch_add(&pages, 1) % circle == circle - 1;
}

static void finish_page(struct listing *list, bool v2)
{
    struct request *request = list->request;
    struct text *out = &request->conn->body;
    const char *token = query_value(request, "continuation-token");
    text_str(out, v2 ? "<KeyCount>" : "<Marker>");
    if (v2) {
        text_number(out, (uint64_t)list->given);
        text_str(out, "</KeyCount>");
    } else {
        const char *marker = query_value(request, "marker");
        add_name(out, list, marker == NULL ? "" : marker, marker == NULL ? 0 : strlen(marker));
        text_str(out, "</Marker>");
    }
    if (v2 && token != NULL)
        add_echo(out, list, "ContinuationToken", token);
    if (v2 && query_has(request, "start-after"))
        add_echo(out, list, "StartAfter", query_value(request, "start-after"));
    bool more =
        (list->more && list->max_keys > 0) || request->fault.repeat_token || atomic_load(&settings.token_circle) > 0;
    text_format(out, "<IsTruncated>%s</IsTruncated>", more ? "true" : "false");
    if (more && v2 && !request->fault.no_token) {
        text_str(out, "<NextContinuationToken>");
        if (request->fault.repeat_token && token != NULL)
            text_xml(out, token, strlen(token));
        else if (goes_round())
            text_str(out, "k"); /* before the first key */
        else
            add_token(out, list);
        if (!request->fault.repeat_token)
            add_salt(out);
        text_str(out, "</NextContinuationToken>");
    } else if (more && !v2 && list->delimiter_length > 0) {
        text_str(out, "<NextMarker>");
        add_name(out, list, list->last, list->last_length);
        text_str(out, "</NextMarker>");
    }
    if (list->prefixes.length > 0)
        text_add(out, list->prefixes.bytes, list->prefixes.length);
    if (list->url && atomic_load(&settings.encoding) == 2)
        text_str(out, "<EncodingType>url</EncodingType>");
    text_str(out, "</ListBucketResult>");
}

void list_objects(struct request *request, bool v2)
{
    struct listing list = {0};
    struct text *out = &request->conn->body;
    if (v2 && !atomic_load(&settings.list_v2)) {
        reply_error(request, 501, "NotImplemented", "ListObjectsV2 is not implemented");
        return;
    }
    if (!read_listing(request, &list))
        return;
    list.owner |= !v2;
    const char *after = query_has(request, "continuation-token") ? NULL : query_value(request, "start-after");
    if (after != NULL && request->fault.false_end > (strchr(after, '/') == NULL))
        list.max_keys = 0; /* as MinIO answers now and then: nothing lies behind */
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>");
    text_xml(out, request->bucket, strlen(request->bucket));
    text_str(out, "</Name>");
    add_echo(out, &list, "Prefix", list.prefix);
    text_format(out, "<MaxKeys>%lld</MaxKeys>", (long long)list.max_keys);
    if (list.delimiter_length > 0)
        add_echo(out, &list, "Delimiter", list.delimiter);
    if (list.url && atomic_load(&settings.encoding) == 1)
        text_str(out, "<EncodingType>url</EncodingType>");
    bool locked = open_space(&list);
    bool placed = v2 ? place_v2(&list) : place_v1(&list, "marker");
    size_t start = out->length;
    if (placed)
        make_page(&list, out);
    char *middle = memmem(out->bytes + start + (out->length - start) / 2, (out->length - start) / 2, "<Contents>", 10);
    if (atomic_load(&settings.unordered) && middle != NULL)
        rotate(out, start, (size_t)(middle - out->bytes));
    if (locked)
        pthread_rwlock_unlock(&store.lock);
    if (placed) {
        finish_page(&list, v2);
        reply_xml(request, 200);
    } else {
        reply_error(request, 400, "InvalidArgument", "The continuation token provided is incorrect");
    }
    text_free(&list.prefixes);
}

void list_versions(struct request *request)
{
    struct listing list = {.versions = true};
    struct text *out = &request->conn->body;
    if (!read_listing(request, &list))
        return;
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>");
    text_xml(out, request->bucket, strlen(request->bucket));
    text_str(out, "</Name>");
    add_echo(out, &list, "Prefix", list.prefix);
    text_format(out, "<MaxKeys>%lld</MaxKeys>", (long long)list.max_keys);
    if (list.url)
        text_str(out, "<EncodingType>url</EncodingType>");
    bool locked = open_space(&list);
    bool placed = place_version(&list);
    if (placed)
        make_page(&list, out);
    if (locked)
        pthread_rwlock_unlock(&store.lock);
    if (!placed) {
        reply_error(request, 400, "InvalidArgument", "the key marker is too long");
        text_free(&list.prefixes);
        return;
    }
    text_format(out, "<IsTruncated>%s</IsTruncated>", list.more ? "true" : "false");
    if (list.more) {
        text_str(out, "<NextKeyMarker>");
        add_name(out, &list, list.last, list.last_length);
        text_str(out, "</NextKeyMarker>");
        if (!list.last_prefix)
            text_format(out, "<NextVersionIdMarker>%s</NextVersionIdMarker>",
                        list.last_version[0] != '\0' ? list.last_version : "null");
    }
    if (list.prefixes.length > 0)
        text_add(out, list.prefixes.bytes, list.prefixes.length);
    text_str(out, "</ListVersionsResult>");
    reply_xml(request, 200);
    text_free(&list.prefixes);
}

void list_buckets(struct request *request)
{
    struct text *out = &request->conn->body;
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                  "<Owner><ID>s3d</ID><DisplayName>s3d</DisplayName></Owner><Buckets>");
    pthread_rwlock_rdlock(&store.lock);
    for (const struct bucket *bucket = store.buckets; bucket != NULL; bucket = bucket->next) {
        text_str(out, "<Bucket><Name>");
        text_xml(out, bucket->name, strlen(bucket->name));
        text_str(out, "</Name><CreationDate>");
        text_time(out, bucket->made_ms);
        text_str(out, "</CreationDate></Bucket>");
    }
    pthread_rwlock_unlock(&store.lock);
    text_str(out, "</Buckets></ListAllMyBucketsResult>");
    reply_xml(request, 200);
}
