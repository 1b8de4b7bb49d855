/* SPDX-License-Identifier: Apache-2.0
 * Cancel tokens and scopes. A token is a flag and an eventfd that is never read; each loop that has scopes of
 * the token polls a duplicate of it, so the token may be freed while the loop still closes its handle.
 * Scopes and watches: loop thread only; the list of watches of a token is under its mutex. */
#include "engine/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

/* One token on one loop. Lives while it has scopes, and until libuv has closed its handle. */
struct orb_watch {
    uv_poll_t poll;
    orbit_cancel *cancel;
    struct orb_loop *loop;
    struct orb_watch *next; /* cancel->watches */
    struct orb_scope *scopes;
    int fd;
};

struct orbit_cancel {
    _Atomic bool fired;
    int fd;
    pid_t pid; /* a forked child shares the eventfd, but must not stop its parent's calls */
    pthread_mutex_t mutex;
    struct orb_watch *watches; /* by mutex */
};

_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "firing a token from a signal handler needs lock-free flags");

/* ---- tokens -------------------------------------------------------------------------------------- */

orbit_cancel *orbit_cancel_new(void)
{
    orbit_cancel *cancel = orb_calloc(1, sizeof(*cancel));
    if (!cancel)
        return NULL;
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->fd < 0) {
        orb_free(cancel);
        return NULL;
    }
    cancel->pid = getpid();
    pthread_mutex_init(&cancel->mutex, NULL);
    return cancel;
}

/* Async-signal-safe: an atomic store and a write. */
void orbit_cancel_fire(orbit_cancel *cancel)
{
    if (!cancel || atomic_exchange(&cancel->fired, true) || cancel->pid != getpid())
        return;
    int kept = errno;
    uint64_t one = 1;
    /* The counter starts at 0 and is written once: it cannot be full. */
    ssize_t written = write(cancel->fd, &one, sizeof(one));
    (void)written;
    errno = kept;
}

bool orbit_cancel_fired(const orbit_cancel *cancel)
{
    return cancel && atomic_load(&cancel->fired);
}

void orbit_cancel_free(orbit_cancel *cancel)
{
    if (!cancel)
        return;
    close(cancel->fd);
    pthread_mutex_destroy(&cancel->mutex);
    orb_free(cancel);
}

/* ---- watches ------------------------------------------------------------------------------------- */

static void watch_closed(uv_handle_t *handle)
{
    struct orb_watch *watch = handle->data;
    close(watch->fd);
    orb_free(watch);
}

/* Takes the scope off its watch; a watch without scopes is closed. Touches the token only while the scope
 * still counts as open, so the token may be freed right afterwards. */
static void scope_leave(struct orb_scope *scope)
{
    struct orb_watch *watch = scope->watch;
    if (!watch)
        return;
    scope->watch = NULL;
    *scope->link = scope->next;
    if (scope->next)
        scope->next->link = scope->link;
    scope->next = NULL;
    scope->link = NULL;
    if (watch->scopes)
        return;

    orbit_cancel *cancel = watch->cancel;
    pthread_mutex_lock(&cancel->mutex);
    struct orb_watch **place = &cancel->watches;
    while (*place != watch)
        place = &(*place)->next;
    *place = watch->next;
    pthread_mutex_unlock(&cancel->mutex);
    watch->cancel = NULL;
    uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static void scope_stop(struct orb_scope *scope, orbit_status status)
{
    scope_leave(scope);
    orb_timer_cancel(scope->timer);
    scope->timer = NULL;
    scope->stopped = true;
    scope->stop(scope->ctx, status);
}

static void watch_fired(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct orb_watch *watch = poll->data;
    /* The descriptor stays readable for ever. Scopes that open from now on see the flag instead. After the
     * last scope left, libuv keeps the watch until this callback has returned. */
    uv_poll_stop(poll);
    while (watch->scopes)
        scope_stop(watch->scopes, ORBIT_E_CANCELLED);
}

static orbit_status watch_new(struct orb_watch **made, orbit_cancel *cancel, struct orb_loop *loop, orbit_error *error)
{
    struct orb_watch *watch = orb_calloc(1, sizeof(*watch));
    if (!watch)
        return orb_fail_memory(error);
    watch->cancel = cancel;
    watch->loop = loop;
    watch->fd = fcntl(cancel->fd, F_DUPFD_CLOEXEC, 0);
    if (watch->fd < 0) {
        orbit_status status = orb_fail_errno(error, errno, "cannot watch a cancel token");
        orb_free(watch);
        return status;
    }
    int failed = uv_poll_init(orb_loop_uv(loop), &watch->poll, watch->fd);
    if (failed) {
        close(watch->fd);
        orb_free(watch);
        return orb_fail_errno(error, -failed, "cannot watch a cancel token");
    }
    watch->poll.data = watch;
    failed = uv_poll_start(&watch->poll, UV_READABLE, watch_fired);
    if (failed) {
        uv_close((uv_handle_t *)&watch->poll, watch_closed);
        return orb_fail_errno(error, -failed, "cannot watch a cancel token");
    }
    /* libuv tells epoll of the descriptor in its next turn only, and on an external loop that must be soon. */
    orb_loop_wake(loop);
    *made = watch;
    return ORBIT_OK;
}

static orbit_status scope_enter(struct orb_scope *scope, orbit_cancel *cancel, orbit_error *error)
{
    pthread_mutex_lock(&cancel->mutex);
    struct orb_watch *watch = cancel->watches;
    while (watch && watch->loop != scope->loop)
        watch = watch->next;
    orbit_status status = ORBIT_OK;
    if (!watch) {
        status = watch_new(&watch, cancel, scope->loop, error);
        if (status >= 0) {
            watch->next = cancel->watches;
            cancel->watches = watch;
        }
    }
    pthread_mutex_unlock(&cancel->mutex);
    if (status < 0)
        return status;

    scope->watch = watch;
    scope->next = watch->scopes;
    scope->link = &watch->scopes;
    if (scope->next)
        scope->next->link = &scope->next;
    watch->scopes = scope;
    return ORBIT_OK;
}

/* ---- scopes -------------------------------------------------------------------------------------- */

static void timer_fired(void *ctx)
{
    struct orb_scope *scope = ctx;
    scope->timer = NULL;
    scope_stop(scope, scope->at_once ? ORBIT_E_CANCELLED : ORBIT_E_TIMEOUT);
}

orbit_status orb_scope_open(struct orb_scope *scope, struct orb_loop *loop, uint32_t timeout_ms, orbit_cancel *cancel,
                            void (*stop)(void *ctx, orbit_status status), void *ctx, orbit_error *error)
{
    *scope = (struct orb_scope){.loop = loop, .cancel = cancel, .stop = stop, .ctx = ctx, .timeout_ms = timeout_ms};
    /* A token that fires between this look and the watch finds the watch: the flag is set before the write. */
    scope->at_once = orbit_cancel_fired(cancel);
    if (scope->at_once || timeout_ms) {
        scope->timer = orb_timer_start(loop, scope->at_once ? 0 : timeout_ms, timer_fired, scope);
        if (!scope->timer)
            return orb_fail_memory(error);
    }
    if (cancel && !scope->at_once) {
        orbit_status status = scope_enter(scope, cancel, error);
        if (status < 0) {
            orb_timer_cancel(scope->timer);
            scope->timer = NULL;
            return status;
        }
    }
    scope->open = true;
    return ORBIT_OK;
}

void orb_scope_close(struct orb_scope *scope)
{
    if (!scope->open)
        return;
    scope->open = false;
    orb_timer_cancel(scope->timer);
    scope->timer = NULL;
    scope_leave(scope);
}
