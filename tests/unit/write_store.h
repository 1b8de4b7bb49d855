/* SPDX-License-Identifier: Apache-2.0
 * A store for tests of the write side: objects in memory, moved by the client's workers in small pieces, with faults
 * on demand. Registered under the scheme "wstore". */
#ifndef TESTS_UNIT_WRITE_STORE_H
#define TESTS_UNIT_WRITE_STORE_H

#include <pthread.h>
#include <semaphore.h>

#include <orbit/backend_ops.h>
#include <orbit/orbit.h>

enum wstore_operation {
    WSTORE_READ = 1,
    WSTORE_PUT,
    WSTORE_BEGIN,
    WSTORE_PART,
    WSTORE_FINISH,
    WSTORE_ABORT,
    WSTORE_STAT,
    WSTORE_COPY,
    WSTORE_OPERATIONS
};

enum wstore_action {
    WSTORE_FAIL = 1, /* with `status` and `flags`, after `after` bytes */
    WSTORE_SHORT,    /* a read that ends well after `after` bytes */
    WSTORE_LOSE,     /* it is done, but the reply is lost: `flags` | MAYBE_DONE */
    WSTORE_HANG,     /* until it is cancelled, after `after` bytes */
    WSTORE_CORRUPT,  /* a read whose first byte is wrong */
    WSTORE_TOUCH     /* the object is another one from now on */
};

struct wstore_fault {
    enum wstore_operation operation;
    unsigned from, count; /* attempts from..from+count-1 of that operation, counted from 1 */
    enum wstore_action action;
    uint64_t after;
    orbit_status status;
    uint32_t flags;
};

struct wstore_object {
    struct wstore_object *next;
    char *path, *bytes;
    uint64_t length;
    unsigned version;
    orbit_kind kind;
};

struct wstore {
    orbit_capabilities caps;
    bool no_head;           /* replies are told at the end only */
    bool no_size;           /* replies do not say the size */
    bool no_etag;           /* size and time are all the identity there is */
    bool has_checksum;      /* whole objects keep a CRC64NVME */
    bool no_range_checksum; /* and do not tell it with a range */
    size_t piece;           /* bytes moved at a time; 0: 16 KiB */
    sem_t *gate;            /* a body is looked at only once this was posted; NULL: at once */
    struct wstore_fault faults[16];
    unsigned fault_count;

    pthread_mutex_t mutex;
    struct wstore_object *objects;
    unsigned attempts[WSTORE_OPERATIONS];
    unsigned uploads_open, parts_running, parts_peak, whole_bodies;
    uint64_t largest_part, ranges_read;
    uint64_t largest_read; /* asked for */
    bool resolved;         /* a finish was asked with `resolve` */
    bool equal_broken;
    bool in_order; /* uploads ask for it */
};

extern const orbit_backend_ops wstore_ops;
extern const orbit_backend_ops wstore_poor_ops; /* no stat, no copy, no parts */

void wstore_init(struct wstore *store); /* like an object store; change caps before it is opened */
void wstore_release(struct wstore *store);
void wstore_fault(struct wstore *store, enum wstore_operation operation, unsigned from, unsigned count,
                  enum wstore_action action, uint64_t after, orbit_status status, uint32_t flags);
void wstore_put(struct wstore *store, const char *path, const void *bytes, uint64_t length);
struct wstore_object *wstore_find(struct wstore *store, const char *path);

/* Byte `at` of the test pattern. */
uint8_t wstore_byte(uint64_t at);
void *wstore_pattern(uint64_t length); /* free() it */
bool wstore_is_pattern(const struct wstore_object *object, uint64_t length);

#endif
