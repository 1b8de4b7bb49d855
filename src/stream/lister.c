/* SPDX-License-Identifier: Apache-2.0
 * orbit_lister: options, the hand-over of pages, and the user's side of it. Where pages come from is lister_flat.c's
 * and walk.c's matter. The user's calls run on the user's thread: one lock a page, none an entry. */
#include "stream/lister.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/options.h"

#define PAGE_BYTES_DISK    ((size_t)128 << 10) /* small pages: memory counts, round trips do not */
#define PAGE_BYTES_NETWORK ((size_t)4 << 20)   /* a cap that whole pages of long keys fit under */
#define PAGE_ENTRIES_MAX   100000u

static struct orbit_lister *lister_of(struct orb_stream *stream)
{
    return (struct orbit_lister *)stream;
}

/* ---- the loop's side ----------------------------------------------------------------------------- */

void orb_lister_page_init(struct orbit_lister *lister, struct orbit_page *page)
{
    orb_page_init(page, &lister->stream.client->host.budget, lister->page_entries, lister->page_bytes);
}

void orb_lister_deliver(struct orbit_lister *lister, struct orbit_page *page, orbit_status last,
                        const orbit_error *error)
{
    if (lister->stopped)
        return;
    orb_gate_lock(&lister->stream.gate);
    struct orbit_page empty = lister->locked.page;
    lister->locked.page = *page;
    *page = empty;
    lister->locked.full = true;
    lister->locked.waiting = false;
    lister->locked.last = last;
    if (last < 0)
        orb_error_copy(&lister->locked.error, error);
    orb_gate_unlock(&lister->stream.gate);
    orb_page_reset(page);
    orb_stream_notify(&lister->stream);
}

bool orb_lister_waits(struct orbit_lister *lister)
{
    orb_gate_lock(&lister->stream.gate);
    bool waits = lister->locked.waiting;
    orb_gate_unlock(&lister->stream.gate);
    return waits;
}

static void lister_start(struct orb_stream *stream)
{
    struct orbit_lister *lister = lister_of(stream);
    lister->producer->kind->more(lister->producer);
}

static void more_delivered(struct orb_message *message)
{
    struct orbit_lister *lister =
        (struct orbit_lister *)(void *)((char *)message - offsetof(struct orbit_lister, more_message));
    if (orb_stream_arrived(&lister->stream) && !lister->stopped)
        lister->producer->kind->more(lister->producer);
}

/* Entries that were not taken yet are lost: the user asked for an end, or its time is up. */
static void lister_stop(struct orb_stream *stream, orbit_status status, const orbit_error *error)
{
    struct orbit_lister *lister = lister_of(stream);
    if (lister->stopped)
        return;
    lister->stopped = true;
    orb_gate_lock(&stream->gate);
    orb_page_reset(&lister->locked.page);
    lister->locked.full = true;
    lister->locked.waiting = false;
    lister->locked.last = status;
    if (error)
        lister->locked.error = *error;
    else
        orb_fail(&lister->locked.error, status, 0, "listing '%s': %s", lister->path, orbit_status_text(status));
    orb_gate_unlock(&stream->gate);
    atomic_store_explicit(&lister->halted, true, memory_order_release);
    lister->producer->kind->stop(lister->producer);
    orb_stream_notify(stream);
}

static void lister_shut(struct orb_stream *stream)
{
    struct orbit_lister *lister = lister_of(stream);
    lister_stop(stream, ORBIT_E_CANCELLED, NULL);
    struct orb_producer *producer = lister->producer;
    lister->producer = NULL;
    /* The pages are charged to the client, which may be gone before the user closes. The user's own page stays for
     * what is borrowed from it, without its charge. */
    orb_gate_lock(&stream->gate);
    orb_page_release(&lister->locked.page);
    if (lister->page.budget) {
        orb_budget_give(lister->page.budget, lister->page.room);
        lister->page.budget = NULL;
    }
    lister->locked.page.budget = NULL;
    orb_gate_unlock(&stream->gate);
    producer->kind->shut(producer);
}

static void lister_release(struct orb_stream *stream)
{
    struct orbit_lister *lister = lister_of(stream);
    orb_page_release(&lister->page);
    orb_page_release(&lister->locked.page);
    orb_free(lister->path);
    orb_free((void *)(uintptr_t)lister->options.prefix);
    orb_free((void *)(uintptr_t)lister->options.start_after);
    orb_free((void *)(uintptr_t)lister->options.delimiter);
    orb_free(lister);
}

static const struct orb_stream_kind lister_kind = {lister_start, lister_stop, lister_shut, lister_release};

/* ---- opening ------------------------------------------------------------------------------------- */

void orbit_list_options_init(orbit_list_options *options)
{
    if (options)
        *options = (orbit_list_options)ORBIT_LIST_OPTIONS_INIT;
}

static orbit_status check_options(const orbit_backend *backend, orbit_list_options *options, orbit_error *error)
{
    const orbit_capabilities *caps = &backend->core.caps;
    const char *name = backend->core.ops->name;
    if (options->start_after && !caps->ordered_list)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "start_after is not supported by '%s': it lists in no order",
                        name);
    if (options->versions && !caps->list_versions)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "versions are not supported by '%s': it keeps none", name);
    if (options->delimiter && !strcmp(options->delimiter, "/"))
        options->delimiter = NULL;
    if (options->delimiter && (caps->hierarchical || !options->delimiter[0]))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "the delimiter '%s' is not supported by '%s'",
                        options->delimiter, name);
    if (options->max_depth == 1)
        options->recursive = false;
    if (!options->recursive)
        options->max_depth = 0;
    if (options->prefix && !options->prefix[0])
        options->prefix = NULL;
    if (options->start_after && !options->start_after[0])
        options->start_after = NULL;
    return ORBIT_OK;
}

static orbit_status keep_options(struct orbit_lister *lister, const char *path, const orbit_list_options *options,
                                 orbit_error *error)
{
    const orbit_capabilities *caps = &lister->stream.backend->core.caps;
    lister->options = *options;
    lister->path = orb_strdup(path);
    lister->options.prefix = orb_strdup(options->prefix);
    lister->options.start_after = orb_strdup(options->start_after);
    lister->options.delimiter = orb_strdup(options->delimiter);
    if (!lister->path || (options->prefix && !lister->options.prefix) ||
        (options->start_after && !lister->options.start_after) || (options->delimiter && !lister->options.delimiter))
        return orb_fail_memory(error);
    lister->stream.timeout_ms = options->timeout_ms;
    lister->stream.cancel = options->cancel;
    lister->stream.ready = options->ready;
    lister->stream.ready_ctx = options->ready_ctx;

    uint64_t entries = options->page_entries ? options->page_entries : caps->page_entries;
    if (entries > caps->page_entries)
        entries = caps->page_entries;
    if (entries > PAGE_ENTRIES_MAX)
        entries = PAGE_ENTRIES_MAX;
    if (options->max_entries && options->max_entries < entries)
        entries = options->max_entries;
    lister->page_entries = (uint32_t)entries;
    lister->page_bytes = caps->deep_list || !caps->hierarchical ? PAGE_BYTES_NETWORK : PAGE_BYTES_DISK;
    lister->more_message.deliver = more_delivered;
    lister->asked = true; /* by the start */
    orb_lister_page_init(lister, &lister->page);
    orb_lister_page_init(lister, &lister->locked.page);
    return ORBIT_OK;
}

orbit_status orbit_list(orbit_lister **made, orbit_backend *backend, const char *path, const orbit_list_options *given,
                        orbit_error *error)
{
    if (made)
        *made = NULL;
    if (!made || !backend || !path)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_list() without a place for the lister, a backend or a path");
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_status status = orb_options_take(&options, sizeof options, given, "orbit_list_options", error);
    if (status >= 0)
        status = orb_client_check(backend->client, "orbit_list", false, error);
    if (status < 0)
        return status;
    if (!backend->core.ops->list_begin || !backend->core.ops->list_page)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "list is not supported by '%s'", backend->core.ops->name);
    status = check_options(backend, &options, error);
    if (status < 0)
        return status;

    struct orbit_lister *lister = orb_calloc(1, sizeof *lister);
    if (!lister)
        return orb_fail_memory(error);
    orb_stream_init(&lister->stream, &lister_kind, backend);
    status = keep_options(lister, path, &options, error);
    if (status >= 0) {
        bool walk = options.recursive && !backend->core.caps.deep_list;
        lister->walks = walk;
        if (walk)
            lister->producer = orb_walk_new(lister, error);
        else if (orb_parallel_fits(lister))
            lister->producer = orb_parallel_new(lister, error);
        else
            lister->producer = orb_flat_new(lister, error);
        if (!lister->producer)
            status = ORBIT_E_MEMORY;
    }
    if (status < 0) {
        orb_gate_release(&lister->stream.gate);
        lister_release(&lister->stream);
        return status;
    }
    orb_stream_launch(&lister->stream);
    *made = lister;
    return ORBIT_OK;
}

/* ---- the user's side ----------------------------------------------------------------------------- */

static orbit_status end(struct orbit_lister *lister, orbit_status status, const orbit_error *error)
{
    lister->ended = status;
    if (status < 0 && error)
        lister->error = *error;
    return status;
}

/* Asks for the page after this one, unless nothing follows or the limit makes it needless so far. */
static void ask(struct orbit_lister *lister, bool exhausted)
{
    uint64_t limit = lister->options.max_entries;
    if (lister->asked || (!exhausted && limit && lister->given + lister->page.count >= limit))
        return;
    orb_gate_lock(&lister->stream.gate);
    if (lister->locked.last == ORBIT_OK)
        orb_stream_post_locked(&lister->stream, &lister->more_message);
    orb_gate_unlock(&lister->stream.gate);
    lister->asked = true;
}

/* The same page again and again would never end. */
static orbit_status check_progress(struct orbit_lister *lister, const orbit_entry *first)
{
    const char *version = first->metadata.version_id ? first->metadata.version_id : "";
    uint64_t hash = orb_crc64nvme(orb_crc64nvme(0, first->path, first->path_length), version, strlen(version)) ^
                    lister->page.count ^ ((uint64_t)first->metadata.kind << 32) ^ 1;
    bool same = hash == lister->previous_first && lister->page.count == lister->page_entries;
    lister->previous_first = hash;
    lister->page_begun = true;
    if (!same)
        return ORBIT_OK;
    orb_fail(&lister->error, ORBIT_E_PROTOCOL, 0, "listing '%s': the store sends the same page again", lister->path);
    return end(lister, ORBIT_E_PROTOCOL, NULL);
}

/* The next wanted entry of the page at hand; ORBIT_END when it has none. */
static orbit_status from_page(struct orbit_lister *lister, orbit_entry *entry, orbit_error *error)
{
    struct orb_page_item item;
    while (orb_page_next(&lister->page, &lister->at, &item)) {
        if (!lister->page_begun && check_progress(lister, &item.entry) < 0) {
            orb_error_copy(error, &lister->error);
            return lister->error.status;
        }
        if (!lister->walks)
            item.entry.depth = lister->options.recursive ? orb_list_depth(item.entry.path, item.entry.path_length) : 1;
        if (!item.failed && !orb_list_wants(&lister->options, &item.entry))
            continue;
        *entry = item.entry;
        ask(lister, false);
        if (!item.failed) {
            lister->given++;
            return ORBIT_OK;
        }
        atomic_fetch_add(&lister->failed, 1);
        orb_error_copy(error, item.error);
        return ORBIT_ENTRY_FAILED;
    }
    ask(lister, true);
    return ORBIT_END;
}

/* Takes the page that was delivered; ORBIT_AGAIN when there is none yet, what is repeated when none comes. */
static orbit_status take_page(struct orbit_lister *lister, bool wait)
{
    orbit_status status = ORBIT_OK;
    orb_gate_lock(&lister->stream.gate);
    while (!lister->locked.full && lister->locked.last == ORBIT_OK && !lister->stream.gone && wait) {
        lister->locked.waiting = true;
        orb_gate_wait(&lister->stream.gate);
    }
    if (lister->locked.full) {
        struct orbit_page emptied = lister->page;
        lister->page = lister->locked.page;
        lister->locked.page = emptied;
        orb_page_reset(&lister->locked.page);
        lister->locked.full = false;
        lister->at.at = 0;
        lister->asked = false;
        lister->page_begun = false;
    } else if (lister->locked.last != ORBIT_OK) {
        status = end(lister, lister->locked.last, &lister->locked.error);
    } else {
        status = ORBIT_AGAIN;
        lister->locked.waiting = true;
    }
    lister->stream.ready_wanted = status == ORBIT_AGAIN;
    orb_gate_unlock(&lister->stream.gate);
    return status;
}

static orbit_status next(struct orbit_lister *lister, const char *what, orbit_entry *entry, bool wait,
                         orbit_error *error)
{
    if (!lister || !entry)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a lister or a place for the entry", what);
    orbit_status status = ORBIT_END;
    if (lister->ended == ORBIT_OK && lister->options.max_entries && lister->given >= lister->options.max_entries)
        end(lister, ORBIT_END, NULL);
    while (lister->ended == ORBIT_OK) {
        if (atomic_load_explicit(&lister->halted, memory_order_acquire))
            lister->at.at = lister->page.used;
        status = from_page(lister, entry, error);
        if (status != ORBIT_END)
            return status;
        status = orb_stream_check(&lister->stream, what, wait, error);
        if (status < 0)
            return status;
        status = take_page(lister, wait);
        if (status == ORBIT_AGAIN)
            return status;
    }
    if (lister->ended < 0)
        orb_error_copy(error, &lister->error);
    return lister->ended;
}

orbit_status orbit_lister_next(orbit_lister *lister, orbit_entry *entry, orbit_error *error)
{
    return next(lister, "orbit_lister_next", entry, true, error);
}

orbit_status orbit_lister_try_next(orbit_lister *lister, orbit_entry *entry, orbit_error *error)
{
    return next(lister, "orbit_lister_try_next", entry, false, error);
}

uint64_t orbit_lister_failed(const orbit_lister *lister)
{
    return lister ? atomic_load(&lister->failed) : 0;
}

uint64_t orbit_lister_pages(const orbit_lister *lister)
{
    return lister ? atomic_load(&lister->pages) : 0;
}

orbit_status orbit_lister_get_stats(const orbit_lister *lister, orbit_stream_stats *stats)
{
    return lister ? orb_tally_tell(&lister->stream.tally, 0, stats) : ORBIT_E_MISUSE;
}

void orbit_lister_close(orbit_lister *lister)
{
    if (lister)
        orb_stream_close(&lister->stream);
}
