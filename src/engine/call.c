/* SPDX-License-Identifier: Apache-2.0
 * One call: attempts of one operation until it is done, final, or patience is at its end. When to try again is
 * decided in retry.c, when calls may start in flow.c; parts, ranges and memory are their owners' matter.
 * Loop thread only. */
#include "engine/call.h"

#include <assert.h>

#include "base/clock.h"
#include "engine/retry.h"

enum { WORTH_SHARE = 16, WORTH_MOST = 1 << 20 }; /* see renew() */

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

/* ---- who looks on -------------------------------------------------------------------------------- */

static void trace(const struct orb_call *call, orbit_trace_event *event)
{
    const struct orb_backend *backend = call->op.backend;
    event->size = sizeof *event;
    event->request = call->request;
    event->call = call->number;
    event->attempt = call->attempt;
    event->backend = backend->ops->name;
    event->url = backend->url;
    event->path = call->path;
    event->started_ns = call->attempt_ns;
    backend->host->trace.function(backend->host->trace.ctx, event);
}

static struct orb_tally *tally_of(const struct orb_call *call)
{
    return orb_host_tally(call->op.backend->host, call->tally);
}

static void tell_started(const struct orb_call *call)
{
    struct orbit_host *host = call->op.backend->host;
    orbit_trace_event event = {.point = ORBIT_TRACE_STARTED};
    ORB_TALLY_ADD(tally_of(call), attempts[call->request], 1);
    if (host->trace.function)
        trace(call, &event);
}

/* Before the owner hears of it: its path is still there. */
static void tell_ended(const struct orb_call *call, orbit_status status, uint64_t now_ns, bool again, uint64_t wait_ms)
{
    if (!call->op.backend->host->trace.function)
        return;
    orbit_trace_event event = {.point = ORBIT_TRACE_ENDED,
                               .status = status,
                               .error = status < 0 ? &call->op.error : NULL,
                               .duration_ns = now_ns - call->attempt_ns,
                               .again = again,
                               .wait_ms = wait_ms};
    trace(call, &event);
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
    call->progress_ns += call->attempt_ns - call->entered_ns; /* time in the endpoint's queue is nobody's fault */
    call->expired = call->hurried = false;
    call->op_progress = 0;
    atomic_store(&call->moved, false);
    atomic_store(&call->alive, false);
    atomic_store(&call->first_ns, 0);
    orb_tally_begun(tally_of(call));
    orb_op_begin(&call->op, backend, op_done);
    call->op.op.deadline_ns = UINT64_MAX;
    if (call->watched && !backend->caps.no_retry && backend->options.retry_deadline_ms) {
        call->op.op.deadline_ns = call->attempt_ns + backend->options.retry_deadline_ms * ORB_MS;
        call->timer = orb_timer_start(backend->host->loop, backend->options.retry_deadline_ms, watch, call);
    }
    orb_call_names(call, ORBIT_REQUEST_OTHER, NULL);
    call->start(call);
    tell_started(call);
}

static void enter(struct orb_call *call)
{
    call->flow = orb_flow_of(call->op.backend);
    if (!call->flow || orb_flow_enter(call->flow, call, launch, call->entered_ns))
        launch(call);
}

/* ---- between attempts ---------------------------------------------------------------------------- */

static void waited(void *ctx)
{
    struct orb_call *call = ctx;
    call->timer = NULL;
    call->waiting = false;
    ORB_TALLY_ADD(tally_of(call), retries, 1);
    call->entered_ns = orb_now_ns();
    enter(call);
}

/* Attempts are there for what stands still, so what moves gets new ones: a download over a bad line may be cut any
 * number of times. But a store that gives a thousand bytes and hangs up makes a call of 8 MiB last for eight
 * thousand attempts, each after its wait, which is hours of what --retry-count was to end. So progress has to be
 * worth an attempt: what came since the count last began, over all attempts since, is a 16th of the call's bytes or
 * a MiB, whichever is less. Then no call has more than 16 times its attempts (or one time a MiB), while the bad line
 * need bring only a 16th with all attempts together: with ten of them 50 KiB each time of a range of 8 MiB. Time is
 * not looked at: what is slow without breaking off uses up no attempt, and is for the stall time-out to judge. */
static void renew(struct orb_call *call, uint64_t now_ns)
{
    if (!atomic_load(&call->moved))
        return;
    call->progress_ns = now_ns;
    call->connects = 0;
    call->worth_known = true;
    if (atomic_load(&call->gained) < call->worth)
        return;
    atomic_store(&call->gained, 0);
    call->attempt = 1;
    call->checksum_failed = false;
}

static bool decide(struct orb_call *call, uint64_t now_ns, uint64_t *wait_ms)
{
    const struct orb_backend *backend = call->op.backend;
    if (backend->caps.no_retry)
        return false;
    renew(call, now_ns);
    struct orb_retry retry = {call->attempt, call->connects, call->connect_ns, call->progress_ns,
                              call->checksum_failed};
    const struct orb_retry_limits limits = {backend->options.retry_attempts, backend->options.retry_deadline_ms,
                                            call->flow && orb_flow_has_answered(call->flow)};
    bool again =
        orb_retry_decide(&retry, &limits, &call->op.error, call->again != NULL, now_ns, orb_random_u64(), wait_ms);
    call->connects = retry.connects;
    call->connect_ns = retry.connect_ns;
    call->checksum_failed = retry.checksum_failed;
    return again && (!call->again || call->again(call, &call->op.error));
}

/* What the end of an attempt says about the store; a success that came without asking it says nothing. */
static enum orb_flow_result heard(const struct orb_call *call, orbit_status status)
{
    if (status < 0 && (call->op.error.flags & ORBIT_ERROR_THROTTLED))
        return ORB_FLOW_THROTTLED;
    if (status == ORBIT_E_TIMEOUT)
        return ORB_FLOW_LATE;
    bool silent = status == ORBIT_E_CONNECT || status == ORBIT_E_NETWORK || status == ORBIT_E_CANCELLED ||
                  status == ORBIT_E_MEMORY || (call->quiet && status >= 0);
    return silent ? ORB_FLOW_SILENT : ORB_FLOW_ANSWERED;
}

static void log_again(const struct orb_call *call, uint64_t wait_ms)
{
    const orbit_error *error = &call->op.error;
    orb_log(&call->op.backend->host->log, ORBIT_LOG_INFO, "%s: attempt %u failed, next in %u ms: %s%s%s%s",
            orbit_request_name(call->request), call->attempt, (unsigned)wait_ms, error->message,
            error->request_id[0] ? " (request id " : "", error->request_id, error->request_id[0] ? ")" : "");
}

static orbit_status say_hurried(struct orb_call *call)
{
    orbit_status status =
        orb_fail(&call->op.error, ORBIT_E_TIMEOUT, 0, "no sign of life from '%s' for %.1f s, much longer than is usual",
                 call->op.backend->url, (double)call->silence_ns / (double)ORB_S);
    call->op.error.flags |= ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE;
    return status;
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
    uint64_t now_ns = orb_now_ns();
    if (call->hurried && status == ORBIT_E_CANCELLED && !call->cancelled && !call->expired)
        status = say_hurried(call);
    enum orb_flow_result result = heard(call, status);
    orb_tally_ended(tally_of(call));
    if (result == ORB_FLOW_THROTTLED)
        ORB_TALLY_ADD(tally_of(call), throttled, 1);
    if (call->flow)
        orb_flow_left(call->flow, call, result, now_ns);
    if (status >= 0) {
        tell_ended(call, status, now_ns, false, 0);
        finish(call, status);
        return;
    }
    if (call->cancelled) {
        tell_ended(call, ORBIT_E_CANCELLED, now_ns, false, 0);
        finish_cancelled(call);
        return;
    }
    if (call->expired) {
        tell_ended(call, ORBIT_E_TIMEOUT, now_ns, false, 0);
        finish(call, orb_fail(&op->error, ORBIT_E_TIMEOUT, 0, "no sign of life from '%s' for %u s", backend->url,
                              backend->options.retry_deadline_ms / 1000));
        return;
    }

    uint64_t wait_ms = 0;
    if (decide(call, now_ns, &wait_ms)) {
        if (call->hurried) /* it has waited long enough */
            wait_ms = 0;
        uint64_t at_least_ms = call->flow ? orb_flow_retry_ms(call->flow, now_ns) : 0;
        if (wait_ms < at_least_ms)
            wait_ms = at_least_ms;
        call->timer = orb_timer_start(backend->host->loop, wait_ms, waited, call);
        if (call->timer) {
            log_again(call, wait_ms);
            tell_ended(call, status, now_ns, true, wait_ms);
            call->waiting = true;
            return;
        }
    }
    tell_ended(call, status, now_ns, false, 0);
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
    call->kind = backend->fixed_parallel ? ORB_FLOW_FREE : call->need;
    call->timer = NULL;
    call->message.deliver = cancelled_while_waiting;
    call->number = ++backend->host->calls;
    call->attempt = 0;
    call->connects = 0;
    call->checksum_failed = call->worth_known = false;
    atomic_store(&call->gained, 0);
    call->worth = WORTH_MOST;
    call->entered_ns = call->progress_ns = orb_now_ns();
    call->active = true;
    call->cancelled = call->waiting = call->queued = call->expired = call->hurried = call->quiet = false;
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
            orb_flow_withdraw(call->flow, call);
        call->waiting = false;
        orb_loop_post(call->op.backend->host->loop, &call->message);
        return;
    }
    orb_op_cancel(&call->op);
}

void orb_call_hurry(struct orb_call *call)
{
    call->hurried = true;
    ORB_TALLY_ADD(tally_of(call), hurries, 1);
    orb_op_cancel(&call->op);
}

void orb_call_asks(struct orb_call *call, uint64_t bytes)
{
    uint64_t share = bytes / WORTH_SHARE;
    if (!call->worth_known)
        call->worth = share > WORTH_MOST ? WORTH_MOST : share ? share : 1;
}

void orb_call_progressed(struct orb_call *call, uint64_t bytes)
{
    atomic_fetch_add_explicit(&call->gained, bytes, memory_order_relaxed);
    if (!atomic_exchange_explicit(&call->moved, true, memory_order_relaxed))
        atomic_store_explicit(&call->first_ns, orb_now_ns(), memory_order_relaxed);
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
