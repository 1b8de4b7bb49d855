/* SPDX-License-Identifier: Apache-2.0
 * The scripted backend. Everything it does is done on the loop, at once, or never until it is cancelled. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void copy_text(char *to, size_t room, const char *from)
{
    snprintf(to, room, "%s", from);
}

/* ---- names ----------------------------------------------------------------------------------------- */

void script_add(struct script *script, const char *name)
{
    assert_true(script->name_count < SCRIPT_NAMES);
    script->names[script->name_count++] = strdup(name);
}

static size_t find(const struct script *script, const char *name)
{
    size_t i = 0;
    while (i < script->name_count && strcmp(script->names[i], name) != 0)
        i++;
    return i;
}

bool script_has(const struct script *script, const char *name)
{
    return find(script, name) < script->name_count;
}

static void forget(struct script *script, size_t i)
{
    free(script->names[i]);
    memmove(&script->names[i], &script->names[i + 1], (script->name_count - i - 1) * sizeof(char *));
    script->name_count--;
}

void script_release(struct script *script)
{
    while (script->name_count)
        forget(script, script->name_count - 1);
}

static bool below(const char *name, const char *path)
{
    size_t length = strlen(path);
    return length == 0 || (!strncmp(name, path, length) && (name[length] == '/' || path[length - 1] == '/'));
}

/* ---- life ------------------------------------------------------------------------------------------ */

static orbit_status script_open_op(void **self, orbit_host *host, const orbit_open_request *request,
                                   orbit_capabilities *capabilities, orbit_error *error)
{
    struct script *script = request->ctx;
    orbit_host_log(host, ORBIT_LOG_DEBUG, "script opens");
    copy_text(script->seen_url, sizeof(script->seen_url), request->url);
    copy_text(script->seen_authority, sizeof(script->seen_authority), request->authority);
    copy_text(script->seen_path, sizeof(script->seen_path), request->path);
    script->seen_settings[0] = '\0';
    for (size_t i = 0; i < request->setting_count; i++) {
        size_t at = strlen(script->seen_settings);
        snprintf(script->seen_settings + at, sizeof(script->seen_settings) - at, "%s=%s;", request->settings[i].name,
                 request->settings[i].value);
        if (!strcmp(request->settings[i].name, "refuse"))
            return orbit_error_set(error, ORBIT_E_CONFIG, 0, "refused as it was asked");
    }
    size_t size = capabilities->size;
    *capabilities = script->capabilities;
    capabilities->size = size;
    script->opens++;
    *self = script;
    return ORBIT_OK;
}

static void script_close(void *self, orbit_op *op)
{
    ((struct script *)self)->closes++;
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_cancel(void *self, orbit_op *op)
{
    struct script *script = self;
    script->cancels++;
    for (size_t i = 0; i < 16; i++) {
        if (script->hung[i] != op)
            continue;
        script->hung[i] = NULL;
        script->hanging--;
        orbit_op_done(op, ORBIT_E_CANCELLED, NULL);
        return;
    }
}

/* The step of this attempt: true when the operation may do its work now; else it was ended, or hangs. */
static bool play(struct script *script, orbit_op *op)
{
    size_t attempt = script->attempts++;
    if (attempt >= script->step_count)
        return true;
    const struct script_step *step = &script->steps[attempt];
    if (step->hang) {
        size_t i = 0;
        while (i < 16 && script->hung[i])
            i++;
        script->hung[i] = op;
        script->hanging++;
        return false;
    }
    if (step->status >= 0)
        return true;
    orbit_error error = {.status = step->status, .flags = step->flags, .retry_after_ms = step->retry_after_ms};
    snprintf(error.message, sizeof(error.message), "attempt %zu fails", attempt + 1);
    orbit_op_done(op, step->status, &error);
    return false;
}

/* ---- operations ------------------------------------------------------------------------------------ */

static void script_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply)
{
    struct script *script = self;
    if (!play(script, op))
        return;
    reply->fields = ORBIT_HAS_SIZE;
    reply->size = script->size;
    reply->kind = ORBIT_KIND_FILE;
    reply->etag = orbit_metadata_keep(reply, "etag", 4);
    if (script->name_count > 0) {
        bool directory = false;
        for (size_t i = 0; i < script->name_count; i++)
            directory =
                directory || (below(script->names[i], request->path) && strcmp(script->names[i], request->path) != 0);
        if (directory)
            reply->kind = ORBIT_KIND_DIRECTORY;
        else if (!script_has(script, request->path)) {
            orbit_op_done(op, ORBIT_E_NOT_FOUND, NULL);
            return;
        }
    }
    orbit_op_done(op, ORBIT_OK, NULL);
}

struct cursor {
    char path[1024];
    char after[1100]; /* the last entry that was told */
    bool recursive;
};

static void script_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **cursor)
{
    struct script *script = self;
    if (!play(script, op))
        return;
    struct cursor *made = calloc(1, sizeof(*made));
    copy_text(made->path, sizeof(made->path), request->path);
    made->recursive = request->recursive;
    script->list_cursors++;
    *cursor = made;
    orbit_op_done(op, ORBIT_OK, NULL);
}

/* The smallest entry after `after`, looked for anew each time: removals between the pages do not matter. */
static bool next_entry(const struct script *script, const struct cursor *cursor, char *entry, bool *directory)
{
    size_t prefix = strlen(cursor->path);
    bool found = false;
    for (size_t i = 0; i < script->name_count; i++) {
        const char *name = script->names[i];
        if (!below(name, cursor->path))
            continue;
        const char *rest = name + prefix;
        rest += prefix > 0 && cursor->path[prefix - 1] != '/' ? 1 : 0;
        char this[1024];
        const char *slash = strchr(rest, '/');
        bool is_directory = slash && !cursor->recursive;
        copy_text(this, sizeof(this), rest);
        if (is_directory)
            this[slash - rest] = '\0';
        if (!this[0] || strcmp(this, cursor->after) <= 0 || (found && strcmp(this, entry) >= 0))
            continue;
        copy_text(entry, 1024, this);
        *directory = is_directory;
        found = true;
    }
    return found;
}

static void script_list_page(void *self, orbit_op *op, void *opaque, orbit_page *page)
{
    struct script *script = self;
    struct cursor *cursor = opaque;
    if (!play(script, op))
        return;
    char name[1024];
    bool directory = false;
    orbit_status status = ORBIT_OK;
    while (next_entry(script, cursor, name, &directory)) {
        orbit_entry entry = {.path = name, .path_length = strlen(name), .depth = 1};
        if (cursor->recursive && entry.path_length && name[entry.path_length - 1] == '/') {
            entry.flags = ORBIT_ENTRY_MARKER;
            name[--entry.path_length] = '\0';
            directory = true;
        }
        entry.metadata.kind = directory ? ORBIT_KIND_DIRECTORY : ORBIT_KIND_FILE;
        if (orbit_page_count(page) == 7 || (status = orbit_page_add(page, &entry, 0)) == ORBIT_END) {
            orbit_page_more(page, true);
            status = ORBIT_OK;
            break;
        }
        if (status < 0)
            break;
        snprintf(cursor->after, sizeof(cursor->after), "%s%s", name, entry.flags ? "/" : "");
    }
    orbit_op_done(op, status, NULL);
}

static void script_list_end(void *self, void *cursor)
{
    ((struct script *)self)->list_cursors--;
    free(cursor);
}

static void remove_one(struct script *script, orbit_remove_item *item, bool hierarchical)
{
    if (script->stuck && !strcmp(script->stuck, item->path)) {
        item->status = orbit_error_set(&item->error, ORBIT_E_PERMISSION, 0, "'%s' is stuck", item->path);
        return;
    }
    if (script->flaky && !strcmp(script->flaky, item->path)) {
        script->flaky = NULL;
        item->status = orbit_error_set(&item->error, ORBIT_E_BUSY, 0, "'%s' is busy", item->path);
        item->error.flags = ORBIT_ERROR_RETRIABLE;
        return;
    }
    size_t i = find(script, item->path);
    char marker[4096];
    snprintf(marker, sizeof(marker), "%s/", item->path);
    if (i == script->name_count && hierarchical) /* a directory, empty or not there any more */
        i = find(script, marker);
    for (size_t k = 0; hierarchical && k < script->name_count; k++)
        if (k != i && below(script->names[k], marker)) {
            item->status = orbit_error_set(&item->error, ORBIT_E_NOT_EMPTY, 0, "'%s' is not empty", item->path);
            return;
        }
    if (i < script->name_count)
        forget(script, i);
    else if (!script->capabilities.deep_list)
        item->status = orbit_error_set(&item->error, ORBIT_E_NOT_FOUND, 0, "'%s' is not there", item->path);
}

static void script_remove(void *self, orbit_op *op, const orbit_remove_request *request)
{
    struct script *script = self;
    if (!play(script, op))
        return;
    script->removes++;
    if (request->count > script->largest_batch)
        script->largest_batch = request->count;
    for (size_t i = 0; i < request->count; i++)
        remove_one(script, &request->items[i], script->capabilities.hierarchical);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request)
{
    (void)request;
    if (play(self, op))
        orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_rename(void *self, orbit_op *op, const orbit_rename_request *request)
{
    (void)request;
    if (play(self, op))
        orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply)
{
    struct script *script = self;
    (void)reply;
    if (!play(script, op))
        return;
    copy_text(script->copied_from, sizeof(script->copied_from), request->from);
    copy_text(script->copied_to, sizeof(script->copied_to), request->to);
    if (!request->options->overwrite && script_has(script, request->to)) {
        orbit_op_done(op, ORBIT_E_EXISTS, NULL);
        return;
    }
    if (!script_has(script, request->to))
        script_add(script, request->to);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_xattr_get(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    if (!play(self, op))
        return;
    *request->length = 5;
    if (request->room < 5) {
        orbit_op_done(op, ORBIT_E_LIMIT, NULL);
        return;
    }
    memcpy(request->buffer, "value", 5);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_xattr_set(void *self, orbit_op *op, const orbit_xattr_set_request *request)
{
    (void)request;
    if (play(self, op))
        orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_readlink(void *self, orbit_op *op, const orbit_bytes_request *request)
{
    if (!play(self, op))
        return;
    *request->length = 6;
    if (request->room < 6) {
        orbit_op_done(op, ORBIT_E_LIMIT, NULL);
        return;
    }
    memcpy(request->buffer, "target", 6);
    orbit_op_done(op, ORBIT_OK, NULL);
}

static void script_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply)
{
    (void)path;
    if (!play(self, op))
        return;
    *reply = (orbit_space_reply){.free_bytes = 10, .total_bytes = 20};
    orbit_op_done(op, ORBIT_OK, NULL);
}

const orbit_backend_ops script_ops = {.size = sizeof(orbit_backend_ops),
                                      .name = "script",
                                      .open = script_open_op,
                                      .close = script_close,
                                      .cancel = script_cancel,
                                      .stat = script_stat,
                                      .list_begin = script_list_begin,
                                      .list_page = script_list_page,
                                      .list_end = script_list_end,
                                      .remove = script_remove,
                                      .mkdir = script_mkdir,
                                      .rename = script_rename,
                                      .copy = script_copy,
                                      .readlink = script_readlink,
                                      .xattr_get = script_xattr_get,
                                      .xattr_set = script_xattr_set,
                                      .space = script_space};

const orbit_backend_ops script_poor_ops = {.size = sizeof(orbit_backend_ops),
                                           .name = "script",
                                           .open = script_open_op,
                                           .cancel = script_cancel,
                                           .stat = script_stat,
                                           .list_begin = script_list_begin,
                                           .list_page = script_list_page,
                                           .list_end = script_list_end,
                                           .remove = script_remove,
                                           .copy = script_copy};

void script_open(struct script *script, const orbit_client_options *client_options, const orbit_open_options *options,
                 orbit_client **client, orbit_backend **backend)
{
    orbit_error error;
    assert_int_equal(orbit_client_open(client, client_options, &error), ORBIT_OK);
    assert_int_equal(orbit_register(*client, "script", &script_ops, script, &error), ORBIT_OK);
    assert_int_equal(orbit_register(*client, "poor", &script_poor_ops, script, &error), ORBIT_OK);
    assert_int_equal(orbit_open(backend, *client, "script://here", options, &error), ORBIT_OK);
}
