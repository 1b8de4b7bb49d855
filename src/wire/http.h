/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 requests by libcurl, spread over the client's lanes. A request is started and cancelled on the main loop;
 * from start until done a lane owns it with its body, its sink and what its events touch; done is told on the main
 * loop. Any number at the same time; each lane keeps its own connections. */
#ifndef ORB_WIRE_HTTP_H
#define ORB_WIRE_HTTP_H

#include <stdatomic.h>

#include <orbit/backend_ops.h>

#include "base/buf.h"
#include "base/log.h"
#include "run/lanes.h"
#include "run/loop.h"

struct orb_http;
struct orb_http_request;

/* `main_loop` is where done is told. Initialises libcurl for the process when nobody has. Any thread. */
orbit_status orb_http_new(struct orb_http **http, struct orb_lanes *lanes, struct orb_loop *main_loop,
                          struct orb_log *log, orbit_error *error);
/* Closes all connections; no request is under way. What is left to do is done by the loops of the lanes, at the
 * latest when they are freed. NULL is fine. */
void orb_http_free(struct orb_http *http);

/* What the requests to one site have in common. Outlives them. */
struct orb_http_site {
    const char *ca_bundle; /* nullable */
    bool no_verify_tls;
    const char *client_cert, *client_key; /* PEM files; nullable. NULL key: it is in the certificate's file */
    const char *unix_socket;              /* nullable: connects to this path and not to the URL's host */
    const char *proxy, *no_proxy; /* as the environment names them; proxy "": none, NULL: curl asks the environment */
    uint32_t connect_timeout_ms;
    uint32_t first_byte_timeout_ms;
    uint32_t stall_timeout_ms; /* below 1 KiB/s */
};

/* Takes proxy and no_proxy from the environment, borrowed from it. The caller's thread: getenv() is not for others. */
void orb_http_site_proxy(struct orb_http_site *site, bool secure);

/* Where the body of a reply goes. */
enum orb_http_take {
    ORB_HTTP_MEMORY = 0, /* request->memory, up to its cap; what is beyond is dropped */
    ORB_HTTP_SINK,
    ORB_HTTP_FEED,
};

struct orb_http_events {
    /* Lane. A header of the final reply; `name` is in lower case, `value` is trimmed. Nullable. */
    void (*header)(struct orb_http_request *request, const char *name, const char *value);
    /* Lane. All headers are there, http_status too: says where the body goes. A negative status ends the
     * request with it, request->error filled. Nullable: memory. */
    orbit_status (*head)(struct orb_http_request *request, enum orb_http_take *take);
    /* Lane. Bytes of a body taken by ORB_HTTP_FEED; as head. */
    orbit_status (*feed)(struct orb_http_request *request, const void *bytes, size_t length);
    /* Lane. Bytes of the body on their way out, in order, and that they begin anew. Nullable. */
    void (*sending)(struct orb_http_request *request, const void *bytes, size_t length);
    void (*rewound)(struct orb_http_request *request);
    /* Lane, several times a second. Nothing went to or fro since then, though it is the server's turn; 0: something
     * did, or the body or the sink is what is waited for. Nullable. */
    void (*silent)(struct orb_http_request *request, uint64_t since_ns);
    /* Main loop, exactly once, never from inside start. The request may be started again or freed in it. */
    void (*done)(struct orb_http_request *request);
};

struct orb_http_request {
    /* The caller fills these, zeroed before, and leaves them alone until done. Strings are borrowed. */
    const struct orb_http_events *events;
    const char *request_id; /* nullable: where the owner keeps what the server called it, for the log */
    const struct orb_http_site *site;
    const char *method;
    const char *url;
    struct orb_buf headers; /* lines for orb_http_header() */
    orbit_body *body;       /* nullable; `length` of it is what is sent */
    orbit_sink *sink;       /* nullable */
    uint64_t sink_skip;     /* so many bytes are dropped before the sink gets any; head may set it, and sink_max */
    uint64_t sink_max;      /* more than this many bytes are not taken: the request ends well with `enough` set */
    struct orb_buf memory;  /* initialised with its cap by the caller */
    bool large;             /* more than a few KiB will flow: spread over lanes, with larger buffers */
    bool expect;            /* ask before sending the body (Expect: 100-continue) */
    bool once;    /* must not go out twice: curl would send it again when a resting connection turns out dead */
    bool patient; /* the reply may take long: any byte within first_byte_timeout_ms is life */
    uint32_t first_byte_timeout_ms; /* 0: the site's */

    /* The result, from done on. http_status may be there with a negative status. */
    orbit_status status;
    orbit_error error;
    int http_status; /* 0: none came */
    bool enough;
    bool sent_all;           /* the whole request left for the store, so it may have taken effect */
    uint64_t received, sent; /* bytes of bodies */

    /* Private. */
    struct orb_http *http;
    struct orb_http_lane *lane;
    struct orb_http_easy *easy; /* the lane's handle while the request is on it */
    struct orb_message start_message, control_message, done_message;
    _Atomic unsigned control;
    unsigned weight;
    struct orb_http_request *next, **link; /* the lane's */
    struct orb_http_request *dirty_next;
    void *header_list; /* curl_slist nodes over `headers` */
    uint8_t *room;     /* lent by the sink */
    size_t room_length, filled, skip;
    enum orb_http_take take;
    bool paused, dirty, head_seen, connected, cancelled, body_ended;
    bool starved; /* peek said ORBIT_AGAIN and no resume has come since */
    /* The resting connection was none to use, so nothing was sent: it goes on a new one, which `fresh` says. */
    bool spoilt, fresh;
    int socket; /* the connection's descriptor, from when curl has it watched; -1 */
    int held;   /* the connection's descriptor while it is paused; -1 */
    uint64_t started_ns, mark_ns, mark_bytes, dropped, header_bytes;
    uint64_t life, life_ns; /* what had happened at the last tick, and when that was another than before */
};

/* Before anything else on zeroed memory: resume and cancel do nothing until start. */
void orb_http_init(struct orb_http_request *request);
/* Adds a header line. False when memory is out, or when the value holds a control character: then
 * headers.failed is set as well. */
bool orb_http_header(struct orb_http_request *request, const char *name, const char *value);

/* Main loop. On failure nothing was started and done does not come. */
orbit_status orb_http_start(struct orb_http *http, struct orb_http_request *request, orbit_error *error);
/* Main loop, between start and done: end soon with ORBIT_E_CANCELLED. */
void orb_http_cancel(struct orb_http_request *request);
/* Any thread, while the request's memory lives: its body or its sink has something again. */
void orb_http_resume(struct orb_http_request *request);

/* A body that lies in memory. */
struct orb_http_bytes {
    orbit_body body; /* first */
    const char *bytes;
    uint64_t at;
};
void orb_http_bytes_init(struct orb_http_bytes *bytes, const void *from, size_t length);

#endif
