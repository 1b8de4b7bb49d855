/* SPDX-License-Identifier: Apache-2.0
 * Versions: a container that keeps them, its status, and what is read, listed and removed by a version's id. In a
 * bucket of its own, which each test makes and takes away. */
#include "keys.h"

#include <stdio.h>

static orbit_backend *kept; /* the bucket of the test that runs */

/* One version of a listing, in its order. */
struct version {
    char *path, *id;
    uint32_t flags;
    uint64_t size;
};
struct versions {
    struct version *at;
    size_t count, room;
};

static void versions_free(struct versions *versions)
{
    for (size_t i = 0; i < versions->count; i++) {
        free(versions->at[i].path);
        free(versions->at[i].id);
    }
    free(versions->at);
    *versions = (struct versions){0};
}

static void add_version(struct versions *versions, const orbit_entry *entry)
{
    if (versions->count == versions->room) {
        versions->room = versions->room ? versions->room * 2 : 64;
        versions->at = realloc(versions->at, versions->room * sizeof(*versions->at));
        assert_non_null(versions->at);
    }
    assert_non_null(entry->metadata.version_id);
    char path[HOSTILE_KEY_MAX + 2]; /* the key: "dir/" is listed as "dir" */
    bool cut = (entry->flags & ORBIT_ENTRY_MARKER) && entry->path[entry->path_length - 1] != '/';
    snprintf(path, sizeof(path), "%s%s", entry->path, cut ? "/" : "");
    versions->at[versions->count++] =
        (struct version){strdup(path), strdup(entry->metadata.version_id),
                         entry->flags & (ORBIT_ENTRY_LATEST | ORBIT_ENTRY_DELETED), entry->metadata.size};
}

/* All of the bucket, in pages of so many. */
static struct versions all_versions(uint32_t page_entries)
{
    struct versions versions = {0};
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_error told = {0};
    orbit_status status;
    options.versions = options.recursive = true;
    options.page_entries = page_entries;
    MUST(orbit_list(&lister, kept, "", &options, error));
    while ((status = orbit_lister_next(lister, &entry, &told)) == ORBIT_OK)
        add_version(&versions, &entry);
    must_be(ORBIT_END, status, &told, "orbit_lister_next", __FILE__, __LINE__);
    orbit_lister_close(lister);
    return versions;
}

/* Nothing is asked for twice: a write whose reply is late or lost may have made a version, and makes another then. */
static bool open_kept(orbit_versioning versioning)
{
    static const orbit_pair once = {"retry_attempts", "1"};
    if (!supports(ORBIT_OPERATION_VERSIONING))
        return false;
    keys_wrong = 0;
    static unsigned opened; /* each its own: one that failed leaves its bucket */
    char suffix[32];
    snprintf(suffix, sizeof(suffix), "-versions%u", ++opened);
    MUST(contract_open_bucket(&kept, contract.client, suffix, &once, 1, error));
    MUST(orbit_container_create(kept, NULL, error));
    if (versioning != ORBIT_VERSIONING_OFF)
        MUST(orbit_versioning_set(kept, versioning, NULL, error));
    return true;
}

static struct versions doomed;

static void remove_version(const char *const *keys, size_t count, size_t at)
{
    orbit_error error = {0};
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    (void)keys, (void)count;
    options.version_id = doomed.at[at].id;
    key_fine(doomed.at[at].path, "remove a version", orbit_remove(kept, doomed.at[at].path, &options, &error), &error);
}

/* Removes every version, one by one; a bucket in which one is left cannot go. */
static void close_kept(void)
{
    doomed = all_versions(0);
    each_key(NULL, doomed.count, remove_version);
    versions_free(&doomed);
    MUST(orbit_container_remove(kept, NULL, error));
    orbit_backend_close(kept);
    kept = NULL;
    assert_int_equal(keys_wrong, 0);
}

static void versioning_is_told_and_set(void **state)
{
    (void)state;
    orbit_versioning versioning = ORBIT_VERSIONING_SUSPENDED;
    if (!supports(ORBIT_OPERATION_VERSIONING)) {
        MUST_FAIL(ORBIT_E_UNSUPPORTED, orbit_versioning_get(contract.backend, &versioning, NULL, error));
        MUST_FAIL(ORBIT_E_UNSUPPORTED, orbit_versioning_set(contract.backend, ORBIT_VERSIONING_ENABLED, NULL, error));
        return;
    }
    open_kept(ORBIT_VERSIONING_OFF);
    MUST(orbit_versioning_get(kept, &versioning, NULL, error));
    assert_int_equal(versioning, ORBIT_VERSIONING_OFF);
    MUST(orbit_versioning_set(kept, ORBIT_VERSIONING_ENABLED, NULL, error));
    MUST(orbit_versioning_get(kept, &versioning, NULL, error));
    assert_int_equal(versioning, ORBIT_VERSIONING_ENABLED);
    MUST(orbit_versioning_set(kept, ORBIT_VERSIONING_SUSPENDED, NULL, error));
    MUST(orbit_versioning_get(kept, &versioning, NULL, error));
    assert_int_equal(versioning, ORBIT_VERSIONING_SUSPENDED);
    MUST_FAIL(ORBIT_E_MISUSE, orbit_versioning_set(kept, ORBIT_VERSIONING_OFF, NULL, error));
    close_kept();
    MUST(contract_open_bucket(&kept, contract.client, "-nowhere", NULL, 0, error));
    MUST_FAIL(ORBIT_E_NOT_FOUND, orbit_versioning_get(kept, &versioning, NULL, error));
    orbit_backend_close(kept);
}

static void write_text(const char *path, const char *text)
{
    MUST(orbit_write(kept, path, orbit_source_memory(text, strlen(text)), strlen(text), NULL, NULL, error));
}

static void reads(const char *path, const char *version, const char *text)
{
    assert_true(key_read(kept, path, version, 0, text, strlen(text)));
}

static orbit_status look(const char *path, const char *version, uint64_t *size)
{
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    options.version_id = version;
    orbit_status status = orbit_stat(kept, path, &options, &metadata, &error);
    *size = metadata.size;
    orbit_metadata_release(&metadata);
    return status;
}

static void check_version(const struct version *version, const char *path, uint32_t flags, uint64_t size)
{
    assert_string_equal(version->path, path);
    assert_int_equal(version->flags, flags);
    if (!(flags & ORBIT_ENTRY_DELETED))
        assert_int_equal(version->size, size);
}

static void versions_are_listed_read_and_removed(void **state)
{
    (void)state;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    uint64_t size;
    if (!open_kept(ORBIT_VERSIONING_ENABLED))
        return;
    write_text("a", "1");
    write_text("a", "22");
    write_text("b/c", "333");
    write_text("a", "4444");
    MUST(orbit_remove(kept, "a", NULL, error));
    assert_int_equal(look("a", NULL, &size), ORBIT_E_NOT_FOUND);
    for (uint32_t entries = 0; entries < 5; entries++) {
        if (entries && entries < contract.kind->versions_page)
            continue;
        struct versions versions = all_versions(entries);
        assert_int_equal(versions.count, 5);
        check_version(&versions.at[0], "a", ORBIT_ENTRY_LATEST | ORBIT_ENTRY_DELETED, 0);
        check_version(&versions.at[1], "a", 0, 4);
        check_version(&versions.at[2], "a", 0, 2);
        check_version(&versions.at[3], "a", 0, 1);
        check_version(&versions.at[4], "b/c", ORBIT_ENTRY_LATEST, 3);
        versions_free(&versions);
    }
    struct versions versions = all_versions(0);
    reads("a", versions.at[1].id, "4444");
    reads("a", versions.at[3].id, "1");
    assert_int_equal(look("a", versions.at[2].id, &size), ORBIT_OK);
    assert_int_equal(size, 2);
    options.version_id = versions.at[0].id; /* the marker goes: the object is back */
    MUST(orbit_remove(kept, "a", &options, error));
    reads("a", NULL, "4444");
    options.version_id = versions.at[1].id;
    MUST(orbit_remove(kept, "a", &options, error));
    reads("a", NULL, "22");
    assert_int_equal(look("a", versions.at[1].id, &size), ORBIT_E_NOT_FOUND);
    versions_free(&versions);
    close_kept();
}

/* What was there before stays, and there is one version without an id, which each write replaces. */
static void suspended_versions_stay_and_new_ones_replace_each_other(void **state)
{
    (void)state;
    if (!open_kept(ORBIT_VERSIONING_OFF))
        return;
    write_text("a", "before");
    MUST(orbit_versioning_set(kept, ORBIT_VERSIONING_ENABLED, NULL, error));
    write_text("a", "kept");
    MUST(orbit_versioning_set(kept, ORBIT_VERSIONING_SUSPENDED, NULL, error));
    write_text("a", "new");
    write_text("a", "newer still");
    struct versions versions = all_versions(0);
    assert_int_equal(versions.count, 2);
    check_version(&versions.at[0], "a", ORBIT_ENTRY_LATEST, 11);
    check_version(&versions.at[1], "a", 0, 4);
    assert_string_equal(versions.at[0].id, "null");
    reads("a", "null", "newer still");
    reads("a", versions.at[1].id, "kept");
    versions_free(&versions);
    close_kept();
}

/* ---- hostile keys ---------------------------------------------------------------------------------------------- */

static void write_both(const char *const *keys, size_t count, size_t at)
{
    (void)count;
    if (key_write(kept, keys[at], "first"))
        key_write(kept, keys[at], "second");
}

static struct versions listed; /* two of each key, the latest first */

static void read_both(const char *const *keys, size_t count, size_t at)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    (void)count;
    for (unsigned i = 0; i < 2; i++) {
        const struct version *version = &listed.at[2 * at + i];
        size_t length = key_contents(keys[at], i == 0 ? "second" : "first", bytes);
        key_read(kept, keys[at], version->id, 0, bytes, length);
    }
}

/* The version of today goes, by its id: the other one is back. */
static void remove_latest(const char *const *keys, size_t count, size_t at)
{
    char bytes[HOSTILE_KEY_MAX + 64];
    orbit_error error = {0};
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    (void)count;
    options.version_id = listed.at[2 * at].id;
    key_fine(keys[at], "remove its latest version", orbit_remove(kept, keys[at], &options, &error), &error);
    key_read(kept, keys[at], NULL, 0, bytes, key_contents(keys[at], "first", bytes));
}

static void every_key_keeps_its_versions(void **state)
{
    (void)state;
    size_t count;
    if (!open_kept(ORBIT_VERSIONING_ENABLED))
        return;
    const char *const *keys = keys_for(VERSIONS, &count);
    each_key(keys, count, write_both);
    assert_int_equal(keys_wrong, 0);
    for (uint32_t entries = 0; entries <= 3; entries += 3) {
        versions_free(&listed);
        listed = all_versions(entries);
        assert_int_equal(listed.count, 2 * count);
        for (size_t i = 0; i < listed.count; i++)
            if (strcmp(listed.at[i].path, keys[i / 2]) != 0 ||
                listed.at[i].flags != (i % 2 == 0 ? (uint32_t)ORBIT_ENTRY_LATEST : 0))
                key_blame(listed.at[i].path, "is not the version that comes next", ORBIT_E_PROTOCOL, NULL);
        assert_int_equal(keys_wrong, 0);
    }
    each_key(keys, count, read_both);
    each_key(keys, count, remove_latest);
    versions_free(&listed);
    close_kept();
}

const struct CMUnitTest version_tests[] = {
    CONTRACT_TEST(versioning_is_told_and_set),
    CONTRACT_TEST(versions_are_listed_read_and_removed),
    CONTRACT_TEST(suspended_versions_stay_and_new_ones_replace_each_other),
    CONTRACT_TEST(every_key_keeps_its_versions),
};
const size_t version_test_count = COUNT_OF(version_tests);
