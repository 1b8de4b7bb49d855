/* SPDX-License-Identifier: Apache-2.0
 * What directories are given at the end of a copy. */
#include "directories.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "spill.h"

#define PURPOSE "the modes and times of directories"

struct note {
    uint32_t fields, mode, uid, gid;
    int64_t mtime_ns, atime_ns;
    size_t path_length, shown_length; /* with their NULs; the strings follow */
};

static void spilled(struct session *session, const char *verb)
{
    orbit_error error;
    spill_failed(verb, PURPOSE, &error);
    report_failed(session, session->verb, NULL, NULL, &error);
}

static bool file_open(struct directories *directories, struct session *session)
{
    orbit_error error;
    int fd = spill_open(PURPOSE, &error);
    if (fd < 0) {
        report_failed(session, session->verb, NULL, NULL, &error);
        return false;
    }
    directories->file = fdopen(fd, "w+");
    if (!directories->file) {
        spilled(session, "open");
        close(fd);
    }
    return directories->file != NULL;
}

void directories_note(struct directories *directories, struct session *session, const char *path, const char *shown,
                      const orbit_metadata *metadata)
{
    const struct note note = {.fields = metadata->fields,
                              .mode = metadata->mode,
                              .uid = metadata->uid,
                              .gid = metadata->gid,
                              .mtime_ns = metadata->mtime_ns,
                              .atime_ns = metadata->atime_ns,
                              .path_length = strlen(path) + 1,
                              .shown_length = strlen(shown) + 1};
    if (!directories->file && !file_open(directories, session))
        return;
    if (fwrite(&note, sizeof note, 1, directories->file) != 1 ||
        fwrite(path, note.path_length, 1, directories->file) != 1 ||
        fwrite(shown, note.shown_length, 1, directories->file) != 1)
        spilled(session, "write");
}

/* The owner first, since a change of it takes mode bits away, and only where that is permitted, as for files. */
static void keep(struct session *session, struct store *to, const struct note *note, const char *path,
                 const char *shown)
{
    orbit_call_options call = session_call(session);
    orbit_error error;
    orbit_metadata owner = {.fields = note->fields & ORBIT_HAS_OWNER, .uid = note->uid, .gid = note->gid};
    orbit_metadata rest = {.fields = note->fields & (ORBIT_HAS_MODE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME),
                           .mode = note->mode,
                           .mtime_ns = note->mtime_ns,
                           .atime_ns = note->atime_ns};

    if (owner.fields && orbit_set_metadata(to->backend, path, &owner, &call, &error) < 0)
        rest.mode &= ~06000u; /* under another owner these bits would mean something else */
    orbit_status status = rest.fields ? orbit_set_metadata(to->backend, path, &rest, &call, &error) : ORBIT_OK;
    if (status < 0 && status != ORBIT_E_NOT_FOUND)
        report_failed(session, session->verb, shown, NULL, &error);
}

static char *string_read(FILE *file, size_t length)
{
    char *string = memory_zeroed(length, 1);
    if (fread(string, length, 1, file) == 1)
        return string;
    free(string);
    return NULL;
}

void directories_keep(struct directories *directories, struct session *session, struct store *to)
{
    struct note note;
    bool whole = true;

    if (!directories->file)
        return;
    whole = fseek(directories->file, 0, SEEK_SET) == 0;
    while (whole && !session_stopped(session) && fread(&note, sizeof note, 1, directories->file) == 1) {
        char *path = string_read(directories->file, note.path_length);
        char *shown = path ? string_read(directories->file, note.shown_length) : NULL;
        if (shown)
            keep(session, to, &note, path, shown);
        else
            whole = false;
        free(path);
        free(shown);
    }
    if (!whole || ferror(directories->file))
        spilled(session, "read");
    directories_release(directories);
}

void directories_release(struct directories *directories)
{
    if (directories->file)
        fclose(directories->file);
    directories->file = NULL;
}
