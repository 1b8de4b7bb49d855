/* SPDX-License-Identifier: Apache-2.0
 * doctor: what is between us and a store, a line a finding with what to do about it; then what may be done there.
 * Nothing is changed without --write. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

enum { LISTED_MAX = 100 };

static void tell_json(const struct examination *examination, const orbit_finding *finding, const char *level)
{
    struct json json = {0};
    json_begin(&json);
    json_string(&json, "operation", examination->session->verb);
    json_bool(&json, "success", finding->level != ORBIT_FINDING_FAILURE);
    json_name(&json, "source", examination->place->shown);
    json_string(&json, "check", finding->what);
    json_string(&json, "level", level);
    json_string(&json, "message", finding->text);
    if (*finding->advice)
        json_string(&json, "advice", finding->advice);
    if (finding->level == ORBIT_FINDING_FAILURE) {
        json_object(&json, "error");
        json_string(&json, "kind", orbit_status_word((orbit_status)finding->status));
        json_string(&json, "message", finding->text);
        json_close(&json);
    }
    json_end(&json, false);
}

static void tell_line(const orbit_finding *finding, const char *level)
{
    struct text line = {0};
    text_format(&line, "%-4s  %-12s ", level, finding->what);
    text_add_escaped(&line, finding->text, strlen(finding->text));
    if (*finding->advice)
        text_format(&line, "; %s", finding->advice);
    text_add(&line, "\n", 1);
    output_string(line.bytes);
    output_end_line();
    text_release(&line);
}

static void tell(struct examination *examination, const orbit_finding *finding)
{
    static const char *const levels[] = {"ok", "warn", "fail"};
    struct session *session = examination->session;
    const char *level = levels[finding->level < 3 ? finding->level : 2];
    if (finding->level == ORBIT_FINDING_FAILURE) {
        report_count_failure(session, (orbit_status)finding->status);
        examination->stopped = true;
    }
    if (session->options->json)
        tell_json(examination, finding, level);
    else if (!session->options->quiet || finding->level != ORBIT_FINDING_OK)
        tell_line(finding, level);
}

void doctor_tell(struct examination *examination, orbit_finding_level level, orbit_status status, const char *what,
                 const char *advice, const char *format, ...)
{
    orbit_finding finding = {.level = (int32_t)level, .status = (int32_t)status};
    va_list arguments;
    snprintf(finding.what, sizeof finding.what, "%s", what);
    snprintf(finding.advice, sizeof finding.advice, "%s", advice ? advice : "");
    va_start(arguments, format);
    vsnprintf(finding.text, sizeof finding.text, format, arguments);
    va_end(arguments);
    tell(examination, &finding);
}

static bool keeps_objects(const struct place *place)
{
    return strcmp(orbit_backend_name(place->store->backend), "s3") == 0;
}

const char *doctor_ask(const struct examination *examination, const char *of_objects, const char *of_files)
{
    return keeps_objects(examination->place) ? of_objects : of_files;
}

/* ---- the steps ------------------------------------------------------------------------------------------ */

static void look_at_the_way(struct examination *examination)
{
    struct session *session = examination->session;
    orbit_call_options call = session_call(session);
    orbit_finding *findings = memory_zeroed(ORBIT_FINDINGS_MAX, sizeof *findings);
    size_t count = 0;
    orbit_error error;
    orbit_status status = orbit_probe(examination->place->store->backend, examination->place->path, findings,
                                      ORBIT_FINDINGS_MAX, &count, &call, &error);
    for (size_t i = 0; i < count; i++)
        tell(examination, &findings[i]);
    if (status < 0 && status != ORBIT_E_UNSUPPORTED) {
        report_failed(session, session->verb, examination->place->shown, NULL, &error);
        examination->stopped = true;
    }
    free(findings);
}

/* The largest file of the first entries is what later steps read. */
static void keep_sample(struct examination *examination, const orbit_entry *entry)
{
    if (entry->metadata.kind != ORBIT_KIND_FILE ||
        (examination->sample && entry->metadata.size <= examination->sample_size))
        return;
    free(examination->sample);
    examination->sample = path_join(examination->place->path, entry->path);
    examination->sample_size = entry->metadata.size;
}

static void look_at_list(struct examination *examination)
{
    const struct place *place = examination->place;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_error error;
    size_t count = 0;
    options.page_entries = LISTED_MAX;
    options.max_entries = LISTED_MAX;
    options.cancel = examination->session->cancel;
    uint64_t begun_ns = monotonic_ns();
    orbit_status status = orbit_list(&lister, place->store->backend, place->path, &options, &error);
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END && status >= 0)
        if (status == ORBIT_OK && ++count)
            keep_sample(examination, &entry);
    double took_ms = (double)(monotonic_ns() - begun_ns) / 1e6;
    orbit_lister_close(lister);
    if (status == ORBIT_END)
        doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, "list", NULL, "%zu%s %s in %.1f ms", count,
                    count == LISTED_MAX ? " or more" : "", count == 1 ? "entry" : "entries", took_ms);
    else if (status == ORBIT_E_PERMISSION)
        doctor_tell(examination, ORBIT_FINDING_WARNING, status, "list",
                    doctor_ask(examination, "ask for s3:ListBucket: ls, rm -r and copies of trees need it",
                               "ask for the right to read the directory: ls, rm -r and copies of trees need it"),
                    "%s", error.message);
    else if (status == ORBIT_E_NOT_FOUND && *place->path)
        doctor_tell(examination, ORBIT_FINDING_WARNING, status, "list", "nothing is wrong if it is yet to be written",
                    "%s", error.message);
    else
        doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "list", NULL, "%s", error.message);
}

static void look_at_head(struct examination *examination)
{
    orbit_call_options call = session_call(examination->session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    const char *path = examination->sample ? examination->sample : ".orbit-doctor-no-such-name";
    orbit_status status = orbit_stat(examination->place->store->backend, path, &call, &metadata, &error);
    orbit_metadata_release(&metadata);
    if (status >= 0)
        doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, "head", NULL, "what is known of '%.120s' can be read",
                    path);
    else if (status == ORBIT_E_NOT_FOUND)
        doctor_tell(examination, ORBIT_FINDING_OK, ORBIT_OK, "head", NULL, "a name that is not there is told as such");
    else if (status == ORBIT_E_PERMISSION)
        doctor_tell(examination, ORBIT_FINDING_WARNING, status, "head",
                    doctor_ask(examination,
                               "ask for s3:GetObject; without s3:ListBucket what is not there is told as denied, too",
                               "ask for the right to search the directory"),
                    "%s", error.message);
    else
        doctor_tell(examination, ORBIT_FINDING_FAILURE, status, "head", NULL, "%s", error.message);
}

static void examine(struct session *session, const struct place *place)
{
    const struct options *o = session->options;
    struct examination examination = {.session = session, .place = place};
    bool service =
        keeps_objects(place) && (strcmp(place->typed, "s3://") == 0 || strncmp(place->typed, "s3://?", 6) == 0);
    look_at_the_way(&examination);
    if (!examination.stopped && !place->local && !session_stopped(session))
        look_at_list(&examination);
    if (!examination.stopped && !place->local && !service && !session_stopped(session))
        look_at_head(&examination);
    if (!examination.stopped && o->probe_write && !service && !session_stopped(session))
        doctor_write(&examination);
    if (!examination.stopped && o->throughput_bytes && !service && !session_stopped(session))
        doctor_throughput(&examination, o->throughput_bytes, o->probe_write);
    if (!examination.stopped)
        session->tally.done++;
    free(examination.sample);
}

void verb_doctor(struct session *session)
{
    const struct options *o = session->options;
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++) {
        struct place place;
        if (!place_open(session, &place, o->arguments[i], SIDE_BOTH))
            continue;
        if (place.stdio)
            report_refused(session, session->verb, "-", NULL, ORBIT_E_CONFIG, "'-' is not a store");
        else
            examine(session, &place);
        place_release(&place);
    }
}
