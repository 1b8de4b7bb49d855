/* SPDX-License-Identifier: Apache-2.0
 * Starting a program, without a shell and without anything process-wide: no SIGCHLD handler, no fork handlers, no
 * copy of the program's pages. Who starts one waits for it, too. Any thread; it returns when the program runs. */
#ifndef ORB_RUN_CHILD_H
#define ORB_RUN_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

enum orb_child_place {
    ORB_CHILD_GROUP = 0, /* a process group of its own, so that kill(-pid) reaches what it starts */
    ORB_CHILD_SESSION,   /* a session of its own: a group, and no terminal to ask at */
};

struct orb_child_plan {
    char *const *words;        /* NULL-terminated; the first is looked for in PATH when it has no slash */
    char *const *environment;  /* NULL-terminated; NULL: the process's own */
    int input, output, errors; /* become its 0, 1 and 2; -1: /dev/null. They stay open here, no other is inherited */
    enum orb_child_place place;
    /* Sent to it when the *thread* that started it ends, so also when this process is killed; 0: nothing. */
    int death_signal;
};

/* An errno, 0: it runs. It has no signal mask and no handlers of ours. `pidfd` is nullable; close-on-exec; readable
 * when the program has ended. Where the kernel has none (before 5.3, and under valgrind) it is a pipe's end, readable
 * when what the program started and left behind has ended, too. */
int orb_child_start(const struct orb_child_plan *plan, pid_t *pid, int *pidfd);
/* Sends a signal to one that was started so and not waited for yet. */
void orb_child_signal(pid_t pid, int pidfd, int number);

#endif
