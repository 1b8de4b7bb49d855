/* SPDX-License-Identifier: Apache-2.0
 * What readers and listers have in common: they begin on the loop, are ended by their user, a cancel token, a time
 * limit or the closing of their backend, and meet their user at one gate. A body embeds orb_stream first. */
#ifndef ORB_STREAM_STREAM_H
#define ORB_STREAM_STREAM_H

#include "client/client.h"
#include "engine/scope.h"

struct orb_stream;

struct orb_stream_kind {
    /* Loop thread, at most once: begins. */
    void (*start)(struct orb_stream *stream);
    /* Loop thread: fails it now, also before the start; the first time counts. `error` nullable. */
    void (*stop)(struct orb_stream *stream, orbit_status status, const orbit_error *error);
    /* Loop thread, once, the last of the three: ends what is in flight, then calls orb_stream_gone(), now or later. */
    void (*shut)(struct orb_stream *stream);
    /* Any thread, after orb_stream_gone() and the user's close: frees the body and what it holds. */
    void (*release)(struct orb_stream *stream);
};

struct orb_stream {
    const struct orb_stream_kind *kind;
    struct orbit_client *client; /* not to be touched once it is gone */
    struct orbit_backend *backend;
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    void (*ready)(void *ctx); /* the user's; nullable */
    void *ready_ctx;

    struct orb_tally tally; /* of its requests */

    /* Loop. */
    struct orb_holder holder;
    struct orb_scope scope;
    bool shutting;
    struct orb_message start_message, shut_message, ready_message;

    struct orb_gate gate;
    bool gone;         /* gate: nothing of it is left on the loop */
    bool abandoned;    /* gate: closed on the loop's thread, frees itself */
    bool ready_wanted; /* gate: ORBIT_AGAIN was said */
    bool ready_posted; /* gate */
    uint32_t posted;   /* gate: messages on their way to the loop */
    bool leaving;      /* gate: gone but for those messages */
};

/* Any thread. The body is zeroed; timeout_ms, cancel, ready may be set before the launch. */
void orb_stream_init(struct orb_stream *stream, const struct orb_stream_kind *kind, struct orbit_backend *backend);
void orb_stream_launch(struct orb_stream *stream);
/* May the user call this now? With `blocking`: wait here? Looks at the client only while it is there. */
orbit_status orb_stream_check(struct orb_stream *stream, const char *what, bool blocking, orbit_error *error);
/* Any thread: there is news for the user. Takes the gate. */
void orb_stream_notify(struct orb_stream *stream);
/* Any thread, gate held: posts a message of the stream to the loop; false when it is too late for any. Its delivery
 * begins with orb_stream_arrived(), and ends there when that says false: the stream may be freed then. */
bool orb_stream_post_locked(struct orb_stream *stream, struct orb_message *message);
bool orb_stream_arrived(struct orb_stream *stream);
/* Loop: the answer to shut(). The stream may be freed when it returns. */
void orb_stream_gone(struct orb_stream *stream);
/* The user's close. */
void orb_stream_close(struct orb_stream *stream);

#endif
