/* SPDX-License-Identifier: Apache-2.0
 * The client: one loop, its workers and lanes, one budget; opening, closing, driving an external loop, counters.
 * Knows no backend; those are open.c's. Any thread. */
#include "client/client.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "client/backends.h"
#include "engine/admission.h"

#define WORKERS_DEFAULT 4u
#define WORKERS_MAX     256u
#define LANES_DEFAULT   4u
#define LANES_MAX       64u

#define VERSION_MAJOR 0
#define VERSION_MINOR 1
#define VERSION_PATCH 0
#define TEXT_OF(x)    #x
#define TEXT(x)       TEXT_OF(x)

const char *orbit_version(void)
{
    return TEXT(VERSION_MAJOR) "." TEXT(VERSION_MINOR) "." TEXT(VERSION_PATCH);
}

uint32_t orbit_version_number(void)
{
    return VERSION_MAJOR << 16 | VERSION_MINOR << 8 | VERSION_PATCH;
}

void orbit_client_options_init(orbit_client_options *options)
{
    if (options)
        *options = (orbit_client_options)ORBIT_CLIENT_OPTIONS_INIT;
}

/* ---- who may call ---------------------------------------------------------------------------------- */

orbit_status orb_client_check(const struct orbit_client *client, const char *what, bool blocking, orbit_error *error)
{
    if (!client)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a client or handle", what);
    if (client->pid != getpid())
        return orb_fail(error, ORBIT_E_MISUSE, 0,
                        "%s() in a forked child: the client belongs to the parent, open a new one here", what);
    if (blocking && orb_loop_is_current(client->loop))
        return orb_fail(error, ORBIT_E_MISUSE, 0,
                        "%s() blocks and was called from a callback, which must not: start a task instead", what);
    return ORBIT_OK;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static unsigned lanes_default(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1)
        return 1;
    return cores < (long)LANES_DEFAULT ? (unsigned)cores : LANES_DEFAULT;
}

static orbit_status take_options(orbit_client_options *options, const orbit_client_options *given, orbit_error *error)
{
    orbit_status status = orb_options_take(options, sizeof(*options), given, "orbit_client_options", error);
    if (status < 0)
        return status;
    if (!options->memory_bytes)
        options->memory_bytes = ORB_BUDGET_DEFAULT;
    if (!options->workers)
        options->workers = WORKERS_DEFAULT;
    if (options->lanes_on_loop)
        options->lanes = 0;
    else if (!options->lanes)
        options->lanes = lanes_default();
    if (options->memory_bytes < ORB_BUDGET_FLOOR)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a client needs at least 16 MiB of memory, not %llu bytes",
                        (unsigned long long)options->memory_bytes);
    if (options->workers > WORKERS_MAX || options->lanes > LANES_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "%u workers and %u lanes are too many: at most %u and %u",
                        options->workers, options->lanes, WORKERS_MAX, LANES_MAX);
    return ORBIT_OK;
}

/* All of it may be half made. */
static void client_free(struct orbit_client *client)
{
    struct orbit_host *host = &client->host;
    orb_lanes_free(host->lanes);
    orb_pool_free(host->pool);
    orb_loop_free(host->loop);
    if (host->admission)
        orb_admission_close(host);
    while (client->locked.registrations) {
        struct orb_registration *registration = client->locked.registrations;
        client->locked.registrations = registration->next;
        orb_free(registration->scheme);
        orb_free(registration);
    }
    if (client->gate)
        orb_gate_release(client->gate);
    orb_free(client->gate);
    orb_log_release(&host->log);
    pthread_mutex_destroy(&host->attach_mutex);
    pthread_mutex_destroy(&client->mutex);
    pthread_mutex_destroy(&client->drive_mutex);
    pthread_cond_destroy(&client->drive_cond);
    orb_free((void *)(uintptr_t)client->spool_dir);
    orb_free(client);
    orb_buffer_trim();
}

static orbit_status client_make(struct orbit_client *client, const orbit_client_options *options, orbit_error *error)
{
    struct orbit_host *host = &client->host;
    if (!(client->gate = orb_calloc(1, sizeof(*client->gate))))
        return orb_fail_memory(error);
    orb_gate_init(client->gate, client);
    if (options->spool_dir && !(client->spool_dir = orb_strdup(options->spool_dir)))
        return orb_fail_memory(error);
    orbit_status status = orb_loop_new(&host->loop, "orbit-loop", options->external_loop, error);
    client->loop = host->loop;
    if (status >= 0)
        status = orb_pool_new(&host->pool, options->workers, error);
    if (status >= 0)
        status = orb_lanes_new(&host->lanes, options->lanes, host->loop, error);
    if (status >= 0)
        status = orb_admission_open(host, error);
    if (status >= 0 && !options->external_loop)
        status = orb_loop_start(host->loop, error);
    return status;
}

orbit_status orbit_client_open(orbit_client **made, const orbit_client_options *given, orbit_error *error)
{
    if (!made)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_client_open() needs a place for the client");
    *made = NULL;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_status status = take_options(&options, given, error);
    if (status < 0)
        return status;
    struct orbit_client *client = orb_calloc(1, sizeof(*client));
    if (!client)
        return orb_fail_memory(error);
    client->pid = getpid();
    client->external = options.external_loop;
    pthread_mutex_init(&client->mutex, NULL);
    pthread_mutex_init(&client->drive_mutex, NULL);
    pthread_cond_init(&client->drive_cond, NULL);
    pthread_mutex_init(&client->host.attach_mutex, NULL);
    orb_log_init(&client->host.log, &options.log);
    client->host.trace = options.trace;
    client->host.prompt = options.prompt;
    orb_budget_init(&client->host.budget, options.memory_bytes);
    status = client_make(client, &options, error);
    if (status < 0)
        client_free(client);
    else
        *made = client;
    return status;
}

/* ---- closing --------------------------------------------------------------------------------------- */

static void nothing(void *ctx)
{
    (void)ctx;
}

static void close_backends(struct orbit_client *client)
{
    for (;;) {
        pthread_mutex_lock(&client->mutex);
        client->locked.closing = true;
        struct orbit_backend *backend = client->locked.backends;
        if (!backend) {
            backend = client->locked.local;
            client->locked.local = NULL;
        } else {
            orb_log(&client->host.log, ORBIT_LOG_WARN, "the client is closed while '%s' is still open",
                    backend->core.url);
        }
        pthread_mutex_unlock(&client->mutex);
        if (!backend)
            return;
        orb_backend_shut(backend);
    }
}

void orbit_client_close(orbit_client *client)
{
    if (!client || client->pid != getpid())
        return;
    orbit_error error;
    if (orb_client_check(client, "orbit_client_close", true, &error) < 0) {
        orb_log(&client->host.log, ORBIT_LOG_ERROR, "%s", error.message);
        return;
    }
    close_backends(client);
    orb_client_on_loop(client, nothing, NULL); /* callbacks that were running have returned */
    orb_gate_lock(client->gate);
    while (client->leaving > 0)
        orb_gate_wait(client->gate);
    uint32_t orphans = client->orphans;
    orb_gate_unlock(client->gate);
    if (orphans > 0) {
        orb_log(&client->host.log, ORBIT_LOG_ERROR,
                "the client was closed before its streams: it stays in memory, since they still use it");
        return;
    }
    orb_host_detach_all(&client->host);
    pthread_mutex_lock(&client->drive_mutex); /* a thread that drove is on its way out */
    while (client->driving)
        pthread_cond_wait(&client->drive_cond, &client->drive_mutex);
    pthread_mutex_unlock(&client->drive_mutex);
    client_free(client);
}

/* ---- external loops -------------------------------------------------------------------------------- */

int orbit_client_fd(orbit_client *client)
{
    if (!client || !client->external || client->pid != getpid())
        return -1;
    return orb_loop_fd(client->loop);
}

int orbit_client_timeout_ms(orbit_client *client)
{
    if (!client || !client->external || client->pid != getpid())
        return -1;
    return orb_loop_timeout_ms(client->loop);
}

orbit_status orbit_client_process(orbit_client *client, orbit_error *error)
{
    orbit_status status = orb_client_check(client, "orbit_client_process", true, error);
    if (status < 0)
        return status;
    if (!client->external)
        return orb_fail(error, ORBIT_E_MISUSE, 0,
                        "orbit_client_process() is for clients that were opened with external_loop");
    orb_client_turn(client);
    return ORBIT_OK;
}

/* ---- counters -------------------------------------------------------------------------------------- */

orbit_status orb_tally_tell(const struct orb_tally *tally, uint64_t bytes, orbit_stream_stats *stats)
{
    if (!stats || stats->size < sizeof(stats->size))
        return ORBIT_E_MISUSE;
    orbit_stream_stats now = {.bytes = bytes,
                              .operations = atomic_load(&tally->operations),
                              .retries = atomic_load(&tally->retries),
                              .throttled = atomic_load(&tally->throttled),
                              .hedges = atomic_load(&tally->hedges),
                              .hedge_bytes = atomic_load(&tally->hedge_bytes),
                              .hurries = atomic_load(&tally->hurries),
                              .in_flight = atomic_load(&tally->in_flight),
                              .in_flight_most = atomic_load(&tally->in_flight_most)};
    for (unsigned i = 0; i < ORBIT_REQUEST_ROOM; i++)
        now.attempts[i] = atomic_load(&tally->attempts[i]);
    now.size = stats->size;
    memcpy(stats, &now, now.size < sizeof(now) ? now.size : sizeof(now));
    return ORBIT_OK;
}

orbit_status orbit_client_get_stats(orbit_client *client, orbit_client_stats *stats)
{
    if (!client || !stats || stats->size < sizeof(stats->size))
        return ORBIT_E_MISUSE;
    struct orbit_host *host = &client->host;
    orbit_client_stats now = {.memory_limit_bytes = host->budget.limit,
                              .memory_used_bytes = atomic_load(&host->budget.used),
                              .memory_peak_bytes = atomic_load(&host->budget.peak),
                              .operations = atomic_load(&host->tally.operations),
                              .retries = atomic_load(&host->tally.retries),
                              .throttled = atomic_load(&host->tally.throttled),
                              .bytes_read = atomic_load(&client->bytes_read),
                              .bytes_written = atomic_load(&client->bytes_written),
                              .hedges = atomic_load(&host->tally.hedges),
                              .hedge_bytes = atomic_load(&host->tally.hedge_bytes),
                              .hurries = atomic_load(&host->tally.hurries)};
    for (unsigned i = 0; i < ORBIT_REQUEST_ROOM; i++)
        now.attempts[i] = atomic_load(&host->tally.attempts[i]);
    now.size = stats->size;
    memcpy(stats, &now, now.size < sizeof(now) ? now.size : sizeof(now));
    return ORBIT_OK;
}
