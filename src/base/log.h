/* SPDX-License-Identifier: Apache-2.0
 * The client's log: formats a line and hands it to the user's function under a mutex. Any thread. */
#ifndef ORB_BASE_LOG_H
#define ORB_BASE_LOG_H

#include <pthread.h>

#include <orbit/client.h>

struct orb_log {
    orbit_log user; /* function NULL: silent */
    pthread_mutex_t mutex;
};

void orb_log_init(struct orb_log *log, const orbit_log *user);
void orb_log_release(struct orb_log *log);
/* Cheap when the level is off: arguments are formatted only when the line is wanted. NULL log is fine. */
void orb_log(struct orb_log *log, orbit_log_level level, const char *format, ...) ORBIT_PRINTF(3, 4);
bool orb_log_wants(const struct orb_log *log, orbit_log_level level);

#endif
