/* SPDX-License-Identifier: Apache-2.0
 * What is a stall and what is none: silences, pauses of our own, and uploads whose bytes lie in the kernel. */
#include "http_fixture.h"

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

/* ---- uploads: what the kernel has taken is not with the peer yet --------------------------------- */

enum { BODY = 24 << 20, QUEUED = 256 << 10, PIECE = 16 << 10 };
static const char well[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/* What the peer does with an upload after its head. The rest of it waits for the test's `go`, or comes at once. */
struct taking {
    bool after_another; /* a request is answered first: the upload comes on a connection that has rested */
    bool stops;         /* the rest is left alone */
    bool ends;          /* the connection ends after the pieces */
    size_t piece;       /* so many bytes, */
    unsigned pieces;    /* ten times a second */
};
static struct taking takings[2]; /* of one connection, and the next */
static unsigned connections;
static uint64_t taken; /* bytes of the latest upload */

static bool take(int socket, size_t length)
{
    static char bytes[1 << 20];
    while (length) {
        ssize_t got = recv(socket, bytes, length < sizeof bytes ? length : sizeof bytes, 0);
        if (got <= 0)
            return false;
        length -= (size_t)got;
        taken += (uint64_t)got;
    }
    return true;
}

static bool take_head(struct peer *peer, int socket)
{
    size_t have = 0;
    do {
        if (have == sizeof peer->request || recv(socket, peer->request + have, 1, 0) != 1)
            return false;
        have++;
    } while (!memmem(peer->request, have, "\r\n\r\n", 4));
    return true;
}

static void talk_take(struct peer *peer, int socket)
{
    const struct taking *taking = &takings[connections++];
    int room = 64 << 10; /* so that what is not taken lies with the sender */
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (taking->after_another && !(take_request(peer, socket) && send_all(socket, well, sizeof well - 1)))
        return;
    taken = 0;
    if (!take_head(peer, socket))
        return;
    for (unsigned i = 0; i < taking->pieces; i++, usleep(100000))
        if (!take(socket, taking->piece))
            return;
    if (taking->stops)
        (void)sem_wait(&peer->go);
    else if (!taking->ends && take(socket, BODY - (size_t)taken))
        (void)send_all(socket, well, sizeof well - 1);
}

static struct exchange *uploading(struct fixture *fixture, struct taking first, struct taking second)
{
    takings[0] = first;
    takings[1] = second;
    connections = 0;
    fixture->site.stall_timeout_ms = 1000;
    peer_start(&fixture->peer, talk_take, first.ends ? 2 : 1, NULL);
    if (first.after_another) {
        struct exchange *another = exchange_new(fixture, "GET", "/");
        assert_int_equal(exchange_run(fixture, another), ORBIT_OK);
        exchange_free(another);
    }
    struct exchange *exchange = exchange_new(fixture, "PUT", "/");
    exchange_body(exchange, pattern(BODY), BODY);
    exchange->request.large = true;
    return exchange;
}

static void end_upload(struct fixture *fixture, struct exchange *exchange)
{
    free((char *)exchange->source.bytes);
    exchange_free(exchange);
    peer_stop(&fixture->peer);
}

static void an_upload_that_the_peer_leaves_in_our_kernel_times_out(void **state)
{
    struct fixture *fixture = *state;
    for (int again = 0; again < 2; again++) {
        struct taking taking = {.after_another = again, .stops = true};
        struct exchange *exchange = uploading(fixture, taking, taking);
        uint64_t begun_ns = orb_now_ns();
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_E_TIMEOUT);
        assert_true(orb_now_ns() - begun_ns < 5000 * ORB_MS);
        assert_non_null(strstr(exchange->request.error.message, "moved less than 1 KiB/s"));
        assert_true(exchange->request.sent > QUEUED);
        assert_false(exchange->request.sent_all);
        end_upload(fixture, exchange);
    }
}

/* For longer than the time-out the kernel has no room for more. */
static void an_upload_that_the_peer_takes_slowly_goes_on(void **state)
{
    struct fixture *fixture = *state;
    for (int again = 0; again < 2; again++) {
        struct taking taking = {.after_another = again, .piece = PIECE, .pieces = 35};
        struct exchange *exchange = uploading(fixture, taking, taking);
        assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
        end_upload(fixture, exchange);
        assert_true(taken == BODY);
    }
}

/* What went to a connection that was dead does not count for the next one. */
static void nor_does_it_stall_when_it_begins_anew_and_is_taken_more_slowly(void **state)
{
    struct fixture *fixture = *state;
    struct taking first = {.after_another = true, .ends = true, .piece = 16 * PIECE, .pieces = 15};
    struct exchange *exchange = uploading(fixture, first, (struct taking){.piece = PIECE, .pieces = 25});
    assert_int_equal(exchange_run(fixture, exchange), ORBIT_OK);
    assert_int_equal(exchange->source.rewinds, 1);
    end_upload(fixture, exchange);
    assert_true(taken == BODY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(silence_before_the_first_byte_times_out),
        TEST(a_stall_in_the_middle_times_out),
        TEST(a_pause_of_our_own_is_no_stall),
        TEST(blanks_are_a_sign_of_life_for_the_patient),
        TEST(an_upload_that_the_peer_leaves_in_our_kernel_times_out),
        TEST(an_upload_that_the_peer_takes_slowly_goes_on),
        TEST(nor_does_it_stall_when_it_begins_anew_and_is_taken_more_slowly),
    };
    return cmocka_run_group_tests_name("http stalls", tests, NULL, NULL);
}
