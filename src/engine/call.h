/* SPDX-License-Identifier: Apache-2.0
 * One operation with the patience of the engine: tries, waits with full jitter, tries again, until it is
 * done, final, out of attempts or out of time. How many calls an endpoint gets at once is its flow's matter.
 * Loop thread only, but where a function says otherwise. */
#ifndef ORB_ENGINE_CALL_H
#define ORB_ENGINE_CALL_H

#include "engine/flow.h"

struct orb_call {
    struct orb_op op;
    /* Invokes the backend's function for one attempt, with op's request and reply made fresh. */
    void (*start)(struct orb_call *call);
    /* Once, when it is over for good; not from inside orb_call_start(). The call may be freed or started
     * again in it. `error` is NULL when status is not negative. */
    void (*done)(struct orb_call *call, orbit_status status, const orbit_error *error);
    /* Nullable: asked before a retry whether it makes sense here, and may prepare it (rewind, narrow a
     * range, set `resolve`). Returning false ends the call with the error at hand. Errors that are flagged
     * MAYBE_DONE but not RETRIABLE are tried again only where there is such a hook and it says yes. */
    bool (*again)(struct orb_call *call, const orbit_error *error);
    /* Nullable: looks at an attempt that ended without an error and may fail it all the same (one item of
     * a batch): fills `error` and returns its status, or returns `status`. */
    orbit_status (*judge)(struct orb_call *call, orbit_status status, orbit_error *error);
    /* Set it where an attempt shows life by itself (a request without body, or one whose sink or body calls
     * orb_call_alive()): an attempt without a sign of life for the backend's retry_deadline is cancelled and
     * ends with ORBIT_E_TIMEOUT. Otherwise only the backend's own time-outs end an attempt. */
    bool watched;
    /* Set in start() where success may come without the store being asked (list_begin): it does not count as an
     * answer, and the next call that cannot connect is told so quickly. */
    bool quiet;
    /* Set where asking twice does no more than asking once, and a retry is not worse than the attempt it replaces (what
     * came stays, the body is still there): an attempt that is silent for much longer than is usual for its endpoint is
     * ended and made again (engine/patience). With a hook `again` it looks like a time-out whose reply was lost. */
    bool eager;
    /* Set before orb_call_start(): what the call needs of its endpoint's flow, and for BULK whose turn it takes. A
     * backend whose number of requests is fixed makes it ORB_FLOW_FREE. */
    enum orb_flow_kind need;
    struct orb_turn *turn;
    void *ctx;
    /* Said in start() by orb_call_names(), for who looks on. */
    orbit_request request;
    const char *path;
    /* Set before orb_call_start(), nullable: whose requests these are, beside the client's. */
    struct orb_tally *tally;

    /* Private. start, again, judge, watched, eager, need, turn, tally and ctx survive orb_call_start(), the rest is
     * reset by it. */
    struct orb_timer *timer; /* the wait before a retry, or the watch over an attempt */
    struct orb_message message;
    uint32_t attempt;     /* 1 for the first */
    uint32_t connects;    /* E_CONNECT in a row */
    bool checksum_failed; /* once already */
    uint64_t number;      /* of this call among the client's */
    uint64_t entered_ns, attempt_ns, progress_ns, connect_ns;
    _Atomic bool moved, alive; /* since the attempt began; since the watch last looked */
    _Atomic uint64_t gained;   /* bytes since the attempts were last renewed */
    uint64_t worth;            /* so many renew them */
    bool worth_known;          /* for good: some have come */
    uint64_t op_progress;      /* op.progress when the watch last looked */
    bool active, cancelled, waiting, queued, expired;
    bool hurried;                           /* this attempt was ended because it was silent; not cancelled */
    bool lent;                              /* its place in the flow is with others */
    uint64_t silence_ns;                    /* the longest of this attempt so far */
    struct orb_flow *flow;                  /* NULL: none holds it back */
    enum orb_flow_kind kind;                /* as it is counted */
    _Atomic uint64_t first_ns;              /* when this attempt's first bytes went through */
    struct orb_call *next;                  /* among those that wait for their turn */
    struct orb_call *flying, **flying_link; /* among those in flight */
};

/* Zeroed call, then this. Uses the backend's retry limits; a backend with caps.no_retry tries once. */
void orb_call_start(struct orb_call *call, struct orb_backend *backend, void (*start)(struct orb_call *),
                    void (*done)(struct orb_call *, orbit_status, const orbit_error *), void *ctx);
/* In start(): what the attempt asks, and of which path (nullable; it lives as long as the request). */
static inline void orb_call_names(struct orb_call *call, orbit_request request, const char *path)
{
    call->request = request;
    call->path = path;
}
/* Ends soon with ORBIT_E_CANCELLED; done still comes (later). Nothing when it is over. */
void orb_call_cancel(struct orb_call *call);
/* By the flow: ends this attempt, which is silent, so that the next one begins. */
void orb_call_hurry(struct orb_call *call);
/* How many bytes it is about: a 16th of them, or a MiB, renews its attempts (orb_call_progressed()). In start(), and
 * again when the reply's head tells more exactly; counts until some have come. Who never says so needs a MiB. */
void orb_call_asks(struct orb_call *call, uint64_t bytes);
/* Bytes went through that need not go again (a reader's range was narrowed, a body is not rewound): the
 * deadline "without progress" starts anew with the next retry, and with enough of them the attempt count does. Not for
 * bytes that a retry sends again. Any thread, while the call is not idle. */
void orb_call_progressed(struct orb_call *call, uint64_t bytes);
/* A sign of life: see `watched`. orbit_op_progress() counts too. Any thread, while the call is not idle. */
void orb_call_alive(struct orb_call *call);
/* Over: not started, or done was called. */
bool orb_call_idle(const struct orb_call *call);

#endif
