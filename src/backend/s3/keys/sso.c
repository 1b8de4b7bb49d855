/* SPDX-License-Identifier: Apache-2.0
 * Single sign-on (IAM Identity Center): the token that `aws sso login` left in ~/.aws/sso/cache buys keys for a
 * role. One that is about to end is renewed where the file holds what that takes (sso_token.c). The fetch's thread.
 * docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html */
#include <openssl/evp.h>

#include "backend/s3/keys/provider.h"
#include "base/clock.h"

struct sign_on {
    const char *profile, *session, *start_url, *region, *account, *role;
};

static orbit_status configured(const struct orb_keys_fetch *fetch, struct sign_on *on, orbit_error *error)
{
    const struct orb_profiles *all = fetch->profiles;
    on->session = orb_profiles_get(all, ORB_PROFILE, on->profile, "sso_session");
    enum orb_profiles_kind kind = on->session ? ORB_PROFILE_SSO_SESSION : ORB_PROFILE;
    const char *name = on->session ? on->session : on->profile, *lacks = NULL;
    on->start_url = orb_profiles_get(all, kind, name, "sso_start_url");
    on->region = orb_profiles_get(all, kind, name, "sso_region");
    on->account = orb_profiles_get(all, ORB_PROFILE, on->profile, "sso_account_id");
    on->role = orb_profiles_get(all, ORB_PROFILE, on->profile, "sso_role_name");
    lacks = !on->start_url ? "sso_start_url"
            : !on->region  ? "sso_region"
            : !on->account ? "sso_account_id"
            : !on->role    ? "sso_role_name"
                           : NULL;
    return lacks ? orb_fail(error, ORBIT_E_CONFIG, 0, "the single sign-on of the profile '%.100s' lacks %s",
                            on->profile, lacks)
                 : ORBIT_OK;
}

static orbit_status log_in(const struct sign_on *on, const char *why, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_AUTH, 0, "%s: run 'aws sso login --profile %.100s'", why, on->profile);
}

/* The cache's file is named after the session, before there were sessions after the start URL. */
static orbit_status cache_file(const struct orb_keys_fetch *fetch, const struct sign_on *on, char *path, size_t room,
                               orbit_error *error)
{
    const char *name = on->session ? on->session : on->start_url;
    uint8_t hash[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned length = 0;
    if (EVP_Digest(name, strlen(name), hash, &length, EVP_sha1(), NULL) != 1)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "single sign-on needs SHA-1, which this OpenSSL does not offer");
    orb_hex(hex, hash, length);
    int made = snprintf(path, room, "%s/.aws/sso/cache/%s.json", fetch->origin->home ? fetch->origin->home : "", hex);
    if (made < 0 || (size_t)made >= room)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the home directory's name is too long");
    return ORBIT_OK;
}

static orbit_status read_token(struct orb_keys_fetch *fetch, const struct sign_on *on, struct orb_buf *token,
                               orbit_error *error)
{
    char path[4096];
    bool over = false;
    orbit_status status = cache_file(fetch, on, path, sizeof path, error);
    if (status >= 0)
        status = orb_keys_sso_token(fetch, path, on->region, token, &over, error);
    if (status == ORBIT_E_NOT_FOUND)
        return log_in(on, "there is no single sign-on token", error);
    if (status == ORBIT_END)
        return log_in(on, over ? "the single sign-on token has expired" : "the single sign-on token cannot be read",
                      error);
    return status;
}

static orbit_status buy(struct orb_keys_fetch *fetch, const struct sign_on *on, const char *token,
                        struct orb_buf *reply, struct orb_keys *keys, orbit_error *error)
{
    static const struct orb_keys_names names = {"roleCredentials", "accessKeyId", "secretAccessKey",
                                                "sessionToken",    "expiration",  false};
    struct orb_buf url;
    orbit_pair header = {"x-amz-sso_bearer_token", token};
    int http_status = 0;
    int64_t date_ns = 0;
    orb_buf_init(&url, 4096);
    if (fetch->origin->sso_endpoint)
        orb_buf_text(&url, fetch->origin->sso_endpoint);
    else
        orb_buf_format(&url, "https://portal.sso.%s.amazonaws.com%s", on->region,
                       orb_str_prefix(on->region, "cn-") ? ".cn" : "");
    orb_buf_text(&url, "/federation/credentials?role_name=");
    orb_percent_encode(&url, on->role, strlen(on->role), "");
    orb_buf_text(&url, "&account_id=");
    orb_percent_encode(&url, on->account, strlen(on->account), "");
    struct orb_ask ask = {.method = "GET", .url = orb_buf_string(&url), .headers = &header, .header_count = 1};
    orbit_status status =
        url.failed ? orb_fail_memory(error) : orb_keys_ask(fetch, &ask, reply, &http_status, &date_ns, error);
    if (status >= 0 && http_status == 401)
        status = log_in(on, "the single sign-on token was not accepted", error);
    else if (status >= 0 && http_status != 200)
        status = orb_keys_refused("single sign-on", http_status, "", NULL, error);
    else if (status >= 0)
        status = orb_keys_from_json(keys, reply, &names, date_ns, "single sign-on", error);
    orb_buf_release(&url);
    return status;
}

orbit_status orb_keys_sso(struct orb_keys_fetch *fetch, const char *profile, struct orb_keys *keys, orbit_error *error)
{
    struct sign_on on = {.profile = profile};
    struct orb_buf token = {0}, reply = {0};
    orbit_status status = configured(fetch, &on, error);
    if (status >= 0 && (!orb_keys_buf_init(&token) || !orb_keys_buf_init(&reply)))
        status = orb_fail_memory(error);
    if (status >= 0)
        status = read_token(fetch, &on, &token, error);
    if (status >= 0)
        status = buy(fetch, &on, orb_buf_string(&token), &reply, keys, error);
    orb_keys_buf_release(&token);
    orb_keys_buf_release(&reply);
    return status;
}
