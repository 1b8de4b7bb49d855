/* SPDX-License-Identifier: Apache-2.0
 * What an object in parts was made of (GetObjectAttributes): told a page at a time, not asked for again where a
 * store does not offer it, and what a download is compared with where the store keeps a checksum of the parts'
 * alone. The object is put by another client, whose parts are of three sizes. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/hash.h"

#define PARTS 5u
static const size_t sizes[PARTS] = {300000, 100000, 300000, 100000, 17};
#define SIZE ((size_t)800017)

static uint8_t *bytes;
static char target[96];

static uint32_t crc_of(unsigned part, char text[12])
{
    size_t offset = 0;
    for (unsigned i = 0; i < part; i++)
        offset += sizes[i];
    uint32_t crc = orb_crc32c(0, bytes + offset, sizes[part]);
    uint8_t value[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    (void)EVP_EncodeBlock((unsigned char *)text, value, 4);
    return crc;
}

/* By curl, unsigned, with a CRC32C of each part and of those one of the whole. */
static void put_composite(const char *key)
{
    static char script[8192];
    size_t used = 0, offset = 0;
    char file[80], text[12];
    const char *parent = getenv("TMPDIR");
    (void)snprintf(file, sizeof(file), "%.40s/orbit-composite-XXXXXX", parent ? parent : "/tmp");
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    close(fd);
#define ADD(...) used += (size_t)snprintf(script + used, sizeof(script) - used, __VA_ARGS__)
    ADD("set -e; U=%s/bucket/%s; I=$(curl -sS --fail -X POST -d '' -H 'x-amz-checksum-algorithm: CRC32C' "
        "-H 'x-amz-checksum-type: COMPOSITE' \"$U?uploads\" | tr -d '\\n' | sed 's/.*<UploadId>//;s/<.*//'); L=; ",
        at.endpoint.url, key);
    for (unsigned i = 0; i < PARTS; i++) {
        (void)crc_of(i, text);
        ADD("E=$(tail -c +%zu %s | head -c %zu | curl -sS --fail -D - -T - -H 'Transfer-Encoding:' -H 'Content-Length: "
            "%zu' "
            "-H 'x-amz-checksum-crc32c: %s' \"$U?partNumber=%u&uploadId=$I\" | tr -d '\\r' | sed -n 's/^[Ee][Tt]ag: "
            "//p'); "
            "L=\"$L<Part><PartNumber>%u</PartNumber><ETag>$E</ETag><ChecksumCRC32C>%s</ChecksumCRC32C></Part>\"; ",
            offset + 1, file, sizes[i], sizes[i], text, i + 1, i + 1, text);
        offset += sizes[i];
    }
    ADD("curl -sS --fail -o /dev/null -X POST -d \"<CompleteMultipartUpload>$L</CompleteMultipartUpload>\" "
        "\"$U?uploadId=$I\"");
#undef ADD
    assert_true(used < sizeof(script));
    int status = system(script);
    (void)unlink(file);
    assert_int_equal(status, 0);
}

static int setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    int failed = s3fault_setup(state);
    bytes = make_bytes(SIZE, 5);
    (void)snprintf(target, sizeof(target), "%.40s/orbit-attributes-%ld", parent ? parent : "/tmp", (long)getpid());
    endpoint_control(&at.endpoint, "set?anonymous=1&part_min=1&attributes=1&page_max=1000");
    put_composite("composite");
    return failed;
}

static int teardown(void **state)
{
    endpoint_control(&at.endpoint, "set?anonymous=0&part_min=65536&attributes=1&page_max=1000");
    free(bytes);
    (void)unlink(target);
    return s3fault_teardown(state);
}

static void parts_are_told_in_pages_of_either_side(void **state)
{
    (void)state;
    for (unsigned room = 1; room <= 6; room++)
        for (unsigned page = 1; page <= 6; page += 2) {
            uint32_t after = 0, told_parts = 0;
            bool more = true;
            endpoint_control(&at.endpoint, "set?page_max=%u", page);
            while (more) {
                orbit_object_part parts[6];
                size_t count;
                OK(orbit_object_parts(at.store, "composite", after, parts, room, &count, &more, NULL, &told));
                assert_true(count > 0 && count <= room && count <= page);
                for (size_t i = 0; i < count; i++, told_parts++) {
                    char text[12];
                    uint32_t crc = crc_of(told_parts, text);
                    assert_int_equal(parts[i].number, told_parts + 1);
                    assert_int_equal(parts[i].size, sizes[told_parts]);
                    assert_int_equal(parts[i].checksum.algorithm, ORBIT_CHECKSUM_CRC32C);
                    assert_int_equal(parts[i].checksum.value[3], crc & 255);
                }
                after = parts[count - 1].number;
            }
            assert_int_equal(told_parts, PARTS);
        }
}

static void an_object_of_one_piece_has_none(void **state)
{
    (void)state;
    orbit_object_part part;
    size_t count = 7;
    bool more = true;
    OK(write_bytes("single", bytes, 10, &told));
    OK(orbit_object_parts(at.store, "single", 0, &part, 1, &count, &more, NULL, &told));
    assert_int_equal(count, 0);
    assert_false(more);
    EXPECT(ORBIT_E_NOT_FOUND, orbit_object_parts(at.store, "missing", 0, &part, 1, &count, &more, NULL, &told));
    EXPECT(ORBIT_E_MISUSE, orbit_object_parts(at.store, "single", 0, &part, 0, &count, &more, NULL, &told));
}

static void a_store_without_them_is_asked_once(void **state)
{
    (void)state;
    orbit_object_part part;
    size_t count;
    bool more;
    for (unsigned how = 0; how <= 2; how += 2) {
        s3fault_fresh_client();
        endpoint_control(&at.endpoint, "set?attributes=%u", how);
        int64_t before = COUNT("requests.GetObjectAttributes");
        for (unsigned i = 0; i < 3; i++)
            EXPECT(ORBIT_E_UNSUPPORTED,
                   orbit_object_parts(at.store, "composite", 0, &part, 1, &count, &more, NULL, &told));
        assert_non_null(strstr(told.message, "composite"));
        assert_int_equal(COUNT("requests.GetObjectAttributes") - before, 1);
    }
}

static orbit_status download(uint32_t verify, bool *verified)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    options.verify = verify;
    options.no_hedge = true;
    options.chunk_size = 100000;
    orbit_status status = orbit_download(at.store, "composite", target, &options, &result, &told);
    *verified = result.verified;
    orbit_download_result_release(&result);
    return status;
}

/* From the parts' CRCs and sizes follows that of the whole. */
static void a_download_is_compared_with_the_crcs_of_the_parts(void **state)
{
    (void)state;
    bool verified;
    endpoint_control(&at.endpoint, "set?page_max=2");
    OK(download(ORBIT_VERIFY_FULL, &verified));
    assert_true(verified);
    assert_int_equal(COUNT("requests.GetObjectAttributes"), 3);
    FAULT("op=GetObject&corrupt=7");
    EXPECT(ORBIT_E_CHECKSUM, download(ORBIT_VERIFY_FULL, &verified));
    OK(download(ORBIT_VERIFY_DEFAULT, &verified));
    assert_false(verified);
    assert_int_equal(COUNT("requests.GetObjectAttributes"), 6); /* costs what nobody asked for */
    endpoint_control(&at.endpoint, "clear");
    endpoint_control(&at.endpoint, "set?attributes=0");
    OK(download(ORBIT_VERIFY_FULL, &verified));
    assert_false(verified);
}

/* A CRC of CRCs that is not called so is nothing that the bytes could have. */
static void a_checksum_of_parts_that_is_not_called_so_is_not_compared(void **state)
{
    (void)state;
    bool verified;
    endpoint_control(&at.endpoint, "set?checksum_types=0&attributes=0");
    OK(download(ORBIT_VERIFY_DEFAULT, &verified));
    assert_false(verified);
    OK(download(ORBIT_VERIFY_FULL, &verified));
    assert_false(verified);
    endpoint_control(&at.endpoint, "set?checksum_types=1");
}

static orbit_status read_whole(uint32_t verify)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    const void *piece;
    size_t length;
    options.verify = verify;
    options.chunk_size = 100000;
    orbit_status status = orbit_read(&reader, at.store, "composite", &options, &told);
    while (status == ORBIT_OK)
        status = orbit_reader_next(reader, &piece, &length, &told);
    orbit_reader_close(reader);
    return status == ORBIT_END ? ORBIT_OK : status;
}

/* What is read in order, and handed out before the end, too: then the end is an error. */
static void a_reader_is_compared_with_them_as_well(void **state)
{
    (void)state;
    endpoint_control(&at.endpoint, "set?range_checksum=0"); /* as most stores have it */
    OK(read_whole(ORBIT_VERIFY_FULL));
    assert_int_equal(COUNT("requests.GetObjectAttributes"), 1);
    FAULT("op=GetObject&corrupt=7");
    EXPECT(ORBIT_E_CHECKSUM, read_whole(ORBIT_VERIFY_FULL));
    assert_int_equal(COUNT("requests.HeadObject"), 2);
    OK(read_whole(ORBIT_VERIFY_DEFAULT)); /* costs what nobody asked for */
    assert_int_equal(COUNT("requests.HeadObject"), 2);
    assert_int_equal(COUNT("requests.GetObjectAttributes"), 2);
    /* Who cannot look reads without; another object than was looked at is not compared with that. */
    FAULT("op=HeadObject&status=403&count=1");
    OK(read_whole(ORBIT_VERIFY_FULL));
    FAULT("op=HeadObject&change=1");
    OK(read_whole(ORBIT_VERIFY_FULL));
    endpoint_control(&at.endpoint, "set?range_checksum=1");
}

#define ATTRIBUTES_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {ATTRIBUTES_TEST(parts_are_told_in_pages_of_either_side),
                                       ATTRIBUTES_TEST(an_object_of_one_piece_has_none),
                                       ATTRIBUTES_TEST(a_store_without_them_is_asked_once),
                                       ATTRIBUTES_TEST(a_download_is_compared_with_the_crcs_of_the_parts),
                                       ATTRIBUTES_TEST(a_checksum_of_parts_that_is_not_called_so_is_not_compared),
                                       ATTRIBUTES_TEST(a_reader_is_compared_with_them_as_well)};
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
