/* SPDX-License-Identifier: Apache-2.0
 * Readers and their window of ranges, against a store that does what it is told. */
#include "window_fixture.h"

/* With few attempts, so that giving up does not take long. */
static void begin_impatient(struct world *world)
{
    begin(world);
    orbit_backend_close(world->backend);
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.retry_attempts = 2;
    assert_int_equal(orbit_open(&world->backend, world->client, "shape://it", &options, &world->error), ORBIT_OK);
}

/* ---- plain ----------------------------------------------------------------------------------------- */

static void reader_hands_out_all_bytes_in_order(void **state)
{
    struct world *world = *state;
    begin(world);
    whole(world);
    assert_int_equal(world->store.reads, 11);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_int_equal(stats.bytes_read, world->store.size);
}

static void reader_asks_once_for_a_small_object(void **state)
{
    struct world *world = *state;
    world->store.size = 1000;
    begin(world);
    whole(world);
    assert_int_equal(world->store.reads, 1);
}

static void reader_takes_an_empty_object(void **state)
{
    struct world *world = *state;
    world->store.size = 0;
    begin(world);
    whole(world);
    assert_int_equal(world->store.reads, 1);
    world->store.caps.ranged_read = false;
}

static void reader_is_right_at_chunk_boundaries(void **state)
{
    struct world *world = *state;
    const uint64_t sizes[] = {1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 8 * CHUNK};
    begin(world);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        world->store.size = sizes[i];
        world->store.reads = 0;
        whole(world);
        assert_int_equal(world->store.reads, (sizes[i] + CHUNK - 1) / CHUNK);
    }
}

static void reader_honours_offset_and_length(void **state)
{
    struct world *world = *state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    begin(world);
    options.offset = CHUNK + 17;
    options.length = 3 * CHUNK;
    orbit_reader *reader = open_with(world, &options);
    expect_all(world, reader, CHUNK + 17, 4 * CHUNK + 17);
    orbit_reader_close(reader);

    options.length = ORBIT_TO_END;
    reader = open_with(world, &options);
    expect_all(world, reader, CHUNK + 17, world->store.size);
    orbit_reader_close(reader);

    options.offset = world->store.size + 5;
    reader = open_with(world, &options);
    expect_all(world, reader, options.offset, options.offset);
    assert_int_equal(orbit_reader_metadata(reader)->size, world->store.size);
    orbit_reader_close(reader);

    options.offset = UINT64_MAX;
    reader = open_with(world, &options);
    expect_all(world, reader, UINT64_MAX, UINT64_MAX);
    orbit_reader_close(reader);
}

static void opening_tells_of_a_missing_object(void **state)
{
    struct world *world = *state;
    orbit_reader *reader = (orbit_reader *)world;
    begin(world);
    assert_int_equal(orbit_read(&reader, world->backend, "missing", NULL, &world->error), ORBIT_E_NOT_FOUND);
    assert_null(reader);
}

static void reader_works_without_early_heads_and_sizes(void **state)
{
    struct world *world = *state;
    begin(world);
    world->store.no_head = true;
    whole(world);
    world->store.no_size = true;
    whole(world);
    world->store.size = 3 * CHUNK;
    whole(world);
    world->store.size = 0;
    whole(world);
}

static void copying_read_fills_the_buffer(void **state)
{
    struct world *world = *state;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    size_t room = 100001, length = 0;
    uint8_t *buffer = malloc(room);
    uint64_t at = 0;
    while (orbit_reader_read(reader, buffer, room, &length, &world->error) == ORBIT_OK) {
        assert_true(length == room || at + length == world->store.size);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(buffer[i], read_store_byte(at + i));
        at += length;
    }
    assert_int_equal(length, 0);
    assert_int_equal(at, world->store.size);
    free(buffer);
    orbit_reader_close(reader);
}

/* ---- the window ------------------------------------------------------------------------------------ */

static void ranges_are_in_flight_side_by_side(void **state)
{
    struct world *world = *state;
    world->store.size = 40 * CHUNK;
    world->store.delay_us = 2000;
    begin(world);
    whole(world);
    assert_int_equal(world->store.in_flight_max, 4);
}

static void far_store_gets_the_wide_window_after_all(void **state)
{
    struct world *world = *state;
    world->store.caps.chunk_default = 4 << 20; /* more than a near store's ranges */
    world->store.size = 64 << 20;
    world->store.delay_us = 20000;
    begin(world);
    whole(world);
    assert_true(world->store.in_flight_max >= 4);
}

/* Where requests cost nothing but their bytes; of what is short a few will do. */
static void long_stream_comes_in_crumbs(void **state)
{
    struct world *world = *state;
    const uint64_t crumb = 256 << 10;
    world->store.caps.chunk_default = 4 << 20;
    world->store.caps.stream_chunk = crumb;
    world->store.caps.stream_parallel = 16;
    world->store.size = 48 << 20;
    world->store.delay_us = 20000;
    begin(world);
    whole(world);
    const uint64_t first = 2 << 20;
    assert_int_equal(world->store.reads, 1 + (world->store.size - first) / crumb);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes <= first + 20 * crumb);
    world->store.size = 16 << 20;
    world->store.reads = 0;
    whole(world);
    assert_true(world->store.reads <= 5);
    orbit_read_options few = ORBIT_READ_OPTIONS_INIT;
    few.parallel_operations = 2;
    world->store.size = 48 << 20;
    world->store.reads = 0;
    orbit_reader *reader = open_with(world, &few);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
    assert_int_equal(world->store.reads, 12);
}

static void slow_range_does_not_stop_the_others(void **state)
{
    struct world *world = *state;
    world->store.size = 40 * CHUNK;
    world->store.slow_from = CHUNK;
    world->store.slow_to = 2 * CHUNK;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    wait_for(&world->store.reads, 8); /* the window's memory: twice what is in flight */
    usleep(20000);
    assert_int_equal(world->store.reads, 8);
    world->store.release = true;
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
}

static void stalled_consumer_stops_the_fetching(void **state)
{
    struct world *world = *state;
    world->store.size = 400 * CHUNK;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    wait_for(&world->store.reads, 8);
    for (int i = 0; i < 1000 && world->store.in_flight > 0; i++) /* they take their time on a busy machine */
        usleep(10000);
    assert_int_equal(world->store.in_flight, 0); /* no connection is held */
    usleep(30000);
    assert_int_equal(world->store.reads, 8);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_used_bytes <= 8 * CHUNK);
    expect_all(world, reader, 0, world->store.size);
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes <= 8 * CHUNK);
    orbit_reader_close(reader);
    orbit_client_get_stats(world->client, &stats);
    assert_int_equal(stats.memory_used_bytes, 0);
}

static void bytes_of_the_head_chunk_arrive_as_they_come(void **state)
{
    struct world *world = *state;
    world->store.size = CHUNK;
    world->store.piece = 1000;
    world->store.cut_after = 30000;
    world->store.cuts = 1;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    uint64_t at = 0;
    const void *bytes;
    size_t length;
    while (at < 30000) { /* all of them before the second attempt has begun, which waits a while */
        assert_int_equal(orbit_reader_next(reader, &bytes, &length, &world->error), ORBIT_OK);
        at += length;
    }
    assert_int_equal(at, 30000);
    expect_all(world, reader, at, world->store.size);
    orbit_reader_close(reader);
}

static void streams_share_the_budget(void **state)
{
    struct world *world = *state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16u << 20;
    world->store.size = 64u << 20;
    world->store.caps.chunk_default = 8u << 20;
    read_store_open(&world->store, &options, &world->client, &world->backend);
    orbit_reader *readers[12];
    for (size_t i = 0; i < 12; i++)
        readers[i] = open_with(world, NULL);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes <= options.memory_bytes);
    orbit_status status;
    for (size_t i = 0; i < 12; i += 4) {
        assert_int_equal(drain(world, readers[i], 0, &status), world->store.size);
        assert_int_equal(status, ORBIT_END);
    }
    for (size_t i = 0; i < 12; i++)
        orbit_reader_close(readers[i]);
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes <= options.memory_bytes);
    assert_int_equal(stats.memory_used_bytes, 0);
}

/* Somebody who wants memory, on the loop. */
struct asking {
    struct orb_message message;
    struct orb_admission admission;
    struct orbit_host *host;
    uint64_t bytes;
    _Atomic uint64_t admitted;
};

static void asked_and_got(void *ctx)
{
    atomic_store(&((struct asking *)ctx)->admitted, 1);
}

static void ask_for_memory(struct orb_message *message)
{
    struct asking *asking = (struct asking *)message;
    if (orb_admission_ask(&asking->admission, asking->host, asking->bytes, asked_and_got, asking))
        asked_and_got(asking);
}

/* Two readers hold all there may be and take nothing. Who needs memory gets it, and they lose nothing but time. */
static void consumers_that_stand_still_give_up_what_others_need(void **state)
{
    struct world *world = *state;
    const uint64_t size = 8u << 20, wanted = 7u << 20;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    options.memory_bytes = 16u << 20;
    world->store.size = size;
    world->store.caps.chunk_default = 1u << 20;
    world->store.checksum = read_store_crc64(size);
    read_store_open(&world->store, &options, &world->client, &world->backend);
    orbit_reader *readers[2];
    readers[0] = open_with(world, NULL);
    world->store.checksum.value[3] ^= 1; /* the second one's bytes are found to be wrong, at their end */
    readers[1] = open_with(world, NULL);
    wait_for(&world->store.reads, 14);
    uint64_t before = world->store.reads;

    struct asking asking = {.message = {NULL, ask_for_memory}, .host = &world->client->host, .bytes = wanted};
    orb_loop_post(world->client->loop, &asking.message);
    wait_for(&asking.admitted, 1);
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_used_bytes <= options.memory_bytes);
    usleep(300000);
    assert_int_equal(world->store.reads, before); /* nobody who stands still fetches it again */

    /* While that memory is with others: one byte after the other, and the checksum of all of them compared. */
    orbit_status status;
    expect_all(world, readers[0], 0, size);
    assert_int_equal(drain(world, readers[1], 0, &status), size);
    assert_int_equal(status, ORBIT_E_CHECKSUM);
    orbit_reader_close(readers[0]);
    orbit_reader_close(readers[1]);
    assert_true(world->store.reads >= before + 5);
    assert_true(world->store.reads <= before + 2 * size / (1u << 20));
    orb_budget_give(&world->client->host.budget, wanted);
    orbit_client_get_stats(world->client, &stats);
    assert_int_equal(stats.memory_used_bytes, 0);
    assert_true(stats.memory_peak_bytes <= options.memory_bytes);
}

/* ---- what goes wrong ------------------------------------------------------------------------------- */

/* Some read began where one that began at a range's start was cut. Which of the ranges were asked for first, and so
 * cut, is the workers' affair; all of them start at a multiple of a page. */
static bool resumed_after(const struct world *world, uint64_t cut_after)
{
    for (uint64_t i = 0; i < world->store.reads && i < 256; i++)
        if (world->store.offsets[i] % 4096 == cut_after % 4096)
            return true;
    return false;
}

static void reader_resumes_after_short_read(void **state)
{
    struct world *world = *state;
    world->store.cut_after = 10000;
    world->store.cuts = 5;
    begin(world);
    whole(world);
    assert_true(resumed_after(world, 10000));
    assert_int_equal(world->store.bytes, world->store.size); /* no byte twice */
}

static void reader_resumes_after_a_body_that_ends_early_without_an_error(void **state)
{
    struct world *world = *state;
    world->store.cut_after = 10000;
    world->store.cuts = 3;
    world->store.silent_cut = true;
    begin(world);
    whole(world);
    assert_true(resumed_after(world, 10000));
    assert_int_equal(world->store.bytes, world->store.size);
}

static void progress_renews_the_patience(void **state)
{
    struct world *world = *state;
    world->store.size = CHUNK;
    world->store.cut_after = 9000;
    world->store.cuts = 7; /* more than the attempts, but each brings something */
    begin_impatient(world);
    whole(world);
    assert_int_equal(world->store.bytes, world->store.size);
}

static void reader_gives_up_without_progress(void **state)
{
    struct world *world = *state;
    world->store.cut_after = 0;
    world->store.cuts = 1000;
    begin_impatient(world);
    orbit_reader *reader = open_with(world, NULL); /* the head comes, its body does not */
    orbit_status status;
    assert_int_equal(drain(world, reader, 0, &status), 0);
    assert_int_equal(status, ORBIT_E_NETWORK);
    orbit_reader_close(reader);
    world->store.no_head = true;
    assert_int_equal(orbit_read(&reader, world->backend, "it", NULL, &world->error), ORBIT_E_NETWORK);
    assert_null(reader);
}

static void bytes_before_an_error_are_handed_out(void **state)
{
    struct world *world = *state;
    world->store.fail_at = 3 * CHUNK + 777;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    assert_int_equal(drain(world, reader, 0, &status), 3 * CHUNK + 777);
    assert_int_equal(status, ORBIT_E_IO);
    world->store.fail_at = UINT64_MAX;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_IO); /* repeated */
    assert_int_equal(orbit_reader_seek(reader, 0, &world->error), ORBIT_E_IO);
    orbit_reader_close(reader);
}

static void too_many_bytes_are_a_protocol_error(void **state)
{
    struct world *world = *state;
    world->store.beyond = 10;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_PROTOCOL);
    orbit_reader_close(reader);

    world->store.size = 100; /* less than a chunk: what was asked for would still have room */
    reader = open_with(world, NULL);
    drain(world, reader, 0, &status);
    assert_int_equal(status, ORBIT_E_PROTOCOL);
    orbit_reader_close(reader);
}

static void change_under_the_reader_is_an_error(void **state)
{
    struct world *world = *state;
    world->store.change_after = 3;
    begin(world);
    orbit_reader *reader = open_with(world, NULL);
    orbit_status status;
    assert_true(drain(world, reader, 0, &status) < world->store.size);
    assert_int_equal(status, ORBIT_E_CHANGED);
    orbit_reader_close(reader);
}

static void stored_checksum_is_compared(void **state)
{
    struct world *world = *state;
    world->store.checksum = read_store_crc64(world->store.size);
    world->store.piece = 5000;
    begin(world);
    whole(world);
    world->store.no_head = true;
    whole(world);
    world->store.checksum.value[3] ^= 1;
    for (int early = 0; early < 2; early++) {
        world->store.no_head = early == 0;
        orbit_reader *reader = open_with(world, NULL);
        orbit_status status;
        assert_int_equal(drain(world, reader, 0, &status), world->store.size);
        assert_int_equal(status, ORBIT_E_CHECKSUM);
        drain(world, reader, 0, &status);
        assert_int_equal(status, ORBIT_E_CHECKSUM);
        orbit_reader_close(reader);
    }
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.verify = ORBIT_VERIFY_OFF;
    orbit_reader *reader = open_with(world, &options);
    expect_all(world, reader, 0, world->store.size);
    orbit_reader_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reader_hands_out_all_bytes_in_order),
        TEST(reader_asks_once_for_a_small_object),
        TEST(reader_takes_an_empty_object),
        TEST(reader_is_right_at_chunk_boundaries),
        TEST(reader_honours_offset_and_length),
        TEST(opening_tells_of_a_missing_object),
        TEST(reader_works_without_early_heads_and_sizes),
        TEST(copying_read_fills_the_buffer),
        TEST(ranges_are_in_flight_side_by_side),
        TEST(far_store_gets_the_wide_window_after_all),
        TEST(long_stream_comes_in_crumbs),
        TEST(slow_range_does_not_stop_the_others),
        TEST(stalled_consumer_stops_the_fetching),
        TEST(bytes_of_the_head_chunk_arrive_as_they_come),
        TEST(streams_share_the_budget),
        TEST(consumers_that_stand_still_give_up_what_others_need),
        TEST(reader_resumes_after_short_read),
        TEST(reader_resumes_after_a_body_that_ends_early_without_an_error),
        TEST(progress_renews_the_patience),
        TEST(reader_gives_up_without_progress),
        TEST(bytes_before_an_error_are_handed_out),
        TEST(too_many_bytes_are_a_protocol_error),
        TEST(change_under_the_reader_is_an_error),
        TEST(stored_checksum_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
