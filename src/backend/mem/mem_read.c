/* SPDX-License-Identifier: Apache-2.0
 * Reading a range. The content is held for the whole read: what is overwritten meanwhile stays as it was for
 * this reader, and the next range, pinned to the first reply, hears ORBIT_E_CHANGED. Loop thread. */
#include <string.h>

#include "backend/mem/mem.h"
#include "base/mem.h"
#include "base/str.h"

struct mem_read {
    struct mem_transfer transfer;
    struct mem_content *content;
    orbit_sink *sink;
    uint64_t at, end;
};

static void read_release(struct mem_transfer *transfer)
{
    mem_content_drop(((struct mem_read *)(void *)transfer)->content);
}

static void read_step(struct mem_transfer *transfer)
{
    struct mem_read *read = (struct mem_read *)(void *)transfer;
    size_t moved = 0;
    while (read->at < read->end) {
        if (moved >= MEM_STEP_BYTES) {
            mem_transfer_again(transfer);
            return;
        }
        uint64_t left = read->end - read->at;
        size_t room = 0;
        char *to = read->sink->acquire(read->sink, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &room);
        if (!to)
            return; /* resume brings it back */
        if (room > left)
            room = (size_t)left;
        const char *from;
        size_t take = mem_content_at(read->content, read->at, room, &from);
        if (from)
            memcpy(to, from, take);
        else
            memset(to, 0, take);
        orbit_status status = read->sink->commit(read->sink, take);
        if (status < 0) {
            mem_transfer_end(transfer, status, NULL);
            return;
        }
        read->at += take;
        moved += take;
    }
    mem_transfer_end(transfer, ORBIT_OK, NULL);
}

static orbit_status check_pin(struct mem_backend *backend, const orbit_read_request *request,
                              const struct mem_node *node, orbit_error *error)
{
    orbit_metadata now;
    char etag[MEM_ETAG_ROOM];
    const orbit_metadata *pin = request->pin;
    mem_describe(backend, node, &now, etag);
    bool same = true;
    if (request->if_match)
        same = orb_str_equal(request->if_match, now.etag);
    if (pin && pin->etag && now.etag)
        same = same && strcmp(pin->etag, now.etag) == 0;
    if (pin && (pin->fields & now.fields & ORBIT_HAS_INODE))
        same = same && pin->inode == now.inode;
    if (pin && (pin->fields & ORBIT_HAS_SIZE))
        same = same && pin->size == now.size;
    if (pin && !now.etag && (pin->fields & ORBIT_HAS_MTIME))
        same = same && pin->mtime_ns == now.mtime_ns;
    return same ? ORBIT_OK
                : orb_fail(error, ORBIT_E_CHANGED, 0, "'%s' in %s was changed while it was being read", request->path,
                           backend->url);
}

void mem_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply)
{
    struct mem_backend *backend = self;
    struct mem_node *node;
    orbit_error error;
    if (!mem_enter(backend, op))
        return;
    orbit_status status = mem_find_file(backend, request->path, &node, &error);
    if (status == ORBIT_E_NOT_FOUND && request->pin) /* it was there when the first range was read */
        status = orb_fail(&error, ORBIT_E_CHANGED, 0, "'%s' in %s was removed while it was being read", request->path,
                          backend->url);
    if (status == ORBIT_OK)
        status = check_pin(backend, request, node, &error);
    if (status == ORBIT_OK)
        status = mem_describe_copy(backend, node, &reply->metadata, &error);
    struct mem_read *read = status == ORBIT_OK ? orb_calloc(1, sizeof(*read)) : NULL;
    if (status == ORBIT_OK && !read)
        status = orb_fail_memory(&error);
    if (!read) {
        mem_done(op, status, &error);
        return;
    }
    uint64_t size = node->content->size;
    read->content = node->content;
    mem_content_hold(read->content);
    read->sink = sink;
    read->at = request->offset < size ? request->offset : size;
    read->end = request->length < size - read->at ? read->at + request->length : size;
    reply->length = read->end - read->at;
    if (reply->length)
        orbit_op_head(op);
    mem_transfer_start(&read->transfer, backend, op, read_step, read_release);
}
