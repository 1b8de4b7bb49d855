/* SPDX-License-Identifier: Apache-2.0
 * Sessions of directory buckets (S3 Express One Zone): CreateSession gives keys for one bucket and five minutes, to
 * those whose own keys ask for it. A session is a source of keys like any other, so waiting for it, sharing and
 * renewing are the source's; only whose keys ask is different: they come from another source, on the loop, before
 * each fetch. docs.aws.amazon.com/AmazonS3/latest/API/API_CreateSession.html */
#include "backend/s3/keys/provider.h"
#include "base/clock.h"
#include "base/mem.h"

/* ---- what asks ----------------------------------------------------------------------------------------- */

void orb_keys_session_free(struct orb_keys_session *session)
{
    if (!session)
        return;
    orb_keys_release(&session->asking);
    orb_keys_source_close(session->by);
    orb_free(session->url);
    orb_free(session->region);
    orb_free(session);
}

orbit_status orb_keys_session_prepare(struct orb_keys_session *session, orbit_error *error)
{
    const struct orb_keys *keys = orb_keys_source_current(session->by, &session->generation);
    struct orb_keys *own = &session->asking;
    if (!keys)
        return orb_fail(error, ORBIT_E_AUTH, 0, "the credentials that ask for a session have expired");
    orb_keys_release(own);
    if (orb_keys_set(&own->access_key_id, keys->access_key_id) &&
        orb_keys_set(&own->secret_access_key, keys->secret_access_key) &&
        orb_keys_set(&own->session_token, keys->session_token))
        return ORBIT_OK;
    return orb_fail_memory(error);
}

orbit_status orb_keys_session_open(struct orb_keys_source **source, struct orbit_host *host,
                                   const struct orb_keys_session_config *config, orbit_error *error)
{
    struct orb_keys_origin *origin = orb_calloc(1, sizeof *origin);
    struct orb_keys_session *session = orb_calloc(1, sizeof *session);
    *source = NULL;
    if (session) {
        session->by = orb_keys_source_share(config->by);
        session->url = orb_strdup(config->url);
        session->region = orb_strdup(config->region);
    }
    if (origin) {
        origin->session = session;
        origin->ca_bundle = orb_strdup(config->ca_bundle);
        origin->no_verify_tls = config->no_verify_tls;
        origin->timeout_ms = ORB_KEYS_TIMEOUT_MS;
    }
    if (!origin || !session || !session->url || !session->region || (config->ca_bundle && !origin->ca_bundle)) {
        if (!origin)
            orb_keys_session_free(session);
        orb_keys_origin_free(origin);
        return orb_fail_memory(error);
    }
    return orb_keys_source_open(source, host, origin, error);
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

static orbit_status judge(struct orb_keys_answer *answer, int http_status, int64_t date_ns, orbit_error *error)
{
    const struct orb_keys *keys = answer->keys;
    if (http_status == 404)
        return orb_fail(error, ORBIT_E_NOT_FOUND, 0, "the bucket does not exist (CreateSession: %s)", answer->code);
    if (http_status != 200) {
        orbit_status status = orb_keys_refused("CreateSession", http_status, answer->code, answer->message, error);
        if (error)
            (void)snprintf(error->code, sizeof error->code, "%.*s", (int)sizeof error->code - 1, answer->code);
        return status;
    }
    if (!keys->access_key_id || !keys->secret_access_key || !keys->session_token)
        return orb_fail(error, ORBIT_E_AUTH, 0, "CreateSession gave no credentials");
    return orb_keys_expire(answer->keys, answer->expires_ns, date_ns, "CreateSession", error);
}

/* ---- the request --------------------------------------------------------------------------------------- */

struct call {
    struct orb_keys_signed base; /* first */
    const struct orb_keys_session *session;
    struct orb_buf reply, authorization;
};

static orbit_status ask(struct orb_keys_signed *base, int64_t offset_s, orbit_error *error)
{
    struct call *call = (struct call *)base;
    const struct orb_keys_session *session = call->session;
    const struct orb_keys *keys = &session->asking;
    const char *from = strstr(session->url, "://") + 3, *path = from + strcspn(from, "/");
    char date[ORB_SIGV4_DATE], host[300], plain_path[600];
    struct orb_sigv4 *signer = NULL;
    (void)snprintf(host, sizeof host, "%.*s", (int)(path - from), from);
    (void)snprintf(plain_path, sizeof plain_path, "%.*s", (int)strcspn(path, "?"), path);
    orb_sigv4_date(date, orb_realtime_ns() / (int64_t)ORB_S + offset_s);
    orbit_pair headers[] = {{"host", host},
                            {"x-amz-content-sha256", ORB_SIGV4_EMPTY},
                            {"x-amz-date", date},
                            {"authorization", NULL},
                            {"x-amz-security-token", keys->session_token}};
    orbit_pair signed_headers[] = {headers[0], headers[1], headers[2], headers[4]};
    size_t count = keys->session_token ? 4 : 3;
    struct orb_sigv4_request request = {"GET", plain_path, "session=", signed_headers, count, ORB_SIGV4_EMPTY};
    struct orb_sigv4_keys key = {keys->access_key_id, keys->secret_access_key, keys->session_token, session->region,
                                 "s3express"};
    orbit_status status = orb_sigv4_new(&signer, error);
    orb_buf_reset(&call->authorization);
    if (status >= 0)
        status = orb_sigv4_sign(signer, &key, &request, date, &call->authorization, error);
    orb_sigv4_free(signer);
    if (status < 0)
        return status;
    headers[3].value = orb_buf_string(&call->authorization);
    struct orb_ask question = {
        .method = "GET", .url = session->url, .headers = headers + 1, .header_count = keys->session_token ? 4 : 3};
    return orb_keys_ask(base->fetch, &question, &call->reply, &base->http_status, &base->date_ns, error);
}

orbit_status orb_keys_session_fetch(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error)
{
    struct call call = {.base = {.fetch = fetch, .who = "CreateSession", .ask = ask},
                        .session = fetch->origin->session};
    struct orb_keys_answer answer = {.keys = keys};
    fetch->from = "CreateSession";
    orb_buf_init(&call.authorization, 16 << 10);
    orbit_status status =
        orb_keys_buf_init(&call.reply) ? orb_keys_ask_signed(&call.base, error) : orb_fail_memory(error);
    if (status >= 0 && call.reply.length) /* a refusal may be a bare status */
        status = orb_keys_from_xml(&answer, &call.reply, 200, "CreateSession", error);
    if (status < 0 && status != ORBIT_E_MEMORY && call.base.http_status >= 300)
        status = ORBIT_OK; /* as may be a page that is no XML */
    if (status >= 0)
        status = judge(&answer, call.base.http_status, call.base.date_ns, error);
    if (status < 0)
        orb_keys_release(keys);
    orb_buf_release(&call.authorization);
    orb_keys_buf_release(&call.reply);
    return status;
}
