/* SPDX-License-Identifier: Apache-2.0
 * What one endpoint gets at once: turns, places, the number that is looked for. Calls are made of nothing but what the
 * flow looks at; the clock is the tests', but where the pace's timer is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/call.h"
#include "engine/climb.h"

#define CALLS 256

struct world {
    struct orbit_host host;
    struct orb_backend backend, other;
    struct orb_flow *flow;
    struct orb_call calls[CALLS];
    uint64_t now;
};

static struct orb_call *gone[CALLS * 8];
static unsigned went;

static void go(struct orb_call *call)
{
    gone[went++ % (CALLS * 8)] = call;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    orbit_error error;
    assert_non_null(world);
    assert_int_equal(orb_loop_new(&world->host.loop, "test", true, &error), ORBIT_OK);
    world->backend.host = world->other.host = &world->host;
    world->backend.caps.parallel_default = world->other.caps.parallel_default = 4;
    world->flow = orb_flow_of(&world->backend);
    world->now = orb_now_ns();
    went = 0;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    orb_flow_release(&world->backend);
    orb_flow_release(&world->other);
    orb_loop_free(world->host.loop);
    free(world);
    return 0;
}

static bool enter(struct world *world, unsigned n, enum orb_flow_kind kind, struct orb_turn *turn)
{
    struct orb_call *call = &world->calls[n];
    memset(call, 0, sizeof(*call));
    call->kind = kind;
    call->turn = turn;
    call->attempt_ns = world->now;
    return orb_flow_enter(world->flow, call, go, world->now);
}

static void leave(struct world *world, unsigned n, enum orb_flow_result result)
{
    orb_flow_left(world->flow, &world->calls[n], result, world->now);
}

/* ---- who is next ----------------------------------------------------------------------------------- */

static void streams_take_turns(void **state)
{
    struct world *world = *state;
    struct orb_turn greedy = {0}, modest = {0}, third = {0};
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(enter(world, i, ORB_FLOW_BULK, &greedy), i < 4);
    assert_false(enter(world, 10, ORB_FLOW_BULK, &modest));
    assert_false(enter(world, 11, ORB_FLOW_BULK, &modest));
    assert_false(enter(world, 12, ORB_FLOW_BULK, &third));
    for (unsigned i = 0; i < 4; i++)
        leave(world, i, ORB_FLOW_ANSWERED);
    assert_int_equal(went, 4);
    assert_ptr_equal(gone[0], &world->calls[4]);
    assert_ptr_equal(gone[1], &world->calls[10]);
    assert_ptr_equal(gone[2], &world->calls[12]);
    assert_ptr_equal(gone[3], &world->calls[5]);
    for (unsigned i = 4; i < 13; i++)
        if (world->calls[i].queued)
            orb_flow_withdraw(world->flow, &world->calls[i]);
}

static void each_stream_is_told_its_part(void **state)
{
    struct world *world = *state;
    struct orb_turn one = {0}, two = {0};
    assert_int_equal(orb_flow_share(&world->backend, &one, 64), 4);
    assert_int_equal(orb_flow_share(&world->backend, &one, 3), 3);
    assert_true(enter(world, 0, ORB_FLOW_BULK, &one));
    assert_int_equal(orb_flow_share(&world->backend, &one, 64), 4);
    assert_int_equal(orb_flow_share(&world->backend, &two, 64), 2);
    assert_true(enter(world, 1, ORB_FLOW_BULK, &two));
    assert_int_equal(orb_flow_share(&world->backend, &one, 64), 2);
    leave(world, 1, ORB_FLOW_ANSWERED);
    assert_int_equal(orb_flow_share(&world->backend, &one, 64), 4);
    leave(world, 0, ORB_FLOW_ANSWERED);
}

static void small_requests_do_not_wait_for_transfers(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0};
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(enter(world, i, ORB_FLOW_BULK, &turn), i < 4);
    assert_true(enter(world, 20, ORB_FLOW_SMALL, NULL));
    /* Nor transfers for small ones. */
    for (unsigned i = 21; i < 60; i++)
        assert_int_equal(enter(world, i, ORB_FLOW_SMALL, NULL), i < 24);
    leave(world, 0, ORB_FLOW_ANSWERED);
    assert_ptr_equal(gone[0], &world->calls[4]);
    leave(world, 20, ORB_FLOW_ANSWERED);
    assert_ptr_equal(gone[1], &world->calls[24]);
    for (unsigned i = 0; i < 60; i++)
        if (world->calls[i].queued)
            orb_flow_withdraw(world->flow, &world->calls[i]);
}

/* Requests that hang are told of when their time is up, long after those that were answered. */
static void a_few_that_hang_do_not_lower_the_number(void **state)
{
    struct world *world = *state;
    uint32_t limit = orb_flow_limit(world->flow);
    for (unsigned i = 0; i < 3; i++)
        assert_true(enter(world, i, ORB_FLOW_SMALL, NULL));
    for (unsigned i = 10; i < 40; i++) {
        world->now += 10 * ORB_MS;
        assert_true(enter(world, i, ORB_FLOW_BULK, NULL));
        leave(world, i, ORB_FLOW_ANSWERED);
    }
    world->now += 15 * ORB_S;
    for (unsigned i = 0; i < 3; i++)
        leave(world, i, ORB_FLOW_LATE);
    assert_true(orb_flow_limit(world->flow) >= limit);
    /* A store that answers nothing any more gets fewer. */
    for (unsigned i = 0; i < 8; i++) {
        assert_true(enter(world, 0, ORB_FLOW_SMALL, NULL));
        leave(world, 0, ORB_FLOW_LATE);
    }
    assert_true(orb_flow_limit(world->flow) < limit);
}

static void a_fixed_number_never_waits(void **state)
{
    struct world *world = *state;
    for (unsigned i = 0; i < 100; i++)
        assert_true(enter(world, i, ORB_FLOW_FREE, NULL));
    for (unsigned i = 0; i < 100; i++)
        leave(world, i, ORB_FLOW_ANSWERED);
}

static void calls_start_at_the_pace_and_in_order(void **state)
{
    struct world *world = *state;
    uint64_t now = world->now;
    unsigned next = 0;
    for (unsigned i = 0; i < 48; i++) { /* 48 answers and 24 complaints within a second */
        assert_true(enter(world, next, ORB_FLOW_FREE, NULL));
        leave(world, next++, ORB_FLOW_ANSWERED);
    }
    for (unsigned i = 0; i < 24; i++)
        assert_true(enter(world, next + i, ORB_FLOW_FREE, NULL));
    for (unsigned i = 0; i < 24; i++)
        leave(world, next++, ORB_FLOW_THROTTLED);
    assert_true(orb_flow_rate(world->flow) > 1);
    for (unsigned i = 0; i < 5; i++)
        assert_false(enter(world, next + i, ORB_FLOW_FREE, NULL));
    orb_flow_withdraw(world->flow, &world->calls[next + 4]);
    orb_flow_withdraw(world->flow, &world->calls[next + 2]);
    uint64_t until = orb_now_ns() + 5 * ORB_S;
    while (went < 3 && orb_now_ns() < until)
        orb_loop_turn(world->host.loop, true);
    assert_int_equal(went, 3);
    assert_ptr_equal(gone[0], &world->calls[next]);
    assert_ptr_equal(gone[1], &world->calls[next + 1]);
    assert_ptr_equal(gone[2], &world->calls[next + 3]);
    assert_true(orb_now_ns() > now);
    for (unsigned i = 0; i < 5; i++)
        assert_false(world->calls[next + i].queued);
}

static void backends_of_one_endpoint_share_a_flow(void **state)
{
    struct world *world = *state;
    struct orb_backend a = world->backend, b = world->backend, c = world->backend;
    a.flow = b.flow = c.flow = NULL;
    a.caps.endpoint = "https://here";
    b.caps.endpoint = "https://here";
    c.caps.endpoint = "https://there";
    assert_ptr_equal(orb_flow_of(&a), orb_flow_of(&b));
    assert_ptr_not_equal(orb_flow_of(&a), orb_flow_of(&c));
    /* Who names none is alone. */
    assert_ptr_not_equal(orb_flow_of(&world->other), world->flow);
    struct orb_flow *before = orb_flow_of(&a);
    orb_flow_release(&a);
    assert_ptr_equal(orb_flow_of(&a), before);
    orb_flow_release(&a);
    orb_flow_release(&b);
    orb_flow_release(&c);
    assert_ptr_not_equal(world->host.flows, before);
}

static void a_store_without_retries_has_no_flow(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0};
    world->other.caps.no_retry = true;
    assert_null(orb_flow_of(&world->other));
    assert_int_equal(orb_flow_share(&world->other, &turn, 7), 7);
}

static void a_store_says_how_many_of_one_stream_are_worth_it(void **state)
{
    struct world *world = *state;
    assert_int_equal(orb_flow_most(&world->other), ORB_FLOW_MOST);
    world->other.caps.parallel_most = 8;
    assert_int_equal(orb_flow_most(&world->other), 8);
    world->other.options.parallel_operations = 12; /* who asks for more gets it */
    assert_int_equal(orb_flow_most(&world->other), 12);
}

/* ---- who is silent ---------------------------------------------------------------------------------- */

static void say_silent(struct world *world, unsigned n, uint64_t for_ns)
{
    atomic_store(&world->calls[n].op.silent_ns, for_ns ? orb_now_ns() - for_ns : 0);
}

/* Until the flow has looked twice: at least once after what was said before. */
static void let_it_look(struct world *world)
{
    uint64_t until = orb_now_ns() + 250 * ORB_MS;
    while (orb_now_ns() < until)
        orb_loop_turn(world->host.loop, true);
    world->now = orb_now_ns();
}

/* Places of the kind that others could have at once. */
static unsigned places(struct world *world, struct orb_turn *turn)
{
    unsigned count = 0, n = CALLS - 64;
    while (enter(world, n, ORB_FLOW_BULK, turn)) {
        count++;
        n++;
    }
    orb_flow_withdraw(world->flow, &world->calls[n]);
    while (count > 0)
        orb_flow_left(world->flow, &world->calls[CALLS - 64 + --count], ORB_FLOW_SILENT, world->now);
    return (unsigned)(n - (CALLS - 64));
}

static void one_that_is_silent_gives_its_place_to_others(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0}, other = {0};
    for (unsigned i = 0; i < 4; i++)
        assert_true(enter(world, i, ORB_FLOW_BULK, &turn));
    assert_int_equal(places(world, &other), 0);
    assert_false(enter(world, 10, ORB_FLOW_BULK, &turn));
    say_silent(world, 0, 3 * ORB_S);
    say_silent(world, 1, 100 * ORB_MS);
    let_it_look(world);
    assert_int_equal(went, 0); /* nobody was answered since: it may be the store */
    assert_true(enter(world, 20, ORB_FLOW_SMALL, NULL));
    leave(world, 20, ORB_FLOW_ANSWERED);
    let_it_look(world);
    assert_int_equal(went, 1); /* the one that waited */
    assert_ptr_equal(gone[0], &world->calls[10]);
    assert_int_equal(orb_flow_share(&world->backend, &turn, 64), 5);
    /* It moves again: five are in flight for a while, and no other one starts before two have ended. */
    say_silent(world, 0, 0);
    say_silent(world, 1, 100 * ORB_MS);
    let_it_look(world);
    assert_int_equal(orb_flow_share(&world->backend, &turn, 64), 4);
    leave(world, 0, ORB_FLOW_SILENT);
    assert_int_equal(places(world, &other), 0);
    leave(world, 1, ORB_FLOW_SILENT);
    assert_int_equal(places(world, &other), 1);
}

static void no_more_than_half_of_the_places_are_lent(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0}, other = {0};
    for (unsigned i = 0; i < 4; i++)
        assert_true(enter(world, i, ORB_FLOW_BULK, &turn));
    for (unsigned i = 0; i < 4; i++)
        say_silent(world, i, 3 * ORB_S);
    assert_true(enter(world, 20, ORB_FLOW_SMALL, NULL));
    leave(world, 20, ORB_FLOW_ANSWERED);
    let_it_look(world);
    assert_int_equal(places(world, &other), 2);
    for (unsigned i = 0; i < 4; i++)
        leave(world, i, ORB_FLOW_SILENT);
    assert_int_equal(places(world, &other), 4);
    assert_int_equal(turn.lent, 0);
}

/* ---- how many -------------------------------------------------------------------------------------- */

/* A stream that uses what it gets, on a store whose requests take 20 ms and bring `bytes`; more than `knee` of them at
 * once bring nothing more. Half a minute of it. */
static void run(struct world *world, unsigned knee, uint64_t bytes, enum orb_flow_result (*result)(unsigned n))
{
    struct orb_turn turn = {0};
    unsigned first = 0, count = 0, done = 0;
    uint64_t end = world->now + 30 * ORB_S;
    while (world->now < end) {
        while (count < orb_flow_share(&world->backend, &turn, 64) &&
               enter(world, (first + count) % CALLS, ORB_FLOW_BULK, &turn))
            count++;
        unsigned at_once = count < knee ? count : knee;
        assert_true(at_once > 0);
        world->now += 20 * ORB_MS / (at_once ? at_once : 1);
        orb_flow_moved(&world->backend, bytes);
        enum orb_flow_result what = result ? result(done) : ORB_FLOW_ANSWERED;
        done++;
        leave(world, first, what);
        first = (first + 1) % CALLS;
        count--;
    }
    for (; count; count--, first = (first + 1) % CALLS)
        leave(world, first, ORB_FLOW_SILENT);
}

static void more_are_tried_while_more_come(void **state)
{
    struct world *world = *state;
    run(world, 1000, 1 << 20, NULL);
    assert_int_equal(orb_flow_limit(world->flow), 64);
}

static void no_more_are_in_flight_than_bring_more(void **state)
{
    struct world *world = *state;
    run(world, 12, 1 << 20, NULL);
    assert_in_range(orb_flow_limit(world->flow), 9, 18);
}

/* Without rule, and always the same. */
static enum orb_flow_result one_in_ten_throttled(unsigned n)
{
    uint64_t mixed = (n + 1) * 0x9e3779b97f4a7c15ull;
    mixed ^= mixed >> 29;
    mixed *= 0xbf58476d1ce4e5b9ull;
    return (mixed >> 33) % 10 == 0 ? ORB_FLOW_THROTTLED : ORB_FLOW_ANSWERED;
}

/* As run(), but `took` long requests on the way, also where a pace holds them back. Returns the mean of the number. */
static uint32_t run_refusing(struct world *world, unsigned replies, uint64_t took_ns, uint32_t *lowest)
{
    struct orb_turn turn = {0};
    unsigned first = 0, count = 0, done = 0;
    uint64_t sum = 0;
    *lowest = 64;
    while (done < replies) {
        while (count < orb_flow_share(&world->backend, &turn, 64)) {
            if (!enter(world, (first + count) % CALLS, ORB_FLOW_BULK, &turn)) {
                orb_flow_withdraw(world->flow, &world->calls[(first + count) % CALLS]);
                break;
            }
            count++;
        }
        world->now += count ? took_ns / count : 10 * ORB_MS;
        if (!count)
            continue;
        orb_flow_moved(&world->backend, 8 << 20);
        leave(world, first, one_in_ten_throttled(done++));
        first = (first + 1) % CALLS;
        count--;
        uint32_t limit = orb_flow_limit(world->flow);
        *lowest = limit < *lowest ? limit : *lowest;
        sum += limit;
    }
    for (; count; count--, first = (first + 1) % CALLS)
        leave(world, first, ORB_FLOW_SILENT);
    return (uint32_t)(sum / replies);
}

/* They have nothing to do with how much it is asked. */
static void refusals_at_random_do_not_keep_the_number_low(void **state)
{
    struct world *world = *state;
    uint32_t lowest, mean = run_refusing(world, 20000, 20 * ORB_MS, &lowest);
    print_message("lowest %u, mean %u\n", lowest, mean);
    assert_true(mean >= 32);
}

/* A few replies a second: among few some are always bad. */
static void nor_where_requests_are_few_and_large(void **state)
{
    struct world *world = *state;
    uint32_t lowest, mean = run_refusing(world, 1000, 2 * ORB_S, &lowest);
    print_message("lowest %u, mean %u\n", lowest, mean);
    assert_true(lowest >= 2);
    assert_true(mean >= 12);
}

static enum orb_flow_result one_in_two_throttled(unsigned n)
{
    return n % 2 ? ORB_FLOW_THROTTLED : ORB_FLOW_ANSWERED;
}

static enum orb_flow_result all_late(unsigned n)
{
    (void)n;
    return ORB_FLOW_LATE;
}

static void complaints_cut_the_number(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0};
    for (unsigned i = 0; i < 4; i++)
        assert_true(enter(world, i, ORB_FLOW_BULK, &turn));
    for (unsigned i = 0; i < 4; i++)
        leave(world, i, one_in_two_throttled(1));
    assert_int_equal(orb_flow_limit(world->flow), 2); /* once for what was in flight together */
}

static void time_outs_cut_it_down_to_one_and_not_to_none(void **state)
{
    struct world *world = *state;
    run(world, 1000, 0, all_late);
    assert_int_equal(orb_flow_limit(world->flow), 1);
    struct orb_turn turn = {0};
    assert_int_equal(orb_flow_share(&world->backend, &turn, 64), 1);
    run(world, 1000, 1 << 20, NULL); /* and it recovers */
    assert_int_equal(orb_flow_limit(world->flow), 64);
}

static void latency_that_rises_without_more_bytes_lowers_it(void **state)
{
    struct world *world = *state;
    struct orb_turn turn = {0};
    run(world, 1000, 1 << 20, NULL);
    uint32_t before = orb_flow_limit(world->flow);
    for (unsigned round = 0; round < 400; round++) {
        unsigned count = 0;
        while (enter(world, count, ORB_FLOW_BULK, &turn))
            count++;
        orb_flow_withdraw(world->flow, &world->calls[count]);
        bool slow = round >= 100;
        world->now += slow ? 500 * ORB_MS : 20 * ORB_MS;
        for (unsigned i = 0; i < count; i++) {
            atomic_store(&world->calls[i].first_ns, world->now);
            leave(world, i, ORB_FLOW_ANSWERED);
        }
    }
    assert_true(orb_flow_limit(world->flow) < before);
    assert_true(orb_flow_limit(world->flow) >= 4); /* where it began */
}

int main(void)
{
#define FLOW_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        FLOW_TEST(streams_take_turns),
        FLOW_TEST(each_stream_is_told_its_part),
        FLOW_TEST(small_requests_do_not_wait_for_transfers),
        FLOW_TEST(a_few_that_hang_do_not_lower_the_number),
        FLOW_TEST(a_fixed_number_never_waits),
        FLOW_TEST(calls_start_at_the_pace_and_in_order),
        FLOW_TEST(backends_of_one_endpoint_share_a_flow),
        FLOW_TEST(a_store_without_retries_has_no_flow),
        FLOW_TEST(a_store_says_how_many_of_one_stream_are_worth_it),
        FLOW_TEST(one_that_is_silent_gives_its_place_to_others),
        FLOW_TEST(no_more_than_half_of_the_places_are_lent),
        FLOW_TEST(more_are_tried_while_more_come),
        FLOW_TEST(no_more_are_in_flight_than_bring_more),
        FLOW_TEST(refusals_at_random_do_not_keep_the_number_low),
        FLOW_TEST(nor_where_requests_are_few_and_large),
        FLOW_TEST(complaints_cut_the_number),
        FLOW_TEST(time_outs_cut_it_down_to_one_and_not_to_none),
        FLOW_TEST(latency_that_rises_without_more_bytes_lowers_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
