/* SPDX-License-Identifier: Apache-2.0
 * Signals of the command: the first SIGINT, SIGTERM or SIGHUP fires the cancel token that every call
 * carries, so that nothing half-written stays; a second one ends the process at once. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <orbit/client.h>

/* SIGPIPE is ignored as well: a closed pipe is an error of write(2), and handled there. */
void interrupt_install(orbit_cancel *cancel);
/* The token is about to be freed. A signal still ends the process, by its number. */
void interrupt_forget(void);
/* The signal that came, 0 if none. */
int interrupt_signal(void);
/* Polls readable once a signal came: for waits on other threads. -1 when there is none. */
int interrupt_fd(void);

#endif
