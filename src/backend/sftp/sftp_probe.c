/* SPDX-License-Identifier: Apache-2.0
 * probe: how long it takes until the host has let us in, how far away it is, what its server can do. Loop thread. */
#include "backend/sftp/sftp.h"
#include "base/clock.h"

struct probe {
    struct sftp_call call; /* first */
    struct orb_sftp_request request;
    const orbit_probe_request *wanted;
    uint64_t begun_ns;
};

static void probe_release(struct sftp_call *call)
{
    struct probe *probe = (struct probe *)call;
    orb_sftp_forget(&probe->request);
    orb_sftp_request_release(&probe->request);
}

/* What is slower, or less safe, without. */
static void tell_server(const struct probe *probe, const struct orb_sftp *session)
{
    static const struct {
        unsigned extension;
        const char *without;
    } wanted[] = {
        {ORB_SFTP_CAN_POSIX_RENAME,
         "replacing a file leaves a moment in which there is none (posix-rename@openssh.com)"},
        {ORB_SFTP_CAN_FSYNC, "what was written is not flushed to its disk (fsync@openssh.com)"},
    };
    orbit_probe_tell(probe->wanted, ORBIT_FINDING_OK, ORBIT_OK, "sftp", NULL,
                     "version 3; reads of %u KiB, writes of %u KiB", orb_sftp_read_max(session) >> 10,
                     orb_sftp_write_max(session) >> 10);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!orb_sftp_can(session, wanted[i].extension))
            orbit_probe_tell(probe->wanted, ORBIT_FINDING_WARNING, ORBIT_E_UNSUPPORTED, "sftp", NULL,
                             "its server cannot do everything: %s", wanted[i].without);
}

static void answered(struct orb_sftp_request *request)
{
    struct sftp_call *call = sftp_call_of(request);
    struct probe *probe = (struct probe *)call;
    const struct orb_sftp *session = sftp_call_session(call);
    if (!sftp_fine(call, request, ORB_SFTP_NAME))
        return;
    if (session) {
        orbit_probe_tell(probe->wanted, ORBIT_FINDING_OK, ORBIT_OK, "distance", NULL, "an answer takes %.3g ms",
                         (double)orb_sftp_round_trip_ns(session) / 1e6);
        tell_server(probe, session);
    }
    sftp_call_end(call, ORBIT_OK, NULL);
}

static void connected(struct sftp_call *call)
{
    struct probe *probe = (struct probe *)call;
    orbit_probe_tell(probe->wanted, ORBIT_FINDING_OK, ORBIT_OK, "connect", NULL, "%s has let us in within %.0f ms",
                     call->store->peer, (double)(orb_now_ns() - probe->begun_ns) / 1e6);
    orb_sftp_path(&probe->request, ORB_SFTP_REALPATH, ".");
    sftp_call_ask(call, &probe->request, answered);
}

void sftp_probe(void *self, orbit_op *op, const orbit_probe_request *request)
{
    struct probe *probe = sftp_call_new(self, op, sizeof *probe, "look at the way to", request->path, probe_release);
    if (!probe)
        return;
    probe->wanted = request;
    probe->begun_ns = orb_now_ns();
    sftp_call_start(&probe->call, connected);
}
