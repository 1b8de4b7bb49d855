/* SPDX-License-Identifier: Apache-2.0
 * What comes in: packets of a server that may be anything. Small ones are taken whole out of a line that everything is
 * received into; the bytes of DATA go from the stream into the place that the request's user lends, and only what came
 * along with their head is copied. A line grows to the longest packet there may be and no further. Loop thread only. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/sftp_session.h"

enum {
    TURN_BYTES = 4 << 20,   /* received before others on the loop have their turn */
    BESIDE = 512,           /* what may follow the bytes of a file: the head of the next packet */
    MANY_BYTES = 384 << 10, /* waiting in the stream: ssh, which may be 416 KiB ahead, adds next to nothing */
    EASE_LOST = 16 /* where that is so, gained one by one: where it is so for one turn in 17, we do not keep up */
};

static void fail_protocol(struct orb_sftp *session, const char *what)
{
    orbit_error error;
    orb_fail(&error, ORBIT_E_PROTOCOL, 0, "'%s' does not speak SFTP as it should: %s", session->peer, what);
    orb_sftp_break(session, &error);
}

/* A start-up file of the account's shell that prints something gets in the way of every protocol. */
static void fail_noise(struct orb_sftp *session)
{
    char shown[81];
    size_t length = 0;
    orbit_error error;
    for (size_t i = session->line_at; i < session->line_end && length < sizeof(shown) - 1; i++) {
        if (session->line[i] == '\n' && length > 0)
            break;
        if (isprint(session->line[i]))
            shown[length++] = (char)session->line[i];
    }
    shown[length] = '\0';
    orb_fail(
        &error, ORBIT_E_PROTOCOL, 0,
        "'%s' sent '%s' instead of SFTP: a start-up file of its shell (such as .bashrc) prints text where it must be "
        "silent",
        session->peer, shown);
    orb_sftp_break(session, &error);
}

/* ---- bytes of files -------------------------------------------------------------------------------- */

static struct orb_sftp_request *reader_of(const struct orb_sftp *session)
{
    struct orb_sftp_request *request = session->data->request;
    return request && !request->no_memory ? request : NULL;
}

/* All of it has come. */
static void end_data(struct orb_sftp *session)
{
    struct orb_sftp_slot *slot = session->data;
    session->data = NULL;
    struct orb_sftp_request *request = orb_sftp_slot_free(session, slot);
    if (request) {
        request->type = ORB_SFTP_DATA;
        request->reply = orb_sftp_read(NULL, 0);
        orb_sftp_finish(session, request, request->received);
    }
}

/* Bytes that came with the head, or that nobody waits for: from the line. */
static void drain_line(struct orb_sftp *session)
{
    while (session->data && session->line_at < session->line_end && (session->data_left || session->data_beyond)) {
        struct orb_sftp_request *request = reader_of(session);
        size_t there = session->line_end - session->line_at, room = 0;
        if (!session->data_left) {
            size_t beyond = there < session->data_beyond ? there : (size_t)session->data_beyond;
            session->line_at += beyond;
            session->data_beyond -= beyond;
            continue;
        }
        if (there > session->data_left)
            there = (size_t)session->data_left;
        if (request) {
            void *to = request->place(request, there, &room);
            if (!to) {
                request->no_memory = true;
                continue;
            }
            if (room < there)
                there = room;
            memcpy(to, session->line + session->line_at, there);
        }
        session->line_at += there;
        session->data_left -= there;
        if (request) {
            request->received += there;
            request->filled(request, there);
        }
    }
}

static ssize_t receive_pieces(struct orb_sftp *session, struct iovec *pieces, int count)
{
    ssize_t got;
    do
        got = readv(session->fd, pieces, count);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        session->life_ns = orb_now_ns();
        return got;
    }
    if (got < 0 && errno == EAGAIN)
        return -1;
    orb_sftp_break(session, NULL);
    return -1;
}

/* From the stream into the reader's place, and what follows into the line, which is empty. */
static ssize_t receive_data(struct orb_sftp *session)
{
    struct orb_sftp_request *request = reader_of(session);
    size_t want = session->data_left < TURN_BYTES ? (size_t)session->data_left : TURN_BYTES, room = 0;
    struct iovec pieces[2] = {{NULL, 0}, {session->line, session->line_room}};
    session->line_at = session->line_end = 0;
    if (request && !(pieces[0].iov_base = request->place(request, want, &room))) {
        request->no_memory = true;
        request = NULL;
    }
    if (!request) { /* nobody wants it: by way of the line */
        ssize_t got = receive_pieces(session, pieces + 1, 1);
        session->line_end = got > 0 ? (size_t)got : 0;
        return got;
    }
    pieces[0].iov_len = room < want ? room : want;
    bool whole = pieces[0].iov_len == session->data_left;
    pieces[1].iov_len = BESIDE;
    ssize_t got = receive_pieces(session, pieces, whole ? 2 : 1);
    size_t taken = got < 0 ? 0 : (size_t)got < pieces[0].iov_len ? (size_t)got : pieces[0].iov_len;
    session->line_end = got > 0 ? (size_t)got - taken : 0;
    session->data_left -= taken;
    request->received += taken;
    request->filled(request, taken);
    return got;
}

/* ---- whole packets --------------------------------------------------------------------------------- */

static void take_version(struct orb_sftp *session, struct orb_sftp_reader *reader)
{
    uint32_t version;
    if (!orb_sftp_get_version(reader, &version, &session->extensions)) {
        fail_protocol(session, "its first packet ends early");
    } else if (version < 3) {
        orbit_error error;
        orb_fail(&error, ORBIT_E_UNSUPPORTED, 0, "'%s' speaks version %u of SFTP, version 3 is needed", session->peer,
                 (unsigned)version);
        orb_sftp_break(session, &error);
    } else {
        orb_sftp_is_ready(session);
    }
}

/* Replies that every request may get, and those that only some may. */
static bool fits(uint8_t request, uint8_t reply)
{
    switch (reply) {
    case ORB_SFTP_STATUS:
        return true;
    case ORB_SFTP_HANDLE:
        return request == ORB_SFTP_OPEN || request == ORB_SFTP_OPENDIR;
    case ORB_SFTP_DATA:
        return request == ORB_SFTP_READ;
    case ORB_SFTP_NAME:
        return request == ORB_SFTP_READDIR || request == ORB_SFTP_REALPATH || request == ORB_SFTP_READLINK ||
               request == ORB_SFTP_EXTENDED;
    case ORB_SFTP_ATTRS:
        return request == ORB_SFTP_STAT || request == ORB_SFTP_LSTAT || request == ORB_SFTP_FSTAT;
    case ORB_SFTP_EXTENDED_REPLY:
        return request == ORB_SFTP_EXTENDED;
    default:
        return false;
    }
}

static struct orb_sftp_slot *find_slot(struct orb_sftp *session, const struct orb_sftp_head *head)
{
    struct orb_sftp_slot *slot = &session->slots[head->id % ORB_SFTP_SLOTS];
    if (!slot->busy || slot->id != head->id || (slot->request && slot->request->queued))
        fail_protocol(session, "it answers what was not asked");
    else if (!fits(slot->type, head->type))
        fail_protocol(session, "an answer is of another kind than its question");
    else if (head->type == ORB_SFTP_DATA && head->data > slot->want)
        fail_protocol(session, "it sends more of a file than was asked for");
    else
        return slot;
    return NULL;
}

static void take_reply(struct orb_sftp *session, const struct orb_sftp_head *head, struct orb_sftp_reader reader)
{
    struct orb_sftp_slot *slot = find_slot(session, head);
    if (!slot)
        return;
    uint8_t type = slot->type;
    uint32_t status = 0;
    struct orb_sftp_handle handle;
    struct orb_sftp_reader look = reader;
    if (head->type == ORB_SFTP_STATUS)
        status = orb_sftp_get_u32(&reader);
    if (head->type == ORB_SFTP_HANDLE)
        orb_sftp_get_handle(&look, &handle);
    if (reader.bad || look.bad) {
        fail_protocol(session, "an answer ends early");
        return;
    }
    struct orb_sftp_request *request = orb_sftp_slot_free(session, slot);
    if (request) {
        request->type = head->type;
        request->status = status;
        request->reply = reader;
        orb_sftp_finish(session, request, type == ORB_SFTP_WRITE ? request->payload_length : 0);
    } else if (head->type == ORB_SFTP_HANDLE) {
        orb_sftp_close_handle(session, &handle);
    }
}

/* Takes one packet, or the head of DATA, from the line. False: there is no whole one. */
static bool take_packet(struct orb_sftp *session)
{
    struct orb_sftp_head head;
    const uint8_t *bytes = session->line + session->line_at;
    size_t there = session->line_end - session->line_at;
    if (!session->ready && there >= 5 && (bytes[4] != ORB_SFTP_VERSION || bytes[0] || bytes[1])) {
        fail_noise(session);
        return false;
    }
    enum orb_sftp_head_state state = orb_sftp_get_head(bytes, there, &head);
    if (state == ORB_SFTP_PACKET_BAD) {
        fail_protocol(session, "the length of a packet cannot be");
        return false;
    }
    if (state == ORB_SFTP_PACKET_NEED)
        return false;
    if (head.type == ORB_SFTP_DATA && session->ready) {
        struct orb_sftp_slot *slot = find_slot(session, &head);
        if (!slot)
            return false;
        session->data = slot;
        session->data_left = head.data;
        session->data_beyond = head.length - ORB_SFTP_DATA_HEAD - head.data;
        session->line_at += ORB_SFTP_DATA_HEAD;
        return true;
    }
    if (there < head.length)
        return false;
    session->line_at += head.length;
    if (!session->ready)
        take_version(session, &(struct orb_sftp_reader){bytes + 5, head.length - 5, false});
    else
        take_reply(session, &head, orb_sftp_read(bytes + ORB_SFTP_HEAD, head.length - ORB_SFTP_HEAD));
    return true;
}

/* Room for the packet that has begun, and for whatever comes with it. */
static bool make_room(struct orb_sftp *session)
{
    struct orb_sftp_head head;
    size_t there = session->line_end - session->line_at, need = ORB_SFTP_LINE;
    if (orb_sftp_get_head(session->line + session->line_at, there, &head) == ORB_SFTP_PACKET_HEAD && head.length > need)
        need = head.length;
    if (there && session->line_at)
        memmove(session->line, session->line + session->line_at, there);
    session->line_at = 0;
    session->line_end = there;
    if (session->line_room >= need)
        return true;
    uint8_t *line = orb_realloc(session->line, need);
    if (!line) {
        orbit_error error;
        orb_fail_memory(&error);
        orb_sftp_break(session, &error);
        return false;
    }
    session->line = line;
    session->line_room = need;
    return true;
}

static ssize_t receive_line(struct orb_sftp *session)
{
    if (!make_room(session))
        return -1;
    struct iovec piece = {session->line + session->line_end, session->line_room - session->line_end};
    ssize_t got = receive_pieces(session, &piece, 1);
    if (got > 0)
        session->line_end += (size_t)got;
    return got;
}

static void note_ease(struct orb_sftp *session)
{
    int waiting = 0;
    if (ioctl(session->fd, FIONREAD, &waiting) != 0)
        return;
    if (waiting >= MANY_BYTES)
        session->ease -= session->ease < EASE_LOST ? session->ease : EASE_LOST;
    else if (session->ease < ORB_SFTP_EASE_MOST)
        session->ease++;
}

void orb_sftp_receive(struct orb_sftp *session)
{
    ssize_t got;
    note_ease(session);
    for (size_t turn = 0; turn < TURN_BYTES; turn += (size_t)got) {
        for (;;) {
            if (session->data && (session->data_left || session->data_beyond))
                drain_line(session);
            if (session->broken || session->dead)
                return;
            if (session->data && (session->data_left || session->data_beyond))
                break;
            if (session->data)
                end_data(session);
            else if (!take_packet(session))
                break;
            if (session->broken || session->dead)
                return;
        }
        if (session->broken || session->dead)
            return;
        got = session->data && session->data_left ? receive_data(session) : receive_line(session);
        if (got <= 0 || session->broken || session->dead)
            return;
    }
}
