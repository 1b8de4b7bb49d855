/* SPDX-License-Identifier: Apache-2.0
 * Folding of reflected CRCs by carry-less multiplication. Private to hash.c. Any thread. */
#ifndef ORB_BASE_CRC_FOLD_H
#define ORB_BASE_CRC_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fewer bytes than this are not worth folding, nor may be passed. */
#define ORB_CRC_FOLD_MIN 128

/* A pair of factors that moves 16 bytes forward by `distance` bytes: x^(8·distance+63) and x^(8·distance-1)
 * modulo the polynomial, bit-reflected, left-aligned in 64 bits. */
struct orb_crc_step {
    uint64_t high, low;
};

/* The distances that the kernels use. */
struct orb_crc_steps {
    struct orb_crc_step by16, by64, by128, by256;
};

/* What this processor has: no folding, 16-byte or 64-byte registers. */
enum orb_crc_level { ORB_CRC_TABLES = 0, ORB_CRC_CLMUL, ORB_CRC_WIDE };
enum orb_crc_level orb_crc_level(void);
/* Whether orb_crc32c_bytes() may be called. */
bool orb_crc32c_instruction(void);

/* Folds bytes[0, length & ~15) with the register `state` going in to the 16 bytes of `folded`, which have the
 * same remainder when the register is zero before them. Returns how many bytes were used. */
size_t orb_crc_fold(enum orb_crc_level level, const struct orb_crc_steps *steps, uint64_t state, const void *bytes,
                    size_t length, uint8_t folded[16]);

/* The raw register (no inversion) through the processor's CRC32C instruction. */
uint32_t orb_crc32c_bytes(uint32_t state, const void *bytes, size_t length);

#endif
