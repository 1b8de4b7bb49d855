/* SPDX-License-Identifier: Apache-2.0
 * Checksums as the scripted endpoint computes them: written apart from the library's, to be a second opinion. */
#ifndef S3D_SUMS_H
#define S3D_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

enum {
    SUM_CRC64 = 1u << 0,
    SUM_CRC32C = 1u << 1,
    SUM_CRC32 = 1u << 2,
    SUM_SHA256 = 1u << 3,
    SUM_SHA1 = 1u << 4,
    SUM_MD5 = 1u << 5
};

/* Makes the tables; checks them against known values and ends the process when they are wrong. */
void sums_setup(void);

uint64_t sum_crc64(uint64_t crc, const void *bytes, size_t length);
uint32_t sum_crc32c(uint32_t crc, const void *bytes, size_t length);
/* Of A followed by B. */
uint64_t sum_crc64_combine(uint64_t a, uint64_t b, uint64_t length_b);
uint32_t sum_crc32c_combine(uint32_t a, uint32_t b, uint64_t length_b);
uint32_t sum_crc32_combine(uint32_t a, uint32_t b, uint64_t length_b);
/* Of `count` times the same block. */
uint64_t sum_crc64_repeat(uint64_t block, uint64_t length, uint64_t count);

/* Several at once over a stream of bytes. */
struct sums {
    unsigned want;
    uint64_t bytes;
    uint64_t crc64;
    uint32_t crc32c, crc32;
    EVP_MD_CTX *sha256, *sha1, *md5;
    uint8_t sha256_value[32], sha1_value[20], md5_value[16]; /* after sums_end() */
};
void sums_begin(struct sums *sums, unsigned want);
void sums_add(struct sums *sums, const void *bytes, size_t length);
void sums_end(struct sums *sums);
/* The value of one algorithm as base64, also of one that needs no sums_end(). */
void sums_base64(const struct sums *sums, unsigned which, char text[64]);

void sum_hex(const uint8_t *bytes, size_t length, char *text); /* 2 * length + 1 */
void sum_base64(const uint8_t *bytes, size_t length, char text[64]);
/* The name in headers ("crc64nvme") and in XML and header values ("CRC64NVME"). */
const char *sum_name(unsigned which, bool upper);
unsigned sum_by_name(const char *name); /* any case; 0 unknown */
size_t sum_digest_of(const EVP_MD *md, const void *bytes, size_t length, uint8_t *digest);

#endif
