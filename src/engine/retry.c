/* SPDX-License-Identifier: Apache-2.0
 * The retry policy: exponential waits with full jitter, bounded in number and in time without progress; a store
 * that cannot be reached at all is given up quickly. Owns no state and no clock. */
#include "engine/retry.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static uint64_t jitter_ms(uint32_t attempt, uint64_t random)
{
    uint64_t ceiling_ms = ORB_RETRY_LONGEST_MS;
    if (attempt < 16 && ((uint64_t)ORB_RETRY_FIRST_MS << (attempt - 1)) < ORB_RETRY_LONGEST_MS)
        ceiling_ms = (uint64_t)ORB_RETRY_FIRST_MS << (attempt - 1);
    return random % (ceiling_ms + 1);
}

/* Refused or unknown: more patience only with a store that was there before. */
static bool connect_again(struct orb_retry *retry, bool answered, uint64_t now_ns, uint64_t *wait_ms)
{
    if (retry->connects++ == 0)
        retry->connect_ns = now_ns;
    if (answered)
        return true;
    if (*wait_ms > ORB_RETRY_CONNECT_WAIT_MS)
        *wait_ms = ORB_RETRY_CONNECT_WAIT_MS;
    return retry->connects < ORB_RETRY_CONNECT_ATTEMPTS &&
           now_ns - retry->connect_ns + *wait_ms * ORB_MS <= ORB_RETRY_CONNECT_MS * ORB_MS;
}

bool orb_retry_decide(struct orb_retry *retry, const struct orb_retry_limits *limits, const orbit_error *error,
                      bool maybe_done_too, uint64_t now_ns, uint64_t random, uint64_t *wait_ms)
{
    uint32_t wanted = ORBIT_ERROR_RETRIABLE | (maybe_done_too ? (uint32_t)ORBIT_ERROR_MAYBE_DONE : 0u);
    /* Without a connection nothing can have happened: a look again is always safe, and the list of those who
     * were not there is short (see connect_again). */
    if ((!(error->flags & wanted) && error->status != ORBIT_E_CONNECT) || retry->attempt >= limits->attempts)
        return false;

    *wait_ms = jitter_ms(retry->attempt, random);
    if (error->status != ORBIT_E_CONNECT)
        retry->connects = 0;
    else if (!connect_again(retry, limits->answered, now_ns, wait_ms))
        return false;

    if (error->status == ORBIT_E_CHECKSUM) {
        /* Bytes that arrive wrong twice are wrong here, not on the way. */
        if (retry->checksum_failed)
            return false;
        retry->checksum_failed = true;
    }
    if (*wait_ms < error->retry_after_ms)
        *wait_ms = error->retry_after_ms;
    return now_ns - retry->progress_ns + *wait_ms * ORB_MS <= (uint64_t)limits->deadline_ms * ORB_MS;
}

void orb_retry_note(orbit_error *error, uint32_t attempts)
{
    if (attempts < 2)
        return;
    char note[40];
    int length = snprintf(note, sizeof(note), " (after %u attempts)", (unsigned)attempts);
    if (length < 0)
        return;
    size_t used = strnlen(error->message, sizeof(error->message) - 1);
    size_t most = sizeof(error->message) - 1 - (size_t)length;
    if (used > most) {
        used = most;
        error->flags |= ORBIT_ERROR_TRUNCATED;
    }
    memcpy(error->message + used, note, (size_t)length + 1);
}
