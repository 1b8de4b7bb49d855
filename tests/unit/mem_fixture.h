/* SPDX-License-Identifier: Apache-2.0
 * A memory store, opened in one of its profiles. */
#ifndef ORB_TESTS_UNIT_MEM_FIXTURE_H
#define ORB_TESTS_UNIT_MEM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "support/ophost.h"

extern struct ophost host;
extern struct orb_backend *store;
extern orbit_error error;

/* How a test begins, by profile, and ends. */
int open_object(void **state);
int open_files(void **state);
int open_sequential(void **state);
int open_dropping(void **state);
int close_store(void **state);

#define OK(call) assert_int_equal(call, ORBIT_OK)

void put_text(const char *path, const char *text);
void assert_holds(const char *path, const void *bytes, size_t length);
void assert_text(const char *path, const char *text);
void assert_missing(const char *path);
uint32_t kind_of(const char *path);

struct windowed {
    struct ophost_call call;
    orbit_read_request read;
    orbit_put_request put;
    struct ophost_sink sink;
    struct ophost_body body;
    orbit_read_reply read_reply;
    orbit_metadata put_reply;
};

void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op);

extern const orbit_write_options plain_write;

/* A body or sink that never has anything: the operation hangs until it is cancelled. */
orbit_status peek_nothing(orbit_body *body, const void **data, size_t *length);

#endif
