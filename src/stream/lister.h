/* SPDX-License-Identifier: Apache-2.0
 * A lister from the inside: pages come from a producer on the loop (one flat listing, or a walk) and are handed over
 * one at a time. The next one is asked for when the user took the first entry of the last. */
#ifndef ORB_STREAM_LISTER_H
#define ORB_STREAM_LISTER_H

#include <orbit/list.h>

#include "engine/call.h"
#include "stream/stream.h"

struct orb_producer;
struct orb_producer_kind {
    /* Loop thread, all of these. */
    void (*more)(struct orb_producer *producer); /* deliver a page, now or later, with orb_lister_deliver() */
    void (*stop)(struct orb_producer *producer); /* end what is in flight soon; deliver nothing more */
    /* After stop: frees, when nothing is in flight any more, and then calls orb_stream_gone(). */
    void (*shut)(struct orb_producer *producer);
};
struct orb_producer {
    const struct orb_producer_kind *kind;
    struct orbit_lister *lister;
};

struct orbit_lister {
    struct orb_stream stream;
    struct orb_producer *producer; /* loop */
    char *path;
    orbit_list_options options; /* strings are the lister's own */
    size_t page_bytes;          /* most of one page */
    uint32_t page_entries;      /* most of one page */
    _Atomic uint64_t pages;     /* asked for */
    bool stopped;               /* loop */
    bool walks;                 /* entries carry their depth */
    _Atomic bool halted;        /* what the user was not given yet is void */

    /* The user's thread. */
    struct orbit_page page;
    struct orb_page_cursor at;
    bool asked;              /* for the page after this one */
    uint64_t given;          /* entries */
    uint64_t previous_first; /* hash of the first path of the page before */
    bool page_begun;
    orbit_status ended; /* what is repeated: ORBIT_END or negative; else ORBIT_OK */
    orbit_error error;
    struct orb_message more_message; /* not posted again before its page was delivered */
    _Atomic uint64_t failed;

    struct {
        struct orbit_page page; /* delivered, not taken yet */
        bool full;
        bool waiting;      /* the user waits for it */
        orbit_status last; /* nothing comes after it: ORBIT_END or negative; else ORBIT_OK */
        orbit_error error;
    } locked; /* by the gate */
};

/* Loop: hands over what is in `page`, which is an empty one afterwards. `last` is ORBIT_OK when more may come, else
 * ORBIT_END or a negative status with its error. */
void orb_lister_deliver(struct orbit_lister *lister, struct orbit_page *page, orbit_status last,
                        const orbit_error *error);
/* Any thread: whether the user waits for a page. */
bool orb_lister_waits(struct orbit_lister *lister);
void orb_lister_page_init(struct orbit_lister *lister, struct orbit_page *page);

/* lister_flat.c, walk.c: NULL with `error` filled when memory is out. Any thread. */
struct orb_producer *orb_flat_new(struct orbit_lister *lister, orbit_error *error);
/* lister_parallel.c: for flat listings whose options and whose store allow it. */
bool orb_parallel_fits(const struct orbit_lister *lister);
struct orb_producer *orb_parallel_new(struct orbit_lister *lister, orbit_error *error);
struct orb_producer *orb_walk_new(struct orbit_lister *lister, orbit_error *error);

/* lister_filter.c: any thread. */
/* Whether the user wants this entry; its path is relative to the listed directory. */
bool orb_list_wants(const orbit_list_options *options, const orbit_entry *entry);
/* Whether something below the directory `path` may be wanted. */
bool orb_list_descends(const orbit_list_options *options, const char *path, size_t length, uint32_t depth);
/* What names in the directory `path` ("" for the listed one) must begin with to lead to something wanted: borrowed
 * from the options' prefix, `*length` bytes; 0: anything. */
const char *orb_list_name_prefix(const orbit_list_options *options, const char *path, size_t path_length,
                                 size_t *length);
uint32_t orb_list_depth(const char *path, size_t length);

#endif
