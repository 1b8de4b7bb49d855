/* SPDX-License-Identifier: Apache-2.0
 * A transfer from the inside. A job is one record from the moment it is added until its result was taken; the number
 * of records is the bound of everything. Records travel: added (any thread) → waiting → running (loop) → ended →
 * taken (the user). What meets other threads is in `locked`, by the gate; the rest is the loop's. */
#ifndef ORB_TRANSFER_TRANSFER_H
#define ORB_TRANSFER_TRANSFER_H

#include <orbit/transfer.h>

#include "client/remove_batch.h"
#include "client/task.h"

enum orb_transfer_step {
    ORB_STEP_NONE = 0,
    ORB_STEP_LOOK, /* at the target */
    ORB_STEP_RENAME,
    ORB_STEP_COPY,
    ORB_STEP_WRITE,
    ORB_STEP_MKDIR,
    ORB_STEP_READLINK,
    ORB_STEP_SYMLINK,
    ORB_STEP_PARENT,     /* the directory of a link, which is not there yet */
    ORB_STEP_READ_THERE, /* a link stands at the target: the same one? */
    ORB_STEP_CLEAR,      /* what stands where a link is to be */
    ORB_STEP_REMOVE
};

struct orb_transfer_job {
    struct orb_transfer_job *next; /* in the list it is in */
    struct orbit_transfer *transfer;
    uint64_t sequence;
    uint32_t operation, flags;
    struct orbit_backend *from_backend, *to_backend; /* held until the job has ended */
    const char *from, *to, *version_id;              /* in names; version_id nullable */
    void *ctx;
    orbit_source source;
    uint32_t kind;
    uint64_t bytes;
    int64_t mtime_ns;
    bool has_metadata, has_mtime, large, unknown;
    uint64_t charged;

    /* Loop. */
    enum orb_transfer_step step;
    orbit_metadata target; /* of the look */
    char *link, *link_there;
    bool made_parent;
    uint64_t begun_ns;
    struct orb_transfer_job *running_next, **running_link; /* by the gate */
    orbit_task *task;                                      /* by the gate: loop writes */

    /* The result. */
    uint32_t outcome;
    bool copied;
    orbit_status status;
    orbit_error *error; /* nullable, owned */
    orbit_write_result result;
    char names[];
};

struct orb_transfer_jobs {
    struct orb_transfer_job *first, **last;
    size_t count;
};

struct orb_removing;

struct orbit_transfer {
    struct orbit_task task; /* first: the transfer is a task of the client */
    orbit_transfer_options options;
    orbit_copy_options copy;
    orbit_write_options write;
    void *write_block;
    char *version_id;
    uint8_t source_key[32];
    orbit_job_source source;
    bool has_source;
    pthread_mutex_t source_mutex; /* its stop() never meets its close() */
    bool source_over;             /* by source_mutex */
    bool to_loop;                 /* results go to options.each on the loop */
    orbit_transfer_totals *totals_out;

    struct orb_gate gate;
    pthread_cond_t room; /* for who adds, with the gate's mutex */
    pthread_t feeder;
    bool has_feeder;
    struct orb_message pump_message, feeder_message, ready_message;
    struct {
        struct orb_transfer_jobs added, ended;
        struct orb_transfer_job *running;
        uint64_t held, held_max, sequence;
        uint64_t held_bytes, held_bytes_max;
        orbit_transfer_totals totals;
        bool input_over; /* nothing more is added */
        bool hungry;     /* the loop wants to hear of jobs */
        bool gathers;    /* who waits for results will take several */
        bool pump_posted, ready_wanted, ready_posted;
        bool stopped;       /* what is added is refused */
        bool over;          /* nothing ends any more */
        uint32_t adding;    /* threads that wait for room */
        orbit_status final; /* when over: ORBIT_END or negative */
        orbit_error error;
    } locked;

    /* Loop. */
    struct orb_transfer_jobs small, large, removals;
    uint32_t running, running_large; /* those in `small` and `large`'s places */
    uint32_t allowed, large_max, allowed_max;
    struct orb_removing *removing; /* batches under way and spare ones */
    uint32_t removing_count;
    uint64_t window_ns, window_ended, window_busy_ns, window_rate; /* the ramp */
    uint64_t ramp_next_ns;
    uint32_t ramp_from;
    bool ramp_trying;
    bool pumping, feeding, stopping, ended;
    struct orb_timer *progress_timer;

    /* The user's thread. */
    struct orb_transfer_job *taken;
    uint64_t woken_ns; /* when results were last waited for */
};

/* job.c: loop thread. Starts the job; ends by orb_transfer_job_ended(). */
void orb_transfer_job_start(struct orb_transfer_job *job);
void orb_transfer_job_removed(struct orb_transfer_job *job, orbit_status status, const orbit_error *error);
/* Whether it takes one of the places, or goes the way of removals at once. */
bool orb_transfer_job_is_removal(const struct orb_transfer_job *job);
void orb_transfer_job_fail(struct orb_transfer_job *job, orbit_status status, const orbit_error *error);
void orb_transfer_job_free(struct orb_transfer_job *job);
orbit_status orb_transfer_job_new(struct orb_transfer_job **made, struct orbit_transfer *transfer,
                                  const orbit_job *given, orbit_error *error);

/* schedule.c: loop thread. */
void orb_transfer_pump(struct orbit_transfer *transfer);
void orb_transfer_job_ended(struct orb_transfer_job *job);
/* The copy is done, what is left is to remove the source: gives the place back. */
void orb_transfer_to_removals(struct orb_transfer_job *job);
void orb_transfer_job_is_large(struct orb_transfer_job *job);
void orb_transfer_schedule_init(struct orbit_transfer *transfer);
/* Nothing is under way: ends the task. */
void orb_transfer_settle(struct orbit_transfer *transfer);

/* removing.c: loop thread. */
void orb_removing_pump(struct orbit_transfer *transfer);
void orb_removing_cancel(struct orbit_transfer *transfer);
void orb_removing_free(struct orbit_transfer *transfer);

/* handover.c. Any thread: a failed record for what could not become a job. */
orbit_status orb_transfer_put(struct orbit_transfer *transfer, const orbit_job *given, const orbit_error *failure,
                              bool wait, bool drive, orbit_error *error);
/* The feeder's: a job that its source gave out and that nobody took has a failed result all the same. */
void orb_transfer_put_failed(struct orbit_transfer *transfer, const orbit_job *given, const orbit_error *failure);
void orb_transfer_input_over(struct orbit_transfer *transfer, orbit_status status, const orbit_error *error);
void orb_transfer_deliver(struct orb_transfer_job *job); /* loop: the result is there for the user */
void orb_transfer_fill_result(const struct orb_transfer_job *job, orbit_transfer_result *result);
void orb_transfer_release_job(struct orb_transfer_job *job); /* and gives its room to who waits for it */
void orb_transfer_snapshot(struct orbit_transfer *transfer, orbit_transfer_totals *totals);

static inline void orb_transfer_jobs_init(struct orb_transfer_jobs *list)
{
    list->first = NULL;
    list->last = &list->first;
    list->count = 0;
}
static inline void orb_transfer_jobs_push(struct orb_transfer_jobs *list, struct orb_transfer_job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
    list->count++;
}
static inline struct orb_transfer_job *orb_transfer_jobs_pop(struct orb_transfer_jobs *list)
{
    struct orb_transfer_job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!list->first)
        list->last = &list->first;
    list->count--;
    return job;
}

#endif
