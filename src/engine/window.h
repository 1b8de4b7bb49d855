/* SPDX-License-Identifier: Apache-2.0
 * The read window: ranges of one object in flight side by side, taken out in order by one consumer.
 *
 * The consumer's functions may be called from any one thread at a time; the others belong to the loop. The
 * delivering threads of the backend meet both under the window's mutex, once a commit. The window never
 * waits: peek says ORBIT_AGAIN and `notify` is called once when it is worth looking again. */
#ifndef ORB_ENGINE_WINDOW_H
#define ORB_ENGINE_WINDOW_H

#include "backend/backend.h"

struct orb_window;

struct orb_window_config {
    struct orb_backend *backend;
    const char *path, *version_id, *if_match; /* borrowed until closed */
    const uint8_t *sse_customer_key;
    uint64_t offset, length;   /* ORBIT_TO_END: to the end */
    uint64_t chunk_bytes;      /* 0: as suits the store */
    uint32_t parallel;         /* 0: as suits the store */
    bool verify;               /* compare the object's own CRC where it keeps one */
    bool look;                 /* ask for the checksum of the whole before the first byte */
    bool no_hedge;             /* ranges that lag are not asked for again */
    _Atomic uint64_t *count;   /* nullable: every byte that arrived is added */
    struct orb_tally *tally;   /* nullable: its requests are counted there, too */
    void (*notify)(void *ctx); /* any thread, without the window's mutex */
    void (*closed)(void *ctx); /* loop; after orb_window_close(): the window is gone */
    void *ctx;
};

/* Any thread; allocates little and starts nothing. */
orbit_status orb_window_new(struct orb_window **out, const struct orb_window_config *config, orbit_error *error);

/* ---- loop thread ---- */
/* Reserves memory (waiting for it if need be) and starts the first range. Once. */
void orb_window_open(struct orb_window *window);
/* Ends it now with `status`; the consumer hears of it before any more bytes. */
void orb_window_stop(struct orb_window *window, orbit_status status, const orbit_error *error);
/* Begins anew at `offset`, pinned to the same version. The consumer holds no bytes and does not peek meanwhile. */
void orb_window_restart(struct orb_window *window, uint64_t offset);
/* Cancels what is in flight; closed() is called when everything has ended and is freed, never from inside. */
void orb_window_close(struct orb_window *window);

/* ---- the consumer ---- */
/* ORBIT_OK once the first reply is known, ORBIT_AGAIN before, or why it failed. */
orbit_status orb_window_opened(struct orb_window *window, orbit_error *error);
/* The next bytes in order, lent until orb_window_consume(). ORBIT_END, ORBIT_AGAIN or a negative status. */
orbit_status orb_window_peek(struct orb_window *window, const void **bytes, size_t *length, orbit_error *error);
void orb_window_consume(struct orb_window *window, size_t length);
/* Moves on to `offset` if that costs nothing or little; false: orb_window_restart() is needed. */
bool orb_window_skip(struct orb_window *window, uint64_t offset);
uint64_t orb_window_position(struct orb_window *window);
/* Bytes from the consumer's position to the end; ORBIT_SIZE_UNKNOWN while that is not known. */
uint64_t orb_window_left(struct orb_window *window);
/* Of the first reply; NULL before it is known. Does not change any more. */
const orbit_metadata *orb_window_metadata(struct orb_window *window);
/* Whether a stored checksum was compared and matched. */
bool orb_window_verified(struct orb_window *window);
/* Bytes that arrived so far, and how many there will be (ORBIT_SIZE_UNKNOWN before the first reply). Any thread. */
void orb_window_progress(struct orb_window *window, uint64_t *done, uint64_t *total);

#endif
