/* SPDX-License-Identifier: Apache-2.0
 * Roles by the Security Token Service: AssumeRole, signed by other keys, and AssumeRoleWithWebIdentity, where a
 * token says who asks; and whose keys are ours (GetCallerIdentity). The fetch's thread.
 * docs.aws.amazon.com/STS/latest/APIReference */
#include "backend/s3/keys/provider.h"
#include "base/clock.h"
#include "base/mem.h"

enum { URL_ROOM = 512 };

static void field(struct orb_buf *form, const char *name, const char *value)
{
    if (!value)
        return;
    orb_buf_format(form, "%s%s=", form->length ? "&" : "", name);
    orb_percent_encode(form, value, strlen(value), "");
}

static orbit_status address(const struct orb_keys_fetch *fetch, const struct orb_keys_role *role, char *url,
                            orbit_error *error)
{
    const struct orb_keys_origin *origin = fetch->origin;
    const char *own = origin->sts_endpoint ? origin->sts_endpoint : origin->any_endpoint;
    int length;
    if (own)
        length = snprintf(url, URL_ROOM, "%s%s", own, strchr(own + strcspn(own, ":") + 3, '/') ? "" : "/");
    else
        length = snprintf(url, URL_ROOM, "https://sts.%s.amazonaws.com%s/", role->region,
                          orb_str_prefix(role->region, "cn-") ? ".cn" : "");
    bool fine = length > 0 && length < URL_ROOM && (orb_str_prefix(url, "https://") || orb_str_prefix(url, "http://"));
    return fine ? ORBIT_OK : orb_fail(error, ORBIT_E_CONFIG, 0, "the STS endpoint '%.200s' is not an address", url);
}

/* The Authorization header for a form; "host", "x-amz-date" and the token are signed. */
static orbit_status sign(const struct orb_keys *keys, const char *region, const char *url, const char *form,
                         int64_t now_s, char date[ORB_SIGV4_DATE], struct orb_buf *authorization, orbit_error *error)
{
    char hash[65], host[300];
    const char *from = strstr(url, "://") + 3, *path = from + strcspn(from, "/");
    struct orb_sigv4 *signer = NULL;
    struct orb_sha256 *sha = orb_sha256_new();
    bool fine = sha && orb_sha256_update(sha, form, strlen(form)) && orb_sha256_hex(sha, hash);
    orb_sha256_free(sha);
    if (!fine)
        return orb_fail_memory(error);
    (void)snprintf(host, sizeof host, "%.*s", (int)(path - from), from);
    orb_sigv4_date(date, now_s);
    orbit_pair headers[] = {{"content-type", "application/x-www-form-urlencoded"},
                            {"host", host},
                            {"x-amz-date", date},
                            {"x-amz-security-token", keys->session_token}};
    struct orb_sigv4_request request = {"POST", path, "", headers, keys->session_token ? 4 : 3, hash};
    struct orb_sigv4_keys key = {keys->access_key_id, keys->secret_access_key, keys->session_token, region, "sts"};
    orbit_status status = orb_sigv4_new(&signer, error);
    orb_buf_reset(authorization);
    if (status >= 0)
        status = orb_sigv4_sign(signer, &key, &request, date, authorization, error);
    orb_sigv4_free(signer);
    return status;
}

struct call {
    struct orb_keys_signed base; /* first */
    const struct orb_keys_role *role;
    const struct orb_keys *signer; /* nullable */
    char url[URL_ROOM];
    struct orb_buf form, reply, authorization;
};

static orbit_status ask(struct orb_keys_signed *base, int64_t offset_s, orbit_error *error)
{
    struct call *call = (struct call *)base;
    char date[ORB_SIGV4_DATE];
    orbit_pair headers[4] = {{"content-type", "application/x-www-form-urlencoded"}};
    struct orb_ask request = {.method = "POST", .url = call->url, .headers = headers, .header_count = 1};
    request.body = orb_buf_string(&call->form);
    if (call->signer) {
        orbit_status status = sign(call->signer, call->role->region, call->url, request.body,
                                   orb_realtime_ns() / (int64_t)ORB_S + offset_s, date, &call->authorization, error);
        if (status < 0)
            return status;
        headers[request.header_count++] = (orbit_pair){"x-amz-date", date};
        headers[request.header_count++] = (orbit_pair){"authorization", orb_buf_string(&call->authorization)};
        if (call->signer->session_token)
            headers[request.header_count++] = (orbit_pair){"x-amz-security-token", call->signer->session_token};
    }
    orbit_status status = orb_keys_ask(base->fetch, &request, &call->reply, &base->http_status, &base->date_ns, error);
    return orb_keys_unreached("STS", status, error);
}

static void fill_form(struct call *call)
{
    const struct orb_keys_role *role = call->role;
    char name[48];
    (void)snprintf(name, sizeof name, "orbit-%llu", (unsigned long long)(orb_realtime_ns() / (int64_t)ORB_S));
    field(&call->form, "Action", role->token ? "AssumeRoleWithWebIdentity" : "AssumeRole");
    field(&call->form, "Version", "2011-06-15");
    field(&call->form, "RoleArn", role->role_arn);
    field(&call->form, "RoleSessionName", role->session_name ? role->session_name : name);
    field(&call->form, "DurationSeconds", role->duration_s);
    field(&call->form, "ExternalId", role->external_id);
    field(&call->form, "WebIdentityToken", role->token);
    field(&call->form, "SerialNumber", role->mfa_serial);
    field(&call->form, "TokenCode", role->mfa_code);
}

/* One conversation: `fill` writes the form, `answer` receives what came of it. */
static orbit_status talk(struct call *call, const char *who, void (*fill)(struct call *call),
                         struct orb_keys_answer *answer, orbit_error *error)
{
    orb_buf_init(&call->authorization, 16 << 10);
    bool fine = orb_keys_buf_init(&call->form) && orb_keys_buf_init(&call->reply);
    orbit_status status = fine ? address(call->base.fetch, call->role, call->url, error) : orb_fail_memory(error);
    if (status >= 0) {
        fill(call);
        status = call->form.failed ? orb_fail(error, ORBIT_E_CONFIG, 0, "the request for the role is too long")
                 : call->signer    ? orb_keys_ask_signed(&call->base, error)
                                   : ask(&call->base, 0, error);
    }
    if (status >= 0)
        status = orb_keys_from_xml(answer, &call->reply, call->base.http_status, who, error);
    orb_buf_release(&call->authorization);
    orb_keys_buf_release(&call->form);
    orb_keys_buf_release(&call->reply);
    return status;
}

orbit_status orb_keys_assume_role(struct orb_keys_fetch *fetch, const struct orb_keys_role *role,
                                  const struct orb_keys *signer, struct orb_keys *keys, orbit_error *error)
{
    struct call call = {.base = {.fetch = fetch, .who = "STS", .ask = ask}, .role = role, .signer = signer};
    struct orb_keys_answer answer = {.keys = keys};
    char who[200];
    (void)snprintf(who, sizeof who, "STS, asked for the role '%.140s',", role->role_arn);
    orbit_status status = talk(&call, who, fill_form, &answer, error);
    if (status >= 0 && (!keys->access_key_id || !keys->secret_access_key || !keys->session_token))
        status = orb_fail(error, ORBIT_E_AUTH, 0, "%s gave no credentials", who);
    else if (status >= 0)
        status = orb_keys_expire(keys, answer.expires_ns, call.base.date_ns, who, error);
    if (status < 0)
        orb_keys_release(keys);
    return status;
}

static void fill_identity_form(struct call *call)
{
    field(&call->form, "Action", "GetCallerIdentity");
    field(&call->form, "Version", "2011-06-15");
}

orbit_status orb_keys_caller(struct orb_keys_fetch *fetch, const struct orb_keys *signer, const char *region, char *arn,
                             size_t room, orbit_error *error)
{
    const struct orb_keys_role role = {.region = region};
    struct call call = {.base = {.fetch = fetch, .who = "STS", .ask = ask}, .role = &role, .signer = signer};
    struct orb_keys none = {0};
    struct orb_keys_answer answer = {.keys = &none};
    orbit_status status = talk(&call, "STS, asked whose keys these are,", fill_identity_form, &answer, error);
    orb_keys_release(&none);
    if (status >= 0 && !answer.arn[0])
        status = orb_fail(error, ORBIT_E_PROTOCOL, 0, "STS did not say whose keys these are");
    (void)snprintf(arn, room, "%s", answer.arn);
    return status;
}

orbit_status orb_keys_assume_by_token_file(struct orb_keys_fetch *fetch, struct orb_keys_role *role, const char *path,
                                           struct orb_keys *keys, orbit_error *error)
{
    struct orb_buf token;
    orbit_status status = orb_keys_buf_init(&token) ? ORBIT_OK : orb_fail_memory(error);
    if (status >= 0)
        status = orb_keys_read_file(path, "the web identity token", &token, error);
    if (status >= 0 && !token.length)
        status = orb_fail(error, ORBIT_E_AUTH, 0, "the web identity token '%.300s' is empty", path);
    if (status >= 0) {
        role->token = orb_buf_string(&token);
        status = orb_keys_assume_role(fetch, role, NULL, keys, error);
    }
    orb_keys_buf_release(&token);
    return status;
}

/* AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, as EKS sets them. */
orbit_status orb_keys_web_identity(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    const struct orb_keys_origin *origin = fetch->origin;
    struct orb_keys_role role = {.role_arn = origin->role_arn,
                                 .session_name = origin->session_name,
                                 .region = origin->region ? origin->region : "us-east-1"};
    fetch->from = "a web identity";
    if (!origin->token_file || origin->profile_given)
        return ORBIT_END;
    if (!origin->role_arn)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    return orb_keys_assume_by_token_file(fetch, &role, origin->token_file, keys, error);
}
