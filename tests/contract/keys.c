/* SPDX-License-Identifier: Apache-2.0
 * Keys are bytes: the table of hostile keys (support/hostile_keys.h) goes through every operation of object stores, in
 * buckets of its own, where a key is all there is (a directory before it would hide what a leading '/' does). The first
 * key that fails does not end a test: all that do are told. */
#include "keys.h"

#include <stdio.h>
#include <unistd.h>

#include <curl/curl.h>

static orbit_backend *keys_store, *parts_store, *copies_store; /* from the first test on */
static bool filled;                                            /* keys_store has all keys, each with its word "here" */

/* ---- buckets of one's own ---------------------------------------------------------------------------------- */

static orbit_backend *open_bucket(const char *suffix, bool in_parts)
{
    static const orbit_pair settings[] = {{"put_max", "1"}}; /* all but the shortest go in parts: in one */
    orbit_backend *backend = NULL;
    MUST(contract_open_bucket(&backend, contract.client, suffix, settings, in_parts ? 1 : 0, error));
    return backend;
}

static int open_buckets(void **state)
{
    (void)state;
    keys_wrong = 0;
    if (!contract.kind->object || keys_store)
        return 0;
    keys_store = open_bucket("-keys", false);
    parts_store = open_bucket("-keys", true);
    copies_store = open_bucket("-copies", false);
    if (contract.kind->fixture) {
        MUST(orbit_container_create(keys_store, NULL, error));
        MUST(orbit_container_create(copies_store, NULL, error));
    }
    return 0;
}

/* All of it goes as a tree; a bucket in which a key is left cannot go. */
static orbit_status end_bucket(orbit_backend *backend)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_error told;
    options.recursive = options.missing_ok = true;
    orbit_status status = orbit_remove(backend, "", &options, &told);
    if (status >= 0 && contract.kind->fixture)
        status = orbit_container_remove(backend, NULL, &told);
    if (status < 0)
        print_error("cannot remove the bucket of keys: %s\n", told.message);
    orbit_backend_close(backend);
    return status;
}

orbit_status contract_keys_end(void)
{
    if (!keys_store)
        return ORBIT_OK;
    orbit_backend_close(parts_store);
    orbit_status one = end_bucket(keys_store), other = end_bucket(copies_store);
    return one < 0 ? one : other;
}

/* What was written as `name` stands at `key` now. */
static bool holds(orbit_backend *backend, const char *key, const char *word, const char *name)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    size_t length = key_contents(name, word, bytes);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error = {0};
    bool right = key_fine(name, "stat", orbit_stat(backend, key, NULL, &metadata, &error), &error);
    if (right && metadata.size != length) {
        key_blame(name, "has another size", ORBIT_E_CHECKSUM, NULL);
        right = false;
    }
    orbit_metadata_release(&metadata);
    return right && key_read(backend, key, NULL, 0, bytes, length);
}

static bool is_there(orbit_backend *backend, const char *key, const char *word)
{
    return holds(backend, key, word, key);
}

static void write_here(const char *const *keys, size_t count, size_t at)
{
    (void)count;
    key_write(keys_store, keys[at], "here");
}

static void fill(void)
{
    size_t count;
    const char *const *keys = keys_for(WRITES, &count);
    if (!filled)
        each_key(keys, count, write_here);
    assert_int_equal(keys_wrong, 0);
    filled = true;
}

/* ---- listings ---------------------------------------------------------------------------------------------------- */

/* The key that an entry of a listing from the root stands for; as a common prefix has it where it is a directory. */
static void key_of(const orbit_entry *entry, char *key)
{
    bool ends = entry->path[entry->path_length - 1] == '/';
    bool slash = entry->metadata.kind == ORBIT_KIND_DIRECTORY && !ends;
    snprintf(key, HOSTILE_KEY_MAX + 2, "%s%s", entry->path, slash ? "/" : "");
}

/* The listing gives exactly these keys, in this order. */
static void check_keys(orbit_backend *backend, const char *what, const orbit_list_options *options,
                       const char *const *keys, size_t count)
{
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_error error = {0};
    char key[HOSTILE_KEY_MAX + 2];
    size_t at = 0;
    orbit_status status = orbit_list(&lister, backend, "", options, &error);
    while (status == ORBIT_OK && (status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK) {
        key_of(&entry, key);
        while (at < count && strcmp(keys[at], key) < 0)
            key_blame(keys[at++], what, ORBIT_E_NOT_FOUND, NULL);
        if (at < count && strcmp(keys[at], key) == 0)
            at++;
        else
            key_blame(key, what, ORBIT_E_EXISTS, NULL);
    }
    for (; at < count; at++)
        key_blame(keys[at], what, ORBIT_E_NOT_FOUND, NULL);
    if (status != ORBIT_END)
        key_fine("", what, status, &error);
    orbit_lister_close(lister);
}

static void check_nothing(orbit_backend *backend)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    check_keys(backend, "list what is left", &options, NULL, 0);
}

/* Those of `keys` that begin with `prefix`, sort after `after`, and as one that ends at its first '/' behind the
 * prefix, where `level`; the strings of those are static. */
static size_t expected_keys(const char *const *keys, size_t count, const char *prefix, const char *after, bool level,
                            const char **expected)
{
    static char directories[512][HOSTILE_KEY_MAX + 1];
    size_t made = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        const char *slash = level ? strchr(keys[i], '/') : NULL;
        const char *key = keys[i];
        if (slash && (slash[1] || slash == key + strlen(key) - 1)) {
            assert_true(made < COUNT_OF(directories));
            snprintf(directories[made], sizeof directories[made], "%.*s", (int)(slash - key + 1), key);
            key = directories[made++];
        }
        if (strncmp(key, prefix, strlen(prefix)) == 0 && strcmp(key, after) > 0 &&
            !(found && strcmp(expected[found - 1], key) == 0))
            expected[found++] = key;
    }
    return found;
}

static void list_by_prefix(const char *const *keys, size_t count, size_t at)
{
    const char *expected[1024];
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    size_t found = expected_keys(keys, count, keys[at], "", false, expected);
    options.recursive = true;
    options.page_entries = 7;
    options.prefix = keys[at];
    check_keys(keys_store, "list by prefix", &options, expected, found);
}

static void list_after(const char *const *keys, size_t count, size_t at)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    size_t left = count - at - 1 < 3 ? count - at - 1 : 3;
    options.recursive = true;
    options.start_after = keys[at];
    options.max_entries = 3;
    check_keys(keys_store, "list what comes after it", &options, keys + at + 1, left);
}

static void every_key_is_listed(void **state)
{
    (void)state;
    static const char *expected[1024];
    size_t count;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    if (!contract.kind->object)
        return;
    fill();
    const char *const *keys = keys_for(LISTS, &count);
    options.recursive = true;
    check_keys(keys_store, "list", &options, keys, count);
    options.page_entries = 7;
    check_keys(keys_store, "list in small pages", &options, keys, count);
    options.recursive = false;
    size_t level = expected_keys(keys, count, "", "", true, expected);
    check_keys(keys_store, "list a level in small pages", &options, expected, level);
    options.page_entries = 0;
    check_keys(keys_store, "list a level", &options, expected, level);
    each_key(keys, count, list_by_prefix);
    each_key(keys, count, list_after);
    assert_int_equal(keys_wrong, 0);
}

/* A page of the first protocol names the key that the next one begins after. */
static void every_key_is_listed_by_the_old_protocol(void **state)
{
    (void)state;
    static const orbit_pair settings[] = {{"list_v1", "true"}};
    orbit_backend *backend = NULL;
    size_t count;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    if (!contract.kind->fixture)
        return;
    fill();
    MUST(contract_open_bucket(&backend, contract.client, "-keys", settings, 1, error));
    const char *const *keys = keys_for(LISTS, &count);
    options.recursive = true;
    options.page_entries = 1;
    check_keys(backend, "list", &options, keys, count);
    orbit_backend_close(backend);
    assert_int_equal(keys_wrong, 0);
}

/* ---- each by itself -------------------------------------------------------------------------------- */

static void read_here(const char *const *keys, size_t count, size_t at)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    (void)count;
    key_contents(keys[at], "here", bytes);
    is_there(keys_store, keys[at], "here");
    key_read(keys_store, keys[at], NULL, 3, bytes + 3, 3);
}

static void remove_here(const char *const *keys, size_t count, size_t at)
{
    orbit_error error = {0};
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    (void)count;
    key_fine(keys[at], "remove", orbit_remove(keys_store, keys[at], NULL, &error), &error);
    orbit_status status = orbit_stat(keys_store, keys[at], NULL, &metadata, &error);
    if (status != ORBIT_E_NOT_FOUND && metadata.kind != ORBIT_KIND_DIRECTORY)
        key_blame(keys[at], "is still there", status, &error);
    orbit_metadata_release(&metadata);
}

static void every_key_is_written_told_read_and_removed(void **state)
{
    size_t count;
    (void)state;
    if (!contract.kind->object)
        return;
    fill(); /* all of them first: two that are one to the store show here */
    const char *const *keys = keys_for(WRITES, &count);
    each_key(keys, count, read_here);
    filled = false;
    each_key(keys, count, remove_here);
    check_nothing(keys_store);
    assert_int_equal(keys_wrong, 0);
}

static void write_in_parts(const char *const *keys, size_t count, size_t at)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    size_t length = key_contents(keys[at], "parts", bytes);
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_error error = {0};
    (void)count;
    orbit_status status =
        orbit_write(parts_store, keys[at], orbit_source_memory(bytes, length), length, NULL, &result, &error);
    if (key_fine(keys[at], "write in parts", status, &error) && !result.multipart)
        key_blame(keys[at], "was no upload in parts", ORBIT_E_PROTOCOL, NULL);
    orbit_write_result_release(&result);
}

static void read_parts(const char *const *keys, size_t count, size_t at)
{
    (void)count;
    is_there(parts_store, keys[at], "parts");
}

static void every_key_is_written_in_parts(void **state)
{
    size_t count;
    (void)state;
    if (!contract.kind->object)
        return;
    const char *const *keys = keys_for(WRITES, &count);
    filled = false;
    each_key(keys, count, write_in_parts);
    each_key(keys, count, read_parts);
    assert_int_equal(keys_wrong, 0);
}

/* To another bucket under the same name, from there to a plain name, and back. */
static void copy_and_rename(const char *const *keys, size_t count, size_t at)
{
    orbit_error error = {0};
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    const char *key = keys[at];
    char plain[32];
    (void)count;
    snprintf(plain, sizeof plain, "moved-%zu", at);
    orbit_status status = orbit_copy(keys_store, key, copies_store, key, NULL, &result, &error);
    if (key_fine(key, "copy", status, &error) && contract.kind->fixture && result.parts)
        key_blame(key, "was copied through this machine", ORBIT_E_PROTOCOL, NULL);
    orbit_write_result_release(&result);
    status = orbit_rename(copies_store, key, plain, true, NULL, &error);
    if (!key_fine(key, "rename", status, &error) || !holds(copies_store, plain, "here", key))
        return;
    key_fine(key, "rename to it", orbit_rename(copies_store, plain, key, false, NULL, &error), &error);
}

static void read_copy(const char *const *keys, size_t count, size_t at)
{
    (void)count;
    is_there(copies_store, keys[at], "here");
}

static void every_key_is_copied_and_renamed_by_the_store(void **state)
{
    size_t count;
    (void)state;
    if (!contract.kind->object)
        return;
    fill();
    const char *const *keys = keys_for(COPIES, &count);
    each_key(keys, count, copy_and_rename);
    each_key(keys, count, read_copy);
    assert_int_equal(keys_wrong, 0);
}

static void set_tag(const char *const *keys, size_t count, size_t at)
{
    orbit_error error = {0};
    char tagging[64];
    (void)count;
    snprintf(tagging, sizeof tagging, "number=%zu", at);
    key_fine(keys[at], "set tags", orbit_tags_set(keys_store, keys[at], tagging, NULL, &error), &error);
}

static void get_tag(const char *const *keys, size_t count, size_t at)
{
    orbit_error error = {0};
    char expected[64], tagging[1024];
    (void)count;
    snprintf(expected, sizeof expected, "number=%zu", at);
    orbit_status status = orbit_tags_get(keys_store, keys[at], tagging, sizeof tagging, NULL, &error);
    if (key_fine(keys[at], "get tags", status, &error) && strcmp(tagging, expected) != 0)
        key_blame(keys[at], "has other tags", ORBIT_E_CHECKSUM, NULL);
}

static void every_key_has_tags(void **state)
{
    (void)state;
    size_t count;
    if (!contract.kind->object || !supports(ORBIT_OPERATION_TAGS))
        return;
    fill();
    const char *const *keys = keys_for(TAGS, &count);
    each_key(keys, count, set_tag); /* all first: each has its own */
    each_key(keys, count, get_tag);
    assert_int_equal(keys_wrong, 0);
}

/* ---- by those who have a URL and nothing else -------------------------------------------------------------------- */

struct fetched {
    char bytes[HOSTILE_KEY_MAX + 64];
    size_t length;
};

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct fetched *fetched = ctx;
    size_t length = size * count;
    if (length > sizeof fetched->bytes - fetched->length)
        return 0;
    memcpy(fetched->bytes + fetched->length, bytes, length);
    fetched->length += length;
    return length;
}

static size_t give_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct fetched *fetched = ctx;
    size_t length = size * count < fetched->length ? size * count : fetched->length;
    memcpy(bytes, fetched->bytes, length);
    memmove(fetched->bytes, fetched->bytes + length, fetched->length - length);
    fetched->length -= length;
    return length;
}

/* What `curl --path-as-is` does with a URL, and with --upload-file; the status. */
static long curl_does(CURL *curl, const char *url, struct fetched *send, struct fetched *receive)
{
    long status = 0;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, receive);
    if (send) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE, (long)send->length);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, send);
    }
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool presign(const char *method, const char *key, char url[8192])
{
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    orbit_error error = {0};
    options.method = method;
    return key_fine(key, "presign", orbit_presign(keys_store, key, &options, url, 8192, &error), &error);
}

static void every_key_is_reached_by_presigned_urls(void **state)
{
    (void)state;
    size_t count;
    if (!contract.kind->fixture)
        return;
    CURL *curl = curl_easy_init();
    assert_non_null(curl);
    const char *const *keys = keys_for(URLS, &count);
    filled = false;
    for (size_t i = 0; i < count; i++) {
        char url[8192];
        struct fetched send = {0}, told = {0};
        send.length = key_contents(keys[i], "url", send.bytes);
        if (presign("PUT", keys[i], url) && curl_does(curl, url, &send, &told) != 200)
            key_blame(keys[i], "PUT by a URL is refused", ORBIT_E_PROTOCOL, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        char url[8192], bytes[HOSTILE_KEY_MAX + 64];
        struct fetched got = {0};
        size_t length = key_contents(keys[i], "url", bytes);
        if (!key_read(keys_store, keys[i], NULL, 0, bytes, length) || !presign("GET", keys[i], url))
            continue;
        if (curl_does(curl, url, NULL, &got) != 200 || got.length != length || memcmp(got.bytes, bytes, length) != 0)
            key_blame(keys[i], "GET by a URL brings something else", ORBIT_E_PROTOCOL, NULL);
    }
    curl_easy_cleanup(curl);
    assert_int_equal(keys_wrong, 0);
}

/* ---- open uploads ---------------------------------------------------------------------------------- */

/* Marks those of `keys` whose upload is told as open; how many. */
static size_t told_open(orbit_backend *backend, const char *const *keys, size_t count)
{
    orbit_uploads *uploads = NULL;
    orbit_open_upload upload;
    orbit_error told = {0};
    orbit_status status;
    size_t found = 0;
    MUST(orbit_uploads_open(&uploads, backend, "", NULL, error));
    while ((status = orbit_uploads_next(uploads, &upload, &told)) == ORBIT_OK) {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++)
            known = strcmp(keys[i], upload.path) == 0;
        if (!known)
            key_blame(upload.path, "an upload that nobody began", ORBIT_E_PROTOCOL, NULL);
        found += known;
    }
    must_be(ORBIT_END, status, &told, "orbit_uploads_next", __FILE__, __LINE__);
    orbit_uploads_close(uploads);
    return found;
}

/* Several open at a time; one listing tells them all. */
static void every_key_is_told_as_an_open_upload(void **state)
{
    (void)state;
    enum { PART = 64 << 10, AT_ONCE = 50 };
    static const orbit_pair settings[] = {{"part_min", "64K"}, {"list_page_entries", "3"}};
    orbit_backend *backend = NULL;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    size_t count;
    if (!contract.kind->fixture)
        return;
    MUST(contract_open_bucket(&backend, contract.client, "-keys", settings, COUNT_OF(settings), error));
    const char *const *keys = keys_for(UPLOADS, &count);
    uint8_t *bytes = make_bytes(PART + 1, 1);
    options.chunk_size = PART;
    for (size_t first = 0; first < count; first += AT_ONCE) {
        orbit_writer *writers[AT_ONCE];
        size_t here = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (size_t i = 0; i < here; i++) {
            MUST(orbit_writer_open(&writers[i], backend, keys[first + i], ORBIT_SIZE_UNKNOWN, &options, error));
            MUST(orbit_writer_write(writers[i], bytes, PART + 1, error));
        }
        size_t found = 0;
        for (unsigned tries = 0; tries < 500 && (found = told_open(backend, keys + first, here)) < here; tries++)
            usleep(10000);
        assert_int_equal(found, here);
        for (size_t i = 0; i < here; i++) {
            orbit_error error = {0};
            key_fine(keys[first + i], "abort", orbit_writer_abort(writers[i], &error), &error);
            orbit_writer_free(writers[i]);
        }
        assert_int_equal(told_open(backend, keys + first, here), 0);
    }
    free(bytes);
    orbit_backend_close(backend);
    assert_int_equal(keys_wrong, 0);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

/* As a list of names, each ended by NUL; the caller frees it. */
static char *listed_names(const char *const *keys, size_t count, size_t *length)
{
    char *names = malloc(count * (HOSTILE_KEY_MAX + 1));
    assert_non_null(names);
    *length = 0;
    for (size_t i = 0; i < count; i++) {
        size_t one = strlen(keys[i]) + 1;
        memcpy(names + *length, keys[i], one);
        *length += one;
    }
    return names;
}

static void run_names(uint32_t operation, const char *const *keys, size_t count)
{
    orbit_job_source jobs;
    orbit_transfer *transfer = NULL;
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_error told = {0};
    orbit_status status;
    size_t length, ended = 0;
    char *names = listed_names(keys, count, &length);
    MUST(orbit_jobs_names(&jobs, operation, keys_store, "", copies_store, "", orbit_source_memory(names, length), '\0',
                          error));
    MUST(orbit_transfer_open(&transfer, contract.client, &jobs, NULL, error));
    while ((status = orbit_transfer_next(transfer, &result, &told)) >= 0 && status != ORBIT_END) {
        key_fine(result.from, "many at once", status, &told);
        ended++;
    }
    must_be(ORBIT_END, status, &told, "orbit_transfer_next", __FILE__, __LINE__);
    assert_int_equal(ended, count);
    orbit_transfer_close(transfer);
    free(names);
}

static void every_key_is_copied_and_removed_among_many(void **state)
{
    (void)state;
    size_t count;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    if (!contract.kind->object)
        return;
    fill();
    const char *const *keys = keys_for(REMOVES, &count);
    run_names(ORBIT_JOB_COPY, keys, count);
    options.recursive = true;
    check_keys(copies_store, "list the copies", &options, keys, count);
    filled = false;
    run_names(ORBIT_JOB_REMOVE, keys, count);
    check_nothing(keys_store);
    assert_int_equal(keys_wrong, 0);
}

#define KEYS_TEST(function) cmocka_unit_test_setup(function, open_buckets)

const struct CMUnitTest key_tests[] = {
    KEYS_TEST(every_key_is_listed), /* these leave the keys as they are … */
    KEYS_TEST(every_key_is_listed_by_the_old_protocol),
    KEYS_TEST(every_key_is_copied_and_renamed_by_the_store),
    KEYS_TEST(every_key_has_tags),
    KEYS_TEST(every_key_is_written_told_read_and_removed), /* … these do not */
    KEYS_TEST(every_key_is_written_in_parts),
    KEYS_TEST(every_key_is_reached_by_presigned_urls),
    KEYS_TEST(every_key_is_told_as_an_open_upload),
    KEYS_TEST(every_key_is_copied_and_removed_among_many),
};
const size_t key_test_count = COUNT_OF(key_tests);
