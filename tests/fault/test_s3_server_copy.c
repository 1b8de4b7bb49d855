/* SPDX-License-Identifier: Apache-2.0
 * Copies that the store makes by itself and that are too large for one request: their parts, what goes along with the
 * bytes, and what may go wrong on the way. */
#include "s3fault.h"

#include <time.h>

#define LIMIT (256u << 10) /* of one request */
#define LARGE (5u * LIMIT + 77)
#define PARTS 6

static const uint8_t key_a[32] = "the first of two keys, 32 bytes", key_b[32] = "the other of two keys, 32 bytes";

/* The store, with that limit. */
static void open_limited(void)
{
    at.config.copy_max_bytes = LIMIT;
    s3fault_reopen();
}

static void check_clean(void)
{
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(COUNT("requests.GetObject"), 0); /* no byte came here */
    assert_int_equal(COUNT("requests.UploadPart"), 0);
}

/* A large object "source", written in one request; free() the bytes. */
static uint8_t *have_source(const orbit_write_options *options)
{
    uint8_t *bytes = make_bytes(LARGE, 7);
    at.config.put_max_bytes = 4 << 20;
    at.options.chunk_size = 4 << 20;
    s3fault_reopen();
    OK(orbit_write(at.store, "source", orbit_source_memory(bytes, LARGE), LARGE, options, NULL, &told));
    at.config.put_max_bytes = 0;
    at.options.chunk_size = CHUNK;
    open_limited();
    return bytes;
}

static orbit_status copy_to(const char *to, const orbit_write_options *write, orbit_write_result *result)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.preserve = true;
    options.write = write;
    memset(&told, 0, sizeof(told));
    return orbit_copy(at.store, "source", at.store, to, &options, result, &told);
}

static void check_missing(const char *key)
{
    bool there = true;
    endpoint_control(&at.endpoint, "clear");
    OK(orbit_exists(at.store, key, NULL, &there, &told));
    assert_false(there);
    check_clean();
}

static bool has(const orbit_metadata *metadata, const char *name, const char *value)
{
    for (size_t i = 0; i < metadata->user_count; i++)
        if (strcmp(metadata->user[i].name, name) == 0 && strcmp(metadata->user[i].value, value) == 0)
            return true;
    return false;
}

static void large_copy_is_the_same_object(void **state)
{
    (void)state;
    const orbit_pair pairs[] = {{"colour", "blue"}, {"mtime", "1700000000.123456789"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    options.metadata = pairs;
    options.metadata_count = COUNT_OF(pairs);
    options.content_type = "text/x-test";
    options.content_encoding = "x-odd";
    options.content_disposition = "attachment";
    options.content_language = "de";
    options.cache_control = "no-cache";
    options.expires = "Thu, 01 Dec 2033 16:00:00 GMT";
    options.tagging = "a=b%20c&%C3%BC=%26%3D";
    uint8_t *bytes = have_source(&options);
    endpoint_control(&at.endpoint, "set?echo=1");
    OK(copy_to("target", NULL, &result));
    assert_int_equal(result.bytes, LARGE);
    assert_int_equal(result.parts, 0);
    assert_true(result.multipart);
    assert_int_equal(COUNT("requests.UploadPartCopy"), PARTS);
    assert_int_equal(COUNT("requests.CopyObject"), 0);
    check_clean();
    OK(orbit_stat(at.store, "target", NULL, &metadata, &told));
    assert_int_equal(metadata.size, LARGE);
    assert_string_equal(metadata.content_type, "text/x-test");
    assert_string_equal(metadata.content_encoding, "x-odd");
    assert_string_equal(metadata.content_disposition, "attachment");
    assert_string_equal(metadata.content_language, "de");
    assert_string_equal(metadata.cache_control, "no-cache");
    assert_string_equal(metadata.expires, "Thu, 01 Dec 2033 16:00:00 GMT");
    assert_true(has(&metadata, "colour", "blue"));
    assert_true(has(&metadata, "mtime", "1700000000.123456789"));
    assert_true(has(&metadata, "echo-tagging",
                    "<Tag><Key>a</Key><Value>b c</Value></Tag><Tag><Key>\xc3\xbc</Key><Value>&amp;=</Value></Tag>"));
    assert_int_equal(metadata.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
    assert_memory_equal(&metadata.checksum, &result.metadata.checksum, sizeof(metadata.checksum));
    orbit_metadata_release(&metadata);
    orbit_write_result_release(&result);
    OK(read_back("target", bytes, LARGE, &told));
    endpoint_control(&at.endpoint, "set?echo=0");
    free(bytes);
}

static void options_of_the_copy_go_before_those_of_the_source(void **state)
{
    (void)state;
    const orbit_pair pairs[] = {{"colour", "blue"}}, others[] = {{"colour", "red"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT, write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    options.metadata = pairs;
    options.metadata_count = 1;
    options.content_type = "text/x-test";
    options.tagging = "a=b";
    free(have_source(&options));
    endpoint_control(&at.endpoint, "set?echo=1");
    write.metadata = others;
    write.metadata_count = 1;
    write.tagging = "c=d";
    write.storage_class = "GLACIER_IR";
    OK(copy_to("target", &write, NULL));
    struct endpoint_request request;
    assert_int_equal(COUNT("requests.GetObjectTagging"), 1); /* not of the source: whether the store kept these */
    assert_true(endpoint_await_request(&at.endpoint, "GetObjectTagging", 0, &request));
    assert_string_equal(request.key, "target");
    OK(orbit_stat(at.store, "target", NULL, &metadata, &told));
    assert_string_equal(metadata.content_type, "text/x-test");
    assert_string_equal(metadata.storage_class, "GLACIER_IR");
    assert_true(has(&metadata, "colour", "red"));
    assert_true(has(&metadata, "echo-tagging", "<Tag><Key>c</Key><Value>d</Value></Tag>"));
    orbit_metadata_release(&metadata);
    endpoint_control(&at.endpoint, "set?echo=0");
    check_clean();
}

/* Its contents are not kept: the endpoint knows the checksum of each range, and of the whole. */
static void twelve_gibibytes_are_copied_within_the_store(void **state)
{
    (void)state;
    orbit_metadata from = ORBIT_METADATA_INIT, to = ORBIT_METADATA_INIT;
    const uint64_t size = (uint64_t)12 << 30;
    for (int told_by_parts = 1; told_by_parts >= 0; told_by_parts--) {
        at.options.chunk_size = 0;
        s3fault_reopen();
        endpoint_reset(&at.endpoint);
        endpoint_control(&at.endpoint, "set?copy_sums=%d", told_by_parts);
        OK(orbit_copy(at.store, "gen-12G", at.store, "target", NULL, NULL, &told));
        assert_int_equal(COUNT("requests.UploadPartCopy"), 96);
        check_clean();
        OK(orbit_stat(at.store, "gen-12G", NULL, &from, &told));
        OK(orbit_stat(at.store, "target", NULL, &to, &told));
        assert_int_equal(to.size, size);
        assert_int_equal(from.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
        assert_memory_equal(&to.checksum, &from.checksum, sizeof(to.checksum));
        orbit_metadata_release(&from);
        orbit_metadata_release(&to);
    }
    endpoint_control(&at.endpoint, "set?copy_sums=1");
}

static void large_object_is_renamed(void **state)
{
    (void)state;
    bool there = true;
    uint8_t *bytes = have_source(NULL);
    OK(orbit_rename(at.store, "source", "target", true, NULL, &told));
    assert_int_equal(COUNT("requests.UploadPartCopy"), PARTS);
    check_clean();
    OK(orbit_exists(at.store, "source", NULL, &there, &told));
    assert_false(there);
    OK(read_back("target", bytes, LARGE, &told));
    OK(orbit_write(at.store, "other", orbit_source_memory("x", 1), 1, NULL, NULL, &told));
    EXPECT(ORBIT_E_EXISTS, orbit_rename(at.store, "target", "other", false, NULL, &told));
    OK(orbit_rename(at.store, "target", "new", false, NULL, &told));
    OK(read_back("new", bytes, LARGE, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

static void source_that_changes_in_between_fails_the_copy(void **state)
{
    (void)state;
    at.options.parallel_operations = 1; /* else all parts may have been copied before the change */
    s3fault_reopen();
    free(have_source(NULL));
    FAULT("op=UploadPartCopy&nth=3&change=1");
    assert_int_equal(copy_to("target", NULL, NULL), ORBIT_E_CHANGED);
    check_missing("target");
    FAULT("op=UploadPartCopy&nth=2&change=1");
    EXPECT(ORBIT_E_CHANGED, orbit_rename(at.store, "source", "target", true, NULL, &told));
    check_missing("target");
    OK(orbit_rename(at.store, "source", "target", true, NULL, &told)); /* nothing was lost by that */
}

static void parts_that_fail_are_copied_again(void **state)
{
    (void)state;
    uint8_t *bytes = have_source(NULL);
    FAULT("op=CreateMultipartUpload&nth=1&status=500");
    FAULT("op=GetObjectTagging&nth=1&status=503");
    FAULT("op=UploadPartCopy&nth=1&error200=1");
    FAULT("op=UploadPartCopy&nth=3&reset=before");
    FAULT("op=UploadPartCopy&nth=4&count=2&status=503");
    FAULT("op=UploadPartCopy&nth=6&reset=after");
    FAULT("op=UploadPartCopy&nth=7&truncate=30");
    FAULT("op=CompleteMultipartUpload&nth=1&reset=after");
    OK(copy_to("target", NULL, NULL));
    check_clean();
    OK(read_back("target", bytes, LARGE, &told));
    free(bytes);
}

static void part_that_never_succeeds_ends_the_copy(void **state)
{
    (void)state;
    free(have_source(NULL));
    FAULT("op=UploadPartCopy&part=4&status=500");
    assert_true(copy_to("target", NULL, NULL) < 0);
    check_missing("target");
    FAULT("op=UploadPartCopy&part=2&status=403&code=AccessDenied");
    assert_int_equal(copy_to("target", NULL, NULL), ORBIT_E_PERMISSION);
    check_missing("target");
}

static void bytes_that_are_not_those_of_the_source_are_found_out(void **state)
{
    (void)state;
    free(have_source(NULL));
    FAULT("op=UploadPartCopy&part=2&wrong_checksum=1");
    assert_int_equal(copy_to("target", NULL, NULL), ORBIT_E_CHECKSUM);
    check_missing("target");
}

static void store_that_copies_no_parts_is_helped(void **state)
{
    (void)state;
    uint8_t *bytes = have_source(NULL);
    FAULT("op=UploadPartCopy&status=501&code=NotImplemented");
    OK(copy_to("target", NULL, NULL));
    assert_int_equal(COUNT("open_uploads"), 0);
    OK(read_back("target", bytes, LARGE, &told));
    EXPECT(ORBIT_E_UNSUPPORTED, orbit_rename(at.store, "source", "renamed", true, NULL, &told));
    OK(read_back("source", bytes, LARGE, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

static void store_that_wants_a_checksum_with_each_part_copies_without(void **state)
{
    (void)state;
    uint8_t *bytes = have_source(NULL);
    endpoint_control(&at.endpoint, "set?sum_with_part=1");
    OK(copy_to("target", NULL, NULL));
    check_clean();
    OK(orbit_rename(at.store, "source", "renamed", true, NULL, &told));
    check_clean();
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 3); /* learned once */
    OK(read_back("target", bytes, LARGE, &told));
    OK(read_back("renamed", bytes, LARGE, &told));
    free(bytes);
}

static void store_that_tells_the_sources_checksum_with_each_part_copies_without(void **state)
{
    (void)state;
    uint8_t *bytes = have_source(NULL);
    endpoint_control(&at.endpoint, "set?copy_sums=2&part_sums=1");
    OK(copy_to("target", NULL, NULL));
    check_clean();
    OK(copy_to("target2", NULL, NULL));
    check_clean();
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 3); /* learned once */
    OK(read_back("target", bytes, LARGE, &told));
    OK(read_back("target2", bytes, LARGE, &told));
    free(bytes);
    endpoint_control(&at.endpoint, "set?copy_sums=1&part_sums=0");
}

static void tags_that_cannot_be_read_are_not_lost_in_silence(void **state)
{
    (void)state;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    free(have_source(NULL));
    FAULT("op=GetObjectTagging&status=403&code=AccessDenied");
    assert_int_equal(copy_to("target", NULL, NULL), ORBIT_E_PERMISSION);
    assert_non_null(strstr(told.message, "tags of 's3://bucket/source'"));
    write.tagging = "";
    OK(copy_to("target", &write, NULL));
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObjectTagging&status=501&code=NotImplemented");
    OK(copy_to("target2", NULL, NULL));
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObjectTagging&status=404&code=NoSuchTagSet");
    OK(copy_to("target3", NULL, NULL));
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObjectTagging&truncate=0");
    OK(copy_to("target4", NULL, NULL));
    check_clean();
}

static void keys_of_customers_go_with_source_and_target(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT, write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    orbit_read_options read = ORBIT_READ_OPTIONS_INIT;
    options.sse_customer_key = key_a;
    uint8_t *bytes = have_source(&options);
    write.sse_customer_key = key_b;
    copy.write = &write;
    EXPECT(ORBIT_E_PROTOCOL, orbit_copy(at.store, "source", at.store, "target", &copy, NULL, &told));
    copy.source_sse_customer_key = key_a;
    OK(orbit_copy(at.store, "source", at.store, "target", &copy, NULL, &told));
    assert_int_equal(COUNT("requests.UploadPart"), 0);
    assert_int_equal(COUNT("open_uploads"), 0);
    read.sse_customer_key = key_b;
    orbit_reader *reader = NULL;
    OK(orbit_read(&reader, at.store, "target", &read, &told));
    uint8_t *got = malloc(LARGE);
    for (size_t done = 0, length; done < LARGE; done += length)
        OK(orbit_reader_read(reader, got + done, LARGE - done, &length, &told));
    assert_memory_equal(got, bytes, LARGE);
    orbit_reader_close(reader);
    free(got);
    free(bytes);
}

static void large_copy_does_not_replace_what_it_must_not(void **state)
{
    (void)state;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    free(have_source(NULL));
    write.overwrite = false;
    OK(write_bytes("target", "old", 3, &told));
    assert_int_equal(copy_to("target", &write, NULL), ORBIT_E_EXISTS);
    check_clean();
    OK(read_back("target", "old", 3, &told));
    OK(copy_to("new", &write, NULL));
}

static void cancelled_copy_leaves_no_upload(void **state)
{
    (void)state;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    free(have_source(NULL));
    FAULT("op=UploadPartCopy&latency_ms=20");
    for (unsigned i = 0; i < 8; i++) {
        orbit_task *task = NULL;
        OK(orbit_copy_start(&task, at.store, "source", at.store, "target", &options, NULL, NULL, NULL, &told));
        struct timespec pause = {0, (long)i * 8000000};
        nanosleep(&pause, NULL);
        orbit_task_cancel(task);
        orbit_status status = orbit_task_wait(task, &told);
        assert_true(status == ORBIT_OK || status == ORBIT_E_CANCELLED);
        orbit_task_free(task);
        assert_int_equal(COUNT("open_uploads"), 0);
    }
}

/* rclone's server and gofakes3: the request that sets tags would write the object, the one that removes them remove
 * it. */
static void store_that_takes_tags_for_the_object_is_not_asked_to_set_them(void **state)
{
    (void)state;
    uint8_t *bytes = have_source(NULL);
    endpoint_control(&at.endpoint, "set?object_tags=0");
    for (int known = 0; known < 2; known++) {
        EXPECT(ORBIT_E_UNSUPPORTED, orbit_tags_set(at.store, "source", "a=b", NULL, &told));
        assert_non_null(strstr(told.message, "the store knows no tags"));
        EXPECT(ORBIT_E_UNSUPPORTED, orbit_tags_set(at.store, "source", "", NULL, &told));
    }
    OK(read_back("source", bytes, LARGE, &told));
    OK(copy_to("target", NULL, NULL));
    OK(read_back("target", bytes, LARGE, &told));
    free(bytes);
    endpoint_control(&at.endpoint, "set?object_tags=1");
    OK(orbit_tags_set(at.store, "source", "a=b", NULL, &told));
    OK(orbit_tags_set(at.store, "source", "", NULL, &told));
    assert_int_equal(COUNT("requests.GetObjectTagging"), 1); /* once looked at, it is known */
}

static void copy_between_buckets_names_both(void **state)
{
    (void)state;
    orbit_backend *other = NULL;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    write.tagging = "a=b";
    free(have_source(&write));
    endpoint_control(&at.endpoint, "set?echo=1");
    at.config.bucket = "bench";
    OK(orbit_open_s3(&other, at.client, &at.config, &at.options, &told));
    at.config.bucket = "bucket";
    options.preserve = true;
    OK(orbit_copy(at.store, "source", other, "target", &options, NULL, &told));
    check_clean();
    OK(orbit_stat(other, "target", NULL, &metadata, &told));
    assert_int_equal(metadata.size, LARGE);
    assert_true(has(&metadata, "echo-tagging", "<Tag><Key>a</Key><Value>b</Value></Tag>"));
    orbit_metadata_release(&metadata);
    endpoint_control(&at.endpoint, "set?echo=0");
    orbit_backend_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(large_copy_is_the_same_object),
        FAULT_TEST(options_of_the_copy_go_before_those_of_the_source),
        FAULT_TEST(twelve_gibibytes_are_copied_within_the_store),
        FAULT_TEST(large_object_is_renamed),
        FAULT_TEST(store_that_takes_tags_for_the_object_is_not_asked_to_set_them),
        FAULT_TEST(source_that_changes_in_between_fails_the_copy),
        FAULT_TEST(parts_that_fail_are_copied_again),
        FAULT_TEST(part_that_never_succeeds_ends_the_copy),
        FAULT_TEST(bytes_that_are_not_those_of_the_source_are_found_out),
        FAULT_TEST(store_that_copies_no_parts_is_helped),
        FAULT_TEST(store_that_wants_a_checksum_with_each_part_copies_without),
        FAULT_TEST(store_that_tells_the_sources_checksum_with_each_part_copies_without),
        FAULT_TEST(tags_that_cannot_be_read_are_not_lost_in_silence),
        FAULT_TEST(keys_of_customers_go_with_source_and_target),
        FAULT_TEST(large_copy_does_not_replace_what_it_must_not),
        FAULT_TEST(cancelled_copy_leaves_no_upload),
        FAULT_TEST(copy_between_buckets_names_both),
    };
    return cmocka_run_group_tests_name("s3 server copy", tests, s3fault_group_setup, s3fault_group_teardown);
}
