/* SPDX-License-Identifier: Apache-2.0
 * Small things about strings that several layers need: percent-encoding, numbers, paths. Any thread. */
#ifndef ORB_BASE_STR_H
#define ORB_BASE_STR_H

#include "base/buf.h"

bool orb_str_prefix(const char *text, const char *prefix);
bool orb_str_suffix(const char *text, const char *suffix);
bool orb_str_equal(const char *a, const char *b); /* NULL equals NULL only */

/* Percent-encodes everything but RFC 3986 unreserved characters and those in `keep`. */
bool orb_percent_encode(struct orb_buf *out, const char *bytes, size_t length, const char *keep);
/* In place; returns the new length, or SIZE_MAX for a bad escape or an encoded NUL. `plus_is_space` as in forms. */
size_t orb_percent_decode(char *bytes, size_t length, bool plus_is_space);

/* Whole-string decimal; false for anything else (sign, spaces, overflow). */
bool orb_parse_u64(const char *text, uint64_t *number);
/* "8388608", "8M", "8MiB", "1G", "64k": binary units. */
bool orb_parse_size(const char *text, uint64_t *bytes);
bool orb_parse_bool(const char *text, bool *value); /* true/false/1/0/yes/no/on/off */

/* Takes a command line apart in place, as a shell would without doing anything else: blanks, quotes, backslashes. The
 * number of words, 0: none, an open quote, or more than `max`. */
size_t orb_split_words(char *line, char **words, size_t max);

/* The last component of a path ("" for "" and "a/"). Borrowed from `path`. */
const char *orb_path_base(const char *path);

void orb_hex(char *out /* 2 × length + 1 */, const uint8_t *bytes, size_t length);

/* HTTP-date, ISO 8601 "2026-11-22T05:41:00.123Z" to nanoseconds since 1970; false when it is neither. */
bool orb_parse_time(const char *text, int64_t *ns);

#endif
