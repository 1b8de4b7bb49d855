/* SPDX-License-Identifier: Apache-2.0
 * Settings by name, and the rules that make requests fail. Rules are under one mutex; a request takes a merged copy
 * of those that match it. */
#include "s3d.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct settings settings;
struct identity identity = {"orbittestkey", "orbittestsecret", "us-east-1", NULL};

const char *const kind_names[KIND_COUNT] = {
#define X(name) #name,
    KINDS(X)
#undef X
};

bool parse_size(const char *text, int64_t *size)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    unsigned shift = 0;
    if (end == text)
        return false;
    switch (*end) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    case 'T':
        shift = 40;
        break;
    default:
        break;
    }
    if (shift != 0)
        end++;
    if (*end != '\0' || value > (INT64_MAX >> shift) || value < 0 - (INT64_MAX >> shift))
        return false;
    *size = (int64_t)value * (int64_t)(UINT64_C(1) << shift);
    return true;
}

bool setting_set(const char *name, const char *value)
{
    static const struct {
        const char *name;
        _Atomic int64_t *place;
    } places[] = {
#define X(field, initial) {#field, &settings.field},
        SETTINGS(X)
#undef X
    };
    int64_t number;
    if (!parse_size(value, &number))
        return false;
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (strcmp(places[i].name, name) == 0) {
            atomic_store(places[i].place, number);
            return true;
        }
    return false;
}

struct rule {
    struct rule *next;
    int kind;                   /* -1: any */
    char bucket[128], key[512]; /* patterns; "" any */
    int64_t part;               /* 0: any */
    uint64_t nth, count, every;
    double probability;
    uint64_t random;
    struct fault fault;
    uint64_t seen, hit;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rule *rules; /* by mutex */

void fault_none(struct fault *fault)
{
    memset(fault, 0, sizeof(*fault));
    fault->retry_after = -1;
    fault->cut = fault->stall = fault->corrupt = fault->truncate = fault->upload_stop = -1;
}

static bool rule_match_field(struct rule *rule, const char *name, const char *value, int64_t number)
{
    if (strcmp(name, "op") == 0) {
        rule->kind = -1;
        for (int i = 0; i < KIND_COUNT; i++)
            if (strcasecmp(kind_names[i], value) == 0)
                rule->kind = i;
        return rule->kind >= 0 || strcmp(value, "*") == 0;
    }
    if (strcmp(name, "key") == 0)
        return (size_t)snprintf(rule->key, sizeof(rule->key), "%s", value) < sizeof(rule->key);
    if (strcmp(name, "bucket") == 0)
        return (size_t)snprintf(rule->bucket, sizeof(rule->bucket), "%s", value) < sizeof(rule->bucket);
    if (strcmp(name, "part") == 0)
        rule->part = number;
    else if (strcmp(name, "nth") == 0)
        rule->nth = (uint64_t)number;
    else if (strcmp(name, "count") == 0)
        rule->count = (uint64_t)number;
    else if (strcmp(name, "every") == 0)
        rule->every = (uint64_t)number;
    else if (strcmp(name, "seed") == 0)
        rule->random = (uint64_t)number * 2 + 1;
    else if (strcmp(name, "probability") == 0)
        rule->probability = strtod(value, NULL);
    else
        return false;
    return true;
}

static bool rule_flag(struct fault *fault, const char *name, const char *value, int64_t number)
{
    bool on = number != 0;
    if (strcmp(name, "reset") == 0 && strcmp(value, "before") == 0)
        fault->reset_before = true;
    else if (strcmp(name, "reset") == 0 && strcmp(value, "after") == 0)
        fault->reset_after = true;
    else if (strcmp(name, "error200") == 0)
        fault->error_200 = on;
    else if (strcmp(name, "lost") == 0)
        fault->lost = on;
    else if (strcmp(name, "ignore_range") == 0)
        fault->ignore_range = on;
    else if (strcmp(name, "empty_206") == 0)
        fault->empty_206 = on;
    else if (strcmp(name, "close") == 0)
        fault->close = on;
    else if (strcmp(name, "wrong_checksum") == 0)
        fault->wrong_checksum = on;
    else if (strcmp(name, "wrong_etag") == 0)
        fault->wrong_etag = on;
    else if (strcmp(name, "change") == 0)
        fault->change = on;
    else if (strcmp(name, "repeat_token") == 0)
        fault->repeat_token = on;
    else if (strcmp(name, "range_200") == 0)
        fault->range_200 = (int)number;
    else if (strcmp(name, "false_end") == 0)
        fault->false_end = (int)number;
    else if (strcmp(name, "no_token") == 0)
        fault->no_token = on;
    else if (strcmp(name, "no_continue") == 0)
        fault->no_continue = on;
    else if (strcmp(name, "garbage") == 0)
        fault->garbage = on;
    else
        return false;
    return true;
}

static bool rule_number(struct fault *fault, const char *name, const char *value, int64_t number)
{
    if (strcmp(name, "status") == 0)
        fault->status = (int)number;
    else if (strcmp(name, "code") == 0)
        snprintf(fault->code, sizeof(fault->code), "%s", value);
    else if (strcmp(name, "retry_after") == 0)
        fault->retry_after = (int)number;
    else if (strcmp(name, "cut") == 0)
        fault->cut = number;
    else if (strcmp(name, "stall") == 0)
        fault->stall = number;
    else if (strcmp(name, "stall_ms") == 0)
        fault->stall_ms = (uint64_t)number;
    else if (strcmp(name, "latency_ms") == 0)
        fault->latency_ms = (uint64_t)number;
    else if (strcmp(name, "tail_ms") == 0)
        fault->tail_ms = (uint64_t)number;
    else if (strcmp(name, "bandwidth") == 0)
        fault->bandwidth = number;
    else if (strcmp(name, "wrong_length") == 0)
        fault->wrong_length = number;
    else if (strcmp(name, "no_length") == 0)
        fault->no_length = (int)number;
    else if (strcmp(name, "wrong_range") == 0)
        fault->wrong_range = number;
    else if (strcmp(name, "corrupt") == 0)
        fault->corrupt = number;
    else if (strcmp(name, "truncate") == 0)
        fault->truncate = number;
    else if (strcmp(name, "upload_stop") == 0)
        fault->upload_stop = number;
    else
        return false;
    return true;
}

static bool rule_said(struct fault *fault, const char *name, const char *value, size_t length, int64_t number)
{
    if (strcmp(name, "say") == 0)
        said_first(fault, value, length);
    else if (strcmp(name, "again") == 0)
        said_again(fault, value, length);
    else if (strcmp(name, "then") == 0)
        said_last(fault, value, length);
    else if (strcmp(name, "times") == 0)
        said_times(fault, (uint64_t)number);
    else
        return false;
    return true;
}

bool fault_add(const char *query, char why[128])
{
    struct rule *rule = need(calloc(1, sizeof(*rule)));
    char *copy = need(strdup(query)), *rest = copy, *piece;
    bool nth_given = false, count_given = false, right = true;
    fault_none(&rule->fault);
    rule->kind = -1;
    rule->nth = 1;
    rule->probability = 1;
    rule->random = 1;
    while (right && (piece = strsep(&rest, "&")) != NULL) {
        char *value = strchr(piece, '=');
        if (*piece == '\0')
            continue;
        if (value != NULL)
            *value++ = '\0';
        else
            value = piece + strlen(piece);
        size_t length = url_decode(value, strlen(value), true);
        int64_t number = 0;
        bool numeric = parse_size(value, &number);
        bool words = strcmp(piece, "op") == 0 || strcmp(piece, "key") == 0 || strcmp(piece, "bucket") == 0 ||
                     strcmp(piece, "code") == 0 || strcmp(piece, "reset") == 0 || strcmp(piece, "probability") == 0 ||
                     strcmp(piece, "say") == 0 || strcmp(piece, "again") == 0 || strcmp(piece, "then") == 0;
        right =
            (numeric || words) &&
            (rule_match_field(rule, piece, value, number) || rule_flag(&rule->fault, piece, value, number) ||
             rule_number(&rule->fault, piece, value, number) || rule_said(&rule->fault, piece, value, length, number));
        if (!right)
            snprintf(why, 128, "fault: '%.40s=%.60s' means nothing", piece, value);
        nth_given |= strcmp(piece, "nth") == 0;
        count_given |= strcmp(piece, "count") == 0;
    }
    free(copy);
    if (!right) {
        free(rule);
        return false;
    }
    if (nth_given && !count_given)
        rule->count = 1;
    pthread_mutex_lock(&mutex);
    struct rule **end = &rules;
    while (*end != NULL)
        end = &(*end)->next;
    *end = rule;
    pthread_mutex_unlock(&mutex);
    return true;
}

void fault_clear(void)
{
    pthread_mutex_lock(&mutex);
    while (rules != NULL) {
        struct rule *next = rules->next;
        free(rules);
        rules = next;
    }
    pthread_mutex_unlock(&mutex);
}

static double random_unit(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static bool rule_applies(struct rule *rule, enum kind kind, const char *bucket, const char *key, int64_t part)
{
    if (rule->kind >= 0 && rule->kind != (int)kind)
        return false;
    if (rule->bucket[0] != '\0' && fnmatch(rule->bucket, bucket, 0) != 0)
        return false;
    if (rule->key[0] != '\0' && fnmatch(rule->key, key, 0) != 0)
        return false;
    if (rule->part != 0 && rule->part != part)
        return false;
    rule->seen++;
    if (rule->seen < rule->nth || (rule->count != 0 && rule->hit >= rule->count))
        return false;
    if (rule->every > 1 && (rule->seen - rule->nth) % rule->every != 0)
        return false;
    if (rule->probability < 1 && random_unit(&rule->random) >= rule->probability)
        return false;
    rule->hit++;
    return true;
}

static void merge(struct fault *to, const struct fault *from, uint64_t *random)
{
    if (from->status != 0) {
        to->status = from->status;
        memcpy(to->code, from->code, sizeof(to->code));
    }
#define TAKE(field, none)      \
    if (from->field != (none)) \
    to->field = from->field
    TAKE(retry_after, -1);
    TAKE(cut, -1);
    TAKE(stall, -1);
    TAKE(corrupt, -1);
    TAKE(truncate, -1);
    TAKE(upload_stop, -1);
    TAKE(stall_ms, 0);
    TAKE(bandwidth, 0);
    TAKE(wrong_length, 0);
    TAKE(no_length, 0);
    TAKE(empty_206, false);
    TAKE(wrong_range, 0);
    TAKE(reset_before, false);
    TAKE(reset_after, false);
    TAKE(error_200, false);
    TAKE(lost, false);
    TAKE(ignore_range, false);
    TAKE(close, false);
    TAKE(wrong_checksum, false);
    TAKE(wrong_etag, false);
    TAKE(change, false);
    TAKE(repeat_token, false);
    TAKE(no_token, false);
    TAKE(false_end, 0);
    TAKE(range_200, 0);
    TAKE(no_continue, false);
    TAKE(garbage, false);
    TAKE(said, NULL);
#undef TAKE
    to->latency_ms += from->latency_ms;
    if (from->tail_ms != 0) {
        /* Pareto with exponent 1.5: the median is what was asked for, one in a hundred takes 14 times that. */
        double wait = (double)from->tail_ms / 1.5874 * pow(1 - random_unit(random), -1 / 1.5);
        if (wait > 60000)
            wait = 60000;
        to->latency_ms += (uint64_t)wait;
    }
}

void fault_match(struct fault *fault, enum kind kind, const char *bucket, const char *key, int64_t part)
{
    fault_none(fault);
    pthread_mutex_lock(&mutex);
    for (struct rule *rule = rules; rule != NULL; rule = rule->next)
        if (rule_applies(rule, kind, bucket, key, part))
            merge(fault, &rule->fault, &rule->random);
    pthread_mutex_unlock(&mutex);
    fault->latency_ms += (uint64_t)atomic_load(&settings.latency_ms);
    if (kind == KIND_ListObjects || kind == KIND_ListObjectsV2)
        fault->latency_ms += (uint64_t)atomic_load(&settings.list_latency_ms);
    if (fault->bandwidth == 0)
        fault->bandwidth = atomic_load(&settings.bandwidth);
}

bool fault_over_rate(void)
{
    static int64_t window_ms;
    static int64_t used;
    int64_t rate = atomic_load(&settings.rate), now = now_ms();
    if (rate <= 0)
        return false;
    /* A tenth of a second at a time, so that a second's worth does not come at once. */
    int64_t share = rate < 10 ? 1 : rate / 10, width = rate < 10 ? 1000 / rate : 100;
    pthread_mutex_lock(&mutex);
    if (now - window_ms >= width) {
        window_ms = now;
        used = 0;
    }
    bool over = used >= share;
    used++;
    pthread_mutex_unlock(&mutex);
    return over;
}

void fault_json(struct text *out)
{
    text_str(out, "[");
    pthread_mutex_lock(&mutex);
    for (struct rule *rule = rules; rule != NULL; rule = rule->next)
        text_format(out, "%s{\"op\":\"%s\",\"seen\":%llu,\"hit\":%llu}", rule == rules ? "" : ",",
                    rule->kind < 0 ? "*" : kind_names[rule->kind], (unsigned long long)rule->seen,
                    (unsigned long long)rule->hit);
    pthread_mutex_unlock(&mutex);
    text_str(out, "]");
}
