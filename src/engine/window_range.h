/* SPDX-License-Identifier: Apache-2.0
 * The inside of the read window, shared by its seven files: window.c has the queue, window_take.c the consumer,
 * window_size.c says how much is in flight, window_press.c what is given up when memory is short, window_look.c what is
 * asked before, window_range.c one range of a store that reads anywhere, window_sequential.c the one long read of a
 * store that reads from the start only. */
#ifndef ORB_ENGINE_WINDOW_RANGE_H
#define ORB_ENGINE_WINDOW_RANGE_H

#include "engine/admission.h"
#include "engine/call.h"
#include "engine/hedge.h"
#include "engine/race.h"
#include "engine/window.h"

#define ORB_WINDOW_ROOM_UNIT 4096u

/* A piece of the object and its buffer: in flight, waiting to be taken, or idle. */
struct orb_range {
    struct orb_range *next; /* in the queue: by the window's mutex; elsewhere the loop's */
    struct orb_window *window;
    uint8_t *buffer;
    size_t room;
    uint64_t offset; /* of buffer[0] in the object */

    struct {
        size_t length;    /* bytes there will be */
        size_t filled;    /* written by the delivering thread alone */
        size_t taken;     /* by the consumer */
    } locked;             /* by the window's mutex */
    size_t asked;         /* bytes of the object that belong into the buffer */
    _Atomic bool skipped; /* the consumer does not want it */

    /* The delivering thread's while the read runs, else the loop's. */
    uint64_t crc;
    size_t crc_length;   /* bytes of the buffer that `crc` covers */
    uint64_t crc_before; /* loop: the stream's, when this range was added to it */
    bool overflowed;     /* the store delivered more than it was asked for */
    uint8_t beyond[64];  /* lent when the buffer is full, so that too much is noticed */
    bool lent_beyond;

    /* Loop. */
    struct orb_race race;
    orbit_sink sink;
    bool running, done, orphan;
    bool in_order;        /* the store has no ranges: one long read takes its place */
    orbit_status refused; /* negative: a reply was of another version, or promised another length */
    orbit_error refusal;
};

/* The one read of a sequential store. */
struct orb_source {
    struct orb_window *window;
    struct orb_call call;
    orbit_sink sink;
    orbit_read_request request;
    orbit_read_reply reply;
    bool running, head_seen;
    bool overflowed; /* as a range's */
    orbit_status refused;
    orbit_error refusal;
};

struct orb_window {
    struct orb_window_config config;
    struct orb_backend *backend;
    struct orbit_host *host;
    bool sequential; /* the loop writes it, under the mutex */

    /* Loop. */
    uint64_t chunk_bytes, memory_bytes; /* of one range; of all buffers */
    uint32_t parallel, ahead;           /* most ranges in flight; as many as there is memory for twice */
    struct {
        uint32_t few; /* ranges in flight while the store is taken for near; 0: it is not */
        uint32_t slow;
        uint64_t far_chunk;
    } near;
    bool crumbs;             /* many small ranges instead of fewer large ones */
    uint64_t next_offset;    /* the first byte nobody asked for yet */
    uint64_t wanted_end;     /* what the caller limits the stream to */
    uint64_t charged;        /* bytes of buffers taken from the budget */
    uint32_t running;        /* operations in flight, orphans included */
    uint32_t wanted_running; /* of those, ranges of the queue */
    bool open_ended;         /* the store does not say how long the object is */
    bool failed;             /* a range failed: nothing more is started */
    bool closing, close_posted;
    struct orb_range *idle;    /* with buffers */
    struct orb_range *orphans; /* cancelled, still in flight */
    struct orb_admission admission;
    struct orb_lender lender;
    bool gave_up; /* what the consumer does not come to take: nothing is fetched before it moves */
    struct orb_turn turn;
    struct orb_hedger hedger;
    uint64_t verify_offset; /* the CRC covers [0, verify_offset) */
    uint64_t crc;
    struct orb_timer *nudge_timer;

    orbit_metadata metadata; /* constant once locked.opened */
    _Atomic int algorithm;   /* of the CRC to compute; -1 while unknown */
    _Atomic bool unverified; /* the consumer left the straight way */
    _Atomic uint64_t arrived;

    struct { /* see window_look.c */
        struct orb_call call;
        orbit_stat_request request;
        orbit_metadata seen;
        bool running;
    } look;

    /* The one read of a sequential store; see window_sequential.c. */
    struct {
        struct orb_source source;
        struct orb_range *filling; /* by the mutex */
        struct orb_range *spare;   /* by the mutex */
        bool paused;               /* by the mutex */
        bool abandoned;            /* by the mutex: the consumer went elsewhere, the read is being cancelled */
        uint64_t skip;             /* delivering thread: bytes to drop before the next one to keep */
        uint64_t received;         /* delivering thread, the loop between reads: next byte to keep */
        uint32_t slots;            /* loop */
    } sequence;

    pthread_mutex_t mutex;
    struct {
        struct orb_range *head, *tail;
        struct orb_range *current; /* the consumer's; the ranges before it are over */
        uint64_t position;
        uint64_t discard_to; /* bytes before it are passed over */
        uint64_t end;        /* ORBIT_SIZE_UNKNOWN: not known yet */
        uint64_t woken_ns;
        uint64_t moved_ns; /* the consumer took something */
        bool opened;
        bool finished; /* everything up to the end arrived well and was compared */
        bool failing;  /* window.error follows the bytes of the queue */
        bool verified;
        bool wanted; /* the consumer waits for notify() */
        bool wanted_opened;
        orbit_status stopped;    /* negative: for good */
        orbit_status end_status; /* instead of ORBIT_END: a checksum that does not match */
        bool advance_posted, nudge_posted;
    } locked;
    orbit_error error; /* by the mutex */
    struct orb_message advance_message, nudge_message, close_message;
};

/* ---- window_take.c */
/* Any thread, mutex held: has orb_window_go_on() called soon. */
void orb_window_advance_locked(struct orb_window *window);
/* Any thread: `length` more bytes of `range` are there. */
void orb_window_arrived(struct orb_window *window, struct orb_range *range, size_t length);
/* Loop: wakes the consumer if it waits and there is something for it. */
void orb_window_look(struct orb_window *window);
void orb_window_nudged(struct orb_message *message);
/* Whether it was stopped for good. */
bool orb_window_stopped(struct orb_window *window);

/* ---- window.c */
/* A range with a buffer for up to `bytes`, out of the idle ones or the budget; NULL: not now. */
struct orb_range *orb_window_buffer(struct orb_window *window, uint64_t bytes, bool first);
void orb_window_idle(struct orb_window *window, struct orb_range *range);
void orb_window_append_locked(struct orb_window *window, struct orb_range *range);
/* Loop: no bytes beyond those of `range` (NULL: of the queue) will come, `error` follows them. */
void orb_window_fail(struct orb_window *window, struct orb_range *range, orbit_status status, const orbit_error *error);
/* Loop: takes in what a reply says; a negative status if it cannot be of this stream. `range` (NULL: of a sequential
 * store) had `before` bytes when it was asked for. */
orbit_status orb_window_learn(struct orb_window *window, const orbit_read_request *request,
                              const orbit_read_reply *reply, struct orb_range *range, size_t before,
                              orbit_error *error);
/* Loop: adds ranges that are complete to the stream's checksum. */
void orb_window_fold(struct orb_window *window);
/* Loop: something ended or was taken: recycles, starts what can be started, wakes the consumer. */
void orb_window_go_on(struct orb_window *window);
/* Loop: asks for the first bytes, once there is memory for them. */
void orb_window_first_range(struct orb_window *window);
/* Loop: an operation ended. True when the window is closing: touch nothing more. */
bool orb_window_ended(struct orb_window *window);
/* Loop: all bytes are there. */
void orb_window_finish(struct orb_window *window);

/* Loop: buffers that will not be needed again, or that others wait for. */
void orb_window_give_back(struct orb_window *window);

/* ---- window_press.c */
/* Loop: somebody waits for memory. */
void orb_window_pressed(void *ctx);

/* ---- window_range.c */
void orb_range_start(struct orb_range *range, uint64_t offset, size_t length);
/* Brings the range's CRC up to `filled` bytes. */
void orb_range_crc(struct orb_range *range, size_t filled);
orbit_status orb_range_open(struct orb_range *range, struct orb_window *window, orbit_error *error);
void orb_range_close(struct orb_range *range);
/* A body of `got` bytes where `promised` were: retriable. */
orbit_status orb_range_short(const struct orb_window *window, uint64_t got, uint64_t promised, orbit_error *error);

/* ---- window_size.c */
/* Once, for a new window. */
void orb_window_choose_sizes(struct orb_window *window);
/* Ranges that may be in flight now. */
uint32_t orb_window_limit(struct orb_window *window);
/* The first reply is there; a range is complete. */
void orb_window_answered(struct orb_window *window, uint64_t asked_ns);
void orb_window_measured(struct orb_window *window, uint64_t bytes, uint64_t asked_ns);

/* ---- window_sequential.c */
void orb_sequence_start(struct orb_window *window, struct orb_range *first);
/* Loop: the same in place of `range`, the first and only one, of which nothing was taken. */
void orb_sequence_take_over(struct orb_window *window, struct orb_range *range);
/* Loop: takes back what was consumed, lets a paused read go on. */
void orb_sequence_go_on(struct orb_window *window);
/* The window was told to begin anew at its next_offset; `abandoned` is set if the read runs. */
void orb_sequence_restart(struct orb_window *window);
/* Loop, at the close: what only this file knows of. */
void orb_sequence_release(struct orb_window *window);

/* ---- window_look.c */
/* Loop: asks for the checksum of the whole, if that is to be; the first range follows. False: it is not. */
bool orb_window_looks(struct orb_window *window);
/* Loop: the version is known: if it is the one that was looked at, its checksum counts. */
void orb_window_take_look(struct orb_window *window);

#endif
