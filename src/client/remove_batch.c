/* SPDX-License-Identifier: Apache-2.0
 * A batch of removals on its way: attempts, what is tried again, what is settled. Loop thread. */
#include "client/remove_batch.h"

#include "base/error.h"

static bool may_retry(const orbit_remove_item *item)
{
    return item->status < 0 && (item->error.flags & ORBIT_ERROR_RETRIABLE);
}

static void settle(struct orb_remove_batch *batch, size_t index)
{
    batch->settled(batch, &batch->items[index], batch->tags ? batch->tags[index] : NULL);
}

static void attempt(struct orb_call *call)
{
    struct orb_remove_batch *batch = call->ctx;
    const struct orb_backend *core = call->op.backend;
    batch->judged = false;
    for (size_t i = 0; i < batch->count; i++) {
        batch->items[i].status = ORBIT_OK;
        orb_error_clear(&batch->items[i].error);
    }
    batch->request = (orbit_remove_request){
        .items = batch->items, .count = batch->count, .recursive = batch->recursive, .missing_ok = batch->missing_ok};
    orb_call_names(call, ORBIT_REQUEST_REMOVE, NULL);
    core->ops->remove(core->self, &call->op.op, &batch->request);
}

static orbit_status judge(struct orb_call *call, orbit_status status, orbit_error *error)
{
    struct orb_remove_batch *batch = call->ctx;
    batch->judged = true;
    for (size_t i = 0; i < batch->count; i++) {
        if (!may_retry(&batch->items[i]))
            continue;
        *error = batch->items[i].error;
        return batch->items[i].status;
    }
    return status;
}

/* Only what may still succeed is asked for again. */
static bool again(struct orb_call *call, const orbit_error *error)
{
    struct orb_remove_batch *batch = call->ctx;
    if (!(error->flags & ORBIT_ERROR_RETRIABLE))
        return false;
    batch->maybe_done = batch->maybe_done || (error->flags & ORBIT_ERROR_MAYBE_DONE);
    if (!batch->judged)
        return true;
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (!may_retry(&batch->items[i])) {
            settle(batch, i);
            continue;
        }
        batch->items[kept] = batch->items[i];
        if (batch->tags)
            batch->tags[kept] = batch->tags[i];
        kept++;
    }
    batch->count = kept;
    return true;
}

static void sent(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_remove_batch *batch = call->ctx;
    if (status < 0 && !batch->judged) {
        batch->over(batch, status, error);
        return;
    }
    if (status < 0 && status != ORBIT_E_CANCELLED) /* with the number of attempts */
        for (size_t i = 0; i < batch->count; i++)
            if (may_retry(&batch->items[i]) && batch->items[i].status == status)
                batch->items[i].error = *error;
    for (size_t i = 0; i < batch->count; i++)
        settle(batch, i);
    batch->count = 0;
    batch->over(batch, ORBIT_OK, NULL);
}

void orb_remove_batch_start(struct orb_remove_batch *batch, struct orb_backend *backend)
{
    batch->maybe_done = false;
    batch->call.again = again;
    batch->call.judge = judge;
    batch->call.watched = true;
    orb_call_start(&batch->call, backend, attempt, sent, batch);
}
