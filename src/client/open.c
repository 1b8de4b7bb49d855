/* SPDX-License-Identifier: Apache-2.0
 * Which backend a URL or a typed config means: the only place that names the built-in backends, and the schemes
 * that a client was taught. Handles are made in backends.c. Any thread. */
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "client/backends.h"
#include "client/url.h"

#define SCHEME_MAX 32u /* characters */

static const struct {
    const char *scheme;
    const orbit_backend_ops *ops; /* NULL: known, but not in this version */
} built_in[] = {{"s3", &orb_s3_ops},     {"file", &orb_local_ops}, {"mem", &orb_mem_ops},
                {"sftp", &orb_sftp_ops}, {"ssh", &orb_sftp_ops},   {"smb", NULL},
                {"cifs", NULL}};

#define BUILT_IN_COUNT (sizeof(built_in) / sizeof(built_in[0]))

/* ---- options' defaults ----------------------------------------------------------------------------- */

void orbit_open_options_init(orbit_open_options *options)
{
    if (options)
        *options = (orbit_open_options)ORBIT_OPEN_OPTIONS_INIT;
}

void orbit_ssh_config_init(orbit_ssh_config *config)
{
    if (config)
        *config = (orbit_ssh_config)ORBIT_SSH_CONFIG_INIT;
}

void orbit_s3_config_init(orbit_s3_config *config)
{
    if (config)
        *config = (orbit_s3_config)ORBIT_S3_CONFIG_INIT;
}

/* ---- schemes --------------------------------------------------------------------------------------- */

const struct orb_registration *orb_client_registration(struct orbit_client *client, const char *scheme)
{
    pthread_mutex_lock(&client->mutex);
    struct orb_registration *registration = client->locked.registrations;
    while (registration && strcmp(registration->scheme, scheme) != 0)
        registration = registration->next;
    pthread_mutex_unlock(&client->mutex);
    return registration;
}

static orbit_status unknown_scheme(struct orbit_client *client, const char *scheme, orbit_error *error)
{
    struct orb_buf known;
    orb_buf_init(&known, 200);
    pthread_mutex_lock(&client->mutex);
    for (const struct orb_registration *r = client->locked.registrations; r; r = r->next)
        if (!orb_buf_format(&known, ", %s", r->scheme))
            break;
    orbit_status status =
        orb_fail(error, ORBIT_E_CONFIG, 0,
                 "'%.32s://' is not a scheme that this client knows: there are s3, file, mem, sftp, ssh%s", scheme,
                 orb_buf_string(&known));
    pthread_mutex_unlock(&client->mutex);
    orb_buf_release(&known);
    return status;
}

static bool scheme_is_good(const char *scheme)
{
    size_t length = strnlen(scheme, SCHEME_MAX + 1);
    if (length == 0 || length > SCHEME_MAX || !islower((unsigned char)scheme[0]))
        return false;
    for (const char *c = scheme; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '+' && *c != '-' && *c != '.')
            return false;
    return true;
}

static struct orb_registration *registration_new(const char *scheme, const orbit_backend_ops *ops, void *ctx)
{
    struct orb_registration *made = orb_calloc(1, sizeof(*made));
    if (!made || !(made->scheme = orb_strdup(scheme))) {
        orb_free(made);
        return NULL;
    }
    /* A table from an older header is shorter: what it lacks is not supported. */
    memcpy(&made->ops, ops, ops->size < sizeof(made->ops) ? ops->size : sizeof(made->ops));
    made->ops.size = sizeof(made->ops);
    if (!made->ops.name)
        made->ops.name = made->scheme;
    made->ctx = ctx;
    return made;
}

orbit_status orbit_register(orbit_client *client, const char *scheme, const orbit_backend_ops *ops, void *ctx,
                            orbit_error *error)
{
    orbit_status status = orb_client_check(client, "orbit_register", false, error);
    if (status < 0)
        return status;
    if (!scheme || !ops || ops->size < offsetof(orbit_backend_ops, close) || !ops->open)
        return orb_fail(error, ORBIT_E_MISUSE, 0,
                        "orbit_register() needs a scheme and a table with its size set and an open function");
    if (!scheme_is_good(scheme))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a scheme is 1 to %u lower-case letters, digits, '+', '-' and '.', a letter first", SCHEME_MAX);
    for (size_t i = 0; i < BUILT_IN_COUNT; i++)
        if (built_in[i].ops && !strcmp(built_in[i].scheme, scheme))
            return orb_fail(error, ORBIT_E_EXISTS, 0, "the scheme '%s' is built in", scheme);
    struct orb_registration *made = registration_new(scheme, ops, ctx);
    if (!made)
        return orb_fail_memory(error);

    pthread_mutex_lock(&client->mutex);
    struct orb_registration **place = &client->locked.registrations;
    while (*place && strcmp((*place)->scheme, scheme) != 0)
        place = &(*place)->next;
    bool taken = *place != NULL;
    if (!taken)
        *place = made;
    pthread_mutex_unlock(&client->mutex);
    if (!taken)
        return ORBIT_OK;
    orb_free(made->scheme);
    orb_free(made);
    return orb_fail(error, ORBIT_E_EXISTS, 0, "the scheme '%s' is registered already", scheme);
}

static orbit_status find_ops(struct orbit_client *client, const char *scheme, const orbit_backend_ops **ops, void **ctx,
                             orbit_error *error)
{
    const struct orb_registration *registration = orb_client_registration(client, scheme);
    if (registration) {
        *ops = &registration->ops;
        *ctx = registration->ctx;
        return ORBIT_OK;
    }
    for (size_t i = 0; i < BUILT_IN_COUNT; i++) {
        if (strcmp(built_in[i].scheme, scheme) != 0)
            continue;
        *ops = built_in[i].ops;
        if (*ops)
            return ORBIT_OK;
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                        "%s:// is not built into this version of Orbit; a local file with a colon in its name is "
                        "written ./name:x",
                        scheme);
    }
    return unknown_scheme(client, scheme, error);
}

/* ---- opening --------------------------------------------------------------------------------------- */

static orbit_status check_open(orbit_backend **backend, orbit_client *client, const char *what, orbit_error *error)
{
    if (!backend)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() needs a place for the backend", what);
    *backend = NULL;
    return orb_client_check(client, what, false, error);
}

orbit_status orbit_open(orbit_backend **backend, orbit_client *client, const char *url,
                        const orbit_open_options *options, orbit_error *error)
{
    orbit_status status = check_open(backend, client, "orbit_open", error);
    if (status < 0)
        return status;
    if (!url)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_open() without a URL");
    struct orb_url parts;
    status = orb_url_parse(&parts, url, error);
    if (status < 0)
        goto out;
    const orbit_backend_ops *ops = NULL;
    void *ctx = NULL;
    status = find_ops(client, parts.scheme, &ops, &ctx, error);
    if (status < 0)
        goto out;
    orbit_open_request request = {.url = url,
                                  .authority = parts.authority,
                                  .path = parts.path,
                                  .settings = parts.settings,
                                  .setting_count = parts.setting_count,
                                  .ctx = ctx};
    status = orb_backend_open(backend, client, ops, &request, options, true, error);
out:
    orb_url_release(&parts);
    return status;
}

/* The typed configs: `scheme`, `authority` and `path` are for messages and for the backend alike. */
static orbit_status open_typed(orbit_backend **backend, orbit_client *client, const orbit_backend_ops *ops,
                               const char *scheme, const char *authority, const char *path, const void *config,
                               const orbit_open_options *options, orbit_error *error)
{
    struct orb_buf url;
    orb_buf_init(&url, ORB_URL_MAX);
    authority = authority ? authority : "";
    path = path ? path : "";
    const char *between = *path && *path != '/' ? "/" : "";
    if (!orb_buf_format(&url, "%s:%s%s%s%s", scheme, *authority || *path ? "//" : "", authority, between, path)) {
        bool too_long = strlen(scheme) + strlen(authority) + strlen(path) + 4 > ORB_URL_MAX;
        orb_buf_release(&url);
        return too_long ? orb_fail(error, ORBIT_E_CONFIG, 0, "the name or path given to open the backend is too long")
                        : orb_fail_memory(error);
    }
    orbit_open_request request = {.url = orb_buf_string(&url), .authority = authority, .path = path, .config = config};
    orbit_status status = orb_backend_open(backend, client, ops, &request, options, true, error);
    orb_buf_release(&url);
    return status;
}

orbit_status orbit_open_local(orbit_backend **backend, orbit_client *client, const orbit_local_config *config,
                              const orbit_open_options *options, orbit_error *error)
{
    orbit_local_config kept = ORBIT_LOCAL_CONFIG_INIT;
    orbit_status status = check_open(backend, client, "orbit_open_local", error);
    if (status >= 0)
        status = orb_options_take(&kept, sizeof(kept), config, "orbit_local_config", error);
    if (status < 0)
        return status;
    return open_typed(backend, client, &orb_local_ops, "file", NULL, kept.root, &kept, options, error);
}

orbit_status orbit_open_mem(orbit_backend **backend, orbit_client *client, const orbit_mem_config *config,
                            const orbit_open_options *options, orbit_error *error)
{
    orbit_mem_config kept = ORBIT_MEM_CONFIG_INIT;
    orbit_status status = check_open(backend, client, "orbit_open_mem", error);
    if (status >= 0)
        status = orb_options_take(&kept, sizeof(kept), config, "orbit_mem_config", error);
    if (status < 0)
        return status;
    return open_typed(backend, client, &orb_mem_ops, "mem", kept.name, NULL, &kept, options, error);
}

orbit_status orbit_open_s3(orbit_backend **backend, orbit_client *client, const orbit_s3_config *config,
                           const orbit_open_options *options, orbit_error *error)
{
    orbit_s3_config kept = ORBIT_S3_CONFIG_INIT;
    orbit_status status = check_open(backend, client, "orbit_open_s3", error);
    if (status >= 0)
        status = orb_options_take(&kept, sizeof(kept), config, "orbit_s3_config", error);
    if (status < 0)
        return status;
    return open_typed(backend, client, &orb_s3_ops, "s3", kept.bucket, NULL, &kept, options, error);
}

/* What messages call it: a host with a colon is an address. */
static bool ssh_authority(struct orb_buf *name, const orbit_ssh_config *config)
{
    const char *host = config->host ? config->host : "";
    bool fine = !config->user || orb_buf_format(name, "%s@", config->user);
    fine = fine && orb_buf_format(name, *host != '[' && strchr(host, ':') ? "[%s]" : "%s", host);
    return fine && (!config->port || orb_buf_format(name, ":%u", (unsigned)config->port));
}

orbit_status orbit_open_ssh(orbit_backend **backend, orbit_client *client, const orbit_ssh_config *config,
                            const orbit_open_options *options, orbit_error *error)
{
    orbit_ssh_config kept = ORBIT_SSH_CONFIG_INIT;
    orbit_status status = check_open(backend, client, "orbit_open_ssh", error);
    if (status >= 0)
        status = orb_options_take(&kept, sizeof(kept), config, "orbit_ssh_config", error);
    if (status < 0)
        return status;
    struct orb_buf authority;
    orb_buf_init(&authority, ORB_URL_MAX);
    status = ssh_authority(&authority, &kept)
                 ? open_typed(backend, client, &orb_sftp_ops, "sftp", orb_buf_string(&authority), kept.root, &kept,
                              options, error)
                 : orb_fail(error, ORBIT_E_CONFIG, 0, "the host of an orbit_ssh_config is too long");
    orb_buf_release(&authority);
    return status;
}

/* The unrooted local disk, one a client, opened when it is first needed. The mutex is not held while a backend
 * opens: who comes second throws its own away. */
orbit_status orb_client_local(struct orbit_client *client, struct orbit_backend **local, orbit_error *error)
{
    pthread_mutex_lock(&client->mutex);
    *local = client->locked.local;
    pthread_mutex_unlock(&client->mutex);
    if (*local)
        return ORBIT_OK;

    orbit_open_request request = {.url = "file:", .authority = "", .path = ""};
    struct orbit_backend *made = NULL;
    orbit_status status = orb_backend_open(&made, client, &orb_local_ops, &request, NULL, false, error);
    if (status < 0)
        return status;
    pthread_mutex_lock(&client->mutex);
    bool first = !client->locked.local;
    if (first)
        client->locked.local = made;
    *local = client->locked.local;
    pthread_mutex_unlock(&client->mutex);
    if (!first)
        orb_backend_shut(made);
    return ORBIT_OK;
}
