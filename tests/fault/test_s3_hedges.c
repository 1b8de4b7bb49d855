/* SPDX-License-Identifier: Apache-2.0
 * Ranges that lag behind the others are asked for again: who wins, what it costs, what never happens. Time limits are
 * so long here that nothing but a hedge can help; where one must not help, they are short again. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

#define BIG ((uint64_t)8 << 20) /* 32 ranges */

static char directory[64];

static orbit_client_stats stats_now(void)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    OK(orbit_client_get_stats(at.client, &stats));
    return stats;
}

/* Nobody's patience ends before that of the test. */
static void be_patient(void)
{
    at.options.first_byte_timeout_ms = 200000;
    at.options.stall_timeout_ms = 200000;
    at.options.parallel_operations = 4;
    s3fault_reopen();
}

static const char *file_path(void)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/file", directory);
    return path;
}

static void compare_file(const char *key, uint64_t size)
{
    static uint8_t got[1 << 20], expected[1 << 20];
    FILE *file = fopen(file_path(), "rb");
    assert_non_null(file);
    uint64_t offset = 0;
    size_t length;
    while ((length = fread(got, 1, sizeof got, file)) > 0) {
        endpoint_pattern(key, offset, expected, length);
        assert_memory_equal(got, expected, length);
        offset += length;
    }
    fclose(file);
    assert_int_equal(offset, size);
}

static orbit_status download(const char *key, bool no_hedge, bool *verified)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    options.no_hedge = no_hedge;
    options.parallel_operations = 4;
    orbit_status status = orbit_download(at.store, key, file_path(), &options, &result, &told);
    if (verified)
        *verified = result.verified;
    orbit_download_result_release(&result);
    return status;
}

static void reader_passes_a_range_that_never_comes(void **state)
{
    (void)state;
    be_patient();
    FAULT("op=GetObject&nth=7&stall=0");
    OK(read_generated("gen-8M", BIG, NULL, NULL, &told));
    orbit_client_stats stats = stats_now();
    assert_true(stats.hedges >= 1);
    assert_int_equal(stats.retries, 0);
    assert_int_equal(COUNT("requests.GetObject"), 32 + stats.hedges);
}

static void reader_passes_a_range_that_stops_within_and_asks_only_for_the_rest(void **state)
{
    (void)state;
    struct endpoint_request request;
    bool rest = false;
    be_patient();
    FAULT("op=GetObject&nth=9&stall=100000");
    OK(read_generated("gen-8M", BIG, NULL, NULL, &told));
    orbit_client_stats stats = stats_now();
    assert_true(stats.hedges >= 1);
    for (unsigned i = 0; endpoint_request(&at.endpoint, "GetObject", i, &request); i++) {
        char *dash = strchr(request.range, '-');
        uint64_t from = strlen(request.range) > 6 ? strtoull(request.range + 6, NULL, 10) : 0; /* "bytes=" */
        if (dash && from % CHUNK == 100000)
            rest = strtoull(dash + 1, NULL, 10) % CHUNK == CHUNK - 1;
    }
    assert_true(rest);
    /* What was sent: everything once, and what lay in the network of reads that lost. */
    assert_true(COUNT("sent") <= (int64_t)(BIG + stats.hedges * CHUNK));
}

static void hedge_is_pinned_to_the_version_of_the_first_reply(void **state)
{
    (void)state;
    struct endpoint_request request;
    be_patient();
    FAULT("op=GetObject&nth=7&stall=0");
    OK(read_generated("gen-8M", BIG, NULL, NULL, &told));
    unsigned unpinned = 0; /* the first that was asked, which need not be the first that ended */
    for (unsigned i = 0; endpoint_request(&at.endpoint, "GetObject", i, &request); i++)
        unpinned += request.if_match[0] == '\0';
    assert_int_equal(unpinned, 1);
}

static void download_passes_a_request_that_is_never_answered(void **state)
{
    (void)state;
    bool verified = false;
    be_patient();
    FAULT("op=GetObject&nth=10&latency_ms=150000");
    OK(download("gen-8M", false, &verified));
    compare_file("gen-8M", BIG);
    assert_true(stats_now().hedges >= 1);
}

static void download_leaves_a_slow_connection(void **state)
{
    (void)state;
    be_patient();
    endpoint_control(&at.endpoint, "set?bandwidth=4M");
    FAULT("op=GetObject&nth=10&bandwidth=4K"); /* a minute for its range */
    OK(download("gen-8M", false, NULL));
    compare_file("gen-8M", BIG);
    assert_true(stats_now().hedges >= 1);
}

static void copy_in_parts_passes_a_range_that_never_comes(void **state)
{
    (void)state;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    be_patient();
    options.no_server_copy = true;
    FAULT("op=GetObject&nth=6&stall=70000");
    OK(orbit_copy(at.store, "gen-4M", at.store, "copy", &options, NULL, &told));
    uint8_t *expected = malloc(4 << 20);
    assert_non_null(expected);
    endpoint_pattern("gen-4M", 0, expected, 4 << 20);
    OK(read_back("copy", expected, 4 << 20, &told));
    free(expected);
    assert_true(stats_now().hedges >= 1);
    assert_int_equal(COUNT("open_uploads"), 0);
}

static void many_unlucky_requests_are_all_replaced(void **state)
{
    (void)state;
    bool verified = false;
    be_patient();
    endpoint_control(&at.endpoint, "set?latency_ms=5");
    FAULT("op=GetObject&nth=8&count=1000&probability=0.15&seed=7&stall=1000");
    OK(download("gen-16M", false, &verified));
    compare_file("gen-16M", 2 * BIG);
    OK(read_generated("gen-16M", 2 * BIG, NULL, NULL, &told));
    orbit_client_stats stats = stats_now();
    assert_true(stats.hedges >= 4);
    assert_true(stats.hedge_bytes <= 16 << 20);
}

static void without_hedges_a_range_that_never_comes_is_tried_again(void **state)
{
    (void)state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.no_hedge = true;
    at.options.parallel_operations = 4;
    s3fault_reopen();
    FAULT("op=GetObject&nth=7&stall=0");
    FAULT("op=GetObject&nth=45&stall=0");
    OK(read_generated("gen-8M", BIG, &options, NULL, &told));
    OK(download("gen-8M", true, NULL));
    compare_file("gen-8M", BIG);
    assert_int_equal(stats_now().hedges, 0);
    assert_int_equal(stats_now().retries, 2);
}

static void quick_stores_are_asked_once(void **state)
{
    (void)state;
    be_patient();
    OK(read_generated("gen-8M", BIG, NULL, NULL, &told));
    OK(download("gen-8M", false, NULL));
    /* (a busy machine may make a connection wait) */
    assert_int_equal(COUNT("requests.GetObject"), 64 + stats_now().hedges);
}

static void object_that_changes_is_an_error_and_never_a_mix(void **state)
{
    (void)state;
    uint64_t done = 0;
    uint8_t *old = make_bytes(4 << 20, 1), *new = make_bytes(4 << 20, 2);
    be_patient();
    OK(write_bytes("object", old, 4 << 20, &told));
    endpoint_control(&at.endpoint, "set?bandwidth=2M");
    FAULT("op=GetObject&nth=5&stall=50000&stall_ms=4000");
    orbit_reader *reader = NULL;
    OK(orbit_read(&reader, at.store, "object", NULL, &told));
    OK(write_bytes("object", new, 4 << 20, &told));
    orbit_status status;
    const void *bytes;
    size_t length;
    while ((status = orbit_reader_next(reader, &bytes, &length, &told)) == ORBIT_OK) {
        assert_memory_equal(bytes, old + done, length);
        done += length;
    }
    assert_int_equal(status, ORBIT_E_CHANGED);
    orbit_reader_close(reader);
    free(old);
    free(new);
}

static void bytes_that_a_hedge_got_wrong_are_noticed(void **state)
{
    (void)state;
    be_patient();
    for (uint64_t hedges = 0; hedges != 1;) { /* on a busy machine others may be asked for again: once more then */
        uint64_t before = stats_now().hedges;
        endpoint_reset(&at.endpoint);
        FAULT("op=GetObject&nth=32&stall=0"); /* the last range; who asks for it again gets other bytes */
        FAULT("op=GetObject&nth=33&count=1000&corrupt=1000"); /* and all when it is fetched once more */
        orbit_status status = download("gen-8M", false, NULL);
        hedges = stats_now().hedges - before;
        assert_true(hedges >= 1);
        if (hedges == 1)
            assert_int_equal(status, ORBIT_E_CHECKSUM);
        assert_true(status == ORBIT_OK || access(file_path(), F_OK) != 0);
        unlink(file_path());
    }
}

static void when_both_fail_the_error_is_told(void **state)
{
    (void)state;
    at.options.parallel_operations = 4;
    at.options.retry_attempts = 2;
    s3fault_reopen();
    FAULT("op=GetObject&nth=12&stall=0");
    FAULT("op=GetObject&nth=33&count=1000&status=500"); /* all that is asked for again */
    orbit_status status = download("gen-8M", false, NULL);
    assert_true(status < 0);
    assert_int_equal(stats_now().memory_used_bytes, 0);
    assert_true(COUNT("requests.GetObject") <= 32 + 4 * 4 + 8);
}

/* The hedge lost its connection, the range that lagged comes after all. */
static void hedge_that_fails_harms_nobody(void **state)
{
    (void)state;
    be_patient();
    FAULT("op=GetObject&nth=12&stall=0&stall_ms=2500");
    FAULT("op=GetObject&nth=33&count=3&status=500");
    OK(download("gen-8M", false, NULL));
    compare_file("gen-8M", BIG);
}

static void store_that_is_stuck_for_all_is_not_stormed(void **state)
{
    (void)state;
    at.options.parallel_operations = 4;
    at.options.retry_attempts = 2;
    at.options.stall_timeout_ms = 2000;
    s3fault_reopen();
    FAULT("op=GetObject&nth=9&count=100000&stall=0");
    orbit_status status = read_generated("gen-8M", BIG, NULL, NULL, &told);
    assert_true(status < 0);
    /* Four ranges, two attempts each, and a hedge at a time for at most four times a range. */
    assert_true(COUNT("requests.GetObject") <= 8 + 4 * (2 + 4 + 4));
}

static void cancelling_at_any_moment_leaves_nothing(void **state)
{
    (void)state;
    be_patient();
    endpoint_control(&at.endpoint, "set?latency_ms=3&bandwidth=8M");
    for (unsigned i = 0; i < 24; i++) {
        orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
        options.timeout_ms = 20 + i * 23;
        options.parallel_operations = 4;
        endpoint_control(&at.endpoint, "clear");
        FAULT("op=GetObject&nth=6&every=3&stall=3000");
        orbit_status status = orbit_download(at.store, "gen-8M", file_path(), &options, NULL, &told);
        assert_true(status == ORBIT_OK || status == ORBIT_E_TIMEOUT);

        orbit_reader *reader = NULL;
        const void *bytes;
        size_t length;
        OK(orbit_read(&reader, at.store, "gen-8M", NULL, &told));
        for (unsigned n = 0; n < 4 + i * 3 && orbit_reader_next(reader, &bytes, &length, &told) == ORBIT_OK; n++)
            ;
        if (i % 3 == 0)
            OK(orbit_reader_seek(reader, i << 16, &told));
        orbit_reader_close(reader);
    }
    assert_int_equal(stats_now().memory_used_bytes, 0);
}

static int group_setup(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/orbit-hedges-XXXXXX");
    return mkdtemp(directory) ? s3fault_group_setup(state) : -1;
}

static int group_teardown(void **state)
{
    unlink(file_path());
    rmdir(directory);
    return s3fault_group_teardown(state);
}

static int teardown(void **state)
{
    unlink(file_path());
    return s3fault_teardown(state);
}

#define HEDGE_TEST(function) cmocka_unit_test_setup_teardown(function, s3fault_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEDGE_TEST(reader_passes_a_range_that_never_comes),
        HEDGE_TEST(reader_passes_a_range_that_stops_within_and_asks_only_for_the_rest),
        HEDGE_TEST(hedge_is_pinned_to_the_version_of_the_first_reply),
        HEDGE_TEST(download_passes_a_request_that_is_never_answered),
        HEDGE_TEST(download_leaves_a_slow_connection),
        HEDGE_TEST(copy_in_parts_passes_a_range_that_never_comes),
        HEDGE_TEST(many_unlucky_requests_are_all_replaced),
        HEDGE_TEST(without_hedges_a_range_that_never_comes_is_tried_again),
        HEDGE_TEST(quick_stores_are_asked_once),
        HEDGE_TEST(object_that_changes_is_an_error_and_never_a_mix),
        HEDGE_TEST(bytes_that_a_hedge_got_wrong_are_noticed),
        HEDGE_TEST(when_both_fail_the_error_is_told),
        HEDGE_TEST(hedge_that_fails_harms_nobody),
        HEDGE_TEST(store_that_is_stuck_for_all_is_not_stormed),
        HEDGE_TEST(cancelling_at_any_moment_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
