/* SPDX-License-Identifier: Apache-2.0
 * An earlier upload at the store: taken up, finished, given up, or swept where its id was never heard. A part counts
 * when the journal and the store tell the same number, length and ETag of it; the checksum of the whole is then made
 * of the journal's. Loop thread. */
#include "engine/copy_earlier.h"

#include <inttypes.h>

#include "base/hash.h"
#include "base/mem.h"

void orb_earlier_let_go(struct orb_resume *resume)
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
                                                  .resume_begun_ns = resume->journal.plan.planned_ns,
                                                  .resumable = resume->by_bytes};
    copy->to->ops->begin(copy->to->self, &call->op.op, &resume->begin_request, &resume->begin_reply);
}

static void call(struct orb_resume *resume, void (*start)(struct orb_call *),
                 void (*done)(struct orb_call *, orbit_status, const orbit_error *))
{
    resume->call.tally = resume->copy->tally;
    orb_call_start(&resume->call, resume->copy->to, start, done, resume);
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
    orb_earlier_let_go(resume);
    if (status < 0)
        orb_resume_warn(resume, "an earlier upload may be left at the store", error);
    if (!orb_resume_over(resume))
        orb_resume_plan_anew(resume);
}

static void drop_begun(struct orb_call *done, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = done->ctx;
    if (status >= 0)
        resume->handle = resume->begin_reply.upload;
    else if (status != ORBIT_E_NOT_FOUND)
        orb_resume_warn(resume, "an earlier upload may be left at the store", error);
    if (orb_resume_over(resume))
        return;
    if (status < 0)
        orb_resume_plan_anew(resume);
    else
        call(resume, start_abort, abort_done);
}

void orb_earlier_drop(struct orb_resume *resume, const char *why)
{
    if (orb_resume_wanted_only(resume, ORBIT_E_CHANGED, why))
        return;
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN, "the upload of '%s' begins anew: %s", resume->copy->from_path,
            why);
    call(resume, start_begin, drop_begun);
}

static void swept(struct orb_sweep *sweep)
{
    struct orb_resume *resume = sweep->ctx;
    if (!orb_resume_over(resume))
        orb_resume_plan_anew(resume);
}

void orb_earlier_sweep(struct orb_resume *resume)
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
    orb_earlier_let_go(resume);
    resume->keep = false;
    orb_free(resume->done); /* it may have gone between two pages of its list */
    resume->done = NULL;
    resume->done_count = resume->last = 0;
    resume->done_bytes = resume->copy->crc64 = 0;
    if (orb_resume_wanted_only(resume, ORBIT_E_NOT_FOUND, "the store does not know it (any more)"))
        return;
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN,
            "the upload of '%s' begins anew: the store does not know the earlier one any more",
            resume->copy->from_path);
    orb_resume_plan_anew(resume);
}

static void finish_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    if (status >= 0) { /* also when it was to be stopped: the object is there */
        orb_earlier_let_go(resume);
        copy->bytes = copy->total;
        copy->parts = resume->journal.count;
        copy->multipart = true;
        orb_copy_succeed(copy);
    } else if (orb_resume_over(resume)) {
        return;
    } else if (status == ORBIT_E_NOT_FOUND) {
        gone(resume);
    } else {
        orb_resume_fail(resume, status, error);
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
    if (resume->by_bytes) {
        orb_bytes_holds(resume, stored);
        return;
    }
    orbit_stored_part known;
    char etag[ORB_JOURNAL_ETAG_MAX];
    if (number > resume->last)
        resume->last = number;
    if (!orb_journal_part(&resume->journal, number, &known, etag) || known.part.length != stored->part.length ||
        known.part.length != part_length(resume, number) || !stored->reply.etag ||
        strcmp(stored->reply.etag, etag) != 0 || orb_copy_resume_has(resume->copy, number))
        return;
    if (resume->copy->expected.algorithm) { /* of which it is a part, or it is sent again */
        if (known.reply.checksum.algorithm != ORBIT_CHECKSUM_CRC64NVME)
            return;
        orb_copy_add_resumed(resume->copy, (uint64_t)(number - 1) * resume->journal.plan.part_bytes, known.part.length,
                             orb_checksum_value(&known.reply.checksum));
    }
    resume->done[(number - 1) / 8] |= (uint8_t)(1u << (number - 1) % 8);
    resume->done_count++;
    resume->done_bytes += known.part.length;
}

static void start_parts(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_backend *to = resume->copy->to;
    orb_call_names(call, ORBIT_REQUEST_UPLOADS, resume->copy->to_path);
    orb_bytes_look(resume);
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
        orb_earlier_let_go(resume);
        orb_resume_fail(resume, (orbit_status)error.status, &error);
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
        orb_earlier_let_go(resume);
        orb_copy_settle(resume->copy);
    } else if (status == ORBIT_E_NOT_FOUND && resume->journal.finishing && adopt(resume, true, &error)) {
        resume->call.again = finish_again;
        call(resume, start_finish, finish_done);
    } else if (status == ORBIT_E_NOT_FOUND) {
        gone(resume);
    } else if (status < 0) {
        error = *given;
        orb_earlier_let_go(resume);
        orb_resume_fail(resume, status, &error);
    } else if (resume->more_reply.more && resume->last > resume->parts_request.after) {
        call(resume, start_parts, parts_done);
    } else if (resume->more_reply.more) {
        orb_earlier_let_go(resume);
        (void)orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of the parts of '%s' does not come to an end",
                       resume->copy->to_path);
        orb_resume_fail(resume, ORBIT_E_PROTOCOL, &error);
    } else if (resume->by_bytes) {
        orb_bytes_restate(resume);
    } else {
        taken_up(resume);
    }
}

static void take_up_begun(struct orb_call *done, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = done->ctx;
    orbit_error own;
    if (status >= 0)
        resume->handle = resume->begin_reply.upload;
    if (orb_resume_over(resume))
        return;
    if (status >= 0 && resume->by_bytes && (status = orb_bytes_adopt(resume, &own)) < 0) {
        orb_earlier_let_go(resume);
        error = &own;
    }
    if (status == ORBIT_E_NOT_FOUND)
        gone(resume);
    else if (status < 0)
        orb_resume_fail(resume, status, error);
    else
        call(resume, start_parts, parts_done);
}

void orb_earlier_take_up(struct orb_resume *resume)
{
    call(resume, start_begin, take_up_begun);
}
