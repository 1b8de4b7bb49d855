/* SPDX-License-Identifier: Apache-2.0
 * Presigned URLs as a program makes them. That a store takes them is the command's test; the signature itself is
 * compared with AWS's published example in test_sigv4.c. Nothing is sent here: the endpoint does not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include <orbit/orbit.h>

static orbit_client *client;
static char url[ORBIT_PRESIGNED_MAX];

static orbit_backend *open_s3(bool anonymous, const char *token)
{
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    orbit_error error = {0};
    orbit_backend *store = NULL;
    config.bucket = "bucket";
    config.endpoint = "http://127.0.0.1:9";
    config.access_key_id = anonymous ? NULL : "AKID";
    config.secret_access_key = anonymous ? NULL : "secret-of-mine";
    config.session_token = token;
    config.anonymous = anonymous;
    if (orbit_open_s3(&store, client, &config, NULL, &error) < 0)
        fail_msg("%s", error.message);
    return store;
}

static int start(void **state)
{
    orbit_error error;
    (void)state;
    return orbit_client_open(&client, NULL, &error) < 0;
}

static int stop(void **state)
{
    (void)state;
    orbit_client_close(client);
    return 0;
}

static bool says(const char *text)
{
    return strstr(url, text) != NULL;
}

static void a_url_says_what_it_is_for(void **state)
{
    (void)state;
    orbit_backend *store = open_s3(false, "a/token+");
    orbit_error error = {0};
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    assert_int_equal(orbit_presign(store, "a b//\xc3\xbc?#", NULL, url, sizeof url, &error), ORBIT_OK);
    assert_int_equal(strncmp(url, "http://127.0.0.1:9/bucket/a%20b//%C3%BC%3F%23?", 46), 0);
    assert_true(says("X-Amz-Expires=3600&") && says("X-Amz-SignedHeaders=host&"));
    assert_true(says("X-Amz-Security-Token=a%2Ftoken%2B"));
    assert_non_null(strstr(url, "&X-Amz-Signature="));
    assert_int_equal(strlen(strstr(url, "&X-Amz-Signature=")), strlen("&X-Amz-Signature=") + 64);
    assert_false(says("secret-of-mine"));

    options.expires_s = 7 * 24 * 3600;
    options.version_id = "v/1";
    options.content_type = "text/plain";
    options.content_disposition = "attachment; filename=\"x\"";
    options.method = "get";
    assert_int_equal(orbit_presign(store, "k", &options, url, sizeof url, &error), ORBIT_OK);
    assert_true(says("X-Amz-Expires=604800&") && says("versionId=v%2F1") && says("response-content-type=text%2Fplain"));
    assert_true(says("response-content-disposition=attachment%3B%20filename%3D%22x%22"));
    orbit_backend_close(store);
}

static void the_method_is_signed(void **state)
{
    (void)state;
    static char other[ORBIT_PRESIGNED_MAX];
    orbit_backend *store = open_s3(false, NULL);
    orbit_error error = {0};
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    options.method = "PUT";
    assert_int_equal(orbit_presign(store, "k", &options, url, sizeof url, &error), ORBIT_OK);
    options.method = "DELETE";
    assert_int_equal(orbit_presign(store, "k", &options, other, sizeof other, &error), ORBIT_OK);
    assert_string_not_equal(strstr(url, "X-Amz-Signature="), strstr(other, "X-Amz-Signature="));
    orbit_backend_close(store);
}

static void fails(orbit_backend *store, const char *path, const orbit_presign_options *options, size_t room,
                  orbit_status status, const char *words)
{
    orbit_error error = {0};
    url[0] = 'x';
    assert_int_equal(orbit_presign(store, path, options, url, room, &error), status);
    if (!strstr(error.message, words))
        fail_msg("'%s' does not say '%s'", error.message, words);
    assert_int_equal(url[0], '\0'); /* half a URL is no URL */
}

static void a_prefix_is_put_before_a_key_once(void **state)
{
    (void)state;
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    orbit_error error = {0};
    orbit_backend *store = NULL;
    config.bucket = "bucket";
    config.prefix = "pre/fix-";
    config.endpoint = "http://127.0.0.1:9";
    config.access_key_id = "AKID";
    config.secret_access_key = "secret";
    assert_int_equal(orbit_open_s3(&store, client, &config, NULL, &error), ORBIT_OK);
    assert_int_equal(orbit_presign(store, "k", NULL, url, sizeof url, &error), ORBIT_OK);
    assert_int_equal(strncmp(url, "http://127.0.0.1:9/bucket/pre/fix-k?", 36), 0);
    orbit_backend_close(store);
}

static void what_cannot_be_signed_is_named(void **state)
{
    (void)state;
    orbit_backend *store = open_s3(false, NULL), *nobody = open_s3(true, NULL), *memory = NULL;
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    orbit_error error;
    fails(store, "", NULL, sizeof url, ORBIT_E_PATH, "bucket");
    fails(store, "k", NULL, 100, ORBIT_E_LIMIT, "99");
    fails(nobody, "k", NULL, sizeof url, ORBIT_E_AUTH, "anonymous");
    options.expires_s = 7 * 24 * 3600 + 1;
    fails(store, "k", &options, sizeof url, ORBIT_E_CONFIG, "7 days");
    options.expires_s = 60;
    options.method = "PATCH";
    fails(store, "k", &options, sizeof url, ORBIT_E_CONFIG, "PATCH");
    options.method = "PUT";
    options.content_type = "text/plain";
    fails(store, "k", &options, sizeof url, ORBIT_E_CONFIG, "reply");
    options.content_type = NULL;
    options.version_id = "v";
    fails(store, "k", &options, sizeof url, ORBIT_E_CONFIG, "version");
    assert_int_equal(orbit_open(&memory, client, "mem://", NULL, &error), ORBIT_OK);
    fails(memory, "k", NULL, sizeof url, ORBIT_E_UNSUPPORTED, "presign");
    assert_int_equal(orbit_presign(store, "k", NULL, NULL, 0, &error), ORBIT_E_MISUSE);
    orbit_backend_close(memory);
    orbit_backend_close(nobody);
    orbit_backend_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_says_what_it_is_for),
        cmocka_unit_test(the_method_is_signed),
        cmocka_unit_test(a_prefix_is_put_before_a_key_once),
        cmocka_unit_test(what_cannot_be_signed_is_named),
    };
    return cmocka_run_group_tests_name("presign", tests, start, stop);
}
