/* SPDX-License-Identifier: Apache-2.0
 * The metadata service of an EC2 instance, version 2 alone: a token first, then the role's name, then its keys. The
 * token's reply has a hop limit: from inside a container it may never arrive, which looks like no service. The
 * fetch's thread. docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html */
#include <strings.h>

#include "backend/s3/keys/provider.h"

#define ROLES "/latest/meta-data/iam/security-credentials/"

static const char who[] = "the instance metadata service";

static orbit_status get(struct orb_keys_fetch *fetch, const char *path, const char *more, orbit_pair header, bool token,
                        struct orb_buf *reply, int *http_status, int64_t *date_ns, orbit_error *error)
{
    const struct orb_keys_origin *origin = fetch->origin;
    struct orb_buf url;
    orb_buf_init(&url, 4096);
    if (origin->metadata_endpoint)
        orb_buf_append(&url, origin->metadata_endpoint,
                       strlen(origin->metadata_endpoint) - orb_str_suffix(origin->metadata_endpoint, "/"));
    else
        orb_buf_text(&url, origin->metadata_mode && strcasecmp(origin->metadata_mode, "ipv6") == 0
                               ? "http://[fd00:ec2::254]"
                               : "http://169.254.169.254");
    orb_buf_text(&url, path);
    orb_percent_encode(&url, more, strlen(more), "");
    struct orb_ask ask = {.method = token ? "PUT" : "GET",
                          .url = orb_buf_string(&url),
                          .headers = &header,
                          .header_count = 1,
                          .body = token ? "" : NULL,
                          .direct = true,
                          .connect_timeout_ms = ORB_KEYS_NEAR_MS,
                          .timeout_ms = token ? ORB_KEYS_NEAR_MS : 5000};
    orbit_status status =
        url.failed ? orb_fail_memory(error) : orb_keys_ask(fetch, &ask, reply, http_status, date_ns, error);
    orb_buf_release(&url);
    return status;
}

/* The role's name is the first line. */
static void first_line(char *text)
{
    text[strcspn(text, " \t\r\n")] = '\0';
}

static orbit_status by_token(struct orb_keys_fetch *fetch, const char *token, struct orb_buf *reply,
                             struct orb_keys *keys, orbit_error *error)
{
    static const struct orb_keys_names names = {NULL, "AccessKeyId", "SecretAccessKey", "Token", "Expiration", false};
    const orbit_pair header = {"x-aws-ec2-metadata-token", token};
    int http_status = 0;
    int64_t date_ns = 0;
    char role[256];
    orbit_status status = get(fetch, ROLES, "", header, false, reply, &http_status, &date_ns, error);
    if (status < 0)
        return status;
    if (http_status == 404 || (http_status == 200 && !reply->length))
        return ORBIT_END; /* an instance without a role */
    if (http_status != 200)
        return orb_keys_refused(who, http_status, "", NULL, error);
    first_line(reply->bytes);
    if (snprintf(role, sizeof role, "%s", reply->bytes) >= (int)sizeof role)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "%s told a role's name that is too long", who);
    status = get(fetch, ROLES, role, header, false, reply, &http_status, &date_ns, error);
    if (status >= 0 && http_status != 200)
        return orb_keys_refused(who, http_status, "", NULL, error);
    return status < 0 ? status : orb_keys_from_json(keys, reply, &names, date_ns, who, error);
}

orbit_status orb_keys_instance(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    const orbit_pair header = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
    const char *off = fetch->origin->metadata_disabled;
    struct orb_buf token = {0}, reply = {0};
    orbit_error why;
    int http_status = 0;
    int64_t date_ns = 0;
    fetch->from = "the instance";
    if (off && strcasecmp(off, "true") == 0)
        return ORBIT_END;
    orbit_status status = orb_keys_buf_init(&token) && orb_keys_buf_init(&reply) ? ORBIT_OK : orb_fail_memory(error);
    if (status >= 0) {
        status = get(fetch, "/latest/api/token", "", header, true, &token, &http_status, &date_ns, &why);
        /* Nobody there, or somebody else: this is not an instance. */
        bool nobody = status < 0 && status != ORBIT_E_CANCELLED && status != ORBIT_E_MEMORY;
        if (nobody || (status >= 0 && http_status != 200))
            status = ORBIT_END;
        else if (status < 0)
            orb_error_copy(error, &why);
    }
    if (status == ORBIT_OK) {
        first_line(token.bytes);
        status = by_token(fetch, orb_buf_string(&token), &reply, keys, error);
    }
    orb_keys_buf_release(&token);
    orb_keys_buf_release(&reply);
    return status;
}
