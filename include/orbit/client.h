/* SPDX-License-Identifier: Apache-2.0
 * A client: one event loop, its worker threads and one memory budget. One per process is enough;
 * two share nothing. Backends, streams and tasks belong to the client they were opened with and
 * are closed before it.
 *
 * By default the client runs its loop on a thread of its own. With `external_loop` the caller
 * drives it instead:
 *
 *     struct pollfd fd = {orbit_client_fd(client), POLLIN, 0};
 *     poll(&fd, 1, orbit_client_timeout_ms(client));
 *     orbit_client_process(client, &error);
 *
 * Callbacks fire on the thread that drives the loop, inside orbit_client_process() or on the
 * client's own thread. A blocking call made from such a callback returns ORBIT_E_MISUSE. After
 * fork() every call on the parent's client returns ORBIT_E_MISUSE in the child. */
#ifndef ORBIT_CLIENT_H
#define ORBIT_CLIENT_H

#include <orbit/error.h>
#include <orbit/export.h>
#include <orbit/trace.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_client orbit_client;

typedef enum orbit_log_level {
    ORBIT_LOG_ERROR = 1,
    ORBIT_LOG_WARN,
    ORBIT_LOG_INFO,
    ORBIT_LOG_DEBUG,
    ORBIT_LOG_TRACE
} orbit_log_level;

/* Called from any of the client's threads, one call at a time. `line` is borrowed, has no newline
 * and never holds a secret. Must not call back into Orbit. */
typedef void orbit_log_function(void *ctx, orbit_log_level level, const char *line);

typedef struct orbit_log {
    orbit_log_function *function; /* NULL: no log */
    void *ctx;
    orbit_log_level level; /* 0: ORBIT_LOG_WARN */
} orbit_log;

/* A question to a person, such as for the code of an MFA device. */
typedef struct orbit_question {
    size_t size;
    const char *text; /* one line, without a colon behind it: "the code of the MFA device 'arn:…'" */
    bool secret;      /* what is typed had better not be seen */
    /* Whether nobody waits for the answer any more: looked at now and then, and ORBIT_E_CANCELLED returned soon. */
    bool (*given_up)(void *waiter);
    void *waiter;
} orbit_question;

/* Asks, and fills `answer` (NUL-terminated). It may take as long as a person does: it is called on a thread of its own,
 * several at a time where several stores ask. Anything but ORBIT_OK fails what needed the answer, with `error`. */
typedef orbit_status orbit_prompt_function(void *ctx, const orbit_question *question, char *answer, size_t room,
                                           orbit_error *error);
typedef struct orbit_prompt {
    orbit_prompt_function *function; /* NULL: nobody can be asked */
    void *ctx;
} orbit_prompt;

typedef struct orbit_client_options {
    size_t size;
    uint64_t memory_bytes; /* the budget; 0: 128 MiB; below 16 MiB is ORBIT_E_CONFIG */
    uint32_t workers;      /* threads for blocking disk work; 0: 4 */
    uint32_t lanes;        /* threads for the network; 0: min(4, cores). See lanes_on_loop */
    bool lanes_on_loop;    /* the network runs on the loop thread itself: no lane threads */
    bool external_loop;    /* the caller drives the loop */
    orbit_log log;
    const char *spool_dir; /* where a walk spills names of directories (an unlinked file) on stores whose listings
                              cannot be taken up again; NULL: $TMPDIR, else /tmp */
    orbit_trace trace;     /* told of every attempt of every operation: <orbit/trace.h> */
    orbit_prompt prompt;   /* for what only a person knows: codes of MFA devices (mfa_serial of AWS profiles) */
} orbit_client_options;

#define ORBIT_CLIENT_OPTIONS_INIT                                                                   \
    {                                                                                               \
        sizeof(orbit_client_options), 0, 0, 0, false, false, {0, 0, (orbit_log_level)0}, 0, {0, 0}, \
        {                                                                                           \
            0, 0                                                                                    \
        }                                                                                           \
    }
ORBIT_API void orbit_client_options_init(orbit_client_options *options);

/* Opens a client. `options` may be NULL. The caller closes it with orbit_client_close(). */
ORBIT_API orbit_status orbit_client_open(orbit_client **client, const orbit_client_options *options,
                                         orbit_error *error);
/* Cancels what is still under way, waits for its end and frees. NULL is fine. Streams, tasks and
 * backends must have been closed; a client that still has some logs it and closes them.
 * Not from a callback. */
ORBIT_API void orbit_client_close(orbit_client *client);

/* External loop only (-1 and ORBIT_E_MISUSE otherwise): a descriptor that polls readable when there is
 * something to do, the longest time to wait in milliseconds (-1: for ever), and one non-blocking turn. */
ORBIT_API int orbit_client_fd(orbit_client *client);
ORBIT_API int orbit_client_timeout_ms(orbit_client *client);
ORBIT_API orbit_status orbit_client_process(orbit_client *client, orbit_error *error);

/* A snapshot of the client's counters. Any thread. */
typedef struct orbit_client_stats {
    size_t size;
    uint64_t memory_limit_bytes;
    uint64_t memory_used_bytes;
    uint64_t memory_peak_bytes; /* the budget's high-water mark */
    uint64_t operations;        /* started on backends, retries included */
    uint64_t retries;
    uint64_t throttled; /* replies that asked for fewer requests */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t attempts[ORBIT_REQUEST_ROOM]; /* `operations` by orbit_request */
    uint64_t hedges;                       /* ranges that lagged and were asked for again */
    uint64_t hedge_bytes;                  /* that came twice because of it, and were dropped */
    uint64_t hurries;                      /* requests that were silent and were made again early */
} orbit_client_stats;

#define ORBIT_CLIENT_STATS_INIT                                          \
    {                                                                    \
        sizeof(orbit_client_stats), 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, 0 \
    }
ORBIT_API orbit_status orbit_client_get_stats(orbit_client *client, orbit_client_stats *stats);

/* One cancel token for many calls. Firing it is async-signal-safe and permanent until it is
 * reset; calls that carry it end with ORBIT_E_CANCELLED. Free it after the calls have ended. */
typedef struct orbit_cancel orbit_cancel;
ORBIT_API orbit_cancel *orbit_cancel_new(void); /* NULL when memory or descriptors are out */
ORBIT_API void orbit_cancel_fire(orbit_cancel *cancel);
ORBIT_API bool orbit_cancel_fired(const orbit_cancel *cancel);
ORBIT_API void orbit_cancel_free(orbit_cancel *cancel);

/* Called now and then (at most ten times a second, and once at the end) on the thread that drives
 * the loop. `total` is ORBIT_SIZE_UNKNOWN when it is. Must not block. */
typedef void orbit_progress_function(void *ctx, uint64_t done, uint64_t total);
typedef struct orbit_progress {
    orbit_progress_function *function;
    void *ctx;
} orbit_progress;

/* The library's version, "0.1.0", and as a number 0xMMmmpp. */
ORBIT_API const char *orbit_version(void);
ORBIT_API uint32_t orbit_version_number(void);

ORBIT_END_DECLS

#endif
