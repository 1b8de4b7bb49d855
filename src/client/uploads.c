/* SPDX-License-Identifier: Apache-2.0
 * Open uploads of a store: the list, page by page, and giving one up. A page belongs to the fetching task while that
 * runs, to the caller otherwise; which of its entries have journals is looked up on a worker. */
#include <orbit/uploads.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/options.h"
#include "client/file_task.h"
#include "engine/journal.h"

#define PAGE_ENTRIES 1000
#define PAGE_BYTES   ((size_t)1 << 20)

struct orbit_uploads {
    struct orbit_backend *backend;
    char *prefix, *state_dir; /* owned; the latter nullable */
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    struct orbit_page page;
    struct orb_page_cursor cursor;
    size_t index;                           /* of the next entry */
    uint8_t journals[PAGE_ENTRIES / 8 + 1]; /* a bit an entry */
    char *after_path, *after_id;            /* the last one of the page */
    bool fetched, more;
    orbit_status status;
    orbit_error error;
};

void orbit_uploads_options_init(orbit_uploads_options *options)
{
    if (options)
        *options = (orbit_uploads_options)ORBIT_UPLOADS_OPTIONS_INIT;
}

/* ---- which have journals: worker ------------------------------------------------------------------------- */

static bool is_of(const char *name, int directory, const char *upload_id)
{
    struct orb_journal journal;
    orbit_error error;
    bool same = orb_journal_look(&journal, directory, name, NULL, &error) >= 0 && journal.upload_id &&
                strcmp(journal.upload_id, upload_id) == 0;
    orb_journal_release(&journal);
    return same;
}

static void look_for(struct orbit_uploads *uploads, DIR *directory)
{
    const struct orb_backend *core = &uploads->backend->core;
    struct orb_page_cursor cursor = {0};
    struct orb_page_item item;
    char store[ORB_JOURNAL_STORE_MAX], key[ORB_JOURNAL_KEY_MAX], target[18];
    for (size_t i = 0; orb_page_next(&uploads->page, &cursor, &item); i++) {
        if (core->ops->locate(core->self, item.entry.path, store, sizeof(store), key, sizeof(key)) < 0)
            continue;
        orb_journal_target(target, store, key);
        if (core->caps.resumes_bytes) /* which target such an upload is of the store does not know */
            target[0] = '\0';
        rewinddir(directory);
        for (struct dirent *file = readdir(directory); file; file = readdir(directory)) {
            if (orb_journal_is_name(file->d_name) && strncmp(file->d_name, target, strlen(target)) == 0 &&
                is_of(file->d_name, dirfd(directory), item.entry.metadata.version_id))
                uploads->journals[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
}

/* An empty directory costs one look. */
static bool holds_any(DIR *directory)
{
    struct dirent *file;
    while ((file = readdir(directory)))
        if (orb_journal_is_name(file->d_name))
            return true;
    return false;
}

static DIR *open_directory(const char *state_dir, orbit_error *error)
{
    int fd = orb_journal_directory(state_dir, false, error);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !directory) {
        (void)orb_fail_errno(error, errno, "cannot read '%s'", state_dir);
        close(fd);
    }
    return directory;
}

/* ---- a page ------------------------------------------------------------------------------------------------ */

struct fetch_task {
    struct orbit_task task;
    struct orb_call call;
    struct orbit_uploads *uploads;
    orbit_uploads_request request;
    orbit_more_reply reply;
    bool full;
    orbit_status page_status;
    struct orb_job job;
    struct orb_message message;
};

static void one(void *ctx, const orbit_upload_entry *upload)
{
    struct fetch_task *fetch = ctx;
    if (fetch->full || fetch->page_status < 0)
        return;
    orbit_entry entry = {.path = upload->path, .path_length = strlen(upload->path)};
    entry.metadata.version_id = upload->upload_id;
    entry.metadata.mtime_ns = upload->started_ns;
    orbit_status status = orbit_page_add(&fetch->uploads->page, &entry, 0);
    fetch->full = status == ORBIT_END;
    if (status < 0)
        fetch->page_status = status;
}

static void start_page(struct orb_call *call)
{
    struct fetch_task *fetch = call->ctx;
    struct orbit_uploads *uploads = fetch->uploads;
    struct orb_backend *core = &uploads->backend->core;
    orb_call_names(call, ORBIT_REQUEST_UPLOADS, uploads->prefix);
    orb_page_reset(&uploads->page);
    fetch->full = false;
    fetch->page_status = ORBIT_OK;
    fetch->reply = (orbit_more_reply){0};
    fetch->request = (orbit_uploads_request){.prefix = *uploads->prefix ? uploads->prefix : NULL,
                                             .after_path = uploads->after_path,
                                             .after_id = uploads->after_id,
                                             .each = one,
                                             .ctx = fetch};
    core->ops->uploads(core->self, &call->op.op, &fetch->request, &fetch->reply);
}

/* Where the next page begins; one that ends where this one began would go on for ever. */
static orbit_status mark(struct fetch_task *fetch, orbit_error *error)
{
    struct orbit_uploads *uploads = fetch->uploads;
    struct orb_page_cursor cursor = {0};
    struct orb_page_item item, last = {0};
    bool any = false;
    while (orb_page_next(&uploads->page, &cursor, &item)) {
        last = item;
        any = true;
    }
    uploads->more = fetch->reply.more || fetch->full;
    if (!uploads->more)
        return ORBIT_OK;
    const char *id = any && last.entry.metadata.version_id ? last.entry.metadata.version_id : "";
    if (!any || (uploads->after_path && strcmp(uploads->after_path, last.entry.path) == 0 &&
                 strcmp(uploads->after_id, id) == 0))
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the list of open uploads of '%s' does not come to an end",
                        uploads->backend->core.url);
    char *path = orb_strdup(last.entry.path), *copy = orb_strdup(id);
    orb_free(uploads->after_path);
    orb_free(uploads->after_id);
    uploads->after_path = path;
    uploads->after_id = copy;
    return path && copy ? ORBIT_OK : orb_fail_memory(error);
}

static void end_fetch(struct fetch_task *fetch, orbit_status status, const orbit_error *error)
{
    struct orbit_uploads *uploads = fetch->uploads;
    if (status < 0) {
        uploads->status = status;
        uploads->error = *error;
    }
    uploads->fetched = status >= 0;
    uploads->cursor = (struct orb_page_cursor){0};
    uploads->index = 0;
    orb_task_end(&fetch->task, status, error);
}

static void looked(struct orb_message *message)
{
    end_fetch((struct fetch_task *)((char *)message - offsetof(struct fetch_task, message)), ORBIT_OK, NULL);
}

static void look(struct orb_job *job)
{
    struct fetch_task *fetch = (struct fetch_task *)((char *)job - offsetof(struct fetch_task, job));
    orbit_error error;
    DIR *directory = open_directory(fetch->uploads->state_dir, &error); /* not there, not readable: no journals */
    if (directory && holds_any(directory))
        look_for(fetch->uploads, directory);
    if (directory)
        closedir(directory);
    orb_loop_post(fetch->task.client->loop, &fetch->message);
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *given)
{
    struct fetch_task *fetch = call->ctx;
    struct orbit_uploads *uploads = fetch->uploads;
    orbit_error error = given ? *given : (orbit_error){0};
    if (status >= 0 && (status = fetch->page_status) < 0)
        (void)orb_fail_memory(&error);
    if (status >= 0)
        status = mark(fetch, &error);
    memset(uploads->journals, 0, sizeof(uploads->journals));
    if (status >= 0 && uploads->state_dir && orbit_page_count(&uploads->page) && uploads->backend->core.ops->locate) {
        fetch->job.run = look;
        fetch->message.deliver = looked;
        orb_pool_submit(fetch->task.client->host.pool, &fetch->job);
        return;
    }
    end_fetch(fetch, status, &error);
}

static void fetch_start(struct orbit_task *task)
{
    struct fetch_task *fetch = (struct fetch_task *)task;
    fetch->call.tally = &fetch->task.tally;
    orb_call_start(&fetch->call, &fetch->uploads->backend->core, start_page, page_done, fetch);
}

static void fetch_stop(struct orbit_task *task, orbit_status status)
{
    (void)status;
    orb_call_cancel(&((struct fetch_task *)task)->call);
}

static void fetch_release(struct orbit_task *task)
{
    orb_free(task);
}

static const struct orb_task_kind fetch_kind = {"orbit_uploads_next", fetch_start, NULL, fetch_stop, fetch_release};

static struct fetch_task *fetch_new(orbit_uploads *uploads, orbit_error *error)
{
    if (!uploads || orb_backend_check(uploads->backend, "orbit_uploads_next", error) < 0) {
        if (!uploads)
            orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_uploads_fetch_start() without a list");
        return NULL;
    }
    struct fetch_task *fetch = orb_task_new(sizeof(*fetch), &fetch_kind, uploads->backend->client, error);
    if (!fetch)
        return NULL;
    fetch->uploads = uploads;
    fetch->task.holds[0] = uploads->backend;
    fetch->task.timeout_ms = uploads->timeout_ms;
    fetch->task.cancel = uploads->cancel;
    return fetch;
}

/* ---- the list ------------------------------------------------------------------------------------------------ */

orbit_status orbit_uploads_open(orbit_uploads **made, orbit_backend *backend, const char *prefix,
                                const orbit_uploads_options *given, orbit_error *error)
{
    orbit_uploads_options options = ORBIT_UPLOADS_OPTIONS_INIT;
    if (!made)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_uploads_open() without a place for the list");
    *made = NULL;
    orbit_status status = orb_backend_check(backend, "orbit_uploads_open", error);
    if (status >= 0)
        status = orb_options_take(&options, sizeof(options), given, "orbit_uploads_options", error);
    if (status >= 0 && !backend->core.ops->uploads)
        status = orb_unsupported(error, backend, "list open uploads");
    if (status < 0)
        return status;
    struct orbit_uploads *uploads = orb_calloc(1, sizeof(*uploads));
    if (!uploads)
        return orb_fail_memory(error);
    uploads->backend = backend;
    uploads->timeout_ms = options.timeout_ms;
    uploads->cancel = options.cancel;
    uploads->more = true;
    orb_page_init(&uploads->page, &backend->client->host.budget, PAGE_ENTRIES, PAGE_BYTES);
    uploads->prefix = orb_strdup(prefix ? prefix : "");
    uploads->state_dir = orb_strdup(options.state_dir);
    if (!uploads->prefix || (options.state_dir && !uploads->state_dir)) {
        orbit_uploads_close(uploads);
        return orb_fail_memory(error);
    }
    *made = uploads;
    return ORBIT_OK;
}

orbit_status orbit_uploads_try_next(orbit_uploads *uploads, orbit_open_upload *upload, orbit_error *error)
{
    struct orb_page_item item;
    if (!uploads || !upload)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_uploads_next() without a %s", uploads ? "place" : "list");
    if (uploads->status < 0) {
        orb_error_copy(error, &uploads->error);
        return uploads->status;
    }
    if (uploads->fetched && orb_page_next(&uploads->page, &uploads->cursor, &item)) {
        size_t i = uploads->index++;
        *upload =
            (orbit_open_upload){item.entry.path, item.entry.metadata.version_id ? item.entry.metadata.version_id : "",
                                item.entry.metadata.mtime_ns, (uploads->journals[i / 8] & 1u << i % 8) != 0};
        return ORBIT_OK;
    }
    return uploads->more ? ORBIT_AGAIN : ORBIT_END;
}

orbit_status orbit_uploads_next(orbit_uploads *uploads, orbit_open_upload *upload, orbit_error *error)
{
    orbit_status status;
    while ((status = orbit_uploads_try_next(uploads, upload, error)) == ORBIT_AGAIN) {
        orbit_error own = {0};
        struct fetch_task *fetch = fetch_new(uploads, &own);
        status = fetch ? orb_task_run(&fetch->task, &own) : (orbit_status)own.status;
        if (status < 0) {
            if (uploads->status >= 0) { /* it never came to the store */
                uploads->status = status;
                uploads->error = own;
            }
            orb_error_copy(error, &own);
            return status;
        }
    }
    return status;
}

orbit_status orbit_uploads_fetch_start(orbit_task **task, orbit_uploads *uploads, orbit_task_done *done, void *ctx,
                                       orbit_error *error)
{
    orbit_error own = {0};
    if (task)
        *task = NULL;
    struct fetch_task *fetch = fetch_new(uploads, &own);
    if (fetch)
        return orb_task_launch(&fetch->task, task, done, ctx, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}

void orbit_uploads_close(orbit_uploads *uploads)
{
    if (!uploads)
        return;
    orb_page_release(&uploads->page);
    orb_free(uploads->prefix);
    orb_free(uploads->state_dir);
    orb_free(uploads->after_path);
    orb_free(uploads->after_id);
    orb_free(uploads);
}

/* ---- giving one up ------------------------------------------------------------------------------------------- */

struct abort_task {
    struct orbit_task task;
    struct orb_call call;
    struct orbit_backend *backend;
    orbit_write_options options;
    char *path, *upload_id;
    orbit_begin_request request;
    orbit_begin_reply reply;
    bool stopped;
};

static void end_abort(struct abort_task *giving, orbit_status status, const orbit_error *error)
{
    struct orb_backend *core = &giving->backend->core;
    if (giving->reply.upload && core->ops->release)
        core->ops->release(core->self, giving->reply.upload);
    giving->reply.upload = NULL;
    orb_task_end(&giving->task, status, error);
}

static void start_begin(struct orb_call *call)
{
    struct abort_task *giving = call->ctx;
    struct orb_backend *core = &giving->backend->core;
    orb_call_names(call, ORBIT_REQUEST_BEGIN, giving->path);
    giving->reply = (orbit_begin_reply){0};
    giving->request =
        (orbit_begin_request){.path = giving->path, .options = &giving->options, .resume_id = giving->upload_id};
    core->ops->begin(core->self, &call->op.op, &giving->request, &giving->reply);
}

static void start_abort(struct orb_call *call)
{
    struct abort_task *giving = call->ctx;
    struct orb_backend *core = &giving->backend->core;
    orb_call_names(call, ORBIT_REQUEST_ABORT, giving->path);
    (core->ops->abort)(core->self, &call->op.op, giving->reply.upload); /* parenthesised: the plain word is banned */
}

static void abort_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    end_abort(call->ctx, status, error);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct abort_task *giving = call->ctx;
    if (status == ORBIT_E_NOT_FOUND)
        end_abort(giving, ORBIT_OK, NULL); /* gone is gone */
    else if (status < 0)
        end_abort(giving, status, error);
    else if (giving->stopped)
        end_abort(giving, ORBIT_E_CANCELLED, NULL);
    else
        orb_call_start(&giving->call, &giving->backend->core, start_abort, abort_done, giving);
}

static void abort_start(struct orbit_task *task)
{
    struct abort_task *giving = (struct abort_task *)task;
    giving->call.tally = &task->tally;
    orb_call_start(&giving->call, &giving->backend->core, start_begin, begin_done, giving);
}

static void abort_stop(struct orbit_task *task, orbit_status status)
{
    struct abort_task *giving = (struct abort_task *)task;
    (void)status;
    giving->stopped = true;
    orb_call_cancel(&giving->call);
}

static void abort_release(struct orbit_task *task)
{
    struct abort_task *giving = (struct abort_task *)task;
    orb_free(giving->path);
    orb_free(giving->upload_id);
    orb_free(giving);
}

static const struct orb_task_kind abort_kind = {"orbit_upload_abort", abort_start, NULL, abort_stop, abort_release};

static struct abort_task *abort_new(orbit_backend *backend, const char *path, const char *upload_id,
                                    const orbit_call_options *given, orbit_error *error)
{
    orbit_call_options options;
    if (orb_backend_check(backend, "orbit_upload_abort", error) < 0 ||
        orb_call_options_take(&options, given, error) < 0)
        return NULL;
    if (!path || !upload_id || !*upload_id) {
        orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_upload_abort() without a path or an id");
        return NULL;
    }
    if (!backend->core.ops->begin || !backend->core.ops->abort || !backend->core.ops->uploads) {
        orb_unsupported(error, backend, "give up an upload of another process");
        return NULL;
    }
    struct abort_task *giving = orb_task_new(sizeof(*giving), &abort_kind, backend->client, error);
    if (!giving)
        return NULL;
    giving->backend = backend;
    giving->options = (orbit_write_options)ORBIT_WRITE_OPTIONS_INIT;
    giving->path = orb_strdup(path);
    giving->upload_id = orb_strdup(upload_id);
    giving->task.holds[0] = backend;
    giving->task.timeout_ms = options.timeout_ms;
    giving->task.cancel = options.cancel;
    if (giving->path && giving->upload_id)
        return giving;
    orb_fail_memory(error);
    orb_task_discard(&giving->task);
    return NULL;
}

orbit_status orbit_upload_abort(orbit_backend *backend, const char *path, const char *upload_id,
                                const orbit_call_options *options, orbit_error *error)
{
    orbit_error own = {0};
    struct abort_task *giving = abort_new(backend, path, upload_id, options, &own);
    if (giving)
        return orb_task_run(&giving->task, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}

orbit_status orbit_upload_abort_start(orbit_task **task, orbit_backend *backend, const char *path,
                                      const char *upload_id, const orbit_call_options *options, orbit_task_done *done,
                                      void *ctx, orbit_error *error)
{
    orbit_error own = {0};
    if (task)
        *task = NULL;
    struct abort_task *giving = abort_new(backend, path, upload_id, options, &own);
    if (giving)
        return orb_task_launch(&giving->task, task, done, ctx, error);
    orb_error_copy(error, &own);
    return (orbit_status)own.status;
}

/* ---- journals -------------------------------------------------------------------------------------------------- */

struct orbit_upload_journals {
    DIR *directory; /* NULL: there is none */
    struct orb_journal journal;
    char name[64], source_store[ORB_JOURNAL_STORE_MAX];
};

orbit_status orbit_upload_journals_open(orbit_upload_journals **made, const char *state_dir, orbit_error *error)
{
    orbit_error own = {0};
    if (!made || !state_dir)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_upload_journals_open() without a directory");
    *made = NULL;
    struct orbit_upload_journals *journals = orb_calloc(1, sizeof(*journals));
    if (!journals)
        return orb_fail_memory(error);
    journals->directory = open_directory(state_dir, &own);
    if (!journals->directory && own.status != ORBIT_E_NOT_FOUND) {
        orb_free(journals);
        orb_error_copy(error, &own);
        return (orbit_status)own.status;
    }
    *made = journals;
    return ORBIT_OK;
}

orbit_status orbit_upload_journals_next(orbit_upload_journals *journals, orbit_upload_journal *out, orbit_error *error)
{
    orbit_error own;
    if (!journals || !out)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_upload_journals_next() without a place");
    *out = (orbit_upload_journal){0};
    struct dirent *file = NULL;
    while (journals->directory && (file = readdir(journals->directory))) {
        if (!orb_journal_is_name(file->d_name))
            continue;
        uint64_t sent = 0;
        orb_journal_release(&journals->journal);
        orbit_status status =
            orb_journal_look(&journals->journal, dirfd(journals->directory), file->d_name, &sent, &own);
        if (status == ORBIT_E_NOT_FOUND) /* gone meanwhile, or not yet begun */
            continue;
        (void)snprintf(journals->name, sizeof(journals->name), "%.63s", file->d_name);
        out->name = journals->name;
        if (status < 0) {
            orb_error_copy(error, &own);
            return ORBIT_ENTRY_FAILED;
        }
        const struct orb_journal *journal = &journals->journal;
        const char *elsewhere = orb_journal_elsewhere(journal);
        if (elsewhere)
            (void)snprintf(journals->source_store, sizeof(journals->source_store), "%.*s",
                           (int)(elsewhere - 1 - journal->source), journal->source);
        out->store = journal->store;
        out->path = journal->key;
        out->source = elsewhere ? elsewhere : journal->source;
        out->source_store = elsewhere ? journals->source_store : NULL;
        out->upload_id = journal->upload_id;
        out->size = journal->plan.size;
        out->sent = sent < journal->plan.size ? sent : journal->plan.size;
        out->part_bytes = journal->plan.part_bytes;
        out->started_ns = journal->plan.planned_ns;
        return ORBIT_OK;
    }
    return ORBIT_END;
}

void orbit_upload_journals_close(orbit_upload_journals *journals)
{
    if (!journals)
        return;
    orb_journal_release(&journals->journal);
    if (journals->directory)
        closedir(journals->directory);
    orb_free(journals);
}

orbit_status orbit_upload_journal_remove(const char *state_dir, const char *name, const char *upload_id,
                                         orbit_error *error)
{
    orbit_error own = {0};
    if (!state_dir || !name || !orb_journal_is_name(name) || strchr(name, '/'))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_upload_journal_remove() without the name of a journal");
    int fd = orb_journal_directory(state_dir, false, &own);
    orbit_status status = fd < 0 ? (orbit_status)own.status : ORBIT_OK;
    struct orb_journal journal = {0};
    if (fd >= 0) {
        status = orb_journal_take(&journal, fd, name, &own);
        bool same = journal.upload_id ? upload_id && strcmp(journal.upload_id, upload_id) == 0 : !upload_id;
        if (status >= 0 && !same)
            status = orb_fail(&own, ORBIT_E_CHANGED, 0, "the journal '%s' is of another upload by now", name);
        if (status >= 0)
            orb_journal_remove(&journal);
        orb_journal_release(&journal);
        close(fd);
    }
    if (status == ORBIT_E_NOT_FOUND)
        return ORBIT_OK;
    if (status < 0)
        orb_error_copy(error, &own);
    return status;
}
