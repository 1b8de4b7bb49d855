/* SPDX-License-Identifier: Apache-2.0
 * The client and the backend handle from the inside, and the place where a caller's thread meets the loop. */
#ifndef ORB_CLIENT_CLIENT_H
#define ORB_CLIENT_CLIENT_H

#include <pthread.h>
#include <sys/types.h>

#include <orbit/backend.h>
#include <orbit/client.h>

#include "backend/backend.h"
#include "base/error.h"

struct orbit_client {
    struct orbit_host host;
    struct orb_loop *loop; /* host.loop */
    pid_t pid;             /* of the process that opened it: a forked child may not use it */
    bool external;
    const char *spool_dir; /* nullable, owned */
    pthread_mutex_t mutex;
    struct {
        struct orb_registration *registrations; /* scheme -> ops */
        struct orbit_backend *backends;         /* open handles */
        struct orbit_backend *local;            /* unrooted local backend, opened when first needed */
        bool closing;
    } locked;                                   /* by mutex */
    struct orbit_task *running;                 /* loop thread: tasks between start and end */
    _Atomic uint64_t bytes_read, bytes_written; /* operations, retries, throttled are the host's */
    struct orb_gate *gate;                      /* where orbit_client_close() waits */
    uint32_t orphans;                           /* gate: backends that were closed under an open stream */
    uint32_t leaving;                           /* gate: those of them that nobody uses any more and that close now */

    /* Who drives an external loop, see gate.c. */
    pthread_mutex_t drive_mutex;
    pthread_cond_t drive_cond;
    bool driving; /* drive_mutex */
};

struct orbit_backend {
    struct orb_backend core;
    struct orbit_client *client;
    struct orbit_backend *next, **link; /* client->locked.backends */
    struct orb_holder *holders;         /* loop thread */

    struct orb_gate *gate; /* where orbit_backend_close() waits */
    uint32_t users;        /* gate: streams and tasks that hold it */
    uint32_t stoppable;    /* gate: those of them that end when they are asked to */
    bool orphan;           /* gate: closed under a stream; the last drop closes it */
    struct orb_op close_op;
    struct orb_message close_message;
    bool closed; /* gate */
};

/* May this thread call (not a forked child) and, with `blocking`, wait here (not on the loop's thread)?
 * ORBIT_E_MISUSE with the reason otherwise. `what` names the public function. */
orbit_status orb_client_check(const struct orbit_client *client, const char *what, bool blocking, orbit_error *error);
/* The same for a call on a backend that need not wait; refuses NULL. */
static inline orbit_status orb_backend_check(const struct orbit_backend *backend, const char *what, orbit_error *error)
{
    if (!backend)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a backend", what);
    return orb_client_check(backend->client, what, false, error);
}
/* For the functions …_get_stats() of streams and tasks. Any thread. */
orbit_status orb_tally_tell(const struct orb_tally *tally, uint64_t bytes, orbit_stream_stats *stats);
/* The unrooted local backend of the client ("file:"): the other end of downloads and path sources. */
orbit_status orb_client_local(struct orbit_client *client, struct orbit_backend **local, orbit_error *error);
/* A stream or task holds the backend: it lives until it is dropped. Any thread. Who can be asked to end joins
 * instead: orbit_backend_close() and orbit_client_close() stop such users and wait for them; with users that
 * only hold it, they complain to the log and the last drop closes the backend. */
void orb_backend_hold(struct orbit_backend *backend);
void orb_backend_drop(struct orbit_backend *backend);

/* stop() is called at most once, on the loop thread: end what is under way with ORBIT_E_CANCELLED, then leave
 * (now or later). The user's handle stays valid until it is freed; all its later calls fail. Loop thread. */
struct orb_holder {
    struct orb_holder *next, **link;
    struct orbit_backend *backend;
    void (*stop)(struct orb_holder *holder);
    bool stopped;
};
void orb_backend_join(struct orbit_backend *backend, struct orb_holder *holder,
                      void (*stop)(struct orb_holder *holder));
/* Twice, or without having joined when it was zeroed, is fine. */
void orb_backend_leave(struct orb_holder *holder);

/* A gate: mutex and condition where one user's thread and the loop meet. On an external loop the waiting
 * thread drives the loop itself. */
struct orb_gate {
    struct orbit_client *client;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    _Atomic uint64_t signals; /* external loops: how often it was signalled */
};
void orb_gate_init(struct orb_gate *gate, struct orbit_client *client);
void orb_gate_release(struct orb_gate *gate);
void orb_gate_lock(struct orb_gate *gate);
void orb_gate_unlock(struct orb_gate *gate);
void orb_gate_wait(struct orb_gate *gate);   /* locked; may return early: look again */
void orb_gate_signal(struct orb_gate *gate); /* locked */
/* Locked; of a client with a loop thread. False: the time has come, and no signal. */
bool orb_gate_wait_until(struct orb_gate *gate, uint64_t until_ns);

/* External loop: one turn that does not wait, unless somebody drives already. */
void orb_client_turn(struct orbit_client *client);

/* Runs function(ctx) on the loop and waits until it returned. Not on the loop. For the short hand-overs that
 * open and close streams. */
void orb_client_on_loop(struct orbit_client *client, void (*function)(void *ctx), void *ctx);

#endif
