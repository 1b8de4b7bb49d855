/* SPDX-License-Identifier: Apache-2.0
 * What silence is usual, who is silent for too long, and what that may cost: on a clock of the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/patience.h"

static struct orb_patience patience;
static uint64_t now;

static int setup(void **state)
{
    (void)state;
    memset(&patience, 0, sizeof(patience));
    now = 1000 * ORB_S;
    return 0;
}

/* `count` requests, one after the other, each silent for `silence_ns`. */
static void answer(orbit_request request, unsigned count, uint64_t silence_ns)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t began = now;
        now += silence_ns;
        orb_patience_answered(&patience, request, began, silence_ns);
    }
}

static bool is_over(orbit_request request, uint32_t attempt, uint64_t since_ns)
{
    return orb_patience_is_over(&patience, request, attempt, since_ns, now);
}

static void while_nothing_is_usual_everybody_is_waited_for(void **state)
{
    (void)state;
    uint64_t since = now;
    answer(ORBIT_REQUEST_PUT, 7, 10 * ORB_MS);
    now += 100 * ORB_S;
    assert_false(is_over(ORBIT_REQUEST_PUT, 1, since));
    assert_int_equal(orb_patience_place_ns(&patience, ORBIT_REQUEST_PUT), ORB_S);
    answer(ORBIT_REQUEST_PUT, 1, 10 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_PUT, 1, since));
    assert_false(is_over(ORBIT_REQUEST_PART, 1, since)); /* of its own kind nothing is known */
}

static void who_is_overtaken_by_others_is_lost(void **state)
{
    (void)state;
    answer(ORBIT_REQUEST_READ, 100, 20 * ORB_MS);
    uint64_t since = now;
    now += 2 * ORB_S;
    assert_false(is_over(ORBIT_REQUEST_READ, 1, since)); /* nobody came through: the store is slow, or away */
    answer(ORBIT_REQUEST_READ, 2, 20 * ORB_MS);
    answer(ORBIT_REQUEST_PUT, 10, 20 * ORB_MS);
    assert_false(is_over(ORBIT_REQUEST_READ, 1, since)); /* and those that write are others */
    answer(ORBIT_REQUEST_STAT, 1, 20 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_READ, 1, since));
    /* Nobody comes after the last one: it is given more time. */
    since = now;
    now += 2900 * ORB_MS;
    assert_false(is_over(ORBIT_REQUEST_READ, 1, since));
    now += 200 * ORB_MS;
    assert_true(is_over(ORBIT_REQUEST_READ, 1, since));
}

static void a_store_that_is_slow_has_as_much_more_time(void **state)
{
    (void)state;
    answer(ORBIT_REQUEST_READ, 100, 20 * ORB_MS);
    uint64_t since = now;
    answer(ORBIT_REQUEST_READ, 49, 20 * ORB_MS);
    assert_false(is_over(ORBIT_REQUEST_READ, 1, since)); /* not in the first second, however quick it is */
    answer(ORBIT_REQUEST_READ, 2, 20 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_READ, 1, since));

    setup(NULL);
    answer(ORBIT_REQUEST_READ, 100, 2 * ORB_S);
    since = now;
    answer(ORBIT_REQUEST_READ, 7, 2 * ORB_S);
    assert_false(is_over(ORBIT_REQUEST_READ, 1, since)); /* 14 s, of 2 that are usual */
    answer(ORBIT_REQUEST_READ, 5, 2 * ORB_S);
    assert_true(is_over(ORBIT_REQUEST_READ, 1, since));
    assert_in_range(orb_patience_place_ns(&patience, ORBIT_REQUEST_READ), 8 * ORB_S, 10 * ORB_S);
}

static void each_further_attempt_has_twice_the_time_and_the_last_ones_all_of_it(void **state)
{
    (void)state;
    answer(ORBIT_REQUEST_READ, 100, 20 * ORB_MS);
    uint64_t since = now;
    answer(ORBIT_REQUEST_READ, 75, 20 * ORB_MS); /* 1.5 s */
    assert_true(is_over(ORBIT_REQUEST_READ, 1, since));
    assert_false(is_over(ORBIT_REQUEST_READ, 2, since));
    answer(ORBIT_REQUEST_READ, 50, 20 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_READ, 2, since));
    assert_false(is_over(ORBIT_REQUEST_READ, 3, since));
    answer(ORBIT_REQUEST_READ, 5000, 20 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_READ, 3, since));
    assert_false(is_over(ORBIT_REQUEST_READ, 4, since));
}

static void the_end_of_an_upload_has_more_time(void **state)
{
    (void)state;
    answer(ORBIT_REQUEST_FINISH, 100, 20 * ORB_MS);
    uint64_t since = now;
    answer(ORBIT_REQUEST_PART, 350, 20 * ORB_MS); /* 7 s */
    assert_false(is_over(ORBIT_REQUEST_FINISH, 1, since));
    answer(ORBIT_REQUEST_PART, 100, 20 * ORB_MS);
    assert_true(is_over(ORBIT_REQUEST_FINISH, 1, since));
}

/* A store that answers half of what it is asked, and lets the others hang. */
static void one_in_eight_is_asked_again_at_most(void **state)
{
    (void)state;
    unsigned hurried = 0, answered = 0;
    answer(ORBIT_REQUEST_READ, 16, 20 * ORB_MS);
    for (; answered < 400; answered++) {
        uint64_t since = now - 10 * ORB_S;
        answer(ORBIT_REQUEST_READ, 1, 20 * ORB_MS);
        if (is_over(ORBIT_REQUEST_READ, 1, since)) {
            orb_patience_hurried(&patience);
            hurried++;
        }
    }
    assert_in_range(hurried, 20, (answered + 16 + hurried) / 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(while_nothing_is_usual_everybody_is_waited_for, setup),
        cmocka_unit_test_setup(who_is_overtaken_by_others_is_lost, setup),
        cmocka_unit_test_setup(a_store_that_is_slow_has_as_much_more_time, setup),
        cmocka_unit_test_setup(each_further_attempt_has_twice_the_time_and_the_last_ones_all_of_it, setup),
        cmocka_unit_test_setup(the_end_of_an_upload_has_more_time, setup),
        cmocka_unit_test_setup(one_in_eight_is_asked_again_at_most, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
