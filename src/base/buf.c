/* SPDX-License-Identifier: Apache-2.0
 * The growable byte buffer with a cap. Owns its bytes. One thread at a time. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void orb_buf_init(struct orb_buf *buf, size_t max)
{
    *buf = (struct orb_buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void orb_buf_release(struct orb_buf *buf)
{
    if (!buf)
        return;
    orb_free(buf->bytes);
    *buf = (struct orb_buf){.max = buf->max};
}

void orb_buf_reset(struct orb_buf *buf)
{
    buf->length = 0;
    buf->failed = false;
    if (buf->bytes)
        buf->bytes[0] = '\0';
}

/* Makes room for `length` more bytes and the NUL. */
static bool grow(struct orb_buf *buf, size_t length)
{
    if (buf->failed)
        return false;
    if (length > buf->max - buf->length) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->length + length + 1;
    if (need <= buf->room)
        return true;
    size_t room = buf->room > SIZE_MAX / 2 ? SIZE_MAX : buf->room * 2;
    if (room < 64)
        room = 64;
    if (room > buf->max + 1)
        room = buf->max + 1;
    if (room < need)
        room = need;
    char *bytes = orb_realloc(buf->bytes, room);
    if (!bytes) {
        buf->failed = true;
        return false;
    }
    buf->bytes = bytes;
    buf->room = room;
    return true;
}

bool orb_buf_append(struct orb_buf *buf, const void *bytes, size_t length)
{
    if (!grow(buf, length))
        return false;
    if (length)
        memcpy(buf->bytes + buf->length, bytes, length);
    buf->length += length;
    buf->bytes[buf->length] = '\0';
    return true;
}

bool orb_buf_text(struct orb_buf *buf, const char *text)
{
    return orb_buf_append(buf, text, strlen(text));
}

bool orb_buf_char(struct orb_buf *buf, char c)
{
    return orb_buf_append(buf, &c, 1);
}

bool orb_buf_format(struct orb_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char small[256];
    int length = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    bool good = false;
    if (length < 0) {
        buf->failed = true;
    } else if ((size_t)length < sizeof(small)) {
        good = orb_buf_append(buf, small, (size_t)length);
    } else if (grow(buf, (size_t)length)) {
        vsnprintf(buf->bytes + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
        good = true;
    }
    va_end(again);
    return good;
}

const char *orb_buf_string(const struct orb_buf *buf)
{
    return buf->bytes ? buf->bytes : "";
}

char *orb_buf_take(struct orb_buf *buf)
{
    if (!grow(buf, 0)) { /* an empty buffer gives an empty string */
        orb_buf_release(buf);
        return NULL;
    }
    char *bytes = buf->bytes;
    bytes[buf->length] = '\0';
    *buf = (struct orb_buf){.max = buf->max};
    return bytes;
}
