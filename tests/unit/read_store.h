/* SPDX-License-Identifier: Apache-2.0
 * A user's backend for tests of the read side: one object of any size whose bytes follow from their offsets, and a
 * tree of directories that follows from a shape, with switches for everything that goes wrong on the way. Reads and
 * pages run on workers, as those of a real store do. */
#ifndef TESTS_UNIT_READ_STORE_H
#define TESTS_UNIT_READ_STORE_H

#include <stdatomic.h>

#include <orbit/backend_ops.h>
#include <orbit/orbit.h>

struct read_store {
    orbit_capabilities caps;

    /* The object, whatever the path ("missing" does not exist). */
    uint64_t size;
    bool no_size;            /* replies do not say how long it is */
    bool no_head;            /* replies are told at the end of the read only */
    orbit_checksum checksum; /* stored with it */
    size_t piece;            /* bytes of one commit; 0: all there is room for */

    _Atomic uint64_t cut_after;  /* each read ends with a retriable error after so many bytes … */
    _Atomic int cuts;            /* … so often */
    bool silent_cut;             /* … or with success */
    _Atomic uint64_t fail_at;    /* a byte nobody gets: reads that come to it fail for good. UINT64_MAX: none */
    uint64_t beyond;             /* bytes delivered after the last one asked for */
    uint64_t slow_from, slow_to; /* reads that begin there are held back until `release` */
    _Atomic bool release;
    _Atomic uint64_t change_after; /* reads until the object is another one. UINT64_MAX: never */
    uint32_t delay_us;             /* of every read */

    _Atomic uint64_t reads, bytes, in_flight, in_flight_max, pauses;
    _Atomic uint64_t offsets[256]; /* of the first reads, in order */

    /* Listings: every directory holds `files` files f0000000, … and, down to `depth` levels, `directories`
     * directories d0, … between them: first half the files, then the directories, then the rest. */
    uint64_t files;
    uint32_t depth, directories;
    uint32_t page;           /* entries a page at most; 0: as asked */
    const char *unlistable;  /* relative path of a directory that cannot be listed */
    uint64_t fail_page;      /* this page (from 1) of every directory fails; 0: none */
    bool repeats;            /* sends its first page again and again */
    bool loop;               /* each directory is the same one, as seen through a link */
    _Atomic int flaky_pages; /* pages that fail once, retriably */
    _Atomic uint64_t begins, ends, pages, cursors, cursors_max, suspends;
};

/* What byte `offset` of the object is. */
uint8_t read_store_byte(uint64_t offset);
/* The object's checksum, computed the slow way. */
orbit_checksum read_store_crc64(uint64_t size);

/* Defaults: an object store with 64 KiB chunks and 4 parallel ranges. */
void read_store_init(struct read_store *store);
/* A client with the store registered, and a backend open on it. `client_options` nullable. */
void read_store_open(struct read_store *store, const orbit_client_options *client_options, orbit_client **client,
                     orbit_backend **backend);

#endif
