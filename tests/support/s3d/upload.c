/* SPDX-License-Identifier: Apache-2.0
 * Multipart uploads: begin, parts, complete, abort, and their listings. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void begin_xml(struct text *out, const char *tag)
{
    text_clear(out);
    text_format(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", tag);
}

static void add_place(struct text *out, const struct request *request)
{
    text_str(out, "<Bucket>");
    text_xml(out, request->bucket, strlen(request->bucket));
    text_str(out, "</Bucket><Key>");
    text_xml(out, request->key, request->key_length);
    text_str(out, "</Key>");
}

void create_upload(struct request *request)
{
    const char *algorithm = header(request, "x-amz-checksum-algorithm"), *type = header(request, "x-amz-checksum-type");
    unsigned which = algorithm == NULL ? 0 : sum_by_name(algorithm);
    if (algorithm != NULL && !atomic_load(&settings.checksums)) {
        reply_error(request, 501, "NotImplemented",
                    "A header you provided implies functionality that is not implemented");
        return;
    }
    if (algorithm != NULL && which == 0) {
        reply_error(request, 400, "InvalidRequest", "Checksum algorithm provided is unsupported");
        return;
    }
    bool crc = (which & (SUM_CRC64 | SUM_CRC32C | SUM_CRC32)) != 0;
    bool full = type != NULL ? strcmp(type, "FULL_OBJECT") == 0 : which == SUM_CRC64 || which == 0;
    if ((which != 0 && full && !crc) || (which == SUM_CRC64 && !full)) {
        reply_error(request, 400, "InvalidRequest", "the checksum type does not go with the algorithm");
        return;
    }
    if (!bucket_exists(request->bucket)) {
        reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
        return;
    }
    if (!options_fit(request) || !customer_key_fits(request, "x-amz-", NULL))
        return;
    struct upload *upload = need(calloc(1, sizeof(*upload)));
    upload->bucket = need(strdup(request->bucket));
    upload->key = need(strdup(request->key));
    upload->started_ms = now_ms();
    upload->algorithm = which;
    upload->full_object = full;
    upload->meta = object_new(request->key, request->key_length);
    take_headers(request, upload->meta);
    if (atomic_load(&settings.drop_upload_tags)) {
        free(upload->meta->tagging);
        upload->meta->tagging = NULL;
    }
    if (atomic_load(&settings.drop_upload_locks))
        object_unlock(upload->meta);
    pthread_rwlock_wrlock(&store.lock);
    snprintf(upload->id, sizeof(upload->id), "up%06llu-%llx", (unsigned long long)++store.id_counter,
             (unsigned long long)upload->started_ms);
    upload->next = store.uploads;
    store.uploads = upload;
    char id[sizeof(upload->id)];
    memcpy(id, upload->id, sizeof(id));
    pthread_rwlock_unlock(&store.lock);

    struct text *out = &request->conn->body;
    begin_xml(out, "InitiateMultipartUploadResult");
    add_place(out, request);
    text_format(out, "<UploadId>%s</UploadId></InitiateMultipartUploadResult>", id);
    if (which != 0) {
        reply_header(request, "x-amz-checksum-algorithm: %s", sum_name(which, true));
        reply_header(request, "x-amz-checksum-type: %s", full ? "FULL_OBJECT" : "COMPOSITE");
    }
    reply_xml(request, 200);
}

/* Joins the upload so that it stays while the body is read. Replies itself when there is none. */
static struct upload *join_upload(struct request *request)
{
    const char *id = query_value(request, "uploadId");
    pthread_rwlock_wrlock(&store.lock);
    struct upload *upload = upload_find(request->bucket, request->key, id);
    if (upload != NULL)
        upload->users++;
    pthread_rwlock_unlock(&store.lock);
    if (upload == NULL)
        reply_error(request, 404, "NoSuchUpload", "The specified upload does not exist.");
    return upload;
}

static void leave(struct upload *upload)
{
    pthread_rwlock_wrlock(&store.lock);
    upload_leave(upload);
    pthread_rwlock_unlock(&store.lock);
}

/* Takes over `segments`. */
static bool place_part(struct upload *upload, uint32_t number, const struct sums *sums, const char *etag,
                       struct segment *segments, size_t count, int64_t *mtime_ms)
{
    pthread_rwlock_wrlock(&store.lock);
    bool there = !upload->gone;
    if (there) {
        struct part *part = upload_part(upload, number, true);
        segments_free(part->segments, part->segment_count);
        part->size = sums->bytes;
        part->mtime_ms = *mtime_ms = now_ms();
        part->sums = *sums;
        part->segments = segments;
        part->segment_count = count;
        snprintf(part->etag, sizeof(part->etag), "%s", etag);
    }
    pthread_rwlock_unlock(&store.lock);
    if (!there)
        segments_free(segments, count);
    return there;
}

static bool part_number(struct request *request, uint32_t *number)
{
    int64_t value = query_number(request, "partNumber", -1);
    if (value < 1 || value > atomic_load(&settings.parts_max)) {
        reply_error(request, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

static void receive_part(struct request *request, struct upload *upload, uint32_t number)
{
    struct received received;
    bool stores = atomic_load(&settings.store) != 0, verify = atomic_load(&settings.verify) != 0;
    unsigned also = (wants_md5() ? SUM_MD5 : 0) | (stores || verify ? SUM_CRC64 | upload->algorithm : 0);
    if (!customer_key_fits(request, "x-amz-", upload->meta) || !lock_fits(request, upload->meta) ||
        !receive_body(request, also, stores, &received))
        return;
    int64_t mtime_ms;
    char etag[48], text[64];
    make_etag(etag, &received.sums);
    bool alone = upload->algorithm != 0 && received.named == 0;
    if (alone && (atomic_load(&settings.sum_with_part) || !upload->full_object)) {
        reply_error(request, 400, upload->full_object ? "InvalidArgument" : "InvalidRequest", "checksum missing");
        received_free(&received);
        return;
    }
    if (upload->algorithm != 0 && received.named != 0 && received.named != upload->algorithm) {
        reply_error(request, 400, "InvalidRequest", "the part's checksum algorithm is not the one of the upload");
        received_free(&received);
        return;
    }
    struct segment *segments = need(calloc(1, sizeof(*segments)));
    segments[0] = (struct segment){received.blob, received.sums.bytes, number};
    if (!place_part(upload, number, &received.sums, etag, segments, 1, &mtime_ms)) {
        reply_error(request, 404, "NoSuchUpload", "The specified upload does not exist.");
        return;
    }
    reply_header(request, "ETag: \"%s\"", etag);
    unsigned told = received.named != 0 ? received.named : upload->algorithm & received.sums.want;
    if (told != 0 && atomic_load(&settings.checksums)) {
        sums_base64(&received.sums, told, text);
        sum_header(request, told, text, false);
    }
    reply_empty(request, 200);
}

void put_part(struct request *request)
{
    uint32_t number;
    if (request->length > (uint64_t)atomic_load(&settings.part_max)) {
        reply_error(request, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
        return;
    }
    if (!part_number(request, &number))
        return;
    struct upload *upload = join_upload(request);
    if (upload == NULL)
        return;
    receive_part(request, upload, number);
    leave(upload);
}

static void copy_part(struct request *request, struct upload *upload, uint32_t number, const struct object *source,
                      bool generated)
{
    const char *range = header(request, "x-amz-copy-source-range");
    uint64_t offset = 0, length = source->size;
    if (upload->algorithm != 0 && atomic_load(&settings.sum_with_part)) {
        reply_error(request, 400, "InvalidArgument", "checksum missing");
        return;
    }
    if (range != NULL && parse_range(range, source->size, &offset, &length) != 1) {
        reply_error(request, 416, "InvalidRange", "The requested range is not valid for the source");
        return;
    }
    if (length > (uint64_t)atomic_load(&settings.part_max) || length > (uint64_t)atomic_load(&settings.copy_max)) {
        reply_error(request, 400, "InvalidRequest", "The specified copy source is larger than the maximum allowable");
        return;
    }
    if (!customer_key_fits(request, "x-amz-", upload->meta))
        return;
    if (request->fault.error_200) {
        reply_error(request, 200, "InternalError", "We encountered an internal error. Please try again.");
        return;
    }
    struct sums sums;
    struct segment *segments = NULL;
    size_t count = 0;
    int64_t mtime_ms = 0;
    char etag[48], text[64];
    sums_begin(&sums, SUM_CRC64 | upload->algorithm | (wants_md5() ? SUM_MD5 : 0));
    unsigned known = take_range(source, generated, offset, length, &segments, &count, &sums);
    sums_end(&sums);
    sums.want &= known;
    sums.bytes = length;
    for (size_t i = 0; i < count; i++)
        segments[i].part = number;
    make_etag(etag, &sums);
    if (!place_part(upload, number, &sums, etag, segments, count, &mtime_ms)) {
        reply_error(request, 404, "NoSuchUpload", "The specified upload does not exist.");
        return;
    }
    struct text *out = &request->conn->body;
    begin_xml(out, "CopyPartResult");
    text_str(out, "<LastModified>");
    text_time(out, mtime_ms);
    text_format(out, "</LastModified><ETag>&quot;%s&quot;</ETag>", etag);
    if ((sums.want & upload->algorithm) != 0 && atomic_load(&settings.checksums) && atomic_load(&settings.copy_sums)) {
        const char *name = sum_name(upload->algorithm, true);
        sums_base64(&sums, upload->algorithm, text);
        if (request->fault.wrong_checksum)
            text[0] = text[0] == 'A' ? 'B' : 'A';
        if (atomic_load(&settings.copy_sums) == 2 && source->sum == upload->algorithm)
            snprintf(text, sizeof(text), "%.63s", source->sum_text);
        text_format(out, "<Checksum%s>%s</Checksum%s>", name, text, name);
    }
    text_str(out, "</CopyPartResult>");
    reply_xml(request, 200);
}

void put_part_copy(struct request *request)
{
    uint32_t number;
    bool generated = false;
    char from[64];
    if (!part_number(request, &number))
        return;
    struct upload *upload = join_upload(request);
    if (upload == NULL)
        return;
    struct object *source = copy_source(request, &generated, from);
    if (source != NULL)
        copy_part(request, upload, number, source, generated);
    if (source != NULL && request->fault.change)
        change_object(from, source, generated);
    object_drop(source);
    leave(upload);
}

/* ---- complete ------------------------------------------------------------------------------------------- */

/* What is said of a part's checksum fits what came. */
static bool sum_fits(const struct upload *upload, const struct xml_part *said, const struct part *part)
{
    char text[64];
    if (said->sum[0] == '\0')
        return upload->algorithm == 0 || (upload->full_object && !atomic_load(&settings.part_sums));
    if (upload->algorithm == 0 || (part->sums.want & upload->algorithm) == 0 ||
        strcmp(said->algorithm, sum_name(upload->algorithm, true)) != 0)
        return false;
    sums_base64(&part->sums, upload->algorithm, text);
    return strcmp(said->sum, text) == 0;
}

/* Checks the list against the parts that came; NULL when it is right. Under the lock. */
static const char *parts_fit(struct upload *upload, const struct xml_part *list, size_t count)
{
    uint64_t first_size = 0;
    if (count == 0)
        return "MalformedXML";
    for (size_t i = 1; i < count; i++)
        if (list[i].number <= list[i - 1].number)
            return "InvalidPartOrder";
    for (size_t i = 0; i < count; i++) {
        const struct part *part = upload_part(upload, list[i].number, false);
        if (part == NULL || !same_etag(list[i].etag, part->etag))
            return "InvalidPart";
        if (!sum_fits(upload, &list[i], part))
            return list[i].sum[0] == '\0' ? "InvalidRequest" : "InvalidPart";
        if (i == 0)
            first_size = part->size;
        if (i + 1 < count && part->size < (uint64_t)atomic_load(&settings.part_min))
            return "EntityTooSmall";
        bool unequal = i + 1 < count ? part->size != first_size : part->size > first_size;
        if (atomic_load(&settings.equal_parts) && unequal)
            return "InvalidPart";
    }
    return NULL;
}

/* The object's checksum from those of the parts. */
static void combine(struct upload *upload, const struct xml_part *list, size_t count, struct object *object)
{
    struct sums whole = {0};
    struct text values = {0};
    unsigned which = upload->algorithm == 0 ? SUM_CRC64 : upload->algorithm;
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        const struct part *part = upload_part(upload, list[i].number, false);
        char text[64];
        unsigned char bytes[64];
        known = known && (part->sums.want & which) != 0;
        whole.crc64 = sum_crc64_combine(whole.crc64, part->sums.crc64, part->size);
        whole.crc32c = sum_crc32c_combine(whole.crc32c, part->sums.crc32c, part->size);
        whole.crc32 = sum_crc32_combine(whole.crc32, part->sums.crc32, part->size);
        sums_base64(&part->sums, which, text);
        int length = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)strlen(text));
        for (size_t pad = strlen(text); length > 0 && pad > 0 && text[pad - 1] == '='; pad--)
            length--;
        text_add(&values, (const char *)bytes, length < 0 ? 0 : (size_t)length);
    }
    if (known && upload->full_object) {
        object->sum = which;
        sums_base64(&whole, which, object->sum_text);
    } else if (known) {
        struct sums sums;
        char text[64];
        sums_begin(&sums, which);
        sums_add(&sums, values.bytes, values.length);
        sums_end(&sums);
        sums_base64(&sums, which, text);
        object->sum = which;
        object->composite = true;
        snprintf(object->sum_text, sizeof(object->sum_text), "%s-%llu", text, (unsigned long long)count);
    }
    text_free(&values);
}

static void etag_of_parts(struct upload *upload, const struct xml_part *list, size_t count, char etag[48])
{
    struct text all = {0};
    uint8_t digest[16];
    for (size_t i = 0; i < count; i++) {
        const struct part *part = upload_part(upload, list[i].number, false);
        for (size_t at = 0; at + 1 < strlen(part->etag); at += 2) {
            char pair[3] = {part->etag[at], part->etag[at + 1], '\0'}, byte = (char)strtoul(pair, NULL, 16);
            text_add(&all, &byte, 1);
        }
    }
    sum_digest_of(EVP_md5(), all.bytes, all.length, digest);
    sum_hex(digest, 16, etag);
    snprintf(etag + 32, 16, "-%u", (unsigned)count);
    text_free(&all);
}

/* Under the lock. Returns the error's code, or NULL with the object in its bucket and the upload gone. */
static const char *assemble(struct request *request, struct upload *upload, const struct xml_part *list, size_t count,
                            int *status, struct object **done)
{
    const char *size_said = header(request, "x-amz-mp-object-size"), *code;
    struct bucket *bucket = store_bucket(upload->bucket);
    *status = 400;
    code = parts_fit(upload, list, count);
    if (code != NULL)
        return code;
    if (bucket == NULL) {
        *status = 404;
        return "NoSuchBucket";
    }
    if (atomic_load(&settings.conditional_complete) && (code = write_condition(request, bucket, status)) != NULL)
        return code;
    struct object *object = upload->meta;
    *status = 400;
    object->size = 0;
    for (size_t i = 0; i < count; i++)
        object->size += upload_part(upload, list[i].number, false)->size;
    combine(upload, list, count, object);
    char name[64];
    snprintf(name, sizeof(name), "x-amz-checksum-%s", sum_name(object->sum, false));
    const char *sum_said = object->sum == 0 ? NULL : header(request, name);
    if (size_said != NULL && strtoull(size_said, NULL, 10) != object->size)
        return "InvalidRequest";
    if (sum_said != NULL && atomic_load(&settings.verify) && strcmp(sum_said, object->sum_text) != 0)
        return "BadDigest";
    etag_of_parts(upload, list, count, object->etag);
    if (upload->algorithm != 0)
        object->part_sums = need(calloc(count, sizeof(*object->part_sums)));
    for (size_t i = 0; i < count; i++) {
        const struct part *part = upload_part(upload, list[i].number, false);
        if (upload->algorithm != 0) {
            struct part_sum *sum = &object->part_sums[object->part_sum_count++];
            *sum = (struct part_sum){.number = part->number, .size = part->size};
            if ((part->sums.want & upload->algorithm) != 0)
                sums_base64(&part->sums, upload->algorithm, sum->text);
        }
        segments_copy(&object->segments, &object->segment_count, part->segments, part->segment_count);
    }
    object->mtime_ms = now_ms();
    bucket_put(bucket, object_ref(object));
    *done = object_ref(object);
    upload_unlink(upload);
    return NULL;
}

static void reply_complete(struct request *request, const struct object *object)
{
    struct text *out = &request->conn->body;
    begin_xml(out, "CompleteMultipartUploadResult");
    text_str(out, "<Location>http://127.0.0.1/</Location>");
    add_place(out, request);
    text_format(out, "<ETag>&quot;%s&quot;</ETag>", object->etag);
    if (object->sum != 0 && atomic_load(&settings.checksums)) {
        const char *name = sum_name(object->sum, true);
        text_format(out, "<Checksum%s>%s</Checksum%s><ChecksumType>%s</ChecksumType>", name, object->sum_text, name,
                    object->composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    text_str(out, "</CompleteMultipartUploadResult>");
    version_header(request, object);
    reply_xml(request, 200);
}

void complete_upload(struct request *request)
{
    struct xml_part *list = NULL;
    struct object *object = NULL;
    size_t count = 0;
    int status = 400;
    if (!sum_supported(request))
        return;
    if (!body_all(request, 2 << 20)) {
        reply_error(request, 400, "MalformedXML", "the body is too large or was cut");
        return;
    }
    if (!xml_complete(request->conn->work.bytes, request->conn->work.length, &list, &count)) {
        reply_error(request, 400, "MalformedXML", "The XML you provided was not well-formed");
        free(list);
        return;
    }
    if (request->fault.error_200) {
        reply_error(request, 200, "InternalError", "We encountered an internal error. Please try again.");
        free(list);
        return;
    }
    struct upload *upload = join_upload(request);
    if (upload == NULL) {
        free(list);
        return;
    }
    pthread_rwlock_wrlock(&store.lock);
    const char *code = upload->gone ? "NoSuchUpload" : assemble(request, upload, list, count, &status, &object);
    upload_leave(upload);
    pthread_rwlock_unlock(&store.lock);
    free(list);
    if (code != NULL) {
        reply_error(request, strcmp(code, "NoSuchUpload") == 0 ? 404 : status, code,
                    "the upload cannot be completed so");
        return;
    }
    reply_complete(request, object);
    object_drop(object);
}

void abort_upload(struct request *request)
{
    const char *id = query_value(request, "uploadId");
    pthread_rwlock_wrlock(&store.lock);
    struct upload *upload = upload_find(request->bucket, request->key, id);
    if (upload != NULL)
        upload_unlink(upload);
    pthread_rwlock_unlock(&store.lock);
    if (upload == NULL)
        reply_error(request, 404, "NoSuchUpload", "The specified upload does not exist.");
    else
        reply_empty(request, 204);
}

/* ---- listings ----------------------------------------------------------------------------------------------- */

void list_parts(struct request *request)
{
    int64_t after = query_number(request, "part-number-marker", 0), most = query_number(request, "max-parts", 1000);
    struct text *out = &request->conn->body;
    if (most > atomic_load(&settings.page_max))
        most = atomic_load(&settings.page_max);
    struct upload *upload = join_upload(request);
    if (upload == NULL)
        return;
    begin_xml(out, "ListPartsResult");
    add_place(out, request);
    text_format(out, "<UploadId>%s</UploadId><PartNumberMarker>%lld</PartNumberMarker><MaxParts>%lld</MaxParts>",
                upload->id, (long long)after, (long long)most);
    if (upload->algorithm != 0)
        text_format(out, "<ChecksumAlgorithm>%s</ChecksumAlgorithm>", sum_name(upload->algorithm, true));
    pthread_rwlock_rdlock(&store.lock);
    int64_t given = 0;
    bool more = false;
    uint32_t last = 0;
    for (size_t i = 0; i < upload->part_count && !more; i++) {
        const struct part *part = &upload->parts[i];
        if ((int64_t)part->number <= after)
            continue;
        more = given == most;
        if (more)
            break;
        text_format(out, "<Part><PartNumber>%u</PartNumber><LastModified>", part->number);
        text_time(out, part->mtime_ms);
        text_format(out, "</LastModified><ETag>&quot;%s&quot;</ETag><Size>%llu</Size>", part->etag,
                    (unsigned long long)part->size);
        if (upload->algorithm != 0 && (part->sums.want & upload->algorithm) != 0) {
            char text[64];
            const char *name = sum_name(upload->algorithm, true);
            sums_base64(&part->sums, upload->algorithm, text);
            text_format(out, "<Checksum%s>%s</Checksum%s>", name, text, name);
        }
        text_str(out, "</Part>");
        last = part->number;
        given++;
    }
    pthread_rwlock_unlock(&store.lock);
    leave(upload);
    if (more)
        text_format(out, "<NextPartNumberMarker>%u</NextPartNumberMarker>", last);
    text_format(out, "<IsTruncated>%s</IsTruncated></ListPartsResult>", more ? "true" : "false");
    reply_xml(request, 200);
}

static int by_place(const void *a, const void *b)
{
    const struct upload *x = *(struct upload *const *)a, *y = *(struct upload *const *)b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : strcmp(x->id, y->id);
}

static void add_uploads(struct request *request, struct text *out, struct upload **sorted, size_t count, bool url)
{
    const char *key_marker = query_value(request, "key-marker"), *id_marker = query_value(request, "upload-id-marker");
    int64_t most = query_number(request, "max-uploads", 1000), given = 0;
    const struct upload *last = NULL;
    bool more = false;
    for (size_t i = 0; i < count; i++) {
        const struct upload *upload = sorted[i];
        int order = key_marker == NULL || *key_marker == '\0' ? 1 : strcmp(upload->key, key_marker);
        if (order < 0 || (order == 0 && (id_marker == NULL || strcmp(upload->id, id_marker) <= 0)))
            continue;
        more = given == most;
        if (more)
            break;
        text_str(out, "<Upload><Key>");
        if (url)
            text_url(out, upload->key, strlen(upload->key), true);
        else
            text_xml(out, upload->key, strlen(upload->key));
        text_format(out, "</Key><UploadId>%s</UploadId><Initiated>", upload->id);
        text_time(out, upload->started_ms);
        text_str(out, "</Initiated><StorageClass>STANDARD</StorageClass></Upload>");
        last = upload;
        given++;
    }
    if (more && last != NULL) {
        text_str(out, "<NextKeyMarker>");
        if (url)
            text_url(out, last->key, strlen(last->key), true);
        else
            text_xml(out, last->key, strlen(last->key));
        text_format(out, "</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>", last->id);
    }
    text_format(out, "<IsTruncated>%s</IsTruncated>", more ? "true" : "false");
}

void list_uploads(struct request *request)
{
    const char *prefix = query_value(request, "prefix"), *encoding = query_value(request, "encoding-type");
    struct text *out = &request->conn->body;
    struct upload **sorted = NULL;
    size_t count = 0, room = 0;
    if (!bucket_exists(request->bucket)) {
        reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
        return;
    }
    begin_xml(out, "ListMultipartUploadsResult");
    text_str(out, "<Bucket>");
    text_xml(out, request->bucket, strlen(request->bucket));
    text_str(out, "</Bucket>");
    if (encoding != NULL)
        text_str(out, "<EncodingType>url</EncodingType>");
    pthread_rwlock_rdlock(&store.lock);
    for (struct upload *upload = store.uploads; upload != NULL; upload = upload->next) {
        if (strcmp(upload->bucket, request->bucket) != 0 ||
            (prefix != NULL && strncmp(upload->key, prefix, strlen(prefix)) != 0))
            continue;
        if (count == room) {
            room = room == 0 ? 64 : room * 2;
            sorted = need(realloc(sorted, room * sizeof(struct upload *)));
        }
        sorted[count++] = upload;
    }
    if (count > 1)
        qsort(sorted, count, sizeof(struct upload *), by_place);
    add_uploads(request, out, sorted, count, encoding != NULL);
    pthread_rwlock_unlock(&store.lock);
    free(sorted);
    text_str(out, "</ListMultipartUploadsResult>");
    reply_xml(request, 200);
}
