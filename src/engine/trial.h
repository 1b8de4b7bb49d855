/* SPDX-License-Identifier: Apache-2.0
 * Whether twice as many ranges are worth it: of a copy that is limited by this machine, not by the way or the store.
 * They are tried for a moment, and kept where bytes come faster by much and each costs hardly more of the processor,
 * for as long as that is so. What was not is tried again soon, since a moment is short enough for chance to decide it,
 * then ever more seldom; what is kept is compared anew now and then, since fewer may have been slow by chance. Plain
 * arithmetic on what its caller measured: any thread, one at a time. */
#ifndef ORB_ENGINE_TRIAL_H
#define ORB_ENGINE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

struct orb_trial_rate {
    uint64_t per_s; /* bytes a second; 0: not known */
    uint64_t cost;  /* of the processor, of all threads: nanoseconds a MiB; 0: not known */
};

struct orb_trial {
    struct orb_trial_rate few, more; /* means of late: of the number to compare with, of the larger one that is kept */
    enum { ORB_TRIAL_RESTS = 0, ORB_TRIAL_TRIES, ORB_TRIAL_PROVES, ORB_TRIAL_KEEPS } state;
    uint32_t before; /* what it falls back to */
    uint32_t patience_ms;
    uint64_t next_ns, doubt_ns; /* when more may be tried; when what is kept is compared anew */
};

/* Nothing is known; more are tried at the first look, since what takes a second is over before a later trial brings
 * anything. */
void orb_trial_start(struct orb_trial *trial);
/* How long the next look should measure. */
uint32_t orb_trial_wait_ms(const struct orb_trial *trial);
/* What came with `now` ranges since the last look: how many there should be from here on, never more than `most`. */
uint32_t orb_trial_look(struct orb_trial *trial, struct orb_trial_rate rate, uint32_t now, uint32_t most,
                        uint64_t now_ns);
/* Something else decided the number: a trial that is under way says nothing. */
void orb_trial_forget(struct orb_trial *trial);

#endif
