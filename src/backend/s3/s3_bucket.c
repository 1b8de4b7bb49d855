/* SPDX-License-Identifier: Apache-2.0
 * Directories and buckets: mkdir puts an empty "dir/" object, which other tools take for a directory as well;
 * the container is the bucket. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

struct mkdir_op {
    struct orb_s3_op base; /* first */
    struct orb_buf path;   /* with its '/' */
    struct orb_http_bytes bytes;
    bool parents;
    bool located; /* a bucket is told where it is to be, whoever the store is */
};

static void free_mkdir(struct orb_s3_op *op)
{
    orb_buf_release(&((struct mkdir_op *)op)->path);
}

static void simply(struct orb_s3_op *op)
{
    if (orb_s3_fine(op))
        orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void made(struct orb_s3_op *op)
{
    struct mkdir_op *mkdir_op = (struct mkdir_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status == ORBIT_E_EXISTS && mkdir_op->parents)
        status = ORBIT_OK;
    orb_s3_op_end(op, status, &error);
}

void orb_s3_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request)
{
    struct mkdir_op *mkdir_op = orb_s3_op_new(self, op, sizeof *mkdir_op, "make the directory", request->path);
    if (!mkdir_op)
        return;
    struct orb_s3_op *base = &mkdir_op->base;
    base->release = free_mkdir;
    mkdir_op->parents = request->parents;
    orb_buf_init(&mkdir_op->path, ORB_S3_KEY_MAX + 1);
    if (!*request->path) { /* the root is there when the bucket is */
        base->path = NULL;
        base->own_keys = true;
        orb_s3_begin(base, "HEAD", NULL);
        orb_s3_account_headers(base, NULL);
        orb_s3_send(base, simply);
        return;
    }
    orb_buf_text(&mkdir_op->path, request->path);
    if (!orb_str_suffix(request->path, "/"))
        orb_buf_char(&mkdir_op->path, '/');
    orb_s3_begin(base, "PUT", orb_buf_string(&mkdir_op->path));
    base->url.failed |= mkdir_op->path.failed;
    orb_s3_header(base, "content-type", "application/x-directory");
    if (!request->parents)
        orb_s3_condition_headers(base, false, NULL);
    orb_s3_account_headers(base, NULL);
    orb_s3_send_bytes(base, &mkdir_op->bytes, "", 0, made);
}

/* Where a bucket is to be: AWS wants to be told but for its first region, and the zone of a directory bucket. Other
 * stores have their own idea of places (Ceph its zone groups): they are told when they have asked. */
static void create_body(const struct orb_s3 *s3, bool located, struct orb_buf *body)
{
    static const char begin[] = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    char zone[ORB_S3_REGION_MAX];
    if (s3->address.is_directory && orb_s3_directory_zone(s3->bucket, zone, sizeof zone) && strchr(zone, '-')) {
        const char *kind = strchr(strchr(zone, '-') + 1, '-') ? "LocalZone" : "AvailabilityZone"; /* usw2-lax1-az1 */
        orb_buf_format(body,
                       "%s<Location><Name>%s</Name><Type>%s</Type></Location><Bucket><DataRedundancy>Single%s"
                       "</DataRedundancy><Type>Directory</Type></Bucket>",
                       begin, zone, kind, kind);
    } else if ((s3->store->is_aws || located) && strcmp(s3->region, "us-east-1") != 0) {
        orb_buf_format(body, "%s<LocationConstraint>", begin);
        orb_xml_escape(body, s3->region);
        orb_buf_text(body, "</LocationConstraint>");
    } else {
        return;
    }
    orb_buf_text(body, "</CreateBucketConfiguration>");
}

static void send_create(struct mkdir_op *create);

static void created(struct orb_s3_op *op)
{
    struct mkdir_op *create = (struct mkdir_op *)op;
    orbit_error error = {0};
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && !create->located && strcmp(error.code, "IllegalLocationConstraintException") == 0) {
        create->located = true;
        send_create(create);
        return;
    }
    orb_s3_op_end(op, status, &error);
}

static void send_create(struct mkdir_op *create)
{
    struct orb_s3_op *base = &create->base;
    struct orb_buf *body = &create->path;
    orb_buf_reset(body);
    orb_s3_begin(base, "PUT", NULL);
    create_body(base->s3, create->located, body);
    base->url.failed |= body->failed;
    orb_s3_send_bytes(base, &create->bytes, orb_buf_string(body), body->length, created);
}

void orb_s3_container_create(void *self, orbit_op *op)
{
    struct mkdir_op *create = orb_s3_op_new(self, op, sizeof *create, "create", NULL);
    if (!create)
        return;
    create->base.release = free_mkdir;
    create->base.own_keys = true;
    create->base.address = &create->base.s3->control;
    orb_buf_init(&create->path, 1024);
    send_create(create);
}

void orb_s3_container_remove(void *self, orbit_op *op)
{
    struct orb_s3_op *base = orb_s3_op_new(self, op, sizeof *base, "remove", NULL);
    if (!base)
        return;
    base->own_keys = true;
    base->address = &base->s3->control;
    orb_s3_begin(base, "DELETE", NULL);
    orb_s3_account_headers(base, NULL);
    orb_s3_send(base, simply);
}
