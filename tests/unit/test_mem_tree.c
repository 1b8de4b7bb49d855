/* SPDX-License-Identifier: Apache-2.0
 * The memory backend: keys and directories, sessions and names, in all profiles. */
#include "mem_fixture.h"

/* ---- object profile ---- */

static void objects_have_etags_metadata_and_checksums(void **state)
{
    (void)state;
    const orbit_pair user[] = {{"colour", "blue"}, {"size", "xl"}};
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata m = ORBIT_METADATA_INIT, put = ORBIT_METADATA_INIT;
    options.content_type = "text/x";
    options.metadata = user;
    options.metadata_count = 2;
    OK(ophost_put(store, "a/b", &options, "123456789", 9, &put, &error));
    OK(ophost_stat(store, "a/b", &m, &error));
    assert_string_equal(m.etag, "ae8b14860a799888");
    assert_string_equal(put.etag, m.etag);
    assert_true(orb_checksum_value(&m.checksum) == 0xae8b14860a799888ull);
    assert_string_equal(m.content_type, "text/x");
    assert_int_equal(m.user_count, 2);
    assert_string_equal(m.user[1].value, "xl");
    orbit_metadata_release(&m);

    options.if_match = "wrong";
    assert_int_equal(ophost_put(store, "a/b", &options, "x", 1, NULL, &error), ORBIT_E_CHANGED);
    options.if_match = put.etag;
    OK(ophost_put(store, "a/b", &options, "x", 1, NULL, &error));
    assert_int_equal(ophost_put(store, "none", &options, "x", 1, NULL, &error), ORBIT_E_NOT_FOUND);
    orbit_metadata_release(&put);

    const orbit_pair other[] = {{"colour", "red"}};
    m = (orbit_metadata){.user = other, .user_count = 1};
    OK(ophost_set_metadata(store, "a/b", &m, &error));
    OK(ophost_stat(store, "a/b", &m, &error));
    assert_int_equal(m.user_count, 1);
    assert_string_equal(m.user[0].value, "red");
    assert_string_equal(m.content_type, "text/x");
    orbit_metadata_release(&m);
    assert_int_equal(ophost_symlink(store, "a", "b", &error), ORBIT_E_UNSUPPORTED);
}

static void prefixes_are_directories(void **state)
{
    (void)state;
    put_text("dir/sub/key", "x");
    put_text("dirty", "x");
    assert_int_equal(kind_of("dir"), ORBIT_KIND_DIRECTORY);
    assert_int_equal(kind_of("dir/"), ORBIT_KIND_DIRECTORY);
    assert_int_equal(kind_of("dir/sub"), ORBIT_KIND_DIRECTORY);
    assert_int_equal(kind_of(""), ORBIT_KIND_DIRECTORY);
    assert_missing("di");
    OK(ophost_mkdir(store, "marked", false, &error));
    assert_int_equal(kind_of("marked"), ORBIT_KIND_DIRECTORY);
    assert_int_equal(ophost_mkdir(store, "marked", false, &error), ORBIT_E_EXISTS);
    OK(ophost_mkdir(store, "marked", true, &error));
    OK(ophost_remove(store, "marked", false, false, &error));
    assert_missing("marked");
    OK(ophost_remove(store, "never", false, false, &error)); /* as object stores have it */
}

/* Lists and compares with the wanted paths, '/' marking directories, in order. */
static void assert_lists(const orbit_list_request *request, const char *const *wanted)
{
    struct ophost_listing listing;
    OK(ophost_list(store, request->path, request, &listing, &error));
    size_t i = 0;
    for (; wanted[i]; i++) {
        char shown[300];
        assert_true(i < listing.count);
        snprintf(shown, sizeof(shown), "%s%s%s", listing.entries[i].path,
                 listing.entries[i].metadata.kind == ORBIT_KIND_DIRECTORY ? "/" : "",
                 listing.entries[i].flags & ORBIT_ENTRY_MARKER ? "!" : "");
        assert_string_equal(shown, wanted[i]);
    }
    assert_int_equal(listing.count, i);
    ophost_listing_release(&listing);
}

static void keys_are_listed_in_byte_order_with_delimiters(void **state)
{
    (void)state;
    static const char *const keys[] = {"a b", "a-b", "a.b", "a/x", "a/y/z", "a/", "a0", "b//c", "\xff\xfe", "n\nl"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        put_text(keys[i], keys[i]);
    for (uint32_t page = 1; page <= 20; page += 3) {
        orbit_list_request request = {.path = "", .want_metadata = true, .page_entries = page};
        assert_lists(&request, (const char *const[]){"a b", "a-b", "a.b", "a/", "a0", "b/", "n\nl", "\xff\xfe", NULL});
        request.recursive = true;
        assert_lists(&request, (const char *const[]){"a b", "a-b", "a.b", "a/!", "a/x", "a/y/z", "a0", "b//c", "n\nl",
                                                     "\xff\xfe", NULL});
        request.start_after = "a/x";
        assert_lists(&request, (const char *const[]){"a/y/z", "a0", "b//c", "n\nl", "\xff\xfe", NULL});
        request.start_after = NULL;
        request.prefix = "a";
        assert_lists(&request, (const char *const[]){"a b", "a-b", "a.b", "a/!", "a/x", "a/y/z", "a0", NULL});
        request.path = "a";
        request.prefix = NULL;
        assert_lists(&request, (const char *const[]){"x", "y/z", NULL});
        request.recursive = false;
        assert_lists(&request, (const char *const[]){"x", "y/", NULL});
        request.path = "b";
        assert_lists(&request, (const char *const[]){"//", NULL});
        request.path = "b//";
        assert_lists(&request, (const char *const[]){"c", NULL});
        request.path = "";
        request.delimiter = "-";
        assert_lists(&request, (const char *const[]){"a b", "a-/", "a.b", "a/!", "a/x", "a/y/z", "a0", "b//c", "n\nl",
                                                     "\xff\xfe", NULL});
        request.path = "none";
        assert_lists(&request, (const char *const[]){NULL});
    }
}

static void parts_of_objects_have_rules(void **state)
{
    (void)state;
    orbit_begin_reply begun;
    OK(ophost_begin(store, "big", NULL, 7, 4, NULL, &begun, &error));
    OK(ophost_part(store, begun.upload, 2, 3, "bbbb", 4, NULL, &error)); /* any order */
    OK(ophost_part(store, begun.upload, 1, 0, "aaa", 3, NULL, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 7, 2, NULL, &error), ORBIT_E_LIMIT); /* part 1 is too small */
    OK(ophost_part(store, begun.upload, 1, 0, "aaaa", 4, NULL, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 7, 2, NULL, &error), ORBIT_E_MISUSE); /* not the size */
    assert_int_equal(ophost_part(store, begun.upload, 10001, 0, "x", 1, NULL, &error), ORBIT_E_LIMIT);
    orbit_metadata m;
    OK(ophost_finish(store, begun.upload, 8, 2, &m, &error));
    assert_int_equal(m.part_count, 2);
    assert_non_null(strstr(m.etag, "-2"));
    assert_true(orb_checksum_value(&m.checksum) == orb_crc64nvme(0, "aaaabbbb", 8));
    orbit_metadata_release(&m);
    ophost_release(store, begun.upload);
    assert_text("big", "aaaabbbb");
}

static void copies_share_bytes_and_batches_remove(void **state)
{
    (void)state;
    orbit_space_reply before, after;
    orbit_copy_request copy = {.from = "one", .to = "two"};
    put_text("one", "text");
    OK(ophost_space(store, "", &before, &error));
    OK(ophost_copy(store, &copy, NULL, &error));
    OK(ophost_space(store, "", &after, &error));
    assert_int_equal(before.free_bytes, after.free_bytes);
    put_text("one", "changed");
    assert_text("two", "text");
    copy.from = "none";
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_NOT_FOUND);
    orbit_metadata stale = {.etag = "stale"};
    copy.from = "one";
    copy.pin = &stale;
    assert_int_equal(ophost_copy(store, &copy, NULL, &error), ORBIT_E_CHANGED);
    OK(ophost_rename(store, "two", "three", true, &error));
    assert_text("three", "text");
    assert_missing("two");
    assert_int_equal(ophost_rename(store, "three", "one", false, &error), ORBIT_E_EXISTS);

    orbit_remove_item items[] = {{.path = "one"}, {.path = "none"}, {.path = "three"}};
    orbit_remove_request request = {items, 3, false, false};
    OK(ophost_remove_many(store, &request, &error));
    assert_int_equal(items[0].status | items[1].status | items[2].status, ORBIT_OK);
    assert_missing("one");
    OK(ophost_container_remove(store, &error));
    assert_int_equal(ophost_put(store, "x", NULL, "x", 1, NULL, &error), ORBIT_E_NOT_FOUND);
    OK(ophost_container_create(store, &error));
    assert_int_equal(ophost_container_create(store, &error), ORBIT_E_EXISTS);
    put_text("x", "x");
    assert_int_equal(ophost_container_remove(store, &error), ORBIT_E_NOT_EMPTY);
}

static void a_hundred_thousand_keys_list_page_by_page(void **state)
{
    (void)state;
    char path[64];
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(path, sizeof(path), "d%03u/k%06u", (i * 7919) % 1000, i * 7919 % 100000);
        OK(ophost_put(store, path, NULL, "", 0, NULL, &error));
    }
    struct ophost_listing listing;
    orbit_list_request request = {.path = "", .recursive = true, .page_entries = 1000};
    OK(ophost_list(store, "", &request, &listing, &error));
    assert_int_equal(listing.count, 100000);
    assert_int_equal(listing.pages, 100);
    for (size_t i = 1; i < listing.count; i++)
        assert_true(strcmp(listing.entries[i - 1].path, listing.entries[i].path) < 0);
    ophost_listing_release(&listing);
    request.recursive = false;
    OK(ophost_list(store, "", &request, &listing, &error));
    assert_int_equal(listing.count, 1000);
    ophost_listing_release(&listing);
}

/* ---- directories ---- */

static void directories_are_made_listed_and_removed(void **state)
{
    (void)state;
    assert_int_equal(ophost_mkdir(store, "a/b", false, &error), ORBIT_E_NOT_FOUND);
    OK(ophost_mkdir(store, "a/b/c", true, &error));
    OK(ophost_mkdir(store, "a/b/c", true, &error));
    assert_int_equal(ophost_mkdir(store, "a/b", false, &error), ORBIT_E_EXISTS);
    put_text("a/b/file", "text");
    put_text("new/parents/file", "text");
    assert_int_equal(kind_of("new/parents"), ORBIT_KIND_DIRECTORY);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.create_parents = false;
    assert_int_equal(ophost_put(store, "x/y", &options, "", 0, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(ophost_put(store, "a/b", NULL, "", 0, NULL, &error), ORBIT_E_PATH);
    assert_true(error.flags & ORBIT_ERROR_IS_DIRECTORY);
    assert_int_equal(ophost_put(store, "a/b/file/x", NULL, "", 0, NULL, &error), ORBIT_E_PATH);
    assert_true(error.flags & ORBIT_ERROR_NOT_DIRECTORY);
    assert_int_equal(ophost_put(store, "a/../b", NULL, "", 0, NULL, &error), ORBIT_E_PATH);
    assert_lists(&(orbit_list_request){.path = "a/b", .want_metadata = true, .page_entries = 1},
                 (const char *const[]){"c/", "file", NULL});
    struct ophost_listing listing;
    assert_int_equal(ophost_list(store, "a/b/file", NULL, &listing, &error), ORBIT_E_PATH);
    assert_int_equal(ophost_list(store, "none", NULL, &listing, &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(ophost_remove(store, "a/b", false, false, &error), ORBIT_E_NOT_EMPTY);
    assert_int_equal(ophost_remove(store, "none", false, false, &error), ORBIT_E_NOT_FOUND);
    OK(ophost_remove(store, "none", false, true, &error));
    OK(ophost_remove(store, "a/b/c", false, false, &error));
    if (store->caps.remove_tree) {
        OK(ophost_remove(store, "a", true, false, &error));
        assert_missing("a");
    }
    assert_int_equal(ophost_remove(store, "", true, false, &error), ORBIT_E_PATH);
}

static void rename_moves_files_and_trees(void **state)
{
    (void)state;
    put_text("a/file", "text");
    OK(ophost_mkdir(store, "empty", false, &error));
    OK(ophost_rename(store, "a", "b", true, &error));
    assert_text("b/file", "text");
    assert_missing("a");
    assert_int_equal(ophost_rename(store, "b", "b/inside", true, &error), ORBIT_E_PATH);
    assert_int_equal(ophost_rename(store, "b/file", "empty", true, &error), ORBIT_E_PATH);
    assert_int_equal(ophost_rename(store, "empty", "b", true, &error), ORBIT_E_NOT_EMPTY);
    OK(ophost_rename(store, "b", "empty", true, &error));
    assert_text("empty/file", "text");
    put_text("other", "other");
    assert_int_equal(ophost_rename(store, "other", "empty/file", false, &error), ORBIT_E_EXISTS);
    OK(ophost_rename(store, "other", "empty/file", true, &error));
    assert_text("empty/file", "other");
    OK(ophost_rename(store, "empty/file", "empty/file", true, &error));
    assert_int_equal(ophost_rename(store, "none", "x", true, &error), ORBIT_E_NOT_FOUND);
}

static void symlinks_are_followed_but_not_round_in_circles(void **state)
{
    (void)state;
    char target[64];
    size_t length = 0;
    put_text("d/file", "text");
    OK(ophost_symlink(store, "d", "to-dir", &error));
    OK(ophost_symlink(store, "../d/file", "d/up", &error));
    OK(ophost_symlink(store, "/d/file", "absolute", &error));
    OK(ophost_symlink(store, "loop2", "loop1", &error));
    OK(ophost_symlink(store, "loop1", "loop2", &error));
    OK(ophost_symlink(store, "nowhere", "dangling", &error));
    assert_text("to-dir/file", "text");
    assert_text("d/up", "text");
    assert_text("absolute", "text");
    char *none = NULL;
    assert_int_equal(ophost_read_all(store, "loop1", &none, NULL, &error), ORBIT_E_PATH);
    free(none);
    assert_int_equal(ophost_read_all(store, "dangling", &none, NULL, &error), ORBIT_E_NOT_FOUND);
    free(none);
    assert_int_equal(kind_of("to-dir"), ORBIT_KIND_SYMLINK);
    assert_int_equal(kind_of("to-dir/"), ORBIT_KIND_DIRECTORY);
    OK(ophost_readlink(store, "d/up", target, sizeof(target), &length, &error));
    assert_int_equal(length, 9);
    assert_memory_equal(target, "../d/file", 9);
    assert_int_equal(ophost_readlink(store, "d/up", target, 3, &length, &error), ORBIT_E_LIMIT);
    assert_int_equal(length, 9);
    assert_int_equal(ophost_readlink(store, "d/file", target, 3, &length, &error), ORBIT_E_PATH);
    put_text("dangling", "made"); /* a symlink is resolved before it is written through */
    assert_text("nowhere", "made");
    assert_int_equal(kind_of("dangling"), ORBIT_KIND_SYMLINK);

    struct ophost_listing listing;
    orbit_list_request request = {.path = "", .want_metadata = true, .follow_symlinks = true};
    const struct ophost_entry *entry;
    OK(ophost_list(store, "", &request, &listing, &error));
    assert_true((entry = ophost_listing_find(&listing, "to-dir")) && entry->metadata.kind == ORBIT_KIND_DIRECTORY);
    assert_true((entry = ophost_listing_find(&listing, "loop1")) && entry->failed);
    ophost_listing_release(&listing);
    OK(ophost_remove(store, "to-dir", true, false, &error)); /* never what it points to */
    assert_text("d/file", "text");
}

static void attributes_and_metadata_are_kept(void **state)
{
    (void)state;
    char value[16];
    size_t length;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_metadata m = ORBIT_METADATA_INIT;
    options.set = ORBIT_HAS_MODE | ORBIT_HAS_MTIME;
    options.mode = 0600;
    options.mtime_ns = 12345;
    OK(ophost_put(store, "file", &options, "x", 1, NULL, &error));
    OK(ophost_stat(store, "file", &m, &error));
    assert_true(m.mode == 0600 && m.mtime_ns == 12345 && m.size == 1);
    uint64_t inode = m.inode;
    orbit_metadata_release(&m);
    put_text("file", "replaced"); /* keeps the mode, not the identity */
    OK(ophost_stat(store, "file", &m, &error));
    assert_true(m.mode == 0600 && m.mtime_ns != 12345 && m.inode != inode);
    orbit_metadata_release(&m);
    m = (orbit_metadata){.fields = ORBIT_HAS_OWNER | ORBIT_HAS_ATIME, .uid = 5, .gid = 6, .atime_ns = 7};
    OK(ophost_set_metadata(store, "file", &m, &error));
    OK(ophost_stat(store, "file", &m, &error));
    assert_true(m.uid == 5 && m.gid == 6 && m.atime_ns == 7);
    orbit_metadata_release(&m);

    OK(ophost_xattr_set(store, "file", "user.a", "1", 1, &error));
    OK(ophost_xattr_set(store, "file", "user.b", "", 0, &error));
    OK(ophost_xattr_set(store, "file", "user.a", "23", 2, &error));
    OK(ophost_xattr_get(store, "file", "user.a", value, sizeof(value), &length, &error));
    assert_int_equal(length, 2);
    OK(ophost_xattr_get(store, "file", "user.b", value, sizeof(value), &length, &error));
    assert_int_equal(length, 0);
    OK(ophost_xattr_list(store, "file", value, sizeof(value), &length, &error));
    assert_int_equal(length, 14);
    OK(ophost_xattr_set(store, "file", "user.a", NULL, 0, &error));
    assert_int_equal(ophost_xattr_get(store, "file", "user.a", value, 16, &length, &error), ORBIT_E_NOT_FOUND);
    static char big[70000];
    assert_int_equal(ophost_xattr_set(store, "file", "user.c", big, sizeof(big), &error), ORBIT_E_LIMIT);
}

static void listing_survives_changes_and_is_taken_up_again(void **state)
{
    (void)state;
    char path[32];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(path, sizeof(path), "d/f%u", i);
        put_text(path, "x");
    }
    orbit_list_request request = {.path = "d", .page_entries = 4};
    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    struct orbit_page page;
    void *cursor;
    orb_page_init(&page, NULL, 4, 100000);
    OK(ophost_list_begin(store, &request, &cursor, &error));
    OK(ophost_list_page(store, cursor, &page, &error));
    assert_true(orb_page_next(&page, &at, &item) && orb_page_next(&page, &at, &item));
    assert_string_equal(item.entry.path, "f1");
    uint64_t position = item.position;
    ophost_list_suspend(store, cursor, position);
    OK(ophost_remove(store, "d/f1", false, false, &error)); /* also what the position stood for may go */
    OK(ophost_remove(store, "d/f2", false, false, &error));
    unsigned seen = 0;
    do {
        orb_page_reset(&page);
        OK(ophost_list_page(store, cursor, &page, &error));
        at.at = 0;
        while (orb_page_next(&page, &at, &item)) {
            snprintf(path, sizeof(path), "f%u", 3 + seen++);
            assert_string_equal(item.entry.path, path);
        }
        OK(ophost_remove(store, "d/f7", false, true, &error)); /* the one that comes next */
    } while (page.more && seen < 4);
    assert_int_equal(seen, 4);
    orb_page_reset(&page);
    OK(ophost_remove(store, "d", true, false, &error));
    OK(ophost_list_page(store, cursor, &page, &error)); /* of a directory that is gone: the end */
    assert_int_equal(orbit_page_count(&page), 0);
    assert_false(page.more);
    ophost_list_end(store, cursor);
    orb_page_release(&page);
}

static void parts_at_offsets_may_come_in_any_order(void **state)
{
    (void)state;
    orbit_begin_reply begun;
    OK(ophost_begin(store, "file", NULL, 10, 4, NULL, &begun, &error));
    OK(ophost_part(store, begun.upload, 1, 6, "cc", 2, NULL, &error));
    OK(ophost_part(store, begun.upload, 2, 0, "aaa", 3, NULL, &error));
    assert_int_equal(ophost_finish(store, begun.upload, 7, 2, NULL, &error), ORBIT_E_MISUSE); /* beyond the end */
    OK(ophost_finish(store, begun.upload, 10, 2, NULL, &error));
    ophost_release(store, begun.upload);
    assert_holds("file", "aaa\0\0\0cc\0\0", 10);
}

static void sequential_parts_must_come_in_sequence(void **state)
{
    (void)state;
    orbit_begin_reply begun;
    OK(ophost_begin(store, "file", NULL, 10, 4, NULL, &begun, &error));
    assert_int_equal(ophost_part(store, begun.upload, 2, 4, "bb", 2, NULL, &error), ORBIT_E_MISUSE);
    OK(ophost_part(store, begun.upload, 1, 0, "aa", 2, NULL, &error));
    assert_int_equal(ophost_part(store, begun.upload, 2, 4, "bb", 2, NULL, &error), ORBIT_E_MISUSE);
    OK(ophost_part(store, begun.upload, 2, 2, "bb", 2, NULL, &error));
    OK(ophost_finish(store, begun.upload, 4, 2, NULL, &error));
    ophost_release(store, begun.upload);
    assert_text("file", "aabb");
}

/* ---- sessions, names, space ---- */

static void dropped_session_takes_everything_with_it(void **state)
{
    (void)state;
    struct windowed w = {.put = {.path = "file", .options = &plain_write}};
    orbit_metadata m = ORBIT_METADATA_INIT;
    w.call.ctx = &w;
    w.call.start = start_put;
    ophost_body_init(&w.body, &w.call, "hello", 5);
    w.body.body.peek = peek_nothing;
    ophost_start(&w.call, store);           /* 1 */
    OK(ophost_stat(store, "", &m, &error)); /* 2 */
    orbit_metadata_release(&m);
    assert_int_equal(ophost_stat(store, "", &m, &error), ORBIT_E_NETWORK); /* 3 */
    assert_true(orbit_error_retriable(&error));
    error.flags = 0;
    assert_int_equal(ophost_wait(&w.call, &error), ORBIT_E_NETWORK);
    assert_true(orbit_error_retriable(&error));
    put_text("file", "again"); /* 4: connects anew */
    assert_true(ophost_logged(&host, "session dropped"));
    assert_text("file", "again");
}

static void stores_of_one_name_are_one_store(void **state)
{
    (void)state;
    struct orb_backend *first, *second, *third;
    store = NULL;
    ophost_open(&host, 0);
    first = ophost_backend(&host, &orb_mem_ops, "shared", "", NULL, "profile=files", NULL, &error);
    second = ophost_backend(&host, &orb_mem_ops, "shared", "root/dir", NULL, NULL, NULL, &error);
    third = ophost_backend(&host, &orb_mem_ops, "another", "", NULL, NULL, NULL, &error);
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(third);
    assert_true(orb_mem_ops.same_store(first->self, second->self));
    assert_false(orb_mem_ops.same_store(first->self, third->self));
    assert_null(ophost_backend(&host, &orb_mem_ops, "shared", "", NULL, "profile=object", NULL, &error));
    assert_int_equal(error.status, ORBIT_E_CONFIG);
    assert_null(ophost_backend(&host, &orb_mem_ops, "", "", NULL, "profile=odd", NULL, &error));
    assert_null(ophost_backend(&host, &orb_mem_ops, "", "", NULL, "colour=blue", NULL, &error));
    assert_null(ophost_backend(&host, &orb_mem_ops, "", "", NULL, "part_min=x", NULL, &error));
    store = second;
    put_text("file", "text");
    store = first;
    assert_text("root/dir/file", "text");
    ophost_backend_close(first);
    ophost_backend_close(second);
    ophost_backend_close(third);
    store = ophost_backend(&host, &orb_mem_ops, "shared", "root", NULL, NULL, NULL, &error);
    assert_text("dir/file", "text"); /* lives as long as the client */
    orbit_mem_config config = ORBIT_MEM_CONFIG_INIT;
    config.profile = "sequential";
    config.capacity_bytes = 5;
    first = ophost_backend(&host, &orb_mem_ops, "", "", NULL, NULL, &config, &error);
    assert_true(first && first->caps.sequential_parts);
    assert_int_equal(ophost_put(first, "f", NULL, "123456", 6, NULL, &error), ORBIT_E_NO_SPACE);
    OK(ophost_put(first, "f", NULL, "12345", 5, NULL, &error));
    OK(ophost_remove(first, "f", false, false, &error));
    OK(ophost_put(first, "f", NULL, "12345", 5, NULL, &error));
    ophost_backend_close(first);
}

int main(void)
{
#define IN(profile, test)                                                \
    {                                                                    \
#test " (" #profile ")", test, open_##profile, close_store, NULL \
    }
#define IN_ALL(test) IN(object, test), IN(files, test), IN(sequential, test)
    const struct CMUnitTest tests[] = {
        IN(object, objects_have_etags_metadata_and_checksums),
        IN(object, prefixes_are_directories),
        IN(object, keys_are_listed_in_byte_order_with_delimiters),
        IN(object, parts_of_objects_have_rules),
        IN(object, copies_share_bytes_and_batches_remove),
        IN(object, a_hundred_thousand_keys_list_page_by_page),
        IN(files, directories_are_made_listed_and_removed),
        IN(sequential, directories_are_made_listed_and_removed),
        IN(files, rename_moves_files_and_trees),
        IN(files, symlinks_are_followed_but_not_round_in_circles),
        IN(files, attributes_and_metadata_are_kept),
        IN(files, listing_survives_changes_and_is_taken_up_again),
        IN(files, parts_at_offsets_may_come_in_any_order),
        IN(sequential, sequential_parts_must_come_in_sequence),
        IN(dropping, dropped_session_takes_everything_with_it),
        cmocka_unit_test_teardown(stores_of_one_name_are_one_store, close_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
