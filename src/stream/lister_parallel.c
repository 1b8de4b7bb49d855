/* SPDX-License-Identifier: Apache-2.0
 * The parallel producer: a flat store's listing in many requests at once, handed out in key order (or, where that was
 * asked for, as it comes). list_plan.c decides where to ask; here are the requests, the pages, and the doubts.
 * Loop thread only, but for its making.
 *
 * It begins as the serial listing, one page at a time, and stays that where waiting for a page costs less than reading
 * it, or where the user stops early. Nothing is believed: keys that do not increase, a store that knows no
 * start-after, a place it does not like to be asked for, all end in the serial listing from the last key given out. */
#include "base/clock.h"
#include "base/mem.h"
#include "stream/list_plan.h"
#include "stream/lister.h"

enum {
    WORKERS_AUTO = 32,
    WORKERS_MAX = 64,
    EMPTY_PAGES_MAX = 10000, /* in a row, with more to follow: a store that never ends */
    EMPTY_PAGES_GUESS = 3,   /* the same where a guess began: a store that does not know start-after */
    SERIAL_PAGES = 2,        /* that the user must want before more than one is asked for */
    LEARN_ALL = 16,          /* pages whose keys are all learned; later every LEARN_STEPth */
    LEARN_STEP = 8,
    BYTES_MAX = 16 << 20, /* of pages in all */
    SLOW_PAGES = 4,
    SLOW_PAGES_SURE = 2,
    WAIT_FACTOR = 3 /* a page that takes so many times its reading is worth asking for ahead */
};
/* A page's wait that is worth more requests; from WAIT_SURE on two of them prove it. Fewer prove nothing: this process may
 * have slept. */
#define WAIT_LEAST (4 * ORB_MS)
#define WAIT_SURE  (16 * ORB_MS)
#define READ_NS    1500u /* an entry, where the backend does not say */

struct ready_page {
    struct ready_page *next;
    struct orbit_page page;
    size_t first_at, last_at; /* where the first and the last entry with a key are */
    bool has_key;             /* and whether that is known */
};

/* A segment's listing. */
struct part {
    struct orb_list_segment *segment;
    struct parallel *parallel;
    struct part *next, **link;
    struct orb_call call;
    orbit_list_request request;
    void *cursor;
    struct orbit_page page;  /* under way */
    struct ready_page *room; /* for the page under way */
    struct ready_page *first, **last;
    uint64_t started_ns;
    uint32_t empty_pages;
    bool guess; /* it begins where nobody has been */
    bool came;  /* some page of it did */
    bool running;
    bool refused; /* the store did not like its place */
    orbit_status failed;
    orbit_error error;
};

struct parallel {
    struct orb_producer producer;
    struct orb_backend *backend;
    struct orb_list_plan plan;
    struct part *parts;
    struct orbit_page spare; /* its slab is used again */
    uint32_t running;
    uint32_t wishes;     /* how many pages the user asked for */
    uint64_t given;      /* entries */
    uint32_t seen_pages; /* whose keys were looked at */
    double page_bytes, page_ns;
    unsigned slow_pages;      /* the last ones, in a row */
    bool far;                 /* waiting for pages outweighs reading them */
    struct orb_buf given_key; /* the last one given out, where given_known */
    bool given_known;
    bool wanted, stopped, shut, over;
    bool falling; /* what is under way is ended, then the listing goes on serially */
    bool serial;  /* for good */
    bool refused; /* a guess was: no more of them */
};

/* A key as the store orders it: a directory's ends in '/'. */
struct key {
    const char *bytes;
    size_t length;
    char room[ORB_KEY_ROOM];
};

static bool key_of(const struct orb_page_item *item, struct key *key)
{
    const orbit_entry *entry = &item->entry;
    bool slash = entry->metadata.kind == ORBIT_KIND_DIRECTORY && entry->path[entry->path_length - 1] != '/';
    key->bytes = entry->path;
    key->length = entry->path_length;
    if (key->length + slash >= ORB_KEY_ROOM)
        return false;
    if (slash) {
        memcpy(key->room, entry->path, key->length);
        key->room[key->length++] = '/';
        key->bytes = key->room;
    }
    return true;
}

static int compare(const struct key *a, const struct orb_buf *b)
{
    return orb_keys_compare(a->bytes, a->length, orb_buf_string(b), b->length);
}

/* ---- parts ----------------------------------------------------------------------------------------- */

static struct part *part_of(struct orb_list_segment *segment)
{
    return segment->owner_data;
}

static void free_part(struct part *part)
{
    struct ready_page *ready;
    if (!part)
        return;
    struct parallel *parallel = part->parallel;
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
    orb_free(part);
}

static void drop_parts(struct parallel *parallel)
{
    while (parallel->parts)
        free_part(parallel->parts);
    orb_list_plan_release(&parallel->plan);
}

static void free_parallel(struct parallel *parallel)
{
    struct orbit_lister *lister = parallel->producer.lister;
    drop_parts(parallel);
    orb_page_release(&parallel->spare);
    orb_buf_release(&parallel->given_key);
    orb_free(parallel);
    orb_stream_gone(&lister->stream);
}

static void cancel_all(struct parallel *parallel)
{
    for (struct part *part = parallel->parts; part; part = part->next)
        if (part->running)
            orb_call_cancel(&part->call);
}

static void pump(struct parallel *parallel);

/* ---- what a page is worth -------------------------------------------------------------------------- */

static uint64_t workers_asked(const struct parallel *parallel)
{
    return parallel->producer.lister->options.list_workers;
}

/* Whether waiting for a page outweighs reading it. */
static void learn_time(struct parallel *parallel, const struct part *part, uint64_t now_ns)
{
    double took = (double)(now_ns - part->started_ns), reading = (double)part->page.busy_ns;
    if (reading < (double)part->page.count * READ_NS)
        reading = (double)part->page.count * READ_NS;
    double waits = took - (WAIT_FACTOR - 1) * reading;
    double weight = parallel->page_ns == 0 || waits < parallel->page_ns ? 2 : 8; /* a slow one may be a mishap */
    parallel->page_ns = parallel->page_ns != 0 ? parallel->page_ns + (waits - parallel->page_ns) / weight : waits;
    parallel->slow_pages = waits < (double)WAIT_LEAST ? 0 : parallel->slow_pages + 1;
    if (parallel->page_ns < (double)WAIT_LEAST)
        parallel->far = false;
    else if (parallel->slow_pages >= (parallel->page_ns < (double)WAIT_SURE ? SLOW_PAGES : SLOW_PAGES_SURE))
        parallel->far = true;
}

static bool worth_it(const struct parallel *parallel)
{
    if (parallel->serial || parallel->refused)
        return false;
    return workers_asked(parallel) > 1 || parallel->far;
}

static void bound_pages(struct parallel *parallel, const struct orbit_page *page)
{
    struct orb_list_plan *plan = &parallel->plan;
    double used = (double)page->used;
    uint64_t limit = parallel->backend->host->budget.limit / 4;
    parallel->page_bytes = parallel->page_bytes > 0 ? parallel->page_bytes + (used - parallel->page_bytes) / 8 : used;
    if (limit > BYTES_MAX)
        limit = BYTES_MAX;
    double pages = parallel->page_bytes > 1 ? (double)limit / parallel->page_bytes : 1e6;
    uint32_t most = plan->window_max * 8;
    plan->pages_max = pages < 4 ? 4 : pages < most ? (uint32_t)pages : most;
}

/* ---- a page came ----------------------------------------------------------------------------------- */

/* What a walk over a page found: places of entries in it. */
struct sight {
    size_t first_at, last_at, kept_at;
    size_t cut_at, cut_count; /* where what lies behind the segment's hi begins */
    uint64_t keys, kept;
};

/* Learns the keys of a page and looks for the segment's hi. False when the keys do not increase, or one is longer than
 * keys are. */
static bool look_into(struct parallel *parallel, const struct part *part, const struct orbit_page *page,
                      struct sight *sight)
{
    const struct orb_list_segment *segment = part->segment;
    const struct orb_buf *behind = segment->at.length ? &segment->at : segment->has_lo ? &segment->lo : NULL;
    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    struct key keys[2], *now = &keys[0], *before = &keys[1];
    size_t step = parallel->seen_pages++ < LEARN_ALL ? 1 : LEARN_STEP;
    *sight = (struct sight){.cut_at = page->used, .cut_count = page->count};
    for (size_t begin = 0, count = 0; orb_page_next(page, &at, &item); begin = at.at, count++) {
        if (item.failed)
            continue;
        if (!key_of(&item, now))
            return false;
        if (!sight->keys) {
            if (behind && compare(now, behind) <= 0)
                return false;
            sight->first_at = begin;
            bool next_to = segment->at.length > 0;
            orb_keys_learn(parallel->plan.model, next_to ? orb_buf_string(&segment->at) : NULL, segment->at.length,
                           now->bytes, now->length);
        } else {
            if (orb_keys_compare(now->bytes, now->length, before->bytes, before->length) <= 0)
                return false;
            if (sight->keys % step == 0)
                orb_keys_learn(parallel->plan.model, before->bytes, before->length, now->bytes, now->length);
        }
        if (sight->kept == sight->keys && segment->has_hi && compare(now, &segment->hi) > 0) {
            sight->cut_at = begin;
            sight->cut_count = count;
        } else if (sight->kept == sight->keys) {
            sight->kept_at = begin;
            sight->kept++;
        }
        sight->last_at = begin;
        sight->keys++;
        struct key *swap = before;
        before = now;
        now = swap;
    }
    return true;
}

static void key_at(const struct orbit_page *page, size_t place, struct key *key)
{
    struct orb_page_cursor at = {place};
    struct orb_page_item item;
    key->bytes = "";
    key->length = 0;
    if (orb_page_next(page, &at, &item))
        (void)key_of(&item, key);
}

/* What came moves into the room that was made for it when it was asked for. */
static void keep_page(struct part *part, const struct sight *sight)
{
    struct ready_page *ready = part->room;
    part->room = NULL;
    *ready = (struct ready_page){.page = part->page};
    if (sight) {
        ready->page.used = sight->cut_at;
        ready->page.count = sight->cut_count;
        ready->first_at = sight->first_at;
        ready->last_at = sight->kept_at;
        ready->has_key = sight->kept > 0;
    }
    orb_lister_page_init(part->parallel->producer.lister, &part->page);
    orb_page_trim(&ready->page);
    *part->last = ready;
    part->last = &ready->next;
}

static void tell_plan(struct parallel *parallel, struct part *part, const struct sight *sight)
{
    const struct orbit_page *page = &part->page;
    struct key first, last, kept;
    struct orb_list_news news = {
        .count = sight->keys, .kept_count = sight->kept, .buffered = sight->cut_count > 0, .more = page->more};
    if (sight->keys) {
        key_at(page, sight->first_at, &first);
        key_at(page, sight->last_at, &last);
        news.first = first.bytes;
        news.first_length = first.length;
        news.last = last.bytes;
        news.last_length = last.length;
    }
    if (sight->kept) {
        key_at(page, sight->kept_at, &kept);
        news.kept = kept.bytes;
        news.kept_length = kept.length;
    }
    orb_list_plan_arrived(&parallel->plan, part->segment, &news);
}

/* ---- doubts ---------------------------------------------------------------------------------------- */

static void part_failed(struct part *part, orbit_status status, const orbit_error *error)
{
    part->failed = status;
    part->error = *error;
}

/* Everything that was not given out is asked for again, one page at a time. */
static void fall_back(struct parallel *parallel, const char *why)
{
    orb_log(&parallel->backend->host->log, ORBIT_LOG_INFO, "listing '%s' goes on one page at a time: %s",
            parallel->producer.lister->path, why);
    parallel->falling = true;
    cancel_all(parallel);
}

/* The plan of a listing from its beginning, or from the last key given out. */
static bool begin_plan(struct parallel *parallel)
{
    const struct orbit_lister *lister = parallel->producer.lister;
    uint32_t workers = lister->options.list_workers ? lister->options.list_workers : WORKERS_AUTO;
    if (workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    if (!orb_list_plan_init(&parallel->plan, workers, lister->page_entries))
        return false;
    parallel->plan.unordered = lister->options.unordered;
    const char *after = parallel->given_known ? orb_buf_string(&parallel->given_key) : lister->options.start_after;
    struct orb_list_segment *head = parallel->plan.head;
    head->has_lo = after != NULL;
    return !after || orb_buf_text(&head->lo, after);
}

static void end_with(struct parallel *parallel, orbit_status status, const orbit_error *error)
{
    orb_page_reset(&parallel->spare);
    parallel->wanted = false;
    parallel->over = true;
    cancel_all(parallel);
    orb_lister_deliver(parallel->producer.lister, &parallel->spare, status, error);
}

/* What was under way when it fell has ended. */
static void begin_again(struct parallel *parallel)
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
static void inverted(struct parallel *parallel, struct part *part)
{
    orbit_error error;
    bool buffered = part->page.count > 0;
    if (parallel->plan.head == part->segment && !part->segment->next) {
        parallel->serial = true;
        parallel->plan.parallel = false;
        orb_list_plan_unseen(&parallel->plan, part->segment, buffered, part->page.more);
        if (buffered)
            keep_page(part, NULL);
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

/* ---- one request ----------------------------------------------------------------------------------- */

/* Empty pages with more to follow are fine, but not for ever. False: this segment is over. */
static bool check_empty(struct parallel *parallel, struct part *part)
{
    orbit_error error;
    if (part->page.count || !part->page.more) {
        part->empty_pages = 0;
        return true;
    }
    part->empty_pages++;
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

static void page_came(struct parallel *parallel, struct part *part)
{
    struct orbit_page *page = &part->page;
    struct orb_list_segment *segment = part->segment;
    struct sight sight;
    if (!check_empty(parallel, part))
        return;
    learn_time(parallel, part, orb_now_ns());
    if (page->count)
        bound_pages(parallel, page);
    part->came |= page->count > 0;
    if (!segment->has_hi && !worth_it(parallel)) {
        orb_list_plan_unseen(&parallel->plan, segment, page->count > 0, page->more);
        if (page->count)
            keep_page(part, NULL);
    } else if (look_into(parallel, part, page, &sight)) {
        tell_plan(parallel, part, &sight);
        if (sight.cut_count)
            keep_page(part, &sight);
    } else {
        inverted(parallel, part);
    }
    if (segment->done) {
        parallel->backend->ops->list_end(parallel->backend->self, part->cursor);
        part->cursor = NULL;
        orb_page_release(page);
    }
}

static void request_failed(struct parallel *parallel, struct part *part, orbit_status status, const orbit_error *error)
{
    if (status == ORBIT_E_MEMORY && parallel->plan.buffered + parallel->running) {
        orb_list_plan_failed(&parallel->plan, part->segment); /* it will be asked for when others gave theirs back */
        parallel->plan.window = 2;
        return;
    }
    part_failed(part, status, error);
    part->refused = part->guess && !part->came && !(error->flags & ORBIT_ERROR_RETRIABLE);
    parallel->refused |= part->refused;
}

/* An operation ended. True when nobody is there any more to use what it brought. */
static bool over(struct part *part)
{
    struct parallel *parallel = part->parallel;
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

static void settle(struct parallel *parallel)
{
    if (parallel->falling && !parallel->running)
        begin_again(parallel);
    else
        pump(parallel);
}

static void start_page(struct orb_call *call)
{
    struct part *part = call->ctx;
    orb_call_names(call, ORBIT_REQUEST_LIST, part->request.path);
    orb_page_reset(&part->page);
    part->page.busy_ns = 0;
    part->started_ns = orb_now_ns();
    part->parallel->backend->ops->list_page(part->parallel->backend->self, &call->op.op, part->cursor, &part->page);
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct part *part = call->ctx;
    struct parallel *parallel = part->parallel;
    orbit_error own;
    if (over(part))
        return;
    if (status >= 0 && part->page.out_of_memory && !part->page.count) {
        status = orb_fail_memory(&own);
        error = &own;
    }
    if (status < 0)
        request_failed(parallel, part, status, error);
    else
        page_came(parallel, part);
    settle(parallel);
}

static void fetch(struct part *part)
{
    part->running = true;
    part->parallel->running++;
    atomic_fetch_add(&part->parallel->producer.lister->pages, 1);
    orb_call_start(&part->call, part->parallel->backend, start_page, page_done, part);
}

static void start_begin(struct orb_call *call)
{
    struct part *part = call->ctx;
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, part->request.path);
    part->parallel->backend->ops->list_begin(part->parallel->backend->self, &call->op.op, &part->request,
                                             &part->cursor);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct part *part = call->ctx;
    struct parallel *parallel = part->parallel;
    if (status < 0)
        part->cursor = NULL;
    if (over(part))
        return;
    if (status >= 0) {
        fetch(part);
        return;
    }
    request_failed(parallel, part, status, error);
    settle(parallel);
}

/* A store that asks for fewer requests gets fewer, beside the pace that all calls keep then. */
static bool again(struct orb_call *call, const orbit_error *error)
{
    struct part *part = call->ctx;
    if (error->flags & ORBIT_ERROR_THROTTLED)
        orb_list_plan_throttled(&part->parallel->plan);
    return (error->flags & ORBIT_ERROR_RETRIABLE) != 0;
}

static struct part *new_part(struct parallel *parallel, struct orb_list_segment *segment)
{
    struct orbit_lister *lister = parallel->producer.lister;
    const orbit_list_options *options = &lister->options;
    struct part *part = orb_calloc(1, sizeof *part);
    if (!part)
        return NULL;
    part->parallel = parallel;
    part->segment = segment;
    part->last = &part->first;
    part->guess = segment->has_lo && !parallel->serial && parallel->plan.parallel;
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

/* Asks for the next page of a segment. False when memory is out. */
static bool start(struct parallel *parallel, struct orb_list_segment *segment)
{
    struct part *part = part_of(segment);
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
    part->running = true;
    parallel->running++;
    orb_call_start(&part->call, parallel->backend, start_begin, begin_done, part);
    return true;
}

/* ---- giving out ------------------------------------------------------------------------------------ */

/* The part whose turn it is to give: NULL when all is given out, or when it is not there yet. */
static struct part *whose_turn(struct parallel *parallel)
{
    struct orb_list_segment *segment;
    while ((segment = orb_list_plan_finished(&parallel->plan))) {
        free_part(part_of(segment));
        orb_list_segment_free(segment);
    }
    for (segment = parallel->plan.head; segment; segment = segment->next) {
        struct part *part = part_of(segment);
        if (part && part->first)
            return part;
        if (!parallel->plan.unordered)
            return part && part->failed ? part : NULL;
    }
    for (struct part *part = parallel->parts; part; part = part->next)
        if (part->failed)
            return part;
    return NULL;
}

/* Asserts the order of what is given out and remembers how far it got. */
static bool in_order(struct parallel *parallel, const struct ready_page *ready)
{
    struct key key;
    if (!ready->has_key) {
        parallel->given_known = false;
        return true;
    }
    key_at(&ready->page, ready->first_at, &key);
    if (parallel->given_known && !parallel->plan.unordered && compare(&key, &parallel->given_key) <= 0)
        return false;
    key_at(&ready->page, ready->last_at, &key);
    orb_buf_reset(&parallel->given_key);
    (void)orb_buf_append(&parallel->given_key, key.bytes, key.length); /* there is room */
    parallel->given_known = true;
    return true;
}

static void give_page(struct parallel *parallel, struct part *part)
{
    struct ready_page *ready = part->first;
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

static void give(struct parallel *parallel)
{
    struct part *part = whose_turn(parallel);
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
static bool may_ask(const struct parallel *parallel)
{
    const struct orb_list_plan *plan = &parallel->plan;
    uint64_t limit = parallel->producer.lister->options.max_entries;
    if (!plan->parallel)
        return parallel->wanted;
    const struct orb_list_segment *head = plan->head;
    if (!limit || !plan->busy || (head && !head->done && !head->busy && !head->buffered))
        return true; /* what is buffered behind it is of no use without it */
    uint64_t left = limit > parallel->given ? limit - parallel->given : 1;
    return plan->buffered + plan->busy < (double)left / plan->page_keys + 1;
}

static void pump(struct parallel *parallel)
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
        if (start(parallel, segment))
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
    struct parallel *parallel = (struct parallel *)producer;
    parallel->wanted = true;
    parallel->wishes++;
    pump(parallel);
}

static void parallel_stop(struct orb_producer *producer)
{
    struct parallel *parallel = (struct parallel *)producer;
    parallel->stopped = true;
    cancel_all(parallel);
}

static void parallel_shut(struct orb_producer *producer)
{
    struct parallel *parallel = (struct parallel *)producer;
    parallel->shut = true;
    if (!parallel->running)
        free_parallel(parallel);
}

static const struct orb_producer_kind parallel_kind = {parallel_more, parallel_stop, parallel_shut};

bool orb_parallel_fits(const struct orbit_lister *lister)
{
    const orbit_capabilities *caps = &lister->stream.backend->core.caps;
    const orbit_list_options *options = &lister->options;
    if (!caps->deep_list || !caps->ordered_list || caps->no_retry || options->list_workers == 1 || options->delimiter)
        return false;
    if (options->start_after && strlen(options->start_after) >= ORB_KEY_ROOM)
        return false;
    return !options->max_entries || options->max_entries / lister->page_entries >= SERIAL_PAGES;
}

struct orb_producer *orb_parallel_new(struct orbit_lister *lister, orbit_error *error)
{
    struct parallel *parallel = orb_calloc(1, sizeof *parallel);
    if (!parallel) {
        orb_fail_memory(error);
        return NULL;
    }
    parallel->producer = (struct orb_producer){&parallel_kind, lister};
    parallel->backend = &lister->stream.backend->core;
    orb_lister_page_init(lister, &parallel->spare);
    orb_buf_init(&parallel->given_key, ORB_KEY_ROOM);
    static const char room[ORB_KEY_ROOM];
    if (!begin_plan(parallel) || !orb_buf_append(&parallel->given_key, room, sizeof room)) {
        orb_list_plan_release(&parallel->plan);
        orb_buf_release(&parallel->given_key);
        orb_free(parallel);
        orb_fail_memory(error);
        return NULL;
    }
    orb_buf_reset(&parallel->given_key);
    return &parallel->producer;
}
