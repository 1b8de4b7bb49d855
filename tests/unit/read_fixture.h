/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the read side share: a world of one scripted store (read_store.h), a client and a backend on it. */
#ifndef TESTS_UNIT_READ_FIXTURE_H
#define TESTS_UNIT_READ_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "read_store.h"

struct world {
    struct read_store store;
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    uint32_t list_workers; /* of listings that do not say so themselves */
};

static inline int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    read_store_init(&world->store);
    *state = world;
    return 0;
}

static inline int world_close(void **state)
{
    struct world *world = *state;
    orbit_backend_close(world->backend);
    orbit_client_close(world->client);
    assert_int_equal(world->store.cursors, 0);
    free(world);
    return 0;
}

/* After the store was told what to do. */
static inline void begin(struct world *world)
{
    read_store_open(&world->store, NULL, &world->client, &world->backend);
}

static inline void wait_for(const _Atomic uint64_t *counter, uint64_t wanted)
{
    uint64_t until = orb_now_ns() + 20 * ORB_S;
    while (atomic_load(counter) < wanted && orb_now_ns() < until)
        usleep(1000);
    assert_true(atomic_load(counter) >= wanted);
}

/* For `ready` of non-blocking streams. */
struct ready {
    _Atomic uint64_t times;
};

static inline void is_ready(void *ctx)
{
    atomic_fetch_add(&((struct ready *)ctx)->times, 1);
}

#endif
