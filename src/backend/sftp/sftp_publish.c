/* SPDX-License-Identifier: Apache-2.0
 * The name of a file that is whole: a rename that replaces, a link where nothing may be replaced, and what becomes
 * of them on servers that have neither. A rename whose reply was lost may have been done: then a look decides. Loop
 * thread. */
#include "backend/sftp/sftp_write.h"

enum { MOVE, LOOK, CLEAR, LOOK_TEMPORARY }; /* requests of a writing: nothing else is under way then */

static void publish_move(struct sftp_writing *writing, bool link);

static void published(struct sftp_writing *writing)
{
    writing->status = ORBIT_OK;
    writing->target->published = true;
    sftp_writing_end(writing);
}

static void cleared(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->left--;
    orbit_status status = sftp_check(writing->call, request, ORB_SFTP_STATUS, &writing->error);
    if (status < 0 && status != ORBIT_E_NOT_FOUND) {
        writing->status = status;
        sftp_writing_end(writing);
    } else {
        publish_move(writing, false);
    }
}

static void publish_looked(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct sftp_target *target = writing->target;
    struct orb_sftp_attributes there;
    writing->left--;
    if (request->type == ORB_SFTP_ATTRS) {
        orb_sftp_get_attributes(&request->reply, &there);
        bool directory = sftp_kind(&there) == ORBIT_KIND_DIRECTORY;
        if (!target->overwrite) {
            sftp_writing_fail(writing, ORBIT_E_EXISTS, 0, "the name is taken");
        } else if (directory) {
            sftp_writing_fail(writing, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "a directory stands at the name");
        } else if (!writing->cleared) { /* a server that cannot replace: the name is free for a moment */
            writing->cleared = true;
            orb_sftp_path(&writing->requests[CLEAR], ORB_SFTP_REMOVE, target->full);
            sftp_writing_ask(writing, &writing->requests[CLEAR], cleared);
            return;
        }
    } else if (sftp_lost(request)) {
        writing->status = sftp_check(writing->call, request, ORB_SFTP_ATTRS, &writing->error);
    } else if (!target->overwrite && !writing->cleared && sftp_call_session(writing->call)) {
        writing->cleared = true; /* a file system without hard links */
        publish_move(writing, false);
        return;
    }
    sftp_writing_end(writing);
}

static void linked_removed(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->left--;
    published(writing);
}

static void publish_lost(struct sftp_writing *writing);

static void publish_moved(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct sftp_target *target = writing->target;
    struct orb_sftp *session = sftp_call_session(writing->call);
    writing->left--;
    writing->status = sftp_check(writing->call, request, ORB_SFTP_STATUS, &writing->error);
    if (writing->status >= 0 && writing->looking && session) {
        orb_sftp_path(&writing->requests[CLEAR], ORB_SFTP_REMOVE, target->temporary);
        sftp_writing_ask(writing, &writing->requests[CLEAR], linked_removed);
    } else if (writing->status >= 0) {
        published(writing);
    } else if (sftp_lost(request)) {
        publish_lost(writing);
    } else {
        orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_LSTAT, target->full);
        sftp_writing_ask(writing, &writing->requests[LOOK], publish_looked);
    }
}

static void publish_move(struct sftp_writing *writing, bool link)
{
    struct sftp_target *target = writing->target;
    if (sftp_writing_lost(writing))
        return;
    struct orb_sftp *session = sftp_call_session(writing->call);
    struct orb_sftp_request *request = &writing->requests[MOVE];
    writing->looking = !target->overwrite && link && orb_sftp_can(session, ORB_SFTP_CAN_HARDLINK);
    if (writing->looking)
        orb_sftp_extended_paths(request, ORB_SFTP_CAN_HARDLINK, target->temporary, target->full);
    else if (target->overwrite && orb_sftp_can(session, ORB_SFTP_CAN_POSIX_RENAME))
        orb_sftp_extended_paths(request, ORB_SFTP_CAN_POSIX_RENAME, target->temporary, target->full);
    else
        orb_sftp_paths(request, ORB_SFTP_RENAME, target->temporary, target->full);
    sftp_writing_ask(writing, request, publish_moved);
}

void sftp_writing_publish(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    writing->cleared = false;
    publish_move(writing, true);
}

/* ---- when a reply was lost ------------------------------------------------------------------------- */

static void resolve_end(struct sftp_writing *writing, bool there)
{
    if (there) {
        published(writing);
    } else if (writing->resolving) { /* for a rename that was lost: that is told */
        writing->resolving = false;
        sftp_writing_end(writing);
    } else {
        writing->status = ORBIT_AGAIN;
        sftp_writing_end(writing);
    }
}

static void final_looked(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    struct orb_sftp_attributes there = {0};
    writing->left--;
    if (request->type == ORB_SFTP_ATTRS)
        orb_sftp_get_attributes(&request->reply, &there);
    bool same = (there.flags & ORB_SFTP_HAS_SIZE) && there.size == writing->size;
    if (same)
        sftp_describe(&writing->target->result, &there);
    resolve_end(writing, same);
}

/* Nobody but us takes the temporary away: where it is not, it was renamed. */
static void temporary_looked(struct orb_sftp_request *request)
{
    struct sftp_writing *writing = sftp_writing_of(request);
    writing->left--;
    if (!sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE)) {
        resolve_end(writing, false);
        return;
    }
    writing->target->result = (orbit_metadata)ORBIT_METADATA_INIT;
    orb_sftp_path(&writing->requests[LOOK], ORB_SFTP_LSTAT, writing->target->full);
    sftp_writing_ask(writing, &writing->requests[LOOK], final_looked);
}

static void resolve(struct sftp_writing *writing)
{
    orb_sftp_path(&writing->requests[LOOK_TEMPORARY], ORB_SFTP_LSTAT, writing->target->temporary);
    sftp_writing_ask(writing, &writing->requests[LOOK_TEMPORARY], temporary_looked);
}

void sftp_writing_resolve(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    sftp_writing_begin(writing, then);
    if (!sftp_writing_lost(writing))
        resolve(writing);
}

static void lost_go(struct sftp_call *call)
{
    resolve(&((struct sftp_write_call *)call)->writing);
}

/* The rename may have been done, or not: asked of another session. */
static void publish_lost(struct sftp_writing *writing)
{
    writing->error.flags |= ORBIT_ERROR_MAYBE_DONE;
    if (writing->resolving) {
        sftp_writing_end(writing);
        return;
    }
    writing->resolving = true;
    sftp_call_leave(writing->call);
    sftp_call_start(writing->call, lost_go);
}
