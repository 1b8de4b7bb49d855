/* SPDX-License-Identifier: Apache-2.0
 * vfork() and exec, because posix_spawn cannot set a death signal, nor let go of every descriptor. The child borrows
 * our memory and our stack until it is another program: between the two there is nothing but system calls, not even
 * libc's own wrappers, which may be a sanitizer's and would note what the child does as if we had done it. Any thread.
 * */
#include "run/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 64, STANDARD = 3 };

struct start {
    const struct orb_child_plan *plan;
    char *const *environment;
    const char *program;
    int files[STANDARD]; /* none of them is 0, 1 or 2 */
    int trouble;         /* the end of a pipe that the child's errno goes into; closed by exec */
    int lifeline;        /* -1, or the end of a pipe that the program keeps until it ends */
    pid_t parent;
};

/* The kernel's struct sigaction: all zero is the default on every machine. */
static void reset_signal(int number)
{
    unsigned long action[8] = {0};
    (void)syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
}

__attribute__((noinline, noreturn)) static void child_main(const struct start *start)
{
    const struct orb_child_plan *plan = start->plan;
    for (int number = 1; number <= SIGNALS; number++)
        reset_signal(number);
    long failed = 0;
    if (plan->place == ORB_CHILD_SESSION)
        failed = syscall(SYS_setsid);
    else
        failed = syscall(SYS_setpgid, 0, 0);
    for (int i = 0; failed >= 0 && i < STANDARD; i++)
        failed = syscall(SYS_dup3, start->files[i], i, 0);
    (void)syscall(SYS_close_range, STANDARD, ~0u, CLOSE_RANGE_CLOEXEC); /* kernels before 5.11 leave them open */
    if (start->lifeline >= 0)
        (void)syscall(SYS_fcntl, start->lifeline, F_SETFD, 0);
    if (failed >= 0 && plan->death_signal) {
        failed = syscall(SYS_prctl, PR_SET_PDEATHSIG, plan->death_signal);
        if (syscall(SYS_getppid) != start->parent) /* died before we asked to be told */
            syscall(SYS_exit_group, 127);
    }
    uint64_t none = 0;
    if (failed >= 0)
        failed = syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    if (failed >= 0)
        syscall(SYS_execve, start->program, plan->words, start->environment);
    int number = errno;
    (void)syscall(SYS_write, start->trouble, &number, sizeof number);
    for (;;)
        syscall(SYS_exit_group, 127);
}

static const char *path_of(char *const *environment)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, "PATH=", 5))
            return *environment + 5;
    return "/usr/local/bin:/usr/bin:/bin";
}

/* An errno. Looked for here and not by the child, which has neither memory nor stack of its own to do it with. */
static int find_program(char *program, size_t room, const char *name, char *const *environment)
{
    if (strchr(name, '/'))
        return snprintf(program, room, "%s", name) < (int)room ? 0 : ENAMETOOLONG;
    int number = ENOENT;
    const char *at = *name ? path_of(environment) : "";
    while (*at) {
        int length = (int)strcspn(at, ":");
        int made =
            length ? snprintf(program, room, "%.*s/%s", length, at, name) : snprintf(program, room, "./%s", name);
        if (made < (int)room) {
            if (access(program, X_OK) == 0)
                return 0;
            if (errno == EACCES)
                number = EACCES;
        }
        at += length;
        at += *at == ':';
    }
    return number;
}

/* A pipe whose end for writing is none of 0, 1 and 2. An errno. */
static int make_pipe(int *in, int *out)
{
    int ends[2], number = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    *in = ends[0];
    *out = fcntl(ends[1], F_DUPFD_CLOEXEC, STANDARD);
    if (*out < 0) {
        number = errno;
        close(*in);
    }
    close(ends[1]);
    return number;
}

static bool kernel_has_pidfds(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    bool has = fd >= 0 || errno != ENOSYS;
    if (fd >= 0)
        close(fd);
    return has;
}

/* What tells of its end: false with an errno. */
static bool open_pidfd(pid_t pid, int *pidfd, int lifeline)
{
    *pidfd = lifeline >= 0 ? lifeline : (int)syscall(SYS_pidfd_open, pid, 0);
    return *pidfd >= 0;
}

void orb_child_signal(pid_t pid, int pidfd, int number)
{
    if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) != 0 && errno != ESRCH)
        (void)kill(pid, number);
}

static int run(struct start *start, pid_t *pid, int *pidfd)
{
    sigset_t all, before;
    int trouble = -1, lifeline = -1, number = 0;
    start->lifeline = -1;
    if (pidfd && !kernel_has_pidfds())
        number = make_pipe(&lifeline, &start->lifeline);
    if (!number && (number = make_pipe(&trouble, &start->trouble)) && lifeline >= 0) {
        close(lifeline);
        close(start->lifeline);
    }
    if (number)
        return number;
    start->parent = getpid();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours may run in the child */
    /* NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork): see above */
    pid_t made = vfork();
    if (made == 0)
        child_main(start);
    /* NOLINTEND(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
    *pid = made;
    if (*pid < 0)
        number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(start->trouble);
    if (start->lifeline >= 0)
        close(start->lifeline);
    if (*pid > 0 && read(trouble, &number, sizeof number) <= 0)
        number = 0; /* it runs */
    close(trouble);
    if (*pid > 0 && !number && pidfd && !open_pidfd(*pid, pidfd, lifeline)) {
        number = errno;
        (void)kill(*pid, SIGKILL);
    }
    if (number && lifeline >= 0)
        close(lifeline);
    if (*pid > 0 && number)
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
            ;
    return number;
}

int orb_child_start(const struct orb_child_plan *plan, pid_t *pid, int *pidfd)
{
    char program[PATH_MAX];
    struct start start = {.plan = plan, .program = program, .files = {-1, -1, -1}};
    start.environment = plan->environment ? plan->environment : environ;
    int number = find_program(program, sizeof program, plan->words[0], start.environment);
    int given[STANDARD] = {plan->input, plan->output, plan->errors};
    int null = number ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!number && null < 0)
        number = errno;
    for (int i = 0; !number && i < STANDARD; i++) {
        start.files[i] = fcntl(given[i] < 0 ? null : given[i], F_DUPFD_CLOEXEC, STANDARD);
        if (start.files[i] < 0)
            number = errno;
    }
    if (!number)
        number = run(&start, pid, pidfd);
    for (int i = 0; i < STANDARD; i++)
        if (start.files[i] >= 0)
            close(start.files[i]);
    if (null >= 0)
        close(null);
    return number;
}
