/* SPDX-License-Identifier: Apache-2.0
 * What a journal's file says, and what is believed of it: a ledger (base/ledger.h) of
 *
 *     HEAD      which content, its size, which temporary, which boot
 *     EXTENTS   these bytes are written
 *     MARK      what was said so far is being flushed
 *     FLUSHED   and is on the disk
 *
 * Workers; one thread at a time, but orb_local_record_sync() runs beside the others. */
#ifndef ORB_BACKEND_LOCAL_LOCAL_JOURNAL_FILE_H
#define ORB_BACKEND_LOCAL_LOCAL_JOURNAL_FILE_H

#include "backend/local/local_journal.h"
#include "base/ledger.h"

struct orb_local_record {
    struct orb_ledger *ledger;
    void *head; /* the HEAD's payload */
    size_t head_length;
    struct orb_extents written, flushed, pending; /* pending: as of the last MARK */
    bool flushes;                                 /* mark, flushed and sync come now and then */
    bool behind;                                  /* the file could not be written: it says less than it might */
};

/* ORBIT_END: not of these bytes; the journal was removed. boot_id_path: where the boot's name stands. */
orbit_status orb_local_record_open(struct orb_local_record *record, const char *boot_id_path,
                                   const struct orb_local_journal_request *request, orbit_error *error);
void orb_local_record_add(struct orb_local_record *record, const struct orb_extent *extents, size_t count);
bool orb_local_record_mark(struct orb_local_record *record);
void orb_local_record_flushed(struct orb_local_record *record);
void orb_local_record_sync(struct orb_local_record *record);
void orb_local_record_close(struct orb_local_record *record, bool remove);
void orb_local_record_release(struct orb_local_record *record);

#endif
