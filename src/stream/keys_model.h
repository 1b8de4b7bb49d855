/* SPDX-License-Identifier: Apache-2.0
 * A model of a bucket's keys, learned while they are listed: which characters occur at a place, so that a key is a
 * number in a mixed radix and one can count from key to key. It guesses; nothing may depend on its being right.
 * Bounded memory whatever the keys are. One thread at a time. */
#ifndef ORB_STREAM_KEYS_MODEL_H
#define ORB_STREAM_KEYS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

struct orb_keys_model;

/* Longest key that is guessed, in bytes; S3 keys have at most 1,024. */
#define ORB_KEY_ROOM 1025

struct orb_keys_model *orb_keys_model_new(void); /* NULL: memory is out */
void orb_keys_model_free(struct orb_keys_model *model);

/* `key` is the first in the listing behind `previous`: a key, too, where that is `known`, else a guess, of which what
 * they share proves nothing. `previous` is NULL at the beginning. */
void orb_keys_learn(struct orb_keys_model *model, const char *previous, size_t previous_length, const char *key,
                    size_t length, bool known);
/* How much of the space of all keys lies between `from` and `to`: 0 when `to` is not behind `from`. Only the ratio of
 * two such spans means something, and only until more was learned. */
long double orb_keys_span(const struct orb_keys_model *model, const char *from, size_t from_length, const char *to,
                          size_t to_length);
/* Writes the key that lies `span` behind `from`: valid UTF-8 without control characters, behind `from`, NUL-terminated.
 * Returns its length; 0 when the space ends before. */
size_t orb_keys_beyond(const struct orb_keys_model *model, const char *from, size_t from_length, long double span,
                       char key[ORB_KEY_ROOM]);
/* Where counting ends but keys may go on: behind everything that shares a place of `from` at which no larger character
 * was seen yet, the first such place from the left whose key lies before `limit` (nullable). As above; 0 when there is
 * none. */
size_t orb_keys_over(const struct orb_keys_model *model, const char *from, size_t from_length, const char *limit,
                     size_t limit_length, char key[ORB_KEY_ROOM]);

/* Byte order. */
int orb_keys_compare(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
