/* SPDX-License-Identifier: Apache-2.0
 * Signature Version 4 as the service checks it: in the header and presigned, and of the chunks of a streamed body. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

struct signature {
    bool presigned;
    char access[130], day[16], region[64], service[16], scope[128];
    char names[2048]; /* of the signed headers, ';' between */
    char given[80];
    char date[24];
};

static void hmac(const void *key, size_t key_length, const void *bytes, size_t length, uint8_t out[32])
{
    unsigned size = 32;
    HMAC(EVP_sha256(), key, (int)key_length, bytes, length, out, &size);
}

/* The key of a day is asked for with every request and costs four HMACs. */
static void signing_key(const char *day, const char *service, uint8_t key[32])
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static char cached_for[64], wanted[64];
    static uint8_t cached[32];
    pthread_mutex_lock(&mutex);
    snprintf(wanted, sizeof(wanted), "%s/%s", day, service);
    if (strcmp(cached_for, wanted) != 0) {
        char secret[256];
        int length = snprintf(secret, sizeof(secret), "AWS4%s", identity.secret);
        hmac(secret, (size_t)length, day, strlen(day), cached);
        hmac(cached, 32, identity.region, strlen(identity.region), cached);
        hmac(cached, 32, service, strlen(service), cached);
        hmac(cached, 32, "aws4_request", 12, cached);
        memcpy(cached_for, wanted, sizeof(cached_for));
    }
    memcpy(key, cached, 32);
    pthread_mutex_unlock(&mutex);
}

static bool take(char *to, size_t room, const char *from, size_t length)
{
    if (length >= room)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* "KEY/20261122/us-east-1/s3/aws4_request" */
static bool parse_credential(struct signature *sign, const char *text, size_t length)
{
    const char *end = text + length, *scope = NULL;
    const char *fields[5];
    size_t lengths[5];
    for (int i = 0; i < 5; i++) {
        const char *slash = i == 4 ? end : memchr(text, '/', (size_t)(end - text));
        if (slash == NULL)
            return false;
        fields[i] = text;
        lengths[i] = (size_t)(slash - text);
        if (i == 0)
            scope = slash + 1;
        text = slash + 1;
    }
    return take(sign->access, sizeof(sign->access), fields[0], lengths[0]) &&
           take(sign->day, sizeof(sign->day), fields[1], lengths[1]) &&
           take(sign->region, sizeof(sign->region), fields[2], lengths[2]) &&
           take(sign->service, sizeof(sign->service), fields[3], lengths[3]) &&
           take(sign->scope, sizeof(sign->scope), scope, (size_t)(end - scope));
}

static bool parse_authorization(struct signature *sign, const char *text)
{
    static const char algorithm[] = "AWS4-HMAC-SHA256";
    bool credential = false, names = false, given = false;
    if (strncmp(text, algorithm, sizeof(algorithm) - 1) != 0)
        return false;
    text += sizeof(algorithm) - 1;
    while (*text != '\0') {
        text += strspn(text, " ,");
        size_t length = strcspn(text, ", ");
        if (strncmp(text, "Credential=", 11) == 0)
            credential = parse_credential(sign, text + 11, length - 11);
        else if (strncmp(text, "SignedHeaders=", 14) == 0)
            names = take(sign->names, sizeof(sign->names), text + 14, length - 14);
        else if (strncmp(text, "Signature=", 10) == 0)
            given = take(sign->given, sizeof(sign->given), text + 10, length - 10);
        text += length;
    }
    return credential && names && given;
}

static bool is_signed(const struct signature *sign, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = sign->names; at != NULL && *at != '\0';) {
        size_t piece = strcspn(at, ";");
        if (piece == length && memcmp(at, name, length) == 0)
            return true;
        at += piece + (at[piece] == ';');
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void canonical_query(const struct request *request, bool presigned, struct text *out)
{
    char *pieces[COUNT_OF(request->query)];
    size_t count = 0;
    for (size_t i = 0; i < request->query_count; i++) {
        const struct pair *pair = &request->query[i];
        struct text piece = {0};
        if (presigned && strcmp(pair->name, "X-Amz-Signature") == 0)
            continue;
        text_url(&piece, pair->name, strlen(pair->name), false);
        text_str(&piece, "=");
        text_url(&piece, pair->value, strlen(pair->value), false);
        pieces[count++] = piece.bytes;
    }
    qsort(pieces, count, sizeof(pieces[0]), by_text);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_str(out, "&");
        text_str(out, pieces[i]);
        free(pieces[i]);
    }
    text_str(out, "\n");
}

/* False when a signed header is missing or the names are not in order. */
static bool canonical_headers(const struct request *request, const struct signature *sign, struct text *out)
{
    char name[256], last[256] = "";
    for (const char *at = sign->names; *at != '\0';) {
        size_t length = strcspn(at, ";");
        if (!take(name, sizeof(name), at, length) || strcmp(name, last) <= 0)
            return false;
        const char *value = header(request, name);
        if (value == NULL)
            return false;
        text_str(out, name);
        text_str(out, ":");
        for (const char *c = value; *c != '\0'; c++)
            if (*c != ' ' || c[1] != ' ')
                text_add(out, c, 1);
        text_str(out, "\n");
        memcpy(last, name, sizeof(last));
        at += length + (at[length] == ';');
    }
    text_str(out, "\n");
    text_str(out, sign->names);
    text_str(out, "\n");
    return true;
}

static bool parse_date(const char *text, int64_t *ms)
{
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    const char *end = strptime(text, "%Y%m%dT%H%M%SZ", &tm);
    if (end == NULL || *end != '\0')
        return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

static bool refuse(struct request *request, int status, const char *code, const char *message)
{
    reply_error(request, status, code, message);
    return false;
}

static bool check_time(struct request *request, const struct signature *sign)
{
    int64_t asked, now = now_ms() + atomic_load(&settings.clock_offset_s) * 1000;
    if (!parse_date(sign->date, &asked))
        return refuse(request, 403, "AccessDenied", "the date of the request cannot be read");
    if (strncmp(sign->date, sign->day, strlen(sign->day)) != 0)
        return refuse(request, 403, "SignatureDoesNotMatch", "the day of the scope is not that of the request");
    if (sign->presigned) {
        int64_t expires = query_number(request, "X-Amz-Expires", -1);
        if (expires < 1 || expires > 604800)
            return refuse(request, 400, "AuthorizationQueryParametersError", "X-Amz-Expires must be 1 to 604800");
        if (now > asked + expires * 1000)
            return refuse(request, 403, "AccessDenied", "Request has expired");
        if (asked > now + 900000)
            return refuse(request, 403, "AccessDenied", "Request is not valid yet");
    } else if (now - asked > 900000 || asked - now > 900000) {
        return refuse(request, 403, "RequestTimeTooSkewed",
                      "The difference between the request time and the current time is too large.");
    }
    return true;
}

static bool check_region(struct request *request, const struct signature *sign)
{
    if (!atomic_load(&settings.region_check) || strcmp(sign->region, identity.region) == 0)
        return true;
    reply_header(request, "x-amz-bucket-region: %s", identity.region);
    if (atomic_load(&settings.region_redirect))
        return refuse(request, 301, "PermanentRedirect", "the bucket is in another region");
    return refuse(request, 400, "AuthorizationHeaderMalformed", "the region of the credential scope is wrong");
}

static bool check_headers(struct request *request, const struct signature *sign)
{
    if (!is_signed(sign, "host"))
        return refuse(request, 403, "SignatureDoesNotMatch", "the host header must be signed");
    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;
        bool exempt = sign->presigned && strcmp(name, "x-amz-content-sha256") == 0;
        if (strncmp(name, "x-amz-", 6) == 0 && !exempt && !is_signed(sign, name)) {
            char message[160];
            snprintf(message, sizeof(message), "header '%.80s' was present and is not signed", name);
            return refuse(request, 403, "AccessDenied", message);
        }
    }
    return true;
}

static bool read_presigned(struct request *request, struct signature *sign)
{
    const char *credential = query_value(request, "X-Amz-Credential"), *date = query_value(request, "X-Amz-Date");
    const char *names = query_value(request, "X-Amz-SignedHeaders");
    const char *given = query_value(request, "X-Amz-Signature");
    sign->presigned = true;
    return credential != NULL && date != NULL && names != NULL && given != NULL &&
           parse_credential(sign, credential, strlen(credential)) &&
           take(sign->date, sizeof(sign->date), date, strlen(date)) &&
           take(sign->names, sizeof(sign->names), names, strlen(names)) &&
           take(sign->given, sizeof(sign->given), given, strlen(given));
}

static bool same_signature(struct request *request, const struct signature *sign, const char *sha)
{
    struct text *work = &request->conn->work;
    uint8_t digest[32], key[32];
    char hex[65];
    text_clear(work);
    text_format(work, "%s\n", request->method);
    text_url(work, request->path, request->path_length, true);
    text_str(work, "\n");
    canonical_query(request, sign->presigned, work);
    if (!canonical_headers(request, sign, work))
        return false;
    text_str(work, sign->presigned ? (sha != NULL ? sha : "UNSIGNED-PAYLOAD") : sha);
    sum_digest_of(EVP_sha256(), work->bytes, work->length, digest);
    sum_hex(digest, 32, hex);
    text_clear(work);
    text_format(work, "AWS4-HMAC-SHA256\n%s\n%s\n%s", sign->date, sign->scope, hex);
    signing_key(sign->day, sign->service, key);
    hmac(key, 32, work->bytes, work->length, digest);
    sum_hex(digest, 32, hex);
    return strlen(sign->given) == 64 && CRYPTO_memcmp(hex, sign->given, 64) == 0;
}

static bool check_access(struct request *request, const struct signature *sign)
{
    if (strcmp(sign->access, identity.access) == 0)
        return true;
    const char *token =
        sign->presigned ? query_value(request, "X-Amz-Security-Token") : header(request, "x-amz-security-token");
    int64_t end = strncmp(sign->access, "SESS", 4) == 0 ? express_end_ms(request, sign->access)
                                                        : grant_end_ms(sign->access, token);
    if (end == 0)
        return refuse(request, 403, "InvalidAccessKeyId", "the access key id is not known");
    if (now_ms() >= end)
        return refuse(request, 400, "ExpiredToken", "The provided token has expired.");
    return true;
}

/* ---- chunks -------------------------------------------------------------------------------------------------- */

/* The header's signature is the first that a chunk's covers. */
static void chunks_follow(struct request *request, const struct signature *sign)
{
    struct chunk_sign *chunks = &request->chunks;
    chunks->on = true;
    signing_key(sign->day, sign->service, chunks->key);
    snprintf(chunks->date, sizeof(chunks->date), "%s", sign->date);
    snprintf(chunks->scope, sizeof(chunks->scope), "%s", sign->scope);
    snprintf(chunks->before, sizeof(chunks->before), "%.64s", sign->given);
    if (request->conn->md == NULL)
        request->conn->md = need(EVP_MD_CTX_new());
}

static bool next_is(struct chunk_sign *chunks, const char *kind, const char *hashes, const uint8_t digest[32],
                    const char *given)
{
    char text[640], hex[65];
    uint8_t mac[32];
    sum_hex(digest, 32, hex);
    int length = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s%s", kind, chunks->date, chunks->scope, chunks->before,
                          hashes, hex);
    hmac(chunks->key, 32, text, (size_t)length, mac);
    sum_hex(mac, 32, chunks->before);
    return strcmp(chunks->before, given) == 0;
}

void chunk_begin(struct request *request, const char *line)
{
    struct chunk_sign *chunks = &request->chunks;
    const char *given = strstr(line, ";chunk-signature=");
    if (!chunks->on)
        return;
    snprintf(chunks->given, sizeof(chunks->given), "%.64s", given != NULL ? given + 17 : "");
    EVP_DigestInit_ex(request->conn->md, EVP_sha256(), NULL);
}

void chunk_bytes(struct request *request, const void *bytes, size_t length)
{
    if (request->chunks.on)
        EVP_DigestUpdate(request->conn->md, bytes, length);
}

void chunk_end(struct request *request)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    struct chunk_sign *chunks = &request->chunks;
    uint8_t digest[32];
    if (!chunks->on)
        return;
    EVP_DigestFinal_ex(request->conn->md, digest, NULL);
    chunks->wrong |= !next_is(chunks, "AWS4-HMAC-SHA256-PAYLOAD", empty, digest, chunks->given);
}

void chunk_trailer(struct request *request, const char *lines, const char *given)
{
    uint8_t digest[32];
    if (!request->chunks.on)
        return;
    sum_digest_of(EVP_sha256(), lines, strlen(lines), digest);
    request->chunks.wrong |= !next_is(&request->chunks, "AWS4-HMAC-SHA256-TRAILER", "", digest, given);
}

bool sign_check_form(struct request *request, const char *form, size_t length)
{
    struct signature sign = {0};
    const char *authorization = header(request, "authorization"), *date = header(request, "x-amz-date");
    uint8_t digest[32];
    char hex[65];
    if (authorization == NULL || date == NULL || !parse_authorization(&sign, authorization) ||
        !take(sign.date, sizeof(sign.date), date, strlen(date)) || strcmp(sign.service, "sts") != 0)
        return refuse(request, 403, "MissingAuthenticationToken", "the request is not signed for STS");
    sum_digest_of(EVP_sha256(), form, length, digest);
    sum_hex(digest, 32, hex);
    if (!check_access(request, &sign) || !check_time(request, &sign) || !check_headers(request, &sign))
        return false;
    return same_signature(request, &sign, hex) ||
           refuse(request, 403, "SignatureDoesNotMatch", "the signature is not the one computed here");
}

bool sign_check(struct request *request)
{
    struct signature sign = {0};
    const char *authorization = header(request, "authorization"), *sha = header(request, "x-amz-content-sha256");
    if (!atomic_load(&settings.auth))
        return true;
    if (authorization == NULL && !query_has(request, "X-Amz-Algorithm")) {
        if (atomic_load(&settings.anonymous))
            return true;
        return refuse(request, 403, "AccessDenied", "the request is not signed");
    }
    if (authorization != NULL) {
        const char *date = header(request, "x-amz-date");
        if (!parse_authorization(&sign, authorization) || date == NULL ||
            !take(sign.date, sizeof(sign.date), date, strlen(date)))
            return refuse(request, 400, "AuthorizationHeaderMalformed", "the authorization header cannot be read");
        if (sha == NULL)
            return refuse(request, 400, "InvalidRequest", "Missing required header: x-amz-content-sha256");
    } else if (!read_presigned(request, &sign)) {
        return refuse(request, 400, "AuthorizationQueryParametersError", "the signature in the query is not complete");
    }
    if (strlen(sign.day) != 8)
        return refuse(request, 400, "AuthorizationHeaderMalformed", "the credential scope is wrong");
    if (!express_fits(request, sign.service) || !check_access(request, &sign) || !check_region(request, &sign) ||
        !check_time(request, &sign) || !check_headers(request, &sign))
        return false;
    if (!same_signature(request, &sign, sha))
        return refuse(request, 403, "SignatureDoesNotMatch", "the signature is not the one computed here");
    if (sha != NULL && strncmp(sha, "STREAMING-AWS4-", 15) == 0)
        chunks_follow(request, &sign);
    return true;
}
