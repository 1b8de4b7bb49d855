/* SPDX-License-Identifier: Apache-2.0
 * Buffers of parts: taken from the budget, kept for the next part, queued for the loop. Everything here is called
 * under the fill's mutex. */
#include "engine/upload_buffer.h"

#include "base/mem.h"
#include "engine/admission.h"

/* ---- memory ------------------------------------------------------------------------------------------ */

static bool take(struct orb_fill *fill, uint64_t bytes)
{
    uint64_t wanted = fill->locked.used + bytes;
    if (wanted > fill->locked.charged) {
        struct orbit_host *host = fill->upload.backend->host;
        uint64_t more = wanted - fill->locked.charged;
        if (wanted > fill->share || (fill->locked.buffers > 1 && orb_admission_pressed(host)) ||
            !orb_budget_take(&host->budget, more))
            return false;
        fill->locked.charged += more;
    }
    fill->locked.used = wanted;
    return true;
}

void orb_fill_give(struct orb_fill *fill, uint64_t bytes)
{
    fill->locked.used -= bytes;
    if (fill->locked.detached)
        return;
    uint64_t keep = fill->locked.used;
    if (keep < fill->reserve && !fill->over)
        keep = fill->reserve;
    if (fill->locked.charged > keep) {
        orb_budget_give(&fill->upload.backend->host->budget, fill->locked.charged - keep);
        fill->locked.charged = keep;
    }
}

void orb_fill_buffer_free(struct orb_fill *fill, struct orb_fill_buffer *buffer)
{
    if (!buffer)
        return;
    orb_buffer_free(buffer->bytes, buffer->room);
    orb_fill_give(fill, buffer->room);
    orb_free(buffer);
}

void orb_fill_free_chain(struct orb_fill *fill, struct orb_fill_buffer **first)
{
    while (*first) {
        struct orb_fill_buffer *buffer = *first;
        *first = buffer->next;
        orb_fill_buffer_free(fill, buffer);
    }
}

struct orb_fill_buffer *orb_fill_buffer_new(struct orb_fill *fill, uint64_t bytes, bool *out_of_memory)
{
    struct orb_fill_buffer *buffer = fill->locked.spare;
    if (buffer && buffer->room == bytes) {
        fill->locked.spare = buffer->next;
        buffer->next = NULL;
        return buffer;
    }
    orb_fill_free_chain(fill, &fill->locked.spare);
    if (!take(fill, bytes))
        return NULL;
    buffer = orb_calloc(1, sizeof(*buffer));
    uint8_t *memory = buffer ? orb_buffer_new((size_t)bytes) : NULL;
    if (!memory) {
        orb_free(buffer);
        orb_fill_give(fill, bytes);
        *out_of_memory = true;
        return NULL;
    }
    buffer->fill = fill;
    buffer->bytes = memory;
    buffer->room = buffer->goal = (size_t)bytes;
    return buffer;
}

/* ---- to the loop ------------------------------------------------------------------------------------- */

void orb_fill_kick(struct orb_fill *fill)
{
    if (fill->locked.message_out)
        return;
    fill->locked.message_out = true;
    orb_loop_post(fill->upload.backend->host->loop, &fill->message);
}

void orb_fill_enqueue(struct orb_fill *fill, struct orb_fill_buffer *buffer)
{
    buffer->next = NULL;
    *fill->locked.queue_last = buffer;
    fill->locked.queue_last = &buffer->next;
    fill->locked.sending++;
}

void orb_fill_enqueue_held(struct orb_fill *fill)
{
    if (!fill->locked.held)
        return;
    orb_fill_enqueue(fill, fill->locked.held);
    fill->locked.held = NULL;
    orb_fill_kick(fill);
}
