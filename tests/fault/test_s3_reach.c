/* SPDX-License-Identifier: Apache-2.0
 * Reaching an S3 endpoint, and being let in: names, ports, certificates, keys, regions, clocks. */
#include "s3fault.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static orbit_status look(void)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    memset(&told, 0, sizeof(told));
    orbit_status status = orbit_stat(at.store, "gen-1K", NULL, &metadata, &told);
    orbit_metadata_release(&metadata);
    return status;
}

#define LOOKING_GIVES(status) expect(status, look(), &told, "looking", __FILE__, __LINE__)

static void name_that_does_not_resolve_is_told_quickly(void **state)
{
    (void)state;
    int64_t begun = now_ms();
    at.options.retry_attempts = 10;
    at.config.endpoint = "http://no-such-host.invalid:1";
    s3fault_reopen();
    LOOKING_GIVES(ORBIT_E_CONNECT);
    assert_non_null(strstr(told.message, "no-such-host.invalid"));
    assert_true(now_ms() - begun < 10000);
}

static void refused_port_is_told_quickly(void **state)
{
    (void)state;
    char url[64];
    int64_t begun = now_ms();
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    /* A port that is bound and not listened on refuses, and nobody else can take it. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    at.options.retry_attempts = 10;
    at.config.endpoint = url;
    s3fault_reopen();
    LOOKING_GIVES(ORBIT_E_CONNECT);
    assert_true(now_ms() - begun < 10000);
    close(fd);
}

static void wrong_secret_is_an_authentication_failure(void **state)
{
    (void)state;
    at.config.secret_access_key = "not-the-secret";
    s3fault_reopen();
    LOOKING_GIVES(ORBIT_E_AUTH);
    assert_null(strstr(told.message, "not-the-secret"));
    size_t count;
    EXPECT(ORBIT_E_AUTH, list_count("", false, &count, &told));
    assert_string_equal(told.code, "SignatureDoesNotMatch");
    assert_true(COUNT("total") <= 4); /* final: not tried again */
}

static void unknown_access_key_is_an_authentication_failure(void **state)
{
    (void)state;
    size_t count;
    at.config.access_key_id = "nobody";
    s3fault_reopen();
    EXPECT(ORBIT_E_AUTH, list_count("", false, &count, &told));
    assert_string_equal(told.code, "InvalidAccessKeyId");
}

static void missing_bucket_and_missing_key_are_not_found(void **state)
{
    (void)state;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    size_t count;
    EXPECT(ORBIT_E_NOT_FOUND, orbit_stat(at.store, "missing", NULL, &metadata, &told));
    at.config.bucket = "no-such-bucket";
    s3fault_reopen();
    EXPECT(ORBIT_E_NOT_FOUND, list_count("", false, &count, &told));
    assert_string_equal(told.code, "NoSuchBucket");
    EXPECT(ORBIT_E_NOT_FOUND, write_bytes("x", "1", 1, &told));
    EXPECT(ORBIT_E_NOT_FOUND, read_back("x", "1", 1, &told));
}

static void denied_access_is_a_permission_error(void **state)
{
    (void)state;
    FAULT("op=*&status=403&code=AccessDenied");
    EXPECT(ORBIT_E_PERMISSION, write_bytes("x", "1", 1, &told));
    LOOKING_GIVES(ORBIT_E_PERMISSION);
    size_t count;
    EXPECT(ORBIT_E_PERMISSION, list_count("", false, &count, &told));
    assert_true(COUNT("total") <= 6);
}

static void other_region_is_found_and_remembered(void **state)
{
    (void)state;
    for (int redirect = 0; redirect < 2; redirect++) {
        endpoint_control(&at.endpoint, "set?region_redirect=%d", redirect);
        at.config.region = "eu-north-1";
        s3fault_reopen();
        OK(write_bytes("moved", "12345", 5, &told));
        OK(read_back("moved", "12345", 5, &told));
        int64_t failed = COUNT("status_4xx");
        LOOKING_GIVES(ORBIT_OK);
        OK(read_back("moved", "12345", 5, &told));
        assert_int_equal(COUNT("status_4xx"), failed);
    }
}

static void clock_that_is_wrong_by_hours_is_corrected(void **state)
{
    (void)state;
    endpoint_control(&at.endpoint, "set?clock_offset_s=7200");
    OK(write_bytes("later", "12345", 5, &told));
    OK(read_back("later", "12345", 5, &told));
    int64_t failed = COUNT("status_4xx");
    LOOKING_GIVES(ORBIT_OK);
    assert_int_equal(COUNT("status_4xx"), failed); /* once is enough */
    endpoint_control(&at.endpoint, "set?clock_offset_s=-7200");
    LOOKING_GIVES(ORBIT_OK);
}

static void anonymous_requests_are_not_signed(void **state)
{
    (void)state;
    at.config.anonymous = true;
    s3fault_reopen();
    LOOKING_GIVES(ORBIT_E_PERMISSION);
    endpoint_control(&at.endpoint, "set?anonymous=1");
    LOOKING_GIVES(ORBIT_OK);
    endpoint_control(&at.endpoint, "set?anonymous=0");
}

/* ---- TLS ------------------------------------------------------------------------------------------- */

struct tls {
    struct endpoint endpoint;
    char ca[4200];
};

static void start_tls(struct tls *tls, const char *certificate)
{
    char pem[4200], key[4200];
    const char *directory = endpoint_tls_dir();
    snprintf(pem, sizeof(pem), "%s/%s.pem", directory, certificate);
    snprintf(key, sizeof(key), "%s/%s.key", directory, certificate);
    snprintf(tls->ca, sizeof(tls->ca), "%s/ca.pem", directory);
    endpoint_start(&tls->endpoint, "--store", "--set", "part_min=64K", "--tls-cert", pem, "--tls-key", key, NULL);
    at.config.endpoint = tls->endpoint.url;
}

static void certificate_of_an_unknown_authority_is_untrusted(void **state)
{
    (void)state;
    struct tls tls;
    start_tls(&tls, "server");
    at.options.retry_attempts = 10;
    s3fault_reopen();
    int64_t begun = now_ms();
    LOOKING_GIVES(ORBIT_E_UNTRUSTED);
    assert_false(orbit_error_retriable(&told));
    assert_true(now_ms() - begun < 5000);
    EXPECT(ORBIT_E_UNTRUSTED, write_bytes("x", "1", 1, &told));
    endpoint_stop(&tls.endpoint);
}

static void certificate_is_trusted_with_its_authority(void **state)
{
    (void)state;
    struct tls tls;
    uint8_t *bytes = make_bytes(3 * CHUNK + 5, 1);
    start_tls(&tls, "server");
    at.config.ca_bundle = tls.ca;
    s3fault_reopen();
    OK(write_bytes("secret", bytes, 3 * CHUNK + 5, &told));
    OK(read_back("secret", bytes, 3 * CHUNK + 5, &told));
    OK(read_generated("gen-5M", 5 << 20, NULL, NULL, &told));
    endpoint_stop(&tls.endpoint);
    free(bytes);
}

static void certificate_of_another_name_or_time_is_untrusted(void **state)
{
    (void)state;
    static const char *const names[] = {"stranger", "expired"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct tls tls;
        start_tls(&tls, names[i]);
        at.config.ca_bundle = tls.ca;
        s3fault_reopen();
        LOOKING_GIVES(ORBIT_E_UNTRUSTED);
        at.config.no_verify_tls = true; /* and only on request it is accepted */
        s3fault_reopen();
        LOOKING_GIVES(ORBIT_OK);
        at.config.no_verify_tls = false;
        endpoint_stop(&tls.endpoint);
    }
}

static void missing_authority_file_is_a_configuration_error(void **state)
{
    (void)state;
    struct tls tls;
    orbit_backend *store = NULL;
    start_tls(&tls, "server");
    at.config.ca_bundle = "/nowhere/ca.pem";
    memset(&told, 0, sizeof(told));
    orbit_status status = orbit_open_s3(&store, at.client, &at.config, &at.options, &told);
    if (status == ORBIT_OK) {
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        status = orbit_stat(store, "x", NULL, &metadata, &told);
    }
    orbit_backend_close(store);
    endpoint_stop(&tls.endpoint);
    assert_int_equal(status, ORBIT_E_CONFIG);
    assert_non_null(strstr(told.message, "/nowhere/ca.pem"));
}

static void plain_http_where_tls_is_spoken_is_an_error(void **state)
{
    (void)state;
    struct tls tls;
    char url[64];
    start_tls(&tls, "server");
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", tls.endpoint.port);
    at.config.endpoint = url;
    at.options.retry_attempts = 2;
    s3fault_reopen();
    assert_true(look() < 0);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d", at.endpoint.port);
    s3fault_reopen();
    assert_true(look() < 0);
    endpoint_stop(&tls.endpoint);
}

static void virtual_host_style_reaches_the_bucket(void **state)
{
    (void)state;
    struct endpoint endpoint;
    char url[64];
    endpoint_start(&endpoint, "--store", "--domain", "localhost", "--bucket", "virtual", NULL);
    snprintf(url, sizeof(url), "http://localhost:%d", endpoint.port);
    at.config.endpoint = url;
    at.config.bucket = "virtual";
    at.config.addressing = ORBIT_ADDRESSING_VIRTUAL;
    s3fault_reopen();
    orbit_status status = write_bytes("a b/c", "12345", 5, &told);
    if (status == ORBIT_E_CONNECT) { /* a resolver that does not know *.localhost */
        endpoint_stop(&endpoint);
        assert_non_null(strstr(told.message, "virtual.localhost"));
        return;
    }
    expect(ORBIT_OK, status, &told, "writing", __FILE__, __LINE__);
    OK(read_back("a b/c", "12345", 5, &told));
    endpoint_stop(&endpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(name_that_does_not_resolve_is_told_quickly),
        FAULT_TEST(refused_port_is_told_quickly),
        FAULT_TEST(wrong_secret_is_an_authentication_failure),
        FAULT_TEST(unknown_access_key_is_an_authentication_failure),
        FAULT_TEST(missing_bucket_and_missing_key_are_not_found),
        FAULT_TEST(denied_access_is_a_permission_error),
        FAULT_TEST(other_region_is_found_and_remembered),
        FAULT_TEST(clock_that_is_wrong_by_hours_is_corrected),
        FAULT_TEST(anonymous_requests_are_not_signed),
        FAULT_TEST(certificate_of_an_unknown_authority_is_untrusted),
        FAULT_TEST(certificate_is_trusted_with_its_authority),
        FAULT_TEST(certificate_of_another_name_or_time_is_untrusted),
        FAULT_TEST(missing_authority_file_is_a_configuration_error),
        FAULT_TEST(plain_http_where_tls_is_spoken_is_an_error),
        FAULT_TEST(virtual_host_style_reaches_the_bucket),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
