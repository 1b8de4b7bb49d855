/* SPDX-License-Identifier: Apache-2.0
 * AWS Signature Version 4: signs the headers of a request, or a URL that carries its own signature. Knows
 * nothing of S3 but its two habits: the path is percent-encoded once, and a payload may go unsigned. */
#ifndef ORB_WIRE_SIGV4_H
#define ORB_WIRE_SIGV4_H

#include <orbit/error.h>
#include <orbit/metadata.h>

#include "base/buf.h"

#define ORB_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define ORB_SIGV4_TRAILER  "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
/* Chunks that carry a signature each, without and with a trailer behind them. */
#define ORB_SIGV4_CHUNKS         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define ORB_SIGV4_CHUNKS_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
/* SHA-256 of no bytes, as a payload hash. */
#define ORB_SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ORB_SIGV4_DATE  17 /* "20130524T000000Z" and its NUL */

/* Holds the hash, fetched once, and the signing key of the day. One thread at a time. */
struct orb_sigv4;

orbit_status orb_sigv4_new(struct orb_sigv4 **signer, orbit_error *error);
void orb_sigv4_free(struct orb_sigv4 *signer); /* wipes the key; NULL is fine */

struct orb_sigv4_keys {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token; /* nullable */
    const char *region;
    const char *service;
};

struct orb_sigv4_request {
    const char *method;
    const char *path;  /* as on the wire: encoded once, begins with '/' */
    const char *query; /* canonical, from orb_sigv4_query(); "" for none */
    /* Every header to be signed, in any order, "host" and "x-amz-date" among them; names in lower case. */
    const orbit_pair *headers;
    size_t header_count;
    const char *payload_hash; /* hexadecimal SHA-256, or ORB_SIGV4_UNSIGNED */
};

#define ORB_SIGV4_HEADERS_MAX 128

/* The `x-amz-date` of a moment. */
void orb_sigv4_date(char date[ORB_SIGV4_DATE], int64_t unix_seconds);

/* Appends name=value pairs, encoded, sorted and joined as the signature wants them and the wire takes them.
 * Reorders `params`. NULL values are written as empty. */
bool orb_sigv4_query(struct orb_buf *out, orbit_pair *params, size_t count);

/* Appends the value of the Authorization header. A session token must already be among the headers. */
orbit_status orb_sigv4_sign(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                            const struct orb_sigv4_request *request, const char *date, struct orb_buf *authorization,
                            orbit_error *error);

/* The signatures of a body's chunks, each of which covers the one before it: "Signature Calculations for the
 * Authorization Header: Transferring Payload in Multiple Chunks", Amazon S3 API reference. They follow on what
 * orb_sigv4_sign() has just signed with `signer`. One thread at a time, any; NULL when memory is out. */
struct orb_sigv4_chunks;
struct orb_sigv4_chunks *orb_sigv4_chunks_new(const struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                                              const char *date);
void orb_sigv4_chunks_free(struct orb_sigv4_chunks *chunks);  /* wipes the key; NULL is fine */
void orb_sigv4_chunks_reset(struct orb_sigv4_chunks *chunks); /* from the first one again */
/* False when the system's cryptography fails. */
bool orb_sigv4_chunk(struct orb_sigv4_chunks *chunks, const void *bytes, size_t length, char hex[65]);
/* `lines`: "name:value\n" of each trailing header. After the last chunk, which is empty. */
bool orb_sigv4_trailer(struct orb_sigv4_chunks *chunks, const char *lines, char hex[65]);

/* Appends the query of a URL that is valid for `expires_s` seconds (at most 7 days) from `date`, signature
 * last. `params` are the request's own; only "host" needs to be among the headers. */
orbit_status orb_sigv4_presign(struct orb_sigv4 *signer, const struct orb_sigv4_keys *keys,
                               const struct orb_sigv4_request *request, const orbit_pair *params, size_t param_count,
                               const char *date, uint32_t expires_s, struct orb_buf *query, orbit_error *error);

/* SHA-256 piece by piece, on the signer's thread or any other: for payloads that must be signed. */
struct orb_sha256;
struct orb_sha256 *orb_sha256_new(void); /* NULL when memory is out */
bool orb_sha256_update(struct orb_sha256 *hash, const void *bytes, size_t length);
bool orb_sha256_hex(struct orb_sha256 *hash, char out[65]);
void orb_sha256_free(struct orb_sha256 *hash);

#endif
