/* SPDX-License-Identifier: Apache-2.0
 * A look at the way to a server: curl goes it with the options that requests have, so that what it finds is what they
 * will. */
#include "wire/reach.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "wire/http_lane.h"

orbit_status orb_reach_resolve(const char *host, char addresses[][ORB_REACH_ADDRESS], size_t *count, orbit_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    *count = 0;
    if (code != 0)
        return orb_fail(error, ORBIT_E_CONNECT, code, "the name '%.200s' does not resolve: %s", host,
                        gai_strerror(code));
    for (struct addrinfo *at = found; at && *count < ORB_REACH_ADDRESSES; at = at->ai_next)
        if (getnameinfo(at->ai_addr, at->ai_addrlen, addresses[*count], ORB_REACH_ADDRESS, NULL, 0, NI_NUMERICHOST) ==
            0)
            ++*count;
    freeaddrinfo(found);
    return ORBIT_OK;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct orb_reach *reach = user;
    (void)a, (void)b, (void)c, (void)d;
    return reach->stopped && reach->stopped(reach->ctx);
}

/* curl lists a certificate's fields as "Name:value", the server's own first. */
static void take_certificate(CURL *curl, struct orb_reach *reach)
{
    struct curl_certinfo *chain = NULL;
    if (orb_curl.easy_getinfo(curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1)
        return;
    for (const struct curl_slist *at = chain->certinfo[0]; at; at = at->next) {
        if (strncmp(at->data, "Subject:", 8) == 0)
            (void)snprintf(reach->subject, sizeof reach->subject, "%s", at->data + 8);
        if (strncmp(at->data, "Expire date:", 12) == 0) {
            time_t when = orb_curl.getdate(at->data + 12, NULL);
            reach->expires_ns = when > 0 ? (int64_t)when * (int64_t)ORB_S : 0;
        }
    }
}

static void take_times(CURL *curl, struct orb_reach *reach)
{
    curl_off_t name_us = 0, connect_us = 0, tls_us = 0;
    const char *ip = NULL;
    long port = 0;
    (void)orb_curl.easy_getinfo(curl, CURLINFO_NAMELOOKUP_TIME_T, &name_us);
    (void)orb_curl.easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connect_us);
    (void)orb_curl.easy_getinfo(curl, CURLINFO_APPCONNECT_TIME_T, &tls_us);
    (void)orb_curl.easy_getinfo(curl, CURLINFO_PRIMARY_IP, &ip);
    (void)orb_curl.easy_getinfo(curl, CURLINFO_PRIMARY_PORT, &port);
    reach->connect_ns = connect_us > name_us ? (uint64_t)(connect_us - name_us) * 1000 : 0;
    reach->tls_ns = tls_us > connect_us ? (uint64_t)(tls_us - connect_us) * 1000 : 0;
    bool six = ip && strchr(ip, ':');
    (void)snprintf(reach->peer, sizeof reach->peer, "%s%.60s%s:%ld", six ? "[" : "", ip ? ip : "", six ? "]" : "",
                   port);
}

/* "name:port:address", as CURLOPT_RESOLVE takes it. */
static struct curl_slist *pin(const struct orb_reach *reach)
{
    char peer[160], line[300];
    orb_http_peer(peer, sizeof peer, reach->url);
    bool six = strchr(reach->address, ':') != NULL;
    (void)snprintf(line, sizeof line, "%s:%s%s%s", peer, six ? "[" : "", reach->address, six ? "]" : "");
    return orb_curl.slist_append(NULL, line);
}

static orbit_status go(struct orb_reach *reach, bool verify, orbit_error *error)
{
    struct orb_http_site site = *reach->site;
    struct orb_http_easy easy = {.curl = orb_curl.easy_init()};
    struct curl_slist *pinned = reach->address ? pin(reach) : NULL;
    orbit_status status = ORBIT_OK;
    if (!easy.curl || (reach->address && !pinned)) {
        status = orb_fail_memory(error);
        goto out;
    }
    site.no_verify_tls |= !verify;
    orb_http_site_apply(easy.curl, &site);
    orb_curl.easy_setopt(easy.curl, CURLOPT_ERRORBUFFER, easy.text);
    orb_curl.easy_setopt(easy.curl, CURLOPT_URL, reach->url);
    orb_curl.easy_setopt(easy.curl, CURLOPT_PROTOCOLS_STR, "http,https");
    orb_curl.easy_setopt(easy.curl, CURLOPT_CONNECT_ONLY, 1L);
    orb_curl.easy_setopt(easy.curl, CURLOPT_CERTINFO, 1L);
    orb_curl.easy_setopt(easy.curl, CURLOPT_NOSIGNAL, 1L);
    orb_curl.easy_setopt(easy.curl, CURLOPT_CONNECTTIMEOUT_MS, (long)site.connect_timeout_ms);
    orb_curl.easy_setopt(easy.curl, CURLOPT_RESOLVE, pinned);
    orb_curl.easy_setopt(easy.curl, CURLOPT_NOPROGRESS, 0L);
    orb_curl.easy_setopt(easy.curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    orb_curl.easy_setopt(easy.curl, CURLOPT_XFERINFODATA, reach);
    CURLcode code = orb_curl.easy_perform(easy.curl);
    take_times(easy.curl, reach);
    take_certificate(easy.curl, reach);
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        status = orb_fail(error, ORBIT_E_CANCELLED, 0, "cancelled");
    } else if (code != CURLE_OK) { /* in the words that a request would have for it */
        struct orb_http_request request = {.site = &site, .url = reach->url, .easy = &easy};
        orb_http_classify(&request, code);
        status = request.status;
        if (error)
            *error = request.error;
    }
out:
    orb_curl.easy_cleanup(easy.curl);
    orb_curl.slist_free_all(pinned);
    return status;
}

orbit_status orb_reach(struct orb_reach *reach, orbit_error *error)
{
    reach->peer[0] = reach->subject[0] = '\0';
    reach->connect_ns = reach->tls_ns = 0;
    reach->expires_ns = 0;
    orbit_status status = orb_curl_load(error);
    if (status >= 0)
        status = go(reach, true, error);
    if (status == ORBIT_E_UNTRUSTED && !reach->subject[0])
        (void)go(reach, false, NULL);
    return status;
}
