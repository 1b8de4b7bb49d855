/* SPDX-License-Identifier: Apache-2.0
 * Connections by the system's ssh to private servers: sessions, refusals, secrets, what is left behind. Each session
 * says the first message of SFTP and expects its answer, which is as much of the protocol as is known here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "support/descriptors.h"
#include "support/sshd.h"
#include "wire/ssh.h"

enum { SESSIONS = 8 };

/* ---- a connection, driven from the test's thread ---- */

struct session {
    struct orb_ssh_channel channel;
    struct site *site;
    int fd; /* -1: not ready */
    bool ready, ended, well;
    orbit_error error;
};

struct site {
    struct orb_loop *loop;
    struct orb_log log;
    struct orb_ssh *ssh;
    struct session sessions[SESSIONS];
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool dropped;
    bool said_secret; /* the log, at its most talkative */
};

/* What runs on the loop, and is waited for. */
struct call {
    struct orb_message message;
    void (*run)(struct site *site, unsigned number);
    struct site *site;
    unsigned number;
    bool done;
};

static void on_call(struct orb_message *message)
{
    struct call *call = (struct call *)message;
    call->run(call->site, call->number);
    pthread_mutex_lock(&call->site->mutex);
    call->done = true;
    pthread_cond_broadcast(&call->site->changed);
    pthread_mutex_unlock(&call->site->mutex);
}

static void wait_for(struct site *site, const bool *flag)
{
    pthread_mutex_lock(&site->mutex);
    while (!*flag)
        pthread_cond_wait(&site->changed, &site->mutex);
    pthread_mutex_unlock(&site->mutex);
}

static void run_on_loop(struct site *site, void (*run)(struct site *, unsigned), unsigned number)
{
    struct call call = {.message.deliver = on_call, .run = run, .site = site, .number = number};
    orb_loop_post(site->loop, &call.message);
    wait_for(site, &call.done);
}

static void set(struct site *site, bool *flag)
{
    pthread_mutex_lock(&site->mutex);
    *flag = true;
    pthread_cond_broadcast(&site->changed);
    pthread_mutex_unlock(&site->mutex);
}

static void on_ready(struct orb_ssh_channel *channel, int fd)
{
    struct session *session = (struct session *)channel;
    session->fd = fd;
    set(session->site, &session->ready);
}

static void on_end(struct orb_ssh_channel *channel, const orbit_error *error)
{
    struct session *session = (struct session *)channel;
    session->well = !error;
    if (error)
        session->error = *error;
    set(session->site, &session->ready); /* nobody waits in vain */
    set(session->site, &session->ended);
}

static void on_log(void *ctx, orbit_log_level level, const char *line)
{
    (void)level;
    struct site *site = ctx;
    site->said_secret = site->said_secret || strstr(line, "orbittestsecret") || strstr(line, "orbittestphrase");
}

static void site_open(struct site *site, struct orb_ssh_settings settings, const struct sshd *sshd)
{
    orbit_error error;
    memset(site, 0, sizeof *site);
    pthread_mutex_init(&site->mutex, NULL);
    pthread_cond_init(&site->changed, NULL);
    orbit_log user = {.function = on_log, .ctx = site, .level = ORBIT_LOG_TRACE};
    orb_log_init(&site->log, &user);
    assert_int_equal(orb_loop_new(&site->loop, "test", false, &error), ORBIT_OK);
    assert_int_equal(orb_loop_start(site->loop, &error), ORBIT_OK);
    settings.config_file = sshd->config;
    if (orb_ssh_make(&site->ssh, site->loop, &site->log, &settings, &error) != ORBIT_OK)
        fail_msg("%s", error.message);
}

static void start(struct site *site, unsigned number)
{
    struct session *session = &site->sessions[number];
    *session = (struct session){.site = site, .fd = -1};
    session->channel.subsystem = "sftp";
    session->channel.on_ready = on_ready;
    session->channel.on_end = on_end;
    orb_ssh_channel_start(site->ssh, &session->channel);
}

static void stop(struct site *site, unsigned number)
{
    if (!site->sessions[number].ended)
        orb_ssh_channel_stop(&site->sessions[number].channel);
}

static void spoke(struct site *site, unsigned number)
{
    site->sessions[number].channel.spoken = true;
}

static void on_dropped(void *ctx)
{
    struct site *site = ctx;
    set(site, &site->dropped);
}

static void drop(struct site *site, unsigned number)
{
    (void)number;
    orb_ssh_drop(site->ssh, on_dropped, site);
}

static void site_close(struct site *site)
{
    run_on_loop(site, drop, 0);
    wait_for(site, &site->dropped);
    orb_loop_free(site->loop);
    orb_log_release(&site->log);
    assert_false(site->said_secret);
    for (unsigned i = 0; i < SESSIONS; i++)
        if (site->sessions[i].ready && site->sessions[i].fd >= 0)
            close(site->sessions[i].fd);
    pthread_mutex_destroy(&site->mutex);
    pthread_cond_destroy(&site->changed);
}

/* Starts a session and waits until it stands, or has ended. */
static struct session *begin(struct site *site, unsigned number)
{
    run_on_loop(site, start, number);
    wait_for(site, &site->sessions[number].ready);
    return &site->sessions[number];
}

/* SSH_FXP_INIT, version 3, and what comes back: SSH_FXP_VERSION is 2 (draft-ietf-secsh-filexfer-02 §4). */
static bool speaks_sftp(const struct session *session)
{
    static const uint8_t hello[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
    uint8_t answer[512];
    struct pollfd fd = {session->fd, POLLIN, 0};
    return session->fd >= 0 && send(session->fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello &&
           poll(&fd, 1, 60000) == 1 && recv(session->fd, answer, sizeof answer, 0) > 4 && answer[4] == 2;
}

static void end_well(struct session *session)
{
    close(session->fd);
    session->fd = -1;
    wait_for(session->site, &session->ended);
    if (!session->well)
        fail_msg("%s", session->error.message);
}

/* ---- what is left of us ---- */

/* Our children, zombies too; the last one's pid. */
static unsigned children(pid_t *last)
{
    char path[64], line[4096] = "";
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/children", task->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(line, sizeof line, file))
            for (char *at = line, *end; *at && *at != '\n'; at = end + strspn(end, " ")) {
                *last = (pid_t)strtol(at, &end, 10);
                if (end == at)
                    break;
                count++;
            }
        if (file)
            (void)fclose(file);
        *line = '\0';
    }
    closedir(tasks);
    return count;
}

static unsigned places(void)
{
    unsigned count = 0;
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    DIR *dir = opendir(base);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strncmp(entry->d_name, "orbit-ssh-", 10) == 0;
    closedir(dir);
    return count;
}

static void nothing_is_left(unsigned descriptors)
{
    pid_t pid;
    assert_int_equal(children(&pid), 0);
    assert_int_equal(places(), 0);
    assert_int_equal(open_descriptors(), descriptors);
}

/* ---- sessions ---- */

static void sessions_share_one_connection(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    pid_t pid;
    unsigned descriptors = open_descriptors();
    sshd_of_fixture(&sshd, "sshd");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    for (unsigned i = 0; i < 3; i++)
        run_on_loop(&site, start, i);
    for (unsigned i = 0; i < 3; i++) {
        wait_for(&site, &site.sessions[i].ready);
        assert_true(speaks_sftp(&site.sessions[i]));
        assert_int_equal(children(&pid), 1);
    }
    for (unsigned i = 0; i < 3; i++)
        end_well(&site.sessions[i]);
    assert_true(speaks_sftp(begin(&site, 3))); /* it still stands */
    assert_int_equal(children(&pid), 1);
    site_close(&site);
    assert_int_equal(site.sessions[3].error.status, ORBIT_E_CANCELLED);
    nothing_is_left(descriptors);
}

static void every_way_in_that_ssh_knows_is_a_way_in(void **state)
{
    (void)state;
    static const struct {
        const char *fixture, *host;
    } cases[] = {{"sshd", "behind"},         {"sshd_external", "direct"},
                 {"sshd_chroot", "direct"},  {"sshd_certificate", "direct"},
                 {"sshd_proftpd", "direct"}, {"sshd_slow", "direct"}};
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, (struct orb_ssh_settings){.host = cases[i].host}, &sshd);
        struct session *session = begin(&site, 0);
        if (!speaks_sftp(session))
            fail_msg("%s: %s", cases[i].fixture, session->error.message);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

static void refusals_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *fixture;
        struct orb_ssh_settings settings;
        orbit_status status;
        const char *sentence;
    } cases[] = {
        {"sshd", {.host = "unknown"}, ORBIT_E_UNTRUSTED, "the host key of unknown is not known"},
        {"sshd", {.host = "changed"}, ORBIT_E_UNTRUSTED, "remove the old key with: ssh-keygen -f "},
        {"sshd", {.host = "stranger"}, ORBIT_E_AUTH, "(it takes publickey)"},
        {"sshd", {.host = "locked"}, ORBIT_E_AUTH, "(it takes publickey)"},
        {"sshd", {.host = "locked", .passphrase = "wrong"}, ORBIT_E_AUTH, "the passphrase is not that of its key"},
        {"sshd", {.host = "unknown", .password = "yes"}, ORBIT_E_UNTRUSTED, "the host key of unknown is not known"},
        {"sshd", {.host = "direct", .port = 1}, ORBIT_E_CONNECT, "connection refused"},
        {"sshd", {.host = "name.invalid"}, ORBIT_E_CONNECT, "does not resolve"},
        {"sshd", {.host = "direct", .program = "orbit-no-ssh"}, ORBIT_E_CONFIG, "install the OpenSSH client"},
        {"sshd_password", {.host = "direct"}, ORBIT_E_AUTH, "'orbittest' (it takes password)"},
        {"sshd_password", {.host = "direct", .password = "wrong"}, ORBIT_E_AUTH, "the password is wrong"},
        {"sshd_nosftp", {.host = "direct"}, ORBIT_E_UNSUPPORTED, "'Subsystem sftp internal-sftp'"},
        {"sshd_slow", {.host = "direct", .connect_ns = ORB_S / 2}, ORBIT_E_TIMEOUT, "did not stand within 0.5 seconds"},
    };
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, cases[i].settings, &sshd);
        struct session *session = begin(&site, 0);
        wait_for(&site, &session->ended);
        if (session->error.status != (int)cases[i].status || !strstr(session->error.message, cases[i].sentence))
            fail_msg("%s on %s: %d: %s", cases[i].settings.host, cases[i].fixture, session->error.status,
                     session->error.message);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

static void session_beyond_the_hosts_limit_is_refused_and_others_go_on(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    sshd_of_fixture(&sshd, "sshd_one");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    struct session *one = begin(&site, 0), *two = begin(&site, 1);
    wait_for(&site, &two->ended);
    assert_int_equal(two->error.status, ORBIT_E_LIMIT);
    assert_true(speaks_sftp(one));
    end_well(one);
    for (;;) { /* the host counts a session that has ended for a moment longer */
        struct session *next = begin(&site, 1);
        if (next->fd >= 0)
            break;
        wait_for(&site, &next->ended);
        assert_int_equal(next->error.status, ORBIT_E_LIMIT);
        struct timespec nap = {0, 10000000};
        nanosleep(&nap, NULL);
    }
    assert_true(speaks_sftp(&site.sessions[1]));
    site_close(&site);
}

/* ---- secrets ---- */

/* Reads a file of /proc whole. */
static size_t slurp(const char *path, char *bytes, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t got; fd >= 0 && (got = read(fd, bytes + length, room - length)) > 0;)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    return length;
}

static void secret_is_in_no_command_line_environment_or_file(pid_t pid, const char *secret)
{
    static char bytes[1 << 20];
    char path[64];
    static const char *const files[] = {"cmdline", "environ"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        size_t length = slurp(path, bytes, sizeof bytes);
        assert_true(length > 0);
        assert_null(memmem(bytes, length, secret, strlen(secret)));
    }
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    DIR *dir = opendir(base);
    unsigned looked_at = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char name[512];
        (void)snprintf(name, sizeof name, "%s/%.100s/a", base, entry->d_name);
        if (strncmp(entry->d_name, "orbit-ssh-", 10) != 0)
            continue;
        size_t length = slurp(name, bytes, sizeof bytes);
        assert_true(length > 0);
        assert_null(memmem(bytes, length, secret, strlen(secret)));
        looked_at++;
    }
    closedir(dir);
    assert_int_equal(looked_at, 1);
}

static void secrets_are_told_to_nobody_else(void **state)
{
    (void)state;
    static const struct {
        const char *fixture;
        struct orb_ssh_settings settings;
    } cases[] = {
        {"sshd_password", {.host = "direct", .password = "orbittestsecret"}},
        {"sshd", {.host = "locked", .passphrase = "orbittestphrase"}},
    };
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        pid_t pid = 0;
        const char *secret = cases[i].settings.password ? cases[i].settings.password : cases[i].settings.passphrase;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, cases[i].settings, &sshd);
        if (!speaks_sftp(begin(&site, 0)))
            fail_msg("%s", site.sessions[0].error.message);
        assert_int_equal(children(&pid), 1);
        secret_is_in_no_command_line_environment_or_file(pid, secret);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

/* A person who answers, and what was asked. */
struct person {
    unsigned asked;
    char text[4][300];
    bool secret[4];
    const char *answers[4];
};

static orbit_status person_answers(void *ctx, const orbit_question *question, char *answer, size_t room,
                                   orbit_error *error)
{
    struct person *person = ctx;
    unsigned number = person->asked++;
    if (number >= 4 || !person->answers[number])
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "nobody is there");
    (void)snprintf(person->text[number], sizeof person->text[number], "%s", question->text);
    person->secret[number] = question->secret;
    return snprintf(answer, room, "%s", person->answers[number]) > 0 ? ORBIT_OK : ORBIT_E_LIMIT;
}

static void person_is_asked_for_what_was_not_given_and_once(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    struct delay delay;
    char alias[64];
    struct person person = {.answers = {"yes", "wrong", "orbittestsecret"}};
    const orbit_prompt prompt = {person_answers, &person};
    const char *const options[] = {"UserKnownHostsFile=/dev/null", alias, NULL};
    sshd_of_fixture(&sshd, "sshd_password");
    delay_start(&delay, sshd.port, 0, 0, 0);
    (void)snprintf(alias, sizeof alias, "HostKeyAlias=[127.0.0.1]:%d", sshd.port);
    struct orb_ssh_settings settings = {
        .host = "unknown", .port = (unsigned)delay.port, .options = options, .prompt = &prompt};
    site_open(&site, settings, &sshd);
    struct session *session = begin(&site, 0);
    if (!speaks_sftp(session))
        fail_msg("%s", session->error.message);
    assert_int_equal(person.asked, 3);
    assert_non_null(strstr(person.text[0], "is to be trusted, whose ED25519 key fingerprint is SHA256:"));
    assert_false(person.secret[0]);
    assert_non_null(strstr(person.text[1], "'s password"));
    assert_true(person.secret[1]);
    /* A connection that takes the place of a lost one asks for no password again. */
    delay_reset(&delay);
    wait_for(&site, &session->ended);
    close(session->fd);
    person.answers[3] = "yes"; /* the key was kept in /dev/null */
    assert_true(speaks_sftp(begin(&site, 0)));
    assert_int_equal(person.asked, 4);
    site_close(&site);
    delay_stop(&delay);
}

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
    assert_true(speaks_sftp(begin(&site, 0)));
    unsigned standing = open_descriptors();
    for (unsigned i = 0; i < 1000; i++) {
        struct session *session = begin(&site, 1);
        assert_true(session->fd >= 0);
        if (i % 2) { /* from our side, and from its own */
            run_on_loop(&site, stop, 1);
            wait_for(&site, &session->ended);
            assert_int_equal(session->error.status, ORBIT_E_CANCELLED);
            close(session->fd);
            session->fd = -1;
        } else {
            end_well(session);
        }
    }
    assert_int_equal(children(&pid), 1);
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
        run_on_loop(&site, start, 0);
        struct timespec nap = {0, (long)i * 8000000};
        nanosleep(&nap, NULL);
        if (i % 3 == 0)
            run_on_loop(&site, stop, 0);
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
    struct session *one = begin(&site, 0), *two = begin(&site, 1);
    assert_true(speaks_sftp(one) && speaks_sftp(two));
    run_on_loop(&site, spoke, 0);
    run_on_loop(&site, spoke, 1);
    delay_reset(&delay);
    wait_for(&site, &one->ended);
    wait_for(&site, &two->ended);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(site.sessions[i].error.status, ORBIT_E_NETWORK);
        assert_true(orbit_error_retriable(&site.sessions[i].error));
        close(site.sessions[i].fd);
    }
    assert_true(speaks_sftp(begin(&site, 0)));
    assert_true(speaks_sftp(begin(&site, 1)));
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
    assert_true(speaks_sftp(begin(&site, 0)));
    run_on_loop(&site, spoke, 0);
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    DIR *dir = opendir(base);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, "orbit-ssh-", 10) == 0)
            (void)snprintf(control, sizeof control, "%s/%s/c", base, entry->d_name);
    closedir(dir);
    assert_int_equal(unlink(control), 0);
    run_on_loop(&site, start, 1);
    assert_int_equal(children(&ssh), 1);
    assert_int_equal(kill(ssh, SIGTERM), 0);
    for (unsigned i = 0; i < 2; i++) {
        wait_for(&site, &site.sessions[i].ended);
        assert_int_equal(site.sessions[i].error.status, ORBIT_E_NETWORK);
        assert_true(orbit_error_retriable(&site.sessions[i].error));
    }
    close(site.sessions[0].fd);
    assert_true(speaks_sftp(begin(&site, 0)));
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
    run_on_loop(&site, start, 0);
    if (until_ready)
        wait_for(&site, &site.sessions[0].ready);
    while (children(&pid) != 1 || !is_connection(pid))
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

/* libuv keeps two descriptors for the process from its first loop on. */
static int warm_up(void **state)
{
    (void)state;
    struct orb_loop *loop;
    orbit_error error;
    if (orb_loop_new(&loop, "warm", false, &error) < 0)
        return -1;
    orb_loop_free(loop);
    return 0;
}

int main(int argc, char **argv)
{
    self = argv[0];
    unsetenv("XDG_RUNTIME_DIR");
    if (argc == 5 && !strcmp(argv[1], "hold"))
        hold(argv[2], argv[3], !strcmp(argv[4], "ready"));
    /* A directory of our own: what is left in it is ours. */
    char own[] = "/tmp/orb-ssh-XXXXXX";
    if (!mkdtemp(own) || setenv("TMPDIR", own, 1) != 0)
        return 99;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_share_one_connection),
        cmocka_unit_test(every_way_in_that_ssh_knows_is_a_way_in),
        cmocka_unit_test(refusals_say_what_to_do),
        cmocka_unit_test(session_beyond_the_hosts_limit_is_refused_and_others_go_on),
        cmocka_unit_test(secrets_are_told_to_nobody_else),
        cmocka_unit_test(person_is_asked_for_what_was_not_given_and_once),
        cmocka_unit_test(thousand_sessions_leave_nothing),
        cmocka_unit_test(connections_that_are_dropped_at_any_time_leave_nothing),
        cmocka_unit_test(lost_connection_ends_its_sessions_and_the_next_one_connects_anew),
        cmocka_unit_test(session_that_is_asked_for_while_ssh_ends_is_lost_with_it),
        cmocka_unit_test(client_that_is_killed_takes_ssh_with_it),
    };
    int failed = cmocka_run_group_tests(tests, warm_up, NULL);
    return rmdir(own) == 0 ? failed : 98;
}
