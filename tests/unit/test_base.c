/* SPDX-License-Identifier: Apache-2.0
 * Errors, buffers, strings, options, budget, memory, metadata, log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orbit/backend_ops.h>

#include "base/budget.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"

static void disarm(void)
{
    orb_mem_fail_at(0);
}

/* ---- errors ---- */

static void every_status_has_text_and_word(void **state)
{
    (void)state;
    assert_string_equal(orbit_status_text(ORBIT_E_NOT_FOUND), "not found");
    assert_string_equal(orbit_status_word(ORBIT_E_NO_SPACE), "no_space");
    for (int status = -23; status <= 3; status++) {
        assert_string_not_equal(orbit_status_text((orbit_status)status), "unknown status");
        assert_string_not_equal(orbit_status_word((orbit_status)status), "unknown");
    }
    assert_string_equal(orbit_status_text((orbit_status)-99), "unknown status");
}

static void error_is_filled_and_null_error_is_fine(void **state)
{
    (void)state;
    orbit_error error;
    memset(&error, 0xAA, sizeof(error));
    assert_int_equal(orb_fail(&error, ORBIT_E_CONFIG, 7, "bad '%s'", "x"), ORBIT_E_CONFIG);
    assert_int_equal(error.status, ORBIT_E_CONFIG);
    assert_int_equal(error.native, 7);
    assert_int_equal(error.flags, 0);
    assert_string_equal(error.message, "bad 'x'");
    assert_string_equal(error.code, "");
    assert_int_equal(orbit_error_status(&error), ORBIT_E_CONFIG);
    assert_int_equal(orb_fail(NULL, ORBIT_E_IO, 0, "x"), ORBIT_E_IO);
    assert_int_equal(orbit_error_status(NULL), ORBIT_OK);
    assert_false(orbit_error_retriable(NULL));
    assert_int_equal(orb_fail_memory(&error), ORBIT_E_MEMORY);
    assert_string_equal(error.message, "out of memory");
    assert_int_equal(orbit_error_set(&error, ORBIT_E_BUSY, 0, "%s", error.message), ORBIT_E_BUSY);
    assert_string_equal(error.message, "out of memory"); /* an argument inside the error itself */
}

static void errno_becomes_kind_and_flags(void **state)
{
    (void)state;
    orbit_error error;
    assert_int_equal(orb_fail_errno(&error, ENOENT, "cannot open '%s'", "a"), ORBIT_E_NOT_FOUND);
    assert_string_equal(error.message, "cannot open 'a': No such file or directory");
    assert_int_equal(error.native, ENOENT);
    assert_int_equal(orbit_error_errno(&error, ENOTDIR, "x"), ORBIT_E_PATH);
    assert_int_equal(error.flags, ORBIT_ERROR_NOT_DIRECTORY);
    assert_int_equal(orb_fail_errno(&error, EISDIR, "x"), ORBIT_E_PATH);
    assert_int_equal(error.flags, ORBIT_ERROR_IS_DIRECTORY);
    assert_int_equal(orb_fail_errno(&error, ECONNREFUSED, "x"), ORBIT_E_CONNECT);
    assert_true(orbit_error_retriable(&error));
    assert_int_equal(orb_status_from_errno(EROFS), ORBIT_E_PERMISSION);
    assert_int_equal(orb_status_from_errno(EDQUOT), ORBIT_E_QUOTA);
    assert_int_equal(orb_status_from_errno(EINVAL), ORBIT_E_IO);
    assert_int_equal(orb_status_from_errno(EFBIG), ORBIT_E_LIMIT);
    orb_fail_errno(&error, 9999, "x");
    assert_string_equal(error.message, "x: error 9999");
}

static void long_message_is_cut_between_characters(void **state)
{
    (void)state;
    orbit_error error;
    char text[1200];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xF0\x9F\x9A\x80", 5);
        orb_fail(&error, ORBIT_E_IO, 0, "%s", text);
        assert_true(error.flags & ORBIT_ERROR_TRUNCATED);
        size_t length = strlen(error.message);
        assert_true(length >= sizeof(error.message) - 4);
        assert_int_equal((length - shift) % 4, 0);
    }
    memset(text, 0x80, sizeof(text)); /* no UTF-8 at all */
    text[sizeof(text) - 1] = '\0';
    orb_fail(&error, ORBIT_E_IO, 0, "%s", text);
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
}

static void prefix_goes_in_front_and_keeps_the_rest(void **state)
{
    (void)state;
    orbit_error error;
    orb_fail_errno(&error, ECONNRESET, "connection lost");
    orb_error_prefix(&error, "cannot list '%s'", "dir");
    assert_string_equal(error.message, "cannot list 'dir': connection lost: Connection reset by peer");
    assert_int_equal(error.status, ORBIT_E_NETWORK);
    assert_true(orbit_error_retriable(&error));
    orb_error_prefix(NULL, "x");
    orbit_error copy;
    orb_error_copy(&copy, &error);
    assert_memory_equal(&copy, &error, sizeof(copy));
    orb_error_clear(&copy);
    assert_int_equal(copy.status, 0);
}

/* ---- buffers ---- */

static void buffer_grows_to_its_cap_and_stays_failed(void **state)
{
    (void)state;
    struct orb_buf buf;
    orb_buf_init(&buf, 100);
    assert_string_equal(orb_buf_string(&buf), "");
    assert_true(orb_buf_text(&buf, "hello"));
    assert_true(orb_buf_char(&buf, ' '));
    assert_true(orb_buf_format(&buf, "%d-%s", 42, "x"));
    assert_string_equal(orb_buf_string(&buf), "hello 42-x");
    char more[100] = {0};
    memset(more, 'y', 90);
    assert_true(orb_buf_append(&buf, more, 90));
    assert_int_equal(buf.length, 100);
    assert_false(orb_buf_char(&buf, 'z'));
    assert_true(buf.failed);
    assert_false(orb_buf_append(&buf, "", 0));
    assert_null(orb_buf_take(&buf));
    assert_true(orb_buf_format(&buf, "%080d", 5)); /* released by the failed take: usable again */
    char *text = orb_buf_take(&buf);
    assert_int_equal(strlen(text), 80);
    orb_free(text);
    orb_buf_release(&buf);
}

static void buffer_formats_more_than_its_small_room(void **state)
{
    (void)state;
    struct orb_buf buf;
    orb_buf_init(&buf, 10000);
    assert_true(orb_buf_format(&buf, "%0*d|", 3000, 7));
    assert_int_equal(buf.length, 3001);
    assert_int_equal(buf.bytes[3000], '|');
    orb_buf_reset(&buf);
    assert_string_equal(orb_buf_string(&buf), "");
    char *empty = orb_buf_take(&buf);
    assert_string_equal(empty, "");
    orb_free(empty);
    orb_buf_release(&buf);
}

static void buffer_reports_failed_allocation(void **state)
{
    (void)state;
    struct orb_buf buf;
    orb_buf_init(&buf, 1000);
    orb_mem_fail_at(1);
    assert_false(orb_buf_text(&buf, "a"));
    assert_false(orb_buf_text(&buf, "a"));
    disarm();
    orb_buf_reset(&buf);
    assert_true(orb_buf_text(&buf, "a"));
    orb_buf_release(&buf);
}

/* ---- strings ---- */

static void percent_encoding_goes_there_and_back(void **state)
{
    (void)state;
    struct orb_buf buf;
    orb_buf_init(&buf, 4096);
    char all[256];
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    assert_true(orb_percent_encode(&buf, all, 255, NULL));
    char copy[1024];
    memcpy(copy, buf.bytes, buf.length + 1);
    assert_int_equal(orb_percent_decode(copy, buf.length, false), 255);
    assert_memory_equal(copy, all, 255);
    orb_buf_reset(&buf);
    orb_percent_encode(&buf, "a/b c~+%", 8, "/");
    assert_string_equal(orb_buf_string(&buf), "a/b%20c~%2B%25");
    orb_buf_release(&buf);
}

static void bad_escapes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "%4", "a%", "a%4", "%zz", "%4g", "%00", "x%0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%s", bad[i]);
        assert_true(orb_percent_decode(text, strlen(text), false) == SIZE_MAX);
    }
    char text[] = "a+b%41%2f";
    assert_int_equal(orb_percent_decode(text, strlen(text), true), 5);
    assert_string_equal(text, "a bA/");
    char plus[] = "a+b";
    assert_int_equal(orb_percent_decode(plus, 3, false), 3);
    assert_string_equal(plus, "a+b");
}

static void numbers_and_sizes_are_parsed_whole(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_true(orb_parse_u64("18446744073709551615", &n) && n == UINT64_MAX);
    assert_false(orb_parse_u64("18446744073709551616", &n));
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1x", "0x1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(orb_parse_u64(bad[i], &n));
        assert_false(orb_parse_size(bad[i], &n));
    }
    assert_true(orb_parse_size("8388608", &n) && n == 8388608);
    assert_true(orb_parse_size("8M", &n) && n == 8388608);
    assert_true(orb_parse_size("8MiB", &n) && n == 8388608);
    assert_true(orb_parse_size("64k", &n) && n == 65536);
    assert_true(orb_parse_size("1G", &n) && n == 1ull << 30);
    assert_true(orb_parse_size("5TiB", &n) && n == 5ull << 40);
    assert_true(orb_parse_size("7B", &n) && n == 7);
    assert_false(orb_parse_size("16E", &n));
    assert_false(orb_parse_size("8Mi", &n));
    assert_false(orb_parse_size("M", &n));
    bool value = false;
    assert_true(orb_parse_bool("Yes", &value) && value);
    assert_true(orb_parse_bool("off", &value) && !value);
    assert_false(orb_parse_bool("2", &value));
    assert_false(orb_parse_bool("", &value));
}

static void times_of_http_and_iso_are_read(void **state)
{
    (void)state;
    int64_t ns = 0;
    const int64_t there = 784111777ll * 1000000000;
    assert_true(orb_parse_time("Sun, 06 Nov 1994 08:49:37 GMT", &ns) && ns == there);
    assert_true(orb_parse_time("Sunday, 06-Nov-94 08:49:37 GMT", &ns) && ns == there);
    assert_true(orb_parse_time("Sun Nov  6 08:49:37 1994", &ns) && ns == there);
    assert_true(orb_parse_time("1994-11-06T08:49:37Z", &ns) && ns == there);
    assert_true(orb_parse_time("1994-11-06T08:49:37.123Z", &ns) && ns == there + 123000000);
    assert_true(orb_parse_time("1994-11-06T09:49:37.000000001+01:00", &ns) && ns == there + 1);
    assert_true(orb_parse_time("2024-02-29T23:59:59Z", &ns) && ns == 1709251199ll * 1000000000);
    assert_true(orb_parse_time("1969-12-31T23:59:59.5Z", &ns) && ns == -500000000);
    static const char *const bad[] = {"",
                                      "yesterday",
                                      "2023-02-29T00:00:00Z",
                                      "2024-13-01T00:00:00Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:00:00",
                                      "2024-01-01T00:00:00.Z",
                                      "Sun, 06 Nov 1994 08:49:37 PST",
                                      "Sun, 32 Nov 1994 08:49:37 GMT",
                                      "9999-01-01T00:00:00Z",
                                      "2024-01-01T00:00:00Zx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(orb_parse_time(bad[i], &ns));
    assert_false(orb_parse_time(NULL, &ns));
}

static void small_string_questions_are_answered(void **state)
{
    (void)state;
    assert_true(orb_str_prefix("abc", "ab") && !orb_str_prefix("a", "ab") && orb_str_prefix("a", ""));
    assert_true(orb_str_suffix("abc", "bc") && !orb_str_suffix("c", "bc") && orb_str_suffix("a", ""));
    assert_true(orb_str_equal(NULL, NULL) && !orb_str_equal(NULL, "") && orb_str_equal("a", "a"));
    assert_string_equal(orb_path_base("a/b/c"), "c");
    assert_string_equal(orb_path_base("a/"), "");
    assert_string_equal(orb_path_base(""), "");
    assert_string_equal(orb_path_base("c"), "c");
    char hex[7];
    orb_hex(hex, (const uint8_t *)"\x00\xff\x1a", 3);
    assert_string_equal(hex, "00ff1a");
}

/* ---- options ---- */

struct known {
    size_t size;
    int a, b;
};

static void options_of_other_versions_are_understood(void **state)
{
    (void)state;
    struct {
        struct known known;
        char tail[16];
    } given = {{sizeof(given), 1, 2}, {0}};
    struct known known = {sizeof(known), 10, 20};
    orbit_error error;

    assert_int_equal(orb_options_take(&known, sizeof(known), NULL, "o", &error), ORBIT_OK);
    assert_int_equal(known.a, 10);
    assert_int_equal(orb_options_take(&known, sizeof(known), &given, "o", &error), ORBIT_OK); /* newer, zero tail */
    assert_true(known.a == 1 && known.b == 2 && known.size == sizeof(known));
    given.tail[15] = 1;
    assert_int_equal(orb_options_take(&known, sizeof(known), &given, "o", &error), ORBIT_E_MISUSE);
    given.known.size = sizeof(size_t) + sizeof(int); /* older */
    known = (struct known){sizeof(known), 10, 20};
    assert_int_equal(orb_options_take(&known, sizeof(known), &given, "o", &error), ORBIT_OK);
    assert_true(known.a == 1 && known.b == 20);
    given.known.size = 0;
    assert_int_equal(orb_options_take(&known, sizeof(known), &given, "o", &error), ORBIT_E_MISUSE);
    given.known.size = (size_t)-1;
    assert_int_equal(orb_options_take(&known, sizeof(known), &given, "o", &error), ORBIT_E_MISUSE);
}

/* ---- budget ---- */

static unsigned freed_calls;
static void count_freed(void *ctx)
{
    (void)ctx;
    freed_calls++;
}

static void budget_is_exact_and_remembers_its_peak(void **state)
{
    (void)state;
    struct orb_budget budget;
    orb_budget_init(&budget, 100);
    budget.freed = count_freed;
    assert_true(orb_budget_take(&budget, 60));
    assert_false(orb_budget_take(&budget, 41));
    assert_true(orb_budget_take(&budget, 40));
    assert_false(orb_budget_take(&budget, 1));
    assert_false(orb_budget_take(&budget, UINT64_MAX));
    orb_budget_give(&budget, 100);
    assert_int_equal(freed_calls, 1);
    assert_int_equal(budget.used, 0);
    assert_int_equal(budget.peak, 100);
}

/* ---- memory ---- */

static void the_nth_allocation_fails_once(void **state)
{
    (void)state;
    orb_mem_fail_at(2);
    void *a = orb_malloc(8);
    void *b = orb_calloc(1, 8);
    void *c = orb_strdup("x");
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_int_equal(orb_mem_count(), 3);
    disarm();
    orb_free(a);
    orb_free(c);
    assert_null(orb_calloc(SIZE_MAX / 2, 3));
    assert_null(orb_strdup(NULL));
}

static void buffers_are_kept_and_given_back(void **state)
{
    (void)state;
    orb_buffer_trim();
    const size_t bytes = (1u << 20) + 5;
    char *a = orb_buffer_new(bytes);
    assert_non_null(a);
    a[0] = 'x';
    a[bytes - 1] = 'y';
    orb_buffer_free(a, bytes);
    assert_ptr_equal(orb_buffer_new(bytes), a); /* the same one again */
    orb_buffer_free(a, bytes);
    void *many[12];
    for (size_t i = 0; i < 12; i++)
        assert_non_null(many[i] = orb_buffer_new(bytes));
    for (size_t i = 0; i < 12; i++)
        orb_buffer_free(many[i], bytes);
    void *huge = orb_buffer_new((size_t)64 << 20);
    assert_non_null(huge);
    orb_buffer_free(huge, (size_t)64 << 20); /* too large to be kept */
    void *small = orb_buffer_new(100);
    assert_non_null(small);
    orb_buffer_free(small, 100);
    assert_null(orb_buffer_new(SIZE_MAX - 10));
    orb_mem_fail_at(1);
    assert_null(orb_buffer_new(bytes));
    disarm();
    orb_buffer_free(NULL, 5);
    orb_buffer_trim();
}

static void random_numbers_differ(void **state)
{
    (void)state;
    assert_true(orb_random_u64() != orb_random_u64());
    uint64_t then = orb_now_ns();
    assert_true(orb_now_ns() >= then);
    assert_true(orb_realtime_ns() > 1600000000ll * 1000000000);
}

/* ---- metadata ---- */

static void metadata_keeps_what_it_is_given(void **state)
{
    (void)state;
    orbit_metadata m = ORBIT_METADATA_INIT, copy;
    char etag[] = "abcdef";
    m.etag = orbit_metadata_keep(&m, etag, 3);
    m.size = 5;
    m.fields = ORBIT_HAS_SIZE;
    for (int i = 0; i < 50; i++) {
        char name[16], value[16];
        snprintf(name, sizeof(name), "n%d", i);
        snprintf(value, sizeof(value), "v%d", i);
        assert_int_equal(orbit_metadata_add_user(&m, name, value), ORBIT_OK);
    }
    assert_int_equal(orbit_metadata_copy(&copy, &m), ORBIT_OK);
    orbit_metadata_release(&m);
    assert_null(m.storage);
    assert_string_equal(copy.etag, "abc");
    assert_int_equal(copy.size, 5);
    assert_int_equal(copy.user_count, 50);
    assert_string_equal(copy.user[49].name, "n49");
    assert_string_equal(copy.user[0].value, "v0");
    orbit_metadata_release(&copy);
    orbit_metadata_release(&copy);
    orbit_metadata_release(NULL);
}

static void metadata_is_capped(void **state)
{
    (void)state;
    orbit_metadata m = ORBIT_METADATA_INIT;
    static char big[70000];
    memset(big, 'x', sizeof(big) - 1);
    assert_null(orbit_metadata_keep(&m, big, 65536));
    assert_null(orbit_metadata_keep(&m, big, SIZE_MAX));
    size_t kept = 0;
    while (orbit_metadata_keep(&m, big, 999))
        kept++;
    assert_int_equal(kept, 65);
    assert_int_equal(orbit_metadata_add_user(&m, big, "v"), ORBIT_E_MEMORY);
    orbit_metadata_release(&m);
}

static void metadata_copy_survives_every_failed_allocation(void **state)
{
    (void)state;
    orbit_metadata m = ORBIT_METADATA_INIT, copy;
    m.etag = "e";
    m.link_target = "a/b/c";
    orbit_pair pairs[] = {{"a", "1"}, {"b", "2"}};
    m.user = pairs;
    m.user_count = 2;
    int status = ORBIT_E_MEMORY;
    for (uint64_t n = 1; status == ORBIT_E_MEMORY; n++) {
        orb_mem_fail_at(n);
        status = orbit_metadata_copy(&copy, &m);
        if (status == ORBIT_E_MEMORY)
            assert_null(copy.etag);
        assert_true(n < 20);
    }
    disarm();
    assert_string_equal(copy.user[1].value, "2");
    orbit_metadata_release(&copy);
}

/* ---- log ---- */

static char log_line[2000];
static int log_lines;
static void on_line(void *ctx, orbit_log_level level, const char *line)
{
    (void)ctx, (void)level;
    log_lines++;
    snprintf(log_line, sizeof(log_line), "%s", line);
}

static void log_gives_wanted_lines_only(void **state)
{
    (void)state;
    struct orb_log log;
    orbit_log user = {on_line, NULL, (orbit_log_level)0};
    orb_log_init(&log, &user);
    orb_log(&log, ORBIT_LOG_INFO, "no");
    assert_int_equal(log_lines, 0);
    orb_log(&log, ORBIT_LOG_WARN, "two\nlines %d", 5);
    assert_string_equal(log_line, "two lines 5");
    orb_log(NULL, ORBIT_LOG_ERROR, "x");
    orb_log_release(&log);
    orb_log_init(&log, NULL);
    orb_log(&log, ORBIT_LOG_ERROR, "x");
    assert_int_equal(log_lines, 1);
    orb_log_release(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_text_and_word),
        cmocka_unit_test(error_is_filled_and_null_error_is_fine),
        cmocka_unit_test(errno_becomes_kind_and_flags),
        cmocka_unit_test(long_message_is_cut_between_characters),
        cmocka_unit_test(prefix_goes_in_front_and_keeps_the_rest),
        cmocka_unit_test(buffer_grows_to_its_cap_and_stays_failed),
        cmocka_unit_test(buffer_formats_more_than_its_small_room),
        cmocka_unit_test(buffer_reports_failed_allocation),
        cmocka_unit_test(percent_encoding_goes_there_and_back),
        cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(numbers_and_sizes_are_parsed_whole),
        cmocka_unit_test(times_of_http_and_iso_are_read),
        cmocka_unit_test(small_string_questions_are_answered),
        cmocka_unit_test(options_of_other_versions_are_understood),
        cmocka_unit_test(budget_is_exact_and_remembers_its_peak),
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(buffers_are_kept_and_given_back),
        cmocka_unit_test(random_numbers_differ),
        cmocka_unit_test(metadata_keeps_what_it_is_given),
        cmocka_unit_test(metadata_is_capped),
        cmocka_unit_test(metadata_copy_survives_every_failed_allocation),
        cmocka_unit_test(log_gives_wanted_lines_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
