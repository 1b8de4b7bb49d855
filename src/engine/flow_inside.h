/* SPDX-License-Identifier: Apache-2.0
 * The inside of an endpoint's flow: flow.c holds who waits and who is silent, flow_number.c how many there may be. Loop
 * thread only, but for `moved`. */
#ifndef ORB_ENGINE_FLOW_INSIDE_H
#define ORB_ENGINE_FLOW_INSIDE_H

#include "engine/climb.h"
#include "engine/flow.h"
#include "engine/pace.h"
#include "engine/patience.h"

enum { ORB_FLOW_LATENCIES = 64 };

struct queue {
    struct orb_call *first, **last;
};

struct orb_flow {
    struct orb_flow *next, **link; /* host->flows */
    const orbit_backend_ops *ops;
    char *endpoint; /* NULL: of one backend */
    uint32_t users;
    struct orb_loop *loop;
    struct orb_log *log;
    bool answered;
    struct orb_pace pace;
    struct orb_timer *timer;
    void (*go)(struct orb_call *call);

    struct orb_climb limit;
    double first_limit;
    double uncut; /* before what the pace's latest trial took off */
    struct orb_health health;
    uint64_t cut_ns;
    double answers, lates; /* of the latest replies, the older ones counting half */

    struct queue waiting[ORB_FLOW_KINDS]; /* of BULK: unused, they wait in their turns */
    struct orb_turn *turns, **turns_last; /* with waiting calls, the next first */
    struct orb_turn common;               /* of bulk calls without one */
    uint32_t streams;                     /* turns with calls */
    uint32_t in_flight[ORB_FLOW_KINDS];
    uint32_t lent[ORB_FLOW_KINDS]; /* of those: silent, others have their places */
    unsigned next_kind;
    struct orb_call *flying; /* all in flight */
    struct orb_timer *look_timer;
    struct orb_patience patience;
    uint64_t heard_ns; /* the latest answer */

    _Atomic uint64_t moved;
    uint64_t epoch_ns, epoch_moved; /* epoch_ns 0: it begins when all places are taken */
    uint32_t epoch_calls, epoch_full;
    uint64_t settled_ns; /* when a new number has begun to show */
    uint64_t latencies[ORB_FLOW_LATENCIES];
    uint32_t latency_count;
    double usual_latency;
    struct orb_tail tail;
};

/* flow_number.c. A call ends, and still counts; `full`: it had no place to spare. */
void orb_flow_measure(struct orb_flow *flow, const struct orb_call *call, bool full, uint64_t now_ns);
/* What its end says of the number: time-outs and lost connections; refusals, which the pace judges. */
void orb_flow_feel(struct orb_flow *flow, const struct orb_call *call, enum orb_flow_result result, uint64_t now_ns);
void orb_flow_hear(struct orb_flow *flow, const struct orb_call *call, enum orb_flow_result result, uint64_t now_ns);

#endif
