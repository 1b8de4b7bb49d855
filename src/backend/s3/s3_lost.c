/* SPDX-License-Identifier: Apache-2.0
 * A write whose reply was lost: whether what stands at its key now is what it wrote. Loop thread. */
#include "backend/s3/s3.h"
#include "base/clock.h"

static const int64_t slack_ns = 5ll * 1000000000;

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

void orb_s3_look(struct orb_s3_op *op, const char *path, const orbit_write_options *options, bool resolves,
                 orbit_metadata *seen, void (*looked)(struct orb_s3_op *op))
{
    orb_s3_begin(op, "HEAD", path);
    orb_s3_account_headers(op, options);
    if (!op->keyless)
        orb_s3_customer_key_headers(op, options->sse_customer_key, false);
    if (resolves)
        orb_s3_ask_checksum(op);
    orbit_metadata_release(seen);
    op->metadata = seen;
    orb_s3_send(op, looked);
}

bool orb_s3_looks_keyless(struct orb_s3_op *op, const uint8_t *key)
{
    bool again = key && !op->keyless && op->http.status >= 0 && op->http.http_status == 400;
    op->keyless |= again;
    return again;
}

void orb_s3_take_seen(orbit_metadata *out, orbit_metadata *seen)
{
    orbit_metadata_release(out);
    *out = *seen;
    *seen = (orbit_metadata){0};
    out->kind = ORBIT_KIND_FILE;
}

void orb_s3_end_refused(struct orb_s3_op *op, orbit_error *refused, orbit_status looked)
{
    if (looked < 0 && looked != ORBIT_E_NOT_FOUND)
        orb_error_maybe_own(refused);
    orb_s3_op_end(op, (orbit_status)refused->status, refused);
}
