/* SPDX-License-Identifier: Apache-2.0
 * The inside of a copy that is kept (copy_resume.h), shared by its three files: copy_resume.c has the plan and the
 * journal, copy_earlier.c what is asked of the store about the upload that an earlier attempt left, copy_bytes.c
 * what is different of a store that goes on from any byte. Loop thread; `journal`, `batch` and what goes with them
 * are a worker's from submit() until its message. */
#ifndef ORB_ENGINE_COPY_EARLIER_H
#define ORB_ENGINE_COPY_EARLIER_H

#include "engine/copy.h"
#include "engine/journal.h"
#include "engine/sweep.h"

enum orb_resume_step {
    ORB_RESUME_OPEN,
    ORB_RESUME_PLAN,
    ORB_RESUME_RECORD,
    ORB_RESUME_RESTATE,
    ORB_RESUME_CLOSE,
    ORB_RESUME_REMOVE
};

/* A flush of what the store has acknowledged: the journal says what it is of before it is asked for. */
enum orb_resume_flush { ORB_FLUSH_NONE, ORB_FLUSH_MARKING, ORB_FLUSH_ASKED };

struct orb_resume {
    struct orb_copy *copy;
    struct orb_journal journal;
    struct orb_journal_plan plan; /* of now */

    /* A worker has the journal from submit() until the message. */
    struct orb_job job;
    struct orb_message message;
    enum orb_resume_step step;
    bool working;
    orbit_status status;
    orbit_error error;

    /* To be recorded: due is the loop's, batch the worker's. */
    struct orb_upload_part *due, *batch;
    const char *begun; /* the id, until it is recorded */
    bool begun_due, begun_batch;
    bool finish_due, finish_batch;

    /* What is asked of the store about an earlier upload. */
    struct orb_call call;
    void *handle;
    orbit_begin_request begin_request;
    orbit_begin_reply begin_reply;
    orbit_parts_request parts_request;
    orbit_more_reply more_reply;
    orbit_finish_request finish_request;
    uint32_t last; /* part told */

    struct orb_sweep sweep;

    uint8_t *done; /* a bit a part */
    uint32_t done_count;
    uint64_t done_bytes;

    /* copy_bytes.c's, where the store goes on from any byte. */
    bool by_bytes;
    struct orb_timer *tick;
    struct orb_extents news, news_batch; /* acknowledged, to be recorded */
    bool mark_due, mark_batch, flushed_due, flushed_batch;
    enum orb_resume_flush flush;
    struct orb_call flush_call;
    uint64_t flush_ns;  /* when the last one ended */
    uint64_t unflushed; /* bytes acknowledged since the last one was asked for */
    bool never_flushes;
    bool finish_waits;                           /* until no flush is under way */
    struct orb_extents held_flushed, held_loose; /* of an earlier upload: what is there */
    orbit_extent *held;
    size_t held_count;

    bool off; /* no journal: as if there were none */
    bool taken_up;
    bool keep; /* the store has an upload that this journal is of */
    bool stopping;
    bool closed;
};

/* copy_earlier.c: each goes on by orb_copy_taken_up(), by orb_resume_plan_anew(), or fails the copy. The journal has an
 * id; an id that is of other bytes now; a plan without an id. */
void orb_earlier_take_up(struct orb_resume *resume);
void orb_earlier_drop(struct orb_resume *resume, const char *why);
void orb_earlier_sweep(struct orb_resume *resume);
/* Frees the handle of the earlier upload, if it has one. */
void orb_earlier_let_go(struct orb_resume *resume);

/* copy_bytes.c. The upload is open, the copy fails, its parts are done (then it is finished as soon as may be); a
 * batch was recorded. */
bool orb_bytes_may(const struct orb_copy *copy);
void orb_bytes_opened(struct orb_resume *resume);
void orb_bytes_stop(struct orb_resume *resume);
void orb_bytes_finish(struct orb_resume *resume);
void orb_bytes_recorded(struct orb_resume *resume);
void orb_bytes_release(struct orb_resume *resume);
orbit_status orb_bytes_record(struct orb_resume *resume, orbit_error *error); /* worker */
/* Of an earlier upload: what the journal believes is told to the backend; forgets what parts() told, adds to it;
 * what is there is what the journal says from now on; that is written, and the copy goes on. */
orbit_status orb_bytes_adopt(struct orb_resume *resume, orbit_error *error);
void orb_bytes_look(struct orb_resume *resume);
void orb_bytes_holds(struct orb_resume *resume, const orbit_stored_part *part);
void orb_bytes_restate(struct orb_resume *resume);
void orb_bytes_taken_up(struct orb_resume *resume);

/* copy_resume.c, for them. What is due goes to a worker. */
void orb_resume_record_due(struct orb_resume *resume);
void orb_resume_submit(struct orb_resume *resume, enum orb_resume_step step);
/* A new upload begins, once its plan is written. */
void orb_resume_plan_anew(struct orb_resume *resume);
void orb_resume_fail(struct orb_resume *resume, orbit_status status, const orbit_error *error);
void orb_resume_warn(struct orb_resume *resume, const char *what, const orbit_error *error);
/* True: the copy is over, or was stopped meanwhile. */
bool orb_resume_over(struct orb_resume *resume);
/* Only an upload that was asked for may be meant: what is kept stays, and the caller hears why it cannot go on. */
bool orb_resume_wanted_only(struct orb_resume *resume, orbit_status status, const char *why);

#endif
