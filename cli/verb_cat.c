/* SPDX-License-Identifier: Apache-2.0
 * cat, and cp to standard output: the reader's chunks go straight to the descriptor. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "expand.h"
#include "glob.h"
#include "interrupt.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

struct catenation {
    struct session *session;
    const struct byte_range *range;
    const char *destination; /* nullable */
};

static uint32_t verify_of(const char *word)
{
    if (word && strcmp(word, "full") == 0)
        return ORBIT_VERIFY_FULL;
    return word && strcmp(word, "off") == 0 ? ORBIT_VERIFY_OFF : ORBIT_VERIFY_DEFAULT;
}

/* "The last N bytes" needs to know how many there are. */
static orbit_status resolve_range(const struct catenation *cat, orbit_backend *backend, const char *path,
                                  orbit_read_options *read, orbit_error *error)
{
    orbit_call_options call = session_call(cat->session);
    orbit_metadata metadata = ORBIT_METADATA_INIT;

    read->offset = cat->range->offset;
    read->length = cat->range->length;
    if (!cat->range->last)
        return ORBIT_OK;
    call.follow_symlinks = true;
    orbit_status status = orbit_stat(backend, path, &call, &metadata, error);
    if (status >= 0) {
        read->offset = metadata.size > cat->range->length ? metadata.size - cat->range->length : 0;
        read->length = ORBIT_TO_END;
    }
    orbit_metadata_release(&metadata);
    return status;
}

static void tell(const struct catenation *cat, const char *shown, uint64_t bytes)
{
    struct result result = {.operation = cat->session->verb,
                            .source = shown,
                            .destination = cat->destination,
                            .has_size = true,
                            .size = bytes};
    if (cat->session->options->json) {
        report_done(cat->session, &result);
    } else {
        cat->session->tally.done++;
        cat->session->tally.bytes += bytes;
    }
}

/* A range that is counted from the end, of what has none until it is there. */
static bool has_no_end(const struct catenation *cat, orbit_reader *reader, orbit_error *error)
{
    if (!cat->range->last || orbit_reader_metadata(reader)->fields & ORBIT_HAS_SIZE)
        return false;
    *error = (orbit_error){.status = ORBIT_E_UNSUPPORTED};
    snprintf(error->message, sizeof error->message,
             "its length shows only when all of it was read: no range from its end");
    return true;
}

static void cat_one(const struct catenation *cat, struct store *store, const char *path, const char *shown)
{
    struct session *session = cat->session;
    const struct options *o = session->options;
    orbit_read_options read = ORBIT_READ_OPTIONS_INIT;
    orbit_error error;
    orbit_reader *reader = NULL;
    const void *bytes;
    size_t length;
    uint64_t total = 0;

    read.version_id = o->version_id;
    read.chunk_size = o->part_bytes;
    read.parallel_operations = (uint32_t)o->concurrency;
    read.no_hedge = o->no_hedge;
    read.verify = verify_of(o->verify);
    read.sse_customer_key = session->has_key ? session->key : NULL;
    read.cancel = session->cancel;

    orbit_status status = resolve_range(cat, store->backend, path, &read, &error);
    if (status >= 0)
        status = orbit_read(&reader, store->backend, path, &read, &error);
    while (status >= 0 && (status = orbit_reader_next(reader, &bytes, &length, &error)) == ORBIT_OK) {
        if (has_no_end(cat, reader, &error)) {
            status = ORBIT_E_UNSUPPORTED;
            break;
        }
        if (!output_stream(bytes, length))
            break;
        total += length;
    }
    if (status == ORBIT_END)
        tell(cat, shown, total);
    else if (status < 0)
        report_failed(session, session->verb, shown, cat->destination, &error);
    orbit_reader_close(reader);
}

static bool visit(void *ctx, const struct item *item)
{
    const struct catenation *cat = ctx;
    if (item->metadata->kind == ORBIT_KIND_DIRECTORY)
        return true; /* a pattern means files here */
    cat_one(cat, item->store, item->path, item->shown);
    return !session_stopped(cat->session);
}

static void cat_stdin(const struct catenation *cat)
{
    static char buffer[256 * 1024];
    uint64_t total = 0;
    ssize_t got = 0;

    while (!session_stopped(cat->session) && (got = read(STDIN_FILENO, buffer, sizeof buffer)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || !output_stream(buffer, (size_t)got))
            break;
        total += (uint64_t)got;
    }
    if (got < 0 && !interrupt_signal()) {
        orbit_error error;
        orbit_error_errno(&error, errno, "cannot read standard input");
        report_failed(cat->session, cat->session->verb, "-", cat->destination, &error);
    } else if (!got) {
        tell(cat, "-", total);
    }
}

bool cat_to_stdout(struct session *session, const char *typed, const struct byte_range *range, const char *destination)
{
    struct catenation cat = {.session = session, .range = range, .destination = destination};
    struct place place;

    if (strcmp(typed, "-") == 0) {
        cat_stdin(&cat);
        return !session_stopped(session);
    }
    if (!session->options->raw && glob_has_magic(typed)) {
        struct expansion expansion = {.session = session, .visit = visit, .ctx = &cat};
        return expand(&expansion, typed);
    }
    if (place_open(session, &place, typed, SIDE_SOURCE)) {
        cat_one(&cat, place.store, place.path, place.shown);
        place_release(&place);
    }
    return !session_stopped(session);
}

void verb_cat(struct session *session)
{
    const struct options *o = session->options;
    struct byte_range range = {.length = ORBIT_TO_END};

    if (o->range && (!options_range(o->range, &range) || !range.length)) {
        session->tally.code = usage_error(VERB_CAT, "--range takes A-B, A- or -N in bytes, not '%s'", o->range);
        return;
    }
    session->data_on_stdout = true;
    for (size_t i = 0; i < o->argument_count; i++)
        if (!cat_to_stdout(session, o->arguments[i], &range, NULL))
            break;
}
