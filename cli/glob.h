/* SPDX-License-Identifier: Apache-2.0
 * Patterns of names: `*` and `?` stay within a component, `[a-z]` and `[!a-z]` are sets, `**` crosses
 * slashes, a backslash takes the next character literally. Pure functions, linear memory. */
#ifndef CLI_GLOB_H
#define CLI_GLOB_H

#include <stdbool.h>

/* Whether `pattern` holds anything but literal characters. */
bool glob_has_magic(const char *pattern);
bool glob_match(const char *pattern, const char *text);
/* Also true where a directory above `text` matches: "logs" matches "logs/a/b". */
bool glob_match_beneath(const char *pattern, const char *text);

#endif
