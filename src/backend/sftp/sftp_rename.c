/* SPDX-License-Identifier: Apache-2.0
 * Renaming. Replacing is posix-rename@openssh.com; where a server has none, the target is removed and the name is
 * free for the time of one round trip. Not replacing is the plain RENAME, which the draft lets fail on a name that
 * is taken. What a failure means is looked up, never read from its text. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/mem.h"

struct rename_call {
    struct sftp_call call; /* first */
    const orbit_rename_request *request;
    char *from, *to;
    struct orb_sftp_request look, move, look_to, clear;
    struct sftp_maker maker;
    bool made_parents, cleared, onto_directory;
    orbit_status status;
    orbit_error error;
};

static void rename_release(struct sftp_call *call)
{
    struct rename_call *rename = (struct rename_call *)call;
    struct orb_sftp_request *requests[] = {&rename->look, &rename->move, &rename->look_to, &rename->clear};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        orb_sftp_forget(requests[i]);
        orb_sftp_request_release(requests[i]);
    }
    sftp_maker_release(&rename->maker);
    orb_free(rename->from);
    orb_free(rename->to);
}

static void move(struct rename_call *rename);

static void parents_made(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    if (status < 0)
        sftp_call_end(call, status, error);
    else
        move((struct rename_call *)call);
}

/* It is in the way, and to be replaced. */
static void cleared(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    if (sftp_fine(call, request, ORB_SFTP_STATUS))
        move((struct rename_call *)call);
}

/* It did not go, and something stands at the new name. */
static void judge(struct rename_call *rename)
{
    struct sftp_call *call = &rename->call;
    bool plain = !sftp_store_can(call->store, ORB_SFTP_CAN_POSIX_RENAME);
    if (!rename->request->overwrite) {
        sftp_end_with(call, ORBIT_E_EXISTS, 0, "the new name is taken");
    } else if (plain && !rename->cleared) {
        rename->cleared = true;
        orb_sftp_path(&rename->clear, rename->onto_directory ? ORB_SFTP_RMDIR : ORB_SFTP_REMOVE, rename->to);
        sftp_call_ask(call, &rename->clear, cleared);
    } else if (rename->onto_directory) {
        sftp_end_with(call, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY, "a directory stands at the new name");
    } else {
        sftp_call_end(call, rename->status, &rename->error);
    }
}

/* An earlier request, whose reply was lost, may have been done just now: what it gave the new name is not cleared
 * away. */
static void looked_again(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct rename_call *rename = (struct rename_call *)call;
    if (rename->request->resolve && sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE))
        sftp_call_end(call, ORBIT_OK, NULL);
    else if (sftp_fine(call, request, ORB_SFTP_ATTRS))
        judge(rename);
}

static void looked_to(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct rename_call *rename = (struct rename_call *)call;
    struct orb_sftp_attributes attributes;
    char *parent = NULL;
    if (request->type == ORB_SFTP_ATTRS) {
        orb_sftp_get_attributes(&request->reply, &attributes);
        rename->onto_directory = sftp_kind(&attributes) == ORBIT_KIND_DIRECTORY;
        orb_sftp_path(&rename->look, ORB_SFTP_LSTAT, rename->from);
        sftp_call_ask(call, &rename->look, looked_again);
    } else if (sftp_lost(request)) {
        (void)sftp_fine(call, request, ORB_SFTP_ATTRS);
    } else if (rename->request->create_parents && !rename->made_parents && (parent = sftp_parent(rename->to))) {
        rename->made_parents = true;
        sftp_make_directories(call, &rename->maker, parent, parents_made);
    } else {
        sftp_call_end(call, rename->status, &rename->error);
    }
    orb_free(parent);
}

static void moved(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct rename_call *rename = (struct rename_call *)call;
    rename->status = sftp_check(call, request, ORB_SFTP_STATUS, &rename->error);
    if (sftp_lost(request))
        rename->error.flags |= ORBIT_ERROR_MAYBE_DONE;
    if (rename->status >= 0 || sftp_lost(request)) {
        sftp_call_end(call, rename->status, &rename->error);
        return;
    }
    orb_sftp_path(&rename->look_to, ORB_SFTP_LSTAT, rename->to);
    sftp_call_ask(call, &rename->look_to, looked_to);
}

static void move(struct rename_call *rename)
{
    struct sftp_call *call = &rename->call;
    if (rename->request->overwrite && orb_sftp_can(sftp_call_session(call), ORB_SFTP_CAN_POSIX_RENAME))
        orb_sftp_extended_paths(&rename->move, ORB_SFTP_CAN_POSIX_RENAME, rename->from, rename->to);
    else
        orb_sftp_paths(&rename->move, ORB_SFTP_RENAME, rename->from, rename->to);
    sftp_call_ask(call, &rename->move, moved);
}

/* It was here before a reply was lost, and is not any more. */
static void resolved(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    if (sftp_fine(call, request, ORB_SFTP_ATTRS))
        sftp_call_end(call, ORBIT_OK, NULL);
}

/* What is not there cannot be in the way of itself, and nothing is cleared away for it. */
static void looked_from(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct rename_call *rename = (struct rename_call *)call;
    if (rename->request->resolve && sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE)) {
        orb_sftp_path(&rename->look_to, ORB_SFTP_LSTAT, rename->to);
        sftp_call_ask(call, &rename->look_to, resolved);
        return;
    }
    if (!sftp_fine(call, request, ORB_SFTP_ATTRS))
        return;
    if (strcmp(rename->from, rename->to) == 0)
        sftp_call_end(call, ORBIT_OK, NULL);
    else
        move(rename);
}

static void rename_go(struct sftp_call *call)
{
    struct rename_call *rename = (struct rename_call *)call;
    orb_sftp_path(&rename->look, ORB_SFTP_LSTAT, rename->from);
    sftp_call_ask(call, &rename->look, looked_from);
}

void sftp_rename(void *self, orbit_op *op, const orbit_rename_request *request)
{
    orbit_error error;
    struct rename_call *rename = sftp_call_new(self, op, sizeof(*rename), "rename", request->from, rename_release);
    if (!rename)
        return;
    rename->request = request;
    rename->call.changes = &rename->to;
    rename->from = sftp_full_path(self, request->from, &error);
    if (rename->from)
        rename->to = sftp_full_path(self, request->to, &error);
    if (!rename->to)
        sftp_call_end(&rename->call, (orbit_status)error.status, &error);
    else
        sftp_call_start(&rename->call, rename_go);
}
