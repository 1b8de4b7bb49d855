/* SPDX-License-Identifier: Apache-2.0
 * A copy in parts that can be gone on with by another process: what the journal and the store agree on is not sent again,
 * and the source has to be what it was. Loop thread; what touches the journal runs on workers. */
#ifndef ORB_ENGINE_COPY_RESUME_H
#define ORB_ENGINE_COPY_RESUME_H

#include <stdbool.h>
#include <stdint.h>

struct orb_copy;
struct orb_resume;

/* Whether such a copy would be kept if its source, no file of this machine, were known before the first byte of it is
 * asked for: it has to be looked at, then. Any thread. */
bool orb_copy_resume_looks(const struct orb_copy *copy);
/* The copy is cut and about to begin in parts. True: it is kept in a journal, and goes on by orb_copy_planned() or
 * orb_copy_taken_up() when that has been read; false: nothing is kept. */
bool orb_copy_resume_start(struct orb_copy *copy);
/* Part `number` is at the store already. */
bool orb_copy_resume_has(const struct orb_copy *copy, uint32_t number);
/* The upload is open: its id is noted. */
void orb_copy_resume_opened(struct orb_copy *copy);
/* All parts are there: puts them together, once that is noted. */
void orb_copy_resume_finish(struct orb_copy *copy);
/* The copy has failed: ends soon what the resume has under way. */
void orb_copy_resume_stop(struct orb_copy *copy);
/* Nothing else is under way any more. False: the journal is still being closed or removed, orb_copy_settle()
 * follows. */
bool orb_copy_resume_end(struct orb_copy *copy);
void orb_copy_resume_release(struct orb_copy *copy);

#endif
