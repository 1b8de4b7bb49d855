/* SPDX-License-Identifier: Apache-2.0
 * The store of read_store.h. */
#include "read_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"

uint8_t read_store_byte(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761u >> 13) ^ (offset >> 7) ^ offset);
}

orbit_checksum read_store_crc64(uint64_t size)
{
    uint64_t crc = 0;
    uint8_t block[4096];
    for (uint64_t at = 0; at < size;) {
        size_t length = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
        for (size_t i = 0; i < length; i++)
            block[i] = read_store_byte(at + i);
        crc = orb_crc64nvme_portable(crc, block, length);
        at += length;
    }
    return orb_checksum_crc64nvme(crc);
}

/* ---- reading --------------------------------------------------------------------------------------- */

struct reading {
    const orbit_read_request *request;
    orbit_sink *sink;
    orbit_read_reply *reply;
    uint64_t number; /* of this read, from 0 */
    uint64_t at, end, given;
    bool begun;
};

static void read_work(void *self, orbit_op *op);

static void read_resume(orbit_op *op)
{
    orbit_op_run(op, read_work);
}

static void op_over(orbit_op *op, orbit_status status, uint32_t flags, const char *text)
{
    orbit_error error = {0};
    if (status < 0) {
        orbit_error_set(&error, status, 0, "%s", text);
        error.flags |= flags;
    }
    free(op->state);
    op->state = NULL;
    orbit_op_done(op, status, &error);
}

static void read_over(struct read_store *store, orbit_op *op, orbit_status status, uint32_t flags, const char *text)
{
    atomic_fetch_sub(&store->in_flight, 1);
    op_over(op, status, flags, text);
}

static bool changed(const struct read_store *store, const struct reading *reading)
{
    return reading->number >= atomic_load(&store->change_after);
}

static void fill_reply(const struct read_store *store, struct reading *reading)
{
    orbit_metadata *metadata = &reading->reply->metadata;
    const char *etag = changed(store, reading) ? "two" : "one";
    metadata->kind = ORBIT_KIND_FILE;
    metadata->fields = store->no_size ? 0 : ORBIT_HAS_SIZE;
    metadata->size = store->no_size ? 0 : store->size;
    metadata->etag = orbit_metadata_keep(metadata, etag, 3);
    if (reading->request->want_checksum)
        metadata->checksum = store->checksum;
    uint64_t from = store->caps.ranged_read ? reading->request->offset : 0;
    uint64_t left = store->size > from ? store->size - from : 0;
    uint64_t length = reading->request->length < left ? reading->request->length : left;
    reading->at = from;
    reading->end = from + length;
    reading->reply->length = store->no_size ? ORBIT_SIZE_UNKNOWN : length;
}

/* 1: go on with the next piece. */
static int read_piece(struct read_store *store, orbit_op *op, struct reading *reading)
{
    if (orbit_op_cancelled(op)) {
        read_over(store, op, ORBIT_E_CANCELLED, 0, "cancelled");
        return 0;
    }
    if (reading->at >= atomic_load(&store->fail_at)) {
        read_over(store, op, ORBIT_E_IO, 0, "bad sector");
        return 0;
    }
    uint64_t cut = atomic_load(&store->cut_after);
    if (reading->given >= cut && atomic_load(&store->cuts) > 0) {
        atomic_fetch_sub(&store->cuts, 1);
        if (store->silent_cut)
            read_over(store, op, ORBIT_OK, 0, NULL);
        else
            read_over(store, op, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "connection reset");
        return 0;
    }
    uint64_t end = reading->end + store->beyond;
    if (reading->at >= end) {
        read_over(store, op, ORBIT_OK, 0, NULL);
        return 0;
    }
    size_t room = 0;
    uint8_t *bytes = reading->sink->acquire(reading->sink, 0, &room);
    if (!bytes) {
        atomic_fetch_add(&store->pauses, 1);
        return 0; /* until it is resumed */
    }
    size_t length = room;
    if (store->piece && length > store->piece)
        length = store->piece;
    if (length > end - reading->at)
        length = (size_t)(end - reading->at);
    if (atomic_load(&store->cuts) > 0 && length > cut - reading->given)
        length = (size_t)(cut - reading->given);
    uint64_t fail_at = atomic_load(&store->fail_at);
    if (fail_at > reading->at && length > fail_at - reading->at)
        length = (size_t)(fail_at - reading->at);
    for (size_t i = 0; i < length; i++)
        bytes[i] = read_store_byte(reading->at + i);
    orbit_status status = reading->sink->commit(reading->sink, length);
    if (status < 0) {
        read_over(store, op, status, 0, "not wanted");
        return 0;
    }
    reading->at += length;
    reading->given += length;
    atomic_fetch_add(&store->bytes, length);
    return 1;
}

static bool read_begin(struct read_store *store, orbit_op *op, struct reading *reading)
{
    uint64_t offset = reading->request->offset;
    bool slow = offset >= store->slow_from && offset < store->slow_to;
    if (store->delay_us)
        usleep(store->delay_us);
    while (slow && !atomic_load(&store->release) && !orbit_op_cancelled(op))
        usleep(1000);
    if (!strcmp(reading->request->path, "missing")) {
        read_over(store, op, ORBIT_E_NOT_FOUND, 0, "'missing' does not exist");
        return false;
    }
    if (reading->request->pin && changed(store, reading)) {
        read_over(store, op, ORBIT_E_CHANGED, 0, "it is another one now");
        return false;
    }
    fill_reply(store, reading);
    if (!store->no_head)
        orbit_op_head(op);
    return true;
}

static void read_work(void *self, orbit_op *op)
{
    struct read_store *store = self;
    struct reading *reading = op->state;
    if (!reading)
        return;
    if (!reading->begun) {
        reading->begun = true;
        if (!read_begin(store, op, reading))
            return;
    }
    while (read_piece(store, op, reading) > 0)
        ;
}

static void store_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                       orbit_read_reply *reply)
{
    struct read_store *store = self;
    struct reading *reading = calloc(1, sizeof *reading);
    reading->request = request;
    reading->sink = sink;
    reading->reply = reply;
    reading->number = atomic_fetch_add(&store->reads, 1);
    if (reading->number < 256)
        atomic_store(&store->offsets[reading->number], request->offset);
    uint64_t now = atomic_fetch_add(&store->in_flight, 1) + 1;
    if (now > atomic_load(&store->in_flight_max))
        atomic_store(&store->in_flight_max, now);
    op->state = reading;
    op->resume = read_resume;
    orbit_op_run(op, read_work);
}

static void store_cancel(void *self, orbit_op *op)
{
    (void)self;
    if (op->resume)
        op->resume(op);
}

/* ---- listing --------------------------------------------------------------------------------------- */

struct store_cursor {
    char *path;
    uint32_t depth;
    uint64_t at; /* entries given: also the position */
    uint64_t page;
    uint32_t page_entries;
    bool open, begun_again;
};

struct paging {
    struct store_cursor *cursor;
    orbit_page *page;
    void **reply;
    const orbit_list_request *request;
};

static void open_cursor(struct read_store *store, struct store_cursor *cursor)
{
    if (cursor->open)
        return;
    cursor->open = true;
    uint64_t now = atomic_fetch_add(&store->cursors, 1) + 1;
    if (now > atomic_load(&store->cursors_max))
        atomic_store(&store->cursors_max, now);
}

static void close_cursor(struct read_store *store, struct store_cursor *cursor)
{
    if (cursor->open)
        atomic_fetch_sub(&store->cursors, 1);
    cursor->open = false;
}

static void begin_work(void *self, orbit_op *op)
{
    struct read_store *store = self;
    struct paging *paging = op->state;
    const char *path = paging->request->path;
    if (store->unlistable && !strcmp(path, store->unlistable)) {
        op_over(op, ORBIT_E_PERMISSION, 0, "not allowed");
        return;
    }
    struct store_cursor *cursor = calloc(1, sizeof *cursor);
    cursor->path = strdup(path);
    cursor->page_entries = paging->request->page_entries;
    for (const char *at = path; *at;) {
        cursor->depth += at == path || at[-1] == '/';
        at++;
    }
    open_cursor(store, cursor);
    atomic_fetch_add(&store->begins, 1);
    *paging->reply = cursor;
    op_over(op, ORBIT_OK, 0, NULL);
}

static void store_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **cursor)
{
    (void)self;
    struct paging *paging = calloc(1, sizeof *paging);
    paging->request = request;
    paging->reply = cursor;
    op->state = paging;
    orbit_op_run(op, begin_work);
}

static void name_entry(const struct read_store *store, const struct store_cursor *cursor, uint64_t number, char *name,
                       size_t room, orbit_entry *entry)
{
    uint64_t directories = cursor->depth < store->depth ? store->directories : 0;
    uint64_t before = store->files / 2;
    memset(entry, 0, sizeof *entry);
    if (number >= before && number < before + directories) {
        snprintf(name, room, "d%llu", (unsigned long long)(number - before));
        entry->metadata.kind = ORBIT_KIND_DIRECTORY;
    } else {
        snprintf(name, room, "f%07llu", (unsigned long long)(number < before ? number : number - directories));
        entry->metadata.kind = ORBIT_KIND_FILE;
        entry->metadata.fields = ORBIT_HAS_SIZE;
        entry->metadata.size = number;
    }
    if (store->loop) {
        entry->metadata.fields |= ORBIT_HAS_INODE;
        entry->metadata.device = 1;
        entry->metadata.inode = entry->metadata.kind == ORBIT_KIND_DIRECTORY ? 77 : 1000 + number;
    }
    entry->path = name;
    entry->path_length = strlen(name);
}

static void page_work(void *self, orbit_op *op)
{
    struct read_store *store = self;
    struct paging *paging = op->state;
    struct store_cursor *cursor = paging->cursor;
    uint64_t total = store->files + (cursor->depth < store->depth ? store->directories : 0);
    atomic_fetch_add(&store->pages, 1);
    open_cursor(store, cursor);
    if (atomic_load(&store->flaky_pages) > 0 && atomic_fetch_sub(&store->flaky_pages, 1) > 0) {
        op_over(op, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "connection reset");
        return;
    }
    if (store->fail_page && cursor->page + 1 == store->fail_page) {
        op_over(op, ORBIT_E_IO, 0, "bad page");
        return;
    }
    cursor->page++;
    if (store->repeats)
        cursor->at = 0;
    uint32_t most = store->page ? store->page : cursor->page_entries;
    for (uint32_t i = 0; i < most && cursor->at < total; i++) {
        char name[32];
        orbit_entry entry;
        name_entry(store, cursor, cursor->at, name, sizeof name, &entry);
        orbit_status status = orbit_page_add(paging->page, &entry, cursor->at + 1);
        if (status == ORBIT_END)
            break;
        if (status < 0) {
            op_over(op, status, 0, "no room");
            return;
        }
        cursor->at++;
    }
    orbit_page_more(paging->page, store->repeats || cursor->at < total);
    op_over(op, ORBIT_OK, 0, NULL);
}

static void store_list_page(void *self, orbit_op *op, void *cursor, orbit_page *page)
{
    (void)self;
    struct paging *paging = calloc(1, sizeof *paging);
    paging->cursor = cursor;
    paging->page = page;
    op->state = paging;
    orbit_op_run(op, page_work);
}

static void store_list_suspend(void *self, void *cursor_, uint64_t position)
{
    struct store_cursor *cursor = cursor_;
    close_cursor(self, cursor);
    cursor->at = position;
    atomic_fetch_add(&((struct read_store *)self)->suspends, 1);
}

static void store_list_end(void *self, void *cursor_)
{
    struct store_cursor *cursor = cursor_;
    close_cursor(self, cursor);
    atomic_fetch_add(&((struct read_store *)self)->ends, 1);
    free(cursor->path);
    free(cursor);
}

static void store_stat_work(void *self, orbit_op *op)
{
    struct read_store *store = self;
    orbit_metadata *reply = op->state;
    reply->kind = ORBIT_KIND_DIRECTORY;
    if (store->loop) {
        reply->fields = ORBIT_HAS_INODE;
        reply->device = 1;
        reply->inode = 5;
    }
    op->state = NULL;
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void store_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    (void)self;
    (void)request;
    op->state = reply;
    orbit_op_run(op, store_stat_work);
}

/* ---- the table ------------------------------------------------------------------------------------- */

static orbit_status store_open(void **self, orbit_host *host, const orbit_open_request *request,
                               orbit_capabilities *capabilities, orbit_error *error)
{
    struct read_store *store = request->ctx;
    (void)host;
    (void)error;
    size_t size = capabilities->size;
    *capabilities = store->caps;
    capabilities->size = size;
    *self = store;
    return ORBIT_OK;
}

static void store_close(void *self, orbit_op *op)
{
    (void)self;
    orbit_op_done(op, ORBIT_OK, NULL);
}

static const orbit_backend_ops ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "shape",
    .open = store_open,
    .close = store_close,
    .cancel = store_cancel,
    .stat = store_stat,
    .list_begin = store_list_begin,
    .list_page = store_list_page,
    .list_suspend = store_list_suspend,
    .list_end = store_list_end,
    .read = store_read,
};

void read_store_init(struct read_store *store)
{
    memset(store, 0, sizeof *store);
    store->caps.ranged_read = true;
    store->caps.chunk_default = 64 << 10;
    store->caps.parallel_default = 4;
    store->caps.hierarchical = true;
    store->caps.seekable_list = true;
    store->cut_after = UINT64_MAX;
    store->fail_at = UINT64_MAX;
    store->change_after = UINT64_MAX;
}

void read_store_open(struct read_store *store, const orbit_client_options *client_options, orbit_client **client,
                     orbit_backend **backend)
{
    orbit_error error;
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    assert_int_equal(orbit_client_open(client, client_options, &error), ORBIT_OK);
    assert_int_equal(orbit_register(*client, "shape", &ops, store, &error), ORBIT_OK);
    assert_int_equal(orbit_open(backend, *client, "shape://it", &options, &error), ORBIT_OK);
}
