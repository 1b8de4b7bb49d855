/* SPDX-License-Identifier: Apache-2.0
 * Flags to a transfer's options, objects to its jobs, its results to lines. */
#include "crew.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* What a job is called, from its submission to its line; it travels as the job's ctx. */
struct names {
    const char *to; /* behind `from`, or NULL */
    char from[];
};

struct crew {
    struct session *session;
    orbit_transfer *transfer;
    orbit_copy_options copy;
    orbit_write_options write;
    uint64_t under_way;                  /* submitted and not yet told; with a list, not 0 until its end */
    const struct name_roots *list_below; /* all jobs come from a list of names below these; else NULL */
    atomic_bool all_known;
};

/* ---- options --------------------------------------------------------------------------------------- */

static uint32_t verify_of(const char *word)
{
    if (word && strcmp(word, "full") == 0)
        return ORBIT_VERIFY_FULL;
    return word && strcmp(word, "off") == 0 ? ORBIT_VERIFY_OFF : ORBIT_VERIFY_DEFAULT;
}

static orbit_transfer_options options_of(const struct session *session, bool to_local, orbit_copy_options *copy,
                                         orbit_write_options *write)
{
    const struct options *o = session->options;
    orbit_transfer_options options = ORBIT_TRANSFER_OPTIONS_INIT;

    *write = session_write(session);
    *copy = (orbit_copy_options)ORBIT_COPY_OPTIONS_INIT;
    copy->version_id = o->version_id;
    copy->verify = verify_of(o->verify);
    copy->no_hedge = o->no_hedge;
    copy->source_sse_customer_key = session_source_key(session, to_local);
    copy->resume = !o->no_resume;
    copy->resume_offset = o->go_on ? ORBIT_TO_END : 0;
    copy->write = write;

    options.concurrency = (uint32_t)o->workers;
    options.no_clobber = o->no_clobber;
    options.if_size_differ = o->if_size_differ;
    options.if_source_newer = o->if_source_newer;
    options.dry_run = o->dry_run;
    options.copy = copy;
    options.cancel = session->cancel;
    return options;
}

/* ---- results --------------------------------------------------------------------------------------- */

static void tell(struct session *session, const orbit_transfer_result *result, const orbit_error *error,
                 const char *from_shown, const char *to_shown)
{
    bool link = result->kind == ORBIT_KIND_SYMLINK, kept = result->outcome == ORBIT_JOB_KEPT;
    bool moved = result->operation != ORBIT_JOB_REMOVE && !link && !kept;
    const char *operation = result->operation == ORBIT_JOB_REMOVE ? "rm" : session->verb; /* of rb, too */
    struct result told = {.operation = operation, .source = from_shown, .destination = to_shown, .skipped = kept};

    if (result->outcome == ORBIT_JOB_DONE && result->kind == ORBIT_KIND_DIRECTORY)
        return; /* what lies in it is told */
    if (result->outcome == ORBIT_JOB_FAILED) {
        /* Told once, at the end, or to nobody: standard output is gone. */
        if (!session_stopped(session) || orbit_error_status(error) != ORBIT_E_CANCELLED)
            report_failed(session, operation, from_shown, to_shown, error);
        return;
    }
    if (result->outcome == ORBIT_JOB_LEFT_OUT) {
        report_notice(session, from_shown,
                      link ? "a symbolic link, which the target cannot hold (-L copies what it names)"
                           : "neither a file nor a directory");
        return;
    }
    told.has_size = moved && result->bytes != ORBIT_SIZE_UNKNOWN;
    told.size = result->bytes;
    told.metadata = moved && !session->options->dry_run ? result->metadata : NULL;
    report_done(session, &told);
}

/* `path` is `name` below `root`. */
static char *shown_below(const char *shown, const char *root, const char *path)
{
    size_t length = strlen(root);
    if (length && root[length - 1] != '/')
        length++;
    return path_join(shown, strlen(path) > length ? path + length : "");
}

static void tell_below(struct crew *crew, const orbit_transfer_result *result, const orbit_error *error)
{
    const struct name_roots *roots = crew->list_below;
    char *from = shown_below(roots->from_shown, roots->from_path, result->from);
    char *to = roots->to ? shown_below(roots->to_shown, roots->to_path, result->to) : NULL;
    tell(crew->session, result, error, from, to);
    free(from);
    free(to);
}

/* Tells one outcome, waiting for it with `wait`. False: none. */
static bool take(struct crew *crew, bool wait)
{
    orbit_transfer_result result = ORBIT_TRANSFER_RESULT_INIT;
    orbit_error error = {0};
    orbit_status status = wait ? orbit_transfer_next(crew->transfer, &result, &error)
                               : orbit_transfer_try_next(crew->transfer, &result, &error);
    if (status == ORBIT_AGAIN)
        return false;
    if (status != ORBIT_OK && status != ORBIT_ENTRY_FAILED) {
        const struct name_roots *roots = crew->list_below;
        if (status < 0 && !session_stopped(crew->session)) /* the list could not be read to its end */
            report_failed(crew->session, crew->session->verb, roots ? roots->from_shown : NULL,
                          roots ? roots->to_shown : NULL, &error);
        crew->under_way = 0; /* the transfer is over; what was under way has been told */
        return false;
    }
    if (crew->list_below) {
        tell_below(crew, &result, &error);
        return true;
    }
    struct names *names = result.ctx;
    tell(crew->session, &result, &error, names->from, names->to);
    free(names);
    crew->under_way--;
    return true;
}

/* ---- jobs ------------------------------------------------------------------------------------------ */

struct crew *crew_new(struct session *session, const struct name_roots *roots, const orbit_job_source *jobs)
{
    struct crew *crew = memory_zeroed(1, sizeof *crew);
    orbit_transfer_options options = options_of(session, roots->to_local, &crew->copy, &crew->write);
    orbit_error error;

    crew->session = session;
    if (jobs) {
        crew->list_below = roots;
        crew->under_way = 1;
        options.missing_ok = !roots->from->has_directories; /* object stores do not say whether there was something */
    }
    if (orbit_transfer_open(&crew->transfer, session->client, jobs, &options, &error) >= 0)
        return crew;
    report_failed(session, session->verb, NULL, NULL, &error);
    free(crew);
    return NULL;
}

static struct names *names_of(const struct job *job)
{
    size_t from = strlen(job->from_shown) + 1, to = job->to_shown ? strlen(job->to_shown) + 1 : 0;
    struct names *names = memory_zeroed(1, sizeof *names + from + to);
    memcpy(names->from, job->from_shown, from);
    if (to)
        names->to = memcpy(names->from + from, job->to_shown, to);
    return names;
}

void crew_submit(struct crew *crew, const struct job *job)
{
    orbit_job work = job->work;
    struct names *names = names_of(job);
    orbit_error error = {0};
    orbit_status status;

    work.ctx = names;
    while ((status = orbit_transfer_try_add(crew->transfer, &work, &error)) == ORBIT_AGAIN)
        if (!take(crew, true))
            break;
    if (status == ORBIT_OK) {
        crew->under_way++;
    } else {
        if (!session_stopped(crew->session))
            report_failed(crew->session, crew->session->verb, names->from, names->to, &error);
        free(names);
    }
    while (take(crew, false))
        ;
}

void crew_drain(struct crew *crew)
{
    while (crew->under_way) {
        if (session_stopped(crew->session))
            orbit_cancel_fire(crew->session->cancel); /* nobody reads what we would tell */
        take(crew, true);
    }
}

void crew_all_known(struct crew *crew)
{
    atomic_store(&crew->all_known, true);
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    crew_drain(crew);
    orbit_transfer_close(crew->transfer);
    free(crew);
}

/* ---- what the bar shows ------------------------------------------------------------------------------ */

static void set_name(struct crew_progress *progress, const char *path)
{
    struct text name = {0};
    const char *last = path_name(path);
    text_add_escaped(&name, last, strlen(last));
    size_t length = name.length < sizeof progress->name ? name.length : sizeof progress->name - 1;
    while (length && length < name.length && ((unsigned char)name.bytes[length] & 0xc0) == 0x80)
        length--; /* not in the middle of a character */
    if (length)
        memcpy(progress->name, name.bytes, length);
    text_release(&name);
}

void crew_progress(struct crew *crew, struct crew_progress *progress)
{
    orbit_transfer_totals totals = ORBIT_TRANSFER_TOTALS_INIT;
    char path[4096];

    (void)orbit_transfer_get_totals(crew->transfer, &totals);
    bool all_known = totals.all_found || atomic_load(&crew->all_known);
    *progress = (struct crew_progress){.bytes_done = totals.bytes_done,
                                       .bytes_total = totals.bytes_total,
                                       .objects_done = totals.done + totals.kept + totals.left_out + totals.failed,
                                       .objects_total = totals.found,
                                       .total_known = totals.sizes_known && all_known,
                                       .all_found = all_known};
    orbit_transfer_current(crew->transfer, path, sizeof path);
    set_name(progress, path);
}
