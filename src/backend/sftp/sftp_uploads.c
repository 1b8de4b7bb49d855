/* SPDX-License-Identifier: Apache-2.0
 * The unfinished uploads of one directory, or of one file in it: temporaries, which no listing shows. Which file one
 * is of its name tells to who asks for that file, and is not told otherwise: paths are then the temporaries' own.
 * Whether somebody still writes to one, a server cannot say; since when nobody did, its time does. In order of their
 * names, some at a time: what a reader finds is sorted in, and what lies behind a full page is found again by the
 * next one. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/temporary.h"

enum { PAGE = 256 };

struct found {
    char name[ORB_TEMPORARY_LENGTH + 1];
    int64_t mtime_ns;
};

struct uploads_call {
    struct sftp_call call; /* first */
    const orbit_uploads_request *request;
    orbit_more_reply *reply;
    char *full, *parent;
    bool of_file; /* in `parent`, whose temporaries are marked so: */
    char mark[sizeof(ORB_TEMPORARY_PREFIX) + 8];
    struct orb_sftp_request step;
    struct orb_sftp_handle handle;
    struct found found[PAGE];
    size_t count;
};

static void uploads_release(struct sftp_call *call)
{
    struct uploads_call *uploads = (struct uploads_call *)call;
    struct orb_sftp *session = sftp_call_session(call);
    orb_sftp_forget(&uploads->step);
    orb_sftp_request_release(&uploads->step);
    if (session && uploads->handle.length)
        orb_sftp_close_handle(session, &uploads->handle);
    orb_free(uploads->full);
    orb_free(uploads->parent);
}

/* Keeps the first ones in order. */
static void sort_in(struct uploads_call *uploads, const struct found *found)
{
    size_t at = uploads->count;
    const char *after = uploads->request->after_id;
    if ((after && strcmp(found->name, after) <= 0) || !orb_str_prefix(found->name, uploads->mark))
        return;
    while (at > 0 && strcmp(found->name, uploads->found[at - 1].name) < 0)
        at--;
    if (uploads->count == PAGE)
        uploads->reply->more = true;
    if (at == PAGE)
        return;
    size_t behind = uploads->count - at - (uploads->count == PAGE);
    memmove(&uploads->found[at + 1], &uploads->found[at], behind * sizeof(*found));
    uploads->found[at] = *found;
    uploads->count += uploads->count < PAGE;
}

static void take(struct uploads_call *uploads, struct orb_sftp_reader *reply)
{
    struct orb_sftp_name name;
    uint32_t count = orb_sftp_get_u32(reply);
    while (orb_sftp_get_name(reply, &count, &name)) {
        uint32_t kind = sftp_kind(&name.attributes);
        bool file = kind == ORBIT_KIND_FILE || kind == ORBIT_KIND_UNKNOWN;
        struct found found = {0};
        if (!file || name.length != ORB_TEMPORARY_LENGTH || !orb_begins_as_temporary(name.name, name.length))
            continue;
        memcpy(found.name, name.name, name.length);
        if (name.attributes.flags & ORB_SFTP_HAS_TIMES)
            found.mtime_ns = (int64_t)(name.attributes.mtime * ORB_S);
        sort_in(uploads, &found);
    }
}

static void tell(struct uploads_call *uploads)
{
    const char *prefix = uploads->request->prefix ? uploads->request->prefix : "";
    bool slash = !*prefix || prefix[strlen(prefix) - 1] == '/';
    struct orb_buf path;
    orb_buf_init(&path, ORB_SFTP_TEXT_MAX);
    for (size_t i = 0; i < uploads->count && !path.failed; i++) {
        const struct found *found = &uploads->found[i];
        orb_buf_reset(&path);
        orb_buf_text(&path, prefix);
        if (!uploads->of_file)
            orb_buf_format(&path, "%s%s", slash ? "" : "/", found->name);
        const orbit_upload_entry entry = {orb_buf_string(&path), found->name, found->mtime_ns};
        if (!path.failed)
            uploads->request->each(uploads->request->ctx, &entry);
    }
    bool failed = path.failed;
    orb_buf_release(&path);
    sftp_call_end(&uploads->call, failed ? ORBIT_E_MEMORY : ORBIT_OK, NULL);
}

static void names_came(struct orb_sftp_request *request);

static void read_on(struct uploads_call *uploads)
{
    orb_sftp_on_handle(&uploads->step, ORB_SFTP_READDIR, &uploads->handle);
    sftp_call_ask(&uploads->call, &uploads->step, names_came);
}

static void names_came(struct orb_sftp_request *request)
{
    struct uploads_call *uploads = (struct uploads_call *)sftp_call_of(request);
    if (sftp_is_status(request, ORB_SFTP_STATUS_EOF)) {
        tell(uploads);
    } else if (sftp_fine(&uploads->call, request, ORB_SFTP_NAME)) {
        take(uploads, &request->reply);
        read_on(uploads);
    }
}

static void opened(struct orb_sftp_request *request)
{
    struct uploads_call *uploads = (struct uploads_call *)sftp_call_of(request);
    if (request->type == ORB_SFTP_STATUS && !uploads->of_file &&
        uploads->parent) { /* no directory: a file, or to be one */
        uploads->of_file = true;
        (void)snprintf(uploads->mark, sizeof(uploads->mark), ORB_TEMPORARY_PREFIX "%08x",
                       (unsigned)sftp_temporary_mark(orb_path_base(uploads->full)));
        orb_sftp_path(&uploads->step, ORB_SFTP_OPENDIR, uploads->parent);
        sftp_call_ask(&uploads->call, &uploads->step, opened);
    } else if (sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE)) {
        tell(uploads); /* nothing is in what is not there */
    } else if (sftp_fine(&uploads->call, request, ORB_SFTP_HANDLE)) {
        orb_sftp_get_handle(&request->reply, &uploads->handle);
        read_on(uploads);
    }
}

static void uploads_go(struct sftp_call *call)
{
    struct uploads_call *uploads = (struct uploads_call *)call;
    orb_sftp_path(&uploads->step, ORB_SFTP_OPENDIR, uploads->full);
    sftp_call_ask(call, &uploads->step, opened);
}

void sftp_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply)
{
    const char *prefix = request->prefix ? request->prefix : "";
    size_t length = strlen(prefix);
    orbit_error error;
    struct uploads_call *uploads =
        sftp_call_new(self, op, sizeof(*uploads), "look for unfinished uploads in", prefix, uploads_release);
    if (!uploads)
        return;
    uploads->request = request;
    uploads->reply = reply;
    reply->more = false;
    uploads->full = sftp_full_path(self, prefix, &error);
    if (uploads->full && length > 0 && prefix[length - 1] != '/') {
        uploads->parent = sftp_parent(uploads->full);
        if (!uploads->parent) /* the home directory */
            uploads->parent = orb_strdup(".");
    }
    if (uploads->full)
        sftp_call_start(&uploads->call, uploads_go);
    else
        sftp_call_end(&uploads->call, (orbit_status)error.status, &error);
}
