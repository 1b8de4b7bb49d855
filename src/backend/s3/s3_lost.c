/* SPDX-License-Identifier: Apache-2.0
 * A write whose reply was lost: whether what stands at its key now is what it wrote. Loop thread. */
#include "backend/s3/s3.h"
#include "base/clock.h"

static const int64_t slack_ns = 5ll * 1000000000;

void orb_s3_note_seen(const struct orb_s3_op *op, orbit_metadata *seen)
{
    if (op->reply.has_length) {
        seen->size = op->reply.length;
        seen->fields |= ORBIT_HAS_SIZE;
    }
    orb_s3_note_composite(&op->reply, seen);
}

bool orb_s3_written_since(const orbit_metadata *seen, int64_t since_ns)
{
    return seen->fields & ORBIT_HAS_MTIME && seen->mtime_ns + slack_ns >= since_ns;
}

bool orb_s3_same_sum(const orbit_metadata *seen, const orbit_checksum *own, bool *same)
{
    const orbit_checksum *sum = &seen->checksum;
    if (!own->algorithm || sum->algorithm != own->algorithm || sum->composite != own->composite)
        return false;
    *same = memcmp(sum->value, own->value, own->length) == 0;
    return true;
}

bool orb_s3_is_written(const struct orb_s3 *s3, const orbit_metadata *seen, const struct orb_s3_written *written)
{
    bool same;
    if (!(seen->fields & ORBIT_HAS_SIZE) || seen->size != written->size)
        return false;
    if (orb_s3_same_sum(seen, &written->checksum, &same))
        return same;
    if (written->etag && orb_s3_same_etag(written->etag, seen->etag))
        return true;
    return orb_s3_written_since(seen, written->since_ns + s3->clock_offset_s * (int64_t)ORB_S);
}

void orb_s3_unseen(orbit_error *refusal)
{
    refusal->flags |= ORBIT_ERROR_MAYBE_DONE;
    orb_error_prefix(refusal, "an earlier attempt, whose reply was lost, may have written it");
}
