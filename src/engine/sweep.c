/* SPDX-License-Identifier: Apache-2.0
 * The steps of a sweep: list, take up, look for parts, abort. Any of them may fail: then the upload stays, and is
 * told by the list of open uploads. Loop thread. */
#include "engine/sweep.h"

#include "base/clock.h"

/* How far the store's clock may be off, and how long a request may have been on its way. */
#define BEFORE_NS ((int64_t)(2 * ORB_S))
#define AFTER_NS  ((int64_t)(20 * ORB_S))

static void end(struct orb_sweep *sweep)
{
    struct orb_backend *backend = sweep->backend;
    if (sweep->begin_reply.upload && backend->ops->release)
        backend->ops->release(backend->self, sweep->begin_reply.upload);
    sweep->begin_reply = (orbit_begin_reply){0};
    sweep->done(sweep);
}

static void next(struct orb_sweep *sweep, void (*start)(struct orb_call *),
                 void (*done)(struct orb_call *, orbit_status, const orbit_error *))
{
    orb_call_start(&sweep->call, sweep->backend, start, done, sweep);
}

static void start_abort(struct orb_call *call)
{
    struct orb_sweep *sweep = call->ctx;
    const orbit_backend_ops *ops = sweep->backend->ops;
    orb_call_names(call, ORBIT_REQUEST_ABORT, sweep->path);
    (ops->abort)(sweep->backend->self, &call->op.op, sweep->begin_reply.upload);
}

static void aborted(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_sweep *sweep = call->ctx;
    if (status >= 0)
        orb_log(&sweep->backend->host->log, ORBIT_LOG_WARN,
                "an upload of '%s' that was begun and of which the store's reply was never heard is aborted",
                sweep->path);
    else
        orb_log(&sweep->backend->host->log, ORBIT_LOG_WARN, "an earlier upload may be left at the store: %s",
                error->message);
    end(sweep);
}

static void one_part(void *ctx, const orbit_stored_part *part)
{
    (void)part;
    ((struct orb_sweep *)ctx)->has_parts = true;
}

static void start_parts(struct orb_call *call)
{
    struct orb_sweep *sweep = call->ctx;
    orb_call_names(call, ORBIT_REQUEST_UPLOADS, sweep->path);
    sweep->more_reply = (orbit_more_reply){0};
    sweep->parts_request = (orbit_parts_request){.upload = sweep->begin_reply.upload, .each = one_part, .ctx = sweep};
    sweep->backend->ops->parts(sweep->backend->self, &call->op.op, &sweep->parts_request, &sweep->more_reply);
}

static void looked(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_sweep *sweep = call->ctx;
    (void)error;
    if (status >= 0 && !sweep->has_parts)
        next(sweep, start_abort, aborted);
    else
        end(sweep);
}

static void start_begin(struct orb_call *call)
{
    struct orb_sweep *sweep = call->ctx;
    orb_call_names(call, ORBIT_REQUEST_BEGIN, sweep->path);
    sweep->begin_reply = (orbit_begin_reply){0};
    sweep->begin_request =
        (orbit_begin_request){.path = sweep->path, .options = sweep->options, .resume_id = sweep->id};
    sweep->backend->ops->begin(sweep->backend->self, &call->op.op, &sweep->begin_request, &sweep->begin_reply);
}

static void taken_up(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_sweep *sweep = call->ctx;
    (void)error;
    if (status >= 0)
        next(sweep, start_parts, looked);
    else
        end(sweep);
}

static void one_upload(void *ctx, const orbit_upload_entry *entry)
{
    struct orb_sweep *sweep = ctx;
    size_t length = strlen(entry->upload_id);
    if (strcmp(entry->path, sweep->path) == 0 && length < sizeof(sweep->id) &&
        entry->started_ns >= sweep->begun_ns - BEFORE_NS && entry->started_ns <= sweep->begun_ns + AFTER_NS)
        memcpy(sweep->id, entry->upload_id, length + 1);
}

static void start_uploads(struct orb_call *call)
{
    struct orb_sweep *sweep = call->ctx;
    orb_call_names(call, ORBIT_REQUEST_UPLOADS, sweep->path);
    sweep->id[0] = '\0';
    sweep->more_reply = (orbit_more_reply){0};
    sweep->uploads_request = (orbit_uploads_request){.prefix = sweep->path, .each = one_upload, .ctx = sweep};
    sweep->backend->ops->uploads(sweep->backend->self, &call->op.op, &sweep->uploads_request, &sweep->more_reply);
}

static void listed(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_sweep *sweep = call->ctx;
    (void)error; /* who may not list may write all the same */
    sweep->listed = status >= 0;
    if (status >= 0 && sweep->id[0])
        next(sweep, start_begin, taken_up);
    else
        end(sweep);
}

void orb_sweep_start(struct orb_sweep *sweep)
{
    sweep->has_parts = false;
    sweep->listed = false;
    next(sweep, start_uploads, listed);
}

void orb_sweep_stop(struct orb_sweep *sweep)
{
    orb_call_cancel(&sweep->call);
}

bool orb_sweep_idle(const struct orb_sweep *sweep)
{
    return orb_call_idle(&sweep->call);
}

bool orb_sweep_found_nothing(const struct orb_sweep *sweep)
{
    return sweep->listed && !sweep->id[0];
}
