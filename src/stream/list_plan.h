/* SPDX-License-Identifier: Apache-2.0
 * What to ask for next when a flat store is listed in parallel: the space of keys as a chain of segments in key order,
 * cut where the model of the keys supposes work for one more request. It decides and counts; requests, pages and time
 * are its owner's matter. One thread at a time. */
#ifndef ORB_STREAM_LIST_PLAN_H
#define ORB_STREAM_LIST_PLAN_H

#include <stdint.h>

#include "base/buf.h"
#include "stream/keys_model.h"

/* The keys behind `lo` up to and with `hi`. Its pages are asked for one after the other. */
struct orb_list_segment {
    struct orb_list_segment *next;
    struct orb_buf lo, hi, at; /* `at`: the last key that came; empty before */
    bool has_lo, has_hi;       /* false: from the beginning, to the end */
    bool busy;                 /* a page is under way */
    bool broken;               /* its next page never comes */
    bool done;                 /* nothing more is to be asked for */
    bool ended;                /* because the store said that no key follows */
    uint32_t pages;            /* that came */
    uint32_t buffered;         /* of them, not given out yet */
    void *owner_data;

    /* The plan's own: how densely the keys lie here (`count` of them from one key to the other), and how many pages
     * are supposed to be left; negative: unknown. */
    struct orb_buf dense_from, dense_to;
    uint64_t dense_count;
    double left;
    double promised, promised_yield; /* pages up to hi, when it was cut there, and what was believed then; 0: unknown */
    uint64_t brought;                /* keys since */
    struct orb_buf floor;            /* nothing lies between lo and this key; empty: nothing is known */
    bool uncut;                      /* no place for a cut was found */
    bool blind;                      /* where it has got to is not known */
    bool over;                       /* begins behind all that is known of the keys */
    uint32_t ends_doubted;
};

struct orb_list_plan {
    struct orb_list_segment *head; /* the first that was not given out whole */
    struct orb_keys_model *model;
    uint32_t window, window_max; /* pages under way: slow start, and its end */
    uint32_t pages_max;          /* buffered and under way */
    uint32_t buffered, busy;
    double page_keys; /* of a usual page */
    double yield;     /* how many pages lie where one is supposed by what is seen of the density */
    bool parallel;    /* set by the owner; before, one page at a time is asked for and nothing is cut */
    bool on_trial;    /* set by the owner: nothing more is cut until it is known what became of the last cut */
    bool unordered;   /* segments are given out in any order */
    bool out_of_memory;
    /* Segments that began behind all that was known, and held nothing: how many in a row, and how many pages are to
     * come before the next is made. */
    uint32_t overshot, over_wait;
    struct orb_buf wide_from, wide_to; /* how densely the keys lay where a page followed another, the last time */
    uint64_t wide_count;
    struct orb_buf end; /* no key lay behind it when a page said so */
    bool has_end;
};

/* False when memory is out. */
bool orb_list_plan_init(struct orb_list_plan *plan, uint32_t window_max, uint32_t page_keys);
/* Segments must have been dropped of their owner's data. */
void orb_list_plan_release(struct orb_list_plan *plan);

/* The segment whose next page should be asked for now; it is busy then. NULL: nothing to do until a page came or was
 * given out. */
struct orb_list_segment *orb_list_plan_next(struct orb_list_plan *plan);

/* A page came. Keys as the store gave them. */
struct orb_list_news {
    const char *first, *last; /* NULL when there was none */
    size_t first_length, last_length;
    const char *kept; /* the last one up to the segment's hi; NULL when there was none */
    size_t kept_length;
    uint64_t count, kept_count; /* of all keys, of those up to hi */
    bool buffered;              /* there is something of it to give out */
    bool more;
};
void orb_list_plan_arrived(struct orb_list_plan *plan, struct orb_list_segment *segment,
                           const struct orb_list_news *news);
/* This key exists, or did: segments that ended before it, because the store said that nothing follows, are asked for
 * again. True: one of them has been asked for often enough. */
bool orb_list_plan_doubt_ends(struct orb_list_plan *plan, const struct orb_buf *key);
/* A page came that nobody looked into: only while not parallel. */
void orb_list_plan_unseen(struct orb_list_plan *plan, struct orb_list_segment *segment, bool buffered, bool more);
/* The page that was under way is not coming: it may be asked for again. */
void orb_list_plan_failed(struct orb_list_plan *plan, struct orb_list_segment *segment);
/* The page that was under way will never come: the segment is not asked for again, and takes no place of others. */
void orb_list_plan_broken(struct orb_list_plan *plan, struct orb_list_segment *segment);
/* A cut is taken back: takes out what follows `segment`, of which no page came, and whose keys are this one's again. To
 * be freed with orb_list_segment_free(). */
struct orb_list_segment *orb_list_plan_unite(struct orb_list_plan *plan, struct orb_list_segment *segment);
/* A buffered page was given out. */
void orb_list_plan_given(struct orb_list_plan *plan, struct orb_list_segment *segment);
/* The store asks for fewer requests. */
void orb_list_plan_throttled(struct orb_list_plan *plan);
/* Takes out the first segment that is done and given out (only the head, where order is kept); NULL: none. To be freed
 * with orb_list_segment_free(). */
struct orb_list_segment *orb_list_plan_finished(struct orb_list_plan *plan);
void orb_list_segment_free(struct orb_list_segment *segment);

#endif
