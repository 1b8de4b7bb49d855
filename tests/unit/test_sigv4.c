/* SPDX-License-Identifier: Apache-2.0
 * Signatures against examples that AWS has published. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wire/sigv4.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct orb_sigv4_keys s3_keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL,
                                              "us-east-1", "s3"};
static const struct orb_sigv4_keys suite_keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL,
                                                 "us-east-1", "service"};
#define S3_DATE    "20130524T000000Z"
#define SUITE_DATE "20150830T123600Z"
#define S3_HOST    "examplebucket.s3.amazonaws.com"

static void check(const struct orb_sigv4_keys *keys, const char *date, const char *method, const char *path,
                  const char *query, const orbit_pair *headers, size_t count, const char *hash, const char *names,
                  const char *signature)
{
    struct orb_sigv4 *signer = NULL;
    struct orb_buf out;
    struct orb_sigv4_request request = {method, path, query, headers, count, hash};
    char end[400];
    orb_buf_init(&out, 4096);
    assert_int_equal(orb_sigv4_new(&signer, NULL), ORBIT_OK);
    for (int round = 0; round < 2; round++) { /* the second with the key of the day at hand */
        orb_buf_reset(&out);
        assert_int_equal(orb_sigv4_sign(signer, keys, &request, date, &out, NULL), ORBIT_OK);
        snprintf(end, sizeof end,
                 "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request,SignedHeaders=%s,Signature=%s",
                 keys->access_key_id, date, keys->service, names, signature);
        assert_string_equal(orb_buf_string(&out), end);
    }
    orb_buf_release(&out);
    orb_sigv4_free(signer);
}

static void get_object_with_a_range(void **state)
{
    (void)state;
    const orbit_pair headers[] = {
        {"x-amz-date", S3_DATE}, {"range", "bytes=0-9"}, {"host", S3_HOST}, {"x-amz-content-sha256", ORB_SIGV4_EMPTY}};
    check(&s3_keys, S3_DATE, "GET", "/test.txt", "", headers, COUNT(headers), ORB_SIGV4_EMPTY,
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void put_object_with_a_signed_payload(void **state)
{
    (void)state;
    char hash[65], path[64];
    struct orb_buf encoded;
    struct orb_sha256 *sha = orb_sha256_new();
    assert_true(orb_sha256_update(sha, "Welcome to ", 11) && orb_sha256_update(sha, "Amazon S3.", 10));
    assert_true(orb_sha256_hex(sha, hash));
    orb_sha256_free(sha);
    assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    orb_buf_init(&encoded, 64);
    orb_percent_encode(&encoded, "/test$file.text", 15, "/");
    snprintf(path, sizeof path, "%s", orb_buf_string(&encoded));
    orb_buf_release(&encoded);
    const orbit_pair headers[] = {{"host", S3_HOST},
                                  {"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                  {"x-amz-date", S3_DATE},
                                  {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                  {"x-amz-content-sha256", hash}};
    check(&s3_keys, S3_DATE, "PUT", path, "", headers, COUNT(headers), hash,
          "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void get_bucket_lifecycle(void **state)
{
    (void)state;
    const orbit_pair headers[] = {
        {"host", S3_HOST}, {"x-amz-date", S3_DATE}, {"x-amz-content-sha256", ORB_SIGV4_EMPTY}};
    orbit_pair params[] = {{"lifecycle", NULL}};
    struct orb_buf query;
    orb_buf_init(&query, 100);
    assert_true(orb_sigv4_query(&query, params, 1));
    check(&s3_keys, S3_DATE, "GET", "/", orb_buf_string(&query), headers, COUNT(headers), ORB_SIGV4_EMPTY,
          "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    orb_buf_release(&query);
}

static void list_objects(void **state)
{
    (void)state;
    const orbit_pair headers[] = {
        {"host", S3_HOST}, {"x-amz-date", S3_DATE}, {"x-amz-content-sha256", ORB_SIGV4_EMPTY}};
    orbit_pair params[] = {{"prefix", "J"}, {"max-keys", "2"}};
    struct orb_buf query;
    orb_buf_init(&query, 100);
    assert_true(orb_sigv4_query(&query, params, 2));
    assert_string_equal(orb_buf_string(&query), "max-keys=2&prefix=J");
    check(&s3_keys, S3_DATE, "GET", "/", orb_buf_string(&query), headers, COUNT(headers), ORB_SIGV4_EMPTY,
          "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    orb_buf_release(&query);
}

static void presigned_get(void **state)
{
    (void)state;
    const orbit_pair headers[] = {{"host", S3_HOST}};
    struct orb_sigv4_request request = {"GET", "/test.txt", "", headers, 1, ORB_SIGV4_UNSIGNED};
    struct orb_sigv4 *signer = NULL;
    struct orb_buf query;
    orbit_error error;
    orb_buf_init(&query, 4096);
    assert_int_equal(orb_sigv4_new(&signer, NULL), ORBIT_OK);
    assert_int_equal(orb_sigv4_presign(signer, &s3_keys, &request, NULL, 0, S3_DATE, 86400, &query, NULL), ORBIT_OK);
    assert_string_equal(orb_buf_string(&query),
                        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    assert_int_equal(orb_sigv4_presign(signer, &s3_keys, &request, NULL, 0, S3_DATE, 604801, &query, &error),
                     ORBIT_E_CONFIG);
    assert_int_equal(orb_sigv4_presign(signer, &s3_keys, &request, NULL, 0, S3_DATE, 0, &query, &error),
                     ORBIT_E_CONFIG);
    orb_buf_release(&query);
    orb_sigv4_free(signer);
}

static void suite_get_and_post_vanilla(void **state)
{
    (void)state;
    const orbit_pair headers[] = {{"host", "example.amazonaws.com"}, {"x-amz-date", SUITE_DATE}};
    check(&suite_keys, SUITE_DATE, "GET", "/", "", headers, 2, ORB_SIGV4_EMPTY, "host;x-amz-date",
          "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check(&suite_keys, SUITE_DATE, "POST", "/", "", headers, 2, ORB_SIGV4_EMPTY, "host;x-amz-date",
          "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

static void suite_query_is_sorted(void **state)
{
    (void)state;
    const orbit_pair headers[] = {{"host", "example.amazonaws.com"}, {"x-amz-date", SUITE_DATE}};
    orbit_pair params[] = {{"Param2", "value2"}, {"Param1", "value1"}};
    struct orb_buf query;
    orb_buf_init(&query, 100);
    assert_true(orb_sigv4_query(&query, params, 2));
    check(&suite_keys, SUITE_DATE, "GET", "/", orb_buf_string(&query), headers, 2, ORB_SIGV4_EMPTY, "host;x-amz-date",
          "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    orb_buf_release(&query);
}

/* Made values, repeated names: the canonical form, shown by what must give the same signature. */
static void values_are_trimmed_and_runs_of_blanks_are_one(void **state)
{
    (void)state;
    const orbit_pair loose[] = {{"host", "h"}, {"x-amz-meta-a", "  one \t two   three "}, {"x-amz-date", S3_DATE}};
    const orbit_pair tidy[] = {{"x-amz-date", S3_DATE}, {"x-amz-meta-a", "one two three"}, {"host", "h"}};
    struct orb_sigv4 *signer = NULL;
    struct orb_buf a, b;
    struct orb_sigv4_request request = {"GET", "/", "", loose, 3, ORB_SIGV4_EMPTY};
    orb_buf_init(&a, 4096);
    orb_buf_init(&b, 4096);
    assert_int_equal(orb_sigv4_new(&signer, NULL), ORBIT_OK);
    assert_int_equal(orb_sigv4_sign(signer, &s3_keys, &request, S3_DATE, &a, NULL), ORBIT_OK);
    request.headers = tidy;
    assert_int_equal(orb_sigv4_sign(signer, &s3_keys, &request, S3_DATE, &b, NULL), ORBIT_OK);
    assert_string_equal(orb_buf_string(&a), orb_buf_string(&b));
    orb_buf_release(&a);
    orb_buf_release(&b);
    orb_sigv4_free(signer);
}

static void a_new_day_region_or_secret_takes_a_new_key(void **state)
{
    (void)state;
    const orbit_pair headers[] = {{"host", "h"}};
    struct orb_sigv4 *signer = NULL, *fresh = NULL;
    struct orb_sigv4_keys keys = s3_keys;
    struct orb_sigv4_request request = {"GET", "/", "", headers, 1, ORB_SIGV4_EMPTY};
    assert_int_equal(orb_sigv4_new(&signer, NULL), ORBIT_OK);
    const char *dates[] = {S3_DATE, S3_DATE, "20130525T000000Z", "20130525T000000Z"};
    const char *regions[] = {"us-east-1", "eu-west-1", "eu-west-1", "eu-west-1"};
    const char *secrets[] = {"a", "a", "a", "b"};
    for (size_t i = 0; i < 4; i++) {
        struct orb_buf a, b;
        orb_buf_init(&a, 4096);
        orb_buf_init(&b, 4096);
        keys.region = regions[i];
        keys.secret_access_key = secrets[i];
        assert_int_equal(orb_sigv4_new(&fresh, NULL), ORBIT_OK);
        assert_int_equal(orb_sigv4_sign(signer, &keys, &request, dates[i], &a, NULL), ORBIT_OK);
        assert_int_equal(orb_sigv4_sign(fresh, &keys, &request, dates[i], &b, NULL), ORBIT_OK);
        assert_string_equal(orb_buf_string(&a), orb_buf_string(&b));
        orb_buf_release(&a);
        orb_buf_release(&b);
        orb_sigv4_free(fresh);
    }
    orb_sigv4_free(signer);
}

static void date_is_written_as_the_header_wants_it(void **state)
{
    (void)state;
    char date[ORB_SIGV4_DATE];
    orb_sigv4_date(date, 1369353600);
    assert_string_equal(date, S3_DATE);
}

/* The published example of a body in chunks: 65 KiB of 'a' in one of 64 KiB and one of 1 KiB. */
static struct orb_sigv4_chunks *example_chunks(const orbit_pair *headers, size_t count, const char *hash)
{
    struct orb_sigv4 *signer = NULL;
    struct orb_buf out;
    struct orb_sigv4_request request = {"PUT", "/examplebucket/chunkObject.txt", "", headers, count, hash};
    orb_buf_init(&out, 4096);
    assert_int_equal(orb_sigv4_new(&signer, NULL), ORBIT_OK);
    assert_int_equal(orb_sigv4_sign(signer, &s3_keys, &request, S3_DATE, &out, NULL), ORBIT_OK);
    struct orb_sigv4_chunks *chunks = orb_sigv4_chunks_new(signer, &s3_keys, S3_DATE);
    assert_non_null(chunks);
    orb_buf_release(&out);
    orb_sigv4_free(signer);
    return chunks;
}

static void chunks_of_a_body_are_signed_one_after_the_other(void **state)
{
    (void)state;
    static char bytes[65536];
    char hex[65];
    const orbit_pair headers[] = {{"host", "s3.amazonaws.com"},
                                  {"x-amz-date", S3_DATE},
                                  {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                  {"x-amz-content-sha256", ORB_SIGV4_CHUNKS},
                                  {"content-encoding", "aws-chunked"},
                                  {"x-amz-decoded-content-length", "66560"},
                                  {"content-length", "66824"}};
    memset(bytes, 'a', sizeof bytes);
    struct orb_sigv4_chunks *chunks = example_chunks(headers, COUNT(headers), ORB_SIGV4_CHUNKS);
    for (int round = 0; round < 2; round++) {
        orb_sigv4_chunks_reset(chunks);
        assert_true(orb_sigv4_chunk(chunks, bytes, 65536, hex));
        assert_string_equal(hex, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
        assert_true(orb_sigv4_chunk(chunks, bytes, 1024, hex));
        assert_string_equal(hex, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
        assert_true(orb_sigv4_chunk(chunks, "", 0, hex));
        assert_string_equal(hex, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    }
    orb_sigv4_chunks_free(chunks);
}

static void trailer_is_signed_behind_the_last_chunk(void **state)
{
    (void)state;
    static char bytes[65536];
    char hex[65];
    const orbit_pair headers[] = {{"host", "s3.amazonaws.com"},
                                  {"x-amz-date", S3_DATE},
                                  {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                  {"x-amz-content-sha256", ORB_SIGV4_CHUNKS_TRAILER},
                                  {"content-encoding", "aws-chunked"},
                                  {"x-amz-decoded-content-length", "66560"},
                                  {"x-amz-trailer", "x-amz-checksum-crc32c"}};
    memset(bytes, 'a', sizeof bytes);
    struct orb_sigv4_chunks *chunks = example_chunks(headers, COUNT(headers), ORB_SIGV4_CHUNKS_TRAILER);
    assert_true(orb_sigv4_chunk(chunks, bytes, 65536, hex));
    assert_string_equal(hex, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
    assert_true(orb_sigv4_chunk(chunks, bytes, 1024, hex));
    assert_string_equal(hex, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
    assert_true(orb_sigv4_chunk(chunks, "", 0, hex));
    assert_string_equal(hex, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    assert_true(orb_sigv4_trailer(chunks, "x-amz-checksum-crc32c:sOO8/Q==\n", hex));
    assert_string_equal(hex, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
    orb_sigv4_chunks_free(chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_object_with_a_range),
        cmocka_unit_test(put_object_with_a_signed_payload),
        cmocka_unit_test(get_bucket_lifecycle),
        cmocka_unit_test(list_objects),
        cmocka_unit_test(presigned_get),
        cmocka_unit_test(suite_get_and_post_vanilla),
        cmocka_unit_test(suite_query_is_sorted),
        cmocka_unit_test(values_are_trimmed_and_runs_of_blanks_are_one),
        cmocka_unit_test(a_new_day_region_or_secret_takes_a_new_key),
        cmocka_unit_test(chunks_of_a_body_are_signed_one_after_the_other),
        cmocka_unit_test(trailer_is_signed_behind_the_last_chunk),
        cmocka_unit_test(date_is_written_as_the_header_wants_it),
    };
    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
