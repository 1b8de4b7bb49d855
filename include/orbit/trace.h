/* SPDX-License-Identifier: Apache-2.0
 * Looking on: what a client asks its stores, attempt by attempt.
 *
 *     static void on_request(void *ctx, const orbit_trace_event *event)
 *     {
 *         if (event->point == ORBIT_TRACE_ENDED)
 *             histogram_add(ctx, orbit_request_name(event->request), event->duration_ns);
 *     }
 *
 *     orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
 *     options.trace = (orbit_trace){on_request, histogram};
 *
 * The same is counted in orbit_client_stats without any function of yours. */
#ifndef ORBIT_TRACE_H
#define ORBIT_TRACE_H

#include <orbit/error.h>
#include <orbit/export.h>

ORBIT_BEGIN_DECLS

/* What was asked of a store: the operations of <orbit/backend_ops.h>. One of them may be several requests on the
 * wire (a part whose hash is signed, a list of a store with a redirect). */
typedef enum orbit_request {
    ORBIT_REQUEST_OTHER = 0,
    ORBIT_REQUEST_STAT,
    ORBIT_REQUEST_LIST_BEGIN, /* opens a listing: on object stores nothing is sent for it */
    ORBIT_REQUEST_LIST,       /* a page */
    ORBIT_REQUEST_READ,
    ORBIT_REQUEST_PUT,
    ORBIT_REQUEST_BEGIN,
    ORBIT_REQUEST_PART,
    ORBIT_REQUEST_FINISH,
    ORBIT_REQUEST_ABORT,
    ORBIT_REQUEST_REMOVE,
    ORBIT_REQUEST_MKDIR,
    ORBIT_REQUEST_RENAME,
    ORBIT_REQUEST_COPY,
    ORBIT_REQUEST_SET_METADATA,
    ORBIT_REQUEST_LINK,
    ORBIT_REQUEST_XATTR,
    ORBIT_REQUEST_SPACE,
    ORBIT_REQUEST_CONTAINER, /* made, removed, its versioning */
    ORBIT_REQUEST_UPLOADS,
    ORBIT_REQUEST_PART_COPY, /* a part that the store copies by itself */
    ORBIT_REQUEST_TAGS,
    ORBIT_REQUEST_KINDS, /* how many this header knows */
    ORBIT_REQUEST_ROOM = 32
} orbit_request;
/* "read", "part", …: static; "other" for what is none. */
ORBIT_API const char *orbit_request_name(orbit_request request);

typedef enum orbit_trace_point {
    ORBIT_TRACE_STARTED = 1, /* an attempt goes to the backend */
    ORBIT_TRACE_ENDED        /* it is over; status and error say how, wait_ms whether another follows */
} orbit_trace_point;

/* All of it is borrowed until the function returns. */
typedef struct orbit_trace_event {
    size_t size;
    orbit_trace_point point;
    orbit_request request;
    uint64_t call;            /* the same for all attempts of one call, unique in its client */
    uint32_t attempt;         /* from 1 */
    const char *backend;      /* "s3" */
    const char *url;          /* of the backend; holds no secret */
    const char *path;         /* in the backend; NULL where there is none or several */
    orbit_status status;      /* ENDED */
    const orbit_error *error; /* ENDED, negative status: with http_status and request_id where there are; else NULL */
    uint64_t started_ns;      /* of this attempt, on CLOCK_MONOTONIC */
    uint64_t duration_ns;     /* ENDED */
    bool again;               /* ENDED: it is tried again after wait_ms */
    uint64_t wait_ms;
} orbit_trace_event;

/* On the thread that drives the loop, in the order things happen. It must be quick, must not block and must not call
 * back into Orbit. */
typedef void orbit_trace_function(void *ctx, const orbit_trace_event *event);
typedef struct orbit_trace {
    orbit_trace_function *function; /* NULL: nobody looks, and it costs nothing */
    void *ctx;
} orbit_trace;

/* What one stream or task asked its stores so far: orbit_reader_get_stats() and its like. Each number is true by
 * itself; together they are not one moment's. */
typedef struct orbit_stream_stats {
    size_t size;          /* of this struct: ORBIT_STREAM_STATS_INIT */
    uint64_t bytes;       /* of contents that went through; 0 for a lister */
    uint64_t operations;  /* attempts, retries included */
    uint64_t retries;     /* attempts that followed a failed one */
    uint64_t throttled;   /* replies that asked for fewer requests */
    uint64_t hedges;      /* ranges that lagged and were asked for again */
    uint64_t hedge_bytes; /* that came twice because of it, and were dropped */
    uint64_t hurries;     /* requests that were silent and were made again early */
    uint32_t in_flight;   /* attempts under way now: how full the window is */
    uint32_t in_flight_most;
    uint64_t attempts[ORBIT_REQUEST_ROOM]; /* `operations` by orbit_request */
} orbit_stream_stats;

#define ORBIT_STREAM_STATS_INIT                                \
    {                                                          \
        sizeof(orbit_stream_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, \
        {                                                      \
            0                                                  \
        }                                                      \
    }

ORBIT_END_DECLS

#endif
