/* SPDX-License-Identifier: Apache-2.0
 * Records of the journal and its directory. Blocking, on workers; one thread at a time. */
#include "engine/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/ledger.h"
#include "base/mem.h"
#include "base/pack.h"
#include "base/str.h"

#define KIND      UINT32_C(0x4c505501) /* uploads, version 1 */
#define SUFFIX    ".upload"
#define PARTS_MAX 1000000u
/* A record of a part at its longest: numbers, checksum, ETag. */
#define PART_BYTES_MAX ((size_t)4 + 8 + 1 + 4 + 32 + 5 + ORB_JOURNAL_ETAG_MAX)

enum { PLAN = 1, BEGUN = 2, PART = 3, FINISHING = 4 };

static uint64_t digest(const char *a, const char *b)
{
    uint64_t crc = orb_crc64nvme(0, a, strlen(a) + 1);
    return orb_crc64nvme(crc, b, strlen(b) + 1);
}

void orb_journal_target(char text[18], const char *store, const char *key)
{
    (void)snprintf(text, 18, "%016" PRIx64 "-", digest(store, key));
}

bool orb_journal_is_name(const char *name)
{
    return strlen(name) == 33 + strlen(SUFFIX) && name[16] == '-' && orb_str_suffix(name, SUFFIX);
}

/* ---- the directory ---------------------------------------------------------------------------------- */

static orbit_status make_directories(const char *path, orbit_error *error)
{
    char *copy = orb_strdup(path);
    if (!copy)
        return orb_fail_memory(error);
    int failed = 0;
    for (char *slash = copy + 1; *copy && !failed; slash++) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            failed = errno;
        if (!slash)
            break;
        *slash = '/';
    }
    orb_free(copy);
    return failed ? orb_fail_errno(error, failed, "cannot make the directory for journals '%s'", path) : ORBIT_OK;
}

int orb_journal_directory(const char *directory, bool make, orbit_error *error)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        if (make_directories(directory, error) < 0)
            return -1;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0) {
        (void)orb_fail_errno(error, errno, "cannot open the directory for journals '%s'", directory);
    } else if (stat.st_uid != geteuid()) {
        (void)orb_fail(error, ORBIT_E_PERMISSION, 0, "the directory for journals '%s' belongs to another user",
                       directory);
    } else if ((stat.st_mode & 077) && make && fchmod(fd, 0700) < 0) {
        (void)orb_fail_errno(error, errno, "cannot keep others out of the directory for journals '%s'", directory);
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static void clear(struct orb_journal *journal)
{
    journal->planned = journal->finishing = false;
    journal->plan = (struct orb_journal_plan){0};
    orb_free(journal->upload_id);
    journal->upload_id = NULL;
    orb_journal_forget_parts(journal);
    orb_journal_forget_bytes(journal);
}

struct reading {
    struct orb_journal *journal;
    bool named;    /* store, key and source are known and must be the same */
    bool keep;     /* the parts, too */
    bool stranger; /* it is of another upload: two names with one digest */
    uint64_t confirmed;
};

static bool same_or_taken(struct reading *reading, char **known, char *read)
{
    bool same = read && (!reading->named || strcmp(*known, read) == 0);
    if (same && !reading->named) {
        orb_free(*known);
        *known = read;
    } else {
        orb_free(read);
    }
    return same;
}

static void take_plan(struct reading *reading, struct orb_unpack *in)
{
    struct orb_journal *journal = reading->journal;
    clear(journal);
    bool same = same_or_taken(reading, &journal->store, orb_unpack_text(in, ORB_JOURNAL_STORE_MAX));
    same &= same_or_taken(reading, &journal->key, orb_unpack_text(in, ORB_JOURNAL_KEY_MAX));
    same &= same_or_taken(reading, &journal->source, orb_unpack_text(in, ORB_JOURNAL_SOURCE_MAX));
    if (!reading->named)
        journal->elsewhere = journal->source && *journal->source != '/';
    struct orb_journal_plan *plan = &journal->plan;
    plan->device = orb_unpack_u64(in);
    plan->inode = orb_unpack_u64(in);
    plan->size = orb_unpack_u64(in);
    plan->mtime_ns = (int64_t)orb_unpack_u64(in);
    plan->part_bytes = orb_unpack_u64(in);
    plan->options = orb_unpack_u64(in);
    plan->planned_ns = (int64_t)orb_unpack_u64(in);
    reading->stranger |= !same;
    journal->planned = same && orb_unpack_done(in) && plan->part_bytes > 0;
    uint64_t count = journal->planned ? plan->size / plan->part_bytes + (plan->size % plan->part_bytes != 0) : 0;
    journal->count = count <= PARTS_MAX ? (uint32_t)count : 0;
}

static bool parse_part(const void *payload, size_t length, orbit_stored_part *part, char etag[ORB_JOURNAL_ETAG_MAX])
{
    struct orb_unpack in = {payload, length, false};
    size_t bytes = 0;
    *part = (orbit_stored_part){0};
    part->part.number = orb_unpack_u32(&in);
    part->part.length = orb_unpack_u64(&in);
    part->reply.checksum.algorithm = orb_unpack_u8(&in);
    const void *value = orb_unpack_bytes(&in, &bytes);
    if (bytes > sizeof(part->reply.checksum.value))
        return false;
    if (bytes)
        memcpy(part->reply.checksum.value, value, bytes);
    part->reply.checksum.length = (uint8_t)bytes;
    const char *text = orb_unpack_bytes(&in, &bytes);
    if (!orb_unpack_done(&in) || bytes >= ORB_JOURNAL_ETAG_MAX)
        return false;
    if (bytes)
        memcpy(etag, text, bytes);
    etag[bytes] = '\0';
    part->reply.etag = etag;
    return part->part.number > 0;
}

/* A part that was confirmed twice: the later record counts. */
static orbit_status take_part(struct reading *reading, const void *payload, size_t length, orbit_error *error)
{
    struct orb_journal *journal = reading->journal;
    orbit_stored_part part;
    char etag[ORB_JOURNAL_ETAG_MAX];
    if (!journal->upload_id || !parse_part(payload, length, &part, etag) || part.part.number > journal->count)
        return ORBIT_OK;
    reading->confirmed += part.part.length;
    if (!reading->keep)
        return ORBIT_OK;
    if (!journal->at && !(journal->at = orb_calloc(journal->count, sizeof(*journal->at))))
        return orb_fail_memory(error);
    uint8_t head[2] = {(uint8_t)length, (uint8_t)(length >> 8)};
    size_t place = journal->parts.length;
    if (length > PART_BYTES_MAX || !orb_buf_append(&journal->parts, head, 2) ||
        !orb_buf_append(&journal->parts, payload, length))
        return orb_fail_memory(error);
    journal->at[part.part.number - 1] = (uint32_t)place + 1;
    return ORBIT_OK;
}

static orbit_status take(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error)
{
    struct reading *reading = ctx;
    struct orb_journal *journal = reading->journal;
    struct orb_unpack in = {payload, length, false};
    if (type == PLAN)
        take_plan(reading, &in);
    else if (!journal->planned)
        return ORBIT_OK;
    else if (type == BEGUN && !journal->upload_id)
        journal->upload_id = orb_unpack_text(&in, ORB_JOURNAL_ID_MAX);
    else if (type == PART)
        return take_part(reading, payload, length, error);
    else if (type == FINISHING)
        journal->finishing = true;
    else
        return orb_journal_read_bytes(journal, type, payload, length, error);
    return ORBIT_OK;
}

bool orb_journal_part(const struct orb_journal *journal, uint32_t number, orbit_stored_part *part,
                      char etag[ORB_JOURNAL_ETAG_MAX])
{
    if (!journal->at || number < 1 || number > journal->count || !journal->at[number - 1])
        return false;
    const uint8_t *record = (const uint8_t *)journal->parts.bytes + journal->at[number - 1] - 1;
    return parse_part(record + 2, record[0] | (size_t)record[1] << 8, part, etag);
}

void orb_journal_forget_parts(struct orb_journal *journal)
{
    orb_buf_release(&journal->parts);
    orb_buf_init(&journal->parts, (size_t)PARTS_MAX * (PART_BYTES_MAX + 2));
    orb_free(journal->at);
    journal->at = NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

orbit_status orb_journal_init(struct orb_journal *journal, const char *store, const char *key, const char *source_store,
                              const char *source, orbit_error *error)
{
    struct orb_buf text;
    *journal = (struct orb_journal){0};
    orb_journal_forget_parts(journal);
    journal->store = orb_strdup(store);
    journal->key = orb_strdup(key);
    orb_buf_init(&text, ORB_JOURNAL_SOURCE_MAX + 1);
    journal->elsewhere = source_store != NULL;
    if (source_store)
        orb_buf_format(&text, "%s\n", source_store);
    orb_buf_text(&text, source);
    journal->source = orb_buf_take(&text);
    return journal->store && journal->key && journal->source ? ORBIT_OK : orb_fail_memory(error);
}

const char *orb_journal_elsewhere(const struct orb_journal *journal)
{
    const char *newline = journal->elsewhere && journal->source ? strchr(journal->source, '\n') : NULL;
    return newline ? newline + 1 : NULL;
}

static orbit_status resolve_source(struct orb_journal *journal, orbit_error *error)
{
    char absolute[PATH_MAX];
    if (journal->elsewhere)
        return ORBIT_OK;
    if (!realpath(journal->source, absolute))
        return orb_fail_errno(error, errno, "cannot tell where '%s' is", journal->source);
    char *copy = orb_strdup(absolute);
    if (!copy)
        return orb_fail_memory(error);
    orb_free(journal->source);
    journal->source = copy;
    return ORBIT_OK;
}

orbit_status orb_journal_open(struct orb_journal *journal, const char *directory, orbit_error *error)
{
    struct reading reading = {.journal = journal, .named = true, .keep = true};
    char target[18];
    orbit_status status = resolve_source(journal, error);
    if (status < 0)
        return status;
    orb_journal_target(target, journal->store, journal->key);
    (void)snprintf(journal->name, sizeof(journal->name), "%s%016" PRIx64 SUFFIX, target, digest(journal->source, ""));
    int fd = orb_journal_directory(directory, true, error);
    if (fd < 0)
        return (orbit_status)error->status;
    for (int i = 0; i < 2; i++) {
        status = orb_ledger_open(&journal->ledger, fd, journal->name, KIND, ORB_LEDGER_CREATE, take, &reading, error);
        if ((status != ORBIT_E_CONFIG && status != ORBIT_E_UNSUPPORTED) ||
            orb_ledger_discard(fd, journal->name, error) < 0)
            break;
    }
    close(fd);
    if (status >= 0 && reading.stranger) {
        orb_ledger_close(journal->ledger);
        journal->ledger = NULL;
        status = orb_fail(error, ORBIT_E_EXISTS, 0, "the journal '%s' is of another upload", journal->name);
    }
    return status;
}

static orbit_status read_named(struct orb_journal *journal, int directory, const char *name, unsigned flags,
                               uint64_t *confirmed, orbit_error *error)
{
    struct reading reading = {.journal = journal};
    *journal = (struct orb_journal){0};
    orb_journal_forget_parts(journal);
    (void)snprintf(journal->name, sizeof(journal->name), "%s", name);
    orbit_status status = orb_ledger_open(&journal->ledger, directory, name, KIND, flags, take, &reading, error);
    if (status >= 0 && !journal->planned)
        status = orb_fail(error, ORBIT_E_NOT_FOUND, 0, "'%s' is not the journal of an upload", name);
    if (confirmed)
        *confirmed = reading.confirmed + orb_journal_bytes(journal);
    return status;
}

orbit_status orb_journal_look(struct orb_journal *journal, int directory, const char *name, uint64_t *confirmed,
                              orbit_error *error)
{
    return read_named(journal, directory, name, ORB_LEDGER_LOOK, confirmed, error);
}

orbit_status orb_journal_take(struct orb_journal *journal, int directory, const char *name, orbit_error *error)
{
    return read_named(journal, directory, name, 0, NULL, error);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static orbit_status append(struct orb_ledger *ledger, uint16_t type, struct orb_buf *payload, orbit_error *error)
{
    orbit_status status = payload->failed
                              ? orb_fail_memory(error)
                              : orb_ledger_append(ledger, type, orb_buf_string(payload), payload->length, error);
    orb_buf_release(payload);
    return status;
}

static orbit_status write_plan(const struct orb_journal *journal, struct orb_ledger *fresh, orbit_error *error)
{
    const struct orb_journal_plan *plan = &journal->plan;
    struct orb_buf payload;
    orb_buf_init(&payload, ORB_LEDGER_RECORD_MAX);
    orb_pack_text(&payload, journal->store);
    orb_pack_text(&payload, journal->key);
    orb_pack_text(&payload, journal->source);
    orb_pack_u64(&payload, plan->device);
    orb_pack_u64(&payload, plan->inode);
    orb_pack_u64(&payload, plan->size);
    orb_pack_u64(&payload, (uint64_t)plan->mtime_ns);
    orb_pack_u64(&payload, plan->part_bytes);
    orb_pack_u64(&payload, plan->options);
    orb_pack_u64(&payload, (uint64_t)plan->planned_ns);
    return append(fresh, PLAN, &payload, error);
}

static orbit_status write_begun(struct orb_ledger *ledger, const char *upload_id, orbit_error *error)
{
    struct orb_buf payload;
    orb_buf_init(&payload, ORB_LEDGER_RECORD_MAX);
    orb_pack_text(&payload, upload_id);
    return append(ledger, BEGUN, &payload, error);
}

orbit_status orb_journal_write_head(const struct orb_journal *journal, struct orb_ledger *fresh, orbit_error *error)
{
    orbit_status status = write_plan(journal, fresh, error);
    return status >= 0 && journal->upload_id ? write_begun(fresh, journal->upload_id, error) : status;
}

static orbit_status rewrite_plan(void *ctx, struct orb_ledger *fresh, orbit_error *error)
{
    return write_plan(ctx, fresh, error);
}

orbit_status orb_journal_begin(struct orb_journal *journal, const struct orb_journal_plan *plan, orbit_error *error)
{
    bool used = journal->planned;
    clear(journal);
    journal->plan = *plan;
    /* What an earlier upload left is gone with one step: there is never a plan with another's parts. */
    return used ? orb_ledger_rewrite(journal->ledger, rewrite_plan, journal, error)
                : write_plan(journal, journal->ledger, error);
}

orbit_status orb_journal_begun(struct orb_journal *journal, const char *upload_id, orbit_error *error)
{
    orb_free(journal->upload_id);
    journal->upload_id = orb_strdup(upload_id);
    if (!journal->upload_id)
        return orb_fail_memory(error);
    orbit_status status = write_begun(journal->ledger, upload_id, error);
    return status < 0 ? status : orb_ledger_sync(journal->ledger, error);
}

orbit_status orb_journal_confirm(struct orb_journal *journal, const orbit_stored_part *part, orbit_error *error)
{
    struct orb_buf payload;
    const orbit_checksum *checksum = &part->reply.checksum;
    size_t etag = part->reply.etag ? strlen(part->reply.etag) : 0;
    if (!etag || etag >= ORB_JOURNAL_ETAG_MAX)
        return ORBIT_OK; /* nothing to know it by: it is sent again */
    orb_buf_init(&payload, PART_BYTES_MAX);
    orb_pack_u32(&payload, part->part.number);
    orb_pack_u64(&payload, part->part.length);
    orb_pack_u8(&payload, checksum->algorithm);
    orb_pack_bytes(&payload, checksum->value, checksum->length);
    orb_pack_bytes(&payload, part->reply.etag, etag);
    return append(journal->ledger, PART, &payload, error);
}

orbit_status orb_journal_finishing(struct orb_journal *journal, orbit_error *error)
{
    return orb_ledger_append(journal->ledger, FINISHING, "", 0, error);
}

/* ---- the end ---------------------------------------------------------------------------------------- */

void orb_journal_remove(struct orb_journal *journal)
{
    if (journal->ledger)
        orb_ledger_remove(journal->ledger);
    journal->ledger = NULL;
}

void orb_journal_release(struct orb_journal *journal)
{
    orb_ledger_close(journal->ledger);
    journal->ledger = NULL;
    orb_free(journal->upload_id);
    orb_free(journal->store);
    orb_free(journal->key);
    orb_free(journal->source);
    orb_buf_release(&journal->parts);
    orb_free(journal->at);
    orb_journal_forget_bytes(journal);
    *journal = (struct orb_journal){0};
}
