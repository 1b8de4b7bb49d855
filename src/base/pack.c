/* SPDX-License-Identifier: Apache-2.0
 * Packing and unpacking of record payloads. Owns nothing. Any thread. */
#include "base/pack.h"

#include <string.h>

#include "base/mem.h"

#define NO_TEXT UINT32_MAX /* the length that stands for NULL */

static bool pack_int(struct orb_buf *buf, uint64_t value, size_t bytes)
{
    uint8_t raw[8];
    for (size_t i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    return orb_buf_append(buf, raw, bytes);
}

bool orb_pack_u8(struct orb_buf *buf, uint8_t value)
{
    return pack_int(buf, value, 1);
}

bool orb_pack_u32(struct orb_buf *buf, uint32_t value)
{
    return pack_int(buf, value, 4);
}

bool orb_pack_u64(struct orb_buf *buf, uint64_t value)
{
    return pack_int(buf, value, 8);
}

bool orb_pack_bytes(struct orb_buf *buf, const void *bytes, size_t length)
{
    if (length >= NO_TEXT)
        buf->failed = true;
    return orb_pack_u32(buf, (uint32_t)length) && orb_buf_append(buf, bytes, length);
}

bool orb_pack_text(struct orb_buf *buf, const char *text)
{
    return text ? orb_pack_bytes(buf, text, strlen(text)) : orb_pack_u32(buf, NO_TEXT);
}

static const uint8_t *take(struct orb_unpack *in, size_t bytes)
{
    if (in->failed || in->length < bytes) {
        in->failed = true;
        return NULL;
    }
    const uint8_t *at = in->bytes;
    in->bytes += bytes;
    in->length -= bytes;
    return at;
}

static uint64_t unpack_int(struct orb_unpack *in, size_t bytes)
{
    const uint8_t *raw = take(in, bytes);
    uint64_t value = 0;
    for (size_t i = 0; raw && i < bytes; i++)
        value |= (uint64_t)raw[i] << (8 * i);
    return value;
}

uint8_t orb_unpack_u8(struct orb_unpack *in)
{
    return (uint8_t)unpack_int(in, 1);
}

uint32_t orb_unpack_u32(struct orb_unpack *in)
{
    return (uint32_t)unpack_int(in, 4);
}

uint64_t orb_unpack_u64(struct orb_unpack *in)
{
    return unpack_int(in, 8);
}

const void *orb_unpack_bytes(struct orb_unpack *in, size_t *length)
{
    uint32_t claimed = orb_unpack_u32(in);
    const uint8_t *bytes = take(in, claimed);
    *length = bytes ? claimed : 0;
    return bytes;
}

char *orb_unpack_text(struct orb_unpack *in, size_t max)
{
    uint32_t length = orb_unpack_u32(in);
    if (in->failed || length == NO_TEXT)
        return NULL;
    const uint8_t *bytes = length <= max ? take(in, length) : NULL;
    char *text = bytes && !memchr(bytes, '\0', length) ? orb_strndup((const char *)bytes, length) : NULL;
    if (!text)
        in->failed = true;
    return text;
}

bool orb_unpack_done(const struct orb_unpack *in)
{
    return !in->failed && in->length == 0;
}
