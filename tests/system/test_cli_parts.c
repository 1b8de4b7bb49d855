/* SPDX-License-Identifier: Apache-2.0
 * The parts of the command that are pure functions: patterns, sizes, times, UTF-8, escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/flags.h"
#include "../../cli/glob.h"
#include "../../cli/text.h"

static void stars_stay_within_a_component(void **state)
{
    (void)state;
    assert_true(glob_match("*.txt", "a.txt"));
    assert_true(glob_match("*", ""));
    assert_true(glob_match("*", ".hidden"));
    assert_false(glob_match("*.txt", "a/b.txt"));
    assert_true(glob_match("a/*/c", "a/b/c"));
    assert_false(glob_match("a/*/c", "a/b/b/c"));
    assert_false(glob_match("a*c", "a/c"));
    assert_true(glob_match("*a*b*c*", "xxaxxbxxcxx"));
    assert_false(glob_match("*a*b*c*", "xxaxxcxxbxx"));
}

static void two_stars_cross_slashes(void **state)
{
    (void)state;
    assert_true(glob_match("**", "a/b/c"));
    assert_true(glob_match("**.txt", "a/b/c.txt"));
    assert_true(glob_match("a/**", "a/b/c"));
    assert_true(glob_match("a/**/b", "a/b"));
    assert_true(glob_match("a/**/b", "a/x/y/b"));
    assert_false(glob_match("a/**/b", "a/xb"));
    assert_true(glob_match("**/b/*.c", "x/y/b/z.c"));
    assert_true(glob_match("**/b/*.c", "b/b/b/z.c"));
    assert_false(glob_match("**/b/*.c", "x/y/b/z/z.c"));
    assert_true(glob_match("a**b/**/c*d", "a/x/b/y/z/cxd"));
    assert_true(glob_match("**/*/x", "a/b/x"));
    assert_false(glob_match("**/*/x", "x"));
}

static void sets_and_question_marks_take_one_character(void **state)
{
    (void)state;
    assert_true(glob_match("a?c", "abc"));
    assert_true(glob_match("a?c", "a\xc3\xa9"
                                  "c"));
    assert_true(glob_match("a?c", "a\xff"
                                  "c"));
    assert_false(glob_match("a?c", "a/c"));
    assert_true(glob_match("[a-c]x", "bx"));
    assert_false(glob_match("[!a-c]x", "bx"));
    assert_true(glob_match("[^a-c]x", "dx"));
    assert_true(glob_match("[]]", "]"));
    assert_true(glob_match("[a\\]]", "]"));
    assert_true(glob_match("[\xc3\xa0-\xc3\xaf]", "\xc3\xa9"));
    assert_false(glob_match("a[!b]c", "a/c"));
    assert_true(glob_match("[abc", "[abc"));
    assert_true(glob_match("\\*", "*"));
    assert_false(glob_match("\\*", "a"));
    assert_true(glob_match("a\\", "a\\"));
}

static void a_pattern_covers_what_is_below(void **state)
{
    (void)state;
    assert_true(glob_match_beneath("logs", "logs/a/b"));
    assert_true(glob_match_beneath("l*", "logs"));
    assert_false(glob_match_beneath("logs", "logsx/a"));
    assert_true(glob_match_beneath("**/build", "x/build/y/z"));
}

static void hostile_patterns_end_soon(void **state)
{
    char text[4001];
    (void)state;
    memset(text, 'a', 4000);
    text[4000] = '\0';
    assert_false(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
    for (size_t i = 1; i < 4000; i += 2)
        text[i] = '/';
    assert_false(glob_match("**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", text));
}

static void sizes_are_read_as_people_write_them(void **state)
{
    uint64_t bytes = 0;
    (void)state;
    assert_true(size_parse("64", 1, &bytes));
    assert_int_equal(bytes, 64);
    assert_true(size_parse("64", 1 << 20, &bytes));
    assert_int_equal(bytes, 64 << 20);
    assert_true(size_parse("64K", 1 << 20, &bytes));
    assert_int_equal(bytes, 64 << 10);
    assert_true(size_parse("1.5GiB", 1, &bytes));
    assert_int_equal(bytes, 1610612736);
    assert_true(size_parse("2mb", 1, &bytes) == false);
    assert_true(size_parse("2MB", 1, &bytes));
    assert_int_equal(bytes, 2 << 20);
    assert_true(size_parse("15E", 1, &bytes));
    assert_false(size_parse("16E", 1, &bytes));
    assert_false(size_parse("", 1, &bytes));
    assert_false(size_parse("K", 1, &bytes));
    assert_false(size_parse("1X", 1, &bytes));
    assert_false(size_parse("-1", 1, &bytes));
    assert_false(size_parse("1KK", 1, &bytes));
    assert_false(size_parse("99999999999999999999", 1, &bytes));
}

static void times_are_ages_or_moments(void **state)
{
    const int64_t second = 1000000000, now = 1795326060 * second;
    static const char *const wrong[] = {"",
                                        "7",
                                        "d",
                                        "7 d",
                                        "-7d",
                                        "7D",
                                        "1d2h",
                                        "2026",
                                        "2026-02-29",
                                        "2026-00-10",
                                        "2026-01-01T",
                                        "2026-01-01T12",
                                        "2026-01-01 24:00",
                                        "2026-01-01 23:00:60",
                                        "2026-01-01 23:00:00.",
                                        "2026-01-01Z ",
                                        "9999-01-01",
                                        "9223372036854775807w"};
    int64_t time = 0;
    (void)state;
    assert_true(time_parse("90m", now, &time) && time == now - 5400 * second);
    assert_true(time_parse("0s", now, &time) && time == now);
    assert_true(time_parse("2w", now, &time) && time == now - 1209600 * second);
    assert_true(time_parse("1970-01-01", now, &time) && time == 0);
    assert_true(time_parse("2026-11-22 05:41", now, &time) && time == now);
    assert_true(time_parse("2026-11-22T05:41:00.000000001Z", now, &time) && time == now + 1);
    assert_true(time_parse("2024-02-29", now, &time));
    assert_true(time_parse("1900-01-01", now, &time) && time < 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(time_parse(wrong[i], now, &time));
}

static void sizes_and_times_are_shown(void **state)
{
    char size[SIZE_TEXT_ROOM], time[TIME_TEXT_ROOM];
    (void)state;
    assert_string_equal(size_text(size, 0, true), "0 B");
    assert_string_equal(size_text(size, 1023, true), "1023 B");
    assert_string_equal(size_text(size, 1024, true), "1.0 KiB");
    assert_string_equal(size_text(size, 1048575, false), "1.0M");
    assert_string_equal(size_text(size, UINT64_MAX, false), "16.0E");
    assert_string_equal(time_text(time, 0, false), "1970-01-01 00:00:00");
    assert_string_equal(time_text(time, -1, true), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(time_text(time, 1795326060000000000, false), "2026-11-22 05:41:00");
}

static void terminals_are_shown_no_controls(void **state)
{
    static const char evil[] = "a\033[31m\n\t\r\x7f\xc2\x9b\xff\xe2\x80\xae"
                               "b\xc3\xa9";
    struct text text = {0};
    (void)state;
    text_add_escaped(&text, evil, sizeof evil - 1);
    assert_string_equal(text_string(&text), "a\\x1b[31m\\n\\t\\r\\x7f\\xc2\\x9b\\xff\\xe2\\x80\\xaeb\xc3\xa9");
    text_release(&text);
}

static void only_utf8_is_utf8(void **state)
{
    (void)state;
    assert_true(utf8_valid("\xf0\x9f\x98\x80", 4));
    assert_false(utf8_valid("\xf0\x9f\x98", 3));
    assert_false(utf8_valid("\xc0\x80", 2));
    assert_false(utf8_valid("\xed\xa0\x80", 3));
    assert_false(utf8_valid("\xf4\x90\x80\x80", 4));
    assert_false(utf8_valid("\x80", 1));
}

static void ranges_are_read(void **state)
{
    struct byte_range range;
    (void)state;
    assert_true(options_range("0-0", &range) && range.offset == 0 && range.length == 1);
    assert_true(options_range("5-", &range) && range.offset == 5 && range.length == ORBIT_TO_END);
    assert_true(options_range("-5", &range) && range.last && range.length == 5);
    assert_false(options_range("5", &range));
    assert_false(options_range("", &range));
    assert_false(options_range("-", &range));
    assert_false(options_range("5-4", &range));
    assert_false(options_range("a-b", &range));
    assert_false(options_range("1-2-3", &range));
}

static void misspelt_words_find_their_neighbours(void **state)
{
    (void)state;
    assert_int_equal(word_distance("recursive", "recursve"), 1);
    assert_int_equal(word_distance("", "abc"), 3);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
    assert_string_equal(verb_nearest("lst"), "ls");
    assert_null(verb_nearest("frobnicate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stars_stay_within_a_component),
        cmocka_unit_test(two_stars_cross_slashes),
        cmocka_unit_test(sets_and_question_marks_take_one_character),
        cmocka_unit_test(a_pattern_covers_what_is_below),
        cmocka_unit_test(hostile_patterns_end_soon),
        cmocka_unit_test(sizes_are_read_as_people_write_them),
        cmocka_unit_test(times_are_ages_or_moments),
        cmocka_unit_test(sizes_and_times_are_shown),
        cmocka_unit_test(terminals_are_shown_no_controls),
        cmocka_unit_test(only_utf8_is_utf8),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(misspelt_words_find_their_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
