/* SPDX-License-Identifier: Apache-2.0
 * Directory buckets: sessions that are asked for once, shared and renewed, and what such buckets do in another way. The
 * scripted endpoint refuses every request that a directory bucket would: without a session, with one where own keys
 * are wanted, start-after, prefixes of half a name, versions, tags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "unit/s3_store.h"

#define BUCKET "mine--usw2-az1--x-s3"

static struct orb_backend *open_with(const char *secret)
{
    orbit_s3_config config = s3_config_for(BUCKET);
    config.provider = "aws";
    config.addressing = ORBIT_ADDRESSING_PATH; /* the endpoint has no name */
    config.secret_access_key = secret;
    return s3_open_with(&config);
}

static struct orb_backend *open_bucket(void)
{
    return open_with(ENDPOINT_SECRET);
}

/* Every test has a client that knows no sessions, and the bucket. */
static int begin(void **state)
{
    (void)state;
    ophost_close(&host);
    ophost_open(&host, 2);
    endpoint_control(&endpoint, "set?express=1&unordered=1&page_max=1000&session_life_ms=300000&session_epoch=0");
    endpoint_reset(&endpoint);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup(name, begin)

static int64_t sessions(void)
{
    return endpoint_count(&endpoint, "requests.CreateSession");
}

static int64_t failed(const char *kind)
{
    char name[64];
    snprintf(name, sizeof name, "failed.%s", kind);
    return endpoint_count(&endpoint, name);
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void make_bucket(void)
{
    orbit_error error;
    struct orb_backend *store = open_bucket();
    orbit_status status = ophost_container_create(store, &error);
    if (status != ORBIT_OK && status != ORBIT_E_EXISTS)
        fail_msg("%s", error.message);
    ophost_backend_close(store);
}

/* ---- sessions ------------------------------------------------------------------------------------------- */

static void a_session_is_asked_for_once_and_shared(void **state)
{
    (void)state;
    orbit_error error;
    char *bytes;
    size_t got;
    make_bucket();
    assert_int_equal(sessions(), 0); /* buckets are made with own keys */
    struct orb_backend *store = open_bucket(), *other = open_bucket();
    assert_int_equal(ophost_put(store, "a/b", NULL, "hello", 5, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_read_all(other, "a/b", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, 5);
    free(bytes);
    assert_int_equal(s3_look(other, "a/b", &error), ORBIT_OK);
    assert_int_equal(s3_look(other, "a", &error), ORBIT_OK); /* a directory, by a listing */
    assert_int_equal(ophost_remove(store, "a/b", false, true, &error), ORBIT_OK);
    assert_int_equal(sessions(), 1);
    ophost_backend_close(store);
    assert_int_equal(s3_look(other, "a/b", &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(other);
    assert_int_equal(sessions(), 1);
}

static void start_look(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    static const orbit_stat_request request = {.path = "x"};
    ops->stat(self, op, &request, call->ctx);
}

static void many_wait_for_one_session(void **state)
{
    (void)state;
    enum { MANY = 24 };
    struct ophost_call calls[MANY] = {0};
    orbit_metadata found[MANY] = {0};
    orbit_error error;
    make_bucket();
    endpoint_control(&endpoint, "fault?op=CreateSession&latency_ms=200");
    struct orb_backend *store = open_bucket();
    for (int i = 0; i < MANY; i++) {
        calls[i].start = start_look;
        calls[i].ctx = &found[i];
        ophost_start(&calls[i], store);
    }
    ophost_cancel(&calls[3]);
    for (int i = 0; i < MANY; i++) {
        orbit_status status = ophost_wait(&calls[i], &error);
        assert_true(status == ORBIT_E_NOT_FOUND || (i == 3 && status == ORBIT_E_CANCELLED));
        orbit_metadata_release(&found[i]);
    }
    assert_int_equal(sessions(), 1);
    ophost_backend_close(store);
}

static void a_session_is_renewed_before_its_end(void **state)
{
    (void)state;
    orbit_error error;
    make_bucket();
    endpoint_control(&endpoint, "set?session_life_ms=8000");
    struct orb_backend *store = open_bucket();
    for (int i = 0; i < 300 && sessions() < 2; i++) { /* half of its life: no request meets a session that is over */
        assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
        pause_ms(100);
    }
    assert_int_equal(sessions(), 2);
    assert_int_equal(failed("PutObject"), 0);
    ophost_backend_close(store);
}

static void a_session_that_is_refused_early_is_asked_for_anew(void **state)
{
    (void)state;
    orbit_error error;
    make_bucket();
    struct orb_backend *store = open_bucket();
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    endpoint_control(&endpoint, "set?session_epoch=1");
    assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
    assert_true(s3_retriable(&error));
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(sessions(), 2);
    ophost_backend_close(store);
}

static void what_keeps_a_session_away_is_told(void **state)
{
    (void)state;
    orbit_error error;
    make_bucket();
    struct orb_backend *store = open_with("swordfish");
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_E_AUTH);
    assert_non_null(strstr(error.message, "CreateSession"));
    assert_non_null(strstr(error.message, "SignatureDoesNotMatch"));
    assert_null(strstr(error.message, "swordfish"));
    ophost_backend_close(store);

    orbit_s3_config config = s3_config_for("nobody--usw2-az1--x-s3");
    config.provider = "aws";
    config.addressing = ORBIT_ADDRESSING_PATH;
    store = s3_open_with(&config);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "the bucket does not exist"));
    ophost_backend_close(store);
}

static void the_clock_of_sessions_is_learned(void **state)
{
    (void)state;
    orbit_error error;
    make_bucket();
    endpoint_control(&endpoint, "set?clock_offset_s=7200");
    struct orb_backend *store = open_bucket();
    orbit_status status = ophost_put(store, "x", NULL, "x", 1, NULL, &error);
    if (status < 0 && s3_retriable(&error)) /* the session has its clock at once, the put learns it */
        status = ophost_put(store, "x", NULL, "x", 1, NULL, &error);
    assert_int_equal(status, ORBIT_OK);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?clock_offset_s=0");
}

/* ---- what is different -------------------------------------------------------------------------------------- */

static void own_keys_are_used_where_sessions_are_not(void **state)
{
    (void)state;
    orbit_error error;
    make_bucket();
    struct orb_backend *store = open_bucket();
    assert_int_equal(s3_look(store, "", &error), ORBIT_OK); /* HeadBucket */
    assert_int_equal(sessions(), 0);
    assert_int_equal(ophost_put(store, "a", NULL, "x", 1, NULL, &error), ORBIT_OK);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_request request = {.from = "a", .to = "b", .options = &options, .preserve = true};
    orbit_metadata copied = {0};
    assert_int_equal(ophost_copy(store, &request, &copied, &error), ORBIT_OK);
    orbit_metadata_release(&copied);
    assert_int_equal(s3_look(store, "b", &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "a", false, true, &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "b", false, true, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_OK);
    assert_int_equal(sessions(), 1);
    ophost_backend_close(store);
}

static bool has(const struct ophost_listing *listing, const char *path)
{
    return ophost_listing_find(listing, path) != NULL;
}

static void listings_have_no_order_and_filter_themselves(void **state)
{
    (void)state;
    static const char *const keys[] = {"ab/1", "ab/2", "abc", "abd/x/y", "b/ab", "c"};
    struct ophost_listing listing;
    orbit_error error;
    make_bucket();
    struct orb_backend *store = open_bucket();
    assert_false(store->caps.ordered_list);
    assert_false(store->caps.list_versions);
    assert_false(store->caps.md5_etags);
    assert_true(store->caps.lacks & 1u << ORBIT_OPERATION_TAGS);
    s3_put_keys(store, keys, 6);
    for (uint32_t page = 1; page <= 7; page += 3) {
        orbit_list_request all = {.path = "", .recursive = true, .want_metadata = true, .page_entries = page};
        assert_int_equal(ophost_list(store, "", &all, &listing, &error), ORBIT_OK);
        assert_int_equal(listing.count, 6);
        for (size_t i = 0; i < 6; i++)
            assert_true(has(&listing, keys[i]));
        ophost_listing_release(&listing);

        orbit_list_request some = {
            .path = "", .prefix = "ab", .recursive = true, .want_metadata = true, .page_entries = page};
        assert_int_equal(ophost_list(store, "", &some, &listing, &error), ORBIT_OK);
        assert_int_equal(listing.count, 4);
        assert_true(has(&listing, "abc") && has(&listing, "abd/x/y"));
        ophost_listing_release(&listing);

        orbit_list_request names = {.path = "", .prefix = "ab", .want_metadata = true, .page_entries = page};
        assert_int_equal(ophost_list(store, "", &names, &listing, &error), ORBIT_OK);
        assert_int_equal(listing.count, 3);
        assert_true(has(&listing, "ab") && has(&listing, "abc") && has(&listing, "abd"));
        ophost_listing_release(&listing);
    }
    orbit_list_request below = {.path = "abd", .prefix = "x", .recursive = true, .want_metadata = true};
    assert_int_equal(ophost_list(store, "abd", &below, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 1);
    assert_string_equal(listing.entries[0].path, "x/y");
    ophost_listing_release(&listing);
    assert_int_equal(failed("ListObjectsV2"), 0);
    ophost_backend_close(store);
}

static void count_upload(void *ctx, const orbit_upload_entry *entry)
{
    assert_string_equal(entry->path, "dir/one");
    ++*(int *)ctx;
}

static void uploads_go_by_sessions(void **state)
{
    (void)state;
    orbit_error error;
    orbit_begin_reply one = {0}, two = {0};
    int seen = 0;
    bool more = false;
    char *bytes = calloc(1, PART + 1), *back;
    size_t got;
    assert_non_null(bytes);
    make_bucket();
    struct orb_backend *store = open_bucket();
    assert_int_equal(ophost_begin(store, "dir/one", NULL, PART + 1, PART, NULL, &one, &error), ORBIT_OK);
    assert_int_equal(ophost_begin(store, "dir/two", NULL, PART, PART, NULL, &two, &error), ORBIT_OK);
    orbit_uploads_request request = {.prefix = "dir/on", .each = count_upload, .ctx = &seen};
    assert_int_equal(ophost_uploads(store, &request, &more, &error), ORBIT_OK);
    assert_int_equal(seen, 1);
    assert_int_equal(ophost_part(store, one.upload, 1, 0, bytes, PART, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, one.upload, 2, PART, bytes, 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, one.upload, PART + 1, 2, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_abort(store, two.upload, &error), ORBIT_OK);
    assert_int_equal(ophost_read_all(store, "dir/one", &back, &got, &error), ORBIT_OK);
    assert_int_equal(got, PART + 1);
    free(back);
    free(bytes);
    ophost_release(store, one.upload);
    ophost_release(store, two.upload);
    ophost_backend_close(store);
}

static void many_keys_are_removed_at_once(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b/c"};
    orbit_error error;
    orbit_remove_item items[2] = {{.path = "a"}, {.path = "b/c"}};
    orbit_remove_request request = {.items = items, .count = 2, .missing_ok = true};
    make_bucket();
    struct orb_backend *store = open_bucket();
    s3_put_keys(store, keys, 2);
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    assert_int_equal(items[0].status, ORBIT_OK);
    assert_int_equal(items[1].status, ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObjects"), 1);
    assert_int_equal(s3_look(store, "b/c", &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_is_asked_for_once_and_shared),
        TEST(many_wait_for_one_session),
        TEST(a_session_is_renewed_before_its_end),
        TEST(a_session_that_is_refused_early_is_asked_for_anew),
        TEST(what_keeps_a_session_away_is_told),
        TEST(the_clock_of_sessions_is_learned),
        TEST(own_keys_are_used_where_sessions_are_not),
        TEST(listings_have_no_order_and_filter_themselves),
        TEST(uploads_go_by_sessions),
        TEST(many_keys_are_removed_at_once),
    };
    return cmocka_run_group_tests_name("s3_express", tests, s3_tests_start, s3_tests_stop);
}
