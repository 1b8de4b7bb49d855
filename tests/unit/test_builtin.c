/* SPDX-License-Identifier: Apache-2.0
 * The client with its own backends: opening them by URL and by config, removing and renaming for real. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <orbit/orbit.h>

static int setup(void **state)
{
    orbit_error error;
    orbit_client *client;
    assert_int_equal(orbit_client_open(&client, NULL, &error), ORBIT_OK);
    *state = client;
    return 0;
}

static int teardown(void **state)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(*state, &stats);
    assert_int_equal(stats.memory_used_bytes, 0);
    orbit_client_close(*state);
    return 0;
}

static orbit_backend *open_url(orbit_client *client, const char *url)
{
    orbit_backend *backend = NULL;
    orbit_error error = {0};
    if (orbit_open(&backend, client, url, NULL, &error) < 0)
        fail_msg("%s: %s", url, error.message);
    return backend;
}

static void put(orbit_backend *backend, const char *path)
{
    orbit_error error = {0};
    if (orbit_write(backend, path, orbit_source_memory("12345", 5), 5, NULL, NULL, &error) < 0)
        fail_msg("%s: %s", path, error.message);
}

static bool there(orbit_backend *backend, const char *path)
{
    bool exists = false;
    orbit_error error = {0};
    if (orbit_exists(backend, path, NULL, &exists, &error) < 0)
        fail_msg("%s: %s", path, error.message);
    return exists;
}

static void fill(orbit_backend *backend)
{
    char path[64];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "t/a%u/b%u/f%u", i % 3, i % 7, i);
        put(backend, path);
    }
    put(backend, "t/x");
    put(backend, "tt/x");
}

static void remove_tree(orbit_backend *backend)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_error error = {0};
    options.recursive = true;
    fill(backend);
    if (orbit_remove(backend, "t", &options, &error) < 0)
        fail_msg("%s", error.message);
    assert_false(there(backend, "t/x"));
    assert_false(there(backend, "t/a1/b1/f1"));
    assert_false(there(backend, "t"));
    assert_true(there(backend, "tt/x"));
}

static void trees_are_removed_on_every_kind_of_store(void **state)
{
    const char *const urls[] = {"mem://one", "mem://two?profile=files", "mem://three?profile=sequential",
                                "mem://one/below/a/root"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        orbit_backend *backend = open_url(*state, urls[i]);
        remove_tree(backend);
        orbit_backend_close(backend);
    }
}

static void local_trees_are_removed_below_the_root(void **state)
{
    char directory[] = "/tmp/orbit-builtin-XXXXXX", url[64], path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(url, sizeof(url), "file://%s", directory);
    orbit_backend *backend = open_url(*state, url);
    assert_string_equal(orbit_backend_name(backend), "local");
    remove_tree(backend);
    orbit_backend_close(backend);

    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    orbit_error error = {0};
    config.root = directory;
    assert_int_equal(orbit_open_local(&backend, *state, &config, NULL, &error), ORBIT_OK);
    assert_true(there(backend, "tt/x"));
    assert_int_equal(orbit_rename(backend, "tt/x", "y", true, NULL, &error), ORBIT_OK);
    assert_true(there(backend, "y"));
    assert_int_equal(orbit_remove(backend, "tt", NULL, &error), ORBIT_OK);
    assert_int_equal(orbit_remove(backend, "tt", NULL, &error), ORBIT_E_NOT_FOUND);
    orbit_backend_close(backend);

    backend = open_url(*state, "file:"); /* the whole file system */
    snprintf(path, sizeof(path), "%s/y", directory);
    assert_true(there(backend, path));
    assert_int_equal(orbit_remove(backend, path, NULL, &error), ORBIT_OK);
    orbit_backend_close(backend);
    assert_int_equal(rmdir(directory), 0);
}

static void objects_are_renamed_by_copy(void **state)
{
    orbit_backend *backend = open_url(*state, "mem://rename");
    orbit_error error = {0};
    put(backend, "a//b");
    assert_int_equal(orbit_rename(backend, "a//b", "c?d#e", true, NULL, &error), ORBIT_OK);
    assert_false(there(backend, "a//b"));
    assert_true(there(backend, "c?d#e"));
    put(backend, "f");
    assert_int_equal(orbit_rename(backend, "f", "c?d#e", false, NULL, &error), ORBIT_E_EXISTS);
    assert_true(there(backend, "f"));
    orbit_backend_close(backend);
}

static void memory_stores_of_one_name_are_one(void **state)
{
    orbit_backend *first = open_url(*state, "mem://same"), *second = open_url(*state, "mem://same"), *other = NULL;
    orbit_mem_config config = ORBIT_MEM_CONFIG_INIT;
    orbit_error error = {0};
    put(first, "a");
    assert_true(there(second, "a"));
    config.name = "same";
    assert_int_equal(orbit_open_mem(&other, *state, &config, NULL, &error), ORBIT_OK);
    assert_true(there(other, "a"));
    orbit_backend_close(other);
    config.name = NULL;
    assert_int_equal(orbit_open_mem(&other, *state, &config, NULL, &error), ORBIT_OK);
    assert_false(there(other, "a"));
    orbit_backend_close(other);
    orbit_backend_close(first);
    orbit_backend_close(second);
}

static void an_s3_backend_opens_without_io(void **state)
{
    orbit_backend *backend = NULL;
    orbit_error error = {0};
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    config.bucket = "bucket";
    config.prefix = "pre/fix";
    config.endpoint = "http://127.0.0.1:9";
    config.access_key_id = "id";
    config.secret_access_key = "secret";
    assert_int_equal(orbit_open_s3(&backend, *state, &config, NULL, &error), ORBIT_OK);
    assert_string_equal(orbit_backend_name(backend), "s3");
    /* Nobody listens: told after three attempts. */
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_E_CONNECT);
    assert_non_null(strstr(error.message, "(after 3 attempts)"));
    orbit_backend_close(backend);
    backend = open_url(*state, "s3://bucket?region=eu-west-1&endpoint=http://127.0.0.1:9");
    orbit_backend_close(backend);
}

int main(void)
{
    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trees_are_removed_on_every_kind_of_store, setup, teardown),
        cmocka_unit_test_setup_teardown(local_trees_are_removed_below_the_root, setup, teardown),
        cmocka_unit_test_setup_teardown(objects_are_renamed_by_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_stores_of_one_name_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(an_s3_backend_opens_without_io, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
