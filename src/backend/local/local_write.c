/* SPDX-License-Identifier: Apache-2.0
 * Writing: puts, and uploads whose parts are written at their offsets in any order and in parallel. A body that
 * has nothing returns the worker and goes on with resume. One worker at a time writes to one file: the kernel
 * takes the inode's lock for every write, and workers that spin for it only burn the processor. Where a target
 * knows no offsets (a FIFO, a terminal), parts that are early wait for their turn. Nobody waits in a worker. */
#include "backend/local/local.h"

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    BLOCK = 1 << 20, /* written between two looks at cancel */
    TURN = 8 << 20   /* written before others that wait get the pen */
};

struct writing;

struct upload {
    struct orb_local_target target;
    _Atomic uint64_t written; /* bytes of parts that are done */
    char *path;               /* for messages */
    pthread_mutex_t mutex;    /* recursive: waking may run the woken one right here */
    struct {
        uint64_t position;             /* up to which an ordered target was written */
        orbit_status failed;           /* of the part that broke the order */
        struct writing *waiting;       /* ordered targets: parts before their turn; else: for the pen */
        struct writing **waiting_last; /* the list's end; the pen goes round in order */
        bool pen;                      /* some part is writing */
    } locked;
};

/* A put or a part under way; op->state. */
struct writing {
    orbit_op *op;
    struct upload *upload; /* a put's own */
    orbit_body *body;
    const orbit_put_request *put; /* NULL: a part */
    orbit_metadata *put_reply;
    uint64_t begin, at, end;
    uint64_t turn;              /* where it got the pen */
    bool queued, woken, writes; /* locked, with next; writes: has the pen */
    struct writing *next;
};

static void part_work(void *self, orbit_op *op);

/* ---- uploads ------------------------------------------------------------------------------------ */

static struct upload *upload_new(const char *path)
{
    struct upload *upload = orb_calloc(1, sizeof(*upload));
    pthread_mutexattr_t recursive;
    if (!upload)
        return NULL;
    upload->path = orb_strdup(path);
    if (!upload->path) {
        orb_free(upload);
        return NULL;
    }
    upload->target.fd = upload->target.directory = -1;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&upload->mutex, &recursive);
    pthread_mutexattr_destroy(&recursive);
    upload->locked.waiting_last = &upload->locked.waiting;
    return upload;
}

static void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    orb_local_target_close(&upload->target);
    pthread_mutex_destroy(&upload->mutex);
    orb_free(upload->path);
    orb_free(upload);
}

/* The whole and nothing but it, then the name. */
static orbit_status upload_finish(struct upload *upload, uint64_t size, orbit_metadata *reply, orbit_error *error)
{
    struct orb_local_target *target = &upload->target;
    if (!target->in_place && !target->published) {
        struct orb_local_shown shown;
        struct statx stat;
        int result = orb_local_stat_fd(target->fd, &stat);
        if (result < 0)
            return orb_local_fail(error, -result, "write", upload->path);
        uint64_t got = stat.stx_size;
        if (got == size && !target->resumed && atomic_load(&upload->written) < size)
            got = atomic_load(&upload->written); /* the right end, but a gap before it */
        if (got != size)
            return orb_fail(error, ORBIT_E_IO, 0, "cannot write '%s': %llu of its %llu bytes are there",
                            orb_local_show(&shown, upload->path), (unsigned long long)got, (unsigned long long)size);
    }
    return orb_local_target_publish(target, upload->path, -1, reply, error);
}

/* ---- bytes -------------------------------------------------------------------------------------- */

static bool pen_wanted(struct upload *upload)
{
    pthread_mutex_lock(&upload->mutex);
    bool wanted = upload->locked.pen && upload->locked.waiting;
    pthread_mutex_unlock(&upload->mutex);
    return wanted;
}

/* ORBIT_AGAIN: the body has nothing now and resumes, or others wait for the pen and the operation was asked to
 * run again. */
static orbit_status drain(struct writing *writing, orbit_op *op, orbit_error *error)
{
    struct upload *upload = writing->upload;
    orbit_body *body = writing->body;
    for (;;) {
        const void *bytes;
        size_t length;
        if (orbit_op_cancelled(op))
            return orb_local_cancelled(error, "write", upload->path);
        orbit_status status = body->peek(body, &bytes, &length);
        if (status == ORBIT_END)
            break;
        if (status == ORBIT_AGAIN)
            return status;
        if (status < 0)
            return orb_fail(error, status, 0, "%s", orbit_status_text(status));
        struct orb_local_shown shown;
        if (length > writing->end - writing->at)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "cannot write '%s': a body gave more than its %llu bytes",
                            orb_local_show(&shown, upload->path), (unsigned long long)(writing->end - writing->begin));
        if (length > BLOCK)
            length = BLOCK;
        int result = orb_local_target_write(&upload->target, op, bytes, length, writing->at);
        if (result < 0)
            return orb_local_fail(error, -result, "write", upload->path);
        body->consume(body, length);
        writing->at += length;
        if (!writing->put && writing->at - writing->turn >= TURN && pen_wanted(upload)) {
            orbit_op_run(op, part_work);
            return ORBIT_AGAIN;
        }
    }
    struct orb_local_shown shown;
    if (writing->at != writing->end)
        return orb_fail(error, ORBIT_E_IO, 0, "cannot write '%s': its source ended after %llu of %llu bytes",
                        orb_local_show(&shown, upload->path), (unsigned long long)(writing->at - writing->begin),
                        (unsigned long long)(writing->end - writing->begin));
    return ORBIT_OK;
}

/* ---- put ---------------------------------------------------------------------------------------- */

static orbit_status put_open(struct orb_local *self, orbit_op *op, struct writing *writing, orbit_error *error)
{
    const orbit_put_request *put = writing->put;
    writing->upload = upload_new(put->path);
    if (!writing->upload)
        return orb_fail_memory(error);
    const struct orb_local_target_request request = {put->path, put->options, put->preserve, NULL};
    return orb_local_target_open(&writing->upload->target, self, op, &request, error);
}

static void put_work(void *self, orbit_op *op)
{
    struct writing *writing = op->state;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;

    if (orbit_op_cancelled(op))
        status = orb_local_cancelled(&error, "write", writing->put->path);
    else if (!writing->upload)
        status = put_open(self, op, writing, &error);
    if (status == ORBIT_OK)
        status = drain(writing, op, &error);
    if (status == ORBIT_AGAIN)
        return;
    if (status == ORBIT_OK) {
        atomic_store(&writing->upload->written, writing->end);
        status = upload_finish(writing->upload, writing->end, writing->put_reply, &error);
    }
    if (writing->upload) {
        if (status < 0)
            orb_local_target_discard(&writing->upload->target);
        upload_free(writing->upload);
    }
    orb_local_end(op, status, &error);
}

static void put_resume(orbit_op *op)
{
    orbit_op_run(op, put_work);
}

void orb_local_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    (void)self;
    struct writing *writing = orb_calloc(1, sizeof(*writing));
    if (!writing) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    writing->op = op;
    writing->put = request;
    writing->put_reply = reply;
    writing->body = body;
    writing->end = body->length;
    op->state = writing;
    op->resume = put_resume;
    orbit_op_run(op, put_work);
}

/* ---- parts -------------------------------------------------------------------------------------- */

static void unqueue(struct writing *writing)
{
    struct upload *upload = writing->upload;
    struct writing **link = &upload->locked.waiting;
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

static void enqueue(struct writing *writing)
{
    if (writing->queued)
        return;
    writing->queued = true;
    writing->woken = false;
    writing->next = NULL;
    *writing->upload->locked.waiting_last = writing;
    writing->upload->locked.waiting_last = &writing->next;
}

/* False: another part writes; this one is queued and will be run. */
static bool take_pen(struct writing *writing, orbit_op *op)
{
    struct upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    bool taken = !upload->locked.pen || orbit_op_cancelled(op); /* one that ends writes nothing */
    if (!taken) {
        enqueue(writing);
    } else {
        unqueue(writing);
        writing->writes = !upload->locked.pen;
        upload->locked.pen = true;
        writing->turn = writing->at;
    }
    pthread_mutex_unlock(&upload->mutex);
    return taken;
}

/* To the one that waits longest. It cannot end meanwhile: for that it needs the mutex. */
static void pass_pen(struct writing *writing)
{
    struct upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    if (writing->writes) {
        writing->writes = false;
        upload->locked.pen = false;
        struct writing *next = upload->locked.waiting;
        if (next) {
            unqueue(next);
            orbit_op_run(next->op, part_work);
        }
    }
    pthread_mutex_unlock(&upload->mutex);
}

/* Whether an ordered target has come to this part. ORBIT_AGAIN: not yet, it is queued and will be run. */
static orbit_status await_turn(struct writing *writing, orbit_op *op, orbit_error *error)
{
    struct upload *upload = writing->upload;
    orbit_status status = ORBIT_OK;
    pthread_mutex_lock(&upload->mutex);
    if (orbit_op_cancelled(op)) {
        unqueue(writing);
        status = orb_local_cancelled(error, "write", upload->path);
    } else if (upload->locked.failed < 0) {
        unqueue(writing);
        struct orb_local_shown shown;
        status = orb_fail(error, upload->locked.failed, 0, "cannot write '%s': an earlier part of it failed",
                          orb_local_show(&shown, upload->path));
    } else if (upload->locked.position == writing->begin) {
        unqueue(writing);
    } else {
        status = ORBIT_AGAIN;
        enqueue(writing);
    }
    pthread_mutex_unlock(&upload->mutex);
    return status;
}

/* The one that begins where the last ended; after a failure, any. */
static struct writing *next_in_turn(struct upload *upload)
{
    struct writing *next = upload->locked.waiting;
    while (next && (next->woken || (upload->locked.failed == ORBIT_OK && next->begin != upload->locked.position)))
        next = next->next;
    return next;
}

/* The turn goes on: to the part that begins where this one ended, or, after a failure, to all of them so that
 * they end. Those that wait cannot end meanwhile: for that they need the mutex. */
static void pass_turn(struct writing *writing, orbit_status status)
{
    struct upload *upload = writing->upload;
    pthread_mutex_lock(&upload->mutex);
    if (status == ORBIT_OK)
        upload->locked.position = writing->end;
    else if (upload->locked.failed == ORBIT_OK)
        upload->locked.failed = status;
    struct writing *next;
    while ((next = next_in_turn(upload))) {
        next->woken = true;
        orbit_op_run(next->op, part_work);
    }
    pthread_mutex_unlock(&upload->mutex);
}

static void part_work(void *self, orbit_op *op)
{
    (void)self;
    struct writing *writing = op->state;
    struct upload *upload = writing->upload;
    orbit_error error = {0};
    orbit_status status = ORBIT_OK;
    bool ordered = upload->target.ordered;

    if (ordered && writing->at == writing->begin)
        status = await_turn(writing, op, &error);
    else if (!ordered && !take_pen(writing, op))
        return;
    if (status == ORBIT_OK)
        status = drain(writing, op, &error);
    if (!ordered)
        pass_pen(writing);
    if (status == ORBIT_AGAIN)
        return;
    if (status == ORBIT_OK)
        atomic_fetch_add(&upload->written, writing->end - writing->begin);
    if (ordered)
        pass_turn(writing, status);
    orb_local_end(op, status, &error);
}

static void part_resume(orbit_op *op)
{
    orbit_op_run(op, part_work);
}

void orb_local_part(void *self, orbit_op *op, void *upload, const orbit_part *part, orbit_body *body,
                    orbit_part_reply *reply)
{
    (void)self;
    (void)reply; /* nothing is known of a part but that it is there */
    struct writing *writing = orb_calloc(1, sizeof(*writing));
    if (!writing) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    writing->op = op;
    writing->upload = upload;
    writing->body = body;
    writing->begin = writing->at = part->offset;
    writing->end = part->offset + part->length;
    op->state = writing;
    op->resume = part_resume;
    orbit_op_run(op, part_work);
}

/* ---- begin, finish, abort ------------------------------------------------------------------------ */

static void begin_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_begin_request *begin = call->request;
    orbit_begin_reply *reply = call->reply;
    orbit_error error = {0};
    orbit_status status;

    struct upload *upload = upload_new(begin->path);
    if (!upload) {
        status = orb_fail_memory(&error);
    } else {
        const struct orb_local_target_request request = {begin->path, begin->options, begin->preserve,
                                                         begin->resume_id};
        status = orb_local_target_open(&upload->target, self, op, &request, &error);
    }
    if (status < 0) {
        upload_free(upload);
    } else {
        reply->upload = upload;
        reply->upload_id = upload->target.temporary[0] ? upload->target.temporary : NULL;
    }
    orb_local_end(op, status, &error);
}

void orb_local_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    (void)self;
    orb_local_start(op, request, reply, NULL, begin_work);
}

static void finish_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_call *call = op->state;
    const orbit_finish_request *request = call->request;
    struct upload *upload = call->extra;
    orbit_error error = {0};
    orbit_status status;

    if (orbit_op_cancelled(op))
        status = orb_local_cancelled(&error, "write", upload->path);
    else
        status = upload_finish(upload, request->size, call->reply, &error);
    if (status == ORBIT_OK) { /* the directory stays, in case it is asked again */
        orb_local_close(upload->target.fd);
        upload->target.fd = -1;
    }
    orb_local_end(op, status, &error);
}

void orb_local_finish(void *self, orbit_op *op, void *upload, const orbit_finish_request *request,
                      orbit_metadata *reply)
{
    (void)self;
    orb_local_start(op, request, reply, upload, finish_work);
}

static void abort_work(void *self, orbit_op *op)
{
    (void)self;
    struct orb_local_call *call = op->state;
    struct upload *upload = call->extra;
    orb_local_target_discard(&upload->target);
    orb_local_end(op, ORBIT_OK, NULL);
}

void orb_local_abort(void *self, orbit_op *op, void *upload)
{
    (void)self;
    orb_local_start(op, NULL, NULL, upload, abort_work);
}

void orb_local_release(void *self, void *upload)
{
    (void)self;
    upload_free(upload);
}
