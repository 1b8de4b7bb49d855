/* SPDX-License-Identifier: Apache-2.0
 * What one endpoint gets at once. All backends of a client that name the same endpoint (orbit_capabilities.endpoint)
 * share a flow: how many requests are in flight, at what pace they start after it complained, what its retries may
 * cost, and whose turn it is. Streams take turns, a request each; requests without bulk have places of their own, so
 * that a look at a name never waits for transfers. Loop thread only, but where a function says otherwise. */
#ifndef ORB_ENGINE_FLOW_H
#define ORB_ENGINE_FLOW_H

#include "backend/backend.h"
#include "engine/tail.h"

#define ORB_FLOW_FIRST 8u  /* requests in flight at the beginning, where the store says nothing */
#define ORB_FLOW_MOST  64u /* and at most */

struct orb_call;
struct orb_flow;

/* What a request needs of the flow. */
enum orb_flow_kind {
    ORB_FLOW_SMALL = 0, /* little but a question and an answer */
    ORB_FLOW_BULK,      /* moves bytes: takes its stream's turn */
    ORB_FLOW_FREE,      /* never waits for another request to end: the number in flight is fixed by an option, or others
                           that are in flight wait for this one */
    ORB_FLOW_KINDS
};

/* A stream's place in the round. Zeroed; outlives its calls. */
struct orb_turn {
    struct orb_call *first, **last; /* that wait */
    struct orb_turn *next;          /* among those with waiting calls */
    uint32_t calls;                 /* waiting or in flight */
    uint32_t lent;                  /* of those: silent, others have their places */
};

/* Made when first needed, by the first backend that names the endpoint; NULL when the backend needs none (no_retry), or
 * memory is out: then nothing is held back. */
struct orb_flow *orb_flow_of(struct orb_backend *backend);
/* By who closes the backend. */
void orb_flow_release(struct orb_backend *backend);

/* True: start now. False: it waits, go(call) is called when it is its turn. */
bool orb_flow_enter(struct orb_flow *flow, struct orb_call *call, void (*go)(struct orb_call *call), uint64_t now_ns);
/* Takes a waiting call out. */
void orb_flow_withdraw(struct orb_flow *flow, struct orb_call *call);

enum orb_flow_result {
    ORB_FLOW_ANSWERED,  /* also "not found" */
    ORB_FLOW_THROTTLED, /* asked for fewer requests */
    ORB_FLOW_LATE,      /* a time-out */
    ORB_FLOW_SILENT     /* says nothing about the store */
};
/* A call's attempt is over: its place is free, and others may start before this returns. */
void orb_flow_left(struct orb_flow *flow, struct orb_call *call, enum orb_flow_result result, uint64_t now_ns);
bool orb_flow_has_answered(const struct orb_flow *flow);
/* Pays for one retry; returns how long it must wait at least. */
uint64_t orb_flow_retry_ms(struct orb_flow *flow, uint64_t now_ns);

/* Bulk requests that the stream of `turn` should keep in flight now, at most `most`: its part of what the endpoint
 * gets, and as many again as are silent. Ask again before each one. */
uint32_t orb_flow_share(struct orb_backend *backend, const struct orb_turn *turn, uint32_t most);
/* What one stream may ever have in flight on the backend when nobody fixed a number. */
uint32_t orb_flow_most(const struct orb_backend *backend);
/* `bytes` came or went: whether more requests bring more is judged by it. Any thread; `backend` has calls in flight. */
void orb_flow_moved(const struct orb_backend *backend, uint64_t bytes);

/* What is usual for all streams from the endpoint: engine/hedge's. */
struct orb_tail *orb_flow_tail(struct orb_flow *flow);

/* For tests and logs. */
uint32_t orb_flow_limit(const struct orb_flow *flow);
double orb_flow_rate(const struct orb_flow *flow);

#endif
