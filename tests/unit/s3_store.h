/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the S3 backend share: a scripted endpoint (kept from the first test to the last, reset before
 * each) and a host without an engine. Main thread. */
#ifndef TESTS_UNIT_S3_STORE_H
#define TESTS_UNIT_S3_STORE_H

#include "support/endpoint.h"
#include "support/ophost.h"

enum { MIB = 1 << 20, PART = 5 << 20 };

extern struct endpoint endpoint;
extern struct ophost host;

/* The endpoint's address and keys; `bucket` is borrowed. */
orbit_s3_config s3_config_for(const char *bucket);
struct orb_backend *s3_open_with(const orbit_s3_config *config);
struct orb_backend *s3_open_bucket(const char *bucket);
orbit_status s3_look(struct orb_backend *store, const char *path, orbit_error *error); /* a stat, for its status */
bool s3_retriable(const orbit_error *error);
void s3_put_keys(struct orb_backend *store, const char *const *keys, size_t count); /* small objects */

void s3_forget(void); /* what was learned of the endpoint; no backend is open */

int s3_tests_start(void **state);
int s3_tests_stop(void **state);
int s3_tests_reset(void **state);
#define S3_TEST(name) cmocka_unit_test_setup(name, s3_tests_reset)

#endif
