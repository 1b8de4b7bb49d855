/* SPDX-License-Identifier: Apache-2.0
 * The HTTP engine against a peer that is scripted byte by byte. Assertions on the main thread only. */
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
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "wire/http.h"

/* ---- the peer -------------------------------------------------------------------------------------- */

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

static bool send_all(int socket, const char *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Reads one request with its body; false when the connection ended first. */
static bool take_request(struct peer *peer, int socket)
{
    char head[sizeof peer->request] = "", *end;
    size_t have = 0;
    ssize_t got;
    while (!(end = strstr(head, "\r\n\r\n"))) {
        got = recv(socket, head + have, sizeof head - 1 - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
        head[have] = '\0';
    }
    char *length = strcasestr(head, "content-length:");
    uint64_t body = length && length < end ? strtoull(length + 15, NULL, 10) : 0;
    size_t early = have - (size_t)(end + 4 - head);
    peer->body_length = early;
    peer->body_crc = orb_crc64nvme(0, end + 4, early);
    end[2] = '\0';
    memcpy(peer->request, head, (size_t)(end + 3 - head));
    char bytes[16384];
    if (strcasestr(head, "100-continue"))
        send_all(socket, "HTTP/1.1 100 Continue\r\nx-interim: yes\r\n\r\n", 41);
    while (peer->body_length < body) {
        got = recv(socket, bytes, sizeof bytes, 0);
        if (got <= 0)
            return false;
        peer->body_crc = orb_crc64nvme(peer->body_crc, bytes, (size_t)got);
        peer->body_length += (size_t)got;
    }
    return true;
}

static void talk_reply(struct peer *peer, int socket)
{
    while (take_request(peer, socket))
        if (!send_all(socket, peer->reply, peer->reply_length))
            return;
}

/* Answers as soon as the head is there, and leaves the body alone. */
static void talk_reply_to_the_head(struct peer *peer, int socket)
{
    size_t have = 0;
    while (have < 60000 && !memmem(peer->request, have, "\r\n\r\n", 4)) {
        ssize_t got = recv(socket, peer->request + have, 1000, 0);
        if (got <= 0)
            return;
        have += (size_t)got;
    }
    send_all(socket, peer->reply, peer->reply_length);
    sem_wait(&peer->go);
}

static void talk_reply_and_close(struct peer *peer, int socket)
{
    if (take_request(peer, socket))
        send_all(socket, peer->reply, peer->reply_length);
}

/* A second request on the connection is listened to for a while, and the connection ends. */
static void talk_reply_once(struct peer *peer, int socket)
{
    char some[2000];
    size_t heard = 0;
    ssize_t got;
    if (!take_request(peer, socket) || !send_all(socket, peer->reply, peer->reply_length))
        return;
    while (heard < 20000 && (got = recv(socket, some, sizeof some, 0)) > 0)
        heard += (size_t)got;
}

static void talk_nothing_until_go(struct peer *peer, int socket)
{
    if (take_request(peer, socket)) {
        send_all(socket, peer->reply, peer->reply_length);
        sem_wait(&peer->go);
    }
}

static void *serve(void *ctx)
{
    struct peer *peer = ctx;
    for (int i = 0; i < peer->connections; i++) {
        int socket = accept(peer->listener, NULL, NULL);
        if (socket < 0)
            break;
        atomic_store(&peer->talking, socket);
        peer->talk(peer, socket);
        atomic_store(&peer->talking, -1);
        close(socket);
    }
    return NULL;
}

static void peer_start(struct peer *peer, void (*talk)(struct peer *, int), int connections, const char *reply)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    memset(peer, 0, offsetof(struct peer, request));
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
    peer->talk = talk;
    peer->connections = connections;
    peer->reply = reply;
    peer->reply_length = reply ? strlen(reply) : 0;
    sem_init(&peer->go, 0, 0);
    atomic_store(&peer->talking, -1);
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    sem_post(&peer->go);
    shutdown(atomic_load(&peer->talking), SHUT_RDWR); /* the engine keeps it open for the next request */
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    sem_destroy(&peer->go);
}

/* ---- the engine and one request ---------------------------------------------------------------------- */

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

static void *window_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct window *window = (struct window *)sink;
    (void)want;
    if (window->stuck || (window->starve_every && ++window->asks % window->starve_every == 0)) {
        if (!window->stuck)
            orb_http_resume(&window->exchange->request); /* as early as it may come */
        return NULL;
    }
    *room = window->max - window->length < window->window ? window->max - window->length : window->window;
    window->lent++;
    return *room ? window->bytes + window->length : NULL;
}

static orbit_status window_commit(orbit_sink *sink, size_t length)
{
    struct window *window = (struct window *)sink;
    window->lent--;
    window->length += length;
    return window->fail_at && window->length >= window->fail_at ? ORBIT_E_NO_SPACE : ORBIT_OK;
}

static orbit_status source_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct source *source = (struct source *)body;
    if (source->at == body->length)
        return ORBIT_END;
    if (source->dry_at && !source->rewinds && source->at >= source->dry_at)
        return ORBIT_AGAIN;
    if (source->starve_every && ++source->asks % source->starve_every == 0) {
        orb_http_resume(&source->exchange->request);
        return ORBIT_AGAIN;
    }
    *bytes = source->bytes + source->at;
    *length = body->length - source->at < source->window ? (size_t)(body->length - source->at) : source->window;
    return ORBIT_OK;
}

static void source_consume(orbit_body *body, size_t length)
{
    ((struct source *)body)->at += length;
}

static orbit_status source_rewind(orbit_body *body)
{
    struct source *source = (struct source *)body;
    source->rewinds++;
    source->at = 0;
    return source->no_rewind ? ORBIT_E_UNSUPPORTED : ORBIT_OK;
}

static void on_header(struct orb_http_request *request, const char *name, const char *value)
{
    struct exchange *exchange = (struct exchange *)request;
    size_t at = strlen(exchange->headers);
    snprintf(exchange->headers + at, sizeof exchange->headers - at, "%s=%s\n", name, value);
}

static orbit_status on_head(struct orb_http_request *request, enum orb_http_take *take)
{
    struct exchange *exchange = (struct exchange *)request;
    *take = exchange->take;
    if (exchange->refuse < 0)
        return orbit_error_set(&request->error, exchange->refuse, 0, "refused by the test");
    return ORBIT_OK;
}

static orbit_status on_feed(struct orb_http_request *request, const void *bytes, size_t length)
{
    struct exchange *exchange = (struct exchange *)request;
    exchange->sending_crc = orb_crc64nvme(exchange->sending_crc, bytes, length);
    return ORBIT_OK;
}

static void on_sending(struct orb_http_request *request, const void *bytes, size_t length)
{
    struct exchange *exchange = (struct exchange *)request;
    exchange->sending_crc = orb_crc64nvme(exchange->sending_crc, bytes, length);
}

static void on_rewound(struct orb_http_request *request)
{
    ((struct exchange *)request)->sending_crc = 0;
}

static void on_done(struct orb_http_request *request)
{
    struct exchange *exchange = (struct exchange *)request;
    exchange->done_count++;
    sem_post(&exchange->done);
}

static void on_silent(struct orb_http_request *request, uint64_t since_ns)
{
    ((struct exchange *)request)->silent_ns = since_ns;
}

static const struct orb_http_events events = {on_header, on_head, on_feed, on_sending, on_rewound, on_silent, on_done};

static void deliver_start(struct orb_message *message)
{
    struct exchange *exchange = (struct exchange *)((char *)message - offsetof(struct exchange, start));
    exchange->start_status = orb_http_start(exchange->http, &exchange->request, &exchange->request.error);
    if (exchange->start_status < 0)
        sem_post(&exchange->done);
}

static void deliver_cancel(struct orb_message *message)
{
    struct exchange *exchange = (struct exchange *)((char *)message - offsetof(struct exchange, cancel));
    if (!exchange->done_count)
        orb_http_cancel(&exchange->request);
}

static struct exchange *exchange_new(struct fixture *fixture, const char *method, const char *path)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    assert_non_null(exchange);
    orb_http_init(&exchange->request);
    exchange->http = fixture->http;
    exchange->request.events = &events;
    exchange->request.site = &fixture->site;
    exchange->request.method = method;
    exchange->request.url = exchange->url;
    exchange->request.sink_max = UINT64_MAX;
    orb_buf_init(&exchange->request.memory, 100000);
    snprintf(exchange->url, sizeof exchange->url, "http://127.0.0.1:%d%s", fixture->peer.port, path);
    exchange->window =
        (struct window){{window_acquire, window_commit, NULL}, exchange, NULL, 0, 0, 65536, 0, 0, 0, false, 0};
    exchange->start.deliver = deliver_start;
    exchange->cancel.deliver = deliver_cancel;
    sem_init(&exchange->done, 0, 0);
    return exchange;
}

static void exchange_sink(struct exchange *exchange, size_t max)
{
    exchange->window.bytes = malloc(max);
    exchange->window.max = max;
    exchange->request.sink = &exchange->window.sink;
    exchange->take = ORB_HTTP_SINK;
}

static void exchange_body(struct exchange *exchange, const char *bytes, size_t length)
{
    exchange->source = (struct source){
        {source_peek, source_consume, source_rewind, length, NULL, NULL}, exchange, bytes, 0, 65536, 0, 0, 0, 0, false};
    exchange->request.body = &exchange->source.body;
}

static void exchange_start(struct fixture *fixture, struct exchange *exchange)
{
    orb_loop_post(fixture->loop, &exchange->start);
}

static orbit_status exchange_wait(struct exchange *exchange)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 30;
    assert_int_equal(sem_timedwait(&exchange->done, &limit), 0);
    return exchange->start_status < 0 ? exchange->start_status : exchange->request.status;
}

static orbit_status exchange_run(struct fixture *fixture, struct exchange *exchange)
{
    exchange_start(fixture, exchange);
    return exchange_wait(exchange);
}

static void exchange_free(struct exchange *exchange)
{
    assert_int_equal(exchange->window.lent, 0); /* what was lent came back */
    orb_buf_release(&exchange->request.headers);
    orb_buf_release(&exchange->request.memory);
    free(exchange->window.bytes);
    sem_destroy(&exchange->done);
    free(exchange);
}

static unsigned lane_count = 2;

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->site =
        (struct orb_http_site){.connect_timeout_ms = 5000, .first_byte_timeout_ms = 15000, .stall_timeout_ms = 15000};
    orb_log_init(&fixture->log, NULL);
    assert_int_equal(orb_loop_new(&fixture->loop, "loop", false, NULL), ORBIT_OK);
    assert_int_equal(orb_loop_start(fixture->loop, NULL), ORBIT_OK);
    assert_int_equal(orb_lanes_new(&fixture->lanes, lane_count, fixture->loop, NULL), ORBIT_OK);
    assert_int_equal(orb_http_new(&fixture->http, fixture->lanes, fixture->loop, &fixture->log, NULL), ORBIT_OK);
    *state = fixture;
    return 0;
}

static int set_up_on_the_loop(void **state)
{
    lane_count = 0;
    int result = set_up(state);
    lane_count = 2;
    return result;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    orb_http_free(fixture->http);
    orb_lanes_free(fixture->lanes);
    orb_loop_free(fixture->loop);
    orb_log_release(&fixture->log);
    free(fixture);
    return 0;
}

static char *pattern(size_t length)
{
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)('A' + (i * 7 + i / 1000) % 57);
    bytes[length] = '\0';
    return bytes;
}

static char *with_head(const char *head, const char *body)
{
    size_t length = strlen(head) + strlen(body) + 100;
    char *text = malloc(length);
    assert_non_null(text);
    snprintf(text, length, "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    return text;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void a_reply_reaches_the_sink_whole_through_pauses_and_small_windows(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(3000001), *reply = with_head("HTTP/1.1 200 OK\r\n", body);
    peer_start(&fixture->peer, talk_reply, 10, reply);
    static const struct {
        size_t window;
        unsigned starve;
        bool large;
    } cases[] = {{65536, 0, true}, {1000, 3, true}, {16384, 1 << 30, false}, {7777, 2, false}, {100000, 5, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange *exchange = exchange_new(fixture, "GET", "/x");
        exchange_sink(exchange, 3000001);
        exchange->window.window = cases[i].window;
        exchange->window.starve_every = cases[i].starve;
        exchange->request.large = cases[i].large;
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        assert_int_equal(exchange->request.http_status, 200);
        assert_int_equal(exchange->request.received, 3000001);
        assert_int_equal(exchange->window.length, 3000001);
        assert_memory_equal(exchange->window.bytes, body, 3000001);
        exchange_free(exchange);
    }
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

static void a_body_arrives_whole_through_pauses_and_small_windows(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(2000003);
    uint64_t crc = orb_crc64nvme(0, body, 2000003);
    peer_start(&fixture->peer, talk_reply, 10, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    static const struct {
        size_t window;
        unsigned starve;
        bool large, expect;
    } cases[] = {{1 << 20, 0, true, false}, {999, 2, true, true}, {5000, 3, false, false}, {1 << 20, 2, true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange *exchange = exchange_new(fixture, "PUT", "/x");
        exchange_body(exchange, body, 2000003);
        exchange->source.window = cases[i].window;
        exchange->source.starve_every = cases[i].starve;
        exchange->request.large = cases[i].large;
        exchange->request.expect = cases[i].expect;
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        assert_int_equal(exchange->request.sent, 2000003);
        assert_true(exchange->request.sent_all);
        assert_int_equal(fixture->peer.body_length, 2000003);
        assert_true(fixture->peer.body_crc == crc);
        assert_true(exchange->sending_crc == crc);
        assert_null(strstr(exchange->headers, "interim"));
        assert_true((strstr(fixture->peer.request, "100-continue") != NULL) == cases[i].expect);
        exchange_free(exchange);
    }
    peer_stop(&fixture->peer);
    free(body);
}

static void an_empty_body_says_so(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 1, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    struct exchange *exchange = exchange_new(fixture, "PUT", "/x");
    exchange_body(exchange, "", 0);
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_non_null(strcasestr(fixture->peer.request, "content-length: 0\r\n"));
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void method_path_and_headers_go_as_they_were_given(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 1, "HTTP/1.1 204 No Content\r\n\r\n");
    struct exchange *exchange = exchange_new(fixture, "DELETE", "/b//a/../%2E/k%20y?x=&y=1");
    assert_true(orb_http_header(&exchange->request, "x-amz-meta-a", "one two"));
    assert_true(orb_http_header(&exchange->request, "x-empty", ""));
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_int_equal(exchange->request.http_status, 204);
    assert_non_null(strstr(fixture->peer.request, "DELETE /b//a/../%2E/k%20y?x=&y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(fixture->peer.request, "x-amz-meta-a: one two\r\n"));
    assert_non_null(strstr(fixture->peer.request, "x-empty:\r\n"));
    assert_null(strcasestr(fixture->peer.request, "expect"));
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void a_header_with_a_line_break_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    assert_false(orb_http_header(&exchange->request, "x-a", "one\r\nx-evil: two"));
    assert_true(exchange->request.headers.failed);
    exchange_free(exchange);
}

static void reply_headers_are_lower_case_and_trimmed(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 1,
               "HTTP/1.1 100 Continue\r\nX-No: no\r\n\r\nHTTP/1.1 200 OK\r\nETag:   \"abc\"  \r\nX-Amz-Meta-K:v: w\r\n"
               "X-None:\r\nContent-Length: 2\r\n\r\nhi");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_string_equal(exchange->headers, "etag=\"abc\"\nx-amz-meta-k=v: w\nx-none=\ncontent-length=2\n");
    assert_string_equal(orb_buf_string(&exchange->request.memory), "hi");
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void memory_is_capped_and_what_is_beyond_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(50000), *reply = with_head("HTTP/1.1 500 Oops\r\n", body);
    peer_start(&fixture->peer, talk_reply, 1, reply);
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange->request.memory.max = 1000;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_int_equal(exchange->request.http_status, 500);
    assert_int_equal(exchange->request.memory.length, 1000);
    assert_memory_equal(exchange->request.memory.bytes, body, 1000);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

static void more_than_the_sink_wants_ends_well(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(1000000), *reply = with_head("HTTP/1.1 200 OK\r\n", body);
    peer_start(&fixture->peer, talk_reply, 1, reply);
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 5000);
    exchange->request.sink_max = 5000;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_true(exchange->request.enough);
    assert_int_equal(exchange->window.length, 5000);
    assert_memory_equal(exchange->window.bytes, body, 5000);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

static void a_reply_that_is_cut_short_is_a_retriable_network_error(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply_and_close, 1, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 100);
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_NETWORK);
    assert_true(exchange->request.error.flags & ORBIT_ERROR_RETRIABLE);
    assert_int_equal(exchange->window.length, 9);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void no_reply_at_all_is_a_retriable_network_error(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply_and_close, 1, "");
    struct exchange *exchange = exchange_new(fixture, "POST", "/");
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_NETWORK);
    assert_true(exchange->request.error.flags & ORBIT_ERROR_RETRIABLE);
    assert_true(exchange->request.sent_all);
    assert_int_equal(exchange->request.http_status, 0);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void what_is_not_http_is_a_protocol_error(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply_and_close, 1, "SSH-2.0-OpenSSH_9.2\r\n");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_PROTOCOL);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void a_refused_connection_names_host_and_port(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 0, "");
    peer_stop(&fixture->peer);
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    char peer[64];
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_CONNECT);
    snprintf(peer, sizeof peer, "127.0.0.1:%d", fixture->peer.port);
    assert_non_null(strstr(exchange->request.error.message, peer));
    assert_non_null(strstr(exchange->request.error.message, "refused"));
    exchange_free(exchange);
}

static void a_refusal_before_the_body_was_sent_is_heard(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(20 << 20);
    for (int expect = 0; expect < 2; expect++) {
        peer_start(&fixture->peer, talk_reply_to_the_head, 1, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        struct exchange *exchange = exchange_new(fixture, "PUT", "/");
        exchange_body(exchange, body, 20 << 20);
        exchange->request.expect = expect;
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        assert_int_equal(exchange->request.http_status, 403);
        assert_string_equal(orb_buf_string(&exchange->request.memory), "no");
        assert_false(exchange->request.sent_all);
        exchange_free(exchange);
        peer_stop(&fixture->peer);
    }
    free(body);
}

static void head_can_refuse_the_reply(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 1, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 100);
    exchange->refuse = ORBIT_E_CHANGED;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_CHANGED);
    assert_string_equal(exchange->request.error.message, "refused by the test");
    assert_int_equal(exchange->window.length, 0);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void a_sink_that_fails_ends_the_request_with_its_status(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(1000000), *reply = with_head("HTTP/1.1 200 OK\r\n", body);
    peer_start(&fixture->peer, talk_reply, 1, reply);
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 1000000);
    exchange->window.window = 4096;
    exchange->window.fail_at = 300000;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_NO_SPACE);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

static void cancel_is_prompt_whatever_the_state(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(1000000), *reply = with_head("HTTP/1.1 200 OK\r\n", body);
    for (int round = 0; round < 3; round++) {
        /* waiting for the first byte, paused by its sink, in the middle of the body */
        peer_start(&fixture->peer, talk_nothing_until_go, 1, round == 0 ? "" : reply);
        if (round == 2)
            fixture->peer.reply_length -= 1000;
        struct exchange *exchange = exchange_new(fixture, "GET", "/");
        exchange_sink(exchange, 1000000);
        exchange->window.stuck = round == 1;
        uint64_t begin = orb_now_ns();
        exchange_start(fixture, exchange);
        usleep(50000);
        orb_loop_post(fixture->loop, &exchange->cancel);
        assert_int_equal(exchange_wait(exchange), ORBIT_E_CANCELLED);
        assert_true(orb_now_ns() - begin < 10 * ORB_S);
        assert_int_equal(exchange->done_count, 1);
        exchange_free(exchange);
        peer_stop(&fixture->peer);
    }
    free(reply);
    free(body);
}

static void a_cancel_that_crosses_the_end_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply, 50, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    for (int round = 0; round < 200; round++) {
        struct exchange *exchange = exchange_new(fixture, "GET", "/");
        exchange_start(fixture, exchange);
        if (round % 4)
            usleep((useconds_t)(round * 3));
        orb_loop_post(fixture->loop, &exchange->cancel);
        orbit_status status = exchange_wait(exchange);
        assert_true(status == ORBIT_OK || status == ORBIT_E_CANCELLED);
        usleep(100); /* the message of the cancel is delivered by then or soon: it lies in the exchange */
        struct exchange *fence = exchange_new(fixture, "GET", "/");
        fence->url[0] = '\0';
        exchange_start(fixture, fence);
        (void)exchange_wait(fence);
        assert_int_equal(exchange->done_count, 1);
        exchange_free(exchange);
        exchange_free(fence);
    }
    peer_stop(&fixture->peer);
}

static void silence_before_the_first_byte_times_out(void **state)
{
    struct fixture *fixture = *state;
    fixture->site.first_byte_timeout_ms = 1000;
    peer_start(&fixture->peer, talk_nothing_until_go, 1, "");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_TIMEOUT);
    assert_true(exchange->request.error.flags & ORBIT_ERROR_RETRIABLE);
    assert_true(exchange->request.sent_all);
    assert_true(exchange->silent_ns > 0 && orb_now_ns() - exchange->silent_ns > 500 * ORB_MS);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void a_stall_in_the_middle_times_out(void **state)
{
    struct fixture *fixture = *state;
    fixture->site.stall_timeout_ms = 1000;
    peer_start(&fixture->peer, talk_nothing_until_go, 1, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 100);
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_TIMEOUT);
    assert_int_equal(exchange->window.length, 4);
    assert_true(exchange->silent_ns > 0);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void deliver_unstick(struct orb_message *message)
{
    struct exchange *exchange = (struct exchange *)((char *)message - offsetof(struct exchange, cancel));
    exchange->window.stuck = false; /* the lane reads it after it has got the resume */
    orb_http_resume(&exchange->request);
}

static void a_pause_of_our_own_is_no_stall(void **state)
{
    struct fixture *fixture = *state;
    fixture->site.stall_timeout_ms = 1000;
    peer_start(&fixture->peer, talk_reply, 1, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange_sink(exchange, 100);
    exchange->window.stuck = true;
    exchange->cancel.deliver = deliver_unstick;
    exchange_start(fixture, exchange);
    usleep(3500000);
    orb_loop_post(fixture->loop, &exchange->cancel);
    assert_int_equal(exchange_wait(exchange), ORBIT_OK);
    assert_memory_equal(exchange->window.bytes, "some", 4);
    assert_int_equal(exchange->silent_ns, 0); /* nor a silence of the server's */
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void talk_blanks_then_reply(struct peer *peer, int socket)
{
    if (!take_request(peer, socket))
        return;
    send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47);
    for (int i = 0; i < 5; i++) {
        usleep(600000);
        send_all(socket, "1\r\n \r\n", 6);
    }
    send_all(socket, "4\r\n<a/>\r\n0\r\n\r\n", 14);
}

static void blanks_are_a_sign_of_life_for_the_patient(void **state)
{
    struct fixture *fixture = *state;
    fixture->site.stall_timeout_ms = 1000;
    peer_start(&fixture->peer, talk_blanks_then_reply, 1, NULL);
    struct exchange *exchange = exchange_new(fixture, "POST", "/");
    exchange->request.patient = true;
    exchange->request.first_byte_timeout_ms = 2000;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_string_equal(orb_buf_string(&exchange->request.memory), "     <a/>");
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void a_body_is_sent_again_when_the_connection_was_dead(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(100000);
    uint64_t crc = orb_crc64nvme(0, body, 100000);
    /* Each connection serves one request and is closed without a word. */
    peer_start(&fixture->peer, talk_reply_and_close, 20, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        struct exchange *exchange = exchange_new(fixture, "PUT", "/");
        exchange_body(exchange, body, 100000);
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        assert_true(exchange->sending_crc == crc && fixture->peer.body_crc == crc);
        exchange_free(exchange);
    }
    peer_stop(&fixture->peer);
    free(body);
}

/* It waits for its source when the connection ends: at its beginning it has something, and nobody says so. */
static void a_body_that_waits_is_sent_again_when_the_connection_was_dead(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(100000);
    peer_start(&fixture->peer, talk_reply_once, 2, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    exchange_free(exchange);
    exchange = exchange_new(fixture, "PUT", "/");
    exchange_body(exchange, body, 100000);
    exchange->source.window = exchange->source.dry_at = 30000;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_int_equal(exchange->source.rewinds, 1);
    assert_true(fixture->peer.body_crc == orb_crc64nvme(0, body, 100000));
    exchange_free(exchange);
    peer_stop(&fixture->peer);
    free(body);
}

static void a_feed_sees_every_byte(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(500000), *reply = with_head("HTTP/1.1 200 OK\r\n", body);
    peer_start(&fixture->peer, talk_reply, 1, reply);
    struct exchange *exchange = exchange_new(fixture, "GET", "/");
    exchange->take = ORB_HTTP_FEED;
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_true(exchange->sending_crc == orb_crc64nvme(0, body, 500000));
    exchange_free(exchange);
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

static void many_requests_at_once_all_end(void **state)
{
    struct fixture *fixture = *state;
    char *body = pattern(100000), *reply = with_head("HTTP/1.1 200 OK\r\nConnection: close\r\n", body);
    enum { MANY = 40 };
    struct exchange *exchanges[MANY];
    peer_start(&fixture->peer, talk_reply_and_close, MANY, reply);
    for (int i = 0; i < MANY; i++) {
        exchanges[i] = exchange_new(fixture, "GET", "/");
        exchange_sink(exchanges[i], 100000);
        exchanges[i]->window.starve_every = 2;
        exchanges[i]->window.window = 9000;
        exchanges[i]->request.large = i % 2;
        exchange_start(fixture, exchanges[i]);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(exchange_wait(exchanges[i]), ORBIT_OK);
        assert_memory_equal(exchanges[i]->window.bytes, body, 100000);
        exchange_free(exchanges[i]);
    }
    peer_stop(&fixture->peer);
    free(reply);
    free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define LOOP_TEST(name)                                                 \
    {                                                                   \
#name " on the loop", name, set_up_on_the_loop, tear_down, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reply_reaches_the_sink_whole_through_pauses_and_small_windows),
        LOOP_TEST(a_reply_reaches_the_sink_whole_through_pauses_and_small_windows),
        TEST(a_body_arrives_whole_through_pauses_and_small_windows),
        LOOP_TEST(a_body_arrives_whole_through_pauses_and_small_windows),
        TEST(an_empty_body_says_so),
        TEST(method_path_and_headers_go_as_they_were_given),
        TEST(a_header_with_a_line_break_is_refused),
        TEST(reply_headers_are_lower_case_and_trimmed),
        TEST(memory_is_capped_and_what_is_beyond_is_dropped),
        TEST(more_than_the_sink_wants_ends_well),
        TEST(a_reply_that_is_cut_short_is_a_retriable_network_error),
        TEST(no_reply_at_all_is_a_retriable_network_error),
        TEST(what_is_not_http_is_a_protocol_error),
        TEST(a_refused_connection_names_host_and_port),
        TEST(a_refusal_before_the_body_was_sent_is_heard),
        TEST(head_can_refuse_the_reply),
        TEST(a_sink_that_fails_ends_the_request_with_its_status),
        TEST(cancel_is_prompt_whatever_the_state),
        LOOP_TEST(cancel_is_prompt_whatever_the_state),
        TEST(a_cancel_that_crosses_the_end_does_no_harm),
        TEST(silence_before_the_first_byte_times_out),
        TEST(a_stall_in_the_middle_times_out),
        TEST(a_pause_of_our_own_is_no_stall),
        TEST(blanks_are_a_sign_of_life_for_the_patient),
        TEST(a_body_is_sent_again_when_the_connection_was_dead),
        TEST(a_body_that_waits_is_sent_again_when_the_connection_was_dead),
        TEST(a_feed_sees_every_byte),
        TEST(many_requests_at_once_all_end),
        LOOP_TEST(many_requests_at_once_all_end),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
