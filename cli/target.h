/* SPDX-License-Identifier: Apache-2.0
 * Where cp, mv and put write: one exact name, or a directory in which each source takes its own name. A local
 * directory is opened as a root that no name from a source can leave; on a host no name with ".." is taken. Main
 * thread. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "expand.h"

struct target {
    struct session *session;
    struct place place;
    bool directory;          /* sources keep their names below it */
    bool exists;             /* where there are directories: something stands there */
    struct store *rooted;    /* local directories: opened when first needed */
    orbit_metadata metadata; /* of what stands there */
};

/* `source`: the only one, for messages; NULL: several, so the target is a directory. False: told and counted. */
bool target_open(struct target *target, struct session *session, const char *typed, const char *source);
void target_release(struct target *target);

/* Where `item` goes. `*path` and `*shown` are the caller's to free. False: told and counted. */
bool target_of(struct target *target, const struct item *item, struct store **store, char **path, char **shown);
/* Reading and writing the same thing, or a tree into itself, is refused. False: told and counted. */
bool target_accepts(struct target *target, const struct item *item, bool tree);

#endif
