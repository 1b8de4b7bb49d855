/* SPDX-License-Identifier: Apache-2.0
 * maxrss [-t] FILE COMMAND…: runs the command and writes to FILE the most resident memory it had, in KiB. Ends as the
 * command did. Small itself, because what a process had before exec counts. -t: the processes that it starts,
 * too: what each that lives has had at most, added up, which is no less than what they have at once. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 64, LOOK_MS = 20 };

static pid_t seen[PROCESSES];
static int seen_count;

/* A number in a line of /proc/PID/status, or 0. */
static long status_of(const char *pid, const char *name)
{
    char path[64], line[256];
    long number = 0;
    (void)snprintf(path, sizeof path, "/proc/%.16s/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtol(line + strlen(name), NULL, 10);
    if (file)
        (void)fclose(file);
    return number;
}

static bool is_seen(pid_t pid)
{
    for (int i = 0; i < seen_count; i++)
        if (seen[i] == pid)
            return true;
    return false;
}

/* Finds what was started since. KiB: the most that each which is alive has had, added up. */
static long look(void)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    while (processes && (entry = readdir(processes))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && seen_count < PROCESSES && !is_seen(pid) && is_seen((pid_t)status_of(entry->d_name, "PPid:")))
            seen[seen_count++] = pid;
    }
    if (processes)
        (void)closedir(processes);
    long kib = 0;
    for (int i = 0; i < seen_count; i++) {
        char pid[16];
        (void)snprintf(pid, sizeof pid, "%d", (int)seen[i]);
        kib += status_of(pid, "VmHWM:");
    }
    return kib;
}

static int await(pid_t child, bool tree, long *kib)
{
    const struct timespec nap = {0, LOOK_MS * 1000000L};
    struct rusage usage;
    int status = 0;
    pid_t ended;
    seen[seen_count++] = child;
    while ((ended = wait4(child, &status, tree ? WNOHANG : 0, &usage)) == 0) {
        long now = look();
        *kib = now > *kib ? now : *kib;
        (void)nanosleep(&nap, NULL);
    }
    if (!tree) /* of a tree it would count the children again */
        *kib = usage.ru_maxrss;
    return ended == child ? status : -1;
}

int main(int argc, char **argv)
{
    long kib = 0;
    bool tree = argc > 1 && strcmp(argv[1], "-t") == 0;
    char **words = argv + tree;
    if (argc - tree < 3)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        execvp(words[2], words + 2);
        _exit(127);
    }
    int status = child < 0 ? -1 : await(child, tree, &kib);
    if (status < 0)
        return 126;
    FILE *file = fopen(words[1], "w");
    if (!file || fprintf(file, "%ld\n", kib) < 0 || fclose(file) != 0)
        return 125;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
