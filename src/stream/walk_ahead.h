/* SPDX-License-Identifier: Apache-2.0
 * Looking ahead of a walk: directories that it comes to next are read at the same time, in many requests. Loop
 * thread only; while the walk is on a worker there are no scouts.
 *
 * A *scout* looks at one directory: it begins its listing and takes the first pages of it. Which directories come
 * next follows from the pages that are there, those of the walk's levels and those that scouts brought: below each
 * page hangs its *brood*, the scouts of directories in it, in its order, so all of them are in the order of the
 * walk. The nearest to where the walk is goes first. When the walk enters a directory, its level takes over what the
 * scout has.
 *
 * Nothing depends on it: what was not looked at, or got no memory, the walk asks for itself. Requests, scouts, their
 * bytes and their open cursors are bounded, whatever the tree is; the nearer, the more of that one may use. */
#ifndef ORB_STREAM_WALK_AHEAD_H
#define ORB_STREAM_WALK_AHEAD_H

#include "base/buf.h"
#include "engine/call.h"

struct orb_walk;
struct orb_level;

struct orb_brood {
    struct orb_scout *first;
    struct orb_page_cursor looked; /* how far its page was searched for directories */
};

struct orb_scout_page {
    struct orb_scout_page *next;
    struct orbit_page page;
};

struct orb_scout {
    struct orb_walk *walk;
    struct orb_scout *next;                 /* in its brood */
    struct orb_scout *all_next, **all_link; /* of the walk's */
    struct orb_brood brood;                 /* below its first page */
    size_t place;                           /* where its directory's entry is in the page of the brood it is in */
    struct orb_buf path;                    /* of the directory, relative to the listed one */
    uint32_t depth;

    struct orb_call call;
    orbit_list_request request;
    struct orb_buf request_path, name_prefix;
    void *cursor;
    struct orbit_page page;               /* under way */
    struct orb_scout_page *room;          /* for it */
    struct orb_scout_page *first, **last; /* that came */
    uint32_t pages;                       /* of them */
    uint64_t begun_ns;                    /* 0: its first page has come */
    size_t charged;                       /* to the budget, for itself */
    bool open;                            /* counts among the open cursors */
    bool more;                            /* pages follow */
    bool running;
    bool tired;   /* asks for no more: the walk does */
    bool dropped; /* nobody wants what it brings */
    bool told;    /* its entry was given out, the walk enters it later (without order) */
    orbit_status failed;
    orbit_error error;
};

struct orb_ahead {
    uint32_t workers; /* requests at the same time, at most; below 2: the walk is serial */
    bool asked;       /* by the user: not only where directories take long */
    bool far;         /* they do */
    double wait_ns;   /* what waiting for one costs, smoothed */
    unsigned slow;    /* so many that took long, in a row */
    uint32_t window;  /* slow start, and its end */
    uint32_t running, count, cursors;
    size_t held;               /* bytes of pages */
    struct orb_scout *scouts;  /* all of them */
    struct orb_scout *awaited; /* the walk waits for this one, … */
    bool awaits_any;           /* … or for one whose entry was told */
};

void orb_ahead_init(struct orb_walk *walk);
/* A directory's first page of `count` entries took so long. The walk's thread. */
void orb_ahead_learn(struct orb_walk *walk, uint64_t took_ns, uint64_t count);
/* Whether directories are read ahead now. The walk's thread. */
bool orb_ahead_on(const struct orb_walk *walk);
/* Open cursors that the walk's levels may have. */
uint32_t orb_ahead_leaves_cursors(const struct orb_walk *walk);
/* Starts what may be started. */
void orb_ahead_look(struct orb_walk *walk);
/* The walk stops: ends what is under way soon. */
void orb_ahead_stop(struct orb_walk *walk);

/* The walk has come to the directory whose entry is at `place` of the level's page: its scout is the caller's; NULL
 * when there is none. */
struct orb_scout *orb_brood_take(struct orb_brood *brood, size_t place);
/* Puts it back: its entry was told, it will be entered later. */
void orb_brood_tell(struct orb_brood *brood, struct orb_scout *scout);
/* One of those that is there, taken out; NULL: none. `*any`: whether there are told ones at all. */
struct orb_scout *orb_brood_told(struct orb_brood *brood, bool *any);
/* Drops the scouts of a page that is no longer there; of all but told ones, or of all. */
void orb_brood_drop(struct orb_brood *brood, bool all);

/* The walk waits for a running scout, or (NULL) for any one that was told. */
void orb_scout_await(struct orb_walk *walk, struct orb_scout *scout);
/* The walk has taken the cursor and the pages over. */
void orb_scout_leave(struct orb_scout *scout);
void orb_scout_drop(struct orb_scout *scout); /* NULL is fine */
/* The first page of a list, for who releases it. */
struct orbit_page orb_scout_page_take(struct orb_walk *walk, struct orb_scout_page **pages);

#endif
