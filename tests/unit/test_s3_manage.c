/* SPDX-License-Identifier: Apache-2.0
 * The S3 backend removes, copies, makes buckets, and runs out of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/s3/s3.h"
#include "base/mem.h"
#include "unit/s3_store.h"

/* What moto 5 calls some of its replies, and what a page of a proxy may be called. */
static void answers_are_known_by_the_names_that_stores_give_them(void **state)
{
    (void)state;
    assert_true(orb_s3_answers("ListPartsResult", "ListPartsResult", "ListParts"));
    assert_true(orb_s3_answers("ListPartsResponse", "ListPartsResult", "ListParts"));
    assert_true(orb_s3_answers("GetBucketVersioningResponse", "VersioningConfiguration", "GetBucketVersioning"));
    assert_true(orb_s3_answers("GetObjectAttributesOutput", "GetObjectAttributesResponse", "GetObjectAttributes"));
    assert_true(orb_s3_answers("ListObjectsV2Response", "ListBucketResult", "ListObjects"));
    assert_false(orb_s3_answers("html", "ListBucketResult", "ListObjects"));
    assert_false(orb_s3_answers("Error", "ListPartsResult", "ListParts"));
    assert_false(orb_s3_answers("ListParts", "ListPartsResult", "ListParts"));
    assert_false(orb_s3_answers("ListObjectVersionsResponse", "ListBucketResult", "ListObjects"));
}

/* ---- removing, copying, buckets -------------------------------------------------------------------------- */

static void a_batch_reports_each_keys_own_error(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    static const char *const keys[] = {"one", "two & <three>", "ctl\x01", "fo\xc3\xbcr", "dir/"};
    enum { KEYS = 5 };
    s3_put_keys(store, keys, KEYS);
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
        assert_int_equal(s3_look(store, keys[i], &error), ORBIT_E_NOT_FOUND);
    }
    /* A store without batches. */
    s3_put_keys(store, keys, KEYS);
    endpoint_control(&endpoint, "fault?op=DeleteObjects&status=501&code=NotImplemented");
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    for (size_t i = 0; i <= KEYS; i++)
        assert_int_equal(items[i].status, ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.DeleteObject"), 7);
    /* Not all of them. */
    s3_put_keys(store, keys, KEYS);
    endpoint_control(&endpoint, "fault?op=DeleteObject&key=one&status=403&code=AccessDenied");
    assert_int_equal(ophost_remove_many(store, &request, &error), ORBIT_OK);
    assert_int_equal(items[0].status, ORBIT_E_PERMISSION);
    assert_int_equal(items[1].status, ORBIT_OK);
    ophost_backend_close(store);
}

static void a_copy_is_the_stores_work(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
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
    assert_true(s3_retriable(&error));
    ophost_backend_close(store);
}

/* The key is that of the source, and so is the bucket that is named with it. */
static void a_copy_that_fails_names_its_source_where_it_is(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store"), *source = s3_open_bucket("its-source");
    orbit_write_options plain = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_request copy = {.from = "a/b", .to = "c", .from_self = source->self, .options = &plain};
    orbit_error error;
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "'s3://its-source/a/b'"));
    assert_non_null(strstr(error.message, "one of the buckets 'its-source' and 'store' does not exist"));
    assert_int_equal(ophost_container_create(source, &error), ORBIT_OK);
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "'s3://its-source/a/b': no such key"));
    endpoint_control(&endpoint, "fault?op=CopyObject&status=403&code=AccessDenied&count=1");
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_PERMISSION);
    assert_non_null(strstr(error.message, "'s3://its-source/a/b'"));
    copy.from_self = store->self;
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "'s3://store/a/b': no such key"));
    assert_int_equal(ophost_container_remove(source, &error), ORBIT_OK);
    ophost_backend_close(source);
    ophost_backend_close(store);
}

static void buckets_come_and_go(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("fresh-bucket");
    orbit_error error;
    assert_int_equal(s3_look(store, "", &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "bucket 'fresh-bucket' does not exist"));
    assert_int_equal(s3_look(store, "x", &error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "bucket 'fresh-bucket' does not exist"));
    assert_int_equal(ophost_container_create(store, &error), ORBIT_OK);
    assert_int_equal(s3_look(store, "", &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_E_NOT_EMPTY);
    assert_int_equal(ophost_remove(store, "x", false, false, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_OK);
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(store);
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
        status = s3_look(store, "k", &error);
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
    struct orb_backend *store = s3_open_bucket("store");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_known_by_the_names_that_stores_give_them),
        S3_TEST(a_batch_reports_each_keys_own_error),
        S3_TEST(a_copy_is_the_stores_work),
        S3_TEST(a_copy_that_fails_names_its_source_where_it_is),
        S3_TEST(buckets_come_and_go),
        S3_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("s3 manage", tests, s3_tests_start, s3_tests_stop);
}
