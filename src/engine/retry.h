/* SPDX-License-Identifier: Apache-2.0
 * Whether and when to try again: a pure function of what happened, so that tests need no clock. */
#ifndef ORB_ENGINE_RETRY_H
#define ORB_ENGINE_RETRY_H

#include <orbit/error.h>

#define ORB_RETRY_FIRST_MS         100u   /* the first wait is random up to this, then the double, … */
#define ORB_RETRY_LONGEST_MS       20000u /* up to this */
#define ORB_RETRY_CONNECT_ATTEMPTS 3u     /* to a store that never answered: it is down or misspelt */
#define ORB_RETRY_CONNECT_MS       2000u
#define ORB_RETRY_CONNECT_WAIT_MS  400u

struct orb_retry {
    uint32_t attempt;     /* tries so far, the one that just failed included */
    uint32_t connects;    /* E_CONNECT in a row */
    uint64_t connect_ns;  /* when the first of them failed */
    uint64_t progress_ns; /* when the call began, or bytes last went through */
    bool checksum_failed; /* once already */
};

struct orb_retry_limits {
    uint32_t attempts;
    uint32_t deadline_ms; /* without progress */
    bool answered;        /* the store has answered something before: it may just be restarting */
};

/* True: try again after `*wait_ms`. `random` is uniform over all 64 bits. Whether the error may be tried again
 * at all (its flags; ORBIT_E_CONNECT without) is looked at, too; `maybe_done_too`: MAYBE_DONE suffices. */
bool orb_retry_decide(struct orb_retry *retry, const struct orb_retry_limits *limits, const orbit_error *error,
                      bool maybe_done_too, uint64_t now_ns, uint64_t random, uint64_t *wait_ms);
/* Appends " (after 10 attempts)". */
void orb_retry_note(orbit_error *error, uint32_t attempts);

#endif
