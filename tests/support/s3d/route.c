/* SPDX-License-Identifier: Apache-2.0
 * What a request is, the faults that come before it is served, and who serves it. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum kind object_kind(const struct request *request)
{
    const char *method = request->method;
    bool upload = query_has(request, "uploadId");
    bool copies = header(request, "x-amz-copy-source") != NULL;
    if (query_has(request, "tagging") && atomic_load(&settings.object_tags)) {
        if (strcmp(method, "GET") == 0)
            return KIND_GetObjectTagging;
        if (strcmp(method, "PUT") == 0)
            return KIND_PutObjectTagging;
        return strcmp(method, "DELETE") == 0 ? KIND_DeleteObjectTagging : KIND_Other;
    }
    if (strcmp(method, "PUT") == 0 && query_has(request, "retention"))
        return KIND_PutObjectRetention;
    if (strcmp(method, "PUT") == 0 && query_has(request, "legal-hold"))
        return KIND_PutObjectLegalHold;
    if (strcmp(method, "GET") == 0 && query_has(request, "attributes"))
        return KIND_GetObjectAttributes;
    if (strcmp(method, "GET") == 0)
        return upload ? KIND_ListParts : query_has(request, "acl") ? KIND_Other : KIND_GetObject;
    if (strcmp(method, "HEAD") == 0)
        return KIND_HeadObject;
    if (strcmp(method, "PUT") == 0 && upload)
        return copies ? KIND_UploadPartCopy : KIND_UploadPart;
    if (strcmp(method, "PUT") == 0)
        return copies ? KIND_CopyObject : query_has(request, "acl") ? KIND_Other : KIND_PutObject;
    if (strcmp(method, "DELETE") == 0)
        return upload ? KIND_AbortMultipartUpload : KIND_DeleteObject;
    if (strcmp(method, "POST") == 0 && query_has(request, "uploads"))
        return KIND_CreateMultipartUpload;
    if (strcmp(method, "POST") == 0 && upload)
        return KIND_CompleteMultipartUpload;
    return KIND_Other;
}

static enum kind bucket_kind(const struct request *request)
{
    static const char *const unknown[] = {"acl",          "policy",      "lifecycle",  "cors",
                                          "website",      "tagging",     "encryption", "object-lock",
                                          "notification", "replication", "logging"};
    const char *method = request->method;
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        if (query_has(request, unknown[i]))
            return KIND_Other;
    if (strcmp(method, "GET") == 0) {
        const char *type = query_value(request, "list-type");
        if (query_has(request, "session"))
            return KIND_CreateSession;
        if (query_has(request, "location"))
            return KIND_GetBucketLocation;
        if (query_has(request, "versioning"))
            return KIND_GetBucketVersioning;
        if (query_has(request, "uploads"))
            return KIND_ListMultipartUploads;
        if (query_has(request, "versions"))
            return KIND_ListObjectVersions;
        return type != NULL && strcmp(type, "2") == 0 ? KIND_ListObjectsV2 : KIND_ListObjects;
    }
    if (strcmp(method, "HEAD") == 0)
        return KIND_HeadBucket;
    if (strcmp(method, "PUT") == 0)
        return query_has(request, "versioning") ? KIND_PutBucketVersioning : KIND_CreateBucket;
    if (strcmp(method, "DELETE") == 0)
        return KIND_DeleteBucket;
    return strcmp(method, "POST") == 0 && query_has(request, "delete") ? KIND_DeleteObjects : KIND_Other;
}

static enum kind kind_of(const struct request *request)
{
    if (request->bucket[0] == '\0')
        return strcmp(request->method, "GET") == 0 ? KIND_ListBuckets : KIND_Other;
    return request->key_length == 0 ? bucket_kind(request) : object_kind(request);
}

static bool bucket_name_fits(const char *name)
{
    size_t length = strlen(name);
    return length >= 3 && length <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length &&
           name[0] != '-' && name[0] != '.';
}

static void make_bucket(struct request *request)
{
    if (!bucket_name_fits(request->bucket)) {
        reply_error(request, 400, "InvalidBucketName", "The specified bucket is not valid.");
        return;
    }
    if (express_bucket(request) &&
        (!body_all(request, 4096) ||
         memmem(request->conn->work.bytes, request->conn->work.length, "<Type>Directory</Type>", 22) == NULL)) {
        reply_error(request, 400, "InvalidRequest", "a directory bucket says so, and where it is");
        return;
    }
    pthread_rwlock_wrlock(&store.lock);
    bool there = store_bucket(request->bucket) != NULL;
    if (!there)
        store_make_bucket(request->bucket);
    pthread_rwlock_unlock(&store.lock);
    if (there)
        reply_error(request, 409, "BucketAlreadyOwnedByYou", "you have this bucket already");
    else
        reply_empty(request, 200);
}

static void drop_bucket(struct request *request)
{
    const char *code = "NoSuchBucket";
    pthread_rwlock_wrlock(&store.lock);
    for (struct bucket **place = &store.buckets; *place != NULL; place = &(*place)->next) {
        struct bucket *bucket = *place;
        if (strcmp(bucket->name, request->bucket) != 0)
            continue;
        code = bucket->count > 0 ? "BucketNotEmpty" : NULL;
        if (code == NULL) {
            *place = bucket->next;
            free(bucket->objects);
            free(bucket->name);
            free(bucket);
        }
        break;
    }
    pthread_rwlock_unlock(&store.lock);
    if (code == NULL)
        reply_empty(request, 204);
    else
        reply_error(request, strcmp(code, "BucketNotEmpty") == 0 ? 409 : 404, code, "the bucket cannot be removed");
}

void bucket_versioning(struct request *request)
{
    static const char *const words[] = {NULL, "Enabled", "Suspended"};
    bool sets = request->kind == KIND_PutBucketVersioning, right = !sets;
    struct text *out = &request->conn->body;
    if (!bucket_exists(request->bucket)) {
        reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
        return;
    }
    struct received received = {0};
    if (sets && !receive_body(request, 0, true, &received))
        return;
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(request->bucket);
    for (unsigned i = VERSIONS_KEPT; sets && bucket != NULL && i < COUNT_OF(words); i++) {
        char element[64];
        int length = snprintf(element, sizeof(element), "<Status>%s</Status>", words[i]);
        if (received.blob != NULL &&
            memmem(received.blob->bytes, received.blob->length, element, (size_t)length) != NULL) {
            bucket->versioning = i;
            right = true;
        }
    }
    const char *word = bucket == NULL ? NULL : words[bucket->versioning];
    pthread_rwlock_unlock(&store.lock);
    received_free(&received);
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    if (word != NULL)
        text_format(out, "<Status>%s</Status>", word);
    text_str(out, "</VersioningConfiguration>");
    if (!right)
        reply_error(request, 400, "MalformedXML", "a status is Enabled or Suspended");
    else if (sets)
        reply_empty(request, 200);
    else
        reply_xml(request, 200);
}

void bucket_request(struct request *request)
{
    if (request->kind == KIND_CreateBucket) {
        make_bucket(request);
    } else if (request->kind == KIND_DeleteBucket) {
        drop_bucket(request);
    } else if (!bucket_exists(request->bucket)) {
        reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
    } else if (query_has(request, "location")) {
        struct text *out = &request->conn->body;
        text_clear(out);
        text_format(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint>%s</LocationConstraint>",
                    strcmp(identity.region, "us-east-1") == 0 ? "" : identity.region);
        reply_xml(request, 200);
    } else {
        reply_header(request, "x-amz-bucket-region: %s", identity.region);
        reply_empty(request, 200);
    }
}

static void serve(struct request *request)
{
    switch (request->kind) {
    case KIND_GetObject:
    case KIND_HeadObject:
        get_object(request);
        break;
    case KIND_PutObject:
        put_object(request);
        break;
    case KIND_CopyObject:
        copy_object(request);
        break;
    case KIND_DeleteObject:
        delete_object(request);
        break;
    case KIND_DeleteObjects:
        delete_objects(request);
        break;
    case KIND_ListObjects:
    case KIND_ListObjectsV2:
        list_objects(request, request->kind == KIND_ListObjectsV2);
        break;
    case KIND_ListObjectVersions:
        list_versions(request);
        break;
    case KIND_GetBucketVersioning:
    case KIND_PutBucketVersioning:
        bucket_versioning(request);
        break;
    case KIND_ListBuckets:
        list_buckets(request);
        break;
    case KIND_CreateBucket:
    case KIND_DeleteBucket:
    case KIND_HeadBucket:
    case KIND_GetBucketLocation:
        bucket_request(request);
        break;
    case KIND_CreateSession:
        if (bucket_exists(request->bucket))
            create_session(request);
        else
            reply_error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
        break;
    case KIND_GetObjectAttributes:
        object_attributes(request);
        break;
    case KIND_CreateMultipartUpload:
        create_upload(request);
        break;
    case KIND_UploadPart:
        put_part(request);
        break;
    case KIND_UploadPartCopy:
        put_part_copy(request);
        break;
    case KIND_CompleteMultipartUpload:
        complete_upload(request);
        break;
    case KIND_AbortMultipartUpload:
        abort_upload(request);
        break;
    case KIND_ListParts:
        list_parts(request);
        break;
    case KIND_ListMultipartUploads:
        list_uploads(request);
        break;
    case KIND_GetObjectTagging:
    case KIND_PutObjectTagging:
    case KIND_DeleteObjectTagging:
        object_tagging(request);
        break;
    case KIND_PutObjectRetention:
    case KIND_PutObjectLegalHold:
        object_lock(request);
        break;
    default:
        reply_error(request, 501, "NotImplemented", "this endpoint does not do that");
    }
}

/* True when a fault took the place of the service. */
static bool fault_first(struct request *request)
{
    struct fault *fault = &request->fault;
    if (fault->latency_ms > 0)
        sleep_ms(fault->latency_ms);
    if (fault->reset_before) {
        request->conn->dead = true;
        request->keep_alive = false;
        return true;
    }
    if (fault->said != NULL) {
        said_reply(request);
        return true;
    }
    if (fault->status != 0) {
        bool slow = fault->status == 503 || fault->status == 429;
        const char *code = fault->code[0] != '\0' ? fault->code : slow ? "SlowDown" : "InternalError";
        reply_error(request, fault->status, code, "refused by a rule");
        return true;
    }
    if (fault_over_rate()) {
        reply_error(request, 503, "SlowDown", "Please reduce your request rate.");
        return true;
    }
    return false;
}

void route(struct request *request)
{
    if (strcmp(request->bucket, "_control") == 0) {
        control_serve(request);
        return;
    }
    bool grants = strcmp(request->bucket, "_grant") == 0;
    request->kind = grants ? KIND_Grant : kind_of(request);
    stats_begin(request->kind);
    fault_match(&request->fault, request->kind, request->bucket, request->key, query_number(request, "partNumber", 0));
    if (fault_first(request)) {
        /* that was all */
    } else if (grants) {
        grant_serve(request);
    } else if (sign_check(request) && owner_fits(request)) {
        serve(request);
    }
    stats_end(request);
}
