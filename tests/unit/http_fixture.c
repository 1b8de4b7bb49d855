/* SPDX-License-Identifier: Apache-2.0
 * A peer that is scripted byte by byte, and an engine with one request to it. Assertions on the main thread only. */
#include "http_fixture.h"

bool send_all(int socket, const char *bytes, size_t length)
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

bool take_request(struct peer *peer, int socket)
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

void talk_reply(struct peer *peer, int socket)
{
    while (take_request(peer, socket))
        if (!send_all(socket, peer->reply, peer->reply_length))
            return;
}

void talk_reply_to_the_head(struct peer *peer, int socket)
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

void talk_reply_and_close(struct peer *peer, int socket)
{
    if (take_request(peer, socket))
        send_all(socket, peer->reply, peer->reply_length);
}

void talk_reply_once(struct peer *peer, int socket)
{
    char some[2000];
    size_t heard = 0;
    ssize_t got;
    if (!take_request(peer, socket) || !send_all(socket, peer->reply, peer->reply_length))
        return;
    while (heard < 20000 && (got = recv(socket, some, sizeof some, 0)) > 0)
        heard += (size_t)got;
}

void talk_nothing_until_go(struct peer *peer, int socket)
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

static void listen_and_serve(struct peer *peer, const struct sockaddr *address, socklen_t length,
                             void (*talk)(struct peer *, int), int connections, const char *reply)
{
    memset(peer, 0, offsetof(struct peer, request));
    peer->listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, address, length), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    peer->talk = talk;
    peer->connections = connections;
    peer->reply = reply;
    peer->reply_length = reply ? strlen(reply) : 0;
    sem_init(&peer->go, 0, 0);
    atomic_store(&peer->talking, -1);
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

void peer_start(struct peer *peer, void (*talk)(struct peer *, int), int connections, const char *reply)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    listen_and_serve(peer, (struct sockaddr *)&address, length, talk, connections, reply);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
}

void peer_start_local(struct peer *peer, void (*talk)(struct peer *, int), int connections, const char *reply,
                      const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s", path) < sizeof address.sun_path);
    listen_and_serve(peer, (struct sockaddr *)&address, sizeof address, talk, connections, reply);
}

void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    sem_post(&peer->go);
    shutdown(atomic_load(&peer->talking), SHUT_RDWR); /* the engine keeps it open for the next request */
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    sem_destroy(&peer->go);
}

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

struct exchange *exchange_new(struct fixture *fixture, const char *method, const char *path)
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

void exchange_sink(struct exchange *exchange, size_t max)
{
    exchange->window.bytes = malloc(max);
    exchange->window.max = max;
    exchange->request.sink = &exchange->window.sink;
    exchange->take = ORB_HTTP_SINK;
}

void exchange_body(struct exchange *exchange, const char *bytes, size_t length)
{
    exchange->source = (struct source){
        {source_peek, source_consume, source_rewind, length, NULL, NULL}, exchange, bytes, 0, 65536, 0, 0, 0, 0, false};
    exchange->request.body = &exchange->source.body;
}

void exchange_start(struct fixture *fixture, struct exchange *exchange)
{
    orb_loop_post(fixture->loop, &exchange->start);
}

orbit_status exchange_wait(struct exchange *exchange)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 30;
    assert_int_equal(sem_timedwait(&exchange->done, &limit), 0);
    return exchange->start_status < 0 ? exchange->start_status : exchange->request.status;
}

orbit_status exchange_run(struct fixture *fixture, struct exchange *exchange)
{
    exchange_start(fixture, exchange);
    return exchange_wait(exchange);
}

void exchange_free(struct exchange *exchange)
{
    assert_int_equal(exchange->window.lent, 0); /* what was lent came back */
    orb_buf_release(&exchange->request.headers);
    orb_buf_release(&exchange->request.memory);
    free(exchange->window.bytes);
    sem_destroy(&exchange->done);
    free(exchange);
}

static unsigned lane_count = 2;

int set_up(void **state)
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

int set_up_on_the_loop(void **state)
{
    lane_count = 0;
    int result = set_up(state);
    lane_count = 2;
    return result;
}

int tear_down(void **state)
{
    struct fixture *fixture = *state;
    orb_http_free(fixture->http);
    orb_lanes_free(fixture->lanes);
    orb_loop_free(fixture->loop);
    orb_log_release(&fixture->log);
    free(fixture);
    return 0;
}

char *pattern(size_t length)
{
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)('A' + (i * 7 + i / 1000) % 57);
    bytes[length] = '\0';
    return bytes;
}

char *with_head(const char *head, const char *body)
{
    size_t length = strlen(head) + strlen(body) + 100;
    char *text = malloc(length);
    assert_non_null(text);
    snprintf(text, length, "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
    return text;
}
