/* SPDX-License-Identifier: Apache-2.0
 * Many files and objects at once: a stream of jobs goes in, a stream of results comes out, and neither is ever a list
 * in memory.
 *
 *     orbit_job_source jobs;
 *     orbit_jobs_tree(&jobs, ORBIT_JOB_COPY, from, "photos", to, "backup/photos", NULL, &error);
 *     orbit_transfer_open(&transfer, client, &jobs, NULL, &error);
 *     while ((status = orbit_transfer_next(transfer, &result, &error)) != ORBIT_END) {
 *         if (status == ORBIT_OK) …                       this one is done (or was left as it is: result.outcome)
 *         else if (status == ORBIT_ENTRY_FAILED) …        this one failed, the others go on
 *         else break;                                     final: cancelled, or no more jobs could be found
 *     }
 *     orbit_transfer_close(transfer);
 *
 * Jobs are read lazily, as there is room: what is queued, running and not yet taken as a result is bounded. Small
 * objects run side by side; large ones (more than a part) go in parts and take at most half of the places, so that
 * neither kind waits for the other. Results come in the order in which jobs end. Every job that was taken has exactly one
 * result, those that a cancelled transfer never began (ORBIT_E_CANCELLED) included: `ctx` always comes back, unless the
 * transfer is closed before its results were taken. */
#ifndef ORBIT_TRANSFER_H
#define ORBIT_TRANSFER_H

#include <orbit/file.h>
#include <orbit/list.h>
#include <orbit/task.h>
#include <orbit/write.h>

ORBIT_BEGIN_DECLS

typedef enum orbit_job_operation {
    ORBIT_JOB_COPY = 1,
    ORBIT_JOB_MOVE,   /* renamed where that is possible; else the source goes when its copy is complete */
    ORBIT_JOB_REMOVE, /* `from`; many in one request where the store takes them so */
    ORBIT_JOB_WRITE   /* `source` becomes `to` */
} orbit_job_operation;

/* Flags of a job. */
enum {
    ORBIT_JOB_PRESERVE = 1u << 0,  /* as in orbit_copy_options, for this job */
    ORBIT_JOB_COPY_BYTES = 1u << 1 /* a move is never a rename: the target is to get other metadata */
};

/* One job. With `metadata` (what a listing says: kind, size, time) nothing needs to be asked again: a directory is made
 * at a target that has directories, a symbolic link becomes the same link there, what is neither file nor link is left
 * out. Without it `from` must be a file or an object. Backends stay open until the transfer has ended. */
typedef struct orbit_job {
    size_t size;
    uint32_t operation; /* orbit_job_operation */
    uint32_t flags;     /* ORBIT_JOB_… */
    orbit_backend *from_backend, *to_backend;
    const char *from, *to;          /* copied when the job is taken */
    const orbit_metadata *metadata; /* of the source, nullable; what is needed is copied */
    uint64_t bytes;                 /* of the source if known, else ORBIT_SIZE_UNKNOWN; metadata's size wins */
    orbit_source source; /* ORBIT_JOB_WRITE; read on a thread of its own; the transfer closes it when it took the job */
    void *ctx;           /* yours, comes back with the result */
    const char *version_id; /* of the source, copied; NULL: that of the options' `copy`. Not for moves */
} orbit_job;
ORBIT_API void orbit_job_init(orbit_job *job);

/* Where jobs come from. `next` fills `job` (initialised, and what it points to stays until the next call) and returns
 * ORBIT_OK; ORBIT_ENTRY_FAILED with `error` when something that was to become a job could not be read (`from` and `to`
 * as far as they are known): it comes out as a failed result; ORBIT_END; or a negative status: no more jobs, and what
 * orbit_transfer_next() returns when those that were begun have ended. It may block for long: it is called on a thread
 * of its own. `stop` (nullable) is called from another thread when a blocked `next` should return soon. `close`
 * (nullable) is called exactly once, whatever happens, after the last `next`. */
typedef struct orbit_job_source {
    orbit_status (*next)(void *ctx, orbit_job *job, orbit_error *error);
    void (*stop)(void *ctx);
    void (*close)(void *ctx);
    void *ctx;
} orbit_job_source;

/* Ready-made sources; the strings are copied. Give them to a transfer, or call their `close`.
 * One job. */
ORBIT_API orbit_status orbit_jobs_one(orbit_job_source *jobs, const orbit_job *job, orbit_error *error);
/* All that is below the directory or prefix `from`, read through a lister as it is needed; each keeps its path below
 * `to`. `list` (nullable) says what is listed; it is recursive in any case. For removals `to` is not used, and
 * directories stay: orbit_remove() takes empty trees. A name that could leave `to` (with a ".." or an empty component)
 * is a failed result where the target is a file system. */
ORBIT_API orbit_status orbit_jobs_tree(orbit_job_source *jobs, uint32_t operation, orbit_backend *from_backend,
                                       const char *from, orbit_backend *to_backend, const char *to,
                                       const orbit_list_options *list, orbit_error *error);
/* One job a name that `names` holds, below `from` and `to` ("": the roots), each ended by `delimiter` ('\n' or '\0';
 * the last one need not be). Names are bytes, taken as they are; empty ones are passed over, one that is longer than
 * 64 KiB is a failed result. `names` is a function, a descriptor, memory or a path. */
ORBIT_API orbit_status orbit_jobs_names(orbit_job_source *jobs, uint32_t operation, orbit_backend *from_backend,
                                        const char *from, orbit_backend *to_backend, const char *to, orbit_source names,
                                        char delimiter, orbit_error *error);

/* What came of a job. */
typedef enum orbit_job_outcome {
    ORBIT_JOB_DONE = 0,
    ORBIT_JOB_KEPT,     /* what stands at the target stays, as the options say */
    ORBIT_JOB_LEFT_OUT, /* the target cannot hold such a thing: a symbolic link, a device */
    ORBIT_JOB_FAILED
} orbit_job_outcome;

/* Borrowed until the next call on the transfer. */
typedef struct orbit_transfer_result {
    size_t size;
    uint32_t operation, outcome;
    orbit_backend *from_backend, *to_backend;
    const char *from, *to; /* "" where there is none */
    void *ctx;
    uint32_t kind;                  /* orbit_kind of the source, if known */
    uint64_t bytes;                 /* of the object; ORBIT_SIZE_UNKNOWN */
    const orbit_metadata *metadata; /* what the target's store said; nullable */
    bool copied;                    /* a failed move: the target is complete, the source is still there */
} orbit_transfer_result;
#define ORBIT_TRANSFER_RESULT_INIT                                         \
    {                                                                      \
        sizeof(orbit_transfer_result), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false \
    }

/* Counts so far. Bytes of jobs that run count as they move. */
typedef struct orbit_transfer_totals {
    size_t size;
    uint64_t found;                        /* jobs taken from the source */
    uint64_t done, kept, left_out, failed; /* jobs that ended */
    uint64_t bytes_done, bytes_total;      /* bytes_total: of the jobs found so far whose size is known */
    bool sizes_known, all_found;           /* bytes_total is final when both are true */
} orbit_transfer_totals;
#define ORBIT_TRANSFER_TOTALS_INIT                                       \
    {                                                                    \
        sizeof(orbit_transfer_totals), 0, 0, 0, 0, 0, 0, 0, false, false \
    }

/* Called now and then (at most ten times a second, and once at the end) on the thread that drives the loop. */
typedef void orbit_transfer_progress(void *ctx, const orbit_transfer_totals *totals);
/* One result: status is ORBIT_OK, or ORBIT_ENTRY_FAILED with `error`. */
typedef void orbit_transfer_each(void *ctx, const orbit_transfer_result *result, orbit_status status,
                                 const orbit_error *error);

typedef struct orbit_transfer_options {
    size_t size;
    uint32_t concurrency;   /* jobs in flight; 0: 16, and more (up to 64) where the way is long and that helps */
    uint32_t jobs_held_max; /* queued, running, and ended but not taken; 0: 4,096 */
    bool no_clobber;        /* keep what stands at the target */
    bool if_size_differ;    /* only where the sizes differ … */
    bool if_source_newer;   /* … or the source is newer; with both: either */
    bool preserve;          /* as ORBIT_JOB_PRESERVE, for all jobs */
    bool missing_ok;        /* removals: nothing there is success (jobs with metadata were there a moment ago) */
    bool dry_run;           /* looks at targets as the options above need it, and changes nothing */
    /* How objects are read and written; nullable. Its time limit is one for each job; parents are created as its
     * `write` says. Cancel tokens and progress in it are not used. */
    const orbit_copy_options *copy;
    orbit_cancel *cancel;
    orbit_transfer_progress *progress;
    void *progress_ctx;
    orbit_transfer_each *each; /* orbit_transfer_run() and _start(): gets the results */
    void *each_ctx;
    void (*ready)(void *ctx); /* set: use the try_ calls; called once after each ORBIT_AGAIN, on the loop's thread */
    void *ready_ctx;
} orbit_transfer_options;
#ifndef __cplusplus
#define ORBIT_TRANSFER_OPTIONS_INIT            \
    {                                          \
        .size = sizeof(orbit_transfer_options) \
    }
#endif
ORBIT_API void orbit_transfer_options_init(orbit_transfer_options *options);

typedef struct orbit_transfer orbit_transfer;

/* Begins. `jobs` NULL: they come by orbit_transfer_add(). A source given here is closed even when this fails. The
 * transfer is closed before its client. */
ORBIT_API orbit_status orbit_transfer_open(orbit_transfer **transfer, orbit_client *client,
                                           const orbit_job_source *jobs, const orbit_transfer_options *options,
                                           orbit_error *error);
/* Adds a job, waiting for room; results must be taken meanwhile, by another thread, or nothing moves. Any thread but a
 * callback's. When the transfer has failed or was cancelled: its status. */
ORBIT_API orbit_status orbit_transfer_add(orbit_transfer *transfer, const orbit_job *job, orbit_error *error);
/* ORBIT_AGAIN when there is no room: take results first. Any thread. */
ORBIT_API orbit_status orbit_transfer_try_add(orbit_transfer *transfer, const orbit_job *job, orbit_error *error);
/* No more will be added. */
ORBIT_API void orbit_transfer_end(orbit_transfer *transfer);

/* The next result: ORBIT_OK; ORBIT_ENTRY_FAILED with `error`; ORBIT_END when all jobs have ended; negative: final.
 * Waits; one thread at a time. */
ORBIT_API orbit_status orbit_transfer_next(orbit_transfer *transfer, orbit_transfer_result *result, orbit_error *error);
ORBIT_API orbit_status orbit_transfer_try_next(orbit_transfer *transfer, orbit_transfer_result *result,
                                               orbit_error *error);
/* Any thread. orbit_transfer_current() copies the path of the job that has run longest, "" for none, cut to `room`. */
ORBIT_API orbit_status orbit_transfer_get_totals(orbit_transfer *transfer, orbit_transfer_totals *totals);
ORBIT_API void orbit_transfer_current(orbit_transfer *transfer, char *path, size_t room);
/* Cancels what has not ended, waits for it, frees. NULL is fine. Not from a callback. */
ORBIT_API void orbit_transfer_close(orbit_transfer *transfer);

/* All of it in one call; results go to options->each, on the calling thread. Failed jobs are no failure of the call:
 * `totals` (nullable) has their number. */
ORBIT_API orbit_status orbit_transfer_run(orbit_client *client, const orbit_job_source *jobs,
                                          const orbit_transfer_options *options, orbit_transfer_totals *totals,
                                          orbit_error *error);
/* The same without blocking: options->each is called on the thread that drives the loop and must not block; `totals`
 * (nullable) lives until the task is done. */
ORBIT_API orbit_status orbit_transfer_start(orbit_task **task, orbit_client *client, const orbit_job_source *jobs,
                                            const orbit_transfer_options *options, orbit_transfer_totals *totals,
                                            orbit_task_done *done, void *ctx, orbit_error *error);

ORBIT_END_DECLS

#endif
