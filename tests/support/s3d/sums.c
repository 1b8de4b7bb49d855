/* SPDX-License-Identifier: Apache-2.0
 * CRC64NVME by carry-less multiplication where the processor has it, by tables elsewhere; CRC32C likewise;
 * the rest by OpenSSL and zlib. Any thread. */
#include "sums.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY64  0x9a6c9329ac4bc9b5u /* reflected */
#define POLY32C 0x82f63b78u         /* reflected */

static uint64_t table64[8][256];
static uint32_t table32c[8][256];
static bool have_clmul, have_sse42;
static uint64_t fold_far[2], fold_near[2]; /* by 512 and by 128 bits: for the low and the high half */

static uint64_t crc64_tables(uint64_t crc, const uint8_t *bytes, size_t length)
{
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        word ^= crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= table64[7 - i][(word >> (8 * i)) & 0xff];
        bytes += 8;
        length -= 8;
    }
    while (length-- > 0)
        crc = (crc >> 8) ^ table64[0][(crc ^ *bytes++) & 0xff];
    return crc;
}

/* a * b modulo the polynomial, both reflected: bit 63 is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b & 1) ? (b >> 1) ^ POLY64 : b >> 1;
    }
    return product;
}

/* x^n modulo the polynomial. */
static uint64_t power(uint64_t n)
{
    uint64_t result = UINT64_C(1) << 63, base = UINT64_C(1) << 62;
    for (; n != 0; n >>= 1) {
        if (n & 1)
            result = multiply(result, base);
        base = multiply(base, base);
    }
    return result;
}

uint64_t sum_crc64_combine(uint64_t a, uint64_t b, uint64_t length_b)
{
    return multiply(a, power(length_b * 8)) ^ b;
}

static uint32_t multiply32(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b & 1) ? (b >> 1) ^ POLY32C : b >> 1;
    }
    return product;
}

uint32_t sum_crc32c_combine(uint32_t a, uint32_t b, uint64_t length_b)
{
    uint32_t result = UINT32_C(1) << 31, base = UINT32_C(1) << 30;
    for (uint64_t n = length_b * 8; n != 0; n >>= 1) {
        if (n & 1)
            result = multiply32(result, base);
        base = multiply32(base, base);
    }
    return multiply32(a, result) ^ b;
}

uint32_t sum_crc32_combine(uint32_t a, uint32_t b, uint64_t length_b)
{
    return (uint32_t)crc32_combine(a, b, (z_off_t)length_b);
}

uint64_t sum_crc64_repeat(uint64_t block, uint64_t length, uint64_t count)
{
    uint64_t result = 0;
    for (; count != 0; count >>= 1) {
        if (count & 1)
            result = sum_crc64_combine(result, block, length);
        block = sum_crc64_combine(block, block, length);
        length *= 2;
    }
    return result;
}

#if defined(__x86_64__)
__attribute__((target("pclmul,sse4.1"))) static __m128i fold(__m128i value, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(value, by, 0x00), high = _mm_clmulepi64_si128(value, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) static uint64_t crc64_clmul(uint64_t crc, const uint8_t *bytes, size_t length)
{
    const __m128i *from = (const __m128i *)(const void *)bytes;
    __m128i far = _mm_set_epi64x((long long)fold_far[1], (long long)fold_far[0]);
    __m128i near = _mm_set_epi64x((long long)fold_near[1], (long long)fold_near[0]);
    __m128i lane[4];
    for (int i = 0; i < 4; i++)
        lane[i] = _mm_loadu_si128(from++);
    lane[0] = _mm_xor_si128(lane[0], _mm_set_epi64x(0, (long long)crc));
    for (length -= 64; length >= 64; length -= 64)
        for (int i = 0; i < 4; i++)
            lane[i] = fold(lane[i], far, _mm_loadu_si128(from++));
    for (int i = 1; i < 4; i++)
        lane[i] = fold(lane[i - 1], near, lane[i]);
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, lane[3]);
    crc = crc64_tables(0, rest, sizeof(rest));
    return crc64_tables(crc, (const uint8_t *)from, length);
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const uint8_t *bytes, size_t length)
{
    uint64_t value = crc;
    for (; length >= 8; length -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        value = _mm_crc32_u64(value, word);
    }
    crc = (uint32_t)value;
    while (length-- > 0)
        crc = _mm_crc32_u8(crc, *bytes++);
    return crc;
}
#endif

uint64_t sum_crc64(uint64_t crc, const void *bytes, size_t length)
{
#if defined(__x86_64__)
    if (have_clmul && length >= 128)
        return ~crc64_clmul(~crc, bytes, length);
#endif
    return ~crc64_tables(~crc, bytes, length);
}

uint32_t sum_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    crc = ~crc;
#if defined(__x86_64__)
    if (have_sse42)
        return ~crc32c_sse(crc, at, length);
#endif
    while (length-- > 0)
        crc = (crc >> 8) ^ table32c[0][(crc ^ *at++) & 0xff];
    return ~crc;
}

static void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "s3d: its own %s is wrong\n", what);
        exit(1);
    }
}

void sums_setup(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t wide = i;
        uint32_t narrow = i;
        for (int bit = 0; bit < 8; bit++) {
            wide = (wide & 1) ? (wide >> 1) ^ POLY64 : wide >> 1;
            narrow = (narrow & 1) ? (narrow >> 1) ^ POLY32C : narrow >> 1;
        }
        table64[0][i] = wide;
        table32c[0][i] = narrow;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            table64[t][i] = (table64[t - 1][i] >> 8) ^ table64[0][table64[t - 1][i] & 0xff];
    /* The product of two reflected 64-bit values comes out one bit lower than a reflected 128-bit value has it,
     * so each constant is one power of x less than the distance says. */
    fold_far[0] = power(512 + 64 - 1);
    fold_far[1] = power(512 - 1);
    fold_near[0] = power(128 + 64 - 1);
    fold_near[1] = power(128 - 1);
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    have_sse42 = __builtin_cpu_supports("sse4.2");
#endif
    check(sum_crc64(0, "123456789", 9) == 0xae8b14860a799888u, "CRC64NVME");
    check(sum_crc32c(0, "123456789", 9) == 0xe3069283u, "CRC32C");
    uint8_t sample[1031];
    for (size_t i = 0; i < sizeof(sample); i++)
        sample[i] = (uint8_t)(i * 167 + (i >> 3));
    for (size_t length = 128; length <= sizeof(sample); length += 7)
        check(sum_crc64(99, sample, length) == ~crc64_tables(~UINT64_C(99), sample, length), "fast CRC64NVME");
    uint64_t whole = sum_crc64(0, sample, 1031), head = sum_crc64(0, sample, 500);
    check(sum_crc64_combine(head, sum_crc64(0, sample + 500, 531), 531) == whole, "combined CRC64NVME");
    check(sum_crc32c_combine(sum_crc32c(0, sample, 500), sum_crc32c(0, sample + 500, 531), 531) ==
              sum_crc32c(0, sample, 1031),
          "combined CRC32C");
    check(sum_crc64_repeat(sum_crc64(0, "abc", 3), 3, 3) == sum_crc64(0, "abcabcabc", 9), "repeated CRC64NVME");
}

static EVP_MD_CTX *digest_begin(const EVP_MD *md)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, md, NULL) != 1) {
        fprintf(stderr, "s3d: cannot begin a digest\n");
        exit(1);
    }
    return ctx;
}

void sums_begin(struct sums *sums, unsigned want)
{
    memset(sums, 0, sizeof(*sums));
    sums->want = want;
    if (want & SUM_SHA256)
        sums->sha256 = digest_begin(EVP_sha256());
    if (want & SUM_SHA1)
        sums->sha1 = digest_begin(EVP_sha1());
    if (want & SUM_MD5)
        sums->md5 = digest_begin(EVP_md5());
}

void sums_add(struct sums *sums, const void *bytes, size_t length)
{
    sums->bytes += length;
    if (sums->want & SUM_CRC64)
        sums->crc64 = sum_crc64(sums->crc64, bytes, length);
    if (sums->want & SUM_CRC32C)
        sums->crc32c = sum_crc32c(sums->crc32c, bytes, length);
    if (sums->want & SUM_CRC32)
        sums->crc32 = (uint32_t)crc32_z(sums->crc32, bytes, length);
    if (sums->sha256 != NULL)
        EVP_DigestUpdate(sums->sha256, bytes, length);
    if (sums->sha1 != NULL)
        EVP_DigestUpdate(sums->sha1, bytes, length);
    if (sums->md5 != NULL)
        EVP_DigestUpdate(sums->md5, bytes, length);
}

static void digest_end(EVP_MD_CTX **ctx, uint8_t *value)
{
    if (*ctx != NULL)
        EVP_DigestFinal_ex(*ctx, value, NULL);
    EVP_MD_CTX_free(*ctx);
    *ctx = NULL;
}

void sums_end(struct sums *sums)
{
    digest_end(&sums->sha256, sums->sha256_value);
    digest_end(&sums->sha1, sums->sha1_value);
    digest_end(&sums->md5, sums->md5_value);
}

void sum_hex(const uint8_t *bytes, size_t length, char *text)
{
    for (size_t i = 0; i < length; i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[2 * length] = '\0';
}

void sum_base64(const uint8_t *bytes, size_t length, char text[64])
{
    EVP_EncodeBlock((unsigned char *)text, bytes, (int)(length < 45 ? length : 45));
}

static void big_endian(uint64_t value, size_t length, uint8_t *bytes)
{
    for (size_t i = length; i-- > 0; value >>= 8)
        bytes[i] = (uint8_t)value;
}

void sums_base64(const struct sums *sums, unsigned which, char text[64])
{
    uint8_t number[8];
    switch (which) {
    case SUM_CRC64:
        big_endian(sums->crc64, 8, number);
        sum_base64(number, 8, text);
        break;
    case SUM_CRC32C:
        big_endian(sums->crc32c, 4, number);
        sum_base64(number, 4, text);
        break;
    case SUM_CRC32:
        big_endian(sums->crc32, 4, number);
        sum_base64(number, 4, text);
        break;
    case SUM_SHA256:
        sum_base64(sums->sha256_value, 32, text);
        break;
    case SUM_SHA1:
        sum_base64(sums->sha1_value, 20, text);
        break;
    default:
        sum_base64(sums->md5_value, 16, text);
    }
}

static const struct {
    unsigned which;
    const char *lower, *upper;
} names[] = {{SUM_CRC64, "crc64nvme", "CRC64NVME"},
             {SUM_CRC32C, "crc32c", "CRC32C"},
             {SUM_CRC32, "crc32", "CRC32"},
             {SUM_SHA256, "sha256", "SHA256"},
             {SUM_SHA1, "sha1", "SHA1"}};

const char *sum_name(unsigned which, bool upper)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].which == which)
            return upper ? names[i].upper : names[i].lower;
    return "";
}

unsigned sum_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(names[i].lower, name) == 0)
            return names[i].which;
    return 0;
}

size_t sum_digest_of(const EVP_MD *md, const void *bytes, size_t length, uint8_t *digest)
{
    unsigned size = 0;
    EVP_Digest(bytes, length, digest, &size, md, NULL);
    return size;
}
