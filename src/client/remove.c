/* SPDX-License-Identifier: Apache-2.0
 * Removing: one path, or a tree that the store cannot remove by itself. Paths go in batches, several under way
 * at a time; items that may be tried again are, the others are counted and the first is told. Memory does not
 * depend on the number of entries. What is to go is found by remove_walk.c. Loop thread once launched. */
#include "client/remove.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "client/file_task.h"

#define ITEM_BYTES (sizeof(orbit_remove_item) + sizeof(size_t) + 256) /* with an average name */
#define PAGE_BYTES (1u << 20)

/* ---- what failed ----------------------------------------------------------------------------------- */

void orb_remove_failed(struct remove_task *task, orbit_status status, const orbit_error *error)
{
    task->tried++;
    if (task->failed++ > 0)
        return;
    if (error && (error->status || error->message[0]))
        task->first = *error;
    else
        orb_fail(&task->first, status, 0, "%s", orbit_status_text(status));
    task->first.status = status;
}

void orb_remove_fatal(struct remove_task *task, orbit_status status, const orbit_error *error)
{
    if (task->fatal < 0)
        return;
    task->fatal = status;
    if (error)
        task->fatal_error = *error;
    else
        orb_fail(&task->fatal_error, status, 0, "%s", orbit_status_text(status));
}

static void settled(struct orb_remove_batch *core, const orbit_remove_item *item, void *tag)
{
    struct remove_task *task = ((struct remove_batch *)core)->owner;
    (void)tag;
    bool gone = item->status == ORBIT_E_NOT_FOUND && (task->walking || task->options.missing_ok || core->maybe_done);
    if (item->status < 0 && !gone)
        orb_remove_failed(task, item->status, &item->error);
    else
        task->tried++;
}

/* ---- a batch on its way ---------------------------------------------------------------------------- */

static void batch_over(struct orb_remove_batch *core, orbit_status status, const orbit_error *error)
{
    struct remove_batch *batch = (struct remove_batch *)core;
    struct remove_task *task = batch->owner;
    if (status < 0)
        orb_remove_fatal(task, status, error);
    core->count = 0;
    orb_buf_reset(&batch->names);
    batch->busy = false;
    task->busy--;
    orb_remove_step(task);
}

void orb_remove_send(struct remove_task *task)
{
    struct remove_batch *batch = task->filling;
    task->filling = NULL;
    if (!batch || batch->core.count == 0)
        return;
    for (size_t i = 0; i < batch->core.count; i++)
        batch->core.items[i] = (orbit_remove_item){.path = batch->names.bytes + batch->offsets[i],
                                                   .version_id = task->walking ? NULL : task->version_id};
    batch->busy = true;
    task->busy++;
    batch->core.recursive = task->options.recursive && !task->walking;
    batch->core.missing_ok = task->options.missing_ok || task->walking;
    batch->core.settled = settled;
    batch->core.over = batch_over;
    batch->core.call.tally = &task->task.tally;
    orb_remove_batch_start(&batch->core, &task->backend->core);
}

/* ---- filling a batch ------------------------------------------------------------------------------- */

static void batch_free(struct remove_batch *batch)
{
    if (!batch)
        return;
    orb_buf_release(&batch->names);
    orb_free(batch->core.items);
    orb_free(batch->offsets);
    orb_free(batch);
}

static struct remove_batch *batch_new(struct remove_task *task)
{
    struct remove_batch *batch = orb_calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    batch->owner = task;
    orb_buf_init(&batch->names, ORB_REMOVE_NAMES + ORB_REMOVE_PATH_MAX);
    batch->core.items = orb_calloc(task->batch_items, sizeof(*batch->core.items));
    batch->offsets = orb_calloc(task->batch_items, sizeof(*batch->offsets));
    if (batch->core.items && batch->offsets)
        return batch;
    batch_free(batch);
    return NULL;
}

struct remove_batch *orb_remove_room(struct remove_task *task, size_t length)
{
    struct remove_batch *filling = task->filling;
    if (filling && filling->core.count < task->batch_items &&
        (filling->core.count == 0 || filling->names.length + length + 2 <= ORB_REMOVE_NAMES))
        return filling;
    orb_remove_send(task);
    for (unsigned i = 0; i < task->batch_count; i++) {
        if (!task->batches[i] && !(task->batches[i] = batch_new(task))) {
            orbit_error error;
            orb_remove_fatal(task, orb_fail_memory(&error), &error);
            return NULL;
        }
        if (!task->batches[i]->busy)
            return task->filling = task->batches[i];
    }
    return NULL;
}

void orb_remove_add(struct remove_task *task, struct remove_batch *batch, const char *directory,
                    size_t directory_length, const char *name, size_t name_length, bool slash)
{
    size_t offset = batch->names.length;
    orb_buf_append(&batch->names, directory, directory_length);
    orb_buf_append(&batch->names, name, name_length);
    if (slash && !(name_length && name[name_length - 1] == '/'))
        orb_buf_char(&batch->names, '/');
    if (!orb_buf_char(&batch->names, '\0')) {
        orbit_error error;
        orb_remove_fatal(task, orb_fail_memory(&error), &error);
        return;
    }
    batch->offsets[batch->core.count++] = offset;
}

/* ---- the task -------------------------------------------------------------------------------------- */

static void end(struct remove_task *task)
{
    orb_walk_release(task);
    if (task->reserved)
        orb_budget_give(&task->backend->core.host->budget, task->reserved);
    task->reserved = 0;
    if (task->fatal < 0) {
        orb_task_end(&task->task, task->fatal, &task->fatal_error);
        return;
    }
    if (task->failed == 0) {
        orb_task_end(&task->task, ORBIT_OK, NULL);
        return;
    }
    if (task->walking)
        orb_error_prefix(&task->first, "%llu of %llu entries below '%.80s' could not be removed, the first",
                         (unsigned long long)task->failed, (unsigned long long)task->tried, task->path);
    orb_task_end(&task->task, (orbit_status)task->first.status, &task->first);
}

void orb_remove_step(struct remove_task *task)
{
    if (task->task.stopping)
        orb_remove_fatal(task, ORBIT_E_CANCELLED, NULL);
    if (task->fatal >= 0 && !task->walked)
        orb_walk_step(task);
    if (task->fatal >= 0 && task->walked)
        orb_remove_send(task);
    if (orb_call_idle(&task->call) && task->busy == 0 && (task->walked || task->fatal < 0))
        end(task);
}

static void admitted(void *ctx)
{
    struct remove_task *task = ctx;
    task->reserved = task->admission.bytes;
    orb_walk_begin(task);
}

static void start(struct orbit_task *base)
{
    struct remove_task *task = (struct remove_task *)base;
    const struct orb_backend *core = &task->backend->core;
    task->walking = task->options.recursive && !core->caps.remove_tree;
    if (!task->walking) {
        task->batch_items = 1;
        task->batch_count = 1;
        task->walked = true;
        struct remove_batch *batch = orb_remove_room(task, strlen(task->path));
        if (batch)
            orb_remove_add(task, batch, task->path, strlen(task->path), "", 0, false);
        orb_remove_step(task);
        return;
    }
    task->batch_items = core->caps.remove_batch < ORB_REMOVE_ITEMS ? core->caps.remove_batch : ORB_REMOVE_ITEMS;
    task->batch_count = task->batch_items >= 100 ? 3 : ORB_REMOVE_BATCHES;
    uint64_t bytes = task->batch_count * task->batch_items * ITEM_BYTES + PAGE_BYTES;
    if (orb_admission_ask(&task->admission, core->host, bytes, admitted, task))
        admitted(task);
}

static void stop(struct orbit_task *base, orbit_status status)
{
    struct remove_task *task = (struct remove_task *)base;
    (void)status;
    if (task->admission.waiting) {
        orb_admission_withdraw(&task->admission);
        orb_remove_step(task);
        return;
    }
    orb_call_cancel(&task->call);
    for (unsigned i = 0; i < task->batch_count; i++)
        if (task->batches[i])
            orb_call_cancel(&task->batches[i]->core.call);
}

static void release(struct orbit_task *base)
{
    struct remove_task *task = (struct remove_task *)base;
    for (unsigned i = 0; i < ORB_REMOVE_BATCHES; i++)
        batch_free(task->batches[i]);
    orb_buf_release(&task->prefix);
    orb_free(task->path);
    orb_free(task->version_id);
    orb_free(task);
}

static const struct orb_task_kind remove_kind = {
    .name = "orbit_remove", .start = start, .stop = stop, .release = release};

/* ---- the call -------------------------------------------------------------------------------------- */

static orbit_status check(orbit_backend *backend, const char *path, const orbit_call_options *given,
                          orbit_call_options *options, orbit_error *error)
{
    orbit_status status = orb_backend_check(backend, "orbit_remove", error);
    if (status >= 0 && !path)
        status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_remove() without a path");
    if (status >= 0)
        status = orb_call_options_take(options, given, error);
    if (status < 0)
        return status;
    const orbit_backend_ops *ops = backend->core.ops;
    if (!ops->remove)
        return orb_unsupported(error, backend, "remove");
    if (!options->recursive || backend->core.caps.remove_tree)
        return ORBIT_OK;
    if (options->version_id)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_remove() takes a version or whole trees, not both");
    if (!ops->list_begin || !ops->list_page || !ops->list_end)
        return orb_unsupported(error, backend, "remove trees: it cannot list");
    if (strnlen(path, ORB_REMOVE_PATH_MAX) == ORB_REMOVE_PATH_MAX)
        return orb_fail(error, ORBIT_E_PATH, 0, "the path to remove is longer than %u bytes", ORB_REMOVE_PATH_MAX);
    return ORBIT_OK;
}

static struct orbit_task *remove_new(orbit_backend *backend, const char *path, const orbit_call_options *given,
                                     orbit_status *status, orbit_error *error)
{
    orbit_call_options options;
    *status = check(backend, path, given, &options, error);
    if (*status < 0)
        return NULL;
    struct remove_task *task = orb_task_new(sizeof(*task), &remove_kind, backend->client, error);
    if (!task) {
        *status = ORBIT_E_MEMORY;
        return NULL;
    }
    task->backend = backend;
    task->call.tally = &task->task.tally;
    task->options = options;
    orb_buf_init(&task->prefix, ORB_REMOVE_PATH_MAX);
    task->path = orb_strdup(path);
    task->version_id = orb_strdup(options.version_id);
    task->task.holds[0] = backend;
    task->task.timeout_ms = options.timeout_ms;
    task->task.cancel = options.cancel;
    if (task->path && (task->version_id || !options.version_id))
        return &task->task;
    *status = orb_fail_memory(error);
    orb_task_discard(&task->task);
    return NULL;
}

orbit_status orbit_remove(orbit_backend *backend, const char *path, const orbit_call_options *options,
                          orbit_error *error)
{
    orbit_status status;
    struct orbit_task *task = remove_new(backend, path, options, &status, error);
    return task ? orb_task_run(task, error) : status;
}

orbit_status orbit_remove_start(orbit_task **handle, orbit_backend *backend, const char *path,
                                const orbit_call_options *options, orbit_task_done *done, void *ctx, orbit_error *error)
{
    if (handle)
        *handle = NULL;
    orbit_status status;
    struct orbit_task *task = remove_new(backend, path, options, &status, error);
    return task ? orb_task_launch(task, handle, done, ctx, error) : status;
}
