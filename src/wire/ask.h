/* SPDX-License-Identifier: Apache-2.0
 * One small HTTP request that the calling thread waits for: for threads of their own that fetch a few hundred bytes
 * (tokens, credentials). Everything that moves objects goes over wire/http. Never on a loop. */
#ifndef ORB_WIRE_ASK_H
#define ORB_WIRE_ASK_H

#include <stdatomic.h>

#include <orbit/error.h>
#include <orbit/metadata.h>

#include "base/buf.h"

struct orb_ask {
    const char *method, *url; /* the URL may be told in messages: no secret belongs in it */
    const orbit_pair *headers;
    size_t header_count;
    const char *body; /* nullable */
    const char *ca_bundle;
    bool no_verify_tls;
    bool direct; /* never by way of a proxy */
    uint32_t connect_timeout_ms, timeout_ms;
    const _Atomic bool *cancelled; /* nullable; looked at several times a second */
    bool *reached;                 /* nullable; set: whether somebody took the connection, TLS included */
};

/* ORBIT_OK when a reply came, whatever it says: its status, its body (up to `reply`'s cap; more is an error) and
 * its Date as nanoseconds since 1970 (0: none). Redirects are not followed: they would carry tokens away. */
orbit_status orb_ask(const struct orb_ask *ask, struct orb_buf *reply, int *http_status, int64_t *date_ns,
                     orbit_error *error);

#endif
