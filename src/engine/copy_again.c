/* SPDX-License-Identifier: Apache-2.0
 * A copy that begins again from its beginning. One reason is here: the source turned out to have no ranges, because a
 * reply was the whole object. Then the copy becomes a stream that reads it once, in order, instead of one whole object a
 * range. The first such copy of a client pays for that with what it had asked for; the later ones know. Loop thread only. */
#include "base/mem.h"
#include "engine/copy.h"

bool orb_copy_wants_order(struct orb_copy *copy, const struct orb_relay *range)
{
    orb_backend_in_order(copy->from);
    copy->hedger.off = true;
    return range->length < copy->total;
}

void orb_copy_end_for_order(struct orb_copy *copy)
{
    orbit_error error;
    if (copy->stopping || copy->well)
        return;
    copy->in_order = true;
    /* Not one after which something is kept for another try. */
    orb_copy_fail(copy, orb_fail(&error, ORBIT_E_UNSUPPORTED, 0, "'%s' is read in order", copy->from_path), &error);
}

bool orb_copy_again_in_order(struct orb_copy *copy)
{
    if (!copy->in_order || copy->called_off)
        return false;
    copy->no_server_copy = true; /* it was asked before */
    orb_copy_start_again(copy, copy->have_source ? &copy->source : NULL);
    return true;
}

void orb_copy_start_again(struct orb_copy *copy, orbit_metadata *source)
{
    struct orb_copy fresh = {
        .from = copy->from,
        .to = copy->to,
        .from_path = copy->from_path,
        .to_path = copy->to_path,
        .version_id = copy->version_id,
        .if_match = copy->if_match,
        .source_key = copy->source_key,
        .offset = copy->offset,
        .length = copy->length,
        .length_hint = copy->length_hint,
        .options = copy->options,
        .tally = copy->tally,
        .preserve = copy->preserve,
        .no_server_copy = copy->no_server_copy,
        .server_only = copy->server_only,
        .verify = copy->verify,
        .no_hedge = copy->no_hedge,
        .verify_full = copy->verify_full,
        .keeps = copy->keeps,
        .moved = copy->moved,
        .ended = copy->ended,
        .ctx = copy->ctx,
        .told = copy->told,
    };
    if (source) {
        fresh.source = *source;
        fresh.have_source = true;
        *source = (orbit_metadata){0};
    }
    orb_copy_release(copy);
    memcpy(copy, &fresh, sizeof(*copy));
    orb_copy_start(copy);
}
