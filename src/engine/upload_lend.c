/* SPDX-License-Identifier: Apache-2.0
 * The producer's side of an upload that is filled: room is lent and committed, full buffers go to the loop. The
 * producer's thread; the mutex guards what the loop sees. */
#include <assert.h>
#include <inttypes.h>

#include "base/error.h"
#include "engine/upload_buffer.h"

/* ---- failures, under the mutex ------------------------------------------------------------------------ */

static orbit_status fail(struct orb_fill *fill, orbit_status status, const orbit_error *error)
{
    if (fill->locked.status >= 0) {
        fill->locked.status = status;
        fill->locked.error = *error;
        orb_fill_kick(fill);
    }
    return fill->locked.status;
}

static orbit_status fail_memory(struct orb_fill *fill)
{
    orbit_error error;
    return fail(fill, orb_fail_memory(&error), &error);
}

static orbit_status fail_limit(struct orb_fill *fill)
{
    const struct orb_parts_rule *rule = &fill->parts.rule;
    orbit_error error;
    if (rule->object_max && fill->locked.offset >= rule->object_max)
        orb_fail(&error, ORBIT_E_LIMIT, 0, "cannot write '%s': the store's largest object is %" PRIu64 " bytes",
                 fill->upload.path, rule->object_max);
    else
        orb_fail(&error, ORBIT_E_LIMIT, 0,
                 "cannot write more than %" PRIu64 " bytes to '%s': %" PRIu32
                 " parts are used up: say the stream's size, raise memory_bytes or chunk_size, or write from a file",
                 fill->locked.offset, fill->upload.path, rule->count_max);
    return fail(fill, ORBIT_E_LIMIT, &error);
}

/* ---- room, under the mutex ---------------------------------------------------------------------------- */

/* The first buffer was small: replace it by one of the size of a part, or of the smallest part under pressure. */
static orbit_status grow(struct orb_fill *fill)
{
    struct orb_fill_buffer *old = fill->locked.current, *buffer = NULL;
    bool out_of_memory = false;
    buffer = orb_fill_buffer_new(fill, old->goal, &out_of_memory);
    if (!buffer && !out_of_memory) {
        uint64_t least = orb_parts_least(&fill->parts, 1, 0);
        if (least <= old->room) { /* it is large enough to be a part as it is */
            old->goal = old->room;
            return ORBIT_OK;
        }
        buffer = orb_fill_buffer_new(fill, least, &out_of_memory);
    }
    if (!buffer)
        return fail_memory(fill);
    memcpy(buffer->bytes, old->bytes, old->length);
    buffer->length = old->length;
    buffer->send.part = old->send.part;
    orb_fill_buffer_free(fill, old);
    fill->locked.current = buffer;
    return ORBIT_OK;
}

static void warn_of_ceiling(struct orb_fill *fill, uint32_t number)
{
    struct orb_log *log = &fill->upload.backend->host->log;
    uint64_t ceiling = orb_parts_ceiling(&fill->parts);
    if (orb_parts_leaves_first_tier(&fill->parts, number, fill->locked.offset) && ceiling != ORBIT_SIZE_UNKNOWN)
        orb_log(log, ORBIT_LOG_WARN,
                "'%s' is a long stream of unknown size: it can reach %" PRIu64 " MiB with this memory budget",
                fill->upload.path, ceiling >> 20);
}

/* The next part's buffer becomes `current`. ORBIT_AGAIN: memory is with parts that are being sent. */
static orbit_status next_buffer(struct orb_fill *fill)
{
    uint32_t number = fill->locked.next_number;
    uint64_t bytes = orb_parts_next(&fill->parts, number, fill->locked.offset), goal = bytes;
    if (bytes == 0) {
        fill->locked.spilling = true;
        return ORBIT_OK;
    }
    if (number == 1) {
        if (fill->first > bytes)
            bytes = goal = fill->first;
        uint64_t wish =
            fill->size_hint < ORB_FILL_FIRST_BYTES ? (fill->size_hint + 65535) / 65536 * 65536 : ORB_FILL_FIRST_BYTES;
        if (wish == 0)
            wish = 65536;
        if (bytes > wish)
            bytes = wish;
    }
    bool out_of_memory = false;
    struct orb_fill_buffer *buffer = NULL;
    if (fill->locked.buffers <= fill->parallel)
        buffer = orb_fill_buffer_new(fill, bytes, &out_of_memory);
    if (!buffer && !out_of_memory) {
        if (fill->locked.sending > 0 || fill->locked.held) {
            orb_fill_enqueue_held(fill);
            fill->locked.want_wake = true;
            return ORBIT_AGAIN;
        }
        bytes = goal = orb_parts_least(&fill->parts, number, fill->locked.offset);
        buffer = orb_fill_buffer_new(fill, bytes, &out_of_memory);
    }
    if (!buffer)
        return fail_memory(fill);
    warn_of_ceiling(fill, number);
    buffer->length = 0;
    buffer->goal = (size_t)goal;
    buffer->send.part = (orbit_part){number, fill->locked.offset, 0};
    fill->locked.current = buffer;
    fill->locked.buffers++;
    fill->locked.next_number++;
    return ORBIT_OK;
}

static orbit_status lend(struct orb_fill *fill)
{
    if (fill->locked.status < 0)
        return fill->locked.status;
    if (!fill->locked.admitted) {
        fill->locked.want_wake = true;
        return ORBIT_AGAIN;
    }
    struct orb_fill_buffer *current = fill->locked.current;
    if (current && current->length == current->room && current->room < current->goal) {
        orbit_status status = grow(fill);
        if (status < 0)
            return status;
        current = fill->locked.current;
    }
    if (current && current->length < current->room)
        return ORBIT_OK;
    if (current) {
        fill->locked.current = NULL;
        if (current->send.part.number == 1)
            fill->locked.held = current;
        else
            orb_fill_enqueue(fill, current);
        orb_fill_kick(fill);
    }
    return fill->locked.spilling ? ORBIT_OK : next_buffer(fill);
}

/* ---- the producer's calls ------------------------------------------------------------------------------ */

orbit_status orb_fill_lend(struct orb_fill *fill, void **room, size_t *length, orbit_error *error)
{
    pthread_mutex_lock(&fill->mutex);
    orbit_status status = lend(fill);
    if (status < 0) {
        orb_error_copy(error, &fill->locked.error);
    } else if (status == ORBIT_OK && fill->locked.spilling) {
        *room = fill->spill;
        *length = sizeof(fill->spill);
    } else if (status == ORBIT_OK) {
        *room = fill->locked.current->bytes + fill->locked.current->length;
        *length = fill->locked.current->room - fill->locked.current->length;
    }
    pthread_mutex_unlock(&fill->mutex);
    return status;
}

orbit_status orb_fill_commit(struct orb_fill *fill, size_t length, orbit_error *error)
{
    if (length == 0)
        return ORBIT_OK;
    pthread_mutex_lock(&fill->mutex);
    if (fill->locked.status >= 0) {
        if (fill->locked.spilling) {
            fail_limit(fill);
        } else {
            assert(fill->locked.current && length <= fill->locked.current->room - fill->locked.current->length);
            fill->locked.current->length += length;
            fill->locked.offset += length;
            orb_fill_enqueue_held(fill);
        }
    }
    orbit_status status = fill->locked.status;
    if (status < 0)
        orb_error_copy(error, &fill->locked.error);
    pthread_mutex_unlock(&fill->mutex);
    return status;
}

void orb_fill_finish(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    fill->locked.finished = true;
    if (fill->locked.status >= 0 && !fill->over)
        orb_fill_kick(fill);
    pthread_mutex_unlock(&fill->mutex);
}

orbit_status orb_fill_failure(struct orb_fill *fill, orbit_error *error)
{
    pthread_mutex_lock(&fill->mutex);
    orbit_status status = fill->locked.status;
    if (status < 0)
        orb_error_copy(error, &fill->locked.error);
    pthread_mutex_unlock(&fill->mutex);
    return status;
}

uint64_t orb_fill_taken(struct orb_fill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    uint64_t taken = fill->locked.offset;
    pthread_mutex_unlock(&fill->mutex);
    return taken;
}
