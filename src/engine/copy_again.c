/* SPDX-License-Identifier: Apache-2.0
 * A copy that begins again from its beginning. One reason: the source turned out to have no ranges, because a reply
 * was the whole object. Then the copy becomes a stream that reads it once, in order, instead of one whole object a
 * range. The first such copy of a client pays for that with what it had asked for; the later ones know.
 *
 * Another: what was said of the source was not true (any more). It was presumed only to begin early.
 *
 * A third: the bytes were not those whose checksum the store keeps. Which range was wrong nobody can say afterwards,
 * without keeping a checksum of each; mostly it was the way, and the same bytes come right when they are fetched
 * once more. Once: what is wrong again is wrong in the store. Loop thread only. */
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

/* Of the same version, which is known. */
static void fetch_again(struct orb_copy *copy)
{
    copy->no_server_copy = true; /* it was asked before */
    orb_copy_start_again(copy, copy->have_source ? &copy->source : NULL);
}

static bool again_in_order(struct orb_copy *copy)
{
    if (!copy->in_order)
        return false;
    fetch_again(copy);
    return true;
}

static bool again_for_checksum(struct orb_copy *copy)
{
    const struct orb_backend *from = copy->from;
    if (copy->status != ORBIT_E_CHECKSUM || !copy->through_here || copy->fetched_twice || from->caps.no_retry ||
        from->options.retry_attempts == 1)
        return false;
    orb_log(&from->host->log, ORBIT_LOG_WARN, "'%s' is fetched once more: %s", copy->from_path, copy->error.message);
    copy->fetched_twice = true;
    fetch_again(copy);
    return true;
}

static bool again_mistaken(struct orb_copy *copy)
{
    if (!copy->mistaken)
        return false;
    orb_log(&copy->from->host->log, ORBIT_LOG_DEBUG, "'%s' is not what was said of it", copy->from_path);
    orb_copy_start_again(copy, NULL);
    return true;
}

bool orb_copy_begins_again(struct orb_copy *copy)
{
    return !copy->well && !copy->called_off &&
           (again_mistaken(copy) || orb_copy_kept_again(copy) || again_in_order(copy) || again_for_checksum(copy));
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
        .hint = copy->hint,
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
        .fetched_twice = copy->fetched_twice,
    };
    fresh.hint.fields &= ~(uint32_t)ORBIT_HAS_MTIME; /* presumed it is once */
    if (source) {
        fresh.source = *source;
        fresh.have_source = true;
        *source = (orbit_metadata){0};
    }
    orb_copy_release(copy);
    memcpy(copy, &fresh, sizeof(*copy));
    orb_copy_start(copy);
}
