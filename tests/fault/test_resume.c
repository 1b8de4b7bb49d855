/* SPDX-License-Identifier: Apache-2.0
 * Downloads that do not come to their end, and go on: cut off, cancelled, killed, tampered with. What was fetched
 * twice is counted at the endpoint. */
#include "s3fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

static char directory[64], target[96];
static unsigned luck = 1;

static int setup(void **state)
{
    snprintf(directory, sizeof(directory), "/tmp/orbit-resume-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(target, sizeof(target), "%s/file", directory);
    if (s3fault_setup(state) != 0)
        return -1;
    at.options.chunk_size = 0;
    at.options.parallel_operations = 0;
    at.options.retry_attempts = 1;
    at.options.stall_timeout_ms = at.options.first_byte_timeout_ms = 0;
    s3fault_reopen();
    return 0;
}

static unsigned names(const char *like)
{
    unsigned count = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strstr(entry->d_name, like) != NULL;
    closedir(dir);
    return count;
}

/* The path of the one file whose name contains `like`, or of the temporary ("": none). */
static char *path_of(const char *like, char path[400])
{
    path[0] = '\0';
    DIR *dir = opendir(directory);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strstr(entry->d_name, like) && !(strcmp(like, ".orbit-") == 0 && strstr(entry->d_name, ".journal")))
            snprintf(path, 400, "%s/%s", directory, entry->d_name);
    closedir(dir);
    return path;
}

static int teardown(void **state)
{
    char command[128];
    s3fault_teardown(state);
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

static void sleep_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void assert_whole(const char *key, uint64_t size)
{
    static uint8_t got[1 << 20], expected[1 << 20];
    struct stat stat_of;
    int fd = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat_of), 0);
    assert_int_equal(stat_of.st_size, size);
    for (uint64_t offset = 0; offset < size; offset += sizeof(got)) {
        size_t length = size - offset < sizeof(got) ? (size_t)(size - offset) : sizeof(got);
        assert_int_equal(pread(fd, got, length, (off_t)offset), length);
        endpoint_pattern(key, offset, expected, length);
        assert_memory_equal(got, expected, length);
    }
    close(fd);
}

/* Without options: no range is asked for twice because it is slow, so that bytes can be counted. */
static orbit_status download(const char *key, const orbit_download_options *options, orbit_download_result *result)
{
    orbit_download_options plain = ORBIT_DOWNLOAD_OPTIONS_INIT;
    plain.no_hedge = true;
    if (!options)
        options = &plain;
    *result = (orbit_download_result)ORBIT_DOWNLOAD_RESULT_INIT;
    memset(&told, 0, sizeof(told));
    return orbit_download(at.store, key, target, options, result, &told);
}

/* Breaks off after roughly `sent` bytes of an object. */
static void break_off(const char *key, const char *rule)
{
    orbit_download_result result;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.no_hedge = true; /* a range asked for twice could be saved */
    options.chunk_size = 4 * MIB;
    options.parallel_operations = 2; /* ranges of a known length, whatever the machine's speed */
    endpoint_control(&at.endpoint, "fault?%s", rule);
    assert_true(download(key, &options, &result) < 0);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(access(target, F_OK), -1);
}

#define CUT "op=GetObject&nth=2&cut=3M" /* the second range breaks off in its middle */

/* Bytes that were asked for since the source was looked at for the last time. */
static uint64_t bytes_asked_for(void)
{
    struct endpoint_request request, look = {0};
    uint64_t bytes = 0;
    for (unsigned n = 0; endpoint_request(&at.endpoint, "HeadObject", n, &request); n++)
        look = request;
    for (unsigned n = 0; endpoint_request(&at.endpoint, "GetObject", n, &request); n++) {
        unsigned long long first, last;
        if (request.at_ms < look.at_ms)
            continue;
        assert_int_equal(sscanf(request.range, "bytes=%llu-%llu", &first, &last), 2);
        bytes += last - first + 1;
    }
    return bytes;
}

static void interrupted_download_goes_on_inside_a_range(void **state)
{
    (void)state;
    orbit_download_result result;
    break_off("gen-64M", CUT);
    assert_int_equal(names(".journal"), 1);
    assert_int_equal(names(".orbit-"), 2);
    sleep_ms(5); /* the endpoint's log counts milliseconds */
    assert_int_equal(download("gen-64M", NULL, &result), ORBIT_OK);
    assert_whole("gen-64M", 64 * MIB);
    assert_int_equal(result.bytes, 64 * MIB);
    assert_true(result.bytes_resumed >= 3 * MIB);
    assert_true(result.verified);
    assert_false(result.started_over);
    assert_int_equal(bytes_asked_for(), 64 * MIB - result.bytes_resumed);
    assert_int_equal(names(""), 3); /* the file, and the dots */
    orbit_download_result_release(&result);
}

static void without_resume_nothing_stays(void **state)
{
    (void)state;
    orbit_download_result result;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.resume = false;
    options.no_hedge = true;
    options.chunk_size = 4 * MIB;
    options.parallel_operations = 2;
    FAULT(CUT);
    assert_true(download("gen-64M", &options, &result) < 0);
    assert_int_equal(names(""), 2);
    endpoint_control(&at.endpoint, "clear");
    break_off("gen-64M", CUT);
    assert_int_equal(names(".journal"), 1);
    assert_int_equal(download("gen-64M", &options, &result), ORBIT_OK);
    assert_int_equal(result.bytes_resumed, 0);
    assert_whole("gen-64M", 64 * MIB);
    assert_int_equal(names(""), 3);
    orbit_download_result_release(&result);
}

static void small_object_keeps_no_journal(void **state)
{
    (void)state;
    break_off("gen-15M", "op=GetObject&nth=2&cut=1M");
    assert_int_equal(names(""), 2);
}

static void changed_object_starts_over_and_says_so(void **state)
{
    (void)state;
    orbit_download_result result;
    break_off("gen-33M", CUT);
    endpoint_control(&at.endpoint, "change?bucket=bucket&key=gen-33M");
    OK(download("gen-33M", NULL, &result));
    assert_true(result.verified);
    assert_int_equal(result.bytes_resumed, 0);
    assert_true(result.started_over);
    assert_int_equal(names(""), 3);
    orbit_download_result_release(&result);
}

static void journal_of_another_object_is_not_used(void **state)
{
    (void)state;
    orbit_download_result result;
    break_off("gen-64M", CUT);
    assert_int_equal(download("gen-65M", NULL, &result), ORBIT_OK);
    assert_int_equal(result.bytes_resumed, 0);
    assert_whole("gen-65M", 65 * MIB);
    orbit_download_result_release(&result);
}

/* Whatever a journal's bytes have become: the result is right. */
static void damaged_journal_never_damages_the_file(void **state)
{
    (void)state;
    orbit_download_result result;
    for (unsigned round = 0; round < 12; round++) {
        char path[400];
        struct stat stat_of;
        break_off("gen-24M", "op=GetObject&nth=2&cut=3M");
        path_of(".journal", path);
        assert_int_equal(stat(path, &stat_of), 0);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t byte = 0;
        off_t place = round == 0 ? 3 : (off_t)((unsigned)rand_r(&luck) % (unsigned)stat_of.st_size);
        if (round % 3 == 2) {
            assert_int_equal(ftruncate(fd, place), 0);
        } else {
            assert_int_equal(pread(fd, &byte, 1, place), 1);
            byte ^= (uint8_t)(1u << (round % 8));
            assert_int_equal(pwrite(fd, &byte, 1, place), 1);
        }
        close(fd);
        assert_int_equal(download("gen-24M", NULL, &result), ORBIT_OK);
        assert_whole("gen-24M", 24 * MIB);
        assert_int_equal(names(""), 3);
        orbit_download_result_release(&result);
        unlink(target);
    }
}

static void partial_file_that_was_cut_or_grew_is_no_danger(void **state)
{
    (void)state;
    orbit_download_result result;
    char path[400];
    for (unsigned round = 0; round < 2; round++) {
        break_off("gen-64M", CUT);
        assert_int_equal(truncate(path_of(".orbit-", path), round ? 100 * (off_t)MIB : 1000), 0);
        assert_int_equal(download("gen-64M", NULL, &result), ORBIT_OK);
        assert_true(round ? result.bytes_resumed > 0 : result.bytes_resumed <= 1000);
        assert_whole("gen-64M", 64 * MIB);
        orbit_download_result_release(&result);
        unlink(target);
    }
}

/* A partial file that somebody wrote to: full verification reads it again, and does not keep it. */
static void full_verification_finds_what_was_changed_on_disk(void **state)
{
    (void)state;
    orbit_download_result result;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    char path[400];
    options.verify = ORBIT_VERIFY_FULL;
    break_off("gen-64M", CUT);
    int fd = open(path_of(".orbit-", path), O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "tampered", 8, 5), 8);
    close(fd);
    assert_int_equal(download("gen-64M", &options, &result), ORBIT_E_CHECKSUM);
    assert_int_equal(names(""), 2);
    assert_int_equal(download("gen-64M", &options, &result), ORBIT_OK);
    assert_whole("gen-64M", 64 * MIB);
    orbit_download_result_release(&result);
}

static void partial_file_in_use_is_told(void **state)
{
    (void)state;
    orbit_download_result result;
    char path[400];
    break_off("gen-64M", CUT);
    int fd = open(path_of(".orbit-", path), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(download("gen-64M", NULL, &result), ORBIT_E_BUSY);
    close(fd);
    assert_int_equal(download("gen-64M", NULL, &result), ORBIT_OK);
    assert_true(result.bytes_resumed > 0);
    assert_whole("gen-64M", 64 * MIB);
    orbit_download_result_release(&result);
}

/* A file-size limit is a disk that is full. */
static void full_disk_keeps_what_was_written(void **state)
{
    (void)state;
    orbit_download_result result;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 20 * MIB;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    orbit_status status = download("gen-64M", NULL, &result);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(status < 0);
    assert_int_equal(download("gen-64M", NULL, &result), ORBIT_OK);
    assert_true(result.bytes_resumed > 0);
    assert_whole("gen-64M", 64 * MIB);
    orbit_download_result_release(&result);
}

static void without_overwriting_it_resumes_as_well(void **state)
{
    (void)state;
    orbit_download_result result;
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.overwrite = false;
    options.no_hedge = true; /* a range asked for twice could be saved */
    options.chunk_size = 4 * MIB;
    FAULT(CUT);
    assert_true(download("gen-64M", &options, &result) < 0);
    endpoint_control(&at.endpoint, "clear");
    assert_int_equal(download("gen-64M", &options, &result), ORBIT_OK);
    assert_true(result.bytes_resumed > 0);
    assert_whole("gen-64M", 64 * MIB);
    orbit_download_result_release(&result);
    assert_int_equal(download("gen-64M", &options, &result), ORBIT_E_EXISTS);
    assert_int_equal(names(""), 3);
}

/* ---- kill -9 --------------------------------------------------------------------------------------------- */

static pid_t start_command(const char *key)
{
    char from[160];
    snprintf(from, sizeof(from), "s3://bucket/%s", key);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("AWS_ACCESS_KEY_ID", ENDPOINT_ACCESS, 1);
        setenv("AWS_SECRET_ACCESS_KEY", ENDPOINT_SECRET, 1);
        setenv("AWS_REGION", "us-east-1", 1);
        execl(ORBIT_COMMAND, ORBIT_COMMAND, "--endpoint-url", at.endpoint.url, "-q", "--no-hedge", "cp", "-c", "2",
              from, target, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static void killed_at_random_moments_fetches_hardly_anything_twice(void **state)
{
    (void)state;
    enum { KILLS = 20, SIZE_MIB = 768 };
    unsigned kills = 0;
    int status = -1;
    endpoint_control(&at.endpoint, "set?bandwidth=8M"); /* a connection */
    for (unsigned i = 0; i < 500; i++) {
        pid_t pid = start_command("gen-768M");
        if (kills < KILLS) {
            sleep_ms(60 + (unsigned)rand_r(&luck) % 200);
            kill(pid, SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
            break;
        assert_int_equal(access(target, F_OK), -1); /* no name ever shows a part */
        kills++;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    double ratio = (double)COUNT("sent") / (double)(SIZE_MIB * MIB);
    print_message("             %u kills, %.4f times the bytes\n", kills, ratio);
    assert_int_equal(kills, KILLS);
    assert_whole("gen-768M", SIZE_MIB * MIB);
    assert_true(ratio <= 1.05);
    assert_int_equal(names(""), 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(interrupted_download_goes_on_inside_a_range),
        TEST(without_resume_nothing_stays),
        TEST(small_object_keeps_no_journal),
        TEST(changed_object_starts_over_and_says_so),
        TEST(journal_of_another_object_is_not_used),
        TEST(damaged_journal_never_damages_the_file),
        TEST(partial_file_that_was_cut_or_grew_is_no_danger),
        TEST(full_verification_finds_what_was_changed_on_disk),
        TEST(partial_file_in_use_is_told),
        TEST(full_disk_keeps_what_was_written),
        TEST(without_overwriting_it_resumes_as_well),
        TEST(killed_at_random_moments_fetches_hardly_anything_twice),
    };
#undef TEST
    return cmocka_run_group_tests_name("resume", tests, s3fault_group_setup, s3fault_group_teardown);
}
