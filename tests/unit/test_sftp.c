/* SPDX-License-Identifier: Apache-2.0
 * The SFTP session over a socketpair: with OpenSSH's server where there is one, and with the scripted one that
 * misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "run/child.h"
#include "wire/sftp.h"

#define OPENSSH "/usr/lib/openssh/sftp-server"

static struct orb_loop *loop;
static struct orb_sftp *session;
static pid_t server;
static orbit_error ended_error;
static bool has_ended, has_ended_well;
static sem_t signalled;
static char directory[] = "/tmp/orbit-sftp-XXXXXX";

/* ---- the loop's side ---- */

struct call {
    struct orb_message message;
    void (*function)(void *ctx);
    void *ctx;
    sem_t done;
};

static void run_call(struct orb_message *message)
{
    struct call *call = (struct call *)(void *)message;
    call->function(call->ctx);
    sem_post(&call->done);
}

static void on_loop(void (*function)(void *ctx), void *ctx)
{
    struct call call = {.message = {NULL, run_call}, .function = function, .ctx = ctx};
    sem_init(&call.done, 0, 0);
    orb_loop_post(loop, &call.message);
    sem_wait(&call.done);
    sem_destroy(&call.done);
}

static void on_ready(void *ctx)
{
    (void)ctx;
    sem_post(&signalled);
}

static void on_ended(void *ctx, const orbit_error *error)
{
    (void)ctx;
    has_ended = true;
    has_ended_well = !error;
    if (error)
        ended_error = *error;
    sem_post(&signalled);
}

static void attach(void *ctx)
{
    static const struct orb_sftp_events events = {on_ready, on_ended};
    orbit_error error;
    assert_int_equal(orb_sftp_new(&session, loop, NULL, "test", 1000, &events, NULL, &error), ORBIT_OK);
    orb_sftp_attach(session, *(int *)ctx);
}

static void free_session(void *ctx)
{
    (void)ctx;
    orb_sftp_free(session, NULL);
    session = NULL;
}

/* Readiness changes on the loop (a flush makes a session presumed to be ready), so it is asked there. */
static void ask_whether_ready(void *ctx)
{
    *(bool *)ctx = orb_sftp_ready(session);
}

static bool is_ready(void)
{
    bool ready = false;
    on_loop(ask_whether_ready, &ready);
    return ready;
}

/* Starts a server and waits until it is ready or has ended. */
static void start(char *const *words)
{
    int pair[2];
    orbit_error error;
    has_ended = has_ended_well = false;
    ended_error = (orbit_error){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const int ahead = 208 << 10; /* as ssh has it: doubled by the kernel */
    assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &ahead, sizeof(ahead)), 0);
    struct orb_child_plan plan = {.words = words, .input = pair[1], .output = pair[1], .errors = 2};
    assert_int_equal(orb_child_start(&plan, &server, NULL), 0);
    close(pair[1]);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(orb_loop_new(&loop, "test", false, &error), ORBIT_OK);
    assert_int_equal(orb_loop_start(loop, &error), ORBIT_OK);
    on_loop(attach, &pair[0]);
    sem_wait(&signalled);
}

static void start_scripted(const char *first, const char *second)
{
    char *words[] = {(char *)(uintptr_t)SFTPD_PROGRAM, (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
    start(words);
}

static void stop(void)
{
    if (!loop)
        return;
    on_loop(free_session, NULL);
    orb_loop_free(loop);
    loop = NULL;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

static int set_up(void **state)
{
    (void)state;
    sem_init(&signalled, 0, 0);
    snprintf(directory, sizeof(directory), "/tmp/orbit-sftp-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    orb_mem_fail_at(0);
    stop();
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

/* ---- requests ---- */

struct one {
    struct orb_sftp_request request; /* first */
    sem_t done;
    struct orb_sftp_handle handle;
    struct orb_sftp_attributes attributes;
    orbit_status failed;
    uint8_t *bytes;
    size_t room, at, names;
    bool lend_little;
};

static void one_done(struct orb_sftp_request *request)
{
    struct one *one = (struct one *)request;
    struct orb_sftp_name name;
    if (request->type == 0)
        one->failed = (orbit_status)request->error->status;
    if (request->type == ORB_SFTP_HANDLE)
        orb_sftp_get_handle(&request->reply, &one->handle);
    if (request->type == ORB_SFTP_ATTRS)
        orb_sftp_get_attributes(&request->reply, &one->attributes);
    if (request->type == ORB_SFTP_NAME) {
        uint32_t left = orb_sftp_get_u32(&request->reply);
        while (orb_sftp_get_name(&request->reply, &left, &name))
            one->names++;
    }
    sem_post(&one->done);
}

static void *one_place(struct orb_sftp_request *request, size_t want, size_t *room)
{
    struct one *one = (struct one *)request;
    *room = one->lend_little && want > 1000 ? 1000 : want;
    if (*room > one->room - one->at)
        *room = one->room - one->at;
    return *room ? one->bytes + one->at : NULL;
}

static void one_filled(struct orb_sftp_request *request, size_t length)
{
    ((struct one *)request)->at += length;
}

static void start_one(void *ctx)
{
    struct one *one = ctx;
    one->request.done = one_done;
    one->request.place = one_place;
    one->request.filled = one_filled;
    orb_sftp_start(session, &one->request);
}

static void forget_one(void *ctx)
{
    orb_sftp_forget(&((struct one *)ctx)->request);
}

static void begin(struct one *one)
{
    sem_init(&one->done, 0, 0);
    on_loop(start_one, one);
}

static void finish(struct one *one)
{
    sem_wait(&one->done);
    orb_sftp_request_release(&one->request);
}

static void ask(struct one *one)
{
    begin(one);
    finish(one);
}

static const char *in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static struct orb_sftp_handle open_path(const char *path, uint32_t flags)
{
    struct one one = {0};
    orb_sftp_open(&one.request, path, flags, NULL);
    ask(&one);
    assert_int_equal(one.request.type, ORB_SFTP_HANDLE);
    return one.handle;
}

static uint8_t *pattern(size_t length)
{
    uint8_t *bytes = malloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return bytes;
}

/* Writes and reads back with many requests under way; ends with what the file system holds. */
static void bytes_there_and_back(bool little)
{
    enum { COUNT = 300 };
    static struct one ones[COUNT];
    struct orb_sftp_handle handle =
        open_path(in("file"), ORB_SFTP_OPEN_READ | ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE);
    uint32_t piece = orb_sftp_write_max(session) < 8000 ? orb_sftp_write_max(session) : 8000;
    uint8_t *bytes = pattern((size_t)COUNT * piece), *back = calloc(COUNT, piece);
    memset(ones, 0, sizeof(ones));
    for (uint32_t i = 0; i < COUNT; i++) {
        orb_sftp_write_at(&ones[i].request, &handle, (uint64_t)i * piece, bytes + (size_t)i * piece, piece);
        begin(&ones[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        finish(&ones[i]);
        assert_int_equal(ones[i].request.type, ORB_SFTP_STATUS);
        assert_int_equal(ones[i].request.status, ORB_SFTP_STATUS_OK);
    }
    memset(ones, 0, sizeof(ones));
    for (uint32_t i = 0; i < COUNT; i++) {
        ones[i].bytes = back + (size_t)i * piece;
        ones[i].room = piece;
        ones[i].lend_little = little;
        orb_sftp_read_at(&ones[i].request, &handle, (uint64_t)i * piece, piece);
        begin(&ones[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        finish(&ones[i]);
        assert_int_equal(ones[i].request.type, ORB_SFTP_DATA);
        assert_int_equal(ones[i].request.received, piece);
    }
    assert_memory_equal(bytes, back, (size_t)COUNT * piece);
    free(bytes);
    free(back);
}

static void many_requests_are_under_way_with_openssh(void **state)
{
    (void)state;
    char *words[] = {(char *)(uintptr_t)OPENSSH, NULL};
    start(words);
    assert_true(is_ready());
    assert_true(orb_sftp_can(session, ORB_SFTP_CAN_POSIX_RENAME | ORB_SFTP_CAN_FSYNC | ORB_SFTP_CAN_LIMITS));
    bytes_there_and_back(false);
    assert_int_equal(orb_sftp_read_max(session), 255 << 10); /* as limits@openssh.com said meanwhile */
    assert_int_equal(orb_sftp_write_max(session), 255 << 10);
    assert_true(orb_sftp_round_trip_ns(session) > 0);
}

static void many_requests_are_under_way_with_a_server_without_extensions(void **state)
{
    (void)state;
    start_scripted(NULL, NULL);
    assert_false(orb_sftp_can(session, ORB_SFTP_CAN_LIMITS));
    assert_int_equal(orb_sftp_read_max(session), 32 << 10);
    bytes_there_and_back(true);
}

static void ask_ease(void *ctx)
{
    *(unsigned *)ctx = orb_sftp_ease(session);
}

static void be_away(void *ctx)
{
    (void)ctx;
    usleep(100000);
}

enum { LATE = 16, LATE_BYTES = 32 << 10 };

static void start_late(void *ctx)
{
    for (unsigned i = 0; i < LATE; i++)
        start_one((struct one *)ctx + i);
}

/* The loop is away while they are answered, so that the stream is as full as it gets when it comes back. */
static void read_late(const struct orb_sftp_handle *handle, uint8_t *room)
{
    struct one ones[LATE] = {0};
    for (unsigned i = 0; i < LATE; i++) {
        ones[i].bytes = room;
        ones[i].room = LATE_BYTES;
        sem_init(&ones[i].done, 0, 0);
        orb_sftp_read_at(&ones[i].request, handle, (uint64_t)i * LATE_BYTES, LATE_BYTES);
    }
    on_loop(start_late, ones);
    on_loop(be_away, NULL);
    for (unsigned i = 0; i < LATE; i++)
        finish(&ones[i]);
}

static void ease_tells_whether_we_keep_up(void **state)
{
    (void)state;
    unsigned before = 0, after = 0;
    start_scripted(NULL, NULL);
    struct orb_sftp_handle handle =
        open_path(in("file"), ORB_SFTP_OPEN_READ | ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE);
    assert_int_equal(truncate(in("file"), 16 << 20), 0);
    uint8_t *room = calloc(1, LATE_BYTES);
    for (int i = 0; i < 50; i++) {
        struct one one = {0};
        orb_sftp_path(&one.request, ORB_SFTP_STAT, directory);
        ask(&one);
    }
    on_loop(ask_ease, &before);
    assert_in_range(before, 50, ORB_SFTP_EASE_MOST);
    after = before;
    for (int i = 0; i < 200 && after > before / 2; i++) { /* a busy machine's server has not always filled the stream */
        read_late(&handle, room);
        on_loop(ask_ease, &after);
    }
    assert_in_range(after, 0, before / 2);
    free(room);
}

static void replies_come_in_any_order(void **state)
{
    (void)state;
    start_scripted("reorder=7", NULL);
    bytes_there_and_back(true);
}

static void attributes_come_and_are_set(void **state)
{
    struct one one = {0};
    struct orb_sftp_attributes change = {.flags = ORB_SFTP_HAS_MODE | ORB_SFTP_HAS_TIMES | ORB_SFTP_HAS_SIZE,
                                         .mode = 0640,
                                         .atime = 1500000000,
                                         .mtime = 1600000000,
                                         .size = 12345};
    (void)state;
    start_scripted(NULL, NULL);
    struct orb_sftp_handle handle = open_path(in("file"), ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE);
    orb_sftp_fsetstat(&one.request, &handle, &change);
    ask(&one);
    assert_int_equal(one.request.status, ORB_SFTP_STATUS_OK);
    one = (struct one){0};
    orb_sftp_path(&one.request, ORB_SFTP_LSTAT, in("file"));
    ask(&one);
    assert_int_equal(one.request.type, ORB_SFTP_ATTRS);
    assert_int_equal(one.attributes.flags,
                     ORB_SFTP_HAS_SIZE | ORB_SFTP_HAS_OWNER | ORB_SFTP_HAS_MODE | ORB_SFTP_HAS_TIMES);
    assert_int_equal(one.attributes.size, 12345);
    assert_int_equal(one.attributes.mode, S_IFREG | 0640);
    assert_int_equal(one.attributes.mtime, 1600000000);
    assert_int_equal(one.attributes.atime, 1500000000);
    assert_int_equal(one.attributes.uid, getuid());
    one = (struct one){0};
    orb_sftp_path(&one.request, ORB_SFTP_LSTAT, in("missing"));
    ask(&one);
    assert_int_equal(one.request.type, ORB_SFTP_STATUS);
    assert_int_equal(one.request.status, ORB_SFTP_STATUS_NO_SUCH_FILE);
}

/* The other end of a second session, which the test plays itself. */
static struct orb_sftp *second;

static void attach_second(void *ctx)
{
    static const struct orb_sftp_events events = {on_ready, on_ended};
    orbit_error error;
    assert_int_equal(orb_sftp_new(&second, loop, NULL, "test", 1000, &events, NULL, &error), ORBIT_OK);
    orb_sftp_presume(second, session);
    assert_true(orb_sftp_ready(second));
    orb_sftp_attach(second, *(int *)ctx);
}

static void start_on_second(void *ctx)
{
    struct one *one = ctx;
    one->request.done = one_done;
    orb_sftp_start(second, &one->request);
}

static void free_second(void *ctx)
{
    (void)ctx;
    orb_sftp_free(second, NULL);
}

static void session_like_another_one_asks_before_it_is_answered(void **state)
{
    enum { HEAD = 9, STATUS = 21 };
    static struct one one;
    uint8_t said[512];
    uint8_t answers[HEAD + STATUS] = {0, 0, 0, 5, ORB_SFTP_VERSION, 0, 0, 0, 3, 0, 0, 0, 17, ORB_SFTP_STATUS};
    int pair[2];
    (void)state;
    char *words[] = {(char *)(uintptr_t)OPENSSH, NULL};
    start(words);
    (void)open_path(in("file"), ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE); /* the limits have come before */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    on_loop(attach_second, &pair[0]);
    assert_int_equal(orb_sftp_read_max(second), 255 << 10);
    one = (struct one){0};
    orb_sftp_path(&one.request, ORB_SFTP_REMOVE, in("file"));
    sem_init(&one.done, 0, 0);
    on_loop(start_on_second, &one);
    size_t length = HEAD + one.request.packet.length;
    assert_int_equal(recv(pair[1], said, length, MSG_WAITALL), length); /* and nobody has said a version yet */
    assert_int_equal(said[4], ORB_SFTP_INIT);
    assert_int_equal(said[HEAD + 4], ORB_SFTP_REMOVE);
    memcpy(answers + HEAD + 5, said + HEAD + 5, 4); /* its id */
    assert_int_equal(send(pair[1], answers, sizeof(answers), 0), sizeof(answers));
    finish(&one);
    assert_int_equal(one.request.type, ORB_SFTP_STATUS);
    assert_int_equal(one.request.status, ORB_SFTP_STATUS_OK);
    assert_false(has_ended);
    on_loop(free_second, NULL);
    close(pair[1]);
}

static void forgotten_requests_trouble_nobody(void **state)
{
    enum { BYTES = 30000 };
    static struct one one;
    uint8_t *bytes = pattern(BYTES), back[100];
    (void)state;
    start_scripted("reorder=3", NULL);
    struct orb_sftp_handle handle =
        open_path(in("file"), ORB_SFTP_OPEN_READ | ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE);
    one = (struct one){0};
    orb_sftp_write_at(&one.request, &handle, 0, bytes, BYTES);
    ask(&one);
    for (unsigned i = 0; i < 500; i++) { /* also opened ones: their handles are closed, or the server has none left */
        struct one gone = {.bytes = bytes, .room = BYTES};
        if (i % 2)
            orb_sftp_open(&gone.request, in("file"), ORB_SFTP_OPEN_READ, NULL);
        else
            orb_sftp_read_at(&gone.request, &handle, 0, BYTES);
        begin(&gone);
        if (i % 5 == 0)
            usleep(300);
        on_loop(forget_one, &gone);
        orb_sftp_request_release(&gone.request);
    }
    one = (struct one){.bytes = back, .room = sizeof(back)};
    orb_sftp_read_at(&one.request, &handle, 0, sizeof(back));
    ask(&one);
    assert_int_equal(one.request.received, sizeof(back));
    (void)open_path(in("file"), ORB_SFTP_OPEN_READ);
    assert_false(has_ended);
    free(bytes);
}

static void reader_without_memory_fails_alone(void **state)
{
    struct one one = {0};
    uint8_t back[16];
    (void)state;
    start_scripted(NULL, NULL);
    bytes_there_and_back(false);
    struct orb_sftp_handle handle = open_path(in("file"), ORB_SFTP_OPEN_READ);
    one.bytes = back;
    one.room = sizeof(back);
    orb_sftp_read_at(&one.request, &handle, 0, 5000);
    ask(&one);
    assert_int_equal(one.request.type, ORB_SFTP_DATA);
    assert_true(one.request.no_memory);
    one = (struct one){.bytes = back, .room = sizeof(back)};
    orb_sftp_read_at(&one.request, &handle, 0, sizeof(back));
    ask(&one);
    assert_int_equal(one.request.received, sizeof(back));
}

/* ---- servers that do not behave ---- */

static void ends_with(const char *fault, orbit_status status, const char *words)
{
    struct one one = {0}, names = {0}, data = {0};
    uint8_t back[100];
    start_scripted(fault, NULL);
    struct orb_sftp_handle handle = {.length = 1};
    if (!has_ended) {
        FILE *file = fopen(in("file"), "w");
        assert_non_null(file);
        fputs("some bytes", file);
        fclose(file);
        orb_sftp_open(&one.request, in("file"), ORB_SFTP_OPEN_READ, NULL);
        ask(&one);
        if (one.request.type == ORB_SFTP_HANDLE)
            handle = one.handle;
        data.bytes = back;
        data.room = sizeof(back);
        orb_sftp_read_at(&data.request, &handle, 0, 20);
        ask(&data);
        one = (struct one){0};
        orb_sftp_path(&one.request, ORB_SFTP_OPENDIR, directory);
        ask(&one);
        orb_sftp_on_handle(&names.request, ORB_SFTP_READDIR, &one.handle);
        ask(&names);
        if (!names.failed)
            assert_int_equal(names.request.type, ORB_SFTP_NAME);
        sem_wait(&signalled);
    }
    assert_true(has_ended);
    assert_false(has_ended_well);
    assert_int_equal(ended_error.status, status);
    if (!strstr(ended_error.message, words))
        fail_msg("'%s' is not in '%s'", words, ended_error.message);
    stop();
}

static void hostile_replies_end_the_session_with_one_sentence(void **state)
{
    (void)state;
    ends_with("bad_length=2", ORBIT_E_PROTOCOL, "the length of a packet cannot be");
    ends_with("bad_id=2", ORBIT_E_PROTOCOL, "it answers what was not asked");
    ends_with("bad_type=3", ORBIT_E_PROTOCOL, "another kind than its question");
    ends_with("bad_data=1", ORBIT_E_PROTOCOL, "the length of a packet cannot be");
    ends_with("more_data=1", ORBIT_E_PROTOCOL, "more of a file than was asked for");
    ends_with("noise=1", ORBIT_E_PROTOCOL, "'Welcome to the machine' instead of SFTP");
    ends_with("version=2", ORBIT_E_UNSUPPORTED, "version 2");
    ends_with("stall_at=2", ORBIT_E_TIMEOUT, "did not answer");
}

static void lost_connection_is_told_to_every_request(void **state)
{
    enum { COUNT = 20 };
    static struct one ones[COUNT];
    (void)state;
    start_scripted("drop_at=10", NULL);
    memset(ones, 0, sizeof(ones));
    for (size_t i = 0; i < COUNT; i++) {
        orb_sftp_path(&ones[i].request, ORB_SFTP_LSTAT, directory);
        begin(&ones[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        finish(&ones[i]);
        assert_int_equal(ones[i].request.type, i < 9 ? ORB_SFTP_ATTRS : 0);
        if (i >= 9)
            assert_int_equal(ones[i].failed, ORBIT_E_NETWORK);
    }
    sem_wait(&signalled);
    assert_true(has_ended && has_ended_well);
    struct one late = {0}; /* after the end, too */
    orb_sftp_path(&late.request, ORB_SFTP_LSTAT, directory);
    ask(&late);
    assert_int_equal(late.failed, ORBIT_E_NETWORK);
}

static void connection_that_is_lost_at_any_byte_ends_everything(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 60; at += 3) {
        char fault[32];
        struct one one = {0};
        snprintf(fault, sizeof(fault), "drop_out=%u", at);
        start_scripted(fault, NULL);
        if (!has_ended) {
            do {
                orb_sftp_path(&one.request, ORB_SFTP_LSTAT, directory);
                ask(&one);
            } while (one.request.type);
            assert_int_equal(one.failed, ORBIT_E_NETWORK);
            sem_wait(&signalled);
        }
        assert_true(has_ended && has_ended_well);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(many_requests_are_under_way_with_openssh),
        TEST(many_requests_are_under_way_with_a_server_without_extensions),
        TEST(ease_tells_whether_we_keep_up),
        TEST(replies_come_in_any_order),
        TEST(attributes_come_and_are_set),
        TEST(session_like_another_one_asks_before_it_is_answered),
        TEST(forgotten_requests_trouble_nobody),
        TEST(reader_without_memory_fails_alone),
        TEST(hostile_replies_end_the_session_with_one_sentence),
        TEST(lost_connection_is_told_to_every_request),
        TEST(connection_that_is_lost_at_any_byte_ends_everything),
    };
    return cmocka_run_group_tests_name("sftp", tests, NULL, NULL);
}
