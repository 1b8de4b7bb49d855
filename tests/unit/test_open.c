/* SPDX-License-Identifier: Apache-2.0
 * Locations, URLs and settings: what people type and what a backend is given of it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/client.h"
#include "script.h"

/* ---- locations ------------------------------------------------------------------------------------- */

struct row {
    const char *text, *scheme, *root, *path;
    bool local, directory;
};

static const struct row rows[] = {
    {"some/path", "file", "file:", "some/path", true, false},
    {"/abs", "file", "file:", "/abs", true, false},
    {"dir/", "file", "file:", "dir/", true, true},
    {".", "file", "file:", ".", true, false},
    {"./a:b", "file", "file:", "./a:b", true, false},
    {"/a:b", "file", "file:", "/a:b", true, false},
    {"a/b:c", "file", "file:", "a/b:c", true, false},
    {":x", "file", "file:", ":x", true, false},
    {"a b:c", "file", "file:", "a b:c", true, false},
    {"-x", "file", "file:", "-x", true, false},
    {"100%", "file", "file:", "100%", true, false},
    {"file:///abs/path", "file", "file:", "/abs/path", true, false},
    {"file:///a%20b%3F", "file", "file:", "/a b?", true, false},
    {"file:///a?b#c", "file", "file:", "/a?b#c", true, false},
    {"file:///", "file", "file:", "/", true, true},
    {"file:/abs", "file", "file:", "/abs", true, false},
    {"file://localhost/abs", "file", "file:", "/abs", true, false},
    {"FILE:///abs", "file", "file:", "/abs", true, false},
    {"file:", "file", "file:", "", true, true},
    {"s3://bucket/key", "s3", "s3://bucket", "key", false, false},
    {"s3://bucket", "s3", "s3://bucket", "", false, true},
    {"s3://bucket/", "s3", "s3://bucket", "", false, true},
    {"s3://bucket/dir/", "s3", "s3://bucket", "dir/", false, true},
    {"S3://bucket/key", "s3", "s3://bucket", "key", false, false},
    {"s3://bucket//a//b", "s3", "s3://bucket", "/a//b", false, false},
    {"s3://bucket/a?b", "s3", "s3://bucket", "a?b", false, false},
    {"s3://bucket/a?region=x", "s3", "s3://bucket", "a?region=x", false, false},
    {"s3://bucket/a#b%20c", "s3", "s3://bucket", "a#b%20c", false, false},
    {"s3://bucket/user:secret@x", "s3", "s3://bucket", "user:secret@x", false, false},
    {"s3://bucket?region=x", "s3", "s3://bucket?region=x", "", false, true},
    {"s3://bucket?endpoint=http://127.0.0.1:9000/&region=x", "s3",
     "s3://bucket?endpoint=http://127.0.0.1:9000/&region=x", "", false, true},
    {"s3://arn:aws:s3:r:1:accesspoint/ap/a/b", "s3", "s3://arn:aws:s3:r:1:accesspoint/ap", "a/b", false, false},
    {"s3://arn:aws:s3:r:1:accesspoint/ap", "s3", "s3://arn:aws:s3:r:1:accesspoint/ap", "", false, true},
    {"s3://arn:aws:s3:r:1:accesspoint/ap?region=x", "s3", "s3://arn:aws:s3:r:1:accesspoint/ap?region=x", "", false,
     true},
    {"s3://arn:aws:s3:r:1:accesspoint:ap/a//b", "s3", "s3://arn:aws:s3:r:1:accesspoint:ap", "a//b", false, false},
    {"s3://arn:aws:s3-outposts:r:1:outpost/op/accesspoint/ap/a/", "s3",
     "s3://arn:aws:s3-outposts:r:1:outpost/op/accesspoint/ap", "a/", false, true},
    {"s3://bucket/../../x", "s3", "s3://bucket", "../../x", false, false},
    {"mem://name/path", "mem", "mem://name", "path", false, false},
    {"mem://name", "mem", "mem://name", "", false, true},
    {"sftp://host/abs/x", "sftp", "sftp://host", "/abs/x", false, false},
    {"sftp://user@host:22/~/rel", "sftp", "sftp://user@host:22", "rel", false, false},
    {"sftp://host/~", "sftp", "sftp://host", "", false, true},
    {"ssh://host/abs", "sftp", "sftp://host", "/abs", false, false},
    {"sftp://host", "sftp", "sftp://host", "", false, true},
    {"smb://domain;user@host:445/share/a/b", "smb", "smb://domain;user@host:445/share", "a/b", false, false},
    {"cifs://host/share", "smb", "smb://host/share", "", false, true},
    {"host:path", "sftp", "sftp://host", "path", false, false},
    {"user@host:path/x", "sftp", "sftp://user@host", "path/x", false, false},
    {"user@host:/abs", "sftp", "sftp://user@host", "/abs", false, false},
    {"[::1]:x", "sftp", "sftp://[::1]", "x", false, false},
    {"user@[fe80::1%25eth0]:x", "file", "file:", "user@[fe80::1%25eth0]:x", true, false},
    {"host:", "sftp", "sftp://host", "", false, true},
    {"s3:path", "sftp", "sftp://s3", "path", false, false},
    {"user@s3:/path", "sftp", "sftp://user@s3", "/path", false, false},
    {"host:~", "sftp", "sftp://host", "", false, true},
    {"host:~/", "sftp", "sftp://host", "", false, true},
    {"user@host:~/x/", "sftp", "sftp://user@host", "x/", false, true},
    {"host:~//x", "sftp", "sftp://host", "x", false, false},
    {"sftp://host/~//x", "sftp", "sftp://host", "x", false, false},
    {"host:./~", "sftp", "sftp://host", "./~", false, false},
    {"host:x~/y", "sftp", "sftp://host", "x~/y", false, false},
};

static void locations_mean_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        orbit_location location;
        orbit_error error = {0};
        orbit_status status = orbit_location_parse(&location, row->text, &error);
        if (status < 0 || strcmp(location.scheme, row->scheme) || strcmp(location.root, row->root) ||
            strcmp(location.path, row->path) || location.is_local != row->local ||
            location.directory != row->directory || location.is_stdio)
            fail_msg("'%s': %d '%s' scheme '%s' root '%s' path '%s' local %d directory %d", row->text, status,
                     error.message, status < 0 ? "" : location.scheme, status < 0 ? "" : location.root,
                     status < 0 ? "" : location.path, status < 0 ? 0 : location.is_local,
                     status < 0 ? 0 : location.directory);
        orbit_location_release(&location);
    }
}

static void a_dash_is_standard_input_or_output(void **state)
{
    (void)state;
    orbit_location location;
    assert_int_equal(orbit_location_parse(&location, "-", NULL), ORBIT_OK);
    assert_true(location.is_stdio);
    assert_false(location.is_local);
    orbit_location_release(&location);
    orbit_location_release(&location);
    orbit_location_release(NULL);
}

static void a_file_with_a_colon_that_is_here_is_local(void **state)
{
    (void)state;
    char directory[] = "/tmp/orbit-open-XXXXXX", here[4096];
    assert_non_null(mkdtemp(directory));
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(directory), 0);
    close(open("host:file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    orbit_location location;
    orbit_status status = orbit_location_parse(&location, "host:file", NULL);
    unlink("host:file");
    assert_int_equal(chdir(here), 0);
    rmdir(directory);
    assert_int_equal(status, ORBIT_OK);
    assert_true(location.is_local);
    orbit_location_release(&location);
}

struct refusal {
    const char *text;
    orbit_status status;
    const char *says;
};

static const struct refusal refusals[] = {
    {"host:~user/x", ORBIT_E_CONFIG, "or ./~user/x where a name begins with '~'"},
    {"s3:/bucket/key", ORBIT_E_CONFIG,
     "lacks a slash: 's3://bucket/key'; a host of that name is 'sftp://s3/bucket/key'"},
    {"ssh:/host", ORBIT_E_CONFIG, "'ssh://host'"},
    {"", ORBIT_E_CONFIG, "empty"},
    {"gs://bucket/x", ORBIT_E_CONFIG, "s3, file, mem, sftp (ssh) and smb (cifs)"},
    {"http://host/x", ORBIT_E_CONFIG, "'http://'"},
    {"s3:///key", ORBIT_E_CONFIG, "bucket"},
    {"mem:///x", ORBIT_E_CONFIG, "name"},
    {"sftp:///x", ORBIT_E_CONFIG, "host"},
    {"file://otherhost/x", ORBIT_E_CONFIG, "absolute path"},
    {"file:relative", ORBIT_E_CONFIG, "absolute path"},
    {"file:///a%2", ORBIT_E_CONFIG, "hexadecimal"},
    {"file:///a%00b", ORBIT_E_CONFIG, "NUL"},
    {"s3://AKIAX:hunter2@bucket/key", ORBIT_E_CONFIG, "AWS_SECRET_ACCESS_KEY"},
    {"s3://hunter2@bucket", ORBIT_E_CONFIG, "no credentials"},
    {"sftp://user:hunter2@host/x", ORBIT_E_CONFIG, "password"},
    {"smb://user:hunter2@host/share", ORBIT_E_CONFIG, "password"},
    {"user:hunter2@host:path", ORBIT_E_CONFIG, "password"},
    {"s3://bucket?secret_access_key=hunter2", ORBIT_E_CONFIG, "'secret_access_key' does not belong"},
    {"s3://bucket?Session_Token=hunter2", ORBIT_E_CONFIG, "does not belong"},
    {"s3://bucket?password=hunter2", ORBIT_E_CONFIG, "does not belong"},
    {"s3://bucket?region", ORBIT_E_CONFIG, "name=value"},
};

static void secrets_and_nonsense_are_refused_without_repeating_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        orbit_location location;
        orbit_error error = {0};
        orbit_status status = orbit_location_parse(&location, refusals[i].text, &error);
        if (status != refusals[i].status || !strstr(error.message, refusals[i].says) ||
            strstr(error.message, "hunter2"))
            fail_msg("'%s': %d '%s'", refusals[i].text, status, error.message);
        assert_null(location.root);
    }
    assert_int_equal(orbit_location_parse(NULL, "x", NULL), ORBIT_E_MISUSE);
    orbit_location location;
    assert_int_equal(orbit_location_parse(&location, NULL, NULL), ORBIT_E_MISUSE);
}

/* ---- opening --------------------------------------------------------------------------------------- */

struct opened {
    struct script script;
    orbit_client *client;
    orbit_backend *backend;
};

static int setup(void **state)
{
    struct opened *opened = calloc(1, sizeof(*opened));
    script_open(&opened->script, NULL, NULL, &opened->client, &opened->backend);
    *state = opened;
    return 0;
}

static int teardown(void **state)
{
    struct opened *opened = *state;
    orbit_backend_close(opened->backend);
    orbit_client_close(opened->client);
    assert_int_equal(opened->script.opens, opened->script.closes);
    free(opened);
    return 0;
}

static void a_registered_backend_gets_the_url_taken_apart(void **state)
{
    struct opened *opened = *state;
    orbit_backend *backend;
    orbit_error error;
    assert_int_equal(orbit_open(&backend, opened->client, "Script://user@host:99/a/b?c", NULL, &error), ORBIT_OK);
    assert_string_equal(opened->script.seen_authority, "user@host:99");
    assert_string_equal(opened->script.seen_path, "a/b?c");
    assert_string_equal(opened->script.seen_settings, "");
    assert_string_equal(orbit_backend_name(backend), "script");
    assert_true(orbit_backend_supports(backend, ORBIT_OPERATION_STAT));
    assert_true(orbit_backend_supports(backend, ORBIT_OPERATION_RENAME));
    assert_false(orbit_backend_supports(backend, ORBIT_OPERATION_SYMLINK));
    assert_false(orbit_backend_supports(backend, ORBIT_OPERATION_WRITE));
    orbit_backend_close(backend);
}

static void settings_come_from_the_url_then_the_options(void **state)
{
    struct opened *opened = *state;
    orbit_backend *backend;
    orbit_error error;
    const orbit_pair more[] = {{"color", "blue"}, {"retry_attempts", "7"}};
    orbit_open_options options;
    orbit_open_options_init(&options);
    options.settings = more;
    options.setting_count = 2;
    options.connect_timeout_ms = 123;
    assert_int_equal(
        orbit_open(&backend, opened->client,
                   "script://x?color=re%64&chunk_size=1M&retry_attempts=3&connect_timeout_ms=9&shape=a%26b", &options,
                   &error),
        ORBIT_OK);
    assert_string_equal(opened->script.seen_settings, "color=red;shape=a&b;color=blue;");
    assert_int_equal(backend->core.options.chunk_size, 1 << 20);
    assert_int_equal(backend->core.options.retry_attempts, 7);
    assert_int_equal(backend->core.options.connect_timeout_ms, 123);
    assert_int_equal(backend->core.options.stall_timeout_ms, 15000);
    assert_int_equal(backend->core.options.retry_deadline_ms, 900000);
    assert_int_equal(backend->core.options.parallel_operations, 8);
    assert_int_equal(backend->core.caps.remove_batch, 1);
    assert_int_equal(backend->core.caps.chunk_default, 8 << 20);
    orbit_backend_close(backend);
}

static void bad_settings_are_refused(void **state)
{
    struct opened *opened = *state;
    orbit_backend *backend;
    orbit_error error;
    assert_int_equal(orbit_open(&backend, opened->client, "script://x?chunk_size=lots", NULL, &error), ORBIT_E_CONFIG);
    assert_non_null(strstr(error.message, "chunk_size"));
    assert_null(backend);
    assert_int_equal(orbit_open(&backend, opened->client, "script://x?refuse=1", NULL, &error), ORBIT_E_CONFIG);
    assert_string_equal(error.message, "refused as it was asked");
    const orbit_pair secret[] = {{"secret_access_key", "hunter2"}};
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.settings = secret;
    options.setting_count = 1;
    assert_int_equal(orbit_open(&backend, opened->client, "script://x", &options, &error), ORBIT_E_CONFIG);
    assert_null(strstr(error.message, "hunter2"));
    assert_int_equal(orbit_open(&backend, opened->client, "script://u:hunter2@x", NULL, &error), ORBIT_E_CONFIG);
    assert_null(strstr(error.message, "hunter2"));
}

static void unknown_schemes_are_answered_with_the_known_ones(void **state)
{
    struct opened *opened = *state;
    orbit_backend *backend;
    orbit_error error;
    assert_int_equal(orbit_open(&backend, opened->client, "gs://bucket", NULL, &error), ORBIT_E_CONFIG);
    assert_non_null(strstr(error.message, "s3, file, mem"));
    assert_non_null(strstr(error.message, "script"));
    assert_int_equal(orbit_open(&backend, opened->client, "smb://host/share", NULL, &error), ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "not built into this version"));
    assert_int_equal(orbit_open(&backend, opened->client, "/plain/path", NULL, &error), ORBIT_E_CONFIG);
    assert_non_null(strstr(error.message, "file:///"));
    assert_int_equal(orbit_open(&backend, opened->client, NULL, NULL, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_open(NULL, opened->client, "mem://x", NULL, &error), ORBIT_E_MISUSE);
}

static void a_scheme_is_registered_once(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    orbit_client *client = opened->client;
    assert_int_equal(orbit_register(client, "script", &script_ops, NULL, &error), ORBIT_E_EXISTS);
    assert_int_equal(orbit_register(client, "s3", &script_ops, NULL, &error), ORBIT_E_EXISTS);
    assert_int_equal(orbit_register(client, "Bad", &script_ops, NULL, &error), ORBIT_E_CONFIG);
    assert_int_equal(orbit_register(client, "", &script_ops, NULL, &error), ORBIT_E_CONFIG);
    assert_int_equal(orbit_register(client, NULL, &script_ops, NULL, &error), ORBIT_E_MISUSE);
    orbit_backend_ops none = {.size = sizeof(none)};
    assert_int_equal(orbit_register(client, "none", &none, NULL, &error), ORBIT_E_MISUSE);
    /* smb is not built in: it may be taken. */
    assert_int_equal(orbit_register(client, "smb", &script_ops, &opened->script, &error), ORBIT_OK);
    orbit_backend *backend;
    assert_int_equal(orbit_open(&backend, client, "smb://host", NULL, &error), ORBIT_OK);
    orbit_backend_close(backend);
}

static void a_shorter_table_lacks_what_it_does_not_name(void **state)
{
    struct opened *opened = *state;
    orbit_error error;
    orbit_backend_ops older = script_ops;
    older.size = offsetof(orbit_backend_ops, rename);
    older.name = NULL;
    assert_int_equal(orbit_register(opened->client, "older", &older, &opened->script, &error), ORBIT_OK);
    memset(&older, 0xff, sizeof(older)); /* it was copied */
    orbit_backend *backend;
    assert_int_equal(orbit_open(&backend, opened->client, "older://x", NULL, &error), ORBIT_OK);
    assert_string_equal(orbit_backend_name(backend), "older");
    assert_true(orbit_backend_supports(backend, ORBIT_OPERATION_MKDIR));
    assert_false(orbit_backend_supports(backend, ORBIT_OPERATION_RENAME));
    assert_false(orbit_backend_supports(backend, ORBIT_OPERATION_SPACE));
    orbit_backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations_mean_what_the_table_says),
        cmocka_unit_test(a_dash_is_standard_input_or_output),
        cmocka_unit_test(a_file_with_a_colon_that_is_here_is_local),
        cmocka_unit_test(secrets_and_nonsense_are_refused_without_repeating_them),
        cmocka_unit_test_setup_teardown(a_registered_backend_gets_the_url_taken_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_come_from_the_url_then_the_options, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_settings_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_schemes_are_answered_with_the_known_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scheme_is_registered_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shorter_table_lacks_what_it_does_not_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
