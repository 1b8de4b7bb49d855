/* SPDX-License-Identifier: Apache-2.0
 * Downloads that go on from a part which another program left at the name, without a journal: what is right is not
 * fetched again, what is wrong is never kept. What was fetched is counted at the endpoint. */
#include "s3fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB  ((uint64_t)1 << 20)
#define SIZE (24 * MIB)
#define KEY  "gen-24M" /* its checksum is a CRC64NVME */
#define PART (15 * MIB + 12345)

static char directory[64], target[96];

static int setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(directory, sizeof(directory), "%.40s/orbit-offset-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(target, sizeof(target), "%s/file", directory);
    if (s3fault_setup(state) != 0)
        return -1;
    endpoint_control(&at.endpoint, "set?gen_checksum=1&own_checksum=0");
    at.options.chunk_size = 0;
    at.options.parallel_operations = 0;
    at.options.retry_attempts = 1;
    at.options.stall_timeout_ms = at.options.first_byte_timeout_ms = 0;
    s3fault_reopen();
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    endpoint_control(&at.endpoint, "set?gen_checksum=1&own_checksum=1&anonymous=0");
    s3fault_teardown(state);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

static unsigned entries(void)
{
    unsigned count = 0;
    DIR *dir = opendir(directory);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* The first `size` bytes of the generated object `key`, and what comes after them in other generated ones. */
static void leave(const char *key, uint64_t size)
{
    static uint8_t block[1 << 20];
    int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    for (uint64_t done = 0; done < size;) {
        size_t length = size - done < sizeof(block) ? (size_t)(size - done) : sizeof(block);
        endpoint_pattern(key, done, block, length);
        assert_int_equal(write(fd, block, length), length);
        done += length;
    }
    close(fd);
}

static void change_byte(uint64_t at_byte)
{
    uint8_t byte;
    int fd = open(target, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at_byte), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at_byte), 1);
    close(fd);
}

static void assert_whole(const char *key, uint64_t size)
{
    static uint8_t got[1 << 20], expected[1 << 20];
    struct stat stat_of;
    int fd = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat_of), 0);
    assert_int_equal(stat_of.st_size, size);
    for (uint64_t offset = 0; offset < size; offset += sizeof(got)) {
        size_t length = size - offset < sizeof(got) ? (size_t)(size - offset) : sizeof(got);
        assert_int_equal(pread(fd, got, length, (off_t)offset), length);
        endpoint_pattern(key, offset, expected, length);
        assert_memory_equal(got, expected, length);
    }
    close(fd);
    assert_int_equal(entries(), 1);
}

static orbit_download_result result;

static orbit_status go_on(const char *key, uint64_t offset, uint32_t verify)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.no_hedge = true;
    options.verify = verify;
    options.resume_offset = offset;
    result = (orbit_download_result)ORBIT_DOWNLOAD_RESULT_INIT;
    memset(&told, 0, sizeof(told));
    orbit_status status = orbit_download(at.store, key, target, &options, &result, &told);
    orbit_metadata_release(&result.metadata);
    return status;
}

static void a_part_that_is_right_is_not_fetched_again(void **state)
{
    (void)state;
    struct stat stat_of;
    leave(KEY, PART);
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes, SIZE);
    assert_int_equal(result.bytes_resumed, PART);
    assert_true(result.verified);
    assert_false(result.started_over);
    assert_int_equal(COUNT("sent"), SIZE - PART);
    assert_int_equal(stat(target, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777, 0640); /* replaced like any file */
}

static void no_more_than_the_offset_is_believed(void **state)
{
    (void)state;
    leave(KEY, PART);
    change_byte(10 * MIB);
    OK(go_on(KEY, 10 * MIB, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, 10 * MIB);
    assert_int_equal(COUNT("sent"), SIZE - 10 * MIB);
}

static void an_offset_past_the_end_of_the_part_means_all_of_it(void **state)
{
    (void)state;
    leave(KEY, PART);
    OK(go_on(KEY, SIZE - 1, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, PART);
}

static void a_part_that_differs_in_one_byte_is_not_kept(void **state)
{
    (void)state;
    for (uint64_t byte = 0; byte < PART; byte += PART - 1) {
        leave(KEY, PART);
        change_byte(byte);
        OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_OFF)); /* is compared all the same */
        assert_whole(KEY, SIZE);
        assert_int_equal(result.bytes_resumed, 0);
        assert_int_equal(result.bytes, SIZE);
        assert_true(result.started_over);
    }
}

static void a_part_of_another_version_is_not_kept(void **state)
{
    (void)state;
    leave("gen-25M", PART); /* other bytes, as those of an object that was replaced since */
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_true(result.started_over);
}

static void a_file_that_is_all_of_it_fetches_nothing(void **state)
{
    (void)state;
    leave(KEY, SIZE);
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, SIZE);
    assert_int_equal(COUNT("sent"), 0);
}

static void a_file_that_is_longer_is_cut(void **state)
{
    (void)state;
    leave(KEY, SIZE + 3 * MIB); /* the pattern goes on */
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(COUNT("sent"), 0);
    leave("gen-99M", SIZE + 3 * MIB);
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_true(result.started_over);
}

static void nothing_and_an_empty_file_begin_at_the_beginning(void **state)
{
    (void)state;
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, 0);
    assert_false(result.started_over);
    leave(KEY, 0);
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, 0);
}

/* Too small to be worth it: fetched, and never the sum of both. */
static void small_and_empty_objects_are_fetched(void **state)
{
    (void)state;
    leave("gen-1M", 1000);
    change_byte(10);
    OK(go_on("gen-1M", ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole("gen-1M", MIB);
    assert_int_equal(result.bytes_resumed, 0);
    leave(KEY, 1000);
    OK(go_on("gen-0", ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole("gen-0", 0);
}

/* Nothing could say whether the part is right. */
static void without_a_checksum_all_is_fetched(void **state)
{
    (void)state;
    endpoint_control(&at.endpoint, "set?gen_checksum=0");
    at.config.bucket = "bucket--x-s3"; /* where an ETag is no MD5 either */
    s3fault_reopen();
    OK(orbit_container_create(at.store, NULL, &told));
    leave(KEY, PART);
    change_byte(10);
    OK(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
    assert_whole(KEY, SIZE);
    assert_int_equal(result.bytes_resumed, 0);
    assert_true(result.started_over);
}

static void a_hash_will_do_as_well(void **state)
{
    (void)state;
    static uint8_t object[SIZE];
    for (uint64_t done = 0; done < SIZE; done += MIB)
        endpoint_pattern(KEY, done, object + done, MIB);
    put_raw("md5", NULL, object, SIZE);
    put_with_hash("sha256", "sha256", NULL, object, SIZE);
    for (unsigned i = 0; i < 4; i++) {
        int64_t sent = COUNT("sent");
        leave(KEY, PART);
        if (i & 1)
            change_byte(PART / 2);
        OK(go_on(i < 2 ? "md5" : "sha256", ORBIT_TO_END, ORBIT_VERIFY_DEFAULT));
        assert_whole(KEY, SIZE);
        assert_true(result.started_over == (i & 1));
        if (!(i & 1))
            assert_int_equal(COUNT("sent") - sent, SIZE - PART);
    }
}

/* A try that breaks off leaves the part where it was and keeps what it fetched; the next one takes both. What nobody
 * has proved is not in the journal: without the offset it is fetched. */
static void a_try_that_breaks_off_loses_nothing(void **state)
{
    (void)state;
    for (unsigned offset = 0; offset < 2; offset++) {
        struct stat stat_of;
        leave(KEY, PART);
        if (!offset)
            change_byte(77); /* must not come through */
        FAULT("op=GetObject&cut=2M");
        assert_true(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT) < 0);
        endpoint_control(&at.endpoint, "clear");
        assert_int_equal(stat(target, &stat_of), 0);
        assert_int_equal(stat_of.st_size, PART);
        assert_int_equal(entries(), 3); /* with the temporary and its journal */
        OK(go_on(KEY, offset ? ORBIT_TO_END : 0, ORBIT_VERIFY_DEFAULT));
        assert_whole(KEY, SIZE);
        assert_true(offset ? result.bytes_resumed >= PART + MIB : result.bytes_resumed < PART);
        assert_true(result.bytes_resumed >= MIB);
        assert_false(result.started_over);
    }
}

/* Damage on the way is no reason to begin again for ever. */
static void damage_on_the_way_is_told_in_the_end(void **state)
{
    (void)state;
    struct stat stat_of;
    leave(KEY, PART);
    FAULT("op=GetObject&corrupt=100");
    assert_int_equal(go_on(KEY, ORBIT_TO_END, ORBIT_VERIFY_DEFAULT), ORBIT_E_CHECKSUM);
    assert_int_equal(stat(target, &stat_of), 0);
    assert_int_equal(stat_of.st_size, PART); /* the part is still there */
    assert_int_equal(entries(), 1);
}

static void an_offset_needs_resume(void **state)
{
    (void)state;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.resume = false;
    options.resume_offset = 1;
    EXPECT(ORBIT_E_MISUSE, orbit_download(at.store, KEY, target, &options, NULL, &told));
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    copy.resume = false;
    copy.resume_offset = 1;
    EXPECT(ORBIT_E_MISUSE, orbit_copy(at.store, KEY, at.store, "x", &copy, NULL, &told));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_part_that_is_right_is_not_fetched_again),
        TEST(no_more_than_the_offset_is_believed),
        TEST(an_offset_past_the_end_of_the_part_means_all_of_it),
        TEST(a_part_that_differs_in_one_byte_is_not_kept),
        TEST(a_part_of_another_version_is_not_kept),
        TEST(a_file_that_is_all_of_it_fetches_nothing),
        TEST(a_file_that_is_longer_is_cut),
        TEST(nothing_and_an_empty_file_begin_at_the_beginning),
        TEST(small_and_empty_objects_are_fetched),
        TEST(without_a_checksum_all_is_fetched),
        TEST(a_hash_will_do_as_well),
        TEST(a_try_that_breaks_off_loses_nothing),
        TEST(damage_on_the_way_is_told_in_the_end),
        TEST(an_offset_needs_resume),
    };
#undef TEST
    return cmocka_run_group_tests_name("resume_offset", tests, s3fault_group_setup, s3fault_group_teardown);
}
