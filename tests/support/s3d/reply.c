/* SPDX-License-Identifier: Apache-2.0
 * Replies, and the faults that concern them: lengths that lie, bodies that end early, stall or lose a bit. */
#include "s3d.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 416:
        return "Range Not Satisfiable";
    case 503:
        return "Slow Down";
    default:
        return "Said";
    }
}

void reply_header(struct request *request, const char *format, ...)
{
    va_list args;
    char line[2600];
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length > 0 && (size_t)length < sizeof(line)) {
        text_add(&request->extra, line, (size_t)length);
        text_str(&request->extra, "\r\n");
    }
}

static bool in_chunks(const struct request *request)
{
    return request->lengthless && request->fault.no_length == 1 && request->kind != KIND_HeadObject;
}

static void make_head(struct request *request, int status, const char *type, uint64_t length)
{
    static atomic_uint_fast64_t ids;
    struct text *head = &request->conn->head;
    text_clear(head);
    if (request->fault.garbage) {
        text_str(head, "\x16\x03garbage\r\n\r\n\r\n");
        request->keep_alive = false;
        return;
    }
    if (request->fault.close || (request->lengthless && request->fault.no_length == 2))
        request->keep_alive = false;
    text_format(head, "HTTP/1.1 %d %s\r\nServer: s3d\r\nx-amz-request-id: S3D%013llX\r\nDate: ", status, reason(status),
                (unsigned long long)atomic_fetch_add(&ids, 1));
    text_http_date(head, now_ms() + atomic_load(&settings.clock_offset_s) * 1000);
    text_str(head, "\r\n");
    if (type != NULL)
        text_format(head, "Content-Type: %s\r\n", type);
    if (in_chunks(request))
        text_str(head, "Transfer-Encoding: chunked\r\n");
    else if (status != 204 && status != 304 && !request->lengthless)
        text_format(head, "Content-Length: %lld\r\n", (long long)length + (long long)request->fault.wrong_length);
    if (!request->keep_alive)
        text_str(head, "Connection: close\r\n");
    if (request->fault.retry_after >= 0)
        text_format(head, "Retry-After: %d\r\n", request->fault.retry_after);
    if (request->extra.length > 0)
        text_add(head, request->extra.bytes, request->extra.length);
    text_str(head, "\r\n");
}

/* The effect took place; whether the client hears of it is another matter. */
static bool reply_lost(struct request *request)
{
    if (!request->fault.reset_after && !request->fault.lost)
        return false;
    request->keep_alive = false;
    request->conn->dead = true;
    return true;
}

bool reply_head(struct request *request, int status, const char *type, uint64_t length)
{
    request->replied = true;
    request->status = status;
    if (!body_drain(request) || reply_lost(request))
        return false;
    make_head(request, status, type, length);
    return true;
}

/* Pauses that a rule asked for, and how many of the bytes at `done` may go out now: 0 ends the body. */
static uint64_t body_allowed(struct request *request, uint64_t done, uint64_t left)
{
    struct fault *fault = &request->fault;
    if (fault->cut >= 0) {
        if (done >= (uint64_t)fault->cut) {
            request->conn->dead = true;
            return 0;
        }
        if (left > (uint64_t)fault->cut - done)
            left = (uint64_t)fault->cut - done;
    }
    if (fault->stall >= 0) {
        if (done >= (uint64_t)fault->stall) {
            sleep_ms(fault->stall_ms == 0 ? 3600000 : fault->stall_ms);
            fault->stall = -1;
        } else if (left > (uint64_t)fault->stall - done) {
            left = (uint64_t)fault->stall - done;
        }
    }
    if (fault->bandwidth > 0 && left > (uint64_t)fault->bandwidth / 20 + 1)
        left = (uint64_t)fault->bandwidth / 20 + 1;
    return left;
}

static void body_paced(struct request *request, uint64_t sent)
{
    request->sent += sent;
    conn_carry(request, sent);
}

static bool send_piece(struct request *request, const char *bytes, uint64_t done, size_t length)
{
    int64_t at = request->fault.corrupt;
    if (at < 0 || (uint64_t)at < done || (uint64_t)at >= done + length)
        return conn_write(request->conn, bytes, length);
    char other = (char)(bytes[(uint64_t)at - done] ^ 0x10);
    size_t before = (size_t)((uint64_t)at - done);
    return conn_write(request->conn, bytes, before) && conn_write(request->conn, &other, 1) &&
           conn_write(request->conn, bytes + before + 1, length - before - 1);
}

/* Whatever a rule wants to be wrong with it, and as a chunk where there is no length. */
static bool send_flipped(struct request *request, const char *bytes, uint64_t done, size_t length)
{
    char line[24];
    if (!in_chunks(request))
        return send_piece(request, bytes, done, length);
    int head = snprintf(line, sizeof(line), "%zx\r\n", length);
    return conn_write(request->conn, line, (size_t)head) && send_piece(request, bytes, done, length) &&
           conn_write(request->conn, "\r\n", 2);
}

static void send_memory(struct request *request, const char *bytes, uint64_t *done, uint64_t length)
{
    while (length > 0 && !request->conn->dead) {
        uint64_t piece = body_allowed(request, *done, length);
        if (piece == 0 || !send_flipped(request, bytes, *done, (size_t)piece))
            break;
        bytes += piece;
        *done += piece;
        length -= piece;
        body_paced(request, piece);
    }
}

static bool plain_fault(const struct fault *fault)
{
    return fault->cut < 0 && fault->stall < 0 && fault->bandwidth == 0 && fault->corrupt < 0;
}

void reply(struct request *request, int status, const char *type, const void *body, size_t length)
{
    struct conn *conn = request->conn;
    if (request->fault.truncate >= 0 && length > (size_t)request->fault.truncate)
        length = (size_t)request->fault.truncate;
    if (!reply_head(request, status, type, length))
        return;
    bool head_only = strcmp(request->method == NULL ? "" : request->method, "HEAD") == 0 || request->fault.garbage;
    if (head_only || length == 0) {
        conn_write(conn, conn->head.bytes, conn->head.length);
    } else if (conn->ssl == NULL && plain_fault(&request->fault)) {
        struct iovec pieces[2] = {{conn->head.bytes, conn->head.length}, {(void *)(uintptr_t)body, length}};
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
        ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            conn->dead = true;
        } else if ((size_t)sent < conn->head.length) {
            conn_write(conn, conn->head.bytes + sent, conn->head.length - (size_t)sent);
            conn_write(conn, body, length);
        } else {
            size_t gone = (size_t)sent - conn->head.length;
            conn_write(conn, (const char *)body + gone, length - gone);
        }
        request->sent = length;
    } else {
        uint64_t done = 0;
        conn_write(conn, conn->head.bytes, conn->head.length);
        send_memory(request, body, &done, length);
    }
    if (request->fault.wrong_length != 0)
        request->keep_alive = false;
}

void reply_empty(struct request *request, int status)
{
    reply(request, status, NULL, "", 0);
}

void reply_xml(struct request *request, int status)
{
    reply(request, status, "application/xml", request->conn->body.bytes, request->conn->body.length);
}

void reply_error(struct request *request, int status, const char *code, const char *message)
{
    struct text *body = &request->conn->body;
    text_clear(body);
    text_str(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    text_str(body, code);
    text_str(body, "</Code><Message>");
    text_xml(body, message, strlen(message));
    text_str(body, "</Message><BucketName>");
    text_xml(body, request->bucket, strlen(request->bucket));
    text_str(body, "</BucketName>");
    if (strcmp(code, "AuthorizationHeaderMalformed") == 0)
        text_format(body, "<Region>%s</Region>", identity.region);
    text_str(body, "<RequestId>S3D</RequestId></Error>");
    request->fault.truncate = -1;
    reply_xml(request, status);
}

/* ---- long bodies --------------------------------------------------------------------------------------- */

static void cork(struct conn *conn, int on)
{
    if (conn->ssl == NULL)
        setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static void stream_pattern(struct request *request, uint64_t seed, uint64_t offset, uint64_t length, uint64_t *done)
{
    struct conn *conn = request->conn;
    while (length > 0 && !conn->dead) {
        uint64_t at = (seed + offset) % PATTERN_PERIOD, piece = body_allowed(request, *done, length);
        if (piece > PATTERN_ROOM - at)
            piece = PATTERN_ROOM - at;
        if (piece == 0)
            break;
        if (conn->ssl != NULL || request->fault.corrupt >= 0 || in_chunks(request)) {
            if (!send_flipped(request, (const char *)pattern_bytes() + at, *done, (size_t)piece))
                break;
        } else {
            off_t from = (off_t)at;
            ssize_t sent = sendfile(conn->fd, pattern_fd(), &from, (size_t)piece);
            if (sent < 0 && errno == EINTR)
                continue;
            if (sent <= 0) {
                conn->dead = true;
                break;
            }
            piece = (uint64_t)sent;
        }
        offset += piece;
        length -= piece;
        *done += piece;
        body_paced(request, piece);
    }
}

static void stream_object(struct request *request, const struct object *object, uint64_t offset, uint64_t length,
                          uint64_t *done)
{
    for (size_t i = 0; i < object->segment_count && length > 0 && !request->conn->dead; i++) {
        const struct segment *segment = &object->segments[i];
        if (offset >= segment->length) {
            offset -= segment->length;
            continue;
        }
        uint64_t piece = segment->length - offset < length ? segment->length - offset : length;
        send_memory(request, (const char *)segment->blob->bytes + offset, done, piece);
        length -= piece;
        offset = 0;
    }
}

void reply_stream(struct request *request, const struct stream_source *source, uint64_t offset, uint64_t length)
{
    struct conn *conn = request->conn;
    uint64_t done = 0;
    bool pattern = source->object == NULL;
    /* Head and first bytes leave in one packet; a small body leaves with it in one call. */
    if (pattern && conn->ssl == NULL && plain_fault(&request->fault) && length <= 65536 && !in_chunks(request)) {
        uint64_t at = (source->seed + offset) % PATTERN_PERIOD;
        text_add(&conn->head, (const char *)pattern_bytes() + at, (size_t)length);
        conn_write(conn, conn->head.bytes, conn->head.length);
        request->sent = length;
    } else {
        cork(conn, 1);
        conn_write(conn, conn->head.bytes, conn->head.length);
        if (request->fault.stall >= 0 || request->fault.cut >= 0)
            cork(conn, 0);
        if (pattern)
            stream_pattern(request, source->seed, offset, length, &done);
        else
            stream_object(request, source->object, offset, length, &done);
        if (in_chunks(request) && !conn->dead)
            conn_write(conn, "0\r\n\r\n", 5);
        cork(conn, 0);
    }
    if (request->fault.wrong_length != 0)
        request->keep_alive = false;
}
