/* SPDX-License-Identifier: Apache-2.0
 * ls and stat: what is there, one line or one JSON object for each, printed as it is found; with --sort when all
 * is known, from a sort that holds no more memory for more names. versions is ls of all there ever was. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "glob.h"
#include "output.h"
#include "report.h"
#include "sorter.h"
#include "verbs.h"
#include "versions.h"

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"unknown", "file", "directory", "symlink", "other"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : names[0];
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void json_time(struct json *json, const char *name, int64_t time_ns)
{
    char room[TIME_TEXT_ROOM];
    json_string(json, name, time_text(room, time_ns, true));
}

static void json_entry(const char *shown, const orbit_metadata *m, uint32_t flags, bool all)
{
    struct json json = {0};
    json_begin(&json);
    json_name(&json, "key", shown);
    json_string(&json, "type", kind_name(m->kind));
    if (m->fields & ORBIT_HAS_SIZE && m->kind != ORBIT_KIND_DIRECTORY)
        json_number(&json, "size", m->size);
    if (m->fields & ORBIT_HAS_MTIME)
        json_time(&json, "last_modified", m->mtime_ns);
    json_string(&json, "etag", m->etag);
    json_string(&json, "storage_class", m->storage_class);
    json_string(&json, "version_id", m->version_id);
    if (flags & ORBIT_ENTRY_LATEST)
        json_bool(&json, "is_latest", true);
    if (flags & ORBIT_ENTRY_DELETED)
        json_bool(&json, "is_delete_marker", true);
    json_name(&json, "link_target", m->link_target);
    json_checksum(&json, &m->checksum);
    if (all) {
        if (m->fields & ORBIT_HAS_MODE) {
            char mode[8];
            snprintf(mode, sizeof mode, "%04o", m->mode & 07777u);
            json_string(&json, "mode", mode);
        }
        if (m->fields & ORBIT_HAS_OWNER) {
            json_number(&json, "uid", m->uid);
            json_number(&json, "gid", m->gid);
        }
        json_string(&json, "object_lock_mode", m->object_lock_mode);
        json_string(&json, "object_lock_until", m->object_lock_until);
        json_string(&json, "object_lock_legal_hold", m->object_lock_legal_hold);
        json_string(&json, "content_type", m->content_type);
        json_string(&json, "content_encoding", m->content_encoding);
        json_string(&json, "content_disposition", m->content_disposition);
        json_string(&json, "content_language", m->content_language);
        json_string(&json, "cache_control", m->cache_control);
        json_string(&json, "expires", m->expires);
        json_string(&json, "encryption", m->encryption);
        if (m->part_count)
            json_number(&json, "parts", m->part_count);
        if (m->user_count) {
            json_object(&json, "metadata");
            for (size_t i = 0; i < m->user_count; i++)
                json_name(&json, m->user[i].name, m->user[i].value);
            json_close(&json);
        }
    }
    json_end(&json, false);
}

/* ---- ls ------------------------------------------------------------------------------------------ */

static bool all_versions(const struct options *o)
{
    return o->all_versions || o->verb == VERB_VERSIONS;
}

/* "2026-11-22 05:41:00        12345  name", directories "DIR  name/"; versions "… DELETED  id  name". */
static void line_of(const struct options *o, const char *name, const orbit_metadata *m, uint32_t flags)
{
    char when[TIME_TEXT_ROOM] = "", size[SIZE_TEXT_ROOM] = "";
    bool directory = m->kind == ORBIT_KIND_DIRECTORY;

    if (directory)
        memcpy(size, "DIR", 4);
    else if (flags & ORBIT_ENTRY_DELETED)
        memcpy(size, "DELETED", 8);
    else if (m->fields & ORBIT_HAS_SIZE)
        bytes_text(size, m->size, o->humanize);
    if (!directory && m->fields & ORBIT_HAS_MTIME)
        time_text(when, m->mtime_ns, false);

    output_column(when, 19, false);
    output_bytes(" ", 1);
    if (o->etag) {
        output_column(m->etag && !directory ? m->etag : "", 38, true);
        output_bytes(" ", 1);
    }
    output_column(size, 12, false);
    output_bytes("  ", 2);
    if (all_versions(o) && !directory) {
        output_column(m->version_id ? m->version_id : "null", 32, true);
        output_bytes("  ", 2);
    }
    output_name(name);
    output_string(directory ? "/\n" : "\n");
}

static void render_entry(const struct session *session, const char *name, const char *shown, const orbit_metadata *m,
                         uint32_t flags)
{
    const struct options *o = session->options;
    if (o->json) {
        json_entry(shown, m, flags, false);
        return;
    }
    if (!o->null && !o->show_fullpath) {
        line_of(o, name, m, flags);
    } else {
        const char *printed = o->show_fullpath ? shown : name;
        if (o->null)
            output_string(printed);
        else
            output_name(printed);
        if (m->kind == ORBIT_KIND_DIRECTORY)
            output_string("/");
        output_bytes(o->null ? "" : "\n", 1);
    }
    output_end_line();
}

/* One run of ls. */
struct listing {
    struct session *session;
    struct sorter *sorter; /* NULL: in the order of the store */
    bool failed;           /* to sort: nothing more can be listed */
    uint64_t objects, bytes;
};

static bool name_wanted(const struct patterns *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (glob_match(names->pattern[i], strchr(names->pattern[i], '/') ? name : path_name(name)))
            return true;
    return !names->count;
}

/* Sizes and times are those of files: a directory has none of its own everywhere, so it passes by its name alone. */
static bool entry_wanted(const struct options *o, const char *name, const orbit_metadata *m)
{
    bool file = m->kind != ORBIT_KIND_DIRECTORY;
    bool sized = file && m->fields & ORBIT_HAS_SIZE, timed = file && m->fields & ORBIT_HAS_MTIME;

    return name_wanted(&o->names, name) && (!o->larger.given || (sized && m->size > o->larger.bytes)) &&
           (!o->smaller.given || (sized && m->size < o->smaller.bytes)) &&
           (!o->newer.given || (timed && m->mtime_ns > o->newer.time_ns)) &&
           (!o->older.given || (timed && m->mtime_ns < o->older.time_ns));
}

static bool sorted_by(const struct options *o, char letter)
{
    return o->sort && (o->sort[0] | 0x20) == letter;
}

/* Small ranks come first: the largest, the newest, and last what has no size or time. */
static uint64_t rank_of(const struct options *o, const orbit_metadata *m)
{
    if (sorted_by(o, 's'))
        return m->kind != ORBIT_KIND_DIRECTORY && m->fields & ORBIT_HAS_SIZE ? ~m->size : UINT64_MAX;
    if (sorted_by(o, 't'))
        return m->fields & ORBIT_HAS_MTIME ? ~((uint64_t)m->mtime_ns ^ (uint64_t)1 << 63) : UINT64_MAX;
    return 0;
}

/* The name that orders is the one that is printed; a directory is "name/", as among the keys of a store. */
static void sort_entry(struct listing *listing, const char *name, const char *shown, const orbit_metadata *m,
                       uint32_t flags)
{
    const struct options *o = listing->session->options;
    struct text line = {0}, key = {0};
    orbit_error error;

    text_add_string(&key, o->json || o->show_fullpath ? shown : name);
    if (m->kind == ORBIT_KIND_DIRECTORY)
        text_add_string(&key, "/");
    output_divert(&line);
    render_entry(listing->session, name, shown, m, flags);
    output_divert(NULL);
    if (!sorter_add(listing->sorter, rank_of(o, m), text_string(&key), key.length, text_string(&line), line.length,
                    &error)) {
        report_failed(listing->session, listing->session->verb, NULL, NULL, &error);
        listing->failed = true;
    }
    text_release(&key);
    text_release(&line);
}

static void print_entry(struct listing *listing, const char *name, const char *shown, const orbit_metadata *m,
                        uint32_t flags)
{
    if (!entry_wanted(listing->session->options, name, m))
        return;
    if (listing->sorter)
        sort_entry(listing, name, shown, m, flags);
    else
        render_entry(listing->session, name, shown, m, flags);
    listing->session->tally.done += !listing->failed;
    if (m->kind != ORBIT_KIND_DIRECTORY && !(flags & ORBIT_ENTRY_DELETED)) {
        listing->objects++;
        listing->bytes += m->fields & ORBIT_HAS_SIZE ? m->size : 0;
    }
}

static bool ls_stopped(const struct listing *listing)
{
    return listing->failed || session_stopped(listing->session);
}

static bool visit_ls(void *ctx, const struct item *item)
{
    struct listing *listing = ctx;
    print_entry(listing, item->name, item->shown, item->metadata, 0);
    return !ls_stopped(listing);
}

/* Whether names and kinds are enough, which spares a local listing a stat for every entry. */
static bool names_suffice(const struct options *o)
{
    return (o->null || o->show_fullpath) && !o->json && !o->summarize && !o->larger.given && !o->smaller.given &&
           !o->newer.given && !o->older.given && (!o->sort || sorted_by(o, 'n'));
}

/* The direct children of a directory. Returns how many there were, or that something failed. */
static void ls_children(struct listing *listing, const struct place *place, uint64_t *count, bool *failed)
{
    struct session *session = listing->session;
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_error error;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    uint64_t pages = 0;
    const char *directory = *place->path || !place->local ? place->path : ".";

    options.cancel = session->cancel;
    options.want_metadata = !names_suffice(session->options);
    options.list_workers = (uint32_t)session->options->list_workers;
    options.unordered = session->options->unordered;
    orbit_status status = orbit_list(&lister, place->store->backend, directory, &options, &error);
    while (status >= 0 && !ls_stopped(listing) && (status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
        if (status < 0)
            break;
        if (orbit_lister_pages(lister) != pages) { /* a slow store: show what is there before waiting for more */
            pages = orbit_lister_pages(lister);
            output_flush();
        }
        char *shown = path_join(place->shown, entry.path);
        if (status == ORBIT_ENTRY_FAILED) {
            report_failed(session, session->verb, shown, NULL, &error);
            *failed = true;
        } else {
            print_entry(listing, entry.path, shown, &entry.metadata, entry.flags);
            ++*count;
        }
        free(shown);
    }
    if (status < 0) {
        report_failed(session, session->verb, place->shown, NULL, &error);
        *failed = true;
    }
    orbit_lister_close(lister);
}

static bool visit_version(void *ctx, const char *path, const char *name, const char *shown, const orbit_entry *entry)
{
    struct listing *listing = ctx;
    (void)path;
    print_entry(listing, name, shown, &entry->metadata, entry->flags);
    return !ls_stopped(listing);
}

static void ls_place(struct listing *listing, const struct place *place)
{
    struct session *session = listing->session;
    orbit_call_options call = session_call(session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_error error;
    uint64_t count = 0;
    bool failed = false;

    call.follow_symlinks = true;
    /* A bucket or prefix that is named as such is listed without asking what it is. */
    if (!place->local && place->directory) {
        ls_children(listing, place, &count, &failed);
        if (!count && !failed && *place->path && !session_stopped(session) &&
            orbit_stat(place->store->backend, place->path, &call, &metadata, &error) < 0)
            report_failed(session, session->verb, place->shown, NULL, &error);
    } else if (orbit_stat(place->store->backend, *place->path ? place->path : ".", &call, &metadata, &error) < 0) {
        report_failed(session, session->verb, place->shown, NULL, &error);
    } else if (metadata.kind == ORBIT_KIND_DIRECTORY) {
        ls_children(listing, place, &count, &failed);
    } else {
        print_entry(listing, path_name(place->path), place->shown, &metadata, 0);
    }
    orbit_metadata_release(&metadata);
}

static bool ls_argument(struct listing *listing, const char *typed)
{
    struct session *session = listing->session;
    const struct options *o = session->options;
    struct expansion expansion = {.session = session, .visit = visit_ls, .ctx = listing};

    expansion.flags = o->recursive ? EXPAND_DESCEND : EXPAND_DIRECTORIES;
    if (names_suffice(o))
        expansion.flags |= EXPAND_NAMES;
    if (!all_versions(o) && (o->recursive || (!o->raw && glob_has_magic(typed))))
        return expand(&expansion, typed);

    struct place place;
    if (place_open(session, &place, typed, SIDE_SOURCE)) {
        if (place.stdio)
            report_refused(session, session->verb, typed, NULL, ORBIT_E_CONFIG, "standard input cannot be listed");
        else if (all_versions(o))
            versions_each(session, &place, o->recursive, &(const struct version_visitor){visit_version, listing});
        else
            ls_place(listing, &place);
        place_release(&place);
    }
    return !ls_stopped(listing);
}

static bool put_line(void *ctx, const char *bytes, size_t length)
{
    output_bytes(bytes, length);
    return !session_stopped(ctx);
}

static void print_sorted(struct listing *listing)
{
    orbit_error error;
    if (!ls_stopped(listing) && !sorter_finish(listing->sorter, put_line, listing->session, &error))
        report_failed(listing->session, listing->session->verb, NULL, NULL, &error);
    sorter_free(listing->sorter);
}

/* The words of the AWS CLI. */
static void print_summary(const struct listing *listing)
{
    const struct session *session = listing->session;
    struct text text = {0};
    char size[SIZE_TEXT_ROOM];
    if (session->options->json) {
        struct json json = {0};
        json_begin(&json);
        json_string(&json, "operation", session->verb);
        json_bool(&json, "success", !session->tally.failed);
        json_number(&json, "count", listing->objects);
        json_number(&json, "size", listing->bytes);
        json_end(&json, false);
        return;
    }
    text_format(&text, "\nTotal Objects: %" PRIu64 "\n   Total Size: %s\n", listing->objects,
                bytes_text(size, listing->bytes, session->options->humanize));
    output_string(text_string(&text));
    output_end_line();
    text_release(&text);
}

void verb_ls(struct session *session)
{
    const struct options *o = session->options;
    struct listing listing = {.session = session, .sorter = o->sort ? sorter_new(SORTER_BYTES) : NULL};

    if (!o->argument_count)
        ls_argument(&listing, ".");
    for (size_t i = 0; i < o->argument_count; i++)
        if (!ls_argument(&listing, o->arguments[i]))
            break;
    if (listing.sorter)
        print_sorted(&listing);
    if (o->summarize && !ls_stopped(&listing) && (listing.objects || !session->tally.failed))
        print_summary(&listing);
}

/* ---- stat ---------------------------------------------------------------------------------------- */

static void fact(const char *name, const char *value)
{
    if (!value)
        return;
    output_string(name);
    output_string(": ");
    output_name(value);
    output_string("\n");
}

static void number_fact(const char *name, const char *format, unsigned value)
{
    char room[32];
    snprintf(room, sizeof room, format[0] == 'o' ? "%04o" : "%u", value);
    fact(name, room);
}

static void size_fact(const struct options *o, uint64_t size)
{
    char room[SIZE_TEXT_ROOM];
    fact("size", bytes_text(room, size, o->humanize));
}

static void checksum_fact(const orbit_checksum *checksum)
{
    struct text text = {0};
    if (checksum_text(&text, checksum))
        fact("checksum", text.bytes);
    text_release(&text);
}

static void print_facts(const struct options *o, const char *shown, const orbit_metadata *m)
{
    char when[TIME_TEXT_ROOM];
    fact("location", shown);
    fact("type", kind_name(m->kind));
    if (m->fields & ORBIT_HAS_SIZE && m->kind != ORBIT_KIND_DIRECTORY)
        size_fact(o, m->size);
    if (m->fields & ORBIT_HAS_MTIME)
        fact("last modified", time_text(when, m->mtime_ns, true));
    if (m->fields & ORBIT_HAS_MODE)
        number_fact("mode", "o", m->mode & 07777u);
    if (m->fields & ORBIT_HAS_OWNER) {
        number_fact("uid", "u", m->uid);
        number_fact("gid", "u", m->gid);
    }
    fact("link target", m->link_target);
    fact("etag", m->etag);
    fact("version", m->version_id);
    checksum_fact(&m->checksum);
    if (m->part_count)
        number_fact("parts", "u", m->part_count);
    fact("storage class", m->storage_class);
    fact("encryption", m->encryption);
    fact("object lock", m->object_lock_mode);
    fact("locked until", m->object_lock_until);
    fact("legal hold", m->object_lock_legal_hold);
    fact("content type", m->content_type);
    fact("content encoding", m->content_encoding);
    fact("content disposition", m->content_disposition);
    fact("content language", m->content_language);
    fact("cache control", m->cache_control);
    fact("expires", m->expires);
    for (size_t i = 0; i < m->user_count; i++) {
        struct text name = {0};
        text_format(&name, "metadata %s", m->user[i].name);
        fact(name.bytes, m->user[i].value);
        text_release(&name);
    }
}

static bool visit_stat(void *ctx, const struct item *item)
{
    struct session *session = ctx;
    if (session->options->json) {
        json_entry(item->shown, item->metadata, 0, true);
    } else {
        if (session->tally.done)
            output_string("\n");
        print_facts(session->options, item->shown, item->metadata);
        output_end_line();
    }
    session->tally.done++;
    return !session_stopped(session);
}

void verb_stat(struct session *session)
{
    const struct options *o = session->options;
    struct expansion expansion = {
        .session = session, .flags = EXPAND_DIRECTORIES | EXPAND_NAMED_LINKS, .visit = visit_stat, .ctx = session};
    if (o->checksum)
        expansion.visit = visit_checksum;
    for (size_t i = 0; i < o->argument_count; i++)
        if (!expand(&expansion, o->arguments[i]))
            break;
}
