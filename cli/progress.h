/* SPDX-License-Identifier: Apache-2.0
 * The progress bar: a thread that draws what a crew has done on the last line of the terminal, from the first
 * second on. None when standard error is no terminal, with --json or -q. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "crew.h"

struct progress;

/* NULL when there is nothing to draw on; that is fine everywhere. */
struct progress *progress_start(struct session *session, struct crew *crew);
void progress_stop(struct progress *progress);

#endif
