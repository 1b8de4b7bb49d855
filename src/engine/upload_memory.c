/* SPDX-License-Identifier: Apache-2.0
 * Parts that are slices of the caller's memory, `parallel` of them in flight. Loop thread only. */
#include "engine/upload_memory.h"

#include "base/mem.h"
#include "engine/upload_fill.h"

struct orb_memory_slot {
    struct orb_upload_part send;
    struct orb_memory_body body;
    struct orb_memory_upload *memory;
    bool busy;
};

static void run(struct orb_memory_upload *memory);

static void slot_begin(struct orb_upload_part *part)
{
    ((struct orb_memory_slot *)part)->body.at = 0;
}

static void slot_done(struct orb_upload_part *part, orbit_status status, const orbit_error *error)
{
    struct orb_memory_slot *slot = (struct orb_memory_slot *)part;
    struct orb_memory_upload *memory = slot->memory;
    (void)error;
    slot->busy = false;
    memory->in_flight--;
    if (status < 0)
        return;
    orb_flow_moved(memory->upload.backend, part->part.length);
    if (memory->moved)
        memory->moved(memory->ctx, memory->upload.bytes);
    run(memory);
}

static void send_slice(struct orb_memory_upload *memory, struct orb_memory_slot *slot, uint64_t length)
{
    memset(&slot->send, 0, sizeof(slot->send));
    orb_memory_body_init(&slot->body, memory->bytes + memory->sent, (size_t)length);
    slot->memory = memory;
    slot->busy = true;
    slot->send.part = (orbit_part){memory->next_number, memory->sent, length};
    slot->send.body = &slot->body.body;
    slot->send.begin = slot_begin;
    slot->send.done = slot_done;
    memory->next_number++;
    memory->sent += length;
    memory->in_flight++;
    orb_upload_send(&memory->upload, &slot->send);
}

static struct orb_memory_slot *free_slot(struct orb_memory_upload *memory)
{
    uint32_t limit = orb_upload_share(&memory->upload, memory->parallel);
    if (memory->in_flight >= limit)
        return NULL;
    for (uint32_t i = 0; i < memory->parallel; i++)
        if (!memory->slots[i].busy)
            return &memory->slots[i];
    return NULL;
}

static void run(struct orb_memory_upload *memory)
{
    if (memory->upload.stopping || memory->upload.state != ORB_UPLOAD_OPEN)
        return;
    while (memory->sent < memory->length && !memory->upload.stopping) {
        struct orb_memory_slot *slot = free_slot(memory);
        if (!slot)
            return;
        send_slice(memory, slot, orb_parts_next(&memory->parts, memory->next_number, memory->sent));
    }
    if (memory->in_flight == 0)
        orb_upload_finish(&memory->upload, memory->length, memory->upload.parts);
}

static void opened(struct orb_upload *upload)
{
    run(upload->ctx);
}

static void ended(struct orb_upload *upload, orbit_status status, const orbit_error *error)
{
    struct orb_memory_upload *memory = upload->ctx;
    memory->ended(memory->ctx, status, error);
}

orbit_status orb_memory_upload_init(struct orb_memory_upload *memory, struct orb_backend *backend, const char *path,
                                    const orbit_write_options *options, const void *bytes, size_t length,
                                    orbit_error *error)
{
    uint64_t chunk = orb_upload_chunk(backend, options);
    if (!chunk && backend->caps.random_access)
        chunk = ORB_PARTS_CHUNK;
    struct orb_parts_rule rule = orb_parts_rule_of(&backend->caps, chunk, 0);
    if (!backend->caps.part_min || !backend->ops->begin) {
        rule.part_max = backend->caps.put_max;
        rule.count_max = 1;
    }
    orbit_status status = orb_parts_plan(&memory->parts, &rule, length, true, path, error);
    if (status < 0)
        return status;
    memory->bytes = bytes;
    memory->length = length;
    memory->next_number = 1;
    memory->parallel = orb_upload_most(backend, options);
    memory->slots = orb_calloc(memory->parallel, sizeof(*memory->slots));
    if (!memory->slots)
        return orb_fail_memory(error);
    memory->upload.backend = backend;
    memory->upload.path = path;
    memory->upload.options = options;
    memory->upload.opened = opened;
    memory->upload.ended = ended;
    memory->upload.ctx = memory;
    orb_upload_init(&memory->upload);
    return ORBIT_OK;
}

void orb_memory_upload_start(struct orb_memory_upload *memory)
{
    const struct orb_backend *backend = memory->upload.backend;
    bool small = memory->length <= memory->parts.base || !backend->ops->begin;
    if (backend->ops->put && memory->length <= backend->caps.put_max && small)
        send_slice(memory, &memory->slots[0], memory->length);
    else
        orb_upload_begin(&memory->upload, memory->length, memory->parts.base);
}

void orb_memory_upload_stop(struct orb_memory_upload *memory, orbit_status status, const orbit_error *error)
{
    orb_upload_stop(&memory->upload, status, error);
}

void orb_memory_upload_release(struct orb_memory_upload *memory)
{
    orb_free(memory->slots);
    memory->slots = NULL;
    orbit_metadata_release(&memory->upload.metadata);
}
