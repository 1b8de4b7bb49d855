/* SPDX-License-Identifier: Apache-2.0
 * An operation's way through the contract: start, head, done, cancel and runs on workers. Owns the rule that an
 * operation ends once, on the loop, with nothing of it still running. */
#include <assert.h>
#include <string.h>

#include "backend/backend.h"

/* op->run_state. A run that is asked for while one is running follows it. Done is told to the loop by whoever
 * finds that nothing runs any more: the worker's last touch of the operation comes before its owner may free
 * it. */
enum {
    RUNNING = 1, /* the job is queued or its work is running */
    AGAIN = 2,   /* another run was asked for meanwhile */
    ENDING = 4,  /* somebody is inside orbit_op_done(): it is over for the backend */
    DONE = 8     /* status and error are filled */
};

static struct orb_op *op_of(orbit_op *op)
{
    return (struct orb_op *)(void *)((char *)op - offsetof(struct orb_op, op));
}

static struct orb_op *op_of_message(struct orb_message *message, size_t offset)
{
    return (struct orb_op *)(void *)((char *)message - offset);
}

static void deliver_done(struct orb_message *message)
{
    struct orb_op *op = op_of_message(message, offsetof(struct orb_op, done_message));
    op->running = false;
    op->on_done(op); /* may free it, or start it again */
}

static void deliver_head(struct orb_message *message)
{
    struct orb_op *op = op_of_message(message, offsetof(struct orb_op, head_message));
    if (op->on_head)
        op->on_head(op);
}

/* A run is over: another one follows, or the loop hears of the end. */
static void run_over(struct orb_op *op)
{
    int state = atomic_load(&op->run_state);
    int next;
    do {
        next = state & ~AGAIN;
        if ((state & ENDING) || !(state & AGAIN))
            next &= ~RUNNING;
    } while (!atomic_compare_exchange_weak(&op->run_state, &state, next));
    if (next & RUNNING)
        orb_pool_submit(op->backend->host->pool, &op->job);
    else if (next & DONE)
        orb_loop_post(op->backend->host->loop, &op->done_message);
}

static void run_job(struct orb_job *job)
{
    struct orb_op *op = (struct orb_op *)(void *)((char *)job - offsetof(struct orb_op, job));
    /* Ended while it waited in the queue: no run. */
    if (!(atomic_load(&op->run_state) & ENDING))
        atomic_load (&op->work)(op->backend->self, &op->op);
    run_over(op);
}

void orb_op_begin(struct orb_op *op, struct orb_backend *backend, void (*on_done)(struct orb_op *op))
{
    assert(!op->running);
    op->op = (orbit_op){.deadline_ns = UINT64_MAX};
    op->backend = backend;
    op->on_done = on_done;
    op->status = ORBIT_OK;
    orb_error_clear(&op->error);
    op->done_message = (struct orb_message){NULL, deliver_done};
    op->head_message = (struct orb_message){NULL, deliver_head};
    op->job = (struct orb_job){NULL, run_job};
    op->head_asked = false;
    atomic_store(&op->cancelled, false);
    atomic_store(&op->progress, 0);
    atomic_store(&op->silent_ns, 0);
    atomic_store(&op->work, NULL);
    atomic_store(&op->run_state, 0);
    op->running = true;
}

void orb_op_cancel(struct orb_op *op)
{
    if (!op->running || atomic_exchange(&op->cancelled, true))
        return;
    /* Over for the backend already: what it keeps in op->state may be gone. */
    if (atomic_load(&op->run_state) & ENDING)
        return;
    if (op->backend->ops->cancel)
        op->backend->ops->cancel(op->backend->self, &op->op);
}

void orbit_op_done(orbit_op *public_op, orbit_status status, const orbit_error *error)
{
    struct orb_op *op = op_of(public_op);
    int state = atomic_fetch_or(&op->run_state, ENDING);
    assert(!(state & ENDING) && "an operation ends once");
    if (state & ENDING)
        return;
    op->status = status;
    if (status < 0 && error && (error->status || error->message[0])) {
        orb_error_copy(&op->error, error);
        op->error.status = status;
    } else if (status < 0) {
        orb_fail(&op->error, status, 0, "%s", orbit_status_text(status));
    }
    /* Inside a run, the end of the run tells. */
    state = atomic_fetch_or(&op->run_state, DONE);
    if (!(state & RUNNING) && !op->synchronous)
        orb_loop_post(op->backend->host->loop, &op->done_message);
}

void orbit_op_head(orbit_op *public_op)
{
    struct orb_op *op = op_of(public_op);
    assert(!op->head_asked && "a head is told once");
    if (op->head_asked)
        return;
    op->head_asked = true;
    orb_loop_post(op->backend->host->loop, &op->head_message); /* before done: the queue keeps the order */
}

bool orbit_op_cancelled(const orbit_op *public_op)
{
    const struct orb_op *op =
        (const struct orb_op *)(const void *)((const char *)public_op - offsetof(struct orb_op, op));
    return atomic_load(&op->cancelled);
}

void orbit_op_progress(orbit_op *op, uint64_t bytes)
{
    atomic_fetch_add_explicit(&op_of(op)->progress, bytes, memory_order_relaxed);
}

void orbit_op_silent(orbit_op *op, uint64_t since_ns)
{
    atomic_store_explicit(&op_of(op)->silent_ns, since_ns, memory_order_relaxed);
}

void orbit_op_run(orbit_op *public_op, void (*work)(void *self, orbit_op *op))
{
    struct orb_op *op = op_of(public_op);
    if (op->synchronous) {
        work(op->backend->self, public_op);
        return;
    }
    int state = atomic_load(&op->run_state);
    int next;
    do {
        if (state & ENDING) /* resumed when it was over already */
            return;
        next = state & RUNNING ? state | AGAIN : state | RUNNING;
        atomic_store(&op->work, work);
    } while (!atomic_compare_exchange_weak(&op->run_state, &state, next));
    if (!(state & RUNNING))
        orb_pool_submit(op->backend->host->pool, &op->job);
}

bool orbit_op_enter(orbit_op *public_op)
{
    struct orb_op *op = op_of(public_op);
    int idle = 0;
    return !op->synchronous && atomic_compare_exchange_strong(&op->run_state, &idle, RUNNING);
}

void orbit_op_leave(orbit_op *public_op)
{
    run_over(op_of(public_op));
}
