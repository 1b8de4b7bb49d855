/* SPDX-License-Identifier: Apache-2.0
 * A peer that is scripted byte by byte, and an engine with one request to it. Assertions on the main thread only. */
#ifndef ORB_TESTS_UNIT_HTTP_FIXTURE_H
#define ORB_TESTS_UNIT_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "wire/http.h"

struct peer {
    int listener, port;
    pthread_t thread;
    void (*talk)(struct peer *peer, int socket); /* with one connection; then the next */
    int connections;                             /* to accept */
    const char *reply;
    size_t reply_length;
    char request[65536]; /* the head of the latest */
    uint64_t body_crc, body_length;
    sem_t go;            /* for talks that wait for the test */
    _Atomic int talking; /* the connection's socket, -1 */
};

bool send_all(int socket, const char *bytes, size_t length);

/* Reads one request with its body; false when the connection ended first. */
bool take_request(struct peer *peer, int socket);
void talk_reply(struct peer *peer, int socket);

/* Answers as soon as the head is there, and leaves the body alone. */
void talk_reply_to_the_head(struct peer *peer, int socket);
void talk_reply_and_close(struct peer *peer, int socket);

/* A second request on the connection is listened to for a while, and the connection ends. */
void talk_reply_once(struct peer *peer, int socket);
void talk_nothing_until_go(struct peer *peer, int socket);
void peer_start(struct peer *peer, void (*talk)(struct peer *, int), int connections, const char *reply);
/* The same on a Unix socket at `path`, which must not be there. */
void peer_start_local(struct peer *peer, void (*talk)(struct peer *, int), int connections, const char *reply,
                      const char *path);
void peer_stop(struct peer *peer);

struct fixture {
    struct orb_loop *loop;
    struct orb_lanes *lanes;
    struct orb_http *http;
    struct orb_log log;
    struct orb_http_site site;
    struct peer peer;
};

struct exchange {
    struct orb_http_request request; /* first */
    struct orb_http *http;
    struct orb_message start, cancel;
    char url[200];
    char headers[2000];
    enum orb_http_take take;
    orbit_status refuse; /* what head returns */
    sem_t done;
    int done_count;
    orbit_status start_status;
    uint64_t sending_crc;
    uint64_t silent_ns; /* as it was said last */

    struct window {
        orbit_sink sink; /* first */
        struct exchange *exchange;
        char *bytes;
        size_t length, max, window;
        unsigned asks, starve_every, lent;
        _Atomic bool stuck; /* never gives room again */
        size_t fail_at;
    } window;
    struct source {
        orbit_body body; /* first */
        struct exchange *exchange;
        const char *bytes;
        uint64_t at;
        size_t window;
        unsigned asks, starve_every;
        unsigned rewinds;
        uint64_t dry_at; /* nothing comes from here on until it is rewound, and nobody says so; 0: it does */
        bool no_rewind;
    } source;
};

struct exchange *exchange_new(struct fixture *fixture, const char *method, const char *path);
void exchange_sink(struct exchange *exchange, size_t max);
void exchange_body(struct exchange *exchange, const char *bytes, size_t length);
void exchange_start(struct fixture *fixture, struct exchange *exchange);
orbit_status exchange_wait(struct exchange *exchange);
orbit_status exchange_run(struct fixture *fixture, struct exchange *exchange);
void exchange_free(struct exchange *exchange);
int set_up(void **state);
int set_up_on_the_loop(void **state);
int tear_down(void **state);
char *pattern(size_t length);
char *with_head(const char *head, const char *body);

#endif
