/* SPDX-License-Identifier: Apache-2.0
 * Hashes by OpenSSL, CRCs by hash.c. Any thread, one at a time. */
#include "base/digest.h"

#include <openssl/evp.h>

#include "base/hash.h"
#include "base/mem.h"

enum { MD5_BYTES = 16 };

struct orb_digest {
    uint32_t algorithm;
    EVP_MD_CTX *md; /* NULL: a CRC */
    uint64_t crc;
    bool failed;
};

static const char *const names[] = {"", "CRC64NVME", "CRC32C", "CRC32", "SHA-256", "SHA-1", "MD5"};

static const EVP_MD *kind(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_SHA256 ? EVP_sha256()
           : algorithm == ORBIT_CHECKSUM_SHA1 ? EVP_sha1()
           : algorithm == ORBIT_CHECKSUM_MD5  ? EVP_md5()
                                              : NULL;
}

bool orb_digest_combines(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_CRC64NVME || algorithm == ORBIT_CHECKSUM_CRC32C ||
           algorithm == ORBIT_CHECKSUM_CRC32;
}

bool orb_digest_knows(uint32_t algorithm)
{
    return kind(algorithm) || orb_digest_combines(algorithm);
}

const char *orb_digest_name(uint32_t algorithm)
{
    return orb_digest_knows(algorithm) ? names[algorithm] : "unknown checksum";
}

struct orb_digest *orb_digest_new(uint32_t algorithm)
{
    struct orb_digest *digest = orb_digest_knows(algorithm) ? orb_calloc(1, sizeof *digest) : NULL;
    if (!digest)
        return NULL;
    digest->algorithm = algorithm;
    if (orb_digest_combines(algorithm))
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
    digest->crc = 0;
    digest->failed = digest->md && EVP_DigestInit_ex(digest->md, kind(digest->algorithm), NULL) != 1;
    return !digest->failed;
}

bool orb_digest_update(struct orb_digest *digest, const void *bytes, size_t length)
{
    if (digest->md)
        digest->failed |= EVP_DigestUpdate(digest->md, bytes, length) != 1;
    else if (digest->algorithm == ORBIT_CHECKSUM_CRC64NVME)
        digest->crc = orb_crc64nvme(digest->crc, bytes, length);
    else if (digest->algorithm == ORBIT_CHECKSUM_CRC32C)
        digest->crc = orb_crc32c((uint32_t)digest->crc, bytes, length);
    else
        digest->crc = orb_crc32((uint32_t)digest->crc, bytes, length);
    return !digest->failed;
}

static orbit_checksum finish_crc(const struct orb_digest *digest)
{
    return digest->algorithm == ORBIT_CHECKSUM_CRC64NVME ? orb_checksum_crc64nvme(digest->crc)
           : digest->algorithm == ORBIT_CHECKSUM_CRC32C  ? orb_checksum_crc32c((uint32_t)digest->crc)
                                                         : orb_checksum_crc32((uint32_t)digest->crc);
}

orbit_checksum orb_digest_finish(struct orb_digest *digest)
{
    orbit_checksum checksum = {.algorithm = (uint8_t)digest->algorithm};
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!digest->md)
        return finish_crc(digest);
    if (digest->failed || EVP_DigestFinal_ex(digest->md, value, &length) != 1 || length > sizeof checksum.value)
        return (orbit_checksum){0};
    checksum.length = (uint8_t)length;
    memcpy(checksum.value, value, length);
    return checksum;
}

bool orb_digest_matches(struct orb_digest *digest, const orbit_checksum *checksum)
{
    orbit_checksum own = orb_digest_finish(digest);
    return own.algorithm && own.algorithm == checksum->algorithm && !checksum->composite &&
           checksum->length == own.length && memcmp(checksum->value, own.value, own.length) == 0;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

bool orb_digest_parse_md5(orbit_checksum *checksum, const char *text)
{
    *checksum = (orbit_checksum){0};
    if (!text || strlen(text) != 2 * (size_t)MD5_BYTES)
        return false;
    for (size_t i = 0; i < MD5_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        checksum->value[i] = (uint8_t)(high << 4 | low);
    }
    checksum->algorithm = ORBIT_CHECKSUM_MD5;
    checksum->length = MD5_BYTES;
    return true;
}
