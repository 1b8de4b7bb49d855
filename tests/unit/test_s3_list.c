/* SPDX-License-Identifier: Apache-2.0
 * Listings of the S3 backend: order, pages, encodings, and stores that list what makes no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/s3_store.h"

/* ---- listing ------------------------------------------------------------------------------------------- */

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
        orbit_s3_config config = s3_config_for("store");
        config.list_v1 = v1;
        struct orb_backend *store = s3_open_with(&config);
        s3_put_keys(store, keys, sizeof keys / sizeof *keys);
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
    struct orb_backend *store = s3_open_bucket("store");
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
    assert_int_equal(s3_look(store, "d/", &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "d/f", false, false, &error), ORBIT_OK);
    assert_int_equal(ophost_remove(store, "d", false, false, &error), ORBIT_OK);
    assert_int_equal(s3_look(store, "d/", &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(ophost_remove(store, "d", false, false, &error), ORBIT_OK); /* as the service has it */
    ophost_backend_close(store);
}

static void a_large_listing_is_complete(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("keys-12345-uuid");
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
    struct orb_backend *store = s3_open_bucket("keys-3000-hive");
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
        struct orb_backend *store = s3_open_bucket("keys-5000");
        struct ophost_listing listing = {0};
        orbit_error error;
        orbit_list_request request = {.path = "", .recursive = true};
        endpoint_control(&endpoint, "fault?op=ListObjectsV2&nth=2&count=1000&%s", cases[i].fault);
        orbit_status status = ophost_list(store, "", &request, &listing, &error);
        assert_true(status == ORBIT_E_PROTOCOL || status == ORBIT_E_NETWORK);
        assert_true(s3_retriable(&error) == cases[i].retriable);
        assert_true(endpoint_count(&endpoint, "requests.ListObjectsV2") < 10);
        ophost_listing_release(&listing);
        ophost_backend_close(store);
        endpoint_reset(&endpoint);
    }
}

/* By their tokens, or by their pages where each token is a new one. */
static void listings_in_a_circle_do_not_loop(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("keys-5000");
    orbit_error error;
    orbit_list_request request = {.path = "", .recursive = true};
    for (int way = 0; way < 10; way++) {
        struct ophost_listing listing = {0};
        endpoint_control(&endpoint, "set?token_circle=%d&token_salt=%d", way / 2 + 1, way % 2);
        orbit_status status = ophost_list(store, "", &request, &listing, &error);
        endpoint_control(&endpoint, "set?token_circle=0&token_salt=0");
        assert_int_equal(status, ORBIT_E_PROTOCOL);
        assert_true(endpoint_count(&endpoint, "requests.ListObjectsV2") < 30);
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
            orbit_s3_config config = s3_config_for("store");
            config.list_v1 = v1;
            config.list_page_entries = 2;
            struct orb_backend *store = s3_open_with(&config);
            s3_put_keys(store, keys, KEYS);
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
            s3_forget();
            store = s3_open_with(&config);
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
            s3_forget();
        }
    }
}

static void a_size_that_is_not_told_is_unknown_and_ends_no_listing(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b"};
    struct orb_backend *store = s3_open_bucket("store");
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    struct ophost_listing listing;
    orbit_error error = {0};
    s3_put_keys(store, keys, 2);
    endpoint_control(&endpoint, "set?sizes=0");
    assert_int_equal(ophost_list(store, "", &request, &listing, &error), ORBIT_OK);
    endpoint_control(&endpoint, "set?sizes=1");
    assert_int_equal(listing.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(listing.entries[i].path, keys[i]);
        assert_false(listing.entries[i].metadata.fields & ORBIT_HAS_SIZE);
        assert_true(listing.entries[i].metadata.fields & ORBIT_HAS_MTIME);
    }
    ophost_listing_release(&listing);
    ophost_backend_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(listings_are_in_key_order_whatever_the_page),
        S3_TEST(markers_are_directories_and_sizes_are_told),
        S3_TEST(a_large_listing_is_complete),
        S3_TEST(a_page_that_is_too_full_goes_on_where_it_was_cut),
        S3_TEST(broken_listings_are_errors_and_never_loop),
        S3_TEST(listings_in_a_circle_do_not_loop),
        S3_TEST(keys_are_right_wherever_their_encoding_is_told),
        S3_TEST(a_size_that_is_not_told_is_unknown_and_ends_no_listing),
    };
    return cmocka_run_group_tests_name("s3 list", tests, s3_tests_start, s3_tests_stop);
}
