/* SPDX-License-Identifier: Apache-2.0
 * Two reads that race for one sink. The test plays the backend: it delivers for either leg, piece by piece, in the
 * order it likes, and looks at what reaches the sink. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/race.h"
#include "support/ophost.h"

#define SIZE 4096u

struct played {
    orbit_op *op;
    orbit_sink *sink;
    orbit_read_reply *reply;
    uint64_t offset, length;
    _Atomic unsigned resumes;
    _Atomic bool cancelled;
};

static struct {
    struct ophost host;
    struct orb_backend backend;
    struct orb_race race;
    orbit_sink target;
    uint8_t bytes[SIZE];
    size_t filled;
    bool full;             /* the target has no room now */
    struct played legs[4]; /* the attempts, in their order */
    unsigned reads, enters;
    unsigned dones; /* loop */
    orbit_status status;
} at;

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

/* ---- the target, the backend, the owner ----------------------------------------------------------------- */

static void *target_acquire(orbit_sink *sink, size_t want, size_t *room)
{
    (void)sink;
    (void)want;
    *room = SIZE - at.filled;
    return at.full ? NULL : at.bytes + at.filled;
}

static orbit_status target_commit(orbit_sink *sink, size_t length)
{
    (void)sink;
    at.filled += length;
    return ORBIT_OK;
}

static struct played *played_of(const orbit_op *op)
{
    for (unsigned i = at.reads; i-- > 1;) /* an operation is used again */
        if (at.legs[i].op == op)
            return &at.legs[i];
    return &at.legs[0];
}

static void op_resume(orbit_op *op)
{
    atomic_fetch_add(&played_of(op)->resumes, 1);
}

static void read_start(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                       orbit_read_reply *reply)
{
    (void)self;
    struct played *leg = &at.legs[at.reads++];
    leg->op = op;
    leg->sink = sink;
    leg->reply = reply;
    leg->offset = request->offset;
    leg->length = request->length;
    op->resume = op_resume;
}

static void op_cancel(void *self, orbit_op *op)
{
    (void)self;
    atomic_store(&played_of(op)->cancelled, true);
}

static const orbit_backend_ops ops = {.name = "played", .read = read_start, .cancel = op_cancel};

static void race_ask(struct orb_race *race, struct orb_race_leg *leg)
{
    (void)race;
    leg->request = (orbit_read_request){.path = "it", .offset = leg->from, .length = SIZE - leg->from};
}

static void race_enter(struct orb_race *race, struct orb_race_leg *leg)
{
    (void)race;
    (void)leg;
    at.enters++;
}

static bool race_again(struct orb_race *race, struct orb_race_leg *leg, const orbit_error *error)
{
    (void)race;
    (void)leg;
    (void)error;
    return true; /* calls try once here: it is asked only where a leg begins anew */
}

static void race_done(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, const orbit_error *error)
{
    (void)race;
    (void)leg;
    (void)error;
    at.dones++;
    at.status = status;
}

static const struct orb_race_kind kind = {.ask = race_ask, .enter = race_enter, .again = race_again, .done = race_done};

/* ---- what the tests do ---------------------------------------------------------------------------------- */

static void on_start(void *ctx)
{
    (void)ctx;
    orbit_error error;
    assert_int_equal(orb_race_open(&at.race, &error), ORBIT_OK);
    orb_race_arm(&at.race);
    orb_race_start(&at.race);
}

static void on_hedge(void *ctx)
{
    orb_race_hedge(&at.race, ctx ? *(uint64_t *)ctx : SIZE);
}

static void on_give_up(void *ctx)
{
    (void)ctx;
    orb_race_give_up(&at.race);
}

static void on_withdraw(void *ctx)
{
    (void)ctx;
    orb_race_withdraw(&at.race);
}

static void on_cancel(void *ctx)
{
    (void)ctx;
    orb_race_cancel(&at.race);
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void on_close(void *ctx)
{
    (void)ctx;
    orb_race_close(&at.race);
}

static void start(void)
{
    ophost_open(&at.host, 0);
    memset(&at.race, 0, sizeof at.race);
    memset(at.legs, 0, sizeof at.legs);
    at.filled = at.reads = at.enters = at.dones = 0;
    at.full = false;
    at.target = (orbit_sink){target_acquire, target_commit, NULL};
    at.backend = (struct orb_backend){.ops = &ops, .host = &at.host.host, .caps = {.no_retry = true}};
    at.race.kind = &kind;
    at.race.target = &at.target;
    at.race.backend = &at.backend;
    ophost_on_loop(&at.host, on_start, NULL);
}

/* What was posted has been delivered. */
static void settle(void)
{
    for (int i = 0; i < 4; i++)
        ophost_on_loop(&at.host, on_nothing, NULL);
}

static void hedge(void)
{
    ophost_on_loop(&at.host, on_hedge, NULL);
}

/* Delivers up to `length` bytes in room as it is lent; false: no room now, or it was told to end. */
static bool deliver(struct played *leg, size_t length)
{
    while (length) {
        size_t room = 0;
        uint8_t *memory = leg->sink->acquire(leg->sink, length, &room);
        if (!memory)
            return false;
        size_t some = room < length ? room : length;
        for (size_t i = 0; i < some; i++)
            memory[i] = byte_at(leg->offset + i);
        if (leg->sink->commit(leg->sink, some) < 0)
            return false;
        leg->offset += some;
        length -= some;
    }
    return true;
}

static void end(struct played *leg, orbit_status status)
{
    orbit_error error = {0};
    orbit_error_set(&error, status, 0, "ended");
    if (status == ORBIT_E_NETWORK)
        error.flags |= ORBIT_ERROR_RETRIABLE;
    orbit_op_done(leg->op, status, status < 0 ? &error : NULL);
    settle();
}

static void check_and_close(orbit_status status)
{
    settle();
    assert_int_equal(at.dones, 1);
    assert_int_equal(at.status, status);
    if (status >= 0)
        assert_int_equal(at.filled, SIZE);
    for (size_t i = 0; i < at.filled; i++)
        assert_int_equal(at.bytes[i], byte_at(i));
    ophost_on_loop(&at.host, on_close, NULL);
    ophost_close(&at.host);
}

/* ---- the tests --------------------------------------------------------------------------------------- */

static void one_leg_is_a_plain_read(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], SIZE));
    end(&at.legs[0], ORBIT_OK);
    assert_int_equal(at.enters, 1);
    check_and_close(ORBIT_OK);
}

static void hedge_that_gets_ahead_takes_over(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], 1000));
    hedge();
    assert_int_equal(at.legs[1].offset, 1000);
    assert_int_equal(at.legs[1].length, SIZE - 1000);
    assert_true(deliver(&at.legs[0], 500));
    assert_true(deliver(&at.legs[1], 400)); /* behind: dropped */
    assert_int_equal(at.filled, 1500);
    assert_true(deliver(&at.legs[1], 200));
    assert_int_equal(at.filled, 1600);
    assert_false(deliver(&at.legs[0], 1)); /* refused from now on */
    settle();
    assert_true(at.legs[0].cancelled);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    assert_int_equal(at.dones, 0);
    assert_true(deliver(&at.legs[1], SIZE - 1600));
    end(&at.legs[1], ORBIT_OK);
    assert_int_equal(at.enters, 2);
    check_and_close(ORBIT_OK);
}

static void hedge_that_stays_behind_is_cancelled(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], 10));
    hedge();
    assert_true(deliver(&at.legs[0], 2000));
    assert_true(deliver(&at.legs[1], 1500));
    assert_true(deliver(&at.legs[0], SIZE - 2010));
    end(&at.legs[0], ORBIT_OK);
    assert_true(at.legs[1].cancelled);
    assert_int_equal(at.dones, 0); /* its buffers are still in use */
    assert_true(deliver(&at.legs[1], 100));
    end(&at.legs[1], ORBIT_E_CANCELLED);
    check_and_close(ORBIT_OK);
}

static void hedge_waits_while_the_other_holds_room(void **state)
{
    (void)state;
    size_t room;
    start();
    hedge();
    uint8_t *memory = at.legs[0].sink->acquire(at.legs[0].sink, 0, &room);
    assert_non_null(memory);
    assert_false(deliver(&at.legs[1], 100));
    assert_int_equal(at.legs[1].resumes, 0);
    for (size_t i = 0; i < 50; i++)
        memory[i] = byte_at(i);
    assert_int_equal(at.legs[0].sink->commit(at.legs[0].sink, 50), ORBIT_OK);
    assert_int_equal(at.legs[1].resumes, 1);
    assert_true(deliver(&at.legs[1], SIZE));
    assert_false(deliver(&at.legs[0], 1));
    end(&at.legs[1], ORBIT_OK);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    check_and_close(ORBIT_OK);
}

static void one_that_is_stuck_with_room_is_given_up(void **state)
{
    (void)state;
    size_t room;
    start();
    assert_true(deliver(&at.legs[0], 100));
    hedge();
    assert_non_null(at.legs[0].sink->acquire(at.legs[0].sink, 0, &room));
    assert_false(deliver(&at.legs[1], 100));
    ophost_on_loop(&at.host, on_give_up, NULL);
    assert_true(at.legs[0].cancelled);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    assert_int_equal(at.dones, 0);
    assert_true(at.legs[1].resumes >= 1);
    assert_true(deliver(&at.legs[1], SIZE - 100));
    end(&at.legs[1], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

/* The loop withdraws a hedge in the moment in which it takes over: both are cancelled then. */
static void what_is_withdrawn_while_it_takes_over_is_asked_for_anew(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], 1000));
    hedge();
    ophost_on_loop(&at.host, on_withdraw, NULL);
    assert_true(at.legs[1].cancelled);
    assert_false(deliver(&at.legs[1], 500));
    settle();
    assert_true(at.legs[0].cancelled);
    end(&at.legs[1], ORBIT_E_CANCELLED);
    assert_int_equal(at.dones, 0);
    assert_int_equal(at.reads, 3);
    assert_int_equal(at.legs[2].offset, 1000);
    assert_false(deliver(&at.legs[0], 1));
    end(&at.legs[0], ORBIT_E_CANCELLED);
    assert_true(deliver(&at.legs[2], SIZE - 1000));
    end(&at.legs[2], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void what_was_whole_when_it_was_cancelled_is_no_failure(void **state)
{
    (void)state;
    start();
    hedge();
    assert_true(deliver(&at.legs[1], SIZE)); /* takes over, */
    ophost_on_loop(&at.host, on_give_up, NULL);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    end(&at.legs[1], ORBIT_E_CANCELLED); /* and is cancelled with its last byte */
    assert_int_equal(at.reads, 2);
    check_and_close(ORBIT_OK);
}

static void one_given_up_for_a_hedge_that_fails_is_asked_for_anew(void **state)
{
    (void)state;
    size_t room;
    start();
    assert_true(deliver(&at.legs[0], 100));
    hedge();
    assert_non_null(at.legs[0].sink->acquire(at.legs[0].sink, 0, &room));
    assert_false(deliver(&at.legs[1], 100));
    ophost_on_loop(&at.host, on_give_up, NULL);
    end(&at.legs[1], ORBIT_E_NETWORK);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    assert_int_equal(at.dones, 0);
    assert_int_equal(at.reads, 3);
    assert_int_equal(at.legs[2].offset, 100);
    assert_true(deliver(&at.legs[2], SIZE - 100));
    end(&at.legs[2], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void what_the_owner_cancels_does_not_begin_anew(void **state)
{
    (void)state;
    start();
    hedge();
    ophost_on_loop(&at.host, on_cancel, NULL);
    end(&at.legs[1], ORBIT_E_CANCELLED);
    end(&at.legs[0], ORBIT_E_CANCELLED);
    assert_int_equal(at.reads, 2);
    check_and_close(ORBIT_E_CANCELLED);
}

static void hedge_goes_on_alone_when_the_other_fails(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], 1000));
    hedge();
    assert_true(deliver(&at.legs[0], 1000));
    end(&at.legs[0], ORBIT_E_NETWORK);
    assert_int_equal(at.dones, 0);
    assert_true(deliver(&at.legs[1], SIZE - 1000)); /* the first thousand are there already */
    end(&at.legs[1], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void hedge_that_fails_is_no_failure(void **state)
{
    (void)state;
    start();
    hedge();
    end(&at.legs[1], ORBIT_E_NETWORK);
    assert_int_equal(at.dones, 0);
    assert_true(deliver(&at.legs[0], SIZE));
    end(&at.legs[0], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void failure_that_both_would_meet_is_told_at_once(void **state)
{
    (void)state;
    start();
    hedge();
    end(&at.legs[0], ORBIT_E_CHANGED);
    assert_true(at.legs[1].cancelled);
    end(&at.legs[1], ORBIT_E_CANCELLED);
    check_and_close(ORBIT_E_CHANGED);
}

static void when_both_fail_it_fails_once(void **state)
{
    (void)state;
    start();
    hedge();
    end(&at.legs[0], ORBIT_E_NETWORK);
    end(&at.legs[1], ORBIT_E_NETWORK);
    check_and_close(ORBIT_E_NETWORK);
}

static void hedge_drops_no_more_than_it_may(void **state)
{
    (void)state;
    uint64_t may_drop = 1000;
    start();
    ophost_on_loop(&at.host, on_hedge, &may_drop);
    assert_true(deliver(&at.legs[0], SIZE));
    assert_true(deliver(&at.legs[1], 1000));
    assert_true(deliver(&at.legs[1], 100)); /* the piece that goes beyond it */
    assert_false(deliver(&at.legs[1], 1));
    end(&at.legs[1], ORBIT_E_CANCELLED);
    end(&at.legs[0], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void hedge_that_brings_too_much_does_not_reach_the_sink(void **state)
{
    (void)state;
    start();
    hedge();
    assert_true(deliver(&at.legs[0], SIZE));
    assert_true(deliver(&at.legs[1], SIZE));
    assert_false(deliver(&at.legs[1], 1));
    assert_int_equal(at.filled, SIZE);
    end(&at.legs[1], ORBIT_OK);
    end(&at.legs[0], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

static void full_target_holds_up_whoever_leads(void **state)
{
    (void)state;
    start();
    assert_true(deliver(&at.legs[0], 100));
    hedge();
    at.full = true;
    assert_false(deliver(&at.legs[0], 1));
    assert_false(deliver(&at.legs[1], 1)); /* it leads now, and waits */
    at.full = false;
    assert_true(deliver(&at.legs[1], SIZE - 100));
    assert_false(deliver(&at.legs[0], 1));
    end(&at.legs[0], ORBIT_E_CANCELLED);
    end(&at.legs[1], ORBIT_OK);
    check_and_close(ORBIT_OK);
}

struct runner {
    struct played *leg;
    uint32_t random;
};

static void *run_leg(void *ctx)
{
    struct runner *runner = ctx;
    struct played *leg = runner->leg;
    orbit_status status = ORBIT_OK;
    while (leg->offset < SIZE && status >= 0) {
        runner->random = runner->random * 1664525u + 1013904223u;
        size_t some = (runner->random >> 16) % 23 + 1;
        if (some > SIZE - leg->offset)
            some = (size_t)(SIZE - leg->offset);
        if (deliver(leg, some))
            continue;
        sched_yield(); /* it asks again, without waiting for resume */
        if (atomic_load(&leg->cancelled))
            status = ORBIT_E_CANCELLED;
    }
    orbit_op_done(leg->op, status, NULL);
    return NULL;
}

static void any_interleaving_brings_each_byte_once_and_in_order(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 100; round++) {
        pthread_t threads[2];
        struct runner runners[2] = {{&at.legs[0], round * 7 + 1}, {&at.legs[1], round * 13 + 5}};
        start();
        assert_true(deliver(&at.legs[0], round));
        hedge();
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_leg, &runners[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        check_and_close(ORBIT_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leg_is_a_plain_read),
        cmocka_unit_test(hedge_that_gets_ahead_takes_over),
        cmocka_unit_test(hedge_that_stays_behind_is_cancelled),
        cmocka_unit_test(hedge_waits_while_the_other_holds_room),
        cmocka_unit_test(one_that_is_stuck_with_room_is_given_up),
        cmocka_unit_test(what_is_withdrawn_while_it_takes_over_is_asked_for_anew),
        cmocka_unit_test(what_was_whole_when_it_was_cancelled_is_no_failure),
        cmocka_unit_test(one_given_up_for_a_hedge_that_fails_is_asked_for_anew),
        cmocka_unit_test(what_the_owner_cancels_does_not_begin_anew),
        cmocka_unit_test(hedge_goes_on_alone_when_the_other_fails),
        cmocka_unit_test(hedge_that_fails_is_no_failure),
        cmocka_unit_test(failure_that_both_would_meet_is_told_at_once),
        cmocka_unit_test(when_both_fail_it_fails_once),
        cmocka_unit_test(hedge_drops_no_more_than_it_may),
        cmocka_unit_test(hedge_that_brings_too_much_does_not_reach_the_sink),
        cmocka_unit_test(full_target_holds_up_whoever_leads),
        cmocka_unit_test(any_interleaving_brings_each_byte_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
