/* SPDX-License-Identifier: Apache-2.0
 * cp, mv and put: every source is expanded, every item becomes a job of the crew. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "crew.h"
#include "directories.h"
#include "expand.h"
#include "input.h"
#include "names.h"
#include "progress.h"
#include "report.h"
#include "target.h"
#include "verbs.h"

struct copying {
    struct session *session;
    struct target target;
    struct crew *crew;
    bool last;              /* the last source is being expanded */
    bool walked;            /* the source is a tree or a pattern … */
    uint64_t failed_before; /* … and so many had failed before */
    struct directories directories;
};

static bool is_object(const struct store *store)
{
    return store && strcmp(orbit_backend_name(store->backend), "s3") == 0;
}

/* Between object stores the metadata goes along, as the service does it, unless new metadata is given. */
static bool preserves(const struct copying *copying, const struct store *from, const struct store *to)
{
    const struct options *o = copying->session->options;
    if (o->metadata_directive)
        return strcasecmp(o->metadata_directive, "COPY") == 0;
    if (o->preserve || o->verb == VERB_MV)
        return true;
    return is_object(from) && is_object(to) && !o->metadata.count && !o->content_type && !o->content_encoding &&
           !o->content_disposition && !o->content_language && !o->cache_control && !o->expires;
}

/* What a rename cannot do has been asked for. */
static bool needs_copy(const struct options *o)
{
    return o->metadata.count || o->content_type || o->content_encoding || o->content_disposition ||
           o->content_language || o->cache_control || o->expires || o->storage_class || o->acl || o->sse ||
           o->tagging || o->sse_c_key_file || o->source_sse_c_key_file || o->metadata_directive ||
           o->checksum_algorithm || o->object_lock_mode || o->object_lock_until || o->object_lock_legal_hold;
}

static uint32_t job_flags(const struct copying *copying, const struct store *from, const struct store *to)
{
    uint32_t flags = needs_copy(copying->session->options) ? ORBIT_JOB_COPY_BYTES : 0;
    return flags | (preserves(copying, from, to) ? ORBIT_JOB_PRESERVE : 0);
}

static uint32_t job_operation(const struct options *o)
{
    return o->verb == VERB_MV ? ORBIT_JOB_MOVE : ORBIT_JOB_COPY;
}

static void submit(struct copying *copying, const struct item *item, struct store *to, const char *path,
                   const char *shown)
{
    orbit_metadata metadata = *item->metadata;
    struct job job = {.from_shown = item->shown, .to_shown = shown};

    orbit_job_init(&job.work);
    if (metadata.kind == ORBIT_KIND_DIRECTORY)
        metadata.kind = ORBIT_KIND_FILE; /* a marker: an object like any other */
    job.work.operation = job_operation(copying->session->options);
    job.work.flags = job_flags(copying, item->store, to);
    job.work.from_backend = item->store->backend;
    job.work.to_backend = to->backend;
    job.work.from = item->path;
    job.work.to = path;
    job.work.metadata = &metadata;
    crew_submit(copying->crew, &job);
}

static void say_only(struct copying *copying, const struct item *item, const char *shown)
{
    struct result result = {.operation = copying->session->verb, .source = item->shown, .destination = shown};
    result.has_size = (item->metadata->fields & ORBIT_HAS_SIZE) != 0;
    result.size = item->metadata->size;
    report_done(copying->session, &result);
}

/* A descriptor of standard input, a FIFO or a device as the source of one target. Waits until it is written. */
static void write_descriptor(struct copying *copying, int fd, const char *from_shown, struct store *to,
                             const char *path, const char *shown)
{
    struct input input = {fd, strcmp(from_shown, "-") == 0 ? "standard input" : from_shown};
    struct job job = {.from_shown = from_shown, .to_shown = shown};
    orbit_job_init(&job.work);
    job.work.operation = ORBIT_JOB_WRITE;
    job.work.to_backend = to->backend;
    job.work.to = path;
    job.work.source = input_source(&input, &job.work.bytes);
    crew_submit(copying->crew, &job);
    if (copying->last)
        crew_all_known(copying->crew);
    crew_drain(copying->crew);
}

static bool copy_special(struct copying *copying, const struct item *item, struct store *to, const char *path,
                         const char *shown)
{
    if (!item->exact || !item->store->local || copying->session->options->verb == VERB_MV) {
        report_notice(copying->session, item->shown, "neither a file nor a directory");
        return true;
    }
    int fd = open(item->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        orbit_error error;
        orbit_error_errno(&error, errno, "cannot open '%s'", item->path);
        report_failed(copying->session, copying->session->verb, item->shown, shown, &error);
        return true;
    }
    write_descriptor(copying, fd, item->shown, to, path, shown);
    close(fd);
    return true;
}

static bool keeps_directories(const struct copying *copying)
{
    return copying->session->options->preserve || copying->session->options->verb == VERB_MV;
}

/* On a host, side by side with what they hold: it may be far away. */
static void submit_directory(struct copying *copying, const struct item *item, struct store *to, const char *path,
                             const char *shown)
{
    struct job job = {.from_shown = item->shown, .to_shown = shown};
    orbit_metadata metadata = {.kind = ORBIT_KIND_DIRECTORY};
    orbit_job_init(&job.work);
    job.work.operation = ORBIT_JOB_COPY;
    job.work.from_backend = item->store->backend;
    job.work.to_backend = to->backend;
    job.work.from = item->path;
    job.work.to = path;
    job.work.metadata = &metadata;
    crew_submit(copying->crew, &job);
}

/* Directories come before what they hold. Empty ones matter on disks; on object stores only their markers. */
static void copy_directory(struct copying *copying, const struct item *item, struct store *to, const char *path,
                           const char *shown)
{
    struct session *session = copying->session;
    orbit_call_options call = session_call(session);
    orbit_error error;

    if (!copying->target.place.has_directories && item->marker) {
        struct item marker = *item;
        char *from = path_join(item->path, ""), *from_shown = path_join(item->shown, "");
        char *key = path_join(path, ""), *key_shown = path_join(shown, "");
        marker.path = from;
        marker.shown = from_shown;
        submit(copying, &marker, to, key, key_shown);
        free(from);
        free(from_shown);
        free(key);
        free(key_shown);
        return;
    }
    if (!copying->target.place.has_directories)
        return;
    call.recursive = true;
    if (!to->local)
        submit_directory(copying, item, to, path, shown);
    else if (orbit_mkdir(to->backend, path, &call, &error) < 0) {
        report_failed(session, session->verb, item->shown, shown, &error);
        return;
    }
    if (keeps_directories(copying) && (to == copying->target.rooted || !to->local))
        directories_note(&copying->directories, session, path, item->shown, item->metadata);
}

static bool visit(void *ctx, const struct item *item)
{
    struct copying *copying = ctx;
    struct session *session = copying->session;
    struct store *to = NULL;
    char *path = NULL, *shown = NULL;
    uint32_t kind = item->metadata->kind;

    if (item->exact && !target_accepts(&copying->target, item, false))
        return !session_stopped(session);
    if (!target_of(&copying->target, item, &to, &path, &shown))
        return !session_stopped(session);
    if (!item->exact)
        session->transfers_trees = true;

    if (session->options->dry_run) {
        if (kind != ORBIT_KIND_DIRECTORY)
            say_only(copying, item, shown);
    } else if (kind == ORBIT_KIND_DIRECTORY) {
        copy_directory(copying, item, to, path, shown);
    } else if (kind == ORBIT_KIND_OTHER) {
        copy_special(copying, item, to, path, shown);
    } else {
        submit(copying, item, to, path, shown); /* a link in a tree stays a link where the target can hold one */
    }
    free(path);
    free(shown);
    return !session_stopped(session);
}

/* mv of a whole directory, of this machine or on one host, to a name that is free: one rename. */
static bool renamed_whole(struct copying *copying, const struct item *directory)
{
    struct session *session = copying->session;
    const struct options *o = session->options;
    struct target *target = &copying->target;
    orbit_call_options call = session_call(session);
    orbit_error error;
    struct result result = {.operation = session->verb, .source = directory->shown, .destination = target->place.shown};

    bool one_store = directory->store->local ? target->place.local : directory->store == target->place.store;
    if (o->verb != VERB_MV || o->dry_run || !directory->store->has_directories || !one_store || target->exists ||
        o->include.count || o->exclude.count)
        return false;
    if (orbit_rename(directory->store->backend, directory->path, target->place.path, false, &call, &error) < 0)
        return false; /* another file system, say: file by file then */
    report_done(session, &result);
    return true;
}

/* The directory that is the target, as a root that nothing leaves. False: told. */
static bool root_target(struct target *target, const char *source)
{
    orbit_error error;
    if (!target->place.local || target->rooted || target->session->options->dry_run)
        return true;
    target->rooted = store_rooted(target->session, target->place.path, true, &error);
    if (!target->rooted)
        report_failed(target->session, target->session->verb, source, target->place.shown, &error);
    return target->rooted != NULL;
}

static bool enter(void *ctx, const struct item *directory)
{
    struct copying *copying = ctx;
    struct session *session = copying->session;

    session->transfers_trees = true;
    if (!target_accepts(&copying->target, directory, true) || renamed_whole(copying, directory))
        return false;
    copying->target.directory = true;
    if (copying->target.exists && copying->target.metadata.kind != ORBIT_KIND_DIRECTORY) {
        report_refused(session, session->verb, directory->shown, copying->target.place.shown, ORBIT_E_PATH,
                       "a directory cannot be copied onto a file");
        return false;
    }
    if (!root_target(&copying->target, directory->shown)) /* so that an empty directory arrives, too */
        return false;
    struct place *place = &copying->target.place;
    bool made = place->has_directories && !copying->target.exists && !session->options->dry_run;
    if (made && !place->local)
        submit_directory(copying, directory, place->store, place->path, place->shown);
    /* A target that was made for this tree alone is the tree's directory. */
    if (made && keeps_directories(copying) && session->options->argument_count == 2 &&
        directory->metadata->kind == ORBIT_KIND_DIRECTORY)
        directories_note(&copying->directories, session, copying->target.rooted ? "." : place->path, directory->shown,
                         directory->metadata);
    return true;
}

/* What belongs to earlier sources must not count as a failure of this one, whose directories go when it is empty. */
static void walk(void *ctx)
{
    struct copying *copying = ctx;
    if (copying->session->options->verb == VERB_MV)
        crew_drain(copying->crew);
    copying->walked = true;
    copying->failed_before = copying->session->tally.failed;
}

static void settle(void *ctx)
{
    crew_drain(((struct copying *)ctx)->crew);
}

static void leave(void *ctx)
{
    struct copying *copying = ctx;
    if (copying->last)
        crew_all_known(copying->crew);
    crew_drain(copying->crew);
}

static uint32_t expand_flags(const struct options *o)
{
    uint32_t flags = EXPAND_DESCEND | EXPAND_DIRECTORIES | EXPAND_FILTER | EXPAND_SOURCE_KEY;
    if (o->copy_links)
        flags |= EXPAND_FOLLOW;
    if (o->verb == VERB_MV)
        flags |= EXPAND_NAMED_LINKS;
    return flags;
}

static void copy_source(struct copying *copying, const char *typed)
{
    struct session *session = copying->session;
    const struct options *o = session->options;
    struct expansion expansion = {.session = session,
                                  .flags = expand_flags(o),
                                  .destination = copying->target.place.shown,
                                  .source_key = session_source_key(session, copying->target.place.local),
                                  .visit = visit,
                                  .enter = enter,
                                  .walk = walk,
                                  .leave = leave,
                                  .settle = o->verb == VERB_MV && !o->dry_run ? settle : NULL,
                                  .ctx = copying};

    copying->walked = false;
    if (!expand(&expansion, typed) || o->dry_run || !copying->walked)
        return;
    directories_keep(&copying->directories, session,
                     copying->target.rooted ? copying->target.rooted : copying->target.place.store);
    if (o->verb == VERB_MV && session->transfers_trees && session->tally.failed == copying->failed_before)
        remove_directories(session, typed, false);
}

static void copy_stdin(struct copying *copying)
{
    struct session *session = copying->session;
    struct target *target = &copying->target;
    if (target->directory) {
        report_refused(session, session->verb, "-", target->place.shown, ORBIT_E_CONFIG,
                       "standard input has no name: give the target one");
        return;
    }
    if (session->options->dry_run) {
        struct result result = {.operation = session->verb, .source = "-", .destination = target->place.shown};
        report_done(session, &result);
        return;
    }
    write_descriptor(copying, STDIN_FILENO, "-", target->place.store, target->place.path, target->place.shown);
}

/* --files-from: `typed` is where the names are looked for. */
static void copy_names(struct copying *copying, const char *typed)
{
    struct session *session = copying->session;
    struct target *target = &copying->target;
    struct place place;
    struct name_roots roots = {.to_local = target->place.local};

    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    roots.from_shown = place.shown;
    roots.to_shown = target->place.shown;
    roots.from = names_root(session, &place, &roots.from_path);
    struct item item = {.store = place.store, .path = place.path, .name = "", .shown = place.shown};
    if (roots.from && target_accepts(target, &item, true) && root_target(target, place.shown)) {
        roots.to = target->rooted ? target->rooted : target->place.store;
        roots.to_path = target->rooted ? "" : target->place.path;
        names_transfer(session, job_operation(session->options), job_flags(copying, roots.from, roots.to), &roots);
    }
    if (roots.from != place.store)
        store_free(roots.from);
    place_release(&place);
}

static bool is_stdio(const char *typed)
{
    return strcmp(typed, "-") == 0;
}

/* What only these verbs forbid. False: told. */
static bool check_arguments(struct session *session, char **sources, size_t count, const char *target)
{
    const struct options *o = session->options;
    for (size_t i = 0; i < count; i++) {
        if (is_stdio(sources[i]) && (count > 1 || o->verb == VERB_MV || is_stdio(target))) {
            session->tally.code =
                usage_error(o->verb, "standard input can only be copied alone, to a target with a name");
            return false;
        }
    }
    if (is_stdio(target) && (o->verb != VERB_CP || count > 1)) {
        session->tally.code = usage_error(o->verb, o->verb == VERB_CP ? "only one source can go to standard output; "
                                                                        "cat takes several"
                                                                      : "the target cannot be standard output");
        return false;
    }
    return true;
}

void verb_copy(struct session *session)
{
    const struct options *o = session->options;
    char standard_input[] = "-", *only[] = {standard_input};
    char **sources = o->arguments;
    size_t count = o->argument_count - 1;
    const char *target = o->arguments[o->argument_count - 1];
    struct copying copying = {.session = session};

    if (!count) { /* put TARGET */
        sources = only;
        count = 1;
    }
    if (!check_arguments(session, sources, count, target))
        return;
    if (is_stdio(target)) {
        session->data_on_stdout = true;
        cat_to_stdout(session, sources[0], &(struct byte_range){.length = ORBIT_TO_END}, "-");
        return;
    }
    bool listed = o->files_from || o->files_from0;
    if (!target_open(&copying.target, session, target, count > 1 || listed ? NULL : sources[0]))
        return;
    if (listed) {
        copy_names(&copying, sources[0]);
        target_release(&copying.target);
        return;
    }
    if (count > 1)
        session->transfers_trees = true;
    copying.crew = crew_new(session, &(struct name_roots){.to_local = copying.target.place.local}, NULL);
    if (!copying.crew) {
        target_release(&copying.target);
        return;
    }
    struct progress *progress = progress_start(session, copying.crew);
    for (size_t i = 0; i < count && !session_stopped(session); i++) {
        copying.last = i + 1 == count;
        if (is_stdio(sources[i]))
            copy_stdin(&copying);
        else
            copy_source(&copying, sources[i]);
    }
    crew_all_known(copying.crew);
    crew_drain(copying.crew);
    progress_stop(progress);
    crew_free(copying.crew);
    directories_release(&copying.directories);
    target_release(&copying.target);
}
