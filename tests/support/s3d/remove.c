/* SPDX-License-Identifier: Apache-2.0
 * Objects and versions that go: one by DELETE, up to a thousand by POST. */
#include "s3d.h"

void delete_object(struct request *request)
{
    const char *match = header(request, "if-match"), *code = NULL, *version = query_value(request, "versionId");
    char marker[24] = "";
    bool was_marker = false;
    if (!bucket_exists(request->bucket)) {
        no_such(request, "NoSuchBucket");
        return;
    }
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(request->bucket);
    if (bucket != NULL && match != NULL) {
        const struct object *object = bucket_find(bucket, request->key, request->key_length);
        if (object == NULL || !same_etag(match, object->etag))
            code = "PreconditionFailed";
    }
    if (bucket != NULL && code == NULL && version != NULL)
        was_marker = bucket_remove_version(bucket, request->key, request->key_length, version);
    else if (bucket != NULL && code == NULL)
        bucket_remove(bucket, request->key, request->key_length, marker);
    pthread_rwlock_unlock(&store.lock);
    if (version != NULL || marker[0] != '\0')
        reply_header(request, "x-amz-version-id: %s", version != NULL ? version : marker);
    if (was_marker || marker[0] != '\0')
        reply_header(request, "x-amz-delete-marker: true");
    if (code != NULL)
        reply_error(request, 412, code, "the object is another one");
    else
        reply_empty(request, 204);
}

static void delete_keys(struct request *request, const struct xml_key *keys, size_t count, bool quiet)
{
    struct text *out = &request->conn->body;
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        struct fault fault;
        fault_match(&fault, KIND_DeleteObject, request->bucket, keys[i].key, 0);
        if (fault.status != 0) {
            text_str(out, "<Error><Key>");
            text_xml(out, keys[i].key, keys[i].length);
            text_format(out, "</Key><Code>%s</Code><Message>refused by a rule</Message></Error>",
                        fault.code[0] != '\0' ? fault.code : "InternalError");
            continue;
        }
        pthread_rwlock_wrlock(&store.lock);
        struct bucket *bucket = store_bucket(request->bucket);
        char marker[24] = "";
        bool was_marker = false;
        if (bucket != NULL && keys[i].version[0] != '\0')
            was_marker = bucket_remove_version(bucket, keys[i].key, keys[i].length, keys[i].version);
        else if (bucket != NULL)
            bucket_remove(bucket, keys[i].key, keys[i].length, marker);
        pthread_rwlock_unlock(&store.lock);
        if (!quiet) {
            text_str(out, "<Deleted><Key>");
            text_xml(out, keys[i].key, keys[i].length);
            text_str(out, "</Key>");
            if (keys[i].version[0] != '\0')
                text_format(out, "<VersionId>%s</VersionId>", keys[i].version);
            if (was_marker || marker[0] != '\0')
                text_format(out, "<DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>%s</DeleteMarkerVersionId>",
                            was_marker ? keys[i].version : marker);
            text_str(out, "</Deleted>");
        }
    }
    text_str(out, "</DeleteResult>");
    reply_xml(request, 200);
}

void delete_objects(struct request *request)
{
    struct received received;
    struct xml_key *keys = NULL;
    size_t count = 0;
    bool quiet = false;
    if (!bucket_exists(request->bucket)) {
        no_such(request, "NoSuchBucket");
        return;
    }
    if (request->length > (4 << 20)) {
        reply_error(request, 400, "MaxMessageLengthExceeded", "Your request was too big.");
        return;
    }
    if (!receive_body(request, 0, true, &received))
        return;
    if (received.named == 0 && header(request, "content-md5") == NULL)
        reply_error(request, 400, "InvalidRequest", "Missing required header for this request: Content-MD5");
    else if (received.blob == NULL ||
             !xml_delete((const char *)received.blob->bytes, received.blob->length, &keys, &count, &quiet) ||
             count == 0 || count > 1000)
        reply_error(request, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate");
    else
        delete_keys(request, keys, count, quiet);
    xml_keys_free(keys, count);
    received_free(&received);
}
