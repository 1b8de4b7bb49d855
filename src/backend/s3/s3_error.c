/* SPDX-License-Identifier: Apache-2.0
 * What S3 replies that are no success mean: classified by HTTP status and error code, never by message text.
 * Learns from them where the bucket is, how wrong the clock is and what the endpoint cannot do. Loop thread. */
#include <strings.h>

#include "backend/s3/s3.h"
#include "base/clock.h"

enum { RETRY = ORBIT_ERROR_RETRIABLE, SLOW = ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_THROTTLED };

struct meaning {
    const char *code;
    orbit_status status;
    unsigned flags;
    const char *text; /* NULL: the store's own message */
};

/* Sorted by nothing: errors are rare. */
static const struct meaning codes[] = {
    {"NoSuchKey", ORBIT_E_NOT_FOUND, 0, "no such key"},
    {"NoSuchVersion", ORBIT_E_NOT_FOUND, 0, "no such version"},
    {"NoSuchUpload", ORBIT_E_NOT_FOUND, 0, "the multipart upload does not exist (any more)"},
    {"NoSuchBucket", ORBIT_E_NOT_FOUND, 0, NULL},
    {"AccessDenied", ORBIT_E_PERMISSION, 0, "access denied (AccessDenied)"},
    {"AllAccessDisabled", ORBIT_E_PERMISSION, 0, "all access to it is disabled"},
    {"AccountProblem", ORBIT_E_PERMISSION, 0, NULL},
    {"InvalidObjectState", ORBIT_E_BUSY, 0, "the object is archived: restore it first (InvalidObjectState)"},
    {"InvalidAccessKeyId", ORBIT_E_AUTH, 0, "the store does not know the access key id (InvalidAccessKeyId)"},
    {"SignatureDoesNotMatch", ORBIT_E_AUTH, 0,
     "the secret key does not match the access key id (SignatureDoesNotMatch): check AWS_SECRET_ACCESS_KEY"},
    {"ExpiredToken", ORBIT_E_AUTH, 0, "the session token has expired (ExpiredToken)"},
    {"TokenRefreshRequired", ORBIT_E_AUTH, 0, "the session token must be refreshed (TokenRefreshRequired)"},
    {"InvalidToken", ORBIT_E_AUTH, 0, "the session token is not valid (InvalidToken)"},
    {"MissingSecurityHeader", ORBIT_E_AUTH, 0, NULL},
    {"NotSignedUp", ORBIT_E_AUTH, 0, NULL},
    {"PreconditionFailed", ORBIT_E_CHANGED, 0, NULL},
    {"ConditionalRequestConflict", ORBIT_E_BUSY, RETRY,
     "another request on the key was faster (ConditionalRequestConflict)"},
    {"OperationAborted", ORBIT_E_BUSY, RETRY, "another operation on it is under way (OperationAborted)"},
    {"SlowDown", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests (SlowDown)"},
    {"ServiceUnavailable", ORBIT_E_BUSY, SLOW, "the store is not available (ServiceUnavailable)"},
    {"Throttling", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests (Throttling)"},
    {"ThrottlingException", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests (ThrottlingException)"},
    {"RequestLimitExceeded", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests (RequestLimitExceeded)"},
    {"TooManyRequests", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests (TooManyRequests)"},
    {"BandwidthLimitExceeded", ORBIT_E_BUSY, SLOW, "the store asks for less traffic (BandwidthLimitExceeded)"},
    {"InternalError", ORBIT_E_IO, RETRY, "the store failed inside (InternalError)"},
    {"RequestTimeout", ORBIT_E_TIMEOUT, RETRY, "the store waited too long for the request (RequestTimeout)"},
    {"IncompleteBody", ORBIT_E_NETWORK, RETRY, "the body arrived cut short (IncompleteBody)"},
    {"BadDigest", ORBIT_E_CHECKSUM, RETRY, "the bytes were damaged on their way (BadDigest)"},
    {"XAmzContentSHA256Mismatch", ORBIT_E_CHECKSUM, RETRY,
     "the bytes were damaged on their way (XAmzContentSHA256Mismatch)"},
    {"XAmzContentChecksumMismatch", ORBIT_E_CHECKSUM, RETRY,
     "the bytes were damaged on their way (XAmzContentChecksumMismatch)"},
    {"EntityTooLarge", ORBIT_E_CONFIG, 0, "larger than the store takes (EntityTooLarge)"},
    {"EntityTooSmall", ORBIT_E_CONFIG, 0, "a part is smaller than the store takes (EntityTooSmall): raise part_min"},
    {"InvalidPart", ORBIT_E_CONFIG, 0, "the store does not have one of the parts (InvalidPart)"},
    {"InvalidPartOrder", ORBIT_E_PROTOCOL, 0, NULL},
    {"KeyTooLongError", ORBIT_E_PATH, 0, "the key is too long"},
    {"KeyTooLong", ORBIT_E_PATH, 0, "the key is too long"},
    {"InvalidURI", ORBIT_E_PATH, 0, NULL},
    {"InvalidObjectName", ORBIT_E_PATH, 0, "the store does not take this key"},
    {"XMinioInvalidObjectName", ORBIT_E_PATH, 0, "the store does not take this key"},
    {"XMinioInvalidResourceName", ORBIT_E_PATH, 0, "the store does not take this key"},
    {"XMinioParentIsObject", ORBIT_E_PATH, 0, "the store keeps keys as paths, and one above it is an object"},
    {"ObjectParentIsFile", ORBIT_E_PATH, 0, "the store keeps keys as paths, and one above it is an object"},
    {"ExistingObjectIsDirectory", ORBIT_E_PATH, 0, "the store keeps keys as paths, and this one is a directory"},
    {"DirectoryObjectContainsData", ORBIT_E_PATH, 0,
     "the store keeps keys as paths, and one that ends in '/' has no bytes there"},
    {"DirectoryNotEmpty", ORBIT_E_NOT_EMPTY, 0, "the store keeps keys as paths, and others are below this one"},
    {"ErrDirectoryNotEmpty", ORBIT_E_NOT_EMPTY, 0, "the store keeps keys as paths, and others are below this one"},
    {"InvalidTag", ORBIT_E_CONFIG, 0, "the store does not take these tags (InvalidTag)"},
    {"InvalidBucketName", ORBIT_E_CONFIG, 0, "the bucket's name is not valid"},
    {"InvalidStorageClass", ORBIT_E_CONFIG, 0, "the store does not know this storage class"},
    {"BucketAlreadyExists", ORBIT_E_EXISTS, 0, "the bucket's name is taken"},
    {"BucketAlreadyOwnedByYou", ORBIT_E_EXISTS, 0, "the bucket exists already and is yours"},
    {"BucketNotEmpty", ORBIT_E_NOT_EMPTY, 0, "the bucket is not empty"},
    {"TooManyBuckets", ORBIT_E_QUOTA, 0, NULL},
    {"QuotaExceeded", ORBIT_E_QUOTA, 0, "the quota is exceeded"},
    {"ServiceQuotaExceededException", ORBIT_E_QUOTA, 0, NULL},
    {"XMinioStorageFull", ORBIT_E_NO_SPACE, 0, "the store is full"},
    {"InsufficientStorage", ORBIT_E_NO_SPACE, 0, "the store is full"},
    {"NotImplemented", ORBIT_E_UNSUPPORTED, 0, "the store does not offer this (NotImplemented)"},
    {"MethodNotAllowed", ORBIT_E_UNSUPPORTED, 0, "the store does not allow this (MethodNotAllowed)"},
    {"RequestTimeTooSkewed", ORBIT_E_AUTH, 0, "this machine's clock differs from the store's (RequestTimeTooSkewed)"},
    {"InvalidRange", ORBIT_E_CHANGED, 0, "the range is beyond the end"},
};

static const struct meaning *by_code(const char *code)
{
    for (size_t i = 0; *code && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return &codes[i];
    return NULL;
}

static struct meaning by_status(int status)
{
    switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return (struct meaning){"", ORBIT_E_CONFIG, 0, NULL};
    case 304:
    case 412:
        return (struct meaning){"", ORBIT_E_CHANGED, 0, NULL};
    case 400:
        return (struct meaning){"", ORBIT_E_PROTOCOL, 0, "the store did not accept the request (400)"};
    case 401:
        return (struct meaning){"", ORBIT_E_AUTH, 0, "not authenticated (401)"};
    case 403:
        return (struct meaning){"", ORBIT_E_PERMISSION, 0, "access denied, or the credentials are not right (403)"};
    case 404:
        return (struct meaning){"", ORBIT_E_NOT_FOUND, 0, "no such key"};
    case 405:
    case 501:
        return (struct meaning){"", ORBIT_E_UNSUPPORTED, 0, "the store does not offer this"};
    case 407:
        return (struct meaning){"", ORBIT_E_AUTH, 0, "the proxy wants a user name and password (407)"};
    case 408:
        return (struct meaning){"", ORBIT_E_TIMEOUT, RETRY, "the store waited too long for the request (408)"};
    case 409:
        return (struct meaning){"", ORBIT_E_BUSY, RETRY, "another operation on it is under way (409)"};
    case 413:
        return (struct meaning){"", ORBIT_E_CONFIG, 0, "larger than the store takes (413)"};
    case 429:
    case 503:
        return (struct meaning){"", ORBIT_E_BUSY, SLOW, "the store asks for fewer requests"};
    case 507:
        return (struct meaning){"", ORBIT_E_NO_SPACE, 0, "the store is full (507)"};
    default:
        if (status >= 500)
            return (struct meaning){"", ORBIT_E_IO, RETRY, "the store failed inside"};
        return (struct meaning){"", ORBIT_E_PROTOCOL, 0, NULL};
    }
}

/* ---- the body of an error ------------------------------------------------------------------------- */

struct error_body {
    char code[48], message[200], request_id[72], region[ORB_S3_REGION_MAX], endpoint[128];
    bool is_error; /* the root is <Error>, or what is in it */
};

static void take_text(char *to, size_t room, const char *text, size_t length)
{
    if (length >= room)
        length = room - 1;
    while (length && text[length] && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--; /* no half of a character */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < length ? (unsigned char)text[i + 1] : 0;
        bool high_control = c == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F act on terminals, too */
        to[i] = (char)(c < ' ' || c == 127 || high_control ? ' ' : c);
        if (high_control)
            to[++i] = ' ';
    }
    to[length] = '\0';
}

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    struct error_body *body = ctx;
    if (strcmp(name, "Error") == 0 && depth <= 2)
        body->is_error = true;
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct error_body *body = ctx;
    if (!body->is_error || depth < 2)
        return true;
    if (strcmp(name, "Code") == 0)
        take_text(body->code, sizeof body->code, text, length);
    else if (strcmp(name, "Message") == 0)
        take_text(body->message, sizeof body->message, text, length);
    else if (strcmp(name, "RequestId") == 0)
        take_text(body->request_id, sizeof body->request_id, text, length);
    else if (strcmp(name, "Region") == 0)
        take_text(body->region, sizeof body->region, text, length);
    else if (strcmp(name, "Endpoint") == 0)
        take_text(body->endpoint, sizeof body->endpoint, text, length);
    return true;
}

static void parse_body(const struct orb_buf *memory, struct error_body *body)
{
    static const struct orb_xml_events events = {on_begin, on_end};
    *body = (struct error_body){0};
    if (memory->length) /* what of it is readable is good enough */
        (void)orb_xml_read(memory, &events, body, NULL);
}

/* Whether the root of a document is an error's: the name behind declarations and comments. Replies that are long and
 * none are not read for it. */
static bool begins_as_error(const struct orb_buf *memory)
{
    const char *at = memory->length ? orb_buf_string(memory) : "";
    while ((at = strchr(at, '<')) && (at[1] == '?' || at[1] == '!'))
        at++;
    const char *name = at ? at + 1 : "", *colon;
    size_t length = strcspn(name, " \t\r\n/>");
    while ((colon = memchr(name, ':', length))) {
        length -= (size_t)(colon + 1 - name);
        name = colon + 1;
    }
    return (length == 5 && memcmp(name, "Error", 5) == 0) || (length == 13 && memcmp(name, "ErrorResponse", 13) == 0);
}

/* ---- what to learn --------------------------------------------------------------------------------- */

static bool learn_region(struct orb_s3_op *op, const struct error_body *body)
{
    struct orb_s3 *s3 = op->s3;
    const char *region = op->reply.region[0] ? op->reply.region : body->region;
    int status = op->http.http_status;
    bool asks = status == 301 || status == 307 || status == 400 || status == 403;
    if (!asks || !*region || s3->address.is_arn)
        return false;
    if (strcmp(region, s3->region) == 0)
        return op->lessons != s3->lessons; /* another request has learned it since this one was signed */
    for (const char *c = region; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return false; /* it becomes part of a host's name */
    orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: bucket '%s' is in region %s, not %s", s3->bucket, region, s3->region);
    char before[ORB_S3_REGION_MAX];
    memcpy(before, s3->region, sizeof before);
    memcpy(s3->region, region, strlen(region) + 1);
    if (orb_s3_locate(s3, NULL) >= 0) {
        s3->lessons++;
        orb_s3_remember_region(s3);
        return true;
    }
    memcpy(s3->region, before, sizeof before);
    (void)orb_s3_locate(s3, NULL);
    return false;
}

/* The store's clock is the one that counts. A HEAD has no code: a refusal with a Date far off is taken so. */
static bool learn_clock(struct orb_s3_op *op, const struct error_body *body)
{
    const int64_t far = 300;
    if (op->http.http_status != 403 || !op->reply.date_ns)
        return false;
    if (strcmp(body->code, "RequestTimeTooSkewed") != 0 && strcmp(body->code, "RequestExpired") != 0 && body->code[0])
        return false;
    int64_t offset = (op->reply.date_ns - orb_realtime_ns()) / (int64_t)ORB_S;
    int64_t change = offset - op->s3->clock_offset_s;
    if (change > -far && change < far)
        return op->lessons != op->s3->lessons; /* as above */
    orb_log(&op->s3->host->log, ORBIT_LOG_WARN,
            "s3: the store's clock is %lld seconds ahead of ours: signing by its clock", (long long)offset);
    op->s3->clock_offset_s = offset;
    op->s3->lessons++;
    orb_s3_remember_clock(op->s3);
    return true;
}

/* A token that has expired, by its code; a HEAD has none and is answered with a bare 400. Once: new keys that are
 * refused in the same way are an error. */
static bool learn_keys(struct orb_s3_op *op, const struct error_body *body)
{
    static const char *const words[] = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"};
    bool expired = !body->code[0] && op->http.http_status == 400 && strcmp(op->http.method, "HEAD") == 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        expired = expired || strcmp(body->code, words[i]) == 0;
    struct orb_keys_source *source = orb_s3_op_keys(op);
    return expired && source && orb_keys_source_refused(source, op->keys);
}

/* The words by which stores refuse headers they do not know. Replies to HEAD have none. */
static bool refuses_a_header(const struct orb_s3_op *op, const struct error_body *body)
{
    static const char *const words[] = {"NotImplemented",        "InvalidArgument",     "InvalidRequest",
                                        "InvalidDigest",         "UnsupportedArgument", "InvalidChecksumAlgorithm",
                                        "MalformedTrailerError", "XNotImplemented"};
    int status = op->http.http_status;
    bool refused = status == 501 || (status == 400 && op->asked_checksum && !body->code[0]);
    for (size_t i = 0; status == 400 && i < sizeof words / sizeof *words; i++)
        refused = refused || strcmp(body->code, words[i]) == 0;
    return refused;
}

/* A request was refused that carried checksum headers, or one that did not although others would: whether to try again
 * without. */
static bool suspect(enum orb_s3_checksums *known, bool with, bool without)
{
    if (with && *known == ORB_S3_CHECKSUMS_ON)
        *known = ORB_S3_CHECKSUMS_SUSPECT;
    else if (!with && without && *known == ORB_S3_CHECKSUMS_SUSPECT)
        *known = ORB_S3_CHECKSUMS_ON; /* it was not that */
    return with;
}

/* Some stores refuse requests that carry x-amz-checksum headers, or ask for the object's. Others refuse them for
 * another reason with the same words: only a success without the headers settles it. */
static bool learn_checksums(struct orb_s3_op *op, const struct error_body *body)
{
    struct orb_s3_ways *ways = &op->s3->ways;
    if (!refuses_a_header(op, body))
        return false;
    bool asked = suspect(&ways->told_checksums, op->asked_checksum, op->spared_checksum);
    bool sent = suspect(&ways->checksums, op->sent_checksum, op->changes);
    return asked || sent;
}

/* Some stores want a checksum with each part of an upload that was begun with an algorithm, and some buckets with each
 * body: those that lock objects by default. They say so with words that mean other things, too: only a success with
 * checksums settles it, and a refusal brings back how it was. */
static bool learn_body_checksums(struct orb_s3_op *op, const struct error_body *body)
{
    struct orb_s3 *s3 = op->s3;
    if (op->trailed && s3->ways.body_checksums == ORB_S3_BODY_SUSPECT && op->http.http_status < 500) {
        s3->ways.body_checksums = ORB_S3_BODY_REFUSED;
        return true;
    }
    if (!op->bare || op->http.http_status != 400 || s3->ways.body_checksums == ORB_S3_BODY_REFUSED ||
        (strcmp(body->code, "InvalidArgument") != 0 && strcmp(body->code, "InvalidRequest") != 0))
        return false;
    if (s3->ways.body_checksums == ORB_S3_BODY_UNKNOWN)
        s3->ways.body_checksums = ORB_S3_BODY_SUSPECT;
    return true;
}

/* Stores without conditions on writes say that they do not know such headers; others pass over them in silence, which
 * nothing tells. */
static bool learn_conditions(struct orb_s3_op *op, const struct error_body *body)
{
    struct orb_s3 *s3 = op->s3;
    if (!op->conditional || (op->http.http_status != 501 && strcmp(body->code, "NotImplemented") != 0))
        return false;
    if (s3->ways.conditions != ORB_S3_CONDITIONS_NONE)
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s takes no conditions: looking before each write that has one",
                s3->address.authority);
    s3->ways.conditions = ORB_S3_CONDITIONS_NONE;
    return true;
}

/* The first kind of listing is older than the second, and some know nothing else. */
static bool learn_listing(struct orb_s3_op *op, const struct error_body *body)
{
    struct orb_s3 *s3 = op->s3;
    if (!op->listing || (op->http.http_status != 501 && strcmp(body->code, "NotImplemented") != 0))
        return false;
    if (!s3->ways.list_v1)
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s does not know ListObjectsV2: listing by ListObjects",
                s3->address.authority);
    s3->ways.list_v1 = true;
    return true;
}

/* ---- the error ------------------------------------------------------------------------------------- */

static void describe(struct orb_s3_op *op, const char *path, const struct meaning *meaning,
                     const struct error_body *body, int http_status, orbit_error *error)
{
    char name[240];
    orbit_status status = meaning->status;
    const char *text = meaning->text;
    char own[300];
    orb_s3_name(op->holder ? op->holder : op->s3, path, name, sizeof name);
    if (op->holder && strcmp(body->code, "NoSuchBucket") == 0) {
        (void)snprintf(own, sizeof own, "one of the buckets '%s' and '%s' does not exist", op->holder->bucket,
                       op->s3->bucket);
        text = own;
    } else if (strcmp(body->code, "NoSuchBucket") == 0 || (!text && strcmp(meaning->code, "NoSuchBucket") == 0)) {
        (void)snprintf(own, sizeof own, "bucket '%s' does not exist", op->s3->bucket);
        text = own;
    } else if (!body->code[0] && http_status == 404 && !path) {
        (void)snprintf(own, sizeof own, "bucket '%s' does not exist", op->s3->bucket);
        text = own;
    } else if (status == ORBIT_E_CHANGED && !text) {
        if (op->wants_new)
            status = ORBIT_E_EXISTS;
        text = op->wants_new ? "it exists already" : "it is not (any more) the version that was asked for";
    } else if (!text && status == ORBIT_E_CONFIG && http_status > 300 && http_status < 400) {
        (void)snprintf(own, sizeof own, "the store sends to another address%s%s%s (%s%sHTTP %d): set %s",
                       body->endpoint[0] ? ", '" : "", body->endpoint, body->endpoint[0] ? "'" : "", body->code,
                       body->code[0] ? ", " : "", http_status,
                       body->region[0] || op->reply.region[0] ? "the right region" : "the right endpoint and region");
        text = own;
    } else if (!text) {
        (void)snprintf(own, sizeof own, "%s%s%s (HTTP %d)", body->code, body->code[0] && body->message[0] ? ": " : "",
                       body->message[0] ? body->message
                       : body->code[0]  ? ""
                                        : "unexpected reply",
                       http_status);
        text = own;
    }
    (void)orb_fail(error, status, 0, "cannot %s '%s': %s", op->verb, name, text);
    error->flags |= meaning->flags;
    error->http_status = http_status;
    error->retry_after_ms = op->reply.retry_after_ms;
    memcpy(error->code, body->code, sizeof error->code);
    const char *id = op->reply.request_id[0] ? op->reply.request_id : body->request_id;
    memcpy(error->request_id, id, sizeof error->request_id);
}

orbit_status orb_s3_fail_code(struct orb_s3_op *op, const char *path, const char *code, const char *message,
                              int http_status, orbit_error *error)
{
    struct error_body body = {0};
    const struct meaning *known = by_code(code);
    struct meaning meaning = by_status(http_status);
    if (known)
        meaning = *known;
    else
        meaning.text = NULL;
    take_text(body.code, sizeof body.code, code, strlen(code));
    take_text(body.message, sizeof body.message, message, strlen(message));
    describe(op, path, &meaning, &body, http_status, error);
    return (orbit_status)error->status;
}

static orbit_status refused(struct orb_s3_op *op, orbit_error *error)
{
    struct error_body body;
    int http_status = op->http.http_status;
    parse_body(&op->http.memory, &body);
    const struct meaning *known = by_code(body.code);
    struct meaning meaning = by_status(http_status);
    if (known) {
        meaning = *known;
    } else if (body.code[0] && meaning.status != ORBIT_E_CHANGED && !(meaning.flags & RETRY)) {
        meaning.text = NULL; /* the store's own words are better than ours for the bare status */
    }
    if (op->reply.delete_marker && (http_status == 405 || http_status == 404))
        meaning = (struct meaning){"", ORBIT_E_NOT_FOUND, 0, "no such key (it was deleted)"};

    if (op->trailed && strcmp(body.code, "XAmzContentSHA256Mismatch") == 0)
        meaning = (struct meaning){"", ORBIT_E_UNSUPPORTED, 0,
                                   "the store takes no checksum behind the bytes: choose MD5, which goes before them"};

    bool learned = learn_region(op, &body) || learn_clock(op, &body) || learn_keys(op, &body) ||
                   learn_checksums(op, &body) || learn_body_checksums(op, &body) || learn_conditions(op, &body) ||
                   learn_listing(op, &body);
    describe(op, op->path, &meaning, &body, http_status, error);
    if (learned)
        error->flags |= ORBIT_ERROR_RETRIABLE;
    if (op->changes && http_status >= 500 && http_status != 501 && http_status != 503)
        error->flags |= ORBIT_ERROR_MAYBE_DONE;
    return (orbit_status)error->status;
}

static orbit_status no_reply(struct orb_s3_op *op, orbit_error *error)
{
    char name[200];
    *error = op->http.error;
    if (op->http.status == ORBIT_E_CANCELLED || op->http.status == ORBIT_E_MEMORY)
        return op->http.status;
    orb_error_prefix(error, "cannot %s '%s'", op->verb,
                     orb_s3_name(op->holder ? op->holder : op->s3, op->path, name, sizeof name));
    error->http_status = op->http.http_status;
    memcpy(error->request_id, op->reply.request_id, sizeof error->request_id);
    if (op->http.status == ORBIT_E_CONNECT && op->s3->reached)
        error->flags |= ORBIT_ERROR_RETRIABLE; /* it was there a moment ago */
    if (op->changes && op->http.sent_all)
        error->flags |= ORBIT_ERROR_MAYBE_DONE;
    return op->http.status;
}

static orbit_status too_much_metadata(struct orb_s3_op *op, orbit_error *error)
{
    char name[240];
    return orb_fail(error, ORBIT_E_LIMIT, 0, "cannot %s '%s': it has more metadata than %d KiB", op->verb,
                    orb_s3_name(op->s3, op->path, name, sizeof name), ORB_S3_METADATA_MAX >> 10);
}

/* A reply of status 200 may say otherwise: that of requests which take long begins before their end is known. */
static orbit_status good_and_not(struct orb_s3_op *op, orbit_error *error)
{
    static const struct meaning other = {"", ORBIT_E_IO, RETRY, NULL};
    struct error_body body;
    if (op->http.http_status != 200 || !begins_as_error(&op->http.memory))
        return ORBIT_OK;
    parse_body(&op->http.memory, &body);
    const struct meaning *known = by_code(body.code);
    describe(op, op->path, known ? known : &other, &body, op->http.http_status, error);
    return (orbit_status)error->status;
}

orbit_status orb_s3_check(struct orb_s3_op *op, orbit_error *error)
{
    struct orb_s3 *s3 = op->s3;
    if (op->http.status < 0)
        return no_reply(op, error);
    if (op->http.http_status < 200 || op->http.http_status >= 300)
        return refused(op, error);
    s3->written |= op->changes;
    if (orb_s3_op_keys(op))
        orb_keys_source_accepted(orb_s3_op_keys(op), op->keys);
    if (op->reply.no_memory)
        return orb_fail_memory(error);
    if (op->reply.too_much_metadata)
        return too_much_metadata(op, error);
    orbit_status status = good_and_not(op, error);
    if (status < 0)
        return status;
    if (s3->ways.body_checksums == ORB_S3_BODY_SUSPECT && op->trailed) {
        s3->ways.body_checksums = ORB_S3_BODY_WANTED;
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s wants a checksum with every body", s3->address.authority);
    }
    if (s3->ways.told_checksums == ORB_S3_CHECKSUMS_SUSPECT && op->spared_checksum) {
        s3->ways.told_checksums = ORB_S3_CHECKSUMS_OFF;
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s is not to be asked for checksums: going on without",
                s3->address.authority);
    }
    if (s3->ways.checksums == ORB_S3_CHECKSUMS_SUSPECT && op->changes && op->http.body) {
        s3->ways.checksums = ORB_S3_CHECKSUMS_OFF;
        orb_log(&s3->host->log, ORBIT_LOG_INFO, "s3: %s takes no checksums with uploads: going on without",
                s3->address.authority);
    }
    return ORBIT_OK;
}

bool orb_s3_fine(struct orb_s3_op *op)
{
    orbit_error error;
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0)
        orb_s3_op_end(op, status, &error);
    return status >= 0;
}
