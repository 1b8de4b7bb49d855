/* SPDX-License-Identifier: Apache-2.0
 * Stores that differ: how they are recognised, what is known of them before the first request, and what their replies
 * teach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/s3/s3_ways.h"
#include "unit/s3_store.h"

/* ---- the table ----------------------------------------------------------------------------------------- */

static void endpoints_tell_the_store_and_its_region(void **state)
{
    (void)state;
    static const struct {
        const char *host, *store, *region;
    } cases[] = {
        {"s3.eu-west-1.amazonaws.com", "aws", "eu-west-1"},
        {"s3.dualstack.eu-west-1.amazonaws.com", "aws", "eu-west-1"},
        {"s3-fips.us-gov-west-1.amazonaws.com", "aws", "us-gov-west-1"},
        {"s3-fips.dualstack.us-east-2.amazonaws.com", "aws", "us-east-2"},
        {"s3.cn-north-1.amazonaws.com.cn", "aws", "cn-north-1"},
        {"s3.amazonaws.com", "aws", ""},
        {"bucket.vpce-1a2b3c4d.s3.us-east-1.vpce.amazonaws.com", "aws", "us-east-1"},
        {"S3.EU-West-1.AmazonAWS.com:443", "aws", "EU-West-1"},
        {"s3.eu-west-1.amazonaws.com.example.org", "other", ""},
        {"amazonaws.com", "other", ""},
        {"play.min.io:9000", "minio", ""},
        {"0123456789abcdef.r2.cloudflarestorage.com", "r2", ""},
        {"0123456789abcdef.eu.r2.cloudflarestorage.com", "r2", ""},
        {"s3.us-west-004.backblazeb2.com", "b2", "us-west-004"},
        {"s3.wasabisys.com", "wasabi", ""},
        {"s3.eu-central-1.wasabisys.com", "wasabi", "eu-central-1"},
        {"nyc3.digitaloceanspaces.com", "digitalocean", "nyc3"},
        {"bucket.nyc3.digitaloceanspaces.com", "digitalocean", ""},
        {"storage.googleapis.com", "gcs", ""},
        {"127.0.0.1:9000", "other", ""},
        {"", "other", ""},
    };
    char region[64], tiny[4];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct orb_s3_store *store = orb_s3_store_at(cases[i].host, region, sizeof region);
        if (strcmp(store->name, cases[i].store) != 0 || strcmp(region, cases[i].region) != 0)
            fail_msg("'%s' is taken for %s in '%s'", cases[i].host, store->name, region);
    }
    (void)orb_s3_store_at("nyc3.digitaloceanspaces.com", tiny, sizeof tiny);
    assert_string_equal(tiny, ""); /* half a region is none */
}

static struct orb_backend *open_at(const char *where, const char *settings, orbit_error *error)
{
    orbit_s3_config config = s3_config_for("bucket");
    config.endpoint = where;
    config.region = NULL;
    return ophost_backend(&host, &orb_s3_ops, "", "", NULL, settings, &config, error);
}

static void what_a_store_can_do_is_known_when_it_is_opened(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *settings;
        bool equal_parts, tags, versions, atomic;
        uint32_t parts;
    } cases[] = {
        {"https://s3.eu-west-1.amazonaws.com", NULL, false, true, true, true, 10000},
        {"https://a1.r2.cloudflarestorage.com", NULL, true, false, false, false, 10000},
        {"https://a1.r2.cloudflarestorage.com", "provider=other", false, true, true, false, 10000},
        {"https://s3.us-west-004.backblazeb2.com", NULL, false, false, true, false, 10000},
        {"https://storage.googleapis.com", NULL, false, false, false, false, 10000},
        {"http://127.0.0.1:1", "provider=SWIFT", false, false, true, false, 1000},
        {"http://127.0.0.1:1", "provider=swift&part_count_max=50", false, false, true, false, 50},
        {"http://127.0.0.1:1", "provider=minio&equal_parts=true", true, true, true, true, 10000},
        {"http://127.0.0.1:1", NULL, false, true, true, false, 10000},
        {"http://127.0.0.1:1", "conditional_writes=true", false, true, true, true, 10000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_error error;
        struct orb_backend *store = open_at(cases[i].endpoint, cases[i].settings, &error);
        assert_non_null(store);
        const orbit_capabilities *caps = &store->caps;
        bool tags = !(caps->lacks & 1u << ORBIT_OPERATION_TAGS);
        if (caps->equal_parts != cases[i].equal_parts || tags != cases[i].tags ||
            caps->list_versions != cases[i].versions || caps->atomic_no_overwrite != cases[i].atomic ||
            caps->part_count_max != cases[i].parts)
            fail_msg("case %zu: parts equal %d of %u, tags %d, versions %d, atomic %d", i, caps->equal_parts,
                     caps->part_count_max, tags, caps->list_versions, caps->atomic_no_overwrite);
        ophost_backend_close(store);
    }
}

static void a_provider_that_is_none_is_named(void **state)
{
    (void)state;
    orbit_error error;
    assert_null(open_at("http://127.0.0.1:1", "provider=floppy", &error));
    assert_int_equal(error.status, ORBIT_E_CONFIG);
    assert_non_null(strstr(error.message, "floppy"));
    assert_non_null(strstr(error.message, "minio, versitygw, ceph, r2")); /* what there is */
    assert_null(open_at(NULL, "provider=r2", &error));
    assert_non_null(strstr(error.message, "--endpoint-url"));
}

/* ---- what it saves ------------------------------------------------------------------------------------- */

static struct orb_backend *open_as(const char *provider)
{
    orbit_s3_config config = s3_config_for("store");
    config.provider = provider;
    return s3_open_with(&config);
}

/* Requests of a kind that were refused. */
static int64_t failed(const char *kind)
{
    char name[64];
    snprintf(name, sizeof name, "failed.%s", kind);
    return endpoint_count(&endpoint, name);
}

static void a_store_without_checksums_is_not_asked_for_them(void **state)
{
    (void)state;
    orbit_error error;
    endpoint_control(&endpoint, "set?checksums=0");
    struct orb_backend *store = open_as("swift");
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(failed("PutObject"), 0);
    ophost_backend_close(store);
    store = open_as(NULL);
    assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
    assert_true(s3_retriable(&error));
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(failed("PutObject"), 1);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?checksums=1");
}

static void minio_gets_a_checksum_with_each_part_at_once(void **state)
{
    (void)state;
    orbit_error error;
    orbit_begin_reply begun = {0};
    char *bytes = calloc(1, PART);
    assert_non_null(bytes);
    endpoint_control(&endpoint, "set?sum_with_part=1");
    struct orb_backend *store = open_as("minio");
    assert_int_equal(ophost_begin(store, "x", NULL, PART, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, bytes, PART, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, PART, 1, NULL, &error), ORBIT_OK);
    assert_int_equal(failed("UploadPart"), 0);
    ophost_release(store, begun.upload);
    ophost_backend_close(store);
    free(bytes);
    endpoint_control(&endpoint, "set?sum_with_part=0");
}

/* ---- conditions on writes ------------------------------------------------------------------------------ */

static orbit_write_options not_over(void)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    return options;
}

static void look_instead_of_conditions(struct orb_backend *store)
{
    orbit_error error;
    orbit_metadata there = {0};
    orbit_write_options options = not_over(), matching = ORBIT_WRITE_OPTIONS_INIT;
    assert_int_equal(ophost_put(store, "a", &options, "1", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "a", &options, "2", 1, NULL, &error), ORBIT_E_EXISTS);
    assert_non_null(strstr(error.message, "exists already"));
    assert_int_equal(ophost_stat(store, "a", &there, &error), ORBIT_OK);
    matching.if_match = "0123";
    assert_int_equal(ophost_put(store, "a", &matching, "3", 1, NULL, &error), ORBIT_E_CHANGED);
    matching.if_match = there.etag;
    assert_int_equal(ophost_put(store, "a", &matching, "4", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "none", &matching, "4", 1, NULL, &error), ORBIT_E_CHANGED);
    assert_int_equal(ophost_put(store, "a", NULL, "5", 1, NULL, &error), ORBIT_OK);
    orbit_metadata_release(&there);
}

static void a_store_without_conditions_is_looked_at_before_writes(void **state)
{
    (void)state;
    endpoint_control(&endpoint, "set?conditions=0");
    struct orb_backend *store = open_as("b2");
    look_instead_of_conditions(store);
    assert_int_equal(failed("PutObject"), 0);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?conditions=1");
}

/* One piece, or an upload in parts; `key`: the customer's. */
static orbit_status write_once(struct orb_backend *store, const char *path, const uint8_t *key, bool in_parts)
{
    orbit_error error;
    orbit_write_options options = not_over();
    orbit_begin_reply begun = {0};
    options.sse_customer_key = key;
    if (!in_parts)
        return ophost_put(store, path, &options, "new", 3, NULL, &error);
    assert_int_equal(ophost_begin(store, path, &options, 3, 5 << 20, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "new", 3, NULL, &error), ORBIT_OK);
    orbit_status status = ophost_finish(store, begun.upload, 3, 1, NULL, &error);
    ophost_release(store, begun.upload);
    return status;
}

static void that_look_fits_what_is_kept_with_a_customers_key_and_without(void **state)
{
    (void)state;
    uint8_t key[32];
    orbit_error error;
    orbit_metadata there = {0};
    memset(key, 7, sizeof key);
    endpoint_control(&endpoint, "set?conditions=0");
    struct orb_backend *store = open_as("b2");
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    assert_int_equal(ophost_put(store, "plain", &options, "plain", 5, NULL, &error), ORBIT_OK);
    options.sse_customer_key = key;
    assert_int_equal(ophost_put(store, "keyed", &options, "keyed", 5, NULL, &error), ORBIT_OK);
    for (int in_parts = 0; in_parts < 2; in_parts++) {
        assert_int_equal(write_once(store, "keyed", key, in_parts), ORBIT_E_EXISTS);
        assert_int_equal(write_once(store, "plain", key, in_parts), ORBIT_E_EXISTS);
        assert_int_equal(write_once(store, "plain", NULL, in_parts), ORBIT_E_EXISTS);
        assert_true(write_once(store, "keyed", NULL, in_parts) < 0); /* what it is, the store does not tell */
        assert_int_equal(write_once(store, in_parts ? "two" : "one", key, in_parts), ORBIT_OK);
    }
    options.overwrite = false;
    orbit_copy_request copy = {.from = "plain", .to = "keyed", .options = &options};
    assert_int_equal(ophost_copy(store, &copy, &there, &error), ORBIT_E_EXISTS);
    copy.to = "plain";
    assert_int_equal(ophost_copy(store, &copy, &there, &error), ORBIT_E_EXISTS);
    orbit_metadata_release(&there);
    orbit_read_request request = {.path = "keyed", .length = ORBIT_TO_END, .sse_customer_key = key};
    char *bytes = NULL;
    size_t got;
    assert_int_equal(ophost_read(store, &request, &bytes, &got, NULL, &error), ORBIT_OK);
    assert_memory_equal(bytes, "keyed", 5);
    free(bytes);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?conditions=1");
}

static void that_conditions_are_refused_is_learned(void **state)
{
    (void)state;
    orbit_error error;
    orbit_write_options options = not_over();
    endpoint_control(&endpoint, "set?conditions=0");
    struct orb_backend *store = open_as(NULL);
    unsigned tries = 0;
    orbit_status status;
    while ((status = ophost_put(store, "first", &options, "1", 1, NULL, &error)) < 0 && s3_retriable(&error))
        assert_true(++tries < 5);
    assert_int_equal(status, ORBIT_OK);
    assert_true(tries > 0);
    endpoint_reset(&endpoint);
    look_instead_of_conditions(store);
    assert_int_equal(failed("PutObject"), 0);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?conditions=1");
}

/* ---- what else is learned ------------------------------------------------------------------------------ */

static void that_a_store_lists_in_the_old_way_is_learned(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    struct ophost_listing listing;
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true, .page_entries = 2};
    struct orb_backend *store = open_as(NULL);
    s3_put_keys(store, keys, 5);
    endpoint_control(&endpoint, "set?list_v2=0");
    assert_true(ophost_list(store, "", &request, &listing, &error) < 0);
    assert_true(s3_retriable(&error));
    ophost_listing_release(&listing);
    assert_int_equal(ophost_list(store, "", &request, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 5);
    assert_string_equal(listing.entries[4].path, "e");
    ophost_listing_release(&listing);
    assert_int_equal(failed("ListObjectsV2"), 1);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?list_v2=1");
}

static void that_a_store_removes_one_by_one_is_learned(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b"};
    orbit_error error;
    struct orb_backend *store = open_as(NULL);
    endpoint_control(&endpoint, "fault?op=DeleteObjects&status=501&code=NotImplemented");
    for (int again = 0; again < 2; again++) {
        orbit_remove_item items[2] = {{.path = "a"}, {.path = "b"}};
        orbit_remove_request request = {.items = items, .count = 2, .missing_ok = true};
        s3_put_keys(store, keys, 2);
        assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
        assert_int_equal(items[0].status, ORBIT_OK);
        assert_int_equal(s3_look(store, "b", &error), ORBIT_E_NOT_FOUND);
    }
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObjects"), 1);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObject"), 4);
    ophost_backend_close(store);
}

/* ---- what one backend learned, the next one knows -------------------------------------------------------- */

static void list_all(struct orb_backend *store)
{
    struct ophost_listing listing;
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    orbit_status status = ophost_list(store, "", &request, &listing, &error);
    if (status < 0 && s3_retriable(&error)) {
        ophost_listing_release(&listing);
        status = ophost_list(store, "", &request, &listing, &error);
    }
    assert_int_equal(status, ORBIT_OK);
    ophost_listing_release(&listing);
}

static void remove_two(struct orb_backend *store)
{
    orbit_error error;
    orbit_remove_item items[2] = {{.path = "a"}, {.path = "b"}};
    orbit_remove_request request = {.items = items, .count = 2, .missing_ok = true};
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
}

static void put_new(struct orb_backend *store, const char *path, const orbit_write_options *options)
{
    orbit_error error;
    orbit_status status;
    for (int tries = 0; tries < 5; tries++)
        if ((status = ophost_put(store, path, options, "x", 1, NULL, &error)) >= 0 || !s3_retriable(&error))
            break;
    assert_int_equal(status, ORBIT_OK);
}

static orbit_status read_part(struct orb_backend *store)
{
    orbit_read_request request = {.path = "big", .offset = 1000, .length = 10};
    orbit_read_reply reply = {0};
    orbit_error error;
    char *bytes = NULL;
    size_t got;
    orbit_status status = ophost_read(store, &request, &bytes, &got, &reply, &error);
    free(bytes);
    orbit_metadata_release(&reply.metadata);
    return status;
}

static void what_one_backend_learned_the_next_one_knows(void **state)
{
    (void)state;
    orbit_write_options options = not_over();
    int64_t before = 0;
    orbit_error error;
    static const char bytes[5000];
    struct orb_backend *first = open_as(NULL);
    assert_int_equal(ophost_put(first, "big", NULL, bytes, sizeof bytes, NULL, &error), ORBIT_OK);
    ophost_backend_close(first);
    endpoint_control(&endpoint, "set?conditions=0&list_v2=0&checksums=0");
    endpoint_control(&endpoint, "fault?op=DeleteObjects&status=501&code=NotImplemented");
    endpoint_control(&endpoint, "fault?op=GetObject&ignore_range=1");
    for (int round = 0; round < 2; round++) {
        struct orb_backend *store = open_as(NULL);
        assert_int_equal(store->caps.ranged_read, round == 0);
        assert_int_equal(store->caps.remove_batch > 1, round == 0);
        put_new(store, round ? "second" : "first", &options);
        list_all(store);
        remove_two(store);
        assert_int_equal(read_part(store), ORBIT_OK);
        ophost_backend_close(store);
        int64_t refused = endpoint_count(&endpoint, "status_5xx");
        if (round == 0)
            assert_true(refused >= 4); /* one of a kind */
        else
            assert_int_equal(refused, before);
        before = refused;
    }
    /* Of another bucket, and by another client, nothing is known; who asks for a checksum means it. */
    orbit_s3_config other = s3_config_for("bucket"), checks = s3_config_for("store");
    struct orb_backend *store = s3_open_with(&other);
    assert_true(store->caps.ranged_read && store->caps.remove_batch > 1);
    ophost_backend_close(store);
    checks.checksum = ORBIT_CHECKSUM_CRC32C;
    store = s3_open_with(&checks);
    assert_true(ophost_put(store, "third", NULL, "x", 1, NULL, &error) < 0);
    ophost_backend_close(store);
    s3_forget();
    store = open_as(NULL);
    assert_true(store->caps.ranged_read && store->caps.remove_batch > 1);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?conditions=1&list_v2=1&checksums=1");
}

/* A store of one name that is known is not taken for what another handle called it. */
static void what_was_set_is_not_taken_for_learned(void **state)
{
    (void)state;
    orbit_s3_config old = s3_config_for("store");
    old.list_v1 = true;
    old.provider = "b2";
    struct orb_backend *store = s3_open_with(&old);
    list_all(store);
    assert_int_equal(read_part(store), ORBIT_E_NOT_FOUND);
    remove_two(store);
    ophost_backend_close(store);
    store = open_as(NULL);
    list_all(store);
    assert_int_equal(endpoint_count(&endpoint, "requests.ListObjectsV2"), 1);
    ophost_backend_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(endpoints_tell_the_store_and_its_region),
        S3_TEST(what_a_store_can_do_is_known_when_it_is_opened),
        S3_TEST(a_provider_that_is_none_is_named),
        S3_TEST(a_store_without_checksums_is_not_asked_for_them),
        S3_TEST(minio_gets_a_checksum_with_each_part_at_once),
        S3_TEST(a_store_without_conditions_is_looked_at_before_writes),
        S3_TEST(that_look_fits_what_is_kept_with_a_customers_key_and_without),
        S3_TEST(that_conditions_are_refused_is_learned),
        S3_TEST(that_a_store_lists_in_the_old_way_is_learned),
        S3_TEST(that_a_store_removes_one_by_one_is_learned),
        S3_TEST(what_one_backend_learned_the_next_one_knows),
        S3_TEST(what_was_set_is_not_taken_for_learned),
    };
    return cmocka_run_group_tests_name("s3_stores", tests, s3_tests_start, s3_tests_stop);
}
