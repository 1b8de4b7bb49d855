/* SPDX-License-Identifier: Apache-2.0
 * A look at the way to a server, as requests to it go: the addresses of its name, a connection to each, its
 * certificate. For diagnosis; nothing is sent. It blocks: a worker's thread, or one of its own. */
#ifndef ORB_WIRE_REACH_H
#define ORB_WIRE_REACH_H

#include "wire/http.h"

enum { ORB_REACH_ADDRESSES = 16, ORB_REACH_ADDRESS = 64 };

/* The addresses a name has, without those beyond ORB_REACH_ADDRESSES; a literal has itself. */
orbit_status orb_reach_resolve(const char *host, char addresses[][ORB_REACH_ADDRESS], size_t *count,
                               orbit_error *error);

struct orb_reach {
    /* Filled by the caller. */
    const struct orb_http_site *site;
    const char *url;     /* of the server; a path is not looked at */
    const char *address; /* of the name's, to connect to; NULL: the one that requests choose, or the proxy's */
    bool (*stopped)(void *ctx);
    void *ctx;

    char peer[ORB_REACH_ADDRESS + 8]; /* "192.0.2.1:443": whom it was connected to */
    uint64_t connect_ns, tls_ns;      /* how long the connection took, and the handshake behind it (0: none) */
    char subject[160];                /* of its certificate, "" : none */
    int64_t expires_ns;               /* since 1970; 0: not known */
};
/* Connects, and closes. On ORBIT_E_UNTRUSTED the certificate is told all the same. */
orbit_status orb_reach(struct orb_reach *reach, orbit_error *error);

#endif
