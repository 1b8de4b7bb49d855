/* SPDX-License-Identifier: Apache-2.0
 * One call: attempts of one operation until it is done, final, or patience is at its end. When to try again is
 * decided in retry.c, how fast calls may start in pace.c; parts, ranges and memory are their owners' matter.
 * Loop thread only. */
#include "engine/call.h"

#include <assert.h>

#include "base/clock.h"
#include "engine/pace.h"
#include "engine/retry.h"

static struct orb_call *call_of(struct orb_op *op)
{
    return (struct orb_call *)((char *)op - offsetof(struct orb_call, op));
}

/* The owner may free or restart the call in done(): the error is handed over in a place of its own. */
static void finish(struct orb_call *call, orbit_status status)
{
    call->active = false;
    if (status >= 0) {
        call->done(call, status, NULL);
        return;
    }
    orbit_error error = call->op.error;
    call->done(call, status, &error);
}

static void finish_cancelled(struct orb_call *call)
{
    finish(call, orb_fail(&call->op.error, ORBIT_E_CANCELLED, 0, "cancelled"));
}

/* ---- one attempt --------------------------------------------------------------------------------- */

static void op_done(struct orb_op *op);

static void watch(void *ctx)
{
    struct orb_call *call = ctx;
    call->timer = NULL;
    uint64_t progress = atomic_load(&call->op.progress);
    bool alive = atomic_exchange(&call->alive, false) || progress != call->op_progress;
    call->op_progress = progress;
    if (alive) {
        call->timer =
            orb_timer_start(call->op.backend->host->loop, call->op.backend->options.retry_deadline_ms, watch, call);
        return;
    }
    call->expired = true;
    orb_op_cancel(&call->op);
}

static void launch(struct orb_call *call)
{
    struct orb_backend *backend = call->op.backend;
    call->attempt++;
    call->attempt_ns = orb_now_ns();
    call->progress_ns += call->attempt_ns - call->entered_ns; /* time in the pacer's queue is nobody's fault */
    call->expired = false;
    call->op_progress = 0;
    atomic_store(&call->moved, false);
    atomic_store(&call->alive, false);
    atomic_fetch_add(&backend->host->operations, 1);
    orb_op_begin(&call->op, backend, op_done);
    call->op.op.deadline_ns = UINT64_MAX;
    if (call->watched && !backend->caps.no_retry && backend->options.retry_deadline_ms) {
        call->op.op.deadline_ns = call->attempt_ns + backend->options.retry_deadline_ms * ORB_MS;
        call->timer = orb_timer_start(backend->host->loop, backend->options.retry_deadline_ms, watch, call);
    }
    call->start(call);
}

static void enter(struct orb_call *call)
{
    struct orb_pace *pace = call->op.backend->caps.no_retry ? NULL : orb_pace_of(call->op.backend);
    if (!pace || orb_pace_enter(pace, call, launch, call->entered_ns))
        launch(call);
}

/* ---- between attempts ---------------------------------------------------------------------------- */

static void waited(void *ctx)
{
    struct orb_call *call = ctx;
    call->timer = NULL;
    call->waiting = false;
    atomic_fetch_add(&call->op.backend->host->retries, 1);
    call->entered_ns = orb_now_ns();
    enter(call);
}

static bool decide(struct orb_call *call, struct orb_pace *pace, uint64_t now_ns, uint64_t *wait_ms)
{
    const struct orb_backend *backend = call->op.backend;
    if (backend->caps.no_retry)
        return false;
    if (atomic_load(&call->moved)) {
        call->progress_ns = now_ns;
        call->attempt = 1;
        call->connects = 0;
        call->checksum_failed = false;
    }
    struct orb_retry retry = {call->attempt, call->connects, call->connect_ns, call->progress_ns,
                              call->checksum_failed};
    const struct orb_retry_limits limits = {backend->options.retry_attempts, backend->options.retry_deadline_ms,
                                            pace && orb_pace_has_answered(pace)};
    bool again =
        orb_retry_decide(&retry, &limits, &call->op.error, call->again != NULL, now_ns, orb_random_u64(), wait_ms);
    call->connects = retry.connects;
    call->connect_ns = retry.connect_ns;
    call->checksum_failed = retry.checksum_failed;
    return again && (!call->again || call->again(call, &call->op.error));
}

static void hear(struct orb_call *call, struct orb_pace *pace, orbit_status status, uint64_t now_ns)
{
    if (status < 0 && (call->op.error.flags & ORBIT_ERROR_THROTTLED)) {
        atomic_fetch_add(&call->op.backend->host->throttled, 1);
        if (pace)
            orb_pace_throttled(pace, call->attempt_ns, now_ns);
        return;
    }
    bool silent = status == ORBIT_E_CONNECT || status == ORBIT_E_TIMEOUT || status == ORBIT_E_NETWORK ||
                  status == ORBIT_E_CANCELLED || status == ORBIT_E_MEMORY;
    if (pace && !silent && !(call->quiet && status >= 0))
        orb_pace_answered(pace, now_ns);
}

static void op_done(struct orb_op *op)
{
    struct orb_call *call = call_of(op);
    struct orb_backend *backend = op->backend;
    orb_timer_cancel(call->timer);
    call->timer = NULL;

    orbit_status status = op->status;
    if (status >= 0 && call->judge)
        status = call->judge(call, status, &op->error);
    struct orb_pace *pace = backend->caps.no_retry ? NULL : orb_pace_of(backend);
    uint64_t now_ns = orb_now_ns();
    hear(call, pace, status, now_ns);
    if (status >= 0) {
        finish(call, status);
        return;
    }
    if (call->cancelled) {
        finish_cancelled(call);
        return;
    }
    if (call->expired) {
        finish(call, orb_fail(&op->error, ORBIT_E_TIMEOUT, 0, "no sign of life from '%s' for %u s", backend->url,
                              backend->options.retry_deadline_ms / 1000));
        return;
    }

    uint64_t wait_ms = 0;
    if (decide(call, pace, now_ns, &wait_ms)) {
        uint64_t at_least_ms = pace ? orb_pace_retry_ms(pace, now_ns) : 0;
        if (wait_ms < at_least_ms)
            wait_ms = at_least_ms;
        call->timer = orb_timer_start(backend->host->loop, wait_ms, waited, call);
        if (call->timer) {
            orb_log(&backend->host->log, ORBIT_LOG_INFO, "attempt %u failed, next in %u ms: %s", call->attempt,
                    (unsigned)wait_ms, op->error.message);
            call->waiting = true;
            return;
        }
    }
    orb_retry_note(&op->error, call->attempt);
    finish(call, status);
}

/* ---- for the owner ------------------------------------------------------------------------------- */

static void cancelled_while_waiting(struct orb_message *message)
{
    struct orb_call *call = (struct orb_call *)((char *)message - offsetof(struct orb_call, message));
    finish_cancelled(call);
}

void orb_call_start(struct orb_call *call, struct orb_backend *backend, void (*start)(struct orb_call *),
                    void (*done)(struct orb_call *, orbit_status, const orbit_error *), void *ctx)
{
    assert(!call->active);
    call->start = start;
    call->done = done;
    call->ctx = ctx;
    call->op.backend = backend;
    call->timer = NULL;
    call->message.deliver = cancelled_while_waiting;
    call->attempt = 0;
    call->connects = 0;
    call->checksum_failed = false;
    call->entered_ns = call->progress_ns = orb_now_ns();
    call->active = true;
    call->cancelled = call->waiting = call->queued = call->expired = call->quiet = false;
    enter(call);
}

void orb_call_cancel(struct orb_call *call)
{
    if (!call->active || call->cancelled)
        return;
    call->cancelled = true;
    if (call->waiting || call->queued) {
        orb_timer_cancel(call->timer);
        call->timer = NULL;
        if (call->queued)
            orb_pace_withdraw(call->op.backend->pace, call);
        call->waiting = false;
        orb_loop_post(call->op.backend->host->loop, &call->message);
        return;
    }
    orb_op_cancel(&call->op);
}

void orb_call_progressed(struct orb_call *call)
{
    atomic_store_explicit(&call->moved, true, memory_order_relaxed);
    atomic_store_explicit(&call->alive, true, memory_order_relaxed);
}

void orb_call_alive(struct orb_call *call)
{
    atomic_store_explicit(&call->alive, true, memory_order_relaxed);
}

bool orb_call_idle(const struct orb_call *call)
{
    return !call->active;
}
