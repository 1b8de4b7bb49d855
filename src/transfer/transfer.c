/* SPDX-License-Identifier: Apache-2.0
 * The life of a transfer: options, the thread that reads its source, the task on the loop, and its end. Jobs are
 * schedule.c's and job.c's, the hand-over is handover.c's. */
#include "transfer/transfer.h"

#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "stream/options.h"

#define HELD_MAX       4096u
#define HELD_BYTES_MAX ((uint64_t)8 << 20)
#define PROGRESS_MS    100

void orbit_transfer_options_init(orbit_transfer_options *options)
{
    if (options)
        *options = (orbit_transfer_options)ORBIT_TRANSFER_OPTIONS_INIT;
}

void orbit_job_init(orbit_job *job)
{
    if (job)
        *job = (orbit_job){.size = sizeof(*job), .bytes = ORBIT_SIZE_UNKNOWN};
}

static struct orbit_transfer *transfer_of(struct orb_message *message, size_t offset)
{
    return (struct orbit_transfer *)(void *)((char *)message - offset);
}

/* ---- the thread that reads the source --------------------------------------------------------------- */

static void feed(struct orbit_transfer *transfer)
{
    const orbit_job_source *source = &transfer->source;
    for (;;) {
        orbit_job job;
        orbit_error error = {0};
        orbit_job_init(&job);
        orbit_status status = source->next(source->ctx, &job, &error);
        if (status == ORBIT_END || status < 0) {
            orb_transfer_input_over(transfer, status, &error);
            return;
        }
        status = orb_transfer_put(transfer, &job, status == ORBIT_ENTRY_FAILED ? &error : NULL, true, false, &error);
        if (status < 0) { /* a job that makes no sense ends the transfer; one that was stopped has an error already */
            orb_transfer_put_failed(transfer, &job, &error);
            orb_transfer_input_over(transfer, status, &error);
            return;
        }
    }
}

static void *feeder_main(void *ctx)
{
    struct orbit_transfer *transfer = ctx;
    feed(transfer);
    pthread_mutex_lock(&transfer->source_mutex);
    transfer->source_over = true;
    pthread_mutex_unlock(&transfer->source_mutex);
    if (transfer->source.close)
        transfer->source.close(transfer->source.ctx);
    transfer->source.close = NULL;
    orb_loop_post(transfer->task.client->loop, &transfer->feeder_message);
    return NULL;
}

static void fail_all(struct orb_transfer_jobs *list, orbit_status status, const orbit_error *error)
{
    struct orb_transfer_job *job;
    while ((job = orb_transfer_jobs_pop(list))) {
        if (job->outcome != ORBIT_JOB_FAILED) /* else it has a reason of its own */
            orb_transfer_job_fail(job, status, error);
        orb_transfer_job_ended(job);
    }
}

/* What was not begun has a result, too: whoever added a job gets its ctx back, always. */
static void discard(struct orbit_transfer *transfer, orbit_status status, const orbit_error *error)
{
    struct orb_transfer_jobs added;
    struct orb_transfer_job *job;
    orb_transfer_jobs_init(&added);
    orb_gate_lock(&transfer->gate);
    while ((job = orb_transfer_jobs_pop(&transfer->locked.added)))
        orb_transfer_jobs_push(&added, job);
    orb_gate_unlock(&transfer->gate);
    while ((job = orb_transfer_jobs_pop(&transfer->removals)))
        orb_transfer_job_removed(job, status, error);
    fail_all(&transfer->small, status, error);
    fail_all(&transfer->large, status, error);
    fail_all(&added, status, error);
}

static void feeder_gone(struct orb_message *message)
{
    struct orbit_transfer *transfer = transfer_of(message, offsetof(struct orbit_transfer, feeder_message));
    pthread_join(transfer->feeder, NULL); /* it has nothing left to do */
    if (transfer->stopping) {             /* the last job that it found came too late */
        orbit_error error;
        transfer->pumping = true;
        orb_fail(&error, ORBIT_E_CANCELLED, 0, "the transfer was cancelled");
        discard(transfer, ORBIT_E_CANCELLED, &error);
        transfer->pumping = false;
    }
    transfer->feeding = false;
    orb_transfer_pump(transfer);
}

/* ---- on the loop ------------------------------------------------------------------------------------ */

static void pump_delivered(struct orb_message *message)
{
    struct orbit_transfer *transfer = transfer_of(message, offsetof(struct orbit_transfer, pump_message));
    orb_gate_lock(&transfer->gate);
    transfer->locked.pump_posted = false;
    orb_gate_unlock(&transfer->gate);
    orb_transfer_pump(transfer);
}

static void ready_delivered(struct orb_message *message)
{
    struct orbit_transfer *transfer = transfer_of(message, offsetof(struct orbit_transfer, ready_message));
    orb_gate_lock(&transfer->gate);
    transfer->locked.ready_posted = false;
    orb_gate_unlock(&transfer->gate);
    transfer->options.ready(transfer->options.ready_ctx);
    orb_transfer_pump(transfer);
}

static void tell_progress(struct orbit_transfer *transfer)
{
    orbit_transfer_totals totals;
    if (!transfer->options.progress)
        return;
    orb_transfer_snapshot(transfer, &totals);
    totals.size = sizeof(totals);
    transfer->options.progress(transfer->options.progress_ctx, &totals);
}

static void progress_tick(void *ctx)
{
    struct orbit_transfer *transfer = ctx;
    transfer->progress_timer = orb_timer_start(transfer->task.client->loop, PROGRESS_MS, progress_tick, transfer);
    tell_progress(transfer);
}

/* Gate held: nothing is under way, no message of ours either, and nothing more will come. */
static bool is_over(const struct orbit_transfer *transfer)
{
    bool waiting = transfer->small.count + transfer->large.count + transfer->removals.count > 0;
    if (transfer->locked.pump_posted || transfer->locked.ready_posted || transfer->locked.running ||
        transfer->feeding || transfer->removing_count)
        return false;
    return transfer->stopping || (transfer->locked.input_over && !transfer->locked.added.count && !waiting);
}

void orb_transfer_settle(struct orbit_transfer *transfer)
{
    if (transfer->ended || transfer->pumping)
        return;
    orb_gate_lock(&transfer->gate);
    bool over = is_over(transfer);
    bool ready = over && transfer->locked.ready_wanted && transfer->options.ready;
    orbit_error error = transfer->locked.error;
    orbit_status status = (orbit_status)error.status;
    if (over) { /* from here on nobody posts to us */
        transfer->ended = true;
        transfer->locked.over = true;
        transfer->locked.final = status < 0 ? status : ORBIT_END;
        transfer->locked.ready_wanted = false;
    }
    orb_gate_unlock(&transfer->gate);
    if (!over)
        return;
    orb_timer_cancel(transfer->progress_timer);
    transfer->progress_timer = NULL;
    orb_removing_free(transfer);
    tell_progress(transfer);
    if (transfer->totals_out)
        (void)orbit_transfer_get_totals(transfer, transfer->totals_out);
    orb_gate_lock(&transfer->gate);
    orb_gate_signal(&transfer->gate);
    pthread_cond_broadcast(&transfer->room);
    orb_gate_unlock(&transfer->gate);
    if (ready)
        transfer->options.ready(transfer->options.ready_ctx);
    orb_task_end(&transfer->task, status < 0 ? status : ORBIT_OK, &error);
}

/* Also the way in which a closed handle ends. */
static void stop(struct orbit_task *task, orbit_status status)
{
    struct orbit_transfer *transfer = (struct orbit_transfer *)task;
    if (transfer->ended || transfer->stopping)
        return;
    transfer->stopping = true;
    transfer->pumping = true; /* nothing starts or settles before all this is done */
    orbit_error why;
    orb_fail(&why, status, 0, "the transfer was %s", status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
    orb_gate_lock(&transfer->gate);
    transfer->locked.stopped = true;
    transfer->locked.input_over = true;
    if (transfer->locked.error.status >= 0)
        transfer->locked.error = why;
    pthread_cond_broadcast(&transfer->room);
    orb_gate_signal(&transfer->gate);
    /* The tasks' ends come later, by messages. */
    for (struct orb_transfer_job *job = transfer->locked.running; job; job = job->running_next)
        orbit_task_cancel(job->task);
    orb_gate_unlock(&transfer->gate);
    pthread_mutex_lock(&transfer->source_mutex);
    if (transfer->feeding && !transfer->source_over && transfer->source.stop)
        transfer->source.stop(transfer->source.ctx);
    pthread_mutex_unlock(&transfer->source_mutex);
    orb_removing_cancel(transfer);
    discard(transfer, status, &why);
    transfer->pumping = false;
    orb_transfer_settle(transfer);
}

static void start(struct orbit_task *task)
{
    struct orbit_transfer *transfer = (struct orbit_transfer *)task;
    if (transfer->options.progress)
        transfer->progress_timer = orb_timer_start(task->client->loop, PROGRESS_MS, progress_tick, transfer);
    if (transfer->has_source) {
        int number = orb_thread_start(&transfer->feeder, "orbit-jobs", feeder_main, transfer);
        transfer->feeding = number == 0;
        if (number) {
            orbit_error error;
            orb_transfer_input_over(
                transfer, orb_fail_errno(&error, number, "cannot start a thread for the source of jobs"), &error);
        }
    }
    orb_transfer_pump(transfer);
}

/* The token had fired before: nothing was begun, and nobody shall wait for what does not come. */
static void refused(struct orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct orbit_transfer *transfer = (struct orbit_transfer *)task;
    orbit_error told = {0};
    if (error)
        told = *error;
    else
        orb_fail(&told, status, 0, "the transfer was %s before it began", orbit_status_text(status));
    transfer->ended = transfer->stopping = true;
    orb_gate_lock(&transfer->gate);
    transfer->locked.stopped = transfer->locked.input_over = true;
    bool ready = transfer->locked.ready_wanted && transfer->options.ready;
    transfer->locked.ready_wanted = false;
    orb_gate_unlock(&transfer->gate);
    discard(transfer, status, &told);
    orb_gate_lock(&transfer->gate);
    transfer->locked.over = true;
    transfer->locked.final = status;
    transfer->locked.error = told;
    orb_gate_signal(&transfer->gate);
    pthread_cond_broadcast(&transfer->room);
    orb_gate_unlock(&transfer->gate);
    if (ready)
        transfer->options.ready(transfer->options.ready_ctx);
    orb_task_end(task, status, &told);
}

static void release(struct orbit_task *task)
{
    struct orbit_transfer *transfer = (struct orbit_transfer *)task;
    struct orb_transfer_job *job;
    /* What nobody took: its charge was given back when the transfer was closed. */
    while ((job = orb_transfer_jobs_pop(&transfer->locked.ended)))
        orb_transfer_job_free(job);
    orb_transfer_job_free(transfer->taken);
    if (transfer->source.close)
        transfer->source.close(transfer->source.ctx);
    pthread_cond_destroy(&transfer->room);
    pthread_mutex_destroy(&transfer->source_mutex);
    orb_gate_release(&transfer->gate);
    orb_write_options_drop(&transfer->write, &transfer->write_block);
    explicit_bzero(transfer->source_key, sizeof(transfer->source_key));
    orb_free(transfer->version_id);
    orb_free(transfer);
}

static const struct orb_task_kind transfer_kind = {"orbit_transfer", start, refused, stop, release};

/* ---- opening ---------------------------------------------------------------------------------------- */

static orbit_status keep_options(struct orbit_transfer *transfer, const orbit_transfer_options *given,
                                 orbit_error *error)
{
    orbit_transfer_options *options = &transfer->options;
    *options = (orbit_transfer_options)ORBIT_TRANSFER_OPTIONS_INIT;
    transfer->copy = (orbit_copy_options)ORBIT_COPY_OPTIONS_INIT;
    orbit_status status = orb_options_take(options, sizeof(*options), given, "orbit_transfer_options", error);
    if (status >= 0)
        status = orb_options_take(&transfer->copy, sizeof(transfer->copy), options->copy, "orbit_copy_options", error);
    if (status >= 0)
        status = orb_write_options_keep(&transfer->write, &transfer->write_block, transfer->copy.write, error);
    if (status < 0)
        return status;
    options->copy = NULL;
    transfer->write.cancel = NULL;
    transfer->write.progress = (orbit_progress){0};
    transfer->write.ready = NULL;
    transfer->version_id = orb_strdup(transfer->copy.version_id);
    if (transfer->copy.version_id && !transfer->version_id)
        return orb_fail_memory(error);
    transfer->copy.version_id = transfer->version_id;
    if (transfer->copy.source_sse_customer_key) {
        memcpy(transfer->source_key, transfer->copy.source_sse_customer_key, sizeof(transfer->source_key));
        transfer->copy.source_sse_customer_key = transfer->source_key;
    }
    transfer->copy.write = NULL;
    transfer->task.cancel = options->cancel;
    return ORBIT_OK;
}

static void set_bounds(struct orbit_transfer *transfer)
{
    uint64_t share = transfer->task.client->host.budget.limit / 16;
    uint32_t asked = transfer->options.jobs_held_max;
    transfer->locked.held_max = asked ? asked : HELD_MAX;
    transfer->locked.held_bytes_max = share < HELD_BYTES_MAX ? share : HELD_BYTES_MAX;
    transfer->locked.hungry = true;
    transfer->locked.totals.sizes_known = true;
    orb_transfer_jobs_init(&transfer->locked.added);
    orb_transfer_jobs_init(&transfer->locked.ended);
    orb_transfer_schedule_init(transfer);
}

static struct orbit_transfer *transfer_new(orbit_client *client, const char *what, const orbit_job_source *jobs,
                                           const orbit_transfer_options *given, orbit_status *status,
                                           orbit_error *error)
{
    struct orbit_transfer *transfer = NULL;
    if (!client || (jobs && !jobs->next))
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a client, or with jobs that have no source", what);
    else
        *status = orb_client_check(client, what, false, error);
    if (*status >= 0 && !(transfer = orb_task_new(sizeof(*transfer), &transfer_kind, client, error)))
        *status = ORBIT_E_MEMORY;
    if (!transfer) {
        if (jobs && jobs->close)
            jobs->close(jobs->ctx);
        return NULL;
    }
    orb_gate_init(&transfer->gate, client);
    pthread_cond_init(&transfer->room, NULL);
    pthread_mutex_init(&transfer->source_mutex, NULL);
    transfer->pump_message.deliver = pump_delivered;
    transfer->feeder_message.deliver = feeder_gone;
    transfer->ready_message.deliver = ready_delivered;
    if (jobs) {
        transfer->source = *jobs;
        transfer->has_source = true;
    }
    *status = keep_options(transfer, given, error);
    set_bounds(transfer);
    if (*status >= 0)
        return transfer;
    orb_task_discard(&transfer->task);
    return NULL;
}

orbit_status orbit_transfer_open(orbit_transfer **made, orbit_client *client, const orbit_job_source *jobs,
                                 const orbit_transfer_options *options, orbit_error *error)
{
    orbit_status status;
    orbit_task *handle = NULL;
    if (made)
        *made = NULL;
    struct orbit_transfer *transfer =
        transfer_new(made ? client : NULL, "orbit_transfer_open", jobs, options, &status, error);
    if (!transfer)
        return status;
    status = orb_task_launch(&transfer->task, &handle, NULL, NULL, error);
    if (status >= 0)
        *made = transfer;
    return status;
}

orbit_status orbit_transfer_add(orbit_transfer *transfer, const orbit_job *given, orbit_error *error)
{
    orbit_job job;
    orbit_job_init(&job);
    if (!transfer)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_transfer_add() without a transfer");
    orbit_status status = orb_options_take(&job, sizeof(job), given, "orbit_job", error);
    if (status >= 0)
        status = orb_client_check(transfer->task.client, "orbit_transfer_add", true, error);
    return status < 0 ? status : orb_transfer_put(transfer, &job, NULL, true, true, error);
}

orbit_status orbit_transfer_try_add(orbit_transfer *transfer, const orbit_job *given, orbit_error *error)
{
    orbit_job job;
    orbit_job_init(&job);
    if (!transfer)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_transfer_try_add() without a transfer");
    orbit_status status = orb_options_take(&job, sizeof(job), given, "orbit_job", error);
    return status < 0 ? status : orb_transfer_put(transfer, &job, NULL, false, false, error);
}

void orbit_transfer_end(orbit_transfer *transfer)
{
    if (transfer)
        orb_transfer_input_over(transfer, ORBIT_OK, NULL);
}

/* Charges go back while the client is there. */
static void forget_charges(struct orbit_transfer *transfer)
{
    struct orb_budget *budget = &transfer->task.client->host.budget;
    struct orb_transfer_job *lists[] = {transfer->taken, transfer->locked.ended.first};
    for (size_t i = 0; i < 2; i++)
        for (struct orb_transfer_job *job = lists[i]; job; job = i ? job->next : NULL) {
            if (job->charged)
                orb_budget_give(budget, job->charged);
            job->charged = 0;
        }
}

void orbit_transfer_close(orbit_transfer *transfer)
{
    orbit_error error;
    if (!transfer)
        return;
    orb_gate_lock(&transfer->task.gate);
    bool finished = transfer->task.finished;
    orb_gate_unlock(&transfer->task.gate);
    if (!finished && orb_client_check(transfer->task.client, "orbit_transfer_close", true, &error) < 0) {
        orb_log(&transfer->task.client->host.log, ORBIT_LOG_ERROR, "%s", error.message);
        return;
    }
    if (!finished) {
        orbit_task_cancel(&transfer->task);
        (void)orbit_task_wait(&transfer->task, NULL);
    }
    /* A source that was never read: the loop would close it later than we return. */
    if (transfer->source.close)
        transfer->source.close(transfer->source.ctx);
    transfer->source.close = NULL;
    forget_charges(transfer);
    orbit_task_free(&transfer->task);
}

/* ---- all of it in one call ---------------------------------------------------------------------------- */

static orbit_status check_totals(const orbit_transfer_totals *totals, const orbit_job_source *jobs, orbit_error *error)
{
    if ((!totals || totals->size >= sizeof(totals->size)) && jobs)
        return ORBIT_OK;
    if (jobs && jobs->close)
        jobs->close(jobs->ctx);
    return orb_fail(error, ORBIT_E_MISUSE, 0, "a transfer without a source of jobs, or with totals not initialised");
}

orbit_status orbit_transfer_run(orbit_client *client, const orbit_job_source *jobs,
                                const orbit_transfer_options *options, orbit_transfer_totals *totals,
                                orbit_error *error)
{
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_transfer *transfer = NULL;
    orbit_error own = {0};
    orbit_status status = check_totals(totals, jobs, error);
    if (status < 0)
        return status;
    status = orbit_transfer_open(&transfer, client, jobs, options, error);
    if (status < 0)
        return status;
    while ((status = orbit_transfer_next(transfer, &result, &own)) == ORBIT_OK || status == ORBIT_ENTRY_FAILED)
        if (transfer->options.each)
            transfer->options.each(transfer->options.each_ctx, &result, status,
                                   status == ORBIT_ENTRY_FAILED ? &own : NULL);
    if (status < 0)
        orb_error_copy(error, &own);
    if (totals)
        (void)orbit_transfer_get_totals(transfer, totals);
    orbit_transfer_close(transfer);
    return status < 0 ? status : ORBIT_OK;
}

orbit_status orbit_transfer_start(orbit_task **task, orbit_client *client, const orbit_job_source *jobs,
                                  const orbit_transfer_options *options, orbit_transfer_totals *totals,
                                  orbit_task_done *done, void *ctx, orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status = check_totals(totals, jobs, error);
    if (status < 0)
        return status;
    struct orbit_transfer *transfer = transfer_new(client, "orbit_transfer_start", jobs, options, &status, error);
    if (!transfer)
        return status;
    transfer->to_loop = true;
    transfer->totals_out = totals;
    return orb_task_launch(&transfer->task, task, done, ctx, error);
}
