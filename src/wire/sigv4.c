/* SPDX-License-Identifier: Apache-2.0
 * AWS Signature Version 4 on OpenSSL's SHA-256. HMAC is done by hand (RFC 2104): OpenSSL 3 looks the digest up
 * again with every HMAC it starts, which costs more than the hash of a request. */
#include "wire/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

enum { HASH = 32, BLOCK = 64, CANONICAL_MAX = 256 << 10 };

struct orb_sigv4 {
    EVP_MD *sha256;
    EVP_MD_CTX *ctx;
    /* The signing key of one secret, day, region and service. `made_from` is a hash of those, so that the
     * secret itself is not kept here. */
    uint8_t key[HASH];
    uint8_t made_from[HASH];
    bool have_key;
    char last[2 * HASH + 1]; /* the signature that was made last */

    struct orb_buf canonical;
    struct orb_buf signed_headers;
};

orbit_status orb_sigv4_new(struct orb_sigv4 **signer, orbit_error *error)
{
    *signer = NULL;
    struct orb_sigv4 *made = orb_calloc(1, sizeof *made);
    if (!made)
        return orb_fail_memory(error);
    orb_buf_init(&made->canonical, CANONICAL_MAX);
    orb_buf_init(&made->signed_headers, CANONICAL_MAX);
    made->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    made->ctx = EVP_MD_CTX_new();
    if (!made->sha256 || !made->ctx) {
        orb_sigv4_free(made);
        return orb_fail(error, ORBIT_E_CONFIG, 0, "cannot sign requests: OpenSSL offers no SHA-256");
    }
    *signer = made;
    return ORBIT_OK;
}

void orb_sigv4_free(struct orb_sigv4 *signer)
{
    if (!signer)
        return;
    EVP_MD_CTX_free(signer->ctx);
    EVP_MD_free(signer->sha256);
    orb_buf_release(&signer->canonical);
    orb_buf_release(&signer->signed_headers);
    OPENSSL_cleanse(signer->key, sizeof signer->key);
    orb_free(signer);
}

struct piece {
    const void *bytes;
    size_t length;
};

static bool hash_pieces(struct orb_sigv4 *signer, const struct piece *pieces, size_t count, uint8_t out[HASH])
{
    if (EVP_DigestInit_ex2(signer->ctx, signer->sha256, NULL) != 1)
        return false;
    for (size_t i = 0; i < count; i++)
        if (pieces[i].length && EVP_DigestUpdate(signer->ctx, pieces[i].bytes, pieces[i].length) != 1)
            return false;
    return EVP_DigestFinal_ex(signer->ctx, out, NULL) == 1;
}

static bool hmac(struct orb_sigv4 *signer, const void *key, size_t key_length, const char *text, size_t length,
                 uint8_t out[HASH])
{
    uint8_t pad[BLOCK] = {0};
    uint8_t inner[HASH];
    bool fine = true;
    if (key_length > BLOCK)
        fine = hash_pieces(signer, &(struct piece){key, key_length}, 1, pad);
    else
        memcpy(pad, key, key_length);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    fine = fine && hash_pieces(signer, (struct piece[]){{pad, BLOCK}, {text, length}}, 2, inner);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    fine = fine && hash_pieces(signer, (struct piece[]){{pad, BLOCK}, {inner, HASH}}, 2, out);
    OPENSSL_cleanse(pad, sizeof pad);
    OPENSSL_cleanse(inner, sizeof inner);
    return fine;
}

/* Which key this would be: any change of secret, day, region or service changes it. */
static bool key_name(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys, const char *date, uint8_t out[HASH])
{
    const struct piece pieces[] = {
        {keys->secret_access_key, strlen(keys->secret_access_key) + 1},
        {keys->region, strlen(keys->region) + 1},
        {keys->service, strlen(keys->service) + 1},
        {date, 8},
    };
    return hash_pieces(signer, pieces, 4, out);
}

static bool signing_key(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys, const char *date)
{
    uint8_t name[HASH];
    if (!key_name(signer, keys, date, name))
        return false;
    if (signer->have_key && memcmp(name, signer->made_from, HASH) == 0)
        return true;

    signer->have_key = false;
    size_t secret_length = strlen(keys->secret_access_key);
    char *secret = orb_malloc(secret_length + 5);
    if (!secret)
        return false;
    memcpy(mempcpy(secret, "AWS4", 4), keys->secret_access_key, secret_length + 1);

    uint8_t key[HASH];
    bool fine = hmac(signer, secret, secret_length + 4, date, 8, key) &&
                hmac(signer, key, HASH, keys->region, strlen(keys->region), key) &&
                hmac(signer, key, HASH, keys->service, strlen(keys->service), key) &&
                hmac(signer, key, HASH, "aws4_request", 12, signer->key);
    OPENSSL_cleanse(secret, secret_length + 4);
    OPENSSL_cleanse(key, sizeof key);
    orb_free(secret);
    if (fine) {
        memcpy(signer->made_from, name, HASH);
        signer->have_key = true;
    }
    return fine;
}

void orb_sigv4_date(char date[ORB_SIGV4_DATE], int64_t unix_seconds)
{
    time_t seconds = (time_t)unix_seconds;
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(date, ORB_SIGV4_DATE, "%Y%m%dT%H%M%SZ", &utc) != ORB_SIGV4_DATE - 1)
        memcpy(date, "19700101T000000Z", ORB_SIGV4_DATE);
}

static int compare_pairs(const void *left, const void *right)
{
    const orbit_pair *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->value ? a->value : "", b->value ? b->value : "");
}

/* The order is that of the encoded names. Every name that is used is unreserved, but for '-' and '.' before
 * digits and letters it is the same as the order of the bytes; values differ only for equal names. */
bool orb_sigv4_query(struct orb_buf *out, orbit_pair *params, size_t count)
{
    qsort(params, count, sizeof *params, compare_pairs);
    for (size_t i = 0; i < count; i++) {
        const char *value = params[i].value ? params[i].value : "";
        if (i)
            orb_buf_char(out, '&');
        orb_percent_encode(out, params[i].name, strlen(params[i].name), "");
        orb_buf_char(out, '=');
        orb_percent_encode(out, value, strlen(value), "");
    }
    return !out->failed;
}

/* Trimmed, runs of spaces made one. */
static void append_value(struct orb_buf *out, const char *value)
{
    while (*value == ' ' || *value == '\t')
        value++;
    bool space = false;
    for (; *value; value++) {
        if (*value == ' ' || *value == '\t') {
            space = true;
            continue;
        }
        if (space)
            orb_buf_char(out, ' ');
        space = false;
        /* Bytes up to the next space in one go. */
        size_t length = strcspn(value, " \t");
        orb_buf_append(out, value, length);
        value += length - 1;
    }
}

static int compare_headers(const void *left, const void *right)
{
    const orbit_pair *const *a = left, *const *b = right;
    int order = strcmp((*a)->name, (*b)->name);
    return order ? order : (*a > *b) - (*a < *b);
}

static bool canonical_request(struct orb_sigv4 *signer, const struct orb_sigv4_request *request, const char *query)
{
    const orbit_pair *sorted[ORB_SIGV4_HEADERS_MAX];
    if (request->header_count > ORB_SIGV4_HEADERS_MAX)
        return false;
    for (size_t i = 0; i < request->header_count; i++)
        sorted[i] = &request->headers[i];
    qsort(sorted, request->header_count, sizeof *sorted, compare_headers);

    struct orb_buf *out = &signer->canonical, *names = &signer->signed_headers;
    orb_buf_reset(out);
    orb_buf_reset(names);
    orb_buf_text(out, request->method);
    orb_buf_char(out, '\n');
    orb_buf_text(out, request->path);
    orb_buf_char(out, '\n');
    orb_buf_text(out, query);
    orb_buf_char(out, '\n');
    for (size_t i = 0; i < request->header_count; i++) {
        if (i && strcmp(sorted[i]->name, sorted[i - 1]->name) == 0) { /* one name, values in their order */
            out->length--;
            orb_buf_char(out, ',');
        } else {
            if (i)
                orb_buf_char(names, ';');
            orb_buf_text(names, sorted[i]->name);
            orb_buf_text(out, sorted[i]->name);
            orb_buf_char(out, ':');
        }
        append_value(out, sorted[i]->value);
        orb_buf_char(out, '\n');
    }
    orb_buf_char(out, '\n');
    orb_buf_text(out, orb_buf_string(names));
    orb_buf_char(out, '\n');
    orb_buf_text(out, request->payload_hash);
    return !out->failed && !names->failed;
}

/* The signature of what canonical_request() left in the buffer. */
static bool signature(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys, const char *date, const char *scope,
                      char hex[2 * HASH + 1])
{
    uint8_t hash[HASH];
    if (!signing_key(signer, keys, date) ||
        !hash_pieces(signer, &(struct piece){signer->canonical.bytes, signer->canonical.length}, 1, hash))
        return false;
    orb_hex(hex, hash, HASH);

    struct orb_buf *text = &signer->canonical;
    orb_buf_reset(text);
    orb_buf_text(text, "AWS4-HMAC-SHA256\n");
    orb_buf_text(text, date);
    orb_buf_char(text, '\n');
    orb_buf_text(text, scope);
    orb_buf_char(text, '\n');
    orb_buf_text(text, hex);
    if (text->failed || !hmac(signer, signer->key, HASH, text->bytes, text->length, hash))
        return false;
    orb_hex(hex, hash, HASH);
    memcpy(signer->last, hex, sizeof signer->last);
    return true;
}

static bool make_scope(char *scope, size_t room, const struct orb_sigv4_keys *keys, const char *date)
{
    int length = snprintf(scope, room, "%.8s/%s/%s/aws4_request", date, keys->region, keys->service);
    return length > 0 && (size_t)length < room;
}

static orbit_status cannot_sign(orbit_error *error)
{
    return orb_fail(error, ORBIT_E_MEMORY, 0, "cannot sign the request: out of memory, or its headers are too long");
}

orbit_status orb_sigv4_sign(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                            const struct orb_sigv4_request *request, const char *date, struct orb_buf *authorization,
                            orbit_error *error)
{
    char scope[160], hex[2 * HASH + 1];
    if (!make_scope(scope, sizeof scope, keys, date) || !canonical_request(signer, request, request->query) ||
        !signature(signer, keys, date, scope, hex))
        return cannot_sign(error);
    orb_buf_text(authorization, "AWS4-HMAC-SHA256 Credential=");
    orb_buf_text(authorization, keys->access_key_id);
    orb_buf_char(authorization, '/');
    orb_buf_text(authorization, scope);
    orb_buf_text(authorization, ",SignedHeaders=");
    orb_buf_text(authorization, orb_buf_string(&signer->signed_headers));
    orb_buf_text(authorization, ",Signature=");
    orb_buf_text(authorization, hex);
    return authorization->failed ? orb_fail_memory(error) : ORBIT_OK;
}

orbit_status orb_sigv4_presign(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                               const struct orb_sigv4_request *request, const orbit_pair *params, size_t param_count,
                               const char *date, uint32_t expires_s, struct orb_buf *query, orbit_error *error)
{
    enum { OWN = 6, MAX = 32 };
    orbit_pair all[MAX];
    char scope[160], expires[16], hex[2 * HASH + 1];
    struct orb_buf credential, names;
    orb_buf_init(&credential, 1024);
    orb_buf_init(&names, 4096);
    orbit_status status = ORBIT_OK;

    if (expires_s == 0 || expires_s > 7 * 24 * 3600)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a signed URL is valid for 1 second to 7 days, not %u seconds",
                        expires_s);
    if (param_count > MAX - OWN || request->header_count > ORB_SIGV4_HEADERS_MAX)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "a signed URL takes at most %d parameters", MAX - OWN);
    if (param_count)
        memcpy(all, params, param_count * sizeof *params);

    (void)snprintf(expires, sizeof expires, "%u", expires_s);
    bool fine = make_scope(scope, sizeof scope, keys, date);
    /* The names of the signed headers are needed in the query before the query can be signed. */
    fine = fine && canonical_request(signer, request, "");
    orb_buf_text(&names, orb_buf_string(&signer->signed_headers));
    orb_buf_format(&credential, "%s/%s", keys->access_key_id, scope);
    size_t count = param_count;
    all[count++] = (orbit_pair){"X-Amz-Algorithm", "AWS4-HMAC-SHA256"};
    all[count++] = (orbit_pair){"X-Amz-Credential", orb_buf_string(&credential)};
    all[count++] = (orbit_pair){"X-Amz-Date", date};
    all[count++] = (orbit_pair){"X-Amz-Expires", expires};
    all[count++] = (orbit_pair){"X-Amz-SignedHeaders", orb_buf_string(&names)};
    if (keys->session_token)
        all[count++] = (orbit_pair){"X-Amz-Security-Token", keys->session_token};

    size_t start = query->length;
    fine = fine && !names.failed && !credential.failed && orb_sigv4_query(query, all, count) &&
           canonical_request(signer, request, orb_buf_string(query) + start) &&
           signature(signer, keys, date, scope, hex);
    if (fine)
        fine = orb_buf_text(query, "&X-Amz-Signature=") && orb_buf_text(query, hex);
    if (!fine)
        status = cannot_sign(error);
    orb_buf_release(&credential);
    orb_buf_release(&names);
    return status;
}

struct orb_sigv4_chunks {
    struct orb_sigv4 *signer; /* its own, with the key of the request's */
    char first[2 * HASH + 1], before[2 * HASH + 1];
    char date[ORB_SIGV4_DATE], scope[160];
};

struct orb_sigv4_chunks *orb_sigv4_chunks_new(const struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                                              const char *date)
{
    struct orb_sigv4_chunks *chunks = orb_calloc(1, sizeof *chunks);
    if (!chunks || orb_sigv4_new(&chunks->signer, NULL) < 0 ||
        !make_scope(chunks->scope, sizeof chunks->scope, keys, date)) {
        orb_sigv4_chunks_free(chunks);
        return NULL;
    }
    memcpy(chunks->signer->key, signer->key, HASH);
    memcpy(chunks->first, signer->last, sizeof chunks->first);
    memcpy(chunks->date, date, ORB_SIGV4_DATE);
    orb_sigv4_chunks_reset(chunks);
    return chunks;
}

void orb_sigv4_chunks_free(struct orb_sigv4_chunks *chunks)
{
    if (!chunks)
        return;
    orb_sigv4_free(chunks->signer);
    orb_free(chunks);
}

void orb_sigv4_chunks_reset(struct orb_sigv4_chunks *chunks)
{
    memcpy(chunks->before, chunks->first, sizeof chunks->before);
}

/* What is signed of a chunk or of the trailer: kind, time, scope, the signature before, hashes. */
static bool sign_next(struct orb_sigv4_chunks *chunks, const char *kind, const char *hashes, const void *bytes,
                      size_t length, char hex[2 * HASH + 1])
{
    struct orb_sigv4 *signer = chunks->signer;
    uint8_t hash[HASH];
    char text[640];
    if (!hash_pieces(signer, &(struct piece){bytes, length}, 1, hash))
        return false;
    orb_hex(hex, hash, HASH);
    int used = snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n%s%s", kind, chunks->date, chunks->scope, chunks->before,
                        hashes, hex);
    if (used < 0 || (size_t)used >= sizeof text || !hmac(signer, signer->key, HASH, text, (size_t)used, hash))
        return false;
    orb_hex(hex, hash, HASH);
    memcpy(chunks->before, hex, sizeof chunks->before);
    return true;
}

bool orb_sigv4_chunk(struct orb_sigv4_chunks *chunks, const void *bytes, size_t length, char hex[65])
{
    return sign_next(chunks, "AWS4-HMAC-SHA256-PAYLOAD", ORB_SIGV4_EMPTY "\n", bytes, length, hex);
}

bool orb_sigv4_trailer(struct orb_sigv4_chunks *chunks, const char *lines, char hex[65])
{
    return sign_next(chunks, "AWS4-HMAC-SHA256-TRAILER", "", lines, strlen(lines), hex);
}

struct orb_sha256 {
    EVP_MD_CTX *ctx;
};

struct orb_sha256 *orb_sha256_new(void)
{
    struct orb_sha256 *hash = orb_calloc(1, sizeof *hash);
    if (hash && (!(hash->ctx = EVP_MD_CTX_new()) || EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1)) {
        orb_sha256_free(hash);
        hash = NULL;
    }
    return hash;
}

bool orb_sha256_update(struct orb_sha256 *hash, const void *bytes, size_t length)
{
    return EVP_DigestUpdate(hash->ctx, bytes, length) == 1;
}

bool orb_sha256_hex(struct orb_sha256 *hash, char out[65])
{
    uint8_t bytes[HASH];
    if (EVP_DigestFinal_ex(hash->ctx, bytes, NULL) != 1)
        return false;
    orb_hex(out, bytes, HASH);
    return true;
}

void orb_sha256_free(struct orb_sha256 *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->ctx);
    orb_free(hash);
}
