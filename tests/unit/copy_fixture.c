/* SPDX-License-Identifier: Apache-2.0
 * Copies between two stores that do what they are told. */
#include "copy_fixture.h"

void have(const char *path, uint64_t length)
{
    void *bytes = wstore_pattern(length);
    wstore_put(&fx.other, path, bytes, length);
    free(bytes);
}
