/* SPDX-License-Identifier: Apache-2.0
 * Standard output and standard error of the command. Standard output is data: buffered here rather than by
 * stdio, so that every failed write is known with its errno and a closed pipe ends the command quietly.
 * Standard error is talk, one line a write; a progress bar there is cleared around every line. The state is
 * the process's, as the two descriptors are. output_talk() and the bar: any thread; the rest: main thread. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct text;

void output_start(void);
bool output_is_terminal(void); /* of standard output */
bool output_talk_is_terminal(void);

void output_bytes(const void *bytes, size_t length);
void output_string(const char *string);
/* A name: escaped on a terminal, raw otherwise. */
void output_name(const char *name);
/* Spaces up to `width` before the string, or behind it. */
void output_column(const char *string, size_t width, bool left);
/* What follows goes into `text` instead of to standard output; NULL ends that. */
void output_divert(struct text *text);
/* A line (already with its newline or NUL) is complete: a terminal sees it at once. */
void output_end_line(void);
void output_flush(void);
/* Bytes of a file, around the buffer. False once a write has failed. */
bool output_stream(const void *bytes, size_t length);
/* Nothing can be written any more: 0 while all is well, else the errno. EPIPE: the reader went away. */
int output_failed(void);

/* One line on standard error; escapes nothing (the caller decides). The newline is added. */
void output_talk(const char *line);
/* Draws `bar` as the last line of the terminal; NULL takes it away. */
void output_bar(const char *bar);
/* While it is held no bar is drawn: somebody types on the terminal. */
void output_hold_bar(bool hold);

#endif
