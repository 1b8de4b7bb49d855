/* SPDX-License-Identifier: Apache-2.0
 * A body in chunks with a signature each, and perhaps its checksum behind them, for stores that want their payload
 * signed: a hash of the whole would have to be known before the first byte, and the bytes of a pipe pass once. A
 * chunk is gathered before it goes, since its signature stands before it. Lane thread while it is sent. Format:
 * "Signature calculations … Transferring Payload in Multiple Chunks" and "… Including Trailing Headers", Amazon S3
 * API reference. */
#include "backend/s3/s3.h"

enum { CHUNK = 64 << 10, SIGNATURE = 64 };

#define CHUNK_WORD   ";chunk-signature="
#define TRAILER_WORD "x-amz-trailer-signature:"

static size_t head_length(uint64_t length)
{
    return (size_t)snprintf(NULL, 0, "%llx" CHUNK_WORD "\r\n", (unsigned long long)length) + SIGNATURE;
}

/* "name:value" of the checksum. */
static int trailer_line(struct orb_s3_signed *body, char *out, size_t room)
{
    char text[ORB_S3_CHECKSUM_TEXT];
    orbit_checksum checksum = orb_s3_sum_checksum(body->sum);
    orb_s3_checksum_text(&checksum, text);
    return snprintf(out, room, "%s:%s", orb_s3_checksum_header(body->sum->algorithm), text);
}

/* What goes before a chunk; behind the last one, which is empty, also what ends the body. */
static bool make_piece(struct orb_s3_signed *body)
{
    char hex[SIGNATURE + 1], line[160];
    if (!orb_sigv4_chunk(body->chunks, body->room, body->filled, hex))
        return false;
    int length = snprintf(body->piece, sizeof body->piece, "%s%zx" CHUNK_WORD "%s\r\n", body->sent ? "\r\n" : "",
                          body->filled, hex);
    body->last = body->filled == 0;
    if (body->last && body->trailing) {
        int used = trailer_line(body, line, sizeof line - 1);
        memcpy(line + used, "\n", 2);
        if (!orb_sigv4_trailer(body->chunks, line, hex))
            return false;
        length += snprintf(body->piece + length, sizeof body->piece - (size_t)length, "%.*s\r\n" TRAILER_WORD "%s\r\n",
                           used, line, hex);
    }
    if (body->last)
        length += snprintf(body->piece + length, sizeof body->piece - (size_t)length, "\r\n");
    body->length = (size_t)length;
    body->used = 0;
    body->ready = true;
    return true;
}

/* Fills the chunk from the inner body. */
static orbit_status gather(struct orb_s3_signed *body)
{
    uint64_t left = body->inner->length - body->sent;
    size_t want = left < CHUNK ? (size_t)left : CHUNK;
    while (body->filled < want) {
        const void *bytes;
        size_t length;
        orbit_status status = body->inner->peek(body->inner, &bytes, &length);
        if (status != ORBIT_OK)
            return status;
        if (length > want - body->filled)
            length = want - body->filled;
        memcpy(body->room + body->filled, bytes, length);
        body->inner->consume(body->inner, length);
        body->filled += length;
    }
    orb_s3_sum_update(body->sum, body->room, body->filled);
    return make_piece(body) ? ORBIT_OK : ORBIT_E_MEMORY;
}

static orbit_status peek(orbit_body *base, const void **bytes, size_t *length)
{
    struct orb_s3_signed *body = (struct orb_s3_signed *)base;
    if (!body->ready) {
        orbit_status status = gather(body);
        if (status != ORBIT_OK)
            return status;
    }
    if (body->used < body->length) {
        *bytes = body->piece + body->used;
        *length = body->length - body->used;
        return ORBIT_OK;
    }
    if (body->last)
        return ORBIT_END;
    *bytes = body->room + body->given;
    *length = body->filled - body->given;
    return ORBIT_OK;
}

static void consume(orbit_body *base, size_t length)
{
    struct orb_s3_signed *body = (struct orb_s3_signed *)base;
    if (body->used < body->length) {
        body->used += length;
        return;
    }
    body->given += length;
    if (body->given < body->filled)
        return;
    body->sent += body->filled;
    body->filled = body->given = 0;
    body->ready = false;
}

static orbit_status rewind_all(orbit_body *base)
{
    struct orb_s3_signed *body = (struct orb_s3_signed *)base;
    orbit_status status = body->inner->rewind(body->inner);
    body->sent = 0;
    body->filled = body->given = body->length = body->used = 0;
    body->ready = body->last = false;
    (void)orb_s3_sum_start(body->sum);
    orb_sigv4_chunks_reset(body->chunks);
    return status;
}

static uint64_t whole_length(struct orb_s3_signed *body)
{
    uint64_t inner = body->inner->length, full = inner / CHUNK, rest = inner % CHUNK;
    uint64_t length = inner + full * (head_length(CHUNK) + 2) + head_length(0) + 2;
    char line[160];
    if (rest)
        length += head_length(rest) + 2;
    if (body->trailing)
        length += (uint64_t)trailer_line(body, line, sizeof line) + 2 + strlen(TRAILER_WORD) + SIGNATURE + 2;
    return length;
}

orbit_body *orb_s3_signed_init(struct orb_s3_signed *body, orbit_body *inner, struct orb_s3_sum *sum, bool trailing)
{
    *body = (struct orb_s3_signed){.body = {.peek = peek, .consume = consume, .rewind = rewind_all},
                                   .inner = inner,
                                   .sum = sum,
                                   .trailing = trailing,
                                   .room = orb_malloc(CHUNK)};
    (void)orb_s3_sum_start(sum);
    body->body.length = whole_length(body);
    return body->room ? &body->body : NULL;
}

void orb_s3_signed_release(struct orb_s3_signed *body)
{
    orb_sigv4_chunks_free(body->chunks);
    orb_free(body->room);
}
