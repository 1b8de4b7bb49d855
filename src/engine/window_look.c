/* SPDX-License-Identifier: Apache-2.0
 * A look at an object before its first byte, for a reader that is to compare whatever checksum there is: stores
 * seldom tell one with a range, and one that follows from the parts' checksums takes requests of its own. Who keeps
 * none, or does not tell, is read without. Loop thread. */
#include "engine/window_range.h"

static struct orb_window *window_of(struct orb_call *call)
{
    return call->ctx;
}

static void start_stat(struct orb_call *call)
{
    struct orb_window *window = window_of(call);
    orbit_metadata_release(&window->look.seen);
    window->look.request = (orbit_stat_request){.path = window->config.path,
                                                .version_id = window->config.version_id,
                                                .follow_symlinks = true,
                                                .object_only = true,
                                                .whole_checksum = true,
                                                .sse_customer_key = window->config.sse_customer_key};
    orb_call_names(call, ORBIT_REQUEST_STAT, window->config.path);
    window->backend->ops->stat(window->backend->self, &call->op.op, &window->look.request, &window->look.seen);
}

static void looked(struct orb_call *call, orbit_status status, const orbit_error *error)
{
    struct orb_window *window = window_of(call);
    (void)error; /* what is wrong the read will tell */
    window->look.running = false;
    window->running--;
    if (status < 0)
        orbit_metadata_release(&window->look.seen);
    if (!orb_window_ended(window) && !orb_window_stopped(window))
        orb_window_first_range(window);
}

bool orb_window_looks(struct orb_window *window)
{
    const struct orb_backend *backend = window->backend;
    if (!window->config.look || !backend->ops->stat || backend->caps.hierarchical)
        return false;
    window->look.running = true;
    window->running++;
    window->look.call.eager = true;
    window->look.call.tally = window->config.tally;
    orb_call_start(&window->look.call, window->backend, start_stat, looked, window);
    return true;
}

void orb_window_take_look(struct orb_window *window)
{
    orbit_metadata *seen = &window->look.seen;
    const char *etag = window->metadata.etag;
    if (seen->checksum.algorithm && !seen->checksum.composite && seen->etag && etag && strcmp(seen->etag, etag) == 0)
        window->metadata.checksum = seen->checksum;
    orbit_metadata_release(seen);
}
