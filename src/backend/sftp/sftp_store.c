/* SPDX-License-Identifier: Apache-2.0
 * The SFTP backend: its table, configuration, capabilities, and what names it. */
#include "backend/sftp/sftp.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- configuration --------------------------------------------------------------------------------------------------- */

enum { IDENTITIES_MAX = 16, OPTIONS_MAX = 32 };

struct config {
    struct orb_ssh_settings ssh;
    const char *identities[IDENTITIES_MAX + 1], *options[OPTIONS_MAX + 1];
    unsigned identity_count, option_count;
    const char *command;
    uint64_t channels;
    char *user, *host; /* taken apart from the authority */
};

/* "user@host:port", "user@[::1]:port". */
static orbit_status take_authority(struct config *config, const orbit_open_request *request, orbit_error *error)
{
    const char *authority = request->authority ? request->authority : "", *at = strrchr(authority, '@');
    const char *host = at ? at + 1 : authority, *end, *port;
    uint64_t number = 0;
    bool bracket = *host == '[';
    end = bracket ? strchr(host, ']') : host + strcspn(host, ":");
    if (!end)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the host of '%s' has '[' without ']'", request->url);
    port = bracket ? end + 1 : end;
    if (bracket)
        host++;
    if (*port && (*port != ':' || !orb_parse_u64(port + 1, &number) || number == 0 || number > 65535))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the port of '%s' is not a number from 1 to 65535", request->url);
    if (end == host && !config->command)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s' names no host: sftp://host/path", request->url);
    config->host = orb_strndup(host, (size_t)(end - host));
    config->user = at ? orb_strndup(authority, (size_t)(at - authority)) : NULL;
    if (!config->host || (at && !config->user))
        return orb_fail_memory(error);
    if (config->user && orb_percent_decode(config->user, strlen(config->user), false) == SIZE_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the user of '%s' has a bad escape", request->url);
    config->ssh.host = config->host;
    config->ssh.user = config->user;
    config->ssh.port = (unsigned)number;
    return ORBIT_OK;
}

static orbit_status take_setting(struct config *config, const orbit_open_request *request, const orbit_pair *pair,
                                 orbit_error *error)
{
    if (orb_str_equal(pair->name, "identity") && config->identity_count < IDENTITIES_MAX) {
        config->identities[config->identity_count++] = pair->value;
    } else if (orb_str_equal(pair->name, "option") && config->option_count < OPTIONS_MAX) {
        config->options[config->option_count++] = pair->value;
    } else if (orb_str_equal(pair->name, "config_file")) {
        config->ssh.config_file = pair->value;
    } else if (orb_str_equal(pair->name, "ssh")) {
        config->ssh.program = pair->value;
    } else if (orb_str_equal(pair->name, "command")) {
        config->command = pair->value;
    } else if (orb_str_equal(pair->name, "channels")) {
        if (!orb_parse_u64(pair->value, &config->channels) || !config->channels || config->channels > SFTP_CHANNELS_MAX)
            return orb_fail(error, ORBIT_E_CONFIG, 0, "the setting channels='%.32s' is not a number from 1 to %d",
                            pair->value, SFTP_CHANNELS_MAX);
    } else {
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "'%s' has no setting '%.64s' (there are identity, option, config_file, ssh, command and channels)",
            request->url, pair->name);
    }
    return ORBIT_OK;
}

static orbit_status take_config(struct config *config, const orbit_open_request *request, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    for (size_t i = 0; i < request->setting_count && status >= 0; i++)
        status = take_setting(config, request, &request->settings[i], error);
    if (status >= 0)
        status = take_authority(config, request, error);
    config->ssh.identities = config->identities;
    config->ssh.options = config->options;
    return status;
}

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

static bool take_names(struct sftp_store *store, const struct config *config)
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
    store->peer = orb_strdup(*ssh->host ? ssh->host : "command");
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
    capabilities->parallel_default = 4;
    capabilities->page_entries = 1000;
    capabilities->open_cursors_max = 32; /* handles of a server are few: OpenSSH has some hundreds a session */
    capabilities->ranged_read = true;
    capabilities->hierarchical = true;
    capabilities->atomic_no_overwrite = true;
    capabilities->atomic_rename = true;
    capabilities->endpoint = store->command ? NULL : store->locator;
}

static orbit_status sftp_open(void **self, orbit_host *host, const orbit_open_request *request,
                              orbit_capabilities *capabilities, orbit_error *error)
{
    struct config config = {0};
    struct sftp_store *store = orb_calloc(1, sizeof(*store));
    if (!store)
        return orb_fail_memory(error);
    orbit_status status = take_config(&config, request, error);
    if (status >= 0)
        status = take_root(store, request->path, error);
    if (status >= 0 && !take_names(store, &config))
        status = orb_fail_memory(error);
    store->host = host;
    store->stall_ms = request->options->stall_timeout_ms ? request->options->stall_timeout_ms : 15000;
    store->channels_most = config.channels ? (unsigned)config.channels : SFTP_CHANNELS_MAX;
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        store->channels[i].store = store;
    if (status >= 0 && !store->command)
        status = orb_ssh_make(&store->ssh, host->loop, &host->log, &config.ssh, error);
    orb_free(config.user);
    orb_free(config.host);
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
};
