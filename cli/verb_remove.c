/* SPDX-License-Identifier: Apache-2.0
 * rm, rmdir, mkdir, mb, rb: what makes and removes names. Directories of trees: stripping.c. */
#include <stdlib.h>
#include <string.h>

#include "crew.h"
#include "expand.h"
#include "names.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"
#include "versions.h"

/* ---- rm ------------------------------------------------------------------------------------------ */

struct removing {
    struct session *session;
    struct crew *crew;
    bool tree; /* directories go with all that is in them */
    bool found_directory;
    uint64_t failed_before; /* this tree */
};

static void remove_object(struct removing *removing, struct store *store, const char *path, const char *shown,
                          const orbit_metadata *metadata)
{
    struct job job = {.from_shown = shown};
    orbit_job_init(&job.work);
    job.work.operation = ORBIT_JOB_REMOVE;
    job.work.from_backend = store->backend;
    job.work.from = path;
    job.work.metadata = metadata;
    if (removing->session->options->dry_run)
        report_done(removing->session, &(struct result){.operation = "rm", .source = shown});
    else
        crew_submit(removing->crew, &job);
}

/* Of a directory on an object store: an object like any other. */
static void remove_marker(struct removing *removing, const struct item *directory, const orbit_metadata *metadata)
{
    orbit_metadata object = *metadata;
    char *path = path_join(directory->path, ""), *shown = path_join(directory->shown, "");
    object.kind = ORBIT_KIND_FILE;
    remove_object(removing, directory->store, path, shown, &object);
    free(path);
    free(shown);
}

/* What is listed below a directory has markers of those in it, and not its own. */
static void look_for_marker(struct removing *removing, const struct item *directory)
{
    const struct options *o = removing->session->options;
    orbit_call_options call = session_call(removing->session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    if (directory->store->has_directories || !*directory->path || o->include.count || o->exclude.count)
        return;
    char *path = path_join(directory->path, "");
    if (orbit_stat(directory->store->backend, path, &call, &metadata, NULL) >= 0 && metadata.etag)
        remove_marker(removing, directory, &metadata);
    orbit_metadata_release(&metadata);
    free(path);
}

static bool visit_rm(void *ctx, const struct item *item)
{
    struct removing *removing = ctx;
    struct session *session = removing->session;

    if (item->metadata->kind == ORBIT_KIND_DIRECTORY && !removing->tree) {
        report_refused(session, "rm", item->shown, NULL, ORBIT_E_PATH,
                       "'%s' is a directory: -r removes it and all that is in it", item->shown);
        return !session_stopped(session);
    }
    if (item->metadata->kind == ORBIT_KIND_DIRECTORY && !item->marker) {
        removing->found_directory = true; /* when it is empty, later */
        look_for_marker(removing, item);
        return !session_stopped(session);
    }
    if (item->marker)
        remove_marker(removing, item, item->metadata);
    else
        remove_object(removing, item->store, item->path, item->shown, item->metadata);
    return !session_stopped(session);
}

/* With a slash behind it the system takes a link for the directory that it names. */
static bool is_link(struct session *session, const struct item *directory, size_t length)
{
    orbit_call_options call = session_call(session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    if (!directory->path[length])
        return false;
    char *path = string_copy_length(directory->path, length);
    bool link =
        orbit_stat(directory->store->backend, path, &call, &metadata, NULL) >= 0 && metadata.kind == ORBIT_KIND_SYMLINK;
    orbit_metadata_release(&metadata);
    free(path);
    return link;
}

/* Why a tree cannot go as a whole; it is not emptied first then. NULL: it can. */
static const char *tree_stays(struct session *session, const struct item *directory)
{
    const char *path = directory->path;
    size_t length = strlen(path);

    if (!directory->store->has_directories)
        return NULL;
    if (!length)
        return directory->store->local ? NULL : "it is all that the server shows: name a directory below";
    while (length && path[length - 1] == '/')
        length--;
    if (!length)
        return "'/' is the root of all files and is not removed";
    const char *slash = memrchr(path, '/', length);
    const char *name = slash ? slash + 1 : path;
    size_t name_length = length - (size_t)(name - path);
    if (name_length <= 2 && memcmp(name, "..", name_length) == 0)
        return "a directory cannot be removed from within: name it by its own name";
    if (is_link(session, directory, length))
        return "it is a symbolic link: without the slash behind it the link is removed, and not what it names";
    return NULL;
}

static bool enter_rm(void *ctx, const struct item *directory)
{
    struct removing *removing = ctx;
    const char *reason = tree_stays(removing->session, directory);
    if (reason) {
        report_refused(removing->session, "rm", directory->shown, NULL, ORBIT_E_PATH, "%s", reason);
        return false;
    }
    removing->found_directory = true;
    look_for_marker(removing, directory);
    return true;
}

static void walk_rm(void *ctx)
{
    struct removing *removing = ctx;
    crew_drain(removing->crew); /* failures of earlier arguments are not this tree's */
    removing->failed_before = removing->session->tally.failed;
}

static void leave_rm(void *ctx)
{
    struct removing *removing = ctx;
    crew_drain(removing->crew);
}

static void remove_names(struct session *session, const char *typed)
{
    struct place place;
    struct name_roots roots = {.to = NULL};

    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    roots.from_shown = place.shown;
    roots.from = names_root(session, &place, &roots.from_path);
    if (roots.from)
        names_transfer(session, ORBIT_JOB_REMOVE, 0, &roots);
    if (roots.from != place.store)
        store_free(roots.from);
    place_release(&place);
}

static bool submit_version(struct removing *removing, struct store *store, const char *path, const char *shown,
                           const char *version)
{
    struct session *session = removing->session;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    struct text name = {0};

    text_format(&name, "%s (version %s)", shown, version);
    struct job job = {.from_shown = text_string(&name)};
    metadata.kind = ORBIT_KIND_FILE;
    orbit_job_init(&job.work);
    job.work.operation = ORBIT_JOB_REMOVE;
    job.work.from_backend = store->backend;
    job.work.from = path;
    job.work.version_id = version;
    job.work.metadata = &metadata;
    if (session->options->dry_run)
        report_done(session, &(struct result){.operation = "rm", .source = job.from_shown});
    else
        crew_submit(removing->crew, &job);
    text_release(&name);
    return !session_stopped(session);
}

static void refuse_tree(struct session *session, const char *shown)
{
    report_refused(session, "rm", shown, NULL, ORBIT_E_PATH,
                   "'%s' is a directory: -r removes the versions of all that is in it", shown);
}

struct versions_to_remove {
    struct removing *removing;
    const struct place *place;
};

static bool visit_version(void *ctx, const char *path, const char *name, const char *shown, const orbit_entry *entry)
{
    struct versions_to_remove *versions = ctx;
    (void)name;
    struct session *session = versions->removing->session;
    if (!session->options->recursive && strcmp(path, versions->place->path) != 0) { /* it was a prefix */
        refuse_tree(session, versions->place->shown);
        return false;
    }
    return submit_version(versions->removing, versions->place->store, path, shown,
                          entry->metadata.version_id ? entry->metadata.version_id : "null");
}

/* One version or all of them. Whether there is an object of that name now says nothing about it, so nobody looks. */
static void remove_versions(struct removing *removing, const char *typed)
{
    struct session *session = removing->session;
    const struct options *o = session->options;
    struct place place;

    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    struct versions_to_remove versions = {removing, &place};
    if (place.stdio || place.has_directories)
        report_refused(session, "rm", place.shown ? place.shown : typed, NULL, ORBIT_E_UNSUPPORTED,
                       "only objects have versions");
    else if (o->all_versions && !o->recursive && (place.directory || !*place.path))
        refuse_tree(session, place.shown);
    else if (o->all_versions)
        versions_each(session, &place, o->recursive, &(const struct version_visitor){visit_version, &versions});
    else
        submit_version(removing, place.store, place.path, place.shown, o->version_id);
    crew_drain(removing->crew); /* the store may be gone with its place */
    place_release(&place);
}

void verb_rm(struct session *session)
{
    const struct options *o = session->options;
    if (o->files_from || o->files_from0) {
        remove_names(session, o->arguments[0]);
        return;
    }
    struct removing removing = {
        .session = session, .crew = crew_new(session, &(struct name_roots){.to = NULL}, NULL), .tree = o->recursive};
    struct expansion expansion = {.session = session,
                                  .visit = visit_rm,
                                  .enter = enter_rm,
                                  .walk = walk_rm,
                                  .leave = leave_rm,
                                  .settle = o->dry_run ? NULL : leave_rm,
                                  .ctx = &removing,
                                  .flags = EXPAND_NAMED_LINKS | EXPAND_FILTER | EXPAND_NAMES};
    if (!removing.crew)
        return;
    if (o->recursive)
        expansion.flags |= EXPAND_DESCEND | EXPAND_DIRECTORIES;

    struct progress *progress = progress_start(session, removing.crew);
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++) {
        removing.found_directory = false;
        if (o->version_id || o->all_versions)
            remove_versions(&removing, o->arguments[i]);
        else if (expand(&expansion, o->arguments[i]) && removing.found_directory && !o->dry_run)
            remove_directories(session, o->arguments[i],
                               session->tally.failed == removing.failed_before && !o->include.count &&
                                   !o->exclude.count);
    }
    crew_all_known(removing.crew);
    crew_drain(removing.crew);
    progress_stop(progress);
    crew_free(removing.crew);
}

/* ---- rmdir, mkdir, mb, rb -------------------------------------------------------------------------- */

typedef orbit_status place_call(struct session *session, const struct place *place, orbit_error *error);

static void each_place(struct session *session, place_call *call)
{
    const struct options *o = session->options;
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++) {
        struct place place;
        orbit_error error;
        if (!place_open(session, &place, o->arguments[i], SIDE_DESTINATION))
            continue;
        if (place.stdio)
            report_refused(session, session->verb, "-", NULL, ORBIT_E_CONFIG, "'-' is standard input, no directory");
        else if (call(session, &place, &error) < 0)
            report_failed(session, session->verb, place.shown, NULL, &error);
        else
            report_done(session, &(struct result){.operation = session->verb, .source = place.shown});
        place_release(&place);
    }
}

/* A directory is called without its slash, whatever was typed. */
static char *directory_path(const struct place *place)
{
    char *path = string_copy(place->path);
    size_t length = strlen(path);
    if (length > 1 && path[length - 1] == '/')
        path[length - 1] = '\0';
    return path;
}

static orbit_status make_directory(struct session *session, const struct place *place, orbit_error *error)
{
    orbit_call_options call = session_call(session);
    char *path = directory_path(place);
    call.recursive = session->options->parents;
    orbit_status status = orbit_mkdir(place->store->backend, path, &call, error);
    free(path);
    return status;
}

/* Object stores have no directories, only keys below a name, and remove a marker or nothing without a word: whether
 * something is below has to be asked. */
static orbit_status must_be_empty(struct session *session, const struct place *place, const char *path,
                                  orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    options.max_entries = 1;
    options.cancel = session->cancel;
    orbit_status status = orbit_list(&lister, place->store->backend, path, &options, error);
    if (status >= 0)
        status = orbit_lister_next(lister, &entry, error);
    orbit_lister_close(lister);
    if (status == ORBIT_OK || status == ORBIT_ENTRY_FAILED)
        return orbit_error_set(error, ORBIT_E_NOT_EMPTY, 0, "cannot remove '%s': the %s is not empty", place->shown,
                               *path ? "directory" : "bucket");
    return status < 0 ? status : ORBIT_OK;
}

static orbit_status remove_directory(struct session *session, const struct place *place, orbit_error *error)
{
    orbit_call_options call = session_call(session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    char *path = directory_path(place);
    orbit_status status = orbit_stat(place->store->backend, path, &call, &metadata, error);
    if (status >= 0 && metadata.kind != ORBIT_KIND_DIRECTORY)
        status = orbit_error_set(error, ORBIT_E_PATH, 0, "'%s' is not a directory", place->shown);
    else if (status >= 0 && !place->has_directories)
        status = must_be_empty(session, place, path, error);
    if (status >= 0)
        status = orbit_remove(place->store->backend, path, &call, error);
    orbit_metadata_release(&metadata);
    free(path);
    return status;
}

void verb_mkdir(struct session *session)
{
    each_place(session, make_directory);
}

void verb_rmdir(struct session *session)
{
    each_place(session, remove_directory);
}

static orbit_status make_bucket(struct session *session, const struct place *place, orbit_error *error)
{
    orbit_call_options call = session_call(session);
    if (*place->path || place->has_directories)
        return orbit_error_set(error, ORBIT_E_CONFIG, 0, "'%s' names no bucket: s3://bucket", place->shown);
    return orbit_container_create(place->store->backend, &call, error);
}

static orbit_status remove_bucket(struct session *session, const struct place *place, orbit_error *error)
{
    orbit_call_options call = session_call(session);
    if (*place->path || place->has_directories)
        return orbit_error_set(error, ORBIT_E_CONFIG, 0, "'%s' names no bucket: s3://bucket", place->shown);
    if (session->options->dry_run) /* what --force would remove has been found */
        return session->options->force ? ORBIT_OK : must_be_empty(session, place, "", error);
    return orbit_container_remove(place->store->backend, &call, error);
}

/* All objects, as they are listed. What was not removed keeps the bucket. */
static bool empty_bucket(struct session *session, const char *typed)
{
    struct removing removing = {
        .session = session, .crew = crew_new(session, &(struct name_roots){.to = NULL}, NULL), .tree = true};
    struct expansion expansion = {.session = session,
                                  .visit = visit_rm,
                                  .walk = walk_rm,
                                  .leave = leave_rm,
                                  .ctx = &removing,
                                  .flags = EXPAND_DESCEND | EXPAND_DIRECTORIES | EXPAND_NAMES};
    uint64_t failed_before = session->tally.failed;
    if (!removing.crew)
        return false;
    struct progress *progress = progress_start(session, removing.crew);
    (void)expand(&expansion, typed);
    crew_all_known(removing.crew);
    crew_drain(removing.crew);
    progress_stop(progress);
    crew_free(removing.crew);
    return session->tally.failed == failed_before && !session_stopped(session);
}

/* As in the AWS CLI, versions stay: they may be what the bucket keeps them for. */
static void remove_full_bucket(struct session *session, const char *typed)
{
    struct place place;
    orbit_error error;
    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    if (place.stdio || *place.path || place.has_directories) {
        report_refused(session, session->verb, place.shown, NULL, ORBIT_E_CONFIG, "'%s' names no bucket: s3://bucket",
                       place.shown);
    } else if (empty_bucket(session, typed)) {
        orbit_status status = remove_bucket(session, &place, &error);
        if (status == ORBIT_E_NOT_EMPTY)
            report_refused(session, session->verb, place.shown, NULL, ORBIT_E_NOT_EMPTY,
                           "the objects are removed, but the bucket is not empty: their older versions ('orbit rm -r "
                           "--all-versions %s' removes them) or unfinished uploads ('orbit uploads abort %s') are left",
                           place.shown, place.shown);
        else if (status < 0)
            report_failed(session, session->verb, place.shown, NULL, &error);
        else
            report_done(session, &(struct result){.operation = session->verb, .source = place.shown});
    }
    place_release(&place);
}

void verb_bucket(struct session *session)
{
    const struct options *o = session->options;
    if (!o->force) {
        each_place(session, o->verb == VERB_MB ? make_bucket : remove_bucket);
        return;
    }
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++)
        remove_full_bucket(session, o->arguments[i]);
}
