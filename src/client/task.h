/* SPDX-License-Identifier: Apache-2.0
 * Tasks from the inside: every blocking call of the library is a task that is waited for. A body embeds
 * orbit_task as its first member, fills holds, timeout_ms, cancel and progress, and launches. */
#ifndef ORB_CLIENT_TASK_H
#define ORB_CLIENT_TASK_H

#include <orbit/task.h>

#include "client/client.h"
#include "engine/scope.h"

struct orb_task_kind {
    const char *name; /* the public function, for messages */
    /* Loop thread: begins the work. Ends it, now or later, by orb_task_end() exactly once. */
    void (*start)(struct orbit_task *task);
    /* Loop thread, nullable, instead of start: the token had fired before, or memory is out. Ends it as start would;
     * for who has somebody to tell. NULL: it just ends. */
    void (*refused)(struct orbit_task *task, orbit_status status, const orbit_error *error);
    /* Loop thread, at most once, between start and end: end soon with `status` (cancelled or timeout).
     * NULL: the work ends in bounded time by itself. */
    void (*stop)(struct orbit_task *task, orbit_status status);
    /* Frees the body and what it holds, after the end. Any thread. */
    void (*release)(struct orbit_task *task);
};

struct orbit_task {
    const struct orb_task_kind *kind;
    struct orbit_client *client;
    pid_t pid;                      /* of the client: it may be gone when the task is freed */
    struct orbit_backend *holds[2]; /* nullable: held from launch to end */
    struct orb_scope scope;
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    orbit_progress progress;
    orbit_task_done *done;
    void *ctx;
    struct orb_message start_message, cancel_message;
    struct orb_gate gate;
    orbit_status status;
    orbit_error error;
    bool ended;                      /* gate */
    bool finished;                   /* gate: and `done` has returned */
    bool cancelling;                 /* gate */
    unsigned references;             /* gate: the loop's, the owner's, the cancel message's */
    struct orbit_task *next, **link; /* loop: client->running */
    orbit_status stopping;           /* loop: what stop() was called with, else 0 */
    uint64_t progress_ns;            /* loop: when progress was last told */
    _Atomic uint64_t bytes_done, bytes_total;
    struct orb_tally tally; /* of its requests */
};

/* Allocates a body of `bytes` (zeroed) with its task prepared. NULL with `error` filled. */
void *orb_task_new(size_t bytes, const struct orb_task_kind *kind, struct orbit_client *client, orbit_error *error);
/* Starts it; the handle goes to `*handle` (nullable: then it frees itself). Fails only before anything
 * happened, and then the body is released. */
orbit_status orb_task_launch(struct orbit_task *task, struct orbit_task **handle, orbit_task_done *done, void *ctx,
                             orbit_error *error);
/* Frees a body that was never launched. */
void orb_task_discard(struct orbit_task *task);
/* The blocking form: launches, waits, releases. */
orbit_status orb_task_run(struct orbit_task *task, orbit_error *error);
/* Loop thread, also from inside start(). The task may be gone when this returns. `error` nullable. A task that
 * was stopped for its time limit and ends with ORBIT_E_CANCELLED is told as ORBIT_E_TIMEOUT. */
void orb_task_end(struct orbit_task *task, orbit_status status, const orbit_error *error);
/* Loop thread: tells bytes so far; calls the user's progress function at most ten times a second. */
void orb_task_moved(struct orbit_task *task, uint64_t done, uint64_t total, bool last);

#endif
