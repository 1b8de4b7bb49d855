/* SPDX-License-Identifier: Apache-2.0
 * Which entries a listing wants, and which directories can lead to one. Pure functions, any thread. */
#include "stream/lister.h"

uint32_t orb_list_depth(const char *path, size_t length)
{
    uint32_t depth = 1;
    const char *end = path + length;
    while ((path = memchr(path, '/', (size_t)(end - path)))) {
        path++;
        depth++;
    }
    return depth;
}

/* Whether some component begins with a dot. */
static bool hidden(const char *path, size_t length)
{
    if (length && path[0] == '.')
        return true;
    const char *end = path + length, *at = path;
    while ((at = memchr(at, '/', (size_t)(end - at)))) {
        at++;
        if (at < end && *at == '.')
            return true;
    }
    return false;
}

/* Whether a '/' follows the path in its key. */
static bool goes_on(const orbit_entry *entry)
{
    bool directory = entry->metadata.kind == ORBIT_KIND_DIRECTORY || (entry->flags & ORBIT_ENTRY_MARKER);
    return directory && (!entry->path_length || entry->path[entry->path_length - 1] != '/');
}

/* The order of keys: a directory sorts as `name/`. */
static bool after(const orbit_entry *entry, const char *start)
{
    size_t length = strlen(start);
    size_t common = entry->path_length < length ? entry->path_length : length;
    int order = memcmp(entry->path, start, common);
    if (order)
        return order > 0;
    if (entry->path_length != common)
        return true;
    return goes_on(entry) && (unsigned char)start[common] < '/'; /* NUL where `start` ends */
}

/* Of a marker the key begins so, its '/' included. */
static bool begins(const orbit_entry *entry, const char *prefix)
{
    size_t length = strlen(prefix), slash = (entry->flags & ORBIT_ENTRY_MARKER) && goes_on(entry);
    if (entry->path_length >= length)
        return memcmp(entry->path, prefix, length) == 0;
    return slash && entry->path_length + 1 == length && prefix[length - 1] == '/' &&
           memcmp(entry->path, prefix, length - 1) == 0;
}

bool orb_list_wants(const orbit_list_options *options, const orbit_entry *entry)
{
    if (options->files_only && (entry->metadata.kind == ORBIT_KIND_DIRECTORY || (entry->flags & ORBIT_ENTRY_MARKER)))
        return false;
    if (options->max_depth && entry->depth > options->max_depth)
        return false;
    if (!options->include_hidden && hidden(entry->path, entry->path_length))
        return false;
    if (options->prefix && !begins(entry, options->prefix))
        return false;
    return !options->start_after || after(entry, options->start_after);
}

bool orb_list_descends(const orbit_list_options *options, const char *path, size_t length, uint32_t depth)
{
    if (options->max_depth && depth >= options->max_depth)
        return false;
    if (!options->include_hidden && hidden(path, length))
        return false;
    if (!options->prefix)
        return true;
    size_t prefix = strlen(options->prefix);
    if (length >= prefix)
        return !memcmp(path, options->prefix, prefix);
    return !memcmp(path, options->prefix, length) && options->prefix[length] == '/';
}

const char *orb_list_name_prefix(const orbit_list_options *options, const char *path, size_t path_length,
                                 size_t *length)
{
    const char *rest = options->prefix;
    *length = 0;
    if (!rest || !*rest)
        return "";
    if (path_length) {
        size_t prefix = strlen(rest);
        if (prefix <= path_length || memcmp(rest, path, path_length) != 0 || rest[path_length] != '/')
            return "";
        rest += path_length + 1;
    }
    const char *slash = strchr(rest, '/');
    *length = slash ? (size_t)(slash - rest) : strlen(rest);
    return rest;
}
