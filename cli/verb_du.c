/* SPDX-License-Identifier: Apache-2.0
 * du: how many objects there are and how many bytes they have, in all or by storage class. Nothing is kept of a name. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expand.h"
#include "output.h"
#include "report.h"
#include "verbs.h"
#include "versions.h"

enum { CLASSES = 32, CLASS_NAME = 48 };

/* Of one location. Classes beyond the room, of which no store has so many, are counted with the last one. */
struct usage {
    struct session *session;
    struct sum {
        char name[CLASS_NAME];
        uint64_t objects, bytes;
    } all, classes[CLASSES];
    size_t class_count;
};

static struct sum *class_of(struct usage *usage, const char *name)
{
    name = name ? name : "";
    for (size_t i = 0; i < usage->class_count; i++)
        if (strncmp(usage->classes[i].name, name, CLASS_NAME - 1) == 0)
            return &usage->classes[i];
    if (usage->class_count == CLASSES) {
        struct sum *last = &usage->classes[CLASSES - 1];
        snprintf(last->name, sizeof last->name, "(others)");
        return last;
    }
    struct sum *sum = &usage->classes[usage->class_count++];
    *sum = (struct sum){.objects = 0};
    snprintf(sum->name, sizeof sum->name, "%s", name);
    return sum;
}

static void count(struct usage *usage, const orbit_metadata *metadata)
{
    struct sum *sums[] = {&usage->all, class_of(usage, metadata->storage_class)};
    for (size_t i = 0; i < 2; i++) {
        sums[i]->objects++;
        sums[i]->bytes += metadata->fields & ORBIT_HAS_SIZE ? metadata->size : 0;
    }
}

/* Directories have no bytes, but objects that stand for them are objects. Patterns are for files: where some choose,
 * nothing else counts. */
static bool visit_du(void *ctx, const struct item *item)
{
    struct usage *usage = ctx;
    const struct options *o = usage->session->options;
    if (item->metadata->kind != ORBIT_KIND_DIRECTORY || (item->marker && !o->include.count && !o->exclude.count))
        count(usage, item->metadata);
    return !session_stopped(usage->session);
}

/* Markers of removals are no objects. */
static bool visit_version(void *ctx, const char *path, const char *name, const char *shown, const orbit_entry *entry)
{
    struct usage *usage = ctx;
    (void)path, (void)name, (void)shown;
    if (entry->metadata.kind != ORBIT_KIND_DIRECTORY && !(entry->flags & ORBIT_ENTRY_DELETED))
        count(usage, &entry->metadata);
    return !session_stopped(usage->session);
}

/* s5cmd's line, and its names in JSON. */
static void tell(const struct usage *usage, const char *typed, const struct sum *sum, bool whole)
{
    const struct options *o = usage->session->options;
    char size[SIZE_TEXT_ROOM];
    if (o->json) {
        struct json json = {0};
        json_begin(&json);
        json_string(&json, "operation", usage->session->verb);
        json_bool(&json, "success", whole);
        json_name(&json, "source", typed);
        json_string(&json, "storage_class", *sum->name ? sum->name : NULL);
        json_number(&json, "count", sum->objects);
        json_number(&json, "size", sum->bytes);
        json_end(&json, false);
        return;
    }
    struct text text = {0};
    text_format(&text, "%s bytes in %" PRIu64 " object%s: ", bytes_text(size, sum->bytes, o->humanize), sum->objects,
                sum->objects == 1 ? "" : "s");
    output_string(text_string(&text));
    output_name(typed);
    if (*sum->name) {
        output_string(" [");
        output_name(sum->name);
        output_string("]");
    }
    output_string("\n");
    output_end_line();
    text_release(&text);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct sum *)a)->name, ((const struct sum *)b)->name);
}

static void add_up(struct usage *usage, const char *typed)
{
    struct session *session = usage->session;
    const struct options *o = session->options;
    if (!o->all_versions) {
        struct expansion expansion = {.session = session, .visit = visit_du, .ctx = usage};
        expansion.flags = EXPAND_DESCEND | EXPAND_DIRECTORIES | EXPAND_NAMED_LINKS | EXPAND_FILTER | EXPAND_UNORDERED;
        (void)expand(&expansion, typed);
        return;
    }
    struct place place;
    if (!place_open(session, &place, typed, SIDE_SOURCE))
        return;
    if (place.stdio)
        report_refused(session, session->verb, typed, NULL, ORBIT_E_CONFIG, "standard input has no versions");
    else
        versions_each(session, &place, true, &(const struct version_visitor){visit_version, usage});
    place_release(&place);
}

/* What was found is told beside an error, as long as there was anything; an interruption says nothing of sums. */
static void du_argument(struct usage *usage, const char *typed)
{
    struct session *session = usage->session;
    uint64_t failed_before = session->tally.failed;
    usage->all = (struct sum){.objects = 0};
    usage->class_count = 0;
    add_up(usage, typed);
    bool whole = session->tally.failed == failed_before;
    if (session_stopped(session) || (!whole && !usage->all.objects))
        return;
    session->tally.done += whole;
    if (!session->options->group || !usage->class_count) {
        tell(usage, typed, &usage->all, whole);
        return;
    }
    qsort(usage->classes, usage->class_count, sizeof *usage->classes, compare_names);
    for (size_t i = 0; i < usage->class_count; i++)
        tell(usage, typed, &usage->classes[i], whole);
}

void verb_du(struct session *session)
{
    const struct options *o = session->options;
    struct usage usage = {.session = session};
    if (!o->argument_count)
        du_argument(&usage, ".");
    for (size_t i = 0; i < o->argument_count && !session_stopped(session); i++)
        du_argument(&usage, o->arguments[i]);
}
