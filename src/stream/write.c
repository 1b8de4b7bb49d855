/* SPDX-License-Identifier: Apache-2.0
 * orbit_write: a source is read for the caller. Files go by their extents (engine/copy), memory by slices
 * (engine/upload_memory), everything else through part buffers (engine/upload_fill), which the calling thread fills
 * in the blocking form, a thread of the task's own otherwise, and the loop itself from an orbit_reader. */
#include <orbit/task.h>

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/task.h"
#include "engine/copy.h"
#include "engine/upload_memory.h"
#include "stream/options.h"
#include "stream/reader.h"
#include "stream/source.h"

#define JOIN_BYTES ((size_t)4 << 20) /* a reader's bytes in one turn of the loop */

enum mode { MODE_UNDECIDED, MODE_FILL, MODE_COPY, MODE_MEMORY };

struct write_task {
    struct orbit_task task;
    struct orbit_backend *backend;
    orbit_write_options options;
    void *block;
    char *path, *source_path;
    orbit_source source;
    struct orb_source_file file;
    uint64_t size_hint;
    orbit_write_result *result;
    enum mode mode;
    bool on_caller; /* the calling thread reads the source */
    int stop_fd;    /* readable: who reads from a descriptor need not wait for it any more; -1: it is no descriptor */

    struct orb_fill fill;
    struct orb_admission admission;
    struct orb_memory_upload memory;
    struct orb_copy copy;

    /* Loop. */
    bool begun, fill_over, stopping;
    orbit_status status;
    orbit_error error;

    /* The producer: a thread, the caller, or (a reader) the loop. */
    pthread_t thread;
    bool has_thread;
    bool producer_over;         /* loop */
    orbit_status source_status; /* producer's, until producer_message */
    orbit_error source_error;
    struct orb_message begin_message, producer_message;
    struct orb_gate gate;
    pthread_cond_t woken_cond; /* a thread of ours never drives an external loop */
    bool woken;                /* gate */
    bool refused;              /* gate: never started, the producer has nothing to wait for */
    bool decided;              /* gate: the loop knows the mode */

    struct orb_message join_message;
    bool join_posted;
};

static struct write_task *write_of(void *message, size_t offset)
{
    return (struct write_task *)(void *)((char *)message - offset);
}

/* ---- the end: loop ------------------------------------------------------------------------------------ */

static void end(struct write_task *write, uint64_t bytes, uint32_t parts, bool multipart, orbit_metadata *metadata)
{
    if (write->status >= 0) {
        atomic_fetch_add(&write->task.client->bytes_written, bytes);
        orb_task_moved(&write->task, bytes, bytes, true);
        orb_write_result_fill(write->result, bytes, parts, multipart, metadata);
    }
    orb_fill_release(&write->fill); /* the memory now, not when the task is freed */
    orb_memory_upload_release(&write->memory);
    orb_copy_release(&write->copy);
    orb_task_end(&write->task, write->status, &write->error);
}

static void fail(struct write_task *write, orbit_status status, const orbit_error *error)
{
    if (write->status < 0)
        return;
    write->status = status;
    if (error)
        write->error = *error;
    else
        orb_fail(&write->error, status, 0, "writing '%s' was %s", write->path,
                 status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
}

/* Both the upload and the one who reads the source have let go. */
static void settle(struct write_task *write)
{
    orb_gate_lock(&write->gate);
    bool turn_due = write->join_posted;
    orb_gate_unlock(&write->gate);
    if (turn_due || !write->producer_over || (write->mode == MODE_FILL && write->begun && !write->fill_over))
        return;
    if (write->has_thread)
        pthread_join(write->thread, NULL); /* telling the loop was the last it did */
    write->has_thread = false;
    struct orb_upload *upload = &write->fill.upload;
    end(write, upload->bytes, upload->parts, upload->multipart, &upload->metadata);
}

/* A descriptor may be silent for long: whoever waits for it hears that nothing more is wanted. */
static void let_source_go(struct write_task *write)
{
    if (write->stop_fd >= 0)
        (void)eventfd_write(write->stop_fd, 1);
}

static void fill_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    write->fill_over = true;
    if (status < 0)
        fail(write, status, error);
    let_source_go(write);
    if (write->source.kind == ORB_SOURCE_READER) {
        orb_reader_forget(write->source.ctx);
        write->producer_over = true;
    }
    settle(write);
}

static void fill_moved(void *ctx, uint64_t bytes)
{
    struct write_task *write = ctx;
    orb_task_moved(&write->task, bytes, write->size_hint, false);
}

/* ---- other engines ------------------------------------------------------------------------------------ */

static void copy_moved(void *ctx, uint64_t done, uint64_t total)
{
    struct write_task *write = ctx;
    orb_task_moved(&write->task, done, total, false);
}

static void copy_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    struct orb_copy *copy = &write->copy;
    if (status < 0)
        fail(write, status, error);
    else if (write->source.kind == ORB_SOURCE_FD) /* as if it had been read in order */
        (void)lseek(write->source.fd, (off_t)(write->file.offset + copy->bytes), SEEK_SET);
    end(write, copy->bytes, copy->parts, copy->multipart, &copy->target);
}

static void memory_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    struct orb_upload *upload = &write->memory.upload;
    if (status < 0)
        fail(write, status, error);
    end(write, upload->bytes, upload->parts, upload->multipart, &upload->metadata);
}

static orbit_status prepare_copy(struct write_task *write, orbit_error *error)
{
    struct orbit_backend *local = NULL;
    orbit_status status = orb_client_local(write->task.client, &local, error);
    if (status < 0)
        return status;
    struct orb_copy *copy = &write->copy;
    copy->from = &local->core;
    copy->to = &write->backend->core;
    copy->from_path = write->file.path;
    copy->to_path = write->path;
    copy->tally = &write->task.tally;
    copy->offset = write->file.offset;
    copy->length = ORBIT_TO_END;
    copy->length_hint = ORBIT_SIZE_UNKNOWN;
    copy->options = &write->options;
    copy->verify = true;
    copy->moved = copy_moved;
    copy->ended = copy_ended;
    copy->ctx = write;
    write->mode = MODE_COPY;
    return ORBIT_OK;
}

static void fill_wake(void *ctx);

static orbit_status prepare_fill(struct write_task *write, orbit_error *error)
{
    write->fill.wake = fill_wake;
    write->fill.moved = fill_moved;
    write->fill.ended = fill_ended;
    write->fill.ctx = write;
    write->mode = MODE_FILL;
    if (write->source.kind == ORB_SOURCE_PATH || write->source.kind == ORB_SOURCE_FD) {
        write->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (write->stop_fd < 0)
            return orb_fail_errno(error, errno, "cannot write '%s'", write->path);
    }
    write->fill.upload.tally = &write->task.tally;
    return orb_fill_init(&write->fill, &write->backend->core, write->path, &write->options, NULL, write->size_hint,
                         error);
}

/* Which of them it is. Any thread; may block where the source is a path or descriptor. */
static orbit_status decide(struct write_task *write, orbit_error *error)
{
    orbit_source *source = &write->source;
    if (source->kind == ORB_SOURCE_MEMORY) {
        write->mode = MODE_MEMORY;
        write->memory.moved = fill_moved;
        write->memory.ended = memory_ended;
        write->memory.ctx = write;
        write->memory.upload.tally = &write->task.tally;
        return orb_memory_upload_init(&write->memory, &write->backend->core, write->path, &write->options,
                                      source->bytes, (size_t)source->length, error);
    }
    if (source->kind == ORB_SOURCE_PATH || source->kind == ORB_SOURCE_FD) {
        orbit_status status = orb_source_look(&write->file, source->kind, write->source_path, source->fd, error);
        if (status < 0)
            return status;
        if (write->file.extents)
            return prepare_copy(write, error);
    }
    return prepare_fill(write, error);
}

/* ---- the producer on a thread --------------------------------------------------------------------------- */

static void fill_wake(void *ctx)
{
    struct write_task *write = ctx;
    orb_gate_lock(&write->gate);
    write->woken = true;
    pthread_cond_broadcast(&write->woken_cond);
    orb_gate_signal(&write->gate);
    if (write->source.kind == ORB_SOURCE_READER && !write->join_posted) {
        write->join_posted = true;
        orb_loop_post(write->task.client->loop, &write->join_message);
    }
    orb_gate_unlock(&write->gate);
}

/* False: nothing will ever be wanted from the source. */
static bool wait_woken(struct write_task *write)
{
    orb_gate_lock(&write->gate);
    while (!write->woken) {
        if (write->on_caller)
            orb_gate_wait(&write->gate);
        else
            pthread_cond_wait(&write->woken_cond, &write->gate.mutex);
    }
    write->woken = false;
    bool wanted = !write->refused;
    orb_gate_unlock(&write->gate);
    return wanted;
}

static orbit_status read_source(struct write_task *write, void *room, size_t bytes, size_t *length, orbit_error *error)
{
    *length = 0;
    if (write->source.kind != ORB_SOURCE_FUNCTION)
        return orb_source_read_fd(write->file.fd, write->stop_fd,
                                  write->source_path ? write->source_path : "the descriptor", room, bytes, length,
                                  error);
    orb_error_clear(error);
    orbit_status status = write->source.read(write->source.ctx, room, bytes, length, error);
    if (status == ORBIT_OK && *length > bytes)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the source says it read %zu bytes into a buffer of %zu", *length,
                        bytes);
    if (status < 0 && error->status >= 0)
        orb_fail(error, status, 0, "the source failed: %s", orbit_status_text(status));
    if (status > 0 && status != ORBIT_END)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the source returned %d, which means nothing here", (int)status);
    return status == ORBIT_OK && *length == 0 ? ORBIT_END : status;
}

/* Returns what the source failed with; an upload that failed is known to the loop. */
static orbit_status produce(struct write_task *write, orbit_error *error)
{
    for (;;) {
        void *room = NULL;
        size_t bytes = 0, length = 0;
        orbit_status status = orb_fill_lend(&write->fill, &room, &bytes, NULL);
        if (status == ORBIT_AGAIN && wait_woken(write))
            continue;
        if (status != ORBIT_OK)
            return ORBIT_OK;
        status = read_source(write, room, bytes, &length, error);
        if (status == ORBIT_END) {
            orb_fill_finish(&write->fill);
            return ORBIT_OK;
        }
        if (status < 0)
            return status;
        if (orb_fill_commit(&write->fill, length, NULL) < 0)
            return ORBIT_OK;
    }
}

/* Tells the loop that the source will not be touched any more. */
static void leave(struct write_task *write, orbit_status status)
{
    write->source_status = status;
    orb_loop_post(write->task.client->loop, &write->producer_message);
}

static void *run_thread(void *ctx)
{
    struct write_task *write = ctx;
    orbit_status status = ORBIT_OK;
    if (write->mode == MODE_UNDECIDED) {
        status = decide(write, &write->source_error);
        if (status >= 0 && write->mode == MODE_FILL)
            orb_loop_post(write->task.client->loop, &write->begin_message);
    }
    if (status >= 0 && write->mode == MODE_FILL)
        status = produce(write, &write->source_error);
    leave(write, status);
    return NULL;
}

static void producer_left(struct orb_message *message)
{
    struct write_task *write = write_of(message, offsetof(struct write_task, producer_message));
    write->producer_over = true;
    if (write->source_status < 0) {
        fail(write, write->source_status, &write->source_error);
        if (write->begun)
            orb_fill_stop(&write->fill, write->status, &write->error);
    }
    if (write->mode == MODE_COPY && write->status >= 0) { /* the look is over, the file is known */
        pthread_join(write->thread, NULL);
        write->has_thread = false;
        write->begun = true;
        orb_copy_start(&write->copy);
        return;
    }
    settle(write);
}

/* ---- the producer on the loop: a reader ------------------------------------------------------------------ */

static void reader_ready(void *ctx)
{
    fill_wake(ctx); /* as if there were room again: look once more, from the top of the loop */
}

static void join_turn(struct write_task *write)
{
    orbit_reader *reader = write->source.ctx;
    for (size_t moved = 0; moved < JOIN_BYTES;) {
        void *room = NULL;
        const void *bytes = NULL;
        size_t space = 0, length = 0;
        orbit_error error;
        orbit_status status = orb_fill_lend(&write->fill, &room, &space, NULL);
        if (status != ORBIT_OK)
            return; /* wake() or ended() follows */
        status = orb_reader_peek(reader, &bytes, &length, reader_ready, write, &error);
        if (status == ORBIT_AGAIN)
            return;
        if (status == ORBIT_END) {
            orb_fill_finish(&write->fill);
            return;
        }
        if (status < 0) {
            fail(write, status, &error);
            orb_fill_stop(&write->fill, status, &error);
            return;
        }
        size_t take = length < space ? length : space;
        memcpy(room, bytes, take);
        orb_reader_consume(reader, take);
        moved += take;
        if (orb_fill_commit(&write->fill, take, NULL) < 0)
            return;
    }
    fill_wake(write); /* let others have their turn */
}

static void join_delivered(struct orb_message *message)
{
    struct write_task *write = write_of(message, offsetof(struct write_task, join_message));
    orb_gate_lock(&write->gate);
    write->join_posted = false;
    orb_gate_unlock(&write->gate);
    if (!write->fill_over && write->status >= 0)
        join_turn(write);
    else
        settle(write);
}

/* ---- the task -------------------------------------------------------------------------------------------- */

static void admitted(void *ctx)
{
    struct write_task *write = ctx;
    orb_fill_admit(&write->fill);
    if (write->source.kind == ORB_SOURCE_READER)
        fill_wake(write);
}

static void begin_fill(struct write_task *write)
{
    write->begun = true;
    if (write->status < 0) /* stopped meanwhile */
        orb_fill_stop(&write->fill, write->status, &write->error);
    else if (orb_admission_ask(&write->admission, &write->task.client->host, write->fill.reserve, admitted, write))
        admitted(write);
}

static void begin_delivered(struct orb_message *message)
{
    begin_fill(write_of(message, offsetof(struct write_task, begin_message)));
}

static void start(struct orbit_task *task)
{
    struct write_task *write = (struct write_task *)task;
    if (write->mode == MODE_MEMORY) {
        write->begun = true;
        orb_memory_upload_start(&write->memory);
        return;
    }
    if (write->mode == MODE_COPY) {
        write->begun = true;
        orb_copy_start(&write->copy);
        return;
    }
    if (write->mode == MODE_FILL)
        begin_fill(write);
    if (write->on_caller || write->source.kind == ORB_SOURCE_READER)
        return;
    int number = orb_thread_start(&write->thread, "orbit-source", run_thread, write);
    write->has_thread = number == 0;
    if (number == 0)
        return;
    fail(write, orb_fail_errno(&write->error, number, "cannot start a thread for the source"), &write->error);
    write->producer_over = true;
    if (write->begun)
        orb_fill_stop(&write->fill, write->status, &write->error);
    settle(write);
}

/* The producer on the caller's thread is waiting for room, or soon will be: it leaves, and then the task ends. */
static void refused(struct orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct write_task *write = (struct write_task *)task;
    fail(write, status, error);
    if (!write->on_caller || write->mode != MODE_FILL) {
        orb_task_end(task, write->status, &write->error);
        return;
    }
    orb_gate_lock(&write->gate);
    write->refused = true;
    orb_gate_unlock(&write->gate);
    fill_wake(write);
}

static void stop(struct orbit_task *task, orbit_status status)
{
    struct write_task *write = (struct write_task *)task;
    fail(write, status, NULL);
    orb_admission_withdraw(&write->admission);
    if (!write->begun)
        return; /* the thread is still looking at its source: what it finds will not be begun */
    if (write->mode == MODE_MEMORY) {
        orb_memory_upload_stop(&write->memory, write->status, &write->error);
    } else if (write->mode == MODE_COPY) {
        orb_copy_stop(&write->copy, write->status, &write->error);
    } else {
        let_source_go(write);
        orb_fill_stop(&write->fill, write->status, &write->error);
    }
}

static void release(struct orbit_task *task)
{
    struct write_task *write = (struct write_task *)task;
    orb_source_close(&write->source);
    orb_source_file_release(&write->file);
    if (write->stop_fd >= 0)
        close(write->stop_fd);
    orb_fill_release(&write->fill);
    orb_memory_upload_release(&write->memory);
    orb_copy_release(&write->copy);
    orb_gate_release(&write->gate);
    pthread_cond_destroy(&write->woken_cond);
    orb_write_options_drop(&write->options, &write->block);
    orb_free(write->path);
    orb_free(write->source_path);
    orb_free(write);
}

static const struct orb_task_kind write_kind = {"orbit_write", start, refused, stop, release};

static orbit_status keep(struct write_task *write, orbit_backend *backend, const char *path, uint64_t size_hint,
                         const orbit_write_options *options, orbit_error *error)
{
    write->backend = backend;
    write->task.holds[0] = backend;
    write->path = orb_strdup(path);
    if (!write->path)
        return orb_fail_memory(error);
    if (write->source.kind == ORB_SOURCE_PATH && !(write->source_path = orb_strdup(write->source.bytes)))
        return orb_fail_memory(error);
    write->size_hint = size_hint;
    if (size_hint == ORBIT_SIZE_UNKNOWN && write->source.length != ORBIT_SIZE_UNKNOWN)
        write->size_hint = write->source.length;
    if (write->source.kind == ORB_SOURCE_READER) {
        if (orb_reader_backend(write->source.ctx)->client != backend->client)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "the reader and the backend belong to different clients");
        if (size_hint == ORBIT_SIZE_UNKNOWN)
            write->size_hint = orb_reader_left(write->source.ctx);
    }
    orbit_status status = orb_write_options_keep(&write->options, &write->block, options, error);
    write->task.timeout_ms = write->options.timeout_ms;
    write->task.cancel = write->options.cancel;
    write->task.progress = write->options.progress;
    return status;
}

/* Takes the source: from here on it is closed with the task, whatever happens. */
static struct write_task *write_new(orbit_backend *backend, const char *path, orbit_source *source, uint64_t size_hint,
                                    const orbit_write_options *options, orbit_write_result *result, bool blocking,
                                    orbit_error *error)
{
    struct write_task *write = NULL;
    if (!backend || !path)
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_write() without a %s", backend ? "path" : "backend");
    else if (orb_source_check(source, error) >= 0 && orb_write_result_check(result, error) >= 0 &&
             orb_client_check(backend->client, "orbit_write", blocking, error) >= 0)
        write = orb_task_new(sizeof(*write), &write_kind, backend->client, error);
    if (!write) {
        orb_source_close(source);
        return NULL;
    }
    write->source = *source;
    write->file.fd = write->stop_fd = -1;
    write->result = result;
    write->on_caller = blocking && source->kind != ORB_SOURCE_READER;
    orb_gate_init(&write->gate, backend->client);
    pthread_cond_init(&write->woken_cond, NULL);
    write->begin_message.deliver = begin_delivered;
    write->producer_message.deliver = producer_left;
    write->join_message.deliver = join_delivered;
    orbit_status status = keep(write, backend, path, size_hint, options, error);
    bool looks = source->kind == ORB_SOURCE_PATH || source->kind == ORB_SOURCE_FD;
    if (status >= 0 && (blocking || !looks))
        status = decide(write, error);
    if (status < 0) {
        orb_task_discard(&write->task);
        return NULL;
    }
    return write;
}

static orbit_status failed(const orbit_error *error)
{
    return error->status < 0 ? (orbit_status)error->status : ORBIT_E_MISUSE;
}

orbit_status orbit_write(orbit_backend *backend, const char *path, orbit_source source, uint64_t size_hint,
                         const orbit_write_options *options, orbit_write_result *result, orbit_error *error)
{
    orbit_error own = {0};
    struct write_task *write = write_new(backend, path, &source, size_hint, options, result, true, &own);
    if (!write) {
        orb_error_copy(error, &own);
        return failed(&own);
    }
    bool produces = write->on_caller && write->mode == MODE_FILL;
    struct orbit_task *task = NULL;
    orbit_status status = ORBIT_OK;
    if (!produces)
        return orb_task_run(&write->task, error);
    status = orb_task_launch(&write->task, &task, NULL, NULL, error);
    if (status < 0)
        return status;
    leave(write, produce(write, &write->source_error));
    status = orbit_task_wait(task, error);
    orbit_task_free(task);
    return status;
}

orbit_status orbit_write_start(orbit_task **task, orbit_backend *backend, const char *path, orbit_source source,
                               uint64_t size_hint, const orbit_write_options *options, orbit_write_result *result,
                               orbit_task_done *done, void *ctx, orbit_error *error)
{
    orbit_error own = {0};
    if (task)
        *task = NULL;
    struct write_task *write = write_new(backend, path, &source, size_hint, options, result, false, &own);
    if (!write) {
        orb_error_copy(error, &own);
        return failed(&own);
    }
    return orb_task_launch(&write->task, task, done, ctx, error);
}
