/* SPDX-License-Identifier: Apache-2.0
 * Large objects: begin, parts, finish, abort, and what is open. An upload is invisible until it is finished. It
 * outlives the handle that begin gave out, so that another begin can take it up by its id. Loop thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/mem/mem.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define PAGE_PARTS 1000

/* ---- life of an upload ------------------------------------------------------------------------------ */

static void drop_bytes(struct mem_upload *upload)
{
    for (size_t i = 0; i < upload->count; i++) {
        mem_content_drop(upload->parts[i]->content);
        upload->parts[i]->content = NULL;
    }
    mem_content_drop(upload->joined);
    upload->joined = NULL;
}

void mem_upload_drop(struct mem_upload *upload)
{
    if (!upload || --upload->refs)
        return;
    drop_bytes(upload);
    for (size_t i = 0; i < upload->count; i++)
        orb_free(upload->parts[i]);
    orb_free(upload->parts);
    orbit_metadata_release(&upload->kept);
    orbit_metadata_release(&upload->preserve);
    orb_free(upload->full);
    orb_free(upload);
}

void mem_upload_forget(struct mem_upload *upload)
{
    if (!upload->listed)
        return;
    *upload->link = upload->next;
    if (upload->next)
        upload->next->link = upload->link;
    upload->listed = false;
    drop_bytes(upload);
    mem_upload_drop(upload);
}

/* In order of path and id, as uploads() tells them. */
static void list_upload(struct mem_store *store, struct mem_upload *upload)
{
    struct mem_upload **link = &store->uploads;
    while (*link) {
        int order = strcmp((*link)->full, upload->full);
        if (order > 0 || (order == 0 && strcmp((*link)->id, upload->id) > 0))
            break;
        link = &(*link)->next;
    }
    upload->next = *link;
    upload->link = link;
    if (upload->next)
        upload->next->link = &upload->next;
    *link = upload;
    upload->listed = true;
}

/* The options outlive the request: their strings are copied, what this backend does not look at is dropped. */
static bool keep_options(struct mem_upload *upload, const orbit_write_options *options)
{
    const struct {
        const char *from;
        const char **to;
    } strings[] = {
        {options->if_match, &upload->options.if_match},
        {options->content_type, &upload->options.content_type},
        {options->content_encoding, &upload->options.content_encoding},
        {options->content_disposition, &upload->options.content_disposition},
        {options->content_language, &upload->options.content_language},
        {options->cache_control, &upload->options.cache_control},
        {options->expires, &upload->options.expires},
        {options->storage_class, &upload->options.storage_class},
        {options->sse, &upload->options.sse},
    };
    upload->options = (orbit_write_options){.size = sizeof(upload->options),
                                            .create_parents = options->create_parents,
                                            .overwrite = options->overwrite,
                                            .set = options->set,
                                            .mode = options->mode,
                                            .uid = options->uid,
                                            .gid = options->gid,
                                            .mtime_ns = options->mtime_ns,
                                            .atime_ns = options->atime_ns};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        if (!strings[i].from)
            continue;
        *strings[i].to = orbit_metadata_keep(&upload->kept, strings[i].from, strlen(strings[i].from));
        if (!*strings[i].to)
            return false;
    }
    for (size_t i = 0; i < options->metadata_count; i++)
        if (orbit_metadata_add_user(&upload->kept, options->metadata[i].name, options->metadata[i].value) < 0)
            return false;
    upload->options.metadata = upload->kept.user;
    upload->options.metadata_count = upload->kept.user_count;
    return true;
}

static struct mem_upload *new_upload(struct mem_backend *backend, const orbit_begin_request *request)
{
    struct mem_upload *upload = orb_calloc(1, sizeof(*upload));
    if (!upload)
        return NULL;
    upload->refs = 1;
    upload->store = backend->store;
    struct orb_buf full;
    orb_buf_init(&full, SIZE_MAX);
    orb_buf_text(&full, backend->root);
    orb_buf_text(&full, request->path);
    upload->full = orb_buf_take(&full);
    upload->path = upload->full ? upload->full + strlen(backend->root) : NULL;
    upload->started_ns = orb_realtime_ns();
    snprintf(upload->id, sizeof(upload->id), "%016llx", (unsigned long long)orb_random_u64());
    bool good = upload->path && keep_options(upload, request->options);
    const orbit_metadata *preserve = request->preserve;
    if (!preserve && request->copy && mem_is_object(backend))
        preserve = request->copy->pin; /* as mem_copy() has it */
    if (good && preserve) {
        good = orbit_metadata_copy(&upload->preserve, preserve) == ORBIT_OK;
        upload->has_preserve = good;
        if (!request->preserve)
            upload->preserve.fields = 0;
    }
    if (!good) {
        mem_upload_drop(upload);
        return NULL;
    }
    list_upload(backend->store, upload);
    upload->refs++; /* the list's and the handle's */
    return upload;
}

void mem_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    struct mem_backend *backend = self;
    struct mem_upload *upload = NULL;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_publish_check(backend, request->path, request->options, &error);
    if (status == ORBIT_OK && request->resume_id) {
        upload = backend->store->uploads;
        while (upload && (strcmp(upload->id, request->resume_id) != 0 || !orb_str_prefix(upload->full, backend->root) ||
                          strcmp(upload->full + strlen(backend->root), request->path) != 0))
            upload = upload->next;
        if (upload)
            upload->refs++;
        else
            status = orb_fail(&error, ORBIT_E_NOT_FOUND, 0, "the upload '%s' of '%s' does not exist in %s",
                              request->resume_id, request->path, backend->url);
    } else if (status == ORBIT_OK) {
        upload = new_upload(backend, request);
        if (!upload)
            status = orb_fail_memory(&error);
    }
    if (status == ORBIT_OK) {
        reply->upload = upload;
        reply->upload_id = upload->id;
    }
    mem_done(op, status, &error);
}

void mem_release(void *self, void *upload)
{
    (void)self;
    mem_upload_drop(upload);
}

void mem_abort(void *self, orbit_op *op, void *handle)
{
    if (!mem_enter(self, op))
        return;
    mem_upload_forget(handle); /* asked again, it does nothing */
    mem_done(op, ORBIT_OK, NULL);
}

/* ---- parts ------------------------------------------------------------------------------------------ */

struct part {
    struct mem_drain drain;
    struct mem_upload *upload;
    orbit_part part;
    orbit_part_reply *reply;
};

static void part_release(struct mem_transfer *transfer)
{
    struct part *part = (struct part *)(void *)transfer;
    mem_content_drop(part->drain.content);
    mem_upload_drop(part->upload);
}

/* The index of the first part whose number is not below `number`. */
static size_t part_index(const struct mem_upload *upload, uint32_t number)
{
    size_t low = 0, high = upload->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (upload->parts[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The part of that number, made when it is new: sending one again replaces it. */
static struct mem_upload_part *take_part(struct mem_upload *upload, uint32_t number)
{
    size_t at = part_index(upload, number);
    if (at < upload->count && upload->parts[at]->number == number)
        return upload->parts[at];
    if (upload->count == upload->room) {
        size_t room = upload->room ? upload->room * 2 : 8;
        struct mem_upload_part **parts = orb_realloc(upload->parts, room * sizeof(*parts));
        if (!parts)
            return NULL;
        upload->parts = parts;
        upload->room = room;
    }
    struct mem_upload_part *part = orb_calloc(1, sizeof(*part));
    if (!part)
        return NULL;
    part->number = number;
    memmove(upload->parts + at + 1, upload->parts + at, (upload->count - at) * sizeof(*upload->parts));
    upload->parts[at] = part;
    upload->count++;
    return part;
}

static orbit_status fail_gone(struct mem_backend *backend, const struct mem_upload *upload, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_NOT_FOUND, 0, "the upload of '%s' is not open any more in %s", upload->path,
                    backend->url);
}

/* Takes over `*content`. */
static orbit_status keep_part(struct mem_backend *backend, struct mem_upload *upload, const orbit_part *part,
                              struct mem_content **content, orbit_part_reply *reply, orbit_error *error)
{
    if (!upload->listed || upload->joined) /* aborted or being finished meanwhile */
        return fail_gone(backend, upload, error);
    struct mem_upload_part *stored = take_part(upload, part->number);
    if (!stored)
        return orb_fail_memory(error);
    mem_content_drop(stored->content);
    stored->content = *content;
    *content = NULL;
    stored->offset = part->offset;
    mem_etag(stored->content, stored->etag);
    reply->etag = stored->etag;
    reply->checksum = orb_checksum_crc64nvme(stored->content->crc);
    return ORBIT_OK;
}

static void part_drained(struct mem_drain *drain)
{
    struct part *part = (struct part *)(void *)drain;
    orbit_error error;
    orbit_status status =
        keep_part(drain->transfer.backend, part->upload, &part->part, &drain->content, part->reply, &error);
    mem_transfer_end(&drain->transfer, status, &error);
}

/* Part n + 1 follows where part n ended; the last one may be sent again. */
static bool in_sequence(const struct mem_upload *upload, const orbit_part *part)
{
    uint64_t offset = 0;
    if (part->number != upload->count + 1 && part->number != upload->count)
        return false;
    for (size_t i = 0; i + 1 < part->number; i++)
        offset += upload->parts[i]->content->size;
    return part->offset == offset;
}

static orbit_status check_part(struct mem_backend *backend, const struct mem_upload *upload, const orbit_part *part,
                               uint64_t length, orbit_error *error)
{
    const orbit_capabilities *limits = &backend->limits;
    if (!upload->listed || upload->joined)
        return fail_gone(backend, upload, error);
    if (part->number == 0 || part->length != length)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "part %u of '%s' and its bytes do not agree", part->number,
                        upload->path);
    if (limits->part_count_max && part->number > limits->part_count_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "'%s' has more than the %u parts that %s takes", upload->path,
                        limits->part_count_max, backend->url);
    if (part->length > limits->part_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "part %u of '%s' is larger than %s takes", part->number, upload->path,
                        backend->url);
    if (limits->sequential_parts && !in_sequence(upload, part))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "part %u of '%s' is out of sequence", part->number, upload->path);
    return ORBIT_OK;
}

void mem_part(void *self, orbit_op *op, void *handle, const orbit_part *part, orbit_body *body, orbit_part_reply *reply)
{
    struct mem_backend *backend = self;
    struct mem_upload *upload = handle;
    struct part *transfer = NULL;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = check_part(backend, upload, part, body->length, &error);
    if (status == ORBIT_OK) {
        transfer = orb_calloc(1, sizeof(*transfer));
        if (transfer)
            transfer->drain.content = mem_content_new(backend->store);
        if (!transfer || !transfer->drain.content)
            status = orb_fail_memory(&error);
    }
    if (status < 0) {
        orb_free(transfer);
        mem_done(op, status, &error);
        return;
    }
    upload->refs++;
    transfer->upload = upload;
    transfer->part = *part;
    transfer->reply = reply;
    transfer->drain.done = part_drained;
    mem_drain_start(&transfer->drain, backend, op, body, part_release);
}

/* Bytes of `from`, holes as zeroes. */
static orbit_status take_bytes(struct mem_content *to, const struct mem_content *from, uint64_t offset, uint64_t length,
                               orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    while (length > 0 && status == ORBIT_OK) {
        const char *bytes;
        size_t piece = mem_content_at(from, offset, length < SIZE_MAX ? (size_t)length : SIZE_MAX, &bytes);
        status = bytes ? mem_content_append(to, bytes, piece, length, error)
                       : mem_content_extend(to, to->size + piece, error);
        offset += piece;
        length -= piece;
    }
    return status;
}

void mem_part_copy(void *self, orbit_op *op, void *handle, const orbit_part_copy_request *request,
                   orbit_part_reply *reply)
{
    struct mem_backend *backend = self;
    struct mem_upload *upload = handle;
    struct mem_content *content = NULL;
    struct mem_node *node;
    const orbit_part *part = &request->part;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_copy_source(request->copy, &node, &error);
    if (status == ORBIT_OK) {
        uint64_t size = node->content->size, rest = part->offset < size ? size - part->offset : 0;
        status = check_part(backend, upload, part, part->length < rest ? part->length : rest, &error);
    }
    if (status == ORBIT_OK && !(content = mem_content_new(backend->store)))
        status = orb_fail_memory(&error);
    if (status == ORBIT_OK)
        status = take_bytes(content, node->content, part->offset, part->length, &error);
    if (status == ORBIT_OK)
        status = keep_part(backend, upload, part, &content, reply, &error);
    if (status == ORBIT_OK)
        orbit_op_progress(op, part->length);
    mem_content_drop(content);
    mem_done(op, status, &error);
}

/* ---- finish ----------------------------------------------------------------------------------------- */

static orbit_status check_parts(struct mem_backend *backend, const struct mem_upload *upload,
                                const orbit_finish_request *request, orbit_error *error)
{
    const orbit_capabilities *limits = &backend->limits;
    uint64_t size = 0;
    for (size_t i = 0; i < upload->count; i++) {
        const struct mem_upload_part *part = upload->parts[i];
        bool last = i + 1 == upload->count;
        size += part->content->size;
        if (limits->random_access)
            continue; /* offsets say where it goes */
        if (part->number != i + 1)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "part %zu of '%s' is missing", i + 1, upload->path);
        if (!last && part->content->size < limits->part_min)
            return orb_fail(error, ORBIT_E_LIMIT, 0, "part %u of '%s' is smaller than the %llu bytes that %s wants",
                            part->number, upload->path, (unsigned long long)limits->part_min, backend->url);
        if (!last && limits->equal_parts && part->content->size != upload->parts[0]->content->size)
            return orb_fail(error, ORBIT_E_LIMIT, 0, "the parts of '%s' are not of one size, as %s wants them",
                            upload->path, backend->url);
    }
    if (!limits->random_access && upload->count != request->part_count)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "'%s' has %zu parts, not %u", upload->path, upload->count,
                        request->part_count);
    if (limits->random_access ? size > request->size : size != request->size)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the parts of '%s' are %llu bytes, not %llu", upload->path,
                        (unsigned long long)size, (unsigned long long)request->size);
    if (limits->object_max && request->size > limits->object_max)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "'%s' is larger than %s takes", upload->path, backend->url);
    return ORBIT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct mem_upload_part *x = *(struct mem_upload_part *const *)a, *y = *(struct mem_upload_part *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_number(const void *a, const void *b)
{
    const struct mem_upload_part *x = *(struct mem_upload_part *const *)a, *y = *(struct mem_upload_part *const *)b;
    return (x->number > y->number) - (x->number < y->number);
}

/* Where a part goes: at its offset, or behind the one before. */
static uint64_t place_of(const struct mem_backend *backend, const struct mem_upload_part *part, uint64_t end)
{
    return backend->limits.random_access ? part->offset : end;
}

static orbit_status check_overlap(const struct mem_backend *backend, const struct mem_upload *upload, uint64_t size,
                                  orbit_error *error)
{
    uint64_t end = 0;
    for (size_t i = 0; i < upload->count; i++) {
        const struct mem_upload_part *part = upload->parts[i];
        uint64_t start = place_of(backend, part, end);
        if (start < end || part->content->size > size || start > size - part->content->size)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "part %u of '%s' overlaps another or the end", part->number,
                            upload->path);
        end = start + part->content->size;
    }
    return ORBIT_OK;
}

/* Puts the parts together. All that can fail comes first: a finish that failed can be asked again. */
static orbit_status join_parts(struct mem_backend *backend, struct mem_upload *upload, uint64_t size,
                               orbit_error *error)
{
    size_t segments = 1; /* a hole at the end */
    if (backend->limits.random_access && upload->count)
        qsort(upload->parts, upload->count, sizeof(*upload->parts), by_offset);
    orbit_status status = check_overlap(backend, upload, size, error);
    struct mem_content *whole = status == ORBIT_OK ? mem_content_new(backend->store) : NULL;
    if (status == ORBIT_OK && !whole)
        status = orb_fail_memory(error);
    for (size_t i = 0; i < upload->count; i++)
        segments += upload->parts[i]->content->count + 1;
    if (status == ORBIT_OK)
        status = mem_content_reserve(whole, segments, error);
    if (status < 0 || !whole) {
        if (upload->count)
            qsort(upload->parts, upload->count, sizeof(*upload->parts), by_number);
        mem_content_drop(whole);
        return status;
    }
    for (size_t i = 0; i < upload->count; i++)
        mem_content_join(whole, upload->parts[i]->content, place_of(backend, upload->parts[i], whole->size), NULL);
    mem_content_extend(whole, size, NULL);
    whole->parts = (uint32_t)upload->count;
    upload->joined = whole;
    return ORBIT_OK;
}

/* Asked again after it was finished: the reply was lost. */
static orbit_status tell_again(struct mem_backend *backend, struct mem_upload *upload, orbit_metadata *reply,
                               orbit_error *error)
{
    struct mem_node *node;
    orbit_status status = mem_find_file(backend, upload->path, &node, error);
    if (status == ORBIT_OK && node->generation != upload->finished)
        status = orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' in %s was replaced by another writer", upload->path,
                          backend->url);
    return status == ORBIT_OK ? mem_describe_copy(backend, node, reply, error) : status;
}

void mem_finish(void *self, orbit_op *op, void *handle, const orbit_finish_request *request, orbit_metadata *reply)
{
    struct mem_backend *backend = self;
    struct mem_upload *upload = handle;
    orbit_error error;
    orbit_status status = ORBIT_OK;
    if (!mem_enter(backend, op))
        return;
    if (upload->finished) {
        mem_done(op, tell_again(backend, upload, reply, &error), &error);
        return;
    }
    if (!upload->listed)
        status = fail_gone(backend, upload, &error);
    if (status == ORBIT_OK && !upload->joined)
        status = check_parts(backend, upload, request, &error);
    if (status == ORBIT_OK)
        status = mem_publish_check(backend, upload->path, &upload->options, &error);
    if (status == ORBIT_OK && !upload->joined)
        status = join_parts(backend, upload, request->size, &error);
    if (status == ORBIT_OK && request->expected && request->expected->algorithm == ORBIT_CHECKSUM_CRC64NVME &&
        orb_checksum_value(request->expected) != upload->joined->crc)
        status = orb_fail(&error, ORBIT_E_CHECKSUM, 0, "the parts of '%s' do not make the bytes they were copied from",
                          upload->path);
    if (status == ORBIT_OK)
        status = mem_publish(backend, upload->path, &upload->options, upload->has_preserve ? &upload->preserve : NULL,
                             upload->joined, reply, &error);
    if (status == ORBIT_OK) {
        struct mem_node *node;
        if (mem_find_file(backend, upload->path, &node, NULL) == ORBIT_OK)
            upload->finished = node->generation;
        mem_upload_forget(upload);
    }
    mem_done(op, status, &error);
}

/* ---- what is open ----------------------------------------------------------------------------------- */

void mem_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply)
{
    struct mem_upload *upload = request->upload;
    orbit_error error;
    if (!mem_enter(self, op))
        return;
    if (!upload->listed || upload->joined) {
        mem_done(op, fail_gone(self, upload, &error), &error);
        return;
    }
    size_t at = part_index(upload, request->after + 1), told = 0;
    for (; at < upload->count && told < PAGE_PARTS; at++, told++) {
        const struct mem_upload_part *part = upload->parts[at];
        orbit_stored_part stored = {
            .part = {part->number, ((struct mem_backend *)self)->limits.random_access ? part->offset : 0,
                     part->content->size},
            .reply = {part->etag, orb_checksum_crc64nvme(part->content->crc)},
        };
        request->each(request->ctx, &stored);
    }
    reply->more = at < upload->count;
    mem_done(op, ORBIT_OK, NULL);
}

void mem_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply)
{
    struct mem_backend *backend = self;
    size_t told = 0;
    if (!mem_enter(backend, op))
        return;
    reply->more = false;
    for (struct mem_upload *at = backend->store->uploads; at && !reply->more; at = at->next) {
        if (!orb_str_prefix(at->full, backend->root))
            continue; /* of another handle, with another root */
        const char *path = at->full + strlen(backend->root);
        if (request->prefix && !orb_str_prefix(path, request->prefix))
            continue;
        int order = request->after_path ? strcmp(path, request->after_path) : 1;
        if (order < 0 || (order == 0 && (!request->after_id || strcmp(at->id, request->after_id) <= 0)))
            continue;
        if (told++ == PAGE_PARTS) {
            reply->more = true;
        } else {
            orbit_upload_entry entry = {path, at->id, at->started_ns};
            request->each(request->ctx, &entry);
        }
    }
    mem_done(op, ORBIT_OK, NULL);
}

/* The parts are the upload's, whoever sent them: there is nothing to take over but a look at the claim. */
orbit_status mem_adopt(void *self, void *handle, const orbit_stored_part *part, orbit_error *error)
{
    struct mem_upload *upload = handle;
    size_t at = part_index(upload, part->part.number);
    (void)self;
    if (at == upload->count || upload->parts[at]->number != part->part.number ||
        upload->parts[at]->content->size != part->part.length || !part->reply.etag ||
        strcmp(upload->parts[at]->etag, part->reply.etag) != 0)
        return orb_fail(error, ORBIT_E_CHANGED, 0, "part %u of '%s' is not the one that is to be taken over",
                        part->part.number, upload->path);
    return ORBIT_OK;
}

orbit_status mem_locate(void *self, const char *path, char *store, size_t store_room, char *key, size_t key_room)
{
    const struct mem_backend *backend = self;
    const char *name = backend->store->name;
    int store_length = snprintf(store, store_room, "mem://%s", name ? name : "");
    int key_length = snprintf(key, key_room, "%s%s", backend->root, path);
    bool fits =
        store_length >= 0 && (size_t)store_length < store_room && key_length >= 0 && (size_t)key_length < key_room;
    return fits ? ORBIT_OK : ORBIT_E_LIMIT;
}
