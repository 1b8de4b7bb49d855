/* SPDX-License-Identifier: Apache-2.0
 * The CRCs: published values, every kernel against the tables, combination. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static uint8_t bytes[70000];

static uint64_t dice(void)
{
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)dice();
    return 0;
}

static void crc64nvme_of_published_messages(void **state)
{
    (void)state;
    static uint8_t block[4096];
    assert_true(orb_crc64nvme(0, "123456789", 9) == 0xae8b14860a799888ull);
    assert_true(orb_crc64nvme(0, "", 0) == 0);
    memset(block, 0, sizeof(block));
    assert_true(orb_crc64nvme(0, block, sizeof(block)) == 0x6482d367eb22b64eull);
    memset(block, 0xff, sizeof(block));
    assert_true(orb_crc64nvme(0, block, sizeof(block)) == 0xc0ddba7302eca3acull);
    assert_true(orb_crc64nvme_portable(0, block, sizeof(block)) == 0xc0ddba7302eca3acull);
}

static void crc32c_of_published_messages(void **state)
{
    (void)state;
    uint8_t block[32];
    assert_int_equal(orb_crc32c(0, "123456789", 9), 0xe3069283u);
    /* RFC 3720, B.4 */
    memset(block, 0, 32);
    assert_int_equal(orb_crc32c(0, block, 32), 0x8a9136aau);
    memset(block, 0xff, 32);
    assert_int_equal(orb_crc32c(0, block, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    assert_int_equal(orb_crc32c(0, block, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)(31 - i);
    assert_int_equal(orb_crc32c(0, block, 32), 0x113fdb5cu);
    static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                         0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                         0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    assert_int_equal(orb_crc32c(0, read_pdu, 48), 0xd9963a56u);
    assert_int_equal(orb_crc32c_portable(0, read_pdu, 48), 0xd9963a56u);
}

static void every_length_and_alignment_agrees_with_the_tables(void **state)
{
    (void)state;
    for (size_t length = 0; length < 1300; length++) {
        size_t at = length % 67;
        uint64_t start = dice();
        assert_true(orb_crc64nvme(start, bytes + at, length) == orb_crc64nvme_portable(start, bytes + at, length));
        assert_int_equal(orb_crc32c((uint32_t)start, bytes + at, length),
                         orb_crc32c_portable((uint32_t)start, bytes + at, length));
    }
    for (int round = 0; round < 300; round++) {
        size_t at = dice() % 128, length = dice() % (sizeof(bytes) - 128);
        uint64_t start = dice();
        assert_true(orb_crc64nvme(start, bytes + at, length) == orb_crc64nvme_portable(start, bytes + at, length));
        assert_int_equal(orb_crc32c((uint32_t)start, bytes + at, length),
                         orb_crc32c_portable((uint32_t)start, bytes + at, length));
    }
}

static void pieces_give_the_crc_of_the_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        size_t length = dice() % sizeof(bytes), cut = length ? dice() % length : 0;
        uint64_t whole64 = orb_crc64nvme(0, bytes, length);
        uint32_t whole32 = orb_crc32c(0, bytes, length);
        assert_true(orb_crc64nvme(orb_crc64nvme(0, bytes, cut), bytes + cut, length - cut) == whole64);
        assert_int_equal(orb_crc32c(orb_crc32c(0, bytes, cut), bytes + cut, length - cut), whole32);
        assert_true(orb_crc64nvme_combine(orb_crc64nvme(0, bytes, cut), orb_crc64nvme(0, bytes + cut, length - cut),
                                          length - cut) == whole64);
        assert_int_equal(
            orb_crc32c_combine(orb_crc32c(0, bytes, cut), orb_crc32c(0, bytes + cut, length - cut), length - cut),
            whole32);
    }
    /* Lengths that no test can feed: zeroes appended in two steps or in one. */
    uint64_t a = orb_crc64nvme(0, "x", 1);
    uint64_t big = 5ull << 40, half = big / 2;
    uint64_t zero_a = orb_crc64nvme_combine(a, 0, big);
    assert_true(orb_crc64nvme_combine(orb_crc64nvme_combine(a, 0, half), 0, half) == zero_a);
    assert_true(orb_crc64nvme_combine(a, 0x1234, 0) == (a ^ 0x1234));
}

static uint32_t crc32_by_bits(const uint8_t *from, size_t length)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void crc32_is_that_of_zip(void **state)
{
    (void)state;
    assert_int_equal(orb_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(orb_crc32(0, "", 0), 0);
    for (size_t length = 0; length < 1300; length++)
        assert_int_equal(orb_crc32(0, bytes + length % 67, length), crc32_by_bits(bytes + length % 67, length));
    for (int round = 0; round < 100; round++) {
        size_t length = dice() % 20000, cut = length ? dice() % length : 0;
        uint32_t whole = crc32_by_bits(bytes, length), rest = orb_crc32(0, bytes + cut, length - cut);
        assert_int_equal(orb_crc32(orb_crc32(0, bytes, cut), bytes + cut, length - cut), whole);
        assert_int_equal(orb_crc32_combine(orb_crc32(0, bytes, cut), rest, length - cut), whole);
    }
}

static void checksums_are_big_endian_bytes(void **state)
{
    (void)state;
    orbit_checksum sum = orb_checksum_crc64nvme(0xae8b14860a799888ull);
    assert_int_equal(sum.algorithm, ORBIT_CHECKSUM_CRC64NVME);
    assert_int_equal(sum.length, 8);
    assert_int_equal(sum.value[0], 0xae);
    assert_int_equal(sum.value[7], 0x88);
    assert_true(orb_checksum_value(&sum) == 0xae8b14860a799888ull);
    sum = orb_checksum_crc32c(0xe3069283u);
    assert_int_equal(sum.value[0], 0xe3);
    assert_true(orb_checksum_value(&sum) == 0xe3069283u);
    sum.algorithm = ORBIT_CHECKSUM_SHA256;
    assert_true(orb_checksum_value(&sum) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc64nvme_of_published_messages),
        cmocka_unit_test(crc32c_of_published_messages),
        cmocka_unit_test(crc32_is_that_of_zip),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_tables),
        cmocka_unit_test(pieces_give_the_crc_of_the_whole),
        cmocka_unit_test(checksums_are_big_endian_bytes),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
