/* SPDX-License-Identifier: Apache-2.0
 * An SFTP server that a command line starts here, on a socketpair: another way to the server than ssh, as sftp's -D.
 * One process a channel. It ends with its stream. Loop thread only. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/sftp/sftp.h"
#include "base/mem.h"
#include "run/child.h"
#include "run/watch.h"

struct sftp_command {
    pid_t pid;
    int pidfd;
    struct orb_watch *watch;
    void (*ended)(void *ctx);
    void *ctx;
};

static void on_exit_seen(void *ctx, int events)
{
    struct sftp_command *command = ctx;
    void (*ended)(void *) = command->ended;
    void *ended_ctx = command->ctx;
    (void)events;
    orb_watch_stop(command->watch);
    while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void)close(command->pidfd);
    orb_free(command);
    ended(ended_ctx);
}

static int run(struct sftp_command *command, const char *line, int fd)
{
    char *words[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)line, NULL};
    struct orb_child_plan plan = {.words = words,
                                  .input = fd,
                                  .output = fd,
                                  .errors = STDERR_FILENO,
                                  .place = ORB_CHILD_GROUP,
                                  .death_signal = SIGTERM};
    return orb_child_start(&plan, &command->pid, &command->pidfd);
}

struct sftp_command *sftp_command_start(struct sftp_store *store, const char *command_line, int *fd,
                                        void (*ended)(void *ctx), void *ctx, orbit_error *error)
{
    int pair[2] = {-1, -1};
    struct sftp_command *command = orb_calloc(1, sizeof(*command));
    if (!command) {
        orb_fail_memory(error);
        return NULL;
    }
    command->ended = ended;
    command->ctx = ctx;
    int number = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : errno;
    if (number == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0)
        number = errno;
    if (number == 0)
        number = run(command, command_line, pair[1]);
    if (pair[1] >= 0)
        (void)close(pair[1]);
    if (number == 0) {
        command->watch = orb_watch_start(store->host->loop, command->pidfd, UV_READABLE, on_exit_seen, command);
        if (command->watch) {
            *fd = pair[0];
            return command;
        }
        (void)kill(-command->pid, SIGKILL);
        (void)waitpid(command->pid, NULL, 0);
        (void)close(command->pidfd);
        number = ENOMEM;
    }
    if (pair[0] >= 0)
        (void)close(pair[0]);
    orb_free(command);
    orb_fail_errno(error, number, "cannot start the SFTP server '%.100s'", command_line);
    return NULL;
}
