/* SPDX-License-Identifier: Apache-2.0
 * stat --checksum: what a store keeps to check an object by, and, where it tells, each of its parts. */
#include <inttypes.h>
#include <stdlib.h>

#include "expand.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

enum { PARTS_AT_ONCE = 1000 };

/* "crc32c:…  NAME", "crc32c:…  part 3  8388608  NAME"; "-" for none. */
static void tell(struct session *session, const char *shown, const orbit_checksum *checksum,
                 const orbit_object_part *part)
{
    struct text text = {0};
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_name(&json, "key", shown);
        if (part) {
            json_number(&json, "part", part->number);
            json_number(&json, "size", part->size);
        }
        json_checksum(&json, checksum);
        json_end(&json, false);
        return;
    }
    if (!checksum_text(&text, checksum))
        text_add_string(&text, "-");
    if (part)
        text_format(&text, "  part %" PRIu32 "  %" PRIu64, part->number, part->size);
    text_add_string(&text, "  ");
    output_string(text_string(&text));
    output_name(shown);
    output_string("\n");
    output_end_line();
    text_release(&text);
}

/* A store that tells nothing of parts leaves them out. */
static orbit_status tell_parts(struct session *session, const struct item *item, orbit_error *error)
{
    orbit_call_options call = session_call(session);
    orbit_object_part *parts = memory_zeroed(PARTS_AT_ONCE, sizeof *parts);
    uint32_t after = 0;
    bool more = true;
    orbit_status status = ORBIT_OK;
    while (more && status >= 0 && !session_stopped(session)) {
        size_t count = 0;
        status = orbit_object_parts(item->store->backend, item->path, after, parts, PARTS_AT_ONCE, &count, &more, &call,
                                    error);
        for (size_t i = 0; i < count && status >= 0; i++)
            tell(session, item->shown, &parts[i].checksum, &parts[i]);
        after = count ? parts[count - 1].number : after;
    }
    free(parts);
    return status == ORBIT_E_UNSUPPORTED ? ORBIT_OK : status;
}

static bool in_parts(const orbit_metadata *metadata)
{
    return metadata->part_count || metadata->checksum.composite;
}

bool visit_checksum(void *ctx, const struct item *item)
{
    struct session *session = ctx;
    orbit_call_options call = session_call(session);
    orbit_metadata looked = ORBIT_METADATA_INIT;
    const orbit_metadata *metadata = item->metadata;
    orbit_status status = ORBIT_OK;
    orbit_error error;
    if (!item->exact && metadata->kind != ORBIT_KIND_DIRECTORY) { /* listings tell no checksums */
        status = orbit_stat(item->store->backend, item->path, &call, &looked, &error);
        metadata = &looked;
    }
    if (status >= 0) {
        tell(session, item->shown, &metadata->checksum, NULL);
        if (in_parts(metadata))
            status = tell_parts(session, item, &error);
    }
    if (status < 0)
        report_failed(session, session->verb, item->shown, NULL, &error);
    else
        session->tally.done++;
    orbit_metadata_release(&looked);
    return !session_stopped(session);
}
