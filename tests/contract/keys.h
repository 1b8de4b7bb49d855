/* SPDX-License-Identifier: Apache-2.0
 * What the tests of hostile keys share: which keys a store takes, several of them side by side, and telling all that
 * are wrong instead of the first. */
#ifndef ORB_TESTS_CONTRACT_KEYS_H
#define ORB_TESTS_CONTRACT_KEYS_H

#include "contract.h"
#include "support/hostile_keys.h"

enum work {
    WRITES = 1u << 0,
    READS = 1u << 1,
    LISTS = 1u << 2,
    COPIES = 1u << 3,
    TAGS = 1u << 4,
    URLS = 1u << 5,
    UPLOADS = 1u << 6,
    REMOVES = 1u << 7,
    VERSIONS = 1u << 8,
    ALL = 0x1ff
};

/* The keys that the store takes for this work; static, in byte order. */
const char *const *keys_for(unsigned work, size_t *count);

/* Tells what is wrong with a key, counts it and goes on. Any thread. */
void key_blame(const char *key, const char *what, orbit_status status, const orbit_error *error);
bool key_fine(const char *key, const char *what, orbit_status status, const orbit_error *error);
extern unsigned keys_wrong; /* none while keys are at work */

/* What is done with keys[at]: on a thread of its own, so it asserts nothing and blames. */
typedef void key_work(const char *const *keys, size_t count, size_t at);

void each_key(const char *const *keys, size_t count, key_work *work);

/* What an object of this name holds: its name and a word. Any thread, as the next two. */
size_t key_contents(const char *key, const char *word, char bytes[HOSTILE_KEY_MAX + 64]);
bool key_write(orbit_backend *backend, const char *key, const char *word);
/* Reads `length` bytes from `offset` of a version (NULL: the latest), which are these. */
bool key_read(orbit_backend *backend, const char *key, const char *version, uint64_t offset, const char *bytes,
              size_t length);

#endif
