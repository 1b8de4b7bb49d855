/* SPDX-License-Identifier: Apache-2.0
 * CRC64NVME and CRC32C: tables, dispatch, combination. The kernels with special instructions are in crc_fold.c.
 * Everything is derived from the two polynomials when first used. Any thread. */
#include "base/hash.h"

#include <pthread.h>
#include <string.h>

#include "base/crc_fold.h"

#define POLY64 0x9a6c9329ac4bc9b5ull /* 0xad93d23594c93659, bits reversed */
#define POLY32 0x82f63b78u           /* 0x1edc6f41, bits reversed */

static struct {
    pthread_once_t once;
    uint64_t slice64[8][256];
    uint32_t slice32[8][256];
    uint64_t power64[64]; /* x^(8·2^k): what 2^k zero bytes multiply a CRC by */
    uint32_t power32[64];
    struct orb_crc_steps steps64, steps32;
    enum orb_crc_level level;
    bool instruction32;
} table = {.once = PTHREAD_ONCE_INIT};

/* Polynomials are bit-reflected: the top bit is x^0. */
static uint64_t times_x64(uint64_t a)
{
    return (a >> 1) ^ (POLY64 & (0 - (a & 1)));
}

static uint32_t times_x32(uint32_t a)
{
    return (a >> 1) ^ (POLY32 & (0 - (a & 1)));
}

static uint64_t multiply64(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (; a; a <<= 1, b = times_x64(b))
        if (a >> 63)
            product ^= b;
    return product;
}

static uint32_t multiply32(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1, b = times_x32(b))
        if (a >> 31)
            product ^= b;
    return product;
}

static uint64_t x_to_the_64(unsigned n)
{
    uint64_t power = 1ull << 63;
    while (n--)
        power = times_x64(power);
    return power;
}

static uint64_t x_to_the_32(unsigned n)
{
    uint32_t power = 1u << 31;
    while (n--)
        power = times_x32(power);
    return (uint64_t)power << 32;
}

static struct orb_crc_step step(uint64_t (*power)(unsigned), unsigned distance)
{
    return (struct orb_crc_step){power(8 * distance + 63), power(8 * distance - 1)};
}

static struct orb_crc_steps steps(uint64_t (*power)(unsigned))
{
    return (struct orb_crc_steps){step(power, 16), step(power, 64), step(power, 128), step(power, 256)};
}

static void make_tables(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t a = byte;
        uint32_t b = byte;
        for (int bit = 0; bit < 8; bit++) {
            a = times_x64(a);
            b = times_x32(b);
        }
        table.slice64[0][byte] = a;
        table.slice32[0][byte] = b;
    }
    for (size_t i = 1; i < 8; i++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint64_t a = table.slice64[i - 1][byte];
            uint32_t b = table.slice32[i - 1][byte];
            table.slice64[i][byte] = (a >> 8) ^ table.slice64[0][a & 0xff];
            table.slice32[i][byte] = (b >> 8) ^ table.slice32[0][b & 0xff];
        }
    }
    table.power64[0] = x_to_the_64(8);
    table.power32[0] = (uint32_t)(x_to_the_32(8) >> 32);
    for (size_t k = 1; k < 64; k++) {
        table.power64[k] = multiply64(table.power64[k - 1], table.power64[k - 1]);
        table.power32[k] = multiply32(table.power32[k - 1], table.power32[k - 1]);
    }
    table.steps64 = steps(x_to_the_64);
    table.steps32 = steps(x_to_the_32);
    table.level = orb_crc_level();
    table.instruction32 = orb_crc32c_instruction();
}

static void ready(void)
{
    pthread_once(&table.once, make_tables);
}

static uint64_t load_le64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

/* The raw registers (no inversion) through the tables, eight bytes at a time. */
static uint64_t sliced64(uint64_t state, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t mixed = state ^ load_le64(at);
        state = table.slice64[7][mixed & 0xff] ^ table.slice64[6][mixed >> 8 & 0xff] ^
                table.slice64[5][mixed >> 16 & 0xff] ^ table.slice64[4][mixed >> 24 & 0xff] ^
                table.slice64[3][mixed >> 32 & 0xff] ^ table.slice64[2][mixed >> 40 & 0xff] ^
                table.slice64[1][mixed >> 48 & 0xff] ^ table.slice64[0][mixed >> 56];
    }
    for (; length; at++, length--)
        state = (state >> 8) ^ table.slice64[0][(state ^ *at) & 0xff];
    return state;
}

static uint32_t sliced32(uint32_t state, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t mixed = state ^ load_le64(at);
        state = table.slice32[7][mixed & 0xff] ^ table.slice32[6][mixed >> 8 & 0xff] ^
                table.slice32[5][mixed >> 16 & 0xff] ^ table.slice32[4][mixed >> 24 & 0xff] ^
                table.slice32[3][mixed >> 32 & 0xff] ^ table.slice32[2][mixed >> 40 & 0xff] ^
                table.slice32[1][mixed >> 48 & 0xff] ^ table.slice32[0][mixed >> 56];
    }
    for (; length; at++, length--)
        state = (state >> 8) ^ table.slice32[0][(state ^ *at) & 0xff];
    return state;
}

uint64_t orb_crc64nvme(uint64_t crc, const void *bytes, size_t length)
{
    ready();
    const uint8_t *at = bytes;
    uint64_t state = ~crc;
    if (length >= ORB_CRC_FOLD_MIN && table.level != ORB_CRC_TABLES) {
        uint8_t folded[16];
        size_t used = orb_crc_fold(table.level, &table.steps64, state, at, length, folded);
        state = sliced64(0, folded, sizeof(folded));
        at += used;
        length -= used;
    }
    return ~sliced64(state, at, length);
}

uint32_t orb_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    ready();
    const uint8_t *at = bytes;
    uint32_t state = ~crc;
    if (length >= ORB_CRC_FOLD_MIN && table.level != ORB_CRC_TABLES) {
        uint8_t folded[16];
        size_t used = orb_crc_fold(table.level, &table.steps32, state, at, length, folded);
        state = table.instruction32 ? orb_crc32c_bytes(0, folded, sizeof(folded)) : sliced32(0, folded, sizeof(folded));
        at += used;
        length -= used;
    }
    return ~(table.instruction32 ? orb_crc32c_bytes(state, at, length) : sliced32(state, at, length));
}

uint64_t orb_crc64nvme_portable(uint64_t crc, const void *bytes, size_t length)
{
    ready();
    return ~sliced64(~crc, bytes, length);
}

uint32_t orb_crc32c_portable(uint32_t crc, const void *bytes, size_t length)
{
    ready();
    return ~sliced32(~crc, bytes, length);
}

/* B's bytes move A's remainder up by 8·length_b: A's CRC is multiplied by x to that power, one factor for each
 * bit of the length. The inversions before and after cancel out. */
uint64_t orb_crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b)
{
    ready();
    for (size_t k = 0; length_b; length_b >>= 1, k++)
        if (length_b & 1)
            crc_a = multiply64(crc_a, table.power64[k]);
    return crc_a ^ crc_b;
}

uint32_t orb_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    ready();
    for (size_t k = 0; length_b; length_b >>= 1, k++)
        if (length_b & 1)
            crc_a = multiply32(crc_a, table.power32[k]);
    return crc_a ^ crc_b;
}

static orbit_checksum big_endian(uint8_t algorithm, uint8_t length, uint64_t value)
{
    orbit_checksum checksum = {.algorithm = algorithm, .length = length};
    for (unsigned i = 0; i < length; i++)
        checksum.value[i] = (uint8_t)(value >> (8 * (length - 1u - i)));
    return checksum;
}

orbit_checksum orb_checksum_crc64nvme(uint64_t crc)
{
    return big_endian(ORBIT_CHECKSUM_CRC64NVME, 8, crc);
}

orbit_checksum orb_checksum_crc32c(uint32_t crc)
{
    return big_endian(ORBIT_CHECKSUM_CRC32C, 4, crc);
}

uint64_t orb_checksum_value(const orbit_checksum *checksum)
{
    unsigned length = checksum->algorithm == ORBIT_CHECKSUM_CRC64NVME                                               ? 8
                      : checksum->algorithm == ORBIT_CHECKSUM_CRC32C || checksum->algorithm == ORBIT_CHECKSUM_CRC32 ? 4
                                                                                                                    : 0;
    if (checksum->length != length)
        return 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value = value << 8 | checksum->value[i];
    return value;
}
