/* SPDX-License-Identifier: Apache-2.0
 * Values in the payload of a record: fixed little-endian integers and counted byte strings, one after another.
 *
 *     orb_pack_u64(&buf, size);                       an orb_buf keeps the failure: it is checked once at the end
 *     orb_pack_text(&buf, etag);
 *
 *     struct orb_unpack in = {payload, length, false};
 *     uint64_t size = orb_unpack_u64(&in);
 *     char *etag = orb_unpack_text(&in, 1024);        a copy, owned
 *     if (!orb_unpack_done(&in)) …                    something was short, too long, or left over
 *
 * Reading never goes past the end, and a length that was read never sizes an allocation beyond what the reader
 * allows. Any thread. */
#ifndef ORB_BASE_PACK_H
#define ORB_BASE_PACK_H

#include <stdint.h>

#include "base/buf.h"

bool orb_pack_u8(struct orb_buf *buf, uint8_t value);
bool orb_pack_u32(struct orb_buf *buf, uint32_t value);
bool orb_pack_u64(struct orb_buf *buf, uint64_t value);
bool orb_pack_bytes(struct orb_buf *buf, const void *bytes, size_t length); /* a u32 length, then the bytes */
bool orb_pack_text(struct orb_buf *buf, const char *text);                  /* NULL and "" are different */

struct orb_unpack {
    const uint8_t *bytes; /* what is still to be read; borrowed */
    size_t length;
    bool failed; /* stays; all that is read then is 0 or NULL */
};

uint8_t orb_unpack_u8(struct orb_unpack *in);
uint32_t orb_unpack_u32(struct orb_unpack *in);
uint64_t orb_unpack_u64(struct orb_unpack *in);
/* Borrowed from the payload; NULL with length 0 when it failed. */
const void *orb_unpack_bytes(struct orb_unpack *in, size_t *length);
/* A copy to be freed with orb_free(); NULL when NULL was packed. Fails for more than `max` bytes, a NUL inside, and
 * when memory is out (`failed` alike: the record counts as unreadable). */
char *orb_unpack_text(struct orb_unpack *in, size_t max);
/* All was there and nothing is left over. */
bool orb_unpack_done(const struct orb_unpack *in);

#endif
