/* SPDX-License-Identifier: Apache-2.0
 * The histograms of what is usual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/tail.h"

static void nothing_is_usual_before_there_is_something(void **state)
{
    (void)state;
    struct orb_tail_values values = {0};
    assert_int_equal(orb_tail_quantile(&values, 50), 0);
    assert_int_equal(orb_tail_quantile(&values, 100), 0);
}

static void quantiles_are_within_a_quarter(void **state)
{
    (void)state;
    struct orb_tail_values values = {0};
    for (uint64_t i = 1; i <= 200; i++)
        orb_tail_add(&values, i * 1000000);
    for (unsigned percent = 10; percent <= 100; percent += 10) {
        uint64_t exact = percent * 2000000ull, got = orb_tail_quantile(&values, percent);
        assert_true(got >= exact && got <= exact + exact / 4 + 1);
    }
}

static void outliers_do_not_move_the_median(void **state)
{
    (void)state;
    struct orb_tail_values values = {0};
    for (int i = 0; i < 95; i++)
        orb_tail_add(&values, 20000000);
    for (int i = 0; i < 5; i++)
        orb_tail_add(&values, 400000000);
    assert_true(orb_tail_quantile(&values, 50) <= 25000000);
    assert_true(orb_tail_quantile(&values, 90) <= 25000000);
    assert_true(orb_tail_quantile(&values, 99) >= 400000000);
}

static void what_was_usual_long_ago_fades(void **state)
{
    (void)state;
    struct orb_tail_values values = {0};
    for (int i = 0; i < 100000; i++)
        orb_tail_add(&values, 1000000);
    for (int i = 0; i < 400; i++)
        orb_tail_add(&values, 64000000);
    assert_true(orb_tail_quantile(&values, 50) >= 64000000);
}

static void any_value_has_a_bucket(void **state)
{
    (void)state;
    struct orb_tail_values values = {0};
    orb_tail_add(&values, 0);
    assert_true(orb_tail_quantile(&values, 50) > 0);
    orb_tail_add(&values, UINT64_MAX);
    assert_true(orb_tail_quantile(&values, 100) > (uint64_t)1 << 41);
}

static void pace_and_time_are_each_others_inverse(void **state)
{
    (void)state;
    uint64_t pace = orb_tail_pace(40 << 20, 1000000000);
    assert_in_range(pace, 24999999, 25000001);
    assert_in_range(orb_tail_time(80 << 20, pace), 1999999900, 2000000100);
    assert_true(orb_tail_pace(0, 5) == UINT64_MAX);
    assert_true(orb_tail_pace(UINT64_MAX, 1) == 1);
    assert_true(orb_tail_time(1 << 20, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_usual_before_there_is_something),
        cmocka_unit_test(quantiles_are_within_a_quarter),
        cmocka_unit_test(outliers_do_not_move_the_median),
        cmocka_unit_test(what_was_usual_long_ago_fades),
        cmocka_unit_test(any_value_has_a_bucket),
        cmocka_unit_test(pace_and_time_are_each_others_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
