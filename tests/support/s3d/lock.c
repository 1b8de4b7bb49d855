/* SPDX-License-Identifier: Apache-2.0
 * Object Lock by requests of its own: PutObjectRetention and PutObjectLegalHold. A lock is kept as the headers that
 * HEAD tells. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3d.h"

static const char mode[] = "x-amz-object-lock-mode", until[] = "x-amz-object-lock-retain-until-date",
                  hold[] = "x-amz-object-lock-legal-hold";

/* The text of an element without others inside; false when it is not there, or does not fit. */
static bool element(const struct blob *blob, const char *name, char *out, size_t room)
{
    char open[48], close[48];
    snprintf(open, sizeof(open), "<%s>", name);
    snprintf(close, sizeof(close), "</%s>", name);
    const char *from = memmem(blob->bytes, blob->length, open, strlen(open));
    if (from == NULL)
        return false;
    from += strlen(open);
    const char *end = (const char *)blob->bytes + blob->length;
    const char *to = memmem(from, (size_t)(end - from), close, strlen(close));
    if (to == NULL || (size_t)(to - from) >= room)
        return false;
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    return true;
}

static void set(struct object *object, const char *name, const char *value)
{
    for (size_t i = 0; i < object->header_count; i++)
        if (strcmp(object->headers[i].name, name) == 0) {
            free(object->headers[i].value);
            object->headers[i].value = need(strdup(value));
            return;
        }
    object_header(object, name, value);
}

void object_unlock(struct object *object)
{
    for (size_t i = 0; i < object->header_count; i++)
        if (strncmp(object->headers[i].name, "x-amz-object-lock-", 18) == 0)
            object->headers[i].name[0] = '\0';
    object_drop_unnamed(object);
}

void object_lock(struct request *request)
{
    struct received received;
    char a[64] = "", b[64] = "";
    bool retention = request->kind == KIND_PutObjectRetention;
    if (!receive_body(request, 0, true, &received))
        return;
    const struct blob *blob = received.blob;
    bool fine = blob != NULL &&
                (retention ? element(blob, "Mode", a, sizeof(a)) && element(blob, "RetainUntilDate", b, sizeof(b)) &&
                                 (strcmp(a, "GOVERNANCE") == 0 || strcmp(a, "COMPLIANCE") == 0)
                           : element(blob, "Status", a, sizeof(a)));
    bool summed = received.named != 0 || header(request, "content-md5") != NULL;
    received_free(&received);
    if (!fine || !summed) {
        reply_error(request, 400, fine ? "InvalidRequest" : "MalformedXML", "the lock could not be set");
        return;
    }
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(request->bucket);
    struct object *object = bucket == NULL ? NULL
                                           : bucket_find_version(bucket, request->key, request->key_length,
                                                                 query_value(request, "versionId"));
    bool found = object != NULL && !object->marker;
    if (found && retention) {
        set(object, mode, a);
        set(object, until, b);
    } else if (found) {
        set(object, hold, a);
    }
    pthread_rwlock_unlock(&store.lock);
    if (found)
        reply_empty(request, 200);
    else
        reply_error(request, 404, "NoSuchKey", "The specified key does not exist.");
}
