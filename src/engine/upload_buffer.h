/* SPDX-License-Identifier: Apache-2.0
 * The part buffers of an upload that is filled (engine/upload_fill.h): their memory, and their way to the loop.
 * Private to upload_fill.c (the loop's side), upload_lend.c (the producer's) and upload_buffer.c. */
#ifndef ORB_ENGINE_UPLOAD_BUFFER_H
#define ORB_ENGINE_UPLOAD_BUFFER_H

#include "engine/upload_fill.h"

#define ORB_FILL_FIRST_BYTES ((uint64_t)256 << 10) /* the first buffer begins this small: most streams are */

/* The producer's while it is `current`, the loop's once it is queued. */
struct orb_fill_buffer {
    struct orb_upload_part send;
    struct orb_memory_body body;
    struct orb_fill *fill;
    struct orb_fill_buffer *next;
    uint8_t *bytes;
    size_t room, length;
    size_t goal; /* room it shall grow to: only the first part does */
};

/* ---- all under the fill's mutex ---- */

/* NULL with `out_of_memory` false: the budget does not allow it now. */
struct orb_fill_buffer *orb_fill_buffer_new(struct orb_fill *fill, uint64_t bytes, bool *out_of_memory);
void orb_fill_buffer_free(struct orb_fill *fill, struct orb_fill_buffer *buffer); /* NULL is fine */
void orb_fill_free_chain(struct orb_fill *fill, struct orb_fill_buffer **first);
/* `bytes` are not used any more; what is not reserved goes back to the budget. */
void orb_fill_give(struct orb_fill *fill, uint64_t bytes);

/* The loop shall look. */
void orb_fill_kick(struct orb_fill *fill);
void orb_fill_enqueue(struct orb_fill *fill, struct orb_fill_buffer *buffer);
/* The first part, if it was held back. */
void orb_fill_enqueue_held(struct orb_fill *fill);

#endif
