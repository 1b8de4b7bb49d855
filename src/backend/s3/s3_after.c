/* SPDX-License-Identifier: Apache-2.0
 * The object of an upload in parts is complete. Some stores drop the tags and the lock that the upload was begun
 * with, and say nothing: of one that nobody knows the first object is looked at. Where they are gone they are set,
 * by requests of their own: PutObjectTagging, PutObjectRetention, PutObjectLegalHold
 * (docs.aws.amazon.com/AmazonS3/latest/API/). Who would ask again for the end of the upload could not be told of
 * them any more: a failure here is final. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

void orb_s3_after_init(struct orb_s3_after *after, const struct orb_s3_upload *upload)
{
    after->upload = upload;
    orb_s3_tags_init(&after->tags);
    orb_buf_init(&after->body, (size_t)4 * ORB_S3_TAGS_MAX);
}

void orb_s3_after_release(struct orb_s3_after *after)
{
    orb_s3_tags_release(&after->tags);
    orbit_metadata_release(&after->seen);
    orb_buf_release(&after->body);
}

/* After a request that was to set something: false when the operation has ended. */
static bool was_set(struct orb_s3_op *op, const char *without)
{
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status >= 0)
        return true;
    if (status != ORBIT_E_MEMORY) {
        orb_error_prefix(&error, "'%s' was written, but %s", op->path, without);
        error.flags &= ~(uint32_t)(ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE);
    }
    orb_s3_op_end(op, status, &error);
    return false;
}

/* ---- the lock -------------------------------------------------------------------------------------- */

static const char unlocked[] = "it is not locked: the store dropped the lock that the upload was begun with";

static void send_lock(struct orb_s3_after *after, const char *what, void (*finished)(struct orb_s3_op *op))
{
    struct orb_s3_op *op = &after->base;
    orb_s3_begin(op, "PUT", after->upload->path);
    orb_s3_param(op, what, "");
    orb_s3_param(op, "versionId", after->version);
    orb_s3_upload_headers(op, after->upload, false);
    orb_s3_header(op, "content-type", "application/xml");
    orb_s3_digest_header(op, &after->body);
    orb_s3_send_bytes(op, &after->bytes, after->body.bytes, after->body.length, finished);
}

static void hold_set(struct orb_s3_op *op)
{
    if (was_set(op, unlocked))
        orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void set_hold(struct orb_s3_after *after)
{
    const char *hold = after->upload->lock_hold;
    if (!hold || strcmp(hold, "ON") != 0) { /* off is what it is without */
        orb_s3_op_end(&after->base, ORBIT_OK, NULL);
        return;
    }
    orb_buf_reset(&after->body);
    orb_buf_text(&after->body,
                 "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>ON</Status></LegalHold>");
    send_lock(after, "legal-hold", hold_set);
}

static void retention_set(struct orb_s3_op *op)
{
    if (was_set(op, unlocked))
        set_hold((struct orb_s3_after *)op);
}

static void set_lock(struct orb_s3_after *after)
{
    const struct orb_s3_upload *upload = after->upload;
    after->base.verb = "lock";
    if (!upload->lock_mode) {
        set_hold(after);
        return;
    }
    orb_buf_reset(&after->body);
    orb_buf_text(&after->body, "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>");
    orb_xml_escape(&after->body, upload->lock_mode);
    orb_buf_text(&after->body, "</Mode><RetainUntilDate>");
    orb_xml_escape(&after->body, upload->lock_until);
    orb_buf_text(&after->body, "</RetainUntilDate></Retention>");
    send_lock(after, "retention", retention_set);
}

static bool is_locked(const struct orb_s3_upload *upload, const orbit_metadata *seen)
{
    int64_t wanted = 0, until = 0;
    if (upload->lock_hold && strcmp(upload->lock_hold, "ON") == 0 &&
        (!seen->object_lock_legal_hold || strcmp(seen->object_lock_legal_hold, "ON") != 0))
        return false;
    if (!upload->lock_mode)
        return true;
    /* Seconds are what a store keeps of a time. */
    return seen->object_lock_mode && strcmp(seen->object_lock_mode, upload->lock_mode) == 0 &&
           seen->object_lock_until && orb_parse_time(upload->lock_until, &wanted) &&
           orb_parse_time(seen->object_lock_until, &until) && wanted / 1000000000 == until / 1000000000;
}

static void lock_told(struct orb_s3_op *op)
{
    struct orb_s3_after *after = (struct orb_s3_after *)op;
    struct orb_s3 *s3 = op->s3;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status == ORBIT_E_CANCELLED || status == ORBIT_E_MEMORY) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    bool locked = status >= 0 && is_locked(after->upload, &after->seen);
    if (status >= 0)
        s3->ways.upload_locks = locked ? ORB_S3_KEEPS : ORB_S3_DROPS;
    if (locked) {
        orb_s3_op_end(op, ORBIT_OK, NULL);
        return;
    }
    if (status >= 0)
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s drops the locks of uploads in parts: setting them afterwards",
                op->address->authority);
    set_lock(after); /* also where nobody may look: twice is no more than once */
}

static void end_with_lock(struct orb_s3_after *after)
{
    struct orb_s3_op *op = &after->base;
    enum orb_s3_upload_keeps known = op->s3->ways.upload_locks;
    if (!after->upload->locks || known == ORB_S3_KEEPS) {
        orb_s3_op_end(op, ORBIT_OK, NULL);
    } else if (known == ORB_S3_DROPS) {
        set_lock(after);
    } else {
        orb_s3_begin(op, "HEAD", after->upload->path);
        orb_s3_param(op, "versionId", after->version);
        orb_s3_upload_headers(op, after->upload, true);
        op->metadata = &after->seen;
        orb_s3_send(op, lock_told);
    }
}

/* ---- its tags -------------------------------------------------------------------------------------- */

static void tags_set(struct orb_s3_op *op)
{
    if (was_set(op, "the store kept none of its tags"))
        end_with_lock((struct orb_s3_after *)op);
}

static void set_tags(struct orb_s3_after *after)
{
    struct orb_s3_op *op = &after->base;
    orbit_error error;
    op->verb = "set the tags of";
    if (orb_s3_tags_body(&after->body, &after->tags, after->upload->tagging)) {
        orb_s3_tags_send(op, after->upload->path, after->version, &after->body, &after->bytes, tags_set);
        return;
    }
    orbit_status status =
        orb_fail(&error, ORBIT_E_CONFIG, 0,
                 "'%s' was written, but its tags '%.100s' are not of the form name=value&name2=value2", op->path,
                 after->upload->tagging);
    orb_s3_op_end(op, status, &error);
}

static void tags_told(struct orb_s3_op *op)
{
    struct orb_s3_after *after = (struct orb_s3_after *)op;
    struct orb_s3 *s3 = op->s3;
    orbit_error error;
    orbit_status status = orb_s3_tags_read(op, &after->tags, &error);
    if (status == ORBIT_E_CANCELLED || status == ORBIT_E_MEMORY) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    if (status < 0) /* who may not look at them may set them with an upload all the same */
        orb_log(&s3->host->log, ORBIT_LOG_WARN, "s3: nobody can tell whether %s keeps the tags of uploads: %s",
                op->address->authority, error.message);
    bool dropped = status >= 0 && !after->tags.text.length;
    s3->ways.upload_tags = dropped ? ORB_S3_DROPS : ORB_S3_KEEPS;
    if (!dropped) {
        end_with_lock(after);
        return;
    }
    orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s drops the tags of uploads in parts: setting them afterwards",
            op->address->authority);
    set_tags(after);
}

void orb_s3_after_start(struct orb_s3_after *after, const char *version_id)
{
    struct orb_s3_op *op = &after->base;
    enum orb_s3_upload_keeps known = op->s3->ways.upload_tags;
    after->version = version_id && strcmp(version_id, "null") != 0 ? version_id : NULL;
    if (!after->upload->tagging || known == ORB_S3_KEEPS || op->s3->store->no_tags)
        end_with_lock(after);
    else if (known == ORB_S3_DROPS)
        set_tags(after);
    else
        orb_s3_tags_ask(op, after->upload->path, after->version, tags_told);
}
