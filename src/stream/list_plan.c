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
    SEGMENT_PAGES = 4,
    LARGE_PAGES = 8, /* left: cut it before going on at the frontier */
    DENSE_PAGES = 4, /* how much of the past the density is measured over */
    PAGES_PER_WORKER = 8
};
#define WORTH_CUTTING 2.5 /* pages left behind the one under way */

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
    *plan = (struct orb_list_plan){
        .window = 2, .window_max = window_max, .pages_max = window_max * PAGES_PER_WORKER, .page_keys = page_keys};
    orb_buf_init(&plan->end, ORB_KEY_ROOM);
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

/* What a page of keys spans here; 0 when that is not known. */
static long double page_span(const struct orb_list_plan *plan, const struct orb_list_segment *segment)
{
    if (!segment->dense_count)
        return 0;
    return span(plan, &segment->dense_from, &segment->dense_to) / segment->dense_count * (long double)plan->page_keys;
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

/* The keys of a page tell how densely they lie: counted from the page before, when it was of the same segment. */
static void measure(struct orb_list_plan *plan, struct orb_list_segment *segment, const struct orb_list_news *news)
{
    if (!news->count)
        return;
    bool follows = segment->at.length > 0;
    uint64_t count = follows ? news->count : news->count - 1;
    bool fresh = !follows || segment->pages <= 1 || (double)segment->dense_count >= DENSE_PAGES * plan->page_keys;
    if (!count)
        return;
    if (fresh && !(follows ? copy_key(plan, &segment->dense_from, &segment->at)
                           : set_key(plan, &segment->dense_from, news->first, news->first_length)))
        segment->dense_count = 0;
    else if (set_key(plan, &segment->dense_to, news->last, news->last_length))
        segment->dense_count = fresh ? count : segment->dense_count + count;
    else
        segment->dense_count = 0;
}

/* ---- cutting --------------------------------------------------------------------------------------- */

/* Makes a segment of what lies `pages` pages behind the place where this one has got to. */
static struct orb_list_segment *cut(struct orb_list_plan *plan, struct orb_list_segment *segment, double pages)
{
    const struct orb_buf *begin = begin_of(segment);
    char key[ORB_KEY_ROOM];
    long double page = page_span(plan, segment);
    size_t length =
        page > 0 ? orb_keys_beyond(plan->model, orb_buf_string(begin), begin->length, page * (long double)pages, key)
                 : 0;
    if (length && segment->has_hi &&
        orb_keys_compare(key, length, orb_buf_string(&segment->hi), segment->hi.length) >= 0)
        length = 0;
    if (length && plan->has_end && orb_keys_compare(key, length, orb_buf_string(&plan->end), plan->end.length) >= 0)
        length = 0;
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
    if (!found && plan->parallel)
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
        else if (news->count > 1 && set_key(plan, &next->dense_from, news->first, news->first_length) &&
                 set_key(plan, &next->dense_to, news->last, news->last_length))
            next->dense_count = news->count - 1;
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
        if (!next->busy && !next->broken &&
            orb_keys_compare(orb_buf_string(&next->lo), next->lo.length, end, length) >= 0)
            next->done = true;
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
        if (segment->done && !segment->buffered && !segment->busy) {
            *link = segment->next;
            return segment;
        }
        if (!plan->unordered)
            break;
    }
    return NULL;
}
