/* SPDX-License-Identifier: Apache-2.0
 * Strings of the command: growable text, sizes and times as people write them, names made safe to show.
 * When memory is out these functions end the process: a command has nothing better to do. Any thread. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orbit/export.h>

struct text {
    char *bytes; /* NUL-terminated; NULL while empty */
    size_t length, room;
};

void text_release(struct text *text);
void text_clear(struct text *text);
void text_add(struct text *text, const char *bytes, size_t length);
void text_add_string(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) ORBIT_PRINTF(2, 3);
/* Control characters and bytes that are no UTF-8 as \n, \t, \x1b, …: what a terminal may be shown. */
void text_add_escaped(struct text *text, const char *bytes, size_t length);
/* The string of `text`, "" when it is empty. */
const char *text_string(const struct text *text);

void *memory_zeroed(size_t count, size_t bytes);
char *string_copy(const char *string);
char *string_copy_length(const char *string, size_t length);
/* directory + "/" + name; an empty directory or one that ends in '/' gets no other one. */
char *path_join(const char *directory, const char *name);
/* The same in a text that is used again and again; what it held before is gone. Returns its string. */
const char *path_put(struct text *text, const char *directory, const char *name);
/* What follows the last '/'. */
const char *path_name(const char *path);

/* The length of the valid UTF-8 sequence at `bytes`, 0 if there is none. `*code` gets the code point. */
size_t utf8_length(const char *bytes, size_t length, uint32_t *code);
bool utf8_valid(const char *bytes, size_t length);

/* "64K", "8MiB", "1.5G": bytes, powers of 1024. A bare number is multiplied by `unit`. */
bool size_parse(const char *text, uint64_t unit, uint64_t *bytes);
/* An age before `now_ns` ("90m", "12h", "7d"; s m h d w) or a moment in UTC: "2026-11-22", "2026-11-22 05:41",
 * "2026-11-22T05:41:00.25Z". */
bool time_parse(const char *text, int64_t now_ns, int64_t *time_ns);
int64_t time_now(void);
bool number_parse(const char *text, uint64_t most, uint64_t *number);

enum { SIZE_TEXT_ROOM = 24, TIME_TEXT_ROOM = 40 };
/* "1.2 GiB" with a unit between, "1.2G" without. Returns `room`. */
const char *size_text(char room[SIZE_TEXT_ROOM], uint64_t bytes, bool spaced);
/* All of its digits, or with `humanize` "1.2G". Returns `room`. */
const char *bytes_text(char room[SIZE_TEXT_ROOM], uint64_t bytes, bool humanize);
/* "2026-11-22 05:41:00" UTC; with `precise` "2026-11-22T05:41:00.123456789Z". Returns `room`. */
const char *time_text(char room[TIME_TEXT_ROOM], int64_t time_ns, bool precise);

#endif
