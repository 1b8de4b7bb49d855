/* SPDX-License-Identifier: Apache-2.0
 * Listers of a store that makes its directories up. */
#ifndef ORB_TESTS_UNIT_WALK_FIXTURE_H
#define ORB_TESTS_UNIT_WALK_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "read_fixture.h"
#include "stream/walk.h"

/* The walk runs on a worker, as it does on local disks. */
int set_up_direct(void **state);
orbit_status try_list(struct world *world, const orbit_list_options *given, orbit_lister **lister);
orbit_lister *list(struct world *world, const orbit_list_options *options);

struct seen {
    uint64_t entries, directories, failed, deepest;
    orbit_status end;
};

/* Goes through all of it; every directory's entry comes before what is in it. */
struct seen drain(struct world *world, orbit_lister *lister);
struct seen list_all(struct world *world, const orbit_list_options *options);

/* Entries of a tree: files a directory, and how many directories there are with the listed one. */
void expect_tree(struct world *world, const orbit_list_options *options);

#endif
