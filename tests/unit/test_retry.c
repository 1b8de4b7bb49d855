/* SPDX-License-Identifier: Apache-2.0
 * The retry policy on a clock of the tests, and whole calls against a scripted backend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "client/client.h"
#include "engine/pace.h"
#include "engine/retry.h"
#include "script.h"

static orbit_error fault(orbit_status status, uint32_t flags)
{
    return (orbit_error){.status = status, .flags = flags};
}

static const struct orb_retry_limits patient = {10, 900000, true};

/* ---- the policy ------------------------------------------------------------------------------------ */

static void waits_double_with_full_jitter_up_to_20_s(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    uint64_t ceiling = 100;
    for (uint32_t attempt = 1; attempt < 10; attempt++) {
        struct orb_retry retry = {.attempt = attempt};
        uint64_t wait = 1;
        assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, 0, &wait));
        assert_int_equal(wait, 0);
        assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, ceiling, &wait));
        assert_int_equal(wait, ceiling);
        assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, ceiling + 1, &wait));
        assert_int_equal(wait, 0);
        ceiling = ceiling * 2 > 20000 ? 20000 : ceiling * 2;
    }
}

static void gives_up_after_the_last_attempt(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    struct orb_retry retry = {.attempt = 10};
    uint64_t wait;
    assert_false(orb_retry_decide(&retry, &patient, &error, false, 0, 0, &wait));
    retry.attempt = 9;
    assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, 0, &wait));
}

static void only_retriable_errors_are_tried_again(void **state)
{
    (void)state;
    struct orb_retry retry = {.attempt = 1};
    uint64_t wait;
    orbit_error final = fault(ORBIT_E_NOT_FOUND, 0);
    assert_false(orb_retry_decide(&retry, &patient, &final, true, 0, 0, &wait));
    orbit_error lost = fault(ORBIT_E_NETWORK, ORBIT_ERROR_MAYBE_DONE);
    assert_false(orb_retry_decide(&retry, &patient, &lost, false, 0, 0, &wait));
    assert_true(orb_retry_decide(&retry, &patient, &lost, true, 0, 0, &wait));
}

static void fifteen_minutes_without_progress_are_the_end(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    struct orb_retry retry = {.attempt = 1};
    uint64_t wait;
    assert_true(orb_retry_decide(&retry, &patient, &error, false, 899 * ORB_S, 0, &wait));
    assert_false(orb_retry_decide(&retry, &patient, &error, false, 901 * ORB_S, 0, &wait));
    retry.progress_ns = 10 * ORB_S;
    assert_true(orb_retry_decide(&retry, &patient, &error, false, 901 * ORB_S, 0, &wait));
}

static void retry_after_is_honoured_within_the_deadline(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_BUSY, ORBIT_ERROR_RETRIABLE);
    error.retry_after_ms = 30000;
    struct orb_retry retry = {.attempt = 1};
    uint64_t wait;
    assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, 5, &wait));
    assert_int_equal(wait, 30000);
    error.retry_after_ms = 3600000;
    assert_false(orb_retry_decide(&retry, &patient, &error, false, 0, 5, &wait));
}

static void an_unreachable_store_is_given_up_quickly(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_CONNECT, 0);
    const struct orb_retry_limits fresh = {10, 900000, false};
    struct orb_retry retry = {.attempt = 1};
    uint64_t wait, now = ORB_S, total = 0;
    unsigned attempts = 1;
    while (orb_retry_decide(&retry, &fresh, &error, false, now, UINT64_MAX - 1, &wait)) {
        retry.attempt++;
        attempts++;
        now += wait * ORB_MS;
        total += wait;
    }
    assert_int_equal(attempts, 3);
    assert_true(total <= 2000);

    /* Connecting takes long itself. */
    retry = (struct orb_retry){.attempt = 1};
    assert_true(orb_retry_decide(&retry, &fresh, &error, false, 5 * ORB_S, 0, &wait));
    retry.attempt++;
    assert_false(orb_retry_decide(&retry, &fresh, &error, false, 8 * ORB_S, 0, &wait));
}

static void a_store_that_answered_before_may_be_restarting(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE);
    struct orb_retry retry = {.attempt = 0};
    uint64_t wait;
    for (unsigned i = 1; i < 10; i++) {
        retry.attempt = i;
        assert_true(orb_retry_decide(&retry, &patient, &error, false, i * 10 * ORB_S, 0, &wait));
    }
}

static void a_wrong_checksum_is_tried_again_once(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_CHECKSUM, ORBIT_ERROR_RETRIABLE);
    struct orb_retry retry = {.attempt = 1};
    uint64_t wait;
    assert_true(orb_retry_decide(&retry, &patient, &error, false, 0, 0, &wait));
    retry.attempt = 2;
    assert_false(orb_retry_decide(&retry, &patient, &error, false, 0, 0, &wait));
}

static void the_error_says_how_often_it_was_tried(void **state)
{
    (void)state;
    orbit_error error = fault(ORBIT_E_NETWORK, 0);
    snprintf(error.message, sizeof(error.message), "connection reset");
    orb_retry_note(&error, 1);
    assert_string_equal(error.message, "connection reset");
    orb_retry_note(&error, 10);
    assert_string_equal(error.message, "connection reset (after 10 attempts)");
    assert_int_equal(error.flags, 0);

    memset(error.message, 'x', sizeof(error.message));
    error.message[sizeof(error.message) - 1] = '\0';
    orb_retry_note(&error, 10);
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
    assert_non_null(strstr(error.message, "x (after 10 attempts)"));
    assert_int_equal(error.flags, ORBIT_ERROR_TRUNCATED);
}

/* ---- the pace -------------------------------------------------------------------------------------- */

static unsigned went;
static void go(struct orb_call *call)
{
    (void)call;
    went++;
}

struct paced {
    struct orbit_host host;
    struct orb_backend backend;
    struct orb_pace *pace;
};

static int pace_setup(void **state)
{
    struct paced *paced = calloc(1, sizeof(*paced));
    orbit_error error;
    assert_int_equal(orb_loop_new(&paced->host.loop, "test", true, &error), ORBIT_OK);
    paced->backend.host = &paced->host;
    paced->pace = orb_pace_of(&paced->backend);
    went = 0;
    *state = paced;
    return 0;
}

static int pace_teardown(void **state)
{
    struct paced *paced = *state;
    orb_call_release_pace(&paced->backend);
    orb_loop_free(paced->host.loop);
    free(paced);
    return 0;
}

static void throttling_sets_the_rate_of_the_last_second(void **state)
{
    struct paced *paced = *state;
    uint64_t now = 100 * ORB_S;
    for (unsigned i = 0; i < 400; i++) /* 100 a second for four seconds */
        orb_pace_answered(paced->pace, now += 10 * ORB_MS);
    assert_true(orb_pace_rate(paced->pace) <= 0);
    orb_pace_throttled(paced->pace, now, now);
    assert_in_range((uintmax_t)orb_pace_rate(paced->pace), 90, 101);

    /* What started before the cut does not cut again. */
    double rate = orb_pace_rate(paced->pace);
    orb_pace_throttled(paced->pace, now - ORB_S, now + 2 * ORB_S);
    assert_true(orb_pace_rate(paced->pace) >= rate && orb_pace_rate(paced->pace) <= rate);

    for (unsigned i = 0; i < 100; i++)
        orb_pace_answered(paced->pace, now += 10 * ORB_MS);
    assert_true(orb_pace_rate(paced->pace) > rate * 1.05);
    assert_true(orb_pace_rate(paced->pace) < rate * 1.2);
}

static void calls_start_at_the_pace_and_in_order(void **state)
{
    struct paced *paced = *state;
    uint64_t now = orb_now_ns();
    struct orb_call calls[5];
    memset(calls, 0, sizeof(calls));
    for (unsigned i = 0; i < 50; i++)
        orb_pace_answered(paced->pace, now);
    orb_pace_throttled(paced->pace, now, now); /* 50 a second */
    for (unsigned i = 0; i < 5; i++)
        assert_false(orb_pace_enter(paced->pace, &calls[i], go, now));
    orb_pace_withdraw(paced->pace, &calls[4]);
    orb_pace_withdraw(paced->pace, &calls[2]);
    uint64_t until = orb_now_ns() + 5 * ORB_S;
    while (went < 3 && orb_now_ns() < until)
        orb_loop_turn(paced->host.loop, true);
    assert_int_equal(went, 3);
    assert_true(orb_now_ns() - now >= 50 * ORB_MS);
    for (unsigned i = 0; i < 5; i++)
        assert_false(calls[i].queued);
}

static void a_calm_store_is_not_paced_for_ever(void **state)
{
    struct paced *paced = *state;
    uint64_t now = 100 * ORB_S;
    struct orb_call call = {0};
    orb_pace_throttled(paced->pace, now, now);
    assert_true(orb_pace_enter(paced->pace, &call, go, now + 31 * ORB_S));
    assert_true(orb_pace_rate(paced->pace) <= 0);
}

static void a_storm_of_retries_is_delayed_and_none_fails(void **state)
{
    struct paced *paced = *state;
    uint64_t now = orb_now_ns(), longest = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(orb_pace_retry_ms(paced->pace, now), 0);
    for (unsigned i = 0; i < 1000; i++)
        longest = orb_pace_retry_ms(paced->pace, now);
    assert_in_range(longest, 10000, 20000);
    assert_int_equal(orb_pace_retry_ms(paced->pace, now + 60 * ORB_S), 0);
}

/* ---- whole calls ----------------------------------------------------------------------------------- */

static const orbit_open_options three = {.size = sizeof(orbit_open_options), .retry_attempts = 3};

static void a_call_succeeds_after_failures(void **state)
{
    (void)state;
    struct script script = {.steps = {{ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, 0, false},
                                      {ORBIT_E_TIMEOUT, ORBIT_ERROR_RETRIABLE, 0, false}},
                            .step_count = 2,
                            .size = 7};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    orbit_metadata metadata;
    assert_int_equal(orbit_stat(backend, "x", NULL, &metadata, &error), ORBIT_OK);
    assert_int_equal(metadata.size, 7);
    assert_string_equal(metadata.etag, "etag");
    orbit_metadata_release(&metadata);
    assert_int_equal(script.attempts, 3);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    assert_int_equal(orbit_client_get_stats(client, &stats), ORBIT_OK);
    assert_int_equal(stats.operations, 3);
    assert_int_equal(stats.retries, 2);
    orbit_backend_close(backend);
    orbit_client_close(client);
    assert_int_equal(script.closes, 1);
}

static void a_call_gives_up_and_says_so(void **state)
{
    (void)state;
    struct script script = {.step_count = 10};
    for (size_t i = 0; i < 10; i++)
        script.steps[i] = (struct script_step){ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, 0, false};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, &three, &client, &backend);
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_E_NETWORK);
    assert_string_equal(error.message, "attempt 3 fails (after 3 attempts)");
    assert_int_equal(script.attempts, 3);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_final_error_is_final(void **state)
{
    (void)state;
    struct script script = {.steps = {{ORBIT_E_PERMISSION, 0, 0, false}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_E_PERMISSION);
    assert_string_equal(error.message, "attempt 1 fails");
    assert_int_equal(script.attempts, 1);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_store_without_retries_is_tried_once(void **state)
{
    (void)state;
    struct script script = {
        .steps = {{ORBIT_E_IO, ORBIT_ERROR_RETRIABLE, 0, false}}, .step_count = 1, .capabilities = {.no_retry = true}};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_E_IO);
    assert_int_equal(script.attempts, 1);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void throttled_calls_are_counted_and_succeed(void **state)
{
    (void)state;
    struct script script = {.steps = {{ORBIT_E_BUSY, ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_THROTTLED, 1, false}},
                            .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    bool exists = false;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_OK);
    assert_true(exists);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(client, &stats);
    assert_int_equal(stats.throttled, 1);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_call_that_waits_for_a_retry_is_cancelled_promptly(void **state)
{
    (void)state;
    struct script script = {.steps = {{ORBIT_E_BUSY, ORBIT_ERROR_RETRIABLE, 600000, false}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    orbit_metadata metadata;
    orbit_task *task;
    uint64_t begun = orb_now_ns();
    assert_int_equal(orbit_stat_start(&task, backend, "x", NULL, &metadata, NULL, NULL, &error), ORBIT_OK);
    while (script.attempts == 0)
        usleep(1000);
    usleep(20000);
    orbit_task_cancel(task);
    assert_int_equal(orbit_task_wait(task, &error), ORBIT_E_CANCELLED);
    assert_true(orb_now_ns() - begun < 30 * ORB_S);
    orbit_task_free(task);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_store_that_never_answers_is_given_up(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    const orbit_open_options soon = {.size = sizeof(soon), .retry_deadline_ms = 200};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, &soon, &client, &backend);
    bool exists;
    assert_int_equal(orbit_exists(backend, "x", NULL, &exists, &error), ORBIT_E_TIMEOUT);
    assert_int_equal(script.cancels, 1);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_lost_reply_is_understood_by_the_retry(void **state)
{
    (void)state;
    uint32_t lost = ORBIT_ERROR_RETRIABLE | ORBIT_ERROR_MAYBE_DONE;
    struct script script = {.steps = {{ORBIT_E_NETWORK, lost, 0, false},
                                      {ORBIT_E_EXISTS, 0, 0, false}, /* the lost one made it */
                                      {ORBIT_E_EXISTS, 0, 0, false},
                                      {ORBIT_E_NETWORK, lost, 0, false}},
                            .step_count = 4};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    assert_int_equal(orbit_mkdir(backend, "d", NULL, &error), ORBIT_OK);
    assert_int_equal(orbit_mkdir(backend, "d", NULL, &error), ORBIT_E_EXISTS);
    /* Whether a rename took place cannot be seen by asking again. */
    assert_int_equal(orbit_rename(backend, "a", "b", true, NULL, &error), ORBIT_E_NETWORK);
    assert_true(error.flags & ORBIT_ERROR_MAYBE_DONE);
    assert_int_equal(script.attempts, 4);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_with_full_jitter_up_to_20_s),
        cmocka_unit_test(gives_up_after_the_last_attempt),
        cmocka_unit_test(only_retriable_errors_are_tried_again),
        cmocka_unit_test(fifteen_minutes_without_progress_are_the_end),
        cmocka_unit_test(retry_after_is_honoured_within_the_deadline),
        cmocka_unit_test(an_unreachable_store_is_given_up_quickly),
        cmocka_unit_test(a_store_that_answered_before_may_be_restarting),
        cmocka_unit_test(a_wrong_checksum_is_tried_again_once),
        cmocka_unit_test(the_error_says_how_often_it_was_tried),
        cmocka_unit_test_setup_teardown(throttling_sets_the_rate_of_the_last_second, pace_setup, pace_teardown),
        cmocka_unit_test_setup_teardown(calls_start_at_the_pace_and_in_order, pace_setup, pace_teardown),
        cmocka_unit_test_setup_teardown(a_calm_store_is_not_paced_for_ever, pace_setup, pace_teardown),
        cmocka_unit_test_setup_teardown(a_storm_of_retries_is_delayed_and_none_fails, pace_setup, pace_teardown),
        cmocka_unit_test(a_call_succeeds_after_failures),
        cmocka_unit_test(a_call_gives_up_and_says_so),
        cmocka_unit_test(a_final_error_is_final),
        cmocka_unit_test(a_store_without_retries_is_tried_once),
        cmocka_unit_test(throttled_calls_are_counted_and_succeed),
        cmocka_unit_test(a_call_that_waits_for_a_retry_is_cancelled_promptly),
        cmocka_unit_test(a_store_that_never_answers_is_given_up),
        cmocka_unit_test(a_lost_reply_is_understood_by_the_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
