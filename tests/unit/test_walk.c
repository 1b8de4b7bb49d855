/* SPDX-License-Identifier: Apache-2.0
 * Listers: pages, limits, filters, and walks through trees of any depth and width, against a store that makes its
 * directories up. */
#include "walk_fixture.h"

/* Directories are read ahead: by the loop, and of disks as soon as the walk leaves its worker. */
static int set_up_ahead(void **state)
{
    int status = world_open(state);
    struct world *world = *state;
    world->list_workers = 8;
    return status;
}

static int set_up_direct_ahead(void **state)
{
    int status = set_up_direct(state);
    struct world *world = *state;
    world->list_workers = 8;
    return status;
}

/* And no more than that. */
static void wait_for_exactly(const _Atomic uint64_t *counter, uint64_t wanted)
{
    wait_for(counter, wanted);
    usleep(20000);
    assert_int_equal(atomic_load(counter), wanted);
}

/* ---- flat ------------------------------------------------------------------------------------------ */

static void lister_gives_every_entry_once_in_order(void **state)
{
    struct world *world = *state;
    world->store.files = 10007;
    begin(world);
    orbit_lister *lister = list(world, NULL);
    orbit_entry entry;
    for (uint64_t i = 0; i < 10007; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%07llu", (unsigned long long)i);
        assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
        assert_string_equal(entry.path, name);
        assert_int_equal(entry.metadata.size, i);
        assert_int_equal(entry.depth, 1);
    }
    assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_END);
    assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_END);
    orbit_lister_close(lister);
    assert_int_equal(world->store.begins, world->store.ends);
}

static void empty_directory_is_just_the_end(void **state)
{
    struct world *world = *state;
    begin(world);
    struct seen seen = list_all(world, NULL);
    assert_int_equal(seen.end, ORBIT_END);
    assert_int_equal(seen.entries, 0);
}

static void next_page_is_asked_for_at_the_first_entry(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.page_entries = 10;
    world->store.files = 1000;
    begin(world);
    for (int recursive = 0; recursive < 2; recursive++) {
        orbit_entry entry;
        options.recursive = recursive;
        world->store.pages = 0;
        orbit_lister *lister = list(world, &options);
        wait_for_exactly(&world->store.pages, 1);
        assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
        wait_for_exactly(&world->store.pages, 2);
        for (int i = 1; i < 10; i++)
            assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
        wait_for_exactly(&world->store.pages, 2);
        assert_int_equal(orbit_lister_pages(lister), 2);
        orbit_lister_close(lister);
        assert_int_equal(world->store.pages, 2);
    }
}

static void limit_asks_for_no_more_than_it_needs(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    world->store.files = 5000;
    begin(world);
    for (int recursive = 0; recursive < 2; recursive++) {
        options.recursive = recursive;
        options.max_entries = 7;
        world->store.pages = 0;
        struct seen seen = list_all(world, &options);
        assert_int_equal(seen.entries, 7);
        assert_int_equal(seen.end, ORBIT_END);
        assert_int_equal(world->store.pages, 1);
    }
    options.page_entries = 100;
    options.max_entries = 250;
    world->store.pages = 0;
    assert_int_equal(list_all(world, &options).entries, 250);
    assert_int_equal(world->store.pages, 3);
}

static void error_in_the_middle_is_no_end(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.page_entries = 100;
    world->store.files = 1000;
    world->store.fail_page = 4;
    begin(world);
    for (int recursive = 0; recursive < 2; recursive++) {
        options.recursive = recursive;
        struct seen seen = list_all(world, &options);
        assert_int_equal(seen.entries, 300);
        assert_int_equal(seen.end, ORBIT_E_IO);
    }
}

static void pages_that_fail_for_a_moment_are_asked_for_again(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.page_entries = 100;
    world->store.files = 1000;
    world->store.flaky_pages = 2;
    begin(world);
    struct seen seen = list_all(world, &options);
    assert_int_equal(seen.entries, 1000);
    assert_int_equal(seen.end, ORBIT_END);
}

static void repeated_page_ends_the_listing(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.page_entries = 100;
    world->store.files = 1000;
    world->store.repeats = true;
    begin(world);
    for (int recursive = 0; recursive < 2; recursive++) {
        options.recursive = recursive;
        struct seen seen = list_all(world, &options);
        assert_int_equal(seen.end, ORBIT_E_PROTOCOL);
        assert_int_equal(seen.entries, 100);
    }
}

/* ---- walks ----------------------------------------------------------------------------------------- */

static void walk_goes_through_everything(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    world->store.files = 11;
    world->store.depth = 4;
    world->store.directories = 5;
    begin(world);
    expect_tree(world, &options);
    options.page_entries = 3;
    expect_tree(world, &options);
}

static void walk_goes_depth_first(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    const char *expected[] = {"f0000000",
                              "d0",
                              "d0/f0000000",
                              "d0/d0",
                              "d0/d0/f0000000",
                              "d0/d0/f0000001",
                              "d0/d1",
                              "d0/d1/f0000000",
                              "d0/d1/f0000001",
                              "d0/f0000001",
                              "d1",
                              "d1/f0000000",
                              "d1/d0",
                              "d1/d0/f0000000",
                              "d1/d0/f0000001",
                              "d1/d1",
                              "d1/d1/f0000000",
                              "d1/d1/f0000001",
                              "d1/f0000001",
                              "f0000001"};
    options.recursive = true;
    world->store.files = 2;
    world->store.depth = 2;
    world->store.directories = 2;
    begin(world);
    orbit_lister *lister = list(world, &options);
    orbit_entry entry;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
        assert_string_equal(entry.path, expected[i]);
        uint32_t depth = 1;
        for (const char *at = entry.path; (at = strchr(at, '/')); at++)
            depth++;
        assert_int_equal(entry.depth, depth);
    }
    assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_END);
    orbit_lister_close(lister);
}

/* Every level has entries behind the directory that is entered: none of them is over before. */
static void deep_tree(struct world *world, uint32_t depth, uint64_t files, uint32_t page)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    world->store.files = files;
    world->store.depth = depth;
    world->store.directories = 1;
    world->store.page = page;
    begin(world);
    struct seen seen = list_all(world, &options);
    assert_int_equal(seen.end, ORBIT_END);
    assert_int_equal(seen.failed, 0);
    assert_int_equal(seen.entries, depth + (depth + 1) * files);
    assert_int_equal(seen.deepest, depth + 1);
    assert_true(world->store.cursors_max <= 68);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes < 4u << 20);
    assert_int_equal(stats.memory_used_bytes, 0);
}

static void deep_walk_suspends_its_ancestors(void **state)
{
    struct world *world = *state;
    deep_tree(world, 1000, 9, 3);
    assert_true(world->store.suspends > 0);
}

static void deep_walk_with_long_pages_keeps_few_of_them(void **state)
{
    struct world *world = *state;
    deep_tree(world, 400, 1500, 0);
}

static void deep_walk_spools_where_cursors_cannot_be_suspended(void **state)
{
    struct world *world = *state;
    world->store.caps.seekable_list = false;
    deep_tree(world, 300, 200, 20);
    assert_int_equal(world->store.suspends, 0);
}

static void deep_walk_spools_long_pages_too(void **state)
{
    struct world *world = *state;
    world->store.caps.seekable_list = false;
    deep_tree(world, 300, 1500, 0);
}

static void few_cursors_suffice(void **state)
{
    struct world *world = *state;
    world->store.caps.open_cursors_max = 2;
    deep_tree(world, 100, 9, 2);
    assert_true(world->store.cursors_max <= 5);
}

static void unlistable_directory_is_one_failed_entry(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    world->store.files = 2;
    world->store.depth = 2;
    world->store.directories = 3;
    world->store.unlistable = "d1";
    begin(world);
    orbit_lister *lister = list(world, &options);
    orbit_entry entry;
    orbit_status status;
    uint64_t entries = 0;
    bool failed = false;
    while ((status = orbit_lister_next(lister, &entry, &world->error)) != ORBIT_END) {
        if (status == ORBIT_ENTRY_FAILED) {
            assert_string_equal(entry.path, "d1");
            assert_int_equal(world->error.status, ORBIT_E_PERMISSION);
            failed = true;
            continue;
        }
        assert_int_equal(status, ORBIT_OK);
        entries++;
    }
    assert_true(failed);
    assert_int_equal(orbit_lister_failed(lister), 1);
    assert_int_equal(entries, 2 + 3 + 2 * (2 + 3 + 3 * 2));
    orbit_lister_close(lister);

    world->store.unlistable = "";
    struct seen seen = list_all(world, &options);
    assert_int_equal(seen.end, ORBIT_E_PERMISSION); /* the listed one itself */
}

static void loops_of_symlinks_are_failed_entries(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.follow_symlinks = true;
    world->store.files = 1;
    world->store.depth = 1u << 30;
    world->store.directories = 1;
    world->store.loop = true;
    begin(world);
    struct seen seen = list_all(world, &options);
    assert_int_equal(seen.end, ORBIT_END);
    assert_int_equal(seen.failed, 1); /* d0 is entered, d0/d0 is d0 again */
    assert_int_equal(seen.directories, 1);
}

static void depth_hidden_kinds_and_prefix_are_filtered(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    world->store.files = 3;
    world->store.depth = 3;
    world->store.directories = 2;
    begin(world);
    options.max_depth = 2;
    struct seen seen = list_all(world, &options);
    assert_int_equal(seen.entries, 5 + 2 * 5);
    assert_int_equal(world->store.begins, 3);
    options.max_depth = 1;
    assert_int_equal(list_all(world, &options).entries, 5);
    options.max_depth = 0;
    options.files_only = true;
    assert_int_equal(list_all(world, &options).entries, 15 * 3);
    options.files_only = false;

    world->store.begins = 0;
    options.prefix = "d1/d0/f";
    seen = list_all(world, &options);
    assert_int_equal(seen.entries, 3);
    assert_int_equal(world->store.begins, 3); /* the way there and nothing else */
    options.prefix = "d1";
    assert_int_equal(list_all(world, &options).entries, 1 + 5 + 2 * 5 + 4 * 3);
    options.prefix = "d1/d0";
    assert_int_equal(list_all(world, &options).entries, 1 + 5 + 2 * 3);
    options.prefix = "x";
    assert_int_equal(list_all(world, &options).entries, 0);
}

static void start_after_needs_an_order(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    options.start_after = "f0000004";
    world->store.files = 10;
    begin(world);
    assert_int_equal(orbit_list(&lister, world->backend, "", &options, &world->error), ORBIT_E_UNSUPPORTED);
    assert_null(lister);
    orbit_backend_close(world->backend);
    world->store.caps.ordered_list = true;
    assert_int_equal(orbit_open(&world->backend, world->client, "shape://it", NULL, &world->error), ORBIT_OK);
    assert_int_equal(list_all(world, &options).entries, 5);
}

static void closing_a_walk_early_leaves_nothing_open(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.page_entries = 4;
    world->store.files = 20;
    world->store.depth = 10;
    world->store.directories = 3;
    begin(world);
    for (unsigned taken = 0; taken < 60; taken += 3) {
        orbit_lister *lister = list(world, &options);
        orbit_entry entry;
        for (unsigned i = 0; i < taken; i++)
            assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
        orbit_lister_close(lister);
        assert_int_equal(world->store.begins, world->store.ends);
        assert_int_equal(world->store.cursors, 0);
    }
}

static void cancelled_lister_stays_cancelled(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.cancel = orbit_cancel_new();
    world->store.files = 20;
    world->store.depth = 1u << 30;
    world->store.directories = 1;
    begin(world);
    orbit_lister *lister = list(world, &options);
    orbit_entry entry;
    for (int i = 0; i < 100; i++)
        assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
    orbit_cancel_fire(options.cancel);
    struct seen seen = drain(world, lister);
    assert_int_equal(seen.end, ORBIT_E_CANCELLED);
    orbit_lister_close(lister);
    uint64_t begins = world->store.begins;
    assert_int_equal(list_all(world, &options).end, ORBIT_E_CANCELLED);
    assert_int_equal(world->store.begins, begins);
    orbit_cancel_free(options.cancel);
}

static void lister_outlives_its_client(void **state)
{
    struct world *world = *state;
    world->store.files = 100000;
    begin(world);
    orbit_lister *lister = list(world, NULL);
    orbit_entry entry;
    assert_int_equal(orbit_lister_next(lister, &entry, &world->error), ORBIT_OK);
    orbit_backend_close(world->backend);
    orbit_client_close(world->client);
    world->backend = NULL;
    world->client = NULL;
    assert_int_equal(drain(world, lister).end, ORBIT_E_CANCELLED);
    orbit_lister_close(lister);
}

static void trying_lister_is_called_once_for_each_again(void **state)
{
    struct world *world = *state;
    struct ready ready = {0};
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.ready = is_ready;
    options.ready_ctx = &ready;
    options.page_entries = 5;
    world->store.files = 20;
    world->store.depth = 3;
    world->store.directories = 3;
    begin(world);
    orbit_lister *lister = list(world, &options);
    uint64_t agains = 0, entries = 0;
    orbit_entry entry;
    orbit_status status;
    while ((status = orbit_lister_try_next(lister, &entry, &world->error)) != ORBIT_END) {
        if (status == ORBIT_OK) {
            entries++;
            continue;
        }
        assert_int_equal(status, ORBIT_AGAIN);
        agains++;
        while (atomic_load(&ready.times) < agains)
            usleep(100);
        assert_int_equal(ready.times, agains);
    }
    assert_int_equal(entries, 39 + 40 * 20);
    orbit_lister_close(lister);
}

static void walk_works_on_an_external_loop(void **state)
{
    struct world *world = *state;
    orbit_client_options client_options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    client_options.external_loop = true;
    options.recursive = true;
    world->store.files = 5;
    world->store.depth = 3;
    world->store.directories = 4;
    read_store_open(&world->store, &client_options, &world->client, &world->backend);
    expect_tree(world, &options);
}

static void every_failed_allocation_is_told(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    world->store.caps.seekable_list = world->store.caps.worker_list; /* the spool, too */
    world->store.files = 6;
    world->store.depth = 5;
    world->store.directories = 1;
    world->store.caps.open_cursors_max = 1;
    world->store.page = 2;
    options.prefix = "d0";
    begin(world);
    for (int recursive = 0; recursive < 2; recursive++) {
        uint64_t allocations = 1;
        options.recursive = recursive;
        for (uint64_t n = 0; n <= allocations; n++) {
            orbit_lister *lister = NULL;
            orb_mem_fail_at(n);
            orbit_status status = try_list(world, &options, &lister);
            if (status >= 0)
                status = drain(world, lister).end;
            orbit_lister_close(lister);
            assert_true(status == ORBIT_END || status == ORBIT_E_MEMORY);
            assert_int_equal(world->store.begins, world->store.ends);
            if (n == 0)
                allocations = orb_mem_count() + 2;
            orb_mem_fail_at(0);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define DIRECT(name)                                              \
    {                                                             \
        "directly_" #name, name, set_up_direct, world_close, NULL \
    }

#define ONLY_AHEAD(name)                                      \
    {                                                         \
        "ahead_" #name, name, set_up_ahead, world_close, NULL \
    }
#define AHEAD(name)                                                               \
    ONLY_AHEAD(name),                                                             \
    {                                                                             \
        "directly_and_ahead_" #name, name, set_up_direct_ahead, world_close, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lister_gives_every_entry_once_in_order),
        TEST(empty_directory_is_just_the_end),
        TEST(next_page_is_asked_for_at_the_first_entry),
        TEST(limit_asks_for_no_more_than_it_needs),
        TEST(error_in_the_middle_is_no_end),
        TEST(pages_that_fail_for_a_moment_are_asked_for_again),
        TEST(repeated_page_ends_the_listing),
        TEST(walk_goes_through_everything),
        TEST(walk_goes_depth_first),
        TEST(deep_walk_suspends_its_ancestors),
        TEST(deep_walk_with_long_pages_keeps_few_of_them),
        TEST(deep_walk_spools_where_cursors_cannot_be_suspended),
        TEST(deep_walk_spools_long_pages_too),
        TEST(few_cursors_suffice),
        TEST(unlistable_directory_is_one_failed_entry),
        TEST(loops_of_symlinks_are_failed_entries),
        TEST(depth_hidden_kinds_and_prefix_are_filtered),
        TEST(start_after_needs_an_order),
        TEST(closing_a_walk_early_leaves_nothing_open),
        TEST(cancelled_lister_stays_cancelled),
        TEST(lister_outlives_its_client),
        TEST(trying_lister_is_called_once_for_each_again),
        TEST(walk_works_on_an_external_loop),
        TEST(every_failed_allocation_is_told),
        DIRECT(next_page_is_asked_for_at_the_first_entry),
        DIRECT(limit_asks_for_no_more_than_it_needs),
        DIRECT(error_in_the_middle_is_no_end),
        DIRECT(repeated_page_ends_the_listing),
        DIRECT(walk_goes_through_everything),
        DIRECT(walk_goes_depth_first),
        DIRECT(deep_walk_suspends_its_ancestors),
        DIRECT(deep_walk_with_long_pages_keeps_few_of_them),
        DIRECT(few_cursors_suffice),
        DIRECT(unlistable_directory_is_one_failed_entry),
        DIRECT(loops_of_symlinks_are_failed_entries),
        DIRECT(depth_hidden_kinds_and_prefix_are_filtered),
        DIRECT(closing_a_walk_early_leaves_nothing_open),
        DIRECT(cancelled_lister_stays_cancelled),
        DIRECT(trying_lister_is_called_once_for_each_again),
        DIRECT(walk_works_on_an_external_loop),
        DIRECT(every_failed_allocation_is_told),
        AHEAD(walk_goes_through_everything),
        AHEAD(walk_goes_depth_first),
        ONLY_AHEAD(deep_walk_suspends_its_ancestors),
        ONLY_AHEAD(deep_walk_with_long_pages_keeps_few_of_them),
        ONLY_AHEAD(few_cursors_suffice),
        AHEAD(unlistable_directory_is_one_failed_entry),
        ONLY_AHEAD(loops_of_symlinks_are_failed_entries),
        ONLY_AHEAD(depth_hidden_kinds_and_prefix_are_filtered),
        AHEAD(closing_a_walk_early_leaves_nothing_open),
        ONLY_AHEAD(cancelled_lister_stays_cancelled),
        ONLY_AHEAD(trying_lister_is_called_once_for_each_again),
        AHEAD(walk_works_on_an_external_loop),
        ONLY_AHEAD(every_failed_allocation_is_told),
        AHEAD(error_in_the_middle_is_no_end),
        ONLY_AHEAD(repeated_page_ends_the_listing),
        ONLY_AHEAD(limit_asks_for_no_more_than_it_needs),
        ONLY_AHEAD(deep_walk_spools_where_cursors_cannot_be_suspended),
        ONLY_AHEAD(deep_walk_spools_long_pages_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
