/* SPDX-License-Identifier: Apache-2.0
 * What a journal says of an upload that goes on from any byte. Bytes go from loose by marked to flushed; what is not
 * flushed keeps its CRC, by which it is compared before it is believed. Blocking: on workers. */
#include "base/error.h"
#include "base/ledger.h"
#include "engine/journal.h"

enum { EXTENTS = 5, MARK = 6, FLUSHED = 7 }; /* behind journal.c's */

#define REWRITE_FROM ((uint64_t)256 << 10)

static bool move(struct orb_extents *to, struct orb_extents *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (!orb_extents_add(to, &from->at[i]))
            return false;
    from->count = 0;
    return true;
}

orbit_status orb_journal_read_bytes(struct orb_journal *journal, uint16_t type, const void *payload, size_t length,
                                    orbit_error *error)
{
    bool well = true;
    if (type == EXTENTS)
        well = orb_extents_read(&journal->loose, payload, length, journal->plan.size);
    else if (type == MARK)
        well = move(&journal->marked, &journal->loose);
    else if (type == FLUSHED)
        well = move(&journal->flushed, &journal->marked);
    return well ? ORBIT_OK : orb_fail_memory(error);
}

void orb_journal_forget_bytes(struct orb_journal *journal)
{
    orb_extents_release(&journal->loose);
    orb_extents_release(&journal->marked);
    orb_extents_release(&journal->flushed);
}

uint64_t orb_journal_bytes(const struct orb_journal *journal)
{
    return orb_extents_bytes(&journal->loose) + orb_extents_bytes(&journal->marked) +
           orb_extents_bytes(&journal->flushed);
}

static orbit_status write_marked(const struct orb_extents *extents, struct orb_ledger *fresh, bool flushed,
                                 orbit_error *error)
{
    if (extents->count == 0)
        return ORBIT_OK;
    orbit_status status = orb_extents_append(fresh, EXTENTS, extents->at, extents->count, error);
    if (status >= 0)
        status = orb_ledger_append(fresh, MARK, NULL, 0, error);
    return status >= 0 && flushed ? orb_ledger_append(fresh, FLUSHED, NULL, 0, error) : status;
}

static orbit_status write_all(void *ctx, struct orb_ledger *fresh, orbit_error *error)
{
    const struct orb_journal *journal = ctx;
    orbit_status status = orb_journal_write_head(journal, fresh, error);
    if (status >= 0)
        status = write_marked(&journal->flushed, fresh, true, error);
    if (status >= 0)
        status = write_marked(&journal->marked, fresh, false, error);
    return status < 0 ? status : orb_extents_append(fresh, EXTENTS, journal->loose.at, journal->loose.count, error);
}

orbit_status orb_journal_restate(struct orb_journal *journal, orbit_error *error)
{
    return orb_ledger_rewrite(journal->ledger, write_all, journal, error);
}

orbit_status orb_journal_wrote(struct orb_journal *journal, const struct orb_extents *extents, orbit_error *error)
{
    for (size_t i = 0; i < extents->count; i++)
        if (!orb_extents_add(&journal->loose, &extents->at[i]))
            return orb_fail_memory(error);
    orbit_status status = orb_extents_append(journal->ledger, EXTENTS, extents->at, extents->count, error);
    return status >= 0 && orb_ledger_bytes(journal->ledger) > REWRITE_FROM ? orb_journal_restate(journal, error)
                                                                           : status;
}

orbit_status orb_journal_mark(struct orb_journal *journal, orbit_error *error)
{
    if (!move(&journal->marked, &journal->loose))
        return orb_fail_memory(error);
    return orb_ledger_append(journal->ledger, MARK, NULL, 0, error);
}

orbit_status orb_journal_flushed(struct orb_journal *journal, orbit_error *error)
{
    if (!move(&journal->flushed, &journal->marked))
        return orb_fail_memory(error);
    return orb_ledger_append(journal->ledger, FLUSHED, NULL, 0, error);
}
