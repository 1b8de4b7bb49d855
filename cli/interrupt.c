/* SPDX-License-Identifier: Apache-2.0
 * The signal handler; what it touches is async-signal-safe. */
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static orbit_cancel *volatile token;
static atomic_int caught; /* lock-free, so the handler may; other threads read it */
static int wake_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    if (atomic_exchange(&caught, number))
        _exit(128 + number);
    int before = errno;
    ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
    if (token)
        orbit_cancel_fire(token);
    errno = before;
}

void interrupt_install(orbit_cancel *cancel)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {0};

    token = cancel;
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        wake_pipe[0] = wake_pipe[1] = -1;
    action.sa_handler = on_signal; /* no SA_RESTART: a read or write that waits must come back */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        /* What nohup or a background shell ignores stays ignored. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN)
            continue;
        sigaction(numbers[i], &action, NULL);
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

void interrupt_forget(void)
{
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, &before); /* the handler must not be in the middle of firing it */
    token = NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int interrupt_signal(void)
{
    return atomic_load(&caught);
}

int interrupt_fd(void)
{
    return wake_pipe[0];
}
