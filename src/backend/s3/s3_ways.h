/* SPDX-License-Identifier: Apache-2.0
 * What is known of a store's ways: what it takes, wants and refuses. All of it is learned from replies; what is known
 * beforehand only saves the first refusal. Loop thread. */
#ifndef ORB_BACKEND_S3_WAYS_H
#define ORB_BACKEND_S3_WAYS_H

#include <stdbool.h>

/* Whether the endpoint takes the checksums of uploads. After a refusal they are left out once to see whether
 * that was the reason. */
enum orb_s3_checksums { ORB_S3_CHECKSUMS_ON = 0, ORB_S3_CHECKSUMS_SUSPECT, ORB_S3_CHECKSUMS_OFF };

/* Whether it wants one with each put and part, and not only where that costs nothing. */
enum orb_s3_body_checksums { ORB_S3_BODY_UNKNOWN = 0, ORB_S3_BODY_SUSPECT, ORB_S3_BODY_WANTED, ORB_S3_BODY_REFUSED };

enum orb_s3_encoding { ORB_S3_ENCODING_UNKNOWN = 0, ORB_S3_ENCODING_NONE, ORB_S3_ENCODING_URL };

struct orb_s3_ways {
    enum orb_s3_checksums checksums;
    enum orb_s3_body_checksums body_checksums;
    enum orb_s3_encoding listed; /* how keys of listings come where that is told behind them */
    bool bare_copies;            /* parts that it copies go only into uploads without checksums */
    bool list_v1;                /* it does not know ListObjectsV2 */
};

#endif
