/* SPDX-License-Identifier: Apache-2.0
 * A ledger: a small file of checksummed records that are only ever added, so that whoever is killed, or loses power,
 * in the middle of adding one finds all the earlier ones when it opens the file again. It is how a transfer remembers
 * what it has done. The ledger knows no meaning: types and payloads (see base/pack.h) are the owner's.
 *
 *     static orbit_status take(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error);
 *
 *     struct orb_ledger *ledger = NULL;
 *     status = orb_ledger_open(&ledger, directory, "x.journal", KIND, ORB_LEDGER_CREATE, take, ctx, &error);
 *     ...                                            take() was called for each record there is, oldest first
 *     orb_ledger_append(ledger, TYPE, payload, length, &error);    in the kernel: survives kill -9
 *     orb_ledger_sync(ledger, &error);                             on the disk: survives a power cut
 *     if (orb_ledger_bytes(ledger) > 1 << 20)
 *         orb_ledger_rewrite(ledger, what_still_counts, ctx, &error);
 *     orb_ledger_remove(ledger);                     done: the file goes; or orb_ledger_close(): it stays
 *
 * What it promises:
 *   - One owner. The file is locked from open to close, against other processes and other streams of this one: who
 *     comes second hears ORBIT_E_BUSY. The lock goes with the process.
 *   - Records are whole and unchanged (CRC32C) or not there. The first that is torn or damaged ends the ledger: it and
 *     what follows is cut off when the ledger is opened (orb_ledger_cut() says how many bytes).
 *   - Order: a record that is there implies all earlier ones. After a power cut what was synced is there for certain,
 *     what was not may be. Across *files* it promises nothing: bytes that a record speaks of must be where they
 *     belong before the record is appended (or before it is synced, if it is to be believed after a power cut).
 *   - It is the user's own: 0600, never through a symlink, and not taken up when it belongs to someone else.
 *   - A file of that name that is no ledger of this kind is not touched: ORBIT_E_CONFIG (a stranger's file, or one
 *     whose head is damaged) or ORBIT_E_UNSUPPORTED (a ledger of another kind or version). The owner decides whether
 *     to remove it (orb_ledger_discard) or to tell.
 *   - Memory: one record at a time while opening, nothing after. A claimed length beyond ORB_LEDGER_RECORD_MAX is
 *     damage.
 *
 * All of it blocks on a disk: call it on workers of the pool, never on the loop or a lane. One thread at a time;
 * only orb_ledger_sync() may run beside orb_ledger_append() (not beside a rewrite), for it can take long. */
#ifndef ORB_BASE_LEDGER_H
#define ORB_BASE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include <orbit/error.h>

#define ORB_LEDGER_RECORD_MAX ((size_t)64 << 10) /* bytes of one payload */

struct orb_ledger;

/* One record while opening; `payload` is borrowed for the call. A negative status ends the opening and is its
 * result: for a record that nothing can be made of. Skip types that are not known if they may be skipped. */
typedef orbit_status orb_ledger_each(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error);

enum {
    ORB_LEDGER_CREATE = 1, /* made when it is not there; else that is ORBIT_E_NOT_FOUND */
    ORB_LEDGER_LOOK = 2    /* reads the records and changes nothing, while another may own and write it: no lock, no
                              cut, no append; close it again. Excludes CREATE */
};

/* `directory` is a descriptor (O_PATH will do) that the ledger does not keep; `name` has no slash. `kind` tells
 * ledgers of different owners apart, and versions of one owner's records: choose a number, never change its meaning.
 * `each` may be NULL. After a failure `*made` is NULL. */
orbit_status orb_ledger_open(struct orb_ledger **made, int directory, const char *name, uint32_t kind, unsigned flags,
                             orb_ledger_each *each, void *ctx, orbit_error *error);

/* Adds a record; `type` is not 0. When it fails (full disk) the ledger is as it was, and may be used further. */
orbit_status orb_ledger_append(struct orb_ledger *ledger, uint16_t type, const void *payload, size_t length,
                               orbit_error *error);
/* All that was appended, and the file's name, reach the disk. */
orbit_status orb_ledger_sync(struct orb_ledger *ledger, orbit_error *error);

/* Replaces all records by those that `records` appends to `fresh`: another file that is synced and then renamed over
 * this one, so that at any moment the old ones or the new ones are there. The lock is never let go. When it fails the
 * old ones stay. `fresh` is the ledger only inside the call. */
orbit_status orb_ledger_rewrite(struct orb_ledger *ledger,
                                orbit_status (*records)(void *ctx, struct orb_ledger *fresh, orbit_error *error),
                                void *ctx, orbit_error *error);

uint64_t orb_ledger_bytes(const struct orb_ledger *ledger); /* of the file: when to rewrite */
uint64_t orb_ledger_cut(const struct orb_ledger *ledger);   /* damaged bytes cut off (LOOK: passed over) when opened */

/* Unlocks and frees; the file stays. NULL is fine. */
void orb_ledger_close(struct orb_ledger *ledger);
/* Removes the file while it is still locked, then closes. */
void orb_ledger_remove(struct orb_ledger *ledger);
/* Removes a file that orb_ledger_open() refused, unless another owner has it: ORBIT_E_BUSY. Not being there is fine. */
orbit_status orb_ledger_discard(int directory, const char *name, orbit_error *error);

#endif
