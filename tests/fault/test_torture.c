/* SPDX-License-Identifier: Apache-2.0
 * Torture: the same work again and again while the first, second, third, … allocation fails, until none does. Each
 * time it must end well or with an error, leave nothing partial behind, and leave the store usable. Run under ASan
 * it also shows leaks. The main thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <orbit/orbit.h>
#include <sys/stat.h>

#include "base/mem.h"

#define LENGTH (200000)
#define CHUNK  (64 << 10)

static char root[] = "/tmp/orbit-torture-XXXXXX";
static uint8_t *bytes;

enum store { MEM_OBJECT, MEM_FILES, LOCAL };

static orbit_status open_store(orbit_backend **backend, orbit_client *client, enum store store, orbit_error *error)
{
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.chunk_size = CHUNK;
    if (store == LOCAL) {
        orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
        config.root = root;
        return orbit_open_local(backend, client, &config, &options, error);
    }
    orbit_mem_config config = ORBIT_MEM_CONFIG_INIT;
    config.name = "torture";
    config.profile = store == MEM_OBJECT ? "object" : "files";
    return orbit_open_mem(backend, client, &config, &options, error);
}

/* ---- the works ------------------------------------------------------------------------------------------------ */

static orbit_status slow_source(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    size_t *given = ctx;
    (void)error;
    *length = LENGTH - *given < room ? LENGTH - *given : room;
    if (*length > 30000)
        *length = 30000;
    memcpy(buffer, bytes + *given, *length);
    *given += *length;
    return *length == 0 ? ORBIT_END : ORBIT_OK;
}

static orbit_status work_pull(orbit_backend *store, orbit_error *error)
{
    size_t given = 0;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_status status = orbit_write(store, "work/new", orbit_source_function(slow_source, &given), ORBIT_SIZE_UNKNOWN,
                                      NULL, &result, error);
    orbit_write_result_release(&result);
    return status;
}

static orbit_status work_push(orbit_backend *store, orbit_error *error)
{
    orbit_writer *writer = NULL;
    orbit_status status = orbit_writer_open(&writer, store, "work/new", LENGTH, NULL, error);
    for (size_t done = 0; status >= 0 && done < LENGTH; done += 50000)
        status = orbit_writer_write(writer, bytes + done, 50000, error);
    if (status >= 0)
        status = orbit_writer_finish(writer, NULL, error);
    orbit_writer_free(writer);
    return status;
}

static orbit_status work_read(orbit_backend *store, orbit_error *error)
{
    orbit_reader *reader = NULL;
    size_t done = 0;
    orbit_status status = orbit_read(&reader, store, "work/old", NULL, error);
    while (status == ORBIT_OK) {
        const void *piece;
        size_t length = 0;
        status = orbit_reader_next(reader, &piece, &length, error);
        if (status == ORBIT_OK) {
            assert_true(done + length <= LENGTH);
            assert_memory_equal(piece, bytes + done, length);
            done += length;
        }
    }
    if (status == ORBIT_END)
        assert_int_equal(done, LENGTH); /* never an early end */
    orbit_reader_close(reader);
    return status == ORBIT_END ? ORBIT_OK : status;
}

static orbit_status work_list(orbit_backend *store, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    unsigned files = 0, failed = 0;
    options.recursive = true;
    options.files_only = true;
    options.page_entries = 5;
    orbit_status status = orbit_list(&lister, store, "tree", &options, error);
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) != ORBIT_END)
        if (status == ORBIT_OK)
            files++;
        else if (status == ORBIT_ENTRY_FAILED)
            failed++;
    if (status == ORBIT_END && failed == 0)
        assert_int_equal(files, 30); /* an error is never an empty rest */
    if (lister != NULL)
        assert_int_equal(orbit_lister_failed(lister), failed);
    orbit_lister_close(lister);
    return status == ORBIT_END ? ORBIT_OK : status;
}

static orbit_status work_copy(orbit_backend *store, orbit_error *error)
{
    orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
    options.no_server_copy = true;
    return orbit_copy(store, "work/old", store, "work/new", &options, NULL, error);
}

static orbit_status work_server_copy(orbit_backend *store, orbit_error *error)
{
    return orbit_copy(store, "work/old", store, "work/new", NULL, NULL, error);
}

static orbit_status work_calls(orbit_backend *store, orbit_error *error)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    bool there;
    options.recursive = true;
    orbit_status status = orbit_stat(store, "work/old", NULL, &metadata, error);
    orbit_metadata_release(&metadata);
    if (status >= 0)
        status = orbit_exists(store, "work/none", NULL, &there, error);
    if (status >= 0)
        status = orbit_mkdir(store, "made/a/b", &options, error);
    if (status >= 0)
        status = orbit_remove(store, "made", &options, error);
    return status;
}

static orbit_status work_download(orbit_backend *store, orbit_error *error)
{
    char file[128];
    struct stat about;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    snprintf(file, sizeof(file), "%s/download", root);
    orbit_status status = orbit_download(store, "work/old", file, &options, NULL, error);
    if (stat(file, &about) == 0) {
        assert_int_equal(about.st_size, LENGTH); /* whole or not at all */
        remove(file);
    } else {
        assert_true(status < 0);
    }
    return status;
}

static const struct work {
    const char *name;
    orbit_status (*run)(orbit_backend *store, orbit_error *error);
    bool writes; /* "work/new" */
} works[] = {{"pull", work_pull, true},    {"push", work_push, true},         {"read", work_read, false},
             {"list", work_list, false},   {"copy", work_copy, true},         {"server copy", work_server_copy, true},
             {"calls", work_calls, false}, {"download", work_download, false}};

/* ---- torturing ------------------------------------------------------------------------------------- */

static void must(orbit_status status, const orbit_error *error, const char *what)
{
    if (status >= 0)
        return;
    fail_msg("%s: %s", what, error->message);
}

/* Whatever happened: the new object is whole or missing. */
static void check_new(orbit_backend *store, bool wrote, const char *name, uint64_t n)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    orbit_status status = orbit_stat(store, "work/new", NULL, &metadata, &error);
    if (status == ORBIT_E_NOT_FOUND) {
        if (wrote)
            fail_msg("%s with allocation %llu failing: said to be written, and is not there", name,
                     (unsigned long long)n);
        return;
    }
    must(status, &error, "stat afterwards");
    assert_int_equal(metadata.size, LENGTH);
    orbit_metadata_release(&metadata);
    must(orbit_remove(store, "work/new", NULL, &error), &error, "remove afterwards");
}

static void check_no_temporaries(void)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/work", root);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strncmp(entry->d_name, ".orbit-", 7) == 0)
            fail_msg("a temporary file is left: %s", entry->d_name);
    closedir(directory);
}

static void torture_work(orbit_client *client, orbit_backend *store, const struct work *work)
{
    unsigned failures = 0;
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    for (uint64_t n = 1; n < 5000; n++) {
        orbit_error error = {0};
        orb_mem_fail_at(n);
        orbit_status status = work->run(store, &error);
        bool reached = orb_mem_count() >= n;
        orb_mem_fail_at(0);
        if (status < 0) {
            failures++;
            if (!reached || status != ORBIT_E_MEMORY)
                fail_msg("%s with allocation %llu failing: %s: %s", work->name, (unsigned long long)n,
                         orbit_status_word(status), error.message);
            assert_int_equal(error.status, status);
        }
        if (work->writes)
            check_new(store, status >= 0, work->name, n);
        if (!reached) {
            print_message("           %s: %llu allocations, %u errors\n", work->name, (unsigned long long)n - 1,
                          failures);
            assert_true(failures > 0);
            must(status, &error, work->name);
            check_no_temporaries();
            orbit_client_get_stats(client, &stats);
            assert_int_equal(stats.memory_used_bytes, 0);
            return;
        }
    }
    fail_msg("%s needs more allocations than this test has patience", work->name);
}

static void prepare(orbit_backend *store)
{
    orbit_error error;
    must(orbit_write(store, "work/old", orbit_source_memory(bytes, LENGTH), LENGTH, NULL, NULL, &error), &error,
         "prepare");
    for (int i = 0; i < 30; i++) {
        char name[64];
        snprintf(name, sizeof(name), "tree/%d/%d/file%d", i % 3, i % 2, i);
        must(orbit_write(store, name, orbit_source_memory("x", 1), 1, NULL, NULL, &error), &error, "prepare");
    }
}

static void torture(enum store kind)
{
    orbit_client *client = NULL;
    orbit_backend *store = NULL;
    orbit_error error;
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.workers = 1;
    options.lanes = 1;
    must(orbit_client_open(&client, &options, &error), &error, "client");
    must(open_store(&store, client, kind, &error), &error, "store");
    prepare(store);
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        torture_work(client, store, &works[i]);
    orbit_backend_close(store);
    orbit_client_close(client);
}

static void object_store_survives_any_failing_allocation(void **state)
{
    (void)state;
    torture(MEM_OBJECT);
}

static void file_store_survives_any_failing_allocation(void **state)
{
    (void)state;
    torture(MEM_FILES);
}

static void local_disk_survives_any_failing_allocation(void **state)
{
    (void)state;
    torture(LOCAL);
}

static void opening_and_closing_survives_any_failing_allocation(void **state)
{
    (void)state;
    for (enum store kind = MEM_OBJECT; kind <= LOCAL; kind++) {
        bool reached = true;
        unsigned failures = 0;
        for (uint64_t n = 1; reached && n < 2000; n++) {
            orbit_client *client = NULL;
            orbit_backend *store = NULL;
            orbit_error error = {0};
            orb_mem_fail_at(n);
            orbit_status status = orbit_client_open(&client, NULL, &error);
            if (status >= 0)
                status = open_store(&store, client, kind, &error);
            reached = orb_mem_count() >= n;
            orb_mem_fail_at(0);
            orbit_backend_close(store);
            orbit_client_close(client);
            failures += status < 0;
            if (status < 0 && status != ORBIT_E_MEMORY)
                fail_msg("opening store %d with allocation %llu failing: %s: %s", (int)kind, (unsigned long long)n,
                         orbit_status_word(status), error.message);
        }
        assert_false(reached);
        assert_true(failures > 0);
    }
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about, (void)kind, (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    bytes = malloc(LENGTH);
    if (bytes == NULL || mkdtemp(root) == NULL)
        return -1;
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 17);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(bytes);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_and_closing_survives_any_failing_allocation),
        cmocka_unit_test(object_store_survives_any_failing_allocation),
        cmocka_unit_test(file_store_survives_any_failing_allocation),
        cmocka_unit_test(local_disk_survives_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
