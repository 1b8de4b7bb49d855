/* SPDX-License-Identifier: Apache-2.0
 * The store of write_store.h. Every operation runs on a worker, one piece after the other; pauses are resumed there. */
#include "unit/write_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

struct stored_part {
    char *bytes;
    uint64_t offset, length;
};

struct upload {
    char *path;
    bool overwrite;
    struct stored_part *parts; /* by number - 1 */
    uint32_t room;
};

/* What one operation is about; op->state. */
struct job {
    enum wstore_operation kind;
    struct wstore *store;
    struct wstore_fault *fault;
    const orbit_read_request *read;
    orbit_sink *sink;
    orbit_read_reply *read_reply;
    struct wstore_object *object; /* being read: held by its version */
    uint64_t at, end;
    bool started;

    const orbit_put_request *put;
    orbit_body *body;
    orbit_metadata *reply;
    struct upload *upload;
    orbit_part part;
    char *taken;
    uint64_t length;

    const orbit_begin_request *begin;
    orbit_begin_reply *begin_reply;
    const orbit_finish_request *finish;
    const orbit_stat_request *stat;
    const orbit_copy_request *copy;
};

uint8_t wstore_byte(uint64_t at)
{
    return (uint8_t)(at * 167 + (at >> 8) * 13 + (at >> 16) * 7 + (at >> 24));
}

void *wstore_pattern(uint64_t length)
{
    uint8_t *bytes = malloc(length ? length : 1);
    for (uint64_t i = 0; i < length; i++)
        bytes[i] = wstore_byte(i);
    return bytes;
}

bool wstore_is_pattern(const struct wstore_object *object, uint64_t length)
{
    if (!object || object->length != length)
        return false;
    for (uint64_t i = 0; i < length; i++)
        if ((uint8_t)object->bytes[i] != wstore_byte(i))
            return false;
    return true;
}

void wstore_init(struct wstore *store)
{
    memset(store, 0, sizeof(*store));
    pthread_mutex_init(&store->mutex, NULL);
    store->caps = (orbit_capabilities){.size = sizeof(orbit_capabilities),
                                       .put_max = 1 << 20,
                                       .part_min = 1,
                                       .part_max = 1ull << 30,
                                       .part_count_max = 10000,
                                       .remove_batch = 1,
                                       .chunk_default = 1 << 20,
                                       .parallel_default = 4,
                                       .ranged_read = true,
                                       .atomic_no_overwrite = true};
}

void wstore_release(struct wstore *store)
{
    while (store->objects) {
        struct wstore_object *object = store->objects;
        store->objects = object->next;
        free(object->path);
        free(object->bytes);
        free(object);
    }
    pthread_mutex_destroy(&store->mutex);
}

void wstore_fault(struct wstore *store, enum wstore_operation operation, unsigned from, unsigned count,
                  enum wstore_action action, uint64_t after, orbit_status status, uint32_t flags)
{
    store->faults[store->fault_count++] = (struct wstore_fault){operation, from, count, action, after, status, flags};
}

struct wstore_object *wstore_find(struct wstore *store, const char *path)
{
    for (struct wstore_object *object = store->objects; object; object = object->next)
        if (strcmp(object->path, path) == 0)
            return object;
    return NULL;
}

/* Takes the bytes. Versions of replaced objects stay until the end: somebody may be reading them. */
static void put_locked(struct wstore *store, const char *path, char *bytes, uint64_t length)
{
    struct wstore_object *old = wstore_find(store, path), *object = calloc(1, sizeof(*object));
    object->path = strdup(path);
    object->bytes = bytes;
    object->length = length;
    object->version = old ? old->version + 1 : 1;
    object->kind = ORBIT_KIND_FILE;
    object->next = store->objects;
    store->objects = object;
}

void wstore_put(struct wstore *store, const char *path, const void *bytes, uint64_t length)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    pthread_mutex_lock(&store->mutex);
    put_locked(store, path, copy, length);
    pthread_mutex_unlock(&store->mutex);
}

/* ---- one operation ---------------------------------------------------------------------------------- */

static void describe(struct wstore *store, const struct wstore_object *object, orbit_metadata *metadata)
{
    char etag[32];
    metadata->kind = object->kind;
    if (!store->no_size) {
        metadata->fields |= ORBIT_HAS_SIZE;
        metadata->size = object->length;
    }
    metadata->fields |= ORBIT_HAS_MTIME;
    metadata->mtime_ns = 1000000 + object->version;
    snprintf(etag, sizeof(etag), "v%u", object->version);
    if (!store->no_etag)
        metadata->etag = orbit_metadata_keep(metadata, etag, strlen(etag));
    if (store->has_checksum)
        metadata->checksum = orb_checksum_crc64nvme(orb_crc64nvme(0, object->bytes, object->length));
}

static void end(orbit_op *op, orbit_status status, const orbit_error *error)
{
    struct job *job = op->state;
    if (job->kind == WSTORE_PART) {
        pthread_mutex_lock(&job->store->mutex);
        job->store->parts_running--;
        pthread_mutex_unlock(&job->store->mutex);
    }
    free(job->taken);
    free(job);
    op->state = NULL;
    orbit_op_done(op, status, error);
}

static void end_with(orbit_op *op, orbit_status status, uint32_t flags, const char *why)
{
    orbit_error error = {0};
    orbit_error_set(&error, status, 0, "%s", why);
    error.flags |= flags;
    end(op, status, &error);
}

/* True when the operation ended here. */
static bool strike(orbit_op *op, uint64_t moved)
{
    struct job *job = op->state;
    struct wstore_fault *fault = job->fault;
    if (orbit_op_cancelled(op)) {
        end_with(op, ORBIT_E_CANCELLED, 0, "cancelled");
        return true;
    }
    if (!fault || moved < fault->after)
        return false;
    if (fault->action == WSTORE_FAIL)
        end_with(op, fault->status, fault->flags, "a fault was asked for");
    else if (fault->action == WSTORE_SHORT)
        end(op, ORBIT_OK, NULL);
    return fault->action == WSTORE_FAIL || fault->action == WSTORE_SHORT || fault->action == WSTORE_HANG;
}

/* The last word of an operation that did what it should. */
static void succeed(orbit_op *op)
{
    struct job *job = op->state;
    if (job->fault && job->fault->action == WSTORE_LOSE)
        end_with(op, ORBIT_E_NETWORK, job->fault->flags | ORBIT_ERROR_MAYBE_DONE, "the reply was lost");
    else
        end(op, ORBIT_OK, NULL);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static bool read_begin(struct wstore *store, orbit_op *op)
{
    struct job *job = op->state;
    const orbit_read_request *request = job->read;
    pthread_mutex_lock(&store->mutex);
    if (job->fault && job->fault->action == WSTORE_TOUCH) {
        struct wstore_object *object = wstore_find(store, request->path);
        if (object)
            object->version++;
    }
    struct wstore_object *object = wstore_find(store, request->path);
    if (object) {
        describe(store, object, &job->read_reply->metadata);
        if (store->no_range_checksum)
            job->read_reply->metadata.checksum = (orbit_checksum){0};
        if (request->length != ORBIT_TO_END)
            store->ranges_read++;
        if (request->length > store->largest_read)
            store->largest_read = request->length;
    }
    pthread_mutex_unlock(&store->mutex);
    if (!object) {
        end_with(op, ORBIT_E_NOT_FOUND, 0, "no such object");
        return false;
    }
    const orbit_metadata *pin = request->pin, *now = &job->read_reply->metadata;
    if (pin && ((pin->etag && now->etag && strcmp(pin->etag, now->etag) != 0) || pin->mtime_ns != now->mtime_ns)) {
        end_with(op, ORBIT_E_CHANGED, 0, "changed");
        return false;
    }
    job->object = object;
    job->at = request->offset < object->length ? request->offset : object->length;
    job->end = request->length < object->length - job->at ? job->at + request->length : object->length;
    job->read_reply->length = job->end - job->at;
    job->started = true;
    if (!store->no_head)
        orbit_op_head(op);
    return true;
}

static void read_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    size_t piece = store->piece ? store->piece : 16384;
    if (!job->started && (strike(op, 0) || !read_begin(store, op)))
        return;
    while (job->at < job->end) {
        size_t room = 0;
        if (strike(op, job->length))
            return;
        char *memory = job->sink->acquire(job->sink, piece, &room);
        if (!memory)
            return; /* resumed */
        if (room > piece)
            room = piece;
        if (room > job->end - job->at)
            room = job->end - job->at;
        memcpy(memory, job->object->bytes + job->at, room);
        if (job->fault && job->fault->action == WSTORE_CORRUPT && job->length == 0)
            memory[0] ^= 1;
        job->at += room;
        job->length += room;
        orbit_status status = job->sink->commit(job->sink, room);
        if (status < 0) {
            end(op, status, NULL);
            return;
        }
    }
    end(op, ORBIT_OK, NULL);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static bool drain(struct wstore *store, orbit_op *op)
{
    struct job *job = op->state;
    size_t piece = store->piece ? store->piece : 16384;
    if (!job->started) {
        job->started = true;
        job->taken = malloc(job->body->length ? job->body->length : 1);
        pthread_mutex_lock(&store->mutex);
        store->whole_bodies += job->body->whole != NULL;
        pthread_mutex_unlock(&store->mutex);
        if (store->gate) {
            sem_wait(store->gate);
            sem_post(store->gate); /* for the next body */
        }
    }
    for (;;) {
        const void *bytes;
        size_t length;
        if (strike(op, job->length))
            return false;
        orbit_status status = job->body->peek(job->body, &bytes, &length);
        if (status == ORBIT_AGAIN)
            return false;
        if (status == ORBIT_END)
            break;
        if (status < 0) {
            end(op, status, NULL);
            return false;
        }
        if (length > piece)
            length = piece;
        if (length > job->body->length - job->length) {
            end_with(op, ORBIT_E_PROTOCOL, 0, "the body is longer than it said");
            return false;
        }
        memcpy(job->taken + job->length, bytes, length);
        job->body->consume(job->body, length);
        job->length += length;
    }
    if (job->length != job->body->length) {
        end_with(op, ORBIT_E_PROTOCOL, 0, "the body is shorter than it said");
        return false;
    }
    return true;
}

static void put_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    if (!drain(store, op))
        return;
    pthread_mutex_lock(&store->mutex);
    bool exists = wstore_find(store, job->put->path) != NULL;
    bool taken = exists && !job->put->options->overwrite;
    if (!taken) {
        put_locked(store, job->put->path, job->taken, job->length);
        job->taken = NULL;
        describe(store, wstore_find(store, job->put->path), job->reply);
    }
    pthread_mutex_unlock(&store->mutex);
    if (taken)
        end_with(op, ORBIT_E_EXISTS, 0, "it exists");
    else
        succeed(op);
}

static void part_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    struct upload *upload = job->upload;
    if (!drain(store, op))
        return;
    pthread_mutex_lock(&store->mutex);
    if (job->length > store->largest_part)
        store->largest_part = job->length;
    uint32_t index = job->part.number - 1;
    if (index >= upload->room) {
        uint32_t room = index + 64;
        upload->parts = realloc(upload->parts, room * sizeof(*upload->parts));
        memset(upload->parts + upload->room, 0, (room - upload->room) * sizeof(*upload->parts));
        upload->room = room;
    }
    free(upload->parts[index].bytes);
    upload->parts[index] = (struct stored_part){job->taken, job->part.offset, job->length};
    job->taken = NULL;
    pthread_mutex_unlock(&store->mutex);
    succeed(op);
}

static void finish_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    struct upload *upload = job->upload;
    if (strike(op, 0))
        return;
    pthread_mutex_lock(&store->mutex);
    store->resolved |= job->finish->resolve;
    char *bytes = malloc(job->finish->size ? job->finish->size : 1);
    uint64_t at = 0;
    bool good = true;
    for (uint32_t i = 0; i < job->finish->part_count && good; i++) {
        struct stored_part *part = i < upload->room ? &upload->parts[i] : NULL;
        good = part && part->bytes && part->offset == at && part->length <= job->finish->size - at;
        if (!good)
            break;
        memcpy(bytes + at, part->bytes, part->length);
        at += part->length;
        if (store->caps.equal_parts && i + 1 < job->finish->part_count && part->length != upload->parts[0].length)
            store->equal_broken = true;
    }
    good = good && at == job->finish->size;
    bool exists = good && !upload->overwrite && !job->finish->resolve && wstore_find(store, upload->path);
    if (good && !exists && !(job->finish->resolve && wstore_find(store, upload->path))) {
        put_locked(store, upload->path, bytes, at);
        bytes = NULL;
    }
    if (good && !exists)
        describe(store, wstore_find(store, upload->path), job->reply);
    pthread_mutex_unlock(&store->mutex);
    free(bytes);
    if (!good)
        end_with(op, ORBIT_E_PROTOCOL, 0, "the parts do not make the object");
    else if (exists)
        end_with(op, ORBIT_E_EXISTS, 0, "it exists");
    else
        succeed(op);
}

static void abort_work(void *self, orbit_op *op)
{
    (void)self;
    if (!strike(op, 0))
        succeed(op);
}

static void begin_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    if (strike(op, 0))
        return;
    struct upload *upload = calloc(1, sizeof(*upload));
    upload->path = strdup(job->begin->path);
    upload->overwrite = job->begin->options->overwrite;
    job->begin_reply->upload = upload;
    job->begin_reply->in_order = store->in_order;
    pthread_mutex_lock(&store->mutex);
    store->uploads_open++;
    pthread_mutex_unlock(&store->mutex);
    succeed(op);
}

static void stat_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    if (strike(op, 0))
        return;
    pthread_mutex_lock(&store->mutex);
    struct wstore_object *object = wstore_find(store, job->stat->path);
    if (object && job->fault && job->fault->action == WSTORE_TOUCH)
        object->version++;
    if (object)
        describe(store, object, job->reply);
    pthread_mutex_unlock(&store->mutex);
    if (!object)
        end_with(op, ORBIT_E_NOT_FOUND, 0, "no such object");
    else
        succeed(op);
}

static void copy_work(void *self, orbit_op *op)
{
    struct wstore *store = self;
    struct job *job = op->state;
    if (strike(op, 0))
        return;
    pthread_mutex_lock(&store->mutex);
    struct wstore_object *object = wstore_find(store, job->copy->from);
    if (object) {
        char *bytes = malloc(object->length ? object->length : 1);
        memcpy(bytes, object->bytes, object->length);
        put_locked(store, job->copy->to, bytes, object->length);
    }
    pthread_mutex_unlock(&store->mutex);
    succeed(op);
}

/* ---- the table -------------------------------------------------------------------------------------- */

static void (*const works[])(void *self, orbit_op *op) = {
    [WSTORE_READ] = read_work,     [WSTORE_PUT] = put_work,     [WSTORE_BEGIN] = begin_work, [WSTORE_PART] = part_work,
    [WSTORE_FINISH] = finish_work, [WSTORE_ABORT] = abort_work, [WSTORE_STAT] = stat_work,   [WSTORE_COPY] = copy_work};

static void run(void *self, orbit_op *op)
{
    struct job *job = op->state;
    if (!job)
        return;
    works[job->kind](self, op);
}

static void resume(orbit_op *op)
{
    orbit_op_run(op, run);
}

static struct job *begin(struct wstore *store, orbit_op *op, enum wstore_operation kind)
{
    struct job *job = calloc(1, sizeof(*job));
    job->kind = kind;
    job->store = store;
    op->state = job;
    op->resume = resume;
    pthread_mutex_lock(&store->mutex);
    unsigned attempt = ++store->attempts[kind];
    for (unsigned i = 0; i < store->fault_count; i++) {
        struct wstore_fault *fault = &store->faults[i];
        if (fault->operation == kind && attempt >= fault->from && attempt - fault->from < fault->count)
            job->fault = fault;
    }
    pthread_mutex_unlock(&store->mutex);
    return job;
}

static orbit_status ws_open(void **self, orbit_host *host, const orbit_open_request *request,
                            orbit_capabilities *capabilities, orbit_error *error)
{
    (void)host;
    (void)error;
    *self = request->ctx;
    *capabilities = ((struct wstore *)request->ctx)->caps;
    return ORBIT_OK;
}

static void ws_close(void *self, orbit_op *op)
{
    (void)self;
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void ws_cancel(void *self, orbit_op *op)
{
    (void)self;
    orbit_op_run(op, run);
}

static bool ws_same_store(void *self, void *other)
{
    return self == other;
}

static void ws_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                    orbit_read_reply *reply)
{
    struct job *job = begin(self, op, WSTORE_READ);
    job->read = request;
    job->sink = sink;
    job->read_reply = reply;
    orbit_op_run(op, run);
}

static void ws_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    struct job *job = begin(self, op, WSTORE_PUT);
    job->put = request;
    job->body = body;
    job->reply = reply;
    orbit_op_run(op, run);
}

static void ws_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    struct job *job = begin(self, op, WSTORE_BEGIN);
    job->begin = request;
    job->begin_reply = reply;
    orbit_op_run(op, run);
}

static void ws_part(void *self, orbit_op *op, void *upload, const orbit_part *part, orbit_body *body,
                    orbit_part_reply *reply)
{
    struct wstore *store = self;
    struct job *job = begin(self, op, WSTORE_PART);
    (void)reply;
    job->upload = upload;
    job->part = *part;
    job->body = body;
    pthread_mutex_lock(&store->mutex);
    if (++store->parts_running > store->parts_peak)
        store->parts_peak = store->parts_running;
    pthread_mutex_unlock(&store->mutex);
    orbit_op_run(op, run);
}

static void ws_finish(void *self, orbit_op *op, void *upload, const orbit_finish_request *request,
                      orbit_metadata *reply)
{
    struct job *job = begin(self, op, WSTORE_FINISH);
    job->upload = upload;
    job->finish = request;
    job->reply = reply;
    orbit_op_run(op, run);
}

static void ws_abort(void *self, orbit_op *op, void *upload)
{
    struct job *job = begin(self, op, WSTORE_ABORT);
    job->upload = upload;
    orbit_op_run(op, run);
}

static void ws_release(void *self, void *handle)
{
    struct wstore *store = self;
    struct upload *upload = handle;
    for (uint32_t i = 0; i < upload->room; i++)
        free(upload->parts[i].bytes);
    free(upload->parts);
    free(upload->path);
    free(upload);
    pthread_mutex_lock(&store->mutex);
    store->uploads_open--;
    pthread_mutex_unlock(&store->mutex);
}

static void ws_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    struct job *job = begin(self, op, WSTORE_STAT);
    job->stat = request;
    job->reply = reply;
    orbit_op_run(op, run);
}

static void ws_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    struct job *job = begin(self, op, WSTORE_COPY);
    (void)reply;
    job->copy = request;
    orbit_op_run(op, run);
}

const orbit_backend_ops wstore_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "wstore",
    .open = ws_open,
    .close = ws_close,
    .cancel = ws_cancel,
    .same_store = ws_same_store,
    .stat = ws_stat,
    .read = ws_read,
    .put = ws_put,
    .begin = ws_begin,
    .part = ws_part,
    .finish = ws_finish,
    .abort = ws_abort,
    .release = ws_release,
    .copy = ws_copy,
};

const orbit_backend_ops wstore_poor_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "wpoor",
    .open = ws_open,
    .close = ws_close,
    .cancel = ws_cancel,
    .read = ws_read,
    .put = ws_put,
};
