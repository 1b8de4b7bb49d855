/* SPDX-License-Identifier: Apache-2.0
 * The inside of the SFTP backend: what its files share. An operation is a *call*: a struct that embeds sftp_call,
 * gets a channel (connecting when there is none), sends requests, and ends. Everything here is the main loop's. */
#ifndef ORB_BACKEND_SFTP_SFTP_H
#define ORB_BACKEND_SFTP_SFTP_H

#include "backend/backend.h"
#include "wire/sftp.h"
#include "wire/ssh.h"

enum {
    SFTP_CHANNELS_MAX = 10, /* of a connection: as many sessions as OpenSSH allows */
    SFTP_CHANNELS = 8,      /* and usually */
    SFTP_SLOTS = 16         /* requests of one stream under way */
};

struct sftp_call;
struct sftp_command;
struct sftp_why;

/* One session with the server. Its handles are worth something until it ends: `generation` tells. */
struct sftp_channel {
    struct orb_ssh_channel ssh; /* first */
    struct sftp_store *store;
    struct orb_sftp *session; /* NULL: closed */
    struct sftp_command *command;
    bool ready;
    bool transport; /* orb_ssh's, or the command, runs still */
    bool greeting;  /* its first packet is sent and not answered, and nobody has answered another one's */
    int kept_fd;    /* opened by the host, but nothing is said there yet: what the greeting brings decides; -1: none */
    unsigned generation;
    uint64_t attached_ns;
    unsigned streams;          /* calls that move bytes */
    struct sftp_call *waiting; /* until it is ready */
    struct sftp_call *late;    /* until what carried its last session has ended, and it can be opened anew */
};

struct sftp_store {
    struct orbit_host *host;
    struct orb_ssh *ssh; /* NULL: a command */
    char *command;       /* nullable: a server that is started here, instead of one that ssh reaches */
    char *peer;          /* for messages: "example.org" */
    char *locator;       /* "sftp://user@host:port" */
    char *root;          /* NULL: paths as the server takes them, relative ones from the home directory */
    uint32_t stall_ms;
    unsigned channels_most; /* at once; fewer when the server refused more */
    unsigned streams;       /* of one transfer, unless somebody says otherwise */
    unsigned ahead;         /* channels that are wanted as soon as there is one */
    struct sftp_channel channels[SFTP_CHANNELS_MAX];
    orbit_op *closing;
    bool was_there;           /* a session stood once: */
    bool impatient;           /* it is waited for, unless nothing is to be tried again */
    uint64_t absent_ns;       /* since when it cannot be reached; 0: it can, or was not tried */
    uint32_t absent_ms;       /* the last wait */
    struct sftp_call *absent; /* calls that wait for */
    struct orb_timer *absent_timer;
    struct sftp_held *held; /* files that are open for reading */
    struct orb_timer *held_timer;
};

struct sftp_call {
    struct sftp_store *store;
    orbit_op *op;
    const char *verb, *what; /* "cannot VERB 'WHAT'" */
    struct sftp_channel *channel;
    unsigned generation;
    struct sftp_call *next; /* waiting for the channel */
    bool waits, bulk, counted;
    bool apart;                              /* with bulk: on a channel of its own, if there can be another one */
    void (*go)(struct sftp_call *call);      /* the channel is there */
    void (*release)(struct sftp_call *call); /* forgets requests, frees what it holds */
    void (*step)(struct sftp_call *call);    /* nullable: resumed */
    struct orb_message step_message, last_message;
    _Atomic bool posted;
    /* Nullable: where the path stands that it changes. What fails there without a reason is looked into before it
     * ends. */
    char *const *changes;
    bool refused;         /* it is bytes that the server did not take */
    char said[120];       /* the server's words for the last failure without a reason; of ASCII */
    struct sftp_why *why; /* freed with the call */
    bool released, over;
    unsigned refs;
};

/* ---- sftp_call.c ----------------------------------------------------------------------------------- */

/* A call of `bytes` for `op`, op->state set. NULL: out of memory, `op` is done. */
void *sftp_call_new(struct sftp_store *store, orbit_op *op, size_t bytes, const char *verb, const char *what,
                    void (*release)(struct sftp_call *call));
/* Ends it and frees it, when the engine has heard of the end. `error` nullable. */
void sftp_call_end(struct sftp_call *call, orbit_status status, const orbit_error *error);
void sftp_call_cancel(void *self, orbit_op *op);
/* op->resume of calls with a sink or a body; `step` is set. */
void sftp_call_resumes(struct sftp_call *call);
void sftp_call_again(struct sftp_call *call);
/* Starts a request of this call's on its channel. request->ctx is the call. */
void sftp_call_ask(struct sftp_call *call, struct orb_sftp_request *request,
                   void (*done)(struct orb_sftp_request *request));
struct sftp_call *sftp_call_of(const struct orb_sftp_request *request);
/* The session of its channel; NULL when that was lost. */
struct orb_sftp *sftp_call_session(const struct sftp_call *call);

/* ORBIT_OK for a reply of `type` (STATUS: with status OK), else what went wrong with "cannot verb 'what'". */
orbit_status sftp_check(struct sftp_call *call, const struct orb_sftp_request *request, uint8_t type,
                        orbit_error *error);
/* The same, and ends the call unless it is ORBIT_OK. */
bool sftp_fine(struct sftp_call *call, const struct orb_sftp_request *request, uint8_t type);
bool sftp_is_status(const struct orb_sftp_request *request, uint32_t status);
bool sftp_lost(const struct orb_sftp_request *request);
/* "cannot VERB 'WHAT': WHY". */
orbit_status sftp_fail(const struct sftp_call *call, orbit_status status, uint32_t flags, const char *why,
                       orbit_error *error);
void sftp_end_with(struct sftp_call *call, orbit_status status, uint32_t flags, const char *why);

/* The server's name of a path; NULL with `error` filled when memory is out or it leads out of the root. */
char *sftp_full_path(const struct sftp_store *store, const char *path, orbit_error *error);
char *sftp_parent(const char *full); /* NULL: none, or no memory */

/* OpenSSH's server (8.0 or later), by what it announces. Another one may do what the draft does not say: ProFTPD's
 * mod_sftp takes what comes in pieces from two sessions of a connection for one stream, and bytes of one file end in
 * another; its LSTAT tells of what a symlink leads to, unless that is missing, but its READLINK works. */
bool sftp_is_openssh(const struct orb_sftp *session);

void sftp_describe(orbit_metadata *metadata, const struct orb_sftp_attributes *attributes);
uint32_t sftp_kind(const struct orb_sftp_attributes *attributes);
/* Times and mode as requests have them, from fields of ORBIT_HAS_…. */
struct orb_sftp_attributes sftp_attributes(const orbit_metadata *metadata, uint32_t fields);

/* The first half of the numbers in the names of temporaries of a file called `name`: sftp_open.c. */
uint32_t sftp_temporary_mark(const char *name);

/* ---- sftp_channel.c -------------------------------------------------------------------------------- */

/* Calls go() on a channel, perhaps at once; ends the call where none can be had. */
void sftp_call_start(struct sftp_call *call, void (*go)(struct sftp_call *call));
/* Calls that move bytes, of all channels. */
unsigned sftp_channels_streams(const struct sftp_store *store);
/* So many bytes will be moved in so many streams (0: as usual): where the way is long, their channels are opened
 * now, all together, and not when the first reply has shown how much there is. */
void sftp_channels_ahead(struct sftp_store *store, uint64_t bytes, unsigned streams);
/* It waits for no channel any more, and counts on none. */
void sftp_call_leave(struct sftp_call *call);
/* Ends all channels; the store's `closing` is done when nothing runs any more. */
void sftp_store_close(struct sftp_store *store, orbit_op *op);
bool sftp_store_can(const struct sftp_store *store, unsigned extension);

/* Lists of waiting calls: all of one, and each started again. */
struct sftp_call *sftp_calls_take(struct sftp_call **list);
void sftp_calls_start(struct sftp_call *waiting);

/* ---- sftp_absent.c: a server that cannot be reached any more --------------------------------------- */

void sftp_absent_is_back(struct sftp_store *store);
/* No connection could be made: whether calls are to wait in store->absent, where they are started again. */
bool sftp_absent_wait(struct sftp_store *store, const orbit_error *error);
void sftp_absent_end(struct sftp_store *store);

/* ---- sftp_command.c: a server of this machine on a socketpair -------------------------------------- */
struct sftp_command *sftp_command_start(struct sftp_store *store, const char *command, int *fd,
                                        void (*ended)(void *ctx), void *ctx, orbit_error *error);

/* ---- sftp_why.c: a failure of which the server gave no reason -------------------------------------- */

#define SFTP_READ_ONLY "the file system there is mounted read-only"
/* True: the file system is asked, and then() is called with what became of the error. False: nothing to be asked, or
 * once already. */
bool sftp_why(struct sftp_call *call, orbit_status status, const orbit_error *error,
              void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
void sftp_why_end(struct sftp_call *call);
/* The question for the space of the directory that a path is in. */
void sftp_ask_space(struct orb_sftp_request *request, const char *full);

/* ---- sftp_mkdir.c: directories on the way to a path ------------------------------------------------ */
struct sftp_maker {
    struct sftp_call *call;
    struct orb_sftp_request request;
    char *path; /* of the deepest directory, owned */
    size_t cut; /* it is cut here now */
    bool rising;
    orbit_status status; /* of the last MKDIR */
    orbit_error error;
    void (*done)(struct sftp_call *call, orbit_status status, const orbit_error *error);
};
/* mkdir -p; an existing directory is fine. */
void sftp_make_directories(struct sftp_call *call, struct sftp_maker *maker, const char *full,
                           void (*done)(struct sftp_call *call, orbit_status status, const orbit_error *error));
void sftp_maker_release(struct sftp_maker *maker);

/* ---- sftp_held.c ----------------------------------------------------------------------------------- */

struct sftp_held {
    struct sftp_held *next;
    char *full;
    struct sftp_channel *channel;
    unsigned generation, users;
    struct orb_sftp_handle handle;
    uint64_t size, idle_ns;
    int64_t mtime_ns;
};
/* One that is open on the call's channel and is what `pin` (nullable) says; NULL: none. */
struct sftp_held *sftp_held_take(const struct sftp_call *call, const char *full, const orbit_metadata *pin);
/* The handle is its own from now on; NULL: no memory, it is the caller's still. */
struct sftp_held *sftp_held_add(const struct sftp_call *call, const char *full, const struct orb_sftp_handle *handle,
                                const orbit_metadata *about);
void sftp_held_give(struct sftp_store *store, struct sftp_held *held);
void sftp_held_end(struct sftp_store *store);

/* ---- operations ------------------------------------------------------------------------------------ */
void sftp_probe(void *self, orbit_op *op, const orbit_probe_request *request);
void sftp_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply);
void sftp_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request);
void sftp_symlink(void *self, orbit_op *op, const orbit_link_request *request);
void sftp_readlink(void *self, orbit_op *op, const orbit_bytes_request *request);
void sftp_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply);
void sftp_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request);
void sftp_rename(void *self, orbit_op *op, const orbit_rename_request *request);
void sftp_remove(void *self, orbit_op *op, const orbit_remove_request *request);
void sftp_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **made);
void sftp_list_page(void *self, orbit_op *op, void *cursor_, orbit_page *page);
void sftp_list_end(void *self, void *cursor_);
void sftp_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink, orbit_read_reply *reply);
void sftp_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply);
void sftp_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply);
void sftp_part(void *self, orbit_op *op, void *target_, const orbit_part *part, orbit_body *body,
               orbit_part_reply *reply);
void sftp_finish(void *self, orbit_op *op, void *target_, const orbit_finish_request *request, orbit_metadata *reply);
void sftp_abort(void *self, orbit_op *op, void *target_);
void sftp_release(void *self, void *target);
void sftp_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply);
orbit_status sftp_adopt(void *self, void *target, const orbit_stored_part *part, orbit_error *error);
size_t sftp_written(void *self, void *target, orbit_stored_part *parts, size_t room);
void sftp_flush(void *self, orbit_op *op, void *target);
void sftp_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply);
void sftp_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply);
uint64_t sftp_way_ns(void *self);

#endif
