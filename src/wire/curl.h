/* SPDX-License-Identifier: Apache-2.0
 * libcurl, loaded when the first request over HTTP needs it: with all that it is linked with itself it takes 7 MiB and
 * 6 ms of a process that only copies files, or moves them over SSH. Any thread. */
#ifndef ORB_WIRE_CURL_H
#define ORB_WIRE_CURL_H

#include <curl/curl.h>

#include <orbit/error.h>

/* clang-format off */
#define ORB_CURL_FUNCTIONS(X) \
    X(global_init) X(getdate) X(slist_append) X(slist_free_all) \
    X(easy_init) X(easy_setopt) X(easy_getinfo) X(easy_perform) X(easy_pause) X(easy_reset) X(easy_cleanup) \
    X(easy_strerror) \
    X(multi_init) X(multi_setopt) X(multi_add_handle) X(multi_remove_handle) X(multi_socket_action) \
    X(multi_info_read) X(multi_strerror) X(multi_cleanup) \
    X(share_init) X(share_setopt) X(share_cleanup)
/* clang-format on */

/* What libcurl calls curl_easy_init() is orb_curl.easy_init() here, and so on. Its options are not checked by the
 * compiler this way: a number is a long, or a curl_off_t where libcurl says so. */
struct orb_curl {
#define X(name) __typeof__(curl_##name) *name;
    ORB_CURL_FUNCTIONS(X)
#undef X
};

/* Nothing before orb_curl_load() was fine, the same for all afterwards. */
extern struct orb_curl orb_curl;

/* Loads and initialises it, once for all. ORBIT_E_CONFIG: it is not there, or is another one. */
orbit_status orb_curl_load(orbit_error *error);

#endif
