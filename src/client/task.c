/* SPDX-License-Identifier: Apache-2.0
 * The life of a task: launched from any thread, started, stopped and ended on the loop, freed when the loop,
 * the owner and a cancel message under way have all let go of it. What it does is its kind's matter. */
#include "client/task.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/backends.h"

#define PROGRESS_EVERY_NS (100 * ORB_MS)

static void release(struct orbit_task *task)
{
    orb_gate_release(&task->gate);
    task->kind->release(task);
}

void orb_task_discard(struct orbit_task *task)
{
    release(task);
}

/* Locked on entry, unlocked or gone on return. */
static void let_go(struct orbit_task *task)
{
    bool last = --task->references == 0;
    orb_gate_unlock(&task->gate);
    if (last)
        release(task);
}

void *orb_task_new(size_t bytes, const struct orb_task_kind *kind, struct orbit_client *client, orbit_error *error)
{
    struct orbit_task *task = orb_calloc(1, bytes);
    if (!task) {
        orb_fail_memory(error);
        return NULL;
    }
    task->kind = kind;
    task->client = client;
    task->tally.whole = &client->host.tally;
    task->pid = client->pid;
    orb_gate_init(&task->gate, client);
    atomic_init(&task->bytes_total, ORBIT_SIZE_UNKNOWN);
    return task;
}

/* ---- on the loop --------------------------------------------------------------------------------- */

static void stop(struct orbit_task *task, orbit_status status)
{
    if (task->stopping)
        return;
    task->stopping = status;
    if (task->kind->stop)
        task->kind->stop(task, status);
}

static void scope_stopped(void *ctx, orbit_status status)
{
    stop(ctx, status);
}

/* It ends before it began: nothing may have happened. `error` nullable. */
static void refuse(struct orbit_task *task, orbit_status status, const orbit_error *error)
{
    if (task->kind->refused)
        task->kind->refused(task, status, error);
    else
        orb_task_end(task, status, error);
}

static void start_delivered(struct orb_message *message)
{
    struct orbit_task *task = (struct orbit_task *)((char *)message - offsetof(struct orbit_task, start_message));
    struct orbit_client *client = task->client;
    task->next = client->running;
    task->link = &client->running;
    if (task->next)
        task->next->link = &task->next;
    client->running = task;

    orbit_error error;
    orbit_status status =
        orb_scope_open(&task->scope, client->loop, task->timeout_ms, task->cancel, scope_stopped, task, &error);
    if (status < 0)
        refuse(task, status, &error);
    else if (task->scope.at_once)
        refuse(task, ORBIT_E_CANCELLED, NULL);
    else
        task->kind->start(task);
}

static void cancel_delivered(struct orb_message *message)
{
    struct orbit_task *task = (struct orbit_task *)((char *)message - offsetof(struct orbit_task, cancel_message));
    /* `ended` is written on this thread only. */
    if (!task->ended)
        stop(task, ORBIT_E_CANCELLED);
    orb_gate_lock(&task->gate);
    let_go(task);
}

static void leave_running(struct orbit_task *task)
{
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
}

void orb_task_end(struct orbit_task *task, orbit_status status, const orbit_error *error)
{
    orb_scope_close(&task->scope);
    leave_running(task);

    orbit_error told;
    orb_error_clear(&told);
    if (status == ORBIT_E_CANCELLED && task->stopping == ORBIT_E_TIMEOUT)
        status = orb_fail(&told, ORBIT_E_TIMEOUT, 0, "%s did not end within its %u ms", task->kind->name,
                          (unsigned)task->timeout_ms);
    else if (status < 0 && error)
        told = *error;
    else if (status < 0)
        orb_fail(&told, status, 0, "%s: %s", task->kind->name, orbit_status_text(status));

    orb_gate_lock(&task->gate);
    task->status = status;
    task->error = told;
    task->ended = true;
    orb_gate_unlock(&task->gate);
    for (unsigned i = 0; i < 2; i++)
        if (task->holds[i])
            orb_backend_drop_stoppable(task->holds[i]);
    if (task->done)
        task->done(task->ctx, task, status, status < 0 ? &told : NULL);

    orb_gate_lock(&task->gate);
    task->finished = true;
    orb_gate_signal(&task->gate);
    let_go(task);
}

void orb_task_moved(struct orbit_task *task, uint64_t done, uint64_t total, bool last)
{
    atomic_store_explicit(&task->bytes_done, done, memory_order_relaxed);
    atomic_store_explicit(&task->bytes_total, total, memory_order_relaxed);
    if (!task->progress.function)
        return;
    uint64_t now_ns = orb_now_ns();
    if (!last && now_ns - task->progress_ns < PROGRESS_EVERY_NS)
        return;
    task->progress_ns = now_ns;
    task->progress.function(task->progress.ctx, done, total);
}

bool orb_task_stop_some(struct orbit_client *client, const struct orbit_backend *backend)
{
    for (struct orbit_task *task = client->running; task; task = task->next) {
        if (task->stopping || (task->holds[0] != backend && task->holds[1] != backend))
            continue;
        stop(task, ORBIT_E_CANCELLED); /* may end it, and others: the list is looked at anew */
        return true;
    }
    return false;
}

/* ---- from the caller's thread -------------------------------------------------------------------- */

static orbit_status launch(struct orbit_task *task, struct orbit_task **handle, orbit_task_done *done, void *ctx,
                           bool blocking, orbit_error *error)
{
    if (handle)
        *handle = NULL;
    orbit_status status = orb_client_check(task->client, task->kind->name, blocking, error);
    if (status < 0) {
        release(task);
        return status;
    }
    task->done = done;
    task->ctx = ctx;
    task->references = handle ? 2 : 1;
    task->start_message.deliver = start_delivered;
    task->cancel_message.deliver = cancel_delivered;
    for (unsigned i = 0; i < 2; i++)
        if (task->holds[i])
            orb_backend_hold_stoppable(task->holds[i]);
    if (handle)
        *handle = task; /* before `done` can fire */
    orb_loop_post(task->client->loop, &task->start_message);
    return ORBIT_OK;
}

orbit_status orb_task_launch(struct orbit_task *task, struct orbit_task **handle, orbit_task_done *done, void *ctx,
                             orbit_error *error)
{
    return launch(task, handle, done, ctx, false, error);
}

static orbit_status wait_finished(struct orbit_task *task, orbit_error *error)
{
    orb_gate_lock(&task->gate);
    while (!task->finished)
        orb_gate_wait(&task->gate);
    orbit_status status = task->status;
    if (status < 0)
        orb_error_copy(error, &task->error);
    orb_gate_unlock(&task->gate);
    return status;
}

orbit_status orb_task_run(struct orbit_task *task, orbit_error *error)
{
    struct orbit_task *handle;
    orbit_status status = launch(task, &handle, NULL, NULL, true, error);
    if (status < 0)
        return status;
    status = wait_finished(handle, error);
    orb_gate_lock(&handle->gate);
    let_go(handle);
    return status;
}

/* Looked at before the gate: at the fork, another thread may have held it. */
static bool is_forked(const struct orbit_task *task)
{
    return task->pid != getpid();
}

static void cancel_locked(struct orbit_task *task)
{
    if (task->ended || task->cancelling)
        return;
    task->cancelling = true;
    task->references++;
    orb_loop_post(task->client->loop, &task->cancel_message);
}

void orbit_task_cancel(orbit_task *task)
{
    if (!task || is_forked(task))
        return;
    orb_gate_lock(&task->gate);
    cancel_locked(task);
    orb_gate_unlock(&task->gate);
}

orbit_status orbit_task_wait(orbit_task *task, orbit_error *error)
{
    if (!task)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_task_wait() without a task");
    if (is_forked(task))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_task_wait() in a forked child: the task is the parent's");
    orb_gate_lock(&task->gate);
    bool finished = task->finished;
    orb_gate_unlock(&task->gate);
    if (!finished) { /* else the client may be gone already */
        orbit_status status = orb_client_check(task->client, "orbit_task_wait", true, error);
        if (status < 0)
            return status;
    }
    return wait_finished(task, error);
}

void orbit_task_progress(const orbit_task *task, uint64_t *done, uint64_t *total)
{
    if (done)
        *done = task ? atomic_load_explicit(&task->bytes_done, memory_order_relaxed) : 0;
    if (total)
        *total = task ? atomic_load_explicit(&task->bytes_total, memory_order_relaxed) : ORBIT_SIZE_UNKNOWN;
}

orbit_status orbit_task_get_stats(const orbit_task *task, orbit_stream_stats *stats)
{
    if (!task)
        return ORBIT_E_MISUSE;
    return orb_tally_tell(&task->tally, atomic_load_explicit(&task->bytes_done, memory_order_relaxed), stats);
}

/* In a callback nobody can wait: a task that has not ended is cancelled and frees itself. */
void orbit_task_free(orbit_task *task)
{
    if (!task || is_forked(task)) /* the loop that would end it is not here */
        return;
    orb_gate_lock(&task->gate);
    if (!task->finished) {
        cancel_locked(task);
        if (!orb_loop_is_current(task->client->loop))
            while (!task->finished)
                orb_gate_wait(&task->gate);
    }
    let_go(task);
}
