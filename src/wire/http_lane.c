/* SPDX-License-Identifier: Apache-2.0
 * One lane: curl's multi interface on a libuv loop. The lane's thread only.
 *
 * curl tells which sockets it wants watched; they are kept in an epoll set of our own that libuv watches as one
 * descriptor. libuv would drop and add a descriptor for each change of interest, and curl changes it several
 * times a request; here an idle connection simply stays in the set, and most requests need no change at all. */
#include "wire/http_lane.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

/* Bits of lane->interest. */
enum { WANT_IN = 1, WANT_OUT = 2, KNOWN = 4, RESTING = 8, OURS = 16, HELD = 32 };
enum { CONNECTIONS_MAX = 64, EVENTS = 64, TICK_MS = 200, SOCKETS_MAX = 1 << 20 };

static void turn(struct orb_http_lane *lane);

/* ---- sockets ------------------------------------------------------------------------------------- */

static bool make_room(struct orb_http_lane *lane, curl_socket_t socket)
{
    size_t index = (size_t)socket;
    if (socket < 0 || index >= SOCKETS_MAX)
        return false;
    if (index < lane->interest_count)
        return true;
    size_t count = (index | 63) + 1, more = count - lane->interest_count;
    uint8_t *grown = orb_realloc(lane->interest, count);
    if (!grown)
        return false;
    lane->interest = grown;
    memset(grown + lane->interest_count, 0, more);
    lane->interest_count = count;
    return true;
}

static bool watch_socket(struct orb_http_lane *lane, curl_socket_t socket, unsigned want)
{
    if (!make_room(lane, socket))
        return false;
    uint8_t *known = &lane->interest[socket];
    unsigned ours = *known & OURS;
    if ((*known & ~(RESTING | OURS)) == (int)(want | KNOWN)) {
        *known = (uint8_t)(want | KNOWN | ours);
        return true;
    }
    struct epoll_event event = {0};
    event.events = (want & WANT_IN ? (uint32_t)EPOLLIN : 0) | (want & WANT_OUT ? (uint32_t)EPOLLOUT : 0);
    event.data.fd = socket;
    int failed = epoll_ctl(lane->poll_fd, *known & KNOWN ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
    *known = (uint8_t)((failed ? 0 : want | KNOWN) | ours);
    return !failed;
}

/* curl may tell of a descriptor of its own (its resolver's) when that is closed and the number another thread's: it is
 * not in our set then, and the kernel just says so. A plain system call, since there is nothing to be synchronised. */
static void forget_socket(struct orb_http_lane *lane, curl_socket_t socket)
{
    if (socket >= 0 && (size_t)socket < lane->interest_count && (lane->interest[socket] & KNOWN)) {
        struct epoll_event event = {0};
        (void)syscall(SYS_epoll_ctl, lane->poll_fd, EPOLL_CTL_DEL, socket, &event);
        lane->interest[socket] &= OURS;
    }
}

/* NULL: it is a handle of curl's own. */
static struct orb_http_request *request_of(CURL *curl)
{
    struct orb_http_request *request = NULL;
    return orb_curl.easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&request) == CURLE_OK ? request : NULL;
}

/* What a transfer wants watched is its connection, or a descriptor of the resolver's. Each one tells at its first wait,
 * on a connection that rested, too. */
static void note_connection(struct orb_http_lane *lane, CURL *curl, curl_socket_t socket)
{
    struct orb_http_request *request = request_of(curl);
    if (request && socket >= 0 && (size_t)socket < lane->interest_count && lane->interest[socket] & OURS)
        request->socket = socket;
}

static int on_socket(CURL *curl, curl_socket_t socket, int what, void *user, void *socket_user)
{
    struct orb_http_lane *lane = user;
    (void)socket_user;
    if (what != CURL_POLL_REMOVE) {
        unsigned want = (what & CURL_POLL_IN ? WANT_IN : 0u) | (what & CURL_POLL_OUT ? WANT_OUT : 0u);
        note_connection(lane, curl, socket);
        return watch_socket(lane, socket, want) ? 0 : -1;
    }
    /* The connection rests, or is about to be closed. One that waits to be read stays watched: the next request
     * on it will want just that. Not so curl's own descriptors (of its resolver): their end is not told. A transfer
     * that waits for us has nothing watched, though bytes may wait for it. */
    if (socket >= 0 && (size_t)socket < lane->interest_count) {
        struct orb_http_request *request = request_of(curl), *paused = request && request->paused ? request : NULL;
        if (lane->interest[socket] == (WANT_IN | KNOWN | OURS) && !paused)
            lane->interest[socket] |= RESTING;
        else
            forget_socket(lane, socket);
        if (paused) {
            lane->interest[socket] |= HELD;
            paused->held = socket;
        }
    }
    return 0;
}

/* Without memory it is not looked at, no more. */
static void note_socket(struct orb_http_lane *lane, int fd, bool is_local)
{
    if (!make_room(lane, fd))
        return;
    if (lane->socket_count == lane->socket_room) {
        size_t room = lane->socket_room + 16;
        struct orb_http_socket *grown = orb_realloc(lane->sockets, room * sizeof *grown);
        if (!grown)
            return;
        lane->sockets = grown;
        lane->socket_room = room;
    }
    lane->sockets[lane->socket_count++] = (struct orb_http_socket){.fd = fd, .is_local = is_local};
    lane->interest[fd] = OURS; /* whatever was known of the number was of another descriptor */
}

curl_socket_t orb_http_lane_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct orb_http_lane *lane = user;
    (void)purpose;
    int made = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (made >= 0)
        note_socket(lane, made, address->family == AF_UNIX);
    return made < 0 ? CURL_SOCKET_BAD : made;
}

int orb_http_lane_close_socket(void *user, curl_socket_t socket)
{
    struct orb_http_lane *lane = user;
    forget_socket(lane, socket);
    if (socket >= 0 && (size_t)socket < lane->interest_count)
        lane->interest[socket] = 0;
    for (size_t i = 0; i < lane->socket_count; i++)
        if (lane->sockets[i].fd == socket) {
            lane->sockets[i] = lane->sockets[--lane->socket_count];
            break;
        }
    for (struct orb_http_request *request = lane->active; request; request = request->next)
        if (request->socket == socket)
            request->socket = -1; /* curl may go on with it on another connection */
    return close(socket);
}

static uint16_t port_of(struct orb_http_socket *socket)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_storage room;
    } own = {0};
    socklen_t length = sizeof own;
    if (!socket->port && !socket->is_local && getsockname(socket->fd, &own.any, &length) == 0)
        socket->port = ntohs(own.any.sa_family == AF_INET    ? own.four.sin_port
                             : own.any.sa_family == AF_INET6 ? own.six.sin6_port
                                                             : 0);
    return socket->port;
}

/* curl tells the port of the connection that it is about to use, and not its descriptor. Two may have the same port at
 * different addresses of ours: then it is not known which one is meant. */
bool orb_http_lane_has_stray(struct orb_http_lane *lane, int port)
{
    int found = -1;
    char byte;
    for (size_t i = 0; port > 0 && i < lane->socket_count; i++) {
        if (port_of(&lane->sockets[i]) != port)
            continue;
        if (found >= 0)
            return false;
        found = lane->sockets[i].fd;
    }
    return found >= 0 && (recv(found, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR));
}

/* Which of them is about to be used, nobody tells. Where another one was meant, a new connection costs next to nothing
 * here; and since the one at hand is closed, the one that has bytes is met in the end. */
bool orb_http_lane_has_local_stray(struct orb_http_lane *lane)
{
    char byte;
    for (size_t i = 0; i < lane->socket_count; i++) {
        int fd = lane->sockets[i].fd;
        unsigned known = lane->interest[fd];
        bool in_use = (known & KNOWN && !(known & RESTING)) || known & HELD;
        if (lane->sockets[i].is_local && !in_use && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
            return true;
    }
    return false;
}

static void on_sockets(uv_poll_t *poll, int status, int events)
{
    struct orb_http_lane *lane = poll->data;
    struct epoll_event ready[EVENTS];
    (void)status, (void)events;
    int count = epoll_wait(lane->poll_fd, ready, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        int socket = ready[i].data.fd, running = 0, mask = 0;
        uint32_t got = ready[i].events;
        if ((size_t)socket >= lane->interest_count || !(lane->interest[socket] & KNOWN))
            continue; /* closed by what an earlier event of this round led to */
        if (lane->interest[socket] & RESTING) {
            forget_socket(lane, socket); /* the peer hung up; curl notices before it uses the connection again */
            continue;
        }
        mask |= got & EPOLLIN ? CURL_CSELECT_IN : 0;
        mask |= got & EPOLLOUT ? CURL_CSELECT_OUT : 0;
        mask |= got & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_IN | CURL_CSELECT_ERR : 0;
        orb_curl.multi_socket_action(lane->multi, socket, mask, &running);
    }
    turn(lane);
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    struct orb_http_lane *lane = timer->data;
    lane->timer_due = true;
    turn(lane);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct orb_http_lane *lane = user;
    (void)multi;
    lane->timer_due = timeout_ms == 0; /* turn() takes care of that without a round through the loop */
    if (timeout_ms > 0) {
        uv_update_time(lane->timer.loop);
        uv_timer_start(&lane->timer, on_timer, (uint64_t)timeout_ms, 0);
    } else {
        uv_timer_stop(&lane->timer);
    }
    return 0;
}

static void finish(struct orb_http_request *request);

static void on_tick(uv_timer_t *tick)
{
    struct orb_http_lane *lane = tick->data;
    uint64_t now = orb_now_ns();
    for (struct orb_http_request *request = lane->active, *next; request; request = next) {
        next = request->next;
        if (!orb_http_transfer_alive(request, now))
            finish(request);
    }
    turn(lane);
}

/* ---- requests ------------------------------------------------------------------------------------ */

static struct orb_http_easy *take_easy(struct orb_http_lane *lane)
{
    if (lane->idle_count)
        return lane->idle[--lane->idle_count];
    struct orb_http_easy *easy = orb_calloc(1, sizeof *easy);
    if (easy && !(easy->curl = orb_curl.easy_init())) {
        orb_free(easy);
        return NULL;
    }
    return easy;
}

static void give_easy(struct orb_http_lane *lane, struct orb_http_easy *easy)
{
    if (lane->idle_count < ORB_HTTP_IDLE_MAX && !lane->stop_message.deliver) {
        lane->idle[lane->idle_count++] = easy;
        return;
    }
    orb_curl.easy_cleanup(easy->curl);
    orb_free(easy);
}

/* Takes the request off the lane: status and error are filled. */
static void finish(struct orb_http_request *request)
{
    struct orb_http_lane *lane = request->lane;
    if (request->dirty) {
        struct orb_http_request **at = &lane->dirty;
        while (*at != request)
            at = &(*at)->dirty_next;
        *at = request->dirty_next;
        request->dirty = false;
    }
    if (request->easy) {
        orb_curl.multi_remove_handle(lane->multi, request->easy->curl);
        give_easy(lane, request->easy);
        request->easy = NULL;
    }
    orbit_status status = orb_http_transfer_commit(request);
    if (status < 0 && request->status >= 0)
        request->status = orb_fail(&request->error, status, 0, "the receiver of the bytes went away");
    orb_free(request->header_list);
    request->header_list = NULL;
    if (request->link) {
        *request->link = request->next;
        if (request->next)
            request->next->link = request->link;
        request->link = NULL;
        if (!lane->active)
            uv_timer_stop(&lane->tick);
    }
    orb_http_finish(request);
}

static void commit_dirty(struct orb_http_lane *lane)
{
    struct orb_http_request *request;
    while ((request = lane->dirty)) {
        lane->dirty = request->dirty_next;
        request->dirty = false;
        orbit_status status = orb_http_transfer_commit(request);
        if (status < 0) {
            request->status = orb_fail(&request->error, status, 0, "the receiver of the bytes went away");
            finish(request);
        }
    }
}

/* On a connection of its own, as if it had not begun. False: it failed. */
static bool go_anew(struct orb_http_request *request)
{
    struct orb_http_lane *lane = request->lane;
    orb_curl.multi_remove_handle(lane->multi, request->easy->curl);
    orb_free(request->header_list);
    request->header_list = NULL;
    request->spoilt = false;
    request->fresh = true;
    if (orb_http_transfer_setup(request) && orb_curl.multi_add_handle(lane->multi, request->easy->curl) == CURLM_OK)
        return true;
    request->status = orb_fail_memory(&request->error);
    return false;
}

/* After anything that may have moved a transfer: due timers, hand out what arrived, finish what is over. */
static void turn(struct orb_http_lane *lane)
{
    int rounds = 0, running = 0, left = 0;
    if (!lane->open)
        return;
    do {
        if (lane->timer_due) {
            lane->timer_due = false;
            orb_curl.multi_socket_action(lane->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        commit_dirty(lane);
        CURLMsg *message;
        while ((message = orb_curl.multi_info_read(lane->multi, &left))) {
            struct orb_http_request *request = NULL;
            if (message->msg != CURLMSG_DONE ||
                orb_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request) != CURLE_OK ||
                !request)
                continue;
            if (request->spoilt && request->status >= 0 && go_anew(request))
                continue;
            orb_http_classify(request, message->data.result);
            finish(request);
        }
    } while (lane->timer_due && ++rounds < 16);
    if (lane->timer_due) /* others want their turn as well */
        uv_timer_start(&lane->timer, on_timer, 0, 0);
}

static orbit_status open_lane(struct orb_http_lane *lane, orbit_error *error);

void orb_http_lane_start(struct orb_http_lane *lane, struct orb_http_request *request)
{
    if (!lane->open && open_lane(lane, &request->error) < 0) {
        request->status = (orbit_status)request->error.status;
        finish(request);
        return;
    }
    request->easy = take_easy(lane);
    if (!request->easy || !orb_http_transfer_setup(request)) {
        if (request->status >= 0)
            request->status = orb_fail_memory(&request->error);
        finish(request);
        return;
    }
    CURLMcode code = orb_curl.multi_add_handle(lane->multi, request->easy->curl);
    if (code != CURLM_OK) {
        request->status = orb_fail(&request->error, ORBIT_E_MEMORY, (int)code, "cannot start an HTTP request: %s",
                                   orb_curl.multi_strerror(code));
        finish(request);
        return;
    }
    if (!lane->active)
        uv_timer_start(&lane->tick, on_tick, TICK_MS, TICK_MS);
    request->next = lane->active;
    if (request->next)
        request->next->link = &request->next;
    request->link = &lane->active;
    lane->active = request;
    turn(lane);
}

void orb_http_lane_control(struct orb_http_request *request)
{
    struct orb_http_lane *lane = request->lane;
    if (request->cancelled) {
        request->status = orb_fail(&request->error, ORBIT_E_CANCELLED, 0, "cancelled");
        finish(request);
    } else if (request->paused && !request->starved) {
        request->paused = false;
        request->mark_ns = orb_now_ns();
        if (request->held >= 0 && (size_t)request->held < lane->interest_count)
            lane->interest[request->held] &= (uint8_t)~HELD;
        request->held = -1;
        CURLcode code = orb_curl.easy_pause(request->easy->curl, CURLPAUSE_CONT);
        if (code != CURLE_OK) {
            orb_http_classify(request, code);
            finish(request);
        }
    }
    turn(lane);
}

/* ---- begin and end ------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct orb_http_lane *lane = handle->data;
    if (--lane->handles == 0)
        orb_http_drop(lane->http);
}

static void drop_curl(struct orb_http_lane *lane)
{
    while (lane->idle_count) {
        struct orb_http_easy *easy = lane->idle[--lane->idle_count];
        orb_curl.easy_cleanup(easy->curl);
        orb_free(easy);
    }
    if (lane->multi)
        orb_curl.multi_cleanup(lane->multi);
    if (lane->share)
        orb_curl.share_cleanup(lane->share);
    if (lane->poll_fd >= 0)
        close(lane->poll_fd);
    orb_free(lane->interest);
    orb_free(lane->sockets);
    lane->multi = NULL;
    lane->share = NULL;
    lane->poll_fd = -1;
    lane->interest = NULL;
    lane->sockets = NULL;
    lane->interest_count = lane->socket_count = lane->socket_room = 0;
}

static orbit_status open_lane(struct orb_http_lane *lane, orbit_error *error)
{
    uv_loop_t *uv = orb_loop_uv(lane->loop);
    lane->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    lane->multi = lane->poll_fd >= 0 ? orb_curl.multi_init() : NULL;
    lane->share = orb_curl.share_init();
    if (!lane->multi || !lane->share || uv_poll_init(uv, &lane->poll, lane->poll_fd) != 0) {
        int number = lane->poll_fd < 0 ? errno : ENOMEM;
        drop_curl(lane);
        return orb_fail_errno(error, number, "cannot set up the network");
    }
    orb_curl.share_setopt(lane->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    orb_curl.multi_setopt(lane->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    uv_timer_init(uv, &lane->timer);
    uv_timer_init(uv, &lane->tick);
    lane->poll.data = lane->timer.data = lane->tick.data = lane;
    lane->handles = 3;
    uv_poll_start(&lane->poll, UV_READABLE, on_sockets);
    lane->open = true;
    return ORBIT_OK;
}

void orb_http_lane_stop(struct orb_message *message)
{
    struct orb_http_lane *lane =
        (struct orb_http_lane *)((char *)message - offsetof(struct orb_http_lane, stop_message));
    if (!lane->open) {
        orb_http_drop(lane->http);
        return;
    }
    uv_poll_stop(&lane->poll);
    drop_curl(lane);
    lane->open = false;
    uv_close((uv_handle_t *)&lane->poll, on_closed);
    uv_close((uv_handle_t *)&lane->timer, on_closed);
    uv_close((uv_handle_t *)&lane->tick, on_closed);
}
