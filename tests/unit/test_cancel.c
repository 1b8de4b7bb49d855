/* SPDX-License-Identifier: Apache-2.0
 * Cancel tokens, scopes, and who waits for memory. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/admission.h"
#include "engine/scope.h"
#include "script.h"

struct seen {
    unsigned times;
    orbit_status status;
};

static void stopped(void *ctx, orbit_status status)
{
    struct seen *seen = ctx;
    seen->times++;
    seen->status = status;
}

static struct orb_loop *loop_new(void)
{
    struct orb_loop *loop = NULL;
    orbit_error error;
    assert_int_equal(orb_loop_new(&loop, "test", true, &error), ORBIT_OK);
    return loop;
}

static void turn_until(struct orb_loop *loop, const unsigned *times, unsigned wanted)
{
    uint64_t until = orb_now_ns() + 10 * ORB_S;
    while (*times < wanted && orb_now_ns() < until) {
        orb_loop_turn(loop, false);
        usleep(1000);
    }
    assert_int_equal(*times, wanted);
}

/* ---- scopes ---------------------------------------------------------------------------------------- */

static void a_time_limit_stops_once(void **state)
{
    (void)state;
    struct orb_loop *loop = loop_new();
    struct seen seen = {0};
    struct orb_scope scope;
    orbit_error error;
    assert_int_equal(orb_scope_open(&scope, loop, 20, NULL, stopped, &seen, &error), ORBIT_OK);
    assert_int_equal(seen.times, 0);
    turn_until(loop, &seen.times, 1);
    assert_int_equal(seen.status, ORBIT_E_TIMEOUT);
    orb_scope_close(&scope);
    orb_scope_close(&scope);
    orb_loop_free(loop);
}

static void a_closed_scope_is_not_stopped(void **state)
{
    (void)state;
    struct orb_loop *loop = loop_new();
    struct seen seen = {0};
    orbit_cancel *cancel = orbit_cancel_new();
    struct orb_scope scope, never = {0};
    orbit_error error;
    assert_int_equal(orb_scope_open(&scope, loop, 1, cancel, stopped, &seen, &error), ORBIT_OK);
    orbit_cancel_fire(cancel);
    orb_scope_close(&scope);
    orb_scope_close(&never);
    orbit_cancel_free(cancel);
    usleep(5000);
    for (unsigned i = 0; i < 5; i++)
        orb_loop_turn(loop, false);
    assert_int_equal(seen.times, 0);
    orb_loop_free(loop);
}

static void one_token_stops_many_scopes_on_two_loops(void **state)
{
    (void)state;
    enum { EACH = 50 };
    struct orb_loop *loops[2] = {loop_new(), loop_new()};
    orbit_cancel *cancel = orbit_cancel_new();
    struct seen seen[2] = {{0}, {0}};
    struct orb_scope scopes[2][EACH];
    orbit_error error;
    for (unsigned i = 0; i < EACH; i++)
        for (unsigned k = 0; k < 2; k++)
            assert_int_equal(orb_scope_open(&scopes[k][i], loops[k], 60000, cancel, stopped, &seen[k], &error),
                             ORBIT_OK);
    orb_scope_close(&scopes[0][7]);
    orbit_cancel_fire(cancel);
    orbit_cancel_fire(cancel);
    assert_true(orbit_cancel_fired(cancel));
    turn_until(loops[0], &seen[0].times, EACH - 1);
    turn_until(loops[1], &seen[1].times, EACH);
    assert_int_equal(seen[0].status, ORBIT_E_CANCELLED);
    for (unsigned i = 0; i < EACH; i++)
        for (unsigned k = 0; k < 2; k++)
            orb_scope_close(&scopes[k][i]);
    orbit_cancel_free(cancel);
    orb_loop_free(loops[0]);
    orb_loop_free(loops[1]);
}

static void a_token_that_fired_before_stops_soon_but_not_inside_open(void **state)
{
    (void)state;
    struct orb_loop *loop = loop_new();
    orbit_cancel *cancel = orbit_cancel_new();
    struct seen seen = {0};
    struct orb_scope scope;
    orbit_error error;
    orbit_cancel_fire(cancel);
    assert_int_equal(orb_scope_open(&scope, loop, 60000, cancel, stopped, &seen, &error), ORBIT_OK);
    assert_int_equal(seen.times, 0);
    turn_until(loop, &seen.times, 1);
    assert_int_equal(seen.status, ORBIT_E_CANCELLED);
    orb_scope_close(&scope);
    orbit_cancel_free(cancel);
    orb_loop_free(loop);
}

static void null_tokens_are_fine(void **state)
{
    (void)state;
    orbit_cancel_fire(NULL);
    assert_false(orbit_cancel_fired(NULL));
    orbit_cancel_free(NULL);
}

/* ---- calls ----------------------------------------------------------------------------------------- */

static orbit_cancel *signalled;

static void on_signal(int number)
{
    (void)number;
    orbit_cancel_fire(signalled);
}

static void *wait_and_signal(void *ctx)
{
    struct script *script = ctx;
    while (script->hanging == 0)
        usleep(1000);
    kill(getpid(), SIGUSR1);
    return NULL;
}

static void a_blocking_call_is_cancelled_from_a_signal_handler(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    struct sigaction action = {.sa_handler = on_signal}, before;
    script_open(&script, NULL, NULL, &client, &backend);
    signalled = orbit_cancel_new();
    sigaction(SIGUSR1, &action, &before);
    pthread_t thread;
    pthread_create(&thread, NULL, wait_and_signal, &script);
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.cancel = signalled;
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", &options, &exists, &error), ORBIT_E_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(script.cancels, 1);
    sigaction(SIGUSR1, &before, NULL);
    /* Fired for good: the next call with it ends at once. */
    script.steps[1] = (struct script_step){0, 0, 0, true};
    script.step_count = 2;
    assert_int_equal(orbit_exists(backend, "x", &options, &exists, &error), ORBIT_E_CANCELLED);
    orbit_cancel_free(signalled);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

struct caller {
    orbit_backend *backend;
    orbit_cancel *cancel;
    orbit_status status;
};

static void *call_and_wait(void *ctx)
{
    struct caller *caller = ctx;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.cancel = caller->cancel;
    bool exists;
    caller->status = orbit_exists(caller->backend, "x", &options, &exists, NULL);
    return NULL;
}

static void one_token_cancels_the_calls_of_many_threads(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    struct script script = {.step_count = COUNT};
    for (unsigned i = 0; i < COUNT; i++)
        script.steps[i].hang = true;
    orbit_client *client;
    orbit_backend *backend;
    script_open(&script, NULL, NULL, &client, &backend);
    orbit_cancel *cancel = orbit_cancel_new();
    struct caller callers[COUNT];
    pthread_t threads[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        callers[i] = (struct caller){backend, cancel, ORBIT_OK};
        pthread_create(&threads[i], NULL, call_and_wait, &callers[i]);
    }
    while (script.hanging < COUNT)
        usleep(1000);
    orbit_cancel_fire(cancel);
    for (unsigned i = 0; i < COUNT; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].status, ORBIT_E_CANCELLED);
    }
    orbit_cancel_free(cancel);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_call_ends_at_its_time_limit(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.timeout_ms = 50;
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", &options, &exists, &error), ORBIT_E_TIMEOUT);
    assert_non_null(strstr(error.message, "50 ms"));
    orbit_backend_close(backend);
    orbit_client_close(client);
}

/* ---- who waits for memory -------------------------------------------------------------------------- */

static void admitted(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void memory_is_given_first_come_first_served(void **state)
{
    (void)state;
    struct orbit_host host;
    orbit_error error;
    memset(&host, 0, sizeof(host));
    host.loop = loop_new();
    orb_budget_init(&host.budget, 100);
    assert_int_equal(orb_admission_open(&host, &error), ORBIT_OK);
    unsigned first = 0, second = 0, third = 0;
    struct orb_admission a, b, c, d;
    assert_true(orb_admission_ask(&a, &host, 60, admitted, &first));
    assert_false(orb_admission_ask(&b, &host, 50, admitted, &first));
    /* There would be room, but somebody was here before. */
    assert_false(orb_admission_ask(&c, &host, 10, admitted, &second));
    assert_false(orb_admission_ask(&d, &host, 10, admitted, &third));
    assert_true(orb_admission_pressed(&host));
    orb_admission_withdraw(&d);
    orb_admission_withdraw(&d);
    for (unsigned i = 0; i < 5; i++)
        orb_loop_turn(host.loop, false);
    assert_int_equal(first + second, 0);
    orb_budget_give(&host.budget, 60);
    turn_until(host.loop, &first, 1);
    turn_until(host.loop, &second, 1);
    assert_int_equal(third, 0);
    assert_int_equal(host.budget.used, 60);
    assert_false(orb_admission_pressed(&host));
    orb_budget_give(&host.budget, 60);
    orb_admission_close(&host);
    orb_loop_free(host.loop);
}

static void who_gives_up_waiting_lets_the_next_go(void **state)
{
    (void)state;
    struct orbit_host host;
    orbit_error error;
    memset(&host, 0, sizeof(host));
    host.loop = loop_new();
    orb_budget_init(&host.budget, 100);
    assert_int_equal(orb_admission_open(&host, &error), ORBIT_OK);
    unsigned first = 0, second = 0;
    struct orb_admission a, b, c;
    assert_true(orb_admission_ask(&a, &host, 60, admitted, &first));
    assert_false(orb_admission_ask(&b, &host, 50, admitted, &first));
    assert_false(orb_admission_ask(&c, &host, 10, admitted, &second));
    orb_admission_withdraw(&b);
    turn_until(host.loop, &second, 1);
    assert_int_equal(first, 0);
    orb_budget_give(&host.budget, 70);
    orb_admission_close(&host);
    orb_loop_free(host.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_limit_stops_once),
        cmocka_unit_test(a_closed_scope_is_not_stopped),
        cmocka_unit_test(one_token_stops_many_scopes_on_two_loops),
        cmocka_unit_test(a_token_that_fired_before_stops_soon_but_not_inside_open),
        cmocka_unit_test(null_tokens_are_fine),
        cmocka_unit_test(a_blocking_call_is_cancelled_from_a_signal_handler),
        cmocka_unit_test(one_token_cancels_the_calls_of_many_threads),
        cmocka_unit_test(a_call_ends_at_its_time_limit),
        cmocka_unit_test(memory_is_given_first_come_first_served),
        cmocka_unit_test(who_gives_up_waiting_lets_the_next_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
