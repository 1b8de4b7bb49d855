/* SPDX-License-Identifier: Apache-2.0
 * The client and its tasks: who may call, who drives, what ends when. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "client/client.h"
#include "script.h"

/* ---- opening --------------------------------------------------------------------------------------- */

static void a_client_opens_with_defaults_and_closes(void **state)
{
    (void)state;
    orbit_client *client = NULL;
    orbit_error error;
    assert_int_equal(orbit_client_open(&client, NULL, &error), ORBIT_OK);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    assert_int_equal(orbit_client_get_stats(client, &stats), ORBIT_OK);
    assert_int_equal(stats.memory_limit_bytes, 128u << 20);
    assert_int_equal(orbit_client_fd(client), -1);
    assert_int_equal(orbit_client_process(client, &error), ORBIT_E_MISUSE);
    orbit_client_close(client);
    orbit_client_close(NULL);
    assert_string_equal(orbit_version(), "0.1.0");
    assert_int_equal(orbit_version_number(), 0x000100);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    orbit_client *client = (orbit_client *)1;
    orbit_error error;
    orbit_client_options options;
    orbit_client_options_init(&options);
    options.memory_bytes = 1 << 20;
    assert_int_equal(orbit_client_open(&client, &options, &error), ORBIT_E_CONFIG);
    assert_null(client);
    orbit_client_options_init(&options);
    options.workers = 100000;
    assert_int_equal(orbit_client_open(&client, &options, &error), ORBIT_E_CONFIG);
    memset(&options, 0, sizeof(options));
    assert_int_equal(orbit_client_open(&client, &options, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_client_open(NULL, NULL, &error), ORBIT_E_MISUSE);
}

static void null_handles_are_misuse_not_a_crash(void **state)
{
    (void)state;
    orbit_error error;
    orbit_backend *backend;
    bool exists;
    orbit_metadata metadata;
    assert_int_equal(orbit_open(&backend, NULL, "mem://x", NULL, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_stat(NULL, "x", NULL, &metadata, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_exists(NULL, "x", NULL, &exists, NULL), ORBIT_E_MISUSE);
    assert_int_equal(orbit_remove(NULL, "x", NULL, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_rename(NULL, "x", "y", true, NULL, &error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_task_wait(NULL, &error), ORBIT_E_MISUSE);
    orbit_task_cancel(NULL);
    orbit_task_free(NULL);
    orbit_backend_close(NULL);
    assert_string_equal(orbit_backend_name(NULL), "");
    assert_false(orbit_backend_supports(NULL, ORBIT_OPERATION_STAT));
}

/* ---- tasks ----------------------------------------------------------------------------------------- */

struct told {
    _Atomic unsigned times;
    orbit_status status;
    bool free_it;
    orbit_backend *backend;
    orbit_status blocking;
};

static void on_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct told *told = ctx;
    told->status = status;
    if (status < 0 && (!error || error->status != status))
        told->status = ORBIT_E_IO;
    if (told->backend) {
        bool exists;
        told->blocking = orbit_exists(told->backend, "x", NULL, &exists, NULL);
    }
    if (told->free_it)
        orbit_task_free(task);
    told->times++;
}

static void await(_Atomic unsigned *times, unsigned wanted)
{
    for (unsigned i = 0; i < 10000 && *times < wanted; i++)
        usleep(1000);
    assert_int_equal(*times, wanted);
}

static void a_task_is_done_exactly_once_and_waited_for(void **state)
{
    (void)state;
    struct script script = {.size = 9};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata metadata;
    orbit_task *task;
    assert_int_equal(orbit_stat_start(&task, backend, "x", NULL, &metadata, on_done, &told, &error), ORBIT_OK);
    assert_int_equal(orbit_task_wait(task, &error), ORBIT_OK);
    assert_int_equal(told.times, 1); /* it has returned by now */
    assert_int_equal(orbit_task_wait(task, &error), ORBIT_OK);
    orbit_task_cancel(task);
    assert_int_equal(metadata.size, 9);
    orbit_metadata_release(&metadata);
    orbit_backend_close(backend);
    orbit_client_close(client);
    orbit_task_free(task); /* ended: it outlives its client */
    assert_int_equal(told.times, 1);
}

static void a_task_is_freed_inside_done_or_frees_itself(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    struct told inside = {.free_it = true}, itself = {0};
    orbit_metadata one, two;
    orbit_task *task;
    assert_int_equal(orbit_stat_start(&task, backend, "x", NULL, &one, on_done, &inside, &error), ORBIT_OK);
    assert_int_equal(orbit_stat_start(NULL, backend, "x", NULL, &two, on_done, &itself, &error), ORBIT_OK);
    await(&inside.times, 1);
    await(&itself.times, 1);
    orbit_metadata_release(&one);
    orbit_metadata_release(&two);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_task_that_is_freed_early_is_cancelled_first(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata metadata;
    orbit_task *task;
    assert_int_equal(orbit_stat_start(&task, backend, "x", NULL, &metadata, on_done, &told, &error), ORBIT_OK);
    for (unsigned i = 0; i < 100; i++)
        orbit_task_cancel(task);
    orbit_task_free(task);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.status, ORBIT_E_CANCELLED);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_start_that_fails_leaves_no_task(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata metadata;
    orbit_task *task = (orbit_task *)1;
    orbit_call_options broken = {0};
    assert_int_equal(orbit_stat_start(&task, backend, NULL, NULL, &metadata, on_done, &told, &error), ORBIT_E_MISUSE);
    assert_null(task);
    assert_int_equal(orbit_stat_start(&task, backend, "x", &broken, &metadata, on_done, &told, &error), ORBIT_E_MISUSE);
    assert_null(task);
    assert_int_equal(told.times, 0);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_blocking_call_in_a_callback_is_refused(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    struct told told = {.backend = backend};
    orbit_metadata metadata;
    assert_int_equal(orbit_stat_start(NULL, backend, "x", NULL, &metadata, on_done, &told, &error), ORBIT_OK);
    await(&told.times, 1);
    assert_int_equal(told.blocking, ORBIT_E_MISUSE);
    orbit_metadata_release(&metadata);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void many_threads_share_one_backend(void **state);

static void *call_often(void *ctx)
{
    for (unsigned i = 0; i < 200; i++) {
        bool exists = false;
        if (orbit_exists(ctx, "x", NULL, &exists, NULL) < 0 || !exists)
            return (void *)1;
    }
    return NULL;
}

static void call_from_threads(const orbit_client_options *options)
{
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    script_open(&script, options, NULL, &client, &backend);
    pthread_t threads[6];
    for (unsigned i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, call_often, backend);
    for (unsigned i = 0; i < 6; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(script.attempts, 6 * 200);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void many_threads_share_one_backend(void **state)
{
    (void)state;
    call_from_threads(NULL);
}

/* ---- external loops -------------------------------------------------------------------------------- */

static const orbit_client_options external = {
    .size = sizeof(orbit_client_options), .external_loop = true, .lanes_on_loop = true};

static void blocking_calls_drive_an_external_loop_from_any_thread(void **state)
{
    (void)state;
    call_from_threads(&external);
}

static void a_poll_loop_drives_tasks(void **state)
{
    (void)state;
    /* The second attempt needs a timer of the loop. */
    struct script script = {.steps = {{ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE, 0, false}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, &external, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata metadata;
    assert_int_equal(orbit_stat_start(NULL, backend, "x", NULL, &metadata, on_done, &told, &error), ORBIT_OK);
    assert_int_equal(told.times, 0);
    assert_int_equal(script.attempts, 0); /* nothing happens unless the loop is driven */
    uint64_t until = orb_now_ns() + 10 * ORB_S;
    while (told.times == 0 && orb_now_ns() < until) {
        struct pollfd fd = {orbit_client_fd(client), POLLIN, 0};
        assert_true(fd.fd >= 0);
        int timeout = orbit_client_timeout_ms(client);
        poll(&fd, 1, timeout < 0 || timeout > 1000 ? 1000 : timeout);
        assert_int_equal(orbit_client_process(client, &error), ORBIT_OK);
    }
    assert_int_equal(told.times, 1);
    assert_int_equal(told.status, ORBIT_OK);
    orbit_metadata_release(&metadata);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void a_token_wakes_a_poll_loop(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, &external, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata metadata;
    orbit_cancel *cancel = orbit_cancel_new();
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.cancel = cancel;
    assert_int_equal(orbit_stat_start(NULL, backend, "x", &options, &metadata, on_done, &told, &error), ORBIT_OK);
    struct pollfd fd = {orbit_client_fd(client), POLLIN, 0};
    while (poll(&fd, 1, 100) > 0)
        assert_int_equal(orbit_client_process(client, &error), ORBIT_OK);
    assert_int_equal(script.hanging, 1);
    orbit_cancel_fire(cancel);
    assert_int_equal(poll(&fd, 1, 5000), 1); /* the descriptor itself tells */
    while (told.times == 0 && poll(&fd, 1, 5000) > 0)
        assert_int_equal(orbit_client_process(client, &error), ORBIT_OK);
    assert_int_equal(told.status, ORBIT_E_CANCELLED);
    orbit_cancel_free(cancel);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

static void *poll_until_told(void *ctx)
{
    struct {
        orbit_client *client;
        _Atomic bool stop;
    } *poller = ctx;
    while (!poller->stop) {
        struct pollfd fd = {orbit_client_fd(poller->client), POLLIN, 0};
        poll(&fd, 1, 5);
        orbit_client_process(poller->client, NULL);
    }
    return NULL;
}

static void a_poll_loop_and_blocking_calls_get_along(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    script_open(&script, &external, NULL, &client, &backend);
    struct {
        orbit_client *client;
        _Atomic bool stop;
    } poller = {client, false};
    pthread_t poll_thread, callers[3];
    pthread_create(&poll_thread, NULL, poll_until_told, &poller);
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&callers[i], NULL, call_often, backend);
    for (unsigned i = 0; i < 3; i++) {
        void *failed;
        pthread_join(callers[i], &failed);
        assert_null(failed);
    }
    poller.stop = true;
    pthread_join(poll_thread, NULL);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

/* ---- more than one, and other processes ------------------------------------------------------------ */

static void two_clients_share_nothing(void **state)
{
    (void)state;
    struct script first = {.size = 1}, second = {.size = 2};
    orbit_client *clients[2];
    orbit_backend *backends[2];
    orbit_error error;
    script_open(&first, NULL, NULL, &clients[0], &backends[0]);
    script_open(&second, &external, NULL, &clients[1], &backends[1]);
    orbit_metadata metadata;
    assert_int_equal(orbit_stat(backends[0], "x", NULL, &metadata, &error), ORBIT_OK);
    assert_int_equal(metadata.size, 1);
    orbit_metadata_release(&metadata);
    orbit_backend_close(backends[0]);
    orbit_client_close(clients[0]);
    assert_int_equal(orbit_stat(backends[1], "x", NULL, &metadata, &error), ORBIT_OK);
    assert_int_equal(metadata.size, 2);
    orbit_metadata_release(&metadata);
    orbit_backend_close(backends[1]);
    orbit_client_close(clients[1]);
    assert_int_equal(first.attempts, 1);
    assert_int_equal(second.attempts, 1);
}

static int in_the_child(orbit_client *client, orbit_backend *backend, orbit_cancel *cancel, orbit_task *task)
{
    orbit_cancel_fire(cancel);
    orbit_task_cancel(task);
    orbit_task_free(task);
    if (orbit_task_wait(task, NULL) != ORBIT_E_MISUSE)
        return 5;
    orbit_error error;
    bool exists;
    orbit_backend *other;
    if (orbit_exists(backend, "x", NULL, &exists, &error) != ORBIT_E_MISUSE || !strstr(error.message, "fork"))
        return 1;
    if (orbit_open(&other, client, "script://x", NULL, &error) != ORBIT_E_MISUSE)
        return 2;
    if (orbit_client_fd(client) != -1 || orbit_client_process(client, &error) != ORBIT_E_MISUSE)
        return 3;
    orbit_backend_close(backend); /* neither hangs nor touches the parent's */
    orbit_client_close(client);
#if !defined(__SANITIZE_THREAD__) /* it refuses threads in the child of a process with threads */
    orbit_client *own;
    if (orbit_client_open(&own, NULL, &error) < 0)
        return 4;
    orbit_client_close(own);
#endif
    return 0;
}

static void a_forked_child_is_told_and_harms_nobody(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}}, .step_count = 1};
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    script_open(&script, NULL, NULL, &client, &backend);
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    options.cancel = orbit_cancel_new();
    orbit_metadata metadata;
    orbit_task *task;
    assert_int_equal(orbit_stat_start(&task, backend, "x", &options, &metadata, NULL, NULL, &error), ORBIT_OK);
    while (script.hanging == 0)
        usleep(1000);
    pid_t child = fork();
    if (child == 0)
        _exit(in_the_child(client, backend, options.cancel, task));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    usleep(20000);
    assert_int_equal(script.cancels, 0); /* what the child fired is the child's */
    orbit_cancel_fire(options.cancel);
    assert_int_equal(orbit_task_wait(task, &error), ORBIT_E_CANCELLED);
    orbit_task_free(task);
    orbit_cancel_free(options.cancel);
    orbit_backend_close(backend);
    orbit_client_close(client);
}

/* ---- closing under use ----------------------------------------------------------------------------- */

static _Atomic unsigned lines;

static void count_lines(void *ctx, orbit_log_level level, const char *line)
{
    (void)ctx;
    (void)line;
    if (level <= ORBIT_LOG_WARN)
        lines++;
}

static void closing_ends_what_still_runs(void **state)
{
    (void)state;
    struct script script = {.steps = {{0, 0, 0, true}, {0, 0, 0, true}}, .step_count = 2};
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.log.function = count_lines;
    orbit_client *client;
    orbit_backend *backend;
    orbit_error error;
    lines = 0;
    script_open(&script, &options, NULL, &client, &backend);
    struct told told = {0};
    orbit_metadata one, two;
    orbit_task *task;
    assert_int_equal(orbit_stat_start(&task, backend, "x", NULL, &one, on_done, &told, &error), ORBIT_OK);
    assert_int_equal(orbit_stat_start(NULL, backend, "x", NULL, &two, on_done, &told, &error), ORBIT_OK);
    orbit_client_close(client); /* the backend and both tasks with it */
    assert_int_equal(told.times, 2);
    assert_int_equal(told.status, ORBIT_E_CANCELLED);
    assert_int_equal(script.closes, 1);
    assert_true(lines >= 2);
    assert_int_equal(orbit_task_wait(task, &error), ORBIT_E_CANCELLED);
    orbit_task_free(task);
}

struct stream {
    struct orb_holder holder;
    orbit_backend *backend;
    unsigned stops;
};

static void stream_stop(struct orb_holder *holder)
{
    struct stream *stream = (struct stream *)holder;
    stream->stops++;
    orb_backend_leave(holder);
}

static void stream_join(void *ctx)
{
    struct stream *stream = ctx;
    orb_backend_join(stream->backend, &stream->holder, stream_stop);
}

static void stream_leave(void *ctx)
{
    orb_backend_leave(&((struct stream *)ctx)->holder);
}

static void closing_a_backend_stops_its_streams(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client *client;
    orbit_backend *backend;
    script_open(&script, NULL, NULL, &client, &backend);
    struct stream streams[3] = {{.backend = backend}, {.backend = backend}, {.backend = backend}};
    for (unsigned i = 0; i < 3; i++)
        orb_client_on_loop(client, stream_join, &streams[i]);
    orb_client_on_loop(client, stream_leave, &streams[1]);
    orb_client_on_loop(client, stream_leave, &streams[1]);
    orbit_backend_close(backend);
    assert_int_equal(streams[0].stops, 1);
    assert_int_equal(streams[1].stops, 0);
    assert_int_equal(streams[2].stops, 1);
    assert_int_equal(script.closes, 1);
    orbit_client_close(client);
}

static void a_backend_that_is_only_held_closes_with_the_last_drop(void **state)
{
    (void)state;
    struct script script = {0};
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.log.function = count_lines;
    orbit_client *client;
    orbit_backend *backend;
    lines = 0;
    script_open(&script, &options, NULL, &client, &backend);
    orb_backend_hold(backend);
    orb_backend_hold(backend);
    orbit_backend_close(backend);
    assert_int_equal(script.closes, 0);
    assert_true(lines > 0);
    orb_backend_drop(backend);
    orb_backend_drop(backend);
    for (unsigned i = 0; i < 5000 && script.closes == 0; i++)
        usleep(1000);
    assert_int_equal(script.closes, 1);
    orbit_client_close(client);
}

/* ---- memory that runs out -------------------------------------------------------------------------- */

static orbit_status everything(struct script *script)
{
    orbit_client *client = NULL;
    orbit_backend *backend = NULL;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_cancel *cancel = orbit_cancel_new();
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_location location;
    orbit_status status = cancel ? ORBIT_OK : ORBIT_E_MEMORY;
    const orbit_status memory = ORBIT_E_MEMORY;
    options.cancel = cancel;
    options.timeout_ms = 60000;
    options.recursive = true;
    script_add(script, "d/a");
    script_add(script, "d/b/c");
    if (status >= 0)
        status = orbit_client_open(&client, &external, NULL);
    if (status >= 0)
        status = orbit_register(client, "script", &script_ops, script, NULL);
    if (status >= 0)
        status = orbit_open(&backend, client, "script://x?a=b&c=d", NULL, NULL);
    if (status >= 0)
        status = orbit_stat(backend, "d", &options, &metadata, NULL);
    orbit_metadata_release(&metadata);
    if (status >= 0)
        status = orbit_remove(backend, "d", &options, NULL);
    if (status >= 0)
        status = orbit_location_parse(&location, "s3://bucket?region=x", NULL);
    if (status >= 0)
        orbit_location_release(&location);
    orbit_backend_close(backend);
    orbit_client_close(client);
    orbit_cancel_free(cancel);
    script_release(script);
    return status == ORBIT_OK ? ORBIT_OK : memory == status ? memory : status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct script script = {.capabilities = {.hierarchical = true}};
    for (uint64_t n = 1; n < 400; n++) {
        orb_mem_fail_at(n);
        orbit_status status = everything(&script);
        uint64_t count = orb_mem_count();
        orb_mem_fail_at(0);
        assert_int_equal(script.list_cursors, 0);
        assert_int_equal(script.opens, script.closes);
        if (count < n) { /* it went through without failing */
            assert_int_equal(status, ORBIT_OK);
            assert_true(n > 20);
            return;
        }
        /* What can do without memory may succeed; what fails says why. */
        assert_true(status == ORBIT_OK || status == ORBIT_E_MEMORY);
    }
    fail_msg("more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_opens_with_defaults_and_closes),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(null_handles_are_misuse_not_a_crash),
        cmocka_unit_test(a_task_is_done_exactly_once_and_waited_for),
        cmocka_unit_test(a_task_is_freed_inside_done_or_frees_itself),
        cmocka_unit_test(a_task_that_is_freed_early_is_cancelled_first),
        cmocka_unit_test(a_start_that_fails_leaves_no_task),
        cmocka_unit_test(a_blocking_call_in_a_callback_is_refused),
        cmocka_unit_test(many_threads_share_one_backend),
        cmocka_unit_test(blocking_calls_drive_an_external_loop_from_any_thread),
        cmocka_unit_test(a_poll_loop_drives_tasks),
        cmocka_unit_test(a_token_wakes_a_poll_loop),
        cmocka_unit_test(a_poll_loop_and_blocking_calls_get_along),
        cmocka_unit_test(two_clients_share_nothing),
        cmocka_unit_test(a_forked_child_is_told_and_harms_nobody),
        cmocka_unit_test(closing_ends_what_still_runs),
        cmocka_unit_test(closing_a_backend_stops_its_streams),
        cmocka_unit_test(a_backend_that_is_only_held_closes_with_the_last_drop),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
