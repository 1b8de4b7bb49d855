/* SPDX-License-Identifier: Apache-2.0
 * Calls on one path that only some stores have: symbolic links, extended attributes, tags, space. */
#include <orbit/file.h>

#include "base/error.h"
#include "client/file_task.h"

static orbit_status run(struct file_task *file, orbit_status status, orbit_error *error)
{
    return file ? orb_task_run(&file->task, error) : status;
}

/* ---- symbolic links -------------------------------------------------------------------------------- */

static void symlink_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.link = (orbit_link_request){.target = file->second, .path = file->path};
    orb_call_names(&file->call, ORBIT_REQUEST_LINK, file->path);
    core->ops->symlink(core->self, &file->call.op.op, &file->request.link);
}

/* All requests that receive bytes write into the caller's buffer, which outlives the operation. */
static void bytes_fresh(struct file_task *file)
{
    file->length = 0;
    file->request.bytes.path = file->path;
    file->request.bytes.name = file->second;
    file->request.bytes.length = &file->length;
    file->request.bytes.version_id = file->options.version_id;
}

static void readlink_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    bytes_fresh(file);
    orb_call_names(&file->call, ORBIT_REQUEST_LINK, file->path);
    core->ops->readlink(core->self, &file->call.op.op, &file->request.bytes);
}

/* A string in the caller's room, as much of it as fits. */
static void string_deliver(struct file_task *file)
{
    size_t length = file->length < file->request.bytes.room ? file->length : file->request.bytes.room;
    file->target_out[length] = '\0';
}

static const struct file_kind symlink_kind =
    ORB_FILE_KIND("orbit_symlink", "make symbolic links", symlink, symlink_attempt, NULL, ORBIT_E_EXISTS);
static const struct file_kind readlink_kind =
    ORB_FILE_KIND("orbit_readlink", "read symbolic links", readlink, readlink_attempt, string_deliver, 0);

static struct file_task *symlink_new(orbit_backend *backend, const char *target, const char *path,
                                     const orbit_call_options *options, orbit_status *status, orbit_error *error)
{
    if (target)
        return orb_file_new(&symlink_kind, backend, path, target, options, status, error);
    *status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_symlink() without a target");
    return NULL;
}

orbit_status orbit_symlink(orbit_backend *backend, const char *target, const char *path,
                           const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = symlink_new(backend, target, path, options, &status, error);
    return run(file, status, error);
}

orbit_status orbit_symlink_start(orbit_task **task, orbit_backend *backend, const char *target, const char *path,
                                 const orbit_call_options *options, orbit_task_done *done, void *ctx,
                                 orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status;
    struct file_task *file = symlink_new(backend, target, path, options, &status, error);
    return file ? orb_task_launch(&file->task, task, done, ctx, error) : status;
}

static struct file_task *readlink_new(orbit_backend *backend, const char *path, char *target, size_t room,
                                      const orbit_call_options *options, orbit_status *status, orbit_error *error)
{
    if (!target || room == 0) {
        *status = orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_readlink() needs room for the target");
        return NULL;
    }
    target[0] = '\0';
    struct file_task *file = orb_file_new(&readlink_kind, backend, path, NULL, options, status, error);
    if (file) {
        file->target_out = target;
        file->request.bytes.buffer = target;
        file->request.bytes.room = room - 1;
    }
    return file;
}

orbit_status orbit_readlink(orbit_backend *backend, const char *path, char *target, size_t room,
                            const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file = readlink_new(backend, path, target, room, options, &status, error);
    return run(file, status, error);
}

orbit_status orbit_readlink_start(orbit_task **task, orbit_backend *backend, const char *path, char *target,
                                  size_t room, const orbit_call_options *options, orbit_task_done *done, void *ctx,
                                  orbit_error *error)
{
    if (task)
        *task = NULL;
    orbit_status status;
    struct file_task *file = readlink_new(backend, path, target, room, options, &status, error);
    return file ? orb_task_launch(&file->task, task, done, ctx, error) : status;
}

/* ---- extended attributes --------------------------------------------------------------------------- */

static void xattr_get_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    bytes_fresh(file);
    orb_call_names(&file->call, ORBIT_REQUEST_XATTR, file->path);
    core->ops->xattr_get(core->self, &file->call.op.op, &file->request.bytes);
}

static void xattr_list_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    bytes_fresh(file);
    orb_call_names(&file->call, ORBIT_REQUEST_XATTR, file->path);
    core->ops->xattr_list(core->self, &file->call.op.op, &file->request.bytes);
}

static void xattr_set_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.xattr_set.path = file->path;
    file->request.xattr_set.name = file->second;
    orb_call_names(&file->call, ORBIT_REQUEST_XATTR, file->path);
    core->ops->xattr_set(core->self, &file->call.op.op, &file->request.xattr_set);
}

static const struct file_kind xattr_get_kind =
    ORB_FILE_KIND("orbit_xattr_get", "read extended attributes", xattr_get, xattr_get_attempt, NULL, 0);
static const struct file_kind xattr_list_kind =
    ORB_FILE_KIND("orbit_xattr_list", "list extended attributes", xattr_list, xattr_list_attempt, NULL, 0);
static const struct file_kind xattr_set_kind =
    ORB_FILE_KIND("orbit_xattr_set", "set extended attributes", xattr_set, xattr_set_attempt, NULL, 0);
static const struct file_kind xattr_remove_kind = ORB_FILE_KIND("orbit_xattr_remove", "remove extended attributes",
                                                                xattr_set, xattr_set_attempt, NULL, ORBIT_E_NOT_FOUND);

/* The whole length is told with ORBIT_E_LIMIT, too: the caller may come back with more room. */
static orbit_status receive(const struct file_kind *kind, orbit_backend *backend, const char *path, const char *name,
                            void *buffer, size_t room, size_t *length, orbit_error *error)
{
    if (!length || (!buffer && room > 0))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() needs a buffer and a place for the length", kind->task.name);
    *length = 0;
    orbit_status status;
    struct file_task *file = orb_file_new(kind, backend, path, name, NULL, &status, error);
    if (!file)
        return status;
    file->request.bytes.buffer = buffer;
    file->request.bytes.room = room;
    file->length_out = length;
    return orb_task_run(&file->task, error);
}

orbit_status orbit_xattr_get(orbit_backend *backend, const char *path, const char *name, void *value, size_t room,
                             size_t *length, orbit_error *error)
{
    if (!name)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_xattr_get() without a name");
    return receive(&xattr_get_kind, backend, path, name, value, room, length, error);
}

orbit_status orbit_xattr_list(orbit_backend *backend, const char *path, char *names, size_t room, size_t *length,
                              orbit_error *error)
{
    return receive(&xattr_list_kind, backend, path, NULL, names, room, length, error);
}

/* `value` is borrowed: the call blocks until the operation has ended. */
static orbit_status set(const struct file_kind *kind, orbit_backend *backend, const char *path, const char *name,
                        const void *value, size_t length, orbit_error *error)
{
    if (!name)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a name", kind->task.name);
    orbit_status status;
    struct file_task *file = orb_file_new(kind, backend, path, name, NULL, &status, error);
    if (!file)
        return status;
    file->request.xattr_set.value = value;
    file->request.xattr_set.length = length;
    return orb_task_run(&file->task, error);
}

orbit_status orbit_xattr_set(orbit_backend *backend, const char *path, const char *name, const void *value,
                             size_t length, orbit_error *error)
{
    if (!value && length > 0)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_xattr_set() without a value");
    return set(&xattr_set_kind, backend, path, name, value ? value : "", length, error);
}

orbit_status orbit_xattr_remove(orbit_backend *backend, const char *path, const char *name, orbit_error *error)
{
    return set(&xattr_remove_kind, backend, path, name, NULL, 0, error);
}

/* ---- tags ------------------------------------------------------------------------------------------ */

static void tags_get_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    bytes_fresh(file);
    orb_call_names(&file->call, ORBIT_REQUEST_TAGS, file->path);
    core->ops->tags_get(core->self, &file->call.op.op, &file->request.bytes);
}

static void tags_set_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.tags = (orbit_tags_request){file->path, file->options.version_id, file->second};
    orb_call_names(&file->call, ORBIT_REQUEST_TAGS, file->path);
    core->ops->tags_set(core->self, &file->call.op.op, &file->request.tags);
}

static const struct file_kind tags_get_kind =
    ORB_FILE_KIND("orbit_tags_get", "read tags", tags_get, tags_get_attempt, string_deliver, 0);
static const struct file_kind tags_set_kind =
    ORB_FILE_KIND("orbit_tags_set", "set tags", tags_set, tags_set_attempt, NULL, 0);

orbit_status orbit_tags_get(orbit_backend *backend, const char *path, char *tagging, size_t room,
                            const orbit_call_options *options, orbit_error *error)
{
    if (!tagging || room == 0)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_tags_get() needs room for the tags");
    tagging[0] = tagging[room - 1] = '\0'; /* also where there is more than fits */
    orbit_status status;
    struct file_task *file = orb_file_new(&tags_get_kind, backend, path, NULL, options, &status, error);
    if (!file)
        return status;
    file->target_out = tagging;
    file->request.bytes.buffer = tagging;
    file->request.bytes.room = room - 1;
    return orb_task_run(&file->task, error);
}

orbit_status orbit_tags_set(orbit_backend *backend, const char *path, const char *tagging,
                            const orbit_call_options *options, orbit_error *error)
{
    orbit_status status;
    struct file_task *file =
        orb_file_new(&tags_set_kind, backend, path, tagging ? tagging : "", options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}

/* ---- the parts of an object ------------------------------------------------------------------------ */

static void object_parts_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    orbit_object_parts_request *request = &file->request.object_parts;
    request->path = file->path;
    request->version_id = file->options.version_id;
    request->sse_customer_key = file->options.sse_customer_key;
    file->object_parts = (orbit_object_parts_reply){0, false};
    orb_call_names(&file->call, ORBIT_REQUEST_STAT, file->path);
    core->ops->object_parts(core->self, &file->call.op.op, request, &file->object_parts);
}

static void object_parts_deliver(struct file_task *file)
{
    *file->length_out = file->object_parts.count;
    *file->more_out = file->object_parts.more;
}

static const struct file_kind object_parts_kind = ORB_FILE_KIND(
    "orbit_object_parts", "tell the parts of objects", object_parts, object_parts_attempt, object_parts_deliver, 0);

orbit_status orbit_object_parts(orbit_backend *backend, const char *path, uint32_t after, orbit_object_part *parts,
                                size_t room, size_t *count, bool *more, const orbit_call_options *options,
                                orbit_error *error)
{
    if (!parts || room == 0 || !count || !more)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_object_parts() needs room for parts, their count and more");
    *count = 0;
    *more = false;
    orbit_status status;
    struct file_task *file = orb_file_new(&object_parts_kind, backend, path, NULL, options, &status, error);
    if (!file)
        return status;
    file->length_out = count;
    file->more_out = more;
    file->request.object_parts.after = after;
    file->request.object_parts.parts = parts;
    file->request.object_parts.room = room;
    return orb_task_run(&file->task, error);
}

/* ---- space ----------------------------------------------------------------------------------------- */

static void space_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->space = (orbit_space_reply){0, 0};
    orb_call_names(&file->call, ORBIT_REQUEST_SPACE, file->path);
    core->ops->space(core->self, &file->call.op.op, file->path, &file->space);
}

static void space_deliver(struct file_task *file)
{
    if (file->free_out)
        *file->free_out = file->space.free_bytes;
    if (file->total_out)
        *file->total_out = file->space.total_bytes;
}

static const struct file_kind space_kind =
    ORB_FILE_KIND("orbit_space", "tell its free space", space, space_attempt, space_deliver, 0);

orbit_status orbit_space(orbit_backend *backend, const char *path, uint64_t *free_bytes, uint64_t *total_bytes,
                         orbit_error *error)
{
    orbit_status status;
    struct file_task *file = orb_file_new(&space_kind, backend, path, NULL, NULL, &status, error);
    if (file) {
        file->free_out = free_bytes;
        file->total_out = total_bytes;
    }
    return run(file, status, error);
}
