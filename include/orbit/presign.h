/* SPDX-License-Identifier: Apache-2.0
 * Presigned URLs: whoever holds one may do the one request it was signed for, without keys, until it expires.
 *
 * The URL is a secret of its own: it carries a signature, not the key. It ends earlier than asked for where the
 * credentials do (a session token). S3 only; other stores: ORBIT_E_UNSUPPORTED.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
#ifndef ORBIT_PRESIGN_H
#define ORBIT_PRESIGN_H

#include <orbit/backend.h>
#include <orbit/client.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_presign_options {
    size_t size;
    const char *method;     /* "GET" (NULL), "HEAD", "PUT" or "DELETE" */
    uint32_t expires_s;     /* seconds from now; 0: 3,600. At most 604,800, which is seven days */
    const char *version_id; /* GET, HEAD and DELETE */
    /* GET and HEAD: the reply has these headers, whatever the object was stored with. */
    const char *content_type, *content_disposition;
    uint32_t timeout_ms;
    orbit_cancel *cancel;
} orbit_presign_options;

#define ORBIT_PRESIGN_OPTIONS_INIT                         \
    {                                                      \
        sizeof(orbit_presign_options), 0, 0, 0, 0, 0, 0, 0 \
    }
ORBIT_API void orbit_presign_options_init(orbit_presign_options *options);

/* Enough for the longest key and token there is. */
#define ORBIT_PRESIGNED_MAX ((size_t)32 << 10)

/* Writes the URL, NUL-terminated, to `url`, which has `room` bytes: ORBIT_E_LIMIT where that is too little. Nothing is
 * sent, whether the object exists is not asked: but credentials may have to be fetched, so it blocks. Any thread but a
 * callback's. The store's region and clock are what this client has learned so far. */
ORBIT_API orbit_status orbit_presign(orbit_backend *backend, const char *path, const orbit_presign_options *options,
                                     char *url, size_t room, orbit_error *error);

ORBIT_END_DECLS

#endif
