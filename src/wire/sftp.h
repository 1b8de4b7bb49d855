/* SPDX-License-Identifier: Apache-2.0
 * One SFTP session over one stream: any number of requests, as many of them under way as the table of ids has places.
 * Requests live in their users' memory. Replies may come in any order. Knows what a reply is, not what it means; nothing
 * of ssh, nothing of backends. Loop thread only.
 *
 *     orb_sftp_open(&request, "/tmp/x", ORB_SFTP_OPEN_READ, NULL);   makes the packet
 *     request.done = opened;
 *     orb_sftp_start(session, &request);                              opened(&request) comes later, once
 *
 * Bytes of files are copied once: what WRITE sends goes out of its user's memory, what READ brings goes from the stream
 * into the place that its user lends. */
#ifndef ORB_WIRE_SFTP_H
#define ORB_WIRE_SFTP_H

#include <orbit/error.h>

#include "base/log.h"
#include "run/loop.h"
#include "wire/sftp_codec.h"

struct orb_sftp;

struct orb_sftp_request {
    /* The user's, set before start. Nothing of a session is called back from inside start or forget. */
    void (*done)(struct orb_sftp_request *request); /* once; the memory may be used again in it */
    /* Nullable: the last byte, payload included, has gone to the stream: the payload's memory is free. */
    void (*sent)(struct orb_sftp_request *request);
    const void *payload; /* of WRITE */
    size_t payload_length;
    /* Of READ. Lends room for 1 to `want` of the next bytes of the reply; NULL: memory is out, the request fails.
     * What was lent is given back by `filled`, also with 0. */
    void *(*place)(struct orb_sftp_request *request, size_t want, size_t *room);
    void (*filled)(struct orb_sftp_request *request, size_t length);
    void *ctx;
    bool patient; /* the server may rightly be silent for minutes: it copies, or flushes */

    /* The reply, in done. type 0: there was none, `error` of the session says why. */
    uint8_t type;
    uint32_t status;              /* of STATUS */
    struct orb_sftp_reader reply; /* behind the id; borrowed until done returns */
    uint64_t received;            /* bytes of DATA */
    const orbit_error *error;     /* of type 0; borrowed likewise */
    bool no_memory;               /* place() had none */

    /* The packet, which keeps its memory when the request is made anew. Begin with zeroes. */
    struct orb_buf packet;
    uint32_t want; /* bytes that READ asks for */

    /* The session's. */
    struct orb_sftp *session; /* NULL: not started */
    struct orb_sftp_request *next, *previous;
    size_t gone; /* bytes of packet and payload that were sent */
    uint32_t id;
    bool queued;
    uint64_t started_ns;
};

/* ---- making requests: fill packet and want; the rest is as it was ---------------------------------- */

/* Paths and names are as the server takes them; NULL attributes: none. */
void orb_sftp_open(struct orb_sftp_request *request, const char *path, uint32_t flags,
                   const struct orb_sftp_attributes *attributes);
void orb_sftp_path(struct orb_sftp_request *request, enum orb_sftp_type type, const char *path);
void orb_sftp_path_attributes(struct orb_sftp_request *request, enum orb_sftp_type type, const char *path,
                              const struct orb_sftp_attributes *attributes);
void orb_sftp_paths(struct orb_sftp_request *request, enum orb_sftp_type type, const char *first, const char *second);
void orb_sftp_on_handle(struct orb_sftp_request *request, enum orb_sftp_type type,
                        const struct orb_sftp_handle *handle);
void orb_sftp_fsetstat(struct orb_sftp_request *request, const struct orb_sftp_handle *handle,
                       const struct orb_sftp_attributes *attributes);
void orb_sftp_read_at(struct orb_sftp_request *request, const struct orb_sftp_handle *handle, uint64_t offset,
                      uint32_t length);
void orb_sftp_write_at(struct orb_sftp_request *request, const struct orb_sftp_handle *handle, uint64_t offset,
                       const void *bytes, uint32_t length);
/* Extensions, ORB_SFTP_CAN_…: of one path, of two, of a handle. */
void orb_sftp_extended_path(struct orb_sftp_request *request, unsigned extension, const char *path);
void orb_sftp_extended_paths(struct orb_sftp_request *request, unsigned extension, const char *first,
                             const char *second);
void orb_sftp_extended_handle(struct orb_sftp_request *request, unsigned extension,
                              const struct orb_sftp_handle *handle);
void orb_sftp_lsetstat(struct orb_sftp_request *request, const char *path,
                       const struct orb_sftp_attributes *attributes);
void orb_sftp_copy_data(struct orb_sftp_request *request, const struct orb_sftp_handle *from, uint64_t offset,
                        uint64_t length, const struct orb_sftp_handle *to, uint64_t to_offset);
/* Gives back the packet's memory. Not while it is started. */
void orb_sftp_request_release(struct orb_sftp_request *request);

/* ---- the session ----------------------------------------------------------------------------------- */

struct orb_sftp_events {
    void (*ready)(void *ctx); /* the server has said its version */
    /* The last: requests that were left had their done(). NULL: the stream ended, before or after ready, without a
     * word. Free the session, in it or later. */
    void (*ended)(void *ctx, const orbit_error *error);
};

/* `peer` is for messages ("example.org"), copied. `stall_ms` without a sign of life while requests are under way end
 * it. */
orbit_status orb_sftp_new(struct orb_sftp **made, struct orb_loop *loop, struct orb_log *log, const char *peer,
                          uint32_t stall_ms, const struct orb_sftp_events *events, void *ctx, orbit_error *error);
/* Before it is attached: the server is that of `like`, which is ready, and one that takes requests in the order in
 * which they come. So they go out right behind INIT, and a round trip earlier than its answer allows otherwise. */
void orb_sftp_presume(struct orb_sftp *session, const struct orb_sftp *like);
/* The stream (non-blocking, closed by the session): INIT goes out. */
void orb_sftp_attach(struct orb_sftp *session, int fd);
/* Ends it: requests that are left get their done() with `error` (nullable: cancelled), from inside. ended() does not
 * come. */
void orb_sftp_free(struct orb_sftp *session, const orbit_error *error);

void orb_sftp_start(struct orb_sftp *session, struct orb_sftp_request *request);
/* done() will not come, the memory is the user's at once. A request that has not begun to go out is never sent; a
 * handle that comes for one that has is closed. Nothing for one that is not started. */
void orb_sftp_forget(struct orb_sftp_request *request);
/* Closes a handle (CLOSE) or removes a file (REMOVE) without waiting, and without telling what came of it. */
void orb_sftp_close_handle(struct orb_sftp *session, const struct orb_sftp_handle *handle);
void orb_sftp_remove_path(struct orb_sftp *session, const char *path);

bool orb_sftp_ready(const struct orb_sftp *session); /* or presumed to be */
bool orb_sftp_can(const struct orb_sftp *session, unsigned extension);
uint32_t orb_sftp_read_max(const struct orb_sftp *session); /* bytes a READ; of a WRITE */
uint32_t orb_sftp_write_max(const struct orb_sftp *session);
/* The shortest way there and back so far, in nanoseconds; 0: not known yet. */
uint64_t orb_sftp_round_trip_ns(const struct orb_sftp *session);
/* Bytes of files that all its users together should have under way: what the way to the server holds, and a little
 * more. */
uint64_t orb_sftp_window(const struct orb_sftp *session);
/* How well we keep up with what comes: 0, the stream is full whenever we come to it and what carries it has to keep the
 * rest in its own memory, to ORB_SFTP_EASE_MOST, it never is. */
enum { ORB_SFTP_EASE_MOST = 256 };
unsigned orb_sftp_ease(const struct orb_sftp *session);
/* Requests that were started and are not done. */
unsigned orb_sftp_under_way(const struct orb_sftp *session);

#endif
