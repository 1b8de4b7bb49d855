/* SPDX-License-Identifier: Apache-2.0
 * An upload of one piece of memory: its parts point into the caller's bytes, nothing is copied and nothing charged.
 * Loop thread only. */
#ifndef ORB_ENGINE_UPLOAD_MEMORY_H
#define ORB_ENGINE_UPLOAD_MEMORY_H

#include "engine/parts.h"
#include "engine/upload.h"

struct orb_memory_slot;

struct orb_memory_upload {
    struct orb_upload upload; /* read its results when ended */
    struct orb_parts parts;
    const uint8_t *bytes;
    uint64_t length, sent; /* handed to parts so far */
    uint32_t next_number;
    uint32_t parallel, in_flight;
    struct orb_memory_slot *slots; /* `parallel` of them */
    void (*moved)(void *ctx, uint64_t bytes);
    void (*ended)(void *ctx, orbit_status status, const orbit_error *error); /* once, not from inside start */
    void *ctx;
};

/* Plans it; any thread. `memory` was zeroed and has its callbacks set. What is pointed to stays until ended(). */
orbit_status orb_memory_upload_init(struct orb_memory_upload *memory, struct orb_backend *backend, const char *path,
                                    const orbit_write_options *options, const void *bytes, size_t length,
                                    orbit_error *error);
void orb_memory_upload_start(struct orb_memory_upload *memory);
void orb_memory_upload_stop(struct orb_memory_upload *memory, orbit_status status, const orbit_error *error);
void orb_memory_upload_release(struct orb_memory_upload *memory);

#endif
