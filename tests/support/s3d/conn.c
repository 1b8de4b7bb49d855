/* SPDX-License-Identifier: Apache-2.0
 * One connection: bytes in and out (plain or TLS), HTTP/1.1 heads, framings of bodies. The connection's own thread. */
#include "s3d.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t conn_receive(struct conn *conn, void *buffer, size_t room)
{
    if (conn->dead)
        return -1;
    ssize_t got;
    if (conn->ssl != NULL) {
        got = SSL_read(conn->ssl, buffer, room > (1 << 20) ? 1 << 20 : (int)room);
    } else {
        do
            got = recv(conn->fd, buffer, room, 0);
        while (got < 0 && errno == EINTR);
    }
    if (got <= 0) {
        conn->dead = true;
        return -1;
    }
    return got;
}

bool conn_write(struct conn *conn, const void *bytes, size_t length)
{
    const char *from = bytes;
    while (length > 0 && !conn->dead) {
        ssize_t sent;
        if (conn->ssl != NULL) {
            sent = SSL_write(conn->ssl, from, length > (1 << 20) ? 1 << 20 : (int)length);
        } else {
            do
                sent = send(conn->fd, from, length, MSG_NOSIGNAL);
            while (sent < 0 && errno == EINTR);
        }
        if (sent <= 0) {
            conn->dead = true;
            break;
        }
        from += sent;
        length -= (size_t)sent;
    }
    return !conn->dead;
}

const char *header(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

const char *query_value(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

bool query_has(const struct request *request, const char *name)
{
    return query_value(request, name) != NULL;
}

int64_t query_number(const struct request *request, const char *name, int64_t otherwise)
{
    const char *value = query_value(request, name);
    char *end;
    if (value == NULL || *value == '\0')
        return otherwise;
    long long number = strtoll(value, &end, 10);
    return *end == '\0' ? number : -1;
}

/* ---- bodies --------------------------------------------------------------------------------------- */

/* Bytes off the connection, the buffered ones first. With `buffer` NULL they are thrown away unseen. */
static ssize_t raw_some(struct conn *conn, void *buffer, size_t room)
{
    size_t have = conn->in_end - conn->in_start;
    if (have > 0) {
        if (have > room)
            have = room;
        if (buffer != NULL)
            memcpy(buffer, conn->in + conn->in_start, have);
        conn->in_start += have;
        return (ssize_t)have;
    }
    if (buffer != NULL)
        return conn_receive(conn, buffer, room);
    if (conn->ssl != NULL) {
        if (conn->scratch == NULL)
            conn->scratch = need(malloc(SCRATCH));
        return conn_receive(conn, conn->scratch, room < SCRATCH ? room : SCRATCH);
    }
    ssize_t got;
    do
        got = recv(conn->fd, NULL, room < (4 << 20) ? room : 4 << 20, MSG_TRUNC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        conn->dead = true;
    return got <= 0 ? -1 : got;
}

/* One line of a chunked framing, without its CRLF. */
static bool raw_line(struct conn *conn, char *line, size_t room)
{
    size_t length = 0;
    for (;;) {
        if (conn->in_start == conn->in_end) {
            ssize_t got = conn_receive(conn, conn->in, HEAD_MAX);
            if (got < 0)
                return false;
            conn->in_start = 0;
            conn->in_end = (size_t)got;
        }
        char c = conn->in[conn->in_start++];
        if (c == '\n')
            break;
        if (length + 1 >= room)
            return false;
        line[length++] = c;
    }
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    return true;
}

static bool chunk_size(const char *line, uint64_t *size)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(line, &end, 16);
    if (end == line || errno != 0 || (*end != '\0' && *end != ';'))
        return false;
    *size = value;
    return true;
}

/* The next chunk of HTTP's own chunked framing; false when it is broken. */
static bool frame_next(struct request *request)
{
    char line[4096];
    if (request->framing != FRAMING_CHUNKED) {
        request->frame_end = true;
        return true;
    }
    if (request->body_read > 0 && !raw_line(request->conn, line, sizeof(line)))
        return false;
    if (!raw_line(request->conn, line, sizeof(line)) || !chunk_size(line, &request->frame_left))
        return false;
    if (request->frame_left == 0) {
        request->frame_end = true;
        do
            if (!raw_line(request->conn, line, sizeof(line)))
                return false;
        while (line[0] != '\0');
    }
    return true;
}

static void send_continue(struct request *request)
{
    if (!request->expect_continue)
        return;
    request->expect_continue = false;
    if (!request->fault.no_continue)
        conn_write(request->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

/* By the clock, not by naps: what the bytes took to be made or read is part of their time, and a nap that was too long
 * is made up for, unless the other side kept us waiting for longer than a router's buffer holds. */
void conn_carry(struct request *request, uint64_t bytes)
{
    enum { BUFFERED_US = 50000 };
    if (request->fault.bandwidth <= 0)
        return;
    int64_t now = tick_us();
    if (request->link_us < now - BUFFERED_US)
        request->link_us = request->link_us ? now - BUFFERED_US : now;
    request->link_us += (int64_t)(bytes * 1000000 / (uint64_t)request->fault.bandwidth);
    if (request->link_us > now)
        sleep_us((uint64_t)(request->link_us - now));
}

static ssize_t framed_some(struct request *request, void *buffer, size_t room)
{
    while (request->frame_left == 0 && !request->frame_end)
        if (!frame_next(request))
            return -1;
    if (request->frame_left == 0)
        return 0;
    if (request->fault.upload_stop >= 0) {
        uint64_t stop = (uint64_t)request->fault.upload_stop;
        if (request->body_read >= stop) {
            request->conn->dead = true;
            request->fault.reset_after = true;
            return -1;
        }
        if (room > stop - request->body_read)
            room = (size_t)(stop - request->body_read);
    }
    if (room > request->frame_left)
        room = (size_t)request->frame_left;
    ssize_t got = raw_some(request->conn, buffer, room);
    if (got > 0) {
        request->frame_left -= (uint64_t)got;
        request->body_read += (uint64_t)got;
        conn_carry(request, (uint64_t)got);
    }
    return got;
}

/* A line inside an aws-chunked body, which is itself inside the HTTP framing. */
static bool aws_line(struct request *request, char *line, size_t room)
{
    size_t length = 0;
    for (;;) {
        char c;
        if (framed_some(request, &c, 1) != 1)
            return false;
        if (c == '\n')
            break;
        if (length + 1 >= room)
            return false;
        line[length++] = c;
    }
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    return true;
}

static bool aws_next(struct request *request)
{
    char line[512];
    if (request->aws_begun && !aws_line(request, line, sizeof(line)))
        return false;
    if (request->aws_begun)
        chunk_end(request);
    request->aws_begun = true;
    if (!aws_line(request, line, sizeof(line)) || !chunk_size(line, &request->aws_left))
        return false;
    chunk_begin(request, line);
    if (request->aws_left != 0)
        return true;
    chunk_end(request);
    request->aws_end = true;
    char lines[512] = "";
    while (!(request->frame_end || (request->framing == FRAMING_LENGTH && request->frame_left == 0))) {
        if (!aws_line(request, line, sizeof(line)))
            return false;
        char *colon = strchr(line, ':');
        if (line[0] == '\0')
            break;
        if (strncmp(line, "x-amz-trailer-signature:", 24) == 0)
            chunk_trailer(request, lines, line + 24);
        else if (strlen(lines) + strlen(line) + 2 <= sizeof(lines))
            strcat(strcat(lines, line), "\n");
        if (colon != NULL && strncmp(line, "x-amz-checksum-", 15) == 0) {
            *colon = '\0';
            snprintf(request->trailer_name, sizeof(request->trailer_name), "%.60s", line);
            snprintf(request->trailer_value, sizeof(request->trailer_value), "%.120s",
                     colon + 1 + strspn(colon + 1, " "));
        }
    }
    char rest[64];
    while (framed_some(request, rest, sizeof(rest)) > 0)
        ;
    return true;
}

ssize_t body_read(struct request *request, void *buffer, size_t room)
{
    ssize_t got;
    send_continue(request);
    if (request->body_broken)
        return -1;
    if (!request->aws_chunked) {
        got = framed_some(request, buffer, room);
    } else {
        got = 0;
        while (request->aws_left == 0 && !request->aws_end)
            if (!aws_next(request)) {
                request->body_broken = true;
                return -1;
            }
        if (request->aws_left > 0) {
            got = framed_some(request, buffer, room < request->aws_left ? room : (size_t)request->aws_left);
            if (got > 0) {
                chunk_bytes(request, buffer, (size_t)got);
                request->aws_left -= (uint64_t)got;
            } else {
                got = -1;
            }
        }
    }
    if (got < 0)
        request->body_broken = true;
    return got;
}

bool body_drain(struct request *request)
{
    if (request->framing == FRAMING_NONE || request->body_broken)
        return !request->body_broken;
    if (request->expect_continue) {
        /* The body was not sent yet and never will be: the connection cannot be used again. */
        request->keep_alive = false;
        return true;
    }
    ssize_t got;
    do
        got = framed_some(request, NULL, SIZE_MAX >> 1);
    while (got > 0);
    request->body_broken = got < 0;
    return got == 0;
}

bool body_all(struct request *request, size_t max)
{
    struct text *work = &request->conn->work;
    char piece[16384];
    ssize_t got;
    text_clear(work);
    text_add(work, "", 0);
    while ((got = body_read(request, piece, sizeof(piece))) > 0) {
        if (work->length + (size_t)got > max)
            return false;
        text_add(work, piece, (size_t)got);
    }
    return got == 0;
}

/* ---- heads ----------------------------------------------------------------------------------------- */

/* Waits for a whole head: its length, 0 when the connection ended, -1 when it is too long. */
static ssize_t read_head(struct conn *conn)
{
    size_t seen = 0;
    if (conn->in_start > 0) {
        memmove(conn->in, conn->in + conn->in_start, conn->in_end - conn->in_start);
        conn->in_end -= conn->in_start;
        conn->in_start = 0;
    }
    for (;;) {
        char *end = memmem(conn->in + seen, conn->in_end - seen, "\r\n\r\n", 4);
        if (end != NULL)
            return end + 4 - conn->in;
        seen = conn->in_end < 3 ? 0 : conn->in_end - 3;
        if (conn->in_end >= HEAD_MAX)
            return -1;
        ssize_t got = conn_receive(conn, conn->in + conn->in_end, HEAD_MAX - conn->in_end);
        if (got < 0)
            return 0;
        conn->in_end += (size_t)got;
    }
}

static bool parse_query(struct request *request, char *query)
{
    char *piece;
    while (query != NULL && (piece = strsep(&query, "&")) != NULL) {
        if (*piece == '\0')
            continue;
        if (request->query_count == COUNT_OF(request->query))
            return false;
        char *value = strchr(piece, '=');
        if (value != NULL)
            *value++ = '\0';
        else
            value = piece + strlen(piece);
        url_decode(piece, strlen(piece), true);
        url_decode(value, strlen(value), true);
        request->query[request->query_count++] = (struct pair){piece, value};
    }
    return true;
}

static bool parse_headers(struct request *request, char *at)
{
    while (at != NULL && *at != '\0') {
        char *end = strstr(at, "\r\n");
        if (end != NULL) {
            *end = '\0';
            end += 2;
        }
        char *colon = strchr(at, ':');
        if (*at == '\0')
            break;
        if (colon == NULL || request->header_count == COUNT_OF(request->headers))
            return false;
        *colon = '\0';
        for (char *c = at; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        char *value = colon + 1 + strspn(colon + 1, " \t");
        size_t length = strlen(value);
        while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
            value[--length] = '\0';
        request->headers[request->header_count++] = (struct pair){at, value};
        at = end;
    }
    return true;
}

static bool parse_framing(struct request *request)
{
    const char *length = header(request, "content-length"), *encoding = header(request, "transfer-encoding");
    const char *sha = header(request, "x-amz-content-sha256"), *expect = header(request, "expect");
    if (encoding != NULL && strcasecmp(encoding, "chunked") == 0) {
        request->framing = FRAMING_CHUNKED;
    } else if (length != NULL) {
        char *end;
        errno = 0;
        request->length = strtoull(length, &end, 10);
        if (*length < '0' || *length > '9' || *end != '\0' || errno != 0)
            return false;
        request->framing = request->length == 0 ? FRAMING_NONE : FRAMING_LENGTH;
        request->frame_left = request->length;
    }
    request->frame_end = request->framing == FRAMING_NONE;
    request->aws_chunked = sha != NULL && strncmp(sha, "STREAMING-", 10) == 0;
    request->expect_continue =
        expect != NULL && strcasecmp(expect, "100-continue") == 0 && request->framing != FRAMING_NONE;
    return true;
}

/* Splits the decoded path into bucket and key. */
static void parse_place(struct request *request)
{
    static char none[] = "";
    const char *host = header(request, "host");
    request->bucket = none;
    request->key = none;
    size_t domain = identity.domain == NULL ? 0 : strlen(identity.domain);
    if (domain > 0 && host != NULL) {
        size_t length = strcspn(host, ":");
        if (length > domain + 1 && strncasecmp(host + length - domain, identity.domain, domain) == 0 &&
            host[length - domain - 1] == '.') {
            request->bucket = need(strndup(host, length - domain - 1));
            request->key = request->path + 1;
            request->key_length = request->path_length - 1;
            return;
        }
    }
    char *slash = memchr(request->path + 1, '/', request->path_length - 1);
    if (slash == NULL) {
        request->bucket = need(strdup(request->path + 1));
        return;
    }
    request->bucket = need(strndup(request->path + 1, (size_t)(slash - request->path - 1)));
    request->key = slash + 1;
    request->key_length = request->path_length - (size_t)(slash + 1 - request->path);
}

/* The head is taken apart in a copy, since the connection's buffer is used again while the body is read. */
static bool parse_head(struct request *request, size_t length)
{
    char *line = request->head_copy = need(strndup(request->conn->in, length));
    char *rest = strstr(line, "\r\n");
    if (rest == NULL || strlen(line) != length)
        return false;
    *rest = '\0';
    rest += 2;
    request->method = strsep(&line, " ");
    char *target = strsep(&line, " ");
    if (target == NULL || line == NULL || strncmp(line, "HTTP/1.", 7) != 0 || *target != '/')
        return false;
    request->path = strsep(&target, "?");
    request->path_length = url_decode(request->path, strlen(request->path), false);
    if (strlen(request->path) != request->path_length)
        return false; /* a NUL inside */
    if (!parse_query(request, target) || !parse_headers(request, rest) || !parse_framing(request))
        return false;
    const char *connection = header(request, "connection");
    request->keep_alive = connection == NULL || strcasecmp(connection, "close") != 0;
    if (line[7] == '0')
        request->keep_alive = connection != NULL && strcasecmp(connection, "keep-alive") == 0;
    parse_place(request);
    return true;
}

static void request_free(struct request *request)
{
    if (request->bucket != NULL && request->bucket[0] != '\0')
        free(request->bucket);
    free(request->head_copy);
    text_free(&request->extra);
}

static void abandon(struct conn *conn)
{
    struct linger now = {1, 0}; /* a reset instead of an orderly end */
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    conn->dead = true;
}

void conn_serve(struct conn *conn)
{
    for (bool more = true; more && !conn->dead;) {
        ssize_t length = read_head(conn);
        if (length == 0)
            break;
        static char none[] = "";
        struct request request = {
            .conn = conn, .kind = KIND_Other, .started_ms = now_ms(), .bucket = none, .key = none};
        fault_none(&request.fault);
        if (length < 0 || !parse_head(&request, (size_t)length)) {
            request.keep_alive = false;
            reply_error(&request, 400, "BadRequest", "this is no request that can be understood");
        } else {
            conn->in_start = (size_t)length;
            route(&request);
        }
        if (request.fault.reset_before || request.fault.reset_after)
            abandon(conn);
        more = request.keep_alive && !request.body_broken && request.replied;
        request_free(&request);
        text_clear(&conn->body);
        if (conn->body.room > (1 << 20))
            text_free(&conn->body);
    }
}
