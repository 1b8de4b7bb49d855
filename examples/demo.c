/* SPDX-License-Identifier: Apache-2.0
 * The whole of Orbit in one run: streams of unknown length into a store and back, through memory and through
 * files, a large tree listed lazily; what comes out is compared with what went in, and the most memory that the
 * process ever had is printed.
 *
 *     demo                                a temporary directory on this disk, 512 MiB, 100,000 entries
 *     demo s3://bucket [MIB [ENTRIES]]    any other store; everything is written below "orbit-demo/" */
#include <inttypes.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <orbit/orbit.h>

enum { MEM_MIB = 32, TREE_WIDTH = 1000, AT_A_TIME = 16 };

struct demo {
    orbit_client *client;
    orbit_backend *store, *mem, *disk;
    uint64_t bytes, entries;
    char scratch[64]; /* a directory of this disk */
    orbit_error error;
};

/* ---- what is said -------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The most resident memory this process ever had, in KiB. */
static uint64_t peak_kib(void)
{
    char line[128];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

static void say(double seconds, uint64_t bytes, const char *format, ...) ORBIT_PRINTF(3, 4);
static void say(double seconds, uint64_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf(" in %.2f s", seconds);
    if (bytes)
        printf(", %.0f MiB/s", (double)bytes / (1024 * 1024) / seconds);
    printf("; peak memory %.1f MiB\n", (double)peak_kib() / 1024);
    fflush(stdout);
}

/* ---- data that can be recognised again ------------------------------------------------------------- */

static uint32_t crc_table[8][256];

static void crc_prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
        crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int slice = 1; slice < 8; slice++)
            crc_table[slice][i] = crc_table[slice - 1][i] >> 8 ^ crc_table[0][crc_table[slice - 1][i] & 255];
}

/* CRC-32C, eight bytes at a time. */
static uint32_t crc_update(uint32_t crc, const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    for (crc = ~crc; length >= 8; b += 8, length -= 8) {
        uint32_t low = crc ^ ((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
        crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255] ^
              crc_table[4][low >> 24] ^ crc_table[3][b[4]] ^ crc_table[2][b[5]] ^ crc_table[1][b[6]] ^
              crc_table[0][b[7]];
    }
    while (length--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *b++) & 255];
    return ~crc;
}

struct generator {
    uint64_t remaining, state;
    uint32_t crc;
};

/* Numbers that do not repeat, made as they are asked for. */
static orbit_status generate(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct generator *generator = ctx;
    unsigned char *to = buffer;
    (void)error;
    if (!generator->remaining)
        return ORBIT_END;
    *length = generator->remaining < room ? (size_t)generator->remaining : room;
    for (size_t at = 0; at < *length; at += 8) {
        generator->state = generator->state * 6364136223846793005u + 1442695040888963407u;
        memcpy(to + at, &generator->state, *length - at < 8 ? *length - at : 8);
    }
    generator->crc = crc_update(generator->crc, buffer, *length);
    generator->remaining -= *length;
    return ORBIT_OK;
}

/* Writes a generated stream whose length the store is not told. */
static orbit_status write_stream(struct demo *demo, orbit_backend *store, const char *path, uint64_t bytes,
                                 uint32_t *crc)
{
    struct generator generator = {bytes, 42, 0};
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    double start = now();
    orbit_status status = orbit_write(store, path, orbit_source_function(generate, &generator), ORBIT_SIZE_UNKNOWN,
                                      NULL, &result, &demo->error);
    if (status == ORBIT_OK)
        say(now() - start, bytes, "%-6s %6" PRIu64 " MiB written, a stream of unknown length",
            orbit_backend_name(store), bytes >> 20);
    *crc = generator.crc;
    orbit_write_result_release(&result);
    return status;
}

/* Reads `path` as a stream and compares its checksum with `crc`. */
static orbit_status read_back(struct demo *demo, orbit_backend *store, const char *path, uint32_t crc)
{
    orbit_reader *reader = NULL;
    const void *bytes;
    size_t length;
    uint64_t total = 0;
    uint32_t found = 0;
    double start = now();

    orbit_status status = orbit_read(&reader, store, path, NULL, &demo->error);
    while (status == ORBIT_OK && (status = orbit_reader_next(reader, &bytes, &length, &demo->error)) == ORBIT_OK) {
        found = crc_update(found, bytes, length);
        total += length;
    }
    orbit_reader_close(reader);
    if (status < 0)
        return status;
    if (found != crc)
        return orbit_error_set(&demo->error, ORBIT_E_CHECKSUM, 0, "'%s': %08" PRIx32 " went in, %08" PRIx32 " came out",
                               path, crc, found);
    say(now() - start, total, "%-6s %6" PRIu64 " MiB read, checksum %08" PRIx32 " as written",
        orbit_backend_name(store), total >> 20, crc);
    return ORBIT_OK;
}

/* ---- the parts of the demo --------------------------------------------------------------------------- */

/* A large stream goes to the store, comes back as a stream, and once more as a file of this disk. */
static orbit_status large_stream(struct demo *demo)
{
    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    char file[128];
    uint32_t crc = 0;

    snprintf(file, sizeof file, "%s/downloaded", demo->scratch);
    orbit_status status = write_stream(demo, demo->store, "orbit-demo/stream", demo->bytes, &crc);
    if (status == ORBIT_OK)
        status = read_back(demo, demo->store, "orbit-demo/stream", crc);
    if (status == ORBIT_OK) {
        double start = now();
        status = orbit_download(demo->store, "orbit-demo/stream", file, NULL, &result, &demo->error);
        if (status == ORBIT_OK)
            say(now() - start, result.bytes, "%-6s %6" PRIu64 " MiB downloaded to a file",
                orbit_backend_name(demo->store), result.bytes >> 20);
    }
    if (status == ORBIT_OK)
        status = read_back(demo, demo->disk, file, crc);
    orbit_download_result_release(&result);
    return status;
}

/* A mem store holds what it stores: so this stream is small, and the peak still tells something. */
static orbit_status through_memory(struct demo *demo)
{
    uint32_t crc = 0;
    orbit_status status = write_stream(demo, demo->mem, "stream", (uint64_t)MEM_MIB << 20, &crc);
    if (status == ORBIT_OK)
        status = orbit_copy(demo->mem, "stream", demo->store, "orbit-demo/from-mem", NULL, NULL, &demo->error);
    if (status == ORBIT_OK)
        status = orbit_remove(demo->mem, "stream", NULL, &demo->error);
    if (status == ORBIT_OK)
        status = orbit_copy(demo->store, "orbit-demo/from-mem", demo->mem, "back", NULL, NULL, &demo->error);
    if (status == ORBIT_OK)
        status = read_back(demo, demo->mem, "back", crc);
    if (status == ORBIT_OK)
        status = orbit_remove(demo->mem, "back", NULL, &demo->error);
    return status;
}

struct crew {
    sem_t places;
    sem_t lock;
    orbit_error error; /* the first one, by lock */
    bool failed;
};

static void written(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct crew *crew = ctx;
    (void)task;
    if (status < 0) {
        sem_wait(&crew->lock);
        if (!crew->failed)
            crew->error = *error;
        crew->failed = true;
        sem_post(&crew->lock);
    }
    sem_post(&crew->places);
}

/* Many small objects, sixteen in flight. */
static orbit_status make_tree(struct demo *demo)
{
    struct crew crew = {.failed = false};
    double start = now();
    char path[64];

    sem_init(&crew.places, 0, AT_A_TIME);
    sem_init(&crew.lock, 0, 1);
    for (uint64_t i = 0; i < demo->entries; i++) {
        sem_wait(&crew.places);
        snprintf(path, sizeof path, "orbit-demo/tree/%05" PRIu64 "/%03" PRIu64 ".txt", i / TREE_WIDTH, i % TREE_WIDTH);
        if (orbit_write_start(NULL, demo->store, path, orbit_source_memory("orbit\n", 6), 6, NULL, NULL, written, &crew,
                              &demo->error) != ORBIT_OK)
            written(&crew, NULL, demo->error.status, &demo->error);
    }
    for (int i = 0; i < AT_A_TIME; i++)
        sem_wait(&crew.places);
    sem_destroy(&crew.places);
    sem_destroy(&crew.lock);
    if (crew.failed) {
        demo->error = crew.error;
        return orbit_error_status(&crew.error);
    }
    say(now() - start, 0, "%-6s %6" PRIu64 " entries written", orbit_backend_name(demo->store), demo->entries);
    return ORBIT_OK;
}

static orbit_status list_tree(struct demo *demo)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    uint64_t count = 0, bytes = 0;
    double start = now(), first = 0;

    options.recursive = true;
    options.files_only = true;
    orbit_status status = orbit_list(&lister, demo->store, "orbit-demo/tree", &options, &demo->error);
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, &demo->error)) == ORBIT_OK) {
        if (!count++)
            first = now() - start;
        bytes += entry.metadata.size;
    }
    uint64_t pages = orbit_lister_pages(lister);
    orbit_lister_close(lister);
    if (status != ORBIT_END)
        return status;
    if (count != demo->entries || bytes != 6 * demo->entries)
        return orbit_error_set(&demo->error, ORBIT_E_CHECKSUM, 0,
                               "%" PRIu64 " entries were written and %" PRIu64 " listed", demo->entries, count);
    say(now() - start, 0, "%-6s %6" PRIu64 " entries listed, the first after %.1f ms, %" PRIu64 " pages",
        orbit_backend_name(demo->store), count, first * 1000, pages);
    return ORBIT_OK;
}

static orbit_status clean_up(struct demo *demo)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_error error;
    options.recursive = true;
    options.missing_ok = true;
    double start = now();
    orbit_status status = orbit_remove(demo->store, "orbit-demo", &options, &error);
    if (status >= 0)
        status = orbit_remove(demo->disk, demo->scratch, &options, &error);
    if (status < 0)
        fprintf(stderr, "demo: could not clean up: %s\n", error.message);
    else
        say(now() - start, 0, "%-6s all of it removed", orbit_backend_name(demo->store));
    return status;
}

static orbit_status run(struct demo *demo, const char *url)
{
    char local[96];
    orbit_error *error = &demo->error;
    orbit_status status = orbit_client_open(&demo->client, NULL, error);

    snprintf(local, sizeof local, "file://%s", demo->scratch);
    if (status == ORBIT_OK)
        status = orbit_open(&demo->store, demo->client, url ? url : local, NULL, error);
    if (status == ORBIT_OK)
        status = orbit_open(&demo->mem, demo->client, "mem://demo", NULL, error);
    if (status == ORBIT_OK)
        status = orbit_open(&demo->disk, demo->client, "file:", NULL, error);
    if (status != ORBIT_OK)
        return status;

    printf("a store at %s; the process begins with %.1f MiB\n", url ? url : local, (double)peak_kib() / 1024);
    status = large_stream(demo);
    if (status == ORBIT_OK)
        status = make_tree(demo);
    if (status == ORBIT_OK)
        status = list_tree(demo);
    uint64_t peak = peak_kib();
    if (status == ORBIT_OK)
        status = through_memory(demo);
    orbit_status cleaned = clean_up(demo);
    if (status == ORBIT_OK)
        printf("all checksums agree; peak memory %.1f MiB, with the %d MiB that the mem store itself held %.1f MiB\n",
               (double)peak / 1024, MEM_MIB, (double)peak_kib() / 1024);
    return status < 0 ? status : cleaned;
}

int main(int argc, char **argv)
{
    struct demo demo = {.bytes = (uint64_t)512 << 20, .entries = 100000};
    const char *url = argc > 1 && *argv[1] ? argv[1] : NULL;

    if (argc > 4) {
        fprintf(stderr, "usage: demo [URL [MIB [ENTRIES]]]\n");
        return 2;
    }
    if (argc > 2)
        demo.bytes = strtoull(argv[2], NULL, 10) << 20;
    if (argc > 3)
        demo.entries = strtoull(argv[3], NULL, 10);
    const char *tmp = getenv("TMPDIR");
    int length = snprintf(demo.scratch, sizeof demo.scratch, "%s/orbit-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (length >= (int)sizeof demo.scratch || !mkdtemp(demo.scratch)) {
        fprintf(stderr, "demo: cannot make a directory in %s\n", tmp && *tmp ? tmp : "/tmp");
        return 1;
    }
    crc_prepare();
    orbit_status status = run(&demo, url);
    if (status < 0)
        fprintf(stderr, "demo: %s\n", demo.error.message);

    orbit_backend_close(demo.disk);
    orbit_backend_close(demo.mem);
    orbit_backend_close(demo.store);
    orbit_client_close(demo.client);
    rmdir(demo.scratch); /* empty, unless cleaning up failed */
    return status < 0;
}
