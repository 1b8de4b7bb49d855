/* SPDX-License-Identifier: Apache-2.0
 * Who waits for memory. The queue is touched on the loop only; memory that is given back from any thread posts
 * one message to the loop, and only while somebody waits. */
#include "engine/admission.h"

#include <stdatomic.h>

#include "base/mem.h"

struct orb_admission_queue {
    struct orbit_host *host;
    struct orb_admission *first, **last;
    _Atomic uint32_t waiting;
    _Atomic bool posted;
    struct orb_message message;
    struct orb_lender *lenders;
    struct orb_timer *timer; /* while somebody waits, and somebody holds */
};

enum { PRESS_MS = 200 };

static void press(void *ctx)
{
    struct orb_admission_queue *queue = ctx;
    queue->timer = NULL;
    for (struct orb_lender *lender = queue->lenders; lender; lender = lender->next)
        lender->pressed(lender->ctx);
    if (queue->first && queue->lenders)
        queue->timer = orb_timer_start(queue->host->loop, PRESS_MS, press, queue);
}

static void watch(struct orb_admission_queue *queue)
{
    if (queue->first && queue->lenders && !queue->timer) {
        queue->timer = orb_timer_start(queue->host->loop, PRESS_MS, press, queue);
    } else if (!queue->first || !queue->lenders) {
        orb_timer_cancel(queue->timer);
        queue->timer = NULL;
    }
}

/* The first goes first, however small the others are: nobody starves. */
static void admit(struct orb_message *message)
{
    struct orb_admission_queue *queue =
        (struct orb_admission_queue *)((char *)message - offsetof(struct orb_admission_queue, message));
    atomic_store(&queue->posted, false);
    while (queue->first && orb_budget_take(&queue->host->budget, queue->first->bytes)) {
        struct orb_admission *admission = queue->first;
        orb_admission_withdraw(admission);
        admission->admitted(admission->ctx);
    }
}

static void freed(void *ctx)
{
    struct orb_admission_queue *queue = ctx;
    if (atomic_load(&queue->waiting) > 0 && !atomic_exchange(&queue->posted, true))
        orb_loop_post(queue->host->loop, &queue->message);
}

orbit_status orb_admission_open(struct orbit_host *host, orbit_error *error)
{
    struct orb_admission_queue *queue = orb_calloc(1, sizeof(*queue));
    if (!queue)
        return orb_fail_memory(error);
    queue->host = host;
    queue->last = &queue->first;
    queue->message.deliver = admit;
    host->admission = queue;
    host->budget.freed = freed;
    host->budget.ctx = queue;
    return ORBIT_OK;
}

void orb_admission_close(struct orbit_host *host)
{
    host->budget.freed = NULL;
    host->budget.ctx = NULL;
    orb_free(host->admission);
    host->admission = NULL;
}

bool orb_admission_pressed(const struct orbit_host *host)
{
    return host->admission && atomic_load(&host->admission->waiting) > 0;
}

bool orb_admission_ask(struct orb_admission *admission, struct orbit_host *host, uint64_t bytes,
                       void (*admitted)(void *ctx), void *ctx)
{
    struct orb_admission_queue *queue = host->admission;
    *admission = (struct orb_admission){.host = host, .bytes = bytes, .admitted = admitted, .ctx = ctx};
    if (!queue->first && orb_budget_take(&host->budget, bytes))
        return true;

    admission->waiting = true;
    admission->link = queue->last;
    *queue->last = admission;
    queue->last = &admission->next;
    atomic_fetch_add(&queue->waiting, 1);
    watch(queue);
    /* What was given back before `waiting` was raised told nobody: look once more, later. */
    freed(queue);
    return false;
}

void orb_admission_withdraw(struct orb_admission *admission)
{
    if (!admission->waiting)
        return;
    struct orb_admission_queue *queue = admission->host->admission;
    admission->waiting = false;
    *admission->link = admission->next;
    if (admission->next)
        admission->next->link = admission->link;
    else
        queue->last = admission->link;
    admission->next = NULL;
    atomic_fetch_sub(&queue->waiting, 1);
    watch(queue);
    /* The one behind may fit where this one did not. */
    if (queue->first)
        freed(queue);
}

void orb_admission_hold(struct orb_lender *lender, struct orbit_host *host, void (*pressed)(void *ctx), void *ctx)
{
    struct orb_admission_queue *queue = host->admission;
    *lender = (struct orb_lender){queue->lenders, &queue->lenders, host, pressed, ctx};
    if (lender->next)
        lender->next->link = &lender->next;
    queue->lenders = lender;
    watch(queue);
}

void orb_admission_let_go(struct orb_lender *lender)
{
    if (!lender->link)
        return;
    *lender->link = lender->next;
    if (lender->next)
        lender->next->link = lender->link;
    lender->link = NULL;
    watch(lender->host->admission);
}
