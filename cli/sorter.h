/* SPDX-License-Identifier: Apache-2.0
 * Lines put into order in constant memory: what fits in SORTER_BYTES is sorted there; of more, sorted runs go to
 * a temporary file without a name and are merged from it. Neither the number of lines nor the length of one
 * changes what is held. Main thread. */
#ifndef CLI_SORTER_H
#define CLI_SORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orbit/error.h>

enum { SORTER_BYTES = 2 << 20 };

struct sorter;

/* `bytes` is SORTER_BYTES, less in tests. The temporary file is made in TMPDIR, else in /tmp, when it is needed. */
struct sorter *sorter_new(size_t bytes);
void sorter_free(struct sorter *sorter); /* NULL is fine */

/* One line, sorted by `rank` and, where that is equal, by the bytes of `name`; of two alike the first stays first.
 * False with `error` filled when the temporary file cannot be written. */
bool sorter_add(struct sorter *sorter, uint64_t rank, const char *name, size_t name_length, const char *line,
                size_t line_length, orbit_error *error);

/* Gives the lines out, each in one or more pieces; `put` returns false to stop, which is no error. Nothing can be
 * added afterwards. */
bool sorter_finish(struct sorter *sorter, bool (*put)(void *ctx, const char *bytes, size_t length), void *ctx,
                   orbit_error *error);

#endif
