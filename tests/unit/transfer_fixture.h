/* SPDX-License-Identifier: Apache-2.0
 * Two memory stores, one behind the chaos backend, and transfers between them. */
#ifndef ORB_TESTS_UNIT_TRANSFER_FIXTURE_H
#define ORB_TESTS_UNIT_TRANSFER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <orbit/orbit.h>

#include "base/mem.h"
#include "support/chaos.h"

#define LARGE ((size_t)20 << 20)

extern struct chaos chaos;
extern orbit_client *client;
extern orbit_backend *from, *to;
extern orbit_error error;
extern uint8_t *zeros;

void must(orbit_status status, const char *what);
void open_stores(const char *source_profile, const char *target_profile, bool external);
uint64_t memory_used(void);
int setup(void **state);
int teardown(void **state);
void have(orbit_backend *store, const char *path, size_t length);
void have_many(const char *directory, unsigned count);
bool is_there(orbit_backend *store, const char *path);
void use_tree(orbit_job_source *jobs, uint32_t operation, const char *path);
unsigned count_below(orbit_backend *store, const char *path);

struct seen {
    unsigned well, failed, kept, left_out;
    char last[256];
    bool large;
};

void each(void *ctx, const orbit_transfer_result *result, orbit_status status, const orbit_error *why);

#endif
