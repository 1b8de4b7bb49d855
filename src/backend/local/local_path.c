/* SPDX-License-Identifier: Apache-2.0
 * From a path to a descriptor. A rooted backend cannot be led out of its root: the kernel sees to it
 * (openat2, RESOLVE_BENEATH), or a walk component by component where the kernel cannot. Paths longer than
 * PATH_MAX are opened in pieces. Worker threads; no state but what is learned of the kernel. */
#include "backend/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    LINKS_MAX = 40,     /* as the kernel's */
    RACES_MAX = 64,     /* how often a lookup that raced with a rename is tried again */
    TEXT_MAX = 16 << 20 /* bytes of a path with its symlinks expanded */
};

void orb_local_close(int fd)
{
    int kept = errno;
    if (fd >= 0)
        close(fd);
    errno = kept;
}

const char *orb_local_proc(struct orb_local_proc *proc, int fd, const char *name)
{
    int length = name ? snprintf(proc->text, sizeof(proc->text), "/proc/self/fd/%d/%s", fd, name)
                      : snprintf(proc->text, sizeof(proc->text), "/proc/self/fd/%d", fd);
    (void)length; /* a name has at most NAME_MAX bytes */
    return proc->text;
}

/* ---- walking by hand --------------------------------------------------------------------------- */

/* `names` are real directories below the root, joined by '/': no symlinks, no dots. */
struct walk {
    int root;
    int at; /* the directory reached; `root` itself is not closed */
    struct orb_buf names;
    struct orb_buf rest;
    size_t rest_at;
    unsigned links;
};

static void walk_to(struct walk *walk, int fd)
{
    if (walk->at != walk->root)
        orb_local_close(walk->at);
    walk->at = fd;
}

static int walk_down(struct walk *walk, const char *name)
{
    int fd = openat(walk->at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    walk_to(walk, fd);
    return 0;
}

/* The directory above. ".." itself cannot be trusted: what was moved out of the root meanwhile has its parent
 * outside. So the walk begins anew with one name less. */
static int walk_up(struct walk *walk)
{
    if (walk->names.length == 0)
        return -EXDEV;
    char *names = walk->names.bytes;
    char *slash = memrchr(names, '/', walk->names.length);
    walk->names.length = slash ? (size_t)(slash - names) : 0;
    names[walk->names.length] = '\0';
    walk_to(walk, walk->root);

    char name[NAME_MAX + 1];
    for (const char *from = names; *from;) {
        const char *end = strchrnul(from, '/');
        memcpy(name, from, (size_t)(end - from));
        name[end - from] = '\0';
        int status = walk_down(walk, name);
        if (status < 0)
            return status;
        from = *end ? end + 1 : end;
    }
    return 0;
}

/* 1: `name` was a symlink, its target is ahead of the rest now; 0: it is none. */
static int walk_link(struct walk *walk, const char *name)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(walk->at, name, target, sizeof(target));
    if (length < 0)
        return errno == EINVAL ? 0 : -errno;
    if (length == (ssize_t)sizeof(target))
        return -ENAMETOOLONG;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    if (length == 0)
        return -ENOENT;
    if (target[0] == '/')
        return -EXDEV;

    struct orb_buf rest;
    orb_buf_init(&rest, TEXT_MAX);
    orb_buf_append(&rest, target, (size_t)length);
    orb_buf_text(&rest, orb_buf_string(&walk->rest) + walk->rest_at);
    if (rest.failed) {
        orb_buf_release(&rest);
        return -ENOMEM;
    }
    orb_buf_release(&walk->rest);
    walk->rest = rest;
    walk->rest_at = 0;
    return 1;
}

/* Opens the last component. -EAGAIN: it became a symlink under our eyes. */
static int walk_last(struct walk *walk, const char *name, int flags, bool follow)
{
    int fd = openat(walk->at, name, flags | O_NOFOLLOW);
    if (fd < 0)
        return errno == ELOOP && follow ? -EAGAIN : -errno;
    struct stat stat;
    if (follow && (flags & O_PATH) && fstat(fd, &stat) == 0 && S_ISLNK(stat.st_mode)) {
        orb_local_close(fd);
        return -EAGAIN;
    }
    return fd;
}

/* One component. >= 0: the descriptor of the last one; -EINPROGRESS: go on. */
static int walk_step(struct walk *walk, int flags)
{
    const char *rest = orb_buf_string(&walk->rest) + walk->rest_at;
    const char *from = rest + strspn(rest, "/");
    if (!*from) {
        int fd = openat(walk->at, ".", flags & ~O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
    }
    size_t length = strcspn(from, "/");
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    char name[NAME_MAX + 1];
    memcpy(name, from, length);
    name[length] = '\0';
    bool last = from[length] == '\0';
    size_t before = walk->rest_at;
    walk->rest_at += (size_t)(from - rest) + length;

    if (strcmp(name, ".") == 0)
        return -EINPROGRESS;
    if (strcmp(name, "..") == 0) {
        int status = walk_up(walk);
        return status < 0 ? status : -EINPROGRESS;
    }
    bool follow = !last || !(flags & O_NOFOLLOW);
    int status = follow ? walk_link(walk, name) : 0;
    if (status != 0)
        return status < 0 ? status : -EINPROGRESS;
    if (last) {
        int fd = walk_last(walk, name, flags, follow);
        if (fd != -EAGAIN)
            return fd;
        walk->rest_at = before;
        return ++walk->links > LINKS_MAX ? -ELOOP : -EINPROGRESS;
    }
    status = walk_down(walk, name);
    if (status < 0)
        return status;
    if (walk->names.length)
        orb_buf_char(&walk->names, '/');
    return orb_buf_text(&walk->names, name) ? -EINPROGRESS : -ENOMEM;
}

static int open_by_hand(int root, const char *path, int flags)
{
    struct walk walk = {.root = root, .at = root};
    orb_buf_init(&walk.names, TEXT_MAX);
    orb_buf_init(&walk.rest, TEXT_MAX);
    int fd = orb_buf_text(&walk.rest, path) ? -EINPROGRESS : -ENOMEM;
    while (fd == -EINPROGRESS)
        fd = walk_step(&walk, flags);
    walk_to(&walk, root);
    orb_buf_release(&walk.names);
    orb_buf_release(&walk.rest);
    return fd;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int openat2_once(int directory, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

/* Sandboxes that do not know the call answer EPERM: is it the call, or the file? */
static bool openat2_is_missing(int directory, int number)
{
    if (number == -ENOSYS)
        return true;
    if (number != -EPERM)
        return false;
    int fd = openat2_once(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        orb_local_close(fd);
    return fd == -EPERM;
}

/* A piece shorter than PATH_MAX. */
static int open_piece(struct orb_local *self, int directory, const char *path, int flags)
{
    if (!self->root) {
        int fd = openat(directory, path, flags);
        return fd < 0 ? -errno : fd;
    }
    if (atomic_load_explicit(&self->walk_by_hand, memory_order_relaxed))
        return open_by_hand(directory, path, flags);
    int fd = -EAGAIN;
    /* EAGAIN: something was renamed while ".." was looked up. O_NONBLOCK has an EAGAIN of its own (a lease). */
    for (int i = 0; i < RACES_MAX && fd == -EAGAIN; i++)
        fd = openat2_once(directory, path, flags);
    if (fd < 0 && openat2_is_missing(directory, fd)) {
        atomic_store_explicit(&self->walk_by_hand, true, memory_order_relaxed);
        fd = open_by_hand(directory, path, flags);
    }
    return fd;
}

/* How much of a long path goes into the next piece: up to the last '/' that fits. 0: a name too long. */
static size_t piece_length(const char *rest)
{
    size_t length = PATH_MAX - 1;
    while (length > 0 && rest[length] != '/')
        length--;
    return length == 0 && rest[0] == '/' ? 1 : length;
}

static int open_pieces(struct orb_local *self, int base, const char *path, int flags)
{
    char piece[PATH_MAX];
    int directory = base;
    size_t at = 0;
    while (strlen(path + at) >= sizeof(piece)) {
        size_t length = piece_length(path + at);
        memcpy(piece, path + at, length);
        piece[length] = '\0';
        int next = length ? open_piece(self, directory, piece, O_PATH | O_DIRECTORY | O_CLOEXEC) : -ENAMETOOLONG;
        if (directory != base)
            orb_local_close(directory);
        if (next < 0)
            return next;
        directory = next;
        at += length;
        at += strspn(path + at, "/");
    }
    int fd = open_piece(self, directory, path[at] ? path + at : ".", flags);
    if (directory != base)
        orb_local_close(directory);
    return fd;
}

static int open_root(struct orb_local *self)
{
    if (!self->root)
        return AT_FDCWD;
    struct orb_local plain = {0}; /* the way to the root is the caller's own: it may go anywhere */
    int fd = orb_local_open(&plain, self->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd == -ENOENT && self->create_root)
        fd = orb_local_make_directories(&plain, self->root, 0);
    return fd;
}

int orb_local_open(struct orb_local *self, const char *path, int flags)
{
    flags |= O_CLOEXEC;
    if (self->root && path[0] == '/')
        return -EXDEV;
    int base = open_root(self);
    if (base < 0 && base != AT_FDCWD)
        return base;
    int fd;
    if (strlen(path) < PATH_MAX) {
        fd = open_piece(self, base, *path ? path : ".", flags);
    } else {
        fd = open_pieces(self, base, path, flags);
        /* A symlink or ".." in a later piece may lead above that piece without leaving the root. */
        if (fd == -EXDEV && self->root)
            fd = open_by_hand(base, path, flags);
    }
    if (base != AT_FDCWD)
        orb_local_close(base);
    return fd;
}

/* ---- the directory that holds a name ------------------------------------------------------------ */

static bool is_dots(const char *name, size_t length)
{
    return length == 0 || (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

static size_t without_slashes(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] == '/')
        length--;
    return length;
}

static int open_parent(struct orb_local *self, const char *path, size_t length, int flags)
{
    char *parent = orb_strndup(path, length);
    if (!parent)
        return -ENOMEM;
    int fd = orb_local_open(self, parent, O_PATH | O_DIRECTORY);
    if (fd == -ENOENT && (flags & ORB_LOCAL_CREATE))
        fd = orb_local_make_directories(self, parent, flags);
    orb_free(parent);
    return fd;
}

int orb_local_find(struct orb_local *self, const char *path, int flags, struct orb_local_place *place)
{
    place->directory = AT_FDCWD; /* nothing to be closed, however early this ends */
    if (self->root && path[0] == '/')
        return -EXDEV;
    size_t whole = strlen(path);
    size_t end = without_slashes(path, whole);
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    size_t length = end - begin;

    place->slash = end < whole;
    place->is_self = is_dots(path + begin, length);
    if (place->is_self) {
        place->name = ".";
        int fd = orb_local_open(self, path, O_PATH | O_DIRECTORY);
        if (fd < 0)
            return fd;
        place->directory = fd;
        return 0;
    }
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    if ((flags & ORB_LOCAL_QUICK) && !(flags & ORB_LOCAL_CREATE) && !self->root && !place->slash && whole < PATH_MAX) {
        place->name = path;
        return 0;
    }
    memcpy(place->last, path + begin, length);
    place->last[length] = '\0';
    place->name = place->last;
    int fd = open_parent(self, path, begin, flags);
    if (fd < 0)
        return fd;
    place->directory = fd;
    return 0;
}

void orb_local_leave(struct orb_local_place *place)
{
    if (place->directory != AT_FDCWD)
        orb_local_close(place->directory);
    place->directory = AT_FDCWD;
}

/* ---- mkdir -p ----------------------------------------------------------------------------------- */

int orb_local_flush_directory(int directory)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
    orb_local_close(fd);
    return status;
}

/* Makes `name` in `directory` and enters it; `directory` is closed. */
static int make_and_enter(struct orb_local *self, int directory, const char *name, int flags)
{
    int status = 0;
    if (strcmp(name, "..") == 0) {
        /* Below what is missing: in a root there is no telling where it leads. */
        int fd = self->root ? -ENOENT : openat(directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        status = fd == -1 ? -errno : fd;
        orb_local_close(directory);
        return status;
    }
    if (mkdirat(directory, name, 0777) == 0) {
        if (flags & ORB_LOCAL_DURABLE)
            status = orb_local_flush_directory(directory);
    } else if (errno != EEXIST) {
        status = -errno;
    }
    int fd = -1;
    if (status == 0) {
        fd = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            status = -errno;
    }
    orb_local_close(directory);
    return status < 0 ? status : fd;
}

static int make_rest(struct orb_local *self, int directory, const char *rest, int flags)
{
    char name[NAME_MAX + 1];
    while (directory >= 0 && *(rest += strspn(rest, "/"))) {
        size_t length = strcspn(rest, "/");
        if (length > NAME_MAX) {
            orb_local_close(directory);
            return -ENAMETOOLONG;
        }
        memcpy(name, rest, length);
        name[length] = '\0';
        rest += length;
        if (strcmp(name, ".") != 0)
            directory = make_and_enter(self, directory, name, flags);
    }
    return directory;
}

/* Looks for the longest part of the path that is there (it may hold symlinks and dots), then makes the rest,
 * which are plain names. */
int orb_local_make_directories(struct orb_local *self, const char *path, int flags)
{
    char *text = orb_strdup(path);
    if (!text)
        return -ENOMEM;
    size_t cut = without_slashes(text, strlen(text));
    int fd;
    for (;;) {
        bool absolute = cut == 0 && text[0] == '/';
        char kept = text[absolute ? 1 : cut];
        text[absolute ? 1 : cut] = '\0';
        fd = orb_local_open(self, text, O_PATH | O_DIRECTORY);
        text[absolute ? 1 : cut] = kept;
        if (fd != -ENOENT || cut == 0)
            break;
        while (cut > 0 && text[cut - 1] != '/')
            cut--;
        cut = without_slashes(text, cut);
    }
    if (fd >= 0)
        fd = make_rest(self, fd, text + cut, flags);
    orb_free(text);
    return fd;
}
