/* SPDX-License-Identifier: Apache-2.0
 * A session's life, its requests, and what goes out. A request waits in the queue until a place in the table of ids
 * is free and the stream takes it; its payload is sent from where it lies. What ended is told from a message, never
 * from inside a call of the user's. Loop thread only. */
#include "wire/sftp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/sftp_session.h"

enum { PIECES_MAX = 64, REST_MAX = 4 * ORB_SFTP_PACKET_MAX, PATIENCE = 20 };

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

static void post_flush(struct orb_sftp *session)
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

static void flush(struct orb_sftp *session)
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

static void on_events(void *ctx, int events)
{
    struct orb_sftp *session = ctx;
    if (events & UV_WRITABLE) {
        session->blocked = false;
        orb_watch_change(session->watch, UV_READABLE);
        flush(session);
    }
    if ((events & UV_READABLE) && !session->broken && !session->dead)
        orb_sftp_receive(session);
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static void stop(struct orb_sftp *session)
{
    orb_watch_stop(session->watch);
    orb_timer_cancel(session->timer);
    session->watch = NULL;
    session->timer = NULL;
    if (session->fd >= 0)
        (void)close(session->fd);
    session->fd = -1;
}

static void release(struct orb_sftp *session)
{
    orb_buf_release(&session->rest);
    orb_free(session->line);
    orb_free(session->peer);
    orb_free(session);
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
static void fail_all(struct orb_sftp *session)
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

static void deliver_end(struct orb_message *message)
{
    struct orb_sftp *session = (struct orb_sftp *)(void *)((char *)message - offsetof(struct orb_sftp, end_message));
    session->end_posted = false;
    if (session->dead) {
        if (!session->flush_posted)
            release(session);
        return;
    }
    fail_all(session);
    bool first = !session->told;
    session->told = true;
    if (first)
        session->events.ended(session->ctx, session->silent_end ? NULL : &session->error);
}

static void deliver_flush(struct orb_message *message)
{
    struct orb_sftp *session = (struct orb_sftp *)(void *)((char *)message - offsetof(struct orb_sftp, flush_message));
    session->flush_posted = false;
    if (session->dead && !session->end_posted)
        release(session);
    else if (!session->dead && !session->blocked)
        flush(session);
}

static void post_end(struct orb_sftp *session)
{
    if (!session->end_posted)
        orb_loop_post(session->loop, &session->end_message);
    session->end_posted = true;
}

void orb_sftp_break(struct orb_sftp *session, const orbit_error *error)
{
    if (session->broken || session->dead)
        return;
    session->broken = true;
    session->silent_end = !error;
    if (error) {
        session->error = *error;
    } else {
        orb_fail(&session->error, ORBIT_E_NETWORK, 0, "the connection to '%s' was lost", session->peer);
        session->error.flags |= ORBIT_ERROR_RETRIABLE;
    }
    stop(session);
    post_end(session);
}

void orb_sftp_free(struct orb_sftp *session, const orbit_error *error)
{
    if (!session)
        return;
    stop(session);
    if (!session->broken) {
        session->broken = true;
        if (error)
            session->error = *error;
        else
            orb_fail(&session->error, ORBIT_E_CANCELLED, 0, "the connection to '%s' is being closed", session->peer);
    }
    fail_all(session);
    session->dead = true;
    post_end(session);
}

/* ---- silence --------------------------------------------------------------------------------------- */

static void watch_for_life(struct orb_sftp *session);

static void on_timer(void *ctx)
{
    struct orb_sftp *session = ctx;
    orbit_error error;
    uint64_t limit = session->stall_ms * ORB_MS;
    session->timer = NULL;
    for (size_t i = 0; i < ORB_SFTP_SLOTS; i++)
        if (session->slots[i].busy && session->slots[i].patient)
            limit = session->stall_ms * ORB_MS * PATIENCE;
    bool waits = session->under_way > 0 || !session->ready;
    if (waits && orb_now_ns() - session->life_ns > limit) {
        orb_fail(&error, ORBIT_E_TIMEOUT, 0, "'%s' did not answer for %u seconds", session->peer,
                 (unsigned)(limit / ORB_S));
        error.flags |= ORBIT_ERROR_RETRIABLE;
        orb_sftp_break(session, &error);
    } else {
        watch_for_life(session);
    }
}

static void watch_for_life(struct orb_sftp *session)
{
    orbit_error error;
    session->timer = orb_timer_start(session->loop, session->stall_ms / 4 + 1, on_timer, session);
    if (!session->timer) {
        orb_fail_memory(&error);
        orb_sftp_break(session, &error);
    }
}

/* ---- life ------------------------------------------------------------------------------------------ */

orbit_status orb_sftp_new(struct orb_sftp **made, struct orb_loop *loop, struct orb_log *log, const char *peer,
                          uint32_t stall_ms, const struct orb_sftp_events *events, void *ctx, orbit_error *error)
{
    struct orb_sftp *session = orb_calloc(1, sizeof(*session));
    if (!session || !(session->peer = orb_strdup(peer)) || !(session->line = orb_malloc(ORB_SFTP_LINE))) {
        if (session)
            release(session);
        return orb_fail_memory(error);
    }
    session->loop = loop;
    session->log = log;
    session->stall_ms = stall_ms;
    session->events = *events;
    session->ctx = ctx;
    session->fd = -1;
    session->line_room = ORB_SFTP_LINE;
    session->read_max = session->write_max = ORB_SFTP_PLAIN_MAX;
    session->window = ORB_SFTP_WINDOW_LEAST;
    session->flush_message.deliver = deliver_flush;
    session->end_message.deliver = deliver_end;
    orb_buf_init(&session->rest, REST_MAX);
    *made = session;
    return ORBIT_OK;
}

void orb_sftp_attach(struct orb_sftp *session, int fd)
{
    static const uint8_t init[] = {0, 0, 0, 5, ORB_SFTP_INIT, 0, 0, 0, 3};
    orbit_error error;
    session->fd = fd;
    session->life_ns = orb_now_ns();
    session->watch = orb_watch_start(session->loop, fd, UV_READABLE, on_events, session);
    if (!session->watch || !orb_buf_append(&session->rest, init, sizeof(init))) {
        orb_fail_memory(&error);
        orb_sftp_break(session, &error);
        return;
    }
    watch_for_life(session);
    post_flush(session);
}

/* ---- requests -------------------------------------------------------------------------------------- */

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
        post_end(session);
    else
        post_flush(session);
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

/* Requests of the session's own. */
struct own_request {
    struct orb_sftp_request request; /* first */
};

static void own_done(struct orb_sftp_request *request)
{
    orb_sftp_request_release(request);
    orb_free(request);
}

static void start_own(struct orb_sftp *session, struct own_request *own)
{
    own->request.done = own_done;
    if (own->request.packet.failed)
        own_done(&own->request);
    else
        orb_sftp_start(session, &own->request);
}

void orb_sftp_close_handle(struct orb_sftp *session, const struct orb_sftp_handle *handle)
{
    struct own_request *own = session->broken ? NULL : orb_calloc(1, sizeof(*own));
    if (!own) /* the server closes it with the session */
        return;
    orb_sftp_on_handle(&own->request, ORB_SFTP_CLOSE, handle);
    start_own(session, own);
}

void orb_sftp_remove_path(struct orb_sftp *session, const char *path)
{
    struct own_request *own = session->broken ? NULL : orb_calloc(1, sizeof(*own));
    if (!own)
        return;
    orb_sftp_path(&own->request, ORB_SFTP_REMOVE, path);
    start_own(session, own);
}

static void limits_done(struct orb_sftp_request *request)
{
    struct orb_sftp_limits limits;
    struct orb_sftp *session = request->ctx;
    if (request->type == ORB_SFTP_EXTENDED_REPLY && orb_sftp_get_limits(&request->reply, &limits)) {
        /* A server that says nothing of a limit takes what every server takes. */
        if (limits.read >= 1024)
            session->read_max = limits.read < ORB_SFTP_DATA_MAX ? (uint32_t)limits.read : ORB_SFTP_DATA_MAX;
        if (limits.write >= 1024)
            session->write_max = limits.write < ORB_SFTP_DATA_MAX ? (uint32_t)limits.write : ORB_SFTP_DATA_MAX;
        session->limited = true;
    }
    own_done(request);
}

/* Ahead of everything that waits. */
static void ask_limits(struct orb_sftp *session)
{
    static const struct orb_sftp_handle none;
    struct own_request *own = session->extensions & ORB_SFTP_CAN_LIMITS ? orb_calloc(1, sizeof(*own)) : NULL;
    if (!own)
        return;
    orb_sftp_extended_handle(&own->request, ORB_SFTP_CAN_LIMITS, &none);
    own->request.packet.length -= 4; /* it has no handle, not even an empty one */
    orb_sftp_packet_end(&own->request.packet, 0);
    own->request.ctx = session;
    start_own(session, own);
    own->request.done = limits_done;
}

/* The version has come. */
void orb_sftp_is_ready(struct orb_sftp *session)
{
    session->ready = true;
    if (!session->presumed)
        ask_limits(session);
    post_flush(session);
    session->events.ready(session->ctx);
}

void orb_sftp_presume(struct orb_sftp *session, const struct orb_sftp *like)
{
    session->presumed = true;
    session->extensions = like->extensions;
    session->read_max = like->read_max;
    session->write_max = like->write_max;
    session->limited = like->limited;
    session->round_trip_ns = like->round_trip_ns;
    if (!session->limited)
        ask_limits(session);
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
        post_flush(session);
    request->done(request);
}

/* ---- what it is ------------------------------------------------------------------------------------ */

bool orb_sftp_ready(const struct orb_sftp *session)
{
    return (session->ready || session->presumed) && !session->broken;
}

bool orb_sftp_can(const struct orb_sftp *session, unsigned extension)
{
    return (session->extensions & extension) == extension;
}

uint32_t orb_sftp_read_max(const struct orb_sftp *session)
{
    return session->read_max;
}

uint32_t orb_sftp_write_max(const struct orb_sftp *session)
{
    return session->write_max;
}

uint64_t orb_sftp_round_trip_ns(const struct orb_sftp *session)
{
    return session->round_trip_ns;
}

uint64_t orb_sftp_window(const struct orb_sftp *session)
{
    return session->window;
}

unsigned orb_sftp_under_way(const struct orb_sftp *session)
{
    return session->under_way;
}
