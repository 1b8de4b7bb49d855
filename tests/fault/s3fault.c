/* SPDX-License-Identifier: Apache-2.0
 * The world of the S3 fault tests: opening, reading, comparing. The main thread. */
#include "s3fault.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct s3fault at;
orbit_error told;

void s3fault_defaults(void)
{
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    options.connect_timeout_ms = 2000;
    options.first_byte_timeout_ms = 1000;
    options.stall_timeout_ms = 1000;
    options.retry_attempts = 4;
    options.retry_deadline_ms = 20000;
    options.chunk_size = CHUNK;
    options.parallel_operations = 2;
    config.bucket = "bucket";
    config.endpoint = at.endpoint.url;
    config.region = "us-east-1";
    config.access_key_id = ENDPOINT_ACCESS;
    config.secret_access_key = ENDPOINT_SECRET;
    config.part_min_bytes = 64 << 10;
    at.options = options;
    at.config = config;
}

int s3fault_group_setup(void **state)
{
    (void)state;
    endpoint_start(&at.endpoint, "--store", "--set", "part_min=64K", NULL);
    s3fault_defaults();
    return 0;
}

int s3fault_group_teardown(void **state)
{
    (void)state;
    endpoint_stop(&at.endpoint);
    return 0;
}

void s3fault_reopen(void)
{
    orbit_backend_close(at.store);
    at.store = NULL;
    OK(orbit_open_s3(&at.store, at.client, &at.config, &at.options, &told));
}

void s3fault_fresh_client(void)
{
    orbit_backend_close(at.store);
    at.store = NULL;
    orbit_client_close(at.client);
    at.client = NULL;
    OK(orbit_client_open(&at.client, NULL, &told));
    s3fault_reopen();
}

int s3fault_setup(void **state)
{
    (void)state;
    endpoint_reset(&at.endpoint);
    endpoint_control(&at.endpoint, "set?checksums=1&region_redirect=0&clock_offset_s=0&latency_ms=0&rate=0&list_v2=1"
                                   "&conditional_complete=1&range_checksum=1&bandwidth=0&unordered=0&list_latency_ms=0"
                                   "&page_max=1000&start_after=1&encoding=1&equal_parts=0&part_sums=0&sum_with_part=0");
    s3fault_defaults();
    OK(orbit_client_open(&at.client, NULL, &told));
    s3fault_reopen();
    return 0;
}

int s3fault_teardown(void **state)
{
    (void)state;
    orbit_backend_close(at.store);
    at.store = NULL;
    orbit_client_close(at.client);
    at.client = NULL;
    return 0;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void expect(orbit_status expected, orbit_status status, const orbit_error *error, const char *what, const char *file,
            int line)
{
    if (status == expected && (status >= 0 || error->status == status))
        return;
    print_error("%s\n  gave %s, expected %s\n  error: status %d, http %d, flags %x, code '%s', message '%s'\n", what,
                orbit_status_word(status), orbit_status_word(expected), error->status, error->http_status, error->flags,
                error->code, error->message);
    _fail(file, line);
}

uint8_t *make_bytes(size_t length, uint32_t seed)
{
    uint8_t *bytes = malloc(length + 1);
    uint64_t state = 0x9e3779b97f4a7c15u * (seed + 1u) | 1;
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    return bytes;
}

orbit_status write_bytes(const char *key, const void *bytes, size_t length, orbit_error *error)
{
    return orbit_write(at.store, key, orbit_source_memory(bytes, length), length, NULL, NULL, error);
}

void put_raw(const char *key, const char *headers, const void *bytes, size_t length)
{
    const char *parent = getenv("TMPDIR");
    char file[64], command[640];
    (void)snprintf(file, sizeof(file), "%.40s/orbit-put-XXXXXX", parent ? parent : "/tmp");
    endpoint_control(&at.endpoint, "set?anonymous=1");
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
    (void)snprintf(command, sizeof(command), "curl -sS --fail -T %s %s %s/bucket/%s", file, headers ? headers : "",
                   at.endpoint.url, key);
    int status = system(command);
    (void)unlink(file);
    assert_int_equal(status, 0);
}

void put_with_hash(const char *key, const char *name, const char *more, const void *bytes, size_t length)
{
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned char text[2 * EVP_MAX_MD_SIZE];
    char headers[400];
    unsigned used = 0;
    assert_int_equal(EVP_Digest(bytes, length, value, &used, EVP_get_digestbyname(name), NULL), 1);
    (void)EVP_EncodeBlock(text, value, (int)used);
    (void)snprintf(headers, sizeof(headers), "-H 'x-amz-checksum-%s: %s' %s", name, text, more ? more : "");
    put_raw(key, headers, bytes, length);
}

orbit_status read_generated(const char *key, uint64_t size, const orbit_read_options *options, uint64_t *done,
                            orbit_error *error)
{
    static uint8_t expected[4 << 20];
    orbit_reader *reader = NULL;
    uint64_t count = 0;
    orbit_status status = orbit_read(&reader, at.store, key, options, error);
    while (status == ORBIT_OK) {
        const void *piece;
        size_t length = 0;
        status = orbit_reader_next(reader, &piece, &length, error);
        if (status != ORBIT_OK)
            break;
        assert_true(length <= sizeof(expected));
        assert_true(count + length <= size);
        endpoint_pattern(key, count, expected, length);
        assert_memory_equal(piece, expected, length);
        count += length;
    }
    orbit_reader_close(reader);
    if (done != NULL)
        *done = count;
    if (status == ORBIT_END)
        assert_int_equal(count, size);
    return status == ORBIT_END ? ORBIT_OK : status;
}

orbit_status read_back(const char *key, const void *bytes, size_t length, orbit_error *error)
{
    orbit_reader *reader = NULL;
    size_t done = 0;
    orbit_status status = orbit_read(&reader, at.store, key, NULL, error);
    while (status == ORBIT_OK) {
        const void *piece;
        size_t piece_length = 0;
        status = orbit_reader_next(reader, &piece, &piece_length, error);
        if (status != ORBIT_OK)
            break;
        assert_true(done + piece_length <= length);
        assert_memory_equal(piece, (const uint8_t *)bytes + done, piece_length);
        done += piece_length;
    }
    orbit_reader_close(reader);
    if (status == ORBIT_END)
        assert_int_equal(done, length);
    return status == ORBIT_END ? ORBIT_OK : status;
}

orbit_status list_count(const char *path, bool recursive, size_t *count, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.recursive = recursive;
    *count = 0;
    orbit_status status = orbit_list(&lister, at.store, path, &options, error);
    while (status == ORBIT_OK && (status = orbit_lister_next(lister, &entry, error)) == ORBIT_OK)
        ++*count;
    if (status < 0 && lister != NULL) /* final, and repeated */
        assert_int_equal(orbit_lister_next(lister, &entry, NULL), status);
    orbit_lister_close(lister);
    return status == ORBIT_END ? ORBIT_OK : status;
}
