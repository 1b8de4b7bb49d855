/* SPDX-License-Identifier: Apache-2.0
 * Downloads and copies that are told to verify fully: whatever checksum of the whole a store keeps, one wrong byte is
 * found, in one range or in several, and nothing of it is kept. The objects are put by another client. */
#include "s3fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE ((size_t)1 << 20) /* four ranges */
#define MIB  ((size_t)1 << 20)
#define BIG  (20 * MIB) /* is resumed */

static uint8_t *bytes;
static char directory[64], target[96];
static const char *const keys[] = {"sha256", "sha1", "md5", "crc32"};
static const char *const names[] = {"SHA-256", "SHA-1", "MD5", "CRC32"};

/* What a CRC32 of the object is in base64: bit by bit, as a second opinion. */
static void crc32_header(char *header, size_t room)
{
    uint32_t crc = UINT32_MAX;
    uint8_t be[4];
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < SIZE; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        be[i] = (uint8_t)(crc >> (24 - 8 * i));
    (void)snprintf(header, room, "-H 'x-amz-checksum-crc32: %c%c%c%c%c%c=='", letters[be[0] >> 2],
                   letters[(be[0] & 3) << 4 | be[1] >> 4], letters[(be[1] & 15) << 2 | be[2] >> 6], letters[be[2] & 63],
                   letters[be[3] >> 2], letters[(be[3] & 3) << 4]);
}

static int setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    char header[100];
    int failed = s3fault_setup(state);
    (void)snprintf(directory, sizeof(directory), "%.40s/orbit-files-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(target, sizeof(target), "%s/file", directory);
    bytes = make_bytes(BIG, 5);
    crc32_header(header, sizeof(header));
    endpoint_control(&at.endpoint, "set?own_checksum=0");
    put_with_hash("sha256", "sha256", NULL, bytes, SIZE);
    put_with_hash("sha1", "sha1", NULL, bytes, SIZE);
    put_raw("md5", NULL, bytes, SIZE);
    put_raw("crc32", header, bytes, SIZE);
    return failed;
}

static int teardown(void **state)
{
    char command[128];
    endpoint_control(&at.endpoint, "set?anonymous=0&own_checksum=1");
    free(bytes);
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

static void assert_target(const void *what, size_t size)
{
    uint8_t *got = malloc(size + 1);
    int fd = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, size + 1), size);
    assert_memory_equal(got, what, size);
    close(fd);
    free(got);
}

/* `ranges`: 1, or several. */
static orbit_status download(const char *key, uint32_t verify, unsigned ranges, bool *verified)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    options.verify = verify;
    options.no_hedge = true;
    options.chunk_size = ranges == 1 ? 2 * SIZE : 0;
    orbit_status status = orbit_download(at.store, key, target, &options, &result, &told);
    if (status == ORBIT_OK)
        assert_int_equal(ranges == 1, result.ranges == 1);
    *verified = result.verified;
    orbit_download_result_release(&result);
    return status;
}

static void a_download_is_compared_with_any_checksum(void **state)
{
    (void)state;
    bool verified;
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        for (unsigned ranges = 1; ranges <= 4; ranges += 3) {
            OK(download(keys[i], ORBIT_VERIFY_FULL, ranges, &verified));
            assert_true(verified);
            assert_target(bytes, SIZE);
            OK(download(keys[i], ORBIT_VERIFY_DEFAULT, ranges, &verified));
            assert_false(verified); /* would cost what nobody asked for */
        }
    }
    assert_int_equal(entries(), 1);
}

static void a_wrong_byte_leaves_the_target_as_it_was(void **state)
{
    (void)state;
    bool verified;
    int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "before", 6), 6);
    close(fd);
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        for (unsigned ranges = 1; ranges <= 4; ranges += 3) {
            endpoint_control(&at.endpoint, "clear");
            FAULT("op=GetObject&corrupt=7");
            assert_int_equal(download(keys[i], ORBIT_VERIFY_FULL, ranges, &verified), ORBIT_E_CHECKSUM);
            assert_non_null(strstr(told.message, names[i]));
            assert_target("before", 6);
            assert_int_equal(entries(), 1);
        }
    }
    OK(download("md5", ORBIT_VERIFY_DEFAULT, 4, &verified)); /* is not looked at */
}

static void an_etag_that_is_no_md5_is_not_compared(void **state)
{
    (void)state;
    bool verified = true;
    put_raw("kms", "-H 'x-amz-server-side-encryption: aws:kms'", bytes, SIZE);
    FAULT("op=GetObject&corrupt=7");
    OK(download("kms", ORBIT_VERIFY_FULL, 4, &verified));
    assert_false(verified);
}

/* A device cannot be read back: what it got is not called verified. */
static void what_cannot_be_read_back_is_not_called_verified(void **state)
{
    (void)state;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    options.verify = ORBIT_VERIFY_FULL;
    OK(orbit_download(at.store, "sha256", "/dev/null", &options, &result, &told));
    assert_false(result.verified);
    orbit_download_result_release(&result);
    OK(orbit_download(at.store, "crc32", "/dev/null", &options, &result, &told)); /* combined from the ranges */
    assert_true(result.verified);
    orbit_download_result_release(&result);
}

/* To a store: CRCs combine, a hash is compared where one range has all the bytes. */
static orbit_status copy(const char *key, unsigned ranges)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    options.verify = ORBIT_VERIFY_FULL;
    options.no_server_copy = options.no_hedge = true;
    options.write = &write;
    write.chunk_size = ranges == 1 ? 2 * SIZE : CHUNK;
    at.config.put_max_bytes = 4 * SIZE;
    s3fault_reopen();
    return orbit_copy(at.store, key, at.store, "copy", &options, NULL, &told);
}

static void a_copy_between_stores_is_compared(void **state)
{
    (void)state;
    bool there;
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        endpoint_control(&at.endpoint, "clear");
        OK(copy(keys[i], 1));
        OK(read_back("copy", bytes, SIZE, &told));
        OK(copy(keys[i], 4));
        OK(read_back("copy", bytes, SIZE, &told));
        OK(orbit_remove(at.store, "copy", NULL, &told));
        FAULT("op=GetObject&corrupt=7");
        assert_int_equal(copy(keys[i], 1), ORBIT_E_CHECKSUM);
        OK(orbit_exists(at.store, "copy", NULL, &there, &told));
        assert_false(there);
    }
    assert_int_equal(copy("crc32", 4), ORBIT_E_CHECKSUM);
    OK(orbit_exists(at.store, "copy", NULL, &there, &told));
    assert_false(there);
}

/* Bytes of an earlier attempt are among those that are hashed. */
static void a_resumed_download_is_compared_as_a_whole(void **state)
{
    (void)state;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    options.no_hedge = true;
    options.chunk_size = 4 * MIB;
    options.parallel_operations = 2;
    options.verify = ORBIT_VERIFY_FULL;
    at.options.retry_attempts = 1;
    s3fault_reopen();
    put_raw("big", NULL, bytes, BIG);
    for (unsigned tampered = 0; tampered < 2; tampered++) {
        /* Less than any range has: they shrink towards the end, and reach the store in any order. */
        FAULT("op=GetObject&nth=2&cut=1M");
        assert_true(orbit_download(at.store, "big", target, &options, &result, &told) < 0);
        endpoint_control(&at.endpoint, "clear");
        assert_int_equal(entries(), 2 + tampered);
        if (tampered) {
            FAULT("op=GetObject&corrupt=100");
            assert_int_equal(orbit_download(at.store, "big", target, &options, &result, &told), ORBIT_E_CHECKSUM);
            assert_non_null(strstr(told.message, "MD5"));
            assert_int_equal(entries(), 1); /* what was wrong is not kept */
        } else {
            OK(orbit_download(at.store, "big", target, &options, &result, &told));
            assert_true(result.verified);
            assert_true(result.bytes_resumed > 0);
        }
        assert_target(bytes, BIG);
        orbit_download_result_release(&result);
    }
}

#define VERIFY_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERIFY_TEST(a_download_is_compared_with_any_checksum),
        VERIFY_TEST(a_wrong_byte_leaves_the_target_as_it_was),
        VERIFY_TEST(an_etag_that_is_no_md5_is_not_compared),
        VERIFY_TEST(what_cannot_be_read_back_is_not_called_verified),
        VERIFY_TEST(a_copy_between_stores_is_compared),
        VERIFY_TEST(a_resumed_download_is_compared_as_a_whole),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
