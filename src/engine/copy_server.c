/* SPDX-License-Identifier: Apache-2.0
 * What a store copies by itself: in one request up to its copy_max, above it as the parts of an upload, whose bytes it
 * takes from the source. Each part is pinned to the version that was looked at, so that a source that changes in
 * between fails the copy instead of being mixed into it. Where the store turns out not to copy, the bytes go through
 * this machine. Loop thread only. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/copy.h"

/* A part costs one request whatever its length, and the store works at several at once: enough of them to keep it busy,
 * each short enough to be told of, and to be asked for again, within seconds. */
#define PIECE_BYTES ((uint64_t)128 << 20)

struct orb_copy_piece {
    struct orb_upload_part send; /* first */
    struct orb_copy *copy;
    bool busy;
};

bool orb_copy_store_may(const struct orb_copy *copy)
{
    const orbit_backend_ops *ops = copy->to->ops;
    bool same = copy->from == copy->to ||
                (copy->from->ops == ops && ops->same_store && ops->same_store(copy->to->self, copy->from->self));
    return !copy->no_server_copy && same && ops->copy && copy->offset == 0 && copy->length == ORBIT_TO_END;
}

static void fill_request(struct orb_copy *copy)
{
    copy->copy_request = (orbit_copy_request){.from = copy->from_path,
                                              .to = copy->to_path,
                                              .from_self = copy->from->self,
                                              .version_id = copy->version_id,
                                              .pin = copy->have_source ? &copy->source : NULL,
                                              .preserve = copy->preserve,
                                              .options = copy->options,
                                              .source_sse_customer_key = copy->source_key,
                                              .since_ns = copy->copy_lost ? copy->copied_ns : 0};
}

static void begin_anew(struct orb_copy *copy)
{
    orbit_metadata_release(&copy->target);
    orb_copy_renew_upload(copy);
    atomic_store(&copy->passed, 0);
}

static void through_here(struct orb_copy *copy)
{
    begin_anew(copy);
    orb_copy_through_here(copy);
}

/* ---- in one request ----------------------------------------------------------------------------------- */

static void start_copy(struct orb_call *call)
{
    struct orb_copy *copy = call->ctx;
    orbit_metadata_release(&copy->target);
    if (!copy->copied_ns)
        copy->copied_ns = orb_realtime_ns();
    fill_request(copy);
    orb_call_names(call, ORBIT_REQUEST_COPY, copy->from_path);
    copy->to->ops->copy(copy->to->self, &call->op.op, &copy->copy_request, &copy->target);
}

/* A copy may be repeated, but for one whose condition the lost one may have spoilt, if nobody can tell. */
static bool copy_again(struct orb_call *call, const orbit_error *error)
{
    struct orb_copy *copy = call->ctx;
    const orbit_write_options *options = copy->options;
    bool lost = error->flags & ORBIT_ERROR_MAYBE_DONE, tells = copy->to->caps.resolves_writes;
    copy->copy_lost = copy->copy_lost || lost;
    return !copy->stopping && (!lost || tells || (options->overwrite && !options->if_match));
}

static void copy_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_copy *copy = call->ctx;
    call->again = NULL;
    if (status >= 0) {
        copy->bytes = copy->total;
        orb_copy_succeed(copy);
    } else if (copy->stopping) {
        orb_copy_settle(copy);
    } else if (status == ORBIT_E_UNSUPPORTED && !copy->server_only) {
        through_here(copy);
    } else {
        orb_copy_fail(copy, status, error);
    }
}

/* ---- in parts ------------------------------------------------------------------------------------------ */

static void send_pieces(struct orb_copy *copy);
static void copy_in_parts(struct orb_copy *copy);

static void piece_done(struct orb_upload_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_copy_piece *piece = (struct orb_copy_piece *)part;
    struct orb_copy *copy = piece->copy;
    (void)error; /* the upload ends with it */
    piece->busy = false;
    copy->pieces_busy--;
    if (status < 0)
        return;
    atomic_fetch_add_explicit(&copy->passed, part->part.length, memory_order_relaxed);
    orb_flow_moved(copy->to, part->part.length);
    orb_copy_moved(copy);
    send_pieces(copy);
}

static struct orb_copy_piece *free_piece(struct orb_copy *copy)
{
    if (copy->pieces_busy > 0 && copy->pieces_busy >= orb_upload_share(&copy->upload, copy->parallel))
        return NULL;
    for (uint32_t i = 0; i < copy->parallel; i++)
        if (!copy->pieces[i].busy)
            return &copy->pieces[i];
    return NULL;
}

static void send_pieces(struct orb_copy *copy)
{
    struct orb_upload *upload = &copy->upload;
    while (copy->next_offset < copy->total && !upload->stopping) {
        struct orb_copy_piece *piece = free_piece(copy);
        if (!piece)
            return;
        uint64_t length = orb_parts_next(&copy->plan, copy->next_number, copy->next_offset);
        *piece = (struct orb_copy_piece){.copy = copy, .busy = true};
        piece->send.part = (orbit_part){copy->next_number++, copy->next_offset, length};
        piece->send.done = piece_done;
        copy->next_offset += length;
        copy->pieces_busy++;
        orb_upload_send(upload, &piece->send);
    }
    if (copy->pieces_busy == 0 && !upload->stopping) {
        copy->finishing = true;
        orb_upload_finish(upload, copy->total, copy->next_number - 1);
    }
}

static void pieces_opened(struct orb_upload *upload)
{
    send_pieces(upload->ctx);
}

bool orb_copy_pieces_refused(struct orb_copy *copy, orbit_status status)
{
    bool last = copy->pieces_again && copy->server_only;
    if (!copy->pieces || status != ORBIT_E_UNSUPPORTED || last || copy->stopping || copy->finishing)
        return false;
    orb_free(copy->pieces);
    copy->pieces = NULL;
    copy->upload_over = false;
    if (!copy->pieces_again) { /* what the store does not take may be the way it was asked: the backend has learned */
        copy->pieces_again = true;
        begin_anew(copy);
        copy_in_parts(copy);
    } else {
        through_here(copy);
    }
    return true;
}

/* No part is larger than what the store copies in one request. */
static orbit_status cut(struct orb_copy *copy, orbit_error *error)
{
    const struct orb_backend *to = copy->to;
    uint64_t chunk = orb_upload_chunk(to, copy->options), most = to->caps.copy_max;
    struct orb_parts_rule rule = orb_parts_rule_of(&to->caps, chunk ? chunk : PIECE_BYTES, 0);
    if (most < rule.part_min)
        most = rule.part_min;
    if (!rule.part_max || rule.part_max > most)
        rule.part_max = most;
    return orb_parts_plan(&copy->plan, &rule, copy->total, true, copy->to_path, error);
}

static void copy_in_parts(struct orb_copy *copy)
{
    orbit_error error;
    orbit_status status = cut(copy, &error);
    copy->pieces = status >= 0 ? orb_calloc(copy->parallel, sizeof(*copy->pieces)) : NULL;
    if (status >= 0 && !copy->pieces)
        status = orb_fail_memory(&error);
    if (status < 0) {
        orb_copy_fail(copy, status, &error);
        return;
    }
    orb_copy_expect(copy, copy->total);
    orb_copy_watch_progress(copy);
    fill_request(copy);
    copy->next_offset = 0;
    copy->next_number = 1;
    copy->upload.source = &copy->copy_request;
    copy->upload.expected = copy->expected.algorithm ? &copy->expected : NULL;
    copy->upload.opened = pieces_opened;
    copy->upload.joined = false;
    orb_upload_begin(&copy->upload, copy->total, copy->plan.base);
}

/* ---- which of them ------------------------------------------------------------------------------------- */

static void refuse(struct orb_copy *copy)
{
    orbit_error error;
    orb_fail(&error, ORBIT_E_UNSUPPORTED, 0,
             "'%.150s' has %" PRIu64 " bytes, and the %s backend copies at most %" PRIu64
             " by itself: copy it and remove it afterwards",
             copy->from_path, copy->total, copy->to->ops->name, copy->to->caps.copy_max);
    orb_copy_fail(copy, ORBIT_E_UNSUPPORTED, &error);
}

bool orb_copy_by_store(struct orb_copy *copy)
{
    const struct orb_backend *to = copy->to;
    bool fits = !to->caps.copy_max || copy->total <= to->caps.copy_max;
    if (!orb_copy_store_may(copy) || (copy->total == ORBIT_SIZE_UNKNOWN && !copy->server_only))
        return false;
    if (fits || copy->total == ORBIT_SIZE_UNKNOWN) {
        orb_copy_watch_progress(copy);
        copy->call.again = copy_again;
        copy->call.eager = false; /* a store may copy for minutes and say nothing */
        orb_call_start(&copy->call, copy->to, start_copy, copy_done, copy);
        return true;
    }
    if (to->ops->part_copy && to->ops->begin && to->ops->finish && to->caps.part_min) {
        copy_in_parts(copy);
        return true;
    }
    if (copy->server_only)
        refuse(copy);
    return copy->server_only;
}
