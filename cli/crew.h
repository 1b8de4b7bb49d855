/* SPDX-License-Identifier: Apache-2.0
 * A bounded number of objects in flight: each slot of the crew copies, renames, writes or removes one,
 * as a task of the library, and is used again. The main thread fills slots and reports what ended; the
 * client's thread only marks a slot as ended; the progress bar reads under the crew's mutex. */
#ifndef CLI_CREW_H
#define CLI_CREW_H

#include "session.h"

enum job_kind { JOB_COPY, JOB_WRITE, JOB_REMOVE };

/* One object. The strings are copied when it is submitted; stores must outlive the job. */
struct job {
    enum job_kind kind;
    const char *operation; /* static */
    struct store *from, *to;
    const char *from_path, *to_path;
    const char *from_shown, *to_shown;
    uint64_t size; /* ORBIT_SIZE_UNKNOWN */
    int64_t mtime_ns;
    bool has_mtime;
    bool look_first;    /* stat the target: no-clobber, if-size-differ, if-source-newer */
    bool try_rename;    /* both in one store */
    bool remove_source; /* when the copy is complete */
    bool preserve;
    bool missing_ok;     /* remove */
    orbit_source source; /* JOB_WRITE */
};

struct crew;

/* `count` 0: as the options say. */
struct crew *crew_new(struct session *session, size_t count);
/* Waits for a free slot, reporting what ended meanwhile, then starts. */
void crew_submit(struct crew *crew, const struct job *job);
/* Waits for everything that is under way. */
void crew_drain(struct crew *crew);
/* Everything was found: the totals are final. */
void crew_all_known(struct crew *crew);
/* Jobs of the crew that failed so far. */
uint64_t crew_failed(const struct crew *crew);
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
