/* SPDX-License-Identifier: Apache-2.0
 * Requests that hang while others are answered. The endpoint's time-out is longer than the test may take: what hung is
 * only ever done if it was asked for again before that. Requests are counted where they arrive, nothing is timed. */
#include "s3fault.h"

#include <fcntl.h>
#include <ftw.h>
#include <orbit/transfer.h>
#include <stdio.h>
#include <unistd.h>

#define FILES 300u
#define SMALL 2000u
#define NEVER "latency_ms=900000&reset=before" /* it hangs, and comes to nothing */

static char root[64];

static int setup(void **state)
{
    int failed = s3fault_setup(state);
    at.options.retry_attempts = 0; /* as usual, but for the time limits */
    at.options.retry_deadline_ms = 0;
    at.options.parallel_operations = 0;
    at.options.first_byte_timeout_ms = at.options.stall_timeout_ms = 1800000;
    s3fault_reopen();
    return failed;
}

static orbit_client_stats stats_of(void)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    OK(orbit_client_get_stats(at.client, &stats));
    return stats;
}

/* ---- many objects at once -------------------------------------------------------------------------------- */

struct many {
    unsigned given, count;
    size_t length;
    char key[32];
    uint8_t *bytes;
};

static orbit_status next_write(void *ctx, orbit_job *job, orbit_error *error)
{
    struct many *many = ctx;
    (void)error;
    if (many->given == many->count)
        return ORBIT_END;
    (void)snprintf(many->key, sizeof(many->key), "tree/%06u", many->given++);
    job->operation = ORBIT_JOB_WRITE;
    job->to_backend = at.store;
    job->to = many->key;
    job->source = orbit_source_memory(many->bytes, many->length);
    job->bytes = many->length;
    return ORBIT_OK;
}

static void write_many(unsigned count, size_t length)
{
    struct many many = {.count = count, .length = length, .bytes = make_bytes(length, 7)};
    orbit_job_source jobs = {.next = next_write, .ctx = &many};
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    OK(orbit_transfer_run(at.client, &jobs, NULL, &totals, &told));
    free(many.bytes);
    assert_int_equal(totals.failed, 0);
    assert_int_equal(totals.done, count);
}

static void writes_that_hang_are_made_again(void **state)
{
    (void)state;
    FAULT("op=PutObject&nth=60&count=3&" NEVER);
    FAULT("op=PutObject&nth=150&" NEVER);
    write_many(FILES, SMALL);
    orbit_client_stats stats = stats_of();
    assert_int_equal(COUNT("objects"), FILES);
    assert_int_equal(COUNT("rewritten"), 0);
    assert_true(stats.hurries >= 4);
    assert_int_equal(COUNT("requests.PutObject"), FILES + stats.hurries);
    assert_true(stats.memory_peak_bytes <= stats.memory_limit_bytes);
}

/* The object's parts and its end; its beginning is not asked for twice. */
static void parts_and_ends_that_hang_are_asked_for_again(void **state)
{
    (void)state;
    FAULT("op=UploadPart&nth=40&" NEVER);
    FAULT("op=UploadPart&nth=90&" NEVER);
    FAULT("op=CompleteMultipartUpload&nth=20&" NEVER);
    write_many(80, 3 * CHUNK);
    orbit_client_stats stats = stats_of();
    assert_int_equal(COUNT("objects"), 80);
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 80);
    assert_true(stats.hurries >= 3);
}

/* A finish that hangs has taken place for all that: it is looked for, not made again. */
static void an_end_that_took_place_in_silence_is_found(void **state)
{
    (void)state;
    FAULT("op=CompleteMultipartUpload&nth=20&stall=0&stall_ms=900000");
    write_many(80, 2 * CHUNK);
    assert_int_equal(COUNT("objects"), 80);
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(COUNT("rewritten"), 0);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place)
{
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

/* Replies that never begin, and that stop in the middle: the next one begins at the byte that is missing. */
static void reads_that_hang_are_made_again(void **state)
{
    (void)state;
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    orbit_backend *disk;
    orbit_job_source jobs;
    const char *parent = getenv("TMPDIR");
    (void)snprintf(root, sizeof(root), "%.40s/orbit-hangs-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(root));
    OK(orbit_open(&disk, at.client, "file:", NULL, &told));
    write_many(FILES, SMALL);
    uint64_t before = stats_of().hurries;
    FAULT("op=GetObject&nth=60&count=2&" NEVER);
    FAULT("op=GetObject&nth=150&count=2&stall=1000&stall_ms=900000");
    OK(orbit_jobs_tree(&jobs, ORBIT_JOB_COPY, at.store, "tree", disk, root, NULL, &told));
    OK(orbit_transfer_run(at.client, &jobs, &options, &totals, &told));
    assert_int_equal(totals.failed, 0);
    assert_int_equal(totals.done, FILES);
    assert_true(stats_of().hurries - before >= 4);

    uint8_t *bytes = make_bytes(SMALL, 7), got[SMALL + 1];
    for (unsigned i = 0; i < FILES; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%06u", root, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, got, sizeof(got)), SMALL);
        assert_memory_equal(got, bytes, SMALL);
        close(fd);
    }
    free(bytes);
    orbit_backend_close(disk);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Nobody is answered any more: there are no more of those that hang than would be in flight anyway, and one is asked
 * again for eight that were answered before. */
static void a_store_that_is_dead_is_not_given_more(void **state)
{
    (void)state;
    struct many many = {.count = 1000, .length = SMALL, .bytes = make_bytes(SMALL, 7)};
    orbit_job_source jobs = {.next = next_write, .ctx = &many};
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    orbit_task *task;
    int64_t asked = 0, before = -1;
    FAULT("op=PutObject&nth=100&count=1000&" NEVER);
    OK(orbit_transfer_start(&task, at.client, &jobs, NULL, &totals, NULL, NULL, &told));
    while (asked < 100 || asked != before) { /* nothing new for three seconds */
        before = asked;
        sleep(3);
        asked = COUNT("requests.PutObject");
    }
    orbit_task_cancel(task);
    assert_int_equal(orbit_task_wait(task, &told), ORBIT_E_CANCELLED);
    orbit_task_free(task);
    print_message("%lld requests hung\n", (long long)asked - 99);
    assert_in_range(asked - 99, 1, 64 + (int64_t)stats_of().hurries);
    assert_in_range(stats_of().hurries, 0, 2 + 99 / 7);
    free(many.bytes);
}

#define HANG_TEST(function) cmocka_unit_test_setup_teardown(function, setup, s3fault_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANG_TEST(writes_that_hang_are_made_again),
        HANG_TEST(parts_and_ends_that_hang_are_asked_for_again),
        HANG_TEST(an_end_that_took_place_in_silence_is_found),
        HANG_TEST(reads_that_hang_are_made_again),
        HANG_TEST(a_store_that_is_dead_is_not_given_more),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
