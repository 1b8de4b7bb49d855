/* SPDX-License-Identifier: Apache-2.0
 * Where jobs come in and results go out: the records, their bound, and the two places where threads wait. A record is
 * paid for by the budget; when that is used up there is room for one all the same, so that a transfer never stands
 * still for want of memory that it does not use. Any thread, but where a function says otherwise. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "stream/source.h"
#include "transfer/transfer.h"

enum { GATHER_MS = 2, LATELY_MS = 2 * GATHER_MS, MANY = 256 }; /* results */

/* ---- records --------------------------------------------------------------------------------------- */

static orbit_status check(const struct orbit_transfer *transfer, const orbit_job *job, orbit_error *error)
{
    const char *lacks = NULL;
    bool write = job->operation == ORBIT_JOB_WRITE, remove = job->operation == ORBIT_JOB_REMOVE;
    if (job->operation < ORBIT_JOB_COPY || job->operation > ORBIT_JOB_WRITE)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "a job's operation is %u, which means nothing", job->operation);
    if (!write && (!job->from_backend || !job->from))
        lacks = "a source";
    else if (!remove && (!job->to_backend || !job->to))
        lacks = "a target";
    if (lacks)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "a job without %s", lacks);
    if ((job->from_backend && job->from_backend->client != transfer->task.client) ||
        (job->to_backend && job->to_backend->client != transfer->task.client))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "a job whose backend is of another client than its transfer");
    return ORBIT_OK;
}

orbit_status orb_transfer_job_new(struct orb_transfer_job **made, struct orbit_transfer *transfer,
                                  const orbit_job *given, orbit_error *error)
{
    const char *from = given->from ? given->from : "", *to = given->to ? given->to : "";
    const orbit_metadata *metadata = given->metadata;
    const char *version = given->version_id ? given->version_id : "";
    size_t from_bytes = strlen(from) + 1, to_bytes = strlen(to) + 1, version_bytes = strlen(version) + 1;
    struct orb_transfer_job *job = orb_calloc(1, sizeof(*job) + from_bytes + to_bytes + version_bytes);
    if (!job)
        return orb_fail_memory(error);
    memcpy(job->names, from, from_bytes);
    memcpy(job->names + from_bytes, to, to_bytes);
    memcpy(job->names + from_bytes + to_bytes, version, version_bytes);
    job->from = job->names;
    job->to = job->names + from_bytes;
    job->version_id = given->version_id ? job->to + to_bytes : transfer->version_id;
    job->transfer = transfer;
    job->operation = given->operation;
    job->flags = given->flags;
    job->from_backend = given->from_backend;
    job->to_backend = given->to_backend;
    job->ctx = given->ctx;
    job->source = given->source;
    job->bytes = given->bytes;
    if (metadata) {
        job->has_metadata = true;
        job->kind = metadata->kind;
        job->mtime_ns = metadata->mtime_ns;
        job->has_mtime = (metadata->fields & ORBIT_HAS_MTIME) != 0;
        job->bytes = metadata->fields & ORBIT_HAS_SIZE ? metadata->size : ORBIT_SIZE_UNKNOWN;
    }
    job->result = (orbit_write_result)ORBIT_WRITE_RESULT_INIT;
    *made = job;
    return ORBIT_OK;
}

void orb_transfer_job_free(struct orb_transfer_job *job)
{
    if (!job)
        return;
    orb_source_close(&job->source);
    orbit_metadata_release(&job->target);
    orbit_write_result_release(&job->result);
    orb_free(job->error);
    orb_free(job->link);
    orb_free(job->link_there);
    orb_free(job);
}

void orb_transfer_job_fail(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    job->outcome = ORBIT_JOB_FAILED;
    job->status = status;
    if (!job->error)
        job->error = orb_malloc(sizeof(*job->error));
    if (!job->error) /* told by its status alone */
        return;
    if (error)
        *job->error = *error;
    else
        orb_fail(job->error, status, 0, "%s", orbit_status_text(status));
    job->error->status = status;
}

static uint64_t weight(const orbit_job *job)
{
    return sizeof(struct orb_transfer_job) + sizeof(orbit_error) + (job->from ? strlen(job->from) : 0) +
           (job->to ? strlen(job->to) : 0) + (job->version_id ? strlen(job->version_id) : 0) + 3;
}

/* ---- room ------------------------------------------------------------------------------------------ */

/* Gate held. The room of a record that goes. Who waits is woken when there is some to work with. */
static void give_room(struct orbit_transfer *transfer, uint64_t charged, uint64_t bytes)
{
    if (charged)
        orb_budget_give(&transfer->task.client->host.budget, charged);
    transfer->locked.held--;
    transfer->locked.held_bytes -= bytes;
    if (transfer->locked.adding && (transfer->locked.held <= transfer->locked.held_max / 4 * 3))
        pthread_cond_broadcast(&transfer->room);
}

static uint64_t weight_of(const struct orb_transfer_job *job)
{
    const char *version = job->to + strlen(job->to) + 1; /* "" for that of all jobs */
    return sizeof(*job) + sizeof(orbit_error) + strlen(job->from) + strlen(job->to) + strlen(version) + 3;
}

void orb_transfer_release_job(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    uint64_t charged = job->charged, bytes = weight_of(job);
    orb_transfer_job_free(job);
    orb_gate_lock(&transfer->gate);
    give_room(transfer, charged, bytes);
    if (transfer->locked.ready_wanted && transfer->options.ready && !transfer->locked.ready_posted &&
        !transfer->locked.over) {
        transfer->locked.ready_wanted = false;
        transfer->locked.ready_posted = true;
        orb_loop_post(transfer->task.client->loop, &transfer->ready_message);
    }
    if (transfer->task.client->external && transfer->locked.adding)
        orb_gate_signal(&transfer->gate);
    orb_gate_unlock(&transfer->gate);
}

/* Gate held. */
static bool take_room(struct orbit_transfer *transfer, uint64_t bytes, uint64_t *charged)
{
    struct orb_budget *budget = &transfer->task.client->host.budget;
    bool first = transfer->locked.held == 0;
    if (!first && (transfer->locked.held >= transfer->locked.held_max ||
                   transfer->locked.held_bytes + bytes > transfer->locked.held_bytes_max))
        return false;
    *charged = orb_budget_take(budget, bytes) ? bytes : 0;
    if (!*charged && !first)
        return false;
    transfer->locked.held++;
    transfer->locked.held_bytes += bytes;
    return true;
}

/* Gate held. ORBIT_AGAIN: no room, and not to wait. */
static orbit_status wait_room(struct orbit_transfer *transfer, uint64_t bytes, uint64_t *charged, bool wait, bool drive)
{
    while (!transfer->locked.stopped && !transfer->locked.input_over && !take_room(transfer, bytes, charged)) {
        if (!wait)
            return ORBIT_AGAIN;
        transfer->locked.adding++;
        if (drive && transfer->task.client->external)
            orb_gate_wait(&transfer->gate);
        else
            pthread_cond_wait(&transfer->room, &transfer->gate.mutex);
        transfer->locked.adding--;
    }
    return transfer->locked.stopped || transfer->locked.input_over ? ORBIT_END : ORBIT_OK;
}

/* Gate held. Why nothing is taken any more. */
static orbit_status refusal(const struct orbit_transfer *transfer, orbit_error *error)
{
    if (transfer->locked.error.status < 0) {
        orb_error_copy(error, &transfer->locked.error);
        return (orbit_status)transfer->locked.error.status;
    }
    if (transfer->locked.stopped)
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "the transfer was cancelled");
    return orb_fail(error, ORBIT_E_MISUSE, 0, "a job was added after orbit_transfer_end()");
}

/* Gate held. */
static void count_found(struct orbit_transfer *transfer, const struct orb_transfer_job *job)
{
    orbit_transfer_totals *totals = &transfer->locked.totals;
    totals->found++;
    if (job->operation == ORBIT_JOB_REMOVE || job->outcome == ORBIT_JOB_FAILED || job->kind == ORBIT_KIND_DIRECTORY ||
        job->kind == ORBIT_KIND_SYMLINK)
        return;
    if (job->bytes == ORBIT_SIZE_UNKNOWN)
        totals->sizes_known = false;
    else
        totals->bytes_total += job->bytes;
}

static void hold_backends(struct orb_transfer_job *job)
{
    if (job->from_backend)
        orb_backend_hold(job->from_backend);
    if (job->to_backend)
        orb_backend_hold(job->to_backend);
}

static void drop_backends(struct orb_transfer_job *job)
{
    if (job->from_backend)
        orb_backend_drop(job->from_backend);
    if (job->to_backend)
        orb_backend_drop(job->to_backend);
}

/* Gate held. From here on the job is the loop's. */
static void hand_in(struct orbit_transfer *transfer, struct orb_transfer_job *job)
{
    job->sequence = transfer->locked.sequence++;
    count_found(transfer, job);
    orb_transfer_jobs_push(&transfer->locked.added, job);
    if (transfer->locked.hungry && !transfer->locked.pump_posted && !transfer->locked.over) {
        transfer->locked.pump_posted = true;
        orb_loop_post(transfer->task.client->loop, &transfer->pump_message);
    }
}

orbit_status orb_transfer_put(struct orbit_transfer *transfer, const orbit_job *given, const orbit_error *failure,
                              bool wait, bool drive, orbit_error *error)
{
    uint64_t charged = 0, bytes = weight(given);
    struct orb_transfer_job *job = NULL;
    orbit_status status = failure ? ORBIT_OK : check(transfer, given, error);
    if (status < 0)
        return status;
    orb_gate_lock(&transfer->gate);
    status = wait_room(transfer, bytes, &charged, wait, drive);
    if (status == ORBIT_AGAIN)
        transfer->locked.ready_wanted = true;
    else if (status != ORBIT_OK)
        status = refusal(transfer, error);
    orb_gate_unlock(&transfer->gate);
    if (status != ORBIT_OK)
        return status;

    status = orb_transfer_job_new(&job, transfer, given, error);
    if (status < 0) {
        orb_gate_lock(&transfer->gate);
        give_room(transfer, charged, bytes);
        orb_gate_unlock(&transfer->gate);
        return status;
    }
    job->charged = charged;
    if (failure)
        orb_transfer_job_fail(job, failure->status < 0 ? (orbit_status)failure->status : ORBIT_E_IO, failure);
    hold_backends(job);
    orb_gate_lock(&transfer->gate);
    if (transfer->locked.stopped) { /* meanwhile */
        status = refusal(transfer, error);
        give_room(transfer, charged, bytes);
        orb_gate_unlock(&transfer->gate);
        drop_backends(job);
        job->source = (orbit_source){0}; /* it was not taken */
        orb_transfer_job_free(job);
        return status;
    }
    hand_in(transfer, job);
    orb_gate_unlock(&transfer->gate);
    return ORBIT_OK;
}

void orb_transfer_put_failed(struct orbit_transfer *transfer, const orbit_job *given, const orbit_error *failure)
{
    struct orb_transfer_job *job = NULL;
    if (orb_transfer_job_new(&job, transfer, given, NULL) < 0)
        return; /* without memory there is no word of it */
    orb_transfer_job_fail(job, failure->status < 0 ? (orbit_status)failure->status : ORBIT_E_IO, failure);
    hold_backends(job);
    orb_gate_lock(&transfer->gate);
    transfer->locked.held++; /* one above the bound: who reads the source stops here */
    transfer->locked.held_bytes += weight(given);
    hand_in(transfer, job);
    orb_gate_unlock(&transfer->gate);
}

void orb_transfer_input_over(struct orbit_transfer *transfer, orbit_status status, const orbit_error *error)
{
    orb_gate_lock(&transfer->gate);
    if (!transfer->locked.input_over) {
        transfer->locked.input_over = true;
        transfer->locked.totals.all_found = status >= 0;
        if (status < 0 && transfer->locked.error.status >= 0) {
            if (error)
                transfer->locked.error = *error;
            transfer->locked.error.status = status;
        }
        pthread_cond_broadcast(&transfer->room);
        if (!transfer->locked.pump_posted && !transfer->locked.over) {
            transfer->locked.pump_posted = true;
            orb_loop_post(transfer->task.client->loop, &transfer->pump_message);
        }
    }
    orb_gate_unlock(&transfer->gate);
}

/* ---- results --------------------------------------------------------------------------------------- */

void orb_transfer_fill_result(const struct orb_transfer_job *job, orbit_transfer_result *result)
{
    orbit_transfer_result made = {.operation = job->operation,
                                  .outcome = job->outcome,
                                  .from_backend = job->from_backend,
                                  .to_backend = job->to_backend,
                                  .from = job->from,
                                  .to = job->to,
                                  .ctx = job->ctx,
                                  .kind = job->kind,
                                  .bytes = job->bytes,
                                  .metadata = job->operation == ORBIT_JOB_REMOVE ? NULL : &job->result.metadata,
                                  .copied = job->copied};
    made.size = result->size;
    memcpy(result, &made, made.size < sizeof(made) ? made.size : sizeof(made));
}

void orb_transfer_deliver(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    if (transfer->to_loop) {
        orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
        orb_transfer_fill_result(job, &result);
        if (transfer->options.each)
            transfer->options.each(transfer->options.each_ctx, &result,
                                   job->outcome == ORBIT_JOB_FAILED ? ORBIT_ENTRY_FAILED : ORBIT_OK, job->error);
        orb_transfer_release_job(job);
        return;
    }
    orb_gate_lock(&transfer->gate);
    orb_transfer_jobs_push(&transfer->locked.ended, job);
    if (transfer->locked.ready_wanted && transfer->options.ready && !transfer->locked.ready_posted) {
        transfer->locked.ready_wanted = false;
        transfer->locked.ready_posted = true;
        orb_loop_post(transfer->task.client->loop, &transfer->ready_message);
    }
    size_t ended = transfer->locked.ended.count;
    bool many = ended >= MANY || ended * 2 >= transfer->locked.held;
    if (transfer->locked.gathers ? many : ended == 1)
        orb_gate_signal(&transfer->gate);
    orb_gate_unlock(&transfer->gate);
}

/* Gate held. The first result is told at once. Those of small objects follow so closely that waking a thread for each
 * would cost as much as telling it: who was woken a moment ago takes what comes in the next moment together, unless
 * what is held is soon used up. */
static void wait_result(struct orbit_transfer *transfer)
{
    uint64_t now_ns = orb_now_ns();
    bool gathers = now_ns - transfer->woken_ns < LATELY_MS * ORB_MS && !transfer->task.client->external;
    if (gathers) {
        transfer->locked.gathers = true;
        (void)orb_gate_wait_until(&transfer->gate, now_ns + GATHER_MS * ORB_MS);
        transfer->locked.gathers = false;
    }
    while (!transfer->locked.ended.count && !transfer->locked.over)
        orb_gate_wait(&transfer->gate);
    transfer->woken_ns = orb_now_ns();
}

static orbit_status tell(struct orb_transfer_job *job, orbit_transfer_result *result, orbit_error *error)
{
    orb_transfer_fill_result(job, result);
    if (job->outcome != ORBIT_JOB_FAILED)
        return ORBIT_OK;
    if (job->error)
        orb_error_copy(error, job->error);
    else
        orb_fail(error, job->status, 0, "%s", orbit_status_text(job->status));
    return ORBIT_ENTRY_FAILED;
}

static orbit_status next(struct orbit_transfer *transfer, const char *what, orbit_transfer_result *result, bool wait,
                         orbit_error *error)
{
    if (!transfer || !result || result->size < sizeof(result->size))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a transfer or an initialised result", what);
    if (transfer->taken)
        orb_transfer_release_job(transfer->taken);
    transfer->taken = NULL;
    orb_gate_lock(&transfer->gate);
    bool over = transfer->locked.over;
    orb_gate_unlock(&transfer->gate);
    if (!over) { /* else the client may be gone */
        orbit_status status = orb_client_check(transfer->task.client, what, wait, error);
        if (status < 0)
            return status;
    }
    orb_gate_lock(&transfer->gate);
    if (!transfer->locked.ended.count && !transfer->locked.over && wait)
        wait_result(transfer);
    transfer->taken = orb_transfer_jobs_pop(&transfer->locked.ended);
    orbit_status status = ORBIT_AGAIN;
    if (!transfer->taken && transfer->locked.over) {
        status = transfer->locked.final;
        if (status < 0)
            orb_error_copy(error, &transfer->locked.error);
    } else if (!transfer->taken) {
        transfer->locked.ready_wanted = true;
    }
    orb_gate_unlock(&transfer->gate);
    return transfer->taken ? tell(transfer->taken, result, error) : status;
}

orbit_status orbit_transfer_next(orbit_transfer *transfer, orbit_transfer_result *result, orbit_error *error)
{
    return next(transfer, "orbit_transfer_next", result, true, error);
}

orbit_status orbit_transfer_try_next(orbit_transfer *transfer, orbit_transfer_result *result, orbit_error *error)
{
    return next(transfer, "orbit_transfer_try_next", result, false, error);
}

/* ---- numbers --------------------------------------------------------------------------------------- */

void orb_transfer_snapshot(struct orbit_transfer *transfer, orbit_transfer_totals *totals)
{
    orb_gate_lock(&transfer->gate);
    *totals = transfer->locked.totals;
    for (struct orb_transfer_job *job = transfer->locked.running; job; job = job->running_next) {
        uint64_t done = 0;
        if (job->task && (job->step == ORB_STEP_COPY || job->step == ORB_STEP_WRITE))
            orbit_task_progress(job->task, &done, NULL);
        totals->bytes_done += done;
    }
    orb_gate_unlock(&transfer->gate);
}

orbit_status orbit_transfer_get_totals(orbit_transfer *transfer, orbit_transfer_totals *totals)
{
    orbit_transfer_totals now;
    if (!transfer || !totals || totals->size < sizeof(totals->size))
        return ORBIT_E_MISUSE;
    orb_transfer_snapshot(transfer, &now);
    now.size = totals->size;
    memcpy(totals, &now, now.size < sizeof(now) ? now.size : sizeof(now));
    return ORBIT_OK;
}

void orbit_transfer_current(orbit_transfer *transfer, char *path, size_t room)
{
    if (!path || !room)
        return;
    path[0] = '\0';
    if (!transfer)
        return;
    orb_gate_lock(&transfer->gate);
    const struct orb_transfer_job *oldest = NULL;
    for (struct orb_transfer_job *job = transfer->locked.running; job; job = job->running_next)
        if (!oldest || job->sequence < oldest->sequence)
            oldest = job;
    if (oldest) {
        const char *name = oldest->from[0] ? oldest->from : oldest->to;
        size_t length = strnlen(name, room - 1);
        memcpy(path, name, length);
        path[length] = '\0';
    }
    orb_gate_unlock(&transfer->gate);
}
