/* SPDX-License-Identifier: Apache-2.0
 * What writing promises on every store: whole or nothing, whatever the hint, the source or the rival. */
#include "contract.h"

#include <pthread.h>
#include <stdio.h>

/* ---- round trips ------------------------------------------------------------------------------------------- */

static void push(const char *path, const uint8_t *bytes, size_t length, uint64_t hint, size_t piece)
{
    orbit_writer *writer = NULL;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    MUST(orbit_writer_open(&writer, contract.backend, path, hint, NULL, error));
    for (size_t done = 0; done < length;) {
        size_t now = length - done < piece ? length - done : piece;
        MUST(orbit_writer_write(writer, bytes + done, now, error));
        done += now;
    }
    MUST(orbit_writer_finish(writer, &result, error));
    assert_int_equal(result.bytes, length);
    orbit_write_result_release(&result);
    orbit_writer_free(writer);
}

static void pull(const char *path, const uint8_t *bytes, size_t length, uint64_t hint)
{
    struct scripted_source script = {.bytes = bytes, .length = length, .most = 100000};
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    MUST(orbit_write(contract.backend, path, scripted(&script), hint, NULL, &result, error));
    assert_int_equal(result.bytes, length);
    assert_int_equal(script.closed, 1);
    orbit_write_result_release(&result);
}

static void round_trip(size_t length)
{
    uint64_t hints[] = {length, length / 2, length * 2 + 1, 0, ORBIT_SIZE_UNKNOWN};
    uint8_t *bytes = make_bytes(length, (uint32_t)length);
    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        char name[64];
        snprintf(name, sizeof(name), "pull-%zu-%zu", length, i);
        pull(at(name), bytes, length, hints[i]);
        check_bytes(at(name), bytes, length);
        snprintf(name, sizeof(name), "push-%zu-%zu", length, i);
        push(at(name), bytes, length, hints[i], i % 2 == 0 ? 4096 : 1000003);
        check_bytes(at(name), bytes, length);
    }
    free(bytes);
}

static void empty_object_is_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip(0);
}

static void one_byte_is_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip(1);
}

static void one_less_than_a_chunk_is_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip((size_t)contract.chunk - 1);
}

static void exactly_a_chunk_is_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip((size_t)contract.chunk);
}

static void one_more_than_a_chunk_is_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip((size_t)contract.chunk + 1);
}

static void several_chunks_are_written_and_read_back_with_any_hint(void **state)
{
    (void)state;
    round_trip(3 * (size_t)contract.chunk + 17);
}

static void source_with_tiny_reads_is_written_whole(void **state)
{
    (void)state;
    size_t length = (size_t)contract.chunk / 16 + 3;
    uint8_t *bytes = make_bytes(length, 5);
    struct scripted_source script = {.bytes = bytes, .length = length, .most = 7, .end_by_ok = true};
    MUST(orbit_write(contract.backend, at("tiny"), scripted(&script), ORBIT_SIZE_UNKNOWN, NULL, NULL, error));
    check_bytes(at("tiny"), bytes, length);
    free(bytes);
}

static void ready_made_sources_give_their_bytes(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 11;
    uint8_t *bytes = make_bytes(length, 6);
    char name[] = "/tmp/orbit-contract-source-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w+");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fflush(file), 0);
    MUST(orbit_write(contract.backend, at("path"), orbit_source_path(name), ORBIT_SIZE_UNKNOWN, NULL, NULL, error));
    check_bytes(at("path"), bytes, length);
    assert_int_equal(fseek(file, 1000, SEEK_SET), 0);
    MUST(orbit_write(contract.backend, at("fd"), orbit_source_fd(fd), ORBIT_SIZE_UNKNOWN, NULL, NULL, error));
    check_bytes(at("fd"), bytes + 1000, length - 1000);
    orbit_reader *reader = NULL;
    MUST(orbit_read(&reader, contract.backend, at("path"), NULL, error));
    MUST(orbit_write(contract.backend, at("reader"), orbit_source_reader(reader), ORBIT_SIZE_UNKNOWN, NULL, NULL,
                     error));
    orbit_reader_close(reader);
    check_bytes(at("reader"), bytes, length);
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_write(contract.backend, at("none"), orbit_source_path("/nowhere/at/all"),
                                             ORBIT_SIZE_UNKNOWN, NULL, NULL, error));
    assert_false(exists(at("none")));
    fclose(file);
    remove(name);
    free(bytes);
}

/* ---- failures -------------------------------------------------------------------------------------------------- */

static void fail_source_at(size_t place, uint64_t hint)
{
    size_t length = 4 * (size_t)contract.chunk;
    uint8_t *bytes = make_bytes(length, 7);
    struct scripted_source script = {.bytes = bytes, .length = length, .fail_at = place == 0 ? 1 : place};
    if (place == 0)
        script.given = 1; /* fails with its first read */
    MUST_FAIL(ORBIT_E_IO, orbit_write(contract.backend, at("broken"), scripted(&script), hint, NULL, NULL, error));
    assert_int_equal(script.closed, 1);
    check_nothing_left(at("broken"));
    free(bytes);
}

static void source_that_fails_leaves_nothing(void **state)
{
    (void)state;
    size_t chunk = (size_t)contract.chunk;
    fail_source_at(0, ORBIT_SIZE_UNKNOWN);
    fail_source_at(100, 4 * chunk);
    fail_source_at(chunk, ORBIT_SIZE_UNKNOWN);
    fail_source_at(3 * chunk + 5, ORBIT_SIZE_UNKNOWN);
    fail_source_at(3 * chunk + 5, 4 * chunk);
}

static void failed_write_leaves_the_old_object_as_it_was(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk;
    uint8_t *bytes = make_bytes(length, 8);
    put_text(at("kept"), "the old bytes");
    struct scripted_source script = {.bytes = bytes, .length = length, .fail_at = 2 * (size_t)contract.chunk + 1};
    MUST_FAIL(ORBIT_E_IO,
              orbit_write(contract.backend, at("kept"), scripted(&script), ORBIT_SIZE_UNKNOWN, NULL, NULL, error));
    check_text(at("kept"), "the old bytes");
    free(bytes);
}

static void source_that_ends_early_is_written_as_long_as_it_was(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 9;
    uint8_t *bytes = make_bytes(length, 9);
    pull(at("short"), bytes, length, 10 * contract.chunk);
    check_bytes(at("short"), bytes, length);
    free(bytes);
}

static void dropped_writer_leaves_nothing(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk;
    uint8_t *bytes = make_bytes(length, 10);
    orbit_writer *writer = NULL;
    MUST(orbit_writer_open(&writer, contract.backend, at("dropped"), ORBIT_SIZE_UNKNOWN, NULL, error));
    MUST(orbit_writer_write(writer, bytes, length, error));
    orbit_writer_free(writer);
    check_nothing_left(at("dropped"));
    MUST(orbit_writer_open(&writer, contract.backend, at("dropped"), length, NULL, error));
    orbit_writer_free(writer);
    check_nothing_left(at("dropped"));
    orbit_writer_free(NULL);
    free(bytes);
}

static void aborted_writer_leaves_nothing_and_stays_failed(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 11);
    orbit_writer *writer = NULL;
    MUST(orbit_writer_open(&writer, contract.backend, at("aborted"), ORBIT_SIZE_UNKNOWN, NULL, error));
    MUST(orbit_writer_write(writer, bytes, length, error));
    MUST(orbit_writer_abort(writer, error));
    orbit_error told = {0};
    assert_true(orbit_writer_write(writer, bytes, 1, &told) < 0);
    assert_true(orbit_writer_finish(writer, NULL, &told) < 0);
    orbit_writer_free(writer);
    check_nothing_left(at("aborted"));
    free(bytes);
}

static void unfinished_object_is_not_visible(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 12);
    orbit_writer *writer = NULL;
    MUST(orbit_writer_open(&writer, contract.backend, at("growing"), ORBIT_SIZE_UNKNOWN, NULL, error));
    MUST(orbit_writer_write(writer, bytes, length, error));
    assert_false(exists(at("growing")));
    MUST(orbit_writer_finish(writer, NULL, error));
    orbit_writer_free(writer);
    check_bytes(at("growing"), bytes, length);
    free(bytes);
}

/* ---- overwriting ------------------------------------------------------------------------------------------------- */

static void write_replaces_by_default(void **state)
{
    (void)state;
    put_text(at("name"), "first");
    put_text(at("name"), "and second");
    check_text(at("name"), "and second");
}

static orbit_status write_new(const char *path, const void *bytes, size_t length, orbit_error *error)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    return orbit_write(contract.backend, path, orbit_source_memory(bytes, length), length, &options, NULL, error);
}

static void overwrite_false_refuses_a_name_that_is_taken(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 13);
    MUST(write_new(at("small"), "first", 5, error));
    MUST_FAIL(ORBIT_E_EXISTS, write_new(at("small"), "second", 6, error));
    check_text(at("small"), "first");
    MUST(write_new(at("large"), bytes, length, error));
    MUST_FAIL(ORBIT_E_EXISTS, write_new(at("large"), bytes, length - 1, error));
    check_bytes(at("large"), bytes, length);
    check_nothing_left(at("other"));
    free(bytes);
}

struct rival {
    pthread_t thread;
    char path[2048];
    const uint8_t *bytes;
    size_t length;
    orbit_status status;
    pthread_barrier_t *barrier;
};

static void *rival_writes(void *argument)
{
    struct rival *rival = argument;
    orbit_error told;
    pthread_barrier_wait(rival->barrier);
    rival->status = write_new(rival->path, rival->bytes, rival->length, &told);
    return NULL;
}

static void race(size_t length)
{
    struct rival rivals[4];
    pthread_barrier_t barrier;
    unsigned winners = 0, winner = 0;
    pthread_barrier_init(&barrier, NULL, COUNT_OF(rivals));
    for (unsigned i = 0; i < COUNT_OF(rivals); i++) {
        rivals[i] = (struct rival){.bytes = make_bytes(length, 100 + i), .length = length, .barrier = &barrier};
        snprintf(rivals[i].path, sizeof(rivals[i].path), "%s-%zu", at("race"), length);
    }
    for (unsigned i = 0; i < COUNT_OF(rivals); i++)
        assert_int_equal(pthread_create(&rivals[i].thread, NULL, rival_writes, &rivals[i]), 0);
    for (unsigned i = 0; i < COUNT_OF(rivals); i++)
        pthread_join(rivals[i].thread, NULL);
    for (unsigned i = 0; i < COUNT_OF(rivals); i++) {
        if (rivals[i].status == ORBIT_OK) {
            winners++;
            winner = i;
        } else {
            assert_int_equal(rivals[i].status, ORBIT_E_EXISTS);
        }
    }
    assert_int_equal(winners, 1);
    check_bytes(rivals[0].path, rivals[winner].bytes, length);
    for (unsigned i = 0; i < COUNT_OF(rivals); i++)
        free((void *)(uintptr_t)rivals[i].bytes);
    pthread_barrier_destroy(&barrier);
}

static void of_several_writers_that_must_not_overwrite_one_wins(void **state)
{
    (void)state;
    if (!supports(ORBIT_OPERATION_NO_OVERWRITE))
        return; /* the store says that it is a look before the write */
    race(100);
    if (contract.kind->conditional_finish)
        race(3 * (size_t)contract.chunk);
}

static void if_match_replaces_only_what_it_names(void **state)
{
    (void)state;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    put_text(at("tagged"), "first");
    MUST(orbit_stat(contract.backend, at("tagged"), NULL, &metadata, error));
    if (metadata.etag == NULL) { /* no such thing here: it must be refused, not ignored */
        options.if_match = "0123456789abcdef";
        orbit_error told = {0};
        orbit_status status =
            orbit_write(contract.backend, at("tagged"), orbit_source_memory("second", 6), 6, &options, NULL, &told);
        assert_true(status == ORBIT_E_UNSUPPORTED || status == ORBIT_E_CHANGED);
        check_text(at("tagged"), "first");
        return;
    }
    options.if_match = metadata.etag;
    if (!contract.kind->if_match) { /* it refuses too much: nothing may be lost by that */
        orbit_error told = {0};
        assert_int_equal(
            orbit_write(contract.backend, at("tagged"), orbit_source_memory("second", 6), 6, &options, NULL, &told),
            ORBIT_E_CHANGED);
        check_text(at("tagged"), "first");
        orbit_metadata_release(&metadata);
        return;
    }
    MUST(orbit_write(contract.backend, at("tagged"), orbit_source_memory("second", 6), 6, &options, NULL, error));
    MUST_FAIL(ORBIT_E_CHANGED,
              orbit_write(contract.backend, at("tagged"), orbit_source_memory("third", 5), 5, &options, NULL, error));
    check_text(at("tagged"), "second");
    orbit_metadata_release(&metadata);
}

/* ---- where and what ---------------------------------------------------------------------------------------------- */

static void missing_directories_are_made_only_where_wanted(void **state)
{
    (void)state;
    put_text(at("a/b/c/file"), "deep");
    check_text(at("a/b/c/file"), "deep");
    if (contract.kind->object)
        return;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.create_parents = false;
    MUST_FAIL(ORBIT_E_NOT_FOUND,
              orbit_write(contract.backend, at("x/y/file"), orbit_source_memory("no", 2), 2, &options, NULL, error));
    assert_false(exists(at("x")));
}

static void writing_over_a_directory_is_refused(void **state)
{
    (void)state;
    if (contract.kind->object)
        return; /* "dir" and "dir/file" are two names */
    put_text(at("dir/file"), "here");
    orbit_error told = {0};
    orbit_status status = orbit_write(contract.backend, at("dir"), orbit_source_memory("x", 1), 1, NULL, NULL, &told);
    assert_int_equal(status, ORBIT_E_PATH);
    assert_true(told.flags & ORBIT_ERROR_IS_DIRECTORY);
    status = orbit_write(contract.backend, at("dir/file/below"), orbit_source_memory("x", 1), 1, NULL, NULL, &told);
    assert_int_equal(status, ORBIT_E_PATH);
    check_text(at("dir/file"), "here");
}

static void result_says_what_was_written(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 1;
    uint8_t *bytes = make_bytes(length, 14);
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    MUST(orbit_write(contract.backend, at("small"), orbit_source_memory(bytes, 10), 10, NULL, &result, error));
    assert_int_equal(result.bytes, 10);
    assert_false(result.multipart);
    orbit_write_result_release(&result);
    result = (orbit_write_result)ORBIT_WRITE_RESULT_INIT;
    MUST(orbit_write(contract.backend, at("large"), orbit_source_memory(bytes, length), length, NULL, &result, error));
    assert_int_equal(result.bytes, length);
    assert_true(result.parts >= 1);
    orbit_write_result_release(&result);
    free(bytes);
}

static void many_small_objects_are_all_there(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        char name[32], text[32];
        snprintf(name, sizeof(name), "many/%03d", i);
        snprintf(text, sizeof(text), "this is %d", i);
        put_text(at(name), text);
    }
    for (int i = 0; i < 200; i += 7) {
        char name[32], text[32];
        snprintf(name, sizeof(name), "many/%03d", i);
        snprintf(text, sizeof(text), "this is %d", i);
        check_text(at(name), text);
    }
}

struct ready_flag {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned calls, taken;
};

static void on_ready(void *ctx)
{
    struct ready_flag *flag = ctx;
    pthread_mutex_lock(&flag->mutex);
    flag->calls++;
    pthread_cond_signal(&flag->cond);
    pthread_mutex_unlock(&flag->mutex);
}

static void try_write_takes_what_fits_and_tells_when_there_is_room(void **state)
{
    (void)state;
    size_t length = 8 * (size_t)contract.chunk + 3, done = 0;
    uint8_t *bytes = make_bytes(length, 15);
    struct ready_flag flag = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_writer *writer = NULL;
    options.ready = on_ready;
    options.ready_ctx = &flag;
    options.parallel_operations = 2;
    MUST(orbit_writer_open(&writer, contract.backend, at("tried"), ORBIT_SIZE_UNKNOWN, &options, error));
    while (done < length) {
        size_t taken = 0;
        orbit_error told = {0};
        orbit_status status = orbit_writer_try_write(writer, bytes + done, length - done, &taken, &told);
        if (status == ORBIT_AGAIN) {
            pthread_mutex_lock(&flag.mutex);
            while (flag.calls == flag.taken)
                pthread_cond_wait(&flag.cond, &flag.mutex);
            flag.taken++;
            assert_int_equal(flag.calls, flag.taken); /* once for each AGAIN */
            pthread_mutex_unlock(&flag.mutex);
            continue;
        }
        must_be(ORBIT_OK, status, &told, "orbit_writer_try_write", __FILE__, __LINE__);
        assert_true(taken > 0 && taken <= length - done);
        done += taken;
    }
    MUST(orbit_writer_finish(writer, NULL, error));
    orbit_writer_free(writer);
    check_bytes(at("tried"), bytes, length);
    free(bytes);
}

const struct CMUnitTest write_tests[] = {
    CONTRACT_TEST(empty_object_is_written_and_read_back_with_any_hint),
    CONTRACT_TEST(one_byte_is_written_and_read_back_with_any_hint),
    CONTRACT_TEST(one_less_than_a_chunk_is_written_and_read_back_with_any_hint),
    CONTRACT_TEST(exactly_a_chunk_is_written_and_read_back_with_any_hint),
    CONTRACT_TEST(one_more_than_a_chunk_is_written_and_read_back_with_any_hint),
    CONTRACT_TEST(several_chunks_are_written_and_read_back_with_any_hint),
    CONTRACT_TEST(source_with_tiny_reads_is_written_whole),
    CONTRACT_TEST(ready_made_sources_give_their_bytes),
    CONTRACT_TEST(source_that_fails_leaves_nothing),
    CONTRACT_TEST(failed_write_leaves_the_old_object_as_it_was),
    CONTRACT_TEST(source_that_ends_early_is_written_as_long_as_it_was),
    CONTRACT_TEST(dropped_writer_leaves_nothing),
    CONTRACT_TEST(aborted_writer_leaves_nothing_and_stays_failed),
    CONTRACT_TEST(unfinished_object_is_not_visible),
    CONTRACT_TEST(write_replaces_by_default),
    CONTRACT_TEST(overwrite_false_refuses_a_name_that_is_taken),
    CONTRACT_TEST(of_several_writers_that_must_not_overwrite_one_wins),
    CONTRACT_TEST(if_match_replaces_only_what_it_names),
    CONTRACT_TEST(missing_directories_are_made_only_where_wanted),
    CONTRACT_TEST(writing_over_a_directory_is_refused),
    CONTRACT_TEST(result_says_what_was_written),
    CONTRACT_TEST(many_small_objects_are_all_there),
    CONTRACT_TEST(try_write_takes_what_fits_and_tells_when_there_is_room),
};
const size_t write_test_count = COUNT_OF(write_tests);
