/* SPDX-License-Identifier: Apache-2.0
 * Bodies that come in: read, kept where asked, and every checksum that came along compared. What writes share. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool wants_md5(void)
{
    int64_t md5 = atomic_load(&settings.md5);
    return md5 == 1 || (md5 == -1 && atomic_load(&settings.store) != 0);
}

void make_etag(char etag[48], const struct sums *sums)
{
    static atomic_uint_fast64_t counter;
    if (sums->want & SUM_MD5)
        sum_hex(sums->md5_value, 16, etag);
    else
        snprintf(etag, 48, "%016llx%08llx%08llx", (unsigned long long)sums->crc64,
                 (unsigned long long)(sums->bytes & 0xffffffff),
                 (unsigned long long)(sums->want == 0 ? atomic_fetch_add(&counter, 1) & 0xffffffff : 0));
}

void sum_header(struct request *request, unsigned which, const char *text, bool composite)
{
    char flipped[96];
    snprintf(flipped, sizeof(flipped), "%s", text);
    if (request->fault.wrong_checksum)
        flipped[0] = flipped[0] == 'A' ? 'B' : 'A';
    bool typed = atomic_load(&settings.checksum_types);
    if (!typed)
        flipped[strcspn(flipped, "-")] = '\0';
    reply_header(request, "x-amz-checksum-%s: %s", sum_name(which, false), flipped);
    if (typed)
        reply_header(request, "x-amz-checksum-type: %s", composite ? "COMPOSITE" : "FULL_OBJECT");
}

bool sum_supported(struct request *request)
{
    if (atomic_load(&settings.checksums))
        return true;
    for (size_t i = 0; i < request->header_count; i++)
        if (strncmp(request->headers[i].name, "x-amz-checksum-", 15) == 0 ||
            strcmp(request->headers[i].name, "x-amz-sdk-checksum-algorithm") == 0 ||
            strcmp(request->headers[i].name, "x-amz-trailer") == 0) {
            reply_error(request, 501, "NotImplemented",
                        "A header you provided implies functionality that is not implemented: checksums");
            return false;
        }
    return true;
}

bool same_etag(const char *list, const char *etag)
{
    int64_t how = atomic_load(&settings.etags);
    if (strcmp(list, "*") == 0)
        return true;
    if (how == 2) /* nothing weak matches strongly */
        return false;
    if (how != 0)
        return strcmp(list, etag) == 0;
    while (*list != '\0') {
        list += strspn(list, " ,");
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        bool quoted = *list == '"';
        list += quoted;
        size_t length = strcspn(list, quoted ? "\"" : ", ");
        if (length == strlen(etag) && memcmp(list, etag, length) == 0)
            return true;
        list += length + (quoted && list[length] == '"');
    }
    return false;
}

bool customer_key_fits(struct request *request, const char *prefix, const struct object *object)
{
    char name[96];
    snprintf(name, sizeof(name), "%sserver-side-encryption-customer-key", prefix);
    const char *key = header(request, name);
    snprintf(name, sizeof(name), "%sserver-side-encryption-customer-key-md5", prefix);
    const char *md5 = header(request, name);
    const char *stored =
        object == NULL ? NULL : object_get_header(object, "x-amz-server-side-encryption-customer-key-md5");
    if (key != NULL) {
        unsigned char bytes[64];
        uint8_t digest[16];
        char text[64];
        if (strlen(key) != 44 || md5 == NULL || EVP_DecodeBlock(bytes, (const unsigned char *)key, 44) != 33) {
            reply_error(request, 400, "InvalidArgument", "the customer key is not 32 bytes in base64");
            return false;
        }
        sum_digest_of(EVP_md5(), bytes, 32, digest);
        sum_base64(digest, 16, text);
        if (strcmp(text, md5) != 0) {
            reply_error(request, 400, "InvalidArgument", "the customer key's MD5 is wrong");
            return false;
        }
    }
    if (object != NULL && (stored != NULL) != (md5 != NULL)) {
        reply_error(request, 400, "InvalidRequest", "the object was stored with another form of encryption");
        return false;
    }
    if (stored != NULL && strcmp(stored, md5) != 0) {
        reply_error(request, 403, "AccessDenied", "the customer key is not the one the object was stored with");
        return false;
    }
    return true;
}

void received_free(struct received *received)
{
    blob_drop(received->blob);
    received->blob = NULL;
}

/* The one algorithm whose value comes with the request, in a header or behind the body. */
static bool named_sum(struct request *request, unsigned *named, const char **value)
{
    *named = 0;
    *value = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct pair *pair = &request->headers[i];
        unsigned which = 0;
        const char *found = NULL;
        if (strcmp(pair->name, "x-amz-trailer") == 0 && strncasecmp(pair->value, "x-amz-checksum-", 15) == 0) {
            which = sum_by_name(pair->value + 15);
        } else if (strncmp(pair->name, "x-amz-checksum-", 15) == 0) {
            which = sum_by_name(pair->name + 15);
            found = pair->value;
        }
        if (which == 0)
            continue;
        if (*named != 0)
            return false;
        *named = which;
        *value = found;
    }
    return true;
}

static bool read_into(struct request *request, struct received *received, uint64_t expected, bool keep)
{
    struct conn *conn = request->conn;
    struct sums *sums = &received->sums;
    if (keep && expected <= (uint64_t)atomic_load(&settings.keep_object))
        received->blob = blob_new(NULL, (size_t)expected);
    if (received->blob == NULL && sums->want == 0 && !request->aws_chunked) {
        uint8_t first;
        ssize_t got = body_read(request, &first, 1); /* asks for the body where the client waits */
        sums->bytes = request->length;
        return got >= 0 && body_drain(request);
    }
    if (conn->scratch == NULL)
        conn->scratch = need(malloc(SCRATCH));
    for (;;) {
        char *to = conn->scratch;
        size_t room = SCRATCH;
        if (received->blob != NULL && sums->bytes < expected) {
            to = (char *)received->blob->bytes + sums->bytes;
            room = expected - sums->bytes < SCRATCH ? (size_t)(expected - sums->bytes) : SCRATCH;
        }
        ssize_t got = body_read(request, to, room);
        if (got <= 0)
            return got == 0;
        if (sums->want != 0)
            sums_add(sums, to, (size_t)got);
        else
            sums->bytes += (uint64_t)got;
    }
}

static const char *digest_error(struct request *request, struct received *received, unsigned named, const char *value)
{
    const char *md5 = header(request, "content-md5"), *sha = header(request, "x-amz-content-sha256");
    char text[80];
    if (request->chunks.wrong)
        return "SignatureDoesNotMatch";
    if (!atomic_load(&settings.verify))
        return NULL;
    if (named != 0 && value == NULL) {
        if (request->trailer_name[0] == '\0' || sum_by_name(request->trailer_name + 15) != named)
            return "MalformedTrailerError";
        value = request->trailer_value;
    }
    if (named != 0) {
        sums_base64(&received->sums, named, text);
        if (strcmp(text, value) != 0)
            return "BadDigest";
    }
    if (md5 != NULL) {
        sums_base64(&received->sums, SUM_MD5, text);
        if (strcmp(text, md5) != 0)
            return strlen(md5) == 24 ? "BadDigest" : "InvalidDigest";
    }
    if (sha != NULL && strlen(sha) == 64) {
        char hex[65];
        sum_hex(received->sums.sha256_value, 32, hex);
        if (strcasecmp(hex, sha) != 0)
            return "XAmzContentSHA256Mismatch";
    }
    return NULL;
}

/* Bytes that are to be locked come with something to check them by. */
bool lock_fits(struct request *request, const struct object *meta)
{
    bool locked = atomic_load(&settings.lock) || object_get_header(meta, "x-amz-object-lock-mode") != NULL ||
                  object_get_header(meta, "x-amz-object-lock-legal-hold") != NULL;
    bool checked = header(request, "content-md5") != NULL || header(request, "x-amz-trailer") != NULL;
    for (size_t i = 0; i < request->header_count; i++)
        checked = checked || strncmp(request->headers[i].name, "x-amz-checksum-", 15) == 0;
    if (locked && !checked)
        reply_error(
            request, 400, "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put requests with Object Lock parameters");
    return !locked || checked;
}

bool receive_body(struct request *request, unsigned also, bool keep, struct received *received)
{
    const char *decoded = header(request, "x-amz-decoded-content-length"), *value;
    const char *sha = header(request, "x-amz-content-sha256");
    uint64_t expected = request->length;
    unsigned want = also;
    memset(received, 0, sizeof(*received));
    if (!sum_supported(request))
        return false;
    if (header(request, "content-length") == NULL) {
        bool chunked = header(request, "transfer-encoding") != NULL;
        if (!chunked || !request->aws_chunked || decoded == NULL) {
            reply_error(request, chunked ? 501 : 411, chunked ? "NotImplemented" : "MissingContentLength",
                        "You must provide the Content-Length HTTP header.");
            return false;
        }
    }
    if (request->aws_chunked) {
        if (decoded == NULL) {
            reply_error(request, 411, "MissingContentLength", "x-amz-decoded-content-length is missing");
            return false;
        }
        expected = strtoull(decoded, NULL, 10);
    }
    if (atomic_load(&settings.need_md5) && header(request, "content-md5") == NULL) {
        reply_error(request, 400, "InvalidRequest", "Missing required header for this request: Content-MD5");
        return false;
    }
    if (!named_sum(request, &received->named, &value)) {
        reply_error(request, 400, "InvalidRequest", "Expecting a single x-amz-checksum- header");
        return false;
    }
    if (atomic_load(&settings.verify)) {
        want |= received->named;
        want |= header(request, "content-md5") != NULL ? SUM_MD5 : 0;
        want |= sha != NULL && strlen(sha) == 64 ? SUM_SHA256 : 0;
    }
    sums_begin(&received->sums, want);
    bool whole = read_into(request, received, expected, keep);
    sums_end(&received->sums);
    const char *code = NULL;
    if (!whole || received->sums.bytes != expected) {
        request->keep_alive = false;
        code = "IncompleteBody";
    } else {
        code = digest_error(request, received, received->named, value);
    }
    if (code != NULL) {
        received_free(received);
        reply_error(request, 400, code, "the body is not what its headers say");
        return false;
    }
    return true;
}

const char *write_condition(struct request *request, struct bucket *bucket, int *status)
{
    const char *match = header(request, "if-match"), *none = header(request, "if-none-match");
    const struct object *object = bucket_find(bucket, request->key, request->key_length);
    if (atomic_load(&settings.conditions) < 0)
        return NULL;
    if ((match != NULL || none != NULL) && !atomic_load(&settings.conditions)) {
        *status = 501;
        return "NotImplemented";
    }
    *status = 412;
    if (match != NULL && object == NULL) {
        *status = 404;
        return "NoSuchKey";
    }
    if (match != NULL && !same_etag(match, object->etag))
        return "PreconditionFailed";
    if (none != NULL && object != NULL && same_etag(none, object->etag))
        return "PreconditionFailed";
    return NULL;
}

static void add_tagging(struct object *object, const char *text)
{
    struct text xml = {0};
    char *copy = need(strdup(text)), *rest = copy, *piece;
    while ((piece = strsep(&rest, "&")) != NULL) {
        char *value = strchr(piece, '=');
        if (*piece == '\0')
            continue;
        if (value != NULL)
            *value++ = '\0';
        else
            value = piece + strlen(piece);
        url_decode(piece, strlen(piece), true);
        url_decode(value, strlen(value), true);
        text_str(&xml, "<Tag><Key>");
        text_xml(&xml, piece, strlen(piece));
        text_str(&xml, "</Key><Value>");
        text_xml(&xml, value, strlen(value));
        text_str(&xml, "</Value></Tag>");
    }
    free(copy);
    free(object->tagging);
    object->tagging = xml.bytes;
}

void take_headers(struct request *request, struct object *object)
{
    static const char *const kept[] = {"content-type",
                                       "content-disposition",
                                       "content-language",
                                       "cache-control",
                                       "expires",
                                       "x-amz-storage-class",
                                       "x-amz-acl",
                                       "x-amz-server-side-encryption-context",
                                       "x-amz-server-side-encryption-bucket-key-enabled",
                                       "x-amz-website-redirect-location",
                                       "x-amz-object-lock-mode",
                                       "x-amz-object-lock-retain-until-date",
                                       "x-amz-object-lock-legal-hold",
                                       "x-amz-server-side-encryption",
                                       "x-amz-server-side-encryption-aws-kms-key-id",
                                       "x-amz-server-side-encryption-customer-algorithm",
                                       "x-amz-server-side-encryption-customer-key-md5"};
    for (size_t i = 0; i < request->header_count; i++) {
        const struct pair *pair = &request->headers[i];
        bool take = strncmp(pair->name, "x-amz-meta-", 11) == 0;
        for (size_t k = 0; k < COUNT_OF(kept) && !take; k++)
            take = strcmp(kept[k], pair->name) == 0;
        if (take)
            object_header(object, pair->name, pair->value);
        if (strcmp(pair->name, "content-encoding") == 0) {
            const char *rest = pair->value;
            if (strncmp(rest, "aws-chunked", 11) == 0)
                rest += 11 + strspn(rest + 11, ", ");
            if (*rest != '\0')
                object_header(object, "content-encoding", rest);
        }
        if (strcmp(pair->name, "x-amz-tagging") == 0)
            add_tagging(object, pair->value);
    }
    if (object_get_header(object, "content-type") == NULL)
        object_header(object, "content-type", "binary/octet-stream");
}
