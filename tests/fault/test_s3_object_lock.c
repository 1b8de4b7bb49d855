/* SPDX-License-Identifier: Apache-2.0
 * Object Lock: what a write says of it, and the checksum that its bytes then must come with. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

#define LARGE (3u * CHUNK + 77)
#define SMALL 100000u
#define UNTIL "2035-01-31T00:00:00Z"

static orbit_write_options locked(void)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.object_lock_mode = "GOVERNANCE";
    options.object_lock_until = UNTIL;
    options.object_lock_legal_hold = "ON";
    return options;
}

static void check_locked(const char *key)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    OK(orbit_stat(at.store, key, NULL, &metadata, &told));
    assert_string_equal(metadata.object_lock_mode, "GOVERNANCE");
    assert_string_equal(metadata.object_lock_until, UNTIL);
    assert_string_equal(metadata.object_lock_legal_hold, "ON");
    orbit_metadata_release(&metadata);
}

/* Each way that bytes go to the store: from memory, from a file, from another object. */
static void write_each_way(const uint8_t *bytes, size_t length, const orbit_write_options *options)
{
    char path[] = "/tmp/orbit-lock-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
    OK(orbit_write(at.store, "memory", orbit_source_memory(bytes, length), length, options, NULL, &told));
    OK(read_back("memory", bytes, length, &told));
    OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, options, NULL, &told));
    OK(read_back("file", bytes, length, &told));
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    copy.write = options;
    copy.no_server_copy = true;
    OK(orbit_copy(at.store, "memory", at.store, "copy", &copy, NULL, &told));
    OK(read_back("copy", bytes, length, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    unlink(path);
}

static void locked_objects_come_with_a_checksum(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, SMALL, LARGE};
    orbit_write_options options = locked();
    options.content_encoding = "x-odd";
    for (int off = 0; off < 2; off++) { /* also where checksums were turned off */
        at.config.no_checksum = off != 0;
        s3fault_reopen();
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            uint8_t *bytes = make_bytes(lengths[i], 1);
            orbit_metadata metadata = ORBIT_METADATA_INIT;
            write_each_way(bytes, lengths[i], &options);
            check_locked("memory");
            check_locked("file");
            check_locked("copy");
            OK(orbit_stat(at.store, "file", NULL, &metadata, &told));
            assert_string_equal(metadata.content_encoding, "x-odd");
            orbit_metadata_release(&metadata);
            free(bytes);
        }
    }
}

static orbit_status write_parts(const char *key, const orbit_write_options *options)
{
    uint8_t *bytes = make_bytes(LARGE, 6);
    orbit_status status = orbit_write(at.store, key, orbit_source_memory(bytes, LARGE), LARGE, options, NULL, &told);
    free(bytes);
    return status;
}

/* Whether a store does is seen once, and only where a lock was asked for; from then on they are set afterwards, or not
 * looked at. */
static void locks_that_a_store_drops_are_set_when_the_object_is_there(void **state)
{
    (void)state;
    orbit_write_options options = locked(), held = ORBIT_WRITE_OPTIONS_INIT, plain = ORBIT_WRITE_OPTIONS_INIT;
    held.object_lock_legal_hold = "ON";
    for (unsigned drops = 0; drops <= 1; drops++) {
        s3fault_fresh_client();
        endpoint_control(&at.endpoint, "set?drop_upload_locks=%u&drop_upload_tags=%u", drops, drops);
        int64_t heads = COUNT("requests.HeadObject");
        OK(write_parts("plain", &plain));
        assert_int_equal(COUNT("requests.HeadObject"), heads);
        options.tagging = drops ? "a=1" : NULL; /* both are set */
        OK(write_parts("one", &options));
        OK(write_parts("two", &options));
        OK(write_parts("held", &held));
        assert_int_equal(COUNT("requests.HeadObject") - heads, 1);
        assert_int_equal(COUNT("requests.PutObjectRetention"), 2 * drops);
        assert_int_equal(COUNT("requests.PutObjectLegalHold"), 3 * drops);
        assert_int_equal(COUNT("requests.PutObjectTagging"), 2 * drops);
        check_locked("one");
        check_locked("two");
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        OK(orbit_stat(at.store, "held", NULL, &metadata, &told));
        assert_null(metadata.object_lock_mode);
        assert_string_equal(metadata.object_lock_legal_hold, "ON");
        orbit_metadata_release(&metadata);
        OK(orbit_stat(at.store, "plain", NULL, &metadata, &told));
        assert_null(metadata.object_lock_legal_hold);
        orbit_metadata_release(&metadata);
    }
    FAULT("op=PutObjectRetention&status=403&code=AccessDenied");
    EXPECT(ORBIT_E_PERMISSION, write_parts("three", &options));
    assert_non_null(strstr(told.message, "was written, but it is not locked"));
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=PutObjectLegalHold&nth=1&status=503"); /* the object is not written again for that */
    assert_true(write_parts("four", &options) < 0);
    assert_false(told.flags & ORBIT_ERROR_RETRIABLE);
    /* Who may not look sets it. */
    endpoint_control(&at.endpoint, "clear");
    s3fault_fresh_client();
    FAULT("op=HeadObject&status=403&count=1");
    OK(write_parts("five", &options));
    check_locked("five");
    endpoint_control(&at.endpoint, "set?drop_upload_locks=0&drop_upload_tags=0");
}

static void copies_on_the_server_are_locked(void **state)
{
    (void)state;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options options = locked();
    uint8_t *bytes = make_bytes(LARGE, 2);
    copy.write = &options;
    OK(write_bytes("from", bytes, LARGE, &told));
    OK(orbit_copy(at.store, "from", at.store, "once", &copy, NULL, &told));
    check_locked("once");
    at.config.copy_max_bytes = CHUNK;
    s3fault_reopen();
    OK(orbit_copy(at.store, "from", at.store, "parts", &copy, NULL, &told));
    check_locked("parts");
    assert_int_equal(COUNT("requests.UploadPartCopy"), 4);
    free(bytes);
}

static void bucket_that_locks_by_itself_is_learned_of(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, SMALL, LARGE};
    endpoint_control(&at.endpoint, "set?lock=1");
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        uint8_t *bytes = make_bytes(lengths[i], 3);
        s3fault_reopen();
        write_each_way(bytes, lengths[i], NULL);
        free(bytes);
    }
    endpoint_control(&at.endpoint, "set?lock=0");
}

/* A refusal for another reason, in the same words: no chunks after that, and the reason is told. */
static void another_refusal_is_not_mistaken_for_that(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(LARGE, 4);
    char path[] = "/tmp/orbit-lock-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, LARGE), LARGE);
    close(fd);
    FAULT("op=UploadPart&part=2&status=400&code=InvalidRequest");
    EXPECT(ORBIT_E_PROTOCOL,
           orbit_write(at.store, "refused", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, NULL, &told));
    assert_string_equal(told.code, "InvalidRequest");
    assert_int_equal(COUNT("open_uploads"), 0);
    endpoint_control(&at.endpoint, "clear");
    OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, NULL, &told));
    OK(read_back("file", bytes, LARGE, &told));
    unlink(path);
    free(bytes);
}

static void store_without_trailers_says_what_to_choose(void **state)
{
    (void)state;
    orbit_write_options options = locked();
    uint8_t *bytes = make_bytes(LARGE, 6);
    char path[] = "/tmp/orbit-lock-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, LARGE), LARGE);
    close(fd);
    FAULT("op=UploadPart&status=400&code=XAmzContentSHA256Mismatch");
    EXPECT(ORBIT_E_UNSUPPORTED,
           orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, &options, NULL, &told));
    assert_non_null(strstr(told.message, "MD5"));
    assert_int_equal(COUNT("open_uploads"), 0);
    unlink(path);
    free(bytes);
}

static void half_a_lock_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *until, *hold, *says;
    } wrong[] = {
        {"GOVERNANCE", NULL, NULL, "both its mode and the time"},
        {NULL, UNTIL, NULL, "both its mode and the time"},
        {"governance", UNTIL, NULL, "GOVERNANCE or COMPLIANCE"},
        {"COMPLIANCE", "tomorrow", NULL, "2030-01-31T00:00:00Z"},
        {NULL, NULL, "maybe", "ON or OFF"},
    };
    uint8_t *bytes = make_bytes(LARGE, 5);
    OK(write_bytes("from", "x", 1, &told));
    int64_t before = COUNT("total");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        options.object_lock_mode = wrong[i].mode;
        options.object_lock_until = wrong[i].until;
        options.object_lock_legal_hold = wrong[i].hold;
        EXPECT(ORBIT_E_CONFIG, orbit_write(at.store, "k", orbit_source_memory("x", 1), 1, &options, NULL, &told));
        assert_non_null(strstr(told.message, wrong[i].says));
        EXPECT(ORBIT_E_CONFIG,
               orbit_write(at.store, "k", orbit_source_memory(bytes, LARGE), LARGE, &options, NULL, &told));
    }
    assert_int_equal(COUNT("total"), before);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(locked_objects_come_with_a_checksum),
        FAULT_TEST(locks_that_a_store_drops_are_set_when_the_object_is_there),
        FAULT_TEST(copies_on_the_server_are_locked),
        FAULT_TEST(bucket_that_locks_by_itself_is_learned_of),
        FAULT_TEST(another_refusal_is_not_mistaken_for_that),
        FAULT_TEST(store_without_trailers_says_what_to_choose),
        FAULT_TEST(half_a_lock_is_refused_before_it_is_sent),
    };
    return cmocka_run_group_tests_name("s3 object lock", tests, s3fault_group_setup, s3fault_group_teardown);
}
