/* SPDX-License-Identifier: Apache-2.0
 * Removing: a walk that finds what is to go (remove_walk.c) and batches that make it go (remove.c). Private to
 * these two. Loop thread once launched. */
#ifndef ORB_CLIENT_REMOVE_H
#define ORB_CLIENT_REMOVE_H

#include <orbit/file.h>

#include "base/buf.h"
#include "client/remove_batch.h"
#include "client/task.h"
#include "engine/admission.h"
#include "engine/call.h"

#define ORB_REMOVE_BATCHES  8u           /* most under way at a time */
#define ORB_REMOVE_ITEMS    1000u        /* most in a batch */
#define ORB_REMOVE_DEPTH    1000u        /* most directories below one another */
#define ORB_REMOVE_NAMES    (256u << 10) /* bytes of names in a batch */
#define ORB_REMOVE_PATH_MAX (64u << 10)

/* Paths on their way out, one call. */
struct remove_batch {
    struct orb_remove_batch core; /* first; items: room for owner->batch_items */
    struct remove_task *owner;
    size_t *offsets; /* of the paths in names, until the batch is sent */
    struct orb_buf names;
    bool busy;
};

/* A directory that is being emptied. */
struct remove_level {
    void *cursor;
    struct orbit_page page;
    struct orb_page_cursor at;
    size_t prefix; /* length of owner->prefix that names this directory, '/' included */
    size_t path;   /* without the '/' */
    uint64_t failed_before;
    bool begun, more;
};

struct remove_task {
    struct orbit_task task;
    struct orbit_backend *backend;
    orbit_call_options options;
    char *path, *version_id;

    struct remove_batch *batches[ORB_REMOVE_BATCHES];
    struct remove_batch *filling; /* one of them, or NULL */
    unsigned batch_count, busy;
    size_t batch_items;
    struct orb_admission admission;
    uint64_t reserved;

    bool walking, deep, walked;
    char *list_path;      /* of the list_begin under way */
    struct orb_call call; /* stat, list_begin, list_page */
    orbit_stat_request stat;
    orbit_metadata seen;
    orbit_list_request list;
    struct orb_buf prefix; /* the directory at the top of the stack, with a '/' behind it unless it is the root */
    struct remove_level **levels;
    size_t level_count, level_room;

    uint64_t tried, failed;
    orbit_error first;  /* of the items that failed */
    orbit_status fatal; /* of a whole call: nothing more is begun */
    orbit_error fatal_error;
};

/* remove.c: does what can be done now; called whenever something has ended. */
void orb_remove_step(struct remove_task *task);
/* An item or entry that stays. */
void orb_remove_failed(struct remove_task *task, orbit_status status, const orbit_error *error);
void orb_remove_fatal(struct remove_task *task, orbit_status status, const orbit_error *error);

/* A batch with room for one more path of `length` bytes; NULL: wait for one. */
struct remove_batch *orb_remove_room(struct remove_task *task, size_t length);
void orb_remove_add(struct remove_task *task, struct remove_batch *batch, const char *directory,
                    size_t directory_length, const char *name, size_t name_length, bool slash);
void orb_remove_send(struct remove_task *task);

/* remove_walk.c */
void orb_walk_begin(struct remove_task *task);
/* Goes on until a call is under way or batches are full; sets task->walked when all was found. */
void orb_walk_step(struct remove_task *task);
void orb_walk_release(struct remove_task *task);

#endif
