/* SPDX-License-Identifier: Apache-2.0
 * The ledger's file: a head of 20 bytes, then records.
 *
 *     head    magic[8] version u16, 0 u16, kind u32, CRC32C of the 16 bytes before
 *     record  length u32, type u16, 0 u16, CRC32C of the 8 bytes before and of the payload, payload
 *
 * Integers are little-endian. Eight zero bytes have a CRC that is not 0, so a block that a power cut left zeroed is no
 * record. Blocking; one thread at a time. */
#include "base/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define HEAD_BYTES   20
#define RECORD_BYTES 12
#define VERSION      1
#define FRESH        ".new" /* what a rewrite's file is called meanwhile */
#define OPEN_TRIES   100    /* each one lost to an owner that replaced or removed the file just then */

static const char magic[8] = {'O', 'R', 'B', 'I', 'T', 'L', 'G', '\n'};

struct orb_ledger {
    int directory, fd;
    uint32_t kind;
    uint64_t end; /* where the next record goes */
    uint64_t cut;
    bool look;
    bool new_name; /* the directory has not been flushed since the file came into it */
    char name[];
};

static void put_le(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static void close_fd(int fd)
{
    int number = errno;
    if (fd >= 0)
        close(fd);
    errno = number;
}

/* ---- plain reading and writing ------------------------------------------------------------------------ */

/* Bytes read, fewer only at the end of the file; -1 with errno. */
static ssize_t read_at(int fd, void *bytes, size_t length, uint64_t at)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = pread(fd, (uint8_t *)bytes + done, length - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* 0 or -1 with errno. */
static int write_at(int fd, struct iovec *pieces, int count, uint64_t at)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, pieces, count, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += (uint64_t)n;
        while (count > 0 && (size_t)n >= pieces->iov_len) {
            n -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + n;
            pieces->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static orbit_status write_head(struct orb_ledger *ledger, orbit_error *error)
{
    uint8_t head[HEAD_BYTES] = {0};
    memcpy(head, magic, sizeof(magic));
    put_le(head + 8, VERSION, 2);
    put_le(head + 12, ledger->kind, 4);
    put_le(head + 16, orb_crc32c(0, head, 16), 4);
    struct iovec piece = {head, sizeof(head)};
    if (ftruncate(ledger->fd, 0) < 0 || write_at(ledger->fd, &piece, 1, 0) < 0)
        return orb_fail_errno(error, errno, "cannot write '%s'", ledger->name);
    ledger->end = HEAD_BYTES;
    ledger->new_name = true;
    return ORBIT_OK;
}

/* ---- opening -------------------------------------------------------------------------------------------- */

/* ORBIT_END: torn while it was made, or nothing yet: there is no record. */
static orbit_status check_head(struct orb_ledger *ledger, orbit_error *error)
{
    uint8_t head[HEAD_BYTES];
    ssize_t length = read_at(ledger->fd, head, sizeof(head), 0);
    if (length < 0)
        return orb_fail_errno(error, errno, "cannot read '%s'", ledger->name);
    static const uint8_t zeros[HEAD_BYTES];
    if (memcmp(head, zeros, (size_t)length) == 0 ||
        (length < HEAD_BYTES &&
         memcmp(head, magic, (size_t)length < sizeof(magic) ? (size_t)length : sizeof(magic)) == 0))
        return ORBIT_END;
    if (length < HEAD_BYTES || memcmp(head, magic, sizeof(magic)) != 0 ||
        get_le(head + 16, 4) != orb_crc32c(0, head, 16))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "'%s' is not a journal of orbit, or its beginning is damaged: remove it", ledger->name);
    if (get_le(head + 8, 2) != VERSION || get_le(head + 12, 4) != ledger->kind)
        return orb_fail(error, ORBIT_E_UNSUPPORTED, 0,
                        "'%s' is a journal of another version of orbit, or for another use", ledger->name);
    return ORBIT_OK;
}

/* The record at the ledger's end. ORBIT_END: there is no good one. */
static orbit_status read_record(struct orb_ledger *ledger, uint8_t *buffer, uint16_t *type, size_t *length,
                                orbit_error *error)
{
    uint8_t head[RECORD_BYTES];
    ssize_t n = read_at(ledger->fd, head, sizeof(head), ledger->end);
    if (n < 0)
        return orb_fail_errno(error, errno, "cannot read '%s'", ledger->name);
    if (n < RECORD_BYTES)
        return ORBIT_END;
    uint64_t claimed = get_le(head, 4);
    *type = (uint16_t)get_le(head + 4, 2);
    if (claimed > ORB_LEDGER_RECORD_MAX || *type == 0)
        return ORBIT_END;
    *length = (size_t)claimed;
    n = read_at(ledger->fd, buffer, *length, ledger->end + RECORD_BYTES);
    if (n < 0)
        return orb_fail_errno(error, errno, "cannot read '%s'", ledger->name);
    if ((size_t)n < *length || orb_crc32c(orb_crc32c(0, head, 8), buffer, *length) != get_le(head + 8, 4))
        return ORBIT_END;
    return ORBIT_OK;
}

static orbit_status read_all(struct orb_ledger *ledger, orb_ledger_each *each, void *ctx, orbit_error *error)
{
    uint8_t *buffer = orb_malloc(ORB_LEDGER_RECORD_MAX);
    if (!buffer)
        return orb_fail_memory(error);
    orbit_status status;
    uint16_t type = 0;
    size_t length = 0;
    ledger->end = HEAD_BYTES;
    while ((status = read_record(ledger, buffer, &type, &length, error)) == ORBIT_OK) {
        if (each && (status = each(ctx, type, buffer, length, error)) < 0)
            break;
        ledger->end += RECORD_BYTES + length;
    }
    orb_free(buffer);
    return status == ORBIT_END ? ORBIT_OK : status;
}

static orbit_status load(struct orb_ledger *ledger, orb_ledger_each *each, void *ctx, orbit_error *error)
{
    orbit_status status = check_head(ledger, error);
    if (status == ORBIT_END && !ledger->look)
        return write_head(ledger, error);
    if (status != ORBIT_OK)
        return status < 0 ? status : ORBIT_OK;
    status = read_all(ledger, each, ctx, error);
    struct stat stat;
    if (status < 0)
        return status;
    if (fstat(ledger->fd, &stat) < 0)
        return orb_fail_errno(error, errno, "cannot read '%s'", ledger->name);
    ledger->cut = (uint64_t)stat.st_size > ledger->end ? (uint64_t)stat.st_size - ledger->end : 0;
    if (ledger->cut > 0 && !ledger->look && ftruncate(ledger->fd, (off_t)ledger->end) < 0)
        return orb_fail_errno(error, errno, "cannot cut '%s'", ledger->name);
    return ORBIT_OK;
}

static orbit_status check_owner(int fd, const char *name, struct stat *stat, orbit_error *error)
{
    if (fstat(fd, stat) < 0)
        return orb_fail_errno(error, errno, "cannot open '%s'", name);
    if (!S_ISREG(stat->st_mode))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s' is not a regular file, and no journal of orbit: remove it",
                        name);
    if (stat->st_uid != geteuid())
        return orb_fail(error, ORBIT_E_PERMISSION, 0, "'%s' belongs to another user and is not taken up", name);
    return ORBIT_OK;
}

/* Locks, and sees that the name still stands for what was locked. ORBIT_AGAIN when not. A file system without locks
 * has none to keep. */
static orbit_status lock(int directory, const char *name, int fd, orbit_error *error)
{
    struct stat stat, named;
    int locked;
    while ((locked = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EINTR)
        continue;
    if (locked < 0 && errno == EWOULDBLOCK)
        return orb_fail(error, ORBIT_E_BUSY, EWOULDBLOCK, "'%s' is in use by another transfer", name);
    if (locked < 0 && errno != ENOLCK && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return orb_fail_errno(error, errno, "cannot lock '%s'", name);
    orbit_status status = check_owner(fd, name, &stat, error);
    if (status < 0)
        return status;
    if (fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? ORBIT_AGAIN : orb_fail_errno(error, errno, "cannot open '%s'", name);
    return named.st_dev == stat.st_dev && named.st_ino == stat.st_ino ? ORBIT_OK : ORBIT_AGAIN;
}

static orbit_status open_locked(struct orb_ledger *ledger, unsigned flags, orbit_error *error)
{
    int mode = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (flags & ORB_LEDGER_CREATE ? O_CREAT : 0);
    for (int i = 0; i < OPEN_TRIES; i++) {
        ledger->fd = openat(ledger->directory, ledger->name, mode, 0600);
        if (ledger->fd < 0)
            return orb_fail_errno(error, errno, "cannot open '%s'", ledger->name);
        orbit_status status = lock(ledger->directory, ledger->name, ledger->fd, error);
        if (status == ORBIT_OK)
            return fchmod(ledger->fd, 0600) < 0 && errno != EPERM
                       ? orb_fail_errno(error, errno, "cannot open '%s'", ledger->name)
                       : ORBIT_OK;
        if (status < 0)
            return status;
        close_fd(ledger->fd);
        ledger->fd = -1;
    }
    return orb_fail(error, ORBIT_E_BUSY, 0, "'%s' is in use by another transfer", ledger->name);
}

static orbit_status open_look(struct orb_ledger *ledger, orbit_error *error)
{
    struct stat stat;
    ledger->fd = openat(ledger->directory, ledger->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (ledger->fd < 0)
        return orb_fail_errno(error, errno, "cannot open '%s'", ledger->name);
    return check_owner(ledger->fd, ledger->name, &stat, error);
}

orbit_status orb_ledger_open(struct orb_ledger **made, int directory, const char *name, uint32_t kind, unsigned flags,
                             orb_ledger_each *each, void *ctx, orbit_error *error)
{
    assert(!strchr(name, '/') && !((flags & ORB_LEDGER_CREATE) && (flags & ORB_LEDGER_LOOK)));
    *made = NULL;
    size_t length = strlen(name) + 1;
    struct orb_ledger *ledger = orb_calloc(1, sizeof(*ledger) + length);
    if (!ledger)
        return orb_fail_memory(error);
    memcpy(ledger->name, name, length);
    ledger->kind = kind;
    ledger->look = flags & ORB_LEDGER_LOOK;
    ledger->fd = -1;
    orbit_status status = ORBIT_OK;
    /* A directory that may be searched but not read is worked in, but cannot be flushed. */
    ledger->directory = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ledger->directory < 0 && errno == EACCES)
        ledger->directory = openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ledger->directory < 0)
        status = orb_fail_errno(error, errno, "cannot open the directory of '%s'", name);
    if (status >= 0)
        status = ledger->look ? open_look(ledger, error) : open_locked(ledger, flags, error);
    if (status >= 0)
        status = load(ledger, each, ctx, error);
    if (status < 0) {
        orb_ledger_close(ledger);
        return status;
    }
    *made = ledger;
    return ORBIT_OK;
}

/* ---- adding ----------------------------------------------------------------------------------------------- */

orbit_status orb_ledger_append(struct orb_ledger *ledger, uint16_t type, const void *payload, size_t length,
                               orbit_error *error)
{
    assert(!ledger->look && type != 0);
    if (length > ORB_LEDGER_RECORD_MAX)
        return orb_fail(error, ORBIT_E_LIMIT, 0, "a record of %zu bytes is too long for '%s'", length, ledger->name);
    uint8_t head[RECORD_BYTES] = {0};
    put_le(head, length, 4);
    put_le(head + 4, type, 2);
    put_le(head + 8, orb_crc32c(orb_crc32c(0, head, 8), payload, length), 4);
    struct iovec pieces[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)payload, length}};
    if (write_at(ledger->fd, pieces, length > 0 ? 2 : 1, ledger->end) < 0) {
        int number = errno;
        (void)!ftruncate(ledger->fd, (off_t)ledger->end); /* what stays is torn, and is found so */
        return orb_fail_errno(error, number, "cannot write '%s'", ledger->name);
    }
    ledger->end += RECORD_BYTES + length;
    return ORBIT_OK;
}

orbit_status orb_ledger_sync(struct orb_ledger *ledger, orbit_error *error)
{
    if (fdatasync(ledger->fd) < 0)
        return orb_fail_errno(error, errno, "cannot flush '%s'", ledger->name);
    /* EBADF: it could only be opened for searching. EINVAL: not a directory of a disk. */
    if (ledger->new_name && fsync(ledger->directory) < 0 && errno != EBADF && errno != EINVAL)
        return orb_fail_errno(error, errno, "cannot flush the directory of '%s'", ledger->name);
    ledger->new_name = false;
    return ORBIT_OK;
}

/* ---- replacing -------------------------------------------------------------------------------------------- */

/* Only the owner of the ledger has business with this name, so that one that is there was left by a crash. */
static int open_fresh(struct orb_ledger *fresh)
{
    if (unlinkat(fresh->directory, fresh->name, 0) < 0 && errno != ENOENT)
        return -1;
    fresh->fd = openat(fresh->directory, fresh->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fresh->fd < 0)
        return -1;
    (void)flock(fresh->fd, LOCK_EX | LOCK_NB); /* nobody else can have it; where there are no locks, none is kept */
    return 0;
}

orbit_status orb_ledger_rewrite(struct orb_ledger *ledger,
                                orbit_status (*records)(void *ctx, struct orb_ledger *fresh, orbit_error *error),
                                void *ctx, orbit_error *error)
{
    assert(!ledger->look);
    size_t room = strlen(ledger->name) + sizeof(FRESH);
    struct orb_ledger *fresh = orb_calloc(1, sizeof(*fresh) + room);
    if (!fresh)
        return orb_fail_memory(error);
    snprintf(fresh->name, room, "%s%s", ledger->name, FRESH);
    fresh->directory = ledger->directory;
    fresh->kind = ledger->kind;
    fresh->fd = -1;
    orbit_status status = ORBIT_OK;
    if (open_fresh(fresh) < 0)
        status = orb_fail_errno(error, errno, "cannot create '%s'", fresh->name);
    if (status >= 0)
        status = write_head(fresh, error);
    if (status >= 0)
        status = records(ctx, fresh, error);
    if (status >= 0 && fdatasync(fresh->fd) < 0)
        status = orb_fail_errno(error, errno, "cannot flush '%s'", fresh->name);
    if (status >= 0 && renameat(ledger->directory, fresh->name, ledger->directory, ledger->name) < 0)
        status = orb_fail_errno(error, errno, "cannot replace '%s'", ledger->name);
    if (status < 0) {
        if (fresh->fd >= 0)
            unlinkat(fresh->directory, fresh->name, 0);
        close_fd(fresh->fd);
    } else {
        close_fd(ledger->fd);
        ledger->fd = fresh->fd;
        ledger->end = fresh->end;
        ledger->new_name = true;
        status = ORBIT_OK;
    }
    orb_free(fresh);
    return status;
}

/* ---- the rest --------------------------------------------------------------------------------------------- */

uint64_t orb_ledger_bytes(const struct orb_ledger *ledger)
{
    return ledger->end;
}

uint64_t orb_ledger_cut(const struct orb_ledger *ledger)
{
    return ledger->cut;
}

void orb_ledger_close(struct orb_ledger *ledger)
{
    if (!ledger)
        return;
    close_fd(ledger->fd);
    close_fd(ledger->directory);
    orb_free(ledger);
}

void orb_ledger_remove(struct orb_ledger *ledger)
{
    if (ledger && !ledger->look)
        unlinkat(ledger->directory, ledger->name, 0);
    orb_ledger_close(ledger);
}

orbit_status orb_ledger_discard(int directory, const char *name, orbit_error *error)
{
    orbit_status status = ORBIT_AGAIN;
    for (int i = 0; i < OPEN_TRIES && status == ORBIT_AGAIN; i++) {
        int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT)
            return ORBIT_OK;
        if (fd < 0 && errno != ELOOP) /* a symlink is removed as such */
            return orb_fail_errno(error, errno, "cannot remove '%s'", name);
        status = fd < 0 ? ORBIT_OK : lock(directory, name, fd, error);
        if ((status == ORBIT_OK || status == ORBIT_E_CONFIG || status == ORBIT_E_PERMISSION) &&
            unlinkat(directory, name, 0) < 0)
            status = orb_fail_errno(error, errno, "cannot remove '%s'", name);
        else if (status == ORBIT_E_CONFIG || status == ORBIT_E_PERMISSION)
            status = ORBIT_OK;
        close_fd(fd);
    }
    return status == ORBIT_AGAIN ? orb_fail(error, ORBIT_E_BUSY, 0, "'%s' is in use by another transfer", name)
                                 : status;
}
