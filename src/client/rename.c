/* SPDX-License-Identifier: Apache-2.0
 * Rename: the store's own where it has one, else a copy on the server and then the removal of the source, which
 * is never removed before the copy is there. Loop thread once launched. */
#include <orbit/file.h>

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/file_task.h"
#include "engine/copy.h"

/* ---- the store's own ------------------------------------------------------------------------------- */

static void rename_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.rename = (orbit_rename_request){.from = file->path,
                                                  .to = file->second,
                                                  .overwrite = file->overwrite,
                                                  .create_parents = file->options.recursive,
                                                  .resolve = file->maybe_done};
    orb_call_names(&file->call, ORBIT_REQUEST_RENAME, file->path);
    core->ops->rename(core->self, &file->call.op.op, &file->request.rename);
}

static const struct file_kind rename_kind = ORB_FILE_KIND("orbit_rename", "rename", rename, rename_attempt, NULL, 0);

/* ---- copy, then remove ----------------------------------------------------------------------------- */

struct move_task {
    struct orbit_task task;
    struct orb_call call;
    struct orbit_backend *backend;
    char *from, *to;
    bool overwrite, create_parents;
    struct orb_copy copy;
    orbit_metadata source; /* until the copy has it */
    orbit_rename_request rename;
    orbit_stat_request stat;
    orbit_write_options options;
    orbit_remove_item item;
    orbit_remove_request remove;
};

static void move_end(struct move_task *move, orbit_status status, const orbit_error *error)
{
    orb_task_end(&move->task, status, error);
}

static void remove_attempt(struct orb_call *call)
{
    struct move_task *move = call->ctx;
    const struct orb_backend *core = &move->backend->core;
    move->item = (orbit_remove_item){.path = move->from};
    move->remove = (orbit_remove_request){.items = &move->item, .count = 1, .missing_ok = true};
    orb_call_names(call, ORBIT_REQUEST_REMOVE, move->from);
    core->ops->remove(core->self, &call->op.op, &move->remove);
}

static orbit_status judge_remove(struct orb_call *call, orbit_status status, orbit_error *error)
{
    struct move_task *move = call->ctx;
    if (move->item.status >= 0 || move->item.status == ORBIT_E_NOT_FOUND)
        return status;
    *error = move->item.error;
    return move->item.status;
}

static void removed(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct move_task *move = call->ctx;
    orbit_error told;
    if (status < 0) {
        told = *error;
        orb_error_prefix(&told, "'%.100s' was written, but '%.100s' is still there", move->to, move->from);
    }
    move_end(move, status, status < 0 ? &told : NULL);
}

static void copied(void *ctx, orbit_status status, const orbit_error *error)
{
    struct move_task *move = ctx;
    struct orb_call *call = &move->call;
    if (status < 0 || move->task.stopping) {
        move_end(move, status < 0 ? status : ORBIT_E_CANCELLED, status < 0 ? error : NULL);
        return;
    }
    call->judge = judge_remove;
    orb_call_start(call, &move->backend->core, remove_attempt, removed, move);
}

/* The version that was looked at, whole, with all that belongs to it; no byte comes here. */
static void start_copy(struct move_task *move)
{
    struct orb_copy *copy = &move->copy;
    copy->from = copy->to = &move->backend->core;
    copy->from_path = move->from;
    copy->to_path = move->to;
    copy->length = ORBIT_TO_END;
    copy->options = &move->options;
    copy->preserve = copy->server_only = copy->verify = true;
    copy->source = move->source;
    move->source = (orbit_metadata){0};
    copy->have_source = true;
    copy->ended = copied;
    copy->ctx = move;
    copy->tally = &move->task.tally;
    orb_copy_start(copy);
}

static orbit_status check_source(const struct move_task *move, orbit_error *error)
{
    if (move->source.kind == ORBIT_KIND_DIRECTORY)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                        "the %s backend cannot rename the directory '%.150s': move what is in it one by one",
                        orbit_backend_name(move->backend), move->from);
    return ORBIT_OK;
}

static void stat_attempt(struct orb_call *call)
{
    struct move_task *move = call->ctx;
    const struct orb_backend *core = &move->backend->core;
    orbit_metadata_release(&move->source);
    move->stat = (orbit_stat_request){.path = move->from, .object_only = orb_str_suffix(move->from, "/")};
    orb_call_names(call, ORBIT_REQUEST_STAT, move->from);
    core->ops->stat(core->self, &call->op.op, &move->stat, &move->source);
}

static void seen(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct move_task *move = call->ctx;
    orbit_error own;
    bool onto_itself = !strcmp(move->from, move->to);
    if (status >= 0 && move->task.stopping)
        status = ORBIT_E_CANCELLED;
    if (status >= 0 && !onto_itself && (status = check_source(move, &own)) < 0)
        error = &own;
    /* Onto itself there is nothing to do; copying and removing would lose it. */
    if (status >= 0 && onto_itself && !move->overwrite) {
        status = orb_fail(&own, ORBIT_E_EXISTS, 0, "'%.150s' exists already", move->to);
        error = &own;
    }
    if (status < 0 || onto_itself) {
        move_end(move, status, error);
        return;
    }
    start_copy(move);
}

static void by_copy(struct move_task *move)
{
    orb_call_start(&move->call, &move->backend->core, stat_attempt, seen, move);
}

static void own_attempt(struct orb_call *call)
{
    struct move_task *move = call->ctx;
    const struct orb_backend *core = &move->backend->core;
    move->rename = (orbit_rename_request){
        .from = move->from, .to = move->to, .overwrite = move->overwrite, .create_parents = move->create_parents};
    orb_call_names(call, ORBIT_REQUEST_RENAME, move->from);
    core->ops->rename(core->self, &call->op.op, &move->rename);
}

static bool own_again(struct orb_call *call, const orbit_error *error)
{
    (void)call;
    return !(error->flags & ORBIT_ERROR_MAYBE_DONE);
}

static void own_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct move_task *move = call->ctx;
    if (status != ORBIT_E_UNSUPPORTED || move->task.stopping) {
        move_end(move, status, error);
        return;
    }
    call->again = NULL;
    by_copy(move);
}

/* One table may serve stores with and without a rename of their own: which this is, it says itself. */
static void move_start(struct orbit_task *task)
{
    struct move_task *move = (struct move_task *)task;
    move->call.watched = true;
    if (!move->backend->core.ops->rename) {
        by_copy(move);
        return;
    }
    move->call.again = own_again;
    orb_call_start(&move->call, &move->backend->core, own_attempt, own_done, move);
}

static void move_stop(struct orbit_task *task, orbit_status status)
{
    struct move_task *move = (struct move_task *)task;
    orb_call_cancel(&move->call);
    if (move->copy.ctx)
        orb_copy_stop(&move->copy, status, NULL);
}

static void move_release(struct orbit_task *task)
{
    struct move_task *move = (struct move_task *)task;
    orbit_metadata_release(&move->source);
    orb_copy_release(&move->copy);
    orb_free(move->from);
    orb_free(move->to);
    orb_free(move);
}

static const struct orb_task_kind move_kind = {
    .name = "orbit_rename", .start = move_start, .stop = move_stop, .release = move_release};

static struct orbit_task *move_new(orbit_backend *backend, const char *from, const char *to, bool overwrite,
                                   const orbit_call_options *options, orbit_error *error)
{
    struct move_task *move = orb_task_new(sizeof(*move), &move_kind, backend->client, error);
    if (!move)
        return NULL;
    move->backend = backend;
    move->call.tally = &move->task.tally;
    move->overwrite = overwrite;
    move->create_parents = options->recursive;
    move->options = (orbit_write_options)ORBIT_WRITE_OPTIONS_INIT;
    move->options.overwrite = overwrite;
    move->from = orb_strdup(from);
    move->to = orb_strdup(to);
    move->task.holds[0] = backend;
    move->task.timeout_ms = options->timeout_ms;
    move->task.cancel = options->cancel;
    if (move->from && move->to)
        return &move->task;
    orb_fail_memory(error);
    orb_task_discard(&move->task);
    return NULL;
}

/* ---- the call -------------------------------------------------------------------------------------- */

static struct orbit_task *rename_new(orbit_backend *backend, const char *from, const char *to, bool overwrite,
                                     const orbit_call_options *given, orbit_status *status, orbit_error *error)
{
    orbit_call_options options;
    *status = orb_backend_check(backend, "orbit_rename", error);
    if (*status >= 0 && (!from || !to))
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_rename() without a path");
    if (*status >= 0)
        *status = orb_call_options_take(&options, given, error);
    if (*status < 0)
        return NULL;
    const orbit_backend_ops *ops = backend->core.ops;
    if ((!ops->rename || !backend->core.caps.hierarchical) && ops->stat && ops->copy && ops->remove) {
        struct orbit_task *task = move_new(backend, from, to, overwrite, &options, error);
        *status = task ? ORBIT_OK : ORBIT_E_MEMORY;
        return task;
    }
    struct file_task *file = orb_file_new(&rename_kind, backend, from, to, &options, status, error);
    if (!file)
        return NULL;
    file->overwrite = overwrite;
    return &file->task;
}

orbit_status orbit_rename(orbit_backend *backend, const char *from, const char *to, bool overwrite,
                          const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct orbit_task *task = rename_new(backend, from, to, overwrite, options, &status, error);
    return task ? orb_task_run(task, error) : status;
}

orbit_status orbit_rename_start(orbit_task **handle, orbit_backend *backend, const char *from, const char *to,
                                bool overwrite, const orbit_call_options *options, orbit_task_done *done, void *ctx,
                                orbit_error *error)
{
    if (handle)
        *handle = NULL;
    orbit_status status;
    struct orbit_task *task = rename_new(backend, from, to, overwrite, options, &status, error);
    return task ? orb_task_launch(task, handle, done, ctx, error) : status;
}
