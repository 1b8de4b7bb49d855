/* SPDX-License-Identifier: Apache-2.0
 * What listing promises on every store: every name once, relative to the listed directory, a page at a time. */
#include "contract.h"

#include <stdio.h>

static orbit_list_options recursive(void)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.files_only = true;
    return options;
}

static void directory_lists_its_children_only(void **state)
{
    (void)state;
    put_text(at("top"), "1");
    put_text(at("sub/one"), "22");
    put_text(at("sub/deep/two"), "333");
    put_text(at("subway"), "4444");
    check_listing(contract.scope, NULL, "top", "sub", "subway", NULL);
    check_listing(at("sub"), NULL, "one", "deep", NULL);
    check_listing(at("sub/deep"), NULL, "two", NULL);
}

static void entry_tells_kind_size_and_depth(void **state)
{
    (void)state;
    static struct listing listing;
    orbit_list_options options = recursive();
    put_text(at("file"), "12345");
    put_text(at("dir/file"), "1234567");
    MUST(list_all(&listing, contract.backend, contract.scope, NULL, error));
    assert_int_equal(listing.count, 2);
    assert_string_equal(listing.paths[0], "dir");
    assert_int_equal(listing.kinds[0], ORBIT_KIND_DIRECTORY);
    assert_string_equal(listing.paths[1], "file");
    assert_int_equal(listing.kinds[1], ORBIT_KIND_FILE);
    assert_int_equal(listing.sizes[1], 5);
    assert_int_equal(listing.depths[1], 1);
    listing_free(&listing);
    MUST(list_all(&listing, contract.backend, contract.scope, &options, error));
    assert_int_equal(listing.count, 2);
    assert_string_equal(listing.paths[0], "dir/file");
    assert_int_equal(listing.sizes[0], 7);
    assert_int_equal(listing.depths[0], 2);
    listing_free(&listing);
}

static void recursive_listing_gives_paths_relative_to_the_listed_directory(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    put_text(at("a/b/c/d/e"), "1");
    put_text(at("a/b/x"), "2");
    put_text(at("a/y"), "3");
    put_text(at("ab/z"), "4");
    check_listing(at("a"), &options, "b/c/d/e", "b/x", "y", NULL);
    check_listing(at("a/b"), &options, "c/d/e", "x", NULL);
    check_listing(contract.scope, &options, "a/b/c/d/e", "a/b/x", "a/y", "ab/z", NULL);
}

static void recursive_listing_tells_directories_where_there_are_any(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    options.files_only = false;
    put_text(at("a/b/x"), "2");
    if (contract.kind->object)
        check_listing(contract.scope, &options, "a/b/x", NULL);
    else
        check_listing(contract.scope, &options, "a", "a/b", "a/b/x", NULL);
}

static void max_depth_bounds_a_recursive_listing(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    put_text(at("one"), "1");
    put_text(at("a/two"), "2");
    put_text(at("a/b/three"), "3");
    put_text(at("a/b/c/four"), "4");
    options.max_depth = 1;
    check_listing(contract.scope, &options, "one", NULL);
    options.max_depth = 2;
    check_listing(contract.scope, &options, "one", "a/two", NULL);
    options.max_depth = 3;
    check_listing(contract.scope, &options, "one", "a/two", "a/b/three", NULL);
    options.max_depth = 9;
    check_listing(contract.scope, &options, "one", "a/two", "a/b/three", "a/b/c/four", NULL);
}

static void hidden_names_are_skipped_when_asked(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    put_text(at("seen"), "1");
    put_text(at(".hidden"), "2");
    put_text(at(".dir/below"), "3");
    put_text(at("dir/.inside"), "4");
    put_text(at("dir/seen"), "5");
    check_listing(contract.scope, &options, "seen", ".hidden", ".dir/below", "dir/.inside", "dir/seen", NULL);
    options.include_hidden = false;
    check_listing(contract.scope, &options, "seen", "dir/seen", NULL);
    options.recursive = false;
    options.files_only = false;
    check_listing(contract.scope, &options, "seen", "dir", NULL);
}

static void prefix_filters_paths(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    put_text(at("apple"), "1");
    put_text(at("apricot/x"), "2");
    put_text(at("banana"), "3");
    put_text(at("ap"), "4");
    options.prefix = "ap";
    check_listing(contract.scope, &options, "apple", "apricot/x", "ap", NULL);
    options.prefix = "apricot/";
    check_listing(contract.scope, &options, "apricot/x", NULL);
    options.prefix = "nothing";
    check_listing(contract.scope, &options, NULL);
    options.prefix = "ap";
    options.recursive = false;
    options.files_only = false;
    check_listing(contract.scope, &options, "apple", "apricot", "ap", NULL);
}

static const char long_name[] = "long-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-"
                                "0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-"
                                "0123456789-0123456789-0123456789-0123456789-0123456789-end";

static void odd_names_survive_write_list_stat_read_and_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"a b",
                                        "a+b",
                                        "a%25",
                                        "a#b",
                                        "a?b",
                                        "~",
                                        "\xc3\xa9",
                                        "a&b<c>",
                                        "quo\"te's",
                                        "new\nline",
                                        "tab\there",
                                        "back\\slash",
                                        "a=b;c,d",
                                        "$(x)`y`",
                                        "%",
                                        "%zz",
                                        " lead",
                                        "trail ",
                                        "\xe6\x97\xa5\xe6\x9c\xac",
                                        long_name,
                                        "*",
                                        "[x]",
                                        "..."};
    static struct listing listing;
    size_t count = COUNT_OF(names);
    orbit_list_options options = recursive();
    for (size_t i = 0; i < count; i++)
        put(at(names[i]), names[i], strlen(names[i]));
    if (contract.kind->any_name)
        put_text(at("\xff\xfe raw"), "raw");
    MUST(list_all(&listing, contract.backend, contract.scope, &options, error));
    assert_int_equal(listing.count, count + contract.kind->any_name);
    for (size_t i = 0; i < count; i++) {
        size_t found = 0;
        for (size_t k = 0; k < listing.count; k++)
            found += strcmp(listing.paths[k], names[i]) == 0;
        if (found != 1)
            fail_msg("'%s' is listed %zu times", names[i], found);
    }
    listing_free(&listing);
    for (size_t i = 0; i < count; i++) {
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        check_text(at(names[i]), names[i]);
        MUST(orbit_stat(contract.backend, at(names[i]), NULL, &metadata, error));
        assert_int_equal(metadata.size, strlen(names[i]));
        orbit_metadata_release(&metadata);
        MUST(orbit_remove(contract.backend, at(names[i]), NULL, error));
        assert_false(exists(at(names[i])));
    }
    if (contract.kind->any_name) {
        check_text(at("\xff\xfe raw"), "raw");
        MUST(orbit_remove(contract.backend, at("\xff\xfe raw"), NULL, error));
    }
    check_listing(contract.scope, &options, NULL);
}

static void keys_with_empty_components_are_kept(void **state)
{
    (void)state;
    orbit_list_options options = recursive();
    if (!contract.kind->object || contract.kind->paths)
        return;
    put_text(at("a//b"), "1");
    put_text(at("a/b"), "2");
    put_text(at("/lead"), "3");
    check_text(at("a//b"), "1");
    check_text(at("a/b"), "2");
    check_listing(contract.scope, &options, "a//b", "a/b", "/lead", NULL);
    check_listing(at("a/"), &options, "/b", "b", NULL);
}

static void marker_object_is_a_directory(void **state)
{
    (void)state;
    static struct listing listing;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.recursive = true;
    MUST(orbit_mkdir(contract.backend, at("empty"), &options, error));
    MUST(list_all(&listing, contract.backend, contract.scope, NULL, error));
    assert_int_equal(listing.count, 1);
    assert_string_equal(listing.paths[0], "empty");
    assert_int_equal(listing.kinds[0], ORBIT_KIND_DIRECTORY);
    listing_free(&listing);
    check_listing(at("empty"), NULL, NULL);
    orbit_list_options files = recursive();
    check_listing(contract.scope, &files, NULL);
}

static void listing_of_what_is_not_there_fails_where_there_are_directories(void **state)
{
    (void)state;
    static struct listing listing;
    orbit_error told = {0};
    orbit_status status = list_all(&listing, contract.backend, at("missing"), NULL, &told);
    if (status == ORBIT_OK && contract.kind->object)
        assert_int_equal(listing.count, 0);
    else
        assert_int_equal(status, ORBIT_E_NOT_FOUND);
    listing_free(&listing);
}

static void make_many(const char *directory, unsigned count)
{
    char name[64];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s/%04u", directory, i);
        put_text(at(name), "x");
    }
}

static void listing_of_many_pages_gives_every_entry_once(void **state)
{
    (void)state;
    static struct listing listing;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    make_many("many", 123);
    options.page_entries = 10;
    MUST(list_all(&listing, contract.backend, at("many"), &options, error));
    assert_int_equal(listing.count, 123);
    for (unsigned i = 0; i < 123; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%04u", i);
        assert_string_equal(listing.paths[i], name);
    }
    listing_free(&listing);
}

static void max_entries_ends_the_listing(void **state)
{
    (void)state;
    static struct listing listing;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    make_many("few", 25);
    options.max_entries = 7;
    options.page_entries = 5;
    MUST(list_all(&listing, contract.backend, at("few"), &options, error));
    assert_int_equal(listing.count, 7);
    listing_free(&listing);
    options.max_entries = 25;
    MUST(list_all(&listing, contract.backend, at("few"), &options, error));
    assert_int_equal(listing.count, 25);
    listing_free(&listing);
}

static void listing_closed_early_asks_for_no_more(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    make_many("lazy", 60);
    options.page_entries = 10;
    MUST(orbit_list(&lister, contract.backend, at("lazy"), &options, error));
    MUST(orbit_lister_next(lister, &entry, error));
    assert_true(orbit_lister_pages(lister) <= 3); /* the one in hand, and few ahead */
    orbit_lister_close(lister);
    MUST(orbit_list(&lister, contract.backend, at("lazy"), &options, error));
    orbit_lister_close(lister);
    orbit_lister_close(NULL);
    check_text(at("lazy/0000"), "x");
}

static void two_listers_at_once_do_not_mix(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *one = NULL, *two = NULL;
    orbit_entry entry;
    orbit_status first = ORBIT_OK, second = ORBIT_OK;
    unsigned ones = 0, twos = 0;
    make_many("one", 33);
    put_text(at("two/a"), "1");
    put_text(at("two/b"), "2");
    options.page_entries = 4;
    MUST(orbit_list(&one, contract.backend, at("one"), &options, error));
    MUST(orbit_list(&two, contract.backend, at("two"), &options, error));
    while (first == ORBIT_OK || second == ORBIT_OK) {
        if (first == ORBIT_OK && (first = orbit_lister_next(one, &entry, NULL)) == ORBIT_OK) {
            assert_int_equal(entry.path_length, 4);
            ones++;
        }
        if (second == ORBIT_OK && (second = orbit_lister_next(two, &entry, NULL)) == ORBIT_OK) {
            assert_int_equal(entry.path_length, 1);
            twos++;
        }
    }
    assert_int_equal(first, ORBIT_END);
    assert_int_equal(second, ORBIT_END);
    assert_int_equal(orbit_lister_next(one, &entry, NULL), ORBIT_END); /* again and again */
    assert_int_equal(ones, 33);
    assert_int_equal(twos, 2);
    orbit_lister_close(one);
    orbit_lister_close(two);
}

static void deep_tree_is_walked_whole(void **state)
{
    (void)state;
    static struct listing listing;
    char path[900] = "";
    orbit_list_options options = recursive();
    for (int depth = 0; depth < 100; depth++) {
        char name[1000];
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "%sd%02d", depth == 0 ? "" : "/", depth % 100);
        if (depth % 10 == 9) {
            snprintf(name, sizeof(name), "%s/file", path);
            put_text(at(name), "x");
        }
    }
    MUST(list_all(&listing, contract.backend, contract.scope, &options, error));
    assert_int_equal(listing.count, 10);
    assert_int_equal(listing.depths[listing.count - 1] + listing.depths[0], 11 + 101);
    listing_free(&listing);
}

static void versions_are_told_or_refused(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    struct listing listing;
    options.versions = true;
    options.recursive = true;
    put_text(at("kept/a"), "a");
    if (!contract.kind->fixture) {
        MUST_FAIL(ORBIT_E_UNSUPPORTED, list_all(&listing, contract.backend, at("kept"), &options, error));
        return;
    }
    MUST(list_all(&listing, contract.backend, at("kept"), &options, error));
    assert_int_equal(listing.count, 1); /* a bucket that keeps none has the one that is */
    assert_string_equal(listing.paths[0], "a");
    assert_int_equal(listing.flags[0], ORBIT_ENTRY_LATEST);
    listing_free(&listing);
}

static void removing_while_listing_is_survived(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_status status;
    unsigned seen = 0;
    make_many("going", 40);
    options.page_entries = 5;
    MUST(orbit_list(&lister, contract.backend, at("going"), &options, error));
    while ((status = orbit_lister_next(lister, &entry, NULL)) == ORBIT_OK) {
        char name[64];
        snprintf(name, sizeof(name), "going/%s", entry.path);
        MUST(orbit_remove(contract.backend, at(name), NULL, error));
        seen++;
    }
    assert_int_equal(status, ORBIT_END);
    assert_int_equal(seen, 40);
    orbit_lister_close(lister);
    orbit_list_options files = recursive();
    check_listing(contract.scope, &files, NULL);
}

const struct CMUnitTest list_tests[] = {
    CONTRACT_TEST(directory_lists_its_children_only),
    CONTRACT_TEST(entry_tells_kind_size_and_depth),
    CONTRACT_TEST(recursive_listing_gives_paths_relative_to_the_listed_directory),
    CONTRACT_TEST(recursive_listing_tells_directories_where_there_are_any),
    CONTRACT_TEST(max_depth_bounds_a_recursive_listing),
    CONTRACT_TEST(hidden_names_are_skipped_when_asked),
    CONTRACT_TEST(prefix_filters_paths),
    CONTRACT_TEST(odd_names_survive_write_list_stat_read_and_remove),
    CONTRACT_TEST(keys_with_empty_components_are_kept),
    CONTRACT_TEST(marker_object_is_a_directory),
    CONTRACT_TEST(listing_of_what_is_not_there_fails_where_there_are_directories),
    CONTRACT_TEST(listing_of_many_pages_gives_every_entry_once),
    CONTRACT_TEST(max_entries_ends_the_listing),
    CONTRACT_TEST(listing_closed_early_asks_for_no_more),
    CONTRACT_TEST(two_listers_at_once_do_not_mix),
    CONTRACT_TEST(deep_tree_is_walked_whole),
    CONTRACT_TEST(versions_are_told_or_refused),
    CONTRACT_TEST(removing_while_listing_is_survived),
};
const size_t list_test_count = COUNT_OF(list_tests);
