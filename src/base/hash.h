/* SPDX-License-Identifier: Apache-2.0
 * CRC64NVME, CRC32C and CRC32, with the processor's instructions where it has them and a portable fallback.
 * CRC64NVME: width 64, polynomial 0xad93d23594c93659, reflected, init and xorout all ones; check value of
 * "123456789" is 0xae8b14860a799888. CRC32C (Castagnoli): check value 0xe3069283. CRC32 (zip, Ethernet): 0xcbf43926.
 * Any thread. */
#ifndef ORB_BASE_HASH_H
#define ORB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <orbit/metadata.h>

/* Start with 0; feed the result back in to go on (like zlib's crc32()). */
uint64_t orb_crc64nvme(uint64_t crc, const void *bytes, size_t length);
uint32_t orb_crc32c(uint32_t crc, const void *bytes, size_t length);
uint32_t orb_crc32(uint32_t crc, const void *bytes, size_t length);

/* The CRC of A followed by B, from both CRCs and B's length. */
uint64_t orb_crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b);
uint32_t orb_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);
uint32_t orb_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

/* The portable ones, for tests and comparison. */
uint64_t orb_crc64nvme_portable(uint64_t crc, const void *bytes, size_t length);
uint32_t orb_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

/* As an orbit_checksum (big-endian bytes), and back. */
orbit_checksum orb_checksum_crc64nvme(uint64_t crc);
orbit_checksum orb_checksum_crc32c(uint32_t crc);
orbit_checksum orb_checksum_crc32(uint32_t crc);
uint64_t orb_checksum_value(const orbit_checksum *checksum); /* of a CRC; 0 for others */

#endif
