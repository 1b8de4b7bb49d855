/* SPDX-License-Identifier: Apache-2.0
 * The inside of the local backend: files and directories of this machine.
 *
 * Everything that touches the disk runs on a worker (orbit_op_run). Functions that return an int give a
 * descriptor or 0, or a negative errno; those that return an orbit_status have filled `error`. */
#ifndef ORB_BACKEND_LOCAL_LOCAL_H
#define ORB_BACKEND_LOCAL_LOCAL_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "backend/backend.h"

struct orb_local {
    orbit_host *host;
    char *root; /* absolute; NULL: paths as the operating system takes them */
    bool create_root;
    uint32_t open_directories_max;
    _Atomic int umask; /* of the process, -1 until it was read */
    /* openat2() is not there (an old kernel, a sandbox): rooted paths are walked by hand. Learned at the first
     * use; tests set it. */
    _Atomic bool walk_by_hand;
    _Atomic bool no_tmpfile;  /* tests set it: as on a file system without O_TMPFILE */
    const char *boot_id_path; /* NULL: the kernel's; tests set it: as after a reboot */
};

/* ---- operations (local.c) ---- */

/* What a one-shot operation needs until it is done; op->state. */
struct orb_local_call {
    const void *request;
    void *reply;
    void *extra;
};
/* Keeps the pointers and runs `work` on a worker. Ends the operation itself when memory is out. */
void orb_local_start(orbit_op *op, const void *request, void *reply, void *extra,
                     void (*work)(void *self, orbit_op *op));
/* Frees op->state and ends the operation. */
void orb_local_end(orbit_op *op, orbit_status status, const orbit_error *error);

/* ---- errors (local.c) ---- */

/* "cannot read 'dir/x': No such file or directory". An EXDEV is a path that left the root. */
orbit_status orb_local_fail(orbit_error *error, int number, const char *what, const char *path);
orbit_status orb_local_cancelled(orbit_error *error, const char *what, const char *path);
/* A path for a message: what is too long loses its head. */
#define ORB_LOCAL_SHOWN 200
struct orb_local_shown {
    char text[ORB_LOCAL_SHOWN + 8];
};
const char *orb_local_show(struct orb_local_shown *shown, const char *path);

#ifdef __clang_analyzer__
/* As in base/error.h: the analyzer sees one file at a time, and a failure is never success. */
#define orb_local_fail(error, ...)      ((void)(orb_local_fail)(error, __VA_ARGS__), ORBIT_E_IO)
#define orb_local_cancelled(error, ...) ((void)(orb_local_cancelled)(error, __VA_ARGS__), ORBIT_E_CANCELLED)
#endif

/* ---- paths (local_path.c) ---- */

/* Opens what `path` names, never outside the root. Follows a symlink at its end unless O_NOFOLLOW. */
int orb_local_open(struct orb_local *self, const char *path, int flags);

/* The directory that holds a name. */
struct orb_local_place {
    int directory;    /* O_PATH, owned; or AT_FDCWD */
    const char *name; /* `last`; the whole path where the directory is AT_FDCWD; "." for the root */
    bool slash;       /* the path ended in '/': only a directory will do */
    bool is_self;     /* the path is "", ".", ".." or "/": no name that could be made or removed */
    char last[NAME_MAX + 1];
};
enum {
    ORB_LOCAL_QUICK = 1,  /* AT_FDCWD and the whole path will do: saves opening the directory */
    ORB_LOCAL_CREATE = 2, /* makes the directories that are missing */
    ORB_LOCAL_DURABLE = 4 /* and flushes those that name a new one */
};
/* `place->name` may point into `path`. */
int orb_local_find(struct orb_local *self, const char *path, int flags, struct orb_local_place *place);
void orb_local_leave(struct orb_local_place *place);
/* mkdir -p; gives the directory (O_PATH). */
int orb_local_make_directories(struct orb_local *self, const char *path, int flags);
int orb_local_flush_directory(int directory); /* fsync; O_PATH will do */
/* A path through which system calls without an *at form reach what a descriptor stands for. */
struct orb_local_proc {
    char text[32 + NAME_MAX + 1];
};
const char *orb_local_proc(struct orb_local_proc *proc, int fd, const char *name /* nullable */);
void orb_local_close(int fd); /* of ours: negative ones are fine, errno is kept */

/* ---- metadata (local_file.c) ---- */

#define ORB_LOCAL_STATX (STATX_BASIC_STATS)
void orb_local_fill(orbit_metadata *metadata, const struct statx *stat);
uint64_t orb_local_device(const struct statx *stat);
struct timespec orb_local_timespec(int64_t ns);
bool orb_local_same(const struct statx *a, const struct statx *b);   /* one file */
bool orb_local_intact(const struct statx *a, const struct statx *b); /* and unchanged */
int orb_local_stat_fd(int fd, struct statx *stat);
/* ORBIT_E_CHANGED when `pin` (nullable) says that it was another one. */
orbit_status orb_local_check_pin(const struct statx *stat, const orbit_metadata *pin, const char *path,
                                 orbit_error *error);
/* ORBIT_E_UNSUPPORTED for what only object stores have. */
orbit_status orb_local_no_version(const char *version_id, const char *if_match, const char *path, orbit_error *error);

/* ---- blocking on what is not a file (local_read.c) ---- */

/* Waits until `fd` is ready, or -ECANCELED. */
int orb_local_wait(const orbit_op *op, int fd, short events);
/* Opens for reading; a FIFO does not block, a lease is waited for. */
int orb_local_open_read(struct orb_local *self, const orbit_op *op, const char *path);
/* True for files whose size says nothing (proc, sysfs, FIFOs, character devices). */
bool orb_local_size_lies(int fd, const struct statx *stat);

/* ---- targets: temporaries and final names (local_target.c) ---- */

/* ".orbit-" and 16 hexadecimal digits, or the journal of one: never listed. */
bool orb_local_is_temporary(const char *name);

struct orb_local_journal;

struct orb_local_target {
    struct orb_local *self;
    int directory; /* O_PATH, of the final name */
    int fd;        /* the temporary, or the thing itself where it is written in place */
    char name[NAME_MAX + 1];
    char temporary[32]; /* "": it has no name (O_TMPFILE) */
    bool in_place;      /* a device or FIFO */
    bool ordered;       /* in place and without offsets: bytes go in order */
    bool published;
    bool resumed;
    struct orb_local_journal *journal; /* nullable: what is written stays when it is not finished */
    bool dropped;                      /* what an earlier write left was of other bytes */
    bool overwrite;
    bool replaces; /* a regular file with the attributes in `old` */
    struct statx old;
    uint32_t sync;
    /* What to set: `must` fails where it is not permitted, `may` is left out there. ORBIT_HAS_… */
    uint32_t must, may;
    uint32_t mode, uid, gid;
    uint32_t most; /* rights of a new file whose mode nothing says, before umask or the directory's default ACL */
    int64_t mtime_ns, atime_ns;
};
struct orb_local_target_request {
    const char *path;
    const orbit_write_options *options;
    const orbit_metadata *preserve; /* nullable */
    const char *resume_id;          /* nullable */
    const orbit_keep_request *keep; /* nullable */
    const struct statx *like;       /* nullable: the file whose copy it is to be, also without `preserve` */
};
/* A zeroed target is prepared by this; after a failure it needs nothing. */
orbit_status orb_local_target_open(struct orb_local_target *target, struct orb_local *self, const orbit_op *op,
                                   const struct orb_local_target_request *request, orbit_error *error);
/* Writes all of it at `at` (or in order). 0 or a negative errno. */
int orb_local_target_write(struct orb_local_target *target, const orbit_op *op, const void *bytes, size_t length,
                           uint64_t at);
/* Attributes, flush, final name. `source_fd` (or -1) is where extended attributes come from. */
orbit_status orb_local_target_publish(struct orb_local_target *target, const char *path, int source_fd,
                                      orbit_metadata *reply, orbit_error *error);
/* Removes the temporary, unless it was published, and closes. */
void orb_local_target_discard(struct orb_local_target *target);
void orb_local_target_close(struct orb_local_target *target);
/* Closes; what its journal knows stays for a later write. */
void orb_local_target_suspend(struct orb_local_target *target);

/* What to set, decided when the target is opened; set when it is published. (local_attributes.c) */
void orb_local_take_attributes(struct orb_local_target *target, const orbit_write_options *options,
                               const orbit_metadata *preserve);
int orb_local_set_attributes(const struct orb_local_target *target, int source_fd);

/* Copies the first bytes of the file that stands at the name to where the journal knows nothing, as keep->prefix_bytes
 * asks: `*taken` of them. (local_copy.c) */
orbit_status orb_local_take_prefix(struct orb_local_target *target, orbit_op *op, const orbit_keep_request *keep,
                                   const char *path, uint64_t *taken, orbit_error *error);

/* ORBIT_E_CHECKSUM when the `size` bytes that were written have another checksum; of any algorithm. (local_verify.c) */
orbit_status orb_local_verify(const struct orb_local_target *target, uint64_t size, const orbit_op *op,
                              const orbit_checksum *expected, const char *path, orbit_error *error);

/* Copies what may be copied; only a full disk is an error (-ENOSPC, -EDQUOT), or -ENOMEM. (local_xattr.c) */
int orb_local_copy_xattrs(int from_fd, int to_fd);

/* ---- the table's functions, by file ---- */
void orb_local_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply);
void orb_local_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request);
void orb_local_rename(void *self, orbit_op *op, const orbit_rename_request *request);
void orb_local_set_metadata(void *self, orbit_op *op, const orbit_set_metadata_request *request);
void orb_local_symlink(void *self, orbit_op *op, const orbit_link_request *request);
void orb_local_readlink(void *self, orbit_op *op, const orbit_bytes_request *request);
void orb_local_space(void *self, orbit_op *op, const char *path, orbit_space_reply *reply);
void orb_local_probe(void *self, orbit_op *op, const orbit_probe_request *request);

void orb_local_xattr_get(void *self, orbit_op *op, const orbit_bytes_request *request);
void orb_local_xattr_list(void *self, orbit_op *op, const orbit_bytes_request *request);
void orb_local_xattr_set(void *self, orbit_op *op, const orbit_xattr_set_request *request);

void orb_local_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                    orbit_read_reply *reply);

void orb_local_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply);
void orb_local_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply);
void orb_local_part(void *self, orbit_op *op, void *upload, const orbit_part *part, orbit_body *body,
                    orbit_part_reply *reply);
void orb_local_finish(void *self, orbit_op *op, void *upload, const orbit_finish_request *request,
                      orbit_metadata *reply);
void orb_local_abort(void *self, orbit_op *op, void *upload);
void orb_local_suspend(void *self, orbit_op *op, void *upload);
bool orb_local_kept(void *self, const char *path);
void orb_local_release(void *self, void *upload);

void orb_local_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **cursor);
void orb_local_list_page(void *self, orbit_op *op, void *cursor, orbit_page *page);
void orb_local_list_suspend(void *self, void *cursor, uint64_t position);
void orb_local_list_end(void *self, void *cursor);

void orb_local_remove(void *self, orbit_op *op, const orbit_remove_request *request);
void orb_local_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply);

#endif
