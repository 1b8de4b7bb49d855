/* SPDX-License-Identifier: Apache-2.0
 * The ways that the bytes of a write take: files by their extents (engine/copy), memory by slices
 * (engine/upload_memory), everything else through part buffers (engine/upload_fill); and how each ends. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stream/reader.h"
#include "stream/write_task.h"

/* ---- the end: loop ------------------------------------------------------------------------------------ */

static void end(struct write_task *write, uint64_t bytes, uint32_t parts, bool multipart, orbit_metadata *metadata)
{
    if (write->status >= 0) {
        atomic_fetch_add(&write->task.client->bytes_written, bytes);
        orb_task_moved(&write->task, bytes, bytes, true);
        orb_write_result_fill(write->result, bytes, parts, multipart, metadata);
    }
    orb_fill_release(&write->fill); /* the memory now, not when the task is freed */
    orb_memory_upload_release(&write->memory);
    orb_copy_release(&write->copy);
    orb_task_end(&write->task, write->status, &write->error);
}

void orb_write_fail(struct write_task *write, orbit_status status, const orbit_error *error)
{
    if (write->status < 0)
        return;
    write->status = status;
    if (error)
        write->error = *error;
    else
        orb_fail(&write->error, status, 0, "writing '%s' was %s", write->path,
                 status == ORBIT_E_TIMEOUT ? "not done in time" : "cancelled");
}

void orb_write_settle(struct write_task *write)
{
    orb_gate_lock(&write->gate);
    bool turn_due = write->join_posted;
    orb_gate_unlock(&write->gate);
    if (turn_due || !write->producer_over || (write->mode == MODE_FILL && write->begun && !write->fill_over))
        return;
    if (write->has_thread)
        pthread_join(write->thread, NULL); /* telling the loop was the last it did */
    write->has_thread = false;
    struct orb_upload *upload = &write->fill.upload;
    end(write, upload->bytes, upload->parts, upload->multipart, &upload->metadata);
}

void orb_write_let_source_go(struct write_task *write)
{
    if (write->stop_fd >= 0)
        (void)eventfd_write(write->stop_fd, 1);
}

static void fill_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    write->fill_over = true;
    if (status < 0)
        orb_write_fail(write, status, error);
    orb_write_let_source_go(write);
    if (write->source.kind == ORB_SOURCE_READER) {
        orb_reader_forget(write->source.ctx);
        write->producer_over = true;
    }
    orb_write_settle(write);
}

static void fill_moved(void *ctx, uint64_t bytes)
{
    struct write_task *write = ctx;
    orb_task_moved(&write->task, bytes, write->size_hint, false);
}

/* ---- the ways ------------------------------------------------------------------------------------ */

static void copy_moved(void *ctx, uint64_t done, uint64_t total)
{
    struct write_task *write = ctx;
    orb_task_moved(&write->task, done, total, false);
}

static void copy_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    struct orb_copy *copy = &write->copy;
    if (status < 0)
        orb_write_fail(write, status, error);
    else if (write->source.kind == ORB_SOURCE_FD) /* as if it had been read in order */
        (void)lseek(write->source.fd, (off_t)(write->file.offset + copy->bytes), SEEK_SET);
    end(write, copy->bytes, copy->parts, copy->multipart, &copy->target);
}

static void memory_ended(void *ctx, orbit_status status, const orbit_error *error)
{
    struct write_task *write = ctx;
    struct orb_upload *upload = &write->memory.upload;
    if (status < 0)
        orb_write_fail(write, status, error);
    end(write, upload->bytes, upload->parts, upload->multipart, &upload->metadata);
}

static orbit_status prepare_copy(struct write_task *write, orbit_error *error)
{
    struct orbit_backend *local = NULL;
    orbit_status status = orb_client_local(write->task.client, &local, error);
    if (status < 0)
        return status;
    struct orb_copy *copy = &write->copy;
    copy->from = &local->core;
    copy->to = &write->backend->core;
    copy->from_path = write->file.path;
    copy->to_path = write->path;
    copy->tally = &write->task.tally;
    copy->offset = write->file.offset;
    copy->length = ORBIT_TO_END;
    copy->options = &write->options;
    copy->verify = true;
    copy->moved = copy_moved;
    copy->ended = copy_ended;
    copy->ctx = write;
    write->mode = MODE_COPY;
    return ORBIT_OK;
}

static orbit_status prepare_fill(struct write_task *write, orbit_error *error)
{
    write->fill.wake = orb_write_wake;
    write->fill.moved = fill_moved;
    write->fill.ended = fill_ended;
    write->fill.ctx = write;
    write->mode = MODE_FILL;
    if (write->source.kind == ORB_SOURCE_PATH || write->source.kind == ORB_SOURCE_FD) {
        write->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (write->stop_fd < 0)
            return orb_fail_errno(error, errno, "cannot write '%s'", write->path);
    }
    write->fill.upload.tally = &write->task.tally;
    return orb_fill_init(&write->fill, &write->backend->core, write->path, &write->options, NULL, write->size_hint,
                         error);
}

orbit_status orb_write_decide(struct write_task *write, orbit_error *error)
{
    orbit_source *source = &write->source;
    if (source->kind == ORB_SOURCE_MEMORY) {
        write->mode = MODE_MEMORY;
        write->memory.moved = fill_moved;
        write->memory.ended = memory_ended;
        write->memory.ctx = write;
        write->memory.upload.tally = &write->task.tally;
        return orb_memory_upload_init(&write->memory, &write->backend->core, write->path, &write->options,
                                      source->bytes, (size_t)source->length, error);
    }
    if (source->kind == ORB_SOURCE_PATH || source->kind == ORB_SOURCE_FD) {
        orbit_status status = orb_source_look(&write->file, source->kind, write->source_path, source->fd, error);
        if (status < 0)
            return status;
        if (write->file.extents)
            return prepare_copy(write, error);
    }
    return prepare_fill(write, error);
}
