/* SPDX-License-Identifier: Apache-2.0
 * The inside of orbit_write, shared by the task (write.c), the ways that its bytes can take (write_ways.c) and who
 * reads its source (write_producer.c). */
#ifndef ORB_STREAM_WRITE_TASK_H
#define ORB_STREAM_WRITE_TASK_H

#include <orbit/task.h>

#include <pthread.h>

#include "client/task.h"
#include "engine/copy.h"
#include "engine/upload_memory.h"
#include "stream/options.h"
#include "stream/source.h"

enum orb_write_mode { MODE_UNDECIDED, MODE_FILL, MODE_COPY, MODE_MEMORY };

struct write_task {
    struct orbit_task task;
    struct orbit_backend *backend;
    orbit_write_options options;
    void *block;
    char *path, *source_path;
    orbit_source source;
    struct orb_source_file file;
    uint64_t size_hint;
    orbit_write_result *result;
    enum orb_write_mode mode;
    bool on_caller; /* the calling thread reads the source */
    int stop_fd;    /* readable: who reads from a descriptor need not wait for it any more; -1: it is no descriptor */

    struct orb_fill fill;
    struct orb_admission admission;
    struct orb_memory_upload memory;
    struct orb_copy copy;

    /* Loop. */
    bool begun, fill_over;
    orbit_status status;
    orbit_error error;

    /* The producer: a thread, the caller, or (a reader) the loop. */
    pthread_t thread;
    bool has_thread;
    bool producer_over;         /* loop */
    orbit_status source_status; /* producer's, until producer_message */
    orbit_error source_error;
    struct orb_message begin_message, producer_message;
    struct orb_gate gate;
    pthread_cond_t woken_cond; /* a thread of ours never drives an external loop */
    bool woken;                /* gate */
    bool refused;              /* gate: never started, the producer has nothing to wait for */

    struct orb_message join_message;
    bool join_posted;
};

/* ---- write_ways.c: loop, but for orb_write_decide -------------------------------------------------- */

/* Which way it is. Any thread; may block where the source is a path or descriptor. */
orbit_status orb_write_decide(struct write_task *write, orbit_error *error);
/* The first failure counts. A NULL error: it was stopped. */
void orb_write_fail(struct write_task *write, orbit_status status, const orbit_error *error);
/* Ends the task when both the upload and the one who reads the source have let go. */
void orb_write_settle(struct write_task *write);
/* A descriptor may be silent for long: whoever waits for it hears that nothing more is wanted. */
void orb_write_let_source_go(struct write_task *write);

/* ---- write_producer.c ------------------------------------------------------------------------------ */

void orb_write_producer_init(struct write_task *write);
/* There is room again, or nothing is wanted any more. Any thread. */
void orb_write_wake(void *ctx);
/* The caller's thread is the producer: until the source has ended, or failed, or nothing is wanted from it. */
void orb_write_produce_here(struct write_task *write);
/* A thread of the task's own, from which the loop hears as from the caller's. An errno. */
int orb_write_produce_apart(struct write_task *write);

/* ---- write.c: loop --------------------------------------------------------------------------------- */

/* The fill is decided: it asks to be admitted, and begins. */
void orb_write_begin_fill(struct write_task *write);

#endif
