/* SPDX-License-Identifier: Apache-2.0
 * Tags of an object by themselves: GetObjectTagging, PutObjectTagging and DeleteObjectTagging. In the API they are what
 * the header x-amz-tagging takes, "k=v&k2=v2" percent-encoded; on the wire they are XML. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

struct tags_op {
    struct orb_s3_op base; /* first */
    struct orb_s3_tags tags;
    orbit_bytes_request out;
    struct orb_buf body;
    struct orb_http_bytes bytes;
    const char *version_id;
};

static void free_tags(struct orb_s3_op *base)
{
    struct tags_op *op = (struct tags_op *)base;
    orb_s3_tags_release(&op->tags);
    orb_buf_release(&op->body);
}

static struct tags_op *new_op(void *self, orbit_op *op, const char *verb, const char *path)
{
    struct tags_op *tags = orb_s3_op_new(self, op, sizeof *tags, verb, path);
    if (!tags)
        return NULL;
    tags->base.release = free_tags;
    orb_s3_tags_init(&tags->tags);
    orb_buf_init(&tags->body, (size_t)4 * ORB_S3_TAGS_MAX);
    return tags;
}

static void got(struct orb_s3_op *base)
{
    struct tags_op *op = (struct tags_op *)base;
    orbit_error error;
    orbit_status status = orb_s3_tags_read(base, &op->tags, &error);
    if (status >= 0) {
        size_t length = op->tags.text.length;
        *op->out.length = length;
        memcpy(op->out.buffer, orb_buf_string(&op->tags.text), length < op->out.room ? length : op->out.room);
        if (length > op->out.room)
            status =
                orb_fail(&error, ORBIT_E_LIMIT, 0, "the tags of '%s' need room for %zu bytes", base->path, length + 1);
    }
    orb_s3_op_end(base, status, &error);
}

void orb_s3_tags_get(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    struct tags_op *tags = new_op(self, op, "read the tags of", request->path);
    if (!tags)
        return;
    tags->out = *request;
    orb_s3_tags_ask(&tags->base, request->path, request->version_id, got);
}

/* One name or value; what XML cannot carry is refused. */
static bool add_text(struct orb_buf *body, const char *element, const char *encoded, size_t length,
                     struct orb_buf *text)
{
    orb_buf_reset(text);
    if (!orb_buf_append(text, encoded, length))
        return false;
    size_t decoded = orb_percent_decode(text->bytes, text->length, true);
    if (decoded == SIZE_MAX || memchr(text->bytes, '\0', decoded))
        return false;
    text->length = decoded;
    text->bytes[decoded] = '\0';
    orb_buf_format(body, "<%s>", element);
    bool carried = orb_xml_can_carry(orb_buf_string(text)) && orb_xml_escape(body, orb_buf_string(text));
    orb_buf_format(body, "</%s>", element);
    return carried;
}

bool orb_s3_tags_body(struct orb_buf *body, struct orb_s3_tags *scratch, const char *tagging)
{
    orb_buf_text(body, "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>");
    for (const char *at = tagging; *at; at += *at == '&') {
        size_t length = strcspn(at, "&"), name = strcspn(at, "=&");
        const char *value = name < length ? at + name + 1 : "";
        size_t value_length = name < length ? length - name - 1 : 0;
        if (name == 0)
            return false;
        orb_buf_text(body, "<Tag>");
        if (!add_text(body, "Key", at, name, &scratch->key) ||
            !add_text(body, "Value", value_length ? value : "", value_length, &scratch->value))
            return false;
        orb_buf_text(body, "</Tag>");
        at += length;
    }
    return orb_buf_text(body, "</TagSet></Tagging>");
}

void orb_s3_tags_send(struct orb_s3_op *op, const char *path, const char *version_id, const struct orb_buf *body,
                      struct orb_http_bytes *bytes, void (*finished)(struct orb_s3_op *op))
{
    orb_s3_begin(op, "PUT", path);
    orb_s3_param(op, "tagging", "");
    orb_s3_param(op, "versionId", version_id);
    orb_s3_account_headers(op, NULL);
    orb_s3_header(op, "content-type", "application/xml");
    orb_s3_digest_header(op, body);
    orb_s3_send_bytes(op, bytes, body->bytes, body->length, finished);
}

static void was_set(struct orb_s3_op *base)
{
    if (orb_s3_fine(base))
        orb_s3_op_end(base, ORBIT_OK, NULL);
}

static void set(struct tags_op *tags)
{
    struct orb_s3_op *base = &tags->base;
    if (tags->body.length) {
        orb_s3_tags_send(base, base->path, tags->version_id, &tags->body, &tags->bytes, was_set);
        return;
    }
    orb_s3_begin(base, "DELETE", base->path);
    orb_s3_param(base, "tagging", "");
    orb_s3_param(base, "versionId", tags->version_id);
    orb_s3_account_headers(base, NULL);
    orb_s3_send(base, was_set);
}

/* Who may not look at tags may set them all the same. */
static void looked(struct orb_s3_op *base)
{
    struct tags_op *tags = (struct tags_op *)base;
    orbit_error error;
    base->verb = "set the tags of";
    orbit_status status = orb_s3_tags_read(base, &tags->tags, &error);
    if (status < 0 && status != ORBIT_E_PERMISSION) {
        orb_s3_op_end(base, status, &error);
        return;
    }
    base->s3->ways.tags = true;
    set(tags);
}

/* A store that does not know tags may take the request for one to write or to remove the object itself (rclone's and
 * gofakes3 do): of one that nobody knows it is looked first. */
void orb_s3_tags_set(void *self, orbit_op *op, const orbit_tags_request *request)
{
    struct tags_op *tags = new_op(self, op, "set the tags of", request->path);
    if (!tags)
        return;
    struct orb_s3_op *base = &tags->base;
    orbit_error error;
    tags->version_id = request->version_id;
    if (request->tagging[0] && !orb_s3_tags_body(&tags->body, &tags->tags, request->tagging)) {
        char name[240];
        orbit_status status = orb_fail(&error, ORBIT_E_CONFIG, 0, "cannot set the tags of '%s': '%.100s' %s",
                                       orb_s3_name(base->s3, request->path, name, sizeof name), request->tagging,
                                       "is not of the form name=value&name2=value2, percent-encoded");
        orb_s3_op_end(base, status, &error);
    } else if (base->s3->ways.tags) {
        set(tags);
    } else {
        orb_s3_tags_ask(base, request->path, request->version_id, looked);
    }
}
