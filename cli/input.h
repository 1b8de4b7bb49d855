/* SPDX-License-Identifier: Apache-2.0
 * A descriptor as a source: a pipe or terminal may be silent for long, and a signal must end that wait. Files are
 * left to the library, which reads them at their offsets. The descriptor stays the caller's. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <orbit/write.h>

struct input {
    int fd;
    const char *name; /* for messages */
};

/* The source, and its length where that is known. `input` lives until the write has ended. */
orbit_source input_source(struct input *input, uint64_t *length);

#endif
