/* SPDX-License-Identifier: Apache-2.0
 * The temporary of a write that is being opened: local_target.c decides which kind, these make it and fill the target's
 * `temporary` and `fd`. All but the last two: 0, or a negative errno (-EBUSY: the name is being written). Workers. */
#ifndef ORB_BACKEND_LOCAL_TEMPORARY_H
#define ORB_BACKEND_LOCAL_TEMPORARY_H

#include "backend/local/local_journal.h"

/* A file without a name; -EOPNOTSUPP where there is no such thing. */
int orb_local_open_unnamed(struct orb_local_target *target);
int orb_local_open_named(struct orb_local_target *target);
/* With a journal: what an earlier write left of the same bytes is taken up, what it left of others goes. `*said` is
 * what the journal said, with `error` filled when that is negative. */
int orb_local_open_kept(struct orb_local_target *target, const orbit_keep_request *keep, orbit_error *error,
                        orbit_status *said);
/* Takes up what an earlier upload left, bytes and all. */
int orb_local_open_resumed(struct orb_local_target *target, const char *id);

/* Does the temporary's name still stand for what `fd` has open? */
bool orb_local_still_named(const struct orb_local_target *target, int fd);
/* With its journal. 0 or a negative errno. */
int orb_local_unlink_temporary(const struct orb_local_target *target);

#endif
