/* SPDX-License-Identifier: Apache-2.0
 * Single objects: get, head, put, copy. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void no_such(struct request *request, const char *code)
{
    reply_error(request, 404, code,
                strcmp(code, "NoSuchBucket") == 0    ? "The specified bucket does not exist"
                : strcmp(code, "NoSuchVersion") == 0 ? "The specified version does not exist."
                                                     : "The specified key does not exist.");
}

void version_header(struct request *request, const struct object *object)
{
    if (object->version[0] != '\0')
        reply_header(request, "x-amz-version-id: %s", object->version);
}

/* ---- get and head --------------------------------------------------------------------------------------- */

int parse_range(const char *text, uint64_t size, uint64_t *offset, uint64_t *length)
{
    char *end;
    if (text == NULL || strncmp(text, "bytes=", 6) != 0 || strchr(text, ',') != NULL)
        return 0;
    text += 6;
    if (*text == '-') {
        uint64_t last = strtoull(text + 1, &end, 10);
        if (end == text + 1 || *end != '\0')
            return 0;
        if (last == 0 || size == 0)
            return -1;
        *length = last < size ? last : size;
        *offset = size - *length;
        return 1;
    }
    uint64_t first = strtoull(text, &end, 10), last = UINT64_MAX;
    if (end == text || *end != '-')
        return 0;
    if (end[1] != '\0') {
        text = end + 1;
        last = strtoull(text, &end, 10);
        if (end == text || *end != '\0' || last < first)
            return 0;
    }
    if (first >= size)
        return -1;
    *offset = first;
    *length = (last < size - 1 ? last : size - 1) - first + 1;
    return 1;
}

static void etag_header(struct request *request, const struct object *object)
{
    static const char *const before[] = {"\"", "", "W/\"", "\""}, *const after[] = {"\"", "", "\"", "\""};
    int64_t how = atomic_load(&settings.etags);
    reply_header(request, "ETag: %s%s%s%s", before[how & 3], request->fault.wrong_etag ? "0" : "", object->etag,
                 after[how & 3]);
}

/* If-Match and friends of a read; true when it replied. */
static bool read_condition(struct request *request, const struct object *object)
{
    const char *match = header(request, "if-match"), *none = header(request, "if-none-match");
    if (match != NULL && !same_etag(match, object->etag)) {
        reply_error(request, 412, "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold");
        return true;
    }
    if (none != NULL && same_etag(none, object->etag)) {
        reply_header(request, "ETag: \"%s\"", object->etag);
        reply_empty(request, 304);
        return true;
    }
    return false;
}

/* ?response-content-disposition=… and its kin take the place of what is stored; content-type's is elsewhere. */
static const char *const askable[] = {"content-disposition", "content-encoding", "content-language", "cache-control",
                                      "expires"};

static const char *asked_header(const struct request *request, const char *name)
{
    char parameter[64];
    snprintf(parameter, sizeof(parameter), "response-%s", name);
    return query_value(request, parameter);
}

static void object_headers(struct request *request, const struct object *object, bool generated, bool whole)
{
    const char *mode = header(request, "x-amz-checksum-mode");
    struct text date = {0};
    text_http_date(&date, object->mtime_ms);
    reply_header(request, "Last-Modified: %s", date.bytes);
    text_free(&date);
    etag_header(request, object);
    reply_header(request, "Accept-Ranges: bytes");
    version_header(request, object);
    for (size_t i = 0; i < object->header_count; i++) {
        const struct pair *stored = &object->headers[i];
        bool told = strcmp(stored->name, "content-type") != 0 && strcmp(stored->name, "x-amz-acl") != 0 &&
                    strcmp(stored->name, "x-amz-server-side-encryption-context") != 0;
        if (told && asked_header(request, stored->name) == NULL)
            reply_header(request, "%s: %s", stored->name, stored->value);
    }
    options_echo(request, object);
    for (size_t i = 0; i < COUNT_OF(askable); i++)
        if (asked_header(request, askable[i]) != NULL)
            reply_header(request, "%s: %s", askable[i], asked_header(request, askable[i]));
    bool told = mode != NULL && strcasecmp(mode, "ENABLED") == 0 && (whole || atomic_load(&settings.range_checksum));
    if (!told || object->sum == 0 || !atomic_load(&settings.checksums))
        return;
    if (generated) {
        struct sums sums = {.crc64 = pattern_crc64(object->seed, object->size)};
        char text[64];
        sums_base64(&sums, SUM_CRC64, text);
        sum_header(request, SUM_CRC64, text, false);
    } else {
        sum_header(request, object->sum, object->sum_text, object->composite);
    }
}

void change_object(const char *bucket_name, const struct object *object, bool generated)
{
    if (generated) {
        pattern_change(object->key);
        return;
    }
    struct object *other = object_new(object->key, object->key_length);
    other->size = object->size;
    other->sum = object->sum;
    other->composite = object->composite;
    memcpy(other->sum_text, object->sum_text, sizeof(other->sum_text));
    snprintf(other->etag, sizeof(other->etag), "%s", object->etag);
    other->etag[0] = other->etag[0] == '0' ? '1' : '0';
    for (size_t i = 0; i < object->header_count; i++)
        object_header(other, object->headers[i].name, object->headers[i].value);
    segments_copy(&other->segments, &other->segment_count, object->segments, object->segment_count);
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(bucket_name);
    if (bucket != NULL)
        bucket_put(bucket, other);
    pthread_rwlock_unlock(&store.lock);
}

static bool contents_kept(const struct object *object)
{
    for (size_t i = 0; i < object->segment_count; i++)
        if (object->segments[i].blob == NULL && object->segments[i].length > 0)
            return false;
    return true;
}

/* ?partNumber=N: the range of that part. */
static int part_range(struct request *request, const struct object *object, uint64_t *offset, uint64_t *length)
{
    int64_t number = query_number(request, "partNumber", 0);
    uint64_t at = 0, count = 0;
    if (number == 0)
        return 0;
    *length = 0;
    for (size_t i = 0; i < object->segment_count; i++) {
        const struct segment *segment = &object->segments[i];
        if (segment->part == (uint32_t)number && *length == 0)
            *offset = at;
        if (segment->part == (uint32_t)number)
            *length += segment->length;
        if (segment->part > count)
            count = segment->part;
        at += segment->length;
    }
    if (count > 0)
        reply_header(request, "x-amz-mp-parts-count: %llu", (unsigned long long)count);
    if (count == 0 && number == 1) {
        *offset = 0;
        *length = object->size;
    }
    return *length > 0 ? 1 : -1;
}

static void serve_object(struct request *request, const struct object *object, bool generated)
{
    uint64_t offset = 0, length = object->size;
    bool head = request->kind == KIND_HeadObject;
    if (header(request, "x-amz-checksum-mode") != NULL && !atomic_load(&settings.checksum_mode)) {
        reply_error(request, 501, "NotImplemented",
                    "A header you provided implies functionality that is not implemented");
        return;
    }
    int ranged = query_has(request, "partNumber")
                     ? part_range(request, object, &offset, &length)
                     : parse_range(header(request, "range"), object->size, &offset, &length);
    if (request->fault.ignore_range && ranged > 0) {
        ranged = 0;
        offset = 0;
        length = object->size;
    }
    if (request->fault.empty_206 && ranged != 0 && !head) { /* as some have it: "bytes 0--1/0" */
        ranged = 1;
        offset = length = 0;
    }
    if (ranged < 0) {
        reply_header(request, "Content-Range: bytes */%llu", (unsigned long long)object->size);
        reply_error(request, 416, "InvalidRange", "The requested range is not satisfiable");
        return;
    }
    if (!generated && !head && !contents_kept(object)) {
        reply_error(request, 500, "ContentsNotKept", "this endpoint kept the size of the object and not its contents");
        return;
    }
    object_headers(request, object, generated, ranged == 0);
    if (ranged > 0 && request->fault.range_200 < 2)
        reply_header(
            request, "Content-Range: bytes %lld-%lld/%llu", (long long)offset + (long long)request->fault.wrong_range,
            (long long)(offset + length - 1) + (long long)request->fault.wrong_range, (unsigned long long)object->size);
    const char *type = query_value(request, "response-content-type");
    if (type == NULL)
        type = object_get_header(object, "content-type");
    request->lengthless = request->fault.no_length != 0;
    if (!reply_head(request, ranged > 0 && !request->fault.range_200 ? 206 : 200, type, length))
        return;
    if (head) {
        conn_write(request->conn, request->conn->head.bytes, request->conn->head.length);
        return;
    }
    struct stream_source source = {generated ? NULL : object, object->seed};
    reply_stream(request, &source, offset, length);
}

void get_object(struct request *request)
{
    const char *code;
    bool generated;
    struct object *object = store_get(request->bucket, request->key, request->key_length,
                                      query_value(request, "versionId"), &generated, &code);
    if (object == NULL) {
        no_such(request, code);
        return;
    }
    if (object->marker) {
        version_header(request, object);
        reply_header(request, "x-amz-delete-marker: true");
        reply_error(request, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    } else if (customer_key_fits(request, "x-amz-", generated ? NULL : object) && !read_condition(request, object))
        serve_object(request, object, generated);
    if (request->fault.change && !object->marker)
        change_object(request->bucket, object, generated);
    object_drop(object);
}

/* ---- put ------------------------------------------------------------------------------------------------- */

static bool metadata_fits(struct request *request)
{
    size_t total = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (strncmp(request->headers[i].name, "x-amz-meta-", 11) == 0)
            total += strlen(request->headers[i].name) - 11 + strlen(request->headers[i].value);
    if (total > 2048)
        reply_error(request, 400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
    return total <= 2048;
}

/* The name for the log of what the store did is the error's code; NULL when the object is in its place. */
static const char *place_object(struct request *request, struct object *object, int *status)
{
    const char *code = "NoSuchBucket";
    *status = 404;
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(request->bucket);
    if (bucket != NULL)
        code = write_condition(request, bucket, status);
    if (bucket != NULL && code == NULL)
        bucket_put(bucket, object_ref(object));
    pthread_rwlock_unlock(&store.lock);
    return code;
}

/* A condition that fails already is told before the body is sent. */
static bool condition_holds(struct request *request)
{
    int status = 404;
    const char *code = "NoSuchBucket";
    if (bucket_exists(request->bucket)) {
        pthread_rwlock_rdlock(&store.lock);
        struct bucket *bucket = store_bucket(request->bucket);
        if (bucket != NULL)
            code = write_condition(request, bucket, &status);
        pthread_rwlock_unlock(&store.lock);
    }
    if (code != NULL)
        reply_error(request, status, code, "the condition of the request does not hold");
    return code == NULL;
}

void put_object(struct request *request)
{
    struct received received;
    bool stores = atomic_load(&settings.store) != 0;
    if (request->key_length > KEY_MAX) {
        reply_error(request, 400, "KeyTooLongError", "Your key is too long");
        return;
    }
    if (request->length > (uint64_t)atomic_load(&settings.put_max)) {
        reply_error(request, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
        return;
    }
    if (!metadata_fits(request) || !options_fit(request) || !customer_key_fits(request, "x-amz-", NULL) ||
        !condition_holds(request))
        return;
    unsigned also = (wants_md5() ? SUM_MD5 : 0) | (stores ? SUM_CRC64 : 0);
    struct object *object = object_new(request->key, request->key_length);
    take_headers(request, object);
    if (!lock_fits(request, object) || !receive_body(request, also, stores, &received)) {
        object_drop(object);
        return;
    }
    int status = 200;
    const char *code = NULL;
    object->size = received.sums.bytes;
    make_etag(object->etag, &received.sums);
    object->sum = received.named;
    if (object->sum == 0 && stores && atomic_load(&settings.own_checksum))
        object->sum = SUM_CRC64;
    if (object->sum != 0)
        sums_base64(&received.sums, object->sum, object->sum_text);
    if (stores) {
        object->segments = need(calloc(1, sizeof(*object->segments)));
        object->segments[0] = (struct segment){received.blob, object->size, 0};
        object->segment_count = 1;
        received.blob = NULL;
        code = place_object(request, object, &status);
    }
    if (code != NULL) {
        reply_error(request, status, code, "the condition of the request does not hold");
    } else {
        etag_header(request, object);
        version_header(request, object);
        if (object->sum != 0 && atomic_load(&settings.checksums))
            sum_header(request, object->sum, object->sum_text, false);
        reply_empty(request, 200);
    }
    received_free(&received);
    object_drop(object);
}

/* ---- copy ------------------------------------------------------------------------------------------------- */

struct object *copy_source(struct request *request, bool *generated, char bucket[64])
{
    char *source = need(strdup(header(request, "x-amz-copy-source")));
    const char *match = header(request, "x-amz-copy-source-if-match"), *code = "NoSuchKey";
    char *question = strchr(source, '?');
    const char *version = NULL;
    if (question != NULL)
        *question = '\0';
    if (question != NULL && strncmp(question + 1, "versionId=", 10) == 0)
        version = question + 11;
    size_t length = url_decode(source, strlen(source), false);
    char *name = source + (source[0] == '/'), *slash = strchr(name, '/');
    struct object *object = NULL;
    if (slash != NULL) {
        *slash = '\0';
        snprintf(bucket, 64, "%s", name);
        object = store_get(name, slash + 1, length - (size_t)(slash + 1 - source), version, generated, &code);
    }
    free(source);
    if (object != NULL && object->marker) {
        reply_error(request, 400, "InvalidRequest",
                    "The source of a copy request may not specifically refer to a delete "
                    "marker by version id.");
        object_drop(object);
        return NULL;
    }
    if (object == NULL) {
        no_such(request, code);
        return NULL;
    }
    if (match != NULL && !same_etag(match, object->etag)) {
        reply_error(request, 412, "PreconditionFailed", "the source is another one now");
        object_drop(object);
        return NULL;
    }
    if (!customer_key_fits(request, "x-amz-copy-source-", *generated ? NULL : object)) {
        object_drop(object);
        return NULL;
    }
    return object;
}

unsigned take_range(const struct object *object, bool generated, uint64_t offset, uint64_t length, struct segment **to,
                    size_t *count, struct sums *sums)
{
    unsigned known = ~0u;
    if (generated) {
        struct segment whole = {NULL, length, 0};
        if (length <= (uint64_t)atomic_load(&settings.keep_object))
            whole.blob = blob_new(NULL, (size_t)length);
        for (uint64_t at = 0; whole.blob != NULL && at < length;) {
            uint64_t from = (object->seed + offset + at) % PATTERN_PERIOD, piece = PATTERN_ROOM - from;
            piece = piece < length - at ? piece : length - at;
            memcpy(whole.blob->bytes + at, pattern_bytes() + from, (size_t)piece);
            at += piece;
        }
        if (whole.blob != NULL) {
            sums_add(sums, whole.blob->bytes, (size_t)length);
        } else {
            sums->crc64 = pattern_crc64((object->seed + offset) % PATTERN_PERIOD, length);
            known = SUM_CRC64;
        }
        segments_copy(to, count, &whole, 1);
        blob_drop(whole.blob);
        return known;
    }
    for (size_t i = 0; i < object->segment_count && length > 0; i++) {
        const struct segment *segment = &object->segments[i];
        if (offset >= segment->length) {
            offset -= segment->length;
            continue;
        }
        uint64_t piece = segment->length - offset < length ? segment->length - offset : length;
        struct segment part = {NULL, piece, 0};
        if (segment->blob != NULL)
            sums_add(sums, segment->blob->bytes + offset, (size_t)piece);
        else
            known = 0;
        if (piece == segment->length) {
            part.blob = segment->blob;
            segments_copy(to, count, &part, 1);
        } else {
            part.blob = segment->blob == NULL ? NULL : blob_new(segment->blob->bytes + offset, (size_t)piece);
            segments_copy(to, count, &part, 1);
            blob_drop(part.blob);
        }
        length -= piece;
        offset = 0;
    }
    return known;
}

static struct object *copied(struct request *request, const struct object *source, bool generated)
{
    const char *directive = header(request, "x-amz-metadata-directive");
    struct object *object = object_new(request->key, request->key_length);
    struct sums sums;
    object->size = source->size;
    if (directive != NULL && strcmp(directive, "REPLACE") == 0) {
        take_headers(request, object);
    } else {
        /* What it is comes along; how it is kept (x-amz-…, but for user metadata) is the request's. */
        take_headers(request, object);
        for (size_t i = 0; i < object->header_count; i++)
            if (strncmp(object->headers[i].name, "x-amz-", 6) != 0 ||
                strncmp(object->headers[i].name, "x-amz-meta-", 11) == 0)
                object->headers[i].name[0] = '\0';
        object_drop_unnamed(object);
        for (size_t i = 0; i < source->header_count; i++)
            if (strncmp(source->headers[i].name, "x-amz-", 6) != 0 ||
                strncmp(source->headers[i].name, "x-amz-meta-", 11) == 0)
                object_header(object, source->headers[i].name, source->headers[i].value);
    }
    const char *tags = header(request, "x-amz-tagging-directive");
    if (source->tagging != NULL && object->tagging == NULL && (tags == NULL || strcmp(tags, "REPLACE") != 0))
        object->tagging = need(strdup(source->tagging));
    sums_begin(&sums, SUM_CRC64 | (wants_md5() ? SUM_MD5 : 0));
    unsigned known = take_range(source, generated, 0, source->size, &object->segments, &object->segment_count, &sums);
    sums_end(&sums);
    sums.bytes = source->size;
    sums.want &= known;
    make_etag(object->etag, &sums); /* a copy of an object in parts is an object in one */
    object->sum = sums.want & SUM_CRC64;
    sums_base64(&sums, SUM_CRC64, object->sum_text);
    return object;
}

void copy_object(struct request *request)
{
    bool generated = false;
    const char *directive = header(request, "x-amz-metadata-directive"), *code;
    char from[64];
    int status;
    if (!metadata_fits(request) || !options_fit(request) || !customer_key_fits(request, "x-amz-", NULL) ||
        !condition_holds(request))
        return;
    struct object *source = copy_source(request, &generated, from);
    if (source == NULL)
        return;
    bool itself = source->key_length == request->key_length &&
                  memcmp(source->key, request->key, source->key_length) == 0 &&
                  strstr(header(request, "x-amz-copy-source"), request->bucket) != NULL;
    if (source->size > (uint64_t)atomic_load(&settings.copy_max)) {
        reply_error(request, 400, "InvalidRequest", "The specified copy source is larger than the maximum allowable");
    } else if (itself && (directive == NULL || strcmp(directive, "REPLACE") != 0)) {
        reply_error(request, 400, "InvalidRequest", "This copy request is illegal: nothing would change");
    } else if (request->fault.error_200) {
        reply_error(request, 200, "InternalError", "We encountered an internal error. Please try again.");
    } else {
        struct object *object = copied(request, source, generated);
        code = place_object(request, object, &status);
        if (code != NULL) {
            reply_error(request, status, code, "the condition of the request does not hold");
        } else {
            struct text *out = &request->conn->body;
            text_clear(out);
            text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult><LastModified>");
            text_time(out, object->mtime_ms);
            text_format(out, "</LastModified><ETag>&quot;%s&quot;</ETag>", object->etag);
            if (object->sum != 0 && atomic_load(&settings.checksums))
                text_format(out, "<Checksum%s>%s</Checksum%s>", sum_name(object->sum, true), object->sum_text,
                            sum_name(object->sum, true));
            text_str(out, "</CopyObjectResult>");
            version_header(request, object);
            reply_xml(request, 200);
        }
        object_drop(object);
    }
    object_drop(source);
}
