/* SPDX-License-Identifier: Apache-2.0
 * The state machine of one upload. Retries are engine/call's; bodies and how many parts are in flight belong to who
 * feeds it. Loop thread only. */
#include "engine/upload.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/sweep.h"

#define ABORT_MS   15000 /* a store that does not answer must not hold up who gave up */
#define SWEEPS_MAX 3u

/* A store that was too slow to answer a begin may carry it out when we have long gone on: how long it is looked for,
 * and how often. Only an upload that is over sooner waits. */
#define LATE_NS    ((uint64_t)(5 * ORB_S))
#define LATE_AGAIN 500 /* ms */

static void settle(struct orb_upload *upload);

static struct orb_upload *upload_of(struct orb_call *call)
{
    return call->ctx;
}

/* ---- a body that is memory ------------------------------------------------------------------------- */

static orbit_status memory_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct orb_memory_body *memory = (struct orb_memory_body *)body;
    if (memory->at == body->length)
        return ORBIT_END;
    *bytes = memory->bytes + memory->at;
    *length = (size_t)body->length - memory->at;
    return ORBIT_OK;
}

static void memory_consume(orbit_body *body, size_t length)
{
    struct orb_memory_body *memory = (struct orb_memory_body *)body;
    assert(length <= body->length - memory->at);
    memory->at += length;
}

static orbit_status memory_rewind(orbit_body *body)
{
    ((struct orb_memory_body *)body)->at = 0;
    return ORBIT_OK;
}

void orb_memory_body_init(struct orb_memory_body *body, const void *bytes, size_t length)
{
    *body = (struct orb_memory_body){.body = {memory_peek, memory_consume, memory_rewind, length, bytes, NULL},
                                     .bytes = bytes};
}

/* With a condition, a second attempt would stumble over the first one. */
static bool unconditional(const struct orb_upload *upload)
{
    const orbit_write_options *options = upload->options;
    return !options || (options->overwrite && !options->if_match);
}

/* ---- the end --------------------------------------------------------------------------------------- */

/* Told by a message: who stops or sends never finds its upload gone when the call returns. */
static void tell_end(struct orb_message *message)
{
    struct orb_upload *upload = (struct orb_upload *)((char *)message - offsetof(struct orb_upload, message));
    upload->message_out = false;
    if (upload->status >= 0) {
        upload->ended(upload, ORBIT_OK, NULL);
        return;
    }
    orbit_error error = upload->error;
    upload->ended(upload, upload->status, &error);
}

static void end_watch(struct orb_upload *upload)
{
    orb_timer_cancel(upload->abort_timer);
    orb_timer_cancel(upload->sweep_timer);
    upload->abort_timer = upload->sweep_timer = NULL;
}

static void tell(struct orb_upload *upload)
{
    end_watch(upload);
    orb_free(upload->sweep);
    upload->sweep = NULL;
    upload->state = ORB_UPLOAD_OVER;
    upload->message_out = true;
    orb_loop_post(upload->backend->host->loop, &upload->message);
}

static void sweep_again(void *ctx)
{
    struct orb_upload *upload = ctx;
    upload->sweep_timer = NULL;
    orb_sweep_start(upload->sweep);
}

static void swept(struct orb_sweep *sweep)
{
    struct orb_upload *upload = sweep->ctx;
    bool nothing = orb_sweep_found_nothing(sweep);
    if (!nothing)
        upload->unheard--;
    if (!upload->abort_timer || !upload->unheard || (nothing && orb_now_ns() - upload->unheard_ns >= LATE_NS)) {
        tell(upload);
        return;
    }
    upload->sweep_timer = orb_timer_start(upload->backend->host->loop, nothing ? LATE_AGAIN : 0, sweep_again, upload);
    if (!upload->sweep_timer)
        tell(upload);
}

static void sweep_late(void *ctx)
{
    struct orb_upload *upload = ctx;
    upload->abort_timer = NULL;
    if (upload->sweep_timer)
        tell(upload);
    else
        orb_sweep_stop(upload->sweep);
}

/* What a begin whose reply was lost made is in no list of ours, and costs until somebody finds it. At the end, when our
 * own upload is not among the open ones any more. */
static bool sweep(struct orb_upload *upload)
{
    struct orb_backend *backend = upload->backend;
    const orbit_backend_ops *ops = backend->ops;
    if (!upload->unheard || upload->kept || !ops->uploads || !ops->parts || !ops->abort)
        return false;
    upload->sweep = orb_calloc(1, sizeof(*upload->sweep));
    upload->abort_timer = upload->sweep ? orb_timer_start(backend->host->loop, ABORT_MS, sweep_late, upload) : NULL;
    if (!upload->abort_timer)
        return false;
    if (upload->unheard > SWEEPS_MAX)
        upload->unheard = SWEEPS_MAX;
    upload->state = ORB_UPLOAD_SWEEPING;
    *upload->sweep = (struct orb_sweep){.backend = backend,
                                        .path = upload->path,
                                        .options = upload->options,
                                        .begun_ns = upload->begun_ns,
                                        .done = swept,
                                        .ctx = upload};
    upload->sweep->call.tally = upload->tally;
    orb_sweep_start(upload->sweep);
    return true;
}

static void over(struct orb_upload *upload)
{
    if (upload->handle && upload->backend->ops->release)
        upload->backend->ops->release(upload->backend->self, upload->handle);
    upload->handle = NULL;
    end_watch(upload);
    if (!sweep(upload))
        tell(upload);
}

static void start_abort(struct orb_call *call)
{
    struct orb_upload *upload = upload_of(call);
    const orbit_backend_ops *ops = upload->backend->ops;
    orb_call_names(call, ORBIT_REQUEST_ABORT, upload->path);
    (ops->abort)(upload->backend->self, &call->op.op, upload->handle); /* parenthesised: the plain word is banned */
}

static void abort_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_upload *upload = upload_of(call);
    if (status < 0)
        orb_log(&upload->backend->host->log, ORBIT_LOG_WARN,
                "parts of '%s' may be left in '%s': the upload could not be aborted: %s", upload->path,
                upload->backend->url, error->message);
    upload->kept = status < 0;
    over(upload);
}

static void abort_late(void *ctx)
{
    struct orb_upload *upload = ctx;
    upload->abort_timer = NULL;
    orb_call_cancel(&upload->call);
}

static void start_suspend(struct orb_call *call)
{
    struct orb_upload *upload = upload_of(call);
    orb_log(&upload->backend->host->log, ORBIT_LOG_INFO, "what was written of '%s' is kept, to go on from there",
            upload->path);
    upload->backend->ops->suspend(upload->backend->self, &call->op.op, upload->handle);
}

/* Not for what would meet the same wall again. */
static bool may_go_on(orbit_status status)
{
    switch (status) {
    case ORBIT_E_CHANGED:
    case ORBIT_E_CHECKSUM:
    case ORBIT_E_EXISTS:
    case ORBIT_E_NOT_FOUND:
    case ORBIT_E_MISUSE:
    case ORBIT_E_CONFIG:
    case ORBIT_E_LIMIT:
    case ORBIT_E_UNSUPPORTED:
    case ORBIT_E_PATH:
        return false;
    default:
        return true;
    }
}

static void start_aborting(struct orb_upload *upload)
{
    struct orb_backend *backend = upload->backend;
    upload->state = ORB_UPLOAD_ABORTING;
    bool suspend = upload->handle && upload->begin_reply.keeps && backend->ops->suspend &&
                   (may_go_on(upload->status) || upload->status == ORBIT_E_LIMIT); /* of a disk: it may be raised */
    /* A disk that is full is not left full; a store of objects has room for what it has. */
    bool in_the_way = upload->resumable && (upload->status == ORBIT_E_NO_SPACE || upload->status == ORBIT_E_QUOTA);
    upload->kept = upload->handle && upload->keep && may_go_on(upload->status) && !in_the_way;
    if (!upload->handle || (!suspend && !backend->ops->abort) || upload->kept) {
        over(upload);
        return;
    }
    upload->abort_timer = orb_timer_start(backend->host->loop, ABORT_MS, abort_late, upload);
    upload->call.again = NULL;
    upload->call.eager = !suspend;
    orb_call_start(&upload->call, backend, suspend ? start_suspend : start_abort, abort_done, upload);
}

/* Stopping: once nothing is in flight, abort what was begun. */
static void settle(struct orb_upload *upload)
{
    if (!upload->stopping || upload->in_flight || !orb_call_idle(&upload->call) || upload->state >= ORB_UPLOAD_ABORTING)
        return;
    start_aborting(upload);
}

void orb_upload_stop(struct orb_upload *upload, orbit_status status, const orbit_error *error)
{
    if (upload->stopping || upload->state >= ORB_UPLOAD_ABORTING)
        return;
    upload->stopping = true;
    upload->status = status;
    if (error)
        upload->error = *error;
    else
        orb_fail(&upload->error, status, 0, "%s", orbit_status_text(status));
    for (struct orb_upload_part *part = upload->in_flight; part; part = part->next)
        orb_call_cancel(&part->call);
    /* A begin that is on its way makes an upload which only its reply names: it is heard out, so that what it made
     * can be aborted. */
    bool hear_out = upload->state == ORB_UPLOAD_BEGINNING && !orb_call_idle(&upload->call) && !upload->call.waiting &&
                    !upload->call.queued;
    if (hear_out)
        upload->abort_timer = orb_timer_start(upload->backend->host->loop, ABORT_MS, abort_late, upload);
    if (!upload->abort_timer)
        orb_call_cancel(&upload->call);
    settle(upload);
}

/* ---- begin ----------------------------------------------------------------------------------------- */

static void start_begin(struct orb_call *call)
{
    struct orb_upload *upload = upload_of(call);
    upload->begin_reply = (orbit_begin_reply){0};
    orb_call_names(call, ORBIT_REQUEST_BEGIN, upload->path);
    upload->backend->ops->begin(upload->backend->self, &call->op.op, &upload->begin_request, &upload->begin_reply);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_upload *upload = upload_of(call);
    end_watch(upload);
    if (status >= 0)
        upload->handle = upload->begin_reply.upload;
    if (status >= 0 && upload->begin_reply.in_order)
        upload->sequential = true;
    if (upload->stopping) {
        settle(upload);
    } else if (status < 0) {
        orb_upload_stop(upload, status, error);
    } else {
        upload->state = ORB_UPLOAD_OPEN;
        upload->opened(upload);
    }
}

/* Whether the store heard it or not: no reply came. */
static void note_unheard(struct orb_upload *upload, const orbit_error *error)
{
    if ((error->flags & ORBIT_ERROR_MAYBE_DONE) && error->status != ORBIT_E_CONNECT) {
        upload->unheard++;
        if (error->status == ORBIT_E_TIMEOUT)
            upload->unheard_ns = orb_now_ns();
    }
}

static bool begin_again(struct orb_call *call, const orbit_error *error)
{
    note_unheard(upload_of(call), error);
    return !upload_of(call)->stopping && ((error->flags & ORBIT_ERROR_RETRIABLE) || error->status == ORBIT_E_CONNECT);
}

static void begin(struct orb_upload *upload)
{
    upload->state = ORB_UPLOAD_BEGINNING;
    upload->begun_ns = orb_realtime_ns();
    upload->call.again = begin_again;
    upload->call.eager = false; /* each begin makes another upload, and only its reply names it */
    orb_call_start(&upload->call, upload->backend, start_begin, begin_done, upload);
}

static void start_look(struct orb_call *call)
{
    struct orb_upload *upload = upload_of(call);
    orbit_metadata_release(&upload->found);
    orb_call_names(call, ORBIT_REQUEST_STAT, upload->path);
    upload->backend->ops->stat(upload->backend->self, &call->op.op, &upload->stat_request, &upload->found);
}

/* A FIFO or a device takes its bytes in order, whatever the rest of its store can. */
static void look_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_upload *upload = upload_of(call);
    (void)error; /* nothing there, or not to be seen: begin will say what matters */
    if (status >= 0 && upload->found.kind == ORBIT_KIND_FILE)
        upload->stood = upload->found.size;
    if (status >= 0 && upload->found.kind == ORBIT_KIND_OTHER)
        upload->sequential = true;
    orbit_metadata_release(&upload->found);
    if (upload->stopping)
        settle(upload);
    else
        begin(upload);
}

void orb_upload_begin(struct orb_upload *upload, uint64_t size_hint, uint64_t part_bytes)
{
    assert(upload->state == ORB_UPLOAD_NEW);
    struct orb_backend *backend = upload->backend;
    if (upload->stopping)
        return;
    upload->multipart = true;
    upload->begin_request = (orbit_begin_request){.path = upload->path,
                                                  .options = upload->options,
                                                  .preserve = upload->preserve,
                                                  .size_hint = size_hint,
                                                  .part_bytes = part_bytes,
                                                  .keep = upload->extents,
                                                  .copy = upload->source,
                                                  .resumable = upload->resumable};
    if (!backend->ops->begin || !backend->ops->part || !backend->ops->finish) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_LIMIT, 0,
                 "cannot write '%s': it is larger than one request of %s may be, and %s has "
                 "no uploads in parts",
                 upload->path, backend->ops->name, backend->ops->name);
        orb_upload_stop(upload, ORBIT_E_LIMIT, &error);
    } else if (backend->caps.random_access && backend->caps.hierarchical && backend->ops->stat) {
        upload->state = ORB_UPLOAD_LOOKING;
        upload->stat_request = (orbit_stat_request){.path = upload->path, .follow_symlinks = true};
        orb_call_start(&upload->call, backend, start_look, look_done, upload);
    } else {
        begin(upload);
    }
}

void orb_upload_take_up(struct orb_upload *upload, void *handle, uint32_t parts, uint64_t bytes)
{
    assert(upload->state == ORB_UPLOAD_NEW && !upload->stopping);
    upload->state = ORB_UPLOAD_OPEN;
    upload->multipart = true;
    upload->handle = handle;
    upload->parts = parts;
    upload->bytes = bytes;
    upload->opened(upload);
}

/* ---- parts and the single put ----------------------------------------------------------------------- */

static void start_part(struct orb_call *call)
{
    struct orb_upload_part *part = call->ctx;
    struct orb_upload *upload = part->upload;
    struct orb_backend *backend = upload->backend;
    part->reply = (orbit_part_reply){0};
    if (part->begin)
        part->begin(part);
    if (upload->state == ORB_UPLOAD_SINGLE) {
        orbit_metadata_release(&upload->metadata);
        upload->put_request.since_ns = upload->maybe_there ? upload->begun_ns : 0;
        orb_call_names(call, ORBIT_REQUEST_PUT, upload->path);
        backend->ops->put(backend->self, &call->op.op, &upload->put_request, part->body, &upload->metadata);
    } else if (upload->source) {
        part->copy = (orbit_part_copy_request){upload->source, part->part};
        orb_call_names(call, ORBIT_REQUEST_PART_COPY, upload->path);
        backend->ops->part_copy(backend->self, &call->op.op, upload->handle, &part->copy, &part->reply);
    } else {
        orb_call_names(call, ORBIT_REQUEST_PART, upload->path);
        backend->ops->part(backend->self, &call->op.op, upload->handle, &part->part, part->body, &part->reply);
    }
}

static bool part_again(struct orb_call *call, const orbit_error *error)
{
    struct orb_upload_part *part = call->ctx;
    if (part->upload->stopping)
        return false;
    if (error->flags & ORBIT_ERROR_MAYBE_DONE)
        part->upload->maybe_there = true;
    return !part->again || part->again(part, error);
}

static void part_over(struct orb_upload_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_upload *upload = part->upload;
    bool single = upload->state == ORB_UPLOAD_SINGLE;
    orbit_error own = {0};
    if (status < 0) {
        own = *error;
        /* A conditional put that was sent twice may have met its own first attempt, unless that was looked at. */
        if (single && upload->maybe_there && !upload->backend->caps.resolves_writes &&
            (status == ORBIT_E_EXISTS || status == ORBIT_E_CHANGED))
            orb_error_maybe_own(&own);
    }
    *part->link = part->next;
    if (part->next)
        part->next->link = part->link;
    part->next = NULL;
    part->link = NULL;
    if (status >= 0) {
        upload->parts++;
        upload->bytes += part->part.length;
    }
    if (status < 0 && !upload->stopping)
        orb_upload_stop(upload, status, &own);
    if (single && status >= 0) { /* also when it was to be stopped: the object is there */
        upload->status = ORBIT_OK;
        upload->stopping = false;
    }
    part->done(part, status, status < 0 ? &own : NULL);
    if (single && status >= 0)
        over(upload);
    else
        settle(upload);
}

static void part_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_upload_part *part = call->ctx;
    struct orb_upload *upload = part->upload;
    if (status >= 0 && upload->confirm && upload->state != ORB_UPLOAD_SINGLE)
        upload->confirm(upload, part);
    else
        part_over(part, status, error);
}

void orb_upload_confirmed(struct orb_upload_part *part)
{
    part_over(part, ORBIT_OK, NULL);
}

void orb_upload_send(struct orb_upload *upload, struct orb_upload_part *part)
{
    assert(upload->state == ORB_UPLOAD_NEW || upload->state == ORB_UPLOAD_OPEN);
    part->upload = upload;
    part->next = upload->in_flight;
    if (part->next)
        part->next->link = &part->next;
    part->link = &upload->in_flight;
    upload->in_flight = part;
    if (upload->state == ORB_UPLOAD_NEW) {
        upload->state = ORB_UPLOAD_SINGLE;
        upload->put_request = (orbit_put_request){upload->path, upload->options, upload->preserve, 0};
        upload->begun_ns = orb_realtime_ns();
    }
    bool fixed = upload->options && upload->options->parallel_operations;
    part->call.need = fixed || upload->joined ? ORB_FLOW_FREE : ORB_FLOW_BULK;
    part->call.turn = &upload->turn;
    part->call.tally = upload->tally;
    part->call.again = part_again;
    /* A part is its number, whoever brings it; one that the store copies may take minutes and say nothing. */
    part->call.eager = !upload->source && (upload->state == ORB_UPLOAD_OPEN || unconditional(upload));
    orb_call_start(&part->call, upload->backend, start_part, part_done, part);
    if (upload->stopping)
        orb_call_cancel(&part->call);
}

uint32_t orb_upload_share(const struct orb_upload *upload, uint32_t most)
{
    if (upload->sequential)
        return 1;
    if (upload->options && upload->options->parallel_operations)
        return most;
    return orb_flow_share(upload->backend, &upload->turn, most);
}

/* ---- finish ---------------------------------------------------------------------------------------- */

static void start_finish(struct orb_call *call)
{
    struct orb_upload *upload = upload_of(call);
    orbit_metadata_release(&upload->metadata);
    orb_call_names(call, ORBIT_REQUEST_FINISH, upload->path);
    upload->backend->ops->finish(upload->backend->self, &call->op.op, upload->handle, &upload->finish_request,
                                 &upload->metadata);
}

/* A finish whose reply was lost is asked what became of it before it is tried again. */
static bool finish_again(struct orb_call *call, const orbit_error *error)
{
    struct orb_upload *upload = upload_of(call);
    if (upload->stopping)
        return false;
    upload->hurried |= call->hurried;
    /* The first finish, which we did not wait for, has used up the upload, and what it makes is not to be seen yet. */
    if (error->status == ORBIT_E_NOT_FOUND && !upload->hurried)
        return false;
    if (error->flags & ORBIT_ERROR_MAYBE_DONE)
        upload->finish_request.resolve = true;
    return true;
}

static void finish_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_upload *upload = upload_of(call);
    upload->call.again = NULL;
    if (status >= 0) { /* also when it was to be stopped: the object is there */
        upload->status = ORBIT_OK;
        upload->stopping = false;
        over(upload);
    } else if (upload->stopping) {
        settle(upload);
    } else {
        orb_upload_stop(upload, status, error);
    }
}

void orb_upload_finish(struct orb_upload *upload, uint64_t size, uint32_t part_count)
{
    assert(!upload->in_flight);
    if (upload->stopping)
        return;
    assert(upload->state == ORB_UPLOAD_OPEN);
    upload->state = ORB_UPLOAD_FINISHING;
    upload->finish_request = (orbit_finish_request){
        .size = size, .part_count = part_count, .expected = upload->expected, .reread = upload->reread};
    upload->call.again = finish_again;
    upload->call.eager = unconditional(upload); /* the next attempt looks before it asks */
    upload->hurried = false;
    orb_call_start(&upload->call, upload->backend, start_finish, finish_done, upload);
}

void orb_upload_init(struct orb_upload *upload)
{
    upload->message.deliver = tell_end;
    upload->call.tally = upload->tally;
    upload->sequential = upload->backend->caps.sequential_parts;
}
