/* SPDX-License-Identifier: Apache-2.0
 * Listers of a store that makes its directories up. */
#include "walk_fixture.h"

int set_up_direct(void **state)
{
    int status = world_open(state);
    struct world *world = *state;
    world->store.caps.worker_list = true;
    world->store.caps.no_retry = true;
    return status;
}

orbit_status try_list(struct world *world, const orbit_list_options *given, orbit_lister **lister)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    if (given)
        options = *given;
    if (!options.list_workers)
        options.list_workers = world->list_workers;
    return orbit_list(lister, world->backend, "", &options, &world->error);
}

orbit_lister *list(struct world *world, const orbit_list_options *options)
{
    orbit_lister *lister = NULL;
    assert_int_equal(try_list(world, options, &lister), ORBIT_OK);
    return lister;
}

struct seen drain(struct world *world, orbit_lister *lister)
{
    struct seen seen = {0};
    orbit_entry entry;
    for (;;) {
        seen.end = orbit_lister_next(lister, &entry, &world->error);
        if (seen.end == ORBIT_ENTRY_FAILED) {
            seen.failed++;
            continue;
        }
        if (seen.end != ORBIT_OK)
            break;
        seen.entries++;
        seen.directories += entry.metadata.kind == ORBIT_KIND_DIRECTORY;
        if (entry.depth > seen.deepest)
            seen.deepest = entry.depth;
        assert_int_equal(strlen(entry.path), entry.path_length);
    }
    assert_int_equal(orbit_lister_next(lister, &entry, &world->error), seen.end);
    assert_int_equal(orbit_lister_failed(lister), seen.failed);
    return seen;
}

struct seen list_all(struct world *world, const orbit_list_options *options)
{
    orbit_lister *lister = list(world, options);
    struct seen seen = drain(world, lister);
    orbit_lister_close(lister);
    return seen;
}

void expect_tree(struct world *world, const orbit_list_options *options)
{
    uint64_t directories = 0, level = 1;
    for (uint32_t depth = 0; depth < world->store.depth; depth++)
        directories += level *= world->store.directories;
    struct seen seen = list_all(world, options);
    assert_int_equal(seen.end, ORBIT_END);
    assert_int_equal(seen.failed, 0);
    assert_int_equal(seen.directories, directories);
    assert_int_equal(seen.entries, directories + (directories + 1) * world->store.files);
    assert_int_equal(world->store.begins, world->store.ends);
}
