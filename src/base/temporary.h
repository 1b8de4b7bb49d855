/* SPDX-License-Identifier: Apache-2.0
 * How a file is called while it is written, in the directory of its final name: ".orbit-" and 16 hexadecimal digits.
 * Every backend that has files calls it so, and none lists it. Any thread. */
#ifndef ORB_BASE_TEMPORARY_H
#define ORB_BASE_TEMPORARY_H

#include <stdbool.h>
#include <string.h>

#define ORB_TEMPORARY_PREFIX ".orbit-"
#define ORB_TEMPORARY_FORMAT ORB_TEMPORARY_PREFIX "%016llx"

enum { ORB_TEMPORARY_DIGITS = 16, ORB_TEMPORARY_LENGTH = sizeof(ORB_TEMPORARY_PREFIX) - 1 + ORB_TEMPORARY_DIGITS };

/* Whether such a name stands at the beginning of this one. */
static inline bool orb_begins_as_temporary(const char *name, size_t length)
{
    const size_t prefix = sizeof(ORB_TEMPORARY_PREFIX) - 1;
    if (length < ORB_TEMPORARY_LENGTH || memcmp(name, ORB_TEMPORARY_PREFIX, prefix) != 0)
        return false;
    for (size_t i = prefix; i < ORB_TEMPORARY_LENGTH; i++)
        if (!name[i] || !strchr("0123456789abcdef", name[i]))
            return false;
    return true;
}

#endif
