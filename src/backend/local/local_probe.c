/* SPDX-License-Identifier: Apache-2.0
 * probe: what kind of file system a path is on, how much it holds, and what may be done there. Worker threads. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Numbers of statfs(2), Linux's include/uapi/linux/magic.h. */
static const struct kind {
    int64_t number;
    const char *name;
    bool shares; /* blocks between files: cp --reflink */
    bool remote;
} kinds[] = {
    {0xEF53, "ext4", false, false},        {0x58465342, "XFS", true, false},       {0x9123683E, "Btrfs", true, false},
    {0x01021994, "tmpfs", false, false},   {0x794C7630, "overlayfs", true, false}, {0x2FC12FC1, "ZFS", true, false},
    {0xCA451A4E, "bcachefs", true, false}, {0x6969, "NFS", false, true},           {0xFF534D42, "CIFS", false, true},
    {0xFE534D42, "SMB", false, true},      {0x65735546, "FUSE", false, true},      {0x00C36400, "Ceph", false, true},
    {0x4d44, "FAT", false, false},         {0x2011BAB0, "exFAT", false, false},    {0xF2F52010, "F2FS", false, false},
};

static void tell_kind(const orbit_probe_request *request, int fd)
{
    struct statfs facts;
    if (fstatfs(fd, &facts) != 0)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].number == (int64_t)(uint32_t)facts.f_type) {
            orbit_probe_tell(request, ORBIT_FINDING_OK, ORBIT_OK, "filesystem", NULL, "%s%s%s", kinds[i].name,
                             kinds[i].remote ? ", by way of a network or another program" : "",
                             kinds[i].shares ? ", copies within it may share blocks" : "");
            return;
        }
    orbit_probe_tell(request, ORBIT_FINDING_OK, ORBIT_OK, "filesystem", NULL, "of a kind without a name here (%#x)",
                     (unsigned)facts.f_type);
}

static void tell_space(const orbit_probe_request *request, int fd)
{
    struct statvfs space;
    if (fstatvfs(fd, &space) != 0)
        return;
    uint64_t left = (uint64_t)space.f_bavail * space.f_frsize, all = (uint64_t)space.f_blocks * space.f_frsize;
    const uint64_t mib = 1 << 20;
    if (space.f_flag & ST_RDONLY)
        orbit_probe_tell(request, ORBIT_FINDING_WARNING, ORBIT_E_PERMISSION, "space", "mount it writable to write here",
                         "the file system is mounted read-only");
    else if (all && left < all / 50) /* 2 % */
        orbit_probe_tell(request, ORBIT_FINDING_WARNING, ORBIT_E_NO_SPACE, "space", "make room before large downloads",
                         "only %" PRIu64 " of %" PRIu64 " MiB are free", left / mib, all / mib);
    else
        orbit_probe_tell(request, ORBIT_FINDING_OK, ORBIT_OK, "space", NULL, "%" PRIu64 " of %" PRIu64 " MiB are free",
                         left / mib, all / mib);
    if (space.f_files && !space.f_favail)
        orbit_probe_tell(request, ORBIT_FINDING_WARNING, ORBIT_E_NO_SPACE, "space", "remove files",
                         "no inode is free: no file can be made");
}

static bool allowed(int fd, int rights)
{
    return faccessat(fd, "", rights, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

static void tell_access(const orbit_probe_request *request, int fd)
{
    struct stat facts;
    bool directory = fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode);
    const char *what = directory ? "the directory" : "the file";
    if (!allowed(fd, directory ? R_OK | X_OK : R_OK))
        orbit_probe_tell(request, ORBIT_FINDING_FAILURE, ORBIT_E_PERMISSION, "access",
                         "ask its owner for the right to read it", "%s cannot be read by this user", what);
    else if (!allowed(fd, directory ? W_OK | X_OK : W_OK))
        orbit_probe_tell(request, ORBIT_FINDING_WARNING, ORBIT_E_PERMISSION, "access",
                         "ask its owner for the right to write to it", "%s can be read, but not written to", what);
    else
        orbit_probe_tell(request, ORBIT_FINDING_OK, ORBIT_OK, "access", NULL, "%s can be read and written to", what);
}

static void probe_work(void *self, orbit_op *op)
{
    struct orb_local_call *call = op->state;
    const orbit_probe_request *request = call->request;
    orbit_error error = {0};
    int fd = orb_local_open(self, request->path, O_PATH);
    if (fd < 0) {
        orbit_status status = orb_local_fail(&error, -fd, "look at", request->path);
        orbit_probe_tell(request, ORBIT_FINDING_FAILURE, status, "access", "name what exists, or make it (orbit mkdir)",
                         "%s", error.message);
    } else {
        tell_kind(request, fd);
        tell_space(request, fd);
        tell_access(request, fd);
    }
    orb_local_close(fd);
    orb_local_end(op, ORBIT_OK, &error);
}

void orb_local_probe(void *self, orbit_op *op, const orbit_probe_request *request)
{
    (void)self;
    orb_local_start(op, request, NULL, NULL, probe_work);
}
