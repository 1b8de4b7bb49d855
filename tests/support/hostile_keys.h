/* SPDX-License-Identifier: Apache-2.0
 * Keys of objects that break software which takes keys for anything but bytes: for paths, for URLs, for XML, for lines
 * of text. One table; the contract takes every key through every operation, and a small program of the same name
 * prints them, ended by NUL, for scripts. */
#ifndef ORB_TESTS_HOSTILE_KEYS_H
#define ORB_TESTS_HOSTILE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#define HOSTILE_KEY_MAX 1024 /* bytes: S3's longest */

/* In byte order, none twice. Static; made by the first call, which no other thread may make at the same time. */
const char *const *hostile_keys(size_t *count);
/* Valid UTF-8, as S3 has it: others are for stores that take any bytes. Surrogates and what is encoded too long are
 * none; U+FFFE and U+FFFF are, though XML 1.0 cannot say them. */
bool hostile_key_is_text(const char *key);

#endif
