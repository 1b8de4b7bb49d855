/* SPDX-License-Identifier: Apache-2.0
 * s3d, a scripted S3 endpoint for tests and benchmarks: options, the listening socket, a thread a connection.
 * Listens on 127.0.0.1 unless --host says otherwise, and ends on SIGTERM or SIGINT. */
#include "s3d.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 2048

static SSL_CTX *tls;
static atomic_int connections;

static const char usage[] =
    "usage: s3d [--port N] [--port-file FILE] [--store] [--set NAME=VALUE]... [--fault RULE]... [--bucket NAME]...\n"
    "           [--access KEY] [--secret KEY] [--region NAME] [--domain NAME] [--tls-cert FILE --tls-key FILE]\n"
    "           [--tls-client-ca FILE] [--host ADDRESS] [--unix PATH] [--with-parent]\n"
    "--tls-client-ca: who connects needs a certificate. --unix: listens there, too.\n"
    "port 0 takes a free one; FILE receives it when the endpoint is ready. --with-parent: ends when its parent does.\n"
    "Rules and settings are described in s3d.h and control.c.\n";

static void fail(const char *what)
{
    fprintf(stderr, "s3d: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *serve(void *argument)
{
    struct conn *conn = argument;
    bool ready = true;
    stats_connection(1);
    if (tls != NULL) {
        conn->ssl = need(SSL_new(tls));
        ready = SSL_set_fd(conn->ssl, conn->fd) == 1 && SSL_accept(conn->ssl) == 1;
    }
    if (ready)
        conn_serve(conn);
    if (conn->ssl != NULL) {
        if (!conn->dead)
            SSL_shutdown(conn->ssl);
        SSL_free(conn->ssl);
        ERR_clear_error();
    }
    close(conn->fd);
    free(conn->in);
    free(conn->scratch);
    EVP_MD_CTX_free(conn->md);
    text_free(&conn->head);
    text_free(&conn->body);
    text_free(&conn->work);
    free(conn);
    stats_connection(-1);
    atomic_fetch_sub(&connections, 1);
    return NULL;
}

static void accept_one(int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            sleep_ms(20);
        return;
    }
    if (atomic_fetch_add(&connections, 1) >= CONNECTIONS_MAX) {
        atomic_fetch_sub(&connections, 1);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct conn *conn = need(calloc(1, sizeof(*conn)));
    conn->fd = fd;
    conn->in = need(malloc(HEAD_MAX + 1));
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, serve, conn) != 0) {
        close(fd);
        free(conn->in);
        free(conn);
        atomic_fetch_sub(&connections, 1);
    }
    pthread_attr_destroy(&attributes);
}

static void *accept_all(void *argument)
{
    int listener = *(int *)argument;
    for (;;)
        accept_one(listener);
    return NULL;
}

union place {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static int listen_on(const char *host, int port, int *chosen)
{
    union place address = {.four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    socklen_t length = sizeof(address);
    int one = 1;
    if (strchr(host, ':') != NULL)
        address.six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    void *bytes = strchr(host, ':') != NULL ? (void *)&address.six.sin6_addr : (void *)&address.four.sin_addr;
    if (inet_pton(address.any.sa_family, host, bytes) != 1)
        fail(host);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, &address.any, address.any.sa_family == AF_INET6 ? sizeof(address.six) : sizeof(address.four)) != 0)
        fail("bind");
    if (listen(fd, 512) != 0 || getsockname(fd, &address.any, &length) != 0)
        fail("listen");
    *chosen = ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
    return fd;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 512) != 0)
        fail(path);
    return fd;
}

static void start_accepting(int *listener)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, accept_all, listener) != 0)
        fail("thread");
}

/* Under another name first: who waits for the file never reads half of it. */
static void write_port(const char *path, int port)
{
    char temporary[4096];
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL || fprintf(file, "%d\n", port) < 0 || fclose(file) != 0 || rename(temporary, path) != 0)
        fail(path);
}

static void begin_tls(const char *certificate, const char *key, const char *client_ca)
{
    tls = need(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
        (client_ca != NULL && SSL_CTX_load_verify_locations(tls, client_ca, NULL) != 1)) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    if (client_ca != NULL)
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void set_one(char *text)
{
    char *value = strchr(text, '=');
    if (value != NULL)
        *value++ = '\0';
    if (value == NULL || !setting_set(text, value)) {
        fprintf(stderr, "s3d: --set %s: no such setting, or no number\n", text);
        exit(2);
    }
}

static void add_rule(const char *text)
{
    char why[128] = "";
    if (!fault_add(text, why)) {
        fprintf(stderr, "s3d: %s\n", why);
        exit(2);
    }
}

struct arguments {
    int port;
    const char *port_file, *certificate, *key, *client_ca, *host, *unix_path;
};

static void read_arguments(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"port-file", required_argument, NULL, 'f'},
                                            {"store", no_argument, NULL, 's'},
                                            {"set", required_argument, NULL, 'S'},
                                            {"fault", required_argument, NULL, 'F'},
                                            {"bucket", required_argument, NULL, 'b'},
                                            {"access", required_argument, NULL, 'a'},
                                            {"secret", required_argument, NULL, 'k'},
                                            {"region", required_argument, NULL, 'r'},
                                            {"domain", required_argument, NULL, 'd'},
                                            {"tls-cert", required_argument, NULL, 'c'},
                                            {"tls-key", required_argument, NULL, 'K'},
                                            {"with-parent", no_argument, NULL, 'w'},
                                            {"tls-client-ca", required_argument, NULL, 'C'},
                                            {"host", required_argument, NULL, 'h'},
                                            {"unix", required_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p':
            arguments->port = atoi(optarg);
            break;
        case 'f':
            arguments->port_file = optarg;
            break;
        case 's':
            atomic_store(&settings.store, 1);
            break;
        case 'S':
            set_one(optarg);
            break;
        case 'F':
            add_rule(optarg);
            break;
        case 'b':
            if (store_bucket(optarg) == NULL)
                store_make_bucket(optarg);
            break;
        case 'a':
            identity.access = optarg;
            break;
        case 'k':
            identity.secret = optarg;
            break;
        case 'r':
            identity.region = optarg;
            break;
        case 'd':
            identity.domain = optarg;
            break;
        case 'c':
            arguments->certificate = optarg;
            break;
        case 'K':
            arguments->key = optarg;
            break;
        case 'C':
            arguments->client_ca = optarg;
            break;
        case 'h':
            arguments->host = optarg;
            break;
        case 'u':
            arguments->unix_path = optarg;
            break;
        case 'w':
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind != argc || (arguments->certificate == NULL) != (arguments->key == NULL)) {
        fputs(usage, stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.host = "127.0.0.1"};
    int port, got, local = -1;
    sigset_t ends;
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#define X(name, value) atomic_store(&settings.name, value);
    SETTINGS(X)
#undef X
    sums_setup();
    pattern_setup();
    store_setup();
    read_arguments(&arguments, argc, argv);
    if (arguments.certificate != NULL)
        begin_tls(arguments.certificate, arguments.key, arguments.client_ca);

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(arguments.host, arguments.port, &port);
    start_accepting(&listener);
    if (arguments.unix_path != NULL) {
        local = listen_at(arguments.unix_path);
        start_accepting(&local);
    }
    if (arguments.port_file != NULL)
        write_port(arguments.port_file, port);
    else
        printf("http%s://127.0.0.1:%d\n", tls == NULL ? "" : "s", port);
    fflush(stdout);
    while (sigwait(&ends, &got) != 0)
        ;
    _exit(0);
}
