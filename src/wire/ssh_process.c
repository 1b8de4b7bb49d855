/* SPDX-License-Identifier: Apache-2.0
 * The thread of one ssh: makes its place, starts it, answers what it asks, collects what it says, waits for its end,
 * tidies up. It tells the loop two things: that the connection stands, and that it has ended. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "run/child.h"
#include "wire/ssh_parts.h"

#define KILL_AFTER_NS (2 * ORB_S)

/* What the thread holds while it runs. */
struct running {
    struct orb_ssh_process *process;
    pid_t pid;
    int child;          /* its pidfd */
    int said;           /* its standard error */
    int ask, ask_input; /* our end and its end of its standard input, when there is an answer to anything */
    int notify;         /* something in the place has changed */
    struct orb_ssh_said text;
    struct orb_ssh_asked asked;
    uint64_t until_ns; /* the connection stands by then; 0: it does */
    uint64_t kill_ns;  /* it was asked to end; 0: it was not */
    bool up, too_long;
    int result;
};

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A program of the user's own may understand less than OpenSSH's does. */
static void choose_cipher(struct orb_ssh_process *process)
{
    struct orb_ssh_plan *plan = process->plan;
    if (plan->cipher != ORB_SSH_CIPHER_UNKNOWN)
        return;
    bool open = orb_ssh_has_aes() && orb_str_equal(plan->program, "ssh") && orb_ssh_cipher_is_open(plan, process->wake);
    plan->cipher = open ? ORB_SSH_CIPHER_AES : ORB_SSH_CIPHER_THEIRS;
}

static int make_descriptors(struct running *running)
{
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    running->said = pipe_ends[0];
    struct orb_ssh_process *process = running->process;
    char **words = orb_ssh_plan_words(process->plan, process->place.control);
    char **environment = orb_ssh_plan_environment(process->plan, running->ask >= 0 ? process->place.ask : NULL);
    int number = words && environment ? 0 : ENOMEM;
    running->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (!number && (running->notify < 0 || inotify_add_watch(running->notify, process->place.path, IN_CREATE) < 0))
        number = errno;
    /* Its end of the pipe blocks: what it says must not be lost when we are slow. */
    (void)fcntl(pipe_ends[1], F_SETFL, 0);
    struct orb_child_plan child = {
        .words = words,
        .environment = environment,
        .input = running->ask_input,
        .output = -1,
        .errors = pipe_ends[1],
        .place = ORB_CHILD_SESSION, /* without a terminal: what it would ask there it asks us */
        .death_signal = SIGTERM,
    };
    if (!number)
        number = orb_child_start(&child, &running->pid, &running->child);
    running->asked =
        (struct orb_ssh_asked){.plan = process->plan, .stopping = &process->stopping, .child = running->child};
    close(pipe_ends[1]);
    orb_ssh_list_free(words);
    orb_ssh_list_free(environment);
    return number;
}

static orbit_status begin(struct running *running, orbit_error *error)
{
    struct orb_ssh_process *process = running->process;
    int pair[2] = {-1, -1};
    if (orb_ssh_plan_asks(process->plan) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return orb_fail_errno(error, errno, "cannot make a socket for ssh");
    running->ask = pair[0];
    running->ask_input = pair[1];
    choose_cipher(process);
    orbit_status status = orb_ssh_place_make(&process->place, process->plan->environment, running->ask_input, error);
    if (status < 0)
        return status;
    int number = make_descriptors(running);
    close_if_open(&running->ask_input);
    if (number == ENOENT && !strchr(process->plan->program, '/'))
        return orb_fail(error, ORBIT_E_CONFIG, number, "there is no program '%s': install the OpenSSH client",
                        process->plan->program);
    if (number) {
        status = orb_fail_errno(error, number, "cannot run '%s'", process->plan->program);
        return status;
    }
    orb_log(process->log, ORBIT_LOG_DEBUG, "ssh to %s: process %d%s", process->plan->peer, (int)running->pid,
            process->plan->cipher == ORB_SSH_CIPHER_AES ? ", AES-GCM first" : "");
    return ORBIT_OK;
}

static void look_for_socket(struct running *running)
{
    char events[4096];
    while (read(running->notify, events, sizeof events) > 0)
        ;
    if (running->up || faccessat(running->process->place.directory, "c", F_OK, 0) != 0)
        return;
    running->up = true;
    running->until_ns = 0;
    orb_ssh_asked_keep(&running->asked);
    orb_loop_post(running->process->loop, &running->process->up_message);
}

/* Asks it to end, then makes it. */
static void check_time(struct running *running)
{
    uint64_t now = orb_now_ns();
    if (!running->kill_ns && running->until_ns && now >= running->until_ns)
        running->too_long = true;
    if (!running->kill_ns && (running->too_long || atomic_load(&running->process->stopping))) {
        running->kill_ns = now + KILL_AFTER_NS;
        orb_child_signal(running->pid, running->child, SIGTERM);
    } else if (running->kill_ns && now >= running->kill_ns) {
        running->kill_ns = now + KILL_AFTER_NS;
        orb_child_signal(running->pid, running->child, SIGKILL);
    }
}

static int next_look_ms(const struct running *running)
{
    uint64_t next = running->kill_ns ? running->kill_ns : running->until_ns, now = orb_now_ns();
    if (!next)
        return -1;
    return next <= now ? 0 : (int)((next - now) / ORB_MS < 60000 ? (next - now) / ORB_MS + 1 : 60000);
}

static void start_clock(struct running *running)
{
    running->until_ns = running->up ? 0 : orb_now_ns() + running->process->plan->connect_ns;
}

static void wait_for_end(struct running *running)
{
    enum { CHILD, SAID, ASK, NOTIFY, WAKE, COUNT };
    struct pollfd fds[COUNT] = {[CHILD] = {running->child, POLLIN, 0},
                                [SAID] = {running->said, POLLIN, 0},
                                [ASK] = {running->ask, POLLIN, 0},
                                [NOTIFY] = {running->notify, POLLIN, 0},
                                [WAKE] = {running->process->wake, POLLIN, 0}};
    for (;;) {
        check_time(running);
        if (poll(fds, COUNT, next_look_ms(running)) < 0)
            continue;
        if (fds[SAID].revents && !orb_ssh_said_read(&running->text, running->said))
            fds[SAID].fd = -1;
        if (fds[ASK].revents) {
            if (!orb_ssh_asked_read(&running->asked, running->ask))
                fds[ASK].fd = -1;
            start_clock(running); /* a person may have been asked */
        }
        if (fds[NOTIFY].revents)
            look_for_socket(running);
        eventfd_t count;
        if (fds[WAKE].revents)
            (void)eventfd_read(running->process->wake, &count);
        if (fds[CHILD].revents)
            break;
    }
    (void)orb_ssh_said_read(&running->text, running->said);
    /* What it has started (a ProxyCommand) goes with it. Nobody else has this group's number before we waited;
     * ECHILD: the program around us lets children go unwaited, and the result is not known. */
    siginfo_t ended;
    if (waitid(P_PID, (id_t)running->pid, &ended, WEXITED | WNOWAIT) == 0)
        (void)kill(-running->pid, SIGTERM);
    while (waitpid(running->pid, &running->result, 0) < 0 && errno == EINTR)
        ;
}

static void *run(void *ctx)
{
    struct orb_ssh_process *process = ctx;
    struct running *running = orb_calloc(1, sizeof *running);
    if (!running) {
        orb_fail_memory(&process->error);
        orb_loop_post(process->loop, &process->ended_message);
        return NULL;
    }
    *running = (struct running){.process = process, .child = -1, .said = -1, .ask = -1, .ask_input = -1, .notify = -1};
    start_clock(running);
    if (begin(running, &process->error) >= 0) {
        wait_for_end(running);
        struct orb_ssh_end end = {.said = running->text.bytes,
                                  .result = running->result,
                                  .was_up = running->up,
                                  .too_long = running->too_long,
                                  .told_password = running->asked.told[ORB_SSH_PASSWORD],
                                  .told_passphrase = running->asked.told[ORB_SSH_PASSPHRASE]};
        if (atomic_load(&process->stopping))
            orb_fail(&process->error, ORBIT_E_CANCELLED, 0, "the connection to %s was ended", process->plan->peer);
        else
            orb_ssh_explain(&process->error, process->plan, &end);
    }
    orb_ssh_place_remove(&process->place);
    close_if_open(&running->child);
    close_if_open(&running->said);
    close_if_open(&running->ask);
    close_if_open(&running->ask_input);
    close_if_open(&running->notify);
    explicit_bzero(&running->asked, sizeof running->asked);
    orb_free(running);
    orb_loop_post(process->loop, &process->ended_message);
    return NULL;
}

static void on_up(struct orb_message *message)
{
    struct orb_ssh_process *process =
        (struct orb_ssh_process *)((char *)message - offsetof(struct orb_ssh_process, up_message));
    process->up(process);
}

static void on_ended(struct orb_message *message)
{
    struct orb_ssh_process *process =
        (struct orb_ssh_process *)((char *)message - offsetof(struct orb_ssh_process, ended_message));
    pthread_join(process->thread, NULL); /* posting was the last it did */
    close_if_open(&process->wake);
    process->ended(process);
}

orbit_status orb_ssh_process_start(struct orb_ssh_process *process, orbit_error *error)
{
    process->up_message.deliver = on_up;
    process->ended_message.deliver = on_ended;
    process->place.directory = -1;
    atomic_store(&process->stopping, false);
    orb_error_clear(&process->error);
    process->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (process->wake < 0)
        return orb_fail_errno(error, errno, "cannot start ssh");
    int number = orb_thread_start(&process->thread, "orbit-ssh", run, process);
    if (!number)
        return ORBIT_OK;
    close_if_open(&process->wake);
    return orb_fail_errno(error, number, "cannot start the thread 'orbit-ssh'");
}

void orb_ssh_process_stop(struct orb_ssh_process *process)
{
    atomic_store(&process->stopping, true);
    (void)eventfd_write(process->wake, 1);
}
