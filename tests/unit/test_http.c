/* SPDX-License-Identifier: Apache-2.0
 * The HTTP engine against a peer that is scripted byte by byte. Assertions on the main thread only. */
#include "http_fixture.h"

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

static void a_header_with_nul_is_a_protocol_error(void **state)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nETag: \"a\0b\"\r\nContent-Length: 0\r\n\r\n";
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply_and_close, 1, reply);
    fixture->peer.reply_length = sizeof reply - 1; /* nobody has asked yet */
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

/* Each request gets its reply, and a moment after it one that nobody asked for. The connection stays open. */
static void talk_reply_and_stray(struct peer *peer, int socket)
{
    static const char stray[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
    while (take_request(peer, socket)) {
        send_all(socket, peer->reply, peer->reply_length);
        usleep(20000);
        send_all(socket, stray, sizeof stray - 1);
    }
}

static void strays_are_no_replies(struct fixture *fixture)
{
    char *body = pattern(100000);
    for (int i = 0; i < 6; i++) {
        struct exchange *exchange = exchange_new(fixture, i & 1 ? "PUT" : "GET", "/");
        exchange->request.once = i > 3; /* nothing has gone out: that is not twice */
        if (i & 1)
            exchange_body(exchange, body, 100000);
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        assert_string_equal(orb_buf_string(&exchange->request.memory), "true");
        exchange_free(exchange);
        usleep(100000);
    }
    free(body);
}

static const char truth[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";

static void what_nobody_asked_for_is_no_reply_to_the_next_request(void **state)
{
    struct fixture *fixture = *state;
    peer_start(&fixture->peer, talk_reply_and_stray, 20, truth);
    strays_are_no_replies(fixture);
    peer_stop(&fixture->peer);
}

/* Such connections have no port by which they could be told. */
static void nor_is_it_on_a_unix_socket(void **state)
{
    struct fixture *fixture = *state;
    char directory[] = "/tmp/orbit-http-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/socket", directory);
    fixture->site.unix_socket = path;
    peer_start_local(&fixture->peer, talk_reply_and_stray, 20, truth, path);
    strays_are_no_replies(fixture);
    peer_stop(&fixture->peer);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
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
        TEST(a_header_with_nul_is_a_protocol_error),
        TEST(a_refused_connection_names_host_and_port),
        TEST(a_refusal_before_the_body_was_sent_is_heard),
        TEST(head_can_refuse_the_reply),
        TEST(a_sink_that_fails_ends_the_request_with_its_status),
        TEST(cancel_is_prompt_whatever_the_state),
        LOOP_TEST(cancel_is_prompt_whatever_the_state),
        TEST(a_cancel_that_crosses_the_end_does_no_harm),
        TEST(a_body_is_sent_again_when_the_connection_was_dead),
        TEST(what_nobody_asked_for_is_no_reply_to_the_next_request),
        TEST(nor_is_it_on_a_unix_socket),
        LOOP_TEST(what_nobody_asked_for_is_no_reply_to_the_next_request),
        LOOP_TEST(nor_is_it_on_a_unix_socket),
        TEST(a_body_that_waits_is_sent_again_when_the_connection_was_dead),
        TEST(a_feed_sees_every_byte),
        TEST(many_requests_at_once_all_end),
        LOOP_TEST(many_requests_at_once_all_end),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
