/* SPDX-License-Identifier: Apache-2.0
 * Watching a descriptor on a loop: sockets and pipes that no library drives for us. Loop thread only. */
#ifndef ORB_RUN_WATCH_H
#define ORB_RUN_WATCH_H

#include "run/loop.h"

struct orb_watch;

/* `fire` is told which of UV_READABLE, UV_WRITABLE (and UV_DISCONNECT, when it was asked for) hold, again and again
 * while they do; a descriptor that failed is told as everything that was asked for: its next use says why. NULL when
 * memory is out, or for what cannot be polled. One watch a descriptor, which stays its owner's. */
struct orb_watch *orb_watch_start(struct orb_loop *loop, int fd, int events, void (*fire)(void *ctx, int events),
                                  void *ctx);
/* 0 rests. */
void orb_watch_change(struct orb_watch *watch, int events);
/* It does not fire again; the descriptor may be closed at once. NULL is fine. Before the loop is freed. */
void orb_watch_stop(struct orb_watch *watch);

#endif
