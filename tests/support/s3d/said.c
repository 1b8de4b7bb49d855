/* SPDX-License-Identifier: Apache-2.0
 * Replies that a rule has word for word, in place of the service's: say=BYTES&again=BYTES&times=N&then=BYTES,
 * percent-encoded. What they are made of stays until the end of the process: a request may be at it when its rule is
 * dropped. */
#include "s3d.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 10 };

struct said {
    struct said *next;
    struct text first, again, last;
    uint64_t times;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct said *all; /* by mutex */

static struct said *said_of(struct fault *fault)
{
    if (fault->said == NULL) {
        struct said *said = need(calloc(1, sizeof(*said)));
        pthread_mutex_lock(&mutex);
        said->next = all;
        all = said;
        pthread_mutex_unlock(&mutex);
        fault->said = said;
    }
    return fault->said;
}

void said_first(struct fault *fault, const char *bytes, size_t length)
{
    text_add(&said_of(fault)->first, bytes, length);
}

void said_again(struct fault *fault, const char *bytes, size_t length)
{
    text_add(&said_of(fault)->again, bytes, length);
}

void said_last(struct fault *fault, const char *bytes, size_t length)
{
    text_add(&said_of(fault)->last, bytes, length);
}

void said_times(struct fault *fault, uint64_t times)
{
    said_of(fault)->times = times;
}

void said_reply(struct request *request)
{
    const struct said *said = request->fault.said;
    struct conn *conn = request->conn;
    struct text piece = {0};
    bool fine = body_drain(request) && conn_write(conn, said->first.bytes, said->first.length);
    for (uint64_t left = said->times; fine && left > 0;) {
        uint64_t n = said->again.length == 0 ? left : PIECE / said->again.length + 1;
        if (n > left)
            n = left;
        text_clear(&piece);
        for (uint64_t i = 0; i < n; i++)
            text_add(&piece, said->again.bytes, said->again.length);
        fine = conn_write(conn, piece.bytes, piece.length);
        left -= n;
    }
    fine = fine && conn_write(conn, said->last.bytes, said->last.length);
    text_free(&piece);
    request->replied = true;
    request->keep_alive = request->keep_alive && fine && !request->fault.close;
}
