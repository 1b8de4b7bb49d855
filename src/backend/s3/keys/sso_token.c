/* SPDX-License-Identifier: Apache-2.0
 * The token of a single sign-on, in the file that `aws sso login` keeps: read, and renewed by its refresh token when
 * it is about to end. The file is replaced as a whole, so that others who read it see the old token or the new one.
 * The fetch's thread. docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/s3/keys/provider.h"
#include "base/clock.h"

enum { PATH_ROOM = 4096 + 16 };
static const int64_t early_ns = 900 * (int64_t)ORB_S; /* renewed from then on, as the AWS tools do */

static const char *text_of(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));
    return text && *text ? text : NULL;
}

static int64_t time_of(const json_t *root, const char *name)
{
    const char *text = text_of(root, name);
    int64_t ns = 0;
    return text && orb_parse_time(text, &ns) ? ns : 0;
}

static orbit_status load(const char *path, struct orb_buf *file, json_t **root, orbit_error *error)
{
    json_error_t where; /* holds a piece of the text: not told */
    orbit_status status = orb_keys_read_file(path, "the single sign-on token", file, error);
    *root = NULL;
    if (status < 0)
        return status;
    *root = json_loadb(orb_buf_string(file), file->length, 0, &where);
    return *root && text_of(*root, "accessToken") && time_of(*root, "expiresAt") ? ORBIT_OK : ORBIT_END;
}

/* What it takes to renew it; the client's registration has an end of its own. */
static bool can_renew(const json_t *root)
{
    int64_t registered_until_ns = time_of(root, "registrationExpiresAt");
    return text_of(root, "refreshToken") && text_of(root, "clientId") && text_of(root, "clientSecret") &&
           registered_until_ns > orb_realtime_ns();
}

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

/* Beside it, for its owner alone, and then in its place. */
static bool store(const char *path, const json_t *root)
{
    char temporary[PATH_ROOM];
    char *text = json_dumps(root, JSON_INDENT(2));
    int made = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path), fd = -1;
    bool fine = text && made > 0 && (size_t)made < sizeof temporary && (fd = mkostemp(temporary, O_CLOEXEC)) >= 0;
    if (fine) { /* mkostemp makes it 0600 */
        fine = write_all(fd, text, strlen(text)) && fsync(fd) == 0;
        fine = close(fd) == 0 && fine;
        fine = fine && rename(temporary, path) == 0;
        if (!fine)
            (void)unlink(temporary);
    }
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    return fine;
}

static orbit_status ask(struct orb_keys_fetch *fetch, const json_t *root, const char *region, struct orb_buf *reply,
                        orbit_error *error)
{
    char url[512];
    orbit_pair header = {"content-type", "application/json"};
    int http_status = 0;
    int64_t date_ns = 0;
    const char *own = fetch->origin->oidc_endpoint;
    int made = own ? snprintf(url, sizeof url, "%s/token", own)
                   : snprintf(url, sizeof url, "https://oidc.%s.amazonaws.com%s/token", region,
                              orb_str_prefix(region, "cn-") ? ".cn" : "");
    json_t *body =
        json_pack("{ssssssss}", "clientId", text_of(root, "clientId"), "clientSecret", text_of(root, "clientSecret"),
                  "grantType", "refresh_token", "refreshToken", text_of(root, "refreshToken"));
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct orb_ask request = {.method = "POST", .url = url, .headers = &header, .header_count = 1, .body = text};
    orbit_status status = made < 0 || (size_t)made >= sizeof url
                              ? orb_fail(error, ORBIT_E_CONFIG, 0, "the address of the single sign-on is too long")
                          : !text ? orb_fail_memory(error)
                                  : orb_keys_ask(fetch, &request, reply, &http_status, &date_ns, error);
    if (status >= 0 && http_status != 200)
        status = orb_keys_refused("single sign-on", http_status, "", NULL, error);
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    json_decref(body);
    return status;
}

/* Takes what the reply gives over into `root`. */
static bool take(json_t *root, const struct orb_buf *reply)
{
    json_error_t where;
    char when[32];
    struct tm parts;
    json_t *given = json_loadb(orb_buf_string(reply), reply->length, 0, &where);
    const char *token = text_of(given, "accessToken"), *refresh = text_of(given, "refreshToken");
    json_int_t life_s = json_integer_value(json_object_get(given, "expiresIn"));
    time_t until = (time_t)(orb_realtime_ns() / (int64_t)ORB_S + life_s);
    bool fine = token && life_s > 0 && life_s < INT32_MAX && gmtime_r(&until, &parts) &&
                strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0 &&
                json_object_set_new(root, "accessToken", json_string(token)) == 0 &&
                json_object_set_new(root, "expiresAt", json_string(when)) == 0 &&
                (!refresh || json_object_set_new(root, "refreshToken", json_string(refresh)) == 0);
    json_decref(given);
    return fine;
}

static orbit_status renew(struct orb_keys_fetch *fetch, json_t *root, const char *path, const char *region,
                          orbit_error *error)
{
    struct orb_buf reply = {0};
    orbit_status status = orb_keys_buf_init(&reply) ? ask(fetch, root, region, &reply, error) : orb_fail_memory(error);
    if (status >= 0 && !take(root, &reply))
        status = orb_fail(error, ORBIT_E_AUTH, 0, "single sign-on gave an answer without a token");
    if (status >= 0 && !store(path, root))
        orb_log(fetch->log, ORBIT_LOG_WARN,
                "s3: the renewed single sign-on token cannot be kept in '%.300s' (%s): 'aws sso login' will be needed "
                "again",
                path, strerrordesc_np(errno));
    else if (status >= 0)
        orb_log(fetch->log, ORBIT_LOG_INFO, "s3: the single sign-on token was renewed");
    orb_keys_buf_release(&reply);
    return status;
}

orbit_status orb_keys_sso_token(struct orb_keys_fetch *fetch, const char *path, const char *region,
                                struct orb_buf *token, bool *over, orbit_error *error)
{
    struct orb_buf file = {0};
    json_t *root = NULL, *again = NULL;
    orbit_error why = {0};
    *over = false;
    orbit_status status = orb_keys_buf_init(&file) ? load(path, &file, &root, error) : orb_fail_memory(error);
    if (status == ORBIT_OK && time_of(root, "expiresAt") - orb_realtime_ns() < early_ns && can_renew(root)) {
        orbit_status renewed = renew(fetch, root, path, region, &why);
        if (renewed == ORBIT_E_MEMORY || renewed == ORBIT_E_CANCELLED) {
            orb_error_copy(error, &why);
            status = renewed;
        } else if (renewed < 0 && load(path, &file, &again, NULL) == ORBIT_OK) {
            json_decref(root); /* another process may have been faster, and a refresh token is good once */
            root = again;
            again = NULL;
        }
    }
    if (status == ORBIT_OK && time_of(root, "expiresAt") <= orb_realtime_ns()) {
        *over = true;
        status = ORBIT_END;
        if (why.status < 0 && why.status != ORBIT_E_AUTH) { /* the service was not asked: that is what is wrong */
            orb_error_copy(error, &why);
            status = (orbit_status)why.status;
        }
    }
    if (status == ORBIT_OK && !orb_buf_text(token, text_of(root, "accessToken")))
        status = orb_fail_memory(error);
    json_decref(again);
    json_decref(root);
    orb_keys_buf_release(&file);
    return status;
}
