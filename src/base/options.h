/* SPDX-License-Identifier: Apache-2.0
 * Size-first option structs: a caller compiled against an older header has a shorter struct (the missing
 * tail means defaults), one against a newer header a longer one (an unknown tail must be zero). */
#ifndef ORB_BASE_OPTIONS_H
#define ORB_BASE_OPTIONS_H

#include <orbit/error.h>

/* Copies min(given size, known) bytes of `given` over `known`, which holds the defaults; `given` may be
 * NULL. ORBIT_E_MISUSE for a size of 0 (INIT macro forgotten) or an unknown non-zero tail. `name` is for
 * the message. The first member of both structs is `size_t size`. */
orbit_status orb_options_take(void *known, size_t known_size, const void *given, const char *name, orbit_error *error);

#endif
