/* SPDX-License-Identifier: Apache-2.0
 * The S3 backend, one operation at a time, against the scripted endpoint: configuration, what is learned from
 * replies, and servers that cannot be reached or trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit/s3_store.h"

/* ---- configuration ----------------------------------------------------------------------------------- */

static void open_fails(const orbit_s3_config *config, const char *settings, orbit_status status, const char *words)
{
    orbit_error error = {0};
    struct orb_backend *store = ophost_backend(&host, &orb_s3_ops, "bucket", "", NULL, settings, config, &error);
    assert_null(store);
    assert_int_equal(error.status, status);
    if (!strstr(error.message, words))
        fail_msg("'%s' does not say '%s'", error.message, words);
    assert_null(strstr(error.message, "swordfish"));
}

static void bad_configuration_is_named(void **state)
{
    (void)state;
    orbit_s3_config config = s3_config_for("bucket");
    open_fails(&config, "colour=blue", ORBIT_E_CONFIG, "colour");
    open_fails(&config, "part_min=many", ORBIT_E_CONFIG, "part_min");
    open_fails(&config, "path_style=perhaps", ORBIT_E_CONFIG, "path_style");
    open_fails(&config, "addressing=sideways", ORBIT_E_CONFIG, "addressing");
    open_fails(&config, "checksum=md6", ORBIT_E_CONFIG, "checksum");
    open_fails(&config, "part_min=10M&part_max=5M", ORBIT_E_CONFIG, "part_min");
    open_fails(&config, "endpoint=ftp://x", ORBIT_E_CONFIG, "http");
    open_fails(&config, "endpoint=http://me:swordfish@x", ORBIT_E_CONFIG, "password");
    open_fails(&config, "region=not a region", ORBIT_E_CONFIG, "region");
    open_fails(&config, "list_page_entries=0", ORBIT_E_CONFIG, "list_page_entries");
    config.bucket = "a/b";
    open_fails(&config, NULL, ORBIT_E_CONFIG, "a/b");
    config = s3_config_for("bucket");
    config.secret_access_key = NULL;
    open_fails(&config, NULL, ORBIT_E_AUTH, "secret access key");
    config = s3_config_for("bucket");
    config.checksum = 99;
    open_fails(&config, NULL, ORBIT_E_UNSUPPORTED, "no such checksum");
}

/* Keys are asked for when they are needed: opening says nothing but that half of them is missing. */
static void missing_credentials_say_what_to_set(void **state)
{
    (void)state;
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED",
                                        "AWS_PROFILE"};
    char *kept[4];
    orbit_error error = {0};
    orbit_s3_config config = s3_config_for("bucket");
    for (size_t i = 0; i < 4; i++) {
        kept[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
        unsetenv(names[i]);
    }
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    config.access_key_id = config.secret_access_key = NULL;
    config.config_file = config.credentials_file = "/nowhere/at/all";
    struct orb_backend *store = s3_open_with(&config);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(s3_look(store, "a", &error), ORBIT_E_AUTH);
        assert_non_null(strstr(error.message, "set AWS_ACCESS_KEY_ID"));
        assert_false(s3_retriable(&error));
    }
    ophost_backend_close(store);
    setenv("AWS_SECRET_ACCESS_KEY", "swordfish", 1);
    open_fails(&config, NULL, ORBIT_E_AUTH, "AWS_ACCESS_KEY_ID is not");
    for (size_t i = 0; i < 4; i++) {
        if (kept[i])
            setenv(names[i], kept[i], 1);
        else
            unsetenv(names[i]);
        free(kept[i]);
    }
}

static void capabilities_follow_the_settings(void **state)
{
    (void)state;
    orbit_error error;
    orbit_s3_config config = s3_config_for("store");
    struct orb_backend *store =
        ophost_backend(&host, &orb_s3_ops, "", "", NULL,
                       "part_min=1M&part_max=64M&part_count_max=100&put_max=16M&list_page_entries=7", &config, &error);
    assert_non_null(store);
    assert_int_equal(store->caps.part_min, MIB);
    assert_int_equal(store->caps.part_max, 64 * MIB);
    assert_int_equal(store->caps.part_count_max, 100);
    assert_int_equal(store->caps.put_max, 16 * MIB);
    assert_int_equal(store->caps.page_entries, 7);
    assert_int_equal(store->caps.remove_batch, 1000);
    assert_true(store->caps.deep_list && store->caps.ordered_list && store->caps.ranged_read);
    assert_false(store->caps.atomic_no_overwrite); /* not AWS: nobody knows */
    ophost_backend_close(store);
}

static void a_prefix_is_put_before_every_key(void **state)
{
    (void)state;
    orbit_error error;
    orbit_s3_config config = s3_config_for("store");
    struct orb_backend *whole = s3_open_bucket("store"), *below;
    struct ophost_listing listing;
    below = ophost_backend(&host, &orb_s3_ops, "store", "root/dir", NULL, "prefix=p-", &config, &error);
    assert_non_null(below);
    assert_int_equal(ophost_put(below, "k", NULL, "x", 1, NULL, &error), ORBIT_OK);
    assert_int_equal(s3_look(whole, "root/dir/p-k", &error), ORBIT_OK);
    orbit_list_request request = {.path = "", .recursive = true, .want_metadata = true};
    assert_int_equal(ophost_list(below, "", &request, &listing, &error), ORBIT_OK);
    assert_int_equal(listing.count, 1);
    assert_string_equal(listing.entries[0].path, "k");
    ophost_listing_release(&listing);
    assert_int_equal(ophost_remove(below, "k", false, false, &error), ORBIT_OK);
    assert_int_equal(s3_look(whole, "root/dir/p-k", &error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(below);
    ophost_backend_close(whole);
}

/* ---- what is learned from replies -------------------------------------------------------------------------- */

static void a_wrong_secret_is_told_for_every_operation(void **state)
{
    (void)state;
    orbit_s3_config config = s3_config_for("store");
    config.secret_access_key = "swordfish";
    struct orb_backend *store = s3_open_with(&config);
    struct ophost_listing listing = {0};
    orbit_error error;
    char *bytes = NULL;
    size_t got;
    assert_int_equal(s3_look(store, "x", &error), ORBIT_E_AUTH);
    assert_string_equal(error.code, "SignatureDoesNotMatch");
    assert_null(strstr(error.message, "swordfish"));
    assert_int_equal(s3_look(store, "", &error), ORBIT_E_AUTH);
    assert_int_equal(ophost_read_all(store, "x", &bytes, &got, &error), ORBIT_E_AUTH);
    free(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_E_AUTH);
    assert_int_equal(ophost_list(store, "", NULL, &listing, &error), ORBIT_E_AUTH);
    ophost_listing_release(&listing);
    assert_false(ophost_logged(&host, "swordfish"));
    ophost_backend_close(store);
}

static void the_region_is_learned(void **state)
{
    (void)state;
    for (int redirect = 0; redirect < 2; redirect++) {
        orbit_s3_config config = s3_config_for("store");
        config.region = "eu-west-1";
        (void)s3_tests_reset(NULL);
        struct orb_backend *store = s3_open_with(&config);
        orbit_error error;
        endpoint_control(&endpoint, "set?region_redirect=%d", redirect);
        assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
        assert_true(s3_retriable(&error));
        assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
        ophost_backend_close(store);
    }
    endpoint_control(&endpoint, "set?region_redirect=0");
}

static void the_stores_clock_counts(void **state)
{
    (void)state;
    struct orb_backend *store = s3_open_bucket("store"), *other = s3_open_bucket("store");
    orbit_error error;
    endpoint_control(&endpoint, "set?clock_offset_s=7200");
    assert_true(ophost_put(store, "x", NULL, "x", 1, NULL, &error) < 0);
    assert_true(s3_retriable(&error));
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    /* A HEAD says nothing but 403 and a date. */
    assert_true(s3_look(other, "x", &error) < 0);
    assert_true(s3_retriable(&error));
    assert_int_equal(s3_look(other, "x", &error), ORBIT_OK);
    ophost_backend_close(store);
    ophost_backend_close(other);
    endpoint_control(&endpoint, "set?clock_offset_s=0");
}

/* Two requests are under way with the wrong clock: the reply to the first corrects it, the other one is no less
 * worth another try. */

static void payloads_can_be_signed(void **state)
{
    (void)state;
    orbit_s3_config config = s3_config_for("store");
    config.sign_payload = true;
    struct orb_backend *store = s3_open_with(&config);
    orbit_error error;
    orbit_begin_reply begun = {0};
    char *bytes = calloc(1, PART), *back;
    size_t got;
    assert_non_null(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, bytes, 3 * MIB, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_put(store, "y", NULL, "", 0, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_begin(store, "z", NULL, PART + 1, PART, NULL, &begun, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 1, 0, bytes, PART, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_part(store, begun.upload, 2, PART, bytes, 1, NULL, &error), ORBIT_OK);
    assert_int_equal(ophost_finish(store, begun.upload, PART + 1, 2, NULL, &error), ORBIT_OK);
    ophost_release(store, begun.upload);
    assert_int_equal(ophost_read_all(store, "z", &back, &got, &error), ORBIT_OK);
    assert_int_equal(got, PART + 1);
    free(back);
    free(bytes);
    ophost_backend_close(store);
}

static void nobody_there_is_told_quickly_at_first_and_retried_later(void **state)
{
    (void)state;
    orbit_s3_config config = s3_config_for("store");
    config.endpoint = "http://127.0.0.1:1";
    struct orb_backend *store = s3_open_with(&config);
    orbit_error error;
    assert_int_equal(s3_look(store, "x", &error), ORBIT_E_CONNECT);
    assert_false(s3_retriable(&error));
    assert_non_null(strstr(error.message, "127.0.0.1:1"));
    ophost_backend_close(store);

    struct endpoint brief;
    endpoint_start(&brief, "--store", "--bucket", "store", NULL);
    config.endpoint = brief.url;
    store = s3_open_with(&config);
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_OK);
    endpoint_stop(&brief);
    orbit_status status = s3_look(store, "x", &error);
    assert_true(status == ORBIT_E_CONNECT || status == ORBIT_E_NETWORK);
    assert_true(s3_retriable(&error));
    ophost_backend_close(store);
}

static void an_untrusted_certificate_is_refused(void **state)
{
    (void)state;
    struct endpoint secure;
    const char *dir = endpoint_tls_dir();
    char cert[400], key[400], ca[400];
    snprintf(cert, sizeof cert, "%s/server.pem", dir);
    snprintf(key, sizeof key, "%s/server.key", dir);
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    endpoint_start(&secure, "--store", "--bucket", "store", "--tls-cert", cert, "--tls-key", key, NULL);
    orbit_error error;
    orbit_s3_config config = s3_config_for("store");
    config.endpoint = secure.url;
    struct orb_backend *store = s3_open_with(&config);
    assert_int_equal(s3_look(store, "", &error), ORBIT_E_UNTRUSTED);
    assert_false(s3_retriable(&error));
    assert_non_null(strstr(error.message, "--ca-bundle"));
    ophost_backend_close(store);
    config.ca_bundle = ca;
    store = s3_open_with(&config);
    char *bytes = calloc(1, 3 * MIB);
    assert_non_null(bytes);
    assert_int_equal(ophost_put(store, "x", NULL, bytes, 3 * MIB, NULL, &error), ORBIT_OK);
    free(bytes);
    size_t got;
    assert_int_equal(ophost_read_all(store, "x", &bytes, &got, &error), ORBIT_OK);
    assert_int_equal(got, 3 * MIB);
    free(bytes);
    ophost_backend_close(store);
    config.ca_bundle = "/nonexistent.pem";
    store = s3_open_with(&config);
    assert_int_equal(s3_look(store, "", &error), ORBIT_E_CONFIG);
    ophost_backend_close(store);
    endpoint_stop(&secure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        S3_TEST(bad_configuration_is_named),
        S3_TEST(missing_credentials_say_what_to_set),
        S3_TEST(capabilities_follow_the_settings),
        S3_TEST(a_prefix_is_put_before_every_key),
        S3_TEST(a_wrong_secret_is_told_for_every_operation),
        S3_TEST(the_region_is_learned),
        S3_TEST(the_stores_clock_counts),
        S3_TEST(payloads_can_be_signed),
        S3_TEST(nobody_there_is_told_quickly_at_first_and_retried_later),
        S3_TEST(an_untrusted_certificate_is_refused),
    };
    return cmocka_run_group_tests_name("s3", tests, s3_tests_start, s3_tests_stop);
}
