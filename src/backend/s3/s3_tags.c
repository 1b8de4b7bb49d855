/* SPDX-License-Identifier: Apache-2.0
 * An object's tags, read as XML (GetObjectTagging) and given back as the header x-amz-tagging takes them: "k=v&k2=v2",
 * percent-encoded. A copy in parts needs that; the one of a single request takes tags along by itself. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

static void start_text(struct orb_buf *buf, const char *text, size_t length)
{
    orb_buf_reset(buf);
    orb_percent_encode(buf, text, length, "");
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct orb_s3_tags *tags = ctx;
    if (depth == 1)
        tags->is_tagging = strcmp(name, "Tagging") == 0;
    if (depth == 4 && strcmp(name, "Key") == 0)
        start_text(&tags->key, text, length);
    if (depth == 4 && strcmp(name, "Value") == 0)
        start_text(&tags->value, text, length);
    if (depth != 3 || strcmp(name, "Tag") != 0)
        return true;
    orb_buf_format(&tags->text, "%s%s=%s", tags->text.length ? "&" : "", orb_buf_string(&tags->key),
                   orb_buf_string(&tags->value));
    tags->text.failed |= tags->key.failed || tags->value.failed;
    orb_buf_reset(&tags->key);
    orb_buf_reset(&tags->value);
    return !tags->text.failed;
}

void orb_s3_tags_init(struct orb_s3_tags *tags)
{
    orb_buf_init(&tags->text, ORB_S3_TAGS_MAX);
    orb_buf_init(&tags->key, ORB_S3_TAGS_MAX);
    orb_buf_init(&tags->value, ORB_S3_TAGS_MAX);
}

void orb_s3_tags_release(struct orb_s3_tags *tags)
{
    orb_buf_release(&tags->text);
    orb_buf_release(&tags->key);
    orb_buf_release(&tags->value);
}

void orb_s3_tags_ask(struct orb_s3_op *op, const char *path, const char *version_id,
                     void (*finished)(struct orb_s3_op *op))
{
    orb_s3_begin(op, "GET", path);
    orb_s3_param(op, "tagging", "");
    orb_s3_param(op, "versionId", version_id);
    orb_s3_account_headers(op, NULL);
    orb_s3_send(op, finished);
}

orbit_status orb_s3_tags_read(struct orb_s3_op *op, struct orb_s3_tags *tags, orbit_error *error)
{
    static const struct orb_xml_events events = {NULL, on_end};
    orbit_status status = orb_s3_check(op, error);
    /* Without tags, or a store that has no such thing. */
    if (status == ORBIT_E_UNSUPPORTED || (status == ORBIT_E_NOT_FOUND && strcmp(error->code, "NoSuchTagSet") == 0))
        return ORBIT_OK;
    bool is_object = op->reply.has_etag && op->http.http_status == 200; /* tags have no ETag */
    if ((status < 0 || !op->http.memory.length) && !is_object) /* an empty reply is how Ceph says that there are none */
        return status;
    if (status >= 0)
        status = orb_s3_parse(op, &events, tags, error);
    if (status == ORBIT_END || tags->text.failed) {
        char name[240];
        return orb_fail(error, ORBIT_E_LIMIT, 0, "cannot %s '%s': they are too long to go with a copy", op->verb,
                        orb_s3_name(op->s3, op->path, name, sizeof name));
    }
    if (status == ORBIT_E_MEMORY || status == ORBIT_E_CANCELLED || (status >= 0 && tags->is_tagging))
        return status;
    if (is_object) {
        char name[240];
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                        "cannot %s '%s': the store knows no tags: asked for them, it sends the object", op->verb,
                        orb_s3_name(op->s3, op->path, name, sizeof name));
    }
    status = orb_fail(error, ORBIT_E_NETWORK, 0, "the store's reply with the tags of an object is cut short");
    error->flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}
