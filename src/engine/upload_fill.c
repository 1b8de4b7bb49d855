/* SPDX-License-Identifier: Apache-2.0
 * Part buffers between one producer and the loop: the plan, and the loop's side. The mutex guards the queue of buffers;
 * a buffer itself belongs to the producer (upload_lend.c) while it is `current`, and to the loop once it is queued. */
#include "base/error.h"
#include "base/least.h"
#include "base/mem.h"
#include "engine/admission.h"
#include "engine/upload_buffer.h"

#define RANDOM_CHUNK ((uint64_t)1 << 20) /* of stores where small parts cost nothing */
#define PARALLEL     8
#define PARALLEL_MAX 256

/* ---- what options, handle and store make together ---------------------------------------------------- */

uint32_t orb_upload_parallel(const struct orb_backend *backend, const orbit_write_options *options)
{
    uint32_t parallel = options && options->parallel_operations ? options->parallel_operations
                        : backend->options.parallel_operations  ? backend->options.parallel_operations
                        : backend->caps.parallel_default        ? backend->caps.parallel_default
                                                                : PARALLEL;
    return parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX;
}

uint32_t orb_upload_most(const struct orb_backend *backend, const orbit_write_options *options)
{
    uint32_t usual = orb_upload_parallel(backend, options);
    if (options && options->parallel_operations)
        return usual;
    uint32_t most = orb_flow_most(backend);
    return most > usual ? most : usual;
}

/* A store keeps a CRC that it is told of; in an upload of parts one word at the beginning does, in a single put the
 * value has to come along. */
bool orb_upload_reads_twice(const struct orb_backend *backend, const orbit_write_options *options, uint64_t total)
{
    switch (options->checksum) {
    case ORBIT_CHECKSUM_SHA256:
    case ORBIT_CHECKSUM_SHA1:
    case ORBIT_CHECKSUM_MD5:
        return !backend->caps.random_access;
    case ORBIT_CHECKSUM_CRC32C:
    case ORBIT_CHECKSUM_CRC32:
        return backend->caps.reads_twice || (!backend->caps.random_access && total <= backend->caps.put_max);
    default:
        return backend->caps.reads_twice;
    }
}

uint64_t orb_upload_chunk(const struct orb_backend *backend, const orbit_write_options *options)
{
    if (options && options->chunk_size)
        return options->chunk_size;
    uint64_t usual = backend->caps.chunk_default ? backend->caps.chunk_default : ORB_PARTS_CHUNK;
    return backend->options.chunk_size == usual ? 0 : backend->options.chunk_size;
}

bool orb_backend_in_crumbs(const struct orb_backend *backend, const orbit_write_options *options)
{
    return backend->caps.stream_chunk && backend->caps.stream_parallel && !backend->fixed_parallel &&
           !(options && options->parallel_operations) && !orb_upload_chunk(backend, options);
}

struct orb_parts_rule orb_fill_rule(const struct orb_backend *backend, const orbit_write_options *options)
{
    const orbit_capabilities *caps = &backend->caps;
    uint64_t half = backend->host->budget.limit / 2, memory_max = half / 2;
    if (caps->part_min > memory_max && caps->part_min <= half)
        memory_max = caps->part_min;
    uint64_t chunk = orb_upload_chunk(backend, options);
    if (!chunk && caps->random_access)
        chunk = RANDOM_CHUNK;
    else if (orb_backend_in_crumbs(backend, options))
        chunk = caps->stream_chunk;
    struct orb_parts_rule rule = orb_parts_rule_of(caps, chunk, memory_max);
    if (!caps->part_min || !backend->ops->begin) { /* one put is all there is */
        rule.part_min = 1;
        rule.part_max = caps->put_max;
        rule.count_max = 1;
        rule.memory_max = half - orb_smaller(half / 2, ORB_FILL_FIRST_BYTES);
        rule.chunk = rule.memory_max;
    }
    return rule;
}

/* ---- the loop ----------------------------------------------------------------------------------------- */

static void run(struct orb_fill *fill);

static void wake(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    bool wanted = fill->locked.want_wake;
    fill->locked.want_wake = false;
    pthread_mutex_unlock(&fill->mutex);
    if (wanted && fill->wake)
        fill->wake(fill->ctx);
}

static void buffer_begin(struct orb_upload_part *part)
{
    struct orb_fill_buffer *buffer = (struct orb_fill_buffer *)part;
    buffer->body.at = 0;
}

static void buffer_done(struct orb_upload_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_fill_buffer *buffer = (struct orb_fill_buffer *)part;
    struct orb_fill *fill = buffer->fill;
    (void)error;
    fill->in_flight--;
    if (status >= 0)
        orb_flow_moved(fill->upload.backend, part->part.length);
    pthread_mutex_lock(&fill->mutex);
    fill->locked.sending--;
    fill->locked.buffers--;
    if (status >= 0 && !fill->locked.finished && buffer->room == buffer->goal &&
        !orb_admission_pressed(fill->upload.backend->host)) {
        buffer->next = fill->locked.spare;
        fill->locked.spare = buffer;
    } else {
        orb_fill_buffer_free(fill, buffer);
    }
    pthread_mutex_unlock(&fill->mutex);
    if (status >= 0 && fill->moved)
        fill->moved(fill->ctx, fill->upload.bytes);
    wake(fill);
    run(fill);
}

static void send_buffer(struct orb_fill *fill, struct orb_fill_buffer *buffer)
{
    memset(&buffer->send.call, 0, sizeof(buffer->send.call));
    orb_memory_body_init(&buffer->body, buffer->bytes, buffer->length);
    buffer->send.part.length = buffer->length;
    buffer->send.body = &buffer->body.body;
    buffer->send.begin = buffer_begin;
    buffer->send.done = buffer_done;
    fill->in_flight++;
    orb_upload_send(&fill->upload, &buffer->send);
}

static struct orb_fill_buffer *dequeue(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    struct orb_fill_buffer *buffer = fill->locked.queue;
    if (buffer) {
        fill->locked.queue = buffer->next;
        if (!fill->locked.queue)
            fill->locked.queue_last = &fill->locked.queue;
        buffer->next = NULL;
    }
    pthread_mutex_unlock(&fill->mutex);
    return buffer;
}

/* All bytes are there and fit into one put: no upload in parts. */
static struct orb_fill_buffer *alone(struct orb_fill *fill, bool *empty)
{
    const struct orb_backend *backend = fill->upload.backend;
    struct orb_fill_buffer *buffer = NULL;
    pthread_mutex_lock(&fill->mutex);
    if (fill->locked.finished && fill->locked.offset <= backend->caps.put_max && backend->ops->put) {
        struct orb_fill_buffer **place = fill->locked.held ? &fill->locked.held : &fill->locked.current;
        /* The producer may have filled several since the queue was looked at. */
        bool all = fill->locked.offset == (*place ? (*place)->length : 0);
        if (all)
            buffer = *place;
        if (buffer) {
            *place = NULL;
            fill->locked.sending++;
        }
        *empty = all && !buffer;
    }
    pthread_mutex_unlock(&fill->mutex);
    return buffer;
}

/* A stream of no bytes whose first buffer was never lent. */
static struct orb_fill_buffer *empty_buffer(struct orb_fill *fill)
{
    struct orb_fill_buffer *buffer = orb_calloc(1, sizeof(*buffer));
    if (!buffer) {
        orbit_error error;
        orb_upload_stop(&fill->upload, orb_fail_memory(&error), &error);
        return NULL;
    }
    buffer->fill = fill;
    buffer->send.part.number = 1;
    pthread_mutex_lock(&fill->mutex);
    fill->locked.sending++;
    fill->locked.buffers++;
    pthread_mutex_unlock(&fill->mutex);
    return buffer;
}

/* The last part, whatever its length. Returns whether there is anything to be sent in parts. */
static bool gather(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    if (fill->locked.finished) {
        orb_fill_enqueue_held(fill);
        struct orb_fill_buffer *last = fill->locked.current;
        fill->locked.current = NULL;
        if (last && last->length > 0) {
            orb_fill_enqueue(fill, last);
        } else if (last) {
            fill->locked.buffers--;
            orb_fill_buffer_free(fill, last);
        }
    }
    bool any = fill->locked.queue || fill->locked.finished;
    pthread_mutex_unlock(&fill->mutex);
    return any;
}

static void run_parts(struct orb_fill *fill)
{
    while (!fill->upload.stopping && fill->in_flight < orb_upload_share(&fill->upload, fill->parallel)) {
        struct orb_fill_buffer *buffer = dequeue(fill);
        if (!buffer)
            break;
        send_buffer(fill, buffer);
    }
    pthread_mutex_lock(&fill->mutex);
    bool all = fill->locked.finished && fill->locked.sending == 0 && !fill->locked.current && !fill->locked.held;
    uint64_t size = fill->locked.offset;
    pthread_mutex_unlock(&fill->mutex);
    if (all && !fill->finishing && !fill->upload.stopping) {
        fill->finishing = true;
        orb_upload_finish(&fill->upload, size, fill->upload.parts);
    }
}

static void run(struct orb_fill *fill)
{
    if (fill->over || fill->upload.stopping || fill->single)
        return;
    pthread_mutex_lock(&fill->mutex);
    orbit_status status = fill->locked.status;
    orbit_error error = fill->locked.error;
    bool queued = fill->locked.queue != NULL;
    pthread_mutex_unlock(&fill->mutex);
    if (status < 0) {
        orb_upload_stop(&fill->upload, status, &error);
        return;
    }
    if (!fill->begun && !queued) {
        bool empty = false;
        struct orb_fill_buffer *buffer = alone(fill, &empty);
        if (empty)
            buffer = empty_buffer(fill);
        if (buffer) {
            fill->single = true;
            send_buffer(fill, buffer);
        }
        if (buffer || empty)
            return;
    }
    if (!gather(fill))
        return;
    if (!fill->begun) {
        fill->begun = true;
        orb_upload_begin(&fill->upload, fill->size_hint, fill->parts.base);
    } else if (fill->opened) {
        run_parts(fill);
    }
}

static void tell_end(struct orb_fill *fill)
{
    orbit_error error = fill->locked.error; /* does not change any more */
    fill->ended(fill->ctx, fill->end_status, fill->end_status < 0 ? &error : NULL);
}

static void deliver(struct orb_message *message)
{
    struct orb_fill *fill = (struct orb_fill *)((char *)message - offsetof(struct orb_fill, message));
    pthread_mutex_lock(&fill->mutex);
    fill->locked.message_out = false;
    pthread_mutex_unlock(&fill->mutex);
    if (fill->over)
        tell_end(fill);
    else
        run(fill);
}

static void opened(struct orb_upload *upload)
{
    struct orb_fill *fill = upload->ctx;
    fill->opened = true;
    run(fill);
}

static void ended(struct orb_upload *upload, orbit_status status, const orbit_error *error)
{
    struct orb_fill *fill = upload->ctx;
    pthread_mutex_lock(&fill->mutex);
    fill->over = true;
    if (status < 0 && fill->locked.status >= 0) {
        fill->locked.status = status;
        fill->locked.error = *error;
    }
    /* current may be in the producer's hands: it goes with the fill */
    orb_fill_free_chain(fill, &fill->locked.queue);
    fill->locked.queue_last = &fill->locked.queue;
    orb_fill_free_chain(fill, &fill->locked.spare);
    orb_fill_give(fill, 0);
    fill->end_status = status;
    bool last_word = !fill->locked.message_out; /* else the message that is on its way has it */
    pthread_mutex_unlock(&fill->mutex);
    wake(fill);
    if (last_word)
        tell_end(fill);
}

orbit_status orb_fill_init(struct orb_fill *fill, struct orb_backend *backend, const char *path,
                           const orbit_write_options *options, const orbit_metadata *preserve, uint64_t size_hint,
                           orbit_error *error)
{
    struct orb_parts_rule rule = orb_fill_rule(backend, options);
    orbit_status status = orb_parts_plan(&fill->parts, &rule, size_hint, false, path, error);
    if (status < 0)
        return status;
    int number = pthread_mutex_init(&fill->mutex, NULL);
    if (number)
        return orb_fail_errno(error, number, "cannot make a mutex");
    fill->ready_to_use = true;
    fill->size_hint = size_hint;
    fill->share = backend->host->budget.limit / 2;
    fill->parallel = orb_upload_most(backend, options);
    if (orb_backend_in_crumbs(backend, options)) {
        fill->parallel = backend->caps.stream_parallel;
        fill->first = orb_smaller(backend->options.chunk_size, fill->share / 2);
    }
    fill->locked.queue_last = &fill->locked.queue;
    fill->locked.next_number = 1;
    uint64_t least = orb_parts_least(&fill->parts, 1, 0);
    fill->reserve =
        least > ORB_FILL_FIRST_BYTES ? orb_smaller(least + ORB_FILL_FIRST_BYTES, fill->share) : ORB_FILL_FIRST_BYTES;
    fill->message.deliver = deliver;
    fill->upload.backend = backend;
    fill->upload.path = path;
    fill->upload.options = options;
    fill->upload.preserve = preserve;
    fill->upload.opened = opened;
    fill->upload.ended = ended;
    fill->upload.ctx = fill;
    orb_upload_init(&fill->upload);
    return ORBIT_OK;
}

void orb_fill_detach(struct orb_fill *fill)
{
    if (!fill->ready_to_use)
        return;
    pthread_mutex_lock(&fill->mutex);
    if (!fill->locked.detached && fill->locked.charged)
        orb_budget_give(&fill->upload.backend->host->budget, fill->locked.charged);
    fill->locked.charged = 0;
    fill->locked.detached = true;
    pthread_mutex_unlock(&fill->mutex);
}

void orb_fill_release(struct orb_fill *fill)
{
    if (!fill->ready_to_use)
        return;
    pthread_mutex_lock(&fill->mutex);
    fill->over = true;
    orb_fill_buffer_free(fill, fill->locked.current);
    orb_fill_buffer_free(fill, fill->locked.held);
    fill->locked.current = fill->locked.held = NULL;
    orb_fill_free_chain(fill, &fill->locked.queue);
    orb_fill_free_chain(fill, &fill->locked.spare);
    orb_fill_give(fill, 0);
    pthread_mutex_unlock(&fill->mutex);
    pthread_mutex_destroy(&fill->mutex);
    orbit_metadata_release(&fill->upload.metadata);
    fill->ready_to_use = false;
}

void orb_fill_admit(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    fill->locked.admitted = true;
    fill->locked.charged = fill->reserve;
    pthread_mutex_unlock(&fill->mutex);
    wake(fill);
}

void orb_fill_stop(struct orb_fill *fill, orbit_status status, const orbit_error *error)
{
    orb_upload_stop(&fill->upload, status, error);
}
