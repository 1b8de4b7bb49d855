/* SPDX-License-Identifier: Apache-2.0
 * The pipe whose bytes are stored or loaded on the other end's thread, and with a thread at each end. */
#include "pipe_fixture.h"

/* ---- two threads ------------------------------------------------------------------------------------ */

#define STREAM (64 * BLOCK + 12345)

static void *source_thread(void *ctx)
{
    (void)ctx;
    uint64_t at = 0;
    unsigned seed = 1;
    orbit_status status = ORBIT_OK;
    while (at < STREAM && status >= 0) {
        uint64_t bytes = (uint64_t)rand_r(&seed) % 100000 + 1;
        if (bytes > STREAM - at)
            bytes = STREAM - at;
        uint64_t done = pour(at, bytes, 16384, &status);
        at += done;
        if (done < bytes)
            sem_wait(&bench.source_resumed);
    }
    return NULL;
}

static void *target_thread(void *ctx)
{
    uint64_t at = 0;
    while (drain(&at, 30011) == ORBIT_AGAIN)
        sem_wait(&bench.target_resumed);
    *(uint64_t *)ctx = at;
    return NULL;
}

static void two_threads_pass_every_byte_in_order(void **state)
{
    (void)state;
    uint64_t got = 0;
    pthread_t source, target;
    arm(STREAM);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    pthread_create(&source, NULL, source_thread, NULL);
    pthread_create(&target, NULL, target_thread, &got);
    pthread_join(source, NULL);
    pthread_join(target, NULL);
    assert_int_equal(got, STREAM);
    assert_true(orb_pipe_crc64(&bench.pipe) == crc64_of(STREAM));
}

/* ---- a target that stores on the source's thread ----------------------------------------------------- */

static struct {
    uint64_t at;
    unsigned calls, refuse;
    orbit_status peeked; /* what a peek says in the middle of it */
    bool fail;
} shelf;

static bool shelve(orbit_op *op, const void *bytes, size_t length)
{
    (void)op;
    shelf.calls++;
    if (shelf.refuse) {
        shelf.refuse--;
        return false;
    }
    for (size_t i = 0; i < length; i++)
        if (((const uint8_t *)bytes)[i] != byte_at(shelf.at + i))
            shelf.fail = true;
    const void *seen;
    size_t room;
    shelf.peeked = bench.pipe.body.peek(&bench.pipe.body, &seen, &room);
    shelf.at += length;
    return true;
}

/* The first block is there, and the target waits for the second. */
static void shelf_after_one_block(uint64_t length)
{
    orbit_status status;
    uint64_t at = 0;
    memset(&shelf, 0, sizeof(shelf));
    shelf.at = BLOCK;
    bench.target.store = shelve;
    arm(length);
    pour(0, BLOCK, 10000, &status);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(drain(&at, BLOCK), ORBIT_AGAIN);
    assert_int_equal(at, BLOCK);
    assert_int_equal(shelf.calls, 0);
}

static bool offer(uint64_t at, size_t length)
{
    static uint8_t piece[BLOCK];
    for (size_t i = 0; i < length; i++)
        piece[i] = byte_at(at + i);
    return bench.pipe.sink.take(&bench.pipe.sink, piece, length);
}

static void a_target_that_stores_gets_full_blocks_at_once(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = BLOCK, length = 5 * BLOCK;
    shelf_after_one_block(length);
    assert_int_equal(pour(BLOCK, 3 * BLOCK, 10000, &status), 3 * BLOCK);
    assert_int_equal(shelf.calls, 3);
    assert_int_equal(shelf.at, 4 * BLOCK);
    assert_int_equal(shelf.peeked, ORBIT_AGAIN);
    assert_false(shelf.fail);
    assert_false(is_up(&bench.target_resumed));
    at = shelf.at;
    assert_int_equal(pour(at, BLOCK, 10000, &status), BLOCK);
    assert_int_equal(shelf.calls, 3); /* the last block is looked at before it is seen */
    sem_wait(&bench.target_resumed);
    assert_int_equal(drain(&at, BLOCK), ORBIT_END);
    assert_int_equal(at, length);
}

static void a_target_that_cannot_store_now_is_woken(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = BLOCK;
    shelf_after_one_block(4 * BLOCK);
    shelf.refuse = 1;
    assert_int_equal(pour(BLOCK, 2 * BLOCK, 10000, &status), 2 * BLOCK);
    sem_wait(&bench.target_resumed);
    assert_int_equal(shelf.calls, 1); /* it does not wait any more: nothing is stored past it */
    assert_int_equal(drain(&at, BLOCK), ORBIT_AGAIN);
    assert_int_equal(at, 3 * BLOCK);
}

/* ---- a source that loads on the target's thread ------------------------------------------------------ */

static struct {
    uint64_t at, end; /* of what it can give without waiting */
    unsigned calls;
} shop;

static bool give_block(orbit_op *op)
{
    orbit_status status;
    (void)op;
    shop.calls++;
    if (shop.at == shop.end)
        return false;
    shop.at += pour(shop.at, BLOCK / 2, BLOCK, &status); /* twice makes a block */
    return status >= 0;
}

/* Two blocks are there, and the source waits for room. */
static void shop_with_two_blocks(uint64_t length, uint64_t end)
{
    orbit_status status;
    memset(&shop, 0, sizeof(shop));
    bench.source.load = give_block;
    arm(length);
    shop.at = pour(0, length, BLOCK, &status);
    shop.end = end;
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
}

static void a_source_that_loads_is_asked_when_nothing_is_left(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    const void *bytes;
    size_t length;
    shop_with_two_blocks(6 * BLOCK, 5 * BLOCK);
    assert_int_equal(shop.at, 2 * BLOCK);
    assert_int_equal(bench.pipe.body.peek(&bench.pipe.body, &bytes, &length), ORBIT_OK);
    assert_int_equal(shop.calls, 0);
    assert_int_equal(drain(&at, 10000), ORBIT_AGAIN);
    assert_int_equal(at, 5 * BLOCK);
    assert_int_equal(shop.calls, 3 * 2 + 1);
    sem_wait(&bench.source_resumed); /* for the rest, once */
    assert_false(is_up(&bench.source_resumed));
    assert_int_equal(pour(at, BLOCK, 10000, &status), BLOCK);
    sem_wait(&bench.target_resumed);
    assert_int_equal(drain(&at, BLOCK), ORBIT_END);
    assert_int_equal(at, 6 * BLOCK);
    assert_int_equal(shop.calls, 3 * 2 + 1);
}

static void a_source_that_would_have_to_wait_reads_ahead_again(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    shop_with_two_blocks(40 * BLOCK, 2 * BLOCK);
    assert_int_equal(drain(&at, BLOCK), ORBIT_AGAIN);
    assert_int_equal(shop.calls, 1);
    sem_wait(&bench.source_resumed);
    for (unsigned i = 0; i < 8; i++) { /* two blocks each time: it is woken as soon as there is room for one */
        assert_int_equal(pour(at, 3 * BLOCK, BLOCK, &status), 2 * BLOCK);
        assert_int_equal(drain(&at, BLOCK), ORBIT_AGAIN);
        sem_wait(&bench.source_resumed);
    }
    assert_int_equal(shop.calls, 1);
    pour(at, 3 * BLOCK, BLOCK, &status);
    shop.at = at + 2 * BLOCK;
    shop.end = at + 4 * BLOCK;
    assert_int_equal(drain(&at, BLOCK), ORBIT_AGAIN);
    assert_int_equal(at, shop.end); /* it was tried again */
}

static void large_pieces_are_taken_where_they_lie(void **state)
{
    (void)state;
    orbit_status status;
    const uint64_t length = 3 * BLOCK;
    uint8_t *all = malloc(length);
    for (uint64_t i = 0; i < length; i++)
        all[i] = byte_at(i);
    uint64_t crc = orb_crc64nvme(0, all, length);
    free(all);

    shelf_after_one_block(length);
    uint64_t at = BLOCK;
    assert_false(offer(at, 100)); /* little is gathered */
    assert_true(offer(at, ORB_PIPE_TAKE));
    at += ORB_PIPE_TAKE;
    assert_false(orb_pipe_rewind(&bench.pipe));
    pour(at, 100, 100, &status); /* now a block holds some */
    assert_false(offer(at + 100, ORB_PIPE_TAKE));
    at += 100;
    uint64_t rest = 2 * BLOCK - at;
    assert_int_equal(pour(at, rest, 10000, &status), rest);
    assert_int_equal(shelf.at, 2 * BLOCK);
    assert_true(offer(2 * BLOCK, ORB_PIPE_TAKE));
    assert_false(offer(2 * BLOCK + ORB_PIPE_TAKE, BLOCK - ORB_PIPE_TAKE)); /* the end */
    at = 2 * BLOCK + ORB_PIPE_TAKE;
    pour(at, length - at, 10000, &status);
    assert_int_equal(drain(&at, BLOCK), ORBIT_END);
    assert_int_equal(at, length);
    assert_false(shelf.fail);
    assert_true(orb_pipe_crc64(&bench.pipe) == crc);
}

static void nothing_is_taken_by_a_pipe_that_failed(void **state)
{
    (void)state;
    orbit_error error;
    shelf_after_one_block(3 * BLOCK);
    orb_fail(&error, ORBIT_E_IO, 0, "broken");
    orb_pipe_fail(&bench.pipe, &error);
    assert_false(offer(BLOCK, ORB_PIPE_TAKE));
    assert_int_equal(shelf.calls, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_target_that_stores_gets_full_blocks_at_once),
        TEST(a_target_that_cannot_store_now_is_woken),
        TEST(a_source_that_loads_is_asked_when_nothing_is_left),
        TEST(a_source_that_would_have_to_wait_reads_ahead_again),
        TEST(large_pieces_are_taken_where_they_lie),
        TEST(nothing_is_taken_by_a_pipe_that_failed),
        TEST(two_threads_pass_every_byte_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
