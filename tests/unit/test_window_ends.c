/* SPDX-License-Identifier: Apache-2.0
 * Readers of sequential stores; seeking, and the ways in which reading ends. */
#include "window_fixture.h"

/* ---- sequential stores ----------------------------------------------------------------------------- */

static void sequential_store_is_read_once(void **state)
{
    struct world *world = *state;
    world->store.caps.ranged_read = false;
    world->store.size = 100 * CHUNK + 5;
    world->store.checksum = read_store_crc64(world->store.size);
    begin(world);
    whole(world);
    assert_int_equal(world->store.reads, 1);
    world->store.checksum.value[0] ^= 1;
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    assert_int_equal(drain(world, reader, 0, &status), world->store.size);
    assert_int_equal(status, ORBIT_E_CHECKSUM);
    orbit_reader_close(reader);
}

static void sequential_store_pauses_for_a_slow_consumer(void **state)
{
    struct world *world = *state;
    world->store.caps.ranged_read = false;
    world->store.size = 100 * CHUNK;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    uint64_t before = 0;
    while (before != world->store.bytes || !world->store.pauses) {
        before = world->store.bytes;
        usleep(20000);
    }
    assert_true(world->store.bytes < 10 * CHUNK);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
    assert_int_equal(world->store.reads, 1);
}

static void sequential_store_goes_on_where_it_was_cut(void **state)
{
    struct world *world = *state;
    world->store.caps.ranged_read = false;
    world->store.size = 5 * CHUNK + 1;
    world->store.cut_after = 2 * CHUNK + 100;
    world->store.cuts = 1;
    begin(world);
    whole(world);
    assert_int_equal(world->store.reads, 2);
    world->store.silent_cut = true;
    world->store.cuts = 1;
    whole(world);
    assert_int_equal(world->store.reads, 4);
}

static void sequential_store_honours_offsets_and_seeks(void **state)
{
    struct world *world = *state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    world->store.caps.ranged_read = false;
    world->store.size = 20 * CHUNK;
    begin(world);
    options.offset = 3 * CHUNK + 1;
    options.length = 4 * CHUNK;
    orbit_reader *reader = open_with(world, &options);
    expect_all(world, reader, options.offset, options.offset + options.length);
    orbit_reader_close(reader);

    reader = open_with(world, NULL);
    assert_int_equal(orbit_reader_seek(reader, 7 * CHUNK + 3, &world->error), ORBIT_OK);
    const void *bytes;
    size_t length;
    assert_int_equal(orbit_reader_next(reader, &bytes, &length, &world->error), ORBIT_OK);
    assert_int_equal(*(const uint8_t *)bytes, read_store_byte(7 * CHUNK + 3));
    assert_int_equal(orbit_reader_seek(reader, 5, &world->error), ORBIT_OK);
    expect_all(world, reader, 5, world->store.size);
    assert_int_equal(orbit_reader_seek(reader, world->store.size + 1, &world->error), ORBIT_OK);
    expect_all(world, reader, world->store.size + 1, world->store.size + 1);
    assert_int_equal(orbit_reader_seek(reader, 19 * CHUNK, &world->error), ORBIT_OK);
    expect_all(world, reader, 19 * CHUNK, world->store.size);
    orbit_reader_close(reader);
}

static void sequential_store_that_says_too_much_is_a_protocol_error(void **state)
{
    struct world *world = *state;
    world->store.caps.ranged_read = false;
    world->store.beyond = 3;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_PROTOCOL);
    orbit_reader_close(reader);
}

static void sequential_store_may_fail_in_the_middle(void **state)
{
    struct world *world = *state;
    world->store.caps.ranged_read = false;
    world->store.fail_at = 2 * CHUNK + 9;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    assert_int_equal(drain(world, reader, 0, &status), 2 * CHUNK + 9);
    assert_int_equal(status, ORBIT_E_IO);
    orbit_reader_close(reader);
}

/* ---- seeking --------------------------------------------------------------------------------------- */

static void seek_goes_anywhere(void **state)
{
    struct world *world = *state;
    world->store.size = 60 * CHUNK + 7;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    const uint64_t places[] = {
        0,          5,          CHUNK,      CHUNK + 9, 3 * CHUNK,      2 * CHUNK, 50 * CHUNK,
        51 * CHUNK, 49 * CHUNK, 60 * CHUNK, 0,         60 * CHUNK + 7, 1,         60 * CHUNK + 6};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_int_equal(orbit_reader_seek(reader, places[i], &world->error), ORBIT_OK);
        uint8_t buffer[3000];
        size_t length = 0;
        for (int round = 0; round < 3; round++) {
            uint64_t at = places[i] + (uint64_t)round * sizeof buffer;
            orbit_status status = orbit_reader_read(reader, buffer, sizeof buffer, &length, &world->error);
            if (at >= world->store.size) {
                assert_int_equal(status, ORBIT_END);
                break;
            }
            assert_int_equal(status, ORBIT_OK);
            for (size_t n = 0; n < length; n++)
                assert_int_equal(buffer[n], read_store_byte(at + n));
        }
    }
    assert_int_equal(orbit_reader_seek(reader, 0, &world->error), ORBIT_OK);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
}

static void seek_within_the_window_asks_for_nothing_again(void **state)
{
    struct world *world = *state;
    world->store.size = 8 * CHUNK;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    wait_for(&world->store.reads, 8);
    assert_int_equal(orbit_reader_seek(reader, 5 * CHUNK + 5, &world->error), ORBIT_OK);
    expect_all(world, reader, 5 * CHUNK + 5, world->store.size);
    assert_int_equal(world->store.reads, 8);
    orbit_reader_close(reader);
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static void closing_early_cancels_what_is_in_flight(void **state)
{
    struct world *world = *state;
    world->store.slow_from = 0;
    world->store.slow_to = UINT64_MAX;
    begin(world);
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.timeout_ms = 30;
    orbit_reader *reader = NULL;
    assert_int_equal(orbit_read(&reader, world->backend, "it", &options, &world->error), ORBIT_E_TIMEOUT);
    assert_null(reader);
    world->store.slow_from = CHUNK;
    reader = open_with(world, NULL);
    wait_for(&world->store.reads, 2);
    orbit_reader_close(reader);
    assert_int_equal(world->store.in_flight, 0);
}

static void cancel_token_ends_a_waiting_reader(void **state)
{
    struct world *world = *state;
    world->store.slow_from = CHUNK;
    world->store.slow_to = UINT64_MAX;
    begin(world);
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.cancel = orbit_cancel_new();
    orbit_reader *reader = open_with(world, &options);
    orbit_cancel_fire(options.cancel);
    orbit_status status;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_CANCELLED);
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_CANCELLED);
    orbit_reader_close(reader);

    uint64_t reads = world->store.reads;
    assert_int_equal(orbit_read(&reader, world->backend, "it", &options, &world->error), ORBIT_E_CANCELLED);
    assert_null(reader);
    assert_int_equal(world->store.reads, reads); /* it was fired before: nothing was asked for */
    orbit_cancel_free(options.cancel);
}

static void backend_closed_under_a_reader_ends_it(void **state)
{
    struct world *world = *state;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_backend_close(world->backend);
    world->backend = NULL;
    orbit_status status;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_CANCELLED);
    assert_int_equal(orbit_reader_seek(reader, 0, &world->error), ORBIT_E_CANCELLED);
    orbit_client_close(world->client);
    world->client = NULL;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_CANCELLED);
    orbit_reader_close(reader);
}

static void trying_reader_is_called_once_for_each_again(void **state)
{
    struct world *world = *state;
    world->store.delay_us = 3000;
    begin(world);
    struct ready ready = {0};
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.ready = is_ready;
    options.ready_ctx = &ready;
    orbit_reader *reader = open_with(world, &options);
    uint64_t agains = 0, at = 0;
    for (;;) {
        const void *bytes;
        size_t length;
        orbit_status status = orbit_reader_try_next(reader, &bytes, &length, &world->error);
        if (status == ORBIT_END)
            break;
        if (status == ORBIT_OK) {
            assert_int_equal(*(const uint8_t *)bytes, read_store_byte(at));
            at += length;
            continue;
        }
        assert_int_equal(status, ORBIT_AGAIN);
        agains++;
        wait_for(&ready.times, agains);
    }
    assert_int_equal(at, world->store.size);
    assert_true(agains > 0);
    assert_int_equal(ready.times, agains);
    orbit_reader_close(reader);
}

static void reader_works_on_an_external_loop(void **state)
{
    struct world *world = *state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.external_loop = true;
    world->store.piece = 3000;
    read_store_open(&world->store, &options, &world->client, &world->backend);
    whole(world);
    world->store.caps.ranged_read = false;
}

struct told {
    _Atomic uint64_t times, done, total;
};

static void tell(void *ctx, uint64_t done, uint64_t total)
{
    struct told *told = ctx;
    told->done = done;
    told->total = total;
    atomic_fetch_add(&told->times, 1);
}

static void progress_ends_with_everything(void **state)
{
    struct world *world = *state;
    struct told told = {0};
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    begin(world);
    options.progress = (orbit_progress){tell, &told};
    orbit_reader *reader = open_with(world, &options);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
    assert_true(told.times >= 1);
    assert_int_equal(told.done, world->store.size);
    assert_int_equal(told.total, world->store.size);
}

/* ---- memory that runs out -------------------------------------------------------------------------- */

static void every_failed_allocation_is_told(void **state)
{
    struct world *world = *state;
    world->store.size = 6 * CHUNK;
    begin(world);
    for (int sequential = 0; sequential < 2; sequential++) {
        uint64_t allocations = 1;
        orbit_backend_close(world->backend);
        world->store.caps.ranged_read = !sequential;
        assert_int_equal(orbit_open(&world->backend, world->client, "shape://it", NULL, &world->error), ORBIT_OK);
        for (uint64_t n = 0; n <= allocations; n++) {
            orbit_reader *reader = NULL;
            orbit_status status;
            orb_mem_fail_at(n);
            status = orbit_read(&reader, world->backend, "it", NULL, &world->error);
            if (status >= 0) {
                uint64_t at = drain(world, reader, 0, &status);
                assert_true(status == ORBIT_E_MEMORY || (status == ORBIT_END && at == world->store.size));
            } else {
                assert_int_equal(status, ORBIT_E_MEMORY);
            }
            orbit_reader_close(reader);
            if (n == 0)
                allocations = orb_mem_count() + 2;
            orb_mem_fail_at(0);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sequential_store_is_read_once),
        TEST(sequential_store_pauses_for_a_slow_consumer),
        TEST(sequential_store_goes_on_where_it_was_cut),
        TEST(sequential_store_honours_offsets_and_seeks),
        TEST(sequential_store_that_says_too_much_is_a_protocol_error),
        TEST(sequential_store_may_fail_in_the_middle),
        TEST(seek_goes_anywhere),
        TEST(seek_within_the_window_asks_for_nothing_again),
        TEST(closing_early_cancels_what_is_in_flight),
        TEST(cancel_token_ends_a_waiting_reader),
        TEST(backend_closed_under_a_reader_ends_it),
        TEST(trying_reader_is_called_once_for_each_again),
        TEST(reader_works_on_an_external_loop),
        TEST(progress_ends_with_everything),
        TEST(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
