/* SPDX-License-Identifier: Apache-2.0
 * Checksums as S3 spells them: header names, base64, and those that uploads compute on the way. Any thread. */
#include <openssl/evp.h>
#include <strings.h>

#include "backend/s3/s3.h"
#include "base/hash.h"

static const struct {
    uint32_t algorithm;
    uint8_t length;
    const char *word, *header;
} algorithms[] = {
    {ORBIT_CHECKSUM_CRC64NVME, 8, "CRC64NVME", "x-amz-checksum-crc64nvme"},
    {ORBIT_CHECKSUM_CRC32C, 4, "CRC32C", "x-amz-checksum-crc32c"},
    {ORBIT_CHECKSUM_CRC32, 4, "CRC32", "x-amz-checksum-crc32"},
    {ORBIT_CHECKSUM_SHA256, 32, "SHA256", "x-amz-checksum-sha256"},
    {ORBIT_CHECKSUM_SHA1, 20, "SHA1", "x-amz-checksum-sha1"},
    {ORBIT_CHECKSUM_MD5, 16, NULL, "content-md5"}, /* checked on arrival, not kept */
};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

const char *orb_s3_checksum_header(uint32_t algorithm)
{
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].header;
    return NULL;
}

const char *orb_s3_checksum_word(uint32_t algorithm)
{
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].word;
    return NULL;
}

uint32_t orb_s3_checksum_from_word(const char *word)
{
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (algorithms[i].word && strcasecmp(algorithms[i].word, word) == 0)
            return algorithms[i].algorithm;
    return ORBIT_CHECKSUM_NONE;
}

uint8_t orb_s3_checksum_bytes(uint32_t algorithm)
{
    for (size_t i = 0; i < ALGORITHMS; i++)
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].length;
    return 0;
}

void orb_s3_base64(const void *bytes, size_t length, char *text)
{
    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
}

void orb_s3_checksum_text(const orbit_checksum *checksum, char text[ORB_S3_CHECKSUM_TEXT])
{
    orb_s3_base64(checksum->value, checksum->length, text);
}

bool orb_s3_checksum_parse(orbit_checksum *checksum, uint32_t algorithm, const char *text)
{
    unsigned char bytes[48];
    size_t length = strcspn(text, "-"), expected = orb_s3_checksum_bytes(algorithm);
    if (!expected || length != (expected + 2) / 3 * 4)
        return false;
    int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
    if (decoded < (int)expected || decoded > (int)sizeof bytes)
        return false;
    *checksum = (orbit_checksum){.algorithm = (uint8_t)algorithm, .length = (uint8_t)expected};
    checksum->composite = text[length] == '-';
    memcpy(checksum->value, bytes, expected);
    return true;
}

bool orb_s3_combines(uint32_t algorithm)
{
    return algorithm == ORBIT_CHECKSUM_CRC64NVME || algorithm == ORBIT_CHECKSUM_CRC32C ||
           algorithm == ORBIT_CHECKSUM_CRC32;
}

bool orb_s3_checksum_comes_first(uint32_t algorithm)
{
    return algorithm && !orb_s3_combines(algorithm);
}

bool orb_s3_sum_start(struct orb_s3_sum *sum)
{
    sum->crc = 0;
    sum->finished = (orbit_checksum){0};
    sum->failed = false;
    if (!orb_s3_checksum_comes_first(sum->algorithm))
        return true;
    if (sum->digest)
        return orb_digest_reset(sum->digest);
    sum->digest = orb_digest_new(sum->algorithm);
    return sum->digest != NULL;
}

void orb_s3_sum_release(struct orb_s3_sum *sum)
{
    orb_digest_free(sum->digest);
    sum->digest = NULL;
}

void orb_s3_sum_update(struct orb_s3_sum *sum, const void *bytes, size_t length)
{
    if (sum->digest)
        sum->failed |= !orb_digest_update(sum->digest, bytes, length);
    else if (sum->algorithm == ORBIT_CHECKSUM_CRC64NVME)
        sum->crc = orb_crc64nvme(sum->crc, bytes, length);
    else if (sum->algorithm == ORBIT_CHECKSUM_CRC32C)
        sum->crc = orb_crc32c((uint32_t)sum->crc, bytes, length);
    else if (sum->algorithm == ORBIT_CHECKSUM_CRC32)
        sum->crc = orb_crc32((uint32_t)sum->crc, bytes, length);
}

orbit_checksum orb_s3_crc_checksum(uint32_t algorithm, uint64_t crc)
{
    if (algorithm == ORBIT_CHECKSUM_CRC64NVME)
        return orb_checksum_crc64nvme(crc);
    if (algorithm == ORBIT_CHECKSUM_CRC32C)
        return orb_checksum_crc32c((uint32_t)crc);
    if (algorithm == ORBIT_CHECKSUM_CRC32)
        return orb_checksum_crc32((uint32_t)crc);
    return (orbit_checksum){0};
}

orbit_checksum orb_s3_sum_checksum(struct orb_s3_sum *sum)
{
    if (!sum->digest)
        return orb_s3_crc_checksum(sum->algorithm, sum->crc);
    if (!sum->finished.algorithm)
        sum->finished = orb_digest_finish(sum->digest);
    sum->failed |= !sum->finished.algorithm;
    return sum->finished;
}

uint64_t orb_s3_crc_combine(uint32_t algorithm, uint64_t a, uint64_t b, uint64_t length_b)
{
    if (algorithm == ORBIT_CHECKSUM_CRC64NVME)
        return orb_crc64nvme_combine(a, b, length_b);
    if (algorithm == ORBIT_CHECKSUM_CRC32)
        return orb_crc32_combine((uint32_t)a, (uint32_t)b, length_b);
    return orb_crc32c_combine((uint32_t)a, (uint32_t)b, length_b);
}

orbit_status orb_s3_upload_checksum(const struct orb_s3 *s3, const orbit_write_options *options, uint32_t asked,
                                    uint32_t *algorithm, orbit_error *error)
{
    *algorithm = ORBIT_CHECKSUM_NONE;
    if (!asked && s3->no_checksum && !(options && orb_s3_locks(options)))
        return ORBIT_OK;
    uint32_t wanted = asked ? asked : s3->checksum ? s3->checksum : (uint32_t)ORBIT_CHECKSUM_CRC64NVME;
    if (!orb_s3_checksum_header(wanted))
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0, "uploads to S3 carry no such checksum (%u)", wanted);
    if (s3->ways.checksums == ORB_S3_CHECKSUMS_ON || wanted == ORBIT_CHECKSUM_MD5)
        *algorithm = wanted;
    return ORBIT_OK;
}

bool orb_s3_md5(const void *bytes, size_t length, uint8_t out[16])
{
    unsigned written = 0;
    return EVP_Digest(bytes, length, out, &written, EVP_md5(), NULL) == 1 && written == 16;
}

void orb_s3_digest_header(struct orb_s3_op *op, const struct orb_buf *body)
{
    uint8_t md5[16];
    char text[ORB_S3_CHECKSUM_TEXT];
    if (orb_s3_md5(body->bytes, body->length, md5)) {
        orb_s3_base64(md5, sizeof md5, text);
        orb_s3_header(op, "content-md5", text);
    } else {
        orbit_checksum crc = orb_checksum_crc64nvme(orb_crc64nvme(0, body->bytes, body->length));
        orb_s3_checksum_text(&crc, text);
        orb_s3_header(op, "x-amz-checksum-crc64nvme", text);
    }
}
