/* SPDX-License-Identifier: Apache-2.0
 * Writing a file: a temporary beside it, bytes at any offsets, and the name at the end. Shared by put, uploads and
 * copies. Main loop. */
#ifndef ORB_BACKEND_SFTP_WRITE_H
#define ORB_BACKEND_SFTP_WRITE_H

#include "backend/sftp/sftp.h"
#include "base/extents.h"

/* Bytes that a temporary of an earlier process is believed to have. */
struct sftp_claim {
    uint64_t offset, length;
    bool sum; /* only if this is theirs: */
    uint64_t crc64;
};

/* A file that is being written. Outlives the calls that work on it. */
struct sftp_target {
    struct sftp_store *store;
    char *full, *temporary; /* temporary NULL: not made yet */
    bool create_parents, overwrite, sync;
    bool replaces;                  /* something stands there: */
    struct orb_sftp_attributes old; /* whose mode and owner stay */
    orbit_metadata wanted;          /* fields: what is to be set, as the caller said … */
    uint32_t carried;               /* … and which of these are only carried over: they may fail */
    struct {
        struct orb_sftp_handle handle;
        unsigned generation;
    } open[SFTP_CHANNELS_MAX];
    bool published;
    orbit_metadata result;
    /* Where another process may go on with it (sftp_resume.c). */
    bool resumable, resumed; /* resumed: it is an earlier one's */
    bool elsewhere;          /* the temporary is not in the directory of the name as it was given: that is a symlink */
    uint64_t size;           /* of the whole */
    struct orb_extents news; /* acknowledged, and not told yet */
    struct sftp_claim *claims;
    size_t claim_count, claim_room;
};
orbit_status sftp_target_init(struct sftp_target *target, struct sftp_store *store, const char *path,
                              const orbit_write_options *options, const orbit_metadata *preserve, orbit_error *error);
void sftp_target_release(struct sftp_target *target);
/* sftp_resume.c: its temporary is that of an earlier upload; what that is called. */
orbit_status sftp_target_resume(struct sftp_target *target, const char *id, orbit_error *error);
const char *sftp_target_id(const struct sftp_target *target);
/* Its handle on the call's channel; NULL: none. */
struct orb_sftp_handle *sftp_target_handle(struct sftp_target *target, const struct sftp_call *call);
void sftp_target_keep_handle(struct sftp_target *target, const struct sftp_call *call,
                             const struct orb_sftp_handle *handle);
/* Closes its handles, without waiting. */
void sftp_target_close(struct sftp_target *target);
/* Closes handles and removes the temporary, without waiting. */
void sftp_target_drop(struct sftp_target *target, struct orb_sftp *session);

/* What a call does with a target, one thing at a time: then() is called at its end. */
struct sftp_writing {
    struct sftp_call *call;
    struct sftp_target *target;
    void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error);
    struct orb_sftp_request requests[8], closing[SFTP_CHANNELS_MAX];
    struct sftp_maker maker;
    bool made_parents, followed, cleared, looking, link, resolving;
    unsigned hops; /* symlinks that were followed one by one */
    unsigned left;
    uint64_t size;                    /* that the file must have */
    uint64_t need;                    /* the bytes that are to come; 0: not known */
    uint64_t room;                    /* for them, where less */
    struct orb_sftp_attributes stale; /* of a temporary that is there already */
    orbit_status status;
    orbit_error error;
};
/* What every call that writes begins with. */
struct sftp_write_call {
    struct sftp_call call; /* first */
    struct sftp_writing writing;
};
void sftp_writing_release(struct sftp_writing *writing);
/* For the steps below: a new one, and its end; what went wrong; a request of its own, which carries it and not its
 * call. */
void sftp_writing_begin(struct sftp_writing *writing,
                        void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
void sftp_writing_end(struct sftp_writing *writing);
void sftp_writing_fail(struct sftp_writing *writing, orbit_status status, uint32_t flags, const char *why);
void sftp_writing_ask(struct sftp_writing *writing, struct orb_sftp_request *request,
                      void (*done)(struct orb_sftp_request *request));
static inline struct sftp_writing *sftp_writing_of(const struct orb_sftp_request *request)
{
    return request->ctx;
}
/* True: its session is gone, and the step has ended with that. */
bool sftp_writing_lost(struct sftp_writing *writing);

/* Makes the temporary and looks at what stands at the name. */
void sftp_writing_open(struct sftp_writing *writing,
                       void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* The same with a temporary that an earlier process has left. ORBIT_E_NOT_FOUND: it is not there, or cannot be used. */
void sftp_writing_take_up(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* A handle on the call's channel, of a temporary that there is. */
void sftp_writing_reopen(struct sftp_writing *writing,
                         void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* Sets attributes, flushes, closes. Requests go out behind those that were started before. */
void sftp_writing_settle(struct sftp_writing *writing,
                         void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* Gives it its name. A reply that is lost is made up for by a look. */
void sftp_writing_publish(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* Whether the temporary has become the file already: ORBIT_OK, or ORBIT_AGAIN when it has not. */
void sftp_writing_resolve(struct sftp_writing *writing,
                          void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error));
/* Removes the temporary, and then ends the call with this. */
void sftp_writing_discard(struct sftp_writing *writing, orbit_status status, const orbit_error *error);

/* Bytes of a body to a handle: WRITEs from where they lie, one going out, many not answered yet. */
struct sftp_pump {
    struct sftp_call *call;
    orbit_body *body;
    struct orb_sftp_handle handle;
    uint64_t at, end, under_way; /* offsets in the file; bytes */
    struct orb_sftp_request slots[SFTP_SLOTS];
    bool busy[SFTP_SLOTS];
    struct orb_extent extents[SFTP_SLOTS]; /* of each */
    struct orb_extents *acknowledged;      /* nullable: what was answered is added */
    unsigned count;                        /* busy ones */
    size_t sending;                        /* bytes of the one that goes out; 0: none */
    bool ended, over;
    void (*drained)(struct sftp_call *call);                                             /* all are sent */
    void (*then)(struct sftp_call *call, orbit_status status, const orbit_error *error); /* all are answered */
};
/* What all calls on a target are made of. */
struct sftp_upload_call {
    struct sftp_write_call write; /* first */
    struct sftp_target *target;
};
/* `bytes` at least its size; `what`, for messages, outlives it; release ends with sftp_writing_release(). NULL: no
 * memory, `op` is done. */
void *sftp_upload_call_new(struct sftp_store *store, orbit_op *op, size_t bytes, struct sftp_target *target,
                           const char *what, void (*release)(struct sftp_call *call));

void sftp_pump_start(struct sftp_pump *pump, struct sftp_call *call, orbit_body *body,
                     const struct orb_sftp_handle *handle, uint64_t offset);
void sftp_pump_step(struct sftp_pump *pump);
void sftp_pump_release(struct sftp_pump *pump);

#endif
