/* SPDX-License-Identifier: Apache-2.0
 * A growable byte buffer with a cap: the only growable buffer in Orbit. Always NUL-terminated one past its
 * length. Once an append failed (memory or cap) the buffer stays failed, so a chain is checked once. */
#ifndef ORB_BASE_BUF_H
#define ORB_BASE_BUF_H

#include <orbit/export.h>

struct orb_buf {
    char *bytes; /* NULL while empty */
    size_t length;
    size_t room;
    size_t max; /* cap in bytes, the NUL not counted */
    bool failed;
};

void orb_buf_init(struct orb_buf *buf, size_t max);
void orb_buf_release(struct orb_buf *buf);
void orb_buf_reset(struct orb_buf *buf); /* empties, keeps the memory */
bool orb_buf_append(struct orb_buf *buf, const void *bytes, size_t length);
bool orb_buf_text(struct orb_buf *buf, const char *text);
bool orb_buf_char(struct orb_buf *buf, char c);
bool orb_buf_format(struct orb_buf *buf, const char *format, ...) ORBIT_PRINTF(2, 3);
/* "" while empty, never NULL. */
const char *orb_buf_string(const struct orb_buf *buf);
/* Gives the string away (the caller frees it with orb_free); NULL when failed. The buffer is empty then. */
char *orb_buf_take(struct orb_buf *buf);

#endif
