/* SPDX-License-Identifier: Apache-2.0
 * URLs taken apart, for orbit_open() and orbit_location_parse(). Any thread. */
#ifndef ORB_CLIENT_URL_H
#define ORB_CLIENT_URL_H

#include <orbit/error.h>
#include <orbit/metadata.h>

#define ORB_URL_MAX 65536u /* bytes */

struct orb_url {
    char *scheme;         /* lower case */
    char *authority;      /* "bucket", "user@host:port"; "" for file: */
    char *path;           /* behind the authority's '/', literally; of file: absolute and percent-decoded, or "" */
    bool slash;           /* a '/' followed the authority */
    char *query;          /* as written, without '?'; NULL: none. Only where no path follows */
    orbit_pair *settings; /* the query taken apart and decoded */
    size_t setting_count;
    char *block; /* what the settings live in */
};

/* The length of the scheme when `text` begins with "scheme://" or "file:", else 0. */
size_t orb_url_scheme(const char *text);
/* ORBIT_E_CONFIG for what is no URL, and for one that holds a password or secret; the message never repeats it.
 * Release it, also after a failure. */
orbit_status orb_url_parse(struct orb_url *url, const char *text, orbit_error *error);
void orb_url_release(struct orb_url *url);
/* Whether a setting of this name would carry a secret. */
bool orb_url_secret_name(const char *name);
/* "smb" for "cifs", "sftp" for "ssh", else the scheme itself. */
const char *orb_url_canonical(const char *scheme);

#endif
