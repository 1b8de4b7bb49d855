/* SPDX-License-Identifier: Apache-2.0
 * A store that takes 50 requests a second and answers the others with 503 SlowDown: what is asked of it is at most 1.3
 * times what is needed, whatever moves and whether the number of requests in flight is Orbit's own or one that somebody
 * asked for. Requests are counted where they arrive; the time they take is the store's matter.
 *   test_s3_rate_limit adaptive|fixed [TEST] */
#include "s3fault.h"

#include <orbit/transfer.h>
#include <stdio.h>

#define RATE   50
#define NEEDED 250u
#define PIECE  (64u << 10)
#define FIXED  32u

static uint32_t in_flight; /* 0: Orbit's own number */

static int setup(void **state)
{
    int failed = s3fault_setup(state);
    at.options.chunk_size = PIECE;
    at.options.parallel_operations = in_flight;
    at.options.retry_attempts = 0; /* as usual */
    at.options.retry_deadline_ms = 0;
    s3fault_reopen();
    endpoint_control(&at.endpoint, "set?rate=%d", RATE);
    return failed;
}

static void expect_few(const char *what, int64_t asked, unsigned needed)
{
    print_message("%s, %s: %lld requests of %u\n", what, in_flight ? "32 in flight" : "adaptive", (long long)asked,
                  needed);
    assert_in_range(asked, needed, needed * 13 / 10);
}

static void a_large_download(void **state)
{
    (void)state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    char key[32];
    options.no_hedge = true;
    (void)snprintf(key, sizeof(key), "gen-%uK", NEEDED * (PIECE >> 10));
    OK(read_generated(key, (uint64_t)NEEDED * PIECE, &options, NULL, &told));
    expect_few("a download", COUNT("total"), NEEDED);
    assert_int_equal(COUNT("sent") >= (int64_t)NEEDED * PIECE, 1);
}

static void a_large_upload(void **state)
{
    (void)state;
    size_t size = (size_t)NEEDED * PIECE;
    uint8_t *bytes = make_bytes(size, 1);
    OK(write_bytes("large", bytes, size, &told));
    free(bytes);
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(COUNT("objects"), 1);
    expect_few("an upload", COUNT("total"), NEEDED + 2);
}

struct many {
    unsigned given;
    char key[32];
    uint8_t bytes[1000];
};

static orbit_status next_small(void *ctx, orbit_job *job, orbit_error *error)
{
    struct many *many = ctx;
    (void)error;
    if (many->given == NEEDED)
        return ORBIT_END;
    (void)snprintf(many->key, sizeof(many->key), "small-%u", many->given++);
    job->operation = ORBIT_JOB_WRITE;
    job->to_backend = at.store;
    job->to = many->key;
    job->source = orbit_source_memory(many->bytes, sizeof(many->bytes));
    job->bytes = sizeof(many->bytes);
    return ORBIT_OK;
}

static void many_small_objects(void **state)
{
    (void)state;
    static struct many many;
    orbit_job_source jobs = {.next = next_small, .ctx = &many};
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    many.given = 0;
    options.concurrency = in_flight;
    OK(orbit_transfer_run(at.client, &jobs, &options, &totals, &told));
    assert_int_equal(totals.done, NEEDED);
    assert_int_equal(COUNT("objects"), NEEDED);
    expect_few("small objects", COUNT("total"), NEEDED);
}

#define RATE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, s3fault_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {RATE_TEST(a_large_download), RATE_TEST(a_large_upload),
                                       RATE_TEST(many_small_objects)};
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    in_flight = argc > 1 && !strcmp(argv[1], "fixed") ? FIXED : 0;
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
