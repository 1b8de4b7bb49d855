/* SPDX-License-Identifier: Apache-2.0
 * Targets of transfers. */
#include "target.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

bool target_open(struct target *target, struct session *session, const char *typed, const char *source)
{
    *target = (struct target){.session = session};
    if (!place_open(session, &target->place, typed, SIDE_DESTINATION))
        return false;
    struct place *place = &target->place;
    target->directory = !source || place->directory;
    if (!place->has_directories)
        return true;

    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    orbit_error error;
    call.cancel = session->cancel;
    call.follow_symlinks = true;
    orbit_status status = orbit_stat(place->store->backend, place->path, &call, &target->metadata, &error);
    if (status < 0 && status != ORBIT_E_NOT_FOUND && !place->local) { /* a host that cannot be asked takes nothing */
        report_failed(session, session->verb, source, place->shown, &error);
        target_release(target);
        return false;
    }
    target->exists = status >= 0;
    if (target->exists && target->metadata.kind == ORBIT_KIND_DIRECTORY)
        target->directory = true;
    if (target->exists && target->metadata.kind != ORBIT_KIND_DIRECTORY && target->directory) {
        report_refused(session, session->verb, source, place->shown, ORBIT_E_PATH, "'%s' is not a directory",
                       place->shown);
        target_release(target);
        return false;
    }
    return true;
}

void target_release(struct target *target)
{
    store_free(target->rooted);
    orbit_metadata_release(&target->metadata);
    place_release(&target->place);
    *target = (struct target){0};
}

/* Whether a key means, as a path below a directory, what it says: without components that are empty or dots there
 * are no two keys that are one file, and none leads out. */
static bool is_path(const char *name)
{
    for (;;) {
        size_t length = strcspn(name, "/");
        bool dots = (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
        if (!length || dots)
            return false;
        if (!name[length])
            return true;
        name += length + 1;
    }
}

bool target_of(struct target *target, const struct item *item, struct store **store, char **path, char **shown)
{
    struct session *session = target->session;
    struct place *place = &target->place;
    orbit_error error;

    if (item->exact && !target->directory) {
        *store = place->store;
        *path = string_copy(place->path);
        *shown = string_copy(place->shown);
        return true;
    }
    if (!*item->name) {
        report_refused(session, session->verb, item->shown, place->shown, ORBIT_E_PATH,
                       "the source has no name that its target could take");
        return false;
    }
    *shown = path_join(place->shown, item->name);
    if (place->has_directories && !item->store->has_directories && !is_path(item->name)) {
        report_refused(session, session->verb, item->shown, *shown, ORBIT_E_PATH,
                       "'%.200s' is no path below a directory: copy it alone, with a name to be given", item->name);
        free(*shown);
        return false;
    }
    if (!place->local) {
        *store = place->store;
        *path = path_join(place->path, item->name);
        return true;
    }
    if (!target->rooted && !session->options->dry_run) {
        target->rooted = store_rooted(session, place->path, true, &error);
        if (!target->rooted) {
            report_failed(session, session->verb, item->shown, *shown, &error);
            free(*shown);
            return false;
        }
    }
    *store = target->rooted;
    *path = string_copy(item->name);
    return true;
}

/* The real path of the deepest part of `path` that exists. */
static bool real_path(const char *path, char real[PATH_MAX])
{
    char *copy = string_copy(*path ? path : ".");
    bool found = false;
    while (!(found = realpath(copy, real) != NULL)) {
        char *slash = strrchr(copy, '/');
        if (slash && slash != copy)
            *slash = '\0';
        else if (slash && slash[1])
            slash[1] = '\0';
        else if (strcmp(copy, ".") != 0 && !slash)
            memcpy(copy, ".", 2);
        else
            break;
    }
    free(copy);
    return found;
}

static bool is_within(const char *directory, const char *path)
{
    size_t length = strlen(directory);
    while (length && directory[length - 1] == '/')
        length--;
    return strncmp(directory, path, length) == 0 && (!path[length] || path[length] == '/');
}

static bool tree_contains_target(const struct target *target, const struct item *item)
{
    const struct place *place = &target->place;
    if (item->store->local && place->local) {
        char source[PATH_MAX], to[PATH_MAX];
        return realpath(*item->path ? item->path : ".", source) && real_path(place->path, to) && is_within(source, to);
    }
    return item->store == place->store && is_within(item->path, place->path);
}

bool target_accepts(struct target *target, const struct item *item, bool tree)
{
    struct session *session = target->session;
    struct place *place = &target->place;

    if (tree) {
        if (!tree_contains_target(target, item))
            return true;
        report_refused(session, session->verb, item->shown, place->shown, ORBIT_E_CONFIG,
                       "the target lies within the source");
        return false;
    }
    struct store *store = NULL;
    char *path = NULL, *shown = NULL;
    const orbit_metadata *from = item->metadata;
    bool same = false;
    if (!target_of(target, item, &store, &path, &shown))
        return false;
    if (item->store->local && place->local) {
        orbit_metadata there = ORBIT_METADATA_INIT;
        orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
        orbit_error error;
        call.follow_symlinks = session->options->verb != VERB_MV;
        call.cancel = session->cancel;
        same = from->fields & ORBIT_HAS_INODE && store &&
               orbit_stat(store->backend, path, &call, &there, &error) >= 0 && there.fields & ORBIT_HAS_INODE &&
               there.device == from->device && there.inode == from->inode;
        orbit_metadata_release(&there);
    } else if (item->store == store && strcmp(item->path, path) == 0) {
        /* An object copied onto itself with other metadata is the way to change it. */
        const struct options *o = session->options;
        same =
            o->verb == VERB_MV || !(o->metadata.count || o->content_type || o->content_encoding || o->storage_class ||
                                    o->sse || o->acl || o->cache_control || o->expires || o->content_disposition ||
                                    o->content_language || o->tagging || o->metadata_directive);
    }
    if (same)
        report_refused(session, session->verb, item->shown, shown, ORBIT_E_CONFIG,
                       "source and target are the same file");
    free(path);
    free(shown);
    return !same;
}
