/* SPDX-License-Identifier: Apache-2.0
 * Writing: stores that fail, and writes that end early. */
#include "write_generator.h"

/* ---- failures of the store -------------------------------------------------------------------------------- */

static void write_pattern(uint64_t length, orbit_status expected)
{
    struct generator generator = {.length = length};
    orbit_status status =
        orbit_write(fx.backend, "s", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error);
    if (expected == ORBIT_OK) {
        assert_ok(status);
        assert_there("s", length);
    } else {
        assert_int_equal(status, expected);
        assert_null(wstore_find(&fx.store, "s"));
    }
    assert_int_equal(fx.store.uploads_open, 0);
}

static void parts_are_retried_with_their_bytes(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 2, 3, WSTORE_FAIL, 100000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    wstore_fault(&fx.store, WSTORE_BEGIN, 1, 1, WSTORE_FAIL, 0, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_FAIL, 0, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    fixture_open();
    write_pattern(10 * MIB + 5, ORBIT_OK);
    assert_int_equal(fx.store.attempts[WSTORE_BEGIN], 2);
    assert_int_equal(fx.store.attempts[WSTORE_FINISH], 2);
    assert_int_equal(fx.store.attempts[WSTORE_PART], 14);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 0);
    assert_false(fx.store.resolved);
}

static void a_put_is_retried(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PUT, 1, 2, WSTORE_FAIL, 1000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    fixture_open();
    write_pattern(5000, ORBIT_OK);
    assert_int_equal(fx.store.attempts[WSTORE_PUT], 3);
}

static void a_lost_finish_is_resolved_not_repeated_blindly(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_LOSE, 0, ORBIT_E_NETWORK, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_OK);
    assert_true(fx.store.resolved);
    assert_int_equal(fx.store.attempts[WSTORE_FINISH], 2);
    assert_int_equal(wstore_find(&fx.store, "s")->version, 1);
}

static void a_store_that_refuses_leaves_nothing_behind(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_BEGIN, 1, 1, WSTORE_FAIL, 0, ORBIT_E_PERMISSION, 0);
    wstore_fault(&fx.store, WSTORE_PART, 1, 1, WSTORE_FAIL, 5000, ORBIT_E_QUOTA, 0);
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_FAIL, 0, ORBIT_E_CHANGED, 0);
    wstore_fault(&fx.store, WSTORE_PUT, 1, 1, WSTORE_FAIL, 0, ORBIT_E_AUTH, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_E_PERMISSION);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 0);
    write_pattern(3 * MIB, ORBIT_E_QUOTA);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 1);
    write_pattern(3 * MIB, ORBIT_E_CHANGED);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 2);
    write_pattern(3, ORBIT_E_AUTH);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 2);
}

static void an_abort_that_fails_does_not_hide_the_reason(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 1, 1, WSTORE_FAIL, 0, ORBIT_E_QUOTA, 0);
    wstore_fault(&fx.store, WSTORE_ABORT, 1, 100, WSTORE_FAIL, 0, ORBIT_E_PERMISSION, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_E_QUOTA);
}

static void nothing_is_overwritten_unless_allowed(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    wstore_put(&fx.store, "taken", "old", 3);
    fixture_open();
    for (uint64_t length = 10; length <= 3 * MIB; length += 3 * MIB - 10) {
        struct generator generator = {.length = length};
        assert_int_equal(orbit_write(fx.backend, "taken", source_of(&generator), length, &options, NULL, &fx.error),
                         ORBIT_E_EXISTS);
        assert_int_equal(wstore_find(&fx.store, "taken")->length, 3);
    }
}

static void parts_are_equal_where_the_store_wants_that(void **state)
{
    (void)state;
    fx.store.caps.equal_parts = true;
    fixture_open();
    write_pattern(7 * MIB + 1, ORBIT_OK);
    assert_false(fx.store.equal_broken);
}

static void parts_follow_one_another_where_the_store_wants_that(void **state)
{
    (void)state;
    fx.store.caps.sequential_parts = true;
    fixture_open();
    write_pattern(7 * MIB + 1, ORBIT_OK);
    assert_int_equal(fx.store.parts_peak, 1);
    void *bytes = wstore_pattern(5 * MIB);
    assert_ok(orbit_write(fx.backend, "m", orbit_source_memory(bytes, 5 * MIB), 0, NULL, NULL, &fx.error));
    assert_int_equal(fx.store.parts_peak, 1);
    free(bytes);
}

static void several_parts_are_in_flight(void **state)
{
    (void)state;
    fixture_open();
    void *bytes = wstore_pattern(20 * MIB);
    assert_ok(orbit_write(fx.backend, "m", orbit_source_memory(bytes, 20 * MIB), 0, NULL, NULL, &fx.error));
    assert_int_equal(fx.store.parts_peak, 4);
    free(bytes);
}

/* Each allocation fails once: the call fails with it or does without, and nothing is left either way. */
static void memory_may_run_out_at_any_moment(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = wstore_pattern(3 * MIB);
    char *path = fixture_file("f", bytes, 3 * MIB);
    for (int kind = 0; kind < 4; kind++) {
        bool failed = true;
        for (uint64_t n = 1; n < 500 && failed; n++) {
            struct generator generator = {.length = 3 * MIB, .step = 100000};
            orbit_writer *writer = NULL;
            orbit_status status;
            orb_mem_fail_at(n);
            if (kind == 0) {
                status = orbit_write(fx.backend, "k", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error);
            } else if (kind == 1) {
                status = orbit_write(fx.backend, "k", orbit_source_memory(bytes, 3 * MIB), 0, NULL, NULL, &fx.error);
            } else if (kind == 2) {
                status = orbit_write(fx.backend, "k", orbit_source_path(path), 0, NULL, NULL, &fx.error);
            } else {
                status = orbit_writer_open(&writer, fx.backend, "k", ORBIT_SIZE_UNKNOWN, NULL, &fx.error);
                if (status >= 0)
                    status = orbit_writer_write(writer, bytes, 3 * MIB, &fx.error);
                if (status >= 0)
                    status = orbit_writer_finish(writer, NULL, &fx.error);
            }
            failed = orb_mem_count() >= n;
            orb_mem_fail_at(0);
            orbit_writer_free(writer);
            if (status != ORBIT_E_MEMORY)
                assert_ok(status);
            assert_int_equal(fx.store.uploads_open, 0);
            assert_int_equal(fixture_memory_used(), 0);
        }
        assert_false(failed);
    }
    free(bytes);
}

static void a_store_without_parts_takes_what_one_put_may_hold(void **state)
{
    (void)state;
    fx.store.caps.part_min = 0;
    fx.store.caps.put_max = 3 * MIB;
    fixture_open_with(NULL, &wstore_poor_ops, NULL);
    write_pattern(3 * MIB, ORBIT_OK);
    struct generator generator = {.length = 3 * MIB + 1};
    assert_int_equal(orbit_write(fx.backend, "big", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error),
                     ORBIT_E_LIMIT);
    generator.at = 0;
    assert_int_equal(orbit_write(fx.backend, "big", source_of(&generator), 3 * MIB + 1, NULL, NULL, &fx.error),
                     ORBIT_E_LIMIT);
    assert_int_equal(generator.at, 0); /* refused before the first byte */
    assert_null(wstore_find(&fx.store, "big"));
}

static void a_stream_beyond_the_stores_parts_is_a_limit(void **state)
{
    (void)state;
    fx.store.caps.part_count_max = 3;
    fx.store.caps.part_max = 2 * MIB;
    fixture_open();
    assert_int_equal(orbit_writer_ceiling(fx.backend, NULL), 5 * MIB);
    write_pattern(5 * MIB, ORBIT_OK);
    fx.store.objects->path[0] = '-';
    write_pattern(5 * MIB + 1, ORBIT_E_LIMIT);
    assert_non_null(strstr(fx.error.message, "3 parts"));
}

/* ---- ending early ------------------------------------------------------------------------------------------ */

static void a_time_limit_ends_a_write_that_hangs(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 2, 1, WSTORE_HANG, 1000, ORBIT_OK, 0);
    fixture_open();
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.timeout_ms = 300;
    struct generator generator = {.length = 5 * MIB};
    assert_int_equal(orbit_write(fx.backend, "h", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL, &fx.error),
                     ORBIT_E_TIMEOUT);
    assert_int_equal(fx.store.uploads_open, 0);
    orbit_writer *writer = NULL;
    wstore_fault(&fx.store, WSTORE_PUT, 1, 1, WSTORE_HANG, 0, ORBIT_OK, 0);
    assert_ok(orbit_writer_open(&writer, fx.backend, "h", ORBIT_SIZE_UNKNOWN, &options, &fx.error));
    assert_ok(orbit_writer_write(writer, "x", 1, &fx.error));
    assert_int_equal(orbit_writer_finish(writer, NULL, &fx.error), ORBIT_E_TIMEOUT);
    orbit_writer_free(writer);
    assert_null(wstore_find(&fx.store, "h"));
}

static void a_token_cancels_at_any_moment(void **state)
{
    (void)state;
    const enum wstore_operation where[] = {WSTORE_BEGIN, WSTORE_PART, WSTORE_FINISH};
    for (size_t i = 0; i < 3; i++)
        wstore_fault(&fx.store, where[i], 1, 1, WSTORE_HANG, 0, ORBIT_OK, 0);
    fixture_open();
    for (int i = 0; i < 3; i++) {
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        orbit_task *task = NULL;
        struct generator generator = {.length = 5 * MIB};
        options.cancel = orbit_cancel_new();
        assert_ok(orbit_write_start(&task, fx.backend, "c", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL,
                                    NULL, NULL, &fx.error));
        usleep(50000);
        orbit_cancel_fire(options.cancel);
        assert_int_equal(orbit_task_wait(task, &fx.error), ORBIT_E_CANCELLED);
        orbit_task_free(task);
        orbit_cancel_free(options.cancel);
        assert_null(wstore_find(&fx.store, "c"));
        assert_int_equal(fx.store.uploads_open, 0);
        assert_int_equal(generator.closed, 1);
    }
}

static uint64_t last_done, last_total;

static void progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    assert_true(done >= last_done);
    last_done = done;
    last_total = total;
}

static void progress_ends_with_all_of_it(void **state)
{
    (void)state;
    fixture_open();
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.progress.function = progress;
    struct generator generator = {.length = 5 * MIB};
    last_done = 0;
    assert_ok(orbit_write(fx.backend, "p", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL, &fx.error));
    assert_int_equal(last_done, 5 * MIB);
    assert_int_equal(last_total, 5 * MIB);
}

static void memory_stays_within_half_of_the_budget(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16 * MIB;
    fx.store.caps.chunk_default = 8 * MIB;
    fx.store.caps.part_min = 5 * MIB;
    fixture_open_with(&options, NULL, NULL);
    write_pattern(60 * MIB + 1, ORBIT_OK);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 8 * MIB);
}

/* Where requests cost nothing but their bytes; what fits one usual part is one, and who asks for a number gets it. */
static void long_stream_goes_in_crumbs(void **state)
{
    (void)state;
    const uint64_t crumb = 64 << 10;
    fx.store.caps.part_min = 1;
    fx.store.caps.stream_chunk = crumb;
    fx.store.caps.stream_parallel = 12;
    fx.store.caps.part_count_max = 0;
    fixture_open();
    write_pattern(5 * MIB + 1, ORBIT_OK);
    assert_int_equal(fx.store.attempts[WSTORE_PART], 1 + 4 * MIB / crumb + 1);
    assert_true(fx.store.parts_peak > 1 && fx.store.parts_peak <= 12);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= MIB + 256 * 1024 + 13 * crumb);
    fx.store.attempts[WSTORE_PART] = 0;
    write_pattern(MIB, ORBIT_OK);
    assert_true(fx.store.attempts[WSTORE_PART] <= 1);
    orbit_write_options few = ORBIT_WRITE_OPTIONS_INIT;
    few.parallel_operations = 2;
    fx.store.attempts[WSTORE_PART] = 0;
    struct generator generator = {.length = 5 * MIB};
    assert_ok(orbit_write(fx.backend, "few", source_of(&generator), ORBIT_SIZE_UNKNOWN, &few, NULL, &fx.error));
    assert_int_equal(fx.store.attempts[WSTORE_PART], 5);
}

struct racer {
    char name[8];
    struct generator generator;
    orbit_status status;
    orbit_error error;
};

static void *race(void *ctx)
{
    struct racer *racer = ctx;
    racer->status = orbit_write(fx.backend, racer->name, source_of(&racer->generator), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                                &racer->error);
    return NULL;
}

static void many_streams_share_a_small_budget(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16 * MIB;
    fx.store.caps.chunk_default = 4 * MIB;
    fixture_open_with(&options, NULL, NULL);
    struct racer racers[12];
    pthread_t threads[12];
    memset(racers, 0, sizeof(racers));
    for (int i = 0; i < 12; i++) {
        snprintf(racers[i].name, sizeof(racers[i].name), "r%u", (unsigned)i % 100);
        racers[i].generator.length = 15 * MIB + (uint64_t)i;
        pthread_create(&threads[i], NULL, race, &racers[i]);
    }
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 12; i++) {
        fx.error = racers[i].error;
        assert_ok(racers[i].status);
        assert_there(racers[i].name, 15 * MIB + (uint64_t)i);
    }
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 16 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_are_retried_with_their_bytes),
        TEST(a_put_is_retried),
        TEST(a_lost_finish_is_resolved_not_repeated_blindly),
        TEST(a_store_that_refuses_leaves_nothing_behind),
        TEST(an_abort_that_fails_does_not_hide_the_reason),
        TEST(nothing_is_overwritten_unless_allowed),
        TEST(parts_are_equal_where_the_store_wants_that),
        TEST(parts_follow_one_another_where_the_store_wants_that),
        TEST(several_parts_are_in_flight),
        TEST(memory_may_run_out_at_any_moment),
        TEST(a_store_without_parts_takes_what_one_put_may_hold),
        TEST(a_stream_beyond_the_stores_parts_is_a_limit),
        TEST(a_time_limit_ends_a_write_that_hangs),
        TEST(a_token_cancels_at_any_moment),
        TEST(progress_ends_with_all_of_it),
        TEST(memory_stays_within_half_of_the_budget),
        TEST(long_stream_goes_in_crumbs),
        TEST(many_streams_share_a_small_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
