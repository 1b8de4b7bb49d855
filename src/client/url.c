/* SPDX-License-Identifier: Apache-2.0
 * URLs taken apart. Keys are bytes: behind the authority nothing is decoded but in file: URLs, and a query is
 * read only where no path follows. Secrets are refused, and never repeated in a message. Any thread. */
#include "client/url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define SETTINGS_MAX 128u

size_t orb_url_scheme(const char *text)
{
    if (!strncasecmp(text, "file:", 5))
        return 4;
    if (!isalpha((unsigned char)text[0]))
        return 0;
    size_t length = 1;
    while (isalnum((unsigned char)text[length]) || (text[length] && strchr("+.-", text[length])))
        length++;
    return !strncmp(text + length, "://", 3) ? length : 0;
}

const char *orb_url_canonical(const char *scheme)
{
    if (!strcmp(scheme, "ssh"))
        return "sftp";
    return !strcmp(scheme, "cifs") ? "smb" : scheme;
}

/* ---- secrets ------------------------------------------------------------------------------------- */

bool orb_url_secret_name(const char *name)
{
    static const char *const words[] = {"secret",    "passw",       "passphrase",   "token",    "credential",
                                        "signature", "private_key", "customer_key", "sse_c_key"};
    if (orb_str_suffix(name, "_file")) /* names a place, not the thing */
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

/* "user@host" is a name; "user:password@host" is not, nor is anything before '@' where the authority is a
 * bucket: those who write it mean their keys. */
static orbit_status check_user(const struct orb_url *url, orbit_error *error)
{
    const char *at = strrchr(url->authority, '@');
    if (!at)
        return ORBIT_OK;
    if (!strcmp(url->scheme, "s3"))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "an s3:// URL holds no credentials: give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                        "in the environment, or in an orbit_s3_config");
    const char *colon = memchr(url->authority, ':', (size_t)(at - url->authority));
    if (colon)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a password does not belong in a %s:// URL, where others can see it: leave it out and use a "
                        "key, an agent or a credentials file",
                        url->scheme);
    return ORBIT_OK;
}

/* ---- the query ----------------------------------------------------------------------------------- */

static orbit_status decode(char *text, const struct orb_url *url, orbit_error *error)
{
    if (orb_percent_decode(text, strlen(text), false) == SIZE_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a '%%' in a %s: URL is not followed by two hexadecimal digits "
                        "(or stands for NUL)",
                        url->scheme);
    return ORBIT_OK;
}

static orbit_status take_setting(struct orb_url *url, char *item, orbit_error *error)
{
    char *value = strchr(item, '=');
    if (!value || value == item)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the query of a %s:// URL is not of the form name=value&name=value",
                        url->scheme);
    *value++ = '\0';
    orbit_status status = decode(item, url, error);
    if (status >= 0)
        status = decode(value, url, error);
    if (status < 0)
        return status;
    if (orb_url_secret_name(item))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "'%s' does not belong in a URL, where others can see it: give it in the environment or in the "
                        "backend's config",
                        item);
    if (url->setting_count == SETTINGS_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a %s:// URL has more than %u settings", url->scheme, SETTINGS_MAX);
    url->settings[url->setting_count++] = (orbit_pair){item, value};
    return ORBIT_OK;
}

static orbit_status take_query(struct orb_url *url, orbit_error *error)
{
    size_t items = 1;
    for (const char *p = url->query; *p; p++)
        items += *p == '&';
    if (items > SETTINGS_MAX)
        items = SETTINGS_MAX;
    url->block = orb_strdup(url->query);
    url->settings = orb_calloc(items, sizeof(*url->settings));
    if (!url->block || !url->settings)
        return orb_fail_memory(error);

    for (char *item = url->block, *next; item; item = next) {
        next = strchr(item, '&');
        if (next)
            *next++ = '\0';
        if (!*item)
            continue;
        orbit_status status = take_setting(url, item, error);
        if (status < 0)
            return status;
    }
    return ORBIT_OK;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

/* file:, file:?name=value, file:/abs, file:///abs, file://localhost/abs */
static orbit_status take_file(struct orb_url *url, const char *rest, orbit_error *error)
{
    bool slashes = !strncmp(rest, "//", 2);
    if (slashes)
        rest += 2;
    if (slashes && !strncasecmp(rest, "localhost/", 10))
        rest += 9;
    if (*rest == '?' || (!*rest && !slashes)) {
        url->query = *rest ? orb_strdup(rest + 1) : NULL;
        if (*rest && !url->query)
            return orb_fail_memory(error);
        rest = "";
    } else if (*rest != '/') {
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "a file: URL names an absolute path, such as file:///tmp; 'file:' alone is the whole file "
                        "system");
    }
    url->authority = orb_strdup("");
    url->path = orb_strdup(rest);
    if (!url->authority || !url->path)
        return orb_fail_memory(error);
    return decode(url->path, url, error);
}

/* The ARN of an access point takes the place of a bucket, and may have '/' in it: "…:accesspoint/NAME" is one more
 * component, "…:outpost/OUTPOST/accesspoint/NAME" three. */
static size_t arn_length(const char *text, size_t length)
{
    static const struct {
        const char *end;
        int more;
    } kinds[] = {{":accesspoint", 1}, {":outpost", 3}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t end = strlen(kinds[i].end);
        if (length < end || memcmp(text + length - end, kinds[i].end, end) != 0)
            continue;
        for (int more = kinds[i].more; more && text[length] == '/'; more--)
            length += 1 + strcspn(text + length + 1, "/?");
        break;
    }
    return length;
}

static orbit_status take_rest(struct orb_url *url, const char *rest, orbit_error *error)
{
    size_t length = strcspn(rest, "/?");
    if (!strcmp(url->scheme, "s3") && !strncmp(rest, "arn:", 4))
        length = arn_length(rest, length);
    const char *behind = rest + length;
    url->authority = orb_strndup(rest, length);
    url->slash = *behind == '/';
    url->path = orb_strdup(url->slash ? behind + 1 : "");
    if (*behind == '?')
        url->query = orb_strdup(behind + 1);
    if (!url->authority || !url->path || (*behind == '?' && !url->query))
        return orb_fail_memory(error);
    return check_user(url, error);
}

orbit_status orb_url_parse(struct orb_url *url, const char *text, orbit_error *error)
{
    *url = (struct orb_url){0};
    if (strnlen(text, ORB_URL_MAX + 1) > ORB_URL_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the URL is longer than %u bytes", ORB_URL_MAX);
    size_t length = orb_url_scheme(text);
    if (!length)
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "not a URL: write scheme://name, such as s3://bucket or file:///directory");
    url->scheme = orb_strndup(text, length);
    if (!url->scheme)
        return orb_fail_memory(error);
    for (char *c = url->scheme; *c; c++)
        *c = (char)tolower((unsigned char)*c);

    orbit_status status =
        !strcmp(url->scheme, "file") ? take_file(url, text + 5, error) : take_rest(url, text + length + 3, error);
    if (status >= 0 && url->query)
        status = take_query(url, error);
    return status;
}

void orb_url_release(struct orb_url *url)
{
    orb_free(url->scheme);
    orb_free(url->authority);
    orb_free(url->path);
    orb_free(url->query);
    orb_free(url->settings);
    orb_free(url->block);
    *url = (struct orb_url){0};
}
