/* SPDX-License-Identifier: Apache-2.0
 * Objects with checksums that need every byte in order: a reader that is told to verify fully finds the one byte
 * that is wrong, wherever the ranges were cut and in whatever pieces it reads. The objects are put by another
 * client. */
#include "s3fault.h"

#define SIZE ((size_t)1 << 20) /* four ranges */

static uint8_t *bytes;

static int setup(void **state)
{
    int failed = s3fault_setup(state);
    bytes = make_bytes(SIZE, 5);
    endpoint_control(&at.endpoint, "set?own_checksum=0");
    put_with_hash("sha256", "sha256", NULL, bytes, SIZE);
    put_with_hash("sha1", "sha1", NULL, bytes, SIZE);
    put_raw("md5", NULL, bytes, SIZE);
    put_raw("md5-kms", "-H 'x-amz-server-side-encryption: aws:kms'", bytes, SIZE);
    put_raw("crc32", "-H 'x-amz-checksum-crc32: y/Q5Jg=='", "123456789",
            9); /* the check value of this CRC: 0xcbf43926 */
    put_with_hash("empty", "sha256", NULL, "", 0);
    return failed;
}

static int teardown(void **state)
{
    endpoint_control(&at.endpoint, "set?anonymous=0&own_checksum=1");
    free(bytes);
    return s3fault_teardown(state);
}

/* To the end in pieces of `room` bytes, or as they are lent (0); the end is told twice. */
static orbit_status read_all(const char *key, uint32_t verify, size_t room)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    static uint8_t buffer[100000];
    options.verify = verify;
    options.no_hedge = true;
    OK(orbit_read(&reader, at.store, key, &options, &told));
    orbit_status status = ORBIT_OK;
    while (status == ORBIT_OK) {
        const void *piece;
        size_t length;
        status = room ? orbit_reader_read(reader, buffer, room, &length, &told)
                      : orbit_reader_next(reader, &piece, &length, &told);
    }
    const void *piece;
    size_t length;
    assert_int_equal(orbit_reader_next(reader, &piece, &length, NULL), status);
    orbit_reader_close(reader);
    return status;
}

static void what_is_right_is_found_right(void **state)
{
    (void)state;
    static const char *const keys[] = {"sha256", "sha1", "md5", "md5-kms", "crc32", "empty"};
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        assert_int_equal(read_all(keys[i], ORBIT_VERIFY_FULL, 0), ORBIT_END);
        assert_int_equal(read_all(keys[i], ORBIT_VERIFY_FULL, 77777), ORBIT_END);
    }
}

static void one_wrong_byte_is_found(void **state)
{
    (void)state;
    static const char *const keys[] = {"sha256", "sha1", "md5", "crc32"}, *const names[] = {"SHA-256", "SHA-1", "MD5",
                                                                                            "CRC32"};
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        endpoint_control(&at.endpoint, "clear");
        FAULT("op=GetObject&corrupt=7");
        assert_int_equal(read_all(keys[i], ORBIT_VERIFY_FULL, 0), ORBIT_E_CHECKSUM);
        assert_non_null(strstr(told.message, keys[i]));
        assert_non_null(strstr(told.message, names[i]));
        assert_int_equal(read_all(keys[i], ORBIT_VERIFY_FULL, 1000), ORBIT_E_CHECKSUM);
        assert_int_equal(read_all(keys[i], ORBIT_VERIFY_DEFAULT, 0), ORBIT_END); /* is not looked at */
    }
}

/* With a key of its own the ETag of an object is something else. */
static void an_etag_that_is_no_md5_is_not_compared(void **state)
{
    (void)state;
    FAULT("op=GetObject&corrupt=7");
    assert_int_equal(read_all("md5-kms", ORBIT_VERIFY_FULL, 0), ORBIT_END);
}

static void a_reader_that_leaves_the_straight_way_does_not_compare(void **state)
{
    (void)state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    const void *piece;
    size_t length;
    options.verify = ORBIT_VERIFY_FULL;
    OK(orbit_read(&reader, at.store, "sha256", &options, &told));
    OK(orbit_reader_next(reader, &piece, &length, &told));
    OK(orbit_reader_seek(reader, SIZE - 10, &told));
    OK(orbit_reader_next(reader, &piece, &length, &told));
    assert_int_equal(orbit_reader_next(reader, &piece, &length, &told), ORBIT_END);
    orbit_reader_close(reader);
    options.offset = 5; /* nor does one that reads a part */
    OK(orbit_read(&reader, at.store, "crc32", &options, &told));
    OK(orbit_reader_next(reader, &piece, &length, &told));
    assert_int_equal(orbit_reader_next(reader, &piece, &length, &told), ORBIT_END);
    orbit_reader_close(reader);
}

#define VERIFY_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {VERIFY_TEST(what_is_right_is_found_right), VERIFY_TEST(one_wrong_byte_is_found),
                                       VERIFY_TEST(an_etag_that_is_no_md5_is_not_compared),
                                       VERIFY_TEST(a_reader_that_leaves_the_straight_way_does_not_compare)};
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
