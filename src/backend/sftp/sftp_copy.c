/* SPDX-License-Identifier: Apache-2.0
 * Copies that the server makes by itself (copy-data), a piece after the other, so that it is never silent for long.
 * Loop thread. */
#include "backend/sftp/sftp_write.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define PIECE ((uint64_t)64 << 20)

struct copy_call {
    struct sftp_write_call write; /* first */
    struct sftp_target target;
    const orbit_copy_request *request;
    orbit_metadata *reply;
    char *from;
    struct orb_sftp_request open, stat, copy;
    struct orb_sftp_handle source;
    orbit_metadata about;
    uint64_t done, size;
};

static void copy_release(struct sftp_call *call)
{
    struct copy_call *copy = (struct copy_call *)call;
    struct orb_sftp *session = sftp_call_session(call);
    struct orb_sftp_request *requests[] = {&copy->open, &copy->stat, &copy->copy};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        orb_sftp_forget(requests[i]);
        orb_sftp_request_release(requests[i]);
    }
    if (session && copy->source.length)
        orb_sftp_close_handle(session, &copy->source);
    sftp_writing_release(&copy->write.writing);
    sftp_target_drop(&copy->target, session);
    sftp_target_release(&copy->target);
    orb_free(copy->from);
}

static void copy_published(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (status < 0) {
        sftp_writing_discard(&copy->write.writing, status, error);
        return;
    }
    *copy->reply = copy->target.result;
    sftp_call_end(call, ORBIT_OK, NULL);
}

static void copy_settled(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (status < 0)
        sftp_writing_discard(&copy->write.writing, status, error);
    else
        sftp_writing_publish(&copy->write.writing, copy_published);
}

static void copy_piece(struct copy_call *copy);

static void piece_done(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct copy_call *copy = (struct copy_call *)call;
    orbit_error error;
    orbit_status status = sftp_check(call, request, ORB_SFTP_STATUS, &error);
    if (status < 0) {
        call->refused = true;
        sftp_writing_discard(&copy->write.writing, status, &error);
        return;
    }
    uint64_t left = copy->size - copy->done, length = left < PIECE ? left : PIECE;
    copy->done += length;
    orbit_op_progress(call->op, length);
    copy_piece(copy);
}

static void copy_piece(struct copy_call *copy)
{
    struct sftp_call *call = &copy->write.call;
    uint64_t left = copy->size - copy->done;
    if (left == 0) {
        copy->write.writing.size = copy->size;
        sftp_writing_settle(&copy->write.writing, copy_settled);
        return;
    }
    /* A length of 0 would mean: all of the rest. */
    orb_sftp_copy_data(&copy->copy, &copy->source, copy->done, left < PIECE ? left : PIECE,
                       sftp_target_handle(&copy->target, call), copy->done);
    sftp_call_ask(call, &copy->copy, piece_done);
}

static void copy_target_open(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (status < 0)
        sftp_writing_discard(&copy->write.writing, status, error);
    else
        copy_piece(copy);
}

static void source_described(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct copy_call *copy = (struct copy_call *)call;
    const orbit_metadata *pin = copy->request->pin;
    struct orb_sftp_attributes attributes;
    orbit_error error;
    if (!sftp_fine(call, request, ORB_SFTP_ATTRS))
        return;
    orb_sftp_get_attributes(&request->reply, &attributes);
    sftp_describe(&copy->about, &attributes);
    uint32_t both = pin ? pin->fields & copy->about.fields : 0;
    if (copy->about.kind == ORBIT_KIND_DIRECTORY) {
        sftp_end_with(call, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "it is a directory");
        return;
    }
    if (((both & ORBIT_HAS_SIZE) && pin->size != copy->about.size) ||
        ((both & ORBIT_HAS_MTIME) && pin->mtime_ns / (int64_t)ORB_S != copy->about.mtime_ns / (int64_t)ORB_S)) {
        sftp_end_with(call, ORBIT_E_CHANGED, 0, "it was changed meanwhile");
        return;
    }
    copy->size = copy->write.writing.need = attributes.size;
    orbit_status status = sftp_target_init(&copy->target, call->store, copy->request->to, copy->request->options,
                                           copy->request->preserve ? &copy->about : NULL, &error);
    if (status < 0)
        sftp_call_end(call, status, &error);
    else
        sftp_writing_open(&copy->write.writing, copy_target_open);
}

static void source_open(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct copy_call *copy = (struct copy_call *)call;
    if (!sftp_fine(call, request, ORB_SFTP_HANDLE))
        return;
    orb_sftp_get_handle(&request->reply, &copy->source);
    orb_sftp_on_handle(&copy->stat, ORB_SFTP_FSTAT, &copy->source);
    sftp_call_ask(call, &copy->stat, source_described);
}

static void copy_go(struct sftp_call *call)
{
    struct copy_call *copy = (struct copy_call *)call;
    if (!orb_sftp_can(sftp_call_session(call), ORB_SFTP_CAN_COPY_DATA)) {
        sftp_end_with(call, ORBIT_E_UNSUPPORTED, 0, "the server does not copy by itself (it has no copy-data)");
        return;
    }
    orb_sftp_open(&copy->open, copy->from, ORB_SFTP_OPEN_READ, NULL);
    sftp_call_ask(call, &copy->open, source_open);
}

void sftp_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    orbit_error error;
    struct copy_call *copy = sftp_call_new(self, op, sizeof(*copy), "copy", request->from, copy_release);
    if (!copy)
        return;
    copy->request = request;
    copy->reply = reply;
    copy->write.call.changes = &copy->target.full;
    copy->write.writing.call = &copy->write.call;
    copy->write.writing.target = &copy->target;
    copy->target.store = self;
    copy->from = sftp_full_path(request->from_self, request->from, &error);
    if (!copy->from)
        sftp_call_end(&copy->write.call, (orbit_status)error.status, &error);
    else
        sftp_call_start(&copy->write.call, copy_go);
}
