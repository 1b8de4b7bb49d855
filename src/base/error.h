/* SPDX-License-Identifier: Apache-2.0
 * Filling an orbit_error where a failure is detected. Callers pass it up unchanged. Any thread. */
#ifndef ORB_BASE_ERROR_H
#define ORB_BASE_ERROR_H

#include <orbit/error.h>

/* Fills `error` (nullable) and returns `status`. `native` is the underlying number or 0. The message is
 * lower case, has no full stop, names the thing and the cause, never a secret. */
orbit_status orb_fail(orbit_error *error, orbit_status status, int native, const char *format, ...) ORBIT_PRINTF(4, 5);
/* The same for an errno: the status and flags follow from it, its text is appended (": No such file…"). */
orbit_status orb_fail_errno(orbit_error *error, int number, const char *format, ...) ORBIT_PRINTF(3, 4);
/* Out of memory has one message and needs none. */
orbit_status orb_fail_memory(orbit_error *error);
/* The portable kind of an errno. */
orbit_status orb_status_from_errno(int number);
/* `*error` is reset to "no error". NULL is fine. */
void orb_error_clear(orbit_error *error);
/* Copies when both are there. */
void orb_error_copy(orbit_error *to, const orbit_error *from);
/* A copy of `from` whose message gets `prefix: ` in front. */
void orb_error_prefix(orbit_error *error, const char *format, ...) ORBIT_PRINTF(2, 3);
/* A condition was refused that our own earlier attempt may have spoilt. */
void orb_error_maybe_own(orbit_error *error);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: this tells it that a failure is never success. */
#define orb_fail(error, status, ...) ((void)(orb_fail)(error, status, __VA_ARGS__), (status))
#define orb_fail_errno(error, ...)   ((void)(orb_fail_errno)(error, __VA_ARGS__), ORBIT_E_IO)
#define orb_fail_memory(error)       ((void)(orb_fail_memory)(error), ORBIT_E_MEMORY)
#endif

#endif
