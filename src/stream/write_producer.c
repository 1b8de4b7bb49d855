/* SPDX-License-Identifier: Apache-2.0
 * Who reads the source of a write into part buffers: the calling thread in the blocking form, a thread of the task's
 * own otherwise, and the loop itself from an orbit_reader. */
#include <string.h>

#include "stream/reader.h"
#include "stream/write_task.h"

#define JOIN_BYTES ((size_t)4 << 20) /* a reader's bytes in one turn of the loop */

static struct write_task *write_of(void *message, size_t offset)
{
    return (struct write_task *)(void *)((char *)message - offset);
}

/* ---- on a thread --------------------------------------------------------------------------- */

void orb_write_wake(void *ctx)
{
    struct write_task *write = ctx;
    orb_gate_lock(&write->gate);
    write->woken = true;
    pthread_cond_broadcast(&write->woken_cond);
    orb_gate_signal(&write->gate);
    if (write->source.kind == ORB_SOURCE_READER && !write->join_posted) {
        write->join_posted = true;
        orb_loop_post(write->task.client->loop, &write->join_message);
    }
    orb_gate_unlock(&write->gate);
}

/* False: nothing will ever be wanted from the source. */
static bool wait_woken(struct write_task *write)
{
    orb_gate_lock(&write->gate);
    while (!write->woken) {
        if (write->on_caller)
            orb_gate_wait(&write->gate);
        else
            pthread_cond_wait(&write->woken_cond, &write->gate.mutex);
    }
    write->woken = false;
    bool wanted = !write->refused;
    orb_gate_unlock(&write->gate);
    return wanted;
}

static orbit_status read_source(struct write_task *write, void *room, size_t bytes, size_t *length, orbit_error *error)
{
    *length = 0;
    if (write->source.kind != ORB_SOURCE_FUNCTION)
        return orb_source_read_fd(write->file.fd, write->stop_fd,
                                  write->source_path ? write->source_path : "the descriptor", room, bytes, length,
                                  error);
    orb_error_clear(error);
    orbit_status status = write->source.read(write->source.ctx, room, bytes, length, error);
    if (status == ORBIT_OK && *length > bytes)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the source says it read %zu bytes into a buffer of %zu", *length,
                        bytes);
    if (status < 0 && error->status >= 0)
        orb_fail(error, status, 0, "the source failed: %s", orbit_status_text(status));
    if (status > 0 && status != ORBIT_END)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "the source returned %d, which means nothing here", (int)status);
    return status == ORBIT_OK && *length == 0 ? ORBIT_END : status;
}

/* Returns what the source failed with; an upload that failed is known to the loop. */
static orbit_status produce(struct write_task *write, orbit_error *error)
{
    for (;;) {
        void *room = NULL;
        size_t bytes = 0, length = 0;
        orbit_status status = orb_fill_lend(&write->fill, &room, &bytes, NULL);
        if (status == ORBIT_AGAIN && wait_woken(write))
            continue;
        if (status != ORBIT_OK)
            return ORBIT_OK;
        status = read_source(write, room, bytes, &length, error);
        if (status == ORBIT_END) {
            orb_fill_finish(&write->fill);
            return ORBIT_OK;
        }
        if (status < 0)
            return status;
        if (orb_fill_commit(&write->fill, length, NULL) < 0)
            return ORBIT_OK;
    }
}

/* Tells the loop that the source will not be touched any more. */
static void leave(struct write_task *write, orbit_status status)
{
    write->source_status = status;
    orb_loop_post(write->task.client->loop, &write->producer_message);
}

static void *run_thread(void *ctx)
{
    struct write_task *write = ctx;
    orbit_status status = ORBIT_OK;
    if (write->mode == MODE_UNDECIDED) {
        status = orb_write_decide(write, &write->source_error);
        if (status >= 0 && write->mode == MODE_FILL)
            orb_loop_post(write->task.client->loop, &write->begin_message);
    }
    if (status >= 0 && write->mode == MODE_FILL)
        status = produce(write, &write->source_error);
    leave(write, status);
    return NULL;
}

static void producer_left(struct orb_message *message)
{
    struct write_task *write = write_of(message, offsetof(struct write_task, producer_message));
    write->producer_over = true;
    if (write->source_status < 0) {
        orb_write_fail(write, write->source_status, &write->source_error);
        if (write->begun)
            orb_fill_stop(&write->fill, write->status, &write->error);
    }
    if (write->mode == MODE_COPY && write->status >= 0) { /* the look is over, the file is known */
        pthread_join(write->thread, NULL);
        write->has_thread = false;
        write->begun = true;
        orb_copy_start(&write->copy);
        return;
    }
    orb_write_settle(write);
}

/* ---- on the loop: a reader ------------------------------------------------------------------ */

static void reader_ready(void *ctx)
{
    orb_write_wake(ctx); /* as if there were room again: look once more, from the top of the loop */
}

static void join_turn(struct write_task *write)
{
    orbit_reader *reader = write->source.ctx;
    for (size_t moved = 0; moved < JOIN_BYTES;) {
        void *room = NULL;
        const void *bytes = NULL;
        size_t space = 0, length = 0;
        orbit_error error;
        orbit_status status = orb_fill_lend(&write->fill, &room, &space, NULL);
        if (status != ORBIT_OK)
            return; /* wake() or ended() follows */
        status = orb_reader_peek(reader, &bytes, &length, reader_ready, write, &error);
        if (status == ORBIT_AGAIN)
            return;
        if (status == ORBIT_END) {
            orb_fill_finish(&write->fill);
            return;
        }
        if (status < 0) {
            orb_write_fail(write, status, &error);
            orb_fill_stop(&write->fill, status, &error);
            return;
        }
        size_t take = length < space ? length : space;
        memcpy(room, bytes, take);
        orb_reader_consume(reader, take);
        moved += take;
        if (orb_fill_commit(&write->fill, take, NULL) < 0)
            return;
    }
    orb_write_wake(write); /* let others have their turn */
}

static void join_delivered(struct orb_message *message)
{
    struct write_task *write = write_of(message, offsetof(struct write_task, join_message));
    orb_gate_lock(&write->gate);
    write->join_posted = false;
    orb_gate_unlock(&write->gate);
    if (!write->fill_over && write->status >= 0)
        join_turn(write);
    else
        orb_write_settle(write);
}

/* ---- its life ----------------------------------------------------------------------------------------- */

static void begin_delivered(struct orb_message *message)
{
    orb_write_begin_fill(write_of(message, offsetof(struct write_task, begin_message)));
}

void orb_write_producer_init(struct write_task *write)
{
    write->begin_message.deliver = begin_delivered;
    write->producer_message.deliver = producer_left;
    write->join_message.deliver = join_delivered;
}

void orb_write_produce_here(struct write_task *write)
{
    leave(write, produce(write, &write->source_error));
}

int orb_write_produce_apart(struct write_task *write)
{
    int number = orb_thread_start(&write->thread, "orbit-source", run_thread, write);
    write->has_thread = number == 0;
    return number;
}
