/* SPDX-License-Identifier: Apache-2.0
 * Every kind of stream, cancelled from another thread at a thousand random moments of its life: each ends, as
 * cancelled or as done; nothing is half there, nothing is left open, nothing leaks. */
#include "s3fault.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS    1000
#define OBJECT    (3u << 20) /* bytes: a dozen parts */
#define GENERATED "gen-3M"

static char directory[] = "/tmp/orbit-cancel-XXXXXX";
static char source_file[64], target_file[64];
static uint8_t *content;
static orbit_backend *memory;
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- the kinds ------------------------------------------------------------------------------------ */

struct feed {
    size_t at;
    unsigned closed;
};

static orbit_status feed_read(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct feed *feed = ctx;
    (void)error;
    *length = room < 50000 ? room : 50000;
    if (*length > OBJECT - feed->at)
        *length = OBJECT - feed->at;
    memcpy(buffer, content + feed->at, *length);
    feed->at += *length;
    return *length ? ORBIT_OK : ORBIT_END;
}

static void feed_close(void *ctx)
{
    ((struct feed *)ctx)->closed++;
}

static orbit_status pull(orbit_cancel *cancel, orbit_error *error)
{
    struct feed feed = {0};
    orbit_source source = orbit_source_function(feed_read, &feed);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.cancel = cancel;
    source.close = feed_close;
    orbit_status status = orbit_write(at.store, "pulled", source, ORBIT_SIZE_UNKNOWN, &options, NULL, error);
    assert_int_equal(feed.closed, 1);
    return status;
}

static orbit_status put_file(orbit_cancel *cancel, orbit_error *error)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.cancel = cancel;
    return orbit_write(at.store, "put", orbit_source_path(source_file), OBJECT, &options, NULL, error);
}

static orbit_status push(orbit_cancel *cancel, orbit_error *error)
{
    orbit_writer *writer = NULL;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.cancel = cancel;
    orbit_status status = orbit_writer_open(&writer, at.store, "pushed", ORBIT_SIZE_UNKNOWN, &options, error);
    for (size_t done = 0; status >= 0 && done < OBJECT; done += 1 << 18)
        status = orbit_writer_write(writer, content + done, 1 << 18, error);
    if (status >= 0)
        status = orbit_writer_finish(writer, NULL, error);
    orbit_writer_free(writer);
    return status;
}

static orbit_status read_all(orbit_cancel *cancel, orbit_error *error)
{
    orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
    options.cancel = cancel;
    return read_generated(GENERATED, OBJECT, &options, NULL, error);
}

static orbit_status download(orbit_cancel *cancel, orbit_error *error)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    struct stat seen;
    options.cancel = cancel;
    (void)unlink(target_file);
    orbit_status status = orbit_download(at.store, GENERATED, target_file, &options, NULL, error);
    if (stat(target_file, &seen) == 0) /* a name shows the whole or nothing */
        assert_int_equal(seen.st_size, OBJECT);
    else
        assert_true(status < 0);
    return status;
}

static orbit_status copy(orbit_cancel *cancel, orbit_error *error)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    write.cancel = cancel;
    options.write = &write;
    return orbit_copy(at.store, GENERATED, memory, "copied", &options, NULL, error);
}

static orbit_status list(orbit_cancel *cancel, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.recursive = true;
    options.page_entries = 10;
    options.cancel = cancel;
    orbit_status status = orbit_list(&lister, at.store, "", &options, error);
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) == ORBIT_OK)
        ;
    orbit_lister_close(lister);
    return status;
}

static const struct {
    const char *name;
    orbit_status (*run)(orbit_cancel *cancel, orbit_error *error);
} kinds[] = {{"pull", pull},         {"put", put_file}, {"push", push}, {"read", read_all},
             {"download", download}, {"copy", copy},    {"list", list}};

/* ---- cancelling ------------------------------------------------------------------------------------ */

struct firing {
    orbit_cancel *cancel;
    uint64_t after_ns;
};

static void *fire(void *ctx)
{
    const struct firing *firing = ctx;
    struct timespec pause = {(time_t)(firing->after_ns / 1000000000), (long)(firing->after_ns % 1000000000)};
    nanosleep(&pause, NULL);
    orbit_cancel_fire(firing->cancel);
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* True when it was cancelled. */
static bool cancel_after(size_t kind, uint64_t after_ns)
{
    pthread_t thread;
    struct firing firing = {orbit_cancel_new(), after_ns};
    assert_non_null(firing.cancel);
    assert_int_equal(pthread_create(&thread, NULL, fire, &firing), 0);
    memset(&told, 0, sizeof told);
    orbit_status status = kinds[kind].run(firing.cancel, &told);
    pthread_join(thread, NULL);
    orbit_cancel_free(firing.cancel);
    if (status != ORBIT_E_CANCELLED && status < 0)
        print_error("%s: %s\n", kinds[kind].name, told.message);
    assert_true(status == ORBIT_E_CANCELLED || status >= 0);
    return status < 0;
}

static unsigned entries_of(const char *path)
{
    unsigned count = 0;
    DIR *open = opendir(path);
    assert_non_null(open);
    while (readdir(open))
        count++;
    (void)closedir(open);
    return count;
}

static void a_thousand_random_moments_leave_nothing_behind(void **state)
{
    (void)state;
    uint64_t takes_ns[COUNT_OF(kinds)];
    unsigned cancelled[COUNT_OF(kinds)] = {0}, descriptors, files;
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++) { /* everything is made once, and how long it takes */
        uint64_t begun = now_ns();
        orbit_status status = kinds[kind].run(NULL, &told);
        if (status < 0)
            print_error("%s: %s\n", kinds[kind].name, told.message);
        assert_true(status >= 0);
        takes_ns[kind] = now_ns() - begun;
    }
    (void)unlink(target_file);
    descriptors = entries_of("/proc/self/fd");
    files = entries_of(directory);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t kind = round % COUNT_OF(kinds);
        cancelled[kind] += cancel_after(kind, next_random() % (takes_ns[kind] + 1));
    }
    for (size_t kind = 0; kind < COUNT_OF(kinds); kind++)
        assert_true(cancelled[kind] > 0); /* the moments were not all too late */
    assert_int_equal(COUNT("open_uploads"), 0);
    (void)unlink(target_file);
    assert_int_equal(entries_of(directory), files); /* no temporary */

    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    OK(orbit_client_get_stats(at.client, &stats));
    assert_int_equal(stats.memory_used_bytes, 0);
    assert_true(stats.memory_peak_bytes <= stats.memory_limit_bytes);
    assert_true(entries_of("/proc/self/fd") <= descriptors + 16); /* idle connections come and go */

    uint8_t *bytes = make_bytes(OBJECT, 7); /* and all of it still works */
    OK(write_bytes("after", bytes, OBJECT, &told));
    OK(read_back("after", bytes, OBJECT, &told));
    free(bytes);
}

/* ---- the world -------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    if (s3fault_setup(state))
        return -1;
    orbit_mem_config config = ORBIT_MEM_CONFIG_INIT;
    OK(orbit_open_mem(&memory, at.client, &config, NULL, &told));
    for (unsigned i = 0; i < 300; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "many/%u", i);
        OK(write_bytes(key, "x", 1, &told));
    }
    content = make_bytes(OBJECT, 1);
    assert_non_null(mkdtemp(directory));
    (void)snprintf(source_file, sizeof source_file, "%s/source", directory);
    (void)snprintf(target_file, sizeof target_file, "%s/target", directory);
    FILE *file = fopen(source_file, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, OBJECT, file), OBJECT);
    assert_int_equal(fclose(file), 0);
    return 0;
}

static int teardown(void **state)
{
    orbit_backend_close(memory);
    free(content);
    (void)unlink(source_file);
    (void)unlink(target_file);
    (void)rmdir(directory);
    return s3fault_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_thousand_random_moments_leave_nothing_behind, setup, teardown),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
