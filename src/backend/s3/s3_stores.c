/* SPDX-License-Identifier: Apache-2.0
 * The table of stores. What stands in it was measured (MinIO, VersityGW, Ceph) or follows from the store's own
 * documents; docs/s3.md says which. Constant: any thread. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backend/s3/s3_ways.h"

#define OFF    .checksums = ORB_S3_CHECKSUMS_OFF
#define WANTED .body_checksums = ORB_S3_BODY_WANTED
#define DECIDE .conditions = ORB_S3_CONDITIONS_DECIDE
#define NONE   .conditions = ORB_S3_CONDITIONS_NONE
#define TAGS   .tags = true

static const struct orb_s3_store stores[] = {
    {.name = "aws",
     .hosts = {"s3.dualstack.%.amazonaws.com", "s3-fips.dualstack.%.amazonaws.com", "s3-fips.%.amazonaws.com",
               "s3.%.amazonaws.com", "*.s3.%.vpce.amazonaws.com", "s3.%.amazonaws.com.cn", "*.amazonaws.com",
               "*.amazonaws.com.cn"},
     .is_aws = true,
     .virtual_hosts = true,
     .ways = {DECIDE, TAGS, .upload_tags = ORB_S3_KEEPS, .upload_locks = ORB_S3_KEEPS}},
    {.name = "minio",
     .hosts = {"*.min.io"},
     .ways = {WANTED, DECIDE, TAGS, .upload_tags = ORB_S3_KEEPS, .upload_locks = ORB_S3_KEEPS, .bare_copies = true}},
    {.name = "versitygw", .ways = {DECIDE, TAGS, .bare_copies = true}},
    {.name = "ceph", .ways = {TAGS}}, /* drops the tags of uploads at 16, keeps them later */
    /* developers.cloudflare.com/r2/api/s3/api */
    {.name = "r2",
     .hosts = {"*.r2.cloudflarestorage.com"},
     .region = "auto",
     .equal_parts = true,
     .no_tags = true,
     .no_versions = true},
    /* www.backblaze.com/docs/cloud-storage-s3-compatible-api */
    {.name = "b2", .hosts = {"s3.%.backblazeb2.com", "*.backblazeb2.com"}, .no_tags = true, .ways = {OFF, NONE}},
    {.name = "wasabi", .hosts = {"s3.%.wasabisys.com", "*.wasabisys.com"}, .ways = {TAGS}},
    {.name = "digitalocean", .hosts = {"%.digitaloceanspaces.com", "*.digitaloceanspaces.com"}, .ways = {TAGS}},
    /* cloud.google.com/storage/docs/xml-api: conditions are those of x-goog-if-generation-match, versions
     * generations */
    {.name = "gcs",
     .hosts = {"storage.googleapis.com", "*.storage.googleapis.com"},
     .region = "auto",
     .no_tags = true,
     .no_versions = true,
     .ways = {OFF, NONE}},
    /* docs.openstack.org/swift/latest/s3_compat.html; max_upload_part_num of its s3api */
    {.name = "swift", .no_tags = true, .part_count_max = 1000, .ways = {OFF}},
    {.name = "other"},
};
enum { STORES = sizeof stores / sizeof *stores };

const struct orb_s3_store *orb_s3_store_named(const char *name)
{
    for (size_t i = 0; i < STORES; i++)
        if (strcasecmp(stores[i].name, name) == 0)
            return &stores[i];
    return NULL;
}

static bool fits(const char *pattern, const char *host, size_t length, const char **label, size_t *label_length)
{
    for (; *pattern && *pattern != '*' && *pattern != '%'; pattern++, host++, length--)
        if (!length || strncasecmp(pattern, host, 1) != 0)
            return false;
    if (!*pattern)
        return !length;
    for (size_t taken = *pattern == '%'; taken <= length; taken++) {
        if (*pattern == '%' && memchr(host, '.', taken))
            return false;
        if (fits(pattern + 1, host + taken, length - taken, label, label_length)) {
            if (*pattern == '%') {
                *label = host;
                *label_length = taken;
            }
            return true;
        }
    }
    return false;
}

const struct orb_s3_store *orb_s3_store_at(const char *host, char *region, size_t room)
{
    size_t length = strcspn(host, ":");
    *region = '\0';
    for (size_t i = 0; i < STORES; i++)
        for (const char *const *pattern = stores[i].hosts; *pattern; pattern++) {
            const char *label = NULL;
            size_t label_length = 0;
            if (!fits(*pattern, host, length, &label, &label_length))
                continue;
            if (label && label_length < room)
                (void)snprintf(region, room, "%.*s", (int)label_length, label);
            return &stores[i];
        }
    return orb_s3_store_named("other");
}

void orb_s3_store_names(char *out, size_t room)
{
    size_t at = 0;
    *out = '\0';
    for (size_t i = 0; i < STORES && at < room; i++) {
        int length = snprintf(out + at, room - at, "%s%s", i ? ", " : "", stores[i].name);
        at += length > 0 ? (size_t)length : 0;
    }
}
