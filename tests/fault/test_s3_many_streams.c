/* SPDX-License-Identifier: Apache-2.0
 * Many streams of one client on one endpoint: a small budget, several faults at once. What is counted are requests,
 * bytes and memory, not time. */
#include "s3fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define STREAMS 64

static orbit_client_options client_options;

static void reopen_client(uint64_t memory_bytes)
{
    orbit_backend_close(at.store);
    orbit_client_close(at.client);
    at.store = NULL;
    orbit_client_options_init(&client_options);
    client_options.memory_bytes = memory_bytes;
    OK(orbit_client_open(&at.client, &client_options, &told));
    s3fault_reopen();
}

static uint64_t peak_kib(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtoull(line + 6, NULL, 10);
    (void)fclose(file);
    return kib;
}

static char directory[64];

struct stream {
    pthread_t thread;
    unsigned number;
    uint64_t size;
    const char *what;
    orbit_status status;
    orbit_error error;
};

/* Reads a generated object and compares its beginning and end pieces, or writes as many bytes piece by piece. */
static void *reads(void *ctx)
{
    struct stream *stream = ctx;
    orbit_reader *reader = NULL;
    uint64_t done = 0;
    char key[32];
    (void)snprintf(key, sizeof(key), "gen-%lluK", (unsigned long long)(stream->size >> 10));
    stream->status = orbit_read(&reader, at.store, key, NULL, &stream->error);
    while (stream->status == ORBIT_OK) {
        const void *piece;
        size_t length = 0;
        stream->status = orbit_reader_next(reader, &piece, &length, &stream->error);
        if (stream->status != ORBIT_OK)
            break;
        uint8_t expected[64];
        size_t some = length < sizeof(expected) ? length : sizeof(expected);
        endpoint_pattern(key, done, expected, some);
        if (memcmp(piece, expected, some) != 0)
            stream->status = ORBIT_E_CHECKSUM;
        done += length;
    }
    orbit_reader_close(reader);
    if (stream->status == ORBIT_END && done == stream->size)
        stream->status = ORBIT_OK;
    return NULL;
}

static void *writes(void *ctx)
{
    struct stream *stream = ctx;
    uint8_t piece[4096];
    char key[32];
    orbit_writer *writer = NULL;
    memset(piece, (int)stream->number, sizeof(piece));
    (void)snprintf(key, sizeof(key), "written-%u", stream->number);
    stream->status = orbit_writer_open(&writer, at.store, key, ORBIT_SIZE_UNKNOWN, NULL, &stream->error);
    for (uint64_t done = 0; stream->status == ORBIT_OK && done < stream->size; done += sizeof(piece))
        stream->status = orbit_writer_write(writer, piece, sizeof(piece), &stream->error);
    if (stream->status == ORBIT_OK)
        stream->status = orbit_writer_finish(writer, NULL, &stream->error);
    orbit_writer_free(writer);
    return NULL;
}

/* To a file, of which the first and the last piece are compared. */
static void *downloads(void *ctx)
{
    struct stream *stream = ctx;
    uint8_t got[4096] = {0}, expected[4096];
    char key[32], file[96];
    (void)snprintf(key, sizeof(key), "gen-%lluK", (unsigned long long)(stream->size >> 10));
    (void)snprintf(file, sizeof(file), "%s/%u", directory, stream->number);
    stream->status = orbit_download(at.store, key, file, NULL, NULL, &stream->error);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; stream->status == ORBIT_OK && i < 2; i++) {
        uint64_t offset = i ? stream->size - sizeof(got) : 0;
        endpoint_pattern(key, offset, expected, sizeof(expected));
        if (pread(fd, got, sizeof(got), (off_t)offset) != sizeof(got) || memcmp(got, expected, sizeof(got)) != 0)
            stream->status = ORBIT_E_CHECKSUM;
    }
    close(fd);
    (void)unlink(file);
    return NULL;
}

static void run_streams(uint64_t size)
{
    static const struct {
        const char *what;
        void *(*run)(void *);
    } kinds[] = {{"a reader", reads}, {"a writer", writes}, {"a download", downloads}};
    static struct stream streams[STREAMS];
    memset(streams, 0, sizeof(streams));
    for (unsigned i = 0; i < STREAMS; i++) {
        streams[i].number = i;
        streams[i].size = size;
        streams[i].what = kinds[i % COUNT_OF(kinds)].what;
        assert_int_equal(pthread_create(&streams[i].thread, NULL, kinds[i % COUNT_OF(kinds)].run, &streams[i]), 0);
    }
    for (unsigned i = 0; i < STREAMS; i++)
        pthread_join(streams[i].thread, NULL);
    for (unsigned i = 0; i < STREAMS; i++)
        expect(ORBIT_OK, streams[i].status, &streams[i].error, streams[i].what, __FILE__, __LINE__);
}

static void sixty_four_streams_share_a_small_budget(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    (void)snprintf(directory, sizeof(directory), "%.40s/orbit-many-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    at.options.chunk_size = 0;
    at.options.parallel_operations = 0;
    at.config.part_min_bytes = 0;
    endpoint_control(&at.endpoint, "set?latency_ms=5");
    reopen_client(64 << 20);
    run_streams(24 << 20);
    assert_int_equal(rmdir(directory), 0); /* no temporary, no journal */
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    OK(orbit_client_get_stats(at.client, &stats));
    assert_true(stats.memory_peak_bytes <= 64 << 20);
    assert_int_equal(stats.memory_used_bytes, 0);
    assert_int_equal(COUNT("open_uploads"), 0);
    print_message("peak %llu KiB\n", (unsigned long long)peak_kib());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(peak_kib() <= 96 << 10);
#endif
}

/* Every request that the endpoint began has ended, and no new one comes for twenty looks; or it is looked at for far
 * too long. */
static void wait_for_no_request(void)
{
    struct endpoint_request last;
    int64_t seen = -1;
    for (unsigned i = 0, quiet = 0; i < 3000; i++) {
        int64_t begun = COUNT("requests.GetObject");
        bool ended = endpoint_request(&at.endpoint, "GetObject", (unsigned)begun - 1, &last);
        quiet = ended && begun == seen ? quiet + 1 : 0;
        seen = begun;
        if (quiet == 20)
            return;
        usleep(10000);
    }
    fail_msg("a reader that nobody reads from keeps a request in flight");
}

/* Whatever a window asked for comes to its end in the window's own memory, also when nobody takes it: who reads
 * slowly, or not at all for a while, holds memory and neither connections nor places, and later goes on by new
 * requests. */
static void readers_that_nobody_reads_from_hold_no_connection(void **state)
{
    (void)state;
    enum { STALLED = 24 }; /* three times the places that there are */
    static const char key[] = "gen-8M";
    static uint8_t expected[CHUNK];
    orbit_reader *readers[STALLED];
    uint64_t done[STALLED];
    struct endpoint_request request;
    at.options.parallel_operations = 0;
    at.options.stall_timeout_ms = at.options.first_byte_timeout_ms = 0;
    s3fault_reopen();
    for (unsigned i = 0; i < STALLED; i++) {
        const void *piece;
        size_t length;
        OK(orbit_read(&readers[i], at.store, key, NULL, &told));
        OK(orbit_reader_next(readers[i], &piece, &length, &told));
        done[i] = length;
    }
    wait_for_no_request();
    int64_t before = COUNT("requests.GetObject");
    assert_true(COUNT("sent") < (int64_t)STALLED * (8 << 20)); /* they have more to ask for */
    OK(read_generated("gen-16M", 16 << 20, NULL, NULL, &told));
    assert_in_range(COUNT("requests.GetObject"), before + 1, before + 64 + 16); /* of 256 KiB, and hedges */
    before = COUNT("requests.GetObject");

    for (unsigned i = 0; i < STALLED; i++) {
        const void *piece;
        size_t length = 0;
        while ((told.status = orbit_reader_next(readers[i], &piece, &length, &told)) == ORBIT_OK) {
            assert_true(length <= sizeof(expected));
            endpoint_pattern(key, done[i], expected, length);
            assert_memory_equal(piece, expected, length);
            done[i] += length;
        }
        assert_int_equal(told.status, ORBIT_END);
        assert_int_equal(done[i], 8 << 20);
        orbit_reader_close(readers[i]);
    }
    assert_true(COUNT("requests.GetObject") > before);
    assert_true(endpoint_await_request(&at.endpoint, "GetObject", (unsigned)COUNT("requests.GetObject") - 1, &request));
    assert_true(request.if_match[0] != '\0' && request.range[0] != '\0');
}

/* Several streams a thread's life: many objects, small and in parts, there and back. */
static void *there_and_back(void *ctx)
{
    struct stream *stream = ctx;
    for (unsigned i = 0; i < 6 && stream->status == ORBIT_OK; i++) {
        size_t length = (size_t)1000 << (i * 2); /* 1,000 bytes to 1 MB: a put, or parts */
        uint8_t *bytes = make_bytes(length, stream->number * 100 + i);
        char key[40];
        (void)snprintf(key, sizeof(key), "mix-%u-%u", stream->number, i);
        stream->status = write_bytes(key, bytes, length, &stream->error);
        if (stream->status == ORBIT_OK)
            stream->status = read_back(key, bytes, length, &stream->error);
        free(bytes);
    }
    return NULL;
}

static void several_faults_at_once_lose_nothing(void **state)
{
    (void)state;
    enum { THREADS = 16 };
    static struct stream streams[THREADS];
    memset(streams, 0, sizeof(streams));
    at.options.retry_attempts = 0; /* as usual */
    at.options.retry_deadline_ms = 0;
    at.options.parallel_operations = 0;
    s3fault_reopen();
    FAULT("op=*&probability=0.1&seed=1&status=503");
    FAULT("op=GetObject&probability=0.05&seed=2&cut=700");
    FAULT("op=*&probability=0.02&seed=3&latency_ms=2500"); /* longer than the first byte may take */
    FAULT("op=CompleteMultipartUpload&probability=0.05&seed=4&lost=1");
    for (unsigned i = 0; i < THREADS; i++) {
        streams[i].number = i;
        assert_int_equal(pthread_create(&streams[i].thread, NULL, there_and_back, &streams[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(streams[i].thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        expect(ORBIT_OK, streams[i].status, &streams[i].error, "a stream", __FILE__, __LINE__);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(COUNT("open_uploads"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(sixty_four_streams_share_a_small_budget),
        FAULT_TEST(readers_that_nobody_reads_from_hold_no_connection),
        FAULT_TEST(several_faults_at_once_lose_nothing),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
