/* SPDX-License-Identifier: Apache-2.0
 * Any checksum of bytes that come in their order: the hashes SHA-256, SHA-1 and MD5, which cannot be had in another
 * way, and the CRCs, which hash.h also combines from pieces. One thread at a time. */
#ifndef ORB_BASE_DIGEST_H
#define ORB_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include <orbit/metadata.h>

struct orb_digest;

/* Whether it is one of the above; and whether that of a whole follows from those of pieces. */
bool orb_digest_knows(uint32_t algorithm);
bool orb_digest_combines(uint32_t algorithm);
/* For messages. */
const char *orb_digest_name(uint32_t algorithm);
/* NULL when memory is out, or the system's cryptography refuses the algorithm. */
struct orb_digest *orb_digest_new(uint32_t algorithm);
void orb_digest_free(struct orb_digest *digest);
/* False when the system's cryptography failed: nothing matches then. */
bool orb_digest_update(struct orb_digest *digest, const void *bytes, size_t length);
/* Begins anew. */
bool orb_digest_reset(struct orb_digest *digest);
/* Ends it: the checksum; algorithm NONE where the system's cryptography fails. Once. */
orbit_checksum orb_digest_finish(struct orb_digest *digest);
/* Ends it: whether the bytes have this checksum. Once. */
bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum);
/* An MD5 from exactly 32 hexadecimal digits; false, and algorithm NONE, for anything else. NULL is fine. */
bool orb_digest_parse_md5(orbit_checksum *checksum, const char *text);

#endif
