/* SPDX-License-Identifier: Apache-2.0
 * What providers share: small files, small answers, keys in JSON (jansson) and in XML, expiry by the giver's clock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "base/clock.h"
#include "base/mem.h"
#include "wire/xml.h"

bool orb_keys_buf_init(struct orb_buf *buf)
{
    orb_buf_init(buf, ORB_KEYS_REPLY_MAX);
    buf->bytes = orb_malloc(ORB_KEYS_REPLY_MAX + 1);
    if (!buf->bytes)
        return false;
    buf->bytes[0] = '\0';
    buf->room = ORB_KEYS_REPLY_MAX + 1;
    return true;
}

void orb_keys_buf_release(struct orb_buf *buf)
{
    if (buf->bytes)
        explicit_bzero(buf->bytes, buf->length);
    orb_buf_release(buf);
}

void orb_keys_wipe(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    orb_free(*secret);
    *secret = NULL;
}

void orb_keys_release(struct orb_keys *keys)
{
    orb_keys_wipe(&keys->access_key_id);
    orb_keys_wipe(&keys->secret_access_key);
    orb_keys_wipe(&keys->session_token);
    keys->expires_ns = keys->lifetime_ns = 0;
}

bool orb_keys_set(char **text, const char *value)
{
    orb_keys_wipe(text);
    *text = value && *value ? orb_strdup(value) : NULL;
    return *text || !value || !*value;
}

bool orb_keys_copy(struct orb_keys *to, const struct orb_keys *from)
{
    *to = (struct orb_keys){.expires_ns = from->expires_ns, .lifetime_ns = from->lifetime_ns};
    if (orb_keys_set(&to->access_key_id, from->access_key_id) &&
        orb_keys_set(&to->secret_access_key, from->secret_access_key) &&
        orb_keys_set(&to->session_token, from->session_token))
        return true;
    orb_keys_release(to);
    return false;
}

orbit_status orb_keys_read_file(const char *path, const char *what, struct orb_buf *out, orbit_error *error)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = -1;
    if (fd < 0)
        return orb_fail_errno(error, errno, "cannot read %s '%.300s'", what, path);
    orb_buf_reset(out);
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode))
        errno = EISDIR;
    else
        while (out->length < out->max && (got = read(fd, out->bytes + out->length, out->max - out->length)) > 0)
            out->length += (size_t)got;
    int number = errno;
    close(fd);
    if (got < 0)
        return orb_fail_errno(error, number, "cannot read %s '%.300s'", what, path);
    if (out->length == out->max)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "%s '%.300s' is larger than such a file can be", what, path);
    while (out->length && strchr(" \t\r\n", out->bytes[out->length - 1]))
        out->length--;
    out->bytes[out->length] = '\0';
    if (strlen(out->bytes) != out->length)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "%s '%.300s' is no text file", what, path);
    return ORBIT_OK;
}

/* Only the difference between the giver's two times counts: our own clock may be wrong by hours. */
orbit_status orb_keys_expire(struct orb_keys *keys, int64_t expires_ns, int64_t now_ns, const char *who,
                             orbit_error *error)
{
    if (!now_ns)
        now_ns = orb_realtime_ns();
    if (expires_ns <= now_ns)
        return orb_fail(error, ORBIT_E_AUTH, 0, "%s gave credentials that have expired already", who);
    keys->lifetime_ns = (uint64_t)(expires_ns - now_ns);
    keys->expires_ns = orb_now_ns() + keys->lifetime_ns;
    return ORBIT_OK;
}

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

/* ISO 8601, or milliseconds since 1970 (SSO). */
static bool expiration_of(const json_t *value, int64_t *ns)
{
    if (json_is_integer(value)) {
        json_int_t ms = json_integer_value(value);
        *ns = ms > INT64_MAX / 1000000 ? INT64_MAX : (int64_t)ms * 1000000;
        return ms > 0;
    }
    return json_is_string(value) && orb_parse_time(json_string_value(value), ns);
}

/* They go into headers. */
static orbit_status check_keys(const struct orb_keys *keys, const char *who, orbit_error *error)
{
    const char *const texts[] = {keys->access_key_id, keys->secret_access_key, keys->session_token};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (const unsigned char *c = (const unsigned char *)texts[i]; c && *c; c++)
            if (*c <= ' ' || *c == 127)
                return orb_fail(error, ORBIT_E_AUTH, 0, "%s gave credentials with blanks or control characters in them",
                                who);
    return ORBIT_OK;
}

static orbit_status take_members(struct orb_keys *keys, const json_t *object, const struct orb_keys_names *names,
                                 int64_t now_ns, const char *who, orbit_error *error)
{
    const json_t *version = json_object_get(object, "Version"), *expires = json_object_get(object, names->expiration);
    const char *id = member(object, names->id), *secret = member(object, names->secret);
    int64_t expires_ns = 0;
    if (names->needs_version && json_integer_value(version) != 1)
        return orb_fail(error, ORBIT_E_AUTH, 0, "%s gave an answer without \"Version\": 1", who);
    if (!id || !secret)
        return orb_fail(error, ORBIT_E_AUTH, 0, "%s gave no %s", who, id ? names->secret : names->id);
    bool fine = orb_keys_set(&keys->access_key_id, id) && orb_keys_set(&keys->secret_access_key, secret) &&
                orb_keys_set(&keys->session_token, member(object, names->token));
    if (!fine)
        return orb_fail_memory(error);
    orbit_status status = check_keys(keys, who, error);
    if (status < 0 || !expires || json_is_null(expires))
        return status;
    if (!expiration_of(expires, &expires_ns))
        return orb_fail(error, ORBIT_E_AUTH, 0, "%s gave an %s that is no time", who, names->expiration);
    return orb_keys_expire(keys, expires_ns, now_ns, who, error);
}

orbit_status orb_keys_from_json(struct orb_keys *keys, const struct orb_buf *json, const struct orb_keys_names *names,
                                int64_t now_ns, const char *who, orbit_error *error)
{
    json_error_t where; /* holds a piece of the text: not told */
    json_t *root = json_loadb(orb_buf_string(json), json->length, 0, &where);
    const json_t *object = names->inside ? json_object_get(root, names->inside) : root;
    orbit_status status;
    if (json_is_object(object))
        status = take_members(keys, object, names, now_ns, who, error);
    else
        status = orb_fail(error, ORBIT_E_AUTH, 0, "%s gave an answer that is no JSON object", who);
    json_decref(root);
    if (status < 0)
        orb_keys_release(keys);
    return status;
}

static bool on_end_of_element(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct orb_keys_answer *answer = ctx;
    (void)depth, (void)length;
    if (strcmp(name, "AccessKeyId") == 0)
        answer->no_memory |= !orb_keys_set(&answer->keys->access_key_id, text);
    else if (strcmp(name, "SecretAccessKey") == 0)
        answer->no_memory |= !orb_keys_set(&answer->keys->secret_access_key, text);
    else if (strcmp(name, "SessionToken") == 0)
        answer->no_memory |= !orb_keys_set(&answer->keys->session_token, text);
    else if (strcmp(name, "Expiration") == 0 && !orb_parse_time(text, &answer->expires_ns))
        answer->expires_ns = 0;
    else if (strcmp(name, "Arn") == 0)
        (void)snprintf(answer->arn, sizeof answer->arn, "%s", text);
    else if (strcmp(name, "Code") == 0)
        (void)snprintf(answer->code, sizeof answer->code, "%s", text);
    else if (strcmp(name, "Message") == 0)
        (void)snprintf(answer->message, sizeof answer->message, "%s", text);
    return true;
}

orbit_status orb_keys_refused(const char *who, int http_status, const char *code, const char *text, orbit_error *error)
{
    char clean[200];
    size_t length = 0;
    for (; text && *text && length + 1 < sizeof clean; text++)
        clean[length++] = (char)((unsigned char)*text < ' ' || *text == 127 ? ' ' : *text);
    clean[length] = '\0';
    bool again = http_status >= 500 || http_status == 429 || strcmp(code, "Throttling") == 0;
    (void)orb_fail(error, again ? ORBIT_E_BUSY : ORBIT_E_AUTH, 0, "%s refused%s%.60s%s%s (HTTP %d)", who,
                   *code || *clean ? ": " : "", code, *code && *clean ? ": " : "", clean, http_status);
    if (error) {
        error->http_status = http_status;
        if (again)
            error->flags |= ORBIT_ERROR_RETRIABLE;
    }
    return again ? ORBIT_E_BUSY : ORBIT_E_AUTH;
}

orbit_status orb_keys_unreached(const char *who, orbit_status status, orbit_error *error)
{
    if (status < 0 && status != ORBIT_E_CANCELLED && status != ORBIT_E_MEMORY)
        orb_error_prefix(error, "%s cannot be asked", who);
    return status;
}

orbit_status orb_keys_from_xml(struct orb_keys_answer *answer, const struct orb_buf *xml, int http_status,
                               const char *who, orbit_error *error)
{
    static const struct orb_xml_events events = {NULL, on_end_of_element};
    orbit_status status = orb_xml_read(xml, &events, answer, error);
    if (answer->no_memory || status == ORBIT_E_MEMORY)
        return orb_fail_memory(error);
    if (http_status != 200) /* a proxy's page is no XML, and still a refusal */
        return orb_keys_refused(who, http_status, answer->code, answer->message, error);
    if (status < 0)
        orb_error_prefix(error, "%s gave an answer that cannot be read", who);
    return status < 0 ? status : check_keys(answer->keys, who, error);
}

orbit_status orb_keys_ask(struct orb_keys_fetch *fetch, struct orb_ask *ask, struct orb_buf *reply, int *http_status,
                          int64_t *date_ns, orbit_error *error)
{
    const struct orb_keys_origin *origin = fetch->origin;
    ask->ca_bundle = origin->ca_bundle;
    ask->no_verify_tls = origin->no_verify_tls;
    ask->cancelled = fetch->cancelled;
    if (!ask->connect_timeout_ms)
        ask->connect_timeout_ms = 5000;
    if (!ask->timeout_ms)
        ask->timeout_ms = origin->timeout_ms < 15000 ? origin->timeout_ms : 15000;
    orb_buf_reset(reply);
    orbit_status status = orb_ask(ask, reply, http_status, date_ns, error);
    orb_log(fetch->log, ORBIT_LOG_DEBUG, "s3: %s %.*s for credentials: %d%s%s", ask->method,
            (int)strcspn(ask->url, "?"), ask->url, status < 0 ? 0 : *http_status, status < 0 && error ? ": " : "",
            status < 0 && error ? error->message : "");
    return status;
}

orbit_status orb_keys_ask_signed(struct orb_keys_signed *call, orbit_error *error)
{
    const int64_t far = 300;
    int64_t known = atomic_load(call->fetch->clock_offset_s);
    orbit_status status = call->ask(call, known, error);
    if (status < 0 || call->http_status == 200 || !call->date_ns)
        return status;
    int64_t offset_s = (call->date_ns - orb_realtime_ns()) / (int64_t)ORB_S, change = offset_s - known;
    if (change > -far && change < far)
        return status;
    orb_log(call->fetch->log, ORBIT_LOG_WARN, "s3: the clock of %s is %lld seconds ahead of ours: signing by its clock",
            call->who, (long long)offset_s);
    atomic_store(call->fetch->clock_offset_s, offset_s);
    return call->ask(call, offset_s, error);
}
