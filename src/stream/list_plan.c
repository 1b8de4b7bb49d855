/* SPDX-License-Identifier: Apache-2.0
 * The plan of a parallel listing.
 *
 * A cut is a guess: `some pages' worth of keys behind here`. The new segment's first page is asked for at once and
 * in full: right or wrong, it brings keys, where a probe would cost a round trip for none. Segments are small, a few
 * pages, and made just ahead of where keys are given out, so that what was fetched can be given out soon; one that
 * turns out larger is cut again by what was seen of it meanwhile.
 *
 * The nearer a segment is to the head, the more of the buffer it may fill: pages far ahead can never take the room
 * that the head needs to get on. */
#include "stream/list_plan.h"

#include "base/mem.h"

enum {
    LARGE_PAGES = 8,      /* left: cut it before going on at the frontier */
    ENDS_DOUBTED_MAX = 3, /* by one segment */
    OVERSHOT_MAX = 10,    /* then one going over in 1,024 pages */
    DENSE_PAGES = 4,      /* how much of the past the density is measured over */
    PAGES_PER_WORKER = 8,
    YIELD_MEMORY = 16 /* segments */
};
#define SEGMENT_PAGES 2.85 /* a little less than a whole number: the last page then reaches the end */
#define WORTH_CUTTING 2.5  /* pages left behind the one under way */
#define YIELD_LEAST   (1.0 / 1024)
#define YIELD_MOST    4.0

static struct orb_list_segment *new_segment(struct orb_list_plan *plan)
{
    struct orb_list_segment *segment = orb_calloc(1, sizeof *segment);
    if (!segment) {
        plan->out_of_memory = true;
        return NULL;
    }
    struct orb_buf *keys[] = {&segment->lo,         &segment->hi,       &segment->at,
                              &segment->dense_from, &segment->dense_to, &segment->floor};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        orb_buf_init(keys[i], ORB_KEY_ROOM);
    /* Room from the start: where a segment has got to must never be forgotten. */
    char room[ORB_KEY_ROOM] = "";
    if (!orb_buf_append(&segment->at, room, sizeof room)) {
        orb_list_segment_free(segment);
        plan->out_of_memory = true;
        return NULL;
    }
    orb_buf_reset(&segment->at);
    segment->left = -1;
    return segment;
}

void orb_list_segment_free(struct orb_list_segment *segment)
{
    if (!segment)
        return;
    orb_buf_release(&segment->lo);
    orb_buf_release(&segment->hi);
    orb_buf_release(&segment->at);
    orb_buf_release(&segment->dense_from);
    orb_buf_release(&segment->dense_to);
    orb_buf_release(&segment->floor);
    orb_free(segment);
}

bool orb_list_plan_init(struct orb_list_plan *plan, uint32_t window_max, uint32_t page_keys)
{
    *plan = (struct orb_list_plan){.window = 2,
                                   .window_max = window_max,
                                   .pages_max = window_max * PAGES_PER_WORKER,
                                   .page_keys = page_keys,
                                   .yield = 1};
    orb_buf_init(&plan->end, ORB_KEY_ROOM);
    orb_buf_init(&plan->wide_from, ORB_KEY_ROOM);
    orb_buf_init(&plan->wide_to, ORB_KEY_ROOM);
    plan->model = orb_keys_model_new();
    plan->head = plan->model ? new_segment(plan) : NULL;
    return plan->head != NULL;
}

void orb_list_plan_release(struct orb_list_plan *plan)
{
    struct orb_list_segment *segment;
    while ((segment = plan->head)) {
        plan->head = segment->next;
        orb_list_segment_free(segment);
    }
    orb_buf_release(&plan->end);
    orb_buf_release(&plan->wide_from);
    orb_buf_release(&plan->wide_to);
    orb_keys_model_free(plan->model);
    plan->model = NULL;
}

/* ---- density --------------------------------------------------------------------------------------- */

static bool set_key(struct orb_list_plan *plan, struct orb_buf *key, const char *bytes, size_t length)
{
    orb_buf_reset(key);
    if (orb_buf_append(key, bytes, length))
        return true;
    key->failed = false;
    plan->out_of_memory = true;
    return false;
}

static bool copy_key(struct orb_list_plan *plan, struct orb_buf *to, const struct orb_buf *from)
{
    return set_key(plan, to, orb_buf_string(from), from->length);
}

static long double span(const struct orb_list_plan *plan, const struct orb_buf *from, const struct orb_buf *to)
{
    return orb_keys_span(plan->model, orb_buf_string(from), from->length, orb_buf_string(to), to->length);
}

/* What a page of keys spans here; 0 when that is not known. Where no two pages of the segment were seen, it is what it
 * was cut from that tells, or the last such two of all: the sparser one, since that costs no request in vain. */
static long double page_span(const struct orb_list_plan *plan, const struct orb_list_segment *segment)
{
    long double page = (long double)(plan->page_keys / plan->yield), key = 0, wide = 0;
    if (segment->dense_count)
        key = span(plan, &segment->dense_from, &segment->dense_to) / segment->dense_count;
    if (segment->pages < 2 && plan->wide_count)
        wide = span(plan, &plan->wide_from, &plan->wide_to) / plan->wide_count;
    return page * (wide > key ? wide : key);
}

/* From where the keys of a segment are still to come. */
static const struct orb_buf *begin_of(const struct orb_list_segment *segment)
{
    return segment->at.length ? &segment->at : segment->floor.length ? &segment->floor : &segment->lo;
}

static void estimate(struct orb_list_plan *plan, struct orb_list_segment *segment)
{
    long double page = page_span(plan, segment);
    segment->left = -1;
    if (segment->has_hi && page > 0) {
        long double left = span(plan, begin_of(segment), &segment->hi) / page;
        segment->left = left < 1e9L ? (double)left : 1e9;
    }
}

/* The keys of a page that follows another tell how densely they lie, with the gaps between. */
static void measure_on(struct orb_list_plan *plan, struct orb_list_segment *segment, const struct orb_list_news *news)
{
    plan->wide_count = 0;
    if (copy_key(plan, &plan->wide_from, &segment->at) && set_key(plan, &plan->wide_to, news->last, news->last_length))
        plan->wide_count = news->count;
    bool fresh = segment->pages <= 2 || (double)segment->dense_count >= DENSE_PAGES * plan->page_keys;
    if (fresh && !copy_key(plan, &segment->dense_from, &segment->at))
        segment->dense_count = 0;
    else if (set_key(plan, &segment->dense_to, news->last, news->last_length))
        segment->dense_count = fresh ? news->count : segment->dense_count + news->count;
    else
        segment->dense_count = 0;
}

/* A first page tells less: of a directory that it holds whole it does not show how far the next one is. It is believed
 * where it says that keys are sparser than where the segment was cut from. */
static void measure_first(struct orb_list_plan *plan, struct orb_list_segment *segment,
                          const struct orb_list_news *news)
{
    if (news->count < 2)
        return;
    long double known = page_span(plan, segment);
    long double seen = orb_keys_span(plan->model, news->first, news->first_length, news->last, news->last_length) /
                       (long double)(news->count - 1) * (long double)(plan->page_keys / plan->yield);
    if (seen <= known)
        return;
    segment->dense_count = 0;
    if (set_key(plan, &segment->dense_from, news->first, news->first_length) &&
        set_key(plan, &segment->dense_to, news->last, news->last_length))
        segment->dense_count = news->count - 1;
}

static void measure(struct orb_list_plan *plan, struct orb_list_segment *segment, const struct orb_list_news *news)
{
    if (!news->count)
        return;
    if (segment->at.length)
        measure_on(plan, segment, news);
    else
        measure_first(plan, segment, news);
}

/* A segment is over: did it hold what was supposed? Directories that are not full, names that share few letters: a
 * density seen in small misses what lies between, the same way all over a bucket. */
static void learn_yield(struct orb_list_plan *plan, const struct orb_list_segment *segment)
{
    if (!(segment->promised > 0.5))
        return;
    double brought = (double)segment->brought / plan->page_keys / segment->promised;
    double seen = (brought > YIELD_LEAST ? brought : YIELD_LEAST) * segment->promised_yield;
    plan->yield += (seen - plan->yield) / YIELD_MEMORY;
    if (plan->yield > YIELD_MOST)
        plan->yield = YIELD_MOST;
    if (plan->yield < YIELD_LEAST)
        plan->yield = YIELD_LEAST;
}

/* ---- cutting --------------------------------------------------------------------------------------- */

static bool is_behind(const char *key, size_t length, const struct orb_buf *bound)
{
    return orb_keys_compare(key, length, orb_buf_string(bound), bound->length) >= 0;
}

/* The key that lies `pages` pages behind the place where this segment has got to; 0: it cannot be cut there. */
static size_t place_of_cut(const struct orb_list_plan *plan, const struct orb_list_segment *segment, double pages,
                           char key[ORB_KEY_ROOM])
{
    const struct orb_buf *begin = begin_of(segment);
    long double page = page_span(plan, segment);
    if (!(page > 0))
        return 0;
    size_t length = orb_keys_beyond(plan->model, orb_buf_string(begin), begin->length, page * (long double)pages, key);
    if (!length || (segment->has_hi && is_behind(key, length, &segment->hi)) ||
        (plan->has_end && is_behind(key, length, &plan->end)))
        return 0;
    return length;
}

/* Where the known space of keys ends before that: names may go on with characters that were not seen yet. */
static size_t place_beyond(const struct orb_list_plan *plan, const struct orb_list_segment *segment,
                           char key[ORB_KEY_ROOM])
{
    const struct orb_buf *begin = begin_of(segment), *limit = segment->has_hi ? &segment->hi : NULL;
    if (plan->has_end && (!limit || is_behind(orb_buf_string(limit), limit->length, &plan->end)))
        limit = &plan->end;
    return orb_keys_over(plan->model, orb_buf_string(begin), begin->length, limit ? orb_buf_string(limit) : NULL,
                         limit ? limit->length : 0, key);
}

static bool may_go_over(const struct orb_list_plan *plan, const struct orb_list_segment *segment)
{
    return segment->at.length && !plan->over_wait;
}

/* Makes a segment of what lies `pages` pages behind the place where this one has got to, or less where the known space
 * of keys ends before. */
static struct orb_list_segment *cut(struct orb_list_plan *plan, struct orb_list_segment *segment, double pages)
{
    char key[ORB_KEY_ROOM];
    bool over = false;
    size_t length = place_of_cut(plan, segment, pages, key);
    if (!length && (over = may_go_over(plan, segment)))
        length = place_beyond(plan, segment, key);
    for (; !length && !segment->has_hi && pages > 1; over = false)
        length = place_of_cut(plan, segment, pages /= 2, key);
    struct orb_list_segment *made = length ? new_segment(plan) : NULL;
    if (!made) {
        segment->uncut = true;
        return NULL;
    }
    struct orb_buf bound; /* the old one stays in its place until nothing can fail any more */
    orb_buf_init(&bound, ORB_KEY_ROOM);
    if (!set_key(plan, &made->lo, key, length) || !set_key(plan, &bound, key, length) ||
        !copy_key(plan, &made->dense_from, &segment->dense_from) ||
        !copy_key(plan, &made->dense_to, &segment->dense_to)) {
        orb_buf_release(&bound);
        orb_list_segment_free(made);
        segment->uncut = true;
        return NULL;
    }
    made->has_lo = true;
    made->has_hi = segment->has_hi;
    made->dense_count = segment->dense_count;
    made->hi = segment->hi;
    segment->hi = bound;
    segment->has_hi = true;
    if (segment->floor.length &&
        orb_keys_compare(orb_buf_string(&segment->floor), segment->floor.length, key, length) > 0)
        (void)copy_key(plan, &made->floor, &segment->floor);
    made->over = over;
    made->promised = made->has_hi ? segment->promised - pages : 0;
    made->promised_yield = segment->promised_yield;
    segment->promised = over ? 0 : pages;
    segment->promised_yield = plan->yield;
    segment->brought = 0;
    made->next = segment->next;
    segment->next = made;
    estimate(plan, segment);
    estimate(plan, made);
    return made;
}

/* What may be buffered and under way for a page of the segment of this rank. */
static uint32_t allowance(const struct orb_list_plan *plan, uint32_t rank)
{
    if (plan->unordered)
        return plan->pages_max;
    uint32_t last = plan->window_max ? plan->window_max : 1;
    if (rank > last)
        rank = last;
    return plan->pages_max - (uint32_t)((uint64_t)plan->pages_max * rank / last / 2);
}

static struct orb_list_segment *cut_somewhere(struct orb_list_plan *plan, uint32_t total)
{
    struct orb_list_segment *worth = NULL, *last = NULL;
    double worth_left = 0;
    uint32_t rank = 0;
    for (struct orb_list_segment *segment = plan->head; segment; segment = segment->next) {
        if (segment->done)
            continue;
        if (total >= allowance(plan, ++rank)) /* of what would be behind it */
            break;
        double left = segment->left - segment->busy;
        if (segment->blind)
            continue;
        if (!segment->has_hi)
            last = segment;
        else if (segment->uncut || segment->left < 0)
            continue;
        else if (left >= LARGE_PAGES) {
            struct orb_list_segment *made = cut(plan, segment, SEGMENT_PAGES);
            if (made)
                return made;
        } else if (left >= WORTH_CUTTING && !worth) {
            worth = segment;
            worth_left = left;
        }
    }
    if (last && !last->uncut) {
        struct orb_list_segment *made = cut(plan, last, SEGMENT_PAGES);
        if (made)
            return made;
    }
    return worth ? cut(plan, worth, worth->busy + worth_left / 2) : NULL;
}

struct orb_list_segment *orb_list_plan_next(struct orb_list_plan *plan)
{
    uint32_t total = plan->buffered + plan->busy, rank = 0;
    if (plan->busy >= (plan->parallel ? plan->window : 1))
        return NULL;
    struct orb_list_segment *found = NULL;
    for (struct orb_list_segment *segment = plan->head; segment && !found; segment = segment->next) {
        if (segment->done || segment->broken)
            continue;
        bool starved = !rank && !segment->buffered; /* nothing can be given out without it */
        if (total >= allowance(plan, rank++) && !starved)
            return NULL;
        if (!segment->busy)
            found = segment;
    }
    if (!found && plan->parallel && !plan->on_trial)
        found = cut_somewhere(plan, total);
    if (found) {
        found->busy = true;
        plan->busy++;
    }
    return found;
}

/* ---- what came ------------------------------------------------------------------------------------- */

static void lift(struct orb_list_plan *plan)
{
    for (struct orb_list_segment *segment = plan->head; segment; segment = segment->next)
        segment->uncut = false;
}

/* Nothing lies between where this page was asked for and its first key: segments in between are empty, and counting
 * begins behind it. */
static void learn_void(struct orb_list_plan *plan, struct orb_list_segment *segment, const struct orb_list_news *news)
{
    for (struct orb_list_segment *next = segment->next; next; next = next->next) {
        if (orb_keys_compare(orb_buf_string(&next->lo), next->lo.length, news->first, news->first_length) >= 0)
            return;
        if (next->at.length || next->done)
            continue;
        if (!set_key(plan, &next->floor, news->first, news->first_length))
            return;
        bool empty = next->has_hi &&
                     orb_keys_compare(orb_buf_string(&next->hi), next->hi.length, news->first, news->first_length) < 0;
        if (empty && !next->busy && !next->broken)
            next->done = true;
        if (empty)
            next->uncut = true;
        else
            measure_first(plan, next, news);
        estimate(plan, next);
    }
}

/* The store has nothing behind this page: neither have the segments behind its last key, and no more are made. */
static void learn_end(struct orb_list_plan *plan, struct orb_list_segment *segment, const struct orb_list_news *news)
{
    const struct orb_buf *begin = begin_of(segment);
    const char *end = news->count ? news->last : orb_buf_string(begin);
    size_t length = news->count ? news->last_length : begin->length;
    if (plan->has_end && orb_keys_compare(end, length, orb_buf_string(&plan->end), plan->end.length) >= 0)
        return;
    plan->has_end = set_key(plan, &plan->end, end, length);
    for (struct orb_list_segment *next = segment->next; next; next = next->next)
        if (!next->busy && !next->broken && !next->done &&
            orb_keys_compare(orb_buf_string(&next->lo), next->lo.length, end, length) >= 0)
            next->done = next->ended = true;
}

bool orb_list_plan_doubt_ends(struct orb_list_plan *plan, const struct orb_buf *key)
{
    for (struct orb_list_segment *segment = plan->head; segment; segment = segment->next) {
        const struct orb_buf *begin = begin_of(segment);
        if (!segment->ended ||
            orb_keys_compare(orb_buf_string(begin), begin->length, orb_buf_string(key), key->length) >= 0)
            continue;
        if (segment->ends_doubted >= ENDS_DOUBTED_MAX)
            return true;
        segment->ended = segment->done = false;
        segment->ends_doubted++;
        plan->has_end = false;
        estimate(plan, segment);
    }
    return false;
}

/* Going over is worth a request now and then: fewer and fewer where it found nothing. */
static void learn_over(struct orb_list_plan *plan, const struct orb_list_segment *segment, uint64_t kept)
{
    plan->over_wait -= plan->over_wait > 0;
    if (!segment->over || segment->pages > 1)
        return;
    plan->overshot = kept ? 0 : plan->overshot + 1;
    plan->over_wait = kept ? 0 : 1u << (plan->overshot < OVERSHOT_MAX ? plan->overshot : OVERSHOT_MAX);
}

void orb_list_plan_arrived(struct orb_list_plan *plan, struct orb_list_segment *segment,
                           const struct orb_list_news *news)
{
    segment->busy = false;
    plan->busy--;
    segment->pages++;
    measure(plan, segment, news);
    if (!news->more)
        learn_end(plan, segment, news);
    if (news->more && news->count)
        plan->page_keys += ((double)news->count - plan->page_keys) / 4;
    if (news->buffered) {
        segment->buffered++;
        plan->buffered++;
    }
    if (news->kept_count) {
        (void)set_key(plan, &segment->at, news->kept, news->kept_length); /* there is room */
        segment->blind = false;
        if (plan->parallel && plan->window < plan->window_max)
            plan->window++;
    }
    bool passed =
        news->kept_count < news->count ||
        (segment->has_hi && news->kept &&
         orb_keys_compare(news->kept, news->kept_length, orb_buf_string(&segment->hi), segment->hi.length) >= 0);
    segment->done = passed || !news->more;
    segment->ended = segment->done && !passed;
    segment->brought += news->kept_count;
    if (passed)
        learn_yield(plan, segment);
    learn_over(plan, segment, news->kept_count);
    lift(plan);
    if (passed && news->first && !news->kept_count)
        learn_void(plan, segment, news);
    if (!segment->done)
        estimate(plan, segment);
}

void orb_list_plan_unseen(struct orb_list_plan *plan, struct orb_list_segment *segment, bool buffered, bool more)
{
    segment->busy = false;
    plan->busy--;
    segment->buffered += buffered;
    plan->buffered += buffered;
    segment->done = !more;
    segment->pages = 0;
    segment->dense_count = 0;
    segment->blind = true;
    orb_buf_reset(&segment->at);
}

void orb_list_plan_failed(struct orb_list_plan *plan, struct orb_list_segment *segment)
{
    segment->busy = false;
    plan->busy--;
}

void orb_list_plan_broken(struct orb_list_plan *plan, struct orb_list_segment *segment)
{
    segment->broken = true;
    segment->busy = false;
    plan->busy--;
}

struct orb_list_segment *orb_list_plan_unite(struct orb_list_plan *plan, struct orb_list_segment *segment)
{
    struct orb_list_segment *out = segment->next;
    struct orb_buf bound = segment->hi;
    segment->hi = out->hi;
    segment->has_hi = out->has_hi;
    segment->next = out->next;
    segment->promised = 0;
    segment->uncut = false;
    out->hi = bound;
    out->next = NULL;
    plan->busy -= out->busy;
    out->busy = false;
    estimate(plan, segment);
    return out;
}

void orb_list_plan_given(struct orb_list_plan *plan, struct orb_list_segment *segment)
{
    segment->buffered--;
    plan->buffered--;
}

void orb_list_plan_throttled(struct orb_list_plan *plan)
{
    if (plan->window > 2)
        plan->window /= 2;
}

struct orb_list_segment *orb_list_plan_finished(struct orb_list_plan *plan)
{
    for (struct orb_list_segment **link = &plan->head; *link; link = &(*link)->next) {
        struct orb_list_segment *segment = *link;
        bool doubtful = segment->ended && segment != plan->head; /* what lies before it may prove otherwise */
        if (segment->done && !segment->buffered && !segment->busy && !doubtful) {
            *link = segment->next;
            return segment;
        }
        if (!plan->unordered)
            break;
    }
    return NULL;
}
