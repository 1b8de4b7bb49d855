/* SPDX-License-Identifier: Apache-2.0
 * Which checksum of an object counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/digest.h"
#include "engine/expect.h"

#define MD5_OF_NOTHING "d41d8cd98f00b204e9800998ecf8427e"

static uint32_t counts(uint32_t algorithm, bool composite, const char *etag, const char *encryption, bool key,
                       bool full)
{
    static const struct orb_backend store = {.caps = {.md5_etags = true}};
    orbit_metadata metadata = {.etag = etag, .encryption = encryption};
    metadata.checksum.algorithm = (uint8_t)algorithm;
    metadata.checksum.composite = composite;
    return orb_expect(&store, &metadata, key, full).algorithm;
}

static void cheap_ones_always_count_and_go_before(void **state)
{
    (void)state;
    assert_int_equal(counts(ORBIT_CHECKSUM_CRC64NVME, false, NULL, NULL, false, false), ORBIT_CHECKSUM_CRC64NVME);
    assert_int_equal(counts(ORBIT_CHECKSUM_CRC32C, false, MD5_OF_NOTHING, "aws:kms", true, false),
                     ORBIT_CHECKSUM_CRC32C);
    assert_int_equal(counts(ORBIT_CHECKSUM_CRC64NVME, false, MD5_OF_NOTHING, NULL, false, true),
                     ORBIT_CHECKSUM_CRC64NVME);
}

static void the_others_count_when_asked_for(void **state)
{
    (void)state;
    static const uint32_t others[] = {ORBIT_CHECKSUM_CRC32, ORBIT_CHECKSUM_SHA256, ORBIT_CHECKSUM_SHA1};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(counts(others[i], false, NULL, NULL, false, false), ORBIT_CHECKSUM_NONE);
        assert_int_equal(counts(others[i], false, MD5_OF_NOTHING, NULL, false, true), others[i]);
        assert_int_equal(counts(others[i], true, NULL, NULL, false, true), ORBIT_CHECKSUM_NONE); /* of parts */
    }
    assert_int_equal(counts(ORBIT_CHECKSUM_CRC64NVME, true, NULL, NULL, false, true), ORBIT_CHECKSUM_NONE);
}

static void an_etag_counts_where_it_is_an_md5(void **state)
{
    (void)state;
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, NULL, false, true), ORBIT_CHECKSUM_MD5);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, "AES256", false, true), ORBIT_CHECKSUM_MD5);
    assert_int_equal(counts(0, false, "D41D8CD98F00B204E9800998ECF8427E", NULL, false, true), ORBIT_CHECKSUM_MD5);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, NULL, false, false), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, "aws:kms", false, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, "aws:kms:dsse", false, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING, NULL, true, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, MD5_OF_NOTHING "-2", NULL, false, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, "d41d8cd98f00b204e9800998ecf8427", NULL, false, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, "d41d8cd98f00b204e9800998ecf8427g", NULL, false, true), ORBIT_CHECKSUM_NONE);
    assert_int_equal(counts(0, false, NULL, NULL, false, true), ORBIT_CHECKSUM_NONE);
    const struct orb_backend other = {0};
    const orbit_metadata metadata = {.etag = MD5_OF_NOTHING};
    assert_int_equal(orb_expect(&other, &metadata, false, true).algorithm, ORBIT_CHECKSUM_NONE);
}

static void the_etag_of_nothing_is_the_md5_of_nothing(void **state)
{
    (void)state;
    orbit_checksum md5;
    struct orb_digest *digest = orb_digest_new(ORBIT_CHECKSUM_MD5);
    assert_true(orb_digest_parse_md5(&md5, MD5_OF_NOTHING));
    assert_true(orb_digest_matches(digest, &md5));
    orb_digest_free(digest);
    digest = orb_digest_new(ORBIT_CHECKSUM_MD5);
    assert_true(orb_digest_update(digest, "x", 1));
    assert_false(orb_digest_matches(digest, &md5));
    orb_digest_free(digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cheap_ones_always_count_and_go_before),
        cmocka_unit_test(the_others_count_when_asked_for),
        cmocka_unit_test(an_etag_counts_where_it_is_an_md5),
        cmocka_unit_test(the_etag_of_nothing_is_the_md5_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
