/* SPDX-License-Identifier: Apache-2.0
 * The private directory of one connection: 0700, with a short name because a socket's path has 107 characters, locked
 * as long as it is used. A client that was killed cannot remove its own, so the next one does. Blocks: the process's
 * thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "wire/ssh_parts.h"

#define PREFIX "orbit-ssh-"

enum {
    BASE_MAX = 68,    /* + "/orbit-ssh-XXXXXX/c" + what ssh appends while it makes the socket < 108 */
    LOOKED_AT = 2048, /* entries of the directory around ours */
    GRACE_S = 60,     /* so long a directory may be without its lock: it is being made */
};

/* ssh splits, expands and unquotes what it is given as a path: a plain one needs none of that. */
static bool is_plain(const char *path)
{
    if (*path != '/' || strlen(path) > BASE_MAX)
        return false;
    for (; *path; path++)
        if (!(*path >= 'a' && *path <= 'z') && !(*path >= 'A' && *path <= 'Z') && !(*path >= '0' && *path <= '9') &&
            !strchr("/._-+", *path))
            return false;
    return true;
}

static bool is_fit(const char *base, bool runs)
{
    struct statvfs file_system;
    return base && is_plain(base) && access(base, W_OK | X_OK) == 0 &&
           (!runs || (statvfs(base, &file_system) == 0 && !(file_system.f_flag & ST_NOEXEC)));
}

static const char *find_base(char *const *environment, bool runs)
{
    static const char *const names[] = {"XDG_RUNTIME_DIR=", "TMPDIR="};
    static const char *const paths[] = {"/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (char *const *at = environment; *at; at++)
            if (orb_str_prefix(*at, names[i]) && is_fit(*at + strlen(names[i]), runs))
                return *at + strlen(names[i]);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (is_fit(paths[i], runs))
            return paths[i];
    return NULL;
}

/* What is in such a directory: the socket, its name while it is being made, the program that asks. */
static void empty(int directory)
{
    int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = again >= 0 ? fdopendir(again) : NULL;
    if (!stream) {
        if (again >= 0)
            close(again);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(directory, entry->d_name, 0);
    closedir(stream);
}

static void sweep_one(int base, const char *name)
{
    int directory = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat about;
    if (directory < 0)
        return;
    if (fstat(directory, &about) == 0 && about.st_uid == geteuid() && time(NULL) - about.st_mtime > GRACE_S &&
        flock(directory, LOCK_EX | LOCK_NB) == 0) {
        empty(directory);
        (void)unlinkat(base, name, AT_REMOVEDIR);
    }
    close(directory);
}

static void sweep(const char *path)
{
    DIR *base = opendir(path);
    int looked_at = 0;
    for (const struct dirent *entry; base && looked_at < LOOKED_AT && (entry = readdir(base)) != NULL; looked_at++)
        if (orb_str_prefix(entry->d_name, PREFIX))
            sweep_one(dirfd(base), entry->d_name);
    if (base)
        closedir(base);
}

/* ssh closes every descriptor but the first three before it asks, so standard input is the one way in: the program that
 * asks finds us there, says the question, and passes the answer on. An ssh on the way (a jump host's) inherits the
 * program's name, but another standard input. printf and read are the shell's own: no secret is in a command line. */
static const char program[] = "#!/bin/sh\n"
                              "[ \"$(readlink /proc/self/fd/0)\" = 'socket:[%llu]' ] || exit 1\n"
                              "[ \"$SSH_ASKPASS_PROMPT\" != none ] || exit 0\n"
                              "printf '%%s\\0' \"$1\" >&0 || exit 1\n"
                              "IFS= read -r answer || exit 1\n"
                              "case $answer in\n"
                              "+*) printf '%%s\\n' \"${answer#+}\" ;;\n"
                              "*) exit 1 ;;\n"
                              "esac\n";

static orbit_status write_program(struct orb_ssh_place *place, int ask_input, orbit_error *error)
{
    char text[sizeof program + 32];
    struct stat about;
    (void)snprintf(place->ask, sizeof place->ask, "%.*s/a", (int)sizeof place->path - 3, place->path);
    int fd = openat(place->directory, "a", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    int number = fd < 0 || fstat(ask_input, &about) != 0 ? errno : 0;
    if (fd >= 0 && !number) {
        int length = snprintf(text, sizeof text, program, (unsigned long long)about.st_ino);
        ssize_t written = write(fd, text, (size_t)length);
        number = written == length ? 0 : written < 0 ? errno : ENOSPC;
    }
    if (fd >= 0)
        close(fd);
    return number ? orb_fail_errno(error, number, "cannot write '%s'", place->ask) : ORBIT_OK;
}

orbit_status orb_ssh_place_make(struct orb_ssh_place *place, char *const *environment, int ask_input,
                                orbit_error *error)
{
    *place = (struct orb_ssh_place){.directory = -1};
    const char *base = find_base(environment, ask_input >= 0);
    if (!base)
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "no directory for the socket of ssh: XDG_RUNTIME_DIR or TMPDIR must name one that is writable%s, "
            "with a plain name of at most %d characters",
            ask_input >= 0 ? " and not mounted noexec" : "", BASE_MAX);
    sweep(base);
    char made[sizeof place->path];
    (void)snprintf(made, sizeof made, "%.*s/" PREFIX "XXXXXX", BASE_MAX, base);
    if (!mkdtemp(made))
        return orb_fail_errno(error, errno, "cannot make a directory for the socket of ssh in '%s'", base);
    memcpy(place->path, made, sizeof made);
    place->directory = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place->directory < 0 || flock(place->directory, LOCK_EX | LOCK_NB) != 0) {
        orbit_status status = orb_fail_errno(error, errno, "cannot lock '%s'", place->path);
        orb_ssh_place_remove(place);
        return status;
    }
    (void)snprintf(place->control, sizeof place->control, "%.*s/c", (int)sizeof place->path - 3, place->path);
    orbit_status status = ask_input >= 0 ? write_program(place, ask_input, error) : ORBIT_OK;
    if (status < 0)
        orb_ssh_place_remove(place);
    return status;
}

void orb_ssh_place_remove(struct orb_ssh_place *place)
{
    if (place->directory >= 0) {
        empty(place->directory);
        close(place->directory);
    }
    if (*place->path)
        (void)rmdir(place->path);
    place->directory = -1;
    *place->path = '\0';
}
