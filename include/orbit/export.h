/* SPDX-License-Identifier: Apache-2.0
 * What every public header needs: linkage, and the few constants that belong to no noun. */
#ifndef ORBIT_EXPORT_H
#define ORBIT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define ORBIT_BEGIN_DECLS extern "C" {
#define ORBIT_END_DECLS   }
#else
#define ORBIT_BEGIN_DECLS
#define ORBIT_END_DECLS
#endif

#if defined(__GNUC__)
#define ORBIT_API                 __attribute__((visibility("default")))
#define ORBIT_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define ORBIT_API
#define ORBIT_PRINTF(text, first)
#endif

/* A length that is not known (yet). */
#define ORBIT_SIZE_UNKNOWN UINT64_MAX
/* "To the end" in a range. */
#define ORBIT_TO_END UINT64_MAX

#endif
