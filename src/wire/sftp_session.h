/* SPDX-License-Identifier: Apache-2.0
 * The inside of an SFTP session, shared by its life (sftp.c), what goes out (sftp_send.c) and what comes in
 * (sftp_receive.c). */
#ifndef ORB_WIRE_SFTP_SESSION_H
#define ORB_WIRE_SFTP_SESSION_H

#include "run/watch.h"
#include "wire/sftp.h"

enum {
    ORB_SFTP_SLOTS = 256,            /* requests under way; more wait */
    ORB_SFTP_LINE = 32 << 10,        /* received at once, where no place is lent */
    ORB_SFTP_PLAIN_MAX = 32 << 10,   /* bytes a READ or WRITE that every server takes */
    ORB_SFTP_DATA_MAX = 255 << 10,   /* and no more than this, whatever a server offers */
    ORB_SFTP_WINDOW_LEAST = 2 << 20, /* the window of a channel of OpenSSH's */
    ORB_SFTP_WINDOW_MOST = 16 << 20
};

struct orb_sftp_slot {
    struct orb_sftp_request *request; /* NULL: nobody waits for it any more */
    uint32_t id, want;
    uint8_t type; /* of the request */
    bool busy, patient;
};

struct orb_sftp {
    struct orb_loop *loop;
    struct orb_log *log;
    char *peer;
    uint32_t stall_ms;
    struct orb_sftp_events events;
    void *ctx;

    int fd; /* -1: none */
    struct orb_watch *watch;
    struct orb_timer *timer;
    struct orb_message flush_message, end_message;
    bool flush_posted, end_posted;
    bool ready, broken, dead; /* dead: freed by its user, the memory goes with the last message */
    bool presumed;            /* what it can is known before it says so */
    bool silent_end;          /* the stream ended and nobody knows why */
    bool told;                /* ended() was called */
    orbit_error error;        /* when broken */

    unsigned extensions;
    uint32_t read_max, write_max;
    bool limited; /* as the server said */
    uint64_t round_trip_ns, window, life_ns;

    /* What goes out. */
    struct orb_sftp_request *queue, *queue_end; /* not sent, or not to the end */
    struct orb_sftp_request *gone, *gone_end;   /* sent, `sent` is to be told */
    struct orb_buf rest;                        /* of a packet whose user went away when half of it was sent; INIT */
    size_t rest_gone;
    bool blocked;
    unsigned under_way; /* started, and not done */
    struct orb_sftp_slot slots[ORB_SFTP_SLOTS];
    unsigned busy; /* slots */
    uint32_t next_id;

    /* What comes in. */
    uint8_t *line;
    size_t line_room, line_at, line_end;
    struct orb_sftp_slot *data;      /* a DATA reply is coming for it */
    uint64_t data_left, data_beyond; /* bytes of the file; of the packet behind them */
    unsigned ease;                   /* how well we keep up: 0 to ORB_SFTP_EASE_MOST */
    bool data_last;                  /* its last byte has come */
};

/* sftp.c */
void orb_sftp_break(struct orb_sftp *session, const orbit_error *error);
void orb_sftp_is_ready(struct orb_sftp *session); /* the version has come */
void orb_sftp_end_post(struct orb_sftp *session); /* requests hear of the end from a message */

/* sftp_send.c */
void orb_sftp_flush(struct orb_sftp *session); /* sends until the stream takes no more */
void orb_sftp_flush_post(struct orb_sftp *session);
/* Gives up the place of an id. NULL: nobody waited for it any more. */
struct orb_sftp_request *orb_sftp_slot_free(struct orb_sftp *session, struct orb_sftp_slot *slot);
/* The reply to a request has come, with so many bytes of a file. */
void orb_sftp_finish(struct orb_sftp *session, struct orb_sftp_request *request, uint64_t bytes);
/* Everyone hears of the session's error. */
void orb_sftp_fail_all(struct orb_sftp *session);

/* sftp_receive.c: takes what has come, until there is no more or enough was taken for one turn. */
void orb_sftp_receive(struct orb_sftp *session);

#endif
