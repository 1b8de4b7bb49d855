/* SPDX-License-Identifier: Apache-2.0
 * What replies taught of stores, kept by the client for the backends it opens later: a bucket's region, the clock of an
 * endpoint. A wrong clock or region then costs one request a client and not one a backend. A small table, of which the
 * places that were not asked for longest are given to others. Any thread; what is inside is guarded by its mutex. */
#include "backend/s3/s3.h"
#include "base/str.h"

enum { PLACES = 32, NAME_MAX_BYTES = 512 };

struct place {
    char
        *name; /* owned; NULL: free. "http://host:port" for its clock, with "/bucket" behind it for that one's region */
    char region[ORB_S3_REGION_MAX];
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

void orb_s3_recall(struct orb_s3 *s3)
{
    struct learned *learned = learned_of(s3);
    char site[NAME_MAX_BYTES], bucket[NAME_MAX_BYTES];
    if (!learned || !name_of(s3, false, site) || !name_of(s3, true, bucket))
        return;
    pthread_mutex_lock(&learned->mutex);
    struct place *clock = find(learned, site), *region = find(learned, bucket);
    if (clock)
        s3->clock_offset_s = clock->clock_offset_s;
    if (region)
        memcpy(s3->region, region->region, sizeof s3->region);
    pthread_mutex_unlock(&learned->mutex);
}
