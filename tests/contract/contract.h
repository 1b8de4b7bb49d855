/* SPDX-License-Identifier: Apache-2.0
 * The contract of every backend, specified once through the public API: what the suite's files share. One process
 * tests one store (its name is the argument); each test works below a directory of its own. The main thread. */
#ifndef ORB_TESTS_CONTRACT_H
#define ORB_TESTS_CONTRACT_H

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
#include "support/sshd.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct store_kind {
    const char *name;
    const char *profile;    /* of the memory backend, else NULL */
    const char *fixture;    /* of an S3 endpoint, else NULL */
    uint64_t chunk;         /* bytes a part in these tests */
    bool object;            /* keys are flat: "a//b" is a name, directories are prefixes */
    bool any_name;          /* names need not be UTF-8 */
    bool if_match;          /* a write's If-Match is compared as the standard says (Ceph 16 compares the quotes, too) */
    bool paths;             /* keys are kept as paths: "a//b" is refused or is "a/b" */
    const char *provider;   /* the setting; nullable */
    uint32_t versions_page; /* smallest page of versions that gets on: VersityGW repeats one that is a marker alone */
    bool plain_tags;        /* tags have letters, digits, blanks and + - = . _ : / @, as AWS has it, and no others */
    bool conditional_finish; /* if_match and overwrite = false hold also for objects in parts */
    const char *sshd;        /* fixture of an SSH server, else NULL */
    const char *command;     /* of an SFTP server on this machine, else NULL */
    bool whole_seconds;      /* times are kept in */
    bool no_space;           /* that server does not tell what is free */
    bool links_whole;        /* that server tells where a link leads, from the root on, and not what is in it */
};

struct contract {
    const struct store_kind *kind;
    orbit_client *client;
    orbit_backend *backend;
    struct endpoint endpoint; /* of S3 stores */
    struct sshd sshd;
    char remote[1024]; /* the root as an SSH server names it; "" for others */
    char root[600];    /* of the local store: a directory of the operating system */
    char bucket[64];
    char scope[32]; /* the directory of the test that runs, "case12" */
    uint64_t chunk;
};
extern struct contract contract;

/* ---- opening: another client, another handle of the same store ----------------------------------------------- */
orbit_status contract_open_client(orbit_client **client, const orbit_client_options *options);
orbit_status contract_open_store(orbit_backend **backend, orbit_client *client, orbit_error *error);
orbit_status contract_open_with(orbit_backend **backend, orbit_client *client, const orbit_pair *settings, size_t count,
                                orbit_error *error);
/* A container of its own beside the suite's, named like that with `suffix` behind it: a bucket, which is not made, or a
 * store in memory. */
orbit_status contract_open_bucket(orbit_backend **backend, orbit_client *client, const char *suffix,
                                  const orbit_pair *settings, size_t count, orbit_error *error);
orbit_status contract_keys_end(void); /* removes the buckets that the tests of keys made (keys.c) */
bool supports(orbit_operation operation);

/* ---- paths and bytes ------------------------------------------------------------------------------------------- */
/* `name` below the test's own directory; one of eight rotating buffers. */
const char *at(const char *name);
/* Pseudo-random bytes; the caller frees them. */
uint8_t *make_bytes(size_t length, uint32_t seed);
/* One piece of memory as an object. The test fails if it cannot be written. */
void put(const char *path, const void *bytes, size_t length);
void put_text(const char *path, const char *text);
/* The object is there and has exactly these bytes. */
void check_bytes(const char *path, const void *bytes, size_t length);
void check_text(const char *path, const char *text);
/* Nothing is at `path`, and no temporary or open upload is left of it. */
void check_nothing_left(const char *path);
bool exists(const char *path);

/* Fails the test unless `status` is ORBIT_OK; prints the error. */
#define MUST(call)                                                    \
    do {                                                              \
        orbit_error error_ = {0};                                     \
        orbit_error *error = &error_;                                 \
        orbit_status status_ = (call);                                \
        must_be(ORBIT_OK, status_, error, #call, __FILE__, __LINE__); \
    } while (0)
/* The same for an expected failure. Both give the call an `error` to fill. */
#define MUST_FAIL(expected, call)                                     \
    do {                                                              \
        orbit_error error_ = {0};                                     \
        orbit_error *error = &error_;                                 \
        orbit_status status_ = (call);                                \
        must_be(expected, status_, error, #call, __FILE__, __LINE__); \
    } while (0)
void must_be(orbit_status expected, orbit_status status, const orbit_error *error, const char *what, const char *file,
             int line);

/* ---- sources that behave in a certain way ------------------------------------------------------------------------ */
struct scripted_source {
    const uint8_t *bytes;
    size_t length, given;
    size_t most;    /* bytes a read; 0: as many as asked for */
    size_t fail_at; /* SIZE_MAX: never */
    bool end_by_ok; /* the end is ORBIT_OK with 0 bytes */
    unsigned delay_ms;
    unsigned closed;         /* how often close was called */
    void (*each)(void *ctx); /* before each read; nullable */
    void *ctx;
};
orbit_source scripted(struct scripted_source *script);

/* ---- listings -------------------------------------------------------------------------------------- */
struct listing {
    char *paths[4096];
    uint32_t kinds[4096], flags[4096], depths[4096];
    uint64_t sizes[4096];
    size_t count;
    uint64_t failed;
};
/* Everything that a listing of `path` gives, sorted by path. Free it with listing_free(). */
orbit_status list_all(struct listing *listing, orbit_backend *backend, const char *path,
                      const orbit_list_options *options, orbit_error *error);
void listing_free(struct listing *listing);
/* The listed paths are exactly these ("a", "b", NULL), in any order. */
void check_listing(const char *path, const orbit_list_options *options, ...);

extern const struct CMUnitTest write_tests[], read_tests[], list_tests[], manage_tests[], control_tests[],
    upload_tests[], key_tests[], version_tests[];
extern const size_t write_test_count, read_test_count, list_test_count, manage_test_count, control_test_count,
    upload_test_count, key_test_count, version_test_count;
int new_scope(void **state);
#define CONTRACT_TEST(function) cmocka_unit_test_setup(function, new_scope)

#endif
