/* SPDX-License-Identifier: Apache-2.0
 * Writing: a small file in one operation, a large one in parts at their offsets, on whichever channel is free. A
 * small one costs three round trips: the temporary, its bytes and everything about them, its name. Loop thread. */
#include "backend/sftp/sftp_write.h"

#include "base/mem.h"

/* ---- put ------------------------------------------------------------------------------------------- */

struct put_call {
    struct sftp_write_call write; /* first */
    struct sftp_target target;
    struct sftp_pump pump;
    orbit_body *body;
    orbit_metadata *reply;
    unsigned left; /* bytes, and what follows them */
    orbit_status status;
    orbit_error error;
};

static void put_release(struct sftp_call *call)
{
    struct put_call *put = (struct put_call *)call;
    sftp_pump_release(&put->pump);
    sftp_writing_release(&put->write.writing);
    sftp_target_drop(&put->target, sftp_call_session(call));
    sftp_target_release(&put->target);
}

static void put_published(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct put_call *put = (struct put_call *)call;
    if (status < 0) {
        sftp_writing_discard(&put->write.writing, status, error);
        return;
    }
    *put->reply = put->target.result;
    sftp_call_end(call, ORBIT_OK, NULL);
}

/* The bytes, and everything about them, have been answered. */
static void put_answered(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct put_call *put = (struct put_call *)call;
    if (status < 0 && put->status >= 0) {
        put->status = status;
        put->error = *error;
    }
    if (--put->left > 0)
        return;
    if (put->status < 0) {
        sftp_pump_release(&put->pump);
        sftp_writing_discard(&put->write.writing, put->status, &put->error);
    } else {
        sftp_writing_publish(&put->write.writing, put_published);
    }
}

static void put_drained(struct sftp_call *call)
{
    struct put_call *put = (struct put_call *)call;
    put->left = 2;
    sftp_writing_settle(&put->write.writing, put_answered);
}

static void put_opened(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct put_call *put = (struct put_call *)call;
    if (status < 0) {
        sftp_writing_discard(&put->write.writing, status, error);
        return;
    }
    put->left = 1;
    put->pump.drained = put_drained;
    put->pump.then = put_answered;
    sftp_pump_start(&put->pump, call, put->body, sftp_target_handle(&put->target, call), 0);
}

static void put_go(struct sftp_call *call)
{
    sftp_writing_open(&((struct put_call *)call)->write.writing, put_opened);
}

static void put_step(struct sftp_call *call)
{
    struct put_call *put = (struct put_call *)call;
    if (put->pump.call)
        sftp_pump_step(&put->pump);
}

void sftp_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    orbit_error error;
    struct put_call *put = sftp_call_new(self, op, sizeof(*put), "write", request->path, put_release);
    if (!put)
        return;
    put->body = body;
    put->reply = reply;
    put->write.call.changes = &put->target.full;
    put->write.writing.call = &put->write.call;
    put->write.writing.target = &put->target;
    put->write.writing.size = body->length;
    put->write.call.step = put_step;
    put->write.call.bulk = body->length > 64 << 10;
    orbit_status status =
        sftp_target_init(&put->target, self, request->path, request->options, request->preserve, &error);
    if (status < 0) {
        sftp_call_end(&put->write.call, status, &error);
        return;
    }
    sftp_call_resumes(&put->write.call);
    sftp_call_start(&put->write.call, put_go);
}

/* ---- begin ----------------------------------------------------------------------------------------- */

struct upload_call {
    struct sftp_write_call write; /* these two first: struct sftp_upload_call */
    struct sftp_target *target;
    struct sftp_pump pump;
    orbit_begin_reply *begun;
    const orbit_part *part;
    orbit_body *body;
    const orbit_finish_request *finish;
    orbit_metadata *reply;
};

static void upload_release(struct sftp_call *call)
{
    struct upload_call *upload = (struct upload_call *)call;
    sftp_pump_release(&upload->pump);
    sftp_writing_release(&upload->write.writing);
    if (upload->begun) { /* it was not given away */
        sftp_target_drop(upload->target, sftp_call_session(call));
        sftp_release(call->store, upload->target);
    }
}

void *sftp_upload_call_new(struct sftp_store *store, orbit_op *op, size_t bytes, struct sftp_target *target,
                           const char *what, void (*release)(struct sftp_call *call))
{
    struct sftp_upload_call *upload = sftp_call_new(store, op, bytes, "write", what, release);
    if (!upload)
        return NULL;
    upload->target = target;
    upload->write.call.changes = &target->full;
    upload->write.writing.call = &upload->write.call;
    upload->write.writing.target = target;
    return upload;
}

static struct upload_call *upload_new(struct sftp_store *store, orbit_op *op, const char *path,
                                      struct sftp_target *target)
{
    return sftp_upload_call_new(store, op, sizeof(struct upload_call), target, path, upload_release);
}

static void begun(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status < 0) {
        sftp_writing_discard(&upload->write.writing, status, error);
        return;
    }
    upload->begun->upload = upload->target;
    upload->begun->upload_id = sftp_target_id(upload->target);
    struct orb_sftp *session = sftp_call_session(call);
    upload->begun->in_order = session && !sftp_is_openssh(session);
    upload->begun = NULL;
    sftp_call_end(call, ORBIT_OK, NULL);
}

/* One that is taken up is looked at by parts(), when it is known what it should have. */
static void begin_go(struct sftp_call *call)
{
    const struct upload_call *upload = (struct upload_call *)call;
    if (upload->target->resumed)
        begun(call, ORBIT_OK, NULL);
    else
        sftp_writing_open(&((struct upload_call *)call)->write.writing, begun);
}

void sftp_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    orbit_error error;
    struct sftp_target *target = orb_calloc(1, sizeof(*target));
    struct upload_call *upload = NULL;
    if (!target) {
        orbit_op_done(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    orbit_status status = sftp_target_init(target, self, request->path, request->options, request->preserve, &error);
    if (status >= 0 && request->resume_id)
        status = sftp_target_resume(target, request->resume_id, &error);
    target->resumable = request->resumable;
    target->size = request->size_hint;
    if (status >= 0)
        upload = upload_new(self, op, request->path, target);
    else
        orbit_op_done(op, status, &error);
    if (!upload) {
        sftp_release(self, target);
        return;
    }
    upload->begun = reply;
    upload->write.writing.need = request->size_hint == ORBIT_SIZE_UNKNOWN ? 0 : request->size_hint;
    sftp_channels_ahead(self, upload->write.writing.need, request->options->parallel_operations);
    sftp_call_start(&upload->write.call, begin_go);
}

/* ---- parts ----------------------------------------------------------------------------------------- */

static void part_drained(struct sftp_call *call)
{
    (void)call;
}

static void part_answered(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    sftp_call_end(call, status, error);
}

static void part_opened(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status < 0) {
        sftp_call_end(call, status, error);
        return;
    }
    upload->pump.drained = part_drained;
    upload->pump.then = part_answered;
    upload->pump.acknowledged = upload->target->resumable ? &upload->target->news : NULL;
    sftp_pump_start(&upload->pump, call, upload->body, sftp_target_handle(upload->target, call), upload->part->offset);
}

static void part_go(struct sftp_call *call)
{
    sftp_writing_reopen(&((struct upload_call *)call)->write.writing, part_opened);
}

static void part_step(struct sftp_call *call)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (upload->pump.call)
        sftp_pump_step(&upload->pump);
}

void sftp_part(void *self, orbit_op *op, void *target_, const orbit_part *part, orbit_body *body,
               orbit_part_reply *reply)
{
    struct sftp_target *target = target_;
    struct upload_call *upload = upload_new(self, op, target->full, target);
    (void)reply;
    if (!upload)
        return;
    upload->part = part;
    upload->body = body;
    upload->write.call.bulk = true;
    upload->write.call.step = part_step;
    sftp_call_resumes(&upload->write.call);
    sftp_call_start(&upload->write.call, part_go);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void finish_published(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status >= 0)
        *upload->reply = upload->target->result;
    sftp_call_end(call, status, error);
}

static void finish_settled(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status < 0)
        sftp_call_end(call, status, error);
    else
        sftp_writing_publish(&upload->write.writing, finish_published);
}

static void finish_opened(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status < 0)
        sftp_call_end(call, status, error);
    else
        sftp_writing_settle(&upload->write.writing, finish_settled);
}

static void finish_resolved(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (status == ORBIT_AGAIN)
        sftp_writing_reopen(&upload->write.writing, finish_opened);
    else
        finish_published(call, status, error);
}

static void finish_go(struct sftp_call *call)
{
    struct upload_call *upload = (struct upload_call *)call;
    if (upload->finish->resolve)
        sftp_writing_resolve(&upload->write.writing, finish_resolved);
    else
        sftp_writing_reopen(&upload->write.writing, finish_opened);
}

void sftp_finish(void *self, orbit_op *op, void *target_, const orbit_finish_request *request, orbit_metadata *reply)
{
    struct sftp_target *target = target_;
    struct upload_call *upload = upload_new(self, op, target->full, target);
    if (!upload)
        return;
    upload->finish = request;
    upload->reply = reply;
    upload->write.writing.size = request->size;
    if (target->published) { /* asked again */
        finish_published(&upload->write.call, ORBIT_OK, NULL);
        return;
    }
    sftp_call_start(&upload->write.call, finish_go);
}

static void abort_go(struct sftp_call *call)
{
    sftp_writing_discard(&((struct upload_call *)call)->write.writing, ORBIT_OK, NULL);
}

void sftp_abort(void *self, orbit_op *op, void *target_)
{
    struct sftp_target *target = target_;
    struct upload_call *upload = upload_new(self, op, target->full, target);
    if (upload)
        sftp_call_start(&upload->write.call, abort_go);
}

void sftp_release(void *self, void *target)
{
    (void)self;
    sftp_target_close(target); /* of one that is kept */
    sftp_target_release(target);
    orb_free(target);
}
