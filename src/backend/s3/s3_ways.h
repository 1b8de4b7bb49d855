/* SPDX-License-Identifier: Apache-2.0
 * Stores that differ: what is known of the ways of one, what it takes, wants and refuses. All of it is learned from
 * replies, too; what a table knows beforehand only saves the first refusal, and what stands nowhere in a reply (a
 * region's name, parts of one size, conditions that are passed over). */
#ifndef ORB_BACKEND_S3_WAYS_H
#define ORB_BACKEND_S3_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the endpoint takes the checksums of uploads. After a refusal they are left out once to see whether
 * that was the reason. */
enum orb_s3_checksums { ORB_S3_CHECKSUMS_ON = 0, ORB_S3_CHECKSUMS_SUSPECT, ORB_S3_CHECKSUMS_OFF };

/* Whether it wants one with each put and part, and not only where that costs nothing. */
enum orb_s3_body_checksums { ORB_S3_BODY_UNKNOWN = 0, ORB_S3_BODY_SUSPECT, ORB_S3_BODY_WANTED, ORB_S3_BODY_REFUSED };

enum orb_s3_encoding { ORB_S3_ENCODING_UNKNOWN = 0, ORB_S3_ENCODING_NONE, ORB_S3_ENCODING_URL };

/* If-None-Match and If-Match of writes. SENT: they are sent, and before the end of an upload it is looked all the
 * same. DECIDE: the store can be relied on. NONE: it refuses them or passes over them, so it is looked before every
 * such write. */
enum orb_s3_conditions { ORB_S3_CONDITIONS_SENT = 0, ORB_S3_CONDITIONS_DECIDE, ORB_S3_CONDITIONS_NONE };

/* The tags, or the lock, that an upload in parts was begun with. UNKNOWN: looked at after the first one. */
enum orb_s3_upload_keeps { ORB_S3_KEEPS_UNKNOWN = 0, ORB_S3_KEEPS, ORB_S3_DROPS };

/* How ETags come. UNSENT: weak, or compared wrongly by the store: they are no conditions for reads. */
enum orb_s3_etags { ORB_S3_ETAGS_QUOTED = 0, ORB_S3_ETAGS_BARE, ORB_S3_ETAGS_UNSENT };

/* Ranges of objects. IGNORED: the object is sent whole, whatever part was asked for. */
enum orb_s3_ranges { ORB_S3_RANGES_UNKNOWN = 0, ORB_S3_RANGES_KEPT, ORB_S3_RANGES_IGNORED };

/* Zero is what a store that nobody knows is taken for. Loop thread. */
struct orb_s3_ways {
    enum orb_s3_checksums checksums;
    enum orb_s3_checksums told_checksums; /* whether it takes the question for an object's */
    enum orb_s3_body_checksums body_checksums;
    enum orb_s3_encoding listed; /* how keys of listings come where that is told behind them */
    enum orb_s3_conditions conditions;
    enum orb_s3_upload_keeps upload_tags, upload_locks;
    enum orb_s3_ranges ranges;
    bool no_lengths;    /* it sends objects without saying how long they are, but HEAD tells */
    bool bare_copies;   /* parts that it copies go only into uploads without checksums */
    bool parts_alone;   /* at the end of an upload it takes the checksums of the parts, and none of the whole */
    bool list_v1;       /* it does not know ListObjectsV2 */
    bool no_batches;    /* nor the removal of many keys in one request */
    bool no_attributes; /* nor GetObjectAttributes */
    bool tags;          /* it knows GetObjectTagging for what it is */
};

/* A row of the table. Any thread: constant. */
struct orb_s3_store {
    const char *name; /* as the setting `provider` names it */
    /* Hosts of its endpoints: '*' stands for anything, '%' for one label, which is the region. NULL at the end. */
    const char *hosts[9];
    const char *region; /* where neither the caller nor the host names one */
    bool is_aws;
    bool virtual_hosts; /* the bucket goes into the host's name where that can be */
    bool equal_parts;   /* of one size, but for the last */
    bool no_tags, no_versions;
    uint32_t part_count_max; /* 0: 10,000 */
    struct orb_s3_ways ways; /* to begin with */
};

/* NULL: no such name. */
const struct orb_s3_store *orb_s3_store_named(const char *name);
/* By the endpoint's host (a port does not matter), "other" where it is nobody's. `region` is what the host says, ""
 * for nothing. */
const struct orb_s3_store *orb_s3_store_at(const char *host, char *region, size_t room);
/* All names, ", " between them, for messages. */
void orb_s3_store_names(char *out, size_t room);

#endif
