/* SPDX-License-Identifier: Apache-2.0
 * A connection on a loop of its own, its sessions, and what is left of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ssh_site.h"
#include "support/descriptors.h"

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

void site_wait_for(struct site *site, const bool *flag)
{
    pthread_mutex_lock(&site->mutex);
    while (!*flag)
        pthread_cond_wait(&site->changed, &site->mutex);
    pthread_mutex_unlock(&site->mutex);
}

void site_run(struct site *site, void (*run)(struct site *, unsigned), unsigned number)
{
    struct call call = {.message.deliver = on_call, .run = run, .site = site, .number = number};
    orb_loop_post(site->loop, &call.message);
    site_wait_for(site, &call.done);
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

void site_open(struct site *site, struct orb_ssh_settings settings, const struct sshd *sshd)
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

void site_start(struct site *site, unsigned number)
{
    struct session *session = &site->sessions[number];
    *session = (struct session){.site = site, .fd = -1};
    session->channel.subsystem = "sftp";
    session->channel.on_ready = on_ready;
    session->channel.on_end = on_end;
    orb_ssh_channel_start(site->ssh, &session->channel);
}

void site_stop(struct site *site, unsigned number)
{
    if (!site->sessions[number].ended)
        orb_ssh_channel_stop(&site->sessions[number].channel);
}

void site_spoke(struct site *site, unsigned number)
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

void site_close(struct site *site)
{
    site_run(site, drop, 0);
    site_wait_for(site, &site->dropped);
    orb_loop_free(site->loop);
    orb_log_release(&site->log);
    assert_false(site->said_secret);
    for (unsigned i = 0; i < SITE_SESSIONS; i++)
        if (site->sessions[i].ready && site->sessions[i].fd >= 0)
            close(site->sessions[i].fd);
    pthread_mutex_destroy(&site->mutex);
    pthread_cond_destroy(&site->changed);
}

struct session *site_begin(struct site *site, unsigned number)
{
    site_run(site, site_start, number);
    site_wait_for(site, &site->sessions[number].ready);
    return &site->sessions[number];
}

/* SSH_FXP_INIT, version 3, and what comes back: SSH_FXP_VERSION is 2 (draft-ietf-secsh-filexfer-02 §4). */
bool speaks_sftp(const struct session *session)
{
    static const uint8_t hello[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
    uint8_t answer[512];
    struct pollfd fd = {session->fd, POLLIN, 0};
    return session->fd >= 0 && send(session->fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello &&
           poll(&fd, 1, 60000) == 1 && recv(session->fd, answer, sizeof answer, 0) > 4 && answer[4] == 2;
}

void end_well(struct session *session)
{
    close(session->fd);
    session->fd = -1;
    site_wait_for(session->site, &session->ended);
    if (!session->well)
        fail_msg("%s", session->error.message);
}

/* ---- what is left of us ---- */

unsigned site_children(pid_t *last)
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

void nothing_is_left(unsigned descriptors)
{
    pid_t pid;
    assert_int_equal(site_children(&pid), 0);
    assert_int_equal(places(), 0);
    assert_int_equal(open_descriptors(), descriptors);
}

/* ---- a group of tests ---- */

static char own[] = "/tmp/orb-ssh-XXXXXX";

bool site_enter(void)
{
    unsetenv("XDG_RUNTIME_DIR");
    return mkdtemp(own) && setenv("TMPDIR", own, 1) == 0;
}

int site_leave(int failed)
{
    return rmdir(own) == 0 ? failed : 98;
}

int site_warm_up(void **state)
{
    (void)state;
    struct orb_loop *loop;
    orbit_error error;
    if (orb_loop_new(&loop, "warm", false, &error) < 0)
        return -1;
    orb_loop_free(loop);
    return 0;
}
