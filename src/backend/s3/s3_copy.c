/* SPDX-License-Identifier: Apache-2.0
 * copy: CopyObject inside one store, also from another bucket of it. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

enum { COPY_TIMEOUT_MS = 300000, SOURCE_MAX = 16 << 10 };

struct copy_op {
    struct orb_s3_op base; /* first */
    orbit_copy_request request;
    orbit_metadata *out;
    struct orb_buf source;
    bool is_result;
};

static void free_copy(struct orb_s3_op *op)
{
    orb_buf_release(&((struct copy_op *)op)->source);
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct copy_op *copy = ctx;
    if (depth == 1)
        copy->is_result = strcmp(name, "CopyObjectResult") == 0;
    if (depth != 2)
        return true;
    if (strcmp(name, "ETag") == 0)
        copy->out->etag = orb_s3_keep_etag(copy->out, text, length);
    else if (strcmp(name, "LastModified") == 0 && orb_parse_time(text, &copy->out->mtime_ns))
        copy->out->fields |= ORBIT_HAS_MTIME;
    else if (orb_str_prefix(name, "Checksum"))
        (void)orb_s3_checksum_parse(&copy->out->checksum, orb_s3_checksum_from_word(name + strlen("Checksum")), text);
    return true;
}

static void copied(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct copy_op *copy = (struct copy_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, true, &error);
    if (status < 0) {
        if (op->wants_new && status == ORBIT_E_CHANGED)
            error.status = status = ORBIT_E_EXISTS;
        orb_s3_op_end(op, status, &error);
        return;
    }
    status = orb_s3_parse(op, &events, copy, &error);
    if (status != ORBIT_E_MEMORY && (status < 0 || !copy->is_result)) {
        status = orb_fail(&error, ORBIT_E_NETWORK, 0, "the store's reply to a copy is cut short");
        error.flags |= ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE;
    }
    copy->out->kind = ORBIT_KIND_FILE;
    orb_s3_op_end(op, status, &error);
}

static bool differs(const orbit_write_options *options)
{
    return options->metadata_count || options->content_type || options->content_encoding ||
           options->content_disposition || options->content_language || options->cache_control || options->expires;
}

static void send_copy(struct copy_op *copy)
{
    struct orb_s3_op *op = &copy->base;
    const orbit_copy_request *request = &copy->request;
    orb_s3_begin(op, "PUT", request->to);
    op->url.failed |= copy->source.failed;
    orb_s3_header(op, "x-amz-copy-source", orb_buf_string(&copy->source));
    if (request->pin && request->pin->etag) {
        char quoted[300];
        int length = snprintf(quoted, sizeof quoted, "\"%s\"", request->pin->etag);
        if (length > 0 && (size_t)length < sizeof quoted)
            orb_s3_header(op, "x-amz-copy-source-if-match", quoted);
    }
    if (request->preserve && !differs(request->options)) {
        orb_s3_header(op, "x-amz-metadata-directive", "COPY"); /* what it is comes along */
        orb_s3_storage_headers(op, request->options);
    } else {
        orb_s3_header(op, "x-amz-metadata-directive", "REPLACE");
        orb_s3_write_headers(op, request->to, request->options, request->preserve ? request->pin : NULL);
    }
    if (request->options->tagging)
        orb_s3_header(op, "x-amz-tagging-directive", "REPLACE");
    if (request->from_self)
        orb_s3_header(op, "x-amz-source-expected-bucket-owner",
                      ((const struct orb_s3 *)request->from_self)->expected_bucket_owner);
    orb_s3_customer_key_headers(op, request->source_sse_customer_key, true);
    orb_s3_condition_headers(op, request->options->overwrite, request->options->if_match);
    op->http.patient = true;
    op->http.first_byte_timeout_ms = COPY_TIMEOUT_MS;
    op->metadata = copy->out;
    orb_s3_send(op, copied);
}

/* Most stores know conditions on PUT and not on a copy: look first. */
static void looked(struct orb_s3_op *op)
{
    struct copy_op *copy = (struct copy_op *)op;
    orbit_error error;
    char name[240];
    orbit_status status = orb_s3_check(op, false, &error);
    if (status >= 0)
        status = orb_fail(&error, ORBIT_E_EXISTS, 0, "cannot copy to '%s': it exists already",
                          orb_s3_name(op->s3, copy->request.to, name, sizeof name));
    else if (status == ORBIT_E_NOT_FOUND) {
        send_copy(copy);
        return;
    }
    orb_s3_op_end(op, status, &error);
}

void orb_s3_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    struct copy_op *copy = orb_s3_op_new(self, op, sizeof *copy, "copy", request->from);
    if (!copy)
        return;
    const struct orb_s3 *from = request->from_self ? request->from_self : self;
    orbit_error error;
    copy->base.release = free_copy;
    copy->request = *request;
    copy->out = reply;
    orb_buf_init(&copy->source, SOURCE_MAX);
    if (!*request->from || !*request->to) {
        orb_s3_op_end(&copy->base,
                      orb_fail(&error, ORBIT_E_PATH, 0, "cannot copy 's3://%s': it is a bucket", from->bucket), &error);
        return;
    }
    orb_buf_char(&copy->source, '/');
    orb_percent_encode(&copy->source, from->bucket, strlen(from->bucket), "");
    orb_buf_char(&copy->source, '/');
    orb_percent_encode(&copy->source, from->prefix, strlen(from->prefix), "/");
    orb_percent_encode(&copy->source, request->from, strlen(request->from), "/");
    const char *version = request->version_id ? request->version_id : request->pin ? request->pin->version_id : NULL;
    if (version) {
        orb_buf_text(&copy->source, "?versionId=");
        orb_percent_encode(&copy->source, version, strlen(version), "");
    }
    if (request->options->overwrite) {
        send_copy(copy);
        return;
    }
    orb_s3_begin(&copy->base, "HEAD", request->to);
    orb_s3_account_headers(&copy->base, request->options);
    orb_s3_send(&copy->base, looked);
}
