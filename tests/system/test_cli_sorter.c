/* SPDX-License-Identifier: Apache-2.0
 * The sort of listings: order, lines of any length, and a fixed memory however many lines there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/sorter.h"
#include "../../cli/text.h"

static bool collect(void *ctx, const char *bytes, size_t length)
{
    text_add(ctx, bytes, length);
    return true;
}

static void add(struct sorter *sorter, uint64_t rank, const char *name, const char *line)
{
    orbit_error error;
    assert_true(sorter_add(sorter, rank, name, strlen(name), line, strlen(line), &error));
}

static void assert_gives(struct sorter *sorter, const char *expected)
{
    struct text text = {0};
    orbit_error error;
    assert_true(sorter_finish(sorter, collect, &text, &error));
    assert_string_equal(text_string(&text), expected);
    text_release(&text);
    sorter_free(sorter);
}

static void ranks_decide_before_names(void **state)
{
    struct sorter *sorter = sorter_new(SORTER_BYTES);
    (void)state;
    add(sorter, 2, "a", "4");
    add(sorter, UINT64_MAX, "", "5");
    add(sorter, 1, "b", "3");
    add(sorter, 1, "ab", "2");
    add(sorter, 1, "a", "1");
    assert_gives(sorter, "12345");
}

static void nothing_is_sorted_too(void **state)
{
    (void)state;
    assert_gives(sorter_new(SORTER_BYTES), "");
    sorter_free(NULL);
}

static void equal_lines_keep_their_order(void **state)
{
    struct sorter *sorter = sorter_new(4096);
    struct text expected = {0};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char line[16];
        snprintf(line, sizeof(line), "%d,", i);
        add(sorter, 7, "same", line);
        text_add_string(&expected, line);
    }
    assert_gives(sorter, expected.bytes);
    text_release(&expected);
}

/* Enough runs for several levels of merging; names that differ at their ends only. */
static void many_runs_make_one_order(void **state)
{
    enum { COUNT = 200000 };
    struct sorter *sorter = sorter_new(4096);
    struct text text = {0};
    orbit_error error;
    uint32_t seed = 12345;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        char name[64], line[64];
        seed = seed * 1664525 + 1013904223;
        snprintf(name, sizeof(name), "a/long/common/part/of/the/name/%010u", seed);
        snprintf(line, sizeof(line), "%010u\n", seed);
        add(sorter, 0, name, line);
    }
    assert_true(sorter_finish(sorter, collect, &text, &error));
    assert_int_equal(text.length, COUNT * 11);
    for (size_t i = 11; i < text.length; i += 11)
        assert_true(memcmp(text.bytes + i - 11, text.bytes + i, 11) <= 0);
    text_release(&text);
    sorter_free(sorter);
}

/* Longer than the whole memory of the sort. */
static void a_line_of_any_length_is_sorted(void **state)
{
    struct sorter *sorter = sorter_new(4096);
    struct text expected = {0};
    char *name = malloc(100001), *line = malloc(50001);
    (void)state;
    memset(name, 'n', 100000);
    memset(line, 'x', 50000);
    name[100000] = line[50000] = '\0';
    for (int i = 9; i >= 0; i--) {
        name[99999] = (char)('0' + i);
        line[0] = (char)('0' + i);
        add(sorter, 0, name, line);
    }
    add(sorter, 0, "z", "last");
    add(sorter, 0, "a", "first");
    text_add_string(&expected, "first");
    for (int i = 0; i <= 9; i++) {
        line[0] = (char)('0' + i);
        text_add_string(&expected, line);
    }
    text_add_string(&expected, "last");
    assert_gives(sorter, expected.bytes);
    text_release(&expected);
    free(name);
    free(line);
}

static bool stop(void *ctx, const char *bytes, size_t length)
{
    (void)bytes;
    (void)length;
    ++*(int *)ctx;
    return false;
}

static void a_reader_that_stops_is_no_failure(void **state)
{
    (void)state;
    for (int spilled = 0; spilled < 2; spilled++) {
        struct sorter *sorter = sorter_new(4096);
        orbit_error error;
        int calls = 0;
        for (int i = 0; i < (spilled ? 1000 : 3); i++)
            add(sorter, 0, "name", "line");
        assert_true(sorter_finish(sorter, stop, &calls, &error));
        assert_int_equal(calls, 1);
        sorter_free(sorter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_decide_before_names),      cmocka_unit_test(nothing_is_sorted_too),
        cmocka_unit_test(equal_lines_keep_their_order),   cmocka_unit_test(many_runs_make_one_order),
        cmocka_unit_test(a_line_of_any_length_is_sorted), cmocka_unit_test(a_reader_that_stops_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
