/* SPDX-License-Identifier: Apache-2.0
 * One session by way of ssh's control socket: OpenSSH's PROTOCOL.mux, version 4, as a passenger. We hand over the
 * session's three files; ssh serves them until the host or we close. Its standard error says why a session failed. Loop
 * thread only. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "run/watch.h"
#include "wire/ssh_parts.h"

#define MUX_HELLO             0x00000001u
#define MUX_NEW_SESSION       0x10000002u
#define MUX_PERMISSION_DENIED 0x80000002u
#define MUX_FAILURE           0x80000003u
#define MUX_EXIT_MESSAGE      0x80000004u
#define MUX_SESSION_OPENED    0x80000006u
#define MUX_VERSION           4u
#define MUX_NO_ESCAPE         0xffffffffu

/* AHEAD_BYTES: what ssh may be ahead of us, which every kernel grants, and doubles. What it does not get rid of it
 * keeps in a buffer that takes twice the room. */
enum { PACKET_MAX = 4096, WORD = 4, HEAD = 8, AHEAD_BYTES = 208 << 10 };

struct orb_ssh_link {
    struct orb_loop *loop;
    const struct orb_ssh_plan *plan;
    const struct orb_ssh_channel *channel;
    const struct orb_ssh_link_events *events;
    void *ctx;
    int control, errors; /* the control socket; what the session writes on standard error */
    int ours, theirs,
        theirs_errors; /* the session's stream: our end until ready, its ends until they are handed over */
    struct orb_watch *control_watch, *errors_watch;
    struct orb_timer *wait; /* control is at its end, and perhaps the connection is, too */
    bool requested, opened, exited;
    bool *gone;      /* set when the link is freed under whoever called a callback */
    uint32_t result; /* with exited */
    struct orb_ssh_said said;
    uint8_t packet[PACKET_MAX];
    size_t length;
};

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void release(struct orb_ssh_link *link)
{
    orb_timer_cancel(link->wait);
    orb_watch_stop(link->control_watch);
    orb_watch_stop(link->errors_watch);
    close_if_open(&link->control);
    close_if_open(&link->errors);
    close_if_open(&link->ours);
    close_if_open(&link->theirs);
    close_if_open(&link->theirs_errors);
    if (link->gone)
        *link->gone = true;
    orb_free(link);
}

void orb_ssh_link_close(struct orb_ssh_link *link)
{
    if (link)
        release(link);
}

static void end(struct orb_ssh_link *link, const orbit_error *error, bool lost)
{
    const struct orb_ssh_link_events *events = link->events;
    void *ctx = link->ctx;
    release(link);
    events->ended(ctx, error, lost);
}

/* ---- words of the protocol: 32 bits, big-endian; strings with their length in front ---- */

static uint32_t get_word(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_word(struct orb_buf *packet, uint32_t word)
{
    const uint8_t bytes[WORD] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
    (void)orb_buf_append(packet, bytes, sizeof bytes);
}

static void put_string(struct orb_buf *packet, const char *text)
{
    put_word(packet, (uint32_t)strlen(text));
    (void)orb_buf_text(packet, text);
}

/* A few hundred bytes into the buffer of a socket that is ours: they fit, or the other end is gone. */
static bool send_packet(int fd, struct orb_buf *body)
{
    struct orb_buf packet;
    orb_buf_init(&packet, PACKET_MAX);
    put_word(&packet, (uint32_t)body->length);
    (void)orb_buf_append(&packet, body->bytes, body->length);
    bool sent = !body->failed && !packet.failed &&
                send(fd, packet.bytes, packet.length, MSG_NOSIGNAL) == (ssize_t)packet.length;
    orb_buf_release(&packet);
    return sent;
}

static bool send_hello(int fd)
{
    struct orb_buf body;
    orb_buf_init(&body, PACKET_MAX);
    put_word(&body, MUX_HELLO);
    put_word(&body, MUX_VERSION);
    bool sent = send_packet(fd, &body);
    orb_buf_release(&body);
    return sent;
}

static bool send_descriptor(int fd, int sent)
{
    char nothing = 0;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec bytes = {&nothing, 1};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &sent, sizeof(int));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == 1;
}

static bool send_request(struct orb_ssh_link *link)
{
    struct orb_buf body;
    orb_buf_init(&body, PACKET_MAX);
    put_word(&body, MUX_NEW_SESSION);
    put_word(&body, 0);    /* our number for the request: there is one */
    put_string(&body, ""); /* reserved */
    put_word(&body, 0);    /* no terminal */
    put_word(&body, 0);    /* no X11 */
    put_word(&body, 0);    /* no agent */
    put_word(&body, 1);    /* the command names a subsystem */
    put_word(&body, MUX_NO_ESCAPE);
    put_string(&body, ""); /* the terminal's kind */
    put_string(&body, link->channel->subsystem);
    bool sent = send_packet(link->control, &body) && send_descriptor(link->control, link->theirs) &&
                send_descriptor(link->control, link->theirs) && send_descriptor(link->control, link->theirs_errors);
    orb_buf_release(&body);
    /* ssh has its own now: ours must not keep the session's end from us. */
    close_if_open(&link->theirs);
    close_if_open(&link->theirs_errors);
    link->requested = true;
    return sent;
}

/* ---- what comes back ---- */

static void refused(struct orb_ssh_link *link, const uint8_t *body, size_t length)
{
    char reason[256] = "";
    orbit_error error;
    if (length >= HEAD) {
        size_t said = get_word(body + WORD), there = length - HEAD;
        said = said < there ? said : there;
        (void)snprintf(reason, sizeof reason, "%.*s", (int)(said < 250 ? said : 250), (const char *)body + HEAD);
    }
    orb_ssh_explain_refused(&error, link->plan, reason);
    end(link, &error, false);
}

/* False: the link is gone. */
static bool take_packet(struct orb_ssh_link *link, const uint8_t *body, size_t length)
{
    uint32_t kind = get_word(body);
    orbit_error error;
    body += WORD;
    length -= WORD;
    if (kind == MUX_HELLO && !link->requested) {
        if (length >= WORD && get_word(body) == MUX_VERSION && send_request(link))
            return true;
        orb_fail(&error, ORBIT_E_PROTOCOL, 0, "cannot open a session with %s: ssh does not share its connection",
                 link->plan->peer);
        end(link, &error, false);
        return false;
    }
    if ((kind == MUX_PERMISSION_DENIED || kind == MUX_FAILURE) && !link->opened) {
        refused(link, body, length);
        return false;
    }
    if (kind == MUX_SESSION_OPENED && link->requested && !link->opened) {
        int fd = link->ours;
        bool gone = false;
        link->opened = true;
        link->ours = -1;
        link->gone = &gone;
        link->events->ready(link->ctx, fd);
        if (gone)
            return false;
        link->gone = NULL;
    } else if (kind == MUX_EXIT_MESSAGE && length >= HEAD) {
        link->exited = true;
        link->result = get_word(body + WORD);
    }
    return true;
}

static void conclude(struct orb_ssh_link *link)
{
    orbit_error error;
    if (link->exited && link->result == 0) {
        end(link, NULL, false);
        return;
    }
    orb_ssh_explain_session(&error, link->plan, link->channel->subsystem, link->channel->spoken, link->said.bytes,
                            link->exited ? (int64_t)link->result : -1);
    end(link, &error, !link->exited);
}

static void on_control(void *ctx, int events)
{
    (void)events;
    struct orb_ssh_link *link = ctx;
    ssize_t length = recv(link->control, link->packet + link->length, sizeof link->packet - link->length, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) {
        if (link->errors >= 0)
            (void)orb_ssh_said_read(&link->said, link->errors);
        conclude(link);
        return;
    }
    link->length += (size_t)length;
    size_t at = 0;
    while (link->length - at >= WORD) {
        size_t body = get_word(link->packet + at);
        if (body < WORD || body > sizeof link->packet - WORD) {
            orbit_error error;
            orb_fail(&error, ORBIT_E_PROTOCOL, 0, "cannot open a session with %s: ssh's control socket talks nonsense",
                     link->plan->peer);
            end(link, &error, false);
            return;
        }
        if (link->length - at < WORD + body)
            break;
        if (!take_packet(link, link->packet + at + WORD, body))
            return;
        at += WORD + body;
    }
    memmove(link->packet, link->packet + at, link->length - at);
    link->length -= at;
}

static void on_errors(void *ctx, int events)
{
    (void)events;
    struct orb_ssh_link *link = ctx;
    if (orb_ssh_said_read(&link->said, link->errors))
        return;
    orb_watch_stop(link->errors_watch);
    link->errors_watch = NULL;
    close_if_open(&link->errors);
}

/* ---- life ---- */

/* An errno. */
static int make_descriptors(struct orb_ssh_link *link, const char *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int stream[2], errors[2];
    memcpy(address.sun_path, control, strnlen(control, sizeof address.sun_path - 1));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream) != 0)
        return errno;
    const int ahead = AHEAD_BYTES;
    (void)setsockopt(stream[1], SOL_SOCKET, SO_SNDBUF, &ahead, sizeof ahead);
    link->ours = stream[0];
    link->theirs = stream[1];
    if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    link->errors = errors[0];
    link->theirs_errors = errors[1];
    link->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->control < 0)
        return errno;
    /* Done at once, or not at all. */
    return connect(link->control, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
}

struct orb_ssh_link *orb_ssh_link_open(struct orb_loop *loop, const struct orb_ssh_plan *plan, const char *control,
                                       const struct orb_ssh_channel *channel, const struct orb_ssh_link_events *events,
                                       void *ctx, orbit_error *error)
{
    struct orb_ssh_link *link = orb_calloc(1, sizeof *link);
    if (!link) {
        orb_fail_memory(error);
        return NULL;
    }
    *link = (struct orb_ssh_link){.loop = loop, .plan = plan, .channel = channel, .events = events, .ctx = ctx};
    link->control = link->errors = link->ours = link->theirs = link->theirs_errors = -1;
    int number = make_descriptors(link, control);
    if (number == 0 && !send_hello(link->control))
        number = EPIPE;
    if (number == ENOENT || number == ECONNREFUSED || number == ECONNRESET || number == EPIPE) {
        orb_fail(error, ORBIT_E_NETWORK, number, "the connection to %s was lost", plan->peer);
        error->flags |= ORBIT_ERROR_RETRIABLE;
    } else if (number) {
        orb_fail_errno(error, number, "cannot open a session with %s", plan->peer);
    } else {
        link->control_watch = orb_watch_start(loop, link->control, UV_READABLE, on_control, link);
        link->errors_watch = orb_watch_start(loop, link->errors, UV_READABLE, on_errors, link);
        if (link->control_watch && link->errors_watch)
            return link;
        orb_fail_memory(error);
    }
    release(link);
    return NULL;
}
