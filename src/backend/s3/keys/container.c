/* SPDX-License-Identifier: Apache-2.0
 * The credentials endpoint of a container: ECS tells a path on its agent, EKS and others a URL. A token goes
 * along, so the URL must be one that nobody else can listen on. The fetch's thread.
 * docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
#include <arpa/inet.h>

#include "backend/s3/keys/provider.h"

#define AGENT "http://169.254.170.2"

bool orb_keys_container_allowed(const char *url)
{
    /* ECS' and EKS' agents. */
    static const char *const agents[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "localhost", "[::1]"};
    char host[128];
    struct in_addr address;
    if (strpbrk(url, " \t\r\n@"))
        return false;
    if (orb_str_prefix(url, "https://"))
        return url[8] && url[8] != '/';
    if (!orb_str_prefix(url, "http://"))
        return false;
    const char *from = url + 7;
    size_t length = *from == '[' ? strcspn(from, "]") + 1 : strcspn(from, ":/?#");
    if (length >= sizeof host || length > strlen(from) || (from[length] && !strchr(":/?#", from[length])))
        return false;
    memcpy(host, from, length);
    host[length] = '\0';
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
        if (strcmp(host, agents[i]) == 0)
            return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static orbit_status read_token(const struct orb_keys_origin *origin, struct orb_buf *token, orbit_error *error)
{
    orbit_status status = ORBIT_OK;
    if (origin->container_token_file)
        status = orb_keys_read_file(origin->container_token_file, "the container's authorization token", token, error);
    else if (origin->container_token && !orb_buf_text(token, origin->container_token))
        status = orb_fail_memory(error);
    if (status >= 0 && token->length && strpbrk(token->bytes, "\r\n"))
        status = orb_fail(error, ORBIT_E_CONFIG, 0, "the container's authorization token has a line break in it");
    return status;
}

orbit_status orb_keys_container(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    static const struct orb_keys_names names = {NULL, "AccessKeyId", "SecretAccessKey", "Token", "Expiration", false};
    static const char who[] = "the container's credentials endpoint";
    const struct orb_keys_origin *origin = fetch->origin;
    struct orb_buf token = {0}, reply = {0}, url;
    int http_status = 0;
    int64_t date_ns = 0;
    fetch->from = "the container";
    if (!origin->container_path && !origin->container_url)
        return ORBIT_END;
    orb_buf_init(&url, 4096);
    if (origin->container_path)
        orb_buf_text(&url, AGENT);
    const char *given = origin->container_path ? origin->container_path : origin->container_url;
    orb_buf_text(&url, given);
    orbit_status status = ORBIT_OK;
    if (url.failed && strlen(given) + sizeof AGENT < url.max)
        status = orb_fail_memory(error);
    else if (url.failed || !orb_keys_container_allowed(orb_buf_string(&url)))
        status = orb_fail(error, ORBIT_E_CONFIG, 0,
                          "%s is '%.200s': it must be https, or http on this machine or at a container agent's address",
                          who, orb_buf_string(&url));
    else if (!orb_keys_buf_init(&token) || !orb_keys_buf_init(&reply))
        status = orb_fail_memory(error);
    else
        status = read_token(origin, &token, error);
    orbit_pair headers[2] = {{"accept", "application/json"}, {"authorization", orb_buf_string(&token)}};
    struct orb_ask ask = {.method = "GET",
                          .url = orb_buf_string(&url),
                          .headers = headers,
                          .header_count = token.length ? 2 : 1,
                          .direct = orb_str_prefix(orb_buf_string(&url), "http:"),
                          .connect_timeout_ms = ORB_KEYS_NEAR_MS,
                          .timeout_ms = 5000};
    if (status >= 0)
        status = orb_keys_unreached(who, orb_keys_ask(fetch, &ask, &reply, &http_status, &date_ns, error), error);
    if (status >= 0 && http_status != 200)
        status = orb_keys_refused(who, http_status, "", NULL, error);
    else if (status >= 0)
        status = orb_keys_from_json(keys, &reply, &names, date_ns, who, error);
    orb_buf_release(&url);
    orb_keys_buf_release(&token);
    orb_keys_buf_release(&reply);
    return status;
}
