/* SPDX-License-Identifier: Apache-2.0
 * read: a range of an object straight into the sink. Nothing reaches the sink before the headers have shown that
 * these are the bytes that were asked for. The head is judged on the lane; the rest is the loop's.
 *
 * Some stores, and proxies before others, send the object whole where a range was asked for: of that is taken what was
 * wanted, and the engine is told. Some do not say how long it is: then HEAD is asked, so that a body that was cut is
 * told from one that came to its end; where HEAD does not tell either, the body must say itself where it ends
 * (chunks, RFC 9112 section 7.1). */
#include <inttypes.h>

#include "backend/s3/s3.h"
#include "base/least.h"
#include "base/str.h"

struct read_op {
    struct orb_s3_op base; /* first */
    orbit_read_request request;
    orbit_sink *sink;
    orbit_read_reply *out;
    bool ranged, is_head_only, told;
    bool range_kept;  /* the store is known to have ranges */
    bool is_empty;    /* a 206 without bytes and without a range: of an empty object, or so it seems */
    bool lengthless;  /* the reply does not say how long the object is */
    bool is_unsized;  /* … so it was given up, to ask HEAD */
    bool sizing;      /* HEAD is asked, for the size */
    bool sized;       /* it was asked: `seen` is its reply, which may hold no size */
    bool conditional; /* If-Match was sent */
    bool looks;       /* it was refused; HEAD is asked whether rightly */
    orbit_metadata seen;
};

static void release(struct orb_s3_op *op)
{
    struct read_op *read = (struct read_op *)op;
    orbit_metadata_release(&read->seen);
}

static orbit_status fail_head(struct read_op *read, orbit_status status, unsigned flags, const char *what)
{
    (void)orb_fail(&read->base.http.error, status, 0, "%s", what);
    read->base.http.error.flags |= flags;
    return status;
}

/* The version that was asked for? Stores that ignore If-Match exist. */
static orbit_status check_pin(struct read_op *read)
{
    const orbit_metadata *pin = read->request.pin, *now = &read->out->metadata;
    static const char changed[] = "the object has changed while it was read";
    const char *wanted = read->request.if_match;
    if (wanted && now->etag && !orb_s3_same_etag(wanted, now->etag))
        return fail_head(read, ORBIT_E_CHANGED, 0, "the object is not (any more) the version that was asked for");
    if (!pin)
        return ORBIT_OK;
    if (pin->etag && now->etag && !orb_s3_same_etag(pin->etag, now->etag))
        return fail_head(read, ORBIT_E_CHANGED, 0, changed);
    if ((pin->fields & now->fields & ORBIT_HAS_SIZE) && pin->size != now->size)
        return fail_head(read, ORBIT_E_CHANGED, 0, changed);
    if (!pin->etag && (pin->fields & now->fields & ORBIT_HAS_MTIME) && pin->mtime_ns != now->mtime_ns)
        return fail_head(read, ORBIT_E_CHANGED, 0, changed);
    return ORBIT_OK;
}

/* 206: exactly the range, as far as the object goes. */
static orbit_status check_range(struct read_op *read)
{
    struct orb_s3_reply *reply = &read->base.reply;
    uint64_t offset = read->request.offset, length = read->request.length;
    if (read->ranged && !reply->has_range && reply->has_length && !reply->length) {
        read->is_empty = true;
        return ORBIT_OK;
    }
    if (!read->ranged || !reply->has_range || reply->total == UINT64_MAX)
        return fail_head(read, ORBIT_E_PROTOCOL, 0, "the store's reply to a range has no usable Content-Range");
    uint64_t last = length == ORBIT_TO_END || length > reply->total - offset ? reply->total - 1 : offset + length - 1;
    uint64_t count = reply->range_last - reply->range_first + 1;
    if (reply->range_first != offset || reply->range_last != last || (reply->has_length && reply->length != count))
        return fail_head(read, ORBIT_E_PROTOCOL, 0, "the store answered with another range than the one asked for");
    read->out->metadata.size = reply->total;
    read->out->metadata.fields |= ORBIT_HAS_SIZE;
    read->out->length = count;
    /* Where the range is one of the parts an object was made of, a store may send the checksum of that part: only
     * that of the whole object counts, and an object of one piece has no other. */
    if (count != reply->total && read->out->metadata.part_count)
        read->out->metadata.checksum = (orbit_checksum){0};
    return ORBIT_OK;
}

/* How long an object is whose reply does not say so; UINT64_MAX: nobody knows, but its chunks will show. */
static orbit_status size_of_lengthless(struct read_op *read, uint64_t *size)
{
    const orbit_metadata *pin = read->request.pin, *seen = &read->seen;
    read->lengthless = true;
    *size = UINT64_MAX;
    if (pin && (pin->fields & ORBIT_HAS_SIZE)) {
        *size = pin->size;
    } else if (!read->sized) {
        read->is_unsized = true;
        return fail_head(read, ORBIT_E_PROTOCOL, 0, "the store's reply does not say how long the object is");
    } else if (seen->etag && read->out->metadata.etag && !orb_s3_same_etag(seen->etag, read->out->metadata.etag)) {
        return fail_head(read, ORBIT_E_CHANGED, ORBIT_ERROR_RETRIABLE, "the object has just been replaced");
    } else if (seen->fields & ORBIT_HAS_SIZE) {
        *size = seen->size;
    } else if (!read->base.reply.chunked) {
        return fail_head(
            read, ORBIT_E_PROTOCOL, 0,
            "the store says neither how long the object is nor where it ends: what is cut off could not be "
            "told from what is complete");
    }
    return ORBIT_OK;
}

/* The whole of an object that is just as long as what was asked for, or this part of a longer one: a store that
 * answers 200 to a range and says nothing of it would have the object end here. HEAD knows. */
static orbit_status doubt_size(struct read_op *read)
{
    const orbit_metadata *pin = read->request.pin, *seen = &read->seen;
    uint64_t size = read->base.reply.length;
    if (!read->ranged || read->request.offset || read->request.length != size ||
        (pin && (pin->fields & ORBIT_HAS_SIZE)))
        return ORBIT_OK;
    if (!read->sized) {
        read->is_unsized = true;
        return fail_head(read, ORBIT_E_PROTOCOL, 0, "the store's reply does not say whether the object is longer");
    }
    if ((seen->fields & ORBIT_HAS_SIZE) && seen->size != size)
        return fail_head(read, ORBIT_E_PROTOCOL, 0, "the store sent a part of the object as if it was all of it");
    return ORBIT_OK;
}

/* 200: the whole object, which a store sends also when it does not know ranges. Of a range that begins behind the
 * end some stores send the whole, too, not a 416. */
static orbit_status check_whole(struct read_op *read)
{
    struct orb_s3_reply *reply = &read->base.reply;
    uint64_t size = reply->length, offset = read->request.offset, length = read->request.length;
    orbit_status status = reply->has_length ? doubt_size(read) : size_of_lengthless(read, &size);
    if (status < 0)
        return status;
    bool beyond = offset >= size;
    uint64_t rest = beyond ? 0 : size - offset;
    read->out->whole = !read->range_kept && !beyond && (offset || length < rest);
    if (read->range_kept && !beyond && offset) /* of several servers one has none */
        return fail_head(read, ORBIT_E_PROTOCOL, ORBIT_ERROR_RETRIABLE,
                         "the store sent the whole object where a part of it was asked for");
    if (size != UINT64_MAX) {
        read->out->metadata.size = size;
        read->out->metadata.fields |= ORBIT_HAS_SIZE;
        read->out->length = length < rest ? length : rest;
    } else {
        read->out->length = length;
    }
    read->base.http.sink_skip = beyond ? 0 : offset;
    return ORBIT_OK;
}

static orbit_status on_head(struct orb_http_request *request, enum orb_http_take *take)
{
    struct read_op *read = (struct read_op *)request;
    orbit_status status;
    if ((request->http_status != 200 && request->http_status != 206) || read->is_head_only || read->sizing ||
        read->looks)
        return ORBIT_OK;
    bool partial = request->http_status == 206 || (read->ranged && read->base.reply.has_range); /* rclone says 200 */
    status = partial ? check_range(read) : check_whole(read);
    if (read->is_empty)
        return ORBIT_OK; /* a HEAD has to say what it is */
    read->out->metadata.kind = ORBIT_KIND_FILE;
    orb_s3_note_composite(&read->base.reply, &read->out->metadata);
    if (status >= 0)
        status = check_pin(read);
    if (status < 0)
        return status;
    *take = ORB_HTTP_SINK;
    request->sink_max = read->out->length;
    read->told = true;
    orbit_op_head(read->base.op);
    return ORBIT_OK;
}

static const struct orb_http_events read_events = {
    .header = orb_s3_on_header, .head = on_head, .silent = orb_s3_on_silent, .done = orb_s3_on_done};

static const char *wanted_etag(const struct read_op *read)
{
    const orbit_read_request *request = &read->request;
    return request->if_match ? request->if_match : request->pin ? request->pin->etag : NULL;
}

static void common(struct read_op *read)
{
    struct orb_s3_op *op = &read->base;
    const orbit_read_request *request = &read->request;
    const orbit_metadata *pin = request->pin;
    const char *etag = wanted_etag(read);
    orb_s3_param(op, "versionId", request->version_id ? request->version_id : pin ? pin->version_id : NULL);
    read->conditional = etag && !read->looks && orb_s3_reads_conditioned(op->s3, etag);
    if (read->conditional)
        orb_s3_etag_header(op, op->s3, "if-match", etag);
    orb_s3_customer_key_headers(op, request->sse_customer_key, false);
    orb_s3_account_headers(op, NULL);
    if (request->want_checksum)
        orb_s3_ask_checksum(op);
    op->metadata = &read->out->metadata;
}

/* ---- a condition that was refused ------------------------------------------------------------------- */

static void send_get(struct read_op *read);
static void send_head(struct read_op *read);

/* Some stores compare ETags otherwise than they write them. HEAD tells what the object has: if that is what was
 * asked for, conditions are not for this store, and it is read again without one. */
static void looked(struct orb_s3_op *op)
{
    struct read_op *read = (struct read_op *)op;
    orbit_error error;
    char name[240];
    orbit_status status = orb_s3_check(op, &error);
    read->looks = false;
    if (status < 0 && (op->http.status < 0 || (error.flags & ORBIT_ERROR_RETRIABLE) || status == ORBIT_E_MEMORY)) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    if (status < 0 || !orb_s3_same_etag(wanted_etag(read), read->seen.etag)) {
        status = orb_fail(&error, ORBIT_E_CHANGED, 0,
                          "cannot read '%s': it is not (any more) the version that was asked for",
                          orb_s3_name(op->s3, op->path, name, sizeof name));
        error.http_status = 412;
        orb_s3_op_end(op, status, &error);
        return;
    }
    orb_log(&op->s3->host->log, ORBIT_LOG_INFO, "s3: %s refuses its own ETags as conditions: reading without",
            op->address->authority);
    atomic_store(&op->s3->etags, ORB_S3_ETAGS_UNSENT);
    orbit_metadata_release(&read->out->metadata);
    *read->out = (orbit_read_reply){0};
    if (read->is_head_only)
        send_head(read);
    else
        send_get(read);
}

/* True: it is being looked at. */
static bool refused_condition(struct read_op *read)
{
    struct orb_s3_op *op = &read->base;
    if (op->http.status < 0 || op->http.http_status != 412 || !read->conditional)
        return false;
    orb_s3_begin(op, "HEAD", read->request.path);
    read->looks = true;
    common(read);
    orbit_metadata_release(&read->seen);
    op->metadata = &read->seen;
    orb_s3_send(op, looked);
    return true;
}

/* ---- nothing to read: what is the object? ---------------------------------------------------------- */

static void no_bytes(struct read_op *read)
{
    orbit_error error;
    char name[240];
    orbit_status status =
        orb_fail(&error, ORBIT_E_PROTOCOL, 0, "cannot read '%s': the store's reply to a range has no bytes",
                 orb_s3_name(read->base.s3, read->base.path, name, sizeof name));
    orb_s3_op_end(&read->base, status, &error);
}

static void headed(struct orb_s3_op *op)
{
    struct read_op *read = (struct read_op *)op;
    if (refused_condition(read) || !orb_s3_fine(op))
        return;
    if (op->reply.has_length) {
        read->out->metadata.size = op->reply.length;
        read->out->metadata.fields |= ORBIT_HAS_SIZE;
    }
    read->out->metadata.kind = ORBIT_KIND_FILE;
    read->out->length = 0;
    if (read->is_empty && op->reply.has_length && op->reply.length > read->request.offset) {
        no_bytes(read);
        return;
    }
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

static void send_head(struct read_op *read)
{
    struct orb_s3_op *op = &read->base;
    orb_s3_begin(op, "HEAD", read->request.path);
    read->is_head_only = true;
    common(read);
    orb_s3_send(op, headed);
}

static void beyond_the_end(struct read_op *read)
{
    const orbit_metadata *pin = read->request.pin;
    if (!pin || !(pin->fields & ORBIT_HAS_SIZE)) {
        send_head(read); /* the refusal names a size at best; who reads first needs the identity, too */
        return;
    }
    read->out->metadata.size = pin->size;
    read->out->metadata.fields |= ORBIT_HAS_SIZE;
    read->out->metadata.kind = ORBIT_KIND_FILE;
    read->out->length = 0;
    if (read->is_empty && pin->size > read->request.offset) {
        no_bytes(read);
        return;
    }
    /* The refusal says how long the object is now: inside of what was promised, it is another one. */
    if (read->base.reply.range_unsatisfied && read->base.reply.total != pin->size) {
        orbit_error error;
        char name[240];
        orbit_status status =
            orb_fail(&error, ORBIT_E_CHANGED, 0, "cannot read '%s': the object has changed while it was read",
                     orb_s3_name(read->base.s3, read->base.path, name, sizeof name));
        orb_s3_op_end(&read->base, status, &error);
        return;
    }
    orb_s3_op_end(&read->base, ORBIT_OK, NULL);
}

/* ---- the read -------------------------------------------------------------------------------------- */

static void received(struct orb_s3_op *op);

static void send_get(struct read_op *read)
{
    struct orb_s3_op *base = &read->base;
    const orbit_read_request *request = &read->request;
    orb_s3_begin(base, "GET", request->path);
    read->range_kept = base->s3->ways.ranges == ORB_S3_RANGES_KEPT;
    read->ranged =
        (request->offset || request->length != ORBIT_TO_END) && base->s3->ways.ranges != ORB_S3_RANGES_IGNORED;
    if (read->ranged) {
        char range[64];
        uint64_t last = request->offset + request->length - 1;
        if (request->length == ORBIT_TO_END || last < request->offset)
            (void)snprintf(range, sizeof range, "bytes=%" PRIu64 "-", request->offset);
        else
            (void)snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, request->offset, last);
        orb_s3_header(base, "range", range);
    }
    common(read);
    base->http.sink = read->sink;
    base->http.large = request->length > 64 << 10;
    orb_s3_send(base, received);
}

/* What HEAD says counts; a store that has none, or whose HEAD tells no length, leaves it to the body. */
static void sized(struct orb_s3_op *op)
{
    struct read_op *read = (struct read_op *)op;
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && (op->http.status < 0 || (error.flags & ORBIT_ERROR_RETRIABLE) || status == ORBIT_E_MEMORY)) {
        orb_s3_op_end(op, status, &error);
        return;
    }
    if (status >= 0 && op->reply.has_length) {
        read->seen.size = op->reply.length;
        read->seen.fields |= ORBIT_HAS_SIZE;
        op->s3->ways.no_lengths |= read->lengthless;
    }
    read->sizing = read->is_unsized = false;
    read->sized = true;
    orbit_metadata_release(&read->out->metadata); /* of the reply that was given up */
    *read->out = (orbit_read_reply){0};
    send_get(read);
}

static void ask_size(struct read_op *read)
{
    struct orb_s3_op *op = &read->base;
    orb_s3_begin(op, "HEAD", read->request.path);
    read->sizing = true;
    common(read);
    op->metadata = &read->seen;
    orb_s3_send(op, sized);
}

static void fail_received(struct read_op *read, orbit_status status, unsigned flags, const char *what)
{
    struct orb_s3_op *op = &read->base;
    orbit_error error;
    char name[240];
    (void)orb_fail(&error, status, 0, "cannot read '%s': %s", orb_s3_name(op->s3, op->path, name, sizeof name), what);
    error.http_status = op->http.http_status;
    error.flags |= flags;
    orb_s3_op_end(op, status, &error);
}

static void received(struct orb_s3_op *op)
{
    struct read_op *read = (struct read_op *)op;
    if (read->out->whole)
        op->s3->ways.ranges = ORB_S3_RANGES_IGNORED;
    if (read->is_unsized && op->http.status != ORBIT_E_CANCELLED) {
        ask_size(read);
        return;
    }
    if (refused_condition(read))
        return;
    if (op->http.status >= 0 && (op->http.http_status == 416 || read->is_empty)) {
        beyond_the_end(read);
        return;
    }
    if (!orb_s3_fine(op))
        return;
    if (read->base.reply.has_range && op->s3->ways.ranges == ORB_S3_RANGES_UNKNOWN)
        op->s3->ways.ranges = ORB_S3_RANGES_KEPT;
    if (!read->told) {
        char what[64];
        (void)snprintf(what, sizeof what, "the store answered with HTTP %d", op->http.http_status);
        fail_received(read, ORBIT_E_PROTOCOL, 0, what);
        return;
    }
    if (read->lengthless && !(read->out->metadata.fields & ORBIT_HAS_SIZE)) {
        orb_s3_op_end(op, ORBIT_OK, NULL); /* its chunks were complete */
        return;
    }
    if (read->lengthless && op->http.enough &&
        read->out->length == read->out->metadata.size - orb_smaller(read->request.offset, read->out->metadata.size)) {
        fail_received(read, ORBIT_E_PROTOCOL, 0, "the reply is longer than the object is said to be");
        return;
    }
    if (op->http.received < read->out->length) {
        char what[96];
        (void)snprintf(what, sizeof what, "the reply ended after %" PRIu64 " of %" PRIu64 " bytes", op->http.received,
                       read->out->length);
        fail_received(read, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, what);
        return;
    }
    orb_s3_op_end(op, ORBIT_OK, NULL);
}

void orb_s3_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply)
{
    struct read_op *read = orb_s3_op_new(self, op, sizeof *read, "read", request->path);
    if (!read)
        return;
    struct orb_s3_op *base = &read->base;
    read->request = *request;
    read->sink = sink;
    read->out = reply;
    base->http.events = &read_events;
    op->resume = orb_s3_op_resume;
    base->release = release;
    if (!*request->path) {
        orbit_error error;
        orb_s3_op_end(
            base, orb_fail(&error, ORBIT_E_PATH, 0, "cannot read 's3://%s': it is a bucket", base->s3->bucket), &error);
        return;
    }
    bool size_known = request->pin && (request->pin->fields & ORBIT_HAS_SIZE);
    if (request->length == 0)
        send_head(read);
    else if (base->s3->ways.no_lengths && !size_known)
        ask_size(read);
    else
        send_get(read);
}
