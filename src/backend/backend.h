/* SPDX-License-Identifier: Apache-2.0
 * The inside of the backend contract (<orbit/backend_ops.h>): what the engine sees of a backend, an
 * operation, a page, and what a built-in backend may use of its client. */
#ifndef ORB_BACKEND_BACKEND_H
#define ORB_BACKEND_BACKEND_H

#include <stdatomic.h>

#include <orbit/backend_ops.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/log.h"
#include "base/tally.h"
#include "run/lanes.h"
#include "run/loop.h"
#include "run/pool.h"

/* What a client lends its backends. Lives as long as the client. */
struct orbit_host {
    struct orb_loop *loop;
    struct orb_pool *pool;
    struct orb_lanes *lanes;
    struct orb_log log;
    struct orb_budget budget;
    /* Shared things that backends make when first needed (the HTTP engine, named mem stores). Loop thread or
     * client mutex; see orb_host_attach(). */
    pthread_mutex_t attach_mutex;
    struct orb_attachment *attachments;    /* locked */
    struct orb_flow *flows;                /* engine/flow's own, loop thread: one an endpoint */
    struct orb_admission_queue *admission; /* engine/admission's own: who waits for memory; NULL until opened */
    orbit_trace trace;
    orbit_prompt prompt;    /* function NULL: nobody can be asked */
    struct orb_tally tally; /* counted by engine/call and engine/hedge */
    uint64_t calls;         /* loop: the last one's number */
};

/* Where requests are counted: in their stream's or task's tally, which is part of the host's, or in the host's
 * alone. */
static inline struct orb_tally *orb_host_tally(struct orbit_host *host, struct orb_tally *own)
{
    return own ? own : &host->tally;
}

/* One shared thing a host: `key` is the address of a static. make() is called at most once (under the host's
 * mutex), drop() when the client closes, after all backends are closed, on the thread that closes the client
 * with lanes and loop still running. Returns NULL with `error` filled when make() fails. Any thread. */
void *orb_host_attach(struct orbit_host *host, const void *key, void *(*make)(struct orbit_host *, orbit_error *),
                      void (*drop)(void *thing), orbit_error *error);
/* Drops what was attached, the latest first. By who closes the client. */
void orb_host_detach_all(struct orbit_host *host);

/* An operation as the engine holds it. `op` is what the backend sees. Loop thread, but for what the backend
 * calls (done, head, progress, cancelled). */
struct orb_backend;
struct orb_op {
    orbit_op op;
    struct orb_backend *backend;
    void (*on_done)(struct orb_op *op); /* loop thread; status and error are filled */
    void (*on_head)(struct orb_op *op); /* nullable; loop thread, before on_done */
    orbit_status status;
    orbit_error error;

    struct orb_message done_message;
    struct orb_message head_message;
    _Atomic bool cancelled;
    _Atomic uint64_t progress;  /* bytes reported by orbit_op_progress() */
    _Atomic uint64_t silent_ns; /* as orbit_op_silent() says */
    /* By who is on a worker already: runs happen inside orbit_op_run(), on_done is not called, status and error are
     * there when the starting call has returned. Only for operations that do nothing but run (worker_list). */
    bool synchronous;
    bool running;    /* between start and done */
    bool head_asked; /* head_message was posted; delivered before done */

    /* orbit_op_run(): at most one run at a time, one more may be asked for meanwhile. */
    struct orb_job job;
    void (*_Atomic work)(void *self, orbit_op *op);
    _Atomic int run_state; /* op.c's own */
};

/* Prepares `op` for one start on `backend`; after on_done it may be prepared and started again. The op
 * starts when the caller invokes backend->ops->…(backend->self, &op->op, …) right after. on_head is left as it
 * is: set it (or NULL) yourself. */
void orb_op_begin(struct orb_op *op, struct orb_backend *backend, void (*on_done)(struct orb_op *op));
/* Asks the backend to end it soon; on_done still comes. Nothing when it is not running. */
void orb_op_cancel(struct orb_op *op);

/* A backend instance: the handle of the public API points here. */
struct orb_backend {
    const orbit_backend_ops *ops;
    void *self;
    struct orbit_host *host;
    orbit_capabilities caps;       /* with the defaults filled in */
    orbit_open_options options;    /* with the defaults filled in; `settings` is NULL here */
    char *url;                     /* for messages: no secret */
    bool fixed_chunk;              /* options.chunk_size was asked for, … */
    bool fixed_parallel;           /* options.parallel_operations was asked for */
    struct orb_flow *_Atomic flow; /* engine/flow's own, made when first needed, given up with the backend */
};

/* A reply was `whole`: from now on objects are read in order, from their first byte. Loop thread. */
void orb_backend_in_order(struct orb_backend *backend);

/* A page of a listing: entries packed behind one another in one slab, charged to the budget. User metadata
 * (pairs) is not kept. A page is full by count, by bytes, or, once it holds something, when memory is out; an
 * empty page that gets no memory says ORBIT_E_MEMORY and sets out_of_memory. */
struct orbit_page {
    struct orb_budget *budget; /* nullable */
    char *slab;
    size_t used, room;
    size_t max_bytes; /* the slab's cap */
    size_t count, max_count;
    bool more;
    bool out_of_memory;
    uint64_t busy_ns; /* what reading it cost this machine, where the backend says: the rest was waiting */
};

void orb_page_init(struct orbit_page *page, struct orb_budget *budget, size_t max_count, size_t max_bytes);
void orb_page_release(struct orbit_page *page);
void orb_page_reset(struct orbit_page *page); /* empties, keeps the slab */
/* Gives back what the slab has more than it uses. */
void orb_page_trim(struct orbit_page *page);

/* Room in the slab of an empty page for `bytes`, whatever its cap: for who keeps pages elsewhere. */
bool orb_page_reserve(struct orbit_page *page, size_t bytes);

/* Walking a page. `entry` and its strings point into the slab. Returns false at the end. */
struct orb_page_cursor {
    size_t at;
};
struct orb_page_item {
    orbit_entry entry;
    uint64_t position;
    bool failed;
    const orbit_error *error; /* when failed; inside the slab */
};
bool orb_page_next(const struct orbit_page *page, struct orb_page_cursor *cursor, struct orb_page_item *item);

/* The built-in backends. */
extern const orbit_backend_ops orb_mem_ops;
extern const orbit_backend_ops orb_local_ops;
extern const orbit_backend_ops orb_s3_ops;
extern const orbit_backend_ops orb_sftp_ops;

#endif
