/* SPDX-License-Identifier: Apache-2.0
 * Walks over versions. A lister knows directories; one object is looked for in its own, among the names that begin
 * like it, which end where longer ones begin. */
#include "versions.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "report.h"

struct walk {
    struct session *session;
    const struct place *place;
    const struct version_visitor *visitor;
    const char *directory; /* in the store */
    const char *only;      /* this name in it; NULL: all */
    bool recursive;
    uint64_t count;
    bool failed;
};

static bool visit(struct walk *walk, const orbit_entry *entry)
{
    bool ends = entry->path_length && entry->path[entry->path_length - 1] == '/';
    const char *slash = (entry->flags & ORBIT_ENTRY_MARKER) && !ends ? "/" : "";
    struct text path = {0};
    text_format(&path, "%s%s%s%s", walk->directory,
                *walk->directory && walk->directory[strlen(walk->directory) - 1] != '/' ? "/" : "", entry->path, slash);
    char *shown = walk->only ? string_copy(walk->place->shown) : path_join(walk->place->shown, entry->path);
    bool go_on = walk->visitor->visit(walk->visitor->ctx, text_string(&path), entry->path, shown, entry);
    free(shown);
    text_release(&path);
    walk->count++;
    return go_on;
}

static void list(struct walk *walk)
{
    struct session *session = walk->session;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    orbit_error error;
    uint64_t pages = 0;

    options.cancel = session->cancel;
    options.versions = true;
    options.recursive = walk->recursive && !walk->only;
    options.prefix = walk->only;
    orbit_status status = orbit_list(&lister, walk->place->store->backend, walk->directory, &options, &error);
    while (status >= 0 && !session_stopped(session) &&
           (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
        if (status < 0)
            break;
        if (orbit_lister_pages(lister) != pages) { /* a slow store: show what is there before waiting for more */
            pages = orbit_lister_pages(lister);
            output_flush();
        }
        if (walk->only && strcmp(entry.path, walk->only) > 0)
            break;
        if (status == ORBIT_ENTRY_FAILED) {
            report_failed(session, session->verb, walk->place->shown, NULL, &error);
            walk->failed = true;
        } else if ((!walk->only || entry.metadata.kind != ORBIT_KIND_DIRECTORY) && !visit(walk, &entry)) {
            break;
        }
    }
    if (status < 0) {
        report_failed(session, session->verb, walk->place->shown, NULL, &error);
        walk->failed = true;
    }
    orbit_lister_close(lister);
}

/* No version of that name: it may be a prefix, written without its '/', or nothing. */
static void look(struct walk *walk)
{
    orbit_call_options call = session_call(walk->session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;

    if (orbit_stat(walk->place->store->backend, walk->place->path, &call, &metadata, &error) < 0) {
        report_failed(walk->session, walk->session->verb, walk->place->shown, NULL, &error);
    } else if (metadata.kind == ORBIT_KIND_DIRECTORY) {
        walk->directory = walk->place->path;
        walk->only = NULL;
        list(walk);
    }
    orbit_metadata_release(&metadata);
}

void versions_each(struct session *session, const struct place *place, bool recursive,
                   const struct version_visitor *visitor)
{
    struct walk walk = {
        .session = session, .place = place, .visitor = visitor, .directory = place->path, .recursive = recursive};
    if (place->directory || !*place->path) {
        list(&walk);
        return;
    }
    const char *slash = strrchr(place->path, '/');
    size_t length = slash ? (size_t)(slash - place->path) + 1 : 0;
    char *parent = string_copy_length(place->path, length);
    walk.directory = parent;
    walk.only = place->path + length;
    list(&walk);
    if (!walk.count && !walk.failed && !session_stopped(session))
        look(&walk);
    free(parent);
}
