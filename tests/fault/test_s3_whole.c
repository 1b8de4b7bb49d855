/* SPDX-License-Identifier: Apache-2.0
 * Stores that send objects whole whatever part of them is asked for, or without saying how long they are: everything is
 * read once, in order, and what was learned counts for all that the client does afterwards. */
#include "s3fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB  ((uint64_t)1 << 20)
#define SIZE (20 * MIB)
#define MORE (5 * MIB) /* the most that is on its way when a reply is given up */

static char directory[64], target[96];

static int setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    int failed = s3fault_setup(state);
    (void)snprintf(directory, sizeof(directory), "%.40s/orbit-whole-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(target, sizeof(target), "%s/file", directory);
    return failed;
}

static int teardown(void **state)
{
    (void)unlink(target);
    (void)rmdir(directory); /* fails, and so does the next test's look, where a temporary was left */
    assert_int_equal(access(directory, F_OK), -1);
    return s3fault_teardown(state);
}

static void assert_file(const char *key, uint64_t offset, uint64_t size)
{
    static uint8_t got[MIB], expected[MIB];
    struct stat about;
    int fd = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_size, size);
    for (uint64_t at_byte = 0; at_byte < size; at_byte += MIB) {
        size_t length = size - at_byte < MIB ? (size_t)(size - at_byte) : (size_t)MIB;
        assert_int_equal(pread(fd, got, length, (off_t)at_byte), length);
        endpoint_pattern(key, offset + at_byte, expected, length);
        assert_memory_equal(got, expected, length);
    }
    close(fd);
}

static int64_t asked(void)
{
    return COUNT("requests.GetObject");
}

static void a_reader_reads_it_once_and_the_next_one_knows(void **state)
{
    (void)state;
    FAULT("op=GetObject&ignore_range=1");
    OK(read_generated("gen-20M", SIZE, NULL, NULL, &told));
    assert_int_equal(asked(), 2); /* the first was given up */
    assert_true(COUNT("sent") <= (int64_t)(SIZE + MORE));
    OK(read_generated("gen-20M-other", SIZE, NULL, NULL, &told));
    assert_int_equal(asked(), 3);
    s3fault_reopen();
    OK(read_generated("gen-20M-third", SIZE, NULL, NULL, &told));
    assert_int_equal(asked(), 4);
    assert_true(COUNT("sent") <= (int64_t)(3 * SIZE + MORE));
}

/* What fits into one request is not given up for an offset: what lies before it is passed over. */
static void a_range_of_it_is_read_by_passing_over_what_is_before(void **state)
{
    (void)state;
    static uint8_t got[3 * MIB], expected[3 * MIB];
    for (int known = 0; known < 2; known++)
        for (uint64_t length = 1000; length <= 3 * MIB; length = length * 1000 + 1) {
            orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
            orbit_reader *reader = NULL;
            size_t done = 0, more = 0;
            if (!known)
                (void)s3fault_teardown(NULL), (void)s3fault_setup(NULL);
            FAULT("op=GetObject&ignore_range=1");
            options.offset = 16 * MIB + 17;
            options.length = length;
            int64_t before = asked();
            OK(orbit_read(&reader, at.store, "gen-20M", &options, &told));
            while (orbit_reader_read(reader, got + done, sizeof(got) - done, &more, &told) == ORBIT_OK && more)
                done += more;
            assert_int_equal(done, length);
            endpoint_pattern("gen-20M", options.offset, expected, length);
            assert_memory_equal(got, expected, length);
            orbit_reader_close(reader);
            assert_int_equal(asked() - before, known || length == 1000 ? 1 : 2);
        }
}

static void a_reader_may_go_back_and_forth(void **state)
{
    (void)state;
    static const uint64_t places[] = {SIZE - 5, 3, 11 * MIB, 11 * MIB + 100, 0};
    orbit_reader *reader = NULL;
    uint8_t got[5], expected[5];
    FAULT("op=GetObject&ignore_range=1");
    OK(orbit_read(&reader, at.store, "gen-20M", NULL, &told));
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        size_t done = 0;
        OK(orbit_reader_seek(reader, places[i], &told));
        while (done < 5) {
            size_t more = 0;
            OK(orbit_reader_read(reader, got + done, 5 - done, &more, &told));
            done += more;
        }
        endpoint_pattern("gen-20M", places[i], expected, 5);
        assert_memory_equal(got, expected, 5);
    }
    orbit_reader_close(reader);
}

static void a_download_reads_it_once(void **state)
{
    (void)state;
    /* With verify=full the object is looked at first, and ranges are asked for side by side. */
    for (int full = 0; full < 2; full++) {
        orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
        orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
        (void)s3fault_teardown(NULL), (void)s3fault_setup(NULL);
        FAULT("op=GetObject&ignore_range=1");
        options.verify = full ? ORBIT_VERIFY_FULL : 0;
        OK(orbit_download(at.store, "gen-20M", target, &options, &result, &told));
        assert_true(result.verified);
        orbit_download_result_release(&result);
        assert_file("gen-20M", 0, SIZE);
        assert_true(asked() <= (full ? 3 : 2));
        assert_true(COUNT("sent") <= (int64_t)(SIZE + 2 * MORE));
        int64_t before = asked();
        OK(orbit_download(at.store, "gen-20M", target, &options, NULL, &told));
        assert_int_equal(asked() - before, 1);
    }
}

static void a_copy_to_a_store_reads_it_once(void **state)
{
    (void)state;
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    options.no_server_copy = true;
    options.write = &write;
    for (int looked = 0; looked < 2; looked++) {
        (void)s3fault_teardown(NULL), (void)s3fault_setup(NULL);
        FAULT("op=GetObject&key=gen-*&ignore_range=1");
        write.checksum = looked ? ORBIT_CHECKSUM_CRC32C : 0;
        OK(orbit_copy(at.store, "gen-20M", at.store, "copy", &options, NULL, &told));
        assert_true(asked() <= (looked ? 3 : 2));
        assert_int_equal(COUNT("open_uploads"), 0);
        orbit_download_options back = ORBIT_DOWNLOAD_OPTIONS_INIT;
        OK(orbit_download(at.store, "copy", target, &back, NULL, &told));
        assert_file("gen-20M", 0, SIZE);
    }
}

/* A reply that is cut goes on from its beginning, and what is there is passed over. */
static void a_cut_is_gone_on_from(void **state)
{
    (void)state;
    FAULT("op=GetObject&ignore_range=1");
    FAULT("op=GetObject&nth=2&cut=15000000");
    OK(read_generated("gen-20M", SIZE, NULL, NULL, &told));
    assert_int_equal(asked(), 3);
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObject&ignore_range=1");
    FAULT("op=GetObject&nth=1&cut=15000000");
    OK(orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
    assert_file("gen-20M", 0, SIZE);
    assert_int_equal(asked(), 5);
}

static void a_cut_at_the_same_place_is_an_error_in_the_end(void **state)
{
    (void)state;
    FAULT("op=GetObject&ignore_range=1&cut=15000000");
    EXPECT(ORBIT_E_NETWORK, read_generated("gen-20M", SIZE, NULL, NULL, &told));
    int64_t first = asked();
    assert_true(first <= 2 + (int64_t)at.options.retry_attempts);
    EXPECT(ORBIT_E_NETWORK, orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
    assert_true(asked() - first <= 1 + (int64_t)at.options.retry_attempts);
}

static void another_object_than_before_the_cut_is_noticed(void **state)
{
    (void)state;
    FAULT("op=GetObject&ignore_range=1");
    FAULT("op=GetObject&nth=2&cut=15000000&change=1");
    EXPECT(ORBIT_E_CHANGED, orbit_download(at.store, "gen-20M-moving", target, NULL, NULL, &told));
}

static void without_a_length_it_is_read_all_the_same(void **state)
{
    (void)state;
    for (int how = 1; how <= 2; how++)
        for (int head = how - 1; head < 2; head++) { /* where neither tells, only chunks show the end */
            (void)s3fault_teardown(NULL), (void)s3fault_setup(NULL);
            endpoint_control(&at.endpoint, "fault?op=GetObject&ignore_range=1&no_length=%d", how);
            if (!head)
                FAULT("op=HeadObject&no_length=1");
            OK(read_generated("gen-20M", SIZE, NULL, NULL, &told));
            OK(orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
            assert_file("gen-20M", 0, SIZE);
            assert_true(COUNT("sent") <= (int64_t)(2 * SIZE + 3 * MORE));
            OK(read_generated("gen-100", 100, NULL, NULL, &told));
            OK(read_generated("gen-0", 0, NULL, NULL, &told));
        }
}

static void without_a_length_a_cut_is_noticed(void **state)
{
    (void)state;
    for (int how = 1; how <= 2; how++) {
        (void)s3fault_teardown(NULL), (void)s3fault_setup(NULL);
        endpoint_control(&at.endpoint, "fault?op=GetObject&ignore_range=1&no_length=%d&cut=15000000", how);
        EXPECT(ORBIT_E_NETWORK, orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
        EXPECT(ORBIT_E_NETWORK, read_generated("gen-20M", SIZE, NULL, NULL, &told));
        FAULT("op=HeadObject&no_length=1");
        orbit_status expected = how == 1 ? ORBIT_E_NETWORK : ORBIT_E_PROTOCOL;
        EXPECT(expected, read_generated("gen-20M-other", SIZE, NULL, NULL, &told));
    }
}

/* rclone's server; and one that would have each object end where the first range does. */
static void a_range_that_is_answered_with_200_is_no_whole_object(void **state)
{
    (void)state;
    FAULT("op=GetObject&range_200=1");
    OK(read_generated("gen-20M", SIZE, NULL, NULL, &told));
    OK(orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
    assert_file("gen-20M", 0, SIZE);
    assert_true(COUNT("sent") <= (int64_t)(2 * SIZE + MIB));
    assert_int_equal(unlink(target), 0);
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=GetObject&range_200=2");
    EXPECT(ORBIT_E_PROTOCOL, orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
    assert_non_null(strstr(told.message, "as if it was all of it"));
    EXPECT(ORBIT_E_PROTOCOL, read_generated("gen-20M", SIZE, NULL, NULL, &told));
}

/* S3Proxy knows few headers and refuses the others. */
static void a_store_that_is_not_to_be_asked_for_checksums_is_read_without(void **state)
{
    (void)state;
    orbit_metadata about = ORBIT_METADATA_INIT;
    endpoint_control(&at.endpoint, "set?checksum_mode=0");
    OK(orbit_stat(at.store, "gen-20M", NULL, &about, &told));
    assert_int_equal(about.size, SIZE);
    orbit_metadata_release(&about);
    assert_int_equal(COUNT("requests.HeadObject"), 2); /* the first was refused */
    OK(orbit_download(at.store, "gen-20M", target, NULL, NULL, &told));
    assert_file("gen-20M", 0, SIZE);
    OK(orbit_stat(at.store, "gen-20M", NULL, &about, &told));
    orbit_metadata_release(&about);
    assert_true(COUNT("requests.HeadObject") <= 4); /* two looks, one by the download: no more refusals */
    endpoint_control(&at.endpoint, "set?checksum_mode=1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_reader_reads_it_once_and_the_next_one_knows),
        TEST(a_range_of_it_is_read_by_passing_over_what_is_before),
        TEST(a_reader_may_go_back_and_forth),
        TEST(a_download_reads_it_once),
        TEST(a_copy_to_a_store_reads_it_once),
        TEST(a_cut_is_gone_on_from),
        TEST(a_cut_at_the_same_place_is_an_error_in_the_end),
        TEST(another_object_than_before_the_cut_is_noticed),
        TEST(without_a_length_it_is_read_all_the_same),
        TEST(without_a_length_a_cut_is_noticed),
        TEST(a_range_that_is_answered_with_200_is_no_whole_object),
        TEST(a_store_that_is_not_to_be_asked_for_checksums_is_read_without),
    };
    return cmocka_run_group_tests_name("s3_whole", tests, s3fault_group_setup, s3fault_group_teardown);
}
