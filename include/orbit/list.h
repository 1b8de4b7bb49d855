/* SPDX-License-Identifier: Apache-2.0
 * Listing as a stream: one reusable entry at a time, constant memory for any number of entries.
 *
 *     while ((status = orbit_lister_next(lister, &entry, &error)) != ORBIT_END) {
 *         if (status == ORBIT_OK) …                       one entry
 *         else if (status == ORBIT_ENTRY_FAILED) …        this one could not be read, go on
 *         else break;                                     final, repeated by every later call
 *     } */
#ifndef ORBIT_LIST_H
#define ORBIT_LIST_H

#include <orbit/backend.h>
#include <orbit/client.h>
#include <orbit/metadata.h>
#include <orbit/trace.h>

ORBIT_BEGIN_DECLS

/* Flags of an entry. */
enum {
    ORBIT_ENTRY_MARKER = 1u << 0, /* an object that stands for a directory: its key is the path and a '/' */
    ORBIT_ENTRY_LATEST = 1u << 1, /* with `versions`: what a read without a version id gets … */
    ORBIT_ENTRY_DELETED = 1u << 2 /* … unless it is this: a marker that the object was removed, without contents */
};

/* Everything is borrowed until the next call on the lister. */
typedef struct orbit_entry {
    /* Relative to the listed directory; bytes, NUL-terminated. Ends in '/' only where that is part of an object's key
     * that has no name behind it: "a//" and "/" stay as they are, so that a '/' is to be added where there is none. */
    const char *path;
    size_t path_length;
    uint32_t flags; /* ORBIT_ENTRY_… */
    uint32_t depth; /* 1 for direct children */
    orbit_metadata metadata;
} orbit_entry;

typedef struct orbit_list_options {
    size_t size;
    bool recursive;
    bool include_hidden;     /* true; false skips names that begin with '.' (and what is below them) */
    bool follow_symlinks;    /* of directories, too; loops are ORBIT_ENTRY_FAILED */
    bool files_only;         /* no directories (nor markers of directories) */
    bool want_metadata;      /* true; false: names and kinds suffice (faster on local disks) */
    uint32_t max_depth;      /* 0: unlimited; 1: direct children. Only with recursive */
    uint64_t max_entries;    /* 0: unlimited. The stream ends after this many */
    const char *prefix;      /* only entries whose path begins with these bytes; of a marker, its key */
    const char *start_after; /* only entries that sort after this, directories as `name/`; ordered stores only */
    const char *delimiter;   /* NULL: "/"; object stores only */
    uint32_t page_entries;   /* 0: the store's largest */
    uint32_t timeout_ms;
    orbit_cancel *cancel;
    void (*ready)(void *ctx); /* set: use orbit_lister_try_next(); called once after each ORBIT_AGAIN */
    void *ready_ctx;
    /* Requests of one listing at the same time: pages, where a store lists in the order of its keys and can begin
     * anywhere (S3, but not its directory buckets), or directories of a recursive listing that come next, where it
     * has such. 0: as many as are worth it, which is one where they come quickly; 1: one after the other; at most
     * 64, and at most half of the directories that a walk may keep open. The entries and their order are the same. */
    uint32_t list_workers;
    bool unordered; /* with several workers: entries as they come; a directory's own still before those in it */
    /* Every version of each object, the latest first, and the markers of removals: metadata.version_id tells them
     * apart, flags say which is the latest. ORBIT_E_UNSUPPORTED where a store has none. Pages come one after the
     * other. */
    bool versions;
} orbit_list_options;

ORBIT_API void orbit_list_options_init(orbit_list_options *options);
#ifndef __cplusplus
#define ORBIT_LIST_OPTIONS_INIT                                                           \
    {                                                                                     \
        .size = sizeof(orbit_list_options), .include_hidden = true, .want_metadata = true \
    }
#endif

typedef struct orbit_lister orbit_lister;

/* Starts listing the directory `path` ("" for the backend's root). Does not wait: what is wrong with
 * `path` is told by the first orbit_lister_next(). One thread at a time per lister. */
ORBIT_API orbit_status orbit_list(orbit_lister **lister, orbit_backend *backend, const char *path,
                                  const orbit_list_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_lister_next(orbit_lister *lister, orbit_entry *entry, orbit_error *error);
ORBIT_API orbit_status orbit_lister_try_next(orbit_lister *lister, orbit_entry *entry, orbit_error *error);
/* How many entries or subtrees failed so far (ORBIT_ENTRY_FAILED). */
ORBIT_API uint64_t orbit_lister_failed(const orbit_lister *lister);
/* Pages asked for so far. */
ORBIT_API uint64_t orbit_lister_pages(const orbit_lister *lister);
/* What it asked so far. Any thread, until it is closed. ORBIT_E_MISUSE: `stats` is NULL or has no size. */
ORBIT_API orbit_status orbit_lister_get_stats(const orbit_lister *lister, orbit_stream_stats *stats);
/* Closing early fetches nothing more. NULL is fine. */
ORBIT_API void orbit_lister_close(orbit_lister *lister);

ORBIT_END_DECLS

#endif
