/* SPDX-License-Identifier: Apache-2.0
 * copy: CopyObject inside one store, also from another bucket of it. Loop thread. */
#include "backend/s3/s3.h"
#include "base/str.h"

struct copy_op {
    struct orb_s3_op base; /* first */
    orbit_copy_request request;
    orbit_metadata *out;
    orbit_metadata seen; /* what stands at the target, where that is looked at */
    bool resolves;       /* it may be what an earlier try made */
    orbit_error refused; /* the condition's refusal; status 0: there was none */
    bool is_result;
};

static void look(struct copy_op *copy);

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct copy_op *copy = ctx;
    if (depth == 1)
        copy->is_result = orb_s3_answers(name, "CopyObjectResult", "CopyObject");
    return depth != 2 || orb_s3_copy_result(copy->out, name, text, length);
}

static void copied(struct orb_s3_op *op)
{
    static const struct orb_xml_events events = {NULL, on_end};
    struct copy_op *copy = (struct copy_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0) {
        if (op->wants_new && status == ORBIT_E_CHANGED)
            error.status = status = ORBIT_E_EXISTS;
        if (copy->resolves && (status == ORBIT_E_EXISTS || status == ORBIT_E_CHANGED)) {
            copy->refused = error;
            look(copy);
        } else {
            orb_s3_op_end(op, status, &error);
        }
        return;
    }
    status = orb_s3_parse(op, &events, copy, &error);
    if (status != ORBIT_E_MEMORY && (status < 0 || !copy->is_result)) {
        status = orb_fail(&error, ORBIT_E_NETWORK, 0, "the store's reply to a copy is cut short");
        error.flags |= ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE;
    }
    copy->out->kind = ORBIT_KIND_FILE;
    orb_s3_op_end(op, status, &error);
}

static bool differs(const orbit_write_options *options)
{
    return options->metadata_count || options->content_type || options->content_encoding ||
           options->content_disposition || options->content_language || options->cache_control || options->expires;
}

static void send_copy(struct copy_op *copy)
{
    struct orb_s3_op *op = &copy->base;
    const orbit_copy_request *request = &copy->request;
    op->own_keys = true;
    orb_s3_begin(op, "PUT", request->to);
    orb_s3_copy_headers(op, request);
    if (request->preserve && !differs(request->options)) {
        orb_s3_header(op, "x-amz-metadata-directive", "COPY"); /* what it is comes along */
        orb_s3_storage_headers(op, request->options);
    } else {
        orb_s3_header(op, "x-amz-metadata-directive", "REPLACE");
        orb_s3_write_headers(op, request->to, request->options, request->preserve ? request->pin : NULL);
    }
    if (request->options->tagging)
        orb_s3_header(op, "x-amz-tagging-directive", "REPLACE");
    if (request->options->checksum) /* the source's kind otherwise */
        orb_s3_header(op, "x-amz-checksum-algorithm", orb_s3_checksum_word(request->options->checksum));
    orb_s3_condition_headers(op, request->options->overwrite, request->options->if_match);
    op->metadata = copy->out;
    orb_s3_send(op, copied);
}

/* The object is there: it is the copy that an earlier try made. */
static bool is_ours(const struct copy_op *copy)
{
    const orbit_metadata *source = copy->request.pin;
    if (!source || !(source->fields & ORBIT_HAS_SIZE))
        return false;
    const struct orb_s3_written written = {
        .size = source->size, .checksum = source->checksum, .etag = source->etag, .since_ns = copy->request.since_ns};
    return orb_s3_is_written(copy->base.s3, &copy->seen, &written);
}

/* Most stores know conditions on PUT and not on a copy: look first. And look, where an earlier try may have made what a
 * condition stumbled over. */
static void looked(struct orb_s3_op *op)
{
    struct copy_op *copy = (struct copy_op *)op;
    orbit_error error;
    char name[240];
    if (orb_s3_looks_keyless(op, copy->request.options->sse_customer_key)) {
        look(copy);
        return;
    }
    orbit_status status = orb_s3_check(op, &error);
    if (status >= 0)
        orb_s3_note_head(&op->reply, &copy->seen);
    if (status >= 0 && copy->resolves && !op->keyless && is_ours(copy)) {
        orb_s3_take_seen(copy->out, &copy->seen);
        orb_s3_op_end(op, ORBIT_OK, NULL);
        return;
    }
    orbit_metadata_release(&copy->seen);
    if (copy->refused.status) {
        orb_s3_end_refused(op, &copy->refused, status);
        return;
    }
    if (status >= 0)
        status = orb_fail(&error, ORBIT_E_EXISTS, 0, "cannot copy to '%s': it exists already",
                          orb_s3_name(op->s3, copy->request.to, name, sizeof name));
    else if (status == ORBIT_E_NOT_FOUND) {
        send_copy(copy);
        return;
    }
    orb_s3_op_end(op, status, &error);
}

static void look(struct copy_op *copy)
{
    copy->base.own_keys = false;
    orb_s3_look(&copy->base, copy->request.to, copy->request.options, copy->resolves, &copy->seen, looked);
}

void orb_s3_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    struct copy_op *copy = orb_s3_op_new(self, op, sizeof *copy, "copy", request->from);
    if (!copy)
        return;
    const struct orb_s3 *from = request->from_self ? request->from_self : self;
    orbit_error error;
    copy->request = *request;
    copy->out = reply;
    copy->resolves = request->since_ns && orb_s3_is_conditional(request->options);
    copy->base.holder = from == self ? NULL : from;
    if (!*request->from || !*request->to) {
        orb_s3_op_end(&copy->base,
                      orb_fail(&error, ORBIT_E_PATH, 0, "cannot copy 's3://%s': it is a bucket", from->bucket), &error);
        return;
    }
    orbit_status status = orb_s3_lock_check(request->options, &error);
    if (status < 0) {
        orb_s3_op_end(&copy->base, status, &error);
        return;
    }
    if (request->options->overwrite)
        send_copy(copy);
    else
        look(copy);
}
