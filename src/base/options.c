/* SPDX-License-Identifier: Apache-2.0
 * Reading size-first option structs. Any thread. */
#include "base/options.h"

#include <string.h>

#include "base/error.h"

orbit_status orb_options_take(void *known, size_t known_size, const void *given, const char *name, orbit_error *error)
{
    if (!given)
        return ORBIT_OK;
    size_t given_size;
    memcpy(&given_size, given, sizeof(given_size));
    if (given_size < sizeof(size_t))
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s has no size: start it with its INIT macro or _init function",
                        name);
    /* Structs of a few hundred bytes; anything far beyond is uninitialised memory, not a newer header. */
    if (given_size > known_size + 4096)
        return orb_fail(error, ORBIT_E_MISUSE, 0, "%s has an impossible size of %zu bytes: it was not initialised",
                        name, given_size);
    const unsigned char *bytes = given;
    for (size_t i = known_size; i < given_size; i++)
        if (bytes[i])
            return orb_fail(error, ORBIT_E_MISUSE, 0,
                            "%s sets a member that this version of the library does not know (byte %zu)", name, i);
    size_t take = given_size < known_size ? given_size : known_size;
    memcpy((char *)known + sizeof(size_t), bytes + sizeof(size_t), take - sizeof(size_t));
    memcpy(known, &known_size, sizeof(known_size));
    return ORBIT_OK;
}
