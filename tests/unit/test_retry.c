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

static void throttling_sets_the_rate_of_the_last_second(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = 100 * ORB_S;
    orb_pace_init(&pace, now);
    for (unsigned i = 0; i < 400; i++) { /* 100 a second for four seconds */
        now += 10 * ORB_MS;
        orb_pace_answered(&pace, now, now);
    }
    assert_true(orb_pace_rate(&pace) <= 0);
    for (unsigned i = 0; i < 40; i++)
        orb_pace_throttled(&pace, now, now);
    assert_in_range((uintmax_t)orb_pace_rate(&pace), 90, 110);

    /* What started before the cut does not cut again. */
    double rate = orb_pace_rate(&pace);
    for (unsigned i = 0; i < 40; i++)
        orb_pace_throttled(&pace, now - ORB_S, now + 2 * ORB_S);
    assert_true(orb_pace_rate(&pace) >= rate && orb_pace_rate(&pace) <= rate);
}

static void a_complaint_now_and_then_is_no_reason_to_slow_down(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = 100 * ORB_S;
    orb_pace_init(&pace, now);
    for (unsigned i = 0; i < 1000; i++) {
        now += 10 * ORB_MS;
        if (i % 10 == 9)
            orb_pace_throttled(&pace, now, now);
        else
            orb_pace_answered(&pace, now, now);
    }
    assert_true(orb_pace_rate(&pace) <= 0);
}

/* Sends as the pace lets it to a store that answers when `takes` says so; returns requests a hundred answers. */
static unsigned sent_for_hundred(struct orb_pace *pace, uint64_t *now, unsigned answers,
                                 bool (*takes)(uint64_t now, unsigned sent))
{
    unsigned sent = 0, answered = 0;
    while (answered < answers) {
        if (!orb_pace_take(pace, *now)) {
            *now += orb_pace_wait_ms(pace, *now) * ORB_MS;
            continue;
        }
        uint64_t begun = *now;
        *now += ORB_MS; /* one after the other, a millisecond each */
        bool good = takes(*now, sent++);
        answered += good;
        if (good)
            orb_pace_answered(pace, begun, *now);
        else
            orb_pace_throttled(pace, begun, *now);
    }
    return sent * 100 / answers;
}

static bool fifty_a_second(uint64_t now, unsigned sent)
{
    static uint64_t window;
    static unsigned used;
    if (sent == 0 || now / (100 * ORB_MS) != window)
        used = 0;
    window = now / (100 * ORB_MS);
    return used++ < 5;
}

static bool two_of_three(uint64_t now, unsigned sent)
{
    (void)now;
    return sent % 3 != 2;
}

static void a_store_with_a_limit_is_asked_as_often_as_it_answers(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = 100 * ORB_S, begun = now;
    orb_pace_init(&pace, now);
    assert_in_range(sent_for_hundred(&pace, &now, 500, fifty_a_second), 100, 125);
    assert_in_range(now - begun, 9 * ORB_S, 16 * ORB_S); /* ten seconds' worth */
}

static void a_store_that_fails_at_random_is_not_slowed_down_for_ever(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = 100 * ORB_S, begun = now;
    orb_pace_init(&pace, now);
    (void)sent_for_hundred(&pace, &now, 20000, two_of_three);
    assert_true(now - begun < 60 * ORB_S); /* thirty would be full speed */
}

static void a_calm_store_is_not_paced_for_ever(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = 100 * ORB_S;
    orb_pace_init(&pace, now);
    for (unsigned i = 0; i < 3; i++)
        orb_pace_throttled(&pace, now, now);
    assert_true(orb_pace_rate(&pace) > 0);
    assert_false(orb_pace_take(&pace, now));
    assert_true(orb_pace_take(&pace, now + 31 * ORB_S));
    assert_true(orb_pace_rate(&pace) <= 0);
}

static void a_storm_of_retries_is_delayed_and_none_fails(void **state)
{
    (void)state;
    struct orb_pace pace;
    uint64_t now = orb_now_ns(), longest = 0;
    orb_pace_init(&pace, now);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(orb_pace_retry_ms(&pace, now), 0);
    for (unsigned i = 0; i < 1000; i++)
        longest = orb_pace_retry_ms(&pace, now);
    assert_in_range(longest, 10000, 20000);
    assert_int_equal(orb_pace_retry_ms(&pace, now + 60 * ORB_S), 0);
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

struct seen {
    unsigned started, ended, again;
    uint64_t call;
    orbit_status last;
};

static void look_on(void *ctx, const orbit_trace_event *event)
{
    struct seen *seen = ctx;
    assert_int_equal(event->size, sizeof *event);
    if (event->request != ORBIT_REQUEST_STAT)
        return;
    assert_string_equal(event->backend, "script");
    assert_string_equal(event->path, "x");
    if (event->point == ORBIT_TRACE_STARTED) {
        assert_true(!seen->call || seen->call == event->call);
        seen->call = event->call;
        assert_int_equal(event->attempt, ++seen->started);
        return;
    }
    assert_int_equal(event->attempt, ++seen->ended);
    assert_int_equal(event->status < 0, event->error != NULL);
    seen->again += event->again;
    seen->last = event->status;
}

static void who_looks_on_is_told_of_every_attempt(void **state)
{
    (void)state;
    struct script script = {.steps = {{ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, 0, false}}, .step_count = 1};
    struct seen seen = {0};
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    options.trace = (orbit_trace){look_on, &seen};
    script_open(&script, &options, NULL, &client, &backend);
    orbit_metadata metadata;
    assert_int_equal(orbit_stat(backend, "x", NULL, &metadata, &error), ORBIT_OK);
    orbit_metadata_release(&metadata);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    assert_int_equal(orbit_client_get_stats(client, &stats), ORBIT_OK);
    assert_int_equal(stats.attempts[ORBIT_REQUEST_STAT], 2);
    assert_int_equal(stats.attempts[ORBIT_REQUEST_READ], 0);
    orbit_backend_close(backend);
    orbit_client_close(client);
    assert_int_equal(seen.started, 2);
    assert_int_equal(seen.ended, 2);
    assert_int_equal(seen.again, 1);
    assert_int_equal(seen.last, ORBIT_OK);
}

static void every_request_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 1; i < ORBIT_REQUEST_KINDS; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(orbit_request_name((orbit_request)i), orbit_request_name((orbit_request)k));
    assert_string_equal(orbit_request_name((orbit_request)1000), "other");
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
        cmocka_unit_test(throttling_sets_the_rate_of_the_last_second),
        cmocka_unit_test(a_complaint_now_and_then_is_no_reason_to_slow_down),
        cmocka_unit_test(a_store_with_a_limit_is_asked_as_often_as_it_answers),
        cmocka_unit_test(a_store_that_fails_at_random_is_not_slowed_down_for_ever),
        cmocka_unit_test(a_calm_store_is_not_paced_for_ever),
        cmocka_unit_test(a_storm_of_retries_is_delayed_and_none_fails),
        cmocka_unit_test(a_call_succeeds_after_failures),
        cmocka_unit_test(who_looks_on_is_told_of_every_attempt),
        cmocka_unit_test(every_request_has_a_name_of_its_own),
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
