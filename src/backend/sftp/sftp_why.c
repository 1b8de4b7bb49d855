/* SPDX-License-Identifier: Apache-2.0
 * Why a server failed that gives no reason: version 3 has one status for a full disk, a quota, a read-only file
 * system and much else. The file system is asked (statvfs@openssh.com); texts of servers decide nothing. Loop
 * thread. */
#include <stdio.h>
#include <strings.h>

#include "backend/sftp/sftp.h"
#include "base/mem.h"

#define LITTLE ((uint64_t)1 << 20) /* bytes: a write that was refused did not fit in what is left */

struct sftp_why {
    struct orb_sftp_request request; /* first */
    struct sftp_call *call;
    char *full; /* whose directory is asked about */
    void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error);
    orbit_status status;
    orbit_error error;
};

static void conclude(struct sftp_why *why, orbit_status status, const char *reason)
{
    why->status = sftp_fail(why->call, status, 0, reason, &why->error);
    why->error.native = ORB_SFTP_STATUS_FAILURE;
}

static void judge(struct sftp_why *why, const struct orb_sftp_space *space)
{
    bool refused = why->call->refused, told = space->total_bytes > 0;
    char reason[320];
    if (space->read_only) {
        conclude(why, ORBIT_E_PERMISSION, SFTP_READ_ONLY);
    } else if (told && (space->free_bytes == 0 || (refused && space->free_bytes < LITTLE))) {
        (void)snprintf(reason, sizeof(reason), "its disk is full: make room there (%llu bytes are free)",
                       (unsigned long long)space->free_bytes);
        conclude(why, ORBIT_E_NO_SPACE, reason);
    } else if (space->files > 0 && space->free_files == 0) {
        conclude(why, ORBIT_E_NO_SPACE, "its disk has no room for another file: remove some there");
    } else if (told && refused) {
        const char *said = why->call->said;
        bool says = *said && strcasecmp(said, "failure") != 0; /* more than that it failed */
        (void)snprintf(reason, sizeof(reason),
                       "it takes no more bytes although %llu MiB are free%s%s%s: a quota, or a limit on the size of "
                       "files, is probably used up there",
                       (unsigned long long)(space->free_bytes >> 20), says ? " and says '" : "", says ? said : "",
                       says ? "'" : "");
        conclude(why, ORBIT_E_QUOTA, reason);
    }
}

static bool go_up(struct sftp_why *why)
{
    char *parent = sftp_parent(why->full);
    if (!parent)
        return false;
    orb_free(why->full);
    why->full = parent;
    return true;
}

static void told(struct orb_sftp_request *request);

static void ask(struct sftp_why *why)
{
    sftp_ask_space(&why->request, why->full);
    why->request.done = told;
    orb_sftp_start(sftp_call_session(why->call), &why->request);
}

static void told(struct orb_sftp_request *request)
{
    struct sftp_why *why = (struct sftp_why *)request;
    struct orb_sftp_space space;
    if (sftp_is_status(request, ORB_SFTP_STATUS_NO_SUCH_FILE) && sftp_call_session(why->call) && go_up(why)) {
        ask(why);
        return;
    }
    if (request->type == ORB_SFTP_EXTENDED_REPLY && orb_sftp_get_space(&request->reply, &space))
        judge(why, &space);
    why->then(why->call, why->status, &why->error);
}

bool sftp_why(struct sftp_call *call, orbit_status status, const orbit_error *error,
              void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error))
{
    struct orb_sftp *session = sftp_call_session(call);
    if (call->why || !call->changes || status != ORBIT_E_IO || !error || error->native != ORB_SFTP_STATUS_FAILURE ||
        !session || !orb_sftp_can(session, ORB_SFTP_CAN_STATVFS))
        return false;
    struct sftp_why *why = orb_calloc(1, sizeof(*why));
    if (why)
        why->full = orb_strdup(*call->changes);
    if (!why || !why->full) {
        orb_free(why);
        return false;
    }
    call->why = why;
    why->call = call;
    why->then = then;
    why->status = status;
    why->error = *error;
    ask(why);
    return true;
}

void sftp_why_end(struct sftp_call *call)
{
    if (!call->why)
        return;
    orb_sftp_forget(&call->why->request);
    orb_sftp_request_release(&call->why->request);
    orb_free(call->why->full);
    call->why->full = NULL;
}

void sftp_ask_space(struct orb_sftp_request *request, const char *full)
{
    char *parent = sftp_parent(full);
    orb_sftp_extended_path(request, ORB_SFTP_CAN_STATVFS, parent ? parent : *full == '/' ? "/" : ".");
    orb_free(parent);
}
