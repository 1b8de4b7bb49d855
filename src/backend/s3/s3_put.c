/* SPDX-License-Identifier: Apache-2.0
 * put, and what put and part share: a body on its way out with its checksum. A CRC is computed while the bytes are
 * sent, or before where they lie in memory as one piece, so that the store can check them. A hash (only where it is
 * asked for, as checksum or for the signature) takes a pass of its own over the body, in a worker. */
#include "backend/s3/s3.h"
#include "base/hash.h"

enum { INLINE_MAX = 256 << 10, EXPECT_MIN = 1 << 20, SMALL_MAX = 64 << 10 };

/* sending->pass. A resume that comes while the worker is still about to rest must not be lost. */
enum { PASS_RUNNING = 0, PASS_RESTING, PASS_NOTIFIED, PASS_DONE };

/* ---- the pass before sending ----------------------------------------------------------------------- */

static void pass_over(struct orb_message *message)
{
    struct orb_s3_sending *sending =
        (struct orb_s3_sending *)((char *)message - offsetof(struct orb_s3_sending, base.step_message));
    struct orb_s3_op *op = &sending->base;
    op->cancel = NULL;
    op->op->resume = orb_s3_op_resume;
    if (orbit_op_cancelled(op->op)) {
        orb_s3_op_end(op, ORBIT_E_CANCELLED, NULL);
    } else if (sending->pass_status < 0) {
        orbit_error error;
        char name[240];
        orbit_status status =
            orb_fail(&error, sending->pass_status, 0, "cannot %s '%s': the source of the bytes failed", op->verb,
                     orb_s3_name(op->s3, op->path, name, sizeof name));
        orb_s3_op_end(op, status, &error);
    } else {
        sending->ready(sending);
    }
}

static void finish_pass(struct orb_s3_sending *sending, orbit_status status)
{
    if (status >= 0 && sending->sha && !orb_sha256_hex(sending->sha, sending->base.payload_hash))
        status = ORBIT_E_MEMORY;
    sending->pass_status = status;
    sending->sum_known = status >= 0 && sending->sum.algorithm;
    atomic_store(&sending->pass, PASS_DONE);
    orb_s3_op_step(&sending->base, pass_over);
}

static bool hash(struct orb_s3_sending *sending, const void *bytes, size_t length)
{
    orb_s3_sum_update(&sending->sum, bytes, length);
    return !sending->sum.failed && (!sending->sha || orb_sha256_update(sending->sha, bytes, length));
}

/* In a worker. */
static void run_pass(void *self, orbit_op *op)
{
    struct orb_s3_sending *sending = op->state;
    orbit_body *body = sending->body;
    (void)self;
    if (body->whole) {
        finish_pass(sending, hash(sending, body->whole, (size_t)body->length) ? ORBIT_OK : ORBIT_E_MEMORY);
        return;
    }
    for (;;) {
        const void *bytes = NULL;
        size_t length = 0;
        orbit_status status = orbit_op_cancelled(op) ? ORBIT_E_CANCELLED : body->peek(body, &bytes, &length);
        if (status == ORBIT_AGAIN) {
            int running = PASS_RUNNING;
            if (atomic_compare_exchange_strong(&sending->pass, &running, PASS_RESTING))
                return;
            atomic_store(&sending->pass, PASS_RUNNING);
        } else if (status == ORBIT_OK) {
            if (!hash(sending, bytes, length)) {
                finish_pass(sending, ORBIT_E_MEMORY);
                return;
            }
            body->consume(body, length);
        } else {
            finish_pass(sending, status == ORBIT_END ? body->rewind(body) : status);
            return;
        }
    }
}

static void resume_pass(orbit_op *op)
{
    struct orb_s3_sending *sending = op->state;
    int pass = atomic_load(&sending->pass);
    for (;;) {
        if (pass == PASS_RESTING) {
            if (atomic_compare_exchange_weak(&sending->pass, &pass, PASS_RUNNING)) {
                orbit_op_run(op, run_pass);
                return;
            }
        } else if (pass != PASS_RUNNING || atomic_compare_exchange_weak(&sending->pass, &pass, PASS_NOTIFIED)) {
            return;
        }
    }
}

static void cancel_pass(struct orb_s3_op *op)
{
    resume_pass(op->op);
}

static void free_sending(struct orb_s3_op *op)
{
    struct orb_s3_sending *sending = (struct orb_s3_sending *)op;
    orb_sha256_free(sending->sha);
    orb_s3_signed_release(&sending->signed_body);
    orb_s3_sum_release(&sending->sum);
}

void orb_s3_sending_start(struct orb_s3_sending *sending)
{
    struct orb_s3_op *op = &sending->base;
    orbit_body *body = sending->body;
    op->release = free_sending;
    op->op->resume = orb_s3_op_resume;
    atomic_init(&sending->pass, PASS_RUNNING);
    bool inlined = body->length == 0 || (body->whole && body->length <= INLINE_MAX);
    bool first = orb_s3_checksum_comes_first(sending->sum.algorithm) || (sending->sum_first && sending->sum.algorithm);
    bool hashes = op->s3->sign_payload && op->s3->keys;
    sending->signs = hashes && !first && !inlined && !body->whole;
    first = first || (hashes && !sending->signs);
    if (!orb_s3_sum_start(&sending->sum) || (hashes && first && !(sending->sha = orb_sha256_new()))) {
        orb_s3_op_end(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    if (!first && (!sending->sum.algorithm || (!inlined && !body->whole))) {
        sending->ready(sending); /* the CRC is computed on the way */
    } else if (inlined) {
        bool fine = hash(sending, body->whole ? body->whole : "", (size_t)body->length);
        sending->sum_known = sending->sum.algorithm;
        if (!fine || (sending->sha && !orb_sha256_hex(sending->sha, op->payload_hash)))
            orb_s3_op_end(op, ORBIT_E_MEMORY, NULL);
        else
            sending->ready(sending);
    } else {
        op->op->resume = resume_pass;
        op->cancel = cancel_pass;
        orbit_op_run(op->op, run_pass);
    }
}

/* ---- sending --------------------------------------------------------------------------------------- */

static void on_sending(struct orb_http_request *request, const void *bytes, size_t length)
{
    struct orb_s3_sending *sending = (struct orb_s3_sending *)request;
    if (!sending->sum_known && !sending->trailing && !sending->signs)
        orb_s3_sum_update(&sending->sum, bytes, length);
}

static void on_rewound(struct orb_http_request *request)
{
    struct orb_s3_sending *sending = (struct orb_s3_sending *)request;
    if (!sending->sum_known && !sending->trailing && !sending->signs)
        (void)orb_s3_sum_start(&sending->sum);
}

static const struct orb_http_events sending_events = {.header = orb_s3_on_header,
                                                      .sending = on_sending,
                                                      .rewound = on_rewound,
                                                      .silent = orb_s3_on_silent,
                                                      .done = orb_s3_on_done};

static orbit_body *framed(struct orb_s3_sending *sending)
{
    struct orb_s3_op *op = &sending->base;
    char length[24];
    (void)snprintf(length, sizeof length, "%llu", (unsigned long long)sending->body->length);
    (void)snprintf(op->payload_hash, sizeof op->payload_hash, "%s",
                   !sending->signs     ? ORB_SIGV4_TRAILER
                   : sending->trailing ? ORB_SIGV4_CHUNKS_TRAILER
                                       : ORB_SIGV4_CHUNKS);
    orb_s3_header(op, "x-amz-decoded-content-length", length);
    if (sending->trailing)
        orb_s3_header(op, "x-amz-trailer", orb_s3_checksum_header(sending->sum.algorithm));
    if (!sending->signs)
        return orb_s3_trailer_init(&sending->trailer, sending->body, &sending->sum);
    op->chunks = &sending->signed_body.chunks;
    return orb_s3_signed_init(&sending->signed_body, sending->body, &sending->sum, sending->trailing);
}

bool orb_s3_sending_in_chunks(struct orb_s3_sending *sending, bool must)
{
    const struct orb_s3 *s3 = sending->base.s3;
    must = must || s3->ways.body_checksums == ORB_S3_BODY_SUSPECT || s3->ways.body_checksums == ORB_S3_BODY_WANTED;
    sending->trailing = must && sending->sum.algorithm && !sending->sum_known;
    return sending->trailing || sending->signs;
}

void orb_s3_sending_send(struct orb_s3_sending *sending, void (*finished)(struct orb_s3_op *op))
{
    struct orb_s3_op *op = &sending->base;
    uint64_t length = sending->body->length;
    char text[ORB_S3_CHECKSUM_TEXT];
    if (sending->sum_known && sending->sum.algorithm) {
        orbit_checksum checksum = orb_s3_sum_checksum(&sending->sum);
        orb_s3_checksum_text(&checksum, text);
        orb_s3_header(op, orb_s3_checksum_header(sending->sum.algorithm), text);
        op->sent_checksum = orb_s3_checksum_word(sending->sum.algorithm) != NULL;
    }
    op->http.events = &sending_events;
    op->trailed = sending->trailing;
    op->bare = sending->sum.algorithm && !sending->sum_known && !sending->trailing;
    op->http.body = sending->trailing || sending->signs ? framed(sending) : sending->body;
    if (!op->http.body) {
        orb_s3_op_end(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    op->http.large = length > SMALL_MAX;
    /* Where a refusal is likely, or its like has never been allowed, it had better come before the bytes. */
    op->http.expect = length > EXPECT_MIN && (op->wants_new || !op->s3->written);
    orb_s3_send(op, finished);
}

orbit_status orb_s3_sending_compare(struct orb_s3_sending *sending, const orbit_checksum *stored, orbit_error *error)
{
    orbit_checksum own = orb_s3_sum_checksum(&sending->sum);
    char name[240];
    if (!own.algorithm || stored->algorithm != own.algorithm || stored->composite)
        return ORBIT_OK;
    if (memcmp(stored->value, own.value, own.length) == 0)
        return ORBIT_OK;
    orbit_status status =
        orb_fail(error, ORBIT_E_CHECKSUM, 0, "cannot %s '%s': the store received other bytes than were sent",
                 sending->base.verb, orb_s3_name(sending->base.s3, sending->base.path, name, sizeof name));
    error->flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

void orb_s3_condition_headers(struct orb_s3_op *op, bool overwrite, const char *if_match)
{
    if (op->s3->ways.conditions == ORB_S3_CONDITIONS_NONE)
        return;
    op->conditional = op->http.once = !overwrite || if_match; /* sent twice it would stumble over itself */
    if (!overwrite) {
        orb_s3_header(op, "if-none-match", "*");
        op->wants_new = true;
    }
    if (if_match)
        orb_s3_etag_header(op, op->s3, "if-match", if_match);
}

bool orb_s3_is_conditional(const orbit_write_options *options)
{
    return !options->overwrite || options->if_match;
}

/* ---- put ------------------------------------------------------------------------------------------- */

struct put_op {
    struct orb_s3_sending sending; /* first */
    orbit_put_request request;
    orbit_metadata *out;
    orbit_metadata seen;   /* what stands there, where that is looked at */
    bool resolves;         /* it may be what an earlier try wrote */
    bool ready;            /* all that must be known before sending is */
    orbit_error refused;   /* the condition's refusal; status 0: there was none */
    char payload_hash[65]; /* while it is looked */
};

static void look(struct put_op *put);

static void stored(struct orb_s3_op *op)
{
    struct put_op *put = (struct put_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (put->resolves && (status == ORBIT_E_EXISTS || status == ORBIT_E_CHANGED)) {
        put->refused = error;
        look(put);
        return;
    }
    if (status >= 0)
        status = orb_s3_sending_compare(&put->sending, &put->out->checksum, &error);
    if (status < 0) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    put->out->kind = ORBIT_KIND_FILE;
    put->out->size = put->sending.body->length;
    put->out->fields |= ORBIT_HAS_SIZE;
    if (!put->out->checksum.algorithm)
        put->out->checksum = orb_s3_sum_checksum(&put->sending.sum);
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

/* "aws-chunked" goes before what the object is encoded with; NULL: too long. */
static const char *chunked_encoding(const orbit_put_request *request, char *out, size_t room)
{
    const char *own = request->options->content_encoding;
    if (!own && request->preserve)
        own = request->preserve->content_encoding;
    int length = snprintf(out, room, "aws-chunked%s%s", own ? "," : "", own ? own : "");
    return length > 0 && (size_t)length < room ? out : NULL;
}

static void send_put(struct put_op *put)
{
    struct orb_s3_sending *sending = &put->sending;
    struct orb_s3_op *op = &sending->base;
    const orbit_write_options *options = put->request.options;
    orb_s3_begin(op, "PUT", put->request.path);
    memcpy(op->payload_hash, put->payload_hash, sizeof op->payload_hash);
    op->metadata = put->out;
    orbit_write_options own = *options;
    char encoding[512];
    if (orb_s3_sending_in_chunks(sending, orb_s3_locks(options))) {
        own.content_encoding = chunked_encoding(&put->request, encoding, sizeof encoding);
        op->bad_header |= !own.content_encoding;
    }
    orb_s3_write_headers(op, put->request.path, &own, put->request.preserve);
    orb_s3_condition_headers(op, options->overwrite, options->if_match);
    orb_s3_sending_send(sending, stored);
}

static void put_ready(struct orb_s3_sending *sending)
{
    struct put_op *put = (struct put_op *)sending;
    put->ready = true;
    memcpy(put->payload_hash, sending->base.payload_hash, sizeof put->payload_hash);
    if (put->resolves)
        look(put);
    else
        send_put(put);
}

/* The object is there: it is the one that an earlier try wrote. */
static bool is_ours(struct put_op *put)
{
    const struct orb_s3_sending *sending = &put->sending;
    struct orb_s3_written written = {.size = sending->body->length, .since_ns = put->request.since_ns};
    if (sending->sum_known)
        written.checksum = orb_s3_sum_checksum(&put->sending.sum);
    return orb_s3_is_written(sending->base.s3, &put->seen, &written);
}

/* A store without conditions, or that may pass over them in silence: what stands at the key is looked at just
 * before. So it is where an earlier try may have written it, and after a refusal then. */
static void looked(struct orb_s3_op *op)
{
    struct put_op *put = (struct put_op *)op;
    const orbit_write_options *options = put->request.options;
    orbit_error error;
    char name[240];
    if (orb_s3_looks_keyless(op, options->sse_customer_key)) {
        look(put);
        return;
    }
    orbit_status status = orb_s3_check(op, &error);
    bool missing = status == ORBIT_E_NOT_FOUND;
    if (status >= 0)
        orb_s3_note_head(&op->reply, &put->seen);
    if (status >= 0 && put->resolves && !op->keyless && is_ours(put)) {
        orb_s3_take_seen(put->out, &put->seen);
        orb_s3_op_end(op, ORBIT_OK, NULL);
        return;
    }
    if (put->refused.status) {
        orbit_metadata_release(&put->seen);
        orb_s3_end_refused(op, &put->refused, status);
        return;
    }
    if (missing)
        status = ORBIT_OK;
    orb_s3_name(op->s3, op->path, name, sizeof name);
    if (status >= 0 && !options->overwrite && !missing)
        status = orb_fail(&error, ORBIT_E_EXISTS, 0, "cannot write '%s': it exists already", name);
    else if (status >= 0 && options->if_match && (missing || !orb_s3_same_etag(options->if_match, put->seen.etag)))
        status = orb_fail(&error, ORBIT_E_CHANGED, 0,
                          "cannot write '%s': it is not (any more) the version that was asked for", name);
    orbit_metadata_release(&put->seen);
    if (status < 0)
        orb_s3_op_end(op, status, &error);
    else if (put->ready)
        send_put(put);
    else
        orb_s3_sending_start(&put->sending);
}

static void look(struct put_op *put)
{
    orb_s3_look(&put->sending.base, put->request.path, put->request.options, put->resolves, &put->seen, looked);
}

void orb_s3_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply)
{
    struct put_op *put = orb_s3_op_new(self, op, sizeof *put, "write", request->path);
    if (!put)
        return;
    orbit_error error;
    orbit_status status = ORBIT_OK;
    put->request = *request;
    put->out = reply;
    put->sending.body = body;
    put->sending.ready = put_ready;
    put->resolves = put->sending.sum_first = request->since_ns && orb_s3_is_conditional(request->options);
    if (!*request->path)
        status =
            orb_fail(&error, ORBIT_E_PATH, 0, "cannot write 's3://%s': it is a bucket", put->sending.base.s3->bucket);
    if (status >= 0)
        status = orb_s3_lock_check(request->options, &error);
    if (status >= 0)
        status = orb_s3_upload_checksum(self, request->options, request->options->checksum, &put->sending.sum.algorithm,
                                        &error);
    if (status < 0)
        orb_s3_op_end(&put->sending.base, status, &error);
    else if (!put->resolves && put->sending.base.s3->ways.conditions != ORB_S3_CONDITIONS_DECIDE &&
             orb_s3_is_conditional(request->options))
        look(put);
    else
        orb_s3_sending_start(&put->sending);
}
