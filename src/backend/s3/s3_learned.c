/* SPDX-License-Identifier: Apache-2.0
 * What replies taught of stores, kept by the client for the backends it opens later: a bucket's region and its
 * store's ways, the clock of an endpoint. A wrong clock, or a store that refuses something, then costs one request a
 * client and not one a backend. Only what is settled is kept, and only what replies taught: settings are the
 * backend's that has them. A small table, of which the places that were not asked for longest are given to others.
 * Any thread; what is inside is guarded by its mutex. */
#include "backend/s3/s3.h"
#include "base/str.h"

enum { PLACES = 64, NAME_MAX_BYTES = 512 };

struct place {
    /* "http://host:port" for its clock, with "/bucket" behind it for what is that one's. Owned; NULL: free. */
    char *name;
    char region[ORB_S3_REGION_MAX]; /* "": not learned */
    struct orb_s3_ways ways;        /* zero: not learned, each */
    int64_t clock_offset_s;
    uint64_t used; /* when, in uses of the table */
};

struct learned {
    pthread_mutex_t mutex;
    struct {
        struct place places[PLACES];
        uint64_t uses;
    } locked; /* by mutex */
};

static void *make_learned(struct orbit_host *host, orbit_error *error)
{
    struct learned *learned = orb_calloc(1, sizeof *learned);
    (void)host;
    if (learned)
        pthread_mutex_init(&learned->mutex, NULL);
    else
        (void)orb_fail_memory(error);
    return learned;
}

static void drop_learned(void *thing)
{
    struct learned *learned = thing;
    for (size_t i = 0; i < PLACES; i++)
        orb_free(learned->locked.places[i].name);
    pthread_mutex_destroy(&learned->mutex);
    orb_free(learned);
}

static struct learned *learned_of(struct orb_s3 *s3)
{
    static const char key; /* its address */
    return orb_host_attach(s3->host, &key, make_learned, drop_learned, NULL);
}

/* AWS has one clock, whatever the region. */
static bool name_of(const struct orb_s3 *s3, bool with_bucket, char name[NAME_MAX_BYTES])
{
    int length = snprintf(name, NAME_MAX_BYTES, "%s://%s%s%s%s", s3->secure ? "https" : "http",
                          s3->endpoint_host ? s3->endpoint_host : "aws", s3->unix_socket ? s3->unix_socket : "",
                          with_bucket ? "/" : "", with_bucket ? s3->bucket : "");
    return length > 0 && length < NAME_MAX_BYTES;
}

/* The place of a name, with the mutex held. */
static struct place *find(struct learned *learned, const char *name)
{
    struct place *places = learned->locked.places;
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].name && strcmp(places[i].name, name) == 0) {
            places[i].used = ++learned->locked.uses;
            return &places[i];
        }
    return NULL;
}

/* The same, made where there is none; NULL: memory is out, and nothing is remembered. */
static struct place *find_or_make(struct learned *learned, const char *name)
{
    struct place *found = find(learned, name), *oldest = learned->locked.places;
    if (found)
        return found;
    for (size_t i = 1; i < PLACES; i++)
        if (learned->locked.places[i].used < oldest->used)
            oldest = &learned->locked.places[i];
    char *copy = orb_strdup(name);
    if (!copy)
        return NULL;
    orb_free(oldest->name);
    *oldest = (struct place){.name = copy, .used = ++learned->locked.uses};
    return oldest;
}

void orb_s3_remember_region(struct orb_s3 *s3)
{
    struct learned *learned = learned_of(s3);
    char name[NAME_MAX_BYTES];
    if (!learned || !name_of(s3, true, name))
        return;
    pthread_mutex_lock(&learned->mutex);
    struct place *place = find_or_make(learned, name);
    if (place)
        memcpy(place->region, s3->region, sizeof place->region);
    pthread_mutex_unlock(&learned->mutex);
}

void orb_s3_remember_clock(struct orb_s3 *s3)
{
    struct learned *learned = learned_of(s3);
    char name[NAME_MAX_BYTES];
    if (!learned || !name_of(s3, false, name))
        return;
    pthread_mutex_lock(&learned->mutex);
    struct place *place = find_or_make(learned, name);
    if (place)
        place->clock_offset_s = s3->clock_offset_s;
    pthread_mutex_unlock(&learned->mutex);
}

/* clang-format off */
/* X(field) for all of them. */
#define WAYS(X) \
    X(checksums) X(told_checksums) X(body_checksums) X(listed) X(conditions) X(upload_tags) X(upload_locks) X(ranges) X(no_lengths) \
    X(bare_copies) X(parts_alone) X(list_v1) X(no_batches) X(no_attributes) X(tags)
/* clang-format on */

/* Without what is only suspected. */
static struct orb_s3_ways settled(const struct orb_s3 *s3)
{
    struct orb_s3_ways ways = s3->ways;
    if (ways.checksums == ORB_S3_CHECKSUMS_SUSPECT)
        ways.checksums = s3->told.checksums;
    if (ways.told_checksums == ORB_S3_CHECKSUMS_SUSPECT)
        ways.told_checksums = s3->told.told_checksums;
    if (ways.body_checksums == ORB_S3_BODY_SUSPECT)
        ways.body_checksums = s3->told.body_checksums;
    return ways;
}

void orb_s3_remember_ways(struct orb_s3 *s3)
{
    struct orb_s3_ways now = settled(s3), before = s3->told;
    char name[NAME_MAX_BYTES];
    bool same = true;
#define SAME(field) same = same && now.field == before.field;
    WAYS(SAME)
#undef SAME
    if (same)
        return;
    s3->told = now;
    struct learned *learned = learned_of(s3);
    if (!learned || !name_of(s3, true, name))
        return;
    pthread_mutex_lock(&learned->mutex);
    struct place *place = find_or_make(learned, name);
#define KEEP(field)                         \
    if (place && now.field != before.field) \
        place->ways.field = now.field;
    WAYS(KEEP)
#undef KEEP
    pthread_mutex_unlock(&learned->mutex);
}

static void recall_ways(struct orb_s3 *s3, const struct orb_s3_ways *learned)
{
    enum orb_s3_checksums checksums = s3->ways.checksums;
#define TAKE(field)     \
    if (learned->field) \
        s3->ways.field = learned->field;
    WAYS(TAKE)
#undef TAKE
    if (s3->checksum) /* who asks for one means it */
        s3->ways.checksums = checksums;
}

void orb_s3_recall(struct orb_s3 *s3)
{
    s3->told = s3->ways;
    struct learned *learned = learned_of(s3);
    char site[NAME_MAX_BYTES], bucket[NAME_MAX_BYTES];
    if (!learned || !name_of(s3, false, site) || !name_of(s3, true, bucket))
        return;
    pthread_mutex_lock(&learned->mutex);
    struct place *clock = find(learned, site), *known = find(learned, bucket);
    if (clock)
        s3->clock_offset_s = clock->clock_offset_s;
    if (known && *known->region)
        memcpy(s3->region, known->region, sizeof s3->region);
    if (known)
        recall_ways(s3, &known->ways);
    s3->told = s3->ways;
    pthread_mutex_unlock(&learned->mutex);
}
