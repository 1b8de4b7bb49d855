/* SPDX-License-Identifier: Apache-2.0
 * One request on a curl handle: its options, the callbacks that move its bytes, and the watch over its progress.
 * The lane's thread only. */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/http_lane.h"

enum {
    LARGE_BUFFER = 256 << 10,
    SMALL_BUFFER = 16 << 10,
    DROP_MAX = 1 << 20,
    STALL_BYTES_PER_S = 1024,
    CONTINUE_MS = 1000,
    HEADERS_MAX = 256 << 10 /* of a reply, trailers and interim replies among them: curl keeps them all */
};

/* Something came or went: see tell_silence(). */
static void note_life(struct orb_http_request *request)
{
    request->life = request->sent + request->received + request->dropped + request->connected + request->head_seen;
    request->life_ns = orb_now_ns();
}

/* ---- the reply ----------------------------------------------------------------------------------- */

static bool stop(struct orb_http_request *request, orbit_status status, const char *what)
{
    if (request->status >= 0) {
        request->status = status;
        if (request->error.status != (int32_t)status)
            (void)orb_fail(&request->error, status, 0, "%s", what);
    }
    return false;
}

/* "HTTP/1.1 206 Partial Content" begins a block of headers; the last block is the reply's. */
static void begin_block(struct orb_http_request *request, const char *line, size_t length)
{
    const char *space = memchr(line, ' ', length);
    int status = 0;
    if (space && line + length - space > 3)
        for (int i = 1; i <= 3; i++)
            status = space[i] >= '0' && space[i] <= '9' ? status * 10 + space[i] - '0' : -1000;
    request->http_status = status > 0 ? status : 0;
}

static bool end_block(struct orb_http_request *request)
{
    if (request->http_status >= 100 && request->http_status < 200)
        return true; /* 100 Continue and its kin: another block follows */
    request->head_seen = true;
    note_life(request);
    if (request->events->head) {
        orbit_status status = request->events->head(request, &request->take);
        if (status < 0)
            return stop(request, status, "the reply's headers are not acceptable");
    }
    if (request->take == ORB_HTTP_SINK && !request->sink)
        request->take = ORB_HTTP_MEMORY;
    return true;
}

static bool too_many_headers(struct orb_http_request *request)
{
    char peer[160];
    orb_http_peer(peer, sizeof peer, request->url);
    request->status =
        orb_fail(&request->error, ORBIT_E_PROTOCOL, 0, "%s sent more than %d KiB of headers", peer, HEADERS_MAX >> 10);
    return false;
}

static size_t on_header(char *line, size_t one, size_t count, void *user)
{
    struct orb_http_request *request = user;
    size_t all = one * count, length = all;
    request->header_bytes += all;
    if (request->header_bytes > HEADERS_MAX && !too_many_headers(request))
        return 0;
    while (length && (line[length - 1] == '\r' || line[length - 1] == '\n'))
        length--;
    if (length > 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_block(request, line, length);
        return all;
    }
    if (!length)
        return request->head_seen || end_block(request) ? all : 0;
    if (request->http_status < 200 || !request->events->header || request->head_seen)
        return all; /* of an interim reply, or a trailer */

    char name[128], *value, spare[1024], *copy = spare;
    const char *colon = memchr(line, ':', length);
    if (!colon || (size_t)(colon - line) >= sizeof name)
        return all;
    size_t name_length = (size_t)(colon - line);
    for (size_t i = 0; i < name_length; i++)
        name[i] = (char)(line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 32 : line[i]);
    name[name_length] = '\0';
    size_t at = name_length + 1;
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    while (length > at && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    size_t value_length = length - at;
    if (value_length >= sizeof spare && !(copy = orb_malloc(value_length + 1))) {
        stop(request, orb_fail_memory(&request->error), "");
        return 0;
    }
    value = copy;
    memcpy(value, line + at, value_length);
    value[value_length] = '\0';
    request->events->header(request, name, value);
    if (copy != spare)
        orb_free(copy);
    return all;
}

orbit_status orb_http_transfer_commit(struct orb_http_request *request)
{
    if (!request->room)
        return ORBIT_OK;
    size_t filled = request->filled;
    request->room = NULL;
    request->room_length = request->filled = 0;
    return request->sink->commit(request->sink, filled);
}

static void mark_dirty(struct orb_http_request *request)
{
    if (request->dirty || !request->room)
        return;
    request->dirty = true;
    request->dirty_next = request->lane->dirty;
    request->lane->dirty = request;
}

/* Copies into the sink. After a pause in mid-block curl brings the same block again, perhaps with more behind:
 * `skip` remembers what was taken of it. */
static size_t to_sink(struct orb_http_request *request, const char *bytes, size_t length)
{
    size_t at = request->skip;
    request->skip = 0;
    if (request->sink_skip) {
        size_t n = length - at < request->sink_skip ? length - at : (size_t)request->sink_skip;
        at += n;
        request->sink_skip -= n;
        request->dropped += n;
    }
    while (at < length) {
        if (request->received >= request->sink_max) {
            request->enough = true;
            return CURL_WRITEFUNC_ERROR;
        }
        uint64_t left = request->sink_max - request->received;
        if (!request->room && length - at <= left && request->sink->take &&
            request->sink->take(request->sink, bytes + at, length - at)) {
            request->received += length - at;
            return length;
        }
        if (!request->room) {
            size_t want = left > SIZE_MAX ? 0 : (size_t)left;
            request->room = request->sink->acquire(request->sink, want, &request->room_length);
            request->filled = 0;
            if (!request->room) {
                request->skip = at;
                request->paused = true;
                return CURL_WRITEFUNC_PAUSE;
            }
        }
        size_t n = length - at;
        if (n > request->room_length - request->filled)
            n = request->room_length - request->filled;
        if (n > left)
            n = (size_t)left;
        memcpy(request->room + request->filled, bytes + at, n);
        at += n;
        request->filled += n;
        request->received += n;
        if (request->filled == request->room_length) {
            orbit_status status = orb_http_transfer_commit(request);
            if (status < 0) {
                stop(request, status, "the receiver of the bytes went away");
                return CURL_WRITEFUNC_ERROR;
            }
        }
    }
    mark_dirty(request);
    return length;
}

static size_t to_memory(struct orb_http_request *request, const char *bytes, size_t length)
{
    struct orb_buf *memory = &request->memory;
    size_t fits = memory->max - memory->length;
    if (fits > length)
        fits = length;
    if (fits && !orb_buf_append(memory, bytes, fits)) {
        stop(request, orb_fail_memory(&request->error), "");
        return CURL_WRITEFUNC_ERROR;
    }
    request->dropped += length - fits;
    if (request->dropped > DROP_MAX) { /* nobody needs to wait for the end of that */
        request->enough = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return length;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *user)
{
    struct orb_http_request *request = user;
    size_t length = one * count;
    if (request->take == ORB_HTTP_SINK) {
        size_t taken = to_sink(request, bytes, length);
        note_life(request);
        return taken;
    }
    request->received += length;
    note_life(request);
    if (request->take == ORB_HTTP_MEMORY)
        return to_memory(request, bytes, length);
    orbit_status status = request->events->feed(request, bytes, length);
    if (status >= 0)
        return length;
    stop(request, status, "the reply's body is not acceptable");
    return CURL_WRITEFUNC_ERROR;
}

/* ---- the body ------------------------------------------------------------------------------------ */

static size_t on_read(char *into, size_t one, size_t count, void *user)
{
    struct orb_http_request *request = user;
    orbit_body *body = request->body;
    size_t room = one * count, given = 0;
    while (given < room && request->sent < body->length) {
        const void *bytes = NULL;
        size_t length = 0;
        orbit_status status = request->starved ? ORBIT_AGAIN : body->peek(body, &bytes, &length);
        if (status == ORBIT_AGAIN) {
            request->starved = true; /* not to be asked again before it has called */
            if (given)
                break;
            request->paused = true;
            return CURL_READFUNC_PAUSE;
        }
        if (status != ORBIT_OK || !length) {
            if (status >= 0)
                stop(request, ORBIT_E_IO, "the source of the bytes ended before the length that was promised");
            else
                stop(request, status, "the source of the bytes failed");
            return CURL_READFUNC_ABORT;
        }
        if (length > room - given)
            length = room - given;
        if (length > body->length - request->sent)
            length = (size_t)(body->length - request->sent);
        memcpy(into + given, bytes, length);
        if (request->events->sending)
            request->events->sending(request, into + given, length);
        body->consume(body, length);
        given += length;
        request->sent += length;
    }
    if (request->sent == body->length)
        request->body_ended = true;
    note_life(request);
    return given;
}

/* curl wants to send the body once more, because a resting connection turned out to be dead. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct orb_http_request *request = user;
    if (origin != SEEK_SET || offset != 0 || !request->body)
        return CURL_SEEKFUNC_CANTSEEK;
    if (request->sent == 0)
        return CURL_SEEKFUNC_OK;
    if (request->once)
        return CURL_SEEKFUNC_CANTSEEK;
    if (request->body->rewind(request->body) < 0)
        return CURL_SEEKFUNC_CANTSEEK;
    request->sent = request->mark_bytes = 0;
    request->body_ended = false;
    if (request->starved) { /* at its beginning it has something, and nobody would say so */
        request->starved = false;
        orb_http_resume(request);
    }
    if (request->events->rewound)
        request->events->rewound(request);
    return CURL_SEEKFUNC_OK;
}

/* What a server sends on a connection that nobody has asked anything of would be taken for the reply to the next
 * request: bytes of one object for those of another. curl looks whether a connection that rested has ended, and
 * takes bytes for life. Under TLS there may rightly be some (session tickets), and no stranger's. */
static bool is_spoilt(struct orb_http_request *request, int own_port)
{
    return !request->connected && !request->fresh && strncasecmp(request->url, "http:", 5) == 0 &&
           orb_http_reused(request) &&
           (request->site->unix_socket ? orb_http_lane_has_local_stray(request->lane)
                                       : orb_http_lane_has_stray(request->lane, own_port));
}

/* The connection is there and the request goes out now. */
static int on_connected(void *user, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct orb_http_request *request = user;
    (void)peer_ip, (void)own_ip, (void)peer_port;
    if (is_spoilt(request, own_port)) {
        request->spoilt = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (request->connected && request->once) {
        char peer[160];
        orb_http_peer(peer, sizeof peer, request->url);
        request->status =
            orb_fail(&request->error, ORBIT_E_NETWORK, 0, "%s closed the connection without a reply", peer);
        request->error.flags |= ORBIT_ERROR_RETRIABLE;
        return CURL_PREREQFUNC_ABORT;
    }
    request->connected = true;
    note_life(request);
    request->mark_ns = request->life_ns;
    return CURL_PREREQFUNC_OK;
}

/* ---- set-up -------------------------------------------------------------------------------------- */

/* curl only reads the list: its nodes lie over the request's own header lines. */
static struct curl_slist *list_headers(struct orb_http_request *request)
{
    static char no_expect[] = "Expect:", do_expect[] = "Expect: 100-continue";
    struct orb_buf *lines = &request->headers;
    size_t count = 1;
    for (size_t i = 0; i < lines->length; i++)
        count += lines->bytes[i] == '\0';
    struct curl_slist *list = orb_calloc(count, sizeof *list);
    if (!list)
        return NULL;
    char *at = lines->bytes;
    for (size_t i = 0; i + 1 < count; i++) {
        list[i] = (struct curl_slist){at, &list[i + 1]};
        at += strlen(at) + 1;
    }
    list[count - 1] = (struct curl_slist){request->expect ? do_expect : no_expect, NULL};
    request->header_list = list;
    return list;
}

static void set_method(CURL *curl, struct orb_http_request *request)
{
    if (request->body) {
        orb_curl.easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        orb_curl.easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body->length);
        orb_curl.easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        orb_curl.easy_setopt(curl, CURLOPT_READDATA, request);
        orb_curl.easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        orb_curl.easy_setopt(curl, CURLOPT_SEEKDATA, request);
        if (strcmp(request->method, "PUT") != 0)
            orb_curl.easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    } else if (strcmp(request->method, "HEAD") == 0) {
        orb_curl.easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, "GET") != 0) {
        orb_curl.easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

bool orb_http_transfer_setup(struct orb_http_request *request)
{
    CURL *curl = request->easy->curl;
    struct curl_slist *headers = list_headers(request);
    if (!headers)
        return false;
    orb_curl.easy_reset(curl);
    request->easy->text[0] = '\0';
    request->socket = -1;
    orb_curl.easy_setopt(curl, CURLOPT_PRIVATE, request);
    orb_curl.easy_setopt(curl, CURLOPT_ERRORBUFFER, request->easy->text);
    if (orb_curl.easy_setopt(curl, CURLOPT_URL, request->url) != CURLE_OK)
        return false;
    orb_curl.easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* ".." in a key is a key, not a way up */
    orb_curl.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    orb_curl.easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    orb_curl.easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    orb_curl.easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for the name server */
    orb_curl.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->site->connect_timeout_ms);
    orb_curl.easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)CONTINUE_MS);
    orb_curl.easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    orb_curl.easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 10L);
    orb_curl.easy_setopt(curl, CURLOPT_BUFFERSIZE, request->large ? (long)LARGE_BUFFER : (long)SMALL_BUFFER);
    orb_curl.easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE,
                         request->large && request->body ? (long)LARGE_BUFFER : (long)SMALL_BUFFER);
    orb_curl.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    orb_curl.easy_setopt(curl, CURLOPT_USERAGENT, "orbit");
    orb_curl.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    orb_curl.easy_setopt(curl, CURLOPT_HEADERDATA, request);
    orb_curl.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    orb_curl.easy_setopt(curl, CURLOPT_WRITEDATA, request);
    orb_curl.easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connected);
    orb_curl.easy_setopt(curl, CURLOPT_PREREQDATA, request);
    orb_curl.easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, orb_http_lane_open_socket);
    orb_curl.easy_setopt(curl, CURLOPT_OPENSOCKETDATA, request->lane);
    orb_curl.easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, orb_http_lane_close_socket);
    orb_curl.easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, request->lane);
    orb_curl.easy_setopt(curl, CURLOPT_FRESH_CONNECT, request->fresh ? 1L : 0L);
    set_method(curl, request);
    orb_curl.easy_setopt(curl, CURLOPT_SHARE, request->lane->share);
    orb_http_site_apply(curl, request->site);
    return true;
}

/* ---- progress ------------------------------------------------------------------------------------ */

/* Bytes that crossed the network so far. What was given to the kernel but not acknowledged by the peer has not. */
static uint64_t moved(const struct orb_http_request *request)
{
    uint64_t sent = request->sent;
    int queued = 0;
    if (sent && request->socket >= 0 && ioctl(request->socket, SIOCOUTQ, &queued) == 0 && queued > 0)
        sent -= (uint64_t)queued < sent ? (uint64_t)queued : sent; /* the head, and what TLS adds, are queued as well */
    return sent + request->received + request->dropped;
}

static bool timed_out(struct orb_http_request *request, const char *what, uint64_t ms)
{
    char peer[160];
    orb_http_peer(peer, sizeof peer, request->url);
    request->status =
        orb_fail(&request->error, ORBIT_E_TIMEOUT, 0, "%s %s for %.3g seconds", peer, what, (double)ms / 1000.0);
    request->error.flags |= ORBIT_ERROR_RETRIABLE;
    request->sent_all = !request->body || request->body_ended;
    return false;
}

/* What note_life() saw as it happened does not count once more; bytes that leave the kernel are seen here alone. */
static void tell_silence(struct orb_http_request *request, uint64_t now_ns)
{
    if (!request->events->silent)
        return;
    uint64_t life = moved(request) + request->connected + request->head_seen;
    if (request->paused || life != request->life)
        request->life_ns = now_ns;
    request->life = life;
    request->events->silent(request, request->life_ns < now_ns ? request->life_ns : 0);
}

bool orb_http_transfer_alive(struct orb_http_request *request, uint64_t now_ns)
{
    tell_silence(request, now_ns);
    uint64_t first_ms =
        request->first_byte_timeout_ms ? request->first_byte_timeout_ms : request->site->first_byte_timeout_ms;
    uint64_t stall_ms = request->site->stall_timeout_ms;
    if (request->paused) { /* it is us who wait */
        request->mark_ns = now_ns;
        return true;
    }
    if (!request->connected) /* curl's own limit ends that; ours is for the case that it does not */
        return now_ns - request->mark_ns < ((uint64_t)request->site->connect_timeout_ms + 10000) * ORB_MS ||
               timed_out(request, "cannot be reached", request->site->connect_timeout_ms);

    uint64_t bytes = moved(request), waited_ms = (now_ns - request->mark_ns) / ORB_MS;
    uint64_t gained = bytes > request->mark_bytes ? bytes - request->mark_bytes : 0;
    bool waiting = !request->head_seen && (!request->body || request->body_ended);
    if (waiting || request->patient) {
        if (gained) {
            request->mark_ns = now_ns;
            request->mark_bytes = bytes;
            return true;
        }
        return waited_ms < first_ms || timed_out(request, "sent no reply", first_ms);
    }
    if (waited_ms < stall_ms)
        return true;
    if (gained < stall_ms * STALL_BYTES_PER_S / 1000)
        return timed_out(request, "moved less than 1 KiB/s", stall_ms);
    request->mark_ns = now_ns;
    request->mark_bytes = bytes;
    return true;
}
