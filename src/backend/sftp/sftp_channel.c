/* SPDX-License-Identifier: Apache-2.0
 * Channels: sessions on one connection, opened when they are needed. One does for everything that is near. Where the
 * way is long, a channel's window of 2 MiB is what limits it, so each stream gets one of its own, up to as many as
 * there may be: they share the connection, and its authentication. A channel that was lost is opened anew by the
 * next call, as soon as what carried it has ended. Loop thread. */
#include <string.h>
#include <unistd.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/mem.h"

#define FAR_NS  (3 * ORB_MS)  /* a round trip for which a second channel is worth it */
#define SLOW_NS (20 * ORB_MS) /* the start of a session that is no near one's: two round trips, and a new process */
#define MUCH    ((uint64_t)32 << 20) /* bytes that are worth all channels */

struct sftp_call *sftp_calls_take(struct sftp_call **list)
{
    struct sftp_call *calls = *list;
    *list = NULL;
    return calls;
}

static void wait_in(struct sftp_call **list, struct sftp_call *call)
{
    call->waits = true;
    call->next = *list;
    *list = call;
}

static void fail_calls(struct sftp_call *waiting, const orbit_error *error)
{
    struct sftp_call *call;
    while ((call = waiting)) {
        waiting = call->next;
        call->waits = false;
        sftp_call_end(call, (orbit_status)error->status, error);
    }
}

static void close_when_quiet(struct sftp_store *store);

/* The session is over; its transport may still be ending. */
static void drop_session(struct sftp_channel *channel, const orbit_error *error)
{
    struct orb_sftp *session = channel->session;
    channel->session = NULL;
    channel->ready = channel->greeting = false;
    if (channel->kept_fd >= 0)
        close(channel->kept_fd);
    channel->kept_fd = -1;
    channel->generation++;
    channel->streams = 0;
    orb_sftp_free(session, error);
}

static void open_ahead(struct sftp_store *store, unsigned count);
static void use_kept(struct sftp_store *store);

static void start_waiting(struct sftp_channel *channel)
{
    struct sftp_call *waiting = sftp_calls_take(&channel->waiting), *call;
    channel->ready = true;
    while ((call = waiting)) {
        waiting = call->next;
        call->waits = false;
        call->generation = channel->generation;
        call->go(call);
    }
}

static void on_ready(void *ctx)
{
    struct sftp_channel *channel = ctx;
    struct sftp_store *store = channel->store;
    if (!sftp_is_openssh(channel->session)) /* which has a process for each session; others may mix them up */
        store->channels_most = 1;
    channel->ssh.spoken = true;
    channel->greeting = false;
    sftp_absent_is_back(store);
    orb_log(&store->host->log, ORBIT_LOG_DEBUG, "sftp: channel %u of '%s' is open",
            (unsigned)(channel - store->channels), store->peer);
    if (store->ahead && orb_now_ns() - channel->attached_ns >= SLOW_NS)
        open_ahead(store, store->ahead);
    store->ahead = 0;
    start_waiting(channel);
    use_kept(store);
}

/* Without an error the stream just ended: who carried it says why, soon. */
static void on_ended(void *ctx, const orbit_error *error)
{
    struct sftp_channel *channel = ctx;
    struct sftp_store *store = channel->store;
    orbit_error own;
    bool was_ready = channel->ready;
    struct sftp_call *waiting = error || was_ready ? sftp_calls_take(&channel->waiting) : NULL;
    drop_session(channel, error);
    if (error || was_ready) {
        if (channel->transport && store->ssh)
            orb_ssh_channel_stop(&channel->ssh);
        if (!error) {
            orb_fail(&own, ORBIT_E_NETWORK, 0, "the connection to '%s' was lost", store->peer);
            own.flags |= ORBIT_ERROR_RETRIABLE;
        }
        fail_calls(waiting, error ? error : &own);
    }
    use_kept(store);
    close_when_quiet(store);
}

static bool open_channel(struct sftp_channel *channel);

void sftp_calls_start(struct sftp_call *waiting)
{
    struct sftp_call *call;
    while ((call = waiting)) {
        waiting = call->next;
        call->waits = call->counted = false;
        sftp_call_start(call, call->go);
    }
}

/* The server takes no more sessions: those that wait go to one that there is. */
static void move_calls(struct sftp_store *store, struct sftp_call *waiting)
{
    store->channels_most = 1;
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        if ((store->channels[i].ready || store->channels[i].kept_fd >= 0) && i >= store->channels_most)
            store->channels_most = i + 1;
    sftp_calls_start(waiting);
}

static void wait_for_absent(struct sftp_store *store, struct sftp_call *waiting)
{
    struct sftp_call *call;
    while ((call = waiting)) {
        waiting = call->next;
        call->counted = false; /* the channel counts anew */
        wait_in(&store->absent, call);
    }
}

static void transport_ended(struct sftp_channel *channel, const orbit_error *error)
{
    struct sftp_store *store = channel->store;
    orbit_error own;
    channel->transport = false;
    if (!error) {
        orb_fail(&own, ORBIT_E_NETWORK, 0, "the connection to '%s' was lost", store->peer);
        own.flags |= ORBIT_ERROR_RETRIABLE;
        error = &own;
    }
    bool spare = error->status == ORBIT_E_LIMIT && channel != store->channels && !store->closing;
    /* Who hears of the end may open the channel again. */
    struct sftp_call *waiting = sftp_calls_take(&channel->waiting), *late = sftp_calls_take(&channel->late);
    if (channel->session) /* what its requests hear; those of a stream that still has bytes are lost with it */
        drop_session(channel, error);
    if (spare)
        move_calls(store, waiting);
    else if (sftp_absent_wait(store, error))
        wait_for_absent(store, waiting);
    else
        fail_calls(waiting, error);
    sftp_calls_start(late);
    use_kept(store);
    close_when_quiet(store);
}

static struct orb_sftp *ready_session(const struct sftp_store *store)
{
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        if (store->channels[i].ready && orb_sftp_ready(store->channels[i].session))
            return store->channels[i].session;
    return NULL;
}

/* What it has said holds for the other sessions of the connection; NULL: nobody has said that yet. */
static const struct orb_sftp *model_session(const struct sftp_store *store)
{
    const struct orb_sftp *session = ready_session(store);
    return session && sftp_is_openssh(session) ? session : NULL;
}

static void attach(struct sftp_channel *channel, int fd, const struct orb_sftp *model)
{
    channel->attached_ns = orb_now_ns();
    channel->greeting = !model;
    if (model)
        orb_sftp_presume(channel->session, model);
    orb_sftp_attach(channel->session, fd);
    if (model)
        start_waiting(channel);
}

static void dismiss(struct sftp_channel *channel)
{
    struct sftp_call *waiting = sftp_calls_take(&channel->waiting);
    drop_session(channel, NULL);
    orb_ssh_channel_stop(&channel->ssh);
    sftp_calls_start(waiting);
}

static bool is_greeting(const struct sftp_store *store)
{
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        if (store->channels[i].greeting)
            return true;
    return false;
}

/* The greeting is over. Only a server that is known to keep its sessions apart gets words on another one. */
static void use_kept(struct sftp_store *store)
{
    const struct orb_sftp *model = model_session(store);
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX && !is_greeting(store); i++) {
        struct sftp_channel *channel = &store->channels[i];
        int fd = channel->kept_fd;
        if (fd >= 0 && model) {
            channel->kept_fd = -1;
            attach(channel, fd, model);
        } else if (fd >= 0) {
            dismiss(channel);
        }
    }
}

static void on_ssh_ready(struct orb_ssh_channel *ssh, int fd)
{
    struct sftp_channel *channel = (struct sftp_channel *)ssh;
    struct sftp_store *store = channel->store;
    const struct orb_sftp *model = model_session(store);
    bool surplus = !model && ready_session(store) && channel - store->channels >= store->channels_most;
    if (!surplus && !is_greeting(store)) {
        attach(channel, fd, model);
        return;
    }
    channel->kept_fd = fd;
    if (surplus)
        dismiss(channel);
}

/* Another session is asked for, which shakes the answer to the first loose: on the way it costs 40 ms otherwise. */
static void on_ssh_slow(struct orb_ssh_channel *ssh)
{
    struct sftp_store *store = ((struct sftp_channel *)ssh)->store;
    for (unsigned i = 0; i < store->channels_most && !ready_session(store); i++) {
        struct sftp_channel *channel = &store->channels[i];
        if (channel->transport || channel->session)
            continue;
        (void)open_channel(channel);
        break;
    }
}

static void on_ssh_end(struct orb_ssh_channel *ssh, const orbit_error *error)
{
    transport_ended((struct sftp_channel *)ssh, error);
}

static void on_command_end(void *ctx)
{
    struct sftp_channel *channel = ctx;
    channel->command = NULL;
    transport_ended(channel, NULL);
}

/* False: it could not be begun; who waits heard of it. */
static bool open_channel(struct sftp_channel *channel)
{
    static const struct orb_sftp_events events = {on_ready, on_ended};
    struct sftp_store *store = channel->store;
    orbit_error error;
    int fd = -1;
    orbit_status status = orb_sftp_new(&channel->session, store->host->loop, &store->host->log, store->peer,
                                       store->stall_ms, &events, channel, &error);
    if (status >= 0 && store->command) {
        channel->command = sftp_command_start(store, store->command, &fd, on_command_end, channel, &error);
        if (channel->command)
            orb_sftp_attach(channel->session, fd);
        else
            status = (orbit_status)error.status;
    } else if (status >= 0) {
        channel->ssh = (struct orb_ssh_channel){
            .subsystem = "sftp", .on_ready = on_ssh_ready, .on_slow = on_ssh_slow, .on_end = on_ssh_end};
        orb_ssh_channel_start(store->ssh, &channel->ssh);
    }
    channel->transport = status >= 0;
    if (status < 0) {
        if (channel->session)
            drop_session(channel, &error);
        fail_calls(sftp_calls_take(&channel->waiting), &error);
    }
    return status >= 0;
}

/* ---- which one ------------------------------------------------------------------------------------- */

static bool usable(const struct sftp_channel *channel)
{
    return channel->session && (!channel->ready || orb_sftp_ready(channel->session));
}

uint64_t sftp_way_ns(void *self)
{
    const struct orb_sftp *session = ready_session(self);
    return session ? orb_sftp_round_trip_ns(session) : 0;
}

static bool is_far(struct sftp_store *store)
{
    return sftp_way_ns(store) >= FAR_NS;
}

unsigned sftp_channels_streams(const struct sftp_store *store)
{
    unsigned streams = 0;
    for (unsigned i = 0; i < store->channels_most; i++)
        streams += store->channels[i].streams;
    return streams;
}

/* `count` in all, with those that there are. */
static void open_ahead(struct sftp_store *store, unsigned count)
{
    unsigned opened = 0;
    for (unsigned i = 0; i < count && i < store->channels_most; i++) {
        struct sftp_channel *channel = &store->channels[i];
        if (!channel->session && !channel->transport)
            opened += open_channel(channel);
    }
    if (opened)
        orb_log(&store->host->log, ORBIT_LOG_DEBUG, "sftp: %u more channels to '%s' ahead", opened, store->peer);
}

void sftp_channels_ahead(struct sftp_store *store, uint64_t bytes, unsigned streams)
{
    unsigned count = streams ? streams : store->streams;
    if (bytes < MUCH || store->command)
        return;
    if (!ready_session(store))
        store->ahead = count;
    else if (is_far(store))
        open_ahead(store, count);
}

/* One that is open, or can be opened; where all are still ending, one of these. What is near needs no other than the
 * first, whatever was opened ahead. */
static struct sftp_channel *choose(struct sftp_store *store, const struct sftp_call *call)
{
    struct sftp_channel *best = NULL, *closed = NULL;
    bool far = call->apart || is_far(store);
    for (unsigned i = 0; i < store->channels_most; i++) {
        struct sftp_channel *channel = &store->channels[i];
        if (!usable(channel)) {
            if (!closed || (closed->transport && !channel->transport))
                closed = channel;
            continue;
        }
        unsigned load = call->bulk ? channel->streams : orb_sftp_under_way(channel->session) + !channel->ready * 1000u;
        unsigned least = !best        ? 0
                         : call->bulk ? best->streams
                                      : orb_sftp_under_way(best->session) + !best->ready * 1000u;
        if (!best || (load < least && (far || !call->bulk)))
            best = channel;
    }
    bool another = call->bulk && best && best->streams > 0 && closed && !closed->transport && far;
    return !best || another ? closed : best;
}

void sftp_call_start(struct sftp_call *call, void (*go)(struct sftp_call *call))
{
    struct sftp_store *store = call->store;
    struct sftp_channel *channel = choose(store, call);
    call->go = go;
    if (store->absent_timer && !channel->session) {
        wait_in(&store->absent, call);
        return;
    }
    call->channel = channel;
    call->generation = channel->generation;
    if (!usable(channel) && channel->transport) {
        wait_in(&channel->late, call);
        return;
    }
    if (call->bulk) {
        channel->streams++;
        call->counted = true;
    }
    if (channel->ready) {
        go(call);
        return;
    }
    wait_in(&channel->waiting, call);
    if (!channel->session)
        (void)open_channel(channel);
}

static void leave_list(struct sftp_call **list, const struct sftp_call *call)
{
    for (; *list; list = &(*list)->next)
        if (*list == call) {
            *list = call->next;
            return;
        }
}

void sftp_call_leave(struct sftp_call *call)
{
    struct sftp_channel *channel = call->channel;
    if (call->waits)
        leave_list(&call->store->absent, call);
    if (!channel)
        return;
    if (call->waits) {
        leave_list(&channel->waiting, call);
        leave_list(&channel->late, call);
    }
    call->waits = false;
    if (call->counted && channel->generation == call->generation && channel->streams > 0)
        channel->streams--;
    call->counted = false;
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void store_free(struct sftp_store *store)
{
    orbit_op *op = store->closing;
    orb_free(store->command);
    orb_free(store->peer);
    orb_free(store->locator);
    orb_free(store->root);
    orb_free(store);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void on_dropped(void *ctx)
{
    store_free(ctx);
}

static void close_when_quiet(struct sftp_store *store)
{
    if (!store->closing)
        return;
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        if (store->channels[i].session || store->channels[i].transport)
            return;
    struct orb_ssh *ssh = store->ssh;
    store->ssh = NULL;
    if (ssh)
        orb_ssh_drop(ssh, on_dropped, store);
    else
        store_free(store);
}

void sftp_store_close(struct sftp_store *store, orbit_op *op)
{
    store->closing = op;
    sftp_held_end(store);
    sftp_absent_end(store);
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++) {
        struct sftp_channel *channel = &store->channels[i];
        if (channel->session)
            drop_session(channel, NULL);
        if (channel->transport && store->ssh)
            orb_ssh_channel_stop(&channel->ssh);
    }
    close_when_quiet(store);
}

bool sftp_store_can(const struct sftp_store *store, unsigned extension)
{
    for (unsigned i = 0; i < SFTP_CHANNELS_MAX; i++)
        if (store->channels[i].ready)
            return orb_sftp_can(store->channels[i].session, extension);
    return false;
}
