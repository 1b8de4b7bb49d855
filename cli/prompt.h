/* SPDX-License-Identifier: Apache-2.0
 * Questions to the person at the terminal, whatever standard input and output are used for. Any thread; one at a
 * time. */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include <orbit/client.h>

/* An orbit_prompt_function: asks on /dev/tty. Without one: ORBIT_E_AUTH, in a sentence. */
orbit_status prompt_ask(void *ctx, const orbit_question *question, char *answer, size_t room, orbit_error *error);

#endif
