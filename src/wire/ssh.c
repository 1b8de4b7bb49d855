/* SPDX-License-Identifier: Apache-2.0
 * A connection and its channels: when ssh is started, which channels wait for it, what each is told when it ends. Loop
 * thread only, but for make. */
#include "wire/ssh.h"

#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "wire/ssh_parts.h"

enum {
    WORD_MS = 500, /* how long a session that was cut waits for its connection's last word */
    SLOW_MS = 3,   /* the first session is not there by then: it waits for more than the host … */
    SLOWER_MS = 30 /* … and still does: on a longer way what was sent then was too early */
};

enum state { RESTING, CONNECTING, STANDING, ENDING };

struct orb_ssh {
    struct orb_loop *loop;
    struct orb_log *log;
    struct orb_ssh_plan plan;
    struct orb_ssh_process process;
    enum state state;
    unsigned generation; /* of the process; a channel belongs to one */
    struct orb_ssh_channel *channels;
    struct orb_timer *patience; /* some channel was cut */
    struct orb_timer *slow;     /* some channel was asked for … */
    bool slower;                /* … and was late */
    bool dropping;
    void (*dropped)(void *ctx);
    void *ctx;
    struct orb_message drop_message;
};

static const struct orb_ssh_link_events link_events;

/* ---- a channel's end: told by a message, so never from inside a call ---- */

static void finish_drop(struct orb_ssh *ssh);

static void on_told(struct orb_message *message)
{
    struct orb_ssh_channel *channel =
        (struct orb_ssh_channel *)((char *)message - offsetof(struct orb_ssh_channel, message));
    struct orb_ssh *ssh = channel->ssh;
    *channel->place = channel->next;
    if (channel->next)
        channel->next->place = channel->place;
    bool well = channel->error.status == ORBIT_OK;
    orbit_error error = channel->error;
    channel->on_end(channel, well ? NULL : &error);
    finish_drop(ssh);
}

static void tell_end(struct orb_ssh_channel *channel, const orbit_error *error)
{
    if (channel->ended)
        return;
    channel->ended = true;
    orb_ssh_link_close(channel->link);
    channel->link = NULL;
    if (error)
        channel->error = *error;
    else
        orb_error_clear(&channel->error);
    channel->message.deliver = on_told;
    orb_loop_post(channel->ssh->loop, &channel->message);
}

/* ---- the process ---- */

static void on_link_ended(void *ctx, const orbit_error *error, bool lost);

static void on_slow(void *ctx)
{
    struct orb_ssh *ssh = ctx;
    struct orb_ssh_channel *late = NULL;
    ssh->slow = NULL;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next) {
        if (channel->opened)
            return;
        if (channel->link && channel->on_slow)
            late = channel;
    }
    if (!late)
        return;
    if (!ssh->slower)
        ssh->slow = orb_timer_start(ssh->loop, SLOWER_MS - SLOW_MS, on_slow, ssh);
    ssh->slower = true;
    late->on_slow(late);
}

static void open_link(struct orb_ssh_channel *channel)
{
    struct orb_ssh *ssh = channel->ssh;
    orbit_error error;
    if (channel->on_slow && !ssh->slow && !ssh->slower)
        ssh->slow = orb_timer_start(ssh->loop, SLOW_MS, on_slow, ssh);
    channel->link =
        orb_ssh_link_open(ssh->loop, &ssh->plan, ssh->process.place.control, channel, &link_events, channel, &error);
    if (!channel->link && error.status == ORBIT_E_NETWORK) { /* ssh is just ending */
        on_link_ended(channel, &error, true);
    } else if (!channel->link) {
        error.flags |= ORBIT_ERROR_RETRIABLE;
        tell_end(channel, &error);
    }
}

static void on_up(struct orb_ssh_process *process)
{
    struct orb_ssh *ssh = (struct orb_ssh *)((char *)process - offsetof(struct orb_ssh, process));
    if (ssh->state != CONNECTING)
        return;
    ssh->state = STANDING;
    orb_log(ssh->log, ORBIT_LOG_DEBUG, "ssh to %s: connected", ssh->plan.peer);
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next)
        if (!channel->ended)
            open_link(channel);
}

static void connect_now(struct orb_ssh *ssh)
{
    orbit_error error;
    ssh->state = CONNECTING;
    ssh->generation++;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next)
        channel->generation = ssh->generation;
    if (orb_ssh_process_start(&ssh->process, &error) >= 0)
        return;
    ssh->state = RESTING;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next)
        tell_end(channel, &error);
}

static void on_ended(struct orb_ssh_process *process)
{
    struct orb_ssh *ssh = (struct orb_ssh *)((char *)process - offsetof(struct orb_ssh, process));
    bool again = false;
    ssh->state = RESTING;
    orb_log(ssh->log, ORBIT_LOG_DEBUG, "ssh to %s: ended: %s", ssh->plan.peer, process->error.message);
    orb_timer_cancel(ssh->patience);
    orb_timer_cancel(ssh->slow);
    ssh->patience = ssh->slow = NULL;
    ssh->slower = false;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next) {
        if (channel->generation == ssh->generation)
            tell_end(channel, &process->error);
        else
            again = again || !channel->ended;
    }
    if (again)
        connect_now(ssh);
    finish_drop(ssh);
}

/* ---- links ---- */

static void on_ready(void *ctx, int fd)
{
    struct orb_ssh_channel *channel = ctx;
    channel->opened = true;
    channel->on_ready(channel, fd);
}

/* Sessions that were cut without a word, whose connection has not ended. */
static void on_patience(void *ctx)
{
    struct orb_ssh *ssh = ctx;
    ssh->patience = NULL;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next)
        if (!channel->ended && !channel->link && channel->error.status < 0)
            tell_end(channel, &channel->error);
}

static void on_link_ended(void *ctx, const orbit_error *error, bool lost)
{
    struct orb_ssh_channel *channel = ctx;
    struct orb_ssh *ssh = channel->ssh;
    channel->link = NULL;
    if (lost) {
        channel->error = *error;
        if (!ssh->patience)
            ssh->patience = orb_timer_start(ssh->loop, WORD_MS, on_patience, ssh);
        if (ssh->patience)
            return;
    }
    tell_end(channel, error);
}

static const struct orb_ssh_link_events link_events = {on_ready, on_link_ended};

/* ---- what users call ---- */

orbit_status orb_ssh_make(struct orb_ssh **made, struct orb_loop *loop, struct orb_log *log,
                          const struct orb_ssh_settings *settings, orbit_error *error)
{
    *made = NULL;
    struct orb_ssh *ssh = orb_calloc(1, sizeof *ssh);
    if (!ssh)
        return orb_fail_memory(error);
    orbit_status status = orb_ssh_plan_make(&ssh->plan, settings, error);
    if (status < 0) {
        orb_free(ssh);
        return status;
    }
    ssh->loop = loop;
    ssh->log = log;
    ssh->process.loop = loop;
    ssh->process.log = log;
    ssh->process.plan = &ssh->plan;
    ssh->process.up = on_up;
    ssh->process.ended = on_ended;
    *made = ssh;
    return ORBIT_OK;
}

const char *orb_ssh_peer(const struct orb_ssh *ssh)
{
    return ssh->plan.peer;
}

void orb_ssh_channel_start(struct orb_ssh *ssh, struct orb_ssh_channel *channel)
{
    channel->ssh = ssh;
    channel->link = NULL;
    channel->ended = channel->opened = false;
    channel->spoken = false;
    channel->generation = ssh->state == ENDING ? ssh->generation + 1 : ssh->generation;
    orb_error_clear(&channel->error);
    channel->next = ssh->channels;
    channel->place = &ssh->channels;
    if (channel->next)
        channel->next->place = &channel->next;
    ssh->channels = channel;
    if (ssh->dropping) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_MISUSE, 0, "the connection to %s is being closed", ssh->plan.peer);
        tell_end(channel, &error);
    } else if (ssh->state == RESTING) {
        connect_now(ssh);
    } else if (ssh->state == STANDING) {
        open_link(channel);
    }
}

void orb_ssh_channel_stop(struct orb_ssh_channel *channel)
{
    orbit_error error;
    orb_fail(&error, ORBIT_E_CANCELLED, 0, "the session with %s was ended", channel->ssh->plan.peer);
    tell_end(channel, &error);
}

static void on_dropped(struct orb_message *message)
{
    struct orb_ssh *ssh = (struct orb_ssh *)((char *)message - offsetof(struct orb_ssh, drop_message));
    void (*dropped)(void *) = ssh->dropped;
    void *ctx = ssh->ctx;
    orb_timer_cancel(ssh->patience);
    orb_timer_cancel(ssh->slow);
    orb_ssh_plan_release(&ssh->plan);
    orb_free(ssh);
    dropped(ctx);
}

static void finish_drop(struct orb_ssh *ssh)
{
    if (!ssh->dropping || ssh->channels || ssh->state != RESTING || ssh->drop_message.deliver)
        return;
    ssh->drop_message.deliver = on_dropped;
    orb_loop_post(ssh->loop, &ssh->drop_message);
}

void orb_ssh_drop(struct orb_ssh *ssh, void (*dropped)(void *ctx), void *ctx)
{
    ssh->dropping = true;
    ssh->dropped = dropped;
    ssh->ctx = ctx;
    for (struct orb_ssh_channel *channel = ssh->channels; channel; channel = channel->next)
        orb_ssh_channel_stop(channel);
    if (ssh->state == CONNECTING || ssh->state == STANDING) {
        ssh->state = ENDING;
        orb_ssh_process_stop(&ssh->process);
    }
    finish_drop(ssh);
}
