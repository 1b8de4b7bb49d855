/* SPDX-License-Identifier: Apache-2.0
 * uploads: what was begun in parts and not ended, at a store and in this machine's journals. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "report.h"
#include "verbs.h"

/* ---- ls -------------------------------------------------------------------------------------------------- */

static void json_started(struct json *json, int64_t time_ns)
{
    char room[TIME_TEXT_ROOM];
    if (time_ns)
        json_string(json, "started", time_text(room, time_ns, true));
}

static void print_open(const struct session *session, const char *shown, const orbit_open_upload *upload)
{
    char when[TIME_TEXT_ROOM] = "";
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_name(&json, "key", shown);
        json_string(&json, "upload_id", upload->upload_id);
        json_started(&json, upload->started_ns);
        json_bool(&json, "journal", upload->journal);
        json_end(&json, false);
        return;
    }
    struct text line = {0};
    if (upload->started_ns)
        time_text(when, upload->started_ns, false);
    text_format(&line, "%19s  %-7s  ", when, upload->journal ? "journal" : "-");
    text_add_escaped(&line, upload->upload_id, strlen(upload->upload_id));
    text_add_string(&line, "  ");
    output_bytes(line.bytes, line.length);
    text_release(&line);
    output_name(shown);
    output_string("\n");
    output_end_line();
}

/* "s3://bucket?endpoint=…" and a key: how a person names the object; on a host a path may be absolute, or of the
 * home. */
static char *object_shown(const char *store, const char *path)
{
    char *root = string_copy_length(store, strcspn(store, "?"));
    struct text text = {0};
    bool host = strncmp(root, "sftp://", 7) == 0;
    text_format(&text, "%s%s%s", root, !host ? "/" : path[0] == '/' ? "" : "/~/", path);
    free(root);
    return text.bytes;
}

static char *target_shown(const orbit_upload_journal *journal)
{
    return object_shown(journal->store, journal->path);
}

static char *source_shown(const orbit_upload_journal *journal)
{
    return journal->source_store ? object_shown(journal->source_store, journal->source) : string_copy(journal->source);
}

static void print_journal(const struct session *session, const orbit_upload_journal *journal)
{
    char when[TIME_TEXT_ROOM];
    char *target = target_shown(journal), *source = source_shown(journal);
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_name(&json, "key", target);
        json_name(&json, "source", source);
        json_string(&json, "store", journal->store);
        json_string(&json, "upload_id", journal->upload_id);
        json_started(&json, journal->started_ns);
        json_number(&json, "size", journal->size);
        json_number(&json, "sent", journal->sent);
        json_end(&json, false);
    } else {
        struct text line = {0};
        text_format(&line, "%19s  %12" PRIu64 " of %12" PRIu64 "  ", time_text(when, journal->started_ns, false),
                    journal->sent, journal->size);
        output_bytes(line.bytes, line.length);
        text_release(&line);
        output_name(source);
        output_string(" ");
        output_name(target);
        output_string("\n");
        output_end_line();
    }
    free(source);
    free(target);
}

/* ---- going through them ------------------------------------------------------------------------------------- */

typedef void open_function(struct session *session, const struct place *place, const orbit_open_upload *upload,
                           const char *shown);

/* The prefix as it was typed: with the '/' at its end. */
static char *prefix_of(const struct place *place)
{
    size_t length = strlen(place->path);
    bool slash = place->directory && length && place->path[length - 1] != '/';
    return slash ? path_join(place->path, "") : string_copy(place->path);
}

static void each_below(struct session *session, const struct place *place, const char *prefix, open_function *function)
{
    orbit_uploads_options options = ORBIT_UPLOADS_OPTIONS_INIT;
    orbit_uploads *uploads = NULL;
    orbit_open_upload upload;
    orbit_error error;
    char *root = string_copy_length(place->shown, strlen(place->shown) - strlen(place->path));
    options.state_dir = session->state_dir;
    options.cancel = session->cancel;
    orbit_status status = orbit_uploads_open(&uploads, place->store->backend, prefix, &options, &error);
    while (status >= 0 && !session_stopped(session) &&
           (status = orbit_uploads_next(uploads, &upload, &error)) == ORBIT_OK) {
        bool absolute = place->store->has_directories && upload.path[0] == '/';
        char *shown = path_join(root, absolute ? upload.path + 1 : upload.path);
        function(session, place, &upload, shown);
        free(shown);
    }
    if (status < 0) {
        char *shown = path_join(root, prefix);
        report_failed(session, session->verb, shown, NULL, &error);
        free(shown);
    }
    orbit_uploads_close(uploads);
    free(root);
}

/* On a host each directory is asked. An object store tells all that begin with the prefix. */
static void each_in_tree(struct session *session, const struct place *place, open_function *function)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_error error;
    options.cancel = session->cancel;
    options.recursive = true;
    orbit_status status = orbit_list(&lister, place->store->backend, place->path, &options, &error);
    while (status >= 0 && !session_stopped(session) &&
           (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
        if (status == ORBIT_ENTRY_FAILED) {
            char *shown = path_join(place->shown, entry.path);
            report_failed(session, session->verb, shown, NULL, &error);
            free(shown);
        } else if (status >= 0 && entry.metadata.kind == ORBIT_KIND_DIRECTORY) {
            char *directory = path_join(place->path, entry.path), *prefix = path_join(directory, "");
            each_below(session, place, prefix, function);
            free(prefix);
            free(directory);
        }
    }
    if (status < 0)
        report_failed(session, session->verb, place->shown, NULL, &error);
    orbit_lister_close(lister);
}

static void each_open(struct session *session, const char *typed, open_function *function)
{
    struct place place;
    if (!place_open(session, &place, typed, SIDE_BOTH))
        return;
    if (place.stdio) {
        session->tally.code = usage_error(session->options->verb, "'-' is not a store");
        place_release(&place);
        return;
    }
    char *prefix = prefix_of(&place);
    each_below(session, &place, prefix, function);
    if (session->options->recursive && place.store->has_directories && !session_stopped(session))
        each_in_tree(session, &place, function);
    free(prefix);
    place_release(&place);
}

typedef void journal_function(struct session *session, const orbit_upload_journal *journal);

static void each_journal(struct session *session, journal_function *function)
{
    orbit_upload_journals *journals = NULL;
    orbit_upload_journal journal;
    orbit_error error;
    if (!session->state_dir)
        return;
    orbit_status status = orbit_upload_journals_open(&journals, session->state_dir, &error);
    while (status >= 0 && !session_stopped(session) &&
           (status = orbit_upload_journals_next(journals, &journal, &error)) != ORBIT_END) {
        if (status == ORBIT_OK)
            function(session, &journal);
        else
            report_failed(session, session->verb, journal.name ? journal.name : session->state_dir, NULL, &error);
        if (status < 0)
            break;
    }
    if (!journals)
        report_failed(session, session->verb, session->state_dir, NULL, &error);
    orbit_upload_journals_close(journals);
}

static bool too_young(const struct session *session, int64_t started_ns)
{
    const struct options *o = session->options;
    return o->older.given && (!started_ns || started_ns >= o->older.time_ns);
}

static void list_open(struct session *session, const struct place *place, const orbit_open_upload *upload,
                      const char *shown)
{
    (void)place;
    if (too_young(session, upload->started_ns))
        return;
    print_open(session, shown, upload);
    session->tally.done++;
}

static void list_journal(struct session *session, const orbit_upload_journal *journal)
{
    if (too_young(session, journal->started_ns))
        return;
    print_journal(session, journal);
    session->tally.done++;
}

/* ---- abort --------------------------------------------------------------------------------------------------- */

/* Takes the journal of an upload away first: one that is under way keeps it, and is not to be aborted. */
static bool forget(struct session *session, const char *upload_id, orbit_error *error)
{
    orbit_upload_journals *journals = NULL;
    orbit_upload_journal journal;
    orbit_status status = orbit_upload_journals_open(&journals, session->state_dir, error);
    orbit_status found;
    while (status >= 0 && (found = orbit_upload_journals_next(journals, &journal, NULL)) != ORBIT_END && found >= 0)
        if (found == ORBIT_OK && journal.upload_id && strcmp(journal.upload_id, upload_id) == 0)
            status = orbit_upload_journal_remove(session->state_dir, journal.name, upload_id, error);
    orbit_upload_journals_close(journals);
    return status >= 0;
}

static void abort_open(struct session *session, const struct place *place, const orbit_open_upload *upload,
                       const char *shown)
{
    orbit_call_options call = session_call(session);
    orbit_error error;
    struct result result = {.operation = session->verb, .source = shown};
    if (too_young(session, upload->started_ns))
        return;
    if (session->options->dry_run ||
        ((!upload->journal || forget(session, upload->upload_id, &error)) &&
         orbit_upload_abort(place->store->backend, upload->path, upload->upload_id, &call, &error) >= 0))
        report_done(session, &result);
    else
        report_failed(session, session->verb, shown, NULL, &error);
}

/* ---- resume -------------------------------------------------------------------------------------------------- */

/* Nothing was there to go on with: where somebody named what, that is not found. */
static void nothing_resumed(struct session *session, const char *where)
{
    if (session_stopped(session) || session->tally.done || session->tally.failed)
        return;
    if (where)
        report_refused(session, session->verb, where, NULL, ORBIT_E_NOT_FOUND,
                       "this machine keeps no unfinished upload to it");
    else if (!session->options->quiet && !session->options->json)
        output_talk("orbit uploads resume: there is nothing to go on with: this machine keeps no unfinished uploads");
}

/* "s3://bucket" is a whole name, "s3://bucket/a" begins keys. */
static bool is_below(const char *typed, const char *target)
{
    if (!typed)
        return true;
    size_t length = strlen(typed);
    const char *authority = strstr(typed, "://");
    bool in_key = authority && strchr(authority + 3, '/');
    return strncmp(target, typed, length) == 0 && (in_key || target[length] == '/');
}

/* From a file, or from another store. False: that cannot be opened, which was told. */
static bool send_again(struct session *session, const orbit_upload_journal *journal, orbit_backend *to,
                       orbit_write_result *written, orbit_status *status, orbit_error *error)
{
    orbit_write_options write = session_write(session);
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    struct place from;
    write.resume_upload = journal->upload_id;
    write.chunk_size = journal->part_bytes;
    if (!journal->source_store) {
        *status = orbit_write(to, journal->path, orbit_source_path(journal->source), ORBIT_SIZE_UNKNOWN, &write,
                              written, error);
        return true;
    }
    if (!place_open(session, &from, journal->source_store, SIDE_SOURCE))
        return false;
    copy.write = &write;
    orbit_metadata said = {.kind = ORBIT_KIND_FILE, .fields = ORBIT_HAS_SIZE, .size = journal->size};
    copy.source_hint = &said;
    copy.source_sse_customer_key = session_source_key(session, false);
    *status = orbit_copy(from.store->backend, journal->source, to, journal->path, &copy, written, error);
    place_release(&from);
    return true;
}

static void resume_journal(struct session *session, const orbit_upload_journal *journal)
{
    const struct options *o = session->options;
    orbit_write_result written = ORBIT_WRITE_RESULT_INIT;
    orbit_status status = ORBIT_OK;
    orbit_error error;
    struct place place;
    char *target = target_shown(journal), *source = source_shown(journal);
    struct result result = {.operation = session->verb, .source = source, .destination = target};
    bool meant = journal->upload_id && !too_young(session, journal->started_ns) &&
                 is_below(o->argument_count > 1 ? o->arguments[1] : NULL, target);
    if (meant && place_open(session, &place, journal->store, journal->source_store ? SIDE_DESTINATION : SIDE_BOTH)) {
        bool told = !o->dry_run && !send_again(session, journal, place.store->backend, &written, &status, &error);
        result.has_size = true;
        result.size = journal->size;
        result.metadata = &written.metadata;
        if (status < 0)
            report_failed(session, session->verb, source, target, &error);
        else if (!told)
            report_done(session, &result);
        orbit_write_result_release(&written);
        place_release(&place);
    }
    free(source);
    free(target);
}

/* What is no location at all is told by who opens it. */
static bool has_uploads(const char *where)
{
    orbit_location location = {0};
    bool has = orbit_location_parse(&location, where, NULL) < 0 || !(location.is_local || location.is_stdio);
    orbit_location_release(&location);
    return has;
}

void verb_uploads(struct session *session)
{
    const struct options *o = session->options;
    const char *what = o->arguments[0], *where = o->argument_count > 1 ? o->arguments[1] : NULL;
    if (where && !has_uploads(where)) {
        session->tally.code = usage_error(
            o->verb, "'%s' has no uploads: s3://BUCKET, s3://BUCKET/PREFIX or sftp://HOST/DIRECTORY", where);
    } else if (strcmp(what, "ls") == 0 && where) {
        session->verb = "uploads ls";
        each_open(session, where, list_open);
    } else if (strcmp(what, "ls") == 0) {
        session->verb = "uploads ls";
        each_journal(session, list_journal);
    } else if (strcmp(what, "resume") == 0) {
        session->verb = "uploads resume";
        each_journal(session, resume_journal);
        nothing_resumed(session, where);
    } else if (strcmp(what, "abort") == 0 && where) {
        session->verb = "uploads abort";
        each_open(session, where, abort_open);
    } else if (strcmp(what, "abort") == 0) {
        session->tally.code =
            usage_error(o->verb, "abort needs a place: s3://BUCKET, s3://BUCKET/PREFIX or sftp://HOST/DIRECTORY");
    } else {
        session->tally.code = usage_error(o->verb, "uploads takes ls, resume or abort, not '%s'", what);
    }
}
