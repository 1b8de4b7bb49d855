/* SPDX-License-Identifier: Apache-2.0
 * orbit_write: a source is read for the caller, in one of the ways of write_ways.c. This is the task, and what the
 * caller sees of it. */
#include <unistd.h>

#include "base/mem.h"
#include "stream/reader.h"
#include "stream/write_task.h"

static void admitted(void *ctx)
{
    struct write_task *write = ctx;
    orb_fill_admit(&write->fill);
    if (write->source.kind == ORB_SOURCE_READER)
        orb_write_wake(write);
}

void orb_write_begin_fill(struct write_task *write)
{
    write->begun = true;
    if (write->status < 0) /* stopped meanwhile */
        orb_fill_stop(&write->fill, write->status, &write->error);
    else if (orb_admission_ask(&write->admission, &write->task.client->host, write->fill.reserve, admitted, write))
        admitted(write);
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
        orb_write_begin_fill(write);
    if (write->on_caller || write->source.kind == ORB_SOURCE_READER)
        return;
    int number = orb_write_produce_apart(write);
    if (number == 0)
        return;
    orb_write_fail(write, orb_fail_errno(&write->error, number, "cannot start a thread for the source"), &write->error);
    write->producer_over = true;
    if (write->begun)
        orb_fill_stop(&write->fill, write->status, &write->error);
    orb_write_settle(write);
}

/* The producer on the caller's thread is waiting for room, or soon will be: it leaves, and then the task ends. */
static void refused(struct orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct write_task *write = (struct write_task *)task;
    orb_write_fail(write, status, error);
    if (!write->on_caller || write->mode != MODE_FILL) {
        orb_task_end(task, write->status, &write->error);
        return;
    }
    orb_gate_lock(&write->gate);
    write->refused = true;
    orb_gate_unlock(&write->gate);
    orb_write_wake(write);
}

static void stop(struct orbit_task *task, orbit_status status)
{
    struct write_task *write = (struct write_task *)task;
    orb_write_fail(write, status, NULL);
    orb_admission_withdraw(&write->admission);
    if (!write->begun)
        return; /* the thread is still looking at its source: what it finds will not be begun */
    if (write->mode == MODE_MEMORY) {
        orb_memory_upload_stop(&write->memory, write->status, &write->error);
    } else if (write->mode == MODE_COPY) {
        orb_copy_stop(&write->copy, write->status, &write->error);
    } else {
        orb_write_let_source_go(write);
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
    orb_write_producer_init(write);
    orbit_status status = keep(write, backend, path, size_hint, options, error);
    bool looks = source->kind == ORB_SOURCE_PATH || source->kind == ORB_SOURCE_FD;
    if (status >= 0 && (blocking || !looks))
        status = orb_write_decide(write, error);
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
    orb_write_produce_here(write);
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
