/* SPDX-License-Identifier: Apache-2.0
 * versions: ls of all there ever was, and whether a bucket keeps that. */
#include <strings.h>

#include "output.h"
#include "report.h"
#include "verbs.h"

static const char *status_name(orbit_versioning versioning)
{
    return versioning == ORBIT_VERSIONING_ENABLED     ? "enabled"
           : versioning == ORBIT_VERSIONING_SUSPENDED ? "suspended"
                                                      : "off";
}

static void tell(struct session *session, const struct place *place, orbit_versioning versioning)
{
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_name(&json, "bucket", place->shown);
        json_string(&json, "versioning", status_name(versioning));
        json_end(&json, false);
    } else {
        output_string(status_name(versioning));
        output_string("  ");
        output_name(place->shown);
        output_string("\n");
        output_end_line();
    }
    session->tally.done++;
}

static void status_of(struct session *session, const struct place *place)
{
    const struct options *o = session->options;
    orbit_backend *backend = place->store->backend;
    orbit_call_options call = session_call(session);
    orbit_versioning versioning = ORBIT_VERSIONING_OFF;
    orbit_error error;
    if (o->set_status) {
        bool on = strcasecmp(o->set_status, "enabled") == 0;
        if (orbit_versioning_set(backend, on ? ORBIT_VERSIONING_ENABLED : ORBIT_VERSIONING_SUSPENDED, &call, &error) >=
            0)
            report_done(session, &(struct result){.operation = session->verb, .source = place->shown});
        else
            report_failed(session, session->verb, place->shown, NULL, &error);
    } else if (orbit_versioning_get(backend, &versioning, &call, &error) >= 0) {
        tell(session, place, versioning);
    } else {
        report_failed(session, session->verb, place->shown, NULL, &error);
    }
}

void verb_versions(struct session *session)
{
    const struct options *o = session->options;
    if (!o->status && !o->set_status) {
        verb_ls(session);
        return;
    }
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++) {
        struct place place;
        if (!place_open(session, &place, o->arguments[i], SIDE_SOURCE))
            continue;
        if (place.stdio || *place.path)
            report_refused(session, session->verb, place.shown, NULL, ORBIT_E_CONFIG,
                           "it names no bucket: s3://bucket");
        else
            status_of(session, &place);
        place_release(&place);
    }
}
