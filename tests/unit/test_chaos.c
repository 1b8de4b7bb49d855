/* SPDX-License-Identifier: Apache-2.0
 * The chaos backend over the memory backend: faults happen where they should, and nothing else. And the memory
 * backend when memory is out: every operation with the 1st, 2nd, … allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/chaos.h"
#include "support/ophost.h"

static struct ophost host;
static struct chaos chaos;
static struct orb_backend *store;
static orbit_error error;

#define OK(call) assert_int_equal(call, ORBIT_OK)

static int open_store(void **state)
{
    (void)state;
    ophost_open(&host, 0);
    chaos_init(&chaos, &orb_mem_ops, NULL);
    store = ophost_backend(&host, &chaos.table, "", "", &chaos, "profile=files", NULL, &error);
    return store ? 0 : -1;
}

static int close_store(void **state)
{
    (void)state;
    orb_mem_fail_at(0);
    ophost_backend_close(store);
    ophost_close(&host);
    bool good = chaos_count(&chaos.started) == chaos_count(&chaos.ended) && chaos_count(&chaos.in_flight) == 0 &&
                chaos_count(&chaos.violations) == 0;
    if (!good)
        print_error("chaos: %s\n", chaos.violation);
    chaos_release(&chaos);
    return good ? 0 : -1;
}

static char bytes[300000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 131 + i / 251);
}

static void everything_passes_through_an_empty_plan(void **state)
{
    (void)state;
    fill();
    char *got;
    size_t length;
    OK(ophost_put(store, "d/file", NULL, bytes, sizeof(bytes), NULL, &error));
    OK(ophost_read_all(store, "d/file", &got, &length, &error));
    assert_int_equal(length, sizeof(bytes));
    assert_memory_equal(got, bytes, length);
    free(got);
    struct ophost_listing listing;
    OK(ophost_list(store, "d", NULL, &listing, &error));
    assert_int_equal(listing.count, 1);
    ophost_listing_release(&listing);
    orbit_copy_request copy = {.from = "d/file", .to = "copy"};
    OK(ophost_copy(store, &copy, NULL, &error));
    OK(ophost_remove(store, "d", true, false, &error));
    assert_int_equal(chaos_count(&chaos.bytes_read), sizeof(bytes));
    assert_int_equal(chaos_count(&chaos.bytes_written), sizeof(bytes));
    assert_int_equal(chaos_count(&chaos.faults), 0);
    assert_int_equal(chaos_count(&chaos.by_kind[3]), 1);
}

static void small_windows_and_starving_change_no_byte(void **state)
{
    (void)state;
    fill();
    struct chaos_plan plan = {.seed = 5, .window = 5000, .starve_percent = 30, .delay_percent = 50, .delay_max_ms = 3};
    chaos_plan(&chaos, &plan);
    for (int round = 0; round < 5; round++) {
        char *got;
        size_t length;
        OK(ophost_put(store, "file", NULL, bytes, sizeof(bytes), NULL, &error));
        OK(ophost_read_all(store, "file", &got, &length, &error));
        assert_int_equal(length, sizeof(bytes));
        assert_memory_equal(got, bytes, length);
        free(got);
    }
}

static void failing_before_has_no_effect(void **state)
{
    (void)state;
    struct chaos_plan plan = {.operations = CHAOS_PUT, .fail_before_percent = 100, .faults_max = 2, .skip = 1};
    chaos_plan(&chaos, &plan);
    orbit_metadata m;
    OK(ophost_put(store, "first", NULL, "x", 1, NULL, &error));
    assert_int_equal(ophost_put(store, "file", NULL, "x", 1, NULL, &error), ORBIT_E_NETWORK);
    assert_true(orbit_error_retriable(&error));
    assert_int_equal(ophost_stat(store, "file", &m, &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(ophost_put(store, "file", NULL, "x", 1, NULL, &error), ORBIT_E_NETWORK);
    OK(ophost_put(store, "file", NULL, "x", 1, NULL, &error));
    assert_int_equal(chaos_count(&chaos.faults), 2);
}

static void failing_after_has_its_effect(void **state)
{
    (void)state;
    struct chaos_plan plan = {
        .operations = CHAOS_PUT | CHAOS_FINISH, .fail_after_percent = 100, .faults_max = 2, .status = ORBIT_E_TIMEOUT};
    chaos_plan(&chaos, &plan);
    orbit_metadata m;
    assert_int_equal(ophost_put(store, "file", NULL, "x", 1, NULL, &error), ORBIT_E_TIMEOUT);
    assert_true(error.flags & ORBIT_ERROR_MAYBE_DONE);
    OK(ophost_stat(store, "file", &m, &error));
    orbit_metadata_release(&m);
    orbit_begin_reply begun;
    OK(ophost_begin(store, "big", NULL, 1, 1, NULL, &begun, &error));
    OK(ophost_part(store, begun.upload, 1, 0, "y", 1, NULL, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 1, 1, NULL, &error), ORBIT_E_TIMEOUT);
    OK(ophost_stat(store, "big", &m, &error));
    orbit_metadata_release(&m);
    OK(ophost_finish(store, begun.upload, 1, 1, NULL, &error)); /* finds that it is there */
    ophost_release(store, begun.upload);
}

static void cut_body_ends_at_the_byte(void **state)
{
    (void)state;
    fill();
    OK(ophost_put(store, "file", NULL, bytes, sizeof(bytes), NULL, &error));
    struct chaos_plan plan = {.operations = CHAOS_READ | CHAOS_PUT, .cut_percent = 100, .cut_at = 123456};
    chaos_plan(&chaos, &plan);
    char *got;
    size_t length;
    assert_int_equal(ophost_read_all(store, "file", &got, &length, &error), ORBIT_E_NETWORK);
    assert_true(orbit_error_retriable(&error));
    assert_int_equal(length, 123456);
    assert_memory_equal(got, bytes, length);
    free(got);
    assert_int_equal(ophost_put(store, "other", NULL, bytes, sizeof(bytes), NULL, &error), ORBIT_E_NETWORK);
    assert_int_equal(chaos_count(&chaos.bytes_written), sizeof(bytes) + 123456);
    orbit_metadata m;
    assert_int_equal(ophost_stat(store, "other", &m, &error), ORBIT_E_NOT_FOUND);
}

static void start_stat(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    static const orbit_stat_request request = {.path = ""};
    ops->stat(self, op, &request, call->ctx);
}

static void hanging_and_late_operations_end_when_cancelled(void **state)
{
    (void)state;
    struct chaos_plan plans[] = {{.hang_percent = 100}, {.delay_percent = 100, .delay_max_ms = 100000, .seed = 3}};
    orbit_metadata m = ORBIT_METADATA_INIT;
    struct ophost_call call = {.start = start_stat, .ctx = &m};
    for (size_t i = 0; i < 2; i++) {
        chaos_plan(&chaos, &plans[i]);
        ophost_start(&call, store);
        ophost_cancel(&call);
        assert_int_equal(ophost_wait(&call, &error), ORBIT_E_CANCELLED);
    }
    assert_int_equal(chaos_count(&chaos.reached), 0);
}

static void lost_replies_leak_nothing(void **state)
{
    (void)state;
    struct chaos_plan plan = {.fail_after_percent = 100};
    OK(ophost_put(store, "file", NULL, "x", 1, NULL, &error));
    chaos_plan(&chaos, &plan);
    orbit_metadata m = ORBIT_METADATA_INIT;
    orbit_begin_reply begun;
    struct ophost_listing listing;
    assert_int_equal(ophost_stat(store, "file", &m, &error), ORBIT_E_NETWORK);
    assert_null(m.storage);
    assert_int_equal(ophost_begin(store, "big", NULL, 1, 1, NULL, &begun, &error), ORBIT_E_NETWORK);
    assert_null(begun.upload);
    assert_int_equal(ophost_list(store, "", NULL, &listing, &error), ORBIT_E_NETWORK);
    char *got;
    assert_int_equal(ophost_read_all(store, "file", &got, NULL, &error), ORBIT_E_NETWORK);
    free(got);
}

/* ---- torture ---------------------------------------------------------------------------------------- */

static const char *torture_settings;

/* One of everything that the profile can do. Returns the first failure. */
static orbit_status do_everything(struct orb_backend *b)
{
    const orbit_pair user[] = {{"a", "b"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata m = ORBIT_METADATA_INIT;
    orbit_begin_reply begun = {0};
    struct ophost_listing listing = {0};
    orbit_copy_request copy = {.from = "d/file", .to = "d/copy"};
    char *got = NULL, names[100];
    size_t length;
    bool files = b->caps.hierarchical;
    orbit_status status;
    options.content_type = "t";
    options.metadata = user;
    options.metadata_count = files ? 0 : 1;
#define DO(call)               \
    if ((status = (call)) < 0) \
    goto out
    DO(ophost_put(b, "d/file", &options, "hello", 5, NULL, &error));
    DO(ophost_put(b, "d/file", &options, "hello again", 11, NULL, &error));
    DO(ophost_stat(b, "d/file", &m, &error));
    DO(ophost_read_all(b, "d/file", &got, NULL, &error));
    DO(ophost_begin(b, "e/big", &options, 8, 4, NULL, &begun, &error));
    DO(ophost_part(b, begun.upload, 1, 0, "aaaa", 4, NULL, &error));
    DO(ophost_part(b, begun.upload, 2, 4, "bbbb", 4, NULL, &error));
    DO(ophost_finish(b, begun.upload, 8, 2, NULL, &error));
    DO(ophost_mkdir(b, "made/here", true, &error));
    DO(ophost_copy(b, &copy, NULL, &error));
    DO(ophost_rename(b, "d/copy", "d/renamed", true, &error));
    DO(ophost_list(b, "d", NULL, &listing, &error));
    DO(ophost_remove(b, "d/renamed", false, true, &error));
    if (files) {
        DO(ophost_symlink(b, "file", "d/link", &error));
        DO(ophost_xattr_set(b, "d/file", "user.a", "x", 1, &error));
        DO(ophost_xattr_list(b, "d/file", names, sizeof(names), &length, &error));
        DO(ophost_remove(b, "d/link", false, true, &error));
    }
out:
    orb_mem_fail_at(0);
    if (begun.upload) {
        ophost_abort(b, begun.upload, NULL);
        ophost_release(b, begun.upload);
    }
    orbit_metadata_release(&m);
    ophost_listing_release(&listing);
    free(got);
    return status;
}

/* Whatever failed, the store is sound: everything works when memory is back, and nothing is left charged. */
static void every_failed_allocation_is_survived(void **state)
{
    torture_settings = *state;
    ophost_open(&host, 0);
    orbit_status status = ORBIT_E_MEMORY;
    uint64_t n = 0;
    while (status < 0) {
        orb_mem_fail_at(++n);
        struct orb_backend *b = ophost_backend(&host, &orb_mem_ops, "", "", NULL, torture_settings, NULL, &error);
        if (!b) {
            assert_int_equal(error.status, ORBIT_E_MEMORY);
            continue;
        }
        status = do_everything(b); /* disarms */
        if (status < 0) {
            assert_int_equal(status, ORBIT_E_MEMORY);
            assert_int_equal(do_everything(b), ORBIT_OK);
        }
        orbit_space_reply space;
        for (int i = 0; i < 3; i++)
            OK(ophost_remove(b, ((const char *const[]){"d/file", "e/big", "d/copy"})[i], false, true, &error));
        OK(ophost_space(b, "", &space, &error));
        assert_int_equal(space.free_bytes, space.total_bytes);
        ophost_backend_close(b);
        assert_true(n < 1000);
    }
    assert_true(n > 30);
    ophost_close(&host);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)
    const struct CMUnitTest tests[] = {
        WITH_STORE(everything_passes_through_an_empty_plan),
        WITH_STORE(small_windows_and_starving_change_no_byte),
        WITH_STORE(failing_before_has_no_effect),
        WITH_STORE(failing_after_has_its_effect),
        WITH_STORE(cut_body_ends_at_the_byte),
        WITH_STORE(hanging_and_late_operations_end_when_cancelled),
        WITH_STORE(lost_replies_leak_nothing),
        cmocka_unit_test_prestate(every_failed_allocation_is_survived, (char[]){"profile=object&part_min=1"}),
        cmocka_unit_test_prestate(every_failed_allocation_is_survived, (char[]){"profile=files"}),
        cmocka_unit_test_prestate(every_failed_allocation_is_survived, (char[]){"profile=sequential"}),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
