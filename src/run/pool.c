/* SPDX-License-Identifier: Apache-2.0
 * The workers: a queue and threads that start when there is more to do than idle hands. Any thread. */
#include "run/pool.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/mem.h"
#include "run/loop.h"

struct orb_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* something was queued, or the end */
    unsigned workers_max;
    struct {
        struct orb_job *first, **last;
        size_t queued;
        unsigned workers, idle;
        unsigned called; /* idle workers that were signalled and have not come yet */
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
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
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
    pthread_mutex_unlock(&pool->mutex);
    job->run(job);
    pthread_mutex_lock(&pool->mutex);
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
            pool->locked.idle++;
            pthread_cond_wait(&pool->work, &pool->mutex);
            pool->locked.idle--;
            if (pool->locked.called)
                pool->locked.called--;
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

void orb_pool_submit(struct orb_pool *pool, struct orb_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&pool->mutex);
    *pool->locked.last = job;
    pool->locked.last = &job->next;
    pool->locked.queued++;
    hire(pool);
    /* One call for one job, and none where nobody is idle: who is busy looks at the queue before it sleeps. */
    bool call = pool->locked.idle > pool->locked.called;
    if (call) {
        pool->locked.called++;
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
