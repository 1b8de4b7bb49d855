/* SPDX-License-Identifier: Apache-2.0
 * One range of a source read by one call, or for a while by two that race: the hedge asks for the bytes that are still
 * missing on another connection, drops those that meanwhile came the other way, and takes over at the moment it is
 * ahead. From then on it alone fills the sink, and the other is cancelled. Every byte reaches the sink once and in
 * order, so nothing behind it (a buffer, a pipe, a checksum, a part) knows of the race.
 *
 *     arm → start → done                                    as with a call
 *     arm → start → hedge → [the hedge leads] → done        done comes once, when both legs have ended
 *
 * Loop thread, but for the sinks: those run on the delivering threads of the two reads. */
#ifndef ORB_ENGINE_RACE_H
#define ORB_ENGINE_RACE_H

#include "engine/call.h"

struct orb_race;
struct orb_hedger;

struct orb_race_leg {
    orbit_sink sink; /* what the backend fills */
    struct orb_race *race;
    struct orb_call call;
    orbit_read_request request;
    orbit_read_reply reply;
    uint64_t from;  /* bytes of the range before this attempt's first */
    uint64_t end;   /* … and before the first that it did not ask for */
    bool heard;     /* the owner was told the head */
    bool head_kept; /* a head came while the other led */
    bool hedge;     /* it began as the second */
    bool timed;     /* its first byte's time was taken note of */
    _Atomic uint64_t first_ns;
    _Atomic uint64_t dropped;  /* bytes that the other leg had brought already */
    _Atomic uint64_t may_drop; /* more of them end it */
    _Atomic bool waits;        /* for the other to give its room back */

    /* The delivering thread's while the read runs, else the loop's. */
    uint64_t at;
    bool led, entered;
    enum orb_race_lent { ORB_RACE_NOTHING, ORB_RACE_ROOM, ORB_RACE_SCRATCH, ORB_RACE_REFUSED } lent;
    uint8_t scratch[4096]; /* room for what is dropped */
};

struct orb_race_kind {
    /* Fills leg->request for the bytes from leg->from on. */
    void (*ask)(struct orb_race *race, struct orb_race_leg *leg);
    /* Nullable; on the leg's thread: from now on this attempt fills the target, and op->resume of it counts. */
    void (*enter)(struct orb_race *race, struct orb_race_leg *leg);
    /* Nullable: the reply's head is there; only of the leg that leads. */
    void (*head)(struct orb_race *race, struct orb_race_leg *leg);
    /* As a call's; only of the leg that leads. */
    orbit_status (*judge)(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, orbit_error *error);
    bool (*again)(struct orb_race *race, struct orb_race_leg *leg, const orbit_error *error);
    /* An attempt of this leg ended, whatever becomes of it. Nullable. */
    void (*attempt_over)(struct orb_race *race, struct orb_race_leg *leg);
    /* Nullable, for hedge.c: somebody waits for just this range; the range had to wait for its consumer since it was
     * last asked for this. */
    bool (*urgent)(struct orb_race *race);
    bool (*held_up)(struct orb_race *race);
    /* Once, when nothing is in flight any more. `leg` led at the end. */
    void (*done)(struct orb_race *race, struct orb_race_leg *leg, orbit_status status, const orbit_error *error);
};

struct orb_race {
    const struct orb_race_kind *kind; /* set by the owner, as the next three */
    orbit_sink *target;
    struct orb_backend *backend;
    void *ctx;
    enum orb_flow_kind need; /* and these, as of a call, before it starts */
    struct orb_turn *turn;
    struct orb_tally *tally;
    bool eager;

    /* Private. */
    struct orb_race_leg legs[2];
    _Atomic uint64_t state; /* bytes that reached the target, which leg leads, whether it holds room */
    pthread_mutex_t waking; /* held while a leg that waits is resumed */
    bool made;
    struct orb_message message;   /* a hedge took over */
    _Atomic uint32_t message_out; /* a word of its own: the flags beside it are the loop's */
    bool cancelled, ended, over;
    orbit_status status; /* of the leg that led, while the other ends */
    orbit_error error;

    /* hedge.c's: the stream's list, and the last looks at it. */
    struct orb_hedger *hedger;
    struct orb_race *next, **link;
    uint64_t attempt_ns, mark_ns, mark_at, moved_ns, moved_at, reserved;
    uint32_t hedges;
    bool hedging;
    bool held_up; /* its consumer was the reason to wait: says nothing about the store */
};

orbit_status orb_race_open(struct orb_race *race, orbit_error *error);
/* Nothing is in flight. */
void orb_race_close(struct orb_race *race);
/* From the range's first byte. */
void orb_race_arm(struct orb_race *race);
/* (Again) from the first byte that is missing. */
void orb_race_start(struct orb_race *race);
/* From inside again(): what came does not count, the next attempt begins with the first byte. */
void orb_race_rewind(struct orb_race *race);
/* Ends soon with ORBIT_E_CANCELLED, or as it ended anyway; done() still comes. */
void orb_race_cancel(struct orb_race *race);
/* Nothing is in flight and done() was called, or it was never started. */
bool orb_race_idle(const struct orb_race *race);
struct orb_race_leg *orb_race_lead(struct orb_race *race);
uint64_t orb_race_at(const struct orb_race *race);

/* For hedge.c. Starts the second leg, which may drop so many bytes. Only while one leg is in flight. */
void orb_race_hedge(struct orb_race *race, uint64_t may_drop);
bool orb_race_hedged(const struct orb_race *race); /* both legs are in flight */
/* Takes the leg that does not lead out of the race. */
void orb_race_withdraw(struct orb_race *race);
/* The leg that leads holds room and does not move: ended, so that the other, which waits for it, can go on. */
void orb_race_give_up(struct orb_race *race);

#endif
