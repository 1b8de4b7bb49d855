/* SPDX-License-Identifier: Apache-2.0
 * The control API, on the same port and without a signature:
 *
 *   GET  /_control/stats            counters, open uploads, buckets, hits of rules, as JSON
 *   GET  /_control/log              the latest requests
 *   POST /_control/fault?RULE       adds a rule (see fault_add)
 *   POST /_control/clear            drops all rules
 *   POST /_control/set?NAME=VALUE   changes settings
 *   POST /_control/reset            drops rules, counters, objects and uploads; settings and buckets stay
 *   POST /_control/object?bucket=B&key=K&size=N   puts an object that is generated
 *   POST /_control/change?bucket=B&key=K          makes a generated object another one
 * What cannot be understood is answered with 400 and a sentence. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct request *request, int status, const char *text)
{
    reply(request, status, "text/plain", text, strlen(text));
}

static void control_fault(struct request *request)
{
    struct text query = {0};
    char why[128] = "";
    for (size_t i = 0; i < request->query_count; i++) {
        text_url(&query, request->query[i].name, strlen(request->query[i].name), false);
        text_str(&query, "=");
        text_url(&query, request->query[i].value, strlen(request->query[i].value), false);
        text_str(&query, "&");
    }
    if (fault_add(query.bytes == NULL ? "" : query.bytes, why))
        say(request, 200, "ok\n");
    else
        say(request, 400, why);
    text_free(&query);
}

static void control_set(struct request *request)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (!setting_set(request->query[i].name, request->query[i].value)) {
            char why[160];
            snprintf(why, sizeof(why), "no setting '%.60s' or no number '%.60s'", request->query[i].name,
                     request->query[i].value);
            say(request, 400, why);
            return;
        }
    say(request, 200, "ok\n");
}

static void control_object(struct request *request)
{
    const char *name = query_value(request, "bucket"), *key = query_value(request, "key");
    int64_t size;
    const char *text = query_value(request, "size");
    if (name == NULL || key == NULL || text == NULL || !parse_size(text, &size) || size < 0) {
        say(request, 400, "needs bucket, key and size");
        return;
    }
    struct object *object = object_new(key, strlen(key));
    object->size = (uint64_t)size;
    snprintf(object->etag, sizeof(object->etag), "%032llx", (unsigned long long)pattern_seed(key));
    pthread_rwlock_wrlock(&store.lock);
    struct bucket *bucket = store_bucket(name);
    if (bucket == NULL)
        bucket = store_make_bucket(name);
    object->segments = need(calloc(1, sizeof(*object->segments)));
    object->segments[0].length = (uint64_t)size;
    object->segment_count = 1;
    bucket_put(bucket, object);
    pthread_rwlock_unlock(&store.lock);
    say(request, 200, "ok\n");
}

void control_serve(struct request *request)
{
    struct text *out = &request->conn->body;
    const char *what = request->key;
    request->kind = KIND_Other;
    text_clear(out);
    if (strcmp(what, "stats") == 0) {
        stats_json(out);
        reply(request, 200, "application/json", out->bytes, out->length);
    } else if (strcmp(what, "log") == 0) {
        stats_log_json(out);
        reply(request, 200, "application/json", out->bytes, out->length);
    } else if (strcmp(request->method, "POST") != 0) {
        say(request, 405, "use POST");
    } else if (strcmp(what, "fault") == 0) {
        control_fault(request);
    } else if (strcmp(what, "clear") == 0) {
        fault_clear();
        say(request, 200, "ok\n");
    } else if (strcmp(what, "set") == 0) {
        control_set(request);
    } else if (strcmp(what, "reset") == 0) {
        fault_clear();
        stats_reset();
        store_clear();
        say(request, 200, "ok\n");
    } else if (strcmp(what, "object") == 0) {
        control_object(request);
    } else if (strcmp(what, "change") == 0 && query_has(request, "key")) {
        pattern_change(query_value(request, "key"));
        say(request, 200, "ok\n");
    } else {
        say(request, 404, "no such control");
    }
}
