/* SPDX-License-Identifier: Apache-2.0
 * A server that was there and cannot be reached any more is waited for: it is being restarted, or the way to it is.
 * One connection is tried again and again for all calls, which would otherwise each begin their own and use up their
 * attempts within seconds. Who was never there is not waited for. Loop thread. */
#include "backend/sftp/sftp.h"
#include "base/clock.h"

enum { FIRST_MS = 100, LONGEST_MS = 1000 };

#define PATIENCE_NS (60 * ORB_S)

void sftp_absent_is_back(struct sftp_store *store)
{
    store->was_there = true;
    store->absent_ns = 0;
    store->absent_ms = 0;
}

static void on_timer(void *ctx)
{
    struct sftp_store *store = ctx;
    store->absent_timer = NULL;
    sftp_calls_start(sftp_calls_take(&store->absent));
}

bool sftp_absent_wait(struct sftp_store *store, const orbit_error *error)
{
    uint64_t now_ns = orb_now_ns();
    if (error->status != ORBIT_E_CONNECT || !store->was_there || store->impatient || store->closing)
        return false;
    if (store->absent_timer)
        return true;
    if (!store->absent_ns) {
        store->absent_ns = now_ns;
        orb_log(&store->host->log, ORBIT_LOG_INFO, "sftp: waiting for '%s' to come back: %s", store->peer,
                error->message);
    }
    if (now_ns - store->absent_ns > PATIENCE_NS)
        return false;
    store->absent_ms = !store->absent_ms                   ? FIRST_MS
                       : store->absent_ms * 2 < LONGEST_MS ? store->absent_ms * 2
                                                           : LONGEST_MS;
    store->absent_timer = orb_timer_start(store->host->loop, store->absent_ms, on_timer, store);
    return store->absent_timer != NULL;
}

void sftp_absent_end(struct sftp_store *store)
{
    orb_timer_cancel(store->absent_timer);
    store->absent_timer = NULL;
}
