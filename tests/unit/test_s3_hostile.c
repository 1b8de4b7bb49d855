/* SPDX-License-Identifier: Apache-2.0
 * Replies that no store sends, word for word: too much of something, another thing than was asked for, a success
 * that is none. Each ends in an error that says so, in constant memory, or is passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/s3_store.h"

#define LINES "%%0D%%0A" /* the end of a line, in a format */

static orbit_error told;

/* A rule: a reply of status 200 with these headers ("Name: value", NULL at the end) and a body. */
static void says(const char *rule, const char *const *headers, const char *body)
{
    char query[2000], text[1200];
    int length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n", strlen(body));
    for (; headers && *headers; headers++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s\r\n", *headers);
    length += snprintf(text + length, sizeof text - (size_t)length, "\r\n%s", body);
    assert_true(length < 600);
    size_t at = (size_t)snprintf(query, sizeof query, "fault?%s&say=", rule);
    for (int i = 0; i < length; i++)
        at += (size_t)snprintf(query + at, sizeof query - at, "%%%02X", (unsigned char)text[i]);
    endpoint_control(&endpoint, "%s", query);
}

static orbit_status list_all(struct orb_backend *store, size_t *count)
{
    struct ophost_listing listing = {0};
    orbit_list_request request = {.path = "", .recursive = true};
    orbit_status status = ophost_list(store, "", &request, &listing, &told);
    *count = listing.count;
    ophost_listing_release(&listing);
    return status;
}

static bool message_has(const char *text)
{
    if (!strstr(told.message, text))
        print_message("the message is: %s\n", told.message);
    return strstr(told.message, text) != NULL;
}

/* ---- too much of it -------------------------------------------------------------------------------------- */

static void headers_without_end_are_no_reply(void **state)
{
    (void)state;
    static const char *const storms[] = {"%0D%0A&again=X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%0D%0A",
                                         "%0D%0A%0D%0A&again=HTTP/1.1 102 Wait%0D%0A%0D%0A"};
    static const int statuses[] = {200, 102};
    struct orb_backend *store = s3_open_bucket("store");
    for (size_t i = 0; i < 2; i++) {
        endpoint_control(&endpoint, "fault?op=HeadObject&close=1&times=40000&say=HTTP/1.1 %d OK%s", statuses[i],
                         storms[i]);
        assert_int_equal(s3_look(store, "key", &told), ORBIT_E_PROTOCOL);
        assert_true(message_has("KiB of headers"));
        assert_false(s3_retriable(&told));
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

static void trailers_without_end_are_no_listing(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    size_t count;
    endpoint_control(
        &endpoint, "fault?op=ListObjectsV2&close=1&times=40000&again=X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" LINES
                   "&say=HTTP/1.1 200 OK" LINES "Transfer-Encoding: chunked" LINES LINES "13" LINES
                   "%%3CListBucketResult/%%3E" LINES "0" LINES);
    assert_int_equal(list_all(store, &count), ORBIT_E_PROTOCOL);
    assert_true(message_has("KiB of headers"));
    ophost_backend_close(store);
}

static void a_page_of_a_listing_ends_somewhere(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    size_t count;
    endpoint_control(&endpoint,
                     "fault?op=ListObjectsV2&close=1&times=900000&again=%%3CJunk%%3E"
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%%3C/Junk%%3E"
                     "&say=HTTP/1.1 200 OK" LINES LINES "%%3CListBucketResult%%3E");
    assert_int_equal(list_all(store, &count), ORBIT_E_PROTOCOL);
    assert_true(message_has("longer than any such reply may be"));
    ophost_backend_close(store);
}

static void more_metadata_than_is_kept_is_no_lack_of_memory(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    endpoint_control(&endpoint,
                     "fault?op=HeadObject&times=900&again=x-amz-meta-n: "
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" LINES
                     "&say=HTTP/1.1 200 OK" LINES "Content-Length: 5" LINES "&then=" LINES);
    assert_int_equal(s3_look(store, "key", &told), ORBIT_E_LIMIT);
    assert_true(message_has("more metadata than 64 KiB"));
    ophost_backend_close(store);
}

static void an_etag_that_cannot_be_sent_back_is_none(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    char longest[300] = "ETag: \"";
    memset(longest + strlen(longest), 'e', 280);
    const char *const etags[] = {"ETag: \"a\x01\x7f\"", longest, "ETag: \"\"", "ETag: plain"};
    for (size_t i = 0; i < 4; i++) {
        orbit_metadata metadata = {0};
        says("op=HeadObject", (const char *const[]){etags[i], "Last-Modified: the day before", NULL}, "");
        assert_int_equal(ophost_stat(store, "key", &metadata, &told), ORBIT_OK);
        assert_false(metadata.fields & ORBIT_HAS_MTIME);
        if (i < 3)
            assert_null(metadata.etag);
        else
            assert_string_equal(metadata.etag, "plain");
        orbit_metadata_release(&metadata);
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

/* ---- a success that is none -------------------------------------------------------------------------------- */

static const char internal[] =
    "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>no</Message></Error>";
static const char denied[] = "  \n<s3:Error xmlns:s3=\"x\"><s3:Code>AccessDenied</s3:Code></s3:Error>";

static void an_error_with_status_200_is_one(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    size_t count;
    static const struct {
        const char *body;
        orbit_status status;
        bool retriable;
    } cases[] = {{internal, ORBIT_E_IO, true},
                 {denied, ORBIT_E_PERMISSION, false},
                 {"<Error><Code>NobodyKnows</Code></Error>", ORBIT_E_IO, true}};
    for (size_t i = 0; i < 3; i++) {
        says("op=PutObject", NULL, cases[i].body);
        says("op=DeleteObject", NULL, cases[i].body);
        says("op=CreateMultipartUpload", NULL, cases[i].body);
        says("op=ListObjectsV2", NULL, cases[i].body);
        assert_int_equal(ophost_put(store, "key", NULL, "abc", 3, NULL, &told), cases[i].status);
        assert_int_equal(s3_retriable(&told), cases[i].retriable);
        assert_int_equal(ophost_remove(store, "key", false, true, &told), cases[i].status);
        orbit_begin_reply begun = {0};
        assert_int_equal(ophost_begin(store, "key", NULL, 0, PART, NULL, &begun, &told), cases[i].status);
        orbit_status listed = list_all(store, &count);
        assert_int_equal(listed, i < 2 ? cases[i].status : ORBIT_E_PROTOCOL);
        assert_int_equal(s3_retriable(&told), cases[i].retriable);
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

/* Of a batch: an error that names no key of it, or is all there is. */
static void an_error_of_nobody_is_everybodys(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        orbit_status batch, first, second;
    } cases[] = {
        {"<DeleteResult/>", ORBIT_OK, ORBIT_OK, ORBIT_OK},
        {"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>", ORBIT_OK,
         ORBIT_E_PERMISSION, ORBIT_OK},
        {"<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>", ORBIT_OK, ORBIT_E_PERMISSION,
         ORBIT_E_PERMISSION},
        {"<DeleteResult><Error><Key>z</Key><Code>SlowDown</Code></Error><Error><Key>a</Key><Code>AccessDenied</Code>"
         "</Error></DeleteResult>",
         ORBIT_OK, ORBIT_E_PERMISSION, ORBIT_E_BUSY},
        {"<DeleteResult><Error><Key>z</Key><Code>NoSuchKey</Code></Error></DeleteResult>", ORBIT_OK, ORBIT_OK,
         ORBIT_OK},
        {denied, ORBIT_E_PERMISSION, ORBIT_OK, ORBIT_OK},
        {"<html></html>", ORBIT_E_PROTOCOL, ORBIT_OK, ORBIT_OK},
    };
    struct orb_backend *store = s3_open_bucket("store");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_remove_item items[2] = {{.path = "a"}, {.path = "b"}};
        orbit_remove_request request = {.items = items, .count = 2, .missing_ok = true};
        says("op=DeleteObjects", NULL, cases[i].body);
        assert_int_equal(ophost_remove_many(store, &request, &told), cases[i].batch);
        if (items[0].status != cases[i].first || items[1].status != cases[i].second)
            fail_msg("case %zu: %s and %s", i, orbit_status_word(items[0].status), orbit_status_word(items[1].status));
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

static orbit_status upload_of_one_part(struct orb_backend *store)
{
    orbit_begin_reply begun = {0};
    orbit_part_reply part = {0};
    orbit_metadata metadata = {0};
    assert_int_equal(ophost_begin(store, "key", NULL, 0, PART, NULL, &begun, &told), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, "abc", 3, &part, &told), ORBIT_OK);
    orbit_status status = ophost_finish(store, begun.upload, 3, 1, &metadata, &told);
    orbit_metadata_release(&metadata);
    (void)ophost_abort(store, begun.upload, NULL);
    ophost_release(store, begun.upload);
    return status;
}

#define FINISHED(inside) "<CompleteMultipartUploadResult><ETag>\"x\"</ETag>" inside "</CompleteMultipartUploadResult>"

static void an_upload_that_became_another_object_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        orbit_status status;
    } cases[] = {
        {FINISHED(""), ORBIT_OK},
        {FINISHED("<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>"), ORBIT_E_CHECKSUM},
        {FINISHED("<ChecksumCRC64NVME>rubbish</ChecksumCRC64NVME>"), ORBIT_OK},
        {FINISHED("<ChecksumCRC32>AAAAAA==</ChecksumCRC32>"), ORBIT_OK}, /* not what was asked for */
        {denied, ORBIT_E_PERMISSION},
        {"<html></html>", ORBIT_E_NETWORK},
    };
    struct orb_backend *store = s3_open_bucket("store");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        says("op=CompleteMultipartUpload", NULL, cases[i].body);
        assert_int_equal(upload_of_one_part(store), cases[i].status);
        if (cases[i].status == ORBIT_E_CHECKSUM)
            assert_true(message_has("the object is there") && !s3_retriable(&told));
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

/* No fault of anybody's: some stores know a checksum of the parts' checksums alone. It is tried once, and
 * remembered. */
static void a_store_that_takes_no_checksum_of_the_whole_gets_none(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    endpoint_control(&endpoint, "set?part_min=1");
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&count=1&status=400&code=BadRequest");
    assert_int_equal(upload_of_one_part(store), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 2);
    assert_int_equal(upload_of_one_part(store), ORBIT_OK);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 3);
    ophost_backend_close(store);
    s3_forget();
    store = s3_open_bucket("store");
    endpoint_control(&endpoint, "fault?op=CompleteMultipartUpload&status=400&code=BadRequest");
    assert_int_equal(upload_of_one_part(store), ORBIT_E_PROTOCOL);
    assert_int_equal(endpoint_count(&endpoint, "requests.CompleteMultipartUpload"), 5);
    ophost_backend_close(store);
}

static void a_part_is_copied_whatever_the_reply_is_called(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    static const char *const roots[] = {"CopyPartResult", "CopyObjectResult", "UploadPartCopyResult", "html"};
    for (size_t i = 0; i < 4; i++) {
        char body[200];
        orbit_begin_reply begun = {0};
        orbit_part_reply reply = {0};
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        orbit_metadata pin = {0};
        orbit_copy_request copy = {.from = "from", .to = "key", .options = &options, .pin = &pin};
        orbit_part_copy_request request = {.copy = &copy, .part = {1, 0, 3}};
        (void)snprintf(body, sizeof body, "<%s><ETag>\"e\"</ETag></%s>", roots[i], roots[i]);
        says("op=UploadPartCopy", NULL, body);
        assert_int_equal(ophost_begin(store, "key", NULL, 0, PART, NULL, &begun, &told), ORBIT_OK);
        orbit_status status = ophost_part_copy(store, begun.upload, &request, &reply, &told);
        assert_int_equal(status, i < 3 ? ORBIT_OK : ORBIT_E_NETWORK);
        (void)ophost_abort(store, begun.upload, NULL);
        ophost_release(store, begun.upload);
        endpoint_reset(&endpoint);
    }
    ophost_backend_close(store);
}

static void a_redirect_is_told_and_not_followed(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store");
    size_t count;
    endpoint_control(&endpoint,
                     "fault?op=ListObjectsV2&say=HTTP/1.1 307 Away" LINES "Location: %s/elsewhere/there" LINES
                     "Content-Length: 102" LINES LINES "%%3CError%%3E%%3CCode%%3ETemporaryRedirect%%3C/Code%%3E"
                     "%%3CEndpoint%%3Eb.example%%3C/Endpoint%%3E%%3CMessage%%3Ego there%%3C/Message%%3E%%3C/Error%%3E",
                     endpoint.url);
    assert_int_equal(list_all(store, &count), ORBIT_E_CONFIG);
    assert_true(message_has("another address, 'b.example'"));
    assert_true(message_has("set the right endpoint"));
    assert_int_equal(endpoint_count(&endpoint, "total"), 1);
    ophost_backend_close(store);
}

/* Whatever the words are, a listing that goes on is not taken for its end. */
static void a_page_that_is_not_clearly_the_last_is_not(void **state)
{
    (void)state;
#define KEY   "<Contents><Key>a</Key><Size>1</Size></Contents>"
#define TOKEN "<NextContinuationToken>t</NextContinuationToken>"
    static const struct {
        const char *page;
        size_t count; /* with the one of the second page; 0: an error */
    } cases[] = {{"<IsTruncated>true</IsTruncated>" TOKEN KEY, 2},
                 {"<IsTruncated> True\n</IsTruncated>" TOKEN KEY, 2},
                 {"<IsTruncated>1</IsTruncated>" TOKEN KEY, 2},
                 {"<IsTruncated>yes, there is more</IsTruncated>" KEY, 0},
                 {"<IsTruncated>true</IsTruncated>" TOKEN, 1}, /* nothing yet */
                 {TOKEN KEY, 2},
                 {KEY, 1},
                 {"<IsTruncated>false</IsTruncated>" TOKEN KEY, 1},
                 {"<IsTruncated>\nFalse </IsTruncated>" KEY, 1},
                 {"<IsTruncated/>" KEY, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_backend *store = s3_open_bucket("store");
        char body[600];
        size_t count;
        (void)snprintf(body, sizeof body, "<ListBucketResult>%s</ListBucketResult>", cases[i].page);
        says("op=ListObjectsV2&nth=1", NULL, body);
        says("op=ListObjectsV2&nth=2", NULL,
             "<ListBucketResult><Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>");
        orbit_status status = list_all(store, &count);
        assert_int_equal(status, cases[i].count ? ORBIT_OK : ORBIT_E_PROTOCOL);
        if (status == ORBIT_OK)
            assert_int_equal(count, cases[i].count);
        else
            assert_true(message_has("says that there is more and not where"));
        ophost_backend_close(store);
        endpoint_reset(&endpoint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(headers_without_end_are_no_reply),
        S3_TEST(a_page_that_is_not_clearly_the_last_is_not),
        S3_TEST(trailers_without_end_are_no_listing),
        S3_TEST(a_page_of_a_listing_ends_somewhere),
        S3_TEST(more_metadata_than_is_kept_is_no_lack_of_memory),
        S3_TEST(an_etag_that_cannot_be_sent_back_is_none),
        S3_TEST(an_error_with_status_200_is_one),
        S3_TEST(an_error_of_nobody_is_everybodys),
        S3_TEST(an_upload_that_became_another_object_is_told),
        S3_TEST(a_store_that_takes_no_checksum_of_the_whole_gets_none),
        S3_TEST(a_part_is_copied_whatever_the_reply_is_called),
        S3_TEST(a_redirect_is_told_and_not_followed),
    };
    return cmocka_run_group_tests_name("s3 hostile", tests, s3_tests_start, s3_tests_stop);
}
