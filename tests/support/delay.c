/* SPDX-License-Identifier: Apache-2.0
 * A TCP proxy that is far away: each byte arrives so many milliseconds later, in both directions, at any rate. It can lose
 * connections, too. A tool, not a test; one thread. Bytes wait in pipes and are never copied (splice), so that what is
 * measured through it is not the proxy.
 *
 *   delay --to PORT [--port N] [--port-file FILE] [--ms N] [--cut BYTES] [--cuts N]
 *     --ms N       one way; a round trip takes twice as long
 *     --cut BYTES  a connection is reset when so many bytes came from the server, --cuts of them (1), later ones are not
 *   SIGUSR1 resets all connections there are. SIGTERM ends it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 << 10) /* what a pipe takes */
#define QUEUED_MAX  ((size_t)64 << 20) /* a direction holds at most so much: rate × delay */
#define CONNECTIONS 64
#define NS_A_MS     1000000ll
#define ROUND_NS    200000ll /* what comes within it is moved together: a byte may be that much later */

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t left; /* in the pipe */
    int in, out;
};

/* From one socket to the other. */
struct way {
    int from, to;
    struct chunk *first, **last;
    size_t queued;
    uint64_t bytes;
    bool ended;  /* nothing more comes */
    bool closed; /* and that was told */
};

struct connection {
    bool used, cut;
    struct way up, down; /* to the server, from it */
};

static struct connection connections[CONNECTIONS];
static struct chunk *idle; /* empty ones */
static volatile sig_atomic_t reset_all, stop;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        reset_all = 1;
    else
        stop = 1;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void prepare(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* Every kernel has it. One that paces (bbr, where that is usual) sets a timer for each packet, which would cost more than
     * all that is done here. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void way_init(struct way *way, int from, int to)
{
    memset(way, 0, sizeof *way);
    way->from = from;
    way->to = to;
    way->last = &way->first;
}

/* NULL: there are no more descriptors, which is as good as a full queue while others hold bytes. */
static struct chunk *chunk_take(void)
{
    struct chunk *chunk = idle;
    int ends[2];
    if (chunk) {
        idle = chunk->next;
        return chunk;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return NULL;
    if (!(chunk = calloc(1, sizeof *chunk)))
        die("memory");
    chunk->out = ends[0];
    chunk->in = ends[1];
    return chunk;
}

static void chunk_give(struct chunk *chunk)
{
    chunk->next = idle;
    idle = chunk;
}

static void way_empty(struct way *way)
{
    while (way->first) {
        struct chunk *chunk = way->first;
        way->first = chunk->next;
        close(chunk->in);
        close(chunk->out);
        free(chunk);
    }
}

static void drop(struct connection *connection)
{
    struct linger at_once = {1, 0}; /* a reset, not an orderly end */
    (void)setsockopt(connection->up.from, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)setsockopt(connection->up.to, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection->up.from);
    close(connection->up.to);
    way_empty(&connection->up);
    way_empty(&connection->down);
    connection->used = false;
}

static void accept_one(int listener, int to_port, bool cut)
{
    int client = accept(listener, NULL, NULL);
    if (client < 0)
        return;
    struct connection *connection = connections;
    while (connection < connections + CONNECTIONS && connection->used)
        connection++;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(to_port);
    if (server < 0 || connection == connections + CONNECTIONS ||
        connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        struct linger at_once = {1, 0};
        (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(client);
        if (server >= 0)
            close(server);
        return;
    }
    prepare(client);
    prepare(server);
    way_init(&connection->up, client, server);
    way_init(&connection->down, server, client);
    connection->used = true;
    connection->cut = cut;
}

/* False: the connection is lost. */
static bool way_read(struct way *way, int64_t delay_ns)
{
    while (!way->ended && way->queued < QUEUED_MAX) {
        struct chunk *chunk = chunk_take();
        if (!chunk)
            return true;
        ssize_t length = splice(way->from, NULL, chunk->in, NULL, CHUNK_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (length <= 0) {
            bool fine = length == 0 || errno == EAGAIN || errno == EINTR;
            way->ended = length == 0;
            chunk_give(chunk);
            return fine;
        }
        chunk->next = NULL;
        chunk->due_ns = now_ns() + delay_ns;
        chunk->left = (size_t)length;
        *way->last = chunk;
        way->last = &chunk->next;
        way->queued += chunk->left;
    }
    return true;
}

static bool way_write(struct way *way)
{
    int64_t now = now_ns();
    while (way->first && way->first->due_ns <= now) {
        struct chunk *chunk = way->first;
        unsigned more = chunk->next && chunk->next->due_ns <= now ? SPLICE_F_MORE : 0;
        ssize_t length = splice(chunk->out, NULL, way->to, NULL, chunk->left, SPLICE_F_NONBLOCK | SPLICE_F_MOVE | more);
        if (length < 0)
            return errno == EAGAIN || errno == EINTR;
        chunk->left -= (size_t)length;
        way->bytes += (uint64_t)length;
        way->queued -= (size_t)length;
        if (chunk->left > 0)
            return true;
        if (!(way->first = chunk->next))
            way->last = &way->first;
        chunk_give(chunk);
    }
    if (way->ended && !way->first && !way->closed) {
        way->closed = true;
        (void)shutdown(way->to, SHUT_WR);
    }
    return true;
}

/* What a way waits for: room to write what is due, or bytes to read. */
static void way_watch(const struct way *way, struct pollfd *from, struct pollfd *to, int64_t *next_ns)
{
    if (!way->ended && way->queued < QUEUED_MAX)
        from->events |= POLLIN;
    if (!way->first)
        return;
    if (way->first->due_ns <= now_ns())
        to->events |= POLLOUT;
    else if (!*next_ns || way->first->due_ns < *next_ns)
        *next_ns = way->first->due_ns;
}

/* Sleeps until the round that began at `began_ns` has lasted. */
static void rest(int64_t began_ns)
{
    int64_t left = began_ns + ROUND_NS - now_ns();
    struct timespec nap = {0, left};
    if (left > 0)
        (void)nanosleep(&nap, NULL);
}

static void serve(int listener, int to_port, int64_t delay_ns, uint64_t cut_bytes, unsigned cuts)
{
    int64_t began_ns = 0;
    sigset_t ours, outside;
    sigemptyset(&ours);
    sigaddset(&ours, SIGUSR1);
    sigaddset(&ours, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ours, &outside);
    sigdelset(&outside, SIGUSR1); /* whatever we were started with */
    sigdelset(&outside, SIGTERM);
    while (!stop) {
        struct pollfd fds[2 * CONNECTIONS + 1] = {{listener, POLLIN, 0}};
        int64_t next_ns = 0;
        for (int i = 0; i < CONNECTIONS; i++) {
            struct connection *connection = &connections[i];
            struct pollfd *client = &fds[2 * i + 1], *server = client + 1;
            client->fd = server->fd = -1;
            if (!connection->used)
                continue;
            way_watch(&connection->up, client, server, &next_ns);
            way_watch(&connection->down, server, client, &next_ns);
            client->fd = client->events ? connection->up.from : -1;
            server->fd = server->events ? connection->up.to : -1;
        }
        rest(began_ns);
        struct timespec nap = {0, 0};
        int64_t left = next_ns ? next_ns - now_ns() : 0;
        if (left > 0)
            nap = (struct timespec){left / 1000000000, left % 1000000000};
        (void)ppoll(fds, 2 * CONNECTIONS + 1, next_ns ? &nap : NULL, &outside); /* the only place where signals come */
        began_ns = now_ns();
        for (int i = 0; i < CONNECTIONS; i++) {
            struct connection *connection = &connections[i];
            if (!connection->used)
                continue;
            bool fine = way_read(&connection->up, delay_ns) && way_read(&connection->down, delay_ns) &&
                        way_write(&connection->up) && way_write(&connection->down);
            if (connection->cut && connection->down.bytes >= cut_bytes)
                fine = false;
            if (!fine || reset_all || (connection->up.closed && connection->down.closed))
                drop(connection);
        }
        reset_all = 0;
        if (fds[0].revents) {
            accept_one(listener, to_port, cuts > 0);
            cuts -= cuts > 0;
        }
    }
}

int main(int argc, char **argv)
{
    int to = 0, port = 0;
    long ms = 0;
    unsigned long long cut = 0, cuts = 1;
    const char *port_file = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--to"))
            to = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--port"))
            port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--port-file"))
            port_file = argv[i + 1];
        else if (!strcmp(argv[i], "--ms"))
            ms = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--cut"))
            cut = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--cuts"))
            cuts = strtoull(argv[i + 1], NULL, 10);
    }
    if (!to || argc % 2 == 0) {
        fprintf(stderr, "usage: delay --to PORT [--port N] [--port-file FILE] [--ms N] [--cut BYTES] [--cuts N]\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(port);
    socklen_t length = sizeof address;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        die("cannot listen");
    FILE *file = port_file ? fopen(port_file, "w") : stdout;
    if (!file || fprintf(file, "%d\n", ntohs(address.sin_port)) < 0 || (port_file ? fclose(file) : fflush(file)) != 0)
        die("cannot write the port");
    serve(listener, to, ms * NS_A_MS, cut, cut ? (unsigned)cuts : 0);
    return 0;
}
