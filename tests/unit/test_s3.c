/* SPDX-License-Identifier: Apache-2.0
 * The S3 backend, one operation at a time, against the scripted endpoint: what replies mean, right and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "support/endpoint.h"
#include "support/ophost.h"

enum { MIB = 1 << 20, PART = 5 << 20 };

static struct endpoint endpoint;
static struct ophost host;

static orbit_s3_config config_for(const char *bucket)
{
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    config.bucket = bucket;
    config.endpoint = endpoint.url;
    config.access_key_id = ENDPOINT_ACCESS;
    config.secret_access_key = ENDPOINT_SECRET;
    config.region = "us-east-1";
    return config;
}

static struct orb_backend *open_with(const orbit_s3_config *config)
{
    orbit_error error = {0};
    struct orb_backend *store = ophost_backend(&host, &orb_s3_ops, "", "", NULL, NULL, config, &error);
    if (!store)
        print_error("%s\n", error.message);
    assert_non_null(store);
    return store;
}

static struct orb_backend *open_bucket(const char *bucket)
{
    orbit_s3_config config = config_for(bucket);
    return open_with(&config);
}

static int start_all(void **state)
{
    (void)state;
    endpoint_start(&endpoint, "--store", "--bucket", "store", NULL);
    ophost_open(&host, 2);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    ophost_close(&host);
    endpoint_stop(&endpoint);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    endpoint_reset(&endpoint);
    return 0;
}

static bool retriable(const orbit_error *error)
{
    return (error->flags & ORBIT_ERROR_RETRIABLE) != 0;
}

static orbit_status look(struct orb_backend *store, const char *path, orbit_error *error)
{
    orbit_metadata metadata = {0};
    orbit_status status = ophost_stat(store, path, &metadata, error);
    orbit_metadata_release(&metadata);
    return status;
}

/* ---- configuration ----------------------------------------------------------------------------------- */

static void open_fails(const orbit_s3_config *config, const char *settings, orbit_status status, const char *words)
{
    orbit_error error = {0};
    struct orb_backend *store = ophost_backend(&host, &orb_s3_ops, "bucket", "", NULL, settings, config, &error);
    assert_null(store);
    assert_int_equal(error.status, status);
    if (!strstr(error.message, words))
        fail_msg("'%s' does not say '%s'", error.message, words);
    assert_null(strstr(error.message, "swordfish"));
}

static void bad_configuration_is_named(void **state)
{
    (void)state;
    orbit_s3_config config = config_for("bucket");
    open_fails(&config, "colour=blue", ORBIT_E_CONFIG, "colour");
    open_fails(&config, "part_min=many", ORBIT_E_CONFIG, "part_min");
    open_fails(&config, "path_style=perhaps", ORBIT_E_CONFIG, "path_style");
    open_fails(&config, "addressing=sideways", ORBIT_E_CONFIG, "addressing");
    open_fails(&config, "checksum=md6", ORBIT_E_CONFIG, "checksum");
    open_fails(&config, "part_min=10M&part_max=5M", ORBIT_E_CONFIG, "part_min");
    open_fails(&config, "endpoint=ftp://x", ORBIT_E_CONFIG, "http");
    open_fails(&config, "endpoint=http://me:swordfish@x", ORBIT_E_CONFIG, "password");
    open_fails(&config, "region=not a region", ORBIT_E_CONFIG, "region");
    open_fails(&config, "list_page_entries=0", ORBIT_E_CONFIG, "list_page_entries");
    config.bucket = "a/b";
    open_fails(&config, NULL, ORBIT_E_CONFIG, "a/b");
    config = config_for("bucket");
    config.secret_access_key = NULL;
    open_fails(&config, NULL, ORBIT_E_AUTH, "secret access key");
    config = config_for("bucket");
    config.checksum = ORBIT_CHECKSUM_SHA256;
    open_fails(&config, NULL, ORBIT_E_UNSUPPORTED, "SHA256");
}

static void missing_credentials_say_what_to_set(void **state)
{
    (void)state;
    char *id = getenv("AWS_ACCESS_KEY_ID"), *kept = id ? strdup(id) : NULL;
    orbit_s3_config config = config_for("bucket");
    config.access_key_id = config.secret_access_key = NULL;
    unsetenv("AWS_ACCESS_KEY_ID");
    open_fails(&config, NULL, ORBIT_E_AUTH, "AWS_ACCESS_KEY_ID");
    if (kept)
        setenv("AWS_ACCESS_KEY_ID", kept, 1);
    free(kept);
}

static void capabilities_follow_the_settings(void **state)
{
    (void)state;
    orbit_error error;
    orbit_s3_config config = config_for("store");
    struct orb_backend *store =
        ophost_backend(&host, &orb_s3_ops, "", "", NULL,
                       "part_min=1M&part_max=64M&part_count_max=100&put_max=16M&list_page_entries=7", &config, &error);
    assert_non_null(store);
    assert_int_equal(store->caps.part_min, MIB);
    assert_int_equal(store->caps.part_max, 64 * MIB);
    assert_int_equal(store->caps.part_count_max, 100);
    assert_int_equal(store->caps.put_max, 16 * MIB);
    assert_int_equal(store->caps.page_entries, 7);
    assert_int_equal(store->caps.remove_batch, 1000);
    assert_true(store->caps.deep_list && store->caps.ordered_list && store->caps.ranged_read);
    assert_false(store->caps.atomic_no_overwrite); /* not AWS: nobody knows */
    ophost_backend_close(store);
}

static void a_prefix_is_put_before_every_key(void **state)
{
    (void)state;
    orbit_error error;
    orbit_s3_config config = config_for("store");
    struct orb_backend *whole = open_bucket("store"), *below;
    struct ophost_listing listing;
    below = ophost_backend(&host, &orb_s3_ops, "store", "root/dir", NULL, "prefix=p-", &config, &error);
    assert_non_null(below);
    assert_int_equal(ophost_put(below, "k", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(look(whole, "root/dir/p-k", &error), ORBIT_OK);
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    assert_int_equal(ophost_list(below, "", &request, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 1);
    assert_string_equal(listing.entries[0].path, "k");
    ophost_listing_release(&listing);
    assert_int_equal(ophost_remove(below, "k", false, false, &error), ORBIT_OK);
    assert_int_equal(look(whole, "root/dir/p-k", &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(below);
    ophost_backend_close(whole);
}

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
    struct orb_backend *store = open_bucket("bucket");
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
    struct orb_backend *store = open_bucket("store");
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
    struct orb_backend *store = open_bucket("store"), *generated = open_bucket("bucket");
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
    struct orb_backend *store = open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&status=202&code=Accepted");
    assert_int_equal(read_range(store, "gen-1K", 0, 100, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_non_null(strstr(error.message, "HTTP 202"));
    assert_false(retriable(&error));
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
}

static void a_store_that_ignores_ranges_is_noticed(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes, expected[1000];
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&ignore_range=1");
    assert_int_equal(read_range(store, "gen-10M", 0, 1000, NULL, &bytes, &got, &reply, &error), ORBIT_OK);
    assert_int_equal(got, 1000);
    endpoint_pattern("gen-10M", 0, expected, 1000);
    assert_memory_equal(bytes, expected, 1000);
    assert_int_equal(reply.metadata.size, 10 * MIB);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    assert_int_equal(read_range(store, "gen-10M", 1000, 1000, NULL, &bytes, &got, &reply, &error), ORBIT_E_PROTOCOL);
    assert_false(retriable(&error));
    assert_int_equal(got, 0);
    assert_non_null(strstr(error.message, "Range"));
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    ophost_backend_close(store);
}

static void another_range_than_asked_for_is_refused(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("bucket");
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
    struct orb_backend *store = open_bucket("bucket");
    orbit_error error;
    orbit_read_reply reply;
    char *bytes;
    size_t got;
    endpoint_control(&endpoint, "fault?op=GetObject&cut=500000&count=1");
    assert_int_equal(read_range(store, "gen-10M", 0, ORBIT_TO_END, NULL, &bytes, &got, &reply, &error),
                     ORBIT_E_NETWORK);
    assert_true(retriable(&error));
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
    struct orb_backend *store = open_bucket("bucket");
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
    struct orb_backend *store = open_bucket("bucket");
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
    assert_false(retriable(&error));
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
    struct orb_backend *store = open_bucket("bucket");
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

/* ---- writing ------------------------------------------------------------------------------------------- */

static void a_put_tells_what_was_stored(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    char *bytes = malloc(2 * MIB), *back;
    size_t got;
    assert_non_null(bytes);
    static const size_t lengths[] = {0, 1, 5000, 256 << 10, (256 << 10) + 1, 2 * MIB};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(bytes, (int)('a' + i), lengths[i]);
        assert_int_equal(ophost_put(store, "key", NULL, bytes, lengths[i], &metadata, &error), ORBIT_OK);
        assert_int_equal(metadata.size, lengths[i]);
        assert_non_null(metadata.etag);
        assert_int_equal(metadata.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
        assert_true(orb_checksum_value(&metadata.checksum) == orb_crc64nvme(0, bytes, lengths[i]));
        orbit_metadata_release(&metadata);
        assert_int_equal(ophost_read_all(store, "key", &back, &got, &error), ORBIT_OK);
        assert_int_equal(got, lengths[i]);
        assert_memory_equal(back, bytes, got);
        free(back);
    }
    free(bytes);
    ophost_backend_close(store);
}

static void all_write_options_arrive(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    const orbit_pair pairs[] = {{"Colour", "deep  blue"}, {"n-2", "x"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.content_type = "text/x-orbit";
    options.content_encoding = "gzip";
    options.content_disposition = "attachment; filename=\"a b\"";
    options.content_language = "de";
    options.cache_control = "max-age=5";
    options.expires = "Thu, 01 Dec 2033 16:00:00 GMT";
    options.storage_class = "STANDARD_IA";
    options.metadata = pairs;
    options.metadata_count = 2;
    for (int multipart = 0; multipart < 2; multipart++) {
        if (multipart) {
            orbit_begin_reply begun = {0};
            assert_int_equal(ophost_begin(store, "key", &options, 1, PART, NULL, &begun, &error), ORBIT_OK);
            assert_int_equal(ophost_part(store, begun.upload, 1, 0, "x", 1, NULL, &error), ORBIT_OK);
            assert_int_equal(ophost_finish(store, begun.upload, 1, 1, NULL, &error), ORBIT_OK);
            ophost_release(store, begun.upload);
        } else {
            assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_OK);
        }
        assert_int_equal(ophost_stat(store, "key", &metadata, &error), ORBIT_OK);
        assert_string_equal(metadata.content_type, options.content_type);
        assert_string_equal(metadata.content_encoding, options.content_encoding);
        assert_string_equal(metadata.content_disposition, options.content_disposition);
        assert_string_equal(metadata.content_language, options.content_language);
        assert_string_equal(metadata.cache_control, options.cache_control);
        assert_string_equal(metadata.expires, options.expires);
        assert_string_equal(metadata.storage_class, options.storage_class);
        assert_int_equal(metadata.user_count, 2);
        for (size_t i = 0; i < 2; i++)
            assert_true(strcmp(metadata.user[i].name, "colour") == 0 || strcmp(metadata.user[i].name, "n-2") == 0);
        orbit_metadata_release(&metadata);
        assert_int_equal(ophost_remove(store, "key", false, false, &error), ORBIT_OK);
    }
    ophost_backend_close(store);
}

static void what_no_header_can_carry_is_refused(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    const orbit_pair evil[] = {{"a", "one\r\nx-amz-acl: public-read"}}, odd[] = {{"a b", "one"}};
    options.metadata = evil;
    options.metadata_count = 1;
    assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_E_CONFIG);
    options.metadata = odd;
    assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_E_CONFIG);
    assert_int_equal(endpoint_count(&endpoint, "requests.PutObject"), 0);
    ophost_backend_close(store);
}

static void content_type_follows_the_extension(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    static const char *const cases[][2] = {{"a.HTML", "text/html"},
                                           {"b.tar.gz", "application/gzip"},
                                           {"c.7z", "application/x-7z-compressed"},
                                           {"d.zst", "application/zstd"},
                                           {".png", "application/octet-stream"},
                                           {"e.d/f", "application/octet-stream"},
                                           {"g.parquet", "application/vnd.apache.parquet"},
                                           {"h.md", "text/markdown"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_error error;
        orbit_metadata metadata = {0};
        assert_int_equal(ophost_put(store, cases[i][0], NULL, "x", 1, NULL, &error), ORBIT_OK);
        assert_int_equal(ophost_stat(store, cases[i][0], &metadata, &error), ORBIT_OK);
        assert_string_equal(metadata.content_type, cases[i][1]);
        orbit_metadata_release(&metadata);
    }
    ophost_backend_close(store);
}

static void customer_keys_go_with_every_request(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    uint8_t key[32];
    char *bytes = NULL;
    size_t got;
    memset(key, 7, sizeof key);
    options.sse_customer_key = key;
    orbit_begin_reply begun = {0};
    assert_int_equal(ophost_begin(store, "key", &options, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    orbit_read_request request = {.path = "key", .length = ORBIT_TO_END, .sse_customer_key = key};
    assert_int_equal(ophost_read(store, &request, &bytes, &got, NULL, &error), ORBIT_OK);
    assert_int_equal(got, 3);
    free(bytes);
    bytes = NULL;
    request.sse_customer_key = NULL;
    assert_true(ophost_read(store, &request, &bytes, &got, NULL, &error) < 0);
    free(bytes);
    ophost_backend_close(store);
}

static void no_overwrite_and_if_match_are_the_stores_decision(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    orbit_write_options fresh = ORBIT_WRITE_OPTIONS_INIT, match = ORBIT_WRITE_OPTIONS_INIT;
    fresh.overwrite = false;
    assert_int_equal(ophost_put(store, "key", &fresh, "one", 3, &metadata, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", &fresh, "two", 3, NULL, &error), ORBIT_E_EXISTS);
    match.if_match = metadata.etag;
    assert_int_equal(ophost_put(store, "key", &match, "two", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", &match, "three", 5, NULL, &error), ORBIT_E_CHANGED);
    orbit_metadata_release(&metadata);
    for (int honest = 0; honest < 2; honest++) {
        orbit_begin_reply begun = {0};
        endpoint_control(&endpoint, "set?conditional_complete=%d", honest);
        assert_int_equal(ophost_begin(store, "key", &fresh, 3, PART, NULL, &begun, &error), ORBIT_OK);
        assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
        assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_E_EXISTS);
        assert_int_equal(ophost_abort(store, begun.upload, &error), ORBIT_OK);
        ophost_release(store, begun.upload);
    }
    endpoint_control(&endpoint, "fault?op=PutObject&status=409&code=ConditionalRequestConflict&count=1");
    assert_int_equal(ophost_put(store, "new", &fresh, "x", 1, NULL, &error), ORBIT_E_BUSY);
    assert_true(retriable(&error));
    assert_int_equal(endpoint_count(&endpoint, "open_uploads"), 0);
    ophost_backend_close(store);
}

static void a_wrong_checksum_in_the_reply_is_retriable(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    endpoint_control(&endpoint, "fault?op=PutObject&wrong_checksum=1&count=1");
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_E_CHECKSUM);
    assert_true(retriable(&error));
    endpoint_control(&endpoint, "fault?op=UploadPart&wrong_checksum=1&count=1");
    assert_int_equal(ophost_begin(store, "key", NULL, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_E_CHECKSUM);
    assert_true(retriable(&error));
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    ophost_backend_close(store);
}

static void an_endpoint_that_refuses_checksums_is_served_without(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    endpoint_control(&endpoint, "set?checksums=0");
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_true(retriable(&error));
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_begin(store, "big", NULL, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    assert_int_equal(endpoint_count(&endpoint, "failed.PutObject"), 1);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?checksums=1");
}

/* ---- multipart ----------------------------------------------------------------------------------------- */

static struct orb_backend *three_parts(void **upload, uint64_t *size)
{
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    char *part = calloc(1, PART);
    assert_non_null(part);
    assert_int_equal(ophost_begin(store, "big", NULL, 2 * PART + 3, PART, NULL, &begun, &error), ORBIT_OK);
    /* In any order. */
    assert_int_equal(ophost_part(store, begun.upload, 3, 2 * PART, "end", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, part, PART, NULL, &error), ORBIT_OK);
    memset(part, 'b', PART);
    assert_int_equal(ophost_part(store, begun.upload, 2, PART, part, PART, NULL, &error), ORBIT_OK);
    free(part);
    *upload = begun.upload;
    *size = 2 * PART + 3;
    return store;
}

static orbit_finish_request finish_request;
static orbit_metadata finish_reply;

static void start_finish(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    ops->finish(self, op, call->ctx, &finish_request, &finish_reply);
}

static orbit_status finish(struct orb_backend *store, void *upload, uint64_t size, bool resolve, orbit_error *error)
{
    struct ophost_call call = {.start = start_finish, .ctx = upload};
    finish_request = (orbit_finish_request){.size = size, .part_count = 3, .resolve = resolve};
    finish_reply = (orbit_metadata){0};
    ophost_start(&call, store);
    orbit_status status = ophost_wait(&call, error);
    orbit_metadata_release(&finish_reply);
    return status;
}

static void a_multipart_object_has_the_checksum_of_the_whole(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    orbit_metadata made = {0}, seen = {0};
    struct orb_backend *store = three_parts(&upload, &size);
    char *bytes;
    size_t got;
    assert_int_equal(ophost_finish(store, upload, size, 3, &made, &error), ORBIT_OK);
    ophost_release(store, upload);
    assert_int_equal(ophost_read_all(store, "big", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, size);
    assert_int_equal(made.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
    assert_true(orb_checksum_value(&made.checksum) == orb_crc64nvme(0, bytes, got));
    assert_int_equal(ophost_stat(store, "big", &seen, &error), ORBIT_OK);
    assert_string_equal(seen.etag, made.etag);
    assert_int_equal(seen.part_count, 3);
    assert_memory_equal(&seen.checksum, &made.checksum, sizeof seen.checksum);
    free(bytes);
    orbit_metadata_release(&made);
    orbit_metadata_release(&seen);
    ophost_backend_close(store);
}

static void an_error_inside_a_200_is_an_error(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&error200=1&count=1");
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_E_IO);
    assert_true(retriable(&error));
    assert_string_equal(error.code, "InternalError");
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_OK);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static void a_lost_reply_to_complete_is_resolved_by_looking(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&lost=1&count=1");
    orbit_status status = finish(store, upload, size, false, &error);
    assert_true(status < 0 && (error.flags & ORBIT_ERROR_MAYBE_DONE) && retriable(&error));
    assert_int_equal(finish(store, upload, size, true, &error), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 1);
    /* Also who did not know that a reply was lost hears the truth. */
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_OK);
    ophost_release(store, upload);

    /* Another object at the key is not taken for ours. */
    store = (ophost_backend_close(store), three_parts(&upload, &size));
    assert_int_equal(ophost_put(store, "big", NULL, "other", 5, NULL, &error), ORBIT_OK);
    assert_int_equal(finish(store, upload, size, true, &error), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 3);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static void an_upload_that_is_gone_is_not_found(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    assert_int_equal(ophost_abort(store, upload, &error), ORBIT_OK);
    assert_int_equal(ophost_abort(store, upload, &error), ORBIT_OK);
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_E_NOT_FOUND);
    assert_string_equal(error.code, "NoSuchUpload");
    assert_int_equal(finish(store, upload, size + 1, false, &error), ORBIT_E_MISUSE);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static unsigned part_seen, upload_seen;
static char seen_id[256];

static void on_part(void *ctx, const orbit_stored_part *part)
{
    (void)ctx;
    part_seen |= 1u << part->part.number;
    if (part->part.length != (part->part.number == 3 ? 3 : PART) || !part->reply.etag)
        part_seen |= 1;
}

static void on_upload(void *ctx, const orbit_upload_entry *entry)
{
    (void)ctx;
    upload_seen += strcmp(entry->path, "big") == 0 && entry->started_ns > 0;
    snprintf(seen_id, sizeof seen_id, "%s", entry->upload_id);
}

static void an_upload_can_be_taken_up_again(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    bool more = true;
    struct orb_backend *store = three_parts(&upload, &size);
    ophost_release(store, upload);
    part_seen = upload_seen = 0;
    orbit_uploads_request uploads = {.prefix = "bi", .each = on_upload};
    assert_int_equal(ophost_uploads(store, &uploads, &more, &error), ORBIT_OK);
    assert_false(more);
    assert_int_equal(upload_seen, 1);
    orbit_begin_reply begun = {0};
    assert_int_equal(ophost_begin(store, "big", NULL, size, PART, seen_id, &begun, &error), ORBIT_OK);
    assert_string_equal(begun.upload_id, seen_id);
    orbit_parts_request parts = {.upload = begun.upload, .each = on_part};
    assert_int_equal(ophost_parts(store, &parts, &more, &error), ORBIT_OK);
    assert_false(more);
    assert_int_equal(part_seen, 1u << 1 | 1u << 2 | 1u << 3);
    assert_int_equal(finish(store, begun.upload, size, false, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    ophost_backend_close(store);
}

/* ---- listing ------------------------------------------------------------------------------------------- */

static void put_keys(struct orb_backend *store, const char *const *keys, size_t count)
{
    orbit_error error;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ophost_put(store, keys[i], NULL, "x", 1, NULL, &error), ORBIT_OK);
}

static void check_listing(struct orb_backend *store, const orbit_list_request *request, const char *const *expected,
                          size_t count)
{
    struct ophost_listing listing;
    orbit_error error = {0};
    orbit_status status = ophost_list(store, request->path, request, &listing, &error);
    if (status < 0)
        print_error("%s\n", error.message);
    assert_int_equal(status, ORBIT_OK);
    for (size_t i = 0; i < count && i < listing.count; i++)
        assert_string_equal(listing.entries[i].path, expected[i]);
    assert_int_equal(listing.count, count);
    ophost_listing_release(&listing);
}

#define LISTED(store, request, ...)                                   \
    check_listing(store, request, (const char *const[]){__VA_ARGS__}, \
                  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void listings_are_in_key_order_whatever_the_page(void **state)
{
    (void)state;
    static const char *const keys[] = {"a b", "a-b",  "a.b",       "a/", "a/x", "a/y/z", "a/+%&<>\"'#?~ \n",
                                       "a0",  "z//q", "\xc3\xa9/1"};
    for (int v1 = 0; v1 < 2; v1++) {
        orbit_s3_config config = config_for("store");
        config.list_v1 = v1;
        struct orb_backend *store = open_with(&config);
        put_keys(store, keys, sizeof keys / sizeof *keys);
        for (uint32_t page = 1; page < 12; page += page < 4 ? 1 : 7) {
            orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true, .page_entries = page};
            LISTED(store, &request, "a b", "a-b", "a.b", "a", "a/+%&<>\"'#?~ \n", "a/x", "a/y/z", "a0", "z//q",
                   "\xc3\xa9/1");
            request.recursive = false;
            LISTED(store, &request, "a b", "a-b", "a.b", "a", "a0", "z", "\xc3\xa9");
            request.path = "a";
            LISTED(store, &request, "+%&<>\"'#?~ \n", "x", "y");
            request.recursive = true;
            LISTED(store, &request, "+%&<>\"'#?~ \n", "x", "y/z");
            request.prefix = "y/";
            LISTED(store, &request, "y/z");
            request = (orbit_list_request){.path = "", .recursive = true, .start_after = "a/x", .page_entries = page};
            LISTED(store, &request, "a/y/z", "a0", "z//q", "\xc3\xa9/1");
        }
        ophost_backend_close(store);
    }
}

static void markers_are_directories_and_sizes_are_told(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    struct ophost_listing listing;
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    assert_int_equal(ophost_mkdir(store, "d", false, &error), ORBIT_OK);
    assert_int_equal(ophost_mkdir(store, "d", false, &error), ORBIT_E_EXISTS);
    assert_int_equal(ophost_mkdir(store, "d", true, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "d/f", NULL, "12345", 5, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_list(store, "", &request, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 2);
    assert_int_equal(listing.entries[0].metadata.kind, ORBIT_KIND_DIRECTORY);
    assert_true(listing.entries[0].flags & ORBIT_ENTRY_MARKER);
    assert_int_equal(listing.entries[1].metadata.kind, ORBIT_KIND_FILE);
    assert_int_equal(listing.entries[1].metadata.size, 5);
    assert_int_equal(listing.entries[1].metadata.fields & (ORBIT_HAS_SIZE | ORBIT_HAS_MTIME),
                     ORBIT_HAS_SIZE | ORBIT_HAS_MTIME);
    assert_int_equal(strlen(listing.entries[1].metadata.etag), 32);
    ophost_listing_release(&listing);
    orbit_metadata metadata = {0};
    assert_int_equal(ophost_stat(store, "d", &metadata, &error), ORBIT_OK);
    assert_int_equal(metadata.kind, ORBIT_KIND_DIRECTORY);
    /* A directory's name takes its marker away, and only when nothing is below. */
    assert_int_equal(ophost_remove(store, "d", false, false, &error), ORBIT_OK);
    assert_int_equal(look(store, "d/", &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "d/f", false, false, &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "d", false, false, &error), ORBIT_OK);
    assert_int_equal(look(store, "d/", &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(ophost_remove(store, "d", false, false, &error), ORBIT_OK); /* as the service has it */
    ophost_backend_close(store);
}

static void a_large_listing_is_complete(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("keys-12345-uuid");
    struct ophost_listing listing;
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    assert_int_equal(ophost_list(store, "", &request, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 12345);
    assert_int_equal(listing.pages, 13);
    for (size_t i = 1; i < listing.count; i++)
        assert_true(strcmp(listing.entries[i - 1].path, listing.entries[i].path) < 0);
    ophost_listing_release(&listing);
    ophost_backend_close(store);
}

/* A page that is smaller than the store's: what does not fit comes with the next. */
static void a_page_that_is_too_full_goes_on_where_it_was_cut(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("keys-3000-hive");
    orbit_error error;
    for (int recursive = 0; recursive < 2; recursive++) {
        orbit_list_request request = {.path = recursive ? "" : "year=2015/month=01/day=01", .recursive = recursive};
        struct orbit_page page;
        void *cursor = NULL;
        size_t count = 0, pages = 0;
        char last[200] = "";
        orb_page_init(&page, NULL, recursive ? 7 : 1, 1 << 20);
        assert_int_equal(ophost_list_begin(store, &request, &cursor, &error), ORBIT_OK);
        do {
            orb_page_reset(&page);
            assert_int_equal(ophost_list_page(store, cursor, &page, &error), ORBIT_OK);
            struct orb_page_cursor at = {0};
            struct orb_page_item item;
            while (orb_page_next(&page, &at, &item)) {
                assert_true(strcmp(item.entry.path, last) > 0);
                snprintf(last, sizeof last, "%s", item.entry.path);
                count++;
            }
            pages++;
        } while (page.more && pages < 1000);
        assert_true(recursive ? count == 3000 : count > 0);
        assert_false(page.more);
        ophost_list_end(store, cursor);
        orb_page_release(&page);
    }
    ophost_backend_close(store);
}

static void broken_listings_are_errors_and_never_loop(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        bool retriable;
    } cases[] = {{"repeat_token=1", false},
                 {"no_token=1", false},
                 {"truncate=2000", true},
                 {"truncate=0", true},
                 {"cut=3000", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_backend *store = open_bucket("keys-5000");
        struct ophost_listing listing = {0};
        orbit_error error;
        orbit_list_request request = {.path = "", .recursive = true};
        endpoint_control(&endpoint, "fault?op=ListObjectsV2&nth=2&count=1000&%s", cases[i].fault);
        orbit_status status = ophost_list(store, "", &request, &listing, &error);
        assert_true(status == ORBIT_E_PROTOCOL || status == ORBIT_E_NETWORK);
        assert_true(retriable(&error) == cases[i].retriable);
        assert_true(endpoint_count(&endpoint, "requests.ListObjectsV2") < 10);
        ophost_listing_release(&listing);
        ophost_backend_close(store);
        endpoint_reset(&endpoint);
    }
}

static void tokens_in_a_circle_do_not_loop(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("keys-5000");
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true};
    for (int circle = 1; circle <= 4; circle++) {
        struct ophost_listing listing = {0};
        endpoint_control(&endpoint, "set?token_circle=%d", circle);
        orbit_status status = ophost_list(store, "", &request, &listing, &error);
        endpoint_control(&endpoint, "set?token_circle=0");
        assert_int_equal(status, ORBIT_E_PROTOCOL);
        assert_true(endpoint_count(&endpoint, "requests.ListObjectsV2") < 20);
        ophost_listing_release(&listing);
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

/* Some stores say only behind the keys that they are percent-encoded, some do not know the question. */
static void keys_are_right_wherever_their_encoding_is_told(void **state)
{
    (void)state;
    static const char *const keys[] = {"a b", "a%20b", "a+b", "d%2F/x", "d+/y", "plain", "z%z"};
    enum { KEYS = 7 };
    orbit_error error;
    for (int told = 0; told < 3; told++) {
        for (int v1 = 0; v1 < 2; v1++) {
            orbit_s3_config config = config_for("store");
            config.list_v1 = v1;
            config.list_page_entries = 2;
            struct orb_backend *store = open_with(&config);
            put_keys(store, keys, KEYS);
            endpoint_control(&endpoint, "set?encoding=%d", told);
            struct ophost_listing all = {0}, top = {0}, below = {0};
            orbit_list_request request = {.path = "", .recursive = true};
            assert_int_equal(ophost_list(store, "", &request, &all, &error), ORBIT_OK);
            assert_int_equal(all.count, KEYS);
            for (size_t i = 0; i < KEYS; i++)
                assert_string_equal(all.entries[i].path, keys[i]);
            request.recursive = false;
            assert_int_equal(ophost_list(store, "", &request, &top, &error), ORBIT_OK);
            assert_int_equal(top.count, KEYS);
            assert_string_equal(top.entries[3].path, "d%2F");
            assert_string_equal(top.entries[4].path, "d+");
            ophost_backend_close(store);
            store = open_with(&config); /* what it learned is gone */
            assert_int_equal(ophost_list(store, "d%2F", &(orbit_list_request){.path = "d%2F"}, &below, &error),
                             ORBIT_OK);
            assert_int_equal(below.count, 1);
            assert_string_equal(below.entries[0].path, "x");
            ophost_listing_release(&all);
            ophost_listing_release(&top);
            ophost_listing_release(&below);
            ophost_backend_close(store);
            endpoint_control(&endpoint, "set?encoding=1");
            endpoint_reset(&endpoint);
        }
    }
}

/* ---- removing, copying, buckets -------------------------------------------------------------------------- */

static void a_batch_reports_each_keys_own_error(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    static const char *const keys[] = {"one", "two & <three>", "ctl\x01", "fo\xc3\xbcr", "dir/"};
    enum { KEYS = 5 };
    put_keys(store, keys, KEYS);
    orbit_remove_item items[KEYS + 1] = {0};
    for (size_t i = 0; i < KEYS; i++)
        items[i].path = keys[i];
    items[KEYS].path = "never there";
    orbit_remove_request request = {.items = items, .count = KEYS + 1, .missing_ok = true};
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    for (size_t i = 0; i <= KEYS; i++)
        assert_int_equal(items[i].status, ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObjects"), 1);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObject"), 1);
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(look(store, keys[i], &error), ORBIT_E_NOT_FOUND);
    }
    /* A store without batches. */
    put_keys(store, keys, KEYS);
    endpoint_control(&endpoint, "fault?op=DeleteObjects&status=501&code=NotImplemented");
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    for (size_t i = 0; i <= KEYS; i++)
        assert_int_equal(items[i].status, ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObject"), 7);
    /* Not all of them. */
    put_keys(store, keys, KEYS);
    endpoint_control(&endpoint, "fault?op=DeleteObject&key=one&status=403&code=AccessDenied");
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    assert_int_equal(items[0].status, ORBIT_E_PERMISSION);
    assert_int_equal(items[1].status, ORBIT_OK);
    ophost_backend_close(store);
}

static void a_copy_is_the_stores_work(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    const orbit_pair pairs[] = {{"colour", "blue"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT, plain = ORBIT_WRITE_OPTIONS_INIT,
                        fresh = ORBIT_WRITE_OPTIONS_INIT;
    char *bytes;
    size_t got;
    fresh.overwrite = false;
    options.metadata = pairs;
    options.metadata_count = 1;
    assert_int_equal(ophost_put(store, "a b+c%/\xc3\xbc?", &options, "hello", 5, NULL, &error), ORBIT_OK);
    orbit_copy_request copy = {
        .from = "a b+c%/\xc3\xbc?", .to = "to", .from_self = store->self, .preserve = true, .options = &plain};
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_read_all(store, "to", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, 5);
    free(bytes);
    assert_int_equal(ophost_stat(store, "to", &metadata, &error), ORBIT_OK);
    assert_int_equal(metadata.user_count, 1);
    orbit_metadata_release(&metadata);
    copy.options = &fresh;
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_EXISTS);
    copy.options = &plain;
    orbit_metadata other = {.etag = "00000000000000000000000000000000"};
    copy.pin = &other;
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_CHANGED);
    copy.pin = NULL;
    endpoint_control(&endpoint, "fault?op=CopyObject&error200=1&count=1");
    assert_true(ophost_copy(store, &copy, NULL, &error) < 0);
    assert_true(retriable(&error));
    ophost_backend_close(store);
}

static void buckets_come_and_go(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("fresh-bucket");
    orbit_error error;
    assert_int_equal(look(store, "", &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "bucket 'fresh-bucket' does not exist"));
    assert_int_equal(look(store, "x", &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "bucket 'fresh-bucket' does not exist"));
    assert_int_equal(ophost_container_create(store, &error), ORBIT_OK);
    assert_int_equal(look(store, "", &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_E_NOT_EMPTY);
    assert_int_equal(ophost_remove(store, "x", false, false, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(store);
}

/* ---- what is learned from replies -------------------------------------------------------------------------- */

static void a_wrong_secret_is_told_for_every_operation(void **state)
{
    (void)state;
    orbit_s3_config config = config_for("store");
    config.secret_access_key = "swordfish";
    struct orb_backend *store = open_with(&config);
    struct ophost_listing listing = {0};
    orbit_error error;
    char *bytes = NULL;
    size_t got;
    assert_int_equal(look(store, "x", &error), ORBIT_E_AUTH);
    assert_string_equal(error.code, "SignatureDoesNotMatch");
    assert_null(strstr(error.message, "swordfish"));
    assert_int_equal(look(store, "", &error), ORBIT_E_AUTH);
    assert_int_equal(ophost_read_all(store, "x", &bytes, &got, &error), ORBIT_E_AUTH);
    free(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_E_AUTH);
    assert_int_equal(ophost_list(store, "", NULL, &listing, &error), ORBIT_E_AUTH);
    ophost_listing_release(&listing);
    assert_false(ophost_logged(&host, "swordfish"));
    ophost_backend_close(store);
}

static void the_region_is_learned(void **state)
{
    (void)state;
    for (int redirect = 0; redirect < 2; redirect++) {
        orbit_s3_config config = config_for("store");
        config.region = "eu-west-1";
        struct orb_backend *store = open_with(&config);
        orbit_error error;
        endpoint_control(&endpoint, "set?region_redirect=%d", redirect);
        assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
        assert_true(retriable(&error));
        assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
        ophost_backend_close(store);
    }
    endpoint_control(&endpoint, "set?region_redirect=0");
}

static void the_stores_clock_counts(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store"), *other = open_bucket("store");
    orbit_error error;
    endpoint_control(&endpoint, "set?clock_offset_s=7200");
    assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
    assert_true(retriable(&error));
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    /* A HEAD says nothing but 403 and a date. */
    assert_true(look(other, "x", &error) < 0);
    assert_true(retriable(&error));
    assert_int_equal(look(other, "x", &error), ORBIT_OK);
    ophost_backend_close(store);
    ophost_backend_close(other);
    endpoint_control(&endpoint, "set?clock_offset_s=0");
}

/* Two requests are under way with the wrong clock: the reply to the first corrects it, the other one is no less
 * worth another try. */
static void a_lesson_counts_for_all_requests_under_way(void **state)
{
    (void)state;
    for (int clock = 0; clock < 2; clock++) {
        orbit_s3_config config = config_for("bucket");
        config.region = clock ? "us-east-1" : "eu-west-9";
        struct orb_backend *store = open_with(&config);
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
            assert_true(retriable(&error));
            orbit_metadata_release(&reads[i].reply.metadata);
            ophost_sink_release(&reads[i].sink);
        }
        endpoint_control(&endpoint, "set?latency_ms=0&clock_offset_s=0");
        ophost_backend_close(store);
    }
}

static void payloads_can_be_signed(void **state)
{
    (void)state;
    orbit_s3_config config = config_for("store");
    config.sign_payload = true;
    struct orb_backend *store = open_with(&config);
    orbit_error error;
    orbit_begin_reply begun = {0};
    char *bytes = calloc(1, PART), *back;
    size_t got;
    assert_non_null(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, bytes, 3 * MIB, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "y", NULL, "", 0, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_begin(store, "z", NULL, PART + 1, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, bytes, PART, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 2, PART, bytes, 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, PART + 1, 2, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    assert_int_equal(ophost_read_all(store, "z", &back, &got, &error), ORBIT_OK);
    assert_int_equal(got, PART + 1);
    free(back);
    free(bytes);
    ophost_backend_close(store);
}

/* ---- bodies that come piecemeal, cancelling ----------------------------------------------------------------- */

struct put_call {
    struct ophost_call call; /* first */
    struct ophost_body body;
    orbit_put_request request;
    orbit_write_options options;
    orbit_metadata reply;
};

static void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct put_call *put = (struct put_call *)call;
    ops->put(self, op, &put->request, &put->body.body, &put->reply);
}

static void put_call_init(struct put_call *put, const char *path, const char *bytes, size_t length)
{
    memset(put, 0, sizeof *put);
    put->call.start = start_put;
    put->options = (orbit_write_options)ORBIT_WRITE_OPTIONS_INIT;
    put->request = (orbit_put_request){path, &put->options, NULL};
    ophost_body_init(&put->body, &put->call, bytes, length);
}

static void bodies_with_pauses_are_sent_whole(void **state)
{
    (void)state;
    char *bytes = malloc(3 * MIB), *back;
    assert_non_null(bytes);
    for (size_t i = 0; i < 3 * MIB; i++)
        bytes[i] = (char)(i * 31 + i / 999);
    for (int sign = 0; sign < 2; sign++) {
        orbit_s3_config config = config_for("store");
        config.sign_payload = sign;
        struct orb_backend *store = open_with(&config);
        struct put_call put;
        orbit_error error;
        size_t got;
        put_call_init(&put, "pieces", bytes, 3 * MIB);
        put.body.body.whole = NULL;
        put.body.window = 7777;
        put.body.starve_every = 5;
        ophost_start(&put.call, store);
        assert_int_equal(ophost_wait(&put.call, &error), ORBIT_OK);
        assert_true(orb_checksum_value(&put.reply.checksum) == orb_crc64nvme(0, bytes, 3 * MIB));
        orbit_metadata_release(&put.reply);
        assert_int_equal(ophost_read_all(store, "pieces", &back, &got, &error), ORBIT_OK);
        assert_int_equal(got, 3 * MIB);
        assert_memory_equal(back, bytes, got);
        free(back);
        /* A source that fails is the end of it, and nothing is there. */
        put_call_init(&put, "failed", bytes, 3 * MIB);
        put.body.body.whole = NULL;
        put.body.fail_at = 100000;
        ophost_start(&put.call, store);
        assert_int_equal(ophost_wait(&put.call, &error), ORBIT_E_IO);
        assert_int_equal(look(store, "failed", &error), ORBIT_E_NOT_FOUND);
        ophost_backend_close(store);
    }
    free(bytes);
}

static void a_cancelled_operation_ends_soon(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    struct put_call put;
    orbit_error error;
    endpoint_control(&endpoint, "fault?op=PutObject&latency_ms=20000");
    put_call_init(&put, "slow", "x", 1);
    ophost_start(&put.call, store);
    ophost_cancel(&put.call);
    assert_int_equal(ophost_wait(&put.call, &error), ORBIT_E_CANCELLED);
    ophost_backend_close(store);
}

static void nobody_there_is_told_quickly_at_first_and_retried_later(void **state)
{
    (void)state;
    orbit_s3_config config = config_for("store");
    config.endpoint = "http://127.0.0.1:1";
    struct orb_backend *store = open_with(&config);
    orbit_error error;
    assert_int_equal(look(store, "x", &error), ORBIT_E_CONNECT);
    assert_false(retriable(&error));
    assert_non_null(strstr(error.message, "127.0.0.1:1"));
    ophost_backend_close(store);

    struct endpoint brief;
    endpoint_start(&brief, "--store", "--bucket", "store", NULL);
    config.endpoint = brief.url;
    store = open_with(&config);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    endpoint_stop(&brief);
    orbit_status status = look(store, "x", &error);
    assert_true(status == ORBIT_E_CONNECT || status == ORBIT_E_NETWORK);
    assert_true(retriable(&error));
    ophost_backend_close(store);
}

static void an_untrusted_certificate_is_refused(void **state)
{
    (void)state;
    struct endpoint secure;
    const char *dir = endpoint_tls_dir();
    char cert[400], key[400], ca[400];
    snprintf(cert, sizeof cert, "%s/server.pem", dir);
    snprintf(key, sizeof key, "%s/server.key", dir);
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    endpoint_start(&secure, "--store", "--bucket", "store", "--tls-cert", cert, "--tls-key", key, NULL);
    orbit_error error;
    orbit_s3_config config = config_for("store");
    config.endpoint = secure.url;
    struct orb_backend *store = open_with(&config);
    assert_int_equal(look(store, "", &error), ORBIT_E_UNTRUSTED);
    assert_false(retriable(&error));
    assert_non_null(strstr(error.message, "--ca-bundle"));
    ophost_backend_close(store);
    config.ca_bundle = ca;
    store = open_with(&config);
    char *bytes = calloc(1, 3 * MIB);
    assert_non_null(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, bytes, 3 * MIB, NULL, &error), ORBIT_OK);
    free(bytes);
    size_t got;
    assert_int_equal(ophost_read_all(store, "x", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, 3 * MIB);
    free(bytes);
    ophost_backend_close(store);
    config.ca_bundle = "/nonexistent.pem";
    store = open_with(&config);
    assert_int_equal(look(store, "", &error), ORBIT_E_CONFIG);
    ophost_backend_close(store);
    endpoint_stop(&secure);
}

/* ---- memory that runs out ------------------------------------------------------------------------------------ */

static orbit_status some_of_everything(struct orb_backend *store)
{
    orbit_error error;
    orbit_begin_reply begun = {0};
    struct ophost_listing listing = {0};
    char *bytes = NULL;
    size_t got;
    orbit_status status = ophost_put(store, "k", NULL, "x", 1, NULL, &error);
    if (status >= 0)
        status = look(store, "k", &error);
    if (status >= 0) {
        status = ophost_read_all(store, "k", &bytes, &got, &error);
        free(bytes);
    }
    if (status >= 0) {
        status = ophost_list(store, "", NULL, &listing, &error);
        ophost_listing_release(&listing);
    }
    if (status >= 0)
        status = ophost_begin(store, "m", NULL, 1, PART, NULL, &begun, &error);
    if (status >= 0) {
        status = ophost_part(store, begun.upload, 1, 0, "x", 1, NULL, &error);
        if (status >= 0)
            status = ophost_finish(store, begun.upload, 1, 1, NULL, &error);
        ophost_release(store, begun.upload);
    }
    if (status >= 0)
        status = ophost_remove(store, "m", false, false, &error);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct orb_backend *store = open_bucket("store");
    assert_int_equal(some_of_everything(store), ORBIT_OK);
    orb_mem_fail_at(0);
    assert_int_equal(some_of_everything(store), ORBIT_OK);
    uint64_t count = orb_mem_count();
    assert_true(count > 10 && count < 3000);
    for (uint64_t n = 1; n <= count + 5; n++) {
        orb_mem_fail_at(n);
        orbit_status status = some_of_everything(store);
        orb_mem_fail_at(0);
        if (status < 0 && status != ORBIT_E_MEMORY)
            print_message("allocation %u: %s\n", (unsigned)n, orbit_status_word(status));
        assert_true(status == ORBIT_OK || status == ORBIT_E_MEMORY);
    }
    assert_int_equal(some_of_everything(store), ORBIT_OK);
    ophost_backend_close(store);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_configuration_is_named),
        TEST(missing_credentials_say_what_to_set),
        TEST(capabilities_follow_the_settings),
        TEST(a_prefix_is_put_before_every_key),
        TEST(ranges_are_exact),
        TEST(an_empty_object_is_no_error),
        TEST(a_range_of_nothing_is_an_empty_object_or_an_error),
        TEST(a_success_that_is_none_of_a_reads_is_named),
        TEST(a_store_that_ignores_ranges_is_noticed),
        TEST(another_range_than_asked_for_is_refused),
        TEST(a_cut_body_is_retriable_and_its_bytes_count),
        TEST(error_bodies_never_reach_the_sink),
        TEST(a_pinned_read_notices_a_change),
        TEST(pauses_of_the_sink_lose_nothing),
        TEST(a_put_tells_what_was_stored),
        TEST(all_write_options_arrive),
        TEST(what_no_header_can_carry_is_refused),
        TEST(content_type_follows_the_extension),
        TEST(customer_keys_go_with_every_request),
        TEST(no_overwrite_and_if_match_are_the_stores_decision),
        TEST(a_wrong_checksum_in_the_reply_is_retriable),
        TEST(an_endpoint_that_refuses_checksums_is_served_without),
        TEST(a_multipart_object_has_the_checksum_of_the_whole),
        TEST(an_error_inside_a_200_is_an_error),
        TEST(a_lost_reply_to_complete_is_resolved_by_looking),
        TEST(an_upload_that_is_gone_is_not_found),
        TEST(an_upload_can_be_taken_up_again),
        TEST(listings_are_in_key_order_whatever_the_page),
        TEST(markers_are_directories_and_sizes_are_told),
        TEST(a_large_listing_is_complete),
        TEST(a_page_that_is_too_full_goes_on_where_it_was_cut),
        TEST(broken_listings_are_errors_and_never_loop),
        TEST(tokens_in_a_circle_do_not_loop),
        TEST(keys_are_right_wherever_their_encoding_is_told),
        TEST(a_batch_reports_each_keys_own_error),
        TEST(a_copy_is_the_stores_work),
        TEST(buckets_come_and_go),
        TEST(a_wrong_secret_is_told_for_every_operation),
        TEST(the_region_is_learned),
        TEST(the_stores_clock_counts),
        TEST(a_lesson_counts_for_all_requests_under_way),
        TEST(payloads_can_be_signed),
        TEST(bodies_with_pauses_are_sent_whole),
        TEST(a_cancelled_operation_ends_soon),
        TEST(nobody_there_is_told_quickly_at_first_and_retried_later),
        TEST(an_untrusted_certificate_is_refused),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("s3", tests, start_all, stop_all);
}
