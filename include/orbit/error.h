/* SPDX-License-Identifier: Apache-2.0
 * Statuses and errors: what every call returns, and the plain value that says why.
 *
 * A call returns an orbit_status. Zero is success, a positive status is a normal condition of a
 * stream (the end, not now, this entry failed), a negative one is final for that call or stream.
 * The last parameter of every call is an `orbit_error *` that may be NULL; it is written only when
 * the status is negative or ORBIT_ENTRY_FAILED. It owns nothing: copy it, keep it, drop it. */
#ifndef ORBIT_ERROR_H
#define ORBIT_ERROR_H

#include <orbit/export.h>

ORBIT_BEGIN_DECLS

/* X(name, value, word, text): the one table from which the codes, words and texts are made.
 * `word` is the stable spelling for machines (JSON output, logs). */
#define ORBIT_STATUS_TABLE(X)                                            \
    X(ENTRY_FAILED, 3, "entry_failed", "one entry could not be read")    \
    X(AGAIN, 2, "again", "nothing to do right now, try again")           \
    X(END, 1, "end", "end of stream")                                    \
    X(OK, 0, "ok", "success")                                            \
    X(E_NOT_FOUND, -1, "not_found", "not found")                         \
    X(E_PERMISSION, -2, "permission_denied", "permission denied")        \
    X(E_AUTH, -3, "authentication_failed", "authentication failed")      \
    X(E_CONNECT, -4, "connection_failed", "connection failed")           \
    X(E_TIMEOUT, -5, "timeout", "timed out")                             \
    X(E_CONFIG, -6, "invalid_config", "invalid configuration")           \
    X(E_UNSUPPORTED, -7, "unsupported", "not supported")                 \
    X(E_PATH, -8, "invalid_path", "invalid path")                        \
    X(E_EXISTS, -9, "already_exists", "already exists")                  \
    X(E_NOT_EMPTY, -10, "directory_not_empty", "directory not empty")    \
    X(E_QUOTA, -11, "quota_exceeded", "quota exceeded")                  \
    X(E_NETWORK, -12, "network", "network error")                        \
    X(E_PROTOCOL, -13, "protocol", "protocol error")                     \
    X(E_CHECKSUM, -14, "checksum_mismatch", "checksum mismatch")         \
    X(E_CHANGED, -15, "changed", "changed while it was being used")      \
    X(E_CANCELLED, -16, "cancelled", "cancelled")                        \
    X(E_IO, -17, "io", "input/output error")                             \
    X(E_MEMORY, -18, "out_of_memory", "out of memory")                   \
    X(E_UNTRUSTED, -19, "untrusted_peer", "peer is not trusted")         \
    X(E_NO_SPACE, -20, "no_space", "no space left")                      \
    X(E_BUSY, -21, "busy", "busy")                                       \
    X(E_MISUSE, -22, "misuse", "called in a way the API does not allow") \
    X(E_LIMIT, -23, "limit", "a limit was reached")

typedef enum orbit_status {
#define ORBIT_STATUS_ENUM(name, value, word, text) ORBIT_##name = value,
    ORBIT_STATUS_TABLE(ORBIT_STATUS_ENUM)
#undef ORBIT_STATUS_ENUM
} orbit_status;

/* Flags of an error. */
enum {
    ORBIT_ERROR_RETRIABLE = 1u << 0,    /* the same call may succeed later */
    ORBIT_ERROR_THROTTLED = 1u << 1,    /* the store asked for fewer requests (SlowDown, 429) */
    ORBIT_ERROR_MAYBE_DONE = 1u << 2,   /* the request may have taken effect: its reply was lost */
    ORBIT_ERROR_TRUNCATED = 1u << 3,    /* the message was longer than its field */
    ORBIT_ERROR_IS_DIRECTORY = 1u << 4, /* E_PATH: a directory stands where a file is needed */
    ORBIT_ERROR_NOT_DIRECTORY = 1u << 5 /* E_PATH: a file stands where a directory is needed */
};

/* Exactly 512 bytes, plain data. Strings are NUL-terminated and may be empty. */
typedef struct orbit_error {
    int32_t status;          /* an orbit_status */
    int32_t native;          /* the underlying number: errno, CURLcode, SFTP status, NT status; 0 if none */
    int32_t http_status;     /* 0 where no HTTP reply was involved */
    uint32_t flags;          /* ORBIT_ERROR_… */
    uint32_t retry_after_ms; /* what the store asked for (Retry-After), 0 if nothing */
    char request_id[72];     /* the store's id of the request, for its support */
    char code[48];           /* the store's word, such as "NoSuchKey" */
    char message[372];       /* one sentence: what, where, why; never a secret */
} orbit_error;

/* The fixed text of a status, such as "not found". Never NULL. Any thread. */
ORBIT_API const char *orbit_status_text(orbit_status status);
/* Its stable word, such as "not_found". Never NULL. Any thread. */
ORBIT_API const char *orbit_status_word(orbit_status status);
/* The error's kind, usable from C without a cast; ORBIT_OK for NULL. */
ORBIT_API orbit_status orbit_error_status(const orbit_error *error);
ORBIT_API bool orbit_error_retriable(const orbit_error *error);

ORBIT_END_DECLS

#endif
