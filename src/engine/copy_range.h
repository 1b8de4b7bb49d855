/* SPDX-License-Identifier: Apache-2.0
 * One range on its way: a read of the source, a pipe, a part (or the put) of the target. A source that breaks off goes
 * on at its byte while the target waits; a target that must start over gets the bytes from the pipe when they are all
 * still there, else the source reads them again. Loop thread only. */
#ifndef ORB_ENGINE_COPY_RANGE_H
#define ORB_ENGINE_COPY_RANGE_H

#include "engine/call.h"
#include "engine/pipe.h"
#include "engine/race.h"
#include "engine/upload.h"

struct orb_copy;

struct orb_relay {
    struct orb_upload_part target;
    struct orb_copy *copy;
    struct orb_pipe pipe;
    struct orb_race source;
    uint64_t offset; /* in the source's object */
    uint64_t length; /* bytes; of the first range: what is asked for, until the head has come */
    uint32_t barren; /* attempts in a row that ended well, too early and without a byte */
    bool first;      /* its reply says how large the object is */
    bool headed;     /* and it has said so */
    bool busy, stopping;
    bool source_over, target_sent, target_over;
    bool again;              /* the source begins anew once its last attempt has ended */
    bool waiting;            /* ready, but its turn has not come */
    bool hold;               /* the last block waits for orb_relay_let_go(), each time it is read */
    unsigned crcs;           /* ORB_PIPE_CRC… that are computed */
    orbit_checksum expected; /* of all its bytes; algorithm NONE: none */
    orbit_status status;
};

/* `length` bytes from `offset` of the source become `number` at `at` of the target. first: the length is a wish. hold:
 * the last block waits until orb_relay_let_go(). expected: nullable, of these bytes. */
orbit_status orb_relay_open(struct orb_relay *range, struct orb_copy *copy, orbit_error *error);
void orb_relay_start(struct orb_relay *range, uint32_t number, uint64_t at, uint64_t offset, uint64_t length,
                     bool first, bool hold, unsigned crcs, const orbit_checksum *expected);
/* The first range is headed: its bytes must have this CRC, which is computed. */
void orb_relay_expect(struct orb_relay *range, const orbit_checksum *expected);
/* It is its turn: the target may begin. */
void orb_relay_send(struct orb_relay *range);
void orb_relay_let_go(struct orb_relay *range);
/* Ends soon: orb_copy_range_over() comes. Nothing when it is not busy. */
void orb_relay_stop(struct orb_relay *range, const orbit_error *error);
void orb_relay_close(struct orb_relay *range);

#endif
