/* SPDX-License-Identifier: Apache-2.0
 * Temporary files without a name. */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <orbit/backend_ops.h>

#include "text.h"

static const char *spill_directory(void)
{
    const char *directory = getenv("TMPDIR");
    return directory && *directory ? directory : "/tmp";
}

void spill_failed(const char *verb, const char *what, orbit_error *error)
{
    orbit_error_errno(error, errno, "cannot %s a temporary file for %s in '%s' (TMPDIR names another place)", verb,
                      what, spill_directory());
}

int spill_open(const char *what, orbit_error *error)
{
    int fd = open(spill_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* a file system that has none without a name */
        char *name = path_join(spill_directory(), "orbit-XXXXXX");
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
        free(name);
    }
    if (fd < 0)
        spill_failed("make", what, error);
    return fd;
}
