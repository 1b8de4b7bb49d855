/* SPDX-License-Identifier: Apache-2.0
 * Uploads in parts that are open at a store: what was sent and never put together costs storage until it is finished or
 * aborted; on a host that SFTP reaches they are temporary files beside their targets. And the journals by which this
 * machine can go on with its own (orbit_write_options.state_dir).
 *
 *     orbit_uploads *uploads = NULL;
 *     orbit_open_upload entry;
 *     status = orbit_uploads_open(&uploads, backend, "", &options, &error);
 *     while (status >= 0 && (status = orbit_uploads_next(uploads, &entry, &error)) == ORBIT_OK)
 *         if (!entry.journal && entry.started_ns < a_week_ago)
 *             orbit_upload_abort(backend, entry.path, entry.upload_id, NULL, NULL);
 *     orbit_uploads_close(uploads); */
#ifndef ORBIT_UPLOADS_H
#define ORBIT_UPLOADS_H

#include <orbit/task.h>

ORBIT_BEGIN_DECLS

/* Strings are borrowed until the next call on the list. */
typedef struct orbit_open_upload {
    const char *path; /* below the backend's root */
    const char *upload_id;
    int64_t started_ns; /* by the store's clock, since 1970; 0: not told. SFTP: when it was last written to */
    bool journal;       /* state_dir holds a journal of it */
} orbit_open_upload;

typedef struct orbit_uploads_options {
    size_t size;
    const char *state_dir; /* where to look for journals; NULL: nowhere */
    uint32_t timeout_ms;   /* of each page */
    orbit_cancel *cancel;
} orbit_uploads_options;

#define ORBIT_UPLOADS_OPTIONS_INIT             \
    {                                          \
        sizeof(orbit_uploads_options), 0, 0, 0 \
    }
ORBIT_API void orbit_uploads_options_init(orbit_uploads_options *options);

typedef struct orbit_uploads orbit_uploads;

/* Begins a list of the open uploads to paths that begin with `prefix`, a page at a time, in the store's order. SFTP: to
 * that file, or in that one directory, where a path is the temporary's own. Asks for nothing yet. One thread at a time;
 * closed before its backend. ORBIT_E_UNSUPPORTED where a store has no such uploads. */
ORBIT_API orbit_status orbit_uploads_open(orbit_uploads **uploads, orbit_backend *backend, const char *prefix,
                                          const orbit_uploads_options *options, orbit_error *error);
/* ORBIT_OK with an entry, ORBIT_END after the last, or what is wrong: final, and repeated. Waits for the store. */
ORBIT_API orbit_status orbit_uploads_next(orbit_uploads *uploads, orbit_open_upload *upload, orbit_error *error);
/* Without waiting: ORBIT_AGAIN when the next page has to be fetched first, by the call below. */
ORBIT_API orbit_status orbit_uploads_try_next(orbit_uploads *uploads, orbit_open_upload *upload, orbit_error *error);
/* Fetches the next page; no call on the list until the task is done. */
ORBIT_API orbit_status orbit_uploads_fetch_start(orbit_task **task, orbit_uploads *uploads, orbit_task_done *done,
                                                 void *ctx, orbit_error *error);
/* NULL is fine. Not while a fetch is under way. */
ORBIT_API void orbit_uploads_close(orbit_uploads *uploads);

/* Gives up one upload: the store drops its parts. One that is not there any more is success. A journal of it is not
 * touched: see orbit_upload_journal_remove(). */
ORBIT_API orbit_status orbit_upload_abort(orbit_backend *backend, const char *path, const char *upload_id,
                                          const orbit_call_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_upload_abort_start(orbit_task **task, orbit_backend *backend, const char *path,
                                                const char *upload_id, const orbit_call_options *options,
                                                orbit_task_done *done, void *ctx, orbit_error *error);

/* ---- journals: small files on this machine's disk, no client is needed ------------------------------------ */

/* Borrowed until the next call. */
typedef struct orbit_upload_journal {
    const char *name;         /* of the journal, for orbit_upload_journal_remove() */
    const char *store;        /* as orbit_open() takes it, such as "s3://bucket?endpoint=http://host" */
    const char *path;         /* there */
    const char *source;       /* the file, absolute; or what lies in */
    const char *source_store; /* another store, as orbit_open() takes it; NULL: it is a file */
    const char *upload_id;    /* NULL: the upload was asked for, and the reply not heard */
    uint64_t size;            /* of the file, when the upload began */
    uint64_t sent;            /* bytes in the parts that the store has confirmed */
    uint64_t part_bytes;
    int64_t started_ns; /* by this machine's clock */
} orbit_upload_journal;

typedef struct orbit_upload_journals orbit_upload_journals;
/* A directory that is not there holds none. */
ORBIT_API orbit_status orbit_upload_journals_open(orbit_upload_journals **journals, const char *state_dir,
                                                  orbit_error *error);
/* In no order. ORBIT_ENTRY_FAILED: this one cannot be read, `name` alone is set; go on. */
ORBIT_API orbit_status orbit_upload_journals_next(orbit_upload_journals *journals, orbit_upload_journal *journal,
                                                  orbit_error *error);
ORBIT_API void orbit_upload_journals_close(orbit_upload_journals *journals); /* NULL is fine */
/* Forgets an upload, after it was aborted: ORBIT_E_BUSY while it is under way, ORBIT_E_CHANGED when the journal is of
 * another upload by now. */
ORBIT_API orbit_status orbit_upload_journal_remove(const char *state_dir, const char *name, const char *upload_id,
                                                   orbit_error *error);

ORBIT_END_DECLS

#endif
