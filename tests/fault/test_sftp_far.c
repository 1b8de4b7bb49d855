/* SPDX-License-Identifier: Apache-2.0
 * SFTP to a server that is 20 ms away: what is opened before it is asked for, and what becomes of a copy whose size was
 * said wrongly before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orbit/orbit.h>

#include "support/sshd.h"

enum {
    LENGTH = 3000000,
    LARGE = 40 << 20,
    MORE = 6 /* channels than the first and the one that comes with it; on a slow machine another one does */
};

static struct sshd sshd;
static struct delay delay;
static orbit_client *client;
static orbit_backend *store, *local;
static char here[64], there[600];
static orbit_error error;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* By what the log says: channels that were opened ahead; all that stand; copies that began with what was said of their
 * source; those of which that was not true. */
static unsigned ahead, open_channels, presumed, mistaken;

#define OK(call)                                                       \
    do {                                                               \
        orbit_status status_ = (call);                                 \
        if (status_ != ORBIT_OK)                                       \
            fail_msg("%s: %d %s", #call, (int)status_, error.message); \
    } while (0)

static unsigned seen(const unsigned *count)
{
    pthread_mutex_lock(&mutex);
    unsigned now = *count;
    pthread_mutex_unlock(&mutex);
    return now;
}

static void on_log(void *ctx, orbit_log_level level, const char *line)
{
    unsigned count = 0;
    (void)ctx;
    (void)level;
    const char *at = strstr(line, "sftp: ");
    pthread_mutex_lock(&mutex);
    if (at && strstr(at, "more channels to 'direct' ahead") && sscanf(at, "sftp: %u", &count) == 1)
        ahead += count;
    open_channels += at && strstr(at, "is open");
    presumed += strstr(line, "is taken for what was said of it") != NULL;
    mistaken += strstr(line, "is not what was said of it") != NULL;
    pthread_mutex_unlock(&mutex);
}

static void open_store(const char *fixture, unsigned ms)
{
    char url[700], alias[64];
    orbit_client_options client_options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_open_options options = ORBIT_OPEN_OPTIONS_INIT;
    sshd_of_fixture(&sshd, fixture);
    delay_start(&delay, sshd.port, ms, 0, 0);
    (void)snprintf(there, sizeof(there), "%s/far-%d", sshd.here, (int)getpid());
    assert_int_equal(mkdir(there, 0777), 0);
    (void)snprintf(alias, sizeof(alias), "HostKeyAlias=[127.0.0.1]:%d", sshd.port);
    (void)snprintf(url, sizeof(url), "sftp://direct:%d%s/far-%d", delay.port, sshd.files, (int)getpid());
    const orbit_pair settings[] = {{"config_file", sshd.config}, {"option", alias}};
    options.settings = settings;
    options.setting_count = 2;
    client_options.log = (orbit_log){on_log, NULL, ORBIT_LOG_DEBUG};
    OK(orbit_client_open(&client, &client_options, &error));
    OK(orbit_open(&store, client, url, &options, &error));
    (void)snprintf(url, sizeof(url), "file://%s", here);
    OK(orbit_open(&local, client, url, NULL, &error));
    pthread_mutex_lock(&mutex);
    ahead = open_channels = presumed = mistaken = 0;
    pthread_mutex_unlock(&mutex);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(here, sizeof(here), "/tmp/orbit-sftp-far-XXXXXX");
    return mkdtemp(here) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[800];
    (void)state;
    orbit_backend_close(local);
    orbit_backend_close(store);
    orbit_client_close(client);
    delay_stop(&delay);
    (void)snprintf(command, sizeof(command), "rm -rf %s %s", here, there);
    return system(command);
}

static void path_of(char *path, size_t room, const char *directory, const char *name)
{
    (void)snprintf(path, room, "%s/%s", directory, name);
}

/* Of a pattern up to LENGTH, then of nothing. */
static void make(const char *directory, const char *name, off_t length)
{
    static uint8_t bytes[LENGTH];
    char path[700];
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    path_of(path, sizeof(path), directory, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    assert_true(fd >= 0);
    size_t filled = length < LENGTH ? (size_t)length : LENGTH;
    assert_int_equal(write(fd, bytes, filled), filled);
    assert_int_equal(ftruncate(fd, length), 0);
    close(fd);
}

static void same(const char *name)
{
    char command[1500];
    (void)snprintf(command, sizeof(command), "cmp %s/%s %s/%s", here, name, there, name);
    assert_int_equal(system(command), 0);
}

static unsigned copied(orbit_backend *from, orbit_backend *to, const char *name, uint64_t said, uint32_t parallel)
{
    orbit_write_options write = ORBIT_WRITE_OPTIONS_INIT;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    write.parallel_operations = parallel;
    orbit_metadata hint = {.kind = ORBIT_KIND_FILE, .fields = ORBIT_HAS_SIZE, .size = said};
    copy.source_hint = said ? &hint : NULL;
    copy.write = &write;
    unsigned before = seen(&ahead);
    OK(orbit_copy(from, name, to, name, &copy, NULL, &error));
    same(name);
    return seen(&ahead) - before;
}

static void what_is_said_to_be_large_has_its_channels_ahead(void **state)
{
    (void)state;
    open_store("sshd", 10);
    make(there, "file", LENGTH);
    assert_int_equal(copied(store, local, "file", 0, 0), 0);
    assert_int_equal(copied(store, local, "file", LENGTH, 0), 0);
    assert_in_range(copied(store, local, "file", LARGE, 0), MORE - 1, MORE);
    assert_int_equal(copied(store, local, "file", LARGE, 0), 0); /* they are there */
}

static void large_upload_has_its_channels_ahead(void **state)
{
    (void)state;
    open_store("sshd", 10);
    make(here, "file", LARGE);
    assert_in_range(copied(local, store, "file", 0, 0), MORE - 1, MORE);
}

static void upload_that_wants_one_stream_has_no_channels_ahead(void **state)
{
    (void)state;
    open_store("sshd", 10);
    make(here, "file", LARGE);
    assert_int_equal(copied(local, store, "file", 0, 1), 0);
}

static void server_that_allows_one_session_is_used_with_one(void **state)
{
    (void)state;
    open_store("sshd_one", 10);
    make(here, "file", LARGE);
    assert_int_equal(copied(local, store, "file", 0, 0), 0); /* the second was refused, others were not asked for */
    assert_int_equal(seen(&open_channels), 1);
    make(there, "other", LARGE);
    assert_int_equal(copied(store, local, "other", LARGE, 0), 0);
}

static void size_that_was_said_wrongly_costs_nothing(void **state)
{
    static const off_t lengths[] = {0, 1, 100000, LENGTH};
    (void)state;
    open_store("sshd", 10);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        make(there, "file", lengths[i]);
        for (uint64_t said = 1; said < (uint64_t)LARGE * 4; said *= 30)
            (void)copied(store, local, "file", said, 0);
    }
}

static void first_session_brings_another_one(void **state)
{
    orbit_metadata metadata = {0};
    (void)state;
    open_store("sshd", 10);
    make(there, "file", 1);
    OK(orbit_stat(store, "file", NULL, &metadata, &error));
    for (int i = 0; i < 5000 && seen(&open_channels) < 2; i++)
        usleep(1000);
    assert_in_range(seen(&open_channels), 2, 3);
    assert_int_equal(seen(&ahead), 0);
}

static void server_that_may_mix_up_sessions_has_one(void **state)
{
    orbit_metadata metadata = {0};
    (void)state;
    open_store("sshd_proftpd", 10);
    make(there, "file", LARGE);
    for (int i = 0; i < 3; i++)
        OK(orbit_stat(store, "file", NULL, &metadata, &error));
    assert_int_equal(copied(store, local, "file", LARGE, 0), 0);
    assert_int_equal(seen(&open_channels), 1);
}

static void copy_with(const char *name, const orbit_metadata *said, bool preserve)
{
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    copy.source_hint = said;
    copy.preserve = preserve;
    pthread_mutex_lock(&mutex);
    presumed = mistaken = 0;
    pthread_mutex_unlock(&mutex);
    OK(orbit_copy(store, name, local, name, &copy, NULL, &error));
    same(name);
}

/* A large file far away, and what is said of it. */
static orbit_metadata far_file(void)
{
    orbit_metadata said = {0};
    open_store("sshd", 10);
    make(there, "file", LARGE);
    OK(orbit_stat(store, "file", NULL, &said, &error));
    return said;
}

static void large_file_that_was_listed_begins_in_all_its_ranges(void **state)
{
    (void)state;
    orbit_metadata said = far_file();
    copy_with("file", &said, false);
    assert_int_equal(seen(&presumed), 1);
    assert_int_equal(seen(&mistaken), 0);
    copy_with("file", &said, true); /* needs to know all of it */
    assert_int_equal(seen(&presumed), 0);
}

static void what_was_said_of_a_file_may_be_untrue(void **state)
{
    (void)state;
    orbit_metadata said = far_file();
    const orbit_metadata truth = said;
    said.mtime_ns -= 1000000000; /* it was replaced */
    copy_with("file", &said, false);
    assert_int_equal(seen(&presumed), 1);
    assert_int_equal(seen(&mistaken), 1);
    said = truth;
    said.size += 1000000; /* it was longer */
    copy_with("file", &said, false);
    assert_int_equal(seen(&mistaken), 1);
    said.size = (uint64_t)1 << 50;
    copy_with("file", &said, false);
    assert_int_equal(seen(&mistaken), 1);
    make(there, "file", LENGTH);
    copy_with("file", &truth, false);
    assert_int_equal(seen(&mistaken), 1);
    make(there, "file", 0);
    copy_with("file", &truth, false);
    assert_int_equal(seen(&mistaken), 1);
}

/* A handle of the one that was there is still open. */
static void replaced_file_is_read_as_it_is_now(void **state)
{
    char from[700], to[700];
    (void)state;
    orbit_metadata said = far_file();
    copy_with("file", &said, false);
    make(there, "other", LARGE + 1000);
    path_of(from, sizeof(from), there, "other");
    path_of(to, sizeof(to), there, "file");
    assert_int_equal(rename(from, to), 0);
    copy_with("file", &said, false);
    assert_int_equal(seen(&mistaken), 1);
}

static void what_goes_into_a_fifo_is_not_presumed(void **state)
{
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    char command[2000];
    (void)state;
    orbit_metadata said = far_file();
    said.size += 1;
    copy.source_hint = &said;
    (void)snprintf(command, sizeof(command), "mkfifo %s/fifo && (cat %s/fifo >%s/file &)", here, here, here);
    assert_int_equal(system(command), 0);
    OK(orbit_copy(store, "file", local, "fifo", &copy, NULL, &error));
    assert_int_equal(seen(&presumed), 0);
    (void)snprintf(command, sizeof(command), "cmp -s %s/file %s/file", here, there);
    for (int i = 0; i < 500 && system(command) != 0; i++)
        usleep(10000);
    same("file");
}

static void what_was_said_of_a_file_that_is_gone_does_not_help(void **state)
{
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    (void)state;
    orbit_metadata said = far_file();
    copy.source_hint = &said;
    assert_int_equal(orbit_copy(store, "other", local, "other", &copy, NULL, &error), ORBIT_E_NOT_FOUND);
    assert_int_equal(mkdir(strcat(there, "/directory"), 0777), 0);
    assert_int_equal(orbit_copy(store, "directory", local, "other", &copy, NULL, &error), ORBIT_E_PATH);
    assert_true(error.flags & ORBIT_ERROR_IS_DIRECTORY);
    *strrchr(there, '/') = '\0';
    char command[200];
    (void)snprintf(command, sizeof(command), "test -z \"$(ls -A %s)\"", here);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_is_said_to_be_large_has_its_channels_ahead),
        TEST(large_upload_has_its_channels_ahead),
        TEST(upload_that_wants_one_stream_has_no_channels_ahead),
        TEST(server_that_allows_one_session_is_used_with_one),
        TEST(size_that_was_said_wrongly_costs_nothing),
        TEST(first_session_brings_another_one),
        TEST(server_that_may_mix_up_sessions_has_one),
        TEST(large_file_that_was_listed_begins_in_all_its_ranges),
        TEST(what_was_said_of_a_file_may_be_untrue),
        TEST(what_was_said_of_a_file_that_is_gone_does_not_help),
        TEST(replaced_file_is_read_as_it_is_now),
        TEST(what_goes_into_a_fifo_is_not_presumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
