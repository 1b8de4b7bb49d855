/* SPDX-License-Identifier: Apache-2.0
 * The client's workers, for what blocks: local disks, hashing of whole parts. Threads start when there is
 * work for them, up to the number given. Nothing here waits for the network. Any thread. */
#ifndef ORB_RUN_POOL_H
#define ORB_RUN_POOL_H

#include <stdint.h>

#include <orbit/error.h>

struct orb_pool;

/* Intrusive, as orb_message; run on some worker; may free or submit itself again. */
struct orb_job {
    struct orb_job *next;
    void (*run)(struct orb_job *job);
};

orbit_status orb_pool_new(struct orb_pool **made, unsigned workers, orbit_error *error);
/* Runs what is queued, joins the workers, frees. NULL is fine. */
void orb_pool_free(struct orb_pool *pool);
/* First in, first out. If not even one thread can be started, the job runs on the calling thread. */
void orb_pool_submit(struct orb_pool *pool, struct orb_job *job);
/* How often an idle worker was woken for a job. */
uint64_t orb_pool_calls(struct orb_pool *pool);

#endif
