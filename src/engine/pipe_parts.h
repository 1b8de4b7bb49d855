/* SPDX-License-Identifier: Apache-2.0
 * A pipe from the inside, what its two files share: pipe.c is the loop's side, pipe_windows.c what its source and its
 * target see. All under the pipe's mutex. */
#ifndef ORB_ENGINE_PIPE_PARTS_H
#define ORB_ENGINE_PIPE_PARTS_H

#include "engine/pipe.h"

/* Bytes the target may see: whole blocks, the last one only when all is well. */
static inline uint64_t orb_pipe_visible(const struct orb_pipe *pipe)
{
    uint64_t bytes = pipe->locked.received;
    if (pipe->locked.complete)
        return bytes;
    if (bytes == pipe->locked.length && bytes > 0)
        bytes--;
    return bytes / pipe->block * pipe->block;
}

static inline bool orb_pipe_full(const struct orb_pipe *pipe)
{
    return pipe->locked.received / pipe->block - pipe->locked.consumed / pipe->block >= ORB_PIPE_BLOCKS;
}

/* ---- pipe.c ---- */

/* Posts what the loop has to hear. */
void orb_pipe_tell(struct orb_pipe *pipe);
/* The first failure stays. */
void orb_pipe_failed(struct orb_pipe *pipe, orbit_status status, const orbit_error *error);
/* All bytes are here: are they the right ones? */
void orb_pipe_complete(struct orb_pipe *pipe);

/* ---- pipe_windows.c ---- */

extern const orbit_sink orb_pipe_sink;
extern const orbit_body orb_pipe_body;
/* Resumes it when it waits and something is there, with the mutex let go meanwhile. */
void orb_pipe_wake_target(struct orb_pipe *pipe);

#endif
