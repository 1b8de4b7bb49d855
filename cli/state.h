/* SPDX-License-Identifier: Apache-2.0
 * Where the command keeps what outlives it: journals of uploads. */
#ifndef CLI_STATE_H
#define CLI_STATE_H

/* $ORBIT_STATE_DIR, else $XDG_STATE_HOME/orbit, else ~/.local/state/orbit; the caller frees it. NULL: nothing is kept
 * (ORBIT_STATE_DIR is empty, or there is no home). */
char *state_directory(void);

#endif
