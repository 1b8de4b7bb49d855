/* SPDX-License-Identifier: Apache-2.0
 * The engine's side that faces the main loop: spreads requests over lanes, carries resume and cancel to them,
 * and brings back what is done. */
#include "wire/http.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "wire/http_lane.h"

/* Bits of request->control. A control message is in flight while POSTED is set; nothing is posted any more
 * once FINISHED is. */
enum { RESUME = 1, CANCEL = 2, POSTED = 4, FINISHED = 8 };

enum { HEADERS_MAX = 64 << 10, WEIGHT_LARGE = 8 };

orbit_status orb_http_new(struct orb_http **http, struct orb_lanes *lanes, struct orb_loop *main_loop,
                          struct orb_log *log, orbit_error *error)
{
    *http = NULL;
    orbit_status status = orb_curl_load(error);
    if (status < 0)
        return status;
    struct orb_http *made = orb_calloc(1, sizeof *made);
    unsigned count = orb_lanes_count(lanes);
    if (!made || !(made->lane = orb_calloc(count, sizeof *made->lane))) {
        orb_free(made);
        return orb_fail_memory(error);
    }
    made->lanes = lanes;
    made->main_loop = main_loop;
    made->log = log;
    made->lane_count = count;
    for (unsigned i = 0; i < count; i++)
        made->lane[i].http = made;
    atomic_init(&made->users, 1);
    *http = made;
    return ORBIT_OK;
}

void orb_http_drop(struct orb_http *http)
{
    if (atomic_fetch_sub(&http->users, 1) != 1)
        return;
    orb_free(http->lane);
    orb_free(http);
}

/* Each lane that was used closes what it has on its own thread; the last one frees. */
void orb_http_free(struct orb_http *http)
{
    if (!http)
        return;
    for (unsigned i = 0; i < http->lane_count; i++) {
        struct orb_http_lane *lane = &http->lane[i];
        if (!lane->loop)
            continue;
        atomic_fetch_add(&http->users, 1);
        lane->stop_message.deliver = orb_http_lane_stop;
        orb_loop_post(lane->loop, &lane->stop_message);
    }
    orb_http_drop(http);
}

void orb_http_init(struct orb_http_request *request)
{
    atomic_init(&request->control, FINISHED);
    orb_buf_init(&request->headers, HEADERS_MAX);
}

bool orb_http_header(struct orb_http_request *request, const char *name, const char *value)
{
    struct orb_buf *out = &request->headers;
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if ((*c < ' ' && *c != '\t') || *c == 127)
            out->failed = true; /* a line break would begin a header of somebody else's choice */
    orb_buf_text(out, name);
    /* To curl "name:" means: leave it out, "name;" means: send it empty. */
    orb_buf_text(out, *value ? ": " : ";");
    orb_buf_append(out, value, strlen(value) + 1);
    return !out->failed;
}

/* Requests fill a lane before they take the next, so that what one thread can do stays on one thread: a large
 * transfer is a lane's full load, of small requests it takes eight. */
static struct orb_http_lane *choose_lane(struct orb_http *http)
{
    struct orb_http_lane *best = &http->lane[0];
    for (unsigned i = 1; i < http->lane_count; i++)
        if (http->lane[i].load / WEIGHT_LARGE < best->load / WEIGHT_LARGE)
            best = &http->lane[i];
    return best;
}

static void on_start(struct orb_message *message)
{
    struct orb_http_request *request =
        (struct orb_http_request *)((char *)message - offsetof(struct orb_http_request, start_message));
    orb_http_lane_start(request->lane, request);
}

static void on_control(struct orb_message *message);

orbit_status orb_http_start(struct orb_http *http, struct orb_http_request *request, orbit_error *error)
{
    struct orb_http_lane *lane = choose_lane(http);
    if (!lane->loop && !(lane->loop = orb_lanes_loop(http->lanes, (unsigned)(lane - http->lane), error)))
        return error ? (orbit_status)error->status : ORBIT_E_MEMORY;
    request->http = http;
    request->lane = lane;
    request->weight = request->large ? WEIGHT_LARGE : 1;
    lane->load += request->weight;

    request->status = ORBIT_OK;
    orb_error_clear(&request->error);
    request->http_status = 0;
    request->enough = request->sent_all = false;
    request->received = request->sent = 0;
    request->easy = NULL;
    request->next = NULL;
    request->link = NULL;
    request->dirty_next = NULL;
    request->header_list = NULL;
    request->room = NULL;
    request->room_length = request->filled = request->skip = 0;
    request->take = ORB_HTTP_MEMORY;
    request->paused = request->dirty = request->head_seen = request->connected = request->cancelled = false;
    request->body_ended = request->starved = request->spoilt = request->fresh = false;
    request->held = -1;
    request->dropped = request->header_bytes = 0;
    request->started_ns = request->mark_ns = request->life_ns = orb_now_ns();
    request->mark_bytes = request->life = 0;
    atomic_store(&request->control, 0);
    request->control_message.deliver = on_control;
    request->start_message.deliver = on_start;
    orb_loop_post(lane->loop, &request->start_message);
    return ORBIT_OK;
}

static void post_control(struct orb_http_request *request, unsigned bit)
{
    unsigned before = atomic_load(&request->control);
    do {
        if (before & FINISHED)
            return;
    } while (!atomic_compare_exchange_weak(&request->control, &before, before | bit | POSTED));
    if (!(before & POSTED))
        orb_loop_post(request->lane->loop, &request->control_message);
}

void orb_http_cancel(struct orb_http_request *request)
{
    post_control(request, CANCEL);
}

void orb_http_resume(struct orb_http_request *request)
{
    post_control(request, RESUME);
}

static void on_done(struct orb_message *message)
{
    struct orb_http_request *request =
        (struct orb_http_request *)((char *)message - offsetof(struct orb_http_request, done_message));
    request->lane->load -= request->weight;
    if (orb_log_wants(request->http->log, ORBIT_LOG_DEBUG)) {
        int length = (int)strcspn(request->url, "?");
        bool has_id = request->request_id && request->request_id[0];
        orb_log(request->http->log, ORBIT_LOG_DEBUG, "http: %s %.*s: %d in %.1f ms, %llu bytes out, %llu in%s%s%s%s",
                request->method, length, request->url, request->http_status,
                (double)(orb_now_ns() - request->started_ns) / (double)ORB_MS, (unsigned long long)request->sent,
                (unsigned long long)request->received, has_id ? ", request id " : "", has_id ? request->request_id : "",
                request->status < 0 ? ": " : "", request->status < 0 ? request->error.message : "");
    }
    request->events->done(request);
}

static void post_done(struct orb_http_request *request)
{
    request->done_message.deliver = on_done;
    orb_loop_post(request->http->main_loop, &request->done_message);
}

/* Lane. When a control message is still on its way here, done waits for it: afterwards nothing points at the
 * request any more. */
void orb_http_finish(struct orb_http_request *request)
{
    unsigned before = atomic_fetch_or(&request->control, FINISHED);
    if (!(before & POSTED))
        post_done(request);
}

/* Lane. */
static void on_control(struct orb_message *message)
{
    struct orb_http_request *request =
        (struct orb_http_request *)((char *)message - offsetof(struct orb_http_request, control_message));
    unsigned before = atomic_fetch_and(&request->control, FINISHED);
    if (before & FINISHED) {
        post_done(request);
        return;
    }
    if (before & CANCEL)
        request->cancelled = true;
    if (before & RESUME)
        request->starved = false;
    orb_http_lane_control(request);
}

static orbit_status bytes_peek(orbit_body *body, const void **bytes, size_t *length)
{
    struct orb_http_bytes *in = (struct orb_http_bytes *)body;
    *bytes = in->bytes + in->at;
    *length = (size_t)(body->length - in->at);
    return *length ? ORBIT_OK : ORBIT_END;
}

static void bytes_consume(orbit_body *body, size_t length)
{
    ((struct orb_http_bytes *)body)->at += length;
}

static orbit_status bytes_rewind(orbit_body *body)
{
    ((struct orb_http_bytes *)body)->at = 0;
    return ORBIT_OK;
}

void orb_http_bytes_init(struct orb_http_bytes *bytes, const void *from, size_t length)
{
    bytes->body = (orbit_body){bytes_peek, bytes_consume, bytes_rewind, length, from, NULL};
    bytes->bytes = from;
    bytes->at = 0;
}
