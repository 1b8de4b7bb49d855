/* SPDX-License-Identifier: Apache-2.0
 * CRC64NVME, CRC32C and CRC32: tables, dispatch, combination. The kernels with special instructions are in crc_fold.c.
 * Everything is derived from the three polynomials when first used. Any thread. */
#include "base/hash.h"

#include <pthread.h>
#include <string.h>

#include "base/crc_fold.h"

#define POLY64  0x9a6c9329ac4bc9b5ull /* 0xad93d23594c93659, bits reversed */
#define POLY32C 0x82f63b78u           /* 0x1edc6f41, bits reversed: Castagnoli */
#define POLY32  0xedb88320u           /* 0x04c11db7, bits reversed: zip, Ethernet */

/* What is derived from a polynomial of 32 bits. */
struct crc32 {
    uint32_t polynomial;
    uint32_t slice[8][256];
    uint32_t power[64]; /* x^(8·2^k): what 2^k zero bytes multiply a CRC by */
    struct orb_crc_steps steps;
};

static struct {
    pthread_once_t once;
    uint64_t slice64[8][256];
    uint64_t power64[64];
    struct orb_crc_steps steps64;
    struct crc32 crc32c, crc32;
    enum orb_crc_level level;
    bool instruction32;
} table = {.once = PTHREAD_ONCE_INIT};

/* Polynomials are bit-reflected: the top bit is x^0. */
static uint64_t times_x64(uint64_t a)
{
    return (a >> 1) ^ (POLY64 & (0 - (a & 1)));
}

static uint32_t times_x32(uint32_t polynomial, uint32_t a)
{
    return (a >> 1) ^ (polynomial & (0 - (a & 1)));
}

static uint64_t multiply64(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (; a; a <<= 1, b = times_x64(b))
        if (a >> 63)
            product ^= b;
    return product;
}

static uint32_t multiply32(uint32_t polynomial, uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1, b = times_x32(polynomial, b))
        if (a >> 31)
            product ^= b;
    return product;
}

/* polynomial 0: the one of 64 bits. */
static uint64_t x_to_the(unsigned n, uint32_t polynomial)
{
    uint64_t power64 = 1ull << 63;
    uint32_t power32 = 1u << 31;
    while (n--) {
        power64 = times_x64(power64);
        power32 = times_x32(polynomial, power32);
    }
    return polynomial ? (uint64_t)power32 << 32 : power64;
}

static struct orb_crc_step step(unsigned distance, uint32_t polynomial)
{
    return (struct orb_crc_step){x_to_the(8 * distance + 63, polynomial), x_to_the(8 * distance - 1, polynomial)};
}

static struct orb_crc_steps steps(uint32_t polynomial)
{
    return (struct orb_crc_steps){step(16, polynomial), step(64, polynomial), step(128, polynomial),
                                  step(256, polynomial)};
}

static void make_tables32(struct crc32 *crc, uint32_t polynomial)
{
    crc->polynomial = polynomial;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = times_x32(polynomial, value);
        crc->slice[0][byte] = value;
    }
    for (size_t i = 1; i < 8; i++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t value = crc->slice[i - 1][byte];
            crc->slice[i][byte] = (value >> 8) ^ crc->slice[0][value & 0xff];
        }
    }
    crc->power[0] = (uint32_t)(x_to_the(8, polynomial) >> 32);
    for (size_t k = 1; k < 64; k++)
        crc->power[k] = multiply32(polynomial, crc->power[k - 1], crc->power[k - 1]);
    crc->steps = steps(polynomial);
}

static void make_tables(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = times_x64(value);
        table.slice64[0][byte] = value;
    }
    for (size_t i = 1; i < 8; i++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint64_t value = table.slice64[i - 1][byte];
            table.slice64[i][byte] = (value >> 8) ^ table.slice64[0][value & 0xff];
        }
    }
    table.power64[0] = x_to_the(8, 0);
    for (size_t k = 1; k < 64; k++)
        table.power64[k] = multiply64(table.power64[k - 1], table.power64[k - 1]);
    table.steps64 = steps(0);
    make_tables32(&table.crc32c, POLY32C);
    make_tables32(&table.crc32, POLY32);
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

static uint32_t sliced32(const struct crc32 *crc, uint32_t state, const uint8_t *at, size_t length)
{
    const uint32_t(*slice)[256] = crc->slice;
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t mixed = state ^ load_le64(at);
        state = slice[7][mixed & 0xff] ^ slice[6][mixed >> 8 & 0xff] ^ slice[5][mixed >> 16 & 0xff] ^
                slice[4][mixed >> 24 & 0xff] ^ slice[3][mixed >> 32 & 0xff] ^ slice[2][mixed >> 40 & 0xff] ^
                slice[1][mixed >> 48 & 0xff] ^ slice[0][mixed >> 56];
    }
    for (; length; at++, length--)
        state = (state >> 8) ^ slice[0][(state ^ *at) & 0xff];
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

/* The rest of a register, without inversion. Only CRC32C has an instruction of its own. */
static uint32_t tail32(const struct crc32 *crc, uint32_t state, const uint8_t *at, size_t length)
{
    if (crc == &table.crc32c && table.instruction32)
        return orb_crc32c_bytes(state, at, length);
    return sliced32(crc, state, at, length);
}

static uint32_t any32(const struct crc32 *crc, uint32_t before, const uint8_t *at, size_t length)
{
    uint32_t state = ~before;
    if (length >= ORB_CRC_FOLD_MIN && table.level != ORB_CRC_TABLES) {
        uint8_t folded[16];
        size_t used = orb_crc_fold(table.level, &crc->steps, state, at, length, folded);
        state = tail32(crc, 0, folded, sizeof(folded));
        at += used;
        length -= used;
    }
    return ~tail32(crc, state, at, length);
}

uint32_t orb_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    ready();
    return any32(&table.crc32c, crc, bytes, length);
}

uint32_t orb_crc32(uint32_t crc, const void *bytes, size_t length)
{
    ready();
    return any32(&table.crc32, crc, bytes, length);
}

uint64_t orb_crc64nvme_portable(uint64_t crc, const void *bytes, size_t length)
{
    ready();
    return ~sliced64(~crc, bytes, length);
}

uint32_t orb_crc32c_portable(uint32_t crc, const void *bytes, size_t length)
{
    ready();
    return ~sliced32(&table.crc32c, ~crc, bytes, length);
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

static uint32_t combine32(const struct crc32 *crc, uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    for (size_t k = 0; length_b; length_b >>= 1, k++)
        if (length_b & 1)
            crc_a = multiply32(crc->polynomial, crc_a, crc->power[k]);
    return crc_a ^ crc_b;
}

uint32_t orb_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    ready();
    return combine32(&table.crc32c, crc_a, crc_b, length_b);
}

uint32_t orb_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    ready();
    return combine32(&table.crc32, crc_a, crc_b, length_b);
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

orbit_checksum orb_checksum_crc32(uint32_t crc)
{
    return big_endian(ORBIT_CHECKSUM_CRC32, 4, crc);
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
