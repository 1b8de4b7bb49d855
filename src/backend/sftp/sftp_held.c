/* SPDX-License-Identifier: Apache-2.0
 * Files that are open for reading stay open for a moment: the next range of the same stream costs no OPEN, and reads
 * the same file, also when another one has got its name meanwhile, which times of whole seconds could not tell. Loop
 * thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

enum { IDLE_MAX = 16, IDLE_MS = 1000 };

static bool lives(const struct sftp_held *held)
{
    return held->channel->session && held->channel->generation == held->generation;
}

struct sftp_held *sftp_held_take(const struct sftp_call *call, const char *full, const orbit_metadata *pin)
{
    for (struct sftp_held *held = call->store->held; pin && held; held = held->next)
        if (held->channel == call->channel && held->generation == call->generation && strcmp(held->full, full) == 0 &&
            held->size == pin->size && held->mtime_ns == pin->mtime_ns) {
            held->users++;
            return held;
        }
    return NULL;
}

struct sftp_held *sftp_held_add(const struct sftp_call *call, const char *full, const struct orb_sftp_handle *handle,
                                const orbit_metadata *about)
{
    struct sftp_held *held = orb_calloc(1, sizeof(*held));
    if (!held || !(held->full = orb_strdup(full))) {
        orb_free(held);
        return NULL;
    }
    held->channel = call->channel;
    held->generation = call->generation;
    held->handle = *handle;
    held->size = about->size;
    held->mtime_ns = about->mtime_ns;
    held->users = 1;
    held->next = call->store->held;
    call->store->held = held;
    return held;
}

/* Closes what was idle since before `since_ns`, and the oldest ones beyond `most`. */
static unsigned clean(struct sftp_store *store, uint64_t since_ns, unsigned most)
{
    unsigned idle = 0;
    for (struct sftp_held **place = &store->held, *held; (held = *place);) {
        bool old = held->users == 0 && (!lives(held) || held->idle_ns <= since_ns || idle >= most);
        idle += held->users == 0 && !old;
        if (!old) {
            place = &held->next;
            continue;
        }
        *place = held->next;
        if (lives(held))
            orb_sftp_close_handle(held->channel->session, &held->handle);
        orb_free(held->full);
        orb_free(held);
    }
    return idle;
}

static void on_timer(void *ctx)
{
    struct sftp_store *store = ctx;
    store->held_timer = NULL;
    if (clean(store, orb_now_ns() - IDLE_MS * ORB_MS, IDLE_MAX))
        store->held_timer = orb_timer_start(store->host->loop, IDLE_MS, on_timer, store);
}

void sftp_held_give(struct sftp_store *store, struct sftp_held *held)
{
    held->users--;
    held->idle_ns = orb_now_ns();
    clean(store, 0, IDLE_MAX);
    if (!store->held_timer)
        store->held_timer = orb_timer_start(store->host->loop, IDLE_MS, on_timer, store);
    if (!store->held_timer) /* no memory: not kept */
        clean(store, UINT64_MAX, 0);
}

void sftp_held_end(struct sftp_store *store)
{
    orb_timer_cancel(store->held_timer);
    store->held_timer = NULL;
    clean(store, UINT64_MAX, 0);
}
