/* SPDX-License-Identifier: Apache-2.0
 * The parallel producer from the inside, what its files share: lister_parallel.c gives out and doubts, parallel_part.c
 * asks for a segment's pages, parallel_page.c reads in them what the plan wants to know. Loop thread only. */
#ifndef ORB_STREAM_LISTER_PARALLEL_H
#define ORB_STREAM_LISTER_PARALLEL_H

#include "stream/list_plan.h"
#include "stream/lister.h"

struct orb_list_ready {
    struct orb_list_ready *next;
    struct orbit_page page;
    size_t first_at, last_at; /* where the first and the last entry with a key are */
    bool has_key;             /* and whether that is known */
};

/* A segment's listing. */
struct orb_list_part {
    struct orb_list_segment *segment;
    struct orb_parallel *parallel;
    struct orb_list_part *next, **link;
    struct orb_call call;
    orbit_list_request request;
    void *cursor;
    struct orbit_page page;      /* under way */
    struct orb_list_ready *room; /* for the page under way */
    struct orb_list_ready *first, **last;
    uint64_t started_ns;
    uint32_t empty_pages;
    bool guess; /* it begins where nobody has been */
    bool came;  /* some page of it did */
    bool running;
    bool refused; /* the store did not like its place */
    bool dropped; /* of no use any more but to tell what a guess is worth; owns its segment */
    orbit_status failed;
    orbit_error error;
};

struct orb_parallel {
    struct orb_producer producer;
    struct orb_backend *backend;
    struct orb_list_plan plan;
    struct orb_list_part *parts;
    struct orbit_page spare; /* its slab is used again */
    uint32_t running;
    uint32_t wishes;     /* how many pages the user asked for */
    uint64_t given;      /* entries */
    uint32_t seen_pages; /* whose keys were looked at */
    double page_bytes, page_ns;
    unsigned slow_pages;      /* the last ones, in a row */
    bool far;                 /* waiting for pages outweighs reading them */
    struct orb_buf given_key; /* the last one given out, where given_known */
    bool given_known;
    struct orb_buf seen_key; /* at least as great a one exists: a page held it, or has more behind it */
    bool wanted, stopped, shut, over;
    bool falling;  /* what is under way is ended, then the listing goes on serially */
    bool serial;   /* for good */
    bool skipping; /* it began at the very beginning again: what was given out is dropped */
    bool proven;   /* a guess was answered as it should be: the store knows start-after */
    bool refused;  /* a guess was: no more of them */
};

/* A key as the store orders it: a directory's ends in '/'. */
struct orb_list_key {
    const char *bytes;
    size_t length;
    char room[ORB_KEY_ROOM];
};

/* What a walk over a page found: places of entries in it. */
struct orb_list_sight {
    size_t first_at, last_at, kept_at;
    size_t cut_at, cut_count; /* where what lies behind the segment's hi begins */
    uint64_t keys, kept;
};

/* ---- lister_parallel.c ---- */

/* An operation of a part ended. True when nobody is there any more to use what it brought. */
bool orb_parallel_over(struct orb_list_part *part);
/* After that: its page came, or none does. */
void orb_parallel_ended(struct orb_list_part *part, orbit_status status, const orbit_error *error);

/* ---- parallel_part.c ---- */

static inline struct orb_list_part *orb_list_part_of(const struct orb_list_segment *segment)
{
    return segment->owner_data;
}

/* Asks for the next page of a segment. False when memory is out. */
bool orb_list_part_start(struct orb_parallel *parallel, struct orb_list_segment *segment);
/* Not while its operation runs. NULL is fine. */
void orb_list_part_free(struct orb_list_part *part);

/* ---- parallel_page.c ---- */

int orb_list_key_compare(const struct orb_list_key *a, const struct orb_buf *b);
/* The key of the entry at this place of a page; an empty one where there is none. */
void orb_list_key_at(const struct orbit_page *page, size_t place, struct orb_list_key *key);

/* Whether waiting for a page outweighs reading it: sets `far`. */
void orb_parallel_learn_time(struct orb_parallel *parallel, const struct orb_list_part *part, uint64_t now_ns);
/* How many such pages may be held. */
void orb_parallel_bound_pages(struct orb_parallel *parallel, const struct orbit_page *page);
/* Learns the keys of the part's page and looks for the segment's hi. False when the keys do not increase, or one is
 * longer than keys are. */
bool orb_parallel_look_into(struct orb_parallel *parallel, const struct orb_list_part *part,
                            const struct orbit_page *page, struct orb_list_sight *sight);
void orb_parallel_tell_plan(struct orb_parallel *parallel, struct orb_list_part *part,
                            const struct orb_list_sight *sight);
/* While skipping: drops what was given out from a page of the listing that began again. False when memory is out. */
bool orb_parallel_drop_given(struct orb_parallel *parallel, struct orbit_page *page);
/* What came waits until it is given out; `sight` is NULL where nobody looked into it. */
void orb_parallel_keep_page(struct orb_list_part *part, const struct orb_list_sight *sight);

#endif
