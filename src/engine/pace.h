/* SPDX-License-Identifier: Apache-2.0
 * The pace of one backend: after it asked for fewer requests they start from a token bucket, and retries of all
 * its calls draw on one allowance that delays them when it is used up. Loop thread only. */
#ifndef ORB_ENGINE_PACE_H
#define ORB_ENGINE_PACE_H

#include "engine/call.h"

struct orb_pace;

/* Made when first needed; NULL when memory is out (then nothing is paced). */
struct orb_pace *orb_pace_of(struct orb_backend *backend);

/* True: start now. False: queued, go(call) is called when it is its turn. */
bool orb_pace_enter(struct orb_pace *pace, struct orb_call *call, void (*go)(struct orb_call *call), uint64_t now_ns);
/* Takes a queued call out. */
void orb_pace_withdraw(struct orb_pace *pace, struct orb_call *call);

/* The backend answered (also "not found"). */
void orb_pace_answered(struct orb_pace *pace, uint64_t now_ns);
bool orb_pace_has_answered(const struct orb_pace *pace);
/* It asked for fewer requests, in reply to one that started at `attempt_ns`. */
void orb_pace_throttled(struct orb_pace *pace, uint64_t attempt_ns, uint64_t now_ns);
/* Pays for one retry; returns how long it must wait at least. */
uint64_t orb_pace_retry_ms(struct orb_pace *pace, uint64_t now_ns);
/* Requests a second that start now; 0: as many as are asked for. */
double orb_pace_rate(const struct orb_pace *pace);

#endif
