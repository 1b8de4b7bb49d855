/* SPDX-License-Identifier: Apache-2.0
 * What the command tells of each object: one line when it ended well, one ERROR line when it did not, or one
 * JSON object for either; and the exit code that follows. Main thread. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "json.h"
#include "session.h"

struct result {
    const char *operation;
    const char *source, *destination; /* nullable */
    bool skipped;                     /* nothing had to be done */
    bool has_size;
    uint64_t size;
    const orbit_metadata *metadata; /* nullable: what the target's store said */
};

void report_done(struct session *session, const struct result *result);
/* "ERROR "cp SRC DST": reason", counted. A cancelled call is not told when a signal was the cause. */
void report_failed(struct session *session, const char *operation, const char *source, const char *destination,
                   const orbit_error *error);
/* The same for an error that the command itself found. */
void report_refused(struct session *session, const char *operation, const char *source, const char *destination,
                    orbit_status status, const char *format, ...) ORBIT_PRINTF(6, 7);
/* Something left out that is no failure, such as a device in a tree. */
void report_notice(struct session *session, const char *name, const char *reason);
void report_summary(struct session *session);

/* Counts a failure that has been told in another way. */
void report_count_failure(struct session *session, orbit_status status);

int exit_code_of(const orbit_error *error);
/* "crc32c:0a1b2c3d", "… (composite)" where it is one of the parts' checksums; false: there is none. */
bool checksum_text(struct text *text, const orbit_checksum *checksum);
void json_checksum(struct json *json, const orbit_checksum *checksum);
/* "crc64nvme"; NULL for none. */
const char *checksum_name(uint32_t algorithm);

#endif
