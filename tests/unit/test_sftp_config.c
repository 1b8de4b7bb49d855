/* SPDX-License-Identifier: Apache-2.0
 * Configuration of the SFTP backend: the typed config, URLs, settings, ORBIT_SSH_OPTIONS, and which goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sftp/sftp_config.h"

static orbit_host host;
static orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;

/* Settings, of which the first `of_url` are a URL's. */
static orbit_status take(struct sftp_config *config, const char *authority, const orbit_pair *settings, size_t count,
                         size_t of_url, const orbit_ssh_config *typed, orbit_error *error)
{
    orbit_open_request request = {.url = "sftp://x",
                                  .authority = authority,
                                  .path = "",
                                  .settings = settings,
                                  .setting_count = count,
                                  .options = &options,
                                  .config = typed,
                                  .url_setting_count = of_url};
    return sftp_config_take(config, &host, &request, 8, error);
}

static void authority_is_user_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *user, *host;
        unsigned port;
    } cases[] = {
        {"h", NULL, "h", 0},          {"h:2222", NULL, "h", 2222}, {"u@h", "u", "h", 0},
        {"u%40d@h:1", "u@d", "h", 1}, {"[::1]", NULL, "::1", 0},   {"u@[fe80::1]:22", "u", "fe80::1", 22},
    };
    static const char *const bad[] = {"", "u@", ":22", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "u%4@h"};
    struct sftp_config config;
    orbit_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(take(&config, cases[i].authority, NULL, 0, 0, NULL, &error), ORBIT_OK);
        assert_string_equal(config.ssh.host, cases[i].host);
        assert_true(cases[i].user ? config.ssh.user && !strcmp(config.ssh.user, cases[i].user) : !config.ssh.user);
        assert_int_equal(config.ssh.port, cases[i].port);
        sftp_config_release(&config);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(take(&config, bad[i], NULL, 0, 0, NULL, &error), ORBIT_E_CONFIG);
        sftp_config_release(&config);
    }
}

static void url_makes_no_program_run(void **state)
{
    (void)state;
    static const orbit_pair pairs[] = {
        {"option", "ProxyCommand=x"}, {"ssh", "x"}, {"command", "x"}, {"config_file", "x"}};
    static const orbit_pair harmless[] = {{"identity", "/k"}, {"channels", "2"}};
    struct sftp_config config;
    orbit_error error;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(take(&config, "h", &pairs[i], 1, 1, NULL, &error), ORBIT_E_CONFIG);
        assert_non_null(strstr(error.message, "not taken from a URL"));
        sftp_config_release(&config);
        assert_int_equal(take(&config, "h", &pairs[i], 1, 0, NULL, &error), ORBIT_OK);
        sftp_config_release(&config);
    }
    assert_int_equal(take(&config, "h", harmless, 2, 2, NULL, &error), ORBIT_OK);
    assert_string_equal(config.ssh.identities[0], "/k");
    assert_int_equal(config.channels, 2);
    sftp_config_release(&config);
}

static void settings_that_are_wrong_are_named(void **state)
{
    (void)state;
    static const orbit_pair bad[] = {{"channels", "11"}, {"channels", "0"}, {"channels", "x"}, {"colour", "red"}};
    struct sftp_config config;
    orbit_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(take(&config, "h", &bad[i], 1, 0, NULL, &error), ORBIT_E_CONFIG);
        assert_non_null(strstr(error.message, bad[i].name));
        sftp_config_release(&config);
    }
}

static void environment_holds_words_of_ssh_and_comes_last(void **state)
{
    (void)state;
    static const orbit_pair settings[] = {{"option", "Port=1"}, {"config_file", "/mine"}};
    static const char *const bad[] = {"-o", "-o Port", "-x y", "Port", "-o 'Port=1", "-i -F"};
    struct sftp_config config;
    orbit_error error;
    setenv("ORBIT_SSH_OPTIONS", " -o Port=2 -oUser=u -i '/k 1' -F /theirs Compression=yes", 1);
    assert_int_equal(take(&config, "h", settings, 2, 0, NULL, &error), ORBIT_OK);
    assert_string_equal(config.ssh.options[0], "Port=1");
    assert_string_equal(config.ssh.options[1], "Port=2");
    assert_string_equal(config.ssh.options[2], "User=u");
    assert_string_equal(config.ssh.options[3], "Compression=yes");
    assert_null(config.ssh.options[4]);
    assert_string_equal(config.ssh.identities[0], "/k 1");
    assert_string_equal(config.ssh.config_file, "/mine");
    sftp_config_release(&config);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("ORBIT_SSH_OPTIONS", bad[i], 1);
        assert_int_equal(take(&config, "h", NULL, 0, 0, NULL, &error), ORBIT_E_CONFIG);
        assert_non_null(strstr(error.message, "ORBIT_SSH_OPTIONS"));
        sftp_config_release(&config);
    }
    unsetenv("ORBIT_SSH_OPTIONS");
}

static void typed_config_says_all_of_it(void **state)
{
    (void)state;
    const char *const identities[] = {"/a", "/b", NULL}, *const more[] = {"Port=1", NULL};
    orbit_ssh_config typed = ORBIT_SSH_CONFIG_INIT;
    struct sftp_config config;
    orbit_error error;
    assert_int_equal(take(&config, "", NULL, 0, 0, &typed, &error), ORBIT_E_CONFIG); /* no host */
    sftp_config_release(&config);
    typed.host = "h";
    typed.port = 22;
    typed.root = "~/x";
    typed.identity_files = identities;
    typed.options = more;
    typed.password = "p";
    options.connect_timeout_ms = 5000;
    assert_int_equal(take(&config, "", NULL, 0, 0, &typed, &error), ORBIT_OK);
    assert_string_equal(config.ssh.host, "h");
    assert_string_equal(config.root, "~/x");
    assert_string_equal(config.ssh.identities[1], "/b");
    assert_string_equal(config.ssh.options[0], "Port=1");
    assert_string_equal(config.ssh.password, "p");
    assert_ptr_equal(config.ssh.prompt, &host.prompt);
    assert_true(config.ssh.connect_ns == 30000000000u);
    sftp_config_release(&config);
    typed.no_prompt = true;
    assert_int_equal(take(&config, "", NULL, 0, 0, &typed, &error), ORBIT_OK);
    assert_null(config.ssh.prompt);
    sftp_config_release(&config);
}

int main(void)
{
    unsetenv("ORBIT_SSH_OPTIONS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authority_is_user_host_and_port),
        cmocka_unit_test(url_makes_no_program_run),
        cmocka_unit_test(settings_that_are_wrong_are_named),
        cmocka_unit_test(environment_holds_words_of_ssh_and_comes_last),
        cmocka_unit_test(typed_config_says_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
