/* SPDX-License-Identifier: Apache-2.0
 * A body to a file: the bytes that the body lends go out from where they lie, in one WRITE at a time; when the
 * stream has taken it, the next one follows, without waiting for the answers of those before. Loop thread. */
#include "backend/sftp/sftp_write.h"
#include "base/hash.h"

enum { PAGE = 4096 };

static struct sftp_pump *pump_of(struct orb_sftp_request *request)
{
    return request->ctx;
}

static void pump_end(struct sftp_pump *pump, orbit_status status, const orbit_error *error)
{
    bool first = !pump->over;
    pump->ended = pump->over = true;
    if (first)
        pump->then(pump->call, status, error);
}

static void answered(struct orb_sftp_request *request)
{
    struct sftp_pump *pump = pump_of(request);
    orbit_error error;
    orbit_status status = sftp_check(pump->call, request, ORB_SFTP_STATUS, &error);
    size_t slot = (size_t)(request - pump->slots);
    pump->busy[slot] = false;
    pump->count--;
    if (status >= 0 && pump->acknowledged)
        (void)orb_extents_add(pump->acknowledged, &pump->extents[slot]); /* no memory: it is sent once more one day */
    pump->under_way -= request->payload_length;
    if (status < 0) {
        pump->call->refused = true;
        pump_end(pump, status, &error);
    } else if (pump->ended && pump->count == 0)
        pump_end(pump, ORBIT_OK, NULL);
    else if (!pump->ended)
        sftp_pump_step(pump);
}

static void sent(struct orb_sftp_request *request)
{
    struct sftp_pump *pump = pump_of(request);
    size_t length = pump->sending;
    pump->sending = 0;
    pump->body->consume(pump->body, length);
    sftp_pump_step(pump);
}

/* Pieces of one size, so that a block does not end in a crumb. */
static uint32_t piece(size_t length, uint32_t most)
{
    size_t pieces = (length + most - 1) / most, each = (length + pieces - 1) / pieces;
    each = (each + PAGE - 1) / PAGE * PAGE;
    return each > most ? most : each > length ? (uint32_t)length : (uint32_t)each;
}

static bool peek(struct sftp_pump *pump, const void **bytes, size_t *length)
{
    orbit_error error;
    orbit_status status = pump->body->peek(pump->body, bytes, length);
    if (status == ORBIT_AGAIN)
        return false; /* resume brings it back */
    if (status == ORBIT_OK && *length <= pump->end - pump->at)
        return true;
    if (status == ORBIT_END && pump->at == pump->end) {
        pump->ended = true;
        pump->drained(pump->call);
        if (pump->count == 0)
            pump_end(pump, ORBIT_OK, NULL);
        return false;
    }
    if (status >= 0)
        status = sftp_fail(pump->call, ORBIT_E_MISUSE, 0, "its bytes are not as many as were announced", &error);
    else
        sftp_fail(pump->call, status, 0, "the source of the bytes failed", &error);
    pump_end(pump, status, &error);
    return false;
}

void sftp_pump_step(struct sftp_pump *pump)
{
    const void *bytes;
    size_t length = 0;
    struct orb_sftp *session = sftp_call_session(pump->call);
    unsigned i = 0;
    if (pump->ended || pump->sending || pump->count == SFTP_SLOTS)
        return;
    if (!session) { /* what is under way hears of it by itself */
        orbit_error error;
        orbit_status status =
            sftp_fail(pump->call, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, "the connection was lost", &error);
        if (pump->count == 0)
            pump_end(pump, status, &error);
        return;
    }
    unsigned streams = pump->call->channel->streams ? pump->call->channel->streams : 1;
    uint32_t most = orb_sftp_write_max(session);
    if (pump->count > 0 && pump->under_way + most > orb_sftp_window(session) / streams)
        return;
    if (!peek(pump, &bytes, &length))
        return;
    while (pump->busy[i])
        i++;
    struct orb_sftp_request *request = &pump->slots[i];
    uint32_t take = piece(length, most);
    orb_sftp_write_at(request, &pump->handle, pump->at, bytes, take);
    if (pump->acknowledged)
        pump->extents[i] = (struct orb_extent){
            .offset = pump->at, .length = take, .crc64 = orb_crc64nvme(0, bytes, take), .crcs = ORB_EXTENT_CRC64};
    request->sent = sent;
    request->done = answered;
    request->ctx = pump;
    pump->busy[i] = true;
    pump->count++;
    pump->sending = take;
    pump->at += take;
    pump->under_way += take;
    orb_sftp_start(session, request);
}

void sftp_pump_start(struct sftp_pump *pump, struct sftp_call *call, orbit_body *body,
                     const struct orb_sftp_handle *handle, uint64_t offset)
{
    pump->call = call;
    pump->body = body;
    pump->handle = *handle;
    pump->at = offset;
    pump->end = offset + body->length;
    sftp_pump_step(pump);
}

void sftp_pump_release(struct sftp_pump *pump)
{
    for (unsigned i = 0; i < SFTP_SLOTS; i++) {
        orb_sftp_forget(&pump->slots[i]);
        orb_sftp_request_release(&pump->slots[i]);
    }
}
