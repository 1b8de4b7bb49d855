/* SPDX-License-Identifier: Apache-2.0
 * The parallel producer: a flat store's listing in many requests at once, handed out in key order (or, where that
 * was asked for, as it comes). list_plan.c decides where to ask, parallel_part.c asks, parallel_page.c reads what
 * came; here are the giving out and the doubts.
 * Loop thread only, but for its making.
 *
 * It begins as the serial listing, one page at a time, and stays that where waiting for a page costs less than
 * reading it, or where the user stops early. Nothing is believed: keys that do not increase, a store that knows no
 * start-after, a place it does not like to be asked for, all end in the serial listing.
 *
 * The first guess is on trial: until its page proves that the store knows start-after there is no other one, what it
 * was cut from still holds the token by which to go on without it, and pages are given out in order. Later doubts
 * end in a listing from the last key given out, or, where its places cannot be relied on, in one from the beginning. */
#include "stream/lister_parallel.h"

#include "base/clock.h"
#include "base/mem.h"

enum {
    WORKERS_MAX = 64,
    EMPTY_PAGES_MAX = 10000, /* in a row, with more to follow: a store that never ends */
    EMPTY_PAGES_GUESS = 3,   /* the same where a guess began: a store that does not know start-after */
    SERIAL_PAGES = 2         /* that the user must want before more than one is asked for */
};

static void drop_parts(struct orb_parallel *parallel)
{
    while (parallel->parts)
        orb_list_part_free(parallel->parts);
    orb_list_plan_release(&parallel->plan);
}

static void free_parallel(struct orb_parallel *parallel)
{
    struct orbit_lister *lister = parallel->producer.lister;
    drop_parts(parallel);
    orb_page_release(&parallel->spare);
    orb_buf_release(&parallel->given_key);
    orb_buf_release(&parallel->seen_key);
    orb_free(parallel);
    orb_stream_gone(&lister->stream);
}

static void cancel_all(struct orb_parallel *parallel)
{
    for (struct orb_list_part *part = parallel->parts; part; part = part->next)
        if (part->running)
            orb_call_cancel(&part->call);
}

static void pump(struct orb_parallel *parallel);

static uint64_t workers_asked(const struct orb_parallel *parallel)
{
    return parallel->producer.lister->options.list_workers;
}

static bool worth_it(const struct orb_parallel *parallel)
{
    if (parallel->serial || parallel->refused)
        return false;
    return workers_asked(parallel) > 1 || parallel->far;
}

/* ---- doubts ---------------------------------------------------------------------------------------- */

static void part_failed(struct orb_list_part *part, orbit_status status, const orbit_error *error)
{
    part->failed = status;
    part->error = *error;
    orb_list_plan_broken(&part->parallel->plan, part->segment);
}

/* Everything that was not given out is asked for again, one page at a time. */
static void fall_back(struct orb_parallel *parallel, const char *why)
{
    orb_log(&parallel->backend->host->log, ORBIT_LOG_INFO, "listing '%s' goes on one page at a time: %s",
            parallel->producer.lister->path, why);
    parallel->falling = true;
    cancel_all(parallel);
}

/* The guess behind this segment, if it is on trial; NULL: there is none. */
static struct orb_list_part *trial_behind(const struct orb_parallel *parallel, const struct orb_list_segment *segment)
{
    struct orb_list_part *part = segment->next ? orb_list_part_of(segment->next) : NULL;
    return part && part->guess && !part->came && !parallel->proven ? part : NULL;
}

/* What the trial was to bring is asked for by the segment it was cut from. A reply that is under way may still tell
 * something. */
static void drop_trial(struct orb_parallel *parallel, struct orb_list_segment *segment, struct orb_list_part *trial)
{
    trial->segment = orb_list_plan_unite(&parallel->plan, segment);
    trial->dropped = true;
    if (trial->running)
        return;
    parallel->plan.on_trial = false;
    orb_list_part_free(trial);
}

static bool on_trial(const struct orb_list_part *part)
{
    const struct orb_parallel *parallel = part->parallel;
    return parallel->plan.head && parallel->plan.head->next == part->segment &&
           trial_behind(parallel, parallel->plan.head) == part;
}

/* The store does not answer guesses as it should. The listing goes on where it has a token. */
static void condemn(struct orb_list_part *trial, const char *why)
{
    struct orb_parallel *parallel = trial->parallel;
    orb_log(&parallel->backend->host->log, ORBIT_LOG_INFO, "listing '%s' goes on one page at a time: %s",
            parallel->producer.lister->path, why);
    parallel->refused = true;
    drop_trial(parallel, parallel->plan.head, trial);
}

/* The reply to a guess that is of no use any more. */
static void dropped_ended(struct orb_list_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_parallel *parallel = part->parallel;
    struct orb_list_key first;
    parallel->plan.on_trial = false;
    if (status < 0) {
        parallel->refused |= !(error->flags & ORBIT_ERROR_RETRIABLE) && status != ORBIT_E_MEMORY;
    } else if (part->page.count) {
        orb_list_key_at(&part->page, 0, &first);
        if (orb_list_key_compare(&first, &part->segment->lo) > 0)
            parallel->proven = true;
        else
            parallel->refused = true;
    }
    orb_list_part_free(part);
}

/* The plan of a listing from its beginning, or from the last key given out. */
static bool begin_plan(struct orb_parallel *parallel)
{
    const struct orbit_lister *lister = parallel->producer.lister;
    uint32_t workers = lister->options.list_workers;
    if (!workers || workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    if (!orb_list_plan_init(&parallel->plan, workers, lister->page_entries))
        return false;
    const char *after = parallel->given_known && !parallel->skipping ? orb_buf_string(&parallel->given_key)
                                                                     : lister->options.start_after;
    struct orb_list_segment *head = parallel->plan.head;
    head->has_lo = after != NULL;
    return !after || orb_buf_text(&head->lo, after);
}

static void end_with(struct orb_parallel *parallel, orbit_status status, const orbit_error *error)
{
    orb_page_reset(&parallel->spare);
    parallel->wanted = false;
    parallel->over = true;
    cancel_all(parallel);
    orb_lister_deliver(parallel->producer.lister, &parallel->spare, status, error);
}

/* What was under way when it fell has ended. */
static void begin_again(struct orb_parallel *parallel)
{
    orbit_error error;
    drop_parts(parallel);
    parallel->falling = false;
    parallel->serial = true;
    if (begin_plan(parallel))
        pump(parallel);
    else
        end_with(parallel, orb_fail_memory(&error), &error);
}

/* The store lists in another order. Where nothing was cut yet, it just goes on as it does. */
static void inverted(struct orb_parallel *parallel, struct orb_list_part *part)
{
    orbit_error error;
    bool buffered = part->page.count > 0;
    struct orb_list_part *trial = trial_behind(parallel, part->segment);
    if (trial)
        drop_trial(parallel, part->segment, trial);
    if (parallel->plan.head == part->segment && !part->segment->next) {
        parallel->serial = true;
        parallel->plan.parallel = false;
        orb_list_plan_unseen(&parallel->plan, part->segment, buffered, part->page.more);
        if (buffered)
            orb_parallel_keep_page(part, NULL);
    } else if (parallel->plan.unordered) {
        part_failed(part,
                    orb_fail(&error, ORBIT_E_PROTOCOL, 0,
                             "listing '%s': the store's keys do not increase: list it with one worker",
                             parallel->producer.lister->path),
                    &error);
    } else {
        fall_back(parallel, "its keys do not increase");
    }
}

/* ---- what came ------------------------------------------------------------------------------------- */

/* Empty pages with more to follow are fine, but not for ever. False: this segment is over. */
static bool check_empty(struct orb_parallel *parallel, struct orb_list_part *part)
{
    orbit_error error;
    if (part->page.count || !part->page.more) {
        part->empty_pages = 0;
        return true;
    }
    part->empty_pages++;
    if (part->empty_pages >= EMPTY_PAGES_GUESS && on_trial(part)) {
        condemn(part, "it seems not to know start-after");
        return false;
    }
    if (part->guess && !part->came && part->empty_pages >= EMPTY_PAGES_GUESS && !parallel->plan.unordered) {
        fall_back(parallel, "it seems not to know start-after");
        return false;
    }
    if (part->empty_pages < EMPTY_PAGES_MAX)
        return true;
    part_failed(part,
                orb_fail(&error, ORBIT_E_PROTOCOL, 0, "listing '%s': the store sends empty pages without end",
                         parallel->producer.lister->path),
                &error);
    return false;
}

/* What was cut from is through before its guess is proven: the page is all its own, as if nothing had been cut. */
static void look_past_trial(struct orb_parallel *parallel, struct orb_list_part *part, struct orb_list_sight *sight)
{
    struct orb_list_part *trial = trial_behind(parallel, part->segment);
    struct orb_list_key last;
    if (!trial)
        return;
    orb_list_key_at(&part->page, sight->last_at, &last);
    if (part->page.more && (!sight->keys || orb_list_key_compare(&last, &part->segment->hi) < 0))
        return;
    drop_trial(parallel, part->segment, trial);
    sight->kept = sight->keys;
    sight->kept_at = sight->last_at;
    sight->cut_at = part->page.used;
    sight->cut_count = part->page.count;
}

/* A store that says that nothing lies behind a place, and has named a key that does: MinIO, where more keys than a page
 * takes lie between the name of a directory and a place in it ("c-1" to "c-2000", asked for what follows "c/k"). It
 * answers so whenever it is asked, but its tokens lead on. Keys that were removed meanwhile look the same, and cost a
 * serial listing. */
static void look_at_ends(struct orb_parallel *parallel, struct orb_list_part *part)
{
    if (!parallel->proven || !orb_list_plan_doubt_ends(&parallel->plan, &parallel->seen_key))
        return;
    if (parallel->plan.unordered) {
        part->failed = orb_fail(&part->error, ORBIT_E_PROTOCOL, 0,
                                "listing '%s': the store names no keys behind one that is not its last: list it with "
                                "one worker",
                                parallel->producer.lister->path);
        part->segment->done = part->segment->ended = false;
        part->segment->broken = true;
    } else {
        parallel->skipping = true;
        fall_back(parallel, "it names no keys behind one that is not its last");
    }
}

static void page_came(struct orb_parallel *parallel, struct orb_list_part *part)
{
    struct orbit_page *page = &part->page;
    struct orb_list_segment *segment = part->segment;
    struct orb_list_sight sight;
    if (!check_empty(parallel, part))
        return;
    orb_parallel_learn_time(parallel, part, orb_now_ns());
    if (page->count)
        orb_parallel_bound_pages(parallel, page);
    if (parallel->skipping && !orb_parallel_drop_given(parallel, page)) {
        orbit_error error;
        part_failed(part, orb_fail_memory(&error), &error);
        return;
    }
    bool trial = on_trial(part), more = page->more;
    part->came |= page->count > 0;
    if (!segment->has_hi && !worth_it(parallel) && !trial) {
        orb_list_plan_unseen(&parallel->plan, segment, page->count > 0, page->more);
        if (page->count)
            orb_parallel_keep_page(part, NULL);
    } else if (orb_parallel_look_into(parallel, part, page, &sight)) {
        look_past_trial(parallel, part, &sight);
        orb_parallel_tell_plan(parallel, part, &sight);
        if (trial && !sight.keys && !more) { /* nothing there, or no knowledge of start-after: it proves neither */
            drop_trial(parallel, parallel->plan.head, part);
            return;
        }
        if (part->guess && sight.keys) {
            parallel->proven = true;
            parallel->plan.unordered = parallel->producer.lister->options.unordered;
        }
        parallel->plan.on_trial &= !trial;
        if (sight.cut_count)
            orb_parallel_keep_page(part, &sight);
        look_at_ends(parallel, part);
    } else if (trial) {
        part->came = false;
        condemn(part, "it seems not to know start-after");
        return;
    } else {
        inverted(parallel, part);
    }
    if (segment->done || !more) {
        parallel->backend->ops->list_end(parallel->backend->self, part->cursor);
        part->cursor = NULL;
        orb_page_release(page);
    }
}

static void request_failed(struct orb_parallel *parallel, struct orb_list_part *part, orbit_status status,
                           const orbit_error *error)
{
    if (status == ORBIT_E_MEMORY && parallel->plan.buffered + parallel->running) {
        orb_list_plan_failed(&parallel->plan, part->segment); /* it will be asked for when others gave theirs back */
        parallel->plan.window = 2;
        return;
    }
    if (!(error->flags & ORBIT_ERROR_RETRIABLE) && on_trial(part)) {
        condemn(part, error->message);
        return;
    }
    part_failed(part, status, error);
    part->refused = part->guess && !part->came && !(error->flags & ORBIT_ERROR_RETRIABLE);
    parallel->refused |= part->refused;
}

bool orb_parallel_over(struct orb_list_part *part)
{
    struct orb_parallel *parallel = part->parallel;
    part->running = false;
    parallel->running--;
    if (parallel->shut) {
        if (!parallel->running)
            free_parallel(parallel);
        return true;
    }
    if (parallel->falling && !parallel->stopped) {
        if (!parallel->running)
            begin_again(parallel);
        return true;
    }
    return parallel->stopped || parallel->over;
}

static void settle(struct orb_parallel *parallel)
{
    if (parallel->falling && !parallel->running)
        begin_again(parallel);
    else
        pump(parallel);
}

void orb_parallel_ended(struct orb_list_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_parallel *parallel = part->parallel;
    if (part->dropped)
        dropped_ended(part, status, error);
    else if (status < 0)
        request_failed(parallel, part, status, error);
    else
        page_came(parallel, part);
    settle(parallel);
}

/* ---- giving out ------------------------------------------------------------------------------------ */

/* The part whose turn it is to give: NULL when all is given out, or when it is not there yet. */
static struct orb_list_part *whose_turn(struct orb_parallel *parallel)
{
    struct orb_list_segment *segment;
    while ((segment = orb_list_plan_finished(&parallel->plan))) {
        orb_list_part_free(orb_list_part_of(segment));
        orb_list_segment_free(segment);
    }
    for (segment = parallel->plan.head; segment; segment = segment->next) {
        struct orb_list_part *part = orb_list_part_of(segment);
        if (part && part->first)
            return part;
        if (!parallel->plan.unordered)
            return part && part->failed ? part : NULL;
    }
    for (struct orb_list_part *part = parallel->parts; part; part = part->next)
        if (part->failed)
            return part;
    return NULL;
}

/* Asserts the order of what is given out and remembers how far it got. */
static bool in_order(struct orb_parallel *parallel, const struct orb_list_ready *ready)
{
    struct orb_list_key key;
    if (!ready->has_key) {
        parallel->given_known = false;
        return true;
    }
    orb_list_key_at(&ready->page, ready->first_at, &key);
    if (parallel->given_known && !parallel->plan.unordered && orb_list_key_compare(&key, &parallel->given_key) <= 0)
        return false;
    orb_list_key_at(&ready->page, ready->last_at, &key);
    orb_buf_reset(&parallel->given_key);
    (void)orb_buf_append(&parallel->given_key, key.bytes, key.length); /* there is room */
    parallel->given_known = true;
    return true;
}

static void give_page(struct orb_parallel *parallel, struct orb_list_part *part)
{
    struct orb_list_ready *ready = part->first;
    if (!in_order(parallel, ready)) {
        fall_back(parallel, "its keys do not increase");
        return;
    }
    part->first = ready->next;
    if (!part->first)
        part->last = &part->first;
    parallel->given += ready->page.count;
    parallel->wanted = false;
    orb_list_plan_given(&parallel->plan, part->segment);
    (void)whose_turn(parallel); /* drops what is finished */
    parallel->over = !parallel->plan.head;
    orb_lister_deliver(parallel->producer.lister, &ready->page, parallel->over ? ORBIT_END : ORBIT_OK, NULL);
    orb_page_release(&parallel->spare);
    parallel->spare = ready->page; /* an empty one now */
    orb_free(ready);
}

static void give(struct orb_parallel *parallel)
{
    struct orb_list_part *part = whose_turn(parallel);
    if (!parallel->plan.head) {
        end_with(parallel, ORBIT_END, NULL);
    } else if (part && part->first) {
        give_page(parallel, part);
    } else if (part && part->refused && !parallel->plan.unordered) {
        fall_back(parallel, part->error.message);
    } else if (part) {
        orbit_error error = part->error;
        end_with(parallel, part->failed, &error);
    }
}

/* Whether a page more may be asked for. */
static bool may_ask(const struct orb_parallel *parallel)
{
    const struct orb_list_plan *plan = &parallel->plan;
    uint64_t limit = parallel->producer.lister->options.max_entries;
    if (!plan->parallel)
        return parallel->wanted;
    const struct orb_list_segment *head = plan->head;
    if (!limit || (head && !head->done && !head->busy && !head->buffered))
        return true; /* what is buffered behind it is of no use without it */
    uint64_t left = limit > parallel->given ? limit - parallel->given : 1;
    return plan->buffered + plan->busy < (double)left / plan->page_keys + 1;
}

static void pump(struct orb_parallel *parallel)
{
    struct orb_list_segment *segment;
    if (parallel->stopped || parallel->over || parallel->falling)
        return;
    if (parallel->wanted)
        give(parallel);
    parallel->plan.parallel =
        worth_it(parallel) && parallel->given_known && parallel->wishes > SERIAL_PAGES && workers_asked(parallel) != 1;
    while (!parallel->over && !parallel->falling && may_ask(parallel) &&
           (segment = orb_list_plan_next(&parallel->plan))) {
        if (orb_list_part_start(parallel, segment))
            continue;
        orbit_error error;
        orb_list_plan_failed(&parallel->plan, segment);
        if (!parallel->running && !parallel->plan.buffered)
            end_with(parallel, orb_fail_memory(&error), &error);
        break;
    }
    if (parallel->falling && !parallel->running)
        begin_again(parallel);
}

/* ---- the producer ---------------------------------------------------------------------------------- */

static void parallel_more(struct orb_producer *producer)
{
    struct orb_parallel *parallel = (struct orb_parallel *)producer;
    parallel->wanted = true;
    parallel->wishes++;
    pump(parallel);
}

static void parallel_stop(struct orb_producer *producer)
{
    struct orb_parallel *parallel = (struct orb_parallel *)producer;
    parallel->stopped = true;
    cancel_all(parallel);
}

static void parallel_shut(struct orb_producer *producer)
{
    struct orb_parallel *parallel = (struct orb_parallel *)producer;
    parallel->shut = true;
    if (!parallel->running)
        free_parallel(parallel);
}

static const struct orb_producer_kind parallel_kind = {parallel_more, parallel_stop, parallel_shut};

bool orb_parallel_fits(const struct orbit_lister *lister)
{
    const orbit_capabilities *caps = &lister->stream.backend->core.caps;
    const orbit_list_options *options = &lister->options;
    if (!caps->deep_list || !caps->ordered_list || caps->no_retry || options->list_workers == 1 || options->delimiter ||
        options->versions)
        return false;
    if (options->start_after && strlen(options->start_after) >= ORB_KEY_ROOM)
        return false;
    return !options->max_entries || options->max_entries / lister->page_entries >= SERIAL_PAGES;
}

struct orb_producer *orb_parallel_new(struct orbit_lister *lister, orbit_error *error)
{
    struct orb_parallel *parallel = orb_calloc(1, sizeof *parallel);
    if (!parallel) {
        orb_fail_memory(error);
        return NULL;
    }
    parallel->producer = (struct orb_producer){&parallel_kind, lister};
    parallel->backend = &lister->stream.backend->core;
    orb_lister_page_init(lister, &parallel->spare);
    orb_buf_init(&parallel->given_key, ORB_KEY_ROOM);
    static const char room[ORB_KEY_ROOM];
    orb_buf_init(&parallel->seen_key, ORB_KEY_ROOM + 1);
    if (!begin_plan(parallel) || !orb_buf_append(&parallel->given_key, room, sizeof room) ||
        !orb_buf_append(&parallel->seen_key, room, sizeof room) || !orb_buf_append(&parallel->seen_key, room, 1)) {
        orb_list_plan_release(&parallel->plan);
        orb_buf_release(&parallel->given_key);
        orb_buf_release(&parallel->seen_key);
        orb_free(parallel);
        orb_fail_memory(error);
        return NULL;
    }
    orb_buf_reset(&parallel->given_key);
    orb_buf_reset(&parallel->seen_key);
    return &parallel->producer;
}
