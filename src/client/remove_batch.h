/* SPDX-License-Identifier: Apache-2.0
 * One call that removes several paths. Items that may be tried again are, together; each of the others is settled as
 * soon as its fate is known. Loop thread. */
#ifndef ORB_CLIENT_REMOVE_BATCH_H
#define ORB_CLIENT_REMOVE_BATCH_H

#include "engine/call.h"

struct orb_remove_batch {
    /* The owner's; items[].path and version_id are set. */
    orbit_remove_item *items;
    void **tags; /* nullable: one an item, it goes where the item goes */
    size_t count;
    bool recursive, missing_ok;
    /* The item's status and error are final; what a retry does not find may have been removed by the attempt whose
     * reply was lost (maybe_done). */
    void (*settled)(struct orb_remove_batch *batch, const orbit_remove_item *item, void *tag);
    /* Once, after all items were settled; or, negative, when the whole call failed: `count` items are left
     * unsettled. */
    void (*over)(struct orb_remove_batch *batch, orbit_status status, const orbit_error *error);

    bool maybe_done;
    struct orb_call call;
    orbit_remove_request request;
    bool judged; /* this attempt ended well as a whole */
};

void orb_remove_batch_start(struct orb_remove_batch *batch, struct orb_backend *backend);

#endif
