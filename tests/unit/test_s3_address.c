/* SPDX-License-Identifier: Apache-2.0
 * Where requests go and for what they are signed: buckets, endpoints and switches in, host, style, region and service
 * out. The expected names are those of AWS's documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "backend/s3/s3_address.h"

enum { DUAL = 1, FIPS = 2, FAST = 4, PLAIN_HTTP = 8, OWN_REGION = 16, PATH = 32, VIRTUAL = 64, OTHER_STORE = 128 };

#define AP      "arn:aws:s3:us-west-2:123456789012:accesspoint/reports"
#define LAMBDA  "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/banner"
#define OUTPOST "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/reports"
#define ZONAL   "mine--usw2-az1--x-s3"

struct place {
    const char *bucket, *region, *endpoint;
    unsigned how;
};

static struct orb_s3_address_request request_of(const struct place *place)
{
    return (struct orb_s3_address_request){
        .bucket = place->bucket,
        .region = place->region,
        .endpoint = place->endpoint,
        .addressing = place->how & PATH      ? ORBIT_ADDRESSING_PATH
                      : place->how & VIRTUAL ? ORBIT_ADDRESSING_VIRTUAL
                                             : ORBIT_ADDRESSING_AUTO,
        .secure = !(place->how & PLAIN_HTTP),
        .is_aws = !(place->how & OTHER_STORE),
        .virtual_hosts = !(place->how & OTHER_STORE),
        .dualstack = place->how & DUAL,
        .fips = place->how & FIPS,
        .accelerate = place->how & FAST,
        .own_region_only = place->how & OWN_REGION,
    };
}

static void buckets_are_where_aws_says(void **state)
{
    (void)state;
    static const struct {
        struct place in;
        const char *authority, *region, *service;
        bool path_style;
    } cases[] = {
        /* names */
        {{"mine", "us-east-1", NULL, 0}, "mine.s3.us-east-1.amazonaws.com", "us-east-1", "s3", false},
        {{"mine", "eu-west-1", NULL, PATH}, "s3.eu-west-1.amazonaws.com", "eu-west-1", "s3", true},
        {{"my.bucket", "eu-west-1", NULL, 0}, "s3.eu-west-1.amazonaws.com", "eu-west-1", "s3", true},
        {{"my.bucket", "eu-west-1", NULL, VIRTUAL}, "my.bucket.s3.eu-west-1.amazonaws.com", "eu-west-1", "s3", false},
        {{"Mine_1", "us-east-1", NULL, 0}, "s3.us-east-1.amazonaws.com", "us-east-1", "s3", true},
        {{"", "eu-west-1", NULL, 0}, "s3.eu-west-1.amazonaws.com", "eu-west-1", "s3", true},
        {{"reports-abcdefgh1234567890-s3alias", "eu-west-1", NULL, 0},
         "reports-abcdefgh1234567890-s3alias.s3.eu-west-1.amazonaws.com",
         "eu-west-1",
         "s3",
         false},
        /* partitions */
        {{"mine", "cn-north-1", NULL, 0}, "mine.s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "s3", false},
        {{"mine", "cn-north-1", NULL, DUAL},
         "mine.s3.dualstack.cn-north-1.amazonaws.com.cn",
         "cn-north-1",
         "s3",
         false},
        {{"mine", "us-gov-west-1", NULL, FIPS},
         "mine.s3-fips.us-gov-west-1.amazonaws.com",
         "us-gov-west-1",
         "s3",
         false},
        {{"mine", "us-iso-east-1", NULL, 0}, "mine.s3.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "s3", false},
        {{"mine", "us-isob-east-1", NULL, 0}, "mine.s3.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "s3", false},
        /* dual-stack, FIPS, acceleration */
        {{"mine", "us-west-2", NULL, DUAL}, "mine.s3.dualstack.us-west-2.amazonaws.com", "us-west-2", "s3", false},
        {{"mine", "us-west-2", NULL, FIPS}, "mine.s3-fips.us-west-2.amazonaws.com", "us-west-2", "s3", false},
        {{"mine", "us-west-2", NULL, FIPS | DUAL},
         "mine.s3-fips.dualstack.us-west-2.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{"mine", "us-west-2", NULL, DUAL | PATH}, "s3.dualstack.us-west-2.amazonaws.com", "us-west-2", "s3", true},
        {{"mine", "us-west-2", NULL, FAST}, "mine.s3-accelerate.amazonaws.com", "us-west-2", "s3", false},
        {{"mine", "us-west-2", NULL, FAST | DUAL},
         "mine.s3-accelerate.dualstack.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{"", "us-west-2", NULL, FAST}, "s3.us-west-2.amazonaws.com", "us-west-2", "s3", true},
        /* endpoints of one's own */
        {{"mine", "us-east-1", "store.example:9000", OTHER_STORE}, "store.example:9000", "us-east-1", "s3", true},
        {{"mine", "auto", "a1.r2.cloudflarestorage.com", OTHER_STORE | VIRTUAL},
         "mine.a1.r2.cloudflarestorage.com",
         "auto",
         "s3",
         false},
        {{"my.bucket", "us-east-1", "s3.us-east-1.amazonaws.com", PLAIN_HTTP},
         "my.bucket.s3.us-east-1.amazonaws.com",
         "us-east-1",
         "s3",
         false},
        {{ZONAL, "us-east-1", "store.example", OTHER_STORE}, "store.example", "us-east-1", "s3", true},
        /* addresses take no name before them */
        {{"mine", "us-east-1", "127.0.0.1:9000", OTHER_STORE | VIRTUAL}, "127.0.0.1:9000", "us-east-1", "s3", true},
        {{"mine", "us-east-1", "192.0.2.1", VIRTUAL}, "192.0.2.1", "us-east-1", "s3", true},
        {{"Mine_1", "us-east-1", "[::1]:9000", OTHER_STORE | VIRTUAL}, "[::1]:9000", "us-east-1", "s3", true},
        {{"mine", "us-east-1", "127.0.0.1.example", OTHER_STORE | VIRTUAL},
         "mine.127.0.0.1.example",
         "us-east-1",
         "s3",
         false},
        /* access points */
        {{AP, "us-west-2", NULL, 0},
         "reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{"arn:aws:s3:us-west-2:123456789012:accesspoint:reports", "us-west-2", NULL, 0},
         "reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{AP, "eu-west-1", NULL, 0},
         "reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{AP, "us-west-2", NULL, FIPS | DUAL | OWN_REGION},
         "reports-123456789012.s3-accesspoint-fips.dualstack.us-west-2.amazonaws.com",
         "us-west-2",
         "s3",
         false},
        {{"arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/reports", "cn-northwest-1", NULL, DUAL},
         "reports-123456789012.s3-accesspoint.dualstack.cn-north-1.amazonaws.com.cn",
         "cn-north-1",
         "s3",
         false},
        {{AP, "us-west-2", "beta.example.com", OTHER_STORE},
         "reports-123456789012.beta.example.com",
         "us-west-2",
         "s3",
         false},
        {{LAMBDA, "us-west-2", NULL, 0},
         "banner-123456789012.s3-object-lambda.us-west-2.amazonaws.com",
         "us-west-2",
         "s3-object-lambda",
         false},
        {{LAMBDA, "us-east-1", NULL, FIPS},
         "banner-123456789012.s3-object-lambda-fips.us-west-2.amazonaws.com",
         "us-west-2",
         "s3-object-lambda",
         false},
        {{OUTPOST, "us-east-1", NULL, 0},
         "reports-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com",
         "us-west-2",
         "s3-outposts",
         false},
        /* directory buckets */
        {{ZONAL, "us-west-2", NULL, 0},
         "mine--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com",
         "us-west-2",
         "s3express",
         false},
        {{ZONAL, "us-west-2", NULL, FIPS},
         "mine--usw2-az1--x-s3.s3express-fips-usw2-az1.us-west-2.amazonaws.com",
         "us-west-2",
         "s3express",
         false},
        {{ZONAL, "us-west-2", NULL, FIPS | DUAL},
         "mine--usw2-az1--x-s3.s3express-fips-usw2-az1.dualstack.us-west-2.amazonaws.com",
         "us-west-2",
         "s3express",
         false},
        {{"point--usw2-az1--xa-s3", "us-west-2", NULL, 0},
         "point--usw2-az1--xa-s3.s3express-usw2-az1.us-west-2.amazonaws.com",
         "us-west-2",
         "s3express",
         false},
        {{ZONAL, "us-west-2", "127.0.0.1:9000", PATH}, "127.0.0.1:9000", "us-west-2", "s3express", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_s3_address address;
        orbit_error error = {0};
        struct orb_s3_address_request request = request_of(&cases[i].in);
        if (orb_s3_address_find(&address, &request, &error) < 0)
            fail_msg("%zu: '%s': %s", i, cases[i].in.bucket, error.message);
        if (strcmp(address.authority, cases[i].authority) != 0 || strcmp(address.region, cases[i].region) != 0 ||
            strcmp(address.service, cases[i].service) != 0 || address.path_style != cases[i].path_style)
            fail_msg("%zu: '%s' is at %s, %s of %s, path style %d", i, cases[i].in.bucket, address.authority,
                     address.service, address.region, address.path_style);
        assert_int_equal(address.is_arn, strncmp(cases[i].in.bucket, "arn:", 4) == 0);
        assert_int_equal(address.is_directory, strcmp(cases[i].service, "s3express") == 0);
    }
}

static void buckets_are_made_elsewhere(void **state)
{
    (void)state;
    static const struct {
        struct place in;
        const char *authority;
        bool path_style;
    } cases[] = {
        {{"mine", "us-west-2", NULL, FAST}, "mine.s3.us-west-2.amazonaws.com", false},
        {{"mine", "us-west-2", NULL, DUAL}, "mine.s3.dualstack.us-west-2.amazonaws.com", false},
        {{ZONAL, "us-west-2", NULL, 0}, "s3express-control.us-west-2.amazonaws.com", true},
        {{ZONAL, "us-west-2", NULL, FIPS | DUAL}, "s3express-control-fips.dualstack.us-west-2.amazonaws.com", true},
        {{ZONAL, "us-west-2", "127.0.0.1:9000", PATH}, "127.0.0.1:9000", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_s3_address address;
        struct orb_s3_address_request request = request_of(&cases[i].in);
        assert_int_equal(orb_s3_address_control(&address, &request, NULL), ORBIT_OK);
        assert_string_equal(address.authority, cases[i].authority);
        assert_int_equal(address.path_style, cases[i].path_style);
    }
}

static void what_does_not_go_together_is_told(void **state)
{
    (void)state;
    static const struct {
        struct place in;
        orbit_status status;
        const char *words;
    } cases[] = {
        {{"a/b", "us-east-1", NULL, 0}, ORBIT_E_CONFIG, "a/b"},
        {{"Mine_1", "us-east-1", NULL, VIRTUAL}, ORBIT_E_CONFIG, "path style"},
        {{"mine", "cn-north-1", NULL, FIPS}, ORBIT_E_CONFIG, "no FIPS endpoints in the partition aws-cn"},
        {{"mine", "us-iso-east-1", NULL, DUAL}, ORBIT_E_CONFIG, "no dual-stack endpoints in the partition aws-iso"},
        {{"mine", "us-east-1", NULL, FAST | FIPS}, ORBIT_E_CONFIG, "no FIPS"},
        {{"my.bucket", "us-east-1", NULL, FAST}, ORBIT_E_CONFIG, "without dots"},
        {{"mine", "us-east-1", NULL, FAST | PATH}, ORBIT_E_CONFIG, "path style"},
        {{"mine", "us-gov-west-1", NULL, FAST}, ORBIT_E_CONFIG, "not offered in this partition"},
        {{"mine", "us-east-1", "store.example", OTHER_STORE | FIPS}, ORBIT_E_CONFIG, "use_fips does not go with"},
        {{"mine", "us-east-1", "s3.us-east-1.amazonaws.com", DUAL}, ORBIT_E_CONFIG, "use_dualstack does not go with"},
        {{"alias.mrap", "us-east-1", NULL, 0}, ORBIT_E_UNSUPPORTED, "SigV4A"},
        {{"reports-o01234567890123456xyz--op-s3", "us-east-1", NULL, 0}, ORBIT_E_UNSUPPORTED, "by its ARN"},
        {{"arn:aws:s3::123456789012:accesspoint/alias.mrap", "us-east-1", NULL, 0}, ORBIT_E_UNSUPPORTED, "SigV4A"},
        {{"arn:aws:s3", "us-east-1", NULL, 0}, ORBIT_E_CONFIG, "cannot be read"},
        {{"arn:aws:s3:us-west-2::accesspoint/reports", "us-west-2", NULL, 0}, ORBIT_E_CONFIG, "an account"},
        {{"arn:aws:sqs:us-west-2:123456789012:queue", "us-west-2", NULL, 0}, ORBIT_E_CONFIG, "not of S3"},
        {{"arn:aws:s3:us-west-2:123456789012:bucket/mine", "us-west-2", NULL, 0}, ORBIT_E_CONFIG, "accesspoint/NAME"},
        {{"arn:aws:s3:us-west-2:123456789012:accesspoint/a.b", "us-west-2", NULL, 0},
         ORBIT_E_CONFIG,
         "accesspoint/NAME"},
        {{AP "/more", "us-west-2", NULL, 0}, ORBIT_E_CONFIG, "accesspoint/NAME"},
        {{AP "/a/b/c/d", "us-west-2", NULL, 0}, ORBIT_E_CONFIG, "accesspoint/NAME"},
        {{AP, "eu-west-1", NULL, OWN_REGION}, ORBIT_E_CONFIG, "use_arn_region=false"},
        {{AP, "cn-north-1", NULL, 0}, ORBIT_E_CONFIG, "another partition"},
        {{"arn:aws-cn:s3:us-west-2:123456789012:accesspoint/reports", "cn-north-1", NULL, 0},
         ORBIT_E_CONFIG,
         "not in its partition"},
        {{AP, "us-west-2", NULL, PATH}, ORBIT_E_CONFIG, "path style"},
        {{AP, "us-west-2", "127.0.0.1:9000", 0}, ORBIT_E_CONFIG, "an endpoint that is an address"},
        {{AP, "us-west-2", NULL, FAST}, ORBIT_E_CONFIG, "acceleration"},
        {{LAMBDA, "us-west-2", NULL, DUAL}, ORBIT_E_CONFIG, "no dual-stack"},
        {{OUTPOST, "us-west-2", NULL, FIPS}, ORBIT_E_CONFIG, "no FIPS"},
        {{"arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-0123", "us-west-2", NULL, 0},
         ORBIT_E_CONFIG,
         "outpost/OUTPOST/accesspoint/NAME"},
        {{ZONAL, "us-west-2", NULL, FAST}, ORBIT_E_CONFIG, "directory buckets"},
        {{ZONAL, "us-west-2", NULL, PATH}, ORBIT_E_CONFIG, "path style"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_s3_address address;
        orbit_error error = {0};
        struct orb_s3_address_request request = request_of(&cases[i].in);
        orbit_status status = orb_s3_address_find(&address, &request, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].words))
            fail_msg("%zu: '%s' is %d, '%s'", i, cases[i].in.bucket, status, error.message);
    }
}

static void names_of_directory_buckets_hold_a_zone(void **state)
{
    (void)state;
    char zone[16];
    assert_true(orb_s3_directory_zone("mine--usw2-az1--x-s3", zone, sizeof zone));
    assert_string_equal(zone, "usw2-az1");
    assert_true(orb_s3_directory_zone("a--b--usw2-lax1-az1--x-s3", zone, sizeof zone));
    assert_string_equal(zone, "usw2-lax1-az1");
    assert_false(orb_s3_directory_zone("mine--x-s3", zone, sizeof zone));
    assert_false(orb_s3_directory_zone("--usw2-az1--x-s3", zone, sizeof zone));
    assert_false(orb_s3_directory_zone("mine--usw2-az1--x-s3.old", zone, sizeof zone));
    assert_false(orb_s3_directory_zone("mine--averyverylongzone--x-s3", zone, sizeof zone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_where_aws_says),
        cmocka_unit_test(buckets_are_made_elsewhere),
        cmocka_unit_test(what_does_not_go_together_is_told),
        cmocka_unit_test(names_of_directory_buckets_hold_a_zone),
    };
    return cmocka_run_group_tests_name("s3_address", tests, NULL, NULL);
}
