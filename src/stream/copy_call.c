/* SPDX-License-Identifier: Apache-2.0
 * orbit_copy: one object between two backends, as a task around engine/copy. */
#include <orbit/task.h>

#include "base/mem.h"
#include "base/options.h"
#include "client/task.h"
#include "engine/copy.h"
#include "stream/options.h"

#define KEY_BYTES 32

struct copy_task {
    struct orbit_task task;
    struct orb_copy copy;
    orbit_write_options write;
    void *block;
    char *from_path, *to_path, *version_id;
    uint8_t source_key[KEY_BYTES];
    orbit_write_result *result;
};

static void moved(void *ctx, uint64_t done, uint64_t total)
{
    struct copy_task *task = ctx;
    orb_task_moved(&task->task, done, total, false);
}

static void ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct copy_task *task = ctx;
    struct orb_copy *copy = &task->copy;
    if (status >= 0) {
        if (copy->parts > 0) { /* not when the store copied by itself */
            atomic_fetch_add(&task->task.client->bytes_read, copy->bytes - copy->resumed);
            atomic_fetch_add(&task->task.client->bytes_written, copy->bytes - copy->resumed);
        }
        orb_task_moved(&task->task, copy->bytes, copy->bytes, true);
        if (task->result)
            task->result->bytes_resumed = copy->resumed;
        orb_write_result_fill(task->result, copy->bytes, copy->parts, copy->multipart, &copy->target);
    }
    orb_copy_release(copy);
    orb_task_end(&task->task, status, error);
}

static void start(struct orbit_task *task)
{
    orb_copy_start(&((struct copy_task *)task)->copy);
}

static void stop(struct orbit_task *task, orbit_status status)
{
    struct copy_task *copy = (struct copy_task *)task;
    orbit_error error;
    orb_fail(&error, status, 0, "copying '%s' was %s", copy->from_path,
             status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
    orb_copy_stop(&copy->copy, status, &error);
}

static void release(struct orbit_task *task)
{
    struct copy_task *copy = (struct copy_task *)task;
    orb_copy_release(&copy->copy);
    orb_write_options_drop(&copy->write, &copy->block);
    explicit_bzero(copy->source_key, sizeof(copy->source_key));
    orb_free(copy->from_path);
    orb_free(copy->to_path);
    orb_free(copy->version_id);
    orb_free(copy);
}

static const struct orb_task_kind copy_kind = {"orbit_copy", start, NULL, stop, release};

static orbit_status keep(struct copy_task *task, const char *from, const char *to, const orbit_copy_options *options,
                         orbit_error *error)
{
    orbit_status status = orb_write_options_keep(&task->write, &task->block, options->write, error);
    if (status < 0)
        return status;
    task->from_path = orb_strdup(from);
    task->to_path = orb_strdup(to);
    task->version_id = orb_strdup(options->version_id);
    if (!task->from_path || !task->to_path || (options->version_id && !task->version_id))
        return orb_fail_memory(error);
    if (options->source_sse_customer_key)
        memcpy(task->source_key, options->source_sse_customer_key, sizeof(task->source_key));
    task->task.timeout_ms = task->write.timeout_ms;
    task->task.cancel = task->write.cancel;
    task->task.progress = task->write.progress;
    return ORBIT_OK;
}

static struct copy_task *copy_new(orbit_backend *from_backend, const char *from, orbit_backend *to_backend,
                                  const char *to, const orbit_copy_options *given, orbit_write_result *result,
                                  orbit_error *error)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    if (!from_backend || !to_backend || !from || !to) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_copy() without two backends and two paths");
        return NULL;
    }
    if (from_backend->client != to_backend->client) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_copy() between backends of different clients");
        return NULL;
    }
    if (orb_options_take(&options, sizeof(options), given, "orbit_copy_options", error) < 0 ||
        orb_write_result_check(result, error) < 0)
        return NULL;
    if (options.verify > ORBIT_VERIFY_FULL) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_copy_options.verify is %u, which means nothing", options.verify);
        return NULL;
    }
    if (options.resume_offset && !options.resume) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_copy_options has a resume_offset without resume");
        return NULL;
    }
    struct copy_task *task = orb_task_new(sizeof(*task), &copy_kind, to_backend->client, error);
    if (!task)
        return NULL;
    if (keep(task, from, to, &options, error) < 0) {
        orb_task_discard(&task->task);
        return NULL;
    }
    task->result = result;
    task->task.holds[0] = to_backend;
    task->task.holds[1] = from_backend == to_backend ? NULL : from_backend;
    struct orb_copy *copy = &task->copy;
    copy->from = &from_backend->core;
    copy->to = &to_backend->core;
    copy->from_path = task->from_path;
    copy->to_path = task->to_path;
    copy->version_id = task->version_id;
    copy->source_key = options.source_sse_customer_key ? task->source_key : NULL;
    copy->length = ORBIT_TO_END;
    const orbit_metadata *hint = options.source_hint;
    if (hint)
        copy->hint = (orbit_metadata){.kind = hint->kind,
                                      .fields = hint->fields & (ORBIT_HAS_SIZE | ORBIT_HAS_MTIME),
                                      .size = hint->size,
                                      .mtime_ns = hint->mtime_ns};
    copy->options = &task->write;
    copy->tally = &task->task.tally;
    copy->preserve = options.preserve;
    copy->no_server_copy = options.no_server_copy;
    copy->verify = options.verify != ORBIT_VERIFY_OFF;
    copy->no_hedge = options.no_hedge;
    copy->verify_full = options.verify == ORBIT_VERIFY_FULL;
    copy->keeps = options.resume;
    copy->prefix = options.resume_offset;
    orb_copy_kept_look(copy);
    copy->moved = moved;
    copy->ended = ended;
    copy->ctx = task;
    return task;
}

orbit_status orbit_copy(orbit_backend *from_backend, const char *from, orbit_backend *to_backend, const char *to,
                        const orbit_copy_options *options, orbit_write_result *result, orbit_error *error)
{
    orbit_error own = {0};
    struct copy_task *task = copy_new(from_backend, from, to_backend, to, options, result, &own);
    if (task)
        return orb_task_run(&task->task, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}

orbit_status orbit_copy_start(orbit_task **task, orbit_backend *from_backend, const char *from,
                              orbit_backend *to_backend, const char *to, const orbit_copy_options *options,
                              orbit_write_result *result, orbit_task_done *done, void *ctx, orbit_error *error)
{
    orbit_error own = {0};
    if (task)
        *task = NULL;
    struct copy_task *copy = copy_new(from_backend, from, to_backend, to, options, result, &own);
    if (copy)
        return orb_task_launch(&copy->task, task, done, ctx, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}
