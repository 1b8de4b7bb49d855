/* SPDX-License-Identifier: Apache-2.0
 * A multipart upload: begin, parts, abort, and the table of its parts. Loop thread. */
#include <openssl/crypto.h>

#include "backend/s3/s3.h"
#include "base/clock.h"
#include "base/hash.h"

/* ---- the table of parts ---------------------------------------------------------------------------- */

struct orb_s3_part *orb_s3_upload_at(struct orb_s3_upload *upload, uint32_t number, bool make)
{
    if (number < 1 || number > ORB_S3_PART_NUMBER_MAX)
        return NULL;
    size_t block = (number - 1) / ORB_S3_PART_BLOCK;
    if (block >= upload->block_count) {
        if (!make)
            return NULL;
        size_t count = block + 16;
        struct orb_s3_part **grown = orb_realloc(upload->blocks, count * sizeof(struct orb_s3_part *));
        if (!grown)
            return NULL;
        memset(grown + upload->block_count, 0, (count - upload->block_count) * sizeof *grown);
        upload->blocks = grown;
        upload->block_count = count;
    }
    if (!upload->blocks[block] && make)
        upload->blocks[block] = orb_calloc(ORB_S3_PART_BLOCK, sizeof **upload->blocks);
    return upload->blocks[block] ? &upload->blocks[block][(number - 1) % ORB_S3_PART_BLOCK] : NULL;
}

const char *orb_s3_part_etag(const struct orb_s3_part *part)
{
    return part->long_etag ? part->long_etag : part->etag;
}

bool orb_s3_part_set(struct orb_s3_part *part, const char *etag, uint64_t length)
{
    size_t bytes = strlen(etag);
    char *copy = NULL;
    if (bytes > ORB_S3_ETAG_MAX || (bytes >= sizeof part->etag && !(copy = orb_strdup(etag))))
        return false;
    orb_free(part->long_etag);
    part->long_etag = copy;
    if (!copy)
        memcpy(part->etag, etag, bytes + 1);
    part->length = length;
    part->known = true;
    part->has_sum = false;
    return true;
}

bool orb_s3_part_set_sum(struct orb_s3_part *part, const struct orb_s3_upload *upload, const orbit_checksum *checksum)
{
    if (!upload->algorithm || checksum->algorithm != upload->algorithm || checksum->composite)
        return true;
    if (orb_s3_combines(upload->algorithm)) {
        part->crc = orb_checksum_value(checksum);
    } else {
        if (!part->hash && !(part->hash = orb_malloc(sizeof checksum->value)))
            return false;
        memcpy(part->hash, checksum->value, sizeof checksum->value);
    }
    part->has_sum = true;
    return true;
}

orbit_checksum orb_s3_part_sum(const struct orb_s3_part *part, const struct orb_s3_upload *upload)
{
    orbit_checksum checksum = {.algorithm = (uint8_t)upload->algorithm,
                               .length = orb_s3_checksum_bytes(upload->algorithm)};
    if (!part->has_sum)
        return (orbit_checksum){0};
    if (orb_s3_combines(upload->algorithm))
        return orb_s3_crc_checksum(upload->algorithm, part->crc);
    memcpy(checksum.value, part->hash, sizeof checksum.value);
    return checksum;
}

void orb_s3_upload_release(void *self, void *handle)
{
    struct orb_s3_upload *upload = handle;
    (void)self;
    if (!upload)
        return;
    for (size_t block = 0; block < upload->block_count; block++) {
        for (size_t i = 0; upload->blocks[block] && i < ORB_S3_PART_BLOCK; i++) {
            orb_free(upload->blocks[block][i].long_etag);
            orb_free(upload->blocks[block][i].hash);
        }
        orb_free(upload->blocks[block]);
    }
    orb_free(upload->blocks);
    OPENSSL_cleanse(upload->customer_key, sizeof upload->customer_key);
    orb_free(upload->path);
    orb_free(upload->upload_id);
    orb_free(upload->if_match);
    orb_free(upload->expected_bucket_owner);
    orb_free(upload->tagging);
    orb_free(upload->lock_mode);
    orb_free(upload->lock_until);
    orb_free(upload->lock_hold);
    orb_free(upload);
}

void orb_s3_upload_headers(struct orb_s3_op *op, const struct orb_s3_upload *upload, bool with_key)
{
    orbit_write_options options = {.request_payer = upload->request_payer,
                                   .expected_bucket_owner = upload->expected_bucket_owner};
    orb_s3_account_headers(op, &options);
    if (with_key && upload->has_key)
        orb_s3_customer_key_headers(op, upload->customer_key, false);
}

/* ---- begin ----------------------------------------------------------------------------------------- */

struct begin_op {
    struct orb_s3_op base;        /* first */
    struct orb_s3_upload *upload; /* until it is given away */
    orbit_begin_request request;
    orbit_begin_reply *out;
    struct orb_s3_tags tags; /* of a copy's source */
};

static void free_begin(struct orb_s3_op *op)
{
    struct begin_op *begin = (struct begin_op *)op;
    orb_s3_tags_release(&begin->tags);
    orb_s3_upload_release(op->s3, begin->upload);
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct orb_s3_upload *upload = ctx;
    if (depth != 2 || strcmp(name, "UploadId") != 0 || !length || length > 2048 || upload->upload_id)
        return true;
    upload->upload_id = orb_strdup(text);
    return upload->upload_id != NULL;
}

static void give(struct begin_op *begin)
{
    begin->out->upload = begin->upload;
    begin->out->upload_id = begin->upload->upload_id;
    begin->upload = NULL;
    orb_s3_op_end(&begin->base, ORBIT_OK, NULL);
}

static void begun(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct begin_op *begin = (struct begin_op *)op;
    orbit_error error;
    if (!orb_s3_fine(op))
        return;
    orbit_status status = orb_s3_parse_beside_key(op, &events, begin->upload, &error);
    if (status == ORBIT_END)
        status = orb_fail_memory(&error);
    if (status >= 0 && !begin->upload->upload_id)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0, "the store began a multipart upload without telling its id");
    if (status >= 0) {
        give(begin);
        return;
    }
    char name[240];
    orb_error_prefix(&error, "cannot %s '%s'", op->verb, orb_s3_name(op->s3, op->path, name, sizeof name));
    orb_s3_op_end(op, status, &error);
}

static struct orb_s3_upload *new_upload(struct orb_s3 *s3, const orbit_begin_request *request, uint32_t algorithm)
{
    const orbit_write_options *options = request->options;
    struct orb_s3_upload *upload = orb_calloc(1, sizeof *upload);
    if (!upload)
        return NULL;
    upload->s3 = s3;
    upload->algorithm = algorithm;
    upload->overwrite = options->overwrite;
    upload->request_payer = options->request_payer;
    upload->locks = orb_s3_locks(options);
    upload->begun_ns = request->resume_id && request->resume_begun_ns ? request->resume_begun_ns : orb_realtime_ns();
    upload->begun_ns += s3->clock_offset_s * (int64_t)ORB_S;
    if (options->sse_customer_key) {
        memcpy(upload->customer_key, options->sse_customer_key, sizeof upload->customer_key);
        upload->has_key = true;
    }
    upload->path = orb_strdup(request->path);
    upload->if_match = orb_strdup(options->if_match);
    upload->expected_bucket_owner = orb_strdup(options->expected_bucket_owner);
    upload->upload_id = orb_strdup(request->resume_id);
    const char *tagging = options->tagging && *options->tagging ? options->tagging : NULL;
    upload->tagging = orb_strdup(tagging);
    upload->lock_mode = orb_strdup(options->object_lock_mode);
    upload->lock_until = orb_strdup(options->object_lock_until);
    upload->lock_hold = orb_strdup(options->object_lock_legal_hold);
    bool locks = !options->object_lock_mode == !upload->lock_mode &&
                 !options->object_lock_until == !upload->lock_until &&
                 !options->object_lock_legal_hold == !upload->lock_hold;
    if (!locks || !upload->path || (tagging && !upload->tagging) || (options->if_match && !upload->if_match) ||
        (request->resume_id && !upload->upload_id) ||
        (options->expected_bucket_owner && !upload->expected_bucket_owner)) {
        orb_s3_upload_release(s3, upload);
        return NULL;
    }
    return upload;
}

static void send_begin(struct begin_op *begin)
{
    struct orb_s3_op *op = &begin->base;
    const orbit_begin_request *request = &begin->request;
    uint32_t algorithm = begin->upload->algorithm;
    orb_s3_begin(op, "POST", request->path);
    orb_s3_param(op, "uploads", "");
    op->http.once = true; /* each one that arrives makes an upload: the engine has to know of a second */
    orb_s3_write_headers(op, request->path, request->options, request->preserve);
    if (begin->tags.text.length)
        orb_s3_header(op, "x-amz-tagging", orb_buf_string(&begin->tags.text));
    if (orb_s3_checksum_word(algorithm)) {
        orb_s3_header(op, "x-amz-checksum-algorithm", orb_s3_checksum_word(algorithm));
        orb_s3_header(op, "x-amz-checksum-type", orb_s3_combines(algorithm) ? "FULL_OBJECT" : "COMPOSITE");
        op->sent_checksum = true;
    }
    orb_s3_send(op, begun);
}

/* ---- begin, for a copy: its source may be in another bucket ----- */

/* Which backend a request goes to. */
static void turn_to(struct begin_op *begin, struct orb_s3 *s3, const char *verb, const char *path)
{
    orb_s3_op_turn(&begin->base, s3);
    begin->base.verb = verb;
    begin->base.path = path;
}

static void tags_came(struct orb_s3_op *op)
{
    struct begin_op *begin = (struct begin_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_tags_read(op, &begin->tags, &error);
    if (status == ORBIT_E_UNSUPPORTED) /* then there are none to be kept */
        status = ORBIT_OK;
    if (status >= 0 && begin->tags.text.length &&
        !(begin->upload->tagging = orb_strdup(orb_buf_string(&begin->tags.text))))
        status = orb_fail_memory(&error);
    if (status < 0) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    turn_to(begin, begin->upload->s3, "begin to write", begin->request.path);
    send_begin(begin);
}

static void ask_tags(struct begin_op *begin)
{
    const orbit_copy_request *copy = begin->request.copy;
    turn_to(begin, copy->from_self, "read the tags of", copy->from);
    orb_s3_tags_ask(&begin->base, copy->from, orb_s3_copy_version(copy), tags_came);
}

/* A copy keeps the kind of checksum that its source has, so that the whole can be compared. */
static uint32_t wanted_checksum(const struct orb_s3 *s3, const orbit_begin_request *request)
{
    const orbit_metadata *source = request->copy ? request->copy->pin : NULL;
    bool comparable = source && !source->checksum.composite && orb_s3_combines(source->checksum.algorithm);
    if (request->options->checksum || s3->checksum || s3->no_checksum || !comparable)
        return request->options->checksum;
    return source->checksum.algorithm;
}

void orb_s3_upload_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply)
{
    struct begin_op *begin = orb_s3_op_new(self, op, sizeof *begin, "begin to write", request->path);
    if (!begin)
        return;
    struct orb_s3_op *base = &begin->base;
    orbit_error error;
    uint32_t algorithm = 0;
    orbit_status status = ORBIT_OK;
    base->release = free_begin;
    begin->request = *request;
    begin->out = reply;
    orb_s3_tags_init(&begin->tags);
    if (!*request->path)
        status = orb_fail(&error, ORBIT_E_PATH, 0, "cannot write 's3://%s': it is a bucket", base->s3->bucket);
    if (status >= 0)
        status = orb_s3_lock_check(request->options, &error);
    if (status >= 0)
        status = orb_s3_upload_checksum(self, request->options, wanted_checksum(self, request), &algorithm, &error);
    if (request->copy && base->s3->ways.bare_copies)
        algorithm = ORBIT_CHECKSUM_NONE;
    if (status >= 0 && !(begin->upload = new_upload(self, request, algorithm)))
        status = orb_fail_memory(&error);
    if (status < 0)
        orb_s3_op_end(base, status, &error);
    else if (request->resume_id)
        give(begin);
    else if (request->copy && request->copy->from_self && !request->options->tagging &&
             !((struct orb_s3 *)request->copy->from_self)->store->no_tags)
        ask_tags(begin);
    else
        send_begin(begin);
}

/* ---- parts ----------------------------------------------------------------------------------------- */

struct part_op {
    struct orb_s3_sending sending; /* first */
    struct orb_s3_upload *upload;
    orbit_part part;
    orbit_part_reply *out;
    orbit_metadata headers; /* of the reply */
};

static void fail_part(struct part_op *part, orbit_status status, const orbit_error *error)
{
    orbit_metadata_release(&part->headers);
    orb_s3_op_end(&part->sending.base, status, error);
}

static void part_stored(struct orb_s3_op *op)
{
    struct part_op *part = (struct part_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status >= 0)
        status = orb_s3_sending_compare(&part->sending, &part->headers.checksum, &error);
    if (status >= 0 && !part->headers.etag)
        status =
            orb_fail(&error, ORBIT_E_PROTOCOL, 0, "cannot write '%s': the store took part %u without telling its ETag",
                     op->path, part->part.number);
    if (status < 0) {
        fail_part(part, status, &error);
        return;
    }
    struct orb_s3_part *entry = orb_s3_upload_at(part->upload, part->part.number, true);
    part->out->checksum = orb_s3_sum_checksum(&part->sending.sum);
    if (!entry || !orb_s3_part_set(entry, part->headers.etag, part->part.length) ||
        !orb_s3_part_set_sum(entry, part->upload, &part->out->checksum)) {
        fail_part(part, orb_fail_memory(&error), &error);
        return;
    }
    part->out->etag = orb_s3_part_etag(entry);
    orbit_metadata_release(&part->headers);
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void part_ready(struct orb_s3_sending *sending)
{
    struct part_op *part = (struct part_op *)sending;
    struct orb_s3_op *op = &sending->base;
    char number[16], hash_text[65];
    memcpy(hash_text, op->payload_hash, sizeof hash_text);
    (void)snprintf(number, sizeof number, "%u", part->part.number);
    orb_s3_begin(op, "PUT", part->upload->path);
    memcpy(op->payload_hash, hash_text, sizeof hash_text);
    orb_s3_param(op, "partNumber", number);
    orb_s3_param(op, "uploadId", part->upload->upload_id);
    orb_s3_upload_headers(op, part->upload, true);
    op->metadata = &part->headers;
    op->changes = false; /* done twice is done once */
    if (orb_s3_sending_in_chunks(sending, part->upload->locks))
        orb_s3_header(op, "content-encoding", "aws-chunked");
    orb_s3_sending_send(sending, part_stored);
}

void orb_s3_upload_part(void *self, orbit_op *op, void *handle, const orbit_part *request, orbit_body *body,
                        orbit_part_reply *reply)
{
    struct orb_s3_upload *upload = handle;
    struct part_op *part = orb_s3_op_new(self, op, sizeof *part, "write", upload->path);
    if (!part)
        return;
    part->upload = upload;
    part->part = *request;
    part->out = reply;
    part->sending.body = body;
    part->sending.ready = part_ready;
    part->sending.sum.algorithm = upload->algorithm;
    if (!upload->s3->sign_payload && !orb_s3_checksum_comes_first(upload->algorithm)) {
        /* The part is checked against the store's reply and by the checksum of the whole: no pass beforehand, and no
         * trailer where the store does without: its chunks cost, and some stores do not know them. */
        part->sending.base.op->resume = orb_s3_op_resume;
        part_ready(&part->sending);
    } else {
        orb_s3_sending_start(&part->sending);
    }
}

/* ---- abort ----------------------------------------------------------------------------------------- */

static void aborted(struct orb_s3_op *op)
{
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status == ORBIT_E_NOT_FOUND && op->http.http_status == 404)
        status = ORBIT_OK; /* gone is gone */
    orb_s3_op_end(op, status, &error);
}

void orb_s3_upload_abort(void *self, orbit_op *op, void *handle)
{
    struct orb_s3_upload *upload = handle;
    struct orb_s3_op *abort_op = orb_s3_op_new(self, op, sizeof *abort_op, "give up writing", upload->path);
    if (!abort_op)
        return;
    orb_s3_begin(abort_op, "DELETE", upload->path);
    orb_s3_param(abort_op, "uploadId", upload->upload_id);
    orb_s3_upload_headers(abort_op, upload, false);
    orb_s3_send(abort_op, aborted);
}
