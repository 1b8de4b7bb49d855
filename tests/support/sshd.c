/* SPDX-License-Identifier: Apache-2.0
 * Reads what a fixture wrote; starts and ends the proxy. */
#include "support/sshd.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what, const char *which)
{
    fprintf(stderr, "%s %s\n", what, which);
    exit(99);
}

static void take(char *to, size_t room, const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) == 0 && line[length] == '=')
        (void)snprintf(to, room, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
}

void sshd_of_fixture(struct sshd *sshd, const char *fixture)
{
    char path[1024], line[1024], port[16] = "";
    (void)snprintf(path, sizeof path, "%s/%s/env", ENV_DIR, fixture);
    FILE *file = fopen(path, "r");
    memset(sshd, 0, sizeof *sshd);
    while (file && fgets(line, sizeof line, file)) {
        take(port, sizeof port, line, "ORBIT_TEST_SSH_PORT");
        take(sshd->user, sizeof sshd->user, line, "ORBIT_TEST_SSH_USER");
        take(sshd->config, sizeof sshd->config, line, "ORBIT_TEST_SSH_CONFIG");
        take(sshd->files, sizeof sshd->files, line, "ORBIT_TEST_SSH_FILES");
        take(sshd->here, sizeof sshd->here, line, "ORBIT_TEST_SSH_HERE");
        take(sshd->password, sizeof sshd->password, line, "ORBIT_TEST_SSH_PASSWORD");
    }
    if (file)
        (void)fclose(file);
    sshd->port = (int)strtol(port, NULL, 10);
    if (!sshd->port)
        die("run by ctest, which starts the server:", path);
}

void delay_start(struct delay *delay, int port, unsigned ms, unsigned long long cut_bytes, unsigned cuts)
{
    char to[16], far[16], cut[32], times[16], line[16] = "";
    char *words[] = {(char *)DELAY_PROGRAM, "--to", to, "--ms", far, "--cut", cut, "--cuts", times, NULL};
    int ends[2];
    posix_spawn_file_actions_t files;
    (void)snprintf(to, sizeof to, "%d", port);
    (void)snprintf(far, sizeof far, "%u", ms);
    (void)snprintf(cut, sizeof cut, "%llu", cut_bytes);
    (void)snprintf(times, sizeof times, "%u", cuts);
    posix_spawn_file_actions_init(&files);
    if (pipe(ends) != 0)
        die("no pipe for", DELAY_PROGRAM);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    posix_spawn_file_actions_addclose(&files, ends[0]);
    posix_spawn_file_actions_addclose(&files, ends[1]);
    if (posix_spawn(&delay->pid, DELAY_PROGRAM, &files, NULL, words, environ) != 0)
        die("cannot run", DELAY_PROGRAM);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (read(ends[0], line, sizeof line - 1) <= 0 || (delay->port = (int)strtol(line, NULL, 10)) == 0)
        die("no port from", DELAY_PROGRAM);
    close(ends[0]);
}

void delay_reset(const struct delay *delay)
{
    (void)kill(delay->pid, SIGUSR1);
}

void delay_stop(struct delay *delay)
{
    (void)kill(delay->pid, SIGTERM);
    (void)waitpid(delay->pid, NULL, 0);
}
