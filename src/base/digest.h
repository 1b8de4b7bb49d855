/* SPDX-License-Identifier: Apache-2.0
 * Checksums of all bytes in their order: SHA-256, SHA-1, MD5, and CRC32. CRCs that are combined from pieces are hash.h's.
 * One thread at a time. */
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
/* Begins anew. */
bool orb_digest_reset(struct orb_digest *digest);
/* Ends it: the checksum; algorithm NONE where the system's cryptography fails. Once. */
orbit_checksum orb_digest_finish(struct orb_digest *digest);
/* Ends it: whether the bytes have this checksum. Once. */
bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum);

#endif
