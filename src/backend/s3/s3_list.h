/* SPDX-License-Identifier: Apache-2.0
 * Where a listing stands: what is asked for, and after which key, version or token the next page begins. Loop
 * thread, but that a page's parser looks at it on the lane while its request is under way. */
#ifndef ORB_BACKEND_S3_LIST_H
#define ORB_BACKEND_S3_LIST_H

#include "backend/s3/s3.h"

enum { ORB_S3_VERSION_MAX = 1024, ORB_S3_TOKEN_MAX = 16 << 10 };

struct orb_s3_cursor {
    struct orb_s3 *s3;
    struct orb_xml *xml;
    struct orb_buf prefix; /* that is looked for: root, directory, the caller's prefix */
    struct orb_buf asked;  /* of it what the store is asked for; keys that it does not fit are passed over */
    size_t skip;           /* how much of a key is root and directory */
    char *delimiter;       /* owned; NULL: the whole subtree */
    uint32_t page_entries;
    bool ordered;
    struct orb_buf after;                       /* full key: only what sorts behind it */
    bool has_after, from_after;                 /* the next page is asked for by it */
    bool versions;                              /* all of them, and markers of deletion */
    bool blots;                                 /* its pages hold what XML cannot carry */
    char after_version[ORB_S3_VERSION_MAX + 1]; /* with versions: of the key `after`, "" for all of its */
    struct orb_buf token;                       /* or by this */
    bool has_token;
    /* An earlier token, kept for twice as many pages each time: tokens that go in a circle come upon it. */
    struct orb_buf landmark;
    uint64_t token_count, next_landmark;
    struct orb_buf landmark_key; /* the same of pages, where it is the tokens that are new each time: the last key */
    uint64_t repeats;            /* pages that ended with it once more */
};

/* The next page is asked for by this token, which came with a page that ends with `last` ("": no key), or after this
 * key and version ("": after all versions of the key). ORBIT_E_PROTOCOL when that is where it was asked for before:
 * the store goes in a circle. */
orbit_status orb_s3_cursor_token(struct orb_s3_cursor *cursor, const char *token, const char *last, orbit_error *error);
orbit_status orb_s3_cursor_after(struct orb_s3_cursor *cursor, const char *key, const char *version,
                                 orbit_error *error);
/* Fills `error`: the store's listing has no end, because it does `what`. */
orbit_status orb_s3_list_endless(orbit_error *error, const char *what);

#endif
