/* SPDX-License-Identifier: Apache-2.0
 * The pipe between a read and a write: order, blocks, pauses, checksums, failing, starting over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/pipe.h"

#define BLOCK ORB_PIPE_BLOCK

struct bench {
    struct orbit_host host;
    struct orb_pipe pipe;
    sem_t ready, stuck, moment;
    orbit_op source, target;
    sem_t source_resumed, target_resumed;
};

static struct bench bench;

static void source_resume(orbit_op *op)
{
    (void)op;
    sem_post(&bench.source_resumed);
}

static void target_resume(orbit_op *op)
{
    (void)op;
    sem_post(&bench.target_resumed);
}

static void news(struct orb_pipe *pipe, enum orb_pipe_news what)
{
    (void)pipe;
    if (what == ORB_PIPE_READY)
        sem_post(&bench.ready);
    else if (what == ORB_PIPE_STUCK)
        sem_post(&bench.stuck);
}

struct note {
    struct orb_message message;
};

static void note_delivered(struct orb_message *message)
{
    (void)message;
    sem_post(&bench.moment);
}

/* All that was posted before has been delivered. */
static void let_loop_run(void)
{
    static struct note note;
    note.message.deliver = note_delivered;
    orb_loop_post(bench.host.loop, &note.message);
    sem_wait(&bench.moment);
}

static bool is_up(sem_t *semaphore)
{
    int value = 0;
    sem_getvalue(semaphore, &value);
    return value > 0;
}

static int setup(void **state)
{
    (void)state;
    orbit_error error;
    memset(&bench, 0, sizeof(bench));
    sem_init(&bench.ready, 0, 0);
    sem_init(&bench.stuck, 0, 0);
    sem_init(&bench.moment, 0, 0);
    sem_init(&bench.source_resumed, 0, 0);
    sem_init(&bench.target_resumed, 0, 0);
    bench.source.resume = source_resume;
    bench.target.resume = target_resume;
    if (orb_loop_new(&bench.host.loop, "test", false, &error) < 0 || orb_loop_start(bench.host.loop, &error) < 0)
        return -1;
    bench.pipe.news = news;
    return orb_pipe_open(&bench.pipe, &bench.host, &error) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    orb_pipe_detach_source(&bench.pipe);
    orb_pipe_detach_target(&bench.pipe);
    let_loop_run();
    orb_pipe_close(&bench.pipe);
    orb_loop_free(bench.host.loop);
    return 0;
}

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 17 + (at >> 16));
}

/* Fills up to `bytes` from position `at`; returns how many fitted before the pipe paused. */
static uint64_t pour(uint64_t at, uint64_t bytes, size_t step, orbit_status *status)
{
    uint64_t done = 0;
    *status = ORBIT_OK;
    while (done < bytes && *status >= 0) {
        size_t room = 0;
        uint8_t *memory = bench.pipe.sink.acquire(&bench.pipe.sink, step, &room);
        if (!memory)
            break;
        size_t take = bytes - done < room ? (size_t)(bytes - done) : room;
        if (take > step)
            take = step;
        for (size_t i = 0; i < take; i++)
            memory[i] = byte_at(at + done + i);
        *status = bench.pipe.sink.commit(&bench.pipe.sink, take);
        done += take;
    }
    return done;
}

/* Drains what there is, checking it; returns the last word of peek. */
static orbit_status drain(uint64_t *at, size_t step)
{
    for (;;) {
        const void *bytes;
        size_t length;
        orbit_status status = bench.pipe.body.peek(&bench.pipe.body, &bytes, &length);
        if (status != ORBIT_OK)
            return status;
        if (length > step)
            length = step;
        for (size_t i = 0; i < length; i++)
            if (((const uint8_t *)bytes)[i] != byte_at(*at + i))
                fail_msg("wrong byte at %zu", (size_t)*at + i);
        *at += length;
        bench.pipe.body.consume(&bench.pipe.body, length);
    }
}

static void arm(uint64_t length)
{
    orb_pipe_arm(&bench.pipe, length, ORB_PIPE_CRC64NVME | ORB_PIPE_CRC32C, false);
    orb_pipe_attach_source(&bench.pipe, &bench.source);
}

static void small_bodies_are_whole(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(1000);
    assert_int_equal(pour(0, 1000, 300, &status), 1000);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_non_null(bench.pipe.body.whole);
    assert_int_equal(bench.pipe.body.length, 1000);
    assert_int_equal(((const uint8_t *)bench.pipe.body.whole)[999], byte_at(999));
    assert_int_equal(drain(&at, 77), ORBIT_END);
    assert_int_equal(at, 1000);
}

static void nothing_is_ready_before_a_block_is_full(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(2 * BLOCK);
    pour(0, BLOCK - 1, 4096, &status);
    let_loop_run();
    assert_false(is_up(&bench.ready));
    pour(BLOCK - 1, 1, 4096, &status);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_null(bench.pipe.body.whole);
    assert_int_equal(drain(&at, 4096), ORBIT_AGAIN);
    assert_int_equal(at, BLOCK);
    pour(BLOCK, BLOCK, 4096, &status);
    sem_wait(&bench.target_resumed);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, 2 * BLOCK);
    assert_true(orb_pipe_crc64(&bench.pipe) != 0);
}

static void a_full_pipe_pauses_its_source_and_wakes_it(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0, length = 10 * BLOCK;
    arm(length);
    assert_int_equal(pour(0, length, 10000, &status), ORB_PIPE_BYTES);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_false(is_up(&bench.source_resumed));
    const void *bytes;
    size_t got;
    assert_int_equal(bench.pipe.body.peek(&bench.pipe.body, &bytes, &got), ORBIT_OK);
    assert_int_equal(got, BLOCK);
    bench.pipe.body.consume(&bench.pipe.body, BLOCK - 1);
    assert_false(is_up(&bench.source_resumed));
    bench.pipe.body.consume(&bench.pipe.body, 1);
    assert_true(is_up(&bench.source_resumed));
    at = BLOCK;
    drain(&at, 5000);
    assert_int_equal(at, ORB_PIPE_BYTES);
}

static void wide_blocks_are_lent_and_handed_over_whole(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(3 * BLOCK);
    pour(0, BLOCK, 10000, &status); /* it had other blocks before */
    sem_wait(&bench.ready);
    orb_pipe_detach_source(&bench.pipe);
    orb_pipe_set_block(&bench.pipe, ORB_PIPE_WIDE);
    arm(3 * ORB_PIPE_WIDE);
    assert_int_equal(pour(0, 3 * ORB_PIPE_WIDE, 10000, &status), ORB_PIPE_BLOCKS * ORB_PIPE_WIDE);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    const void *bytes;
    size_t got;
    assert_int_equal(bench.pipe.body.peek(&bench.pipe.body, &bytes, &got), ORBIT_OK);
    assert_int_equal(got, ORB_PIPE_WIDE);
    drain(&at, 100000);
    assert_int_equal(at, ORB_PIPE_BLOCKS * ORB_PIPE_WIDE);
}

static void a_target_can_start_over_while_all_is_there(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(ORB_PIPE_BYTES);
    pour(0, ORB_PIPE_BYTES, 10000, &status);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    at = 0;
    assert_int_equal(bench.pipe.body.rewind(&bench.pipe.body), ORBIT_OK);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, ORB_PIPE_BYTES);
}

static void recycled_bytes_cannot_be_rewound(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(ORB_PIPE_BYTES + 1);
    pour(0, ORB_PIPE_BYTES, 10000, &status);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    drain(&at, 4096);
    pour(at, 1, 1, &status);
    assert_int_equal(bench.pipe.body.rewind(&bench.pipe.body), ORBIT_E_UNSUPPORTED);
}

static void a_deaf_pipe_gives_nothing_until_it_is_armed_again(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    arm(2 * BLOCK);
    pour(0, BLOCK, 10000, &status);
    orb_pipe_deafen(&bench.pipe);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(drain(&at, 4096), ORBIT_AGAIN);
    assert_int_equal(at, 0);
    pour(BLOCK, 100, 100, &status);
    assert_int_equal(status, ORBIT_E_CANCELLED);
    arm(2 * BLOCK);
    pour(0, 2 * BLOCK, 10000, &status);
    assert_int_equal(status, ORBIT_OK);
    sem_wait(&bench.target_resumed);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, 2 * BLOCK);
}

static void too_many_bytes_fail_the_pipe(void **state)
{
    (void)state;
    orbit_status status;
    orbit_error error = {0};
    arm(1000);
    pour(0, 1001, 500, &status);
    assert_int_equal(status, ORBIT_E_PROTOCOL);
    assert_int_equal(orb_pipe_failure(&bench.pipe, &error), ORBIT_E_PROTOCOL);
    assert_non_null(strstr(error.message, "1000"));
}

static void a_source_may_look_for_the_end(void **state)
{
    (void)state;
    orbit_status status;
    size_t room;
    arm(1000);
    pour(0, 1000, 500, &status);
    assert_non_null(bench.pipe.sink.acquire(&bench.pipe.sink, 0, &room));
    assert_int_equal(bench.pipe.sink.commit(&bench.pipe.sink, 0), ORBIT_OK);
}

static void failing_reaches_both_ends(void **state)
{
    (void)state;
    orbit_status status;
    orbit_error error;
    const void *bytes;
    size_t length;
    arm(10 * BLOCK);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(bench.pipe.body.peek(&bench.pipe.body, &bytes, &length), ORBIT_AGAIN);
    orb_fail(&error, ORBIT_E_IO, 5, "gone");
    orb_pipe_fail(&bench.pipe, &error);
    assert_true(is_up(&bench.target_resumed));
    assert_int_equal(bench.pipe.body.peek(&bench.pipe.body, &bytes, &length), ORBIT_E_IO);
    pour(0, 10, 10, &status);
    assert_int_equal(status, ORBIT_E_IO);
    orb_fail(&error, ORBIT_E_PROTOCOL, 0, "later");
    orb_pipe_fail(&bench.pipe, &error);
    assert_int_equal(orb_pipe_failure(&bench.pipe, &error), ORBIT_E_IO);
    assert_string_equal(error.message, "gone");
}

static uint64_t crc64_of(uint64_t length)
{
    uint64_t crc = 0;
    for (uint64_t i = 0; i < length; i++) {
        uint8_t byte = byte_at(i);
        crc = orb_crc64nvme(crc, &byte, 1);
    }
    return crc;
}

static void the_last_block_is_withheld_when_the_checksum_is_wrong(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0, length = BLOCK + 1000;
    orbit_checksum wrong = orb_checksum_crc64nvme(crc64_of(length) ^ 1);
    arm(length);
    orb_pipe_expect(&bench.pipe, &wrong);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    pour(0, length, 10000, &status);
    assert_int_equal(status, ORBIT_E_CHECKSUM);
    assert_int_equal(drain(&at, 4096), ORBIT_E_CHECKSUM);
    assert_int_equal(at, 0);
}

static void the_right_checksum_lets_all_bytes_through(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0, length = BLOCK + 1000;
    orbit_checksum right = orb_checksum_crc64nvme(crc64_of(length));
    arm(length);
    orb_pipe_expect(&bench.pipe, &right);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    pour(0, length, 10000, &status);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, length);
}

/* Whichever it is: the SHA-1 of the bytes, or another one. */
static orbit_status pass_with_hash(uint64_t length, unsigned wrong, uint64_t *at)
{
    orbit_status status;
    uint8_t *all = malloc(length);
    orbit_checksum sha1 = {.algorithm = ORBIT_CHECKSUM_SHA1, .length = 20};
    for (uint64_t i = 0; i < length; i++)
        all[i] = byte_at(i);
    assert_int_equal(EVP_Digest(all, length, sha1.value, NULL, EVP_sha1(), NULL), 1);
    free(all);
    sha1.value[19] ^= (uint8_t)wrong;
    arm(length);
    orb_pipe_expect(&bench.pipe, &sha1);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(pour(0, length, 10000, &status), length);
    *at = 0;
    return drain(at, 4096);
}

static void the_right_hash_lets_all_bytes_through(void **state)
{
    (void)state;
    uint64_t at;
    assert_int_equal(pass_with_hash(BLOCK + 1000, 0, &at), ORBIT_END);
    assert_int_equal(at, BLOCK + 1000);
}

static void the_last_block_is_withheld_when_the_hash_is_wrong(void **state)
{
    (void)state;
    uint64_t at;
    assert_int_equal(pass_with_hash(BLOCK + 1000, 1, &at), ORBIT_E_CHECKSUM);
    assert_int_equal(at, 0);
}

static void held_bytes_wait_for_the_word(void **state)
{
    (void)state;
    orbit_status status;
    uint64_t at = 0;
    orb_pipe_arm(&bench.pipe, 2 * BLOCK, 0, true);
    orb_pipe_attach_source(&bench.pipe, &bench.source);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    pour(0, 2 * BLOCK, 10000, &status);
    assert_true(orb_pipe_arrived(&bench.pipe));
    assert_int_equal(drain(&at, 4096), ORBIT_AGAIN);
    assert_int_equal(at, BLOCK);
    orb_pipe_let_go(&bench.pipe);
    assert_true(is_up(&bench.target_resumed));
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, 2 * BLOCK);
}

static void a_length_may_become_known_late(void **state)
{
    (void)state;
    orbit_status status;
    orbit_error error;
    uint64_t at = 0;
    arm(ORBIT_SIZE_UNKNOWN);
    pour(0, BLOCK + 7, 10000, &status);
    let_loop_run();
    assert_false(is_up(&bench.ready));
    assert_int_equal(orb_pipe_set_length(&bench.pipe, BLOCK, &error), ORBIT_E_PROTOCOL);
    assert_int_equal(orb_pipe_set_length(&bench.pipe, BLOCK + 7, &error), ORBIT_OK);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(drain(&at, 4096), ORBIT_END);
    assert_int_equal(at, BLOCK + 7);
}

static void a_pipe_that_fills_up_unmeasured_says_so(void **state)
{
    (void)state;
    orbit_status status;
    arm(ORBIT_SIZE_UNKNOWN);
    assert_int_equal(pour(0, ORB_PIPE_BYTES + 1, 10000, &status), ORB_PIPE_BYTES);
    sem_wait(&bench.stuck);
}

static void an_empty_range_is_ready_at_once(void **state)
{
    (void)state;
    uint64_t at = 0;
    orb_pipe_arm(&bench.pipe, 0, 0, false);
    sem_wait(&bench.ready);
    orb_pipe_attach_target(&bench.pipe, &bench.target);
    assert_int_equal(drain(&at, 1), ORBIT_END);
    assert_int_equal(bench.pipe.body.length, 0);
}

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
        TEST(small_bodies_are_whole),
        TEST(nothing_is_ready_before_a_block_is_full),
        TEST(a_full_pipe_pauses_its_source_and_wakes_it),
        TEST(wide_blocks_are_lent_and_handed_over_whole),
        TEST(a_target_can_start_over_while_all_is_there),
        TEST(recycled_bytes_cannot_be_rewound),
        TEST(a_deaf_pipe_gives_nothing_until_it_is_armed_again),
        TEST(too_many_bytes_fail_the_pipe),
        TEST(a_source_may_look_for_the_end),
        TEST(failing_reaches_both_ends),
        TEST(the_last_block_is_withheld_when_the_checksum_is_wrong),
        TEST(the_right_checksum_lets_all_bytes_through),
        TEST(the_right_hash_lets_all_bytes_through),
        TEST(the_last_block_is_withheld_when_the_hash_is_wrong),
        TEST(held_bytes_wait_for_the_word),
        TEST(a_length_may_become_known_late),
        TEST(a_pipe_that_fills_up_unmeasured_says_so),
        TEST(an_empty_range_is_ready_at_once),
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
