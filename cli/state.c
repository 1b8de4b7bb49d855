/* SPDX-License-Identifier: Apache-2.0
 * Where journals of the command are. Main thread. */
#include "state.h"

#include <stdlib.h>

#include "text.h"

/* Relative paths are ignored, as the XDG specification wants it. */
static char *below(const char *variable, const char *rest)
{
    const char *value = getenv(variable);
    if (!value || *value != '/')
        return NULL;
    struct text text = {0};
    text_format(&text, "%s%s", value, rest);
    char *path = string_copy(text.bytes);
    text_release(&text);
    return path;
}

char *state_directory(void)
{
    const char *own = getenv("ORBIT_STATE_DIR");
    if (own)
        return *own ? string_copy(own) : NULL;
    char *path = below("XDG_STATE_HOME", "/orbit");
    return path ? path : below("HOME", "/.local/state/orbit");
}
