/* SPDX-License-Identifier: Apache-2.0
 * Operations that take several steps, and how all operations begin. Loop thread, but for resume.
 *
 * A transfer is driven by one message to the loop: each delivery is a step. resume() and cancel() only post it.
 * resume() may come from another thread until the engine has heard of the end; so the transfer is not freed when
 * it ends, but by a last message, which the loop delivers after the operation's done. */
#include "backend/mem/mem.h"
#include "base/mem.h"

void mem_done(orbit_op *op, orbit_status status, const orbit_error *error)
{
    orbit_op_done(op, status, status < 0 ? error : NULL);
}

bool mem_enter(struct mem_backend *backend, orbit_op *op)
{
    orbit_error error;
    backend->operations++;
    if (backend->drop_every && backend->operations % backend->drop_every == 0) {
        mem_break_session(backend);
        orb_fail(&error, ORBIT_E_NETWORK, 0, "the session with '%s' was dropped", backend->url);
        error.flags |= ORBIT_ERROR_RETRIABLE;
        orbit_op_done(op, ORBIT_E_NETWORK, &error);
        return false;
    }
    if (!backend->connected) {
        backend->connected = true;
        orbit_host_log(backend->host, ORBIT_LOG_DEBUG, "%s: connected", backend->url);
    }
    if (backend->store->removed) {
        orb_fail(&error, ORBIT_E_NOT_FOUND, 0, "the container '%s' does not exist", backend->url);
        orbit_op_done(op, ORBIT_E_NOT_FOUND, &error);
        return false;
    }
    return true;
}

static void transfer_drop(struct mem_transfer *transfer)
{
    if (--transfer->refs == 0)
        orb_free(transfer);
}

static void deliver_last(struct orb_message *message)
{
    transfer_drop((struct mem_transfer *)(void *)((char *)message - offsetof(struct mem_transfer, last_message)));
}

static void deliver_step(struct orb_message *message)
{
    struct mem_transfer *transfer =
        (struct mem_transfer *)(void *)((char *)message - offsetof(struct mem_transfer, message));
    if (transfer->over) { /* posted just before the end */
        transfer_drop(transfer);
        return;
    }
    atomic_store(&transfer->posted, false);
    if (transfer->broken == ORBIT_E_CANCELLED) {
        mem_transfer_end(transfer, ORBIT_E_CANCELLED, NULL);
    } else if (transfer->broken < 0) {
        orbit_error error;
        orb_fail(&error, transfer->broken, 0, "the session with '%s' was dropped", transfer->backend->url);
        error.flags |= ORBIT_ERROR_RETRIABLE;
        mem_transfer_end(transfer, transfer->broken, &error);
    } else {
        transfer->step(transfer);
    }
}

void mem_transfer_again(struct mem_transfer *transfer)
{
    if (!atomic_exchange(&transfer->posted, true))
        orb_loop_post(transfer->backend->host->loop, &transfer->message);
}

static void resume(orbit_op *op)
{
    mem_transfer_again(op->state);
}

void mem_transfer_start(struct mem_transfer *transfer, struct mem_backend *backend, orbit_op *op,
                        void (*step)(struct mem_transfer *), void (*release)(struct mem_transfer *))
{
    transfer->message.deliver = deliver_step;
    transfer->last_message.deliver = deliver_last;
    transfer->backend = backend;
    transfer->op = op;
    transfer->refs = 1;
    transfer->step = step;
    transfer->release = release;
    transfer->next = backend->transfers;
    transfer->link = &backend->transfers;
    if (transfer->next)
        transfer->next->link = &transfer->next;
    backend->transfers = transfer;
    op->state = transfer;
    op->resume = resume;
    mem_transfer_again(transfer);
}

void mem_transfer_end(struct mem_transfer *transfer, orbit_status status, const orbit_error *error)
{
    *transfer->link = transfer->next;
    if (transfer->next)
        transfer->next->link = transfer->link;
    if (transfer->release)
        transfer->release(transfer);
    transfer->over = true;
    if (atomic_exchange(&transfer->posted, true)) /* for good: nobody posts it any more */
        transfer->refs++;                         /* it is on its way and comes to an end, too */
    struct orb_loop *loop = transfer->backend->host->loop;
    mem_done(transfer->op, status, error);
    orb_loop_post(loop, &transfer->last_message);
}

void mem_break_session(struct mem_backend *backend)
{
    backend->connected = false;
    orbit_host_log(backend->host, ORBIT_LOG_DEBUG, "%s: session dropped", backend->url);
    for (struct mem_transfer *at = backend->transfers; at; at = at->next) {
        if (at->broken == 0)
            at->broken = ORBIT_E_NETWORK;
        mem_transfer_again(at);
    }
}

void mem_cancel(void *self, orbit_op *op)
{
    (void)self;
    struct mem_transfer *transfer = op->state;
    if (!transfer)
        return; /* ended inside its start */
    transfer->broken = ORBIT_E_CANCELLED;
    mem_transfer_again(transfer);
}
