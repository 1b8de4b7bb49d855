/* SPDX-License-Identifier: Apache-2.0
 * Trials of more ranges on machines that are played: how fast one, two and four ranges are, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/trial.h"

enum { MOST = 8 };

/* By the number of ranges: MiB a second, and nanoseconds of the processor a MiB. */
struct machine {
    uint64_t mib_per_s[MOST + 1], cost[MOST + 1];
};

static const struct machine pays = {.mib_per_s = {[1] = 1400, [2] = 1850, [4] = 3400},
                                    .cost = {[1] = 700000, [2] = 760000, [4] = 800000}};
/* Faster, but each byte costs a quarter more: a server on the second of two cores. */
static const struct machine dear = {.mib_per_s = {[1] = 760, [2] = 930}, .cost = {[1] = 1290000, [2] = 1610000}};
static const struct machine in_vain = {.mib_per_s = {[1] = 760, [2] = 800}, .cost = {[1] = 1290000, [2] = 1290000}};

static struct {
    struct orb_trial trial;
    uint32_t ranges, most;
    uint64_t now_ns;
    unsigned changes;
    uint64_t more_ns; /* with more than one */
} run;

static int setup(void **state)
{
    (void)state;
    memset(&run, 0, sizeof(run));
    run.ranges = 1;
    run.most = 2;
    run.now_ns = 7 * ORB_S;
    orb_trial_start(&run.trial);
    return 0;
}

static void look(const struct machine *machine)
{
    uint64_t wait_ns = orb_trial_wait_ms(&run.trial) * ORB_MS;
    run.now_ns += wait_ns;
    run.more_ns += run.ranges > 1 ? wait_ns : 0;
    const struct orb_trial_rate rate = {machine->mib_per_s[run.ranges] << 20, machine->cost[run.ranges]};
    uint32_t next = orb_trial_look(&run.trial, rate, run.ranges, run.most, run.now_ns);
    assert_in_range(next, 1, run.most);
    run.changes += next != run.ranges;
    run.ranges = next;
}

static void look_for(const struct machine *machine, uint64_t ms)
{
    for (uint64_t end_ns = run.now_ns + ms * ORB_MS; run.now_ns < end_ns;)
        look(machine);
}

static void what_pays_is_kept_at_once(void **state)
{
    (void)state;
    look(&pays);
    assert_int_equal(run.ranges, 2);
    look_for(&pays, 6000);
    assert_int_equal(run.ranges, 2);
    assert_int_equal(run.changes, 1);
}

static void four_cores_are_found_in_two_steps(void **state)
{
    (void)state;
    run.most = 5;
    look_for(&pays, 500);
    assert_int_equal(run.ranges, 4);
    assert_int_equal(run.changes, 2);
}

static void three_lanes_take_two_ranges(void **state)
{
    (void)state;
    run.most = 3;
    look_for(&pays, 2000);
    assert_int_equal(run.ranges, 2);
}

static void one_lane_tries_nothing(void **state)
{
    (void)state;
    run.most = 1;
    look_for(&pays, 2000);
    assert_int_equal(run.changes, 0);
}

static void what_costs_more_than_it_brings_is_not_kept(void **state)
{
    (void)state;
    look_for(&dear, 60000);
    assert_int_equal(run.ranges, 1);
    assert_true(run.more_ns < 60000 * ORB_MS / 50); /* and is tried ever more seldom */
    assert_true(run.changes >= 8);
}

static void what_brings_little_is_not_kept(void **state)
{
    (void)state;
    look_for(&in_vain, 60000);
    assert_int_equal(run.ranges, 1);
    assert_true(run.more_ns < 60000 * ORB_MS / 50);
}

static void a_trial_that_goes_wrong_by_chance_is_made_again_soon(void **state)
{
    (void)state;
    const struct machine stumbles = {.mib_per_s = {[1] = 1400, [2] = 900}, .cost = {[1] = 700000, [2] = 760000}};
    look(&stumbles);
    look(&stumbles);
    assert_int_equal(run.ranges, 1);
    look_for(&pays, 200);
    assert_int_equal(run.ranges, 2);
}

static void what_was_better_for_a_moment_only_is_given_up(void **state)
{
    (void)state;
    look(&pays);
    look(&pays);
    assert_int_equal(orb_trial_wait_ms(&run.trial), 160);
    look(&dear);
    assert_int_equal(run.ranges, 1);
}

static void one_slow_look_is_not_what_fewer_bring(void **state)
{
    (void)state;
    const struct machine slow = {.mib_per_s = {[1] = 700}, .cost = {[1] = 700000}};
    run.trial.next_ns = run.now_ns + 150 * ORB_MS;
    look_for(&in_vain, 120);
    look(&slow);
    assert_int_equal(run.ranges, 2);
    assert_true(run.trial.few.per_s > (uint64_t)740 << 20);
}

static void what_is_kept_must_stay_better(void **state)
{
    (void)state;
    look_for(&pays, 1000);
    assert_int_equal(run.ranges, 2);
    const struct machine now_dear = {.mib_per_s = {[1] = 1400, [2] = 1650}, .cost = {[1] = 700000, [2] = 900000}};
    look_for(&now_dear, 1000);
    assert_int_equal(run.ranges, 1);
}

static void one_slow_look_of_what_is_kept_is_forgiven(void **state)
{
    (void)state;
    look_for(&pays, 1000);
    const struct machine stumbles = {.mib_per_s = {[2] = 1500}, .cost = {[2] = 800000}};
    look(&stumbles);
    look_for(&pays, 200);
    assert_int_equal(run.ranges, 2);
    assert_int_equal(run.changes, 1);
}

static void what_was_kept_by_chance_is_compared_anew(void **state)
{
    (void)state;
    const struct machine starved = {.mib_per_s = {[1] = 300}, .cost = {[1] = 2000000}};
    look(&starved); /* something else had the processor */
    look_for(&dear, 1000);
    assert_int_equal(run.ranges, 2);
    look_for(&dear, 6400);
    assert_int_equal(run.ranges, 1);
}

static void what_is_compared_anew_and_pays_is_kept(void **state)
{
    (void)state;
    look_for(&pays, 60000);
    assert_int_equal(run.ranges, 2);
    assert_in_range(run.changes, 10, 20);
    assert_true(run.more_ns > 60000 * ORB_MS / 100 * 98);
}

static void a_machine_that_tells_no_cost_goes_by_speed(void **state)
{
    (void)state;
    const struct machine mute = {.mib_per_s = {[1] = 760, [2] = 930}};
    look_for(&mute, 1000);
    assert_int_equal(run.ranges, 2);
}

static void a_trial_is_forgotten_when_something_else_decides(void **state)
{
    (void)state;
    look(&pays);
    orb_trial_forget(&run.trial);
    run.ranges = 1;
    look(&dear);
    look(&dear);
    assert_int_equal(run.ranges, 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_pays_is_kept_at_once),
        TEST(four_cores_are_found_in_two_steps),
        TEST(three_lanes_take_two_ranges),
        TEST(one_lane_tries_nothing),
        TEST(what_costs_more_than_it_brings_is_not_kept),
        TEST(what_brings_little_is_not_kept),
        TEST(a_trial_that_goes_wrong_by_chance_is_made_again_soon),
        TEST(what_was_better_for_a_moment_only_is_given_up),
        TEST(one_slow_look_is_not_what_fewer_bring),
        TEST(what_is_kept_must_stay_better),
        TEST(one_slow_look_of_what_is_kept_is_forgiven),
        TEST(what_was_kept_by_chance_is_compared_anew),
        TEST(what_is_compared_anew_and_pays_is_kept),
        TEST(a_machine_that_tells_no_cost_goes_by_speed),
        TEST(a_trial_is_forgotten_when_something_else_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
