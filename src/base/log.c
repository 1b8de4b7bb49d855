/* SPDX-License-Identifier: Apache-2.0
 * The client's log: one line at a time to the user's function. Any thread. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void orb_log_init(struct orb_log *log, const orbit_log *user)
{
    log->user = user ? *user : (orbit_log){0};
    if (log->user.level == 0)
        log->user.level = ORBIT_LOG_WARN;
    pthread_mutex_init(&log->mutex, NULL);
}

void orb_log_release(struct orb_log *log)
{
    if (log)
        pthread_mutex_destroy(&log->mutex);
}

bool orb_log_wants(const struct orb_log *log, orbit_log_level level)
{
    return log && log->user.function && level <= log->user.level;
}

void orb_log(struct orb_log *log, orbit_log_level level, const char *format, ...)
{
    if (!orb_log_wants(log, level))
        return;
    char line[1024]; /* longer lines are cut: a log never allocates */
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0)
        return;
    for (char *c = line; *c; c++) /* one line is one line, whatever the names in it hold */
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    pthread_mutex_lock(&log->mutex);
    log->user.function(log->user.ctx, level, line);
    pthread_mutex_unlock(&log->mutex);
}
