/* SPDX-License-Identifier: Apache-2.0
 * How an upload in parts is kept and taken up. A part counts when the journal and the store tell the same number, length
 * and ETag of it; the checksum of the whole is then made of the journal's. What is done about the rest:
 *
 *   the file or the options are others now     the old upload is aborted, a new one begins
 *   the store does not know the upload         it may be finished: the object is looked at when the journal says that
 *                                              this was being asked for; else a new one begins
 *   the journal has a plan and no id           an upload may have been begun and not heard of: it is swept
 *   the journal cannot be kept                 the log says so, and the upload goes on without
 *
 * A part is reported as done only when its record is written, so that a crash costs no more than what was in flight.
 * Loop thread; run() is a worker's. */
#include "engine/copy_resume.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pack.h"
#include "engine/copy.h"
#include "engine/journal.h"
#include "engine/sweep.h"

enum step { STEP_OPEN, STEP_PLAN, STEP_RECORD, STEP_CLOSE, STEP_REMOVE };

struct orb_resume {
    struct orb_copy *copy;
    struct orb_journal journal;
    struct orb_journal_plan plan; /* of now */

    /* A worker has the journal from submit() until the message. */
    struct orb_job job;
    struct orb_message message;
    enum step step;
    bool working;
    orbit_status status;
    orbit_error error;

    /* To be recorded: due is the loop's, batch the worker's. */
    struct orb_upload_part *due, *batch;
    const char *begun; /* the id, until it is recorded */
    bool begun_due, begun_batch;
    bool finish_due, finish_batch;

    /* What is asked of the store about an earlier upload. */
    struct orb_call call;
    void *handle;
    orbit_begin_request begin_request;
    orbit_begin_reply begin_reply;
    orbit_parts_request parts_request;
    orbit_more_reply more_reply;
    orbit_finish_request finish_request;
    uint32_t last; /* part told */

    struct orb_sweep sweep;

    uint8_t *done; /* a bit a part */
    uint32_t done_count;
    uint64_t done_bytes;

    bool off; /* no journal: as if there were none */
    bool taken_up;
    bool keep; /* the store has an upload that this journal is of */
    bool stopping;
    bool closed;
};

static void fail(struct orb_resume *resume, orbit_status status, const orbit_error *error)
{
    orb_copy_fail(resume->copy, status, error);
    orb_copy_settle(resume->copy);
}

static void warn(struct orb_resume *resume, const char *what, const orbit_error *error)
{
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN, "%s: %s", what, error->message);
}

/* ---- workers ----------------------------------------------------------------------------------------- */

static orbit_status record(struct orb_resume *resume, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    if (resume->begun_batch)
        status = orb_journal_begun(&resume->journal, resume->begun, error);
    for (struct orb_upload_part *part = resume->batch; part && status >= 0; part = part->later) {
        orbit_stored_part stored = {part->part, part->reply};
        status = orb_journal_confirm(&resume->journal, &stored, error);
    }
    if (status >= 0 && resume->finish_batch)
        status = orb_journal_finishing(&resume->journal, error);
    return status;
}

static void run(struct orb_job *job)
{
    struct orb_resume *resume = (struct orb_resume *)((char *)job - offsetof(struct orb_resume, job));
    struct orb_copy *copy = resume->copy;
    resume->status = ORBIT_OK;
    switch (resume->step) {
    case STEP_OPEN:
        resume->status = orb_journal_open(&resume->journal, copy->options->state_dir, &resume->error);
        break;
    case STEP_PLAN:
        resume->status = orb_journal_begin(&resume->journal, &resume->plan, &resume->error);
        break;
    case STEP_RECORD:
        resume->status = record(resume, &resume->error);
        break;
    case STEP_REMOVE:
        orb_journal_remove(&resume->journal);
        orb_journal_release(&resume->journal);
        break;
    case STEP_CLOSE:
        orb_journal_release(&resume->journal);
        break;
    }
    orb_loop_post(copy->to->host->loop, &resume->message);
}

static void submit(struct orb_resume *resume, enum step step)
{
    resume->step = step;
    resume->working = true;
    orb_pool_submit(resume->copy->to->host->pool, &resume->job);
}

/* Worker steps follow one another; what comes up meanwhile goes together in the next one. */
static void record_due(struct orb_resume *resume)
{
    if (resume->working || resume->closed || (!resume->due && !resume->begun_due && !resume->finish_due))
        return;
    resume->batch = resume->due;
    resume->begun_batch = resume->begun_due;
    resume->finish_batch = resume->finish_due;
    resume->due = NULL;
    resume->begun_due = resume->finish_due = false;
    submit(resume, STEP_RECORD);
}

/* ---- parts on their way ------------------------------------------------------------------------------- */

static void confirm(struct orb_upload *upload, struct orb_upload_part *part)
{
    struct orb_copy *copy = upload->ctx;
    struct orb_resume *resume = copy->resume;
    orb_pipe_detach_target(&((struct orb_relay *)part)->pipe); /* its operation is over */
    if (resume->off) {
        orb_upload_confirmed(part);
        return;
    }
    part->later = resume->due;
    resume->due = part;
    record_due(resume);
}

static void recorded(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    struct orb_upload_part *batch = resume->batch;
    bool finish = resume->finish_batch;
    if (resume->status < 0 && !resume->off) {
        warn(resume, "the upload goes on without its journal", &resume->error);
        resume->off = true;
    }
    if (resume->begun_batch && !resume->off) {
        resume->keep = true;
        copy->upload.keep = true;
    }
    resume->batch = NULL;
    resume->begun_batch = resume->finish_batch = false;
    while (batch) {
        struct orb_upload_part *part = batch;
        batch = part->later;
        part->later = NULL;
        orb_upload_confirmed(part);
    }
    if (finish)
        orb_upload_finish(&copy->upload, copy->total, copy->upload.parts);
    if (resume->off && resume->due) { /* nobody waits for what will not be written */
        batch = resume->due;
        resume->due = NULL;
        while (batch) {
            struct orb_upload_part *part = batch;
            batch = part->later;
            orb_upload_confirmed(part);
        }
    }
    record_due(resume);
    orb_copy_settle(copy);
}

bool orb_copy_resume_has(const struct orb_copy *copy, uint32_t number)
{
    const struct orb_resume *resume = copy->resume;
    return resume && resume->done && number >= 1 && number <= resume->journal.count &&
           (resume->done[(number - 1) / 8] & 1u << (number - 1) % 8);
}

void orb_copy_resume_opened(struct orb_copy *copy)
{
    struct orb_resume *resume = copy->resume;
    if (!resume || resume->off || resume->taken_up)
        return;
    resume->begun = copy->upload.begin_reply.upload_id;
    if (!resume->begun || strlen(resume->begun) >= ORB_JOURNAL_ID_MAX) {
        resume->off = true;
        return;
    }
    resume->begun_due = true;
    record_due(resume);
}

void orb_copy_resume_finish(struct orb_copy *copy)
{
    struct orb_resume *resume = copy->resume;
    if (!resume || resume->off) {
        orb_upload_finish(&copy->upload, copy->total, copy->upload.parts);
        return;
    }
    resume->finish_due = true;
    record_due(resume);
}

/* ---- a new upload -------------------------------------------------------------------------------------- */

static void go_on_without(struct orb_resume *resume)
{
    resume->off = true;
    orb_copy_planned(resume->copy);
}

/* Only an upload that was asked for may be meant: what is kept stays, and the caller hears why it cannot go on. */
static bool wanted_only(struct orb_resume *resume, orbit_status status, const char *why)
{
    struct orb_copy *copy = resume->copy;
    orbit_error error;
    if (!copy->options->resume_upload)
        return false;
    orb_fail(&error, status, 0, "the upload of '%s' to '%s' cannot be gone on with: %s", copy->from_path, copy->to_path,
             why);
    fail(resume, status, &error);
    return true;
}

static void plan_anew(struct orb_resume *resume)
{
    resume->keep = false;
    resume->plan.planned_ns = orb_realtime_ns();
    submit(resume, STEP_PLAN);
}

static void planned(struct orb_resume *resume)
{
    if (resume->status < 0) {
        warn(resume, "the upload is not kept for another try", &resume->error);
        go_on_without(resume);
    } else {
        orb_copy_planned(resume->copy);
    }
}

/* ---- an earlier upload ---------------------------------------------------------------------------------- */

static void let_go(struct orb_resume *resume)
{
    struct orb_backend *to = resume->copy->to;
    if (resume->handle && to->ops->release)
        to->ops->release(to->self, resume->handle);
    resume->handle = NULL;
}

static void start_begin(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    orb_call_names(call, ORBIT_REQUEST_BEGIN, copy->to_path);
    resume->begin_reply = (orbit_begin_reply){0};
    resume->begin_request = (orbit_begin_request){.path = copy->to_path,
                                                  .options = copy->options,
                                                  .preserve = copy->upload.preserve,
                                                  .size_hint = copy->total,
                                                  .part_bytes = resume->journal.plan.part_bytes,
                                                  .resume_id = resume->journal.upload_id,
                                                  .resume_begun_ns = resume->journal.plan.planned_ns};
    copy->to->ops->begin(copy->to->self, &call->op.op, &resume->begin_request, &resume->begin_reply);
}

static void call(struct orb_resume *resume, void (*start)(struct orb_call *),
                 void (*done)(struct orb_call *, orbit_status, const orbit_error *))
{
    resume->call.tally = resume->copy->tally;
    orb_call_start(&resume->call, resume->copy->to, start, done, resume);
}

/* True: the copy is over, or was stopped meanwhile. */
static bool over(struct orb_resume *resume)
{
    if (resume->stopping || resume->copy->stopping)
        orb_copy_settle(resume->copy);
    return resume->stopping || resume->copy->stopping;
}

static void start_abort(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_backend *to = resume->copy->to;
    orb_call_names(call, ORBIT_REQUEST_ABORT, resume->copy->to_path);
    (to->ops->abort)(to->self, &call->op.op, resume->handle); /* parenthesised: the plain word is banned */
}

static void abort_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = call->ctx;
    let_go(resume);
    if (status < 0)
        warn(resume, "an earlier upload may be left at the store", error);
    if (!over(resume))
        plan_anew(resume);
}

static void drop_begun(struct orb_call *done, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = done->ctx;
    if (status >= 0)
        resume->handle = resume->begin_reply.upload;
    else if (status != ORBIT_E_NOT_FOUND)
        warn(resume, "an earlier upload may be left at the store", error);
    if (over(resume))
        return;
    if (status < 0)
        plan_anew(resume);
    else
        call(resume, start_abort, abort_done);
}

static void drop_earlier(struct orb_resume *resume, const char *why)
{
    if (wanted_only(resume, ORBIT_E_CHANGED, why))
        return;
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN, "the upload of '%s' begins anew: %s", resume->copy->from_path,
            why);
    call(resume, start_begin, drop_begun);
}

static void swept(struct orb_sweep *sweep)
{
    struct orb_resume *resume = sweep->ctx;
    if (!over(resume))
        plan_anew(resume);
}

static void sweep_unheard(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    resume->sweep.backend = copy->to;
    resume->sweep.path = copy->to_path;
    resume->sweep.options = copy->options;
    resume->sweep.begun_ns = resume->journal.plan.planned_ns;
    resume->sweep.done = swept;
    resume->sweep.ctx = resume;
    orb_sweep_start(&resume->sweep);
}

/* ---- is it finished? ------------------------------------------------------------------------------------ */

static uint64_t part_length(const struct orb_resume *resume, uint32_t number)
{
    const struct orb_journal_plan *plan = &resume->journal.plan;
    uint64_t before = (uint64_t)(number - 1) * plan->part_bytes;
    return plan->size - before < plan->part_bytes ? plan->size - before : plan->part_bytes;
}

/* Hands the parts that are done (or all) to the backend's upload. False: failed, or one is missing. */
static bool adopt(struct orb_resume *resume, bool all, orbit_error *error)
{
    struct orb_backend *to = resume->copy->to;
    char etag[ORB_JOURNAL_ETAG_MAX];
    for (uint32_t number = 1; number <= resume->journal.count; number++) {
        orbit_stored_part part;
        if (!all && !orb_copy_resume_has(resume->copy, number))
            continue;
        if (!orb_journal_part(&resume->journal, number, &part, etag)) {
            (void)orb_fail(error, ORBIT_E_NOT_FOUND, 0, "part %u is not known", number);
            return false;
        }
        part.part.offset = (uint64_t)(number - 1) * resume->journal.plan.part_bytes;
        if (to->ops->adopt(to->self, resume->handle, &part, error) < 0)
            return false;
    }
    return true;
}

static void start_finish(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    orb_call_names(call, ORBIT_REQUEST_FINISH, copy->to_path);
    orbit_metadata_release(&copy->target);
    resume->finish_request =
        (orbit_finish_request){.size = copy->total, .part_count = resume->journal.count, .resolve = true};
    copy->to->ops->finish(copy->to->self, &call->op.op, resume->handle, &resume->finish_request, &copy->target);
}

static void gone(struct orb_resume *resume)
{
    let_go(resume);
    resume->keep = false;
    if (wanted_only(resume, ORBIT_E_NOT_FOUND, "the store does not know it (any more)"))
        return;
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN,
            "the upload of '%s' begins anew: the store does not know the earlier one any more",
            resume->copy->from_path);
    plan_anew(resume);
}

static void finish_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    if (status >= 0) { /* also when it was to be stopped: the object is there */
        let_go(resume);
        copy->bytes = copy->total;
        copy->parts = resume->journal.count;
        copy->multipart = true;
        orb_copy_succeed(copy);
    } else if (over(resume)) {
        return;
    } else if (status == ORBIT_E_NOT_FOUND) {
        gone(resume);
    } else {
        fail(resume, status, error);
    }
}

static bool finish_again(struct orb_call *call, const orbit_error *error)
{
    (void)error;
    return !((struct orb_resume *)call->ctx)->stopping;
}

/* ---- what the store has ----------------------------------------------------------------------------------- */

static void one_part(void *ctx, const orbit_stored_part *stored)
{
    struct orb_resume *resume = ctx;
    uint32_t number = stored->part.number;
    orbit_stored_part known;
    char etag[ORB_JOURNAL_ETAG_MAX];
    if (number > resume->last)
        resume->last = number;
    if (!orb_journal_part(&resume->journal, number, &known, etag) || known.part.length != stored->part.length ||
        known.part.length != part_length(resume, number) || !stored->reply.etag ||
        strcmp(stored->reply.etag, etag) != 0 || orb_copy_resume_has(resume->copy, number))
        return;
    resume->done[(number - 1) / 8] |= (uint8_t)(1u << (number - 1) % 8);
    resume->done_count++;
    resume->done_bytes += known.part.length;
}

static void start_parts(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_backend *to = resume->copy->to;
    orb_call_names(call, ORBIT_REQUEST_UPLOADS, resume->copy->to_path);
    resume->more_reply = (orbit_more_reply){0};
    resume->parts_request =
        (orbit_parts_request){.upload = resume->handle, .after = resume->last, .each = one_part, .ctx = resume};
    to->ops->parts(to->self, &call->op.op, &resume->parts_request, &resume->more_reply);
}

static void taken_up(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    orbit_error error;
    if (!adopt(resume, false, &error)) {
        let_go(resume);
        fail(resume, (orbit_status)error.status, &error);
        return;
    }
    orb_journal_forget_parts(&resume->journal);
    orb_log(&copy->to->host->log, ORBIT_LOG_INFO,
            "the upload of '%s' goes on: %" PRIu64 " of %" PRIu64 " bytes are at the store", copy->from_path,
            resume->done_bytes, copy->total);
    resume->taken_up = true;
    copy->upload.keep = true;
    void *handle = resume->handle;
    resume->handle = NULL;
    orb_copy_taken_up(copy, handle, resume->journal.plan.part_bytes, resume->done_count, resume->done_bytes);
}

static void parts_done(struct orb_call *done, orbit_status status, const orbit_error *given)
{
    struct orb_resume *resume = done->ctx;
    orbit_error error;
    if (resume->stopping || resume->copy->stopping) {
        let_go(resume);
        orb_copy_settle(resume->copy);
    } else if (status == ORBIT_E_NOT_FOUND && resume->journal.finishing && adopt(resume, true, &error)) {
        resume->call.again = finish_again;
        call(resume, start_finish, finish_done);
    } else if (status == ORBIT_E_NOT_FOUND) {
        gone(resume);
    } else if (status < 0) {
        error = *given;
        let_go(resume);
        fail(resume, status, &error);
    } else if (resume->more_reply.more && resume->last > resume->parts_request.after) {
        call(resume, start_parts, parts_done);
    } else if (resume->more_reply.more) {
        let_go(resume);
        (void)orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of the parts of '%s' does not come to an end",
                       resume->copy->to_path);
        fail(resume, ORBIT_E_PROTOCOL, &error);
    } else {
        taken_up(resume);
    }
}

static void take_up_begun(struct orb_call *done, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = done->ctx;
    if (status >= 0)
        resume->handle = resume->begin_reply.upload;
    if (over(resume))
        return;
    if (status == ORBIT_E_NOT_FOUND)
        gone(resume);
    else if (status < 0)
        fail(resume, status, error);
    else
        call(resume, start_parts, parts_done);
}

/* ---- what the journal says ---------------------------------------------------------------------------------- */

static void opened(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    struct orb_journal *journal = &resume->journal;
    const char *wanted = copy->options->resume_upload;
    const struct orb_journal_plan *then = &journal->plan, *now = &resume->plan;
    if (resume->status < 0) {
        if (resume->status == ORBIT_E_BUSY || wanted) {
            fail(resume, resume->status, &resume->error);
            return;
        }
        warn(resume, "the upload is not kept for another try", &resume->error);
        go_on_without(resume);
        return;
    }
    resume->keep = journal->upload_id != NULL;
    if (wanted && (!journal->upload_id || strcmp(wanted, journal->upload_id) != 0)) {
        (void)wanted_only(resume, ORBIT_E_NOT_FOUND, "there is no journal of it");
    } else if (!journal->upload_id && journal->planned && copy->to->ops->uploads) {
        sweep_unheard(resume);
    } else if (!journal->upload_id) {
        plan_anew(resume);
    } else if (then->device != now->device || then->inode != now->inode || then->size != now->size ||
               then->mtime_ns != now->mtime_ns || !journal->count) {
        drop_earlier(resume, "the file has changed since");
    } else if (!wanted && then->options != now->options) {
        drop_earlier(resume, "the earlier one has other options");
    } else if (!(resume->done = orb_calloc(journal->count / 8 + 1, 1))) {
        orbit_error error;
        fail(resume, orb_fail_memory(&error), &error);
    } else {
        call(resume, start_begin, take_up_begun);
    }
}

static void delivered(struct orb_message *message)
{
    struct orb_resume *resume = (struct orb_resume *)((char *)message - offsetof(struct orb_resume, message));
    resume->working = false;
    if (resume->step == STEP_RECORD)
        recorded(resume);
    else if (resume->step == STEP_CLOSE || resume->step == STEP_REMOVE)
        orb_copy_settle(resume->copy);
    else if (over(resume))
        resume->keep |= resume->step == STEP_OPEN && resume->journal.upload_id;
    else if (resume->step == STEP_OPEN)
        opened(resume);
    else
        planned(resume);
}

/* ---- the start and the end ------------------------------------------------------------------------------------ */

/* How an object is stored beside its bytes: an upload that was begun with other options cannot be taken up. The key of
 * SSE-C is left out: the store refuses parts with a wrong one. */
static uint64_t options_digest(const orbit_write_options *options, bool preserve)
{
    struct orb_buf text;
    orb_buf_init(&text, (size_t)16 << 20);
    const char *strings[] = {options->content_type,
                             options->content_encoding,
                             options->content_disposition,
                             options->content_language,
                             options->cache_control,
                             options->expires,
                             options->storage_class,
                             options->acl,
                             options->tagging,
                             options->sse,
                             options->sse_kms_key_id,
                             options->sse_kms_context};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        orb_pack_text(&text, strings[i]);
    for (size_t i = 0; i < options->metadata_count; i++) {
        orb_pack_text(&text, options->metadata[i].name);
        orb_pack_text(&text, options->metadata[i].value);
    }
    orb_pack_u32(&text, options->checksum);
    orb_pack_u8(&text, (uint8_t)((options->sse_bucket_key ? 1 : 0) | (options->sse_customer_key ? 2 : 0) |
                                 (preserve ? 4 : 0) | (options->no_guess_content_type ? 16 : 0)));
    orb_pack_u64(&text, options->chunk_size);
    uint64_t digest = orb_crc64nvme(0, orb_buf_string(&text), text.length);
    orb_buf_release(&text);
    return digest;
}

static bool may(const struct orb_copy *copy)
{
    const orbit_backend_ops *to = copy->to->ops, *from = copy->from->ops;
    const uint32_t known = ORBIT_HAS_SIZE | ORBIT_HAS_MTIME | ORBIT_HAS_INODE;
    return copy->options->state_dir && !copy->resume && copy->have_source && copy->from->caps.random_access &&
           !copy->to->caps.random_access && !copy->to->caps.sequential_parts && to->begin && to->part && to->finish &&
           to->abort && to->parts && to->adopt && to->locate && from->locate && copy->offset == 0 &&
           copy->length == ORBIT_TO_END && (copy->source.fields & known) == known &&
           copy->source.kind == ORBIT_KIND_FILE && !copy->expected.algorithm && copy->total > copy->plan.base;
}

static orbit_status prepare(struct orb_resume *resume, orbit_error *error)
{
    enum { ROOM = ORB_JOURNAL_STORE_MAX + 2 * ORB_JOURNAL_KEY_MAX + ORB_JOURNAL_STORE_MAX };
    struct orb_copy *copy = resume->copy;
    char *room = orb_malloc(ROOM);
    if (!room)
        return orb_fail_memory(error);
    char *store = room, *key = store + ORB_JOURNAL_STORE_MAX, *file = key + ORB_JOURNAL_KEY_MAX,
         *machine = file + ORB_JOURNAL_KEY_MAX;
    orbit_status status =
        copy->to->ops->locate(copy->to->self, copy->to_path, store, ORB_JOURNAL_STORE_MAX, key, ORB_JOURNAL_KEY_MAX);
    if (status >= 0)
        status = copy->from->ops->locate(copy->from->self, copy->from_path, machine, ORB_JOURNAL_STORE_MAX, file,
                                         ORB_JOURNAL_KEY_MAX);
    if (status < 0)
        (void)orb_fail(error, status, 0, "'%.200s' cannot be named in a journal", copy->to_path);
    else
        status = orb_journal_init(&resume->journal, store, key, file, error);
    orb_free(room);
    return status;
}

bool orb_copy_resume_start(struct orb_copy *copy)
{
    orbit_error error;
    if (!may(copy) && copy->options->resume_upload) {
        (void)orb_fail(&error, ORBIT_E_NOT_FOUND, 0,
                       "the upload of '%s' to '%s' cannot be gone on with: it is no file that goes in parts to a store "
                       "that keeps them",
                       copy->from_path, copy->to_path);
        orb_copy_fail(copy, ORBIT_E_NOT_FOUND, &error);
        return true;
    }
    if (!may(copy))
        return false;
    struct orb_resume *resume = orb_calloc(1, sizeof(*resume));
    if (!resume)
        return false;
    copy->resume = resume;
    resume->copy = copy;
    resume->job.run = run;
    resume->message.deliver = delivered;
    resume->plan = (struct orb_journal_plan){.device = copy->source.device,
                                             .inode = copy->source.inode,
                                             .size = copy->source.size,
                                             .mtime_ns = copy->source.mtime_ns,
                                             .part_bytes = copy->plan.base,
                                             .options = options_digest(copy->options, copy->preserve)};
    copy->upload.confirm = confirm;
    if (prepare(resume, &error) < 0) {
        warn(resume, "the upload is not kept for another try", &error);
        resume->off = true;
        return false;
    }
    submit(resume, STEP_OPEN);
    return true;
}

void orb_copy_resume_stop(struct orb_copy *copy)
{
    if (!copy->resume || copy->resume->stopping)
        return;
    copy->resume->stopping = true;
    orb_call_cancel(&copy->resume->call);
    orb_sweep_stop(&copy->resume->sweep);
}

bool orb_copy_resume_end(struct orb_copy *copy)
{
    struct orb_resume *resume = copy->resume;
    if (!resume)
        return true;
    if (resume->working || !orb_call_idle(&resume->call) || !orb_sweep_idle(&resume->sweep))
        return false;
    if (resume->closed)
        return true;
    let_go(resume);
    if (copy->upload.state != ORB_UPLOAD_NEW)
        resume->keep = copy->upload.kept;
    bool unheard = copy->upload.state != ORB_UPLOAD_NEW && !copy->upload.begin_reply.upload &&
                   (copy->upload.error.flags & ORBIT_ERROR_MAYBE_DONE); /* its plan is what the next one sweeps by */
    bool keep = !copy->well && resume->keep;
    if (keep)
        orb_log(&copy->to->host->log, ORBIT_LOG_WARN,
                "what was sent of '%s' is kept: the same upload goes on from there, or is given up by its abort",
                copy->from_path);
    resume->closed = true;
    submit(resume, keep || (unheard && !copy->well) ? STEP_CLOSE : STEP_REMOVE);
    return false;
}

void orb_copy_resume_release(struct orb_copy *copy)
{
    if (!copy->resume)
        return;
    orb_journal_release(&copy->resume->journal); /* closed long ago, unless it never started */
    orb_free(copy->resume->done);
    orb_free(copy->resume);
    copy->resume = NULL;
}
