/* SPDX-License-Identifier: Apache-2.0
 * Owner, mode and times of the directories of a tree that is copied. They can only be given when nothing more is
 * written into a directory, and must be known before anything is moved out of it: what was noted waits in a
 * temporary file, so that memory does not depend on their number. Main thread. */
#ifndef CLI_DIRECTORIES_H
#define CLI_DIRECTORIES_H

#include <stdio.h>

#include "session.h"

struct directories {
    FILE *file; /* NULL: nothing was noted */
};

/* A directory that was made at `path` of the target for the source `shown`. */
void directories_note(struct directories *directories, struct session *session, const char *path, const char *shown,
                      const orbit_metadata *metadata);
/* Gives all that was noted to the directories in `to`, and forgets it. */
void directories_keep(struct directories *directories, struct session *session, struct store *to);
void directories_release(struct directories *directories);

#endif
