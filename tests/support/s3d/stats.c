/* SPDX-License-Identifier: Apache-2.0
 * Counters, and a ring of the latest requests, so that tests can see what was asked. Any thread. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_ROOM 4096

struct logged {
    uint64_t number;
    int kind, status;
    int64_t at_ms, ms, part;
    uint64_t sent, received;
    char key[160], range[48], match[48];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint64_t requests[KIND_COUNT], failed[KIND_COUNT];
    uint64_t total, sent, received, connections, s5xx, s4xx;
    uint64_t max_connections, max_concurrent;
} counted; /* by mutex */
static uint64_t open_connections, concurrent;
static struct logged *ring;
static uint64_t logged; /* lines so far */

void stats_connection(int change)
{
    pthread_mutex_lock(&mutex);
    if (change > 0) {
        counted.connections++;
        open_connections++;
        if (open_connections > counted.max_connections)
            counted.max_connections = open_connections;
    } else {
        open_connections--;
    }
    pthread_mutex_unlock(&mutex);
}

void stats_begin(enum kind kind)
{
    pthread_mutex_lock(&mutex);
    counted.requests[kind]++;
    counted.total++;
    concurrent++;
    if (concurrent > counted.max_concurrent)
        counted.max_concurrent = concurrent;
    pthread_mutex_unlock(&mutex);
}

void stats_end(const struct request *request)
{
    const char *range = header(request, "range"), *match = header(request, "if-match");
    int64_t part = query_number(request, "partNumber", 0), now = now_ms();
    pthread_mutex_lock(&mutex);
    concurrent--;
    counted.sent += request->sent;
    counted.received += request->body_read;
    if (request->status >= 400 || request->status == 0)
        counted.failed[request->kind]++;
    counted.s4xx += request->status >= 400 && request->status < 500;
    counted.s5xx += request->status >= 500;
    if (ring == NULL)
        ring = need(calloc(LOG_ROOM, sizeof(*ring)));
    struct logged *line = &ring[++logged % LOG_ROOM];
    line->number = logged;
    line->kind = (int)request->kind;
    line->status = request->status;
    line->at_ms = request->started_ms;
    line->ms = now - request->started_ms;
    line->part = part;
    line->sent = request->sent;
    line->received = request->body_read;
    snprintf(line->key, sizeof(line->key), "%.*s", (int)sizeof(line->key) - 1, request->key);
    snprintf(line->range, sizeof(line->range), "%s", range == NULL ? "" : range);
    snprintf(line->match, sizeof(line->match), "%s", match == NULL ? "" : match);
    pthread_mutex_unlock(&mutex);
}

void stats_reset(void)
{
    pthread_mutex_lock(&mutex);
    memset(&counted, 0, sizeof(counted));
    logged = 0;
    if (ring != NULL)
        memset(ring, 0, LOG_ROOM * sizeof(*ring));
    pthread_mutex_unlock(&mutex);
}

#define N(value) ((unsigned long long)(value))

void stats_json(struct text *out)
{
    pthread_mutex_lock(&mutex);
    text_format(out,
                "{\"total\":%llu,\"sent\":%llu,\"received\":%llu,\"connections\":%llu,\"open_connections\":%llu,"
                "\"max_connections\":%llu,\"max_concurrent\":%llu,\"status_4xx\":%llu,\"status_5xx\":%llu,",
                N(counted.total), N(counted.sent), N(counted.received), N(counted.connections), N(open_connections),
                N(counted.max_connections), N(counted.max_concurrent), N(counted.s4xx), N(counted.s5xx));
    text_str(out, "\"requests\":{");
    for (int i = 0; i < KIND_COUNT; i++)
        text_format(out, "%s\"%s\":%llu", i == 0 ? "" : ",", kind_names[i], N(counted.requests[i]));
    text_str(out, "},\"failed\":{");
    for (int i = 0; i < KIND_COUNT; i++)
        text_format(out, "%s\"%s\":%llu", i == 0 ? "" : ",", kind_names[i], N(counted.failed[i]));
    pthread_mutex_unlock(&mutex);

    text_str(out, "},\"faults\":");
    fault_json(out);
    pthread_rwlock_rdlock(&store.lock);
    size_t uploads = 0;
    text_str(out, ",\"uploads\":[");
    for (struct upload *upload = store.uploads; upload != NULL && uploads < 100; upload = upload->next) {
        text_str(out, uploads++ == 0 ? "{\"key\":" : ",{\"key\":");
        text_json(out, upload->key);
        text_format(out, ",\"id\":\"%s\",\"part_count\":%llu,\"parts\":[", upload->id, N(upload->part_count));
        for (size_t i = 0; i < upload->part_count && i < 100; i++)
            text_format(out, "%s%u", i == 0 ? "" : ",", upload->parts[i].number);
        text_str(out, "]}");
    }
    text_str(out, "],\"buckets\":{");
    for (struct bucket *bucket = store.buckets; bucket != NULL; bucket = bucket->next) {
        text_json(out, bucket->name);
        text_format(out, ":%llu%s", N(bucket->count), bucket->next == NULL ? "" : ",");
    }
    text_format(out, "},\"open_uploads\":");
    uploads = 0;
    for (struct upload *upload = store.uploads; upload != NULL; upload = upload->next)
        uploads++;
    text_format(out, "%llu,\"objects\":%llu,\"rewritten\":%llu,\"kept_bytes\":%llu}\n", N(uploads),
                N(store.object_count), N(store.rewritten), N(atomic_load(&store.kept_bytes)));
    pthread_rwlock_unlock(&store.lock);
}

void stats_log_json(struct text *out)
{
    pthread_mutex_lock(&mutex);
    uint64_t first = logged > LOG_ROOM ? logged - LOG_ROOM + 1 : 1;
    bool any = false;
    text_str(out, "[");
    for (uint64_t n = first; ring != NULL && n <= logged; n++) {
        const struct logged *line = &ring[n % LOG_ROOM];
        if (line->number == 0)
            continue;
        text_format(out,
                    "%s{\"op\":\"%s\",\"status\":%d,\"at_ms\":%lld,\"ms\":%lld,\"part\":%lld,\"sent\":%llu,"
                    "\"received\":%llu,\"key\":",
                    any ? ",\n" : "", kind_names[line->kind], line->status, (long long)line->at_ms, (long long)line->ms,
                    (long long)line->part, N(line->sent), N(line->received));
        text_json(out, line->key);
        text_str(out, ",\"range\":");
        text_json(out, line->range);
        text_str(out, ",\"if_match\":");
        text_json(out, line->match);
        text_str(out, "}");
        any = true;
    }
    text_str(out, "]\n");
    pthread_mutex_unlock(&mutex);
}
