/* SPDX-License-Identifier: Apache-2.0
 * tag: the tags of objects, told or set. */
#include <stdlib.h>

#include "output.h"
#include "report.h"
#include "verbs.h"

enum { TAGS_ROOM = 64 << 10 };

static void tell(struct session *session, const struct place *place, const char *tagging)
{
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_name(&json, "key", place->shown);
        json_string(&json, "tagging", tagging);
        json_end(&json, false);
    } else {
        output_string(*tagging ? tagging : "-");
        output_string("  ");
        output_name(place->shown);
        output_string("\n");
        output_end_line();
    }
    session->tally.done++;
}

static void tag_place(struct session *session, const struct place *place, char *room)
{
    const struct options *o = session->options;
    orbit_call_options call = session_call(session);
    orbit_error error;
    if (o->tagging && orbit_tags_set(place->store->backend, place->path, o->tagging, &call, &error) >= 0)
        report_done(session, &(struct result){.operation = session->verb, .source = place->shown});
    else if (!o->tagging && orbit_tags_get(place->store->backend, place->path, room, TAGS_ROOM, &call, &error) >= 0)
        tell(session, place, room);
    else
        report_failed(session, session->verb, place->shown, NULL, &error);
}

void verb_tag(struct session *session)
{
    const struct options *o = session->options;
    char *room = memory_zeroed(1, TAGS_ROOM);
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++) {
        struct place place;
        if (!place_open(session, &place, o->arguments[i], SIDE_SOURCE))
            continue;
        if (place.stdio)
            report_refused(session, session->verb, "-", NULL, ORBIT_E_CONFIG, "'-' is not an object");
        else
            tag_place(session, &place, room);
        place_release(&place);
    }
    free(room);
}
