/* SPDX-License-Identifier: Apache-2.0
 * Two scripted stores, a client and a directory of its own for tests of the write side. */
#ifndef TESTS_UNIT_WRITE_FIXTURE_H
#define TESTS_UNIT_WRITE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "unit/write_store.h"

#define MIB ((uint64_t)1 << 20)

struct fixture {
    orbit_client *client;
    struct wstore store, other;
    orbit_backend *backend, *from; /* of store and other */
    char directory[64];
    orbit_error error;
};

extern struct fixture fx;

int fixture_setup(void **state);

/* After the stores' capabilities and faults were set. `ops` NULL: the whole table. */
void fixture_open_with(const orbit_client_options *options, const orbit_backend_ops *ops,
                       const orbit_open_options *open_options);
void fixture_open(void);
uint64_t fixture_memory_used(void);
/* Nothing may be left: no upload open, no memory charged. */
int fixture_teardown(void **state);

void assert_ok(orbit_status status);
char *fixture_file(const char *name, const void *bytes, uint64_t length);

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
