/* SPDX-License-Identifier: Apache-2.0
 * A tree of files up to a store and down again in one client, while the store refuses, cuts bodies, hangs and loses
 * replies, all at once: every byte is right, and nothing is left behind on either side. bench/faults.py does the same
 * with the command, more and larger files. */
#include "s3fault.h"

#include <fcntl.h>
#include <ftw.h>
#include <orbit/transfer.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES   160u
#define LARGEST ((size_t)2 << 20) /* eight parts */

static char root[64];
static orbit_backend *disk;

/* 1 KiB to 2 MiB, each size as often as its double; every sixteenth is of the largest. */
static size_t size_of(unsigned number)
{
    size_t size = (size_t)1024 << number % 12;
    return number % 16 == 0 ? LARGEST : size > LARGEST ? LARGEST : size - number;
}

static void path_of(char path[128], const char *tree, unsigned number)
{
    (void)snprintf(path, 128, "%s/%s/f%04u", root, tree, number);
}

static void make_tree(const char *tree)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", root, tree);
    assert_int_equal(mkdir(path, 0700), 0);
    for (unsigned i = 0; i < FILES; i++) {
        uint8_t *bytes = make_bytes(size_of(i), i);
        path_of(path, tree, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, size_of(i)), size_of(i));
        close(fd);
        free(bytes);
    }
}

static void compare_tree(const char *tree)
{
    static uint8_t got[LARGEST + 1];
    char path[128];
    for (unsigned i = 0; i < FILES; i++) {
        uint8_t *bytes = make_bytes(size_of(i), i);
        path_of(path, tree, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, got, sizeof(got)), size_of(i));
        assert_memory_equal(got, bytes, size_of(i));
        close(fd);
        free(bytes);
    }
}

static unsigned found;

static int count_one(const char *path, const struct stat *about, int type, struct FTW *place)
{
    (void)path;
    (void)about;
    (void)place;
    found += type == FTW_F;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place)
{
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static int group_setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(root, sizeof(root), "%.40s/orbit-mix-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(root) ? s3fault_group_setup(state) : -1;
}

static int group_teardown(void **state)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return s3fault_group_teardown(state);
}

static void each(void *ctx, const orbit_transfer_result *result, orbit_status status, const orbit_error *error)
{
    (void)ctx;
    if (status != ORBIT_OK)
        print_error("%s -> %s: %s\n", result->from, result->to, error->message);
}

static void copy_all(orbit_backend *from, const char *from_path, orbit_backend *to, const char *to_path)
{
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    orbit_job_source jobs;
    options.each = each;
    OK(orbit_jobs_tree(&jobs, ORBIT_JOB_COPY, from, from_path, to, to_path, NULL, &told));
    OK(orbit_transfer_run(at.client, &jobs, &options, &totals, &told));
    assert_int_equal(totals.failed, 0);
    assert_int_equal(totals.done, FILES);
}

/* Shares are of requests. Bodies are cut either way: of replies, and of requests, which the store resets. A begin that
 * hangs comes to nothing: one that the store carries out when nobody listens any more cannot be found by its caller. */
static void begin_the_faults(void)
{
    static const char *const hanging[] = {"GetObject", "HeadObject", "PutObject", "ListObjectsV2",
                                          "AbortMultipartUpload"};
    FAULT("op=*&probability=0.1&seed=1&status=503");
    FAULT("op=GetObject&probability=0.025&seed=2&cut=700");
    FAULT("op=GetObject&probability=0.025&seed=3&cut=150000");
    FAULT("op=PutObject&probability=0.05&seed=4&upload_stop=500");
    FAULT("op=UploadPart&probability=0.05&seed=5&upload_stop=150000");
    for (size_t i = 0; i < COUNT_OF(hanging); i++) /* longer than a first byte may take, */
        FAULT("op=%s&probability=0.01&seed=6&latency_ms=2000", hanging[i]);
    FAULT("op=CreateMultipartUpload&probability=0.05&seed=10&latency_ms=2000&reset=before");
    FAULT("op=GetObject&probability=0.01&seed=7&stall=300&stall_ms=2000"); /* and than a body may stand still */
    FAULT("op=UploadPart&probability=0.01&seed=8&latency_ms=2000&reset=before");
    FAULT("op=CompleteMultipartUpload&probability=0.05&seed=9&lost=1");
    FAULT("op=CompleteMultipartUpload&nth=2&lost=1"); /* one of each is lost for certain */
    FAULT("op=CreateMultipartUpload&nth=4&lost=1");
}

static void a_tree_survives_all_faults_at_once(void **state)
{
    (void)state;
    char up[128], down[128];
    (void)snprintf(up, sizeof(up), "%s/up", root);
    (void)snprintf(down, sizeof(down), "%s/down", root);
    at.options.retry_attempts = 0; /* as usual, but for the time limits */
    at.options.parallel_operations = 0;
    at.options.first_byte_timeout_ms = at.options.stall_timeout_ms = 600;
    s3fault_reopen();
    OK(orbit_open(&disk, at.client, "file:", NULL, &told));
    make_tree("up");

    begin_the_faults();
    copy_all(disk, up, at.store, "tree");
    copy_all(at.store, "tree", disk, down);
    int64_t asked = COUNT("total"), refused = COUNT("status_5xx");
    endpoint_control(&at.endpoint, "clear");

    print_message("%lld requests, %lld of them refused\n", (long long)asked, (long long)refused);
    assert_true(refused > 0);
    compare_tree("down");
    found = 0;
    assert_int_equal(nftw(down, count_one, 16, FTW_PHYS), 0);
    assert_int_equal(found, FILES); /* no temporary stays */
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(COUNT("objects"), FILES);
    assert_int_equal(COUNT("rewritten"), 0);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    OK(orbit_client_get_stats(at.client, &stats));
    assert_int_equal(stats.memory_used_bytes, 0);
    orbit_backend_close(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FAULT_TEST(a_tree_survives_all_faults_at_once)};
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
