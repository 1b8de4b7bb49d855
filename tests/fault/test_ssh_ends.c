/* SPDX-License-Identifier: Apache-2.0
 * How connections by the system's ssh end, at whatever time and by whosever doing, and that nothing is left of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssh_site.h"
#include "support/descriptors.h"

/* ---- what is left behind ---- */

static void thousand_sessions_leave_nothing(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    pid_t pid;
    unsigned before = open_descriptors();
    sshd_of_fixture(&sshd, "sshd");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    assert_true(speaks_sftp(site_begin(&site, 0)));
    unsigned standing = open_descriptors();
    for (unsigned i = 0; i < 1000; i++) {
        struct session *session = site_begin(&site, 1);
        assert_true(session->fd >= 0);
        if (i % 2) { /* from our side, and from its own */
            site_run(&site, site_stop, 1);
            site_wait_for(&site, &session->ended);
            assert_int_equal(session->error.status, ORBIT_E_CANCELLED);
            close(session->fd);
            session->fd = -1;
        } else {
            end_well(session);
        }
    }
    assert_int_equal(site_children(&pid), 1);
    assert_int_equal(open_descriptors(), standing);
    site_close(&site);
    nothing_is_left(before);
}

static void connections_that_are_dropped_at_any_time_leave_nothing(void **state)
{
    (void)state;
    struct sshd sshd;
    unsigned before = open_descriptors();
    sshd_of_fixture(&sshd, "sshd");
    for (unsigned i = 0; i < 20; i++) {
        struct site site;
        site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
        site_run(&site, site_start, 0);
        struct timespec nap = {0, (long)i * 8000000};
        nanosleep(&nap, NULL);
        if (i % 3 == 0)
            site_run(&site, site_stop, 0);
        site_close(&site);
        assert_true(site.sessions[0].ended);
        assert_int_equal(site.sessions[0].error.status, ORBIT_E_CANCELLED);
        nothing_is_left(before);
    }
}

static void lost_connection_ends_its_sessions_and_the_next_one_connects_anew(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    struct delay delay;
    sshd_of_fixture(&sshd, "sshd");
    delay_start(&delay, sshd.port, 1, 0, 0);
    char port[32];
    (void)snprintf(port, sizeof port, "HostKeyAlias=[127.0.0.1]:%d", sshd.port);
    const char *const options[] = {port, NULL};
    site_open(&site, (struct orb_ssh_settings){.host = "direct", .port = (unsigned)delay.port, .options = options},
              &sshd);
    struct session *one = site_begin(&site, 0), *two = site_begin(&site, 1);
    assert_true(speaks_sftp(one) && speaks_sftp(two));
    site_run(&site, site_spoke, 0);
    site_run(&site, site_spoke, 1);
    delay_reset(&delay);
    site_wait_for(&site, &one->ended);
    site_wait_for(&site, &two->ended);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(site.sessions[i].error.status, ORBIT_E_NETWORK);
        assert_true(orbit_error_retriable(&site.sessions[i].error));
        close(site.sessions[i].fd);
    }
    assert_true(speaks_sftp(site_begin(&site, 0)));
    assert_true(speaks_sftp(site_begin(&site, 1)));
    site_close(&site);
    delay_stop(&delay);
}

/* ssh removes its socket some time before it has ended. */
static void session_that_is_asked_for_while_ssh_ends_is_lost_with_it(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    char control[512] = "";
    pid_t ssh;
    sshd_of_fixture(&sshd, "sshd");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    assert_true(speaks_sftp(site_begin(&site, 0)));
    site_run(&site, site_spoke, 0);
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    DIR *dir = opendir(base);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, "orbit-ssh-", 10) == 0)
            (void)snprintf(control, sizeof control, "%s/%s/c", base, entry->d_name);
    closedir(dir);
    assert_int_equal(unlink(control), 0);
    site_run(&site, site_start, 1);
    assert_int_equal(site_children(&ssh), 1);
    assert_int_equal(kill(ssh, SIGTERM), 0);
    for (unsigned i = 0; i < 2; i++) {
        site_wait_for(&site, &site.sessions[i].ended);
        assert_int_equal(site.sessions[i].error.status, ORBIT_E_NETWORK);
        assert_true(orbit_error_retriable(&site.sessions[i].error));
    }
    close(site.sessions[0].fd);
    assert_true(speaks_sftp(site_begin(&site, 0)));
    site_close(&site);
}

/* ---- death with the client ---- */

/* Not ssh that is asked for its configuration, nor a child that is not ssh yet: "ssh\0-N\0…". */
static bool is_connection(pid_t pid)
{
    char path[64], words[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(words, 1, sizeof words - 1, file) : 0;
    if (file)
        (void)fclose(file);
    size_t program = strlen(words) + 1;
    return program < length && strcmp(words + program, "-N") == 0;
}

/* The client of the test below: connects, tells its ssh's pid, stands still. */
_Noreturn static void hold(const char *fixture, const char *host, bool until_ready)
{
    struct sshd sshd;
    static struct site site;
    pid_t pid = 0;
    sshd_of_fixture(&sshd, fixture);
    site_open(&site, (struct orb_ssh_settings){.host = host}, &sshd);
    site_run(&site, site_start, 0);
    if (until_ready)
        site_wait_for(&site, &site.sessions[0].ready);
    while (site_children(&pid) != 1 || !is_connection(pid))
        usleep(1000);
    printf("%d\n", (int)pid);
    (void)fflush(stdout);
    for (;;)
        pause();
}

static char *self;

static void ssh_dies_with_its_client(const char *fixture, const char *host, const char *how)
{
    char *words[] = {self, "hold", (char *)fixture, (char *)host, (char *)how, NULL};
    char line[32] = "";
    pid_t client, ssh;
    int ends[2];
    posix_spawn_file_actions_t files;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    assert_int_equal(posix_spawn(&client, self, &files, NULL, words, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    ssh = (pid_t)strtol(line, NULL, 10);
    assert_true(ssh > 0);
    assert_int_equal(kill(client, SIGKILL), 0);
    assert_int_equal(waitpid(client, NULL, 0), client);
    assert_int_equal(waitpid(ssh, NULL, 0), ssh); /* it is ours now; it ends, or the test's time does */
    close(ends[0]);
}

static void client_that_is_killed_takes_ssh_with_it(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ssh_dies_with_its_client("sshd", "direct", "ready");
    ssh_dies_with_its_client("sshd_slow", "direct", "early");
    while (waitpid(-1, NULL, 0) > 0)
        ;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    /* What the killed could not remove. */
    const char *base = getenv("TMPDIR");
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'/orbit-ssh-*", base);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 5 && !strcmp(argv[1], "hold")) {
        unsetenv("XDG_RUNTIME_DIR");
        hold(argv[2], argv[3], !strcmp(argv[4], "ready"));
    }
    if (!site_enter())
        return 99;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousand_sessions_leave_nothing),
        cmocka_unit_test(connections_that_are_dropped_at_any_time_leave_nothing),
        cmocka_unit_test(lost_connection_ends_its_sessions_and_the_next_one_connects_anew),
        cmocka_unit_test(session_that_is_asked_for_while_ssh_ends_is_lost_with_it),
        cmocka_unit_test(client_that_is_killed_takes_ssh_with_it),
    };
    return site_leave(cmocka_run_group_tests(tests, site_warm_up, NULL));
}
