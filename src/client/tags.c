/* SPDX-License-Identifier: Apache-2.0
 * Tags of objects: single calls, as those of file.c. */
#include <orbit/file.h>

#include "base/error.h"
#include "client/file_task.h"

static void get_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->length = 0;
    file->request.bytes.path = file->path;
    file->request.bytes.length = &file->length;
    file->request.bytes.version_id = file->options.version_id;
    orb_call_names(&file->call, ORBIT_REQUEST_TAGS, file->path);
    core->ops->tags_get(core->self, &file->call.op.op, &file->request.bytes);
}

static void get_deliver(struct file_task *file)
{
    size_t length = file->length < file->request.bytes.room ? file->length : file->request.bytes.room;
    file->target_out[length] = '\0';
}

static void set_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.tags = (orbit_tags_request){file->path, file->options.version_id, file->second};
    orb_call_names(&file->call, ORBIT_REQUEST_TAGS, file->path);
    core->ops->tags_set(core->self, &file->call.op.op, &file->request.tags);
}

static const struct file_kind get_kind =
    ORB_FILE_KIND("orbit_tags_get", "read tags", tags_get, get_attempt, get_deliver, 0);
static const struct file_kind set_kind = ORB_FILE_KIND("orbit_tags_set", "set tags", tags_set, set_attempt, NULL, 0);

orbit_status orbit_tags_get(orbit_backend *backend, const char *path, char *tagging, size_t room,
                            const orbit_call_options *options, orbit_error *error)
{
    if (!tagging || room == 0)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_tags_get() needs room for the tags");
    tagging[0] = tagging[room - 1] = '\0'; /* also where there is more than fits */
    orbit_status status;
    struct file_task *file = orb_file_new(&get_kind, backend, path, NULL, options, &status, error);
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
    struct file_task *file = orb_file_new(&set_kind, backend, path, tagging ? tagging : "", options, &status, error);
    return file ? orb_task_run(&file->task, error) : status;
}
