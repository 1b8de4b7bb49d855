/* SPDX-License-Identifier: Apache-2.0
 * Starting, scripting and asking S3 endpoints for tests. Owns child processes and plain sockets; uses nothing of the
 * library, so that a test's view of the wire is its own. The test's thread. */
#include "support/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("endpoint: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(99);
}

static void pause_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&left, NULL);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

static int wait_for_port(const char *path, pid_t pid)
{
    for (int tries = 0; tries < 1000; tries++) {
        FILE *file = fopen(path, "re");
        int port = 0;
        if (file != NULL) {
            int got = fscanf(file, "%d", &port);
            fclose(file);
            if (got == 1)
                return port;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid)
            fail("the scripted endpoint ended at once");
        pause_ms(10);
    }
    fail("the scripted endpoint does not listen");
}

void endpoint_start(struct endpoint *endpoint, ...)
{
    const char *argv[64] = {S3D_PROGRAM, "--with-parent", "--port", "0", "--port-file"};
    char directory[] = "/tmp/orbit-s3d-XXXXXX", path[64];
    size_t count = 5;
    bool tls = false;
    va_list args;
    memset(endpoint, 0, sizeof(*endpoint));
    if (mkdtemp(directory) == NULL)
        fail("cannot make a directory: %s", strerror(errno));
    snprintf(path, sizeof(path), "%s/port", directory);
    argv[count++] = path;
    va_start(args, endpoint);
    for (const char *option; count < 63 && (option = va_arg(args, const char *)) != NULL;) {
        tls |= strcmp(option, "--tls-cert") == 0;
        argv[count++] = option;
    }
    va_end(args);
    endpoint->pid = fork();
    if (endpoint->pid < 0)
        fail("fork: %s", strerror(errno));
    if (endpoint->pid == 0) {
        execv(S3D_PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    endpoint->port = wait_for_port(path, endpoint->pid);
    unlink(path);
    rmdir(directory);
    snprintf(endpoint->url, sizeof(endpoint->url), "%s:%d", tls ? "https://localhost" : "http://127.0.0.1",
             endpoint->port);
    snprintf(endpoint->access, sizeof(endpoint->access), "%s", ENDPOINT_ACCESS);
    snprintf(endpoint->secret, sizeof(endpoint->secret), "%s", ENDPOINT_SECRET);
    snprintf(endpoint->region, sizeof(endpoint->region), "us-east-1");
}

void endpoint_stop(struct endpoint *endpoint)
{
    if (endpoint->pid <= 0)
        return;
    kill(endpoint->pid, SIGTERM);
    waitpid(endpoint->pid, NULL, 0);
    endpoint->pid = 0;
}

static void take_environment(struct endpoint *endpoint, const char *name, const char *value)
{
    if (strcmp(name, "ORBIT_TEST_S3_ENDPOINT") == 0)
        snprintf(endpoint->url, sizeof(endpoint->url), "%s", value);
    else if (strcmp(name, "AWS_ACCESS_KEY_ID") == 0)
        snprintf(endpoint->access, sizeof(endpoint->access), "%s", value);
    else if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
        snprintf(endpoint->secret, sizeof(endpoint->secret), "%s", value);
    else if (strcmp(name, "AWS_REGION") == 0)
        snprintf(endpoint->region, sizeof(endpoint->region), "%s", value);
}

void endpoint_of_fixture(struct endpoint *endpoint, const char *fixture)
{
    static const char *const names[] = {"ORBIT_TEST_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                        "AWS_REGION"};
    char path[4096], line[512];
    memset(endpoint, 0, sizeof(*endpoint));
    snprintf(endpoint->region, sizeof(endpoint->region), "us-east-1");
    if (strcmp(fixture, "s3d") != 0 && getenv("ORBIT_TEST_S3_ENDPOINT") != NULL) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (getenv(names[i]) != NULL)
                take_environment(endpoint, names[i], getenv(names[i]));
        return;
    }
    snprintf(path, sizeof(path), "%s/%s/env", ENV_DIR, fixture);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail("'%s' is not running: no %s (run it through ctest, or set ORBIT_TEST_S3_ENDPOINT)", fixture, path);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *value = strchr(line, '=');
        line[strcspn(line, "\n")] = '\0';
        if (value == NULL)
            continue;
        *value++ = '\0';
        take_environment(endpoint, line, value);
    }
    fclose(file);
    const char *colon = strrchr(endpoint->url, ':');
    endpoint->port = colon == NULL ? 0 : atoi(colon + 1);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

/* The body of one plain request; the caller frees it. */
static char *ask(const struct endpoint *endpoint, const char *method, const char *what, int *status)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)endpoint->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("cannot reach the control of port %d: %s", endpoint->port, strerror(errno));
    char head[4096];
    int length =
        snprintf(head, sizeof(head), "%s /_control/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, what);
    if (length < 0 || (size_t)length >= sizeof(head) || send(fd, head, (size_t)length, MSG_NOSIGNAL) != length)
        fail("cannot send to the control");
    size_t room = 1 << 16, used = 0;
    char *reply = malloc(room);
    for (ssize_t got; reply != NULL && (got = recv(fd, reply + used, room - used - 1, 0)) > 0;) {
        used += (size_t)got;
        if (room - used < 4096) {
            room *= 2;
            reply = realloc(reply, room);
        }
    }
    close(fd);
    if (reply == NULL)
        fail("out of memory");
    reply[used] = '\0';
    char *body = strstr(reply, "\r\n\r\n");
    if (body == NULL || sscanf(reply, "HTTP/1.1 %d", status) != 1)
        fail("the control does not answer");
    memmove(reply, body + 4, strlen(body + 4) + 1);
    return reply;
}

void endpoint_control(struct endpoint *endpoint, const char *format, ...)
{
    char what[2048];
    int status;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    for (char *blank = what; (blank = strchr(blank, ' ')) != NULL;)
        *blank = '+'; /* as a query has it */
    char *reply = ask(endpoint, "POST", what, &status);
    if (status != 200)
        fail("control '%s': %d %s", what, status, reply);
    free(reply);
}

void endpoint_reset(struct endpoint *endpoint)
{
    endpoint_control(endpoint, "reset");
}

int64_t endpoint_count(struct endpoint *endpoint, const char *name)
{
    int status;
    char *json = ask(endpoint, "GET", "stats", &status), *at = json, label[96];
    for (const char *dot; at != NULL && (dot = strchr(name, '.')) != NULL; name = dot + 1) {
        snprintf(label, sizeof(label), "\"%.*s\":{", (int)(dot - name), name);
        at = strstr(at, label);
    }
    snprintf(label, sizeof(label), "\"%s\":", name);
    at = at == NULL ? NULL : strstr(at, label);
    if (at == NULL)
        fail("no counter '%s'", name);
    int64_t value = strtoll(at + strlen(label), NULL, 10);
    free(json);
    return value;
}

unsigned endpoint_uploads(struct endpoint *endpoint, const char *prefix)
{
    int status;
    unsigned count = 0;
    char *json = ask(endpoint, "GET", "stats", &status), label[256];
    snprintf(label, sizeof(label), "{\"key\":\"%s", prefix);
    for (const char *at = json; (at = strstr(at, label)) != NULL; at += strlen(label))
        count++;
    free(json);
    return count;
}

static int64_t field_number(const char *line, const char *name)
{
    char label[48];
    snprintf(label, sizeof(label), "\"%s\":", name);
    const char *at = strstr(line, label);
    return at == NULL ? 0 : strtoll(at + strlen(label), NULL, 10);
}

static void field_text(const char *line, const char *name, char *to, size_t room)
{
    char label[48];
    snprintf(label, sizeof(label), "\"%s\":\"", name);
    const char *at = strstr(line, label);
    size_t used = 0;
    for (at = at == NULL ? "" : at + strlen(label); *at != '\0' && *at != '"' && used + 1 < room; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        to[used++] = *at;
    }
    to[used] = '\0';
}

enum { LOG_WAITS = 50 };

bool endpoint_request(struct endpoint *endpoint, const char *op, unsigned n, struct endpoint_request *request)
{
    int status;
    char *json = ask(endpoint, "GET", "log", &status), *rest = json, *line, label[64];
    bool found = false;
    snprintf(label, sizeof(label), "{\"op\":\"%s\",", op);
    while (!found && (line = strsep(&rest, "\n")) != NULL) {
        line += *line == '[';
        if (strncmp(line, label, strlen(label)) != 0 || n-- != 0)
            continue;
        found = true;
        request->status = (int)field_number(line, "status");
        request->part = field_number(line, "part");
        request->sent = field_number(line, "sent");
        request->received = field_number(line, "received");
        request->at_ms = field_number(line, "at_ms");
        field_text(line, "range", request->range, sizeof(request->range));
        field_text(line, "key", request->key, sizeof(request->key));
        field_text(line, "if_match", request->if_match, sizeof(request->if_match));
    }
    free(json);
    return found;
}

bool endpoint_await_request(struct endpoint *endpoint, const char *op, unsigned n, struct endpoint_request *request)
{
    bool found = false;
    for (int i = 0; !(found = endpoint_request(endpoint, op, n, request)) && i < LOG_WAITS; i++)
        usleep(10000);
    return found;
}

/* ---- what it serves ------------------------------------------------------------------------------------------ */

#define PERIOD 1048573u

static unsigned char block[PERIOD];

static void make_block(void)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block[i] = (unsigned char)(state >> 32);
    }
}

void endpoint_pattern(const char *key, uint64_t offset, void *bytes, size_t length)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_block);
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
    uint64_t at = (1 + (hash ^ (hash >> 29)) % (PERIOD - 1) + offset) % PERIOD;
    for (unsigned char *to = bytes; length > 0;) {
        size_t piece = PERIOD - at < length ? (size_t)(PERIOD - at) : length;
        memcpy(to, block + at, piece);
        to += piece;
        length -= piece;
        at = 0;
    }
}

const char *endpoint_tls_dir(void)
{
    static char directory[4096];
    if (directory[0] == '\0') {
        char command[16384];
        snprintf(directory, sizeof(directory), "%s/tls", ENV_DIR);
        /* Test programs run side by side: one makes them, the others wait for it. */
        snprintf(command, sizeof(command), "mkdir -p '%s' && flock '%s/tls.lock' '%s' make '%s'", ENV_DIR, ENV_DIR,
                 TLS_PROGRAM, directory);
        if (system(command) != 0)
            fail("cannot make certificates");
    }
    return directory;
}
