/* SPDX-License-Identifier: Apache-2.0
 * What an object in parts was made of: GetObjectAttributes, a page a request. From the CRCs and sizes of its parts
 * follows the CRC of a whole that the store keeps none of. Loop thread.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html */
#include "backend/s3/s3.h"
#include "base/hash.h"
#include "base/str.h"

enum { REPLY_MAX = 1 << 20 }; /* a part takes some 150 bytes, and 1,000 are asked for */

/* ---- a page ----------------------------------------------------------------------------------------- */

void orb_s3_attributes_ask(struct orb_s3_op *op, const char *path, const char *version_id, const uint8_t *customer_key,
                           uint32_t after, void (*finished)(struct orb_s3_op *op))
{
    char marker[16];
    (void)snprintf(marker, sizeof marker, "%u", after);
    op->http.memory.max = REPLY_MAX;
    orb_s3_begin(op, "GET", path);
    orb_s3_param(op, "attributes", "");
    orb_s3_param(op, "versionId", version_id);
    orb_s3_header(op, "x-amz-object-attributes", "Checksum,ObjectParts,ObjectSize");
    orb_s3_header(op, "x-amz-part-number-marker", after ? marker : NULL);
    orb_s3_customer_key_headers(op, customer_key, false);
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, finished);
}

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    struct orb_s3_attributes *page = ctx;
    if (depth == 1)
        page->is_reply = orb_s3_answers(name, "GetObjectAttributesResponse", "GetObjectAttributes");
    if (depth == 2)
        page->in_parts = strcmp(name, "ObjectParts") == 0;
    if (depth == 3)
        page->part = (orbit_object_part){0};
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct orb_s3_attributes *page = ctx;
    uint64_t number;
    (void)length;
    if (!page->in_parts)
        return true;
    if (depth == 4 && strcmp(name, "PartNumber") == 0) {
        if (orb_parse_u64(text, &number) && number <= ORB_S3_PART_NUMBER_MAX)
            page->part.number = (uint32_t)number;
    } else if (depth == 4 && strcmp(name, "Size") == 0) {
        (void)orb_parse_u64(text, &page->part.size);
    } else if (depth == 4 && orb_str_prefix(name, "Checksum")) {
        (void)orb_s3_checksum_parse(&page->part.checksum, orb_s3_checksum_from_word(name + strlen("Checksum")), text);
    } else if (depth == 3 && strcmp(name, "Part") == 0) {
        if (page->part.number <= page->last)
            return false;
        page->last = page->part.number;
        page->each(page->ctx, &page->part);
    } else if (depth == 3 && strcmp(name, "IsTruncated") == 0) {
        page->more = orb_s3_says_more(text);
    }
    return true;
}

/* Ceph 16 takes it for a read that has failed: status 500 and the object's bytes. Others know no such request, or
 * answer with the object. */
static bool not_offered(const struct orb_s3_op *op, const orbit_error *error)
{
    int status = op->http.http_status;
    return status == 501 || status == 405 || strcmp(error->code, "NotImplemented") == 0 ||
           (status == 500 && !error->code[0]);
}

static orbit_status fail_not_offered(struct orb_s3_op *op, orbit_error *error)
{
    char name[240];
    if (!op->s3->ways.no_attributes)
        orb_log(&op->s3->host->log, ORBIT_LOG_INFO, "s3: %s does not tell what objects were made of",
                op->s3->address.authority);
    op->s3->ways.no_attributes = true;
    return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "cannot tell the parts of '%s': the store does not offer that",
                    orb_s3_name(op->s3, op->path, name, sizeof name));
}

orbit_status orb_s3_attributes_read(struct orb_s3_op *op, struct orb_s3_attributes *page, orbit_error *error)
{
    static const struct orb_xml_events events = {on_begin, on_end};
    uint32_t before = page->last;
    page->is_reply = page->in_parts = page->more = false;
    orbit_status status = orb_s3_check(op, error);
    if (status < 0)
        return not_offered(op, error) ? fail_not_offered(op, error) : status;
    status = orb_s3_parse(op, &events, page, error);
    if (!page->is_reply)
        return fail_not_offered(op, error);
    if (status == ORBIT_END || (status >= 0 && page->more && page->last == before))
        status = orb_fail(error, ORBIT_E_PROTOCOL, 0, "the store's list of an object's parts makes no sense");
    return status;
}

/* ---- object_parts --------------------------------------------------------------------------------- */

struct parts_op {
    struct orb_s3_op base; /* first */
    orbit_object_parts_request request;
    orbit_object_parts_reply *out;
    struct orb_s3_attributes page;
};

static void take_part(void *ctx, const orbit_object_part *part)
{
    struct parts_op *parts = ctx;
    if (parts->out->count < parts->request.room)
        parts->request.parts[parts->out->count++] = *part;
    else
        parts->out->more = true;
}

static void parts_told(struct orb_s3_op *op)
{
    struct parts_op *parts = (struct parts_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_attributes_read(op, &parts->page, &error);
    parts->out->more |= parts->page.more;
    orb_s3_op_end(op, status, &error);
}

void orb_s3_object_parts(void *self, orbit_op *op, const orbit_object_parts_request *request,
                         orbit_object_parts_reply *reply)
{
    struct parts_op *parts = orb_s3_op_new(self, op, sizeof *parts, "tell the parts of", request->path);
    if (!parts)
        return;
    orbit_error error;
    parts->request = *request;
    parts->out = reply;
    parts->page = (struct orb_s3_attributes){.each = take_part, .ctx = parts, .last = request->after};
    if (parts->base.s3->ways.no_attributes)
        orb_s3_op_end(&parts->base, fail_not_offered(&parts->base, &error), &error);
    else
        orb_s3_attributes_ask(&parts->base, request->path, request->version_id, request->sse_customer_key,
                              request->after, parts_told);
}

/* ---- the CRC of a whole ----------------------------------------------------------------------------- */

static void add_part(void *ctx, const orbit_object_part *part)
{
    struct orb_s3_whole *whole = ctx;
    uint64_t crc = 0;
    if (part->checksum.algorithm != whole->algorithm || part->number != whole->count + 1) {
        whole->broken = true;
        return;
    }
    for (unsigned i = 0; i < part->checksum.length; i++)
        crc = crc << 8 | part->checksum.value[i];
    whole->crc = orb_s3_crc_combine(whole->algorithm, whole->crc, crc, part->size);
    whole->bytes += part->size;
    whole->count++;
}

void orb_s3_whole_begin(struct orb_s3_whole *whole, uint32_t algorithm)
{
    *whole = (struct orb_s3_whole){.algorithm = algorithm};
    whole->page = (struct orb_s3_attributes){.each = add_part, .ctx = whole};
}

bool orb_s3_whole_end(const struct orb_s3_whole *whole, uint64_t size, orbit_checksum *checksum)
{
    if (whole->broken || !whole->count || whole->bytes != size)
        return false;
    *checksum = orb_s3_crc_checksum(whole->algorithm, whole->crc);
    return true;
}
