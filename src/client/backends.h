/* SPDX-License-Identifier: Apache-2.0
 * Backend handles inside src/client: how they are made, found by scheme, held and closed. */
#ifndef ORB_CLIENT_BACKENDS_H
#define ORB_CLIENT_BACKENDS_H

#include "client/client.h"

/* A scheme of orbit_register(). `ops` is a full-sized copy of the user's table. */
struct orb_registration {
    struct orb_registration *next;
    char *scheme;
    orbit_backend_ops ops;
    void *ctx;
};

/* Opens a backend with `ops`. `request` is complete but for options; `given` is the caller's, checked here.
 * `listed`: the handle is the user's, and closed with the client. Any thread. */
orbit_status orb_backend_open(struct orbit_backend **made, struct orbit_client *client, const orbit_backend_ops *ops,
                              orbit_open_request *request, const orbit_open_options *given, bool listed,
                              orbit_error *error);

/* Stops who uses it, waits for them, closes. Not on the loop. */
void orb_backend_shut(struct orbit_backend *backend);

/* For tasks: users that end when they are asked to. Any thread. */
void orb_backend_hold_stoppable(struct orbit_backend *backend);
void orb_backend_drop_stoppable(struct orbit_backend *backend);

/* Loop thread: asks one running task of `backend` to end; false when all were asked. In task.c. */
bool orb_task_stop_some(struct orbit_client *client, const struct orbit_backend *backend);

/* NULL when no such scheme was registered. Any thread; lives as long as the client. */
const struct orb_registration *orb_client_registration(struct orbit_client *client, const char *scheme);

#endif
