/* SPDX-License-Identifier: Apache-2.0
 * The steps of one job: look at the target, rename or copy or write, make a directory or a link, remove the source.
 * Each step is a task of the library; its end begins the next. Loop thread. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "transfer/transfer.h"

#define LINK_MAX_BYTES 4096
#define LARGE_BYTES    ((uint64_t)8 << 20)

static void advance(struct orb_transfer_job *job, orbit_status status, const orbit_error *error);

/* ---- a step ---------------------------------------------------------------------------------------- */

static void step_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct orb_transfer_job *job = ctx;
    struct orbit_transfer *transfer = job->transfer;
    orb_gate_lock(&transfer->gate);
    job->task = NULL;
    orb_gate_unlock(&transfer->gate);
    orbit_task_free(task);
    if (status >= 0 && transfer->stopping && job->step != ORB_STEP_COPY && job->step != ORB_STEP_WRITE &&
        job->step != ORB_STEP_RENAME)
        advance(job, ORBIT_E_CANCELLED, NULL);
    else
        advance(job, status, error);
}

static bool decides_by_look(const orbit_transfer_options *options)
{
    return options->if_size_differ || options->if_source_newer;
}

/* A large one that nobody knew to be large takes a large one's place. */
static void copy_moved(void *ctx, uint64_t done, uint64_t total)
{
    struct orb_transfer_job *job = ctx;
    (void)done;
    if (!job->large && total != ORBIT_SIZE_UNKNOWN && total > LARGE_BYTES)
        orb_transfer_job_is_large(job);
}

static orbit_write_options write_options(struct orb_transfer_job *job)
{
    const struct orbit_transfer *transfer = job->transfer;
    orbit_write_options write = transfer->write;
    if (decides_by_look(&transfer->options))
        write.overwrite = true;
    else if (transfer->options.no_clobber)
        write.overwrite = false;
    if (job->unknown)
        write.progress = (orbit_progress){copy_moved, job};
    return write;
}

/* What is kept of what a listing said. */
static orbit_metadata said_of(const struct orb_transfer_job *job)
{
    orbit_metadata said = {.kind = job->kind, .mtime_ns = job->mtime_ns};
    if (job->has_mtime)
        said.fields |= ORBIT_HAS_MTIME;
    if (job->bytes != ORBIT_SIZE_UNKNOWN) {
        said.fields |= ORBIT_HAS_SIZE;
        said.size = job->bytes;
    }
    return said;
}

static orbit_status start_copy(struct orb_transfer_job *job, orbit_task **task, orbit_error *error)
{
    const struct orbit_transfer *transfer = job->transfer;
    orbit_copy_options copy = transfer->copy;
    orbit_write_options write = write_options(job);
    copy.preserve = copy.preserve || transfer->options.preserve || (job->flags & ORBIT_JOB_PRESERVE);
    copy.write = &write;
    copy.version_id = job->version_id;
    orbit_metadata said = said_of(job);
    copy.source_hint = &said;
    return orbit_copy_start(task, job->from_backend, job->from, job->to_backend, job->to, &copy, &job->result,
                            step_done, job, error);
}

/* Files make their directories themselves; a link may be the first of what lies in one. */
static orbit_status start_parent(struct orb_transfer_job *job, orbit_task **task, orbit_error *error)
{
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    call.timeout_ms = job->transfer->write.timeout_ms;
    call.recursive = true;
    size_t length = (size_t)(orb_path_base(job->to) - job->to);
    char *parent = orb_malloc(length + 1);
    if (!parent)
        return orb_fail_memory(error);
    memcpy(parent, job->to, length);
    parent[length > 1 ? length - 1 : length] = '\0';
    orbit_status status = orbit_mkdir_start(task, job->to_backend, parent, &call, step_done, job, error);
    orb_free(parent);
    return status;
}

static orbit_status start_task(struct orb_transfer_job *job, orbit_task **task, orbit_error *error)
{
    const struct orbit_transfer *transfer = job->transfer;
    orbit_call_options call = ORBIT_CALL_OPTIONS_INIT;
    call.timeout_ms = transfer->write.timeout_ms;
    switch (job->step) {
    case ORB_STEP_LOOK:
        call.follow_symlinks = true;
        call.sse_customer_key = transfer->write.sse_customer_key;
        return orbit_stat_start(task, job->to_backend, job->to, &call, &job->target, step_done, job, error);
    case ORB_STEP_RENAME:
        call.recursive = transfer->write.create_parents;
        return orbit_rename_start(task, job->from_backend, job->from, job->to,
                                  !transfer->options.no_clobber || decides_by_look(&transfer->options), &call,
                                  step_done, job, error);
    case ORB_STEP_COPY:
        return start_copy(job, task, error);
    case ORB_STEP_WRITE: {
        orbit_write_options write = write_options(job);
        orbit_source source = job->source;
        job->source = (orbit_source){0}; /* the write closes it */
        return orbit_write_start(task, job->to_backend, job->to, source, job->bytes, &write, &job->result, step_done,
                                 job, error);
    }
    case ORB_STEP_MKDIR:
        call.recursive = true; /* those that exist are fine */
        return orbit_mkdir_start(task, job->to_backend, job->to, &call, step_done, job, error);
    case ORB_STEP_CLEAR:
        return orbit_remove_start(task, job->to_backend, job->to, &call, step_done, job, error);
    case ORB_STEP_READLINK:
        return orbit_readlink_start(task, job->from_backend, job->from, job->link, LINK_MAX_BYTES, &call, step_done,
                                    job, error);
    case ORB_STEP_READ_THERE:
        return orbit_readlink_start(task, job->to_backend, job->to, job->link_there, LINK_MAX_BYTES, &call, step_done,
                                    job, error);
    case ORB_STEP_PARENT:
        return start_parent(job, task, error);
    case ORB_STEP_SYMLINK:
        return orbit_symlink_start(task, job->to_backend, job->link, job->to, &call, step_done, job, error);
    case ORB_STEP_REMOVE:
    case ORB_STEP_NONE:
        break;
    }
    return orb_fail(error, ORBIT_E_MISUSE, 0, "a job without a step");
}

static void start(struct orb_transfer_job *job, enum orb_transfer_step step)
{
    struct orbit_transfer *transfer = job->transfer;
    orbit_task *task = NULL;
    orbit_error error;
    job->step = step;
    if (step == ORB_STEP_REMOVE) {
        orb_transfer_to_removals(job);
        return;
    }
    orbit_status status = start_task(job, &task, &error);
    if (status < 0) {
        advance(job, status, &error);
        return;
    }
    orb_gate_lock(&transfer->gate);
    job->task = task;
    orb_gate_unlock(&transfer->gate);
}

/* ---- how a job begins ------------------------------------------------------------------------------ */

bool orb_transfer_job_is_removal(const struct orb_transfer_job *job)
{
    return job->operation == ORBIT_JOB_REMOVE && !job->transfer->options.dry_run && job->outcome != ORBIT_JOB_FAILED;
}

static bool may_rename(const struct orb_transfer_job *job)
{
    return job->operation == ORBIT_JOB_MOVE && job->from_backend == job->to_backend &&
           !(job->flags & ORBIT_JOB_COPY_BYTES);
}

static void begin_link(struct orb_transfer_job *job)
{
    job->link = orb_malloc(LINK_MAX_BYTES);
    job->link_there = orb_malloc(LINK_MAX_BYTES);
    if (job->link && job->link_there) {
        start(job, ORB_STEP_READLINK);
        return;
    }
    orbit_error error;
    advance(job, orb_fail_memory(&error), &error);
}

static void finish(struct orb_transfer_job *job, enum orbit_job_outcome outcome)
{
    job->outcome = outcome;
    orb_transfer_job_ended(job);
}

static void begin(struct orb_transfer_job *job)
{
    const struct orbit_transfer *transfer = job->transfer;
    bool tree = job->to_backend && job->to_backend->core.caps.hierarchical;
    if (job->operation == ORBIT_JOB_WRITE)
        start(job, ORB_STEP_WRITE);
    else if (job->kind == ORBIT_KIND_SYMLINK && may_rename(job))
        start(job, ORB_STEP_RENAME);
    else if (job->kind == ORBIT_KIND_SYMLINK && (!orbit_backend_supports(job->to_backend, ORBIT_OPERATION_SYMLINK) ||
                                                 !orbit_backend_supports(job->from_backend, ORBIT_OPERATION_SYMLINK)))
        finish(job, ORBIT_JOB_LEFT_OUT);
    else if (job->kind == ORBIT_KIND_SYMLINK)
        begin_link(job);
    else if (job->kind == ORBIT_KIND_DIRECTORY && tree && transfer->write.create_parents)
        start(job, ORB_STEP_MKDIR);
    else if (job->kind == ORBIT_KIND_DIRECTORY)
        finish(job, tree ? ORBIT_JOB_DONE : ORBIT_JOB_LEFT_OUT); /* object stores have none */
    else
        start(job, may_rename(job) ? ORB_STEP_RENAME : ORB_STEP_COPY);
}

void orb_transfer_job_start(struct orb_transfer_job *job)
{
    const orbit_transfer_options *options = &job->transfer->options;
    bool looks = options->no_clobber || decides_by_look(options);
    bool thing = job->kind != ORBIT_KIND_DIRECTORY && job->kind != ORBIT_KIND_SYMLINK;
    job->begun_ns = orb_now_ns();
    if (job->outcome == ORBIT_JOB_FAILED)
        orb_transfer_job_ended(job);
    else if (job->kind == ORBIT_KIND_OTHER && job->operation != ORBIT_JOB_REMOVE)
        finish(job, ORBIT_JOB_LEFT_OUT);
    else if (looks && thing && (job->operation == ORBIT_JOB_COPY || job->operation == ORBIT_JOB_MOVE))
        start(job, ORB_STEP_LOOK);
    else if (options->dry_run)
        finish(job, ORBIT_JOB_DONE);
    else
        begin(job);
}

/* ---- what follows a step --------------------------------------------------------------------------- */

static bool target_stays(const struct orb_transfer_job *job)
{
    const orbit_transfer_options *options = &job->transfer->options;
    const orbit_metadata *target = &job->target;
    if (target->kind == ORBIT_KIND_DIRECTORY)
        return false; /* a prefix is in nobody's way; a real directory is an error of the copy */
    if (!decides_by_look(options))
        return options->no_clobber;
    bool differs = options->if_size_differ && !(target->fields & ORBIT_HAS_SIZE && job->bytes == target->size);
    bool newer = options->if_source_newer &&
                 !(target->fields & ORBIT_HAS_MTIME && job->has_mtime && job->mtime_ns <= target->mtime_ns);
    return !differs && !newer;
}

static void fail(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    if (status == ORBIT_E_EXISTS && job->transfer->options.no_clobber && job->step != ORB_STEP_REMOVE) {
        finish(job, ORBIT_JOB_KEPT);
        return;
    }
    orb_transfer_job_fail(job, status, error);
    orb_transfer_job_ended(job);
}

static void looked(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    if (status >= 0 && target_stays(job))
        finish(job, ORBIT_JOB_KEPT);
    else if (status < 0 && status != ORBIT_E_NOT_FOUND)
        fail(job, status, error);
    else if (job->transfer->options.dry_run)
        finish(job, ORBIT_JOB_DONE);
    else
        begin(job);
}

static void copied(struct orb_transfer_job *job)
{
    job->copied = true;
    if (job->operation == ORBIT_JOB_MOVE)
        start(job, ORB_STEP_REMOVE);
    else
        finish(job, ORBIT_JOB_DONE);
}

/* A link that cannot be made because its name is taken: the same one is fine, another is replaced. */
static void link_step(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    bool keep = job->transfer->options.no_clobber;
    if ((job->step == ORB_STEP_READLINK || job->step == ORB_STEP_PARENT) && status >= 0) {
        start(job, ORB_STEP_SYMLINK);
    } else if (job->step == ORB_STEP_SYMLINK && status == ORBIT_E_NOT_FOUND && !job->made_parent &&
               job->transfer->write.create_parents) {
        job->made_parent = true;
        start(job, ORB_STEP_PARENT);
    } else if (job->step == ORB_STEP_SYMLINK && status >= 0) {
        copied(job);
    } else if (job->step == ORB_STEP_SYMLINK && status == ORBIT_E_UNSUPPORTED) {
        finish(job, ORBIT_JOB_LEFT_OUT);
    } else if (job->step == ORB_STEP_SYMLINK && status == ORBIT_E_EXISTS && job->link_there) {
        start(job, ORB_STEP_READ_THERE);
    } else if (job->step == ORB_STEP_READ_THERE && status >= 0 && strcmp(job->link, job->link_there) == 0) {
        copied(job);
    } else if (job->step == ORB_STEP_READ_THERE && keep) {
        finish(job, ORBIT_JOB_KEPT);
    } else if (job->step == ORB_STEP_READ_THERE && status >= 0) {
        start(job, ORB_STEP_CLEAR);
    } else if (job->step == ORB_STEP_READ_THERE && status != ORBIT_E_CANCELLED) {
        orbit_error own;
        orb_fail(&own, ORBIT_E_EXISTS, 0, "'%.150s' exists and is no link", job->to);
        fail(job, ORBIT_E_EXISTS, &own);
    } else if (job->step == ORB_STEP_CLEAR && status >= 0) {
        orb_free(job->link_there); /* once */
        job->link_there = NULL;
        start(job, ORB_STEP_SYMLINK);
    } else {
        fail(job, status, error);
    }
}

static void advance(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    switch (job->step) {
    case ORB_STEP_LOOK:
        looked(job, status, error);
        return;
    case ORB_STEP_RENAME:
        if (status == ORBIT_E_UNSUPPORTED || (status < 0 && error && error->native == EXDEV)) {
            if (job->kind == ORBIT_KIND_SYMLINK)
                begin_link(job);
            else
                start(job, ORB_STEP_COPY);
            return;
        }
        break;
    case ORB_STEP_COPY:
    case ORB_STEP_WRITE:
        if (status >= 0) {
            job->bytes = job->result.bytes;
            copied(job);
            return;
        }
        break;
    case ORB_STEP_READLINK:
    case ORB_STEP_PARENT:
    case ORB_STEP_SYMLINK:
    case ORB_STEP_READ_THERE:
    case ORB_STEP_CLEAR:
        link_step(job, status, error);
        return;
    case ORB_STEP_MKDIR:
    case ORB_STEP_REMOVE:
    case ORB_STEP_NONE:
        break;
    }
    if (status >= 0)
        finish(job, ORBIT_JOB_DONE);
    else
        fail(job, status, error);
}

/* From a batch of removals. */
void orb_transfer_job_removed(struct orb_transfer_job *job, orbit_status status, const orbit_error *error)
{
    orbit_error own = {.status = status};
    if (status < 0 && job->operation == ORBIT_JOB_MOVE) {
        if (error)
            own = *error;
        else
            orb_fail(&own, status, 0, "%s", orbit_status_text(status));
        orb_error_prefix(&own, "copied, but the source could not be removed");
        error = &own;
    }
    job->step = ORB_STEP_REMOVE;
    advance(job, status, error);
}
