/* SPDX-License-Identifier: Apache-2.0
 * Digests by OpenSSL, and CRC32 by hash.c. Any thread, one at a time. */
#include "base/digest.h"

#include <openssl/evp.h>

#include "base/hash.h"
#include "base/mem.h"

struct orb_digest {
    uint32_t algorithm;
    EVP_MD_CTX *md; /* NULL: CRC32 */
    uint32_t crc32;
};

static const EVP_MD *kind(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_SHA256 ? EVP_sha256()
           : algorithm == ORBIT_CHECKSUM_SHA1 ? EVP_sha1()
           : algorithm == ORBIT_CHECKSUM_MD5  ? EVP_md5()
                                              : NULL;
}

bool orb_digest_knows(uint32_t algorithm)
{
    return kind(algorithm) || algorithm == ORBIT_CHECKSUM_CRC32;
}

struct orb_digest *orb_digest_new(uint32_t algorithm)
{
    struct orb_digest *digest = orb_digest_knows(algorithm) ? orb_calloc(1, sizeof *digest) : NULL;
    if (!digest)
        return NULL;
    digest->algorithm = algorithm;
    if (algorithm == ORBIT_CHECKSUM_CRC32)
        return digest;
    digest->md = EVP_MD_CTX_new();
    if (!digest->md || !orb_digest_reset(digest)) {
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

bool orb_digest_reset(struct orb_digest *digest)
{
    digest->crc32 = 0;
    return !digest->md || EVP_DigestInit_ex(digest->md, kind(digest->algorithm), NULL) == 1;
}

bool orb_digest_update(struct orb_digest *digest, const void *bytes, size_t length)
{
    if (digest->md)
        return EVP_DigestUpdate(digest->md, bytes, length) == 1;
    digest->crc32 = orb_crc32(digest->crc32, bytes, length);
    return true;
}

orbit_checksum orb_digest_finish(struct orb_digest *digest)
{
    orbit_checksum checksum = {.algorithm = (uint8_t)digest->algorithm};
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!digest->md)
        return orb_checksum_crc32(digest->crc32);
    if (EVP_DigestFinal_ex(digest->md, value, &length) != 1 || length > sizeof checksum.value)
        return (orbit_checksum){0};
    checksum.length = (uint8_t)length;
    memcpy(checksum.value, value, length);
    return checksum;
}

bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum)
{
    orbit_checksum own = orb_digest_finish(digest);
    return own.algorithm && checksum->length == own.length && memcmp(checksum->value, own.value, own.length) == 0;
}
