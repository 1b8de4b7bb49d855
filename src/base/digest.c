/* SPDX-License-Identifier: Apache-2.0
 * Digests by OpenSSL, and CRC32 by a table. Any thread, one at a time. */
#include "base/digest.h"

#include <openssl/evp.h>

#include "base/mem.h"

#define CRC32_POLYNOMIAL 0xedb88320u /* reflected */

struct orb_digest {
    EVP_MD_CTX *md; /* NULL: CRC32 */
    uint32_t crc32;
    uint32_t table[256];
};

bool orb_digest_knows(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_SHA256 || algorithm == ORBIT_CHECKSUM_SHA1 || algorithm == ORBIT_CHECKSUM_CRC32;
}

static void make_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (unsigned bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ CRC32_POLYNOMIAL : value >> 1;
        table[i] = value;
    }
}

struct orb_digest *orb_digest_new(uint32_t algorithm)
{
    struct orb_digest *digest = orb_digest_knows(algorithm) ? orb_calloc(1, sizeof *digest) : NULL;
    if (!digest)
        return NULL;
    if (algorithm == ORBIT_CHECKSUM_CRC32) {
        make_table(digest->table);
        digest->crc32 = UINT32_MAX;
        return digest;
    }
    digest->md = EVP_MD_CTX_new();
    if (!digest->md ||
        EVP_DigestInit_ex(digest->md, algorithm == ORBIT_CHECKSUM_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1) {
        orb_digest_free(digest);
        return NULL;
    }
    return digest;
}

void orb_digest_free(struct orb_digest *digest)
{
    if (!digest)
        return;
    EVP_MD_CTX_free(digest->md);
    orb_free(digest);
}

bool orb_digest_update(struct orb_digest *digest, const void *bytes, size_t length)
{
    if (digest->md)
        return EVP_DigestUpdate(digest->md, bytes, length) == 1;
    uint32_t crc = digest->crc32;
    for (size_t i = 0; i < length; i++)
        crc = crc >> 8 ^ digest->table[(crc ^ ((const uint8_t *)bytes)[i]) & 0xff];
    digest->crc32 = crc;
    return true;
}

bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum)
{
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned length = 4;
    if (digest->md) {
        if (EVP_DigestFinal_ex(digest->md, value, &length) != 1)
            return false;
    } else {
        for (unsigned i = 0; i < 4; i++)
            value[i] = (uint8_t)(~digest->crc32 >> (24 - 8 * i));
    }
    return checksum->length == length && memcmp(checksum->value, value, length) == 0;
}
