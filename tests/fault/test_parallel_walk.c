/* SPDX-License-Identifier: Apache-2.0
 * Walks that read several directories at once, over a store whose answers come late and in any order (support/chaos.h):
 * they give what the serial walk gives, in the same order, and leave nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <orbit/orbit.h>

#include "base/clock.h"
#include "support/chaos.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static struct chaos chaos;
static orbit_client *client;
static orbit_backend *store;
static orbit_error error;

static void must(orbit_status status, const char *what)
{
    if (status < 0)
        fail_msg("%s: %s: %s", what, orbit_status_word(status), error.message);
}

static void open_store(const char *profile)
{
    char url[64];
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    options.retry_attempts = 50;
    chaos_init(&chaos, &orb_mem_ops, NULL);
    must(orbit_client_open(&client, NULL, &error), "client");
    must(orbit_register(client, "chaos", &chaos.table, &chaos, &error), "register");
    snprintf(url, sizeof url, "chaos://x?profile=%s", profile);
    must(orbit_open(&store, client, url, &options, &error), "open");
}

static void close_store(void)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(client, &stats);
    assert_int_equal(stats.memory_used_bytes, 0);
    orbit_backend_close(store);
    orbit_client_close(client);
    assert_int_equal(chaos_count(&chaos.in_flight), 0);
    if (chaos_count(&chaos.violations) != 0)
        fail_msg("the contract was broken: %s", chaos.violation);
    chaos_release(&chaos);
}

/* ---- trees --------------------------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t dice(uint32_t sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % sides;
}

static void make_file(const char *path)
{
    must(orbit_write(store, path, orbit_source_memory("x", 1), 1, NULL, NULL, &error), path);
}

/* Directories below random ones that are there already: some wide, some deep; files before and behind them. */
static void make_tree(uint64_t seed, unsigned directories)
{
    char(*path)[200] = calloc(directories + 1, sizeof *path);
    random_state = seed;
    for (unsigned i = 1; i <= directories; i++) {
        char file[256];
        unsigned parent = dice(3) ? dice(i) : i - 1;
        if (strlen(path[parent]) > 150)
            parent = 0;
        char above[sizeof *path];
        memcpy(above, path[parent], sizeof above);
        snprintf(path[i], sizeof *path, "%.180s%sd%u", above, parent ? "/" : "", i);
        must(orbit_mkdir(store, path[i], NULL, &error), path[i]);
        for (unsigned files = dice(5); files--;) {
            unsigned in = dice(i + 1);
            snprintf(file, sizeof file, "%s%sf%u-%u", path[in], in ? "/" : "", i, files);
            make_file(file);
        }
    }
    free(path);
}

static void make_flat(unsigned directories)
{
    for (unsigned i = 0; i < directories; i++) {
        char path[64];
        snprintf(path, sizeof path, "d%04u", i);
        must(orbit_mkdir(store, path, NULL, &error), path);
        snprintf(path, sizeof path, "d%04u/file", i);
        make_file(path);
    }
}

/* ---- listings ------------------------------------------------------------------------------------------ */

struct outcome {
    orbit_status status;
    uint64_t count, chain, sum, peak;
    bool parents_first;
    uint64_t took_ms;
};

static uint64_t hash_of(const char *bytes, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

enum { SEEN = 1 << 13 };
static uint64_t seen[SEEN];

static uint64_t *seen_at(uint64_t hash)
{
    size_t at = hash % SEEN;
    while (seen[at] && seen[at] != hash)
        at = (at + 1) % SEEN;
    return &seen[at];
}

static bool parent_was_seen(const orbit_entry *entry)
{
    const char *slash = strrchr(entry->path, '/');
    *seen_at(hash_of(entry->path, entry->path_length)) = hash_of(entry->path, entry->path_length);
    return !slash || *seen_at(hash_of(entry->path, (size_t)(slash - entry->path)));
}

static struct outcome list_all(const orbit_list_options *options)
{
    struct outcome outcome = {.parents_first = true};
    orbit_lister *lister = NULL;
    orbit_entry entry;
    uint64_t begun_ns = orb_now_ns();
    memset(seen, 0, sizeof seen);
    atomic_store(&chaos.in_flight_peak, 0);
    must(orbit_list(&lister, store, "", options, &error), "list");
    while ((outcome.status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK) {
        uint64_t hash = hash_of(entry.path, entry.path_length) + entry.depth;
        outcome.chain = (outcome.chain + hash) * 0x9e3779b97f4a7c15u;
        outcome.sum += hash;
        outcome.count++;
        outcome.parents_first &= parent_was_seen(&entry);
    }
    outcome.took_ms = (orb_now_ns() - begun_ns) / ORB_MS;
    orbit_lister_close(lister);
    outcome.peak = chaos_count(&chaos.in_flight_peak);
    return outcome;
}

static orbit_list_options walking(uint32_t workers)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.list_workers = workers;
    return options;
}

static void assert_same(const struct outcome *serial, const struct outcome *parallel)
{
    assert_int_equal(serial->status, ORBIT_END);
    if (parallel->status != ORBIT_END)
        print_error("%s\n", error.message);
    assert_int_equal(parallel->status, ORBIT_END);
    assert_int_equal(parallel->count, serial->count);
    assert_true(parallel->chain == serial->chain);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static const char *const profiles[] = {"files", "sequential"}; /* cursors that can be suspended, and such that cannot */

static bool late_end; /* an empty page tells of it */

static void late(uint64_t seed, uint32_t percent, uint32_t most_ms, uint32_t fail_percent)
{
    struct chaos_plan plan = {.seed = seed,
                              .operations = CHAOS_LIST,
                              .delay_percent = percent,
                              .delay_max_ms = most_ms,
                              .fail_before_percent = fail_percent,
                              .late_end = late_end};
    chaos_plan(&chaos, &plan);
}

static void walk_in_parallel_gives_the_same_entries_in_the_same_order(void **state)
{
    (void)state;
    static const uint32_t workers[] = {2, 5, 16, 64};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        open_store(profiles[seed % 2]);
        make_tree(seed, 150);
        for (size_t i = 0; i < COUNT_OF(workers); i++) {
            orbit_list_options options = walking(1);
            options.page_entries = (uint32_t)(seed % 3 * i * 4);
            late(seed, 0, 0, 0);
            struct outcome serial = list_all(&options);
            assert_int_equal(serial.peak, 1);
            late_end = i % 2;
            late(seed + i, 40, 3, 0);
            late_end = false;
            options.list_workers = workers[i];
            struct outcome parallel = list_all(&options);
            assert_same(&serial, &parallel);
            assert_true(parallel.peak > 1);
            assert_true(parallel.peak <= workers[i] + 1); /* and the walk's own */
        }
        close_store();
    }
}

static void walk_in_parallel_is_whole_while_requests_fail(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        open_store(profiles[seed % 2]);
        make_tree(seed, 60);
        orbit_list_options options = walking(1);
        options.page_entries = 2;
        struct outcome serial = list_all(&options);
        late(seed, 30, 2, 5);
        options.list_workers = 16;
        struct outcome parallel = list_all(&options);
        assert_same(&serial, &parallel);
        assert_true(chaos_count(&chaos.faults) > 0);
        close_store();
    }
}

/* Shows what it brings: printed, for time is nothing to be asserted. */
static void many_directories_are_read_at_once_where_each_takes_long(void **state)
{
    (void)state;
    open_store("files");
    make_flat(200);
    late(1, 100, 8, 0);
    orbit_list_options options = walking(1);
    struct outcome serial = list_all(&options);
    static const uint32_t workers[] = {4, 16, 0};
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        options.list_workers = workers[i];
        struct outcome parallel = list_all(&options);
        assert_same(&serial, &parallel);
        print_message("%u workers: %llu ms, serially %llu ms, %llu in flight\n", workers[i],
                      (unsigned long long)parallel.took_ms, (unsigned long long)serial.took_ms,
                      (unsigned long long)parallel.peak);
        assert_true(parallel.peak >= (workers[i] ? workers[i] : 8));
        assert_true(parallel.peak <= (workers[i] ? workers[i] : 16) + 1);
    }
    close_store();
}

static void few_wanted_entries_cause_few_requests(void **state)
{
    (void)state;
    open_store("files");
    make_flat(200);
    late(1, 100, 4, 0);
    orbit_list_options options = walking(16);
    options.max_entries = 12; /* six directories, a file each */
    atomic_store(&chaos.by_kind[1], 0);
    struct outcome outcome = list_all(&options);
    assert_int_equal(outcome.status, ORBIT_END);
    assert_int_equal(outcome.count, 12);
    assert_true(chaos_count(&chaos.by_kind[1]) <= 2 * (1 + 6 + 12));
    close_store();
}

static void walk_without_order_gives_the_same_entries_and_directories_first(void **state)
{
    (void)state;
    bool differs = false;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        open_store(profiles[seed % 2]);
        make_tree(seed, 150);
        orbit_list_options options = walking(1);
        options.page_entries = (uint32_t)(seed % 4);
        struct outcome serial = list_all(&options);
        late_end = seed > 2;
        late(seed, 50, 6, seed % 2 ? 3 : 0);
        late_end = false;
        options.list_workers = 8;
        options.unordered = true;
        struct outcome parallel = list_all(&options);
        assert_int_equal(parallel.status, ORBIT_END);
        assert_int_equal(parallel.count, serial.count);
        assert_true(parallel.sum == serial.sum);
        differs |= parallel.chain != serial.chain;
        assert_true(parallel.parents_first);
        close_store();
    }
    assert_true(differs);
}

static void closing_ends_what_was_asked_for_ahead(void **state)
{
    (void)state;
    for (unsigned taken = 0; taken < 120; taken += 7) {
        open_store("files");
        make_tree(taken + 1, 60);
        late(taken, 50, 2, 0);
        orbit_list_options options = walking(8);
        options.unordered = taken % 2;
        orbit_lister *lister = NULL;
        orbit_entry entry;
        must(orbit_list(&lister, store, "", &options, &error), "list");
        for (unsigned i = 0; i < taken; i++)
            if (orbit_lister_next(lister, &entry, &error) != ORBIT_OK)
                break;
        struct chaos_plan plan = {.seed = taken, .operations = CHAOS_LIST, .hang_percent = 100};
        chaos_plan(&chaos, &plan); /* from here on nothing answers */
        orbit_lister_close(lister);
        close_store();
    }
}

static void cancelled_walk_ends_while_nothing_answers(void **state)
{
    (void)state;
    open_store("files");
    make_tree(3, 100);
    late(3, 50, 2, 0);
    orbit_list_options options = walking(8);
    options.cancel = orbit_cancel_new();
    orbit_lister *lister = NULL;
    orbit_entry entry;
    must(orbit_list(&lister, store, "", &options, &error), "list");
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(orbit_lister_next(lister, &entry, &error), ORBIT_OK);
    struct chaos_plan plan = {.seed = 3, .operations = CHAOS_LIST, .hang_percent = 100};
    chaos_plan(&chaos, &plan);
    orbit_cancel_fire(options.cancel);
    orbit_status status;
    while ((status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK)
        ;
    assert_int_equal(status, ORBIT_E_CANCELLED);
    orbit_lister_close(lister);
    orbit_cancel_free(options.cancel);
    close_store();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walk_in_parallel_gives_the_same_entries_in_the_same_order),
        cmocka_unit_test(walk_in_parallel_is_whole_while_requests_fail),
        cmocka_unit_test(many_directories_are_read_at_once_where_each_takes_long),
        cmocka_unit_test(few_wanted_entries_cause_few_requests),
        cmocka_unit_test(walk_without_order_gives_the_same_entries_and_directories_first),
        cmocka_unit_test(closing_ends_what_was_asked_for_ahead),
        cmocka_unit_test(cancelled_walk_ends_while_nothing_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
