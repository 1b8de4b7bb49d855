/* SPDX-License-Identifier: Apache-2.0
 * Reads of the S3 backend: what replies mean, right and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/s3_store.h"

/* ---- reading ------------------------------------------------------------------------------------------- */

static orbit_status read_range(struct orb_backend *store, const char *path, uint64_t offset, uint64_t length,
                               const orbit_metadata *pin, char **bytes, size_t *got, orbit_read_reply *reply,
                               orbit_error *error)
{
    orbit_read_request request = {.path = path, .offset = offset, .length = length, .pin = pin, .want_checksum = true};
    *reply = (orbit_read_reply){0};
    *bytes = NULL;
    *got = 0;
    return ophost_read(store, &request, bytes, got, reply, error);
}

static void ranges_are_exact(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    static const uint64_t ranges[][3] = {/* offset, length, expected */
                                         {0, ORBIT_TO_END, 3000000},
                                         {0, 1, 1},
                                         {0, 3000000, 3000000},
                                         {2999999, 1, 1},
                                         {2999999, 100, 1},
                                         {1000, ORBIT_TO_END, 2999000},
                                         {3000000, 5, 0},
                                         {99999999, ORBIT_TO_END, 0},
                                         {5, 0, 0},
                                         {123456, 700001, 700001}};
    char *expected = malloc(3000000);
    assert_non_null(expected);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        orbit_error error;
        orbit_read_reply reply;
        char *bytes;
        size_t got;
        assert_int_equal(
            read_range(store, "gen-3000000", ranges[i][0], ranges[i][1], NULL, &bytes, &got, &reply, &error), ORBIT_OK);
        assert_int_equal(got, ranges[i][2]);
        assert_int_equal(reply.length, ranges[i][2]);
        assert_int_equal(reply.metadata.size, 3000000);
        assert_non_null(reply.metadata.etag);
        endpoint_pattern("gen-3000000", ranges[i][0], expected, got);
        assert_memory_equal(bytes, expected, got);
        free(bytes);
        orbit_metadata_release(&reply.metadata);
    }
    free(expected);
    ophost_backend_close(store);
}

static void an_empty_object_is_no_error(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    assert_int_equal(ophost_put(store, "empty", NULL, "", 0, NULL, &error), ORBIT_OK);
    for (int ranged = 0; ranged < 2; ranged++) {
        assert_int_equal(read_range(store, "empty", 0, ranged ? 100 : ORBIT_TO_END, NULL, &bytes, &got, &reply, &error),
                         ORBIT_OK);
        assert_int_equal(got, 0);
        assert_int_equal(reply.metadata.size, 0);
        assert_true(reply.metadata.fields & ORBIT_HAS_SIZE);
        assert_non_null(reply.metadata.etag);
        free(bytes);
        orbit_metadata_release(&reply.metadata);
    }
    ophost_backend_close(store);
}

/* There are stores that answer a range of an empty object with 206 and "bytes 0--1/0". */
static void a_range_of_nothing_is_an_empty_object_or_an_error(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store"), *generated = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    assert_int_equal(ophost_put(store, "empty", NULL, "", 0, NULL, &error), ORBIT_OK);
    endpoint_control(&endpoint, "fault?op=GetObject&empty_206=1");
    assert_int_equal(read_range(store, "empty", 0, 100, NULL, &bytes, &got, &reply, &error), ORBIT_OK);
    assert_int_equal(got, 0);
    assert_int_equal(reply.metadata.size, 0);
    assert_true(reply.metadata.fields & ORBIT_HAS_SIZE);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    assert_int_equal(read_range(generated, "gen-1K", 0, 100, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_int_equal(got, 0);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
    ophost_backend_close(generated);
}

static void a_success_that_is_none_of_a_reads_is_named(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&status=202&code=Accepted");
    assert_int_equal(read_range(store, "gen-1K", 0, 100, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_non_null(strstr(error.message, "HTTP 202"));
    assert_false(s3_retriable(&error));
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
}

static void read_as(struct orb_backend *store, const char *path, uint64_t offset, uint64_t length, uint64_t size,
                    size_t expected, bool whole)
{
    orbit_error error;
    orbit_read_reply reply;
    char *bytes, *right = malloc(expected + 1);
    size_t got;
    assert_non_null(right);
    assert_int_equal(read_range(store, path, offset, length, NULL, &bytes, &got, &reply, &error), ORBIT_OK);
    assert_int_equal(got, expected);
    assert_int_equal((reply.metadata.fields & ORBIT_HAS_SIZE) ? reply.metadata.size : ORBIT_SIZE_UNKNOWN, size);
    assert_int_equal(reply.whole, whole);
    endpoint_pattern(path, offset, right, expected);
    assert_memory_equal(bytes, right, expected);
    free(right);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
}

static void of_a_store_that_ignores_ranges_the_right_bytes_are_taken(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    endpoint_control(&endpoint, "fault?op=GetObject&ignore_range=1");
    read_as(store, "gen-10M", 0, 12 * MIB, 10 * MIB, 10 * MIB, false); /* says nothing about ranges */
    read_as(store, "gen-10M", 0, 1000, 10 * MIB, 1000, true);
    read_as(store, "gen-10M", 5000000, 1000, 10 * MIB, 1000, true);
    read_as(store, "gen-10M", 9 * MIB, ORBIT_TO_END, 10 * MIB, MIB, true);
    /* Of what lies behind the end the whole is no harm: there is nothing to be read. */
    for (uint64_t offset = 1024; offset < 5000; offset += 2000)
        read_as(store, "gen-1K", offset, 10, 1024, 0, false);
    ophost_backend_close(store);
}

/* A store of several servers, of which one passes over ranges: another try comes to another one. */
static void a_store_that_has_ranges_is_asked_again_for_one(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    read_as(store, "gen-10M", 0, 1000, 10 * MIB, 1000, false);
    endpoint_control(&endpoint, "fault?op=GetObject&ignore_range=1&count=1");
    assert_int_equal(read_range(store, "gen-10M", 1000, 1000, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_true(s3_retriable(&error));
    assert_int_equal(got, 0);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    read_as(store, "gen-10M", 1000, 1000, 10 * MIB, 1000, false);
    ophost_backend_close(store);
}

static void of_a_reply_without_a_length_head_tells_it(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    for (int how = 1; how <= 2; how++) {
        endpoint_control(&endpoint, "clear");
        endpoint_control(&endpoint, "fault?op=GetObject&no_length=%d&ignore_range=1", how);
        read_as(store, "gen-300K", 0, ORBIT_TO_END, 300 << 10, 300 << 10, false);
        read_as(store, "gen-300K", 0, 8 * MIB, 300 << 10, 300 << 10, false);
        read_as(store, "gen-300K", 100000, 1000, 300 << 10, 1000, true);
    }
    /* Known by then: HEAD is asked first, and nothing is given up. */
    int64_t before = endpoint_count(&endpoint, "requests.GetObject");
    read_as(store, "gen-2M", 0, ORBIT_TO_END, 2 * MIB, 2 * MIB, false);
    assert_int_equal(endpoint_count(&endpoint, "requests.GetObject") - before, 1);
    ophost_backend_close(store);
}

static void a_reply_without_a_length_that_is_cut_is_noticed(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    for (int how = 1; how <= 2; how++)
        for (int head = 0; head < 2; head++) {
            endpoint_control(&endpoint, "clear");
            endpoint_control(&endpoint, "fault?op=GetObject&no_length=%d&cut=50000", how);
            if (!head)
                endpoint_control(&endpoint, "fault?op=HeadObject&no_length=1");
            assert_true(read_range(store, "gen-300K", 0, ORBIT_TO_END, NULL, &bytes, &got, &reply, &error) < 0);
            bool endless = how == 2 && !head; /* nothing tells where it ends: not another try helps */
            assert_int_equal(s3_retriable(&error), !endless);
            assert_int_equal(got, endless ? 0 : 50000);
            assert_int_equal(error.status, endless ? ORBIT_E_PROTOCOL : ORBIT_E_NETWORK);
            free(bytes);
            orbit_metadata_release(&reply.metadata);
        }
    ophost_backend_close(store);
}

static void chunks_say_themselves_where_they_end(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    endpoint_control(&endpoint, "fault?op=GetObject&no_length=1&ignore_range=1");
    endpoint_control(&endpoint, "fault?op=HeadObject&no_length=1");
    read_as(store, "gen-300K", 0, ORBIT_TO_END, ORBIT_SIZE_UNKNOWN, 300 << 10, false);
    read_as(store, "gen-300K", 100000, 1000, ORBIT_SIZE_UNKNOWN, 1000, true);
    endpoint_control(&endpoint, "fault?op=HeadObject&status=405&code=MethodNotAllowed");
    read_as(store, "gen-300K", 0, ORBIT_TO_END, ORBIT_SIZE_UNKNOWN, 300 << 10, false);
    ophost_backend_close(store);
}

static void another_range_than_asked_for_is_refused(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&wrong_range=1");
    assert_int_equal(read_range(store, "gen-10M", 1000, 1000, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_int_equal(got, 0);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
}

static void a_cut_body_is_retriable_and_its_bytes_count(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&cut=500000&count=1");
    assert_int_equal(read_range(store, "gen-10M", 0, ORBIT_TO_END, NULL, &bytes, &got, &reply, &error),
                     ORBIT_E_NETWORK);
    assert_true(s3_retriable(&error));
    assert_int_equal(got, 500000);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
}

static void error_bodies_never_reach_the_sink(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        orbit_status status;
        unsigned flags;
    } cases[] = {
        {"status=503&code=SlowDown&retry_after=7", ORBIT_E_BUSY, ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_THROTTLED},
        {"status=500&code=InternalError", ORBIT_E_IO, ORBIT_ERROR_RETRIABLE},
        {"status=403&code=AccessDenied", ORBIT_E_PERMISSION, 0},
        {"status=403&code=InvalidAccessKeyId", ORBIT_E_AUTH, 0},
        {"status=400&code=ExpiredToken", ORBIT_E_AUTH, 0},
        {"status=404&code=NoSuchKey", ORBIT_E_NOT_FOUND, 0},
        {"status=404&code=NoSuchBucket", ORBIT_E_NOT_FOUND, 0},
        {"status=429&code=TooMuch", ORBIT_E_BUSY, ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_THROTTLED},
        {"status=502&code=BadGateway", ORBIT_E_IO, ORBIT_ERROR_RETRIABLE},
        {"status=400&code=RequestTimeout", ORBIT_E_TIMEOUT, ORBIT_ERROR_RETRIABLE},
        {"status=412&code=PreconditionFailed", ORBIT_E_CHANGED, 0},
        {"status=403&code=InvalidObjectState", ORBIT_E_BUSY, 0},
        {"status=418&code=Teapot", ORBIT_E_PROTOCOL, 0}};
    struct orb_backend *store = s3_open_bucket("bucket");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_error error;
        orbit_read_reply reply;
        char *bytes;
        size_t got;
        endpoint_control(&endpoint, "fault?op=GetObject&count=1&%s", cases[i].fault);
        assert_int_equal(read_range(store, "gen-10M", 0, 100, NULL, &bytes, &got, &reply, &error), cases[i].status);
        assert_int_equal(error.flags & (ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_THROTTLED), cases[i].flags);
        assert_int_equal(error.retry_after_ms, i == 0 ? 7000 : 0);
        assert_non_null(strstr(cases[i].fault, error.code));
        assert_true(error.code[0] && error.request_id[0] && error.http_status >= 400);
        assert_non_null(strstr(error.message, "cannot read 's3://bucket/gen-10M': "));
        assert_int_equal(got, 0);
        free(bytes);
        orbit_metadata_release(&reply.metadata);
    }
    ophost_backend_close(store);
}

static void a_pinned_read_notices_a_change(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    orbit_error error;
    orbit_read_reply first, second;
    char *bytes;
    size_t got;
    assert_int_equal(read_range(store, "gen-10M", 0, 100, NULL, &bytes, &got, &first, &error), ORBIT_OK);
    free(bytes);
    assert_int_equal(read_range(store, "gen-10M", 100, 100, &first.metadata, &bytes, &got, &second, &error), ORBIT_OK);
    free(bytes);
    orbit_metadata_release(&second.metadata);
    endpoint_control(&endpoint, "change?bucket=bucket&key=gen-10M");
    assert_int_equal(read_range(store, "gen-10M", 200, 100, &first.metadata, &bytes, &got, &second, &error),
                     ORBIT_E_CHANGED);
    assert_false(s3_retriable(&error));
    assert_int_equal(got, 0);
    free(bytes);
    orbit_metadata_release(&second.metadata);
    orbit_metadata_release(&first.metadata);
    ophost_backend_close(store);
}

struct read_call {
    struct ophost_call call; /* first */
    orbit_read_request request;
    orbit_read_reply reply;
    struct ophost_sink sink;
};

static void start_read(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct read_call *read = (struct read_call *)call;
    ops->read(self, op, &read->request, &read->sink.sink, &read->reply);
}

static void pauses_of_the_sink_lose_nothing(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("bucket");
    struct read_call read = {.call = {.start = start_read}, .request = {.path = "gen-9M", .length = ORBIT_TO_END}};
    orbit_error error;
    ophost_sink_init(&read.sink, &read.call);
    read.sink.window = 10007;
    read.sink.starve_every = 3;
    ophost_start(&read.call, store);
    assert_int_equal(ophost_wait(&read.call, &error), ORBIT_OK);
    char *expected = malloc(9 * MIB);
    assert_non_null(expected);
    assert_int_equal(read.sink.length, 9 * MIB);
    endpoint_pattern("gen-9M", 0, expected, 9 * MIB);
    assert_memory_equal(read.sink.bytes, expected, 9 * MIB);
    free(expected);
    ophost_sink_release(&read.sink);
    orbit_metadata_release(&read.reply.metadata);
    ophost_backend_close(store);
}

static void a_lesson_counts_for_all_requests_under_way(void **state)
{
    (void)state;
    for (int clock = 0; clock < 2; clock++) {
        orbit_s3_config config = s3_config_for("bucket");
        config.region = clock ? "us-east-1" : "eu-west-9";
        struct orb_backend *store = s3_open_with(&config);
        struct read_call reads[3] = {0};
        endpoint_control(&endpoint, "set?latency_ms=300&clock_offset_s=%d", clock ? 7200 : 0);
        for (size_t i = 0; i < 3; i++) {
            reads[i] = (struct read_call){.call = {.start = start_read},
                                          .request = {.path = "gen-1K", .length = ORBIT_TO_END}};
            ophost_sink_init(&reads[i].sink, &reads[i].call);
            ophost_start(&reads[i].call, store);
        }
        for (size_t i = 0; i < 3; i++) {
            orbit_error error;
            assert_true(ophost_wait(&reads[i].call, &error) < 0);
            assert_true(s3_retriable(&error));
            orbit_metadata_release(&reads[i].reply.metadata);
            ophost_sink_release(&reads[i].sink);
        }
        endpoint_control(&endpoint, "set?latency_ms=0&clock_offset_s=0");
        ophost_backend_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(ranges_are_exact),
        S3_TEST(an_empty_object_is_no_error),
        S3_TEST(a_range_of_nothing_is_an_empty_object_or_an_error),
        S3_TEST(a_success_that_is_none_of_a_reads_is_named),
        S3_TEST(of_a_store_that_ignores_ranges_the_right_bytes_are_taken),
        S3_TEST(a_store_that_has_ranges_is_asked_again_for_one),
        S3_TEST(of_a_reply_without_a_length_head_tells_it),
        S3_TEST(a_reply_without_a_length_that_is_cut_is_noticed),
        S3_TEST(chunks_say_themselves_where_they_end),
        S3_TEST(another_range_than_asked_for_is_refused),
        S3_TEST(a_cut_body_is_retriable_and_its_bytes_count),
        S3_TEST(error_bodies_never_reach_the_sink),
        S3_TEST(a_pinned_read_notices_a_change),
        S3_TEST(pauses_of_the_sink_lose_nothing),
        S3_TEST(a_lesson_counts_for_all_requests_under_way),
    };
    return cmocka_run_group_tests_name("s3 read", tests, s3_tests_start, s3_tests_stop);
}
