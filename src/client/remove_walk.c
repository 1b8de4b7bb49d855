/* SPDX-License-Identifier: Apache-2.0
 * Finds what a recursive remove removes. Where the store lists whole subtrees one listing suffices; else the
 * walk goes depth first, holding one page and one cursor a level, and a directory goes when nothing of what was
 * in it is under way any more. Symbolic links are entries like any other, never followed. Loop thread. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "client/remove.h"

#define DEEP_ENTRIES  1000u
#define DEEP_BYTES    (1u << 20)
#define LEVEL_ENTRIES 256u
#define LEVEL_BYTES   (64u << 10)

/* ---- the stack of directories ---------------------------------------------------------------------- */

static struct remove_level *top(struct remove_task *task)
{
    return task->level_count ? task->levels[task->level_count - 1] : NULL;
}

static bool make_room(struct remove_task *task)
{
    if (task->level_count < task->level_room)
        return true;
    size_t room = task->level_room ? task->level_room * 2 : 16;
    struct remove_level **levels = orb_realloc(task->levels, room * sizeof(struct remove_level *));
    if (!levels)
        return false;
    task->levels = levels;
    task->level_room = room;
    return true;
}

/* Enters the directory `name` below the top one; the first is the path itself. */
static void push(struct remove_task *task, const char *name, size_t length)
{
    orbit_error error;
    if (task->level_count == ORB_REMOVE_DEPTH || task->prefix.length + length + 1 > ORB_REMOVE_PATH_MAX) {
        orbit_status status = orb_fail(&error, ORBIT_E_LIMIT, 0, "'%.100s' lies too deep: at most %u directories", name,
                                       ORB_REMOVE_DEPTH);
        orb_remove_failed(task, status, &error);
        return;
    }
    struct remove_level *level = make_room(task) ? orb_calloc(1, sizeof(*level)) : NULL;
    if (!level || !orb_buf_append(&task->prefix, name, length)) {
        orb_free(level);
        orb_remove_fatal(task, orb_fail_memory(&error), &error);
        return;
    }
    level->path = task->prefix.length;
    if (length > 0 && name[length - 1] != '/' && !orb_buf_char(&task->prefix, '/')) {
        orb_free(level);
        orb_remove_fatal(task, orb_fail_memory(&error), &error);
        return;
    }
    level->prefix = task->prefix.length;
    level->failed_before = task->failed;
    if (task->deep) /* paid for by the reservation */
        orb_page_init(&level->page, NULL, DEEP_ENTRIES, DEEP_BYTES);
    else
        orb_page_init(&level->page, &task->backend->core.host->budget, LEVEL_ENTRIES, LEVEL_BYTES);
    task->levels[task->level_count++] = level;
}

static void pop(struct remove_task *task)
{
    struct remove_level *level = task->levels[--task->level_count];
    if (level->cursor)
        task->backend->core.ops->list_end(task->backend->core.self, level->cursor);
    orb_page_release(&level->page);
    orb_free(level);
    struct remove_level *above = top(task);
    task->prefix.length = above ? above->prefix : 0;
    if (task->prefix.bytes)
        task->prefix.bytes[task->prefix.length] = '\0';
}

void orb_walk_release(struct remove_task *task)
{
    while (task->level_count)
        pop(task);
    orb_free(task->levels);
    task->levels = NULL;
    task->level_room = 0;
    orb_free(task->list_path);
    task->list_path = NULL;
    orbit_metadata_release(&task->seen);
}

/* ---- listing --------------------------------------------------------------------------------------- */

/* A directory that cannot be listed stays; the rest goes on. The first one decides all. */
static void cannot_list(struct remove_task *task, orbit_status status, const orbit_error *error)
{
    bool gone = status == ORBIT_E_NOT_FOUND;
    if (status == ORBIT_E_CANCELLED || (task->level_count == 1 && !(gone && task->deep)))
        orb_remove_fatal(task, status, error);
    else if (!gone)
        orb_remove_failed(task, status, error);
    pop(task);
}

static void page_attempt(struct orb_call *call)
{
    struct remove_task *task = call->ctx;
    struct remove_level *level = top(task);
    const struct orb_backend *core = &task->backend->core;
    orb_page_reset(&level->page);
    orb_call_names(call, ORBIT_REQUEST_LIST, NULL);
    core->ops->list_page(core->self, &call->op.op, level->cursor, &level->page);
}

static void page_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct remove_task *task = call->ctx;
    struct remove_level *level = top(task);
    if (status < 0) {
        cannot_list(task, status, error);
    } else {
        level->at = (struct orb_page_cursor){0};
        level->more = level->page.more;
        if (!task->deep)
            orb_page_trim(&level->page);
    }
    orb_remove_step(task);
}

static void begin_attempt(struct orb_call *call)
{
    struct remove_task *task = call->ctx;
    struct remove_level *level = top(task);
    const struct orb_backend *core = &task->backend->core;
    uint32_t entries = task->deep ? DEEP_ENTRIES : LEVEL_ENTRIES;
    level->cursor = NULL;
    task->list = (orbit_list_request){
        .path = task->list_path,
        .recursive = task->deep,
        .page_entries = core->caps.page_entries < entries ? core->caps.page_entries : entries,
        .shrinks = true,
    };
    call->quiet = true;
    orb_call_names(call, ORBIT_REQUEST_LIST_BEGIN, NULL);
    core->ops->list_begin(core->self, &call->op.op, &task->list, &level->cursor);
}

static void begin_done(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct remove_task *task = call->ctx;
    orb_free(task->list_path);
    task->list_path = NULL;
    if (status < 0) {
        top(task)->cursor = NULL;
        cannot_list(task, status, error);
    } else {
        top(task)->begun = true;
        top(task)->more = true;
    }
    orb_remove_step(task);
}

static void fetch(struct remove_task *task)
{
    struct remove_level *level = top(task);
    task->call.watched = true;
    if (level->begun) {
        orb_call_start(&task->call, &task->backend->core, page_attempt, page_done, task);
        return;
    }
    /* The whole stack's first is listed under the name it was given. */
    task->list_path =
        task->level_count == 1 ? orb_strdup(task->path) : orb_strndup(orb_buf_string(&task->prefix), level->path);
    if (!task->list_path) {
        orbit_error error;
        orb_remove_fatal(task, orb_fail_memory(&error), &error);
        return;
    }
    orb_call_start(&task->call, &task->backend->core, begin_attempt, begin_done, task);
}

/* ---- going on -------------------------------------------------------------------------------------- */

/* The next entry of the page at hand goes where it belongs. False: no entry is left, or no batch has room. */
static bool take_entry(struct remove_task *task, struct remove_level *level, bool *full)
{
    struct orb_page_cursor at = level->at;
    struct orb_page_item item;
    if (!orb_page_next(&level->page, &at, &item))
        return false;
    if (item.failed) {
        orb_remove_failed(task, item.error ? (orbit_status)item.error->status : ORBIT_E_IO, item.error);
        level->at = at;
        return true;
    }
    const orbit_entry *entry = &item.entry;
    bool marker = entry->flags & ORBIT_ENTRY_MARKER;
    if (entry->metadata.kind == ORBIT_KIND_DIRECTORY && !marker && !task->deep) {
        level->at = at;
        push(task, entry->path, entry->path_length);
        return true;
    }
    struct remove_batch *batch = orb_remove_room(task, level->prefix + entry->path_length);
    if (!batch) {
        *full = true;
        return false;
    }
    level->at = at;
    orb_remove_add(task, batch, orb_buf_string(&task->prefix), level->prefix, entry->path, entry->path_length, marker);
    return true;
}

/* Everything in it was sent on its way. True: it was left, false: something of it is still under way. */
static bool leave(struct remove_task *task, const struct remove_level *level)
{
    if (!task->deep && level->path > 0) {
        orb_remove_send(task);
        if (task->busy > 0)
            return false;
        if (task->failed == level->failed_before) { /* else it is not empty */
            struct remove_batch *batch = orb_remove_room(task, level->path);
            if (batch)
                orb_remove_add(task, batch, orb_buf_string(&task->prefix), level->path, "", 0, false);
        }
    }
    pop(task);
    return true;
}

void orb_walk_step(struct remove_task *task)
{
    while (task->fatal >= 0 && orb_call_idle(&task->call)) {
        struct remove_level *level = top(task);
        bool full = false;
        if (!level) {
            task->walked = true;
            return;
        }
        if (level->begun && take_entry(task, level, &full))
            continue;
        if (full)
            return;
        if (!level->begun || level->more) {
            level->more = false;
            fetch(task);
        } else if (!leave(task, level)) {
            return;
        }
    }
}

/* ---- the beginning --------------------------------------------------------------------------------- */

/* On an object store a tree is what lies below "path/", its marker, and the object of the name itself. */
static void begin_deep(struct remove_task *task)
{
    size_t length = strlen(task->path);
    push(task, task->path, length);
    if (length == 0 || task->fatal < 0)
        return;
    bool slash = task->path[length - 1] == '/';
    struct remove_batch *batch = orb_remove_room(task, length);
    if (batch)
        orb_remove_add(task, batch, task->path, length, "", 0, false);
    batch = slash ? NULL : orb_remove_room(task, length + 1);
    if (batch)
        orb_remove_add(task, batch, task->path, length, "", 0, true);
}

static void seen(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct remove_task *task = call->ctx;
    size_t length = strlen(task->path);
    if (status == ORBIT_E_NOT_FOUND && task->options.missing_ok) {
        task->walked = true;
    } else if (status < 0) {
        orb_remove_fatal(task, status, error);
    } else if (task->seen.kind == ORBIT_KIND_DIRECTORY) {
        while (length > 0 && task->path[length - 1] == '/')
            length--;
        push(task, task->path, length);
    } else {
        struct remove_batch *batch = orb_remove_room(task, length);
        if (batch)
            orb_remove_add(task, batch, task->path, length, "", 0, false);
        task->walked = true;
    }
    orb_remove_step(task);
}

static void stat_attempt(struct orb_call *call)
{
    struct remove_task *task = call->ctx;
    const struct orb_backend *core = &task->backend->core;
    orbit_metadata_release(&task->seen);
    task->stat = (orbit_stat_request){.path = task->path};
    orb_call_names(call, ORBIT_REQUEST_STAT, task->stat.path);
    core->ops->stat(core->self, &call->op.op, &task->stat, &task->seen);
}

void orb_walk_begin(struct remove_task *task)
{
    const struct orb_backend *core = &task->backend->core;
    task->deep = core->caps.deep_list && !core->caps.hierarchical;
    if (task->deep || !core->ops->stat) {
        begin_deep(task);
        orb_remove_step(task);
        return;
    }
    task->call.watched = true;
    orb_call_start(&task->call, &task->backend->core, stat_attempt, seen, task);
}
