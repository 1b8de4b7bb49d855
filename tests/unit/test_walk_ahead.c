/* SPDX-License-Identifier: Apache-2.0
 * Walks that look ahead, and walks of a real disk. */
#include "walk_fixture.h"

/* ---- looking ahead --------------------------------------------------------------------------------- */

static void learn(struct orb_walk *walk, unsigned times, double took_ms, uint64_t count)
{
    while (times--)
        orb_ahead_learn(walk, (uint64_t)(took_ms * (double)ORB_MS), count);
}

static void only_directories_that_take_long_in_a_row_are_read_ahead(void **state)
{
    (void)state;
    struct orb_walk walk = {.next_allowance = 4, .ahead = {.workers = 16}};
    assert_false(orb_ahead_on(&walk));
    learn(&walk, 1000, 0.1, 10);
    assert_false(orb_ahead_on(&walk));
    for (int i = 0; i < 100; i++) { /* mishaps */
        learn(&walk, 3, 30, 10);
        assert_false(orb_ahead_on(&walk));
        learn(&walk, 2, 0.1, 10);
    }
    learn(&walk, 100, 25, 10000); /* it is their entries that take long */
    assert_false(orb_ahead_on(&walk));
    learn(&walk, 4, 5, 10);
    assert_true(orb_ahead_on(&walk));
    learn(&walk, 2, 0.4, 10);
    assert_true(orb_ahead_on(&walk));
    learn(&walk, 20, 0.1, 10);
    assert_false(orb_ahead_on(&walk));
    learn(&walk, 4, 5, 10);
    walk.next_allowance = 2; /* who takes one entry and leaves */
    assert_false(orb_ahead_on(&walk));
    walk.next_allowance = 4;
    walk.ahead.workers = 1;
    assert_false(orb_ahead_on(&walk));
}

static void wide_tree_is_read_ahead_within_the_bound_of_open_directories(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.list_workers = 64;
    world->store.files = 30;
    world->store.depth = 3;
    world->store.directories = 12;
    world->store.page = 5;
    world->store.caps.open_cursors_max = 12;
    begin(world);
    expect_tree(world, &options);
    assert_true(world->store.cursors_max > 3);
    assert_true(world->store.cursors_max <= 12);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes < 6u << 20);
    assert_int_equal(stats.memory_used_bytes, 0);
}

static void large_directories_are_read_ahead_in_bounded_memory(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.list_workers = 32;
    world->store.files = 5000;
    world->store.depth = 1;
    world->store.directories = 100;
    begin(world);
    expect_tree(world, &options);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(world->client, &stats);
    assert_true(stats.memory_peak_bytes < 6u << 20);
    assert_int_equal(stats.memory_used_bytes, 0);
}

/* ---- a real disk ----------------------------------------------------------------------------------- */

static void make(const char *format, const char *directory, bool is_directory)
{
    char path[512];
    snprintf(path, sizeof path, format, directory);
    int status = is_directory ? mkdir(path, 0700) : close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(status, 0);
}

static struct seen list_disk(struct world *world, const char *path, const orbit_list_options *options)
{
    orbit_lister *lister = NULL;
    assert_int_equal(orbit_list(&lister, world->backend, path, options, &world->error), ORBIT_OK);
    struct seen seen = drain(world, lister);
    orbit_lister_close(lister);
    return seen;
}

static void disk_is_walked_without_following_links(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    char directory[] = "/tmp/orbit-walk-XXXXXX", loop[64], command[128];
    assert_non_null(mkdtemp(directory));
    make("%s/a", directory, true);
    make("%s/a/b", directory, true);
    make("%s/a/b/f", directory, false);
    make("%s/a/.hidden", directory, true);
    make("%s/a/.hidden/g", directory, false);
    snprintf(loop, sizeof loop, "%s/a/b/loop", directory);
    assert_int_equal(symlink("../..", loop), 0);
    assert_int_equal(orbit_client_open(&world->client, NULL, &world->error), ORBIT_OK);
    assert_int_equal(orbit_open_local(&world->backend, world->client, &config, NULL, &world->error), ORBIT_OK);

    options.recursive = true;
    struct seen seen = list_disk(world, directory, &options);
    assert_int_equal(seen.end, ORBIT_END);
    assert_int_equal(seen.entries, 6);
    assert_int_equal(seen.deepest, 3);
    options.include_hidden = false;
    assert_int_equal(list_disk(world, directory, &options).entries, 4);
    options.follow_symlinks = true;
    seen = list_disk(world, directory, &options);
    assert_int_equal(seen.entries, 3);
    assert_int_equal(seen.failed, 1);
    assert_int_equal(seen.end, ORBIT_END);
    seen = list_disk(world, "/nowhere/at/all", &options);
    assert_int_equal(seen.end, ORBIT_E_NOT_FOUND);
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

/* Longer than any path the system takes, and something is left behind in every directory. */
static void disk_is_walked_deeper_than_any_path(void **state)
{
    struct world *world = *state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    char directory[] = "/tmp/orbit-deep-XXXXXX", command[128];
    assert_non_null(mkdtemp(directory));
    int at = open(directory, O_RDONLY | O_DIRECTORY);
    for (int depth = 0; depth < 300; depth++) {
        const char *name = "a-directory-with-a-longish-name";
        for (char file[] = "1"; file[0] <= '9'; file[0]++)
            assert_int_equal(close(openat(at, file, O_CREAT | O_WRONLY, 0600)), 0);
        assert_int_equal(mkdirat(at, name, 0700), 0);
        int below = openat(at, name, O_RDONLY | O_DIRECTORY);
        assert_true(below >= 0);
        close(at);
        at = below;
    }
    close(at);
    assert_int_equal(orbit_client_open(&world->client, NULL, &world->error), ORBIT_OK);
    config.open_directories_max = 8;
    assert_int_equal(orbit_open_local(&world->backend, world->client, &config, NULL, &world->error), ORBIT_OK);
    options.recursive = true;
    options.want_metadata = false;
    for (uint32_t page = 0; page < 8; page += 3) {
        options.page_entries = page;
        struct seen seen = list_disk(world, directory, &options);
        assert_int_equal(seen.end, ORBIT_END);
        assert_int_equal(seen.failed, 0);
        assert_int_equal(seen.entries, 300 * 10);
        assert_int_equal(seen.deepest, 300);
    }
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define DIRECT(name)                                              \
    {                                                             \
        "directly_" #name, name, set_up_direct, world_close, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_directories_that_take_long_in_a_row_are_read_ahead),
        TEST(wide_tree_is_read_ahead_within_the_bound_of_open_directories),
        TEST(large_directories_are_read_ahead_in_bounded_memory),
        TEST(disk_is_walked_without_following_links),
        TEST(disk_is_walked_deeper_than_any_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
