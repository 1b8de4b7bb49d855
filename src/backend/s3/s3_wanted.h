/* SPDX-License-Identifier: Apache-2.0
 * What is configured before it is checked: the caller's config and settings, and below them what the environment and a
 * profile say. The caller's thread, while a backend is opened. */
#ifndef ORB_BACKEND_S3_WANTED_H
#define ORB_BACKEND_S3_WANTED_H

#include "backend/s3/keys/provider.h"

/* Switches that environment and profile have, too. */
enum { ORB_S3_DUALSTACK, ORB_S3_FIPS, ORB_S3_ACCELERATE, ORB_S3_ARN_REGION, ORB_S3_SWITCHES };

struct orb_s3_wanted {
    orbit_s3_config config; /* borrowed strings */
    uint64_t chunk_size;
    uint32_t parallel_operations, attempts;
    bool conditional_writes, has_conditional_writes;
    bool on[ORB_S3_SWITCHES]; /* when all is known */
    bool ask_checksums;       /* the same */
    const char *region_given; /* by option */

    struct orb_profiles *profiles; /* owned; NULL: nobody's */
    const char *profile;           /* its name */
};

/* Fills in what no option says: from the environment, then the profile of `origin`, whose endpoints of other services
 * are filled in, too. */
orbit_status orb_s3_surroundings(struct orb_s3_wanted *wanted, struct orb_keys_origin *origin, orbit_error *error);
/* "auto", "path", "virtual"; false for another word. */
bool orb_s3_parse_addressing(const char *text, uint32_t *addressing);
void orb_s3_wanted_release(struct orb_s3_wanted *wanted);

#endif
