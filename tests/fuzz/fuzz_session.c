/* SPDX-License-Identifier: Apache-2.0
 * A session whose server answers whatever it likes, with requests of every kind under way: the first byte says how
 * the session is used, the second in which pieces the rest comes, and the rest is what the server says behind its
 * VERSION (or instead of it). Ids go from 0 upwards, so that a fuzzer meets those that are waited for.
 *
 * What must hold: each request hears of its end once, one that was forgotten never; what a READ is lent is given
 * back, and no more than it asked for; when the stream has ended, so has everything. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "fuzz.h"
#include "wire/sftp.h"

FUZZ_FAILED_HERE

enum { REQUESTS = 24, AGAIN_MAX = 64, WANT = 300, PLACE = 70 };
/* Bits of the first byte. */
enum { SAYS_VERSION = 1, FORGETS = 2, NO_PLACE = 4, GOES_ON = 8, FREES_EARLY = 16, HANGS_UP = 32 };

struct asked {
    struct orb_sftp_request request; /* first */
    struct scene *scene;
    bool waits, forgotten;
    unsigned lent; /* places that were not given back */
    uint64_t filled;
};

struct scene {
    struct orb_sftp *session;
    int server;
    uint8_t how;
    unsigned again;
    bool ready, ended;
    struct asked asked[REQUESTS];
    uint8_t place[PLACE];
};

static struct orb_loop *loop;
static struct orb_log quiet;

static void ask(struct scene *scene, unsigned i);

/* ---- what users do with replies -------------------------------------------------------------------- */

/* Reads each byte, for who watches what is read. */
static void touch(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        (void)*(const volatile char *)&bytes[i];
}

static void read_names(struct orb_sftp_request *request)
{
    struct orb_sftp_name name;
    size_t left = request->reply.left;
    uint32_t count = orb_sftp_get_u32(&request->reply);
    while (orb_sftp_get_name(&request->reply, &count, &name)) {
        HOLDS(name.length <= left);
        touch(name.name, name.length);
    }
}

static void look_at(struct orb_sftp_request *request)
{
    struct orb_sftp_attributes attributes;
    struct orb_sftp_handle handle;
    struct orb_sftp_space space;
    struct orb_sftp_reader reply = request->reply;
    size_t length;
    const char *text;
    switch (request->type) {
    case 0:
        HOLDS(request->error && request->error->status < 0);
        break;
    case ORB_SFTP_STATUS:
        text = orb_sftp_get_bytes(&reply, &length);
        HOLDS(length <= request->reply.left);
        touch(text, length);
        break;
    case ORB_SFTP_HANDLE:
        orb_sftp_get_handle(&reply, &handle);
        HOLDS(handle.length > 0 && handle.length <= ORB_SFTP_HANDLE_MAX);
        break;
    case ORB_SFTP_NAME:
        read_names(request);
        break;
    case ORB_SFTP_ATTRS:
        orb_sftp_get_attributes(&reply, &attributes);
        break;
    case ORB_SFTP_EXTENDED_REPLY:
        (void)orb_sftp_get_space(&reply, &space);
        break;
    case ORB_SFTP_DATA:
        HOLDS(request->received <= request->want);
        HOLDS(request->received == ((struct asked *)request)->filled);
        break;
    default:
        fuzz_failed("a type that answers something", __FILE__, __LINE__);
    }
}

static void done(struct orb_sftp_request *request)
{
    struct asked *asked = (struct asked *)request;
    struct scene *scene = asked->scene;
    HOLDS(asked->waits && !asked->forgotten && asked->lent == 0 && !scene->ended);
    asked->waits = false;
    look_at(request);
    if ((scene->how & GOES_ON) && request->type && scene->again < AGAIN_MAX) {
        scene->again++;
        ask(scene, (unsigned)(asked - scene->asked));
    }
}

static void *place(struct orb_sftp_request *request, size_t want, size_t *room)
{
    struct asked *asked = (struct asked *)request;
    HOLDS(want > 0 && asked->lent == 0);
    if ((asked->scene->how & NO_PLACE) && asked->filled > PLACE)
        return NULL;
    asked->lent++;
    *room = want < PLACE ? want : PLACE;
    return asked->scene->place;
}

static void filled(struct orb_sftp_request *request, size_t length)
{
    struct asked *asked = (struct asked *)request;
    HOLDS(asked->lent == 1 && length <= PLACE);
    asked->lent = 0;
    asked->filled += length;
    HOLDS(asked->filled <= WANT);
}

/* ---- requests -------------------------------------------------------------------------------------- */

static void ask(struct scene *scene, unsigned i)
{
    static const struct orb_sftp_handle handle = {4, "h001"};
    static const uint8_t payload[1000];
    struct asked *asked = &scene->asked[i];
    struct orb_sftp_request *request = &asked->request;
    switch (i % 8) {
    case 0:
        orb_sftp_open(request, "/a", ORB_SFTP_OPEN_READ, NULL);
        break;
    case 1:
    case 2:
        orb_sftp_read_at(request, &handle, (uint64_t)i * WANT, WANT);
        request->place = place;
        request->filled = filled;
        break;
    case 3:
        orb_sftp_on_handle(request, ORB_SFTP_READDIR, &handle);
        break;
    case 4:
        orb_sftp_path(request, ORB_SFTP_LSTAT, "/a/b");
        break;
    case 5:
        orb_sftp_write_at(request, &handle, 0, payload, sizeof(payload));
        break;
    case 6:
        orb_sftp_extended_path(request, ORB_SFTP_CAN_STATVFS, "/");
        break;
    default:
        orb_sftp_paths(request, ORB_SFTP_RENAME, "/a", "/b");
    }
    request->done = done;
    asked->scene = scene;
    asked->waits = true;
    asked->filled = 0;
    orb_sftp_start(scene->session, request);
}

static void forget(struct scene *scene, unsigned i)
{
    struct asked *asked = &scene->asked[i];
    if (!asked->waits)
        return;
    orb_sftp_forget(&asked->request);
    asked->waits = false;
    asked->forgotten = true;
    asked->lent = 0;
}

static void ready(void *ctx)
{
    struct scene *scene = ctx;
    HOLDS(!scene->ready && !scene->ended);
    scene->ready = true;
    for (unsigned i = 0; i < REQUESTS; i++)
        ask(scene, i);
}

static void ended(void *ctx, const orbit_error *error)
{
    struct scene *scene = ctx;
    HOLDS(!scene->ended && (!error || error->status < 0));
    scene->ended = true;
    for (unsigned i = 0; i < REQUESTS; i++)
        HOLDS(!scene->asked[i].waits);
}

/* ---- the server ------------------------------------------------------------------------------------ */

static void turn(struct scene *scene)
{
    uint8_t heard[4096];
    orb_loop_turn(loop, false);
    while (recv(scene->server, heard, sizeof(heard), MSG_DONTWAIT) > 0)
        ;
}

/* Pieces of what the second byte says, so that heads and bodies are cut anywhere. */
static void say(struct scene *scene, const uint8_t *bytes, size_t length, size_t piece)
{
    for (size_t at = 0, turns = 0; at < length && !scene->ended && turns < 4096; turns++) {
        size_t take = length - at < piece ? length - at : piece;
        ssize_t sent = send(scene->server, bytes + at, take, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        if (sent < 0 && errno != EAGAIN)
            return;
        turn(scene);
        if ((scene->how & FORGETS) && scene->ready)
            forget(scene, (unsigned)(turns * 5 % REQUESTS));
    }
}

static bool all_over(const struct scene *scene)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        if (scene->asked[i].waits)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct orb_sftp_events events = {ready, ended};
    static const uint8_t version[] = {0,   0,   0,   33,  2,   0,   0,   0,   3,   0,   0,   0,   19,
                                      's', 't', 'a', 't', 'v', 'f', 's', '@', 'o', 'p', 'e', 'n', 's',
                                      's', 'h', '.', 'c', 'o', 'm', 0,   0,   0,   1,   '2'};
    orbit_error error;
    int ends[2];
    if (length < 2)
        return 0;
    if (!loop)
        HOLDS(orb_loop_new(&loop, "fuzz", true, &error) == ORBIT_OK);
    struct scene *scene = calloc(1, sizeof(*scene));
    HOLDS(scene && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    scene->server = ends[1];
    scene->how = bytes[0];
    HOLDS(orb_sftp_new(&scene->session, loop, &quiet, "peer", 60000, &events, scene, &error) == ORBIT_OK);
    orb_sftp_attach(scene->session, ends[0]);
    turn(scene);
    size_t piece = bytes[1] ? bytes[1] : 4096;
    if (scene->how & SAYS_VERSION)
        say(scene, version, sizeof(version), sizeof(version));
    turn(scene); /* what was asked for goes out */
    turn(scene);
    say(scene, bytes + 2, length - 2, piece);
    if (scene->how & HANGS_UP)
        (void)shutdown(scene->server, SHUT_WR);
    for (unsigned i = 0; i < 8 && !scene->ended && !(scene->how & FREES_EARLY); i++)
        turn(scene);
    HOLDS(!(scene->how & HANGS_UP) || scene->ended || (scene->how & FREES_EARLY));
    orb_sftp_free(scene->session, NULL);
    HOLDS(all_over(scene));
    for (unsigned i = 0; i < 4; i++)
        turn(scene);
    for (unsigned i = 0; i < REQUESTS; i++)
        orb_sftp_request_release(&scene->asked[i].request);
    (void)close(ends[1]);
    free(scene);
    return 0;
}
