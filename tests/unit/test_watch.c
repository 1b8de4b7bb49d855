/* SPDX-License-Identifier: Apache-2.0
 * Watched descriptors: what holds is told until it does not hold any more, also of one that has failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/watch.h"

enum { PIECE = 4, PATIENCE_MS = 5000 };

struct reader {
    int fd;
    struct orb_watch *watch;
    char got[64];
    size_t length;
    int failure; /* errno of the last read; 0: it ended well */
    bool over;
};

/* A piece a turn, as users do who let others have theirs. */
static void read_piece(void *ctx, int events)
{
    struct reader *reader = ctx;
    assert_true(events & UV_READABLE);
    ssize_t got = read(reader->fd, reader->got + reader->length, PIECE);
    if (got > 0) {
        reader->length += (size_t)got;
        return;
    }
    if (got < 0 && errno == EAGAIN)
        return;
    reader->failure = got < 0 ? errno : 0;
    reader->over = true;
    orb_watch_stop(reader->watch);
    reader->watch = NULL;
}

/* Reads what was sent before the other end was closed, with or without a byte there that nobody had read. */
static void read_to_the_end(struct reader *reader, bool unread)
{
    int pair[2];
    orbit_error error;
    struct orb_loop *loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    if (unread)
        assert_int_equal(write(pair[0], "?", 1), 1);
    assert_int_equal(write(pair[1], "what was said last", 18), 18);
    close(pair[1]);
    assert_int_equal(orb_loop_new(&loop, "watch", true, &error), ORBIT_OK);
    *reader = (struct reader){.fd = pair[0]};
    reader->watch = orb_watch_start(loop, pair[0], UV_READABLE, read_piece, reader);
    assert_non_null(reader->watch);
    struct pollfd ready = {orb_loop_fd(loop), POLLIN, 0};
    do
        orb_loop_turn(loop, false);
    while (!reader->over && poll(&ready, 1, PATIENCE_MS) > 0);
    orb_watch_stop(reader->watch);
    orb_loop_free(loop);
    close(pair[0]);
    assert_true(reader->over);
    assert_int_equal(reader->length, 18);
    assert_memory_equal(reader->got, "what was said last", 18);
}

static void stream_that_ended_is_read_piece_by_piece(void **state)
{
    (void)state;
    struct reader reader;
    read_to_the_end(&reader, false);
    assert_int_equal(reader.failure, 0);
}

static void stream_that_failed_is_read_piece_by_piece(void **state)
{
    (void)state;
    struct reader reader;
    read_to_the_end(&reader, true);
    assert_int_equal(reader.failure, ECONNRESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_that_ended_is_read_piece_by_piece),
        cmocka_unit_test(stream_that_failed_is_read_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
