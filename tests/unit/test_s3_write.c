/* SPDX-License-Identifier: Apache-2.0
 * Puts and multipart uploads of the S3 backend: what is sent, and what replies mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "unit/s3_store.h"

/* ---- writing ------------------------------------------------------------------------------------------- */

static void a_put_tells_what_was_stored(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    char *bytes = malloc(2 * MIB), *back;
    size_t got;
    assert_non_null(bytes);
    static const size_t lengths[] = {0, 1, 5000, 256 << 10, (256 << 10) + 1, 2 * MIB};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(bytes, (int)('a' + i), lengths[i]);
        assert_int_equal(ophost_put(store, "key", NULL, bytes, lengths[i], &metadata, &error), ORBIT_OK);
        assert_int_equal(metadata.size, lengths[i]);
        assert_non_null(metadata.etag);
        assert_int_equal(metadata.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
        assert_true(orb_checksum_value(&metadata.checksum) == orb_crc64nvme(0, bytes, lengths[i]));
        orbit_metadata_release(&metadata);
        assert_int_equal(ophost_read_all(store, "key", &back, &got, &error), ORBIT_OK);
        assert_int_equal(got, lengths[i]);
        assert_memory_equal(back, bytes, got);
        free(back);
    }
    free(bytes);
    ophost_backend_close(store);
}

static void all_write_options_arrive(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    const orbit_pair pairs[] = {{"Colour", "deep  blue"}, {"n-2", "x"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.content_type = "text/x-orbit";
    options.content_encoding = "gzip";
    options.content_disposition = "attachment; filename=\"a b\"";
    options.content_language = "de";
    options.cache_control = "max-age=5";
    options.expires = "Thu, 01 Dec 2033 16:00:00 GMT";
    options.storage_class = "STANDARD_IA";
    options.metadata = pairs;
    options.metadata_count = 2;
    for (int multipart = 0; multipart < 2; multipart++) {
        if (multipart) {
            orbit_begin_reply begun = {0};
            assert_int_equal(ophost_begin(store, "key", &options, 1, PART, NULL, &begun, &error), ORBIT_OK);
            assert_int_equal(ophost_part(store, begun.upload, 1, 0, "x", 1, NULL, &error), ORBIT_OK);
            assert_int_equal(ophost_finish(store, begun.upload, 1, 1, NULL, &error), ORBIT_OK);
            ophost_release(store, begun.upload);
        } else {
            assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_OK);
        }
        assert_int_equal(ophost_stat(store, "key", &metadata, &error), ORBIT_OK);
        assert_string_equal(metadata.content_type, options.content_type);
        assert_string_equal(metadata.content_encoding, options.content_encoding);
        assert_string_equal(metadata.content_disposition, options.content_disposition);
        assert_string_equal(metadata.content_language, options.content_language);
        assert_string_equal(metadata.cache_control, options.cache_control);
        assert_string_equal(metadata.expires, options.expires);
        assert_string_equal(metadata.storage_class, options.storage_class);
        assert_int_equal(metadata.user_count, 2);
        for (size_t i = 0; i < 2; i++)
            assert_true(strcmp(metadata.user[i].name, "colour") == 0 || strcmp(metadata.user[i].name, "n-2") == 0);
        orbit_metadata_release(&metadata);
        assert_int_equal(ophost_remove(store, "key", false, false, &error), ORBIT_OK);
    }
    ophost_backend_close(store);
}

/* What the endpoint tells of how an object is kept. */
static void check_kept(struct orb_backend *store, const char *path, const orbit_pair *expected, size_t count)
{
    orbit_metadata metadata = {0};
    orbit_error error;
    assert_int_equal(ophost_stat(store, path, &metadata, &error), ORBIT_OK);
    for (size_t i = 0; i < count; i++) {
        const char *found = NULL;
        for (size_t u = 0; u < metadata.user_count; u++)
            if (strcmp(metadata.user[u].name, expected[i].name) == 0)
                found = metadata.user[u].value;
        if (!found || strcmp(found, expected[i].value) != 0)
            fail_msg("%s of '%s' is '%s', not '%s'", expected[i].name, path, found ? found : "", expected[i].value);
    }
    orbit_metadata_release(&metadata);
}

static void write_in_parts(struct orb_backend *store, const char *path, const orbit_write_options *options)
{
    orbit_error error = {0};
    orbit_begin_reply begun = {0};
    if (ophost_begin(store, path, options, 1, PART, NULL, &begun, &error) < 0)
        fail_msg("%s", error.message);
    if (ophost_part(store, begun.upload, 1, 0, "x", 1, NULL, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(ophost_finish(store, begun.upload, 1, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
}

static void how_an_object_is_kept_arrives(void **state)
{
    (void)state;
    static const orbit_pair expected[] = {
        {"echo-acl", "bucket-owner-full-control"},
        {"echo-server-side-encryption-aws-kms-key-id", "key-1"},
        {"echo-server-side-encryption-context", "eyJhIjoiYiJ9"},
        {"echo-server-side-encryption-bucket-key-enabled", "true"},
        {"echo-tagging", "<Tag><Key>a b</Key><Value>c</Value></Tag>"},
    };
    enum { COUNT = sizeof expected / sizeof *expected };
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_metadata copied = {0};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.acl = expected[0].value;
    options.sse = "aws:kms";
    options.sse_kms_key_id = expected[1].value;
    options.sse_kms_context = expected[2].value;
    options.sse_bucket_key = true;
    options.tagging = "a%20b=c";
    endpoint_control(&endpoint, "set?echo=1");
    assert_int_equal(ophost_put(store, "put", &options, "x", 1, NULL, &error), ORBIT_OK);
    check_kept(store, "put", expected, COUNT);
    write_in_parts(store, "parts", &options);
    check_kept(store, "parts", expected, COUNT);
    s3_put_keys(store, (const char *const[]){"plain"}, 1);
    for (int preserve = 0; preserve < 2; preserve++) {
        orbit_copy_request request = {.from = "plain", .to = "copy", .preserve = preserve, .options = &options};
        if (ophost_copy(store, &request, &copied, &error) < 0)
            fail_msg("%s", error.message);
        orbit_metadata_release(&copied);
        check_kept(store, "copy", expected, COUNT);
    }
    endpoint_control(&endpoint, "set?echo=0");
    ophost_backend_close(store);
}

static void another_accounts_bucket_is_refused(void **state)
{
    (void)state;
    orbit_s3_config config = s3_config_for("store");
    orbit_error error;
    orbit_metadata copied = {0};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    config.expected_bucket_owner = "111122223333";
    struct orb_backend *ours = s3_open_with(&config);
    config.expected_bucket_owner = "999999999999";
    struct orb_backend *theirs = s3_open_with(&config);
    assert_int_equal(ophost_put(ours, "k", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(theirs, "k", NULL, "x", 1, NULL, &error), ORBIT_E_PERMISSION);
    assert_int_equal(s3_look(theirs, "k", &error), ORBIT_E_PERMISSION);
    options.expected_bucket_owner = "999999999999"; /* of one write: wins */
    assert_int_equal(ophost_put(ours, "k", &options, "x", 1, NULL, &error), ORBIT_E_PERMISSION);
    orbit_copy_request request = {
        .from = "k", .to = "k2", .from_self = theirs->self, .preserve = true, .options = &options};
    options.expected_bucket_owner = NULL;
    assert_int_equal(ophost_copy(ours, &request, &copied, &error), ORBIT_E_PERMISSION); /* the source's */
    ophost_backend_close(theirs);
    ophost_backend_close(ours);
}

static void what_no_header_can_carry_is_refused(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    const orbit_pair evil[] = {{"a", "one\r\nx-amz-acl: public-read"}}, odd[] = {{"a b", "one"}};
    options.metadata = evil;
    options.metadata_count = 1;
    assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_E_CONFIG);
    options.metadata = odd;
    assert_int_equal(ophost_put(store, "key", &options, "x", 1, NULL, &error), ORBIT_E_CONFIG);
    assert_int_equal(endpoint_count(&endpoint, "requests.PutObject"), 0);
    ophost_backend_close(store);
}

static void content_type_follows_the_extension(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    static const char *const cases[][2] = {{"a.HTML", "text/html"},
                                           {"b.tar.gz", "application/gzip"},
                                           {"c.7z", "application/x-7z-compressed"},
                                           {"d.zst", "application/zstd"},
                                           {".png", "application/octet-stream"},
                                           {"e.d/f", "application/octet-stream"},
                                           {"g.parquet", "application/vnd.apache.parquet"},
                                           {"h.md", "text/markdown"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_error error;
        orbit_metadata metadata = {0};
        assert_int_equal(ophost_put(store, cases[i][0], NULL, "x", 1, NULL, &error), ORBIT_OK);
        assert_int_equal(ophost_stat(store, cases[i][0], &metadata, &error), ORBIT_OK);
        assert_string_equal(metadata.content_type, cases[i][1]);
        orbit_metadata_release(&metadata);
    }
    orbit_error error;
    orbit_metadata metadata = {0};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.no_guess_content_type = true;
    assert_int_equal(ophost_put(store, "a.html", &options, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_stat(store, "a.html", &metadata, &error), ORBIT_OK);
    assert_string_equal(metadata.content_type, "application/octet-stream");
    orbit_metadata_release(&metadata);
    ophost_backend_close(store);
}

static void customer_keys_go_with_every_request(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    uint8_t key[32];
    char *bytes = NULL;
    size_t got;
    memset(key, 7, sizeof key);
    options.sse_customer_key = key;
    orbit_begin_reply begun = {0};
    assert_int_equal(ophost_begin(store, "key", &options, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    orbit_read_request request = {.path = "key", .length = ORBIT_TO_END, .sse_customer_key = key};
    assert_int_equal(ophost_read(store, &request, &bytes, &got, NULL, &error), ORBIT_OK);
    assert_int_equal(got, 3);
    free(bytes);
    bytes = NULL;
    request.sse_customer_key = NULL;
    assert_true(ophost_read(store, &request, &bytes, &got, NULL, &error) < 0);
    free(bytes);
    ophost_backend_close(store);
}

static void no_overwrite_and_if_match_are_the_stores_decision(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_metadata metadata = {0};
    orbit_write_options fresh = ORBIT_WRITE_OPTIONS_INIT, match = ORBIT_WRITE_OPTIONS_INIT;
    fresh.overwrite = false;
    assert_int_equal(ophost_put(store, "key", &fresh, "one", 3, &metadata, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", &fresh, "two", 3, NULL, &error), ORBIT_E_EXISTS);
    match.if_match = metadata.etag;
    assert_int_equal(ophost_put(store, "key", &match, "two", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", &match, "three", 5, NULL, &error), ORBIT_E_CHANGED);
    orbit_metadata_release(&metadata);
    for (int honest = 0; honest < 2; honest++) {
        orbit_begin_reply begun = {0};
        endpoint_control(&endpoint, "set?conditional_complete=%d", honest);
        assert_int_equal(ophost_begin(store, "key", &fresh, 3, PART, NULL, &begun, &error), ORBIT_OK);
        assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
        assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_E_EXISTS);
        assert_int_equal(ophost_abort(store, begun.upload, &error), ORBIT_OK);
        ophost_release(store, begun.upload);
    }
    endpoint_control(&endpoint, "fault?op=PutObject&status=409&code=ConditionalRequestConflict&count=1");
    assert_int_equal(ophost_put(store, "new", &fresh, "x", 1, NULL, &error), ORBIT_E_BUSY);
    assert_true(s3_retriable(&error));
    assert_int_equal(endpoint_count(&endpoint, "open_uploads"), 0);
    ophost_backend_close(store);
}

static void a_wrong_checksum_in_the_reply_is_retriable(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    endpoint_control(&endpoint, "fault?op=PutObject&wrong_checksum=1&count=1");
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_E_CHECKSUM);
    assert_true(s3_retriable(&error));
    endpoint_control(&endpoint, "fault?op=UploadPart&wrong_checksum=1&count=1");
    assert_int_equal(ophost_begin(store, "key", NULL, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_E_CHECKSUM);
    assert_true(s3_retriable(&error));
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    ophost_backend_close(store);
}

static void an_endpoint_that_refuses_checksums_is_served_without(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    endpoint_control(&endpoint, "set?checksums=0");
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_true(s3_retriable(&error));
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_begin(store, "big", NULL, 3, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, 3, 1, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    assert_int_equal(endpoint_count(&endpoint, "failed.PutObject"), 1);
    ophost_backend_close(store);
    endpoint_control(&endpoint, "set?checksums=1");
}

/* ---- multipart ----------------------------------------------------------------------------------------- */

static struct orb_backend *three_parts(void **upload, uint64_t *size)
{
    struct orb_backend *store = s3_open_bucket("store");
    orbit_error error;
    orbit_begin_reply begun = {0};
    char *part = calloc(1, PART);
    assert_non_null(part);
    assert_int_equal(ophost_begin(store, "big", NULL, 2 * PART + 3, PART, NULL, &begun, &error), ORBIT_OK);
    /* In any order. */
    assert_int_equal(ophost_part(store, begun.upload, 3, 2 * PART, "end", 3, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, part, PART, NULL, &error), ORBIT_OK);
    memset(part, 'b', PART);
    assert_int_equal(ophost_part(store, begun.upload, 2, PART, part, PART, NULL, &error), ORBIT_OK);
    free(part);
    *upload = begun.upload;
    *size = 2 * PART + 3;
    return store;
}

static orbit_finish_request finish_request;
static orbit_metadata finish_reply;

static void start_finish(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    ops->finish(self, op, call->ctx, &finish_request, &finish_reply);
}

static orbit_status finish(struct orb_backend *store, void *upload, uint64_t size, bool resolve, orbit_error *error)
{
    struct ophost_call call = {.start = start_finish, .ctx = upload};
    finish_request = (orbit_finish_request){.size = size, .part_count = 3, .resolve = resolve};
    finish_reply = (orbit_metadata){0};
    ophost_start(&call, store);
    orbit_status status = ophost_wait(&call, error);
    orbit_metadata_release(&finish_reply);
    return status;
}

static void a_multipart_object_has_the_checksum_of_the_whole(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    orbit_metadata made = {0}, seen = {0};
    struct orb_backend *store = three_parts(&upload, &size);
    char *bytes;
    size_t got;
    assert_int_equal(ophost_finish(store, upload, size, 3, &made, &error), ORBIT_OK);
    ophost_release(store, upload);
    assert_int_equal(ophost_read_all(store, "big", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, size);
    assert_int_equal(made.checksum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
    assert_true(orb_checksum_value(&made.checksum) == orb_crc64nvme(0, bytes, got));
    assert_int_equal(ophost_stat(store, "big", &seen, &error), ORBIT_OK);
    assert_string_equal(seen.etag, made.etag);
    assert_int_equal(seen.part_count, 3);
    assert_memory_equal(&seen.checksum, &made.checksum, sizeof seen.checksum);
    free(bytes);
    orbit_metadata_release(&made);
    orbit_metadata_release(&seen);
    ophost_backend_close(store);
}

static void an_error_inside_a_200_is_an_error(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&error200=1&count=1");
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_E_IO);
    assert_true(s3_retriable(&error));
    assert_string_equal(error.code, "InternalError");
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_OK);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static void a_lost_reply_to_complete_is_resolved_by_looking(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&lost=1&count=1");
    orbit_status status = finish(store, upload, size, false, &error);
    assert_true(status < 0 && (error.flags & ORBIT_ERROR_MAYBE_DONE) && s3_retriable(&error));
    assert_int_equal(finish(store, upload, size, true, &error), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 1);
    /* Also who did not know that a reply was lost hears the truth. */
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_OK);
    ophost_release(store, upload);

    /* Another object at the key is not taken for ours. */
    store = (ophost_backend_close(store), three_parts(&upload, &size));
    assert_int_equal(ophost_put(store, "big", NULL, "other", 5, NULL, &error), ORBIT_OK);
    assert_int_equal(finish(store, upload, size, true, &error), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 3);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static void an_upload_that_is_gone_is_not_found(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    struct orb_backend *store = three_parts(&upload, &size);
    assert_int_equal(ophost_abort(store, upload, &error), ORBIT_OK);
    assert_int_equal(ophost_abort(store, upload, &error), ORBIT_OK);
    assert_int_equal(finish(store, upload, size, false, &error), ORBIT_E_NOT_FOUND);
    assert_string_equal(error.code, "NoSuchUpload");
    assert_int_equal(finish(store, upload, size + 1, false, &error), ORBIT_E_MISUSE);
    ophost_release(store, upload);
    ophost_backend_close(store);
}

static unsigned part_seen, upload_seen;
static char seen_id[256];

static void on_part(void *ctx, const orbit_stored_part *part)
{
    (void)ctx;
    part_seen |= 1u << part->part.number;
    if (part->part.length != (part->part.number == 3 ? 3 : PART) || !part->reply.etag)
        part_seen |= 1;
}

static void on_upload(void *ctx, const orbit_upload_entry *entry)
{
    (void)ctx;
    upload_seen += strcmp(entry->path, "big") == 0 && entry->started_ns > 0;
    snprintf(seen_id, sizeof seen_id, "%s", entry->upload_id);
}

static void an_upload_can_be_taken_up_again(void **state)
{
    (void)state;
    void *upload;
    uint64_t size;
    orbit_error error;
    bool more = true;
    struct orb_backend *store = three_parts(&upload, &size);
    ophost_release(store, upload);
    part_seen = upload_seen = 0;
    orbit_uploads_request uploads = {.prefix = "bi", .each = on_upload};
    assert_int_equal(ophost_uploads(store, &uploads, &more, &error), ORBIT_OK);
    assert_false(more);
    assert_int_equal(upload_seen, 1);
    orbit_begin_reply begun = {0};
    assert_int_equal(ophost_begin(store, "big", NULL, size, PART, seen_id, &begun, &error), ORBIT_OK);
    assert_string_equal(begun.upload_id, seen_id);
    orbit_parts_request parts = {.upload = begun.upload, .each = on_part};
    assert_int_equal(ophost_parts(store, &parts, &more, &error), ORBIT_OK);
    assert_false(more);
    assert_int_equal(part_seen, 1u << 1 | 1u << 2 | 1u << 3);
    assert_int_equal(finish(store, begun.upload, size, false, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    ophost_backend_close(store);
}

/* ---- bodies that come piecemeal, cancelling ----------------------------------------------------------------- */

struct put_call {
    struct ophost_call call; /* first */
    struct ophost_body body;
    orbit_put_request request;
    orbit_write_options options;
    orbit_metadata reply;
};

static void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct put_call *put = (struct put_call *)call;
    ops->put(self, op, &put->request, &put->body.body, &put->reply);
}

static void put_call_init(struct put_call *put, const char *path, const char *bytes, size_t length)
{
    memset(put, 0, sizeof *put);
    put->call.start = start_put;
    put->options = (orbit_write_options)ORBIT_WRITE_OPTIONS_INIT;
    put->request = (orbit_put_request){path, &put->options, NULL, 0};
    ophost_body_init(&put->body, &put->call, bytes, length);
}

static void bodies_with_pauses_are_sent_whole(void **state)
{
    (void)state;
    char *bytes = malloc(3 * MIB), *back;
    assert_non_null(bytes);
    for (size_t i = 0; i < 3 * MIB; i++)
        bytes[i] = (char)(i * 31 + i / 999);
    for (int sign = 0; sign < 2; sign++) {
        orbit_s3_config config = s3_config_for("store");
        config.sign_payload = sign;
        struct orb_backend *store = s3_open_with(&config);
        struct put_call put;
        orbit_error error;
        size_t got;
        put_call_init(&put, "pieces", bytes, 3 * MIB);
        put.body.body.whole = NULL;
        put.body.window = 7777;
        put.body.starve_every = 5;
        ophost_start(&put.call, store);
        assert_int_equal(ophost_wait(&put.call, &error), ORBIT_OK);
        assert_true(orb_checksum_value(&put.reply.checksum) == orb_crc64nvme(0, bytes, 3 * MIB));
        orbit_metadata_release(&put.reply);
        assert_int_equal(ophost_read_all(store, "pieces", &back, &got, &error), ORBIT_OK);
        assert_int_equal(got, 3 * MIB);
        assert_memory_equal(back, bytes, got);
        free(back);
        /* A source that fails is the end of it, and nothing is there. */
        put_call_init(&put, "failed", bytes, 3 * MIB);
        put.body.body.whole = NULL;
        put.body.fail_at = 100000;
        ophost_start(&put.call, store);
        assert_int_equal(ophost_wait(&put.call, &error), ORBIT_E_IO);
        assert_int_equal(s3_look(store, "failed", &error), ORBIT_E_NOT_FOUND);
        ophost_backend_close(store);
    }
    free(bytes);
}

static void a_cancelled_operation_ends_soon(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    struct put_call put;
    orbit_error error;
    endpoint_control(&endpoint, "fault?op=PutObject&latency_ms=20000");
    put_call_init(&put, "slow", "x", 1);
    ophost_start(&put.call, store);
    ophost_cancel(&put.call);
    assert_int_equal(ophost_wait(&put.call, &error), ORBIT_E_CANCELLED);
    ophost_backend_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(a_put_tells_what_was_stored),
        S3_TEST(all_write_options_arrive),
        S3_TEST(how_an_object_is_kept_arrives),
        S3_TEST(another_accounts_bucket_is_refused),
        S3_TEST(what_no_header_can_carry_is_refused),
        S3_TEST(content_type_follows_the_extension),
        S3_TEST(customer_keys_go_with_every_request),
        S3_TEST(no_overwrite_and_if_match_are_the_stores_decision),
        S3_TEST(a_wrong_checksum_in_the_reply_is_retriable),
        S3_TEST(an_endpoint_that_refuses_checksums_is_served_without),
        S3_TEST(a_multipart_object_has_the_checksum_of_the_whole),
        S3_TEST(an_error_inside_a_200_is_an_error),
        S3_TEST(a_lost_reply_to_complete_is_resolved_by_looking),
        S3_TEST(an_upload_that_is_gone_is_not_found),
        S3_TEST(an_upload_can_be_taken_up_again),
        S3_TEST(bodies_with_pauses_are_sent_whole),
        S3_TEST(a_cancelled_operation_ends_soon),
    };
    return cmocka_run_group_tests_name("s3 write", tests, s3_tests_start, s3_tests_stop);
}
