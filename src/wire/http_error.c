/* SPDX-License-Identifier: Apache-2.0
 * What curl reports, said in Orbit's words. The lane's thread only. */
#include <errno.h>

#include "base/error.h"
#include "wire/http_lane.h"

void orb_http_peer(char *peer, size_t room, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    int length = (int)strcspn(host, "/?");
    bool secure = strncmp(url, "https", 5) == 0;
    /* A port is there when a colon follows the last bracket of an IPv6 address. */
    const char *from = memchr(host, ']', (size_t)length);
    const char *colon = memchr(from ? from : host, ':', (size_t)(length - (from ? from - host : 0)));
    if (colon)
        (void)snprintf(peer, room, "%.*s", length, host);
    else
        (void)snprintf(peer, room, "%.*s:%s", length, host, secure ? "443" : "80");
}

static const char *connect_cause(long number)
{
    switch (number) {
    case ECONNREFUSED:
        return "connection refused: is the server running, and is the port right?";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to it";
    case ETIMEDOUT:
        return "no answer";
    default:
        return NULL;
    }
}

/* curl's text names whom it could not connect to: where that is not the peer, it is the proxy. For the wording
 * alone. */
static bool by_proxy(const struct orb_http_request *request, const char *peer)
{
    char target[200];
    const char *proxy = request->site->proxy, *port = strrchr(peer, ':');
    if (!proxy || !*proxy || !port || !strstr(request->easy->text, " port "))
        return false;
    (void)snprintf(target, sizeof target, " port %s ", port + 1);
    return strstr(request->easy->text, target) == NULL;
}

static orbit_status cannot_connect(struct orb_http_request *request, CURLcode code, const char *peer)
{
    long number = 0;
    (void)orb_curl.easy_getinfo(request->easy->curl, CURLINFO_OS_ERRNO, &number);
    const char *cause = connect_cause(number);
    orbit_status status;
    if (!cause)
        cause = number ? strerrordesc_np((int)number) : request->easy->text;
    status = orb_fail(&request->error, ORBIT_E_CONNECT, number ? (int)number : (int)code, "cannot connect to %s%s: %s",
                      peer, by_proxy(request, peer) ? " through the proxy of the environment" : "",
                      cause && *cause ? cause : orb_curl.easy_strerror(code));
    if (number && number != ECONNREFUSED && number != ENOENT && number != EACCES)
        request->error.flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

static orbit_status lost(struct orb_http_request *request, CURLcode code, const char *peer, const char *what)
{
    long number = 0;
    (void)orb_curl.easy_getinfo(request->easy->curl, CURLINFO_OS_ERRNO, &number);
    const char *why = number ? strerrordesc_np((int)number) : NULL;
    if (!why && code == CURLE_RECV_ERROR && *request->easy->text)
        why = request->easy->text;
    orbit_status status =
        orb_fail(&request->error, ORBIT_E_NETWORK, (int)code, "%s %s%s%s", peer, what, why ? ": " : "", why ? why : "");
    request->error.flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

static orbit_status timed_out(struct orb_http_request *request, CURLcode code, const char *peer)
{
    orbit_status status;
    if (request->connected)
        status = orb_fail(&request->error, ORBIT_E_TIMEOUT, (int)code, "%s took too long to answer", peer);
    else
        status =
            orb_fail(&request->error, ORBIT_E_TIMEOUT, (int)code, "cannot connect to %s: no answer within %.3g seconds",
                     peer, (double)request->site->connect_timeout_ms / 1000.0);
    request->error.flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

/* A proxy that does not let us through says so in its reply to CONNECT. */
static orbit_status refused_by_proxy(struct orb_http_request *request, long reply, const char *peer)
{
    orbit_error *error = &request->error;
    if (reply == 407)
        return orb_fail(error, ORBIT_E_AUTH, (int)reply,
                        "cannot connect to %s: the proxy wants a user name and password (407)", peer);
    (void)orb_fail(error, ORBIT_E_CONNECT, (int)reply, "cannot connect to %s: the proxy refused with %ld", peer, reply);
    if (reply >= 500)
        error->flags |= ORBIT_ERROR_RETRIABLE;
    return ORBIT_E_CONNECT;
}

bool orb_http_reused(struct orb_http_request *request)
{
    long made = 0;
    return orb_curl.easy_getinfo(request->easy->curl, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK && made == 0;
}

static orbit_status classify(struct orb_http_request *request, CURLcode code, const char *peer)
{
    orbit_error *error = &request->error;
    const char *text = *request->easy->text ? request->easy->text : orb_curl.easy_strerror(code);
    int host = (int)strcspn(peer, ":");
    orbit_status status;
    long reply = 0;
    (void)orb_curl.easy_getinfo(request->easy->curl, CURLINFO_HTTP_CONNECTCODE, &reply);
    if (reply >= 300 && !request->connected)
        return refused_by_proxy(request, reply, peer);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return orb_fail(error, ORBIT_E_CONNECT, (int)code, "cannot connect to %s: the name '%.*s' does not resolve",
                        peer, host, peer);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return orb_fail(error, ORBIT_E_CONNECT, (int)code, "cannot connect to %s: the proxy's name does not resolve",
                        peer);
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_PROXY:
        return cannot_connect(request, code, peer);
    case CURLE_OPERATION_TIMEDOUT:
        return timed_out(request, code, peer);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return orb_fail(
            error, ORBIT_E_UNTRUSTED, (int)code,
            "the certificate of %s is not trusted (%s); if it is yours, name its CA with --ca-bundle or AWS_CA_BUNDLE",
            peer, text);
    case CURLE_SSL_CACERT_BADFILE:
        return orb_fail(error, ORBIT_E_CONFIG, (int)code, "cannot read the CA bundle '%s'",
                        request->site->ca_bundle ? request->site->ca_bundle : "of the system");
    case CURLE_SSL_CERTPROBLEM:
        return orb_fail(
            error, ORBIT_E_CONFIG, (int)code,
            "cannot use the client certificate '%.200s' with its key: are both PEM files, without a password?",
            request->site->client_cert ? request->site->client_cert : "");
    case CURLE_SSL_CONNECT_ERROR:
        status = orb_fail(error, ORBIT_E_CONNECT, (int)code, "the TLS handshake with %s failed: %s", peer, text);
        error->flags |= ORBIT_ERROR_RETRIABLE;
        return status;
    case CURLE_OUT_OF_MEMORY:
        /* What curl says of a header line beyond its limit, too. */
        if (request->http_status && !request->head_seen)
            return orb_fail(error, ORBIT_E_PROTOCOL, (int)code, "%s sent headers that are too long", peer);
        return orb_fail_memory(error);
    case CURLE_PARTIAL_FILE:
        return lost(request, code, peer, "closed the connection in the middle of the reply");
    case CURLE_GOT_NOTHING:
        return lost(request, code, peer, "closed the connection without a reply");
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return lost(request, code, peer, "broke the connection");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        if (orb_http_reused(request)) /* it may be the rest of the reply before, of which more came than it said */
            return lost(request, code, peer, "sent what is no reply on a connection that was in use before");
        return orb_fail(error, ORBIT_E_PROTOCOL, (int)code, "%s does not answer as an HTTP server should: %s", peer,
                        text);
    case CURLE_URL_MALFORMAT:
        return orb_fail(error, ORBIT_E_CONFIG, (int)code, "'%.200s' is not an address that can be asked", request->url);
    default:
        status = orb_fail(error, ORBIT_E_NETWORK, (int)code, "the request to %s failed: %s", peer, text);
        error->flags |= ORBIT_ERROR_RETRIABLE;
        return status;
    }
}

void orb_http_classify(struct orb_http_request *request, CURLcode code)
{
    char peer[160];
    request->sent_all = request->connected && (!request->body || request->body_ended);
    if (request->status < 0)
        return; /* one of our callbacks said why */
    if (request->enough || (code == CURLE_OK && request->http_status >= 200))
        return;
    /* A refusal that came before the body was sent, with the connection closed at once: the refusal counts. */
    if (request->head_seen && request->http_status >= 300)
        return;
    if (request->site->unix_socket)
        (void)snprintf(peer, sizeof peer, "%s", request->site->unix_socket);
    else
        orb_http_peer(peer, sizeof peer, request->url);
    if (code == CURLE_OK)
        request->status = orb_fail(&request->error, ORBIT_E_PROTOCOL, 0, "%s sent no final reply", peer);
    else
        request->status = classify(request, code, peer);
}
