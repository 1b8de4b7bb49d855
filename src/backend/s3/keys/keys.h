/* SPDX-License-Identifier: Apache-2.0
 * What S3 requests are signed with, seen from the backend. A source knows where keys come from, fetches them when they
 * are first needed, on a thread that lives as long as the fetch (files, programs and metadata services may all
 * hang; workers and loop must not), and again before they expire. Backends of one client that ask for the same
 * share a source: many requests wait for one fetch. Loop thread, unless said otherwise. */
#ifndef ORB_BACKEND_S3_KEYS_KEYS_H
#define ORB_BACKEND_S3_KEYS_KEYS_H

#include "backend/backend.h"

/* Strings are owned and wiped by orb_keys_release(). */
struct orb_keys {
    char *access_key_id, *secret_access_key, *session_token; /* the token is nullable */
    uint64_t expires_ns;                                     /* on CLOCK_MONOTONIC; 0: never */
    uint64_t lifetime_ns;                                    /* that was left when they came; 0: for ever */
};
void orb_keys_release(struct orb_keys *keys);
/* Wipes, frees, sets to NULL. */
void orb_keys_wipe(char **secret);

struct orb_keys_origin;
struct orb_keys_source;

struct orb_keys_wait {
    void (*done)(struct orb_keys_wait *wait, orbit_status status, const orbit_error *error);
    struct orb_keys_wait *next, **link; /* link NULL: it does not wait */
};

/* Takes the origin over, also when it fails. Any thread; closed before the client. */
orbit_status orb_keys_source_open(struct orb_keys_source **source, struct orbit_host *host,
                                  struct orb_keys_origin *origin, orbit_error *error);
void orb_keys_source_close(struct orb_keys_source *source); /* NULL is fine */
/* One more holder of it, who closes it, too. NULL is fine. */
struct orb_keys_source *orb_keys_source_share(struct orb_keys_source *source);

/* A source of the session keys of one directory bucket, which the keys of another source ask for (session.c). */
struct orb_keys_session_config {
    struct orb_keys_source *by; /* has keys whenever this one is waited for */
    const char *url;            /* "https://host/?session" */
    const char *region;
    const char *ca_bundle; /* nullable */
    bool no_verify_tls;
};
orbit_status orb_keys_session_open(struct orb_keys_source **source, struct orbit_host *host,
                                   const struct orb_keys_session_config *config, orbit_error *error);
/* Whether two sources (nullable: anonymous) are of the same identity. */
bool orb_keys_source_same(const struct orb_keys_source *a, const struct orb_keys_source *b);

/* Keys that are valid now, borrowed until the next turn of the loop, and which generation of them these are; NULL: wait
 * for them. When they are about to expire the next ones are fetched meanwhile. */
const struct orb_keys *orb_keys_source_current(struct orb_keys_source *source, unsigned *generation);
/* wait->done() is called once, also from inside when it is known already: with ORBIT_OK there are keys, else why
 * there are none. */
void orb_keys_source_wait(struct orb_keys_source *source, struct orb_keys_wait *wait);
/* The caller waits no longer: done is not called. */
void orb_keys_source_forget(struct orb_keys_source *source, struct orb_keys_wait *wait);

/* Who gave the current keys, in words such as "a profile"; NULL: nobody yet. */
const char *orb_keys_source_from(const struct orb_keys_source *source);

/* Whether STS can be asked whose keys these are: they are AWS's, or an STS is named. */
bool orb_keys_source_can_ask(const struct orb_keys_source *source, bool is_aws);
/* Asks it, and blocks: on a worker, with a copy of the keys. `arn` has `room`. */
orbit_status orb_keys_source_whose(const struct orb_keys_source *source, const struct orb_keys *keys,
                                   const char *region, char *arn, size_t room, orbit_error *error);
/* A copy, released by orb_keys_release(). False when memory is out. */
bool orb_keys_copy(struct orb_keys *to, const struct orb_keys *from);

/* The store said that keys of this generation have expired. True when another try is worth it: others are there, or
 * are fetched for the next request. False when fetching did not help before, or nothing can be fetched. */
bool orb_keys_source_refused(struct orb_keys_source *source, unsigned generation);
/* The store took keys of this generation. */
void orb_keys_source_accepted(struct orb_keys_source *source, unsigned generation);

#endif
