/* SPDX-License-Identifier: Apache-2.0
 * The pair of operations behind one range, and how each of them starts over. Which range comes next, and what all of
 * them make together, is copy.c's. Loop thread only, but for passed(), which is the source's. */
#include "engine/copy_range.h"

#include <assert.h>
#include <inttypes.h>

#include "engine/copy.h"

#define BARREN_MAX 3 /* replies in a row that end early without a byte */

/* ---- the end ---------------------------------------------------------------------------------------- */

static void settle(struct orb_relay *range)
{
    if (!range->busy || !orb_race_idle(&range->source) || (range->target_sent && !range->target_over) ||
        !orb_pipe_quiet(&range->pipe))
        return;
    bool well = range->source_over && range->target_over && range->status >= 0 && !range->stopping;
    if (!well && !range->stopping)
        return;
    range->busy = false;
    orb_copy_range_over(range->copy, range, well);
}

static void fail(struct orb_relay *range, orbit_status status, const orbit_error *error)
{
    if (range->status < 0 || range->stopping)
        return;
    orbit_error own = *error;
    range->status = status;
    orb_copy_fail(range->copy, status, &own); /* stops this range, too */
}

void orb_relay_stop(struct orb_relay *range, const orbit_error *error)
{
    if (!range->busy || range->stopping)
        return;
    range->stopping = true;
    range->again = range->waiting = false;
    orb_pipe_fail(&range->pipe, error);
    orb_pipe_detach_source(&range->pipe);
    orb_race_cancel(&range->source);
    /* the target's call belongs to the upload, which is stopped by the copy */
    settle(range);
}

/* ---- the source ------------------------------------------------------------------------------------- */

static void begin_source(struct orb_relay *range)
{
    range->source.need = range->copy->options->parallel_operations ? ORB_FLOW_FREE : ORB_FLOW_BULK;
    range->source.turn = &range->copy->turn;
    range->source.tally = range->copy->tally;
    range->source.eager = !range->copy->no_hedge;
    orb_race_start(&range->source);
    if (range->headed)
        orb_hedger_watch(&range->copy->hedger, &range->source);
}

/* The reply is in: the first one of the object is told to the copy. */
static orbit_status head(struct orb_relay *range, struct orb_race_leg *leg, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    if (range->headed) {
        status = orb_copy_identify(range->copy, &leg->reply.metadata, error);
        if (status >= 0 && leg->reply.whole && orb_copy_wants_order(range->copy, range))
            orb_copy_end_for_order(range->copy);
        return status;
    }
    range->headed = true;
    status = orb_copy_range_head(range->copy, range, &leg->reply, error);
    if (status < 0 || range->stopping)
        return status;
    leg->end = range->length;
    orb_hedger_watch(&range->copy->hedger, &range->source);
    return orb_pipe_set_length(&range->pipe, range->length, error);
}

/* One that took over from another is looked at at once, as one that is the whole object, the others when they have
 * ended. */
static void source_head(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_relay *range = race->ctx;
    orbit_error error;
    bool told = range->headed && !leg->hedge && !leg->reply.whole && !range->copy->presuming;
    if (range->stopping || range->again || told)
        return;
    orbit_status status = head(range, leg, &error);
    if (status < 0)
        fail(range, status, &error);
}

static void source_ask(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_relay *range = race->ctx;
    struct orb_copy *copy = range->copy;
    uint64_t said = orb_copy_length_hint(copy);
    leg->request = (orbit_read_request){
        .path = copy->from_path,
        .version_id = copy->version_id,
        .offset = range->offset + leg->from,
        .length = range->length - leg->from,
        .pin = copy->presuming     ? &copy->hint
               : copy->have_source ? &copy->source
                                   : NULL,
        .presumed = copy->presuming,
        .if_match = copy->if_match,
        .sse_customer_key = copy->source_key,
        .want_checksum = copy->verify && range->first,
        .size_hint = said == ORBIT_SIZE_UNKNOWN ? 0 : said,
    };
}

static void source_enter(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_relay *range = race->ctx;
    orb_pipe_attach_source(&range->pipe, &leg->call.op.op);
}

static void source_attempt_over(struct orb_race *race, struct orb_race_leg *leg)
{
    struct orb_relay *range = race->ctx;
    orb_pipe_detach_source_of(&range->pipe, &leg->call.op.op);
}

static bool source_again(struct orb_race *race, struct orb_race_leg *leg, const orbit_error *error)
{
    struct orb_relay *range = race->ctx;
    (void)leg;
    (void)error;
    return !range->stopping && !range->again && orb_pipe_failure(&range->pipe, NULL) >= 0;
}

static bool source_held_up(struct orb_race *race)
{
    struct orb_relay *range = race->ctx;
    return orb_pipe_was_full(&range->pipe);
}

/* Ended well, but with fewer bytes than announced: goes on at its byte, if there is any progress in that. */
static void source_short(struct orb_relay *range, const struct orb_race_leg *leg)
{
    uint64_t received = orb_pipe_received(&range->pipe);
    range->barren = received > leg->from ? 0 : range->barren + 1;
    if (range->barren <= BARREN_MAX) {
        begin_source(range);
        return;
    }
    orbit_error error;
    orb_fail(&error, ORBIT_E_PROTOCOL, 0, "'%s' ended after %" PRIu64 " of %" PRIu64 " bytes", range->copy->from_path,
             range->offset + received, range->offset + range->length);
    fail(range, ORBIT_E_PROTOCOL, &error);
}

static void start_over(struct orb_relay *range)
{
    range->again = false;
    range->barren = 0;
    orb_copy_range_begins_again(range->copy);
    orb_race_arm(&range->source);
    orb_pipe_arm(&range->pipe, range->length, range->crcs, range->hold);
    orb_pipe_expect(&range->pipe, &range->expected);
    begin_source(range);
}

static void source_done(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, const orbit_error *given)
{
    struct orb_relay *range = race->ctx;
    orbit_error error;
    if (range->stopping) {
        settle(range);
        return;
    }
    if (range->again) {
        start_over(range);
        return;
    }
    /* What the pipe found wrong with the bytes is the reason, whatever the backend makes of it. */
    orbit_status wrong = orb_pipe_failure(&range->pipe, &error);
    if (wrong < 0) {
        fail(range, wrong, &error);
    } else if (status < 0) {
        fail(range, status, given);
    } else if ((status = head(range, leg, &error)) < 0) {
        fail(range, status, &error);
    } else if (range->stopping) {
        settle(range); /* the head told the copy to begin anew */
    } else if (!orb_pipe_arrived(&range->pipe)) {
        source_short(range, leg);
    } else {
        range->source_over = true;
        orb_copy_range_arrived(range->copy, range);
        settle(range);
    }
}

static const struct orb_race_kind source_kind = {
    .ask = source_ask,
    .enter = source_enter,
    .head = source_head,
    .again = source_again,
    .attempt_over = source_attempt_over,
    .held_up = source_held_up,
    .done = source_done,
};

static void passed(struct orb_pipe *pipe, size_t bytes)
{
    struct orb_relay *range = pipe->ctx;
    atomic_fetch_add_explicit(&range->copy->passed, bytes, memory_order_relaxed);
    orb_flow_moved(range->copy->from, bytes);
    if (range->copy->to->flow != range->copy->from->flow)
        orb_flow_moved(range->copy->to, bytes);
}

/* ---- the target ------------------------------------------------------------------------------------- */

static struct orb_relay *range_of_target(struct orb_upload_part *part)
{
    return (struct orb_relay *)part;
}

static void target_begin(struct orb_upload_part *part)
{
    struct orb_relay *range = range_of_target(part);
    orb_pipe_attach_target(&range->pipe, &part->call.op.op);
}

static bool target_again(struct orb_upload_part *part, const orbit_error *error)
{
    struct orb_relay *range = range_of_target(part);
    (void)error;
    orb_pipe_detach_target(&range->pipe);
    if (range->stopping || orb_pipe_failure(&range->pipe, NULL) < 0)
        return false;
    if (orb_pipe_rewind(&range->pipe))
        return true;
    range->source_over = false;
    orb_pipe_deafen(&range->pipe);
    if (orb_race_idle(&range->source)) {
        start_over(range);
    } else {
        range->again = true;
        orb_pipe_detach_source(&range->pipe);
        orb_race_cancel(&range->source);
    }
    return true;
}

static void target_done(struct orb_upload_part *part, orbit_status status, const orbit_error *given)
{
    struct orb_relay *range = range_of_target(part);
    orb_pipe_detach_target(&range->pipe);
    range->target_over = true;
    if (status < 0 && !range->stopping) {
        orbit_error error;
        orbit_status wrong = orb_pipe_failure(&range->pipe, &error);
        fail(range, wrong < 0 ? wrong : status, wrong < 0 ? &error : given);
    }
    settle(range);
}

void orb_relay_send(struct orb_relay *range)
{
    assert(!range->target_sent);
    range->waiting = false;
    range->target_sent = true;
    memset(&range->target.call, 0, sizeof(range->target.call));
    range->target.part.length = range->length;
    range->target.body = &range->pipe.body;
    range->target.begin = target_begin;
    range->target.again = target_again;
    range->target.done = target_done;
    orb_upload_send(&range->copy->upload, &range->target);
}

/* ---- the pipe --------------------------------------------------------------------------------------- */

static void news(struct orb_pipe *pipe, enum orb_pipe_news what)
{
    struct orb_relay *range = pipe->ctx;
    if (range->stopping)
        settle(range);
    else if (what == ORB_PIPE_READY && !range->target_sent && !range->waiting)
        orb_copy_range_ready(range->copy, range);
    else if (what == ORB_PIPE_STUCK && range->first && !range->headed)
        orb_copy_range_stuck(range->copy, range);
    else
        settle(range);
}

void orb_relay_let_go(struct orb_relay *range)
{
    orb_pipe_let_go(&range->pipe);
    orbit_error error;
    orbit_status status = orb_pipe_failure(&range->pipe, &error);
    if (status < 0)
        fail(range, status, &error);
}

orbit_status orb_relay_open(struct orb_relay *range, struct orb_copy *copy, orbit_error *error)
{
    range->copy = copy;
    range->pipe.news = news;
    range->pipe.passed = passed;
    range->pipe.ctx = range;
    range->source.kind = &source_kind;
    range->source.target = &range->pipe.sink;
    range->source.backend = copy->from;
    range->source.ctx = range;
    orbit_status status = orb_race_open(&range->source, error);
    if (status < 0)
        return status;
    if ((status = orb_pipe_open(&range->pipe, copy->to->host, error)) < 0)
        orb_race_close(&range->source);
    return status;
}

void orb_relay_start(struct orb_relay *range, uint32_t number, uint64_t at, uint64_t offset, uint64_t length,
                     bool first, bool hold, unsigned crcs, const orbit_checksum *expected)
{
    range->target.part = (orbit_part){number, at, length};
    range->offset = offset;
    range->length = length;
    range->barren = 0;
    range->crcs = length ? crcs : 0;
    range->expected = expected ? *expected : (orbit_checksum){0};
    range->hold = hold;
    range->first = first;
    range->headed = !first;
    range->busy = true;
    range->stopping = range->source_over = range->target_sent = range->target_over = false;
    range->again = range->waiting = false;
    range->status = ORBIT_OK;
    if (length == 0) { /* never asked for */
        range->headed = range->source_over = true;
        orb_pipe_arm(&range->pipe, 0, 0, false);
        return;
    }
    orb_race_arm(&range->source);
    orb_pipe_arm(&range->pipe, first ? ORBIT_SIZE_UNKNOWN : length, crcs, hold);
    orb_pipe_expect(&range->pipe, &range->expected);
    begin_source(range);
}

void orb_relay_expect(struct orb_relay *range, const orbit_checksum *expected)
{
    range->expected = *expected;
    orb_pipe_expect(&range->pipe, expected);
}

void orb_relay_close(struct orb_relay *range)
{
    assert(!range->busy);
    orb_pipe_close(&range->pipe);
    orb_race_close(&range->source);
}
