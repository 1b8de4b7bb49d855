/* SPDX-License-Identifier: Apache-2.0
 * Where a file is to be written: a temporary is made while what stands at the name is looked at, in one round trip.
 * A symlink there is followed first, directories on the way are made, room for what is large is looked for; or the
 * temporary of an earlier process is taken up. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "backend/sftp/sftp_write.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/temporary.h"

#define LARGE ((uint64_t)64 << 20) /* bytes for which the room is looked at before */

enum { OPEN, LOOK, LINK, SPACE, STALE = SPACE }; /* requests of a writing: nothing else is under way then */
enum { HOPS_MAX = 16 };                          /* of symlinks that the server does not resolve */

uint32_t sftp_temporary_mark(const char *name)
{
    return (uint32_t)orb_crc64nvme(0, name, strlen(name));
}

/* In the same directory, where a rename can reach it; never listed. Two writes of a file have two of them, for no
 * server says whether the other one is under way still. */
static char *name_temporary(const char *full)
{
    const char *name = orb_path_base(full);
    size_t kept = (size_t)(name - full);
    unsigned long long number = (unsigned long long)sftp_temporary_mark(name) << 32 | (orb_random_u64() & UINT32_MAX);
    size_t room = kept + ORB_TEMPORARY_LENGTH + 1;
    char *temporary = orb_malloc(room);
    if (temporary)
        (void)snprintf(temporary, room, "%.*s" ORB_TEMPORARY_FORMAT, (int)kept, full, number);
    return temporary;
}

static void open_again(struct sftp_writing *writing);

static void parents_made(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct sftp_writing *writing = &((struct sftp_write_call *)call)->writing;
    if (status >= 0) {
        open_again(writing);
        return;
    }
    writing->status = status;
    writing->error = *error;
    sftp_writing_end(writing);
}

/* The file is called `full`, which is owned and may be NULL, from here on. */
static void follow_to(struct sftp_writing *writing, char *full)
{
    if (!full) {
        writing->status = orb_fail_memory(&writing->error);
        sftp_writing_end(writing);
        return;
    }
    orb_free(writing->target->full);
    writing->target->full = full;
    open_again(writing);
}

/* Where the link says, seen from its directory: perhaps another link. */
static void link_read(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    const char *full = writing->target->full;
    struct orb_sftp_name name;
    struct orb_buf path;
    writing->left--;
    writing->status = sftp_check(writing->call, request, ORB_SFTP_NAME, &writing->error);
    uint32_t count = writing->status >= 0 ? orb_sftp_get_u32(&request->reply) : 0;
    if (writing->status < 0 || !orb_sftp_get_name(&request->reply, &count, &name)) {
        if (writing->status >= 0)
            sftp_writing_fail(writing, ORBIT_E_PROTOCOL, 0, "the server does not tell where the symlink there leads");
        sftp_writing_end(writing);
        return;
    }
    if (++writing->hops > HOPS_MAX) {
        sftp_writing_fail(writing, ORBIT_E_PATH, 0, "the symlink there leads from one to another without end");
        sftp_writing_end(writing);
        return;
    }
    orb_buf_init(&path, ORB_SFTP_TEXT_MAX);
    if (name.length && name.name[0] != '/')
        orb_buf_append(&path, full, (size_t)(orb_path_base(full) - full));
    orb_buf_append(&path, name.name, name.length);
    writing->followed = writing->made_parents = false;
    follow_to(writing, orb_buf_take(&path));
}

/* A server that cannot tell of one that leads nowhere, or in a circle, is asked link by link. */
static void real_path_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_name name;
    writing->left--;
    uint32_t count = request->type == ORB_SFTP_NAME ? orb_sftp_get_u32(&request->reply) : 0;
    if (orb_sftp_get_name(&request->reply, &count, &name)) {
        follow_to(writing, orb_strndup(name.name, name.length));
    } else if (!sftp_writing_lost(writing)) {
        orb_sftp_path(&writing->requests[LINK], ORB_SFTP_READLINK, writing->target->full);
        sftp_writing_ask(writing, &writing->requests[LINK], link_read);
    }
}

static void fail_for_room(struct sftp_writing *writing)
{
    char why[160];
    (void)snprintf(why, sizeof(why), "it has %llu MiB, and there are %llu MiB free: make room there",
                   (unsigned long long)(writing->need >> 20), (unsigned long long)(writing->room >> 20));
    sftp_writing_fail(writing, ORBIT_E_NO_SPACE, 0, why);
}

static void follow(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    writing->followed = true; /* what it leads to is replaced, not the link */
    target->elsewhere = true;
    orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_REALPATH, target->full);
    sftp_writing_ask(writing, &writing->requests[LOOK], real_path_done);
}

/* All have been answered. */
static void judge(struct sftp_writing *writing, bool stands)
{
    struct sftp_target *target = writing->target;
    uint32_t kind = !stands ? 0 : writing->link ? ORBIT_KIND_SYMLINK : sftp_kind(&target->old);
    if (stands && kind == ORBIT_KIND_DIRECTORY) {
        sftp_writing_fail(writing, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "a directory stands at the name");
    } else if (stands && !target->overwrite) {
        sftp_writing_fail(writing, ORBIT_E_EXISTS, 0, "the name is taken");
    } else if (stands && kind == ORBIT_KIND_OTHER) {
        sftp_writing_fail(writing, ORBIT_E_PATH, 0, "what stands at the name is no regular file");
    } else if (stands && kind == ORBIT_KIND_SYMLINK && !writing->followed && writing->status >= 0) {
        sftp_target_drop(target, sftp_call_session(writing->call));
        follow(writing);
        return;
    } else if ((writing->status == ORBIT_E_NOT_FOUND || writing->status == ORBIT_E_IO) && !stands &&
               target->create_parents && !writing->made_parents) {
        char *parent = sftp_parent(target->full);
        if (parent) {
            writing->made_parents = true;
            sftp_make_directories(writing->call, &writing->maker, parent, parents_made);
            orb_free(parent);
            return;
        }
    } else if (stands && kind == ORBIT_KIND_FILE) {
        target->replaces = true;
        if (writing->status == ORBIT_E_PERMISSION)
            sftp_writing_fail(
                writing, ORBIT_E_PERMISSION, 0,
                "permission denied: its directory takes no new file, and a file is replaced by a new one");
    }
    if (writing->status >= 0 && writing->room < writing->need)
        fail_for_room(writing);
    sftp_writing_end(writing);
}

/* What stands at the name is told by the end; what may not be used is out of the way. */
static void judge_resumed(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    uint32_t kind = !writing->looking ? 0 : writing->link ? ORBIT_KIND_SYMLINK : sftp_kind(&target->old);
    uint32_t stale = sftp_kind(&writing->stale);
    bool lost = writing->status == ORBIT_E_NETWORK || writing->status == ORBIT_E_TIMEOUT;
    if (writing->status >= 0 && stale == ORBIT_KIND_FILE && (writing->stale.flags & ORB_SFTP_HAS_SIZE)) {
        if (kind == ORBIT_KIND_SYMLINK && !writing->followed) {
            follow(writing);
            return;
        }
        target->replaces = kind == ORBIT_KIND_FILE;
    } else if (!lost && sftp_call_session(writing->call)) {
        if (stale == ORBIT_KIND_FILE)
            orb_sftp_remove_path(sftp_call_session(writing->call), target->temporary);
        sftp_writing_fail(writing, ORBIT_E_NOT_FOUND, 0, "its temporary file is not there any more");
    }
    sftp_writing_end(writing);
}

static void open_answered(struct sftp_writing *writing)
{
    if (--writing->left > 0)
        return;
    if (writing->target->resumed)
        judge_resumed(writing);
    else
        judge(writing, writing->looking);
}

static void open_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_handle handle;
    orbit_status status = sftp_check(writing->call, request, ORB_SFTP_HANDLE, &writing->error);
    if (status >= 0) {
        orb_sftp_get_handle(&request->reply, &handle);
        sftp_target_keep_handle(writing->target, writing->call, &handle);
    } else {
        writing->status = status;
        if (!writing->target->resumed) {
            orb_free(writing->target->temporary);
            writing->target->temporary = NULL;
        }
    }
    open_answered(writing);
}

static void look_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->looking = request->type == ORB_SFTP_ATTRS;
    if (writing->looking)
        orb_sftp_get_attributes(&request->reply, &writing->target->old);
    open_answered(writing);
}

/* Where LSTAT may have told of what a symlink leads to. */
static void link_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->link = request->type == ORB_SFTP_NAME;
    open_answered(writing);
}

/* What is kept for root counts, since that may be who writes. */
static void space_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_space space;
    if (request->type == ORB_SFTP_EXTENDED_REPLY && orb_sftp_get_space(&request->reply, &space) && space.total_bytes)
        writing->room = space.spare_bytes;
    open_answered(writing);
}

/* A symlink, a FIFO, or whatever somebody else may have put there, is not ours to write to. */
static void stale_done(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->stale = (struct orb_sftp_attributes){0};
    if (request->type == ORB_SFTP_ATTRS)
        orb_sftp_get_attributes(&request->reply, &writing->stale);
    open_answered(writing);
}

static void open_again(struct sftp_writing *writing)
{
    struct sftp_target *target = writing->target;
    writing->status = ORBIT_OK;
    writing->room = UINT64_MAX;
    writing->looking = writing->link = false;
    if (sftp_writing_lost(writing))
        return;
    const struct orb_sftp *session = sftp_call_session(writing->call);
    bool doubt = !sftp_is_openssh(session);
    bool space = !target->resumed && writing->need >= LARGE && orb_sftp_can(session, ORB_SFTP_CAN_STATVFS);
    if (!target->resumed)
        target->temporary = name_temporary(target->full);
    if (!target->temporary) {
        writing->status = orb_fail_memory(&writing->error);
        sftp_writing_end(writing);
        return;
    }
    orb_sftp_open(&writing->requests[OPEN], target->temporary,
                  target->resumed ? ORB_SFTP_OPEN_READ | ORB_SFTP_OPEN_WRITE
                                  : ORB_SFTP_OPEN_WRITE | ORB_SFTP_OPEN_CREATE | ORB_SFTP_OPEN_EXCLUSIVE,
                  NULL);
    orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_LSTAT, target->full);
    sftp_writing_ask(writing, &writing->requests[OPEN], open_done);
    sftp_writing_ask(writing, &writing->requests[LOOK], look_done);
    if (doubt) {
        orb_sftp_path(&writing->requests[LINK], ORB_SFTP_READLINK, target->full);
        sftp_writing_ask(writing, &writing->requests[LINK], link_done);
    }
    if (space) {
        sftp_ask_space(&writing->requests[SPACE], target->full);
        sftp_writing_ask(writing, &writing->requests[SPACE], space_done);
    }
    if (target->resumed) {
        orb_sftp_path(&writing->requests[STALE], ORB_SFTP_LSTAT, target->temporary);
        sftp_writing_ask(writing, &writing->requests[STALE], stale_done);
    }
}

void sftp_writing_open(struct sftp_writing *writing,
                       void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    open_again(writing);
}

void sftp_writing_take_up(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    writing->followed = false;
    open_again(writing);
}

static void reopened(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_handle handle;
    writing->left--;
    writing->status = sftp_check(writing->call, request, ORB_SFTP_HANDLE, &writing->error);
    if (writing->status >= 0) {
        orb_sftp_get_handle(&request->reply, &handle);
        sftp_target_keep_handle(writing->target, writing->call, &handle);
    } else if (writing->status == ORBIT_E_NOT_FOUND) {
        sftp_writing_fail(writing, ORBIT_E_CHANGED, 0, "somebody removed its temporary file");
    }
    sftp_writing_end(writing);
}

void sftp_writing_reopen(struct sftp_writing *writing,
                         void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    if (sftp_writing_lost(writing))
        return;
    if (sftp_target_handle(writing->target, writing->call)) {
        sftp_writing_end(writing);
        return;
    }
    orb_sftp_open(&writing->requests[OPEN], writing->target->temporary, ORB_SFTP_OPEN_WRITE, NULL);
    sftp_writing_ask(writing, &writing->requests[OPEN], reopened);
}
