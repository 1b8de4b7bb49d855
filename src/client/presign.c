/* SPDX-License-Identifier: Apache-2.0
 * Presigned URLs: a call without a request. It goes by the loop because signing and credentials are its. */
#include <orbit/presign.h>

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/options.h"
#include "client/file_task.h"

enum { EXPIRES_DEFAULT_S = 3600, EXPIRES_MAX_S = 7 * 24 * 3600 };

void orbit_presign_options_init(orbit_presign_options *options)
{
    if (options)
        *options = (orbit_presign_options)ORBIT_PRESIGN_OPTIONS_INIT;
}

static void presign_attempt(struct file_task *file)
{
    const struct orb_backend *core = &file->backend->core;
    file->request.presign.path = file->path;
    orb_call_names(&file->call, ORBIT_REQUEST_OTHER, file->path);
    core->ops->presign(core->self, &file->call.op.op, &file->request.presign);
}

static const struct file_kind presign_kind =
    ORB_FILE_KIND("orbit_presign", "presign URLs", presign, presign_attempt, NULL, 0);

static orbit_status check(orbit_presign_options *options, orbit_error *error)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    bool known = false, reads = false;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcasecmp(options->method, methods[i]) == 0) {
            options->method = methods[i]; /* in the spelling that is signed */
            known = true;
            reads = i < 2;
        }
    if (!known)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a presigned URL is for GET, HEAD, PUT or DELETE, not for '%.40s'",
                        options->method);
    if (options->expires_s > EXPIRES_MAX_S)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a presigned URL is valid for at most 7 days, not for %u seconds",
                        options->expires_s);
    if (!reads && (options->content_type || options->content_disposition))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a presigned %s cannot choose the headers of a reply: only GET and HEAD can", options->method);
    if (options->version_id && strcmp(options->method, "PUT") == 0)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a presigned PUT makes a new version: it takes no version id");
    return ORBIT_OK;
}

orbit_status orbit_presign(orbit_backend *backend, const char *path, const orbit_presign_options *given, char *url,
                           size_t room, orbit_error *error)
{
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    if (!url || !room)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_presign() needs room for the URL");
    url[0] = '\0';
    orbit_status status = orb_options_take(&options, sizeof(options), given, "orbit_presign_options", error);
    if (status < 0)
        return status;
    if (!options.method)
        options.method = "GET";
    if (!options.expires_s)
        options.expires_s = EXPIRES_DEFAULT_S;
    if ((status = check(&options, error)) < 0)
        return status;
    call.timeout_ms = options.timeout_ms;
    call.cancel = options.cancel;
    struct file_task *file = orb_file_new(&presign_kind, backend, path, NULL, &call, &status, error);
    if (!file)
        return status;
    /* Strings and room are the caller's, who waits. */
    file->request.presign = (orbit_presign_request){.method = options.method,
                                                    .version_id = options.version_id,
                                                    .content_type = options.content_type,
                                                    .content_disposition = options.content_disposition,
                                                    .expires_s = options.expires_s,
                                                    .url = url,
                                                    .room = room};
    return orb_task_run(&file->task, error);
}
