/* SPDX-License-Identifier: Apache-2.0
 * The journal of one upload in parts of a file, or of another store's object: where it goes, what it is of, how it is
 * cut, its id at the store and the parts the store has confirmed. It is a ledger in a directory of the user's, found
 * again by target and source, so that another process can go on. What is made of it is copy_resume.c's.
 *
 * A journal tells in this order: PLAN (before the store is asked for an upload), BEGUN (its id), PARTs as they are
 * confirmed, FINISHING (before the store is asked to put them together). Of a store that goes on from any byte it
 * tells EXTENTS instead of parts: what the store has acknowledged; MARK: that is being flushed; FLUSHED: that was.
 * Blocking: on workers. One thread at a time. */
#ifndef ORB_ENGINE_JOURNAL_H
#define ORB_ENGINE_JOURNAL_H

#include <orbit/backend_ops.h>

#include "base/buf.h"
#include "base/extents.h"

struct orb_ledger;

enum {
    ORB_JOURNAL_STORE_MAX = 2048,
    ORB_JOURNAL_KEY_MAX = 8192,
    ORB_JOURNAL_SOURCE_MAX = ORB_JOURNAL_STORE_MAX + 1 + ORB_JOURNAL_KEY_MAX,
    ORB_JOURNAL_ID_MAX = 4096,
    ORB_JOURNAL_ETAG_MAX = 256
};

/* The source as it is when the upload begins. Another one is another upload. */
struct orb_journal_plan {
    uint64_t device, inode; /* of an object: digests of its ETag and of its version's id */
    uint64_t size;
    int64_t mtime_ns; /* of an object: where it has neither */
    uint64_t part_bytes;
    uint64_t options;   /* a digest of how it is to be stored */
    int64_t planned_ns; /* by our clock */
};

struct orb_journal {
    char *store, *key; /* owned: the target as backends locate it */
    char *source;      /* owned: the file, absolute; or another store and what lies there, a newline between them */
    bool elsewhere;    /* the latter */
    struct orb_ledger *ledger;
    char name[48]; /* of the file */

    /* What was found when it was opened. */
    bool planned, finishing;
    struct orb_journal_plan plan;
    char *upload_id; /* NULL: never begun, or the reply was not heard */
    /* The parts: their records as they are, and where in them each number is (0: unknown; else 1 + place). */
    struct orb_buf parts;
    uint32_t *at;
    uint32_t count; /* numbers there can be */
    /* Bytes that the store has: acknowledged; those that were when the flush was asked for that is under way;
     * flushed. */
    struct orb_extents loose, marked, flushed;
};

/* `source_store` NULL: `source` is a file, and may be relative. Copies. */
orbit_status orb_journal_init(struct orb_journal *journal, const char *store, const char *key, const char *source_store,
                              const char *source, orbit_error *error);
/* Where the name of what lies in another store begins in journal->source; NULL: that is a file. */
const char *orb_journal_elsewhere(const struct orb_journal *journal);
/* Opens (or makes) it below `directory`, which is made 0700 where it is missing, and reads it. ORBIT_E_BUSY: another
 * process or stream has it. A file that is no journal any more is replaced. */
orbit_status orb_journal_open(struct orb_journal *journal, const char *directory, orbit_error *error);
/* The confirmed part `number`; false: none. `etag` is copied. */
bool orb_journal_part(const struct orb_journal *journal, uint32_t number, orbit_stored_part *part,
                      char etag[ORB_JOURNAL_ETAG_MAX]);
/* Frees what was read of parts. */
void orb_journal_forget_parts(struct orb_journal *journal);

orbit_status orb_journal_begin(struct orb_journal *journal, const struct orb_journal_plan *plan, orbit_error *error);
orbit_status orb_journal_begun(struct orb_journal *journal, const char *upload_id, orbit_error *error);
orbit_status orb_journal_confirm(struct orb_journal *journal, const orbit_stored_part *part, orbit_error *error);
orbit_status orb_journal_finishing(struct orb_journal *journal, orbit_error *error);

/* journal_bytes.c: these bytes are at the store, too; what is there is being flushed, and was; what is in `journal` now
 * replaces what the file says. */
orbit_status orb_journal_wrote(struct orb_journal *journal, const struct orb_extents *extents, orbit_error *error);
orbit_status orb_journal_mark(struct orb_journal *journal, orbit_error *error);
orbit_status orb_journal_flushed(struct orb_journal *journal, orbit_error *error);
orbit_status orb_journal_restate(struct orb_journal *journal, orbit_error *error);
uint64_t orb_journal_bytes(const struct orb_journal *journal);

/* Removes the file: the upload is over, one way or the other. */
void orb_journal_remove(struct orb_journal *journal);
void orb_journal_release(struct orb_journal *journal); /* the file stays */

/* ---- looking at journals ------------------------------------------------------------------------------ */

/* The directory as a descriptor, -1 with `error` filled; ORBIT_E_NOT_FOUND (and `make` false): there is none. */
int orb_journal_directory(const char *directory, bool make, orbit_error *error);
/* Reads the journal called `name` without taking it; its parts are counted, not kept. ORBIT_E_NOT_FOUND where it is
 * none of an upload. `journal` is zeroed. */
orbit_status orb_journal_look(struct orb_journal *journal, int directory, const char *name, uint64_t *confirmed,
                              orbit_error *error);
/* Takes the journal called `name`: ORBIT_E_BUSY while somebody has it. */
orbit_status orb_journal_take(struct orb_journal *journal, int directory, const char *name, orbit_error *error);
/* The beginning of the names of all journals to that target. */
void orb_journal_target(char text[18], const char *store, const char *key);
bool orb_journal_is_name(const char *name);

/* ---- between its files ------------------------------------------------------------------------------------ */

/* The plan, and the id if there is one. */
orbit_status orb_journal_write_head(const struct orb_journal *journal, struct orb_ledger *fresh, orbit_error *error);
/* A record of bytes. ORBIT_E_MEMORY, or ORBIT_OK. */
orbit_status orb_journal_read_bytes(struct orb_journal *journal, uint16_t type, const void *payload, size_t length,
                                    orbit_error *error);
void orb_journal_forget_bytes(struct orb_journal *journal);

#endif
