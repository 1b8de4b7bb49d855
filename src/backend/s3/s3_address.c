/* SPDX-License-Identifier: Apache-2.0
 * Hosts of buckets. Each kind of bucket has a function; what they share are the partition (which the region's name
 * tells) and the words for FIPS and dual-stack. */
#include "backend/s3/s3_address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/str.h"

/* ---- partitions ---------------------------------------------------------------------------------------- */

/* A part of AWS with accounts of its own.
 * docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html */
static const struct partition {
    const char *name, *regions /* how their names begin */, *suffix;
    bool fips, dualstack;
} partitions[] = {
    {"aws-cn", "cn-", "amazonaws.com.cn", false, true},       {"aws-us-gov", "us-gov-", "amazonaws.com", true, true},
    {"aws-iso", "us-iso-", "c2s.ic.gov", true, false},        {"aws-iso-b", "us-isob-", "sc2s.sgov.gov", true, false},
    {"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", true, false}, {"aws-iso-f", "us-isof-", "csp.hci.ic.gov", true, false},
    {"aws-eusc", "eusc-", "amazonaws.eu", true, true},        {"aws", "", "amazonaws.com", true, true},
};

static const struct partition *partition_of(const char *region)
{
    const struct partition *at = partitions;
    while (!orb_str_prefix(region, at->regions))
        at++;
    return at;
}

/* ---- shared -------------------------------------------------------------------------------------------- */

static orbit_status refuse(orbit_error *error, const char *what, const char *why)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "%s %s", what, why);
}

static bool fits(int length, size_t room)
{
    return length > 0 && (size_t)length < room;
}

static orbit_status too_long(orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 endpoint's name is too long");
}

static orbit_status set_region(struct orb_s3_address *address, const char *region, orbit_error *error)
{
    if (strlen(region) >= sizeof address->region)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.60s...' is not a region", region);
    memcpy(address->region, region, strlen(region) + 1);
    return ORBIT_OK;
}

/* Which of the region's addresses were asked for does not exist. */
static orbit_status check_partition(const struct orb_s3_address_request *request, const struct partition *partition,
                                    orbit_error *error)
{
    if (request->fips && !partition->fips)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "there are no FIPS endpoints in the partition %s (region %s)",
                        partition->name, request->region);
    if (request->dualstack && !partition->dualstack)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "there are no dual-stack endpoints in the partition %s (region %s)",
                        partition->name, request->region);
    return ORBIT_OK;
}

/* May the name be a label, or labels, of a host's? */
static bool plain_bucket(const char *bucket)
{
    size_t length = strlen(bucket);
    for (const char *c = bucket; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '.'))
            return false;
    return length >= 3 && length <= 63;
}

/* "before.host" or, before "", "host". */
static orbit_status set_authority(struct orb_s3_address *address, const char *before, const char *host,
                                  orbit_error *error)
{
    int length = snprintf(address->authority, sizeof address->authority, "%s%s%s", before, *before ? "." : "", host);
    return fits(length, sizeof address->authority) ? ORBIT_OK : too_long(error);
}

/* ---- a bucket's name ----------------------------------------------------------------------------------- */

/* Whether the endpoint is given as an address, to which no name can be prefixed. */
static bool is_literal(const char *endpoint)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr address;
    size_t length = endpoint ? strcspn(endpoint, ":") : 0;
    if (!length || length >= sizeof host)
        return false;
    if (*endpoint == '[')
        return true;
    memcpy(host, endpoint, length);
    host[length] = '\0';
    return inet_pton(AF_INET, host, &address) == 1;
}

/* A certificate for *.s3.amazonaws.com does not cover a name with a dot in it. */
static orbit_status choose_style(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                 orbit_error *error)
{
    bool host_name = plain_bucket(request->bucket);
    bool covered = host_name && !(request->secure && strchr(request->bucket, '.'));
    if (request->addressing > ORBIT_ADDRESSING_VIRTUAL)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the S3 addressing is auto, path or virtual");
    bool literal = is_literal(request->endpoint); /* with path style, as the AWS tools: a profile's word is for AWS */
    if (request->addressing == ORBIT_ADDRESSING_VIRTUAL && *request->bucket && !host_name && !literal)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the bucket '%.100s' cannot be part of a host's name: use path style",
                        request->bucket);
    address->path_style = !*request->bucket || literal || request->addressing == ORBIT_ADDRESSING_PATH ||
                          (request->addressing == ORBIT_ADDRESSING_AUTO && !(request->virtual_hosts && covered));
    return ORBIT_OK;
}

static orbit_status accelerated(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                const struct partition *partition, orbit_error *error)
{
    static const char what[] = "transfer acceleration (use_accelerate)";
    char host[128];
    if (request->fips)
        return refuse(error, what, "has no FIPS endpoints");
    if (strcmp(partition->name, "aws") != 0)
        return refuse(error, what, "is not offered in this partition");
    if (!plain_bucket(request->bucket) || strchr(request->bucket, '.'))
        return refuse(error, what, "takes only buckets whose names are DNS labels, without dots");
    if (request->addressing == ORBIT_ADDRESSING_PATH)
        return refuse(error, what, "does not go with path style");
    address->path_style = false;
    (void)snprintf(host, sizeof host, "s3-accelerate%s.%s", request->dualstack ? ".dualstack" : "", partition->suffix);
    return set_authority(address, request->bucket, host, error);
}

static orbit_status of_name(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                            orbit_error *error)
{
    const struct partition *partition = partition_of(request->region);
    const char *before = "";
    char host[200];
    orbit_status status = choose_style(address, request, error);
    if (status >= 0 && !request->endpoint)
        status = check_partition(request, partition, error);
    if (status < 0)
        return status;
    if (request->accelerate && *request->bucket)
        return accelerated(address, request, partition, error);
    if (!address->path_style)
        before = request->bucket;
    if (request->endpoint)
        return set_authority(address, before, request->endpoint, error);
    int length = snprintf(host, sizeof host, "s3%s%s.%s.%s", request->fips ? "-fips" : "",
                          request->dualstack ? ".dualstack" : "", request->region, partition->suffix);
    return fits(length, sizeof host) ? set_authority(address, before, host, error) : too_long(error);
}

/* ---- directory buckets --------------------------------------------------------------------------------- */

bool orb_s3_directory_zone(const char *bucket, char *zone, size_t room)
{
    static const char *const ends[] = {"--x-s3", "--xa-s3"}; /* a bucket, an access point of one */
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (!orb_str_suffix(bucket, ends[i]))
            continue;
        const char *end = bucket + strlen(bucket) - strlen(ends[i]), *at = end;
        while (at > bucket && !(at[-1] == '-' && at - bucket >= 2 && at[-2] == '-'))
            at--;
        if (at - bucket < 3 || at == end || (size_t)(end - at) >= room)
            return false;
        memcpy(zone, at, (size_t)(end - at));
        zone[end - at] = '\0';
        return true;
    }
    return false;
}

static orbit_status of_directory(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                 const char *zone, orbit_error *error)
{
    const struct partition *partition = partition_of(request->region);
    char host[200];
    orbit_status status = ORBIT_OK;
    if (request->accelerate)
        return refuse(error, "transfer acceleration (use_accelerate)", "is not offered for directory buckets");
    if (request->endpoint) {
        status = of_name(address, request, error);
    } else {
        if (request->addressing == ORBIT_ADDRESSING_PATH)
            return refuse(error, "a directory bucket", "is part of its host's name: path style does not reach it");
        if ((status = check_partition(request, partition, error)) < 0)
            return status;
        address->path_style = false;
        int length = snprintf(host, sizeof host, "s3express%s-%s%s.%s.%s", request->fips ? "-fips" : "", zone,
                              request->dualstack ? ".dualstack" : "", request->region, partition->suffix);
        status = fits(length, sizeof host) ? set_authority(address, request->bucket, host, error) : too_long(error);
    }
    address->service = "s3express";
    address->is_directory = true;
    return status;
}

/* ---- ARNs ---------------------------------------------------------------------------------------------- */

enum { ARN_FIELDS = 6, RESOURCE_FIELDS = 4, FIELD_MAX = 80 };

/* arn:partition:service:region:account:resource, the resource taken apart at '/' or ':' */
struct arn {
    char partition[FIELD_MAX], service[FIELD_MAX], region[FIELD_MAX], account[FIELD_MAX];
    char resource[RESOURCE_FIELDS][FIELD_MAX];
    size_t resource_fields; /* more than RESOURCE_FIELDS: too many */
};

static bool take_field(char field[FIELD_MAX], const char **at, const char *ends)
{
    size_t length = strcspn(*at, ends);
    if (length >= FIELD_MAX)
        return false;
    memcpy(field, *at, length);
    field[length] = '\0';
    *at += length + ((*at)[length] != '\0');
    return true;
}

static bool parse_arn(struct arn *arn, const char *text)
{
    char word[FIELD_MAX];
    *arn = (struct arn){0};
    if (!take_field(word, &text, ":") || !take_field(arn->partition, &text, ":") ||
        !take_field(arn->service, &text, ":") || !take_field(arn->region, &text, ":") ||
        !take_field(arn->account, &text, ":"))
        return false;
    while (*text) {
        if (arn->resource_fields == RESOURCE_FIELDS) {
            arn->resource_fields++;
            return true;
        }
        if (!take_field(arn->resource[arn->resource_fields++], &text, ":/"))
            return false;
    }
    return true;
}

static bool is_label(const char *text)
{
    size_t length = strlen(text);
    for (const char *c = text; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return false;
    return length > 0 && length <= 63 && text[0] != '-';
}

static orbit_status bad_arn(const char *text, const char *why, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "the ARN '%.160s' %s", text, why);
}

static orbit_status check_arn(const struct arn *arn, const struct orb_s3_address_request *request, orbit_error *error)
{
    const char *text = request->bucket;
    const struct partition *partition = partition_of(request->region);
    if (!*arn->region && strcmp(arn->service, "s3") == 0 && strcmp(arn->resource[0], "accesspoint") == 0)
        return orb_fail(
            error, ORBIT_E_UNSUPPORTED, 0,
            "'%.160s' is a multi-Region access point, whose requests are signed with SigV4A, which Orbit does "
            "not do: use an access point or a bucket of one region",
            text);
    if (!is_label(arn->region) || !is_label(arn->account))
        return bad_arn(text, "lacks a region or an account", error);
    if (request->addressing == ORBIT_ADDRESSING_PATH)
        return bad_arn(text, "cannot be reached by path style: it becomes part of a host's name", error);
    if (is_literal(request->endpoint))
        return bad_arn(text, "cannot be reached at an endpoint that is an address: it becomes part of a host's name",
                       error);
    if (request->accelerate)
        return bad_arn(text, "does not go with transfer acceleration (use_accelerate)", error);
    if (!request->endpoint && strcmp(arn->partition, partition->name) != 0)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the ARN '%.160s' is of another partition than the region %s (%s)",
                        text, request->region, partition->name);
    if (strcmp(partition_of(arn->region)->name, arn->partition) != 0)
        return bad_arn(text, "names a region that is not in its partition", error);
    if (request->own_region_only && strcmp(arn->region, request->region) != 0)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "the ARN '%.160s' is of another region than %s, which use_arn_region=false rules out", text,
                        request->region);
    return ORBIT_OK;
}

/* What stands between the name and the region: "s3-accesspoint", "s3-object-lambda". */
static orbit_status of_access_point(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                    const struct arn *arn, orbit_error *error)
{
    bool lambda = strcmp(arn->service, "s3-object-lambda") == 0;
    const struct partition *partition = partition_of(arn->region);
    char name[2 * FIELD_MAX], host[200];
    if (arn->resource_fields != 2 || strcmp(arn->resource[0], "accesspoint") != 0 || !is_label(arn->resource[1]))
        return bad_arn(request->bucket, "is not of the form ...:accesspoint/NAME", error);
    if (lambda && request->dualstack)
        return bad_arn(request->bucket, "is of Object Lambda, which has no dual-stack endpoints", error);
    int length = snprintf(name, sizeof name, "%s-%s", arn->resource[1], arn->account);
    if (!fits(length, 64))
        return bad_arn(request->bucket, "is too long for a host's name", error);
    address->service = lambda ? "s3-object-lambda" : "s3";
    if (request->endpoint)
        return set_authority(address, name, request->endpoint, error);
    orbit_status status = check_partition(request, partition, error);
    if (status < 0)
        return status;
    length =
        snprintf(host, sizeof host, "%s%s%s.%s.%s", lambda ? "s3-object-lambda" : "s3-accesspoint",
                 request->fips ? "-fips" : "", request->dualstack ? ".dualstack" : "", arn->region, partition->suffix);
    return fits(length, sizeof host) ? set_authority(address, name, host, error) : too_long(error);
}

/* outpost/OUTPOST/accesspoint/NAME */
static orbit_status of_outpost(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                               const struct arn *arn, orbit_error *error)
{
    char name[3 * FIELD_MAX], host[200];
    if (arn->resource_fields != 4 || strcmp(arn->resource[0], "outpost") != 0 || !is_label(arn->resource[1]) ||
        strcmp(arn->resource[2], "accesspoint") != 0 || !is_label(arn->resource[3]))
        return bad_arn(request->bucket, "is not of the form ...:outpost/OUTPOST/accesspoint/NAME", error);
    if (request->fips || request->dualstack)
        return bad_arn(request->bucket, "is of S3 on Outposts, which has no FIPS and no dual-stack endpoints", error);
    (void)snprintf(name, sizeof name, "%s-%s.%s", arn->resource[3], arn->account, arn->resource[1]);
    address->service = "s3-outposts";
    if (request->endpoint)
        return set_authority(address, name, request->endpoint, error);
    int length = snprintf(host, sizeof host, "s3-outposts.%s.%s", arn->region, partition_of(arn->region)->suffix);
    return fits(length, sizeof host) ? set_authority(address, name, host, error) : too_long(error);
}

static orbit_status of_arn(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                           orbit_error *error)
{
    struct arn arn;
    if (!parse_arn(&arn, request->bucket) || !arn.resource_fields)
        return bad_arn(request->bucket, "cannot be read: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME", error);
    orbit_status status = check_arn(&arn, request, error);
    if (status < 0)
        return status;
    address->path_style = false;
    address->is_arn = true;
    if (strcmp(arn.service, "s3") == 0 || strcmp(arn.service, "s3-object-lambda") == 0)
        status = of_access_point(address, request, &arn, error);
    else if (strcmp(arn.service, "s3-outposts") == 0)
        status = of_outpost(address, request, &arn, error);
    else
        status = bad_arn(request->bucket, "is not of S3", error);
    return status < 0 ? status : set_region(address, arn.region, error);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* Switches choose among AWS's own addresses. */
static orbit_status check_switches(const struct orb_s3_address_request *request, orbit_error *error)
{
    if (!request->endpoint || !(request->dualstack || request->fips || request->accelerate))
        return ORBIT_OK;
    return orb_fail(error, ORBIT_E_CONFIG, 0, "%s does not go with an endpoint of your own: leave out one of them",
                    request->fips        ? "use_fips"
                    : request->dualstack ? "use_dualstack"
                                         : "use_accelerate");
}

orbit_status orb_s3_address_find(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                 orbit_error *error)
{
    const char *bucket = request->bucket;
    bool aws = !request->endpoint || request->is_aws;
    char zone[ORB_S3_REGION_MAX];
    *address = (struct orb_s3_address){.service = "s3"};
    orbit_status status = check_switches(request, error);
    if (status >= 0)
        status = set_region(address, request->region, error);
    if (status < 0)
        return status;
    if (orb_str_prefix(bucket, "arn:"))
        return of_arn(address, request, error);
    if (strlen(bucket) > 255 || strpbrk(bucket, "/?#"))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.100s' is not a bucket's name", bucket);
    if (aws && (orb_str_suffix(bucket, ".mrap") || orb_str_suffix(bucket, "--op-s3")))
        return orb_fail(
            error, ORBIT_E_UNSUPPORTED, 0, "'%.100s' is the alias of %s", bucket,
            orb_str_suffix(bucket, ".mrap")
                ? "a multi-Region access point, whose requests are signed with SigV4A, which Orbit does not do"
                : "an access point on Outposts: name it by its ARN");
    if (aws && orb_s3_directory_zone(bucket, zone, sizeof zone))
        return of_directory(address, request, zone, error);
    return of_name(address, request, error);
}

orbit_status orb_s3_address_control(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                    orbit_error *error)
{
    struct orb_s3_address_request plain = *request;
    const struct partition *partition = partition_of(request->region);
    plain.accelerate = false;
    orbit_status status = orb_s3_address_find(address, &plain, error);
    if (status < 0 || !address->is_directory || request->endpoint)
        return status;
    address->path_style = true;
    int length = snprintf(address->authority, sizeof address->authority, "s3express-control%s%s.%s.%s",
                          request->fips ? "-fips" : "", request->dualstack ? ".dualstack" : "", request->region,
                          partition->suffix);
    return fits(length, sizeof address->authority) ? ORBIT_OK : too_long(error);
}
