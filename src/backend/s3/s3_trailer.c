/* SPDX-License-Identifier: Apache-2.0
 * A body in chunks with its checksum behind it ("aws-chunked", STREAMING-UNSIGNED-PAYLOAD-TRAILER), for stores that
 * want a checksum with each part: the bytes pass once, and nobody has to read them beforehand. Lane thread while it is
 * sent. Format: "Signature calculations for the Authorization header: including trailing headers", Amazon S3 API
 * reference. */
#include "backend/s3/s3.h"

/* Servers refuse chunks that are too large for them (16 MiB is one's limit) or, but for the last, under 8 KiB. */
#define CHUNK ((uint64_t)64 << 10)

static size_t chunk_head(char *out, size_t room, bool first, uint64_t length)
{
    return (size_t)snprintf(out, room, "%s%llx\r\n", first ? "" : "\r\n", (unsigned long long)length);
}

static size_t end_of_body(char *out, size_t room, bool first, struct orb_s3_sum *sum)
{
    char text[ORB_S3_CHECKSUM_TEXT];
    orbit_checksum checksum = orb_s3_sum_checksum(sum);
    orb_s3_checksum_text(&checksum, text);
    return (size_t)snprintf(out, room, "%s0\r\n%s:%s\r\n\r\n", first ? "" : "\r\n",
                            orb_s3_checksum_header(sum->algorithm), text);
}

/* The piece that stands before the next bytes, or behind the last. */
static void next_piece(struct orb_s3_trailer *trailer)
{
    bool first = trailer->left == trailer->inner->length && !trailer->begun;
    trailer->begun = true;
    trailer->used = 0;
    trailer->chunk = trailer->left < CHUNK ? trailer->left : CHUNK;
    trailer->last = trailer->left == 0;
    trailer->length = trailer->last ? end_of_body(trailer->piece, sizeof trailer->piece, first, trailer->sum)
                                    : chunk_head(trailer->piece, sizeof trailer->piece, first, trailer->chunk);
    trailer->left -= trailer->chunk;
}

static orbit_status peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct orb_s3_trailer *trailer = (struct orb_s3_trailer *)body;
    if (trailer->used < trailer->length) {
        *bytes = trailer->piece + trailer->used;
        *length = trailer->length - trailer->used;
        return ORBIT_OK;
    }
    if (trailer->last)
        return ORBIT_END;
    orbit_status status = trailer->inner->peek(trailer->inner, bytes, length);
    if (status == ORBIT_OK && *length > trailer->chunk)
        *length = (size_t)trailer->chunk;
    trailer->lent = *bytes;
    return status;
}

static void consume(orbit_body *body, size_t length)
{
    struct orb_s3_trailer *trailer = (struct orb_s3_trailer *)body;
    if (trailer->used < trailer->length) {
        trailer->used += length;
        return;
    }
    orb_s3_sum_update(trailer->sum, trailer->lent, length);
    trailer->inner->consume(trailer->inner, length);
    trailer->chunk -= length;
    if (trailer->chunk == 0)
        next_piece(trailer);
}

static void begin(struct orb_s3_trailer *trailer)
{
    (void)orb_s3_sum_start(trailer->sum);
    trailer->left = trailer->inner->length;
    trailer->begun = false;
    next_piece(trailer);
}

static orbit_status rewind_all(orbit_body *body)
{
    struct orb_s3_trailer *trailer = (struct orb_s3_trailer *)body;
    orbit_status status = trailer->inner->rewind(trailer->inner);
    if (status >= 0)
        begin(trailer);
    return status;
}

orbit_body *orb_s3_trailer_init(struct orb_s3_trailer *trailer, orbit_body *inner, struct orb_s3_sum *sum)
{
    uint64_t chunks = (inner->length + CHUNK - 1) / CHUNK, last = inner->length % CHUNK;
    char piece[ORB_S3_TRAILER_PIECE];
    *trailer = (struct orb_s3_trailer){
        .body = {.peek = peek, .consume = consume, .rewind = rewind_all}, .inner = inner, .sum = sum};
    trailer->body.length = inner->length + end_of_body(piece, sizeof piece, chunks == 0, sum);
    if (chunks > 0)
        trailer->body.length += chunk_head(piece, sizeof piece, true, chunks > 1 || last == 0 ? CHUNK : last);
    if (chunks > 2)
        trailer->body.length += (chunks - 2) * chunk_head(piece, sizeof piece, false, CHUNK);
    if (chunks > 1)
        trailer->body.length += chunk_head(piece, sizeof piece, false, last ? last : CHUNK);
    begin(trailer);
    return &trailer->body;
}
