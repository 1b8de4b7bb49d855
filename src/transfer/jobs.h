/* SPDX-License-Identifier: Apache-2.0
 * What the ready-made sources of jobs share: names below two roots. Any thread. */
#ifndef ORB_TRANSFER_JOBS_H
#define ORB_TRANSFER_JOBS_H

#include <orbit/transfer.h>

#include "base/buf.h"

#define ORB_JOBS_NAME_MAX ((size_t)64 << 10)

struct orb_jobs_roots {
    uint32_t operation;
    orbit_backend *from_backend, *to_backend;
    char *from, *to;
    struct orb_buf from_path, to_path; /* of the job at hand */
};

orbit_status orb_jobs_roots_init(struct orb_jobs_roots *roots, uint32_t operation, orbit_backend *from_backend,
                                 const char *from, orbit_backend *to_backend, const char *to, const char *what,
                                 orbit_error *error);
void orb_jobs_roots_release(struct orb_jobs_roots *roots);
/* The job of `name` below the roots, with a '/' behind it where `slash` says so. ORBIT_ENTRY_FAILED with `error`: a
 * name that would leave a root that is a file system's, or is too long. */
orbit_status orb_jobs_below(struct orb_jobs_roots *roots, const char *name, size_t length, bool slash, orbit_job *job,
                            orbit_error *error);

#endif
