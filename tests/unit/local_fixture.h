/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the local backend share: a scratch directory that is also the current one, a backend rooted
 * in it (`store`) and one without a root (`plain`). */
#ifndef ORB_TESTS_UNIT_LOCAL_FIXTURE_H
#define ORB_TESTS_UNIT_LOCAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/local/local.h"
#include "base/mem.h"
#include "support/ophost.h"

struct fixture {
    struct ophost host;
    struct orb_backend *store, *plain;
    char directory[64];
    orbit_error error;
};

static inline struct fixture *fixture_of(void **state)
{
    return *state;
}

static inline int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *parent = getenv("TMPDIR");
    snprintf(fixture->directory, sizeof(fixture->directory), "%.40s/orbit-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(fixture->directory) || chdir(fixture->directory) != 0)
        return -1;
    ophost_open(&fixture->host, 0);
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    config.root = fixture->directory;
    fixture->store = ophost_backend(&fixture->host, &orb_local_ops, "", "", NULL, NULL, &config, &fixture->error);
    fixture->plain = ophost_backend(&fixture->host, &orb_local_ops, "", "", NULL, NULL, NULL, &fixture->error);
    *state = fixture;
    return fixture->store && fixture->plain ? 0 : -1;
}

/* The same with rooted paths walked by hand. */
static inline int fixture_open_by_hand(void **state)
{
    int status = fixture_open(state);
    if (status == 0)
        ((struct orb_local *)fixture_of(state)->store->self)->walk_by_hand = true;
    return status;
}

static inline int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    ophost_backend_close(fixture->store);
    ophost_backend_close(fixture->plain);
    ophost_close(&fixture->host);
    if (chdir("/") != 0)
        return -1;
    snprintf(command, sizeof(command), "rm -rf '%s'", fixture->directory);
    int status = system(command);
    free(fixture);
    return status;
}

static inline void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void make_directory(const char *path)
{
    assert_int_equal(mkdir(path, 0777), 0);
}

static inline void assert_holds(const char *path, const char *text)
{
    char bytes[4096] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(bytes, 1, sizeof(bytes) - 1, file);
    bytes[length] = '\0';
    fclose(file);
    assert_string_equal(bytes, text);
}

/* Names in a directory, dots not counted. */
static inline unsigned count_names(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);
    struct dirent *dirent;
    assert_non_null(directory);
    while ((dirent = readdir(directory)))
        count += strcmp(dirent->d_name, ".") != 0 && strcmp(dirent->d_name, "..") != 0;
    closedir(directory);
    return count;
}

static inline unsigned open_descriptors(void)
{
    return count_names("/proc/self/fd") - 1;
}

static inline orbit_status put_text(struct orb_backend *store, const char *path, const orbit_write_options *options,
                                    const char *text, orbit_error *error)
{
    return ophost_put(store, path, options, text, strlen(text), NULL, error);
}

#define assert_status(got, expected) assert_int_equal((int)(got), (int)(expected))

#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
#define LOCAL_TEST_BY_HAND(test)                                                         \
    {                                                                                    \
        .name = #test "_by_hand", .test_func = test, .setup_func = fixture_open_by_hand, \
        .teardown_func = fixture_close                                                   \
    }

#endif
