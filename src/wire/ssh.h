/* SPDX-License-Identifier: Apache-2.0
 * Connections by the system's ssh, with all that its user has set up for it: configuration, agent, jump hosts,
 * certificates, known hosts. One ssh process is one connection; its sessions are channels, each a stream socket,
 * opened by way of its control socket (OpenSSH's PROTOCOL.mux), so that a channel costs neither a process nor an
 * authentication. Knows nothing of what is spoken over a channel. Loop thread only, but for make. */
#ifndef ORB_WIRE_SSH_H
#define ORB_WIRE_SSH_H

#include "base/log.h"
#include "run/loop.h"

struct orb_ssh;
struct orb_ssh_link;

/* All is copied. Strings are nullable but for the host. */
struct orb_ssh_settings {
    const char *host;              /* a name for ssh: an alias of its configuration, too */
    const char *user;              /* NULL: ssh's own configuration decides */
    unsigned port;                 /* 0: ssh's own configuration decides */
    const char *const *identities; /* NULL-terminated: files of private keys, as -i */
    const char *const *options;    /* NULL-terminated: "Key=value", as -o; ours come first, and the first one counts */
    const char *config_file;       /* as -F */
    const char *program;           /* NULL: "ssh" from PATH */
    const char *password;          /* for the host, never for one on the way to it */
    const char *passphrase;        /* of private keys */
    /* Asks a person for what is not given here: a password, a code, whether a host is to be trusted. On a thread
     * that may wait for the answer; what was right is remembered until drop. NULL, or without a function: nobody is
     * asked. */
    const orbit_prompt *prompt;
    uint64_t connect_ns; /* until the connection stands, authentication included, a person's time not; 0: 30 s */
};

/* Checks, copies, remembers the environment; no I/O. Any thread: the caller's, whose environment it is. Everything
 * else is for the thread of `loop`. Both `loop` and `log` (nullable) outlive it. */
orbit_status orb_ssh_make(struct orb_ssh **made, struct orb_loop *loop, struct orb_log *log,
                          const struct orb_ssh_settings *settings, orbit_error *error);
/* Ends the connection: channels that are left get their on_end, then `dropped` comes on the loop, when no process, no
 * descriptor and no file is left. Never from inside the call. */
void orb_ssh_drop(struct orb_ssh *ssh, void (*dropped)(void *ctx), void *ctx);
/* "example.org:2222", for messages. Lives as long as `ssh`. Any thread. */
const char *orb_ssh_peer(const struct orb_ssh *ssh);

/* One session that runs a subsystem of the host's. Lies in its user's memory from start until on_end. */
struct orb_ssh_channel {
    const char *subsystem; /* "sftp"; borrowed */
    bool spoken;           /* set by the user when something came from the host: a session that ends before was none */
    /* The host has opened the session: `fd` is a non-blocking stream socket, the receiver's to close. At most once. */
    void (*on_ready)(struct orb_ssh_channel *channel, int fd);
    /* Nullable. It was asked for a moment ago, and no session of the connection is there yet: called then, and perhaps
     * once more. OpenSSH's server (9.2) leaves small packets to Nagle's algorithm: its answer waits for an
     * acknowledgement of what it said before, which this end may hold back for tens of milliseconds (RFC 1122, 4.2.3.2
     * and 4.2.3.4), unless it has something to say, such as the wish for another session. */
    void (*on_slow)(struct orb_ssh_channel *channel);
    /* Exactly once, the last: the session has ended, with or without on_ready before. NULL: well. The memory may be
     * used again in it. ORBIT_E_LIMIT: the host takes no further session on this connection, others are not
     * concerned. */
    void (*on_end)(struct orb_ssh_channel *channel, const orbit_error *error);

    /* Private. */
    struct orb_ssh *ssh;
    struct orb_ssh_link *link;
    struct orb_ssh_channel *next, **place;
    struct orb_message message;
    orbit_error error;
    unsigned generation;
    bool ended, opened;
};

/* Connects when nothing is connected, also after a connection was lost. Nothing is called from inside. */
void orb_ssh_channel_start(struct orb_ssh *ssh, struct orb_ssh_channel *channel);
/* Ends it soon: on_end still comes (ORBIT_E_CANCELLED), on_ready no more. */
void orb_ssh_channel_stop(struct orb_ssh_channel *channel);

#endif
