/* SPDX-License-Identifier: Apache-2.0
 * A client, a scripted S3 endpoint and a store on it for the fault tests: what their files share. Short time limits,
 * small parts, so that a fault costs milliseconds. The main thread. */
#ifndef ORB_TESTS_S3FAULT_H
#define ORB_TESTS_S3FAULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <orbit/orbit.h>

#include "support/endpoint.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CHUNK           (256u << 10)

struct s3fault {
    struct endpoint endpoint;
    orbit_client *client;
    orbit_backend *store;
    orbit_open_options options; /* to open others like it */
    orbit_s3_config config;
};
extern struct s3fault at;

int s3fault_group_setup(void **state);
int s3fault_group_teardown(void **state);
int s3fault_setup(void **state); /* a clean endpoint and a new store */
int s3fault_teardown(void **state);
/* Opens the store anew after at.config or at.options were changed. */
void s3fault_reopen(void);
void s3fault_fresh_client(void); /* the same by a client that has learned nothing yet */
void s3fault_defaults(void);     /* puts at.config and at.options back */

/* Adds a rule to the endpoint. */
#define FAULT(...)  endpoint_control(&at.endpoint, "fault?" __VA_ARGS__)
#define COUNT(name) endpoint_count(&at.endpoint, name)

uint8_t *make_bytes(size_t length, uint32_t seed);
orbit_status write_bytes(const char *key, const void *bytes, size_t length, orbit_error *error);
/* Puts an object by another client (curl, unsigned: the endpoint takes anonymous requests from then on), with
 * `headers` for its command line or NULL. The endpoint compares checksums among them: what it takes is right. */
void put_raw(const char *key, const char *headers, const void *bytes, size_t length);
/* The same with the object's SHA-256 and so on: `name` as in x-amz-checksum-NAME. */
void put_with_hash(const char *key, const char *name, const char *more, const void *bytes, size_t length);
/* Reads a generated object to its end and compares every byte; *done: how many came before the status. */
orbit_status read_generated(const char *key, uint64_t size, const orbit_read_options *options, uint64_t *done,
                            orbit_error *error);
/* Reads an object and compares it with `bytes`. */
orbit_status read_back(const char *key, const void *bytes, size_t length, orbit_error *error);
orbit_status list_count(const char *path, bool recursive, size_t *count, orbit_error *error);
int64_t now_ms(void);
void expect(orbit_status expected, orbit_status status, const orbit_error *error, const char *what, const char *file,
            int line);
/* The call gets `&told`; on anything but the expected status the test fails and prints the error. */
#define EXPECT(expected, call)                                    \
    do {                                                          \
        memset(&told, 0, sizeof(told));                           \
        expect(expected, call, &told, #call, __FILE__, __LINE__); \
    } while (0)
#define OK(call) EXPECT(ORBIT_OK, call)
extern orbit_error told;

#define FAULT_TEST(function) cmocka_unit_test_setup_teardown(function, s3fault_setup, s3fault_teardown)

#endif
