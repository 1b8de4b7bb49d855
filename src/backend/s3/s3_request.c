/* SPDX-License-Identifier: Apache-2.0
 * How an S3 request comes to be: its operation, its address, its signature. Loop thread. */
#include "backend/s3/s3.h"
#include "base/clock.h"
#include "base/str.h"

enum { URL_MAX = 32 << 10, REPLY_MAX = ORB_S3_ERROR_BODY_MAX };

/* ---- operations ---------------------------------------------------------------------------------- */

static void release(struct orb_s3_op *op)
{
    if (op->release)
        op->release(op);
    orb_buf_release(&op->http.headers);
    orb_buf_release(&op->http.memory);
    orb_buf_release(&op->url);
    orb_free(op);
}

static void on_free(struct orb_message *message)
{
    release((struct orb_s3_op *)((char *)message - offsetof(struct orb_s3_op, free_message)));
}

void orb_s3_op_turn(struct orb_s3_op *op, struct orb_s3 *s3)
{
    op->s3 = s3;
    op->address = &s3->address;
    op->http.site = &s3->site;
}

void *orb_s3_op_new(struct orb_s3 *s3, orbit_op *op, size_t bytes, const char *verb, const char *path)
{
    orbit_error error;
    if (orb_s3_is_service(s3) && strcmp(verb, ORB_S3_SERVICE_VERB) != 0) {
        orbit_op_done(op,
                      orb_fail(&error, ORBIT_E_CONFIG, 0, "cannot %s '%s': no bucket is named, as in s3://bucket/path",
                               verb, path && *path ? path : "s3://"),
                      &error);
        return NULL;
    }
    struct orb_s3_op *made = orb_calloc(1, bytes);
    if (!made) {
        orbit_op_done(op, orb_fail_memory(&error), &error);
        return NULL;
    }
    orb_http_init(&made->http);
    orb_s3_op_turn(made, s3);
    made->op = op;
    made->verb = verb;
    made->path = path;
    orb_buf_init(&made->http.memory, REPLY_MAX);
    orb_buf_init(&made->url, URL_MAX);
    made->free_message.deliver = on_free;
    op->state = made;
    return made;
}

/* Another thread may still be about to call op->resume until the engine has heard of the end: the memory goes
 * with a message behind that one. */
void orb_s3_op_end(struct orb_s3_op *op, orbit_status status, const orbit_error *error)
{
    struct orb_loop *loop = op->s3->host->loop;
    op->ended = true;
    orb_s3_remember_ways(op->s3);
    orbit_op_done(op->op, status, error);
    orb_loop_post(loop, &op->free_message);
}

void orb_s3_op_resume(orbit_op *op)
{
    struct orb_s3_op *own = op->state;
    orb_http_resume(&own->http);
}

void orb_s3_op_step(struct orb_s3_op *op, void (*step)(struct orb_message *message))
{
    op->step_message.deliver = step;
    orb_loop_post(op->s3->host->loop, &op->step_message);
}

/* ---- addresses ----------------------------------------------------------------------------------- */

orbit_status orb_s3_locate(struct orb_s3 *s3, orbit_error *error)
{
    struct orb_s3_address_request request = s3->where;
    request.bucket = s3->bucket;
    request.region = s3->region;
    request.endpoint = s3->endpoint_host;
    request.secure = s3->secure;
    request.is_aws = s3->store->is_aws;
    request.virtual_hosts = s3->store->virtual_hosts;
    orbit_status status = orb_s3_address_find(&s3->address, &request, error);
    return status < 0 ? status : orb_s3_address_control(&s3->control, &request, error);
}

bool orb_s3_key(const struct orb_s3 *s3, const char *path, struct orb_buf *out)
{
    orb_buf_text(out, s3->prefix);
    return orb_buf_text(out, path);
}

/* Appends "/bucket/key" as it goes on the wire, below endpoint_path. */
static bool wire_path(const struct orb_s3 *s3, bool path_style, const char *path, struct orb_buf *out)
{
    if (path_style) {
        orb_buf_char(out, '/');
        orb_percent_encode(out, s3->bucket, strlen(s3->bucket), "");
    }
    if (path || !path_style)
        orb_buf_char(out, '/');
    if (path) {
        orb_percent_encode(out, s3->prefix, strlen(s3->prefix), "/");
        orb_percent_encode(out, path, strlen(path), "/");
    }
    return !out->failed;
}

const char *orb_s3_name(const struct orb_s3 *s3, const char *path, char *out, size_t room)
{
    int length =
        snprintf(out, room, "s3://%s%s%s%s", s3->bucket, path ? "/" : "", path ? s3->prefix : "", path ? path : "");
    if (length < 0 || (size_t)length >= room)
        memcpy(out + room - 4, "...", 4);
    return out;
}

/* ---- building ------------------------------------------------------------------------------------ */

void orb_s3_begin(struct orb_s3_op *op, const char *method, const char *path)
{
    struct orb_http_request *http = &op->http;
    struct orb_s3 *s3 = op->s3;
    orb_buf_reset(&http->headers);
    orb_buf_reset(&http->memory);
    orb_buf_reset(&op->url);
    http->method = method;
    http->body = NULL;
    http->sink = NULL;
    http->sink_skip = 0;
    http->sink_max = UINT64_MAX;
    http->large = http->expect = http->patient = http->once = false;
    http->first_byte_timeout_ms = 0;
    op->param_count = 0;
    op->payload_hash[0] = '\0';
    op->chunks = NULL;
    op->wants_new = op->conditional = op->listing = op->sent_checksum = op->asked_checksum = op->spared_checksum =
        op->bare = op->trailed = op->bad_header = false;
    op->changes = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
    op->metadata = NULL;
    op->lessons = s3->lessons;
    op->reply = (struct orb_s3_reply){0};
    http->request_id = op->reply.request_id;
    orb_buf_text(&op->url, s3->secure ? "https://" : "http://");
    orb_buf_text(&op->url, op->address->authority);
    orb_buf_text(&op->url, s3->endpoint_path);
    wire_path(s3, op->address->path_style, path, &op->url);
}

void orb_s3_param(struct orb_s3_op *op, const char *name, const char *value)
{
    if (value && op->param_count < ORB_S3_PARAMS_MAX)
        op->params[op->param_count++] = (orbit_pair){name, value};
}

void orb_s3_asked_prefix(const struct orb_s3 *s3, const struct orb_buf *prefix, struct orb_buf *asked)
{
    size_t length = prefix->length;
    while (s3->address.is_directory && length && prefix->bytes[length - 1] != '/')
        length--;
    if (length)
        orb_buf_append(asked, prefix->bytes, length);
}

void orb_s3_list_params(struct orb_s3_op *op)
{
    op->listing = !op->s3->ways.list_v1;
    orb_s3_param(op, "list-type", op->listing ? "2" : NULL);
}

void orb_s3_header(struct orb_s3_op *op, const char *name, const char *value)
{
    if (!value)
        return;
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if ((*c < ' ' && *c != '\t') || *c == 127) {
            op->bad_header = true;
            return;
        }
    orb_http_header(&op->http, name, value);
}

void orb_s3_ask_checksum(struct orb_s3_op *op)
{
    if (!op->s3->ask_checksums)
        return;
    op->asked_checksum = op->s3->ways.told_checksums == ORB_S3_CHECKSUMS_ON;
    op->spared_checksum = !op->asked_checksum;
    orb_s3_header(op, "x-amz-checksum-mode", op->asked_checksum ? "ENABLED" : NULL);
}

/* ---- signing ------------------------------------------------------------------------------------- */

/* Everything S3 looks at is signed; what a proxy may rightly change (ranges, conditions, ages) is not. */
static bool is_signed(const char *name)
{
    return orb_str_prefix(name, "x-amz-") || strcmp(name, "content-type") == 0 || strcmp(name, "content-md5") == 0;
}

/* Takes the request's header lines apart into pairs; the texts go to s3->scratch. */
static bool signed_pairs(struct orb_s3_op *op, orbit_pair *pairs, size_t *count)
{
    struct orb_buf *texts = &op->s3->scratch, *lines = &op->http.headers;
    orb_buf_reset(texts);
    if (!orb_buf_append(texts, lines->bytes, lines->length))
        return false;
    size_t used = 0;
    pairs[used++] = (orbit_pair){"host", op->address->authority};
    for (char *at = texts->bytes, *end = at + texts->length; at < end;) {
        size_t length = strlen(at), name = strcspn(at, ":;");
        char *value = at[name] == ':' ? at + name + 2 : at + length;
        at[name] = '\0';
        if (is_signed(at)) {
            if (used == ORB_SIGV4_HEADERS_MAX)
                return false;
            pairs[used++] = (orbit_pair){at, value};
        }
        at += length + 1;
    }
    *count = used;
    return true;
}

static orbit_status sign(struct orb_s3_op *op, const char *query, orbit_error *error)
{
    struct orb_s3 *s3 = op->s3;
    struct orb_keys_source *source = orb_s3_op_keys(op);
    const struct orb_keys *keys = source ? orb_keys_source_current(source, &op->keys) : NULL;
    bool in_session = source && source == s3->session;
    char date[ORB_SIGV4_DATE];
    orbit_pair pairs[ORB_SIGV4_HEADERS_MAX];
    size_t count = 0;
    if (!source)
        return ORBIT_OK; /* anonymous */
    if (!keys)
        return orb_fail(error, ORBIT_E_AUTH, 0, "the credentials expire as soon as they come");

    const char *hash = op->payload_hash[0] ? op->payload_hash : op->http.body ? ORB_SIGV4_UNSIGNED : ORB_SIGV4_EMPTY;
    orb_sigv4_date(date, orb_realtime_ns() / (int64_t)ORB_S + s3->clock_offset_s);
    orb_s3_header(op, "x-amz-date", date);
    orb_s3_header(op, "x-amz-content-sha256", hash);
    orb_s3_header(op, in_session ? "x-amz-s3session-token" : "x-amz-security-token", keys->session_token);
    if (op->http.headers.failed || !signed_pairs(op, pairs, &count))
        return orb_fail_memory(error);

    const char *path = strchr(orb_buf_string(&op->url) + strlen("https://"), '/');
    char *path_copy = NULL;
    size_t path_length = path ? strcspn(path, "?") : 0;
    orbit_status status = ORBIT_E_MEMORY;
    struct orb_sigv4_keys key = {keys->access_key_id, keys->secret_access_key, keys->session_token, op->address->region,
                                 op->address->service};
    struct orb_sigv4_request request = {op->http.method, "/", query, pairs, count, hash};
    if (path_length) {
        path_copy = orb_strndup(path, path_length);
        if (!path_copy)
            return orb_fail_memory(error);
        request.path = path_copy;
    }
    orb_buf_reset(&s3->authorization);
    status = orb_sigv4_sign(s3->signer, &key, &request, date, &s3->authorization, error);
    if (status >= 0)
        orb_s3_header(op, "authorization", orb_buf_string(&s3->authorization));
    if (status >= 0 && op->chunks && !(*op->chunks = orb_sigv4_chunks_new(s3->signer, &key, date)))
        status = orb_fail_memory(error);
    if (status >= 0 && op->http.headers.failed)
        status = orb_fail_memory(error);
    orb_free(path_copy);
    return status;
}

/* ---- sending ------------------------------------------------------------------------------------- */

void orb_s3_on_done(struct orb_http_request *request)
{
    struct orb_s3_op *op = (struct orb_s3_op *)request;
    op->running = false;
    if (request->http_status)
        op->s3->reached = true;
    op->finished(op);
}

void orb_s3_on_silent(struct orb_http_request *request, uint64_t since_ns)
{
    orbit_op_silent(((struct orb_s3_op *)request)->op, since_ns);
}

/* What requests without events of their own use. */
static const struct orb_http_events plain_events = {
    .header = orb_s3_on_header, .silent = orb_s3_on_silent, .done = orb_s3_on_done};

/* The address is made whole before anything is waited for: values of params are only lent until then. */
static orbit_status prepare(struct orb_s3_op *op, orbit_error *error)
{
    op->query = 0;
    if (op->bad_header)
        return orb_fail(
            error, ORBIT_E_CONFIG, 0,
            "a metadata name or an option's value cannot be sent: names are made of letters, digits and signs "
            "such as - and _, and no value has control characters");
    if (op->param_count) {
        orb_buf_char(&op->url, '?');
        op->query = op->url.length;
        orb_sigv4_query(&op->url, op->params, op->param_count);
    }
    if (op->url.failed || op->http.headers.failed) {
        bool long_one = op->url.length > URL_MAX / 2 || op->http.headers.length > URL_MAX / 2;
        return long_one ? orb_fail(error, ORBIT_E_LIMIT, 0, "the request's address or headers are too long")
                        : orb_fail_memory(error);
    }
    return ORBIT_OK;
}

static void cannot_send(struct orb_s3_op *op, orbit_status status, orbit_error *error)
{
    char name[240];
    if (status != ORBIT_E_MEMORY)
        orb_error_prefix(error, "cannot %s '%s'", op->verb,
                         orb_s3_name(op->holder ? op->holder : op->s3, op->path, name, sizeof name));
    orb_s3_op_end(op, status, error);
}

static void send_now(struct orb_s3_op *op)
{
    orbit_error error;
    orbit_status status = sign(op, op->query ? orb_buf_string(&op->url) + op->query : "", &error);
    if (status >= 0) {
        op->http.url = orb_buf_string(&op->url);
        if (!op->http.events)
            op->http.events = &plain_events;
        op->running = true;
        orbit_op_silent(op->op, 0); /* what was said was of the request before */
        status = orb_http_start(op->s3->http, &op->http, &error);
    }
    if (status < 0) {
        op->running = false;
        cannot_send(op, status, &error);
    }
}

struct orb_keys_source *orb_s3_op_keys(const struct orb_s3_op *op)
{
    return op->s3->session && !op->own_keys ? op->s3->session : op->s3->keys;
}

static void on_keys(struct orb_keys_wait *wait, orbit_status status, const orbit_error *error);

/* False: there are keys, nothing is waited for. */
static bool wait_for(struct orb_s3_op *op, struct orb_keys_source *source)
{
    if (orb_keys_source_current(source, &op->keys))
        return false;
    op->awaited = source;
    op->wait.done = on_keys;
    orb_keys_source_wait(source, &op->wait);
    return true;
}

static void on_keys(struct orb_keys_wait *wait, orbit_status status, const orbit_error *error)
{
    struct orb_s3_op *op = (struct orb_s3_op *)((char *)wait - offsetof(struct orb_s3_op, wait));
    struct orb_keys_source *last = orb_s3_op_keys(op);
    bool more = op->awaited != last;
    op->awaited = NULL;
    if (status < 0) {
        orbit_error own = *error;
        cannot_send(op, status, &own);
    } else if (!more || !wait_for(op, last)) {
        op->ready(op);
    }
}

/* A session is asked for by own keys, so these come first. */
void orb_s3_with_keys(struct orb_s3_op *op, void (*ready)(struct orb_s3_op *op))
{
    struct orb_keys_source *own = op->s3->keys, *last = orb_s3_op_keys(op);
    op->ready = ready;
    bool there = !last || orb_keys_source_current(last, &op->keys);
    if (there || (!wait_for(op, own) && (last == own || !wait_for(op, last))))
        ready(op);
}

void orb_s3_stop_waiting(struct orb_s3_op *op)
{
    orb_keys_source_forget(op->awaited, &op->wait);
    op->awaited = NULL;
    orb_s3_op_end(op, ORBIT_E_CANCELLED, NULL);
}

void orb_s3_send(struct orb_s3_op *op, void (*finished)(struct orb_s3_op *op))
{
    orbit_error error;
    op->finished = finished;
    if (orbit_op_cancelled(op->op)) {
        orb_s3_op_end(op, ORBIT_E_CANCELLED, NULL);
        return;
    }
    orbit_status status = prepare(op, &error);
    if (status < 0)
        cannot_send(op, status, &error);
    else
        orb_s3_with_keys(op, send_now);
}

void orb_s3_send_bytes(struct orb_s3_op *op, struct orb_http_bytes *body, const void *bytes, size_t length,
                       void (*finished)(struct orb_s3_op *op))
{
    struct orb_sha256 *hash = orb_sha256_new();
    bool fine = hash && orb_sha256_update(hash, bytes, length) && orb_sha256_hex(hash, op->payload_hash);
    orb_sha256_free(hash);
    if (!fine) {
        orb_s3_op_end(op, ORBIT_E_MEMORY, NULL);
        return;
    }
    orb_http_bytes_init(body, bytes, length);
    op->http.body = &body->body;
    orb_s3_send(op, finished);
}
