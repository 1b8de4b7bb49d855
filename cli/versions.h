/* SPDX-License-Identifier: Apache-2.0
 * The versions that a location has: of one object, or of all below a bucket or prefix. */
#ifndef CLI_VERSIONS_H
#define CLI_VERSIONS_H

#include "session.h"

/* `name` is below what was named, for one object its last part; `path` is in the store. False stops. */
struct version_visitor {
    bool (*visit)(void *ctx, const char *path, const char *name, const char *shown, const orbit_entry *entry);
    void *ctx;
};

/* One location, taken literally, the latest version of each object first; `recursive`: also below prefixes. Failures
 * are reported. */
void versions_each(struct session *session, const struct place *place, bool recursive,
                   const struct version_visitor *visitor);

#endif
