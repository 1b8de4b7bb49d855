/* SPDX-License-Identifier: Apache-2.0
 * Jobs of one thing, of a tree; and names below two roots. The tree comes from a lister, an entry at a time, on the
 * transfer's thread for its source. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/options.h"
#include "client/client.h"
#include "transfer/jobs.h"

#define PATH_BYTES_MAX ((size_t)256 << 10)

/* ---- names below two roots ------------------------------------------------------------------------- */

orbit_status orb_jobs_roots_init(struct orb_jobs_roots *roots, uint32_t operation, orbit_backend *from_backend,
                                 const char *from, orbit_backend *to_backend, const char *to, const char *what,
                                 orbit_error *error)
{
    bool remove = operation == ORBIT_JOB_REMOVE;
    if (operation < ORBIT_JOB_COPY || operation > ORBIT_JOB_REMOVE)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() copies, moves or removes; %u is none of these", what,
                        operation);
    if (!from_backend || !from || (!remove && (!to_backend || !to)))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s() without a source or a target", what);
    *roots = (struct orb_jobs_roots){
        .operation = operation, .from_backend = from_backend, .to_backend = remove ? NULL : to_backend};
    orb_buf_init(&roots->from_path, PATH_BYTES_MAX);
    orb_buf_init(&roots->to_path, PATH_BYTES_MAX);
    roots->from = orb_strdup(from);
    roots->to = orb_strdup(remove ? "" : to);
    if (roots->from && roots->to)
        return ORBIT_OK;
    orb_jobs_roots_release(roots);
    return orb_fail_memory(error);
}

void orb_jobs_roots_release(struct orb_jobs_roots *roots)
{
    orb_free(roots->from);
    orb_free(roots->to);
    roots->from = roots->to = NULL;
    orb_buf_release(&roots->from_path);
    orb_buf_release(&roots->to_path);
}

/* Whether a path of these components stays below where it is put, and means there what it says. */
static bool stays_below(const char *name, size_t length)
{
    size_t at = 0;
    while (at <= length) {
        const char *slash = at < length ? memchr(name + at, '/', length - at) : NULL;
        size_t part = slash ? (size_t)(slash - name) - at : length - at;
        bool dots = (part == 1 && name[at] == '.') || (part == 2 && name[at] == '.' && name[at + 1] == '.');
        if (dots || (part == 0 && (at < length || at == 0)))
            return false; /* a slash at the very end is fine */
        at += part + 1;
    }
    return true;
}

static bool join(struct orb_buf *path, const char *root, const char *name, size_t length, bool slash)
{
    size_t root_length = strlen(root);
    orb_buf_reset(path);
    orb_buf_append(path, root, root_length);
    if (root_length && root[root_length - 1] != '/')
        orb_buf_char(path, '/');
    orb_buf_append(path, name, length);
    if (slash && !(length && name[length - 1] == '/'))
        orb_buf_char(path, '/');
    return !path->failed;
}

static bool is_tree(const orbit_backend *backend)
{
    return backend && backend->core.caps.hierarchical;
}

orbit_status orb_jobs_below(struct orb_jobs_roots *roots, const char *name, size_t length, bool slash, orbit_job *job,
                            orbit_error *error)
{
    bool fits = join(&roots->from_path, roots->from, name, length, slash) &&
                join(&roots->to_path, roots->to, name, length, slash);
    job->operation = roots->operation;
    job->from_backend = roots->from_backend;
    job->to_backend = roots->to_backend;
    job->from = orb_buf_string(&roots->from_path);
    job->to = roots->to_backend ? orb_buf_string(&roots->to_path) : NULL;
    if (!fits) {
        orb_fail(error, ORBIT_E_PATH, 0, "a name of %zu bytes is too long for a path", length);
        return ORBIT_ENTRY_FAILED;
    }
    if ((is_tree(roots->from_backend) || is_tree(roots->to_backend)) && !stays_below(name, length)) {
        orb_fail(error, ORBIT_E_PATH, 0, "'%.200s' is no path below a directory", name);
        return ORBIT_ENTRY_FAILED;
    }
    return ORBIT_OK;
}

/* ---- a tree ---------------------------------------------------------------------------------------- */

struct tree {
    struct orb_jobs_roots roots;
    orbit_lister *lister;
    orbit_cancel *cancel;
    orbit_metadata metadata; /* borrowed from the lister; a marker is a file here */
    bool versions;
};

static orbit_status tree_next(void *ctx, orbit_job *job, orbit_error *error)
{
    struct tree *tree = ctx;
    orbit_entry entry;
    for (;;) {
        orbit_status status = orbit_lister_next(tree->lister, &entry, error);
        if (status != ORBIT_OK && status != ORBIT_ENTRY_FAILED)
            return status;
        bool directory = entry.metadata.kind == ORBIT_KIND_DIRECTORY;
        bool marker = directory && (entry.flags & ORBIT_ENTRY_MARKER);
        if (status == ORBIT_OK && directory && !marker && tree->roots.operation == ORBIT_JOB_REMOVE)
            continue;
        orbit_error unusable;
        bool as_key = marker && !is_tree(tree->roots.to_backend);
        orbit_status usable = orb_jobs_below(&tree->roots, entry.path, entry.path_length, as_key, job, &unusable);
        if (status == ORBIT_ENTRY_FAILED)
            return status; /* with its own error */
        if (usable == ORBIT_ENTRY_FAILED)
            orb_error_copy(error, &unusable);
        tree->metadata = entry.metadata; /* borrowed from the lister */
        if (as_key)
            tree->metadata.kind = ORBIT_KIND_FILE;
        job->metadata = &tree->metadata;
        if (tree->versions)
            job->version_id = tree->metadata.version_id;
        return usable;
    }
}

static void tree_stop(void *ctx)
{
    orbit_cancel_fire(((struct tree *)ctx)->cancel);
}

static void tree_close(void *ctx)
{
    struct tree *tree = ctx;
    orbit_lister_close(tree->lister);
    orbit_cancel_free(tree->cancel);
    orb_jobs_roots_release(&tree->roots);
    orb_free(tree);
}

orbit_status orbit_jobs_tree(orbit_job_source *jobs, uint32_t operation, orbit_backend *from_backend, const char *from,
                             orbit_backend *to_backend, const char *to, const orbit_list_options *list,
                             orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    if (!jobs)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_jobs_tree() without a place for the source");
    *jobs = (orbit_job_source){0};
    orbit_status status = orb_options_take(&options, sizeof(options), list, "orbit_list_options", error);
    if (status < 0)
        return status;
    struct tree *tree = orb_calloc(1, sizeof(*tree));
    if (!tree)
        return orb_fail_memory(error);
    status = orb_jobs_roots_init(&tree->roots, operation, from_backend, from, to_backend, to, "orbit_jobs_tree", error);
    if (status >= 0 && !(tree->cancel = orbit_cancel_new()))
        status = orb_fail_memory(error);
    options.recursive = true;
    tree->versions = options.versions;
    options.cancel = tree->cancel;
    options.ready = NULL;
    if (status >= 0)
        status = orbit_list(&tree->lister, from_backend, from, &options, error);
    if (status < 0) {
        tree_close(tree);
        return status;
    }
    *jobs = (orbit_job_source){.next = tree_next, .stop = tree_stop, .close = tree_close, .ctx = tree};
    return ORBIT_OK;
}

/* ---- one thing ------------------------------------------------------------------------------------- */

struct one {
    orbit_job job;
    orbit_metadata metadata;
    char *from, *to, *version_id;
    bool given;
};

static orbit_status one_next(void *ctx, orbit_job *job, orbit_error *error)
{
    struct one *one = ctx;
    (void)error;
    if (one->given)
        return ORBIT_END;
    one->given = true;
    *job = one->job;
    return ORBIT_OK;
}

static void one_close(void *ctx)
{
    struct one *one = ctx;
    if (!one->given && one->job.source.close)
        one->job.source.close(one->job.source.ctx);
    orbit_metadata_release(&one->metadata);
    orb_free(one->from);
    orb_free(one->to);
    orb_free(one->version_id);
    orb_free(one);
}

orbit_status orbit_jobs_one(orbit_job_source *jobs, const orbit_job *given, orbit_error *error)
{
    if (!jobs || !given)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_jobs_one() without a job, or a place for the source");
    *jobs = (orbit_job_source){0};
    struct one *one = orb_calloc(1, sizeof(*one));
    if (!one)
        return orb_fail_memory(error);
    orbit_job_init(&one->job);
    orbit_status status = orb_options_take(&one->job, sizeof(one->job), given, "orbit_job", error);
    one->from = orb_strdup(one->job.from);
    one->to = orb_strdup(one->job.to);
    one->version_id = orb_strdup(one->job.version_id);
    if (status >= 0 &&
        ((one->job.from && !one->from) || (one->job.to && !one->to) || (one->job.version_id && !one->version_id) ||
         (one->job.metadata && orbit_metadata_copy(&one->metadata, one->job.metadata) < 0)))
        status = orb_fail_memory(error);
    if (status < 0) {
        one->given = true; /* the source stays the caller's */
        one_close(one);
        return status;
    }
    one->job.from = one->from;
    one->job.to = one->to;
    one->job.version_id = one->version_id;
    one->job.metadata = one->job.metadata ? &one->metadata : NULL;
    *jobs = (orbit_job_source){.next = one_next, .close = one_close, .ctx = one};
    return ORBIT_OK;
}
