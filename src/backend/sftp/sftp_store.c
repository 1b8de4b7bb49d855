/* SPDX-License-Identifier: Apache-2.0
 * The SFTP backend: its table, configuration, capabilities, and what names it. */
#include "backend/sftp/sftp.h"
#include "backend/sftp/sftp_config.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* A READ or WRITE, as large as OpenSSH takes them; so many that a connection has what it carries in 20 ms and more. */
#define STREAM_CHUNK ((uint64_t)255 << 10)
enum { STREAM_PARALLEL = 48 };

/* "dir" behind the host's '/' is /dir; "~/dir" is in the home directory, "~" that itself. */
static orbit_status take_root(struct sftp_store *store, const char *path, orbit_error *error)
{
    if (!path || !*path)
        return ORBIT_OK;
    struct orb_buf root;
    orb_buf_init(&root, ORB_SFTP_TEXT_MAX / 2);
    if (path[0] == '~' && (!path[1] || path[1] == '/')) {
        orb_buf_text(&root, path[1] && path[2] ? path + 2 : ".");
    } else {
        if (path[0] != '/')
            orb_buf_char(&root, '/');
        orb_buf_text(&root, path);
    }
    store->root = orb_buf_take(&root);
    return store->root ? ORBIT_OK : orb_fail(error, ORBIT_E_CONFIG, 0, "the path of the root is too long");
}

static bool take_names(struct sftp_store *store, const struct sftp_config *config)
{
    struct orb_buf name;
    const struct orb_ssh_settings *ssh = &config->ssh;
    bool colon = ssh->host && strchr(ssh->host, ':');
    orb_buf_init(&name, 4096);
    orb_buf_text(&name, "sftp://");
    if (ssh->user)
        orb_buf_format(&name, "%s@", ssh->user);
    orb_buf_format(&name, colon ? "[%s]" : "%s", ssh->host);
    if (ssh->port)
        orb_buf_format(&name, ":%u", ssh->port);
    store->locator = orb_buf_take(&name);
    store->peer = orb_strdup(ssh->host && *ssh->host ? ssh->host : "command");
    store->command = orb_strdup(config->command);
    return store->locator && store->peer && (store->command || !config->command);
}

static void sftp_capabilities(const struct sftp_store *store, orbit_capabilities *capabilities)
{
    capabilities->put_max = 1 << 20;
    capabilities->part_min = 1;
    capabilities->part_max = INT64_MAX;
    capabilities->remove_batch = 64;
    capabilities->chunk_default = 8 << 20;
    capabilities->parallel_default = SFTP_CHANNELS;
    capabilities->parallel_most = SFTP_CHANNELS_MAX; /* each has its own */
    capabilities->requests_first = 64; /* of small files: a session takes any number, and each waits for its way only */
    capabilities->stream_chunk = STREAM_CHUNK;
    capabilities->stream_parallel = STREAM_PARALLEL;
    capabilities->page_entries = 1000;
    capabilities->open_cursors_max = 32; /* handles of a server are few: OpenSSH has some hundreds a session */
    capabilities->ranged_read = true;
    capabilities->hierarchical = true;
    capabilities->atomic_no_overwrite = true;
    capabilities->atomic_rename = true;
    capabilities->resolves_rename = true;
    capabilities->resumes_bytes = true;
    capabilities->endpoint = store->command ? NULL : store->locator;
}

static orbit_status sftp_open(void **self, orbit_host *host, const orbit_open_request *request,
                              orbit_capabilities *capabilities, orbit_error *error)
{
    struct sftp_config config;
    struct sftp_store *store = orb_calloc(1, sizeof(*store));
    if (!store)
        return orb_fail_memory(error);
    orbit_status status = sftp_config_take(&config, host, request, SFTP_CHANNELS_MAX, error);
    if (status >= 0)
        status = take_root(store, config.root, error);
    if (status >= 0 && !take_names(store, &config))
        status = orb_fail_memory(error);
    store->host = host;
    store->stall_ms = request->options->stall_timeout_ms ? request->options->stall_timeout_ms : 15000;
    store->impatient = request->options->retry_attempts == 1;
    store->streams = request->options->parallel_operations ? request->options->parallel_operations : SFTP_CHANNELS;
    store->channels_most = config.channels ? (unsigned)config.channels : SFTP_CHANNELS_MAX;
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++) {
        store->channels[i].store = store;
        store->channels[i].kept_fd = -1;
    }
    if (status >= 0 && !store->command)
        status = orb_ssh_make(&store->ssh, host->loop, &host->log, &config.ssh, error);
    sftp_config_release(&config);
    if (status < 0) {
        orb_free(store->command);
        orb_free(store->peer);
        orb_free(store->locator);
        orb_free(store->root);
        orb_free(store);
        return status;
    }
    sftp_capabilities(store, capabilities);
    *self = store;
    return ORBIT_OK;
}

static void sftp_close(void *self, orbit_op *op)
{
    sftp_store_close(self, op);
}

/* The same account of the same host, reached in the same way. */
static bool sftp_same_store(void *self, void *other)
{
    const struct sftp_store *a = self, *b = other;
    return orb_str_equal(a->locator, b->locator) && orb_str_equal(a->command, b->command);
}

static orbit_status sftp_locate(void *self, const char *path, char *store_name, size_t store_room, char *key,
                                size_t key_room)
{
    const struct sftp_store *store = self;
    int store_length = snprintf(store_name, store_room, "%s", store->locator);
    int key_length = snprintf(key, key_room, "%s%s%s", store->root ? store->root : "", store->root ? "/" : "", path);
    bool fits =
        store_length >= 0 && (size_t)store_length < store_room && key_length >= 0 && (size_t)key_length < key_room;
    return fits ? ORBIT_OK : ORBIT_E_LIMIT;
}

const orbit_backend_ops orb_sftp_ops = {
    .size = sizeof(orbit_backend_ops),
    .name = "sftp",
    .open = sftp_open,
    .close = sftp_close,
    .cancel = sftp_call_cancel,
    .same_store = sftp_same_store,
    .probe = sftp_probe,
    .stat = sftp_stat,
    .list_begin = sftp_list_begin,
    .list_page = sftp_list_page,
    .list_end = sftp_list_end,
    .read = sftp_read,
    .put = sftp_put,
    .begin = sftp_begin,
    .part = sftp_part,
    .finish = sftp_finish,
    .abort = sftp_abort,
    .release = sftp_release,
    .remove = sftp_remove,
    .mkdir = sftp_mkdir,
    .rename = sftp_rename,
    .copy = sftp_copy,
    .set_metadata = sftp_set_metadata,
    .symlink = sftp_symlink,
    .readlink = sftp_readlink,
    .space = sftp_space,
    .locate = sftp_locate,
    .parts = sftp_parts,
    .uploads = sftp_uploads,
    .adopt = sftp_adopt,
    .written = sftp_written,
    .flush = sftp_flush,
    .way_ns = sftp_way_ns,
};
