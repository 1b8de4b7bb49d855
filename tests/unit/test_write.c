/* SPDX-License-Identifier: Apache-2.0
 * Writing: sources of every kind, push and pull, part boundaries, hints, failures that leave nothing behind. */
#include "write_generator.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
