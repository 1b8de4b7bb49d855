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

/* ---- what they are given ----------------------------------------------------------------------------- */

enum { SIDE_BY_SIDE = 64 }; /* a host may be far away */

struct gift {
    orbit_task *task;
    struct note note;
    char *path, *shown;
    bool owner; /* under way: first, since a change of it takes mode bits away */
};

struct giving {
    struct session *session;
    struct store *to;
    struct gift gifts[SIDE_BY_SIDE];
    size_t first, count;
};

static orbit_status give_start(struct giving *giving, struct gift *gift, orbit_error *error)
{
    orbit_call_options call = session_call(giving->session);
    const struct note *note = &gift->note;
    orbit_metadata metadata = {
        .mode = note->mode, .uid = note->uid, .gid = note->gid, .mtime_ns = note->mtime_ns, .atime_ns = note->atime_ns};
    metadata.fields =
        note->fields & (gift->owner ? ORBIT_HAS_OWNER : ORBIT_HAS_MODE | ORBIT_HAS_MTIME | ORBIT_HAS_ATIME);
    gift->task = NULL;
    return metadata.fields ? orbit_set_metadata_start(&gift->task, giving->to->backend, gift->path, &metadata, &call,
                                                      NULL, NULL, error)
                           : ORBIT_OK;
}

static orbit_status give_wait(struct gift *gift, orbit_status status, orbit_error *error)
{
    if (gift->task)
        status = orbit_task_wait(gift->task, error);
    orbit_task_free(gift->task);
    gift->task = NULL;
    return status;
}

/* Whether that is to be told. A host may keep no modes and times, or let nobody set them: as for files, the tree is there
 * without them. */
static bool matters(const struct giving *giving, orbit_status status)
{
    bool refused = status == ORBIT_E_PERMISSION || status == ORBIT_E_UNSUPPORTED || status == ORBIT_E_IO;
    return status < 0 && status != ORBIT_E_NOT_FOUND && (giving->to->local || !refused);
}

/* Waits for the oldest one; one whose owner was given goes to the end of the line. The owner is given where that is
 * permitted, as for files. */
static void give_next(struct giving *giving)
{
    struct gift gift = giving->gifts[giving->first];
    orbit_error error;
    giving->first = (giving->first + 1) % SIDE_BY_SIDE;
    giving->count--;
    orbit_status status = give_wait(&gift, ORBIT_OK, &error);
    if (gift.owner) {
        if (status < 0)
            gift.note.mode &= ~06000u; /* under another owner these bits would mean something else */
        gift.owner = false;
        status = give_start(giving, &gift, &error);
        if (status >= 0) {
            giving->gifts[(giving->first + giving->count++) % SIDE_BY_SIDE] = gift;
            return;
        }
    }
    if (matters(giving, status))
        report_failed(giving->session, giving->session->verb, gift.shown, NULL, &error);
    free(gift.path);
    free(gift.shown);
}

/* The strings are taken over. */
static void give(struct giving *giving, const struct note *note, char *path, char *shown)
{
    struct gift gift = {.note = *note, .path = path, .shown = shown, .owner = (note->fields & ORBIT_HAS_OWNER) != 0};
    orbit_error error;
    while (giving->count == SIDE_BY_SIDE)
        give_next(giving);
    orbit_status status = give_start(giving, &gift, &error);
    if (status < 0) {
        report_failed(giving->session, giving->session->verb, shown, NULL, &error);
        free(path);
        free(shown);
        return;
    }
    giving->gifts[(giving->first + giving->count++) % SIDE_BY_SIDE] = gift;
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
    struct giving giving = {.session = session, .to = to};
    struct note note;
    bool whole = true;

    if (!directories->file)
        return;
    whole = fseek(directories->file, 0, SEEK_SET) == 0;
    while (whole && !session_stopped(session) && fread(&note, sizeof note, 1, directories->file) == 1) {
        char *path = string_read(directories->file, note.path_length);
        char *shown = path ? string_read(directories->file, note.shown_length) : NULL;
        whole = shown != NULL;
        if (whole)
            give(&giving, &note, path, shown);
        else
            free(path);
    }
    while (giving.count)
        give_next(&giving);
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
