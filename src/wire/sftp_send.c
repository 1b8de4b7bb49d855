/* SPDX-License-Identifier: Apache-2.0
 * What goes out of a session. A request waits in the queue until a place in the table of ids is free and the stream
 * takes it; its payload is sent from where it lies. Loop thread only. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/error.h"
#include "wire/sftp_session.h"

enum { PIECES_MAX = 64 };

/* ---- the queue ------------------------------------------------------------------------------------- */

static void append(struct orb_sftp_request **first, struct orb_sftp_request **last, struct orb_sftp_request *request)
{
    request->next = NULL;
    request->previous = *last;
    if (*last)
        (*last)->next = request;
    else
        *first = request;
    *last = request;
}

static void detach(struct orb_sftp_request **first, struct orb_sftp_request **last, struct orb_sftp_request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        *first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        *last = request->previous;
    request->next = request->previous = NULL;
}

static struct orb_sftp_slot *slot_of(struct orb_sftp *session, uint32_t id)
{
    return &session->slots[id % ORB_SFTP_SLOTS];
}

/* Ids go round; the next one whose place is free. False: all are under way. */
static bool take_slot(struct orb_sftp *session, struct orb_sftp_request *request)
{
    if (session->busy == ORB_SFTP_SLOTS)
        return false;
    uint32_t id;
    do
        id = session->next_id++;
    while (slot_of(session, id)->busy);
    *slot_of(session, id) = (struct orb_sftp_slot){.request = request,
                                                   .id = id,
                                                   .want = request->want,
                                                   .type = (uint8_t)request->packet.bytes[4],
                                                   .busy = true,
                                                   .patient = request->patient};
    session->busy++;
    request->id = id;
    orb_sftp_packet_set_id(&request->packet, id);
    return true;
}

struct orb_sftp_request *orb_sftp_slot_free(struct orb_sftp *session, struct orb_sftp_slot *slot)
{
    struct orb_sftp_request *request = slot->request;
    *slot = (struct orb_sftp_slot){0};
    session->busy--;
    return request;
}

static bool has_slot(struct orb_sftp *session, const struct orb_sftp_request *request)
{
    const struct orb_sftp_slot *slot = slot_of(session, request->id);
    return slot->busy && slot->request == request;
}

void orb_sftp_flush_post(struct orb_sftp *session)
{
    if (session->flush_posted || session->blocked || session->fd < 0)
        return;
    session->flush_posted = true;
    orb_loop_post(session->loop, &session->flush_message);
}

/* ---- sending --------------------------------------------------------------------------------------- */

static size_t size_of(const struct orb_sftp_request *request)
{
    return request->packet.length + request->payload_length;
}

static void add_piece(struct iovec *pieces, size_t *count, const void *bytes, size_t length, size_t gone)
{
    if (gone < length)
        pieces[(*count)++] = (struct iovec){(char *)(uintptr_t)bytes + gone, length - gone};
}

static size_t gather(struct orb_sftp *session, struct iovec *pieces)
{
    size_t count = 0;
    add_piece(pieces, &count, session->rest.bytes, session->rest.length, session->rest_gone);
    bool ready = session->ready || session->presumed;
    for (struct orb_sftp_request *at = session->queue; ready && at && count + 2 <= PIECES_MAX; at = at->next) {
        if (!has_slot(session, at) && !take_slot(session, at))
            break;
        size_t head = at->packet.length;
        add_piece(pieces, &count, at->packet.bytes, head, at->gone);
        add_piece(pieces, &count, at->payload, at->payload_length, at->gone > head ? at->gone - head : 0);
    }
    return count;
}

/* `bytes` of what was gathered have gone. */
static void advance(struct orb_sftp *session, size_t bytes)
{
    size_t rest = session->rest.length - session->rest_gone;
    size_t take = bytes < rest ? bytes : rest;
    session->rest_gone += take;
    bytes -= take;
    if (session->rest_gone == session->rest.length) {
        orb_buf_release(&session->rest);
        session->rest_gone = 0;
    }
    while (bytes > 0 && session->queue) {
        struct orb_sftp_request *request = session->queue;
        size_t left = size_of(request) - request->gone;
        take = bytes < left ? bytes : left;
        request->gone += take;
        bytes -= take;
        if (take < left)
            return;
        detach(&session->queue, &session->queue_end, request);
        request->queued = false;
        request->started_ns = session->life_ns;
        append(&session->gone, &session->gone_end, request);
    }
}

static void tell_gone(struct orb_sftp *session)
{
    struct orb_sftp_request *request;
    while ((request = session->gone)) {
        detach(&session->gone, &session->gone_end, request);
        if (request->sent)
            request->sent(request);
    }
}

void orb_sftp_flush(struct orb_sftp *session)
{
    struct iovec pieces[PIECES_MAX];
    while (!session->broken && !session->dead) {
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = gather(session, pieces)};
        if (message.msg_iovlen == 0)
            break;
        ssize_t sent = sendmsg(session->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            session->blocked = true;
            orb_watch_change(session->watch, UV_READABLE | UV_WRITABLE);
            return;
        }
        if (sent < 0) { /* what the server said last is still to be read, and the end with it */
            session->blocked = true;
            orb_watch_change(session->watch, UV_READABLE);
            return;
        }
        session->life_ns = orb_now_ns();
        advance(session, (size_t)sent);
        tell_gone(session);
    }
}

/* ---- a request's way ------------------------------------------------------------------------------- */

void orb_sftp_start(struct orb_sftp *session, struct orb_sftp_request *request)
{
    request->session = session;
    request->type = 0;
    request->status = 0;
    request->received = 0;
    request->error = NULL;
    request->no_memory = false;
    request->gone = 0;
    request->queued = true;
    if (session->under_way++ == 0)
        session->life_ns = orb_now_ns();
    append(&session->queue, &session->queue_end, request);
    if (request->packet.failed) {
        orbit_error error;
        orb_fail_memory(&error);
        orb_sftp_break(session, &error);
    }
    if (session->broken)
        orb_sftp_end_post(session);
    else
        orb_sftp_flush_post(session);
}

/* A packet that has begun to go out goes out to its end, without its user. */
static void keep_rest(struct orb_sftp *session, const struct orb_sftp_request *request)
{
    size_t head = request->packet.length, gone = request->gone;
    orbit_error error;
    if (gone < head)
        orb_buf_append(&session->rest, request->packet.bytes + gone, head - gone);
    gone = gone > head ? gone - head : 0;
    if (request->payload_length > gone)
        orb_buf_append(&session->rest, (const char *)request->payload + gone, request->payload_length - gone);
    if (session->rest.failed) {
        orb_fail_memory(&error);
        orb_sftp_break(session, &error);
    }
}

void orb_sftp_forget(struct orb_sftp_request *request)
{
    struct orb_sftp *session = request->session;
    if (!session)
        return;
    bool on_its_way = has_slot(session, request);
    request->session = NULL;
    session->under_way--;
    if (request->queued) {
        detach(&session->queue, &session->queue_end, request);
        request->queued = false;
        if (request->gone == 0 && on_its_way) {
            orb_sftp_slot_free(session, slot_of(session, request->id));
            return;
        }
        if (request->gone > 0)
            keep_rest(session, request);
    } else if (session->gone == request || request->previous || request->next) {
        detach(&session->gone, &session->gone_end, request);
    }
    if (on_its_way)
        slot_of(session, request->id)->request = NULL;
}

/* Its reply has come. */
void orb_sftp_finish(struct orb_sftp *session, struct orb_sftp_request *request, uint64_t bytes)
{
    uint64_t took = orb_now_ns() - request->started_ns, base = session->round_trip_ns;
    session->under_way--;
    request->session = NULL;
    if (request->previous || request->next || session->gone == request)
        detach(&session->gone, &session->gone_end, request);
    if (!base || took < base)
        session->round_trip_ns = base = took ? took : 1;
    if (bytes > 0 && took < 2 * base + 2 * ORB_MS) {
        session->window += bytes;
        if (session->window > ORB_SFTP_WINDOW_MOST)
            session->window = ORB_SFTP_WINDOW_MOST;
    } else if (bytes > 0 && took > 4 * base + 50 * ORB_MS) {
        session->window -=
            bytes / 2 < session->window - ORB_SFTP_WINDOW_LEAST ? bytes / 2 : session->window - ORB_SFTP_WINDOW_LEAST;
    }
    if (session->queue)
        orb_sftp_flush_post(session);
    request->done(request);
}

static void let_go(struct orb_sftp *session, struct orb_sftp_request *request)
{
    request->session = NULL;
    request->type = 0;
    request->error = &session->error;
    request->reply = orb_sftp_read(NULL, 0);
    session->under_way--;
    request->done(request);
}

/* Requests may be started while others hear of the end: they hear of it, too. */
void orb_sftp_fail_all(struct orb_sftp *session)
{
    struct orb_sftp_request *request;
    session->data = NULL;
    while (session->gone)
        detach(&session->gone, &session->gone_end, session->gone);
    for (size_t i = 0; i < ORB_SFTP_SLOTS; i++)
        if (session->slots[i].busy) {
            request = orb_sftp_slot_free(session, &session->slots[i]);
            if (request && !request->queued)
                let_go(session, request);
        }
    while ((request = session->queue)) {
        detach(&session->queue, &session->queue_end, request);
        request->queued = false;
        let_go(session, request);
    }
}
