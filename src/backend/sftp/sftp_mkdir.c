/* SPDX-License-Identifier: Apache-2.0
 * Directories: one, or all that are missing on the way. Status 4 says little, so what stands there is looked at. Loop
 * thread. */
#include <string.h>

#include "backend/sftp/sftp.h"
#include "base/mem.h"

/* ---- all on the way: up until one can be made, then down ------------------------------------------- */

void sftp_maker_release(struct sftp_maker *maker)
{
    orb_sftp_forget(&maker->request);
    orb_sftp_request_release(&maker->request);
    orb_free(maker->path);
    maker->path = NULL;
}

static void maker_end(struct sftp_maker *maker, orbit_status status, const orbit_error *error)
{
    maker->done(maker->call, status, error);
}

static struct sftp_maker *maker_of(struct orb_sftp_request *request)
{
    return (struct sftp_maker *)(void *)((char *)request - offsetof(struct sftp_maker, request));
}

static void made(struct orb_sftp_request *request);

static void make_here(struct sftp_maker *maker)
{
    orb_sftp_path_attributes(&maker->request, ORB_SFTP_MKDIR, maker->path, NULL);
    sftp_call_ask(maker->call, &maker->request, made);
}

/* The next component below, where there is one. */
static void go_down(struct sftp_maker *maker)
{
    size_t whole = maker->cut, at = strlen(maker->path);
    if (at == whole) {
        maker_end(maker, ORBIT_OK, NULL);
        return;
    }
    maker->path[at] = '/'; /* where it was cut */
    maker->rising = false;
    make_here(maker);
}

static void looked(struct orb_sftp_request *request)
{
    struct sftp_maker *maker = maker_of(request);
    struct orb_sftp_attributes attributes;
    orbit_error error;
    orbit_status status = sftp_check(maker->call, request, ORB_SFTP_ATTRS, &error);
    if (sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE)) { /* that is why it was to be made */
        maker_end(maker, maker->status, &maker->error);
        return;
    }
    if (status >= 0) {
        orb_sftp_get_attributes(&request->reply, &attributes);
        uint32_t kind = sftp_kind(&attributes);
        if (kind == ORBIT_KIND_DIRECTORY || kind == ORBIT_KIND_UNKNOWN) {
            go_down(maker);
            return;
        }
        status = sftp_fail(maker->call, ORBIT_E_PATH, ORBIT_ERROR_NOT_DIRECTORY,
                           "a file stands where a directory is needed", &error);
    }
    maker_end(maker, status, &error);
}

static void made(struct orb_sftp_request *request)
{
    struct sftp_maker *maker = maker_of(request);
    orbit_status status = maker->status = sftp_check(maker->call, request, ORB_SFTP_STATUS, &maker->error);
    if (status >= 0) {
        go_down(maker);
        return;
    }
    if (sftp_lost(request)) {
        maker_end(maker, status, &maker->error);
        return;
    }
    char *slash = strrchr(maker->path, '/');
    bool above = slash && slash != maker->path;
    if (status == ORBIT_E_NOT_FOUND && maker->rising && above) {
        while (slash > maker->path + 1 && slash[-1] == '/')
            slash--;
        *slash = '\0';
        make_here(maker);
        return;
    }
    orb_sftp_path(&maker->request, ORB_SFTP_STAT, maker->path);
    sftp_call_ask(maker->call, &maker->request, looked);
}

void sftp_make_directories(struct sftp_call *call, struct sftp_maker *maker, const char *full,
                           void (*done)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    orbit_error error;
    maker->call = call;
    maker->done = done;
    maker->rising = true;
    orb_free(maker->path);
    maker->path = orb_malloc(strlen(full) + 1);
    if (!maker->path) {
        orb_fail_memory(&error);
        maker_end(maker, ORBIT_E_MEMORY, &error);
        return;
    }
    size_t length = 0; /* without empty components, so that a cut is one byte */
    for (const char *from = full; *from; from++)
        if (*from != '/' || length == 0 || maker->path[length - 1] != '/')
            maker->path[length++] = *from;
    while (length > 1 && maker->path[length - 1] == '/')
        length--;
    maker->path[length] = '\0';
    maker->cut = length;
    make_here(maker);
}

/* ---- mkdir ----------------------------------------------------------------------------------------- */

struct mkdir_call {
    struct sftp_call call; /* first */
    const orbit_mkdir_request *request;
    struct orb_sftp_request make, look;
    struct sftp_maker maker;
    char *full;
    orbit_status status;
    orbit_error error;
};

static void mkdir_release(struct sftp_call *call)
{
    struct mkdir_call *mkdir = (struct mkdir_call *)call;
    orb_sftp_forget(&mkdir->make);
    orb_sftp_forget(&mkdir->look);
    orb_sftp_request_release(&mkdir->make);
    orb_sftp_request_release(&mkdir->look);
    sftp_maker_release(&mkdir->maker);
    orb_free(mkdir->full);
}

static void mkdir_looked(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct mkdir_call *mkdir = (struct mkdir_call *)call;
    if (request->type == ORB_SFTP_ATTRS)
        sftp_end_with(call, ORBIT_E_EXISTS, 0, "it exists already");
    else if (sftp_lost(request))
        (void)sftp_fine(call, request, ORB_SFTP_ATTRS);
    else
        sftp_call_end(call, mkdir->status, &mkdir->error);
}

static void mkdir_made(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct mkdir_call *mkdir = (struct mkdir_call *)call;
    mkdir->status = sftp_check(call, request, ORB_SFTP_STATUS, &mkdir->error);
    if (mkdir->status >= 0 || sftp_lost(request) || mkdir->status == ORBIT_E_NOT_FOUND) {
        sftp_call_end(call, mkdir->status, &mkdir->error);
        return;
    }
    orb_sftp_path(&mkdir->look, ORB_SFTP_LSTAT, mkdir->full);
    sftp_call_ask(call, &mkdir->look, mkdir_looked);
}

static void mkdir_all_made(struct sftp_call *call, orbit_status status, const orbit_error *error)
{
    sftp_call_end(call, status, error);
}

static void mkdir_go(struct sftp_call *call)
{
    struct mkdir_call *mkdir = (struct mkdir_call *)call;
    if (mkdir->request->parents) {
        sftp_make_directories(call, &mkdir->maker, mkdir->full, mkdir_all_made);
        return;
    }
    orb_sftp_path_attributes(&mkdir->make, ORB_SFTP_MKDIR, mkdir->full, NULL);
    sftp_call_ask(call, &mkdir->make, mkdir_made);
}

void sftp_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request)
{
    orbit_error error;
    struct mkdir_call *mkdir =
        sftp_call_new(self, op, sizeof(*mkdir), "make the directory", request->path, mkdir_release);
    if (!mkdir)
        return;
    mkdir->request = request;
    mkdir->call.changes = &mkdir->full;
    mkdir->full = sftp_full_path(self, request->path, &error);
    if (!mkdir->full)
        sftp_call_end(&mkdir->call, (orbit_status)error.status, &error);
    else
        sftp_call_start(&mkdir->call, mkdir_go);
}
