/* SPDX-License-Identifier: Apache-2.0
 * Temporary files without a name: what would grow in memory goes there. They end with their descriptor. */
#ifndef CLI_SPILL_H
#define CLI_SPILL_H

#include <orbit/error.h>

/* In TMPDIR, else in /tmp. -1 with `error` filled; `what` says what it is for ("the sort"). */
int spill_open(const char *what, orbit_error *error);
/* The failure of a read or write there, from errno. */
void spill_failed(const char *verb, const char *what, orbit_error *error);

#endif
