/* SPDX-License-Identifier: Apache-2.0
 * Torture of the credential providers: each asks again and again while its first, second, third, … allocation fails,
 * until none does. It ends with whole keys or with "out of memory" and none, and what it keeps on disk stays whole.
 * Run under ASan it also shows leaks. The main thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "base/mem.h"
#include "support/endpoint.h"

static struct endpoint endpoint;
static char directory[] = "/tmp/orbit-torture-keys-XXXXXX";
static const char sso_file[] = "ee0bfd2552fbd840c02cc48b6e823320543c450f.json"; /* SHA-1 of "corp" */

static void write_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void sign_on(const char *expires)
{
    char name[128], text[512];
    (void)snprintf(name, sizeof name, ".aws/sso/cache/%s", sso_file);
    (void)snprintf(text, sizeof text,
                   "{\"accessToken\": \"sso-token\", \"expiresAt\": \"%s\", \"refreshToken\": \"refresh-token\", "
                   "\"clientId\": \"client\", \"clientSecret\": \"client-secret\", "
                   "\"registrationExpiresAt\": \"2099-01-01T00:00:00Z\"}",
                   expires);
    write_file(name, text);
}

static void sign_on_is_good(void)
{
    sign_on("2099-01-01T00:00:00Z");
}

static void sign_on_is_over(void)
{
    sign_on("2020-01-01T00:00:00Z");
}

/* The file is the old one or the new one, and whole. */
static void sign_on_is_whole(void)
{
    char path[192], text[1024] = "";
    (void)snprintf(path, sizeof path, "%s/.aws/sso/cache/%s", directory, sso_file);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    while (length && text[length - 1] == '\n')
        length--;
    assert_true(length > 100 && text[0] == '{' && text[length - 1] == '}');
    assert_non_null(strstr(text, "sso-token"));
    assert_non_null(strstr(text, "client-secret"));
}

static orbit_status give_code(void *ctx, const orbit_question *question, char *answer, size_t room, orbit_error *error)
{
    (void)ctx, (void)error;
    assert_non_null(strstr(question->text, "arn:aws:iam::1:mfa/me"));
    assert_false(question->given_up(question->waiter));
    (void)snprintf(answer, room, "123456");
    return ORBIT_OK;
}

/* ---- the cases ------------------------------------------------------------------------------------------------ */

static const struct given {
    const char *name, *profile;           /* profile nullable */
    const char *variables[8];             /* pairs */
    void (*before)(void), (*after)(void); /* nullable */
    bool given;                           /* the keys are given in the configuration */
} cases[] = {
    {.name = "given keys", .given = true},
    {.name = "the environment", .variables = {"AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "secret"}},
    {.name = "a web identity",
     .variables = {"AWS_ROLE_ARN", "arn:aws:iam::1:role/plain", "AWS_WEB_IDENTITY_TOKEN_FILE", "@/web"}},
    {.name = "static keys of a profile", .profile = "static"},
    {.name = "a role", .profile = "role"},
    {.name = "a role by a role", .profile = "chained"},
    {.name = "a role with a code", .profile = "mfa"},
    {.name = "a program", .profile = "program"},
    {.name = "a sign-on", .profile = "sso", .before = sign_on_is_good, .after = sign_on_is_whole},
    {.name = "a sign-on that is renewed", .profile = "sso", .before = sign_on_is_over, .after = sign_on_is_whole},
    {.name = "the container",
     .variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "^/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                   "container-token"}},
    {.name = "the instance",
     .variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "^/imds", "AWS_EC2_METADATA_DISABLED", ""}},
};

/* "@…" is in the directory, "^…" at the services. */
static void set_variables(const struct given *one, bool on)
{
    char text[256];
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    for (size_t i = 0; i < 8 && one->variables[i]; i += 2) {
        const char *value = one->variables[i + 1];
        if (*value == '@')
            (void)snprintf(text, sizeof text, "%s%s", directory, value + 1);
        else if (*value == '^')
            (void)snprintf(text, sizeof text, "%s/_grant%s", endpoint.url, value + 1);
        else
            (void)snprintf(text, sizeof text, "%s", value);
        if (on)
            (void)setenv(one->variables[i], text, 1);
        else
            (void)unsetenv(one->variables[i]);
    }
}

static orbit_status fetch_once(const struct given *one, struct orb_keys *keys, orbit_error *error)
{
    static const _Atomic bool never = false;
    static const orbit_prompt prompt = {give_code, NULL};
    _Atomic int64_t clock_offset_s = 0;
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    struct orb_keys_origin *origin = NULL;
    struct orb_log log;
    config.profile = one->profile;
    if (one->given) {
        config.access_key_id = "id";
        config.secret_access_key = "secret";
        config.session_token = "token";
    }
    orb_log_init(&log, NULL);
    orbit_status status = orb_keys_origin_new(&origin, &config, error);
    if (status >= 0) {
        struct orb_keys_fetch fetch = {
            .origin = origin, .log = &log, .cancelled = &never, .prompt = &prompt, .clock_offset_s = &clock_offset_s};
        status = orb_keys_chain(&fetch, keys, error);
        orb_profiles_free(fetch.profiles);
    }
    orb_keys_origin_free(origin);
    orb_log_release(&log);
    return status;
}

static void torture(const struct given *one)
{
    unsigned failures = 0;
    for (uint64_t n = 1; n < 2000; n++) {
        orbit_error error = {0};
        struct orb_keys keys = {0};
        if (one->before)
            one->before();
        orb_mem_fail_at(n);
        orbit_status status = fetch_once(one, &keys, &error);
        bool reached = orb_mem_count() >= n;
        orb_mem_fail_at(0);
        if (one->after)
            one->after();
        if (status < 0) {
            failures++;
            if (!reached || status != ORBIT_E_MEMORY)
                fail_msg("%s with allocation %llu failing: %s: %s", one->name, (unsigned long long)n,
                         orbit_status_word(status), error.message);
            assert_int_equal(error.status, status);
            assert_null(keys.access_key_id);
            assert_null(keys.secret_access_key);
            assert_null(keys.session_token);
        } else {
            assert_int_equal(status, ORBIT_OK);
            assert_non_null(keys.access_key_id);
            assert_non_null(keys.secret_access_key);
        }
        orb_keys_release(&keys);
        if (!reached) {
            print_message("           %s: %llu allocations, %u errors\n", one->name, (unsigned long long)n - 1,
                          failures);
            assert_int_equal(status, ORBIT_OK);
            assert_true(failures > 0);
            return;
        }
    }
    fail_msg("%s needs more allocations than this test has patience", one->name);
}

static void providers_survive_any_failing_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_variables(&cases[i], true);
        torture(&cases[i]);
        set_variables(&cases[i], false);
    }
}

/* A library without a prompt says what it lacks. */
static void code_that_nobody_can_be_asked_for_is_told(void **state)
{
    (void)state;
    static const _Atomic bool never = false;
    static const orbit_prompt nobody = {NULL, NULL};
    _Atomic int64_t clock_offset_s = 0;
    orbit_s3_config config = ORBIT_S3_CONFIG_INIT;
    struct orb_keys_origin *origin = NULL;
    struct orb_keys keys = {0};
    struct orb_log log;
    orbit_error error = {0};
    config.profile = "mfa";
    orb_log_init(&log, NULL);
    assert_int_equal(orb_keys_origin_new(&origin, &config, &error), ORBIT_OK);
    struct orb_keys_fetch fetch = {
        .origin = origin, .log = &log, .cancelled = &never, .prompt = &nobody, .clock_offset_s = &clock_offset_s};
    assert_int_equal(orb_keys_chain(&fetch, &keys, &error), ORBIT_E_AUTH);
    assert_non_null(strstr(error.message, "'mfa' asks for a code (mfa_serial), and nobody can be asked"));
    assert_null(keys.access_key_id);
    orb_profiles_free(fetch.profiles);
    orb_keys_origin_free(origin);
    orb_log_release(&log);
}

/* ---- the world ------------------------------------------------------------------------------------------------ */

static void make_directory(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const unset[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ROLE_ARN",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "http_proxy",
                                        "all_proxy"};
    char text[256];
    if (!mkdtemp(directory))
        return -1;
    endpoint_start(&endpoint, NULL);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        (void)unsetenv(unset[i]);
    (void)setenv("HOME", directory, 1);
    (void)snprintf(text, sizeof text, "%s/_grant/sts", endpoint.url);
    (void)setenv("AWS_ENDPOINT_URL_STS", text, 1);
    (void)snprintf(text, sizeof text, "%s/_grant/sso", endpoint.url);
    (void)setenv("AWS_ENDPOINT_URL_SSO", text, 1);
    (void)snprintf(text, sizeof text, "%s/_grant/oidc", endpoint.url);
    (void)setenv("AWS_ENDPOINT_URL_SSO_OIDC", text, 1);
    make_directory(".aws");
    make_directory(".aws/sso");
    make_directory(".aws/sso/cache");
    write_file("web", "web-token\n");
    write_file(".aws/credentials",
               "[static]\naws_access_key_id = " ENDPOINT_ACCESS "\naws_secret_access_key = " ENDPOINT_SECRET "\n");
    write_file(".aws/config",
               "[profile role]\nrole_arn = arn:aws:iam::1:role/plain\nsource_profile = static\n"
               "[profile chained]\nrole_arn = arn:aws:iam::1:role/plain\nsource_profile = role\n"
               "[profile mfa]\nrole_arn = arn:aws:iam::1:role/mfa\nsource_profile = static\n"
               "mfa_serial = arn:aws:iam::1:mfa/me\n"
               "[profile program]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"id\", "
               "\"SecretAccessKey\": \"secret\"}'\n"
               "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = us-east-1\n"
               "[profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader\n");
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about, (void)kind, (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    endpoint_stop(&endpoint);
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(providers_survive_any_failing_allocation),
        cmocka_unit_test(code_that_nobody_can_be_asked_for_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
