/* SPDX-License-Identifier: Apache-2.0
 * A segment's listing: its cursor, the request for its next page, and the pages of it that wait to be given out.
 * Loop thread only. */
#include "base/clock.h"
#include "base/mem.h"
#include "stream/lister_parallel.h"

void orb_list_part_free(struct orb_list_part *part)
{
    struct orb_list_ready *ready;
    if (!part)
        return;
    struct orb_parallel *parallel = part->parallel;
    while ((ready = part->first)) {
        part->first = ready->next;
        orb_page_release(&ready->page);
        orb_free(ready);
    }
    if (part->cursor)
        parallel->backend->ops->list_end(parallel->backend->self, part->cursor);
    orb_page_release(&part->page);
    orb_free(part->room);
    *part->link = part->next;
    if (part->next)
        part->next->link = part->link;
    if (part->dropped)
        orb_list_segment_free(part->segment);
    orb_free(part);
}

/* ---- requests -------------------------------------------------------------------------------------- */

static void start_page(struct orb_call *call)
{
    struct orb_list_part *part = call->ctx;
    orb_call_names(call, ORBIT_REQUEST_LIST, part->request.path);
    orb_page_reset(&part->page);
    part->page.busy_ns = 0;
    part->started_ns = orb_now_ns();
    part->parallel->backend->ops->list_page(part->parallel->backend->self, &call->op.op, part->cursor, &part->page);
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_list_part *part = call->ctx;
    orbit_error own;
    if (orb_parallel_over(part))
        return;
    if (status >= 0 && part->page.out_of_memory && !part->page.count) {
        status = orb_fail_memory(&own);
        error = &own;
    }
    orb_parallel_ended(part, status, error);
}

static void fetch(struct orb_list_part *part)
{
    part->running = true;
    part->parallel->running++;
    atomic_fetch_add(&part->parallel->producer.lister->pages, 1);
    part->call.eager = true;
    orb_call_start(&part->call, part->parallel->backend, start_page, page_done, part);
}

static void start_begin(struct orb_call *call)
{
    struct orb_list_part *part = call->ctx;
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, part->request.path);
    part->parallel->backend->ops->list_begin(part->parallel->backend->self, &call->op.op, &part->request,
                                             &part->cursor);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_list_part *part = call->ctx;
    if (status < 0)
        part->cursor = NULL;
    if (orb_parallel_over(part))
        return;
    if (status < 0)
        orb_parallel_ended(part, status, error);
    else
        fetch(part);
}

/* A store that asks for fewer requests gets fewer, beside the pace that all calls keep then. */
static bool again(struct orb_call *call, const orbit_error *error)
{
    struct orb_list_part *part = call->ctx;
    if (error->flags & ORBIT_ERROR_THROTTLED)
        orb_list_plan_throttled(&part->parallel->plan);
    return (error->flags & ORBIT_ERROR_RETRIABLE) != 0;
}

static struct orb_list_part *new_part(struct orb_parallel *parallel, struct orb_list_segment *segment)
{
    struct orbit_lister *lister = parallel->producer.lister;
    const orbit_list_options *options = &lister->options;
    struct orb_list_part *part = orb_calloc(1, sizeof *part);
    if (!part)
        return NULL;
    part->parallel = parallel;
    part->segment = segment;
    part->last = &part->first;
    part->guess = segment->has_lo && !parallel->serial && parallel->plan.parallel;
    parallel->plan.on_trial |= part->guess && !parallel->proven;
    part->call.watched = true;
    part->call.need = ORB_FLOW_FREE; /* the plan decides how many: it grows with each useful page, and shrinks */
    part->call.again = again;
    part->request = (orbit_list_request){
        .path = lister->path,
        .recursive = options->recursive,
        .want_metadata = options->want_metadata || options->follow_symlinks,
        .follow_symlinks = options->follow_symlinks,
        .prefix = options->prefix,
        .start_after = segment->has_lo ? orb_buf_string(&segment->lo) : NULL,
        .delimiter = options->delimiter,
        .page_entries = lister->page_entries,
    };
    orb_lister_page_init(lister, &part->page);
    part->next = parallel->parts;
    part->link = &parallel->parts;
    if (part->next)
        part->next->link = &part->next;
    parallel->parts = part;
    segment->owner_data = part;
    return part;
}

bool orb_list_part_start(struct orb_parallel *parallel, struct orb_list_segment *segment)
{
    struct orb_list_part *part = orb_list_part_of(segment);
    if (!part && !(part = new_part(parallel, segment)))
        return false;
    if (!part->room && !(part->room = orb_calloc(1, sizeof *part->room)))
        return false;
    if (!part->page.room) {
        struct orbit_page page = part->page;
        part->page = parallel->spare;
        parallel->spare = page;
    }
    if (part->cursor) {
        fetch(part);
        return true;
    }
    if (segment->at.length) /* it goes on behind an end that was none */
        part->request.start_after = orb_buf_string(&segment->at);
    part->running = true;
    parallel->running++;
    part->call.tally = &parallel->producer.lister->stream.tally;
    orb_call_start(&part->call, parallel->backend, start_begin, begin_done, part);
    return true;
}
