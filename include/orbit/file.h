/* SPDX-License-Identifier: Apache-2.0
 * Calls on one path: one round trip each where the store allows it. They block; any thread but a
 * callback's. Paths are bytes relative to the backend's root; on an object store the path is the key,
 * taken literally. What a store cannot do is ORBIT_E_UNSUPPORTED, naming the operation. */
#ifndef ORBIT_FILE_H
#define ORBIT_FILE_H

#include <orbit/backend.h>
#include <orbit/client.h>
#include <orbit/metadata.h>
#include <orbit/write.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_call_options {
    size_t size;
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    const char *version_id; /* stat, remove */
    bool follow_symlinks;   /* stat: of the target rather than the link */
    bool recursive;         /* mkdir: parents too, an existing directory is fine. remove: whole trees */
    bool missing_ok;        /* remove: nothing there is success */
    const uint8_t *sse_customer_key;
} orbit_call_options;

#define ORBIT_CALL_OPTIONS_INIT                                     \
    {                                                               \
        sizeof(orbit_call_options), 0, 0, 0, false, false, false, 0 \
    }
ORBIT_API void orbit_call_options_init(orbit_call_options *options);

/* Fills `metadata`, which the caller releases with orbit_metadata_release(). On an object store a
 * prefix that holds objects is a directory. */
ORBIT_API orbit_status orbit_stat(orbit_backend *backend, const char *path, const orbit_call_options *options,
                                  orbit_metadata *metadata, orbit_error *error);
ORBIT_API orbit_status orbit_exists(orbit_backend *backend, const char *path, const orbit_call_options *options,
                                    bool *exists, orbit_error *error);
ORBIT_API orbit_status orbit_mkdir(orbit_backend *backend, const char *path, const orbit_call_options *options,
                                   orbit_error *error);
/* Removes a file, an object, an empty directory or (recursive) a tree. Symlinks are removed, never
 * followed. On object stores removing what does not exist is success, as the service has it; so it is with a
 * version, which may be the marker of a removal. */
ORBIT_API orbit_status orbit_remove(orbit_backend *backend, const char *path, const orbit_call_options *options,
                                    orbit_error *error);
/* Renames within the backend, replacing an existing file; atomic where the store is. `overwrite` false:
 * ORBIT_E_EXISTS. On an object store: server-side copy, then delete. */
ORBIT_API orbit_status orbit_rename(orbit_backend *backend, const char *from, const char *to, bool overwrite,
                                    const orbit_call_options *options, orbit_error *error);

/* Copies one file or object between any two backends, streaming: server-side where both are the same
 * store, reflink or copy_file_range on one disk, in parts otherwise. The backends may be of the same
 * client only. */
typedef struct orbit_copy_options {
    size_t size;
    const char *version_id; /* of the source */
    bool preserve;          /* mode, times, owner (where permitted), extended attributes, user metadata */
    bool no_server_copy;    /* the bytes go through this machine all the same */
    uint32_t verify;        /* orbit_verify */
    const uint8_t *source_sse_customer_key;
    const orbit_write_options *write; /* how the target is written; its cancel, timeout and progress count. Nullable */
    bool no_hedge;          /* a range that lags far behind the others is not asked for again on another connection */
    bool resume;            /* true: as in orbit_download(), where the target is a local file */
    uint64_t resume_offset; /* as in orbit_download(), where the target is a local file and the source none */
    /* What a listing or a stat has just said of the source: its size and time are made use of to begin sooner. Nullable,
     * copied. One that is wrong, or not true any more, costs speed alone. */
    const orbit_metadata *source_hint;
} orbit_copy_options;

#define ORBIT_COPY_OPTIONS_INIT                                                 \
    {                                                                           \
        sizeof(orbit_copy_options), 0, false, false, 0, 0, 0, false, true, 0, 0 \
    }
ORBIT_API void orbit_copy_options_init(orbit_copy_options *options);
ORBIT_API orbit_status orbit_copy(orbit_backend *from_backend, const char *from, orbit_backend *to_backend,
                                  const char *to, const orbit_copy_options *options, orbit_write_result *result,
                                  orbit_error *error);

/* Changes what `fields` names (ORBIT_HAS_MODE, _MTIME, _ATIME, _OWNER) and, when user_count > 0, the
 * user metadata. The bytes stay. */
ORBIT_API orbit_status orbit_set_metadata(orbit_backend *backend, const char *path, const orbit_metadata *metadata,
                                          const orbit_call_options *options, orbit_error *error);

/* Symbolic links. `target` of orbit_readlink receives a NUL-terminated string. */
ORBIT_API orbit_status orbit_symlink(orbit_backend *backend, const char *target, const char *path,
                                     const orbit_call_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_readlink(orbit_backend *backend, const char *path, char *target, size_t room,
                                      const orbit_call_options *options, orbit_error *error);

/* Extended attributes. `*length` receives the value's length, also when it is larger than `room`
 * (then ORBIT_E_LIMIT). The list is NUL-terminated names one after the other. */
ORBIT_API orbit_status orbit_xattr_get(orbit_backend *backend, const char *path, const char *name, void *value,
                                       size_t room, size_t *length, orbit_error *error);
ORBIT_API orbit_status orbit_xattr_set(orbit_backend *backend, const char *path, const char *name, const void *value,
                                       size_t length, orbit_error *error);
ORBIT_API orbit_status orbit_xattr_list(orbit_backend *backend, const char *path, char *names, size_t room,
                                        size_t *length, orbit_error *error);
ORBIT_API orbit_status orbit_xattr_remove(orbit_backend *backend, const char *path, const char *name,
                                          orbit_error *error);

/* Tags of an object, all of them: "name=value&name2=value2", each percent-encoded, as orbit_write_options.tagging
 * takes them. _get: `tagging` receives a NUL-terminated string, "" where there are none; ORBIT_E_LIMIT when `room`
 * is too small (S3 keeps ten of 384 characters: 16 KiB suffice). _set replaces them all; "" removes them. S3:
 * GetObjectTagging, PutObjectTagging, DeleteObjectTagging. */
ORBIT_API orbit_status orbit_tags_get(orbit_backend *backend, const char *path, char *tagging, size_t room,
                                      const orbit_call_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_tags_set(orbit_backend *backend, const char *path, const char *tagging,
                                      const orbit_call_options *options, orbit_error *error);

/* The parts that an object was made of, in the order of their numbers: those after `after` (0: from the first),
 * `room` at most. `*count` receives how many were filled in, `*more` whether others follow. None for an object that
 * was put in one piece, or without checksums; ORBIT_E_UNSUPPORTED where the store does not tell. S3:
 * GetObjectAttributes, one request. */
ORBIT_API orbit_status orbit_object_parts(orbit_backend *backend, const char *path, uint32_t after,
                                          orbit_object_part *parts, size_t room, size_t *count, bool *more,
                                          const orbit_call_options *options, orbit_error *error);

/* Free and total bytes of the store that holds `path`. */
ORBIT_API orbit_status orbit_space(orbit_backend *backend, const char *path, uint64_t *free_bytes,
                                   uint64_t *total_bytes, orbit_error *error);

/* Makes or removes the backend's container (the bucket of an s3:// backend). */
ORBIT_API orbit_status orbit_container_create(orbit_backend *backend, const orbit_call_options *options,
                                              orbit_error *error);
ORBIT_API orbit_status orbit_container_remove(orbit_backend *backend, const orbit_call_options *options,
                                              orbit_error *error);

/* Whether the container keeps the versions of its objects. What was once enabled can be suspended and not undone: the
 * versions that are there stay, and a write replaces the one without an id. _set takes ENABLED or SUSPENDED. S3:
 * GetBucketVersioning, PutBucketVersioning; a store may take a while to go by it (AWS: up to 15 minutes). */
typedef enum orbit_versioning {
    ORBIT_VERSIONING_OFF = 0, /* never enabled */
    ORBIT_VERSIONING_ENABLED,
    ORBIT_VERSIONING_SUSPENDED
} orbit_versioning;
ORBIT_API orbit_status orbit_versioning_get(orbit_backend *backend, orbit_versioning *versioning,
                                            const orbit_call_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_versioning_set(orbit_backend *backend, orbit_versioning versioning,
                                            const orbit_call_options *options, orbit_error *error);

ORBIT_END_DECLS

#endif
