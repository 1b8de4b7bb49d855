/* SPDX-License-Identifier: Apache-2.0
 * part_copy: UploadPartCopy, a range of an object of the same store as a part of an upload. What it has in common with
 * CopyObject, how a source is named, is here, too. Loop thread. */
#include "backend/s3/s3.h"
#include "base/hash.h"
#include "base/str.h"

enum { SOURCE_MAX = 16 << 10 };

/* ---- the source ------------------------------------------------------------------------------------ */

static void source_name(const orbit_copy_request *request, const struct orb_s3 *from, struct orb_buf *out)
{
    const char *version = orb_s3_copy_version(request);
    if (from->address.is_arn) { /* ARN/object/KEY */
        orb_percent_encode(out, from->bucket, strlen(from->bucket), ":/");
        orb_buf_text(out, "/object/");
    } else {
        orb_buf_char(out, '/');
        orb_percent_encode(out, from->bucket, strlen(from->bucket), "");
        orb_buf_char(out, '/');
    }
    orb_percent_encode(out, from->prefix, strlen(from->prefix), "/");
    orb_percent_encode(out, request->from, strlen(request->from), "/");
    if (version) {
        orb_buf_text(out, "?versionId=");
        orb_percent_encode(out, version, strlen(version), "");
    }
}

const char *orb_s3_copy_version(const orbit_copy_request *request)
{
    return request->version_id ? request->version_id : request->pin ? request->pin->version_id : NULL;
}

void orb_s3_copy_headers(struct orb_s3_op *op, const orbit_copy_request *request)
{
    const struct orb_s3 *from = request->from_self ? request->from_self : op->s3;
    struct orb_buf source;
    orb_buf_init(&source, SOURCE_MAX);
    source_name(request, from, &source);
    if (source.failed)
        op->http.headers.failed = true;
    else
        orb_s3_header(op, "x-amz-copy-source", orb_buf_string(&source));
    orb_buf_release(&source);
    if (request->pin && request->pin->etag)
        orb_s3_etag_header(op, from, "x-amz-copy-source-if-match", request->pin->etag);
    orb_s3_header(op, "x-amz-source-expected-bucket-owner", from->expected_bucket_owner);
    orb_s3_customer_key_headers(op, request->source_sse_customer_key, true);
    op->http.patient = true;
    op->http.first_byte_timeout_ms = ORB_S3_COPY_TIMEOUT_MS;
}

/* ---- the part -------------------------------------------------------------------------------------- */

struct part_copy_op {
    struct orb_s3_op base; /* first */
    struct orb_s3_upload *upload;
    struct orb_http_bytes nothing; /* some servers want to be told that there is no body */
    orbit_part_copy_request request;
    orbit_part_reply *out;
    orbit_metadata result;
    bool is_result;
};

static void free_part(struct orb_s3_op *op)
{
    orbit_metadata_release(&((struct part_copy_op *)op)->result);
}

bool orb_s3_copy_result(orbit_metadata *result, const char *name, const char *text, size_t length)
{
    if (strcmp(name, "ETag") == 0)
        result->etag = orb_s3_keep_etag(result, text, length);
    else if (strcmp(name, "LastModified") == 0 && orb_parse_time(text, &result->mtime_ns))
        result->fields |= ORBIT_HAS_MTIME;
    else if (orb_str_prefix(name, "Checksum"))
        (void)orb_s3_checksum_parse(&result->checksum, orb_s3_checksum_from_word(name + strlen("Checksum")), text);
    return true;
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct part_copy_op *part = ctx;
    if (depth == 1)
        part->is_result = orb_s3_answers(name, "CopyPartResult", "UploadPartCopy") ||
                          strcmp(name, "CopyObjectResult") == 0; /* S3Proxy */
    return depth != 2 || orb_s3_copy_result(&part->result, name, text, length);
}

/* Some stores tell the checksum of the whole source with each part of it: that says nothing of the part. */
static bool is_of_source(const struct part_copy_op *part)
{
    const orbit_metadata *source = part->request.copy->pin;
    const orbit_checksum *told = &part->result.checksum;
    return part->upload->algorithm && source && (source->fields & ORBIT_HAS_SIZE) &&
           part->request.part.length < source->size && told->algorithm &&
           told->algorithm == source->checksum.algorithm &&
           memcmp(told->value, source->checksum.value, told->length) == 0;
}

static orbit_status keep(struct part_copy_op *part, orbit_error *error)
{
    struct orb_s3_upload *upload = part->upload;
    const orbit_checksum *checksum = &part->result.checksum;
    struct orb_s3_part *entry = orb_s3_upload_at(upload, part->request.part.number, true);
    if (!entry || !orb_s3_part_set(entry, part->result.etag, part->request.part.length) ||
        !orb_s3_part_set_sum(entry, upload, checksum))
        return orb_fail_memory(error);
    part->out->checksum = orb_s3_part_sum(entry, upload);
    part->out->etag = orb_s3_part_etag(entry);
    return ORBIT_OK;
}

/* Some stores want a checksum with every part of an upload that has an algorithm, which a part that they copy by
 * themselves cannot come with. */
static bool refuses_checksums(const struct part_copy_op *part, const orbit_error *error)
{
    return part->upload->algorithm && error->http_status == 400 &&
           (strcmp(error->code, "InvalidArgument") == 0 || strcmp(error->code, "InvalidRequest") == 0);
}

/* Such an upload is begun anew, without checksums. */
static orbit_status without_checksums(struct part_copy_op *part, orbit_error *error)
{
    struct orb_s3 *s3 = part->base.s3;
    if (!s3->ways.bare_copies)
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s copies no parts into an upload with checksums",
                s3->address.authority);
    s3->ways.bare_copies = true;
    error->flags &= ~(uint32_t)ORBIT_ERROR_RETRIABLE;
    error->status = ORBIT_E_UNSUPPORTED;
    return ORBIT_E_UNSUPPORTED;
}

static void part_copied(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct part_copy_op *part = (struct part_copy_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && refuses_checksums(part, &error))
        status = without_checksums(part, &error);
    if (status >= 0) {
        status = orb_s3_parse(op, &events, part, &error);
        if (status != ORBIT_E_MEMORY && (status < 0 || !part->is_result || !part->result.etag)) {
            status = orb_fail(&error, ORBIT_E_NETWORK, 0, "the store's reply to the copy of a part is cut short");
            error.flags |= ORBIT_ERROR_RETRIABLE;
        }
    }
    if (status >= 0 && is_of_source(part)) {
        (void)orb_fail(&error, ORBIT_E_UNSUPPORTED, 0, "the store does not tell the checksums of the parts it copies");
        status = without_checksums(part, &error);
    }
    if (status >= 0)
        status = keep(part, &error);
    orb_s3_op_end(op, status, &error);
}

void orb_s3_upload_part_copy(void *self, orbit_op *op, void *handle, const orbit_part_copy_request *request,
                             orbit_part_reply *reply)
{
    struct orb_s3_upload *upload = handle;
    struct part_copy_op *part = orb_s3_op_new(self, op, sizeof *part, "copy", request->copy->from);
    char number[16], range[64];
    if (!part)
        return;
    struct orb_s3_op *base = &part->base;
    base->release = free_part;
    part->upload = upload;
    part->request = *request;
    part->out = reply;
    (void)snprintf(number, sizeof number, "%u", request->part.number);
    (void)snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)request->part.offset,
                   (unsigned long long)(request->part.offset + request->part.length - 1));
    base->own_keys = true;
    orb_s3_begin(base, "PUT", upload->path);
    orb_s3_param(base, "partNumber", number);
    orb_s3_param(base, "uploadId", upload->upload_id);
    orb_s3_copy_headers(base, request->copy);
    orb_s3_header(base, "x-amz-copy-source-range", range);
    orb_s3_upload_headers(base, upload, true);
    base->changes = false; /* done twice is done once */
    orb_s3_send_bytes(base, &part->nothing, "", 0, part_copied);
}
