/* SPDX-License-Identifier: Apache-2.0
 * One scripted endpoint for all tests of a program, and backends on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/s3_store.h"

struct endpoint endpoint;
struct ophost host;

orbit_s3_config s3_config_for(const char *bucket)
{
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    config.bucket = bucket;
    config.endpoint = endpoint.url;
    config.access_key_id = ENDPOINT_ACCESS;
    config.secret_access_key = ENDPOINT_SECRET;
    config.region = "us-east-1";
    return config;
}

struct orb_backend *s3_open_with(const orbit_s3_config *config)
{
    orbit_error error = {0};
    struct orb_backend *store = ophost_backend(&host, &orb_s3_ops, "", "", NULL, NULL, config, &error);
    if (!store)
        print_error("%s\n", error.message);
    assert_non_null(store);
    return store;
}

struct orb_backend *s3_open_bucket(const char *bucket)
{
    orbit_s3_config config = s3_config_for(bucket);
    return s3_open_with(&config);
}

int s3_tests_start(void **state)
{
    (void)state;
    endpoint_start(&endpoint, "--store", "--bucket", "store", NULL);
    ophost_open(&host, 2);
    return 0;
}

int s3_tests_stop(void **state)
{
    (void)state;
    ophost_close(&host);
    endpoint_stop(&endpoint);
    return 0;
}

void s3_forget(void)
{
    ophost_close(&host);
    ophost_open(&host, 2);
}

int s3_tests_reset(void **state)
{
    (void)state;
    endpoint_reset(&endpoint);
    s3_forget();
    return 0;
}

bool s3_retriable(const orbit_error *error)
{
    return (error->flags & ORBIT_ERROR_RETRIABLE) != 0;
}

orbit_status s3_look(struct orb_backend *store, const char *path, orbit_error *error)
{
    orbit_metadata metadata = {0};
    orbit_status status = ophost_stat(store, path, &metadata, error);
    orbit_metadata_release(&metadata);
    return status;
}

void s3_put_keys(struct orb_backend *store, const char *const *keys, size_t count)
{
    orbit_error error;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ophost_put(store, keys[i], NULL, "x", 1, NULL, &error), ORBIT_OK);
}
