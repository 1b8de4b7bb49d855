/* SPDX-License-Identifier: Apache-2.0
 * What is known of multipart uploads at the store: the parts of one, and those that are open. A page a request.
 * Loop thread. */
#include "backend/s3/s3.h"
#include "base/hash.h"
#include "base/str.h"

enum { REPLY_MAX = 8 << 20, TEXT_MAX = 4096 };

/* ---- the parts of an upload ------------------------------------------------------------------------ */

struct parts_op {
    struct orb_s3_op base; /* first */
    orbit_parts_request request;
    orbit_more_reply *out;
    struct orb_s3_upload *upload;
    uint64_t number, size;
    char etag[256];
    orbit_checksum checksum;
    uint32_t last;
    bool is_list;
    orbit_status status;
};

static void parts_begin(void *ctx, unsigned depth, const char *name)
{
    struct parts_op *parts = ctx;
    if (depth == 2 && strcmp(name, "Part") == 0) {
        parts->number = parts->size = 0;
        parts->etag[0] = '\0';
        parts->checksum = (orbit_checksum){0};
    }
}

static bool one_part(struct parts_op *parts)
{
    if (!parts->number || parts->number > ORB_S3_PART_NUMBER_MAX || !parts->etag[0] || parts->number <= parts->last) {
        parts->status = ORBIT_E_PROTOCOL;
        return false;
    }
    uint32_t number = (uint32_t)parts->number;
    struct orb_s3_part *part = orb_s3_upload_at(parts->upload, number, true);
    if (!part || !orb_s3_part_set(part, parts->etag, parts->size) ||
        !orb_s3_part_set_sum(part, parts->upload, &parts->checksum)) {
        parts->status = ORBIT_E_MEMORY;
        return false;
    }
    orbit_stored_part stored = {.part = {number, 0, parts->size}, .reply = {orb_s3_part_etag(part), parts->checksum}};
    parts->last = number;
    parts->request.each(parts->request.ctx, &stored);
    return true;
}

static bool parts_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct parts_op *parts = ctx;
    const char *bare = text;
    if (depth == 1) {
        parts->is_list = orb_s3_answers(name, "ListPartsResult", "ListParts");
    } else if (depth == 2) {
        if (strcmp(name, "Part") == 0)
            return one_part(parts);
        if (strcmp(name, "IsTruncated") == 0)
            parts->out->more = orb_s3_says_more(text);
    } else if (depth == 3) {
        if (strcmp(name, "PartNumber") == 0)
            (void)orb_parse_u64(text, &parts->number);
        else if (strcmp(name, "Size") == 0)
            (void)orb_parse_u64(text, &parts->size);
        else if (orb_str_prefix(name, "Checksum"))
            (void)orb_s3_checksum_parse(&parts->checksum, orb_s3_checksum_from_word(name + strlen("Checksum")), text);
        else if (strcmp(name, "ETag") == 0 && orb_s3_bare_etag(&bare, &length))
            (void)snprintf(parts->etag, sizeof parts->etag, "%.*s", (int)length, bare);
    }
    return true;
}

static void parts_listed(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {parts_begin, parts_end};
    struct parts_op *parts = (struct parts_op *)op;
    orbit_error error;
    if (!orb_s3_fine(op))
        return;
    orbit_status status = orb_s3_parse_beside_key(op, &events, parts, &error);
    if (status == ORBIT_END)
        status = parts->status == ORBIT_E_MEMORY
                     ? orb_fail_memory(&error)
                     : orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of parts makes no sense");
    if (status >= 0 && !parts->is_list)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's reply is not a list of parts");
    if (status >= 0 && parts->out->more && parts->last <= parts->request.after)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of parts does not come to an end");
    orb_s3_op_end(op, status, &error);
}

void orb_s3_upload_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply)
{
    struct orb_s3_upload *upload = request->upload;
    struct parts_op *parts = orb_s3_op_new(self, op, sizeof *parts, "list the parts of", upload->path);
    if (!parts)
        return;
    char after[16];
    parts->base.http.memory.max = REPLY_MAX;
    parts->request = *request;
    parts->out = reply;
    parts->upload = upload;
    parts->last = request->after;
    reply->more = false;
    (void)snprintf(after, sizeof after, "%u", request->after);
    orb_s3_begin(&parts->base, "GET", upload->path);
    orb_s3_param(&parts->base, "uploadId", upload->upload_id);
    orb_s3_param(&parts->base, "part-number-marker", request->after ? after : NULL);
    orb_s3_upload_headers(&parts->base, upload, true);
    parts->base.http.large = true;
    orb_s3_send(&parts->base, parts_listed);
}

orbit_status orb_s3_upload_adopt(void *self, void *handle, const orbit_stored_part *stored, orbit_error *error)
{
    struct orb_s3_upload *upload = handle;
    (void)self;
    struct orb_s3_part *part = orb_s3_upload_at(upload, stored->part.number, true);
    if (!part || !stored->reply.etag || !orb_s3_part_set(part, stored->reply.etag, stored->part.length) ||
        !orb_s3_part_set_sum(part, upload, &stored->reply.checksum))
        return orb_fail_memory(error);
    return ORBIT_OK;
}

/* ---- open uploads ---------------------------------------------------------------------------------- */

struct uploads_op {
    struct orb_s3_op base; /* first */
    orbit_uploads_request request;
    orbit_more_reply *out;
    struct orb_buf prefix, asked, after; /* asked: what of the prefix the store takes */
    char key[TEXT_MAX], id[TEXT_MAX];
    int64_t started_ns;
    bool encoded, blotted, is_list;
    size_t count;
};

static void free_uploads(struct orb_s3_op *op)
{
    orb_buf_release(&((struct uploads_op *)op)->prefix);
    orb_buf_release(&((struct uploads_op *)op)->asked);
    orb_buf_release(&((struct uploads_op *)op)->after);
}

/* Read before the rest: it may stand behind the keys. */
static bool encoding_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct uploads_op *uploads = ctx;
    (void)length;
    if (depth == 2 && strcmp(name, "EncodingType") == 0)
        uploads->encoded = strcmp(text, "url") == 0;
    else if (depth == 1)
        uploads->is_list = orb_s3_answers(name, "ListMultipartUploadsResult", "ListMultipartUploads");
    return true;
}

static void uploads_begin(void *ctx, unsigned depth, const char *name)
{
    struct uploads_op *uploads = ctx;
    if (depth == 2 && strcmp(name, "Upload") == 0) {
        uploads->key[0] = uploads->id[0] = '\0';
        uploads->started_ns = 0;
    }
}

/* A key that cannot be a path here (a NUL in it, a broken escape, a blot) is passed over: nothing could be done with
 * it. */
static void one_upload(struct uploads_op *uploads)
{
    const char *prefix = uploads->base.s3->prefix;
    size_t skip = strlen(prefix);
    uploads->count++;
    if (uploads->blotted && strchr(uploads->key, '?'))
        return;
    if (uploads->encoded) {
        size_t length = orb_percent_decode(uploads->key, strlen(uploads->key), true);
        if (length == SIZE_MAX)
            return;
        uploads->key[length] = '\0';
    }
    orbit_upload_entry entry = {uploads->key + skip, uploads->id, uploads->started_ns};
    const struct orb_buf *wanted = &uploads->prefix; /* begins with the backend's own */
    if (uploads->id[0] && strncmp(uploads->key, orb_buf_string(wanted), wanted->length) == 0)
        uploads->request.each(uploads->request.ctx, &entry);
}

static bool uploads_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct uploads_op *uploads = ctx;
    if (depth == 2 && strcmp(name, "IsTruncated") == 0) {
        uploads->out->more = orb_s3_says_more(text);
    } else if (depth == 2 && strcmp(name, "Upload") == 0) {
        one_upload(uploads);
    } else if (depth == 3 && length < TEXT_MAX) {
        if (strcmp(name, "Key") == 0)
            memcpy(uploads->key, text, length + 1);
        else if (strcmp(name, "UploadId") == 0)
            memcpy(uploads->id, text, length + 1);
        else if (strcmp(name, "Initiated") == 0)
            (void)orb_parse_time(text, &uploads->started_ns);
    }
    return true;
}

static void uploads_listed(struct orb_s3_op *op);

/* Plainly at first: there are stores that encode keys when asked to and do not say so. */
static void ask_uploads(struct uploads_op *uploads)
{
    struct orb_s3_op *base = &uploads->base;
    const orbit_uploads_request *request = &uploads->request;
    orb_s3_begin(base, "GET", NULL);
    orb_s3_param(base, "uploads", "");
    orb_s3_param(base, "encoding-type", uploads->encoded ? "url" : NULL);
    orb_s3_param(base, "prefix", uploads->asked.length ? orb_buf_string(&uploads->asked) : NULL);
    orb_s3_param(base, "key-marker", request->after_path ? orb_buf_string(&uploads->after) : NULL);
    orb_s3_param(base, "upload-id-marker", request->after_path ? request->after_id : NULL);
    base->url.failed |= uploads->prefix.failed || uploads->asked.failed || uploads->after.failed;
    orb_s3_account_headers(base, NULL);
    base->http.large = true;
    orb_s3_send(base, uploads_listed);
}

static void uploads_listed(struct orb_s3_op *op)
{
    static const struct orb_xml_events encoding = {NULL, encoding_end}, events = {uploads_begin, uploads_end};
    struct uploads_op *uploads = (struct uploads_op *)op;
    orbit_error error;
    if (!orb_s3_fine(op))
        return;
    orbit_status status = orb_s3_parse(op, &encoding, uploads, &error);
    if (status < 0 && !uploads->encoded) { /* a key that XML cannot carry? */
        uploads->encoded = true;
        ask_uploads(uploads);
        return;
    }
    if (status < 0 && op->http.memory.length) { /* keys are encoded, but what else repeats one need not be */
        orb_xml_blot(op->http.memory.bytes);
        uploads->blotted = true;
        status = orb_s3_parse(op, &encoding, uploads, &error);
    }
    if (status >= 0 && !uploads->is_list)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's reply is not a list of uploads");
    if (status >= 0)
        status = orb_s3_parse(op, &events, uploads, &error);
    if (status >= 0 && uploads->out->more && !uploads->count)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store's list of uploads does not come to an end");
    orb_s3_op_end(op, status, &error);
}

void orb_s3_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply)
{
    struct uploads_op *uploads = orb_s3_op_new(self, op, sizeof *uploads, "list the open uploads of", NULL);
    if (!uploads)
        return;
    struct orb_s3_op *base = &uploads->base;
    base->release = free_uploads;
    base->http.memory.max = REPLY_MAX;
    uploads->request = *request;
    uploads->out = reply;
    reply->more = false;
    orb_buf_init(&uploads->prefix, ORB_S3_KEY_MAX);
    orb_buf_init(&uploads->asked, ORB_S3_KEY_MAX);
    orb_buf_init(&uploads->after, ORB_S3_KEY_MAX);
    orb_s3_key(base->s3, request->prefix ? request->prefix : "", &uploads->prefix);
    orb_s3_asked_prefix(base->s3, &uploads->prefix, &uploads->asked);
    if (request->after_path)
        orb_s3_key(base->s3, request->after_path, &uploads->after);
    ask_uploads(uploads);
}
