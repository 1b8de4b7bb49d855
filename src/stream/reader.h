/* SPDX-License-Identifier: Apache-2.0
 * A reader from the inside: how a writer on the loop takes its bytes without a detour over a user's thread.
 * Loop thread; the user's own calls on the reader and these exclude each other. */
#ifndef ORB_STREAM_READER_H
#define ORB_STREAM_READER_H

#include <orbit/read.h>

/* As orbit_reader_try_next(), but the bytes are lent until orb_reader_consume(), and after ORBIT_AGAIN
 * `ready` (not the user's) is called once, on the loop, never from inside. */
orbit_status orb_reader_peek(orbit_reader *reader, const void **bytes, size_t *length, void (*ready)(void *ctx),
                             void *ctx, orbit_error *error);
void orb_reader_consume(orbit_reader *reader, size_t length);
/* `ready` is not called any more. */
void orb_reader_forget(orbit_reader *reader);
/* Bytes from its position to its end; ORBIT_SIZE_UNKNOWN while that is not known. Any thread. */
uint64_t orb_reader_left(orbit_reader *reader);
struct orbit_backend *orb_reader_backend(const orbit_reader *reader);

#endif
