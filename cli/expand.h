/* SPDX-License-Identifier: Apache-2.0
 * Sources as they are named on the command line, turned into files and objects: one itself, all that is in
 * a directory, all that a pattern matches. Everything is listed lazily and given out one item at a time, in
 * constant memory. Main thread. */
#ifndef CLI_EXPAND_H
#define CLI_EXPAND_H

#include "session.h"

/* Everything is borrowed until the visitor returns, the store until `leave` was called, or for good. */
struct item {
    struct store *store;
    const char *path;  /* in the store */
    const char *name;  /* below the named directory or the fixed part of the pattern; else the last part */
    const char *shown; /* for messages */
    const orbit_metadata *metadata;
    bool exact;  /* the argument names this very thing: no tree, no pattern */
    bool marker; /* an object that stands for a directory: its key ends in '/' */
};

enum {
    EXPAND_DESCEND = 1u << 0,     /* a directory means what is below it; else it is an item itself */
    EXPAND_DIRECTORIES = 1u << 1, /* directories below are items, too, before what they hold */
    EXPAND_FOLLOW = 1u << 2,      /* symbolic links are what they point to */
    EXPAND_NAMED_LINKS = 1u << 3, /* a link that is named itself stays a link */
    EXPAND_FILTER = 1u << 4,      /* --include and --exclude apply */
    EXPAND_NAMES = 1u << 5,       /* kinds and names will do, no sizes and times */
    EXPAND_SOURCE_KEY = 1u << 6,  /* what is named is looked at with `source_key`, not with the command's */
    EXPAND_GONE = 1u << 9,        /* a pattern may match nothing any more */
    EXPAND_UNORDERED = 1u << 8,   /* in any order: sooner where pages of a listing are asked for side by side */
    EXPAND_TOLD = 1u << 7         /* a walk before this one has told which directories cannot be listed */
};

struct expansion {
    struct session *session;
    uint32_t flags;
    const char *destination; /* nullable: for messages */
    const uint8_t *source_key;
    /* False stops everything. */
    bool (*visit)(void *ctx, const struct item *item);
    /* Nullable: a directory will be walked; false leaves it out. `local` directories are named as the
     * operating system takes them. */
    bool (*enter)(void *ctx, const struct item *directory);
    /* Nullable, around the walk of a tree or a pattern; what was started with its items must end before `leave`
     * returns. Not for what an argument names exactly: that store lives as long as the session. */
    void (*walk)(void *ctx);
    void (*leave)(void *ctx);
    /* Nullable: items are removed as they come, and the store, whose connection was lost, cannot tell any more which
     * ones came before. Returns when those that came are dealt with; what is there then comes anew. */
    void (*settle)(void *ctx);
    void *ctx;
};

/* One argument. False when a visitor stopped; failures are reported and do not stop. */
bool expand(const struct expansion *expansion, const char *typed);

#endif
