/* SPDX-License-Identifier: Apache-2.0
 * The life of a stream: launch, notice to its user, end. What it streams is its kind's matter. Messages to the loop
 * keep their order, so that the start is always delivered before the end; those that the user's thread posts are
 * counted, and a stream is gone only when the last of them has arrived. */
#include "stream/stream.h"

static struct orb_stream *stream_of(struct orb_message *message, size_t offset)
{
    return (struct orb_stream *)(void *)((char *)message - offset);
}

static void scope_stopped(void *ctx, orbit_status status)
{
    struct orb_stream *stream = ctx;
    if (!stream->shutting)
        stream->kind->stop(stream, status, NULL);
}

static void shut(struct orb_stream *stream)
{
    if (stream->shutting)
        return;
    stream->shutting = true;
    orb_scope_close(&stream->scope);
    stream->kind->shut(stream);
}

static void holder_stopped(struct orb_holder *holder)
{
    struct orb_stream *stream = stream_of((struct orb_message *)(void *)holder, offsetof(struct orb_stream, holder));
    shut(stream);
}

static void start_delivered(struct orb_message *message)
{
    struct orb_stream *stream = stream_of(message, offsetof(struct orb_stream, start_message));
    orbit_error error;
    orb_backend_join(stream->backend, &stream->holder, holder_stopped);
    orb_backend_drop(stream->backend); /* held since the launch */
    orbit_status status = orb_scope_open(&stream->scope, stream->client->loop, stream->timeout_ms, stream->cancel,
                                         scope_stopped, stream, &error);
    if (status >= 0 && stream->cancel && orbit_cancel_fired(stream->cancel))
        stream->kind->stop(stream, ORBIT_E_CANCELLED, NULL); /* before anything was asked for */
    else if (status >= 0)
        stream->kind->start(stream);
    else
        stream->kind->stop(stream, status, &error);
}

/* Gate held, released here. The stream may be freed when this returns. */
static void leave_locked(struct orb_stream *stream)
{
    bool abandoned = stream->abandoned;
    stream->gone = true;
    orb_gate_signal(&stream->gate);
    orb_gate_unlock(&stream->gate);
    if (abandoned) {
        orb_gate_release(&stream->gate);
        stream->kind->release(stream);
    }
}

bool orb_stream_post_locked(struct orb_stream *stream, struct orb_message *message)
{
    if (stream->leaving || stream->gone)
        return false;
    stream->posted++;
    orb_loop_post(stream->client->loop, message);
    return true;
}

bool orb_stream_arrived(struct orb_stream *stream)
{
    orb_gate_lock(&stream->gate);
    stream->posted--;
    bool leaving = stream->leaving;
    if (leaving && !stream->posted)
        leave_locked(stream);
    else
        orb_gate_unlock(&stream->gate);
    return !leaving;
}

static void shut_delivered(struct orb_message *message)
{
    struct orb_stream *stream = stream_of(message, offsetof(struct orb_stream, shut_message));
    if (orb_stream_arrived(stream))
        shut(stream);
}

static void ready_delivered(struct orb_message *message)
{
    struct orb_stream *stream = stream_of(message, offsetof(struct orb_stream, ready_message));
    if (!orb_stream_arrived(stream))
        return;
    orb_gate_lock(&stream->gate);
    stream->ready_posted = false;
    void (*ready)(void *) = stream->shutting && stream->abandoned ? NULL : stream->ready;
    void *ctx = stream->ready_ctx;
    orb_gate_unlock(&stream->gate);
    if (ready)
        ready(ctx); /* may close the stream */
}

void orb_stream_init(struct orb_stream *stream, const struct orb_stream_kind *kind, struct orbit_backend *backend)
{
    stream->kind = kind;
    stream->backend = backend;
    stream->client = backend->client;
    stream->tally.whole = &backend->client->host.tally;
    stream->start_message.deliver = start_delivered;
    stream->shut_message.deliver = shut_delivered;
    stream->ready_message.deliver = ready_delivered;
    orb_gate_init(&stream->gate, backend->client);
}

void orb_stream_launch(struct orb_stream *stream)
{
    orb_backend_hold(stream->backend);
    orb_loop_post(stream->client->loop, &stream->start_message);
}

orbit_status orb_stream_check(struct orb_stream *stream, const char *what, bool blocking, orbit_error *error)
{
    orb_gate_lock(&stream->gate);
    bool gone = stream->gone;
    orb_gate_unlock(&stream->gate);
    return gone ? ORBIT_OK : orb_client_check(stream->client, what, blocking, error);
}

void orb_stream_notify(struct orb_stream *stream)
{
    orb_gate_lock(&stream->gate);
    if (stream->ready_wanted && stream->ready) {
        stream->ready_wanted = false;
        if (!stream->ready_posted)
            stream->ready_posted = orb_stream_post_locked(stream, &stream->ready_message);
    }
    orb_gate_signal(&stream->gate);
    orb_gate_unlock(&stream->gate);
}

void orb_stream_gone(struct orb_stream *stream)
{
    orb_backend_leave(&stream->holder); /* before anybody may free the stream */
    orb_gate_lock(&stream->gate);
    stream->leaving = true;
    if (stream->posted)
        orb_gate_unlock(&stream->gate); /* the last of them finds it leaving */
    else
        leave_locked(stream);
}

void orb_stream_close(struct orb_stream *stream)
{
    if (orb_stream_check(stream, "close", false, NULL) < 0)
        return; /* a forked child: it is the parent's */
    orb_gate_lock(&stream->gate);
    if (!stream->gone && orb_loop_is_current(stream->client->loop)) {
        stream->abandoned = true;
        orb_gate_unlock(&stream->gate);
        shut(stream);
        return;
    }
    orb_stream_post_locked(stream, &stream->shut_message);
    while (!stream->gone)
        orb_gate_wait(&stream->gate);
    orb_gate_unlock(&stream->gate);
    orb_gate_release(&stream->gate);
    stream->kind->release(stream);
}
