/* SPDX-License-Identifier: Apache-2.0
 * How an upload in parts is kept: the plan and the parts in a journal, and what is done about the one that an earlier
 * attempt left. What the store knows of that is copy_earlier.c's.
 *
 *   the source or the options are others now   the old upload is aborted, a new one begins
 *   the store does not know the upload         it may be finished: the object is looked at when the journal says that
 *                                              this was being asked for; else a new one begins
 *   the journal has a plan and no id           an upload may have been begun and not heard of: it is swept
 *   the journal cannot be kept                 the log says so, and the upload goes on without
 *
 * A part is reported as done only when its record is written, so that a crash costs no more than what was in flight.
 * Loop thread; run() is a worker's. */
#include "engine/copy_resume.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pack.h"
#include "engine/copy_earlier.h"

#define LOOK_FROM ((uint64_t)16 << 20) /* less is sent again sooner than it is looked at */

static bool of_file(const struct orb_copy *copy)
{
    return copy->from->caps.random_access;
}

static uint64_t digest_of(const char *a, const char *b)
{
    uint64_t crc = a ? orb_crc64nvme(1, a, strlen(a) + 1) : 0;
    return b ? orb_crc64nvme(crc, b, strlen(b) + 1) : crc;
}

void orb_resume_fail(struct orb_resume *resume, orbit_status status, const orbit_error *error)
{
    orb_copy_fail(resume->copy, status, error);
    orb_copy_settle(resume->copy);
}

void orb_resume_warn(struct orb_resume *resume, const char *what, const orbit_error *error)
{
    orb_log(&resume->copy->to->host->log, ORBIT_LOG_WARN, "%s: %s", what, error->message);
}

bool orb_resume_over(struct orb_resume *resume)
{
    if (resume->stopping || resume->copy->stopping)
        orb_copy_settle(resume->copy);
    return resume->stopping || resume->copy->stopping;
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
    if (status >= 0 && resume->by_bytes)
        status = orb_bytes_record(resume, error);
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
    case ORB_RESUME_OPEN:
        resume->status = orb_journal_open(&resume->journal, copy->options->state_dir, &resume->error);
        break;
    case ORB_RESUME_PLAN:
        resume->status = orb_journal_begin(&resume->journal, &resume->plan, &resume->error);
        break;
    case ORB_RESUME_RECORD:
        resume->status = record(resume, &resume->error);
        break;
    case ORB_RESUME_RESTATE:
        resume->status = orb_journal_restate(&resume->journal, &resume->error);
        break;
    case ORB_RESUME_REMOVE:
        orb_journal_remove(&resume->journal);
        orb_journal_release(&resume->journal);
        break;
    case ORB_RESUME_CLOSE:
        orb_journal_release(&resume->journal);
        break;
    }
    orb_loop_post(copy->to->host->loop, &resume->message);
}

void orb_resume_submit(struct orb_resume *resume, enum orb_resume_step step)
{
    resume->step = step;
    resume->working = true;
    orb_pool_submit(resume->copy->to->host->pool, &resume->job);
}

/* Worker steps follow one another; what comes up meanwhile goes together in the next one. */
void orb_resume_record_due(struct orb_resume *resume)
{
    bool bytes = resume->news.count || resume->mark_due || resume->flushed_due;
    if (resume->working || resume->closed ||
        (!resume->due && !resume->begun_due && !resume->finish_due && (!bytes || resume->off)))
        return;
    resume->batch = resume->due;
    resume->begun_batch = resume->begun_due;
    resume->finish_batch = resume->finish_due;
    resume->mark_batch = resume->mark_due;
    resume->flushed_batch = resume->flushed_due;
    struct orb_extents empty = resume->news_batch;
    resume->news_batch = resume->news;
    resume->news = empty;
    resume->due = NULL;
    resume->begun_due = resume->finish_due = resume->mark_due = resume->flushed_due = false;
    orb_resume_submit(resume, ORB_RESUME_RECORD);
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
    orb_resume_record_due(resume);
}

static void recorded(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    struct orb_upload_part *batch = resume->batch;
    bool finish = resume->finish_batch;
    if (resume->status < 0 && !resume->off) {
        orb_resume_warn(resume, "the upload goes on without its journal", &resume->error);
        resume->off = true;
    }
    if (resume->begun_batch && !resume->off) {
        resume->keep = true;
        copy->upload.keep = true;
    }
    resume->batch = NULL;
    resume->begun_batch = resume->finish_batch = false;
    if (resume->by_bytes)
        orb_bytes_recorded(resume);
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
    orb_resume_record_due(resume);
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
    if (!resume || resume->off)
        return;
    if (resume->by_bytes)
        orb_bytes_opened(resume);
    if (resume->taken_up)
        return;
    resume->begun = copy->upload.begin_reply.upload_id;
    if (!resume->begun || strlen(resume->begun) >= ORB_JOURNAL_ID_MAX) {
        resume->off = true;
        return;
    }
    resume->begun_due = true;
    orb_resume_record_due(resume);
}

void orb_copy_resume_finish(struct orb_copy *copy)
{
    struct orb_resume *resume = copy->resume;
    if (!resume || resume->off) {
        orb_upload_finish(&copy->upload, copy->total, copy->upload.parts);
        return;
    }
    if (resume->by_bytes) {
        orb_bytes_finish(resume);
        return;
    }
    resume->finish_due = true;
    orb_resume_record_due(resume);
}

/* ---- a new upload -------------------------------------------------------------------------------------- */

static void go_on_without(struct orb_resume *resume)
{
    resume->off = true;
    orb_copy_planned(resume->copy);
}

bool orb_resume_wanted_only(struct orb_resume *resume, orbit_status status, const char *why)
{
    struct orb_copy *copy = resume->copy;
    orbit_error error;
    if (!copy->options->resume_upload)
        return false;
    orb_fail(&error, status, 0, "the upload of '%s' to '%s' cannot be gone on with: %s", copy->from_path, copy->to_path,
             why);
    orb_resume_fail(resume, status, &error);
    return true;
}

void orb_resume_plan_anew(struct orb_resume *resume)
{
    resume->keep = false;
    resume->plan.planned_ns = orb_realtime_ns();
    orb_resume_submit(resume, ORB_RESUME_PLAN);
}

static void planned(struct orb_resume *resume)
{
    if (resume->status < 0) {
        orb_resume_warn(resume, "the upload is not kept for another try", &resume->error);
        go_on_without(resume);
    } else {
        orb_copy_planned(resume->copy);
    }
}

/* ---- what the journal says ---------------------------------------------------------------------------------- */

static void opened(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    struct orb_journal *journal = &resume->journal;
    const char *wanted = copy->options->resume_upload;
    const struct orb_journal_plan *then = &journal->plan, *now = &resume->plan;
    if (resume->status < 0) {
        if (resume->status == ORBIT_E_BUSY)
            (void)orb_fail(&resume->error, ORBIT_E_BUSY, 0,
                           "the same upload of '%.200s' is under way already: wait for it or end it", copy->from_path);
        if (resume->status == ORBIT_E_BUSY || wanted) {
            orb_resume_fail(resume, resume->status, &resume->error);
            return;
        }
        orb_resume_warn(resume, "the upload is not kept for another try", &resume->error);
        go_on_without(resume);
        return;
    }
    resume->keep = journal->upload_id != NULL;
    if (wanted && (!journal->upload_id || strcmp(wanted, journal->upload_id) != 0)) {
        (void)orb_resume_wanted_only(resume, ORBIT_E_NOT_FOUND, "there is no journal of it");
    } else if (!journal->upload_id && journal->planned && copy->to->ops->uploads) {
        orb_earlier_sweep(resume);
    } else if (!journal->upload_id) {
        orb_resume_plan_anew(resume);
    } else if (then->device != now->device || then->inode != now->inode || then->size != now->size ||
               then->mtime_ns != now->mtime_ns || !journal->count) {
        orb_earlier_drop(resume, of_file(copy) ? "the file has changed since" : "its source has changed since");
    } else if (!wanted && then->options != now->options) {
        orb_earlier_drop(resume, "the earlier one has other options");
    } else if (resume->by_bytes) {
        orb_earlier_take_up(resume);
    } else if (!(resume->done = orb_calloc(journal->count / 8 + 1, 1))) {
        orbit_error error;
        orb_resume_fail(resume, orb_fail_memory(&error), &error);
    } else {
        orb_earlier_take_up(resume);
    }
}

static void delivered(struct orb_message *message)
{
    struct orb_resume *resume = (struct orb_resume *)((char *)message - offsetof(struct orb_resume, message));
    resume->working = false;
    if (resume->step == ORB_RESUME_RECORD)
        recorded(resume);
    else if (resume->step == ORB_RESUME_CLOSE || resume->step == ORB_RESUME_REMOVE)
        orb_copy_settle(resume->copy);
    else if (orb_resume_over(resume))
        resume->keep |= resume->step == ORB_RESUME_OPEN && resume->journal.upload_id;
    else if (resume->step == ORB_RESUME_OPEN)
        opened(resume);
    else if (resume->step == ORB_RESUME_RESTATE)
        orb_bytes_taken_up(resume);
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
                             options->sse_kms_context,
                             options->object_lock_mode,
                             options->object_lock_until,
                             options->object_lock_legal_hold};
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

/* Between these two, of any length. */
static bool may_between(const struct orb_copy *copy)
{
    const orbit_backend_ops *to = copy->to->ops, *from = copy->from->ops;
    return copy->options->state_dir && !copy->resume && !copy->to->caps.random_access &&
           !copy->to->caps.sequential_parts && to->begin && to->part && to->finish && to->abort && to->parts &&
           to->adopt && to->locate && from->locate && copy->from->caps.ranged_read && copy->offset == 0 &&
           copy->length == ORBIT_TO_END;
}

/* What tells this source from any other: of an object its ETag, its version, or else size and time. */
static bool is_known(const struct orb_copy *copy)
{
    const uint32_t all = ORBIT_HAS_SIZE | ORBIT_HAS_MTIME | ORBIT_HAS_INODE;
    const orbit_metadata *source = &copy->source;
    if (!copy->have_source || source->kind != ORBIT_KIND_FILE || !(source->fields & ORBIT_HAS_SIZE))
        return false;
    return of_file(copy) ? (source->fields & all) == all
                         : source->etag || source->version_id || (source->fields & ORBIT_HAS_MTIME);
}

/* A checksum of the whole is made of those of what was sent before and of what is sent now: only this one is known of
 * both. */
static bool is_comparable(const struct orb_copy *copy)
{
    return !copy->expected.algorithm || copy->expected.algorithm == ORBIT_CHECKSUM_CRC64NVME;
}

static bool may(const struct orb_copy *copy)
{
    return may_between(copy) && is_known(copy) && is_comparable(copy) && orb_bytes_may(copy) &&
           copy->total > copy->plan.base;
}

bool orb_copy_resume_looks(const struct orb_copy *copy)
{
    return may_between(copy) && !of_file(copy) && copy->from->ops->stat && orb_copy_length_hint(copy) >= LOOK_FROM;
}

static struct orb_journal_plan plan_of(const struct orb_copy *copy)
{
    const orbit_metadata *source = &copy->source;
    struct orb_journal_plan plan = {.device = source->device,
                                    .inode = source->inode,
                                    .size = source->size,
                                    .mtime_ns = source->mtime_ns,
                                    .part_bytes = copy->plan.base,
                                    .options = options_digest(copy->options, copy->preserve)};
    if (of_file(copy))
        return plan;
    plan.device = digest_of(source->etag, "");
    plan.inode = digest_of(source->version_id, copy->version_id);
    plan.mtime_ns = source->etag || source->version_id ? 0 : source->mtime_ns;
    return plan;
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
        status = orb_journal_init(&resume->journal, store, key, of_file(copy) ? NULL : machine, file, error);
    orb_free(room);
    return status;
}

bool orb_copy_resume_start(struct orb_copy *copy)
{
    orbit_error error;
    if (!may(copy) && copy->options->resume_upload) {
        (void)orb_fail(&error, ORBIT_E_NOT_FOUND, 0,
                       "the upload of '%s' to '%s' cannot be gone on with: it is nothing that goes in parts to a store "
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
    resume->plan = plan_of(copy);
    resume->by_bytes = copy->to->caps.resumes_bytes;
    copy->upload.resumable = resume->by_bytes;
    copy->upload.confirm = resume->by_bytes ? NULL : confirm;
    if (prepare(resume, &error) < 0) {
        orb_resume_warn(resume, "the upload is not kept for another try", &error);
        resume->off = true;
        return false;
    }
    orb_resume_submit(resume, ORB_RESUME_OPEN);
    return true;
}

void orb_copy_resume_stop(struct orb_copy *copy)
{
    if (!copy->resume || copy->resume->stopping)
        return;
    copy->resume->stopping = true;
    if (copy->resume->by_bytes)
        orb_bytes_stop(copy->resume);
    orb_call_cancel(&copy->resume->call);
    orb_sweep_stop(&copy->resume->sweep);
}

bool orb_copy_resume_end(struct orb_copy *copy)
{
    struct orb_resume *resume = copy->resume;
    if (!resume)
        return true;
    if (resume->working || !orb_call_idle(&resume->call) || !orb_call_idle(&resume->flush_call) ||
        !orb_sweep_idle(&resume->sweep))
        return false;
    if (resume->closed)
        return true;
    orb_earlier_let_go(resume);
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
    orb_resume_submit(resume, keep || (unheard && !copy->well) ? ORB_RESUME_CLOSE : ORB_RESUME_REMOVE);
    return false;
}

void orb_copy_resume_release(struct orb_copy *copy)
{
    if (!copy->resume)
        return;
    orb_journal_release(&copy->resume->journal); /* closed long ago, unless it never started */
    orb_bytes_release(copy->resume);
    orb_free(copy->resume->done);
    orb_free(copy->resume);
    copy->resume = NULL;
}
