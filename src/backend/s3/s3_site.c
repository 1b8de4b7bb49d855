/* SPDX-License-Identifier: Apache-2.0
 * How the endpoint is connected to: certificates, proxies, a socket of this machine, time-outs. No I/O; the caller's
 * thread. */
#include <stdlib.h>
#include <sys/un.h>

#include "backend/s3/keys/keys.h"
#include "backend/s3/s3.h"

static const char *chosen(const char *given, const char *variable)
{
    if (!given || !*given)
        given = variable ? getenv(variable) : NULL;
    return given && *given ? given : NULL;
}

static bool keep(char **to, const char *text)
{
    *to = orb_strdup(text);
    return *to || !text;
}

orbit_status orb_s3_take_site(struct orb_s3 *s3, const orbit_open_options *options, const orbit_s3_config *config,
                              orbit_error *error)
{
    const char *cert = chosen(config->client_cert, "ORBIT_CLIENT_CERT");
    const char *key = chosen(config->client_key, config->client_cert ? NULL : "ORBIT_CLIENT_KEY");
    const char *unix_socket = chosen(config->unix_socket, NULL);
    struct orb_http_site environment = {0};
    orb_http_site_proxy(&environment, s3->secure);
    if (key && !cert)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a client key was given without its certificate (client_cert)");
    if (unix_socket && strlen(unix_socket) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the name of the socket '%.120s' is too long for one", unix_socket);
    if (!keep(&s3->ca_bundle, config->ca_bundle) || !keep(&s3->expected_bucket_owner, config->expected_bucket_owner) ||
        !keep(&s3->client_cert, cert) || !keep(&s3->client_key, key) || !keep(&s3->unix_socket, unix_socket) ||
        !keep(&s3->proxy, environment.proxy) || !keep(&s3->no_proxy, environment.no_proxy))
        return orb_fail_memory(error);
    s3->site = (struct orb_http_site){
        .ca_bundle = s3->ca_bundle,
        .no_verify_tls = config->no_verify_tls,
        .client_cert = s3->client_cert,
        .client_key = s3->client_key,
        .unix_socket = s3->unix_socket,
        .proxy = s3->proxy,
        .no_proxy = s3->no_proxy,
        .connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms : 5000,
        .first_byte_timeout_ms = options->first_byte_timeout_ms ? options->first_byte_timeout_ms : 15000,
        .stall_timeout_ms = options->stall_timeout_ms ? options->stall_timeout_ms : 15000,
    };
    return ORBIT_OK;
}

void orb_s3_release_site(struct orb_s3 *s3)
{
    orb_free(s3->ca_bundle);
    orb_free(s3->expected_bucket_owner);
    orb_free(s3->client_cert);
    orb_free(s3->client_key);
    orb_free(s3->unix_socket);
    orb_keys_wipe(&s3->proxy); /* may hold a password */
    orb_free(s3->no_proxy);
}
