/* SPDX-License-Identifier: Apache-2.0
 * Reads and listings of an S3 endpoint that misbehaves. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

static void server_errors_are_tried_again(void **state)
{
    (void)state;
    uint64_t done;
    FAULT("op=GetObject&nth=1&count=2&status=500");
    OK(read_generated("gen-1M", 1 << 20, NULL, &done, &told));
    assert_true(COUNT("failed.GetObject") >= 1);
}

static void server_errors_without_end_reach_the_caller(void **state)
{
    (void)state;
    FAULT("op=GetObject&status=500");
    orbit_status status = read_generated("gen-1M", 1 << 20, NULL, NULL, &told);
    assert_true(status < 0);
    assert_int_equal(told.status, status);
    assert_int_equal(told.http_status, 500);
    assert_string_equal(told.code, "InternalError");
    assert_true(COUNT("requests.GetObject") >= 4);
    assert_true(COUNT("requests.GetObject") <= 8); /* two ranges, four attempts each */
}

static void slow_down_is_waited_out_and_counted(void **state)
{
    (void)state;
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    FAULT("op=GetObject&nth=2&count=2&status=503");
    OK(read_generated("gen-2M", 2 << 20, NULL, NULL, &told));
    OK(orbit_client_get_stats(at.client, &stats));
    assert_true(stats.throttled >= 1);
    assert_true(stats.retries >= 1);
}

static void retry_after_is_honoured(void **state)
{
    (void)state;
    int64_t begun = now_ms();
    FAULT("op=HeadObject&nth=1&status=503&retry_after=1");
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    OK(orbit_stat(at.store, "gen-1K", NULL, &metadata, &told));
    orbit_metadata_release(&metadata);
    assert_true(now_ms() - begun >= 900);
}

static void reset_before_the_reply_is_tried_again(void **state)
{
    (void)state;
    FAULT("op=GetObject&every=3&count=3&reset=before");
    OK(read_generated("gen-2M", 2 << 20, NULL, NULL, &told));
}

static void cut_body_resumes_where_it_was_cut(void **state)
{
    (void)state;
    struct endpoint_request request;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    bool resumed = false;
    options.parallel_operations = 1;
    FAULT("op=GetObject&nth=1&cut=100000");
    OK(read_generated("gen-700K", 700 << 10, &options, NULL, &told));
    for (unsigned i = 0; endpoint_request(&at.endpoint, "GetObject", i, &request); i++)
        resumed |= strncmp(request.range, "bytes=100000-", 13) == 0;
    assert_true(resumed); /* mid-chunk: nothing was fetched twice */
    assert_int_equal(COUNT("sent"), 700 << 10);
}

static void body_cut_again_and_again_is_read_to_its_end(void **state)
{
    (void)state;
    FAULT("op=GetObject&cut=50000"); /* each reply brings enough of its range: progress, which renews the attempts */
    at.options.retry_attempts = 3;
    s3fault_reopen();
    OK(read_generated("gen-600K", 600 << 10, NULL, NULL, &told));
}

/* A thousand bytes are no progress for a range of 256 KiB. Every way a body is read. */
static void crumbs_do_not_renew_the_attempts(void **state)
{
    (void)state;
    char target[] = "/tmp/orbit-crumbs-XXXXXX";
    int fd = mkstemp(target);
    assert_true(fd >= 0);
    close(fd);
    at.options.retry_attempts = 4;
    at.options.parallel_operations = 1;
    for (int whole = 0; whole < 2; whole++) {
        s3fault_fresh_client();
        FAULT("op=GetObject&cut=1000&ignore_range=%d", whole);
        EXPECT(ORBIT_E_NETWORK, read_generated("gen-600K", 600 << 10, NULL, NULL, &told));
        assert_non_null(strstr(told.message, "(after 4 attempts)"));
        EXPECT(ORBIT_E_NETWORK, orbit_download(at.store, "gen-600K", target, NULL, NULL, &told));
        assert_in_range(COUNT("requests.GetObject"), 8, 24);
        endpoint_reset(&at.endpoint);
    }
    unlink(target);
}

static void small_objects_come_crumb_by_crumb(void **state)
{
    (void)state;
    at.options.retry_attempts = 3;
    s3fault_reopen();
    FAULT("op=GetObject&cut=1000"); /* far more replies than attempts, each worth one */
    OK(read_generated("gen-12K", 12 << 10, NULL, NULL, &told));
}

static void stalled_body_is_given_up_and_resumed(void **state)
{
    (void)state;
    int64_t begun = now_ms();
    FAULT("op=GetObject&nth=1&stall=80000&stall_ms=30000");
    OK(read_generated("gen-500K", 500 << 10, NULL, NULL, &told));
    assert_true(now_ms() - begun < 15000);
}

static void silent_server_is_a_timeout_in_the_end(void **state)
{
    (void)state;
    int64_t begun = now_ms();
    at.options.retry_attempts = 2;
    at.options.first_byte_timeout_ms = 300;
    s3fault_reopen();
    FAULT("op=GetObject&latency_ms=3000");
    EXPECT(ORBIT_E_TIMEOUT, read_generated("gen-100K", 100 << 10, NULL, NULL, &told));
    assert_true(now_ms() - begun < 10000);
}

static void server_that_ignores_ranges_is_still_read_right(void **state)
{
    (void)state;
    FAULT("op=GetObject&ignore_range=1");
    orbit_status status = read_generated("gen-1M", 1 << 20, NULL, NULL, &told);
    if (status < 0) /* refusing is fine; wrong bytes or a spin are not */
        assert_int_equal(status, ORBIT_E_PROTOCOL);
    assert_true(COUNT("requests.GetObject") <= 12);
    assert_true(COUNT("sent") <= 6 << 20); /* not a whole copy for each range */
}

/* Some stores answer a range of an object without bytes with the whole of it. */
static void range_of_an_empty_object_is_empty_whatever_the_reply(void **state)
{
    (void)state;
    orbit_reader *reader = NULL;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    char buffer[16];
    size_t got = 1;
    options.offset = 3;
    options.length = 10;
    OK(write_bytes("nothing", "", 0, &told));
    FAULT("op=GetObject&ignore_range=1");
    OK(orbit_read(&reader, at.store, "nothing", &options, &told));
    EXPECT(ORBIT_END, orbit_reader_read(reader, buffer, sizeof(buffer), &got, &told));
    assert_int_equal(got, 0);
    orbit_reader_close(reader);
}

static void reply_that_is_another_range_is_a_protocol_error(void **state)
{
    (void)state;
    FAULT("op=GetObject&wrong_range=7");
    EXPECT(ORBIT_E_PROTOCOL, read_generated("gen-1M", 1 << 20, NULL, NULL, &told));
}

static void reply_that_is_shorter_than_it_says_is_never_passed_off_as_whole(void **state)
{
    (void)state;
    at.options.retry_attempts = 2;
    s3fault_reopen();
    FAULT("op=GetObject&wrong_length=1000");
    orbit_status status = read_generated("gen-300K", 300 << 10, NULL, NULL, &told);
    assert_true(status == ORBIT_OK || status < 0); /* right, or an error: read_generated() compares the bytes */
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObject&wrong_length=-1000");
    status = read_generated("gen-300K", 300 << 10, NULL, NULL, &told);
    assert_true(status == ORBIT_OK || status < 0);
}

static void object_that_changes_between_ranges_is_changed(void **state)
{
    (void)state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    uint64_t done = 0;
    options.parallel_operations = 1;
    FAULT("op=GetObject&nth=2&change=1");
    EXPECT(ORBIT_E_CHANGED, read_generated("gen-3M-moving", 3 << 20, &options, &done, &told));
    assert_true(done < 3 << 20);
    struct endpoint_request request;
    unsigned later = 0;
    for (unsigned n = 0; endpoint_request(&at.endpoint, "GetObject", n, &request); n++) {
        if (strncmp(request.range, "bytes=0-", strlen("bytes=0-")) == 0)
            continue;                             /* the log is in the order of their ends */
        assert_true(request.if_match[0] != '\0'); /* pinned */
        later++;
    }
    assert_true(later > 0);
}

/* Quoted, without quotes, weak, and quoted but compared without: none of it is another version, and a change is one. */
static void etags_are_compared_whatever_their_form(void **state)
{
    (void)state;
    orbit_reader *reader = NULL;
    char key[32];
    for (int how = 0; how < 4; how++) {
        endpoint_control(&at.endpoint, "set?etags=%d", how);
        for (int known = 0; known < 2; known++) {
            s3fault_fresh_client();
            orbit_metadata metadata = ORBIT_METADATA_INIT;
            orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
            if (known)
                OK(read_generated("gen-1M", 1 << 20, NULL, NULL, &told));
            OK(orbit_stat(at.store, "gen-2M", NULL, &metadata, &told));
            assert_int_equal(strlen(metadata.etag), 32);
            if (!known)
                s3fault_fresh_client();
            options.if_match = metadata.etag;
            OK(read_generated("gen-2M", 2 << 20, &options, NULL, &told));
            options.if_match = "0123456789abcdef0123456789abcdef";
            EXPECT(ORBIT_E_CHANGED, orbit_read(&reader, at.store, "gen-2M", &options, &told));
            orbit_metadata_release(&metadata);
        }
        orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
        options.parallel_operations = 1;
        FAULT("op=GetObject&nth=2&change=1");
        snprintf(key, sizeof key, "gen-3M-etags-%d", how);
        EXPECT(ORBIT_E_CHANGED, read_generated(key, 3 << 20, &options, NULL, &told));
        endpoint_reset(&at.endpoint);
    }
    endpoint_control(&at.endpoint, "set?etags=0");
}

static orbit_status put_named(const char *text, const orbit_write_options *options)
{
    orbit_source source = orbit_source_memory(text, strlen(text));
    return orbit_write(at.store, "named", source, strlen(text), options, NULL, &told);
}

/* What a write must replace is named as the store names it. */
static void writes_name_etags_as_they_came(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        endpoint_control(&at.endpoint, "set?etags=%d", how);
        s3fault_fresh_client();
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        OK(put_named("one", NULL));
        OK(orbit_stat(at.store, "named", NULL, &metadata, &told));
        options.if_match = metadata.etag;
        OK(put_named("two", &options));
        EXPECT(ORBIT_E_CHANGED, put_named("three", &options));
        orbit_metadata_release(&metadata);
    }
    endpoint_control(&at.endpoint, "set?etags=0");
}

static void flipped_bit_is_a_checksum_mismatch(void **state)
{
    (void)state;
    FAULT("op=GetObject&corrupt=1000");
    orbit_reader *reader = NULL;
    orbit_status status = orbit_read(&reader, at.store, "gen-300K", NULL, &told);
    while (status == ORBIT_OK) {
        const void *piece;
        size_t length;
        status = orbit_reader_next(reader, &piece, &length, &told);
    }
    orbit_reader_close(reader);
    expect(ORBIT_E_CHECKSUM, status, &told, "reading a flipped bit", __FILE__, __LINE__);
}

static void flipped_bit_is_noticed_by_a_download_and_leaves_no_file(void **state)
{
    (void)state;
    char file[] = "/tmp/orbit-fault-XXXXXX";
    assert_non_null(mkdtemp(file));
    char path[64];
    snprintf(path, sizeof(path), "%s/down", file);
    FAULT("op=GetObject&corrupt=1000");
    orbit_status status = orbit_download(at.store, "gen-300K", path, NULL, NULL, &told);
    assert_int_equal(status, ORBIT_E_CHECKSUM);
    assert_int_not_equal(remove(path), 0);
    endpoint_control(&at.endpoint, "clear");
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    OK(orbit_download(at.store, "gen-300K", path, NULL, &result, &told));
    assert_true(result.verified);
    orbit_download_result_release(&result);
    remove(path);
    assert_int_equal(remove(file), 0);
}

static void garbage_instead_of_http_is_an_error(void **state)
{
    (void)state;
    at.options.retry_attempts = 2;
    s3fault_reopen();
    FAULT("op=HeadObject&garbage=1");
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_status status = orbit_stat(at.store, "gen-1K", NULL, &metadata, &told);
    assert_true(status == ORBIT_E_PROTOCOL || status == ORBIT_E_NETWORK);
}

/* ---- listings ------------------------------------------------------------------------------------------------- */

static void open_keys(const char *bucket)
{
    at.config.bucket = bucket;
    s3fault_reopen();
}

static void listing_of_many_pages_is_whole(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-12345-numbers");
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 12345);
    open_keys("keys-5000-tree");
    OK(list_count("d0000/d001", false, &count, &told));
    assert_int_equal(count, 1000);
    OK(list_count("", false, &count, &told));
    assert_int_equal(count, 1);
}

static void failed_page_is_asked_for_again(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-5000");
    FAULT("op=ListObjectsV2&nth=3&count=2&status=500");
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 5000);
}

static void page_that_always_fails_is_an_error_not_an_end(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-5000");
    FAULT("op=ListObjectsV2&nth=3&count=1000&status=500");
    orbit_status status = list_count("", true, &count, &told);
    assert_true(status < 0);
    assert_true(count < 5000);
    assert_int_equal(told.http_status, 500);
}

static void repeated_token_ends_with_an_error(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-5000");
    FAULT("op=ListObjectsV2&repeat_token=1");
    EXPECT(ORBIT_E_PROTOCOL, list_count("", true, &count, &told));
    assert_true(COUNT("requests.ListObjectsV2") < 20);
}

static void truncated_page_without_a_token_is_an_error(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-5000");
    FAULT("op=ListObjectsV2&nth=2&count=100&no_token=1");
    EXPECT(ORBIT_E_PROTOCOL, list_count("", true, &count, &told));
}

static void truncated_xml_is_an_error_or_asked_for_again(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-3000");
    FAULT("op=ListObjectsV2&nth=2&truncate=5000");
    orbit_status status = list_count("", true, &count, &told);
    if (status == ORBIT_OK)
        assert_int_equal(count, 3000);
    else
        assert_int_equal(status, ORBIT_E_PROTOCOL);
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=ListObjectsV2&truncate=5000");
    EXPECT(ORBIT_E_PROTOCOL, list_count("", true, &count, &told));
}

static void page_cut_by_the_network_is_asked_for_again(void **state)
{
    (void)state;
    size_t count;
    open_keys("keys-3000");
    FAULT("op=ListObjectsV2&nth=2&cut=5000");
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 3000);
}

static void listing_survives_a_rate_limit(void **state)
{
    (void)state;
    size_t count;
    at.options.retry_attempts = 10;
    open_keys("keys-8000");
    endpoint_control(&at.endpoint, "set?rate=20");
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 8000);
}

static void first_version_of_listing_gives_the_same(void **state)
{
    (void)state;
    size_t count;
    at.config.list_v1 = true;
    open_keys("keys-3500-tree");
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 3500);
    OK(list_count("d0000", false, &count, &told));
    assert_int_equal(count, 4);
    assert_int_equal(COUNT("requests.ListObjectsV2"), 0);
}

/* Keys with what an encoded listing writes otherwise; four a page, so that there are two. */
static void keys_are_what_they_are(const char *encoding, unsigned pages)
{
    static const char *const keys[] = {"%41", "+", "a b", "a%2Bb", "a+b", "plain"};
    orbit_lister *lister;
    orbit_entry entry;
    at.config.list_page_entries = 4;
    s3fault_reopen();
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        OK(write_bytes(keys[i], "x", 1, &told));
    endpoint_control(&at.endpoint, "set?encoding=%s", encoding);
    OK(orbit_list(&lister, at.store, "", NULL, &told));
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        OK(orbit_lister_next(lister, &entry, &told));
        assert_string_equal(entry.path, keys[i]);
    }
    EXPECT(ORBIT_END, orbit_lister_next(lister, &entry, &told));
    orbit_lister_close(lister);
    assert_int_equal(COUNT("requests.ListObjectsV2"), pages);
}

static void keys_are_right_where_the_encoding_is_told_first(void **state)
{
    (void)state;
    keys_are_what_they_are("1", 2);
}

static void keys_are_right_where_the_encoding_is_told_last(void **state)
{
    (void)state;
    keys_are_what_they_are("2", 3); /* the first page twice: what it meant was told behind it */
}

static void keys_are_right_where_the_store_does_not_encode(void **state)
{
    (void)state;
    keys_are_what_they_are("0", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(server_errors_are_tried_again),
        FAULT_TEST(server_errors_without_end_reach_the_caller),
        FAULT_TEST(slow_down_is_waited_out_and_counted),
        FAULT_TEST(retry_after_is_honoured),
        FAULT_TEST(reset_before_the_reply_is_tried_again),
        FAULT_TEST(cut_body_resumes_where_it_was_cut),
        FAULT_TEST(body_cut_again_and_again_is_read_to_its_end),
        FAULT_TEST(crumbs_do_not_renew_the_attempts),
        FAULT_TEST(small_objects_come_crumb_by_crumb),
        FAULT_TEST(stalled_body_is_given_up_and_resumed),
        FAULT_TEST(silent_server_is_a_timeout_in_the_end),
        FAULT_TEST(server_that_ignores_ranges_is_still_read_right),
        FAULT_TEST(range_of_an_empty_object_is_empty_whatever_the_reply),
        FAULT_TEST(reply_that_is_another_range_is_a_protocol_error),
        FAULT_TEST(reply_that_is_shorter_than_it_says_is_never_passed_off_as_whole),
        FAULT_TEST(object_that_changes_between_ranges_is_changed),
        FAULT_TEST(etags_are_compared_whatever_their_form),
        FAULT_TEST(writes_name_etags_as_they_came),
        FAULT_TEST(flipped_bit_is_a_checksum_mismatch),
        FAULT_TEST(flipped_bit_is_noticed_by_a_download_and_leaves_no_file),
        FAULT_TEST(garbage_instead_of_http_is_an_error),
        FAULT_TEST(listing_of_many_pages_is_whole),
        FAULT_TEST(failed_page_is_asked_for_again),
        FAULT_TEST(page_that_always_fails_is_an_error_not_an_end),
        FAULT_TEST(repeated_token_ends_with_an_error),
        FAULT_TEST(truncated_page_without_a_token_is_an_error),
        FAULT_TEST(truncated_xml_is_an_error_or_asked_for_again),
        FAULT_TEST(page_cut_by_the_network_is_asked_for_again),
        FAULT_TEST(listing_survives_a_rate_limit),
        FAULT_TEST(first_version_of_listing_gives_the_same),
        FAULT_TEST(keys_are_right_where_the_encoding_is_told_first),
        FAULT_TEST(keys_are_right_where_the_encoding_is_told_last),
        FAULT_TEST(keys_are_right_where_the_store_does_not_encode),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
