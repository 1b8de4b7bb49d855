/* SPDX-License-Identifier: Apache-2.0
 * The transfer of one run of cp, mv, put or rm: objects go to the library's transfer as they are found, and each
 * outcome is told as a line. The library knows how many run side by side, what is a batch and what waits; here is what
 * an object is called, and how what came of it is told. Main thread, but for the progress. */
#ifndef CLI_CREW_H
#define CLI_CREW_H

#include "names.h"

/* One object, as the library takes it, and its names in messages (copied; `to_shown` nullable). Stores must outlive
 * the job. */
struct job {
    orbit_job work;
    const char *from_shown, *to_shown;
};

struct crew;

/* NULL when it could not begin: told and counted. `roots`: only `to_local` is asked, unless `jobs` (nullable, taken
 * over) is where all jobs come from: then they are called by their names below the roots, and crew_drain() is what
 * remains. */
struct crew *crew_new(struct session *session, const struct name_roots *roots, const orbit_job_source *jobs);
/* Hands the job over, telling what ended meanwhile; waits when enough is under way. */
void crew_submit(struct crew *crew, const struct job *job);
/* Waits for everything that is under way, and tells it. */
void crew_drain(struct crew *crew);
/* Everything was found: the totals are final. */
void crew_all_known(struct crew *crew);
void crew_free(struct crew *crew);

/* What the progress bar shows. Any thread. */
struct crew_progress {
    uint64_t bytes_done, bytes_total, objects_done, objects_total;
    bool total_known; /* every size is known and everything was found */
    bool all_found;
    char name[80]; /* of the oldest object in flight */
};
void crew_progress(struct crew *crew, struct crew_progress *progress);

#endif
