/* SPDX-License-Identifier: Apache-2.0
 * What a client lends its backends: the log, and the things that backends of one client share. Any thread. */
#include <stdarg.h>
#include <stdio.h>

#include "backend/backend.h"
#include "base/mem.h"

struct orb_attachment {
    struct orb_attachment *older;
    const void *key;
    void *thing;
    void (*drop)(void *thing);
};

void *orb_host_attach(struct orbit_host *host, const void *key, void *(*make)(struct orbit_host *, orbit_error *),
                      void (*drop)(void *thing), orbit_error *error)
{
    void *thing = NULL;
    pthread_mutex_lock(&host->attach_mutex);
    for (struct orb_attachment *at = host->attachments; at && !thing; at = at->older)
        if (at->key == key)
            thing = at->thing;
    if (!thing) {
        struct orb_attachment *made = orb_malloc(sizeof(*made));
        if (!made)
            orb_fail_memory(error);
        else
            thing = make(host, error);
        if (thing) {
            *made = (struct orb_attachment){host->attachments, key, thing, drop};
            host->attachments = made;
        } else {
            orb_free(made);
        }
    }
    pthread_mutex_unlock(&host->attach_mutex);
    return thing;
}

void orb_host_detach_all(struct orbit_host *host)
{
    for (;;) {
        pthread_mutex_lock(&host->attach_mutex);
        struct orb_attachment *latest = host->attachments;
        if (latest)
            host->attachments = latest->older;
        pthread_mutex_unlock(&host->attach_mutex);
        if (!latest)
            return;
        if (latest->drop)
            latest->drop(latest->thing);
        orb_free(latest);
    }
}

void orb_backend_in_order(struct orb_backend *backend)
{
    if (!backend->caps.ranged_read)
        return;
    backend->caps.ranged_read = false;
    orb_log(&backend->host->log, ORBIT_LOG_INFO,
            "%s sends objects whole where a range is asked for: they are read in order",
            backend->url ? backend->url : backend->ops->name);
}

void orbit_host_log(orbit_host *host, orbit_log_level level, const char *format, ...)
{
    if (!host || !orb_log_wants(&host->log, level))
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length >= 0)
        orb_log(&host->log, level, "%s", line);
}
