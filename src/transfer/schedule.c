/* SPDX-License-Identifier: Apache-2.0
 * Which jobs run. Two kinds share the places: small ones (at most a part) and large ones (in parts). Whoever has
 * waited longest goes first, but large ones never have more than half of the places, so that small ones always move;
 * and since the order is that of arrival, small ones that keep coming never starve a large one. What they may use of
 * the memory is cut likewise: a place costs one pipe, all places together at most half of the budget, the other half
 * is for the parts of the large ones.
 *
 * How many places: a fixed number if one was asked for. Else it starts with few, which suffice for a store that is
 * near, and doubles while jobs take long and more of them bring more; what brings nothing is taken back. Loop
 * thread. */
#include "base/clock.h"
#include "base/error.h"
#include "engine/pipe.h"
#include "transfer/transfer.h"

#define PLACES_FEW   16u
#define PLACES_MANY  64u
#define PLACES_MAX   4096u
#define RANGES       8u                  /* of one large object */
#define LARGE_BYTES  ((uint64_t)8 << 20) /* more than a part */
#define LONG_NS      (5 * ORB_MS)        /* a job that takes longer waits for the way rather than for us */
#define WINDOW_NS    (200 * ORB_MS)
#define TRY_AGAIN_NS (5000 * ORB_MS)

/* ---- places ---------------------------------------------------------------------------------------- */

static uint32_t at_least_one(uint64_t value)
{
    return value < 1 ? 1 : (uint32_t)value;
}

static void set_allowed(struct orbit_transfer *transfer, uint32_t allowed)
{
    uint64_t pool = transfer->task.client->host.budget.limit / 2 / ORB_PIPE_BYTES;
    uint32_t half = allowed / 2, large = at_least_one(pool / RANGES);
    transfer->allowed = allowed;
    transfer->large_max = large < half ? large : at_least_one(half);
}

void orb_transfer_schedule_init(struct orbit_transfer *transfer)
{
    uint32_t pool = at_least_one(transfer->task.client->host.budget.limit / 2 / ORB_PIPE_BYTES);
    uint32_t asked = transfer->options.concurrency;
    transfer->allowed_max = asked ? asked : PLACES_MANY;
    if (transfer->allowed_max > PLACES_MAX)
        transfer->allowed_max = PLACES_MAX;
    if (transfer->allowed_max > pool)
        transfer->allowed_max = pool;
    set_allowed(transfer, asked || transfer->allowed_max < PLACES_FEW ? transfer->allowed_max : PLACES_FEW);
    orb_transfer_jobs_init(&transfer->small);
    orb_transfer_jobs_init(&transfer->large);
    orb_transfer_jobs_init(&transfer->removals);
}

/* At the end of a window: more places, fewer, or the same. */
static void ramp(struct orbit_transfer *transfer, uint64_t now_ns)
{
    uint64_t span_ns = now_ns - transfer->window_ns;
    if (transfer->options.concurrency || span_ns < WINDOW_NS || transfer->window_ended < transfer->allowed)
        return;
    uint64_t rate = transfer->window_ended * 1000000 / (span_ns / 1000 + 1);
    bool long_way = transfer->window_busy_ns / transfer->window_ended > LONG_NS;
    bool wanted = transfer->small.count > 0;
    if (transfer->ramp_trying && rate < transfer->window_rate / 4 * 5) {
        set_allowed(transfer, transfer->ramp_from); /* more of them bring no more */
        transfer->ramp_trying = false;
        transfer->ramp_next_ns = now_ns + TRY_AGAIN_NS;
    } else if (long_way && wanted && transfer->allowed < transfer->allowed_max && now_ns >= transfer->ramp_next_ns) {
        transfer->ramp_trying = true;
        transfer->ramp_from = transfer->allowed;
        transfer->window_rate = rate;
        uint32_t more = transfer->allowed * 2;
        set_allowed(transfer, more < transfer->allowed_max ? more : transfer->allowed_max);
    } else {
        transfer->ramp_trying = false;
    }
    transfer->window_ns = now_ns;
    transfer->window_ended = 0;
    transfer->window_busy_ns = 0;
}

/* ---- taking jobs up -------------------------------------------------------------------------------- */

static void classify(struct orbit_transfer *transfer, struct orb_transfer_job *job)
{
    if (orb_transfer_job_is_removal(job)) {
        orb_transfer_jobs_push(&transfer->removals, job);
        return;
    }
    bool moves = job->kind != ORBIT_KIND_DIRECTORY && job->kind != ORBIT_KIND_SYMLINK;
    job->unknown = moves && job->bytes == ORBIT_SIZE_UNKNOWN;
    job->large = moves && job->bytes != ORBIT_SIZE_UNKNOWN && job->bytes > LARGE_BYTES;
    orb_transfer_jobs_push(job->large ? &transfer->large : &transfer->small, job);
}

/* Everything that was added comes over at once, unless enough is waiting: then the loop need not hear of more. */
static void take_added(struct orbit_transfer *transfer)
{
    struct orb_transfer_jobs added;
    bool enough = transfer->small.count + transfer->removals.count >= (size_t)transfer->allowed * 2;
    orb_transfer_jobs_init(&added);
    orb_gate_lock(&transfer->gate);
    transfer->locked.hungry = !enough;
    if (!enough && transfer->locked.added.first) {
        added.first = transfer->locked.added.first;
        orb_transfer_jobs_init(&transfer->locked.added);
    }
    orb_gate_unlock(&transfer->gate);
    while (added.first) {
        struct orb_transfer_job *job = added.first;
        added.first = job->next;
        classify(transfer, job);
    }
}

static struct orb_transfer_job *choose(struct orbit_transfer *transfer)
{
    const struct orb_transfer_job *small = transfer->small.first, *large = transfer->large.first;
    uint32_t smalls = transfer->running - transfer->running_large;
    bool small_may = small && smalls < transfer->allowed &&
                     (transfer->running < transfer->allowed || transfer->running_large > transfer->large_max);
    bool large_may = large && transfer->running < transfer->allowed && transfer->running_large < transfer->large_max;
    if (small_may && small->unknown && transfer->running_large >= 2 * transfer->large_max)
        small_may = false; /* it might be another large one */
    if (small_may && (!large_may || small->sequence < large->sequence))
        return orb_transfer_jobs_pop(&transfer->small);
    return large_may ? orb_transfer_jobs_pop(&transfer->large) : NULL;
}

static void run(struct orbit_transfer *transfer, struct orb_transfer_job *job)
{
    transfer->running++;
    if (job->large)
        transfer->running_large++;
    orb_gate_lock(&transfer->gate);
    job->running_next = transfer->locked.running;
    job->running_link = &transfer->locked.running;
    if (job->running_next)
        job->running_next->running_link = &job->running_next;
    transfer->locked.running = job;
    orb_gate_unlock(&transfer->gate);
    orb_transfer_job_start(job);
}

void orb_transfer_pump(struct orbit_transfer *transfer)
{
    struct orb_transfer_job *job;
    if (transfer->pumping || transfer->ended)
        return;
    transfer->pumping = true;
    if (!transfer->stopping)
        take_added(transfer);
    while (!transfer->stopping && (job = choose(transfer)))
        run(transfer, job);
    orb_removing_pump(transfer);
    transfer->pumping = false;
    orb_transfer_settle(transfer);
}

void orb_transfer_job_is_large(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    job->large = true;
    transfer->running_large++;
    orb_transfer_pump(transfer); /* its place is a small one's again */
}

/* ---- the end of a job ------------------------------------------------------------------------------ */

static void leave_place(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    uint64_t now_ns = orb_now_ns();
    if (!job->running_link)
        return;
    *job->running_link = job->running_next;
    if (job->running_next)
        job->running_next->running_link = job->running_link;
    job->running_link = NULL;
    transfer->running--;
    if (job->large)
        transfer->running_large--;
    transfer->window_ended++;
    transfer->window_busy_ns += job->large ? 0 : now_ns - job->begun_ns;
    if (!transfer->window_ns)
        transfer->window_ns = now_ns;
}

void orb_transfer_to_removals(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    orb_gate_lock(&transfer->gate);
    leave_place(job);
    orb_gate_unlock(&transfer->gate);
    if (transfer->stopping) {
        orb_transfer_job_removed(job, ORBIT_E_CANCELLED, NULL);
        return;
    }
    orb_transfer_jobs_push(&transfer->removals, job);
    orb_transfer_pump(transfer);
}

static void count_ended(struct orbit_transfer *transfer, const struct orb_transfer_job *job)
{
    orbit_transfer_totals *totals = &transfer->locked.totals;
    bool moves = job->operation != ORBIT_JOB_REMOVE && job->kind != ORBIT_KIND_DIRECTORY &&
                 job->kind != ORBIT_KIND_SYMLINK && job->bytes != ORBIT_SIZE_UNKNOWN;
    uint64_t *counts[] = {&totals->done, &totals->kept, &totals->left_out, &totals->failed};
    ++*counts[job->outcome];
    if (moves)
        totals->bytes_done += job->bytes;
}

void orb_transfer_job_ended(struct orb_transfer_job *job)
{
    struct orbit_transfer *transfer = job->transfer;
    orb_gate_lock(&transfer->gate);
    leave_place(job);
    count_ended(transfer, job);
    orb_gate_unlock(&transfer->gate);
    if (job->from_backend)
        orb_backend_drop(job->from_backend);
    if (job->to_backend)
        orb_backend_drop(job->to_backend);
    ramp(transfer, orb_now_ns());
    orb_transfer_deliver(job);
    orb_transfer_pump(transfer);
}
