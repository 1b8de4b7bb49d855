/* SPDX-License-Identifier: Apache-2.0
 * Sources of keys, shared by the backends of a client: one fetch for all who wait, the next one ahead of expiry, and
 * what a store's refusal means. The ring's mutex guards who holds what; keys and waiters are the loop's; the fetch's
 * thread touches `fetched` and its status alone, until its message is delivered. */
#include "backend/s3/keys/provider.h"
#include "base/clock.h"
#include "base/mem.h"

enum { AGAIN_S = 30, SETTLED_S = 5 };
static const uint64_t ahead_ns = 300 * ORB_S;

struct ring {
    _Atomic int64_t clock_offset_s; /* of services that want signatures, minus ours: learned once */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    struct {
        struct orb_keys_source *sources;
        unsigned fetching; /* threads that may still touch the ring */
        bool dropped;
    } locked; /* by mutex */
};

struct orb_keys_source {
    struct ring *ring;
    struct orbit_host *host;
    struct orb_keys_origin *origin;
    char identity[65]; /* a hash of what was configured */
    bool fixed;        /* the keys were there from the start and never change */

    struct {
        struct orb_keys_source *next;
        unsigned users;
        bool fetch; /* one of them is a fetch */
    } locked;       /* by the ring's mutex */

    /* Loop thread. */
    struct orb_keys keys;
    const char *from;                       /* who gave them */
    unsigned generation, refused, helpless; /* of keys: which was refused; which came after a refusal */
    bool fetching;
    uint64_t again_ns; /* no fetch ahead of expiry before */
    uint64_t settled_ns;
    orbit_error failure; /* of the last fetch, told to everybody until settled_ns */
    struct orb_keys_wait *first, **last;

    /* The fetch's thread, then the message. */
    _Atomic bool cancelled;
    struct orb_keys fetched;
    orbit_status fetch_status;
    orbit_error fetch_error;
    const char *fetched_from;
    struct orb_message message;
};

/* ---- the ring ------------------------------------------------------------------------------------------ */

static void *make_ring(struct orbit_host *host, orbit_error *error)
{
    struct ring *ring = orb_calloc(1, sizeof *ring);
    (void)host;
    if (!ring) {
        (void)orb_fail_memory(error);
        return NULL;
    }
    pthread_mutex_init(&ring->mutex, NULL);
    pthread_cond_init(&ring->idle, NULL);
    return ring;
}

static void free_ring(struct ring *ring)
{
    pthread_mutex_destroy(&ring->mutex);
    pthread_cond_destroy(&ring->idle);
    orb_free(ring);
}

/* The client closes: no backend is left, but fetches may be under way. Their messages are delivered later. */
static void drop_ring(void *thing)
{
    struct ring *ring = thing;
    pthread_mutex_lock(&ring->mutex);
    for (struct orb_keys_source *at = ring->locked.sources; at; at = at->locked.next)
        atomic_store(&at->cancelled, true);
    while (ring->locked.fetching)
        pthread_cond_wait(&ring->idle, &ring->mutex);
    ring->locked.dropped = true;
    bool empty = !ring->locked.sources;
    pthread_mutex_unlock(&ring->mutex);
    if (empty)
        free_ring(ring);
}

static void free_source(struct orb_keys_source *source)
{
    orb_keys_release(&source->keys);
    orb_keys_release(&source->fetched);
    orb_keys_origin_free(source->origin);
    orb_free(source);
}

static void give_up(struct orb_keys_source *source, bool by_fetch)
{
    struct ring *ring = source->ring;
    pthread_mutex_lock(&ring->mutex);
    unsigned left = --source->locked.users;
    if (by_fetch)
        source->locked.fetch = false;
    if (left == 1 && source->locked.fetch)
        atomic_store(&source->cancelled, true); /* a fetch that nobody waits for any more */
    if (!left)
        for (struct orb_keys_source **at = &ring->locked.sources; *at; at = &(*at)->locked.next)
            if (*at == source) {
                *at = source->locked.next;
                break;
            }
    bool last = !left && ring->locked.dropped && !ring->locked.sources;
    pthread_mutex_unlock(&ring->mutex);
    if (!left)
        free_source(source);
    if (last)
        free_ring(ring);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static bool identify(const struct orb_keys_origin *origin, char identity[65])
{
    struct orb_sha256 *hash = orb_sha256_new();
    const char flags[2] = {origin->keys_given ? '1' : '0', origin->profile_given ? '1' : '0'};
    bool fine = hash && orb_sha256_update(hash, flags, sizeof flags);
#define X(field, variable)                                                    \
    if (fine && origin->field)                                                \
        fine = orb_sha256_update(hash, origin->field, strlen(origin->field)); \
    fine = fine && orb_sha256_update(hash, "\0", 1);
    ORB_KEYS_TEXTS(X)
#undef X
    if (fine && origin->session)
        fine = orb_sha256_update(hash, origin->session->url, strlen(origin->session->url) + 1) &&
               orb_sha256_update(hash, origin->session->by->identity, sizeof origin->session->by->identity);
    fine = fine && orb_sha256_hex(hash, identity);
    orb_sha256_free(hash);
    return fine;
}

static struct orb_keys_source *known(struct ring *ring, const char *identity)
{
    for (struct orb_keys_source *at = ring->locked.sources; at; at = at->locked.next)
        if (strcmp(at->identity, identity) == 0 && !atomic_load(&at->cancelled))
            return at;
    return NULL;
}

/* Keys that were given are there at once: no thread is needed. */
static orbit_status take_fixed(struct orb_keys_source *source, orbit_error *error)
{
    struct orb_keys_fetch fetch = {.origin = source->origin, .cancelled = &source->cancelled};
    orbit_status status = orb_keys_explicit(&fetch, &source->keys, error);
    if (status == ORBIT_END)
        status = orb_keys_environment(&fetch, &source->keys, error);
    source->fixed = status == ORBIT_OK;
    source->from = source->fixed ? fetch.from : NULL;
    source->generation = source->fixed;
    return status;
}

orbit_status orb_keys_source_open(struct orb_keys_source **source, struct orbit_host *host,
                                  struct orb_keys_origin *origin, orbit_error *error)
{
    static const char key; /* its address */
    struct ring *ring = orb_host_attach(host, &key, make_ring, drop_ring, error);
    struct orb_keys_source *made = ring ? orb_calloc(1, sizeof *made) : NULL;
    *source = NULL;
    if (!made || !identify(origin, made->identity)) {
        orb_free(made);
        orb_keys_origin_free(origin);
        return orb_fail_memory(error);
    }
    made->ring = ring;
    made->host = host;
    made->origin = origin;
    made->last = &made->first;
    made->locked.users = 1;
    if (take_fixed(made, error) < 0) {
        free_source(made);
        return ORBIT_E_MEMORY;
    }
    pthread_mutex_lock(&ring->mutex);
    struct orb_keys_source *other = known(ring, made->identity);
    if (other) {
        other->locked.users++;
    } else {
        made->locked.next = ring->locked.sources;
        ring->locked.sources = made;
    }
    pthread_mutex_unlock(&ring->mutex);
    if (other)
        free_source(made);
    *source = other ? other : made;
    return ORBIT_OK;
}

struct orb_keys_source *orb_keys_source_share(struct orb_keys_source *source)
{
    if (source) {
        pthread_mutex_lock(&source->ring->mutex);
        source->locked.users++;
        pthread_mutex_unlock(&source->ring->mutex);
    }
    return source;
}

void orb_keys_source_close(struct orb_keys_source *source)
{
    if (source)
        give_up(source, false);
}

bool orb_keys_source_same(const struct orb_keys_source *a, const struct orb_keys_source *b)
{
    return a == b || (a && b && strcmp(a->identity, b->identity) == 0);
}

/* ---- fetching ------------------------------------------------------------------------------------------- */

static void *fetch_main(void *ctx)
{
    struct orb_keys_source *source = ctx;
    struct ring *ring = source->ring;
    struct orb_keys_fetch fetch = {.origin = source->origin,
                                   .log = &source->host->log,
                                   .cancelled = &source->cancelled,
                                   .prompt = &source->host->prompt,
                                   .clock_offset_s = &ring->clock_offset_s};
    orb_error_clear(&source->fetch_error);
    source->fetch_status = (source->origin->session ? orb_keys_session_fetch : orb_keys_chain)(&fetch, &source->fetched,
                                                                                               &source->fetch_error);
    source->fetched_from = fetch.from;
    orb_profiles_free(fetch.profiles);
    orb_loop_post(source->host->loop, &source->message);
    /* From here on the source may be gone; the ring waits. */
    pthread_mutex_lock(&ring->mutex);
    ring->locked.fetching--;
    pthread_cond_broadcast(&ring->idle);
    pthread_mutex_unlock(&ring->mutex);
    return NULL;
}

static void tell_all(struct orb_keys_source *source, orbit_status status, const orbit_error *error)
{
    struct orb_keys_wait *list = source->first;
    source->first = NULL;
    source->last = &source->first;
    if (list)
        list->link = &list;
    while (list) { /* who is told may make another forget */
        struct orb_keys_wait *wait = list;
        list = wait->next;
        if (list)
            list->link = &list;
        wait->link = NULL;
        wait->done(wait, status, error);
    }
}

static void take_fetched(struct orb_keys_source *source)
{
    struct orb_log *log = &source->host->log;
    orb_keys_release(&source->keys);
    source->keys = source->fetched;
    source->fetched = (struct orb_keys){0};
    source->from = source->fetched_from;
    source->generation++;
    if (source->refused == source->generation - 1 && source->refused)
        source->helpless = source->generation;
    orb_log(log, ORBIT_LOG_INFO, "s3: credentials from %s, valid for %llu s%s", source->fetched_from,
            (unsigned long long)(source->keys.lifetime_ns / ORB_S), source->keys.expires_ns ? "" : " (without an end)");
}

/* The keys that asked for a session have expired before their time: others may be had. */
static void renew_asking(struct orb_keys_source *source, orbit_error *error)
{
    const struct orb_keys_session *session = source->origin->session;
    if (session && strcmp(error->code, "ExpiredToken") == 0 &&
        orb_keys_source_refused(session->by, session->generation))
        error->flags |= ORBIT_ERROR_RETRIABLE;
}

static void on_fetched(struct orb_message *message)
{
    struct orb_keys_source *source =
        (struct orb_keys_source *)((char *)message - offsetof(struct orb_keys_source, message));
    orbit_status status = source->fetch_status;
    orbit_error *error = &source->fetch_error;
    source->fetching = false;
    if (status >= 0) {
        take_fetched(source);
        source->settled_ns = 0;
    } else {
        source->again_ns = orb_now_ns() + AGAIN_S * ORB_S;
        if (source->keys.access_key_id)
            orb_log(&source->host->log, ORBIT_LOG_WARN, "s3: cannot renew the credentials: %s", error->message);
        renew_asking(source, error);
        if (!(error->flags & ORBIT_ERROR_RETRIABLE) && status != ORBIT_E_MEMORY && status != ORBIT_E_CANCELLED) {
            source->settled_ns = orb_now_ns() + SETTLED_S * ORB_S;
            source->failure = *error;
        }
    }
    tell_all(source, status >= 0 ? ORBIT_OK : status, status >= 0 ? NULL : error);
    give_up(source, true);
}

static orbit_status start_fetch(struct orb_keys_source *source, orbit_error *error)
{
    struct ring *ring = source->ring;
    pthread_t thread;
    struct orb_keys_session *session = source->origin->session;
    if (source->fetching)
        return ORBIT_OK;
    orbit_status status = session ? orb_keys_session_prepare(session, error) : ORBIT_OK;
    if (status < 0)
        return status;
    pthread_mutex_lock(&ring->mutex);
    source->locked.users++;
    source->locked.fetch = true;
    ring->locked.fetching++;
    pthread_mutex_unlock(&ring->mutex);
    source->message.deliver = on_fetched;
    source->fetching = true;
    int number = orb_thread_start(&thread, "orbit-keys", fetch_main, source);
    if (number == 0) {
        pthread_detach(thread);
        return ORBIT_OK;
    }
    source->fetching = false;
    pthread_mutex_lock(&ring->mutex);
    source->locked.fetch = false;
    source->locked.users--; /* the caller's backend holds it */
    ring->locked.fetching--;
    pthread_mutex_unlock(&ring->mutex);
    return orb_fail_errno(error, number, "cannot start a thread for the credentials");
}

/* ---- using --------------------------------------------------------------------------------------------- */

const struct orb_keys *orb_keys_source_current(struct orb_keys_source *source, unsigned *generation)
{
    struct orb_keys *keys = &source->keys;
    *generation = source->generation;
    if (source->fixed)
        return keys;
    if (!keys->access_key_id || (source->refused == source->generation && source->generation))
        return NULL;
    if (!keys->expires_ns)
        return keys;
    uint64_t now_ns = orb_now_ns(), ahead = keys->lifetime_ns / 2 < ahead_ns ? keys->lifetime_ns / 2 : ahead_ns;
    if (now_ns >= keys->expires_ns)
        return NULL;
    if (keys->expires_ns - now_ns <= ahead && now_ns >= source->again_ns)
        (void)start_fetch(source, NULL);
    return keys;
}

const char *orb_keys_source_from(const struct orb_keys_source *source)
{
    return source->from;
}

bool orb_keys_source_can_ask(const struct orb_keys_source *source, bool is_aws)
{
    return is_aws || source->origin->sts_endpoint;
}

/* The origin never changes, so that any thread may read it. */
orbit_status orb_keys_source_whose(const struct orb_keys_source *source, const struct orb_keys *keys,
                                   const char *region, char *arn, size_t room, orbit_error *error)
{
    static const _Atomic bool never = false;
    struct orb_keys_fetch fetch = {.origin = source->origin,
                                   .log = &source->host->log,
                                   .cancelled = &never,
                                   .clock_offset_s = &source->ring->clock_offset_s};
    return orb_keys_caller(&fetch, keys, region, arn, room, error);
}

void orb_keys_source_wait(struct orb_keys_source *source, struct orb_keys_wait *wait)
{
    orbit_error error;
    orbit_status status = ORBIT_OK;
    if (!source->fetching && orb_now_ns() < source->settled_ns) {
        error = source->failure;
        status = (orbit_status)error.status;
    } else {
        status = start_fetch(source, &error);
    }
    wait->next = NULL;
    wait->link = NULL;
    if (status < 0) {
        wait->done(wait, status, &error);
        return;
    }
    wait->link = source->last;
    *source->last = wait;
    source->last = &wait->next;
}

void orb_keys_source_forget(struct orb_keys_source *source, struct orb_keys_wait *wait)
{
    if (!wait->link)
        return;
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    else if (source->last == &wait->next)
        source->last = wait->link;
    wait->link = NULL;
}

bool orb_keys_source_refused(struct orb_keys_source *source, unsigned generation)
{
    if (source->fixed)
        return false;
    if (generation != source->generation)
        return true;
    if (source->helpless == generation)
        return false; /* these are new already */
    source->refused = generation;
    source->settled_ns = 0;
    return true;
}

void orb_keys_source_accepted(struct orb_keys_source *source, unsigned generation)
{
    if (source->helpless == generation)
        source->helpless = 0;
}
