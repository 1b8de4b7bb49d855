/* SPDX-License-Identifier: Apache-2.0
 * What the single-shot calls share: a task around one call of the engine. Private to src/client/file*.c,
 * remove.c and rename.c. Bodies: loop thread once launched. */
#ifndef ORB_CLIENT_FILE_TASK_H
#define ORB_CLIENT_FILE_TASK_H

#include <orbit/file.h>

#include "client/task.h"
#include "engine/call.h"

#define ORB_CUSTOMER_KEY_BYTES 32

struct file_task;

/* One kind of call. `task` first: the task points at it. */
struct file_kind {
    struct orb_task_kind task;
    const char *verb; /* "stat": for "'s3://b' cannot stat" */
    size_t op;        /* offset of the backend's function in orbit_backend_ops */
    /* One attempt: makes request and reply fresh and calls the backend. */
    void (*attempt)(struct file_task *file);
    /* After success: hands the reply to the caller. Nullable. */
    void (*deliver)(struct file_task *file);
    /* What a retry finds when the attempt before, whose reply was lost, had done the work; 0: nothing */
    orbit_status done_before;
};

struct file_task {
    struct orbit_task task;
    struct orb_call call;
    struct orbit_backend *backend;
    const struct file_kind *kind;
    orbit_call_options options;       /* pointers: into this body, or the caller's cancel token */
    char *path, *second, *version_id; /* second: target or name */
    uint8_t key[ORB_CUSTOMER_KEY_BYTES];
    bool maybe_done; /* a reply was lost on the way */
    bool overwrite;

    union {
        orbit_stat_request stat;
        orbit_mkdir_request mkdir;
        orbit_rename_request rename;
        orbit_set_metadata_request set_metadata;
        orbit_link_request link;
        orbit_bytes_request bytes;
        orbit_xattr_set_request xattr_set;
        orbit_presign_request presign;
        orbit_tags_request tags;
        orbit_object_parts_request object_parts;
        orbit_probe_request probe;
    } request;
    orbit_metadata metadata; /* stat: the reply; set_metadata: a copy of what is to be set */
    orbit_space_reply space;
    uint32_t versioning; /* the reply, or what is to be set */

    /* The caller's, until the task is done. */
    orbit_metadata *metadata_out;
    uint64_t *free_out, *total_out;
    orbit_versioning *versioning_out;
    orbit_object_parts_reply object_parts;
    bool *more_out;
    char *target_out;
    size_t *length_out;
    size_t length;
};

/* Takes options apart, copies strings, fills the task. `path` and `second` must not be NULL where the kind
 * needs them: the caller checks. NULL with `*status` and `error` filled. */
struct file_task *orb_file_new(const struct file_kind *kind, orbit_backend *backend, const char *path,
                               const char *second, const orbit_call_options *given, orbit_status *status,
                               orbit_error *error);
/* The kind's functions for tasks of one call. */
void orb_file_start(struct orbit_task *task);
void orb_file_stop(struct orbit_task *task, orbit_status status);
void orb_file_release(struct orbit_task *task);

/* The options with defaults, for other bodies. */
orbit_status orb_call_options_take(orbit_call_options *known, const orbit_call_options *given, orbit_error *error);
orbit_status orb_unsupported(orbit_error *error, const struct orbit_backend *backend, const char *verb);

#define ORB_FILE_KIND(function, verb_text, field, attempt_function, deliver_function, before)                      \
    {                                                                                                              \
        .task = {.name = (function), .start = orb_file_start, .stop = orb_file_stop, .release = orb_file_release}, \
        .verb = (verb_text), .op = offsetof(orbit_backend_ops, field), .attempt = (attempt_function),              \
        .deliver = (deliver_function), .done_before = (before)                                                     \
    }

#endif
