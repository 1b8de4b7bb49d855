/* SPDX-License-Identifier: Apache-2.0
 * orbit_download: a copy to the client's own local backend, as a task around engine/copy. */
#include <orbit/task.h>

#include "base/mem.h"
#include "base/options.h"
#include "client/task.h"
#include "engine/copy.h"
#include "stream/options.h"

#define KEY_BYTES 32

struct download_task {
    struct orbit_task task;
    struct orb_copy copy;
    orbit_write_options write;
    char *path, *file, *version_id, *if_match;
    uint8_t key[KEY_BYTES];
    orbit_download_result *result;
};

static void moved(void *ctx, uint64_t done, uint64_t total)
{
    struct download_task *download = ctx;
    orb_task_moved(&download->task, done, total, false);
}

static void ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct download_task *download = ctx;
    struct orb_copy *copy = &download->copy;
    orbit_download_result *result = download->result;
    if (status >= 0) {
        atomic_fetch_add(&download->task.client->bytes_read, copy->bytes - copy->resumed);
        orb_task_moved(&download->task, copy->bytes, copy->bytes, true);
    }
    if (status >= 0 && result) {
        result->bytes = copy->bytes;
        result->ranges = copy->parts;
        result->verified = copy->verified;
        result->bytes_resumed = copy->resumed;
        result->started_over = copy->started_over;
        result->metadata = copy->source;
        copy->source = (orbit_metadata)ORBIT_METADATA_INIT;
    }
    orb_copy_release(copy);
    orb_task_end(&download->task, status, error);
}

static void start(struct orbit_task *task)
{
    orb_copy_start(&((struct download_task *)task)->copy);
}

static void stop(struct orbit_task *task, orbit_status status)
{
    struct download_task *download = (struct download_task *)task;
    orbit_error error;
    orb_fail(&error, status, 0, "downloading '%s' was %s", download->path,
             status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
    orb_copy_stop(&download->copy, status, &error);
}

static void release(struct orbit_task *task)
{
    struct download_task *download = (struct download_task *)task;
    orb_copy_release(&download->copy);
    explicit_bzero(download->key, sizeof(download->key));
    orb_free(download->path);
    orb_free(download->file);
    orb_free(download->version_id);
    orb_free(download->if_match);
    orb_free(download);
}

static const struct orb_task_kind download_kind = {"orbit_download", start, NULL, stop, release};

static orbit_status keep(struct download_task *download, const char *path, const char *file,
                         const orbit_download_options *options, orbit_error *error)
{
    download->path = orb_strdup(path);
    download->file = orb_strdup(file);
    download->version_id = orb_strdup(options->version_id);
    download->if_match = orb_strdup(options->if_match);
    if (!download->path || !download->file || (options->version_id && !download->version_id) ||
        (options->if_match && !download->if_match))
        return orb_fail_memory(error);
    if (options->sse_customer_key)
        memcpy(download->key, options->sse_customer_key, sizeof(download->key));
    orbit_write_options *write = &download->write;
    orbit_write_options_init(write);
    write->overwrite = options->overwrite;
    write->create_parents = options->create_parents;
    write->chunk_size = options->chunk_size;
    write->parallel_operations = options->parallel_operations;
    write->sync = options->sync;
    download->task.timeout_ms = options->timeout_ms;
    download->task.cancel = options->cancel;
    download->task.progress = options->progress;
    return ORBIT_OK;
}

static struct download_task *download_new(orbit_backend *backend, const char *path, const char *file,
                                          const orbit_download_options *given, orbit_download_result *result,
                                          orbit_error *error)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    struct orbit_backend *local = NULL;
    if (!backend || !path || !file) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_download() without a backend, a path or a file");
        return NULL;
    }
    if (orb_options_take(&options, sizeof(options), given, "orbit_download_options", error) < 0 ||
        orb_download_result_check(result, error) < 0 ||
        orb_client_check(backend->client, "orbit_download", false, error) < 0 ||
        orb_client_local(backend->client, &local, error) < 0)
        return NULL;
    if (options.verify > ORBIT_VERIFY_FULL || options.sync > ORBIT_SYNC_DIRECTORY) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_download_options has a verify or sync that means nothing");
        return NULL;
    }
    if (options.resume_offset && !options.resume) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_download_options has a resume_offset without resume");
        return NULL;
    }
    struct download_task *download = orb_task_new(sizeof(*download), &download_kind, backend->client, error);
    if (!download)
        return NULL;
    if (keep(download, path, file, &options, error) < 0) {
        orb_task_discard(&download->task);
        return NULL;
    }
    download->result = result;
    download->task.holds[0] = backend;
    struct orb_copy *copy = &download->copy;
    copy->from = &backend->core;
    copy->to = &local->core;
    copy->from_path = download->path;
    copy->to_path = download->file;
    copy->version_id = download->version_id;
    copy->if_match = download->if_match;
    copy->source_key = options.sse_customer_key ? download->key : NULL;
    copy->length = ORBIT_TO_END;
    copy->options = &download->write;
    copy->tally = &download->task.tally;
    copy->preserve = options.preserve;
    copy->verify = options.verify != ORBIT_VERIFY_OFF;
    copy->no_hedge = options.no_hedge;
    copy->verify_full = options.verify == ORBIT_VERIFY_FULL;
    copy->keeps = options.resume;
    copy->prefix = options.resume_offset;
    orb_copy_kept_look(copy);
    copy->no_server_copy = options.if_match != NULL; /* a condition that only a read knows */
    copy->moved = moved;
    copy->ended = ended;
    copy->ctx = download;
    return download;
}

orbit_status orbit_download(orbit_backend *backend, const char *path, const char *file,
                            const orbit_download_options *options, orbit_download_result *result, orbit_error *error)
{
    orbit_error own = {0};
    struct download_task *download = download_new(backend, path, file, options, result, &own);
    if (download)
        return orb_task_run(&download->task, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}

orbit_status orbit_download_start(orbit_task **task, orbit_backend *backend, const char *path, const char *file,
                                  const orbit_download_options *options, orbit_download_result *result,
                                  orbit_task_done *done, void *ctx, orbit_error *error)
{
    orbit_error own = {0};
    if (task)
        *task = NULL;
    struct download_task *download = download_new(backend, path, file, options, result, &own);
    if (download)
        return orb_task_launch(&download->task, task, done, ctx, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}
