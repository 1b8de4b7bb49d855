/* SPDX-License-Identifier: Apache-2.0
 * orbit_writer: the user pushes bytes into part buffers (engine/upload_fill), the loop sends them. What streams have
 * in common is stream.c's. The user's calls run on the user's thread, one at a time; the rest on the loop. */
#include <orbit/task.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/task.h"
#include "engine/admission.h"
#include "engine/upload_fill.h"
#include "stream/options.h"
#include "stream/stream.h"

#define PROGRESS_EVERY_NS (100 * ORB_MS)

struct orbit_writer {
    struct orb_stream stream;
    orbit_write_options options;
    void *block;
    char *path;
    uint64_t size_hint;
    struct orb_fill fill;

    /* Loop. */
    struct orb_admission admission;
    uint64_t progress_ns;
    struct finish_task *finish_task;
    struct orb_message abort_message;

    /* User. */
    bool finishing;

    /* By the stream's gate. */
    bool admitted;
    bool woken; /* since the fill said AGAIN */
    bool over;
    orbit_status status;
    orbit_error error;
};

/* orbit_writer_finish_start() */
struct finish_task {
    struct orbit_task task;
    struct orbit_writer *writer;
    orbit_write_result *result;
};

static struct orbit_writer *writer_of(struct orb_stream *stream)
{
    return (struct orbit_writer *)stream;
}

/* ---- loop -------------------------------------------------------------------------------------------- */

static void tell_progress(struct orbit_writer *writer, uint64_t bytes, bool last)
{
    atomic_store_explicit(&writer->stream.tally.bytes, bytes, memory_order_relaxed);
    if (writer->finish_task)
        orb_task_moved(&writer->finish_task->task, bytes, last ? bytes : writer->size_hint, last);
    const orbit_progress *progress = &writer->options.progress;
    uint64_t now_ns = orb_now_ns();
    if (!progress->function || (!last && now_ns - writer->progress_ns < PROGRESS_EVERY_NS))
        return;
    writer->progress_ns = now_ns;
    progress->function(progress->ctx, bytes, last ? bytes : writer->size_hint);
}

static void moved(void *ctx, uint64_t bytes)
{
    tell_progress(ctx, bytes, false);
}

static void take_result(struct orbit_writer *writer, orbit_write_result *result)
{
    struct orb_upload *upload = &writer->fill.upload;
    orb_write_result_fill(result, upload->bytes, upload->parts, upload->multipart, &upload->metadata);
}

static void end_finish_task(struct orbit_writer *writer)
{
    struct finish_task *finish = writer->finish_task;
    if (!finish)
        return;
    writer->finish_task = NULL;
    orb_gate_lock(&writer->stream.gate);
    orbit_status status = writer->status;
    orbit_error error = writer->error;
    orb_gate_unlock(&writer->stream.gate);
    if (status >= 0)
        take_result(writer, finish->result);
    orb_task_end(&finish->task, status, &error);
}

static void gone(struct orbit_writer *writer)
{
    orb_fill_detach(&writer->fill);
    orb_stream_gone(&writer->stream);
}

static void ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct orbit_writer *writer = ctx;
    orb_admission_withdraw(&writer->admission); /* an empty stream ends without memory */
    orb_gate_lock(&writer->stream.gate);
    writer->over = true;
    writer->woken = true;
    writer->status = status;
    if (status < 0)
        writer->error = *error;
    bool shutting = writer->stream.shutting;
    orb_gate_unlock(&writer->stream.gate);
    if (status >= 0) {
        atomic_fetch_add(&writer->stream.client->bytes_written, writer->fill.upload.bytes);
        tell_progress(writer, writer->fill.upload.bytes, true);
    }
    orb_scope_close(&writer->stream.scope);
    if (!shutting)
        orb_stream_notify(&writer->stream);
    end_finish_task(writer);
    if (shutting)
        gone(writer);
}

static void wake(void *ctx)
{
    struct orbit_writer *writer = ctx;
    orb_gate_lock(&writer->stream.gate);
    writer->woken = true;
    orb_gate_unlock(&writer->stream.gate);
    orb_stream_notify(&writer->stream);
}

static void admitted(void *ctx)
{
    struct orbit_writer *writer = ctx;
    orb_gate_lock(&writer->stream.gate);
    writer->admitted = true;
    orb_gate_unlock(&writer->stream.gate);
    orb_fill_admit(&writer->fill);
    orb_stream_notify(&writer->stream);
}

static void writer_start(struct orb_stream *stream)
{
    struct orbit_writer *writer = writer_of(stream);
    if (orb_admission_ask(&writer->admission, &stream->client->host, writer->fill.reserve, admitted, writer))
        admitted(writer);
}

static void writer_stop(struct orb_stream *stream, orbit_status status, const orbit_error *given)
{
    struct orbit_writer *writer = writer_of(stream);
    orbit_error error;
    if (!given)
        orb_fail(&error, status, 0, "writing '%s' was %s", writer->path,
                 status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
    orb_admission_withdraw(&writer->admission);
    orb_fill_stop(&writer->fill, status, given ? given : &error);
}

static void writer_shut(struct orb_stream *stream)
{
    struct orbit_writer *writer = writer_of(stream);
    orb_gate_lock(&stream->gate);
    bool over = writer->over;
    orb_gate_unlock(&stream->gate);
    if (over)
        gone(writer);
    else
        writer_stop(stream, ORBIT_E_CANCELLED, NULL); /* ended() goes on */
}

static void writer_release(struct orb_stream *stream)
{
    struct orbit_writer *writer = writer_of(stream);
    orb_fill_release(&writer->fill);
    orb_write_options_drop(&writer->options, &writer->block);
    orb_free(writer->path);
    orb_free(writer);
}

static const struct orb_stream_kind writer_kind = {writer_start, writer_stop, writer_shut, writer_release};

static void abort_delivered(struct orb_message *message)
{
    struct orbit_writer *writer =
        (struct orbit_writer *)(void *)((char *)message - offsetof(struct orbit_writer, abort_message));
    if (orb_stream_arrived(&writer->stream) && !writer->stream.shutting)
        writer_stop(&writer->stream, ORBIT_E_CANCELLED, NULL);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static orbit_status wait_admitted(struct orbit_writer *writer, orbit_error *error)
{
    orb_gate_lock(&writer->stream.gate);
    while (!writer->admitted && !writer->over && !writer->stream.gone)
        orb_gate_wait(&writer->stream.gate);
    orbit_status status = writer->status;
    if (status < 0)
        orb_error_copy(error, &writer->error);
    orb_gate_unlock(&writer->stream.gate);
    return status;
}

static orbit_status prepare(struct orbit_writer *writer, const char *path, uint64_t size_hint,
                            const orbit_write_options *options, orbit_error *error)
{
    writer->size_hint = size_hint;
    writer->path = orb_strdup(path);
    if (!writer->path)
        return orb_fail_memory(error);
    orbit_status status = orb_write_options_keep(&writer->options, &writer->block, options, error);
    if (status < 0)
        return status;
    writer->stream.timeout_ms = writer->options.timeout_ms;
    writer->stream.cancel = writer->options.cancel;
    writer->stream.ready = writer->options.ready;
    writer->stream.ready_ctx = writer->options.ready_ctx;
    writer->abort_message.deliver = abort_delivered;
    writer->fill.wake = wake;
    writer->fill.moved = moved;
    writer->fill.ended = ended;
    writer->fill.ctx = writer;
    struct orb_backend *backend = &writer->stream.backend->core;
    if (!backend->ops->put && !backend->ops->begin)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "write is not supported by '%s'", backend->ops->name);
    writer->fill.upload.tally = &writer->stream.tally;
    return orb_fill_init(&writer->fill, backend, writer->path, &writer->options, NULL, size_hint, error);
}

orbit_status orbit_writer_get_stats(orbit_writer *writer, orbit_stream_stats *stats)
{
    return writer ? orb_tally_tell(&writer->stream.tally, atomic_load(&writer->stream.tally.bytes), stats)
                  : ORBIT_E_MISUSE;
}

orbit_status orbit_writer_open(orbit_writer **made, orbit_backend *backend, const char *path, uint64_t size_hint,
                               const orbit_write_options *options, orbit_error *error)
{
    if (made)
        *made = NULL;
    if (!made || !backend || !path)
        return orb_fail(error, ORBIT_E_MISUSE, 0,
                        "orbit_writer_open() without a place for the writer, a backend or a path");
    orbit_status status = orb_client_check(backend->client, "orbit_writer_open", false, error);
    if (status < 0)
        return status;
    struct orbit_writer *writer = orb_calloc(1, sizeof(*writer));
    if (!writer)
        return orb_fail_memory(error);
    orb_stream_init(&writer->stream, &writer_kind, backend);
    status = prepare(writer, path, size_hint, options, error);
    if (status >= 0)
        status = orb_client_check(backend->client, "orbit_writer_open", !writer->options.ready, error);
    if (status < 0) {
        orb_gate_release(&writer->stream.gate);
        writer_release(&writer->stream);
        return status;
    }
    bool waits = !writer->options.ready;
    orb_stream_launch(&writer->stream);
    if (waits)
        status = wait_admitted(writer, error);
    if (status < 0)
        orb_stream_close(&writer->stream);
    else
        *made = writer;
    return status;
}

/* ---- pushing ------------------------------------------------------------------------------------------- */

static orbit_status check(struct orbit_writer *writer, const char *what, bool blocking, orbit_error *error)
{
    if (!writer)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a writer", what);
    orbit_status status = orb_stream_check(&writer->stream, what, blocking, error);
    if (status < 0)
        return status;
    orb_gate_lock(&writer->stream.gate);
    status = writer->status;
    if (status < 0)
        orb_error_copy(error, &writer->error);
    orb_gate_unlock(&writer->stream.gate);
    if (status >= 0 && writer->finishing)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() of '%s' after it was finished", what, writer->path);
    return status;
}

/* False: there is news already. */
static bool await_news(struct orbit_writer *writer, bool wait)
{
    orb_gate_lock(&writer->stream.gate);
    while (wait && !writer->woken)
        orb_gate_wait(&writer->stream.gate);
    bool quiet = !writer->woken;
    writer->woken = false;
    writer->stream.ready_wanted = quiet && !wait;
    orb_gate_unlock(&writer->stream.gate);
    return quiet;
}

static orbit_status push(struct orbit_writer *writer, const void *bytes, size_t length, bool wait, size_t *taken,
                         orbit_error *error)
{
    *taken = 0;
    while (*taken < length) {
        void *room = NULL;
        size_t space = 0;
        orbit_status status = orb_fill_lend(&writer->fill, &room, &space, error);
        if (status == ORBIT_AGAIN) {
            if (await_news(writer, wait) && !wait)
                return *taken > 0 ? ORBIT_OK : ORBIT_AGAIN;
            continue;
        }
        if (status < 0)
            return status;
        size_t part = length - *taken < space ? length - *taken : space;
        memcpy(room, (const char *)bytes + *taken, part);
        status = orb_fill_commit(&writer->fill, part, error);
        if (status < 0)
            return status;
        *taken += part;
    }
    return ORBIT_OK;
}

orbit_status orbit_writer_write(orbit_writer *writer, const void *bytes, size_t length, orbit_error *error)
{
    size_t taken;
    orbit_status status = check(writer, "orbit_writer_write", true, error);
    if (status >= 0 && !bytes && length)
        status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_writer_write() without bytes");
    return status < 0 ? status : push(writer, bytes, length, true, &taken, error);
}

orbit_status orbit_writer_try_write(orbit_writer *writer, const void *bytes, size_t length, size_t *taken,
                                    orbit_error *error)
{
    if (taken)
        *taken = 0;
    orbit_status status = check(writer, "orbit_writer_try_write", false, error);
    if (status >= 0 && ((!bytes && length) || !taken))
        status =
            orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_writer_try_write() without bytes or a place for their number");
    return status < 0 ? status : push(writer, bytes, length, false, taken, error);
}

/* ---- finish, abort, free --------------------------------------------------------------------------------- */

static orbit_status wait_over(struct orbit_writer *writer, orbit_error *error)
{
    orb_gate_lock(&writer->stream.gate);
    while (!writer->over)
        orb_gate_wait(&writer->stream.gate);
    orbit_status status = writer->status;
    if (status < 0)
        orb_error_copy(error, &writer->error);
    orb_gate_unlock(&writer->stream.gate);
    return status;
}

orbit_status orbit_writer_finish(orbit_writer *writer, orbit_write_result *result, orbit_error *error)
{
    orbit_status status = check(writer, "orbit_writer_finish", true, error);
    if (status >= 0)
        status = orb_write_result_check(result, error);
    if (status < 0)
        return status;
    writer->finishing = true;
    orb_fill_finish(&writer->fill);
    status = wait_over(writer, error);
    if (status >= 0)
        take_result(writer, result);
    return status;
}

static void finish_start(struct orbit_task *task)
{
    struct finish_task *finish = (struct finish_task *)task;
    struct orbit_writer *writer = finish->writer;
    writer->finish_task = finish;
    orb_gate_lock(&writer->stream.gate);
    bool over = writer->over;
    orb_gate_unlock(&writer->stream.gate);
    if (over)
        end_finish_task(writer);
    else
        orb_fill_finish(&writer->fill);
}

static void finish_stop(struct orbit_task *task, orbit_status status)
{
    struct finish_task *finish = (struct finish_task *)task;
    writer_stop(&finish->writer->stream, status, NULL);
}

static void finish_release(struct orbit_task *task)
{
    orb_free(task);
}

static const struct orb_task_kind finish_kind = {"orbit_writer_finish", finish_start, NULL, finish_stop,
                                                 finish_release};

orbit_status orbit_writer_finish_start(orbit_task **task, orbit_writer *writer, orbit_write_result *result,
                                       orbit_task_done *done, void *ctx, orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status = check(writer, "orbit_writer_finish_start", false, error);
    if (status >= 0)
        status = orb_write_result_check(result, error);
    if (status < 0)
        return status;
    orb_gate_lock(&writer->stream.gate);
    bool gone_already = writer->stream.gone;
    orb_gate_unlock(&writer->stream.gate);
    if (gone_already)
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "the backend was closed while '%s' was being written",
                        writer->path);
    struct finish_task *finish = orb_task_new(sizeof(*finish), &finish_kind, writer->stream.client, error);
    if (!finish)
        return ORBIT_E_MEMORY;
    finish->writer = writer;
    finish->result = result;
    finish->task.holds[0] = writer->stream.backend;
    writer->finishing = true;
    return orb_task_launch(&finish->task, task, done, ctx, error);
}

orbit_status orbit_writer_abort(orbit_writer *writer, orbit_error *error)
{
    if (!writer)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_writer_abort() without a writer");
    orbit_status status = orb_stream_check(&writer->stream, "orbit_writer_abort", true, error);
    if (status < 0)
        return status;
    orb_gate_lock(&writer->stream.gate);
    bool over = writer->over;
    status = writer->status;
    if (!over)
        orb_stream_post_locked(&writer->stream, &writer->abort_message);
    while (!writer->over)
        orb_gate_wait(&writer->stream.gate);
    orb_gate_unlock(&writer->stream.gate);
    if (over && status >= 0)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_writer_abort() of '%s' after it was finished", writer->path);
    return ORBIT_OK;
}

void orbit_writer_free(orbit_writer *writer)
{
    if (writer)
        orb_stream_close(&writer->stream);
}

/* ---- how far it can go ------------------------------------------------------------------------------------- */

uint64_t orbit_writer_ceiling(orbit_backend *backend, const orbit_write_options *options)
{
    orbit_write_options kept;
    void *block = NULL;
    struct orb_parts parts;
    if (!backend || orb_write_options_keep(&kept, &block, options, NULL) < 0)
        return 0;
    struct orb_parts_rule rule = orb_fill_rule(&backend->core, &kept);
    orbit_status status = orb_parts_plan(&parts, &rule, ORBIT_SIZE_UNKNOWN, false, "", NULL);
    orb_write_options_drop(&kept, &block);
    return status < 0 ? 0 : orb_parts_ceiling(&parts);
}
