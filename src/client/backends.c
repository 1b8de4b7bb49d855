/* SPDX-License-Identifier: Apache-2.0
 * Backend handles: opening one with a table of functions, who holds it, closing it when nobody does. Which table
 * a URL means is open.c's matter. Public calls: any thread; holders: loop thread. */
#include "client/backends.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "client/url.h"
#include "engine/call.h"

/* ---- settings that every backend has --------------------------------------------------------------- */

struct core_setting {
    const char *name;
    size_t offset;
    bool wide; /* uint64_t with a unit, else uint32_t */
};

#define CORE(field, wide)                                 \
    {                                                     \
#field, offsetof(orbit_open_options, field), wide \
    }
static const struct core_setting core_settings[] = {CORE(connect_timeout_ms, false), CORE(first_byte_timeout_ms, false),
                                                    CORE(stall_timeout_ms, false),   CORE(retry_attempts, false),
                                                    CORE(retry_deadline_ms, false),  CORE(chunk_size, true),
                                                    CORE(parallel_operations, false)};

static const struct core_setting *core_setting(const char *name)
{
    for (size_t i = 0; i < sizeof(core_settings) / sizeof(core_settings[0]); i++)
        if (!strcmp(core_settings[i].name, name))
            return &core_settings[i];
    return NULL;
}

static orbit_status core_set(orbit_open_options *options, const struct core_setting *setting, const char *value,
                             bool only_unset, orbit_error *error)
{
    uint64_t number = 0;
    bool good = setting->wide ? orb_parse_size(value, &number) : orb_parse_u64(value, &number);
    if (!good || (!setting->wide && number > UINT32_MAX))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the setting %s='%.64s' is not %s", setting->name, value,
                        setting->wide ? "a size such as 8M" : "a whole number");
    char *field = (char *)options + setting->offset;
    if (setting->wide) {
        if (!only_unset || *(uint64_t *)(void *)field == 0)
            *(uint64_t *)(void *)field = number;
    } else if (!only_unset || *(uint32_t *)(void *)field == 0) {
        *(uint32_t *)(void *)field = (uint32_t)number;
    }
    return ORBIT_OK;
}

/* What is left for the backend: the URL's settings, then the options', without those of every backend. The
 * options' fields overrule the URL's, the options' settings overrule both. */
static orbit_status sort_settings(orbit_open_options *options, const orbit_open_request *request, orbit_pair **left,
                                  size_t *count, size_t *of_url, orbit_error *error)
{
    *count = *of_url = 0;
    *left = orb_calloc(request->setting_count + options->setting_count + 1, sizeof(**left));
    if (!*left)
        return orb_fail_memory(error);
    for (size_t i = 0; i < request->setting_count + options->setting_count; i++) {
        bool from_url = i < request->setting_count;
        const orbit_pair *pair = from_url ? &request->settings[i] : &options->settings[i - request->setting_count];
        if (!pair->name || !pair->value)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "a setting without a name or a value");
        if (orb_url_secret_name(pair->name))
            return orb_fail(error, ORBIT_E_CONFIG, 0,
                            "'%s' is a secret, not a setting: give it in the environment or in the backend's config",
                            pair->name);
        const struct core_setting *setting = core_setting(pair->name);
        if (!setting) {
            (*left)[(*count)++] = *pair;
            *of_url += from_url;
            continue;
        }
        orbit_status status = core_set(options, setting, pair->value, from_url, error);
        if (status < 0)
            return status;
    }
    return ORBIT_OK;
}

static void default_options(orbit_open_options *options)
{
    if (!options->connect_timeout_ms)
        options->connect_timeout_ms = 5000;
    if (!options->stall_timeout_ms)
        options->stall_timeout_ms = 15000;
    if (!options->retry_deadline_ms)
        options->retry_deadline_ms = 900000;
}

static void default_capabilities(orbit_capabilities *caps)
{
    if (!caps->remove_batch)
        caps->remove_batch = 1;
    if (!caps->chunk_default)
        caps->chunk_default = 8ull << 20;
    if (!caps->parallel_default)
        caps->parallel_default = 8;
    if (!caps->attempts_default)
        caps->attempts_default = 10;
    if (!caps->page_entries)
        caps->page_entries = 1000;
    if (caps->part_min && !caps->part_max)
        caps->part_max = UINT64_MAX;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void backend_free(struct orbit_backend *backend)
{
    if (backend->gate)
        orb_gate_release(backend->gate);
    orb_free(backend->gate);
    orb_free(backend->core.url);
    orb_free(backend);
}

static struct orbit_backend *backend_new(struct orbit_client *client, const orbit_backend_ops *ops, const char *url,
                                         orbit_error *error)
{
    struct orbit_backend *backend = orb_calloc(1, sizeof(*backend));
    if (!backend || !(backend->core.url = orb_strdup(url)) ||
        !(backend->gate = orb_calloc(1, sizeof(*backend->gate)))) {
        if (backend)
            backend_free(backend);
        orb_fail_memory(error);
        return NULL;
    }
    orb_gate_init(backend->gate, client);
    backend->client = client;
    backend->core.ops = ops;
    backend->core.host = &client->host;
    return backend;
}

/* False: the client closes; the handle would never be closed by it. */
static bool enlist(struct orbit_client *client, struct orbit_backend *backend)
{
    pthread_mutex_lock(&client->mutex);
    bool open = !client->locked.closing;
    if (open) {
        backend->next = client->locked.backends;
        backend->link = &client->locked.backends;
        if (backend->next)
            backend->next->link = &backend->next;
        client->locked.backends = backend;
    }
    pthread_mutex_unlock(&client->mutex);
    return open;
}

static void delist(struct orbit_backend *backend)
{
    pthread_mutex_lock(&backend->client->mutex);
    if (backend->link) {
        *backend->link = backend->next;
        if (backend->next)
            backend->next->link = backend->link;
    }
    backend->next = NULL;
    backend->link = NULL;
    pthread_mutex_unlock(&backend->client->mutex);
}

orbit_status orb_backend_open(struct orbit_backend **made, struct orbit_client *client, const orbit_backend_ops *ops,
                              orbit_open_request *request, const orbit_open_options *given, bool listed,
                              orbit_error *error)
{
    *made = NULL;
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    orbit_status status = orb_options_take(&options, sizeof(options), given, "orbit_open_options", error);
    if (status < 0)
        return status;
    struct orbit_backend *backend = backend_new(client, ops, request->url, error);
    if (!backend)
        return ORBIT_E_MEMORY;
    orbit_pair *left = NULL;
    size_t left_count = 0;
    status = sort_settings(&options, request, &left, &left_count, &request->url_setting_count, error);
    if (status < 0)
        goto out;
    default_options(&options);
    options.settings = NULL;
    options.setting_count = 0;
    request->settings = left;
    request->setting_count = left_count;
    request->options = &options;
    backend->core.caps.size = sizeof(backend->core.caps);
    status = ops->open(&backend->core.self, &client->host, request, &backend->core.caps, error);
    if (status < 0)
        goto out;

    default_capabilities(&backend->core.caps);
    if (!options.first_byte_timeout_ms)
        options.first_byte_timeout_ms = 15000;
    if (!options.retry_attempts)
        options.retry_attempts = backend->core.caps.attempts_default;
    backend->core.fixed_chunk = options.chunk_size != 0;
    if (!options.chunk_size)
        options.chunk_size = backend->core.caps.chunk_default;
    backend->core.fixed_parallel = options.parallel_operations != 0;
    if (!options.parallel_operations)
        options.parallel_operations = backend->core.caps.parallel_default;
    backend->core.options = options;
    if (listed && !enlist(client, backend)) {
        orb_backend_shut(backend);
        orb_free(left);
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the client is being closed");
    }
    *made = backend;
out:
    orb_free(left);
    if (status < 0)
        backend_free(backend);
    return status;
}

/* ---- holding --------------------------------------------------------------------------------------- */

static void start_close(struct orb_message *message);

static void count_orphan(struct orbit_client *client, int used, int leaving)
{
    orb_gate_lock(client->gate);
    client->orphans += (uint32_t)used;
    client->leaving += (uint32_t)leaving;
    orb_gate_signal(client->gate);
    orb_gate_unlock(client->gate);
}

static void hold(struct orbit_backend *backend, uint32_t stoppable)
{
    orb_gate_lock(backend->gate);
    backend->users++;
    backend->stoppable += stoppable;
    orb_gate_unlock(backend->gate);
}

static void drop(struct orbit_backend *backend, uint32_t stoppable)
{
    orb_gate_lock(backend->gate);
    backend->users--;
    backend->stoppable -= stoppable;
    bool last_of_orphan = backend->orphan && backend->users == 0;
    orb_gate_signal(backend->gate);
    orb_gate_unlock(backend->gate);
    if (last_of_orphan) { /* nobody waits for it: it closes itself */
        count_orphan(backend->client, -1, 1);
        backend->close_message.deliver = start_close;
        orb_loop_post(backend->client->loop, &backend->close_message);
    }
}

void orb_backend_hold(struct orbit_backend *backend)
{
    hold(backend, 0);
}

void orb_backend_drop(struct orbit_backend *backend)
{
    drop(backend, 0);
}

void orb_backend_hold_stoppable(struct orbit_backend *backend)
{
    hold(backend, 1);
}

void orb_backend_drop_stoppable(struct orbit_backend *backend)
{
    drop(backend, 1);
}

void orb_backend_join(struct orbit_backend *backend, struct orb_holder *holder, void (*stop)(struct orb_holder *holder))
{
    *holder = (struct orb_holder){.backend = backend, .stop = stop};
    hold(backend, 1);
    holder->next = backend->holders;
    holder->link = &backend->holders;
    if (holder->next)
        holder->next->link = &holder->next;
    backend->holders = holder;
}

void orb_backend_leave(struct orb_holder *holder)
{
    struct orbit_backend *backend = holder->backend;
    if (!backend)
        return;
    *holder->link = holder->next;
    if (holder->next)
        holder->next->link = holder->link;
    *holder = (struct orb_holder){.stopped = holder->stopped};
    drop(backend, 1);
}

/* ---- closing --------------------------------------------------------------------------------------- */

/* A stop may end its user, and others with it: the lists are looked at anew after each. */
static bool stop_one_holder(struct orbit_backend *backend)
{
    for (struct orb_holder *holder = backend->holders; holder; holder = holder->next) {
        if (holder->stopped)
            continue;
        holder->stopped = true;
        holder->stop(holder);
        return true;
    }
    return false;
}

static void stop_users(void *ctx)
{
    struct orbit_backend *backend = ctx;
    while (orb_task_stop_some(backend->client, backend) || stop_one_holder(backend))
        ;
}

static void close_done(struct orb_op *op)
{
    struct orbit_backend *backend = (struct orbit_backend *)((char *)op - offsetof(struct orbit_backend, close_op));
    struct orbit_client *client = backend->client;
    orb_flow_release(&backend->core);
    orb_gate_lock(backend->gate);
    bool orphan = backend->orphan;
    backend->closed = true;
    orb_gate_signal(backend->gate);
    orb_gate_unlock(backend->gate);
    if (orphan) {
        backend_free(backend);
        count_orphan(client, 0, -1);
    }
}

static void start_close(struct orb_message *message)
{
    struct orbit_backend *backend =
        (struct orbit_backend *)((char *)message - offsetof(struct orbit_backend, close_message));
    if (!backend->core.ops->close) {
        close_done(&backend->close_op);
        return;
    }
    orb_op_begin(&backend->close_op, &backend->core, close_done);
    backend->close_op.op.deadline_ns = UINT64_MAX;
    backend->core.ops->close(backend->core.self, &backend->close_op.op);
}

void orb_backend_shut(struct orbit_backend *backend)
{
    struct orbit_client *client = backend->client;
    struct orb_gate *gate = backend->gate;
    delist(backend);
    orb_gate_lock(gate);
    if (backend->users > 0) {
        orb_log(&client->host.log, ORBIT_LOG_WARN, "'%s' is closed while %u calls or streams still use it",
                backend->core.url, backend->users);
        orb_gate_unlock(gate);
        orb_client_on_loop(client, stop_users, backend);
        orb_gate_lock(gate);
    }
    while (backend->stoppable > 0)
        orb_gate_wait(gate);
    if (backend->users > 0) {
        orb_log(&client->host.log, ORBIT_LOG_ERROR, "'%s' stays open until the %u streams that still use it are closed",
                backend->core.url, backend->users);
        count_orphan(client, 1, 0);
        backend->orphan = true;
        orb_gate_unlock(gate);
        return;
    }
    backend->close_message.deliver = start_close;
    orb_loop_post(client->loop, &backend->close_message);
    while (!backend->closed)
        orb_gate_wait(gate);
    orb_gate_unlock(gate);
    backend_free(backend);
}

void orbit_backend_close(orbit_backend *backend)
{
    if (!backend)
        return;
    orbit_error error;
    if (orb_client_check(backend->client, "orbit_backend_close", true, &error) < 0) {
        orb_log(&backend->client->host.log, ORBIT_LOG_ERROR, "%s", error.message);
        return;
    }
    orb_backend_shut(backend);
}

/* ---- what a handle tells --------------------------------------------------------------------------- */

const char *orbit_backend_name(const orbit_backend *backend)
{
    return backend && backend->core.ops->name ? backend->core.ops->name : "";
}

bool orbit_backend_supports(const orbit_backend *backend, orbit_operation operation)
{
    if (!backend)
        return false;
    const orbit_backend_ops *ops = backend->core.ops;
    const orbit_capabilities *caps = &backend->core.caps;
    if ((unsigned)operation < 32 && (caps->lacks & 1u << operation))
        return false;
    switch (operation) {
    case ORBIT_OPERATION_STAT:
        return ops->stat;
    case ORBIT_OPERATION_LIST:
        return ops->list_begin && ops->list_page && ops->list_end;
    case ORBIT_OPERATION_READ:
        return ops->read;
    case ORBIT_OPERATION_WRITE:
        return (ops->put && caps->put_max > 0) || (ops->begin && ops->part && ops->finish && caps->part_min > 0);
    case ORBIT_OPERATION_REMOVE:
        return ops->remove;
    case ORBIT_OPERATION_MKDIR:
        return ops->mkdir;
    case ORBIT_OPERATION_RENAME:
        return ops->rename || (ops->stat && ops->copy && ops->remove);
    case ORBIT_OPERATION_COPY:
        return ops->copy;
    case ORBIT_OPERATION_SET_METADATA:
        return ops->set_metadata;
    case ORBIT_OPERATION_SYMLINK:
        return ops->symlink && ops->readlink;
    case ORBIT_OPERATION_XATTR:
        return ops->xattr_get && ops->xattr_set && ops->xattr_list;
    case ORBIT_OPERATION_SPACE:
        return ops->space;
    case ORBIT_OPERATION_CONTAINER:
        return ops->container_create && ops->container_remove;
    case ORBIT_OPERATION_NO_OVERWRITE:
        return caps->atomic_no_overwrite;
    case ORBIT_OPERATION_TAGS:
        return ops->tags_get && ops->tags_set;
    case ORBIT_OPERATION_VERSIONING:
        return ops->versioning_get && ops->versioning_set;
    case ORBIT_OPERATION_DIRECTORIES:
        return caps->hierarchical;
    }
    return false;
}
