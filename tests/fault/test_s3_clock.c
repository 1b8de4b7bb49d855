/* SPDX-License-Identifier: Apache-2.0
 * A clock that is wrong by more than the store allows, and a region that is: whatever comes first, whatever comes at
 * once, and that a client learns it once for all its backends. */
#include "s3fault.h"

#include <stdio.h>

enum { WRONG_S = 1200, MANY = 6, BUCKETS = 80 };

static const int directions[] = {WRONG_S, -WRONG_S};

static void wrong_clock(int seconds)
{
    endpoint_control(&at.endpoint, "set?clock_offset_s=%d", seconds);
}

static orbit_status look(orbit_error *error)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_status status = orbit_stat(at.store, "gen-1K", NULL, &metadata, error);
    orbit_metadata_release(&metadata);
    return status;
}

static orbit_status write_small(orbit_error *error)
{
    return write_bytes("small", "12345", 5, error);
}

static orbit_status write_parts(orbit_error *error)
{
    static uint8_t *bytes;
    if (!bytes)
        bytes = make_bytes(3 * CHUNK + 7, 3);
    orbit_status status = write_bytes("large", bytes, 3 * CHUNK + 7, error);
    return status < 0 ? status : read_back("large", bytes, 3 * CHUNK + 7, error);
}

static orbit_status read_large(orbit_error *error)
{
    return read_generated("gen-3M", 3 << 20, NULL, NULL, error);
}

static orbit_status list_all(orbit_error *error)
{
    size_t count;
    return list_count("", true, &count, error);
}

static orbit_status remove_one(orbit_error *error)
{
    return orbit_remove(at.store, "nothing", NULL, error);
}

static void first_request_of_any_kind_corrects_the_clock(void **state)
{
    (void)state;
    orbit_status (*const calls[])(orbit_error *) = {look, write_small, write_parts, read_large, list_all, remove_one};
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        for (size_t d = 0; d < COUNT_OF(directions); d++) {
            wrong_clock(directions[d]);
            s3fault_fresh_client();
            OK(calls[i](&told));
            OK(calls[i](&told));
            assert_int_equal(COUNT("open_uploads"), 0);
        }
}

/* All of them are signed by the wrong clock before the first reply corrects it; a HEAD that is refused has no code. */
static void requests_that_are_wrong_at_once_all_come_right(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(3 * CHUNK, 5);
    for (size_t d = 0; d < COUNT_OF(directions); d++) {
        orbit_task *tasks[2 * MANY];
        orbit_metadata metadata[MANY] = {ORBIT_METADATA_INIT};
        wrong_clock(directions[d]);
        FAULT("op=*&latency_ms=50&count=20");
        s3fault_fresh_client();
        for (size_t i = 0; i < MANY; i++) {
            char key[16];
            snprintf(key, sizeof(key), "at-once-%zu", i);
            OK(orbit_stat_start(&tasks[2 * i], at.store, "gen-1K", NULL, &metadata[i], NULL, NULL, &told));
            OK(orbit_write_start(&tasks[2 * i + 1], at.store, key, orbit_source_memory(bytes, 3 * CHUNK),
                                 i % 2 ? 3 * CHUNK : ORBIT_SIZE_UNKNOWN, NULL, NULL, NULL, NULL, &told));
        }
        OK(list_all(&told));
        OK(read_large(&told));
        for (size_t i = 0; i < 2 * MANY; i++) {
            OK(orbit_task_wait(tasks[i], &told));
            orbit_task_free(tasks[i]);
        }
        for (size_t i = 0; i < MANY; i++)
            orbit_metadata_release(&metadata[i]);
        endpoint_control(&at.endpoint, "clear");
    }
    free(bytes);
}

/* Fetches a URL as its user would. */
static int fetch(const char *url)
{
    static char command[ORBIT_PRESIGNED_MAX + 64];
    snprintf(command, sizeof(command), "curl -sf -o /dev/null '%s'", url);
    return system(command);
}

static void what_one_backend_learned_the_next_one_knows(void **state)
{
    (void)state;
    static char url[ORBIT_PRESIGNED_MAX];
    for (size_t d = 0; d < COUNT_OF(directions); d++) {
        wrong_clock(directions[d]);
        at.config.region = "eu-north-1";
        s3fault_fresh_client();
        OK(look(&told));
        int64_t refused = COUNT("status_4xx");
        assert_true(refused >= 2);
        s3fault_reopen();
        OK(orbit_presign(at.store, "gen-1K", NULL, url, sizeof(url), &told));
        assert_non_null(strstr(url, "us-east-1"));
        assert_int_equal(fetch(url), 0);
        OK(write_parts(&told));
        OK(list_all(&told));
        assert_int_equal(COUNT("status_4xx"), refused);
        endpoint_reset(&at.endpoint);
    }
}

/* More buckets than a client remembers: who is forgotten learns again. */
static void many_buckets_are_remembered_and_none_is_mistaken(void **state)
{
    (void)state;
    char bucket[32];
    s3fault_fresh_client();
    at.config.bucket = bucket;
    for (int i = 0; i < BUCKETS; i++) {
        snprintf(bucket, sizeof(bucket), "bucket-%d", i);
        at.config.region = "us-east-1";
        s3fault_reopen();
        OK(orbit_container_create(at.store, NULL, &told));
        at.config.region = "eu-north-1";
        s3fault_reopen();
        OK(look(&told));
    }
    int64_t refused = COUNT("status_4xx");
    assert_int_equal(refused, BUCKETS);
    s3fault_reopen(); /* the latest */
    OK(look(&told));
    assert_int_equal(COUNT("status_4xx"), refused);
    snprintf(bucket, sizeof(bucket), "bucket-0");
    s3fault_reopen();
    OK(look(&told));
    assert_int_equal(COUNT("status_4xx"), refused + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(first_request_of_any_kind_corrects_the_clock),
        FAULT_TEST(requests_that_are_wrong_at_once_all_come_right),
        FAULT_TEST(what_one_backend_learned_the_next_one_knows),
        FAULT_TEST(many_buckets_are_remembered_and_none_is_mistaken),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
