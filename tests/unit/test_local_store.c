/* SPDX-License-Identifier: Apache-2.0
 * Bytes that are stored on the thread that received them, while the worker that writes a put or a part waits; and bytes
 * that are read on the thread that sends them on. */
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>

#include "backend/local/local_write.h"
#include "base/clock.h"
#include "local_fixture.h"

/* A body of ten bytes that has nothing until the test says so. */
struct slow_body {
    struct ophost_call call;
    orbit_body body;
    const char *bytes;
    _Atomic size_t at, there;
    sem_t asked;
    void *upload;
    orbit_part part;
    orbit_part_reply reply;
    orbit_put_request put;
    orbit_metadata metadata;
};

static struct slow_body *slow_of(orbit_body *body)
{
    return (struct slow_body *)(void *)((char *)body - offsetof(struct slow_body, body));
}

static orbit_status slow_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct slow_body *slow = slow_of(body);
    if (slow->at == body->length)
        return ORBIT_END;
    if (slow->at == slow->there) {
        sem_post(&slow->asked);
        return ORBIT_AGAIN;
    }
    *bytes = slow->bytes + slow->at;
    *length = slow->there - slow->at;
    return ORBIT_OK;
}

static void slow_consume(orbit_body *body, size_t length)
{
    slow_of(body)->at += length;
}

static orbit_status slow_rewind(orbit_body *body)
{
    (void)body;
    return ORBIT_E_UNSUPPORTED;
}

static void start_part(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct slow_body *slow = call->ctx;
    ops->part(self, op, slow->upload, &slow->part, &slow->body, &slow->reply);
}

static void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct slow_body *slow = call->ctx;
    ops->put(self, op, &slow->put, &slow->body, &slow->metadata);
}

static void slow_init(struct slow_body *slow, const char *bytes)
{
    memset(slow, 0, sizeof(*slow));
    sem_init(&slow->asked, 0, 0);
    slow->call.ctx = slow;
    slow->bytes = bytes;
    slow->body = (orbit_body){slow_peek, slow_consume, slow_rewind, strlen(bytes), NULL, NULL};
}

/* The worker has left the operation some moments after it found nothing. */
static bool store(struct slow_body *slow, const char *bytes, size_t length)
{
    orbit_op *op = &slow->call.op.op;
    for (int i = 0; i < 2000; i++) {
        if (op->store(op, bytes, length)) {
            slow->at += length;
            slow->there += length;
            return true;
        }
        usleep(1000);
    }
    return false;
}

static void more(struct slow_body *slow, size_t length)
{
    slow->there += length;
    slow->call.op.op.resume(&slow->call.op.op);
}

static void a_put_takes_bytes_from_their_receiver(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_body slow;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    slow_init(&slow, "0123456789");
    slow.put = (orbit_put_request){.path = "file", .options = &options};
    slow.call.start = start_put;
    ophost_start(&slow.call, f->store);
    sem_wait(&slow.asked);
    assert_true(store(&slow, "0123", 4));
    assert_int_equal(access("file", F_OK), -1);
    more(&slow, 2);
    sem_wait(&slow.asked);
    assert_true(store(&slow, "678", 3));
    more(&slow, 1);
    assert_status(ophost_wait(&slow.call, &f->error), ORBIT_OK);
    assert_holds("file", "0123456789");
    orbit_metadata_release(&slow.metadata);
}

static void parts_take_bytes_at_their_places(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_body parts[2];
    orbit_begin_reply begin = {0};
    assert_status(ophost_begin(f->store, "file", NULL, 20, 10, NULL, &begin, &f->error), ORBIT_OK);
    for (unsigned i = 0; i < 2; i++) {
        slow_init(&parts[i], i ? "abcdefghij" : "0123456789");
        parts[i].upload = begin.upload;
        parts[i].part = (orbit_part){i + 1, 10 * i, 10};
        parts[i].call.start = start_part;
        ophost_start(&parts[i].call, f->store);
        sem_wait(&parts[i].asked);
    }
    assert_true(store(&parts[1], "abcde", 5));
    assert_true(store(&parts[0], "0123456", 7));
    assert_true(store(&parts[1], "fghi", 4));
    orbit_op *op = &parts[0].call.op.op;
    assert_false(op->store(op, "too many", 8));
    more(&parts[0], 3);
    more(&parts[1], 1);
    for (unsigned i = 0; i < 2; i++)
        assert_status(ophost_wait(&parts[i].call, &f->error), ORBIT_OK);
    assert_status(ophost_finish(f->store, begin.upload, 20, 2, NULL, &f->error), ORBIT_OK);
    ophost_release(f->store, begin.upload);
    assert_holds("file", "0123456789abcdefghij");
}

static void what_cannot_be_stored_is_told_by_the_worker(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_body slow;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 4;
    signal(SIGXFSZ, SIG_IGN);
    slow_init(&slow, "0123456789");
    slow.put = (orbit_put_request){.path = "file", .options = &options};
    slow.call.start = start_put;
    ophost_start(&slow.call, f->store);
    sem_wait(&slow.asked);
    assert_true(store(&slow, "0123", 4));
    setrlimit(RLIMIT_FSIZE, &tight);
    orbit_op *op = &slow.call.op.op;
    bool stored = op->store(op, "45", 2);
    more(&slow, 6);
    orbit_status status = ophost_wait(&slow.call, &f->error);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(stored);
    assert_status(status, ORBIT_E_LIMIT);
    assert_int_equal(count_names("."), 0);
}

static void a_cancelled_put_takes_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_body slow;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    slow_init(&slow, "0123456789");
    slow.put = (orbit_put_request){.path = "file", .options = &options};
    slow.call.start = start_put;
    ophost_start(&slow.call, f->store);
    sem_wait(&slow.asked);
    assert_true(store(&slow, "0123", 4));
    ophost_cancel(&slow.call);
    assert_status(ophost_wait(&slow.call, &f->error), ORBIT_E_CANCELLED);
    orbit_op *op = &slow.call.op.op;
    assert_false(op->store(op, "45", 2));
    assert_int_equal(count_names("."), 0);
}

/* ---- loads ---------------------------------------------------------------------------------------- */

/* A sink that lends 256 KiB when the test says so. */
enum { PIECE = 256 << 10, WHOLE = 4 * PIECE };

struct slow_sink {
    struct ophost_call call;
    orbit_sink sink;
    uint8_t bytes[WHOLE];
    size_t at;
    _Atomic size_t there;
    sem_t asked;
    orbit_read_request request;
    orbit_read_reply reply;
};

static void *slow_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    struct slow_sink *slow = (struct slow_sink *)(void *)((char *)sink - offsetof(struct slow_sink, sink));
    (void)want;
    if (slow->at >= slow->there) {
        sem_post(&slow->asked);
        return NULL;
    }
    *room = slow->there - slow->at < PIECE ? slow->there - slow->at : PIECE;
    return slow->bytes + slow->at;
}

static orbit_status slow_commit(orbit_sink *sink, size_t length)
{
    struct slow_sink *slow = (struct slow_sink *)(void *)((char *)sink - offsetof(struct slow_sink, sink));
    slow->at += length;
    return ORBIT_OK;
}

static void start_read(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct slow_sink *slow = call->ctx;
    ops->read(self, op, &slow->request, &slow->sink, &slow->reply);
}

static void begin_read(struct fixture *f, struct slow_sink *slow, const uint8_t *bytes)
{
    FILE *file = fopen("file", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, WHOLE, file), WHOLE);
    fclose(file);
    memset(slow, 0, sizeof(*slow));
    sem_init(&slow->asked, 0, 0);
    slow->call.ctx = slow;
    slow->call.start = start_read;
    slow->sink = (orbit_sink){slow_acquire, slow_commit, NULL};
    slow->request = (orbit_read_request){.path = "file", .length = ORBIT_TO_END};
    ophost_start(&slow->call, f->store);
    sem_wait(&slow->asked);
}

static bool load(struct slow_sink *slow)
{
    orbit_op *op = &slow->call.op.op;
    for (int i = 0; i < 2000; i++) {
        if (op->load(op))
            return true;
        usleep(1000);
    }
    return false;
}

static void a_read_gives_bytes_to_who_sends_them_on(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_sink slow;
    static uint8_t bytes[WHOLE];
    for (size_t i = 0; i < WHOLE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 1000);
    begin_read(f, &slow, bytes);
    orbit_op *op = &slow.call.op.op;
    for (size_t piece = 1; piece < 4; piece++) {
        slow.there = piece * PIECE;
        assert_true(load(&slow));
        assert_int_equal(slow.at, piece * PIECE);
        assert_false(op->load(op)); /* no room */
    }
    slow.there = WHOLE;
    assert_false(op->load(op)); /* the end is the worker's */
    op->resume(op);
    assert_status(ophost_wait(&slow.call, &f->error), ORBIT_OK);
    assert_memory_equal(slow.bytes, bytes, WHOLE);
    orbit_metadata_release(&slow.reply.metadata);
}

static void a_file_that_is_cut_off_meanwhile_is_told_by_the_worker(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_sink slow;
    static uint8_t bytes[WHOLE];
    begin_read(f, &slow, bytes);
    orbit_op *op = &slow.call.op.op;
    slow.there = WHOLE;
    assert_true(load(&slow));
    assert_int_equal(truncate("file", PIECE), 0);
    assert_false(op->load(op));
    op->resume(op);
    assert_status(ophost_wait(&slow.call, &f->error), ORBIT_E_CHANGED);
    orbit_metadata_release(&slow.reply.metadata);
}

static void a_cancelled_read_loads_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct slow_sink slow;
    static uint8_t bytes[WHOLE];
    begin_read(f, &slow, bytes);
    slow.there = WHOLE;
    ophost_cancel(&slow.call);
    assert_status(ophost_wait(&slow.call, &f->error), ORBIT_E_CANCELLED);
    orbit_op *op = &slow.call.op.op;
    assert_false(op->load(op));
    orbit_metadata_release(&slow.reply.metadata);
}

/* Until when only workers write, once a write that took so long has ended. */
static uint64_t rest_after(struct orb_local_aside *aside, uint64_t now_ms, uint64_t took_ms)
{
    orb_local_aside_note(aside, (now_ms - took_ms) * ORB_MS, now_ms * ORB_MS);
    return aside->until_ns / ORB_MS;
}

static void a_slow_disk_is_left_to_the_workers(void **state)
{
    (void)state;
    struct orb_local_aside aside = {0};
    assert_int_equal(rest_after(&aside, 5000, 19), 0);
    assert_int_equal(rest_after(&aside, 6000, 200), 0); /* by chance */
    assert_int_equal(rest_after(&aside, 7500, 200), 0); /* long after that */
    assert_int_equal(rest_after(&aside, 7600, 30), 8600);
    assert_int_equal(rest_after(&aside, 20000, 30), 22000); /* it is known by now */
    assert_int_equal(rest_after(&aside, 30000, 19), 22000);
    for (unsigned i = 0; i < 10; i++)
        rest_after(&aside, 40000, 30);
    assert_int_equal(aside.until_ns / ORB_MS, 104000);
}

#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(a_put_takes_bytes_from_their_receiver),
        LOCAL_TEST(parts_take_bytes_at_their_places),
        LOCAL_TEST(what_cannot_be_stored_is_told_by_the_worker),
        LOCAL_TEST(a_cancelled_put_takes_nothing),
        LOCAL_TEST(a_read_gives_bytes_to_who_sends_them_on),
        LOCAL_TEST(a_file_that_is_cut_off_meanwhile_is_told_by_the_worker),
        LOCAL_TEST(a_cancelled_read_loads_nothing),
        cmocka_unit_test(a_slow_disk_is_left_to_the_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
