/* SPDX-License-Identifier: Apache-2.0
 * Whole streams over a backend that fails, cuts, starves, delays and hangs at random (support/chaos.h): the bytes
 * are right, every operation ends once, nothing is left behind. Each run is repeatable by its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <orbit/orbit.h>

#include "support/chaos.h"

#define LENGTH ((size_t)1500007)

static struct chaos chaos;
static orbit_client *client;
static orbit_backend *store;
static uint8_t *bytes;
static orbit_error error;

static void must(orbit_status status, const char *what)
{
    if (status < 0)
        fail_msg("%s: %s: %s", what, orbit_status_word(status), error.message);
}

static int setup(void **state)
{
    (void)state;
    bytes = malloc(LENGTH);
    for (size_t i = 0; bytes != NULL && i < LENGTH; i++)
        bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16));
    return bytes == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(bytes);
    return 0;
}

static void open_chaos(const char *profile, uint32_t attempts)
{
    char url[128];
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    chaos_init(&chaos, &orb_mem_ops, NULL);
    must(orbit_client_open(&client, NULL, &error), "client");
    must(orbit_register(client, "chaos", &chaos.table, &chaos, &error), "register");
    options.chunk_size = 128 << 10;
    options.parallel_operations = 3;
    options.retry_attempts = attempts;
    bool object = strcmp(profile, "object") == 0;
    snprintf(url, sizeof(url), "chaos://x?profile=%s%s", profile, object ? "&part_min=65536&put_max=131072" : "");
    must(orbit_open(&store, client, url, &options, &error), "open");
}

static void close_chaos(void)
{
    orbit_backend_close(store);
    orbit_client_close(client);
    assert_int_equal(chaos_count(&chaos.in_flight), 0);
    if (chaos_count(&chaos.violations) != 0)
        fail_msg("the contract was broken %llu times, first: %s", (unsigned long long)chaos_count(&chaos.violations),
                 chaos.violation);
    chaos_release(&chaos);
}

static orbit_status write_all(const char *path)
{
    return orbit_write(store, path, orbit_source_memory(bytes, LENGTH), LENGTH, NULL, NULL, &error);
}

static orbit_status read_all(const char *path)
{
    orbit_reader *reader = NULL;
    size_t done = 0;
    orbit_status status = orbit_read(&reader, store, path, NULL, &error);
    while (status == ORBIT_OK) {
        const void *piece;
        size_t length = 0;
        status = orbit_reader_next(reader, &piece, &length, &error);
        if (status == ORBIT_OK) {
            assert_true(done + length <= LENGTH);
            assert_memory_equal(piece, bytes + done, length);
            done += length;
        }
    }
    orbit_reader_close(reader);
    if (status == ORBIT_END)
        assert_int_equal(done, LENGTH);
    return status == ORBIT_END ? ORBIT_OK : status;
}

static void faults_that_pass_are_survived(const char *profile)
{
    uint64_t faults = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        open_chaos(profile, 20);
        struct chaos_plan plan = {.seed = seed,
                                  .fail_before_percent = 8,
                                  .cut_percent = 10,
                                  .delay_percent = 10,
                                  .delay_max_ms = 5,
                                  .window = seed % 3 == 0 ? 5000 : 0,
                                  .starve_percent = seed % 2 == 0 ? 5 : 0};
        if (seed % 4 == 0)
            plan.operations = CHAOS_READ | CHAOS_PART | CHAOS_PUT;
        chaos_plan(&chaos, &plan);
        must(write_all("a/object"), "writing");
        must(read_all("a/object"), "reading");
        faults += chaos_count(&chaos.faults);
        close_chaos();
    }
    assert_true(faults > 20);
}

static void object_store_that_fails_now_and_then_is_written_and_read_right(void **state)
{
    (void)state;
    faults_that_pass_are_survived("object");
}

static void sequential_store_that_fails_now_and_then_is_read_right(void **state)
{
    (void)state;
    open_chaos("sequential", 20);
    must(write_all("object"), "writing");
    struct chaos_plan plan = {.seed = 5, .operations = CHAOS_READ, .cut_percent = 30, .fail_before_percent = 20};
    chaos_plan(&chaos, &plan);
    must(read_all("object"), "reading");
    close_chaos();
}

static void lost_replies_do_not_lose_the_object(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        open_chaos("object", 20);
        struct chaos_plan plan = {
            .seed = seed, .operations = CHAOS_PART | CHAOS_FINISH | CHAOS_PUT, .fail_after_percent = 30};
        chaos_plan(&chaos, &plan);
        must(write_all("object"), "writing");
        must(read_all("object"), "reading");
        must(orbit_write(store, "small", orbit_source_memory("12345", 5), 5, NULL, NULL, &error),
             "writing a small one");
        close_chaos();
    }
}

static void error_that_stays_ends_the_stream_and_leaves_nothing(void **state)
{
    (void)state;
    bool there = true;
    open_chaos("object", 3);
    struct chaos_plan plan = {.seed = 1, .operations = CHAOS_PART, .skip = 4, .fail_before_percent = 100};
    chaos_plan(&chaos, &plan);
    assert_int_equal(write_all("object"), ORBIT_E_NETWORK);
    struct chaos_plan none = {0};
    chaos_plan(&chaos, &none);
    must(orbit_exists(store, "object", NULL, &there, &error), "looking");
    assert_false(there);
    assert_true(chaos_count(&chaos.by_kind[7]) >= 1); /* aborted */
    close_chaos();
}

static void final_error_is_not_tried_again(void **state)
{
    (void)state;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    open_chaos("object", 10);
    struct chaos_plan plan = {.seed = 1, .fail_before_percent = 100, .status = ORBIT_E_PERMISSION, .flags = UINT32_MAX};
    chaos_plan(&chaos, &plan);
    uint64_t before = chaos_count(&chaos.started);
    assert_int_equal(orbit_stat(store, "x", NULL, &metadata, &error), ORBIT_E_PERMISSION);
    assert_int_equal(chaos_count(&chaos.started), before + 1);
    close_chaos();
}

static void hanging_store_is_left_at_the_time_limit(void **state)
{
    (void)state;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_read_options read = ORBIT_READ_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_reader *reader = NULL;
    open_chaos("object", 2);
    must(write_all("object"), "writing");
    struct chaos_plan plan = {
        .seed = 1, .operations = CHAOS_STAT | CHAOS_READ | CHAOS_PART | CHAOS_PUT, .hang_percent = 100};
    chaos_plan(&chaos, &plan);
    options.timeout_ms = write.timeout_ms = read.timeout_ms = 100;
    assert_int_equal(orbit_stat(store, "object", &options, &metadata, &error), ORBIT_E_TIMEOUT);
    assert_int_equal(orbit_read(&reader, store, "object", &read, &error), ORBIT_E_TIMEOUT);
    assert_int_equal(orbit_write(store, "new", orbit_source_memory(bytes, LENGTH), LENGTH, &write, NULL, &error),
                     ORBIT_E_TIMEOUT);
    close_chaos();
}

static void listing_over_failing_pages_is_whole(void **state)
{
    (void)state;
    static const char *const profiles[] = {"object", "files", "sequential"};
    for (size_t p = 0; p < sizeof(profiles) / sizeof(profiles[0]); p++) {
        orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
        orbit_lister *lister = NULL;
        orbit_entry entry;
        orbit_status status;
        unsigned count = 0;
        open_chaos(profiles[p], 20);
        for (int i = 0; i < 120; i++) {
            char name[64];
            snprintf(name, sizeof(name), "tree/%d/file%d", i % 4, i);
            must(orbit_write(store, name, orbit_source_memory("x", 1), 1, NULL, NULL, &error), "writing");
        }
        struct chaos_plan plan = {.seed = 3 + p, .operations = CHAOS_LIST, .fail_before_percent = 25};
        chaos_plan(&chaos, &plan);
        options.recursive = true;
        options.files_only = true;
        options.page_entries = 7;
        must(orbit_list(&lister, store, "tree", &options, &error), "listing");
        while ((status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK)
            count++;
        must(status, "listing");
        assert_int_equal(status, ORBIT_END);
        assert_int_equal(count, 120);
        orbit_lister_close(lister);
        close_chaos();
    }
}

/* The first put breaks off at its last byte, when the file was read to its end and looks at it are slow: it is read and
 * looked at once more, and the copy ends when both have come to their end, in whatever order. */
static void put_that_begins_again_waits_for_a_new_look_at_its_file(void **state)
{
    (void)state;
    static struct chaos slow;
    char path[128];
    const char *parent = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%.80s/orbit-chaos-XXXXXX", parent ? parent : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, LENGTH), LENGTH);
    close(fd);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        orbit_backend *disk, *target;
        orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
        open_chaos("object", 20);
        chaos_init(&slow, &orb_local_ops, NULL);
        must(orbit_register(client, "slow", &slow.table, &slow, &error), "register");
        must(orbit_open(&disk, client, "slow:///", NULL, &error), "open");
        must(orbit_open(&target, client, "chaos://y?profile=object&part_min=65536&put_max=4194304", NULL, &error),
             "open");
        struct chaos_plan looks = {.seed = seed,
                                   .operations = CHAOS_STAT,
                                   .skip =
                                       seed % 2 + 1, /* the look before the copy, and that after the first reading */
                                   .delay_percent = 100,
                                   .delay_max_ms = 60};
        struct chaos_plan cut = {
            .seed = seed, .operations = CHAOS_PUT, .cut_percent = 100, .cut_at = LENGTH - 1, .faults_max = 1};
        chaos_plan(&slow, &looks);
        chaos_plan(&chaos, &cut);
        must(orbit_copy(disk, path, target, "copied", NULL, &result, &error), "copying");
        assert_int_equal(result.bytes, LENGTH);
        assert_int_equal(chaos_count(&chaos.faults), 1);
        assert_true(chaos_count(&slow.by_kind[0]) >= 3);
        orbit_backend *kept = store;
        store = target;
        must(read_all("copied"), "reading");
        store = kept;
        orbit_write_result_release(&result);
        orbit_backend_close(target);
        orbit_backend_close(disk);
        assert_int_equal(chaos_count(&slow.in_flight), 0);
        close_chaos();
        chaos_release(&slow);
    }
    unlink(path);
}

static void backend_closed_in_the_middle_ends_everything(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        orbit_task *tasks[4];
        char names[4][16];
        open_chaos("object", 20);
        struct chaos_plan plan = {
            .seed = (uint64_t)round, .delay_percent = 100, .delay_max_ms = 20, .starve_percent = 10};
        chaos_plan(&chaos, &plan);
        for (int i = 0; i < 4; i++) {
            snprintf(names[i], sizeof(names[i]), "task%d", i);
            must(orbit_write_start(&tasks[i], store, names[i], orbit_source_memory(bytes, LENGTH), LENGTH, NULL, NULL,
                                   NULL, NULL, &error),
                 "starting");
        }
        for (int i = 0; i < 4; i++)
            orbit_task_free(tasks[i]); /* cancels and waits */
        close_chaos();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(object_store_that_fails_now_and_then_is_written_and_read_right),
        cmocka_unit_test(sequential_store_that_fails_now_and_then_is_read_right),
        cmocka_unit_test(lost_replies_do_not_lose_the_object),
        cmocka_unit_test(error_that_stays_ends_the_stream_and_leaves_nothing),
        cmocka_unit_test(final_error_is_not_tried_again),
        cmocka_unit_test(hanging_store_is_left_at_the_time_limit),
        cmocka_unit_test(listing_over_failing_pages_is_whole),
        cmocka_unit_test(put_that_begins_again_waits_for_a_new_look_at_its_file),
        cmocka_unit_test(backend_closed_in_the_middle_ends_everything),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
