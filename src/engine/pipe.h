/* SPDX-License-Identifier: Apache-2.0
 * A pipe joins one read with one put or part: the read fills its sink on the source's thread, the write drains its
 * body on the target's, through a few blocks charged to the budget. Nothing else is held: this is how a part can be
 * an extent of a file or a range of another store.
 *
 *     loop: open, arm(length), attach_source, …             source thread: sink.acquire, sink.commit
 *           on READY: attach_target, start the write      target thread: body.peek, body.consume
 *           detach_*, before an operation is cancelled and when it has ended
 *
 * A block becomes visible to the target when it is full or the last: few, large hand-overs. A target that can store
 * bytes on the source's thread (orbit_op.store) and waits for them gets them there and then, where they are in the
 * cache; only when it cannot do so at once they change threads. The other way round, a source that can load bytes on
 * the target's thread (orbit_op.load) and waits for room is asked there for the next block, when the target has come to
 * the end of what is there. The checksum of the bytes
 * is computed as they arrive, and when one is expected the last block is withheld until it has been compared, so
 * that damaged bytes are never written to the end. */
#ifndef ORB_ENGINE_PIPE_H
#define ORB_ENGINE_PIPE_H

#include <pthread.h>

#include "backend/backend.h"
#include "base/digest.h"

#define ORB_PIPE_BLOCK     ((size_t)256 << 10)
#define ORB_PIPE_WIDE      ((size_t)1 << 20) /* a block of a range that has a fast store almost for itself */
#define ORB_PIPE_BLOCKS    2
#define ORB_PIPE_BYTES     (ORB_PIPE_BLOCK * ORB_PIPE_BLOCKS) /* charged for one pipe */
#define ORB_PIPE_TAKE      ((size_t)16 << 10)                 /* fewer bytes at once are gathered in a block */
#define ORB_PIPE_CRC64NVME 1u
#define ORB_PIPE_CRC32C    2u
#define ORB_PIPE_CRC32     4u

enum orb_pipe_news {
    ORB_PIPE_NOTHING, /* a message that is out of date: see orb_pipe_quiet() */
    ORB_PIPE_READY,   /* the first block, or all there is, has come: once for each arm */
    ORB_PIPE_STUCK    /* full, and nobody said how long it is */
};

struct orb_pipe {
    orbit_sink sink;
    orbit_body body;
    struct orbit_host *host;
    void (*news)(struct orb_pipe *pipe, enum orb_pipe_news news); /* loop thread */
    void (*passed)(struct orb_pipe *pipe, size_t bytes);          /* nullable; source's thread, each commit */
    void *ctx;
    size_t block; /* bytes of a block: ORB_PIPE_BLOCK, or as orb_pipe_set_block() says */
    pthread_mutex_t mutex;
    pthread_cond_t quiet; /* a resume has returned */
    struct {
        uint8_t *blocks[ORB_PIPE_BLOCKS];
        uint64_t length; /* of the range; ORBIT_SIZE_UNKNOWN until it is known */
        uint64_t received, consumed;
        uint64_t lent; /* blocks that were ever lent: what rewind looks at */
        uint64_t crc64;
        uint32_t crc32c, crc32;
        unsigned crcs;             /* ORB_PIPE_CRC… that are computed */
        orbit_checksum expected;   /* algorithm NONE: nothing to compare */
        struct orb_digest *digest; /* of an expected hash */
        bool source_waits, target_waits;
        bool held_up;        /* the source found it full since this was last asked */
        bool storing;        /* the source's thread stores bytes for the target */
        unsigned refused;    /* this many blocks are not asked for by load(): it had to wait for the last one */
        bool deaf;           /* what the source still delivers is dropped */
        bool told;           /* READY was said */
        bool hold;           /* the last block waits for orb_pipe_let_go() */
        bool complete;       /* all bytes are here and were found right */
        orbit_status status; /* negative: failed */
        orbit_error error;
        orbit_op *source, *target; /* attached */
        unsigned resuming;
        bool message_out; /* posted, not delivered */
    } locked;             /* by mutex */
    /* Source's thread: room that nobody wants, so that a source that says too much, or for which there was no
     * memory, hears of it from its commit. */
    uint8_t spill[64];
    bool spilling;
    const void *taken_end; /* where the piece that was taken last ended; only compared */
    struct orb_message message;
    bool open;
};

/* Loop thread, all of these. `pipe` was zeroed; the ORB_PIPE_BYTES are charged by the caller. */
orbit_status orb_pipe_open(struct orb_pipe *pipe, struct orbit_host *host, orbit_error *error);
/* Nothing may be attached, and no news on their way: see orb_pipe_quiet(). Zeroed ones are fine. */
void orb_pipe_close(struct orb_pipe *pipe);
/* Other blocks from now on: fewer hand-overs for more memory. Before it is armed, nothing attached; what
 * ORB_PIPE_BLOCKS of them have more than ORB_PIPE_BYTES is charged by the caller. */
void orb_pipe_set_block(struct orb_pipe *pipe, size_t block);
/* Empties it for a range of `length` bytes (or ORBIT_SIZE_UNKNOWN), with ORB_PIPE_CRC… to compute. `hold`: the last
 * block is withheld until orb_pipe_let_go(). */
void orb_pipe_arm(struct orb_pipe *pipe, uint64_t length, unsigned crcs, bool hold);
void orb_pipe_let_go(struct orb_pipe *pipe);
/* The length has become known: ORBIT_E_PROTOCOL when more has come already. */
orbit_status orb_pipe_set_length(struct orb_pipe *pipe, uint64_t length, orbit_error *error);
/* The bytes of the whole range must have this checksum: one of the CRCs that are computed, said before the length
 * is; or any other, said between arm and the first byte. Where memory is out the pipe fails. */
void orb_pipe_expect(struct orb_pipe *pipe, const orbit_checksum *checksum);

void orb_pipe_attach_source(struct orb_pipe *pipe, orbit_op *op);
void orb_pipe_attach_target(struct orb_pipe *pipe, orbit_op *op);
/* Afterwards op->resume is not called, and no call is under way. */
void orb_pipe_detach_source(struct orb_pipe *pipe);
/* … of just this one, if another was attached since. */
void orb_pipe_detach_source_of(struct orb_pipe *pipe, const orbit_op *op);
void orb_pipe_detach_target(struct orb_pipe *pipe);

/* Fails both windows: peek and commit say `error` from now on. The first failure stays. */
void orb_pipe_fail(struct orb_pipe *pipe, const orbit_error *error);
/* What made it fail, or ORBIT_OK. */
orbit_status orb_pipe_failure(struct orb_pipe *pipe, orbit_error *error);
/* Nothing more is taken from the source: its range will be read again from the start. */
void orb_pipe_deafen(struct orb_pipe *pipe);
/* The target starts over. True: all its bytes are still here. False: the source must read them again. */
bool orb_pipe_rewind(struct orb_pipe *pipe);

uint64_t orb_pipe_received(struct orb_pipe *pipe);
/* Whether the source had to wait for the target since the last time this was asked. */
bool orb_pipe_was_full(struct orb_pipe *pipe);
/* All bytes have come (they may still be held). */
bool orb_pipe_arrived(struct orb_pipe *pipe);
uint64_t orb_pipe_crc64(struct orb_pipe *pipe);
uint32_t orb_pipe_crc32c(struct orb_pipe *pipe);
uint32_t orb_pipe_crc32(struct orb_pipe *pipe);
/* No message of it is on its way to the loop. */
bool orb_pipe_quiet(struct orb_pipe *pipe);

#endif
