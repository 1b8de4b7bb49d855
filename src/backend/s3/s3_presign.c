/* SPDX-License-Identifier: Apache-2.0
 * presign: the address of a request with its signature in the query. Nothing is sent. Only `host` is signed, so that
 * whoever uses the URL is free in all other headers; what else the request needs is in its query. Loop thread. */
#include "backend/s3/s3.h"
#include "base/clock.h"

enum { QUERY_MAX = 24 << 10 };

static orbit_status sign(struct orb_s3_op *op, const orbit_presign_request *request, struct orb_buf *query,
                         orbit_error *error)
{
    struct orb_s3 *s3 = op->s3;
    struct orb_keys_source *source = orb_s3_op_keys(op);
    const struct orb_keys *keys = source ? orb_keys_source_current(source, &op->keys) : NULL;
    bool in_session = source && source == s3->session;
    const orbit_pair host = {"host", op->address->authority};
    char date[ORB_SIGV4_DATE];
    if (!keys)
        return orb_fail(error, ORBIT_E_AUTH, 0,
                        s3->keys ? "the credentials expire as soon as they come"
                                 : "anonymous access has no keys to sign with");
    const char *path = strchr(orb_buf_string(&op->url) + strlen("https://"), '/');
    struct orb_sigv4_keys key = {keys->access_key_id, keys->secret_access_key, in_session ? NULL : keys->session_token,
                                 op->address->region, op->address->service};
    struct orb_sigv4_request signed_request = {request->method, path ? path : "/", "", &host, 1, ORB_SIGV4_UNSIGNED};
    if (in_session)
        orb_s3_param(op, "X-Amz-S3session-Token", keys->session_token);
    orb_sigv4_date(date, orb_realtime_ns() / (int64_t)ORB_S + s3->clock_offset_s);
    return orb_sigv4_presign(s3->signer, &key, &signed_request, op->params, op->param_count, date, request->expires_s,
                             query, error);
}

static orbit_status write_url(struct orb_s3_op *op, const orbit_presign_request *request, orbit_error *error)
{
    struct orb_buf query;
    orb_buf_init(&query, QUERY_MAX);
    orbit_status status = op->url.failed ? orb_fail_memory(error) : sign(op, request, &query, error);
    if (status >= 0) {
        int length = snprintf(request->url, request->room, "%s?%s", orb_buf_string(&op->url), orb_buf_string(&query));
        if (length < 0 || (size_t)length >= request->room) {
            request->url[0] = '\0';
            status = orb_fail(error, ORBIT_E_LIMIT, 0, "the signed URL has %d bytes, there is room for %zu", length,
                              request->room - 1);
        }
    }
    orb_buf_release(&query);
    return status;
}

struct presign_op {
    struct orb_s3_op base; /* first */
    const orbit_presign_request *request;
};

static void write_and_end(struct orb_s3_op *op)
{
    const orbit_presign_request *request = ((struct presign_op *)op)->request;
    orbit_error error;
    char name[240];
    orbit_status status = write_url(op, request, &error);
    if (status < 0)
        orb_error_prefix(&error, "cannot presign '%s'", orb_s3_name(op->s3, request->path, name, sizeof name));
    orb_s3_op_end(op, status, &error);
}

void orb_s3_presign(void *self, orbit_op *op, const orbit_presign_request *request)
{
    struct presign_op *presign = orb_s3_op_new(self, op, sizeof *presign, "presign", request->path);
    if (!presign)
        return;
    struct orb_s3_op *base = &presign->base;
    presign->request = request;
    const struct orb_s3 *s3 = base->s3;
    orbit_error error;
    if (!*request->path) {
        orbit_status status = orb_fail(&error, ORBIT_E_PATH, 0, "cannot presign 's3://%s': it is a bucket", s3->bucket);
        orb_s3_op_end(base, status, &error);
        return;
    }
    orb_s3_begin(base, request->method, request->path);
    orb_s3_param(base, "versionId", request->version_id);
    orb_s3_param(base, "response-content-type", request->content_type);
    orb_s3_param(base, "response-content-disposition", request->content_disposition);
    if (s3->request_payer)
        orb_s3_param(base, "x-amz-request-payer", "requester");
    orb_s3_param(base, "x-amz-expected-bucket-owner", s3->expected_bucket_owner);
    orb_s3_with_keys(base, write_and_end);
}
