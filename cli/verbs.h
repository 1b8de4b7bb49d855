/* SPDX-License-Identifier: Apache-2.0
 * The verbs: each does its arguments and counts what came of them in the session's tally. Main thread. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "session.h"

void verb_ls(struct session *session);
void verb_du(struct session *session);
void verb_stat(struct session *session);
void verb_cat(struct session *session);
void verb_copy(struct session *session); /* cp, mv, put */
void verb_rm(struct session *session);
void verb_mkdir(struct session *session);
void verb_rmdir(struct session *session);
void verb_bucket(struct session *session); /* mb, rb */
void verb_uploads(struct session *session);
void verb_presign(struct session *session);
void verb_tag(struct session *session);
void verb_versions(struct session *session);

/* stat --checksum of one item (verb_checksum.c); ctx is the session. */
struct item;
bool visit_checksum(void *ctx, const struct item *item);
void verb_doctor(struct session *session);

/* One source to standard output. False: stop. */
bool cat_to_stdout(struct session *session, const char *typed, const struct byte_range *range, const char *destination);

/* Removes the empty directories of what `typed` names, deepest first. What is not empty stays; with `tell`
 * that is reported, and every directory that went. */
void remove_directories(struct session *session, const char *typed, bool tell);

#endif
