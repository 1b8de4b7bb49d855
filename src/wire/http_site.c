/* SPDX-License-Identifier: Apache-2.0
 * The way to a site, as curl is told of it: proxies, sockets, certificates. The caller's thread. */
#include <stdlib.h>

#include "wire/http_lane.h"

/* The names curl would look for, and HTTP_PROXY, which others take: it is not believed where a web server runs us,
 * since there it is a request's header "Proxy:". */
void orb_http_site_proxy(struct orb_http_site *site, bool secure)
{
    static const char *const names[2][5] = {{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL},
                                            {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL}};
    const char *found = NULL, *except = getenv("no_proxy");
    for (const char *const *name = names[secure]; *name && !(found && *found); name++)
        if (!getenv("REQUEST_METHOD") || secure || name != &names[0][1])
            found = getenv(*name);
    site->proxy = found ? found : "";
    site->no_proxy = except && *except ? except : getenv("NO_PROXY");
}

void orb_http_site_apply(CURL *curl, const struct orb_http_site *site)
{
    if (site->no_verify_tls) {
        orb_curl.easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        orb_curl.easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        orb_curl.easy_setopt(curl, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        orb_curl.easy_setopt(curl, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
    if (site->ca_bundle)
        orb_curl.easy_setopt(curl, CURLOPT_CAINFO, site->ca_bundle);
    if (site->client_cert) {
        orb_curl.easy_setopt(curl, CURLOPT_SSLCERT, site->client_cert);
        orb_curl.easy_setopt(curl, CURLOPT_SSLKEY, site->client_key ? site->client_key : site->client_cert);
        orb_curl.easy_setopt(curl, CURLOPT_KEYPASSWD,
                             ""); /* else OpenSSL asks on the terminal for an encrypted key's */
    }
    if (site->unix_socket)
        orb_curl.easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, site->unix_socket);
    if (site->proxy) /* "": none, and the environment is not asked */
        orb_curl.easy_setopt(curl, CURLOPT_PROXY, site->unix_socket ? "" : site->proxy);
    if (site->no_proxy)
        orb_curl.easy_setopt(curl, CURLOPT_NOPROXY, site->no_proxy);
    /* Each connection to a name with several addresses is to go to one of them at random. curl shuffles when it asks
     * for the name, so it must ask for each connection: they are kept for long and are few. */
    orb_curl.easy_setopt(curl, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
    orb_curl.easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
}
