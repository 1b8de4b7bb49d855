/* SPDX-License-Identifier: Apache-2.0
 * What single calls promise: stat, mkdir, remove, rename, copy, metadata, and what a store cannot do. */
#include "contract.h"

#include <stdio.h>

static orbit_call_options recursively(void)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.recursive = true;
    return options;
}

static void stat_tells_files_directories_and_nothing(void **state)
{
    (void)state;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    put_text(at("dir/file"), "12345");
    MUST(orbit_stat(contract.backend, at("dir/file"), NULL, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_FILE);
    assert_true(metadata.fields & ORBIT_HAS_SIZE);
    assert_int_equal(metadata.size, 5);
    assert_true(metadata.fields & ORBIT_HAS_MTIME);
    orbit_metadata_release(&metadata);
    MUST(orbit_stat(contract.backend, at("dir"), NULL, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_DIRECTORY);
    orbit_metadata_release(&metadata);
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_stat(contract.backend, at("missing"), NULL, &metadata, error));
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_stat(contract.backend, at("dir/missing"), NULL, &metadata, error));
    assert_true(exists(at("dir/file")));
    assert_true(exists(at("dir")));
    assert_false(exists(at("di")));
    orbit_metadata_release(NULL);
}

static void error_names_the_path(void **state)
{
    (void)state;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error told = {0};
    assert_int_equal(orbit_stat(contract.backend, at("no-such-thing"), NULL, &metadata, &told), ORBIT_E_NOT_FOUND);
    assert_int_equal(told.status, ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(told.message, "no-such-thing"));
    assert_false(orbit_error_retriable(&told));
}

static void mkdir_makes_one_directory_or_the_whole_path(void **state)
{
    (void)state;
    orbit_call_options parents = recursively();
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    MUST(orbit_mkdir(contract.backend, contract.scope, &parents, error));
    MUST(orbit_mkdir(contract.backend, at("one"), NULL, error));
    MUST(orbit_stat(contract.backend, at("one"), NULL, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_DIRECTORY);
    orbit_metadata_release(&metadata);
    MUST(orbit_mkdir(contract.backend, at("x/y/z"), &parents, error));
    MUST(orbit_mkdir(contract.backend, at("x/y/z"), &parents, error)); /* there already: fine */
    MUST(orbit_stat(contract.backend, at("x/y/z"), NULL, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_DIRECTORY);
    orbit_metadata_release(&metadata);
    if (contract.kind->object)
        return;
    MUST_FAIL(ORBIT_E_EXISTS, orbit_mkdir(contract.backend, at("one"), NULL, error));
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_mkdir(contract.backend, at("p/q"), NULL, error));
    put_text(at("file"), "x");
    MUST_FAIL(ORBIT_E_EXISTS, orbit_mkdir(contract.backend, at("file"), NULL, error));
}

static void remove_takes_away_files_and_empty_directories(void **state)
{
    (void)state;
    put_text(at("dir/file"), "x");
    if (!contract.kind->object)
        MUST_FAIL(ORBIT_E_NOT_EMPTY, orbit_remove(contract.backend, at("dir"), NULL, error));
    MUST(orbit_remove(contract.backend, at("dir/file"), NULL, error));
    assert_false(exists(at("dir/file")));
    if (!contract.kind->object) {
        MUST(orbit_remove(contract.backend, at("dir"), NULL, error));
        assert_false(exists(at("dir")));
        MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_remove(contract.backend, at("dir"), NULL, error));
    } else {
        MUST(orbit_remove(contract.backend, at("never-there"), NULL, error)); /* as the service has it */
    }
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.missing_ok = true;
    MUST(orbit_remove(contract.backend, at("never-there"), &options, error));
}

static void recursive_remove_takes_the_tree_and_nothing_else(void **state)
{
    (void)state;
    orbit_call_options options = recursively();
    char name[64];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "tree/%d/%d/file%d", i % 3, i % 5, i);
        put_text(at(name), "x");
    }
    put_text(at("tree/.hidden/x"), "x");
    put_text(at("treehouse"), "stays");
    put_text(at("tre"), "stays too");
    MUST(orbit_remove(contract.backend, at("tree"), &options, error));
    assert_false(exists(at("tree")));
    check_text(at("treehouse"), "stays");
    check_text(at("tre"), "stays too");
    options.missing_ok = true;
    MUST(orbit_remove(contract.backend, at("tree"), &options, error));
    MUST(orbit_remove(contract.backend, at("treehouse"), &options, error)); /* of a file: the file */
    assert_false(exists(at("treehouse")));
}

static void rename_moves_and_replaces(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 5;
    uint8_t *bytes = make_bytes(length, 1);
    put(at("from"), bytes, length);
    MUST(orbit_rename(contract.backend, at("from"), at("to"), true, NULL, error));
    assert_false(exists(at("from")));
    check_bytes(at("to"), bytes, length);
    put_text(at("other"), "other");
    MUST(orbit_rename(contract.backend, at("other"), at("to"), true, NULL, error));
    assert_false(exists(at("other")));
    check_text(at("to"), "other");
    put_text(at("kept"), "kept");
    MUST_FAIL(ORBIT_E_EXISTS, orbit_rename(contract.backend, at("to"), at("kept"), false, NULL, error));
    check_text(at("kept"), "kept");
    check_text(at("to"), "other");
    MUST(orbit_rename(contract.backend, at("to"), at("new"), false, NULL, error));
    check_text(at("new"), "other");
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_rename(contract.backend, at("missing"), at("x"), true, NULL, error));
    MUST(orbit_rename(contract.backend, at("new"), at("new"), true, NULL, error)); /* onto itself: nothing lost */
    check_text(at("new"), "other");
    free(bytes);
}

static void copy_within_the_store_makes_an_equal_object(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 7;
    uint8_t *bytes = make_bytes(length, 2);
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    put(at("from"), bytes, length);
    MUST(orbit_copy(contract.backend, at("from"), contract.backend, at("sub/to"), NULL, &result, error));
    assert_int_equal(result.bytes, length);
    orbit_write_result_release(&result);
    check_bytes(at("sub/to"), bytes, length);
    check_bytes(at("from"), bytes, length);
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.no_server_copy = true;
    MUST(orbit_copy(contract.backend, at("from"), contract.backend, at("through"), &options, NULL, error));
    check_bytes(at("through"), bytes, length);
    put(at("empty"), "", 0);
    MUST(orbit_copy(contract.backend, at("empty"), contract.backend, at("empty2"), NULL, NULL, error));
    check_bytes(at("empty2"), "", 0);
    MUST_FAIL(ORBIT_E_NOT_FOUND,
              orbit_copy(contract.backend, at("missing"), contract.backend, at("to2"), NULL, NULL, error));
    assert_false(exists(at("to2")));
    free(bytes);
}

static void copy_that_must_not_overwrite_does_not(void **state)
{
    (void)state;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    write.overwrite = false;
    options.write = &write;
    put_text(at("from"), "new");
    put_text(at("to"), "old");
    MUST_FAIL(ORBIT_E_EXISTS,
              orbit_copy(contract.backend, at("from"), contract.backend, at("to"), &options, NULL, error));
    check_text(at("to"), "old");
    MUST(orbit_copy(contract.backend, at("from"), contract.backend, at("to3"), &options, NULL, error));
    check_text(at("to3"), "new");
}

static void copy_between_two_stores_goes_both_ways(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 7;
    uint8_t *bytes = make_bytes(length, 3);
    orbit_backend *other = NULL;
    MUST(orbit_open(&other, contract.client, "mem://elsewhere", NULL, error));
    put(at("here"), bytes, length);
    MUST(orbit_copy(contract.backend, at("here"), other, "there", NULL, NULL, error));
    MUST(orbit_copy(other, "there", contract.backend, at("back"), NULL, NULL, error));
    check_bytes(at("back"), bytes, length);
    put(at("nothing"), "", 0);
    MUST(orbit_copy(contract.backend, at("nothing"), other, "nothing", NULL, NULL, error));
    MUST(orbit_copy(other, "nothing", contract.backend, at("nothing2"), NULL, NULL, error));
    check_bytes(at("nothing2"), "", 0);
    orbit_backend_close(other);
    free(bytes);
}

static void modes_and_times_are_set_where_the_store_has_them(void **state)
{
    (void)state;
    orbit_metadata change = ORBIT_METADATA_INIT, now = ORBIT_METADATA_INIT;
    change.fields = ORBIT_HAS_MODE | ORBIT_HAS_MTIME;
    change.mode = 0640;
    change.mtime_ns = INT64_C(1600000000123456789);
    put_text(at("dressed"), "bytes");
    orbit_error told = {0};
    orbit_status status = orbit_set_metadata(contract.backend, at("dressed"), &change, NULL, &told);
    if (contract.kind->object) { /* an object has no mode of its own */
        assert_true(status == ORBIT_E_UNSUPPORTED || status == ORBIT_OK);
    } else {
        must_be(ORBIT_OK, status, &told, "orbit_set_metadata", __FILE__, __LINE__);
        MUST(orbit_stat(contract.backend, at("dressed"), NULL, &now, error));
        assert_int_equal(now.mode, 0640);
        if (contract.kind->whole_seconds)
            change.mtime_ns -= change.mtime_ns % 1000000000;
        assert_true(now.mtime_ns == change.mtime_ns);
        orbit_metadata_release(&now);
    }
    check_text(at("dressed"), "bytes");
    if (contract.kind->object)
        return;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.set = ORBIT_HAS_MODE | ORBIT_HAS_MTIME;
    options.mode = 0600;
    options.mtime_ns = INT64_C(1500000000000000000);
    MUST(orbit_write(contract.backend, at("born"), orbit_source_memory("x", 1), 1, &options, NULL, error));
    MUST(orbit_stat(contract.backend, at("born"), NULL, &now, error));
    assert_int_equal(now.mode, 0600);
    assert_true(now.mtime_ns == options.mtime_ns);
    orbit_metadata_release(&now);
}

static const char *user_value(const orbit_metadata *metadata, const char *name)
{
    for (size_t i = 0; i < metadata->user_count; i++)
        if (strcmp(metadata->user[i].name, name) == 0)
            return metadata->user[i].value;
    return NULL;
}

static void user_metadata_comes_back_on_object_stores(void **state)
{
    (void)state;
    static const orbit_pair pairs[] = {{"color", "blue green"}, {"number", "42"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    size_t lengths[] = {10, 2 * (size_t)contract.chunk + 1};
    if (!contract.kind->object)
        return;
    options.metadata = pairs;
    options.metadata_count = COUNT_OF(pairs);
    options.content_type = "text/x-orbit";
    options.cache_control = "max-age=60";
    options.content_disposition = "attachment; filename=\"x\"";
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        uint8_t *bytes = make_bytes(lengths[i], 1);
        MUST(orbit_write(contract.backend, at("labelled"), orbit_source_memory(bytes, lengths[i]), lengths[i], &options,
                         NULL, error));
        MUST(orbit_stat(contract.backend, at("labelled"), NULL, &metadata, error));
        assert_int_equal(metadata.user_count, 2);
        assert_string_equal(user_value(&metadata, "color"), "blue green");
        assert_string_equal(user_value(&metadata, "number"), "42");
        assert_string_equal(metadata.content_type, "text/x-orbit");
        assert_string_equal(metadata.cache_control, "max-age=60");
        assert_string_equal(metadata.content_disposition, "attachment; filename=\"x\"");
        assert_non_null(metadata.etag);
        orbit_metadata_release(&metadata);
        free(bytes);
    }
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    copy.preserve = true;
    MUST(orbit_copy(contract.backend, at("labelled"), contract.backend, at("labelled2"), &copy, NULL, error));
    MUST(orbit_stat(contract.backend, at("labelled2"), NULL, &metadata, error));
    assert_int_equal(metadata.user_count, 2);
    assert_string_equal(user_value(&metadata, "color"), "blue green");
    orbit_metadata_release(&metadata);
}

static void copy_of_more_than_one_request_carries_is_the_stores_work(void **state)
{
    (void)state;
    static const orbit_pair limit = {"copy_max", "5MiB"}, pairs[] = {{"color", "blue green"}};
    const size_t length = (16u << 20) + 7;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_backend *limited = NULL;
    if (!contract.kind->object)
        return;
    uint8_t *bytes = make_bytes(length, 4);
    options.metadata = pairs;
    options.metadata_count = COUNT_OF(pairs);
    options.content_type = "text/x-orbit";
    MUST(orbit_write(contract.backend, at("from"), orbit_source_memory(bytes, length), length, &options, NULL, error));
    MUST(contract_open_with(&limited, contract.client, &limit, 1, error));
    copy.preserve = true;
    MUST(orbit_copy(limited, at("from"), limited, at("to"), &copy, &result, error));
    assert_int_equal(result.bytes, length);
    assert_int_equal(result.parts, 0); /* no byte came here */
    assert_true(result.multipart);
    orbit_write_result_release(&result);
    check_bytes(at("to"), bytes, length);
    MUST(orbit_rename(limited, at("to"), at("renamed"), true, NULL, error));
    assert_false(exists(at("to")));
    check_bytes(at("renamed"), bytes, length);
    MUST(orbit_stat(limited, at("renamed"), NULL, &metadata, error));
    assert_string_equal(metadata.content_type, "text/x-orbit");
    assert_int_equal(metadata.user_count, 1);
    assert_string_equal(user_value(&metadata, "color"), "blue green");
    orbit_metadata_release(&metadata);
    orbit_backend_close(limited);
    free(bytes);
}

static void symlinks_are_made_read_and_removed_where_supported(void **state)
{
    (void)state;
    char target[1200], expected[1200] = "target";
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    if (contract.kind->links_whole)
        snprintf(expected, sizeof(expected), "%s/%s", contract.remote, at("target"));
    put_text(at("target"), "pointed at");
    orbit_error told = {0};
    orbit_status status = orbit_symlink(contract.backend, "target", at("link"), NULL, &told);
    if (!supports(ORBIT_OPERATION_SYMLINK)) {
        assert_int_equal(status, ORBIT_E_UNSUPPORTED);
        return;
    }
    must_be(ORBIT_OK, status, &told, "orbit_symlink", __FILE__, __LINE__);
    MUST(orbit_readlink(contract.backend, at("link"), target, sizeof(target), NULL, error));
    assert_string_equal(target, expected);
    MUST(orbit_stat(contract.backend, at("link"), NULL, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_SYMLINK);
    orbit_metadata_release(&metadata);
    orbit_call_options follow = ORBIT_CALL_OPTIONS_INIT;
    follow.follow_symlinks = true;
    MUST(orbit_stat(contract.backend, at("link"), &follow, &metadata, error));
    assert_int_equal(metadata.kind, ORBIT_KIND_FILE);
    orbit_metadata_release(&metadata);
    MUST(orbit_remove(contract.backend, at("link"), NULL, error));
    check_text(at("target"), "pointed at");
}

static void writing_to_a_symlink_replaces_what_it_leads_to(void **state)
{
    (void)state;
    char target[1200];
    if (!supports(ORBIT_OPERATION_SYMLINK))
        return;
    put_text(at("target"), "old");
    MUST(orbit_symlink(contract.backend, "target", at("link"), NULL, error));
    put_text(at("link"), "new and longer");
    check_text(at("target"), "new and longer");
    MUST(orbit_readlink(contract.backend, at("link"), target, sizeof(target), NULL, error));
}

static void recursive_remove_of_a_symlink_leaves_what_it_leads_to(void **state)
{
    (void)state;
    orbit_call_options options = recursively();
    if (!supports(ORBIT_OPERATION_SYMLINK))
        return;
    put_text(at("dir/file"), "stays");
    put_text(at("other/file"), "goes");
    MUST(orbit_symlink(contract.backend, "dir", at("link"), NULL, error));
    MUST(orbit_symlink(contract.backend, "../dir", at("other/link"), NULL, error));
    MUST(orbit_remove(contract.backend, at("link"), &options, error));
    MUST(orbit_remove(contract.backend, at("other"), &options, error));
    assert_false(exists(at("link")));
    assert_false(exists(at("other")));
    check_text(at("dir/file"), "stays");
}

static void extended_attributes_come_back_where_supported(void **state)
{
    (void)state;
    char value[64], names[256];
    size_t length = 0;
    put_text(at("file"), "x");
    orbit_error told = {0};
    orbit_status status = orbit_xattr_set(contract.backend, at("file"), "user.orbit", "blue", 4, &told);
    if (!supports(ORBIT_OPERATION_XATTR)) {
        assert_int_equal(status, ORBIT_E_UNSUPPORTED);
        return;
    }
    if (status == ORBIT_E_UNSUPPORTED)
        return; /* this file system has none */
    must_be(ORBIT_OK, status, &told, "orbit_xattr_set", __FILE__, __LINE__);
    MUST(orbit_xattr_get(contract.backend, at("file"), "user.orbit", value, sizeof(value), &length, error));
    assert_int_equal(length, 4);
    assert_memory_equal(value, "blue", 4);
    MUST_FAIL(ORBIT_E_LIMIT, orbit_xattr_get(contract.backend, at("file"), "user.orbit", value, 2, &length, error));
    assert_int_equal(length, 4);
    MUST(orbit_xattr_list(contract.backend, at("file"), names, sizeof(names), &length, error));
    assert_non_null(memmem(names, length, "user.orbit", 11));
    MUST(orbit_xattr_remove(contract.backend, at("file"), "user.orbit", error));
    MUST_FAIL(ORBIT_E_NOT_FOUND,
              orbit_xattr_get(contract.backend, at("file"), "user.orbit", value, sizeof(value), &length, error));
}

static void what_is_not_supported_says_which_operation_of_which_backend(void **state)
{
    (void)state;
    orbit_error told = {0};
    uint64_t free_bytes, total;
    char buffer[8];
    const char *name = orbit_backend_name(contract.backend);
    if (!supports(ORBIT_OPERATION_SYMLINK)) {
        assert_int_equal(orbit_symlink(contract.backend, "a", at("b"), NULL, &told), ORBIT_E_UNSUPPORTED);
        assert_non_null(strstr(told.message, name));
        assert_non_null(strstr(told.message, "symbolic link"));
        assert_int_equal(orbit_readlink(contract.backend, at("b"), buffer, sizeof(buffer), NULL, &told),
                         ORBIT_E_UNSUPPORTED);
    }
    if (!supports(ORBIT_OPERATION_SPACE)) {
        assert_int_equal(orbit_space(contract.backend, "", &free_bytes, &total, &told), ORBIT_E_UNSUPPORTED);
        assert_non_null(strstr(told.message, name));
    } else if (contract.kind->no_space) {
        assert_int_equal(orbit_space(contract.backend, "", &free_bytes, &total, &told), ORBIT_E_UNSUPPORTED);
        assert_non_null(strstr(told.message, "statvfs@openssh.com"));
    } else {
        MUST(orbit_space(contract.backend, "", &free_bytes, &total, error));
        assert_true(free_bytes <= total);
    }
    if (!supports(ORBIT_OPERATION_CONTAINER)) {
        assert_int_equal(orbit_container_create(contract.backend, NULL, &told), ORBIT_E_UNSUPPORTED);
        assert_non_null(strstr(told.message, name));
        assert_int_equal(orbit_container_remove(contract.backend, NULL, &told), ORBIT_E_UNSUPPORTED);
    }
}

static void tags_are_set_told_and_removed(void **state)
{
    (void)state;
    char tagging[1024];
    put_text(at("tagged"), "bytes");
    if (!supports(ORBIT_OPERATION_TAGS)) {
        MUST_FAIL(ORBIT_E_UNSUPPORTED,
                  orbit_tags_get(contract.backend, at("tagged"), tagging, sizeof(tagging), NULL, error));
        MUST_FAIL(ORBIT_E_UNSUPPORTED, orbit_tags_set(contract.backend, at("tagged"), "a=b", NULL, error));
        return;
    }
    MUST(orbit_tags_get(contract.backend, at("tagged"), tagging, sizeof(tagging), NULL, error));
    assert_string_equal(tagging, "");
    MUST(orbit_tags_set(contract.backend, at("tagged"), "old=1", NULL, error));
    const char *odd = contract.kind->plain_tags ? "b%20c=%2F%2B%3D" : "b%20c=%3C%26%3E";
    MUST(orbit_tags_set(contract.backend, at("tagged"), odd, NULL, error));
    MUST(orbit_tags_get(contract.backend, at("tagged"), tagging, sizeof(tagging), NULL, error));
    assert_string_equal(tagging, odd);
    MUST_FAIL(ORBIT_E_LIMIT, orbit_tags_get(contract.backend, at("tagged"), tagging, 5, NULL, error));
    assert_string_equal(tagging, "b%20");
    MUST(orbit_tags_set(contract.backend, at("tagged"), "", NULL, error));
    MUST(orbit_tags_get(contract.backend, at("tagged"), tagging, sizeof(tagging), NULL, error));
    assert_string_equal(tagging, "");
    MUST_FAIL(ORBIT_E_CONFIG, orbit_tags_set(contract.backend, at("tagged"), "a=%zz", NULL, error));
    MUST_FAIL(ORBIT_E_NOT_FOUND,
              orbit_tags_get(contract.backend, at("nothing"), tagging, sizeof(tagging), NULL, error));
    check_text(at("tagged"), "bytes");
}

const struct CMUnitTest manage_tests[] = {
    CONTRACT_TEST(stat_tells_files_directories_and_nothing),
    CONTRACT_TEST(error_names_the_path),
    CONTRACT_TEST(mkdir_makes_one_directory_or_the_whole_path),
    CONTRACT_TEST(remove_takes_away_files_and_empty_directories),
    CONTRACT_TEST(recursive_remove_takes_the_tree_and_nothing_else),
    CONTRACT_TEST(rename_moves_and_replaces),
    CONTRACT_TEST(copy_within_the_store_makes_an_equal_object),
    CONTRACT_TEST(copy_that_must_not_overwrite_does_not),
    CONTRACT_TEST(copy_of_more_than_one_request_carries_is_the_stores_work),
    CONTRACT_TEST(copy_between_two_stores_goes_both_ways),
    CONTRACT_TEST(modes_and_times_are_set_where_the_store_has_them),
    CONTRACT_TEST(user_metadata_comes_back_on_object_stores),
    CONTRACT_TEST(symlinks_are_made_read_and_removed_where_supported),
    CONTRACT_TEST(writing_to_a_symlink_replaces_what_it_leads_to),
    CONTRACT_TEST(recursive_remove_of_a_symlink_leaves_what_it_leads_to),
    CONTRACT_TEST(extended_attributes_come_back_where_supported),
    CONTRACT_TEST(what_is_not_supported_says_which_operation_of_which_backend),
    CONTRACT_TEST(tags_are_set_told_and_removed),
};
const size_t manage_test_count = COUNT_OF(manage_tests);
