/* SPDX-License-Identifier: Apache-2.0
 * Checksums that need all bytes in their order: SHA-256, SHA-1 and CRC32 (the one of zip and Ethernet). The CRCs that can be
 * combined from pieces are hash.h's. One thread at a time. */
#ifndef ORB_BASE_DIGEST_H
#define ORB_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include <orbit/metadata.h>

struct orb_digest;

/* Whether it is one of the above. */
bool orb_digest_knows(uint32_t algorithm);
/* NULL when memory is out, or the system's cryptography refuses the algorithm. */
struct orb_digest *orb_digest_new(uint32_t algorithm);
void orb_digest_free(struct orb_digest *digest);
bool orb_digest_update(struct orb_digest *digest, const void *bytes, size_t length);
/* Ends it: whether the bytes have this checksum. Once. */
bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum);

#endif
