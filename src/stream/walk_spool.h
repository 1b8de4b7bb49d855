/* SPDX-License-Identifier: Apache-2.0
 * A stack of listing pages in an unlinked temporary file: what a walk had to put aside. The file is made when it is
 * first needed and read and written by the client's workers. Loop thread; one operation at a time. */
#ifndef ORB_STREAM_WALK_SPOOL_H
#define ORB_STREAM_WALK_SPOOL_H

#include "backend/backend.h"

struct orb_spool {
    struct orbit_host *host;
    const char *dir; /* nullable: $TMPDIR, else /tmp */
    int fd;          /* -1: not made yet */
    uint64_t end;    /* where the next page goes; lowering it takes pages off */

    struct orb_job job;
    struct orb_message message;
    struct orbit_page *page;
    struct orb_page_cursor at;
    uint64_t offset, next;
    bool writes;
    orbit_status status;
    orbit_error error;
    void (*done)(void *ctx, orbit_status status, const orbit_error *error);
    void *ctx;
};

void orb_spool_init(struct orb_spool *spool, struct orbit_host *host, const char *dir);
void orb_spool_close(struct orb_spool *spool);
/* Puts `page`, from its entry `at` on, onto the stack. done() comes later, on the loop. */
void orb_spool_write(struct orb_spool *spool, struct orbit_page *page, struct orb_page_cursor at,
                     void (*done)(void *ctx, orbit_status status, const orbit_error *error), void *ctx);
/* Reads the page at `offset` back; spool->at is its first entry, spool->next where the page behind it is. */
void orb_spool_read(struct orb_spool *spool, uint64_t offset, struct orbit_page *page,
                    void (*done)(void *ctx, orbit_status status, const orbit_error *error), void *ctx);

#endif
