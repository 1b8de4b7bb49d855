/* SPDX-License-Identifier: Apache-2.0
 * Who writes to a file next. Any thread; the upload's mutex guards the queue. */
#include "backend/local/local_write.h"

#include <sched.h>

#include "base/clock.h"

enum {
    SPIN_US = 200,    /* for the pen of another receiver, who writes for less than that */
    SPIN_LOOKS = 50,  /* between two readings of the clock */
    SLOW_MS = 20,     /* of a write on a receiver's thread: it has others to serve */
    CHANCE_MS = 1000, /* one in so long may have waited for the processor, not for the disk */
    REST_MS = 1000,   /* without such writes after another slow one; doubles each time */
    REST_MAX_MS = 64000
};

void orb_local_unqueue(struct orb_local_writing *writing)
{
    struct orb_local_upload *upload = writing->upload;
    struct orb_local_writing **link = &upload->locked.waiting;
    while (writing->queued && *link) {
        if (*link == writing) {
            *link = writing->next;
            if (!*link)
                upload->locked.waiting_last = link;
            writing->queued = false;
            break;
        }
        link = &(*link)->next;
    }
}

void orb_local_enqueue(struct orb_local_writing *writing)
{
    if (writing->queued)
        return;
    writing->queued = true;
    writing->woken = false;
    writing->next = NULL;
    *writing->upload->locked.waiting_last = writing;
    writing->upload->locked.waiting_last = &writing->next;
}

bool orb_local_take_pen(struct orb_local_writing *writing, orbit_op *op)
{
    struct orb_local_upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    bool taken = upload->pen == PEN_FREE || orbit_op_cancelled(op); /* one that ends writes nothing */
    if (!taken) {
        orb_local_enqueue(writing);
    } else {
        orb_local_unqueue(writing);
        writing->writes = upload->pen == PEN_FREE;
        if (writing->writes)
            upload->pen = PEN_WORKER;
        writing->turn = writing->at;
    }
    pthread_mutex_unlock(&upload->mutex);
    return taken;
}

/* Who had it; PEN_FREE: the receiver has it now. A worker that waits goes first. */
static enum orb_local_pen receiver_asks(struct orb_local_writing *writing)
{
    struct orb_local_upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    enum orb_local_pen before = atomic_load(&upload->pen);
    if (before == PEN_FREE) {
        upload->pen = PEN_RECEIVER;
        writing->writes = true;
    } else if (upload->locked.waiting) {
        before = PEN_WORKER;
    }
    pthread_mutex_unlock(&upload->mutex);
    return before;
}

/* Two lanes that write to one file meet all the time, each for some fifty microseconds: less than it takes to fall
 * asleep and be woken, and than to leave the bytes to a worker. Whoever else wants this core has it meanwhile: the
 * server on the same machine, for one. */
bool orb_local_receiver_takes_pen(struct orb_local_writing *writing)
{
    uint64_t end_ns = 0;
    for (;;) {
        enum orb_local_pen before = receiver_asks(writing);
        if (before != PEN_RECEIVER)
            return before == PEN_FREE;
        do {
            uint64_t now_ns = orb_now_ns();
            if (!end_ns)
                end_ns = now_ns + SPIN_US * 1000ull;
            else if (now_ns >= end_ns)
                return false;
            for (int i = 0; i < SPIN_LOOKS && atomic_load(&writing->upload->pen) == PEN_RECEIVER; i++)
                sched_yield();
        } while (atomic_load(&writing->upload->pen) == PEN_RECEIVER);
    }
}

/* The next one cannot end meanwhile: for that it needs the mutex. */
void orb_local_pass_pen(struct orb_local_writing *writing)
{
    struct orb_local_upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    if (writing->writes) {
        writing->writes = false;
        upload->pen = PEN_FREE;
        struct orb_local_writing *next = upload->locked.waiting;
        if (next) {
            orb_local_unqueue(next);
            orbit_op_run(next->op, orb_local_part_work);
        }
    }
    pthread_mutex_unlock(&upload->mutex);
}

bool orb_local_pen_wanted(struct orb_local_upload *upload)
{
    pthread_mutex_lock(&upload->mutex);
    bool wanted = upload->pen != PEN_FREE && upload->locked.waiting;
    pthread_mutex_unlock(&upload->mutex);
    return wanted;
}

void orb_local_aside_note(struct orb_local_aside *aside, uint64_t began_ns, uint64_t ended_ns)
{
    if (ended_ns - began_ns <= SLOW_MS * ORB_MS)
        return;
    bool again = aside->slow_ns && ended_ns - aside->slow_ns < CHANCE_MS * ORB_MS;
    aside->slow_ns = ended_ns;
    if (!again && !aside->rest_ms)
        return;
    uint64_t rest_ms = aside->rest_ms ? aside->rest_ms * 2 : REST_MS;
    aside->rest_ms = rest_ms < REST_MAX_MS ? rest_ms : REST_MAX_MS;
    aside->until_ns = ended_ns + aside->rest_ms * ORB_MS;
}
