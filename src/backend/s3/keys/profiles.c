/* SPDX-License-Identifier: Apache-2.0
 * Reads the shared config and credentials files. Names and values point into the files' bytes. */
#include "backend/s3/keys/profiles.h"

#include <strings.h>

#include "backend/s3/keys/provider.h"
#include "base/error.h"
#include "base/mem.h"

enum { SETTINGS_MAX = 1 << 16 };

struct entry {
    enum orb_profiles_kind kind;
    const char *section, *outer, *name, *value; /* outer NULL: not nested; name NULL: the section's own line */
};

struct orb_profiles {
    struct orb_buf files[2]; /* config, credentials */
    struct entry *entries;   /* the later wins */
    size_t count, room;
};

struct reading {
    struct orb_profiles *profiles;
    const char *path;
    bool credentials;
    unsigned line;
    bool inside, skip;
    struct entry at; /* section, and the setting that may be nested into */
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static char *trim(char *text)
{
    while (blank(*text))
        text++;
    size_t length = strlen(text);
    while (length && blank(text[length - 1]))
        text[--length] = '\0';
    return text;
}

static orbit_status add(struct reading *reading, struct entry entry, orbit_error *error)
{
    struct orb_profiles *all = reading->profiles;
    if (all->count == SETTINGS_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s' holds too many settings", reading->path);
    if (all->count == all->room) {
        size_t room = all->room ? all->room * 2 : 64;
        struct entry *more = orb_realloc(all->entries, room * sizeof *more);
        if (!more)
            return orb_fail_memory(error);
        all->entries = more;
        all->room = room;
    }
    all->entries[all->count++] = entry;
    return ORBIT_OK;
}

static orbit_status bad_line(const struct reading *reading, const char *what, orbit_error *error)
{
    return orb_fail(error, ORBIT_E_CONFIG, 0, "'%s', line %u: %s", reading->path, reading->line, what);
}

/* "[profile x]", "[default]", "[sso-session x]"; in the credentials file "[x]". Others are for other programs. */
static orbit_status take_section(struct reading *reading, char *line, orbit_error *error)
{
    static const struct {
        const char *word;
        enum orb_profiles_kind kind;
    } kinds[] = {
        {"profile", ORB_PROFILE}, {"sso-session", ORB_PROFILE_SSO_SESSION}, {"services", ORB_PROFILE_SERVICES}};
    char *end = strchr(line, ']');
    if (!end)
        return bad_line(reading, "the section's name has no ']'", error);
    *end = '\0';
    char *name = trim(line + 1);
    reading->inside = true;
    reading->skip = false;
    reading->at = (struct entry){.kind = ORB_PROFILE, .section = name};
    if (!reading->credentials && strcmp(name, "default") != 0) {
        size_t word = strcspn(name, " \t");
        reading->skip = true;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (name[word] && word == strlen(kinds[i].word) && memcmp(name, kinds[i].word, word) == 0) {
                reading->skip = false;
                reading->at.kind = kinds[i].kind;
                reading->at.section = name = trim(name + word);
            }
        size_t length = strlen(name);
        if (!reading->skip && length >= 2 && (*name == '"' || *name == '\'') && name[length - 1] == *name) {
            name[length - 1] = '\0';
            reading->at.section = name + 1;
        }
    }
    return reading->skip ? ORBIT_OK : add(reading, reading->at, error);
}

static orbit_status take_line(struct reading *reading, char *line, orbit_error *error)
{
    bool indented = blank(*line);
    char *text = trim(line);
    if (!*text || *text == '#' || *text == ';')
        return ORBIT_OK;
    if (*text == '[' && !indented)
        return take_section(reading, text, error);
    if (!reading->inside)
        return bad_line(reading, "a setting stands before the first [section]", error);
    if (reading->skip)
        return ORBIT_OK;
    char *equals = strchr(text, '=');
    bool nested = indented && reading->at.name && !*reading->at.value;
    if (indented && reading->at.name && !nested)
        return ORBIT_OK; /* a value that goes on: none of those that are read here does */
    if (!equals)
        return bad_line(reading, "a setting looks like name = value", error);
    *equals = '\0';
    char *value = trim(equals + 1);
    for (char *c = value; *c; c++)
        if ((*c == '#' || *c == ';') && c > value && blank(c[-1])) {
            *c = '\0';
            value = trim(value);
            break;
        }
    struct entry entry = reading->at;
    entry.outer = nested ? reading->at.name : NULL;
    entry.name = trim(text);
    entry.value = value;
    if (!nested) {
        reading->at.name = entry.name;
        reading->at.value = entry.value;
    }
    return add(reading, entry, error);
}

static orbit_status read_one(struct orb_profiles *profiles, const char *path, bool credentials, orbit_error *error)
{
    struct orb_buf *file = &profiles->files[credentials];
    struct reading reading = {.profiles = profiles, .path = path, .credentials = credentials};
    orbit_error why;
    orbit_status status =
        orb_keys_read_file(path, credentials ? "the credentials file" : "the config file", file, &why);
    if (status == ORBIT_E_NOT_FOUND)
        return ORBIT_OK;
    if (status < 0) {
        orb_error_copy(error, &why);
        return status;
    }
    char *at = file->bytes;
    if (file->length >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (status >= 0 && at) {
        char *line = strsep(&at, "\n");
        reading.line++;
        status = take_line(&reading, line, error);
    }
    return status;
}

orbit_status orb_profiles_load(struct orb_profiles **profiles, const char *config_file, const char *credentials_file,
                               orbit_error *error)
{
    struct orb_profiles *made = orb_calloc(1, sizeof *made);
    orbit_status status = ORBIT_OK;
    *profiles = NULL;
    if (!made || !orb_keys_buf_init(&made->files[0]) || !orb_keys_buf_init(&made->files[1]))
        status = orb_fail_memory(error);
    if (status >= 0 && config_file)
        status = read_one(made, config_file, false, error);
    if (status >= 0 && credentials_file)
        status = read_one(made, credentials_file, true, error);
    if (status < 0)
        orb_profiles_free(made);
    else
        *profiles = made;
    return status;
}

void orb_profiles_free(struct orb_profiles *profiles)
{
    if (!profiles)
        return;
    orb_keys_buf_release(&profiles->files[0]);
    orb_keys_buf_release(&profiles->files[1]);
    orb_free(profiles->entries);
    orb_free(profiles);
}

bool orb_profiles_has(const struct orb_profiles *profiles, enum orb_profiles_kind kind, const char *name)
{
    for (size_t i = 0; i < profiles->count; i++)
        if (profiles->entries[i].kind == kind && strcmp(profiles->entries[i].section, name) == 0)
            return true;
    return false;
}

const char *orb_profiles_get(const struct orb_profiles *profiles, enum orb_profiles_kind kind, const char *name,
                             const char *setting)
{
    const char *dot = strchr(setting, '.'), *inner = dot ? dot + 1 : setting;
    for (size_t i = profiles->count; i-- > 0;) {
        const struct entry *entry = &profiles->entries[i];
        bool outer = dot ? entry->outer && strlen(entry->outer) == (size_t)(dot - setting) &&
                               strncasecmp(entry->outer, setting, (size_t)(dot - setting)) == 0
                         : !entry->outer;
        if (entry->kind == kind && entry->name && outer && strcasecmp(entry->name, inner) == 0 &&
            strcmp(entry->section, name) == 0)
            return *entry->value ? entry->value : NULL;
    }
    return NULL;
}
