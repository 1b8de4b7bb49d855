/* SPDX-License-Identifier: Apache-2.0
 * uv_poll_t with the lifetime of our timers: on the heap, gone after stop. Loop thread only. */
#include "run/watch.h"

#include "base/mem.h"

struct orb_watch {
    uv_poll_t handle;
    int events;
    void (*fire)(void *ctx, int events);
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    orb_free(handle->data);
}

static void on_events(uv_poll_t *handle, int status, int events)
{
    struct orb_watch *watch = handle->data;
    if (status < 0) { /* libuv tells of that once, and rests; what came before the failure may still be unread */
        events = watch->events;
        (void)uv_poll_start(handle, events, on_events);
    }
    watch->fire(watch->ctx, events);
}

struct orb_watch *orb_watch_start(struct orb_loop *loop, int fd, int events, void (*fire)(void *ctx, int events),
                                  void *ctx)
{
    struct orb_watch *watch = orb_malloc(sizeof(*watch));
    if (!watch)
        return NULL;
    if (uv_poll_init(orb_loop_uv(loop), &watch->handle, fd) != 0) {
        orb_free(watch);
        return NULL;
    }
    watch->handle.data = watch;
    watch->fire = fire;
    watch->ctx = ctx;
    watch->events = 0;
    orb_watch_change(watch, events);
    return watch;
}

void orb_watch_change(struct orb_watch *watch, int events)
{
    if (watch->events == events)
        return;
    watch->events = events;
    if (events)
        (void)uv_poll_start(&watch->handle, events, on_events);
    else
        (void)uv_poll_stop(&watch->handle);
}

void orb_watch_stop(struct orb_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->handle, on_closed);
}
