/* SPDX-License-Identifier: Apache-2.0
 * How streams are cut into parts: sizes, counts, hints, ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "engine/parts.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

static const struct orb_parts_rule s3 = {
    .chunk = 8 * MIB, .part_min = 5 * MIB, .part_max = 5 * GIB, .count_max = 10000};

static struct orb_parts plan(const struct orb_parts_rule *rule, uint64_t size, bool exact)
{
    struct orb_parts parts;
    orbit_error error = {0};
    assert_int_equal(orb_parts_plan(&parts, rule, size, exact, "x", &error), ORBIT_OK);
    return parts;
}

/* Cuts `size` bytes as a writer would; returns the number of parts, 0 when the store took no more. */
static uint32_t cut(const struct orb_parts *parts, uint64_t size)
{
    const struct orb_parts_rule *rule = &parts->rule;
    uint64_t offset = 0;
    uint32_t number = 0;
    while (offset < size) {
        uint64_t bytes = orb_parts_next(parts, ++number, offset);
        if (bytes == 0)
            return 0;
        uint64_t rest = size - offset;
        if (bytes < rest) { /* not the last one */
            assert_true(bytes >= rule->part_min);
            if (rule->equal)
                assert_int_equal(bytes, parts->base);
        }
        if (rule->part_max)
            assert_true(bytes <= rule->part_max);
        if (rule->memory_max)
            assert_true(bytes <= rule->memory_max);
        assert_true(orb_parts_least(parts, number, offset) <= bytes);
        offset += bytes < rest ? bytes : rest;
    }
    if (rule->count_max)
        assert_true(number <= rule->count_max);
    return number;
}

static void known_sizes_fit_whatever_they_are(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1,        5 * MIB - 1,         8 * MIB - 1,     8 * MIB,   8 * MIB + 1, GIB,
                              78 * GIB, 80000 * MIB,         80000 * MIB + 1, 100 * GIB, 5 * TIB,     5 * TIB + 1,
                              48 * TIB, 10000 * 5 * GIB - 1, 10000 * 5 * GIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct orb_parts parts = plan(&s3, sizes[i], true);
        assert_true(cut(&parts, sizes[i]) > 0);
        assert_true(parts.base % MIB == 0);
    }
}

static void five_tib_need_parts_of_at_least_525_mib(void **state)
{
    (void)state;
    struct orb_parts parts = plan(&s3, 5 * TIB, true);
    assert_int_equal(parts.base, 525 * MIB);
    assert_true(cut(&parts, 5 * TIB) <= 10000);
}

static void a_chunk_that_suffices_is_kept(void **state)
{
    (void)state;
    struct orb_parts parts = plan(&s3, 10000 * 8 * MIB, true);
    assert_int_equal(parts.base, 8 * MIB);
    assert_int_equal(cut(&parts, 10000 * 8 * MIB), 10000);
    parts = plan(&s3, 10000 * 8 * MIB + 1, true);
    assert_int_equal(parts.base, 9 * MIB);
}

static void more_than_the_store_takes_is_refused_before_the_first_byte(void **state)
{
    (void)state;
    struct orb_parts parts;
    orbit_error error = {0};
    assert_int_equal(orb_parts_plan(&parts, &s3, 10000 * 5 * GIB + 1, true, "big", &error), ORBIT_E_LIMIT);
    assert_non_null(strstr(error.message, "big"));
    assert_non_null(strstr(error.message, "10000 parts"));

    struct orb_parts_rule small = s3;
    small.object_max = 5 * TIB;
    assert_int_equal(orb_parts_plan(&parts, &small, 5 * TIB + 1, true, "big", &error), ORBIT_E_LIMIT);
    assert_int_equal(orb_parts_plan(&parts, &small, 5 * TIB, true, "big", &error), ORBIT_OK);
}

static void parts_too_large_for_memory_are_refused_with_advice(void **state)
{
    (void)state;
    struct orb_parts parts;
    orbit_error error = {0};
    struct orb_parts_rule rule = s3;
    rule.memory_max = 32 * MIB;
    assert_int_equal(orb_parts_plan(&parts, &rule, 5 * TIB, false, "big", &error), ORBIT_E_LIMIT);
    assert_non_null(strstr(error.message, "memory_bytes"));
    assert_non_null(strstr(error.message, "2100 MiB"));
    rule.part_min = 64 * MIB;
    assert_int_equal(orb_parts_plan(&parts, &rule, 1, false, "big", &error), ORBIT_E_LIMIT);
}

static void a_store_of_a_thousand_parts_gets_larger_ones(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.count_max = 1000;
    struct orb_parts parts = plan(&rule, 100 * GIB, true);
    assert_int_equal(parts.base, 103 * MIB);
    assert_true(cut(&parts, 100 * GIB) > 0);
    rule.memory_max = 32 * MIB;
    parts = plan(&rule, ORBIT_SIZE_UNKNOWN, false);
    assert_int_equal(orb_parts_next(&parts, 100, 99 * 8 * MIB), 8 * MIB);
    assert_int_equal(orb_parts_next(&parts, 101, 100 * 8 * MIB), 16 * MIB);
}

static void unknown_lengths_grow_late_and_reach_far(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.memory_max = 32 * MIB; /* a quarter of the default budget */
    struct orb_parts parts = plan(&rule, ORBIT_SIZE_UNKNOWN, false);
    assert_int_equal(orb_parts_next(&parts, 1, 0), 8 * MIB);
    assert_int_equal(orb_parts_next(&parts, 1000, 0), 8 * MIB);
    assert_int_equal(orb_parts_next(&parts, 1001, 0), 16 * MIB);
    assert_int_equal(orb_parts_next(&parts, 2001, 0), 32 * MIB);
    assert_int_equal(orb_parts_next(&parts, 10000, 0), 32 * MIB);
    assert_int_equal(orb_parts_next(&parts, 10001, 0), 0);
    assert_true(cut(&parts, 60 * GIB) > 0);
    assert_false(orb_parts_leaves_first_tier(&parts, 1000, 0));
    assert_true(orb_parts_leaves_first_tier(&parts, 1001, 0));
    assert_false(orb_parts_leaves_first_tier(&parts, 1002, 0));
}

static void without_a_memory_limit_unknown_lengths_reach_terabytes(void **state)
{
    (void)state;
    struct orb_parts parts = plan(&s3, ORBIT_SIZE_UNKNOWN, false);
    assert_true(orb_parts_ceiling(&parts) > 5 * TIB);
}

static void the_ceiling_is_what_a_stream_really_reaches(void **state)
{
    (void)state;
    const uint64_t hints[] = {ORBIT_SIZE_UNKNOWN, 0, 1, 8 * MIB, 100 * MIB, 20 * GIB, 70 * GIB, 90 * GIB, 200 * GIB};
    for (int equal = 0; equal < 2; equal++)
        for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
            for (uint32_t count = 1000; count <= 10000; count += 9000) {
                struct orb_parts_rule rule = s3;
                struct orb_parts parts;
                rule.memory_max = 32 * MIB;
                rule.count_max = count;
                rule.equal = equal;
                if (orb_parts_plan(&parts, &rule, hints[i], false, "x", NULL) < 0)
                    continue;
                uint64_t ceiling = orb_parts_ceiling(&parts);
                assert_int_equal(cut(&parts, ceiling), count);
                assert_int_equal(cut(&parts, ceiling + 1), 0);
            }
}

static void a_hint_that_is_too_small_costs_no_data(void **state)
{
    (void)state;
    const uint64_t hints[] = {0, 1, 8 * MIB, 500 * MIB, 10 * GIB, 60 * GIB};
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        struct orb_parts_rule rule = s3;
        rule.memory_max = 32 * MIB;
        struct orb_parts parts = plan(&rule, hints[i], false);
        assert_true(cut(&parts, 80 * GIB) > 0);
    }
}

static void a_hint_that_is_too_large_costs_no_data(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.memory_max = 32 * MIB;
    struct orb_parts parts = plan(&rule, 250 * GIB, false);
    assert_int_equal(cut(&parts, 1), 1);
    assert_true(cut(&parts, 250 * GIB) > 0);
}

static void a_hint_leaves_numbers_for_a_stream_that_is_longer(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.memory_max = 32 * MIB;
    struct orb_parts parts = plan(&rule, 78 * GIB, false);
    assert_true(orb_parts_ceiling(&parts) > 100 * GIB);
}

static void equal_parts_stay_equal(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.equal = true;
    struct orb_parts parts = plan(&rule, ORBIT_SIZE_UNKNOWN, false);
    assert_int_equal(orb_parts_next(&parts, 9999, 9998 * 8 * MIB), 8 * MIB);
    assert_int_equal(orb_parts_least(&parts, 1, 0), 8 * MIB);
    assert_int_equal(orb_parts_ceiling(&parts), 10000 * 8 * MIB);
    parts = plan(&rule, 100 * GIB, true);
    assert_int_equal(parts.base, 11 * MIB);
    assert_true(cut(&parts, 100 * GIB) > 0);
}

static void parts_made_small_are_made_up_for_by_later_ones(void **state)
{
    (void)state;
    struct orb_parts parts = plan(&s3, 10000 * 8 * MIB, true);
    /* The first 100 were of 5 MiB only. */
    uint64_t offset = 100 * 5 * MIB;
    uint32_t number = 101;
    while (offset < parts.size) {
        uint64_t bytes = orb_parts_next(&parts, number++, offset);
        assert_true(bytes > 0);
        offset += bytes;
    }
    assert_int_equal(offset, parts.size);
}

static void no_count_means_no_ceiling(void **state)
{
    (void)state;
    const struct orb_parts_rule local = {.chunk = MIB, .part_min = 1};
    struct orb_parts parts = plan(&local, ORBIT_SIZE_UNKNOWN, false);
    assert_true(orb_parts_ceiling(&parts) == ORBIT_SIZE_UNKNOWN);
    assert_int_equal(orb_parts_next(&parts, 4000000000u, 100 * TIB), MIB);
    assert_int_equal(orb_parts_least(&parts, 1, 0), 256 * KIB);
    struct orb_parts_rule capped = local;
    capped.object_max = 10 * MIB + 5;
    parts = plan(&capped, ORBIT_SIZE_UNKNOWN, false);
    assert_true(orb_parts_ceiling(&parts) == 10 * MIB + 5);
    assert_int_equal(orb_parts_next(&parts, 11, 10 * MIB), 5);
    assert_int_equal(orb_parts_next(&parts, 12, 10 * MIB + 5), 0);
}

static void a_chunk_below_the_smallest_part_is_raised(void **state)
{
    (void)state;
    struct orb_parts_rule rule = s3;
    rule.chunk = 1;
    struct orb_parts parts = plan(&rule, ORBIT_SIZE_UNKNOWN, false);
    assert_int_equal(parts.base, 5 * MIB);
    rule.chunk = 100 * GIB;
    parts = plan(&rule, GIB, true);
    assert_int_equal(parts.base, 5 * GIB);
}

static void impossible_rules_are_a_configuration_error(void **state)
{
    (void)state;
    struct orb_parts parts;
    orbit_error error = {0};
    struct orb_parts_rule rule = s3;
    rule.part_min = 6 * GIB;
    assert_int_equal(orb_parts_plan(&parts, &rule, 1, true, "x", &error), ORBIT_E_CONFIG);
}

static void an_exact_length_ends_with_its_last_part(void **state)
{
    (void)state;
    struct orb_parts parts = plan(&s3, 20 * MIB, true);
    assert_int_equal(orb_parts_next(&parts, 3, 16 * MIB), 4 * MIB);
    assert_int_equal(orb_parts_next(&parts, 4, 20 * MIB), 0);
    parts = plan(&s3, 0, true);
    assert_int_equal(orb_parts_next(&parts, 1, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sizes_fit_whatever_they_are),
        cmocka_unit_test(five_tib_need_parts_of_at_least_525_mib),
        cmocka_unit_test(a_chunk_that_suffices_is_kept),
        cmocka_unit_test(more_than_the_store_takes_is_refused_before_the_first_byte),
        cmocka_unit_test(parts_too_large_for_memory_are_refused_with_advice),
        cmocka_unit_test(a_store_of_a_thousand_parts_gets_larger_ones),
        cmocka_unit_test(unknown_lengths_grow_late_and_reach_far),
        cmocka_unit_test(without_a_memory_limit_unknown_lengths_reach_terabytes),
        cmocka_unit_test(the_ceiling_is_what_a_stream_really_reaches),
        cmocka_unit_test(a_hint_that_is_too_small_costs_no_data),
        cmocka_unit_test(a_hint_that_is_too_large_costs_no_data),
        cmocka_unit_test(a_hint_leaves_numbers_for_a_stream_that_is_longer),
        cmocka_unit_test(equal_parts_stay_equal),
        cmocka_unit_test(parts_made_small_are_made_up_for_by_later_ones),
        cmocka_unit_test(no_count_means_no_ceiling),
        cmocka_unit_test(a_chunk_below_the_smallest_part_is_raised),
        cmocka_unit_test(impossible_rules_are_a_configuration_error),
        cmocka_unit_test(an_exact_length_ends_with_its_last_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
