/* SPDX-License-Identifier: Apache-2.0
 * One run of the command: the client, the stores opened so far, the cancel token, and the count of what went
 * well and what did not, from which the exit code follows. Main thread. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <orbit/orbit.h>

#include "flags.h"
#include "text.h"

/* An open backend. Those of the session live until its end. */
struct store {
    struct store *next;
    orbit_backend *backend;
    char *root; /* what orbit_open() took */
    enum side side;
    bool local;
    bool has_directories; /* real ones, as on disks: nothing of a name below leads out, and none is only a prefix */
};

/* A location as it was typed, with its store. */
struct place {
    const char *typed;            /* borrowed */
    struct store *store;          /* NULL for standard input and output */
    char *path;                   /* in the store */
    char *shown;                  /* what messages call it: no query, no "file://" */
    bool stdio, local, directory; /* directory: it is named as one, by a slash at its end */
    bool has_directories;         /* its store */
};

struct tally {
    uint64_t done, skipped, failed, bytes;
    int code; /* of the failures: theirs when they agree, 1 when they differ */
};

struct session {
    const struct options *options;
    const char *verb;
    orbit_client *client;
    orbit_cancel *cancel;
    struct store *stores;
    struct tally tally;
    int log_fd;
    uint64_t started_ns;
    bool data_on_stdout;  /* standard output carries bytes of objects: results go elsewhere */
    bool transfers_trees; /* many objects: what an interruption leaves is told accordingly */
    uint8_t key[32], source_key[32];
    bool has_key, has_source_key;
    char *state_dir; /* of journals; NULL: none are kept */
};

/* Opens the client as the options say. 0, or an exit code; what is wrong has been said. */
int session_open(struct session *session, const struct options *options);
void session_close(struct session *session);
/* The exit code of all that happened; the summary (--stat) and what an interruption means are told here. */
int session_finish(struct session *session);
/* True when a signal came or standard output is gone: stop soon. */
bool session_stopped(const struct session *session);

/* Takes `typed` apart and opens its store (once for all places there). False: the usage error has been
 * told and counted. */
bool place_open(struct session *session, struct place *place, const char *typed, enum side side);
void place_release(struct place *place);

/* A local directory as a root that no path and no symbolic link can leave. NULL with `error` filled. */
struct store *store_rooted(struct session *session, const char *directory, bool create, orbit_error *error);
void store_free(struct store *store);

orbit_call_options session_call(const struct session *session);
/* What the sources of a copy are encrypted with; NULL: nothing of ours. --sse-c-key-file is the target's, where that
 * can have one. */
const uint8_t *session_source_key(const struct session *session, bool to_local);
/* How targets are written, from the flags. */
orbit_write_options session_write(const struct session *session);
uint64_t monotonic_ns(void);

#endif
