/* SPDX-License-Identifier: Apache-2.0
 * SFTP through the engine, with a server that breaks: connections that are lost at any request and at any byte, a
 * rename whose reply is lost, a full disk, a server that takes no changes. A first server of each test breaks, the
 * next is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orbit/orbit.h>

enum { CHUNK = 64 << 10, LENGTH = 5 * CHUNK + 77, LARGE = (3 << 20) + 77 };

static orbit_client *client;
static orbit_backend *store;
static char root[64], broken[96];
static uint8_t bytes[LENGTH], large[LARGE]; /* large: more than one request of the backend */
static orbit_error error;

#define OK(call)                                                       \
    do {                                                               \
        orbit_status status_ = (call);                                 \
        if (status_ != ORBIT_OK)                                       \
            fail_msg("%s: %d %s", #call, (int)status_, error.message); \
    } while (0)

/* The first `times` servers that are started have the fault. */
static void open_store(const char *fault, unsigned times, const char *chunk)
{
    char command[512], url[128];
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    snprintf(command, sizeof(command),
             "n=$(cat %s 2>/dev/null | wc -c); if [ $n -lt %u ]; then printf x >>%s; exec %s %s; fi; exec %s", broken,
             times, broken, SFTPD_PROGRAM, fault, SFTPD_PROGRAM);
    const orbit_pair settings[] = {{"command", command}, {"chunk_size", chunk}, {"stall_timeout_ms", "500"}};
    options.settings = settings;
    options.setting_count = 3;
    snprintf(url, sizeof(url), "sftp://test%s", root);
    (void)unlink(broken);
    OK(orbit_client_open(&client, NULL, &error));
    OK(orbit_open(&store, client, url, &options, &error));
}

static void close_store(void)
{
    orbit_backend_close(store);
    orbit_client_close(client);
    store = NULL;
    client = NULL;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/orbit-sftp-fault-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(broken, sizeof(broken), "%s.broken", root);
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return 0;
}

static int tear_down(void **state)
{
    char command[256];
    (void)state;
    if (client)
        close_store();
    snprintf(command, sizeof(command), "rm -rf %s %s", root, broken);
    return system(command);
}

static unsigned files_left(void)
{
    unsigned count = 0;
    DIR *directory = opendir(root);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

static orbit_status put(const char *name, size_t length)
{
    return orbit_write(store, name, orbit_source_memory(bytes, length), length, NULL, NULL, &error);
}

static void check(const char *name, size_t length)
{
    static uint8_t back[LENGTH + 1];
    orbit_reader *reader = NULL;
    size_t got = 0;
    OK(orbit_read(&reader, store, name, NULL, &error));
    orbit_status status = orbit_reader_read(reader, back, sizeof(back), &got, &error);
    if (status < 0)
        fail_msg("reading: %s", error.message);
    assert_int_equal(got, length);
    assert_memory_equal(back, bytes, length);
    assert_int_equal(orbit_reader_read(reader, back, sizeof(back), &got, &error), ORBIT_END);
    orbit_reader_close(reader);
}

/* Everything that the contract has, on a connection that is lost in the middle of it. */
static void everything(void)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    unsigned seen = 0;
    OK(put("small", 1000));
    OK(put("large", LENGTH));
    check("small", 1000);
    check("large", LENGTH);
    OK(orbit_stat(store, "large", NULL, &metadata, &error));
    assert_int_equal(metadata.size, LENGTH);
    orbit_metadata_release(&metadata);
    OK(orbit_list(&lister, store, "", NULL, &error));
    orbit_status status;
    while ((status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK)
        seen++;
    if (status != ORBIT_END)
        fail_msg("listing: %s", error.message);
    orbit_lister_close(lister);
    assert_int_equal(seen, 2);
}

static void connection_lost_at_any_request_is_made_up_for(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 40; at += 2) {
        char fault[32];
        snprintf(fault, sizeof(fault), "drop_at=%u", at);
        open_store(fault, 1, "65536");
        everything();
        close_store();
    }
}

static void connection_lost_at_any_byte_is_made_up_for(void **state)
{
    (void)state;
    for (unsigned at = 20; at < LENGTH; at += 23456) {
        char fault[32];
        snprintf(fault, sizeof(fault), "drop_out=%u", at);
        open_store(fault, 1, "65536");
        everything();
        close_store();
    }
}

static void connection_lost_again_and_again_is_made_up_for(void **state)
{
    (void)state;
    open_store("drop_out=30000", 5, "65536");
    everything();
}

static void server_that_falls_silent_is_left(void **state)
{
    (void)state;
    open_store("stall_at=9", 1, "65536");
    everything();
}

/* Request type 18: the file has its name, and nobody was told. */
static void rename_whose_reply_is_lost_is_looked_up(void **state)
{
    (void)state;
    open_store("lose_type=18", 1, "65536");
    OK(put("small", 1000));
    close_store();
    open_store("lose_type=18", 1, "65536");
    OK(put("large", LENGTH));
    check("small", 1000);
    check("large", LENGTH);
    assert_int_equal(files_left(), 2);
}

static void rename_of_a_file_whose_reply_is_lost_is_looked_up(void **state)
{
    (void)state;
    for (unsigned times = 1; times <= 2; times++) { /* the second time with something at the new name */
        open_store("lose_type=18", times, "65536");
        FILE *file;
        char path[128];
        snprintf(path, sizeof(path), "%s/from", root);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, 1000, file), 1000);
        fclose(file);
        OK(orbit_rename(store, "from", "to", times == 2, NULL, &error));
        check("to", 1000);
        assert_int_equal(files_left(), 1);
        assert_int_equal(orbit_rename(store, "from", "other", true, NULL, &error), ORBIT_E_NOT_FOUND);
        close_store();
    }
}

static void full_disk_fails_the_write_and_leaves_nothing(void **state)
{
    (void)state;
    open_store("space=100000", 100, "65536");
    assert_int_equal(put("large", LENGTH), ORBIT_E_IO);
    assert_non_null(strstr(error.message, "large"));
    assert_int_equal(files_left(), 0);
    close_store();
    open_store("space=500", 100, "65536");
    assert_int_equal(put("small", 1000), ORBIT_E_IO);
    assert_int_equal(files_left(), 0);
}

/* The status is the same: the file system tells what it means. */
static void failure_without_a_reason_is_looked_into(void **state)
{
    static const struct {
        const char *fault;
        orbit_status status;
        const char *sentence;
    } cases[] = {
        {"space=100000 free=0", ORBIT_E_NO_SPACE, "its disk is full: make room there (0 bytes are free)"},
        {"space=100000 free=900", ORBIT_E_QUOTA,
         "it takes no more bytes although 900 MiB are free and says 'as scripted': a quota"},
        {"space=100000 free=900 sealed=1", ORBIT_E_PERMISSION, "the file system there is mounted read-only"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_store(cases[i].fault, 100, "65536");
        for (unsigned parts = 0; parts < 2; parts++) { /* one body; parts of an upload */
            uint64_t length = parts ? ORBIT_SIZE_UNKNOWN : LENGTH;
            orbit_status status =
                orbit_write(store, "file", orbit_source_memory(bytes, LENGTH), length, NULL, NULL, &error);
            assert_int_equal(status, cases[i].status);
            assert_non_null(strstr(error.message, cases[i].sentence));
            assert_int_equal(files_left(), 0);
        }
        close_store();
    }
}

/* What later versions of the protocol have codes for is understood in this one; what nobody knows is told. */
static void codes_of_later_versions_are_understood(void **state)
{
    static const struct {
        const char *fault;
        orbit_status status;
        const char *sentence;
    } cases[] = {
        {"space=100000 code=14", ORBIT_E_NO_SPACE, "its disk is full: make room there"},
        {"space=100000 code=15", ORBIT_E_QUOTA, "a quota there is used up"},
        {"space=100000 code=12", ORBIT_E_PERMISSION, "it is protected from being written to there"},
        {"space=100000 code=77", ORBIT_E_IO, "the server failed and says 'as scripted' (status 77)"},
        {"space=100000 code=4294967295", ORBIT_E_IO, "(status 4294967295)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_store(cases[i].fault, 100, "65536");
        assert_int_equal(put("file", LENGTH), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].sentence));
        assert_int_equal(files_left(), 0);
        close_store();
    }
    open_store("code=11 missing=10", 100, "65536");
    assert_int_equal(put("a/b/file", 1000), ORBIT_OK); /* the directories on the way are missing */
    assert_int_equal(put("a/b/file", 1000), ORBIT_OK); /* and replaced, by a rename that fails at first */
    assert_int_equal(orbit_mkdir(store, "a", NULL, &error), ORBIT_E_EXISTS);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    assert_int_equal(orbit_stat(store, "nothing", NULL, &metadata, &error), ORBIT_E_NOT_FOUND);
    close_store();
    open_store("code=18", 100, "65536");
    assert_int_equal(put("d/file", 1000), ORBIT_OK);
    assert_int_equal(orbit_remove(store, "d", NULL, &error), ORBIT_E_NOT_EMPTY);
}

static void make_file(const char *name, size_t length)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void size_that_is_not_so_is_not_believed(void **state)
{
    static const struct {
        const char *fault;
        size_t length;
    } cases[] = {
        {"size=0", 1},
        {"size=0", LENGTH},
        {"size=0 short_read=1000", 70000},
        {"size=0 reorder=2", 100},
        {"size=0", 0},
        {"no_size=1", LENGTH},
        {"no_size=1", 0},
        {"no_size=1 short_read=777", 5000},
        {"size=4096", 18},
        {"size=4096 short_read=7", 18},
        {"size=4096", 4095},
        {"size=4096", 4096},
        {"size=4096 short_read=1000", 4096},
        {"size=4096", 0},
        {"size=65536", 32000},
        {"size=65536", 65536},
    };
    char copied[128];
    (void)state;
    snprintf(copied, sizeof(copied), "%s/copy", root);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stat about;
        make_file("file", cases[i].length);
        open_store(cases[i].fault, 100, "65536");
        check("file", cases[i].length);
        OK(orbit_download(store, "file", copied, NULL, NULL, &error));
        assert_int_equal(stat(copied, &about), 0);
        assert_int_equal(about.st_size, cases[i].length);
        check("copy", cases[i].length);
        close_store();
    }
}

static void range_of_what_tells_no_size_is_what_was_asked_for(void **state)
{
    static const struct {
        uint64_t offset, length;
        size_t expected;
    } ranges[] = {{0, 10, 10}, {100, 70000, 70000}, {LENGTH - 5, 100, 5}, {LENGTH, 10, 0}, {LENGTH + 9, 1, 0}};
    static uint8_t back[LENGTH];
    (void)state;
    make_file("file", LENGTH);
    open_store("size=0", 100, "65536");
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        orbit_read_options options = ORBIT_READ_OPTIONS_INIT;
        orbit_reader *reader = NULL;
        size_t got = 0;
        options.offset = ranges[i].offset;
        options.length = ranges[i].length;
        OK(orbit_read(&reader, store, "file", &options, &error));
        if (orbit_reader_read(reader, back, sizeof(back), &got, &error) < 0)
            fail_msg("reading: %s", error.message);
        orbit_reader_close(reader);
        assert_int_equal(got, ranges[i].expected);
        assert_memory_equal(back, bytes + (got ? ranges[i].offset : 0), got);
    }
}

/* As many as are wanted. */
static orbit_status give_zeros(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *told)
{
    uint64_t *given = ctx;
    (void)told;
    *length = room;
    memset(buffer, 0, room);
    *given += room;
    return ORBIT_OK;
}

static void what_has_no_room_is_not_begun(void **state)
{
    uint64_t given = 0;
    (void)state;
    open_store("free=99", 100, "1048576");
    orbit_status status = orbit_write(store, "new/large", orbit_source_function(give_zeros, &given), UINT64_C(1) << 40,
                                      NULL, NULL, &error);
    assert_int_equal(status, ORBIT_E_NO_SPACE);
    assert_true(given < UINT64_C(1) << 30);
    assert_non_null(strstr(error.message, "it has 1048576 MiB, and there are 99 MiB free: make room there"));
    assert_int_equal(orbit_remove(store, "new", NULL, &error), ORBIT_OK); /* which is empty */
    OK(put("small", 1000));
}

static void server_that_takes_no_changes_says_so(void **state)
{
    (void)state;
    open_store("read_only=1", 100, "65536");
    assert_int_equal(put("small", 1000), ORBIT_E_PERMISSION);
    assert_non_null(strstr(error.message, "'small'"));
    assert_int_equal(orbit_mkdir(store, "dir", NULL, &error), ORBIT_E_PERMISSION);
    assert_int_equal(files_left(), 0);
}

/* Others than OpenSSH's may mix up two sessions of a connection: where the way is long, too, there is one at a time. */
static void server_that_may_mix_up_sessions_is_given_one(void **state)
{
    (void)state;
    char command[512], url[128], both[128];
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    snprintf(both, sizeof(both), "%s/both", root);
    snprintf(command, sizeof(command), "exec 9>>%s; flock -n 9 || touch %s; exec %s pause=10", broken, both,
             SFTPD_PROGRAM);
    const orbit_pair settings[] = {{"command", command}, {"chunk_size", "65536"}};
    options.settings = settings;
    options.setting_count = 2;
    snprintf(url, sizeof(url), "sftp://test%s", root);
    OK(orbit_client_open(&client, NULL, &error));
    OK(orbit_open(&store, client, url, &options, &error));
    OK(put("large", LENGTH));
    for (unsigned i = 0; i < 10; i++) {
        orbit_reader *readers[2] = {NULL};
        for (unsigned k = 0; k < 2; k++)
            OK(orbit_read(&readers[k], store, "large", NULL, &error));
        for (unsigned k = 0; k < 2; k++)
            orbit_reader_close(readers[k]);
    }
    check("large", LENGTH);
    assert_int_equal(access(both, F_OK), -1);
}

static orbit_status give(void *ctx, void *room, size_t length, size_t *got, orbit_error *failure)
{
    size_t *at = ctx, left = LARGE - *at;
    (void)failure;
    *got = length < left ? length : left;
    memcpy(room, large + *at, *got);
    *at += *got;
    return *got ? ORBIT_OK : ORBIT_END;
}

/* Servers that keep objects: what does not go on where the bytes end is refused. */
static void server_that_takes_bytes_in_order_alone_gets_them_so(void **state)
{
    static const char *const names[] = {"memory", "path", "function", "copy"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    open_store("in_order=1", 100, "65536");
    OK(orbit_write(store, "memory", orbit_source_memory(large, LARGE), LARGE, NULL, NULL, &error));
    snprintf(path, sizeof(path), "%s/memory", root);
    OK(orbit_write(store, "path", orbit_source_path(path), ORBIT_SIZE_UNKNOWN, NULL, NULL, &error));
    size_t at = 0;
    OK(orbit_write(store, "function", orbit_source_function(give, &at), ORBIT_SIZE_UNKNOWN, NULL, NULL, &error));
    OK(orbit_copy(store, "memory", store, "copy", NULL, NULL, &error));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        static uint8_t back[LARGE + 1];
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(fread(back, 1, sizeof(back), file), LARGE);
        assert_memory_equal(back, large, LARGE);
        fclose(file);
    }
    assert_int_equal(files_left(), 4);
}

static void listing_goes_on_where_the_connection_was_lost(void **state)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    static bool seen[500];
    unsigned count = 0;
    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%u", root, i);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    open_store("names=9 drop_at=20", 2, "65536");
    options.page_entries = 50;
    OK(orbit_list(&lister, store, "", &options, &error));
    orbit_status status;
    while ((status = orbit_lister_next(lister, &entry, &error)) == ORBIT_OK) {
        unsigned number = (unsigned)atoi(entry.path);
        assert_true(number < 500 && !seen[number]);
        seen[number] = true;
        count++;
    }
    if (status != ORBIT_END)
        fail_msg("listing: %s", error.message);
    assert_int_equal(count, 500);
    orbit_lister_close(lister);
}

static void tree_is_removed_though_the_connection_is_lost(void **state)
{
    (void)state;
    for (unsigned drop_at = 5; drop_at < 400; drop_at += 30) {
        char path[128], words[64];
        snprintf(path, sizeof(path), "%s/many", root);
        assert_int_equal(mkdir(path, 0755), 0);
        for (unsigned i = 0; i < 300; i++) {
            snprintf(path, sizeof(path), "%s/many/%u", root, i);
            FILE *file = fopen(path, "w");
            assert_non_null(file);
            fclose(file);
        }
        snprintf(words, sizeof(words), "names=9 drop_at=%u", drop_at);
        open_store(words, 2, "65536");
        orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
        options.recursive = true;
        if (orbit_remove(store, "many", &options, &error) < 0)
            fail_msg("lost at %u: %s", drop_at, error.message);
        assert_int_equal(files_left(), 0);
        close_store();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(connection_lost_at_any_request_is_made_up_for),
        TEST(connection_lost_at_any_byte_is_made_up_for),
        TEST(connection_lost_again_and_again_is_made_up_for),
        TEST(server_that_falls_silent_is_left),
        TEST(rename_whose_reply_is_lost_is_looked_up),
        TEST(rename_of_a_file_whose_reply_is_lost_is_looked_up),
        TEST(full_disk_fails_the_write_and_leaves_nothing),
        TEST(failure_without_a_reason_is_looked_into),
        TEST(codes_of_later_versions_are_understood),
        TEST(size_that_is_not_so_is_not_believed),
        TEST(range_of_what_tells_no_size_is_what_was_asked_for),
        TEST(what_has_no_room_is_not_begun),
        TEST(server_that_takes_no_changes_says_so),
        TEST(listing_goes_on_where_the_connection_was_lost),
        TEST(tree_is_removed_though_the_connection_is_lost),
        TEST(server_that_may_mix_up_sessions_is_given_one),
        TEST(server_that_takes_bytes_in_order_alone_gets_them_so),
    };
    return cmocka_run_group_tests_name("sftp faults", tests, NULL, NULL);
}
