/* SPDX-License-Identifier: Apache-2.0
 * Header lines of an S3 store's reply, one a line "name: value". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/s3/s3.h"
#include "fuzz.h"

FUZZ_FAILED_HERE

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct orb_s3 store = {0}; /* what is learned of it */
    struct orb_s3_op op = {.s3 = &store};
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    char *text = malloc(length + 1), *rest = text, *line;
    if (!text)
        return 0;
    memcpy(text, bytes, length);
    text[length] = '\0';
    op.metadata = &metadata;
    op.http.http_status = 200;
    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        *value++ = '\0';
        orb_s3_on_header(&op.http, line, value + strspn(value, " "));
    }
    const struct orb_s3_reply *reply = &op.reply;
    HOLDS(!reply->has_range || (reply->range_first <= reply->range_last && reply->range_last < reply->total));
    HOLDS(memchr(reply->region, '\0', sizeof reply->region) != NULL);
    HOLDS(memchr(reply->request_id, '\0', sizeof reply->request_id) != NULL);
    HOLDS(!(metadata.fields & ORBIT_HAS_SIZE) || reply->has_length || reply->has_range || metadata.size == 0);
    orbit_metadata_release(&metadata);
    free(text);
    return 0;
}
