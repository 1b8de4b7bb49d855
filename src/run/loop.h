/* SPDX-License-Identifier: Apache-2.0
 * A loop: one libuv loop, usually on a thread of its own, that delivers messages and timers. The client has
 * one for the engine; each network lane has one. Nothing process-wide: no uv_spawn, uv_fs, uv_queue_work. */
#ifndef ORB_RUN_LOOP_H
#define ORB_RUN_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <orbit/error.h>

struct orb_loop;

/* Intrusive: lives inside what it is about, so posting allocates nothing and cannot fail. A message must not
 * be posted again before it was delivered. */
struct orb_message {
    struct orb_message *next;
    void (*deliver)(struct orb_message *message); /* on the loop's thread; may free or repost the message */
};

/* `name` is the thread's name (15 characters). `external`: no thread, the caller runs it with
 * orb_loop_turn(). The thread starts with the first orb_loop_start(). */
orbit_status orb_loop_new(struct orb_loop **made, const char *name, bool external, orbit_error *error);
orbit_status orb_loop_start(struct orb_loop *loop, orbit_error *error);
/* Delivers what was posted, closes all timers, ends the thread, frees. NULL is fine. Not on the loop. */
void orb_loop_free(struct orb_loop *loop);

/* Any thread; delivered in the order of posting. Wakes the loop (also an external one's descriptor). */
void orb_loop_post(struct orb_loop *loop, struct orb_message *message);
/* True on the loop's own thread; for an external loop: on the thread that is inside orb_loop_turn(). */
bool orb_loop_is_current(const struct orb_loop *loop);
/* The libuv loop, for handles owned by code that runs on it. */
uv_loop_t *orb_loop_uv(struct orb_loop *loop);

/* External loops: what to poll, how long (-1: for ever), one turn. With `wait` the turn blocks until there
 * was something to do or `orb_loop_wake()` was called. One thread at a time drives: a second one that calls
 * with `wait` sleeps until the first is done with its turn. */
int orb_loop_fd(struct orb_loop *loop);
int orb_loop_timeout_ms(struct orb_loop *loop);
void orb_loop_turn(struct orb_loop *loop, bool wait);
/* Makes a waiting turn return. Any thread; async-signal-safe it is not. */
void orb_loop_wake(struct orb_loop *loop);

/* Timers: loop thread only. start returns NULL when memory is out. The handle is gone after it fired or was
 * cancelled; cancel of NULL is fine. */
struct orb_timer;
struct orb_timer *orb_timer_start(struct orb_loop *loop, uint64_t ms, void (*fire)(void *ctx), void *ctx);
void orb_timer_cancel(struct orb_timer *timer);

/* A thread with all signals blocked and a name: the only way Orbit makes threads. Returns an errno. */
int orb_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *ctx);

#endif
