/* SPDX-License-Identifier: Apache-2.0
 * A minimal SFTP 3 server on stdin and stdout, on the real file system: no extensions, 32 KiB a read or write, and faults as
 * its arguments say. A tool, not a test; knows nothing of the library. One request at a time.
 *
 *     sftpd [FAULT=NUMBER]…
 *       short_read=N    READ gives at most N bytes            reorder=N     replies are kept back and sent in reverse, N at once
 *       empty_names=N   every N-th READDIR has no names       names=N       so many names a READDIR
 *       drop_out=N      ends after N bytes of replies         drop_at=N     ends when request N has come, unanswered
 *       lose_type=N     does a request of type N and ends     noise=1       prints a greeting before it speaks
 *       stall_at=N      request N and later are never answered
 *       bad_length=N    reply N has an absurd length          bad_id=N      reply N answers what was not asked
 *       bad_data=N      DATA reply N says more than it has    more_data=N   DATA reply N has more than was asked for
 *       bad_names=N     NAME reply N says more than it has    bad_type=N    reply N is of a type that answers nothing
 *       no_attributes=1 names come without attributes         read_only=1   what changes anything is refused
 *       space=N         writes beyond N bytes in all fail     version=N     it says that it speaks version N
 *       pause=N         every reply comes N ms late           openssh=1     it announces lsetstat@openssh.com
 *       free=N          statvfs@openssh.com: N MiB are free       sealed=1      … and the file system is read-only
 *       code=N          it says status N where it would say 4, failure; missing=N: where it would say 2, no such file
 *       size=N          every file has N bytes, by what it says; no_size=1: it does not say
 *       fsync=1         it announces fsync@openssh.com        in_order=1    WRITE goes on where the one before it ended, or fails
 *       tally=N         writes a letter to descriptor N for each READ (r), WRITE (w) and fsync (f) that it has done */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { PACKET_MAX = 256 << 10, DATA_MAX = 32 << 10, HANDLES = 256, KEPT_MAX = 64, FAULTS = 32 };
enum { OK = 0, END = 1, MISSING = 2, DENIED = 3, FAILURE = 4, BAD = 5, UNSUPPORTED = 8 };

static struct {
    const char *name;
    long value, seen;
} faults[FAULTS];

static long *fault(const char *name)
{
    for (size_t i = 0; i < FAULTS && faults[i].name; i++)
        if (strcmp(faults[i].name, name) == 0)
            return &faults[i].value;
    return NULL;
}

static long fault_value(const char *name)
{
    const long *value = fault(name);
    return value ? *value : 0;
}

/* Whether this is the N-th time that it is asked. */
static bool fault_now(const char *name)
{
    for (size_t i = 0; i < FAULTS && faults[i].name; i++)
        if (strcmp(faults[i].name, name) == 0)
            return ++faults[i].seen == faults[i].value;
    return false;
}

/* ---- packets --------------------------------------------------------------------------------------- */

static uint8_t in[PACKET_MAX + 4], out[PACKET_MAX + 4];
static size_t in_length, in_at, out_length;
static uint32_t id;
static struct {
    uint8_t *bytes;
    size_t length;
} kept[KEPT_MAX];
static size_t kept_count;
static long sent_bytes;
static uint8_t answering; /* the type of the request */

static uint64_t get(unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | (in_at < in_length ? in[in_at++] : 0);
    return number;
}

static const char *get_text(char *text, size_t room)
{
    size_t length = (size_t)get(4);
    if (length > in_length - in_at)
        length = in_length - in_at;
    size_t keep = length < room ? length : room - 1;
    memcpy(text, in + in_at, keep);
    text[keep] = '\0';
    in_at += length;
    return text;
}

static void put(uint64_t number, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        out[out_length++] = (uint8_t)(number >> 8 * i);
}

static void put_text(const void *bytes, size_t length)
{
    put(length, 4);
    memcpy(out + out_length, bytes, length);
    out_length += length;
}

static void begin(uint8_t type)
{
    out_length = 4;
    put(fault_now("bad_type") ? 99 : type, 1);
    put(fault_now("bad_id") ? id + 77 : id, 4);
}

static void write_all(const uint8_t *bytes, size_t length)
{
    long limit = fault_value("drop_out");
    bool drops = limit > 0 && sent_bytes + (long)length >= limit;
    if (drops)
        length = (size_t)(limit - sent_bytes);
    sent_bytes += (long)length;
    while (length > 0) {
        ssize_t put_bytes = write(1, bytes, length);
        if (put_bytes <= 0)
            exit(1);
        bytes += put_bytes;
        length -= (size_t)put_bytes;
    }
    if (drops)
        exit(0);
}

static void send_kept(void)
{
    while (kept_count > 0) {
        kept_count--;
        write_all(kept[kept_count].bytes, kept[kept_count].length);
        free(kept[kept_count].bytes);
    }
}

static void send_reply(void)
{
    size_t length = out_length;
    size_t at_once = (size_t)fault_value("reorder");
    if (answering == fault_value("lose_type") && answering)
        exit(0);
    out_length = 0;
    if (fault_value("pause"))
        usleep((useconds_t)fault_value("pause") * 1000);
    put(fault_now("bad_length") ? 0x7fffffff : length - 4, 4);
    if (at_once < 2) {
        write_all(out, length);
        return;
    }
    kept[kept_count].bytes = malloc(length);
    memcpy(kept[kept_count].bytes, out, length);
    kept[kept_count++].length = length;
    if (kept_count == at_once || kept_count == KEPT_MAX)
        send_kept();
}

static void status(uint32_t code)
{
    if (code == FAILURE && fault("code"))
        code = (uint32_t)fault_value("code");
    if (code == MISSING && fault("missing"))
        code = (uint32_t)fault_value("missing");
    begin(101);
    put(code, 4);
    put_text("as scripted", 11);
    put_text("", 0);
    send_reply();
}

static uint32_t code_of(int number)
{
    return number == ENOENT ? MISSING : number == EACCES || number == EPERM ? DENIED : FAILURE;
}

static void result(bool good)
{
    status(good ? OK : code_of(errno));
}

/* Before the reply: who has heard of it finds it counted. */
static void tally(char what)
{
    if (fault_value("tally"))
        (void)!write((int)fault_value("tally"), &what, 1);
}

/* ---- attributes ------------------------------------------------------------------------------------ */

static void put_attributes(const struct stat *about)
{
    bool sized = !fault_value("no_size");
    put((sized ? 1 : 0) | 2 | 4 | 8, 4);
    if (sized)
        put(S_ISREG(about->st_mode) && fault("size") ? (uint64_t)fault_value("size") : (uint64_t)about->st_size, 8);
    put(about->st_uid, 4);
    put(about->st_gid, 4);
    put(about->st_mode, 4);
    put((uint64_t)about->st_atime, 4);
    put((uint64_t)about->st_mtime, 4);
}

static bool set_attributes(const char *path, int fd)
{
    uint32_t flags = (uint32_t)get(4);
    bool good = true;
    if (flags & 1) {
        off_t size = (off_t)get(8);
        good = (fd >= 0 ? ftruncate(fd, size) : truncate(path, size)) == 0;
    }
    if (flags & 2) {
        uid_t uid = (uid_t)get(4);
        gid_t gid = (gid_t)get(4);
        good = (fd >= 0 ? fchown(fd, uid, gid) : chown(path, uid, gid)) == 0 && good;
    }
    if (flags & 4) {
        mode_t mode = (mode_t)get(4) & 07777;
        good = (fd >= 0 ? fchmod(fd, mode) : chmod(path, mode)) == 0 && good;
    }
    if (flags & 8) {
        struct timespec times[2] = {{0}};
        times[0].tv_sec = (time_t)get(4);
        times[1].tv_sec = (time_t)get(4);
        good = (fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, 0)) == 0 && good;
    }
    return good;
}

static void reply_attributes(int failed, const struct stat *about)
{
    if (failed) {
        status(code_of(errno));
        return;
    }
    begin(105);
    put_attributes(about);
    send_reply();
}

/* ---- handles --------------------------------------------------------------------------------------- */

static struct {
    int fd;
    DIR *directory;
    uint64_t next; /* the first byte that was not written yet */
    bool used;
} handles[HANDLES];
static long written;

static void reply_handle(int fd, DIR *directory)
{
    for (uint32_t i = 0; i < HANDLES; i++) {
        if (handles[i].used)
            continue;
        handles[i].fd = fd;
        handles[i].directory = directory;
        handles[i].next = 0;
        handles[i].used = true;
        uint8_t name[4] = {'h', (uint8_t)(i >> 8), (uint8_t)i, 'x'};
        begin(102);
        put_text(name, 4);
        send_reply();
        return;
    }
    status(FAILURE);
}

static int get_handle(void)
{
    char name[8];
    uint32_t length = (uint32_t)get(4);
    for (uint32_t i = 0; i < length; i++)
        name[i % 8] = (char)get(1);
    int i = length == 4 ? (uint8_t)name[1] << 8 | (uint8_t)name[2] : HANDLES;
    return i < HANDLES && handles[i].used ? i : -1;
}

static void open_file(void)
{
    char path[4096];
    get_text(path, sizeof(path));
    uint32_t flags = (uint32_t)get(4), has = (uint32_t)get(4);
    mode_t mode = 0666;
    if (has & 1)
        (void)get(8);
    if (has & 2)
        (void)get(8);
    if (has & 4)
        mode = (mode_t)get(4) & 07777;
    int how = flags & 2 ? (flags & 1 ? O_RDWR : O_WRONLY) : O_RDONLY;
    how |= (flags & 8 ? O_CREAT : 0) | (flags & 16 ? O_TRUNC : 0) | (flags & 32 ? O_EXCL : 0);
    if ((flags & 2) && fault_value("read_only")) {
        status(DENIED);
        return;
    }
    int fd = open(path, how | O_CLOEXEC, mode);
    if (fd < 0)
        status(code_of(errno));
    else
        reply_handle(fd, NULL);
}

static void read_file(void)
{
    static uint8_t bytes[DATA_MAX];
    int handle = get_handle();
    uint64_t offset = get(8), length = get(4);
    uint64_t most = fault_value("short_read") ? (uint64_t)fault_value("short_read") : DATA_MAX;
    if (length > most)
        length = most;
    ssize_t got = handle < 0 ? -1 : pread(handles[handle].fd, bytes, (size_t)length, (off_t)offset);
    if (got <= 0) {
        status(handle < 0 ? FAILURE : got < 0 ? code_of(errno) : END);
        return;
    }
    tally('r');
    if (fault_now("more_data"))
        got = DATA_MAX;
    begin(103);
    put_text(bytes, (size_t)got);
    if (fault_now("bad_data")) {
        size_t end = out_length;
        out_length = 9;
        put((uint64_t)got + 1000, 4);
        out_length = end;
    }
    send_reply();
}

static void write_file(void)
{
    int handle = get_handle();
    uint64_t offset = get(8);
    size_t length = (size_t)get(4);
    if (length > in_length - in_at)
        length = in_length - in_at;
    written += (long)length;
    if (fault_value("space") && written > fault_value("space"))
        status(FAILURE);
    else if (handle < 0 || (fault_value("in_order") && offset != handles[handle].next))
        status(FAILURE);
    else {
        handles[handle].next = offset + length;
        bool good = pwrite(handles[handle].fd, in + in_at, length, (off_t)offset) == (ssize_t)length;
        tally('w');
        result(good);
    }
}

static void close_handle(void)
{
    int handle = get_handle();
    if (handle < 0) {
        status(FAILURE);
        return;
    }
    if (handles[handle].directory)
        closedir(handles[handle].directory);
    else
        close(handles[handle].fd);
    handles[handle].used = false;
    status(OK);
}

static void read_directory(void)
{
    static long asked;
    int handle = get_handle();
    long most = fault_value("names") ? fault_value("names") : 100, every = fault_value("empty_names"), count = 0;
    if (handle < 0 || !handles[handle].directory) {
        status(FAILURE);
        return;
    }
    begin(104);
    size_t count_at = out_length;
    put(0, 4);
    bool empty = every > 0 && ++asked % every == 0, end = false;
    while (!empty && count < most && !end) {
        const struct dirent *entry = readdir(handles[handle].directory);
        struct stat about;
        end = !entry;
        if (end || fstatat(dirfd(handles[handle].directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        put_text(entry->d_name, strlen(entry->d_name));
        put_text("long name", 9);
        if (fault_value("no_attributes"))
            put(0, 4);
        else
            put_attributes(&about);
        count++;
    }
    if (count == 0 && !empty) {
        status(END);
        return;
    }
    size_t length = out_length;
    out_length = count_at;
    put((uint64_t)(fault_now("bad_names") ? count + 1000000 : count), 4);
    out_length = length;
    send_reply();
}

static void reply_name(const char *name)
{
    begin(104);
    put(1, 4);
    put_text(name, strlen(name));
    put_text(name, strlen(name));
    put(0, 4);
    send_reply();
}

/* ---- requests -------------------------------------------------------------------------------------- */

/* Of a name: RENAME does not replace, as the draft has it. */
static void rename_path(void)
{
    char from[4096], to[4096];
    struct stat about;
    get_text(from, sizeof(from));
    get_text(to, sizeof(to));
    if (lstat(to, &about) == 0)
        status(FAILURE);
    else
        result(rename(from, to) == 0);
}

static void on_path(uint8_t type)
{
    char path[4096], other[4096];
    struct stat about;
    ssize_t length;
    get_text(path, sizeof(path));
    switch (type) {
    case 7:
        reply_attributes(lstat(path, &about), &about);
        break;
    case 17:
        reply_attributes(stat(path, &about), &about);
        break;
    case 9:
        result(set_attributes(path, -1));
        break;
    case 11: {
        DIR *directory = opendir(path);
        if (directory)
            reply_handle(-1, directory);
        else
            status(code_of(errno));
        break;
    }
    case 13:
        result(unlink(path) == 0);
        break;
    case 14:
        result(mkdir(path, 0777) == 0);
        break;
    case 15:
        result(rmdir(path) == 0);
        break;
    case 16:
        if (realpath(path, other))
            reply_name(other);
        else
            status(code_of(errno));
        break;
    case 19:
        length = readlink(path, other, sizeof(other) - 1);
        if (length < 0) {
            status(code_of(errno));
            break;
        }
        other[length] = '\0';
        reply_name(other);
        break;
    default: /* 20, with OpenSSH's order: the target comes first */
        get_text(other, sizeof(other));
        result(symlink(path, other) == 0);
    }
}

static void flush_file(void)
{
    int handle = get_handle();
    bool good = handle >= 0 && fsync(handles[handle].fd) == 0;
    tally('f');
    result(good);
}

/* fsync@ and statvfs@openssh.com: https://github.com/openssh/openssh-portable, PROTOCOL §4.6 and §4.3. */
static void extended(void)
{
    char name[32];
    get_text(name, sizeof(name));
    if (strcmp(name, "fsync@openssh.com") == 0 && fault_value("fsync")) {
        flush_file();
        return;
    }
    if (strcmp(name, "statvfs@openssh.com") != 0 || !fault("free")) {
        status(UNSUPPORTED);
        return;
    }
    uint64_t free_blocks = (uint64_t)fault_value("free"), file_count = 1000;
    const uint64_t fields[11] = {1 << 20,    1 << 20,    free_blocks + 10, free_blocks, free_blocks,
                                 file_count, file_count, file_count,       0,           fault_value("sealed") ? 1 : 0,
                                 255};
    begin(201);
    for (size_t i = 0; i < 11; i++)
        put(fields[i], 8);
    send_reply();
}

static void answer(uint8_t type)
{
    static const uint8_t changing[] = {6, 9, 10, 13, 14, 15, 18, 20};
    struct stat about;
    int handle;
    if (fault_value("read_only") && memchr(changing, type, sizeof(changing))) {
        status(DENIED);
        return;
    }
    switch (type) {
    case 3:
        open_file();
        break;
    case 4:
        close_handle();
        break;
    case 5:
        read_file();
        break;
    case 6:
        write_file();
        break;
    case 8:
        handle = get_handle();
        reply_attributes(handle < 0 ? -1 : fstat(handles[handle].fd, &about), &about);
        break;
    case 10:
        handle = get_handle();
        result(handle >= 0 && set_attributes(NULL, handles[handle].fd));
        break;
    case 12:
        read_directory();
        break;
    case 18:
        rename_path();
        break;
    case 7:
    case 9:
    case 11:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 19:
    case 20:
        on_path(type);
        break;
    case 200:
        extended();
        break;
    default:
        status(UNSUPPORTED);
    }
}

static void read_all(uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t got = read(0, bytes, length);
        if (got <= 0)
            exit(0);
        bytes += got;
        length -= (size_t)got;
    }
}

/* Nothing comes for a moment: what is kept back would be waited for. */
static void send_kept_when_idle(void)
{
    fd_set set;
    struct timeval moment = {0, 2000};
    FD_ZERO(&set);
    FD_SET(0, &set);
    if (kept_count > 0 && select(1, &set, NULL, NULL, &moment) == 0)
        send_kept();
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count && i < FAULTS; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) {
            (void)fprintf(stderr, "usage: sftpd [FAULT=NUMBER]...\n");
            return 2;
        }
        *value++ = '\0';
        faults[i - 1].name = arguments[i];
        faults[i - 1].value = atol(value);
    }
    if (fault_value("noise"))
        write_all((const uint8_t *)"Welcome to the machine\r\n", 24);
    for (long number = 0;; number++) {
        send_kept_when_idle();
        read_all(in, 4);
        in_length = 4;
        in_at = 0;
        in_length = (size_t)get(4);
        if (in_length < 5 || in_length > PACKET_MAX)
            return 1;
        read_all(in, in_length);
        in_at = 0;
        uint8_t type = (uint8_t)get(1);
        id = (uint32_t)get(4);
        if (type == 1) {
            out_length = 4;
            put(2, 1);
            put((uint64_t)(fault_value("version") ? fault_value("version") : 3), 4);
            if (fault_value("openssh")) {
                put_text("lsetstat@openssh.com", 20);
                put_text("1", 1);
            }
            if (fault_value("fsync")) {
                put_text("fsync@openssh.com", 17);
                put_text("1", 1);
            }
            if (fault("free")) {
                put_text("statvfs@openssh.com", 19);
                put_text("2", 1);
            }
            size_t length = out_length;
            out_length = 0;
            put(length - 4, 4);
            write_all(out, length);
            continue;
        }
        if (number == fault_value("drop_at") && number)
            return 0;
        if (fault_value("stall_at") && number >= fault_value("stall_at"))
            continue;
        answering = type;
        answer(type);
    }
}
