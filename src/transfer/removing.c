/* SPDX-License-Identifier: Apache-2.0
 * Removals on their way: sources of moves, and removal jobs. Where a store takes many paths in one request they are
 * gathered: a batch goes when it is full, when nothing more is to come, or when no other is under way; so a lone
 * removal does not wait and many fill their batches. Loop thread. */
#include "base/error.h"
#include "base/mem.h"
#include "transfer/transfer.h"

#define BATCHES_MAX  4u /* under way at a time, where they hold many */
#define BATCH_MAX    1000u
#define BATCH_UNPAID 64u /* when the budget has nothing left */

struct orb_removing {
    struct orb_removing *next;
    struct orb_remove_batch batch;
    struct orbit_transfer *transfer;
    size_t room;
    uint64_t charged;
    bool busy;
};

static bool missing_ok(const struct orb_transfer_job *job)
{
    return job->operation == ORBIT_JOB_MOVE || job->has_metadata || job->transfer->options.missing_ok;
}

/* How many paths one call to the backend takes. Where each must be looked for first, one. */
static size_t batch_limit(const struct orb_transfer_job *job)
{
    uint32_t limit = job->from_backend->core.caps.remove_batch;
    if (!missing_ok(job) || job->transfer->options.concurrency == 1 || limit < 1)
        return 1;
    return limit < BATCH_MAX ? limit : BATCH_MAX;
}

static bool goes_with(const struct orb_transfer_job *first, const struct orb_transfer_job *job)
{
    return job->from_backend == first->from_backend && missing_ok(job) == missing_ok(first);
}

static void removing_free(struct orb_removing *removing)
{
    if (removing->charged)
        orb_budget_give(&removing->transfer->task.client->host.budget, removing->charged);
    orb_free(removing->batch.items);
    orb_free(removing->batch.tags);
    orb_free(removing);
}

void orb_removing_free(struct orbit_transfer *transfer)
{
    while (transfer->removing) {
        struct orb_removing *removing = transfer->removing;
        transfer->removing = removing->next;
        removing_free(removing);
    }
    transfer->removing_count = 0;
}

static struct orb_removing *removing_new(struct orbit_transfer *transfer, size_t room)
{
    struct orb_budget *budget = &transfer->task.client->host.budget;
    uint64_t bytes = room * (sizeof(orbit_remove_item) + sizeof(void *));
    struct orb_removing *removing = orb_calloc(1, sizeof(*removing));
    if (!removing)
        return NULL;
    removing->transfer = transfer;
    if (orb_budget_take(budget, bytes))
        removing->charged = bytes;
    else if (room > BATCH_UNPAID)
        room = BATCH_UNPAID;
    removing->room = room;
    removing->batch.items = orb_calloc(room, sizeof(*removing->batch.items));
    removing->batch.tags = orb_calloc(room, sizeof(*removing->batch.tags));
    if (removing->batch.items && removing->batch.tags)
        return removing;
    removing_free(removing);
    return NULL;
}

/* A spare batch of the right size, or a new one. */
static struct orb_removing *take(struct orbit_transfer *transfer, size_t room)
{
    for (struct orb_removing **link = &transfer->removing; *link; link = &(*link)->next) {
        struct orb_removing *removing = *link;
        if (removing->busy)
            continue;
        if (removing->room >= room || removing->room >= BATCH_UNPAID)
            return removing;
        *link = removing->next; /* it was for single ones */
        removing_free(removing);
        break;
    }
    struct orb_removing *removing = removing_new(transfer, room);
    if (removing) {
        removing->next = transfer->removing;
        transfer->removing = removing;
    }
    return removing;
}

/* ---- on its way ------------------------------------------------------------------------------------ */

static void settled(struct orb_remove_batch *batch, const orbit_remove_item *item, void *tag)
{
    struct orb_transfer_job *job = tag;
    bool gone = item->status == ORBIT_E_NOT_FOUND && (batch->missing_ok || batch->maybe_done);
    orb_transfer_job_removed(job, gone ? ORBIT_OK : item->status, item->status < 0 && !gone ? &item->error : NULL);
}

static void over(struct orb_remove_batch *batch, orbit_status status, const orbit_error *error)
{
    struct orb_removing *removing = (struct orb_removing *)((char *)batch - offsetof(struct orb_removing, batch));
    struct orbit_transfer *transfer = removing->transfer;
    for (size_t i = 0; status < 0 && i < batch->count; i++)
        orb_transfer_job_removed(batch->tags[i], status, error);
    batch->count = 0;
    removing->busy = false;
    transfer->removing_count--;
    orb_transfer_pump(transfer);
}

/* Whether the first of the removals that wait may go now. */
static bool may_go(const struct orbit_transfer *transfer, size_t limit)
{
    if (limit == 1)
        return transfer->removing_count < transfer->allowed;
    if (transfer->removing_count == 0)
        return true;
    return transfer->removals.count >= limit && transfer->removing_count < BATCHES_MAX;
}

static bool send_one(struct orbit_transfer *transfer)
{
    struct orb_transfer_job *first = transfer->removals.first;
    size_t limit = batch_limit(first);
    if (!may_go(transfer, limit))
        return false;
    struct orb_removing *removing = take(transfer, limit);
    if (!removing) {
        orbit_error error;
        if (transfer->removing_count)
            return false; /* one of those under way will do */
        orb_transfer_jobs_pop(&transfer->removals);
        orb_transfer_job_removed(first, orb_fail_memory(&error), &error);
        return true;
    }
    if (limit > removing->room)
        limit = removing->room;
    struct orb_remove_batch *batch = &removing->batch;
    batch->count = 0;
    while (batch->count < limit && transfer->removals.first && goes_with(first, transfer->removals.first)) {
        struct orb_transfer_job *job = orb_transfer_jobs_pop(&transfer->removals);
        batch->tags[batch->count] = job;
        batch->items[batch->count++] = (orbit_remove_item){
            .path = job->from, .version_id = job->operation == ORBIT_JOB_REMOVE ? job->version_id : NULL};
    }
    struct orbit_backend *backend = first->from_backend; /* each job of the batch holds it, until it is told */
    removing->busy = true;
    transfer->removing_count++;
    batch->missing_ok = missing_ok(first);
    batch->settled = settled;
    batch->over = over;
    orb_remove_batch_start(batch, &backend->core);
    return true;
}

void orb_removing_pump(struct orbit_transfer *transfer)
{
    while (!transfer->stopping && transfer->removals.first)
        if (!send_one(transfer))
            break;
}

void orb_removing_cancel(struct orbit_transfer *transfer)
{
    for (struct orb_removing *removing = transfer->removing; removing; removing = removing->next)
        if (removing->busy)
            orb_call_cancel(&removing->batch.call);
}
