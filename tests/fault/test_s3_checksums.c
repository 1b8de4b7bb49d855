/* SPDX-License-Identifier: Apache-2.0
 * Checksums of uploads by option: what the endpoint, which computes its own, was told of every kind of write. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/hash.h"

#define SMALL 100000u
#define LARGE (3u * CHUNK + 77)

static const uint32_t algorithms[] = {ORBIT_CHECKSUM_CRC64NVME, ORBIT_CHECKSUM_CRC32C, ORBIT_CHECKSUM_CRC32,
                                      ORBIT_CHECKSUM_SHA256, ORBIT_CHECKSUM_SHA1};

static bool is_hash(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_SHA256 || algorithm == ORBIT_CHECKSUM_SHA1;
}

static orbit_checksum checksum_of(uint32_t algorithm, const void *bytes, size_t length)
{
    if (algorithm == ORBIT_CHECKSUM_CRC64NVME)
        return orb_checksum_crc64nvme(orb_crc64nvme(0, bytes, length));
    if (algorithm == ORBIT_CHECKSUM_CRC32C)
        return orb_checksum_crc32c(orb_crc32c(0, bytes, length));
    struct orb_digest *digest = orb_digest_new(algorithm);
    assert_non_null(digest);
    assert_true(orb_digest_update(digest, bytes, length));
    orbit_checksum checksum = orb_digest_finish(digest);
    orb_digest_free(digest);
    return checksum;
}

/* Of parts of CHUNK bytes: the hash of their hashes. */
static orbit_checksum composite_of(uint32_t algorithm, const uint8_t *bytes, size_t length)
{
    uint8_t all[64 * 32];
    size_t used = 0;
    for (size_t done = 0; done < length; done += CHUNK) {
        orbit_checksum part = checksum_of(algorithm, bytes + done, length - done < CHUNK ? length - done : CHUNK);
        memcpy(all + used, part.value, part.length);
        used += part.length;
    }
    orbit_checksum whole = checksum_of(algorithm, all, used);
    whole.composite = true;
    return whole;
}

static void check(const char *key, uint32_t algorithm, const uint8_t *bytes, size_t length,
                  const orbit_write_result *result)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    bool composite = is_hash(algorithm) && length > CHUNK;
    orbit_checksum expected =
        composite ? composite_of(algorithm, bytes, length) : checksum_of(algorithm, bytes, length);
    OK(orbit_stat(at.store, key, NULL, &metadata, &told));
    assert_int_equal(metadata.checksum.algorithm, algorithm);
    assert_int_equal(metadata.checksum.composite, composite);
    assert_memory_equal(metadata.checksum.value, expected.value, expected.length);
    assert_memory_equal(&result->metadata.checksum, &metadata.checksum, sizeof(metadata.checksum));
    orbit_metadata_release(&metadata);
    OK(read_back(key, bytes, length, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
}

static void write_file(char path[64], const void *bytes, size_t length)
{
    snprintf(path, 64, "/tmp/orbit-checksums-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static void each_checksum_goes_with_each_kind_of_write(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, SMALL, LARGE};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    for (size_t i = 0; i < COUNT_OF(algorithms); i++)
        for (size_t k = 0; k < COUNT_OF(lengths); k++) {
            uint8_t *bytes = make_bytes(lengths[k], 1);
            char path[64];
            options.checksum = algorithms[i];
            orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
            OK(orbit_write(at.store, "memory", orbit_source_memory(bytes, lengths[k]), lengths[k], &options, &result,
                           &told));
            check("memory", algorithms[i], bytes, lengths[k], &result);
            orbit_write_result_release(&result);

            write_file(path, bytes, lengths[k]);
            OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, &options, &result, &told));
            check("file", algorithms[i], bytes, lengths[k], &result);
            orbit_write_result_release(&result);
            unlink(path);

            orbit_writer *writer = NULL;
            OK(orbit_writer_open(&writer, at.store, "stream", ORBIT_SIZE_UNKNOWN, &options, &told));
            OK(orbit_writer_write(writer, bytes, lengths[k], &told));
            OK(orbit_writer_finish(writer, &result, &told));
            orbit_writer_free(writer);
            check("stream", algorithms[i], bytes, lengths[k], &result);
            orbit_write_result_release(&result);

            orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
            copy.write = &options;
            copy.no_server_copy = true;
            OK(orbit_copy(at.store, "memory", at.store, "through", &copy, &result, &told));
            check("through", algorithms[i], bytes, lengths[k], &result);
            orbit_write_result_release(&result);
            free(bytes);
        }
}

static void the_stores_own_setting_counts_where_no_option_does(void **state)
{
    (void)state;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    uint8_t *bytes = make_bytes(LARGE, 2);
    char path[64];
    at.config.checksum = ORBIT_CHECKSUM_SHA256;
    s3fault_reopen();
    write_file(path, bytes, LARGE);
    OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, &result, &told));
    check("file", ORBIT_CHECKSUM_SHA256, bytes, LARGE, &result);
    orbit_write_result_release(&result);
    unlink(path);
    free(bytes);
}

static void other_bytes_than_were_sent_are_found_out(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    uint8_t *bytes = make_bytes(LARGE, 3);
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        options.checksum = algorithms[i];
        FAULT("op=PutObject&wrong_checksum=1");
        EXPECT(ORBIT_E_CHECKSUM,
               orbit_write(at.store, "small", orbit_source_memory(bytes, SMALL), SMALL, &options, NULL, &told));
        FAULT("op=UploadPart&part=2&wrong_checksum=1");
        EXPECT(ORBIT_E_CHECKSUM,
               orbit_write(at.store, "large", orbit_source_memory(bytes, LARGE), LARGE, &options, NULL, &told));
        assert_int_equal(COUNT("open_uploads"), 0);
        endpoint_control(&at.endpoint, "clear");
    }
    free(bytes);
}

static void lost_end_of_an_upload_with_hashes_is_found_done(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    uint8_t *bytes = make_bytes(LARGE, 4);
    options.checksum = ORBIT_CHECKSUM_SHA256;
    FAULT("op=CompleteMultipartUpload&nth=1&reset=after");
    OK(orbit_write(at.store, "lost", orbit_source_memory(bytes, LARGE), LARGE, &options, NULL, &told));
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 1);
    OK(read_back("lost", bytes, LARGE, &told));
    free(bytes);
}

static void content_md5_goes_ahead_of_the_bytes(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    static const size_t lengths[] = {0, SMALL, LARGE};
    endpoint_control(&at.endpoint, "set?need_md5=1");
    for (size_t k = 0; k < COUNT_OF(lengths); k++) {
        uint8_t *bytes = make_bytes(lengths[k], 5);
        char path[64];
        options.checksum = ORBIT_CHECKSUM_NONE;
        assert_true(orbit_write(at.store, "bare", orbit_source_memory(bytes, lengths[k]), lengths[k], &options, NULL,
                                &told) < 0);
        options.checksum = ORBIT_CHECKSUM_MD5;
        OK(orbit_write(at.store, "memory", orbit_source_memory(bytes, lengths[k]), lengths[k], &options, NULL, &told));
        OK(read_back("memory", bytes, lengths[k], &told));
        write_file(path, bytes, lengths[k]);
        OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, &options, NULL, &told));
        OK(read_back("file", bytes, lengths[k], &told));
        unlink(path);
        free(bytes);
    }
    endpoint_control(&at.endpoint, "set?need_md5=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(each_checksum_goes_with_each_kind_of_write),
        FAULT_TEST(the_stores_own_setting_counts_where_no_option_does),
        FAULT_TEST(other_bytes_than_were_sent_are_found_out),
        FAULT_TEST(lost_end_of_an_upload_with_hashes_is_found_done),
        FAULT_TEST(content_md5_goes_ahead_of_the_bytes),
    };
    return cmocka_run_group_tests_name("s3 checksums", tests, s3fault_group_setup, s3fault_group_teardown);
}
