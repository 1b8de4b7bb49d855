/* SPDX-License-Identifier: Apache-2.0
 * Writes to an S3 endpoint that misbehaves: whatever it does, the object is whole and right, or not there at all. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

#define LARGE (3u * CHUNK + 77)

/* Writes a large object that must arrive. */
static void arrives(const char *key)
{
    uint8_t *bytes = make_bytes(LARGE, 1);
    OK(write_bytes(key, bytes, LARGE, &told));
    OK(read_back(key, bytes, LARGE, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

/* Writes a large object that must fail, leaving nothing. */
static void fails(const char *key, orbit_status expected)
{
    uint8_t *bytes = make_bytes(LARGE, 2);
    bool there = true;
    memset(&told, 0, sizeof(told));
    orbit_status status = write_bytes(key, bytes, LARGE, &told);
    if (expected != ORBIT_OK)
        expect(expected, status, &told, "writing", __FILE__, __LINE__);
    assert_true(status < 0);
    endpoint_control(&at.endpoint, "clear");
    OK(orbit_exists(at.store, key, NULL, &there, &told));
    assert_false(there);
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

static void failed_requests_of_every_kind_are_tried_again(void **state)
{
    (void)state;
    FAULT("op=CreateMultipartUpload&nth=1&status=500");
    FAULT("op=UploadPart&nth=2&count=2&status=503");
    FAULT("op=UploadPart&nth=4&reset=before");
    FAULT("op=CompleteMultipartUpload&nth=1&status=500");
    arrives("retried");
    FAULT("op=PutObject&nth=1&count=2&status=500");
    OK(write_bytes("small", "12345", 5, &told));
    OK(read_back("small", "12345", 5, &told));
}

static void an_upload_whose_beginning_was_not_heard_of_is_not_left_behind(void **state)
{
    (void)state;
    FAULT("op=CreateMultipartUpload&nth=1&count=2&lost=1");
    arrives("unheard");
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 3);
    assert_int_equal(COUNT("requests.AbortMultipartUpload"), 2);
    assert_int_equal(COUNT("open_uploads"), 0);
    /* Also where the write fails. */
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=CreateMultipartUpload&nth=1&lost=1");
    FAULT("op=UploadPart&part=2&status=403");
    fails("denied", ORBIT_OK);
}

static void an_upload_that_begins_long_after_its_request_was_given_up_is_not_left_behind(void **state)
{
    (void)state;
    FAULT("op=CreateMultipartUpload&nth=1&latency_ms=2500"); /* the first byte may take one second */
    arrives("late");
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 2);
    assert_int_equal(COUNT("requests.AbortMultipartUpload"), 1);
    assert_int_equal(COUNT("open_uploads"), 0);
}

static void part_that_never_succeeds_ends_the_write_and_leaves_nothing(void **state)
{
    (void)state;
    FAULT("op=UploadPart&part=2&status=500");
    fails("hopeless", ORBIT_OK);
    assert_true(COUNT("requests.AbortMultipartUpload") >= 1);
}

static void part_whose_upload_is_cut_is_sent_again(void **state)
{
    (void)state;
    FAULT("op=UploadPart&nth=2&upload_stop=100000");
    arrives("cut");
    FAULT("op=PutObject&nth=1&upload_stop=1000");
    uint8_t *bytes = make_bytes(100000, 3);
    OK(write_bytes("cut-small", bytes, 100000, &told));
    OK(read_back("cut-small", bytes, 100000, &told));
    free(bytes);
}

static void part_whose_reply_is_lost_is_sent_again(void **state)
{
    (void)state;
    FAULT("op=UploadPart&nth=1&reset=after");
    arrives("unheard");
}

static void complete_whose_reply_is_lost_is_found_done(void **state)
{
    (void)state;
    FAULT("op=CompleteMultipartUpload&nth=1&reset=after");
    arrives("done-after-all");
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 1); /* not uploaded again blindly */
    assert_int_equal(COUNT("requests.UploadPart"), 4);
}

static void lost_complete_with_an_old_object_in_place_is_told_apart(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(LARGE, 9);
    OK(write_bytes("twice", "old", 3, &told));
    FAULT("op=CompleteMultipartUpload&nth=1&reset=before"); /* no effect: the old one is still there */
    OK(write_bytes("twice", bytes, LARGE, &told));
    OK(read_back("twice", bytes, LARGE, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

static void put_whose_reply_is_lost_succeeds(void **state)
{
    (void)state;
    FAULT("op=PutObject&nth=1&reset=after");
    OK(write_bytes("small", "12345", 5, &told));
    OK(read_back("small", "12345", 5, &told));
}

static void conditional_put_whose_reply_is_lost_is_found_done(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    FAULT("op=PutObject&nth=1&reset=after");
    OK(orbit_write(at.store, "once", orbit_source_memory("12345", 5), 5, &options, NULL, &told));
    OK(read_back("once", "12345", 5, &told));
}

static void error_inside_a_200_is_an_error(void **state)
{
    (void)state;
    FAULT("op=CompleteMultipartUpload&nth=1&error200=1");
    arrives("complete-in-vain");
    FAULT("op=CompleteMultipartUpload&error200=1");
    fails("never-complete", ORBIT_OK);
}

static void copy_with_an_error_inside_a_200_is_an_error(void **state)
{
    (void)state;
    bool there = true;
    OK(write_bytes("from", "12345", 5, &told));
    FAULT("op=CopyObject&nth=1&error200=1");
    OK(orbit_copy(at.store, "from", at.store, "to", NULL, NULL, &told));
    OK(read_back("to", "12345", 5, &told));
    FAULT("op=CopyObject&error200=1");
    assert_true(orbit_copy(at.store, "from", at.store, "to2", NULL, NULL, &told) < 0);
    OK(orbit_exists(at.store, "to2", NULL, &there, &told));
    assert_false(there);
}

static void complete_gives_the_checksums_of_the_parts(void **state)
{
    (void)state;
    endpoint_control(&at.endpoint, "set?part_sums=1"); /* as some stores want it */
    arrives("with-sums");
}

static void store_that_wants_a_checksum_with_each_part_gets_it(void **state)
{
    (void)state;
    static const size_t sizes[] = {LARGE, (8 << 20) + (64 << 10), (8 << 20) + 1, (8 << 20) + (128 << 10)};
    endpoint_control(&at.endpoint, "set?sum_with_part=1");
    endpoint_control(&at.endpoint, "set?part_sums=1");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *bytes = make_bytes(sizes[i], 20 + (unsigned)i);
        OK(write_bytes("summed", bytes, sizes[i], &told));
        OK(read_back("summed", bytes, sizes[i], &told));
        free(bytes);
    }
    FAULT("op=UploadPart&nth=2&upload_stop=100000"); /* from the start of the chunks again */
    arrives("summed-and-cut");
    FAULT("op=UploadPart&nth=1&reset=after");
    arrives("summed-unheard");
}

/* Once more without the checksums, which might be what it is about; never again. */
static void refused_complete_is_not_asked_for_again_and_again(void **state)
{
    (void)state;
    FAULT("op=CompleteMultipartUpload&status=400&code=InvalidRequest");
    fails("refused", ORBIT_OK);
    assert_in_range(COUNT("requests.CompleteMultipartUpload"), 1, 2);
}

static void conflict_is_tried_again_and_precondition_is_not(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    FAULT("op=PutObject&nth=1&status=409&code=ConditionalRequestConflict");
    OK(orbit_write(at.store, "conflict", orbit_source_memory("1", 1), 1, &options, NULL, &told));
    assert_int_equal(COUNT("requests.PutObject"), 2);
    EXPECT(ORBIT_E_EXISTS, orbit_write(at.store, "conflict", orbit_source_memory("2", 1), 1, &options, NULL, &told));
    assert_int_equal(COUNT("requests.PutObject"), 2);               /* it was looked first */
    FAULT("op=PutObject&nth=1&status=412&code=PreconditionFailed"); /* somebody wrote it just now */
    EXPECT(ORBIT_E_EXISTS, orbit_write(at.store, "between", orbit_source_memory("2", 1), 1, &options, NULL, &told));
    assert_int_equal(COUNT("requests.PutObject"), 3);
}

static void store_that_ignores_the_condition_of_a_put_is_looked_at_first(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    endpoint_control(&at.endpoint, "set?conditions=-1");
    options.overwrite = false;
    OK(orbit_write(at.store, "taken", orbit_source_memory("old", 3), 3, &options, NULL, &told));
    EXPECT(ORBIT_E_EXISTS, orbit_write(at.store, "taken", orbit_source_memory("new", 3), 3, &options, NULL, &told));
    OK(read_back("taken", "old", 3, &told));
    options.overwrite = true;
    options.if_match = "\"0123456789abcdef0123456789abcdef\"";
    EXPECT(ORBIT_E_CHANGED, orbit_write(at.store, "taken", orbit_source_memory("new", 3), 3, &options, NULL, &told));
    OK(read_back("taken", "old", 3, &told));
    endpoint_control(&at.endpoint, "set?conditions=1");
}

static void store_that_ignores_the_condition_of_complete_is_looked_at_first(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(LARGE, 4);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    endpoint_control(&at.endpoint, "set?conditional_complete=0");
    OK(write_bytes("taken", "old", 3, &told));
    EXPECT(ORBIT_E_EXISTS,
           orbit_write(at.store, "taken", orbit_source_memory(bytes, LARGE), LARGE, &options, NULL, &told));
    OK(read_back("taken", "old", 3, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    free(bytes);
}

static void checksum_that_the_store_does_not_confirm_is_a_mismatch(void **state)
{
    (void)state;
    FAULT("op=UploadPart&wrong_checksum=1");
    fails("unconfirmed", ORBIT_E_CHECKSUM);
}

static void one_bad_digest_is_tried_again(void **state)
{
    (void)state;
    FAULT("op=UploadPart&nth=1&status=400&code=BadDigest");
    arrives("digested");
}

static void every_part_comes_with_a_checksum_that_the_store_checks(void **state)
{
    (void)state;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    arrives("summed");
    OK(orbit_stat(at.store, "summed", NULL, &metadata, &told));
    assert_int_equal(metadata.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
    assert_false(metadata.checksum.composite);
    orbit_metadata_release(&metadata);
}

static void other_checksums_are_accepted_by_the_store(void **state)
{
    (void)state;
    static const uint32_t algorithms[] = {ORBIT_CHECKSUM_CRC64NVME, ORBIT_CHECKSUM_CRC32C};
    uint8_t *bytes = make_bytes(LARGE, 5);
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        options.checksum = algorithms[i];
        OK(orbit_write(at.store, "summed", orbit_source_memory(bytes, 1000), 1000, &options, NULL, &told));
        OK(read_back("summed", bytes, 1000, &told));
        OK(orbit_write(at.store, "summed", orbit_source_memory(bytes, LARGE), LARGE, &options, NULL, &told));
        OK(read_back("summed", bytes, LARGE, &told));
    }
    free(bytes);
}

static void checksum_that_needs_a_second_pass_is_sent_or_refused_before_the_first_byte(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.checksum = ORBIT_CHECKSUM_SHA256;
    orbit_status status = orbit_write(at.store, "sha", orbit_source_memory("12345", 5), 5, &options, NULL, &told);
    if (status == ORBIT_OK) {
        OK(read_back("sha", "12345", 5, &told));
        return;
    }
    assert_int_equal(status, ORBIT_E_UNSUPPORTED);
    assert_int_equal(COUNT("total"), 0);
}

static void signed_payloads_are_accepted_by_the_store(void **state)
{
    (void)state;
    at.config.sign_payload = true;
    s3fault_reopen();
    OK(write_bytes("small", "12345", 5, &told));
    OK(read_back("small", "12345", 5, &told));
    arrives("signed");
}

/* The bytes of a file pass once: its chunks are signed one by one, with the checksum behind them where it is wanted. */
static void bytes_that_pass_once_are_signed_in_chunks(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 65536, 100000, LARGE};
    at.config.sign_payload = true;
    for (int wanted = 0; wanted < 2; wanted++) {
        endpoint_control(&at.endpoint, "set?sum_with_part=%d&lock=%d", wanted, wanted);
        s3fault_reopen();
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            uint8_t *bytes = make_bytes(lengths[i], 3);
            char path[] = "/tmp/orbit-signed-XXXXXX";
            int fd = mkstemp(path);
            assert_true(fd >= 0);
            assert_int_equal(write(fd, bytes, lengths[i]), (ssize_t)lengths[i]);
            close(fd);
            FAULT("op=UploadPart&nth=2&count=1&status=503"); /* begun anew from the first chunk */
            OK(orbit_write(at.store, "file", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, NULL, &told));
            OK(read_back("file", bytes, lengths[i], &told));
            endpoint_control(&at.endpoint, "clear");
            unlink(path);
            free(bytes);
        }
    }
    endpoint_control(&at.endpoint, "set?sum_with_part=0&lock=0");
    assert_int_equal(COUNT("open_uploads"), 0);
}

static void store_without_checksums_is_served_without(void **state)
{
    (void)state;
    endpoint_control(&at.endpoint, "set?checksums=0");
    arrives("plain");
    OK(write_bytes("small", "12345", 5, &told));
    OK(read_back("small", "12345", 5, &told));
    int64_t failed = COUNT("failed.PutObject");
    for (int i = 0; i < 5; i++)
        OK(write_bytes("small", "12345", 5, &told));
    assert_true(COUNT("failed.PutObject") <= failed); /* remembered */
}

static void equal_parts_are_of_one_size(void **state)
{
    (void)state;
    at.config.equal_parts = true;
    s3fault_reopen();
    endpoint_control(&at.endpoint, "set?equal_parts=1");
    arrives("equal");
    struct endpoint_request request;
    for (unsigned i = 0; endpoint_request(&at.endpoint, "UploadPart", i, &request); i++)
        assert_int_equal(request.received, request.part == 4 ? 77 : CHUNK);
    endpoint_control(&at.endpoint, "set?equal_parts=0");
}

static void stalled_upload_is_given_up_and_sent_again(void **state)
{
    (void)state;
    FAULT("op=UploadPart&nth=1&latency_ms=5000");
    int64_t begun = now_ms();
    arrives("late");
    assert_true(now_ms() - begun < 15000);
}

static void slow_down_shrinks_and_ends_well(void **state)
{
    (void)state;
    at.options.retry_attempts = 10;
    s3fault_reopen();
    FAULT("op=UploadPart&probability=0.3&seed=5&status=503");
    uint8_t *bytes = make_bytes(20 * CHUNK, 6);
    OK(write_bytes("throttled", bytes, 20 * CHUNK, &told));
    OK(read_back("throttled", bytes, 20 * CHUNK, &told));
    free(bytes);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

static void batch_delete_tells_each_keys_own_error(void **state)
{
    (void)state;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    char key[32];
    bool there = false;
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "tree/%02d", i);
        OK(write_bytes(key, "x", 1, &told));
    }
    options.recursive = true;
    FAULT("op=DeleteObject&key=tree/07&status=403&code=AccessDenied");
    EXPECT(ORBIT_E_PERMISSION, orbit_remove(at.store, "tree", &options, &told));
    endpoint_control(&at.endpoint, "clear");
    OK(orbit_exists(at.store, "tree/07", NULL, &there, &told));
    assert_true(there);
    OK(orbit_exists(at.store, "tree/08", NULL, &there, &told));
    assert_false(there);
    OK(orbit_remove(at.store, "tree", &options, &told));
    OK(orbit_exists(at.store, "tree", NULL, &there, &told));
    assert_false(there);
}

static orbit_status write_tagged(const char *key)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    uint8_t *bytes = make_bytes(3 * CHUNK, 1);
    options.tagging = "a=1&b%20c=2";
    orbit_status status =
        orbit_write(at.store, key, orbit_source_memory(bytes, 3 * CHUNK), 3 * CHUNK, &options, NULL, &told);
    free(bytes);
    return status;
}

/* Whether a store does is seen once; from then on they are set afterwards, or not looked at. */
static void tags_that_a_store_drops_are_set_when_the_object_is_there(void **state)
{
    (void)state;
    char tagging[64];
    for (unsigned drops = 0; drops <= 1; drops++) {
        s3fault_teardown(state);
        s3fault_setup(state);
        endpoint_control(&at.endpoint, "set?drop_upload_tags=%u", drops);
        OK(write_tagged("one"));
        OK(write_tagged("two"));
        assert_int_equal(COUNT("requests.GetObjectTagging"), 1);
        assert_int_equal(COUNT("requests.PutObjectTagging"), 2 * drops);
        for (unsigned i = 0; i < 2; i++) {
            OK(orbit_tags_get(at.store, i ? "one" : "two", tagging, sizeof(tagging), NULL, &told));
            assert_string_equal(tagging, "a=1&b%20c=2");
        }
    }
    FAULT("op=PutObjectTagging&status=403&code=AccessDenied");
    EXPECT(ORBIT_E_PERMISSION, write_tagged("three"));
    assert_non_null(strstr(told.message, "was written, but the store kept none of its tags"));
    endpoint_control(&at.endpoint, "set?drop_upload_tags=0");
}

/* A store whose keys are paths removes "tree/" only when nothing is below it, and a batch names it first. */
static void directories_that_are_not_empty_yet_are_removed_last(void **state)
{
    (void)state;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    size_t count;
    options.recursive = true;
    OK(orbit_mkdir(at.store, "tree", NULL, &told));
    OK(orbit_mkdir(at.store, "tree/sub", NULL, &told));
    OK(write_bytes("tree/a", "1", 1, &told));
    OK(write_bytes("tree/sub/b", "1", 1, &told));
    FAULT("op=DeleteObject&key=tree*/&count=2&status=409&code=ErrDirectoryNotEmpty");
    OK(orbit_remove(at.store, "tree", &options, &told));
    OK(list_count("", true, &count, &told));
    assert_int_equal(count, 0);
    endpoint_control(&at.endpoint, "clear");
    OK(orbit_mkdir(at.store, "tree", NULL, &told));
    OK(write_bytes("tree/a", "1", 1, &told));
    FAULT("op=DeleteObject&key=tree/&status=409&code=ErrDirectoryNotEmpty"); /* stays so */
    EXPECT(ORBIT_E_NOT_EMPTY, orbit_remove(at.store, "tree", &options, &told));
}

/* What no other try can change is told at once. */
static void key_below_an_object_is_refused_once(void **state)
{
    (void)state;
    FAULT("op=PutObject&status=409&code=ObjectParentIsFile");
    EXPECT(ORBIT_E_PATH, write_bytes("file/below", "1", 1, &told));
    assert_int_equal(COUNT("requests.PutObject"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(tags_that_a_store_drops_are_set_when_the_object_is_there),
        FAULT_TEST(directories_that_are_not_empty_yet_are_removed_last),
        FAULT_TEST(key_below_an_object_is_refused_once),
        FAULT_TEST(failed_requests_of_every_kind_are_tried_again),
        FAULT_TEST(an_upload_whose_beginning_was_not_heard_of_is_not_left_behind),
        FAULT_TEST(an_upload_that_begins_long_after_its_request_was_given_up_is_not_left_behind),
        FAULT_TEST(part_that_never_succeeds_ends_the_write_and_leaves_nothing),
        FAULT_TEST(part_whose_upload_is_cut_is_sent_again),
        FAULT_TEST(part_whose_reply_is_lost_is_sent_again),
        FAULT_TEST(complete_whose_reply_is_lost_is_found_done),
        FAULT_TEST(lost_complete_with_an_old_object_in_place_is_told_apart),
        FAULT_TEST(put_whose_reply_is_lost_succeeds),
        FAULT_TEST(conditional_put_whose_reply_is_lost_is_found_done),
        FAULT_TEST(error_inside_a_200_is_an_error),
        FAULT_TEST(copy_with_an_error_inside_a_200_is_an_error),
        FAULT_TEST(complete_gives_the_checksums_of_the_parts),
        FAULT_TEST(store_that_wants_a_checksum_with_each_part_gets_it),
        FAULT_TEST(refused_complete_is_not_asked_for_again_and_again),
        FAULT_TEST(conflict_is_tried_again_and_precondition_is_not),
        FAULT_TEST(store_that_ignores_the_condition_of_a_put_is_looked_at_first),
        FAULT_TEST(store_that_ignores_the_condition_of_complete_is_looked_at_first),
        FAULT_TEST(checksum_that_the_store_does_not_confirm_is_a_mismatch),
        FAULT_TEST(one_bad_digest_is_tried_again),
        FAULT_TEST(every_part_comes_with_a_checksum_that_the_store_checks),
        FAULT_TEST(other_checksums_are_accepted_by_the_store),
        FAULT_TEST(checksum_that_needs_a_second_pass_is_sent_or_refused_before_the_first_byte),
        FAULT_TEST(signed_payloads_are_accepted_by_the_store),
        FAULT_TEST(bytes_that_pass_once_are_signed_in_chunks),
        FAULT_TEST(store_without_checksums_is_served_without),
        FAULT_TEST(equal_parts_are_of_one_size),
        FAULT_TEST(stalled_upload_is_given_up_and_sent_again),
        FAULT_TEST(slow_down_shrinks_and_ends_well),
        FAULT_TEST(batch_delete_tells_each_keys_own_error),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
