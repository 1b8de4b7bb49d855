/* SPDX-License-Identifier: Apache-2.0
 * A session's life, and the requests of its own. What ended is told from a message, never from inside a call of the
 * user's. Loop thread only. */
#include "wire/sftp.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/sftp_session.h"

enum { REST_MAX = 4 * ORB_SFTP_PACKET_MAX, PATIENCE = 20 };

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

static void deliver_end(struct orb_message *message)
{
    struct orb_sftp *session = (struct orb_sftp *)(void *)((char *)message - offsetof(struct orb_sftp, end_message));
    session->end_posted = false;
    if (session->dead) {
        if (!session->flush_posted)
            release(session);
        return;
    }
    orb_sftp_fail_all(session);
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
        orb_sftp_flush(session);
}

void orb_sftp_end_post(struct orb_sftp *session)
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
    orb_sftp_end_post(session);
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
    orb_sftp_fail_all(session);
    session->dead = true;
    orb_sftp_end_post(session);
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
    session->ease = ORB_SFTP_EASE_MOST; /* until it shows that we do not */
    session->flush_message.deliver = deliver_flush;
    session->end_message.deliver = deliver_end;
    orb_buf_init(&session->rest, REST_MAX);
    *made = session;
    return ORBIT_OK;
}

static void on_events(void *ctx, int events)
{
    struct orb_sftp *session = ctx;
    if (events & UV_WRITABLE) {
        session->blocked = false;
        orb_watch_change(session->watch, UV_READABLE);
        orb_sftp_flush(session);
    }
    if ((events & UV_READABLE) && !session->broken && !session->dead)
        orb_sftp_receive(session);
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
    orb_sftp_flush_post(session);
}

/* ---- requests of the session's own ------------------------------------------------------------------ */

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
    orb_sftp_flush_post(session);
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

unsigned orb_sftp_ease(const struct orb_sftp *session)
{
    return session->ease;
}

unsigned orb_sftp_under_way(const struct orb_sftp *session)
{
    return session->under_way;
}
