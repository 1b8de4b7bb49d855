/* SPDX-License-Identifier: Apache-2.0
 * The workers: a queue and threads that start when there is more to do than idle hands. Any thread.
 *
 * Waking a worker is no small matter beside many a job: a small file is written in some 30 µs. Where jobs have lately
 * been that brief, a new one is left to the workers that are busy, who come to the queue before they rest, as long as
 * few wait for each of them. Should they be held up after all (a disk that hangs), an idle worker notices: while jobs
 * run, one of the idle looks at the queue every two milliseconds. */
#include "run/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "run/loop.h"

enum {
    BRIEF_US = 100,
    LATELY = 16,     /* jobs, at most 32 … */
    OTHERS_MAX = 3,  /* … of which this many may be no brief ones */
    WAITING_MAX = 8, /* brief jobs that wait for one busy worker */
    WATCH_MS = 2
};

struct orb_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* something was queued, or the end */
    unsigned workers_max;
    struct {
        struct orb_job *first, **last;
        size_t queued;
        unsigned workers, idle;
        unsigned called; /* idle workers that were signalled and have not come yet */
        uint64_t calls;
        uint32_t lately; /* the last jobs, a bit each: not brief */
        bool watched;    /* an idle worker looks at the queue soon */
        bool ran;        /* some job, since it looked last */
        bool stopping;
        bool borrowed; /* no thread could be started: a submitting thread is running the queue */
    } locked;          /* by mutex */
    pthread_t threads[];
};

orbit_status orb_pool_new(struct orb_pool **made, unsigned workers, orbit_error *error)
{
    if (workers == 0)
        workers = 1;
    struct orb_pool *pool = orb_calloc(1, sizeof(*pool) + workers * sizeof(pthread_t));
    *made = pool;
    if (!pool)
        return orb_fail_memory(error);
    pool->workers_max = workers;
    pool->locked.last = &pool->locked.first;
    pool->locked.lately = UINT32_MAX;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return ORBIT_OK;
}

/* Mutex held; given up while the job runs. */
static void run_first(struct orb_pool *pool)
{
    struct orb_job *job = pool->locked.first;
    pool->locked.first = job->next;
    if (!job->next)
        pool->locked.last = &pool->locked.first;
    pool->locked.queued--;
    pool->locked.ran = true;
    pthread_mutex_unlock(&pool->mutex);
    uint64_t began_ns = orb_now_ns();
    job->run(job);
    bool brief = orb_now_ns() - began_ns < BRIEF_US * ORB_MS / 1000;
    pthread_mutex_lock(&pool->mutex);
    pool->locked.lately = pool->locked.lately << 1 | !brief;
}

/* Mutex held. */
static void rest(struct orb_pool *pool)
{
    bool watch = pool->locked.ran && !pool->locked.watched;
    pool->locked.idle++;
    if (watch) {
        uint64_t until_ns = orb_now_ns() + WATCH_MS * ORB_MS;
        const struct timespec until = {(time_t)(until_ns / ORB_S), (long)(until_ns % ORB_S)};
        pool->locked.watched = true;
        pool->locked.ran = false;
        pthread_cond_timedwait(&pool->work, &pool->mutex, &until);
        pool->locked.watched = false;
    } else {
        pthread_cond_wait(&pool->work, &pool->mutex);
    }
    pool->locked.idle--;
    if (pool->locked.called)
        pool->locked.called--;
}

static void *worker_main(void *ctx)
{
    struct orb_pool *pool = ctx;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        if (pool->locked.first) {
            run_first(pool);
        } else if (pool->locked.stopping) {
            break;
        } else {
            rest(pool);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Mutex held. More work than idle hands: one more worker, if it may and can be. */
static void hire(struct orb_pool *pool)
{
    if (pool->locked.stopping || pool->locked.workers == pool->workers_max || pool->locked.queued <= pool->locked.idle)
        return;
    if (orb_thread_start(&pool->threads[pool->locked.workers], "orbit-worker", worker_main, pool) == 0)
        pool->locked.workers++;
}

/* Mutex held. Who is busy, or on the way, will come to what is queued soon enough. */
static bool leave_to_the_busy(const struct orb_pool *pool)
{
    unsigned busy = pool->locked.workers - pool->locked.idle + pool->locked.called;
    return pool->locked.watched && pool->locked.queued <= (size_t)busy * WAITING_MAX &&
           __builtin_popcount(pool->locked.lately & ((1u << LATELY) - 1)) <= OTHERS_MAX;
}

void orb_pool_submit(struct orb_pool *pool, struct orb_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&pool->mutex);
    *pool->locked.last = job;
    pool->locked.last = &job->next;
    pool->locked.queued++;
    bool left = leave_to_the_busy(pool);
    if (!left)
        hire(pool);
    /* One call for one job, and none where nobody is idle: who is busy looks at the queue before it sleeps. */
    bool call = !left && pool->locked.idle > pool->locked.called;
    if (call) {
        pool->locked.called++;
        pool->locked.calls++;
    } else if (!pool->locked.workers && !pool->locked.borrowed) {
        /* A job that submits itself again from here only queues: no recursion. */
        pool->locked.borrowed = true;
        while (pool->locked.first && !pool->locked.workers)
            run_first(pool);
        pool->locked.borrowed = false;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (call)
        pthread_cond_signal(&pool->work);
}

uint64_t orb_pool_calls(struct orb_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint64_t calls = pool->locked.calls;
    pthread_mutex_unlock(&pool->mutex);
    return calls;
}

void orb_pool_free(struct orb_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->locked.stopping = true;
    pthread_cond_broadcast(&pool->work);
    unsigned workers = pool->locked.workers;
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    orb_free(pool);
}
