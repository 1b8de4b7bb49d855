/* SPDX-License-Identifier: Apache-2.0
 * The parts of the credential chain that need no service: files, command lines, hosts; and waiting for keys on a
 * loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "support/ophost.h"

static char directory[] = "/tmp/orbit-keys-XXXXXX";
static char config_file[64], credentials_file[64];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(config_file, sizeof config_file, "%s/config", directory);
    (void)snprintf(credentials_file, sizeof credentials_file, "%s/credentials", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(config_file);
    unlink(credentials_file);
    return rmdir(directory);
}

/* ---- files --------------------------------------------------------------------------------------------- */

static void value_is(const struct orb_profiles *all, enum orb_profiles_kind kind, const char *name, const char *setting,
                     const char *value)
{
    const char *got = orb_profiles_get(all, kind, name, setting);
    if (value)
        assert_string_equal(got ? got : "(none)", value);
    else
        assert_null(got);
}

static void both_files_make_one_table(void **state)
{
    (void)state;
    char token[4000], text[5000];
    struct orb_profiles *all = NULL;
    orbit_error error;
    memset(token, 'T', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    write_file(config_file, "\xef\xbb\xbf# first\r\n[default]\r\nregion = eu-1 ; here\r\n[ profile  a ]\nRegion=x#y\n"
                            "aws_access_key_id = of-config\nempty =\n[profile \"two words\"]\nregion = z\n"
                            "[plain]\nregion = no\n[sso-session a]\nregion = s\n"
                            "[services a]\ns3 =\n  endpoint_url = http://s3\n\n  # inside\n  other = 1\nsts =\n"
                            "  endpoint_url = http://sts\n[profile a]\nlate = yes\nlate = later");
    (void)snprintf(text, sizeof text,
                   "[a]\naws_access_key_id = of-credentials\naws_session_token = %s\n[profile b]\nx=1\n", token);
    write_file(credentials_file, text);
    assert_int_equal(orb_profiles_load(&all, config_file, credentials_file, &error), ORBIT_OK);
    value_is(all, ORB_PROFILE, "default", "region", "eu-1");
    value_is(all, ORB_PROFILE, "a", "region", "x#y");
    value_is(all, ORB_PROFILE, "a", "aws_access_key_id", "of-credentials");
    value_is(all, ORB_PROFILE, "a", "aws_session_token", token);
    value_is(all, ORB_PROFILE, "a", "empty", NULL);
    value_is(all, ORB_PROFILE, "a", "late", "later");
    value_is(all, ORB_PROFILE, "two words", "region", "z");
    value_is(all, ORB_PROFILE, "profile b", "x", "1");
    value_is(all, ORB_PROFILE_SSO_SESSION, "a", "region", "s");
    value_is(all, ORB_PROFILE_SERVICES, "a", "s3.endpoint_url", "http://s3");
    value_is(all, ORB_PROFILE_SERVICES, "a", "sts.endpoint_url", "http://sts");
    value_is(all, ORB_PROFILE_SERVICES, "a", "s3.other", "1");
    value_is(all, ORB_PROFILE_SERVICES, "a", "endpoint_url", NULL);
    assert_false(orb_profiles_has(all, ORB_PROFILE, "plain"));
    assert_true(orb_profiles_has(all, ORB_PROFILE, "default"));
    orb_profiles_free(all);
}

static void what_is_not_there_is_empty(void **state)
{
    (void)state;
    struct orb_profiles *all = NULL;
    orbit_error error;
    unlink(config_file);
    assert_int_equal(orb_profiles_load(&all, config_file, NULL, &error), ORBIT_OK);
    assert_false(orb_profiles_has(all, ORB_PROFILE, "default"));
    orb_profiles_free(all);
    assert_int_not_equal(orb_profiles_load(&all, directory, NULL, &error), ORBIT_OK);
    assert_non_null(strstr(error.message, directory));
}

static void broken_lines_are_named_without_their_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } broken[] = {{"swordfish = 1\n", "line 1"}, {"[a]\n\nswordfish\n", "line 3"}, {"[a]\n[swordfish\n", "line 2"}};
    for (size_t i = 0; i < 3; i++) {
        struct orb_profiles *all = NULL;
        orbit_error error;
        write_file(credentials_file, broken[i].text);
        assert_int_equal(orb_profiles_load(&all, NULL, credentials_file, &error), ORBIT_E_CONFIG);
        assert_null(all);
        assert_non_null(strstr(error.message, broken[i].line));
        assert_non_null(strstr(error.message, credentials_file));
        assert_null(strstr(error.message, "swordfish"));
    }
}

/* ---- command lines and hosts ----------------------------------------------------------------------------- */

static void words_are(const char *line, size_t count, const char *const *expected)
{
    char copy[128], *words[4];
    (void)snprintf(copy, sizeof copy, "%s", line);
    assert_int_equal(orb_split_words(copy, words, 4), count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(words[i], expected[i]);
}

static void a_command_is_taken_apart_and_nothing_else(void **state)
{
    (void)state;
    words_are("  a b\tc ", 3, (const char *const[]){"a", "b", "c"});
    words_are("\"/with blank/x\" 'y z' \"\"", 3, (const char *const[]){"/with blank/x", "y z", ""});
    words_are("a\\ b \"c\\\"d\\e\" 'f\\g'", 3, (const char *const[]){"a b", "c\"d\\e", "f\\g"});
    words_are("a;b $(c) >d", 3, (const char *const[]){"a;b", "$(c)", ">d"});
    words_are("x\"y z\"'w'", 1, (const char *const[]){"xy zw"});
    words_are("", 0, NULL);
    words_are("   ", 0, NULL);
    words_are("\"open", 0, NULL);
    words_are("a b c d e", 0, NULL);
}

static void a_containers_token_goes_to_few_hosts(void **state)
{
    (void)state;
    static const char *const right[] = {"https://anywhere.example/x", "http://127.0.0.1:8080/x",  "http://127.9.9.9/",
                                        "http://169.254.170.2/v2",    "http://169.254.170.23/v1", "http://[::1]:80/x",
                                        "http://[fd00:ec2::23]/v1",   "http://localhost/x"};
    static const char *const wrong[] = {"http://example.com/",
                                        "http://169.254.169.254/",
                                        "http://128.0.0.1/",
                                        "http://127.0.0.1.evil.com/",
                                        "http://localhost.evil/",
                                        "ftp://127.0.0.1/",
                                        "http://127.0.0.1@evil.com/",
                                        "https:///x",
                                        "http://[::1",
                                        "http://[::1]evil.com/",
                                        "http://10.0.0.1/",
                                        ""};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        if (!orb_keys_container_allowed(right[i]))
            fail_msg("'%s' is refused", right[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (orb_keys_container_allowed(wrong[i]))
            fail_msg("'%s' is allowed", wrong[i]);
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static struct orb_backend *open_hanging(struct ophost *host, const char *profile)
{
    char settings[256];
    orbit_error error = {0};
    (void)snprintf(settings, sizeof settings, "profile=%s&config_file=%s&endpoint=http://127.0.0.1:1", profile,
                   config_file);
    struct orb_backend *store = ophost_backend(host, &orb_s3_ops, "bucket", "", NULL, settings, NULL, &error);
    if (!store)
        fail_msg("%s", error.message);
    return store;
}

static void start_stat(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    static orbit_stat_request request = {.path = "a"};
    ops->stat(self, op, &request, call->ctx);
}

/* Neither the operation nor closing waits for a program that hangs: it is killed. */
static void an_operation_that_waits_for_keys_can_be_cancelled(void **state)
{
    (void)state;
    struct ophost host;
    orbit_metadata metadata[3] = {{0}};
    struct ophost_call calls[3];
    write_file(config_file,
               "[profile hang]\ncredential_process = sleep 1000\n[profile hang2]\ncredential_process = sleep 1001\n");
    ophost_open(&host, 1);
    struct orb_backend *store = open_hanging(&host, "hang"), *other = open_hanging(&host, "hang2");
    for (size_t i = 0; i < 3; i++) {
        calls[i] = (struct ophost_call){.start = start_stat, .ctx = &metadata[i]};
        ophost_start(&calls[i], i == 2 ? other : store);
    }
    static const size_t order[] = {1, 2, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_false(ophost_is_done(&calls[order[i]]));
        ophost_cancel(&calls[order[i]]);
        assert_int_equal(ophost_wait(&calls[order[i]], NULL), ORBIT_E_CANCELLED);
        orbit_metadata_release(&metadata[order[i]]);
    }
    ophost_backend_close(store);
    ophost_backend_close(other);
    ophost_close(&host);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(both_files_make_one_table),
        TEST(what_is_not_there_is_empty),
        TEST(broken_lines_are_named_without_their_text),
        TEST(a_command_is_taken_apart_and_nothing_else),
        TEST(a_containers_token_goes_to_few_hosts),
        TEST(an_operation_that_waits_for_keys_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
