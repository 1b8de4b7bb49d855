/* SPDX-License-Identifier: Apache-2.0
 * What reading promises on every store: the bytes of one version, in order, from any offset. */
#include "contract.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

/* Reads a range and compares it with the same range of `bytes` (the whole object, `length` of it). */
static void check_range(const char *path, const uint8_t *bytes, size_t length, uint64_t offset, uint64_t want)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    options.offset = offset;
    options.length = want;
    size_t begin = offset < length ? (size_t)offset : length, rest = length - begin;
    size_t expected = want != 0 && want < rest ? (size_t)want : rest, done = 0;
    MUST(orbit_read(&reader, contract.backend, path, &options, error));
    for (;;) {
        const void *piece;
        size_t piece_length = 0;
        orbit_error told = {0};
        orbit_status status = orbit_reader_next(reader, &piece, &piece_length, &told);
        if (status == ORBIT_END)
            break;
        must_be(ORBIT_OK, status, &told, "orbit_reader_next", __FILE__, __LINE__);
        assert_true(piece_length > 0 && piece_length <= expected - done);
        assert_memory_equal(piece, bytes + begin + done, piece_length);
        done += piece_length;
    }
    assert_int_equal(done, expected);
    orbit_reader_close(reader);
}

static void range_of_an_object_is_what_was_asked_for(void **state)
{
    (void)state;
    size_t chunk = (size_t)contract.chunk, length = 3 * chunk + 17;
    uint8_t *bytes = make_bytes(length, 1);
    put(at("ranged"), bytes, length);
    static const struct {
        int offset_chunks, offset, length_chunks, length;
    } ranges[] = {{0, 0, 0, 1},  {0, 0, 1, 0},  {0, 0, 1, 1},   {0, 1, 0, 1},  {0, 5, 1, 0},
                  {1, 0, 1, 0},  {1, -1, 0, 2}, {0, 100, 3, 0}, {3, 16, 0, 1}, {3, 16, 0, 5},
                  {3, 10, 0, 0}, {2, 1, 1, 16}, {0, 0, 3, 17},  {0, 0, 9, 0}};
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        check_range(at("ranged"), bytes, length,
                    chunk * (uint64_t)ranges[i].offset_chunks + (uint64_t)(int64_t)ranges[i].offset,
                    chunk * (uint64_t)ranges[i].length_chunks + (uint64_t)ranges[i].length);
    check_range(at("ranged"), bytes, length, 7, ORBIT_TO_END);
    free(bytes);
}

static void range_past_the_end_is_empty(void **state)
{
    (void)state;
    uint8_t *bytes = make_bytes(1000, 2);
    put(at("short"), bytes, 1000);
    check_range(at("short"), bytes, 1000, 1000, 10);
    check_range(at("short"), bytes, 1000, 5000, 10);
    check_range(at("short"), bytes, 1000, 5000, 0);
    check_range(at("short"), bytes, 1000, UINT64_MAX - 5, 0);
    check_range(at("short"), bytes, 1000, 999, 100);
    put(at("empty"), "", 0);
    check_range(at("empty"), bytes, 0, 0, 0);
    check_range(at("empty"), bytes, 0, 0, 10);
    check_range(at("empty"), bytes, 0, 3, 10);
    free(bytes);
}

static void reading_what_is_not_there_says_so_at_once(void **state)
{
    (void)state;
    orbit_reader *reader = NULL;
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_read(&reader, contract.backend, at("missing"), NULL, error));
    assert_null(reader);
    if (!contract.kind->object) {
        put_text(at("dir/file"), "x");
        orbit_error told = {0};
        assert_int_equal(orbit_read(&reader, contract.backend, at("dir"), NULL, &told), ORBIT_E_PATH);
        assert_true(told.flags & ORBIT_ERROR_IS_DIRECTORY);
    }
}

static void read_fills_the_buffer_but_at_the_end(void **state)
{
    (void)state;
    size_t length = 2 * (size_t)contract.chunk + 100, done = 0;
    uint8_t *bytes = make_bytes(length, 3), *buffer = malloc(70000);
    orbit_reader *reader = NULL;
    size_t got;
    put(at("copied"), bytes, length);
    MUST(orbit_read(&reader, contract.backend, at("copied"), NULL, error));
    while (done < length) {
        MUST(orbit_reader_read(reader, buffer, 70000, &got, error));
        assert_int_equal(got, length - done < 70000 ? length - done : 70000);
        assert_memory_equal(buffer, bytes + done, got);
        done += got;
    }
    MUST_FAIL(ORBIT_END, orbit_reader_read(reader, buffer, 70000, &got, error));
    assert_int_equal(got, 0);
    MUST_FAIL(ORBIT_END, orbit_reader_read(reader, buffer, 70000, &got, error));
    orbit_reader_close(reader);
    free(buffer);
    free(bytes);
}

static void seek_continues_at_any_offset(void **state)
{
    (void)state;
    size_t chunk = (size_t)contract.chunk, length = 5 * chunk + 1, got;
    uint8_t *bytes = make_bytes(length, 4), buffer[1000];
    uint64_t offsets[] = {0, length - 1000, 10, 3 * chunk - 500, chunk, 0, 2 * chunk + 7, length - 1000};
    orbit_reader *reader = NULL;
    put(at("sought"), bytes, length);
    MUST(orbit_read(&reader, contract.backend, at("sought"), NULL, error));
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        MUST(orbit_reader_seek(reader, offsets[i], error));
        MUST(orbit_reader_read(reader, buffer, sizeof(buffer), &got, error));
        assert_int_equal(got, sizeof(buffer));
        assert_memory_equal(buffer, bytes + offsets[i], got);
    }
    MUST(orbit_reader_seek(reader, length, error));
    MUST_FAIL(ORBIT_END, orbit_reader_read(reader, buffer, sizeof(buffer), &got, error));
    MUST(orbit_reader_seek(reader, length - 3, error)); /* also after the end */
    MUST(orbit_reader_read(reader, buffer, sizeof(buffer), &got, error));
    assert_int_equal(got, 3);
    orbit_reader_close(reader);
    free(bytes);
}

static void reader_knows_the_object(void **state)
{
    (void)state;
    size_t length = (size_t)contract.chunk + 3;
    uint8_t *bytes = make_bytes(length, 5);
    orbit_reader *reader = NULL;
    put(at("known"), bytes, length);
    MUST(orbit_read(&reader, contract.backend, at("known"), NULL, error));
    const orbit_metadata *metadata = orbit_reader_metadata(reader);
    assert_non_null(metadata);
    assert_true(metadata->fields & ORBIT_HAS_SIZE);
    assert_int_equal(metadata->size, length);
    assert_int_equal(metadata->kind, ORBIT_KIND_FILE);
    assert_true(metadata->fields & ORBIT_HAS_MTIME);
    assert_true(metadata->mtime_ns > INT64_C(1500000000000000000));
    orbit_reader_close(reader);
    free(bytes);
}

static void object_that_is_replaced_under_the_reader_is_changed_or_stays_one_version(void **state)
{
    (void)state;
    size_t length = 40 * (size_t)contract.chunk, done = 0;
    if (length > (32 << 20))
        length = 32 << 20;
    uint8_t *old = make_bytes(length, 6), *new = make_bytes(length, 7);
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    orbit_status status = ORBIT_OK;
    options.parallel_operations = 1;
    options.chunk_size = 64 << 10; /* most of it is asked for after the change */
    put(at("moving"), old, length);
    MUST(orbit_read(&reader, contract.backend, at("moving"), &options, error));
    for (bool replaced = false; status == ORBIT_OK;) {
        const void *piece;
        size_t piece_length = 0;
        orbit_error told = {0};
        status = orbit_reader_next(reader, &piece, &piece_length, &told);
        if (status == ORBIT_OK) {
            assert_memory_equal(piece, old + done, piece_length); /* never a byte of the new one */
            done += piece_length;
        }
        if (!replaced) {
            put(at("moving"), new, length);
            replaced = true;
        }
    }
    /* A store whose readers hold the old bytes may go on with them to the end. */
    if (status == ORBIT_END)
        assert_int_equal(done, length);
    else
        assert_int_equal(status, ORBIT_E_CHANGED);
    if (status < 0) { /* and says so again */
        const void *piece;
        size_t piece_length;
        assert_int_equal(orbit_reader_next(reader, &piece, &piece_length, NULL), status);
    }
    orbit_reader_close(reader);
    check_bytes(at("moving"), new, length);
    free(old);
    free(new);
}

static void if_match_reads_only_what_it_names(void **state)
{
    (void)state;
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_reader *reader = NULL;
    put_text(at("tagged"), "first");
    MUST(orbit_stat(contract.backend, at("tagged"), NULL, &metadata, error));
    if (metadata.etag == NULL) {
        orbit_metadata_release(&metadata);
        return;
    }
    options.if_match = metadata.etag;
    MUST(orbit_read(&reader, contract.backend, at("tagged"), &options, error));
    orbit_reader_close(reader);
    put_text(at("tagged"), "second");
    MUST_FAIL(ORBIT_E_CHANGED, orbit_read(&reader, contract.backend, at("tagged"), &options, error));
    assert_null(reader);
    orbit_metadata_release(&metadata);
}

static void reader_closed_early_leaves_the_store_usable(void **state)
{
    (void)state;
    size_t length = 6 * (size_t)contract.chunk;
    uint8_t *bytes = make_bytes(length, 8);
    put(at("left"), bytes, length);
    for (int i = 0; i < 20; i++) {
        orbit_reader *reader = NULL;
        const void *piece;
        size_t piece_length;
        MUST(orbit_read(&reader, contract.backend, at("left"), NULL, error));
        if (i % 2 == 0)
            MUST(orbit_reader_next(reader, &piece, &piece_length, error));
        orbit_reader_close(reader);
    }
    orbit_reader_close(NULL);
    check_bytes(at("left"), bytes, length);
    free(bytes);
}

static void two_readers_go_at_their_own_pace(void **state)
{
    (void)state;
    size_t length = 4 * (size_t)contract.chunk + 9, got, one = 0, two = 0;
    uint8_t *bytes = make_bytes(length, 9), buffer[33333];
    orbit_reader *first = NULL, *second = NULL;
    put(at("shared"), bytes, length);
    MUST(orbit_read(&first, contract.backend, at("shared"), NULL, error));
    MUST(orbit_read(&second, contract.backend, at("shared"), NULL, error));
    while (one < length || two < length) {
        if (one < length) {
            MUST(orbit_reader_read(first, buffer, sizeof(buffer), &got, error));
            assert_memory_equal(buffer, bytes + one, got);
            one += got;
        }
        if (two < length) {
            MUST(orbit_reader_read(second, buffer, 7777, &got, error));
            assert_memory_equal(buffer, bytes + two, got);
            two += got;
        }
    }
    orbit_reader_close(first);
    orbit_reader_close(second);
    free(bytes);
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

static void try_next_never_waits(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 5, done = 0;
    uint8_t *bytes = make_bytes(length, 10);
    struct ready_flag flag = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    orbit_reader *reader = NULL;
    options.ready = on_ready;
    options.ready_ctx = &flag;
    put(at("tried"), bytes, length);
    MUST(orbit_read(&reader, contract.backend, at("tried"), &options, error));
    for (;;) {
        const void *piece;
        size_t piece_length = 0;
        orbit_error told = {0};
        orbit_status status = orbit_reader_try_next(reader, &piece, &piece_length, &told);
        if (status == ORBIT_END)
            break;
        if (status == ORBIT_AGAIN) {
            pthread_mutex_lock(&flag.mutex);
            while (flag.calls == flag.taken)
                pthread_cond_wait(&flag.cond, &flag.mutex);
            flag.taken++;
            pthread_mutex_unlock(&flag.mutex);
            continue;
        }
        must_be(ORBIT_OK, status, &told, "orbit_reader_try_next", __FILE__, __LINE__);
        assert_memory_equal(piece, bytes + done, piece_length);
        done += piece_length;
    }
    assert_int_equal(done, length);
    orbit_reader_close(reader);
    free(bytes);
}

static void download_makes_the_file_whole(void **state)
{
    (void)state;
    size_t length = 3 * (size_t)contract.chunk + 21;
    uint8_t *bytes = make_bytes(length, 11), *back = malloc(length + 1);
    char directory[] = "/tmp/orbit-contract-down-XXXXXX", file[128];
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/sub/file", directory);
    put(at("down"), bytes, length);
    MUST(orbit_download(contract.backend, at("down"), file, NULL, &result, error));
    assert_int_equal(result.bytes, length);
    orbit_download_result_release(&result);
    FILE *read_back = fopen(file, "re");
    assert_non_null(read_back);
    assert_int_equal(fread(back, 1, length + 1, read_back), length);
    fclose(read_back);
    assert_memory_equal(back, bytes, length);
    options.overwrite = false;
    MUST_FAIL(ORBIT_E_EXISTS, orbit_download(contract.backend, at("down"), file, &options, NULL, error));
    remove(file);
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_download(contract.backend, at("missing"), file, NULL, NULL, error));
    assert_null(fopen(file, "re"));
    put(at("none"), "", 0);
    MUST(orbit_download(contract.backend, at("none"), file, NULL, NULL, error));
    remove(file);
    snprintf(file, sizeof(file), "%s/sub", directory);
    assert_int_equal(remove(file), 0); /* nothing else is in it */
    remove(directory);
    free(back);
    free(bytes);
}

const struct CMUnitTest read_tests[] = {
    CONTRACT_TEST(range_of_an_object_is_what_was_asked_for),
    CONTRACT_TEST(range_past_the_end_is_empty),
    CONTRACT_TEST(reading_what_is_not_there_says_so_at_once),
    CONTRACT_TEST(read_fills_the_buffer_but_at_the_end),
    CONTRACT_TEST(seek_continues_at_any_offset),
    CONTRACT_TEST(reader_knows_the_object),
    CONTRACT_TEST(object_that_is_replaced_under_the_reader_is_changed_or_stays_one_version),
    CONTRACT_TEST(if_match_reads_only_what_it_names),
    CONTRACT_TEST(reader_closed_early_leaves_the_store_usable),
    CONTRACT_TEST(two_readers_go_at_their_own_pace),
    CONTRACT_TEST(try_next_never_waits),
    CONTRACT_TEST(download_makes_the_file_whole),
};
const size_t read_test_count = COUNT_OF(read_tests);
