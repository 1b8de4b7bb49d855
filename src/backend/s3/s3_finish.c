/* SPDX-License-Identifier: Apache-2.0
 * The end of a multipart upload: Complete, and finding out whether a Complete whose reply was lost took place.
 * Loop thread; the list of parts is written on the lane while it is sent.
 *
 * A Complete that is asked for twice is answered with NoSuchUpload although the object is there, and a caller who
 * then uploads all of it again doubles the cost of a broken connection. So the object is looked at: it is ours if its
 * ETag is the one that our parts make, or its checksum is; where neither can be known (encryption changes ETags),
 * if its size, its number of parts and its date fit. */
#include <openssl/evp.h>
#include <strings.h>

#include "backend/s3/s3.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"

enum { COMPLETE_TIMEOUT_MS = 300000, PIECE = 4096 };

/* The request's body, made piece by piece. */
struct part_list {
    orbit_body body; /* first */
    struct orb_s3_upload *upload;
    uint32_t count, next; /* 0: the head, 1 … count: parts, count + 1: the tail */
    bool checksums;       /* each part's too: some stores want them wherever the parts came with them */
    char piece[PIECE];
    size_t length, used;
};

struct finish_op {
    struct orb_s3_after after; /* first */
    struct orb_s3_upload *upload;
    orbit_finish_request request;
    orbit_metadata *out;
    orbit_metadata seen; /* of the object that is there */
    struct part_list list;
    char etag[64];           /* that our parts make; "" unknown */
    orbit_checksum checksum; /* of the whole; algorithm 0 unknown */
    orbit_error complete_error;
    bool resolving;
    bool without_whole; /* … was refused with it */
    bool sent_whole;    /* Complete told the checksum of the whole */
    bool completed;     /* the reply's root element was seen */
    char reply_etag[256], reply_type[16];
    orbit_checksum reply_checksum; /* of the upload's algorithm, as the store made it */
};

/* ---- the list of parts ----------------------------------------------------------------------------- */

/* The element of a part's checksum; "" where it has none. */
static void checksum_element(const struct part_list *list, const struct orb_s3_part *part, char *out, size_t room)
{
    orbit_checksum checksum = orb_s3_part_sum(part, list->upload);
    const char *word = orb_s3_checksum_word(checksum.algorithm);
    char text[ORB_S3_CHECKSUM_TEXT];
    *out = '\0';
    if (!list->checksums || !word)
        return;
    orb_s3_checksum_text(&checksum, text);
    (void)snprintf(out, room, "<Checksum%s>%s</Checksum%s>", word, text, word);
}

static size_t write_piece(struct part_list *list, uint32_t index, char *out, size_t room)
{
    if (index == 0)
        return (size_t)snprintf(out, room,
                                "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    if (index > list->count)
        return (size_t)snprintf(out, room, "</CompleteMultipartUpload>");
    const struct orb_s3_part *part = orb_s3_upload_at(list->upload, index, false);
    char checksum[128];
    struct orb_buf etag;
    checksum_element(list, part, checksum, sizeof checksum);
    orb_buf_init(&etag, 2048);
    orb_xml_escape(&etag, orb_s3_part_etag(part));
    int length = snprintf(out, room, "<Part><PartNumber>%u</PartNumber><ETag>&quot;%s&quot;</ETag>%s</Part>", index,
                          orb_buf_string(&etag), checksum);
    bool failed = etag.failed || length < 0 || (size_t)length >= room;
    orb_buf_release(&etag);
    return failed ? 0 : (size_t)length;
}

static orbit_status list_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct part_list *list = (struct part_list *)body;
    if (list->used == list->length) {
        if (list->next > list->count + 1)
            return ORBIT_END;
        list->length = write_piece(list, list->next++, list->piece, sizeof list->piece);
        list->used = 0;
        if (!list->length)
            return ORBIT_E_MEMORY;
    }
    *bytes = list->piece + list->used;
    *length = list->length - list->used;
    return ORBIT_OK;
}

static void list_consume(orbit_body *body, size_t length)
{
    ((struct part_list *)body)->used += length;
}

static orbit_status list_rewind(orbit_body *body)
{
    struct part_list *list = (struct part_list *)body;
    list->next = 0;
    list->used = list->length = 0;
    return ORBIT_OK;
}

static bool list_init(struct finish_op *finish)
{
    struct part_list *list = &finish->list;
    list->body = (orbit_body){.peek = list_peek, .consume = list_consume, .rewind = list_rewind};
    list->upload = finish->upload;
    list->count = finish->request.part_count;
    list->checksums = finish->upload->algorithm && finish->after.base.s3->ways.checksums == ORB_S3_CHECKSUMS_ON;
    for (uint32_t i = 0; i <= list->count + 1; i++) {
        size_t length = write_piece(list, i, list->piece, sizeof list->piece);
        if (!length)
            return false;
        list->body.length += length;
    }
    return true;
}

/* ---- what the parts make --------------------------------------------------------------------------- */

static bool from_hex(const char *text, uint8_t out[16])
{
    if (strlen(text) != 32)
        return false;
    for (int i = 0; i < 32; i++) {
        unsigned char c = (unsigned char)text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    return true;
}

/* The ETag of a multipart object is the MD5 of the parts' MD5s, and their number. */
static void expected_etag(struct finish_op *finish)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t md5[16];
    char hex[33];
    bool fine = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1;
    for (uint32_t i = 1; fine && i <= finish->request.part_count; i++)
        fine = from_hex(orb_s3_part_etag(orb_s3_upload_at(finish->upload, i, false)), md5) &&
               EVP_DigestUpdate(ctx, md5, sizeof md5) == 1;
    if (fine && EVP_DigestFinal_ex(ctx, md5, NULL) == 1) {
        orb_hex(hex, md5, sizeof md5);
        (void)snprintf(finish->etag, sizeof finish->etag, "%s-%u", hex, finish->request.part_count);
    }
    EVP_MD_CTX_free(ctx);
}

/* A CRC of all bytes, or the hash of the parts' hashes. */
static void checksum_of_parts(struct finish_op *finish)
{
    struct orb_s3_upload *upload = finish->upload;
    struct orb_s3_sum whole = {.algorithm = upload->algorithm};
    bool combines = orb_s3_combines(upload->algorithm), fine = orb_s3_sum_start(&whole);
    uint64_t size = 0;
    for (uint32_t i = 1; fine && i <= finish->request.part_count; i++) {
        const struct orb_s3_part *part = orb_s3_upload_at(upload, i, false);
        orbit_checksum checksum = orb_s3_part_sum(part, upload);
        fine = orb_s3_checksum_word(checksum.algorithm) != NULL;
        if (fine && combines)
            whole.crc = orb_s3_crc_combine(whole.algorithm, whole.crc, part->crc, part->length);
        else if (fine)
            orb_s3_sum_update(&whole, checksum.value, checksum.length);
        size += part->length;
    }
    if (fine && size == finish->request.size) {
        finish->checksum = orb_s3_sum_checksum(&whole);
        finish->checksum.composite = !combines;
    }
    orb_s3_sum_release(&whole);
}

/* A copy's is that of its source: it is compared with what the store says of the parts it copied, and where that says
 * nothing, the store is told what it has to make. */
static orbit_status expected_checksum(struct finish_op *finish, orbit_error *error)
{
    const orbit_checksum *expected = finish->request.expected;
    checksum_of_parts(finish);
    if (!expected || expected->algorithm != finish->upload->algorithm)
        return ORBIT_OK;
    if (!finish->checksum.algorithm)
        finish->checksum = *expected;
    if (memcmp(finish->checksum.value, expected->value, expected->length) == 0)
        return ORBIT_OK;
    char name[240];
    return orb_fail(error, ORBIT_E_CHECKSUM, 0, "cannot finish writing '%s': its parts are not the bytes of the source",
                    orb_s3_name(finish->after.base.s3, finish->upload->path, name, sizeof name));
}

static orbit_status check_parts(struct finish_op *finish, orbit_error *error)
{
    const char *name = finish->upload->path;
    uint64_t size = 0;
    if (!finish->request.part_count)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "cannot finish writing '%s': it has no parts", name);
    for (uint32_t i = 1; i <= finish->request.part_count; i++) {
        const struct orb_s3_part *part = orb_s3_upload_at(finish->upload, i, false);
        if (!part || !part->known)
            return orb_fail(error, ORBIT_E_MISUSE, 0, "cannot finish writing '%s': part %u was not written", name, i);
        size += part->length;
    }
    if (size != finish->request.size)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "cannot finish writing '%s': its parts are not as long as the whole",
                        name);
    return ORBIT_OK;
}

/* ---- is it there? ---------------------------------------------------------------------------------- */

static bool is_ours(const struct finish_op *finish)
{
    const orbit_metadata *seen = &finish->seen;
    bool same;
    if (!(seen->fields & ORBIT_HAS_SIZE) || seen->size != finish->request.size)
        return false;
    if (orb_s3_same_sum(seen, &finish->checksum, &same))
        return same;
    if (finish->etag[0] && seen->etag && strcasecmp(seen->etag, finish->etag) == 0)
        return true;
    /* MD5 parts and no encryption: the formula holds, and this is another object. */
    if (finish->etag[0] && seen->etag && !seen->encryption && !finish->upload->has_key && seen->part_count)
        return false;
    return seen->part_count == finish->request.part_count && orb_s3_written_since(seen, finish->upload->begun_ns);
}

static void free_finish(struct orb_s3_op *op)
{
    struct finish_op *finish = (struct finish_op *)op;
    orbit_metadata_release(&finish->seen);
    orb_s3_after_release(&finish->after);
}

static void send_complete(struct finish_op *finish);

static void taken_as_done(struct finish_op *finish)
{
    orb_s3_take_seen(finish->out, &finish->seen);
    orb_s3_after_start(&finish->after, finish->out->version_id);
}

static void refuse(struct finish_op *finish, orbit_status status, const char *why)
{
    orbit_error error;
    char name[240];
    (void)orb_fail(&error, status, 0, "cannot write '%s': %s",
                   orb_s3_name(finish->after.base.s3, finish->after.base.path, name, sizeof name), why);
    orb_s3_op_end(&finish->after.base, status, &error);
}

static void look(struct finish_op *finish);

/* What stands at the key, before a Complete that must not replace it, or after one whose end is unknown. */
static void looked(struct orb_s3_op *op)
{
    struct finish_op *finish = (struct finish_op *)op;
    struct orb_s3_upload *upload = finish->upload;
    orbit_error error;
    if (orb_s3_looks_keyless(op, upload->has_key ? upload->customer_key : NULL)) {
        look(finish);
        return;
    }
    orbit_status status = orb_s3_check(op, &error);
    if (status >= 0)
        orb_s3_note_head(&op->reply, &finish->seen);
    bool missing = status == ORBIT_E_NOT_FOUND;
    if (status < 0 && !missing)
        orb_s3_op_end(op, status, &error);
    else if (finish->resolving && !missing && !op->keyless && is_ours(finish))
        taken_as_done(finish);
    else if (finish->complete_error.status) /* Complete said that there is no such upload */
        orb_s3_op_end(op, (orbit_status)finish->complete_error.status, &finish->complete_error);
    else if (!upload->overwrite && !missing)
        refuse(finish, ORBIT_E_EXISTS, "it exists already");
    else if (upload->if_match && (missing || !orb_s3_same_etag(upload->if_match, finish->seen.etag)))
        refuse(finish, ORBIT_E_CHANGED, "it is not (any more) the version that was asked for");
    else
        send_complete(finish);
}

static void look(struct finish_op *finish)
{
    struct orb_s3_op *op = &finish->after.base;
    orb_s3_begin(op, "HEAD", finish->upload->path);
    orb_s3_upload_headers(op, finish->upload, !op->keyless);
    orb_s3_ask_checksum(op);
    orbit_metadata_release(&finish->seen);
    op->metadata = &finish->seen;
    orb_s3_send(op, looked);
}

/* ---- Complete -------------------------------------------------------------------------------------- */

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct finish_op *finish = ctx;
    if (depth == 1 && orb_s3_answers(name, "CompleteMultipartUploadResult", "CompleteMultipartUpload"))
        finish->completed = true;
    if (depth == 2 && strcmp(name, "ETag") == 0 && length < sizeof finish->reply_etag)
        memcpy(finish->reply_etag, text, length + 1);
    if (depth == 2 && strcmp(name, "ChecksumType") == 0)
        (void)snprintf(finish->reply_type, sizeof finish->reply_type, "%s", text);
    else if (depth == 2 && finish->checksum.algorithm && orb_str_prefix(name, "Checksum") &&
             orb_s3_checksum_from_word(name + strlen("Checksum")) == finish->checksum.algorithm)
        (void)orb_s3_checksum_parse(&finish->reply_checksum, finish->checksum.algorithm, text);
    return true;
}

static orbit_status read_result(struct finish_op *finish, orbit_error *error)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct orb_s3_op *op = &finish->after.base;
    finish->completed = false;
    finish->reply_type[0] = '\0';
    finish->reply_checksum = (orbit_checksum){0};
    orbit_status status = orb_s3_parse_beside_key(op, &events, finish, error);
    if (status == ORBIT_E_MEMORY || (status >= 0 && finish->completed))
        return status;
    /* Headers came, the word did not: as good as no reply. */
    char name[240];
    status = orb_fail(error, ORBIT_E_NETWORK, 0,
                      "cannot finish writing '%s': the store's reply to the end of the upload is cut short",
                      orb_s3_name(op->s3, op->path, name, sizeof name));
    error->flags |= ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE;
    return status;
}

/* The object is there by now, and the store says of what bytes it is. A value that may be of another kind (a CRC32
 * of the parts', told without saying so) is passed over. */
static orbit_status compare_with_reply(struct finish_op *finish, orbit_error *error)
{
    const orbit_checksum *own = &finish->checksum, *told = &finish->reply_checksum;
    bool whole = own->algorithm == ORBIT_CHECKSUM_CRC64NVME || strcasecmp(finish->reply_type, "FULL_OBJECT") == 0;
    char name[240];
    if (!told->algorithm || told->composite != own->composite || !(whole || own->composite) ||
        memcmp(told->value, own->value, own->length) == 0)
        return ORBIT_OK;
    return orb_fail(error, ORBIT_E_CHECKSUM, 0,
                    "cannot finish writing '%s': the object is there, but by the %s that the store tells it is not "
                    "made of the bytes that were sent",
                    orb_s3_name(finish->after.base.s3, finish->upload->path, name, sizeof name),
                    orb_s3_checksum_word(own->algorithm));
}

/* Some stores know a checksum of the parts' checksums alone, and refuse that of the whole as one that is none
 * (S3Mock). One that was wrong is BadDigest. */
static bool refuses_the_whole(const struct finish_op *finish, const orbit_error *error)
{
    return finish->sent_whole && error->http_status == 400 && strcmp(error->code, "BadRequest") == 0;
}

static void learn_whole(const struct finish_op *finish)
{
    struct orb_s3 *s3 = finish->after.base.s3;
    if (!finish->without_whole || s3->ways.parts_alone)
        return;
    orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s takes no checksum of the whole at the end of an upload",
            s3->address.authority);
    s3->ways.parts_alone = true;
}

static void completed(struct orb_s3_op *op)
{
    struct finish_op *finish = (struct finish_op *)op;
    orbit_metadata *out = finish->out;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && refuses_the_whole(finish, &error)) {
        finish->without_whole = true;
        send_complete(finish);
        return;
    }
    if (status == ORBIT_E_NOT_FOUND && strcmp(error.code, "NoSuchUpload") == 0) {
        finish->complete_error = error;
        if (finish->request.resolve) /* it may be an earlier one that is at work still */
            finish->complete_error.flags |= ORBIT_ERROR_MAYBE_DONE;
        finish->resolving = true;
        look(finish);
        return;
    }
    if (status >= 0)
        status = read_result(finish, &error);
    if (status >= 0)
        status = compare_with_reply(finish, &error);
    if (status == ORBIT_E_CHECKSUM)
        error.flags &= ~(uint32_t)ORBIT_ERROR_RETRIABLE; /* the parts will not change by asking again */
    if (status < 0) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    learn_whole(finish);
    out->etag = orb_s3_keep_etag(out, finish->reply_etag, strlen(finish->reply_etag));
    if (!out->etag && finish->etag[0])
        out->etag = orbit_metadata_keep(out, finish->etag, strlen(finish->etag));
    out->kind = ORBIT_KIND_FILE;
    out->size = finish->request.size;
    out->fields |= ORBIT_HAS_SIZE;
    out->part_count = finish->request.part_count;
    out->checksum = finish->checksum;
    orb_s3_after_start(&finish->after, finish->out->version_id);
}

static void send_complete(struct finish_op *finish)
{
    struct orb_s3_op *op = &finish->after.base;
    struct orb_s3_upload *upload = finish->upload;
    char text[ORB_S3_CHECKSUM_TEXT];
    orb_s3_begin(op, "POST", upload->path);
    orb_s3_param(op, "uploadId", upload->upload_id);
    orb_s3_header(op, "content-type", "application/xml");
    orb_s3_condition_headers(op, upload->overwrite, upload->if_match);
    orb_s3_upload_headers(op, upload, true);
    finish->sent_whole = finish->checksum.algorithm && finish->list.checksums && !finish->checksum.composite &&
                         !finish->without_whole && !op->s3->ways.parts_alone;
    if (finish->sent_whole) {
        orb_s3_checksum_text(&finish->checksum, text);
        orb_s3_header(op, orb_s3_checksum_header(finish->checksum.algorithm), text);
        orb_s3_header(op, "x-amz-checksum-type", "FULL_OBJECT");
    }
    op->sent_checksum = finish->list.checksums;
    if (op->s3->sign_payload) {
        struct orb_sha256 *hash = orb_sha256_new();
        const void *bytes;
        size_t length;
        while (hash && list_peek(&finish->list.body, &bytes, &length) == ORBIT_OK) {
            (void)orb_sha256_update(hash, bytes, length);
            list_consume(&finish->list.body, length);
        }
        bool fine = hash && orb_sha256_hex(hash, op->payload_hash);
        orb_sha256_free(hash);
        if (!fine) {
            orb_s3_op_end(op, ORBIT_E_MEMORY, NULL);
            return;
        }
    }
    (void)list_rewind(&finish->list.body);
    op->http.body = &finish->list.body;
    op->http.once = true;
    op->http.patient = true;
    op->http.first_byte_timeout_ms = COMPLETE_TIMEOUT_MS;
    op->metadata = finish->out;
    orb_s3_send(op, completed);
}

void orb_s3_upload_finish(void *self, orbit_op *op, void *handle, const orbit_finish_request *request,
                          orbit_metadata *reply)
{
    struct orb_s3_upload *upload = handle;
    struct finish_op *finish = orb_s3_op_new(self, op, sizeof *finish, "finish writing", upload->path);
    if (!finish)
        return;
    orbit_error error;
    finish->after.base.release = free_finish;
    finish->upload = upload;
    finish->request = *request;
    finish->out = reply;
    orb_s3_after_init(&finish->after, upload);
    orbit_status status = check_parts(finish, &error);
    if (status >= 0 && !list_init(finish))
        status = orb_fail_memory(&error);
    if (status >= 0)
        status = expected_checksum(finish, &error);
    if (status < 0) {
        orb_s3_op_end(&finish->after.base, status, &error);
        return;
    }
    if (!finish->after.base.s3->address.is_directory) /* there it is random */
        expected_etag(finish);
    finish->resolving = request->resolve;
    /* Other stores may ignore conditions here: look first. */
    bool conditional = !upload->overwrite || upload->if_match;
    if (request->resolve || (conditional && finish->after.base.s3->ways.conditions != ORB_S3_CONDITIONS_DECIDE))
        look(finish);
    else
        send_complete(finish);
}
