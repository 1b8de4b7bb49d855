/* SPDX-License-Identifier: Apache-2.0
 * Loads libcurl, finds its functions, initialises it. */
#include "wire/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define LIBRARY "libcurl.so.4" /* the ABI of every libcurl since 7.16 */

struct orb_curl orb_curl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static orbit_status loaded;
static orbit_error failure;

/* A function's address is no object's pointer for C, but is one for dlsym(). */
static bool find(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* for as long as the process lives */
    if (!library) {
        loaded = orb_fail(&failure, ORBIT_E_CONFIG, 0, "S3 needs libcurl, which cannot be loaded: %.200s", dlerror());
        return;
    }
#define X(name)                                                                                               \
    if (!find(library, "curl_" #name, &orb_curl.name)) {                                                      \
        loaded = orb_fail(&failure, ORBIT_E_CONFIG, 0, LIBRARY " is no libcurl: it has no curl_" #name "()"); \
        return;                                                                                               \
    }
    ORB_CURL_FUNCTIONS(X)
#undef X
    CURLcode code = orb_curl.global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        loaded = orb_fail(&failure, ORBIT_E_CONFIG, (int)code, "cannot initialise libcurl: %.200s",
                          orb_curl.easy_strerror(code));
}

orbit_status orb_curl_load(orbit_error *error)
{
    pthread_once(&once, load);
    if (loaded < 0 && error)
        *error = failure;
    return loaded;
}
