/* SPDX-License-Identifier: Apache-2.0
 * presign: a URL a line, for whoever is to fetch or store one object without keys. */
#include <stdlib.h>

#include "expand.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

enum { SECONDS_MAX = 7 * 24 * 3600 };

/* "90m", "12h", "7d", or seconds as the AWS CLI takes them. 0: not given. False: told and counted. */
static bool expires_of(struct session *session, uint32_t *seconds)
{
    const char *text = session->options->expires_in;
    uint64_t number = 0;
    int64_t before_ns = 0;
    *seconds = 0;
    if (!text)
        return true;
    if (!number_parse(text, UINT32_MAX, &number)) /* an age is a time before now: 0 here */
        number = time_parse(text, 0, &before_ns) && before_ns < 0 ? (uint64_t)(-(before_ns / 1000000000)) : 0;
    if (!number || number > SECONDS_MAX) {
        session->tally.code = usage_error(
            VERB_PRESIGN, "--expires takes seconds or a time such as 90m, 12h or 7d (at most 7d), not '%s'", text);
        session->tally.failed++;
        return false;
    }
    *seconds = (uint32_t)number;
    return true;
}

static void tell(struct session *session, const struct place *place, const char *url)
{
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_string(&json, "operation", session->verb);
        json_bool(&json, "success", true);
        json_name(&json, "source", place->shown);
        json_string(&json, "url", url);
        json_end(&json, false);
    } else {
        output_string(url);
        output_string("\n");
        output_end_line();
    }
    session->tally.done++;
}

static void presign_one(struct session *session, const char *typed, const orbit_presign_options *options, char *url)
{
    struct place place;
    orbit_error error;
    if (!place_open(session, &place, typed, SIDE_BOTH))
        return;
    if (place.stdio)
        report_refused(session, session->verb, "-", NULL, ORBIT_E_CONFIG, "'-' is not an object");
    else if (orbit_presign(place.store->backend, place.path, options, url, ORBIT_PRESIGNED_MAX, &error) < 0)
        report_failed(session, session->verb, place.shown, NULL, &error);
    else
        tell(session, &place, url);
    place_release(&place);
}

void verb_presign(struct session *session)
{
    const struct options *o = session->options;
    orbit_presign_options options = ORBIT_PRESIGN_OPTIONS_INIT;
    if (!expires_of(session, &options.expires_s))
        return;
    char *url = memory_zeroed(1, ORBIT_PRESIGNED_MAX);
    options.method = o->method;
    options.version_id = o->version_id;
    options.content_type = o->content_type;
    options.content_disposition = o->content_disposition;
    options.cancel = session->cancel;
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++)
        presign_one(session, o->arguments[i], &options, url);
    free(url);
}
