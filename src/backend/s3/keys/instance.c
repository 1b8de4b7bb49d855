/* SPDX-License-Identifier: Apache-2.0
 * The metadata service of an EC2 instance, version 2 alone: a token first, then the role's name, then its keys. The
 * token's reply has a hop limit: from inside a container it may never arrive, which looks like no service. The
 * fetch's thread. docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html */
#include <strings.h>

#include "backend/s3/keys/provider.h"

#define ROLES "/latest/meta-data/iam/security-credentials/"

static const char who[] = "the instance metadata service";

/* Where it is, without a slash at the end. */
static const char *base(const struct orb_keys_origin *origin, int *length)
{
    const char *given = origin->metadata_endpoint;
    if (!given)
        given = origin->metadata_mode && strcasecmp(origin->metadata_mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
                                                                                        : "http://169.254.169.254";
    *length = (int)(strlen(given) - orb_str_suffix(given, "/"));
    return given;
}

/* `reached`: for the token, whether anybody was there; NULL: this is for what the token is good for. */
static orbit_status get(struct orb_keys_fetch *fetch, const char *path, const char *more, orbit_pair header,
                        bool *reached, struct orb_buf *reply, int *http_status, int64_t *date_ns, orbit_error *error)
{
    struct orb_buf url;
    int length;
    const char *from = base(fetch->origin, &length);
    orb_buf_init(&url, 4096);
    orb_buf_append(&url, from, (size_t)length);
    orb_buf_text(&url, path);
    orb_percent_encode(&url, more, strlen(more), "");
    struct orb_ask ask = {.method = reached ? "PUT" : "GET",
                          .url = orb_buf_string(&url),
                          .headers = &header,
                          .header_count = 1,
                          .body = reached ? "" : NULL,
                          .direct = true,
                          .connect_timeout_ms = ORB_KEYS_NEAR_MS,
                          .timeout_ms = reached ? ORB_KEYS_NEAR_MS : 5000,
                          .reached = reached};
    orbit_status status =
        url.failed ? orb_fail_memory(error) : orb_keys_ask(fetch, &ask, reply, http_status, date_ns, error);
    orb_buf_release(&url);
    return status;
}

enum { WHERE = sizeof who + sizeof " at " - 1 + 80 };

/* Who it is and where, for messages. Returns `room`. */
static const char *where(const struct orb_keys_fetch *fetch, char room[WHERE])
{
    int length;
    const char *from = base(fetch->origin, &length);
    (void)snprintf(room, WHERE, "%s at %.*s", who, length < 80 ? length : 80, from);
    return room;
}

/* There are no keys here, and somebody said so: that is told with the chain's end. */
static orbit_status without(struct orb_keys_fetch *fetch, const char *what, const char *why)
{
    char room[WHERE];
    (void)snprintf(fetch->without, sizeof fetch->without, "%s %.60s%.80s", where(fetch, room), what, why);
    return ORBIT_END;
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
    orbit_status status = get(fetch, ROLES, "", header, NULL, reply, &http_status, &date_ns, error);
    if (status < 0)
        return status;
    if (http_status == 404 || (http_status == 200 && !reply->length))
        return without(fetch, "has no role for this instance", "");
    if (http_status != 200)
        return orb_keys_refused(who, http_status, "", NULL, error);
    first_line(reply->bytes);
    if (snprintf(role, sizeof role, "%s", reply->bytes) >= (int)sizeof role)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "%s told a role's name that is too long", who);
    status = get(fetch, ROLES, role, header, NULL, reply, &http_status, &date_ns, error);
    if (status >= 0 && http_status != 200)
        return orb_keys_refused(who, http_status, "", NULL, error);
    return status < 0 ? status : orb_keys_from_json(keys, reply, &names, date_ns, who, error);
}

/* What became of the first step. Nobody there: this is no instance. What is at fault for now is worth another try; the
 * rest may be somebody else's service, as other clouds have one at that address. */
static orbit_status token_refused(struct orb_keys_fetch *fetch, orbit_status status, int http_status, bool reached,
                                  const orbit_error *why, orbit_error *error)
{
    char what[WHERE];
    if (status == ORBIT_E_CANCELLED || status == ORBIT_E_MEMORY) {
        orb_error_copy(error, why);
        return status;
    }
    if (status < 0 && !reached)
        return ORBIT_END;
    if (status == ORBIT_E_TIMEOUT) /* a hop limit of 1 lets the connection through, and not the token */
        return without(fetch, "does not answer: ", "in a container its hop limit must be 2");
    if (status < 0)
        return without(fetch, "gives no token: ", why->message);
    if (http_status >= 500 || http_status == 429)
        return orb_keys_refused(where(fetch, what), http_status, "", NULL, error);
    (void)snprintf(what, sizeof what, "refused a token (HTTP %d)", http_status);
    return without(fetch, what, http_status == 403 ? ": it is disabled on this instance" : "");
}

orbit_status orb_keys_instance(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    const orbit_pair header = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
    const char *off = fetch->origin->metadata_disabled;
    struct orb_buf token = {0}, reply = {0};
    orbit_error why;
    int http_status = 0;
    int64_t date_ns = 0;
    bool reached = false, disabled = false;
    fetch->from = "the instance";
    if (orb_parse_bool(off, &disabled) && disabled)
        return ORBIT_END;
    orbit_status status = orb_keys_buf_init(&token) && orb_keys_buf_init(&reply) ? ORBIT_OK : orb_fail_memory(error);
    if (status >= 0) {
        status = get(fetch, "/latest/api/token", "", header, &reached, &token, &http_status, &date_ns, &why);
        if (status < 0 || http_status != 200)
            status = token_refused(fetch, status, http_status, reached, &why, error);
    }
    if (status == ORBIT_OK) {
        first_line(token.bytes);
        status = by_token(fetch, orb_buf_string(&token), &reply, keys, error);
    }
    orb_keys_buf_release(&token);
    orb_keys_buf_release(&reply);
    return status;
}
