/* SPDX-License-Identifier: Apache-2.0
 * A user's backend for tests of the engine and the client: it does what its script says. Registered under the
 * scheme "script". Its functions run on the loop; tests read its counters when nothing is under way. */
#ifndef TESTS_UNIT_SCRIPT_H
#define TESTS_UNIT_SCRIPT_H

#include <pthread.h>
#include <stdatomic.h>

#include <orbit/backend_ops.h>
#include <orbit/orbit.h>

#define SCRIPT_STEPS 64
#define SCRIPT_NAMES 4096

/* What one attempt of any operation comes to. */
struct script_step {
    orbit_status status;
    uint32_t flags;
    uint32_t retry_after_ms;
    bool hang; /* until it is cancelled */
};

struct script {
    struct script_step steps[SCRIPT_STEPS];
    size_t step_count;
    _Atomic size_t attempts; /* of all operations; what is beyond the steps succeeds */

    orbit_capabilities capabilities;
    _Atomic int opens, closes, cancels, hanging;
    orbit_op *hung[16]; /* loop thread */

    /* Files: sorted or not, '/' between directories; a name that ends in '/' is an empty directory. */
    char *names[SCRIPT_NAMES];
    size_t name_count;
    size_t list_cursors; /* open ones */
    size_t removes;      /* remove() calls */
    size_t largest_batch;
    const char *stuck; /* a name that cannot be removed */
    const char *flaky; /* a name whose first removal is throttled */
    uint64_t size;     /* of everything, as stat tells it */
    char copied_from[256], copied_to[256];
    char seen_url[256], seen_authority[256], seen_path[256], seen_settings[512];
};

extern const orbit_backend_ops script_ops;
/* The same without rename, xattrs and so on: a store that can do little. */
extern const orbit_backend_ops script_poor_ops;

void script_add(struct script *script, const char *name);
bool script_has(const struct script *script, const char *name);
void script_release(struct script *script);
/* A client with the script registered, and a backend open on it. */
void script_open(struct script *script, const orbit_client_options *client_options, const orbit_open_options *options,
                 orbit_client **client, orbit_backend **backend);

#endif
