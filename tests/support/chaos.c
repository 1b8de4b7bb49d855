/* SPDX-License-Identifier: Apache-2.0
 * The chaos backend. Each operation gets one of its own on the wrapped backend (`inner`), so that its end can be
 * held back or changed. Loop thread, but for sinks, bodies and resume. */
#include "support/chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chaos_backend {
    struct orb_backend core; /* of the wrapped backend: what inner operations are started on */
    struct chaos *chaos;
};

/* The arguments of any function of the table. */
struct args {
    const void *request;
    void *reply;
    void *handle;
    orbit_sink *sink;
    orbit_body *body;
    const char *path;
};

struct chaos_op {
    struct orb_op inner;
    orbit_op *outer;
    struct chaos_backend *backend;
    struct args args;
    orbit_copy_request copy;
    orbit_begin_request begin;
    orbit_part_copy_request part_copy;
    void (*start)(struct chaos_backend *backend, orbit_op *op, const struct args *args);
    void (*lose)(struct chaos_backend *backend, const struct args *args); /* frees a reply that is lost */
    struct orb_timer *timer;
    struct orb_message message, last_message;
    _Atomic bool posted;
    bool started, over, cancelled;
    unsigned refs;

    /* Decisions. */
    bool hang, fail_before, fail_after, cut, late_end;
    uint64_t cut_at;
    orbit_status status;
    uint32_t flags;
    size_t window;
    uint32_t starve_percent;
    _Atomic uint64_t dice;

    /* The windows. */
    orbit_sink sink;
    orbit_body body;
    _Atomic bool finished; /* inner is done: its windows must not be touched any more */
    size_t lent, shown;    /* by acquire and peek */
    bool lending;
    uint64_t moved;
    bool cut_now;
};

static void violate(struct chaos *chaos, const char *what)
{
    pthread_mutex_lock(&chaos->mutex);
    if (atomic_fetch_add(&chaos->violations, 1) == 0)
        snprintf(chaos->violation, sizeof(chaos->violation), "%s", what);
    pthread_mutex_unlock(&chaos->mutex);
}

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t roll(struct chaos_op *op)
{
    return mix(atomic_fetch_add(&op->dice, 0x632be59bd9b4e019ull));
}

static bool chance(struct chaos_op *op, uint32_t percent)
{
    return percent && roll(op) % 100 < percent;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

static void drop(struct chaos_op *op)
{
    if (--op->refs == 0)
        free(op);
}

static void deliver_last(struct orb_message *message)
{
    drop((struct chaos_op *)(void *)((char *)message - offsetof(struct chaos_op, last_message)));
}

/* resume() may come until the outer done was heard: the memory goes with a message that is delivered after it. */
static void end(struct chaos_op *op, orbit_status status, const orbit_error *error)
{
    struct chaos *chaos = op->backend->chaos;
    struct orb_loop *loop = op->backend->core.host->loop;
    orb_timer_cancel(op->timer);
    op->timer = NULL;
    op->over = true;
    if (atomic_exchange(&op->posted, true))
        op->refs++;
    atomic_fetch_sub(&chaos->in_flight, 1);
    atomic_fetch_add(&chaos->ended, 1);
    orbit_op_done(op->outer, status, error);
    orb_loop_post(loop, &op->last_message);
}

static void end_with_fault(struct chaos_op *op, const char *what, uint32_t more_flags)
{
    orbit_error error;
    orb_fail(&error, op->status, 0, "chaos: %s", what);
    error.flags |= op->flags | more_flags;
    end(op, op->status, &error);
}

static void on_inner_done(struct orb_op *inner)
{
    struct chaos_op *op = (struct chaos_op *)(void *)inner;
    atomic_store(&op->finished, true);
    if (op->lending)
        violate(op->backend->chaos, "an operation ended with room it had not committed");
    orbit_op_progress(op->outer, atomic_load(&inner->progress));
    if (op->late_end && inner->status >= 0 && ((orbit_page *)op->args.reply)->count)
        orbit_page_more(op->args.reply, true);
    if (op->cut_now && inner->status < 0) {
        end_with_fault(op, "the bytes were cut", 0);
    } else if (op->fail_after && inner->status >= 0) {
        if (op->lose)
            op->lose(op->backend, &op->args);
        end_with_fault(op, "the reply was lost", ORBIT_ERROR_MAYBE_DONE);
    } else {
        end(op, inner->status, &inner->error);
    }
}

static void on_inner_head(struct orb_op *inner)
{
    struct chaos_op *op = (struct chaos_op *)(void *)inner;
    atomic_fetch_add(&op->backend->chaos->heads, 1);
    orbit_op_head(op->outer);
}

/* ---- windows ---------------------------------------------------------------------------------------- */

static void post(struct chaos_op *op)
{
    if (!atomic_exchange(&op->posted, true))
        orb_loop_post(op->backend->core.host->loop, &op->message);
}

static void outer_resume(orbit_op *outer)
{
    post(outer->state);
}

static bool starve(struct chaos_op *op)
{
    if (!op->inner.op.resume || !chance(op, op->starve_percent))
        return false;
    post(op);
    return true;
}

/* How much may be lent now: by the window, and not beyond the cut. */
static size_t limit(struct chaos_op *op, size_t want)
{
    if (op->window) {
        size_t most = 1 + (size_t)(roll(op) % op->window);
        want = want && want < most ? want : most;
    }
    if (op->cut && (!want || want > op->cut_at - op->moved))
        want = (size_t)(op->cut_at - op->moved);
    return want;
}

static void *sink_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)sink - offsetof(struct chaos_op, sink));
    if (atomic_load(&op->finished) || op->lending)
        violate(op->backend->chaos, "acquire after done, or twice without a commit");
    if (starve(op))
        return NULL;
    size_t most = limit(op, want);
    void *memory = op->args.sink->acquire(op->args.sink, most, room);
    if (!memory)
        return NULL;
    if (most && *room > most)
        *room = most;
    op->lent = *room;
    op->lending = true;
    return memory;
}

static orbit_status sink_commit(orbit_sink *sink, size_t length)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)sink - offsetof(struct chaos_op, sink));
    if (!op->lending || length > op->lent)
        violate(op->backend->chaos, "a commit of more than was lent");
    op->lending = false;
    atomic_fetch_add(&op->backend->chaos->bytes_read, length);
    op->moved += length;
    orbit_status status = op->args.sink->commit(op->args.sink, length);
    if (status >= 0 && op->cut && op->moved >= op->cut_at) {
        op->cut_now = true;
        return op->status;
    }
    return status;
}

static orbit_status body_peek(orbit_body *body, const void **data, size_t *length)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)body - offsetof(struct chaos_op, body));
    if (atomic_load(&op->finished))
        violate(op->backend->chaos, "peek after done");
    if (op->cut && op->moved >= op->cut_at) {
        op->cut_now = true;
        return op->status;
    }
    if (starve(op))
        return ORBIT_AGAIN;
    orbit_status status = op->args.body->peek(op->args.body, data, length);
    if (status != ORBIT_OK)
        return status;
    size_t most = limit(op, *length);
    if (most < *length)
        *length = most;
    op->shown = *length;
    return status;
}

static void body_consume(orbit_body *body, size_t length)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)body - offsetof(struct chaos_op, body));
    if (length > op->shown)
        violate(op->backend->chaos, "more was consumed than was peeked");
    op->shown -= length < op->shown ? length : op->shown;
    op->moved += length;
    atomic_fetch_add(&op->backend->chaos->bytes_written, length);
    op->args.body->consume(op->args.body, length);
}

static orbit_status body_rewind(orbit_body *body)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)body - offsetof(struct chaos_op, body));
    op->moved = 0;
    op->shown = 0;
    return op->args.body->rewind(op->args.body);
}

/* ---- the beginning ---------------------------------------------------------------------------------- */

static void start_inner(struct chaos_op *op)
{
    struct chaos_backend *backend = op->backend;
    struct args args = op->args;
    op->inner.on_head = on_inner_head;
    orb_op_begin(&op->inner, &backend->core, on_inner_done);
    op->inner.op.deadline_ns = op->outer->deadline_ns;
    op->started = true;
    if (args.sink) {
        op->sink = (orbit_sink){sink_acquire, sink_commit, NULL};
        args.sink = &op->sink;
    }
    if (args.body) {
        bool whole = !op->window && !op->cut && !op->starve_percent;
        op->body = (orbit_body){
            body_peek, body_consume, body_rewind, args.body->length, whole ? args.body->whole : NULL, NULL};
        args.body = &op->body;
    }
    atomic_fetch_add(&backend->chaos->reached, 1);
    op->start(backend, &op->inner.op, &args);
}

static void on_delay(void *ctx)
{
    struct chaos_op *op = ctx;
    op->timer = NULL;
    start_inner(op);
}

/* A message to the operation: resume, or the end of one that never started. */
static void deliver(struct orb_message *message)
{
    struct chaos_op *op = (struct chaos_op *)(void *)((char *)message - offsetof(struct chaos_op, message));
    if (op->over) {
        drop(op);
        return;
    }
    atomic_store(&op->posted, false);
    if (op->cancelled && !op->started)
        end(op, ORBIT_E_CANCELLED, NULL);
    else if (op->started && op->inner.running && op->inner.op.resume)
        op->inner.op.resume(&op->inner.op);
}

static void decide(struct chaos_op *op, uint32_t kind, uint32_t *delay_ms)
{
    struct chaos *chaos = op->backend->chaos;
    struct chaos_plan plan;
    pthread_mutex_lock(&chaos->mutex);
    plan = chaos->plan;
    pthread_mutex_unlock(&chaos->mutex);

    uint64_t number = atomic_fetch_add(&chaos->started, 1);
    atomic_store(&op->dice, mix(plan.seed * 0x9e3779b97f4a7c15ull + number));
    op->status = plan.status ? plan.status : ORBIT_E_NETWORK;
    op->flags = plan.flags == UINT32_MAX ? 0 : plan.flags ? plan.flags : (uint32_t)ORBIT_ERROR_RETRIABLE;
    op->window = plan.window;
    op->late_end = plan.late_end && (kind & CHAOS_LIST) && op->args.handle; /* a page, then */
    op->starve_percent = plan.starve_percent;
    *delay_ms = 0;
    if (plan.operations && !(plan.operations & kind))
        return;
    if (atomic_fetch_add(&chaos->candidates, 1) < plan.skip)
        return;
    if (plan.delay_max_ms && chance(op, plan.delay_percent))
        *delay_ms = (uint32_t)(roll(op) % (plan.delay_max_ms + 1));
    if (plan.faults_max && atomic_load(&chaos->faults) >= plan.faults_max)
        return;
    op->hang = chance(op, plan.hang_percent);
    op->fail_before = chance(op, plan.fail_before_percent);
    op->fail_after = chance(op, plan.fail_after_percent);
    op->cut = (op->args.sink || op->args.body) && chance(op, plan.cut_percent);
    if (op->cut) {
        uint64_t span = op->args.body ? op->args.body->length : 1u << 20;
        op->cut_at = plan.cut_at ? plan.cut_at : 1 + roll(op) % (span ? span : 1);
    }
    if (op->hang || op->fail_before || op->fail_after || op->cut)
        atomic_fetch_add(&chaos->faults, 1);
}

static void count_in(struct chaos *chaos, uint32_t kind)
{
    uint64_t now = atomic_fetch_add(&chaos->in_flight, 1) + 1;
    uint64_t peak = atomic_load(&chaos->in_flight_peak);
    while (peak < now && !atomic_compare_exchange_weak(&chaos->in_flight_peak, &peak, now))
        ;
    atomic_fetch_add(&chaos->by_kind[__builtin_ctz(kind)], 1);
}

static void run(void *self, orbit_op *outer, uint32_t kind, struct args args,
                void (*start)(struct chaos_backend *, orbit_op *, const struct args *),
                void (*lose)(struct chaos_backend *, const struct args *))
{
    struct chaos_op *op = calloc(1, sizeof(*op));
    uint32_t delay_ms;
    op->outer = outer;
    op->backend = self;
    op->args = args;
    op->start = start;
    op->lose = lose;
    op->refs = 1;
    op->message.deliver = deliver;
    op->last_message.deliver = deliver_last;
    outer->state = op;
    outer->resume = outer_resume;
    count_in(op->backend->chaos, kind);
    decide(op, kind, &delay_ms);
    if (op->hang)
        return; /* until cancel() */
    if (op->fail_before)
        end_with_fault(op, "failed before it began", 0);
    else if (!delay_ms || !(op->timer = orb_timer_start(op->backend->core.host->loop, delay_ms, on_delay, op)))
        start_inner(op);
}

static void chaos_cancel(void *self, orbit_op *outer)
{
    (void)self;
    struct chaos_op *op = outer->state;
    if (!op) {
        violate(((struct chaos_backend *)self)->chaos, "cancel of an operation that was not started");
        return;
    }
    op->cancelled = true;
    if (op->started) {
        orb_op_cancel(&op->inner);
    } else {
        orb_timer_cancel(op->timer);
        op->timer = NULL;
        post(op);
    }
}

/* ---- open and close --------------------------------------------------------------------------------- */

static orbit_status chaos_open(void **self, orbit_host *host, const orbit_open_request *request,
                               orbit_capabilities *capabilities, orbit_error *error)
{
    struct chaos *chaos = request->ctx;
    struct chaos_backend *backend = calloc(1, sizeof(*backend));
    orbit_open_request inner = *request;
    inner.ctx = chaos->wrapped_ctx;
    backend->chaos = chaos;
    backend->core.ops = chaos->wrapped;
    backend->core.host = host;
    orbit_status status = chaos->wrapped->open(&backend->core.self, host, &inner, capabilities, error);
    if (status < 0) {
        free(backend);
        return status;
    }
    backend->core.caps = *capabilities;
    *self = backend;
    return ORBIT_OK;
}

struct closing {
    struct orb_op inner;
    struct chaos_backend *backend;
    orbit_op *outer;
};

static void on_closed(struct orb_op *inner)
{
    struct closing *closing = (struct closing *)(void *)inner;
    orbit_op_done(closing->outer, inner->status, &inner->error);
    free(closing->backend);
    free(closing);
}

static void chaos_close(void *self, orbit_op *outer)
{
    struct chaos_backend *backend = self;
    if (atomic_load(&backend->chaos->started) != atomic_load(&backend->chaos->ended) &&
        atomic_load(&backend->chaos->in_flight) == 0)
        violate(backend->chaos, "operations were lost");
    struct closing *closing = calloc(1, sizeof(*closing));
    closing->backend = backend;
    closing->outer = outer;
    orb_op_begin(&closing->inner, &backend->core, on_closed);
    backend->core.ops->close(backend->core.self, &closing->inner.op);
}

static bool chaos_same_store(void *self, void *other)
{
    struct chaos_backend *a = self, *b = other;
    return a->chaos == b->chaos && a->core.ops->same_store(a->core.self, b->core.self);
}

/* ---- the operations --------------------------------------------------------------------------------- */

static void lose_metadata(struct chaos_backend *backend, const struct args *args)
{
    (void)backend;
    orbit_metadata_release(args->reply);
}

static void lose_read(struct chaos_backend *backend, const struct args *args)
{
    (void)backend;
    orbit_metadata_release(&((orbit_read_reply *)args->reply)->metadata);
}

static void lose_upload(struct chaos_backend *backend, const struct args *args)
{
    orbit_begin_reply *reply = args->reply;
    backend->core.ops->release(backend->core.self, reply->upload);
    *reply = (orbit_begin_reply){0};
}

static void lose_cursor(struct chaos_backend *backend, const struct args *args)
{
    void **cursor = args->reply;
    backend->core.ops->list_end(backend->core.self, *cursor);
    *cursor = NULL;
}

/* WRAP(name, kind, parameters of the table's function, how they are packed, how they are unpacked, lost reply) */
#define PACK(...)   ((struct args){__VA_ARGS__})
#define UNPACK(...) __VA_ARGS__
#define WRAP(name, kind, parameters, packed, unpacked, lose)                              \
    static void start_##name(struct chaos_backend *b, orbit_op *op, const struct args *a) \
    {                                                                                     \
        b->core.ops->name(b->core.self, op, unpacked);                                    \
    }                                                                                     \
    static void chaos_##name(void *self, orbit_op *op, parameters)                        \
    {                                                                                     \
        run(self, op, kind, packed, start_##name, lose);                                  \
    }
#define REQUEST_ONLY(name, kind, type) \
    WRAP(name, kind, UNPACK(const type *request), PACK(.request = request), UNPACK(a->request), NULL)

WRAP(stat, CHAOS_STAT, UNPACK(const orbit_stat_request *request, orbit_metadata *reply),
     PACK(.request = request, .reply = reply), UNPACK(a->request, a->reply), lose_metadata)
WRAP(list_begin, CHAOS_LIST, UNPACK(const orbit_list_request *request, void **cursor),
     PACK(.request = request, .reply = cursor), UNPACK(a->request, a->reply), lose_cursor)
WRAP(list_page, CHAOS_LIST, UNPACK(void *cursor, orbit_page *page), PACK(.handle = cursor, .reply = page),
     UNPACK(a->handle, a->reply), NULL)
WRAP(read, CHAOS_READ, UNPACK(const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply),
     PACK(.request = request, .sink = sink, .reply = reply), UNPACK(a->request, a->sink, a->reply), lose_read)
WRAP(put, CHAOS_PUT, UNPACK(const orbit_put_request *request, orbit_body *body, orbit_metadata *reply),
     PACK(.request = request, .body = body, .reply = reply), UNPACK(a->request, a->body, a->reply), lose_metadata)
WRAP(part, CHAOS_PART, UNPACK(void *upload, const orbit_part *part, orbit_body *body, orbit_part_reply *reply),
     PACK(.handle = upload, .request = part, .body = body, .reply = reply),
     UNPACK(a->handle, a->request, a->body, a->reply), NULL)
WRAP(finish, CHAOS_FINISH, UNPACK(void *upload, const orbit_finish_request *request, orbit_metadata *reply),
     PACK(.handle = upload, .request = request, .reply = reply), UNPACK(a->handle, a->request, a->reply), lose_metadata)
WRAP(abort, CHAOS_ABORT, UNPACK(void *upload), PACK(.handle = upload), UNPACK(a->handle), NULL)
WRAP(parts, CHAOS_OTHER, UNPACK(const orbit_parts_request *request, orbit_more_reply *reply),
     PACK(.request = request, .reply = reply), UNPACK(a->request, a->reply), NULL)
WRAP(uploads, CHAOS_OTHER, UNPACK(const orbit_uploads_request *request, orbit_more_reply *reply),
     PACK(.request = request, .reply = reply), UNPACK(a->request, a->reply), NULL)
REQUEST_ONLY(remove, CHAOS_REMOVE, orbit_remove_request)
REQUEST_ONLY(mkdir, CHAOS_MKDIR, orbit_mkdir_request)
REQUEST_ONLY(rename, CHAOS_RENAME, orbit_rename_request)
REQUEST_ONLY(set_metadata, CHAOS_OTHER, orbit_set_metadata_request)
REQUEST_ONLY(symlink, CHAOS_OTHER, orbit_link_request)
REQUEST_ONLY(readlink, CHAOS_OTHER, orbit_bytes_request)
REQUEST_ONLY(xattr_get, CHAOS_OTHER, orbit_bytes_request)
REQUEST_ONLY(xattr_list, CHAOS_OTHER, orbit_bytes_request)
REQUEST_ONLY(xattr_set, CHAOS_OTHER, orbit_xattr_set_request)
WRAP(space, CHAOS_OTHER, UNPACK(const char *path, orbit_space_reply *reply), PACK(.path = path, .reply = reply),
     UNPACK(a->path, a->reply), NULL)

/* The source's backend is a chaos backend, too. */
static struct chaos_op *take_copy(orbit_op *op, const orbit_copy_request *request)
{
    struct chaos_op *whole = (struct chaos_op *)(void *)((char *)op - offsetof(struct chaos_op, inner.op));
    if (request) {
        whole->copy = *request;
        whole->copy.from_self = ((struct chaos_backend *)whole->copy.from_self)->core.self;
    }
    return whole;
}

static void start_copy(struct chaos_backend *backend, orbit_op *op, const struct args *args)
{
    struct chaos_op *whole = take_copy(op, args->request);
    backend->core.ops->copy(backend->core.self, op, &whole->copy, args->reply);
}

static void start_begin(struct chaos_backend *backend, orbit_op *op, const struct args *args)
{
    const orbit_begin_request *request = args->request;
    struct chaos_op *whole = take_copy(op, request->copy);
    whole->begin = *request;
    if (request->copy)
        whole->begin.copy = &whole->copy;
    backend->core.ops->begin(backend->core.self, op, &whole->begin, args->reply);
}

static void chaos_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    run(self, op, CHAOS_BEGIN, (struct args){.request = request, .reply = reply}, start_begin, lose_upload);
}

static void start_part_copy(struct chaos_backend *backend, orbit_op *op, const struct args *args)
{
    const orbit_part_copy_request *request = args->request;
    struct chaos_op *whole = take_copy(op, request->copy);
    whole->part_copy = (orbit_part_copy_request){&whole->copy, request->part};
    backend->core.ops->part_copy(backend->core.self, op, args->handle, &whole->part_copy, args->reply);
}

static void chaos_part_copy(void *self, orbit_op *op, void *upload, const orbit_part_copy_request *request,
                            orbit_part_reply *reply)
{
    run(self, op, CHAOS_PART, (struct args){.handle = upload, .request = request, .reply = reply}, start_part_copy,
        NULL);
}

static void chaos_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    run(self, op, CHAOS_COPY, (struct args){.request = request, .reply = reply}, start_copy, lose_metadata);
}

static void start_container_create(struct chaos_backend *backend, orbit_op *op, const struct args *args)
{
    (void)args;
    backend->core.ops->container_create(backend->core.self, op);
}

static void chaos_container_create(void *self, orbit_op *op)
{
    run(self, op, CHAOS_OTHER, (struct args){0}, start_container_create, NULL);
}

static void start_container_remove(struct chaos_backend *backend, orbit_op *op, const struct args *args)
{
    (void)args;
    backend->core.ops->container_remove(backend->core.self, op);
}

static void chaos_container_remove(void *self, orbit_op *op)
{
    run(self, op, CHAOS_OTHER, (struct args){0}, start_container_remove, NULL);
}

static void chaos_list_suspend(void *self, void *cursor, uint64_t position)
{
    struct chaos_backend *backend = self;
    backend->core.ops->list_suspend(backend->core.self, cursor, position);
}

static void chaos_list_end(void *self, void *cursor)
{
    struct chaos_backend *backend = self;
    backend->core.ops->list_end(backend->core.self, cursor);
}

static void chaos_release_upload(void *self, void *upload)
{
    struct chaos_backend *backend = self;
    backend->core.ops->release(backend->core.self, upload);
}

void chaos_init(struct chaos *chaos, const orbit_backend_ops *wrapped, void *wrapped_ctx)
{
    memset(chaos, 0, sizeof(*chaos));
    pthread_mutex_init(&chaos->mutex, NULL);
    chaos->wrapped = wrapped;
    chaos->wrapped_ctx = wrapped_ctx;
    chaos->table = (orbit_backend_ops){.size = sizeof(orbit_backend_ops),
                                       .name = "chaos",
                                       .open = chaos_open,
                                       .close = chaos_close,
                                       .cancel = chaos_cancel};
#define TAKE(name)                            \
    do {                                      \
        if (wrapped->name)                    \
            chaos->table.name = chaos_##name; \
    } while (0)
    TAKE(same_store);
    TAKE(stat);
    TAKE(list_begin);
    TAKE(list_page);
    TAKE(list_suspend);
    TAKE(list_end);
    TAKE(read);
    TAKE(put);
    TAKE(begin);
    TAKE(part);
    TAKE(part_copy);
    TAKE(finish);
    TAKE(abort);
    TAKE(parts);
    TAKE(uploads);
    TAKE(remove);
    TAKE(mkdir);
    TAKE(rename);
    TAKE(copy);
    TAKE(set_metadata);
    TAKE(symlink);
    TAKE(readlink);
    TAKE(xattr_get);
    TAKE(xattr_list);
    TAKE(xattr_set);
    TAKE(space);
    TAKE(container_create);
    TAKE(container_remove);
#undef TAKE
    if (wrapped->release)
        chaos->table.release = chaos_release_upload;
}

void chaos_release(struct chaos *chaos)
{
    pthread_mutex_destroy(&chaos->mutex);
}

void chaos_plan(struct chaos *chaos, const struct chaos_plan *plan)
{
    pthread_mutex_lock(&chaos->mutex);
    chaos->plan = *plan;
    pthread_mutex_unlock(&chaos->mutex);
}
