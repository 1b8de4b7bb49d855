/* SPDX-License-Identifier: Apache-2.0
 * Pages: what goes in comes out, small, bounded, charged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

static orbit_entry s3_entry(const char *path)
{
    return (orbit_entry){.path = path,
                         .path_length = strlen(path),
                         .depth = 1,
                         .metadata = {.fields = ORBIT_HAS_SIZE | ORBIT_HAS_MTIME,
                                      .kind = ORBIT_KIND_FILE,
                                      .size = 123456789,
                                      .mtime_ns = 1763790000123000000,
                                      .etag = "0123456789abcdef0123456789abcdef",
                                      .storage_class = "STANDARD"}};
}

static void entries_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct orbit_page page;
    orb_page_init(&page, NULL, 10, 100000);
    orbit_entry full = {.path = "a/\xff\n",
                        .path_length = 4,
                        .flags = ORBIT_ENTRY_MARKER,
                        .depth = UINT32_MAX,
                        .metadata = {.fields = 127,
                                     .kind = ORBIT_KIND_SYMLINK,
                                     .size = UINT64_MAX,
                                     .mtime_ns = INT64_MIN,
                                     .atime_ns = -1,
                                     .mode = 07777,
                                     .uid = UINT32_MAX,
                                     .gid = 1000,
                                     .part_count = 10000,
                                     .device = 5,
                                     .inode = UINT64_MAX - 1,
                                     .disk_bytes = 4096,
                                     .checksum = {ORBIT_CHECKSUM_CRC32C, 4, true, 0, {1, 2, 3, 4}},
                                     .etag = "",
                                     .version_id = "v",
                                     .content_type = "t",
                                     .content_encoding = "e",
                                     .content_disposition = "d",
                                     .content_language = "l",
                                     .cache_control = "c",
                                     .expires = "x",
                                     .storage_class = "s",
                                     .encryption = "n",
                                     .link_target = "target"}};
    orbit_entry empty = {.path = "", .path_length = 0};
    orbit_error error;
    orb_fail(&error, ORBIT_E_PERMISSION, 13, "no");
    assert_int_equal(orbit_page_add(&page, &full, 77), ORBIT_OK);
    assert_int_equal(orbit_page_add_failed(&page, "bad", 3, &error, 78), ORBIT_OK);
    assert_int_equal(orbit_page_add(&page, &empty, 0), ORBIT_OK);
    assert_int_equal(orbit_page_add_failed(&page, "odd", 3, NULL, 0), ORBIT_OK);
    orbit_page_more(&page, true);
    assert_int_equal(orbit_page_count(&page), 4);
    assert_true(page.more);

    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    assert_true(orb_page_next(&page, &at, &item));
    assert_false(item.failed);
    assert_int_equal(item.position, 77);
    assert_memory_equal(item.entry.path, "a/\xff\n", 5);
    const orbit_metadata *m = &item.entry.metadata;
    assert_true(item.entry.depth == UINT32_MAX && item.entry.flags == ORBIT_ENTRY_MARKER);
    assert_true(m->fields == 127 && m->kind == ORBIT_KIND_SYMLINK && m->size == UINT64_MAX);
    assert_true(m->mtime_ns == INT64_MIN && m->atime_ns == -1 && m->mode == 07777 && m->uid == UINT32_MAX);
    assert_true(m->gid == 1000 && m->part_count == 10000 && m->device == 5 && m->inode == UINT64_MAX - 1);
    assert_true(m->disk_bytes == 4096 && m->checksum.composite && m->checksum.value[3] == 4);
    assert_string_equal(m->etag, "");
    assert_string_equal(m->version_id, "v");
    assert_string_equal(m->content_type, "t");
    assert_string_equal(m->content_encoding, "e");
    assert_string_equal(m->content_disposition, "d");
    assert_string_equal(m->content_language, "l");
    assert_string_equal(m->cache_control, "c");
    assert_string_equal(m->expires, "x");
    assert_string_equal(m->storage_class, "s");
    assert_string_equal(m->encryption, "n");
    assert_string_equal(m->link_target, "target");
    assert_true(orb_page_next(&page, &at, &item));
    assert_true(item.failed && item.position == 78);
    assert_string_equal(item.entry.path, "bad");
    assert_int_equal(item.error->status, ORBIT_E_PERMISSION);
    assert_string_equal(item.error->message, "no");
    assert_true(orb_page_next(&page, &at, &item));
    assert_true(!item.failed && item.entry.path_length == 0 && !item.entry.metadata.etag);
    assert_true(orb_page_next(&page, &at, &item));
    assert_true(item.failed && item.error->status == ORBIT_E_IO);
    assert_false(orb_page_next(&page, &at, &item));
    orb_page_release(&page);
}

static void a_thousand_objects_are_small_and_charged(void **state)
{
    (void)state;
    struct orb_budget budget;
    struct orbit_page page;
    orb_budget_init(&budget, 1u << 20);
    orb_page_init(&page, &budget, 1000, 512u << 10);
    size_t strings = 0;
    char path[64];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "some/prefix/object-%07u", i);
        orbit_entry entry = s3_entry(path);
        strings += strlen(path) + 32 + 8;
        assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_OK);
    }
    orbit_entry entry = s3_entry("x");
    assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_END);
    assert_int_equal(orbit_page_count(&page), 1000);
    assert_true(page.used - strings <= 48 * 1000);
    assert_true(budget.used == page.room);
    orb_page_trim(&page);
    assert_true(budget.used == page.room && page.room < page.used + 1024 + page.used / 8);
    struct orb_page_cursor at = {0};
    struct orb_page_item item;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(orb_page_next(&page, &at, &item));
        snprintf(path, sizeof(path), "some/prefix/object-%07u", i);
        assert_string_equal(item.entry.path, path);
    }
    orb_page_reset(&page);
    assert_int_equal(orbit_page_count(&page), 0);
    assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_OK);
    orb_page_reset(&page);
    orb_page_trim(&page);
    assert_int_equal(budget.used, 0);
    orb_page_release(&page);
}

static void page_is_full_by_bytes_but_takes_one_entry_always(void **state)
{
    (void)state;
    static char path[40000];
    struct orbit_page page;
    memset(path, 'p', sizeof(path) - 1);
    orbit_entry entry = {.path = path, .path_length = sizeof(path) - 1};
    orb_page_init(&page, NULL, 1000, 20000);
    assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_OK);
    assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_END);
    orb_page_reset(&page);
    entry.path_length = 1;
    unsigned count = 0;
    while (orbit_page_add(&page, &entry, 1) == ORBIT_OK)
        count++;
    assert_in_range(count, 100, 1000);
    orb_page_release(&page);
}

static void page_without_memory_is_short_or_says_so(void **state)
{
    (void)state;
    struct orb_budget budget;
    struct orbit_page page;
    orbit_entry entry = s3_entry("some/key");
    orb_budget_init(&budget, 20000);
    orb_page_init(&page, &budget, 100000, 1u << 20);
    while (orbit_page_add(&page, &entry, 0) == ORBIT_OK)
        ;
    assert_true(orbit_page_count(&page) > 100); /* ended short: the budget has no room for the next size */
    assert_false(page.out_of_memory);
    orb_page_release(&page);
    assert_int_equal(budget.used, 0);

    assert_true(orb_budget_take(&budget, 20000));
    assert_int_equal(orbit_page_add(&page, &entry, 0), ORBIT_E_MEMORY);
    assert_true(page.out_of_memory);
    orb_budget_give(&budget, 20000);
    orb_mem_fail_at(1);
    orb_page_reset(&page);
    orbit_status status = orbit_page_add(&page, &entry, 0);
    orb_mem_fail_at(0);
    assert_true(status == ORBIT_E_MEMORY || status == ORBIT_OK); /* the smaller second try may have worked */
    orb_page_release(&page);
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_out_as_they_went_in),
        cmocka_unit_test(a_thousand_objects_are_small_and_charged),
        cmocka_unit_test(page_is_full_by_bytes_but_takes_one_entry_always),
        cmocka_unit_test(page_without_memory_is_short_or_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
