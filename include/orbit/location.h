/* SPDX-License-Identifier: Apache-2.0
 * Locations as people type them, taken apart: which backend, which path in it.
 *
 *     s3://bucket/key            root "s3://bucket", path "key" (literally, also "//", "?" and "#")
 *     s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/key   the ARN is the bucket: root up to NAME, path "key"
 *     s3://bucket?region=x       query parameters only where no path follows
 *     mem://name/path            root "mem://name", path "path"
 *     file:///abs/path           root "file:", path "/abs/path" (percent-decoded)
 *     some/path, /abs, ./a:b     root "file:", path as typed
 *     -                          standard input or output
 * sftp://, ssh://, smb://, cifs:// and host:path are recognised so that the error can say what they are. */
#ifndef ORBIT_LOCATION_H
#define ORBIT_LOCATION_H

#include <orbit/error.h>
#include <orbit/export.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_location {
    bool is_stdio;  /* "-" */
    bool is_local;  /* a path of the operating system */
    bool directory; /* ends in '/' or is a container: names a directory */
    char *scheme;   /* "file", "s3", "mem", … */
    char *root;     /* what orbit_open() takes */
    char *path;     /* what the other calls take; "" for the root */
} orbit_location;

/* Any thread. ORBIT_E_CONFIG for an unknown scheme or a URL that holds a password. Release it. */
ORBIT_API orbit_status orbit_location_parse(orbit_location *location, const char *text, orbit_error *error);
ORBIT_API void orbit_location_release(orbit_location *location);

ORBIT_END_DECLS

#endif
