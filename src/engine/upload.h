/* SPDX-License-Identifier: Apache-2.0
 * The target's side of every write: one put, or begin, parts, finish; on any failure abort and release, so that
 * nothing is left behind. Knows no memory and no source: bodies are given to it. Loop thread only.
 *
 *     orb_upload_init()
 *     orb_upload_send(part)                                  alone: a single put
 *     orb_upload_begin() … opened() … orb_upload_send(part) × n … orb_upload_finish()
 *     orb_upload_stop() at any time
 *     ended() exactly once, when nothing is under way any more */
#ifndef ORB_ENGINE_UPLOAD_H
#define ORB_ENGINE_UPLOAD_H

#include "engine/call.h"

struct orb_upload;

/* One body on its way: a part, or the whole object. It may be used again after done(). */
struct orb_upload_part {
    struct orb_call call;
    struct orb_upload *upload;
    orbit_part part;
    orbit_body *body; /* NULL where the store copies the part by itself: upload->source */
    orbit_part_copy_request copy;
    orbit_part_reply reply;
    /* Before each attempt: the body stands at its start. Nullable. */
    void (*begin)(struct orb_upload_part *part);
    /* Before a retry: make ready to give the same bytes again; false: cannot. Nullable: yes. */
    bool (*again)(struct orb_upload_part *part, const orbit_error *error);
    /* Over. When it failed the upload is stopped right after: no need to do that. */
    void (*done)(struct orb_upload_part *part, orbit_status status, const orbit_error *error);
    struct orb_upload_part *next, **link; /* in flight */
    struct orb_upload_part *later;        /* of who confirms */
};

enum orb_upload_state {
    ORB_UPLOAD_NEW,
    ORB_UPLOAD_LOOKING, /* what stands at the target's name */
    ORB_UPLOAD_BEGINNING,
    ORB_UPLOAD_OPEN,
    ORB_UPLOAD_SINGLE, /* the put is under way */
    ORB_UPLOAD_FINISHING,
    ORB_UPLOAD_ABORTING,
    ORB_UPLOAD_SWEEPING, /* looks for what a begin may have made whose reply was lost */
    ORB_UPLOAD_OVER
};

struct orb_upload {
    struct orb_backend *backend;
    const char *path; /* borrowed, as options and preserve, until ended */
    const orbit_write_options *options;
    const orbit_metadata *preserve;    /* nullable */
    const orbit_keep_request *extents; /* nullable; where the backend keeps_extents: what it wrote outlives a failure */
    const orbit_copy_request *source;  /* nullable: the store takes all parts from there */
    const orbit_checksum *expected;    /* nullable: the backend compares it at the end (see orbit_finish_request) */
    bool reread;
    void (*opened)(struct orb_upload *upload);
    void (*ended)(struct orb_upload *upload, orbit_status status, const orbit_error *error);
    /* Nullable: the store has the part; it counts as done once orb_upload_confirmed() was called, now or later. */
    void (*confirm)(struct orb_upload *upload, struct orb_upload_part *part);
    bool keep;      /* a failure that another try may mend leaves the upload at the store */
    bool resumable; /* backend->ops->written() will be asked */
    void *ctx;

    /* To be read when ended (and sequential when opened). */
    bool sequential; /* part n + 1 after part n */
    bool joined;     /* its bodies are filled by reads that wait for its parts; set before the first is sent */
    struct orb_turn turn;
    struct orb_tally *tally; /* nullable: its requests are counted there, too; set before it begins */
    bool multipart;
    bool kept;               /* not aborted */
    uint32_t parts;          /* sent well */
    uint64_t bytes;          /* in them */
    orbit_metadata metadata; /* what the store said at the end; the owner releases it */

    enum orb_upload_state state;
    bool stopping;
    bool maybe_there;    /* a put's reply was lost */
    bool hurried;        /* a finish was asked for again early */
    uint32_t unheard;    /* replies to begin that were lost */
    int64_t begun_ns;    /* when the first begin, or put, was asked for, by the wall's clock */
    uint64_t unheard_ns; /* when one was last waited for in vain, by the monotonic clock; 0: never */
    struct orb_sweep *sweep;
    orbit_status status; /* why it stops */
    orbit_error error;
    void *handle;
    struct orb_call call; /* all but the parts */
    orbit_metadata found; /* LOOKING */
    uint64_t stood;       /* bytes of the file that it replaces, where that was looked at */
    orbit_stat_request stat_request;
    orbit_begin_request begin_request;
    orbit_begin_reply begin_reply;
    orbit_put_request put_request;
    orbit_finish_request finish_request;
    struct orb_upload_part *in_flight;
    struct orb_timer *abort_timer; /* also of the sweep */
    struct orb_timer *sweep_timer; /* between two looks */
    struct orb_message message;
    bool message_out;
};

/* `upload` was zeroed and has backend, path, options, callbacks set. */
void orb_upload_init(struct orb_upload *upload);
void orb_upload_begin(struct orb_upload *upload, uint64_t size_hint, uint64_t part_bytes);
void orb_upload_send(struct orb_upload *upload, struct orb_upload_part *part);
/* Parts to be in flight now, at most `most`: what the store and its endpoint's flow allow. Ask before each one. */
uint32_t orb_upload_share(const struct orb_upload *upload, uint32_t most);
void orb_upload_confirmed(struct orb_upload_part *part);
/* Instead of begin: goes on with one that has `parts` parts of `bytes` bytes already. */
void orb_upload_take_up(struct orb_upload *upload, void *handle, uint32_t parts, uint64_t bytes);
/* All parts were done well. */
void orb_upload_finish(struct orb_upload *upload, uint64_t size, uint32_t part_count);
/* Cancels what is in flight, aborts, ends with `error`. The first reason stays; nothing when it is over. */
void orb_upload_stop(struct orb_upload *upload, orbit_status status, const orbit_error *error);

/* A body that is one piece of memory. */
struct orb_memory_body {
    orbit_body body;
    const uint8_t *bytes;
    size_t at;
};
void orb_memory_body_init(struct orb_memory_body *body, const void *bytes, size_t length);

#endif
