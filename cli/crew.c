/* SPDX-License-Identifier: Apache-2.0
 * The crew's slots and their steps: look at the target, rename or copy or write, remove the source. */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

enum step { STEP_FREE = 0, STEP_LOOK, STEP_RENAME, STEP_COPY, STEP_WRITE, STEP_REMOVE };

struct slot {
    struct crew *crew;
    /* Main thread. */
    enum step step;
    struct job job; /* its strings are owned by the slot */
    char *strings[4];
    uint64_t order;
    orbit_metadata target;
    orbit_write_result result;
    uint64_t bytes;
    /* By the crew's mutex. */
    orbit_task *task;
    bool ended;
    orbit_status status;
    orbit_error error;
};

struct crew {
    struct session *session;
    size_t count, busy; /* busy: main thread */
    uint64_t submitted, failed;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    struct {
        uint64_t bytes_done, bytes_total, objects_done, objects_total;
        bool sizes_known, all_found;
    } counts; /* by mutex */
    struct slot *slots;
};

struct crew *crew_new(struct session *session, size_t count)
{
    enum { OBJECTS_IN_FLIGHT = 16 };
    struct crew *crew = memory_zeroed(1, sizeof *crew);
    if (!count)
        count = session->options->workers ? (size_t)session->options->workers : OBJECTS_IN_FLIGHT;
    if (count > 256)
        count = 256;
    crew->session = session;
    crew->count = count;
    crew->counts.sizes_known = true;
    crew->slots = memory_zeroed(count, sizeof *crew->slots);
    for (size_t i = 0; i < count; i++)
        crew->slots[i].crew = crew;
    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->ended, NULL);
    return crew;
}

/* The client's thread. */
static void on_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct slot *slot = ctx;
    (void)task;
    pthread_mutex_lock(&slot->crew->mutex);
    slot->status = status;
    if (status < 0 && error)
        slot->error = *error;
    else if (status < 0)
        orbit_error_set(&slot->error, status, 0, "%s", orbit_status_text(status));
    slot->ended = true;
    pthread_cond_signal(&slot->crew->ended);
    pthread_mutex_unlock(&slot->crew->mutex);
}

/* ---- starting a step ----------------------------------------------------------------------------- */

static bool takes_older_or_other(const struct options *options)
{
    return options->if_size_differ || options->if_source_newer;
}

static orbit_write_options write_options(const struct slot *slot)
{
    const struct options *options = slot->crew->session->options;
    orbit_write_options write = session_write(slot->crew->session);
    if (takes_older_or_other(options))
        write.overwrite = true; /* decided by the look at the target */
    return write;
}

static uint32_t verify_of(const char *word)
{
    if (word && strcmp(word, "full") == 0)
        return ORBIT_VERIFY_FULL;
    return word && strcmp(word, "off") == 0 ? ORBIT_VERIFY_OFF : ORBIT_VERIFY_DEFAULT;
}

static const uint8_t *source_key(const struct session *session, const struct job *job)
{
    if (session->has_source_key)
        return session->source_key;
    return session->has_key && job->to->local ? session->key : NULL;
}

static orbit_status start_copy(struct slot *slot, orbit_task **task, orbit_error *error)
{
    const struct job *job = &slot->job;
    const struct session *session = slot->crew->session;
    orbit_copy_options copy = ORBIT_COPY_OPTIONS_INIT;
    orbit_write_options write = write_options(slot);

    copy.version_id = session->options->version_id;
    copy.preserve = job->preserve;
    copy.verify = verify_of(session->options->verify);
    copy.no_hedge = session->options->no_hedge;
    copy.source_sse_customer_key = source_key(session, job);
    copy.resume = !session->options->no_resume;
    copy.write = &write;
    return orbit_copy_start(task, job->from->backend, job->from_path, job->to->backend, job->to_path, &copy,
                            &slot->result, on_done, slot, error);
}

static orbit_status start_step(struct slot *slot, orbit_task **task, orbit_error *error)
{
    const struct job *job = &slot->job;
    orbit_call_options call = session_call(slot->crew->session);

    switch (slot->step) {
    case STEP_LOOK:
        call.version_id = NULL;
        call.follow_symlinks = true;
        return orbit_stat_start(task, job->to->backend, job->to_path, &call, &slot->target, on_done, slot, error);
    case STEP_RENAME:
        call.recursive = true; /* directories that are missing at the target are made */
        return orbit_rename_start(task, job->from->backend, job->from_path, job->to_path,
                                  !slot->crew->session->options->no_clobber ||
                                      takes_older_or_other(slot->crew->session->options),
                                  &call, on_done, slot, error);
    case STEP_COPY:
        return start_copy(slot, task, error);
    case STEP_WRITE: {
        orbit_write_options write = write_options(slot);
        return orbit_write_start(task, job->to->backend, job->to_path, job->source, job->size, &write, &slot->result,
                                 on_done, slot, error);
    }
    case STEP_REMOVE:
        call.missing_ok = job->missing_ok;
        return orbit_remove_start(task, job->from->backend, job->from_path, &call, on_done, slot, error);
    case STEP_FREE:
        break;
    }
    return orbit_error_set(error, ORBIT_E_MISUSE, 0, "a job without a step");
}

static void start(struct slot *slot, enum step step)
{
    struct crew *crew = slot->crew;
    orbit_task *task = NULL;
    orbit_error error;

    slot->step = step;
    slot->ended = false;
    if (step == STEP_COPY || step == STEP_WRITE)
        slot->result = (orbit_write_result)ORBIT_WRITE_RESULT_INIT;
    orbit_status status = start_step(slot, &task, &error);
    pthread_mutex_lock(&crew->mutex);
    if (status < 0) {
        slot->status = status;
        slot->error = error;
        slot->ended = true;
    } else {
        slot->task = task;
    }
    pthread_mutex_unlock(&crew->mutex);
}

/* ---- what follows a step ------------------------------------------------------------------------- */

static enum step first_step(const struct job *job)
{
    if (job->kind == JOB_REMOVE)
        return STEP_REMOVE;
    if (job->kind == JOB_WRITE)
        return STEP_WRITE;
    return job->try_rename ? STEP_RENAME : STEP_COPY;
}

static void tell(struct slot *slot, bool skipped)
{
    const struct job *job = &slot->job;
    bool moved = job->kind != JOB_REMOVE;
    struct result result = {.operation = job->operation,
                            .source = job->from_shown,
                            .destination = job->to_shown,
                            .skipped = skipped,
                            .has_size = moved && slot->bytes != ORBIT_SIZE_UNKNOWN,
                            .size = slot->bytes,
                            .metadata = moved ? &slot->result.metadata : NULL};
    report_done(slot->crew->session, &result);
}

static void finish(struct slot *slot)
{
    struct crew *crew = slot->crew;
    uint64_t size = slot->job.kind == JOB_REMOVE ? 0 : slot->job.size;

    pthread_mutex_lock(&crew->mutex);
    crew->counts.objects_done++;
    crew->counts.bytes_done += size != ORBIT_SIZE_UNKNOWN ? size : slot->bytes;
    pthread_mutex_unlock(&crew->mutex);
    orbit_metadata_release(&slot->target);
    orbit_write_result_release(&slot->result);
    for (size_t i = 0; i < 4; i++) {
        free(slot->strings[i]);
        slot->strings[i] = NULL;
    }
    slot->step = STEP_FREE;
    crew->busy--;
}

static void fail(struct slot *slot)
{
    const struct job *job = &slot->job;
    orbit_error error = slot->error;

    if (slot->step == STEP_REMOVE && job->kind == JOB_COPY) {
        char message[sizeof error.message];
        memcpy(message, error.message, sizeof message);
        orbit_error_set(&error, slot->status, error.native, "copied, but the source could not be removed: %s", message);
        error.flags = slot->error.flags;
    }
    slot->crew->failed++;
    report_failed(slot->crew->session, job->operation, job->from_shown, job->to_shown, &error);
    finish(slot);
}

/* Whether what stands at the target is to stay. */
static bool target_stays(const struct slot *slot)
{
    const struct options *options = slot->crew->session->options;
    const orbit_metadata *target = &slot->target;
    if (target->kind == ORBIT_KIND_DIRECTORY)
        return false; /* a prefix is in nobody's way; a real directory is an error of the copy */
    if (!takes_older_or_other(options))
        return options->no_clobber;
    bool differs = options->if_size_differ && !(target->fields & ORBIT_HAS_SIZE && slot->job.size == target->size);
    bool newer = options->if_source_newer &&
                 !(target->fields & ORBIT_HAS_MTIME && slot->job.has_mtime && slot->job.mtime_ns <= target->mtime_ns);
    return !differs && !newer;
}

/* A step ended: the next one, or the end. Main thread. */
static void advance(struct slot *slot)
{
    const struct job *job = &slot->job;
    bool well = slot->status >= 0;

    switch (slot->step) {
    case STEP_LOOK:
        if (well && target_stays(slot)) {
            tell(slot, true);
            finish(slot);
        } else if (well || slot->status == ORBIT_E_NOT_FOUND) {
            start(slot, first_step(job));
        } else {
            fail(slot);
        }
        return;
    case STEP_RENAME:
        if (!well && (slot->status == ORBIT_E_UNSUPPORTED || slot->error.native == EXDEV)) {
            start(slot, STEP_COPY);
            return;
        }
        slot->bytes = job->size;
        break;
    case STEP_COPY:
    case STEP_WRITE:
        slot->bytes = slot->result.bytes;
        if (well && job->remove_source) {
            start(slot, STEP_REMOVE);
            return;
        }
        break;
    case STEP_REMOVE:
    case STEP_FREE:
        break;
    }
    if (well) {
        tell(slot, false);
        finish(slot);
    } else if (slot->status == ORBIT_E_EXISTS && slot->crew->session->options->no_clobber &&
               slot->step != STEP_REMOVE) {
        tell(slot, true);
        finish(slot);
    } else {
        fail(slot);
    }
}

/* Takes one ended slot, waiting for it with `wait`. False: none has ended. */
static bool reap(struct crew *crew, bool wait)
{
    struct slot *oldest = NULL;
    orbit_task *task = NULL;

    pthread_mutex_lock(&crew->mutex);
    for (;;) {
        for (size_t i = 0; i < crew->count; i++) {
            struct slot *slot = &crew->slots[i];
            if (slot->step != STEP_FREE && slot->ended && (!oldest || slot->order < oldest->order))
                oldest = slot;
        }
        if (oldest || !wait || !crew->busy)
            break;
        pthread_cond_wait(&crew->ended, &crew->mutex);
    }
    if (oldest) {
        task = oldest->task;
        oldest->task = NULL;
    }
    pthread_mutex_unlock(&crew->mutex);
    if (!oldest)
        return false;
    orbit_task_free(task);
    advance(oldest);
    return true;
}

void crew_submit(struct crew *crew, const struct job *job)
{
    struct slot *slot = crew->slots;
    while (reap(crew, crew->busy == crew->count))
        ;
    while (slot->step != STEP_FREE)
        slot++;

    slot->job = *job;
    const char **names[4] = {&slot->job.from_path, &slot->job.to_path, &slot->job.from_shown, &slot->job.to_shown};
    pthread_mutex_lock(&crew->mutex);
    for (size_t i = 0; i < 4; i++)
        if (*names[i])
            *names[i] = slot->strings[i] = string_copy(*names[i]);
    slot->order = crew->submitted++;
    crew->counts.objects_total++;
    if (job->kind == JOB_REMOVE)
        ;
    else if (job->size == ORBIT_SIZE_UNKNOWN)
        crew->counts.sizes_known = false;
    else
        crew->counts.bytes_total += job->size;
    pthread_mutex_unlock(&crew->mutex);
    slot->bytes = ORBIT_SIZE_UNKNOWN;
    crew->busy++;
    start(slot, job->look_first ? STEP_LOOK : first_step(job));
}

void crew_drain(struct crew *crew)
{
    while (crew->busy)
        reap(crew, true);
}

void crew_all_known(struct crew *crew)
{
    pthread_mutex_lock(&crew->mutex);
    crew->counts.all_found = true;
    pthread_mutex_unlock(&crew->mutex);
}

uint64_t crew_failed(const struct crew *crew)
{
    return crew->failed;
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    crew_drain(crew);
    pthread_cond_destroy(&crew->ended);
    pthread_mutex_destroy(&crew->mutex);
    free(crew->slots);
    free(crew);
}

void crew_progress(struct crew *crew, struct crew_progress *progress)
{
    const struct slot *oldest = NULL;
    pthread_mutex_lock(&crew->mutex);
    *progress = (struct crew_progress){.bytes_done = crew->counts.bytes_done,
                                       .bytes_total = crew->counts.bytes_total,
                                       .objects_done = crew->counts.objects_done,
                                       .objects_total = crew->counts.objects_total,
                                       .total_known = crew->counts.sizes_known && crew->counts.all_found,
                                       .all_found = crew->counts.all_found};
    for (size_t i = 0; i < crew->count; i++) {
        const struct slot *slot = &crew->slots[i];
        uint64_t done = 0, total = 0;
        if (!slot->task)
            continue;
        orbit_task_progress(slot->task, &done, &total);
        progress->bytes_done += done;
        if (!oldest || slot->order < oldest->order)
            oldest = slot;
    }
    if (oldest && oldest->strings[2]) {
        struct text name = {0};
        const char *last = path_name(oldest->strings[2]);
        text_add_escaped(&name, last, strlen(last));
        size_t length = name.length < sizeof progress->name ? name.length : sizeof progress->name - 1;
        while (length && length < name.length && ((unsigned char)name.bytes[length] & 0xc0) == 0x80)
            length--; /* not in the middle of a character */
        if (length)
            memcpy(progress->name, name.bytes, length);
        text_release(&name);
    }
    pthread_mutex_unlock(&crew->mutex);
}
