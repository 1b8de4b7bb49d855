/* SPDX-License-Identifier: Apache-2.0
 * orbit_probe(): one operation of the backend, whose findings go straight to the caller's room. */
#include <orbit/probe.h>

#include <stdint.h>

#include "base/error.h"
#include "client/file_task.h"

static void probe_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    *file->request.probe.count = 0;
    orb_call_names(&file->call, ORBIT_REQUEST_OTHER, file->path);
    core->ops->probe(core->self, &file->call.op.op, &file->request.probe);
}

static const struct file_kind probe_kind =
    ORB_FILE_KIND("orbit_probe", "look at the way to their store", probe, probe_attempt, NULL, 0);

orbit_status orbit_probe(orbit_backend *backend, const char *path, orbit_finding *findings, size_t room, size_t *count,
                         const orbit_call_options *options, orbit_error *error)
{
    if (!count || (!findings && room))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_probe() needs room for findings and a place for their count");
    *count = 0;
    orbit_status status;
    struct file_task *file = orb_file_new(&probe_kind, backend, path, NULL, options, &status, error);
    if (!file)
        return status;
    file->request.probe = (orbit_probe_request){.path = file->path, .findings = findings, .room = room, .count = count};
    return orb_task_run(&file->task, error);
}
