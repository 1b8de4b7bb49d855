/* SPDX-License-Identifier: Apache-2.0
 * Cancelling, time limits, tasks, progress, several clients, lanes, the caller's own loop: the same on every store. */
#include "contract.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&left, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- cancelling ------------------------------------------------------------------------------------------------ */

static orbit_cancel *token;

static void *fire_soon(void *ctx)
{
    (void)ctx;
    pause_ms(60);
    orbit_cancel_fire(token);
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
    orbit_cancel_fire(token);
}

static void *signal_soon(void *ctx)
{
    pause_ms(60);
    pthread_kill(*(pthread_t *)ctx, SIGUSR1);
    return NULL;
}

/* A write whose source never ends on its own. */
static void cancel_a_write(void *(*firing)(void *))
{
    uint8_t *bytes = make_bytes(64 << 20, 1);
    struct scripted_source script = {.bytes = bytes, .length = 64 << 20, .most = 10000, .delay_ms = 5};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    pthread_t thread, self = pthread_self();
    token = orbit_cancel_new();
    assert_non_null(token);
    options.cancel = token;
    assert_false(orbit_cancel_fired(token));
    assert_int_equal(pthread_create(&thread, NULL, firing, &self), 0);
    MUST_FAIL(ORBIT_E_CANCELLED,
              orbit_write(contract.backend, at("cancelled"), scripted(&script), 64 << 20, &options, NULL, error));
    pthread_join(thread, NULL);
    assert_true(orbit_cancel_fired(token));
    assert_int_equal(script.closed, 1);
    check_nothing_left(at("cancelled"));
    orbit_cancel_free(token);
    free(bytes);
}

static void write_is_cancelled_from_another_thread(void **state)
{
    (void)state;
    cancel_a_write(fire_soon);
}

static void write_is_cancelled_from_a_signal_handler(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal}, old;
    sigaction(SIGUSR1, &action, &old);
    cancel_a_write(signal_soon);
    sigaction(SIGUSR1, &old, NULL);
}

static void fired_token_ends_calls_before_they_begin(void **state)
{
    (void)state;
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_read_options read = ORBIT_READ_OPTIONS_INIT;
    orbit_list_options list = ORBIT_LIST_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_reader *reader = NULL;
    static struct listing listing;
    token = orbit_cancel_new();
    assert_non_null(token);
    put_text(at("there"), "x");
    orbit_cancel_fire(token);
    call.cancel = write.cancel = read.cancel = list.cancel = token;
    MUST_FAIL(ORBIT_E_CANCELLED, orbit_stat(contract.backend, at("there"), &call, &metadata, error));
    MUST_FAIL(ORBIT_E_CANCELLED, orbit_remove(contract.backend, at("there"), &call, error));
    MUST_FAIL(ORBIT_E_CANCELLED,
              orbit_write(contract.backend, at("new"), orbit_source_memory("x", 1), 1, &write, NULL, error));
    struct scripted_source script = {.bytes = (const uint8_t *)"x", .length = 1, .most = 1};
    MUST_FAIL(ORBIT_E_CANCELLED, orbit_write(contract.backend, at("new"), scripted(&script), 1, &write, NULL, error));
    assert_int_equal(script.closed, 1);
    MUST_FAIL(ORBIT_E_CANCELLED, orbit_read(&reader, contract.backend, at("there"), &read, error));
    assert_null(reader);
    MUST_FAIL(ORBIT_E_CANCELLED, list_all(&listing, contract.backend, contract.scope, &list, error));
    listing_free(&listing);
    orbit_cancel_free(token);
    check_text(at("there"), "x");
    assert_false(exists(at("new")));
}

static void cancelled_reader_stays_cancelled(void **state)
{
    (void)state;
    size_t length = 20 * (size_t)contract.chunk;
    if (length > (24 << 20))
        length = 24 << 20;
    uint8_t *bytes = make_bytes(length, 2);
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    const void *piece;
    size_t piece_length;
    orbit_status status;
    token = orbit_cancel_new();
    options.cancel = token;
    options.chunk_size = 64 << 10;
    options.parallel_operations = 2;
    put(at("long"), bytes, length);
    MUST(orbit_read(&reader, contract.backend, at("long"), &options, error));
    MUST(orbit_reader_next(reader, &piece, &piece_length, error));
    orbit_cancel_fire(token);
    while ((status = orbit_reader_next(reader, &piece, &piece_length, NULL)) == ORBIT_OK)
        ;
    assert_int_equal(status, ORBIT_E_CANCELLED);
    assert_int_equal(orbit_reader_next(reader, &piece, &piece_length, NULL), ORBIT_E_CANCELLED);
    orbit_reader_close(reader);
    orbit_cancel_free(token);
    free(bytes);
}

static void time_limit_ends_a_call_that_takes_too_long(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(16 << 20, 3);
    struct scripted_source script = {.bytes = bytes, .length = 16 << 20, .most = 1000, .delay_ms = 10};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    int64_t begun = now_ms();
    options.timeout_ms = 200;
    MUST_FAIL(ORBIT_E_TIMEOUT,
              orbit_write(contract.backend, at("late"), scripted(&script), 16 << 20, &options, NULL, error));
    assert_true(now_ms() - begun < 20000);
    check_nothing_left(at("late"));
    free(bytes);
}

/* ---- tasks ----------------------------------------------------------------------------------------- */

struct done_record {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned calls;
    orbit_status status;
    pthread_t thread;
    bool free_inside, misuse_seen;
    uint64_t last_done, last_total;
    bool went_back;
};
#define DONE_RECORD_INIT                                                     \
    {                                                                        \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER \
    }

static void on_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct done_record *record = ctx;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    if (status < 0)
        assert_non_null(error);
    /* Waiting here would wait for itself. */
    bool misuse = orbit_stat(contract.backend, "x", NULL, &metadata, NULL) == ORBIT_E_MISUSE;
    if (record->free_inside)
        orbit_task_free(task);
    pthread_mutex_lock(&record->mutex);
    record->calls++;
    record->status = status;
    record->thread = pthread_self();
    record->misuse_seen = misuse;
    pthread_cond_broadcast(&record->cond);
    pthread_mutex_unlock(&record->mutex);
}

static void wait_done(struct done_record *record)
{
    pthread_mutex_lock(&record->mutex);
    while (record->calls == 0)
        pthread_cond_wait(&record->cond, &record->mutex);
    pthread_mutex_unlock(&record->mutex);
}

static void task_is_done_exactly_once(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 4);
    struct done_record record = DONE_RECORD_INIT;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_task *task = NULL;
    uint64_t done, total;
    MUST(orbit_write_start(&task, contract.backend, at("task"), orbit_source_memory(bytes, length), length, NULL,
                           &result, on_done, &record, error));
    MUST(orbit_task_wait(task, error));
    MUST(orbit_task_wait(task, error)); /* again: the same */
    assert_int_equal(record.calls, 1);
    assert_int_equal(record.status, ORBIT_OK);
    assert_true(record.misuse_seen);
    assert_false(pthread_equal(record.thread, pthread_self()));
    orbit_task_progress(task, &done, &total);
    assert_int_equal(done, length);
    assert_int_equal(total, length);
    orbit_task_cancel(task); /* too late: nothing */
    orbit_task_free(task);
    assert_int_equal(record.calls, 1);
    assert_int_equal(result.bytes, length);
    orbit_write_result_release(&result);
    check_bytes(at("task"), bytes, length);
    free(bytes);
}

static void task_is_freed_inside_done_or_frees_itself(void **state)
{
    (void)state;
    struct done_record inside = DONE_RECORD_INIT, itself = DONE_RECORD_INIT;
    orbit_metadata one = ORBIT_METADATA_INIT, two = ORBIT_METADATA_INIT;
    orbit_task *task = NULL;
    put_text(at("looked-at"), "123");
    inside.free_inside = true;
    MUST(orbit_stat_start(&task, contract.backend, at("looked-at"), NULL, &one, on_done, &inside, error));
    wait_done(&inside);
    assert_int_equal(inside.status, ORBIT_OK);
    assert_int_equal(one.size, 3);
    MUST(orbit_stat_start(NULL, contract.backend, at("missing"), NULL, &two, on_done, &itself, error));
    wait_done(&itself);
    assert_int_equal(itself.status, ORBIT_E_NOT_FOUND);
    pause_ms(20);
    assert_int_equal(inside.calls, 1);
    assert_int_equal(itself.calls, 1);
    orbit_metadata_release(&one);
    orbit_metadata_release(&two);
}

static void cancelled_task_is_done_once_and_leaves_nothing(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(16 << 20, 5);
    struct scripted_source script = {.bytes = bytes, .length = 16 << 20, .most = 20000, .delay_ms = 5};
    struct done_record record = DONE_RECORD_INIT;
    orbit_task *task = NULL;
    MUST(orbit_write_start(&task, contract.backend, at("stopped"), scripted(&script), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                           on_done, &record, error));
    pause_ms(40);
    orbit_task_cancel(task);
    orbit_task_cancel(task);
    MUST_FAIL(ORBIT_E_CANCELLED, orbit_task_wait(task, error));
    orbit_task_free(task);
    assert_int_equal(record.calls, 1);
    assert_int_equal(script.closed, 1);
    check_nothing_left(at("stopped"));
    script = (struct scripted_source){.bytes = bytes, .length = 16 << 20, .most = 20000, .delay_ms = 5};
    record.calls = 0;
    MUST(orbit_write_start(&task, contract.backend, at("stopped"), scripted(&script), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                           on_done, &record, error));
    orbit_task_free(task); /* cancels and waits */
    assert_int_equal(record.calls, 1);
    assert_int_equal(script.closed, 1);
    check_nothing_left(at("stopped"));
    free(bytes);
}

static void many_tasks_at_once_are_all_done(void **state)
{
    (void)state;
    enum { COUNT = 32 };
    struct done_record records[COUNT];
    orbit_task *tasks[COUNT];
    char names[COUNT][64];
    for (int i = 0; i < COUNT; i++) {
        records[i] = (struct done_record)DONE_RECORD_INIT;
        snprintf(names[i], sizeof(names[i]), "%s/task%d", contract.scope, i);
        MUST(orbit_write_start(&tasks[i], contract.backend, names[i], orbit_source_memory(names[i], 8), 8, NULL, NULL,
                               on_done, &records[i], error));
    }
    for (int i = 0; i < COUNT; i++) {
        MUST(orbit_task_wait(tasks[i], error));
        orbit_task_free(tasks[i]);
        assert_int_equal(records[i].calls, 1);
        check_bytes(names[i], names[i], 8);
    }
}

/* ---- progress -------------------------------------------------------------------------------------- */

struct progress_record {
    uint64_t last, total;
    unsigned calls;
    bool back;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct progress_record *record = ctx;
    record->back |= done < record->last;
    record->last = done;
    record->total = total;
    record->calls++;
}

static void progress_never_goes_back_and_ends_at_the_total(void **state)
{
    (void)state;
    size_t length = 5 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 6);
    struct progress_record record = {0, 0, 0, false}, copied = {0, 0, 0, false};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    options.progress = (orbit_progress){on_progress, &record};
    MUST(orbit_write(contract.backend, at("counted"), orbit_source_memory(bytes, length), length, &options, NULL,
                     error));
    assert_true(record.calls >= 1);
    assert_false(record.back);
    assert_int_equal(record.last, length);
    assert_int_equal(record.total, length);
    options.progress = (orbit_progress){on_progress, &copied};
    copy.write = &options;
    copy.no_server_copy = true;
    MUST(orbit_copy(contract.backend, at("counted"), contract.backend, at("copied"), &copy, NULL, error));
    assert_true(copied.calls >= 1);
    assert_false(copied.back);
    assert_int_equal(copied.last, length);
    free(bytes);
}

/* ---- clients --------------------------------------------------------------------------------------- */

/* A memory store of one name is another one in another client: its objects are not shared. */
static bool shared_between_clients(void)
{
    return contract.kind->profile == NULL;
}

static void exercise(orbit_client *client)
{
    size_t length = 3 * (size_t)contract.chunk + 1, done = 0;
    uint8_t *bytes = make_bytes(length, 7);
    orbit_backend *backend = NULL;
    orbit_reader *reader = NULL;
    const void *piece;
    size_t piece_length;
    orbit_status status;
    static struct listing listing;
    MUST(contract_open_store(&backend, client, error));
    MUST(orbit_write(backend, at("other/file"), orbit_source_memory(bytes, length), length, NULL, NULL, error));
    MUST(orbit_read(&reader, backend, at("other/file"), NULL, error));
    while ((status = orbit_reader_next(reader, &piece, &piece_length, NULL)) == ORBIT_OK) {
        assert_memory_equal(piece, bytes + done, piece_length);
        done += piece_length;
    }
    assert_int_equal(status, ORBIT_END);
    assert_int_equal(done, length);
    orbit_reader_close(reader);
    MUST(list_all(&listing, backend, at("other"), NULL, error));
    assert_int_equal(listing.count, 1);
    listing_free(&listing);
    orbit_backend_close(backend);
    if (shared_between_clients())
        check_bytes(at("other/file"), bytes, length);
    free(bytes);
}

static void two_clients_share_nothing_but_the_store(void **state)
{
    (void)state;
    orbit_client *other = NULL;
    assert_int_equal(contract_open_client(&other, NULL), ORBIT_OK);
    exercise(other);
    orbit_client_close(other);
    put_text(at("still"), "works");
    check_text(at("still"), "works");
}

static void any_number_of_lanes_does_the_same(void **state)
{
    (void)state;
    for (uint32_t lanes = 0; lanes <= 2; lanes++) {
        orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
        orbit_client *client = NULL;
        options.lanes = lanes;
        options.lanes_on_loop = lanes == 0;
        options.workers = 1;
        assert_int_equal(contract_open_client(&client, &options), ORBIT_OK);
        exercise(client);
        orbit_client_close(client);
    }
}

static void smallest_budget_is_enough(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client *client = NULL;
    orbit_error told;
    options.memory_bytes = 16 << 20;
    assert_int_equal(contract_open_client(&client, &options), ORBIT_OK);
    exercise(client);
    assert_int_equal(orbit_client_get_stats(client, &stats), ORBIT_OK);
    assert_int_equal(stats.memory_used_bytes, 0);
    assert_true(stats.memory_peak_bytes <= 16 << 20);
    assert_true(stats.bytes_written >= 3 * contract.chunk);
    orbit_client_close(client);
    options.memory_bytes = (16 << 20) - 1;
    assert_int_equal(orbit_client_open(&client, &options, &told), ORBIT_E_CONFIG);
}

static uint64_t sum_of_attempts(const orbit_stream_stats *stats)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ORBIT_REQUEST_ROOM; i++)
        sum += stats->attempts[i];
    return sum;
}

/* Each counts its own: what one stream asks is in no other's numbers, and the client has the sum. */
static void streams_and_tasks_count_what_they_ask(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 9;
    uint8_t *bytes = make_bytes(length, 21);
    orbit_stream_stats wrote = ORBIT_STREAM_STATS_INIT, read = wrote, listed = wrote, small = {.size = sizeof(size_t)};
    orbit_writer *writer = NULL;
    MUST(orbit_writer_open(&writer, contract.backend, at("counted"), length, NULL, error));
    MUST(orbit_writer_write(writer, bytes, length, error));
    MUST(orbit_writer_finish(writer, NULL, error));
    assert_int_equal(orbit_writer_get_stats(writer, &wrote), ORBIT_OK);
    orbit_writer_free(writer);
    assert_int_equal(wrote.bytes, length);
    assert_true(wrote.attempts[ORBIT_REQUEST_PUT] + wrote.attempts[ORBIT_REQUEST_PART] >= 1);
    assert_int_equal(wrote.attempts[ORBIT_REQUEST_READ], 0);

    orbit_reader *reader = NULL;
    const void *piece = NULL;
    size_t got = 0;
    orbit_error told;
    MUST(orbit_read(&reader, contract.backend, at("counted"), NULL, error));
    while (orbit_reader_next(reader, &piece, &got, &told) == ORBIT_OK)
        ;
    assert_int_equal(orbit_reader_get_stats(reader, &read), ORBIT_OK);
    orbit_reader_close(reader);
    assert_int_equal(read.bytes, length);
    assert_true(read.attempts[ORBIT_REQUEST_READ] >= 1);
    assert_int_equal(read.in_flight, 0);
    assert_true(read.in_flight_most >= 1);
    assert_int_equal(read.attempts[ORBIT_REQUEST_PUT] + read.attempts[ORBIT_REQUEST_PART], 0);

    orbit_lister *lister = NULL;
    orbit_entry entry;
    MUST(orbit_list(&lister, contract.backend, at(""), NULL, error));
    while (orbit_lister_next(lister, &entry, &told) == ORBIT_OK)
        ;
    assert_int_equal(orbit_lister_get_stats(lister, &listed), ORBIT_OK);
    assert_int_equal(orbit_lister_get_stats(lister, &small), ORBIT_OK); /* of an older caller: nothing behind its end */
    orbit_lister_close(lister);
    assert_true(listed.operations >= 1);
    assert_int_equal(listed.attempts[ORBIT_REQUEST_READ] + listed.attempts[ORBIT_REQUEST_PART], 0);
    assert_true(sum_of_attempts(&listed) <= listed.operations);

    assert_int_equal(orbit_reader_get_stats(NULL, &read), ORBIT_E_MISUSE);
    small.size = 0;
    assert_int_equal(orbit_task_get_stats(NULL, &small), ORBIT_E_MISUSE);
    free(bytes);
}

/* Blocking calls drive the caller's loop themselves; tasks go on when the caller drives it. */
static void callers_own_loop_does_the_same(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_client *client = NULL;
    orbit_backend *backend = NULL;
    options.external_loop = true;
    assert_int_equal(contract_open_client(&client, &options), ORBIT_OK);
    exercise(client);
    assert_true(orbit_client_fd(client) >= 0);
    MUST(contract_open_store(&backend, client, error));
    size_t length = 2 * (size_t)contract.chunk + 9;
    uint8_t *bytes = make_bytes(length, 8);
    struct done_record record = DONE_RECORD_INIT;
    orbit_task *task = NULL;
    int64_t begun = now_ms();
    MUST(orbit_write_start(&task, backend, at("looped"), orbit_source_memory(bytes, length), length, NULL, NULL,
                           on_done, &record, error));
    pthread_mutex_lock(&record.mutex);
    while (record.calls == 0) {
        pthread_mutex_unlock(&record.mutex);
        struct pollfd fd = {orbit_client_fd(client), POLLIN, 0};
        assert_true(now_ms() - begun < 60000);
        poll(&fd, 1, orbit_client_timeout_ms(client));
        MUST(orbit_client_process(client, error));
        pthread_mutex_lock(&record.mutex);
    }
    pthread_mutex_unlock(&record.mutex);
    assert_int_equal(record.status, ORBIT_OK);
    assert_true(pthread_equal(record.thread, pthread_self()));
    orbit_task_free(task);
    orbit_backend_close(backend);
    orbit_client_close(client);
    assert_int_equal(orbit_client_fd(contract.client), -1);
    MUST_FAIL(ORBIT_E_MISUSE, orbit_client_process(contract.client, error));
    free(bytes);
}

static void child_after_fork_may_not_use_the_client(void **state)
{
    (void)state;
    put_text(at("parent"), "x");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        orbit_error told;
        _exit(orbit_stat(contract.backend, at("parent"), NULL, &metadata, &told) == ORBIT_E_MISUSE ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_text(at("parent"), "x");
}

const struct CMUnitTest control_tests[] = {
    CONTRACT_TEST(write_is_cancelled_from_another_thread),
    CONTRACT_TEST(write_is_cancelled_from_a_signal_handler),
    CONTRACT_TEST(fired_token_ends_calls_before_they_begin),
    CONTRACT_TEST(cancelled_reader_stays_cancelled),
    CONTRACT_TEST(time_limit_ends_a_call_that_takes_too_long),
    CONTRACT_TEST(task_is_done_exactly_once),
    CONTRACT_TEST(task_is_freed_inside_done_or_frees_itself),
    CONTRACT_TEST(cancelled_task_is_done_once_and_leaves_nothing),
    CONTRACT_TEST(many_tasks_at_once_are_all_done),
    CONTRACT_TEST(progress_never_goes_back_and_ends_at_the_total),
    CONTRACT_TEST(two_clients_share_nothing_but_the_store),
    CONTRACT_TEST(any_number_of_lanes_does_the_same),
    CONTRACT_TEST(smallest_budget_is_enough),
    CONTRACT_TEST(streams_and_tasks_count_what_they_ask),
    CONTRACT_TEST(callers_own_loop_does_the_same),
    CONTRACT_TEST(child_after_fork_may_not_use_the_client),
};
const size_t control_test_count = COUNT_OF(control_tests);
