/* SPDX-License-Identifier: Apache-2.0
 * What a page tells: how long it took, how large pages are, which keys it holds and where its segment ends in it.
 * Loop thread only. */
#include "base/clock.h"
#include "base/mem.h"
#include "stream/lister_parallel.h"

enum {
    LEARN_ALL = 16, /* pages whose keys are all learned; later every LEARN_STEPth */
    LEARN_STEP = 8,
    BYTES_MAX = 16 << 20, /* of pages in all */
    SLOW_PAGES = 4,
    SLOW_PAGES_SURE = 2,
    WAIT_FACTOR = 3 /* a page that takes so many times its reading is worth asking for ahead */
};
/* A page's wait that is worth more requests; from WAIT_SURE on two of them prove it. Fewer prove nothing: this
 * process may have slept. */
#define WAIT_LEAST (4 * ORB_MS)
#define WAIT_SURE  (16 * ORB_MS)
#define READ_NS    1500u /* an entry, where the backend does not say */

/* ---- keys ------------------------------------------------------------------------------------------ */

static bool key_of(const struct orb_page_item *item, struct orb_list_key *key)
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

int orb_list_key_compare(const struct orb_list_key *a, const struct orb_buf *b)
{
    return orb_keys_compare(a->bytes, a->length, orb_buf_string(b), b->length);
}

void orb_list_key_at(const struct orbit_page *page, size_t place, struct orb_list_key *key)
{
    struct orb_page_cursor at = {place};
    struct orb_page_item item;
    key->bytes = "";
    key->length = 0;
    if (orb_page_next(page, &at, &item))
        (void)key_of(&item, key);
}

/* ---- what a page is worth -------------------------------------------------------------------------- */

void orb_parallel_learn_time(struct orb_parallel *parallel, const struct orb_list_part *part, uint64_t now_ns)
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

void orb_parallel_bound_pages(struct orb_parallel *parallel, const struct orbit_page *page)
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

/* ---- what is in it --------------------------------------------------------------------------------- */

/* Where more follow, what exists is at least the next possible key. */
static void remember_seen(struct orb_parallel *parallel, const struct orb_list_key *key, bool more)
{
    orb_buf_reset(&parallel->seen_key);
    (void)orb_buf_append(&parallel->seen_key, key->bytes, key->length); /* there is room */
    if (more)
        (void)orb_buf_append(&parallel->seen_key, "", 1);
}

bool orb_parallel_look_into(struct orb_parallel *parallel, const struct orb_list_part *part,
                            const struct orbit_page *page, struct orb_list_sight *sight)
{
    const struct orb_list_segment *segment = part->segment;
    const struct orb_buf *behind = segment->at.length ? &segment->at : segment->has_lo ? &segment->lo : NULL;
    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    struct orb_list_key keys[2], *now = &keys[0], *before = &keys[1];
    before->bytes = "";
    before->length = 0;
    size_t step = parallel->seen_pages++ < LEARN_ALL ? 1 : LEARN_STEP;
    *sight = (struct orb_list_sight){.cut_at = page->used, .cut_count = page->count};
    for (size_t begin = 0, count = 0; orb_page_next(page, &at, &item); begin = at.at, count++) {
        if (item.failed)
            continue;
        if (!key_of(&item, now))
            return false;
        if (!sight->keys) {
            if (behind && orb_list_key_compare(now, behind) <= 0)
                return false;
            sight->first_at = begin;
            bool next_to = segment->at.length > 0;
            orb_keys_learn(parallel->plan.model, behind ? orb_buf_string(behind) : NULL, behind ? behind->length : 0,
                           now->bytes, now->length, next_to);
        } else {
            if (orb_keys_compare(now->bytes, now->length, before->bytes, before->length) <= 0)
                return false;
            if (sight->keys % step == 0)
                orb_keys_learn(parallel->plan.model, before->bytes, before->length, now->bytes, now->length, true);
        }
        if (sight->kept == sight->keys && segment->has_hi && orb_list_key_compare(now, &segment->hi) > 0) {
            sight->cut_at = begin;
            sight->cut_count = count;
        } else if (sight->kept == sight->keys) {
            sight->kept_at = begin;
            sight->kept++;
        }
        sight->last_at = begin;
        sight->keys++;
        struct orb_list_key *swap = before;
        before = now;
        now = swap;
    }
    if (sight->keys && orb_list_key_compare(before, &parallel->seen_key) > 0)
        remember_seen(parallel, before, page->more);
    return true;
}

static bool take_rest(struct orbit_page *kept, const struct orbit_page *page, struct orb_page_cursor at)
{
    struct orb_page_item item;
    orbit_status status = ORBIT_OK;
    orb_page_reset(kept);
    while (status == ORBIT_OK && orb_page_next(page, &at, &item)) {
        const orbit_entry *entry = &item.entry;
        status = item.failed ? orbit_page_add_failed(kept, entry->path, entry->path_length, item.error, item.position)
                             : orbit_page_add(kept, entry, item.position);
    }
    return status == ORBIT_OK;
}

bool orb_parallel_drop_given(struct orb_parallel *parallel, struct orbit_page *page)
{
    struct orb_page_cursor at = {0}, begin = {0};
    struct orb_page_item item;
    struct orb_list_key key;
    struct orbit_page *kept = &parallel->spare, old = *page;
    while (parallel->skipping && orb_page_next(page, &at, &item)) {
        if (!item.failed && key_of(&item, &key) && orb_list_key_compare(&key, &parallel->given_key) > 0)
            parallel->skipping = false;
        else
            begin = at;
    }
    if (!begin.at)
        return true;
    if (!take_rest(kept, page, begin))
        return false;
    *page = *kept;
    page->more = old.more;
    page->busy_ns = old.busy_ns;
    *kept = old;
    orb_page_reset(kept);
    return true;
}

void orb_parallel_tell_plan(struct orb_parallel *parallel, struct orb_list_part *part,
                            const struct orb_list_sight *sight)
{
    const struct orbit_page *page = &part->page;
    struct orb_list_key first, last, kept;
    struct orb_list_news news = {
        .count = sight->keys, .kept_count = sight->kept, .buffered = sight->cut_count > 0, .more = page->more};
    if (sight->keys) {
        orb_list_key_at(page, sight->first_at, &first);
        orb_list_key_at(page, sight->last_at, &last);
        news.first = first.bytes;
        news.first_length = first.length;
        news.last = last.bytes;
        news.last_length = last.length;
    }
    if (sight->kept) {
        orb_list_key_at(page, sight->kept_at, &kept);
        news.kept = kept.bytes;
        news.kept_length = kept.length;
    }
    orb_list_plan_arrived(&parallel->plan, part->segment, &news);
}

void orb_parallel_keep_page(struct orb_list_part *part, const struct orb_list_sight *sight)
{
    struct orb_list_ready *ready = part->room; /* made when it was asked for: this cannot fail */
    part->room = NULL;
    *ready = (struct orb_list_ready){.page = part->page};
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
