/* SPDX-License-Identifier: Apache-2.0
 * Mode, owner, ACL and times of a file that is written: what was asked for, what the source had, what the replaced
 * file had, what the directory and the umask say, in this order. Worker threads. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ACL_MAX = 4096 };

static const char acl_access[] = "system.posix_acl_access";
static const char acl_default[] = "system.posix_acl_default";

void orb_local_take_attributes(struct orb_local_target *target, const orbit_write_options *options,
                               const orbit_metadata *preserve)
{
    const uint32_t all = ORBIT_HAS_MODE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME | ORBIT_HAS_OWNER;
    target->must = options->set & all;
    target->mode = options->mode & 07777u;
    target->uid = options->uid;
    target->gid = options->gid;
    target->mtime_ns = options->mtime_ns;
    target->atime_ns = options->atime_ns;
    if (preserve) {
        target->may = preserve->fields & all & ~target->must;
        if (target->may & ORBIT_HAS_MODE)
            target->mode = preserve->mode & 07777u;
        if (target->may & ORBIT_HAS_OWNER) {
            target->uid = preserve->uid;
            target->gid = preserve->gid;
        }
        if (target->may & ORBIT_HAS_MTIME)
            target->mtime_ns = preserve->mtime_ns;
        if (target->may & ORBIT_HAS_ATIME)
            target->atime_ns = preserve->atime_ns;
    }
    const uint32_t had = (target->must | target->may);
    if (target->replaces && !(had & ORBIT_HAS_MODE)) {
        target->mode = target->old.stx_mode & 07777u;
        if (geteuid() != 0) /* as when others than root write to it: new bytes do not inherit an identity */
            target->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
        target->may |= ORBIT_HAS_MODE;
    }
    if (target->replaces && !(had & ORBIT_HAS_OWNER)) {
        target->uid = target->old.stx_uid;
        target->gid = target->old.stx_gid;
        target->may |= ORBIT_HAS_OWNER;
    }
}

/* umask() can only be read by changing it, for the whole process; the line in status stands early. */
static mode_t process_umask(struct orb_local *self)
{
    int mask = atomic_load_explicit(&self->umask, memory_order_relaxed);
    if (mask >= 0)
        return (mode_t)mask;
    mask = 022;
    char text[2048];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof(text) - 1);
        text[length > 0 ? length : 0] = '\0';
        const char *line = strstr(text, "\nUmask:");
        if (line)
            mask = (int)(strtoul(line + 7, NULL, 8) & 0777u);
        orb_local_close(fd);
    }
    atomic_store_explicit(&self->umask, mask, memory_order_relaxed);
    return (mode_t)mask;
}

/* The mode of a new file where nothing else says it: 0666, or what the file has that is copied, less the umask, or less
 * what the directory's default ACL leaves out (then the umask does not count). An ACL is a version of 4 bytes, then
 * entries of 8: tag, rights (16 bits each, little-endian), id. */
static uint32_t default_mode(const struct orb_local_target *target)
{
    enum { OWNER = 0x01, GROUP = 0x04, MASK = 0x10, OTHER = 0x20 };
    struct orb_local_proc proc;
    uint8_t acl[ACL_MAX];
    ssize_t length = getxattr(orb_local_proc(&proc, target->directory, NULL), acl_default, acl, sizeof(acl));
    if (length < 4)
        return target->most & ~(uint32_t)process_umask(target->self);
    uint32_t owner = 6, group = 0, mask = UINT32_MAX, other = 0;
    for (ssize_t at = 4; at + 8 <= length; at += 8) {
        uint32_t tag = (uint32_t)acl[at] | (uint32_t)acl[at + 1] << 8;
        uint32_t rights = acl[at + 2] & 7u;
        if (tag == OWNER)
            owner = rights;
        else if (tag == GROUP)
            group = rights;
        else if (tag == MASK)
            mask = rights;
        else if (tag == OTHER)
            other = rights;
    }
    return target->most & (owner << 6 | (mask != UINT32_MAX ? mask : group) << 3 | other);
}

static int set_owner(const struct orb_local_target *target, uint32_t *mode)
{
    const uint32_t set_id = S_ISUID | S_ISGID;
    struct statx now;
    int status = orb_local_stat_fd(target->fd, &now);
    if (status < 0)
        return status;
    if (now.stx_uid == target->uid && now.stx_gid == target->gid)
        return 0;
    if (fchown(target->fd, target->uid, target->gid) == 0)
        return 0;
    status = -errno;
    if (target->must & ORBIT_HAS_OWNER)
        return status;
    if (fchown(target->fd, (uid_t)-1, target->gid) != 0 || now.stx_uid != target->uid)
        *mode &= ~set_id; /* it would run as somebody else */
    return 0;
}

/* A replaced file's ACL: with the mode alone, its mask would become the group's rights. */
static void keep_acl(const struct orb_local_target *target)
{
    struct orb_local_proc proc;
    uint8_t acl[ACL_MAX];
    ssize_t length = lgetxattr(orb_local_proc(&proc, target->directory, target->name), acl_access, acl, sizeof(acl));
    if (length > 0 && fsetxattr(target->fd, acl_access, acl, (size_t)length, 0) != 0) {
        /* The rights it gave are lost, none are added. */
    }
}

static int set_times(const struct orb_local_target *target)
{
    const uint32_t set = target->must | target->may;
    if (!(set & (ORBIT_HAS_MTIME | ORBIT_HAS_ATIME)))
        return 0;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (set & ORBIT_HAS_ATIME)
        times[0] = orb_local_timespec(target->atime_ns);
    if (set & ORBIT_HAS_MTIME)
        times[1] = orb_local_timespec(target->mtime_ns);
    return futimens(target->fd, times) == 0 ? 0 : -errno;
}

int orb_local_set_attributes(const struct orb_local_target *target, int source_fd)
{
    const uint32_t set = target->must | target->may;
    uint32_t mode = set & ORBIT_HAS_MODE ? target->mode : default_mode(target);
    int status = 0;
    if (set & ORBIT_HAS_OWNER)
        status = set_owner(target, &mode);
    if (status == 0 && fchmod(target->fd, (mode_t)mode) != 0)
        status = -errno;
    if (status == 0 && target->replaces && !(target->must & ORBIT_HAS_MODE) && source_fd < 0)
        keep_acl(target);
    if (status == 0 && source_fd >= 0) {
        status = orb_local_copy_xattrs(source_fd, target->fd);
        /* An ACL carries rights of its own: what was asked for explicitly stands. */
        if (status == 0 && (target->must & ORBIT_HAS_MODE) && fchmod(target->fd, (mode_t)mode) != 0)
            status = -errno;
    }
    return status == 0 ? set_times(target) : status;
}
