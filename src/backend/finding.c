/* SPDX-License-Identifier: Apache-2.0
 * Findings of a probe, as a backend tells them. */
#include <stdarg.h>
#include <stdio.h>

#include "backend/backend.h"

void orbit_probe_tell(const orbit_probe_request *request, orbit_finding_level level, orbit_status status,
                      const char *what, const char *advice, const char *format, ...)
{
    if (*request->count >= request->room)
        return;
    orbit_finding *finding = &request->findings[(*request->count)++];
    *finding = (orbit_finding){.level = (int32_t)level, .status = (int32_t)status};
    (void)snprintf(finding->what, sizeof finding->what, "%s", what);
    (void)snprintf(finding->advice, sizeof finding->advice, "%s", advice ? advice : "");
    va_list args;
    va_start(args, format);
    (void)vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
}
