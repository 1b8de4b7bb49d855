/* SPDX-License-Identifier: Apache-2.0
 * Programs that are started: what they inherit, what they do not, and that they end with who started them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/child.h"
#include "support/descriptors.h"

/* Runs a script with `input`, and gives what it printed. */
static int run_script(enum orb_child_place place, const char *script, const char *input, char *output, size_t room)
{
    char *words[] = {"sh", "-c", (char *)script, NULL};
    int in[2], out[2], result = -1;
    pid_t pid = -1;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], input, strlen(input)), (ssize_t)strlen(input));
    struct orb_child_plan plan = {.words = words, .input = in[0], .output = out[1], .errors = out[1], .place = place};
    assert_int_equal(orb_child_start(&plan, &pid, NULL), 0);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(out[0], output + length, room - 1 - length)) > 0;)
        length += (size_t)got;
    output[length] = '\0';
    close(out[0]);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

static void child_has_the_three_files_and_no_others(void **state)
{
    (void)state;
    char output[512];
    unsigned before = open_descriptors();
    assert_int_equal(run_script(ORB_CHILD_GROUP, "read -r line; echo \"<$line>\"; echo two >&2; exit 7", "a line\n",
                                output, sizeof output),
                     7);
    assert_string_equal(output, "<a line>\ntwo\n");
    /* The listing itself has one more: what it reads. */
    assert_int_equal(run_script(ORB_CHILD_GROUP, "ls /proc/self/fd | wc -l", "", output, sizeof output), 0);
    assert_string_equal(output, "4\n");
    assert_int_equal(open_descriptors(), before);
}

static void child_has_no_signals_blocked_or_ignored_by_us(void **state)
{
    (void)state;
    char output[512];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    /* In the shell's place: a shell blocks signals itself while it starts something. */
    run_script(ORB_CHILD_SESSION, "exec grep -E 'SigBlk|SigIgn' /proc/self/status", "", output, sizeof output);
    assert_string_equal(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    signal(SIGPIPE, handler);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_int_equal(sigismember(&after, SIGUSR1), 1); /* ours is as it was */
}

static void child_is_where_it_was_told_to_be(void **state)
{
    (void)state;
    char output[512];
    const char *script = "cut -d' ' -f5,6 /proc/$$/stat; echo $$";
    int group, session, pid;
    run_script(ORB_CHILD_GROUP, script, "", output, sizeof output);
    assert_int_equal(sscanf(output, "%d %d %d", &group, &session, &pid), 3);
    assert_int_equal(group, pid);
    assert_int_equal(session, getsid(0));
    run_script(ORB_CHILD_SESSION, script, "", output, sizeof output);
    assert_int_equal(sscanf(output, "%d %d %d", &group, &session, &pid), 3);
    assert_int_equal(session, pid);
}

static void program_that_cannot_run_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    char *missing[] = {"orbit-no-such-program", NULL}, *directory[] = {"/", NULL}, *path[] = {"/nowhere/sh", NULL};
    struct orb_child_plan plan = {.words = missing, .input = -1, .output = -1, .errors = -1};
    pid_t pid;
    int child;
    assert_int_equal(orb_child_start(&plan, &pid, &child), ENOENT);
    plan.words = directory;
    assert_int_equal(orb_child_start(&plan, &pid, &child), EACCES);
    plan.words = path;
    assert_int_equal(orb_child_start(&plan, &pid, &child), ENOENT);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(open_descriptors(), before);
}

struct starter {
    pid_t pid;
    int child;
};

static void *start_and_end(void *ctx)
{
    struct starter *starter = ctx;
    char *words[] = {"sleep", "100", NULL};
    struct orb_child_plan plan = {.words = words, .input = -1, .output = -1, .errors = -1, .death_signal = SIGTERM};
    return orb_child_start(&plan, &starter->pid, &starter->child) ? starter : NULL;
}

static void child_ends_with_the_thread_that_started_it(void **state)
{
    (void)state;
    struct starter starter;
    pthread_t thread;
    void *failed;
    int result;
    assert_int_equal(pthread_create(&thread, NULL, start_and_end, &starter), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    struct pollfd ended = {starter.child, POLLIN, 0};
    assert_int_equal(poll(&ended, 1, 60000), 1);
    assert_int_equal(waitpid(starter.pid, &result, 0), starter.pid);
    assert_true(WIFSIGNALED(result));
    assert_int_equal(WTERMSIG(result), SIGTERM);
    close(starter.child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_has_the_three_files_and_no_others),
        cmocka_unit_test(child_has_no_signals_blocked_or_ignored_by_us),
        cmocka_unit_test(child_is_where_it_was_told_to_be),
        cmocka_unit_test(program_that_cannot_run_is_told_and_leaves_nothing),
        cmocka_unit_test(child_ends_with_the_thread_that_started_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
