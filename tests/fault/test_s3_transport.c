/* SPDX-License-Identifier: Apache-2.0
 * What lies between us and an endpoint: redirects, proxies, sockets, client certificates, names with several addresses,
 * and bodies that are better not sent. */
#include "resolver.h"
#include "s3fault.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- servers of our own --------------------------------------------------------------------------------- */

enum { HEAD_MAX = 16384, PEERS_MAX = 64 };

/* Accepts until it is stopped; each connection gets a thread of its own. */
struct server {
    int listener, port;
    pthread_t thread, talkers[PEERS_MAX];
    int sockets[PEERS_MAX];
    size_t count;
    void (*talk)(struct server *server, int socket, const char *head, size_t length);
    const char *reply;
    const char *wanted_user; /* of a proxy: "Basic …", nullable */
    pthread_mutex_t mutex;
    char last[HEAD_MAX];                               /* the latest head */
    unsigned connections, tunnels, forwarded, seen[4]; /* seen: by the last number of our address */
};

struct talker {
    struct server *server;
    int socket;
};

static void say(int socket, const char *text)
{
    (void)!send(socket, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads up to the end of a head; its length with the blank line, 0 when there is none. */
static size_t take_head(int socket, char *head, size_t *have)
{
    *have = 0;
    for (;;) {
        head[*have] = '\0';
        char *end = strstr(head, "\r\n\r\n");
        if (end)
            return (size_t)(end - head) + 4;
        ssize_t got = recv(socket, head + *have, HEAD_MAX - 1 - *have, 0);
        if (got <= 0)
            return 0;
        *have += (size_t)got;
    }
}

static void *talk_to(void *ctx)
{
    struct talker talker = *(struct talker *)ctx;
    struct server *server = talker.server;
    char *head = malloc(HEAD_MAX);
    size_t have = 0;
    free(ctx);
    if (take_head(talker.socket, head, &have)) {
        pthread_mutex_lock(&server->mutex);
        memcpy(server->last, head, have + 1);
        pthread_mutex_unlock(&server->mutex);
        server->talk(server, talker.socket, head, have);
    }
    free(head);
    shutdown(talker.socket, SHUT_RDWR);
    return NULL;
}

static void *serve(void *ctx)
{
    struct server *server = ctx;
    int fd;
    while (server->count < PEERS_MAX && (fd = accept(server->listener, NULL, NULL)) >= 0) {
        struct sockaddr_in own = {0};
        socklen_t length = sizeof(own);
        struct talker *talker = malloc(sizeof(*talker));
        (void)getsockname(fd, (struct sockaddr *)&own, &length);
        *talker = (struct talker){server, fd};
        pthread_mutex_lock(&server->mutex);
        server->connections++;
        server->seen[ntohl(own.sin_addr.s_addr) & 3]++;
        pthread_mutex_unlock(&server->mutex);
        server->sockets[server->count] = fd;
        if (pthread_create(&server->talkers[server->count++], NULL, talk_to, talker) != 0)
            abort();
    }
    return NULL;
}

static void server_start(struct server *server, void (*talk)(struct server *, int, const char *, size_t),
                         const char *reply)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    memset(server, 0, sizeof(*server));
    pthread_mutex_init(&server->mutex, NULL);
    server->talk = talk;
    server->reply = reply;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 64), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &length), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->count; i++)
        shutdown(server->sockets[i], SHUT_RDWR);
    for (size_t i = 0; i < server->count; i++) {
        pthread_join(server->talkers[i], NULL);
        close(server->sockets[i]);
    }
    close(server->listener);
    pthread_mutex_destroy(&server->mutex);
}

static void talk_reply(struct server *server, int socket, const char *head, size_t length)
{
    (void)head, (void)length;
    say(socket, server->reply);
}

/* ---- redirects ------------------------------------------------------------------------------------------ */

static orbit_status look(void)
{
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    orbit_call_options options = ORBIT_CALL_OPTIONS_INIT;
    static const uint8_t key[32] = {1, 2, 3};
    options.sse_customer_key = key;
    memset(&told, 0, sizeof(told));
    orbit_status status = orbit_stat(at.store, "gen-1K", &options, &metadata, &told);
    orbit_metadata_release(&metadata);
    return status;
}

static void redirects_carry_nothing_to_another_host(void **state)
{
    (void)state;
    static const int codes[] = {301, 302, 307, 308};
    struct server other;
    server_start(&other, talk_reply, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct server first;
        char reply[256], url[64];
        uint8_t bytes[100] = {7};
        size_t count;
        snprintf(reply, sizeof(reply),
                 "HTTP/1.1 %d Elsewhere\r\nLocation: http://localhost:%d/bucket/gen-1K\r\nContent-Length: 0\r\n"
                 "Connection: close\r\n\r\n",
                 codes[i], other.port);
        server_start(&first, talk_reply, reply);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d", first.port);
        at.config.endpoint = url;
        at.config.region = "us-east-1";
        s3fault_reopen();
        expect(ORBIT_E_CONFIG, look(), &told, "looking", __FILE__, __LINE__);
        assert_non_null(strstr(first.last, "Authorization:") ? first.last : strstr(first.last, "authorization:"));
        assert_non_null(strstr(first.last, "customer-key:"));
        assert_true(write_bytes("x", bytes, sizeof(bytes), &told) < 0);
        assert_true(read_back("x", bytes, sizeof(bytes), &told) < 0);
        assert_true(list_count("", false, &count, &told) < 0);
        assert_true(first.connections >= 4);
        server_stop(&first);
    }
    assert_int_equal(other.connections, 0);
    server_stop(&other);
}

/* ---- proxies -------------------------------------------------------------------------------------------- */

/* Carries bytes both ways until either side ends. */
static void join(int a, int b)
{
    struct pollfd ends[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    char bytes[16384];
    while (poll(ends, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            if (!ends[i].revents)
                continue;
            ssize_t got = recv(ends[i].fd, bytes, sizeof(bytes), 0);
            for (ssize_t at_byte = 0, sent; at_byte < got; at_byte += sent)
                if ((sent = send(ends[1 - i].fd, bytes + at_byte, (size_t)(got - at_byte), MSG_NOSIGNAL)) <= 0)
                    return;
            if (got <= 0)
                return;
        }
}

static int connect_to(const char *authority)
{
    const char *colon = strrchr(authority, ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    address.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "80"));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A proxy: CONNECT for TLS, absolute addresses otherwise. One that forwards keeps to one server a connection. */
static void talk_proxy(struct server *server, int socket, const char *head, size_t length)
{
    char authority[128] = "";
    const char *user = strstr(head, "Proxy-Authorization: ");
    bool tunnel = strncmp(head, "CONNECT ", 8) == 0;
    if (server->wanted_user && (!user || strncmp(user + 21, server->wanted_user, strlen(server->wanted_user)) != 0)) {
        say(socket, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n"
                    "Connection: close\r\n\r\n");
        return;
    }
    if (tunnel)
        (void)sscanf(head + 8, "%127[^ ]", authority);
    else if (sscanf(head, "%*s http://%127[^/]", authority) != 1)
        return;
    pthread_mutex_lock(&server->mutex);
    server->tunnels += tunnel;
    server->forwarded += !tunnel;
    pthread_mutex_unlock(&server->mutex);
    int fd = connect_to(authority);
    if (fd < 0) {
        say(socket, "HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    if (tunnel) {
        say(socket, "HTTP/1.1 200 Here you are\r\n\r\n");
        join(socket, fd);
    } else { /* the scripted endpoint takes addresses only without host: the first request's is made so */
        const char *path = strchr(strstr(head, "http://") + 7, '/');
        char method[16];
        (void)sscanf(head, "%15s", method);
        (void)!send(fd, method, strlen(method), MSG_NOSIGNAL);
        (void)!send(fd, " ", 1, MSG_NOSIGNAL);
        const char *line = strstr(head, "\r\n") + 2;
        (void)!send(fd, path, (size_t)(line - path), MSG_NOSIGNAL);
        say(fd, "Connection: close\r\n");
        (void)!send(fd, line, length - (size_t)(line - head), MSG_NOSIGNAL);
        join(socket, fd);
    }
    close(fd);
}

static void no_proxies(void)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",   "all_proxy",
                                        "ALL_PROXY",  "no_proxy",   "NO_PROXY",    "REQUEST_METHOD"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
}

static char logged[1 << 20];
static void keep_line(void *ctx, orbit_log_level level, const char *line)
{
    size_t used = strlen(logged);
    (void)ctx, (void)level;
    if (used + strlen(line) + 2 < sizeof(logged))
        sprintf(logged + used, "%s\n", line);
}

static void another_client(const orbit_client_options *options)
{
    orbit_backend_close(at.store);
    at.store = NULL;
    orbit_client_close(at.client);
    OK(orbit_client_open(&at.client, options, &told));
}

static void logging_client(void)
{
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.log = (orbit_log){keep_line, NULL, ORBIT_LOG_TRACE};
    logged[0] = '\0';
    another_client(&options);
}

static void http_goes_by_way_of_the_proxy_that_the_environment_names(void **state)
{
    (void)state;
    struct server proxy;
    char url[96];
    server_start(&proxy, talk_proxy, NULL);
    proxy.wanted_user = "Basic dXNlcjpzd29yZGZpc2g="; /* user:swordfish */
    snprintf(url, sizeof(url), "http://user:swordfish@127.0.0.1:%d", proxy.port);
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};
    logging_client();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        no_proxies();
        setenv(names[i], url, 1);
        s3fault_reopen();
        unsigned before = proxy.forwarded;
        OK(write_bytes("by-proxy", "12345", 5, &told));
        OK(read_back("by-proxy", "12345", 5, &told));
        assert_true(proxy.forwarded > before);
    }
    no_proxies(); /* in a web server HTTP_PROXY is a stranger's header */
    setenv("HTTP_PROXY", url, 1);
    setenv("REQUEST_METHOD", "GET", 1);
    unsigned before = proxy.connections;
    s3fault_reopen();
    OK(read_back("by-proxy", "12345", 5, &told));
    no_proxies();
    setenv("http_proxy", url, 1);
    setenv("no_proxy", "example.com,127.0.0.1", 1);
    s3fault_reopen();
    OK(read_back("by-proxy", "12345", 5, &told));
    assert_int_equal(proxy.connections, before);
    no_proxies();
    snprintf(url, sizeof(url), "http://user:wrong-swordfish@127.0.0.1:%d", proxy.port);
    setenv("http_proxy", url, 1);
    s3fault_reopen();
    EXPECT(ORBIT_E_AUTH, write_bytes("by-proxy", "12345", 5, &told));
    assert_non_null(strstr(told.message, "proxy"));
    assert_null(strstr(told.message, "swordfish"));
    assert_true(strlen(logged) > 0);
    assert_null(strstr(logged, "swordfish"));
    no_proxies();
    server_stop(&proxy);
}

struct tls {
    struct endpoint endpoint;
    char ca[4200], pem[4200], key[4200], client[4200], client_key[4200];
};

static void start_tls(struct tls *tls, bool wants_client)
{
    const char *directory = endpoint_tls_dir();
    snprintf(tls->pem, sizeof(tls->pem), "%s/server.pem", directory);
    snprintf(tls->key, sizeof(tls->key), "%s/server.key", directory);
    snprintf(tls->client, sizeof(tls->client), "%s/client.pem", directory);
    snprintf(tls->client_key, sizeof(tls->client_key), "%s/client.key", directory);
    snprintf(tls->ca, sizeof(tls->ca), "%s/ca.pem", directory);
    endpoint_start(&tls->endpoint, "--store", "--set", "part_min=64K", "--tls-cert", tls->pem, "--tls-key", tls->key,
                   wants_client ? "--tls-client-ca" : NULL, tls->ca, NULL);
    at.config.endpoint = tls->endpoint.url;
    at.config.ca_bundle = tls->ca;
}

static void https_goes_through_a_tunnel(void **state)
{
    (void)state;
    struct server proxy;
    struct tls tls;
    char url[96];
    start_tls(&tls, false);
    server_start(&proxy, talk_proxy, NULL);
    proxy.wanted_user = "Basic dXNlcjpzd29yZGZpc2g=";
    no_proxies();
    snprintf(url, sizeof(url), "http://user:swordfish@127.0.0.1:%d", proxy.port);
    setenv("HTTPS_PROXY", url, 1);
    logging_client();
    s3fault_reopen();
    OK(write_bytes("tunnelled", "12345", 5, &told));
    OK(read_back("tunnelled", "12345", 5, &told));
    assert_true(proxy.tunnels >= 1);
    assert_null(strstr(proxy.last, "AWS4")); /* it sees no request */
    snprintf(url, sizeof(url), "http://user:wrong-swordfish@127.0.0.1:%d", proxy.port);
    setenv("HTTPS_PROXY", url, 1);
    s3fault_reopen();
    EXPECT(ORBIT_E_AUTH, read_back("tunnelled", "12345", 5, &told));
    assert_non_null(strstr(told.message, "407"));
    assert_null(strstr(told.message, "swordfish"));
    assert_null(strstr(logged, "swordfish"));
    no_proxies();
    endpoint_stop(&tls.endpoint);
    server_stop(&proxy);
}

/* ---- sockets, certificates, addresses --------------------------------------------------------------------- */

static void endpoint_may_be_a_socket_of_this_machine(void **state)
{
    (void)state;
    char directory[] = "/tmp/orbit-unix-XXXXXX", path[64];
    struct endpoint endpoint;
    uint8_t *bytes = make_bytes(3 * CHUNK + 5, 1);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/s3", directory);
    endpoint_start(&endpoint, "--store", "--set", "part_min=64K", "--unix", path, NULL);
    at.config.endpoint = NULL;
    at.config.unix_socket = path;
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* not asked */
    s3fault_reopen();
    no_proxies();
    OK(write_bytes("a", bytes, 3 * CHUNK + 5, &told));
    OK(read_back("a", bytes, 3 * CHUNK + 5, &told));
    assert_true(endpoint_count(&endpoint, "requests.UploadPart") >= 3);
    endpoint_stop(&endpoint);
    unlink(path);
    at.options.retry_attempts = 10;
    s3fault_reopen();
    EXPECT(ORBIT_E_CONNECT, write_bytes("a", "1", 1, &told));
    assert_non_null(strstr(told.message, path));
    rmdir(directory);
    free(bytes);
}

/* Bytes wait on the connection of a transfer that stands still, and are no stranger's: others go on with theirs. */
static void download_that_stands_still_on_a_socket_is_no_stray(void **state)
{
    (void)state;
    enum { LARGE = 32 << 20, LOOKS = 40 };
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    char directory[] = "/tmp/orbit-unix-XXXXXX", path[64], byte;
    struct endpoint endpoint;
    orbit_reader *reader = NULL;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/s3", directory);
    endpoint_start(&endpoint, "--store", "--unix", path, NULL);
    endpoint_control(&endpoint, "fault?op=GetObject&ignore_range=1");
    at.config.endpoint = NULL;
    at.config.unix_socket = path;
    options.lanes = 1; /* both on one */
    another_client(&options);
    s3fault_reopen();
    OK(orbit_read(&reader, at.store, "gen-33554432", NULL, &told));
    size_t got = 0;
    OK(orbit_reader_read(reader, &byte, 1, &got, &told));
    usleep(300000); /* until nothing more is taken */
    int64_t before = endpoint_count(&endpoint, "connections");
    for (int i = 0; i < LOOKS; i++) {
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        OK(orbit_stat(at.store, "gen-33554432", NULL, &metadata, &told));
        orbit_metadata_release(&metadata);
    }
    assert_true(endpoint_count(&endpoint, "connections") - before <= 4);
    assert_true(endpoint_count(&endpoint, "sent") < LARGE);
    orbit_reader_close(reader);
    endpoint_stop(&endpoint);
    unlink(path);
    rmdir(directory);
}

static void endpoint_may_want_a_certificate_from_us(void **state)
{
    (void)state;
    struct tls tls;
    start_tls(&tls, true);
    at.options.retry_attempts = 2;
    s3fault_reopen();
    assert_true(write_bytes("a", "12345", 5, &told) < 0);
    at.config.client_cert = tls.client;
    at.config.client_key = tls.client_key;
    s3fault_reopen();
    OK(write_bytes("a", "12345", 5, &told));
    OK(read_back("a", "12345", 5, &told));
    at.config.client_cert = at.config.client_key = NULL;
    setenv("ORBIT_CLIENT_CERT", tls.client, 1);
    setenv("ORBIT_CLIENT_KEY", tls.client_key, 1);
    s3fault_reopen();
    unsetenv("ORBIT_CLIENT_CERT");
    OK(read_back("a", "12345", 5, &told));
    orbit_backend *none = NULL;
    EXPECT(ORBIT_E_CONFIG, orbit_open_s3(&none, at.client, &at.config, &at.options, &told)); /* a key alone */
    unsetenv("ORBIT_CLIENT_KEY");
    at.config.client_cert = "/nowhere/client.pem";
    s3fault_reopen();
    EXPECT(ORBIT_E_CONFIG, read_back("a", "12345", 5, &told));
    assert_non_null(strstr(told.message, "/nowhere/client.pem"));
    endpoint_stop(&tls.endpoint);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void endpoint_may_be_an_ipv6_address(void **state)
{
    (void)state;
    struct endpoint endpoint;
    char url[64];
    if (!has_ipv6()) {
        at.config.endpoint = "http://[::1]:1";
        s3fault_reopen();
        EXPECT(ORBIT_E_CONNECT, write_bytes("a", "1", 1, &told));
        assert_non_null(strstr(told.message, "[::1]:1"));
        return;
    }
    endpoint_start(&endpoint, "--store", "--host", "::1", NULL);
    snprintf(url, sizeof(url), "http://[::1]:%d", endpoint.port);
    at.config.endpoint = url;
    s3fault_reopen();
    OK(write_bytes("a", "12345", 5, &told));
    OK(read_back("a", "12345", 5, &told));
    endpoint_stop(&endpoint);
}

/* Chance decides, so enough connections are made for each address to be chosen: missing one of three has a
 * probability of 3 * (2/3)^40, one in three million. */
static void requests_are_spread_over_the_addresses_of_a_name(void **state)
{
    (void)state;
    struct server server;
    char url[64];
    server_start(&server, talk_reply,
                 "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: \"x\"\r\nConnection: close\r\n\r\n");
    resolver_many = 3;
    snprintf(url, sizeof(url), "http://many.test:%d", server.port);
    at.config.endpoint = url;
    s3fault_reopen();
    for (size_t i = 0; i < 40; i++)
        expect(ORBIT_OK, look(), &told, "looking", __FILE__, __LINE__);
    assert_int_equal(server.connections, 40);
    for (size_t i = 1; i <= 3; i++)
        assert_true(server.seen[i] > 0);
    server_stop(&server);
}

/* ---- bodies ----------------------------------------------------------------------------------------------- */

static void refused_body_is_not_sent(void **state)
{
    (void)state;
    const size_t size = 6 << 20;
    uint8_t *bytes = make_bytes(size, 2);
    struct endpoint_request request;
    at.options.chunk_size = 8 << 20;
    at.options.stall_timeout_ms = 10000;
    s3fault_reopen();
    FAULT("op=PutObject&status=403&code=AccessDenied&count=1");
    EXPECT(ORBIT_E_PERMISSION, write_bytes("denied", bytes, size, &told));
    assert_true(endpoint_await_request(&at.endpoint, "PutObject", 0, &request));
    assert_int_equal(request.status, 403);
    assert_true(request.received < 1 << 20);
    OK(write_bytes("fine", bytes, size, &told)); /* asked again, since nothing has been allowed yet */
    OK(read_back("fine", bytes, size, &told));
    free(bytes);
}

/* A server that has never heard of Expect: is waited for, and not for long. */
static void body_is_sent_where_nobody_asks_for_it(void **state)
{
    (void)state;
    const size_t size = 2 << 20;
    uint8_t *bytes = make_bytes(size, 2);
    at.options.chunk_size = 8 << 20;
    at.options.stall_timeout_ms = at.options.first_byte_timeout_ms = 60000;
    s3fault_reopen();
    FAULT("op=PutObject&no_continue=1");
    int64_t begun = now_ms();
    OK(write_bytes("unasked", bytes, size, &told));
    assert_true(now_ms() - begun < 30000); /* and not until a time-out */
    begun = now_ms();
    OK(write_bytes("unasked", bytes, size, &told));
    OK(read_back("unasked", bytes, size, &told));
    assert_int_equal(COUNT("requests.PutObject"), 2);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(redirects_carry_nothing_to_another_host),
        FAULT_TEST(http_goes_by_way_of_the_proxy_that_the_environment_names),
        FAULT_TEST(https_goes_through_a_tunnel),
        FAULT_TEST(endpoint_may_be_a_socket_of_this_machine),
        FAULT_TEST(download_that_stands_still_on_a_socket_is_no_stray),
        FAULT_TEST(endpoint_may_want_a_certificate_from_us),
        FAULT_TEST(endpoint_may_be_an_ipv6_address),
        FAULT_TEST(requests_are_spread_over_the_addresses_of_a_name),
        FAULT_TEST(refused_body_is_not_sent),
        FAULT_TEST(body_is_sent_where_nobody_asks_for_it),
    };
    return cmocka_run_group_tests(tests, s3fault_group_setup, s3fault_group_teardown);
}
