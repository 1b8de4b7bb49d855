/* SPDX-License-Identifier: Apache-2.0
 * What is under way at one file that is being written, and the pen: one thread at a time writes to it, since the kernel
 * takes the inode's lock for every write, and who spins for it there only burns the processor. Workers queue for the
 * pen and leave; a receiver's thread waits for another one's for as long as a piece takes to write, no longer. */
#ifndef ORB_BACKEND_LOCAL_WRITE_H
#define ORB_BACKEND_LOCAL_WRITE_H

#include "backend/local/local_journal.h"

/* Who writes. */
enum orb_local_pen { PEN_FREE = 0, PEN_WORKER, PEN_RECEIVER };

struct orb_local_writing;

/* Writes on the threads that receive the bytes: whether, and how they went. */
struct orb_local_aside {
    int where;
    uint64_t slow_ns;           /* when one was slow last */
    uint64_t rest_ms, until_ns; /* how long, and until when, only workers write */
};

struct orb_local_upload {
    struct orb_local_target target;
    _Atomic uint64_t written;        /* bytes of parts that are done */
    char *path;                      /* for messages */
    _Atomic(enum orb_local_pen) pen; /* changed with the mutex, looked at without */
    pthread_mutex_t mutex;           /* recursive: waking may run the woken one right here */
    struct {
        uint64_t position;                       /* up to which an ordered target was written */
        orbit_status failed;                     /* of the part that broke the order */
        struct orb_local_writing *waiting;       /* ordered targets: parts before their turn; else: for the pen */
        struct orb_local_writing **waiting_last; /* the list's end; the pen goes round in order */
    } locked;
    struct orb_local_aside aside; /* who has the pen */
};

/* A put or a part under way; op->state. */
struct orb_local_writing {
    orbit_op *op;
    struct orb_local_upload *upload; /* a put's own */
    orbit_body *body;
    const orbit_put_request *put; /* NULL: a part */
    orbit_metadata *put_reply;
    uint64_t begin, at, end;
    struct orb_local_span span; /* of the journal, where there is one */
    bool spanned;
    uint64_t turn;              /* where it got the pen */
    bool queued, woken, writes; /* locked, with next; writes: has the pen */
    struct orb_local_writing *next;
};

/* Runs a part's work once more: what the pen or a turn is passed on to. A worker. */
void orb_local_part_work(void *self, orbit_op *op);

/* The queue of those who wait; both with the mutex held, both without effect the second time. */
void orb_local_enqueue(struct orb_local_writing *writing);
void orb_local_unqueue(struct orb_local_writing *writing);

/* Worker. False: somebody else writes; this one is queued and will be run. */
bool orb_local_take_pen(struct orb_local_writing *writing, orbit_op *op);
/* A receiver's thread. False: the bytes are left to a worker. */
bool orb_local_receiver_takes_pen(struct orb_local_writing *writing);
/* Others wait for it. */
bool orb_local_pen_wanted(struct orb_local_upload *upload);
/* A write on a receiver's thread is over: what the next ones may do goes by how long it took. */
void orb_local_aside_note(struct orb_local_aside *aside, uint64_t began_ns, uint64_t ended_ns);
/* To the one that waits longest; without effect for who has not got it. */
void orb_local_pass_pen(struct orb_local_writing *writing);

#endif
