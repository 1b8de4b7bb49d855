/* SPDX-License-Identifier: Apache-2.0
 * The host and single operations by hand: starting, cancelling, waiting, sinks and bodies in memory. The whole
 * operations are in ophost_ops.c. */
#include "support/ophost.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

#define HANG_SECONDS 60

/* The harness is not what is under test: when it cannot go on, the program ends. */
static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "ophost: %s\n", what);
    abort();
}

static void must(orbit_status status, const orbit_error *error)
{
    if (status < 0)
        give_up(error->message);
}

/* ---- host ------------------------------------------------------------------------------------------ */

static void on_log(void *ctx, orbit_log_level level, const char *line)
{
    (void)level;
    struct ophost *host = ctx;
    pthread_mutex_lock(&host->mutex);
    snprintf(host->lines[host->line_count++ % 64], sizeof(host->lines[0]), "%s", line);
    pthread_mutex_unlock(&host->mutex);
}

bool ophost_logged(struct ophost *host, const char *text)
{
    bool found = false;
    pthread_mutex_lock(&host->mutex);
    for (unsigned i = 0; i < 64; i++)
        found = found || strstr(host->lines[i], text);
    pthread_mutex_unlock(&host->mutex);
    return found;
}

void ophost_open(struct ophost *host, unsigned lanes)
{
    orbit_error error = {0};
    memset(host, 0, sizeof(*host));
    pthread_mutex_init(&host->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&host->cond, &attr);
    pthread_condattr_destroy(&attr);

    struct orbit_host *inner = &host->host;
    must(orb_loop_new(&inner->loop, "ophost", false, &error), &error);
    must(orb_loop_start(inner->loop, &error), &error);
    must(orb_pool_new(&inner->pool, 3, &error), &error);
    must(orb_lanes_new(&inner->lanes, lanes, inner->loop, &error), &error);
    orbit_log log = {on_log, host, ORBIT_LOG_TRACE};
    orb_log_init(&inner->log, &log);
    orb_budget_init(&inner->budget, ORB_BUDGET_DEFAULT);
    pthread_mutex_init(&inner->attach_mutex, NULL);
}

void ophost_close(struct ophost *host)
{
    struct orbit_host *inner = &host->host;
    orb_host_detach_all(inner);
    orb_pool_free(inner->pool);
    orb_lanes_free(inner->lanes);
    orb_loop_free(inner->loop);
    pthread_mutex_destroy(&inner->attach_mutex);
    orb_log_release(&inner->log);
    pthread_mutex_destroy(&host->mutex);
    pthread_cond_destroy(&host->cond);
    orb_buffer_trim();
}

/* Mutex held. */
static void wait_or_give_up(struct ophost *host, const char *what)
{
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += HANG_SECONDS;
    if (pthread_cond_timedwait(&host->cond, &host->mutex, &limit) == ETIMEDOUT)
        give_up(what);
}

struct on_loop {
    struct orb_message message;
    struct ophost *host;
    void (*function)(void *ctx);
    void *ctx;
    bool done;
};

static void deliver_on_loop(struct orb_message *message)
{
    struct on_loop *call = (struct on_loop *)(void *)message;
    call->function(call->ctx);
    pthread_mutex_lock(&call->host->mutex);
    call->done = true;
    pthread_cond_broadcast(&call->host->cond);
    pthread_mutex_unlock(&call->host->mutex);
}

void ophost_on_loop(struct ophost *host, void (*function)(void *ctx), void *ctx)
{
    struct on_loop call = {{NULL, deliver_on_loop}, host, function, ctx, false};
    orb_loop_post(host->host.loop, &call.message);
    pthread_mutex_lock(&host->mutex);
    while (!call.done)
        wait_or_give_up(host, "the loop does not answer");
    pthread_mutex_unlock(&host->mutex);
}

/* ---- backend --------------------------------------------------------------------------------------- */

static void fill_defaults(struct orb_backend *backend)
{
    orbit_capabilities *caps = &backend->caps;
    if (!caps->remove_batch)
        caps->remove_batch = 1;
    if (!caps->chunk_default)
        caps->chunk_default = 8u << 20;
    if (!caps->parallel_default)
        caps->parallel_default = 8;
    if (!caps->page_entries)
        caps->page_entries = 1000;
}

struct orb_backend *ophost_backend(struct ophost *host, const orbit_backend_ops *ops, const char *authority,
                                   const char *path, void *ctx, const char *settings, const void *config,
                                   orbit_error *error)
{
    struct orb_backend *backend = calloc(1, sizeof(*backend));
    orbit_pair pairs[32];
    size_t count = 0;
    char *text = strdup(settings ? settings : ""), *rest = text;
    char url[512];

    for (char *piece = strsep(&rest, "&"); piece; piece = strsep(&rest, "&")) {
        char *equals = strchr(piece, '=');
        if (!equals || count == 32)
            continue;
        *equals = '\0';
        pairs[count++] = (orbit_pair){piece, equals + 1};
    }
    snprintf(url, sizeof(url), "%s://%s%s%s", ops->name, authority, *path ? "/" : "", path);
    backend->ops = ops;
    backend->host = &host->host;
    backend->options = (orbit_open_options)ORBIT_OPEN_OPTIONS_INIT;
    backend->url = strdup(url);
    backend->caps.size = sizeof(backend->caps);
    orbit_open_request request = {.url = url,
                                  .authority = authority,
                                  .path = path,
                                  .settings = pairs,
                                  .setting_count = count,
                                  .options = &backend->options,
                                  .config = config,
                                  .ctx = ctx};
    orbit_status status = ops->open(&backend->self, &host->host, &request, &backend->caps, error);
    free(text);
    if (status < 0) {
        free(backend->url);
        free(backend);
        return NULL;
    }
    fill_defaults(backend);
    return backend;
}

static void start_close(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    (void)call;
    ops->close(self, op);
}

void ophost_backend_close(struct orb_backend *backend)
{
    if (!backend)
        return;
    if (backend->ops->close) {
        struct ophost_call call = {.start = start_close};
        ophost_start(&call, backend);
        ophost_wait(&call, NULL);
    }
    free(backend->url);
    free(backend);
}

/* ---- one operation --------------------------------------------------------------------------------- */

static void on_done(struct orb_op *op)
{
    struct ophost_call *call = (struct ophost_call *)(void *)((char *)op - offsetof(struct ophost_call, op));
    pthread_mutex_lock(&call->host->mutex);
    call->done_count++;
    pthread_cond_broadcast(&call->host->cond);
    pthread_mutex_unlock(&call->host->mutex);
}

static void on_head(struct orb_op *op)
{
    struct ophost_call *call = (struct ophost_call *)(void *)((char *)op - offsetof(struct ophost_call, op));
    pthread_mutex_lock(&call->host->mutex);
    call->head_count++;
    pthread_mutex_unlock(&call->host->mutex);
}

static void deliver_start(struct orb_message *message)
{
    struct ophost_call *call =
        (struct ophost_call *)(void *)((char *)message - offsetof(struct ophost_call, start_message));
    struct orb_backend *backend = call->op.backend;
    call->op.on_head = on_head;
    orb_op_begin(&call->op, backend, on_done);
    call->start(call, backend->self, backend->ops, &call->op.op);
}

static void deliver_cancel(struct orb_message *message)
{
    struct ophost_call *call =
        (struct ophost_call *)(void *)((char *)message - offsetof(struct ophost_call, cancel_message));
    orb_op_cancel(&call->op);
    pthread_mutex_lock(&call->host->mutex);
    call->resumes_pending--;
    pthread_cond_broadcast(&call->host->cond);
    pthread_mutex_unlock(&call->host->mutex);
}

void ophost_start(struct ophost_call *call, struct orb_backend *backend)
{
    call->host = (struct ophost *)(void *)((char *)backend->host - offsetof(struct ophost, host));
    call->op.backend = backend;
    call->done_count = 0;
    call->head_count = 0;
    call->resumes_pending = 0;
    call->start_message = (struct orb_message){NULL, deliver_start};
    orb_loop_post(backend->host->loop, &call->start_message);
}

void ophost_cancel(struct ophost_call *call)
{
    pthread_mutex_lock(&call->host->mutex);
    call->resumes_pending++; /* the call is not over before this message was delivered */
    pthread_mutex_unlock(&call->host->mutex);
    call->cancel_message = (struct orb_message){NULL, deliver_cancel};
    orb_loop_post(call->host->host.loop, &call->cancel_message);
}

bool ophost_is_done(struct ophost_call *call)
{
    pthread_mutex_lock(&call->host->mutex);
    bool done = call->done_count > 0;
    pthread_mutex_unlock(&call->host->mutex);
    return done;
}

orbit_status ophost_wait(struct ophost_call *call, orbit_error *error)
{
    struct ophost *host = call->host;
    pthread_mutex_lock(&host->mutex);
    while (!call->done_count || call->resumes_pending)
        wait_or_give_up(host, "an operation did not end");
    unsigned dones = call->done_count;
    pthread_mutex_unlock(&host->mutex);
    if (dones != 1)
        give_up("an operation ended more than once");
    if (error && call->op.status < 0)
        *error = call->op.error;
    return call->op.status;
}

/* ---- sinks and bodies ------------------------------------------------------------------------------ */

/* Resumes the operation from the loop, a message later than the ask that found nothing. */
static void resume(struct ophost_call *call)
{
    if (call->op.running && call->op.op.resume)
        call->op.op.resume(&call->op.op);
    pthread_mutex_lock(&call->host->mutex);
    call->resumes_pending--;
    pthread_cond_broadcast(&call->host->cond);
    pthread_mutex_unlock(&call->host->mutex);
}

static bool starve(struct ophost_call *call, unsigned every, unsigned *asks, struct orb_message *message)
{
    if (!every || ++*asks % every)
        return false;
    if (!call->op.op.resume)
        give_up("acquire or peek was called before op->resume was set");
    pthread_mutex_lock(&call->host->mutex);
    call->resumes_pending++;
    pthread_mutex_unlock(&call->host->mutex);
    orb_loop_post(call->host->host.loop, message);
    return true;
}

static void deliver_sink_resume(struct orb_message *message)
{
    resume(((struct ophost_sink *)(void *)((char *)message - offsetof(struct ophost_sink, resume_message)))->call);
}

static void *sink_acquire(orbit_sink *base, size_t want, size_t *room)
{
    struct ophost_sink *sink = (struct ophost_sink *)(void *)base;
    if (sink->lent)
        give_up("a sink was asked for room twice without a commit");
    if (starve(sink->call, sink->starve_every, &sink->asks, &sink->resume_message))
        return NULL;
    size_t lend = sink->window;
    if (want && want < lend)
        lend = want;
    if (lend > sink->room - sink->length) {
        size_t grown = (sink->room + lend) * 2;
        if (sink->length + lend > sink->max)
            give_up("a read delivers more than the test allows");
        sink->bytes = realloc(sink->bytes, grown + 1);
        if (!sink->bytes)
            give_up("out of memory");
        sink->room = grown;
    }
    *room = lend;
    sink->lent = lend;
    return sink->bytes + sink->length;
}

static orbit_status sink_commit(orbit_sink *base, size_t length)
{
    struct ophost_sink *sink = (struct ophost_sink *)(void *)base;
    if (length > sink->lent)
        give_up("a commit of more than was lent");
    sink->lent = 0;
    sink->length += length;
    sink->bytes[sink->length] = '\0';
    return sink->fail_at && sink->length >= sink->fail_at ? ORBIT_E_IO : ORBIT_OK;
}

void ophost_sink_init(struct ophost_sink *sink, struct ophost_call *call)
{
    *sink = (struct ophost_sink){.sink = {sink_acquire, sink_commit, NULL},
                                 .call = call,
                                 .bytes = calloc(1, 1),
                                 .max = (size_t)256 << 20,
                                 .window = (size_t)64 << 10,
                                 .resume_message = {NULL, deliver_sink_resume}};
}

void ophost_sink_release(struct ophost_sink *sink)
{
    free(sink->bytes);
    sink->bytes = NULL;
}

static void deliver_body_resume(struct orb_message *message)
{
    resume(((struct ophost_body *)(void *)((char *)message - offsetof(struct ophost_body, resume_message)))->call);
}

static orbit_status body_peek(orbit_body *base, const void **data, size_t *length)
{
    struct ophost_body *body = (struct ophost_body *)(void *)base;
    if (body->fail_at && body->at >= body->fail_at)
        return ORBIT_E_IO;
    if (body->at == body->length)
        return ORBIT_END;
    if (starve(body->call, body->starve_every, &body->asks, &body->resume_message))
        return ORBIT_AGAIN;
    *data = body->bytes + body->at;
    *length = body->length - body->at < body->window ? body->length - body->at : body->window;
    return ORBIT_OK;
}

static void body_consume(orbit_body *base, size_t length)
{
    struct ophost_body *body = (struct ophost_body *)(void *)base;
    if (length > body->length - body->at)
        give_up("more was consumed than the body has");
    body->at += length;
}

static orbit_status body_rewind(orbit_body *base)
{
    struct ophost_body *body = (struct ophost_body *)(void *)base;
    if (body->no_rewind)
        return ORBIT_E_UNSUPPORTED;
    body->at = 0;
    return ORBIT_OK;
}

void ophost_body_init(struct ophost_body *body, struct ophost_call *call, const void *bytes, size_t length)
{
    *body = (struct ophost_body){.body = {body_peek, body_consume, body_rewind, length, bytes, NULL},
                                 .call = call,
                                 .bytes = bytes,
                                 .length = length,
                                 .window = (size_t)64 << 10,
                                 .resume_message = {NULL, deliver_body_resume}};
}
