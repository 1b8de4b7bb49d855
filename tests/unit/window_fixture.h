/* SPDX-License-Identifier: Apache-2.0
 * Readers of a store that does what it is told. */
#ifndef ORB_TESTS_UNIT_WINDOW_FIXTURE_H
#define ORB_TESTS_UNIT_WINDOW_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/client.h"
#include "engine/admission.h"
#include "read_fixture.h"

#define CHUNK (64u << 10)

int set_up(void **state);

/* Without options no range is asked for twice, so that reads can be counted on a busy machine, too. */
orbit_reader *open_with(struct world *world, const orbit_read_options *options);

/* Reads on until something else than bytes comes; every byte is compared. Returns where it stopped. */
uint64_t drain(struct world *world, orbit_reader *reader, uint64_t at, orbit_status *status);
void expect_all(struct world *world, orbit_reader *reader, uint64_t from, uint64_t to);
void whole(struct world *world);

#endif
