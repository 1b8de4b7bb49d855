/* SPDX-License-Identifier: Apache-2.0
 * The journal's file. A journal that could not be written is not an error of the write it speaks of: it says less. */
#include "backend/local/local_journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pack.h"

enum { HEAD = 1, EXTENTS = 2, MARK = 3, FLUSHED = 4 };

#define KIND         0x31776F64u /* "dow1" */
#define HEAD_MAX     ((size_t)10 << 10)
#define REWRITE_FROM ((uint64_t)256 << 10)
#define BOOT_MAX     64

/* ---- the head ------------------------------------------------------------------------------------------- */

/* "" when it is not to be known: then nothing but what was flushed is believed. */
static void read_boot_id(const char *path, char boot[BOOT_MAX + 1])
{
    int fd = open(path ? path : "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t length = fd < 0 ? -1 : read(fd, boot, BOOT_MAX);
    orb_local_close(fd);
    boot[length > 0 ? length : 0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
}

/* The temporary is told from later ones of its name by inode and time of birth. */
static bool pack_head(struct orb_buf *buf, const struct orb_local_journal_request *request, const char *boot)
{
    struct statx stat;
    if (statx(request->fd, "", AT_EMPTY_PATH, ORB_LOCAL_STATX | STATX_BTIME, &stat) != 0)
        return false;
    bool born = stat.stx_mask & STATX_BTIME;
    orb_pack_bytes(buf, request->keep->identity, request->keep->identity_length);
    orb_pack_u64(buf, request->keep->size);
    orb_pack_u64(buf, stat.stx_ino);
    orb_pack_u64(buf, born ? (uint64_t)stat.stx_btime.tv_sec : 0);
    orb_pack_u32(buf, born ? stat.stx_btime.tv_nsec : 0);
    return orb_pack_text(buf, boot); /* last: all before it must be the same */
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct reading {
    struct orb_local_record *record;
    uint64_t size;
    const struct orb_buf *head; /* as it should be */
    size_t boot_at;             /* where in it the boot begins */
    bool headed, ours, same_boot;
};

static orbit_status read_head(struct reading *reading, const void *payload, size_t length)
{
    const struct orb_buf *head = reading->head;
    reading->headed = true;
    reading->ours = length >= reading->boot_at && memcmp(payload, head->bytes, reading->boot_at) == 0;
    reading->same_boot = reading->ours && length == head->length && memcmp(payload, head->bytes, length) == 0;
    return ORBIT_OK;
}

static orbit_status read_one(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error)
{
    struct reading *reading = ctx;
    struct orb_local_record *record = reading->record;
    if (type == HEAD && !reading->headed)
        return read_head(reading, payload, length);
    if (!reading->ours)
        return ORBIT_OK;
    if (type == EXTENTS && !orb_extents_read(&record->written, payload, length, reading->size))
        return orb_fail_memory(error);
    if (type == MARK && !orb_extents_copy(&record->pending, &record->written))
        return orb_fail_memory(error);
    if (type == FLUSHED && !orb_extents_copy(&record->flushed, &record->pending))
        return orb_fail_memory(error);
    return ORBIT_OK;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

static orbit_status write_all(void *ctx, struct orb_ledger *fresh, orbit_error *error)
{
    const struct orb_local_record *record = ctx;
    orbit_status status = orb_ledger_append(fresh, HEAD, record->head, record->head_length, error);
    if (status >= 0 && record->flushed.count > 0) {
        status = orb_extents_append(fresh, EXTENTS, record->flushed.at, record->flushed.count, error);
        if (status >= 0)
            status = orb_ledger_append(fresh, MARK, NULL, 0, error);
        if (status >= 0)
            status = orb_ledger_append(fresh, FLUSHED, NULL, 0, error);
    }
    return status < 0 ? status : orb_extents_append(fresh, EXTENTS, record->written.at, record->written.count, error);
}

/* By one thread only: who syncs has the file open meanwhile. */
static void rewrite_if_needed(struct orb_local_record *record)
{
    if (record->behind || orb_ledger_bytes(record->ledger) > REWRITE_FROM)
        record->behind = orb_ledger_rewrite(record->ledger, write_all, record, NULL) < 0;
}

void orb_local_record_add(struct orb_local_record *record, const struct orb_extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!orb_extents_add(&record->written, &extents[i]))
            return; /* no memory: said later, or fetched again */
    if (!record->behind && orb_extents_append(record->ledger, EXTENTS, extents, count, NULL) < 0)
        record->behind = true;
    if (!record->flushes) /* nobody else does */
        rewrite_if_needed(record);
}

bool orb_local_record_mark(struct orb_local_record *record)
{
    if (!orb_extents_copy(&record->pending, &record->written))
        return false;
    if (!record->behind && orb_ledger_append(record->ledger, MARK, NULL, 0, NULL) < 0)
        record->behind = true;
    return true;
}

void orb_local_record_flushed(struct orb_local_record *record)
{
    if (!orb_extents_copy(&record->flushed, &record->pending))
        return;
    if (!record->behind && orb_ledger_append(record->ledger, FLUSHED, NULL, 0, NULL) < 0)
        record->behind = true;
    rewrite_if_needed(record);
}

void orb_local_record_sync(struct orb_local_record *record)
{
    (void)orb_ledger_sync(record->ledger, NULL);
}

/* ---- opening -------------------------------------------------------------------------------------------- */

static orbit_status open_ledger(struct reading *reading, const struct orb_local_journal_request *request,
                                orbit_error *error)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s%s", request->temporary, ORB_LOCAL_JOURNAL);
    if (request->fresh && orb_ledger_discard(request->directory, name, error) < 0)
        return (orbit_status)error->status;
    orbit_status status = orb_ledger_open(&reading->record->ledger, request->directory, name, KIND, ORB_LEDGER_CREATE,
                                          read_one, reading, error);
    if (status == ORBIT_E_CONFIG || status == ORBIT_E_UNSUPPORTED) { /* damaged, or another version's */
        status = orb_ledger_discard(request->directory, name, error);
        return status < 0 ? status : ORBIT_END;
    }
    return status;
}

/* Takes up what is believed. The file may be longer than the content, or shorter than the journal says. */
static orbit_status take_up(struct reading *reading, const struct orb_local_journal_request *request,
                            orbit_error *error)
{
    struct orb_local_record *record = reading->record;
    struct statx stat;
    if (!reading->same_boot && !orb_extents_copy(&record->written, &record->flushed))
        return orb_fail_memory(error);
    int result = orb_local_stat_fd(request->fd, &stat);
    if (result < 0)
        return orb_fail_errno(error, -result, "cannot go on with '%s'", request->temporary);
    if (stat.stx_size > reading->size && ftruncate(request->fd, (off_t)reading->size) != 0)
        return orb_local_fail(error, errno, "cut", request->temporary);
    uint64_t claimed = orb_extents_bytes(&record->written);
    orb_extents_trim(&record->written, stat.stx_size);
    orb_extents_trim(&record->flushed, stat.stx_size);
    /* The head names this boot now: what is not flushed must not be believed under its name. */
    orbit_status status = orb_ledger_rewrite(record->ledger, write_all, record, error);
    /* Where the disk is still full there is no room for that; what the file says is as true as before. */
    bool stands = reading->same_boot && claimed == orb_extents_bytes(&record->written);
    return status < 0 && status != ORBIT_E_MEMORY && stands ? ORBIT_OK : status;
}

orbit_status orb_local_record_open(struct orb_local_record *record, const char *boot_id_path,
                                   const struct orb_local_journal_request *request, orbit_error *error)
{
    char boot[BOOT_MAX + 1];
    orbit_error own = {0};
    struct orb_buf head;
    orb_buf_init(&head, HEAD_MAX);
    read_boot_id(boot_id_path, boot);
    bool packed = pack_head(&head, request, boot);
    record->flushes = request->flushes;
    struct reading reading = {.record = record, .size = request->keep->size, .head = &head};
    orbit_status status =
        packed ? ORBIT_OK : orb_fail(&own, ORBIT_E_LIMIT, 0, "cannot name '%s' in its journal", request->temporary);
    if (packed)
        reading.boot_at = head.length - strlen(boot) - 4;
    if (status >= 0)
        status = open_ledger(&reading, request, &own);
    record->head_length = head.length;
    record->head = orb_buf_take(&head);
    if (status == ORBIT_OK && !record->head)
        status = orb_fail_memory(&own);
    reading.same_boot = reading.same_boot && boot[0];
    if (status == ORBIT_OK && reading.ours)
        status = take_up(&reading, request, &own);
    else if (status == ORBIT_OK && !request->fresh)
        status = ORBIT_END;
    else if (status == ORBIT_OK)
        status = orb_ledger_append(record->ledger, HEAD, record->head, record->head_length, &own);
    if (status != ORBIT_OK) {
        orb_local_record_close(record, true);
        orb_local_record_release(record);
        orb_error_copy(error, &own);
    }
    return status;
}

void orb_local_record_close(struct orb_local_record *record, bool remove)
{
    if (remove)
        orb_ledger_remove(record->ledger);
    else
        orb_ledger_close(record->ledger);
    record->ledger = NULL;
}

void orb_local_record_release(struct orb_local_record *record)
{
    orb_local_record_close(record, false);
    orb_free(record->head);
    record->head = NULL;
    orb_extents_release(&record->written);
    orb_extents_release(&record->flushed);
    orb_extents_release(&record->pending);
}
