/* SPDX-License-Identifier: Apache-2.0
 * The tags of an object: told, set and removed. */
#include "s3d.h"

#include <stdlib.h>
#include <string.h>

static void put_tagging(struct request *request)
{
    struct received received;
    if (!receive_body(request, 0, true, &received))
        return;
    char *start = NULL, *end = NULL;
    if (received.blob != NULL) {
        start = memmem(received.blob->bytes, received.blob->length, "<TagSet>", 8);
        end = memmem(received.blob->bytes, received.blob->length, "</TagSet>", 9);
    }
    const char *code = start == NULL || end == NULL ? "MalformedXML" : NULL;
    int status = 400;
    if (code == NULL) {
        pthread_rwlock_wrlock(&store.lock);
        struct bucket *bucket = store_bucket(request->bucket);
        struct object *object = bucket == NULL ? NULL
                                               : bucket_find_version(bucket, request->key, request->key_length,
                                                                     query_value(request, "versionId"));
        if (object != NULL && !object->marker) {
            free(object->tagging);
            object->tagging = need(strndup(start + 8, (size_t)(end - start - 8)));
        } else {
            code = "NoSuchKey";
            status = 404;
        }
        pthread_rwlock_unlock(&store.lock);
    }
    received_free(&received);
    if (code != NULL)
        reply_error(request, status, code, "the tags could not be set");
    else
        reply_empty(request, 200);
}

void object_tagging(struct request *request)
{
    if (request->kind == KIND_PutObjectTagging) {
        put_tagging(request);
        return;
    }
    struct text *out = &request->conn->body;
    bool found = false, removing = request->kind == KIND_DeleteObjectTagging;
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Tagging><TagSet>");
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(request->bucket);
    const char *version = query_value(request, "versionId");
    struct object *object =
        bucket == NULL ? NULL : bucket_find_version(bucket, request->key, request->key_length, version);
    if (object != NULL && !object->marker) {
        found = true;
        if (removing) {
            free(object->tagging);
            object->tagging = NULL;
        } else if (object->tagging != NULL) {
            text_str(out, object->tagging);
        }
    }
    pthread_rwlock_unlock(&store.lock);
    text_str(out, "</TagSet></Tagging>");
    if (!found && !removing) { /* a generated one has none */
        const char *code;
        struct object *other = store_get(request->bucket, request->key, request->key_length, version, &found, &code);
        object_drop(other);
    }
    if (!found)
        no_such(request, "NoSuchKey");
    else if (removing)
        reply_empty(request, 204);
    else
        reply_xml(request, 200);
}
