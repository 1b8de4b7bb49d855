/* SPDX-License-Identifier: Apache-2.0
 * --files-from: names that are read one by one, each a file or an object below one root. Main thread. */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "session.h"

/* Where names are looked for, and where they go (`to` NULL: nowhere). Borrowed. */
struct name_roots {
    struct store *from, *to;
    const char *from_path, *to_path; /* in the stores */
    const char *from_shown, *to_shown;
    bool to_local;
};

/* Copies, moves or removes what the list names; `flags` are those of each job. A name that cannot be used is told and
 * the rest goes on. */
void names_transfer(struct session *session, uint32_t operation, uint32_t flags, const struct name_roots *roots);
/* The store and the path of a root: a local one that no name leaves, unless links are followed. NULL: told. A store
 * that is not the place's is the caller's to free. */
struct store *names_root(struct session *session, const struct place *place, const char **path);

#endif
