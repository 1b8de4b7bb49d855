/* SPDX-License-Identifier: Apache-2.0
 * The directories of a tree that is removed or moved, deepest first, once nothing else is in them. A host may be far
 * away: many are asked for at once, each as soon as those that lie in it are gone. Main thread. */
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "report.h"
#include "verbs.h"

enum { FLIGHTS = 64 };

/* A directory whose removal is under way, or waits for those in it. */
struct flight {
    orbit_task *task; /* NULL: it waits */
    struct store *store;
    char *path, *shown;
};

/* The directories that enclose where the walk is. A walk tells a directory before what it holds, so one is
 * over when the next name does not lie in it: memory is bounded by the depth of the tree. */
struct stripping {
    struct session *session;
    bool tell;
    bool found; /* anything */
    struct store *store;
    struct text path; /* of the innermost directory, "" for none; the outer ones are its parents */
    size_t prefix;    /* of `path`: what stands before the first directory */
    struct text shown;
    struct flight flights[FLIGHTS]; /* in the order in which they were left: a directory after what lies in it */
    size_t flight_count;
};

/* ---- what is under way ----------------------------------------------------------------------------- */

static void told(struct stripping *stripping, const struct flight *flight, orbit_status status,
                 const orbit_error *error)
{
    struct session *session = stripping->session;
    if (status >= 0 && stripping->tell) {
        struct text shown = {0};
        text_format(&shown, "%s/", flight->shown);
        report_done(session, &(struct result){.operation = session->verb, .source = shown.bytes});
        text_release(&shown);
    } else if (status < 0 && status != ORBIT_E_NOT_FOUND && (stripping->tell || status != ORBIT_E_NOT_EMPTY)) {
        report_failed(session, session->verb, flight->shown, NULL, error);
    }
}

static void land(struct stripping *stripping, size_t i, orbit_status status, const orbit_error *error)
{
    struct flight flight = stripping->flights[i];
    stripping->flight_count--;
    memmove(&stripping->flights[i], &stripping->flights[i + 1],
            (stripping->flight_count - i) * sizeof stripping->flights[0]);
    told(stripping, &flight, status, error);
    orbit_task_free(flight.task);
    free(flight.path);
    free(flight.shown);
}

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool is_clear(const struct stripping *stripping, size_t i)
{
    for (size_t other = 0; other < i; other++)
        if (lies_in(stripping->flights[other].path, stripping->flights[i].path))
            return false;
    return true;
}

/* A host is told that it is a directory, and need not be asked what it is. */
static orbit_status take_off(struct stripping *stripping, struct flight *flight, orbit_error *error)
{
    orbit_call_options call = session_call(stripping->session);
    call.version_id = NULL;
    bool named = flight->store->local || !flight->store->has_directories;
    char *path = named ? string_copy(flight->path) : path_join(flight->path, "");
    orbit_status status = orbit_remove_start(&flight->task, flight->store->backend, path, &call, NULL, NULL, error);
    free(path);
    return status;
}

static void take_off_all(struct stripping *stripping)
{
    for (size_t i = 0; i < stripping->flight_count;) {
        orbit_error error;
        struct flight *flight = &stripping->flights[i];
        orbit_status status = flight->task || !is_clear(stripping, i) ? ORBIT_OK : take_off(stripping, flight, &error);
        if (status < 0)
            land(stripping, i, status, &error);
        else
            i++;
    }
}

/* Waits for the first one, which waits for no other. */
static void land_first(struct stripping *stripping)
{
    orbit_error error;
    orbit_status status = orbit_task_wait(stripping->flights[0].task, &error);
    land(stripping, 0, status, &error);
    take_off_all(stripping);
}

static void land_all(struct stripping *stripping)
{
    while (stripping->flight_count)
        land_first(stripping);
}

static void strip_innermost(struct stripping *stripping)
{
    while (stripping->flight_count == FLIGHTS)
        land_first(stripping);
    stripping->flights[stripping->flight_count++] = (struct flight){
        .store = stripping->store,
        .path = string_copy(text_string(&stripping->path)),
        .shown = string_copy(text_string(&stripping->shown)),
    };
    take_off_all(stripping);
}

/* ---- the walk -------------------------------------------------------------------------------------- */

static void shorten(struct text *text)
{
    char *slash = strrchr(text->bytes, '/');
    size_t length = slash ? (size_t)(slash - text->bytes) : 0;
    text->bytes[length] = '\0';
    text->length = length;
}

/* Leaves directories until the innermost one holds `path` (NULL: all of them). */
static void strip_until(struct stripping *stripping, const char *path)
{
    while (stripping->path.length > stripping->prefix) {
        size_t length = stripping->path.length;
        if (path && strncmp(path, stripping->path.bytes, length) == 0 && path[length] == '/')
            return;
        strip_innermost(stripping);
        shorten(&stripping->path);
        shorten(&stripping->shown);
        if (stripping->path.length <= stripping->prefix)
            text_clear(&stripping->path);
    }
}

static bool visit_strip(void *ctx, const struct item *item)
{
    struct stripping *stripping = ctx;
    stripping->found = true;
    strip_until(stripping, item->path);
    if (item->metadata->kind != ORBIT_KIND_DIRECTORY || item->marker)
        return !session_stopped(stripping->session);
    if (!stripping->path.length)
        stripping->prefix = (size_t)(path_name(item->path) - item->path);
    stripping->store = item->store;
    text_clear(&stripping->path);
    text_add_string(&stripping->path, item->path);
    text_clear(&stripping->shown);
    text_add_string(&stripping->shown, item->shown);
    return !session_stopped(stripping->session);
}

/* The walk's store may be gone after this. */
static void leave_strip(void *ctx)
{
    strip_until(ctx, NULL);
    land_all(ctx);
}

void remove_directories(struct session *session, const char *typed, bool tell)
{
    struct stripping stripping = {.session = session, .tell = tell};
    struct expansion expansion = {.session = session,
                                  .visit = visit_strip,
                                  .leave = leave_strip,
                                  .ctx = &stripping,
                                  .flags = EXPAND_DESCEND | EXPAND_DIRECTORIES | EXPAND_NAMED_LINKS | EXPAND_GONE};
    struct place place;
    bool went = false;

    if (session->tally.failed)
        expansion.flags |= EXPAND_TOLD;
    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    /* What was a prefix of objects may be gone altogether. */
    orbit_call_options call = session_call(session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    call.version_id = NULL;
    bool exact = orbit_stat(place.store->backend, place.path, &call, &metadata, NULL) >= 0 &&
                 metadata.kind == ORBIT_KIND_DIRECTORY;
    if (exact || (!session->options->raw && strpbrk(place.path, "*?[\\")))
        went = expand(&expansion, typed);
    /* Of objects a marker may be left: that, and not an object of the name itself. */
    if (went && exact && *place.path && (place.has_directories || !stripping.found)) {
        stripping.store = place.store;
        if (place.has_directories) {
            text_clear(&stripping.path);
            text_add_string(&stripping.path, place.path);
        } else {
            path_put(&stripping.path, place.path, "");
        }
        text_clear(&stripping.shown);
        text_add_string(&stripping.shown, place.shown);
        while (stripping.shown.length > 1 && stripping.shown.bytes[stripping.shown.length - 1] == '/')
            stripping.shown.bytes[--stripping.shown.length] = '\0';
        strip_innermost(&stripping);
        land_all(&stripping);
    }
    orbit_metadata_release(&metadata);
    text_release(&stripping.path);
    text_release(&stripping.shown);
    place_release(&place);
}
