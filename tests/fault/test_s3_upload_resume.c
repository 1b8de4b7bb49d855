/* SPDX-License-Identifier: Apache-2.0
 * Uploads of files that fail and are gone on with: what is sent again, what is not, and what is left. */
#include "s3fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTS 6u
#define LARGE (PARTS * CHUNK - 77)

static char directory[64], file[96], state_dir[96];
static char logged[1 << 16];

static void log_line(void *ctx, orbit_log_level level, const char *line)
{
    size_t length = strlen(logged);
    (void)ctx;
    (void)level;
    snprintf(logged + length, sizeof(logged) - length, "%s\n", line);
}

static void write_file(const char *path, size_t length, uint32_t seed)
{
    uint8_t *bytes = make_bytes(length, seed);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
    free(bytes);
}

static int setup(void **state)
{
    if (s3fault_setup(state))
        return -1;
    snprintf(directory, sizeof(directory), "/tmp/orbit-resume-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/file", directory);
    snprintf(state_dir, sizeof(state_dir), "%s/state/orbit", directory);
    write_file(file, LARGE, 1);
    logged[0] = '\0';
    orbit_backend_close(at.store);
    at.store = NULL;
    orbit_client_close(at.client);
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.log = (orbit_log){log_line, NULL, ORBIT_LOG_INFO};
    OK(orbit_client_open(&at.client, &options, &told));
    s3fault_reopen();
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return s3fault_teardown(state) || system(command);
}

#define RESUME_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static orbit_write_options kept(void)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.state_dir = state_dir;
    return options;
}

static orbit_status send_with(const orbit_write_options *options, orbit_error *error)
{
    return orbit_write(at.store, "key", orbit_source_path(file), ORBIT_SIZE_UNKNOWN, options, NULL, error);
}

static orbit_status send_file(orbit_error *error)
{
    orbit_write_options options = kept();
    return send_with(&options, error);
}

static unsigned journals(char name[192])
{
    unsigned count = 0;
    DIR *listing = opendir(state_dir);
    struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        if (entry->d_name[0] != '.' && ++count && name)
            snprintf(name, 192, "%s/%.60s", state_dir, entry->d_name);
    if (listing)
        closedir(listing);
    return count;
}

/* A first try that has sent all parts but the last two (or so), and leaves its journal. */
static void fail_first(void)
{
    FAULT("op=UploadPart&part=5&status=500");
    memset(&told, 0, sizeof(told));
    assert_true(send_file(&told) < 0);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(COUNT("open_uploads"), 1);
    assert_int_equal(journals(NULL), 1);
}

static void whole(const char *what, uint32_t seed, size_t length)
{
    uint8_t *bytes = make_bytes(length, seed);
    (void)what;
    OK(read_back("key", bytes, length, &told));
    free(bytes);
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(journals(NULL), 0);
}

static int64_t parts_sent(void)
{
    return COUNT("requests.UploadPart") - COUNT("failed.UploadPart");
}

static void upload_that_failed_goes_on_with_what_is_missing(void **state)
{
    (void)state;
    fail_first();
    int64_t before = parts_sent();
    assert_true(before >= 4);
    OK(send_file(&told));
    assert_int_equal(parts_sent(), PARTS);
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 1);
    whole("resumed", 1, LARGE);
}

static void another_client_goes_on_too_and_journals_are_the_users_own(void **state)
{
    (void)state;
    struct stat stat_;
    char name[192];
    fail_first();
    assert_int_equal(journals(name), 1);
    assert_int_equal(stat(name, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    assert_int_equal(stat(state_dir, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0700);
    orbit_backend_close(at.store);
    at.store = NULL;
    orbit_client_close(at.client);
    OK(orbit_client_open(&at.client, NULL, &told));
    s3fault_reopen();
    OK(send_file(&told));
    assert_int_equal(parts_sent(), PARTS);
    whole("resumed", 1, LARGE);
}

static void file_that_changed_is_uploaded_anew(void **state)
{
    (void)state;
    fail_first();
    write_file(file, LARGE, 2);
    OK(send_file(&told));
    assert_non_null(strstr(logged, "has changed since"));
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 2);
    assert_int_equal(COUNT("requests.AbortMultipartUpload"), 1);
    whole("new", 2, LARGE);
}

static void other_options_begin_anew(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    fail_first();
    options.content_type = "text/plain";
    OK(send_with(&options, &told));
    assert_int_equal(COUNT("requests.AbortMultipartUpload"), 1);
    whole("new", 1, LARGE);
}

static void upload_that_the_store_forgot_begins_anew(void **state)
{
    (void)state;
    fail_first();
    endpoint_reset(&at.endpoint);
    OK(send_file(&told));
    assert_non_null(strstr(logged, "does not know the earlier one"));
    assert_int_equal(parts_sent(), PARTS);
    whole("new", 1, LARGE);
}

static void finish_whose_end_was_never_heard_is_found_done(void **state)
{
    (void)state;
    FAULT("op=CompleteMultipartUpload&reset=after");
    FAULT("op=HeadObject&status=500");
    memset(&told, 0, sizeof(told));
    assert_true(send_file(&told) < 0);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(journals(NULL), 1);
    OK(send_file(&told));
    assert_int_equal(parts_sent(), PARTS);
    assert_int_equal(COUNT("requests.CreateMultipartUpload"), 1);
    whole("finished", 1, LARGE);
}

static void part_that_only_the_store_knows_is_sent_again(void **state)
{
    (void)state;
    char name[192];
    struct stat stat_;
    fail_first();
    int64_t before = parts_sent();
    assert_int_equal(journals(name), 1);
    assert_int_equal(stat(name, &stat_), 0);
    assert_int_equal(truncate(name, stat_.st_size - 5), 0); /* torn by a power cut */
    OK(send_file(&told));
    assert_int_equal(parts_sent(), PARTS + 1);
    assert_true(before < PARTS);
    whole("resumed", 1, LARGE);
}

static void journal_that_is_rubbish_is_replaced(void **state)
{
    (void)state;
    char name[192];
    fail_first();
    assert_int_equal(journals(name), 1);
    write_file(name, 300, 9);
    OK(send_file(&told));
    uint8_t *bytes = make_bytes(LARGE, 1);
    OK(read_back("key", bytes, LARGE, &told));
    free(bytes);
    assert_int_equal(journals(NULL), 0);
}

static void write_goes_on_where_no_journal_can_be_kept(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    options.state_dir = file; /* not a directory */
    OK(send_with(&options, &told));
    assert_non_null(strstr(logged, "not kept"));
    whole("plain", 1, LARGE);
    FAULT("op=UploadPart&part=5&status=500");
    memset(&told, 0, sizeof(told));
    assert_true(send_with(&options, &told) < 0);
    assert_int_equal(COUNT("open_uploads"), 0);
}

static void failure_that_another_try_would_meet_too_aborts(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    OK(write_bytes("key", "there", 5, &told));
    options.overwrite = false;
    EXPECT(ORBIT_E_EXISTS, send_with(&options, &told));
    assert_int_equal(COUNT("open_uploads"), 0);
    assert_int_equal(journals(NULL), 0);
}

static void single_puts_keep_no_journal(void **state)
{
    (void)state;
    struct stat stat_;
    write_file(file, CHUNK, 1);
    OK(send_file(&told));
    assert_int_equal(stat(state_dir, &stat_), -1);
}

static void other_targets_and_sources_have_journals_of_their_own(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    fail_first();
    OK(orbit_write(at.store, "other", orbit_source_path(file), ORBIT_SIZE_UNKNOWN, &options, NULL, &told));
    assert_int_equal(journals(NULL), 1);
    OK(send_file(&told));
    whole("resumed", 1, LARGE);
}

static void upload_that_is_asked_for_and_not_there_is_an_error(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    fail_first();
    options.resume_upload = "stranger";
    EXPECT(ORBIT_E_NOT_FOUND, send_with(&options, &told));
    assert_int_equal(COUNT("open_uploads"), 1);
    assert_int_equal(journals(NULL), 1);
    options.chunk_size = 4 * (uint64_t)LARGE; /* would be a single put, which is not what was asked for */
    EXPECT(ORBIT_E_NOT_FOUND, send_with(&options, &told));
    assert_int_equal(COUNT("requests.PutObject"), 0);
    OK(send_file(&told));
    whole("resumed", 1, LARGE);
}

static void list_of_parts_that_fails_leaves_all_for_later(void **state)
{
    (void)state;
    fail_first();
    FAULT("op=ListParts&status=500");
    memset(&told, 0, sizeof(told));
    assert_true(send_file(&told) < 0);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(journals(NULL), 1);
    OK(send_file(&told));
    assert_int_equal(parts_sent(), PARTS);
    whole("resumed", 1, LARGE);
}

/* A list of parts with these in it, word for word. */
static void parts_are_told_as(const char *parts)
{
    char body[700], rule[3000];
    int length =
        snprintf(body, sizeof body, "<ListPartsResult>%s<IsTruncated>false</IsTruncated></ListPartsResult>", parts);
    int end =
        snprintf(rule, sizeof rule,
                 "fault?op=ListParts&say=HTTP/1.1%%20200%%20OK%%0d%%0aContent-Length:%%20%d%%0d%%0a%%0d%%0a", length);
    for (int i = 0; i < length; i++)
        end += snprintf(rule + end, sizeof rule - (size_t)end, "%%%02X", (unsigned char)body[i]);
    endpoint_control(&at.endpoint, "%s", rule);
}

#define PART(number, size)                                                                                          \
    "<Part><PartNumber>" number "</PartNumber><ETag>00000000000000000000000000000000</ETag><Size>" size "</Size></" \
    "Part>"

/* What is told of parts is a claim: one that cannot be is an error, and one that is not ours is sent again. */
static void list_of_parts_that_is_odd_spoils_nothing(void **state)
{
    (void)state;
    static const char *const impossible[] = {
        PART("1", "262144") PART("1", "262144"),
        PART("2", "262144") PART("1", "262144"),
        PART("0", "1"),
        PART("99999999999", "1"),
        PART("-1", "1"),
        "<Part></Part>",
        "<Part><PartNumber>1</PartNumber></Part>",
    };
    static const char *const others[] = {
        PART("1", "0"),  PART("1", "1") PART("2", "262145"),         PART("1", "18446744073709551616"),
        PART("1", "-1"), PART("3", "262144") PART("9000", "262144"), "",
    };
    for (size_t i = 0; i < COUNT_OF(impossible); i++) {
        fail_first();
        parts_are_told_as(impossible[i]);
        EXPECT(ORBIT_E_PROTOCOL, send_file(&told));
        assert_non_null(strstr(told.message, "the store's list of parts makes no sense"));
        endpoint_control(&at.endpoint, "clear");
        OK(send_file(&told));
        whole("resumed", 1, LARGE);
        endpoint_reset(&at.endpoint);
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        fail_first();
        parts_are_told_as(others[i]);
        OK(send_file(&told));
        endpoint_control(&at.endpoint, "clear");
        whole("resumed", 1, LARGE);
        endpoint_reset(&at.endpoint);
    }
}

static void second_writer_of_the_same_upload_hears_that_it_is_in_use(void **state)
{
    (void)state;
    orbit_write_options options = kept();
    orbit_task *first = NULL;
    endpoint_control(&at.endpoint, "set?bandwidth=%u", CHUNK);
    OK(orbit_write_start(&first, at.store, "key", orbit_source_path(file), ORBIT_SIZE_UNKNOWN, &options, NULL, NULL,
                         NULL, &told));
    while (COUNT("requests.CreateMultipartUpload") < 1)
        usleep(2000);
    EXPECT(ORBIT_E_BUSY, send_file(&told));
    assert_non_null(strstr(told.message, "under way already"));
    endpoint_control(&at.endpoint, "set?bandwidth=0");
    OK(orbit_task_wait(first, &told));
    orbit_task_free(first);
    whole("first", 1, LARGE);
}

static void thousands_of_parts_are_listed_page_by_page(void **state)
{
    enum { MANY = 1300, SMALL = 64 << 10 };
    (void)state;
    orbit_write_options options = kept();
    options.chunk_size = SMALL;
    options.parallel_operations = 8;
    write_file(file, (size_t)MANY * SMALL, 4);
    FAULT("op=UploadPart&part=%u&status=500", MANY - 50);
    memset(&told, 0, sizeof(told));
    assert_true(send_with(&options, &told) < 0);
    endpoint_control(&at.endpoint, "clear");
    OK(send_with(&options, &told));
    assert_int_equal(parts_sent(), MANY);
    assert_true(COUNT("requests.ListParts") >= 2);
    whole("resumed", 4, (size_t)MANY * SMALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESUME_TEST(upload_that_failed_goes_on_with_what_is_missing),
        RESUME_TEST(another_client_goes_on_too_and_journals_are_the_users_own),
        RESUME_TEST(file_that_changed_is_uploaded_anew),
        RESUME_TEST(other_options_begin_anew),
        RESUME_TEST(upload_that_the_store_forgot_begins_anew),
        RESUME_TEST(finish_whose_end_was_never_heard_is_found_done),
        RESUME_TEST(part_that_only_the_store_knows_is_sent_again),
        RESUME_TEST(journal_that_is_rubbish_is_replaced),
        RESUME_TEST(write_goes_on_where_no_journal_can_be_kept),
        RESUME_TEST(failure_that_another_try_would_meet_too_aborts),
        RESUME_TEST(single_puts_keep_no_journal),
        RESUME_TEST(other_targets_and_sources_have_journals_of_their_own),
        RESUME_TEST(upload_that_is_asked_for_and_not_there_is_an_error),
        RESUME_TEST(list_of_parts_that_fails_leaves_all_for_later),
        RESUME_TEST(list_of_parts_that_is_odd_spoils_nothing),
        RESUME_TEST(second_writer_of_the_same_upload_hears_that_it_is_in_use),
        RESUME_TEST(thousands_of_parts_are_listed_page_by_page),
    };
    return cmocka_run_group_tests_name("s3_upload_resume", tests, s3fault_group_setup, s3fault_group_teardown);
}
