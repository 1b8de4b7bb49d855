/* SPDX-License-Identifier: Apache-2.0
 * Whether a bucket keeps versions: GetBucketVersioning and PutBucketVersioning. Loop thread.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html */
#include <strings.h>

#include "backend/s3/s3.h"

struct versioning_op {
    struct orb_s3_op base; /* first */
    uint32_t *out;
    bool is_versioning;
    struct orb_buf body;
    struct orb_http_bytes bytes;
};

static void free_op(struct orb_s3_op *base)
{
    orb_buf_release(&((struct versioning_op *)base)->body);
}

static struct versioning_op *new_op(void *self, orbit_op *op, const char *verb, const char *method)
{
    struct versioning_op *versioning = orb_s3_op_new(self, op, sizeof *versioning, verb, NULL);
    if (!versioning)
        return NULL;
    struct orb_s3_op *base = &versioning->base;
    orb_buf_init(&versioning->body, 512);
    base->release = free_op;
    orb_s3_begin(base, method, NULL);
    orb_s3_param(base, "versioning", "");
    orb_s3_account_headers(base, NULL);
    return versioning;
}

/* A bucket in which they never were enabled has no <Status>. */
static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct versioning_op *op = ctx;
    (void)length;
    if (depth == 1)
        op->is_versioning = orb_s3_answers(name, "VersioningConfiguration", "GetBucketVersioning");
    if (depth == 2 && strcmp(name, "Status") == 0)
        *op->out = strcasecmp(text, "Enabled") == 0     ? ORBIT_VERSIONING_ENABLED
                   : strcasecmp(text, "Suspended") == 0 ? ORBIT_VERSIONING_SUSPENDED
                                                        : ORBIT_VERSIONING_OFF;
    return true;
}

static void got(struct orb_s3_op *base)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct versioning_op *op = (struct versioning_op *)base;
    orbit_error error;
    orbit_status status = orb_s3_check(base, &error);
    if (status >= 0)
        status = orb_s3_parse(base, &events, op, &error);
    if (status >= 0 && !op->is_versioning)
        status = orb_fail(&error, ORBIT_E_PROTOCOL, 0,
                          "cannot tell whether 's3://%s' keeps versions: the store answered something else",
                          base->s3->bucket);
    orb_s3_op_end(base, status, &error);
}

void orb_s3_versioning_get(void *self, orbit_op *op, uint32_t *versioning)
{
    struct versioning_op *get = new_op(self, op, "ask about the versions of", "GET");
    if (!get)
        return;
    get->out = versioning;
    orb_s3_send(&get->base, got);
}

static void was_set(struct orb_s3_op *base)
{
    if (orb_s3_fine(base))
        orb_s3_op_end(base, ORBIT_OK, NULL);
}

void orb_s3_versioning_set(void *self, orbit_op *op, uint32_t versioning)
{
    struct versioning_op *set = new_op(self, op, "change the versioning of", "PUT");
    if (!set)
        return;
    struct orb_s3_op *base = &set->base;
    orb_buf_format(&set->body,
                   "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>%s</Status>"
                   "</VersioningConfiguration>",
                   versioning == ORBIT_VERSIONING_ENABLED ? "Enabled" : "Suspended");
    base->url.failed |= set->body.failed;
    orb_s3_header(base, "content-type", "application/xml");
    orb_s3_digest_header(base, &set->body);
    orb_s3_send_bytes(base, &set->bytes, set->body.bytes, set->body.length, was_set);
}
