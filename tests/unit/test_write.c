/* SPDX-License-Identifier: Apache-2.0
 * Writing: sources of every kind, push and pull, part boundaries, hints, failures that leave nothing behind. */
#include "unit/write_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>

#include "base/mem.h"

struct generator {
    uint64_t length, at;
    size_t step;      /* most bytes a read gives; 0: all */
    uint64_t fail_at; /* with ORBIT_E_IO; 0: never */
    unsigned closed;
    useconds_t pause_us;
};

static orbit_status generate(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct generator *generator = ctx;
    if (generator->fail_at && generator->at >= generator->fail_at)
        return orbit_error_set(error, ORBIT_E_IO, 0, "the tap is dry");
    if (generator->pause_us)
        usleep(generator->pause_us);
    if (generator->at == generator->length)
        return ORBIT_END;
    uint64_t bytes = generator->length - generator->at;
    if (bytes > room)
        bytes = room;
    if (generator->step && bytes > generator->step)
        bytes = generator->step;
    for (uint64_t i = 0; i < bytes; i++)
        ((uint8_t *)buffer)[i] = wstore_byte(generator->at + i);
    generator->at += bytes;
    *length = (size_t)bytes;
    return ORBIT_OK;
}

static void generator_close(void *ctx)
{
    ((struct generator *)ctx)->closed++;
}

static orbit_source source_of(struct generator *generator)
{
    orbit_source source = orbit_source_function(generate, generator);
    source.close = generator_close;
    return source;
}

static void assert_there(const char *path, uint64_t length)
{
    if (!wstore_is_pattern(wstore_find(&fx.store, path), length))
        fail_msg("'%s' is not the %llu bytes it should be", path, (unsigned long long)length);
}

static const uint64_t lengths[] = {0,   1,       65535,   65536,       65537,           256 << 10, MIB - 1,
                                   MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, 5 * MIB + 12345, 20 * MIB};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

/* ---- pull ----------------------------------------------------------------------------------------------- */

static void functions_of_any_length_and_hint_arrive(void **state)
{
    (void)state;
    const uint64_t hints[] = {ORBIT_SIZE_UNKNOWN, 0, 1, MIB, 100 * MIB};
    fixture_open();
    for (size_t i = 0; i < LENGTHS; i++)
        for (size_t j = 0; j < sizeof(hints) / sizeof(hints[0]); j++) {
            struct generator generator = {.length = lengths[i], .step = j & 1 ? 7777 : 0};
            orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
            assert_ok(orbit_write(fx.backend, "f", source_of(&generator), hints[j], NULL, &result, &fx.error));
            assert_there("f", lengths[i]);
            assert_int_equal(result.bytes, lengths[i]);
            assert_int_equal(result.multipart, lengths[i] > MIB);
            assert_int_equal(result.parts, result.multipart ? (lengths[i] + MIB - 1) / MIB : 1);
            assert_non_null(result.metadata.etag);
            assert_int_equal(generator.closed, 1);
            orbit_write_result_release(&result);
        }
}

static void memory_is_sent_where_it_lies(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = wstore_pattern(20 * MIB);
    for (size_t i = 0; i < LENGTHS; i++) {
        orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
        assert_ok(orbit_write(fx.backend, "m", orbit_source_memory(bytes, lengths[i]), 1, NULL, &result, &fx.error));
        assert_there("m", lengths[i]);
        assert_int_equal(result.bytes, lengths[i]);
        assert_int_equal(result.multipart, lengths[i] > MIB);
        orbit_write_result_release(&result);
    }
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_int_equal(stats.memory_peak_bytes, 0);
    assert_true(fx.store.whole_bodies > 0);
    free(bytes);
}

static void files_go_by_their_extents(void **state)
{
    (void)state;
    fixture_open();
    for (size_t i = 1; i < LENGTHS; i++) {
        void *bytes = wstore_pattern(lengths[i]);
        orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
        const char *path = fixture_file("f", bytes, lengths[i]);
        assert_ok(orbit_write(fx.backend, "p", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, &result, &fx.error));
        assert_there("p", lengths[i]);
        assert_int_equal(result.multipart, lengths[i] > MIB);
        orbit_write_result_release(&result);
        free(bytes);
    }
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 4 * (768 << 10)); /* four ranges, no part */
}

static void descriptors_go_from_where_they_stand(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = malloc(3 * MIB + 100);
    assert_non_null(bytes);
    memset(bytes, 'x', 100);
    void *pattern = wstore_pattern(3 * MIB);
    memcpy(bytes + 100, pattern, 3 * MIB);
    int fd = open(fixture_file("fd", bytes, 3 * MIB + 100), O_RDONLY);
    lseek(fd, 100, SEEK_SET);
    assert_ok(orbit_write(fx.backend, "fd", orbit_source_fd(fd), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error));
    assert_there("fd", 3 * MIB);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3 * MIB + 100);
    assert_ok(orbit_write(fx.backend, "end", orbit_source_fd(fd), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error));
    assert_there("end", 0);
    close(fd);
    fd = open(fixture_file("gone", pattern, 2 * MIB), O_RDWR);
    unlink(fixture_file("gone", pattern, 2 * MIB));
    assert_ok(orbit_write(fx.backend, "gone", orbit_source_fd(fd), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error));
    assert_there("gone", 2 * MIB);
    close(fd);
    free(bytes);
    free(pattern);
}

struct feeder {
    int fd;
    uint64_t length;
};

static void *feed(void *ctx)
{
    struct feeder *feeder = ctx;
    uint8_t *bytes = wstore_pattern(feeder->length);
    for (uint64_t at = 0; at < feeder->length;) {
        ssize_t done = write(feeder->fd, bytes + at, feeder->length - at);
        if (done <= 0)
            break;
        at += (uint64_t)done;
    }
    close(feeder->fd);
    free(bytes);
    return NULL;
}

static void pipes_are_read_in_order(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    fixture_open();
    assert_int_equal(pipe(ends), 0);
    struct feeder feeder = {ends[1], 3 * MIB + 17};
    pthread_create(&thread, NULL, feed, &feeder);
    assert_ok(orbit_write(fx.backend, "pipe", orbit_source_fd(ends[0]), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error));
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_there("pipe", 3 * MIB + 17);
}

static void silent_pipe_does_not_hold_up_the_end(void **state)
{
    (void)state;
    int ends[2];
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_task *task = NULL;
    fixture_open();
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "begun", 5), 5);
    options.timeout_ms = 50; /* on the caller's thread */
    assert_int_equal(
        orbit_write(fx.backend, "late", orbit_source_fd(ends[0]), ORBIT_SIZE_UNKNOWN, &options, NULL, &fx.error),
        ORBIT_E_TIMEOUT);
    options.timeout_ms = 0; /* on a thread of the task's own */
    assert_ok(orbit_write_start(&task, fx.backend, "never", orbit_source_fd(ends[0]), ORBIT_SIZE_UNKNOWN, &options,
                                NULL, NULL, NULL, &fx.error));
    orbit_task_cancel(task);
    assert_int_equal(orbit_task_wait(task, &fx.error), ORBIT_E_CANCELLED);
    orbit_task_free(task);
    close(ends[0]);
    close(ends[1]);
    assert_null(wstore_find(&fx.store, "late"));
    assert_null(wstore_find(&fx.store, "never"));
}

static void files_that_lie_about_their_size_are_read_all_the_same(void **state)
{
    (void)state;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    fixture_open();
    assert_ok(orbit_write(fx.backend, "cpu", orbit_source_path("/proc/cpuinfo"), ORBIT_SIZE_UNKNOWN, NULL, &result,
                          &fx.error));
    assert_true(result.bytes > 100);
    orbit_write_result_release(&result);
}

static void what_cannot_be_read_says_so(void **state)
{
    (void)state;
    fixture_open();
    assert_int_equal(orbit_write(fx.backend, "x", orbit_source_path("/nonexistent/x"), 1, NULL, NULL, &fx.error),
                     ORBIT_E_NOT_FOUND);
    assert_int_equal(orbit_write(fx.backend, "x", orbit_source_path("/tmp"), 1, NULL, NULL, &fx.error), ORBIT_E_PATH);
    assert_true(fx.error.flags & ORBIT_ERROR_IS_DIRECTORY);
    int fd = open("/dev/null", O_WRONLY);
    assert_int_equal(orbit_write(fx.backend, "x", orbit_source_fd(fd), 1, NULL, NULL, &fx.error), ORBIT_E_IO);
    close(fd);
    orbit_source none = {0};
    assert_int_equal(orbit_write(fx.backend, "x", none, 1, NULL, NULL, &fx.error), ORBIT_E_MISUSE);
    assert_null(wstore_find(&fx.store, "x"));
}

static void a_source_that_fails_midway_is_the_error_and_leaves_nothing(void **state)
{
    (void)state;
    fixture_open();
    const uint64_t points[] = {1, 500000, MIB, MIB + 1, 5 * MIB};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct generator generator = {.length = 20 * MIB, .step = 100000, .fail_at = points[i]};
        assert_int_equal(orbit_write(fx.backend, "bad", source_of(&generator), 20 * MIB, NULL, NULL, &fx.error),
                         ORBIT_E_IO);
        assert_string_equal(fx.error.message, "the tap is dry");
        assert_int_equal(generator.closed, 1);
        assert_null(wstore_find(&fx.store, "bad"));
        assert_int_equal(fx.store.uploads_open, 0);
    }
}

static void another_stream_can_be_the_source(void **state)
{
    (void)state;
    void *bytes = wstore_pattern(5 * MIB);
    wstore_put(&fx.other, "o", bytes, 5 * MIB);
    fixture_open();
    orbit_reader *reader = NULL;
    assert_ok(orbit_read(&reader, fx.from, "o", NULL, &fx.error));
    assert_ok(orbit_write(fx.backend, "r", orbit_source_reader(reader), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error));
    assert_there("r", 5 * MIB);
    orbit_reader_close(reader);
    assert_ok(orbit_read(&reader, fx.from, "o", NULL, &fx.error));
    orbit_task *task = NULL;
    assert_ok(orbit_write_start(&task, fx.backend, "r2", orbit_source_reader(reader), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                                NULL, NULL, &fx.error));
    assert_ok(orbit_task_wait(task, &fx.error));
    orbit_task_free(task);
    orbit_reader_close(reader);
    assert_there("r2", 5 * MIB);
    free(bytes);
}

static void tasks_read_their_source_on_a_thread_of_its_own(void **state)
{
    (void)state;
    fixture_open();
    struct generator generators[3] = {{.length = 5 * MIB}, {.length = 10, .pause_us = 1000}, {.length = 0}};
    orbit_task *tasks[4] = {NULL};
    void *bytes = wstore_pattern(4 * MIB);
    char names[3][2] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        assert_ok(orbit_write_start(&tasks[i], fx.backend, names[i], source_of(&generators[i]), ORBIT_SIZE_UNKNOWN,
                                    NULL, NULL, NULL, NULL, &fx.error));
    assert_ok(orbit_write_start(&tasks[3], fx.backend, "d", orbit_source_path(fixture_file("d", bytes, 4 * MIB)),
                                ORBIT_SIZE_UNKNOWN, NULL, NULL, NULL, NULL, &fx.error));
    for (int i = 0; i < 4; i++) {
        assert_ok(orbit_task_wait(tasks[i], &fx.error));
        orbit_task_free(tasks[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_there(names[i], generators[i].length);
        assert_int_equal(generators[i].closed, 1);
    }
    assert_there("d", 4 * MIB);
    free(bytes);
}

/* ---- push ----------------------------------------------------------------------------------------------- */

static void pushed_bytes_arrive_whatever_their_pieces(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = wstore_pattern(20 * MIB);
    const size_t pieces[] = {1 << 12, 99999, 3 << 20, 32 << 20};
    for (size_t i = 0; i < LENGTHS; i++)
        for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
            orbit_writer *writer = NULL;
            orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
            assert_ok(orbit_writer_open(&writer, fx.backend, "w", ORBIT_SIZE_UNKNOWN, NULL, &fx.error));
            for (uint64_t at = 0; at < lengths[i];) {
                size_t piece = lengths[i] - at < pieces[j] ? (size_t)(lengths[i] - at) : pieces[j];
                assert_ok(orbit_writer_write(writer, bytes + at, piece, &fx.error));
                at += piece;
            }
            assert_ok(orbit_writer_finish(writer, &result, &fx.error));
            assert_int_equal(result.bytes, lengths[i]);
            assert_int_equal(result.multipart, lengths[i] > MIB);
            orbit_write_result_release(&result);
            assert_int_equal(orbit_writer_write(writer, "x", 1, &fx.error), ORBIT_E_MISUSE);
            assert_int_equal(orbit_writer_abort(writer, &fx.error), ORBIT_E_MISUSE);
            orbit_writer_free(writer);
            assert_there("w", lengths[i]);
        }
    free(bytes);
}

static void an_unfinished_writer_leaves_nothing(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = wstore_pattern(5 * MIB);
    for (int i = 0; i < 3; i++) {
        orbit_writer *writer = NULL;
        assert_ok(orbit_writer_open(&writer, fx.backend, "u", 1, NULL, &fx.error));
        assert_ok(orbit_writer_write(writer, bytes, i == 0 ? 10 : 5 * MIB, &fx.error));
        if (i == 2) {
            assert_ok(orbit_writer_abort(writer, &fx.error));
            assert_int_equal(orbit_writer_write(writer, bytes, 1, &fx.error), ORBIT_E_CANCELLED);
            assert_int_equal(orbit_writer_finish(writer, NULL, &fx.error), ORBIT_E_CANCELLED);
            assert_ok(orbit_writer_abort(writer, &fx.error));
        }
        orbit_writer_free(writer);
        assert_null(wstore_find(&fx.store, "u"));
        assert_int_equal(fx.store.uploads_open, 0);
    }
    orbit_writer_free(NULL);
    free(bytes);
}

static void a_failed_writer_stays_failed(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 2, 100, WSTORE_FAIL, 0, ORBIT_E_NO_SPACE, 0);
    fixture_open();
    orbit_writer *writer = NULL;
    uint8_t *bytes = wstore_pattern(MIB);
    orbit_status status = ORBIT_OK;
    assert_ok(orbit_writer_open(&writer, fx.backend, "n", ORBIT_SIZE_UNKNOWN, NULL, &fx.error));
    for (int i = 0; i < 1000 && status == ORBIT_OK; i++)
        status = orbit_writer_write(writer, bytes, MIB, &fx.error);
    assert_int_equal(status, ORBIT_E_NO_SPACE);
    assert_int_equal(orbit_writer_write(writer, bytes, 1, &fx.error), ORBIT_E_NO_SPACE);
    assert_int_equal(orbit_writer_finish(writer, NULL, &fx.error), ORBIT_E_NO_SPACE);
    orbit_writer_free(writer);
    assert_null(wstore_find(&fx.store, "n"));
    free(bytes);
}

static sem_t room;

static void ready(void *ctx)
{
    (void)ctx;
    sem_post(&room);
}

static void a_writer_that_does_not_wait_says_again_and_calls_back(void **state)
{
    (void)state;
    sem_t gate; /* closed until the writer has said that it has no room: a fast store would always have some */
    sem_init(&gate, 0, 0);
    fx.store.gate = &gate;
    fixture_open();
    sem_init(&room, 0, 0);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.ready = ready;
    orbit_writer *writer = NULL;
    const uint64_t all = 96 * MIB; /* more than the stream may hold */
    uint8_t *bytes = wstore_pattern(all);
    unsigned agains = 0;
    assert_ok(orbit_writer_open(&writer, fx.backend, "t", ORBIT_SIZE_UNKNOWN, &options, &fx.error));
    for (uint64_t at = 0; at < all;) {
        size_t taken = 0;
        orbit_status status = orbit_writer_try_write(writer, bytes + at, all - at, &taken, &fx.error);
        at += taken;
        if (status == ORBIT_AGAIN) {
            assert_int_equal(taken, 0);
            if (agains++ == 0)
                sem_post(&gate);
            sem_wait(&room);
        } else {
            assert_ok(status);
        }
    }
    orbit_task *task = NULL;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    assert_ok(orbit_writer_finish_start(&task, writer, &result, NULL, NULL, &fx.error));
    assert_ok(orbit_task_wait(task, &fx.error));
    orbit_task_free(task);
    orbit_writer_free(writer);
    orbit_write_result_release(&result);
    assert_true(agains > 0);
    assert_there("t", all);
    sem_destroy(&gate);
    free(bytes);
}

/* ---- failures of the store -------------------------------------------------------------------------------- */

static void write_pattern(uint64_t length, orbit_status expected)
{
    struct generator generator = {.length = length};
    orbit_status status =
        orbit_write(fx.backend, "s", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error);
    if (expected == ORBIT_OK) {
        assert_ok(status);
        assert_there("s", length);
    } else {
        assert_int_equal(status, expected);
        assert_null(wstore_find(&fx.store, "s"));
    }
    assert_int_equal(fx.store.uploads_open, 0);
}

static void parts_are_retried_with_their_bytes(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 2, 3, WSTORE_FAIL, 100000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    wstore_fault(&fx.store, WSTORE_BEGIN, 1, 1, WSTORE_FAIL, 0, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_FAIL, 0, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    fixture_open();
    write_pattern(10 * MIB + 5, ORBIT_OK);
    assert_int_equal(fx.store.attempts[WSTORE_BEGIN], 2);
    assert_int_equal(fx.store.attempts[WSTORE_FINISH], 2);
    assert_int_equal(fx.store.attempts[WSTORE_PART], 14);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 0);
    assert_false(fx.store.resolved);
}

static void a_put_is_retried(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PUT, 1, 2, WSTORE_FAIL, 1000, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE);
    fixture_open();
    write_pattern(5000, ORBIT_OK);
    assert_int_equal(fx.store.attempts[WSTORE_PUT], 3);
}

static void a_lost_finish_is_resolved_not_repeated_blindly(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_LOSE, 0, ORBIT_E_NETWORK, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_OK);
    assert_true(fx.store.resolved);
    assert_int_equal(fx.store.attempts[WSTORE_FINISH], 2);
    assert_int_equal(wstore_find(&fx.store, "s")->version, 1);
}

static void a_store_that_refuses_leaves_nothing_behind(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_BEGIN, 1, 1, WSTORE_FAIL, 0, ORBIT_E_PERMISSION, 0);
    wstore_fault(&fx.store, WSTORE_PART, 1, 1, WSTORE_FAIL, 5000, ORBIT_E_QUOTA, 0);
    wstore_fault(&fx.store, WSTORE_FINISH, 1, 1, WSTORE_FAIL, 0, ORBIT_E_CHANGED, 0);
    wstore_fault(&fx.store, WSTORE_PUT, 1, 1, WSTORE_FAIL, 0, ORBIT_E_AUTH, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_E_PERMISSION);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 0);
    write_pattern(3 * MIB, ORBIT_E_QUOTA);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 1);
    write_pattern(3 * MIB, ORBIT_E_CHANGED);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 2);
    write_pattern(3, ORBIT_E_AUTH);
    assert_int_equal(fx.store.attempts[WSTORE_ABORT], 2);
}

static void an_abort_that_fails_does_not_hide_the_reason(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 1, 1, WSTORE_FAIL, 0, ORBIT_E_QUOTA, 0);
    wstore_fault(&fx.store, WSTORE_ABORT, 1, 100, WSTORE_FAIL, 0, ORBIT_E_PERMISSION, 0);
    fixture_open();
    write_pattern(3 * MIB, ORBIT_E_QUOTA);
}

static void nothing_is_overwritten_unless_allowed(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    wstore_put(&fx.store, "taken", "old", 3);
    fixture_open();
    for (uint64_t length = 10; length <= 3 * MIB; length += 3 * MIB - 10) {
        struct generator generator = {.length = length};
        assert_int_equal(orbit_write(fx.backend, "taken", source_of(&generator), length, &options, NULL, &fx.error),
                         ORBIT_E_EXISTS);
        assert_int_equal(wstore_find(&fx.store, "taken")->length, 3);
    }
}

static void parts_are_equal_where_the_store_wants_that(void **state)
{
    (void)state;
    fx.store.caps.equal_parts = true;
    fixture_open();
    write_pattern(7 * MIB + 1, ORBIT_OK);
    assert_false(fx.store.equal_broken);
}

static void parts_follow_one_another_where_the_store_wants_that(void **state)
{
    (void)state;
    fx.store.caps.sequential_parts = true;
    fixture_open();
    write_pattern(7 * MIB + 1, ORBIT_OK);
    assert_int_equal(fx.store.parts_peak, 1);
    void *bytes = wstore_pattern(5 * MIB);
    assert_ok(orbit_write(fx.backend, "m", orbit_source_memory(bytes, 5 * MIB), 0, NULL, NULL, &fx.error));
    assert_int_equal(fx.store.parts_peak, 1);
    free(bytes);
}

static void several_parts_are_in_flight(void **state)
{
    (void)state;
    fixture_open();
    void *bytes = wstore_pattern(20 * MIB);
    assert_ok(orbit_write(fx.backend, "m", orbit_source_memory(bytes, 20 * MIB), 0, NULL, NULL, &fx.error));
    assert_int_equal(fx.store.parts_peak, 4);
    free(bytes);
}

/* Each allocation fails once: the call fails with it or does without, and nothing is left either way. */
static void memory_may_run_out_at_any_moment(void **state)
{
    (void)state;
    fixture_open();
    uint8_t *bytes = wstore_pattern(3 * MIB);
    char *path = fixture_file("f", bytes, 3 * MIB);
    for (int kind = 0; kind < 4; kind++) {
        bool failed = true;
        for (uint64_t n = 1; n < 500 && failed; n++) {
            struct generator generator = {.length = 3 * MIB, .step = 100000};
            orbit_writer *writer = NULL;
            orbit_status status;
            orb_mem_fail_at(n);
            if (kind == 0) {
                status = orbit_write(fx.backend, "k", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error);
            } else if (kind == 1) {
                status = orbit_write(fx.backend, "k", orbit_source_memory(bytes, 3 * MIB), 0, NULL, NULL, &fx.error);
            } else if (kind == 2) {
                status = orbit_write(fx.backend, "k", orbit_source_path(path), 0, NULL, NULL, &fx.error);
            } else {
                status = orbit_writer_open(&writer, fx.backend, "k", ORBIT_SIZE_UNKNOWN, NULL, &fx.error);
                if (status >= 0)
                    status = orbit_writer_write(writer, bytes, 3 * MIB, &fx.error);
                if (status >= 0)
                    status = orbit_writer_finish(writer, NULL, &fx.error);
            }
            failed = orb_mem_count() >= n;
            orb_mem_fail_at(0);
            orbit_writer_free(writer);
            if (status != ORBIT_E_MEMORY)
                assert_ok(status);
            assert_int_equal(fx.store.uploads_open, 0);
            assert_int_equal(fixture_memory_used(), 0);
        }
        assert_false(failed);
    }
    free(bytes);
}

static void a_store_without_parts_takes_what_one_put_may_hold(void **state)
{
    (void)state;
    fx.store.caps.part_min = 0;
    fx.store.caps.put_max = 3 * MIB;
    fixture_open_with(NULL, &wstore_poor_ops, NULL);
    write_pattern(3 * MIB, ORBIT_OK);
    struct generator generator = {.length = 3 * MIB + 1};
    assert_int_equal(orbit_write(fx.backend, "big", source_of(&generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, &fx.error),
                     ORBIT_E_LIMIT);
    generator.at = 0;
    assert_int_equal(orbit_write(fx.backend, "big", source_of(&generator), 3 * MIB + 1, NULL, NULL, &fx.error),
                     ORBIT_E_LIMIT);
    assert_int_equal(generator.at, 0); /* refused before the first byte */
    assert_null(wstore_find(&fx.store, "big"));
}

static void a_stream_beyond_the_stores_parts_is_a_limit(void **state)
{
    (void)state;
    fx.store.caps.part_count_max = 3;
    fx.store.caps.part_max = 2 * MIB;
    fixture_open();
    assert_int_equal(orbit_writer_ceiling(fx.backend, NULL), 5 * MIB);
    write_pattern(5 * MIB, ORBIT_OK);
    fx.store.objects->path[0] = '-';
    write_pattern(5 * MIB + 1, ORBIT_E_LIMIT);
    assert_non_null(strstr(fx.error.message, "3 parts"));
}

/* ---- ending early ------------------------------------------------------------------------------------------ */

static void a_time_limit_ends_a_write_that_hangs(void **state)
{
    (void)state;
    wstore_fault(&fx.store, WSTORE_PART, 2, 1, WSTORE_HANG, 1000, ORBIT_OK, 0);
    fixture_open();
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.timeout_ms = 300;
    struct generator generator = {.length = 5 * MIB};
    assert_int_equal(orbit_write(fx.backend, "h", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL, &fx.error),
                     ORBIT_E_TIMEOUT);
    assert_int_equal(fx.store.uploads_open, 0);
    orbit_writer *writer = NULL;
    wstore_fault(&fx.store, WSTORE_PUT, 1, 1, WSTORE_HANG, 0, ORBIT_OK, 0);
    assert_ok(orbit_writer_open(&writer, fx.backend, "h", ORBIT_SIZE_UNKNOWN, &options, &fx.error));
    assert_ok(orbit_writer_write(writer, "x", 1, &fx.error));
    assert_int_equal(orbit_writer_finish(writer, NULL, &fx.error), ORBIT_E_TIMEOUT);
    orbit_writer_free(writer);
    assert_null(wstore_find(&fx.store, "h"));
}

static void a_token_cancels_at_any_moment(void **state)
{
    (void)state;
    const enum wstore_operation where[] = {WSTORE_BEGIN, WSTORE_PART, WSTORE_FINISH};
    for (size_t i = 0; i < 3; i++)
        wstore_fault(&fx.store, where[i], 1, 1, WSTORE_HANG, 0, ORBIT_OK, 0);
    fixture_open();
    for (int i = 0; i < 3; i++) {
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        orbit_task *task = NULL;
        struct generator generator = {.length = 5 * MIB};
        options.cancel = orbit_cancel_new();
        assert_ok(orbit_write_start(&task, fx.backend, "c", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL,
                                    NULL, NULL, &fx.error));
        usleep(50000);
        orbit_cancel_fire(options.cancel);
        assert_int_equal(orbit_task_wait(task, &fx.error), ORBIT_E_CANCELLED);
        orbit_task_free(task);
        orbit_cancel_free(options.cancel);
        assert_null(wstore_find(&fx.store, "c"));
        assert_int_equal(fx.store.uploads_open, 0);
        assert_int_equal(generator.closed, 1);
    }
}

static uint64_t last_done, last_total;

static void progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    assert_true(done >= last_done);
    last_done = done;
    last_total = total;
}

static void progress_ends_with_all_of_it(void **state)
{
    (void)state;
    fixture_open();
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.progress.function = progress;
    struct generator generator = {.length = 5 * MIB};
    last_done = 0;
    assert_ok(orbit_write(fx.backend, "p", source_of(&generator), ORBIT_SIZE_UNKNOWN, &options, NULL, &fx.error));
    assert_int_equal(last_done, 5 * MIB);
    assert_int_equal(last_total, 5 * MIB);
}

static void memory_stays_within_half_of_the_budget(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16 * MIB;
    fx.store.caps.chunk_default = 8 * MIB;
    fx.store.caps.part_min = 5 * MIB;
    fixture_open_with(&options, NULL, NULL);
    write_pattern(60 * MIB + 1, ORBIT_OK);
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 8 * MIB);
}

struct racer {
    char name[8];
    struct generator generator;
    orbit_status status;
    orbit_error error;
};

static void *race(void *ctx)
{
    struct racer *racer = ctx;
    racer->status = orbit_write(fx.backend, racer->name, source_of(&racer->generator), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                                &racer->error);
    return NULL;
}

static void many_streams_share_a_small_budget(void **state)
{
    (void)state;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.memory_bytes = 16 * MIB;
    fx.store.caps.chunk_default = 4 * MIB;
    fixture_open_with(&options, NULL, NULL);
    struct racer racers[12];
    pthread_t threads[12];
    memset(racers, 0, sizeof(racers));
    for (int i = 0; i < 12; i++) {
        snprintf(racers[i].name, sizeof(racers[i].name), "r%u", (unsigned)i % 100);
        racers[i].generator.length = 15 * MIB + (uint64_t)i;
        pthread_create(&threads[i], NULL, race, &racers[i]);
    }
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 12; i++) {
        fx.error = racers[i].error;
        assert_ok(racers[i].status);
        assert_there(racers[i].name, 15 * MIB + (uint64_t)i);
    }
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(fx.client, &stats);
    assert_true(stats.memory_peak_bytes <= 16 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(functions_of_any_length_and_hint_arrive),
        TEST(memory_is_sent_where_it_lies),
        TEST(files_go_by_their_extents),
        TEST(descriptors_go_from_where_they_stand),
        TEST(pipes_are_read_in_order),
        TEST(silent_pipe_does_not_hold_up_the_end),
        TEST(files_that_lie_about_their_size_are_read_all_the_same),
        TEST(what_cannot_be_read_says_so),
        TEST(a_source_that_fails_midway_is_the_error_and_leaves_nothing),
        TEST(another_stream_can_be_the_source),
        TEST(tasks_read_their_source_on_a_thread_of_its_own),
        TEST(pushed_bytes_arrive_whatever_their_pieces),
        TEST(an_unfinished_writer_leaves_nothing),
        TEST(a_failed_writer_stays_failed),
        TEST(a_writer_that_does_not_wait_says_again_and_calls_back),
        TEST(parts_are_retried_with_their_bytes),
        TEST(a_put_is_retried),
        TEST(a_lost_finish_is_resolved_not_repeated_blindly),
        TEST(a_store_that_refuses_leaves_nothing_behind),
        TEST(an_abort_that_fails_does_not_hide_the_reason),
        TEST(nothing_is_overwritten_unless_allowed),
        TEST(parts_are_equal_where_the_store_wants_that),
        TEST(parts_follow_one_another_where_the_store_wants_that),
        TEST(several_parts_are_in_flight),
        TEST(memory_may_run_out_at_any_moment),
        TEST(a_store_without_parts_takes_what_one_put_may_hold),
        TEST(a_stream_beyond_the_stores_parts_is_a_limit),
        TEST(a_time_limit_ends_a_write_that_hangs),
        TEST(a_token_cancels_at_any_moment),
        TEST(progress_ends_with_all_of_it),
        TEST(memory_stays_within_half_of_the_budget),
        TEST(many_streams_share_a_small_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
