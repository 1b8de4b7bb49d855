/* SPDX-License-Identifier: Apache-2.0
 * The list of names as a source of jobs: the library reads and checks them, here each gets the flags of its job. */
#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crew.h"
#include "progress.h"
#include "report.h"

/* On the transfer's thread for its source. */
struct listed {
    orbit_job_source names;
    uint32_t flags;
};

static orbit_status listed_next(void *ctx, orbit_job *job, orbit_error *error)
{
    struct listed *listed = ctx;
    orbit_status status = listed->names.next(listed->names.ctx, job, error);
    job->flags |= listed->flags;
    return status;
}

static void listed_stop(void *ctx)
{
    struct listed *listed = ctx;
    listed->names.stop(listed->names.ctx);
}

static void listed_close(void *ctx)
{
    struct listed *listed = ctx;
    listed->names.close(listed->names.ctx);
}

struct store *names_root(struct session *session, const struct place *place, const char **path)
{
    orbit_error error;
    *path = place->path;
    if (!place->local || session->options->copy_links)
        return place->store;
    struct store *store = store_rooted(session, place->path, false, &error);
    *path = "";
    if (!store)
        report_failed(session, session->verb, place->shown, NULL, &error);
    return store;
}

void names_transfer(struct session *session, uint32_t operation, uint32_t flags, const struct name_roots *roots)
{
    const struct options *o = session->options;
    const char *list = o->files_from ? o->files_from : o->files_from0;
    bool standard_input = strcmp(list, "-") == 0;
    struct listed listed = {.flags = flags};
    orbit_job_source jobs = {listed_next, listed_stop, listed_close, &listed};
    orbit_error error;

    orbit_source source = standard_input ? orbit_source_fd(STDIN_FILENO) : orbit_source_path(list);
    if (orbit_jobs_names(&listed.names, operation, roots->from->backend, roots->from_path,
                         roots->to ? roots->to->backend : NULL, roots->to_path, source, o->files_from0 ? '\0' : '\n',
                         &error) < 0) {
        report_failed(session, session->verb, roots->from_shown, roots->to_shown, &error);
        return;
    }
    struct crew *crew = crew_new(session, roots, &jobs);
    if (!crew)
        return;
    session->transfers_trees = true;
    struct progress *progress = progress_start(session, crew);
    crew_drain(crew);
    progress_stop(progress);
    crew_free(crew);
}
