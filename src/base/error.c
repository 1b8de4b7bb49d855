/* SPDX-License-Identifier: Apache-2.0
 * Statuses and errors: the words, and filling an orbit_error. Owns nothing, keeps nothing. Any thread. */
#include "base/error.h"

#include <errno.h>
#include <orbit/backend_ops.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef orb_fail
#undef orb_fail_errno
#undef orb_fail_memory

_Static_assert(sizeof(orbit_error) == 512, "an orbit_error is 512 bytes: it is part of the ABI");

const char *orbit_status_text(orbit_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, word, text) \
    case ORBIT_##name:                       \
        return text;
        ORBIT_STATUS_TABLE(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *orbit_status_word(orbit_status status)
{
    switch (status) {
#define STATUS_WORD(name, value, word, text) \
    case ORBIT_##name:                       \
        return word;
        ORBIT_STATUS_TABLE(STATUS_WORD)
#undef STATUS_WORD
    }
    return "unknown";
}

orbit_status orbit_error_status(const orbit_error *error)
{
    return error ? (orbit_status)error->status : ORBIT_OK;
}

bool orbit_error_retriable(const orbit_error *error)
{
    return error && (error->flags & ORBIT_ERROR_RETRIABLE);
}

/* The largest length not above `length` at which `text` can be cut without splitting a UTF-8 sequence. Bytes
 * that are no UTF-8 are cut anywhere. */
static size_t utf8_cut(const char *text, size_t length)
{
    size_t at = length;
    size_t back = 0;
    while (at > 0 && back < 3 && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at--;
        back++;
    }
    if (at == length)
        return length; /* text[length] begins a character: the cut is clean */
    unsigned char lead = (unsigned char)text[at];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 0;
    return need > back ? at : length;
}

/* Writes a formatted text at message[at]; what does not fit is cut and flagged. Returns the new length. */
static size_t message_vput(orbit_error *error, size_t at, const char *format, va_list args)
{
    const size_t room = sizeof(error->message);
    char text[sizeof(error->message) + 8];
    int length = vsnprintf(text, sizeof(text), format, args);
    if (length < 0) {
        error->flags |= ORBIT_ERROR_TRUNCATED;
        length = 0;
        text[0] = '\0';
    }
    size_t take = (size_t)length;
    if (take > room - 1 - at) {
        take = utf8_cut(text, room - 1 - at);
        error->flags |= ORBIT_ERROR_TRUNCATED;
    }
    memcpy(error->message + at, text, take);
    error->message[at + take] = '\0';
    return at + take;
}

static size_t message_put(orbit_error *error, size_t at, const char *format, ...) ORBIT_PRINTF(3, 4);
static size_t message_put(orbit_error *error, size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    at = message_vput(error, at, format, args);
    va_end(args);
    return at;
}

static orbit_status vfail(orbit_error *error, orbit_status status, int native, const char *format, va_list args)
{
    if (error) {
        /* The arguments may point into *error: format into a fresh one. */
        orbit_error fresh = {0};
        fresh.status = status;
        fresh.native = native;
        message_vput(&fresh, 0, format, args);
        *error = fresh;
    }
    return status;
}

orbit_status orb_fail(orbit_error *error, orbit_status status, int native, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = vfail(error, status, native, format, args);
    va_end(args);
    return status;
}

orbit_status orbit_error_set(orbit_error *error, orbit_status status, int native, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = vfail(error, status, native, format, args);
    va_end(args);
    return status;
}

/* errno -> kind and flags. In the order of how often they are seen. */
static const struct errno_kind {
    int number;
    orbit_status status;
    uint32_t flags;
} errno_kinds[] = {
    {ENOENT, ORBIT_E_NOT_FOUND, 0},
    {ENODATA, ORBIT_E_NOT_FOUND, 0}, /* no such extended attribute */
    {ENOTDIR, ORBIT_E_PATH, ORBIT_ERROR_NOT_DIRECTORY},
    {EISDIR, ORBIT_E_PATH, ORBIT_ERROR_IS_DIRECTORY},
    {EACCES, ORBIT_E_PERMISSION, 0},
    {EPERM, ORBIT_E_PERMISSION, 0},
    {EROFS, ORBIT_E_PERMISSION, 0},
    {EEXIST, ORBIT_E_EXISTS, 0},
    {ENOTEMPTY, ORBIT_E_NOT_EMPTY, 0},
    {ENOSPC, ORBIT_E_NO_SPACE, 0},
    {EDQUOT, ORBIT_E_QUOTA, 0},
    {ENOMEM, ORBIT_E_MEMORY, 0},
    {ELOOP, ORBIT_E_PATH, 0},
    {ENAMETOOLONG, ORBIT_E_PATH, 0},
    {EILSEQ, ORBIT_E_PATH, 0},
    {EBUSY, ORBIT_E_BUSY, 0},
    {ETXTBSY, ORBIT_E_BUSY, 0},
    {ENOSYS, ORBIT_E_UNSUPPORTED, 0},
    {EOPNOTSUPP, ORBIT_E_UNSUPPORTED, 0},
    {ECANCELED, ORBIT_E_CANCELLED, 0},
    {ETIMEDOUT, ORBIT_E_TIMEOUT, ORBIT_ERROR_RETRIABLE},
    {ECONNREFUSED, ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE},
    {EHOSTUNREACH, ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE},
    {ENETUNREACH, ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE},
    {EHOSTDOWN, ORBIT_E_CONNECT, ORBIT_ERROR_RETRIABLE},
    {ECONNRESET, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE},
    {ECONNABORTED, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE},
    {EPIPE, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE},
    {ENETDOWN, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE},
    {ENETRESET, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE},
    {EFBIG, ORBIT_E_LIMIT, 0},
    {EMFILE, ORBIT_E_LIMIT, 0},
    {ENFILE, ORBIT_E_LIMIT, 0},
    {EMLINK, ORBIT_E_LIMIT, 0},
    {ESTALE, ORBIT_E_CHANGED, 0},
};

static struct errno_kind errno_kind(int number)
{
    for (size_t i = 0; i < sizeof(errno_kinds) / sizeof(errno_kinds[0]); i++)
        if (errno_kinds[i].number == number)
            return errno_kinds[i];
    return (struct errno_kind){number, ORBIT_E_IO, 0};
}

orbit_status orb_status_from_errno(int number)
{
    return errno_kind(number).status;
}

static orbit_status vfail_errno(orbit_error *error, int number, const char *format, va_list args)
{
    struct errno_kind kind = errno_kind(number);
    vfail(error, kind.status, number, format, args);
    if (error) {
        error->flags |= kind.flags;
        const char *text = strerrordesc_np(number); /* the C locale's, and thread-safe */
        size_t at = strlen(error->message);
        if (text)
            message_put(error, at, "%s%s", at ? ": " : "", text);
        else
            message_put(error, at, "%serror %d", at ? ": " : "", number);
    }
    return kind.status;
}

orbit_status orb_fail_errno(orbit_error *error, int number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    orbit_status status = vfail_errno(error, number, format, args);
    va_end(args);
    return status;
}

orbit_status orbit_error_errno(orbit_error *error, int number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    orbit_status status = vfail_errno(error, number, format, args);
    va_end(args);
    return status;
}

orbit_status orb_fail_memory(orbit_error *error)
{
    return orb_fail(error, ORBIT_E_MEMORY, ENOMEM, "%s", orbit_status_text(ORBIT_E_MEMORY));
}

void orb_error_clear(orbit_error *error)
{
    if (error)
        memset(error, 0, sizeof(*error));
}

void orb_error_copy(orbit_error *to, const orbit_error *from)
{
    if (to && from && to != from)
        memcpy(to, from, sizeof(*to));
}

void orb_error_prefix(orbit_error *error, const char *format, ...)
{
    if (!error)
        return;
    orbit_error was = *error;
    error->message[0] = '\0';
    va_list args;
    va_start(args, format);
    size_t at = message_vput(error, 0, format, args);
    va_end(args);
    message_put(error, at, ": %s", was.message);
}

void orb_error_maybe_own(orbit_error *error)
{
    error->flags |= ORBIT_ERROR_MAYBE_DONE;
    orb_error_prefix(error, "an earlier attempt, whose reply was lost, may have written it");
}
