/* SPDX-License-Identifier: Apache-2.0
 * The journal beside a temporary: which of its bytes are written, so that a later write of the same content goes on
 * from there, also after kill -9 or a power cut.
 *
 *     orb_local_journal_open()                              worker: takes up, or begins
 *     enter(span) … wrote(span, end) … leave(span, crcs)    each part: enter on the loop, wrote on any thread
 *     orb_local_journal_check(), orb_local_journal_end()    worker: the whole; then it goes, or stays
 *
 * Bytes are written before the journal says so. What it says is believed as long as the machine has not been started
 * anew since (the boot id is the same: the kernel has what was written); what it says was *flushed* is believed always,
 * and is said only after fdatasync. */
#ifndef ORB_BACKEND_LOCAL_LOCAL_JOURNAL_H
#define ORB_BACKEND_LOCAL_LOCAL_JOURNAL_H

#include "backend/local/local.h"
#include "base/extents.h"

struct orb_local_journal;

#define ORB_LOCAL_JOURNAL ".journal" /* behind the temporary's name */

/* A part under way. */
struct orb_local_span {
    uint64_t begin;
    _Atomic uint64_t end; /* written up to here */
    struct orb_local_span *next, **link;
};

struct orb_local_journal_request {
    int directory, fd; /* of the temporary, which is locked */
    const char *temporary;
    const orbit_keep_request *keep;
    bool fresh;   /* the temporary was just made: a journal that is there speaks of another one */
    bool flushes; /* fdatasync now and then */
};
/* ORBIT_END: there is a journal, but not of these bytes; it was removed, and the temporary should be, too. */
orbit_status orb_local_journal_open(struct orb_local_journal **made, struct orb_local *self,
                                    const struct orb_local_journal_request *request, orbit_error *error);
const orbit_extent *orb_local_journal_extents(const struct orb_local_journal *journal, size_t *count, uint64_t *bytes);

/* Before the first part: the bytes up to `end` are there as well. They count as extents, but the record does not say
 * so: what nobody has proved is not believed the next time. */
orbit_status orb_local_journal_give(struct orb_local_journal *journal, uint64_t end, orbit_error *error);

void orb_local_journal_enter(struct orb_local_journal *journal, struct orb_local_span *span, uint64_t begin);
void orb_local_journal_wrote(struct orb_local_journal *journal, struct orb_local_span *span, uint64_t end);
/* The part is over: `extent` has its CRCs (length 0: it ended early, what was written counts). Worker. */
void orb_local_journal_leave(struct orb_local_journal *journal, struct orb_local_span *span,
                             const struct orb_extent *extent);

/* No job of it runs any more. Negative: a flush had failed, so that nobody knows what is on the disk. Worker. */
orbit_status orb_local_journal_stop(struct orb_local_journal *journal, orbit_error *error);
/* After stop: the whole has this CRC. Reads what was not summed when it was written, or all of it (`reread`). */
orbit_status orb_local_journal_check(struct orb_local_journal *journal, const orbit_op *op,
                                     const orbit_checksum *expected, bool reread, const char *path, orbit_error *error);
/* Closes and frees; the file goes, or stays for a later begin. True: it stays. NULL is fine. Worker. */
bool orb_local_journal_end(struct orb_local_journal *journal, bool remove);

#endif
