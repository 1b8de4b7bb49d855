/* SPDX-License-Identifier: Apache-2.0
 * A blocking request by a curl handle of its own. The caller's thread. */
#include "wire/ask.h"

#include <strings.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/http_lane.h"

struct answer {
    const struct orb_ask *ask;
    struct orb_buf *reply;
    int64_t date_ns;
    char text[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t one, size_t count, void *user)
{
    struct answer *answer = user;
    return orb_buf_append(answer->reply, bytes, one * count) ? one * count : 0;
}

static size_t on_header(char *line, size_t one, size_t count, void *user)
{
    struct answer *answer = user;
    size_t all = one * count, length = all;
    char date[64];
    while (length && (line[length - 1] == '\r' || line[length - 1] == '\n'))
        length--;
    if (length > 6 && length - 6 < sizeof date && strncasecmp(line, "date: ", 6) == 0) {
        memcpy(date, line + 6, length - 6);
        date[length - 6] = '\0';
        if (!orb_parse_time(date, &answer->date_ns))
            answer->date_ns = 0;
    }
    return all;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct answer *answer = user;
    (void)a, (void)b, (void)c, (void)d;
    return answer->ask->cancelled && atomic_load(answer->ask->cancelled) ? 1 : 0;
}

static int on_connected(void *user, char *peer, char *own, int peer_port, int own_port)
{
    const struct answer *answer = user;
    (void)peer, (void)own, (void)peer_port, (void)own_port;
    if (answer->ask->reached)
        *answer->ask->reached = true;
    return CURL_PREREQFUNC_OK;
}

static bool add_headers(const struct orb_ask *ask, struct curl_slist **list)
{
    bool fine = true;
    for (size_t i = 0; fine && i < ask->header_count; i++) {
        struct orb_buf line;
        orb_buf_init(&line, 64 << 10);
        orb_buf_format(&line, "%s: %s", ask->headers[i].name, ask->headers[i].value);
        struct curl_slist *longer = line.failed ? NULL : orb_curl.slist_append(*list, orb_buf_string(&line));
        fine = longer != NULL;
        *list = longer ? longer : *list;
        if (line.bytes)
            explicit_bzero(line.bytes, line.length);
        orb_buf_release(&line);
    }
    return fine;
}

static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *at = list; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data)); /* tokens */
    orb_curl.slist_free_all(list);
}

static void set_up(CURL *curl, struct answer *answer, struct curl_slist *headers)
{
    const struct orb_ask *ask = answer->ask;
    orb_curl.easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->text);
    orb_curl.easy_setopt(curl, CURLOPT_URL, ask->url);
    orb_curl.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    orb_curl.easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    orb_curl.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_USERAGENT, "orbit");
    orb_curl.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)ask->connect_timeout_ms);
    orb_curl.easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
    orb_curl.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    orb_curl.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    orb_curl.easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    orb_curl.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    orb_curl.easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    orb_curl.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    orb_curl.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    orb_curl.easy_setopt(curl, CURLOPT_XFERINFODATA, answer);
    orb_curl.easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connected);
    orb_curl.easy_setopt(curl, CURLOPT_PREREQDATA, answer);
    if (ask->body) {
        orb_curl.easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
        orb_curl.easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(ask->body));
    }
    orb_curl.easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
    if (ask->direct)
        orb_curl.easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (ask->ca_bundle)
        orb_curl.easy_setopt(curl, CURLOPT_CAINFO, ask->ca_bundle);
    if (ask->no_verify_tls) {
        orb_curl.easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        orb_curl.easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static orbit_status failed(const struct answer *answer, CURLcode code, orbit_error *error)
{
    const struct orb_ask *ask = answer->ask;
    char peer[160];
    orb_http_peer(peer, sizeof peer, ask->url);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "cancelled");
    if (code == CURLE_WRITE_ERROR)
        return answer->reply->length + CURL_MAX_WRITE_SIZE > answer->reply->max
                   ? orb_fail(error, ORBIT_E_PROTOCOL, 0, "%s sent more than an answer can be", peer)
                   : orb_fail_memory(error);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR)
        return orb_fail(error, ORBIT_E_UNTRUSTED, (int)code, "the certificate of %s is not trusted (%s)", peer,
                        *answer->text ? answer->text : orb_curl.easy_strerror(code));
    bool slow = code == CURLE_OPERATION_TIMEDOUT;
    orbit_status status = slow                                                                  ? ORBIT_E_TIMEOUT
                          : code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ? ORBIT_E_CONNECT
                                                                                                : ORBIT_E_NETWORK;
    (void)orb_fail(error, status, (int)code, "%s: %s", peer,
                   slow            ? "no answer in time"
                   : *answer->text ? answer->text
                                   : orb_curl.easy_strerror(code));
    if (error && status != ORBIT_E_CONNECT)
        error->flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

orbit_status orb_ask(const struct orb_ask *ask, struct orb_buf *reply, int *http_status, int64_t *date_ns,
                     orbit_error *error)
{
    struct answer answer = {.ask = ask, .reply = reply};
    struct curl_slist *headers = NULL;
    orbit_status status = orb_curl_load(error);
    CURL *curl = status >= 0 ? orb_curl.easy_init() : NULL;
    long code = 0;
    if (ask->reached)
        *ask->reached = false;
    if (status < 0)
        return status;
    if (!curl || !add_headers(ask, &headers)) {
        status = orb_fail_memory(error);
        goto out;
    }
    set_up(curl, &answer, headers);
    CURLcode result = orb_curl.easy_perform(curl);
    if (result != CURLE_OK)
        status = failed(&answer, result, error);
    orb_curl.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    *http_status = (int)code;
    *date_ns = answer.date_ns;
out:
    free_headers(headers);
    orb_curl.easy_cleanup(curl);
    return status;
}
