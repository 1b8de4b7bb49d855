/* SPDX-License-Identifier: Apache-2.0
 * What doctor's files share: one place under examination, and how a finding is told. Main thread. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "session.h"

struct examination {
    struct session *session;
    const struct place *place;
    bool stopped; /* something fundamental failed: the rest would fail by it, too */
    char *sample; /* an object that was listed, its whole path; NULL: none */
    uint64_t sample_size;
};

/* One line or JSON object. `status` is what failed, for the exit code; `advice` nullable. */
void doctor_tell(struct examination *examination, orbit_finding_level level, orbit_status status, const char *what,
                 const char *advice, const char *format, ...) ORBIT_PRINTF(6, 7);
/* What to ask for where something is denied: a right of the store's, or one to files and directories. */
const char *doctor_ask(const struct examination *examination, const char *of_objects, const char *of_files);
/* Writes a small object, reads it back, tries to write it again where it exists, removes it. */
void doctor_write(struct examination *examination);
/* Moves up to so many bytes: there and back where writing is allowed, else of the sample. */
void doctor_throughput(struct examination *examination, uint64_t bytes, bool may_write);

#endif
