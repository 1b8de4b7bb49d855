/* SPDX-License-Identifier: Apache-2.0
 * A walk through real directories, depth first, in bounded memory: walk.c decides what comes next and fills the
 * batches for the user, walk_level.c asks the store, walk_ahead.c does so for directories that come later,
 * walk_spool.c keeps on disk what does not fit. Loop thread, or one worker instead of it.
 *
 * A level is a directory some entries of which are still to come. Of the levels below the one at hand
 *  - at most `cursors_max` keep an open cursor, the shallowest are suspended first;
 *  - the pages together keep at most RETAINED_MAX bytes, the shallowest are dropped first: they are listed again from
 *    the entry they had come to (seekable_list), or wait in an unlinked file.
 * A level whose last entry is a directory is over before that is entered: a plain chain of directories needs two
 * levels, however deep it is. */
#ifndef ORB_STREAM_WALK_H
#define ORB_STREAM_WALK_H

#include "base/buf.h"
#include "stream/lister.h"
#include "stream/walk_ahead.h"
#include "stream/walk_spool.h"

#define ORB_LEVEL_BYTES ((size_t)64 << 10) /* of one page of a directory */

enum orb_level_state {
    ORB_LEVEL_FRESH,   /* to be begun; goes on after `position` when that is not 0 */
    ORB_LEVEL_OPEN,    /* begun; the page at hand may be used up */
    ORB_LEVEL_SPOOLED, /* the rest of it is in the spool */
    ORB_LEVEL_FAILED   /* could not be listed: the walk's `failure` is still to be told */
};

struct orb_level {
    enum orb_level_state state;
    void *cursor;   /* the backend's; NULL: none, or given up */
    bool open;      /* the cursor is not suspended */
    bool more;      /* pages follow the one at hand */
    uint32_t depth; /* of the directory: 0 for the listed one */
    struct orbit_page page;
    struct orb_page_cursor at;
    uint64_t position;                        /* of the last entry that was taken */
    uint64_t previous;                        /* hash of the first path of the page at hand */
    size_t path_length;                       /* of the directory's path, within walk->path */
    uint64_t spool_from, spool_at, spool_end; /* of the rest of it, in the spool */
    uint64_t spool_page;                      /* where the page at hand came from */
    size_t spool_skip;                        /* of it, when it is read again */
    struct orb_scout *scout;                  /* FRESH: who has looked at the directory already; else NULL */
    struct orb_scout_page *behind;            /* pages that follow the one at hand and are there already */
    struct orb_brood brood;                   /* who looks at the directories in the page at hand */
};

struct orb_walk {
    struct orb_producer producer;
    struct orbit_lister *lister;
    struct orb_backend *backend;

    struct orb_level *levels; /* the last one is at hand */
    size_t count, room;
    uint32_t cursors, cursors_max; /* open ones */
    size_t lowest_cursor;          /* no level before this one has an open cursor */
    size_t lowest_page;            /* or a page */
    size_t retained;               /* bytes of the pages of all levels but the last */
    struct orb_buf path;           /* relative to the listed directory: of the level at hand, then of its entry */
    /* Who the ancestors are, by depth, where symlinks are followed: a loop comes back to one of them. */
    struct orb_identity {
        uint64_t device, inode;
        bool known;
    } * ancestors;
    size_t ancestor_room;

    struct orb_call call;
    bool running; /* an operation, or a job of the spool */
    bool stopped, shut;
    orbit_list_request request;
    orbit_stat_request stat_request;
    orbit_metadata root;
    struct orb_buf request_path, name_prefix;
    orbit_error failure;
    size_t spooled;       /* levels that have something in the spool */
    size_t spooling;      /* the level that is being spooled; SIZE_MAX: none */
    uint32_t empty_pages; /* in a row */
    struct orb_spool spool;

    struct orbit_page batch; /* for the user */
    bool producing;          /* the user asked for a batch that was not delivered yet */
    bool started;
    uint32_t allowance, next_allowance; /* pages that may be asked for before it is */
    struct orb_timer *timer;            /* a batch is not held back for long while the store is slow */
    uint64_t added;                     /* entries that came into batches */
    uint64_t begun_ns;                  /* when the directory at hand was asked for; 0: its first page has come */
    struct orb_ahead ahead;

    /* Where the store's listings may be asked for on a worker (worker_list), a whole batch is filled in one run of
     * one: switching threads for every small directory would cost more than reading it. The walk is the worker's
     * then, from the submission of the job until its message. Not while directories are read ahead. */
    bool may_be_direct;
    bool on_worker;
    _Atomic bool halt; /* the loop wants the worker to end */
    struct orb_job job;
    struct orb_message job_message;
    uint64_t job_ns; /* when it began */
    bool delivers;   /* what the job came to: a batch is to be delivered */
    orbit_status last;
    orbit_error last_error;
};

/* ---- walk.c */
void orb_walk_run(struct orb_walk *walk);
/* An operation or job ended. True when nobody is there any more to use what it brought. */
bool orb_walk_over(struct orb_walk *walk);
/* The listing is over with an error. */
void orb_walk_fail(struct orb_walk *walk, orbit_status status, const orbit_error *error);
void orb_walk_pop(struct orb_walk *walk);
void orb_walk_page_init(const struct orb_walk *walk, struct orbit_page *page);
/* After shut: frees, when nothing is under way any more. */
void orb_walk_free_idle(struct orb_walk *walk);

/* ---- walk_level.c */
/* Each starts one operation and sets `running`; orb_walk_run() follows when it is done. */
void orb_level_begin(struct orb_walk *walk);
void orb_level_page(struct orb_walk *walk);
void orb_walk_stat_root(struct orb_walk *walk);
/* Gives up cursors and pages above the limits. True: an operation was started, wait for it. */
bool orb_walk_shed(struct orb_walk *walk);
void orb_level_release(struct orb_walk *walk, struct orb_level *level);
/* The level at hand has a scout: takes over what that has, or waits for it. */
void orb_level_adopt(struct orb_walk *walk);
/* Where the listed directory's `path` is, for the store. False when memory is out. */
bool orb_walk_spell(const struct orb_walk *walk, const char *path, size_t length, struct orb_buf *to);

#endif
