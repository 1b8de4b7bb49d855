/* SPDX-License-Identifier: Apache-2.0
 * Tasks: the calls of the other headers started without blocking, each reporting once.
 *
 * The arguments are those of the blocking call. What `result`, `metadata` and `source` point to lives
 * until the task is done; strings and option structs are copied when the task starts. `done` fires on
 * the thread that drives the loop, exactly once, also after a cancel, never from inside the call that
 * starts the task. If the start itself fails, a negative status is returned, `*task` is NULL and `done`
 * does not fire. A task is freed by its owner after `done` began (freeing inside it is fine); with a
 * NULL `task` argument it frees itself. */
#ifndef ORBIT_TASK_H
#define ORBIT_TASK_H

#include <orbit/file.h>
#include <orbit/list.h>
#include <orbit/read.h>
#include <orbit/write.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_task orbit_task;
typedef void orbit_task_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error);

/* Asks the task to end soon with ORBIT_E_CANCELLED. Any thread, any number of times. */
ORBIT_API void orbit_task_cancel(orbit_task *task);
/* Waits for the end and returns its status; `done` has returned by then. Not from a callback. */
ORBIT_API orbit_status orbit_task_wait(orbit_task *task, orbit_error *error);
/* Bytes done so far, and the total if known. Any thread. */
ORBIT_API void orbit_task_progress(const orbit_task *task, uint64_t *done, uint64_t *total);
/* What it asked its stores so far; `bytes` as of orbit_task_progress(). Any thread. ORBIT_E_MISUSE: `stats` is NULL
 * or has no size. */
ORBIT_API orbit_status orbit_task_get_stats(const orbit_task *task, orbit_stream_stats *stats);
/* Cancels and waits if it is still running, then frees. NULL is fine. */
ORBIT_API void orbit_task_free(orbit_task *task);

ORBIT_API orbit_status orbit_write_start(orbit_task **task, orbit_backend *backend, const char *path,
                                         orbit_source source, uint64_t size_hint, const orbit_write_options *options,
                                         orbit_write_result *result, orbit_task_done *done, void *ctx,
                                         orbit_error *error);
ORBIT_API orbit_status orbit_writer_finish_start(orbit_task **task, orbit_writer *writer, orbit_write_result *result,
                                                 orbit_task_done *done, void *ctx, orbit_error *error);
ORBIT_API orbit_status orbit_download_start(orbit_task **task, orbit_backend *backend, const char *path,
                                            const char *file, const orbit_download_options *options,
                                            orbit_download_result *result, orbit_task_done *done, void *ctx,
                                            orbit_error *error);
ORBIT_API orbit_status orbit_copy_start(orbit_task **task, orbit_backend *from_backend, const char *from,
                                        orbit_backend *to_backend, const char *to, const orbit_copy_options *options,
                                        orbit_write_result *result, orbit_task_done *done, void *ctx,
                                        orbit_error *error);
ORBIT_API orbit_status orbit_stat_start(orbit_task **task, orbit_backend *backend, const char *path,
                                        const orbit_call_options *options, orbit_metadata *metadata,
                                        orbit_task_done *done, void *ctx, orbit_error *error);
ORBIT_API orbit_status orbit_mkdir_start(orbit_task **task, orbit_backend *backend, const char *path,
                                         const orbit_call_options *options, orbit_task_done *done, void *ctx,
                                         orbit_error *error);
ORBIT_API orbit_status orbit_remove_start(orbit_task **task, orbit_backend *backend, const char *path,
                                          const orbit_call_options *options, orbit_task_done *done, void *ctx,
                                          orbit_error *error);
ORBIT_API orbit_status orbit_rename_start(orbit_task **task, orbit_backend *backend, const char *from, const char *to,
                                          bool overwrite, const orbit_call_options *options, orbit_task_done *done,
                                          void *ctx, orbit_error *error);
ORBIT_API orbit_status orbit_set_metadata_start(orbit_task **task, orbit_backend *backend, const char *path,
                                                const orbit_metadata *metadata, const orbit_call_options *options,
                                                orbit_task_done *done, void *ctx, orbit_error *error);
ORBIT_API orbit_status orbit_symlink_start(orbit_task **task, orbit_backend *backend, const char *target,
                                           const char *path, const orbit_call_options *options, orbit_task_done *done,
                                           void *ctx, orbit_error *error);
/* `target` is filled when the task is done. */
ORBIT_API orbit_status orbit_readlink_start(orbit_task **task, orbit_backend *backend, const char *path, char *target,
                                            size_t room, const orbit_call_options *options, orbit_task_done *done,
                                            void *ctx, orbit_error *error);

ORBIT_END_DECLS

#endif
