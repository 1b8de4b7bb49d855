/* SPDX-License-Identifier: Apache-2.0
 * A copy that is kept where the store goes on from any byte (SFTP): what it has acknowledged is asked of the backend
 * now and then and recorded, with a CRC; now and then it is flushed, and then recorded as that. Nobody who moves
 * bytes waits for either. What an earlier process left is believed where it was flushed, else compared by the CRC.
 * Loop thread; orb_bytes_record() is a worker's. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/copy_earlier.h"

#define KEEP_FROM ((uint64_t)16 << 20) /* less is sent again sooner than it is remembered */

enum {
    TICK_MS = 100,
    FLUSH_MS = 3000,
    ASKED = 64 /* extents at a time */
};

bool orb_bytes_may(const struct orb_copy *copy)
{
    return !copy->to->caps.resumes_bytes || (copy->to->ops->written && copy->total >= KEEP_FROM);
}

static struct orb_extent extent_of(const orbit_stored_part *part)
{
    struct orb_extent extent = {.offset = part->part.offset, .length = part->part.length};
    if (part->reply.checksum.algorithm == ORBIT_CHECKSUM_CRC64NVME) {
        extent.crc64 = orb_checksum_value(&part->reply.checksum);
        extent.crcs = ORB_EXTENT_CRC64;
    }
    return extent;
}

/* ---- while it runs ------------------------------------------------------------------------------------------ */

/* Where memory is out less is recorded than is there. */
static void hear(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    orbit_stored_part parts[ASKED];
    size_t count = copy->upload.handle ? ASKED : 0;
    while (count == ASKED && !resume->off) {
        count = copy->to->ops->written(copy->to->self, copy->upload.handle, parts, ASKED);
        for (size_t i = 0; i < count; i++) {
            struct orb_extent extent = extent_of(&parts[i]);
            (void)orb_extents_add(&resume->news, &extent);
            resume->unflushed += extent.length;
        }
    }
}

static void tick(void *ctx)
{
    struct orb_resume *resume = ctx;
    struct orb_copy *copy = resume->copy;
    resume->tick = NULL;
    if (resume->off || resume->stopping)
        return;
    hear(resume);
    bool due = orb_now_ns() - resume->flush_ns >= FLUSH_MS * ORB_MS;
    if (due && resume->flush == ORB_FLUSH_NONE && resume->unflushed && !resume->never_flushes) {
        resume->flush = ORB_FLUSH_MARKING;
        resume->mark_due = true;
        resume->unflushed = 0;
    }
    orb_resume_record_due(resume);
    resume->tick = orb_timer_start(copy->to->host->loop, TICK_MS, tick, resume);
}

void orb_bytes_opened(struct orb_resume *resume)
{
    const struct orb_copy *copy = resume->copy;
    resume->never_flushes = !copy->to->ops->flush || copy->options->sync == ORBIT_SYNC_NEVER;
    resume->flush_ns = orb_now_ns();
    if (!resume->tick)
        resume->tick = orb_timer_start(copy->to->host->loop, TICK_MS, tick, resume);
}

static void end_tick(struct orb_resume *resume)
{
    orb_timer_cancel(resume->tick);
    resume->tick = NULL;
    hear(resume);
    orb_resume_record_due(resume);
}

void orb_bytes_stop(struct orb_resume *resume)
{
    orb_call_cancel(&resume->flush_call);
    end_tick(resume);
}

/* The upload's handle is closed at its end: no flush may be under way then. */
void orb_bytes_finish(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    end_tick(resume);
    resume->finish_waits = !orb_call_idle(&resume->flush_call);
    orb_call_cancel(&resume->flush_call);
    if (!resume->finish_waits)
        orb_upload_finish(&copy->upload, copy->total, copy->upload.parts);
}

/* ---- flushing ----------------------------------------------------------------------------------------------- */

static void start_flush(struct orb_call *call)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    orb_call_names(call, ORBIT_REQUEST_OTHER, copy->to_path);
    copy->to->ops->flush(copy->to->self, &call->op.op, copy->upload.handle);
}

static void flush_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_resume *resume = call->ctx;
    struct orb_copy *copy = resume->copy;
    (void)error; /* a disk that cannot be written to is told by those who write */
    resume->flush = ORB_FLUSH_NONE;
    resume->flush_ns = orb_now_ns();
    resume->flushed_due = status >= 0;
    resume->never_flushes |= status == ORBIT_E_UNSUPPORTED;
    orb_resume_record_due(resume);
    if (resume->finish_waits && !copy->stopping) {
        resume->finish_waits = false;
        orb_upload_finish(&copy->upload, copy->total, copy->upload.parts);
    }
    orb_copy_settle(copy);
}

orbit_status orb_bytes_record(struct orb_resume *resume, orbit_error *error)
{
    struct orb_journal *journal = &resume->journal;
    orbit_status status = ORBIT_OK;
    if (resume->flushed_batch)
        status = orb_journal_flushed(journal, error);
    if (status >= 0 && resume->news_batch.count)
        status = orb_journal_wrote(journal, &resume->news_batch, error);
    if (status >= 0 && resume->mark_batch)
        status = orb_journal_mark(journal, error);
    return status;
}

/* What the journal has marked is at the store, whatever came meanwhile: now it may be flushed. */
void orb_bytes_recorded(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    bool marked = resume->mark_batch;
    resume->news_batch.count = 0;
    resume->mark_batch = resume->flushed_batch = false;
    if (!marked)
        return;
    if (resume->off || resume->stopping || copy->finishing || copy->stopping) {
        resume->flush = ORB_FLUSH_NONE;
        return;
    }
    resume->flush = ORB_FLUSH_ASKED;
    resume->flush_call.tally = copy->tally;
    orb_call_start(&resume->flush_call, copy->to, start_flush, flush_done, resume);
}

/* ---- an earlier upload ---------------------------------------------------------------------------------------- */

static orbit_status adopt(struct orb_resume *resume, const struct orb_extents *extents, bool compare,
                          orbit_error *error)
{
    const struct orb_backend *to = resume->copy->to;
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; i < extents->count && status >= 0; i++) {
        const struct orb_extent *extent = &extents->at[i];
        orbit_stored_part part = {.part = {.offset = extent->offset, .length = extent->length}};
        bool needed = compare || resume->copy->expected.algorithm;
        if (needed && !(extent->crcs & ORB_EXTENT_CRC64)) /* nothing to compare it, or the whole, by: sent again */
            continue;
        if (compare)
            part.reply.checksum = orb_checksum_crc64nvme(extent->crc64);
        status = to->ops->adopt(to->self, resume->handle, &part, error);
    }
    return status;
}

orbit_status orb_bytes_adopt(struct orb_resume *resume, orbit_error *error)
{
    const struct orb_journal *journal = &resume->journal;
    orbit_status status = adopt(resume, &journal->flushed, false, error);
    if (status >= 0)
        status = adopt(resume, &journal->marked, true, error);
    return status < 0 ? status : adopt(resume, &journal->loose, true, error);
}

void orb_bytes_look(struct orb_resume *resume)
{
    resume->held_flushed.count = resume->held_loose.count = 0;
}

/* What was flushed is believed, and told without a sum: it is the journal's, if all of it is there. */
static void recall(const struct orb_extents *flushed, struct orb_extent *extent)
{
    for (size_t i = 0; i < flushed->count; i++)
        if (flushed->at[i].offset == extent->offset && flushed->at[i].length == extent->length)
            *extent = flushed->at[i];
}

void orb_bytes_holds(struct orb_resume *resume, const orbit_stored_part *part)
{
    struct orb_extent extent = extent_of(part);
    struct orb_extents *held = extent.crcs ? &resume->held_loose : &resume->held_flushed;
    if (!extent.crcs)
        recall(&resume->journal.flushed, &extent);
    if (extent.length && extent.offset < resume->copy->total && extent.length <= resume->copy->total - extent.offset)
        (void)orb_extents_add(held, &extent);
}

/* Where the whole has a checksum, what is there is part of it; what has none is sent again. */
static void add_checksums(struct orb_copy *copy, struct orb_extents *all)
{
    size_t count = 0;
    if (!copy->expected.algorithm)
        return;
    for (size_t i = 0; i < all->count; i++) {
        const struct orb_extent *extent = &all->at[i];
        if (!(extent->crcs & ORB_EXTENT_CRC64))
            continue;
        orb_copy_add_resumed(copy, extent->offset, extent->length, extent->crc64);
        all->at[count++] = *extent;
    }
    all->count = count;
}

/* The gaps between them are what is sent. */
static orbit_status make_list(struct orb_resume *resume, uint64_t *bytes, orbit_error *error)
{
    struct orb_extents all = {0};
    orbit_status status = ORBIT_OK;
    bool well = orb_extents_copy(&all, &resume->held_flushed);
    for (size_t i = 0; i < resume->held_loose.count && well; i++)
        well = orb_extents_add(&all, &resume->held_loose.at[i]);
    add_checksums(resume->copy, &all);
    resume->held = well ? orb_calloc(all.count + 1, sizeof(*resume->held)) : NULL;
    if (!resume->held)
        status = orb_fail_memory(error);
    for (size_t i = 0; i < all.count && resume->held; i++)
        resume->held[i] = (orbit_extent){all.at[i].offset, all.at[i].length};
    resume->held_count = all.count;
    *bytes = orb_extents_bytes(&all);
    orb_extents_release(&all);
    return status;
}

void orb_bytes_restate(struct orb_resume *resume)
{
    struct orb_journal *journal = &resume->journal;
    orbit_error error;
    orbit_status status = make_list(resume, &resume->copy->resumed, &error);
    if (status < 0) {
        orb_earlier_let_go(resume);
        orb_resume_fail(resume, status, &error);
        return;
    }
    orb_journal_forget_bytes(journal);
    journal->flushed = resume->held_flushed;
    journal->loose = resume->held_loose;
    resume->held_flushed = resume->held_loose = (struct orb_extents){0};
    orb_resume_submit(resume, ORB_RESUME_RESTATE);
}

/* What is not there may not stand in the journal: it would be believed once the file is as long again. */
void orb_bytes_taken_up(struct orb_resume *resume)
{
    struct orb_copy *copy = resume->copy;
    if (resume->status < 0) {
        orb_earlier_let_go(resume);
        orb_resume_fail(resume, resume->status, &resume->error);
        return;
    }
    orb_log(&copy->to->host->log, ORBIT_LOG_INFO,
            "the upload of '%s' goes on: %" PRIu64 " of %" PRIu64 " bytes are at the store", copy->from_path,
            copy->resumed, copy->total);
    resume->taken_up = true;
    copy->upload.keep = true;
    copy->upload.begin_reply = resume->begin_reply;
    copy->upload.begin_reply.extents = resume->held;
    copy->upload.begin_reply.extent_count = resume->held_count;
    void *handle = resume->handle;
    resume->handle = NULL;
    orb_copy_taken_up(copy, handle, resume->journal.plan.part_bytes, 0, 0);
}

void orb_bytes_release(struct orb_resume *resume)
{
    orb_timer_cancel(resume->tick);
    orb_extents_release(&resume->news);
    orb_extents_release(&resume->news_batch);
    orb_extents_release(&resume->held_flushed);
    orb_extents_release(&resume->held_loose);
    orb_free(resume->held);
}
