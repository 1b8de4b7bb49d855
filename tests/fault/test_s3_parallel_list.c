/* SPDX-License-Identifier: Apache-2.0
 * Listing in parallel gives what listing serially gives, whatever the keys look like and whatever the store does. */
#include "s3fault.h"

#include <stdio.h>
#include <unistd.h>

static const char *const shapes[] = {"padded", "numbers", "tree",  "uuid",  "hive", "prefix",
                                     "dates",  "mixed",   "words", "parts", "utf8", "markers"};

/* What a listing came to. */
struct outcome {
    orbit_status status;
    orbit_error error;
    uint64_t count;
    uint64_t chain; /* of the entries in their order */
    uint64_t sum;   /* of the entries in any order */
    bool rising;
    uint64_t chain_at[16]; /* after every 500 entries */
    uint64_t pages;
};

static uint64_t hash_of(const orbit_entry *entry)
{
    uint64_t hash = 0xcbf29ce484222325u ^ entry->metadata.size ^ ((uint64_t)entry->flags << 60);
    for (size_t i = 0; i < entry->path_length; i++)
        hash = (hash ^ (uint8_t)entry->path[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

static void list_all(const orbit_list_options *options, const char *path, struct outcome *outcome)
{
    char last[2048] = "";
    orbit_lister *lister = NULL;
    orbit_entry entry;
    *outcome = (struct outcome){.rising = true};
    orbit_status status = orbit_list(&lister, at.store, path, options, &outcome->error);
    while (status == ORBIT_OK && (status = orbit_lister_next(lister, &entry, &outcome->error)) == ORBIT_OK) {
        bool directory = entry.metadata.kind == ORBIT_KIND_DIRECTORY;
        char key[2048];
        (void)snprintf(key, sizeof key, "%s%s", entry.path, directory ? "/" : "");
        outcome->rising &= strcmp(last, key) < 0;
        (void)snprintf(last, sizeof last, "%s", key);
        outcome->chain = (outcome->chain + hash_of(&entry)) * 0x9e3779b97f4a7c15u;
        outcome->sum += hash_of(&entry);
        outcome->count++;
        if (outcome->count % 500 == 0 && outcome->count / 500 < COUNT_OF(outcome->chain_at))
            outcome->chain_at[outcome->count / 500] = outcome->chain;
    }
    outcome->status = status;
    outcome->pages = orbit_lister_pages(lister);
    orbit_lister_close(lister);
}

static void list_keys(uint32_t workers, struct outcome *outcome)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.list_workers = workers;
    list_all(&options, "", outcome);
}

static void open_keys(unsigned count, const char *shape)
{
    static char bucket[64]; /* the config borrows it */
    (void)snprintf(bucket, sizeof bucket, "keys-%u-%s", count, shape);
    at.options.retry_attempts = 10;
    at.config.bucket = bucket;
    s3fault_reopen();
}

static void assert_same(const struct outcome *serial, const struct outcome *parallel, const char *shape)
{
    if (parallel->status != ORBIT_END)
        print_error("%s: %s\n", shape, parallel->error.message);
    assert_int_equal(serial->status, ORBIT_END);
    assert_int_equal(parallel->status, ORBIT_END);
    if (parallel->count != serial->count || parallel->chain != serial->chain)
        print_error("%s: %llu entries of %llu\n", shape, (unsigned long long)parallel->count,
                    (unsigned long long)serial->count);
    assert_int_equal(parallel->count, serial->count);
    assert_true(parallel->chain == serial->chain);
}

static void parallel_listing_gives_the_same_entries_in_the_same_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        for (unsigned page = 7; page <= 300; page *= 6) {
            struct outcome serial, parallel;
            open_keys(3000 + page * 7, shapes[i]);
            endpoint_control(&at.endpoint, "set?page_max=%u", page + (unsigned)i);
            list_keys(1, &serial);
            assert_true(serial.rising || strcmp(shapes[i], "markers") == 0); /* "d//" and "d/" look alike */
            list_keys(2 + page % 17, &parallel);
            assert_same(&serial, &parallel, shapes[i]);
            assert_true(parallel.pages >= serial.pages);
        }
}

static void parallel_listing_is_whole_while_pages_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct outcome serial, parallel;
        open_keys(4000, shapes[i]);
        endpoint_control(&at.endpoint, "set?page_max=50");
        list_keys(1, &serial);
        FAULT("op=ListObjectsV2&probability=0.03&count=4&seed=%u&status=503", (unsigned)i + 1);
        FAULT("op=ListObjectsV2&probability=0.03&seed=%u&status=500", (unsigned)i + 2);
        FAULT("op=ListObjectsV2&probability=0.03&seed=%u&reset=before", (unsigned)i + 3);
        FAULT("op=ListObjectsV2&probability=0.03&seed=%u&cut=3000", (unsigned)i + 4);
        FAULT("op=ListObjectsV2&probability=0.03&seed=%u&truncate=4000", (unsigned)i + 5);
        list_keys(8, &parallel);
        endpoint_control(&at.endpoint, "clear");
        assert_same(&serial, &parallel, shapes[i]);
    }
}

static void repeated_token_ends_a_parallel_listing_with_an_error_after_what_is_sure(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct outcome serial, parallel;
        open_keys(4000, shapes[i]);
        endpoint_control(&at.endpoint, "set?page_max=50");
        list_keys(1, &serial);
        FAULT("op=ListObjectsV2&probability=0.1&seed=%u&repeat_token=1", (unsigned)i + 1);
        list_keys(8, &parallel);
        endpoint_control(&at.endpoint, "clear");
        if (parallel.status == ORBIT_END) {
            assert_same(&serial, &parallel, shapes[i]);
        } else {
            assert_int_equal(parallel.status, ORBIT_E_PROTOCOL);
            for (uint64_t n = 500; n <= parallel.count; n += 500)
                assert_true(parallel.chain_at[n / 500] == serial.chain_at[n / 500]);
        }
    }
}

/* Serially, before this shape's faults. */
static void list_well(const char *shape, struct outcome *serial)
{
    open_keys(4000, shape);
    endpoint_control(&at.endpoint, "clear"); /* the faults of the last shape */
    endpoint_control(&at.endpoint, "set?page_max=50");
    list_keys(1, serial);
}

static void list_unordered(struct outcome *outcome)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = options.unordered = true;
    options.list_workers = 8;
    list_all(&options, "", outcome);
}

static void assert_same_set(const struct outcome *serial, const struct outcome *unordered, const char *shape)
{
    if (unordered->status != ORBIT_END)
        print_error("%s: %s\n", shape, unordered->error.message);
    assert_int_equal(unordered->status, ORBIT_END);
    assert_int_equal(unordered->count, serial->count);
    assert_true(unordered->sum == serial->sum);
}

static void end_before_a_known_key_is_asked_for_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct outcome serial, parallel;
        list_well(shapes[i], &serial);
        FAULT("op=ListObjectsV2&probability=0.02&seed=%u&false_end=1", (unsigned)i + 1);
        list_keys(8, &parallel);
        assert_same(&serial, &parallel, shapes[i]);
        list_unordered(&parallel);
        assert_same_set(&serial, &parallel, shapes[i]);
    }
}

static void place_behind_which_the_store_never_names_a_key_ends_in_a_serial_listing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct outcome serial, parallel;
        list_well(shapes[i], &serial);
        FAULT("op=ListObjectsV2&false_end=2");
        list_keys(8, &parallel);
        assert_same(&serial, &parallel, shapes[i]);
        list_unordered(&parallel);
        if (parallel.status != ORBIT_E_PROTOCOL)
            assert_same_set(&serial, &parallel, shapes[i]);
    }
}

static void error_in_the_middle_is_never_an_end(void **state)
{
    (void)state;
    struct outcome parallel;
    open_keys(4000, "padded");
    at.options.retry_attempts = 2;
    s3fault_reopen();
    endpoint_control(&at.endpoint, "set?page_max=50");
    FAULT("op=ListObjectsV2&nth=30&count=100000&status=500");
    list_keys(8, &parallel);
    assert_true(parallel.status < 0);
    assert_int_equal(parallel.error.http_status, 500);
    assert_true(parallel.count < 4000);
}

static void options_mean_the_same_in_parallel(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *path, *prefix, *start_after;
        uint64_t max_entries;
        bool flat, files_only;
    } cases[] = {
        {"numbers", "", "2", NULL, 0, false, false},
        {"numbers", "", NULL, "25", 0, false, false},
        {"numbers", "", "3", "34", 0, false, false},
        {"numbers", "", NULL, NULL, 1234, false, false},
        {"tree", "d0000/d002", NULL, NULL, 0, false, true},
        {"tree", "d0000", NULL, NULL, 0, true, false},
        {"tree", "d0000/d001", NULL, NULL, 0, true, false},
        {"markers", "", NULL, NULL, 0, true, false},
        {"markers", "", NULL, NULL, 0, false, true},
        {"uuid", "", "f", NULL, 200, false, false},
        {"padded", "", "obj-00000012", "obj-0000001234", 0, false, false},
        {"markers", "", NULL, "d00000100/", 77, false, true},
        {"utf8", "", "カ", NULL, 0, false, false},
        {"uuid", "", NULL, "zzz", 0, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome serial, parallel;
        orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
        options.recursive = !cases[i].flat;
        options.prefix = cases[i].prefix;
        options.start_after = cases[i].start_after;
        options.max_entries = cases[i].max_entries;
        options.files_only = cases[i].files_only;
        open_keys(6000, cases[i].shape);
        endpoint_control(&at.endpoint, "set?page_max=40");
        options.list_workers = 1;
        list_all(&options, cases[i].path, &serial);
        options.list_workers = 8;
        list_all(&options, cases[i].path, &parallel);
        assert_same(&serial, &parallel, cases[i].shape);
    }
}

static void unordered_listing_gives_every_entry_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct outcome serial, parallel;
        orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
        options.recursive = options.unordered = true;
        options.list_workers = 8;
        open_keys(4000, shapes[i]);
        endpoint_control(&at.endpoint, "set?page_max=50");
        list_keys(1, &serial);
        FAULT("op=ListObjectsV2&probability=0.05&count=4&seed=%u&status=503", (unsigned)i + 1);
        list_all(&options, "", &parallel);
        endpoint_control(&at.endpoint, "clear");
        assert_int_equal(parallel.status, ORBIT_END);
        assert_int_equal(parallel.count, serial.count);
        assert_true(parallel.sum == serial.sum);
    }
}

static void store_without_order_is_listed_as_it_comes(void **state)
{
    (void)state;
    struct outcome serial, parallel;
    open_keys(3000, "uuid");
    endpoint_control(&at.endpoint, "set?page_max=50&unordered=1");
    list_keys(1, &serial);
    assert_false(serial.rising);
    list_keys(8, &parallel);
    assert_same(&serial, &parallel, "unordered");
}

static void store_that_loses_its_order_is_listed_serially_from_there(void **state)
{
    (void)state;
    struct outcome serial;
    open_keys(6000, "numbers");
    endpoint_control(&at.endpoint, "set?page_max=50");
    list_keys(1, &serial);
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.recursive = true;
    options.list_workers = 8;
    OK(orbit_list(&lister, at.store, "", &options, &told));
    uint64_t count = 0;
    orbit_status status;
    while ((status = orbit_lister_next(lister, &entry, &told)) == ORBIT_OK) {
        if (++count == 400)
            endpoint_control(&at.endpoint, "set?unordered=1");
        if (count == 1500)
            endpoint_control(&at.endpoint, "set?unordered=0");
    }
    orbit_lister_close(lister);
    assert_int_equal(status, ORBIT_END);
    assert_true(count >= serial.count);
}

static void store_that_ignores_start_after_is_listed_serially(void **state)
{
    (void)state;
    struct outcome serial, parallel;
    open_keys(5000, "padded");
    endpoint_control(&at.endpoint, "set?page_max=100&start_after=0");
    list_keys(1, &serial);
    list_keys(8, &parallel);
    assert_same(&serial, &parallel, "start_after=0");
    assert_true(parallel.pages < 3 * serial.pages);
}

static void refused_guess_is_no_failure(void **state)
{
    (void)state;
    struct outcome serial, parallel;
    open_keys(5000, "padded");
    endpoint_control(&at.endpoint, "set?page_max=100&start_after=-1");
    list_keys(1, &serial);
    list_keys(8, &parallel);
    assert_same(&serial, &parallel, "refused");
    assert_int_equal(COUNT("failed.ListObjectsV2"), 1);
    assert_int_equal(parallel.pages, serial.pages + 1);
}

static void no_order_is_asked_of_who_knows_no_start_after_either(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = options.unordered = true;
    options.list_workers = 8;
    for (int refused = 0; refused < 2; refused++) {
        struct outcome serial, parallel;
        open_keys(5000, "padded");
        endpoint_control(&at.endpoint, "set?page_max=100&start_after=%d", -refused);
        list_keys(1, &serial);
        list_all(&options, "", &parallel);
        assert_same(&serial, &parallel, refused ? "refused" : "start_after=0");
    }
}

static void first_version_of_listing_is_parallel_too(void **state)
{
    (void)state;
    struct outcome serial, parallel;
    at.config.list_v1 = true;
    open_keys(5000, "hive");
    endpoint_control(&at.endpoint, "set?page_max=60");
    list_keys(1, &serial);
    list_keys(8, &parallel);
    assert_same(&serial, &parallel, "v1");
}

static void stopping_after_one_entry_asks_for_one_page_more_at_most(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.recursive = true;
    options.list_workers = 16;
    open_keys(1000000, "padded");
    OK(orbit_list(&lister, at.store, "", &options, &told));
    OK(orbit_lister_next(lister, &entry, &told));
    assert_true(orbit_lister_pages(lister) <= 2);
    orbit_lister_close(lister);
    assert_true(COUNT("requests.ListObjectsV2") <= 2);
}

static void limit_asks_for_little_more_than_it_needs(void **state)
{
    (void)state;
    struct outcome outcome;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.list_workers = 16;
    options.max_entries = 5000;
    open_keys(1000000, "padded");
    list_all(&options, "", &outcome);
    assert_int_equal(outcome.status, ORBIT_END);
    assert_int_equal(outcome.count, 5000);
    assert_true(outcome.pages <= 9);
}

/* However long the user takes over an entry: what is buffered counts. */
static void limit_asks_for_little_more_while_its_user_is_slow(void **state)
{
    (void)state;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.recursive = true;
    options.list_workers = 16;
    options.max_entries = 6000;
    open_keys(1000000, "padded");
    OK(orbit_list(&lister, at.store, "", &options, &told));
    for (unsigned i = 0; i < 6000; i++) {
        OK(orbit_lister_next(lister, &entry, &told));
        if (i >= 3000 && i % 1000 == 1)
            usleep(100000);
    }
    assert_true(orbit_lister_pages(lister) <= 10);
    orbit_lister_close(lister);
}

static void closing_early_ends_what_is_under_way(void **state)
{
    (void)state;
    open_keys(1000000, "uuid");
    endpoint_control(&at.endpoint, "set?list_latency_ms=5");
    for (unsigned stop = 1; stop < 30000; stop = stop * 3 + 500) {
        orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
        orbit_lister *lister = NULL;
        orbit_entry entry;
        options.recursive = true;
        options.list_workers = 16;
        options.unordered = stop % 2 == 0;
        OK(orbit_list(&lister, at.store, "", &options, &told));
        for (unsigned i = 0; i < stop; i++)
            OK(orbit_lister_next(lister, &entry, &told));
        uint64_t pages = orbit_lister_pages(lister);
        orbit_lister_close(lister);
        assert_true(pages <= stop / 1000 + 2 + 8 * 16 + 16);
    }
}

/* Keys that are there all the time are given exactly once, whatever comes and goes around them. */
static void bucket_that_is_written_to_gives_each_lasting_key_once(void **state)
{
    (void)state;
    enum { KEYS = 1500 };
    static uint8_t seen[KEYS];
    memset(seen, 0, sizeof seen);
    at.config.bucket = "live";
    s3fault_reopen();
    for (unsigned i = 0; i < KEYS; i++)
        endpoint_control(&at.endpoint, "object?bucket=live&key=k%05u&size=1", i * 7);
    endpoint_control(&at.endpoint, "set?page_max=20");

    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_status status;
    options.recursive = true;
    options.list_workers = 8;
    OK(orbit_list(&lister, at.store, "", &options, &told));
    uint32_t random = 1, count = 0;
    while ((status = orbit_lister_next(lister, &entry, &told)) == ORBIT_OK) {
        unsigned long number = strtoul(entry.path + 1, NULL, 10);
        if (number % 7 == 0 && number / 7 < KEYS)
            seen[number / 7]++;
        if (++count % 10)
            continue;
        random = random * 1664525u + 1013904223u;
        number = (random >> 8) % (KEYS * 7);
        number += number % 7 == 0;
        char key[32];
        (void)snprintf(key, sizeof key, "k%05lu", number);
        if (random & 1)
            endpoint_control(&at.endpoint, "object?bucket=live&key=%s&size=1", key);
        else
            OK(orbit_remove(at.store, key, NULL, &told));
    }
    orbit_lister_close(lister);
    assert_int_equal(status, ORBIT_END);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(parallel_listing_gives_the_same_entries_in_the_same_order),
        FAULT_TEST(parallel_listing_is_whole_while_pages_fail),
        FAULT_TEST(repeated_token_ends_a_parallel_listing_with_an_error_after_what_is_sure),
        FAULT_TEST(end_before_a_known_key_is_asked_for_again),
        FAULT_TEST(place_behind_which_the_store_never_names_a_key_ends_in_a_serial_listing),
        FAULT_TEST(error_in_the_middle_is_never_an_end),
        FAULT_TEST(options_mean_the_same_in_parallel),
        FAULT_TEST(unordered_listing_gives_every_entry_once),
        FAULT_TEST(store_without_order_is_listed_as_it_comes),
        FAULT_TEST(store_that_loses_its_order_is_listed_serially_from_there),
        FAULT_TEST(store_that_ignores_start_after_is_listed_serially),
        FAULT_TEST(refused_guess_is_no_failure),
        FAULT_TEST(no_order_is_asked_of_who_knows_no_start_after_either),
        FAULT_TEST(first_version_of_listing_is_parallel_too),
        FAULT_TEST(stopping_after_one_entry_asks_for_one_page_more_at_most),
        FAULT_TEST(limit_asks_for_little_more_than_it_needs),
        FAULT_TEST(limit_asks_for_little_more_while_its_user_is_slow),
        FAULT_TEST(closing_early_ends_what_is_under_way),
        FAULT_TEST(bucket_that_is_written_to_gives_each_lasting_key_once),
    };
    return cmocka_run_group_tests_name("s3_parallel_list", tests, s3fault_group_setup, s3fault_group_teardown);
}
