/* SPDX-License-Identifier: Apache-2.0
 * stat: a HEAD of the object; where there is none, a listing of one key says whether a directory of that name
 * exists. A HEAD that is refused has no body that says why, so the reason is asked for with a GET. Where a checksum
 * of the whole is wanted and the store keeps one of the parts' CRCs, it follows from those. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

struct stat_op {
    struct orb_s3_op base; /* first */
    orbit_stat_request request;
    orbit_metadata *out;
    struct orb_buf prefix;
    bool found;
    orbit_error head_error;
    struct orb_s3_whole whole;
};

static void free_stat(struct orb_s3_op *op)
{
    orb_buf_release(&((struct stat_op *)op)->prefix);
}

static void directory(struct stat_op *stat)
{
    stat->out->kind = ORBIT_KIND_DIRECTORY;
    orb_s3_op_end(&stat->base, ORBIT_OK, NULL);
}

/* ---- is there something below it? ------------------------------------------------------------------ */

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct stat_op *stat = ctx;
    (void)text, (void)length;
    if (depth == 2 && (strcmp(name, "Contents") == 0 || strcmp(name, "CommonPrefixes") == 0))
        stat->found = true;
    return true;
}

static void listed(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct stat_op *stat = (struct stat_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && strcmp(error.code, "KeyTooLongError") == 0) { /* a '/' more than fits: nothing is below */
        orb_s3_op_end(op, ORBIT_E_NOT_FOUND, &stat->head_error);
        return;
    }
    if (status >= 0)
        status = orb_s3_parse_beside_key(op, &events, stat, &error);
    if (status < 0)
        orb_s3_op_end(op, status, &error);
    else if (stat->found)
        directory(stat);
    else
        orb_s3_op_end(op, ORBIT_E_NOT_FOUND, &stat->head_error);
}

static void look_below(struct stat_op *stat)
{
    struct orb_s3_op *op = &stat->base;
    orb_buf_init(&stat->prefix, ORB_S3_KEY_MAX + 1);
    orb_s3_key(op->s3, stat->request.path, &stat->prefix);
    if (!orb_str_suffix(stat->request.path, "/"))
        orb_buf_char(&stat->prefix, '/');
    orb_s3_begin(op, "GET", NULL);
    op->url.failed |= stat->prefix.failed;
    orb_s3_list_params(op);
    orb_s3_param(op, "max-keys", "1");
    orb_s3_param(op, "encoding-type", "url");
    orb_s3_param(op, "prefix", orb_buf_string(&stat->prefix));
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, listed);
}

/* ---- what is the checksum of the whole? ------------------------------------------------------------ */

static void ask_for_parts(struct stat_op *stat);

/* Where it cannot be had the object has the composite one, as before. */
static void parts_told(struct orb_s3_op *op)
{
    struct stat_op *stat = (struct stat_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_attributes_read(op, &stat->whole.page, &error);
    if (status == ORBIT_E_CANCELLED || status == ORBIT_E_MEMORY) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    if (status >= 0 && stat->whole.page.more && !stat->whole.broken) {
        ask_for_parts(stat);
        return;
    }
    if (status >= 0)
        (void)orb_s3_whole_end(&stat->whole, stat->out->size, &stat->out->checksum);
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void ask_for_parts(struct stat_op *stat)
{
    const orbit_stat_request *request = &stat->request;
    const char *version = request->version_id ? request->version_id : stat->out->version_id;
    orb_s3_attributes_ask(&stat->base, request->path, version, request->sse_customer_key, stat->whole.page.last,
                          parts_told);
}

/* ---- the object ------------------------------------------------------------------------------------ */

static void send_request(struct stat_op *stat, const char *method, void (*finished)(struct orb_s3_op *op))
{
    struct orb_s3_op *op = &stat->base;
    orb_s3_begin(op, method, stat->request.path);
    orb_s3_param(op, "versionId", stat->request.version_id);
    if (!op->keyless)
        orb_s3_customer_key_headers(op, stat->request.sse_customer_key, false);
    orb_s3_account_headers(op, NULL);
    if (method[0] == 'G')
        orb_s3_header(op, "range", "bytes=0-0");
    else
        orb_s3_ask_checksum(op);
    op->metadata = method[0] == 'G' ? NULL : stat->out;
    orb_s3_send(op, finished);
}

static void asked_why(struct orb_s3_op *op)
{
    struct stat_op *stat = (struct stat_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    bool better = status < 0 && error.code[0] && status != ORBIT_E_NOT_FOUND;
    orb_s3_op_end(op, better ? status : (orbit_status)stat->head_error.status, better ? &error : &stat->head_error);
}

static void headed(struct orb_s3_op *op)
{
    struct stat_op *stat = (struct stat_op *)op;
    orbit_metadata *out = stat->out;
    if (orb_s3_looks_keyless(op, stat->request.sse_customer_key)) {
        orbit_metadata_release(out);
        send_request(stat, "HEAD", headed);
        return;
    }
    orbit_status status = orb_s3_check(op, &stat->head_error);
    if (status == ORBIT_E_NOT_FOUND && op->http.http_status == 404 && !stat->request.object_only &&
        !stat->request.version_id) {
        look_below(stat);
        return;
    }
    bool refused = op->http.http_status == 403 || op->http.http_status == 400;
    if (status < 0 && refused && !(stat->head_error.flags & ORBIT_ERROR_RETRIABLE)) {
        send_request(stat, "GET", asked_why);
        return;
    }
    if (status < 0) {
        orb_s3_op_end(op, status, &stat->head_error);
        return;
    }
    orb_s3_note_head(&op->reply, out);
    bool marker = orb_str_suffix(stat->request.path, "/") && !stat->request.object_only;
    out->kind = marker ? ORBIT_KIND_DIRECTORY : ORBIT_KIND_FILE;
    if (stat->request.whole_checksum && out->checksum.composite && orb_s3_combines(out->checksum.algorithm) &&
        !op->s3->ways.no_attributes) {
        orb_s3_whole_begin(&stat->whole, out->checksum.algorithm);
        ask_for_parts(stat);
        return;
    }
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void bucket_headed(struct orb_s3_op *op)
{
    struct stat_op *stat = (struct stat_op *)op;
    orbit_status status = orb_s3_check(op, &stat->head_error);
    op->own_keys = false;
    /* Who may not look at the bucket may still list it, or hears from that what is wrong. */
    if (status < 0 && (op->http.http_status == 403 || op->http.http_status == 400) &&
        !(stat->head_error.flags & ORBIT_ERROR_RETRIABLE)) {
        orb_s3_begin(op, "GET", NULL);
        orb_s3_param(op, "max-keys", "1");
        orb_s3_list_params(op);
        orb_s3_account_headers(op, NULL);
        stat->found = true;
        orb_s3_send(op, listed);
    } else if (status < 0) {
        orb_s3_op_end(op, status, &stat->head_error);
    } else {
        directory(stat);
    }
}

void orb_s3_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    bool root = !*request->path;
    struct stat_op *stat = orb_s3_op_new(self, op, sizeof *stat, "look at", root ? NULL : request->path);
    if (!stat)
        return;
    stat->base.release = free_stat;
    stat->request = *request;
    stat->out = reply;
    if (!root) {
        send_request(stat, "HEAD", headed);
        return;
    }
    stat->base.own_keys = true;
    orb_s3_begin(&stat->base, "HEAD", NULL);
    orb_s3_account_headers(&stat->base, NULL);
    orb_s3_send(&stat->base, bucket_headed);
}
