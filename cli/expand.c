/* SPDX-License-Identifier: Apache-2.0
 * The expansion of sources. A pattern is followed component by component, so that "logs/2026-*" lists one
 * directory and no more, and only what lies behind a `**` is walked as a whole. A local tree is opened as a
 * root of its own: a symbolic link that appears while we walk cannot lead us out of it. */
#include "expand.h"

#include <stdlib.h>
#include <string.h>

#include "glob.h"
#include "report.h"

struct walk {
    const struct expansion *expansion;
    struct session *session;
    struct store *store;
    const char *path;  /* of the base directory in the store, "" or ending in '/' where it matters */
    const char *shown; /* of the base directory */
    bool object_store;
    uint64_t found, failed;
    struct text given_path, given_shown; /* of the entry at hand: their room is used again */
};

static bool names_match(const struct patterns *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->pattern[i];
        if (glob_match(pattern, strchr(pattern, '/') ? name : path_name(name)))
            return true;
    }
    return false;
}

static bool wanted(const struct walk *walk, const char *name)
{
    const struct options *options = walk->session->options;
    if (!(walk->expansion->flags & EXPAND_FILTER))
        return true;
    if (names_match(&options->exclude, name))
        return false;
    return !options->include.count || names_match(&options->include, name);
}

/* Gives out what stands at `name` below the base. */
static bool give(struct walk *walk, const char *name, const orbit_metadata *metadata, bool marker)
{
    walk->found++;
    if (metadata->kind != ORBIT_KIND_DIRECTORY && !wanted(walk, name))
        return true;
    struct item item = {.store = walk->store,
                        .path = path_put(&walk->given_path, walk->path, name),
                        .name = name,
                        .shown = path_put(&walk->given_shown, walk->shown, name),
                        .metadata = metadata,
                        .marker = marker};
    return walk->expansion->visit(walk->expansion->ctx, &item);
}

static void failed(struct walk *walk, const char *name, const orbit_error *error)
{
    char *shown = *name ? path_join(walk->shown, name) : string_copy(walk->shown);
    walk->failed++;
    report_failed(walk->session, walk->session->verb, shown, walk->expansion->destination, error);
    free(shown);
}

/* The directory to be listed for `name` below the base. The slash of "s3://bucket/a//" belongs to its prefix. */
static char *list_path(const struct walk *walk, const char *name)
{
    return *name ? path_join(walk->path, name) : string_copy(walk->path);
}

static orbit_list_options list_options(const struct walk *walk)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.cancel = walk->session->cancel;
    options.follow_symlinks = (walk->expansion->flags & EXPAND_FOLLOW) != 0;
    options.want_metadata = !(walk->expansion->flags & EXPAND_NAMES);
    options.list_workers = (uint32_t)walk->session->options->list_workers;
    options.unordered = walk->session->options->unordered || walk->expansion->flags & EXPAND_UNORDERED;
    return options;
}

/* Each time something went, and it ends. A local directory is not another one later. */
static bool comes_anew(const struct walk *walk, orbit_status status, uint64_t found_before)
{
    const struct expansion *expansion = walk->expansion;
    if (status != ORBIT_E_CHANGED || !expansion->settle || walk->store->local || walk->found == found_before)
        return false;
    expansion->settle(expansion->ctx);
    return true;
}

/* Everything below `name`; of it, with a pattern, what matches. */
static bool walk_tree(struct walk *walk, const char *name, const char *pattern)
{
    orbit_list_options options = list_options(walk);
    orbit_error error;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    bool go_on = true;
    uint64_t found_before = walk->found;
    struct text joined = {0};
    char *directory = list_path(walk, name);
    bool (*match)(const char *, const char *) = /* what lies in a directory that matches belongs to it */
        walk->expansion->flags & EXPAND_DESCEND ? glob_match_beneath : glob_match;

    options.recursive = true;
    options.files_only = !(walk->expansion->flags & EXPAND_DIRECTORIES);
    orbit_status status = orbit_list(&lister, walk->store->backend, directory, &options, &error);
    while (go_on && status >= 0 && (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
        if (status < 0)
            break;
        const char *below = *name ? path_put(&joined, name, entry.path) : entry.path;
        if (status == ORBIT_ENTRY_FAILED && walk->expansion->flags & EXPAND_TOLD)
            continue;
        if (status == ORBIT_ENTRY_FAILED)
            failed(walk, below, &error);
        else if (!pattern || match(pattern, entry.path))
            go_on = give(walk, below, &entry.metadata, (entry.flags & ORBIT_ENTRY_MARKER) != 0);
        go_on = go_on && !session_stopped(walk->session);
    }
    orbit_lister_close(lister);
    text_release(&joined);
    free(directory);
    if (comes_anew(walk, status, found_before))
        return walk_tree(walk, name, pattern);
    if (status < 0)
        failed(walk, name, &error);
    return go_on;
}

/* A directory below the base that was matched or named. */
static bool give_directory(struct walk *walk, const char *name, const orbit_metadata *metadata)
{
    uint32_t flags = walk->expansion->flags;
    if (flags & EXPAND_DESCEND) {
        if (flags & EXPAND_DIRECTORIES && !give(walk, name, metadata, false))
            return false;
        walk->found++;
        return walk_tree(walk, name, NULL);
    }
    return give(walk, name, metadata, false);
}

static orbit_call_options look_options(const struct expansion *expansion)
{
    orbit_call_options call = session_call(expansion->session);
    if (expansion->flags & EXPAND_SOURCE_KEY)
        call.sse_customer_key = expansion->source_key;
    return call;
}

/* Finds out what a component without magic is. Nothing there is no match. */
static bool literal_component(struct walk *walk, const char *name, bool only_directories)
{
    orbit_call_options call = look_options(walk->expansion);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    bool go_on = true;

    call.version_id = NULL;
    call.follow_symlinks = (walk->expansion->flags & EXPAND_FOLLOW) != 0;
    char *path = path_join(walk->path, name);
    orbit_status status = orbit_stat(walk->store->backend, path, &call, &metadata, &error);
    if (status < 0 && status != ORBIT_E_NOT_FOUND)
        failed(walk, name, &error);
    else if (status >= 0 && metadata.kind == ORBIT_KIND_DIRECTORY)
        go_on = give_directory(walk, name, &metadata);
    else if (status >= 0 && !only_directories)
        go_on = give(walk, name, &metadata, false);
    orbit_metadata_release(&metadata);
    free(path);
    return go_on;
}

static bool glob_walk(struct walk *walk, const char *name, const char *pattern);

/* The entries of directory `name` that match `component`; `rest` is the pattern behind it (NULL: none). */
static bool glob_component(struct walk *walk, const char *name, const char *component, const char *rest)
{
    orbit_list_options options = list_options(walk);
    orbit_error error;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    bool go_on = true;
    char *directory = list_path(walk, name);
    char *prefix = string_copy_length(component, strcspn(component, "*?[\\"));

    options.prefix = *prefix ? prefix : NULL;
    orbit_status status = orbit_list(&lister, walk->store->backend, directory, &options, &error);
    while (go_on && status >= 0 && (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
        if (status < 0)
            break;
        go_on = !session_stopped(walk->session);
        if (!glob_match(component, entry.path))
            continue;
        char *below = *name ? path_join(name, entry.path) : string_copy(entry.path);
        bool is_directory = entry.metadata.kind == ORBIT_KIND_DIRECTORY;
        if (status == ORBIT_ENTRY_FAILED)
            failed(walk, below, &error);
        else if (rest && *rest)
            go_on = (!is_directory && entry.metadata.kind != ORBIT_KIND_SYMLINK) || glob_walk(walk, below, rest);
        else if (is_directory)
            go_on = give_directory(walk, below, &entry.metadata);
        else if (!rest)
            go_on = give(walk, below, &entry.metadata, false);
        free(below);
    }
    /* A link to something that is no directory matches nothing; that is no failure. */
    if (status < 0 && status != ORBIT_E_NOT_FOUND && !(error.flags & ORBIT_ERROR_NOT_DIRECTORY))
        failed(walk, name, &error);
    orbit_lister_close(lister);
    free(prefix);
    free(directory);
    return go_on;
}

static bool glob_walk(struct walk *walk, const char *name, const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    const char *rest = slash ? slash + 1 : NULL;
    char *component = string_copy_length(pattern, slash ? (size_t)(slash - pattern) : strlen(pattern));
    bool go_on;

    if (strstr(component, "**")) {
        go_on = walk_tree(walk, name, pattern);
    } else if (glob_has_magic(component)) {
        go_on = glob_component(walk, name, component, rest);
    } else {
        char *below = *name ? path_join(name, component) : string_copy(component);
        go_on = rest && *rest ? glob_walk(walk, below, rest) : literal_component(walk, below, rest != NULL);
        free(below);
    }
    free(component);
    return go_on;
}

/* ---- arguments ----------------------------------------------------------------------------------- */

/* The store a local tree is walked in: a root of its own, unless links are to be followed out of it. */
static struct store *tree_store(const struct expansion *expansion, const struct place *place, const char *directory,
                                orbit_error *error)
{
    if (!place->local || expansion->flags & EXPAND_FOLLOW)
        return place->store;
    return store_rooted(expansion->session, *directory ? directory : ".", false, error);
}

static void end_walk(struct walk *walk, const struct place *place)
{
    if (walk->expansion->leave)
        walk->expansion->leave(walk->expansion->ctx);
    if (walk->store != place->store)
        store_free(walk->store);
    text_release(&walk->given_path);
    text_release(&walk->given_shown);
}

static bool expand_pattern(const struct expansion *expansion, const struct place *place)
{
    size_t magic = strcspn(place->path, "*?[\\"), fixed = magic;
    while (fixed && place->path[fixed - 1] != '/')
        fixed--;
    size_t shown_length = strlen(place->shown) - (strlen(place->path) - fixed);
    char *directory = string_copy_length(place->path, fixed);
    char *shown = string_copy_length(place->shown, shown_length);
    orbit_error error;
    struct store *store = tree_store(expansion, place, directory, &error);
    bool go_on = true;

    if (!store) {
        report_failed(expansion->session, expansion->session->verb, place->shown, expansion->destination, &error);
    } else {
        struct walk walk = {.expansion = expansion,
                            .session = expansion->session,
                            .store = store,
                            .path = store == place->store ? directory : "",
                            .shown = shown,
                            .object_store = !place->has_directories};
        if (expansion->walk)
            expansion->walk(expansion->ctx);
        go_on = glob_walk(&walk, "", place->path + fixed);
        bool none = !walk.found && !walk.failed && !(expansion->flags & EXPAND_GONE);
        if (none && !session_stopped(walk.session))
            report_refused(walk.session, walk.session->verb, place->shown, expansion->destination, ORBIT_E_NOT_FOUND,
                           "nothing matches this pattern%s", place->local ? "" : " (--raw takes * ? [ ] as they are)");
        end_walk(&walk, place);
    }
    free(directory);
    free(shown);
    return go_on;
}

static orbit_status stat_place(const struct expansion *expansion, const struct place *place, orbit_metadata *metadata,
                               orbit_error *error)
{
    orbit_call_options call = look_options(expansion);
    call.follow_symlinks = !(expansion->flags & EXPAND_NAMED_LINKS);
    return orbit_stat(place->store->backend, place->path, &call, metadata, error);
}

static bool expand_directory(const struct expansion *expansion, const struct place *place,
                             const orbit_metadata *metadata)
{
    orbit_error error;
    struct item item = {.store = place->store,
                        .path = place->path,
                        .name = "",
                        .shown = place->shown,
                        .metadata = metadata,
                        .exact = true};
    if (expansion->enter && !expansion->enter(expansion->ctx, &item))
        return true;

    struct store *store = tree_store(expansion, place, place->path, &error);
    if (!store) {
        report_failed(expansion->session, expansion->session->verb, place->shown, expansion->destination, &error);
        return true;
    }
    struct walk walk = {.expansion = expansion,
                        .session = expansion->session,
                        .store = store,
                        .path = store == place->store ? place->path : "",
                        .shown = place->shown,
                        .object_store = !place->has_directories};
    if (expansion->walk)
        expansion->walk(expansion->ctx);
    bool go_on = walk_tree(&walk, "", NULL);
    if (!walk.found && !walk.failed && walk.object_store && *place->path && !session_stopped(walk.session)) {
        orbit_metadata there = ORBIT_METADATA_INIT; /* an empty prefix is nothing, unless its marker exists */
        if (!metadata->kind && stat_place(expansion, place, &there, &error) < 0)
            failed(&walk, "", &error);
        orbit_metadata_release(&there);
    }
    end_walk(&walk, place);
    return go_on;
}

static bool expand_place(const struct expansion *expansion, const struct place *place)
{
    struct session *session = expansion->session;
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    bool descend = (expansion->flags & EXPAND_DESCEND) != 0, go_on = true;

    /* "s3://bucket/prefix/" needs no question: it is listed. */
    if (descend && place->directory && !place->has_directories)
        return expand_directory(expansion, place, &metadata);
    if (stat_place(expansion, place, &metadata, &error) < 0) {
        report_failed(session, session->verb, place->shown, expansion->destination, &error);
        return true;
    }
    if (descend && metadata.kind == ORBIT_KIND_DIRECTORY) {
        go_on = expand_directory(expansion, place, &metadata);
    } else {
        struct item item = {.store = place->store,
                            .path = place->path,
                            .name = path_name(place->path),
                            .shown = place->shown,
                            .metadata = &metadata,
                            .exact = true};
        go_on = expansion->visit(expansion->ctx, &item);
    }
    orbit_metadata_release(&metadata);
    return go_on;
}

/* A shell that expanded "*" may hand us a file called "a[1].txt": what exists by that name is meant. */
static bool exists_literally(const struct expansion *expansion, const struct place *place)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    if (!place->has_directories)
        return false;
    bool exists = stat_place(expansion, place, &metadata, &error) >= 0;
    orbit_metadata_release(&metadata);
    return exists;
}

bool expand(const struct expansion *expansion, const char *typed)
{
    struct session *session = expansion->session;
    struct place place;
    bool go_on;

    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return !session_stopped(session);
    if (place.stdio) {
        report_refused(session, session->verb, typed, expansion->destination, ORBIT_E_CONFIG,
                       "standard input cannot be used here; './-' names a file called '-'");
        go_on = true;
    } else if (!session->options->raw && glob_has_magic(place.path) && !exists_literally(expansion, &place)) {
        go_on = expand_pattern(expansion, &place);
    } else {
        go_on = expand_place(expansion, &place);
    }
    place_release(&place);
    return go_on && !session_stopped(session);
}
