/* SPDX-License-Identifier: Apache-2.0
 * Locations as people type them: local paths, URLs, scp's host:path, "-". Knows the built-in schemes only, opens
 * nothing; the one look at the disk is whether a name with a colon is a file here. Any thread. */
#include <orbit/location.h>

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/url.h"

static orbit_status fill(orbit_location *location, const char *scheme, char *root, const char *path, orbit_error *error)
{
    location->scheme = orb_strdup(scheme);
    location->root = root;
    location->path = orb_strdup(path);
    if (!location->scheme || !location->root || !location->path)
        return orb_fail_memory(error);
    size_t length = strlen(path);
    location->directory = length == 0 || path[length - 1] == '/';
    return ORBIT_OK;
}

/* "scheme://authority" + "?query" or "/more" */
static char *make_root(const char *scheme, const char *authority, char mark, const char *more, size_t length)
{
    struct orb_buf buf;
    orb_buf_init(&buf, ORB_URL_MAX + 16);
    orb_buf_text(&buf, scheme);
    orb_buf_text(&buf, "://");
    orb_buf_text(&buf, authority);
    if (more) {
        orb_buf_char(&buf, mark);
        orb_buf_append(&buf, more, length);
    }
    char *root = orb_buf_take(&buf);
    orb_buf_release(&buf);
    return root;
}

/* ---- URLs ---------------------------------------------------------------------------------------- */

static orbit_status need_authority(const struct orb_url *url, const char *what, orbit_error *error)
{
    if (url->authority[0])
        return ORBIT_OK;
    return orb_fail(error, ORBIT_E_CONFIG, 0, "a %s:// URL begins with a %s: %s://%s/path", url->scheme, what,
                    url->scheme, what);
}

/* What follows "~" or "~/"; NULL: it begins with neither. */
static const char *in_home(const char *path)
{
    size_t slashes = path[0] == '~' ? strspn(path + 1, "/") : 0;
    return path[0] == '~' && (slashes || !path[1]) ? path + 1 + slashes : NULL;
}

/* sftp://host/abs is absolute, sftp://host/~/rel is relative to the home directory. */
static orbit_status take_sftp(orbit_location *location, const struct orb_url *url, orbit_error *error)
{
    orbit_status status = need_authority(url, "host", error);
    if (status < 0)
        return status;
    char *root = make_root("sftp", url->authority, '?', url->query, url->query ? strlen(url->query) : 0);
    const char *home = url->slash ? in_home(url->path) : "";
    if (home)
        return fill(location, "sftp", root, home, error);
    size_t room = strlen(url->path) + 2;
    char *path = orb_malloc(room);
    if (!path) {
        orb_free(root);
        return orb_fail_memory(error);
    }
    path[0] = '/';
    memcpy(path + 1, url->path, room - 1);
    status = fill(location, "sftp", root, path, error);
    orb_free(path);
    return status;
}

/* smb://host/share/path: the share belongs to the root. */
static orbit_status take_smb(orbit_location *location, const struct orb_url *url, orbit_error *error)
{
    orbit_status status = need_authority(url, "host", error);
    if (status < 0)
        return status;
    size_t share = strcspn(url->path, "/?");
    const char *query = url->query;
    if (url->path[share] == '?') { /* no path follows the share: a query */
        size_t all = strlen(url->path);
        return fill(location, "smb", make_root("smb", url->authority, '/', url->path, all), "", error);
    }
    char *root = url->slash ? make_root("smb", url->authority, '/', url->path, share)
                            : make_root("smb", url->authority, '?', query, query ? strlen(query) : 0);
    return fill(location, "smb", root, url->path[share] ? url->path + share + 1 : "", error);
}

static orbit_status take_url(orbit_location *location, const char *text, orbit_error *error)
{
    struct orb_url url;
    orbit_status status = orb_url_parse(&url, text, error);
    if (status < 0)
        goto out;
    const char *scheme = orb_url_canonical(url.scheme);
    size_t query_length = url.query ? strlen(url.query) : 0;
    if (!strcmp(scheme, "file")) {
        location->is_local = true;
        status = fill(location, "file",
                      url.query ? make_root("file", "", '?', url.query, query_length) : orb_strdup("file:"), url.path,
                      error);
    } else if (!strcmp(scheme, "s3")) {
        if (url.path[0]) /* without a path it is the service, which has buckets */
            status = need_authority(&url, "bucket", error);
        if (status >= 0)
            status =
                fill(location, "s3", make_root("s3", url.authority, '?', url.query, query_length), url.path, error);
    } else if (!strcmp(scheme, "mem")) {
        status = need_authority(&url, "name", error);
        if (status >= 0)
            status =
                fill(location, "mem", make_root("mem", url.authority, '?', url.query, query_length), url.path, error);
    } else if (!strcmp(scheme, "sftp")) {
        status = take_sftp(location, &url, error);
    } else if (!strcmp(scheme, "smb")) {
        status = take_smb(location, &url, error);
    } else {
        status = orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "'%s://' is not a scheme that Orbit knows: there are s3, file, mem, sftp (ssh) and smb (cifs)", url.scheme);
    }
out:
    orb_url_release(&url);
    return status;
}

/* ---- host:path ----------------------------------------------------------------------------------- */

/* The length of "[user@]host" when `text` has the form [user@]host:path, else 0. */
static size_t scp_host(const char *text)
{
    const char *at = text + strcspn(text, "@:/[");
    const char *host = *at == '@' ? at + 1 : text;
    const char *end;
    if (*host == '[') { /* an IPv6 address */
        end = host + 1 + strspn(host + 1, "0123456789abcdefABCDEF:.%");
        if (end == host + 1 || *end++ != ']')
            return 0;
    } else {
        end = host;
        while (isalnum((unsigned char)*end) || *end == '.' || *end == '-' || *end == '_')
            end++;
    }
    return end > host && *end == ':' && *host != '-' ? (size_t)(end - text) : 0;
}

static bool is_here(const char *text)
{
    struct stat seen;
    return lstat(text, &seen) == 0;
}

/* "s3:/bucket": a slash is missing, rather than that a host has such a name. */
static bool is_scheme(const char *text, size_t length)
{
    static const char *const schemes[] = {"s3", "mem", "sftp", "ssh", "smb", "cifs"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strlen(schemes[i]) == length && memcmp(schemes[i], text, length) == 0)
            return true;
    return false;
}

static orbit_status take_scp(orbit_location *location, const char *text, size_t host, orbit_error *error)
{
    const char *path = text + host + 1;
    size_t before_slash = strcspn(path, "/");
    const char *at = memchr(path, '@', before_slash);
    if (at && memchr(at, ':', before_slash - (size_t)(at - path)))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a password does not belong in user@host:path, where others can see it: leave it out and use a "
                        "key or an agent");
    if (path[0] == '/' && is_scheme(text, host))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "'%.*s:/' lacks a slash: '%.*s:/%.100s'; a host of that name is 'sftp://%.*s%.100s'", (int)host,
                        text, (int)host, text, path, (int)host, text, path);
    const char *home = in_home(path);
    if (path[0] == '~' && !home)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "the home directory of another user is not looked up: give the path from the root in place of "
                        "'%.100s', or ./%.100s where a name begins with '~'",
                        path, path);
    char *authority = orb_strndup(text, host);
    char *root = authority ? make_root("sftp", authority, 0, NULL, 0) : NULL;
    orb_free(authority);
    return fill(location, "sftp", root, home ? home : path, error);
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static orbit_status parse(orbit_location *location, const char *text, orbit_error *error)
{
    if (!*text)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the location is empty: '.' names the current directory");
    if (strnlen(text, ORB_URL_MAX + 1) > ORB_URL_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the location is longer than %u bytes", ORB_URL_MAX);
    if (!strcmp(text, "-")) {
        location->is_stdio = true;
        orbit_status status = fill(location, "stdio", orb_strdup(""), "-", error);
        location->directory = false;
        return status;
    }
    if (orb_url_scheme(text))
        return take_url(location, text, error);
    size_t host = scp_host(text);
    if (host && !is_here(text))
        return take_scp(location, text, host, error);
    location->is_local = true;
    return fill(location, "file", orb_strdup("file:"), text, error);
}

orbit_status orbit_location_parse(orbit_location *location, const char *text, orbit_error *error)
{
    if (!location || !text)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "orbit_location_parse() needs a location and a text");
    *location = (orbit_location){0};
    orbit_status status = parse(location, text, error);
    if (status < 0)
        orbit_location_release(location);
    return status;
}

void orbit_location_release(orbit_location *location)
{
    if (!location)
        return;
    orb_free(location->scheme);
    orb_free(location->root);
    orb_free(location->path);
    *location = (orbit_location){0};
}
