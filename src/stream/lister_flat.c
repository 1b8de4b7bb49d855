/* SPDX-License-Identifier: Apache-2.0
 * The flat producer: one listing of the store, page after page. Loop thread only, but for its making. */
#include "base/mem.h"
#include "stream/lister.h"

#define EMPTY_PAGES_MAX 10000u /* in a row, with more to follow: a store that never ends */

struct flat {
    struct orb_producer producer;
    struct orb_backend *backend;
    struct orb_call call;
    orbit_list_request request;
    void *cursor;
    struct orbit_page page;
    uint32_t empty_pages;
    bool begun, running, stopped, shut;
};

static void free_flat(struct flat *flat)
{
    struct orbit_lister *lister = flat->producer.lister;
    if (flat->cursor)
        flat->backend->ops->list_end(flat->backend->self, flat->cursor);
    orb_page_release(&flat->page);
    orb_free(flat);
    orb_stream_gone(&lister->stream);
}

/* An operation ended. True when nobody is there any more to use what it brought. */
static bool over(struct flat *flat)
{
    flat->running = false;
    if (flat->shut)
        free_flat(flat);
    else if (!flat->stopped)
        return false;
    return true;
}

static void fetch(struct flat *flat);

static void start_page(struct orb_call *call)
{
    struct flat *flat = call->ctx;
    orb_page_reset(&flat->page);
    orb_call_names(call, ORBIT_REQUEST_LIST, flat->producer.lister->path);
    flat->backend->ops->list_page(flat->backend->self, &call->op.op, flat->cursor, &flat->page);
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct flat *flat = call->ctx;
    if (over(flat))
        return;
    orbit_error own;
    if (status >= 0 && flat->page.out_of_memory && !flat->page.count) {
        status = orb_fail_memory(&own);
        error = &own;
    }
    if (status >= 0 && !flat->page.count && flat->page.more) {
        if (++flat->empty_pages < EMPTY_PAGES_MAX) {
            fetch(flat);
            return;
        }
        status = orb_fail(&own, ORBIT_E_PROTOCOL, 0, "listing '%s': the store sends empty pages without end",
                          flat->producer.lister->path);
        error = &own;
    }
    flat->empty_pages = 0;
    if (status < 0)
        orb_page_reset(&flat->page); /* of a page that failed, what is there may be anything */
    bool more = status >= 0 && flat->page.more;
    orb_lister_deliver(flat->producer.lister, &flat->page, status < 0 ? status : more ? ORBIT_OK : ORBIT_END, error);
}

static void fetch(struct flat *flat)
{
    flat->running = true;
    atomic_fetch_add(&flat->producer.lister->pages, 1);
    flat->call.eager = true;
    orb_call_start(&flat->call, flat->backend, start_page, page_done, flat);
}

static void start_begin(struct orb_call *call)
{
    struct flat *flat = call->ctx;
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, flat->request.path);
    flat->backend->ops->list_begin(flat->backend->self, &call->op.op, &flat->request, &flat->cursor);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct flat *flat = call->ctx;
    if (status < 0)
        flat->cursor = NULL;
    if (over(flat))
        return;
    if (status < 0)
        orb_lister_deliver(flat->producer.lister, &flat->page, status, error);
    else
        fetch(flat);
}

static void flat_more(struct orb_producer *producer)
{
    struct flat *flat = (struct flat *)producer;
    if (flat->running || flat->stopped)
        return;
    if (flat->begun) {
        fetch(flat);
        return;
    }
    flat->begun = true;
    flat->running = true;
    flat->call.tally = &flat->producer.lister->stream.tally;
    orb_call_start(&flat->call, flat->backend, start_begin, begin_done, flat);
}

static void flat_stop(struct orb_producer *producer)
{
    struct flat *flat = (struct flat *)producer;
    flat->stopped = true;
    if (flat->running)
        orb_call_cancel(&flat->call);
}

static void flat_shut(struct orb_producer *producer)
{
    struct flat *flat = (struct flat *)producer;
    flat->shut = true;
    if (!flat->running)
        free_flat(flat);
}

static const struct orb_producer_kind flat_kind = {flat_more, flat_stop, flat_shut};

struct orb_producer *orb_flat_new(struct orbit_lister *lister, orbit_error *error)
{
    struct flat *flat = orb_calloc(1, sizeof *flat);
    const orbit_list_options *options = &lister->options;
    if (!flat) {
        orb_fail_memory(error);
        return NULL;
    }
    flat->producer = (struct orb_producer){&flat_kind, lister};
    flat->backend = &lister->stream.backend->core;
    flat->call.watched = true;
    flat->request = (orbit_list_request){
        .path = lister->path,
        .recursive = options->recursive,
        .want_metadata = options->want_metadata || options->follow_symlinks,
        .follow_symlinks = options->follow_symlinks,
        .prefix = options->prefix,
        .start_after = options->start_after,
        .delimiter = options->delimiter,
        .page_entries = lister->page_entries,
        .versions = options->versions,
    };
    orb_lister_page_init(lister, &flat->page);
    return &flat->producer;
}
