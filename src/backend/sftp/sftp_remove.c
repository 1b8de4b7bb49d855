/* SPDX-License-Identifier: Apache-2.0
 * Removing a batch: all of it is asked for at once. What REMOVE does not take may be a directory: that is looked at,
 * and RMDIR follows; a name with a slash behind it is a directory at once. Loop thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/mem.h"

struct removal {
    struct orb_sftp_request request; /* first */
    orbit_remove_item *item;
    char *full;
};

struct remove_call {
    struct sftp_call call; /* first */
    const orbit_remove_request *request;
    struct removal *removals;
    size_t left;
    bool lost;
    orbit_error error;
    struct removal *unclear; /* one that failed, and the server did not say why */
};

static void remove_release(struct sftp_call *call)
{
    struct remove_call *remove = (struct remove_call *)call;
    for (size_t i = 0; remove->removals && i < remove->request->count; i++) {
        orb_sftp_forget(&remove->removals[i].request);
        orb_sftp_request_release(&remove->removals[i].request);
        orb_free(remove->removals[i].full);
    }
    orb_free(remove->removals);
}

/* A directory that could not be removed and is there still has something in it, or its disk is read-only. */
static bool is_unclear(const orbit_remove_item *item)
{
    return (item->status == ORBIT_E_IO || item->status == ORBIT_E_NOT_EMPTY) &&
           item->error.native == ORB_SFTP_STATUS_FAILURE;
}

/* What holds for one of them holds for all. */
static void explained(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    struct remove_call *remove = (struct remove_call *)call;
    (void)error;
    for (size_t i = 0; status == ORBIT_E_PERMISSION && i < remove->request->count; i++) {
        orbit_remove_item *item = &remove->request->items[i];
        if (!is_unclear(item))
            continue;
        call->what = item->path;
        item->status = sftp_fail(call, status, 0, SFTP_READ_ONLY, &item->error);
    }
    sftp_call_end(call, ORBIT_OK, NULL);
}

static void item_end(struct remove_call *remove, struct removal *removal, orbit_status status, const orbit_error *error)
{
    orbit_remove_item *item = removal->item;
    if (status == ORBIT_E_NOT_FOUND && remove->request->missing_ok)
        status = ORBIT_OK;
    item->status = status;
    if (status < 0)
        item->error = *error;
    if (is_unclear(item))
        remove->unclear = removal;
    if (--remove->left > 0)
        return;
    if (!remove->lost && remove->unclear) {
        remove->call.changes = &remove->unclear->full;
        if (sftp_why(&remove->call, ORBIT_E_IO, &remove->unclear->item->error, explained))
            return;
    }
    if (remove->lost)
        sftp_call_end(&remove->call, (orbit_status)remove->error.status, &remove->error);
    else
        sftp_call_end(&remove->call, ORBIT_OK, NULL);
}

/* The verdict on one of the batch, whose name stands in its messages. */
static orbit_status item_check(struct remove_call *remove, struct removal *removal, uint8_t type, orbit_error *error)
{
    remove->call.what = removal->item->path;
    orbit_status status = sftp_check(&remove->call, &removal->request, type, error);
    if (sftp_lost(&removal->request)) {
        remove->lost = true;
        remove->error = *error;
    }
    return status;
}

static void directory_looked(struct orb_sftp_request *request)
{
    struct remove_call *remove = (struct remove_call *)sftp_call_of(request);
    struct removal *removal = (struct removal *)request;
    orbit_error error;
    orbit_status status = item_check(remove, removal, ORB_SFTP_ATTRS, &error);
    if (status >= 0) {
        status = sftp_fail(&remove->call, ORBIT_E_NOT_EMPTY, 0, "the directory is not empty", &error);
        error.native = ORB_SFTP_STATUS_FAILURE;
    }
    item_end(remove, removal, status, &error);
}

static void directory_removed(struct orb_sftp_request *request)
{
    struct remove_call *remove = (struct remove_call *)sftp_call_of(request);
    struct removal *removal = (struct removal *)request;
    orbit_error error;
    orbit_status status = item_check(remove, removal, ORB_SFTP_STATUS, &error);
    if (status != ORBIT_E_IO) {
        item_end(remove, removal, status, &error);
        return;
    }
    orb_sftp_path(request, ORB_SFTP_LSTAT, removal->full); /* it is there still: something is in it */
    sftp_call_ask(&remove->call, request, directory_looked);
}

static void looked(struct orb_sftp_request *request)
{
    struct remove_call *remove = (struct remove_call *)sftp_call_of(request);
    struct removal *removal = (struct removal *)request;
    struct orb_sftp_attributes attributes;
    orbit_error error;
    orbit_status status = item_check(remove, removal, ORB_SFTP_ATTRS, &error);
    if (status < 0) {
        item_end(remove, removal, status, &error);
        return;
    }
    orb_sftp_get_attributes(&request->reply, &attributes);
    if (sftp_kind(&attributes) != ORBIT_KIND_DIRECTORY) {
        item_end(remove, removal, removal->item->status, &removal->item->error);
        return;
    }
    orb_sftp_path(request, ORB_SFTP_RMDIR, removal->full);
    sftp_call_ask(&remove->call, request, directory_removed);
}

static void removed(struct orb_sftp_request *request)
{
    struct remove_call *remove = (struct remove_call *)sftp_call_of(request);
    struct removal *removal = (struct removal *)request;
    orbit_error error;
    orbit_status status = item_check(remove, removal, ORB_SFTP_STATUS, &error);
    if (status >= 0 || status == ORBIT_E_NOT_FOUND || sftp_lost(request)) {
        item_end(remove, removal, status, &error);
        return;
    }
    removal->item->status = status; /* unless it is a directory */
    removal->item->error = error;
    orb_sftp_path(request, ORB_SFTP_LSTAT, removal->full);
    sftp_call_ask(&remove->call, request, looked);
}

static void remove_go(struct sftp_call *call)
{
    struct remove_call *remove = (struct remove_call *)call;
    for (size_t i = 0; i < remove->request->count; i++) {
        struct removal *removal = &remove->removals[i];
        size_t length = strlen(removal->item->path);
        bool directory = length > 1 && removal->item->path[length - 1] == '/';
        orb_sftp_path(&removal->request, directory ? ORB_SFTP_RMDIR : ORB_SFTP_REMOVE, removal->full);
        sftp_call_ask(call, &removal->request, directory ? directory_removed : removed);
    }
}

void sftp_remove(void *self, orbit_op *op, const orbit_remove_request *request)
{
    orbit_error error;
    struct remove_call *remove = sftp_call_new(self, op, sizeof(*remove), "remove",
                                               request->count ? request->items[0].path : "", remove_release);
    if (!remove)
        return;
    remove->request = request;
    remove->left = request->count;
    remove->removals = orb_calloc(request->count + 1, sizeof(*remove->removals));
    bool good = remove->removals != NULL;
    if (!good)
        orb_fail_memory(&error);
    for (size_t i = 0; good && i < request->count; i++) {
        remove->removals[i].item = &request->items[i];
        remove->removals[i].full = sftp_full_path(self, request->items[i].path, &error);
        good = remove->removals[i].full != NULL;
    }
    if (!good)
        sftp_call_end(&remove->call, (orbit_status)error.status, &error);
    else if (request->count == 0)
        sftp_call_end(&remove->call, ORBIT_OK, NULL);
    else
        sftp_call_start(&remove->call, remove_go);
}
