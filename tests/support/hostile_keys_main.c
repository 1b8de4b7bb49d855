/* SPDX-License-Identifier: Apache-2.0
 * Prints the table of hostile keys, each ended by NUL; with an argument those alone that are UTF-8. */
#include "support/hostile_keys.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t count;
    const char *const *keys = hostile_keys(&count);
    (void)argv;
    for (size_t i = 0; i < count; i++)
        if (argc < 2 || hostile_key_is_text(keys[i]))
            fwrite(keys[i], 1, strlen(keys[i]) + 1, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
