/* SPDX-License-Identifier: Apache-2.0
 * One object from one backend to another: by the store itself where it can, else range by range through pipes, else
 * (a source without ranges, or of no known size) as one stream through part buffers. Loop thread only.
 *
 * The source is pinned by the first reply, or by what was said of it before, which the first reply then confirms: what
 * changes meanwhile is ORBIT_E_CHANGED. A checksum that the source
 * keeps for the whole object is compared before the target is finished. */
#ifndef ORB_ENGINE_COPY_H
#define ORB_ENGINE_COPY_H

#include "engine/admission.h"
#include "engine/copy_range.h"
#include "engine/copy_resume.h"
#include "engine/hedge.h"
#include "engine/parts.h"
#include "engine/trial.h"
#include "engine/upload.h"
#include "engine/upload_fill.h"

struct orb_copy_stream;
struct orb_copy_piece;

/* The first range asks for the object without knowing it; what it learns may call for another beginning. */
enum orb_copy_restart {
    ORB_COPY_GO_ON = 0,
    ORB_COPY_AS_KNOWN,
    ORB_COPY_LOOK_FIRST,
    ORB_COPY_AS_STREAM,
    ORB_COPY_AS_KEPT /* some of its bytes are there */
};

struct orb_copy {
    /* Set by the owner; all that is pointed to stays until ended(). */
    struct orb_backend *from, *to;
    const char *from_path, *to_path;
    const char *version_id, *if_match; /* of the source; nullable */
    const uint8_t *source_key;         /* SSE-C of the source; nullable */
    uint64_t offset, length;           /* of the source; ORBIT_TO_END */
    orbit_metadata hint;               /* of the source: kind, size and time alone. Never believed, only made use of */
    const orbit_write_options *options;
    struct orb_tally *tally; /* nullable: its requests are counted there, too */
    bool preserve;
    bool no_server_copy;
    bool server_only; /* the store copies by itself, or the copy fails with ORBIT_E_UNSUPPORTED */
    bool verify;
    bool no_hedge;    /* ranges that lag are not asked for again */
    bool verify_full; /* any stored checksum counts, and resumed bytes are read again */
    bool keeps;       /* a large file that is not finished stays, and is gone on with: copy_kept.c */
    bool look_first;  /* something may be there to go on with */
    uint64_t prefix;  /* the target's first bytes that may be the source's, which is checked: copy_kept.c; 0: none */
    void (*moved)(void *ctx, uint64_t done, uint64_t total);                 /* nullable */
    void (*ended)(void *ctx, orbit_status status, const orbit_error *error); /* once, from the loop's top */
    void *ctx;

    /* Results, to be read when ended; source may be filled by the owner before (have_source). */
    orbit_metadata source;
    bool have_source;
    orbit_metadata target;
    uint64_t bytes;
    uint32_t parts;
    bool multipart, verified;
    uint64_t resumed;  /* of `bytes`: they were there */
    bool started_over; /* something was there, but of another version or object */

    /* Private. */
    struct orb_upload upload;
    struct orb_resume *resume; /* copy_resume.c's; NULL: nothing is kept */
    bool upload_over;
    struct orb_parts plan;
    orbit_keep_request keep;
    char *identity;       /* keep's */
    size_t extent;        /* of the reply to begin: the next one ahead of next_offset */
    bool holding;         /* no range starts before the target has said what it has */
    uint64_t total;       /* bytes to copy; ORBIT_SIZE_UNKNOWN until known */
    uint64_t next_offset; /* of the next range, relative to `offset` */
    uint32_t next_number;
    uint32_t parallel; /* most ranges in flight */
    uint32_t usual;    /* how many there are to begin with: what the cut goes by */
    struct orb_turn turn;
    uint32_t allowed;               /* ranges in flight now: copy_ramp.c */
    uint64_t asked_ns, answered_ns; /* when the store was asked for its first reply, and gave it */
    uint64_t way_ns;                /* what that took, or what the store knows of the way to it */
    uint64_t ramp_ns, ramp_cpu_ns;  /* the clocks at the last look */
    uint64_t ramp_from;             /* `passed` then */
    struct orb_trial trial;
    struct orb_timer *ramp_timer;
    struct orb_hedger hedger;
    struct orb_relay **ranges; /* `parallel` places */
    uint32_t ranges_made, ranges_busy;
    bool single;  /* one put */
    bool sending; /* planned: ranges may start */
    bool finishing;
    bool presuming;                /* `source` is what the hint says, until a reply confirms it, … */
    bool mistaken;                 /* … or says otherwise: the copy begins again without */
    enum orb_copy_restart restart; /* what follows once the first range has ended */
    struct orb_message restart_message;
    bool restart_posted;
    orbit_checksum stored;   /* of the whole object, when a range's reply did not tell */
    orbit_checksum expected; /* of all bytes; algorithm NONE: none */
    uint64_t crc64;          /* of the ranges that are done, shifted to their places */
    bool summed;             /* … and of what was resumed */
    uint32_t crc32c, crc32;
    bool in_one;             /* one range has all bytes: its pipe compares them with `expected` */
    _Atomic uint64_t passed; /* bytes that came out of the source */
    uint64_t told;
    struct orb_timer *progress_timer;
    struct orb_admission admission;
    uint64_t charged;
    struct orb_call call; /* stat and server-side copy */
    orbit_stat_request stat_request;
    orbit_metadata looked;
    orbit_copy_request copy_request;
    int64_t copied_ns;             /* when the store was first asked for it, by the wall's clock; 0: not yet */
    bool copy_lost;                /* the reply to that was lost */
    struct orb_copy_piece *pieces; /* `parallel` places: parts that the store copies */
    uint32_t pieces_busy;
    bool pieces_again; /* they were refused once */
    struct orb_copy_stream *stream;
    bool checking;                    /* `call` asks whether the source is still what it was, … */
    bool check_void;                  /* … but meanwhile it is being read once more */
    bool asking;                      /* `call` asks for the checksum of the whole */
    bool in_order;                    /* it ends because the source has no ranges, and begins again without */
    bool through_here, fetched_twice; /* the bytes are; have been, because they were wrong */
    bool called_off;                  /* by the owner: it does not begin again */
    bool stopping;
    bool well; /* all is done */
    orbit_status status;
    orbit_error error;
    struct orb_message message;
    bool ended_posted;
};

/* `copy` was zeroed and has the owner's fields set. */
void orb_copy_start(struct orb_copy *copy);
void orb_copy_stop(struct orb_copy *copy, orbit_status status, const orbit_error *error);
/* Frees what it holds; after ended(), or when it never started. */
void orb_copy_release(struct orb_copy *copy);

/* ---- between the files of the copy --------------------------------------------------------------------- */

/* The first error counts; everything is stopped. */
void orb_copy_fail(struct orb_copy *copy, orbit_status status, const orbit_error *error);
void orb_copy_succeed(struct orb_copy *copy);
/* Looks whether all is over, and ends. */
void orb_copy_settle(struct orb_copy *copy);
/* What a range tells. head: the first reply is in copy->source, `length` bytes follow. */
orbit_status orb_copy_range_head(struct orb_copy *copy, struct orb_relay *range, const orbit_read_reply *reply,
                                 orbit_error *error);
void orb_copy_range_ready(struct orb_copy *copy, struct orb_relay *range);
void orb_copy_range_stuck(struct orb_copy *copy, struct orb_relay *range);
void orb_copy_range_arrived(struct orb_copy *copy, struct orb_relay *range);
void orb_copy_range_begins_again(struct orb_copy *copy);
void orb_copy_range_over(struct orb_copy *copy, struct orb_relay *range, bool well);
/* Takes a reply's metadata as the source's, or compares it with what is known. */
orbit_status orb_copy_identify(struct orb_copy *copy, const orbit_metadata *metadata, orbit_error *error);
void orb_copy_moved(struct orb_copy *copy);
void orb_copy_watch_progress(struct orb_copy *copy);

/* copy_verify.c: the checksum that the copy must have, if the source keeps one and all of it is copied; the
 * ORB_PIPE_CRC… that the next range computes; what it computed; what an earlier attempt did; the end. */
void orb_copy_expect(struct orb_copy *copy, uint64_t length);
unsigned orb_copy_crcs_wanted(const struct orb_copy *copy);
void orb_copy_add_checksum(struct orb_copy *copy, struct orb_relay *range);
void orb_copy_add_resumed(struct orb_copy *copy, uint64_t offset, uint64_t length, uint64_t crc64);
void orb_copy_verify_and_finish(struct orb_copy *copy);

/* copy_look.c: what the source is. */
void orb_copy_look(struct orb_copy *copy);   /* asks; then orb_copy_looked() */
void orb_copy_looked(struct orb_copy *copy); /* copy->source is known */
uint64_t orb_copy_bytes(const struct orb_copy *copy);
/* Of the source's bytes; ORBIT_SIZE_UNKNOWN: nothing was said, or that there are none, as those say that cannot tell. */
uint64_t orb_copy_length_hint(const struct orb_copy *copy);
/* Bytes to ask for of a source that nobody looked at. */
uint64_t orb_copy_first_wish(const struct orb_copy *copy);
/* What was said of a large source is taken for true, and then it is known: where it is far away, and otherwise may be. */
bool orb_copy_presume(struct orb_copy *copy);
bool orb_copy_may_presume(const struct orb_copy *copy);
/* Where nothing but size and time says which version is read, they are looked at once more at the end. */
bool orb_copy_checks_again(const struct orb_copy *copy);
void orb_copy_check_again(struct orb_copy *copy); /* then orb_copy_checked() */

/* A reply of a range seldom tells the checksum of the whole: asks for it while the ranges come. */
void orb_copy_ask_checksum(struct orb_copy *copy);

/* copy_server.c: the store may copy by itself; does so, false: the bytes go through this machine; an upload in parts
 * that ended with `status` turned out to be none of the store's things, and the copy goes another way. */
bool orb_copy_store_may(const struct orb_copy *copy);
bool orb_copy_by_store(struct orb_copy *copy);
bool orb_copy_pieces_refused(struct orb_copy *copy, orbit_status status);

/* copy.c, for them: the bytes go through this machine; the source is still what it was. */
void orb_copy_through_here(struct orb_copy *copy);
void orb_copy_renew_upload(struct orb_copy *copy);
void orb_copy_checked(struct orb_copy *copy);
void orb_copy_pump(struct orb_copy *copy);

/* copy.c, for copy_resume.c: begins as it is cut; goes on with what is there of an earlier upload. */
void orb_copy_planned(struct orb_copy *copy);
void orb_copy_taken_up(struct orb_copy *copy, void *handle, uint64_t part_bytes, uint32_t parts, uint64_t bytes);

/* copy_ramp.c: how many ranges are in flight. */
void orb_copy_ramp_start(struct orb_copy *copy);
/* Around the first request to a store: how long the way to it is. */
void orb_copy_ramp_asks(struct orb_copy *copy);
void orb_copy_ramp_answered(struct orb_copy *copy, const struct orb_backend *by);
/* By what the store knows of that itself. */
bool orb_copy_ramp_is_far(const struct orb_backend *to);
/* One more range would start: false when there are enough, and then it looks again soon. */
bool orb_copy_ramp_allows(struct orb_copy *copy);
/* Bytes of the next range, which could have `length`: shorter ones at the end of the copy. */
uint64_t orb_copy_ramp_length(const struct orb_copy *copy, uint64_t length);
/* Bytes of each of `count` pieces of `total`, the last one but for what rounding up took from it. */
uint64_t orb_copy_even(uint64_t total, uint64_t count);
/* Few ranges carry much each: larger blocks, where there is memory for them. Before `range` starts. */
void orb_copy_ramp_widen(struct orb_copy *copy, struct orb_relay *range, uint64_t length);

/* copy_again.c: a copy begins again from its beginning. Because a reply was the whole object where a range of it was
 * asked for: whether that is so, which is when more is to be copied than `range`; it then ends, by the second, which is
 * for ranges that began when the source was known. */
bool orb_copy_wants_order(struct orb_copy *copy, const struct orb_relay *range);
void orb_copy_end_for_order(struct orb_copy *copy);
/* The copy has ended. True: for that or another reason it begins again. */
bool orb_copy_begins_again(struct orb_copy *copy);
/* Forgets all but what the owner set, and starts; the source is looked at anew unless it is passed on. */
void orb_copy_start_again(struct orb_copy *copy, orbit_metadata *source);

/* copy_kept.c: what an earlier attempt left. Before the upload begins; when it has; before each range: moves
 * next_offset to the first byte that is missing, and gives how many are missing there. */
void orb_copy_kept_look(struct orb_copy *copy); /* on the thread that makes the copy */
void orb_copy_kept_plan(struct orb_copy *copy); /* the source is known */
void orb_copy_kept_prepare(struct orb_copy *copy);
void orb_copy_kept_opened(struct orb_copy *copy);
uint64_t orb_copy_kept_next(struct orb_copy *copy);
/* The copy has ended. True: the prefix it went on from was not the source's, and it begins again without. */
bool orb_copy_kept_again(struct orb_copy *copy);
void orb_copy_begin_anew(struct orb_copy *copy, struct orb_relay *range, enum orb_copy_restart how);

/* copy_stream.c: a source without ranges. */
void orb_copy_stream_start(struct orb_copy *copy);
void orb_copy_stream_stop(struct orb_copy *copy, orbit_status status, const orbit_error *error);

#endif
