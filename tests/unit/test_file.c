/* SPDX-License-Identifier: Apache-2.0
 * Single-shot calls: what they hand over, what they refuse; removing trees; renaming by copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "script.h"

struct opened {
    struct script script;
    orbit_client *client;
    orbit_backend *backend;
    orbit_backend *poor; /* without rename, xattrs, … */
};

static int setup(void **state)
{
    struct opened *opened = calloc(1, sizeof(*opened));
    orbit_error error;
    script_open(&opened->script, NULL, NULL, &opened->client, &opened->backend);
    assert_int_equal(orbit_open(&opened->poor, opened->client, "poor://x", NULL, &error), ORBIT_OK);
    *state = opened;
    return 0;
}

static int teardown(void **state)
{
    struct opened *opened = *state;
    orbit_backend_close(opened->backend);
    orbit_backend_close(opened->poor);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(opened->client, &stats);
    assert_int_equal(stats.memory_used_bytes, 0);
    orbit_client_close(opened->client);
    assert_int_equal(opened->script.list_cursors, 0);
    script_release(&opened->script);
    free(opened);
    return 0;
}

/* Reopens with other capabilities. */
static void become(struct opened *opened, orbit_capabilities capabilities)
{
    orbit_error error;
    orbit_backend_close(opened->backend);
    orbit_backend_close(opened->poor);
    opened->script.capabilities = capabilities;
    assert_int_equal(orbit_open(&opened->backend, opened->client, "script://x", NULL, &error), ORBIT_OK);
    assert_int_equal(orbit_open(&opened->poor, opened->client, "poor://x", NULL, &error), ORBIT_OK);
}

/* ---- one operation each ---------------------------------------------------------------------------- */

static void what_a_store_cannot_do_is_named(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    size_t length;
    assert_int_equal(orbit_xattr_list(opened->poor, "x", NULL, 0, &length, &error), ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "list extended attributes"));
    assert_non_null(strstr(error.message, "poor://x"));
    assert_int_equal(orbit_mkdir(opened->poor, "x", NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_int_equal(orbit_symlink(opened->poor, "t", "x", NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_int_equal(orbit_space(opened->poor, "", NULL, NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_int_equal(orbit_container_create(opened->poor, NULL, &error), ORBIT_E_UNSUPPORTED);
}

static void attributes_and_links_come_with_their_lengths(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    char value[16];
    size_t length = 99;
    assert_int_equal(orbit_xattr_get(opened->backend, "x", "user.a", value, sizeof(value), &length, &error), ORBIT_OK);
    assert_int_equal(length, 5);
    assert_memory_equal(value, "value", 5);
    assert_int_equal(orbit_xattr_get(opened->backend, "x", "user.a", value, 2, &length, &error), ORBIT_E_LIMIT);
    assert_int_equal(length, 5);
    assert_int_equal(orbit_xattr_get(opened->backend, "x", "user.a", NULL, 0, &length, &error), ORBIT_E_LIMIT);
    assert_int_equal(orbit_xattr_get(opened->backend, "x", NULL, value, 2, &length, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_xattr_set(opened->backend, "x", "user.a", "v", 1, &error), ORBIT_OK);
    assert_int_equal(orbit_xattr_set(opened->backend, "x", "user.a", NULL, 0, &error), ORBIT_OK);
    assert_int_equal(orbit_xattr_remove(opened->backend, "x", "user.a", &error), ORBIT_OK);

    char target[7];
    assert_int_equal(orbit_readlink(opened->backend, "x", target, sizeof(target), NULL, &error), ORBIT_OK);
    assert_string_equal(target, "target");
    assert_int_equal(orbit_readlink(opened->backend, "x", target, 6, NULL, &error), ORBIT_E_LIMIT);
    assert_int_equal(orbit_readlink(opened->backend, "x", target, 0, NULL, &error), ORBIT_E_MISUSE);
    uint64_t free_bytes = 0, total_bytes = 0;
    assert_int_equal(orbit_space(opened->backend, "", &free_bytes, &total_bytes, &error), ORBIT_OK);
    assert_int_equal(free_bytes, 10);
    assert_int_equal(total_bytes, 20);
    assert_int_equal(orbit_space(opened->backend, "", NULL, NULL, &error), ORBIT_OK);
}

static void a_missing_path_does_not_exist(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    bool exists = true;
    script_add(&opened->script, "a");
    assert_int_equal(orbit_exists(opened->backend, "b", NULL, &exists, &error), ORBIT_OK);
    assert_false(exists);
    assert_int_equal(orbit_exists(opened->backend, "a", NULL, &exists, &error), ORBIT_OK);
    assert_true(exists);
    orbit_metadata metadata;
    memset(&metadata, 0xff, sizeof(metadata));
    assert_int_equal(orbit_stat(opened->backend, "b", NULL, &metadata, &error), ORBIT_E_NOT_FOUND);
    orbit_metadata_release(&metadata); /* releasable all the same */
}

/* ---- removing -------------------------------------------------------------------------------------- */

static orbit_call_options recursive(void)
{
    orbit_call_options options;
    orbit_call_options_init(&options);
    options.recursive = true;
    return options;
}

static void one_path_is_removed_or_its_error_told(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    script_add(&opened->script, "a");
    script_add(&opened->script, "b");
    opened->script.stuck = "b";
    opened->script.flaky = "a"; /* the first time */
    assert_int_equal(orbit_remove(opened->backend, "a", NULL, &error), ORBIT_OK);
    assert_int_equal(opened->script.removes, 2);
    assert_false(script_has(&opened->script, "a"));
    assert_int_equal(orbit_remove(opened->backend, "b", NULL, &error), ORBIT_E_PERMISSION);
    assert_string_equal(error.message, "'b' is stuck");
    assert_int_equal(orbit_remove(opened->backend, "c", NULL, &error), ORBIT_E_NOT_FOUND);
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.missing_ok = true;
    assert_int_equal(orbit_remove(opened->backend, "c", &options, &error), ORBIT_OK);
}

static void add_tree(struct script *script)
{
    char name[64];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "t/file-%02u", i);
        script_add(script, name);
        snprintf(name, sizeof(name), "t/d%u/e/file-%02u", i % 5, i);
        script_add(script, name);
    }
    script_add(script, "t/empty/");
    script_add(script, "tt/other");
    script_add(script, "t-other");
    script_add(script, "z");
}

static void a_tree_of_directories_goes_from_the_leaves_up(void **state)
{
    struct opened *opened = *state;
    orbit_call_options options = recursive();
    orbit_error error;
    become(opened, (orbit_capabilities){.hierarchical = true, .remove_batch = 3});
    add_tree(&opened->script);
    opened->script.flaky = "t/d3/e/file-03";
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_OK);
    assert_int_equal(opened->script.name_count, 3);
    assert_true(script_has(&opened->script, "tt/other"));
    assert_true(script_has(&opened->script, "t-other"));
    assert_true(opened->script.largest_batch <= 3);
    /* A file is a tree, too; nothing is none. */
    assert_int_equal(orbit_remove(opened->backend, "z", &options, &error), ORBIT_OK);
    assert_int_equal(opened->script.name_count, 2);
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_E_NOT_FOUND);
    options.missing_ok = true;
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_OK);
}

static void an_entry_that_stays_is_counted_and_the_rest_goes(void **state)
{
    struct opened *opened = *state;
    orbit_call_options options = recursive();
    orbit_error error;
    become(opened, (orbit_capabilities){.hierarchical = true, .remove_batch = 1});
    add_tree(&opened->script);
    opened->script.stuck = "t/d3/e/file-03";
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_E_PERMISSION);
    assert_non_null(strstr(error.message, "1 of "));
    assert_non_null(strstr(error.message, "'t/d3/e/file-03' is stuck"));
    assert_int_equal(opened->script.name_count, 4);
}

static void an_object_tree_goes_in_batches(void **state)
{
    struct opened *opened = *state;
    orbit_call_options options = recursive();
    orbit_error error;
    become(opened, (orbit_capabilities){.deep_list = true, .ordered_list = true, .remove_batch = 1000});
    add_tree(&opened->script);
    script_add(&opened->script, "t/");
    script_add(&opened->script, "t");
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_OK);
    assert_int_equal(opened->script.name_count, 3);
    assert_true(opened->script.largest_batch > 50);
    /* "t/" is what lies below, not the object "t". */
    script_release(&opened->script);
    add_tree(&opened->script);
    script_add(&opened->script, "t");
    assert_int_equal(orbit_remove(opened->backend, "t/", &options, &error), ORBIT_OK);
    assert_true(script_has(&opened->script, "t"));
    assert_false(script_has(&opened->script, "t/file-00"));
    assert_int_equal(orbit_remove(opened->backend, "", &options, &error), ORBIT_OK);
    assert_int_equal(opened->script.name_count, 0);
    assert_int_equal(orbit_remove(opened->backend, "nothing", &options, &error), ORBIT_OK);
}

static void removing_a_tree_is_cancelled_at_any_moment(void **state)
{
    struct opened *opened = *state;
    orbit_call_options options = recursive();
    orbit_error error;
    become(opened, (orbit_capabilities){.hierarchical = true, .remove_batch = 4});
    for (size_t moment = 0; moment < 30; moment++) {
        script_release(&opened->script);
        add_tree(&opened->script);
        opened->script.attempts = 0;
        memset(opened->script.steps, 0, sizeof(opened->script.steps));
        opened->script.steps[moment].hang = true;
        opened->script.step_count = moment + 1;
        options.timeout_ms = 10;
        assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_E_TIMEOUT);
        assert_int_equal(opened->script.list_cursors, 0);
    }
}

static void a_listing_that_fails_ends_the_removal(void **state)
{
    struct opened *opened = *state;
    orbit_call_options options = recursive();
    orbit_error error;
    become(opened, (orbit_capabilities){.hierarchical = true});
    add_tree(&opened->script);
    opened->script.steps[1] = (struct script_step){ORBIT_E_PERMISSION, 0, 0, false}; /* after the stat */
    opened->script.step_count = 2;
    assert_int_equal(orbit_remove(opened->backend, "t", &options, &error), ORBIT_E_PERMISSION);
    assert_string_equal(error.message, "attempt 2 fails");
    assert_int_equal(opened->script.name_count, 84);
}

/* ---- renaming by copy ------------------------------------------------------------------------------ */

static void a_rename_without_a_rename_copies_and_removes(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    script_add(&opened->script, "a");
    assert_int_equal(orbit_rename(opened->poor, "a", "b", true, NULL, &error), ORBIT_OK);
    assert_string_equal(opened->script.copied_from, "a");
    assert_string_equal(opened->script.copied_to, "b");
    assert_false(script_has(&opened->script, "a"));
    assert_true(script_has(&opened->script, "b"));

    script_add(&opened->script, "c");
    assert_int_equal(orbit_rename(opened->poor, "c", "b", false, NULL, &error), ORBIT_E_EXISTS);
    assert_true(script_has(&opened->script, "c"));
    assert_int_equal(orbit_rename(opened->poor, "nothing", "x", true, NULL, &error), ORBIT_E_NOT_FOUND);
}

static void a_rename_onto_itself_loses_nothing(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    script_add(&opened->script, "a");
    assert_int_equal(orbit_rename(opened->poor, "a", "a", true, NULL, &error), ORBIT_OK);
    assert_true(script_has(&opened->script, "a"));
    assert_int_equal(orbit_rename(opened->poor, "a", "a", false, NULL, &error), ORBIT_E_EXISTS);
    assert_true(script_has(&opened->script, "a"));
}

static void a_rename_says_when_the_source_is_still_there(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    script_add(&opened->script, "a");
    opened->script.stuck = "a";
    assert_int_equal(orbit_rename(opened->poor, "a", "b", true, NULL, &error), ORBIT_E_PERMISSION);
    assert_string_equal(error.message, "'b' was written, but 'a' is still there: 'a' is stuck");
    assert_true(script_has(&opened->script, "b"));
}

static void what_a_copy_cannot_carry_is_refused_before_it_starts(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    become(opened, (orbit_capabilities){.copy_max = 100});
    script_add(&opened->script, "a");
    script_add(&opened->script, "d/x");
    opened->script.size = 101;
    assert_int_equal(orbit_rename(opened->poor, "a", "b", true, NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "101 bytes"));
    assert_int_equal(orbit_rename(opened->poor, "d", "b", true, NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "directory"));
    assert_string_equal(opened->script.copied_from, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_store_cannot_do_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes_and_links_come_with_their_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_path_does_not_exist, setup, teardown),
        cmocka_unit_test_setup_teardown(one_path_is_removed_or_its_error_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tree_of_directories_goes_from_the_leaves_up, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_that_stays_is_counted_and_the_rest_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_object_tree_goes_in_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(removing_a_tree_is_cancelled_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_listing_that_fails_ends_the_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rename_without_a_rename_copies_and_removes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rename_onto_itself_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rename_says_when_the_source_is_still_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_copy_cannot_carry_is_refused_before_it_starts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
