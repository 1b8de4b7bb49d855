/* SPDX-License-Identifier: Apache-2.0
 * Calls on one path, each one operation of the backend: the common task, and stat, exists, mkdir, set_metadata,
 * containers. Links, attributes and space are in file_links.c; remove and rename have files of their own. */
#include <orbit/file.h>

#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/options.h"
#include "client/file_task.h"

void orbit_call_options_init(orbit_call_options *options)
{
    if (options)
        *options = (orbit_call_options)ORBIT_CALL_OPTIONS_INIT;
}

/* ---- the common task ------------------------------------------------------------------------------- */

orbit_status orb_call_options_take(orbit_call_options *known, const orbit_call_options *given, orbit_error *error)
{
    *known = (orbit_call_options)ORBIT_CALL_OPTIONS_INIT;
    return orb_options_take(known, sizeof(*known), given, "orbit_call_options", error);
}

orbit_status orb_unsupported(orbit_error *error, const struct orbit_backend *backend, const char *verb)
{
    return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "the %s backend ('%s') cannot %s", orbit_backend_name(backend),
                    backend->core.url, verb);
}

/* Whether the backend has a function at `offset` of its table. */
static bool has_op(const struct orbit_backend *backend, size_t offset)
{
    void (*function)(void);
    memcpy(&function, (const char *)backend->core.ops + offset, sizeof(function));
    return function != NULL;
}

static orbit_status fill(struct file_task *file, const char *path, const char *second, orbit_error *error)
{
    orbit_call_options *options = &file->options;
    file->path = orb_strdup(path);
    file->second = orb_strdup(second);
    file->version_id = orb_strdup(options->version_id);
    if ((path && !file->path) || (second && !file->second) || (options->version_id && !file->version_id))
        return orb_fail_memory(error);
    options->version_id = file->version_id;
    if (options->sse_customer_key) {
        memcpy(file->key, options->sse_customer_key, sizeof(file->key));
        options->sse_customer_key = file->key;
    }
    file->task.holds[0] = file->backend;
    file->task.timeout_ms = options->timeout_ms;
    file->task.cancel = options->cancel;
    return ORBIT_OK;
}

struct file_task *orb_file_new(const struct file_kind *kind, orbit_backend *backend, const char *path,
                               const char *second, const orbit_call_options *given, orbit_status *status,
                               orbit_error *error)
{
    orbit_call_options options;
    *status = orb_backend_check(backend, kind->task.name, error);
    if (*status >= 0 && !path)
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a path", kind->task.name);
    if (*status >= 0)
        *status = orb_call_options_take(&options, given, error);
    if (*status >= 0 && !has_op(backend, kind->op))
        *status = orb_unsupported(error, backend, kind->verb);
    if (*status < 0)
        return NULL;
    struct file_task *file = orb_task_new(sizeof(*file), &kind->task, backend->client, error);
    if (!file) {
        *status = ORBIT_E_MEMORY;
        return NULL;
    }
    file->backend = backend;
    file->kind = kind;
    file->options = options;
    *status = fill(file, path, second, error);
    if (*status >= 0)
        return file;
    orb_task_discard(&file->task);
    return NULL;
}

static struct file_task *file_of(struct orb_call *call)
{
    return call->ctx;
}

static void attempt(struct orb_call *call)
{
    file_of(call)->kind->attempt(file_of(call));
}

static bool again(struct orb_call *call, const orbit_error *error)
{
    struct file_task *file = file_of(call);
    bool lost = error->flags & ORBIT_ERROR_MAYBE_DONE;
    file->maybe_done = file->maybe_done || lost;
    /* A reply that was lost is asked for again only where the repetition shows what became of the first. */
    bool shows = file->kind->op != offsetof(orbit_backend_ops, rename) || file->backend->core.caps.resolves_rename;
    return !lost || (error->flags & ORBIT_ERROR_RETRIABLE && shows);
}

static void done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct file_task *file = file_of(call);
    if (status < 0 && file->maybe_done && status == file->kind->done_before)
        status = ORBIT_OK;
    if (file->length_out) /* also when it was more than there was room for */
        *file->length_out = file->length;
    if (status >= 0 && file->kind->deliver)
        file->kind->deliver(file);
    orb_task_end(&file->task, status, error);
}

void orb_file_start(struct orbit_task *task)
{
    struct file_task *file = (struct file_task *)task;
    file->call.again = again;
    file->call.watched = true;
    file->call.tally = &file->task.tally;
    file->call.eager = file->kind->op == offsetof(orbit_backend_ops, stat);
    orb_call_start(&file->call, &file->backend->core, attempt, done, file);
}

void orb_file_stop(struct orbit_task *task, orbit_status status)
{
    (void)status;
    orb_call_cancel(&((struct file_task *)task)->call);
}

void orb_file_release(struct orbit_task *task)
{
    struct file_task *file = (struct file_task *)task;
    orbit_metadata_release(&file->metadata);
    explicit_bzero(file->key, sizeof(file->key));
    orb_free(file->path);
    orb_free(file->second);
    orb_free(file->version_id);
    orb_free(file);
}

/* ---- stat ------------------------------------------------------------------------------------------ */

static void stat_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    orbit_metadata_release(&file->metadata);
    file->request.stat = (orbit_stat_request){.path = file->path,
                                              .version_id = file->version_id,
                                              .follow_symlinks = file->options.follow_symlinks,
                                              .sse_customer_key = file->options.sse_customer_key};
    orb_call_names(&file->call, ORBIT_REQUEST_STAT, file->path);
    core->ops->stat(core->self, &file->call.op.op, &file->request.stat, &file->metadata);
}

static void stat_deliver(struct file_task *file)
{
    if (!file->metadata_out)
        return;
    *file->metadata_out = file->metadata;
    file->metadata = (orbit_metadata)ORBIT_METADATA_INIT;
}

static const struct file_kind stat_kind = ORB_FILE_KIND("orbit_stat", "stat", stat, stat_attempt, stat_deliver, 0);
static const struct file_kind exists_kind = ORB_FILE_KIND("orbit_exists", "stat", stat, stat_attempt, NULL, 0);

/* The caller's metadata is releasable whatever happens. */
static struct file_task *stat_new(orbit_backend *backend, const char *path, const orbit_call_options *options,
                                  orbit_metadata *metadata, orbit_status *status, orbit_error *error)
{
    if (!metadata) {
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_stat() needs a place for the metadata");
        return NULL;
    }
    *metadata = (orbit_metadata)ORBIT_METADATA_INIT;
    struct file_task *file = orb_file_new(&stat_kind, backend, path, NULL, options, status, error);
    if (file)
        file->metadata_out = metadata;
    return file;
}

orbit_status orbit_stat(orbit_backend *backend, const char *path, const orbit_call_options *options,
                        orbit_metadata *metadata, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = stat_new(backend, path, options, metadata, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

orbit_status orbit_stat_start(orbit_task **task, orbit_backend *backend, const char *path,
                              const orbit_call_options *options, orbit_metadata *metadata,
                              orbit_task_done *done_function, void *ctx, orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status;
    struct file_task *file = stat_new(backend, path, options, metadata, &status, error);
    return file ? orb_task_launch(&file->task, task, done_function, ctx, error) : status;
}

orbit_status orbit_exists(orbit_backend *backend, const char *path, const orbit_call_options *options, bool *exists,
                          orbit_error *error)
{
    if (!exists)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_exists() needs a place for the answer");
    *exists = false;
    orbit_status status;
    struct file_task *file = orb_file_new(&exists_kind, backend, path, NULL, options, &status, error);
    if (!file)
        return status;
    orbit_error seen;
    status = orb_task_run(&file->task, &seen);
    if (status == ORBIT_E_NOT_FOUND)
        return ORBIT_OK;
    /* "a/b" where "a" is a file: there is no such thing either. */
    if (status == ORBIT_E_PATH && (seen.flags & ORBIT_ERROR_NOT_DIRECTORY))
        return ORBIT_OK;
    if (status < 0)
        orb_error_copy(error, &seen);
    else
        *exists = true;
    return status;
}

/* ---- mkdir ----------------------------------------------------------------------------------------- */

static void mkdir_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.mkdir = (orbit_mkdir_request){.path = file->path, .parents = file->options.recursive};
    orb_call_names(&file->call, ORBIT_REQUEST_MKDIR, file->path);
    core->ops->mkdir(core->self, &file->call.op.op, &file->request.mkdir);
}

static const struct file_kind mkdir_kind =
    ORB_FILE_KIND("orbit_mkdir", "make directories", mkdir, mkdir_attempt, NULL, ORBIT_E_EXISTS);

orbit_status orbit_mkdir(orbit_backend *backend, const char *path, const orbit_call_options *options,
                         orbit_error *error)
{
    orbit_status status;
    struct file_task *file = orb_file_new(&mkdir_kind, backend, path, NULL, options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

orbit_status orbit_mkdir_start(orbit_task **task, orbit_backend *backend, const char *path,
                               const orbit_call_options *options, orbit_task_done *done_function, void *ctx,
                               orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status;
    struct file_task *file = orb_file_new(&mkdir_kind, backend, path, NULL, options, &status, error);
    return file ? orb_task_launch(&file->task, task, done_function, ctx, error) : status;
}

/* ---- set_metadata ---------------------------------------------------------------------------------- */

static void set_metadata_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.set_metadata = (orbit_set_metadata_request){.path = file->path, .metadata = &file->metadata};
    orb_call_names(&file->call, ORBIT_REQUEST_SET_METADATA, file->path);
    core->ops->set_metadata(core->self, &file->call.op.op, &file->request.set_metadata);
}

static const struct file_kind set_metadata_kind =
    ORB_FILE_KIND("orbit_set_metadata", "change metadata", set_metadata, set_metadata_attempt, NULL, 0);

static struct file_task *set_metadata_new(orbit_backend *backend, const char *path, const orbit_metadata *metadata,
                                          const orbit_call_options *options, orbit_status *status, orbit_error *error)
{
    if (!metadata) {
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_set_metadata() without metadata");
        return NULL;
    }
    struct file_task *file = orb_file_new(&set_metadata_kind, backend, path, NULL, options, status, error);
    if (!file || orbit_metadata_copy(&file->metadata, metadata) >= 0)
        return file;
    *status = orb_fail_memory(error);
    orb_task_discard(&file->task);
    return NULL;
}

orbit_status orbit_set_metadata(orbit_backend *backend, const char *path, const orbit_metadata *metadata,
                                const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = set_metadata_new(backend, path, metadata, options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

orbit_status orbit_set_metadata_start(orbit_task **task, orbit_backend *backend, const char *path,
                                      const orbit_metadata *metadata, const orbit_call_options *options,
                                      orbit_task_done *done_function, void *ctx, orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status;
    struct file_task *file = set_metadata_new(backend, path, metadata, options, &status, error);
    return file ? orb_task_launch(&file->task, task, done_function, ctx, error) : status;
}

/* ---- containers ------------------------------------------------------------------------------------ */

static void container_create_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    orb_call_names(&file->call, ORBIT_REQUEST_CONTAINER, file->path);
    core->ops->container_create(core->self, &file->call.op.op);
}

static void container_remove_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    orb_call_names(&file->call, ORBIT_REQUEST_CONTAINER, file->path);
    core->ops->container_remove(core->self, &file->call.op.op);
}

static const struct file_kind container_create_kind = ORB_FILE_KIND(
    "orbit_container_create", "make containers", container_create, container_create_attempt, NULL, ORBIT_E_EXISTS);
static const struct file_kind container_remove_kind = ORB_FILE_KIND(
    "orbit_container_remove", "remove containers", container_remove, container_remove_attempt, NULL, ORBIT_E_NOT_FOUND);

orbit_status orbit_container_create(orbit_backend *backend, const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = orb_file_new(&container_create_kind, backend, "", NULL, options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

orbit_status orbit_container_remove(orbit_backend *backend, const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = orb_file_new(&container_remove_kind, backend, "", NULL, options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

/* ---- versioning -------------------------------------------------------------------------------------- */

static void versioning_get_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->versioning = ORBIT_VERSIONING_OFF;
    orb_call_names(&file->call, ORBIT_REQUEST_CONTAINER, file->path);
    core->ops->versioning_get(core->self, &file->call.op.op, &file->versioning);
}

static void versioning_deliver(struct file_task *file)
{
    *file->versioning_out = (orbit_versioning)file->versioning;
}

static void versioning_set_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    orb_call_names(&file->call, ORBIT_REQUEST_CONTAINER, file->path);
    core->ops->versioning_set(core->self, &file->call.op.op, file->versioning);
}

static const struct file_kind versioning_get_kind =
    ORB_FILE_KIND("orbit_versioning_get", "tell whether it keeps versions", versioning_get, versioning_get_attempt,
                  versioning_deliver, 0);
static const struct file_kind versioning_set_kind =
    ORB_FILE_KIND("orbit_versioning_set", "be told to keep versions", versioning_set, versioning_set_attempt, NULL, 0);

orbit_status orbit_versioning_get(orbit_backend *backend, orbit_versioning *versioning,
                                  const orbit_call_options *options, orbit_error *error)
{
    if (!versioning)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_versioning_get() without a place for the answer");
    *versioning = ORBIT_VERSIONING_OFF;
    orbit_status status;
    struct file_task *file = orb_file_new(&versioning_get_kind, backend, "", NULL, options, &status, error);
    if (!file)
        return status;
    file->versioning_out = versioning;
    return orb_task_run(&file->task, error);
}

orbit_status orbit_versioning_set(orbit_backend *backend, orbit_versioning versioning,
                                  const orbit_call_options *options, orbit_error *error)
{
    if (versioning != ORBIT_VERSIONING_ENABLED && versioning != ORBIT_VERSIONING_SUSPENDED)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_versioning_set() takes enabled or suspended");
    orbit_status status;
    struct file_task *file = orb_file_new(&versioning_set_kind, backend, "", NULL, options, &status, error);
    if (!file)
        return status;
    file->versioning = (uint32_t)versioning;
    return orb_task_run(&file->task, error);
}
