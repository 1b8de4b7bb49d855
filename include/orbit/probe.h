/* SPDX-License-Identifier: Apache-2.0
 * What is between us and a store, looked at step by step: for "why does it not work", before or after it did not.
 *
 *     orbit_finding findings[ORBIT_FINDINGS_MAX];
 *     size_t count;
 *     status = orbit_probe(store, "", findings, ORBIT_FINDINGS_MAX, &count, NULL, &error);
 *
 * S3: the addresses of the endpoint's name and a connection to each (or the proxy that is in between), its certificate,
 * where the credentials come from, the store's clock, the bucket and its region. Local paths: the file system, its
 * space, whether it can be written to. SFTP: how long the host takes to let us in and to answer, what its server can
 * do. Nothing is changed. Other stores: ORBIT_E_UNSUPPORTED. */
#ifndef ORBIT_PROBE_H
#define ORBIT_PROBE_H

#include <orbit/backend.h>
#include <orbit/file.h>

ORBIT_BEGIN_DECLS

typedef enum orbit_finding_level {
    ORBIT_FINDING_OK = 0,
    ORBIT_FINDING_WARNING, /* it works, and could be better */
    ORBIT_FINDING_FAILURE  /* this is why it does not work */
} orbit_finding_level;

/* A plain value: no strings to be freed, and no secret in them. */
typedef struct orbit_finding {
    int32_t level;    /* orbit_finding_level */
    int32_t status;   /* orbit_status: ORBIT_OK but for failures and warnings of things that failed */
    char what[16];    /* what was looked at, one word: "connect", "certificate", "clock", … */
    char text[320];   /* what was found, one sentence */
    char advice[200]; /* what to do about it; "": nothing */
} orbit_finding;

#define ORBIT_FINDINGS_MAX 32

/* Fills up to `room` findings, in the order in which they were made. ORBIT_OK whatever they say: errors are about the
 * call itself (cancelled, timed out, out of memory). Blocks, for up to the time-outs of everything it tries; any thread
 * but a callback's. Of the options only timeout_ms and cancel count. */
ORBIT_API orbit_status orbit_probe(orbit_backend *backend, const char *path, orbit_finding *findings, size_t room,
                                   size_t *count, const orbit_call_options *options, orbit_error *error);

ORBIT_END_DECLS

#endif
