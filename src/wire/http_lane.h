/* SPDX-License-Identifier: Apache-2.0
 * The inside of wire/http: one lane, its curl multi and its handles. Everything here is the lane's thread's,
 * but for `load`. */
#ifndef ORB_WIRE_HTTP_LANE_H
#define ORB_WIRE_HTTP_LANE_H

#include "wire/curl.h"
#include "wire/http.h"

enum { ORB_HTTP_IDLE_MAX = 16 };

/* A reusable curl handle. */
struct orb_http_easy {
    CURL *curl;
    char text[CURL_ERROR_SIZE];
};

/* A connection of curl's, in use or resting. */
struct orb_http_socket {
    int fd;
    uint16_t port; /* of our end; 0: not known (yet) */
    bool is_local; /* a Unix socket: it has none */
};

struct orb_http_lane {
    struct orb_http *http;
    struct orb_loop *loop; /* NULL until used; main loop only */
    unsigned load;         /* main loop only: weights of the requests under way */

    CURLM *multi;
    CURLSH *share;
    int poll_fd; /* our own epoll: libuv's would drop and add a descriptor with every change */
    uv_poll_t poll;
    uv_timer_t timer; /* curl's */
    uv_timer_t tick;  /* ours, each second while something is under way */
    bool open, timer_due;
    unsigned handles;  /* uv handles not yet closed */
    uint8_t *interest; /* by descriptor: what poll_fd watches; IN 1, OUT 2, 4 known */
    size_t interest_count;
    struct orb_http_socket *sockets; /* those that are open, in no order */
    size_t socket_count, socket_room;
    struct orb_http_request *active, *dirty;
    struct orb_http_easy *idle[ORB_HTTP_IDLE_MAX];
    unsigned idle_count;

    struct orb_message stop_message;
};

struct orb_http {
    struct orb_lanes *lanes;
    struct orb_loop *main_loop;
    struct orb_log *log;
    _Atomic unsigned users; /* the owner, and lanes that are closing */
    unsigned lane_count;
    struct orb_http_lane *lane;
};

/* http_lane.c */
void orb_http_lane_start(struct orb_http_lane *lane, struct orb_http_request *request);
void orb_http_lane_control(struct orb_http_request *request);
void orb_http_lane_stop(struct orb_message *message);
curl_socket_t orb_http_lane_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address);
int orb_http_lane_close_socket(void *user, curl_socket_t socket);
/* Whether bytes, or its end, wait on the connection whose own port this is. */
bool orb_http_lane_has_stray(struct orb_http_lane *lane, int port);
/* The same for Unix sockets, which have no port: whether bytes wait on any that rests. */
bool orb_http_lane_has_local_stray(struct orb_http_lane *lane);

/* http_transfer.c: a request on a curl handle. */
bool orb_http_transfer_setup(struct orb_http_request *request);
/* Gives the bytes that were copied to the sink. A negative status: the sink wants no more. */
orbit_status orb_http_transfer_commit(struct orb_http_request *request);
/* Whether it goes on as it should; false with status and error filled when it has stalled. */
bool orb_http_transfer_alive(struct orb_http_request *request, uint64_t now_ns);

/* http_site.c: TLS, proxies and sockets of a site, on a handle that was reset. */
void orb_http_site_apply(CURL *curl, const struct orb_http_site *site);

/* http_error.c: fills status and error for what curl said. */
void orb_http_classify(struct orb_http_request *request, CURLcode code);

/* Whether the connection has carried other requests before. */
bool orb_http_reused(struct orb_http_request *request);

/* "host:port" of an URL, for messages. */
void orb_http_peer(char *peer, size_t room, const char *url);

/* http.c. The lane is done with the request; a lane has closed. */
void orb_http_finish(struct orb_http_request *request);
void orb_http_drop(struct orb_http *http);

#endif
