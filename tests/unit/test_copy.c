/* SPDX-License-Identifier: Apache-2.0
 * Copies between two stores and downloads: ranges, retries on both sides, pins, checksums, sources without ranges. */
#include "copy_fixture.h"

static void assert_there(const char *path, uint64_t length)
{
    if (!wstore_is_pattern(wstore_find(&fx.store, path), length))
        fail_msg("'%s' is not the %llu bytes it should be", path, (unsigned long long)length);
}

static orbit_status copy(const char *path, orbit_write_result *result)
{
    memset(&fx.error, 0, sizeof(fx.error));
    return orbit_copy(fx.from, path, fx.backend, path, NULL, result, &fx.error);
}

static void copy_all_lengths(void)
{
    for (size_t i = 0; i < LENGTHS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "o%zu", i);
        have(name, lengths[i]);
        orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
        assert_ok(copy(name, &result));
        assert_there(name, lengths[i]);
        assert_int_equal(result.bytes, lengths[i]);
        orbit_write_result_release(&result);
        assert_int_equal(fx.store.uploads_open, 0);
        assert_int_equal(fixture_memory_used(), 0);
    }
}

static void objects_of_any_length_arrive(void **state)
{
    (void)state;
    fixture_open();
    copy_all_lengths();
    assert_int_equal(fx.other.attempts[WSTORE_STAT], 4); /* the checksums of those in ranges */
    assert_int_equal(fx.other.attempts[WSTORE_READ], 1 + 7 + 2 + 4 + 10 + 20);
}

static void and_from_files(void **state)
{
    (void)state;
    fx.other.caps.random_access = true;
    fixture_open();
    copy_all_lengths();
}

static void and_to_files(void **state)
{
    (void)state;
    fx.store.caps.random_access = fx.store.caps.hierarchical = true;
    fx.store.caps.part_count_max = 0;
    fixture_open();
    copy_all_lengths();
}

static void and_where_replies_are_told_late(void **state)
{
    (void)state;
    fx.other.no_head = true;
    fixture_open();
    copy_all_lengths();
}

static void and_without_etags(void **state)
{
    (void)state;
    fx.other.no_etag = fx.other.caps.random_access = true;
    fixture_open();
    copy_all_lengths();
}

static void and_without_ranges(void **state)
{
    (void)state;
    fx.other.caps.ranged_read = false;
    fixture_open();
    copy_all_lengths();
    assert_int_equal(fx.other.ranges_read, 0);
}

static void and_without_a_known_size(void **state)
{
    (void)state;
    fx.other.no_size = true;
    fixture_open();
    copy_all_lengths();
}

static void and_with_checksums(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fixture_open();
    copy_all_lengths();
}

static void and_with_equal_parts(void **state)
{
    (void)state;
    fx.store.caps.equal_parts = true;
    fx.store.caps.part_count_max = 7;
    fixture_open();
    copy_all_lengths();
    assert_false(fx.store.equal_broken);
}

static void and_in_ever_smaller_parts_where_any_will_do(void **state)
{
    (void)state;
    fx.store.caps.chunk_default = fx.other.caps.chunk_default = 8 << 20;
    fx.store.caps.part_count_max = 0;
    fixture_open();
    have("o", 32 << 20);
    assert_ok(copy("o", NULL));
    assert_there("o", 32 << 20);
    assert_true(fx.store.attempts[WSTORE_PART] > 4); /* as many as there are otherwise */
}

static void and_one_part_after_the_other(void **state)
{
    (void)state;
    fx.store.caps.sequential_parts = true;
    fixture_open();
    copy_all_lengths();
    assert_int_equal(fx.store.parts_peak, 1);
}

static void and_so_where_an_upload_asks_for_it(void **state)
{
    (void)state;
    fx.store.in_order = true;
    fixture_open();
    copy_all_lengths();
    assert_int_equal(fx.store.parts_peak, 1);
}

static void and_in_tiny_pieces(void **state)
{
    (void)state;
    fx.other.piece = 1000;
    fx.store.piece = 77777;
    fixture_open();
    copy_all_lengths();
}

static void and_with_odd_chunks(void **state)
{
    (void)state;
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.chunk_size = 333333;
    options.parallel_operations = 3;
    fixture_open_with(NULL, NULL, &options);
    copy_all_lengths();
    assert_int_equal(fx.store.largest_part, 333333);
}

static void small_objects_cost_one_request_each_way(void **state)
{
    (void)state;
    fixture_open();
    have("small", 1000);
    assert_ok(copy("small", NULL));
    assert_int_equal(fx.other.attempts[WSTORE_READ], 1);
    assert_int_equal(fx.other.attempts[WSTORE_STAT], 0);
    assert_int_equal(fx.store.attempts[WSTORE_PUT], 1);
    assert_int_equal(fx.store.whole_bodies, 1);
}

static void copy_hinted(uint64_t length, uint64_t hint)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    const orbit_metadata said = {.kind = ORBIT_KIND_FILE, .fields = ORBIT_HAS_SIZE, .size = hint};
    options.source_hint = hint ? &said : NULL;
    have("o", length);
    fx.other.largest_read = 0;
    assert_ok(orbit_copy(fx.from, "o", fx.backend, "o", &options, NULL, &fx.error));
    assert_there("o", length);
    assert_int_equal(fx.store.uploads_open, 0);
}

static void a_size_that_is_hinted_at_is_what_is_asked_for(void **state)
{
    (void)state;
    fixture_open();
    copy_hinted(1000, 1000);
    assert_int_equal(fx.other.attempts[WSTORE_READ], 1);
    assert_int_equal(fx.other.largest_read, 64 << 10);
    copy_hinted(1000, 0);
    assert_true(fx.other.largest_read > 64 << 10);
}

static void copy_wrongly_hinted(void)
{
    fixture_open();
    for (size_t i = 0; i < LENGTHS - 3; i++) {
        copy_hinted(lengths[i], 1);
        copy_hinted(lengths[i], lengths[i] * 3);
    }
}

static void a_wrong_hint_costs_no_bytes(void **state)
{
    (void)state;
    copy_wrongly_hinted();
}

static void nor_of_files(void **state)
{
    (void)state;
    fx.store.caps.random_access = fx.store.caps.hierarchical = true;
    copy_wrongly_hinted();
}

static void nor_of_equal_parts(void **state)
{
    (void)state;
    fx.store.caps.equal_parts = true;
    copy_wrongly_hinted();
    assert_false(fx.store.equal_broken);
}

static void a_read_that_breaks_off_goes_on_at_its_byte(void **state)
{
    (void)state;
    fixture_open();
    have("o", 3 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 1, 5, WSTORE_FAIL, 100000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    assert_ok(copy("o", NULL));
    assert_there("o", 3 * MIB);
    assert_int_equal(fx.store.attempts[WSTORE_PART], 3); /* the targets waited */
}

static void a_read_that_ends_early_goes_on_at_its_byte(void **state)
{
    (void)state;
    fixture_open();
    have("o", 3 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 1, 9, WSTORE_SHORT, 200000, ORBIT_OK, 0);
    assert_ok(copy("o", NULL));
    assert_there("o", 3 * MIB);
}

static void a_read_that_never_gives_a_byte_is_an_error_not_a_spin(void **state)
{
    (void)state;
    fixture_open();
    have("o", 3 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 2, 1000, WSTORE_SHORT, 0, ORBIT_OK, 0);
    assert_true(copy("o", NULL) < 0);
    assert_true(fx.other.attempts[WSTORE_READ] < 30);
    assert_null(wstore_find(&fx.store, "o"));
}

static void a_part_that_fails_midway_is_read_again(void **state)
{
    (void)state;
    fixture_open();
    have("o", 4 * MIB);
    wstore_fault(&fx.store, WSTORE_PART, 1, 3, WSTORE_FAIL, 900000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    assert_ok(copy("o", NULL));
    assert_there("o", 4 * MIB);
    assert_true(fx.other.attempts[WSTORE_READ] > 4);
}

static void a_part_that_fails_early_is_not_read_again(void **state)
{
    (void)state;
    fixture_open();
    have("o", 500 << 10);
    wstore_fault(&fx.store, WSTORE_PUT, 1, 2, WSTORE_FAIL, 300000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    assert_ok(copy("o", NULL));
    assert_there("o", 500 << 10);
    assert_int_equal(fx.other.attempts[WSTORE_READ], 1);
}

static void both_sides_may_fail_at_once(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB + 1);
    for (unsigned i = 0; i < 6; i++) {
        wstore_fault(&fx.store, WSTORE_PART, 1 + 3 * i, 1, WSTORE_FAIL, 150000 * (i + 1), ORBIT_E_NETWORK,
                     ORBIT_ERROR_RETRIABLE);
        wstore_fault(&fx.other, WSTORE_READ, 2 + 3 * i, 1, i & 1 ? WSTORE_FAIL : WSTORE_SHORT, 190000 * i,
                     ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    }
    assert_ok(copy("o", NULL));
    assert_there("o", 9 * MIB + 1);
}

static void the_first_final_error_is_told_and_nothing_is_left(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 3, 1, WSTORE_FAIL, 500000, ORBIT_E_PERMISSION, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_PERMISSION);
    assert_string_equal(fx.error.message, "a fault was asked for");
    assert_null(wstore_find(&fx.store, "o"));
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 1);
    wstore_fault(&fx.store, WSTORE_PART, fx.store.attempts[WSTORE_PART] + 3, 1, WSTORE_FAIL, 500000, ORBIT_E_QUOTA, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_QUOTA);
    assert_null(wstore_find(&fx.store, "o"));
    assert_int_equal(copy("none", NULL), ORBIT_E_NOT_FOUND);
}

static void a_source_that_changes_is_never_mixed(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 4, 1, WSTORE_TOUCH, 0, ORBIT_OK, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_CHANGED);
    assert_null(wstore_find(&fx.store, "o"));
}

static void a_file_touched_while_it_is_read_is_found_out(void **state)
{
    (void)state;
    fx.other.no_etag = fx.other.caps.random_access = true;
    fixture_open();
    for (uint64_t length = 1000; length <= 2 * MIB; length += 2 * MIB - 1000) {
        have("o", length);
        wstore_fault(&fx.other, WSTORE_STAT, fx.other.attempts[WSTORE_STAT] + 2, 1, WSTORE_TOUCH, 0, ORBIT_OK, 0);
        assert_int_equal(copy("o", NULL), ORBIT_E_CHANGED);
        assert_null(wstore_find(&fx.store, "o"));
    }
}

static void damaged_bytes_are_never_written_to_the_end(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fixture_open();
    for (size_t i = 1; i < LENGTHS; i++) {
        have("o", lengths[i]);
        wstore_fault(&fx.other, WSTORE_READ, fx.other.attempts[WSTORE_READ] + 1, 1000, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
        assert_int_equal(copy("o", NULL), ORBIT_E_CHECKSUM);
        assert_null(wstore_find(&fx.store, "o"));
        fx.other.fault_count = 0;
    }
    fx.other.caps.ranged_read = false;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.verify = ORBIT_VERIFY_OFF;
    wstore_fault(&fx.other, WSTORE_READ, fx.other.attempts[WSTORE_READ] + 1, 1, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
    assert_ok(orbit_copy(fx.from, "o", fx.backend, "o", &options, NULL, &fx.error));
}

/* On the way, mostly: the same bytes come right when they are fetched once more, and nobody has to ask for it. */
static void bytes_that_were_damaged_once_are_fetched_once_more(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fixture_open();
    for (int in_order = 0; in_order < 2; in_order++) {
        fx.from->core.caps.ranged_read = !in_order;
        for (size_t i = 1; i < LENGTHS; i++) {
            have("o", lengths[i]);
            wstore_fault(&fx.other, WSTORE_READ, fx.other.attempts[WSTORE_READ] + 1, 1, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
            orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
            assert_ok(copy("o", &result));
            assert_int_equal(result.bytes, lengths[i]);
            orbit_write_result_release(&result);
            assert_there("o", lengths[i]);
            fx.other.fault_count = 0;
        }
    }
    fx.from->core.options.retry_attempts = 1; /* who wants no other try */
    wstore_fault(&fx.other, WSTORE_READ, fx.other.attempts[WSTORE_READ] + 1, 1, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_CHECKSUM);
}

static void a_checksum_that_only_stat_tells_is_compared(void **state)
{
    (void)state;
    fx.other.has_checksum = fx.other.no_range_checksum = true;
    fixture_open();
    have("o", 9 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 5, 1000, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_CHECKSUM);
    assert_null(wstore_find(&fx.store, "o"));
    fx.other.fault_count = 0;
    assert_ok(copy("o", NULL));
    assert_there("o", 9 * MIB);
    wstore_fault(&fx.other, WSTORE_STAT, 3, 1, WSTORE_FAIL, 0, ORBIT_E_PERMISSION, 0);
    assert_ok(copy("o", NULL));
}

static void a_stream_without_ranges_is_checked_too(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fx.other.caps.ranged_read = false;
    fixture_open();
    have("o", 3 * MIB);
    wstore_fault(&fx.other, WSTORE_READ, 1, 2, WSTORE_CORRUPT, 0, ORBIT_OK, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_CHECKSUM);
    assert_null(wstore_find(&fx.store, "o"));
    assert_int_equal(fx.other.attempts[WSTORE_READ], 2);
    wstore_fault(&fx.other, WSTORE_READ, 3, 1, WSTORE_SHORT, MIB, ORBIT_OK, 0);
    assert_true(copy("o", NULL) < 0);
    assert_null(wstore_find(&fx.store, "o"));
    wstore_fault(&fx.store, WSTORE_PART, fx.store.attempts[WSTORE_PART] + 2, 1, WSTORE_FAIL, 0, ORBIT_E_QUOTA, 0);
    assert_int_equal(copy("o", NULL), ORBIT_E_QUOTA);
    assert_ok(copy("o", NULL));
    assert_there("o", 3 * MIB);
}

static void one_store_copies_by_itself(void **state)
{
    (void)state;
    void *bytes = wstore_pattern(5 * MIB);
    wstore_put(&fx.store, "a", bytes, 5 * MIB);
    free(bytes);
    fixture_open();
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    assert_ok(orbit_copy(fx.backend, "a", fx.backend, "b", NULL, &result, &fx.error));
    assert_there("b", 5 * MIB);
    assert_int_equal(result.bytes, 5 * MIB);
    assert_int_equal(result.parts, 0);
    assert_int_equal(fx.store.attempts[WSTORE_READ], 0);
    orbit_write_result_release(&result);

    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.no_server_copy = true;
    assert_ok(orbit_copy(fx.backend, "a", fx.backend, "c", &options, NULL, &fx.error));
    assert_there("c", 5 * MIB);
    assert_int_equal(fx.store.attempts[WSTORE_COPY], 1);

    wstore_fault(&fx.store, WSTORE_COPY, 2, 1, WSTORE_FAIL, 0, ORBIT_E_UNSUPPORTED, 0);
    assert_ok(orbit_copy(fx.backend, "a", fx.backend, "d", NULL, NULL, &fx.error));
    assert_there("d", 5 * MIB);

    fx.store.caps.copy_max = 0;
    assert_int_equal(orbit_copy(fx.backend, "none", fx.backend, "d", NULL, NULL, &fx.error), ORBIT_E_NOT_FOUND);
}

static void copies_end_when_they_are_told_to(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB);
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.write = &write;
    write.timeout_ms = 200;
    wstore_fault(&fx.other, WSTORE_READ, 3, 1, WSTORE_HANG, 100000, ORBIT_OK, 0);
    assert_int_equal(orbit_copy(fx.from, "o", fx.backend, "o", &options, NULL, &fx.error), ORBIT_E_TIMEOUT);
    assert_int_equal(fx.store.uploads_open, 0);
    for (unsigned i = 0; i < 25; i++) { /* at any moment */
        orbit_task *task = NULL;
        assert_ok(orbit_copy_start(&task, fx.from, "o", fx.backend, "o", NULL, NULL, NULL, NULL, &fx.error));
        usleep(i * 300);
        orbit_task_cancel(task);
        orbit_status status = orbit_task_wait(task, &fx.error);
        assert_true(status == ORBIT_OK || status == ORBIT_E_CANCELLED);
        orbit_task_free(task);
        assert_int_equal(fx.store.uploads_open, 0);
    }
}

static void slow_stores_do_not_grow_memory(void **state)
{
    (void)state;
    fx.store.piece = 3000;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16 * MIB;
    fixture_open_with(&options, NULL, NULL);
    have("o", 20 * MIB);
    assert_ok(copy("o", NULL));
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 4 * (768 << 10));
}

static void memory_may_run_out_at_any_moment(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fixture_open();
    have("o", 3 * MIB);
    have("s", 1000);
    for (int kind = 0; kind < 3; kind++) {
        bool failed = true;
        for (uint64_t n = 1; n < 500 && failed; n++) {
            char path[128];
            snprintf(path, sizeof(path), "%s/t", fx.directory);
            orb_mem_fail_at(n);
            orbit_status status = kind == 0   ? copy("o", NULL)
                                  : kind == 1 ? copy("s", NULL)
                                              : orbit_download(fx.from, "o", path, NULL, NULL, &fx.error);
            failed = orb_mem_count() >= n;
            orb_mem_fail_at(0);
            if (status != ORBIT_E_MEMORY)
                assert_ok(status);
            assert_int_equal(fx.store.uploads_open, 0);
            assert_int_equal(fixture_memory_used(), 0);
        }
        assert_false(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_of_any_length_arrive),
        TEST(and_from_files),
        TEST(and_to_files),
        TEST(and_where_replies_are_told_late),
        TEST(and_without_etags),
        TEST(and_without_ranges),
        TEST(and_without_a_known_size),
        TEST(and_with_checksums),
        TEST(and_with_equal_parts),
        TEST(and_in_ever_smaller_parts_where_any_will_do),
        TEST(and_one_part_after_the_other),
        TEST(and_so_where_an_upload_asks_for_it),
        TEST(and_in_tiny_pieces),
        TEST(and_with_odd_chunks),
        TEST(small_objects_cost_one_request_each_way),
        TEST(a_size_that_is_hinted_at_is_what_is_asked_for),
        TEST(a_wrong_hint_costs_no_bytes),
        TEST(nor_of_files),
        TEST(nor_of_equal_parts),
        TEST(a_read_that_breaks_off_goes_on_at_its_byte),
        TEST(a_read_that_ends_early_goes_on_at_its_byte),
        TEST(a_read_that_never_gives_a_byte_is_an_error_not_a_spin),
        TEST(a_part_that_fails_midway_is_read_again),
        TEST(a_part_that_fails_early_is_not_read_again),
        TEST(both_sides_may_fail_at_once),
        TEST(the_first_final_error_is_told_and_nothing_is_left),
        TEST(a_source_that_changes_is_never_mixed),
        TEST(a_file_touched_while_it_is_read_is_found_out),
        TEST(damaged_bytes_are_never_written_to_the_end),
        TEST(bytes_that_were_damaged_once_are_fetched_once_more),
        TEST(a_checksum_that_only_stat_tells_is_compared),
        TEST(a_stream_without_ranges_is_checked_too),
        TEST(one_store_copies_by_itself),
        TEST(copies_end_when_they_are_told_to),
        TEST(slow_stores_do_not_grow_memory),
        TEST(memory_may_run_out_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
