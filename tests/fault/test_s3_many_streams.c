/* SPDX-License-Identifier: Apache-2.0
 * Many streams of one client on one endpoint: a small budget, several faults at once. What is counted are requests, bytes
 * and memory, not time. */
#include "s3fault.h"

#include <pthread.h>
#include <stdio.h>

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

struct stream {
    pthread_t thread;
    unsigned number;
    uint64_t size;
    bool writes;
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

static void run_streams(uint64_t size)
{
    static struct stream streams[STREAMS];
    memset(streams, 0, sizeof(streams));
    for (unsigned i = 0; i < STREAMS; i++) {
        streams[i].number = i;
        streams[i].size = size;
        streams[i].writes = i % 2;
        assert_int_equal(pthread_create(&streams[i].thread, NULL, i % 2 ? writes : reads, &streams[i]), 0);
    }
    for (unsigned i = 0; i < STREAMS; i++)
        pthread_join(streams[i].thread, NULL);
    for (unsigned i = 0; i < STREAMS; i++)
        expect(ORBIT_OK, streams[i].status, &streams[i].error, streams[i].writes ? "a writer" : "a reader", __FILE__,
               __LINE__);
}

static void sixty_four_streams_share_a_small_budget(void **state)
{
    (void)state;
    at.options.chunk_size = 0;
    at.options.parallel_operations = 0;
    at.config.part_min_bytes = 0;
    endpoint_control(&at.endpoint, "set?latency_ms=5");
    reopen_client(64 << 20);
    run_streams(24 << 20);
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
        FAULT_TEST(several_faults_at_once_lose_nothing),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
