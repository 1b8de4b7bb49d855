/* SPDX-License-Identifier: Apache-2.0
 * An upload that is filled from memory: one producer (a user's thread, or the read of a source that has no ranges)
 * fills part after part, the loop sends them. Parts are cut by engine/parts, charged to the budget, and no more of
 * them exist than half of the budget holds.
 *
 *     loop: init, admit, …, release          producer: lend, commit, …, finish; when lend says AGAIN: wait for wake()
 *
 * A stream that ends before its first boundary is one put: so the first part is sent only when a byte follows it. */
#ifndef ORB_ENGINE_UPLOAD_FILL_H
#define ORB_ENGINE_UPLOAD_FILL_H

#include <pthread.h>

#include "engine/parts.h"
#include "engine/upload.h"

struct orb_fill_buffer;

struct orb_fill {
    struct orb_upload upload; /* loop thread; read its results when ended */
    struct orb_parts parts;
    uint64_t share;    /* most bytes of all buffers */
    uint64_t first;    /* bytes of the first part, if others than of the plan; 0: they are not */
    uint64_t reserve;  /* what must be admitted before the first byte */
    uint32_t parallel; /* most parts in flight */
    uint64_t size_hint;
    /* lend() will have something else to say than AGAIN. Any thread, after each AGAIN once, no lock held. */
    void (*wake)(void *ctx);
    /* Loop thread: parts were sent, or more of one. Nullable. */
    void (*moved)(void *ctx, uint64_t bytes);
    /* Loop thread, once. The producer may still be in lend() or between lend and commit. */
    void (*ended)(void *ctx, orbit_status status, const orbit_error *error);
    void *ctx;

    pthread_mutex_t mutex;
    struct {
        struct orb_fill_buffer *current;             /* the producer's */
        struct orb_fill_buffer *held;                /* the first part, full: sent when a byte follows */
        struct orb_fill_buffer *queue, **queue_last; /* full, to be sent */
        struct orb_fill_buffer *spare;               /* empty, of the size in use */
        uint64_t offset;                             /* bytes committed */
        uint32_t next_number;                        /* of the next part to be filled */
        uint32_t buffers;                            /* but for the spare ones */
        uint32_t sending;                            /* queued or in flight */
        uint64_t used;                               /* bytes of all buffers */
        uint64_t charged;                            /* bytes taken from the budget */
        bool admitted, finished, want_wake;
        bool spilling; /* the room lent is `spill`: the store takes no more */
        bool message_out;
        bool detached; /* the budget is not ours any more */
        orbit_status status;
        orbit_error error;
    } locked;
    uint8_t spill[64];
    uint32_t in_flight;                    /* loop */
    bool begun, opened, single, finishing; /* loop */
    bool over;                             /* loop writes it under the mutex */
    orbit_status end_status;               /* loop */
    struct orb_message message;
    bool ready_to_use;
};

/* Plans the parts; fails before anything is sent when the store or the memory cannot carry `size_hint`. `fill` was
 * zeroed and has its callbacks set. path, options and preserve stay the caller's until ended(). Any thread. */
orbit_status orb_fill_init(struct orb_fill *fill, struct orb_backend *backend, const char *path,
                           const orbit_write_options *options, const orbit_metadata *preserve, uint64_t size_hint,
                           orbit_error *error);
/* Nothing of it is on the loop any more: all is given back to the budget, also what the producer still has in hand,
 * so that orb_fill_release() may come when the client is gone. After ended(); loop thread. */
void orb_fill_detach(struct orb_fill *fill);
/* Frees everything, gives its memory back. After ended() (or if nothing was ever lent), producer gone. Loop or any
 * thread, one. Zeroed is fine. */
void orb_fill_release(struct orb_fill *fill);
/* `reserve` bytes of the budget are the fill's now. Loop thread. */
void orb_fill_admit(struct orb_fill *fill);
/* Ends with `error`, what was sent is removed. Loop thread. */
void orb_fill_stop(struct orb_fill *fill, orbit_status status, const orbit_error *error);

/* The producer's. lend: room for the next bytes, at least 1; ORBIT_AGAIN: not now, wake() will be called; or what
 * the upload failed with. commit: `length` of them are filled. finish: there are no more. */
orbit_status orb_fill_lend(struct orb_fill *fill, void **room, size_t *length, orbit_error *error);
orbit_status orb_fill_commit(struct orb_fill *fill, size_t length, orbit_error *error);
void orb_fill_finish(struct orb_fill *fill);
/* What the upload failed with, or ORBIT_OK. Any thread. */
orbit_status orb_fill_failure(struct orb_fill *fill, orbit_error *error);
/* Bytes taken so far. Any thread. */
uint64_t orb_fill_taken(struct orb_fill *fill);

/* The rule and plan that orb_fill_init() would use: for orbit_writer_ceiling(). */
struct orb_parts_rule orb_fill_rule(const struct orb_backend *backend, const orbit_write_options *options);
/* Parts in flight that options, handle and store make together. */
uint32_t orb_upload_parallel(const struct orb_backend *backend, const orbit_write_options *options);
/* The same, or more where nobody fixed it: as many as the endpoint may turn out to be worth. */
uint32_t orb_upload_most(const struct orb_backend *backend, const orbit_write_options *options);
/* Whether bodies of a write of `total` bytes are read before they are sent, so that they must be there still: for a
 * checksum that goes ahead of them. */
bool orb_upload_reads_twice(const struct orb_backend *backend, const orbit_write_options *options, uint64_t total);
/* Bytes that are held go in many small parts or ranges: the store has such, and nobody asked for others. */
bool orb_backend_in_crumbs(const struct orb_backend *backend, const orbit_write_options *options);
/* The part size somebody asked for, 0: nobody. */
uint64_t orb_upload_chunk(const struct orb_backend *backend, const orbit_write_options *options);

#endif
