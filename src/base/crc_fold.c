/* SPDX-License-Identifier: Apache-2.0
 * CRC kernels that need particular instructions, chosen at run time: PCLMULQDQ and VPCLMULQDQ folding, the
 * CRC32C instructions of x86-64 and arm64. Knows no polynomial: hash.c brings the factors. Any thread.
 *
 * A CRC is the remainder of the message as a polynomial over GF(2). 16 bytes that stand D bits before the end
 * of the message are congruent to H·x^(D+64) + L·x^D, H and L being their halves, so two carry-less
 * multiplications by constants carry them over any distance without division. Several registers do that side
 * by side through the message; they are then folded into one another, and hash.c divides the last 16 bytes by
 * table. In bit-reflected order a product comes out shifted by one bit, hence the odd exponents. */
#include "base/crc_fold.h"

#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET_CLMUL __attribute__((target("pclmul,sse4.1")))
#define TARGET_WIDE  __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.1")))
#define TARGET_CRC32 __attribute__((target("sse4.2")))

enum orb_crc_level orb_crc_level(void)
{
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return ORB_CRC_TABLES;
    /* __builtin_cpu_supports() includes that the kernel saves the wide registers. */
    if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return ORB_CRC_WIDE;
    return ORB_CRC_CLMUL;
}

bool orb_crc32c_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

TARGET_CLMUL static inline __m128i load16(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

TARGET_CLMUL static inline __m128i factors(struct orb_crc_step step)
{
    return _mm_set_epi64x((long long)step.low, (long long)step.high);
}

/* `ahead` moved by the distance of `step`, added to `bytes`. The first eight bytes are the high half. */
TARGET_CLMUL static inline __m128i fold16(__m128i ahead, __m128i step, __m128i bytes)
{
    __m128i high = _mm_clmulepi64_si128(ahead, step, 0x00);
    __m128i low = _mm_clmulepi64_si128(ahead, step, 0x11);
    return _mm_xor_si128(_mm_xor_si128(high, low), bytes);
}

/* What is left after the wide loops: 16 bytes at a time. */
TARGET_CLMUL static size_t fold_rest(__m128i ahead, const struct orb_crc_steps *steps, const uint8_t *at, size_t done,
                                     size_t length, uint8_t folded[16])
{
    __m128i by16 = factors(steps->by16);
    for (; length - done >= 16; done += 16)
        ahead = fold16(ahead, by16, load16(at + done));
    _mm_storeu_si128((__m128i *)(void *)folded, ahead);
    return done;
}

TARGET_CLMUL static size_t fold_clmul(const struct orb_crc_steps *steps, uint64_t state, const uint8_t *at,
                                      size_t length, uint8_t folded[16])
{
    __m128i a = load16(at), b = load16(at + 16), c = load16(at + 32), d = load16(at + 48);
    __m128i e = load16(at + 64), f = load16(at + 80), g = load16(at + 96), h = load16(at + 112);
    a = _mm_xor_si128(a, _mm_cvtsi64_si128((long long)state));

    __m128i by128 = factors(steps->by128);
    size_t done = 128;
    for (; length - done >= 128; done += 128) {
        a = fold16(a, by128, load16(at + done));
        b = fold16(b, by128, load16(at + done + 16));
        c = fold16(c, by128, load16(at + done + 32));
        d = fold16(d, by128, load16(at + done + 48));
        e = fold16(e, by128, load16(at + done + 64));
        f = fold16(f, by128, load16(at + done + 80));
        g = fold16(g, by128, load16(at + done + 96));
        h = fold16(h, by128, load16(at + done + 112));
    }

    __m128i by16 = factors(steps->by16);
    b = fold16(a, by16, b);
    c = fold16(b, by16, c);
    d = fold16(c, by16, d);
    e = fold16(d, by16, e);
    f = fold16(e, by16, f);
    g = fold16(f, by16, g);
    h = fold16(g, by16, h);
    return fold_rest(h, steps, at, done, length, folded);
}

TARGET_WIDE static inline __m512i load64(const uint8_t *at)
{
    return _mm512_loadu_si512((const void *)at);
}

TARGET_WIDE static inline __m512i fold64(__m512i ahead, __m512i step, __m512i bytes)
{
    __m512i high = _mm512_clmulepi64_epi128(ahead, step, 0x00);
    __m512i low = _mm512_clmulepi64_epi128(ahead, step, 0x11);
    return _mm512_ternarylogic_epi64(high, low, bytes, 0x96); /* xor of three */
}

TARGET_WIDE static size_t fold_wide(const struct orb_crc_steps *steps, uint64_t state, const uint8_t *at, size_t length,
                                    uint8_t folded[16])
{
    /* Four lanes by name: an array of them goes through memory in every step where the compiler does not unroll. */
    __m512i a = load64(at), b = load64(at + 64), c = load64(at + 128), d = load64(at + 192);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)state)));

    __m512i by256 = _mm512_broadcast_i32x4(factors(steps->by256));
    size_t done = 256;
    for (; length - done >= 256; done += 256) {
        a = fold64(a, by256, load64(at + done));
        b = fold64(b, by256, load64(at + done + 64));
        c = fold64(c, by256, load64(at + done + 128));
        d = fold64(d, by256, load64(at + done + 192));
    }

    __m512i by64 = _mm512_broadcast_i32x4(factors(steps->by64));
    b = fold64(a, by64, b);
    c = fold64(b, by64, c);
    d = fold64(c, by64, d);
    for (; length - done >= 64; done += 64)
        d = fold64(d, by64, load64(at + done));

    __m128i by16 = factors(steps->by16);
    __m128i ahead = _mm512_extracti32x4_epi32(d, 0);
    ahead = fold16(ahead, by16, _mm512_extracti32x4_epi32(d, 1));
    ahead = fold16(ahead, by16, _mm512_extracti32x4_epi32(d, 2));
    ahead = fold16(ahead, by16, _mm512_extracti32x4_epi32(d, 3));
    return fold_rest(ahead, steps, at, done, length, folded);
}

size_t orb_crc_fold(enum orb_crc_level level, const struct orb_crc_steps *steps, uint64_t state, const void *bytes,
                    size_t length, uint8_t folded[16])
{
    if (level == ORB_CRC_WIDE && length >= 256)
        return fold_wide(steps, state, bytes, length, folded);
    return fold_clmul(steps, state, bytes, length, folded);
}

TARGET_CRC32 uint32_t orb_crc32c_bytes(uint32_t state, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t wide = state;
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        wide = _mm_crc32_u64(wide, eight);
    }
    state = (uint32_t)wide;
    for (; length; at++, length--)
        state = _mm_crc32_u8(state, *at);
    return state;
}

#else /* no folding kernels here */

enum orb_crc_level orb_crc_level(void)
{
    return ORB_CRC_TABLES;
}

size_t orb_crc_fold(enum orb_crc_level level, const struct orb_crc_steps *steps, uint64_t state, const void *bytes,
                    size_t length, uint8_t folded[16])
{
    (void)level, (void)steps, (void)state, (void)bytes, (void)length;
    memset(folded, 0, 16);
    return 0;
}

#if defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

bool orb_crc32c_instruction(void)
{
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

/* Assembly, for gcc and clang spell the intrinsics' target attribute differently. */
static inline uint32_t crc32cx(uint32_t state, uint64_t eight)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(eight));
    return state;
}

static inline uint32_t crc32cb(uint32_t state, uint8_t one)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)one));
    return state;
}

uint32_t orb_crc32c_bytes(uint32_t state, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        state = crc32cx(state, eight);
    }
    for (; length; at++, length--)
        state = crc32cb(state, *at);
    return state;
}

#else

bool orb_crc32c_instruction(void)
{
    return false;
}

uint32_t orb_crc32c_bytes(uint32_t state, const void *bytes, size_t length)
{
    (void)bytes, (void)length;
    return state;
}

#endif
#endif
