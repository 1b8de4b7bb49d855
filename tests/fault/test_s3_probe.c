/* SPDX-License-Identifier: Apache-2.0
 * orbit_probe(): what it finds, in what order, within what room and time. */
#include "resolver.h"
#include "s3fault.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static orbit_finding findings[ORBIT_FINDINGS_MAX];
static size_t count;

static void probe(void)
{
    OK(orbit_probe(at.store, "", findings, ORBIT_FINDINGS_MAX, &count, NULL, &told));
}

static void is(size_t i, const char *what, int level, const char *text)
{
    assert_true(i < count);
    assert_string_equal(findings[i].what, what);
    assert_int_equal(findings[i].level, level);
    if (!strstr(findings[i].text, text))
        fail_msg("'%s' does not say '%s'", findings[i].text, text);
}

static void findings_come_in_the_order_of_the_way(void **state)
{
    (void)state;
    probe();
    assert_int_equal(count, 6);
    is(0, "resolve", ORBIT_FINDING_OK, "127.0.0.1");
    is(1, "connect", ORBIT_FINDING_OK, "without TLS");
    is(2, "credentials", ORBIT_FINDING_OK, "from options: the access key id orbi…tkey");
    is(3, "clock", ORBIT_FINDING_OK, "agree");
    is(4, "region", ORBIT_FINDING_OK, "us-east-1");
    is(5, "bucket", ORBIT_FINDING_OK, "bucket is there");
    assert_int_equal(COUNT("total"), 1); /* nothing else was asked */
    assert_int_equal(COUNT("requests.HeadBucket"), 1);
}

static void findings_without_room_are_left_out(void **state)
{
    (void)state;
    for (size_t room = 0; room < 7; room++) {
        memset(findings, 0x5a, sizeof(findings));
        OK(orbit_probe(at.store, "", room ? findings : NULL, room, &count, NULL, &told));
        assert_int_equal(count, room < 6 ? room : 6);
        assert_int_equal(findings[count].level, 0x5a5a5a5a); /* untouched */
    }
    EXPECT(ORBIT_E_MISUSE, orbit_probe(at.store, "", findings, 1, NULL, NULL, &told));
    EXPECT(ORBIT_E_MISUSE, orbit_probe(at.store, "", NULL, 1, &count, NULL, &told));
}

static void store_that_cannot_look_says_so(void **state)
{
    (void)state;
    orbit_backend *memory = NULL;
    OK(orbit_open_mem(&memory, at.client, NULL, NULL, &told));
    EXPECT(ORBIT_E_UNSUPPORTED, orbit_probe(memory, "", findings, ORBIT_FINDINGS_MAX, &count, NULL, &told));
    orbit_backend_close(memory);
}

static void address_that_refuses_is_a_warning_where_another_one_answers(void **state)
{
    (void)state;
    char url[64];
    resolver_many = 2; /* the endpoint listens on the first alone */
    snprintf(url, sizeof(url), "http://many.test:%d", at.endpoint.port);
    at.config.endpoint = url;
    s3fault_reopen();
    probe();
    is(0, "resolve", ORBIT_FINDING_OK, "many.test has 2 addresses: 127.0.0.1, 127.0.0.2");
    is(1, "connect", ORBIT_FINDING_OK, "127.0.0.1:");
    is(2, "connect", ORBIT_FINDING_WARNING, "127.0.0.2: cannot connect");
    is(count - 1, "bucket", ORBIT_FINDING_OK, "is there");
    at.config.endpoint = "http://many.test:1";
    s3fault_reopen();
    probe();
    assert_int_equal(count, 4);
    is(3, "connect", ORBIT_FINDING_FAILURE, "none of the addresses of many.test");
    assert_int_equal(findings[3].status, ORBIT_E_CONNECT);
    at.config.endpoint = "http://none.test:1";
    s3fault_reopen();
    probe();
    assert_int_equal(count, 1);
    is(0, "resolve", ORBIT_FINDING_FAILURE, "'none.test' does not resolve");
}

/* It accepts by the kernel and never says a word: the handshake hangs. */
static void look_ends_when_its_time_is_over(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d", ntohs(address.sin_port));
    at.config.endpoint = url;
    at.options.connect_timeout_ms = 60000;
    s3fault_reopen();
    call.timeout_ms = 300;
    int64_t begun = now_ms();
    EXPECT(ORBIT_E_TIMEOUT, orbit_probe(at.store, "", findings, ORBIT_FINDINGS_MAX, &count, &call, &told));
    assert_true(now_ms() - begun < 30000);
    at.options.connect_timeout_ms = 200; /* and by its own limit, which is a finding */
    s3fault_reopen();
    probe();
    is(1, "connect", ORBIT_FINDING_FAILURE, "127.0.0.1");
    assert_int_equal(findings[1].status, ORBIT_E_TIMEOUT);
    close(fd);
}

static void refused_requests_are_findings(void **state)
{
    (void)state;
    FAULT("op=HeadBucket&status=403");
    probe();
    is(count - 1, "bucket", ORBIT_FINDING_WARNING, "access denied");
    endpoint_control(&at.endpoint, "clear");
    FAULT("op=HeadBucket&status=500");
    probe();
    is(count - 1, "bucket", ORBIT_FINDING_FAILURE, "cannot look at 's3://bucket'");
    assert_true(COUNT("requests.HeadBucket") > 2); /* a store that failed is asked again before that is told */
    endpoint_control(&at.endpoint, "clear");
    at.config.anonymous = true;
    s3fault_reopen();
    probe();
    is(2, "credentials", ORBIT_FINDING_OK, "none: requests are not signed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(findings_come_in_the_order_of_the_way),
        FAULT_TEST(findings_without_room_are_left_out),
        FAULT_TEST(store_that_cannot_look_says_so),
        FAULT_TEST(address_that_refuses_is_a_warning_where_another_one_answers),
        FAULT_TEST(look_ends_when_its_time_is_over),
        FAULT_TEST(refused_requests_are_findings),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
