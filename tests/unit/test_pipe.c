/* SPDX-License-Identifier: Apache-2.0
 * The pipe between a read and a write: order, blocks, pauses, checksums, failing, starting over. */
#include "pipe_fixture.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
