/* SPDX-License-Identifier: Apache-2.0
 * The course of a copy: look at the source where that is free or needed, let the store copy if it can, else cut what
 * is to be copied into ranges, keep them in flight in the order they complete, compare checksums, finish. One range
 * is copy_range.c's, sources without ranges are copy_stream.c's, the part sizes are parts.c's. Loop thread only. */
#include "engine/copy.h"

#include <assert.h>
#include <inttypes.h>

#include "base/digest.h"
#include "base/hash.h"
#include "base/least.h"
#include "base/mem.h"

#define EXTENT_MAX  ((uint64_t)64 << 20) /* ranges of files may be large: no part is held, and a file keeps bytes … */
#define PART_MAX    ((uint64_t)32 << 20) /* … where a store keeps whole parts, which are sent again if they fail */
#define PROGRESS_MS 200

static void plan_known(struct orb_copy *copy);

/* ---- the end ---------------------------------------------------------------------------------------- */

static void free_ranges(struct orb_copy *copy)
{
    for (uint32_t i = 0; i < copy->ranges_made; i++) {
        orb_relay_close(copy->ranges[i]);
        orb_free(copy->ranges[i]);
    }
    orb_free(copy->ranges);
    orb_free(copy->pieces);
    copy->ranges = NULL;
    copy->pieces = NULL;
    copy->ranges_made = 0;
    if (copy->charged)
        orb_budget_give(&copy->to->host->budget, copy->charged);
    copy->charged = 0;
}

static void tell_end(struct orb_message *message)
{
    struct orb_copy *copy = (struct orb_copy *)((char *)message - offsetof(struct orb_copy, message));
    free_ranges(copy);
    if (copy->stored.algorithm) /* nobody reads by this pin any more */
        copy->source.checksum = copy->stored;
    if (orb_copy_begins_again(copy))
        return;
    if (copy->well) {
        copy->ended(copy->ctx, ORBIT_OK, NULL);
        return;
    }
    orbit_error error = copy->error;
    copy->ended(copy->ctx, copy->status, &error);
}

void orb_copy_settle(struct orb_copy *copy)
{
    if (copy->ended_posted || (!copy->stopping && !copy->well))
        return;
    bool uploading = copy->upload.state != ORB_UPLOAD_NEW && !copy->upload_over;
    if (copy->ranges_busy || copy->stream || copy->restart_posted || !orb_call_idle(&copy->call) || uploading)
        return;
    if (!orb_copy_resume_end(copy))
        return;
    orb_timer_cancel(copy->progress_timer);
    orb_timer_cancel(copy->ramp_timer);
    orb_hedger_stop(&copy->hedger);
    copy->progress_timer = copy->ramp_timer = NULL;
    copy->ended_posted = true;
    copy->message.deliver = tell_end;
    orb_loop_post(copy->to->host->loop, &copy->message);
}

void orb_copy_fail(struct orb_copy *copy, orbit_status status, const orbit_error *error)
{
    if (copy->stopping || copy->well)
        return;
    copy->stopping = true;
    copy->mistaken = copy->presuming && status == ORBIT_E_CHANGED;
    copy->status = status;
    if (error)
        copy->error = *error;
    else
        orb_fail(&copy->error, status, 0, "%s", orbit_status_text(status));
    orb_admission_withdraw(&copy->admission);
    orb_call_cancel(&copy->call);
    orb_copy_resume_stop(copy);
    if (copy->upload.state != ORB_UPLOAD_NEW)
        orb_upload_stop(&copy->upload, status, &copy->error);
    for (uint32_t i = 0; i < copy->ranges_made; i++)
        orb_relay_stop(copy->ranges[i], &copy->error);
    orb_copy_stream_stop(copy, status, &copy->error);
    orb_copy_settle(copy);
}

void orb_copy_stop(struct orb_copy *copy, orbit_status status, const orbit_error *error)
{
    copy->called_off = true;
    orb_copy_fail(copy, status, error);
}

void orb_copy_succeed(struct orb_copy *copy)
{
    copy->well = true;
    copy->stopping = false;
    orb_copy_settle(copy);
}

static void upload_ended(struct orb_upload *upload, orbit_status status, const orbit_error *error)
{
    struct orb_copy *copy = upload->ctx;
    copy->upload_over = true;
    copy->bytes = upload->bytes + copy->resumed;
    copy->parts = copy->pieces ? 0 : upload->parts; /* sent, that is */
    copy->multipart = upload->multipart;
    copy->target = upload->metadata;
    upload->metadata = (orbit_metadata){0};
    if (status < 0 && orb_copy_pieces_refused(copy, status))
        return;
    if (status < 0) {
        orb_copy_fail(copy, status, error); /* if it was not the copy that stopped it */
        orb_copy_settle(copy);
    } else {
        copy->verified = copy->expected.algorithm != ORBIT_CHECKSUM_NONE;
        orb_copy_succeed(copy);
    }
}

/* ---- progress --------------------------------------------------------------------------------------- */

void orb_copy_moved(struct orb_copy *copy)
{
    uint64_t done = atomic_load_explicit(&copy->passed, memory_order_relaxed);
    if (!orb_call_idle(&copy->call))
        done += atomic_load_explicit(&copy->call.op.progress, memory_order_relaxed);
    if (copy->total != ORBIT_SIZE_UNKNOWN)
        done = orb_smaller(done, copy->total);
    if (!copy->moved || done <= copy->told) /* a range that is redone does not count backwards */
        return;
    copy->told = done;
    copy->moved(copy->ctx, done, copy->total);
}

static void progress_tick(void *ctx)
{
    struct orb_copy *copy = ctx;
    orb_copy_moved(copy);
    copy->progress_timer = orb_timer_start(copy->to->host->loop, PROGRESS_MS, progress_tick, copy);
}

void orb_copy_watch_progress(struct orb_copy *copy)
{
    if (!copy->progress_timer && copy->moved)
        copy->progress_timer = orb_timer_start(copy->to->host->loop, PROGRESS_MS, progress_tick, copy);
}

/* ---- how it is cut ----------------------------------------------------------------------------------- */

static void choose_parallel(struct orb_copy *copy)
{
    uint32_t to = orb_upload_parallel(copy->to, copy->options), from = orb_upload_parallel(copy->from, NULL);
    uint32_t to_most = orb_upload_most(copy->to, copy->options), from_most = orb_upload_most(copy->from, NULL);
    bool by_target = copy->options->parallel_operations || copy->from->caps.random_access;
    bool by_source = !by_target && copy->to->caps.random_access;
    copy->usual = by_target || (!by_source && to < from) ? to : from;
    copy->parallel = by_target || (!by_source && to_most < from_most) ? to_most : from_most;
}

static bool has_parts(const struct orb_backend *backend)
{
    return backend->ops->begin && backend->ops->part && backend->ops->finish && backend->caps.part_min;
}

static orbit_status cut(struct orb_copy *copy, uint64_t total, orbit_error *error)
{
    const struct orb_backend *from = copy->from, *to = copy->to;
    uint64_t chunk = orb_upload_chunk(to, copy->options);
    if (!chunk)
        chunk = orb_upload_chunk(from, NULL);
    if (!chunk) {
        const struct orb_backend *wire = to->caps.random_access ? from : to;
        chunk = wire->caps.random_access || !wire->options.chunk_size ? ORB_PARTS_CHUNK : wire->options.chunk_size;
        bool file = from->caps.random_access || to->caps.random_access;
        if (file && total != ORBIT_SIZE_UNKNOWN && total / chunk > (uint64_t)copy->usual * 4) {
            uint64_t extent = total / copy->usual / 4 / ORB_PARTS_ROUND * ORB_PARTS_ROUND;
            extent = orb_smaller(extent, to->caps.random_access ? EXTENT_MAX : PART_MAX);
            uint64_t round = (extent > chunk ? extent : chunk) * copy->usual;
            if (extent > chunk) /* as many rounds, but full ones */
                chunk = orb_copy_even(total, (total + round - 1) / round * copy->usual);
        }
    }
    struct orb_parts_rule rule = orb_parts_rule_of(&to->caps, chunk, 0);
    if (!has_parts(to)) {
        rule.part_min = 1;
        rule.part_max = to->caps.put_max;
        rule.count_max = 1;
        rule.chunk = to->caps.put_max;
    }
    return orb_parts_plan(&copy->plan, &rule, total, total != ORBIT_SIZE_UNKNOWN, copy->to_path, error);
}

/* The upload is chosen: one put, or parts. Which bytes range 1 has is settled before. */
static void choose_upload(struct orb_copy *copy)
{
    const struct orb_backend *to = copy->to;
    bool small = copy->total <= copy->plan.base || !has_parts(to);
    copy->single = to->ops->put && copy->total <= to->caps.put_max && small;
    copy->sending = true;
    if (copy->single)
        return;
    orb_copy_watch_progress(copy);
    orb_copy_ramp_asks(copy);
    orb_copy_kept_prepare(copy);
    orb_upload_begin(&copy->upload, copy->total, copy->plan.base);
}

static void plan_known(struct orb_copy *copy)
{
    orbit_error error;
    orbit_status status = cut(copy, copy->total, &error);
    if (status < 0) {
        orb_copy_fail(copy, status, &error);
        return;
    }
    orb_copy_kept_plan(copy);
    orb_copy_expect(copy, copy->total);
    copy->hedger.total = copy->total;
    copy->next_offset = 0;
    copy->next_number = 1;
    if (!orb_copy_resume_start(copy))
        orb_copy_planned(copy);
}

void orb_copy_planned(struct orb_copy *copy)
{
    choose_upload(copy);
    orb_copy_pump(copy);
}

void orb_copy_taken_up(struct orb_copy *copy, void *handle, uint64_t part_bytes, uint32_t parts, uint64_t bytes)
{
    copy->plan.base = part_bytes;
    copy->single = false;
    copy->sending = true;
    atomic_fetch_add(&copy->passed, bytes + copy->resumed);
    orb_copy_watch_progress(copy);
    orb_copy_ramp_asks(copy);
    orb_upload_take_up(&copy->upload, handle, parts, bytes);
}

/* ---- ranges in flight -------------------------------------------------------------------------------- */

static struct orb_relay *idle_range(struct orb_copy *copy, orbit_error *error)
{
    struct orbit_host *host = copy->to->host;
    if (!orb_copy_ramp_allows(copy))
        return NULL;
    for (uint32_t i = 0; i < copy->ranges_made; i++)
        if (!copy->ranges[i]->busy)
            return copy->ranges[i];
    if (copy->ranges_made == copy->parallel)
        return NULL;
    if (copy->ranges_made > 0 && (copy->charged + ORB_PIPE_BYTES > host->budget.limit / 2 ||
                                  orb_admission_pressed(host) || !orb_budget_take(&host->budget, ORB_PIPE_BYTES)))
        return NULL;
    if (copy->ranges_made > 0) /* the first one's was admitted */
        copy->charged += ORB_PIPE_BYTES;
    struct orb_relay *range = orb_calloc(1, sizeof(*range));
    if (!range) {
        orb_fail_memory(error);
        return NULL;
    }
    if (orb_relay_open(range, copy, error) < 0) {
        orb_free(range);
        return NULL;
    }
    copy->ranges[copy->ranges_made++] = range;
    return range;
}

/* NULL when none is free now; a copy that cannot have even one fails. */
static struct orb_relay *take_range(struct orb_copy *copy)
{
    orbit_error error = {0};
    struct orb_relay *range = idle_range(copy, &error);
    if (range)
        copy->ranges_busy++;
    else if (copy->ranges_busy == 0 && error.status < 0)
        orb_copy_fail(copy, (orbit_status)error.status, &error);
    return range;
}

/* Passes over what an earlier upload has sent. */
static void skip_sent(struct orb_copy *copy)
{
    while (copy->next_offset < copy->total && orb_copy_resume_has(copy, copy->next_number))
        copy->next_offset += orb_parts_next(&copy->plan, copy->next_number++, copy->next_offset);
}

/* `missing` bytes from next_offset on are wanted. */
static bool next_range(struct orb_copy *copy, uint64_t missing)
{
    struct orb_relay *range = take_range(copy);
    if (!range)
        return false;
    uint64_t length = orb_parts_next(&copy->plan, copy->next_number, copy->next_offset);
    if (copy->single)
        length = copy->total;
    else
        length = orb_copy_ramp_length(copy, length);
    length = orb_smaller(length, missing);
    uint64_t at = copy->next_offset;
    copy->next_offset += length;
    orb_copy_ramp_widen(copy, range, length);
    copy->in_one = length == copy->total;
    orb_relay_start(range, copy->next_number++, at, copy->offset + at, length, false,
                    copy->single && orb_copy_checks_again(copy), orb_copy_crcs_wanted(copy),
                    copy->in_one ? &copy->expected : NULL);
    return true;
}

void orb_copy_checked(struct orb_copy *copy)
{
    if (copy->single)
        orb_relay_let_go(copy->ranges[0]);
    else
        orb_copy_verify_and_finish(copy);
}

void orb_copy_pump(struct orb_copy *copy)
{
    if (!copy->sending || copy->holding || copy->stopping || copy->finishing)
        return;
    if (copy->single && copy->next_number == 1) {
        next_range(copy, copy->total);
        return;
    }
    skip_sent(copy);
    while (!copy->single && !copy->stopping) {
        uint64_t missing = orb_copy_kept_next(copy);
        if (missing == 0 || !next_range(copy, missing))
            break;
        skip_sent(copy);
    }
    if (copy->single || copy->stopping || copy->ranges_busy || copy->next_offset < copy->total ||
        copy->upload.state != ORB_UPLOAD_OPEN || copy->asking)
        return;
    copy->finishing = true;
    if (orb_copy_checks_again(copy))
        orb_copy_check_again(copy);
    else
        orb_copy_verify_and_finish(copy);
}

/* What is not there yet and lies before it is another range's. */
static bool is_lowest(const struct orb_copy *copy, const struct orb_relay *range)
{
    for (uint32_t i = 0; i < copy->ranges_made; i++)
        if (copy->ranges[i]->busy && !copy->ranges[i]->target_over &&
            copy->ranges[i]->target.part.offset < range->target.part.offset)
            return false;
    return true;
}

/* Parts go to the target as they are ready; in order, one by one, where it needs that. */
static void send_waiting(struct orb_copy *copy)
{
    for (uint32_t i = 0; i < copy->ranges_made && !copy->stopping; i++) {
        struct orb_relay *range = copy->ranges[i];
        if (!range->busy || !range->waiting)
            continue;
        if (copy->upload.sequential && (copy->upload.in_flight || !is_lowest(copy, range)))
            continue;
        orb_relay_send(range);
    }
}

static void upload_opened(struct orb_upload *upload)
{
    struct orb_copy *copy = upload->ctx;
    orb_copy_resume_opened(copy);
    if (!copy->to->caps.random_access) /* a way to a store */
        orb_copy_ramp_answered(copy, copy->to);
    orb_copy_kept_opened(copy);
    send_waiting(copy);
    orb_copy_pump(copy);
}

void orb_copy_range_ready(struct orb_copy *copy, struct orb_relay *range)
{
    if (copy->stopping)
        return;
    if (copy->single) {
        orb_relay_send(range);
        return;
    }
    range->waiting = true;
    if (copy->upload.state == ORB_UPLOAD_OPEN)
        send_waiting(copy);
}

void orb_copy_range_arrived(struct orb_copy *copy, struct orb_relay *range)
{
    (void)range;
    if (copy->single && orb_copy_checks_again(copy) && !copy->checking)
        orb_copy_check_again(copy);
}

/* What was found out of the source, or is being, says nothing about the bytes that come now. */
void orb_copy_range_begins_again(struct orb_copy *copy)
{
    copy->check_void = copy->checking;
}

/* By a message of its own: the range that has just ended is not touched under its own feet. */
static void restart(struct orb_message *message)
{
    struct orb_copy *copy = (struct orb_copy *)((char *)message - offsetof(struct orb_copy, restart_message));
    enum orb_copy_restart how = copy->restart;
    copy->restart = ORB_COPY_GO_ON;
    copy->restart_posted = false;
    atomic_store(&copy->passed, copy->resumed);
    if (copy->stopping) {
        orb_copy_settle(copy);
    } else if (how == ORB_COPY_LOOK_FIRST) {
        orb_copy_look(copy);
    } else if (how == ORB_COPY_AS_STREAM) {
        free_ranges(copy); /* the stream asks for memory of its own: nobody waits while holding some */
        orb_copy_stream_start(copy);
    } else if (how == ORB_COPY_AS_KEPT) {
        copy->holding = false;
        orb_copy_pump(copy);
    } else {
        plan_known(copy);
    }
}

void orb_copy_range_over(struct orb_copy *copy, struct orb_relay *range, bool well)
{
    copy->ranges_busy--;
    if (copy->stopping || copy->well) {
        orb_copy_settle(copy);
    } else if (!well) {
        copy->restart_posted = true;
        copy->restart_message.deliver = restart;
        orb_loop_post(copy->to->host->loop, &copy->restart_message);
    } else {
        orb_copy_add_checksum(copy, range);
        orb_copy_moved(copy);
        send_waiting(copy);
        orb_copy_pump(copy);
    }
}

/* ---- the first range of an object that nobody looked at ------------------------------------------------ */

void orb_copy_begin_anew(struct orb_copy *copy, struct orb_relay *range, enum orb_copy_restart how)
{
    orbit_error error;
    orb_fail(&error, ORBIT_E_CANCELLED, 0, "begun anew");
    copy->restart = how;
    orb_relay_stop(range, &error);
}

static void first_range(struct orb_copy *copy)
{
    orbit_error error;
    orbit_status status = cut(copy, ORBIT_SIZE_UNKNOWN, &error);
    if (status < 0) {
        orb_copy_fail(copy, status, &error);
        return;
    }
    struct orb_relay *range = take_range(copy);
    if (!range)
        return; /* the first always is there, or the copy has failed */
    orb_copy_ramp_asks(copy);
    orb_relay_start(range, 1, 0, copy->offset, orb_copy_first_wish(copy), true, false, orb_copy_crcs_wanted(copy),
                    NULL);
}

orbit_status orb_copy_range_head(struct orb_copy *copy, struct orb_relay *range, const orbit_read_reply *reply,
                                 orbit_error *error)
{
    orbit_status status = orb_copy_identify(copy, &reply->metadata, error);
    if (status < 0)
        return status;
    orb_copy_ramp_answered(copy, copy->from);
    copy->total = orb_copy_bytes(copy);
    if ((reply->whole && orb_copy_wants_order(copy, range)) || copy->total == ORBIT_SIZE_UNKNOWN) {
        orb_copy_begin_anew(copy, range, ORB_COPY_AS_STREAM);
        return ORBIT_OK;
    }
    uint64_t wish = range->length;
    bool guessed = wish < copy->plan.base; /* by a hint */
    if ((status = cut(copy, copy->total, error)) < 0)
        return status;
    if (copy->total > wish && (guessed || (copy->plan.rule.equal && copy->plan.base != wish))) {
        orb_copy_begin_anew(copy, range, ORB_COPY_AS_KNOWN);
        return ORBIT_OK;
    }
    if (copy->plan.base < wish) /* one range suffices, and one put */
        copy->plan.base = wish;
    range->length = orb_smaller(wish, copy->total);
    range->target.part.length = range->length;
    copy->next_offset = range->length;
    copy->next_number = 2;
    copy->hedger.total = copy->total;
    orb_copy_kept_plan(copy);
    orb_copy_expect(copy, copy->total);
    copy->in_one = range->length == copy->total && orb_digest_combines(copy->expected.algorithm);
    if (copy->in_one)
        orb_relay_expect(range, &copy->expected);
    choose_upload(copy);
    if (!copy->single && copy->verify && !copy->expected.algorithm)
        orb_copy_ask_checksum(copy);
    orb_copy_pump(copy);
    return ORBIT_OK;
}

void orb_copy_range_stuck(struct orb_copy *copy, struct orb_relay *range)
{
    if (!copy->stopping)
        orb_copy_begin_anew(copy, range, copy->from->ops->stat ? ORB_COPY_LOOK_FIRST : ORB_COPY_AS_STREAM);
}

/* ---- the start --------------------------------------------------------------------------------------- */

static void begin_ranges(struct orb_copy *copy)
{
    if (copy->total != ORBIT_SIZE_UNKNOWN)
        plan_known(copy);
    else
        first_range(copy);
}

static void admitted(void *ctx)
{
    struct orb_copy *copy = ctx;
    copy->charged = ORB_PIPE_BYTES;
    copy->ranges = orb_calloc(copy->parallel, sizeof(*copy->ranges));
    if (copy->ranges) {
        begin_ranges(copy);
        return;
    }
    orbit_error error;
    orb_copy_fail(copy, orb_fail_memory(&error), &error);
}

/* The bytes go through this machine. */
void orb_copy_through_here(struct orb_copy *copy)
{
    copy->through_here = true;
    bool sequential = !copy->from->caps.ranged_read || copy->source.kind == ORBIT_KIND_OTHER ||
                      orb_upload_reads_twice(copy->to, copy->options, copy->total) || /* a pipe's are gone */
                      (copy->have_source && copy->total == ORBIT_SIZE_UNKNOWN);
    if (!copy->from->ops->read) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_UNSUPPORTED, 0, "%s cannot be read from", copy->from->ops->name);
        orb_copy_fail(copy, ORBIT_E_UNSUPPORTED, &error);
    } else if (sequential) {
        orb_copy_stream_start(copy);
    } else if (copy->ranges) {
        begin_ranges(copy); /* anew */
    } else if (orb_admission_ask(&copy->admission, copy->to->host, ORB_PIPE_BYTES, admitted, copy)) {
        admitted(copy);
    }
}

void orb_copy_renew_upload(struct orb_copy *copy)
{
    copy->upload = (struct orb_upload){.backend = copy->to,
                                       .path = copy->to_path,
                                       .options = copy->options,
                                       .preserve = copy->preserve ? &copy->source : NULL,
                                       .opened = upload_opened,
                                       .ended = upload_ended,
                                       .ctx = copy,
                                       .joined = !copy->from->caps.no_retry,
                                       .tally = copy->tally};
    orb_upload_init(&copy->upload);
}

void orb_copy_start(struct orb_copy *copy)
{
    copy->call.tally = copy->tally;
    orb_copy_renew_upload(copy);
    copy->total = ORBIT_SIZE_UNKNOWN;
    choose_parallel(copy);
    orb_copy_ramp_start(copy);
    orb_hedger_init(&copy->hedger, copy->from, copy->no_hedge);
    if (copy->have_source)
        orb_copy_looked(copy);
    else if (copy->from->ops->stat && (copy->from->caps.random_access || copy->look_first || copy->options->checksum ||
                                       copy->verify_full || orb_copy_store_may(copy)))
        orb_copy_look(copy); /* verify_full: of a hash one has to know before the first byte comes */
    else if (orb_copy_presume(copy))
        orb_copy_looked(copy);
    else
        orb_copy_through_here(copy);
}

void orb_copy_release(struct orb_copy *copy)
{
    free_ranges(copy);
    orb_copy_resume_release(copy);
    orbit_metadata_release(&copy->source);
    orbit_metadata_release(&copy->target);
    orbit_metadata_release(&copy->looked);
    orbit_metadata_release(&copy->upload.metadata);
    orb_free(copy->identity);
    copy->identity = NULL;
}
